"""Gradient methods: what the derivative of a class score says about the pixels, the neurons and the layers.

All functions take a model that returns class scores (logits) (N, K), images (N, C, H, W) and a target class.
They change nothing: the model is only called. Three ideas carry the whole unit:

- the gradient w = dy/dI (saliency, input x gradient, CAM, Grad-CAM), and averages of it (SmoothGrad, integrated
  gradients, conductance);
- another backward pass through ReLU (deconvnet, guided backpropagation);
- a neuron is explained like a class: it is the output of the network that ends at its layer.

Sources: Simonyan et al. 2014 (saliency), Zeiler and Fergus 2014 (deconvnet), Springenberg et al. 2015 (guided
backpropagation), Smilkov et al. 2017 (SmoothGrad), Sundararajan et al. 2017 (integrated gradients), Zhou et al. 2016
(CAM), Selvaraju et al. 2017 (Grad-CAM), Dhamdhere et al. 2019 (conductance).
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from course_utils.checking import (
    check_baselines,
    check_call,
    check_count,
    check_dtype,
    check_index,
    check_inputs,
    check_model,
    check_not_negative,
    class_scores,
    draw,
    find_layer,
    random_source,
)
from course_utils.passes import (
    LINEAR,
    Layer,
    activation_and_gradient,
    activation_of,
    backward,
    forward_replaced,
    in_steps,
    known_pass,
    layer_output,
    leaf,
    only_output,
    recording,
    scores_from_layer,
    value_and_gradient,
)

# ---------------------------------------------------------------------------------------------------------------
# The gradient
# ---------------------------------------------------------------------------------------------------------------


def gradient(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return the gradient of the class score with respect to the pixels, w = dy/dI, signed.

    Args:
        model: returns class scores (N, K).
        inputs: images (N, C, H, W).
        target: class index, an int or a LongTensor (N,).

    Returns:
        (N, C, H, W), in units of score per unit of pixel value.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Simonyan, Vedaldi and Zisserman 2014, section 3.
    """
    return value_and_gradient(model, inputs, check_call(model, inputs, target))[1]


def first_order(model: nn.Module, inputs: Tensor, target: int | Tensor) -> tuple[Tensor, Tensor]:
    """Return the linear model that equals the network at the image: y(I) ~ w.I + b near I_0 = inputs.

    Args:
        model, inputs, target: as in `gradient`.

    Returns:
        weights w = dy/dI (I_0) of shape (N, C, H, W) and constant b = y(I_0) - w.I_0 of shape (N,).

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Simonyan et al. 2014, equations 3 and 4.
    """
    values, weights = value_and_gradient(model, inputs, check_call(model, inputs, target))
    return weights, values - (weights * inputs.detach()).flatten(1).sum(1)


def saliency(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return the saliency map M = max_c |dy/dI_c|: which pixels need to be changed the least to change the score most.

    Args:
        model, inputs, target: as in `gradient`.

    Returns:
        (N, H, W), not negative; for one channel simply |dy/dI|.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Simonyan et al. 2014, section 3.1.
    """
    return gradient(model, inputs, target).abs().amax(1)


def input_x_gradient(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return I * dy/dI, which in a linear network is the contribution w_i x_i of each pixel.

    A pixel of value 0 gets 0, whatever its gradient: the method's side effect.

    Args:
        model, inputs, target: as in `gradient`.

    Returns:
        (N, C, H, W), in units of the score.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Shrikumar et al. 2016, "Not just a black box".
    """
    return gradient(model, inputs, target) * inputs.detach()


# ---------------------------------------------------------------------------------------------------------------
# Averages of gradients
# ---------------------------------------------------------------------------------------------------------------


def _gauss_legendre(n_steps: int) -> tuple[list[float], list[float]]:
    """Return the positions alpha and weights of the Gauss-Legendre quadrature on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    return ((1 + nodes) / 2).tolist(), (weights / 2).tolist()


def _sum_of_gradients(
    model: nn.Module,
    point: Callable[[int], Tensor],
    weights: list[float],
    target: Tensor,
    batch_size: int,
    progress: bool,
    name: str,
) -> Tensor:
    """Return sum_k weights[k] dy/dI at point(k), where point(k) is (N, C, H, W); at most batch_size images a pass."""
    n = len(target)
    total: Tensor | float = 0.0
    for steps in in_steps(len(weights), max(1, check_count(batch_size, "batch_size") // n), progress, name):
        rows = torch.cat([point(step) for step in steps]).split(batch_size)
        targets = target.repeat(len(steps)).split(batch_size)
        gradients = torch.cat([value_and_gradient(model, row, t)[1] for row, t in zip(rows, targets, strict=True)])
        for step, gradient_there in zip(steps, gradients.split(n), strict=True):
            total = total + weights[step] * gradient_there
    return total


def smoothgrad(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the mean of the signed gradients at noisy copies of the image, 1/n sum_k dy/dI (I + e_k).

    Args:
        model, inputs, target: as in `gradient`.
        n_samples: number of noisy copies of each image.
        stdevs: standard deviation of the Gaussian noise, in units of pixel value (as in captum; the paper gives it as
            a fraction of the image's range).
        generator: source of the noise. Without one the noise comes from a copy of torch's default generator:
            `torch.manual_seed` decides it, and the default generator itself is not moved on.
        batch_size: most images in one pass; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (N, C, H, W), signed, in units of score per unit of pixel value.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Smilkov et al. 2017, equation 1.
    """
    target = check_call(model, inputs, target)
    stdevs = check_not_negative(stdevs, "stdevs")
    generator = random_source(generator)

    def noisy(_: int) -> Tensor:
        return inputs + stdevs * draw(torch.randn, inputs.shape, generator, inputs)

    weights = [1 / check_count(n_samples, "n_samples")] * n_samples
    return _sum_of_gradients(model, noisy, weights, target, batch_size, progress, "SmoothGrad")


def integrated_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    baselines: float | Tensor | None = None,
    n_steps: int = 50,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the integrated gradients (I - I') * integral over alpha in [0, 1] of dy/dI (I' + alpha (I - I')).

    The integral is taken by Gauss-Legendre quadrature with n_steps points, captum's default. The attributions sum to
    y(I) - y(I') (completeness), up to the error of the quadrature.

    Args:
        model, inputs, target: as in `gradient`.
        baselines: the image I' where the path starts: None (black), a number, (1, C, H, W) or (N, C, H, W).
        n_steps: points on the path.
        batch_size: most images in one pass; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (N, C, H, W), signed, in units of the score.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Sundararajan, Taly and Yan 2017, equation 1.
    """
    target = check_call(model, inputs, target)
    baselines = check_baselines(baselines, inputs)
    difference = inputs.detach() - baselines
    alphas, weights = _gauss_legendre(check_count(n_steps, "n_steps"))
    total = _sum_of_gradients(
        model,
        lambda k: baselines + alphas[k] * difference,
        weights,
        target,
        batch_size,
        progress,
        "Integrated gradients",
    )
    return difference * total


# ---------------------------------------------------------------------------------------------------------------
# Another backward pass through ReLU
# ---------------------------------------------------------------------------------------------------------------

RELU_RULES = ("gradient", "deconvnet", "guided")


def relu_backward(inputs: Tensor, output_gradient: Tensor, rule: str = "gradient") -> Tensor:
    """Return what a ReLU X_{n+1} = max(X_n, 0) passes down, by one of the three rules.

    - "gradient": R * 1(X_n > 0), the derivative;
    - "deconvnet": R * 1(R > 0), a ReLU of the backward signal;
    - "guided": R * 1(X_n > 0) * 1(R > 0), both.

    Args:
        inputs: X_n, any shape.
        output_gradient: R = df/dX_{n+1}, of the same shape.
        rule: one of the three names.

    Returns:
        df/dX_n, of the same shape.

    Raises:
        TypeError: no tensors.
        ValueError: an unknown rule, or shapes that differ.

    Source: Springenberg et al. 2015, figure 1c.
    """
    if rule not in RELU_RULES:
        raise ValueError(f"rule must be one of {', '.join(map(repr, RELU_RULES))}, got {rule!r}")
    for name, values in (("inputs", inputs), ("output_gradient", output_gradient)):
        if not isinstance(values, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(values).__name__}")
    if inputs.shape != output_gradient.shape:
        raise ValueError(
            f"output_gradient must have the shape of inputs, {tuple(inputs.shape)}, got {tuple(output_gradient.shape)}"
        )
    signal = output_gradient if rule == "gradient" else output_gradient.clamp(min=0)
    return signal if rule == "deconvnet" else torch.ops.aten.threshold_backward(signal, inputs, 0)  # as of torch's ReLU


class _ReLUWithRule(Function):
    """max(x, 0) forward, `relu_backward` with a rule backward."""

    @staticmethod
    def forward(ctx, inputs: Tensor, rule: str, inplace: bool) -> Tensor:
        outputs = inputs.clamp_(min=0) if inplace else inputs.clamp(min=0)
        if inplace:
            ctx.mark_dirty(inputs)
        ctx.rule = rule
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    def backward(ctx, output_gradient: Tensor) -> tuple[Tensor, None, None]:
        (outputs,) = ctx.saved_tensors  # positive exactly where the inputs are
        return relu_backward(outputs, output_gradient, ctx.rule), None, None


@contextmanager
def _relu_rule(model: nn.Module, rule: str) -> Iterator[None]:
    """Let every nn.ReLU pass its gradient down by `rule`; refuse a ReLU that is called more than once."""
    calls: Counter[nn.Module] = Counter()

    def relu(module: nn.Module, inputs: Tensor) -> Tensor:
        calls[module] += 1
        return _ReLUWithRule.apply(inputs, rule, module.inplace)

    with forward_replaced(model, {nn.ReLU: relu}):
        yield
    for name, module in model.named_modules():
        if calls[module] > 1:
            raise ValueError(
                f"model uses its ReLU {name!r} {calls[module]} times (reused or shared): give every place a nn.ReLU() "
                "of its own, so that each has its own inputs in the modified backward pass"
            )


_RELU_NETWORK = LINEAR | {"_ReLUWithRule", "MaxPool2DWithIndices"}
_OWN_RELUS = (
    "write every nonlinearity as a nn.ReLU() of its own, not as a function, and pooling as max or average pooling"
)


def _modified_gradient(method: str, model: nn.Module, inputs: Tensor, target: Tensor, rule: str) -> Tensor:
    """Return the gradient of the score with another rule at every ReLU."""

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        with _relu_rule(model, rule):
            return model(images.clone()), images

    with recording():
        scores, inputs = known_pass(method, forward, leaf(inputs), _RELU_NETWORK, _OWN_RELUS)
        return backward(class_scores(scores, target), inputs)


def deconvnet(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return the class score sent back through the deconvolutional network: ReLU acts on the backward signal.

    A max pooling layer hands the signal to its switches, as `max_pooling.max_pool2d_backward` does. torch's own
    backward pass is that step, with padding, dilation and ceil_mode as well, so it is the one that is used here.

    Args:
        model: as in `gradient`; every nonlinearity a nn.ReLU of its own, or a pooling.
        inputs, target: as in `gradient`.

    Returns:
        (N, C, H, W), signed.

    Raises:
        TypeError, ValueError: a bad argument, or a network that the method cannot explain (functional, reused or
            shared ReLUs, other nonlinearities), by name.

    Source: Zeiler and Fergus 2014, section 2.1, in the form of Simonyan et al. 2014, section 4.
    """
    return _modified_gradient("deconvnet", model, inputs, check_call(model, inputs, target), "deconvnet")


def guided_backprop(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return guided backpropagation: at a ReLU only what is positive forward and backward passes down.

    Args:
        model, inputs, target: as in `deconvnet`.

    Returns:
        (N, C, H, W), signed.

    Raises:
        TypeError, ValueError: as in `deconvnet`.

    Source: Springenberg et al. 2015, section 3.4.
    """
    return _modified_gradient("guided_backprop", model, inputs, check_call(model, inputs, target), "guided")


def deconvnet_reconstruction(model: nn.Module, inputs: Tensor, layer: Layer, channel: int | None = None) -> Tensor:
    """Return a layer's feature maps projected back to the pixels by the deconvnet: what the layer has seen.

    Args:
        model: as in `deconvnet`.
        inputs: images (N, C, H, W).
        layer: name of the layer or the module; its activation (N, F, ...) is the signal that is sent back.
        channel: None for all filters at once, or the number of the single filter that is kept; the others are set to 0.

    Returns:
        (N, C, H, W), signed.

    Raises:
        TypeError, ValueError: as in `deconvnet`, or a channel that the layer does not have.

    Source: Zeiler and Fergus 2014, section 2.1.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    name, module = find_layer(model, layer)

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        with _relu_rule(model, "deconvnet"), layer_output(name, module) as outputs:
            model(images.clone())
        return only_output(outputs, name), images

    with recording():
        activation, inputs = known_pass("deconvnet_reconstruction", forward, leaf(inputs), _RELU_NETWORK, _OWN_RELUS)
        signal = activation.detach()
        if channel is not None:
            signal = torch.zeros_like(signal)
            index = check_index("channel", channel, signal.shape[1], f"layer {name!r}")
            signal[:, index] = activation.detach()[:, index]
        return backward(activation, inputs, signal)


# ---------------------------------------------------------------------------------------------------------------
# Looking at a layer
# ---------------------------------------------------------------------------------------------------------------


def cam(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return the class activation map M = sum_k w_k A_k, w the class's weights behind the global average pool.

    Args:
        model: ends in feature maps A, a global average pool (nn.AdaptiveAvgPool2d(1)) and one nn.Linear.
        inputs, target: as in `gradient`.

    Returns:
        (N, 1, h, w) at the resolution of the feature maps, signed; the mean over the map plus the bias is the score.

    Raises:
        TypeError, ValueError: a bad argument, or a network of another form, by name.

    Source: Zhou et al. 2016, equations 1 and 2.
    """
    target = check_call(model, inputs, target)
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    handles = []
    kinds = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Linear)
    try:
        for module in model.modules():
            if isinstance(module, kinds):
                handles.append(module.register_forward_hook(lambda m, i, o: calls.append((m, i[0].clone(), o))))
        with torch.no_grad():
            scores = model(inputs.clone())
    finally:
        for handle in handles:
            handle.remove()
    class_scores(scores, target)
    if len(calls) >= 2 and isinstance(calls[-1][0], nn.Linear) and not isinstance(calls[-2][0], nn.Linear):
        (_, maps, _), (linear, _, _) = calls[-2:]
        if maps.shape[1] == linear.in_features and scores.shape[1] == linear.out_features:
            pooled = F.linear(maps.mean((2, 3)), linear.weight, linear.bias)
            if torch.allclose(pooled, scores, rtol=1e-4, atol=1e-4):
                return torch.einsum("nk,nkhw->nhw", linear.weight[target], maps).unsqueeze(1).detach()
    raise ValueError(
        "cam needs a network that ends in feature maps, a global average pool (nn.AdaptiveAvgPool2d(1)) and a single "
        "nn.Linear that gives the scores; this one does not: use grad_cam, which works for any layer with maps"
    )


def grad_cam(model: nn.Module, inputs: Tensor, target: int | Tensor, layer: Layer, relu: bool = True) -> Tensor:
    """Return Grad-CAM, ReLU(sum_k a_k A_k), where a_k is the mean over the map of dy/dA_k.

    Args:
        model, inputs, target: as in `gradient`.
        layer: name of a layer with feature maps A (N, F, h, w), or the module; often the last convolution.
        relu: False keeps the negative part, too.

    Returns:
        (N, 1, h, w) at the layer's resolution; `upsample` brings it to the image's.

    Raises:
        TypeError, ValueError: a bad argument, a layer that does not exist or has no maps, by name.

    Source: Selvaraju et al. 2017, equations 1 and 2.
    """
    target = check_call(model, inputs, target)
    maps, gradients = activation_and_gradient(model, inputs, target, layer)
    if maps.dim() != 4:
        raise ValueError(
            f"grad_cam needs a layer with feature maps (N, F, h, w), but layer {find_layer(model, layer)[0]!r} gives "
            f"shape {tuple(maps.shape)}: choose a convolution, ReLU or pooling layer"
        )
    attribution = (gradients.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)
    return attribution.relu() if relu else attribution


INTERPOLATE_MODES = ("nearest", "bilinear", "bicubic")


def _check_interpolate_mode(interpolate_mode: str) -> None:
    if interpolate_mode not in INTERPOLATE_MODES:
        raise ValueError(
            f"interpolate_mode must be one of {', '.join(map(repr, INTERPOLATE_MODES))}, got {interpolate_mode!r}"
        )


def upsample(attributions: Tensor, size: tuple[int, int], interpolate_mode: str = "bilinear") -> Tensor:
    """Return maps at another resolution.

    Args:
        attributions: (N, C, h, w).
        size: (H, W) in pixels.
        interpolate_mode: "nearest", "bilinear" or "bicubic".

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: another mode.
    """
    _check_interpolate_mode(interpolate_mode)
    corners = None if interpolate_mode == "nearest" else False
    return F.interpolate(attributions, size=tuple(size), mode=interpolate_mode, align_corners=corners)


def guided_grad_cam(
    model: nn.Module, inputs: Tensor, target: int | Tensor, layer: Layer, interpolate_mode: str = "nearest"
) -> Tensor:
    """Return guided backpropagation times Grad-CAM, brought to the image's resolution.

    Args:
        model, inputs, target, layer: as in `guided_backprop` and `grad_cam`.
        interpolate_mode: how the map is brought to the image's resolution, as in `upsample`; "nearest" as in captum.

    Returns:
        (N, C, H, W), signed.

    Raises:
        TypeError, ValueError: as in `guided_backprop` and `grad_cam`.

    Source: Selvaraju et al. 2017, section 3.2.
    """
    _check_interpolate_mode(interpolate_mode)
    maps = upsample(grad_cam(model, inputs, target, layer), inputs.shape[2:], interpolate_mode)
    return guided_backprop(model, inputs, target) * maps


# ---------------------------------------------------------------------------------------------------------------
# Layer attributions: the share of each neuron of a layer
# ---------------------------------------------------------------------------------------------------------------


def gradient_x_activation(model: nn.Module, inputs: Tensor, target: int | Tensor, layer: Layer) -> Tensor:
    """Return A * dy/dA for the activation A of a layer: input x gradient, one level up.

    Args:
        model, inputs, target: as in `gradient`.
        layer: name of the layer, or the module.

    Returns:
        the shape of the layer's output, in units of the score.

    Raises:
        TypeError, ValueError: a bad argument or a layer that does not exist, by name.
    """
    activation, gradients = activation_and_gradient(model, inputs, check_call(model, inputs, target), layer)
    return activation * gradients


def internal_influence(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: Layer,
    baselines: float | Tensor | None = None,
    n_steps: int = 50,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the mean of dy/dA on the straight path from the baseline image to the image.

    Args:
        model, inputs, target: as in `gradient`.
        layer: name of the layer with activation A, or the module.
        baselines, n_steps, progress: as in `integrated_gradients` (Gauss-Legendre quadrature).
        batch_size: about how many images one pass takes; never fewer than the N of one step.

    Returns:
        the shape of the layer's output, in units of score per unit of activation.

    Raises:
        TypeError, ValueError: a bad argument or a layer that does not exist, by name.

    Source: Leino et al. 2018, "Influence-directed explanations for deep convolutional networks".
    """
    target = check_call(model, inputs, target)
    alphas, weights = _gauss_legendre(check_count(n_steps, "n_steps"))
    total: Tensor | float = 0.0
    path = _layer_on_path(model, inputs, target, layer, baselines, alphas, batch_size, progress, "Internal influence")
    for weight, (_, gradients) in zip(weights, path, strict=True):
        total = total + weight * gradients
    return total


def layer_conductance(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: Layer,
    baselines: float | Tensor | None = None,
    n_steps: int = 50,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the conductance of each neuron of a layer: the part of the integrated gradients that flows through it.

    As the image moves from the baseline to I, a neuron's activation A moves; each of its steps counts with dy/dA:
    sum over k of dy/dA (I_k) * (A(I_{k+1}) - A(I_k)), at n_steps + 1 Gauss-Legendre points I_k, as captum does.
    The conductances of a layer that all paths cross sum to about y(I) - y(I').

    Args:
        model, inputs, target: as in `gradient`.
        layer: name of the layer with activation A, or the module.
        baselines, n_steps, progress: as in `integrated_gradients`.
        batch_size: about how many images one pass takes; never fewer than the N of one step.

    Returns:
        the shape of the layer's output, in units of the score.

    Raises:
        TypeError, ValueError: a bad argument or a layer that does not exist, by name.

    Source: Dhamdhere, Sundararajan and Yan 2019, "How important is a neuron?", equation 2.
    """
    target = check_call(model, inputs, target)
    alphas, _ = _gauss_legendre(check_count(n_steps, "n_steps") + 1)
    path = _layer_on_path(model, inputs, target, layer, baselines, alphas, batch_size, progress, "Conductance")
    before, gradients_before = next(path)
    total: Tensor | float = 0.0
    for activation, gradients in path:
        total = total + gradients_before * (activation - before)
        before, gradients_before = activation, gradients
    return total


def _layer_on_path(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    layer: Layer,
    baselines: float | Tensor | None,
    alphas: list[float],
    batch_size: int,
    progress: bool,
    name: str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield A and dy/dA at I' + alpha (I - I') for each alpha in turn."""
    baselines = check_baselines(baselines, inputs)
    difference = inputs.detach() - baselines
    n = len(inputs)
    for steps in in_steps(len(alphas), max(1, check_count(batch_size, "batch_size") // n), progress, name):
        rows = torch.cat([baselines + alphas[k] * difference for k in steps])
        both = activation_and_gradient(model, rows, target.repeat(len(steps)), layer)
        yield from zip(both[0].split(n), both[1].split(n), strict=True)


def _layer_activation(model: nn.Module, inputs: Tensor, target: Tensor, layer: Layer) -> Tensor:
    """Return the layer's output itself; the target plays no part."""
    return activation_of(model, inputs, layer)


def _layer_integrated_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    layer: Layer,
    *,
    baselines: float | Tensor | None = None,
    n_steps: int = 50,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return integrated gradients on the straight path from A(I') to A(I) in the layer."""
    start = activation_of(model, check_baselines(baselines, inputs), layer)
    difference = activation_of(model, inputs, layer) - start
    alphas, weights = _gauss_legendre(check_count(n_steps, "n_steps"))
    total: Tensor | float = 0.0
    per_pass = max(1, check_count(batch_size, "batch_size") // len(inputs))
    for steps in in_steps(n_steps, per_pass, progress, "Layer integrated gradients"):
        with recording():
            rows = leaf(torch.cat([start + alphas[k] * difference for k in steps]))
            gradients = backward(scores_from_layer(model, inputs.detach(), target, layer, rows), rows)
        for k, gradients_there in zip(steps, gradients.split(len(inputs)), strict=True):
            total = total + weights[k] * gradients_there
    return difference * total


def _layer_deep_lift(
    model: nn.Module, inputs: Tensor, target: Tensor, layer: Layer, *, baselines: float | Tensor | None = None
) -> Tensor:
    """Return DeepLIFT's contributions of a layer's neurons."""
    from course_utils import shapley  # a unit that comes later: only who asks for it needs it

    return shapley.deep_lift(model, inputs, target, baselines, layer)


def _layer_deep_lift_shap(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    layer: Layer,
    *,
    baselines: Tensor,
    batch_size: int = 32,
    progress: bool = False,
) -> Tensor:
    """Return the mean of DeepLIFT over a set of baselines (B, C, H, W)."""
    from course_utils import shapley

    return shapley.deep_shap(model, inputs, target, baselines, layer, batch_size, progress)


def _layer_gradient_shap(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    layer: Layer,
    *,
    baselines: Tensor,
    n_samples: int = 50,
    stdevs: float = 0.0,
    generator: torch.Generator | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the mean of (A(I + e) - A(b)) * dy/dA at a random point between I + e and a random baseline b."""
    from course_utils import shapley

    return shapley.gradient_shap(
        model, inputs, target, baselines, n_samples, stdevs, generator, layer, batch_size, progress
    )


def _layer_lrp(model: nn.Module, inputs: Tensor, target: Tensor, layer: Layer, *, epsilon: float = 1e-9) -> Tensor:
    """Return the relevance of a layer's outputs by LRP, the epsilon rule in every layer; y is what is shared out."""
    from course_utils import lrp  # a unit that comes later: only who asks for it needs it

    return lrp.layer_lrp(model, inputs, target, layer, lrp.Epsilon(epsilon))


def _layer_feature_ablation(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    layer: Layer,
    *,
    layer_baselines: float | Tensor = 0.0,
    layer_mask: Tensor | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Return by how much the score falls when neurons (or the groups of `layer_mask`) are set to a baseline."""
    activation = activation_of(model, inputs, layer)
    return _feature_ablation(
        lambda rows: scores_from_layer(model, inputs.detach(), target, layer, rows),
        activation,
        layer_baselines,
        ("layer_mask", layer_mask),
        batch_size,
        progress,
    )


@torch.no_grad()
def _feature_ablation(
    scores: Callable[[Tensor], Tensor],
    features: Tensor,
    baselines: float | Tensor,
    mask: tuple[str, Tensor | None],
    batch_size: int,
    progress: bool,
) -> Tensor:
    """Return y - y(features with one group set to its baseline), written to each member of the group.

    Args:
        scores: maps k versions (k N, ...) of the N features to their scores (k N,).
        features: (N, ...).
        baselines: a number or a tensor that expands to `features`.
        mask: name and value of the caller's argument: integers (1, ...) or (N, ...), the same number for all members of
            a group; None makes each feature its own group.
    """
    name, groups = mask
    if groups is None:
        groups = torch.arange(features[0].numel(), device=features.device).view(1, *features.shape[1:])
    elif groups.is_floating_point() or groups.shape[1:] != features.shape[1:] or len(groups) not in (1, len(features)):
        raise ValueError(
            f"{name} must hold whole numbers and have shape {(1, *features.shape[1:])} or {tuple(features.shape)}, got "
            f"{groups.dtype} of shape {tuple(groups.shape)}"
        )
    baselines = torch.as_tensor(baselines, dtype=features.dtype, device=features.device).expand_as(features)
    groups = groups.to(features.device)
    numbers = groups.unique()
    n, ones = len(features), [1] * (features.dim() - 1)
    before = scores(features)
    attributions = torch.zeros_like(features)
    per_pass = max(1, check_count(batch_size, "batch_size") // n)
    for steps in in_steps(len(numbers), per_pass, progress, "Feature ablation"):
        hit = groups == numbers[steps.start : steps.stop].view(-1, 1, *ones)  # (k, 1 or N, ...)
        ablated = torch.where(hit, baselines, features)
        fall = before - scores(ablated.flatten(0, 1)).view(-1, n)
        attributions += (fall.view(-1, n, *ones) * hit).sum(0)
    return attributions


_LAYER: dict[str, Callable[..., Tensor]] = {
    "conductance": layer_conductance,
    "activation": _layer_activation,
    "internal_influence": internal_influence,
    "gradient_x_activation": gradient_x_activation,
    "grad_cam": grad_cam,
    "deep_lift": _layer_deep_lift,
    "deep_lift_shap": _layer_deep_lift_shap,
    "gradient_shap": _layer_gradient_shap,
    "integrated_gradients": _layer_integrated_gradients,
    "feature_ablation": _layer_feature_ablation,
    "lrp": _layer_lrp,
}
LAYER_ATTRIBUTIONS = tuple(_LAYER)


def layer_attribution(
    name: str, model: nn.Module, inputs: Tensor, target: int | Tensor, layer: Layer, **options: object
) -> Tensor:
    """Return one of the eleven layer attributions: what each neuron of a layer contributes to the class score.

    Args:
        name: one of `LAYER_ATTRIBUTIONS`.
        model, inputs, target: as in `gradient`.
        layer: name of the layer, or the module.
        options: by name;
            "conductance", "internal_influence", "integrated_gradients": baselines, n_steps, batch_size, progress;
            "deep_lift": baselines;
            "deep_lift_shap": baselines, a set of images (B, C, H, W), batch_size, progress;
            "gradient_shap": baselines, a set of images (B, C, H, W), n_samples, stdevs, generator, batch_size,
            progress;
            "feature_ablation": layer_baselines, layer_mask, batch_size, progress;
            "grad_cam": relu; "lrp": epsilon (the epsilon rule in every layer).

    Returns:
        the shape of the layer's output; (N, 1, h, w) for "grad_cam".

    Raises:
        TypeError, ValueError: a bad argument, an unknown name or option, or a network that the method has no rule for.
    """
    method = _method(name, _LAYER, options, given=("model", "inputs", "target", "layer"))
    return method(model, inputs, check_call(model, inputs, target), layer, **options)


def _method(
    name: str, methods: dict[str, Callable[..., Tensor]], options: dict[str, object], given: tuple[str, ...]
) -> Callable[..., Tensor]:
    """Look up a method by name, and check the options by its signature."""
    if name not in methods:
        raise ValueError(f"name must be one of {', '.join(map(repr, methods))}, got {name!r}")
    parameters = inspect.signature(methods[name]).parameters
    allowed = [key for key in parameters if key not in given]
    needed = [key for key in allowed if parameters[key].default is inspect.Parameter.empty]
    for key in options:
        if key not in allowed:
            raise ValueError(f"{name!r} has no option {key!r}; it has: {', '.join(allowed) or 'none'}")
    for key in needed:
        if key not in options:
            raise ValueError(f"{name!r} needs the option {key!r}")
    return methods[name]


# ---------------------------------------------------------------------------------------------------------------
# Neuron attributions: the pixels' share in one neuron
# ---------------------------------------------------------------------------------------------------------------


class _Neuron(nn.Module):
    """The network that ends at one neuron: its only score (N, 1) is the neuron's activation."""

    def __init__(self, network: nn.Module, layer: Layer, neuron_selector: int | tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.layer = find_layer(network, layer)
        self.selector = neuron_selector

    def named_modules(self, *args, **options) -> Iterator[tuple[str, nn.Module]]:
        """Name the modules as the network does, so that messages name them as the caller knows them."""
        return self.network.named_modules(*args, **options)

    def forward(self, inputs: Tensor) -> Tensor:
        name, module = self.layer
        with layer_output(name, module) as outputs:
            self.network(inputs)
        activation = only_output(outputs, name)
        return activation[(slice(None), *_neuron_index(self.selector, activation, name))].unsqueeze(1)


def _neuron_index(neuron_selector: int | tuple[int, ...], activation: Tensor, name: str) -> tuple[int, ...]:
    """Return the index of a neuron behind the batch dimension."""
    index = neuron_selector if isinstance(neuron_selector, tuple) else (neuron_selector,)
    shape = tuple(activation.shape[1:])
    if len(index) != len(shape):
        raise ValueError(
            f"neuron_selector must have {len(shape)} numbers, one for each dimension of layer {name!r} with outputs of "
            f"shape {shape}, got {neuron_selector!r}"
        )
    return tuple(
        check_index("neuron_selector", i, size, f"dimension {d} of layer {name!r}")
        for d, (i, size) in enumerate(zip(index, shape, strict=True))
    )


def _neuron_conductance(
    model: nn.Module,
    inputs: Tensor,
    layer: Layer,
    neuron_selector: int | tuple[int, ...],
    *,
    target: int | Tensor,
    baselines: float | Tensor | None = None,
    n_steps: int = 50,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the part of each pixel's integrated gradient that flows through the neuron."""
    target = check_call(model, inputs, target)
    name, module = find_layer(model, layer)
    baselines = check_baselines(baselines, inputs)
    difference = inputs.detach() - baselines
    alphas, weights = _gauss_legendre(check_count(n_steps, "n_steps"))
    per_pass = max(1, check_count(batch_size, "batch_size") // len(inputs))
    total: Tensor | float = 0.0
    for steps in in_steps(n_steps, per_pass, progress, "Neuron conductance"):
        with recording():
            rows = leaf(torch.cat([baselines + alphas[k] * difference for k in steps]))
            with layer_output(name, module) as outputs:
                values = class_scores(model(rows.clone()), target.repeat(len(steps)))
            activation = only_output(outputs, name)
            neuron = (slice(None), *_neuron_index(neuron_selector, activation, name))
            influence = backward(values, activation, again=True)[neuron]
            gradients = backward(activation[neuron], rows, influence)
        for k, gradients_there in zip(steps, gradients.split(len(inputs)), strict=True):
            total = total + weights[k] * gradients_there
    return difference * total


def _neuron_deep_lift(
    model: nn.Module, inputs: Tensor, target: Tensor, baselines: float | Tensor | None = None
) -> Tensor:
    """Return DeepLIFT's contributions of the pixels."""
    from course_utils import shapley

    return shapley.deep_lift(model, inputs, target, baselines)


def _neuron_deep_lift_shap(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    baselines: Tensor,
    batch_size: int = 32,
    progress: bool = False,
) -> Tensor:
    """Return the mean of DeepLIFT over a set of baselines (B, C, H, W)."""
    from course_utils import shapley

    return shapley.deep_shap(model, inputs, target, baselines, None, batch_size, progress)


def _neuron_gradient_shap(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    baselines: Tensor,
    n_samples: int = 50,
    stdevs: float = 0.0,
    generator: torch.Generator | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return the mean of (I + e - b) * dy/dI at a random point between I + e and a random baseline b."""
    from course_utils import shapley

    return shapley.gradient_shap(
        model, inputs, target, baselines, n_samples, stdevs, generator, None, batch_size, progress
    )


def _neuron_feature_ablation(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor,
    baselines: float | Tensor | None = None,
    feature_mask: Tensor | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Return by how much the neuron falls when pixels (or the groups of `feature_mask`) are set to a baseline."""
    return _feature_ablation(
        lambda rows: class_scores(model(rows.clone()), target.repeat(len(rows) // len(target))),
        inputs.detach(),
        check_baselines(baselines, inputs),
        ("feature_mask", feature_mask),
        batch_size,
        progress,
    )


_NEURON: dict[str, Callable[..., Tensor]] = {
    "gradient": gradient,
    "input_x_gradient": input_x_gradient,
    "integrated_gradients": integrated_gradients,
    "conductance": _neuron_conductance,
    "deep_lift": _neuron_deep_lift,
    "deep_lift_shap": _neuron_deep_lift_shap,
    "gradient_shap": _neuron_gradient_shap,
    "guided_backprop": guided_backprop,
    "deconvolution": deconvnet,
    "feature_ablation": _neuron_feature_ablation,
}
NEURON_ATTRIBUTIONS = tuple(_NEURON)


def neuron_attribution(
    name: str, model: nn.Module, inputs: Tensor, layer: Layer, neuron_selector: int | tuple[int, ...], **options: object
) -> Tensor:
    """Return one of the ten neuron attributions: what each pixel contributes to one neuron of a layer.

    All but the conductance explain the network that ends at the neuron. Nine are captum's; input x gradient is added.

    Args:
        name: one of `NEURON_ATTRIBUTIONS`.
        model, inputs: as in `gradient`.
        layer: name of the layer, or the module.
        neuron_selector: index of the neuron behind the batch dimension: (f, row, column) in a map, or an int.
        options: by name;
            "integrated_gradients": baselines, n_steps, batch_size, progress;
            "conductance": the same, and target (needed): the class whose score the neuron hands on;
            "deep_lift": baselines;
            "deep_lift_shap": baselines, a set of images (B, C, H, W), batch_size, progress;
            "gradient_shap": baselines, a set of images (B, C, H, W), n_samples, stdevs, generator, batch_size,
            progress;
            "feature_ablation": baselines, feature_mask, batch_size, progress.

    Returns:
        (N, C, H, W), in units of the neuron's activation (of the score for "conductance").

    Raises:
        TypeError, ValueError: a bad argument, an unknown name or option, or a network that the method has no rule for.
    """
    if name == "conductance":
        _method(name, _NEURON, options, given=("model", "inputs", "layer", "neuron_selector"))
        return _neuron_conductance(model, inputs, layer, neuron_selector, **options)
    method = _method(name, _NEURON, options, given=("model", "inputs", "target"))
    check_model(model)
    neuron = _Neuron(model, layer, neuron_selector)
    return method(neuron, inputs, check_call(neuron, inputs, 0), **options)
