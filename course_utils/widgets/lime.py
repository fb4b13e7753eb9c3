"""The explorer of unit 08: take superpixels out of an image, and watch the class scores and the linear model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import evaluation, lime, plotting
from course_utils.checking import check_inputs, check_target
from course_utils.widgets.explorer import Explorer

NUMBERS = (6, 12, 20, 40)
BASELINES = {"its own mean colour": None, "grey": 0.5, "black": 0.0, "the image, blurred": "blurred"}
N_SAMPLES = 300


def explorer(
    model: nn.Module | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    class_names: Sequence[str] | None = None,
) -> Explorer:
    """Remove superpixels: choose the image, how many superpixels, what they are replaced by, and which are removed.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K); default: the course's network "zoo".
        images: (N, C, H, W) in [0, 1], C 1 or 3; default: four images of the zoo.
        labels: LongTensor (N,), the class of each image that the linear model is fitted to. Given with `images`.
        class_names: names of the classes; default: those of the zoo.

    Returns:
        An :class:`Explorer`: the image with its superpixels, what is left of it, and the class scores before and after;
        its text gives the score, what the linear model of LIME says to this coalition, and the model's fit.

    Raises:
        ValueError, TypeError: a bad argument, or only one of `images` and `labels`.
    """
    from course_utils import models, zoo

    model = models.load("zoo") if model is None else model
    names = zoo.CLASSES if class_names is None else tuple(class_names)
    if (images is None) != (labels is None):
        raise ValueError("images and labels must be given together: the linear model is fitted to the label's score")
    if images is None:
        drawn = zoo.sample(60, seed=606)
        chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("zebra", "cup", "star", "ring")]
        images, labels = drawn.images[chosen], drawn.labels[chosen]
    images, labels = check_inputs(images), check_target(labels, len(images))
    with torch.no_grad():
        scores = model(images.clone())
    if len(names) != scores.shape[1]:
        raise ValueError(f"class_names must be {scores.shape[1]} in number, as the model's scores, got {len(names)}")
    blurred = evaluation.blurred(images)

    @lru_cache(maxsize=32)
    def superpixels(image: int, number: int) -> Tensor:
        return lime.segment(images[image], number)

    # The linear model is fitted once for each image, number and baseline; removing superpixels only asks the network.
    @lru_cache(maxsize=32)
    def surrogate(image: int, number: int, baseline: str) -> lime.Surrogate:
        segments, label = superpixels(image, number), int(labels[image])
        source = torch.Generator().manual_seed(0)
        return lime.explain(model, images[image], label, segments, N_SAMPLES, colour(image, baseline), generator=source)

    def colour(image: int, baseline: str) -> float | Tensor | None:
        value = BASELINES[baseline]
        return blurred[image] if value == "blurred" else value

    def coalition(image: int, number: int, removed: tuple[int, ...]) -> Tensor:
        """Give which superpixels stay, bool (1, n); numbers that this image does not have are left out."""
        stays = torch.ones(1, int(superpixels(image, number).max()) + 1, dtype=torch.bool)
        stays[0, [k for k in removed if k < stays.shape[1]]] = False
        return stays

    def left(image: int, number: int, baseline: str, removed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Give what is left of the image, (1, C, H, W), and its class scores (K,)."""
        segments, stays = superpixels(image, number), coalition(image, number, removed)
        what = lime.perturb(images[image], segments, stays, colour(image, baseline))
        with torch.no_grad():
            return what, model(what.clone())[0]

    def draw(image: int, number: int, baseline: str, removed: tuple[int, ...]) -> plotting.Picture:
        what, now = left(image, number, baseline, removed)
        pairs = {name: (float(a), float(b)) for name, a, b in zip(names, now, scores[image], strict=True)}
        stays = coalition(image, number, removed)
        heading = f"{int(stays.sum())} of {stays.shape[1]} superpixels of a {names[labels[image]]}"
        labelled = ("what is left", "the whole image")
        return plotting.coalition_step(
            images[image], superpixels(image, number), what[0], pairs, labelled, "class score", heading
        )

    def describe(image: int, number: int, baseline: str, removed: tuple[int, ...]) -> str:
        _, now = left(image, number, baseline, removed)
        stays, label = coalition(image, number, removed), int(labels[image])
        fit = surrogate(image, number, baseline)
        gone = (~stays[0]).nonzero().flatten().tolist()
        best = int(fit.coefficients.argmax())
        return (
            f"Removed: {', '.join(map(str, gone)) if gone else 'none'} (replaced by {baseline}). Score of "
            f"{names[label]}: {now[label]:.2f}, of the whole image {scores[image, label]:.2f}; the network says "
            f"{names[int(now.argmax())]}. LIME's linear model says {float(fit.predict(stays)[0]):.2f} to this "
            f"coalition (its fit R² is {float(fit.r2):.2f}). Largest weight: superpixel {best}, "
            f"{float(fit.coefficients[best]):.2f}."
        )

    controls = {
        "image": ipywidgets.Dropdown(
            options=[(f"{k + 1}: {names[label]}", k) for k, label in enumerate(labels.tolist())], description="Image"
        ),
        "number": ipywidgets.Dropdown(
            options=[(f"about {n}", n) for n in NUMBERS], value=12, description="Superpixels"
        ),
        "baseline": ipywidgets.Dropdown(options=list(BASELINES), description="Replaced by"),
        "removed": ipywidgets.SelectMultiple(
            options=list(range(max(NUMBERS))), value=(), rows=6, description="Removed (several: Ctrl or Shift)"
        ),
    }
    return Explorer(draw, controls, describe)
