"""The explorers, without a browser: move a control, and see the picture's bytes and its text change."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

import ipywidgets
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_utils import evaluation, plotting
from course_utils import gradient_methods as gm
from course_utils.widgets import gradient_methods as unit
from course_utils.widgets.explorer import Explorer

PNG = b"\x89PNG\r\n"
VIEW = "application/vnd.jupyter.widget-view+json"


def draw(a: int, b: str) -> Figure:
    if a == 9:
        raise ArithmeticError("nine <is> too much")
    return plotting.message(f"{a} {b}")


def describe(a: int, b: str) -> str:
    if a == 8:
        raise LookupError("no words for eight")
    return f"a is {a}, b is <{b}>"


def controls() -> dict[str, ipywidgets.ValueWidget]:
    return {
        "a": ipywidgets.IntSlider(value=1, min=0, max=9, description="A", continuous_update=False),
        "b": ipywidgets.Dropdown(options=["x", "y"], description="B"),
    }


@pytest.fixture
def explorer() -> Explorer:
    return Explorer(draw, controls(), describe)


def wait_until(happened: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.001)


def picture(text: str) -> bytes:
    return plotting.message(text).png()


# The pattern


def test_an_explorer_shows_the_picture_of_its_first_values(explorer: Explorer) -> None:
    assert explorer.png == picture("1 x")
    assert explorer.text == "a is 1, b is <x>"


def test_moving_a_control_changes_picture_and_text(explorer: Explorer) -> None:
    explorer.controls["a"].value = 5
    assert explorer.png == picture("5 x")
    assert explorer.text == "a is 5, b is <x>"


def test_the_widgets_show_what_the_explorer_holds(explorer: Explorer) -> None:
    explorer.controls["b"].value = "y"
    row, image, status = explorer.widget.children
    assert list(row.children) == list(explorer.controls.values())
    assert isinstance(image, ipywidgets.Image) and image.format == "png"
    assert bytes(image.value) == explorer.png
    assert "a is 1, b is &lt;y&gt;" in status.value


def test_the_text_is_a_live_region_for_screen_readers(explorer: Explorer) -> None:
    assert 'role="status"' in explorer.widget.children[2].value


def test_the_picture_has_no_tooltip(explorer: Explorer) -> None:
    # The front end of ipywidgets 8.1 fails to show an Image with one ("Cannot read properties of undefined").
    assert getattr(explorer.widget.children[1], "tooltip", None) is None


def test_setting_several_controls_draws_once() -> None:
    calls = []
    explorer = Explorer(lambda **values: calls.append(values) or draw(**values), controls(), describe)
    explorer.set(a=3, b="y")
    assert calls == [{"a": 1, "b": "x"}, {"a": 3, "b": "y"}]


def test_setting_an_unknown_control_is_refused_with_those_that_exist(explorer: Explorer) -> None:
    with pytest.raises(ValueError, match=r"no controls \['c'\]; there are \['a', 'b'\]"):
        explorer.set(c=1)


def test_a_value_that_a_control_refuses_leaves_the_others_following(explorer: Explorer) -> None:
    with pytest.raises(Exception, match="selection"):
        explorer.set(b="z")
    explorer.controls["a"].value = 2
    assert explorer.text == "a is 2, b is <x>"


@pytest.mark.parametrize(
    ("value", "text"),
    [(9, "No picture: ArithmeticError: nine <is> too much"), (8, "No picture: LookupError: no words for eight")],
)
def test_an_error_is_said_in_text_and_picture_and_kept(explorer: Explorer, value: int, text: str) -> None:
    explorer.controls["a"].value = value
    assert explorer.text == text
    assert explorer.png == picture(text)
    assert explorer.error.__traceback__ is not None


def test_after_an_error_the_next_value_is_drawn(explorer: Explorer) -> None:
    explorer.controls["a"].value = 9
    explorer.controls["a"].value = 4
    assert (explorer.text, explorer.error) == ("a is 4, b is <x>", None)


@pytest.mark.parametrize(("value", "error"), [(9, ArithmeticError), (8, LookupError)])
def test_an_error_at_the_first_values_is_raised(value: int, error: type) -> None:
    first = controls()
    first["a"].value = value
    with pytest.raises(error):
        Explorer(draw, first, describe)


def test_a_drawing_that_moves_a_control_ends_with_the_value_it_moved_to() -> None:
    def corrected(a: int, b: str) -> Figure:
        if a == 5:
            explorer.controls["a"].value = 6
        return draw(a, b)

    explorer = Explorer(corrected, controls(), describe)
    explorer.controls["a"].value = 5
    assert explorer.png == picture("6 x")


def test_a_slow_drawing_does_not_replace_a_later_one() -> None:
    started, go_on = threading.Event(), threading.Event()
    drawn = []

    def slow(a: int, b: str) -> Figure:
        drawn.append(a)
        if a == 2:
            started.set()
            assert go_on.wait(10)
        return draw(a, b)

    explorer = Explorer(slow, controls(), describe)
    shown = []
    explorer.widget.children[1].observe(lambda change: shown.append(explorer.text), names="value")
    move = [threading.Thread(target=setattr, args=(explorer.controls["a"], "value", a)) for a in (2, 3)]
    move[0].start()
    assert started.wait(10)
    move[1].start()
    wait_until(lambda: explorer.controls["a"].value == 3 and explorer._changes == 2)
    go_on.set()
    for thread in move:
        thread.join(10)
    assert shown == ["a is 3, b is <x>"]
    assert explorer.png == picture("3 x")
    assert drawn == [1, 2, 3]


def test_changes_that_wait_are_drawn_only_for_the_last() -> None:
    started, go_on = threading.Event(), threading.Event()
    drawn = []

    def slow(a: int, b: str) -> Figure:
        drawn.append(a)
        if a == 2:
            started.set()
            assert go_on.wait(10)
        return draw(a, b)

    explorer = Explorer(slow, controls(), describe)
    threads = []
    for count, value in enumerate((2, 3, 4, 5), start=1):
        threads.append(threading.Thread(target=setattr, args=(explorer.controls["a"], "value", value)))
        threads[-1].start()
        assert started.wait(10)
        wait_until(lambda count=count: explorer._changes == count)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert drawn == [1, 2, 5]
    assert explorer.text == "a is 5, b is <x>"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "controls is empty"),
        ({"a": ipywidgets.IntSlider(continuous_update=False)}, "control 'a' needs a description"),
        ({"a": ipywidgets.IntSlider(description="A")}, "control 'a' needs continuous_update=False"),
    ],
)
def test_controls_that_not_everyone_can_use_are_refused(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Explorer(lambda **values: draw(1, "x"), bad, lambda **values: "")


# What a notebook keeps


def test_the_bundle_holds_png_text_and_the_widget(explorer: Explorer) -> None:
    explorer.controls["a"].value = 7
    data = explorer._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == explorer.png
    assert data["text/plain"] == "a is 7, b is <x>"
    assert data[VIEW] == {"version_major": 2, "version_minor": 0, "model_id": explorer.widget.model_id}
    json.dumps(data)


def test_without_a_front_end_for_widgets_the_bundle_holds_png_and_text(explorer: Explorer) -> None:
    explorer.widget.close()
    data = explorer._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png"}


def test_ipython_displays_all_of_the_bundle(explorer: Explorer) -> None:
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(explorer)
    assert {"text/plain", "image/png", VIEW} <= set(data)
    assert data["text/plain"] == explorer.text


def test_a_web_page_of_the_notebook_shows_the_picture(explorer: Explorer) -> None:
    nbconvert = pytest.importorskip("nbconvert")
    from nbformat import v4

    data = explorer._repr_mimebundle_()
    cell = v4.new_code_cell("explorer", outputs=[v4.new_output("execute_result", data)])
    page, _ = nbconvert.HTMLExporter().from_notebook_node(v4.new_notebook(cells=[cell]))
    assert f"data:image/png;base64,{data['image/png'][:60]}" in page


def test_show_displays_the_explorer(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    explorer.show()
    assert shown == [explorer]


# Unit 06


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(8 * 16, 3),
        ).eval()  # fmt: skip


SOURCE = torch.Generator().manual_seed(1)
IMAGES = torch.rand(2, 3, 16, 16, generator=SOURCE)
LABELS = torch.tensor([2, 0])
MASKS = torch.zeros(2, 16, 16, dtype=torch.bool)
MASKS[:, 4:10, 2:9] = True
NAMES = ["cup", "ring", "horse"]


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return network()


@pytest.fixture(scope="module")
def gradient_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, IMAGES, LABELS, MASKS, NAMES)


class Bytes:
    """Stands in for a figure: its picture is the attribution's bytes, which takes no time to draw."""

    def __init__(self, image: Tensor, attribution: Tensor, *_: object, **__: object) -> None:
        self.content = attribution.numpy().tobytes()

    def savefig(self, file: BinaryIO, format: str) -> None:
        file.write(self.content)


@pytest.fixture
def undrawn(model: nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> Explorer:
    """The explorer whose `png` is the attribution's bytes."""
    monkeypatch.setattr(plotting, "explanation", Bytes)
    return unit.explorer(model, IMAGES, LABELS, MASKS, NAMES)


START = {"method": "gradient", "image": 0, "target": unit.OWN_CLASS, "layer": "4", "noise": 0.15, "number": 25}
ORACLE = {
    "gradient": lambda m, x, y: gm.gradient(m, x, y),
    "saliency": lambda m, x, y: gm.saliency(m, x, y),
    "input x gradient": lambda m, x, y: gm.input_x_gradient(m, x, y),
    "SmoothGrad": lambda m, x, y: gm.smoothgrad(m, x, y, 25, 0.15, torch.Generator().manual_seed(0)),
    "integrated gradients": lambda m, x, y: gm.integrated_gradients(m, x, y, n_steps=25),
    "deconvnet": lambda m, x, y: gm.deconvnet(m, x, y),
    "guided backprop": lambda m, x, y: gm.guided_backprop(m, x, y),
    "Grad-CAM": lambda m, x, y: gm.upsample(gm.grad_cam(m, x, y, "4"), (16, 16)),
    "guided Grad-CAM": lambda m, x, y: gm.guided_grad_cam(m, x, y, "4"),
}


def test_the_explorer_starts_at_the_gradient_and_the_last_layer_before_pooling(gradient_explorer: Explorer) -> None:
    fresh = unit.explorer(network(), IMAGES, LABELS, MASKS, NAMES)
    assert fresh.values == START


def test_every_method_of_the_lecture_can_be_chosen() -> None:
    assert set(ORACLE) == set(unit.METHODS)


@pytest.mark.parametrize("method", ORACLE)
@pytest.mark.parametrize(("image", "target"), [(0, unit.OWN_CLASS), (1, 1)])
def test_the_text_gives_class_score_and_truth(
    model: nn.Sequential, undrawn: Explorer, method: str, image: int, target: int
) -> None:
    undrawn.set(**START | {"method": method, "image": image, "target": target})
    explained = int(LABELS[image]) if target == unit.OWN_CLASS else target
    maps = ORACLE[method](model, IMAGES[[image]], explained)
    score = model(IMAGES[[image]])[0, explained].item()
    expected = [
        f"{method} for {NAMES[explained]}, score {score:.1f}",
        f"the image shows: {NAMES[LABELS[image]]}",
        *(f"{name} {metric(maps, MASKS[[image]]).item():.2f}" for name, metric in evaluation.TRUTH_METRICS.items()),
        f"a constant map has {42 / 256:.2f}",
    ]
    assert undrawn.error is None
    assert [part for part in expected if part not in undrawn.text] == []


@pytest.mark.parametrize("method", ORACLE)
def test_the_picture_is_that_of_the_method_and_its_object(
    model: nn.Sequential, gradient_explorer: Explorer, method: str
) -> None:
    gradient_explorer.set(**START | {"method": method})
    attribution = ORACLE[method](model, IMAGES[:1], 2)[0].detach()
    title = f"{method}: what speaks for horse?"
    unit_of_values = unit.METHODS[method].unit
    expected = plotting.explanation(IMAGES[0], attribution, MASKS[0], title, unit_of_values, quantile=0.998)
    assert gradient_explorer.png == expected.png()


OTHER = {"layer": ("the layer", "1"), "noise": ("the noise", 0.4), "number": ("the number of steps or samples", 3)}


@pytest.mark.parametrize("method", ORACLE)
@pytest.mark.parametrize("control", OTHER)
def test_a_control_changes_the_picture_exactly_if_the_text_does_not_deny_it(
    undrawn: Explorer, method: str, control: str
) -> None:
    undrawn.set(**START | {"method": method})
    before = undrawn.png
    words, value = OTHER[control]
    undrawn.controls[control].value = value
    denied = words in undrawn.text.split("Without effect here:")[1]
    assert (undrawn.png == before) == denied


def test_the_layers_offered_are_those_with_maps(gradient_explorer: Explorer) -> None:
    assert list(gradient_explorer.controls["layer"].options) == [
        ("0: Conv2d, 6 maps of 16 x 16", "0"),
        ("1: ReLU, 6 maps of 16 x 16", "1"),
        ("2: MaxPool2d, 6 maps of 8 x 8", "2"),
        ("3: Conv2d, 8 maps of 8 x 8", "3"),
        ("4: ReLU, 8 maps of 8 x 8", "4"),
        ("5: MaxPool2d, 8 maps of 4 x 4", "5"),
    ]


def test_the_explorer_leaves_the_model_as_it_was(model: nn.Sequential, gradient_explorer: Explorer) -> None:
    gradient_explorer.set(**START | {"method": "guided Grad-CAM"})
    assert all(not m._forward_hooks and not m._backward_hooks and not m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_network_that_a_method_refuses_is_said_in_the_text() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), shared, nn.Conv2d(4, 4, 3), shared, nn.Flatten(), nn.Linear(4 * 144, 3)
    ).eval()
    explorer = unit.explorer(model, IMAGES, LABELS, MASKS, NAMES)
    explorer.controls["method"].value = "guided backprop"
    assert explorer.text.startswith("No picture: ValueError")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "images, labels and masks must be given together"),
        ({"images": None}, "images, labels and masks must be given together"),
        ({"class_names": ["one"]}, "class_names must be 3 in number"),
        ({"images": IMAGES[0]}, "inputs must be a batch"),
        ({"labels": torch.tensor([1])}, "target must be"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(768, 3))}, "no layer with feature maps"),
    ],
)
def test_bad_arguments_are_refused_by_name(model: nn.Sequential, changes: dict, message: str) -> None:
    arguments = {"model": model, "images": IMAGES, "labels": LABELS, "masks": MASKS, "class_names": NAMES}
    with pytest.raises(ValueError, match=message):
        unit.explorer(**arguments | changes)


def test_without_arguments_the_zoo_is_explored() -> None:
    explorer = unit.explorer()
    options: list[tuple[str, int]] = list(explorer.controls["image"].options)
    assert [name for name, _ in options] == ["1: cup", "2: ball", "3: zebra", "4: horse", "5: glass", "6: ring"]
    assert explorer.png.startswith(PNG)


def test_grey_images_can_be_explored() -> None:
    grey: Tensor = IMAGES[:, :1]
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 256, 3)).eval()
    assert unit.explorer(model, grey, LABELS, MASKS, NAMES).error is None


class Centre(nn.Module):
    """A first layer that works in place."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.sub_(0.5)


def test_an_in_place_first_layer_leaves_the_images_as_they_were(model: nn.Sequential) -> None:
    images = IMAGES.clone()
    unit.explorer(nn.Sequential(Centre(), *model).eval(), images, LABELS, MASKS, NAMES)
    assert torch.equal(images, IMAGES)
