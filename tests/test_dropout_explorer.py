"""The explorer of unit 02, without a browser: clicks change matrix, gradients and text, and the text is true."""

from __future__ import annotations

import re
from itertools import product

import ipywidgets
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils import plotting
from course_utils.widgets import dropout as unit
from course_utils.widgets.explorer import Explorer

MASKS = [torch.tensor(kept) for kept in product([True, False], repeat=9)]
CONVOLUTIONS = [unit.SMALL, unit.PADDED]
ALL_ON = dict.fromkeys(unit.UNITS, True)
# A position in the list of masks, from none dropped to all dropped.
SOME = [0, 1, 16, 137, 255, 256, 400, 510, 511]


def oracle(kind: str, keep: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and gradient of their sum by each weight, by torch's own convolution and autograd."""
    dropped = x * keep.view(3, 3)
    if kind == unit.DENSE:
        weight = unit.WEIGHT.to(x).requires_grad_()
        outputs = weight @ dropped.flatten()
    else:
        weight = unit.KERNELS[kind].to(x).requires_grad_()
        outputs = F.conv2d(dropped[None, None], weight[None, None], padding=unit.PADDING[kind]).flatten()
    (gradient,) = torch.autograd.grad(outputs.sum(), weight)
    return outputs.detach(), gradient


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return unit.explorer()


class Drawn:
    """Stands in for plotting.symbol_matrices: keeps what it was asked to draw, which takes no time."""

    last: dict = {}  # noqa: RUF012 (one at a time)

    def __init__(self, tables: dict, **others: object) -> None:
        Drawn.last = {"tables": tables, **others}

    def savefig(self, file: object, format: str) -> None:
        pass


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> Explorer:
    """The explorer whose picture is what was asked for, in `Drawn.last`."""
    monkeypatch.setattr(plotting, "symbol_matrices", Drawn)
    return unit.explorer()


def clicks(keep: Tensor) -> dict[str, bool]:
    return dict(zip(unit.UNITS, keep.tolist(), strict=True))


# What a layer is


@pytest.mark.parametrize("kind", unit.LAYERS)
@pytest.mark.parametrize("which", SOME)
def test_outputs_and_gradients_are_those_of_torch(kind: str, which: int) -> None:
    # Small whole numbers: sums of them are exact in float32.
    built = unit.layer(kind, MASKS[which], unit.INPUTS)
    outputs, gradient = oracle(kind, MASKS[which], unit.INPUTS)
    assert torch.equal(built.outputs, outputs) and torch.equal(built.gradient, gradient)


@pytest.mark.parametrize("kind", unit.LAYERS)
def test_a_weight_is_called_without_gradient_exactly_where_it_has_none(kind: str) -> None:
    for keep in MASKS[::7] + MASKS[-1:]:
        built = unit.layer(kind, keep, unit.INPUTS)
        assert torch.equal(built.without, oracle(kind, keep, unit.INPUTS)[1] == 0)


@pytest.mark.parametrize("kind", unit.LAYERS)
def test_a_dropped_unit_empties_its_column_and_no_other(kind: str) -> None:
    full = unit.layer(kind, MASKS[0], unit.INPUTS).matrix
    for keep in MASKS[1::31]:
        built = unit.layer(kind, keep, unit.INPUTS).matrix
        assert (built[:, ~keep] == 0).all() and torch.equal(built[:, keep], full[:, keep])


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_symbol_in_each_place_is_that_of_its_weight(kind: str) -> None:
    built = unit.layer(kind, MASKS[0], unit.INPUTS)
    values = {f"w_{k}": value for k, value in enumerate(unit.KERNELS[kind].flatten().tolist(), 1)} | {"0": 0.0}
    assert [[values[name] for name in row] for row in built.names] == built.matrix.tolist()


def test_the_middle_weight_stands_on_the_diagonal_of_the_padded_convolution() -> None:
    names = unit.layer(unit.PADDED, MASKS[0], unit.INPUTS).names
    assert [(j, i) for j in range(9) for i in range(9) if names[j][i] == "w_5"] == [(k, k) for k in range(9)]


def test_the_first_index_of_a_dense_weight_is_the_unit_that_it_comes_from() -> None:
    names = unit.layer(unit.DENSE, MASKS[0], unit.INPUTS).names
    assert (names[0][8], names[8][0]) == ("w_91", "w_19")


@pytest.mark.parametrize("numbers", [unit.WEIGHT, unit.INPUTS, *unit.KERNELS.values()])
def test_no_number_of_the_examples_is_zero(numbers: Tensor) -> None:
    assert (numbers != 0).all()


# What is drawn


def test_the_explorer_starts_at_the_padded_convolution_with_all_units(explorer: Explorer) -> None:
    assert unit.explorer().values == {"kind": unit.PADDED, "show": unit.SYMBOLS, **ALL_ON}


def test_each_unit_has_a_toggle_button_with_its_symbol(explorer: Explorer) -> None:
    buttons = {name: control for name, control in explorer.controls.items() if name.startswith("r_")}
    assert list(buttons) == [f"r_{i}" for i in range(1, 10)]
    assert all(isinstance(b, ipywidgets.ToggleButton) and b.description == name for name, b in buttons.items())


def test_clicking_a_unit_off_and_on_again_changes_the_picture_and_brings_it_back(explorer: Explorer) -> None:
    explorer.set(kind=unit.PADDED, show=unit.SYMBOLS, **ALL_ON)
    before = explorer.png
    explorer.controls["r_5"].value = False
    assert explorer.error is None and explorer.png != before
    explorer.controls["r_5"].value = True
    assert explorer.png == before


@pytest.mark.parametrize("kind", unit.LAYERS)
@pytest.mark.parametrize("show", [unit.SYMBOLS, unit.NUMBERS])
def test_every_layer_is_drawn_in_symbols_and_in_numbers(explorer: Explorer, kind: str, show: str) -> None:
    explorer.set(kind=kind, show=show, **ALL_ON | {"r_2": False})
    assert explorer.error is None and explorer.png.startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", unit.LAYERS)
@pytest.mark.parametrize("which", [0, 137, 511])
def test_the_numbers_drawn_are_those_of_the_matrix(undrawn: Explorer, kind: str, which: int) -> None:
    undrawn.set(kind=kind, show=unit.NUMBERS, **clicks(MASKS[which]))
    matrix, vector, outputs, gradient = Drawn.last["tables"].values()
    built = unit.layer(kind, MASKS[which], unit.INPUTS)
    for drawn, expected in (
        (matrix, built.matrix),
        (vector, unit.INPUTS.reshape(9, 1)),
        (outputs, built.outputs[:, None]),
        (gradient, built.gradient),
    ):
        assert [[float(entry.replace("−", "-")) for entry in row] for row in drawn] == expected.tolist()


def test_the_symbols_of_dropped_columns_are_zero_and_the_others_stay(undrawn: Explorer) -> None:
    undrawn.set(**ALL_ON | {"r_1": False})
    matrix = next(iter(Drawn.last["tables"].values()))
    assert matrix[0] == ["0", "w_6", "0", "w_8", "w_9", "0", "0", "0", "0"]
    assert matrix[1] == ["0", "w_5", "w_6", "w_7", "w_8", "w_9", "0", "0", "0"]


@pytest.mark.parametrize("kind", unit.LAYERS)
@pytest.mark.parametrize("which", [0, 137, 511])
def test_the_watched_weight_is_framed_wherever_it_is_left(undrawn: Explorer, kind: str, which: int) -> None:
    undrawn.set(kind=kind, **clicks(MASKS[which]))
    title, matrix = next(iter(Drawn.last["tables"].items()))
    framed = Drawn.last["framed"][title]
    assert framed.tolist() == [[entry == unit.WATCHED[kind] for entry in row] for row in matrix]


@pytest.mark.parametrize("kind", unit.LAYERS)
def test_dropped_columns_inputs_and_lost_weights_are_marked(undrawn: Explorer, kind: str) -> None:
    keep = MASKS[400]
    undrawn.set(kind=kind, **clicks(keep))
    matrix, vector, gradient = Drawn.last["dropped"].values()
    assert torch.equal(matrix, (~keep).expand_as(matrix)) and torch.equal(vector[:, 0], ~keep)
    assert torch.equal(gradient, unit.layer(kind, keep, unit.INPUTS).without)


def test_controls_do_not_change_the_inputs(explorer: Explorer) -> None:
    before = unit.INPUTS.clone()
    explorer.set(kind=unit.PADDED, **ALL_ON | {"r_9": False})
    assert torch.equal(unit.INPUTS, before)


# What is said


@pytest.mark.parametrize("which", SOME)
def test_the_text_gives_the_gradient_of_w_5_and_its_terms(undrawn: Explorer, which: int) -> None:
    keep = MASKS[which]
    undrawn.set(kind=unit.PADDED, **clicks(keep))
    terms = [f"x_{i + 1}" for i in range(9) if keep[i]]
    total = (unit.INPUTS.flatten() * keep).sum().item()
    expected = f"{' + '.join(terms)} = {total:g}." if terms else "0: it is not updated."
    assert f"w_5 stands in {len(terms)} of 9 places, and its gradient is {expected}" in undrawn.text


def test_w_5_is_said_to_be_left_alone_by_every_mask_but_the_empty_one() -> None:
    for keep in MASKS:
        built = unit.layer(unit.PADDED, keep, unit.INPUTS)
        text = unit._describe(built, unit.PADDED, keep.tolist(), unit.INPUTS)
        assert ("it is not updated" in text) == (not keep.any())


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_text_names_the_weights_without_a_gradient(kind: str) -> None:
    for keep in MASKS:
        built = unit.layer(kind, keep, unit.INPUTS)
        text = unit._describe(built, kind, keep.tolist(), unit.INPUTS)
        gradient = oracle(kind, keep, unit.INPUTS)[1].flatten().tolist()
        lost = [f"w_{k}" for k, value in enumerate(gradient, 1) if value == 0]
        n = len(gradient)
        expected = f"No gradient for {len(lost)} of {n} weights: {', '.join(lost)}." if lost else f"All {n} weights get"
        assert expected in text


@pytest.mark.parametrize("n_dropped", [1, 4, 9])
def test_each_dropped_unit_of_a_dense_layer_costs_nine_weights_their_gradient(
    undrawn: Explorer, n_dropped: int
) -> None:
    undrawn.set(kind=unit.DENSE, **ALL_ON | dict.fromkeys(unit.UNITS[:n_dropped], False))
    assert f"No gradient for {9 * n_dropped} of 81 weights" in undrawn.text


@pytest.mark.parametrize(("kind", "connections"), [(unit.DENSE, 81), (unit.SMALL, 16), (unit.PADDED, 49)])
def test_the_text_counts_the_connections(undrawn: Explorer, kind: str, connections: int) -> None:
    undrawn.set(kind=kind, **ALL_ON)
    assert f"nothing dropped; {connections} of {connections} connections are left" in undrawn.text
    undrawn.controls["r_1"].value = False
    in_first_column = {unit.DENSE: 9, unit.SMALL: 1, unit.PADDED: 4}[kind]
    assert f"{connections - in_first_column} of {connections} connections are left" in undrawn.text


def test_the_text_gives_the_sum_of_the_outputs(undrawn: Explorer) -> None:
    for kind in unit.LAYERS:
        undrawn.set(kind=kind, **clicks(MASKS[137]))
        [said] = re.findall(r"here (\S+?)\. ", undrawn.text)
        assert float(said.replace("−", "-")) == oracle(kind, MASKS[137], unit.INPUTS)[0].sum().item()


# Inputs of one's own


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_own_inputs_are_used_and_copied(undrawn: Explorer, dtype: torch.dtype) -> None:
    own = torch.arange(1.0, 10.0, dtype=dtype).view(3, 3)
    explorer = unit.explorer(own)
    assert explorer.error is None and "= 45." in explorer.text
    own.zero_()
    explorer.controls["r_9"].value = False
    assert "= 36." in explorer.text


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([[1.0] * 3] * 3, TypeError, "inputs must be a float tensor .*list"),
        (torch.ones(3, 3, dtype=torch.long), TypeError, "inputs must be a float tensor .*int64"),
        (torch.ones(9), ValueError, r"inputs must be \(3, 3\), got \(9,\)"),
        (torch.full((3, 3), float("nan")), ValueError, "inputs must be finite"),
    ],
)
def test_bad_inputs_are_refused_by_name(inputs: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        unit.explorer(inputs)
