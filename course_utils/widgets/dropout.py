"""The explorer of unit 02: click units off, and see the layer's matrix and the gradient of each weight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor

from course_utils import plotting
from course_utils.convolution import conv_matrix, weight_gradient
from course_utils.dropout import conv_dropout_matrix, dense_dropout, weights_without_gradient
from course_utils.widgets.explorer import Explorer

DENSE, SMALL, PADDED = "dense, 9 to 9 units", "convolution, 2x2 on 3x3", "convolution, padded 3x3 on 3x3"
LAYERS = (DENSE, SMALL, PADDED)
SYMBOLS, NUMBERS = "symbols", "numbers"
UNITS = tuple(f"r_{i}" for i in range(1, 10))

# No input is 0 and none is negative: a gradient is 0 only where all that feeds it is dropped.
INPUTS = torch.tensor([[2.0, 1.0, 3.0], [4.0, 5.0, 2.0], [1.0, 3.0, 2.0]])
KERNELS = {
    SMALL: torch.tensor([[2.0, -1.0], [1.0, -3.0]]),
    PADDED: torch.tensor([[1.0, -2.0, 1.0], [3.0, 5.0, -1.0], [-1.0, 2.0, -3.0]]),
}
PADDING = {SMALL: 0, PADDED: 1}
# No weight is 0, which would look like a dropped one.
WEIGHT = torch.tensor([[float((3 * i + 5 * j + i * j) % 9 - 4 or 5) for i in range(9)] for j in range(9)])
WATCHED = {DENSE: "w_55", SMALL: "w_1", PADDED: "w_5"}


@dataclass(frozen=True)
class Layer:
    """What a layer is with the units that are kept.

    Attributes:
        names: symbols of the matrix, row by row; "0" where there is no connection.
        matrix: W R or M R, (outputs, 9).
        connected: bool (outputs, 9), where there is a connection.
        outputs: y, (outputs,).
        gradient_names: symbols of the weights in the shape of `gradient`.
        gradient: of E = y_1 + y_2 + ... by each weight, (rows, columns).
        without: bool (rows, columns), weights that get no gradient because all their inputs are dropped.
    """

    names: list[list[str]]
    matrix: Tensor
    connected: Tensor
    outputs: Tensor
    gradient_names: list[list[str]]
    gradient: Tensor
    without: Tensor


def layer(kind: str, keep: Tensor, inputs: Tensor) -> Layer:
    """Compute a layer with dropped units.

    Args:
        kind: one of `LAYERS`.
        keep: bool (9,), False where the unit is dropped.
        inputs: (3, 3); the dense layer takes them row by row.

    Returns:
        A :class:`Layer`.
    """
    x = inputs.flatten()
    if kind == DENSE:
        matrix = dense_dropout(WEIGHT.to(x), keep)
        names = [[f"w_{i}{j}" for i in range(1, 10)] for j in range(1, 10)]
        gradient = torch.ones_like(x)[:, None] * (keep * x)  # dE/dy_j times r_i h_i, and dE/dy_j = 1
        connected = torch.ones(9, 9, dtype=torch.bool)
        return Layer(names, matrix, connected, matrix @ x, names, gradient, (~keep).expand(9, 9))

    kernel, padding = KERNELS[kind].to(x), PADDING[kind]
    mask, size = keep.view(1, 3, 3), tuple(kernel.shape)
    matrix = conv_dropout_matrix(kernel[None, None], mask, padding)
    numbers = torch.arange(1.0, kernel.numel() + 1).view(1, 1, *size)
    places = conv_matrix(numbers, (3, 3), padding=padding)  # the number of the weight in each place, 0 for none
    y = matrix @ x
    side = int(len(y) ** 0.5)
    return Layer(
        [[f"w_{int(k)}" if k else "0" for k in row] for row in places],
        matrix,
        places > 0,
        y,
        [[f"w_{int(k)}" for k in row] for row in numbers[0, 0]],
        weight_gradient((inputs * mask[0])[None, None], x.new_ones(1, 1, side, side), size, padding=padding)[0, 0],
        weights_without_gradient(mask, size, padding)[0],
    )


def explorer(inputs: Tensor | None = None) -> Explorer:
    """Click units off, and see W R or M R and the gradient of each weight.

    Args:
        inputs: (3, 3), the numbers x_1 to x_9 of your own, row by row.

    Returns:
        An :class:`Explorer`: matrix, inputs, outputs, and the gradient of E = y_1 + y_2 + ... by each weight; one
        weight is framed wherever it stands. Its text says what is left of it, and which weights get no gradient.

    Raises:
        TypeError: inputs that are no float tensor.
        ValueError: inputs of another shape, or not finite.
    """
    x = INPUTS if inputs is None else _own_inputs(inputs)

    @lru_cache(maxsize=64)
    def computed(kind: str, keep: tuple[bool, ...]) -> Layer:
        return layer(kind, torch.tensor(keep), x)

    def draw(kind: str, show: str, **keep: bool) -> plotting.Picture:
        return _draw(computed(kind, tuple(keep.values())), kind, show, torch.tensor(list(keep.values())), x)

    def describe(kind: str, show: str, **keep: bool) -> str:
        return _describe(computed(kind, tuple(keep.values())), kind, list(keep.values()), x)

    controls: dict[str, ipywidgets.ValueWidget] = {
        "kind": ipywidgets.Dropdown(options=LAYERS, value=PADDED, description="Layer"),
        "show": ipywidgets.Dropdown(options=[SYMBOLS, NUMBERS], description="Show"),
    }
    for name in UNITS:
        # Pressed: the unit is there. The label is the symbol of the lecture.
        controls[name] = ipywidgets.ToggleButton(
            value=True, description=name, layout=ipywidgets.Layout(width="62px"), tooltip=f"{name}: pressed is kept"
        )
    return Explorer(draw, controls, describe)


def _own_inputs(inputs: Tensor) -> Tensor:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        came = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be a float tensor (3, 3), got {came}")
    if inputs.shape != (3, 3):
        raise ValueError(f"inputs must be (3, 3), got {tuple(inputs.shape)}")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs must be finite, got NaN or infinite values")
    return inputs.detach().clone()


def _draw(built: Layer, kind: str, show: str, keep: Tensor, x: Tensor) -> plotting.Picture:
    dense = kind == DENSE
    matrix, vector = ("$W R$", "$h$") if dense else ("$M R$", "$x$")
    off = (~keep).expand_as(built.matrix)
    rows = [
        ["0" if dropped or name == "0" else name if show == SYMBOLS else _short(value) for name, value, dropped in row]
        for row in _zipped(built.names, built.matrix, off)
    ]
    letter = "h" if dense else "x"
    column = [f"{letter}_{i}" if show == SYMBOLS else _short(value) for i, value in enumerate(x.flatten().tolist(), 1)]
    result = [f"y_{j}" if show == SYMBOLS else _short(value) for j, value in enumerate(built.outputs.tolist(), 1)]
    gradient = "$\\partial E/\\partial w$"
    watched = [[name == WATCHED[kind] for name in row] for row in built.names]
    picture = plotting.symbol_matrices(
        {
            matrix: rows,
            vector: [[entry] for entry in column],
            "$y$": [[entry] for entry in result],
            gradient: [[_short(value) for value in row] for row in built.gradient.tolist()],
        },
        values={gradient: built.gradient.masked_fill(built.without, float("nan"))},
        framed={
            matrix: torch.tensor(watched) & ~off,
            gradient: torch.tensor([[name == WATCHED[kind] for name in row] for row in built.gradient_names]),
        },
        dropped={matrix: off, vector: ~keep[:, None], gradient: built.without},
        signs=["", "=", ""],
        heading=f"{kind[0].upper()}{kind[1:]}; ${WATCHED[kind][0]}_{{{WATCHED[kind][2:]}}}$ is framed",
    )
    return picture


def _zipped(names: list[list[str]], values: Tensor, off: Tensor) -> list[list[tuple[str, float, bool]]]:
    return [list(zip(*row, strict=True)) for row in zip(names, values.tolist(), off.tolist(), strict=True)]


def _describe(built: Layer, kind: str, keep: list[bool], x: Tensor) -> str:
    letter, watched = ("h" if kind == DENSE else "x"), WATCHED[kind]
    off = [f"{letter}_{i}" for i, kept in enumerate(keep, 1) if not kept]
    kept = torch.tensor(keep)
    n, left = int(built.connected.sum()), int((built.connected & kept).sum())
    text = (
        f"{kind[0].upper()}{kind[1:]}: {'nothing' if not off else ', '.join(off)} dropped; {left} of {n} connections "
    )
    text += f"are left. E is the sum of the outputs, here {_short(built.outputs.sum().item())}. "

    places = [(i, x.flatten()[i].item()) for row in built.names for i, name in enumerate(row) if name == watched]
    terms = [f"{letter}_{i + 1}" for i, _ in places if keep[i]]
    [value] = [
        value
        for names, values in zip(built.gradient_names, built.gradient.tolist(), strict=True)
        for name, value in zip(names, values, strict=True)
        if name == watched
    ]
    text += f"{watched} stands in {len(terms)} of {len(places)} places, and its gradient is "
    text += f"{' + '.join(terms)} = {_short(value)}. " if terms else "0: it is not updated. "

    lost = [
        name
        for names, row in zip(built.gradient_names, built.without.tolist(), strict=True)
        for name, gone in zip(names, row, strict=True)
        if gone
    ]
    total = built.without.numel()
    if not lost:
        return text + f"All {total} weights get a gradient."
    if kind == DENSE:
        return text + f"No gradient for {len(lost)} of {total} weights: all that the dropped units send out."
    return text + f"No gradient for {len(lost)} of {total} weights: {', '.join(lost)}."


def _short(value: float) -> str:
    """Write a number with at most two decimals."""
    return f"{round(value, 2) + 0.0:g}".replace("-", "−")
