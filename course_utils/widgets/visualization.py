"""The explorer of unit 05: move a patch over an image, and watch what covering it does to the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import evaluation, plotting
from course_utils import visualization as vis
from course_utils.checking import check_inputs, check_target
from course_utils.widgets.explorer import Explorer

PREDICTED = -1  # ask for Q, whatever the network says
WINDOWS = (8, 12, 16, 24, 32)
HALF, WHOLE = "half of the window", "the whole window"
SO_FAR, ALL = "the patches so far", "all patches"
BASELINES = {"grey": 0.5, "black": 0.0, "white": 1.0, "the image, blurred": None}
LABEL = "L_noccl − L_occl (nats)"


def explorer(
    model: nn.Module | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    class_names: Sequence[str] | None = None,
) -> Explorer:
    """Cover an image patch by patch: choose image, class, window, stride, colour and the patch that is covered now.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K); default: the course's network "zoo".
        images: (N, C, H, W) in [0, 1], C 1 or 3, of at least 8 x 8 pixels; default: four images of the zoo, one of them
            misclassified.
        labels: LongTensor (N,), K, the true class of each image. Given with `images`.
        class_names: names of the classes; default: those of the zoo.

    Returns:
        An :class:`Explorer`: the image with the patch framed, the image with the patch covered, and the differences of
        the losses, patch by patch; its text gives K, Q, the two losses at this patch, and the number of passes.

    Raises:
        ValueError, TypeError: a bad argument, or only one of `images` and `labels`.
    """
    from course_utils import models, zoo

    model = models.load("zoo") if model is None else model
    names = zoo.CLASSES if class_names is None else tuple(class_names)
    if (images is None) != (labels is None):
        raise ValueError("images and labels must be given together: the true class K belongs to the image")
    if images is None:
        # A cup that the network takes for a ball, and three that it recognises.
        sample = zoo.sample(204, seed=5005)
        chosen = [203, *(sample.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("cup", "zebra", "ring"))]
        images, labels = sample.images[chosen], sample.labels[chosen]
    images, labels = check_inputs(images), check_target(labels, len(images))
    with torch.no_grad():
        scores = model(images.clone())
    if len(names) != scores.shape[1]:
        raise ValueError(f"class_names must be {scores.shape[1]} in number, as the model's scores, got {len(names)}")
    windows = [window for window in WINDOWS if window <= min(images.shape[2:])]
    if not windows:
        raise ValueError(f"images must have at least {WINDOWS[0]} x {WINDOWS[0]} pixels, got {tuple(images.shape[2:])}")
    log_probabilities = scores.log_softmax(1)
    blurred = evaluation.blurred(images)

    def covering(image: int, baseline: str) -> Tensor:
        """Give what covers the pixels, (1, C, H, W)."""
        colour = BASELINES[baseline]
        return blurred[[image]] if colour is None else torch.full_like(images[[image]], colour)

    # The differences of all patches are computed once; moving the patch only draws.
    @lru_cache(maxsize=64)
    def differences(image: int, target: int, window: int, stride: str, baseline: str) -> Tensor:
        step = window // 2 if stride == HALF else window
        covers = covering(image, baseline)
        return vis.occlusion_loss(model, images[[image]], target, window, step, covers)[0]

    def resolved(image: int, target: int, window: int, stride: str, baseline: str, position: int) -> tuple:
        """Give the class asked for, the differences, and the patch's number, place in the table and place in pixels."""
        target = int(scores[image].argmax()) if target == PREDICTED else target
        table = differences(image, target, window, stride, baseline)
        number = round(position / 100 * (table.numel() - 1))
        row, column = divmod(number, table.shape[1])
        step = window // 2 if stride == HALF else window
        height, width = images.shape[2:]
        top, left = row * step, column * step
        # The last patch of a row or column is cut at the border.
        return target, table, number, (row, column), (top, left, min(window, height - top), min(window, width - left))

    def draw(
        image: int, target: int, window: int, stride: str, baseline: str, position: int, show: str
    ) -> plotting.Picture:
        target, table, number, cell, patch = resolved(image, target, window, stride, baseline, position)
        top, left, rows, columns = patch
        here = (slice(None), slice(top, top + rows), slice(left, left + columns))
        covered = images[image].clone()
        covered[here] = covering(image, baseline)[0][here]
        visited = (torch.arange(table.numel()) <= number).view_as(table)
        shown = table if show == ALL else table.masked_fill(~visited, float("nan"))
        heading = f"What speaks for {names[target]}? Patch {number + 1} of {table.numel()}"
        return plotting.occlusion_step(images[image], covered, shown, patch, cell, heading, LABEL)

    def describe(image: int, target: int, window: int, stride: str, baseline: str, position: int, show: str) -> str:
        target, table, number, cell, _ = resolved(image, target, window, stride, baseline, position)
        loss = -log_probabilities[image, target].item()
        occluded = loss - table[cell].item()
        change = table[cell].item()
        effect = "hurts" if change < -0.005 else "helps" if change > 0.005 else "does next to nothing"
        worst = divmod(int(table.argmin()), table.shape[1])
        return (
            f"True class K: {names[labels[image]]}; prediction Q: {names[scores[image].argmax()]}; asked: "
            f"{names[target]}. L_noccl = {loss:.2f}, that is P = {math.exp(-loss):.2f}. Patch {number + 1} of "
            f"{table.numel()} covered: L_occl = {occluded:.2f}, difference {change:.2f}: covering it {effect}. "
            f"The most important patch is in row {worst[0] + 1}, column {worst[1] + 1} of the map: "
            f"{table.min():.2f}. Forward passes for the whole map: 1 + {table.numel()}."
        )

    controls = {
        "image": ipywidgets.Dropdown(
            options=[(f"{k + 1}: {names[label]}", k) for k, label in enumerate(labels.tolist())], description="Image"
        ),
        "target": ipywidgets.Dropdown(
            options=[("Q, the network's answer", PREDICTED), *((name, k) for k, name in enumerate(names))],
            description="Class asked",
        ),
        "window": ipywidgets.Dropdown(
            options=[(f"{window} x {window} pixels", window) for window in windows],
            value=16 if 16 in windows else windows[-1],
            description="Window",
        ),
        "stride": ipywidgets.Dropdown(options=[HALF, WHOLE], description="Stride"),
        "baseline": ipywidgets.Dropdown(options=list(BASELINES), description="Covered with"),
        "show": ipywidgets.Dropdown(options=[SO_FAR, ALL], description="Map of"),
        "position": ipywidgets.IntSlider(
            value=60, min=0, max=100, description="Patch, % of the way", continuous_update=False
        ),
    }
    return Explorer(draw, controls, describe)
