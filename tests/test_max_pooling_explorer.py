"""The explorer of unit 03, against torch's pooling and its autograd, window by window."""

from __future__ import annotations

import re

import ipywidgets
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils import plotting
from course_utils.widgets import max_pooling as unit
from course_utils.widgets.explorer import Explorer

PNG = b"\x89PNG"
SETTINGS = [(kind, k, s) for kind in (unit.MAXIMUM, unit.AVERAGE) for k in (2, 3) for s in (1, 2, 3)]
OWN = torch.tensor([[1.5, -2.0, 0.25, 7.0], [3.0, 3.0, -1.0, 4.0], [0.0, 2.0, 9.0, 9.0]])


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return unit.explorer()


def pooled(inputs: Tensor, kind: str, k: int, s: int) -> Tensor:
    """torch's own pooling of a map (H, W)."""
    pool = F.max_pool2d if kind == unit.MAXIMUM else F.avg_pool2d
    return pool(inputs[None, None], k, s)[0, 0]


def gradient(inputs: Tensor, kind: str, k: int, s: int, signal: Tensor) -> Tensor:
    """The gradient of the map by autograd, for a gradient of the pooled map."""
    leaf = inputs.clone().requires_grad_()
    return torch.autograd.grad(pooled(leaf, kind, k, s), leaf, signal)[0]


class Drawn:
    """Stands in for a figure: it keeps what was to be drawn."""

    last: tuple

    def __init__(self, *arguments: object) -> None:
        Drawn.last = arguments

    def savefig(self, file: object, format: str) -> None:
        pass


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> Explorer:
    """The explorer whose tables are kept in `Drawn.last` in place of being drawn."""
    monkeypatch.setattr(plotting, "pooling_step", Drawn)
    return unit.explorer()


# The walk


@pytest.mark.parametrize("example", unit.EXAMPLES)
@pytest.mark.parametrize(("kind", "k", "s"), SETTINGS)
def test_the_walk_ends_with_the_outputs_and_gradients_of_torch(example: str, kind: str, k: int, s: int) -> None:
    inputs = unit.EXAMPLES[example]
    walk = unit.walk(inputs, kind, k, s)
    # Sums of at most nine numbers below 100: float32 rounds by less than 1e-5 of them.
    torch.testing.assert_close(walk.outputs, pooled(inputs, kind, k, s), rtol=1e-5, atol=1e-5)
    expected = gradient(inputs, kind, k, s, walk.output_gradient)
    torch.testing.assert_close(walk.arrived[-1], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "k", "s"), SETTINGS)
def test_on_the_way_back_the_last_windows_have_sent_their_gradient(kind: str, k: int, s: int) -> None:
    inputs = unit.EXAMPLES["all numbers different"]
    walk = unit.walk(inputs, kind, k, s)
    n = len(walk.windows)
    assert len(walk.arrived) == n + 1
    for sent in range(n + 1):
        signal = walk.output_gradient.flatten() * (torch.arange(n) >= n - sent)
        expected = gradient(inputs, kind, k, s, signal.view_as(walk.outputs))
        torch.testing.assert_close(walk.arrived[sent], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "k", "s"), SETTINGS)
def test_each_window_holds_the_inputs_of_its_output(kind: str, k: int, s: int) -> None:
    inputs = unit.EXAMPLES["ties"]
    walk = unit.walk(inputs, kind, k, s)
    for (row, column, rows, columns), output in zip(walk.windows, walk.outputs.flatten(), strict=True):
        inside = inputs[row : row + rows, column : column + columns]
        assert inside.shape == (k, k)
        torch.testing.assert_close(inside.max() if kind == unit.MAXIMUM else inside.mean(), output)


def test_average_pooling_sends_back_whole_numbers() -> None:
    for k in (2, 3):
        last = unit.walk(unit.EXAMPLES["ties"], unit.AVERAGE, k, 1).arrived[-1]
        torch.testing.assert_close(last, last.round(), rtol=0, atol=1e-5)  # thirds and ninths are rounded in float32


def test_no_gradient_from_above_is_zero() -> None:
    assert (unit.REST != 0).all()


@pytest.mark.parametrize("name", ["ties", "behind a ReLU"])
def test_the_examples_with_ties_have_some_and_the_other_has_none(name: str) -> None:
    assert len(unit.EXAMPLES["all numbers different"].unique()) == 36
    windows = unit.EXAMPLES[name].unfold(0, 2, 2).unfold(1, 2, 2).flatten(2)
    assert ((windows == windows.amax(-1, keepdim=True)).sum(-1) > 1).sum() >= 2


# The steps


@pytest.mark.parametrize(("k", "s", "windows"), [(2, 2, 9), (2, 1, 25), (3, 3, 4), (3, 1, 16), (2, 3, 4), (3, 2, 4)])
def test_the_slider_has_a_step_for_each_window_and_direction(explorer: Explorer, k: int, s: int, windows: int) -> None:
    explorer.set(kernel_size=k, stride=s)
    assert explorer.controls["step"].max == 2 * windows + 1
    assert explorer.error is None


def test_fewer_windows_take_the_step_with_them(undrawn: Explorer) -> None:
    undrawn.set(kernel_size=2, stride=1)
    undrawn.controls["step"].value = 51
    undrawn.controls["kernel_size"].value = 3
    assert undrawn.controls["step"].value == 33
    undrawn.controls["stride"].value = 3
    assert undrawn.controls["step"].value == 9
    assert undrawn.error is None
    assert undrawn.text.startswith("Step 9 of 9.")


def test_stride_and_a_late_step_can_be_set_at_once(undrawn: Explorer) -> None:
    undrawn.set(stride=1, step=45)
    assert undrawn.text.startswith("Step 45 of 51.")


@pytest.mark.parametrize("kind", [unit.MAXIMUM, unit.AVERAGE])
@pytest.mark.parametrize(("k", "s"), [(2, 2), (3, 1)])
def test_forward_fills_the_outputs_one_by_one_and_nothing_comes_back_yet(
    undrawn: Explorer, kind: str, k: int, s: int
) -> None:
    undrawn.set(kind=kind, kernel_size=k, stride=s)
    walk = unit.walk(unit.EXAMPLES["all numbers different"], kind, k, s)
    n = len(walk.windows)
    for step in range(n + 1):
        undrawn.set(step=step)
        _, outputs, signal, arrived, remembered, window, position, _ = Drawn.last
        shown = outputs.flatten()
        assert torch.equal(shown[:step], walk.outputs.flatten()[:step]) and shown[step:].isnan().all()
        assert signal.isnan().all() and arrived.isnan().all()
        assert window == (None if step == 0 else walk.windows[step - 1])
        assert position == (None if step == 0 else divmod(step - 1, walk.outputs.shape[1]))
        switches = set() if walk.switches is None else set(walk.switches.flatten()[:step].tolist())
        assert set(remembered.flatten().nonzero().flatten().tolist()) == switches


@pytest.mark.parametrize("kind", [unit.MAXIMUM, unit.AVERAGE])
@pytest.mark.parametrize(("k", "s"), [(2, 2), (3, 1)])
def test_reverse_mode_goes_through_the_windows_from_the_last_to_the_first(
    undrawn: Explorer, kind: str, k: int, s: int
) -> None:
    undrawn.set(kind=kind, kernel_size=k, stride=s)
    walk = unit.walk(unit.EXAMPLES["all numbers different"], kind, k, s)
    n = len(walk.windows)
    for back in range(n + 1):
        undrawn.set(step=n + 1 + back)
        _, outputs, signal, arrived, _, window, *_ = Drawn.last
        assert torch.equal(outputs, walk.outputs) and torch.equal(signal, walk.output_gradient)
        assert torch.equal(arrived, walk.arrived[back])
        assert window == (None if back == 0 else walk.windows[n - back])


def test_the_picture_is_drawn_of_what_the_walk_gives(explorer: Explorer) -> None:
    explorer.set(example="ties", kind=unit.MAXIMUM, kernel_size=2, stride=2, step=12)
    walk = unit.walk(unit.EXAMPLES["ties"], unit.MAXIMUM, 2, 2)
    switches = torch.zeros(36, dtype=torch.bool)
    switches[walk.switches.flatten()] = True
    expected = plotting.pooling_step(
        walk.inputs, walk.outputs, walk.output_gradient, walk.arrived[2], switches.view(6, 6), (4, 2, 2, 2), (2, 1),
        "Reverse mode: window 8 of 9",
    )  # fmt: skip
    assert explorer.png == expected.png()


# The text


def text_of(explorer: Explorer, **values: object) -> str:
    settings = {"example": "all numbers different", "kind": unit.MAXIMUM, "kernel_size": 2, "stride": 2}
    step = values.pop("step")
    explorer.set(**settings | values)
    explorer.set(step=step)
    assert explorer.error is None
    return explorer.text


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"step": 0}, ["Step 0 of 19", "Max pooling", "6 x 6 with 9 windows of 2 x 2", "do not overlap", "3 x 3"]),
        ({"step": 0, "stride": 1, "kind": unit.AVERAGE}, ["Average pooling", "25 windows", "which overlap", "5 x 5"]),
        ({"step": 4}, ["Forward, window 4 of 9", "row 1, column 0", "-3, 10, 13, -5 is 13", "switch 18 = 3 * 6 + 0"]),
        ({"step": 1, "example": "ties"}, ["A tie: 4 inputs hold it", "the first one", "switch 0 ="]),
        ({"step": 4, "kind": unit.AVERAGE}, ["the mean of -3, 10, 13, -5 is 3.75", "Nothing needs to be remembered"]),
        ({"step": 10}, ["Forward is done", "f = sum of v(p) times output(p)", "reverse order"]),
        ({"step": 11}, ["Reverse mode, window 9 of 9", "its gradient 1 goes to its switch, row 5, column 5"]),
        ({"step": 45, "stride": 1}, ["window 7 of 25", "3 other windows have", "adds up: 1 + 4 = 5"]),
        (
            {"step": 30, "stride": 1},
            ["window 22 of 25", "Another window has sent gradient there already", ": 2 + 1 = 3"],
        ),
        ({"step": 11, "kind": unit.AVERAGE}, ["its gradient 4 is shared out, each of the 4 inputs gets 4 / 4 = 1."]),
        ({"step": 28, "stride": 1, "kind": unit.AVERAGE}, ["each of the 4 inputs", "added to what other windows"]),
        ({"step": 19}, ["Done", "adds up to 7", "27 of 36 inputs have gradient 0"]),
    ],
)
def test_the_text_says_what_the_step_does(undrawn: Explorer, values: dict, parts: list[str]) -> None:
    text = text_of(undrawn, **values)
    assert [part for part in parts if part not in text] == []


def test_a_window_without_a_tie_speaks_of_none(undrawn: Explorer) -> None:
    assert "tie" not in text_of(undrawn, step=4)


def test_windows_side_by_side_never_meet(undrawn: Explorer) -> None:
    for step in range(20):
        text = text_of(undrawn, step=step)
        assert "adds up:" not in text and "other window" not in text


@pytest.mark.parametrize(("k", "s"), [(2, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("example", unit.EXAMPLES)
def test_the_sums_of_meeting_gradients_are_right(undrawn: Explorer, example: str, k: int, s: int) -> None:
    walk = unit.walk(unit.EXAMPLES[example], unit.MAXIMUM, k, s)
    sums = []
    for step in range(walk.last_step + 1):
        text = text_of(undrawn, example=example, kernel_size=k, stride=s, step=step)
        if found := re.search(r"adds up: (\S+) \+ (\S+) = (\S+?)\.( |$)", text):
            first, second, total = (float(number) for number in found.groups()[:3])
            sums.append(first + second == total)
    meetings = len(walk.windows) - len(walk.switches.unique())
    assert len(sums) == meetings and all(sums)


@pytest.mark.parametrize(("k", "s"), [(2, 1), (2, 2), (3, 1), (3, 2)])
def test_shares_are_added_where_a_pixel_has_got_one_before(undrawn: Explorer, k: int, s: int) -> None:
    n = len(unit.walk(unit.EXAMPLES["ties"], unit.AVERAGE, k, s).windows)
    starts = [(row, column) for row in range(0, 7 - k, s) for column in range(0, 7 - k, s)]
    reached: set[tuple[int, int]] = set()
    for back, (row, column) in enumerate(reversed(starts), start=1):
        pixels = {(i, j) for i in range(row, row + k) for j in range(column, column + k)}
        text = text_of(undrawn, kind=unit.AVERAGE, kernel_size=k, stride=s, step=n + 1 + back)
        assert ("added to what other windows have sent" in text) == bool(pixels & reached)
        reached |= pixels


# Controls and arguments


def test_every_example_and_both_poolings_can_be_chosen(explorer: Explorer) -> None:
    assert list(explorer.controls["example"].options) == ["all numbers different", "ties", "behind a ReLU"]
    assert list(explorer.controls["kind"].options) == ["maximum", "average"]
    assert explorer.png.startswith(PNG)


def test_the_buttons_play_the_steps(undrawn: Explorer) -> None:
    [play] = [child for child in undrawn.widget.children[0].children if isinstance(child, ipywidgets.Play)]
    play.value = 3
    assert undrawn.controls["step"].value == 3 and "window 3 of 9" in undrawn.text
    undrawn.controls["step"].value = 5
    assert play.value == 5
    undrawn.controls["stride"].value = 1
    assert play.max == 51


def test_a_map_of_your_own_is_the_first_example() -> None:
    explorer = unit.explorer(OWN)
    assert explorer.controls["example"].value == unit.YOURS
    explorer.set(stride=1)
    explorer.set(step=6)
    assert explorer.error is None
    assert "the maximum of -1, 4, 9, 9 is 9, found in row 2, column 2. A tie: 2 inputs" in explorer.text


def test_the_steps_follow_the_size_of_the_map() -> None:
    explorer = unit.explorer(OWN)
    assert explorer.controls["step"].max == 2 * 2 + 1
    explorer.controls["example"].value = "ties"
    assert explorer.controls["step"].max == 2 * 9 + 1


def test_the_map_of_your_own_is_copied() -> None:
    own = OWN.clone()
    explorer = unit.explorer(own)
    own += 100
    explorer.controls["step"].value = 1
    assert "the maximum of 1.5, -2, 3, 3 is 3" in explorer.text


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (OWN.tolist(), TypeError, "inputs must be a float tensor"),
        (OWN.long(), TypeError, r"inputs must be a float tensor \(H, W\), got torch.int64"),
        (OWN[None], ValueError, r"3 to 6 rows and columns, got \(1, 3, 4\)"),
        (OWN[:2], ValueError, r"3 to 6 rows and columns, got \(2, 4\)"),
        (torch.rand(7, 4), ValueError, "3 to 6 rows and columns"),
        (OWN / 0, ValueError, "inputs must be finite"),
    ],
)
def test_bad_maps_are_refused_by_name(inputs: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        unit.explorer(inputs)
