"""The exercises of unit 10: sanity checks, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_compared`, `_destroyed`, `_in_cascade`, `_curve`, `_pointed`,
`_mass`, `_inserted`), which are independent of the references in ``course_utils.sanity_checks`` and
``course_utils.evaluation``. In the hints, as in the lab: a and b are two maps of one image.

A method reaches an answer as a function. In the cases it is described by plain data: `Method`. What the lab's line-up
is made of stands in `LINE_UP`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau, pearsonr, rankdata
from torch import Tensor, nn

from course_utils import evaluation, models, sanity_checks
from course_utils import gradient_methods as gm
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    Seed,
    ValueExercise,
    draw_integer,
    register_network,
)
from course_utils.passes import value_and_gradient

# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


@register_network("batch_norm_inside")
def _nested(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    channels, height, width = shape
    features = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    dense = 4 * (height // 2) * (width // 2)
    head = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(dense, 6, bias=False), nn.ReLU())
    return nn.Sequential(features, head, nn.Linear(6, n_classes))


class Scaled(nn.Sequential):
    """Layers one after the other, and a parameter of their own that is not called weight: the outputs' scale."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the layers, and multiply."""
        return self.gain * super().forward(inputs)


@register_network("many_layers")
def _many_layers(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    channels, height, width = shape
    inner = Scaled(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    convolutions = [nn.Conv2d(channels, 4, 3, padding=1), inner, nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Dropout(0.5)]
    rest = [nn.Identity() for _ in range(4)]
    dense = 4 * (height // 2) * (width // 2)
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(dense, 6), nn.ReLU(), nn.Linear(6, n_classes)]
    return nn.Sequential(*convolutions, *rest, *head)  # layers 0, 1, 1.0, 2, 11 and 13 have parameters


@dataclass(frozen=True)
class Method:
    """The description of an explanation: "gradient", "gradient_x_input", "square" or "inputs", which looks at no model.

    The function takes (model, inputs (N, C, H, W), target LongTensor (N,)) and gives maps (N, C, H, W).
    """

    kind: str

    def build(self) -> sanity_checks.Explain:
        """Return the function; it says by name what it is called with wrongly."""

        def explain(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
            if not isinstance(model, nn.Module):
                raise TypeError(f"explain takes a network first, got {type(model).__name__}")
            if not isinstance(target, Tensor) or target.shape != (len(inputs),):
                raise TypeError("explain takes the target as a LongTensor (N,), a class for each image")
            if self.kind == "inputs":
                return inputs.clone()
            gradient = value_and_gradient(model, inputs, target)[1]
            return {"gradient": gradient, "gradient_x_input": gradient * inputs, "square": gradient**2}[self.kind]

        return explain


def _drawn_network(
    generator: torch.Generator, kind: str, shape: tuple[int, int, int] = (3, 8, 8), training: bool = False
) -> Network:
    return Network(kind, draw_integer(generator, 0, 2**31), shape, training=training)


# ---------------------------------------------------------------------------------------------------------------------
# By hand: the rank correlation of two small maps
# ---------------------------------------------------------------------------------------------------------------------

# a = 0.9, 0.1, 0.5, -0.4 has the ranks 4, 2, 3, 1; b = 0.3, 2, 1, 0.6 has 1, 4, 3, 2: sum d^2 = 14, rho = 1 - 84 / 60.
# The absolute values have 4, 1, 3, 2 and 1, 4, 3, 2: sum d^2 = 18, rho = 1 - 108 / 60.
SPEARMAN_BY_HAND = ValueExercise(
    name="spearman_by_hand",
    expected=(-0.4, -0.8),
    mistakes={
        "exchanged": Mistake((-0.8, -0.4), "you have exchanged the two: the signed values come first."),
        "signs_ignored": Mistake(
            (-0.8, -0.8), "-0.4 is the lowest of the four values, not the second lowest: sort with the signs first."
        ),
        "signs_kept": Mistake(
            (-0.4, -0.4), "the second number is that of the absolute values: |-0.4| = 0.4 lies between 0.1 and 0.5."
        ),
        "factor_forgotten": Mistake((1 - 14 / 60, 1 - 18 / 60), "you forgot the factor 6 before the sum."),
        "not_squared": Mistake((0.4, 0.4), "you added the sizes of the differences: square each one."),
        "differences_added": Mistake(
            (1.0, 1.0), "the differences cancel if you add them up as they are: square each one first."
        ),
        "sum_alone": Mistake((14.0, 18.0), "these are the sums of squared differences; put them into the formula."),
        "share_alone": Mistake((1.4, 1.8), "take it off 1: equal ranks have the correlation 1."),
        "without_minus_one": Mistake((1 - 84 / 64, 1 - 108 / 64), "the denominator is n (n^2 - 1), with n = 4: 60."),
        "squared_size": Mistake((1 - 84 / 16, 1 - 108 / 16), "the denominator is n (n^2 - 1) = 60, not n^2."),
        "factor_n_forgotten": Mistake(
            (1 - 84 / 15, 1 - 108 / 15), "the denominator is n (n^2 - 1) = 4 * 15, not n^2 - 1 alone."
        ),
        "of_values": Mistake(
            (-0.2771, -0.8747), "this is the correlation of the values. Replace them by their ranks first."
        ),
    },
    tolerance=2e-3,
)

# ---------------------------------------------------------------------------------------------------------------------
# similarity
# ---------------------------------------------------------------------------------------------------------------------


def similarity(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    """Return the rank correlation of each pair of maps, (N,), as the lab asks for it."""
    return sanity_checks.similarity(a, b, metric)


def _correlated(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(pearsonr(x.ravel(), y.ravel())[0])


def _of_ranks(x: np.ndarray, y: np.ndarray, method: str = "average") -> float:
    return _correlated(rankdata(x, method).reshape(x.shape), rankdata(y, method).reshape(y.shape))


def _no_ties(x: np.ndarray, y: np.ndarray) -> float:
    return _of_ranks(x, y, "ordinal")


def _formula(x: np.ndarray, y: np.ndarray) -> float:
    n = x.size
    return 1 - 6 * float(((rankdata(x) - rankdata(y)) ** 2).sum()) / (n * (n**2 - 1))


def _sorted_places(x: np.ndarray, y: np.ndarray) -> float:
    return _correlated(x.ravel().argsort(kind="stable"), y.ravel().argsort(kind="stable"))


def _kendall(x: np.ndarray, y: np.ndarray) -> float:
    return 0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else float(kendalltau(x.ravel(), y.ravel())[0])


def _compared(
    a: Tensor,
    b: Tensor,
    metric: str = "spearman",
    alike: Callable[[np.ndarray, np.ndarray], float] = _of_ranks,
    before: Callable[[Tensor, bool], Tensor] = lambda maps, absolute: maps.sum(1).abs() if absolute else maps.sum(1),
    finish: Callable[[Tensor], Tensor] = lambda values: values,
) -> Tensor:
    """Compare map by map, with the pieces open: what becomes of the channels, what compares, what comes after."""
    first, second = (before(maps.double(), metric == "spearman_abs").numpy() for maps in (a, b))
    pairs = zip(first, second, strict=True)
    return finish(torch.tensor([alike(x, y) for x, y in pairs], dtype=torch.float64))


def _similarity_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(1)

    def pair(source: torch.Generator, n: int, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        a = torch.randn(n, *shape, generator=source)
        return {"a": a, "b": 0.6 * a + torch.randn(n, *shape, generator=source)}

    three = pair(fixed, 3, (3, 6, 6))
    yield Case(three, "three images, no metric given")
    yield Case({**three, "metric": "spearman"}, "signed values")
    yield Case({**three, "metric": "spearman_abs"}, "absolute values")
    a = torch.randn(2, 1, 7, 5, generator=fixed)
    yield Case({"a": a, "b": -a, "metric": "spearman"}, "opposite maps, signed")
    yield Case({"a": a, "b": -a, "metric": "spearman_abs"}, "opposite maps, absolute")
    rectified = {name: maps.clamp(min=0) for name, maps in pair(fixed, 2, (1, 6, 8)).items()}
    yield Case(
        {**rectified, "metric": "spearman"}, "maps of which half is 0: equal values share the mean of their ranks"
    )
    flat = {"a": torch.full((1, 2, 5, 5), 0.25), "b": torch.randn(1, 2, 5, 5, generator=fixed)}
    yield Case({**flat, "metric": "spearman"}, "a constant map")
    ordinary = torch.randn(3, 1, 5, 6, generator=fixed)
    one_flat = ordinary.clone()
    one_flat[1] = 2.0
    yield Case({"a": ordinary, "b": one_flat, "metric": "spearman"}, "a constant map beside ordinary ones")
    one_flat = ordinary.sign()
    one_flat[0], one_flat[2] = 0.5, ordinary[0]
    yield Case({"a": one_flat, "b": ordinary, "metric": "spearman_abs"}, "maps of which only the signs vary, absolute")
    yield Case({"a": flat["a"], "b": 3 * flat["a"], "metric": "spearman"}, "two constant maps")
    for metric in sanity_checks.METRICS[:2]:
        yield Case({**pair(generator, 4, (2, 5, 9)), "metric": metric}, f"four images, {metric}")
    drawn = {name: maps.clamp(min=0).exp() for name, maps in pair(generator, 3, (1, 8, 8)).items()}
    yield Case({**drawn, "metric": "spearman"}, "positive maps with ties")


SIMILARITY = Exercise(
    name="similarity",
    reference=similarity,
    cases=_similarity_cases,
    mistakes={
        "of_values": Mistake(
            partial(_compared, alike=_correlated),
            "this is the correlation of the values. A single large pixel decides it: replace the values by their ranks "
            "first.",
        ),
        "sorted_places": Mistake(
            partial(_compared, alike=_sorted_places),
            "argsort gives the places of the pixels in sorted order, not the ranks of the pixels.",
        ),
        "ties_in_order": Mistake(
            partial(_compared, alike=_no_ties),
            "equal values get different ranks in your function, by their place in the image. They share the mean of "
            "their ranks, or two maps with many zeros look alike.",
        ),
        "formula_with_ties": Mistake(
            partial(_compared, alike=_formula),
            "the formula with the sum of squared differences holds if no two values are equal. In general it is the "
            "correlation of the ranks.",
        ),
        "kendall": Mistake(
            partial(_compared, alike=_kendall), "this is Kendall's tau. Spearman's is the correlation of the ranks."
        ),
        "always_absolute": Mistake(
            partial(_compared, before=lambda maps, absolute: maps.sum(1).abs()),
            'you take absolute values with both metrics: only "spearman_abs" does.',
        ),
        "never_absolute": Mistake(
            partial(_compared, before=lambda maps, absolute: maps.sum(1)),
            '"spearman_abs" compares the absolute values; yours gives the same number for both metrics.',
        ),
        "absolute_before_the_sum": Mistake(
            partial(_compared, before=lambda maps, absolute: maps.abs().sum(1) if absolute else maps.sum(1)),
            "you took the absolute values channel by channel and added them up. First the sum over the channels, then "
            "the absolute value.",
        ),
        "absolute_of_the_result": Mistake(
            lambda a, b, metric="spearman": (lambda r: r.abs() if metric == "spearman_abs" else r)(_compared(a, b)),
            "you took the absolute value of the correlation. It is the maps that lose their signs, before they are "
            "ranked.",
        ),
        "channels_apart": Mistake(
            partial(_compared, before=lambda maps, absolute: maps.abs() if absolute else maps),
            "you compared the channels one by one. A map has one value a pixel: the sum over its channels.",
        ),
        "first_channel": Mistake(
            partial(_compared, before=lambda maps, absolute: maps[:, 0].abs() if absolute else maps[:, 0]),
            "you compared the first channel alone. A pixel's value is the sum over its channels.",
        ),
        "all_images_at_once": Mistake(
            lambda a, b, metric="spearman": _compared(
                a.transpose(0, 1).flatten(1, 2)[None], b.transpose(0, 1).flatten(1, 2)[None], metric
            ).expand(len(a)),
            "you compared all images as one large map. Each image has a rank order and a correlation of its own.",
        ),
        "mean": Mistake(
            partial(_compared, finish=lambda values: values.mean()),
            "you returned the mean. One number for each image is asked for.",
        ),
        "distance": Mistake(
            partial(_compared, finish=lambda values: 1 - values),
            "yours is a distance: 0 for equal maps. A similarity is 1 for them.",
        ),
        "mean_distance_of_ranks": Mistake(
            partial(_compared, alike=lambda x, y: float(np.abs(rankdata(x) - rankdata(y)).mean())),
            "you measured how far the ranks lie apart. Their correlation is asked for.",
        ),
    },
    properties=[
        Property(
            "no similarity is above 1 or below -1.", lambda arguments, value: bool((value.abs() < 1 + 1e-6).all())
        ),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# randomize_layer
# ---------------------------------------------------------------------------------------------------------------------

SCALE = 0.1


def randomize_layer(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    """Return a copy of the network in which the named layer has new weights, as the lab asks for them."""
    changed = copy.deepcopy(model)
    _renew(changed.get_submodule(name).parameters(), generator)
    return changed


def _renew(parameters: Iterator[nn.Parameter], generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(SCALE * torch.randn(parameter.shape, generator=generator))


def _destroyed(
    model: nn.Module,
    name: str,
    generator: torch.Generator,
    number: Callable[[Tensor, torch.Generator], Tensor] = lambda p, g: SCALE * torch.randn(p.shape, generator=g),
    chosen: Callable[[nn.Module, str], list[Tensor]] = lambda model, name: list(model.get_submodule(name).parameters()),
) -> nn.Module:
    """Return a copy with new weights, with the pieces open: which parameters, and which numbers they get."""
    changed = copy.deepcopy(model)
    for parameter in chosen(changed, name):
        parameter.data = number(parameter.data, generator)
    return changed


def _names(model: nn.Module) -> list[str]:
    return [name for name, layer in model.named_modules() if list(layer.parameters(recurse=False))]


def _below(model: nn.Module, name: str) -> list[Tensor]:
    """Of the first layer the last one."""
    names = _names(model)
    return list(model.get_submodule(names[names.index(name) - 1]).parameters(recurse=False))


def _from_the_top(model: nn.Module, name: str) -> list[Tensor]:
    names = _names(model)
    above = names[names.index(name) :][::-1]
    return [p for layer in above for p in model.get_submodule(layer).parameters(recurse=False)]


def _shuffled(p: Tensor, generator: torch.Generator) -> Tensor:
    return p.flatten()[torch.randperm(p.numel(), generator=generator)].view(p.shape)


def _layer_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(2)

    def case(source: torch.Generator, kind: str, name: str, note: str, calls: int = 1, training: bool = False) -> Case:
        arguments = {"model": _drawn_network(source, kind, training=training), "name": name}
        return Case({**arguments, "generator": Seed(draw_integer(source, 0, 2**31))}, note, calls=calls)

    names = _names(Network("conv").build())
    yield case(fixed, "conv", names[-1], f"the last layer, {names[-1]!r}")
    yield case(fixed, "conv", names[0], f"the first layer, {names[0]!r}")
    yield case(fixed, "batch_norm_inside", "1.2", "a layer inside of another, without a bias")
    yield case(fixed, "batch_norm_inside", "0.1", "a batch normalization")
    yield case(fixed, "conv", names[1], "two calls with one generator", calls=2)
    yield case(fixed, "many_layers", "1", "a layer '1' that holds others, beside a layer '11'")
    yield case(fixed, "many_layers", "11", "a network in train mode", training=True)
    yield case(generator, "batch_norm_inside", "0.0", "a nested network")
    yield case(generator, "gap", "0", "another network")


RANDOMIZE_LAYER = Exercise(
    name="randomize_layer",
    reference=randomize_layer,
    cases=_layer_cases,
    mistakes={
        "nothing": Mistake(
            lambda model, name, generator: copy.deepcopy(model),
            "your copy has the old weights. A parameter is changed in place, with `copy_` under `torch.no_grad()`, or "
            "by its `.data`; a new name for a tensor changes nothing.",
        ),
        "weight_alone": Mistake(
            partial(
                _destroyed,
                chosen=lambda model, name: [model.get_submodule(name).weight],
            ),
            "the bias of the layer is still the old one. All of its parameters are drawn anew.",
        ),
        "bias_first": Mistake(
            partial(
                _destroyed,
                chosen=lambda model, name: list(model.get_submodule(name).parameters())[::-1],
            ),
            "you draw the bias before the weight. Take the parameters in the order of `layer.parameters()`.",
        ),
        "all_layers": Mistake(
            partial(_destroyed, chosen=lambda model, name: list(model.parameters())),
            "you draw all layers anew. Only the layer of that name loses its weights.",
        ),
        "from_the_top": Mistake(
            partial(_destroyed, chosen=_from_the_top),
            "you draw the layers above anew as well. That is the cascade; here one layer alone loses its weights.",
        ),
        "the_others": Mistake(
            partial(
                _destroyed,
                chosen=lambda model, name: [
                    p
                    for other in _names(model)
                    if other != name
                    for p in model.get_submodule(other).parameters(recurse=False)
                ],
            ),
            "you draw all the other layers anew, and leave the one that is named.",
        ),
        "layer_below": Mistake(
            partial(_destroyed, chosen=_below), "you draw another layer anew than the one that is named."
        ),
        "by_the_beginning_of_the_name": Mistake(
            partial(
                _destroyed,
                chosen=lambda model, name: [p for key, p in model.named_parameters() if key.startswith(name)],
            ),
            "you draw all layers anew whose name begins like that: '1' is also the beginning of '11'.",
        ),
        "inner_layers_left": Mistake(
            partial(
                _destroyed,
                chosen=lambda model, name: list(model.get_submodule(name).parameters(recurse=False)),
            ),
            "a layer may hold other layers: their parameters are among `layer.parameters()`, and are drawn anew, too.",
        ),
        "bias_zero": Mistake(
            partial(
                _destroyed,
                number=lambda p, g: SCALE * torch.randn(p.shape, generator=g) if p.dim() > 1 else torch.zeros_like(p),
            ),
            "you set the biases to 0. They are drawn like the weights.",
        ),
        "hundredth": Mistake(
            partial(_destroyed, number=lambda p, g: SCALE**2 * torch.randn(p.shape, generator=g)),
            "your numbers are ten times too small: the factor is 0.1.",
        ),
        "root_of_the_scale": Mistake(
            partial(_destroyed, number=lambda p, g: SCALE**0.5 * torch.randn(p.shape, generator=g)),
            "your factor is the root of 0.1. It is 0.1 itself, the standard deviation.",
        ),
        "eval_mode": Mistake(
            lambda model, name, generator: _destroyed(model, name, generator).eval(),
            "your copy is in eval mode. Like the network that was given, it should be in train mode.",
            where=lambda case: case.arguments["model"].training,
        ),
        "frozen": Mistake(
            lambda model, name, generator: _destroyed(model, name, generator).requires_grad_(False),
            "the parameters of your copy have lost their requires_grad.",
        ),
        "scale_forgotten": Mistake(
            partial(_destroyed, number=lambda p, g: torch.randn(p.shape, generator=g)),
            "your numbers are ten times too large: the factor 0.1 is missing.",
        ),
        "uniform": Mistake(
            partial(_destroyed, number=lambda p, g: SCALE * torch.rand(p.shape, generator=g)),
            "your numbers are uniform (`torch.rand`); normal ones are asked for (`torch.randn`).",
        ),
        "shuffled": Mistake(
            partial(_destroyed, number=_shuffled),
            "you shuffle the old weights. Their values are still there; new ones are to be drawn.",
        ),
        "zeros": Mistake(
            partial(_destroyed, number=lambda p, g: torch.zeros_like(p)),
            "you set the weights to 0. Then no signal comes through at all; draw new ones.",
        ),
        "noise_added": Mistake(
            partial(_destroyed, number=lambda p, g: p + SCALE * torch.randn(p.shape, generator=g)),
            "you added noise to the old weights. They are still in there: replace them.",
        ),
        "noise_multiplied": Mistake(
            partial(_destroyed, number=lambda p, g: p * SCALE * torch.randn(p.shape, generator=g)),
            "you multiplied the old weights by noise. They are still in there: replace them.",
        ),
        "train_mode": Mistake(
            lambda model, name, generator: _destroyed(model, name, generator).train(),
            "your copy is in train mode. Like the network that was given, it should be in eval mode.",
            where=lambda case: not case.arguments["model"].training,
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# cascading_randomization
# ---------------------------------------------------------------------------------------------------------------------

Copies = dict[str, nn.Module]


def cascading_randomization(model: nn.Module, generator: torch.Generator) -> Copies:
    """Return {name: copy} for each layer, the last one first: one layer more is destroyed in each copy."""
    copies, now = {}, model
    for name in _names(model)[::-1]:
        now = copy.deepcopy(now)
        _renew(now.get_submodule(name).parameters(recurse=False), generator)
        copies[name] = now
    return copies


def _in_cascade(
    model: nn.Module,
    generator: torch.Generator,
    order: Callable[[list[str]], list[str]] = lambda names: names[::-1],
    fresh: bool = False,
    before: bool = False,
    shared: bool = False,
    weight_alone: bool = False,
    scale: float = SCALE,
    restart: bool = False,
) -> Copies:
    """Return the copies, with the pieces open: the order, what each copy starts from, when it is kept."""
    copies, now = {}, copy.deepcopy(model)
    for name in order(_names(model)):
        now = copy.deepcopy(model) if fresh else now if shared else copy.deepcopy(now)
        if before:
            copies[name] = copy.deepcopy(now)
        if restart:
            generator = generator.clone_state() if not copies else generator.manual_seed(generator.initial_seed())
        layer = now.get_submodule(name)
        for parameter in [layer.weight] if weight_alone else layer.parameters(recurse=False):
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
        if not before:
            copies[name] = now
    return copies


def _same_numbers(model: nn.Module, generator: torch.Generator) -> Copies:
    """Destroy each copy from the start, and draw anew for the layers that were destroyed before."""
    names, copies = _names(model)[::-1], {}
    for k in range(len(names)):
        now = copy.deepcopy(model)
        for name in names[: k + 1]:
            _renew(now.get_submodule(name).parameters(recurse=False), generator)
        copies[names[k]] = now
    return copies


def _cascade_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(3)

    def case(source: torch.Generator, kind: str, note: str) -> Case:
        network = _drawn_network(source, kind)
        return Case({"model": network, "generator": Seed(draw_integer(source, 0, 2**31))}, note)

    yield case(fixed, "conv", "a plain network")
    yield case(fixed, "batch_norm_inside", "layers inside of layers")
    yield case(fixed, "many_layers", "fourteen layers, one with a parameter and layers of its own")
    yield case(generator, "gap", "another network")
    yield case(generator, "inplace", "a network with ReLUs in place")
    yield case(generator, "batch_norm_inside", "a nested network, other weights")


CASCADING_RANDOMIZATION = Exercise(
    name="cascading_randomization",
    reference=cascading_randomization,
    cases=_cascade_cases,
    mistakes={
        "from_the_input": Mistake(
            partial(_in_cascade, order=lambda names: names),
            "you begin at the input. The cascade begins at the output: the first copy has a new last layer.",
        ),
        "independent": Mistake(
            partial(_in_cascade, fresh=True),
            "in each of your copies one layer alone is destroyed. In the cascade the layers above stay destroyed.",
        ),
        "one_network": Mistake(
            partial(_in_cascade, shared=True),
            "your dict holds one and the same network several times, destroyed all the way in the end. Each name needs "
            "a copy of its own.",
        ),
        "one_step_late": Mistake(
            partial(_in_cascade, before=True),
            "your copies are one step late: the network beside a name must have new weights in that layer already.",
        ),
        "drawn_again": Mistake(
            _same_numbers,
            "the layers that were destroyed before get other weights in each of your copies. In the cascade they keep "
            "those that they got.",
        ),
        "biases_left": Mistake(
            partial(_in_cascade, weight_alone=True), "the biases are still the old ones: all parameters are drawn anew."
        ),
        "last_layer_left": Mistake(
            partial(_in_cascade, order=lambda names: names[-2::-1]),
            "the last layer, which gives the scores, is missing: the cascade begins with it.",
        ),
        "first_layer_left": Mistake(
            partial(_in_cascade, order=lambda names: names[:0:-1]),
            "the first layer is missing: the last copy has no old weights at all.",
        ),
        "original_first": Mistake(
            lambda model, generator: {"": copy.deepcopy(model), **_in_cascade(model, generator)},
            "you have a network too many: the network as it was is none of the copies.",
        ),
        "scale_forgotten": Mistake(
            partial(_in_cascade, scale=1.0), "your numbers are ten times too large: the factor 0.1 is missing."
        ),
        "same_numbers_in_each_layer": Mistake(
            partial(_in_cascade, restart=True),
            "your generator starts anew for each layer, so that all layers get the same numbers. Let it go on.",
        ),
        "names_in_the_order_of_the_alphabet": Mistake(
            partial(_in_cascade, order=lambda names: sorted(names, reverse=True)),
            "you sorted the names as texts, where '13' comes before '2'. Take the layers in the order of "
            "`named_modules()`, reversed.",
        ),
        "names_of_the_layers_above": Mistake(
            lambda model, generator: dict(
                zip(_names(model), list(_in_cascade(model, generator).values()), strict=True)
            ),
            "your names run in the other direction than your copies: each name is that of the layer that was destroyed "
            "last.",
        ),
    },
    properties=[
        Property(
            "the dict begins with the last layer and ends with the first one.",
            lambda arguments, value: list(value) == _names(arguments["model"])[::-1],
        ),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# sanity_curve
# ---------------------------------------------------------------------------------------------------------------------

Explain = sanity_checks.Explain


def sanity_curve(
    model: nn.Module, copies: Copies, explain: Explain, inputs: Tensor, target: Tensor, metric: str = "spearman"
) -> dict[str, float]:
    """Return {name: mean similarity of the copy's maps to the model's}, as the lab asks for it."""
    before = explain(model, inputs, target)
    return {
        name: float(sanity_checks.similarity(before, explain(changed, inputs, target), metric).mean())
        for name, changed in copies.items()
    }


def _curve(
    model: nn.Module,
    copies: Copies,
    explain: Explain,
    inputs: Tensor,
    target: Tensor,
    metric: str = "spearman",
    alike: Callable[[Tensor, Tensor, str], float] = lambda a, b, metric: float(_compared(a, b, metric).mean()),
    asked: Callable[[nn.Module, Tensor, Tensor], Tensor] = lambda network, inputs, target: target,
    previous: bool = False,
) -> dict[str, float]:
    """Return the curve, with the pieces open: how maps are compared, for which class, with which other maps."""
    before, curve = explain(model, inputs, asked(model, inputs, target)), {}
    for name, changed in copies.items():
        after = explain(changed, inputs, asked(changed, inputs, target))
        curve[name] = alike(before, after, metric)
        before = after if previous else before
    return curve


def _predicted(network: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        return network(inputs).argmax(1)


def _of_mean_maps(a: Tensor, b: Tensor, metric: str) -> float:
    return float(_compared(a.mean(0, keepdim=True), b.mean(0, keepdim=True), metric))


def _curve_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(4)

    def case(source: torch.Generator, kind: str, method: str, n: int, note: str, **options: Any) -> Case:
        shape = (3, 8, 8)
        copies = {f"layer {k}": _drawn_network(source, kind, shape) for k in range(3)}
        arguments = {
            "model": _drawn_network(source, kind, shape),
            "copies": copies,
            "explain": Method(method),
            "inputs": torch.rand(n, *shape, generator=source),
            "target": torch.randperm(5, generator=source)[:n],
        }
        # A tie that rounding breaks moves a rank by one: far below a thousandth of a correlation of 64 pixels.
        return Case({**arguments, **options}, note, tolerance=1e-3)

    yield case(fixed, "conv", "gradient", 4, "the gradient, four images")
    yield case(fixed, "conv", "gradient_x_input", 3, "gradient times input, absolute values", metric="spearman_abs")
    yield case(fixed, "conv", "inputs", 2, "a method that looks at no model")
    yield case(generator, "batch_norm_inside", "square", 5, "squared gradients, five images")
    yield case(generator, "gap", "gradient_x_input", 4, "gradient times input, another network")


SANITY_CURVE = Exercise(
    name="sanity_curve",
    reference=sanity_curve,
    cases=_curve_cases,
    mistakes={
        "to_the_previous": Mistake(
            partial(_curve, previous=True),
            "you compare each copy with the copy before. All are compared with the network as it was.",
        ),
        "predicted_class": Mistake(
            partial(_curve, asked=_predicted),
            "you explain the class that each network predicts. Both maps must be about the same class, `target`.",
        ),
        "predicted_by_the_model": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": _curve(
                model, copies, explain, inputs, _predicted(model, inputs, target), metric
            ),
            "you explain the class that the network predicts. Explain the class that is given, `target`.",
        ),
        "predicted_by_the_copy": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": {
                name: float(
                    _compared(
                        explain(model, inputs, target), explain(net, inputs, _predicted(net, inputs, target)), metric
                    ).mean()
                )
                for name, net in copies.items()
            },
            "on the copies you explain the class that they predict. Both maps must be about the same class, `target`.",
        ),
        "absolute_always": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": _curve(
                model, copies, explain, inputs, target, "spearman_abs"
            ),
            "`metric` never reaches `similarity`: yours compares absolute values always.",
        ),
        "last_copy_always": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": dict.fromkeys(
                copies, list(_curve(model, copies, explain, inputs, target, metric).values())[-1]
            ),
            "all your numbers are those of the last copy. Is the right network explained in each round?",
        ),
        "class_zero": Mistake(
            partial(_curve, asked=lambda network, inputs, target: torch.zeros_like(target)),
            "you explain class 0, whatever `target` says.",
        ),
        "signed_always": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": _curve(
                model, copies, explain, inputs, target
            ),
            "`metric` never reaches `similarity`.",
        ),
        "of_mean_maps": Mistake(
            partial(_curve, alike=_of_mean_maps),
            "you averaged the maps of all images and compared the two averages. Compare image by image, then average.",
        ),
        "first_image": Mistake(
            partial(_curve, alike=lambda a, b, metric: float(_compared(a, b, metric)[0])),
            "you return the first image's similarity. The mean over all images is asked for.",
        ),
        "sum": Mistake(
            partial(_curve, alike=lambda a, b, metric: float(_compared(a, b, metric).sum())),
            "you added the images up. The mean over them is asked for.",
        ),
        "median": Mistake(
            partial(_curve, alike=lambda a, b, metric: float(_compared(a, b, metric).median())),
            "you took the median. The mean over the images is asked for.",
        ),
        "distance": Mistake(
            partial(_curve, alike=lambda a, b, metric: 1 - float(_compared(a, b, metric).mean())),
            "your curve is a distance, which rises. A similarity is asked for, which falls.",
        ),
        "absolute_mean": Mistake(
            partial(_curve, alike=lambda a, b, metric: float(_compared(a, b, metric).abs().mean())),
            "you averaged the absolute values of the similarities: then even noise has a similarity above 0.",
        ),
        "with_itself": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": dict.fromkeys(copies, 1.0),
            "your curve is 1 everywhere: you compare the network's maps with themselves.",
        ),
        "reversed": Mistake(
            lambda model, copies, explain, inputs, target, metric="spearman": dict(
                zip(
                    copies,
                    list(_curve(model, copies, explain, inputs, target, metric).values())[::-1],
                    strict=True,
                )
            ),
            "your names and your numbers run in opposite directions.",
        ),
    },
    properties=[
        Property(
            "your dict has the order of `copies`.", lambda arguments, value: list(value) == list(arguments["copies"])
        ),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# Labels at random: a choice
# ---------------------------------------------------------------------------------------------------------------------

RANDOM_LABELS = ValueExercise(
    name="random_labels",
    expected="not about the classes",
    choices=("not about the classes", "both look at the object", "second learnt", "first by heart", "nothing"),
    mistakes={
        "both_look": Mistake(
            "both look at the object",
            "that would be a claim about the networks, and its only witness is the method on trial. A network that "
            "learnt names by heart has no reason to look at what makes a cup a cup.",
        ),
        "learnt_after_all": Mistake(
            "second learnt", "it is right about 9 % of unseen images of ten classes: that is guessing."
        ),
        "by_heart": Mistake(
            "first by heart",
            "it is right about 99 % of images that it has never seen: that cannot be had by heart.",
        ),
        "nothing": Mistake(
            "nothing",
            "the two functions differ as much as two can: look at the unseen images. A map that is the same for both "
            "cannot be about that difference.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# pointing_game and relevance_mass
# ---------------------------------------------------------------------------------------------------------------------


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Say of each map whether its highest pixel lies in the mask: 1 or 0, (N,)."""
    return evaluation.pointing_game(maps, masks)


def relevance_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """Give the share of each map's positive values that lies in the mask, (N,)."""
    return evaluation.relevance_mass(maps, masks)


def _pointed(
    maps: Tensor,
    masks: Tensor,
    pixel: Callable[[Tensor], Tensor] = lambda maps: maps.sum(1),
    best: Callable[[Tensor], Tensor] = lambda flat: flat.argmax(1),
) -> Tensor:
    places = best(pixel(maps).flatten(1))
    return masks.flatten(1)[torch.arange(len(masks)), places].double()


def _mass(
    maps: Tensor,
    masks: Tensor,
    pixel: Callable[[Tensor], Tensor] = lambda maps: maps.sum(1),
    value: Callable[[Tensor], Tensor] = lambda flat: flat.clamp(min=0),
    share: Callable[[Tensor, Tensor], Tensor] = lambda flat, inside: (flat * inside).sum(1) / flat.sum(1),
    empty: float | None = None,
) -> Tensor:
    flat, inside = value(pixel(maps.double()).flatten(1)), masks.flatten(1).double()
    found = share(flat, inside)
    area = inside.mean(1) if empty is None else torch.full_like(found, empty)
    return torch.where((flat > 0).any(1), found, area)


def _maps_and_masks(source: torch.Generator, n: int, shape: tuple[int, int, int]) -> dict[str, Tensor]:
    masks = torch.rand(n, *shape[1:], generator=source) < 0.4
    masks[:, 0, 0], masks[:, -1, -1] = True, False
    return {"maps": torch.randn(n, *shape, generator=source), "masks": masks}


def _pointing_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(5)
    yield Case(_maps_and_masks(fixed, 12, (3, 6, 6)), "twelve images")
    yield Case(_maps_and_masks(fixed, 1, (1, 5, 9)), "a single image of one channel")
    negative = _maps_and_masks(fixed, 10, (1, 6, 6))
    yield Case({**negative, "maps": -negative["maps"].abs()}, "maps without a positive value")
    yield Case(_maps_and_masks(generator, 16, (2, 7, 5)), "sixteen images")
    yield Case(_maps_and_masks(generator, 16, (3, 8, 8)), "sixteen other images")


POINTING_GAME = Exercise(
    name="pointing_game",
    reference=pointing_game,
    cases=_pointing_cases,
    mistakes={
        "by_size": Mistake(
            partial(_pointed, best=lambda flat: flat.abs().argmax(1)),
            "you look for the largest absolute value. The highest pixel is the one that speaks most FOR the class.",
        ),
        "lowest": Mistake(partial(_pointed, best=lambda flat: flat.argmin(1)), "you look for the lowest pixel."),
        "largest_channel": Mistake(
            partial(_pointed, pixel=lambda maps: maps.amax(1)),
            "you took the largest channel of each pixel. A pixel's value is the sum over its channels.",
        ),
        "first_channel": Mistake(
            partial(_pointed, pixel=lambda maps: maps[:, 0]),
            "you look at the first channel. A pixel's value is the sum over its channels.",
        ),
        "sizes_added_up": Mistake(
            partial(_pointed, pixel=lambda maps: maps.abs().sum(1)),
            "you added up magnitudes over the channels. A pixel's value is the sum, with signs.",
        ),
        "misses": Mistake(
            lambda maps, masks: 1 - _pointed(maps, masks), "you count the misses: 1 stands for a hit, inside the mask."
        ),
        "mean": Mistake(
            lambda maps, masks: _pointed(maps, masks).mean(), "you returned the mean. One number an image is asked for."
        ),
        "truths": Mistake(
            lambda maps, masks: _pointed(maps, masks).bool(),
            "your answer holds truths. Numbers are asked for: 1.0 for a hit, 0.0 for a miss, in double.",
        ),
        "first_mask": Mistake(
            lambda maps, masks: _pointed(maps, masks[:1].expand_as(masks)),
            "you compare all images with the mask of the first one.",
        ),
        "one_peak_for_all": Mistake(
            lambda maps, masks: _pointed(maps.mean(0, keepdim=True).expand_as(maps), masks),
            "you look for one highest pixel for all images. Each map has its own.",
        ),
    },
)


def _all_point_somewhere(case: Case) -> bool:
    """Say whether each map has a positive value: elsewhere the wrong answers differ in what they make of 0 / 0."""
    return bool((case.arguments["maps"].sum(1) > 0).flatten(1).any(1).all())


def _mass_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(6)
    yield Case(_maps_and_masks(fixed, 4, (3, 6, 6)), "four images")
    yield Case(_maps_and_masks(fixed, 1, (1, 5, 9)), "a single image of one channel")
    negative = _maps_and_masks(fixed, 2, (1, 6, 6))
    one = negative["maps"].clone()
    one[0] = -one[0].abs()
    yield Case({**negative, "maps": one}, "a map without a positive value beside an ordinary one")
    split = _maps_and_masks(fixed, 3, (2, 5, 5))
    split["maps"][1, 0], split["maps"][1, 1] = split["maps"][1, 0].abs(), -2 - split["maps"][1, 0].abs()
    yield Case(split, "a map whose channels are positive one by one, and not in sum")
    tiny = _maps_and_masks(fixed, 3, (1, 6, 5))
    yield Case({**tiny, "maps": 1e-9 * tiny["maps"]}, "maps of very small values")
    yield Case(_maps_and_masks(generator, 5, (2, 7, 5)), "five images")
    yield Case(_maps_and_masks(generator, 3, (3, 8, 8)), "three images")


RELEVANCE_MASS = Exercise(
    name="relevance_mass",
    reference=relevance_mass,
    cases=_mass_cases,
    mistakes={
        "with_signs": Mistake(
            partial(_mass, value=lambda flat: flat),
            "you divided sums with signs: positive and negative values cancel, and the share may be anything. Only the "
            "positive values count.",
            where=_all_point_somewhere,
        ),
        "by_size": Mistake(
            partial(_mass, value=lambda flat: flat.abs()),
            "you took absolute values. What speaks against the class counts 0 here.",
            where=_all_point_somewhere,
        ),
        "positive_before_the_sum": Mistake(
            partial(_mass, pixel=lambda maps: maps.clamp(min=0).sum(1)),
            "you cut off the negative values channel by channel. First the sum over the channels, then the cut.",
            where=_all_point_somewhere,
        ),
        "first_channel": Mistake(
            partial(_mass, pixel=lambda maps: maps[:, 0]),
            "you look at the first channel. A pixel's value is the sum over its channels.",
            where=_all_point_somewhere,
        ),
        "outside": Mistake(
            partial(_mass, share=lambda flat, inside: (flat * (1 - inside)).sum(1) / flat.sum(1)),
            "this is the share outside of the mask.",
            where=_all_point_somewhere,
        ),
        "of_pixels": Mistake(
            partial(_mass, share=lambda flat, inside: ((flat > 0) * inside).sum(1) / (flat > 0).sum(1)),
            "you counted pixels. Each one counts by its value.",
            where=_all_point_somewhere,
        ),
        "share_of_the_mask": Mistake(
            partial(_mass, share=lambda flat, inside: (flat * inside).sum(1) / inside.sum(1)),
            "you divided by the number of pixels of the mask. Divide by the sum of all positive values.",
            where=_all_point_somewhere,
        ),
        "of_means": Mistake(
            partial(
                _mass,
                share=lambda flat, inside: (lambda a, b: a / (a + b))(
                    (flat * inside).sum(1) / inside.sum(1), (flat * (1 - inside)).sum(1) / (1 - inside).sum(1)
                ),
            ),
            "you compared means. It is a share of the sum.",
            where=_all_point_somewhere,
        ),
        "nothing_is_zero": Mistake(
            partial(_mass, empty=0.0),
            "a map without positive values points nowhere; it scores the mask's share of the area, as a constant map.",
        ),
        "all_images_at_once": Mistake(
            partial(_mass, share=lambda flat, inside: ((flat * inside).sum() / flat.sum()).expand(len(flat)).clone()),
            "you added all images up. Each image has a share of its own.",
            where=_all_point_somewhere,
        ),
        "mean": Mistake(
            lambda maps, masks: _mass(maps, masks).mean(),
            "you returned the mean. One number an image is asked for.",
            where=_all_point_somewhere,
        ),
    },
    properties=[
        Property(
            "each share is between 0 and 1.",
            lambda arguments, value: bool(((value > -1e-6) & (value < 1 + 1e-6)).all()),
        ),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# insertion_curve
# ---------------------------------------------------------------------------------------------------------------------


def insertion_curve(
    model: nn.Module, inputs: Tensor, target: Tensor, maps: Tensor, n_steps: int = 8, baselines: float = 0.5
) -> Tensor:
    """Return the target's probability while the pixels come in, the highest first: (N, n_steps + 1)."""
    curve = evaluation.insertion_curve(model, inputs, target, maps, n_steps=n_steps, baselines=baselines)[1]
    return curve.to(inputs.dtype)


def _probability(logits: Tensor, target: Tensor) -> Tensor:
    return logits.softmax(1)[torch.arange(len(logits)), target]


def _inserted(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    maps: Tensor,
    n_steps: int = 8,
    baselines: float = 0.5,
    pixel: Callable[[Tensor], Tensor] = lambda maps: maps.sum(1),
    key: Callable[[Tensor], Tensor] = lambda flat: -flat,
    number: Callable[[int, int, int], int] = lambda k, n_steps, n_pixels: round(k * n_pixels / n_steps),
    score: Callable[[Tensor, Tensor], Tensor] = _probability,
    deletion: bool = False,
    finish: Callable[[Tensor], Tensor] = lambda curve: curve,
) -> Tensor:
    """Return a curve with its pieces open: what ranks the pixels, how many are in, and what is read off."""
    order = key(pixel(maps).flatten(1)).argsort(dim=1, stable=True).argsort(1)
    blank, points = torch.full_like(inputs, baselines), []
    for k in range(n_steps + 1):
        chosen = (order < number(k, n_steps, order.shape[1])).view(len(inputs), 1, *inputs.shape[2:])
        first, second = (blank, inputs) if deletion else (inputs, blank)
        with torch.no_grad():
            points.append(score(model(torch.where(chosen, first, second)), target))
    return finish(torch.stack(points, 1))


def _steps_alone(
    model: nn.Module, inputs: Tensor, target: Tensor, maps: Tensor, n_steps: int, baselines: float
) -> Tensor:
    """Put in the pixels of one step at a time."""
    order = (-maps.sum(1).flatten(1)).argsort(dim=1).argsort(1)
    ends = [round(k * order.shape[1] / n_steps) for k in range(n_steps + 1)]
    points = []
    for first, last in zip([0, *ends], ends, strict=False):
        here = ((order >= first) & (order < last)).view(len(inputs), 1, *inputs.shape[2:])
        with torch.no_grad():
            points.append(_probability(model(torch.where(here, inputs, baselines)), target))
    return torch.stack(points, 1)


def _insertion_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(7)

    def case(
        source: torch.Generator, kind: str, n: int, shape: tuple[int, int, int], note: str, **options: Any
    ) -> Case:
        arguments = {
            "model": _drawn_network(source, kind, shape),
            "inputs": torch.rand(n, *shape, generator=source),
            "target": torch.randperm(5, generator=source)[:n],
            "maps": torch.randn(n, *shape, generator=source),
        }
        return Case({**arguments, **options}, note + "".join(f", {key} = {value:g}" for key, value in options.items()))

    yield case(fixed, "conv", 3, (3, 8, 8), "three images", n_steps=4, baselines=0.0)
    yield case(fixed, "conv", 2, (1, 6, 8), "two images, no steps and no baselines given")
    yield case(fixed, "gap", 2, (3, 6, 6), "steps that do not divide the number of pixels", n_steps=5, baselines=1.0)
    yield case(generator, "inplace", 3, (3, 8, 6), "three other images", n_steps=6, baselines=0.25)
    yield case(generator, "conv", 2, (2, 8, 8), "two other images", n_steps=64, baselines=0.5)


INSERTION_CURVE = Exercise(
    name="insertion_curve",
    reference=insertion_curve,
    cases=_insertion_cases,
    mistakes={
        "deletion": Mistake(
            partial(_inserted, deletion=True),
            "this is deletion: it begins with the whole image. Insertion begins with the blank one.",
        ),
        "lowest_first": Mistake(
            partial(_inserted, key=lambda flat: flat),
            "the lowest pixels come in first. The question is whether those that were named first are enough.",
        ),
        "by_size": Mistake(
            partial(_inserted, key=lambda flat: -flat.abs()),
            "you rank by absolute values. A pixel that speaks against the class comes last.",
        ),
        "channels_apart": Mistake(
            partial(_inserted, pixel=lambda maps: maps.abs().sum(1)),
            "you added up the magnitudes of the channels. A pixel's value is the sum, with signs.",
        ),
        "first_channel": Mistake(
            partial(_inserted, pixel=lambda maps: maps[:, 0]),
            "you rank by the first channel. A pixel's value is the sum over its channels.",
        ),
        "one_order_for_all": Mistake(
            lambda model, inputs, target, maps, n_steps=8, baselines=0.5: _inserted(
                model, inputs, target, maps.mean(0, keepdim=True).expand_as(maps), n_steps, baselines
            ),
            "all your images have one order. Each image has an order of its own.",
        ),
        "sorted_places": Mistake(
            partial(_inserted, key=lambda flat: flat.argsort(dim=1, descending=True)),
            "`argsort` gives the places in sorted order, not the number of each place in the order: it takes a second "
            "`argsort` for that.",
        ),
        "largest_channel": Mistake(
            partial(_inserted, pixel=lambda maps: maps.amax(1)),
            "you rank a pixel by its largest channel. Its value is the sum of its channels.",
        ),
        "logarithm": Mistake(
            partial(_inserted, score=lambda logits, target: logits.log_softmax(1)[torch.arange(len(logits)), target]),
            "you follow the logarithm of the probability.",
        ),
        "sigmoid": Mistake(
            partial(_inserted, score=lambda logits, target: logits.sigmoid()[torch.arange(len(logits)), target]),
            "you used a sigmoid of the score alone. The probability comes from a softmax over all classes.",
        ),
        "class_of_the_whole_image": Mistake(
            lambda model, inputs, target, maps, n_steps=8, baselines=0.5: _inserted(
                model, inputs, _predicted(model, inputs, target), maps, n_steps, baselines
            ),
            "you follow the class that the network predicts. It is that of `target`.",
        ),
        "not_kept": Mistake(
            lambda model, inputs, target, maps, n_steps=8, baselines=0.5: _steps_alone(
                model, inputs, target, maps, n_steps, baselines
            ),
            "your pixels do not stay: at each step only those of this step are in.",
        ),
        "row_by_row": Mistake(
            partial(_inserted, key=lambda flat: torch.arange(flat.shape[1]).expand_as(flat)),
            "the pixels come in row by row: the maps play no part.",
        ),
        "score_for_probability": Mistake(
            partial(_inserted, score=lambda logits, target: logits[torch.arange(len(logits)), target]),
            "you follow the score. The curve shows the probability, after a softmax.",
        ),
        "predicted_class": Mistake(
            partial(_inserted, score=lambda logits, target: logits.softmax(1).amax(1)),
            "you follow the highest probability, of whatever class. It is that of `target`.",
        ),
        "baseline_grey": Mistake(
            lambda model, inputs, target, maps, n_steps=8, baselines=0.5: _inserted(
                model, inputs, target, maps, n_steps, 0.5
            ),
            "your blank image is grey always: `baselines` says what it is.",
        ),
        "baseline_black": Mistake(
            lambda model, inputs, target, maps, n_steps=8, baselines=0.5: _inserted(
                model, inputs, target, maps, n_steps, 0.0
            ),
            "your blank image is black always: `baselines` says what it is.",
        ),
        "first_point_missing": Mistake(
            partial(_inserted, finish=lambda curve: curve[:, 1:]),
            "the first point is missing, the blank image: there are n_steps + 1 points.",
        ),
        "last_point_missing": Mistake(
            partial(_inserted, finish=lambda curve: curve[:, :-1]),
            "the last point is missing, the whole image: there are n_steps + 1 points.",
        ),
        "reversed": Mistake(
            partial(_inserted, finish=lambda curve: curve.flip(1)),
            "your curve runs backwards: at step 0 nothing is in.",
        ),
        "rounded_down": Mistake(
            partial(_inserted, number=lambda k, n_steps, n_pixels: k * n_pixels // n_steps),
            "you cut off k H W / n instead of rounding it.",
        ),
        "mean": Mistake(
            partial(_inserted, finish=lambda curve: curve.mean(0)),
            "you averaged over the images. Each image has a curve of its own.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# The verdict on five methods
# ---------------------------------------------------------------------------------------------------------------------


def _trained_elsewhere(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    """Explain the course's own trained network, whatever network is given."""
    return gm.integrated_gradients(models.load("zoo"), inputs, target, 0.5, n_steps=8)


def _dressed_edges(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    """Edges with the sign of the local contrast, so that they look like an attribution."""
    grey = inputs.mean(1, keepdim=True)
    around = nn.functional.avg_pool2d(grey, 9, 1, 4, count_include_pad=False)
    return evaluation.edge_map(inputs).unsqueeze(1) * (grey - around).sign() * (1 + 0.01 * target.view(-1, 1, 1, 1))


# Five methods for networks that are built like "zoo" (layer "10" follows the last convolution).
LINE_UP: dict[str, sanity_checks.Explain] = {
    "A": lambda model, inputs, target: gm.gradient(model, inputs, target),
    "B": _trained_elsewhere,
    "C": lambda model, inputs, target: gm.upsample(gm.grad_cam(model, inputs, target, "10"), inputs.shape[2:]),
    "D": _dressed_edges,
    "E": lambda model, inputs, target: gm.integrated_gradients(model, inputs, target, 0.5, n_steps=8),
}


FRAUDS = ValueExercise(
    name="frauds",
    expected=frozenset({"B", "D"}),
    choices=tuple(LINE_UP),
    mistakes={
        "best_by_the_truth_is_honest": Mistake(
            frozenset({"D"}),
            "there is one more. Good scores against the truth are no alibi: whose network does that map explain? Look "
            "at its curve.",
        ),
        "edges_overlooked": Mistake(
            frozenset({"B"}), "there is one more, which has never asked a network anything. Look at all five curves."
        ),
        "lowest_scores": Mistake(
            frozenset({"A"}),
            "a poor score against the truth is no fraud: the method may show that the network does not look where we "
            "would. A fraud is a map that does not change when the network does.",
        ),
        "the_three_others": Mistake(
            frozenset({"A", "C", "E"}), "the other way round: the honest ones are those whose maps fall apart."
        ),
        "all_with_high_scores": Mistake(
            frozenset({"B", "D", "E"}),
            "you accuse one too many. Two methods may agree on the trained network; look at what becomes of each on "
            "the destroyed ones.",
        ),
        "nobody": Mistake(frozenset(), "there are frauds: look for curves that do not fall."),
        "twins": Mistake(
            frozenset({"B", "E"}),
            "they agree on the trained network, but only one of them keeps its map when the network is destroyed; and "
            "there is one more fraud.",
        ),
        "twin_and_edges": Mistake(
            frozenset({"D", "E"}),
            "one is right. The other agrees with a fraud on the trained network; its own curve falls.",
        ),
        "coarse": Mistake(
            frozenset({"B", "C", "D"}),
            "you accuse one too many: a coarse map keeps some similarity by chance, at one depth or another. Is its "
            "curve 1 at every depth?",
        ),
    },
)

EXERCISES = [
    SPEARMAN_BY_HAND,
    SIMILARITY,
    RANDOMIZE_LAYER,
    CASCADING_RANDOMIZATION,
    SANITY_CURVE,
    RANDOM_LABELS,
    POINTING_GAME,
    RELEVANCE_MASS,
    INSERTION_CURVE,
    FRAUDS,
]
