"""Max pooling forward and backward with switches, unpooling, average pooling, and gradients by finite differences.

All functions take feature maps (N, C, H, W) and handle every map for itself. A window of kernel_size pixels moves over
the map in steps of `stride`; windows that do not fit in at the right or lower border are left out, so that

    H' = (H - kernel height) // stride + 1,  W' = (W - kernel width) // stride + 1.

- Forward, X_{n+1}(p) = max over q in window p of X_n(q), and the switch of p, where that maximum was found.
- Backward, df/dX_n(s) = sum over the windows p whose switch is s of df/dX_{n+1}(p).
- Unpooling puts each value of the small map at its switch in the large one, and 0 everywhere else.

There is no padding argument. Pad with minus infinity, which never wins against a number:
``max_pool2d(torch.nn.functional.pad(inputs, (1, 1, 1, 1), value=-torch.inf), 3, 2)``.

Sources: Zeiler and Fergus 2014, section 2.1 (switches, unpooling); Boureau, Ponce and LeCun 2010 (average against max
pooling). The course writes Omega(p) for window p.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.checking import check_finite, check_inputs, check_not_negative, check_pair
from course_utils.passes import in_steps

Size = int | tuple[int, int]

# ---------------------------------------------------------------------------------------------------------------
# Windows
# ---------------------------------------------------------------------------------------------------------------


def _windows(maps: Tensor, kernel_size: Size, stride: Size | None) -> Tensor:
    """Return the pixels of each window in reading order, (N, C, H, W) -> (N, C, H', W', kernel height * width)."""
    kernel_size = check_pair(kernel_size, "kernel_size", 1)
    stride = kernel_size if stride is None else check_pair(stride, "stride", 1)
    size = tuple(maps.shape[2:])
    if kernel_size[0] > size[0] or kernel_size[1] > size[1]:
        raise ValueError(f"kernel_size {kernel_size} is larger than the maps, which have {size} (rows, columns)")
    windows = maps.unfold(2, kernel_size[0], stride[0]).unfold(3, kernel_size[1], stride[1])  # (N, C, H', W', kh, kw)
    return windows.flatten(4)


def _addresses(size: tuple[int, int], kernel_size: Size, stride: Size | None, device: torch.device) -> Tensor:
    """Return where the pixels of each window lie in a map of `size`, as row * W + column: (1, 1, H', W', kh * kw)."""
    height, width = size
    numbered = torch.arange(height * width, device=device).view(1, 1, height, width)
    return _windows(numbered, kernel_size, stride)


# ---------------------------------------------------------------------------------------------------------------
# Max pooling
# ---------------------------------------------------------------------------------------------------------------


def max_pool2d(inputs: Tensor, kernel_size: Size, stride: Size | None = None) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window and its switch, the place in the input map where it was found.

    If several pixels of a window hold the maximum (a tie), the first one in reading order wins, as in torch.

    Args:
        inputs: (N, C, H, W); infinite values are allowed, minus infinity is the padding that never wins.
        kernel_size: size of the window, a whole number or (rows, columns).
        stride: steps of the window, a whole number or (rows, columns); None: kernel_size, windows side by side.
            Smaller steps make the windows overlap, larger ones leave pixels out.

    Returns:
        outputs (N, C, H', W') and switches, a LongTensor (N, C, H', W') of flat indices row * W + column into each map.

    Raises:
        TypeError, ValueError: a bad argument, by name; NaN in the inputs; a window larger than the map.

    Source: Zeiler and Fergus 2014, section 2.1; the numbering is that of torch's `return_indices=True`.
    """
    check_inputs(inputs, infinite=True)
    windows = _windows(inputs, kernel_size, stride)
    winner = windows.argmax(-1, keepdim=True)  # number within the window; the first maximum, in reading order
    addresses = _addresses(tuple(inputs.shape[2:]), kernel_size, stride, inputs.device)
    outputs = windows.gather(-1, winner).squeeze(-1)
    switches = addresses.expand(windows.shape).gather(-1, winner).squeeze(-1)
    return outputs, switches


def n_maxima(inputs: Tensor, kernel_size: Size, stride: Size | None = None) -> Tensor:
    """Return how many pixels of each window hold its maximum: 1, or more where there is a tie.

    Args:
        inputs, kernel_size, stride: as in `max_pool2d`.

    Returns:
        LongTensor (N, C, H', W').

    Raises:
        TypeError, ValueError: as in `max_pool2d`.
    """
    check_inputs(inputs, infinite=True)
    windows = _windows(inputs, kernel_size, stride)
    return (windows == windows.amax(-1, keepdim=True)).sum(-1)


def max_pool2d_backward(output_gradient: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    """Return df/dX_n: each window hands its gradient to its switch, and gradients that meet there add up.

    At a tie the whole gradient goes to the first maximum, which is where the switch is: one of the many subgradients.

    Args:
        output_gradient: df/dX_{n+1}, (N, C, H', W').
        switches: of `max_pool2d`, (N, C, H', W').
        input_size: size of the input maps, a whole number or (H, W).

    Returns:
        (N, C, H, W), in the dtype of `output_gradient`; the sum over each map is that of `output_gradient`.

    Raises:
        TypeError, ValueError: a bad argument, by name; switches of another shape, or that lie outside the map.

    Source: the chain rule; Simonyan, Vedaldi and Zisserman 2014, section 4.
    """
    check_inputs(output_gradient, "output_gradient")
    n, c, height, width = _check_switches(switches, output_gradient, "output_gradient", input_size)
    gradient = output_gradient.new_zeros(n, c, height * width)
    gradient = gradient.scatter_add(2, switches.flatten(2), output_gradient.flatten(2))
    return gradient.view(n, c, height, width)


def unpool2d(outputs: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    """Return the large map with each value at its switch and 0 elsewhere: the deconvnet's way back through a pool.

    Where windows do not overlap this is the same as `max_pool2d_backward`. Where they do, several windows may have one
    switch. Their values are put there and not added up. Pooled maxima with one switch are all the same number, so
    that nothing is lost. Any other values may differ, and then the last window in reading order wins. torch's
    `max_unpool2d` does the same on a CPU, and promises no order on other devices.

    Args:
        outputs: the small maps (N, C, H', W'), maxima or any signal of their shape.
        switches: of `max_pool2d`, (N, C, H', W').
        input_size: size of the large maps, a whole number or (H, W).

    Returns:
        (N, C, H, W), in the dtype of `outputs`.

    Raises:
        TypeError, ValueError: as in `max_pool2d_backward`.

    Source: Zeiler and Fergus 2014, section 2.1, "Unpooling".
    """
    check_inputs(outputs, "outputs", infinite=True)
    n, c, height, width = _check_switches(switches, outputs, "outputs", input_size)
    places, values = switches.flatten(2), outputs.flatten(2)
    numbers = torch.arange(places.shape[2], device=outputs.device).expand_as(places)
    # The last window with its switch here, -1 where there is none. A plain scatter promises no order among several.
    window = places.new_full((n, c, height * width), -1).scatter_reduce(2, places, numbers, "amax")
    unpooled = torch.where(window < 0, 0, values.gather(2, window.clamp(min=0)))
    return unpooled.view(n, c, height, width)


def _check_switches(switches: Tensor, values: Tensor, name: str, input_size: Size) -> tuple[int, int, int, int]:
    """Check that each of the `values` (N, C, H', W') has a switch within a map of input_size, and return (N, C, H, W).

    Raises:
        TypeError: switches that are no tensor of whole numbers.
        ValueError: another shape than that of the values, or a switch outside the map.
    """
    height, width = check_pair(input_size, "input_size", 1)
    if not isinstance(switches, Tensor):
        raise TypeError(f"switches must be a LongTensor (N, C, H', W'), got {type(switches).__name__}")
    if switches.dtype != torch.long:
        raise TypeError(f"switches must be a LongTensor (N, C, H', W'), got dtype {switches.dtype}")
    if switches.shape != values.shape:
        raise ValueError(
            f"switches must have the shape of {name}, {tuple(values.shape)}, got {tuple(switches.shape)}: one switch "
            "for each value"
        )
    low, high = int(switches.min()), int(switches.max())
    if low < 0 or high >= height * width:
        raise ValueError(
            f"switches must lie in a map of input_size {(height, width)}, so from 0 to {height * width - 1}, got "
            f"{low if low < 0 else high}"
        )
    return *values.shape[:2], height, width


# ---------------------------------------------------------------------------------------------------------------
# Average pooling
# ---------------------------------------------------------------------------------------------------------------


def avg_pool2d(inputs: Tensor, kernel_size: Size, stride: Size | None = None) -> Tensor:
    """Return the mean of each window: the convolution of each map with a kernel of equal weights.

    Args:
        inputs: (N, C, H, W).
        kernel_size, stride: as in `max_pool2d`.

    Returns:
        (N, C, H', W').

    Raises:
        TypeError, ValueError: a bad argument, by name; a window larger than the map.

    Source: LeCun et al. 1998, section II.A (subsampling), without its trained weight and bias.
    """
    check_inputs(inputs)
    return _windows(inputs, kernel_size, stride).mean(-1)


def avg_pool2d_backward(
    output_gradient: Tensor, input_size: Size, kernel_size: Size, stride: Size | None = None
) -> Tensor:
    """Return df/dX_n of average pooling: each window hands an equal share of its gradient to all its pixels.

    Args:
        output_gradient: df/dX_{n+1}, (N, C, H', W').
        input_size: size of the input maps, a whole number or (H, W).
        kernel_size, stride: as in `max_pool2d`.

    Returns:
        (N, C, H, W), in the dtype of `output_gradient`. It depends on no input: average pooling is linear.

    Raises:
        TypeError, ValueError: a bad argument, by name; an output_gradient that no map of input_size gives.

    Source: the chain rule: dX_{n+1}(p)/dX_n(s) = 1 / |Omega(p)| for s in Omega(p), and 0 for all others.
    """
    check_inputs(output_gradient, "output_gradient")
    height, width = check_pair(input_size, "input_size", 1)
    addresses = _addresses((height, width), kernel_size, stride, output_gradient.device)
    if addresses.shape[2:4] != output_gradient.shape[2:]:
        raise ValueError(
            f"output_gradient must have {tuple(addresses.shape[2:4])} windows (rows, columns) for maps of input_size "
            f"{(height, width)}, got {tuple(output_gradient.shape[2:])}"
        )
    n, c = output_gradient.shape[:2]
    pixels = addresses.shape[-1]
    shares = (output_gradient / pixels).unsqueeze(-1).expand(*output_gradient.shape, pixels)
    gradient = output_gradient.new_zeros(n, c, height * width)
    gradient = gradient.scatter_add(2, addresses.expand(shares.shape).flatten(2), shares.flatten(2))
    return gradient.view(n, c, height, width)


# ---------------------------------------------------------------------------------------------------------------
# Finite differences
# ---------------------------------------------------------------------------------------------------------------

SIDES = ("both", "right", "left")


def numeric_gradient(
    function: Callable[[Tensor], Tensor | float],
    inputs: Tensor,
    eps: float = 1e-6,
    side: str = "both",
    progress: bool = False,
) -> Tensor:
    """Return the derivative of a number by each input, from the values of the function alone.

    - "both": (f(x + eps) - f(x - eps)) / (2 eps), the central difference; its error shrinks with eps^2;
    - "right": (f(x + eps) - f(x)) / eps, and "left": (f(x) - f(x - eps)) / eps; their errors shrink with eps.

    Where f has a kink, as max pooling has at a tie, the last two differ however small eps is, and "both" is their
    mean. The function is called twice for each input, in float64, where the difference of two near numbers keeps about
    ten digits.

    Args:
        function: maps a float64 tensor of the shape of `inputs` to one number. It gets a copy each time.
        inputs: float tensor of any shape, the point x.
        eps: how far each input is moved, in units of the inputs.
        side: "both", "right" or "left".
        progress: show a progress bar.

    Returns:
        the shape and dtype of `inputs`.

    Raises:
        TypeError, ValueError: a bad argument, by name; a function that returns something else than one number.

    Source: the definition of the derivative.
    """
    return _differences(function, inputs, eps, side, progress).to(inputs.dtype)


def gradient_check(
    function: Callable[[Tensor], Tensor | float],
    inputs: Tensor,
    gradient: Tensor,
    eps: float = 1e-6,
    progress: bool = False,
) -> tuple[Tensor, float]:
    """Return the gradient by central differences, and by how much the given one differs from it at most.

    A right gradient of a function without a kink near the point differs by about 1e-9 times the size of f's values.

    Args:
        function, inputs, eps, progress: as in `numeric_gradient`.
        gradient: what is checked, of the shape of `inputs`.

    Returns:
        the numeric gradient, of the shape and dtype of `inputs`, and the largest |gradient - numeric| over all inputs.

    Raises:
        TypeError, ValueError: as in `numeric_gradient`, or a gradient of another shape.
    """
    _check_point(function, inputs)
    if not isinstance(gradient, Tensor):
        raise TypeError(f"gradient must be a torch.Tensor, got {type(gradient).__name__}")
    if not gradient.is_floating_point():
        raise TypeError(f"gradient must be a float tensor, got dtype {gradient.dtype}")
    if gradient.shape != inputs.shape:
        raise ValueError(
            f"gradient must have the shape of inputs, {tuple(inputs.shape)}, got {tuple(gradient.shape)}: one "
            "derivative for each input"
        )
    numeric = _differences(function, inputs, eps, "both", progress)
    largest = (gradient.detach().double() - numeric).abs().max().item()
    return numeric.to(inputs.dtype), largest


@torch.no_grad()
def _differences(
    function: Callable[[Tensor], Tensor | float], inputs: Tensor, eps: float, side: str, progress: bool
) -> Tensor:
    """Return `numeric_gradient` in float64."""
    _check_point(function, inputs)
    if check_not_negative(eps, "eps") == 0:
        raise ValueError("eps must be larger than 0, got 0")
    if side not in SIDES:
        raise ValueError(f"side must be one of {', '.join(map(repr, SIDES))}, got {side!r}")
    point = inputs.detach().double()
    if ((point + eps == point) | (point - eps == point)).any():
        raise ValueError(
            f"eps is too small: inputs as large as {point.abs().max().item():g} do not move when {eps:g} is added"
        )
    steps_right, steps_left = float(side != "left") * eps, float(side != "right") * eps
    differences = torch.zeros(point.numel(), dtype=torch.float64)
    for steps in in_steps(point.numel(), 1, progress, "Finite differences"):
        direction = torch.zeros_like(point)
        direction.view(-1)[steps.start] = 1
        above = _one_number(function(point + steps_right * direction))
        below = _one_number(function(point - steps_left * direction))
        differences[steps.start] = (above - below) / (steps_right + steps_left)
    return differences.view(point.shape).to(point.device)


def _check_point(function: Callable[[Tensor], Tensor | float], inputs: Tensor) -> None:
    """Check that there is a function, and a point of finite numbers at which to take its derivative."""
    if not callable(function):
        raise TypeError(f"function must map a tensor to one number, got {type(function).__name__}")
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        came = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be a float tensor, got {came}")
    if inputs.numel() == 0:
        raise ValueError(f"inputs must be at least one number, got shape {tuple(inputs.shape)}")
    check_finite(inputs, "inputs")


def _one_number(value: Tensor | float) -> float:
    """Return what the function gave as a float."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(
                f"function must return one number, got a tensor of shape {tuple(value.shape)}: add up its values, or "
                "weigh them with a gradient from above first"
            )
        return value.item()
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"function must return one number, got {type(value).__name__}")
    return float(value)
