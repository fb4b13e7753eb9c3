"""The explorer of unit 03: a pooling layer, forward window by window, then in reverse mode window by window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor

from course_utils import plotting
from course_utils.max_pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from course_utils.widgets.explorer import Explorer

MAXIMUM, AVERAGE = "maximum", "average"
LARGEST = 6
"""Most rows or columns of a map: a larger one has too many windows to step through."""

EXAMPLES = {
    "all numbers different": torch.tensor(
        [
            [1.0, 4.0, -2.0, 8.0, 0.0, 5.0],
            [6.0, 3.0, 7.0, 2.0, -1.0, 9.0],
            [-3.0, 10.0, 18.0, 11.0, 12.0, -4.0],
            [13.0, -5.0, 14.0, 15.0, -6.0, 16.0],
            [17.0, 19.0, -7.0, 20.0, 21.0, -8.0],
            [-9.0, 22.0, 23.0, -10.0, 24.0, 25.0],
        ]
    ),
    "ties": torch.tensor(
        [
            [5.0, 5.0, 1.0, 3.0, 2.0, 7.0],
            [5.0, 5.0, 3.0, 0.0, 7.0, 7.0],
            [0.0, 4.0, 6.0, 6.0, 1.0, 1.0],
            [4.0, 2.0, 6.0, 2.0, 1.0, 1.0],
            [-2.0, 8.0, 0.0, 0.0, 9.0, 3.0],
            [8.0, 1.0, 0.0, 0.0, 3.0, 9.0],
        ]
    ),
    "behind a ReLU": torch.tensor(
        [
            [0.0, 0.0, 0.0, 1.2, 0.4, 0.0],
            [0.0, 0.0, 0.7, 2.5, 0.0, 0.0],
            [0.0, 0.3, 1.9, 0.8, 0.0, 0.0],
            [0.0, 1.1, 3.1, 0.0, 0.0, 0.0],
            [0.6, 2.2, 0.5, 0.0, 0.0, 0.1],
            [1.4, 0.9, 0.0, 0.0, 0.0, 0.0],
        ]
    ),
}
YOURS = "yours"

# What the rest of the network does with the outputs: f is their sum, each times its number here. None is 0.
REST = torch.tensor(
    [
        [2.0, -1.0, 3.0, 1.0, -2.0],
        [1.0, 4.0, -2.0, -1.0, 3.0],
        [-3.0, 2.0, 1.0, 2.0, -1.0],
        [3.0, -2.0, 1.0, -4.0, 2.0],
        [-1.0, 1.0, 2.0, 3.0, -2.0],
    ]
)


@dataclass(frozen=True)
class Walk:
    """All that is seen on the way through a pooling layer and back.

    Attributes:
        inputs: (H, W).
        outputs: (H', W').
        switches: LongTensor (H', W'), flat indices into the map; None for average pooling.
        output_gradient: (H', W').
        windows: of each output, in reading order: (first row, first column, rows, columns).
        arrived: (n + 1, H, W), the inputs' gradient after 0, 1, ..., n windows in reverse order.
    """

    inputs: Tensor
    outputs: Tensor
    switches: Tensor | None
    output_gradient: Tensor
    windows: list[tuple[int, int, int, int]]
    arrived: Tensor

    @property
    def last_step(self) -> int:
        """The steps are 0 to this: the start, each window, the gradient's arrival, each window in reverse order."""
        return 2 * len(self.windows) + 1

    def current(self, step: int) -> int | None:
        """Give the number of the window that a step looks at; None where it looks at none."""
        n = len(self.windows)
        if 1 <= step <= n:
            return step - 1
        return self.last_step - step if step > n + 1 else None


def walk(inputs: Tensor, kind: str, kernel_size: int, stride: int) -> Walk:
    """Walk through a pooling layer and back.

    Args:
        inputs: (H, W), a float tensor.
        kind: "maximum" or "average".
        kernel_size: size of the window, in pixels.
        stride: step of the window, in pixels.

    Returns:
        A :class:`Walk`; the gradient from above is the one of a fixed weighted sum of the outputs.
    """
    maps, size = inputs[None, None], tuple(inputs.shape)
    if kind == MAXIMUM:
        outputs, switches = max_pool2d(maps, kernel_size, stride)
    else:
        outputs, switches = avg_pool2d(maps, kernel_size, stride), None
    height, width = outputs.shape[2:]
    signal = REST[:height, :width].to(inputs.dtype)
    if switches is None:
        signal = signal * kernel_size**2  # so that the shares are whole numbers, too

    # After k windows of the way back, the last k in reading order have sent their gradient; one batch for all k.
    n = height * width
    sent = torch.arange(n) >= n - torch.arange(n + 1)[:, None]
    signals = (signal.flatten() * sent).view(n + 1, 1, height, width)
    if switches is not None:
        arrived = max_pool2d_backward(signals, switches.expand(n + 1, -1, -1, -1), size)
    else:
        arrived = avg_pool2d_backward(signals, size, kernel_size, stride)
    windows = [(i * stride, j * stride, kernel_size, kernel_size) for i in range(height) for j in range(width)]
    return Walk(inputs, outputs[0, 0], None if switches is None else switches[0, 0], signal, windows, arrived[:, 0])


def explorer(inputs: Tensor | None = None) -> Explorer:
    """Step through a pooling layer, forward and then in reverse mode, as in the lecture's animation.

    Args:
        inputs: (H, W), a map of your own, 3 to 6 rows and columns; it is then the first of the examples.

    Returns:
        An :class:`Explorer`: the map and its pooled map on top, the gradients below; its text says what this step
        does. The buttons beside the controls play the steps one after the other.

    Raises:
        TypeError: inputs that are no float tensor.
        ValueError: inputs of another shape, or not finite.
    """
    examples = dict(EXAMPLES) if inputs is None else {YOURS: _own_map(inputs), **EXAMPLES}

    @lru_cache(maxsize=32)
    def walked(example: str, kind: str, kernel_size: int, stride: int) -> Walk:
        return walk(examples[example], kind, kernel_size, stride)

    def draw(step: int, **settings) -> plotting.Picture:
        return _draw(walked(**settings), step)

    def describe(step: int, **settings) -> str:
        return _describe(walked(**settings), step, settings["stride"] < settings["kernel_size"])

    controls = {
        "example": ipywidgets.Dropdown(options=list(examples), description="Map"),
        "kind": ipywidgets.Dropdown(options=[MAXIMUM, AVERAGE], description="Pooling"),
        "kernel_size": ipywidgets.Dropdown(options=[("2 x 2", 2), ("3 x 3", 3)], description="Window"),
        "stride": ipywidgets.Dropdown(options=[1, 2, 3], value=2, description="Stride"),
        "step": ipywidgets.IntSlider(value=0, min=0, max=1, description="Step", continuous_update=False),
    }
    play = ipywidgets.Play(value=0, min=0, max=1, interval=1500, description="Play the steps")

    # The number of steps follows the windows. This observer is the first one: the step fits before anything is drawn.
    def fit(_change: object = None) -> None:
        settings = {name: control.value for name, control in controls.items() if name != "step"}
        controls["step"].max = play.max = walked(**settings).last_step

    fit()
    for name in ("example", "kernel_size", "stride"):
        controls[name].observe(fit, names="value")
    built = Explorer(draw, controls, describe)
    ipywidgets.link((play, "value"), (controls["step"], "value"))
    row = built.widget.children[0]
    row.children = (*row.children, play)
    return built


def _own_map(inputs: Tensor) -> Tensor:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        came = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be a float tensor (H, W), got {came}")
    if inputs.dim() != 2 or not all(3 <= size <= LARGEST for size in inputs.shape):
        raise ValueError(f"inputs must be (H, W) with 3 to {LARGEST} rows and columns, got {tuple(inputs.shape)}")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs must be finite, got NaN or infinite values")
    return inputs.detach().clone()


def _draw(walk: Walk, step: int) -> plotting.Picture:
    n, width = len(walk.windows), walk.outputs.shape[1]
    unknown = float("nan")
    done = (torch.arange(n) < step).view_as(walk.outputs)
    outputs = walk.outputs.masked_fill(~done, unknown)
    if step > n:
        signal, arrived = walk.output_gradient, walk.arrived[max(0, step - n - 1)]
    else:
        signal = torch.full_like(walk.output_gradient, unknown)
        arrived = torch.full_like(walk.inputs, unknown)
    remembered = torch.zeros(walk.inputs.numel(), dtype=torch.bool)
    if walk.switches is not None:
        remembered[walk.switches[done]] = True
    current = walk.current(step)
    return plotting.pooling_step(
        walk.inputs,
        outputs,
        signal,
        arrived,
        remembered.view_as(walk.inputs),
        None if current is None else walk.windows[current],
        None if current is None else divmod(current, width),
        _heading(walk, step),
    )


def _heading(walk: Walk, step: int) -> str:
    n, current = len(walk.windows), walk.current(step)
    if current is not None:
        return f"{'Forward' if step <= n else 'Reverse mode'}: window {current + 1} of {n}"
    return "Before the first window" if step == 0 else "The rest of the network sends its gradient"


def _describe(walk: Walk, step: int, overlap: bool) -> str:
    """Say what a step does, with its numbers."""
    n, current = len(walk.windows), walk.current(step)
    (height, width), (rows, columns) = walk.inputs.shape, walk.outputs.shape
    k = walk.windows[0][2]
    pooling = "Max" if walk.switches is not None else "Average"
    prefix = f"Step {step} of {walk.last_step}. "
    if step == 0:
        meet = "overlap" if overlap else "do not overlap"
        return prefix + (
            f"{pooling} pooling of a map of {height} x {width} with {n} windows of {k} x {k}, which {meet}: the pooled "
            f"map has {rows} x {columns}. Move the slider or press play. Rows and columns count from 0."
        )
    if current is None:
        return prefix + (
            "Forward is done. The rest of the network multiplies each output by a fixed number and adds up, "
            "f = sum of v(p) times output(p). So the gradient that it sends back is v. The gradient of the map starts "
            "as zeros; now the windows are gone through in reverse order."
        )
    where = "output (row {}, column {})".format(*divmod(current, columns))
    first_row, first_column, *_ = walk.windows[current]
    pixels = walk.inputs[first_row : first_row + k, first_column : first_column + k].flatten().tolist()
    value, signal = walk.outputs.flatten()[current].item(), walk.output_gradient.flatten()[current].item()
    if step <= n:
        numbers = ", ".join(map(_short, pixels))
        text = f"Forward, window {current + 1} of {n}, {where}: the "
        if walk.switches is None:
            return prefix + text + f"mean of {numbers} is {_short(value)}. Nothing needs to be remembered."
        index = int(walk.switches.flatten()[current])
        text += f"maximum of {numbers} is {_short(value)}, found in {_place(index, width)}. "
        if (equal := pixels.count(value)) > 1:
            text += f"A tie: {equal} inputs hold it, and the first one in reading order wins. "
        return (
            prefix + text + f"Its place is remembered: switch {index} = {index // width} * {width} + {index % width}."
        )

    text = f"Reverse mode, window {current + 1} of {n}, {where}: its gradient {_short(signal)} "
    back = step - n - 1
    before, after = walk.arrived[back - 1].flatten(), walk.arrived[back].flatten()
    if walk.switches is None:
        share = f"{_short(signal)} / {len(pixels)} = {_short(signal / len(pixels))}"
        text += f"is shared out, each of the {len(pixels)} inputs gets {share}"
        met = any(
            abs(row - first_row) < k and abs(column - first_column) < k
            for row, column, *_ in walk.windows[current + 1 :]
        )
        text += ", added to what other windows have sent. " if met else ". "
    else:
        index = int(walk.switches.flatten()[current])
        text += f"goes to its switch, {_place(index, width)}. "
        met = int((walk.switches.flatten()[current + 1 :] == index).sum())
        if met:
            sum_of = f"{_short(before[index].item())} + {_short(signal)} = {_short(after[index].item())}"
            others = "Another window has" if met == 1 else f"{met} other windows have"
            text += f"{others} sent gradient there already, and it adds up: {sum_of}. "
    if back == n:
        zeros = int((after == 0).sum())
        text += (
            f"Done: the gradient of the map adds up to {_short(after.sum().item())}, as that of the outputs does; "
            f"{zeros} of {height * width} inputs have gradient 0."
        )
    return prefix + text.strip()


def _place(index: int, width: int) -> str:
    return f"row {index // width}, column {index % width}"


def _short(value: float) -> str:
    """Write a number with at most two decimals."""
    return f"{round(value, 2) + 0.0:g}"
