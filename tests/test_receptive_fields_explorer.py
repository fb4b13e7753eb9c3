"""The explorer of unit 04, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import re
from typing import BinaryIO

import pytest
import torch
from torch import Tensor, nn

from course_utils import plotting
from course_utils.receptive_fields import Layer
from course_utils.widgets import receptive_fields as unit
from course_utils.widgets.explorer import Explorer

ONE, TWO, DOUBLED = unit.DILATIONS
NONE, HALF = unit.PADDINGS.values()
START = {"number": 2, "kernel_size": 3, "stride": 1, "dilation": ONE, "padding": NONE, "position": 12}
SETTINGS = {
    "start": START,
    "four layers": START | {"number": 4},
    "first output": START | {"position": 0},
    "dilation 2: a grid": START | {"number": 3, "dilation": TWO},
    "doubled dilation": START | {"number": 3, "dilation": DOUBLED, "position": 5},
    "padding": START | {"number": 3, "dilation": DOUBLED, "padding": HALF, "position": 2},
    "stride": START | {"number": 4, "stride": 2, "padding": HALF, "position": 1},
    "stride beyond the kernel": START | {"kernel_size": 2, "stride": 3, "position": 1},
    "even kernel, padded": START | {"kernel_size": 4, "padding": HALF, "position": 0},
    "kernel 1": START | {"kernel_size": 1, "number": 3, "stride": 2, "position": 2},
    "wide and padded": START | {"number": 4, "kernel_size": 5, "dilation": DOUBLED, "padding": HALF, "position": 15},
}


@pytest.fixture(scope="module")
def pyramid() -> Explorer:
    return unit.explorer()


class Bytes:
    """Stands in for a figure: its picture is what was to be drawn, in words, which takes no time."""

    def __init__(self, *arguments: object) -> None:
        self.content = str(arguments).encode()

    def savefig(self, file: BinaryIO, format: str) -> None:
        file.write(self.content)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> Explorer:
    """The explorer whose `png` is what was to be drawn, in words."""
    monkeypatch.setattr(plotting, "receptive_pyramid", Bytes)
    return unit.explorer()


def network(settings: dict) -> nn.Sequential:
    """Torch's convolutions of the settings, with weights of 1."""
    k, s = settings["kernel_size"], settings["stride"]
    layers = []
    for d in unit.DILATIONS[settings["dilation"]][: settings["number"]]:
        layers.append(nn.Conv1d(1, 1, k, s, (k - 1) * d // 2 if settings["padding"] else 0, d, bias=False))
        nn.init.ones_(layers[-1].weight)
    return nn.Sequential(*layers).double()


def moved_by_each_input(settings: dict, n_inputs: int = 31) -> Tensor:
    """Change one input at a time: bool (inputs, outputs), which outputs move. With weights of 1 nothing cancels."""
    with torch.no_grad():
        return network(settings)(torch.eye(n_inputs, dtype=torch.float64)[:, None])[:, 0] > 0


def test_the_explorer_starts_with_the_lecture_s_two_layers_of_kernel_3(pyramid: Explorer) -> None:
    assert unit.explorer().values == START


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_text_counts_the_inputs_that_move_the_output(undrawn: Explorer, settings: dict) -> None:
    undrawn.set(**settings)
    moved = moved_by_each_input(settings)
    sees = moved[:, settings["position"]].nonzero()[:, 0].tolist()
    field, first, last, read = (
        int(re.search(pattern, undrawn.text)[1])
        for pattern in (
            r"Receptive field (\d+) ",
            r"inputs (-?\d+) to",
            r"to (-?\d+) and",
            r"reads (?:all )?(\d+)",
        )
    )
    assert undrawn.error is None
    assert (last - first + 1, read) == (field, len(sees))
    assert first <= sees[0] and sees[-1] <= last
    assert f"(of 0 to {moved.shape[1] - 1})" in undrawn.text


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_region_s_ends_move_the_output_where_they_lie_on_the_input(undrawn: Explorer, settings: dict) -> None:
    # Without padding every end is read; with padding an end on the input may hang below padding of a higher layer.
    undrawn.set(**settings)
    first, last = (int(number) for number in re.search(r"inputs (-?\d+) to (-?\d+) and", undrawn.text).groups())
    sees = moved_by_each_input(settings)[:, settings["position"]].nonzero()[:, 0]
    if not settings["padding"]:
        assert (first, last) == (sees[0].item(), sees[-1].item())
    else:
        assert first >= 0 or f"padding is: {max(0, -first) + max(0, last - 30)}." in undrawn.text


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_terms_of_the_sum_give_the_field(undrawn: Explorer, settings: dict) -> None:
    undrawn.set(**settings)
    field, terms = re.search(r"Receptive field (\d+) = ([\d·+ ]+),", undrawn.text).groups()
    products = [torch.tensor([int(n) for n in term.split("·")]).prod().item() for term in terms.split(" + ")]
    assert len(products) == settings["number"] + 1
    assert sum(products) == int(field)


@pytest.mark.parametrize(("stride", "number", "jump"), [(1, 4, 1), (2, 1, 2), (2, 3, 8), (3, 2, 9)])
def test_the_text_gives_the_jump(undrawn: Explorer, stride: int, number: int, jump: int) -> None:
    undrawn.set(**START | {"stride": stride, "number": number, "padding": HALF, "position": 0})
    assert f"Jump {jump}:" in undrawn.text


def test_holes_are_said_where_there_are_some_and_only_there(undrawn: Explorer) -> None:
    undrawn.set(**SETTINGS["dilation 2: a grid"])
    assert "reads 7 of these 13." in undrawn.text and "holes" in undrawn.text
    undrawn.set(**SETTINGS["doubled dilation"])
    assert "reads all 15." in undrawn.text and "holes" not in undrawn.text


def test_the_picture_is_that_of_the_layers_and_the_output(pyramid: Explorer) -> None:
    pyramid.set(**SETTINGS["padding"])
    layers = [Layer(3, 1, 1, 1), Layer(3, 1, 2, 2), Layer(3, 1, 4, 4)]
    expected = plotting.receptive_pyramid(layers, 31, [2], "What output 2 of layer 3 sees")
    assert pyramid.png == expected.png()


@pytest.mark.parametrize(
    ("control", "value"),
    [("number", 3), ("kernel_size", 4), ("stride", 2), ("dilation", TWO), ("padding", HALF), ("position", 3)],
)
def test_every_control_changes_picture_and_text(undrawn: Explorer, control: str, value: object) -> None:
    undrawn.set(**START)
    before = undrawn.png, undrawn.text
    undrawn.controls[control].value = value
    assert undrawn.error is None
    assert undrawn.png != before[0] and undrawn.text != before[1]


def test_an_output_that_does_not_exist_becomes_the_last_one_and_the_text_says_so(pyramid: Explorer) -> None:
    pyramid.set(**START | {"stride": 2, "position": 30})
    assert "Output 6 (of 0 to 6)" in pyramid.text and "There is no output 30: the last one is shown." in pyramid.text


def test_layers_that_do_not_fit_are_said_with_the_way_out(pyramid: Explorer) -> None:
    pyramid.set(**START | {"number": 4, "kernel_size": 5, "stride": 3})
    assert pyramid.error is None
    assert pyramid.text.startswith("Layer 3 has no output: its kernel spans 5 elements, but with its padding it gets")
    assert pyramid.png == plotting.message(pyramid.text).png()


def test_every_setting_of_the_controls_can_be_described() -> None:
    # Drawing them all would take minutes; picture and text are built of the same layers and output.
    explorer = unit.explorer()
    texts = [
        explorer._describe(
            number=number, kernel_size=k, stride=s, dilation=dilation, padding=padding, position=position
        )
        for number in (1, 2, 3, 4)
        for k in (1, 2, 3, 4, 5)
        for s in (1, 2, 3)
        for dilation in unit.DILATIONS
        for padding in unit.PADDINGS.values()
        for position in (0, 15, 30)
    ]
    assert all(text.startswith(("Receptive field", "Layer ")) for text in texts)


@pytest.mark.parametrize(("size", "outputs"), [(9, 5), (40, 36)])
def test_the_input_can_have_another_size(size: int, outputs: int) -> None:
    explorer = unit.explorer(size)
    explorer.controls["position"].value = 0
    assert f"(of 0 to {outputs - 1})" in explorer.text


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (41, ValueError), (2.5, TypeError), (True, TypeError)])
def test_another_input_size_is_refused_by_name(size: object, error: type) -> None:
    with pytest.raises(error, match="input_size must be"):
        unit.explorer(size)
