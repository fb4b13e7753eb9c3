"""The explorer of unit 01: a kernel on its way over a picture, and the connections that share one of its weights."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets
import torch
from torch import Tensor

from course_utils import convolution, plotting
from course_utils.checking import check_inputs
from course_utils.widgets.explorer import Explorer

SEVEN = torch.tensor(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 4.0, 4.0, 4.0, 4.0, 4.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0],
        [0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 4.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 4.0, 2.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0],
    ]
)
"""A picture of 7 x 7 grey values: a seven."""

KERNELS = {
    "the lecture's, 2 x 2": torch.tensor([[1.0, -2.0], [3.0, 1.0]]),
    "from left to right, 3 x 3": torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]),
    "from top to bottom, 3 x 3": torch.tensor([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]),
    "edges of all directions, 3 x 3": torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]),
    "blur, 3 x 3": torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]),
    "one row, 1 x 3": torch.tensor([[1.0, -2.0, 1.0]]),
}
"""The kernels of the explorer: name -> (kh, kw)."""


def explorer(image: Tensor | None = None, kernels: Mapping[str, Tensor] | None = None) -> Explorer:
    """Step a kernel over a picture, and see the set [ji] of all connections that share a weight of it.

    Args:
        image: float tensor (H, W), finite, small enough for its numbers to be read; default: a seven of 7 x 7 pixels.
        kernels: name -> float tensor (kh, kw) in the dtype of `image`; default: `KERNELS`.

    Returns:
        An :class:`Explorer` with controls for kernel, stride, padding, dilation, the output that is lit and the weight
        that is lit. The picture shows the kernel, the input with its border of zeros, the output, and the connections
        of the weight. The text gives the sum at the output term by term, the size of the output, and the number of
        connections in [ji].

    Raises:
        TypeError, ValueError: no kernels, or tensors of another kind or shape.
    """
    image = SEVEN if image is None else _check_table(image, "image")
    named = KERNELS if kernels is None else dict(kernels)
    if not named:
        raise ValueError("kernels is empty: give at least one, name -> tensor (kh, kw)")
    for name, kernel in named.items():
        _check_table(kernel, f"kernels[{name!r}]")
        if kernel.dtype != image.dtype:
            raise TypeError(f"kernels[{name!r}] is {kernel.dtype}, but image is {image.dtype}: use .to(image.dtype)")

    def computed(
        kernel: str, step: int, tap: int, stride: int, padding: int, dilation: int
    ) -> tuple[Tensor, Tensor, tuple[int, int], tuple[int, int], Tensor]:
        """Give the kernel, the output, the lit places in both, and the connections of the lit weight.

        Outputs and weights count from 1. A number beyond the last one stands for the last one.
        """
        weight, steps = named[kernel], (stride, padding, dilation)
        outputs = convolution.conv2d(image[None, None], weight[None, None], None, *steps)[0, 0]
        position = divmod(min(step, outputs.numel()) - 1, outputs.shape[1])
        chosen = divmod(min(tap, weight.numel()) - 1, weight.shape[1])
        shared = convolution.connections(tuple(weight.shape), tuple(image.shape), *steps)[chosen]
        return weight, outputs, position, chosen, shared

    def draw(kernel: str, step: int, tap: int, stride: int, padding: int, dilation: int) -> plotting.Picture:
        weight, outputs, position, chosen, shared = computed(kernel, step, tap, stride, padding, dilation)
        return plotting.convolution_step(
            image, weight, outputs, stride, padding, dilation, position, chosen, shared, f"Kernel: {kernel}"
        )

    def describe(kernel: str, step: int, tap: int, stride: int, padding: int, dilation: int) -> str:
        weight, outputs, position, chosen, shared = computed(kernel, step, tap, stride, padding, dilation)
        padded = torch.nn.functional.pad(image, (padding,) * 4)
        corner = [stride * place for place in position]
        window = padded[corner[0] :: dilation, corner[1] :: dilation][: weight.shape[0], : weight.shape[1]]
        terms = " + ".join(
            f"{_number(w)} x {_number(y)}" for w, y in zip(weight.flatten(), window.flatten(), strict=True)
        )
        number = position[0] * outputs.shape[1] + position[1]
        here = shared[shared[:, 0] == number, 1]
        at_output = (
            f"at the lit output it leads from the input in row {here.item() // image.shape[1]}, column "
            f"{here.item() % image.shape[1]}"
            if len(here)
            else "at the lit output it lies on the padding, where there is no neuron and so no connection"
        )
        height, width = outputs.shape
        return (
            f"Output {number + 1} of {outputs.numel()} (row {position[0]}, column {position[1]} of {height} x {width}; "
            f"rows and columns count from 0): {terms} = {_number(outputs[position])}. "
            f"The weight {_number(weight[chosen])} in row {chosen[0]}, column {chosen[1]} of the kernel is shared by "
            f"{len(shared)} connections, its set [ji]; {at_output}. "
            f"Rows of the output: ({image.shape[0]} + 2 x {padding} - {dilation} x {weight.shape[0] - 1} - 1) / "
            f"{stride} + 1, rounded down, = {height}; columns in the same way: {width}."
        )

    controls = {
        "kernel": ipywidgets.Dropdown(options=list(named), description="Kernel"),
        "stride": ipywidgets.IntSlider(value=1, min=1, max=3, description="Stride", continuous_update=False),
        "padding": ipywidgets.IntSlider(value=0, min=0, max=2, description="Padding", continuous_update=False),
        "dilation": ipywidgets.IntSlider(value=1, min=1, max=3, description="Dilation", continuous_update=False),
        "step": ipywidgets.IntSlider(value=1, min=1, max=1, description="Output", continuous_update=False),
        "tap": ipywidgets.IntSlider(value=1, min=1, max=1, description="Weight", continuous_update=False),
    }

    def set_ends(_change: object = None) -> None:
        """Let the last two sliders end at the last output and at the last weight."""
        weight = named[controls["kernel"].value]
        controls["tap"].max = weight.numel()
        steps = [controls[name].value for name in ("stride", "padding", "dilation")]
        try:
            height, width = convolution.output_size(tuple(image.shape), tuple(weight.shape), *steps)
        except ValueError:  # the kernel fits nowhere: the picture will say so
            return
        controls["step"].max = height * width

    for name in ("kernel", "stride", "padding", "dilation"):
        controls[name].observe(set_ends, names="value")  # before the explorer's own, so that it draws what is there
    set_ends()
    controls["step"].value = 1 + 2 * controls["step"].max // 5  # a place that is not the corner
    return Explorer(draw, controls, describe)


def _check_table(values: Tensor, name: str) -> Tensor:
    """Return a table of numbers (rows, columns), or say what is wrong with it."""
    if isinstance(values, Tensor) and values.dim() != 2:
        raise ValueError(f"{name} must be of shape (rows, columns), got {tuple(values.shape)}")
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a float tensor (rows, columns), got {type(values).__name__}")
    return check_inputs(values[None, None], name)[0, 0].detach()


def _number(value: Tensor) -> str:
    """Write a number with a minus sign that is no hyphen, negative ones in brackets, for use in a sum."""
    text = f"{abs(value.item()):.4g}"
    return f"(−{text})" if value < 0 else text
