"""The explorer of unit 07: one image, one class, six ways to choose the rules, and what gamma and epsilon change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import plotting
from course_utils.checking import check_inputs, check_target
from course_utils.lrp import AlphaBeta, Epsilon, Gamma, Rule, ZPlus, composite, conservation, lrp
from course_utils.widgets.explorer import Explorer

UNIT = "relevance, in units of the score"
OWN_CLASS, SEEN_CLASS = -1, -2


Rules = Rule | Mapping[str, Rule]

CHOICES: dict[str, Callable[[nn.Module, float, float], Rules]] = {
    "epsilon": lambda model, epsilon, gamma: Epsilon(epsilon),
    "gamma": lambda model, epsilon, gamma: Gamma(gamma),
    "composite": lambda model, epsilon, gamma: composite(model, lower=Gamma(gamma), middle=Epsilon(epsilon)),
    "composite without zB": lambda model, epsilon, gamma: composite(
        model, lower=Gamma(gamma), middle=Epsilon(epsilon), first=Gamma(gamma)
    ),
    "z+": lambda model, epsilon, gamma: ZPlus(),
    "alpha-beta (2, 1)": lambda model, epsilon, gamma: AlphaBeta(2.0, 1.0),
}
"""Name -> (model, epsilon, gamma) -> the `rules` of `lrp`."""


def explorer(
    model: nn.Module | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    masks: Tensor | None = None,
    class_names: Sequence[str] | None = None,
) -> Explorer:
    """Explore LRP: choose rules, image, class, epsilon and gamma.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K); default: the course's network "zoo".
        images: (N, C, H, W) in [0, 1], C 1 or 3; default: six images of the zoo.
        labels: LongTensor (N,), the class of each image. Given with `images`.
        masks: bool (N, H, W), where the object is, outlined; default: no outline, but for the default images.
        class_names: K names; default: those of the zoo.

    Returns:
        An :class:`Explorer`: the image, the relevance of its pixels, and the sum of the relevance in each layer with
        weights beside the score; its text gives the sums and says which slider has no effect.

    Raises:
        ValueError, TypeError: a bad argument, or only one of `images` and `labels`.
    """
    from course_utils import models, zoo

    model = models.load("zoo") if model is None else model
    names = zoo.CLASSES if class_names is None else tuple(class_names)
    if (images is None) != (labels is None):
        raise ValueError("images and labels must be given together")
    if images is None:
        sample = zoo.sample(6, seed=53)  # cup and glass, ring and ball, zebra and horse
        images, labels, masks = sample.images, sample.labels, sample.mask("object")
    images, labels = check_inputs(images), check_target(labels, len(images))
    if masks is not None and (masks.dtype != torch.bool or masks.shape != images[:, 0].shape):
        raise ValueError(
            f"masks must be bool of shape {tuple(images[:, 0].shape)}, got {masks.dtype} {tuple(masks.shape)}"
        )
    with torch.no_grad():
        scores = model(images.clone())
    if len(names) != scores.shape[1]:
        raise ValueError(f"class_names must be {scores.shape[1]} in number, as the model's scores, got {len(names)}")

    used = {name: _sliders_of(choose, model) for name, choose in CHOICES.items()}

    # Picture and text of the same values share one pass; the passes before it make going back immediate.
    @lru_cache(maxsize=64)
    def explained(rules: str, image: int, target: int, epsilon: float, gamma: float) -> tuple[Tensor, dict[str, float]]:
        chosen = CHOICES[rules](model, epsilon, gamma)
        attribution, layers = lrp(model, images[image : image + 1], target, chosen, return_layers=True)
        return attribution[0], _sums(model, layers)

    def resolved(
        rules: str, image: int, target: int, epsilon: float, gamma: float
    ) -> tuple[int, Tensor, dict[str, float]]:
        """Give the class that is explained, its map and sums; sliders without effect do not compute them anew."""
        if target in (OWN_CLASS, SEEN_CLASS):
            target = int(labels[image] if target == OWN_CLASS else scores[image].argmax())
        uses = used[rules]
        settings = (epsilon if "epsilon" in uses else 0.0, gamma if "gamma" in uses else 0.0)
        return target, *explained(rules, image, target, *settings)

    def draw(rules: str, image: int, target: int, epsilon: float, gamma: float) -> plotting.Picture:
        target, attribution, sums = resolved(rules, image, target, epsilon, gamma)
        return plotting.relevance_and_sums(
            images[image],
            attribution,
            sums,
            scores[image, target].item(),
            None if masks is None else masks[image],
            f"{rules}: where does the score of {names[target]} come from?",
            UNIT,
            quantile=0.998,
        )

    def describe(rules: str, image: int, target: int, epsilon: float, gamma: float) -> str:
        target, attribution, sums = resolved(rules, image, target, epsilon, gamma)
        score = scores[image, target].item()
        pixels = attribution.sum(0)
        unused = [name for name in ("epsilon", "gamma") if name not in used[rules]]
        without = f" Without effect here: {', '.join(unused)}." if unused else ""
        return (
            f"{rules} for {names[target]} (the image shows: {names[labels[image]]}; the network sees: "
            f"{names[scores[image].argmax()]}). Score {_two(score)}; sums from the output down: "
            f"{', '.join(f'{name} {_two(value)}' for name, value in reversed(sums.items()))}. "
            f"Pixels: {_two(pixels.clamp(min=0).sum().item())} for, {_two(pixels.clamp(max=0).sum().item())} against; "
            f"absorbed on the way {_two(score - pixels.sum().item())}.{without}"
        )

    slider = {"min": 0.0, "max": 2.0, "step": 0.05, "continuous_update": False}
    controls = {
        "rules": ipywidgets.Dropdown(options=list(CHOICES), value="epsilon", description="Rules"),
        "image": ipywidgets.Dropdown(
            options=[(f"{k + 1}: {names[label]}", k) for k, label in enumerate(labels.tolist())], description="Image"
        ),
        "target": ipywidgets.Dropdown(
            options=[
                ("the image's own", OWN_CLASS),
                ("the one that the network sees", SEEN_CLASS),
                *((name, k) for k, name in enumerate(names)),
            ],
            description="Class explained",
        ),
        "epsilon": ipywidgets.FloatSlider(value=0.25, description="Epsilon", **slider),
        "gamma": ipywidgets.FloatSlider(value=0.25, description="Gamma", **slider),
    }
    return Explorer(draw, controls, describe)


def _sums(model: nn.Module, layers: Mapping[str, Tensor]) -> dict[str, float]:
    """Give the sums of one image where they can change: at the pixels and above each layer that shares out."""
    sums = dict(zip(layers, conservation(layers)[0].tolist(), strict=True))
    found = {"pixels": sums.pop("inputs")}
    for key, value in sums.items():
        module = model.get_submodule(key.split(" (call ")[0])
        if not isinstance(module, nn.ReLU | nn.MaxPool2d | nn.Dropout | nn.Flatten):
            found[f"{key}: {type(module).__name__}"] = value
    return found


def _sliders_of(choose: Callable[[nn.Module, float, float], Rules], model: nn.Module) -> set[str]:
    """Give the sliders that a choice of rules depends on, for this model."""
    chosen = choose(model, 0.123, 0.456)  # numbers that no rule has by itself
    rules = list(chosen.values()) if isinstance(chosen, Mapping) else [chosen]
    by_epsilon = any(isinstance(rule, Epsilon) and rule.epsilon == 0.123 for rule in rules)
    by_gamma = any(isinstance(rule, Gamma) and rule.gamma == 0.456 for rule in rules)
    return {name for name, depends in (("epsilon", by_epsilon), ("gamma", by_gamma)) if depends}


def _two(value: float) -> str:
    """Give a number with two digits, and 0 without a sign."""
    return f"{round(value, 2) + 0.0:.2f}"
