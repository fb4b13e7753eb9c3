"""The explorer of unit 06, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

from typing import BinaryIO

import pytest
import torch
from torch import Tensor, nn

from course_utils import evaluation, plotting
from course_utils import gradient_methods as gm
from course_utils.widgets import gradient_methods as unit
from course_utils.widgets.explorer import Explorer


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
    assert explorer.png.startswith(b"\x89PNG\r\n")


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
