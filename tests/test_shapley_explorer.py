"""The explorer of unit 09, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import lime, plotting, shapley, zoo
from course_utils.widgets import shapley as unit
from course_utils.widgets.explorer import Explorer

DRAWN = zoo.sample(2, seed=5)
NAMES = ["cup", "ring", "horse"]
LABELS = torch.tensor([2, 0])
START = {"image": 0, "baseline": "its own mean colour", "members": (0, 1)}


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
def coalition_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, DRAWN.images, LABELS, NAMES)


@pytest.mark.parametrize(("baseline", "replaced"), [("its own mean colour", None), ("grey", 0.5)])
@pytest.mark.parametrize("members", [(), (2,), (0, 3, 4)])
def test_the_picture_shows_what_each_player_adds_beside_its_shapley_value(
    model: nn.Sequential, coalition_explorer: Explorer, baseline: str, replaced: float | None, members: tuple[int, ...]
) -> None:
    seen = {}

    def remember(*arguments: object) -> plotting.Picture:
        seen["arguments"] = arguments
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "coalition_step", remember)
        coalition_explorer.set(image=1, baseline=baseline, members=members)
    assert coalition_explorer.error is None
    image, segments, left, pairs, *_ = seen["arguments"]
    assert torch.equal(image, DRAWN.images[1])
    n = int(segments.max()) + 1
    game = shapley.superpixel_game(model, image, 0, segments, replaced)
    inside = torch.zeros(1, n, dtype=torch.bool)
    inside[0, list(members)] = True
    torch.testing.assert_close(left, lime.perturb(image, segments, inside, replaced)[0])
    exact = shapley.exact_shapley(game, n)
    for k, (added, share) in enumerate(pairs.values()):
        with_k, without_k = inside.clone(), inside.clone()
        with_k[0, k], without_k[0, k] = True, False
        # Two float32 passes, one image and a batch.
        assert added == pytest.approx(float(game(with_k) - game(without_k)), abs=1e-4)
        assert share == pytest.approx(float(exact[k]), abs=1e-4)
    assert [name.endswith("(in)") for name in pairs] == inside[0].tolist()


def test_the_text_gives_what_the_coalition_wins(model: nn.Sequential, coalition_explorer: Explorer) -> None:
    coalition_explorer.set(**START | {"members": (1, 3)})
    segments = lime.segment(DRAWN.images[0], unit.N_SEGMENTS)
    n = int(segments.max()) + 1
    game = shapley.superpixel_game(model, DRAWN.images[0], 2, segments)
    rows = torch.zeros(3, n, dtype=torch.bool)
    rows[0, [1, 3]], rows[2] = True, True
    won, none, everyone = game(rows).tolist()
    text = coalition_explorer.text
    assert "In the coalition: 1, 3." in text
    assert f"It wins {won:.2f}; nobody wins {none:.2f}, all together {everyone:.2f}" in text
    assert f"sum to {everyone - none:.2f}" in text


def test_players_that_the_image_does_not_have_are_left_out(coalition_explorer: Explorer) -> None:
    coalition_explorer.set(**START | {"members": (2, unit.MOST - 1)})
    assert "In the coalition: 2." in coalition_explorer.text
    assert coalition_explorer.error is None


def test_each_control_changes_picture_and_text(coalition_explorer: Explorer) -> None:
    for name, value in (("image", 1), ("baseline", "black"), ("members", (0,))):
        before = coalition_explorer.png, coalition_explorer.text
        coalition_explorer.controls[name].value = value
        assert coalition_explorer.error is None
        assert coalition_explorer.png != before[0]
        assert coalition_explorer.text != before[1]


def test_without_arguments_it_shows_the_zoo() -> None:
    explorer = unit.explorer()
    assert "In the coalition: 0, 1." in explorer.text
    assert len(explorer.controls["image"].options) == 4


def test_bad_arguments_are_named(model: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="images and labels must be given together"):
        unit.explorer(model, DRAWN.images)
    with pytest.raises(ValueError, match="class_names must be 3 in number"):
        unit.explorer(model, DRAWN.images, LABELS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unit, "N_SEGMENTS", 60)
        with pytest.raises(ValueError, match="at most 12 superpixels"):
            unit.explorer(model, DRAWN.images, LABELS, NAMES)
