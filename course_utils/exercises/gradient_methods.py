"""The exercises of unit 06: gradients as explanations, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_gradient`, `_modified_gradient`, `_cam_parts`, `_layer_path`),
which are independent of the references in ``course_utils.gradient_methods``. In the hints: y_i(I) is the score of class
i for the image I, w = dy_i/dI its derivative, P_c the probability of class c after the softmax, I' the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import gradient_methods
from course_utils.exercises.core import Case, Exercise, Mistake, Network, Property, Seed, ValueExercise

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
    method: Callable[..., Tensor], where: Callable[[Mapping[str, Any]], bool] = lambda arguments: True
) -> dict[str, Mistake]:
    """Return the mistakes of explaining the wrong score, for a right `method` that takes the score as `score=`."""
    return {
        name: Mistake(partial(method, score=score), hint, where=where) for name, (score, hint) in WRONG_SCORES.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


def _number(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))


def _images(generator: torch.Generator, n_images: int, network: Network) -> Tensor:
    """Return images (N, C, H, W) in [0, 1]."""
    return torch.rand(n_images, *network.shape, generator=generator)


def _drawn_network(generator: torch.Generator, kind: str, shape: tuple[int, int, int] = (3, 8, 8)) -> Network:
    return Network(kind, _number(generator, 0, 2**31), shape)


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


# ---------------------------------------------------------------------------------------------------------------------
# relu_backward
# ---------------------------------------------------------------------------------------------------------------------

# The tables of the slides "Difference in backpropagating through ReLU": X_n, df/dX_{n+1}, and df/dX_n by each rule.
SLIDE_INPUTS = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
SLIDE_GRADIENT = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]])
SLIDE_RESULTS = {
    "gradient": torch.tensor([[-2.0, 0, -1], [6, 0, 0], [0, -1, 3]]),
    "deconvnet": torch.tensor([[0.0, 3, 0], [6, 0, 1], [2, 0, 3]]),
    "guided": torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 0, 3]]),
}


def _relu_cases(generator: torch.Generator) -> Iterator[Case]:
    for rule, result in SLIDE_RESULTS.items():
        arguments = {"inputs": SLIDE_INPUTS[None, None], "output_gradient": SLIDE_GRADIENT[None, None], "rule": rule}
        yield Case(arguments, f"the table of the slides, rule {rule!r}", expected=result[None, None])
    for rule in SLIDE_RESULTS:
        inputs = torch.randn(2, 3, 5, 4, generator=generator)
        inputs[0, :, 2] = 0.0
        gradient = torch.randn(inputs.shape, generator=generator)
        arguments = {"inputs": inputs, "output_gradient": gradient, "rule": rule}
        yield Case(arguments, f"maps with exact zeros in them, rule {rule!r}")
        arguments = {"inputs": -inputs.abs(), "output_gradient": gradient, "rule": rule}
        yield Case(arguments, f"a ReLU that was never active, rule {rule!r}")


def _by_masks(forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return a relu_backward with the given masks of X_n and of df/dX_{n+1}."""

    def relu_backward(inputs: Tensor, output_gradient: Tensor, rule: str) -> Tensor:
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
_swapped_rules = {"gradient": "deconvnet", "deconvnet": "gradient", "guided": "guided"}

RELU_BACKWARD = Exercise(
    name="relu_backward",
    reference=gradient_methods.relu_backward,
    cases=_relu_cases,
    mistakes={
        "rules_swapped": Mistake(
            lambda inputs, output_gradient, rule: _relu(inputs, output_gradient, _swapped_rules[rule]),
            "you have mixed up 'gradient' and 'deconvnet'. The gradient asks where the ReLU was active in the forward "
            "pass (X_n > 0), the deconvnet where the signal that comes back is positive.",
        ),
        "rule_ignored": Mistake(
            lambda inputs, output_gradient, rule: _relu(inputs, output_gradient, "gradient"),
            "you give the plain gradient for every rule. 'deconvnet' and 'guided' ask something of df/dX_{n+1}, too.",
        ),
        "zero_lets_through": Mistake(
            _by_masks(lambda inputs: (inputs >= 0).float(), _positive),
            "where X_n is exactly 0 you let the signal through. The condition is 1(X_n > 0), without equality.",
        ),
        "guided_without_forward": Mistake(
            lambda inputs, output_gradient, rule: _relu(
                inputs, output_gradient, "deconvnet" if rule == "guided" else rule
            ),
            "your 'guided' is the deconvnet's rule: it has two conditions, and yours forgets 1(X_n > 0).",
        ),
        "guided_without_backward": Mistake(
            lambda inputs, output_gradient, rule: _relu(
                inputs, output_gradient, "gradient" if rule == "guided" else rule
            ),
            "your 'guided' is the plain gradient: it has two conditions, and yours forgets 1(df/dX_{n+1} > 0).",
        ),
        "wrong_side": Mistake(
            _by_masks(lambda inputs: _positive(-inputs), _positive),
            "your forward condition is the wrong way round: the signal passes where X_n was positive, not negative.",
        ),
        "only_the_condition": Mistake(
            lambda inputs, output_gradient, rule: _positive(_relu(inputs, output_gradient, rule).abs()),
            "you return the condition alone, zeros and ones. It has to be multiplied with df/dX_{n+1}.",
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
                arguments["rule"] == "deconvnet" or not value[arguments["inputs"] <= 0].abs().sum() > 0
            ),
        ),
        Property(
            "the rules 'deconvnet' and 'guided' give no negative numbers.",
            lambda arguments, value: arguments["rule"] == "gradient" or bool((value >= 0).all()),
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


SALIENCY = Exercise(
    name="saliency",
    reference=gradient_methods.saliency,
    cases=lambda generator: _image_cases(generator, ("conv", "gap", "inplace")),
    mistakes={
        "signed_maximum": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.amax(1)),
            "you kept the sign: the lecture ranks pixels by the magnitude |w|, so that M = max_c |w_c|.",
        ),
        "magnitude_after_maximum": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.amax(1).abs()),
            "you took the maximum over the channels first and the magnitude after it: |max_c w_c| misses a channel "
            "with a large negative derivative. The lecture has max_c |w_c|.",
        ),
        "mean_of_channels": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.abs().mean(1)),
            "you took the mean over the colour channels; the lecture takes the maximum, M = max_c |w_c|.",
        ),
        "sum_of_channels": Mistake(
            partial(_saliency, channels=lambda gradient: gradient.abs().sum(1)),
            "you took the sum over the colour channels; the lecture takes the maximum, M = max_c |w_c|.",
        ),
        "channels_kept": Mistake(
            partial(_saliency, channels=torch.abs),
            "you still have one map for each colour channel. A saliency map has one number a pixel: max_c |w_c|.",
        ),
        "times_input": Mistake(
            lambda model, inputs, target: (inputs * _gradient(model, inputs, target)).abs().amax(1),
            "you multiplied with the image. That is input x gradient, the next method; here w is alone.",
        ),
        "scaled_to_one": Mistake(
            partial(_saliency, channels=_scaled_to_one),
            "you scaled each map to a maximum of 1. That is for the picture; here the derivative itself is asked for.",
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


GUIDED_BACKPROP = Exercise(
    name="guided_backprop",
    reference=gradient_methods.guided_backprop,
    cases=lambda generator: _image_cases(generator, ("conv", "gap", "conv")),
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


def _smoothgrad_cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield cases whose answer does not depend on how the noise is drawn, or hardly, by a law that is known.

    Without noise, or with a linear network, SmoothGrad is the gradient. For y = sum a x^2 and y = sum a x^3 and n
    samples of noise with deviation s the derivative has
        mean 2 a x,           deviation 2 |a| s                             (quadratic)
        mean 3 a (x^2 + s^2), deviation 3 |a| sqrt(4 x^2 s^2 + 2 s^4)       (cubic)
    and the mean of n samples is less than 7 deviations / sqrt(n) away from this mean: not one number in 10^9 is not.
    The images are pale (values up to 0.5), so that noise tells more than the image, and so that a `stdevs` that is
    taken as a share of the image's range gives other numbers.
    """

    def case(network: Network, inputs: Tensor, target: Target, n: int, stdevs: float, note: str, **more: Any) -> Case:
        arguments = {"model": network, "inputs": inputs, "target": target, "n_samples": n, "stdevs": stdevs}
        return Case({**arguments, "generator": Seed(_number(generator, 0, 2**31))}, note, **more)

    def noisy(source: torch.Generator, kind: str, seed: int, note: str) -> Case:
        network = Network(kind, seed, (3, 6, 7))
        inputs = 0.5 * _images(source, 2, network)
        targets = _drawn_targets(source, 2, network)
        stdevs, n = 0.5, 600
        a = network.build()[-1].weight.detach()[targets].view_as(inputs)
        if kind == "quadratic":
            mean, deviation = 2 * a * inputs, 2 * a.abs() * stdevs
        else:
            mean = 3 * a * (inputs**2 + stdevs**2)
            deviation = 3 * a.abs() * (4 * inputs**2 * stdevs**2 + 2 * stdevs**4).sqrt()
        tolerance = 7 * deviation / n**0.5
        return case(network, inputs, targets, n, stdevs, note, expected=mean, tolerance=tolerance)

    fixed = torch.Generator().manual_seed(7)
    network = Network("conv", 20)  # predicts classes 1 and 2 here, and has 2 and 4 next: no class 0, no class twice
    inputs = _images(fixed, 2, network)
    targets = _ranked_targets(network, inputs, 1)
    yield case(network, inputs, targets, 3, 0.0, "two images, no noise (stdevs=0)")
    network = Network("linear", 2, (3, 5, 5))
    yield case(network, _images(fixed, 2, network), 1, 7, 0.3, "a linear network, where noise changes nothing")
    yield noisy(fixed, "quadratic", 3, "a network that squares the image, 600 samples")
    yield noisy(fixed, "cubic", 4, "a network with the third power of the image, 600 samples")

    network = _drawn_network(generator, "gap", (1, 6, 8))
    inputs = _images(generator, 3, network)
    yield case(network, inputs, _drawn_targets(generator, 3, network), 2, 0.0, "three grey images, no noise (stdevs=0)")
    yield noisy(generator, "cubic", _number(generator, 0, 2**31), "another network with the third power, 600 samples")


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


def _one_channel(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    noise = _normal(inputs, n_samples, stdevs, generator)
    noise[:, :, 1:] = 0
    return noise


def _uniform(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return stdevs * torch.rand(n_samples, *inputs.shape, generator=generator)


def _share_of_range(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    spread = inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True)
    return spread * _normal(inputs, n_samples, stdevs, generator)


def _same_noise(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return _normal(inputs, 1, stdevs, generator).expand(n_samples, *inputs.shape)


def _growing_noise(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return _normal(inputs, n_samples, stdevs, generator).cumsum(0)


def _few_samples(inputs: Tensor, n_samples: int, stdevs: float, generator: torch.Generator | None) -> Tensor:
    return _normal(inputs, 25, stdevs, generator)


def _mean_noise_between(low: float, high: float) -> Callable[[dict[str, Any], Tensor], bool | None]:
    """Recognise random mistakes by how large the mean noise is, in units of stdevs.

    On a quadratic network the answer is 2 a (x + e) with the mean e of the noise, so that e can be read off. Its
    deviation over the pixels is stdevs / sqrt(n) in a right answer. What is no noise (not centred, or dependent on
    the image) is not recognised.
    """

    def recognises(arguments: dict[str, Any], value: Tensor) -> bool | None:
        power = [layer for layer in arguments["model"] if getattr(layer, "exponent", None) == 2]
        inputs = arguments["inputs"]
        if not power or value.shape != inputs.shape:
            return None
        a = arguments["model"][-1].weight.detach()[arguments["target"]].view_as(inputs)
        noise = value / (2 * a) - inputs
        deviation = noise.std()
        dependence = torch.corrcoef(torch.stack([noise.flatten(), inputs.flatten()]))[0, 1].abs()
        # 252 pixels: the mean and the correlation of honest noise stay under 5 / sqrt(252) = 0.32.
        if not (noise.mean().abs() < 0.32 * deviation and dependence < 0.32):
            return False
        return bool(low < deviation / arguments["stdevs"] < high)

    return recognises


def _without_noise(arguments: Mapping[str, Any]) -> bool:
    return arguments["stdevs"] == 0


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
        "noise_on_one_channel": Mistake(
            partial(_smoothgrad, draw=_one_channel),
            "only the first colour channel has noise. Every number of the image gets its own.",
        ),
        "uniform_noise": Mistake(
            partial(_smoothgrad, draw=_uniform),
            "your noise is never negative: it makes every image brighter. The noise is normal, with mean 0.",
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
        "magnitude_of_mean": Mistake(
            partial(_smoothgrad, average=lambda gradients: gradients.mean(0).abs()),
            "you dropped the sign at the end. SmoothGrad is the mean of the signed gradients, and stays signed.",
        ),
        "sum": Mistake(
            partial(_smoothgrad, average=lambda gradients: gradients.sum(0)),
            "you added the gradients up; SmoothGrad is their mean, whatever n_samples is.",
        ),
        "same_noise": Mistake(
            partial(_smoothgrad, draw=_same_noise),
            "all samples have the same noise, so that the mean cancels nothing out. Draw new noise for every sample.",
            recognises=_mean_noise_between(0.7, 1.4),
        ),
        "growing_noise": Mistake(
            partial(_smoothgrad, draw=_growing_noise),
            "your noise grows from sample to sample: you add it to the image that has noise already. Start from the "
            "clean image each time.",
            recognises=_mean_noise_between(3.0, float("inf")),
        ),
        "n_samples_ignored": Mistake(
            partial(_smoothgrad, draw=_few_samples),
            "your mean is as noisy as that of 25 samples, although n_samples asked for more.",
            recognises=_mean_noise_between(0.15, 0.27),
        ),
        **_score_mistakes(_smoothgrad, where=_without_noise),
    },
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

    network = Network("cubic", 5, (2, 4, 5))
    inputs = _images(torch.Generator().manual_seed(8), 2, network)
    arguments = {"model": network, "inputs": inputs, "target": 1, "baselines": None}
    yield case(arguments, 150, "y = sum a x^3, where the answer is a x^3")
    for arguments, note in _path_arguments(generator):
        yield case(arguments, 150, note)


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
) -> tuple[Tensor, Tensor]:
    """Return the layer's activations h at the n_steps + 1 ends of the steps, and dy/dh at the positions alphas."""
    below, above = model[: int(layer) + 1], model[int(layer) + 1 :]
    baselines = _baseline(inputs, baselines)

    def activations(alphas: Tensor) -> Tensor:
        points = baselines + alphas * (inputs - baselines)
        with torch.no_grad():
            return below(points.flatten(0, 1)).unflatten(0, points.shape[:2])

    ends = activations(torch.linspace(0, 1, n_steps + 1).view(-1, 1, 1, 1, 1))
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
    """Yield cases where layers follow that are not linear: behind the last one every rule gives the same."""
    for (given, note), layer in zip(_path_arguments(generator), ("1", "2", "1", "1"), strict=True):
        n_steps = 200
        model, inputs, target, baselines = given.values()
        integrands, *jumps = _fine_conductance(model.build(), inputs, target, layer, baselines)
        expected = integrands[1:-1].mean(0)
        variation = torch.stack([_variation(integrands), *(jump.abs().sum(0) for jump in jumps)]).amax(0)
        arguments = {"model": model, "inputs": inputs, "target": target, "layer": layer, "baselines": baselines}
        tolerance = _allowed(variation, expected.abs().max(), n_steps)
        yield Case({**arguments, "n_steps": n_steps}, f"{note}, layer {layer!r}", tolerance, expected)


def _conductance(
    model: nn.Sequential,
    inputs: Tensor,
    target: Target,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
    score: Score = _target_score,
    combine: Callable[[Tensor, Tensor], Tensor] = lambda ends, gradients: (gradients * ends.diff(dim=0)).sum(0),
) -> Tensor:
    return combine(*_layer_path(model, inputs, target, layer, baselines, n_steps, _midpoints(n_steps), score))


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
        "endpoint_only": Mistake(
            partial(_conductance, combine=lambda ends, gradients: gradients[-1] * (ends[-1] - ends[0])),
            "you took dy/dh at the image alone. It changes along the path, and the integral sees all of it.",
        ),
        "activation_times_gradient": Mistake(
            partial(_conductance, combine=lambda ends, gradients: gradients[-1] * ends[-1]),
            "this is activation x gradient at the image: there is no path in it.",
        ),
        "activation_along_path": Mistake(
            partial(_conductance, combine=lambda ends, gradients: (gradients * ends[1:]).mean(0)),
            "you multiplied dy/dh with the activation h. The integral has the change of h from step to step.",
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
