"""Sanity checks: does an explanation notice that the network it explains has been destroyed?

A map that stays the same when the weights are drawn anew cannot be about what the network has learnt: an edge detector
draws good outlines, too, and has never seen the network. Two ways to destroy (`cascading_randomization`,
`independent_randomization`), four ways to compare two maps (`similarity`), and a curve of both (`sanity_curve`).

Source: Adebayo et al. 2018, "Sanity checks for saliency maps".
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.checking import check_call, check_finite, check_model, random_source
from course_utils.passes import in_steps

Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]

# ---------------------------------------------------------------------------------------------------------------
# Networks with new weights
# ---------------------------------------------------------------------------------------------------------------


def cascading_randomization(
    model: nn.Module, generator: torch.Generator | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """Destroy a network from the output to the input: one layer more has new weights in each copy.

    A layer's weights are drawn anew as they were before the training, by its own `reset_parameters`.

    Args:
        model: any network; it stays as it is.
        generator: source of the new weights; without one, a copy of torch's default generator.

    Yields:
        (name of the layer that was destroyed last, a copy of the network), the last layer first. Layers are taken in
        the order in which the network holds them.

    Raises:
        TypeError, ValueError: a bad argument, by name; a layer with weights of its own and no `reset_parameters`.

    Source: Adebayo et al. 2018, section 4.1.
    """
    names, generator = _layers_with_weights(model), random_source(generator)
    destroyed = copy.deepcopy(model)
    for name in names:
        _draw_weights(destroyed.get_submodule(name), generator)
        yield name, copy.deepcopy(destroyed)


def independent_randomization(
    model: nn.Module, generator: torch.Generator | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """Destroy one layer at a time: in each copy a single layer has new weights, all others are as trained.

    Args:
        model, generator: as in `cascading_randomization`.

    Yields:
        (name of the destroyed layer, a copy of the network), the last layer first.

    Raises:
        TypeError, ValueError: as `cascading_randomization`.

    Source: Adebayo et al. 2018, section 4.2.
    """
    names, generator = _layers_with_weights(model), random_source(generator)
    for name in names:
        destroyed = copy.deepcopy(model)
        _draw_weights(destroyed.get_submodule(name), generator)
        yield name, destroyed


def _layers_with_weights(model: nn.Module) -> list[str]:
    """Return the names of the layers that hold parameters themselves, the last one first."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    names = [name for name, layer in model.named_modules() if list(layer.parameters(recurse=False))]
    if not names:
        raise ValueError("model has no layer with weights: there is nothing to randomize")
    for name in names:
        layer = model.get_submodule(name)
        if not hasattr(layer, "reset_parameters"):
            raise ValueError(
                f"model's layer {name!r} ({type(layer).__name__}) cannot draw its weights anew: give it a method "
                "reset_parameters()"
            )
    return names[::-1]


def _draw_weights(layer: nn.Module, generator: torch.Generator) -> None:
    """Let a layer draw its weights anew, from the generator, and leave torch's global random state as it is."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        layer.reset_parameters()


# ---------------------------------------------------------------------------------------------------------------
# How alike two maps are
# ---------------------------------------------------------------------------------------------------------------


def similarity(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    """Return how alike two explanations of each image are, 1 for the same map.

    Maps (N, C, H, W) are summed over the channels first. The metrics:

    - "spearman": correlation of the ranks of the pixels, by their signed values;
    - "spearman_abs": the same of their absolute values;
    - "ssim": structural similarity of the maps, each divided by its largest absolute value; from 3 x 3 pixels on;
    - "hog": correlation of the histograms of oriented gradients (9 directions, cells of an eighth of the map) of the
      maps' absolute values.

    Where a map is constant it has no ranks and no gradients: the correlation is taken as 0.

    Args:
        a, b: maps, (N, C, H, W) or (N, H, W), of the same N and size; they may differ in channels.
        metric: one of the four.

    Returns:
        (N,) float64, from -1 to 1.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Adebayo et al. 2018, section 4; Wang et al. 2004 (SSIM); Dalal and Triggs 2005 (HOG).
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    maps = [_maps(values, name) for values, name in ((a, "a"), (b, "b"))]
    if maps[0].shape != maps[1].shape:
        raise ValueError(
            f"a and b must be maps of the same images and size, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if metric == "ssim" and min(maps[0].shape[1:]) < 3:
        raise ValueError(f"a and b must have at least 3 x 3 pixels for 'ssim', got shape {tuple(a.shape)}")
    pairs = zip(*maps, strict=True)
    return torch.tensor([_METRICS[metric](first, second) for first, second in pairs], dtype=torch.float64)


def _maps(values: Tensor, name: str) -> np.ndarray:
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor (N, C, H, W) or (N, H, W), got {type(values).__name__}")
    if values.dim() not in (3, 4) or values.numel() == 0:
        raise ValueError(f"{name} must be maps (N, C, H, W) or (N, H, W), got shape {tuple(values.shape)}")
    check_finite(values, name)
    values = values.detach().cpu().double()
    return (values.sum(1) if values.dim() == 4 else values).numpy()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata

    return _correlation(rankdata(a), rankdata(b))


def _spearman_abs(a: np.ndarray, b: np.ndarray) -> float:
    return _spearman(np.abs(a), np.abs(b))


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    window = min(7, *(size - 1 + size % 2 for size in a.shape))  # odd, and no larger than the map
    return float(structural_similarity(_unit(a), _unit(b), data_range=2.0, win_size=window))


def _hog(a: np.ndarray, b: np.ndarray) -> float:
    from skimage.feature import hog

    cell = tuple(max(1, size // 8) for size in a.shape)
    first, second = (
        hog(_unit(np.abs(m)), orientations=9, pixels_per_cell=cell, cells_per_block=(1, 1)) for m in (a, b)
    )
    return _correlation(first, second)


def _unit(values: np.ndarray) -> np.ndarray:
    """Divide by the largest absolute value, if it is not 0."""
    largest = np.abs(values).max()
    return values / largest if largest > 0 else values


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": _spearman,
    "spearman_abs": _spearman_abs,
    "ssim": _ssim,
    "hog": _hog,
}
METRICS = tuple(_METRICS)

# ---------------------------------------------------------------------------------------------------------------
# The curve
# ---------------------------------------------------------------------------------------------------------------

RANDOMIZATIONS = {"cascading": cascading_randomization, "independent": independent_randomization}


def sanity_curve(
    model: nn.Module,
    explain: Explain,
    inputs: Tensor,
    target: int | Tensor,
    metric: str = "spearman",
    randomization: str = "cascading",
    generator: torch.Generator | None = None,
    return_each: bool = False,
    progress: bool = False,
) -> dict[str, float] | dict[str, Tensor]:
    """Explain a network before and after its weights are drawn anew, layer by layer, and compare the maps.

    Args:
        model: returns class scores (N, K); it stays as it is.
        explain: maps (model, inputs (N, C, H, W), target (N,)) to maps (N, C, H, W) or (N, H, W).
        inputs: images (N, C, H, W).
        target: class index, an int or a LongTensor (N,).
        metric: of `similarity`.
        randomization: "cascading" or "independent".
        generator: source of the new weights; without one, a copy of torch's default generator.
        return_each: return the similarity of each image, not the mean.
        progress: show a progress bar.

    Returns:
        {name of the layer that was destroyed last: mean similarity to the maps of the trained network}, the last layer
        first; with return_each the similarities (N,). An explanation that passes falls towards 0.

    Raises:
        TypeError, ValueError: a bad argument, by name; an explanation of another shape.

    Source: Adebayo et al. 2018, figures 2 to 4.
    """
    target = check_call(model, inputs, target)
    if not callable(explain):
        raise TypeError(f"explain must be a function of (model, inputs, target), got {type(explain).__name__}")
    if randomization not in tuple(RANDOMIZATIONS):
        raise ValueError(f"randomization must be one of {', '.join(map(repr, RANDOMIZATIONS))}, got {randomization!r}")
    before = _explained(explain, model, inputs, target)
    copies = RANDOMIZATIONS[randomization](model, generator)
    curve = {}
    for _, (name, destroyed) in zip(
        in_steps(len(_layers_with_weights(model)), 1, progress, "Randomization"), copies, strict=True
    ):
        each = similarity(before, _explained(explain, destroyed, inputs, target), metric)
        curve[name] = each if return_each else float(each.mean())
    return curve


def _explained(explain: Explain, model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    maps = explain(check_model(model), inputs, target)
    if not isinstance(maps, Tensor):
        raise TypeError(f"explain must return maps (N, C, H, W) or (N, H, W), got {type(maps).__name__}")
    if maps.dim() not in (3, 4) or len(maps) != len(inputs):
        raise ValueError(
            f"explain must return one map an image, ({len(inputs)}, C, H, W) or ({len(inputs)}, H, W), got shape "
            f"{tuple(maps.shape)}"
        )
    return maps.detach()
