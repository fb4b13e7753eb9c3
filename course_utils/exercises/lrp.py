"""The exercises of unit 07: layer-wise relevance propagation, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_share` with the whole table of products a_j w_jk, `_four_steps`
with autograd, `_walk` over a network), which are independent of the references in ``course_utils.lrp``. In the hints,
as in the lab: a_j are the activations that enter a layer, w_jk its weights, b_k its biases, R_k the relevance of its
outputs, z_k, s_k, c_j the numbers of the four steps, R_j the relevance of its inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils import evaluation, lrp
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    Relation,
    ValueExercise,
    draw_integer,
    register_network,
)

Target = int | Tensor

# ---------------------------------------------------------------------------------------------------------------------
# Descriptions: rules, single layers and networks
# ---------------------------------------------------------------------------------------------------------------------

RULES: dict[str, type[lrp.Rule]] = {
    "epsilon": lrp.Epsilon,
    "gamma": lrp.Gamma,
    "z+": lrp.ZPlus,
    "alpha-beta": lrp.AlphaBeta,
    "z-box": lrp.ZBox,
}


@dataclass(frozen=True)
class RuleOf:
    """The description of a rule: a key of ``RULES`` and its numbers, in the order of the rule's own arguments."""

    kind: str
    numbers: tuple[float, ...] = ()

    def build(self) -> lrp.Rule:
        """Return the rule."""
        return RULES[self.kind](*self.numbers)


@dataclass(frozen=True)
class RulesOf:
    """The description of a dict layer name -> rule."""

    rules: tuple[tuple[str, RuleOf], ...]

    def build(self) -> dict[str, lrp.Rule]:
        """Return a new dict."""
        return {name: rule.build() for name, rule in self.rules}


@dataclass(frozen=True)
class DenseOf:
    """The description of a dense layer whose numbers are chosen: weight (K, J), bias (K,)."""

    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def build(self) -> nn.Linear:
        """Return the layer."""
        return _as_linear(torch.tensor(self.weight), torch.tensor(self.bias))


# Single layers, for `propagate`: (C, H, W) is the shape of what enters, and n_classes the number of outputs or maps.
register_network("dense_layer")(lambda shape, n_classes: nn.Linear(shape[0], n_classes))
register_network("dense_layer_without_bias")(lambda shape, n_classes: nn.Linear(shape[0], n_classes, bias=False))
register_network("conv_layer")(lambda shape, n_classes: nn.Conv2d(shape[0], n_classes, 3, padding=1))
register_network("strided_conv_layer")(lambda shape, n_classes: nn.Conv2d(shape[0], n_classes, (3, 2), stride=2))
register_network("grouped_conv_layer")(
    lambda shape, n_classes: nn.Conv2d(shape[0], n_classes, 3, padding=1, dilation=2, groups=2)
)
register_network("max_pool_layer")(lambda shape, n_classes: nn.MaxPool2d(2))
register_network("overlapping_max_pool_layer")(lambda shape, n_classes: nn.MaxPool2d(3, stride=2, padding=1))
register_network("average_pool_layer")(lambda shape, n_classes: nn.AvgPool2d(2))
register_network("overlapping_average_pool_layer")(lambda shape, n_classes: nn.AvgPool2d(3, stride=2, padding=1))
register_network("adaptive_pool_layer")(lambda shape, n_classes: nn.AdaptiveAvgPool2d(1))
register_network("relu_layer")(lambda shape, n_classes: nn.ReLU())
register_network("flatten_layer")(lambda shape, n_classes: nn.Flatten())
register_network("dropout_layer")(lambda shape, n_classes: nn.Dropout(0.5))


@register_network("deep")
def _deep(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Return two blocks of convolution, in-place ReLU and pooling, and two dense layers behind dropout."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8 * (height // 4) * (width // 4), 10),
        nn.ReLU(),
        nn.Linear(10, n_classes),
    )


@register_network("batch_norm")
def _batch_norm(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Return convolutions with batch norm, whose running statistics are not 0 and 1, and a global average pool."""
    model = nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, n_classes),
    )
    for norm in (model[1], model[4]):
        norm.running_mean.copy_(torch.linspace(-0.4, 0.3, norm.num_features))
        norm.running_var.copy_(torch.linspace(0.02, 0.12, norm.num_features))
    return model


@register_network("without_bias")
def _without_bias(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Return a network without a bias, in which LRP-0 loses nothing."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * (height // 2) * (width // 2), 8, bias=False),
        nn.ReLU(),
        nn.Linear(8, n_classes, bias=False),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Worked by hand
# ---------------------------------------------------------------------------------------------------------------------

# Inputs (2, 1); weights (2, 3) of the hidden neurons (1, 1), (2, -1), (-1, 1); y = 2 h_1 + h_2 + 5 h_3; no biases.
# z_1 z_2 z_3, s_1 s_2 s_3, c_1 c_2, R_1 R_2 of the lower layer by LRP-0, where R_k = (6, 3, 0).
FOUR_STEPS = ValueExercise(
    name="four_steps",
    expected=(3.0, 3.0, -1.0, 2.0, 1.0, 0.0, 4.0, 1.0, 8.0, 1.0),
    mistakes={
        "dead_neuron_counts": Mistake(
            (3.0, 3.0, -1.0, 2.0, 1.0, 5.0, -1.0, 6.0, -2.0, 6.0),
            "the third hidden neuron is dead: its activation is max(0, z_3) = 0, so its relevance is 0 * 5, and s_3 "
            "= 0.",
        ),
        "relu_on_z": Mistake(
            (3.0, 3.0, 0.0, 2.0, 1.0, 0.0, 4.0, 1.0, 8.0, 1.0),
            "z_3 is what the neuron sums up before its ReLU, and that may be negative.",
        ),
        "not_multiplied": Mistake(
            (3.0, 3.0, -1.0, 2.0, 1.0, 0.0, 4.0, 1.0, 4.0, 1.0),
            "the last step is missing: R_j = a_j c_j, and a_1 is 2.",
        ),
        "relevance_for_s": Mistake(
            (3.0, 3.0, -1.0, 6.0, 3.0, 0.0, 12.0, 3.0, 24.0, 3.0),
            "you wrote R_k for s_k. The second step divides: s_k = R_k / z_k.",
        ),
        "weights_of_the_output": Mistake(
            (3.0, 3.0, -1.0, 2 / 3, 1 / 3, -5.0, 19 / 3, -14 / 3, 38 / 3, -14 / 3),
            "you took the weights 2, 1, 5 of the output as relevance. The hidden neurons have R_k = h_k v_k: what they "
            "contribute to y = 9.",
        ),
        "positive_weights": Mistake(
            (3.0, 4.0, 1.0, 2.0, 0.75, 0.0, 3.5, 2.0, 7.0, 2.0),
            "you took w^+ for w. That is the z+ rule, the next exercise; LRP-0 keeps the negative weights.",
        ),
        "shares": Mistake(
            (3.0, 3.0, -1.0, 2.0, 1.0, 0.0, 4.0, 1.0, 8 / 9, 1 / 9),
            "these are shares of y. Relevance is in units of the score: R_1 + R_2 = y.",
        ),
        "inputs_exchanged": Mistake(
            (3.0, 3.0, -1.0, 2.0, 1.0, 0.0, 1.0, 4.0, 1.0, 8.0),
            "you have exchanged the two inputs at the end: c_1 and R_1 belong to the input 2.",
        ),
        "sign_of_c": Mistake(
            (3.0, 3.0, -1.0, 2.0, 1.0, 0.0, 4.0, 3.0, 8.0, 3.0),
            "in c_2 you have lost the sign of the weight -1 from the second input to the second neuron.",
        ),
    },
)

# The same network by z+ in the lower layer, R_k = (6, 3, 0): R_1, R_2.
ZPLUS_BY_HAND = ValueExercise(
    name="zplus_by_hand",
    expected=(7.0, 2.0),
    mistakes={
        "lrp_0": Mistake((8.0, 1.0), "this is LRP-0: the weight -1 to the second neuron counts nothing by z+."),
        "not_multiplied": Mistake((3.5, 2.0), "these are c_1 and c_2. The last step is R_j = a_j c_j."),
        "old_z": Mistake(
            (8.0, 2.0),
            "you divided by the old z. The weights w^+ are also in z_k: z_2 has lost its negative part, and is not 3 "
            "any more.",
        ),
        "negative_counts_in_c": Mistake(
            (7.0, 1.25),
            "your z is that of w^+, and your c that of w. Forward and backward, the layer has the same weights w^+.",
        ),
        "exchanged": Mistake((2.0, 7.0), "you have exchanged the two inputs: R_1 belongs to the input 2."),
        "by_size": Mistake(
            (6.4, 2.6),
            "you took the magnitudes |w|. A weight of -1 does not become 1: it becomes 0, its positive part.",
        ),
        "shares": Mistake((7 / 9, 2 / 9), "these are shares of y. Relevance is in units of the score: R_1 + R_2 = y."),
        "evenly": Mistake(
            (6.0, 3.0), "these are R_1 and R_2 of the hidden neurons. Hand them down one layer, to the two inputs."
        ),
    },
)

# One neuron: a = (2, 1), w = (3, -1), b = 1, R = 6, epsilon = 1.5. R_1, R_2, the bias's part, and what epsilon takes.
ABSORBED = ValueExercise(
    name="absorbed",
    expected=(4.8, -0.8, 0.8, 1.2),
    mistakes={
        "no_epsilon": Mistake(
            (6.0, -1.0, 1.0, 0.0), "you left epsilon out: z + epsilon = 7.5 stands below the fraction, not z."
        ),
        "bias_not_in_z": Mistake(
            (72 / 13, -12 / 13, 0.0, 18 / 13),
            "your z lacks the bias. It is the weight of a formal unit with the activation 1, and part of the sum.",
        ),
        "epsilon_subtracted": Mistake(
            (8.0, -4 / 3, 4 / 3, -2.0), "you subtracted epsilon. It has the sign of z, which is positive here."
        ),
        "bias_forgotten": Mistake(
            (4.8, -0.8, 0.0, 1.2), "the bias does take a share, as an input with activation 1: b / (z + epsilon) R."
        ),
        "sum_of_the_rest": Mistake(
            (4.8, -0.8, 0.8, 2.0), "you counted the bias's part twice: epsilon takes what none of the three has got."
        ),
        "magnitude": Mistake(
            (4.8, 0.8, 0.8, -0.4),
            "R_2 has lost its sign: the second product is 1 * (-1), and speaks against the neuron.",
        ),
        "epsilon_itself": Mistake(
            (4.8, -0.8, 0.8, 1.5),
            "epsilon itself is in units of z. What it takes is relevance: R - R_1 - R_2 - the bias's part.",
        ),
        "bias_itself": Mistake(
            (4.8, -0.8, 1.0, 1.0), "the bias's share is relevance, b / (z + epsilon) R, and not the bias itself."
        ),
        "epsilon_takes_nothing": Mistake(
            (4.8, -0.8, 0.8, 0.0),
            "your first three numbers do not add up to R = 6. What is missing has gone to epsilon.",
        ),
        "weights_alone": Mistake((2.4, -0.8, 0.8, 3.6), "R_1 lacks the activation: the product is a_1 w_1 = 2 * 3."),
    },
)

_PLACES = (
    "z-box for the pixels",
    "LRP-0 for the pixels",
    "gamma for the lower convolutions",
    "gamma for the dense layers on top",
    "epsilon for the middle convolutions",
    "z-box for the middle convolutions",
    "LRP-0 for the dense layers on top",
    "LRP-0 for the lower convolutions",
)
_FITTING = frozenset({_PLACES[0], _PLACES[2], _PLACES[4], _PLACES[6]})

RULE_FOR_LAYER = ValueExercise(
    name="rule_for_layer",
    expected=_FITTING,
    choices=_PLACES,
    mistakes={
        "zero_for_pixels": Mistake(
            _FITTING - {_PLACES[0]} | {_PLACES[1]},
            "LRP-0 multiplies with the pixel at the end, so that a black pixel gets nothing whatever it did. Which "
            "rule "
            "knows that a pixel lies between two bounds?",
        ),
        "gamma_on_top": Mistake(
            _FITTING - {_PLACES[6]} | {_PLACES[3]},
            "near the output there are few neurons and little noise, and gamma would hide what speaks against the "
            "class. There be true to the function.",
        ),
        "zero_below": Mistake(
            _FITTING - {_PLACES[2]} | {_PLACES[7]},
            "LRP-0 in the lower convolutions follows every change of sign of the gradient: that is noise. Which rule "
            "favours what speaks for a neuron?",
        ),
        "box_in_the_middle": Mistake(
            _FITTING - {_PLACES[4]} | {_PLACES[5]},
            "the box is for inputs with a lower and an upper bound that is known. Activations behind a ReLU have no "
            "upper bound.",
        ),
        "zero_everywhere": Mistake(
            frozenset({_PLACES[1], _PLACES[4], _PLACES[6], _PLACES[7]}),
            "LRP-0 all the way down is input x gradient, with its noise: only the top is a place for it.",
        ),
        "upside_down": Mistake(
            frozenset({_PLACES[0], _PLACES[3], _PLACES[4], _PLACES[7]}),
            "you have it upside down: the further down, the more the relevance has to be smoothed, and the top has "
            "to be "
            "true to the function.",
        ),
        "all": Mistake(frozenset(_PLACES), "not all: each place has one rule, so that four of the eight fit."),
        "none": Mistake(frozenset(), "four of the eight fit: one for each place, from the pixels to the output."),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# A dense layer, written out: the table of all products, its sums, and what is made of them
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A share `factor` of the relevance, handed out in proportion to sum over `terms` of a w, with `bias` in z.

    terms: pairs of a (N, J) and w (K, J).
    """

    factor: float
    terms: Sequence[tuple[Tensor, Tensor]]
    bias: Tensor

    def products(self) -> Tensor:
        """Return (N, K, J), what input j sends to output k."""
        return sum(a[:, None] * w for a, w in self.terms)

    def z(self) -> Tensor:
        return self.products().sum(2) + self.bias


Divide = Callable[[Tensor, Tensor], Tensor]
Share = Callable[[_Part, Tensor, Divide], Tensor]
Parts = Callable[..., list[_Part]]


def _safely(relevance: Tensor, z: Tensor, epsilon: float = 0.0) -> Tensor:
    """Return R / (z + epsilon sign z), sign 0 = 1, 0 / 0 = 0."""
    z = z + epsilon * torch.where(z >= 0, 1.0, -1.0)
    return torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))


def _share(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    s = divide(relevance, part.z())
    return part.factor * (part.products() * s[:, :, None]).sum(1)


def _without_activations(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    s = divide(relevance, part.z())
    return part.factor * sum((s[:, :, None] * w).sum(1) for _, w in part.terms)


def _batch_mixed(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    z = part.z().sum(0, keepdim=True).expand_as(relevance)
    return part.factor * (part.products() * divide(relevance, z)[:, :, None]).sum(1)


def _over_outputs(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    products = part.products()
    sums = products.sum(1, keepdim=True).expand_as(products)
    return part.factor * divide(products, sums).mul(relevance[:, :, None]).sum(1)


def _unguarded(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    z = part.z()
    s = torch.where(z == 0, relevance / z, divide(relevance, z))
    return part.factor * (part.products() * s[:, :, None]).sum(1)


def _after_relu(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    s = divide(relevance, part.z().clamp(min=0))
    return part.factor * (part.products() * s[:, :, None]).sum(1)


_BACK_TRANSPOSED = (
    "your z is right, but on the way back your weights stand the wrong way round: c_j sums over the outputs k, and "
    "w_jk is weight[k, j]."
)


def _transposed_back(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    s = divide(relevance, part.z())
    return part.factor * sum(a * (s @ w.t()) for a, w in part.terms)


_TRANSPOSED = (
    "your weights stand the wrong way round. The weight of a dense layer has the shape (K, J), outputs first: w_jk is "
    "weight[k, j]."
)

# What goes wrong in the four steps whatever the rule: name -> (the wrong steps, hint).
WRONG_STEPS: dict[str, tuple[Share, str]] = {
    "without_activations": (
        _without_activations,
        "this is c. The last step is missing: R_j = a_j c_j.",
    ),
    "not_divided": (
        lambda part, relevance, divide: part.factor * (part.products() * relevance[:, :, None]).sum(1),
        "you handed down a_j w_jk R_k without dividing. The second step is s_k = R_k / z_k: without it the inputs "
        "would get more or less than the output has.",
    ),
    "over_outputs": (
        _over_outputs,
        "your sums below the fraction run over the outputs k. z_k is the sum over the inputs j: an output shares out "
        "what it has among its inputs.",
    ),
    "batch_mixed": (
        _batch_mixed,
        "your z is added up over the images of the batch. Each image has its own z_k.",
    ),
    "mean_over_outputs": (
        lambda part, relevance, divide: _share(part, relevance, divide) / relevance.shape[1],
        "you took the mean over the outputs k. An input adds up what it gets from all of them.",
    ),
    "one_map_for_all": (
        lambda part, relevance, divide: _share(part, relevance, divide).sum(0, keepdim=True).expand(len(relevance), -1),
        "your relevance is added up over the images of the batch. Each image has its own.",
    ),
    "activations_twice": (
        lambda part, relevance, divide: _share(part, relevance, divide) * part.terms[0][0],
        "a_j is a factor twice. It is in R_j = a_j c_j, and c_j = sum_k w_jk s_k has the weights alone.",
    ),
    "negative_dropped": (
        lambda part, relevance, divide: _share(part, relevance, divide).clamp(min=0),
        "you dropped the negative relevance at the end. What is handed down may have both signs; without the negative "
        "part the sum is not kept.",
    ),
    "magnitude": (
        lambda part, relevance, divide: _share(part, relevance, divide).abs(),
        "you dropped the sign at the end. What is handed down may have both signs; without them the sum is not kept.",
    ),
}


def _dense(
    parts: Parts,
    *options: str,
    share: Share = _share,
    divide: Callable[..., Tensor] = _safely,
    transposed: bool = False,
    defaults: Mapping[str, float] | None = None,
    finish: Callable[[Tensor, Tensor], Tensor] = lambda result, relevance: result,
) -> Callable[..., Tensor]:
    """Return a function (weight, bias, activations, relevance, options...) from its pieces."""

    def answer(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, **given: float) -> Tensor:
        given = {**(defaults or {}), **given}
        if transposed:
            weight = weight.t()
        division = partial(divide, epsilon=given.pop("epsilon")) if "epsilon" in given else divide
        total = sum(share(part, relevance, division) for part in parts(weight, bias, activations, **given))
        return finish(total, relevance)

    return answer


def _rescaled(result: Tensor, relevance: Tensor) -> Tensor:
    return result * (relevance.sum(1) / result.sum(1))[:, None]


def _step_mistakes(parts: Parts, *left_out: str, **options: Any) -> dict[str, Mistake]:
    """Return the mistakes of the four steps for a rule, and the one of turned weights."""
    found = {
        name: Mistake(_dense(parts, share=share, **options), hint)
        for name, (share, hint) in WRONG_STEPS.items()
        if name not in left_out
    }
    return found | {
        "transposed": Mistake(_dense(parts, transposed=True, **options), _TRANSPOSED),
        "transposed_back": Mistake(_dense(parts, share=_transposed_back, **options), _BACK_TRANSPOSED),
    }


# -- cases -------------------------------------------------------------------------------------------------------------


def _drawn_layer(
    generator: torch.Generator, n: int, outputs: int, inputs: int, least: float = 0.1
) -> dict[str, Tensor]:
    """Return a dense layer, activations of at least 0, and relevance.

    Every z is at least `least` away from 0, and z^+ and z^- a third of it, so that no rounding is magnified.
    """
    while True:
        weight = torch.randn(outputs, inputs, generator=generator)
        bias = 0.5 * torch.randn(outputs, generator=generator)
        activations = torch.rand(n, inputs, generator=generator)
        z = activations @ weight.t() + bias
        parts = [F.linear(activations, part(weight), part(bias)) for part in (_plus, _minus)]
        if z.abs().min() > least and all(values[values != 0].abs().min() > least / 3 for values in parts):
            relevance = torch.randn(n, outputs, generator=generator)
            return {"weight": weight, "bias": bias, "activations": activations, "relevance": relevance}


def _layer_cases(generator: torch.Generator, options: Sequence[Mapping[str, float]]) -> Iterator[Case]:
    """Yield the cases of every rule for a dense layer; `options` are gone through in turn, the defaults first."""
    fixed = torch.Generator().manual_seed(7)
    turn = 0
    names = list(dict.fromkeys(name for chosen in options for name in chosen))

    def with_options(arguments: dict[str, Tensor], note: str, chosen: Mapping[str, float]) -> Case:
        said = "".join(f", {name} = {value:g}" for name, value in chosen.items())
        if names and not chosen:
            said = f", no {' and no '.join(names)} given"
        return Case({**arguments, **chosen}, f"{note}{said}")

    def case(arguments: dict[str, Tensor], note: str) -> Case:
        nonlocal turn
        turn += 1
        return with_options(arguments, note, options[(turn - 1) % len(options)])

    square = _drawn_layer(fixed, 1, 3, 3)
    yield case(square, "three inputs, three outputs")
    yield case(_drawn_layer(fixed, 2, 3, 4), "two images, four inputs")
    dead = _drawn_layer(fixed, 2, 4, 3)
    dead["weight"][1], dead["bias"][1] = 0.0, 0.0
    dead["activations"][1] = 0.0
    yield case(dead, "an output without weights, and an image without activations")
    negative = _drawn_layer(fixed, 2, 3, 4)
    negative["weight"][0] = -negative["weight"][0].abs()
    negative["bias"][0] = 0.0
    yield case(negative, "an output with negative weights only")
    positive = _drawn_layer(fixed, 2, 3, 4)
    positive["weight"][0], positive["bias"][0] = positive["weight"][0].abs(), positive["bias"][0].abs()
    for _ in options:
        yield case(positive, "an output with positive weights only")
    first = _drawn_layer(generator, 3, 5, 6)
    for _ in options:
        yield case(first, "three images")
    wide = _drawn_layer(generator, 4, 7, 3)
    wide["activations"][:, 1] = 0.0
    for _ in options:
        yield case(wide, "an input that is 0 everywhere")
    chosen = options[turn % len(options)]
    again = {**first, "relevance": -2 * first["relevance"]}
    yield with_options(first, "three images", chosen)
    yield with_options(again, "the same images, the relevance multiplied with -2", chosen)


def _linear_in_relevance(cases: Sequence[Case], answers: Sequence[Any]) -> bool:
    """Whether cases that differ in the relevance alone, by a factor -2, have answers that differ by it."""
    for (case, came), (other, there) in itertools.permutations(zip(cases, answers, strict=True), 2):
        first, second = dict(case.arguments), dict(other.arguments)
        relevance, doubled = first.pop("relevance"), second.pop("relevance")
        same = first.keys() == second.keys() and all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(second[name])) for name, value in first.items()
        )
        linear = (there + 2 * came).abs() <= 1e-3 * there.abs().max() + 1e-7 if same else torch.ones(1)
        if same and torch.equal(doubled, -2 * relevance) and not linear.all():
            return False
    return True


_LINEAR = Relation(
    "With -2 times the relevance at the outputs, the inputs must get -2 times as much: relevance is shared out, and "
    "what is shared out does not decide who gets how much.",
    _linear_in_relevance,
)


def _kept(parts: Parts, **defaults: float) -> Callable[[dict[str, Any], Tensor], bool]:
    """Return whether the inputs get what the outputs have, less what the bias, epsilon and outputs with z = 0 take."""

    def holds(arguments: dict[str, Any], value: Tensor) -> bool:
        arguments = {**defaults, **arguments}
        relevance = arguments.pop("relevance")
        epsilon = arguments.pop("epsilon", 0.0)
        expected = torch.zeros(len(relevance))
        size = torch.zeros(len(relevance))
        for part in parts(**arguments):
            handed = part.factor * part.products().sum(2) * _safely(relevance, part.z(), epsilon)
            expected, size = expected + handed.sum(1), size + handed.abs().sum(1)
        return bool(((value.sum(1) - expected).abs() <= 1e-3 * size + 1e-6).all())

    return holds


# -- divide ------------------------------------------------------------------------------------------------------------


def _divide_cases(generator: torch.Generator) -> Iterator[Case]:
    relevance = torch.tensor([[6.0, 3.0, -2.0, 0.0]])
    z = torch.tensor([[3.0, -1.5, 0.4, 2.0]])
    yield Case({"relevance": relevance, "z": z, "epsilon": 0.0}, "four outputs, epsilon = 0")
    yield Case({"relevance": relevance, "z": z, "epsilon": 0.5}, "four outputs, epsilon = 0.5")
    with_zeros = torch.tensor([[0.0, -1.5, 0.0, 2.0]])
    yield Case({"relevance": relevance, "z": with_zeros, "epsilon": 0.0}, "two z that are 0, epsilon = 0")
    yield Case({"relevance": relevance, "z": with_zeros, "epsilon": 0.25}, "two z that are 0, epsilon = 0.25")
    yield Case({"relevance": relevance, "z": z}, "four outputs, no epsilon given")
    yield Case({"relevance": relevance, "z": with_zeros}, "two z that are 0, no epsilon given")
    small = torch.tensor([[3e-4, -1e-4, 2.0]])
    yield Case({"relevance": 2 * small, "z": small, "epsilon": 0.0}, "two z that are small, epsilon = 0")
    for epsilon in (0.0, 0.1, 2.0):
        z = torch.randn(2, 3, 4, generator=generator)
        z = z + 0.2 * torch.where(z >= 0, 1.0, -1.0)
        z[0, 1, :2] = 0.0
        relevance = torch.randn(z.shape, generator=generator)
        yield Case({"relevance": relevance, "z": z, "epsilon": epsilon}, f"maps of both signs, epsilon = {epsilon:g}")


def divide(relevance: Tensor, z: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return s = R / (z + epsilon sign z) with sign 0 = 1, and 0 where epsilon and z are 0: the rule for a = w = 1."""
    layer = nn.Conv2d(1, 1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    flat = [values.reshape(-1, 1, 1, 1) for values in (z, relevance)]
    shares = lrp.propagate(layer, *flat, lrp.Epsilon(epsilon)).reshape(z.shape)  # z s
    return torch.where(
        z == 0, 0.0 if epsilon == 0 else relevance / (epsilon or 1.0), shares / torch.where(z == 0, 1.0, z)
    )


_DIVISIONS: dict[str, tuple[Divide, str]] = {
    "unsigned": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z + epsilon),
        "your epsilon is added whatever the sign of z. Where z is negative it brings z nearer to 0, or across: the "
        "stabiliser has the sign of z.",
    ),
    "magnitude": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z.abs() + epsilon),
        "you took the magnitude of z. The sign of z stays: s_k = R_k / z_k, only further from 0.",
    ),
    "sign_of_zero": (
        lambda relevance, z, epsilon=1e-6: relevance / (z + epsilon * torch.sign(z)),
        "where z is 0 your stabiliser is 0 as well: torch.sign(0) is 0. Here sign 0 = 1; and with epsilon = 0, 0 / 0 = "
        "0.",
    ),
    "zero_always_gives_zero": (
        lambda relevance, z, epsilon=1e-6: torch.where(z == 0, 0.0, _safely(relevance, z, epsilon)),
        "where z is 0 you return 0 also if epsilon is not. Then the fraction is R / epsilon: sign 0 = 1.",
    ),
    "not_a_number": (
        lambda relevance, z, epsilon=1e-6: relevance / (z + epsilon * torch.where(z >= 0, 1.0, -1.0)),
        "with epsilon = 0 and z = 0 you divide by 0. Nothing was handed to this output, so nothing comes back: the "
        "result is 0 there.",
    ),
    "infinite_made_large": (
        lambda relevance, z, epsilon=1e-6: (relevance / (z + epsilon * torch.where(z >= 0, 1.0, -1.0))).nan_to_num(),
        "with epsilon = 0 and z = 0 you have the largest number that there is: nan_to_num turns NaN into 0, but what "
        "is "
        "infinite into 3e38. R / 0 is 0 here, whatever R is.",
    ),
    "relevance_kept": (
        lambda relevance, z, epsilon=1e-6: torch.where(
            z + epsilon * torch.where(z >= 0, 1.0, -1.0) == 0, relevance, _safely(relevance, z, epsilon)
        ),
        "where epsilon and z are 0 you hand on R itself, as if z were 1. Nothing was handed to this output, so nothing "
        "comes back: the result is 0 there.",
    ),
    "no_epsilon": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z),
        "you never use epsilon.",
    ),
    "epsilon_outside": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z) + epsilon,
        "you added epsilon to the fraction. It belongs to z, below the line.",
    ),
    "floor": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z.clamp(min=epsilon)),
        "you raised every z to at least epsilon, the negative ones too. The stabiliser is added, with the sign of z.",
    ),
    "only_small_z": (
        lambda relevance, z, epsilon=1e-6: _safely(
            relevance, torch.where(z.abs() >= epsilon, z, epsilon * torch.where(z >= 0, 1.0, -1.0))
        ),
        "you replaced z only where it is smaller than epsilon. The rule adds epsilon (with the sign of z) to every z: "
        "that is how it damps.",
    ),
    "subtracted": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z, -epsilon),
        "your stabiliser has the wrong sign: it brings z nearer to 0.",
    ),
    "upside_down": (
        lambda relevance, z, epsilon=1e-6: _safely(z + epsilon * torch.where(z >= 0, 1.0, -1.0), relevance),
        "you divided z by R. It is the relevance that is divided: s_k = R_k / z_k.",
    ),
    "times_z": (
        lambda relevance, z, epsilon=1e-6: z * _safely(relevance, z, epsilon),
        "you multiplied with z again. Here s alone is asked for; the products follow in the next steps.",
    ),
    "default_one": (
        lambda relevance, z, epsilon=1.0: _safely(relevance, z, epsilon),
        "your function is right, but when no epsilon is given yours is another one. The default is 1e-6.",
    ),
    "default_zero": (
        lambda relevance, z, epsilon=1e-6: _safely(relevance, z, max(epsilon, 0.01)),
        "you never go below an epsilon of your own. It is what the caller says, and may be 0.",
    ),
}


def _no_z_is_zero(case: Case) -> bool:
    arguments = case.arguments
    z = arguments["z"] if "z" in arguments else F.linear(*(arguments[k] for k in ("activations", "weight", "bias")))
    return bool((z != 0).all())


# These are told whatever the answer does where z is 0.
_WHERE: dict[str, Callable[[Case], bool]] = {
    **dict.fromkeys(("unsigned", "magnitude", "no_epsilon", "only_small_z", "subtracted"), _no_z_is_zero),
    "infinite_made_large": lambda case: case.arguments.get("epsilon") == 0,
}

DIVIDE = Exercise(
    name="divide",
    reference=divide,
    cases=_divide_cases,
    mistakes={
        name: Mistake(answer, hint, where=_WHERE.get(name, lambda case: True))
        for name, (answer, hint) in _DIVISIONS.items()
    },
    properties=[
        Property(
            "s has the sign of R / z: the stabiliser never turns a sign round.",
            lambda arguments, value: bool((value * arguments["relevance"] * arguments["z"] >= 0).all()),
        )
    ],
)

# -- epsilon -----------------------------------------------------------------------------------------------------------


def _as_linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight.clone(), bias.clone()
    return layer


def lrp_epsilon(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return the relevance of a dense layer's inputs by the epsilon rule."""
    return lrp.propagate(_as_linear(weight, bias), activations, relevance, lrp.Epsilon(epsilon))


def _plain_parts(weight: Tensor, bias: Tensor, activations: Tensor) -> list[_Part]:
    return [_Part(1.0, [(activations, weight)], bias)]


def _unbiased_parts(weight: Tensor, bias: Tensor, activations: Tensor) -> list[_Part]:
    return [_Part(1.0, [(activations, weight)], torch.zeros_like(bias))]


def _epsilon_by(share: Share) -> Callable[..., Tensor]:
    """Return the epsilon rule with other steps."""
    return _dense(_plain_parts, share=share, defaults={"epsilon": 1e-6})


def _bias_spread(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    products = part.products()
    s = divide(relevance, part.z())[:, :, None]
    return ((products + part.bias[:, None] / products.shape[2]) * s).sum(1)


def _magnitudes(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    sizes = part.products().abs()
    return (sizes * divide(relevance, sizes.sum(2) + part.bias.abs())[:, :, None]).sum(1)


def _epsilon_in_each_product(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, epsilon: float = 1e-6
) -> Tensor:
    part = _plain_parts(weight, bias, activations)[0]
    z = part.z()
    return (part.products() * _safely(relevance, z, epsilon * weight.shape[1])[:, :, None]).sum(1)


def _epsilon_cases(generator: torch.Generator) -> Iterator[Case]:
    options = [{"epsilon": 0.25}, {}, {"epsilon": 0.0}, {"epsilon": 1.0}]
    yield from _layer_cases(generator, options)
    cancelling = {
        "weight": torch.tensor([[2.0, -1.0], [1.0, 3.0]]),
        "bias": torch.tensor([0.0, -0.5]),
        "activations": torch.tensor([[1.0, 2.0], [0.5, 1.0]]),
        "relevance": torch.tensor([[3.0, -1.0], [1.0, 2.0]]),
    }
    yield Case({**cancelling, "epsilon": 0.5}, "products that cancel, so that z = 0, epsilon = 0.5")
    yield Case({**cancelling, "epsilon": 0.0}, "products that cancel, so that z = 0, epsilon = 0")


_EPSILON_DIVISIONS = (
    "unsigned",
    "magnitude",
    "sign_of_zero",
    "zero_always_gives_zero",
    "not_a_number",
    "no_epsilon",
    "floor",
    "only_small_z",
    "subtracted",
)  # fmt: skip

LRP_EPSILON = Exercise(
    name="lrp_epsilon",
    reference=lrp_epsilon,
    cases=_epsilon_cases,
    mistakes={
        **{
            name: Mistake(
                _dense(_plain_parts, divide=_DIVISIONS[name][0], defaults={"epsilon": 1e-6}),
                _DIVISIONS[name][1],
                where=_WHERE.get(name, lambda case: True),
            )
            for name in _EPSILON_DIVISIONS
        },
        "no_epsilon": Mistake(
            _dense(_plain_parts, divide=_DIVISIONS["no_epsilon"][0], defaults={"epsilon": 1e-6}),
            "this is LRP-0, whatever epsilon is.",
            where=_no_z_is_zero,
        ),
        "epsilon_in_each_product": Mistake(
            _epsilon_in_each_product,
            "you added epsilon to each product, before the sum, so that z_k has it J times. It is added once, to the "
            "sum.",
        ),
        "bias_left_out": Mistake(
            _dense(_unbiased_parts, defaults={"epsilon": 1e-6}),
            "your z lacks the bias. The sum runs over 0, j: the bias is the weight of a formal unit with activation 1, "
            "and takes its share.",
        ),
        "bias_spread": Mistake(
            _epsilon_by(_bias_spread),
            "you gave the bias's share to the inputs, in equal parts. It belongs to the formal unit, which is no "
            "input: "
            "it is absorbed.",
        ),
        "magnitudes": Mistake(
            _epsilon_by(_magnitudes),
            "you shared out by the magnitudes |a_j w_jk|. What speaks against an output gets negative relevance.",
        ),
        "after_the_relu": Mistake(
            _epsilon_by(_after_relu),
            "you divided by max(0, z). z_k is what the layer sums up, before any ReLU, and may be negative.",
        ),
        "rescaled": Mistake(
            _dense(_plain_parts, defaults={"epsilon": 1e-6}, finish=_rescaled),
            "you scaled the result so that nothing is lost. What the bias and epsilon take is absorbed, and the sum "
            "does get smaller.",
        ),
        **_step_mistakes(_plain_parts, defaults={"epsilon": 1e-6}),
    },
    properties=[
        Property(
            "the inputs get what the outputs have, less what the bias and epsilon take: (z - b) / (z + epsilon sign z) "
            "of each R_k.",
            _kept(_plain_parts, epsilon=1e-6),
        )
    ],
    relations=[_LINEAR],
)

# -- gamma -------------------------------------------------------------------------------------------------------------


def lrp_gamma(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, gamma: float = 0.25) -> Tensor:
    """Return the relevance of a dense layer's inputs by the gamma rule."""
    return lrp.propagate(_as_linear(weight, bias), activations, relevance, lrp.Gamma(gamma))


def _plus(values: Tensor) -> Tensor:
    return values.clamp(min=0)


def _minus(values: Tensor) -> Tensor:
    return values.clamp(max=0)


def _gamma_parts(
    weight: Tensor,
    bias: Tensor,
    activations: Tensor,
    gamma: float,
    of_weight: Callable[[Tensor], Tensor] = _plus,
    of_bias: Callable[[Tensor], Tensor] = _plus,
) -> list[_Part]:
    return [_Part(1.0, [(activations, weight + gamma * of_weight(weight))], bias + gamma * of_bias(bias))]


def _gamma_favoured_above(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, gamma: float = 0.25):
    above = _gamma_parts(weight, bias, activations, gamma)[0].products()
    return (above * _safely(relevance, _plain_parts(weight, bias, activations)[0].z())[:, :, None]).sum(1)


def _gamma_favoured_below(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, gamma: float = 0.25):
    below = _gamma_parts(weight, bias, activations, gamma)[0].z()
    return (_plain_parts(weight, bias, activations)[0].products() * _safely(relevance, below)[:, :, None]).sum(1)


_GAMMA = {"gamma": 0.25}


def _none(values: Tensor) -> Tensor:
    return torch.zeros_like(values)


def _itself(values: Tensor) -> Tensor:
    return values


def _half(values: Tensor) -> Tensor:
    return values / 2


LRP_GAMMA = Exercise(
    name="lrp_gamma",
    reference=lrp_gamma,
    cases=lambda generator: _layer_cases(generator, [{"gamma": 0.5}, {"gamma": 2.0}, {}]),
    mistakes={
        "lrp_0": Mistake(
            _dense(partial(_gamma_parts, of_weight=_none, of_bias=_none), defaults=_GAMMA),
            "this is LRP-0. Either gamma is not used, or you added gamma w for gamma w^+: the factor 1 + gamma then "
            "stands above and below the line, and cancels.",
        ),
        "gamma_on_all_weights": Mistake(
            _dense(partial(_gamma_parts, of_weight=_itself, of_bias=_none), defaults=_GAMMA),
            "you added gamma w to the weights. Only what speaks for an output is favoured: gamma w^+, with the "
            "positive "
            "part of w.",
        ),
        "bias_not_favoured": Mistake(
            _dense(partial(_gamma_parts, of_bias=_none), defaults=_GAMMA),
            "your weights are right, but the bias is as it was. It is the weight of the formal unit: b + gamma b^+.",
        ),
        "bias_grows_with_its_sign": Mistake(
            _dense(partial(_gamma_parts, of_bias=_itself), defaults=_GAMMA),
            "your weights are right, but you added gamma b to the bias, the negative ones too. Like a weight, it gets "
            "gamma b^+.",
        ),
        "bias_left_out": Mistake(
            _dense(
                lambda weight, bias, activations, gamma: _gamma_parts(weight, 0 * bias, activations, gamma),
                defaults=_GAMMA,
            ),
            "your z lacks the bias. It is the weight of the formal unit, with gamma as for the others.",
        ),
        "negative_favoured": Mistake(
            _dense(partial(_gamma_parts, of_weight=_minus, of_bias=_minus), defaults=_GAMMA),
            "you favour the negative weights. w^+ is the positive part: w where it is positive, else 0.",
        ),
        "sizes_favoured": Mistake(
            _dense(partial(_gamma_parts, of_weight=torch.abs, of_bias=torch.abs), defaults=_GAMMA),
            "you added gamma |w|. The positive part w^+ is 0 where w is negative.",
        ),
        "only_positive": Mistake(
            _dense(
                lambda weight, bias, activations, gamma: [_Part(1.0, [(activations, _plus(weight))], _plus(bias))],
                defaults=_GAMMA,
            ),
            "you kept w^+ alone. The rule has w + gamma w^+: the negative weights stay, and the positive ones grow.",
        ),
        "one_forgotten": Mistake(
            _dense(
                lambda weight, bias, activations, gamma: [
                    _Part(
                        1.0, [(activations, gamma * _plus(weight) + _minus(weight))], gamma * _plus(bias) + _minus(bias)
                    )
                ],
                defaults=_GAMMA,
            ),
            "you multiplied the positive weights with gamma. They grow by it: w + gamma w^+ is (1 + gamma) w where w "
            "is "
            "positive.",
        ),
        "turned_round": Mistake(
            _dense(
                lambda weight, bias, activations, gamma: [
                    _Part(1.0, [(activations, _plus(weight) + gamma * weight)], _plus(bias) + gamma * bias)
                ],
                defaults=_GAMMA,
            ),
            "you have w^+ + gamma w. It is the other way round: w + gamma w^+.",
        ),
        "favoured_above_only": Mistake(
            _gamma_favoured_above,
            "you favour the positive weights above the line, and divide by the old z. The same weights w + gamma w^+ "
            "stand above and below, else the inputs get more than the output has.",
        ),
        "favoured_below_only": Mistake(
            _gamma_favoured_below,
            "your z has the weights w + gamma w^+, but what you hand down has the old w. The backward step goes "
            "through "
            "the same weights as the forward step.",
        ),
        "default_zero": Mistake(
            _dense(_gamma_parts, defaults={"gamma": 0.0}),
            "your rule is right, but when no gamma is given yours is another one. The default is 0.25.",
        ),
        "gamma_fixed": Mistake(
            _dense(
                lambda weight, bias, activations, gamma: _gamma_parts(weight, bias, activations, 0.25), defaults=_GAMMA
            ),
            "your gamma is 0.25 whatever is given.",
        ),
        "not_a_number": Mistake(
            _dense(_gamma_parts, share=_unguarded, defaults=_GAMMA),
            "where z is 0 you divide by 0. Nothing was handed to this output, so nothing comes back: 0 / 0 = 0.",
        ),
        "after_the_relu": Mistake(
            _dense(_gamma_parts, share=_after_relu, defaults=_GAMMA),
            "you divided by max(0, z). z_k is what the layer sums up, before any ReLU, and may be negative.",
        ),
        "rescaled": Mistake(
            _dense(_gamma_parts, defaults=_GAMMA, finish=_rescaled),
            "you scaled the result so that nothing is lost. The bias takes its share, and that is absorbed.",
        ),
        **_step_mistakes(_gamma_parts, defaults=_GAMMA),
    },
    properties=[
        Property("the inputs get what the outputs have, less the bias's share.", _kept(_gamma_parts, gamma=0.25))
    ],
    relations=[_LINEAR],
)

# -- z+ ----------------------------------------------------------------------------------------------------------------


def lrp_zplus(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor) -> Tensor:
    """Return the relevance of a dense layer's inputs by the z+ rule."""
    return lrp.propagate(_as_linear(weight, bias), activations, relevance, lrp.ZPlus())


def _zplus_parts(
    weight: Tensor,
    bias: Tensor,
    activations: Tensor,
    of_weight: Callable[[Tensor], Tensor] = _plus,
    of_bias: Callable[[Tensor], Tensor] = _none,
) -> list[_Part]:
    return [_Part(1.0, [(activations, of_weight(weight))], of_bias(bias))]


def _mixed(above: Parts, below: Parts) -> Callable[..., Tensor]:
    """Return a rule whose products and whose z are of different rules."""

    def answer(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, **options: float) -> Tensor:
        pairs = zip(
            above(weight, bias, activations, **options), below(weight, bias, activations, **options), strict=True
        )
        return sum(
            first.factor * (first.products() * _safely(relevance, second.z())[:, :, None]).sum(1)
            for first, second in pairs
        )

    return answer


def _zplus_of_the_sum(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor) -> Tensor:
    z = _plus(activations @ weight.t())
    return (_zplus_parts(weight, bias, activations)[0].products() * _safely(relevance, z)[:, :, None]).sum(1)


LRP_ZPLUS = Exercise(
    name="lrp_zplus",
    reference=lrp_zplus,
    cases=lambda generator: _layer_cases(generator, [{}]),
    mistakes={
        "bias_kept": Mistake(
            _dense(partial(_zplus_parts, of_bias=_itself)),
            "your z has the bias in it. In z+ it is 0: the lecture's code says clone.B = 0.",
        ),
        "positive_bias_kept": Mistake(
            _dense(partial(_zplus_parts, of_bias=_plus)),
            "your z has the positive part of the bias in it. In z+ the bias is 0, and nothing is absorbed.",
        ),
        "negative_weights": Mistake(
            _dense(partial(_zplus_parts, of_weight=_minus)),
            "you kept the negative weights. w^+ is w where it is positive, and 0 elsewhere.",
        ),
        "all_weights": Mistake(
            _dense(partial(_zplus_parts, of_weight=_itself)),
            "you kept all weights (and left out the bias). w^+ is w where it is positive, and 0 elsewhere.",
        ),
        "lrp_0": Mistake(
            _dense(partial(_zplus_parts, of_weight=_itself, of_bias=_itself)),
            "this is LRP-0. In z+ the weights are w^+, and the bias is 0.",
        ),
        "sizes": Mistake(
            _dense(partial(_zplus_parts, of_weight=torch.abs)),
            "you took |w|. A negative weight does not turn positive: w^+ is 0 there.",
        ),
        "old_z": Mistake(
            _mixed(_zplus_parts, _plain_parts),
            "you divided by the old z, with all weights and the bias. The weights w^+ stand above and below the line.",
        ),
        "old_z_without_bias": Mistake(
            _mixed(_zplus_parts, _unbiased_parts),
            "you divided by the z of all weights. The weights w^+ stand above and below the line.",
        ),
        "positive_part_of_z": Mistake(
            _zplus_of_the_sum,
            "you took the positive part of the sum. It is the weights, and with them each product, of which the "
            "positive "
            "part is taken; then they are added up.",
        ),
        "old_weights_on_the_way_back": Mistake(
            _mixed(_unbiased_parts, _zplus_parts),
            "your z has the weights w^+, but on the way back you used all of w. The layer is the same both ways.",
        ),
        "not_a_number": Mistake(
            _dense(_zplus_parts, share=_unguarded),
            "an output that no input speaks for has z = 0, and you divide by it. There 0 / 0 = 0: it hands nothing "
            "down.",
        ),
        "only_positive_relevance": Mistake(
            lambda weight, bias, activations, relevance: _dense(_zplus_parts)(
                weight, bias, activations, relevance.clamp(min=0)
            ),
            "you dropped the negative relevance of the outputs. The rule changes the weights, not what comes from "
            "above.",
        ),
        "rescaled": Mistake(
            _dense(_zplus_parts, finish=_rescaled),
            "you scaled the result to the sum of the R_k. An output that no input speaks for hands nothing down, and "
            "the others do not take over its relevance.",
        ),
        **_step_mistakes(_zplus_parts),
    },
    properties=[
        Property(
            "nothing is lost: the inputs get all that the outputs have, except from an output that no input speaks "
            "for.",
            _kept(_zplus_parts),
        )
    ],
    relations=[_LINEAR],
)

# -- alpha-beta --------------------------------------------------------------------------------------------------------


def lrp_alpha_beta(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, alpha: float = 2.0, beta: float = 1.0
) -> Tensor:
    """Return the relevance of a dense layer's inputs by the alpha-beta rule."""
    return lrp.propagate(_as_linear(weight, bias), activations, relevance, lrp.AlphaBeta(alpha, beta))


def _alpha_beta_parts(
    weight: Tensor,
    bias: Tensor,
    activations: Tensor,
    alpha: float,
    beta: float,
    for_it: Callable[[Tensor], Tensor] = _plus,
    against_it: Callable[[Tensor], Tensor] = _minus,
) -> list[_Part]:
    return [
        _Part(alpha, [(activations, _plus(weight))], for_it(bias)),
        _Part(-beta, [(activations, _minus(weight))], against_it(bias)),
    ]


_ALPHA_BETA = {"alpha": 2.0, "beta": 1.0}


def _with_factors(change: Callable[[float, float], tuple[float, float]]) -> Callable[..., Tensor]:
    """Return the rule with other factors alpha and beta."""
    return _dense(
        lambda weight, bias, activations, alpha, beta: _alpha_beta_parts(
            weight, bias, activations, *change(alpha, beta)
        ),
        defaults=_ALPHA_BETA,
    )


def _twice_plain(weight: Tensor, bias: Tensor, activations: Tensor, alpha: float, beta: float) -> list[_Part]:
    return _plain_parts(weight, bias, activations) * 2


_alpha_beta_mixed = _mixed(_alpha_beta_parts, _twice_plain)

LRP_ALPHA_BETA = Exercise(
    name="lrp_alpha_beta",
    reference=lrp_alpha_beta,
    cases=lambda generator: _layer_cases(
        generator, [{"alpha": 2.0, "beta": 1.0}, {"alpha": 1.5, "beta": 0.5}, {"alpha": 1.0, "beta": 0.0}, {}]
    ),
    mistakes={
        "without_beta": Mistake(
            _with_factors(lambda alpha, beta: (alpha, 0.0)),
            "the part with beta is missing. What speaks against an output gets the share -beta.",
        ),
        "beta_added": Mistake(
            _with_factors(lambda alpha, beta: (alpha, -beta)),
            "you added the part with beta. (a w)^- and z^- are both negative, so that their quotient is positive, and "
            "the minus stands before beta: did you divide by |z^-|, or write a plus?",
        ),
        "exchanged": Mistake(
            _with_factors(lambda alpha, beta: (beta, alpha)),
            "you have exchanged alpha and beta: alpha goes with what speaks for the output.",
        ),
        "factors_left_out": Mistake(
            _with_factors(lambda alpha, beta: (1.0, 1.0)),
            "alpha and beta are missing as factors: you have the plain difference of the two parts.",
        ),
        "alpha_1": Mistake(
            _with_factors(lambda alpha, beta: (1.0, 0.0)),
            "this is alpha = 1, beta = 0, whatever is given.",
        ),
        "fixed": Mistake(
            _with_factors(lambda alpha, beta: (2.0, 1.0)),
            "you use alpha = 2 and beta = 1 whatever is given.",
        ),
        "bias_left_out": Mistake(
            _dense(partial(_alpha_beta_parts, for_it=_none, against_it=_none), defaults=_ALPHA_BETA),
            "your z^+ and z^- lack the bias. It is the weight of the formal unit: a positive one counts in z^+, a "
            "negative one in z^-.",
        ),
        "bias_in_both": Mistake(
            _dense(partial(_alpha_beta_parts, for_it=_itself, against_it=_itself), defaults=_ALPHA_BETA),
            "the whole bias stands in z^+ and in z^-. A positive one counts in z^+ alone, a negative one in z^- alone.",
        ),
        "bias_in_plus": Mistake(
            _dense(partial(_alpha_beta_parts, for_it=_itself, against_it=_none), defaults=_ALPHA_BETA),
            "the bias stands in z^+ whatever its sign. A negative one speaks against the output, and counts in z^-.",
        ),
        "bias_in_plus_if_positive": Mistake(
            _dense(partial(_alpha_beta_parts, against_it=_none), defaults=_ALPHA_BETA),
            "a positive bias is in your z^+, but a negative one is not in z^-.",
        ),
        "bias_halved": Mistake(
            _dense(partial(_alpha_beta_parts, for_it=_half, against_it=_half), defaults=_ALPHA_BETA),
            "half of the bias stands in z^+ and half in z^-. It is not divided: a positive one counts in z^+ alone, a "
            "negative one in z^- alone.",
        ),
        "bias_exchanged": Mistake(
            _dense(partial(_alpha_beta_parts, for_it=_minus, against_it=_plus), defaults=_ALPHA_BETA),
            "you have exchanged the two parts of the bias: a positive one counts in z^+.",
        ),
        "whole_z": Mistake(
            lambda weight, bias, activations, relevance, alpha=2.0, beta=1.0: _alpha_beta_mixed(
                weight, bias, activations, relevance, alpha=alpha, beta=beta
            ),
            "you divided both parts by the whole z. Each has its own sum: z^+ for what speaks for the output, z^- for "
            "what speaks against it.",
        ),
        "not_a_number": Mistake(
            _dense(_alpha_beta_parts, share=_unguarded, defaults=_ALPHA_BETA),
            "where nothing speaks for an output, or nothing against it, you divide by 0. That part hands nothing down: "
            "0 / 0 = 0.",
        ),
        "rescaled": Mistake(
            _dense(_alpha_beta_parts, defaults=_ALPHA_BETA, finish=_rescaled),
            "you scaled the result so that nothing is lost. The bias takes its share, and that is absorbed.",
        ),
        **_step_mistakes(_alpha_beta_parts, "over_outputs", defaults=_ALPHA_BETA),
    },
    properties=[
        Property(
            "the inputs get alpha times what z^+ hands down, less beta times what z^- hands down; the bias's parts are "
            "absorbed.",
            _kept(_alpha_beta_parts, **_ALPHA_BETA),
        )
    ],
    relations=[_LINEAR],
)

# -- z-box -------------------------------------------------------------------------------------------------------------


def lrp_zbox(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Return the relevance of a dense layer's inputs by the rule zB for pixels in [low, high]."""
    return lrp.propagate(_as_linear(weight, bias), activations, relevance, lrp.ZBox(low, high))


def _box_parts(
    weight: Tensor,
    bias: Tensor,
    activations: Tensor,
    low: float,
    high: float,
    with_low: Callable[[Tensor], Tensor] = _plus,
    with_high: Callable[[Tensor], Tensor] = _minus,
    sign: float = -1.0,
    of_bias: Callable[[Tensor], Tensor] = _none,
) -> list[_Part]:
    lowest, highest = torch.full_like(activations, low), torch.full_like(activations, high)
    terms = [(activations, weight), (lowest, sign * with_low(weight)), (highest, sign * with_high(weight))]
    return [_Part(1.0, terms, of_bias(bias))]


_BOX = {"low": 0.0, "high": 1.0}


def _box_cases(generator: torch.Generator) -> Iterator[Case]:
    for case in _layer_cases(generator, [{"low": -1.0, "high": 2.0}, {"low": 0.5, "high": 1.5}, {}]):
        arguments = dict(case.arguments)
        low, high = arguments.get("low", 0.0), arguments.get("high", 1.0)
        arguments["activations"] = low + (high - low) * arguments["activations"]
        yield Case(arguments, case.note.replace("image without activations", "image of the lowest values"))


def _with_bounds(change: Callable[[float, float], tuple[float, float]]) -> Callable[..., Tensor]:
    return _dense(
        lambda weight, bias, activations, low, high: _box_parts(weight, bias, activations, *change(low, high)),
        defaults=_BOX,
    )


def _box_mixed(above: Parts, below: Parts) -> Callable[..., Tensor]:
    mixed = _mixed(above, below)
    return lambda weight, bias, activations, relevance, low=0.0, high=1.0: mixed(
        weight, bias, activations, relevance, low=low, high=high
    )


def _all_by_activations(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    """Return a (c - c^+ - c^-) with the bounds in z alone."""
    return part.terms[0][0] * _without_activations(part, relevance, divide)


def _bounds_alone_multiplied(part: _Part, relevance: Tensor, divide: Divide) -> Tensor:
    """Return c - l c^+ - h c^-."""
    s = divide(relevance, part.z())
    (_, weight), *bounds = part.terms
    return s @ weight + sum(bound * (s @ w) for bound, w in bounds)


LRP_ZBOX = Exercise(
    name="lrp_zbox",
    reference=lrp_zbox,
    cases=_box_cases,
    mistakes={
        "bounds_exchanged": Mistake(
            _with_bounds(lambda low, high: (high, low)),
            "you have exchanged the bounds (or w^+ and w^-): l goes with w^+, and h with w^-. A product a w is "
            "smallest "
            "at the low bound where w is positive, and at the high bound where it is negative.",
        ),
        "no_box": Mistake(
            _dense(partial(_box_parts, with_low=_none, with_high=_none), defaults=_BOX),
            "the bounds are missing: this is a w alone.",
        ),
        "lrp_0": Mistake(
            _dense(partial(_box_parts, with_low=_none, with_high=_none, of_bias=_itself), defaults=_BOX),
            "this is LRP-0, with its bias. The two products with the bounds are missing, and the bias takes nothing "
            "here.",
        ),
        "low_forgotten": Mistake(
            _dense(partial(_box_parts, with_low=_none), defaults=_BOX),
            "the part with the low bound, - l w^+, is missing.",
        ),
        "high_forgotten": Mistake(
            _dense(partial(_box_parts, with_high=_none), defaults=_BOX),
            "the part with the high bound, - h w^-, is missing.",
        ),
        "bounds_added": Mistake(
            _dense(partial(_box_parts, sign=1.0), defaults=_BOX),
            "you added the products with the bounds. They are subtracted: what counts is how far a w is from the least "
            "that it could be.",
        ),
        "all_weights": Mistake(
            _dense(partial(_box_parts, with_low=_itself, with_high=_itself), defaults=_BOX),
            "you multiplied both bounds with all weights. l goes with w^+, h with w^-.",
        ),
        "low_with_all_weights": Mistake(
            _dense(partial(_box_parts, with_low=_itself, with_high=_none), defaults=_BOX),
            "you subtracted l w with all weights, as if only the low bound counted. Where w is negative, the least "
            "that "
            "a w could be is h w.",
        ),
        "sizes": Mistake(
            _dense(partial(_box_parts, with_high=lambda weight: -_minus(weight)), defaults=_BOX),
            "your w^- is positive. It is the negative part itself: w where it is negative, and 0 elsewhere.",
        ),
        "bias_kept": Mistake(
            _dense(partial(_box_parts, of_bias=_itself), defaults=_BOX),
            "your z has the bias in it. The formal unit is always 1, so it is at its bound: it takes nothing.",
        ),
        "bias_in_all_products": Mistake(
            _dense(partial(_box_parts, of_bias=torch.neg), defaults=_BOX),
            "the bias is in all three of your products, so that z lacks it twice and has it once. The formal unit is "
            "always 1, so it is at its bound: leave the bias out of all three.",
        ),
        "all_by_activations": Mistake(
            _dense(_box_parts, share=_all_by_activations, defaults=_BOX),
            "you multiplied all three products with the activations at the end. Each has its own input: "
            "R_j = a c - l c^+ - h c^-.",
        ),
        "bounds_alone_multiplied": Mistake(
            _dense(_box_parts, share=_bounds_alone_multiplied, defaults=_BOX),
            "c is not multiplied with the activations: R_j = a c - l c^+ - h c^-.",
        ),
        "default_box": Mistake(_with_bounds(lambda low, high: (0.0, 1.0)), "your box is [0, 1] whatever is given."),
        "z_plus": Mistake(
            _dense(lambda weight, bias, activations, low, high: _zplus_parts(weight, bias, activations), defaults=_BOX),
            "this is the z+ rule. Pixels are no activations behind a ReLU: the negative weights count as well, from "
            "the "
            "high bound.",
        ),
        "box_above_only": Mistake(
            _box_mixed(_box_parts, partial(_box_parts, with_low=_none, with_high=_none)),
            "the bounds are in what you hand down, but not in z. The same three products stand above and below the "
            "line.",
        ),
        "box_below_only": Mistake(
            _box_mixed(partial(_box_parts, with_low=_none, with_high=_none), _box_parts),
            "the bounds are in z, but not in what you hand down: R_j has the three products a c - l c^+ - h c^-.",
        ),
        "not_a_number": Mistake(
            _dense(_box_parts, share=_unguarded, defaults=_BOX),
            "where z is 0 you divide by 0. Nothing was handed to this output, so nothing comes back: 0 / 0 = 0.",
        ),
        **_step_mistakes(_box_parts, defaults=_BOX),
    },
    properties=[
        Property(
            "nothing is lost: the inputs get all that the outputs have, where z is not 0.", _kept(_box_parts, **_BOX)
        )
    ],
    relations=[_LINEAR],
)

# ---------------------------------------------------------------------------------------------------------------------
# propagate: any layer, by autograd
# ---------------------------------------------------------------------------------------------------------------------


def _applied(layer: nn.Module, a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what a dense layer, a convolution or an average pool (weight 1) makes of a."""
    if isinstance(layer, nn.Linear):
        return F.linear(a, weight, bias)
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(a, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    return weight * layer(a)


def _backward(function: Callable[[Tensor], Tensor], a: Tensor, signal: Tensor) -> Tensor:
    """Return the gradient of sum_k z_k(a) signal_k with respect to a."""
    a = a.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(function(a), a, signal)[0]


def _second(a: Tensor, c: Tensor) -> Tensor:
    """Return c: what is left of the last step without the product."""
    return c


Terms = list[tuple[float, list[tuple[Tensor, Tensor]], Tensor | None]]


def _terms(rule: lrp.Rule, a: Tensor, weight: Tensor, bias: Tensor | None) -> Terms:
    """Return (factor, pairs of a and w, bias) for each part of a rule, where a is at least 0 except in the box."""
    plus, minus = weight.clamp(min=0), weight.clamp(max=0)
    if isinstance(rule, lrp.Gamma):
        return [
            (1.0, [(a, weight + rule.gamma * plus)], None if bias is None else bias + rule.gamma * bias.clamp(min=0))
        ]
    if isinstance(rule, lrp.ZPlus):
        return [(1.0, [(a, plus)], None)]
    if isinstance(rule, lrp.AlphaBeta):
        positive, negative = (None, None) if bias is None else (bias.clamp(min=0), bias.clamp(max=0))
        return [(rule.alpha, [(a, plus)], positive), (-rule.beta, [(a, minus)], negative)]
    if isinstance(rule, lrp.ZBox):
        low, high = (torch.as_tensor(bound, dtype=a.dtype).expand_as(a) for bound in (rule.low, rule.high))
        return [(1.0, [(a, weight), (low, -plus), (high, -minus)], None)]
    return [(1.0, [(a, weight)], bias)]


def _four_steps(
    layer: nn.Module,
    a: Tensor,
    relevance: Tensor,
    rule: lrp.Rule,
    terms: Callable[..., Terms] = _terms,
    divide: Callable[..., Tensor] = _safely,
    multiply: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """Return the relevance of the inputs of a layer with weights (or an average pool)."""
    weight, bias = getattr(layer, "weight", torch.ones(())), getattr(layer, "bias", None)
    total = torch.zeros_like(a)
    for factor, pairs, of_bias in terms(rule, a, weight.detach(), None if bias is None else bias.detach()):
        z = sum(_applied(layer, value, w, None if n else of_bias) for n, (value, w) in enumerate(pairs)).detach()
        s = divide(relevance, z, getattr(rule, "epsilon", 0.0))
        for value, w in pairs:
            total = total + factor * multiply(value, _backward(partial(_applied, layer, weight=w, bias=None), value, s))
    return total


def _same_relevance(layer: nn.Module, a: Tensor, relevance: Tensor) -> Tensor:
    return relevance.clone()


def _moved_back(layer: nn.Module, a: Tensor, relevance: Tensor) -> Tensor:
    return _backward(layer, a, relevance)


def _in_proportion(layer: nn.Module, a: Tensor, relevance: Tensor, rule: lrp.Rule, **pieces: Any) -> Tensor:
    """Return the relevance of an average pool's inputs; only an Epsilon has something to say there."""
    return _four_steps(layer, a, relevance, lrp.Epsilon(rule.epsilon), **pieces)


def _average_by(epsilon: float) -> Ruled:
    """Return average pooling with an epsilon of its own."""
    return lambda layer, a, relevance, rule: _in_proportion(layer, a, relevance, lrp.Epsilon(epsilon))


Passed = Callable[[nn.Module, Tensor, Tensor], Tensor]
Ruled = Callable[[nn.Module, Tensor, Tensor, lrp.Rule], Tensor]


def _propagate(
    layer: nn.Module,
    activations: Tensor,
    relevance: Tensor,
    rule: lrp.Rule,
    weighted: Ruled = _four_steps,
    maximum: Passed = _moved_back,
    average: Ruled = _in_proportion,
    relu: Passed = _same_relevance,
) -> Tensor:
    """Return the relevance of a layer's inputs, with the pieces open."""
    if isinstance(layer, nn.Linear | nn.Conv2d):
        return weighted(layer, activations, relevance, rule)
    if isinstance(layer, nn.MaxPool2d):
        return maximum(layer, activations, relevance)
    if isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return average(layer, activations, relevance, rule)
    if isinstance(layer, nn.ReLU):
        return relu(layer, activations, relevance)
    if isinstance(layer, nn.Flatten):
        return relevance.reshape(activations.shape)
    return relevance.clone()


def _changed_terms(change: Callable[[lrp.Rule, Tensor, Tensor, Tensor | None], Terms | None]) -> Callable[..., Tensor]:
    """Return a propagate whose terms are those of `change`, or the right ones where that gives None."""

    def terms(rule: lrp.Rule, a: Tensor, weight: Tensor, bias: Tensor | None) -> Terms:
        changed = change(rule, a, weight, bias)
        return _terms(rule, a, weight, bias) if changed is None else changed

    return partial(_propagate, weighted=partial(_four_steps, terms=terms))


def _evenly(layer: nn.Module, a: Tensor, relevance: Tensor) -> Tensor:
    """Return the relevance of a max pool's window, in equal parts."""
    size, stride, padding = layer.kernel_size, layer.stride, layer.padding
    return _backward(lambda inputs: F.avg_pool2d(inputs, size, stride, padding), a, relevance)


def _max_in_proportion(layer: nn.Module, a: Tensor, relevance: Tensor) -> Tensor:
    even = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
    return _in_proportion(even, a, relevance, lrp.Epsilon(0.0))


def _winner_times_activation(layer: nn.Module, a: Tensor, relevance: Tensor) -> Tensor:
    return a * _moved_back(layer, a, relevance)


def _average_backward(layer: nn.Module, a: Tensor, relevance: Tensor, rule: lrp.Rule) -> Tensor:
    """Return the gradient of an average pool: the relevance in equal parts."""
    return _backward(layer, a, relevance)


def _constant_forgotten(layer: nn.Module, a: Tensor, relevance: Tensor, rule: lrp.Rule) -> Tensor:
    """Return a times the gradient of sum_k z_k s_k where s depends on a as well."""
    total = torch.zeros_like(a)
    bias = None if layer.bias is None else layer.bias.detach()
    for factor, pairs, of_bias in _terms(rule, a, layer.weight.detach(), bias):
        leaves = [value.detach().clone().requires_grad_() for value, _ in pairs]
        with torch.enable_grad():
            z = sum(
                _applied(layer, leaf, w, None if n else of_bias)
                for n, (leaf, (_, w)) in enumerate(zip(leaves, pairs, strict=True))
            )
            s = _safely(relevance, z, getattr(rule, "epsilon", 0.0))
            gradients = torch.autograd.grad((z * s).sum(), leaves)
        total = total + factor * sum(leaf.detach() * gradient for leaf, gradient in zip(leaves, gradients, strict=True))
    return total


def _division_has_a_slope(case: Case) -> bool:
    """Return whether z s depends on a: without epsilon it is R, whose gradient is rounding; at z = 0 it has a jump."""
    return case.arguments["rule"].build().epsilon > 0 and not isinstance(case.arguments["layer"], DenseOf)


def _gradient_of_layer(layer: nn.Module, a: Tensor, relevance: Tensor, rule: lrp.Rule) -> Tensor:
    return a * _backward(layer, a, relevance)


def _batch_summed(layer: nn.Module, a: Tensor, relevance: Tensor, rule: lrp.Rule) -> Tensor:
    return _four_steps(layer, a, relevance, rule).sum(0, keepdim=True).expand_as(a)


def _box_exchanged(rule: lrp.Rule, a: Tensor, weight: Tensor, bias: Tensor | None) -> Terms | None:
    if not isinstance(rule, lrp.ZBox):
        return None
    factor, ((value, w), (low, plus), (high, minus)), none = _terms(rule, a, weight, bias)[0]
    return [(factor, [(value, w), (high, plus), (low, minus)], none)]


def _with_bias_of(kind: type[lrp.Rule], change: Callable[[Tensor, lrp.Rule], Tensor | None]) -> Callable[..., Tensor]:
    """Return a propagate with another bias in one rule."""

    def changed(rule: lrp.Rule, a: Tensor, weight: Tensor, bias: Tensor | None) -> Terms | None:
        if not isinstance(rule, kind) or bias is None:
            return None
        return [(factor, pairs, change(bias, rule)) for factor, pairs, _ in _terms(rule, a, weight, bias)]

    return _changed_terms(changed)


def _always(rule: lrp.Rule, kind: type[lrp.Rule]) -> Callable[..., Tensor]:
    """Return a propagate that takes `rule` in place of every rule of one kind."""
    return lambda layer, activations, relevance, given: _propagate(
        layer, activations, relevance, rule if isinstance(given, kind) else given
    )


def _everywhere(**pieces: Any) -> dict[str, Ruled]:
    """Return other pieces of the four steps, in layers with weights and in average pooling."""
    return {"weighted": partial(_four_steps, **pieces), "average": partial(_in_proportion, **pieces)}


def _one_division(**pieces: Any) -> Callable[..., Tensor]:
    return partial(_propagate, **_everywhere(**pieces))


def _propagate_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(77)

    def case(
        source: torch.Generator,
        kind: str,
        shape: tuple[int, int, int],
        n_outputs: int,
        rule: RuleOf,
        note: str,
        n: int = 2,
        prepare: Callable[[Tensor], Tensor] = lambda a: a,
    ) -> Case:
        while True:
            network = Network(kind, draw_integer(source, 0, 2**31), shape, n_outputs)
            layer = network.build()
            flat = isinstance(layer, nn.Linear)
            a = prepare(torch.rand(n, *(shape[:1] if flat else shape), generator=source))
            z = layer(a).detach()
            if not isinstance(layer, nn.Linear | nn.Conv2d):
                break
            bias = None if layer.bias is None else layer.bias.detach()
            sums = [z] + [
                sum(_applied(layer, value, w, None if n else b) for n, (value, w) in enumerate(pairs))
                for _, pairs, b in _terms(rule.build(), a, layer.weight.detach(), bias)
            ]
            # No sum is so near to 0 that its rounding is magnified.
            if all(((values == 0) | (values.abs() > 0.01)).all() for values in sums):
                break
        relevance = torch.randn(z.shape, generator=source)
        return Case({"layer": network, "activations": a, "relevance": relevance, "rule": rule}, note)

    def with_zeros(a: Tensor) -> Tensor:
        a = a.clone()
        a[0] = a[0] * (a[0] > 0.5)
        a[..., :2] = 0.0
        return a

    zero, small = RuleOf("epsilon", (0.0,)), RuleOf("epsilon", (0.25,))
    box = RuleOf("z-box", (-0.5, 1.5))
    yield case(fixed, "dense_layer", (4, 1, 1), 4, small, "a dense layer, epsilon = 0.25", 1)
    yield case(fixed, "dense_layer_without_bias", (5, 1, 1), 3, zero, "a dense layer without bias, epsilon = 0")
    yield case(fixed, "conv_layer", (2, 4, 4), 3, small, "a convolution, epsilon = 0.25")
    yield case(fixed, "dense_layer", (6, 1, 1), 4, RuleOf("gamma", (0.5,)), "a dense layer, gamma = 0.5")
    yield case(fixed, "conv_layer", (2, 4, 5), 3, RuleOf("z+"), "a convolution, z+")
    rule = RuleOf("alpha-beta", (2.0, 1.0))
    yield case(fixed, "dense_layer", (5, 1, 1), 3, rule, "a dense layer, alpha = 2, beta = 1")
    yield case(
        fixed, "conv_layer", (3, 4, 4), 2, box, "a convolution, a box from -0.5 to 1.5", 2, lambda a: 2 * a - 0.5
    )
    yield case(fixed, "dense_layer", (4, 1, 1), 3, RuleOf("z+"), "a dense layer, z+")
    yield case(
        fixed,
        "dense_layer",
        (3, 1, 1),
        6,
        rule,
        "a dense layer, alpha = 2, beta = 1, some outputs with one sign only",
        3,
    )
    yield case(fixed, "grouped_conv_layer", (4, 6, 5), 2, small, "a convolution with dilation and groups")
    yield case(fixed, "strided_conv_layer", (2, 6, 6), 3, zero, "a convolution in steps of 2 that leaves a row over")
    yield case(fixed, "max_pool_layer", (2, 4, 6), 1, small, "max pooling")
    yield case(fixed, "max_pool_layer", (2, 4, 4), 1, zero, "max pooling, some windows all 0", 2, with_zeros)
    yield case(fixed, "overlapping_average_pool_layer", (2, 5, 6), 1, zero, "average pooling with overlapping windows")
    yield case(fixed, "average_pool_layer", (2, 4, 6), 1, zero, "average pooling, epsilon = 0")
    yield case(fixed, "average_pool_layer", (2, 6, 4), 1, small, "average pooling, epsilon = 0.25")
    yield case(
        fixed, "average_pool_layer", (2, 4, 4), 1, zero, "average pooling of small activations, epsilon = 0", 2,
        lambda a: 1e-5 * a,
    )  # fmt: skip
    yield case(
        fixed, "average_pool_layer", (2, 4, 4), 1, RuleOf("z+"), "average pooling of small activations, z+", 2,
        lambda a: 1e-5 * a,
    )  # fmt: skip
    cancelling = {
        "layer": DenseOf(((2.0, -1.0), (1.0, 3.0)), (0.0, -0.5)),
        "activations": torch.tensor([[1.0, 2.0], [0.5, 1.0]]),
        "relevance": torch.tensor([[3.0, -1.0], [1.0, 2.0]]),
    }
    yield Case({**cancelling, "rule": small}, "a dense layer with products that cancel, so that z = 0, epsilon = 0.25")
    yield Case({**cancelling, "rule": zero}, "a dense layer with products that cancel, so that z = 0, epsilon = 0")
    yield case(fixed, "relu_layer", (2, 3, 3), 1, small, "a ReLU", 2, lambda a: 2 * a - 1)
    yield case(fixed, "flatten_layer", (2, 3, 4), 1, small, "a flatten layer")
    yield case(fixed, "dropout_layer", (2, 3, 4), 1, small, "dropout in eval mode")
    yield case(generator, "dense_layer", (7, 1, 1), 5, zero, "a dense layer, epsilon = 0", 3)
    yield case(
        generator, "strided_conv_layer", (2, 7, 6), 4, RuleOf("gamma", (1.0,)), "a convolution in steps of 2, gamma = 1"
    )
    yield case(
        generator,
        "conv_layer",
        (2, 5, 4),
        3,
        RuleOf("alpha-beta", (1.5, 0.5)),
        "a convolution, alpha = 1.5, beta = 0.5",
    )
    yield case(
        generator, "strided_conv_layer", (3, 5, 6), 3, RuleOf("z+"), "a convolution in steps of 2, z+", 3, with_zeros
    )
    yield case(
        generator, "dense_layer", (6, 1, 1), 4, box, "a dense layer, a box from -0.5 to 1.5", 2, lambda a: 2 * a - 0.5
    )
    yield case(
        generator, "dense_layer_without_bias", (6, 1, 1), 4, zero, "an image of zeros and no bias, epsilon = 0", 2,
        lambda a: a * torch.tensor([[1.0], [0.0]]),
    )  # fmt: skip
    yield case(generator, "overlapping_max_pool_layer", (2, 5, 6), 1, zero, "max pooling with overlapping windows")
    yield case(
        generator, "average_pool_layer", (2, 4, 4), 1, zero, "average pooling, some windows all 0", 2, with_zeros
    )
    yield case(generator, "adaptive_pool_layer", (3, 4, 5), 1, zero, "a global average pool, epsilon = 0")
    yield case(
        generator, "overlapping_average_pool_layer", (2, 6, 5), 1, RuleOf("epsilon", (0.5,)),
        "average pooling with overlapping windows, epsilon = 0.5, some windows all 0", 2, with_zeros,
    )  # fmt: skip


def _pooling_keeps(arguments: dict[str, Any], value: Tensor) -> bool:
    layer, relevance = arguments["layer"], arguments["relevance"]
    if isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        z = layer(arguments["activations"])
        relevance = _safely(relevance * z, z, arguments["rule"].epsilon)
    elif isinstance(layer, nn.Linear | nn.Conv2d):
        return True
    kept, given = value.flatten(1).sum(1), relevance.flatten(1).sum(1)
    return bool(((kept - given).abs() <= 1e-3 * relevance.abs().flatten(1).sum(1)).all())


PROPAGATE = Exercise(
    name="propagate",
    reference=lrp.propagate,
    cases=_propagate_cases,
    mistakes={
        "without_activations": Mistake(
            _one_division(multiply=_second),
            "for layers with weights, and for average pooling, this is c. The last step is missing: R_j = a_j c_j.",
        ),
        "without_activations_by_weights": Mistake(
            partial(_propagate, weighted=partial(_four_steps, multiply=_second)),
            "for layers with weights this is c. The last step is missing: R_j = a_j c_j.",
        ),
        "s_not_constant": Mistake(
            partial(_propagate, weighted=_constant_forgotten),
            "your gradient also runs through the division. c is the gradient of sum_k z_k(a) s_k with s held constant: "
            "detach s first.",
            where=_division_has_a_slope,
        ),
        "not_divided": Mistake(
            partial(_propagate, weighted=_gradient_of_layer),
            "for layers with weights you handed the relevance itself back through the layer: a times the gradient. The "
            "rule's weights and the division by z are missing.",
        ),
        "gradient": Mistake(
            partial(
                _propagate,
                weighted=lambda layer, a, relevance, rule: _backward(layer, a, relevance),
                average=_average_backward,
                relu=_moved_back,
            ),
            "this is the gradient: you sent the relevance back through each layer as autograd does. The rule, the "
            "division "
            "by z and the product with a are missing.",
        ),
        "always_z_plus": Mistake(_always(lrp.ZPlus(), lrp.Rule), "you use the z+ rule, whatever `rule` is."),
        **{
            f"{name}_is_lrp_0": Mistake(
                _always(lrp.Epsilon(0.0), kind),
                f"your {called} rule is LRP-0. Does that rule fall through to the branch of the epsilon rule?",
            )
            for name, kind, called in (
                ("gamma", lrp.Gamma, "gamma"),
                ("zplus", lrp.ZPlus, "z+"),
                ("alpha_beta", lrp.AlphaBeta, "alpha-beta"),
                ("box", lrp.ZBox, "z-box"),
            )
        },
        "rule_ignored": Mistake(
            _always(lrp.Epsilon(1e-6), lrp.Rule), "you use the epsilon rule, with 1e-6, whatever `rule` is."
        ),
        "epsilon_ignored": Mistake(
            _always(lrp.Epsilon(0.0), lrp.Epsilon), "your epsilon rule is LRP-0: it never uses rule.epsilon."
        ),
        "unsigned": Mistake(
            _one_division(divide=_DIVISIONS["unsigned"][0]),
            "your epsilon is added whatever the sign of z. It has the sign of z, else it brings a negative z nearer "
            "to 0.",
        ),
        "not_a_number": Mistake(
            _one_division(divide=_DIVISIONS["not_a_number"][0]),
            "a layer with z = 0 (dead, or fed with zeros) makes you divide by 0. Where z and epsilon are 0, s is 0.",
        ),
        "not_a_number_by_weights": Mistake(
            partial(_propagate, weighted=partial(_four_steps, divide=_DIVISIONS["not_a_number"][0])),
            "a layer with weights and z = 0 makes you divide by 0. Where z and epsilon are 0, s is 0.",
        ),
        **{
            name: Mistake(_one_division(divide=_DIVISIONS[name][0]), _DIVISIONS[name][1])
            for name in ("sign_of_zero", "zero_always_gives_zero")
        },
        "after_the_relu": Mistake(
            _one_division(divide=lambda relevance, z, epsilon: _safely(relevance, z.clamp(min=0), epsilon)),
            "you divided by max(0, z). z_k is what the layer sums up, before any ReLU, and may be negative.",
        ),
        "epsilon_without_bias": Mistake(
            _with_bias_of(lrp.Epsilon, lambda bias, rule: None),
            "in the epsilon rule your z lacks the bias. Only z+ and the box leave it out.",
        ),
        "gamma_bias_plain": Mistake(
            _with_bias_of(lrp.Gamma, lambda bias, rule: bias),
            "in the gamma rule your bias is as it was. It is the weight of the formal unit: b + gamma b^+.",
        ),
        "gamma_without_bias": Mistake(
            _with_bias_of(lrp.Gamma, lambda bias, rule: None),
            "in the gamma rule your z lacks the bias. Only z+ and the box leave it out.",
        ),
        "zplus_sizes": Mistake(
            _changed_terms(
                lambda rule, a, weight, bias: (
                    [(1.0, [(a, weight.abs())], None)] if isinstance(rule, lrp.ZPlus) else None
                )
            ),
            "in the z+ rule you took |w|. A negative weight does not turn positive: w^+ is 0 there.",
        ),
        "zplus_with_bias": Mistake(
            _with_bias_of(lrp.ZPlus, lambda bias, rule: bias),
            "in the z+ rule your z has the bias in it; there it is 0.",
        ),
        "zplus_with_positive_bias": Mistake(
            _with_bias_of(lrp.ZPlus, lambda bias, rule: bias.clamp(min=0)),
            "in the z+ rule your z has the positive part of the bias in it; there the bias is 0.",
        ),
        "box_with_bias": Mistake(
            _with_bias_of(lrp.ZBox, lambda bias, rule: bias),
            "in the rule of the box your z has the bias in it; there it is 0.",
        ),
        "box_exchanged": Mistake(
            _changed_terms(_box_exchanged),
            "in the rule of the box you have exchanged the bounds: low goes with w^+, high with w^-.",
        ),
        "box_is_unit": Mistake(
            _always(lrp.ZBox(0.0, 1.0), lrp.ZBox), "your box is [0, 1] whatever rule.low and rule.high are."
        ),
        "alpha_beta_without_beta": Mistake(
            _changed_terms(
                lambda rule, a, weight, bias: (
                    _terms(rule, a, weight, bias)[:1] if isinstance(rule, lrp.AlphaBeta) else None
                )
            ),
            "in the alpha-beta rule the part with beta is missing.",
        ),
        "alpha_beta_added": Mistake(
            _changed_terms(
                lambda rule, a, weight, bias: (
                    [(abs(factor), pairs, b) for factor, pairs, b in _terms(rule, a, weight, bias)]
                    if isinstance(rule, lrp.AlphaBeta)
                    else None
                )
            ),
            "in the alpha-beta rule you added the part with beta. Its quotient of two negative numbers is positive, "
            "and "
            "the minus stands before it.",
        ),
        "alpha_beta_fixed": Mistake(
            _always(lrp.AlphaBeta(2.0, 1.0), lrp.AlphaBeta), "your alpha and beta are 2 and 1 whatever the rule says."
        ),
        "gamma_fixed": Mistake(_always(lrp.Gamma(0.25), lrp.Gamma), "your gamma is 0.25 whatever the rule says."),
        "max_evenly": Mistake(
            partial(_propagate, maximum=_evenly),
            "your max pooling shares out in equal parts. All goes to the winner of each window: the others did not "
            "count "
            "in the forward pass.",
        ),
        "max_in_proportion": Mistake(
            partial(_propagate, maximum=_max_in_proportion),
            "your max pooling shares out in proportion to a. All goes to the winner of each window: the others did not "
            "count in the forward pass.",
        ),
        "max_times_activation": Mistake(
            partial(_propagate, maximum=_winner_times_activation),
            "behind max pooling you multiplied with a. The winner gets the relevance itself: it is the whole of z, and "
            "a / z = 1.",
        ),
        "average_evenly": Mistake(
            partial(_propagate, average=_average_backward),
            "your average pooling shares out in equal parts. It is a layer with weights that are all the same, so that "
            "an input gets its share a_j / sum a of the window.",
        ),
        "average_times_activation": Mistake(
            partial(_propagate, average=_gradient_of_layer),
            "your average pooling multiplies with a, but never divides by z: what arrives is not what was handed down.",
        ),
        "average_not_a_number": Mistake(
            partial(
                _propagate,
                average=partial(_in_proportion, divide=_DIVISIONS["not_a_number"][0]),
            ),
            "a window of an average pool that holds only zeros makes you divide by 0. Where epsilon is 0, too, s is 0 "
            "there.",
        ),
        "average_without_epsilon": Mistake(
            partial(_propagate, average=_average_by(0.0)),
            "your average pooling never uses rule.epsilon. With an `Epsilon` its z is stabilised as in a dense layer.",
        ),
        "average_by_small_epsilon": Mistake(
            partial(_propagate, average=_average_by(1e-6)),
            "your average pooling has the epsilon 1e-6, whatever `rule` is. It is that of an `Epsilon`, and 0 with the "
            "other rules.",
        ),
        "relu_masks": Mistake(
            partial(_propagate, relu=lambda layer, a, relevance: relevance * (a > 0)),
            "your ReLU lets through only where it was active, as a gradient does. It hands on what comes: a neuron "
            "that "
            "was not active has got no relevance by itself, since R_j = a_j c_j.",
        ),
        "relu_drops_negative": Mistake(
            partial(_propagate, relu=lambda layer, a, relevance: relevance.clamp(min=0)),
            "your ReLU drops negative relevance. It hands on what comes, of both signs.",
        ),
        "relu_multiplies": Mistake(
            partial(_propagate, relu=lambda layer, a, relevance: relevance * a.clamp(min=0)),
            "your ReLU multiplies with its activation. It hands on what comes, as it is.",
        ),
        "batch_summed": Mistake(
            partial(_propagate, weighted=_batch_summed), "your relevance is added up over the images of the batch."
        ),
    },
    properties=[
        Property(
            "max pooling, ReLU, dropout and flatten lose nothing, and average pooling only what epsilon takes: their "
            "inputs get all else that their outputs have.",
            _pooling_keeps,
        )
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# lrp: the whole network
# ---------------------------------------------------------------------------------------------------------------------

Start = Callable[[Tensor, Target], Tensor]


def _one_hot(scores: Tensor, target: Target) -> Tensor:
    return F.one_hot(torch.as_tensor(target).expand(len(scores)), scores.shape[1]).to(scores.dtype)


def _score_of_target(scores: Tensor, target: Target) -> Tensor:
    return scores * _one_hot(scores, target)


Stage = tuple[str, nn.Module, Tensor, lrp.Rule]  # name, layer, what enters it, its rule


def _stages(
    model: nn.Sequential,
    inputs: Tensor,
    rule_of: Callable[[str], lrp.Rule],
    fold: bool = True,
    rule_of_norm: bool = False,
) -> list[Stage]:
    """Return the layers with what enters them; a batch norm is folded into the convolution before it."""
    found: list[Stage] = []
    a = inputs.detach().clone()
    with torch.no_grad():
        for name, layer in model.named_children():
            rule = rule_of(name)
            if fold and isinstance(layer, nn.BatchNorm2d):
                _, below, a, rule_below = found.pop()
                rule = rule if rule_of_norm else rule_below
                layer = fuse_conv_bn_eval(below, layer)
            found.append((name, layer, a, rule))
            a = layer(a.clone())
    return found


def _rule_of(model: nn.Module, rules: Any) -> Callable[[str], lrp.Rule]:
    return _rule_or(model, rules)


_MISSING, _MISSING_POOL = lrp.Epsilon(), lrp.Epsilon(0.0)


def _rule_or(
    model: nn.Module, rules: Any, missing: lrp.Rule = _MISSING, missing_pool: lrp.Rule = _MISSING_POOL
) -> Callable[[str], lrp.Rule]:
    """Return the rule by name, with those of the layers, and of the average pools, that a dict lacks."""
    rules = lrp.composite(model) if rules is None else rules
    if isinstance(rules, lrp.Rule):
        return lambda name: rules
    averages = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    return lambda name: rules.get(name, missing_pool if isinstance(model.get_submodule(name), averages) else missing)


def _walk(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    rules: Any = None,
    return_layers: bool = False,
    start: Start = _score_of_target,
    rule_of: Callable[[nn.Module, Any], Callable[[str], lrp.Rule]] = _rule_of,
    step: Callable[..., Tensor] = _propagate,
    fold: bool = True,
    rule_of_norm: bool = False,
    inputs_of_layers: bool = False,
    finish: Callable[[Tensor], Tensor] = lambda relevance: relevance,
) -> Any:
    """Return LRP with its pieces open: where it starts, which rule a layer has, how a layer hands down."""
    stages = _stages(model, inputs, rule_of(model, rules), fold, rule_of_norm)
    with torch.no_grad():
        scores = model(inputs.clone())
    relevance = start(scores, target)
    layers: dict[str, Tensor] = {}
    for name, layer, a, rule in reversed(stages):
        layers[name] = relevance
        if isinstance(layer, nn.BatchNorm2d):
            relevance = _through_norm(layer, a, relevance, rule)
        else:
            relevance = step(layer, a, relevance, rule)
        if inputs_of_layers:
            layers[name] = relevance
    relevance = finish(relevance)
    layers["inputs"] = relevance
    return (relevance, dict(reversed(layers.items()))) if return_layers else relevance


def _through_norm(layer: nn.BatchNorm2d, a: Tensor, relevance: Tensor, rule: lrp.Rule) -> Tensor:
    """Return the relevance of the inputs of a batch norm that is a layer of its own."""
    scale = (layer.weight / (layer.running_var + layer.eps).sqrt()).detach()[:, None, None]
    return a * scale * _safely(relevance, layer(a).detach(), getattr(rule, "epsilon", 0.0))


def _norm_skipped(model: nn.Sequential, inputs: Tensor, target: Target, rules: Any = None, return_layers: bool = False):
    stages = _stages(model, inputs, _rule_of(model, rules), fold=False)
    relevance = _score_of_target(model(inputs).detach(), target)
    for _, layer, a, rule in reversed(stages):
        if not isinstance(layer, nn.BatchNorm2d):
            relevance = _propagate(layer, a, relevance, rule)
    return relevance


def _highest(scores: Tensor, target: Target) -> Tensor:
    return _score_of_target(scores, scores.argmax(1))


WRONG_STARTS: dict[str, tuple[Start, str]] = {
    "all_classes": (
        lambda scores, target: scores,
        "you started from the scores of all classes. Only y_target is shared out: the other classes start with 0.",
    ),
    "softmax": (
        lambda scores, target: _score_of_target(scores.softmax(1), target),
        "you shared out the probability, after a softmax. The relevance at the top is the score y itself.",
    ),
    "one": (
        lambda scores, target: _one_hot(scores, target),
        "you started from 1 instead of the score y, so that the pixels add up to about 1 and not to y.",
    ),
    "one_for_all": (
        lambda scores, target: torch.ones_like(scores),
        "you started from 1 for every class. At the top the target has its score, and all other classes have 0.",
    ),
    "all_probabilities": (
        lambda scores, target: scores.softmax(1),
        "you shared out the probabilities of all classes. At the top the target has its score y, before a softmax, and "
        "all other classes have 0.",
    ),
    "logarithm": (
        lambda scores, target: _score_of_target(scores.log_softmax(1), target),
        "you shared out the logarithm of the probability. The relevance at the top is the score y itself.",
    ),
    "class_zero": (
        lambda scores, target: _score_of_target(scores, 0),
        "you explained class 0, whatever `target` says.",
    ),
    "highest_score": (
        _highest,
        "you explained the class with the highest score. The question is about `target`, whatever is predicted.",
    ),
    "target_of_first_image": (
        lambda scores, target: _score_of_target(scores, torch.as_tensor(target).reshape(-1)[0]),
        "you explained the first image's target for all images. Each image has its own target.",
    ),
    "positive_score": (
        lambda scores, target: _score_of_target(scores, target).clamp(min=0),
        "you dropped scores that are negative. Those are shared out as well.",
    ),
    "size_of_the_score": (
        lambda scores, target: _score_of_target(scores, target).abs(),
        "you started from |y|. A negative score is shared out as it is.",
    ),
    "against_the_others": (
        lambda scores, target: scores * (2 * _one_hot(scores, target) - 1),
        "the other classes start with minus their scores. That is a contrast; here only y_target is shared out.",
    ),
    "mean_of_batch": (
        lambda scores, target: _score_of_target(scores, target) / len(scores),
        "your map gets weaker the more images there are in the batch. The images do not share a score.",
    ),
    "crossed_targets": (
        lambda scores, target: scores * _one_hot(scores, target).sum(0).clamp(max=1),
        "with a target for each image, you took all the targets for all the images. Image n starts from its own "
        "y_target[n] alone.",
    ),
    "only_first_image": (
        lambda scores, target: _score_of_target(scores, target) * (torch.arange(len(scores)) == 0)[:, None],
        "only the first image of the batch is explained. Every image has its own score.",
    ),
}


def _first_rule(model: nn.Module, rules: Any) -> Callable[[str], lrp.Rule]:
    of = _rule_of(model, rules)
    return lambda name: of("0")


def _last_rule(model: nn.Module, rules: Any) -> Callable[[str], lrp.Rule]:
    of, last = _rule_of(model, rules), str(len(model) - 1)
    return lambda name: of(last)


def _others_by_composite(model: nn.Module, rules: Any) -> Callable[[str], lrp.Rule]:
    if not isinstance(rules, Mapping):
        return _rule_of(model, rules)
    return _rule_of(model, {**lrp.composite(model), **rules})


def _rules_upside_down(model: nn.Module, rules: Any) -> Callable[[str], lrp.Rule]:
    of = _rule_of(model, rules)
    names = [name for name, layer in model.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]
    turned = dict(zip(names, reversed(names), strict=True))
    return lambda name: of(turned.get(name, name))


def _default(rule: lrp.Rule) -> Callable[[nn.Module, Any], Callable[[str], lrp.Rule]]:
    return lambda model, rules: _rule_of(model, rule if rules is None else rules)


def _pixels_not_multiplied(
    model: nn.Sequential, inputs: Tensor, target: Target, rules: Any = None, return_layers=False
):
    def step(layer: nn.Module, a: Tensor, relevance: Tensor, rule: lrp.Rule) -> Tensor:
        if a.shape == inputs.shape and torch.equal(a, inputs):
            return _propagate(layer, a, relevance, rule, partial(_four_steps, multiply=_second))
        return _propagate(layer, a, relevance, rule)

    return _walk(model, inputs, target, rules, return_layers, step=step)


def _input_x_gradient(model: nn.Module, inputs: Tensor, target: Target, rules: Any = None, return_layers: bool = False):
    pixels = inputs.detach().clone().requires_grad_()
    scores = model(pixels.clone())
    return inputs * torch.autograd.grad((scores * _one_hot(scores, target)).sum(), pixels)[0]


def _plain_gradient(model: nn.Module, inputs: Tensor, target: Target, rules: Any = None, return_layers: bool = False):
    pixels = inputs.detach().clone().requires_grad_()
    scores = model(pixels.clone())
    return torch.autograd.grad((scores * _one_hot(scores, target)).sum(), pixels)[0]


def _rescaled_map(model: nn.Module, inputs: Tensor, target: Target, rules: Any = None, return_layers: bool = False):
    relevance = _walk(model, inputs, target, rules)
    score = _score_of_target(model(inputs).detach(), target).sum(1)
    return relevance * (score / relevance.flatten(1).sum(1))[:, None, None, None]


def _scaled_to_one(relevance: Tensor) -> Tensor:
    return relevance / relevance.abs().amax((1, 2, 3), keepdim=True)


def _positive_pixels(model: nn.Module, inputs: Tensor, target: Target, rules: Any = None, return_layers: bool = False):
    return _walk(model, inputs, target, rules, return_layers, finish=lambda relevance: relevance.clamp(min=0))


def _stepping(**pieces: Any) -> Callable[..., Any]:
    """Return LRP with other pieces of `_propagate`."""
    return partial(_walk, step=partial(_propagate, **pieces))


def _rounding_is_small(network: Network, images: Tensor, targets: Target, rules: Any) -> bool:
    """Return whether no z is so near to 0 that its rounding can be seen in the relevance of a layer."""
    rules = rules if rules is None else rules.build()
    single = lrp.lrp(network.build(), images, targets, rules, return_layers=True)[1]
    double = lrp.lrp(network.build().double(), images.double(), targets, rules, return_layers=True)[1]
    return all((single[name] - exact).abs().max() <= 1e-4 * exact.abs().max() for name, exact in double.items())


def _lrp_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(
        source: torch.Generator,
        kind: str,
        shape: tuple[int, int, int],
        n: int,
        target: int | None,
        rules: Any,
        note: str,
        brightness: float = 1.0,
        **options: Any,
    ) -> Case:
        while True:
            network = Network(kind, draw_integer(source, 0, 2**31), shape)
            images = brightness * torch.rand(n, *shape, generator=source)
            targets = torch.randint(0, 5, (n,), generator=source) if target is None else target
            if target == -1:
                with torch.no_grad():
                    targets = network.build()(images.clone()).argmin(1)
            if target is None and n > 1 and targets.unique().numel() == 1:
                targets[0] = (targets[0] + 1) % 5
            if _rounding_is_small(network, images, targets, rules):
                break
        given = {} if rules is None else {"rules": rules}
        arguments = {"model": network, "inputs": images, "target": targets, **given, **options}
        tolerance: float | Tensor = 3e-3
        if brightness < 1:  # the relevance is so small that a tolerance with a floor of 1e-7 would let much pass
            right = lrp.lrp(network.build(), images, targets, rules.build())
            tolerance = torch.full_like(right, tolerance * right.abs().max().item())
        return Case(arguments, note, tolerance=tolerance)

    fixed = torch.Generator().manual_seed(70)
    damped = RuleOf("epsilon", (0.1,))
    by_name = RulesOf((("0", RuleOf("z-box", (0.0, 1.0))), ("3", RuleOf("z+")), ("10", damped), ("8", damped)))
    yield case(fixed, "conv", (1, 8, 8), 1, 2, damped, "one grey image, epsilon = 0.1 everywhere")
    yield case(fixed, "conv", (3, 8, 8), 2, None, RuleOf("gamma", (0.5,)), "two images, a target for each, gamma = 0.5")
    yield case(fixed, "deep", (3, 8, 8), 2, 1, by_name, "pooling and dropout, a dict of rules")
    yield case(
        fixed, "conv", (3, 8, 8), 2, 3, RuleOf("z+"), "two images, z+ everywhere, all layers", return_layers=True
    )
    yield case(fixed, "conv", (3, 6, 6), 2, -1, damped, "the classes with the lowest scores, epsilon = 0.1 everywhere")
    yield case(fixed, "conv", (3, 6, 6), 2, -1, damped, "the classes with the lowest scores, epsilon = 0.1 everywhere")
    yield case(fixed, "conv", (3, 6, 6), 2, -1, damped, "the classes with the lowest scores, epsilon = 0.1 everywhere")
    yield case(fixed, "conv", (3, 6, 6), 2, -1, damped, "the classes with the lowest scores, epsilon = 0.1 everywhere")
    yield case(fixed, "without_bias", (2, 6, 6), 2, None, RuleOf("epsilon", (0.0,)), "no biases, epsilon = 0")
    # Without biases z is as small as the image is dark, so that an epsilon of 1e-6 can be told from 0.
    first_only = RulesOf((("0", RuleOf("z+")),))
    yield case(fixed, "without_bias", (2, 6, 6), 2, None, first_only, "dark images, a dict of one rule", 3e-5)
    yield case(fixed, "deep", (2, 8, 8), 2, None, damped, "average pooling, epsilon = 0.1 everywhere")
    folded = RulesOf((("0", RuleOf("z-box", (0.0, 1.0))), ("3", RuleOf("gamma", (0.25,))), ("8", damped)))
    yield case(fixed, "batch_norm", (3, 6, 6), 2, None, folded, "batch norm, a dict of rules")
    yield case(generator, "inplace", (3, 8, 6), 3, None, None, "three images, in-place ReLUs, no rules given")
    partly = RulesOf((("3", RuleOf("gamma", (1.0,))), ("8", RuleOf("z+")), ("10", damped)))
    yield case(generator, "deep", (3, 12, 8), 2, 4, partly, "a dict that lacks a layer")
    rule = RuleOf("alpha-beta", (2.0, 1.0))
    yield case(generator, "gap", (3, 6, 5), 2, None, rule, "a global average pool, alpha = 2 and beta = 1")
    weighted = RulesOf((("0", damped), ("3", damped), ("8", damped)))
    yield case(generator, "batch_norm", (3, 6, 8), 2, 0, weighted, "batch norm, epsilon = 0.1 by name")
    yield case(generator, "deep", (1, 8, 8), 3, None, None, "all layers, no rules given", return_layers=True)
    images = torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(11))
    note = "images with a wrong number of channels, so that the network raises an error"
    yield Case({"model": Network("conv", 11), "inputs": images, "target": 1}, note, raises=True)


def _kept_without_bias(arguments: dict[str, Any], value: Any) -> bool:
    """Whether LRP-0 keeps the score in a network without bias."""
    model, rules = arguments["model"], arguments.get("rules")
    if any(parameter.dim() == 1 for parameter in model.parameters()) or rules != lrp.Epsilon(0.0):
        return True
    with torch.no_grad():
        score = _score_of_target(model(arguments["inputs"]), arguments["target"]).sum(1)
    return bool(((value.flatten(1).sum(1) - score).abs() <= 1e-3 * score.abs() + 1e-5).all())


LRP = Exercise(
    name="lrp",
    reference=lrp.lrp,
    cases=_lrp_cases,
    mistakes={
        **{name: Mistake(partial(_walk, start=start), hint) for name, (start, hint) in WRONG_STARTS.items()},
        "rules_ignored": Mistake(
            partial(_walk, rule_of=lambda model, rules: _rule_of(model, None)),
            "you use the composite whatever `rules` is.",
        ),
        "epsilon_everywhere": Mistake(
            partial(_walk, rule_of=lambda model, rules: _rule_of(model, lrp.Epsilon())),
            "you use Epsilon() in every layer, whatever `rules` is.",
        ),
        "default_is_epsilon": Mistake(
            partial(_walk, rule_of=_default(lrp.Epsilon())),
            "when no rules are given you use Epsilon() everywhere. The default is the composite: composite(model).",
        ),
        "default_is_gamma": Mistake(
            partial(_walk, rule_of=_default(lrp.Gamma())),
            "when no rules are given you use Gamma() everywhere. The default is the composite: composite(model).",
        ),
        "first_rule_everywhere": Mistake(
            partial(_walk, rule_of=_first_rule),
            "the rule of the first layer is used in all layers. Look the rule up by the name of each layer.",
        ),
        "last_rule_everywhere": Mistake(
            partial(_walk, rule_of=_last_rule),
            "the rule of the last layer is used in all layers. Look the rule up by the name of each layer.",
        ),
        "rules_upside_down": Mistake(
            partial(_walk, rule_of=_rules_upside_down),
            "the layers have got their rules upside down. On the way back the last layer comes first; its rule is that "
            "of its own name.",
        ),
        "missing_layers_by_composite": Mistake(
            partial(_walk, rule_of=_others_by_composite),
            "a layer that the dict of rules does not name gets the composite's rule from you. It gets Epsilon().",
        ),
        "missing_layers_by_lrp_0": Mistake(
            partial(_walk, rule_of=partial(_rule_or, missing=lrp.Epsilon(0.0))),
            "a layer that the dict of rules does not name gets LRP-0 from you. It gets Epsilon(), whose epsilon is "
            "1e-6; only average pooling gets Epsilon(0.0).",
        ),
        "missing_pool_by_epsilon": Mistake(
            partial(_walk, rule_of=partial(_rule_or, missing_pool=lrp.Epsilon())),
            "average pooling that the dict of rules does not name gets Epsilon() from you. It gets Epsilon(0.0).",
        ),
        "norm_not_folded": Mistake(
            partial(_walk, fold=False),
            "batch norm is a layer of its own in your walk, and its shift takes a share of its own. Fold it into the "
            "convolution before it first: one layer, one bias, one rule.",
            where=lambda case: case.arguments["model"].kind == "batch_norm",
        ),
        "rule_of_norm": Mistake(
            partial(_walk, rule_of_norm=True),
            "you looked up the rule of a folded convolution under the name of its batch norm. It has the rule of the "
            "convolution.",
        ),
        "norm_skipped": Mistake(
            _norm_skipped,
            "your relevance passes batch norm as if it were not there. It scales and shifts: fold it into the "
            "convolution before it.",
            where=lambda case: case.arguments["model"].kind == "batch_norm",
        ),
        "pixels_not_multiplied": Mistake(
            _pixels_not_multiplied,
            "at the pixels this is c. The first layer, too, ends with R_j = a_j c_j, where a are the pixels.",
        ),
        "not_multiplied": Mistake(
            _stepping(weighted=partial(_four_steps, multiply=_second)),
            "no layer multiplies with its activations: R_j = a_j c_j, in every layer.",
        ),
        "input_x_gradient": Mistake(
            _input_x_gradient,
            "this is input x gradient. No layer uses its rule.",
            where=lambda case: not case.arguments.get("return_layers"),
        ),
        "gradient": Mistake(
            _plain_gradient,
            "this is the plain gradient. No layer uses its rule, and nothing is multiplied with its activations.",
            where=lambda case: not case.arguments.get("return_layers"),
        ),
        "not_a_number": Mistake(
            _stepping(weighted=partial(_four_steps, divide=_DIVISIONS["not_a_number"][0])),
            "somewhere z is 0, and you divide by it. Where z and epsilon are 0, s is 0.",
        ),
        "unsigned": Mistake(
            _stepping(weighted=partial(_four_steps, divide=_DIVISIONS["unsigned"][0])),
            "your epsilon is added whatever the sign of z. It has the sign of z.",
        ),
        "max_evenly": Mistake(
            _stepping(maximum=_evenly),
            "your max pooling shares out in equal parts. All goes to the winner of each window.",
        ),
        "average_evenly": Mistake(
            _stepping(average=_average_backward),
            "your average pooling shares out in equal parts. Its inputs get their share a_j / sum a of the window.",
        ),
        "average_without_epsilon": Mistake(
            _stepping(average=_average_by(0.0)),
            "your average pooling is LRP-0 whatever `rules` is. One rule for all layers is a rule for it, too: with an "
            "`Epsilon` it is stabilised.",
        ),
        "inputs_of_layers": Mistake(
            partial(_walk, inputs_of_layers=True),
            "your dict holds under each name the relevance of what enters the layer. It is that of the layer's "
            "outputs.",
        ),
        "negative_dropped": Mistake(
            _positive_pixels,
            "you dropped the negative relevance of the pixels. It speaks against the class, and stays.",
        ),
        "magnitude": Mistake(
            partial(_walk, finish=torch.abs),
            "you dropped the sign of the pixels' relevance. What is negative speaks against the class.",
        ),
        "scaled_to_one": Mistake(
            partial(_walk, finish=_scaled_to_one),
            "you scaled each map to a largest size of 1. That is for the picture; relevance is in units of the score.",
        ),
        "rescaled": Mistake(
            _rescaled_map,
            "you scaled the map so that it adds up to the score. What biases and epsilon take is absorbed, and may "
            "be seen.",
            where=lambda case: not case.arguments.get("return_layers"),
        ),
    },
    properties=[
        Property("without biases LRP-0 keeps the score: the relevance of the pixels adds up to y.", _kept_without_bias)
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# conservation
# ---------------------------------------------------------------------------------------------------------------------


def conservation(relevances: list[Tensor]) -> Tensor:
    """Return the sum of the relevance in each layer, (N, L)."""
    return lrp.conservation(relevances)


def _conservation_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(5)

    def layers(source: torch.Generator, *shapes: tuple[int, ...]) -> dict[str, list[Tensor]]:
        return {"relevances": [torch.randn(shape, generator=source) for shape in shapes]}

    yield Case(layers(fixed, (2, 3, 4, 4), (2, 5, 2, 2), (2, 7)), "two images, three layers")
    yield Case(layers(fixed, (3, 1, 2, 2), (3, 6), (3, 4)), "three images, three layers")
    yield Case(layers(fixed, (1, 2, 3, 3)), "one image, one layer")
    yield Case(layers(generator, (4, 3, 5, 6), (4, 2, 5, 3), (4, 8), (4, 8), (4, 5)), "four images, five layers")
    yield Case(layers(generator, (2, 6), (2, 1)), "dense layers")


def _sums(
    sum_one: Callable[[Tensor], Tensor], finish: Callable[[Tensor], Tensor] = lambda sums: sums
) -> Callable[[list[Tensor]], Tensor]:
    return lambda relevances: finish(torch.stack([sum_one(layer.flatten(1)) for layer in relevances], 1))


def _of_all(layer: Tensor) -> Tensor:
    return layer.sum(1)


CONSERVATION = Exercise(
    name="conservation",
    reference=conservation,
    cases=_conservation_cases,
    mistakes={
        "layers_first": Mistake(
            _sums(_of_all, lambda sums: sums.t()),
            "you have a row for each layer. There is a row for each image: N x L.",
        ),
        "sizes": Mistake(
            _sums(lambda layer: layer.abs().sum(1)),
            "you added up magnitudes. Positive and negative relevance cancel out.",
        ),
        "positive": Mistake(
            _sums(lambda layer: layer.clamp(min=0).sum(1)),
            "you added up the positive relevance alone. What speaks against the class counts as well.",
        ),
        "mean": Mistake(_sums(lambda layer: layer.mean(1)), "you took the mean. Conservation is about the sum."),
        "over_the_batch": Mistake(
            _sums(_of_all, lambda sums: sums.sum(0, keepdim=True).expand_as(sums)),
            "you added up the images of the batch. Each image has its own sum.",
        ),
        "one_row": Mistake(
            _sums(_of_all, lambda sums: sums.sum(0)),
            "you have one sum for the whole batch. Each image has its own: N x L.",
        ),
        "share_of_the_first": Mistake(
            _sums(_of_all, lambda sums: sums / sums[:, :1]),
            "you divided by the sum of the first layer. The sums themselves are asked for, in units of the score.",
        ),
        "share_of_the_last": Mistake(
            _sums(_of_all, lambda sums: sums / sums[:, -1:]),
            "you divided by the sum of the last layer. The sums themselves are asked for, in units of the score.",
        ),
        "reversed": Mistake(
            _sums(_of_all, lambda sums: sums.flip(1)),
            "your layers are in the reverse order. Keep the order that is given.",
        ),
        "differences": Mistake(
            _sums(_of_all, lambda sums: sums - sums[:, -1:]),
            "these are differences to the last layer. The sums themselves are asked for.",
        ),
        "first_dimension_only": Mistake(
            lambda relevances: torch.stack(
                [layer.sum(1).flatten(1)[:, 0] if layer.dim() > 2 else layer.sum(1) for layer in relevances], 1
            ),
            "of maps you added up the channels alone, at one place. The sum runs over channels, rows and columns.",
        ),
        "cumulative": Mistake(
            _sums(_of_all, lambda sums: sums.cumsum(1)),
            "your sums run on from layer to layer. Each layer's relevance is a sum of its own.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# deletion_curve
# ---------------------------------------------------------------------------------------------------------------------


def deletion_curve(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    attributions: Tensor,
    n_steps: int = 8,
    baselines: float = 0.5,
) -> Tensor:
    """Return the target's probability while the pixels are deleted, the highest first: (N, n_steps + 1)."""
    curve = evaluation.deletion_curve(model, inputs, target, attributions, n_steps=n_steps, baselines=baselines)[1]
    return curve.to(inputs.dtype)


def _of_target(logits: Tensor, target: Target) -> Tensor:
    """Return the target's probability; logits (N, K)."""
    return (logits.softmax(1) * _one_hot(logits, target)).sum(1)


def _deleted(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    attributions: Tensor,
    n_steps: int = 8,
    baselines: float = 0.5,
    pixel: Callable[[Tensor], Tensor] = lambda attributions: attributions.sum(1, keepdim=True),
    key: Callable[[Tensor], Tensor] = lambda values: -values,
    number: Callable[[int, int, int], int] = lambda k, n_steps, n_pixels: round(k * n_pixels / n_steps),
    score: Callable[[Tensor, Target], Tensor] = _of_target,
    start: int = 0,
    together: bool = False,
    insert: bool = False,
    window: bool = False,
) -> Tensor:
    """Return a curve with its pieces open: what ranks the pixels, how many are deleted, and what is read off."""
    values = key(pixel(attributions)).flatten(1)
    order = (values.mean(0, keepdim=True).expand_as(values) if together else values).argsort(dim=1, stable=True)
    rank = order.argsort(1).view(len(inputs), -1, *inputs.shape[2:])
    curve = []
    for k in range(start, n_steps + 1):
        gone = rank < number(k, n_steps, values.shape[1])
        if window and k:
            gone = gone & ~(rank < number(k - 1, n_steps, values.shape[1]))
        with torch.no_grad():
            filled = torch.full_like(inputs, baselines)
            curve.append(score(model(torch.where(gone != insert, filled, inputs)), target))
    return torch.stack(curve, 1)


def _deletion_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(17)

    def case(
        source: torch.Generator,
        kind: str,
        shape: tuple[int, int, int],
        n: int,
        target: int | None,
        note: str,
        **options: Any,
    ) -> Case:
        network = Network(kind, draw_integer(source, 0, 2**31), shape)
        arguments = {
            "model": network,
            "inputs": torch.rand(n, *shape, generator=source),
            "target": torch.randperm(5, generator=source)[:n] if target is None else target,
            "attributions": torch.randn(n, *shape, generator=source),
        }
        said = "".join(f", {name} = {value:g}" for name, value in options.items())
        return Case({**arguments, **options}, note + said)

    yield case(fixed, "conv", (1, 8, 8), 1, 2, "one grey image", n_steps=4, baselines=0.0)
    yield case(fixed, "conv", (3, 8, 8), 2, None, "two colour images, a target for each", n_steps=8, baselines=0.5)
    yield case(fixed, "gap", (3, 6, 8), 3, 1, "three images, one target for all", n_steps=16, baselines=1.0)
    yield case(fixed, "conv", (3, 6, 8), 2, None, "two images, no steps and no baselines given")
    yield case(generator, "inplace", (3, 8, 6), 3, None, "three images", n_steps=6, baselines=0.25)
    yield case(generator, "conv", (2, 8, 8), 2, 0, "two images", n_steps=64, baselines=0.5)
    yield case(
        generator, "gap", (3, 6, 6), 2, None, "a number of steps that does not divide 36", n_steps=5, baselines=0.0
    )


def _ends_of_the_curve(arguments: dict[str, Any], value: Tensor) -> bool:
    with torch.no_grad():
        blank = torch.full_like(arguments["inputs"], arguments.get("baselines", 0.5))
        first, last = (
            _of_target(arguments["model"](x), arguments["target"]) for x in (arguments["inputs"].clone(), blank)
        )
    return bool(((value[:, 0] - first).abs() < 1e-4).all() and ((value[:, -1] - last).abs() < 1e-4).all())


DELETION_CURVE = Exercise(
    name="deletion_curve",
    reference=deletion_curve,
    cases=_deletion_cases,
    mistakes={
        "ascending": Mistake(
            partial(_deleted, key=lambda values: values),
            "you delete the lowest pixels first. The question is whether the pixels that were named first did matter.",
        ),
        "by_size": Mistake(
            partial(_deleted, key=lambda values: -values.abs()),
            "you delete by |R|. A pixel with large negative relevance speaks against the class: it comes last.",
        ),
        "sizes_added_up": Mistake(
            partial(_deleted, pixel=lambda attributions: attributions.abs().sum(1, keepdim=True)),
            "you added up the magnitudes of a pixel's channels. Its relevance is their sum, with signs.",
        ),
        "channel_by_channel": Mistake(
            partial(_deleted, pixel=lambda attributions: attributions),
            "you delete channel by channel. A pixel goes as a whole: add up its channels, and delete it in all of "
            "them.",
        ),
        "largest_channel": Mistake(
            partial(_deleted, pixel=lambda attributions: attributions.amax(1, keepdim=True)),
            "you rank a pixel by its largest channel. Its relevance is the sum of its channels.",
        ),
        "first_channel": Mistake(
            partial(_deleted, pixel=lambda attributions: attributions[:, :1]),
            "you rank a pixel by its first channel. Its relevance is the sum of all its channels.",
        ),
        "random": Mistake(
            partial(_deleted, key=lambda values: torch.arange(values.numel()).view_as(values).float()),
            "you delete row by row, and never look at the relevance.",
        ),
        "score_for_probability": Mistake(
            partial(_deleted, score=lambda logits, target: (logits * _one_hot(logits, target)).sum(1)),
            "you follow the score. The curve shows the probability, after a softmax.",
        ),
        "logarithm": Mistake(
            partial(_deleted, score=lambda logits, target: (logits.log_softmax(1) * _one_hot(logits, target)).sum(1)),
            "you follow the logarithm of the probability.",
        ),
        "predicted_class": Mistake(
            partial(_deleted, score=lambda logits, target: logits.softmax(1).amax(1)),
            "you follow the highest probability, of whatever class. It is that of `target`.",
        ),
        "target_of_first_image": Mistake(
            partial(_deleted, score=lambda logits, target: _of_target(logits, torch.as_tensor(target).reshape(-1)[0])),
            "you follow the first image's target in all images.",
        ),
        "class_zero": Mistake(
            partial(_deleted, score=lambda logits, target: logits.softmax(1)[:, 0]),
            "you follow class 0, whatever `target` says.",
        ),
        "fall": Mistake(
            lambda *arguments, **options: (lambda curve: curve[:, :1] - curve)(_deleted(*arguments, **options)),
            "you return by how much the probability has fallen. The curve is the probability itself.",
        ),
        "relative": Mistake(
            lambda *arguments, **options: (lambda curve: curve / curve[:, :1])(_deleted(*arguments, **options)),
            "you divided by the probability of the whole image. The curve is the probability itself.",
        ),
        "insertion": Mistake(
            partial(_deleted, insert=True),
            "this is insertion: the pixels are put into a blank image. Deletion begins with the whole image.",
        ),
        "first_point_missing": Mistake(
            partial(_deleted, start=1),
            "the curve's first point is missing, where nothing is deleted: there are n_steps + 1 points.",
        ),
        "last_point_missing": Mistake(
            lambda *arguments, **options: _deleted(*arguments, **options)[:, :-1],
            "the curve's last point is missing, where all is deleted: there are n_steps + 1 points.",
        ),
        "one_step_late": Mistake(
            partial(_deleted, number=lambda k, n_steps, n_pixels: round(max(k - 1, 0) * n_pixels / n_steps)),
            "you are one step late: after step k, k / n_steps of the pixels are gone, at the end all.",
        ),
        "rounded_down": Mistake(
            partial(_deleted, number=lambda k, n_steps, n_pixels: k * n_pixels // n_steps),
            "where the number of pixels is not whole, you rounded down. It is the nearest whole number.",
        ),
        "rounded_up": Mistake(
            partial(_deleted, number=lambda k, n_steps, n_pixels: -(-k * n_pixels // n_steps)),
            "where the number of pixels is not whole, you rounded up. It is the nearest whole number.",
        ),
        "whole_steps": Mistake(
            partial(_deleted, number=lambda k, n_steps, n_pixels: k * (n_pixels // n_steps)),
            "your steps all have the same number of pixels, so that some are left at the end. After step k it is k / "
            "n_steps "
            "of all pixels, rounded.",
        ),
        "one_step_early": Mistake(
            partial(_deleted, number=lambda k, n_steps, n_pixels: round(min(k + 1, n_steps) * n_pixels / n_steps)),
            "you are one step early: at the first point nothing is deleted.",
        ),
        "softmax_over_images": Mistake(
            partial(_deleted, score=lambda logits, target: (logits.softmax(0) * _one_hot(logits, target)).sum(1)),
            "your softmax runs over the images of the batch. The probabilities of an image are over its classes.",
        ),
        "one_pixel_a_step": Mistake(
            partial(_deleted, number=lambda k, n_steps, n_pixels: k),
            "you delete one pixel in each step. After step k, k / n_steps of all pixels are gone.",
            where=lambda case: case.arguments.get("n_steps") != 64,
        ),
        "put_back": Mistake(
            partial(_deleted, window=True),
            "in each step you start from the whole image again, without what was deleted before. Deleted pixels stay "
            "deleted.",
        ),
        "black": Mistake(
            lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: _deleted(
                model, inputs, target, attributions, n_steps, 0.0
            ),
            "you paint deleted pixels black, whatever `baselines` is.",
        ),
        "grey": Mistake(
            lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: _deleted(
                model, inputs, target, attributions, n_steps, 0.5
            ),
            "you paint deleted pixels grey, 0.5, whatever `baselines` is.",
        ),
        "default_black": Mistake(
            lambda model, inputs, target, attributions, n_steps=8, baselines=0.0: _deleted(
                model, inputs, target, attributions, n_steps, baselines
            ),
            "when no baselines are given you paint black. The default is 0.5, grey.",
        ),
        "one_order_for_all": Mistake(
            partial(_deleted, together=True),
            "all images lose the same pixels. Each image has its own map, and its own order.",
        ),
    },
    properties=[
        Property(
            "the curve begins with the probability of the whole image, and ends with that of a blank one.",
            _ends_of_the_curve,
        )
    ],
)

EXERCISES: tuple[Exercise | ValueExercise, ...] = (
    FOUR_STEPS,
    ZPLUS_BY_HAND,
    ABSORBED,
    DIVIDE,
    LRP_EPSILON,
    LRP_GAMMA,
    LRP_ZPLUS,
    LRP_ALPHA_BETA,
    LRP_ZBOX,
    RULE_FOR_LAYER,
    PROPAGATE,
    LRP,
    CONSERVATION,
    DELETION_CURVE,
)
