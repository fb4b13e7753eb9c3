"""The explorer of unit 07, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

from typing import BinaryIO

import pytest
import torch
from torch import Tensor, nn

from course_utils import plotting
from course_utils.lrp import AlphaBeta, Epsilon, Gamma, ZBox, ZPlus, lrp
from course_utils.widgets import lrp as unit
from course_utils.widgets.explorer import Explorer


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
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
def lrp_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, IMAGES, LABELS, MASKS, NAMES)


class Bytes:
    """Stands in for a figure: its picture is the bytes of what it would draw, which takes no time."""

    def __init__(self, image: Tensor, attribution: Tensor, sums: dict, total: float, *_: object, **__: object) -> None:
        self.content = attribution.numpy().tobytes() + repr((image.sum(), sums, total)).encode()

    def savefig(self, file: BinaryIO, format: str) -> None:
        file.write(self.content)


@pytest.fixture
def undrawn(model: nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> Explorer:
    """The explorer whose `png` is the bytes of map and sums."""
    monkeypatch.setattr(plotting, "relevance_and_sums", Bytes)
    return unit.explorer(model, IMAGES, LABELS, MASKS, NAMES)


START = {"rules": "epsilon", "image": 0, "target": unit.OWN_CLASS, "epsilon": 0.25, "gamma": 0.25}
# The rules by layer, written out: convolutions "0" and "3", average pooling "5", the dense layer "7".
ORACLE = {
    "epsilon": Epsilon(0.25),
    "gamma": Gamma(0.25),
    "composite": {"0": ZBox(0.0, 1.0), "3": Epsilon(0.25), "7": Epsilon(0.0)},
    "composite without zB": {"0": Gamma(0.25), "3": Epsilon(0.25), "7": Epsilon(0.0)},
    "z+": ZPlus(),
    "alpha-beta (2, 1)": AlphaBeta(2.0, 1.0),
}
LAYERS = {"pixels": "inputs", "0: Conv2d": "0", "3: Conv2d": "3", "5: AvgPool2d": "5", "7: Linear": "7"}


def test_the_explorer_starts_at_the_epsilon_rule() -> None:
    assert unit.explorer(network(), IMAGES, LABELS, MASKS, NAMES).values == START


def two(value: Tensor | float) -> str:
    """Two digits, and no sign at 0."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def test_every_choice_of_rules_is_checked_here() -> None:
    assert set(ORACLE) == set(unit.CHOICES)


@pytest.mark.parametrize("rules", ORACLE)
@pytest.mark.parametrize(("image", "target"), [(0, unit.OWN_CLASS), (1, 1), (0, unit.SEEN_CLASS)])
def test_the_text_gives_score_sums_and_what_is_absorbed(
    model: nn.Sequential, undrawn: Explorer, rules: str, image: int, target: int
) -> None:
    undrawn.set(**START | {"rules": rules, "image": image, "target": target})
    scores = model(IMAGES[[image]])[0].detach()
    explained = {unit.OWN_CLASS: int(LABELS[image]), unit.SEEN_CLASS: int(scores.argmax())}.get(target, target)
    relevance, layers = lrp(model, IMAGES[[image]], explained, ORACLE[rules], return_layers=True)
    pixels = relevance.sum(1)
    expected = [
        f"{rules} for {NAMES[explained]} (the image shows: {NAMES[LABELS[image]]}; the network sees: "
        f"{NAMES[int(scores.argmax())]}). Score {two(scores[explained])}",
        *(f"{name} {two(layers[key].sum())}" for name, key in LAYERS.items()),
        f"Pixels: {two(pixels[pixels > 0].sum())} for, {two(pixels[pixels < 0].sum())} against",
        f"absorbed on the way {two(scores[explained] - relevance.sum())}",
    ]
    assert undrawn.error is None
    assert [part for part in expected if part not in undrawn.text] == []


@pytest.mark.parametrize("rules", ORACLE)
def test_the_picture_is_that_of_the_rules_and_their_sums(
    model: nn.Sequential, lrp_explorer: Explorer, rules: str
) -> None:
    lrp_explorer.set(**START | {"rules": rules})
    relevance, layers = lrp(model, IMAGES[:1], 2, ORACLE[rules], return_layers=True)
    sums = {name: layers[key].sum().item() for name, key in LAYERS.items()}
    title = f"{rules}: where does the score of horse come from?"
    score = model(IMAGES[:1])[0, 2].item()
    expected = plotting.relevance_and_sums(
        IMAGES[0], relevance[0], sums, score, MASKS[0], title, unit.UNIT, quantile=0.998
    )
    assert lrp_explorer.png == expected.png()


CHANGED = {"epsilon": 1.5, "gamma": 1.5}


@pytest.mark.parametrize("rules", ORACLE)
@pytest.mark.parametrize("slider", CHANGED)
def test_a_slider_changes_the_picture_exactly_if_the_text_does_not_deny_it(
    undrawn: Explorer, rules: str, slider: str
) -> None:
    undrawn.set(**START | {"rules": rules})
    before = undrawn.png
    undrawn.controls[slider].value = CHANGED[slider]
    denied = slider in undrawn.text.partition("Without effect here:")[2]
    assert (undrawn.png == before) == denied


def test_gamma_is_denied_where_the_box_leaves_no_layer_to_it(undrawn: Explorer) -> None:
    undrawn.set(**START | {"rules": "composite"})  # of two convolutions one is the first and the other a middle one
    assert undrawn.text.endswith("Without effect here: gamma.")


@pytest.mark.parametrize(("control", "value"), [("rules", "z+"), ("image", 1), ("target", 1)])
def test_every_choice_changes_the_picture(undrawn: Explorer, control: str, value: object) -> None:
    undrawn.set(**START)
    before = undrawn.png
    undrawn.controls[control].value = value
    assert undrawn.png != before


def test_on_the_zoo_every_slider_of_every_choice_moves_the_picture_or_is_denied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plotting, "relevance_and_sums", Bytes)
    explorer = unit.explorer()
    for rules in unit.CHOICES:
        for slider in CHANGED:
            explorer.set(**START | {"rules": rules})
            before = explorer.png
            explorer.controls[slider].value = CHANGED[slider]
            denied = slider in explorer.text.partition("Without effect here:")[2]
            assert (explorer.png == before) == denied, (rules, slider)


def test_the_explorer_leaves_the_model_as_it_was(model: nn.Sequential, lrp_explorer: Explorer) -> None:
    lrp_explorer.set(**START | {"rules": "composite"})
    assert all(not m._forward_hooks and "forward" not in vars(m) and not m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_network_that_lrp_refuses_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 196, 3)).eval()
    with pytest.raises(ValueError, match="no rule for an operation of this model, 'TanhBackward0'"):
        unit.explorer(model, IMAGES, LABELS, MASKS, NAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "images and labels must be given together"),
        ({"images": None}, "images and labels must be given together"),
        ({"masks": MASKS[:1]}, r"masks must be bool of shape \(2, 16, 16\)"),
        ({"masks": MASKS.float()}, "masks must be bool"),
        ({"class_names": ["one"]}, "class_names must be 3 in number"),
        ({"images": IMAGES[0]}, "inputs must be a batch"),
        ({"labels": torch.tensor([1])}, "target must be"),
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


def test_grey_images_without_masks_can_be_explored() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 256, 3)).eval()
    assert unit.explorer(model, IMAGES[:, :1], LABELS, class_names=NAMES).error is None


def test_the_images_are_not_changed(model: nn.Sequential) -> None:
    images = IMAGES.clone()
    unit.explorer(nn.Sequential(nn.ReLU(inplace=True), *model).eval(), images, LABELS, MASKS, NAMES)
    assert torch.equal(images, IMAGES)
