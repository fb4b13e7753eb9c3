"""The explorer of unit 06: one image, one class, nine methods, and what layer, noise and steps change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import evaluation, plotting
from course_utils import gradient_methods as gm
from course_utils.checking import check_inputs, check_target
from course_utils.widgets.explorer import Explorer

SLOPE = "score per unit of pixel value"
SCORE = "contribution to the score"
UNITLESS = "relevance"
OWN_CLASS = -1


@dataclass(frozen=True)
class Method:
    """A method of the explorer.

    Attributes:
        explain: (model, inputs (1, C, H, W), target LongTensor (1,), layer, stdevs, n) -> attributions (1, C, H, W),
            (1, H, W) or, at the layer's resolution, (1, 1, h, w).
        uses: which of the controls "layer", "noise" and "number" it depends on.
        unit: of its values, for the colour bar.
    """

    explain: Callable[[nn.Module, Tensor, Tensor, str, float, int], Tensor]
    uses: tuple[str, ...] = ()
    unit: str = SLOPE


def _smoothgrad(model: nn.Module, x: Tensor, y: Tensor, layer: str, stdevs: float, n: int) -> Tensor:
    return gm.smoothgrad(model, x, y, n_samples=n, stdevs=stdevs, generator=torch.Generator().manual_seed(0))


METHODS = {
    "gradient": Method(lambda model, x, y, layer, stdevs, n: gm.gradient(model, x, y)),
    "saliency": Method(lambda model, x, y, layer, stdevs, n: gm.saliency(model, x, y)),
    "input x gradient": Method(lambda model, x, y, layer, stdevs, n: gm.input_x_gradient(model, x, y), unit=SCORE),
    "SmoothGrad": Method(_smoothgrad, ("noise", "number")),
    "integrated gradients": Method(
        lambda model, x, y, layer, stdevs, n: gm.integrated_gradients(model, x, y, n_steps=n), ("number",), SCORE
    ),
    "deconvnet": Method(lambda model, x, y, layer, stdevs, n: gm.deconvnet(model, x, y), unit=UNITLESS),
    "guided backprop": Method(lambda model, x, y, layer, stdevs, n: gm.guided_backprop(model, x, y), unit=UNITLESS),
    "Grad-CAM": Method(lambda model, x, y, layer, stdevs, n: gm.grad_cam(model, x, y, layer), ("layer",), UNITLESS),
    "guided Grad-CAM": Method(
        lambda model, x, y, layer, stdevs, n: gm.guided_grad_cam(model, x, y, layer), ("layer",), UNITLESS
    ),
}
CONTROLS = {"layer": "the layer", "noise": "the noise", "number": "the number of steps or samples"}


def explorer(
    model: nn.Module | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    masks: Tensor | None = None,
    class_names: Sequence[str] | None = None,
) -> Explorer:
    """Explore the gradient methods: choose method, image, class, layer, noise and number of steps.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K); default: the course's network "zoo".
        images: (N, C, H, W) in [0, 1], C 1 or 3; default: six images of the zoo.
        labels: LongTensor (N,), the class of each image. Given with `images`.
        masks: bool (N, H, W), where the object is. Given with `images`.
        class_names: K names; default: those of the zoo.

    Returns:
        An :class:`Explorer`: the image, its signed map, and the map over the grey image with the object's outline; its
        text gives the scores against the truth and which controls the method does not depend on.

    Raises:
        ValueError, TypeError: a bad argument, or only some of `images`, `labels` and `masks`.
    """
    from course_utils import models, zoo

    model = models.load("zoo") if model is None else model
    names = zoo.CLASSES if class_names is None else tuple(class_names)
    if len({argument is None for argument in (images, labels, masks)}) == 2:
        raise ValueError("images, labels and masks must be given together: the maps are scored against them")
    if images is None:
        sample = zoo.sample(6, seed=53)  # cup and glass, ring and ball, zebra and horse
        images, labels, masks = sample.images, sample.labels, sample.mask("object")
    images, labels = check_inputs(images), check_target(labels, len(images))
    layers = _layers_with_maps(model, images[:1])
    with torch.no_grad():
        scores = model(images.clone())
    if len(names) != scores.shape[1]:
        raise ValueError(f"class_names must be {scores.shape[1]} in number, as the model's scores, got {len(names)}")

    # Picture and text of the same values share one map; the maps before it make going back immediate.
    @lru_cache(maxsize=64)
    def explained(method: str, image: int, target: int, layer: str, noise: float, number: int) -> Tensor:
        x, y = images[image : image + 1], torch.tensor([target])
        attributions = METHODS[method].explain(model, x, y, layer, noise, number)
        if attributions.dim() == 4 and attributions.shape[-2:] != x.shape[-2:]:
            attributions = gm.upsample(attributions, x.shape[-2:])
        return attributions[0].detach()

    def resolved(method: str, image: int, target: int, **settings) -> tuple[int, Tensor]:
        """Give the class that is explained and its map; controls that the method ignores do not compute it anew."""
        target = int(labels[image]) if target == OWN_CLASS else target
        ignored = {"layer": "", "noise": 0.0, "number": 1}
        used = {name: value if name in METHODS[method].uses else ignored[name] for name, value in settings.items()}
        return target, explained(method, image, target, **used)

    def draw(method: str, image: int, target: int, **settings) -> plotting.Picture:
        target, attribution = resolved(method, image, target, **settings)
        title = f"{method}: what speaks for {names[target]}?"
        return plotting.explanation(
            images[image], attribution, masks[image], title, METHODS[method].unit, quantile=0.998
        )

    def describe(method: str, image: int, target: int, **settings) -> str:
        target, attribution = resolved(method, image, target, **settings)
        mask = masks[image : image + 1]
        truth = [
            f"{name} {score(attribution[None], mask).item():.2f}" for name, score in evaluation.TRUTH_METRICS.items()
        ]
        score, probability = scores[image, target], scores[image].softmax(0)[target]
        uses = METHODS[method].uses
        unused = [words for name, words in CONTROLS.items() if name not in uses]
        return (
            f"{method} for {names[target]}, score {score:.1f}, probability {probability:.2f} (the image shows: "
            f"{names[labels[image]]}; the network sees: {names[scores[image].argmax()]}). "
            f"Against the outlined object: {', '.join(truth)}; "
            f"a constant map has {mask.double().mean():.2f} in all three. "
            f"Without effect here: {', '.join(unused)}."
        )

    last_before_pooling = [
        name for name in layers.values() if isinstance(model.get_submodule(name), (nn.ReLU, nn.Conv2d))
    ]
    controls = {
        "method": ipywidgets.Dropdown(options=list(METHODS), value="gradient", description="Method"),
        "image": ipywidgets.Dropdown(
            options=[(f"{k + 1}: {names[label]}", k) for k, label in enumerate(labels.tolist())], description="Image"
        ),
        "target": ipywidgets.Dropdown(
            options=[("the image's own", OWN_CLASS), *((name, k) for k, name in enumerate(names))],
            description="Class explained",
        ),
        "layer": ipywidgets.Dropdown(
            options=list(layers.items()),
            value=(last_before_pooling or list(layers.values()))[-1],
            description="Layer (Grad-CAM)",
        ),
        "noise": ipywidgets.FloatSlider(
            value=0.15,
            min=0.0,
            max=0.5,
            step=0.05,
            description="Noise (SmoothGrad)",
            continuous_update=False,
        ),
        "number": ipywidgets.IntSlider(
            value=25, min=1, max=64, description="Steps or samples", continuous_update=False
        ),
    }
    return Explorer(draw, controls, describe)


def _layers_with_maps(model: nn.Module, image: Tensor) -> dict[str, str]:
    """Give the layers whose output is maps of more than one pixel: description -> name."""
    found: dict[str, str] = {}

    def note(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        def hook(module: nn.Module, _: tuple, output: Tensor) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and output.shape[-2:].numel() > 1:
                maps, height, width = output.shape[1:]
                found[f"{name}: {type(module).__name__}, {maps} maps of {height} x {width}"] = name

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(note(name)) for name, module in leaves]
    try:
        with torch.no_grad():
            model(image.clone())
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError("model has no layer with feature maps (N, F, h, w): Grad-CAM needs one")
    return found
