"""The explorer of unit 05, without a browser: it draws what its controls say, and its text tells the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from course_utils import evaluation, plotting
from course_utils.widgets import visualization as unit
from course_utils.widgets.explorer import Explorer


def network(channels: int = 3) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 144, 3)
        ).eval()  # fmt: skip
        model[-1].weight.data *= 8  # probabilities that differ
        return model


SOURCE = torch.Generator().manual_seed(1)
IMAGES = torch.rand(2, 3, 24, 24, generator=SOURCE)
with torch.no_grad():
    PREDICTED = network()(IMAGES).argmax(1)
LABELS = torch.stack([PREDICTED[0], (PREDICTED[1] + 1) % 3])  # the first is recognised, the second is not
NAMES = ["cup", "ring", "horse"]
START = {
    "image": 0,
    "target": unit.PREDICTED,
    "window": 16,
    "stride": unit.HALF,
    "baseline": "grey",
    "show": unit.SO_FAR,
    "position": 60,
}


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return network()


@pytest.fixture
def occlusion_explorer(model: nn.Sequential) -> Explorer:
    return unit.explorer(model, IMAGES, LABELS, NAMES)


def by_hand(model: nn.Module, image: Tensor, label: int, window: int, step: int, cover: Tensor) -> list[list[float]]:
    """L_noccl - L_occl, patch by patch in two loops; image and cover (C, H, W)."""
    size = image.shape[1]
    before = model(image[None]).softmax(1)[0, label].item()
    table = []
    for row in range(math.ceil((size - window) / step) + 1):
        table.append([])
        for column in range(math.ceil((size - window) / step) + 1):
            covered = image.clone()
            here = (slice(None), slice(row * step, row * step + window), slice(column * step, column * step + window))
            covered[here] = cover[here]
            table[-1].append(math.log(model(covered[None]).softmax(1)[0, label].item()) - math.log(before))
    return table


def test_the_explorer_starts_with_a_patch_on_its_way(occlusion_explorer: Explorer) -> None:
    assert occlusion_explorer.values == START


def test_windows_that_do_not_fit_the_image_are_not_offered(occlusion_explorer: Explorer) -> None:
    assert [window for _, window in occlusion_explorer.controls["window"].options] == [8, 12, 16, 24]


COVERS = {
    "grey": torch.full_like(IMAGES, 0.5),
    "black": torch.zeros_like(IMAGES),
    "white": torch.ones_like(IMAGES),
    "the image, blurred": evaluation.blurred(IMAGES),
}


@pytest.mark.parametrize("baseline", COVERS)
@pytest.mark.parametrize(("window", "stride", "step"), [(16, unit.HALF, 8), (12, unit.WHOLE, 12), (24, unit.HALF, 12)])
@torch.no_grad()
def test_the_picture_shows_the_differences_of_the_losses(
    model: nn.Sequential, occlusion_explorer: Explorer, baseline: str, window: int, stride: str, step: int
) -> None:
    table = torch.tensor(by_hand(model, IMAGES[1], 2, window, step, COVERS[baseline][1]))
    seen = {}

    def remember(*arguments: object) -> plotting.Picture:
        seen["arguments"] = arguments
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "occlusion_step", remember)
        changes = {"image": 1, "target": 2, "window": window, "stride": stride, "baseline": baseline}
        occlusion_explorer.set(**START | changes | {"show": unit.ALL, "position": 100})
    assert occlusion_explorer.error is None
    image, covered, shown, (top, left, rows, columns), cell, *_ = seen["arguments"]
    torch.testing.assert_close(shown, table, rtol=1e-4, atol=1e-5)
    assert cell == (len(table) - 1, len(table) - 1) and (top, left) == (cell[0] * step, cell[1] * step)
    assert (top + rows, left + columns) == (min(24, top + window), min(24, left + window))
    changed = torch.zeros(24, 24, dtype=torch.bool)
    changed[top : top + rows, left : left + columns] = True
    assert torch.equal(image, IMAGES[1])
    assert torch.equal(covered, torch.where(changed, COVERS[baseline][1], IMAGES[1]))


@torch.no_grad()
def test_the_text_gives_both_losses_and_the_number_of_passes(
    model: nn.Sequential, occlusion_explorer: Explorer
) -> None:
    occlusion_explorer.set(**START | {"image": 1, "position": 25})
    q, k = int(PREDICTED[1]), int(LABELS[1])
    table = by_hand(model, IMAGES[1], q, 16, 8, COVERS["grey"][1])
    p = model(IMAGES[[1]]).softmax(1)[0, q].item()
    # 2 x 2 patches: a quarter of the way from patch 1 to patch 4 is patch 2
    change = table[0][1]
    expected = [
        f"True class K: {NAMES[k]}; prediction Q: {NAMES[q]}; asked: {NAMES[q]}.",
        f"L_noccl = {-math.log(p):.2f}, that is P = {p:.2f}",
        f"Patch 2 of 4 covered: L_occl = {-math.log(p) - change:.2f}, difference {change:.2f}",
        f"{min(map(min, table)):.2f}. Forward passes for the whole map: 1 + 4.",
    ]
    assert [part for part in expected if part not in occlusion_explorer.text] == []


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({}, {"image": 1}),
        ({}, {"target": int((PREDICTED[0] + 1) % 3)}),
        ({}, {"window": 8}),
        ({"window": 8}, {"stride": unit.WHOLE}),
        ({}, {"baseline": "white"}),
        ({}, {"show": unit.ALL}),
        ({}, {"position": 10}),
    ],
)
def test_every_control_changes_the_picture(occlusion_explorer: Explorer, before: dict, change: dict) -> None:
    occlusion_explorer.set(**START | before)
    shown = occlusion_explorer.png
    occlusion_explorer.set(**change)
    assert occlusion_explorer.error is None and occlusion_explorer.png != shown


def test_the_map_so_far_ends_at_the_patch(occlusion_explorer: Explorer) -> None:
    known = []

    def count(_image: Tensor, _covered: Tensor, shown: Tensor, *_: object) -> plotting.Picture:
        known.append(shown.flatten().isfinite().tolist())
        return plotting.message("drawn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plotting, "occlusion_step", count)
        for position in (0, 50, 100):
            occlusion_explorer.set(**START | {"window": 12, "position": position})
    assert known == [[True] + [False] * 8, [True] * 5 + [False] * 4, [True] * 9]


def test_moving_the_patch_calls_the_network_no_more(model: nn.Sequential, occlusion_explorer: Explorer) -> None:
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    try:
        occlusion_explorer.set(**START | {"window": 8})
        first = len(calls)
        occlusion_explorer.set(**START | {"window": 8, "position": 90, "show": unit.ALL})
    finally:
        handle.remove()
    assert first > 0 and len(calls) == first


def test_the_explorer_leaves_model_and_images_as_they_were(model: nn.Sequential) -> None:
    images = IMAGES.clone()
    unit.explorer(model, images, LABELS, NAMES).set(**START | {"baseline": "the image, blurred"})
    assert torch.equal(images, IMAGES)
    assert all(not m._forward_hooks and not m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "images and labels must be given together"),
        ({"images": None}, "images and labels must be given together"),
        ({"class_names": ["one"]}, "class_names must be 3 in number"),
        ({"images": IMAGES[0]}, "inputs must be a batch"),
        ({"labels": torch.tensor([1])}, "target must be"),
    ],
)
def test_bad_arguments_are_refused_by_name(model: nn.Sequential, changes: dict, message: str) -> None:
    arguments = {"model": model, "images": IMAGES, "labels": LABELS, "class_names": NAMES}
    with pytest.raises(ValueError, match=message):
        unit.explorer(**arguments | changes)


def test_images_smaller_than_the_smallest_window_are_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 49, 3)).eval()
    with pytest.raises(ValueError, match="at least 8 x 8 pixels"):
        unit.explorer(model, IMAGES[:, :, :7, :7], LABELS, NAMES)


def test_grey_images_can_be_explored() -> None:
    explorer = unit.explorer(network(1), IMAGES[:, :1], LABELS, NAMES)
    assert explorer.error is None and explorer.png.startswith(b"\x89PNG\r\n")


def test_without_arguments_the_zoo_is_explored_and_the_first_image_is_misclassified() -> None:
    explorer = unit.explorer()
    assert [name for name, _ in explorer.controls["image"].options] == ["1: cup", "2: cup", "3: zebra", "4: ring"]
    assert "True class K: cup; prediction Q: ball; asked: ball." in explorer.text
    assert "Forward passes for the whole map: 1 + 49." in explorer.text
