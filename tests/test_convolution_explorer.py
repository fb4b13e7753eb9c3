"""The explorer of unit 01, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import itertools
import re
from typing import BinaryIO

import pytest
import torch
from matplotlib.patches import ConnectionPatch, Rectangle
from torch import Tensor
from torch.nn import functional as F

from course_utils import plotting
from course_utils.widgets import convolution as unit
from course_utils.widgets.explorer import Explorer

IMAGE = torch.tensor([[1.0, 2, 0, -1, 5], [0, 3, 1, 2, 0], [2, 1, 4, 0, 1], [7, 0, 1, 1, 2]])
KERNELS = {"square": torch.tensor([[1.0, -2], [3, 1]]), "row": torch.tensor([[2.0, 0, -1]])}
START = {"kernel": "square", "stride": 1, "padding": 0, "dilation": 1, "step": 1, "tap": 1}
SETTINGS = [
    START | {"step": 7, "tap": 3},
    START | {"stride": 2, "step": 4, "tap": 2},
    START | {"padding": 2, "step": 9, "tap": 4},
    START | {"dilation": 3, "step": 2, "tap": 4},
    START | {"kernel": "row", "stride": 2, "padding": 1, "step": 4, "tap": 3},
    START | {"kernel": "row", "padding": 2, "dilation": 2, "step": 11, "tap": 2},
]


@pytest.fixture(scope="module")
def small() -> Explorer:
    return unit.explorer(IMAGE, KERNELS)


class Undrawn:
    """Stands in for a figure, and takes no time to draw."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def savefig(self, file: BinaryIO, format: str) -> None:
        file.write(b"a picture")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Explorer:
    """The explorer with the text alone."""
    monkeypatch.setattr(plotting, "convolution_step", Undrawn)
    return unit.explorer(IMAGE, KERNELS)


def oracle(settings: dict) -> Tensor:
    """The output (H', W') by torch."""
    steps = (settings["stride"], settings["padding"], settings["dilation"])
    return F.conv2d(IMAGE[None, None], KERNELS[settings["kernel"]][None, None], None, *steps)[0, 0]


def brute_force(settings: dict) -> dict[int, tuple[int, int]]:
    """The connections of the lit weight, by their definition: number of the output -> (row, column) of the input."""
    weight = KERNELS[settings["kernel"]]
    a, b = divmod(settings["tap"] - 1, weight.shape[1])
    found = {}
    for number, (u, v) in enumerate(itertools.product(*map(range, oracle(settings).shape))):
        row = settings["stride"] * u + settings["dilation"] * a - settings["padding"]
        column = settings["stride"] * v + settings["dilation"] * b - settings["padding"]
        if 0 <= row < IMAGE.shape[0] and 0 <= column < IMAGE.shape[1]:
            found[number] = (row, column)
    return found


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_text_gives_the_lit_output_and_its_value(quick: Explorer, settings: dict) -> None:
    quick.set(**settings)
    outputs = oracle(settings)
    height, width = outputs.shape
    row, column = divmod(settings["step"] - 1, width)
    assert quick.error is None
    assert quick.text.startswith(
        f"Output {settings['step']} of {height * width} (row {row}, column {column} of {height} x {width};"
    )
    value = f"{abs(outputs[row, column].item()):g}"
    assert f" = {f'(−{value})' if outputs[row, column] < 0 else value}. The weight" in quick.text


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_terms_of_the_sum_are_the_weights_times_the_inputs_under_them(quick: Explorer, settings: dict) -> None:
    quick.set(**settings)
    terms = quick.text.split("from 0): ")[1].split(" = ")[0].split(" + ")
    numbers = [[float(n.strip("()").replace("−", "-")) for n in term.split(" x ")] for term in terms]
    outputs = oracle(settings)
    assert [w for w, _ in numbers] == KERNELS[settings["kernel"]].flatten().tolist()
    assert sum(w * y for w, y in numbers) == outputs.flatten()[settings["step"] - 1]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_text_counts_the_connections_that_share_the_weight(quick: Explorer, settings: dict) -> None:
    quick.set(**settings)
    shared = brute_force(settings)
    assert f"is shared by {len(shared)} connections, its set [ji]" in quick.text
    if settings["step"] - 1 in shared:
        row, column = shared[settings["step"] - 1]
        assert f"leads from the input in row {row}, column {column}." in quick.text
    else:
        assert "no neuron and so no connection" in quick.text


def test_the_settings_meet_a_connection_and_a_place_on_the_padding() -> None:
    assert {settings["step"] - 1 in brute_force(settings) for settings in SETTINGS} == {True, False}


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_text_computes_the_size_of_the_output(quick: Explorer, settings: dict) -> None:
    quick.set(**settings)
    found = re.search(r"\((\d+) \+ 2 x (\d+) - (\d+) x (\d+) - 1\) / (\d+) \+ 1, rounded down, = (\d+)", quick.text)
    size, padding, dilation, reach, stride, rows = map(int, found.groups())
    assert (size + 2 * padding - dilation * reach - 1) // stride + 1 == rows == oracle(settings).shape[0]


def panel_frames(figure: plotting.Picture, panel: int, colour: str) -> list[tuple[int, int, int, int]]:
    """The cells in frames of a colour: first row, first column, rows, columns."""
    frames = [patch for patch in figure.axes[panel].patches if isinstance(patch, Rectangle)]
    wanted = Rectangle((0, 0), 1, 1, edgecolor=colour).get_edgecolor()
    return [
        (round(f.get_y() + 0.5), round(f.get_x() + 0.5), round(f.get_height()), round(f.get_width()))
        for f in frames
        if f.get_edgecolor() == wanted
    ]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_picture_lights_the_window_and_the_output(small: Explorer, settings: dict) -> None:
    figure = small._draw(**settings)
    row, column = divmod(settings["step"] - 1, oracle(settings).shape[1])
    stride, dilation, weight = settings["stride"], settings["dilation"], KERNELS[settings["kernel"]]
    covered = {
        (row * stride + a * dilation, column * stride + b * dilation)
        for a, b in itertools.product(*map(range, weight.shape))
    }
    lit = {
        (r + i, c + j)
        for r, c, height, width in panel_frames(figure, 1, plotting.OUTLINE)
        for i, j in itertools.product(range(height), range(width))
    }
    assert lit == covered  # in the padded input
    assert panel_frames(figure, 2, plotting.OUTLINE) == [(row, column, 1, 1)]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_picture_lights_both_ends_of_every_connection_that_shares_the_weight(
    small: Explorer, settings: dict
) -> None:
    figure = small._draw(**settings)
    shared, padding, width = brute_force(settings), settings["padding"], oracle(settings).shape[1]
    inputs = {(row + padding, column + padding, 1, 1) for row, column in shared.values()}
    assert set(panel_frames(figure, 1, "black")) == inputs
    assert sorted(panel_frames(figure, 2, "black")) == [(*divmod(number, width), 1, 1) for number in sorted(shared)]
    lines = [artist for artist in figure.artists if isinstance(artist, ConnectionPatch)]
    assert len(lines) == len(shared)
    thick = [line for line in lines if line.get_linewidth() > 2]
    assert len(thick) == (settings["step"] - 1 in shared)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_picture_shows_the_numbers_of_kernel_input_and_output(small: Explorer, settings: dict) -> None:
    figure = small._draw(**settings)
    expected = [KERNELS[settings["kernel"]], F.pad(IMAGE, (settings["padding"],) * 4), oracle(settings)]
    for ax, table in zip(figure.axes, expected, strict=True):
        shown = torch.zeros(table.shape)
        for text in ax.texts:
            column, row = map(round, text.get_position())
            shown[row, column] = float(text.get_text().replace("−", "-"))
        assert torch.equal(shown, table)


def test_the_shown_picture_is_that_of_the_controls(small: Explorer) -> None:
    settings = START | {"stride": 2, "step": 3, "tap": 4}
    small.set(**settings)
    expected = plotting.convolution_step(
        IMAGE,
        KERNELS["square"],
        oracle(settings),
        stride=2,
        position=(1, 0),
        chosen=(1, 1),
        shared=torch.tensor([[number, 5 * row + column] for number, (row, column) in brute_force(settings).items()]),
        heading="Kernel: square",
    )
    assert small.png == expected.png()


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_last_two_sliders_end_at_the_last_output_and_the_last_weight(quick: Explorer, settings: dict) -> None:
    quick.set(**settings)
    assert quick.controls["step"].max == oracle(settings).numel()
    assert quick.controls["tap"].max == KERNELS[settings["kernel"]].numel()


def test_a_larger_stride_takes_the_lit_output_back_to_the_last_one(quick: Explorer) -> None:
    quick.set(**START | {"step": 12, "tap": 4})
    quick.controls["stride"].value = 2
    assert quick.error is None
    assert quick.text.startswith("Output 4 of 4 ")
    quick.controls["kernel"].value = "row"
    assert quick.error is None
    assert "The weight (−1) in row 0, column 2" in quick.text


def test_a_kernel_that_fits_nowhere_is_said_in_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "convolution_step", Undrawn)
    explorer = unit.explorer(IMAGE[:2, :2], {"square": KERNELS["square"]})
    explorer.controls["dilation"].value = 3
    assert explorer.text.startswith("No picture: ValueError: kernel_size (2, 2) with dilation (3, 3)")
    explorer.controls["dilation"].value = 1
    assert explorer.error is None


def test_without_arguments_a_seven_is_shown() -> None:
    explorer = unit.explorer()
    assert explorer.png.startswith(b"\x89PNG\r\n")
    assert list(explorer.controls["kernel"].options) == list(unit.KERNELS)
    assert explorer.error is None


def test_every_kernel_can_be_stepped_to_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "convolution_step", Undrawn)
    explorer = unit.explorer()
    for name, (padding, dilation) in itertools.product(unit.KERNELS, [(0, 3), (2, 1)]):
        explorer.set(kernel=name, padding=padding, dilation=dilation)
        for end in (1, explorer.controls["step"].max):
            explorer.set(step=end)
            assert explorer.error is None
            assert f"Output {end} of {explorer.controls['step'].max} " in explorer.text


def test_the_largest_picture_is_no_wider_than_a_notebook() -> None:
    rows, columns = torch.ones(11, 11), torch.ones(10, 10)  # padding 2 and a kernel of 2 x 2
    assert plotting.convolution_step(rows[2:-2, 2:-2], torch.ones(2, 2), columns, padding=2).get_figwidth() <= 9.6


def test_the_image_and_the_kernels_are_left_as_they_were(small: Explorer) -> None:
    before = [IMAGE.clone(), *(kernel.clone() for kernel in KERNELS.values())]
    small.set(**SETTINGS[2])
    assert all(torch.equal(a, b) for a, b in zip(before, [IMAGE, *KERNELS.values()], strict=True))


def test_double_precision_can_be_explored() -> None:
    explorer = unit.explorer(IMAGE.double(), {name: kernel.double() for name, kernel in KERNELS.items()})
    assert explorer.error is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IMAGE[None], KERNELS), ValueError, r"image must be of shape \(rows, columns\), got \(1, 4, 5\)"),
        ((IMAGE.tolist(), KERNELS), TypeError, "image must be a float tensor .* got list"),
        ((IMAGE.long(), KERNELS), TypeError, "image must be a float tensor"),
        ((IMAGE / 0, KERNELS), ValueError, "image must be finite"),
        ((IMAGE, {}), ValueError, "kernels is empty"),
        ((IMAGE, {"a": torch.ones(3)}), ValueError, r"kernels\['a'\] must be of shape \(rows, columns\), got \(3,\)"),
        ((IMAGE, {"a": torch.ones(2, 2).double()}), TypeError, r"kernels\['a'\] is torch.float64, but image is"),
        ((IMAGE, {"a": torch.ones(5, 5)}), ValueError, r"kernel_size \(5, 5\)"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        unit.explorer(*arguments)
