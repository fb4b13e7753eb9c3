"""The exercises of unit 06: gradients as explanations, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_gradient`, `_modified_gradient`, `_cam_parts`, `_layer_path`),
which are independent of the references in ``course_utils.gradient_methods``. In the hints, as in the lab: y_c(I) is the
score of class c for the image I, w = dy_c/dI its derivative, w_k that of colour channel k, P_c the probability of class
c after the softmax, I' the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import gradient_methods
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    Relation,
    Seed,
    Statistic,
    ValueExercise,
    decided_by,
    draw_integer,
)

Target = int | Tensor
Score = Callable[[Tensor, Target], Tensor]  # scores (..., N, K) and target -> the number that is differentiated


# ---------------------------------------------------------------------------------------------------------------------
# Which score is differentiated: one right way, and the wrong ones
# ---------------------------------------------------------------------------------------------------------------------


def _each_target(scores: Tensor, target: Target) -> Tensor:
    n_images = scores.shape[-2]
    return scores[..., torch.arange(n_images), torch.as_tensor(target).expand(n_images)]


def _target_score(scores: Tensor, target: Target) -> Tensor:
    return _each_target(scores, target).sum()


WRONG_SCORES: dict[str, tuple[Score, str]] = {
    "softmax": (
        lambda scores, target: _target_score(scores.softmax(-1), target),
        "you differentiated the probability P_c, after a softmax. The lecture explains the score y_c before it: a "
        "probability also grows when the other scores fall, so that the map shows the other classes as well.",
    ),
    "loss": (
        lambda scores, target: -_target_score(scores.log_softmax(-1), target),
        "you differentiated the training loss, -log P_c. Explain the class score y_c itself: the loss has the opposite "
        "sign, and all the other classes in it.",
    ),
    "highest_score": (
        lambda scores, target: scores.amax(-1).sum(),
        "you explained the class with the highest score. The question is about `target`, whatever is predicted.",
    ),
    "all_classes": (
        lambda scores, target: scores.sum(),
        "you differentiated the sum of all class scores. Only y_target counts: set all other classes to zero.",
    ),
    "class_zero": (
        lambda scores, target: scores[..., 0].sum(),
        "you explained class 0, whatever `target` says.",
    ),
    "crossed_targets": (
        lambda scores, target: scores[..., target].sum(),
        "with a target for each image, you took all the targets for all the images: indexing the columns of the scores "
        "with N targets gives N x N numbers. Image n has only its own y_target[n].",
    ),
    "first_image": (
        lambda scores, target: _each_target(scores, target)[..., 0].sum(),
        "only the first image of the batch is explained. Every image of `inputs` has its own score and its own map.",
    ),
    "mean_of_batch": (
        lambda scores, target: _target_score(scores, target) / scores.shape[-2],
        "your map gets weaker the more images there are in the batch: you took the mean of their scores before the "
        "derivative. The images do not share a score: the sum leaves the derivative of each one as it is.",
    ),
}


def _score_mistakes(
    method: Callable[..., Tensor], where: Callable[[Case], bool] = lambda case: True
) -> dict[str, Mistake]:
    """Return the mistakes of explaining the wrong score, for a right `method` that takes the score as `score=`."""
    return {
        name: Mistake(partial(method, score=score), hint, where=where) for name, (score, hint) in WRONG_SCORES.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


def _images(generator: torch.Generator, n_images: int, network: Network) -> Tensor:
    """Return images (N, C, H, W) in [0, 1]."""
    return torch.rand(n_images, *network.shape, generator=generator)


def _drawn_network(generator: torch.Generator, kind: str, shape: tuple[int, int, int] = (3, 8, 8)) -> Network:
    return Network(kind, draw_integer(generator, 0, 2**31), shape)


def _drawn_targets(generator: torch.Generator, n_images: int, network: Network) -> Tensor:
    return torch.randint(0, network.n_classes, (n_images,), generator=generator)


def _ranked_targets(network: Network, inputs: Tensor, rank: int) -> Tensor:
    """Return the class with the `rank`-th highest score of each image: 0 is the predicted class."""
    with torch.no_grad():
        return network.build()(inputs).argsort(dim=1, descending=True)[:, rank]


def _image_cases(generator: torch.Generator, kinds: tuple[str, str, str]) -> Iterator[Case]:
    """Yield the cases of every method with the signature (model, inputs, target): three fixed, three drawn.

    kinds: of the networks: a usual one, one with a global average pool, and a third.
    """
    usual, pooled, third = kinds
    fixed = torch.Generator().manual_seed(6)

    def case(network: Network, inputs: Tensor, target: Target, note: str) -> Case:
        return Case({"model": network, "inputs": inputs, "target": target}, note)

    network = Network(usual, 1, (1, 8, 8))
    yield case(network, _images(fixed, 1, network), 2, "one grey image")
    network = Network(usual, 2)
    inputs = _images(fixed, 2, network)
    yield case(network, inputs, _ranked_targets(network, inputs, 2), "two colour images, a target for each")
    network = Network(third, 3, (3, 6, 6))
    yield case(network, _images(fixed, 3, network), 1, "three images, one target for all")

    network = _drawn_network(generator, usual, (3, 8, 10))
    targets = _drawn_targets(generator, 3, network)
    yield case(network, _images(generator, 3, network), targets, "three images that are wider than high")
    network = _drawn_network(generator, pooled)
    inputs = _images(generator, 2, network)
    inputs[:, :, :3] = 0
    yield case(network, inputs, _ranked_targets(network, inputs, 1), "two images with black pixels")
    network = _drawn_network(generator, third, (2, 7, 6))
    targets = _drawn_targets(generator, 2, network)
    yield case(network, 2 * _images(generator, 2, network) - 1, targets, "two images with negative values")


def _failing_case(**arguments: Any) -> Case:
    """Return a case in which the network raises an error: hooks and modes must be put back all the same."""
    network = Network("conv", 11)
    images = torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(11))
    note = "images with a wrong number of channels, so that the network raises an error"
    return Case({"model": network, "inputs": images, "target": 1, **arguments}, note, raises=True)


# ---------------------------------------------------------------------------------------------------------------------
# Relations between cases
# ---------------------------------------------------------------------------------------------------------------------


# ---------------------------------------------------------------------------------------------------------------------
# relu_backward
# ---------------------------------------------------------------------------------------------------------------------

# The tables of the lecture, "Difference in backpropagating through ReLU": X_n, df/dX_{n+1}, and df/dX_n by each rule.
TABLE_INPUTS = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
TABLE_GRADIENT = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]])
TABLE_RESULTS = {
    "gradient": torch.tensor([[-2.0, 0, -1], [6, 0, 0], [0, -1, 3]]),
    "deconvnet": torch.tensor([[0.0, 3, 0], [6, 0, 1], [2, 0, 3]]),
    "guided": torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 0, 3]]),
}


def _relu_cases(generator: torch.Generator) -> Iterator[Case]:
    table = {"inputs": TABLE_INPUTS[None, None], "output_gradient": TABLE_GRADIENT[None, None]}
    for rule, result in TABLE_RESULTS.items():
        yield Case({**table, "rule": rule}, f"a table of 3 x 3 numbers, rule {rule!r}", expected=result[None, None])
    yield Case(table, "a table of 3 x 3 numbers, no rule given", expected=TABLE_RESULTS["gradient"][None, None])
    for rule in TABLE_RESULTS:
        inputs = torch.randn(2, 3, 5, 4, generator=generator)
        inputs[0, :, 2] = 0.0
        gradient = torch.randn(inputs.shape, generator=generator)
        arguments = {"inputs": inputs, "output_gradient": gradient, "rule": rule}
        yield Case(arguments, f"maps with exact zeros in them, rule {rule!r}")
        arguments = {"inputs": -inputs.abs(), "output_gradient": gradient, "rule": rule}
        yield Case(arguments, f"a ReLU that was never active, rule {rule!r}")


def _by_masks(forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return a relu_backward with the given masks of X_n and of df/dX_{n+1}."""

    def relu_backward(inputs: Tensor, output_gradient: Tensor, rule: str = "gradient") -> Tensor:
        result = output_gradient
        if rule in ("gradient", "guided"):
            result = result * forward(inputs)
        if rule in ("deconvnet", "guided"):
            result = result * backward(output_gradient)
        return result

    return relu_backward


def _positive(values: Tensor) -> Tensor:
    return (values > 0).to(values.dtype)


_relu = _by_masks(_positive, _positive)


def _with_rules(**wrong: str) -> Callable[..., Tensor]:
    """Return a relu_backward that takes another rule for each of those that are named."""
    return lambda inputs, output_gradient, rule="gradient": _relu(inputs, output_gradient, wrong.get(rule, rule))


RELU_BACKWARD = Exercise(
    name="relu_backward",
    reference=gradient_methods.relu_backward,
    cases=_relu_cases,
    mistakes={
        "rules_swapped": Mistake(
            _with_rules(gradient="deconvnet", deconvnet="gradient"),
            "you have mixed up 'gradient' and 'deconvnet'. The gradient asks where the ReLU was active in the forward "
            "pass (X_n > 0), the deconvnet where the signal that comes back is positive.",
        ),
        "both_conditions_for_deconvnet": Mistake(
            _with_rules(guided="deconvnet", deconvnet="guided"),
            "you have mixed up 'deconvnet' and 'guided': 'guided' has both conditions, the deconvnet only the one on "
            "the signal that comes back.",
        ),
        "guided_by_default": Mistake(
            lambda inputs, output_gradient, rule="guided": _relu(inputs, output_gradient, rule),
            "your rules are right, but when no rule is given yours is 'guided'. The default is \"gradient\".",
        ),
        "rule_ignored": Mistake(
            _with_rules(deconvnet="gradient", guided="gradient"),
            "you give the plain gradient for every rule. 'deconvnet' and 'guided' ask something of df/dX_{n+1}, too.",
        ),
        "zero_lets_through": Mistake(
            _by_masks(lambda inputs: (inputs >= 0).float(), _positive),
            "where X_n is exactly 0 you let the signal through. The condition is 1(X_n > 0), without equality.",
        ),
        "guided_without_forward": Mistake(
            _with_rules(guided="deconvnet"),
            "your 'guided' is the deconvnet's rule: it has two conditions, and yours forgets 1(X_n > 0).",
        ),
        "guided_without_backward": Mistake(
            _with_rules(guided="gradient"),
            "your 'guided' is the plain gradient: it has two conditions, and yours forgets 1(df/dX_{n+1} > 0).",
        ),
        "wrong_side": Mistake(
            _by_masks(lambda inputs: _positive(-inputs), _positive),
            "your forward condition is the wrong way round: the signal passes where X_n was positive, not negative.",
        ),
        "only_the_condition": Mistake(
            lambda inputs, output_gradient, rule="gradient": _positive(_relu(inputs, output_gradient, rule).abs()),
            "you return the condition alone, zeros and ones. It has to be multiplied with df/dX_{n+1}.",
        ),
        "magnitude": Mistake(
            _by_masks(_positive, torch.sign),
            "you take the magnitude of what comes back. Where df/dX_{n+1} is negative, the condition is 0: nothing "
            "passes.",
        ),
        "output_of_the_relu": Mistake(
            lambda inputs, output_gradient, rule="gradient": inputs.clamp(min=0),
            "you return max(X_n, 0), what the ReLU computes on the way forward. On the way back it hands down "
            "df/dX_{n+1}, where the rule lets it through.",
        ),
        "times_activation": Mistake(
            _by_masks(torch.relu, _positive),
            "you multiply with the activation max(X_n, 0). The derivative of the ReLU is 1(X_n > 0): only zero or one.",
        ),
    },
    properties=[
        Property(
            "nothing passes where X_n <= 0 by the rules 'gradient' and 'guided'.",
            lambda arguments, value: (
                arguments.get("rule") == "deconvnet" or not value[arguments["inputs"] <= 0].abs().sum() > 0
            ),
        ),
        Property(
            "the rules 'deconvnet' and 'guided' give no negative numbers.",
            lambda arguments, value: arguments.get("rule", "gradient") == "gradient" or bool((value >= 0).all()),
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# saliency, input_x_gradient
# ---------------------------------------------------------------------------------------------------------------------


def _gradient(model: nn.Module, inputs: Tensor, target: Target, score: Score = _target_score) -> Tensor:
    """Return dy/dI for images (..., N, C, H, W): batches may be stacked, as the samples of SmoothGrad are."""
    inputs = inputs.detach().clone().requires_grad_()
    scores = model(inputs.flatten(0, -4)).unflatten(0, inputs.shape[:-3])
    return torch.autograd.grad(score(scores, target), inputs)[0]


def _saliency(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    score: Score = _target_score,
    channels: Callable[[Tensor], Tensor] = lambda gradient: gradient.abs().amax(1),
) -> Tensor:
    return channels(_gradient(model, inputs, target, score))


def _scaled_to_one(gradient: Tensor) -> Tensor:
    maps = gradient.abs().amax(1)
    return maps / maps.amax((1, 2), keepdim=True)


def _scaled_with_batch(gradient: Tensor) -> Tensor:
    maps = gradient.abs().amax(1)
    return maps / maps.amax()


def _stretched(gradient: Tensor) -> Tensor:
    maps = gradient.abs().amax(1)
    return (maps - maps.amin()) / (maps.amax() - maps.amin())


SALIENCY = Exercise(
    name="saliency",
    reference=gradient_methods.saliency,
    cases=lambda generator: _image_cases(generator, ("conv", "gap", "inplace")),
    mistakes={
        "signed_maximum": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.amax(1)),
            "you kept the sign: the lecture ranks pixels by the magnitude |w|, so that M = max_k |w_k|.",
        ),
        "magnitude_after_maximum": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.amax(1).abs()),
            "you took the maximum over the channels first and the magnitude after it: |max_k w_k| misses a channel "
            "with a large negative derivative. The lecture has max_k |w_k|.",
        ),
        "mean_of_channels": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.abs().mean(1)),
            "you took the mean over the colour channels; the lecture takes the maximum, M = max_k |w_k|.",
        ),
        "sum_of_channels": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.abs().sum(1)),
            "you took the sum over the colour channels; the lecture takes the maximum, M = max_k |w_k|.",
        ),
        "channels_kept": Mistake(
            partial(_saliency, channels=torch.abs),
            "you still have one map for each colour channel. A saliency map has one number a pixel: max_k |w_k|.",
        ),
        "times_input": Mistake(
            lambda model, inputs, target: (inputs * _gradient(model, inputs, target)).abs().amax(1),
            "you multiplied with the image. That is input x gradient, the next method; here w is alone.",
        ),
        "scaled_to_one": Mistake(
            partial(_saliency, channels=_scaled_to_one),
            "you scaled each map to a maximum of 1. That is for the picture; here the derivative itself is asked for.",
        ),
        "scaled_with_batch": Mistake(
            partial(_saliency, channels=_scaled_with_batch),
            "you divided by the largest number of all maps. That is for the picture; here the derivative itself is "
            "asked for.",
        ),
        "stretched": Mistake(
            partial(_saliency, channels=_stretched),
            "you stretched your maps to the range from 0 to 1. That is for the picture; here the derivative itself is "
            "asked for.",
        ),
        **_score_mistakes(_saliency),
    },
    properties=[
        Property(
            "a saliency map has no negative numbers: it is a magnitude.",
            lambda arguments, value: bool((value >= 0).all()),
        )
    ],
)


def _input_x_gradient(model: nn.Module, inputs: Tensor, target: Target, score: Score = _target_score) -> Tensor:
    return inputs * _gradient(model, inputs, target, score)


INPUT_X_GRADIENT = Exercise(
    name="input_x_gradient",
    reference=gradient_methods.input_x_gradient,
    cases=lambda generator: _image_cases(generator, ("conv", "gap", "inplace")),
    mistakes={
        "no_input": Mistake(
            _gradient,
            "this is the derivative alone. In y = w^T x the contribution of x_i is w_i x_i, not w_i.",
        ),
        "magnitude": Mistake(
            lambda model, inputs, target: _input_x_gradient(model, inputs, target).abs(),
            "you dropped the sign. A contribution w_i x_i may be negative: it then speaks against the class.",
        ),
        "magnitude_of_gradient": Mistake(
            lambda model, inputs, target: inputs * _gradient(model, inputs, target).abs(),
            "you took |w| before the product, as in saliency. The sign of w_i belongs to the contribution w_i x_i.",
        ),
        "times_saliency": Mistake(
            lambda model, inputs, target: inputs * _saliency(model, inputs, target)[:, None],
            "you multiplied the image with the saliency map. Magnitude and maximum have taken the signs and the "
            "colours out of it: multiply with the derivative w itself.",
        ),
        "channels_summed": Mistake(
            lambda model, inputs, target: _input_x_gradient(model, inputs, target).sum(1),
            "you added up the colour channels. The attribution has the shape of `inputs`, a number for each channel.",
        ),
        "times_score": Mistake(
            lambda model, inputs, target: (
                _each_target(model(inputs), target)[:, None, None, None] * _gradient(model, inputs, target)
            ),
            "you multiplied the derivative with the score y instead of with the image, pixel by pixel.",
        ),
        **_score_mistakes(_input_x_gradient),
    },
    properties=[
        Property(
            "a pixel of value 0 contributes w_i * 0 = 0: the side effect that the lecture names.",
            lambda arguments, value: bool((value[arguments["inputs"] == 0] == 0).all()),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# guided_backprop
# ---------------------------------------------------------------------------------------------------------------------

Rule = Callable[[Tensor, Tensor], Tensor]  # X_n and df/dX_{n+1} -> df/dX_n


class _RuledReLU(torch.autograd.Function):
    """A ReLU with another backward pass."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, rule: Rule) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.rule = rule
        return inputs.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.rule(ctx.saved_tensors[0], output_gradient), None


def _relu_rule(name: str, relu_backward: Callable[..., Tensor] = _relu) -> Rule:
    return lambda inputs, output_gradient: relu_backward(inputs, output_gradient, name)


_guided_rule = _relu_rule("guided")


def _modified_gradient(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    score: Score = _target_score,
    rule: Rule = _guided_rule,
    first: int = 0,
    last: int | None = None,
) -> Tensor:
    """Return the backward pass with `rule` at the ReLUs number `first` to `last` (excluded), as in a slice."""
    ruled = [layer for layer in model if isinstance(layer, nn.ReLU)][first:last]

    def forward(images: Tensor) -> Tensor:
        for layer in model:
            images = _RuledReLU.apply(images, rule) if layer in ruled else layer(images)
        return images

    return _gradient(forward, inputs, target, score)


def _hook_on_convolutions(model: nn.Sequential, inputs: Tensor, target: Target) -> Tensor:
    """Return the gradient with its negative part dropped at the input of every convolution."""

    def keep_positive(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (inputs[0].clamp(min=0),)

    hooks = [layer.register_full_backward_hook(keep_positive) for layer in model if isinstance(layer, nn.Conv2d)]
    try:
        return _gradient(model, inputs, target)
    finally:
        for hook in hooks:
            hook.remove()


def _guided_cases(generator: torch.Generator) -> Iterator[Case]:
    yield from _image_cases(generator, ("conv", "gap", "conv"))
    yield _failing_case()


GUIDED_BACKPROP = Exercise(
    name="guided_backprop",
    reference=gradient_methods.guided_backprop,
    cases=_guided_cases,
    mistakes={
        "plain_gradient": Mistake(
            _gradient,
            "this is the plain gradient: no ReLU of the network uses your rule. Did the hook or the replaced layer "
            "take part in the backward pass?",
        ),
        "deconvnet": Mistake(
            partial(_modified_gradient, rule=_relu_rule("deconvnet")),
            "this is the deconvnet: you ask for df/dX_{n+1} > 0 alone. Guided backpropagation also asks for X_n > 0.",
        ),
        "positive_part_at_the_end": Mistake(
            lambda model, inputs, target: _gradient(model, inputs, target).clamp(min=0),
            "you dropped the negative numbers once, at the image. The rule works at every ReLU on the way back.",
        ),
        "positive_part_as_well": Mistake(
            lambda model, inputs, target: _modified_gradient(model, inputs, target).clamp(min=0),
            "you dropped the negative numbers at the image as well. Below the first ReLU there is none that could: the "
            "first convolution may give negative values, and they stay.",
        ),
        "hook_on_convolutions": Mistake(
            _hook_on_convolutions,
            "you drop the negative numbers at the convolutions. The rule belongs to the ReLUs, and to them alone.",
        ),
        "only_last_relu": Mistake(
            partial(_modified_gradient, first=-1),
            "only the last ReLU of the network uses your rule, all the others the plain gradient.",
        ),
        "only_first_relu": Mistake(
            partial(_modified_gradient, last=1),
            "only the first ReLU of the network uses your rule, all the others the plain gradient.",
        ),
        "wrong_side": Mistake(
            partial(
                _modified_gradient,
                rule=lambda inputs, gradient: gradient * _positive(inputs) * _positive(-gradient),
            ),
            "you keep the negative signals and drop the positive ones: the condition is df/dX_{n+1} > 0.",
        ),
        "times_input": Mistake(
            lambda model, inputs, target: inputs * _modified_gradient(model, inputs, target),
            "you multiplied with the image. Guided backpropagation ends with the signal that arrives at the image.",
        ),
        **_score_mistakes(_modified_gradient),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# smoothgrad
# ---------------------------------------------------------------------------------------------------------------------

# stdevs of the cases with noise, and the largest number of their images: stdevs, its half, its square, its part of the
# image's range and the deviation of uniform noise between -stdevs and stdevs are all different numbers.
NOISE, PALE = 0.4, 0.3


def _factors(arguments: dict[str, Any]) -> Tensor:
    """Return a (N, C, H, W) of a network y_k = sum a_ki x_i^p."""
    return (
        arguments["model"][-1]
        .weight.detach()[arguments["target"]]
        .expand(len(arguments["inputs"]), -1)
        .view_as(arguments["inputs"])
    )


def _excess_of_mean_noise(arguments: dict[str, Any], value: Tensor) -> float:
    """Return how noisy the mean of the noise is, over all pixels: 1 is stdevs / sqrt(n_samples), or less.

    With y = sum a x^2 the answer is 2 a (x + e) with the mean e of the noise. Antithetic pairs cancel out in e, and are
    right.
    """
    a = _factors(arguments)
    deviation = (value - 2 * a * arguments["inputs"]).norm() / (2 * a).norm()
    return max(1.0, deviation.item() / arguments["stdevs"] * arguments["n_samples"] ** 0.5)


def _second_moment(arguments: dict[str, Any], value: Tensor) -> float:
    """Return the mean of 2 x e + e^2 over all pixels and samples, in units of stdevs^2, from y = sum a x^3."""
    a = _factors(arguments)
    total = (a.sign() * (value - 3 * a * arguments["inputs"] ** 2)).sum() / (3 * a).abs().sum()
    return total.item() / arguments["stdevs"] ** 2


def _fourth_moment(arguments: dict[str, Any], value: Tensor) -> float:
    """Return the mean of e^4 over all pixels and samples, in units of stdevs^4, from y = sum a x^5 and black images."""
    a = _factors(arguments)
    return ((a.sign() * value).sum() / (5 * a).abs().sum()).item() / arguments["stdevs"] ** 4


def _power_of_the_mean(arguments: dict[str, Any], value: Tensor) -> float:
    """Return the mean square of an image's mean noise, in units of stdevs^2 / D, from y = a m^3, images of mean 0."""
    a = arguments["model"][-1].weight.detach()[arguments["target"]]
    n_numbers = value[0].numel()
    return (value.mean() / (3 * a).item()).item() * n_numbers**2 / arguments["stdevs"] ** 2


# Right answers keep more than 5 deviations from what is allowed. The pixels are weighted by |a| (by a^2 in the excess),
# which makes D pixels worth 2 D / pi (D / 3); antithetic pairs are worth one sample each.
# - Excess: a root mean square over 1536 / 3 numbers, deviation 0.031; 0.25 are 8 of them. For eight images it is a root
#   mean square over 38400 / 3 numbers, and 0.1 are 16 deviations; one sample too few of two gives 1.41.
# - Second moment: deviation of 2 x e + e^2 at most 1.7 stdevs^2; of the mean over 2 * 38400 / pi numbers and two pairs
#   0.0077; 0.05 are 6.5 of them. With the clean image among 4 samples it is 0.8.
# - Fourth moment: deviation of e^4 sqrt(96) stdevs^4; of the mean 0.044, and 0.1 * 3 are 6.7 of them. Uniform noise of
#   the same deviation gives 1.8 instead of 3.
# - Power of the mean: the mean of m^2 over 4 images and 300 samples (150 pairs), deviation sqrt(2 / 600) = 0.058; 0.4
#   are 6.9 of them. Noise that is shared by three colours gives 3, one number for the whole image gives D.
_LITTLE_NOISE = Statistic(
    "the mean noise of n_samples independent samples has the deviation stdevs / sqrt(n_samples). Yours has more: too "
    "few samples, the same noise in several, or too much of it?",
    _excess_of_mean_noise,
    1.0,
)
_NOT_SHARED = Statistic(
    "every number of the image has noise of its own, which mostly cancels out in the mean of the image. Does yours "
    "move several numbers together: colours, pixels, the whole image?",
    _power_of_the_mean,
    1.0,
)
_MEAN_AND_DEVIATION = Statistic("the noise has the mean 0 and the standard deviation stdevs.", _second_moment, 1.0)
_NORMAL = Statistic(
    "the noise is normal with the deviation stdevs, so that its fourth power has the mean 3 stdevs^4.",
    _fourth_moment,
    3.0,
)


def _smoothgrad_cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield cases whose answer does not depend on how the noise is drawn, or hardly, by a law that is known.

    Without noise, or with a linear network, SmoothGrad is the gradient. With n samples of noise of deviation s the
    derivative of
        sum a x^2  has the mean 2 a x              and the deviation 2 |a| s,
        sum a x^3               3 a (x^2 + s^2)                      3 |a| sqrt(4 x^2 s^2 + 2 s^4),
    and the mean of n samples is less than 8 deviations / sqrt(n) away: with antithetic pairs these are 5.7.
    """

    def case(network: Network, inputs: Tensor, target: Target, n: int, stdevs: float, note: str, **more: Any) -> Case:
        arguments = {"model": network, "inputs": inputs, "target": target, "n_samples": n, "stdevs": stdevs}
        return Case({**arguments, "generator": Seed(draw_integer(generator, 0, 2**31))}, note, **more)

    def noisy(source: torch.Generator, kind: str, shape: tuple[int, int, int], note: str) -> Case:
        n = 200
        network = _drawn_network(source, kind, shape)
        inputs, targets = PALE * _images(source, 2, network), _drawn_targets(source, 2, network)
        a = network.build()[-1].weight.detach()[targets].view_as(inputs)
        if kind == "quadratic":
            mean, deviation = 2 * a * inputs, 2 * a.abs() * NOISE
        else:
            mean = 3 * a * (inputs**2 + NOISE**2)
            deviation = 3 * a.abs() * (4 * inputs**2 * NOISE**2 + 2 * NOISE**4).sqrt()
        tolerance = 8 * deviation / n**0.5
        return case(network, inputs, targets, n, NOISE, f"{note}, {n} samples", expected=mean, tolerance=tolerance)

    fixed = torch.Generator().manual_seed(7)
    network = Network("conv", 20)  # predicts classes 1 and 2 here, and has 2 and 4 next: no class 0, no class twice
    inputs = _images(fixed, 2, network)
    targets = _ranked_targets(network, inputs, 1)
    yield case(network, inputs, targets, 3, 0.0, "two images, no noise (stdevs=0)")
    network = Network("linear", 2, (3, 5, 5))
    yield case(network, _images(fixed, 2, network), 1, 7, 0.3, "a linear network, where noise changes nothing")
    squares = noisy(fixed, "quadratic", (3, 16, 16), "a network that squares the image")
    yield Case(squares.arguments, squares.note, 0.25, statistic=_LITTLE_NOISE)
    yield squares
    network = _drawn_network(fixed, "cubic", (3, 40, 40))
    inputs = PALE * _images(fixed, 8, network)
    note = "four samples of eight images"
    yield case(network, inputs, 0, 4, NOISE, note, tolerance=0.05, statistic=_MEAN_AND_DEVIATION)
    yield noisy(fixed, "cubic", (3, 6, 7), "a network with the third power of the image")

    network = _drawn_network(generator, "gap", (1, 6, 8))
    inputs = _images(generator, 3, network)
    yield case(network, inputs, _drawn_targets(generator, 3, network), 2, 0.0, "three grey images, no noise (stdevs=0)")
    yield noisy(generator, "cubic", (3, 6, 7), "another network with the third power")
    network = _drawn_network(generator, "cubed_mean", (3, 5, 6))
    inputs = PALE * _images(generator, 4, network)
    inputs -= inputs.mean((1, 2, 3), keepdim=True)
    note = "a network with the third power of the image's mean"
    yield case(network, inputs, 1, 300, NOISE, note, tolerance=0.4, statistic=_NOT_SHARED)
    network = _drawn_network(generator, "quadratic", (3, 40, 40))
    inputs = PALE * _images(generator, 8, network)
    yield case(network, inputs, 2, 2, NOISE, "two samples of eight images", tolerance=0.1, statistic=_LITTLE_NOISE)
    network = _drawn_network(generator, "fifth_power", (3, 40, 40))
    for note in ("a black image, eight times in the batch", "the same images with another generator"):
        inputs = torch.zeros(8, *network.shape)
        yield case(network, inputs, 3, 4, NOISE, note, tolerance=0.1, statistic=_NORMAL)


def _noise_of_its_own(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether the first two images have different answers, where they are the same and the answer is not 0."""
    inputs = arguments["inputs"]
    same = arguments["stdevs"] > 0 and len(inputs) > 1 and torch.equal(inputs[0], inputs[1])
    return not same or bool((value[0] - value[1]).abs().max() > 1e-3 * value.abs().max())


def _normal(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    """Return noise (n_samples, N, C, H, W)."""
    return stdevs * torch.randn(n_samples, *inputs.shape, generator=generator)


def _smoothgrad(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
    score: Score = _target_score,
    draw: Callable[..., Tensor] = _normal,
    average: Callable[[Tensor], Tensor] = lambda gradients: gradients.mean(0),
    prepare: Callable[[Tensor], Tensor] = lambda images: images,
) -> Tensor:
    """Return SmoothGrad with its pieces open: score, noise, average over the samples, a change of the images."""
    noise = draw(inputs, n_samples, stdevs, generator)
    return average(_gradient(model, prepare(inputs + noise), target, score))


def _shared_noise(*dimensions: int) -> Callable[..., Tensor]:
    """Return noise that is the same along some of the dimensions (n_samples, N, C, H, W)."""

    def draw(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
        shape = [n_samples, *inputs.shape]
        own = [1 if dimension in dimensions else size for dimension, size in enumerate(shape)]
        return (stdevs * torch.randn(own, generator=generator)).expand(shape)

    return draw


def _one_channel(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    noise = _normal(inputs, n_samples, stdevs, generator)
    noise[:, :, 1:] = 0
    return noise


def _uniform(low: float, high: float) -> Callable[..., Tensor]:
    """Return uniform noise between two numbers, in units of stdevs."""

    def draw(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
        return stdevs * (low + (high - low) * torch.rand(n_samples, *inputs.shape, generator=generator))

    return draw


def _share_of_range(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    spread = inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True)
    return spread * _normal(inputs, n_samples, stdevs, generator)


def _times_image(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return inputs * _normal(inputs, n_samples, stdevs, generator)


def _growing_noise(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return _normal(inputs, n_samples, stdevs, generator).cumsum(0)


def _few_samples(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return _normal(inputs, 25, stdevs, generator)


def _one_sample_less(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return _normal(inputs, max(n_samples - 1, 1), stdevs, generator)


def _clean_image_first(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return torch.cat([torch.zeros(1, *inputs.shape), _normal(inputs, n_samples, stdevs, generator)])


def _saliency_of_samples(gradients: Tensor) -> Tensor:
    return gradients.abs().amax(2).mean(0)


def _without_noise(case: Case) -> bool:
    return case.arguments["stdevs"] == 0


def _by_statistic(case: Case) -> bool:
    return not isinstance(case.tolerance, Tensor)


SMOOTHGRAD = Exercise(
    name="smoothgrad",
    reference=gradient_methods.smoothgrad,
    cases=_smoothgrad_cases,
    mistakes={
        "no_noise": Mistake(
            partial(_smoothgrad, draw=lambda inputs, n, stdevs, generator: torch.zeros(n, *inputs.shape)),
            "this is the plain gradient: the noise has no effect. Either none is added, or you average the noisy "
            "images and not their gradients.",
        ),
        "noise_times_image": Mistake(
            partial(_smoothgrad, draw=_times_image),
            "your noise is multiplied with the image, so that dark pixels have little or none. It is added, and is as "
            "strong everywhere.",
        ),
        "noise_on_one_channel": Mistake(
            partial(_smoothgrad, draw=_one_channel),
            "only the first colour channel has noise. Every number of the image gets its own.",
        ),
        "noise_shared_by_colours": Mistake(
            partial(_smoothgrad, draw=_shared_noise(2)),
            "the colours of a pixel share their noise. Every number of the image gets its own.",
        ),
        "uniform_noise": Mistake(
            partial(_smoothgrad, draw=_uniform(0, 1)),
            "your noise is never negative: it makes every image brighter. The noise is normal, with mean 0.",
        ),
        "uniform_noise_of_the_same_deviation": Mistake(
            partial(_smoothgrad, draw=_uniform(-(3**0.5), 3**0.5)),
            "mean and deviation of your noise are right, but large numbers are missing in it. It should be normal "
            "(Gaussian); is yours uniform?",
        ),
        "variance_for_deviation": Mistake(
            partial(_smoothgrad, draw=lambda inputs, n, stdevs, generator: _normal(inputs, n, stdevs**2, generator)),
            "your noise has the variance of stdevs as its deviation: multiply with stdevs, not with its square.",
        ),
        "share_of_range": Mistake(
            partial(_smoothgrad, draw=_share_of_range),
            "you took stdevs as a share of the image's range, max - min. Here it is the standard deviation itself.",
        ),
        "clipped": Mistake(
            partial(_smoothgrad, prepare=lambda images: images.clamp(0, 1)),
            "you clipped the noisy images to [0, 1]. The noise is then no longer centred, and where it clips the "
            "derivative is lost. Leave the noisy images as they are.",
        ),
        "magnitudes_averaged": Mistake(
            partial(_smoothgrad, average=lambda gradients: gradients.abs().mean(0)),
            "you took magnitudes before the mean. The mean of the signed gradients lets the noise cancel out; the mean "
            "of magnitudes never does.",
        ),
        "saliency_averaged": Mistake(
            partial(_smoothgrad, average=_saliency_of_samples),
            "you averaged saliency maps, one number a pixel. Average the derivatives themselves, with their signs and "
            "colours.",
        ),
        "saliency_averaged_for_each_colour": Mistake(
            partial(
                _smoothgrad,
                average=lambda gradients: _saliency_of_samples(gradients)[:, None].expand(gradients.shape[1:]).clone(),
            ),
            "you averaged saliency maps, the same for all colours. Average the derivatives themselves, with their "
            "signs and colours.",
        ),
        "magnitude_of_mean": Mistake(
            partial(_smoothgrad, average=lambda gradients: gradients.mean(0).abs()),
            "you dropped the sign at the end. SmoothGrad is the mean of the signed gradients, and stays signed.",
        ),
        "sum": Mistake(
            partial(_smoothgrad, average=lambda gradients: gradients.sum(0)),
            "you added the gradients up; SmoothGrad is their mean, whatever n_samples is.",
        ),
        "divided_by_one_less": Mistake(
            partial(_smoothgrad, average=lambda gradients: gradients.sum(0) / max(len(gradients) - 1, 1)),
            "you divide by n_samples - 1. The mean of n gradients is their sum divided by n.",
        ),
        "same_noise": Mistake(
            partial(_smoothgrad, draw=_shared_noise(0)),
            "all samples have the same noise, so that the mean cancels nothing out. Draw new noise for every sample.",
            where=_by_statistic,
        ),
        "growing_noise": Mistake(
            partial(_smoothgrad, draw=_growing_noise),
            "your noise grows from sample to sample: you add it to the image that has noise already. Start from the "
            "clean image each time.",
            where=_by_statistic,
        ),
        "n_samples_ignored": Mistake(
            partial(_smoothgrad, draw=_few_samples),
            "your mean is as noisy as that of 25 samples, although n_samples asked for more.",
            where=_by_statistic,
        ),
        "one_sample_less": Mistake(
            partial(_smoothgrad, draw=_one_sample_less),
            "you draw one sample less than n_samples: look at where your loop begins and ends.",
        ),
        "clean_image_in_the_mean": Mistake(
            partial(_smoothgrad, draw=_clean_image_first),
            "the gradient of the clean image is in your mean. It is the mean over the n_samples noisy copies alone.",
        ),
        **_score_mistakes(_smoothgrad, where=_without_noise),
    },
    properties=[
        Property("an image that comes several times in a batch gets noise of its own each time.", _noise_of_its_own),
    ],
    relations=[
        Relation(
            "The same generator in the same state must give the same map, and another one another map. Draw all the "
            "noise from `generator`, and do not set its seed.",
            decided_by("generator"),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# integrated_gradients, layer_conductance: integrals along the path from the baseline to the image
# ---------------------------------------------------------------------------------------------------------------------

# Koksma: the mean of g at n nodes misses its integral over [0, 1] by at most V(g) D, the total variation of g times the
# discrepancy of the nodes. D is 1/n for left and right sums and for n nodes with both ends, 1/(2n) for midpoints; the
# trapezoid rule with n nodes stays under 1/(n - 1), Gauss-Legendre under 1.6/n. So 2 V(g)/n accepts them all. V(g) is
# measured on the midpoints of FINE steps and the two ends (at a baseline of one colour all windows of a max pool tie,
# and the gradient jumps). A jump there and back between two of these is not seen and may meet one node: another 1/n of
# the largest value.
FINE = 400


def _midpoints(n_steps: int) -> Tensor:
    """Return the path positions alpha, (n_steps, 1, 1, 1, 1)."""
    return ((torch.arange(n_steps) + 0.5) / n_steps).view(-1, 1, 1, 1, 1)


def _midpoints_and_ends(n_steps: int) -> Tensor:
    """Return alpha = 0, the midpoints, and alpha = 1, (n_steps + 2, 1, 1, 1, 1)."""
    ends = torch.tensor([0.0, 1.0]).view(-1, 1, 1, 1, 1)
    return torch.cat([ends[:1], _midpoints(n_steps), ends[1:]])


def _variation(values: Tensor) -> Tensor:
    return values.diff(dim=0).abs().sum(0)


def _allowed(variation: Tensor, largest: Tensor, n_steps: int) -> Tensor:
    """Return how far a quadrature with n_steps nodes may be from the integral."""
    return (2 * variation + largest) / n_steps


_STEPS_COUNT = Relation("Two steps give you the same numbers as many: is n_steps used?", decided_by("n_steps"))


def _baseline(inputs: Tensor, baselines: Tensor | None) -> Tensor:
    return torch.zeros_like(inputs) if baselines is None else baselines


def _path_arguments(generator: torch.Generator) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (model, inputs, target, baselines) and a note, for the methods with a path."""
    fixed = torch.Generator().manual_seed(9)

    def arguments(network: Network, inputs: Tensor, target: Target, baselines: Tensor | None) -> dict[str, Any]:
        return {"model": network, "inputs": inputs, "target": target, "baselines": baselines}

    network = Network("conv", 1, (1, 8, 8))
    yield arguments(network, _images(fixed, 1, network), 2, None), "one grey image, black baseline"
    network = Network("conv", 2)
    inputs, baselines = _images(fixed, 2, network), _images(fixed, 2, network)
    targets = _ranked_targets(network, inputs, 2)
    yield arguments(network, inputs, targets, baselines), "two images, a target and a baseline for each"

    network = _drawn_network(generator, "conv", (3, 8, 10))
    inputs, targets = _images(generator, 3, network), _drawn_targets(generator, 3, network)
    yield arguments(network, inputs, targets, 0.5 * torch.ones_like(inputs)), "three wide images, grey baseline"
    network = _drawn_network(generator, "gap")
    inputs, baselines = _images(generator, 2, network), _images(generator, 2, network)
    targets = _ranked_targets(network, inputs, 1)
    yield arguments(network, inputs, targets, baselines), "two images with other images as baselines"


def _integrated_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(arguments: dict[str, Any], n_steps: int, note: str) -> Case:
        inputs, baselines = arguments["inputs"], _baseline(arguments["inputs"], arguments["baselines"])
        points = baselines + _midpoints_and_ends(FINE) * (inputs - baselines)
        integrands = (inputs - baselines) * _gradient(arguments["model"].build(), points, arguments["target"])
        expected = integrands[1:-1].mean(0)
        tolerance = _allowed(_variation(integrands), expected.abs().max(), n_steps)
        return Case({**arguments, "n_steps": n_steps}, note, tolerance, expected)

    fixed = torch.Generator().manual_seed(8)
    network = Network("fifth_power", 5, (2, 4, 5))
    arguments = {"model": network, "inputs": _images(fixed, 2, network), "target": 1, "baselines": None}
    yield case(arguments, 150, "y = sum a x^5, where the answer is a x^5")
    for given, note in _path_arguments(generator):
        yield case(given, 150, note)

    # With few steps: the derivative 5 a (alpha x)^4 lies between 0 and 5 a x^4, and so does its mean at two points.
    right = case(arguments, 2, "").expected
    yield Case({**arguments, "n_steps": 2}, "y = sum a x^5 in two steps", 4 * right.abs(), right)
    network = _drawn_network(generator, "linear", (2, 4, 5))
    linear = {"model": network, "inputs": _images(fixed, 2, network), "target": 1, "baselines": torch.ones(2, 2, 4, 5)}
    yield Case({**linear, "n_steps": 3}, "a linear network in three steps, where any points give the same")


def _integrated_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    baselines: Tensor | None = None,
    n_steps: int = 50,
    score: Score = _target_score,
    start: Callable[[Tensor], Tensor] = lambda baselines: baselines,
    factor: Callable[[Tensor, Tensor], Tensor] = lambda inputs, baselines: inputs - baselines,
    average: Callable[[Tensor], Tensor] = lambda gradients: gradients.mean(0),
) -> Tensor:
    """Return integrated gradients with their pieces open: score, start of the path, factor, mean along the path."""
    baselines = _baseline(inputs, baselines)
    first = start(baselines)
    points = first + _midpoints(n_steps) * (inputs - first)
    return factor(inputs, baselines) * average(_gradient(model, points, target, score))


def _many_steps(case: Case) -> bool:
    """Whether it hardly matters which points on the path are taken."""
    return case.arguments["n_steps"] > 100


def _points_miscounted(n_points: Callable[[int], int]) -> Callable[[Tensor], Tensor]:
    """Return the mean of another number of gradients that is divided by n_steps all the same."""
    return lambda gradients: gradients.mean(0) * n_points(len(gradients)) / len(gradients)


def _at_the_original(gradients: Tensor) -> Tensor:
    """Return the mean of the derivatives by I in place of I' + alpha (I - I'): the chain rule has the factor alpha."""
    return (_midpoints(len(gradients)) * gradients).mean(0)


def _predicted_class(model: nn.Module, inputs: Tensor, target: Target, **arguments: Any) -> Tensor:
    return _integrated_gradients(model, inputs, model(inputs).argmax(1), **arguments)


def _completeness(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether the attributions add up to y(I) - y(I'), as closely as n_steps allows (Koksma for dy/dalpha)."""
    model, inputs, target = arguments["model"], arguments["inputs"], arguments["target"]
    baselines = _baseline(inputs, arguments["baselines"])
    points = baselines + _midpoints_and_ends(FINE) * (inputs - baselines)
    slopes = ((inputs - baselines) * _gradient(model, points, target)).sum((2, 3, 4))
    with torch.no_grad():
        change = _each_target(model(inputs), target) - _each_target(model(baselines), target)
    allowed = _allowed(_variation(slopes), slopes.abs().amax(0), arguments["n_steps"])
    return bool(((value.sum((1, 2, 3)) - change).abs() <= allowed).all())


_path_score_mistakes = _score_mistakes(_integrated_gradients)

INTEGRATED_GRADIENTS = Exercise(
    name="integrated_gradients",
    reference=gradient_methods.integrated_gradients,
    cases=_integrated_cases,
    mistakes={
        "no_factor": Mistake(
            partial(_integrated_gradients, factor=lambda inputs, baselines: torch.ones_like(inputs)),
            "you averaged the gradients along the path, but forgot the factor (I - I'): without it the attributions do "
            "not add up to y(I) - y(I').",
        ),
        "factor_without_baseline": Mistake(
            partial(_integrated_gradients, factor=lambda inputs, baselines: inputs),
            "your factor is the image I. It is the whole way that each pixel goes, I - I'.",
        ),
        "factor_turned_round": Mistake(
            partial(_integrated_gradients, factor=lambda inputs, baselines: baselines - inputs),
            "all signs are turned round: the factor is I - I', from the baseline to the image.",
        ),
        "magnitude": Mistake(
            lambda *arguments, **options: _integrated_gradients(*arguments, **options).abs(),
            "you dropped the sign at the end. Attributions may be negative: without the sign they do not add up to "
            "y(I) - y(I').",
        ),
        "input_x_gradient": Mistake(
            lambda model, inputs, target, **options: _input_x_gradient(model, inputs, target),
            "this is input x gradient, from one derivative at the image. The mean of the derivatives along the whole "
            "path is asked for.",
        ),
        "derivative_by_the_image": Mistake(
            partial(_integrated_gradients, average=_at_the_original),
            "you differentiated by the image I, from which the point on the path is made: the chain rule then brings a "
            "factor alpha into each derivative. Differentiate by the point I' + alpha (I - I') itself.",
            where=_many_steps,
        ),
        "one_point_too_many": Mistake(
            partial(_integrated_gradients, average=_points_miscounted(lambda n_steps: n_steps + 1)),
            "you add up n_steps + 1 derivatives, and divide by n_steps.",
        ),
        "one_point_too_few": Mistake(
            partial(_integrated_gradients, average=_points_miscounted(lambda n_steps: n_steps - 1)),
            "you add up n_steps - 1 derivatives, and divide by n_steps.",
        ),
        "path_from_zero": Mistake(
            partial(_integrated_gradients, start=torch.zeros_like),
            "your path starts at the black image. It starts at the baseline: I' + alpha (I - I').",
        ),
        "baseline_ignored": Mistake(
            partial(_integrated_gradients, start=torch.zeros_like, factor=lambda inputs, baselines: inputs),
            "you ignored `baselines`: path and factor start at the black image whatever is given.",
        ),
        "sum": Mistake(
            partial(_integrated_gradients, average=lambda gradients: gradients.sum(0)),
            "you added the gradients up: the result grows with n_steps. The integral over alpha is their mean.",
        ),
        "endpoint_only": Mistake(
            partial(_integrated_gradients, average=lambda gradients: gradients[-1]),
            "you took the gradient at the image alone. That is input x gradient with a baseline, and it has the "
            "saturation problem; the mean along the whole path is asked for.",
        ),
        "startpoint_only": Mistake(
            partial(_integrated_gradients, average=lambda gradients: gradients[0]),
            "you took the gradient at the baseline alone: do the images on your path move?",
        ),
        "magnitudes": Mistake(
            partial(_integrated_gradients, average=lambda gradients: gradients.abs().mean(0)),
            "you took magnitudes along the path. With them the attributions cannot add up to y(I) - y(I').",
        ),
        "gradients_pile_up": Mistake(
            partial(_integrated_gradients, average=lambda gradients: gradients.cumsum(0).mean(0)),
            "your gradients pile up: each step adds to the .grad of the step before, because it is not set back.",
        ),
        **_path_score_mistakes,
        "highest_score": Mistake(
            _path_score_mistakes["highest_score"].answer,
            "you pick the class anew at each point of the path, the one that is predicted there. `target` is the "
            "question, and stays the same on the whole path.",
        ),
        "predicted_class": Mistake(_predicted_class, WRONG_SCORES["highest_score"][1]),
    },
    properties=[Property("completeness, the attributions of an image add up to y(I) - y(I').", _completeness)],
    relations=[_STEPS_COUNT],
)


def _layer_path(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    layer: str,
    baselines: Tensor | None,
    n_steps: int,
    alphas: Tensor,
    score: Score = _target_score,
    steps: tuple[int, int] = (0, 0),
) -> tuple[Tensor, Tensor]:
    """Return the layer's activations h at the n_steps + 1 ends of the steps, and dy/dh at the positions alphas.

    steps: at which step the path begins, and how many there are beyond n_steps; right answers have (0, 0).
    """
    below, above = model[: int(layer) + 1], model[int(layer) + 1 :]
    baselines = _baseline(inputs, baselines)

    def activations(alphas: Tensor) -> Tensor:
        points = baselines + alphas * (inputs - baselines)
        with torch.no_grad():
            return below(points.flatten(0, 1)).unflatten(0, points.shape[:2])

    first, last = steps[0], n_steps + steps[1]
    ends = activations((torch.arange(first, last + 1) / n_steps).view(-1, 1, 1, 1, 1))
    return ends, _gradient(above, activations(alphas), target, score)


def _fine_conductance(
    model: nn.Sequential, inputs: Tensor, target: Target, layer: str, baselines: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dy/dh dh/dalpha at the midpoints and ends of the fine path, and what each jump of dy/dh between two adds.

    The jumps come twice: times dh/dalpha before and after. A sum of dy/dh times the change of h depends on them alone.
    """
    ends, gradients = _layer_path(model, inputs, target, layer, baselines, FINE, _midpoints_and_ends(FINE))
    speeds = FINE * ends.diff(dim=0)
    speeds = torch.cat([speeds[:1], speeds, speeds[-1:]])
    jumps = gradients.diff(dim=0)
    return gradients * speeds, jumps * speeds[:-1], jumps * speeds[1:]


def _conductance_cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield cases where layers follow that are not linear: behind the last one every rule gives the same.

    In the last cases h = (alpha c)^p with the maps c of a convolution, and the answer is known for each number.
    """

    def powers(kind: str, n_steps: int, share: float, note: str) -> Case:
        network = Network(kind, 5, (2, 4, 5))
        inputs = _images(torch.Generator().manual_seed(8), 2, network)
        model = network.build()
        with torch.no_grad():
            expected = (model[:-1](inputs) * model[-1].weight[1]).view_as(model[0](inputs))
        arguments = {"model": network, "inputs": inputs, "target": 1, "layer": "1", "baselines": None}
        return Case({**arguments, "n_steps": n_steps}, note, share * expected.abs(), expected)

    for (given, note), layer in zip(_path_arguments(generator), ("1", "2", "1", "1"), strict=True):
        n_steps = 200
        model, inputs, target, baselines = given.values()
        integrands, *jumps = _fine_conductance(model.build(), inputs, target, layer, baselines)
        expected = integrands[1:-1].mean(0)
        variation = torch.stack([_variation(integrands), *(jump.abs().sum(0) for jump in jumps)]).amax(0)
        arguments = {"model": model, "inputs": inputs, "target": target, "layer": layer, "baselines": baselines}
        tolerance = _allowed(variation, expected.abs().max(), n_steps)
        yield Case({**arguments, "n_steps": n_steps}, f"{note}, layer {layer!r}", tolerance, expected)
    # Gauss-Legendre points, as captum has them, do not reach the ends of the path: in three steps they miss 14 %.
    yield powers("conv_linear", 3, 0.25, "a linear network, in three steps")
    yield powers("conv_quadratic", 3, 0.25, "h = c^2, y = sum a h, in three steps")
    # dy/dh = 3 a h^2 lies between 0 and 3 a c^4, so that any two steps give between 0 and 3 a c^6.
    yield powers("conv_cubed_squares", 2, 2.0, "h = c^2, y = sum a h^3, in two steps")
    yield powers("conv_cubed_squares", 200, 0.1, "h = c^2, y = sum a h^3, in many steps")
    yield _failing_case(layer="1", baselines=None, n_steps=3)


def _conductance(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
    score: Score = _target_score,
    combine: Callable[[Tensor, Tensor], Tensor] = lambda ends, gradients: (gradients * ends.diff(dim=0)).sum(0),
    alphas: Callable[[int], Tensor] = _midpoints,
    steps: tuple[int, int] = (0, 0),
) -> Tensor:
    return combine(*_layer_path(model, inputs, target, layer, baselines, n_steps, alphas(n_steps), score, steps))


def _moved_midpoints(first: int, more: int) -> Callable[[int], Tensor]:
    """Return the midpoints of the steps from `first` to n_steps + more."""
    return lambda n_steps: ((torch.arange(first, n_steps + more) + 0.5) / n_steps).view(-1, 1, 1, 1, 1)


def _straight_in_the_layer(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    """Return the integrated gradients of the layers above, from h(I') to h(I)."""
    (first, last), _ = _layer_path(model, inputs, target, layer, baselines, 1, _midpoints(1))
    return _integrated_gradients(model[int(layer) + 1 :], last, target, first, n_steps)


def _conductances_add_up(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether the conductances add up to y(I) - y(I'), as closely as n_steps allows."""
    model, inputs, target = arguments["model"], arguments["inputs"], arguments["target"]
    integrands, *jumps = _fine_conductance(model, inputs, target, arguments["layer"], arguments["baselines"])
    slopes = integrands.flatten(2).sum(2)
    with torch.no_grad():
        baselines = _baseline(inputs, arguments["baselines"])
        change = _each_target(model(inputs), target) - _each_target(model(baselines), target)
    variation = torch.stack([_variation(slopes), *(jump.flatten(2).sum(2).abs().sum(0) for jump in jumps)]).amax(0)
    allowed = _allowed(variation, slopes.abs().amax(0), arguments["n_steps"])
    return bool(((value.flatten(1).sum(1) - change).abs() <= allowed).all())


_conductance_score_mistakes = _score_mistakes(_conductance)

LAYER_CONDUCTANCE = Exercise(
    name="layer_conductance",
    reference=gradient_methods.layer_conductance,
    cases=_conductance_cases,
    mistakes={
        "internal_influence": Mistake(
            partial(_conductance, combine=lambda ends, gradients: gradients.mean(0)),
            "this is the mean of dy/dh along the path, the internal influence. Conductance also asks how much the unit "
            "moves: each step counts with its change of h.",
        ),
        "change_outside": Mistake(
            partial(_conductance, combine=lambda ends, gradients: gradients.mean(0) * (ends[-1] - ends[0])),
            "you multiplied the mean gradient with the whole change of h at the end. Gradient and change belong "
            "together step by step: each dy/dh counts with the change of h in its own step.",
        ),
        "straight_in_the_layer": Mistake(
            _straight_in_the_layer,
            "your path is a straight line from h(I') to h(I). The image goes in a straight line, and h as it will: "
            "compute h anew from each image on the path.",
        ),
        "first_step_skipped": Mistake(
            partial(_conductance, alphas=_moved_midpoints(1, 0), steps=(1, 0)),
            "the first of the n_steps steps is missing: the changes of h must reach from the baseline, h(I'), to the "
            "image, h(I).",
        ),
        "last_step_skipped": Mistake(
            partial(_conductance, alphas=_moved_midpoints(0, -1), steps=(0, -1)),
            "the last of the n_steps steps is missing: the changes of h must reach from the baseline, h(I'), to the "
            "image, h(I).",
        ),
        "one_step_too_many": Mistake(
            partial(_conductance, alphas=_moved_midpoints(0, 1), steps=(0, 1)),
            "there is one step too many: your path goes on behind the image. It ends at alpha = 1.",
        ),
        "one_step_late": Mistake(
            partial(_conductance, alphas=_moved_midpoints(1, 1), steps=(1, 1)),
            "your path begins one step late and ends behind the image. It goes from alpha = 0 to alpha = 1.",
        ),
        "change_of_the_step_before": Mistake(
            partial(_conductance, steps=(-1, -1)),
            "you multiply each dy/dh with the change of h in the step before it: your first change begins before the "
            "baseline. Gradient and change belong to the same step.",
        ),
        "last_step_only": Mistake(
            partial(_conductance, combine=lambda ends, gradients: gradients[-1] * (ends[-1] - ends[-2])),
            "only the last step of the path is in your numbers. All steps are added up.",
            where=_many_steps,
        ),
        "magnitude_of_change": Mistake(
            partial(_conductance, combine=lambda ends, gradients: (gradients * ends.diff(dim=0).abs()).sum(0)),
            "you took the magnitude of the change of h. A unit may also fall on the way: its change is negative then.",
        ),
        "endpoint_only": Mistake(
            partial(
                _conductance,
                combine=lambda ends, gradients: gradients[-1] * (ends[-1] - ends[0]),
                alphas=lambda n_steps: torch.ones(1, 1, 1, 1, 1),
            ),
            "you took dy/dh at the image alone. It changes along the path, and the integral sees all of it.",
        ),
        "activation_times_gradient": Mistake(
            partial(_conductance, combine=lambda ends, gradients: gradients[-1] * ends[-1]),
            "this is activation x gradient at the image: there is no path in it.",
        ),
        "activation_along_path": Mistake(
            partial(_conductance, combine=lambda ends, gradients: (gradients * ends[1:]).mean(0)),
            "you multiplied dy/dh with the activation h. The integral has the change of h from step to step.",
            where=_many_steps,
        ),
        "mean_of_steps": Mistake(
            partial(_conductance, combine=lambda ends, gradients: (gradients * ends.diff(dim=0)).mean(0)),
            "your numbers get smaller as n_steps grows. The changes of h get smaller by themselves, so the steps are "
            "added up, and not averaged.",
        ),
        "magnitudes": Mistake(
            partial(_conductance, combine=lambda ends, gradients: (gradients * ends.diff(dim=0)).abs().sum(0)),
            "you took magnitudes along the path. With them the conductances cannot add up to y(I) - y(I').",
        ),
        "magnitude": Mistake(
            lambda *arguments, **options: _conductance(*arguments, **options).abs(),
            "you dropped the sign at the end. A conductance may be negative: without the sign they do not add up to "
            "y(I) - y(I').",
        ),
        "backwards": Mistake(
            partial(_conductance, combine=lambda ends, gradients: -(gradients * ends.diff(dim=0)).sum(0)),
            "your path goes from the image to the baseline: all signs are turned round.",
        ),
        "baseline_ignored": Mistake(
            lambda model, inputs, target, layer, baselines=None, n_steps=50: _conductance(
                model, inputs, target, layer, None, n_steps
            ),
            "you ignored `baselines`: your path starts at the black image whatever is given.",
        ),
        **_conductance_score_mistakes,
        "highest_score": Mistake(
            _conductance_score_mistakes["highest_score"].answer,
            INTEGRATED_GRADIENTS.mistakes["highest_score"].hint,
        ),
    },
    properties=[
        Property("the conductances of a layer that all paths cross add up to y(I) - y(I').", _conductances_add_up)
    ],
    relations=[_STEPS_COUNT],
)


# ---------------------------------------------------------------------------------------------------------------------
# grad_cam
# ---------------------------------------------------------------------------------------------------------------------


def _grad_cam_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(10)

    def case(network: Network, inputs: Tensor, target: Target, layer: str, note: str) -> Case:
        return Case({"model": network, "inputs": inputs, "target": target, "layer": layer}, f"{note}, layer {layer!r}")

    network = Network("conv", 1, (1, 8, 8))
    yield case(network, _images(fixed, 1, network), 2, "4", "one grey image")
    network = Network("conv", 2)
    inputs = _images(fixed, 2, network)
    yield case(network, inputs, _ranked_targets(network, inputs, 2), "4", "two images, a target for each")
    network = Network("gap", 3, (3, 6, 8))
    yield case(network, _images(fixed, 3, network), 1, "3", "three images, one target for all")

    network = _drawn_network(generator, "conv", (3, 12, 8))
    inputs, targets = _images(generator, 3, network), _drawn_targets(generator, 3, network)
    yield case(network, inputs, targets, "4", "three images that are higher than wide")
    network = _drawn_network(generator, "conv")
    inputs = _images(generator, 2, network)
    yield case(network, inputs, _ranked_targets(network, inputs, 1), "0", "two images, before the first ReLU")
    network = _drawn_network(generator, "conv")
    inputs, targets = _images(generator, 2, network), _drawn_targets(generator, 2, network)
    yield case(network, inputs, targets, "2", "two images, behind the pool")
    yield _failing_case(layer="4")


def _cam_parts(model: nn.Sequential, inputs: Tensor, target: Target, layer: str, score: Score) -> tuple[Tensor, Tensor]:
    """Return the layer's maps A and dy/dA, both (N, K, h, w)."""
    with torch.no_grad():
        maps = model[: int(layer) + 1](inputs)
    return maps, _gradient(model[int(layer) + 1 :], maps, target, score)


def _grad_cam(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    layer: str,
    score: Score = _target_score,
    weigh: Callable[[Tensor], Tensor] = lambda gradients: gradients.mean((2, 3), keepdim=True),
    finish: Callable[[Tensor], Tensor] = lambda weighted: weighted.sum(1, keepdim=True).clamp(min=0),
) -> Tensor:
    """Return Grad-CAM with its pieces open: score, weights of the maps, and what is done to the weighted maps."""
    maps, gradients = _cam_parts(model, inputs, target, layer, score)
    return finish(weigh(gradients) * maps)


def _cam_scaled_to_one(weighted: Tensor) -> Tensor:
    cams = weighted.sum(1, keepdim=True).clamp(min=0)
    return cams / cams.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)


def _maps_averaged(model: nn.Sequential, inputs: Tensor, target: Target, layer: str) -> Tensor:
    maps, gradients = _cam_parts(model, inputs, target, layer, _target_score)
    return (maps.mean((2, 3), keepdim=True) * gradients).sum(1, keepdim=True).clamp(min=0)


GRAD_CAM = Exercise(
    name="grad_cam",
    reference=gradient_methods.grad_cam,
    cases=_grad_cam_cases,
    mistakes={
        "no_relu": Mistake(
            partial(_grad_cam, finish=lambda weighted: weighted.sum(1, keepdim=True)),
            "your map has negative values. Grad-CAM ends with a ReLU: it shows what speaks for the class.",
        ),
        "magnitude_for_relu": Mistake(
            partial(_grad_cam, finish=lambda weighted: weighted.sum(1, keepdim=True).abs()),
            "you took the magnitude at the end. What speaks against the class then looks as if it spoke for it; "
            "Grad-CAM has a ReLU.",
        ),
        "relu_before_sum": Mistake(
            partial(_grad_cam, finish=lambda weighted: weighted.clamp(min=0).sum(1, keepdim=True)),
            "your ReLU comes before the sum over the maps. Maps that speak for and against the class cancel out first.",
        ),
        "relu_on_gradients": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.clamp(min=0).mean((2, 3), keepdim=True)),
            "you dropped the negative gradients before the mean. The weight of a map is the mean of all of dy/dA, and "
            "may be negative.",
        ),
        "weights_by_maximum": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.amax((2, 3), keepdim=True)),
            "your weight of a map is the largest of its gradients. It is their mean over the map's positions.",
        ),
        "weights_by_sum": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.sum((2, 3), keepdim=True)),
            "your map is too large by the number of positions of a map: the weight is the mean of dy/dA, not the sum.",
        ),
        "weights_over_batch": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.mean((0, 2, 3), keepdim=True)),
            "your mean also runs over the images, so that all images share their weights. Each image has its own.",
        ),
        "not_pooled": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients),
            "you multiplied dy/dA with A position by position. In Grad-CAM a map has one weight: the mean of dy/dA.",
        ),
        "one_layer_early": Mistake(
            lambda model, inputs, target, layer: _grad_cam(model, inputs, target, str(int(layer) - 1)),
            "you took what goes into the layer. The maps A are what comes out of it.",
        ),
        "relu_on_weights": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.mean((2, 3), keepdim=True).clamp(min=0)),
            "you dropped the negative weights. A map may speak against the class; the ReLU comes at the end, after the "
            "sum.",
        ),
        "wrong_dimensions": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.mean((1, 2), keepdim=True)),
            "your mean of dy/dA runs over the maps, too. With A of shape (N, K, h, w) the positions are the last two "
            "dimensions, and each of the K maps keeps a weight of its own.",
        ),
        "one_weight_for_all_maps": Mistake(
            partial(_grad_cam, weigh=lambda gradients: gradients.mean((1, 2, 3), keepdim=True)),
            "all maps of an image have the same weight: your mean of dy/dA runs over the maps as well. Each of the K "
            "maps has a weight of its own.",
        ),
        "maps_pooled": Mistake(
            _maps_averaged,
            "you averaged the maps A and kept the positions of the gradient. It is the other way round.",
        ),
        "mean_over_maps": Mistake(
            partial(_grad_cam, finish=lambda weighted: weighted.mean(1, keepdim=True).clamp(min=0)),
            "you took the mean over the maps; Grad-CAM is their weighted sum.",
        ),
        "scaled_to_one": Mistake(
            partial(_grad_cam, finish=_cam_scaled_to_one),
            "you scaled each map to a maximum of 1. That is for the picture, and hides how strong the evidence is.",
        ),
        **_score_mistakes(_grad_cam),
    },
    properties=[
        Property(
            "a Grad-CAM map has no negative numbers: it ends with a ReLU.",
            lambda arguments, value: bool((value >= 0).all()),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# Worked by hand
# ---------------------------------------------------------------------------------------------------------------------

# The gradient (df/dx, df/dy) of f(x, y) = x^2 + y^2 - 9 at the point (2, -1).
CIRCLE_GRADIENT = ValueExercise(
    name="circle_gradient",
    expected=(4.0, -2.0),
    mistakes={
        "factor_forgotten": Mistake((2.0, -1.0), "this is the point itself. The derivative of x^2 is 2x."),
        "not_differentiated": Mistake(
            (4.0, 1.0), "these are x^2 and y^2. They have to be differentiated: x^2 gives 2x."
        ),
        "constant_kept": Mistake((-5.0, -11.0), "the constant -9 does not depend on x or y: its derivative is 0."),
        "magnitudes": Mistake((4.0, 2.0), "df/dy = 2y has the sign of y, and y is negative here."),
        "exchanged": Mistake((-2.0, 4.0), "you have exchanged the two: df/dx comes first."),
        "inwards": Mistake((-4.0, 2.0), "all signs are turned round: the gradient points to where f grows."),
    },
)

# For y(i1, i2) = 1 - max(0, 1 - i1 - i2): dy/di1 at (0.25, 0.5), dy/di1 at (1, 1), and y(1, 1) - y(0, 1).
SATURATION = ValueExercise(
    name="saturation",
    expected=(1.0, 0.0, 0.0),
    mistakes={
        "linear_everywhere": Mistake(
            (1.0, 1.0, 1.0),
            "you worked with y = i1 + i2 everywhere. From i1 + i2 = 1 on the maximum is 0, and y stays 1.",
        ),
        "gradient_not_saturated": Mistake(
            (1.0, 1.0, 0.0),
            "the derivative at (1, 1): 1 - i1 - i2 is negative there, so the maximum is the constant 0.",
        ),
        "perturbation_not_saturated": Mistake(
            (1.0, 0.0, 1.0), "y(0, 1) is not 0: put the numbers into the formula, i2 alone is enough for y = 1."
        ),
        "sign": Mistake(
            (-1.0, 0.0, 0.0), "two minus signs meet at (0.25, 0.5): one before the maximum, one before i1 inside it."
        ),
        "always_saturated": Mistake(
            (0.0, 0.0, 0.0), "at (0.25, 0.5) nothing is saturated yet: i1 + i2 < 1, and y = i1 + i2 there."
        ),
    },
)

# The integrated gradients of i1 and i2 for the same y at (1, 1) with the baseline (0, 0).
SATURATION_INTEGRATED = ValueExercise(
    name="saturation_integrated",
    expected=(0.5, 0.5),
    mistakes={
        "endpoint": Mistake(
            (0.0, 0.0), "this is the gradient at (1, 1) alone. On the path there is a part where it is 1."
        ),
        "no_saturation": Mistake(
            (1.0, 1.0),
            "the derivative is 1 only until i1 + i2 = 1. How much of the path from (0, 0) to (1, 1) is that?",
        ),
        "mean_of_scores": Mistake((0.75, 0.75), "this is the mean of y along the path. Its derivative is averaged."),
        "halved_twice": Mistake(
            (0.25, 0.25),
            "too little: the two attributions must add up to y(1, 1) - y(0, 0). Was something halved twice?",
        ),
        "one_takes_all": Mistake(
            (1.0, 0.0), "i1 and i2 play the same part in y and on the path: their attributions must be equal."
        ),
    },
)

# Which methods give i1 and i2 a value other than 0 at (1, 1), for the same y? (one input at a time; baseline 0)
SATURATION_METHODS = ValueExercise(
    name="saturation_methods",
    expected=frozenset({"integrated gradients"}),
    choices=("gradient", "input x gradient", "occlusion", "integrated gradients"),
    mistakes={
        "product_helps": Mistake(
            frozenset({"input x gradient", "integrated gradients"}),
            "input x gradient multiplies with the gradient at (1, 1), and that is 0: the product is 0 as well.",
        ),
        "occlusion_helps": Mistake(
            frozenset({"occlusion", "integrated gradients"}),
            "occlusion of i1 compares y(1, 1) with y(0, 1). Both are 1: i2 alone is enough.",
        ),
        "gradient_helps": Mistake(
            frozenset({"gradient", "integrated gradients"}),
            "the gradient at (1, 1) is 0: 1 - i1 - i2 is negative there, and y stays 1 all around.",
        ),
        "gradient_only": Mistake(
            frozenset({"gradient"}),
            "the gradient sees one point, and at (1, 1) y is flat: it is 0. Which method sees more than that point?",
        ),
        "product_only": Mistake(
            frozenset({"input x gradient"}),
            "the gradient at (1, 1) is 0, and 1 * 0 is 0 as well. Which method sees more than that point?",
        ),
        "occlusion_only": Mistake(
            frozenset({"occlusion"}),
            "occlusion of i1 compares y(1, 1) with y(0, 1), and both are 1. Which method sees more than two points?",
        ),
        "all": Mistake(
            frozenset({"gradient", "input x gradient", "occlusion", "integrated gradients"}),
            "at (1, 1) the gradient is 0, so not all of them. Work each one out with the formula.",
        ),
        "none": Mistake(
            frozenset(), "one of them does: completeness demands that its attributions add up to y(1, 1) - y(0, 0) = 1."
        ),
    },
)

EXERCISES: tuple[Exercise | ValueExercise, ...] = (
    CIRCLE_GRADIENT,
    RELU_BACKWARD,
    SALIENCY,
    INPUT_X_GRADIENT,
    GUIDED_BACKPROP,
    SMOOTHGRAD,
    SATURATION,
    SATURATION_METHODS,
    INTEGRATED_GRADIENTS,
    SATURATION_INTEGRATED,
    GRAD_CAM,
    LAYER_CONDUCTANCE,
)
