"""Answers to the exercises of unit 03 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]
Size = tuple[int, int]


# --- max pooling, pixel by pixel ------------------------------------------------------------------------------------


def pooled_in_loops(
    takes_over: Callable[[Tensor, Any], bool] = lambda value, best: value > best, start: tuple[float, int] | None = None
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return a max pooling in loops: when a pixel takes over, and with what the search begins (the first pixel)."""

    def max_pool2d(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
        stride = stride or kernel_size
        n, c, height, width = inputs.shape
        size = (height - kernel_size) // stride + 1, (width - kernel_size) // stride + 1
        outputs, switches = inputs.new_zeros(n, c, *size), torch.zeros(n, c, *size, dtype=torch.long)
        for row in range(size[0]):
            for column in range(size[1]):
                for maps, out, places in zip(
                    inputs.flatten(0, 1), outputs.flatten(0, 1), switches.flatten(0, 1), strict=True
                ):
                    top, left = row * stride, column * stride
                    best, place = start or (maps[top, left], top * width + left)
                    for i in range(top, top + kernel_size):
                        for j in range(left, left + kernel_size):
                            if takes_over(maps[i, j], best):
                                best, place = maps[i, j], i * width + j
                    out[row, column] = best
                    places[row, column] = place
        return outputs, switches

    return max_pool2d


def pooled_by_torch(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(inputs, kernel_size, stride, return_indices=True)


def pooled_by_columns_of_windows(inputs: Tensor, kernel_size: int, stride: int | None = None) -> list[Tensor]:
    """With F.unfold, and a list for an answer."""
    n, c, height, width = inputs.shape
    stride = stride or kernel_size
    size = (height - kernel_size) // stride + 1, (width - kernel_size) // stride + 1
    windows = F.unfold(inputs.view(n * c, 1, height, width), kernel_size, stride=stride)
    numbered = torch.arange(height * width, dtype=inputs.dtype).view(1, 1, height, width)
    addresses = F.unfold(numbered, kernel_size, stride=stride).long()
    first = windows.argmax(1, keepdim=True)
    switches = addresses.expand(n * c, -1, -1).gather(1, first)
    return [windows.amax(1).view(n, c, *size), switches.view(n, c, *size)]


# --- backward and unpooling -----------------------------------------------------------------------------------------


def sent_back_in_loops(add: bool) -> Callable[..., Tensor]:
    def backward(values: Tensor, switches: Tensor, input_size: Size) -> Tensor:
        n, c, rows, columns = values.shape
        large = torch.zeros(n, c, *input_size, dtype=values.dtype)
        for image in range(n):
            for channel in range(c):
                for row in range(rows):
                    for column in range(columns):
                        i, j = divmod(int(switches[image, channel, row, column]), input_size[1])
                        before = large[image, channel, i, j] if add else 0
                        large[image, channel, i, j] = before + values[image, channel, row, column]
        return large

    return backward


def sent_back_by_index_add(output_gradient: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    n, c = output_gradient.shape[:2]
    pixels = input_size[0] * input_size[1]
    first_pixel = pixels * torch.arange(n * c).view(n, c, 1, 1)
    flat = output_gradient.new_zeros(n * c * pixels)
    return flat.index_add(0, (switches + first_pixel).flatten(), output_gradient.flatten()).view(n, c, *input_size)


def sent_back_by_one_hot(output_gradient: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    chosen = F.one_hot(switches.flatten(2), input_size[0] * input_size[1]).to(output_gradient.dtype)
    return torch.einsum("ncp,ncps->ncs", output_gradient.flatten(2), chosen).unflatten(2, input_size)


def put_by_scatter(outputs: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    large = outputs.new_zeros(*outputs.shape[:2], input_size[0] * input_size[1])
    return large.scatter(2, switches.flatten(2), outputs.flatten(2)).view(*outputs.shape[:2], *input_size)


def put_by_index(outputs: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    n, c = outputs.shape[:2]
    large = torch.zeros(n, c, *input_size, dtype=outputs.dtype)
    images, channels = torch.arange(n).view(-1, 1, 1, 1), torch.arange(c).view(-1, 1, 1)
    large[images, channels, switches // input_size[1], switches % input_size[1]] = outputs
    return large


def put_as_mean_of_those_that_meet(outputs: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    """Right up to rounding: those that meet are the same number."""
    counted = sent_back_by_index_add(torch.ones_like(outputs), switches, input_size)
    return sent_back_by_index_add(outputs, switches, input_size) / counted.clamp(min=1)


def added_at_an_index(output_gradient: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    """The trap of `+=`: where an index comes twice, one of the two is lost."""
    n, c = output_gradient.shape[:2]
    gradient = output_gradient.new_zeros(n, c, *input_size)
    images, channels = torch.arange(n).view(-1, 1, 1, 1), torch.arange(c).view(-1, 1, 1)
    gradient[images, channels, switches // input_size[1], switches % input_size[1]] += output_gradient
    return gradient


# --- average pooling ------------------------------------------------------------------------------------------------


def averaged_back_by_autograd(
    output_gradient: Tensor, input_size: Size, kernel_size: int, stride: int | None = None
) -> Tensor:
    inputs = output_gradient.new_zeros(*output_gradient.shape[:2], *input_size).requires_grad_()
    return torch.autograd.grad(F.avg_pool2d(inputs, kernel_size, stride), inputs, output_gradient)[0]


def averaged_back_by_convolution(weight: Callable[[int], float], crop: bool = True) -> Callable[..., Tensor]:
    """Return average pooling's backward by a transposed convolution with equal weights."""

    def backward(output_gradient: Tensor, input_size: Size, kernel_size: int, stride: int | None = None) -> Tensor:
        n, c = output_gradient.shape[:2]
        kernel = output_gradient.new_full((1, 1, kernel_size, kernel_size), weight(kernel_size))
        maps = F.conv_transpose2d(output_gradient.flatten(0, 1).unsqueeze(1), kernel, stride=stride or kernel_size)
        maps = maps.view(n, c, *maps.shape[2:])
        missing = input_size[1] - maps.shape[3], input_size[0] - maps.shape[2]
        return F.pad(maps, (0, missing[0], 0, missing[1])) if crop else maps

    return backward


def averaged_back_by_repeating(
    output_gradient: Tensor, input_size: Size, kernel_size: int, stride: int | None = None
) -> Tensor:
    """Right only if the windows lie side by side: what is too much is cut off, what is missing filled up."""
    shares = output_gradient / kernel_size**2
    maps = shares.repeat_interleave(kernel_size, 2).repeat_interleave(kernel_size, 3)[..., : input_size[0], :]
    maps = maps[..., : input_size[1]]
    return F.pad(maps, (0, input_size[1] - maps.shape[3], 0, input_size[0] - maps.shape[2]))


# --- finite differences ---------------------------------------------------------------------------------------------


def checked_by_identity(
    function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, Tensor]:
    steps = eps * torch.eye(inputs.numel(), dtype=inputs.dtype).view(-1, *inputs.shape)
    slopes = [(function(inputs + step) - function(inputs - step)) / (2 * eps) for step in steps]
    numeric = torch.stack(slopes).view(inputs.shape)
    return numeric, torch.linalg.vector_norm(gradient - numeric, torch.inf)


def checked_and_put_back(
    function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    """Moves the caller's own numbers, and puts them back exactly."""
    numeric, flat = torch.zeros_like(inputs), inputs.view(-1)
    for i in range(inputs.numel()):
        before = flat[i].item()
        flat[i] = before + eps
        above = function(inputs)
        flat[i] = before - eps
        below = function(inputs)
        flat[i] = before
        numeric.view(-1)[i] = (above - below) / (2 * eps)
    return numeric, float((gradient - numeric).abs().max())


def moved_in_place(restore: bool, own: bool) -> Callable[..., tuple[Tensor, float]]:
    """Return a check that moves numbers to and fro; `restore`: and nearly back; `own`: those of a copy."""

    def gradient_check(function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6) -> tuple[Tensor, float]:
        x = inputs.clone() if own else inputs
        numeric = torch.zeros_like(x)
        for i in range(x.numel()):
            x.view(-1)[i] += eps
            above = function(x)
            x.view(-1)[i] -= 2 * eps
            below = function(x)
            if restore:
                x.view(-1)[i] += eps
            numeric.view(-1)[i] = (above - below) / (2 * eps)
        return numeric, (gradient - numeric).abs().max().item()

    return gradient_check


def checked_in(dtype: torch.dtype, back: bool) -> Callable[..., tuple[Tensor, float]]:
    """Return a check in another dtype; `back`: its answer is brought back to the inputs' dtype."""

    def gradient_check(function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6) -> tuple[Tensor, float]:
        numeric, largest = checked_by_identity(function, inputs.to(dtype), gradient.to(dtype), eps)
        return numeric.to(inputs.dtype) if back else numeric, float(largest)

    return gradient_check


def forward_differences(
    function: nn.Module, inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    here, numeric = function(inputs), []
    for step in eps * torch.eye(inputs.numel(), dtype=inputs.dtype):
        numeric.append((function(inputs + step.view_as(inputs)) - here) / eps)
    slopes = torch.stack(numeric).view_as(inputs)
    return slopes, (gradient - slopes).abs().max().item()


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function computed in float32; its first value is brought back to the dtype that came."""

    def rounded(values: Tensor, *others: Any, **options: Any) -> Any:
        result = function(values.float(), *others, **options)
        if isinstance(result, Tensor):
            return result.to(values.dtype)
        return result[0].to(values.dtype), result[1]

    return rounded


def windows_at_output_places(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """The trap of a forgotten stride: (i + a) * W + j + b."""
    outputs, switches = pooled_by_torch(inputs, kernel_size, stride)
    step, width = stride or kernel_size, inputs.shape[3]
    rows, columns = torch.arange(outputs.shape[2]).view(-1, 1), torch.arange(outputs.shape[3])
    return outputs, switches - (step - 1) * (rows * width + columns)


def looked_up_in_the_whole_map(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    outputs, _ = pooled_by_torch(inputs, kernel_size, stride)
    found = [
        (pixels == value).nonzero()[0].item()
        for pixels, maxima in zip(inputs.flatten(0, 1).flatten(1), outputs.flatten(0, 1).flatten(1), strict=True)
        for value in maxima
    ]
    return outputs, torch.tensor(found).view(outputs.shape)


def scattered_over_all_channels(output_gradient: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    n, c = output_gradient.shape[:2]
    flat = output_gradient.new_zeros(n, c * input_size[0] * input_size[1])
    return flat.scatter_add(1, switches.flatten(1), output_gradient.flatten(1)).view(n, c, *input_size)


def first_image_alone(output_gradient: Tensor, switches: Tensor, input_size: Size) -> Tensor:
    gradient = output_gradient.new_zeros(*output_gradient.shape[:2], *input_size)
    gradient[:1] = sent_back_by_index_add(output_gradient[:1], switches[:1], input_size)
    return gradient


def richardson(function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6) -> tuple[Tensor, float]:
    """A better approximation than the one asked for: its error shrinks with eps^4."""
    coarse, fine = (checked_by_identity(function, inputs, gradient, step)[0] for step in (eps, eps / 2))
    numeric = (4 * fine - coarse) / 3
    return numeric, float((gradient - numeric).abs().max())


def two_points_that_move_apart(
    function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    above, below, numeric = inputs.clone(), inputs.clone(), []
    for i in range(inputs.numel()):
        above.view(-1)[i], below.view(-1)[i] = above.view(-1)[i] + eps, below.view(-1)[i] - eps
        numeric.append((function(above) - function(below)) / (2 * eps))
    slopes = torch.stack(numeric).view(inputs.shape)
    return slopes, (gradient - slopes).abs().max().item()


def moved_along_one_hot(
    function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    """eps times a tensor of whole numbers is float32."""
    numeric = torch.zeros_like(inputs)
    for i in range(inputs.numel()):
        e = F.one_hot(torch.tensor(i), inputs.numel()).view(inputs.shape)
        numeric.view(-1)[i] = (function(inputs + eps * e) - function(inputs - eps * e)) / (2 * eps)
    return numeric, (gradient - numeric).abs().max().item()


def with_second_value(measure: Callable[[Tensor, Tensor], Any]) -> Callable[..., tuple[Tensor, Any]]:
    """Return a check whose differences are right, and whose second value is measure(gradient, differences)."""

    def gradient_check(function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6) -> tuple[Tensor, Any]:
        numeric, _ = checked_by_identity(function, inputs, gradient, eps)
        return numeric, measure(gradient, numeric)

    return gradient_check


def only_four_dimensions(
    function: Function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, Tensor]:
    n, c, height, width = inputs.shape
    return checked_by_identity(function, inputs.view(n, c, height, width), gradient, eps)


def of_first(result: Callable[..., Any], part: int) -> Callable[..., Any]:
    return lambda *arguments, **options: result(*arguments, **options)[part]


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "max_pool2d": {
        "torch": pooled_by_torch,
        "loops": pooled_in_loops(),
        "from minus infinity": pooled_in_loops(start=(-torch.inf, -1)),
        "unfold": pooled_by_columns_of_windows,
    },
    "max_pool2d_backward": {
        "loops": sent_back_in_loops(add=True),
        "index_add": sent_back_by_index_add,
        "one hot": sent_back_by_one_hot,
    },
    "unpool2d": {
        "loops": sent_back_in_loops(add=False),
        "scatter": put_by_scatter,
        "index": put_by_index,
        "mean": put_as_mean_of_those_that_meet,
    },
    "avg_pool2d_backward": {
        "autograd": averaged_back_by_autograd,
        "transposed convolution": averaged_back_by_convolution(lambda k: 1 / k**2),
    },
    "gradient_check": {
        "identity": checked_by_identity,
        "put back": checked_and_put_back,
        "a copy moved to and fro": moved_in_place(restore=True, own=True),
    },
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("max_pool2d", "last_maximum"): pooled_in_loops(lambda value, best: value >= best),
    ("max_pool2d", "search_from_zero"): pooled_in_loops(start=(0.0, 0)),
    ("max_pool2d", "minimum"): pooled_in_loops(lambda value, best: value < best),
    ("max_pool2d", "in_float32"): in_float32(pooled_in_loops()),
    ("max_pool2d", "window_begins_without_stride"): windows_at_output_places,
    ("max_pool2d", "looked_up"): looked_up_in_the_whole_map,
    ("max_pool2d_backward", "in_float32"): in_float32(sent_back_by_index_add),
    ("max_pool2d_backward", "first_map_of_each_image"): scattered_over_all_channels,
    ("max_pool2d_backward", "first_image_only"): first_image_alone,
    ("unpool2d", "in_float32"): in_float32(put_by_scatter),
    ("avg_pool2d_backward", "in_float32"): in_float32(averaged_back_by_convolution(lambda k: 1 / k**2)),
    ("avg_pool2d_backward", "divided_by_four"): averaged_back_by_convolution(lambda k: 1 / 4),
    ("max_pool2d_backward", "last_one_stays"): added_at_an_index,
    ("unpool2d", "added"): sent_back_in_loops(add=True),
    ("avg_pool2d_backward", "not_divided"): averaged_back_by_convolution(lambda k: 1.0),
    ("avg_pool2d_backward", "divided_by_side"): averaged_back_by_convolution(lambda k: 1 / k),
    ("avg_pool2d_backward", "stride_ignored"): averaged_back_by_repeating,
    ("gradient_check", "eps_ignored"): richardson,
    ("gradient_check", "never_moved_back"): two_points_that_move_apart,
    ("gradient_check", "step_in_float32"): moved_along_one_hot,
    ("gradient_check", "one_sided_right"): forward_differences,
    ("gradient_check", "pile_up"): moved_in_place(restore=False, own=True),
}

# Wrong answers that are no known mistake: the message tells what is wrong, and no hint claims to know why.
REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "outputs alone": ("max_pool2d", of_first(pooled_by_torch, 0), "a tuple of 2 values is asked for"),
    "switches first": (
        "max_pool2d",
        lambda *given, **options: pooled_by_torch(*given, **options)[::-1],
        r"dtype of your answer \(value 1 of 2\)",
    ),
    "switches as floats": (
        "max_pool2d",
        lambda *given, **options: (pooled_by_torch(*given, **options)[0], pooled_by_torch(*given, **options)[1] * 1.0),
        r"dtype of your answer \(value 2 of 2\) is torch.float32; it should be torch.int64",
    ),
    **{
        f"search begins with {start}": (
            "max_pool2d",
            pooled_in_loops(start=(start, 0)),
            "it is always the same number: is it one with which your search begins",
        )
        for start in (-3.0, -10.0, -1e3, -1e9, -9.3e18)
    },
    "never a window of one pixel": (
        "max_pool2d",
        lambda inputs, kernel_size, stride=None: pooled_by_torch(inputs, max(kernel_size, 2), stride),
        "single pixel",
    ),
    "stride needed": ("max_pool2d", lambda inputs, kernel_size, stride: None, "called as max_pool2d"),
    "backward in float32": (
        "max_pool2d_backward",
        lambda gradient, switches, size: sent_back_by_index_add(gradient.float(), switches, size),
        "in float64: the dtype of your answer is torch.float32",
    ),
    "rows and columns mixed up": (
        "max_pool2d_backward",
        lambda gradient, switches, size: gradient.new_zeros(*gradient.shape[:2], *size).index_put(
            (torch.zeros_like(switches), torch.zeros_like(switches), switches // size[0], switches % size[0]), gradient
        ),
        "IndexError|numbers is not",
    ),
    "size made up": (
        "max_pool2d_backward",
        lambda gradient, switches, size: sent_back_by_index_add(gradient, switches, (12, 12)),
        r"the shape of your answer is .*; it should be",
    ),
    "flat maps": (
        "unpool2d",
        lambda outputs, switches, size: put_by_scatter(outputs, switches, size).flatten(2),
        "the shape of your answer",
    ),
    "a view of the border only": (
        "avg_pool2d_backward",
        averaged_back_by_convolution(lambda k: 1 / k**2, crop=False),
        "the shape of your answer",
    ),
    "differences in float32": ("gradient_check", checked_in(torch.float32, back=False), "dtype of your answer"),
    "differences in float32, hidden": ("gradient_check", checked_in(torch.float32, back=True), "numbers are not"),
    "inputs moved": ("gradient_check", moved_in_place(restore=False, own=False), "changed `inputs` itself"),
    "inputs nearly put back": ("gradient_check", moved_in_place(restore=True, own=False), "changed `inputs` itself"),
    "four dimensions alone": ("gradient_check", only_four_dimensions, "a vector of 5 numbers.*not enough values"),
    **{
        f"second value: {name}": (
            "gradient_check",
            with_second_value(measure),
            r"the number is not right \(value 2 of 2\).*Your first value is right here",
        )
        for name, measure in {
            "smallest": lambda gradient, numeric: (gradient - numeric).abs().min().item(),
            "square": lambda gradient, numeric: (gradient - numeric).square().max().item(),
            "whether it is right": lambda gradient, numeric: torch.allclose(gradient, numeric, atol=1e-4),
        }.items()
    },
    "the number alone": ("gradient_check", of_first(checked_by_identity, 1), "a tuple of 2 values is asked for"),
    "the gradient that was given": (
        "gradient_check",
        lambda function, inputs, gradient, eps=1e-6: (gradient.clone(), 0.0),
        "numbers are not",
    ),
}
