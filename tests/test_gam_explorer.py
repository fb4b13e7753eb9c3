"""The explorer of unit 12, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

from course_utils import gam, plotting, zoo
from course_utils import gradient_methods as gm
from course_utils.widgets import gam as unit
from course_utils.widgets.explorer import Explorer

START = {"network": "one", "distance": "Spearman, weighted", "number": 2}


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 10)
        ).eval()


MODELS = {"one": network(0), "two": network(1)}


@pytest.fixture(scope="module")
def map_explorer() -> Explorer:
    return unit.explorer(MODELS, 4)


def expected(name: str, metric: str, weighted: bool, number: int) -> tuple[Tensor, gam.Clustering, Tensor]:
    drawn = [zoo.sample(40, seed=31 + k, classes=["horse"], tag=tag) for k, tag in enumerate((True, None))]
    images = torch.cat([part.images for part in drawn])
    maps = gm.integrated_gradients(MODELS[name], images, 6, 0.5, n_steps=12)
    shares = gam.normalize(gam.cells(maps, 4))
    table = gam.pairwise_rank_distances(shares, metric, weighted)
    found = gam.k_medoids(table, number, generator=torch.Generator().manual_seed(0))
    return shares, found, torch.cat([part.tagged for part in drawn])


def test_the_explorer_starts_with_two_groups(map_explorer: Explorer) -> None:
    assert map_explorer.values == START
    assert "group 1:" in map_explorer.text and "group 3" not in map_explorer.text


@pytest.mark.parametrize(
    ("name", "distance", "number"), [("two", "sum of differences", 3), ("one", "Spearman, without weights", 2)]
)
def test_the_picture_shows_the_medoids(map_explorer: Explorer, name: str, distance: str, number: int) -> None:
    seen = {}

    def remember(maps: Tensor, **options: object) -> plotting.Picture:
        seen.update(maps=maps, options=options)
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "heatmap_grid", remember)
        map_explorer.set(**START | {"number": 5})
        map_explorer.set(network=name, distance=distance, number=number)
    assert map_explorer.error is None
    shares, found, tagged = expected(name, *unit.DISTANCES[distance], number)
    torch.testing.assert_close(seen["maps"].flatten(1), shares[found.medoids])
    first = found.members == 0
    title = seen["options"]["titles"][0]
    assert title == f"explains {int(first.sum()) / 80:.0%}, {float(tagged[first].double().mean()):.0%} of them tagged"


def test_the_text_gives_sizes_and_agreement(map_explorer: Explorer) -> None:
    map_explorer.set(**START | {"network": "two", "number": 3})
    _, found, tagged = expected("two", "spearman", True, 3)
    text = map_explorer.text
    for k in range(3):
        inside = found.members == k
        assert f"group {k + 1}: {int(inside.sum())} images, {int(tagged[inside].sum())} tagged" in text
    assert f"(adjusted Rand index): {adjusted_rand_score(tagged.numpy(), found.members.numpy()):.2f}" in text


def test_each_control_changes_picture_and_text(map_explorer: Explorer) -> None:
    map_explorer.set(**START)
    for name, value in (("network", "two"), ("distance", "sum of differences"), ("number", 4)):
        before = map_explorer.png, map_explorer.text
        map_explorer.controls[name].value = value
        assert map_explorer.error is None
        assert map_explorer.png != before[0]
        assert map_explorer.text != before[1]


def test_without_arguments_it_finds_the_tag() -> None:
    explorer = unit.explorer()
    explorer.set(distance="sum of differences")
    agreement = float(explorer.text.split("index): ")[1].split(". ")[0])
    assert agreement > 0.7
    explorer.set(network="zoo")
    assert abs(float(explorer.text.split("index): ")[1].split(". ")[0])) < 0.15


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        unit.explorer({"zoo": "zoo"})
