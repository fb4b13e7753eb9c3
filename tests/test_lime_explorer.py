"""The explorer of unit 08, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import evaluation, lime, plotting, zoo
from course_utils.widgets import lime as unit
from course_utils.widgets.explorer import Explorer

DRAWN = zoo.sample(2, seed=5)
NAMES = ["cup", "ring", "horse"]
START = {"image": 0, "number": 12, "baseline": "its own mean colour", "removed": ()}


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 3))
        model[-1].weight.data *= 8  # scores that differ
        return model.eval()


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return network()


@pytest.fixture
def superpixel_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, DRAWN.images, torch.tensor([2, 0]), NAMES)


def drawn(explorer: Explorer, **values: object) -> tuple:
    """Return what the explorer hands to its drawing for these values."""
    seen = {}

    def remember(*arguments: object) -> plotting.Picture:
        seen["arguments"] = arguments
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "coalition_step", remember)
        explorer.set(**START | {"removed": (39,)})  # a value that differs, so that the next one draws
        explorer.set(**START | values)
    assert explorer.error is None
    return seen["arguments"]


def test_the_explorer_starts_with_the_whole_image(superpixel_explorer: Explorer) -> None:
    assert superpixel_explorer.values == START
    assert "Removed: none" in superpixel_explorer.text


@pytest.mark.parametrize(("baseline", "number"), [("its own mean colour", 12), ("grey", 6), ("the image, blurred", 20)])
def test_the_picture_shows_what_is_left_and_its_scores(
    model: nn.Sequential, superpixel_explorer: Explorer, baseline: str, number: int
) -> None:
    image, segments, left, pairs, *_ = drawn(
        superpixel_explorer, image=1, baseline=baseline, number=number, removed=(0, 2)
    )
    assert torch.equal(image, DRAWN.images[1])
    assert torch.equal(segments, lime.segment(DRAWN.images[1], number))
    stays = torch.ones(1, int(segments.max()) + 1, dtype=torch.bool)
    stays[0, [0, 2]] = False
    replaced = {"its own mean colour": None, "grey": 0.5, "the image, blurred": evaluation.blurred(DRAWN.images)[1]}
    expected = lime.perturb(image, segments, stays, replaced[baseline])
    torch.testing.assert_close(left, expected[0])
    with torch.no_grad():
        now, whole = model(expected)[0], model(DRAWN.images[1:])[0]
    for k, name in enumerate(NAMES):
        assert pairs[name] == pytest.approx((float(now[k]), float(whole[k])), abs=1e-5)


def test_the_text_gives_the_score_and_what_the_linear_model_says(
    model: nn.Sequential, superpixel_explorer: Explorer
) -> None:
    superpixel_explorer.set(**START | {"removed": (1, 2, 5)})
    segments = lime.segment(DRAWN.images[0], 12)
    stays = torch.ones(1, int(segments.max()) + 1, dtype=torch.bool)
    stays[0, [1, 2, 5]] = False
    fit = lime.explain(model, DRAWN.images[0], 2, segments, unit.N_SAMPLES, generator=torch.Generator().manual_seed(0))
    score = lime.score_coalitions(model, DRAWN.images[0], 2, segments, stays)
    text = superpixel_explorer.text
    assert "Removed: 1, 2, 5 (replaced by its own mean colour)" in text
    assert f"Score of horse: {float(score[0]):.2f}" in text
    assert f"linear model says {float(fit.predict(stays)[0]):.2f} to this coalition" in text
    assert f"R² is {float(fit.r2):.2f}" in text


def test_superpixels_that_the_image_does_not_have_are_left_out(superpixel_explorer: Explorer) -> None:
    superpixel_explorer.set(**START | {"removed": (2, 39)})
    assert "Removed: 2 (" in superpixel_explorer.text
    assert superpixel_explorer.error is None


def test_each_control_changes_picture_and_text(superpixel_explorer: Explorer) -> None:
    superpixel_explorer.set(**START | {"removed": (1, 4)})
    for name, value in (("image", 1), ("number", 40), ("baseline", "black"), ("removed", (0,))):
        before = superpixel_explorer.png, superpixel_explorer.text
        superpixel_explorer.controls[name].value = value
        assert superpixel_explorer.error is None
        assert superpixel_explorer.png != before[0]
        assert superpixel_explorer.text != before[1]


def test_without_arguments_it_shows_the_zoo() -> None:
    explorer = unit.explorer()
    assert "Score of zebra" in explorer.text
    assert len(explorer.controls["image"].options) == 4


def test_bad_arguments_are_named(model: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="images and labels must be given together"):
        unit.explorer(model, DRAWN.images)
    with pytest.raises(ValueError, match="class_names must be 3 in number"):
        unit.explorer(model, DRAWN.images, torch.tensor([0, 1]))
