"""The explorer of unit 11, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from course_utils import plotting, tcav, zoo
from course_utils.widgets import tcav as unit
from course_utils.widgets.explorer import Explorer

SAME = "the same kind of scenes, other textures"
START = {"texture": "stripes", "negatives": SAME, "layer": "4", "label": 7}


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Tanh(), nn.Linear(96, 10)
        ).eval()


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return network()


@pytest.fixture(scope="module")
def concept_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, ("1", "4"))


def drawn(explorer: Explorer, **values: object) -> dict[str, Tensor]:
    """Return the groups that the explorer hands to its drawing for these values."""
    seen = {}

    def remember(groups: dict[str, Tensor], *arguments: object, **options: object) -> plotting.Picture:
        seen.update(groups=groups)
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "distributions", remember)
        explorer.set(**START | {"label": 2})  # a value that differs, so that the next one draws
        explorer.set(**START | values)
    assert explorer.error is None
    return seen["groups"]


def sides(texture: str) -> tuple[Tensor, list[Tensor]]:
    others = [name for name in zoo.TEXTURES if name != texture]
    sets = [torch.cat([zoo.sample(8, 100 + r, texture=name).images for name in others]) for r in range(6)]
    return zoo.sample(24, 99, texture=texture).images, sets


def test_the_explorer_starts_with_stripes_and_zebra(concept_explorer: Explorer) -> None:
    assert concept_explorer.values == START
    assert "Concept stripes" in concept_explorer.text


@pytest.mark.parametrize(("texture", "layer", "label"), [("dots", "4", 1), ("plain", "1", 6)])
def test_the_picture_shows_the_derivatives_of_both(
    model: nn.Sequential, concept_explorer: Explorer, texture: str, layer: str, label: int
) -> None:
    groups = drawn(concept_explorer, texture=texture, layer=layer, label=label)
    source = torch.Generator().manual_seed(0)
    found = tcav.concept_vectors(model, layer, *sides(texture), "means", generator=source)
    inputs = zoo.sample(24, 7, classes=[zoo.CLASSES[label]]).images
    for name, vectors in ((texture, found.vectors), ("random concepts", found.random_vectors)):
        expected = [tcav.directional_derivatives(model, layer, inputs, label, v) for v in vectors]
        torch.testing.assert_close(groups[name], torch.cat(expected))


def test_the_text_gives_score_p_value_and_effect(model: nn.Sequential, concept_explorer: Explorer) -> None:
    concept_explorer.set(**START | {"texture": "checks", "label": 3})
    source = torch.Generator().manual_seed(0)
    found = tcav.concept_vectors(model, "4", *sides("checks"), "means", generator=source)
    inputs = zoo.sample(24, 7, classes=["star"]).images
    result = tcav.tcav_test(model, "4", inputs, 3, found)
    text = concept_explorer.text
    assert f"TCAV score {result.score:.2f}" in text
    assert f"p = {result.p_value:.2g}." in text
    assert f"accuracy {float(found.accuracies.mean()):.2f}" in text
    with torch.no_grad():
        means = torch.stack(
            [model(zoo.sample(24, 7, classes=["star"], texture=t).images)[:, 3].mean() for t in zoo.TEXTURES]
        )
    effect = float(means[3] - means[:3].mean())
    assert f"on the score of star: {effect:+.1f}" in text


def test_each_control_changes_picture_and_text(concept_explorer: Explorer) -> None:
    concept_explorer.set(**START)
    changes = (("texture", "dots"), ("negatives", "clouds without an object"), ("layer", "1"), ("label", 0))
    for name, value in changes:
        before = concept_explorer.png, concept_explorer.text
        concept_explorer.controls[name].value = value
        assert concept_explorer.error is None
        assert concept_explorer.png != before[0]
        assert concept_explorer.text != before[1]


def test_without_arguments_it_finds_that_stripes_make_the_zebra() -> None:
    explorer = unit.explorer()
    assert explorer.values["layer"] == "14"
    text = explorer.text
    p = float(text.split("Mean derivative")[1].split("p = ")[1].split(". ")[0])
    effect = float(text.split("score of zebra: ")[1].rstrip("."))
    assert p < 0.01
    assert effect > 4


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        unit.explorer("zoo")
