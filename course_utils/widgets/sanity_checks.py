"""The explorer of unit 10: destroy a network layer by layer, and see which explanations notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import evaluation, lrp, plotting, sanity_checks
from course_utils import gradient_methods as gm
from course_utils.checking import check_inputs, check_target
from course_utils.sanity_checks import Explain
from course_utils.widgets.explorer import Explorer

METHODS: dict[str, Explain] = {
    "gradient": gm.gradient,
    "integrated gradients": lambda model, x, target: gm.integrated_gradients(model, x, target, 0.5, n_steps=16),
    "guided backprop": gm.guided_backprop,
    "LRP, composite": lrp.lrp,
    "LRP, z+": lambda model, x, target: lrp.lrp(model, x, target, lrp.ZPlus()),
    "edge detector": lambda model, x, target: evaluation.edge_map(x),
}
DRAWS = 3


def explorer(
    model: nn.Module | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    methods: Mapping[str, Explain] | None = None,
) -> Explorer:
    """Destroy a network: choose the image, the method, how the network is destroyed, how far, and the random weights.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K); default: the course's network "zoo".
        images: (N, C, H, W) in [0, 1], C 1 or 3; default: four images of the zoo.
        labels: LongTensor (N,), the class of each image that is explained. Given with `images`.
        class_names: names of the classes; default: those of the zoo.
        methods: name -> function (model, inputs, target) -> maps (N, C, H, W) or (N, H, W); default: `METHODS`.

    Returns:
        An :class:`Explorer`: the maps of the trained and of the destroyed network side by side; its text gives their
        similarity by two metrics, and what the destroyed network says to the image.

    Raises:
        ValueError, TypeError: a bad argument, or only one of `images` and `labels`.
    """
    from course_utils import models, zoo

    model = models.load("zoo") if model is None else model
    names = zoo.CLASSES if class_names is None else tuple(class_names)
    methods = METHODS if methods is None else dict(methods)
    if (images is None) != (labels is None):
        raise ValueError("images and labels must be given together: the label's score is explained")
    if images is None:
        drawn = zoo.sample(60, seed=606)
        chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("zebra", "cup", "star", "ring")]
        images, labels = drawn.images[chosen], drawn.labels[chosen]
    images, labels = check_inputs(images), check_target(labels, len(images))

    @cache
    def networks(how: str, draw: int) -> list[tuple[str, nn.Module]]:
        source = torch.Generator().manual_seed(draw)
        return [("none", model), *sanity_checks.RANDOMIZATIONS[how](model, source)]

    with torch.no_grad():
        scores = model(images.clone())
    if len(names) != scores.shape[1]:
        raise ValueError(f"class_names must be {scores.shape[1]} in number, as the model's scores, got {len(names)}")
    n_layers = len(networks("cascading", 1)) - 1

    @lru_cache(maxsize=128)
    def explained(image: int, method: str, how: str, depth: int, draw: int) -> Tensor:
        """Give the map of one image, (1, C, H, W) or (1, H, W)."""
        return methods[method](networks(how, draw)[depth][1], images[image : image + 1], labels[image : image + 1])

    def which(how: str, depth: int, draw: int) -> str:
        if depth == 0:
            return "as trained"
        name = networks(how, draw)[depth][0]
        return f"layer {name} destroyed" if how == "independent" or depth == 1 else f"destroyed down to layer {name}"

    def draw_picture(image: int, method: str, how: str, depth: int, draw: int) -> plotting.Picture:
        pair = [explained(image, method, how, k, draw) for k in (0, depth)]
        maps = torch.cat([values.sum(1) if values.dim() == 4 else values for values in pair])
        return plotting.heatmap_grid(
            maps,
            titles=["as trained", which(how, depth, draw)],
            images=images[image].expand(2, -1, -1, -1),
            heading=f"{method}, for {names[labels[image]]}",
            scale="map",
            quantile=0.995,
        )

    def describe(image: int, method: str, how: str, depth: int, draw: int) -> str:
        a, b = (explained(image, method, how, k, draw) for k in (0, depth))
        signed, absolute = (float(sanity_checks.similarity(a, b, metric)) for metric in ("spearman", "spearman_abs"))
        with torch.no_grad():
            now = networks(how, draw)[depth][1](images[image : image + 1].clone())[0]
        label = int(labels[image])
        return (
            f"Network: {which(how, depth, draw)}. It says {names[int(now.argmax())]} (score of {names[label]}: "
            f"{now[label]:.2f}, as trained {scores[image, label]:.2f}). Similarity of the two maps: {signed:.2f} with "
            f"signs, {absolute:.2f} without."
        )

    controls = {
        "image": ipywidgets.Dropdown(
            options=[(f"{k + 1}: {names[label]}", k) for k, label in enumerate(labels.tolist())], description="Image"
        ),
        "method": ipywidgets.Dropdown(options=list(methods), description="Method"),
        "how": ipywidgets.Dropdown(
            options=[("from the output down", "cascading"), ("one layer alone", "independent")], description="Destroy"
        ),
        "depth": ipywidgets.IntSlider(
            value=0, min=0, max=n_layers, description="Layers from the output", continuous_update=False
        ),
        "draw": ipywidgets.IntSlider(
            value=1, min=1, max=DRAWS, description="Random weights, draw", continuous_update=False
        ),
    }
    return Explorer(draw_picture, controls, describe)
