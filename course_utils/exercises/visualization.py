"""The exercises of unit 05: looking into a network, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_recorded`, `_occluded`, `_climbed`), which are independent of the
references in ``course_utils.visualization``. In the hints, as in the lab: y_c is the score of class c, P_c its
probability after the softmax, L = -log P_c the loss, x an image that is maximized, z a code, g(z) its image, lambda the
weight of the penalty (`l2`), eta the length of a step (`lr`).

At the end there are the trainings whose logs are to be diagnosed: `log_example`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import models, visualization
from course_utils.exercises.core import (
    NETWORKS,
    Case,
    Exercise,
    Mistake,
    Network,
    NetworkKind,
    Property,
    ValueExercise,
    draw_integer,
    register_network,
    untouched_random_state,
)

Target = int | Tensor

# ---------------------------------------------------------------------------------------------------------------------
# Networks of the cases
# ---------------------------------------------------------------------------------------------------------------------


class PassCounter(nn.Module):
    """x -> x + 0.5 k in its k-th pass (k = 0, 1, ...): it shows in every layer above which pass this is."""

    def __init__(self) -> None:
        super().__init__()
        self._passes = 0  # with an underscore: counting is no change of a setting

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: any shape -> the same shape."""
        if isinstance(inputs, Tensor):  # and no stand-in, with which torch.fx traces the network
            self._passes += 1
        return inputs + 0.5 * max(self._passes - 1, 0)


@register_network("counted")
def _counted(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """The network "inplace" behind a layer that counts the passes: all layers of one pass fit together."""
    return nn.Sequential(PassCounter(), *NETWORKS["inplace"](shape, n_classes))


@register_network("nested")
def _nested(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """The network "conv" in two parts, so that its layers are called "features.0", ..., "head.6"."""
    layers = NETWORKS["conv"](shape, n_classes)
    return nn.Sequential(OrderedDict(features=layers[:5], head=layers[5:]))


@register_network("watched")
def _watched(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """The network "conv" on which somebody else's hook sits."""
    layers = NETWORKS["conv"](shape, n_classes)
    layers[1].register_forward_hook(lambda *_: None)
    return layers


class Factor(nn.Module):
    """x -> factor x: a layer without weights."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: any shape -> the same shape."""
        return self.factor * inputs


@register_network("certain")
def _certain(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """The network "conv" with scores hundreds apart: in 32 bits most of its probabilities are 0."""
    return nn.Sequential(*NETWORKS["conv"](shape, n_classes), Factor(300.0))


def _one_number(kind: str) -> NetworkKind:
    """Return the kind that gives (N,) in place of (N, 1) if there is one score: a function that can be maximized."""

    def layers(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
        return nn.Sequential(*NETWORKS[kind](shape, n_classes), *([nn.Flatten(0)] if n_classes == 1 else []))

    return layers


register_network("score_conv")(_one_number("conv"))
register_network("score_inplace")(_one_number("inplace"))
register_network("score_quadratic")(_one_number("quadratic"))


@register_network("generator")
def _generator(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """From codes (N, Z), of shape (Z, 1, 1), to images (N, 3, h, h) in (0, 1) where n_classes is 3 h^2, else (N, K)."""
    side = math.isqrt(n_classes // 3)
    image = [nn.Unflatten(1, (3, side, side))] if 3 * side**2 == n_classes else []
    dense = nn.Linear(math.prod(shape), 12), nn.Tanh(), nn.Linear(12, n_classes), nn.Sigmoid()
    return nn.Sequential(nn.Flatten(), *dense, *image)


@register_network("linear_generator")
def _linear_generator(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """From codes (N, Z), of shape (Z, 1, 1), to images (N, 3, h, h) with any numbers, where n_classes is 3 h^2."""
    side = math.isqrt(n_classes // 3)
    return nn.Sequential(nn.Linear(math.prod(shape), n_classes), nn.Unflatten(1, (3, side, side)))


def _images(generator: torch.Generator, n_images: int, network: Network) -> Tensor:
    """Return images (N, C, H, W) in [0, 1]."""
    return torch.rand(n_images, *network.shape, generator=generator)


def _drawn(generator: torch.Generator, kind: str, shape: tuple[int, int, int], n_classes: int = 5) -> Network:
    return Network(kind, draw_integer(generator, 0, 2**31), shape, n_classes)


def _ranked(network: Network, inputs: Tensor, rank: int) -> Tensor:
    """Return the class with the `rank`-th highest score of each image: 0 is the predicted class."""
    with torch.no_grad():
        return network.build()(inputs.clone()).argsort(dim=1, descending=True)[:, rank]


# ---------------------------------------------------------------------------------------------------------------------
# filter_images
# ---------------------------------------------------------------------------------------------------------------------


def _filter_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(50)

    def case(weight: Tensor, note: str) -> Case:
        return Case({"weight": weight}, note)

    yield case(torch.randn(2, 3, 3, 3, generator=fixed), "two filters of 3 x 3")
    scales = torch.tensor([0.1, 1.0, 5.0]).view(3, 1, 1, 1)
    yield case(scales * torch.randn(3, 3, 2, 4, generator=fixed), "wide filters, weak and strong ones")
    weight = torch.randn(4, 3, 4, 2, generator=generator) + torch.tensor([-4.0, 4.0, 0.0, 0.5]).view(4, 1, 1, 1)
    weight[2] = draw_integer(generator, 1, 9) / 10
    yield case(weight, "high filters, one with the same weight everywhere")
    weight = 0.2 * torch.randn(5, 3, 5, 3, generator=generator, dtype=torch.float64)
    yield case(weight, "five filters in float64")


def _filter_pictures(
    weight: Tensor,
    scale: Callable[[Tensor], Tensor] | None = None,
    arrange: Callable[[Tensor], Tensor] = lambda scaled: scaled.permute(0, 2, 3, 1),
) -> Tensor:
    return arrange((scale or _stretched_over(1, 2, 3))(weight))


def _stretched_over(*dimensions: int, constant: float = 0.5) -> Callable[[Tensor], Tensor]:
    """Return the scaling by the smallest and the largest number over some dimensions."""

    def scale(weight: Tensor) -> Tensor:
        low, high = weight.amin(dimensions, keepdim=True), weight.amax(dimensions, keepdim=True)
        scaled = (weight - low) / (high - low)
        return torch.where(high == low, torch.full_like(scaled, constant), scaled)

    return scale


def _by_spread(weight: Tensor) -> Tensor:
    mean, spread = weight.mean((1, 2, 3), keepdim=True), weight.std((1, 2, 3), keepdim=True)
    return (weight - mean) / spread.clamp(min=1e-12)


def _by_size(weight: Tensor) -> Tensor:
    return 0.5 + 0.5 * weight / weight.abs().amax((1, 2, 3), keepdim=True)


FILTER_IMAGES = Exercise(
    name="filter_images",
    reference=visualization.filter_images,
    cases=_filter_cases,
    mistakes={
        "channels_first": Mistake(
            partial(_filter_pictures, arrange=lambda scaled: scaled),
            "your numbers are right, but the colours still come before the rows. A picture has them last: "
            "(O, kh, kw, 3).",
        ),
        "not_scaled": Mistake(
            partial(_filter_pictures, scale=lambda weight: weight),
            "these are the weights themselves. They have to be scaled: the smallest weight of a filter becomes 0, the "
            "largest 1.",
        ),
        "clipped": Mistake(
            partial(_filter_pictures, scale=lambda weight: weight.clamp(0, 1)),
            "you cut the weights off at 0 and 1, so that all negative weights look the same. Scale them.",
        ),
        "all_filters_together": Mistake(
            partial(_filter_pictures, scale=_stretched_over(0, 1, 2, 3)),
            "you scaled all filters together, by the smallest and the largest weight of the layer: a weak filter then "
            "looks grey. Each filter has a scale of its own.",
        ),
        "each_channel_alone": Mistake(
            partial(_filter_pictures, scale=_stretched_over(2, 3)),
            "you scaled each colour channel by itself: that changes the colours. The three channels of a filter share "
            "one scale.",
        ),
        "each_channel_of_all_filters": Mistake(
            partial(_filter_pictures, scale=_stretched_over(0, 2, 3)),
            "you scaled each colour channel over all filters. It is the other way round: over the three channels of "
            "one filter.",
        ),
        "each_place_alone": Mistake(
            partial(_filter_pictures, scale=_stretched_over(1)),
            "you scaled each place of a filter by its own three colours. Minimum and maximum run over the whole of it.",
        ),
        "by_largest_magnitude": Mistake(
            partial(_filter_pictures, scale=_by_size),
            "you divided by the largest magnitude, so that a weight of 0 is 0.5. Here the smallest weight of a filter "
            "is 0 and the largest is 1.",
        ),
        "magnitudes": Mistake(
            partial(
                _filter_pictures,
                scale=lambda weight: weight.abs() / weight.abs().amax((1, 2, 3), keepdim=True),
            ),
            "you took magnitudes: strongly negative and strongly positive weights then look the same.",
        ),
        "only_divided": Mistake(
            partial(_filter_pictures, scale=lambda weight: weight / weight.amax((1, 2, 3), keepdim=True)),
            "you divided by the largest weight, but the smallest one is not 0: subtract the minimum first, and divide "
            "by maximum minus minimum.",
        ),
        "only_shifted": Mistake(
            partial(_filter_pictures, scale=lambda weight: weight - weight.amin((1, 2, 3), keepdim=True)),
            "your smallest weight is 0, but the largest is not 1: divide by maximum minus minimum.",
        ),
        "divided_by_maximum": Mistake(
            partial(
                _filter_pictures,
                scale=lambda weight: (
                    (weight - weight.amin((1, 2, 3), keepdim=True)) / weight.amax((1, 2, 3), keepdim=True)
                ),
            ),
            "you subtracted the minimum and then divided by the old maximum. After the subtraction the largest number "
            "is maximum minus minimum.",
        ),
        "standardized": Mistake(
            partial(_filter_pictures, scale=_by_spread),
            "you divided by the standard deviation. The numbers then do not lie between 0 and 1.",
        ),
        "bytes": Mistake(
            partial(_filter_pictures, scale=lambda weight: 255 * _stretched_over(1, 2, 3)(weight)),
            "your numbers go from 0 to 255. The pictures of this course are floats from 0 to 1.",
        ),
        "constant_divided": Mistake(
            partial(_filter_pictures, scale=_stretched_over(1, 2, 3, constant=math.nan)),
            "a filter with the same weight everywhere gives 0 / 0. It has to become 0.5 everywhere.",
        ),
        "constant_black": Mistake(
            partial(_filter_pictures, scale=_stretched_over(1, 2, 3, constant=0.0)),
            "a filter with the same weight everywhere becomes black. It has to become 0.5 everywhere; all others are "
            "right.",
        ),
        "turned": Mistake(
            partial(_filter_pictures, arrange=lambda scaled: scaled.permute(0, 3, 2, 1)),
            "rows and columns are exchanged: your pictures are mirrored at the diagonal. (O, 3, kh, kw) becomes "
            "(O, kh, kw, 3).",
        ),
        "reshaped": Mistake(
            partial(_filter_pictures, arrange=lambda scaled: scaled.reshape(len(scaled), *scaled.shape[2:], 3)),
            "the shape is right, but the numbers stand in the wrong places: reshape keeps their order and cuts it "
            "anew. The dimensions have to be exchanged.",
        ),
        "inverted": Mistake(
            partial(_filter_pictures, scale=lambda weight: 1 - _stretched_over(1, 2, 3)(weight)),
            "dark and bright are exchanged: the smallest weight is black, 0.",
        ),
    },
    properties=[
        Property(
            "every number lies between 0 and 1.",
            lambda arguments, value: bool(((value >= 0) & (value <= 1)).all()),
        ),
        Property(
            "each filter has a 0 and a 1 in it, unless all its weights are the same.",
            lambda arguments, value: all(
                w.max() == w.min() or (p.min() < 1e-4 and p.max() > 1 - 1e-4)
                for w, p in zip(arguments["weight"], value, strict=True)
            ),
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# feature_maps
# ---------------------------------------------------------------------------------------------------------------------


def _feature_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(51)

    def case(network: Network, inputs: Tensor, layers: list[str], note: str, **more: Any) -> Case:
        return Case({"model": network, "inputs": inputs, "layers": layers}, f"{note}, layers {layers}", **more)

    network = Network("conv", 1, (1, 8, 8))
    yield case(network, _images(fixed, 1, network), ["0", "3"], "one grey image")
    network = Network("inplace", 2)
    yield case(network, _images(fixed, 2, network), ["0", "1", "3"], "two images, ReLUs that work in place")
    network = Network("counted", 3)
    yield case(network, _images(fixed, 3, network), ["1", "3", "4"], "a network that counts its passes")
    network = Network("nested", 4)
    yield case(network, _images(fixed, 2, network), ["features.3", "head.6"], "a network in two parts")
    network = Network("watched", 5, training=True)
    yield case(network, _images(fixed, 1, network), ["0", "1"], "a network in train mode with a hook of somebody else")
    network = _drawn(generator, "counted", (3, 6, 10))
    yield case(network, _images(generator, 2, network), ["4", "1", "7"], "wider than high, counted passes")
    network = _drawn(generator, "inplace", (3, 8, 6))
    yield case(network, _images(generator, 3, network), ["3"], "three images, a single layer before a ReLU")
    network = _drawn(generator, "nested", (2, 10, 6))
    yield case(network, _images(generator, 2, network), ["features.0", "features.2"], "higher than wide")
    wrong = torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(11))
    note = "images with a wrong number of channels, so that the network raises an error"
    yield case(Network("conv", 11), wrong, ["1"], note, raises=True)


Maps = dict[str, Tensor]


def _recorded(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[str],
    take: Callable[[Tensor, Tensor], Tensor] = lambda given, output: output.clone(),
    finish: Callable[[Tensor], Tensor] = lambda maps: maps,
    names: Callable[[str, nn.Module], Any] = lambda name, layer: name,
    warm_up: int = 0,
) -> Maps:
    """Return what hooks see in one pass, with the pieces open: what is kept, what becomes of it, how it is called."""
    for _ in range(warm_up):
        model(inputs.clone())
    seen: Maps = {}

    def hook(name: Any) -> Callable[..., None]:
        def keep(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = take(given[0], output)

        return keep

    handles = []
    for name in layers:
        layer = model.get_submodule(name)
        handles.append(layer.register_forward_hook(hook(names(name, layer))))
    try:
        with torch.no_grad():
            model(inputs.clone())
    finally:
        for handle in handles:
            handle.remove()
    return {name: finish(maps) for name, maps in seen.items()}


def _pass_per_layer(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> Maps:
    return {name: _recorded(model, inputs, [name])[name] for name in layers}


def _image_by_image(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> Maps:
    found = [_recorded(model, image[None], layers) for image in inputs]
    return {name: torch.cat([maps[name] for maps in found]) for name in layers}


def _late_binding(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> Maps:
    """Return what hooks keep that all look up the loop's variable when they are called: it is the last name then."""
    return _recorded(model, inputs, layers, names=lambda name, layer: layers[-1])


def _one_layer_late(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> Maps:
    flat = [name for name, module in model.named_modules() if not list(module.children())]
    late = {name: flat[min(flat.index(name) + 1, len(flat) - 1)] for name in layers}
    found = _recorded(model, inputs, list(late.values()))
    return {name: found[other] for name, other in late.items()}


def _every_layer(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> Maps:
    return _recorded(model, inputs, [name for name, module in model.named_modules() if not list(module.children())])


def _of_maps(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the change for maps (N, K, h, w), which leaves (N, K) as it is."""
    return lambda maps: change(maps) if maps.dim() == 4 else maps


FEATURE_MAPS = Exercise(
    name="feature_maps",
    reference=visualization.feature_maps,
    cases=_feature_cases,
    mistakes={
        "input_of_the_layer": Mistake(
            partial(_recorded, take=lambda given, output: given.clone()),
            "you kept what goes into the layer. Its feature maps are what comes out of it.",
        ),
        "overwritten": Mistake(
            partial(_recorded, take=lambda given, output: output),
            "where a ReLU works in place, your maps before it are overwritten by it: they have lost their negative "
            "numbers. Keep a copy, made when the layer is called.",
        ),
        "pass_per_layer": Mistake(
            _pass_per_layer,
            "you run the network once for each layer. Put all hooks on first, then run it once: the layers of one pass "
            "belong together, and it costs one pass.",
        ),
        "whole_pass_per_layer": Mistake(
            lambda model, inputs, layers: _recorded(model, inputs, layers, warm_up=len(layers) - 1),
            "you run the network as often as there are layers, and your hooks keep what the last of these passes gave. "
            "One pass with all hooks on is enough.",
        ),
        "image_by_image": Mistake(
            _image_by_image,
            "you run the network once for each image. All images go through it together, in one pass.",
        ),
        "pass_too_many": Mistake(
            partial(_recorded, warm_up=1),
            "the network had run once already before your maps were kept. One pass is enough: the one with the hooks.",
        ),
        "one_name_for_all": Mistake(
            _late_binding,
            "your dict has a single key, the last name: a function that is made in a loop looks up the loop's variable "
            "when it is called, and then it is the last one. Give each function its own name, as an argument.",
        ),
        "one_layer_late": Mistake(
            _one_layer_late,
            "you took what the next layer makes of it: your slice or your count goes one layer too far.",
        ),
        "every_layer": Mistake(
            _every_layer,
            "you return all layers of the network. Only those in `layers` are asked for.",
        ),
        "keys_are_kinds": Mistake(
            partial(_recorded, names=lambda name, layer: type(layer).__name__),
            "your keys are the kinds of the layers, so that two convolutions get in each other's way. The keys are the "
            "names that stand in `layers`.",
        ),
        "keys_are_modules": Mistake(
            partial(_recorded, names=lambda name, layer: layer),
            "your keys are the layers themselves. The keys are the names that stand in `layers`.",
        ),
        "after_relu": Mistake(
            partial(_recorded, take=lambda given, output: output.relu()),
            "you put a ReLU behind every layer. What a convolution itself gives has negative numbers as well.",
        ),
        "magnitudes": Mistake(
            partial(_recorded, take=lambda given, output: output.abs()),
            "you took magnitudes. What a layer gives has a sign, if no ReLU comes before.",
        ),
        "first_image": Mistake(
            partial(_recorded, finish=lambda maps: maps[:1]),
            "only the first image is in your maps. Keep the whole batch.",
        ),
        "maps_averaged": Mistake(
            partial(_recorded, finish=_of_maps(lambda maps: maps.mean(1))),
            "you averaged the maps of a layer. Each of them is asked for.",
        ),
        "places_averaged": Mistake(
            partial(_recorded, finish=_of_maps(lambda maps: maps.mean((2, 3)))),
            "you averaged each map over its places. The maps themselves are asked for, (N, K, h, w).",
        ),
        "channels_last": Mistake(
            partial(_recorded, finish=_of_maps(lambda maps: maps.permute(0, 2, 3, 1))),
            "your maps come last, (N, h, w, K). Here they stay as the layer gives them, (N, K, h, w).",
        ),
        "scaled": Mistake(
            partial(_recorded, finish=lambda maps: (maps - maps.amin()) / (maps.amax() - maps.amin())),
            "you scaled what you kept to the range from 0 to 1. That is for the picture; here the numbers themselves "
            "are asked for.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# Occlusion: what the two exercises share
# ---------------------------------------------------------------------------------------------------------------------

Places = Callable[[int, int, int], list[slice]]  # size, window, stride -> where the windows lie along one side
Cover = Callable[[Tensor, slice, slice, float], Tensor]  # images, rows, columns, baseline -> covered images
Worth = Callable[[Tensor, Tensor, Target], Tensor]  # scores (N, K), of covered images (P, N, K), target -> (P, N)
Grid = tuple[list[slice], list[slice]]
Spread = Callable[[Tensor, Grid, torch.Size], Tensor]  # values (P, N), grid, (N, C, H, W) -> the answer


def _windows(size: int, window: int, stride: int, more: int = 0, back: bool = False) -> list[slice]:
    """Return the windows along one side: at 0, stride, 2 stride, ... until the border is reached; `more` of them."""
    count = math.ceil((size - window) / stride) + 1 + more
    starts = [i * stride for i in range(count)]
    if back:  # windows that would cross the border are moved back inside
        starts = [min(start, size - window) for start in starts]
    return [slice(start, min(start + window, size)) for start in starts if start < size]


def _windows_inside(size: int, window: int, stride: int) -> list[slice]:
    return [slice(start, start + window) for start in range(0, size - window + 1, stride)]


def _windows_before_the_end(size: int, window: int, stride: int) -> list[slice]:
    return [slice(start, start + window) for start in range(0, size - window, stride)]


def _windows_everywhere(size: int, window: int, stride: int) -> list[slice]:
    return [slice(start, min(start + window, size)) for start in range(0, size, stride)]


def _cover(inputs: Tensor, rows: slice, columns: slice, baseline: float) -> Tensor:
    covered = inputs.clone()
    covered[:, :, rows, columns] = baseline
    return covered


def _cover_red(inputs: Tensor, rows: slice, columns: slice, baseline: float) -> Tensor:
    covered = inputs.clone()
    covered[:, 0, rows, columns] = baseline
    return covered


def _cover_rest(inputs: Tensor, rows: slice, columns: slice, baseline: float) -> Tensor:
    covered = torch.full_like(inputs, baseline)
    covered[:, :, rows, columns] = inputs[:, :, rows, columns]
    return covered


def _cover_in_place(inputs: Tensor, rows: slice, columns: slice, baseline: float) -> Tensor:
    inputs[:, :, rows, columns] = baseline  # never uncovered again
    return inputs.clone()


def _cover_with_mean(inputs: Tensor, rows: slice, columns: slice, baseline: float) -> Tensor:
    covered = inputs.clone()
    covered[:, :, rows, columns] = inputs.mean((2, 3), keepdim=True)
    return covered


def _added(inputs: Tensor, rows: slice, columns: slice, baseline: float) -> Tensor:
    covered = inputs.clone()
    covered[:, :, rows, columns] += baseline
    return covered


def _pick(scores: Tensor, target: Target) -> Tensor:
    """Return each image's target score, (..., N, K) -> (..., N)."""
    n_images = scores.shape[-2]
    return scores[..., torch.arange(n_images), torch.as_tensor(target).expand(n_images)]


def _loses(before: Tensor, after: Tensor, target: Target) -> Tensor:
    return _pick(before, target) - _pick(after, target)


def _mean_of_windows(values: Tensor, grid: Grid, shape: torch.Size) -> Tensor:
    total, count = _sums_of_windows(values, grid, shape)
    return total / count.clamp(min=1)


def _mean_or_nothing(values: Tensor, grid: Grid, shape: torch.Size) -> Tensor:
    """Return the mean over the windows that cover a pixel; NaN where there is none."""
    total, count = _sums_of_windows(values, grid, shape)
    return total / count


def _sums_of_windows(values: Tensor, grid: Grid, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Return the sum of the values of the windows that cover each number of the images, and their count."""
    total, count = torch.zeros(shape, dtype=values.dtype), torch.zeros(shape, dtype=values.dtype)
    for value, (rows, columns) in zip(values, _pairs(grid), strict=True):
        total[:, :, rows, columns] += value[:, None, None, None]
        count[:, :, rows, columns] += 1
    return total, count


def _pairs(grid: Grid) -> list[tuple[slice, slice]]:
    return [(rows, columns) for rows in grid[0] for columns in grid[1]]


def _occluded(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    window: int,
    stride: int,
    baselines: float,
    worth: Worth = _loses,
    spread: Spread = _mean_of_windows,
    places: Places = _windows,
    cover: Cover = _cover,
    places_across: Places | None = None,
) -> Tensor:
    """Return occlusion with its pieces open: where windows are, what covers them, their worth, and how it is spread."""
    height, width = inputs.shape[2:]
    grid = places(height, window, stride), (places_across or places)(width, window, stride)
    canvas = inputs.clone()
    covered = torch.stack([cover(canvas, rows, columns, baselines) for rows, columns in _pairs(grid)])
    with torch.no_grad():
        before = model(inputs.clone())
        after = model(covered.flatten(0, 1)).unflatten(0, covered.shape[:2])
    return spread(worth(before, after, target), grid, inputs.shape)


def _place_mistakes(method: Callable[..., Tensor]) -> dict[str, Mistake]:
    """Return the mistakes that concern where the windows lie and what covers them."""
    return {
        "window_missing_at_the_border": Mistake(
            partial(method, places=_windows_inside),
            "your last window may end before the border, so that a strip on the right or below is never covered. One "
            "more window is needed there, cut off at the border.",
        ),
        "last_window_missing": Mistake(
            partial(method, places=_windows_before_the_end),
            "your last window is missing even where it fits: range(0, H - window, stride) ends before H - window. The "
            "windows go on until one has reached the border.",
        ),
        "windows_beyond": Mistake(
            partial(method, places=_windows_everywhere),
            "you have too many windows: a new one begins although the one before it has reached the border already.",
        ),
        "moved_back_inside": Mistake(
            partial(method, places=partial(_windows, back=True)),
            "you moved the last window back inside. It keeps its place, a multiple of the stride, and what would lie "
            "outside of the image is cut off.",
        ),
        "stride_of_one": Mistake(
            partial(method, places=lambda size, window, stride: _windows(size, window, 1)),
            "your window moves by one pixel, whatever `stride` says.",
        ),
        "stride_of_the_window": Mistake(
            partial(method, places=lambda size, window, stride: _windows(size, window, window)),
            "your window moves by its own size. It moves by `stride`, so that windows may overlap.",
        ),
        "one_channel": Mistake(
            partial(method, cover=_cover_red),
            "you covered the first colour channel alone. A window covers all of them.",
        ),
        "covers_the_rest": Mistake(
            partial(method, cover=_cover_rest),
            "you covered all but the window. It is the window that is covered.",
        ),
        "never_uncovered": Mistake(
            partial(method, cover=_cover_in_place),
            "what you have covered once stays covered, so that your image gets emptier from window to window. Start "
            "each time with a fresh copy of the image.",
        ),
        "mean_colour": Mistake(
            partial(method, cover=_cover_with_mean),
            "you covered with the mean colour of the image, whatever `baselines` says.",
        ),
        "baseline_added": Mistake(
            partial(method, cover=_added),
            "you added the baseline to the window. It takes the place of what was there.",
        ),
    }


def _baseline_mistake(method: Callable[..., Tensor], always: float, colour: str) -> Mistake:
    """Return the mistake of covering with one number, whatever is given."""
    return Mistake(
        partial(method, cover=lambda inputs, rows, columns, baseline: _cover(inputs, rows, columns, always)),
        f"you covered with {always:g}, {colour}, whatever `baselines` says.",
    )


# ---------------------------------------------------------------------------------------------------------------------
# occlusion
# ---------------------------------------------------------------------------------------------------------------------


def _occlusion_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(52)

    def case(network: Network, inputs: Tensor, target: Target, sizes: tuple[int, int], note: str, **more: Any) -> Case:
        window, stride = sizes
        arguments = {"model": network, "inputs": inputs, "target": target, "window": window, "stride": stride, **more}
        return Case(arguments, f"{note}, window {window}, stride {stride}")

    network = Network("conv", 1, (1, 8, 8))
    yield case(network, _images(fixed, 1, network), 2, (4, 2), "one grey image")
    network = Network("conv", 2, (3, 8, 10))
    inputs = _images(fixed, 2, network)
    targets = _ranked(network, inputs, 1)
    yield case(network, inputs, targets, (3, 2), "two wide images, a target for each", baselines=0.5)
    network = Network("conv", 3, (3, 8, 8))
    inputs = _images(fixed, 3, network)
    yield case(network, inputs, 1, (5, 4), "three images, one target for all", baselines=0.0)
    network = Network("watched", 4, (3, 6, 6), training=True)
    inputs = _images(fixed, 1, network)
    yield case(network, inputs, 3, (3, 3), "a network in train mode with a hook of somebody else", baselines=0.5)

    network = _drawn(generator, "conv", (3, 10, 6))
    inputs = _images(generator, 2, network)
    yield case(network, inputs, _ranked(network, inputs, 2), (4, 3), "two high images", baselines=1.0)
    network = _drawn(generator, "inplace", (3, 6, 8))
    inputs = _images(generator, 2, network)
    yield case(network, inputs, _ranked(network, inputs, 0), (3, 3), "windows side by side, ReLUs in place")
    network = _drawn(generator, "quadratic", (2, 7, 9))
    inputs = _images(generator, 3, network)
    targets = torch.randint(0, 5, (3,), generator=generator)
    yield case(network, inputs, targets, (4, 3), "a network that squares the pixels", baselines=-0.25)


def _occlusion(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    window: int = 8,
    stride: int = 4,
    baselines: float = 0.0,
    **pieces: Any,
) -> Tensor:
    return _occluded(model, inputs, target, window, stride, baselines, **pieces)


def _largest_of_windows(values: Tensor, grid: Grid, shape: torch.Size) -> Tensor:
    largest = torch.full(shape, -math.inf, dtype=values.dtype)
    for value, (rows, columns) in zip(values, _pairs(grid), strict=True):
        part = largest[:, :, rows, columns]
        largest[:, :, rows, columns] = torch.maximum(part, value[:, None, None, None].expand(part.shape))
    return largest


def _last_of_windows(values: Tensor, grid: Grid, shape: torch.Size) -> Tensor:
    last = torch.zeros(shape, dtype=values.dtype)
    for value, (rows, columns) in zip(values, _pairs(grid), strict=True):
        last[:, :, rows, columns] = value[:, None, None, None]
    return last


def _top_left(values: Tensor, grid: Grid, shape: torch.Size) -> Tensor:
    corner = torch.zeros(shape, dtype=values.dtype)
    for value, (rows, columns) in zip(values, _pairs(grid), strict=True):
        corner[:, :, rows.start, columns.start] = value[:, None]
    return corner


def _as_grid(values: Tensor, grid: Grid, shape: torch.Size) -> Tensor:
    """Return the values (P, N) as (N, rows, columns)."""
    return values.t().reshape(-1, len(grid[0]), len(grid[1]))


def _square_windows(
    model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
) -> Tensor:
    """Return occlusion with as many windows across as there are down."""

    def across(size: int, window: int, stride: int) -> list[slice]:
        return [part for part in _windows(inputs.shape[2], window, stride) if part.start < size]

    return _occlusion(model, inputs, target, window, stride, baselines, places_across=across)


def _square_windows_or_nothing(
    model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
) -> Tensor:
    """Return occlusion with the columns' windows counted by the height; NaN in the pixels that none covers."""

    def across(size: int, window: int, stride: int) -> list[slice]:
        starts = [part.start for part in _windows(inputs.shape[2], window, stride)]
        return [slice(start, min(start + window, size)) for start in starts if start < size]

    return _occlusion(model, inputs, target, window, stride, baselines, spread=_mean_or_nothing, places_across=across)


OCCLUSION = Exercise(
    name="occlusion",
    reference=visualization.occlusion,
    cases=_occlusion_cases,
    mistakes={
        "sign": Mistake(
            partial(_occlusion, worth=lambda before, after, target: -_loses(before, after, target)),
            "all signs are turned round: where covering makes the score fall, the map is positive.",
        ),
        "magnitude": Mistake(
            partial(_occlusion, worth=lambda before, after, target: _loses(before, after, target).abs()),
            "you took the magnitude of the difference. Covering may also raise the score: the map is negative there.",
        ),
        "negative_dropped": Mistake(
            partial(_occlusion, worth=lambda before, after, target: _loses(before, after, target).clamp(min=0)),
            "you dropped the negative differences. They say what speaks against the class.",
        ),
        "squared": Mistake(
            partial(_occlusion, worth=lambda before, after, target: _loses(before, after, target).square()),
            "you squared the difference. Its sign is lost, and its unit.",
        ),
        "covered_score": Mistake(
            partial(_occlusion, worth=lambda before, after, target: _pick(after, target)),
            "this is the score of the covered image. What the window took away is asked for: the score before it minus "
            "the score with it.",
        ),
        "relative": Mistake(
            partial(
                _occlusion, worth=lambda before, after, target: _loses(before, after, target) / _pick(before, target)
            ),
            "you divided by the score of the image. The difference itself is asked for, in units of the score.",
        ),
        "probability": Mistake(
            partial(
                _occlusion,
                worth=lambda before, after, target: _loses(before.softmax(-1), after.softmax(-1), target),
            ),
            "you compared probabilities, after a softmax. Here it is the class score y_c, before it.",
        ),
        "log_probability": Mistake(
            partial(
                _occlusion,
                worth=lambda before, after, target: _loses(before.log_softmax(-1), after.log_softmax(-1), target),
            ),
            "you compared losses, with a softmax in them. That is the next method; here it is the class score y_c.",
        ),
        "highest_score": Mistake(
            partial(_occlusion, worth=lambda before, after, target: before.amax(-1) - after.amax(-1)),
            "you compared the highest scores, whatever class they belong to. The question is about `target`.",
        ),
        "predicted_class": Mistake(
            partial(_occlusion, worth=lambda before, after, target: _loses(before, after, before.argmax(-1))),
            "you explained the predicted class. The question is about `target`, whatever is predicted.",
        ),
        "class_zero": Mistake(
            partial(_occlusion, worth=lambda before, after, target: _loses(before, after, 0)),
            "you explained class 0, whatever `target` says.",
        ),
        "all_classes": Mistake(
            partial(_occlusion, worth=lambda before, after, target: before.sum(-1) - after.sum(-1)),
            "you compared the sums of all class scores. Only y_c of the target counts.",
        ),
        "first_image": Mistake(
            partial(
                _occlusion,
                worth=lambda before, after, target: _loses(before, after, target)[..., :1].expand(-1, len(before)),
            ),
            "all images have the numbers of the first one. Every image of `inputs` has its own scores and its own map.",
        ),
        "score_of_the_first_image": Mistake(
            partial(
                _occlusion, worth=lambda before, after, target: _pick(before, target)[..., :1] - _pick(after, target)
            ),
            "you compare every covered image with the score of the first image. Each image has its own.",
        ),
        "mean_of_batch": Mistake(
            partial(
                _occlusion,
                worth=lambda before, after, target: (
                    _loses(before, after, target).mean(-1, keepdim=True).expand(-1, len(before))
                ),
            ),
            "you averaged over the images: all of them get the same map. Every image has its own.",
        ),
        "sum_of_windows": Mistake(
            partial(_occlusion, spread=lambda *arguments: _sums_of_windows(*arguments)[0]),
            "you added up the windows that cover a pixel, so that pixels near the border get less only since fewer "
            "windows reach them. Their mean is asked for.",
        ),
        "mean_of_all_windows": Mistake(
            partial(
                _occlusion,
                spread=lambda values, grid, shape: _sums_of_windows(values, grid, shape)[0] / len(values),
            ),
            "you divided by the number of all windows. The mean is over those that cover the pixel.",
        ),
        "by_area": Mistake(
            partial(
                _occlusion,
                spread=lambda values, grid, shape: (
                    _sums_of_windows(values, grid, shape)[0] / (grid[0][0].stop * grid[1][0].stop)
                ),
            ),
            "you shared each difference out among the pixels of its window and added up. Each covered pixel gets the "
            "whole difference, and the mean of those over its windows.",
        ),
        "largest_of_windows": Mistake(
            partial(_occlusion, spread=_largest_of_windows),
            "you kept the largest of the windows that cover a pixel. Their mean is asked for.",
        ),
        "last_of_windows": Mistake(
            partial(_occlusion, spread=_last_of_windows),
            "where windows overlap, your last one has overwritten the others. The mean over all that cover a pixel is "
            "asked for.",
        ),
        "top_left_only": Mistake(
            partial(_occlusion, spread=_top_left),
            "only the upper left pixel of each window gets its value. All pixels that a window covers share it.",
        ),
        "grid": Mistake(
            partial(_occlusion, spread=_as_grid),
            "you return one number a window. They have to be brought back to the pixels: each one gets the mean of the "
            "windows that cover it.",
        ),
        "one_map": Mistake(
            lambda *arguments, **options: _occlusion(*arguments, **options)[:, 0],
            "you return one map an image. The answer has the shape of `inputs`: all channels of a pixel get the same.",
        ),
        "shared_by_channels": Mistake(
            lambda *arguments, **options: (
                _occlusion(*arguments, **options) / (arguments[1].shape[1] if arguments[1].shape[1] > 1 else 1)
            ),
            "you divided by the number of channels. A window covers all channels at once, and each of them gets the "
            "whole difference.",
        ),
        "border_never_covered": Mistake(
            partial(_occlusion, places=_windows_inside, spread=_mean_or_nothing),
            "at the right or lower border there are pixels that no window covers, and there you divide 0 by 0. One "
            "more window is needed, cut off at the border.",
        ),
        "end_never_covered": Mistake(
            partial(_occlusion, places=_windows_before_the_end, spread=_mean_or_nothing),
            "your last window is missing even where it fits, so that you divide 0 by 0 in the pixels that only it "
            "would cover. The windows go on until one has reached the border.",
        ),
        "square_image": Mistake(
            _square_windows,
            "your windows go as far to the right as the image is high. Count rows and columns each for themselves.",
        ),
        "square_image_never_covered": Mistake(
            _square_windows_or_nothing,
            "your windows go as far to the right as the image is high, so that you divide 0 by 0 in the pixels beyond. "
            "Count rows and columns each for themselves.",
        ),
        "black": _baseline_mistake(_occlusion, 0.0, "black"),
        "grey": _baseline_mistake(_occlusion, 0.5, "grey"),
        **_place_mistakes(_occlusion),
    },
    properties=[
        Property(
            "all channels of a pixel have the same number, since a window covers them together.",
            lambda arguments, value: bool((value - value[:, :1]).abs().max() <= 1e-5 * value.abs().max()),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# occlusion_loss
# ---------------------------------------------------------------------------------------------------------------------


def _occlusion_loss_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(53)

    def case(network: Network, inputs: Tensor, label: Target, sizes: tuple[int, int], note: str, **more: Any) -> Case:
        window, stride = sizes
        arguments = {"model": network, "inputs": inputs, "label": label, "window": window, "stride": stride, **more}
        return Case(arguments, f"{note}, window {window}, stride {stride}")

    network = Network("conv", 1, (1, 8, 8))
    inputs = _images(fixed, 1, network)
    yield case(network, inputs, int(_ranked(network, inputs, 1)), (4, 2), "one grey image")
    network = Network("conv", 2, (3, 8, 10))
    inputs = _images(fixed, 2, network)
    yield case(network, inputs, _ranked(network, inputs, 0), (3, 2), "two wide images, what is predicted: K = Q")
    network = Network("conv", 3, (3, 8, 8))
    inputs = _images(fixed, 3, network)
    yield case(network, inputs, 1, (5, 4), "three images, one label for all", baselines=0.0)
    network = Network("certain", 4, (3, 6, 6), training=True)
    inputs = _images(fixed, 2, network)
    label = _ranked(network, inputs, 4)
    yield case(network, inputs, label, (3, 3), "scores hundreds apart, the least likely class, a network in train mode")

    network = _drawn(generator, "conv", (3, 10, 6))
    inputs = _images(generator, 2, network)
    label = _ranked(network, inputs, 2)
    yield case(network, inputs, label, (4, 3), "two high images, predicted wrongly: K is not Q", baselines=1.0)
    network = _drawn(generator, "inplace", (3, 6, 8))
    inputs = _images(generator, 2, network)
    yield case(network, inputs, _ranked(network, inputs, 1), (3, 3), "windows side by side, ReLUs in place")
    network = _drawn(generator, "quadratic", (2, 7, 9))
    inputs = _images(generator, 3, network)
    label = torch.randint(0, 5, (3,), generator=generator)
    yield case(network, inputs, label, (4, 3), "a network that squares the pixels", baselines=-0.25)


def _loss(scores: Tensor, label: Target) -> Tensor:
    """Return L = -log P(label), (..., N, K) -> (..., N)."""
    return -_pick(scores.log_softmax(-1), label)


def _loss_difference(before: Tensor, after: Tensor, label: Target) -> Tensor:
    return _loss(before, label) - _loss(after, label)


def _occlusion_loss(
    model: nn.Module,
    inputs: Tensor,
    label: Target,
    window: int = 8,
    stride: int = 4,
    baselines: float = 0.5,
    spread: Spread = _as_grid,
    worth: Worth = _loss_difference,
    **pieces: Any,
) -> Tensor:
    return _occluded(model, inputs, label, window, stride, baselines, worth, spread, **pieces)


def _by_loss(loss: Callable[[Tensor, Target], Tensor]) -> Callable[..., Tensor]:
    """Return occlusion_loss with another loss."""
    return partial(_occlusion_loss, worth=lambda before, after, label: loss(before, label) - loss(after, label))


def _by_worth(worth: Worth) -> Callable[..., Tensor]:
    return partial(_occlusion_loss, worth=worth)


OCCLUSION_LOSS = Exercise(
    name="occlusion_loss",
    reference=visualization.occlusion_loss,
    cases=_occlusion_loss_cases,
    mistakes={
        "sign": Mistake(
            _by_worth(lambda before, after, label: -_loss_difference(before, after, label)),
            "all signs are turned round: it is the loss of the image minus that of the covered image, so that what "
            "hurts is negative.",
        ),
        "magnitude": Mistake(
            _by_worth(lambda before, after, label: _loss_difference(before, after, label).abs()),
            "you took the magnitude. Covering may also help: the sign says which it is.",
        ),
        "probability": Mistake(
            _by_loss(lambda scores, label: -_pick(scores.softmax(-1), label)),
            "there is no logarithm in your loss: L = -log P.",
        ),
        "plus_log": Mistake(
            _by_loss(lambda scores, label: _pick(scores.softmax(-1), label)),
            "your loss has neither the logarithm nor the minus sign: L = -log P.",
        ),
        "log_of_zero": Mistake(
            _by_loss(lambda scores, label: -_pick(scores.softmax(-1), label).log()),
            "you took the logarithm of the softmax. Where the scores lie far apart, the softmax is 0 in 32 bits and "
            "its logarithm infinite: there is a function that computes both at once.",
        ),
        "log_of_almost_zero": Mistake(
            _by_loss(lambda scores, label: -(_pick(scores.softmax(-1), label) + 1e-8).log()),
            "you added a little to P before the logarithm. Where the scores lie far apart, P is far smaller than that, "
            "and all such losses become the same: there is a function that computes log P at once.",
        ),
        "score": Mistake(
            _by_loss(lambda scores, label: -_pick(scores, label)),
            "you took the score for log P. A softmax belongs between them: the other classes count in P as well.",
        ),
        "log_of_score": Mistake(
            _by_loss(lambda scores, label: -_pick(scores, label).abs().clamp(min=1e-12).log()),
            "you took the logarithm of a score. The scores have to become probabilities first, by a softmax.",
        ),
        "twice_softmax": Mistake(
            _by_loss(lambda scores, label: _loss(scores.softmax(-1), label)),
            "there are two softmaxes in your loss: cross entropy has one in it already, and takes scores.",
        ),
        "softmax_over_images": Mistake(
            _by_loss(lambda scores, label: -_pick(scores.log_softmax(-2), label)),
            "your softmax runs over the images of the batch. It runs over the classes of one image.",
        ),
        "sigmoid": Mistake(
            _by_loss(lambda scores, label: -_pick(scores.sigmoid().log(), label)),
            "you took a sigmoid of each score. P is the softmax over all classes.",
        ),
        "base_two": Mistake(
            _by_loss(lambda scores, label: _loss(scores, label) / math.log(2)),
            "your logarithm has the base 2. Here, as everywhere in the course, it is the natural one.",
        ),
        "base_ten": Mistake(
            _by_loss(lambda scores, label: _loss(scores, label) / math.log(10)),
            "your logarithm has the base 10. Here, as everywhere in the course, it is the natural one.",
        ),
        "mean_of_batch": Mistake(
            _by_worth(
                lambda before, after, label: (
                    _loss_difference(before, after, label).mean(-1, keepdim=True).expand(-1, len(before))
                )
            ),
            "all images have the same numbers: you took the mean over the batch, as cross entropy does by default. "
            "Each image has its own loss.",
        ),
        "sum_of_batch": Mistake(
            _by_worth(
                lambda before, after, label: (
                    _loss_difference(before, after, label).sum(-1, keepdim=True).expand(-1, len(before))
                )
            ),
            "all images have the same numbers: you added up their losses. Each image has its own.",
        ),
        "predicted_class": Mistake(
            _by_worth(lambda before, after, label: _loss_difference(before, after, before.argmax(-1))),
            "you took the predicted class. The loss is that of `label`, whatever is predicted: the caller decides "
            "whether to ask about K or Q.",
        ),
        "predicted_each_time": Mistake(
            _by_worth(lambda before, after, label: _loss(before, before.argmax(-1)) - -after.log_softmax(-1).amax(-1)),
            "you took the class that is predicted for each covered image. It is the same class before and after: "
            "`label`.",
        ),
        "class_zero": Mistake(
            _by_worth(lambda before, after, label: _loss_difference(before, after, 0)),
            "you took class 0, whatever `label` says.",
        ),
        "first_image": Mistake(
            _by_worth(
                lambda before, after, label: _loss_difference(before, after, label)[..., :1].expand(-1, len(before))
            ),
            "all images have the numbers of the first one. Every image of `inputs` has its own.",
        ),
        "covered_loss": Mistake(
            _by_worth(lambda before, after, label: _loss(after, label)),
            "this is the loss of the covered image alone. It is subtracted from the loss without the window.",
        ),
        "minus_covered_loss": Mistake(
            _by_worth(lambda before, after, label: -_loss(after, label)),
            "the loss of the image itself is missing: L without the window minus L with it.",
        ),
        "ratio": Mistake(
            _by_worth(lambda before, after, label: _loss(before, label) / _loss(after, label)),
            "you divided the two losses. Their difference is asked for.",
        ),
        "spread_over_pixels": Mistake(
            partial(_occlusion_loss, spread=_mean_of_windows),
            "you brought the numbers back to the pixels, as in occlusion. Here one number a window is asked for: "
            "(N, rows, columns).",
        ),
        "grid_turned": Mistake(
            partial(_occlusion_loss, spread=lambda *arguments: _as_grid(*arguments).mT),
            "rows and columns of your grid are exchanged: the windows go from left to right first, then down.",
        ),
        "flat": Mistake(
            partial(_occlusion_loss, spread=lambda values, grid, shape: values.t()),
            "your windows stand in one row. Bring them into a grid as they lie in the image: (N, rows, columns).",
        ),
        "images_last": Mistake(
            partial(_occlusion_loss, spread=lambda *arguments: _as_grid(*arguments).permute(1, 2, 0)),
            "your images come last, (rows, columns, N). The images come first.",
        ),
        "black_by_default": Mistake(
            lambda model, inputs, label, window=8, stride=4, baselines=0.0: _occlusion_loss(
                model, inputs, label, window, stride, baselines
            ),
            "when no baseline is given, you cover with black. The default is grey, 0.5.",
        ),
        "black": _baseline_mistake(_occlusion_loss, 0.0, "black"),
        "grey": _baseline_mistake(_occlusion_loss, 0.5, "grey"),
        **_place_mistakes(_occlusion_loss),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# Worked by hand: the cost of occlusion, score or probability
# ---------------------------------------------------------------------------------------------------------------------

# The covered images of 64 x 64 pixels for window 8 and stride 8, window 8 and stride 4, window 5 and stride 3.
OCCLUSION_COST = ValueExercise(
    name="occlusion_cost",
    expected=(64.0, 225.0, 441.0),
    mistakes={
        "rounded_down": Mistake(
            (64.0, 225.0, 400.0),
            "the third: 59 / 3 is no whole number. Without one more window a strip at the border is never covered, so "
            "it is rounded up.",
        ),
        "one_too_few": Mistake(
            (49.0, 196.0, 400.0),
            "you forgot the first window, at 0: after it the window can still move (64 - window) / stride times.",
        ),
        "too_many": Mistake(
            (64.0, 256.0, 484.0),
            "you counted 64 / stride places. No new window begins once one has reached the border: only 64 - window "
            "pixels are left to move over.",
        ),
        "one_side": Mistake((8.0, 15.0, 21.0), "these are the windows along one side. They lie in rows and columns."),
        "clean_image_counted": Mistake(
            (65.0, 226.0, 442.0), "you counted the image itself as well. Only the covered images are asked for."
        ),
        "stride_of_one": Mistake((3249.0, 3249.0, 3600.0), "your window moves by one pixel. Where is the stride?"),
        "stride_of_the_window": Mistake(
            (64.0, 64.0, 169.0), "your window moves by its own size. In the second and third case it moves by less."
        ),
        "every_channel": Mistake(
            (192.0, 675.0, 1323.0), "you counted each colour channel for itself. A window covers all of them at once."
        ),
        "doubled": Mistake((16.0, 30.0, 42.0), "rows times columns, not rows plus columns."),
    },
)

# y_1 = x_1, y_2 = 2 x_2 at x = (0, 0): dy_1/dx_1, dy_1/dx_2, d log P_1/dx_1, d log P_1/dx_2.
SCORE_OR_SOFTMAX = ValueExercise(
    name="score_or_softmax",
    expected=(1.0, 0.0, 0.5, -1.0),
    mistakes={
        "same": Mistake(
            (1.0, 0.0, 1.0, 0.0),
            "you gave log P_1 the derivatives of y_1. It has another part: log P_1 = y_1 - log(exp y_1 + exp y_2).",
        ),
        "sign": Mistake(
            (1.0, 0.0, 0.5, 1.0),
            "the last sign: y_2 stands in the denominator of P_1. Does P_1 grow or fall when x_2 grows?",
        ),
        "probability": Mistake(
            (1.0, 0.0, 0.25, -0.5),
            "these are the derivatives of P_1, without the logarithm. That of log P_1 is that of P_1 divided by P_1.",
        ),
        "inner_derivative": Mistake(
            (1.0, 0.0, 0.5, -0.5), "the last one: y_2 = 2 x_2, so its derivative by x_2 comes in as a factor."
        ),
        "other_class_alone": Mistake(
            (1.0, 0.0, 0.0, -1.0),
            "the third: y_1 also stands in the denominator of P_1, but the 1 from the numerator does not vanish.",
        ),
        "numerator_kept": Mistake(
            (1.0, 0.0, 1.0, -1.0),
            "the third: y_1 stands in the denominator of P_1 as well, so that something is taken from the 1.",
        ),
        "class_two": Mistake((0.0, 2.0, -0.5, 1.0), "these are the derivatives of class 2. Class 1 is asked for."),
        "loss": Mistake(
            (1.0, 0.0, -0.5, 1.0), "the last two are those of the loss, -log P_1. Log P_1 itself is maximized."
        ),
        "exchanged": Mistake((0.5, -1.0, 1.0, 0.0), "you have exchanged the two: first those of y_1, then of log P_1."),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# maximize_activation
# ---------------------------------------------------------------------------------------------------------------------

Function = Callable[[Tensor], Tensor]  # images (N, ...) -> (N,)
Climb = tuple[Tensor, Tensor]


def _reference_climb(
    score: Function,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Function | None = None,
) -> Climb:
    """Return image and scores of the package's function, as a tuple: what can travel."""
    found = visualization.maximize_activation(score, start, n_steps=n_steps, lr=lr, l2=l2, prior=prior)
    return found.image, found.scores


def _climb_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(54)

    def case(
        score: Network, start: Tensor, n_steps: int, lr: float, note: str, l2: float = 0.0, prior: Network | None = None
    ) -> Case:
        arguments = {"score": score, "start": start, "n_steps": n_steps, "lr": lr, "l2": l2, "prior": prior}
        return Case(arguments, f"{note}, {n_steps} steps")

    def score(source: torch.Generator, kind: str, shape: tuple[int, int, int]) -> Network:
        return _drawn(source, f"score_{kind}", shape, n_classes=1)

    network = score(fixed, "quadratic", (1, 4, 4))
    yield case(network, 0.2 + 0.6 * _images(fixed, 1, network), 1, 0.05, "one image, nothing but the score")
    network = score(fixed, "conv", (3, 6, 6))
    yield case(network, _images(fixed, 2, network), 4, 0.5, "two images, many of their pixels reach the border")
    network = score(fixed, "quadratic", (3, 4, 5))
    yield case(network, _images(fixed, 2, network), 3, 0.1, "two images and a penalty", l2=0.7)
    network = score(fixed, "conv", (3, 6, 6))
    start = _images(fixed, 2, network)
    prior = score(fixed, "quadratic", (3, 6, 6))
    yield case(network, start, 2, 0.2, "two images, with an expert", prior=prior)

    network = score(generator, "conv", (3, 6, 8))
    prior = score(generator, "quadratic", (3, 6, 8))
    start = _images(generator, 3, network)
    yield case(network, start, 4, 0.3, "three images, a penalty and an expert", 0.4, prior)
    network = score(generator, "inplace", (2, 8, 6))
    yield case(network, _images(generator, 2, network), 3, 0.2, "ReLUs that work in place, a penalty", 0.3)


def _objective(score: Function, x: Tensor, l2: float, prior: Function | None, start: Tensor) -> Tensor:
    """Return score(x) - l2 ||x||^2 + prior(x), (N,)."""
    expert = 0.0 if prior is None else prior(x.clone())
    return score(x.clone()) - l2 * x.flatten(1).square().sum(1) + expert


def _rescored(
    penalty: Callable[[Tensor, Tensor], Tensor] = lambda x, start: x.flatten(1).square().sum(1),
    expert: Callable[[Tensor], Tensor] = lambda value: value,
    total: Callable[[Tensor], Tensor] = lambda value: value,
) -> Callable[..., Tensor]:
    """Return an objective with another penalty, another use of the expert, or a change of the whole."""

    def objective(score: Function, x: Tensor, l2: float, prior: Function | None, start: Tensor) -> Tensor:
        value = score(x.clone()) - l2 * penalty(x, start)
        return total(value if prior is None else value + expert(prior(x.clone())))

    return objective


def _climbed(
    score: Function,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Function | None = None,
    objective: Callable[..., Tensor] = _objective,
    move: Callable[[Tensor], Tensor] = lambda gradient: gradient,
    keep: Callable[[Tensor], Tensor] = lambda x: x.clamp(0, 1),
    before: Callable[[Tensor], Tensor] = lambda x: x,
    finish: Callable[[Tensor], Tensor] = lambda x: x,
    more: int = 0,
    record: Callable[..., Tensor] | None = None,
    accumulate: bool = False,
) -> Climb:
    """Return gradient ascent with its pieces open."""

    def now(x: Tensor) -> Tensor:
        with torch.no_grad():
            return score(x.clone()) if record is None else record(score, x, l2, prior, start)

    x, scores, total = start.clone(), [], torch.zeros_like(start)
    scores.append(now(x))
    for _ in range(n_steps + more):
        x = before(x.detach()).requires_grad_()
        gradient = torch.autograd.grad(objective(score, x, l2, prior, start).sum(), x)[0]
        total = total + gradient if accumulate else gradient
        x = keep(x.detach() + lr * move(total))
        scores.append(now(x))
    return finish(x), torch.stack(scores)


def _mean_score(score: Function, x: Tensor, l2: float, prior: Function | None, start: Tensor) -> Tensor:
    """Return the objective with the mean over the images in score and expert alone."""
    penalty = l2 * x.flatten(1).square().sum(1)
    return (_objective(score, x, l2, prior, start) + penalty) / len(x) - penalty


def _scored_before_clipping(score: Function, start: Tensor, **options: Any) -> Climb:
    """Return the ascent with the score of each image as it is before it is cut off."""
    moved = [start]

    def keep(x: Tensor) -> Tensor:
        moved.append(x)
        return x.clamp(0, 1)

    image = _climbed(score, start, **options, keep=keep)[0]
    return image, torch.stack([score(x.clone()) for x in moved])


def _first_gradient(
    score: Function,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Function | None = None,
) -> Climb:
    """Return the way along the gradient at the start."""
    x = start.clone().requires_grad_()
    gradient = torch.autograd.grad(_objective(score, x, l2, prior, start).sum(), x)[0]
    return _climbed(score, start, n_steps, lr, l2, prior, move=lambda _: gradient)


def _adam(
    score: Function,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Function | None = None,
) -> Climb:
    x = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr)
    scores = [score(x.detach().clone()).detach()]
    for _ in range(n_steps):
        optimizer.zero_grad()
        (-_objective(score, x, l2, prior, start).sum()).backward()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
            scores.append(score(x.clone()))
    return x.detach(), torch.stack(scores)


def _unit_length(gradient: Tensor) -> Tensor:
    sizes = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
    return gradient / sizes.view(-1, *[1] * (gradient.dim() - 1))


def _of_scores(change: Callable[[Tensor], Tensor]) -> Callable[..., Climb]:
    def changed(*arguments: Any, **options: Any) -> Climb:
        image, scores = _climbed(*arguments, **options)
        return image, change(scores)

    return changed


def _last_image_missing(*arguments: Any, **options: Any) -> Climb:
    """Return the image before the last step, with all scores."""
    scores = _climbed(*arguments, **options)[1]
    return _climbed(*arguments, **options, more=-1)[0], scores


def _stretch(x: Tensor) -> Tensor:
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-12)


def _with_options(method: Callable[..., Any], **changes: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    """Return the method with some of its options computed anew from all of them."""

    def changed(*arguments: Any, **options: Any) -> Any:
        return method(*arguments, **{**options, **{name: change(options) for name, change in changes.items()}})

    return changed


MAXIMIZE_ACTIVATION = Exercise(
    name="maximize_activation",
    reference=_reference_climb,
    cases=_climb_cases,
    mistakes={
        "descent": Mistake(
            partial(_climbed, move=torch.neg),
            "you go downhill: the score is to grow, so the step is added to the image, not subtracted.",
        ),
        "penalty_adds": Mistake(
            _with_options(_climbed, l2=lambda options: -options["l2"]),
            "your penalty has the wrong sign, so that it rewards large pixels. It is subtracted from the score.",
        ),
        "penalty_missing": Mistake(
            _with_options(_climbed, l2=lambda options: 0.0), "`l2` changes nothing: the penalty is missing."
        ),
        "penalty_not_squared": Mistake(
            partial(_climbed, objective=_rescored(penalty=lambda x, start: x.flatten(1).norm(dim=1))),
            "your penalty is the length ||x||, the root of the sum of squares. It is ||x||^2, without the root.",
        ),
        "penalty_of_the_batch": Mistake(
            partial(_climbed, objective=_rescored(penalty=lambda x, start: (x.norm() / len(x)).expand(len(x)))),
            "your penalty is the length of all images together, without the square. Each image has its own ||x||^2.",
        ),
        "penalty_of_magnitudes": Mistake(
            partial(_climbed, objective=_rescored(penalty=lambda x, start: x.flatten(1).abs().sum(1))),
            "your penalty is the sum of the magnitudes. It is the sum of the squares, ||x||^2.",
        ),
        "penalty_without_two": Mistake(
            _with_options(_climbed, l2=lambda options: options["l2"] / 2),
            "your penalty pulls half as strongly as it should: the derivative of x^2 is 2x.",
        ),
        "penalty_averaged": Mistake(
            partial(_climbed, objective=_rescored(penalty=lambda x, start: x.flatten(1).square().mean(1))),
            "you took the mean of the squares. ||x||^2 is their sum.",
        ),
        "penalty_averaged_over_batch": Mistake(
            partial(
                _climbed, objective=_rescored(penalty=lambda x, start: (x.square().mean() / len(x)).expand(len(x)))
            ),
            "you took the mean of the squares of all pixels of all images. ||x||^2 is the sum of those of one image.",
        ),
        "penalty_from_the_start": Mistake(
            partial(_climbed, objective=_rescored(penalty=lambda x, start: (x - start).flatten(1).square().sum(1))),
            "your penalty holds the image at its start. It is ||x||^2, the distance from the black image.",
        ),
        "penalty_without_step": Mistake(
            _with_options(_climbed, l2=lambda options: options["l2"] / options["lr"]),
            "the length of the step, `lr`, counts for the gradient of the whole objective: your penalty misses it.",
        ),
        "expert_missing": Mistake(
            _with_options(_climbed, prior=lambda options: None), "`prior` changes nothing: the expert is missing."
        ),
        "expert_subtracted": Mistake(
            partial(_climbed, objective=_rescored(expert=torch.neg)),
            "you subtracted the expert. Its log p(x) is large for likely images: it is added.",
        ),
        "expert_alone": Mistake(
            lambda score, start, n_steps=100, lr=0.1, l2=0.0, prior=None: _climbed(
                score,
                start,
                n_steps,
                lr,
                l2,
                None,
                objective=_objective if prior is None else lambda _, x, l2, __, start: prior(x) - l2 * x.square().sum(),
            ),
            "where an expert is given, you climb on it alone. It is added to the score.",
        ),
        "not_clipped": Mistake(
            partial(_climbed, keep=lambda x: x),
            "your pixels leave the range from 0 to 1. After every step they are cut off there.",
        ),
        "clipped_at_the_end": Mistake(
            partial(_climbed, keep=lambda x: x, finish=lambda x: x.clamp(0, 1)),
            "you cut the pixels off once, at the end. Until then the network sees pixels that no image has: cut off "
            "after every step.",
        ),
        "clipped_before_the_step": Mistake(
            partial(_climbed, keep=lambda x: x, before=lambda x: x.clamp(0, 1)),
            "you cut the pixels off before the step, so that the last step may leave the range from 0 to 1.",
        ),
        "clipped_below_only": Mistake(
            partial(_climbed, keep=lambda x: x.clamp(min=0)),
            "your pixels are cut off at 0, but not at 1.",
        ),
        "clipped_around_zero": Mistake(
            partial(_climbed, keep=lambda x: x.clamp(-1, 1)),
            "you cut the pixels off at -1 and 1. Images have pixels from 0 to 1.",
        ),
        "stretched": Mistake(
            partial(_climbed, keep=lambda x: x, finish=_stretch),
            "you stretched the image to the range from 0 to 1 at the end. Cut the pixels off after every step instead.",
        ),
        "stretched_each_step": Mistake(
            partial(_climbed, keep=_stretch),
            "you stretch the image to the range from 0 to 1 after every step, so that all pixels move. Those inside "
            "stay where they are; only those outside are cut off.",
        ),
        "squashed": Mistake(
            partial(_climbed, keep=torch.sigmoid),
            "you squash the image with a sigmoid after every step, so that it gets paler. Pixels inside the range from "
            "0 to 1 stay where they are.",
        ),
        "mean_of_batch": Mistake(
            partial(_climbed, objective=_rescored(total=lambda value: value / len(value))),
            "your steps get shorter the more images there are: you took the mean of their scores before the gradient. "
            "The sum leaves the gradient of each image as it is.",
        ),
        "mean_of_scores": Mistake(
            partial(_climbed, objective=_mean_score),
            "you took the mean of the scores over the images, and the whole penalty: the more images there are, the "
            "less each score counts. Add the scores up, too.",
        ),
        "first_image": Mistake(
            partial(
                _climbed,
                objective=_rescored(total=lambda value: value * (torch.arange(len(value)) == 0)),
            ),
            "only the first image of the batch moves. Every one climbs by its own score.",
        ),
        "unit_steps": Mistake(
            partial(_climbed, move=_unit_length),
            "you scaled each gradient to length 1. That is a way to do it, but here the step is lr times the gradient.",
        ),
        "unit_steps_of_the_batch": Mistake(
            partial(_climbed, move=lambda gradient: gradient / gradient.norm().clamp(min=1e-12)),
            "you divided by the length of the whole gradient, over all images. Here the step is lr times the gradient.",
        ),
        "by_root_mean_square": Mistake(
            partial(_climbed, move=lambda gradient: gradient / gradient.square().mean().sqrt().clamp(min=1e-12)),
            "you divided the gradient by its root mean square, as many do. Here the step is lr times the gradient.",
        ),
        "by_deviation": Mistake(
            partial(_climbed, move=lambda gradient: gradient / gradient.std().clamp(min=1e-12)),
            "you divided the gradient by its standard deviation, as many do. Here the step is lr times the gradient.",
        ),
        "by_largest": Mistake(
            partial(_climbed, move=lambda gradient: gradient / gradient.abs().max().clamp(min=1e-12)),
            "you divided the gradient by its largest entry, as many do. Here the step is lr times the gradient.",
        ),
        "signs": Mistake(
            partial(_climbed, move=torch.sign),
            "you took the sign of the gradient, so that all pixels move equally far. The step is lr times the "
            "gradient.",
        ),
        "accumulated": Mistake(
            partial(_climbed, accumulate=True),
            "your gradients add up from step to step: .grad is never set back to zero. Each step has its own.",
        ),
        "first_gradient": Mistake(
            _first_gradient,
            "you use the gradient at the start in every step. It has to be computed anew at each image.",
        ),
        "adam": Mistake(
            _adam,
            "this is Adam, which scales each pixel's step by itself. Here it is plain gradient ascent: lr times the "
            "gradient.",
        ),
        "step_ignored": Mistake(
            _with_options(_climbed, lr=lambda options: 1.0), "`lr` changes nothing: your steps have the length 1."
        ),
        "step_shared": Mistake(
            _with_options(_climbed, lr=lambda options: options["lr"] / options["n_steps"]),
            "you divided the step by the number of steps.",
        ),
        "one_step_too_many": Mistake(
            partial(_climbed, more=1),
            "you made one step too many: n_steps of them, and n_steps + 1 scores with that of the start.",
        ),
        "one_step_too_few": Mistake(
            partial(_climbed, more=-1),
            "you made one step too few: n_steps of them, and n_steps + 1 scores with that of the start.",
        ),
        "image_before_the_last_step": Mistake(
            _last_image_missing,
            "your scores are right, but your image is the one before the last step.",
        ),
        "start_returned": Mistake(
            lambda score, start, *arguments, **options: (
                start.clone(),
                _climbed(score, start, *arguments, **options)[1],
            ),
            "your scores are right, but the image that you return is the start.",
        ),
        "without_the_start": Mistake(
            _of_scores(lambda scores: scores[1:]),
            "the score of the start is missing: with it there are n_steps + 1.",
        ),
        "without_the_end": Mistake(
            _of_scores(lambda scores: scores[:-1]),
            "the score after the last step is missing: with it there are n_steps + 1.",
        ),
        "images_first": Mistake(
            _of_scores(lambda scores: scores.t()),
            "your scores have the images first. The steps come first, (n_steps + 1, N).",
        ),
        "scores_summed": Mistake(
            _of_scores(lambda scores: scores.sum(1)),
            "you added up the scores of all images. Each image has its own, (n_steps + 1, N).",
        ),
        "scores_averaged": Mistake(
            _of_scores(lambda scores: scores.mean(1)),
            "you averaged the scores of all images. Each image has its own, (n_steps + 1, N).",
        ),
        "objective_recorded": Mistake(
            partial(_climbed, record=_objective),
            "your image is right, but in your scores there are the penalty and the expert as well. The score alone is "
            "asked for.",
        ),
        "scores_late": Mistake(
            _of_scores(lambda scores: torch.cat([scores[1:], scores[-1:]])),
            "your first score is the one after the first step. It is that of the start, before any step.",
        ),
        "scored_before_clipping": Mistake(
            _scored_before_clipping,
            "your image is right, but your scores are those of the images before they are cut off at 0 and 1.",
        ),
        "exchanged": Mistake(
            lambda *arguments, **options: _climbed(*arguments, **options)[::-1],
            "you have exchanged the two: the image comes first, then the scores.",
        ),
    },
    properties=[
        Property(
            "all pixels of the image lie between 0 and 1.",
            lambda arguments, value: bool(((value[0] >= 0) & (value[0] <= 1)).all()),
        ),
        Property(
            "the first of the scores is that of the start.",
            lambda arguments, value: _near(value[1][0], arguments["score"](arguments["start"].clone())),
        ),
        Property(
            "the last of the scores is that of the image that you return.",
            lambda arguments, value: _near(value[1][-1], arguments["score"](value[0].clone())),
        ),
    ],
)


def _near(came: Tensor, right: Tensor) -> bool:
    return bool((came - right).abs().max() <= 1e-3 * right.abs().max().clamp(min=1e-3))


# ---------------------------------------------------------------------------------------------------------------------
# maximize_in_code_space
# ---------------------------------------------------------------------------------------------------------------------

CodeClimb = tuple[Tensor, Tensor, Tensor]


def _reference_code_climb(
    generator_network: Function,
    score: Function,
    start_code: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
) -> CodeClimb:
    """Return image, scores and code of the package's function, as a tuple: what can travel."""
    found = visualization.maximize_in_code_space(generator_network, score, start_code, n_steps=n_steps, lr=lr, l2=l2)
    return found.image, found.scores, found.code


def _code_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(55)

    def case(
        source: torch.Generator,
        kind: str,
        sizes: tuple[int, int, int],
        n_steps: int,
        lr: float,
        l2: float,
        note: str,
        drawn_by: str = "generator",
        length: float = 1.0,
    ) -> Case:
        n_codes, n_numbers, side = sizes
        generator_network = _drawn(source, drawn_by, (n_numbers, 1, 1), 3 * side**2)
        arguments = {
            "generator_network": replace(generator_network, training=drawn_by != "generator"),
            "score": _drawn(source, f"score_{kind}", (3, side, side), n_classes=1),
            "start_code": length * torch.randn(n_codes, n_numbers, generator=source),
            "n_steps": n_steps,
            "lr": lr,
            "l2": l2,
        }
        return Case(arguments, f"{note}, {n_steps} steps")

    yield case(fixed, "quadratic", (1, 4, 4), 1, 0.3, 0.0, "one code of four numbers, no penalty")
    yield case(fixed, "conv", (2, 5, 6), 4, 0.2, 0.3, "two codes of five numbers and a penalty")
    note = "two long codes of six numbers, a generator that draws any numbers, in train mode"
    yield case(fixed, "quadratic", (2, 6, 4), 3, 0.01, 0.1, note, drawn_by="linear_generator", length=4.0)
    yield case(generator, "quadratic", (3, 6, 4), 5, 0.5, 0.1, "three codes of six numbers, long steps, a penalty")
    yield case(generator, "inplace", (2, 3, 6), 3, 0.2, 0.5, "two codes of three numbers, ReLUs in place, a penalty")


def _code_objective(decode: Function, score: Function, z: Tensor, l2: float, start: Tensor) -> Tensor:
    """Return score(g(z)) - l2 ||z||^2, (N,)."""
    return score(decode(z)) - l2 * z.square().sum(1)


def _penalized(penalty: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return an objective with a penalty of (code, image, start)."""

    def objective(decode: Function, score: Function, z: Tensor, l2: float, start: Tensor) -> Tensor:
        image = decode(z)
        return score(image.clone()) - l2 * penalty(z, image, start)

    return objective


def _code_climbed(
    generator_network: Function,
    score: Function,
    start_code: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
    objective: Callable[..., Tensor] = _code_objective,
    move: Callable[[Tensor], Tensor] = lambda gradient: gradient,
    keep: Callable[[Tensor], Tensor] = lambda z: z,
    more: int = 0,
    record: Callable[..., Tensor] | None = None,
    accumulate: bool = False,
) -> CodeClimb:
    """Return gradient ascent in the codes with its pieces open."""

    def now(z: Tensor) -> Tensor:
        with torch.no_grad():
            if record is not None:
                return record(generator_network, score, z, l2, start_code)
            return score(generator_network(z))

    z, total = start_code.clone(), torch.zeros_like(start_code)
    scores = [now(z)]
    for _ in range(n_steps + more):
        z = z.detach().requires_grad_()
        gradient = torch.autograd.grad(objective(generator_network, score, z, l2, start_code).sum(), z)[0]
        total = total + gradient if accumulate else gradient
        z = keep(z.detach() + lr * move(total))
        scores.append(now(z))
    with torch.no_grad():
        return generator_network(z), torch.stack(scores), z


def _image_moved(
    generator_network: Function,
    score: Function,
    start_code: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
) -> CodeClimb:
    """Return the ascent of the image itself, from g(z) at the start."""
    with torch.no_grad():
        start = generator_network(start_code)
    image, scores = _climbed(score, start, n_steps, lr, l2)
    return image, scores, start_code.clone()


def _image_clipped(generator_network: Function, score: Function, start: Tensor, **options: Any) -> CodeClimb:
    return _code_climbed(lambda z: generator_network(z).clamp(0, 1), score, start, **options)


def _image_of_the_code_before(*arguments: Any, **options: Any) -> CodeClimb:
    _, scores, code = _code_climbed(*arguments, **options)
    return _code_climbed(*arguments, **options, more=-1)[0], scores, code


def _code_of_the_start(generator_network: Function, score: Function, start: Tensor, **options: Any) -> CodeClimb:
    return *_code_climbed(generator_network, score, start, **options)[:2], start.clone()


def _image_of_the_start(generator_network: Function, score: Function, start: Tensor, **options: Any) -> CodeClimb:
    _, scores, code = _code_climbed(generator_network, score, start, **options)
    return generator_network(start), scores, code


def _code_first_gradient(
    generator_network: Function, score: Function, start: Tensor, l2: float = 0.0, **options: Any
) -> CodeClimb:
    z = start.clone().requires_grad_()
    gradient = torch.autograd.grad(_code_objective(generator_network, score, z, l2, start).sum(), z)[0]
    return _code_climbed(generator_network, score, start, l2=l2, **options, move=lambda _: gradient)


def _code_adam(
    generator_network: Function,
    score: Function,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
) -> CodeClimb:
    z = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr)
    scores = [score(generator_network(z.detach())).detach()]
    for _ in range(n_steps):
        optimizer.zero_grad()
        (-_code_objective(generator_network, score, z, l2, start).sum()).backward()
        optimizer.step()
        with torch.no_grad():
            scores.append(score(generator_network(z)))
    with torch.no_grad():
        return generator_network(z), torch.stack(scores), z.detach()


def _of_parts(change: Callable[[Tensor, Tensor, Tensor], Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: change(*_code_climbed(*arguments, **options))


def _penalty_of_start(z: Tensor, image: Tensor, start: Tensor) -> Tensor:
    return (z - start).square().sum(1)


MAXIMIZE_IN_CODE_SPACE = Exercise(
    name="maximize_in_code_space",
    reference=_reference_code_climb,
    cases=_code_cases,
    mistakes={
        "descent": Mistake(
            partial(_code_climbed, move=torch.neg),
            "you go downhill: the score is to grow, so the step is added to the code, not subtracted.",
        ),
        "image_moved": Mistake(
            _image_moved,
            "you made an image of the start and then moved its pixels. It is the code that moves: the gradient goes "
            "back through the generator.",
        ),
        "penalty_of_the_image": Mistake(
            partial(_code_climbed, objective=_penalized(lambda z, image, start: image.flatten(1).square().sum(1))),
            "your penalty is that of the image, ||g(z)||^2. In code space it is the code that must stay near 0: "
            "||z||^2.",
        ),
        "penalty_adds": Mistake(
            _with_options(_code_climbed, l2=lambda options: -options["l2"]),
            "your penalty has the wrong sign, so that it drives the code away from 0. It is subtracted.",
        ),
        "penalty_missing": Mistake(
            _with_options(_code_climbed, l2=lambda options: 0.0), "`l2` changes nothing: the penalty is missing."
        ),
        "penalty_not_squared": Mistake(
            partial(_code_climbed, objective=_penalized(lambda z, image, start: z.norm(dim=1))),
            "your penalty is the length ||z||, the root of the sum of squares. It is ||z||^2, without the root.",
        ),
        "penalty_of_the_batch": Mistake(
            partial(_code_climbed, objective=_penalized(lambda z, image, start: (z.norm() / len(z)).expand(len(z)))),
            "your penalty is the length of all codes together, without the square. Each code has its own ||z||^2.",
        ),
        "penalty_without_two": Mistake(
            _with_options(_code_climbed, l2=lambda options: options["l2"] / 2),
            "your penalty pulls half as strongly as it should: the derivative of z^2 is 2z.",
        ),
        "penalty_averaged": Mistake(
            partial(_code_climbed, objective=_penalized(lambda z, image, start: z.square().mean(1))),
            "you took the mean of the squares. ||z||^2 is their sum.",
        ),
        "penalty_averaged_over_batch": Mistake(
            partial(
                _code_climbed,
                objective=_penalized(lambda z, image, start: (z.square().mean() / len(z)).expand(len(z))),
            ),
            "you took the mean of the squares of all numbers of all codes. ||z||^2 is the sum of those of one code.",
        ),
        "penalty_from_the_start": Mistake(
            partial(_code_climbed, objective=_penalized(_penalty_of_start)),
            "your penalty holds the code at its start. It is ||z||^2, the distance from 0.",
        ),
        "penalty_without_step": Mistake(
            _with_options(_code_climbed, l2=lambda options: options["l2"] / options["lr"]),
            "the length of the step, `lr`, counts for the gradient of the whole objective: your penalty misses it.",
        ),
        "image_clipped": Mistake(
            _image_clipped,
            "you clipped the images of the generator to [0, 1]. Nothing is clipped here: what the generator draws is "
            "what the score sees.",
        ),
        "code_clipped": Mistake(
            partial(_code_climbed, keep=lambda z: z.clamp(0, 1)),
            "you cut the code off at 0 and 1. That is for pixels: a code may be any number.",
        ),
        "code_clipped_at_one": Mistake(
            partial(_code_climbed, keep=lambda z: z.clamp(-1, 1)),
            "you cut the code off at -1 and 1. A code may be any number; the penalty keeps it small.",
        ),
        "code_of_unit_length": Mistake(
            partial(_code_climbed, keep=_unit_length),
            "you bring the code to length 1 after every step. It may be of any length; the penalty keeps it short.",
        ),
        "mean_of_batch": Mistake(
            partial(
                _code_climbed,
                objective=lambda decode, score, z, l2, start: _code_objective(decode, score, z, l2, start) / len(z),
            ),
            "your steps get shorter the more codes there are: you took the mean before the gradient. The sum leaves "
            "the gradient of each code as it is.",
        ),
        "first_code": Mistake(
            partial(
                _code_climbed,
                objective=lambda decode, score, z, l2, start: (
                    _code_objective(decode, score, z, l2, start) * (torch.arange(len(z)) == 0)
                ),
            ),
            "only the first code moves. Every one climbs by its own score.",
        ),
        "unit_steps": Mistake(
            partial(_code_climbed, move=_unit_length),
            "you scaled each gradient to length 1. Here the step is lr times the gradient.",
        ),
        "accumulated": Mistake(
            partial(_code_climbed, accumulate=True),
            "your gradients add up from step to step: .grad is never set back to zero. Each step has its own.",
        ),
        "first_gradient": Mistake(
            _code_first_gradient,
            "you use the gradient at the start in every step. It has to be computed anew at each code.",
        ),
        "adam": Mistake(
            _code_adam,
            "this is Adam, which scales each number's step by itself. Here it is plain gradient ascent: lr times the "
            "gradient.",
        ),
        "step_ignored": Mistake(
            _with_options(_code_climbed, lr=lambda options: 1.0), "`lr` changes nothing: your steps have the length 1."
        ),
        "one_step_too_many": Mistake(
            partial(_code_climbed, more=1),
            "you made one step too many: n_steps of them, and n_steps + 1 scores with that of the start.",
        ),
        "one_step_too_few": Mistake(
            partial(_code_climbed, more=-1),
            "you made one step too few: n_steps of them, and n_steps + 1 scores with that of the start.",
        ),
        "image_one_step_late": Mistake(
            _image_of_the_code_before,
            "your code is right, but the image is that of the code before the last step. Make it once more, after the "
            "loop.",
        ),
        "image_of_the_start": Mistake(
            _image_of_the_start, "your code is right, but the image is that of the start: it was made once, at the top."
        ),
        "code_of_the_start": Mistake(
            _code_of_the_start, "your image and your scores are right, but the code that you return is the start."
        ),
        "without_the_start": Mistake(
            _of_parts(lambda image, scores, code: (image, scores[1:], code)),
            "the score of the start is missing: with it there are n_steps + 1.",
        ),
        "without_the_end": Mistake(
            _of_parts(lambda image, scores, code: (image, scores[:-1], code)),
            "the score after the last step is missing: with it there are n_steps + 1.",
        ),
        "codes_first": Mistake(
            _of_parts(lambda image, scores, code: (image, scores.t(), code)),
            "your scores have the codes first. The steps come first, (n_steps + 1, N).",
        ),
        "objective_recorded": Mistake(
            partial(_code_climbed, record=_code_objective),
            "your image is right, but in your scores there is the penalty as well. The score alone is asked for.",
        ),
        "no_code": Mistake(
            _of_parts(lambda image, scores, code: (image, scores)),
            "you return image and scores. The code is asked for as well, as the third.",
        ),
        "order": Mistake(
            _of_parts(lambda image, scores, code: (code, scores, image)),
            "you have exchanged image and code: the image comes first, the code last.",
        ),
    },
    properties=[
        Property(
            "the image that you return is what the generator makes of the code that you return.",
            lambda arguments, value: _near(value[0], arguments["generator_network"](value[2]).detach()),
        ),
        Property(
            "the last of the scores is that of the image that you return.",
            lambda arguments, value: _near(value[1][-1], arguments["score"](value[0].clone()).detach()),
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# What a log says: dead units, gradients that shrink or grow
# ---------------------------------------------------------------------------------------------------------------------


def _dead_share(activations: Tensor) -> float:
    """Return the share of the units (N, K) or maps (N, K, h, w) that are 0 everywhere for every image."""
    alive = (activations != 0).flatten(2).any(2) if activations.dim() > 2 else activations != 0
    return 1 - alive.any(0).double().mean().item()


def _dead_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(56)

    def case(
        source: torch.Generator, shape: tuple[int, ...], dead: Sequence[int], note: str, relu: bool = True
    ) -> Case:
        values = torch.randn(shape, generator=source)
        values = values.relu() if relu else values
        values[:, list(dead)] = 0.0
        asleep = next(k for k in range(shape[1]) if k not in dead)
        values[1:, asleep] = 0.0  # a unit that is awake for a single image
        values[0, asleep] = values[0, asleep].abs() + 0.1
        return Case({"activations": values}, note)

    yield case(fixed, (4, 5), [1, 3], "five units of a dense layer, four images")
    yield case(fixed, (3, 4, 2, 2), [0], "four maps of 2 x 2, three images")
    yield case(fixed, (5, 6), [], "six units, none of them dead")
    n_maps = draw_integer(generator, 6, 10)
    yield case(generator, (3, n_maps, 3, 2), [0, 2, 5], f"{n_maps} maps of 3 x 2, three images")
    drawn = case(generator, (4, 12), [2, 4, 7], "twelve units that may also be negative", relu=False)
    values = drawn.arguments["activations"]
    values[:, 1] = torch.tensor([1.0, -1.0, 2.0, -2.0])  # alive, although its sum is 0
    values[:, [5, 6, 8]] = -values[:, [5, 6, 8]].abs() - 0.1  # alive, although never positive
    values[0, [6, 8]] = 0.0  # alive, although their largest number is 0
    yield drawn
    yield Case({"activations": torch.zeros(3, 4, 2, 2)}, "a layer in which everything is dead")
    values = torch.zeros(2, 5, 1, 2)
    values[:, 1] = torch.tensor([1.0, -1.0])  # alive, although each image's mean is 0
    values[1, 2:4, 0, 0] = 1e-8  # alive, although faint
    yield Case({"activations": values}, "a map with both signs, and two faint ones")


def _share(values: Tensor) -> float:
    return values.double().mean().item()


def _flat(activations: Tensor) -> Tensor:
    """Return (N, K, places)."""
    return activations.flatten(2) if activations.dim() > 2 else activations[..., None]


DEAD_SHARE = Exercise(
    name="dead_share",
    reference=_dead_share,
    cases=_dead_cases,
    mistakes={
        "share_of_zeros": Mistake(
            lambda activations: _share(activations == 0),
            "this is the share of zeros among all numbers. A unit is dead if it is 0 for all images; one that is 0 for "
            "many images only sleeps.",
        ),
        "some_image": Mistake(
            lambda activations: _share((_flat(activations) == 0).all(2).any(0)),
            "you counted a unit as dead if one image leaves it at 0. It must be 0 for all of them.",
        ),
        "first_image": Mistake(
            lambda activations: _share((_flat(activations) == 0).all(2)[0]),
            "you looked at the first image alone. A dead unit is 0 for all images.",
        ),
        "each_image": Mistake(
            lambda activations: _share((_flat(activations) == 0).all(2)),
            "you counted for each image and averaged. A unit is dead only if it is 0 for all images: first all images, "
            "then the share.",
        ),
        "each_place": Mistake(
            lambda activations: _share((activations == 0).all(0)),
            "you counted each place of a map for itself. A map shares its weights over all places: it is dead if it is "
            "0 at all of them.",
        ),
        "some_place": Mistake(
            lambda activations: _share((_flat(activations) == 0).any(2).all(0)),
            "you counted a map as dead if it is 0 somewhere for every image. It must be 0 at all places.",
        ),
        "sum_is_zero": Mistake(
            lambda activations: _share(_flat(activations).sum((0, 2)).abs() < 1e-5),
            "you asked whether the sum is 0. Positive and negative numbers may cancel out: ask each number.",
        ),
        "never_positive": Mistake(
            lambda activations: _share((_flat(activations) <= 0).all(2).all(0)),
            "you counted negative units as dead. Dead is what is exactly 0; behind a ReLU this is the same, but not "
            "everywhere.",
        ),
        "mean_of_places": Mistake(
            lambda activations: _share((_flat(activations).mean(2) == 0).all(0)),
            "you took the mean over the places before you asked. Positive and negative numbers of a map may cancel "
            "out: ask each number.",
        ),
        "faint": Mistake(
            lambda activations: _share(_flat(activations).abs().amax((0, 2)) < 1e-6),
            "you counted units as dead that are only small. Dead is what is exactly 0: what is small still learns.",
        ),
        "largest_is_zero": Mistake(
            lambda activations: _share(_flat(activations).amax((0, 2)) == 0),
            "you asked whether the largest number is 0. Behind a ReLU this is the same, but a unit that is 0 for some "
            "images and negative for others is alive: ask each number.",
        ),
        "alive": Mistake(
            lambda activations: 1 - _dead_share(activations), "this is the share of units that are alive."
        ),
        "count": Mistake(
            lambda activations: _dead_share(activations) * activations.shape[1],
            "this is the number of dead units. Their share is asked for, between 0 and 1.",
        ),
        "percent": Mistake(
            lambda activations: 100 * _dead_share(activations),
            "your share is in per cent. It lies between 0 and 1.",
        ),
        "images_for_units": Mistake(
            lambda activations: _share((activations == 0).flatten(1).all(1)),
            "you counted images in which all units are 0. It is the other way round: units that are 0 in all images.",
        ),
        "by_size": Mistake(
            lambda activations: (_flat(activations) == 0).all(2).all(0).sum().item() / activations.numel(),
            "you divided by the number of all activations. The share is among the units, or maps, of the layer.",
        ),
    },
    properties=[
        Property("it is a share: between 0 and 1.", lambda arguments, value: 0 <= float(value) <= 1),
    ],
)


def _gradient_factor(gradients: Sequence[Tensor]) -> float:
    """Return (norm of the first layer's gradient / that of the last layer's) ^ (1 / steps between them)."""
    first, last = (gradients[i].double().square().sum().sqrt().item() for i in (0, -1))
    return (first / last) ** (1 / (len(gradients) - 1))


def _factor_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(57)

    def case(source: torch.Generator, shapes: Sequence[tuple[int, ...]], factor: float, note: str) -> Case:
        """Gradients of the given shapes, from the first layer to the last, with the given factor on the way down."""
        drawn = [torch.randn(shape, generator=source) for shape in shapes]
        scaled = [values / values.norm() / factor**i for i, values in enumerate(drawn)]
        jittered = [scaled[0], *(1.5 * values for values in scaled[1:-1]), scaled[-1]]
        return Case({"gradients": jittered}, note)

    yield case(fixed, [(3, 2), (2, 3)], 0.5, "two layers, halved on the way down")
    yield case(fixed, [(4, 3, 3, 3), (6, 4, 3, 3), (5, 96)], 0.1, "three layers of different sizes, shrinking")
    yield case(fixed, [(8, 6), (8, 8), (8, 8), (4, 8)], 3.0, "four layers, growing")
    shapes = [(5, 4), *[(5, 5)] * draw_integer(generator, 2, 5), (3, 5)]
    yield case(generator, shapes, 0.3, f"{len(shapes)} layers, shrinking")
    yield case(generator, [(2, 9), (7, 7), (3, 7), (2, 3), (10, 2)], 2.0, "five layers, growing")


def _norms(gradients: Sequence[Tensor], size: Callable[[Tensor], Tensor] = torch.linalg.vector_norm) -> list[float]:
    return [size(values.double()).item() for values in gradients]


def _root_of_ratio(size: Callable[[Tensor], Tensor]) -> Callable[[Sequence[Tensor]], float]:
    """Return the factor with another size than the norm."""

    def factor(gradients: Sequence[Tensor]) -> float:
        sizes = _norms(gradients, size)
        return (sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1))

    return factor


def _mean_ratio(gradients: Sequence[Tensor]) -> float:
    sizes = _norms(gradients)
    return sum(a / b for a, b in pairwise(sizes)) / (len(sizes) - 1)


def _ratio(gradients: Sequence[Tensor]) -> float:
    sizes = _norms(gradients)
    return sizes[0] / sizes[-1]


GRADIENT_FACTOR = Exercise(
    name="gradient_factor",
    reference=_gradient_factor,
    cases=_factor_cases,
    mistakes={
        "inverse": Mistake(
            lambda gradients: 1 / _gradient_factor(gradients),
            "your ratio is turned round: the first layer, close to the image, is in the numerator, so that a number "
            "below 1 says that the gradient shrinks on its way down.",
        ),
        "no_root": Mistake(
            _ratio,
            "this is the ratio of the first to the last layer. The factor for one step is asked for: a root of it.",
        ),
        "one_step_too_many": Mistake(
            lambda gradients: _ratio(gradients) ** (1 / len(gradients)),
            "between n layers there are n - 1 steps: your root is of the wrong degree.",
        ),
        "divided_by_steps": Mistake(
            lambda gradients: _ratio(gradients) / (len(gradients) - 1),
            "you divided the ratio by the number of steps. Factors are multiplied from step to step, so a root is "
            "taken.",
        ),
        "square_root": Mistake(
            lambda gradients: math.sqrt(_ratio(gradients)),
            "you took the square root whatever the number of layers. The degree of the root is the number of steps.",
        ),
        "mean_of_ratios": Mistake(
            _mean_ratio,
            "you averaged the ratios of neighbours. Factors multiply: their geometric mean is the root of the whole "
            "ratio.",
        ),
        "norm_squared": Mistake(
            _root_of_ratio(lambda values: values.square().sum()),
            "you compared the sums of squares. The norm is the root of that sum.",
        ),
        "largest": Mistake(
            _root_of_ratio(lambda values: values.abs().max()),
            "you compared the largest entries. The norm is asked for: the root of the sum of all squares.",
        ),
        "sum_of_magnitudes": Mistake(
            _root_of_ratio(lambda values: values.abs().sum()),
            "you compared sums of magnitudes. The norm is asked for: the root of the sum of squares.",
        ),
        "mean_magnitude": Mistake(
            _root_of_ratio(lambda values: values.abs().mean()),
            "you compared mean magnitudes, which depend on how many weights a layer has. The norm is asked for.",
        ),
        "root_mean_square": Mistake(
            _root_of_ratio(lambda values: values.square().mean().sqrt()),
            "you divided by the number of weights under the root. The norm has the sum of squares, not their mean.",
        ),
        "standard_deviation": Mistake(
            _root_of_ratio(lambda values: values.std()),
            "you compared standard deviations. The norm is asked for: the root of the sum of squares.",
        ),
        "matrix_norm": Mistake(
            _root_of_ratio(lambda values: torch.linalg.matrix_norm(values.flatten(1), 2)),
            "you compared the largest singular values. The norm of all entries is asked for.",
        ),
        "second_layer": Mistake(
            lambda gradients: _norms(gradients)[0] / _norms(gradients)[1],
            "you compared the first two layers alone. The last layer is the one to compare with.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# Trainings to diagnose
# ---------------------------------------------------------------------------------------------------------------------

DIAGNOSES = (
    "healthy",
    "vanishing gradients",
    "exploding gradients",
    "dead units",
    "saturated units",
    "overfitting",
)


@dataclass(frozen=True)
class Training:
    """The description of a training on the digits: seven hidden layers of 32 units, and how they begin.

    Args:
        activation: the layer behind each hidden layer.
        gain: the weights begin normal, with the deviation gain / sqrt(inputs of the layer).
        bias: where the biases of the hidden layers begin.
        lr: length of a step per unit of the gradient.
        diagnosis: what its log shows, one of `DIAGNOSES`.
    """

    activation: type[nn.Module]
    gain: float
    bias: float
    lr: float
    diagnosis: str

    def build(self) -> nn.Sequential:
        """Return the network before the training, the same each time."""
        hidden = [[nn.Linear(n, 32), self.activation()] for n in (64, *[32] * 6)]
        with untouched_random_state():
            model = nn.Sequential(nn.Flatten(), *chain.from_iterable(hidden), nn.Linear(32, 10))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for layer in model:
                if isinstance(layer, nn.Linear):
                    noise = torch.randn(layer.weight.shape, generator=generator)
                    layer.weight.copy_(self.gain / math.sqrt(layer.in_features) * noise)
                    layer.bias.fill_(self.bias)
            model[-1].bias.zero_()
        return model


TRAININGS = {
    "healthy": Training(nn.ReLU, math.sqrt(2), 0.0, 0.05, "healthy"),
    "A": Training(nn.ReLU, math.sqrt(2), -0.6, 0.05, "dead units"),
    "B": Training(nn.Sigmoid, 1.0, 0.0, 0.1, "vanishing gradients"),
    "C": Training(nn.ReLU, 2.2, 0.0, 0.1, "exploding gradients"),
}


def log_example(name: str, log_dir: str | Path) -> nn.Sequential:
    """Train a network on the digits as one of `TRAININGS` says, and write its log.

    Args:
        name: "healthy", "A", "B" or "C".
        log_dir: folder for the event files, without any so far.

    Returns:
        the network after the training: images (N, 1, 8, 8) to scores (N, 10).

    Raises:
        ValueError: no such training, or a folder with event files.
    """
    if name not in TRAININGS:
        raise ValueError(f"name is {name!r}; known trainings: {', '.join(TRAININGS)}")
    model = TRAININGS[name].build()
    images, labels = models.digits(train=True)
    images, labels, generator = images[:640], labels[:640], torch.Generator().manual_seed(1)
    visualization.log_training(model, images, labels, log_dir, n_epochs=10, lr=TRAININGS[name].lr, generator=generator)
    return model


def _diagnosis(letter: str, hints: dict[str, str]) -> ValueExercise:
    """Return the exercise that asks what is wrong with a training."""
    return ValueExercise(
        name=f"training_{letter.lower()}",
        expected=TRAININGS[letter].diagnosis,
        choices=DIAGNOSES,
        mistakes={diagnosis.replace(" ", "_"): Mistake(diagnosis, hint) for diagnosis, hint in hints.items()},
    )


TRAINING_A = _diagnosis(
    "A",
    {
        "healthy": "the loss of A stays where it began, at ln 10 = 2.30: that of a network which gives each of the ten "
        "classes the same probability. It learns nothing.",
        "vanishing gradients": "a gradient that vanishes gets smaller and smaller from layer to layer, and is never "
        "exactly 0. In A it is exactly 0. Look at the activations: how many of them are 0?",
        "exploding gradients": "gradients that explode are large. How large are those of A?",
        "saturated units": "a saturated unit gives nearly the same number for every image, close to the end of its "
        "range. A has no such units. How many of its activations are exactly 0?",
        "overfitting": "who overfits has a low loss on the images of the training. How low is that of A?",
    },
)
TRAINING_B = _diagnosis(
    "B",
    {
        "healthy": "the loss of B hardly moves, and that of the healthy training falls. Compare the gradients of the "
        "first and of the last layer.",
        "exploding gradients": "gradients that explode are large. Those of B get smaller from layer to layer, on their "
        "way from the scores down to the image.",
        "dead units": "a dead unit gives exactly 0 for every image. How many of the activations of B are 0?",
        "saturated units": "saturated units give numbers close to the ends of their range, 0 and 1. How far do the "
        "activations of B go? Then compare the gradients of its layers.",
        "overfitting": "who overfits has a low loss on the images of the training. How low is that of B, to its end?",
    },
)
TRAINING_C = _diagnosis(
    "C",
    {
        "healthy": "follow the loss of C to its end. Is it a number?",
        "vanishing gradients": "the gradients of C are larger than those of the healthy training from the first step "
        "on, in every layer.",
        "dead units": "some activations of C are 0, as behind every ReLU, and about as many as in the healthy "
        "training. Look at the size of the gradients, from step to step.",
        "saturated units": "saturated units have hardly any gradient. How large are the gradients of C?",
        "overfitting": "who overfits has a low loss on the images of the training. Follow that of C to its end.",
    },
)

EXERCISES: tuple[Exercise | ValueExercise, ...] = (
    FILTER_IMAGES,
    FEATURE_MAPS,
    OCCLUSION_COST,
    OCCLUSION,
    OCCLUSION_LOSS,
    SCORE_OR_SOFTMAX,
    MAXIMIZE_ACTIVATION,
    MAXIMIZE_IN_CODE_SPACE,
    DEAD_SHARE,
    GRADIENT_FACTOR,
    TRAINING_A,
    TRAINING_B,
    TRAINING_C,
)
