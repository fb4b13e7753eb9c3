"""The explorer of unit 11: a concept, its negatives, a layer and a class; what TCAV says, and what redrawing says."""

from __future__ import annotations

from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import plotting, tcav, zoo
from course_utils.checking import check_model
from course_utils.widgets.explorer import Explorer

NEGATIVES = {
    "the same kind of scenes, other textures": "same",
    "scenes of all kinds": "scenes",
    "clouds without an object": "clouds",
}
LAYERS = ("5", "8", "11", "14")
N_SETS, N_IMAGES, N_INPUTS = 6, 24, 24


def explorer(model: nn.Module | None = None, layers: tuple[str, ...] = LAYERS) -> Explorer:
    """Test a concept: choose the texture, what it is told from, the layer, and the class.

    Args:
        model: nn.Module in eval mode, images (N, 3, 64, 64) -> scores (N, 10) of the zoo's classes; default: the
            course's network "zoo".
        layers: names of the layers to choose from.

    Returns:
        An :class:`Explorer`: the directional derivatives of the class's images along the concept's vectors beside those
        along vectors of random concepts; its text gives scores, p-value, accuracy, and the true effect of the texture.

    Raises:
        ValueError, TypeError: a bad argument.
    """
    from course_utils import models

    model = models.load("zoo") if model is None else check_model(model)

    @lru_cache(maxsize=32)
    def examples(texture: str, negatives: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Give the images with the concept, and the sets without it."""
        kind = NEGATIVES[negatives]
        if kind == "same":
            others = [name for name in zoo.TEXTURES if name != texture]
            sets = [
                torch.cat([zoo.sample(N_IMAGES // 3, 100 + r, texture=name).images for name in others])
                for r in range(N_SETS)
            ]
            return zoo.sample(N_IMAGES, 99, texture=texture).images, tuple(sets)
        if kind == "scenes":
            sets = [zoo.sample(N_IMAGES, 100 + r).images for r in range(N_SETS)]
        else:
            sets = [zoo.concept("clouds", N_IMAGES, 100 + r) for r in range(N_SETS)]
        return zoo.concept(texture, N_IMAGES, 99), tuple(sets)

    @lru_cache(maxsize=64)
    def vectors(texture: str, negatives: str, layer: str) -> tcav.ConceptVectors:
        source = torch.Generator().manual_seed(0)
        return tcav.concept_vectors(model, layer, *examples(texture, negatives), "means", generator=source)

    @lru_cache(maxsize=16)
    def inputs(label: int) -> Tensor:
        return zoo.sample(N_INPUTS, 7, classes=[zoo.CLASSES[label]]).images

    @lru_cache(maxsize=64)
    def derivatives(texture: str, negatives: str, layer: str, label: int) -> tuple[Tensor, Tensor]:
        """Give the derivatives along the concept's and along the random vectors, (R, N) each."""
        found = vectors(texture, negatives, layer)
        both = torch.cat([found.vectors, found.random_vectors])
        return tcav.directional_derivatives(model, layer, inputs(label), label, both).split(N_SETS)

    @lru_cache(maxsize=16)
    def effects(label: int) -> Tensor:
        """Give how much higher the mean score is with each texture than with the others, (4,)."""
        scenes = [zoo.sample(N_INPUTS, 7, classes=[zoo.CLASSES[label]], texture=name).images for name in zoo.TEXTURES]
        return tcav.texture_effect(model, torch.stack(scenes), label)

    def draw(texture: str, negatives: str, layer: str, label: int) -> plotting.Picture:
        own, random = derivatives(texture, negatives, layer, label)
        return plotting.distributions(
            {texture: own.flatten(), "random concepts": random.flatten()},
            f"directional derivative of the score of {zoo.CLASSES[label]}",
            heading=f"{texture} and {zoo.CLASSES[label]}, layer {layer}",
        )

    def describe(texture: str, negatives: str, layer: str, label: int) -> str:
        own, random = derivatives(texture, negatives, layer, label)
        parts = []
        for statistic, name in (("sign", "TCAV score"), ("mean", "Mean derivative")):
            scores, chance = (tcav.tcav_score(values, statistic) for values in (own, random))
            parts.append(
                f"{name} {float(scores.mean()):.2f} (random concepts {float(chance.mean()):.2f} ± "
                f"{float(chance.std()):.2f}), p = {tcav.p_value(scores, chance):.2g}."
            )
        accuracy = float(vectors(texture, negatives, layer).accuracies.mean())
        effect = float(effects(label)[zoo.TEXTURES.index(texture)])
        return (
            f"Concept {texture}, told from {negatives}, accuracy {accuracy:.2f}. {' '.join(parts)} True effect of "
            f"redrawing with {texture} on the score of {zoo.CLASSES[label]}: {effect:+.1f}."
        )

    controls = {
        "texture": ipywidgets.Dropdown(options=list(zoo.TEXTURES), value="stripes", description="Concept"),
        "negatives": ipywidgets.Dropdown(options=list(NEGATIVES), description="Told from"),
        "layer": ipywidgets.Dropdown(options=list(layers), value=layers[-1], description="Layer"),
        "label": ipywidgets.Dropdown(
            options=[(name, k) for k, name in enumerate(zoo.CLASSES)],
            value=zoo.CLASSES.index("zebra"),
            description="Class",
        ),
    }
    return Explorer(draw, controls, describe)
