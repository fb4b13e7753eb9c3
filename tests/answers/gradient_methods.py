"""Answers to the exercises of unit 06 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from captum import attr
from torch import Tensor, nn


def relu_backward_by_autograd(inputs: Tensor, output_gradient: Tensor, rule: str = "gradient") -> Tensor:
    signal = output_gradient if rule == "gradient" else output_gradient.clamp(min=0)
    if rule == "deconvnet":
        return signal
    copy = inputs.clone().requires_grad_()
    return torch.autograd.grad(copy.relu(), copy, signal)[0]


def saliency_image_by_image(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    maps = []
    for n, image in enumerate(inputs):
        pixels = image[None].clone().requires_grad_()
        model(pixels)[0, target if isinstance(target, int) else target[n]].backward()
        maps.append(pixels.grad[0].abs().max(0).values)
    return torch.stack(maps)


def gradient_by_backward(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    pixels = inputs.clone().requires_grad_()
    scores = model(pixels)
    rows = torch.arange(len(scores))
    scores[rows, target].sum().backward()
    return pixels.grad


def captum_saliency(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    return attr.Saliency(model).attribute(inputs.clone().requires_grad_(), target).amax(1)


def captum_input_x_gradient(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    return attr.InputXGradient(model).attribute(inputs.clone().requires_grad_(), target)


def captum_guided(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    return attr.GuidedBackprop(model).attribute(inputs.clone().requires_grad_(), target)


def guided_by_hooks(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    def keep_positive(module: nn.Module, grad_input: tuple[Tensor], grad_output: tuple[Tensor]) -> tuple[Tensor]:
        return (grad_input[0].clamp(min=0),)

    hooks = [m.register_full_backward_hook(keep_positive) for m in model if isinstance(m, nn.ReLU)]
    try:
        return gradient_by_backward(model, inputs, target)
    finally:
        for hook in hooks:
            hook.remove()


def smoothgrad_in_a_loop(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    total = torch.zeros_like(inputs)
    for _ in range(n_samples):
        noise = torch.empty_like(inputs).normal_(0, 1, generator=generator) * stdevs
        total += gradient_by_backward(model, inputs + noise, target)
    return total / n_samples


def smoothgrad_image_by_image(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    """All samples of an image in one batch."""
    maps = []
    for n, image in enumerate(inputs):
        noisy = image + stdevs * torch.randn(n_samples, *image.shape, generator=generator)
        maps.append(gradient_by_backward(model, noisy, target if isinstance(target, int) else target[n]).mean(0))
    return torch.stack(maps)


def smoothgrad_in_pairs(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each noise twice, with both signs (antithetic pairs)."""
    total = torch.zeros_like(inputs)
    noise = torch.zeros_like(inputs)
    for k in range(n_samples):
        noise = -noise if k % 2 else stdevs * torch.randn(inputs.shape, generator=generator)
        total += gradient_by_backward(model, inputs + noise, target)
    return total / n_samples


def integrated_by(positions: Callable[[int], Tensor], weights: Callable[[int], Tensor]) -> Callable[..., Tensor]:
    def integrated_gradients(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        baselines: Tensor | None = None,
        n_steps: int = 50,
    ) -> Tensor:
        baselines = torch.zeros_like(inputs) if baselines is None else baselines
        total = torch.zeros_like(inputs)
        for alpha, weight in zip(positions(n_steps), weights(n_steps), strict=True):
            total += weight * gradient_by_backward(model, baselines + alpha * (inputs - baselines), target)
        return (inputs - baselines) * total

    return integrated_gradients


def equal_weights(n: int) -> Tensor:
    return torch.full((n,), 1 / n)


def trapezoid_weights(n: int) -> Tensor:
    weights = torch.full((n,), 1 / (n - 1))
    weights[[0, -1]] /= 2
    return weights


def captum_integrated(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    return attr.IntegratedGradients(model).attribute(inputs, baselines, target, n_steps=n_steps)


def captum_grad_cam(model: nn.Module, inputs: Tensor, target: int | Tensor, layer: str) -> Tensor:
    cam = attr.LayerGradCam(model, model.get_submodule(layer))
    return cam.attribute(inputs, target, relu_attributions=True)


def activation_of(model: nn.Module, inputs: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return the layer's activation, with its graph, and the scores, by a forward hook."""
    seen = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        scores = model(inputs)
        return seen[0], scores
    finally:
        hook.remove()


def grad_cam_by_hook(model: nn.Module, inputs: Tensor, target: int | Tensor, layer: str) -> Tensor:
    maps, scores = activation_of(model, inputs.clone(), layer)
    gradients = torch.autograd.grad(scores[torch.arange(len(scores)), target].sum(), maps)[0]
    return torch.einsum("nk,nkhw->nhw", gradients.mean((2, 3)), maps).relu()[:, None]


def captum_conductance(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    method = attr.LayerConductance(model, model.get_submodule(layer))
    return method.attribute(inputs, baselines, target, n_steps=n_steps)


def conductance_by_hook(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    baselines = torch.zeros_like(inputs) if baselines is None else baselines
    total: Tensor | float = 0.0
    before = activation_of(model, baselines, layer)[0]
    for step in range(1, n_steps + 1):
        now, scores = activation_of(model, baselines + step / n_steps * (inputs - baselines), layer)
        gradients = torch.autograd.grad(scores[torch.arange(len(scores)), target].sum(), now)[0]
        total = total + gradients * (now - before)
        before = now
    return total


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "relu_backward": {"autograd": relu_backward_by_autograd},
    "saliency": {"image by image": saliency_image_by_image, "captum": captum_saliency},
    "input_x_gradient": {
        "captum": captum_input_x_gradient,
        "backward": lambda model, inputs, target: inputs * gradient_by_backward(model, inputs, target),
    },
    "guided_backprop": {"captum": captum_guided, "hooks": guided_by_hooks},
    "smoothgrad": {
        "a loop": smoothgrad_in_a_loop,
        "image by image": smoothgrad_image_by_image,
        "pairs": smoothgrad_in_pairs,
    },
    "integrated_gradients": {
        "captum": captum_integrated,
        "left sum": integrated_by(lambda n: torch.arange(n) / n, equal_weights),
        "right sum": integrated_by(lambda n: torch.arange(1, n + 1) / n, equal_weights),
        "both ends": integrated_by(lambda n: torch.linspace(0, 1, n), equal_weights),
        "trapezoid": integrated_by(lambda n: torch.linspace(0, 1, n), trapezoid_weights),
        "one point more": integrated_by(lambda n: torch.linspace(0, 1, n + 1), lambda n: equal_weights(n + 1)),
    },
    "grad_cam": {"captum": captum_grad_cam, "hook": grad_cam_by_hook},
    "layer_conductance": {"captum": captum_conductance, "hook": conductance_by_hook},
}


def wrong_smoothgrad(noises: Callable[[Tensor, Callable[[], Tensor]], Iterator[Tensor]]) -> Callable[..., Tensor]:
    """Return a SmoothGrad, one sample after the other, at the images that `noises(inputs, draw)` yields without end."""

    def smoothgrad(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        n_samples: int = 25,
        stdevs: float = 0.15,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        def draw() -> Tensor:
            return stdevs * torch.randn(inputs.shape, generator=generator)

        images = itertools.islice(noises(inputs, draw), n_samples)
        return sum(gradient_by_backward(model, image, target) for image in images) / n_samples

    return smoothgrad


def one_noise(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    noisy = inputs + draw()
    while True:
        yield noisy


def noise_upon_noise(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    while True:
        inputs = inputs + draw()
        yield inputs


def noise_on_red(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    while True:
        noisy = inputs.clone()
        noisy[:, 0] += draw()[:, 0]
        yield noisy


def clipped_noise(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    while True:
        yield (inputs + draw()).clamp(0, 1)


def independent(draw: Callable[..., Tensor]) -> Callable[..., Iterator[Tensor]]:
    """Return the noisy images `draw(inputs, noise)`, with new noise for each."""

    def noises(inputs: Tensor, noise: Callable[[], Tensor]) -> Iterator[Tensor]:
        while True:
            yield draw(inputs, noise())

    return noises


def clean_and_noisy(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    yield inputs
    while True:
        yield inputs + draw()


def counting(
    smoothgrad: Callable[..., Tensor], n_drawn: Callable[[int], int], scale: Callable[[int], float] = lambda n: 1
) -> Callable[..., Tensor]:
    """Return the same with another number of samples, multiplied with a number."""

    def miscounting(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        n_samples: int = 25,
        stdevs: float = 0.15,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return smoothgrad(model, inputs, target, n_drawn(n_samples), stdevs, generator) * scale(n_samples)

    return miscounting


def with_generator(new: Callable[[], torch.Generator]) -> Callable[..., Tensor]:
    """Return a SmoothGrad that draws from a generator of its own."""

    def smoothgrad(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        n_samples: int = 25,
        stdevs: float = 0.15,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return smoothgrad_in_a_loop(model, inputs, target, n_samples, stdevs, new())

    return smoothgrad


def unseeded() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


def smoothgrad_of_saliency(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    total = torch.zeros_like(inputs)
    for _ in range(n_samples):
        noise = stdevs * torch.randn(inputs.shape, generator=generator)
        total += saliency_image_by_image(model, inputs + noise, target)[:, None]
    return total / n_samples


def integrated_by_the_image(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    baselines = torch.zeros_like(inputs) if baselines is None else baselines
    total = torch.zeros_like(inputs)
    for k in range(1, n_steps + 1):
        image = inputs.clone().requires_grad_()
        scores = model(baselines + k / n_steps * (image - baselines))
        scores[torch.arange(len(scores)), target].sum().backward()
        total += image.grad
    return (inputs - baselines) * total / n_steps


def in_steps(n_steps: int, method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same with a fixed number of steps."""

    def fixed(*arguments: Any, baselines: Tensor | None = None, n_steps: int = 50) -> Tensor:
        return method(*arguments, baselines, number)

    number = n_steps
    return fixed


def conductance_by(
    steps: Callable[[int], list[tuple[float, float, float]]], change: Callable[[Tensor], Tensor] = lambda moved: moved
) -> Callable[..., Tensor]:
    """Return a conductance from (alpha of the gradient, alphas of the step's ends) for each step."""

    def conductance(
        model: nn.Sequential,
        inputs: Tensor,
        target: int | Tensor,
        layer: str,
        baselines: Tensor | None = None,
        n_steps: int = 50,
    ) -> Tensor:
        below, above = model[: int(layer) + 1], model[int(layer) + 1 :]
        baselines = torch.zeros_like(inputs) if baselines is None else baselines

        def neurons(alpha: float) -> Tensor:
            return below(baselines + alpha * (inputs - baselines)).detach()

        return sum(
            gradient_by_backward(above, neurons(alpha), target) * change(neurons(end) - neurons(start))
            for alpha, start, end in steps(n_steps)
        )

    return conductance


def guided_by(hook: Callable[..., Any], kind: type[nn.Module] = nn.ReLU, tidy: bool = True) -> Callable[..., Tensor]:
    """Return a guided backpropagation with a hook; `tidy`: also if the network raises."""

    def guided(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
        hooks = [layer.register_full_backward_hook(hook) for layer in model if isinstance(layer, kind)]
        try:
            result = gradient_by_backward(model, inputs, target)
        except RuntimeError:
            if not tidy:
                hooks.clear()
            raise
        finally:
            for hook_there in hooks:
                hook_there.remove()
        return result

    return guided


def hook_left_after_an_error(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same with a hook on layer '4' that is removed only if nothing goes wrong."""

    def untidy(model: nn.Sequential, *arguments: Any, **options: Any) -> Tensor:
        hook = model[min(4, len(model) - 1)].register_forward_hook(lambda module, given, output: None)
        result = method(model, *arguments, **options)
        hook.remove()
        return result

    return untidy


def positive(module: nn.Module, grad_input: tuple[Tensor], grad_output: tuple[Tensor]) -> tuple[Tensor]:
    return (grad_input[0].clamp(min=0),)


def integrated_sum(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    return n_steps * captum_integrated(model, inputs, target, baselines, n_steps)


def integrated_without_baseline(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    left_sum = ALTERNATIVES["integrated_gradients"]["left sum"]
    return left_sum(model, inputs, target, None, n_steps)


def conductance_mean(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    return conductance_by_hook(model, inputs, target, layer, baselines, n_steps) / n_steps


MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Tensor]] = {
    ("smoothgrad", "same_noise"): wrong_smoothgrad(one_noise),
    ("smoothgrad", "growing_noise"): wrong_smoothgrad(noise_upon_noise),
    ("smoothgrad", "noise_on_one_channel"): wrong_smoothgrad(noise_on_red),
    ("smoothgrad", "clipped"): wrong_smoothgrad(clipped_noise),
    ("smoothgrad", "noise_shared_by_colours"): wrong_smoothgrad(
        independent(lambda inputs, noise: inputs + noise[:, :1])
    ),
    ("smoothgrad", "one_sample_less"): counting(smoothgrad_in_a_loop, lambda n: n - 1),
    ("smoothgrad", "divided_by_one_less"): counting(smoothgrad_in_a_loop, lambda n: n, lambda n: n / (n - 1)),
    ("smoothgrad", "clean_image_in_the_mean"): counting(wrong_smoothgrad(clean_and_noisy), lambda n: n + 1),
    ("smoothgrad", "noise_times_image"): wrong_smoothgrad(independent(lambda inputs, noise: inputs * (1 + noise))),
    ("smoothgrad", "share_of_range"): wrong_smoothgrad(
        independent(lambda inputs, noise: inputs + noise * (inputs.max() - inputs.min()))
    ),
    ("smoothgrad", "saliency_averaged_for_each_colour"): smoothgrad_of_saliency,
    ("integrated_gradients", "one_point_too_many"): integrated_by(
        lambda n: torch.linspace(0, 1, n + 1), lambda n: torch.full((n + 1,), 1 / n)
    ),
    ("integrated_gradients", "one_point_too_few"): integrated_by(
        lambda n: torch.arange(1, n) / n, lambda n: torch.full((n - 1,), 1 / n)
    ),
    ("integrated_gradients", "derivative_by_the_image"): integrated_by_the_image,
    ("layer_conductance", "first_step_skipped"): conductance_by(
        lambda n: [(k / n, k / n, (k + 1) / n) for k in range(1, n)]
    ),
    ("layer_conductance", "one_step_too_many"): conductance_by(
        lambda n: [(k / n, k / n, (k + 1) / n) for k in range(n + 1)]
    ),
    ("layer_conductance", "one_step_late"): conductance_by(
        lambda n: [(k / n, k / n, (k + 1) / n) for k in range(1, n + 1)]
    ),
    ("layer_conductance", "change_of_the_step_before"): conductance_by(
        lambda n: [(k / n, (k - 1) / n, k / n) for k in range(n)]
    ),
    ("layer_conductance", "magnitude_of_change"): conductance_by(
        lambda n: [((k + 1) / n, k / n, (k + 1) / n) for k in range(n)], torch.abs
    ),
    ("guided_backprop", "hook_on_convolutions"): guided_by(positive, nn.Conv2d),
    ("integrated_gradients", "sum"): integrated_sum,
    ("integrated_gradients", "baseline_ignored"): integrated_without_baseline,
    ("layer_conductance", "mean_of_steps"): conductance_mean,
}


LEFT_SUM = ALTERNATIVES["integrated_gradients"]["left sum"]

# Wrong answers that are no known mistake: the message tells what is wrong, and no hint claims to know why.
REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "noise shared over the batch": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise[0])),
        "an image that comes several times in a batch gets noise of its own",
    ),
    "a seed of its own": ("smoothgrad", with_generator(lambda: torch.Generator().manual_seed(0)), "The same generator"),
    "a generator without seed": ("smoothgrad", with_generator(unseeded), "The same generator"),
    "50 samples": ("smoothgrad", counting(smoothgrad_in_a_loop, lambda n: 50), "Yours has more: too few samples"),
    "the sum of one less": (
        "smoothgrad",
        counting(smoothgrad_in_a_loop, lambda n: n - 1, lambda n: (n - 1) / n),
        "of the 384 numbers are not",
    ),
    "half the noise": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise / 2)),
        "mean 0 and the standard deviation stdevs",
    ),
    "a third less noise": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise / 3**0.5)),
        "mean 0 and the standard deviation stdevs",
    ),
    "noise times the deviation of the image": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise * inputs.std())),
        "mean 0 and the standard deviation stdevs",
    ),
    "noise without sign": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise.abs())),
        "too much of it",
    ),
    "noise shared by rows": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise[..., :1])),
        "Does yours move several",
    ),
    "one number for an image": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise[:, :1, :1, :1])),
        "Yours has more|Does yours move several",
    ),
    "noise with heavy tails": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise * noise.roll(1, 3).abs() / 0.4)),
        "the noise is normal",
    ),
    "50 points": ("integrated_gradients", in_steps(50, LEFT_SUM), "is n_steps used"),
    "20 points": ("integrated_gradients", in_steps(20, LEFT_SUM), "is n_steps used"),
    "50 steps": ("layer_conductance", in_steps(50, conductance_by_hook), "is n_steps used"),
    "hook that returns a tensor": (
        "guided_backprop",
        guided_by(lambda module, grad_input, grad_output: grad_input[0].clamp(min=0)),
        "a backward hook has to return a tuple",
    ),
    "hook left after an error": (
        "guided_backprop",
        guided_by(positive, tidy=False),
        "wrong number of channels.* a hook is still on layer '1'",
    ),
    "hook left after an error, conductance": (
        "layer_conductance",
        hook_left_after_an_error(conductance_by_hook),
        "wrong number of channels.* a hook is still on layer",
    ),
    "hook left after an error, Grad-CAM": (
        "grad_cam",
        hook_left_after_an_error(grad_cam_by_hook),
        "wrong number of channels.* a hook is still on layer '4'",
    ),
    "no default": (
        "relu_backward",
        lambda inputs, output_gradient, rule: relu_backward_by_autograd(inputs, output_gradient, rule),
        r"called as relu_backward\(inputs, output_gradient\)",
    ),
}
