"""What every method checks before it computes: images, targets, layers, baselines, random generators.

A wrong argument is named, with what came and what was expected. Nothing here changes what it is given.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from itertools import chain
from numbers import Real

import numpy as np
import torch
from torch import Tensor, nn


def check_inputs(inputs: Tensor, name: str = "inputs", infinite: bool = False) -> Tensor:
    """Return `inputs` if it is a batch of images, else say what is wrong with it.

    Args:
        inputs: float tensor (N, C, H, W), N >= 1, all values finite.
        name: how the caller calls this argument.
        infinite: whether infinite values are allowed as well (max pooling pads with minus infinity); NaN never is.

    Raises:
        TypeError: no tensor, or not of floating point.
        ValueError: not four dimensions, empty, or with NaN or infinite values.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(f"{name} must be a float tensor (N, C, H, W), got {type(inputs).__name__}")
    if not inputs.is_floating_point():
        raise TypeError(f"{name} must be a float tensor (N, C, H, W), got dtype {inputs.dtype}: use {name}.float()")
    if inputs.dim() == 3:
        raise ValueError(
            f"{name} must be a batch (N, C, H, W), got shape {tuple(inputs.shape)}: "
            f"for a single image use {name}.unsqueeze(0)"
        )
    if inputs.dim() != 4 or inputs.numel() == 0:
        raise ValueError(f"{name} must be a batch (N, C, H, W) of at least one pixel, got shape {tuple(inputs.shape)}")
    if not infinite:
        check_finite(inputs, name)
    elif broken := int(torch.isnan(inputs).sum()):
        raise ValueError(f"{name} must be numbers, got {broken} NaN of {inputs.numel()}")
    return inputs


def check_finite(values: Tensor, name: str) -> None:
    """Check that a tensor has neither NaN nor infinite values.

    Raises:
        ValueError: it has some, with their number.
    """
    if not torch.isfinite(values).all():
        broken = int((~torch.isfinite(values)).sum())
        raise ValueError(f"{name} must be finite, got {broken} NaN or infinite values of {values.numel()}")


def check_target(target: int | Tensor, n_images: int, name: str = "target") -> Tensor:
    """Return `target` as one class index an image.

    Args:
        target: an int (the same class for all images) or an integer tensor (N,).
        n_images: N.
        name: how the caller calls this argument.

    Returns:
        LongTensor (N,); that the classes exist is checked by `class_scores`.

    Raises:
        TypeError: neither an int nor an integer tensor.
        ValueError: a tensor of another shape.
    """
    if isinstance(target, Tensor):
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            raise TypeError(f"{name} must be an int or a LongTensor (N,), got a tensor of dtype {target.dtype}")
        if target.dim() > 1 or (target.dim() == 1 and len(target) != n_images):
            raise ValueError(
                f"{name} must be an int or a LongTensor ({n_images},), one class an image, got shape "
                f"{tuple(target.shape)}"
            )
        return target.detach().long().expand(n_images)
    if isinstance(target, (bool, np.bool_)) or not hasattr(target, "__index__"):
        raise TypeError(f"{name} must be an int or a LongTensor (N,), got {type(target).__name__}")
    return torch.full((n_images,), operator.index(target))


def class_scores(scores: Tensor, target: Tensor, name: str = "target") -> Tensor:
    """Pick the score of each image's target class; warn if the scores look like probabilities (a softmax at the end).

    Args:
        scores: class scores of a model, (N, K).
        target: LongTensor (N,) of class indices from 0 to K - 1.
        name: how the caller calls `target`.

    Returns:
        (N,), the scores y_target.

    Raises:
        TypeError: the model returned no tensor.
        ValueError: `scores` is not (N, K), or a target is no class of the model.
    """
    if not isinstance(scores, Tensor):
        raise TypeError(f"model must return class scores (N, K), got {type(scores).__name__}")
    if scores.dim() != 2 or len(scores) != len(target):
        raise ValueError(
            f"model must return class scores ({len(target)}, K), one row an image, got shape {tuple(scores.shape)}"
        )
    low, high, classes = int(target.min()), int(target.max()), scores.shape[1]
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise ValueError(f"{name} {wrong} is out of range: the model has {classes} classes, 0 to {classes - 1}")
    rows = scores.detach()
    if classes > 1 and (rows >= 0).all() and ((rows.sum(1) - 1).abs() < 1e-3).all():
        warnings.warn(
            "model returns probabilities (each row is positive and sums to 1): the methods explain class scores, so "
            "pass the network without its softmax",
            stacklevel=1,  # one place for all methods: Python shows it once
        )
    return scores.gather(1, target.to(scores.device).unsqueeze(1).clone()).squeeze(1)


def check_model(model: nn.Module) -> nn.Module:
    """Return `model` if the same image always gets the same scores from it, and autograd can record it.

    Raises:
        TypeError: no nn.Module.
        ValueError: in train mode, a layer that is random or changes itself; a batch norm without running statistics;
            parameters made in inference mode.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for name, module in model.named_modules():
        keeps_statistics = getattr(module, "track_running_stats", False)
        if module.training and (
            isinstance(module, (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm, nn.RReLU))
            or (isinstance(module, nn.modules.instancenorm._InstanceNorm) and keeps_statistics)
        ):
            raise ValueError(
                f"model is in train mode: its layer {name!r} ({type(module).__name__}) would answer differently "
                "from call to call: call model.eval() first"
            )
        check_running_statistics(name, module)
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_inference():
            raise ValueError(
                f"model's {name!r} was made in inference mode, so that no gradient can go through it: build or load "
                "the model outside torch.inference_mode()"
            )
    return model


def check_running_statistics(name: str, module: nn.Module) -> None:
    """Check that a model's layer, called `name` in it, is no batch norm that mixes the images of a batch.

    Raises:
        ValueError: a batch norm without running statistics.
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
        raise ValueError(
            f"model's layer {name!r} ({type(module).__name__}) has no running statistics: an image's scores depend "
            "on the other images of the batch; build it with track_running_stats=True"
        )


def check_dtype(model: nn.Module, inputs: Tensor) -> None:
    """Check that images have the number type in which the model computes, that of its first floating parameter.

    Raises:
        TypeError: another type.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), inputs.dtype)
    if inputs.dtype != dtype:
        raise TypeError(f"inputs are {inputs.dtype}, but the model computes in {dtype}: use inputs.to({dtype})")


def check_call(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Check what every method is given, a model, images (N, C, H, W) and a target; return one class an image, (N,).

    Raises:
        TypeError, ValueError: as `check_model`, `check_inputs`, `check_dtype` and `check_target`.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    return check_target(target, len(inputs)).to(inputs.device)


def find_layer(model: nn.Module, layer: str | nn.Module) -> tuple[str, nn.Module]:
    """Find a layer of the model by its name, or its name by the module.

    Args:
        model: any module.
        layer: a dotted name of `model.named_modules()`, or the module itself.

    Returns:
        (name, module).

    Raises:
        TypeError: neither a string nor a module.
        ValueError: the model has no such layer; the message lists those that it has.
    """
    layers = {name: module for name, module in model.named_modules() if name}
    if isinstance(layer, str):
        if layer in layers:
            return layer, layers[layer]
        came = repr(layer)
    elif isinstance(layer, nn.Module):
        for name, module in layers.items():
            if module is layer:
                return name, module
        came = f"a {type(layer).__name__} that is not part of it"
    else:
        raise TypeError(f"layer must be a layer's name or the module itself, got {type(layer).__name__}")
    known = ", ".join(f"{name!r} ({type(module).__name__})" for name, module in layers.items())
    raise ValueError(f"model has no layer {came}; its layers are: {known}")


def check_baselines(baselines: float | Tensor | None, inputs: Tensor, name: str = "baselines") -> Tensor:
    """Return the baselines with the shape of `inputs`.

    Args:
        baselines: None (zeros, a black image), a number, or a tensor (1, C, H, W) or (N, C, H, W).
        inputs: (N, C, H, W).
        name: how the caller calls this argument.

    Returns:
        (N, C, H, W), a view not to be written to, of the dtype and on the device of `inputs`.

    Raises:
        TypeError: none of these.
        ValueError: another shape, or values that are not finite.
    """
    if baselines is None:
        baselines = 0.0
    if isinstance(baselines, Real) or (isinstance(baselines, Tensor) and baselines.dim() == 0):
        baselines = torch.full_like(inputs[:1], _number(baselines, name))
    check_inputs(baselines, name)
    if baselines.shape[1:] != inputs.shape[1:] or len(baselines) not in (1, len(inputs)):
        raise ValueError(
            f"{name} must be a number or have shape {(1, *inputs.shape[1:])} or {tuple(inputs.shape)}, "
            f"got {tuple(baselines.shape)}"
        )
    return baselines.detach().to(inputs).expand_as(inputs)


def check_count(value: int, name: str) -> int:
    """Return `value` if it is a whole number of at least 1.

    Raises:
        TypeError: no whole number.
        ValueError: less than 1.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return operator.index(value)


def check_pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    """Return a size or a step along rows and columns as a pair: 3 becomes (3, 3).

    Args:
        value: a whole number, the same for both directions, or a pair (rows, columns) of them.
        name: how the caller calls this argument: "kernel_size", "stride", "padding", "dilation".
        least: the smallest number that is allowed.

    Raises:
        TypeError: neither a whole number nor a pair of them.
        ValueError: a tuple or list of another length, or a number less than `least`.
    """
    expected = f"{name} must be a whole number or a pair (rows, columns) of them"
    if isinstance(value, (tuple, list, torch.Size)):
        if len(value) != 2:
            raise ValueError(f"{expected}, got {len(value)} numbers")
        pair = value
    else:
        pair = (value, value)
    for number in pair:
        if isinstance(number, (bool, np.bool_, np.ndarray, Tensor)) or not hasattr(number, "__index__"):
            raise TypeError(f"{expected}, got {type(number).__name__}")
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {operator.index(number)}")
    return operator.index(pair[0]), operator.index(pair[1])


def random_source(generator: torch.Generator | None) -> torch.Generator:
    """Return the generator to draw from, so that torch's global random state stays as it is.

    Without a generator it is a copy of torch's default one: `torch.manual_seed` decides what is drawn, but
    drawing does not move the default one on, so that two calls draw the same numbers. Pass a generator to
    get new numbers from call to call.

    Raises:
        TypeError: neither None nor a torch.Generator.
    """
    if generator is None:
        generator = torch.Generator()
        generator.set_state(torch.get_rng_state())
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
    return generator


def draw(sample: Callable[..., Tensor], shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Draw random numbers where the generator lives, and bring them to the device of `like`, in its dtype."""
    return sample(shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def _number(value: float | Tensor, name: str) -> float:
    """Return a real number, or the one in a tensor (), as a float."""
    if isinstance(value, Tensor) and value.dim() == 0 and not value.is_complex() and value.dtype != torch.bool:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return float(value)


def check_not_negative(value: float | Tensor, name: str) -> float:
    """Return `value`, a number or a tensor of none but one number (), if it is finite and at least 0.

    Raises:
        TypeError: no number.
        ValueError: negative, infinite or NaN.
    """
    value = _number(value, name)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0, got {value}")
    return value


def check_probability(value: float | Tensor, name: str) -> float:
    """Return `value`, a number or a tensor of none but one number (), if it lies in [0, 1].

    Raises:
        TypeError: no number.
        ValueError: outside of [0, 1], or NaN.
    """
    value = _number(value, name)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability in [0, 1], got {value}")
    return value


def check_index(what: str, value: int, size: int, where: str) -> int:
    """Return `value` if it is one of the indices 0 to size - 1; `what` and `where` are for the message.

    Raises:
        TypeError: no whole number.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be a whole number, got {type(value).__name__}")
    if not 0 <= value < size:
        raise ValueError(f"{what} {value} is out of range: {where} has {size}, 0 to {size - 1}")
    return operator.index(value)


def check_baseline_set(baselines: Tensor, inputs: Tensor) -> Tensor:
    """Return a set of baseline images (B, C, H, W) in the dtype and on the device of `inputs` (N, C, H, W).

    Raises:
        TypeError, ValueError: no batch of images, or images of another shape.
    """
    check_inputs(baselines, "baselines")
    if baselines.shape[1:] != inputs.shape[1:]:
        raise ValueError(
            f"baselines must be a set of images (B, {', '.join(map(str, inputs.shape[1:]))}), got "
            f"{tuple(baselines.shape)}"
        )
    return baselines.detach().to(inputs)
