"""The explorer of unit 04: the pyramid under one output, and what kernel, stride, dilation and padding do to it."""

from __future__ import annotations

import ipywidgets

from course_utils import plotting
from course_utils.checking import check_count
from course_utils.receptive_fields import Layer, input_region, receptive_field
from course_utils.widgets.explorer import Explorer

DILATIONS = {"1 in every layer": (1, 1, 1, 1), "2 in every layer": (2, 2, 2, 2), "1, 2, 4, 8: doubled": (1, 2, 4, 8)}
"""The dilation of each layer, by its description."""
PADDINGS = {"none": False, "half of the kernel's span": True}
"""Whether layers are padded so that a stride of 1 keeps the size (for odd spans), by its description."""


def explorer(input_size: int = 31) -> Explorer:
    """Explore receptive fields: choose the number of layers, kernel, stride, dilation, padding and the output.

    Args:
        input_size: elements of the 1-D input, from 1 to 40.

    Returns:
        An :class:`Explorer`: the layers above each other, with all that the chosen output depends on; its text gives
        the receptive field with its sum, the jump, the region of the input, and how many of its elements are read.

    Raises:
        ValueError, TypeError: another `input_size`.
    """
    if check_count(input_size, "input_size") > 40:
        raise ValueError(f"input_size must be at most 40, so that the elements can be told apart, got {input_size}")

    def layers(number: int, kernel_size: int, stride: int, dilation: str, padding: bool) -> list[Layer]:
        return [
            Layer(kernel_size, stride, (kernel_size - 1) * d // 2 if padding else 0, d)
            for d in DILATIONS[dilation][:number]
        ]

    def chosen(position: int, **settings) -> tuple[list[Layer], list[int], int]:
        """Give the layers, the sizes of input and layers up to the first without an output, and the output chosen."""
        stack, sizes = layers(**settings), [input_size]
        for layer in stack:
            reach = (layer.kernel_size - 1) * layer.dilation
            sizes.append((sizes[-1] + 2 * layer.padding - reach - 1) // layer.stride + 1)
            if sizes[-1] < 1:
                break
        return stack, sizes, min(position, sizes[-1] - 1)

    def draw(**values) -> plotting.Picture:
        stack, _, position = chosen(**values)
        if position < 0:
            return plotting.message(describe(**values))
        number = len(stack)
        return plotting.receptive_pyramid(
            stack, input_size, [position], f"What output {position} of layer {number} sees"
        )

    def describe(**values) -> str:
        stack, sizes, position = chosen(**values)
        if position < 0:
            number = len(sizes) - 1
            layer = stack[number - 1]
            span = (layer.kernel_size - 1) * layer.dilation + 1
            return (
                f"Layer {number} has no output: its kernel spans {span} elements, but with its padding it gets only "
                f"{sizes[-2] + 2 * layer.padding}. Take fewer layers, a smaller kernel, or padding."
            )
        jump, terms = 1, ["1"]
        for layer in stack:
            terms.append(f"{layer.kernel_size - 1}·{layer.dilation}·{jump}")
            jump *= layer.stride
        field, (first, last) = receptive_field(stack), input_region(stack, position)
        read = len(inputs_read(stack, sizes, position))
        outside = max(0, -first) + max(0, last - input_size + 1)
        asked = values["position"]
        parts = [
            f"Receptive field {field} = {' + '.join(terms)}, that is 1 and for each layer (k - 1)·d·(jump below it). "
            f"Jump {jump}: the next output's field begins {jump} further.",
            f"Output {position} (of 0 to {sizes[-1] - 1}) sees the inputs {first} to {last} and reads "
            f"{'all' if read == field else f'{read} of these'} {field}.",
        ]
        if outside:
            parts.append(f"Beyond the ends of the input, where padding is: {outside}.")
        if read + outside < field:
            parts.append("The others fall through holes, or only padding of a higher layer stands above them.")
        if asked != position:
            parts.append(f"There is no output {asked}: the last one is shown.")
        return " ".join(parts)

    controls = {
        "number": ipywidgets.IntSlider(value=2, min=1, max=4, description="Layers", continuous_update=False),
        "kernel_size": ipywidgets.IntSlider(value=3, min=1, max=5, description="Kernel k", continuous_update=False),
        "stride": ipywidgets.IntSlider(value=1, min=1, max=3, description="Stride s", continuous_update=False),
        "dilation": ipywidgets.Dropdown(options=list(DILATIONS), description="Dilation d"),
        "padding": ipywidgets.Dropdown(options=list(PADDINGS.items()), description="Padding"),
        "position": ipywidgets.IntSlider(
            value=12, min=0, max=input_size - 1, description="Output", continuous_update=False
        ),
    }
    return Explorer(draw, controls, describe)


def inputs_read(layers: list[Layer], sizes: list[int], position: int) -> set[int]:
    """Give the input elements that an output depends on, by following its connections; padding leads nowhere.

    Args:
        layers: the layers from the input to the output.
        sizes: elements of the input and of each layer.
        position: the output, an index into the last layer.
    """
    read = {position}
    for layer, size in zip(reversed(layers), reversed(sizes[:-1]), strict=True):
        taps = {
            element * layer.stride - layer.padding + tap * layer.dilation
            for element in read
            for tap in range(layer.kernel_size)
        }
        read = {tap for tap in taps if 0 <= tap < size}
    return read
