"""The explorer of unit 10, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from course_utils import gradient_methods as gm
from course_utils import plotting, sanity_checks, zoo
from course_utils.widgets import sanity_checks as unit
from course_utils.widgets.explorer import Explorer

DRAWN = zoo.sample(2, seed=5)
LABELS = torch.tensor([2, 0])
NAMES = ["cup", "ring", "horse"]
START = {"image": 0, "method": "gradient", "how": "cascading", "depth": 0, "draw": 1}


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 3)
        ).eval()


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return network()


@pytest.fixture
def depth_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, DRAWN.images, LABELS, NAMES)


def drawn(explorer: Explorer, **values: object) -> tuple[Tensor, dict]:
    """Return the maps that the explorer hands to its drawing for these values, and the other arguments."""
    seen = {}

    def remember(maps: Tensor, **options: object) -> plotting.Picture:
        seen.update(maps=maps, options=options)
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "heatmap_grid", remember)
        explorer.set(**START | {"draw": 3})  # a value that differs, so that the next one draws
        explorer.set(**START | values)
    assert explorer.error is None
    return seen["maps"], seen["options"]


def test_the_explorer_starts_with_the_trained_network(depth_explorer: Explorer) -> None:
    assert depth_explorer.values == START
    assert "as trained" in depth_explorer.text
    assert "1.00 with signs, 1.00 without" in depth_explorer.text


@pytest.mark.parametrize(("how", "depth"), [("cascading", 1), ("cascading", 2), ("independent", 2)])
def test_the_picture_shows_the_maps_of_both_networks(
    model: nn.Sequential, depth_explorer: Explorer, how: str, depth: int
) -> None:
    maps, options = drawn(depth_explorer, image=1, how=how, depth=depth, draw=2)
    copies = list(sanity_checks.RANDOMIZATIONS[how](model, torch.Generator().manual_seed(2)))
    name, destroyed = copies[depth - 1]
    for found, net in zip(maps, (model, destroyed), strict=True):
        torch.testing.assert_close(found, gm.gradient(net, DRAWN.images[1:], LABELS[1:]).sum(1)[0])
    assert name in options["titles"][1]
    assert "cup" in options["heading"]


def test_the_text_gives_the_similarities_and_the_answer(model: nn.Sequential, depth_explorer: Explorer) -> None:
    depth_explorer.set(**START | {"method": "integrated gradients", "depth": 2})
    destroyed = list(sanity_checks.cascading_randomization(model, torch.Generator().manual_seed(1)))[1][1]
    maps = [gm.integrated_gradients(net, DRAWN.images[:1], LABELS[:1], 0.5, n_steps=16) for net in (model, destroyed)]
    signed, absolute = (float(sanity_checks.similarity(*maps, metric)) for metric in ("spearman", "spearman_abs"))
    text = depth_explorer.text
    assert f"{signed:.2f} with signs, {absolute:.2f} without" in text
    with torch.no_grad():
        scores = destroyed(DRAWN.images[:1])[0]
    assert f"It says {NAMES[int(scores.argmax())]} (score of horse: {scores[2]:.2f}" in text
    assert "destroyed down to layer 0" in text


def test_the_edge_detector_never_notices(depth_explorer: Explorer) -> None:
    for depth in (1, 2):
        depth_explorer.set(**START | {"method": "edge detector", "depth": depth})
        assert "1.00 with signs, 1.00 without" in depth_explorer.text


def test_each_control_changes_picture_and_text(depth_explorer: Explorer) -> None:
    depth_explorer.set(**START | {"depth": 1})
    for name, value in (("image", 1), ("method", "LRP, z+"), ("depth", 2), ("how", "independent"), ("draw", 3)):
        before = depth_explorer.png, depth_explorer.text
        depth_explorer.controls[name].value = value
        assert depth_explorer.error is None
        assert depth_explorer.png != before[0]
        assert depth_explorer.text != before[1]


def test_the_network_stays_as_it_was(model: nn.Sequential, depth_explorer: Explorer) -> None:
    depth_explorer.set(**START | {"depth": 2})
    for now, before in zip(model.parameters(), network().parameters(), strict=True):
        assert torch.equal(now, before)


def test_own_methods_are_shown(model: nn.Sequential) -> None:
    explorer = unit.explorer(model, DRAWN.images, LABELS, NAMES, {"the image": lambda net, x, target: x})
    explorer.set(depth=2)
    assert "1.00 with signs" in explorer.text


def test_without_arguments_it_shows_the_zoo() -> None:
    explorer = unit.explorer()
    assert "It says zebra" in explorer.text
    assert explorer.controls["depth"].max == 6


def test_bad_arguments_are_named(model: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="images and labels must be given together"):
        unit.explorer(model, DRAWN.images)
    with pytest.raises(ValueError, match="class_names must be 3 in number"):
        unit.explorer(model, DRAWN.images, torch.tensor([0, 1]))
