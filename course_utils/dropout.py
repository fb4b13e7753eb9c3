"""Dropout: a matrix in dense and convolutional layers, Bernoulli noise on the maps, and a source of uncertainty.

In the notation of the lecture: y = W h is a dense layer, R the Boolean diagonal matrix with r_i = 1 where unit i is
kept, and y = W R h the layer with dropout. A convolution is y = M x with a matrix M of shared weights (`conv_matrix` of
unit 01), and with dropout y = M R x: one r_i takes column i out, never a weight, which stands in other columns as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from course_utils.checking import (
    check_count,
    check_dtype,
    check_finite,
    check_inputs,
    check_pair,
    check_probability,
    check_running_statistics,
    random_source,
)
from course_utils.convolution import connections, conv_matrix
from course_utils.passes import forward_replaced, in_steps

# ---------------------------------------------------------------------------------------------------------------------
# Dropout as a matrix
# ---------------------------------------------------------------------------------------------------------------------


def dense_dropout(weight: Tensor, keep: Tensor) -> Tensor:
    """Return W R, the matrix of a dense layer in which some inputs are dropped.

    Entry (j, i) is w_ji r_i: column i, all that unit i sends out, is there or not. Nothing is scaled here.

    Args:
        weight: W, (out, in), float: y = W h.
        keep: the diagonal r of R, bool (in,): False where the unit is dropped.

    Returns:
        (out, in), in the dtype of `weight`.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the course document 004, "For an FFNN"; Srivastava et al. 2014, section 4.
    """
    _check_values(weight, "weight", "(out, in)", 2)
    keep = _check_keep(keep, "(in,)", 1)
    if len(keep) != weight.shape[1]:
        raise ValueError(
            f"keep must have one entry for each of the {weight.shape[1]} columns of weight, got {len(keep)}"
        )
    return weight * keep.to(weight)  # R is diagonal: column i of W times r_i


def conv_dropout_matrix(weight: Tensor, keep: Tensor, padding: int | tuple[int, int] = 0) -> Tensor:
    """Return M R, the matrix of a convolution in which some inputs are dropped.

    Entry (j, i) is r_i w_k, with the kernel's weight k that leads from input i to output j. Nothing is scaled here.

    Args:
        weight: kernels (O, C, kh, kw), float.
        keep: the diagonal of R, in the shape of the input: bool (C, H, W), False where the input is dropped.
        padding: zeros around the input, for both sides or (rows, columns).

    Returns:
        (O*H'*W', C*H*W), in the dtype of `weight`: times x.flatten() it is the convolution of the kept inputs.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the course document 004, "Let's introduce the diagonal Boolean matrix, R".
    """
    _check_values(weight, "weight", "(O, C, kh, kw)", 4)
    keep = _check_keep(keep, "(C, H, W)", 3)
    if len(keep) != weight.shape[1]:
        raise ValueError(f"keep must have the {weight.shape[1]} channels of weight's kernels, got {tuple(keep.shape)}")
    matrix = conv_matrix(weight, tuple(keep.shape[1:]), padding=padding)
    return matrix * keep.flatten().to(matrix)


def weights_without_gradient(
    keep: Tensor, kernel_size: int | tuple[int, int], padding: int | tuple[int, int] = 0
) -> Tensor:
    """Return which weights of a kernel get no gradient, whatever the image and the loss: all their inputs are dropped.

    A shared weight w gets the sum of g_j r_i x_i over its connections [ji], with the gradient g_j of output j. It is 0
    for sure only if every r_i is 0. (It can also be 0 by chance, or because the image is 0 where r_i is 1.)

    Args:
        keep: bool (C, H, W), False where the input is dropped.
        kernel_size: (kh, kw), or one number for both.
        padding: zeros around the input, for both sides or (rows, columns).

    Returns:
        bool (C, kh, kw), True for the weights without a gradient.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the course document 004, "Let's look at all the terms with w_5".
    """
    keep = _check_keep(keep, "(C, H, W)", 3)
    kernel_size = check_pair(kernel_size, "kernel_size", 1)
    without = torch.ones(len(keep), *kernel_size, dtype=torch.bool, device=keep.device)
    for (row, column), arcs in connections(kernel_size, tuple(keep.shape[1:]), padding=padding).items():
        inputs = arcs[:, 1].to(keep.device)
        without[:, row, column] = ~keep.flatten(1)[:, inputs].any(1)
    return without


# ---------------------------------------------------------------------------------------------------------------------
# Dropout as noise
# ---------------------------------------------------------------------------------------------------------------------


def dropout(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Return inverted dropout of units: each number is dropped with probability p, or else divided by 1 - p.

    The division keeps the mean: E[r x / (1 - p)] = x. So nothing has to be scaled when the network is used.

    Args:
        inputs: activations of any shape, float.
        p: the probability of being dropped, in [0, 1]; 1 drops everything.
        generator: source of the masks. Without one they come from a copy of torch's default generator, which is not
            moved on: two calls then draw the same mask, so pass one generator through a whole training.

    Returns:
        the shape and dtype of `inputs`; gradients go through the kept numbers.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Srivastava et al. 2014, section 10 (the scaling at training time).
    """
    _check_values(inputs, "inputs", "of any shape")
    return _drop(inputs, inputs.shape, check_probability(p, "p"), random_source(generator))


def spatial_dropout(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Return inverted dropout of whole maps: each map is dropped with probability p, or else divided by 1 - p.

    Neighbouring numbers of a map are much alike, so that what `dropout` takes from one of them is still in the others.
    A map that is dropped as a whole is really gone, and so are, for this image, the gradients of the weights that read
    it.

    Args:
        inputs: maps (N, C, H, W), float.
        p: the probability of being dropped, in [0, 1]; 1 drops everything.
        generator: source of the masks, as in `dropout`.

    Returns:
        (N, C, H, W), in the dtype of `inputs`.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Tompson et al. 2015 (SpatialDropout).
    """
    check_inputs(inputs)
    return _drop_maps(inputs, check_probability(p, "p"), random_source(generator))


def _drop_maps(inputs: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Drop whole maps of (N, C, ...), where ... are the positions in a map (none: each number is a map)."""
    return _drop(inputs, (*inputs.shape[:2], *(1 for _ in inputs.shape[2:])), p, generator)


def _drop(inputs: Tensor, shape: tuple[int, ...], p: float, generator: torch.Generator) -> Tensor:
    """Drop the parts of `inputs` that share a number of a mask of `shape`."""
    if p == 1:  # nothing is left to be scaled: 0 / 0
        return inputs * 0
    # float32 whatever the inputs are: the same seed gives the same mask.
    keep = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float32) >= p
    return inputs * keep.to(inputs) / (1 - p)


# ---------------------------------------------------------------------------------------------------------------------
# Monte Carlo dropout
# ---------------------------------------------------------------------------------------------------------------------

_UNITS = (nn.Dropout,)
_MAPS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def mc_dropout(
    model: nn.Module,
    inputs: Tensor,
    n_samples: int = 50,
    generator: torch.Generator | None = None,
    batch_size: int = 256,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the class probabilities over networks with different units dropped.

    The dropout layers stay active, each sample draws new masks, and all else is as in evaluation mode.

    Args:
        model: images to class scores (N, K), with dropout layers (nn.Dropout, nn.Dropout1d, 2d or 3d); it is left as it
            was, in whatever mode. A dropout that is called as a function inside of a forward cannot be seen, and stays
            switched off.
        inputs: images (N, C, H, W).
        n_samples: number of networks that are drawn.
        generator: source of the masks. Without one they come from a copy of torch's default generator:
            `torch.manual_seed` decides them, and the default generator itself is not moved on.
        batch_size: most images in one pass, counting an image for each of its samples. Another batch size draws other
            masks, as good as the first ones.
        progress: show a progress bar.

    Returns:
        (mean, std), each (N, K): the mean of the softmax over the samples, which sums to 1 over the classes, and its
        standard deviation (the root of the mean squared distance from the mean: divided by n, not n - 1).

    Raises:
        TypeError, ValueError: a bad argument, by name; a model without dropout layers, or with a dropout that cannot be
            steered.

    Source: Gal and Ghahramani 2016, section 4 (without the constant of the variance, which is for regression).
    """
    probabilities = mc_probabilities(model, inputs, n_samples, generator, batch_size, progress)
    return probabilities.mean(0), probabilities.std(0, correction=0)


def mc_probabilities(
    model: nn.Module,
    inputs: Tensor,
    n_samples: int = 50,
    generator: torch.Generator | None = None,
    batch_size: int = 256,
    progress: bool = False,
) -> Tensor:
    """Return the class probabilities of each of the networks that `mc_dropout` draws.

    Args:
        as in `mc_dropout`.

    Returns:
        (S, N, K) for S samples; each row sums to 1 over the K classes.

    Raises:
        TypeError, ValueError: as in `mc_dropout`.
    """
    check_inputs(inputs)
    n_samples, batch_size = check_count(n_samples, "n_samples"), check_count(batch_size, "batch_size")
    generator = random_source(generator)
    _check_dropout_layers(model)
    check_dtype(model, inputs)
    images_at_once = min(len(inputs), batch_size)
    samples_at_once = max(1, batch_size // images_at_once)
    samples: list[Tensor] = []
    with torch.no_grad(), _evaluation_mode(model), _dropout_from(model, generator) as calls:
        for steps in in_steps(n_samples, samples_at_once, progress, "Monte Carlo dropout"):
            # Each image of a batch gets masks of its own, so that copies of an image are samples.
            rows = [
                _probabilities(model, images.repeat(len(steps), 1, 1, 1)).unflatten(0, (len(steps), -1))
                for images in inputs.detach().split(images_at_once)
            ]
            samples.append(torch.cat(rows, dim=1))
            if not calls:
                raise ValueError(
                    "model has dropout layers, but its forward pass uses none of them: all samples would be equal"
                )
    return torch.cat(samples)


def _probabilities(model: nn.Module, images: Tensor) -> Tensor:
    scores = model(images)
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(images):
        came = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"model must return class scores ({len(images)}, K), one row an image, got {came}")
    return scores.softmax(1)


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy of the mean prediction, H(mean_s p_s): how undecided the networks are together.

    Args:
        probabilities: (S, N, K) of `mc_probabilities`.

    Returns:
        (N,), in nats: 0 if one class is certain, log K if all are equal.

    Raises:
        TypeError, ValueError: no probabilities (S, N, K).

    Source: Gal 2016, "Uncertainty in Deep Learning" (classification).
    """
    return _entropy(_check_probabilities(probabilities).mean(0))


def mutual_information(probabilities: Tensor) -> Tensor:
    """Return what the networks disagree about, H(mean_s p_s) - mean_s H(p_s).

    It is 0 where all samples give the same probabilities, also if these are undecided: then the image is ambiguous, and
    no choice of units would settle it.

    Args:
        probabilities: (S, N, K) of `mc_probabilities`.

    Returns:
        (N,), in nats, at least 0 and at most the predictive entropy.

    Raises:
        TypeError, ValueError: no probabilities (S, N, K).

    Source: Gal 2016, "Uncertainty in Deep Learning" (classification); Houlsby et al. 2011 (BALD).
    """
    probabilities = _check_probabilities(probabilities)
    return (_entropy(probabilities.mean(0)) - _entropy(probabilities).mean(0)).clamp(min=0)  # the clamp: rounding


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities).sum(-1)  # entr is -p log p, and 0 at p = 0


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch all layers to evaluation mode, and each of them back to its own mode at the end, also by an error."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _dropout_from(model: nn.Module, generator: torch.Generator) -> Iterator[list[nn.Module]]:
    """Let the model's dropout layers draw from `generator`, in any mode; yields the list of the layers that did."""
    calls: list[nn.Module] = []

    def units(layer: nn.Module, inputs: Tensor) -> Tensor:
        calls.append(layer)
        return _drop(inputs, inputs.shape, layer.p, generator)

    def maps(layer: nn.Module, inputs: Tensor) -> Tensor:
        calls.append(layer)
        return _drop_maps(inputs, layer.p, generator)

    kinds = {type(module) for module in model.modules()}
    replacements = {kind: units for kind in kinds if issubclass(kind, _UNITS)}
    replacements |= {kind: maps for kind in kinds if issubclass(kind, _MAPS)}
    with forward_replaced(model, replacements):
        yield calls


def _check_dropout_layers(model: nn.Module) -> None:
    """Check that the model has dropout layers, all of a kind that can be steered, and that images do not mix."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    known = {kind.forward for kind in (*_UNITS, *_MAPS)}
    found = False
    for name, module in model.named_modules():
        kind = type(module).__name__
        if isinstance(module, nn.modules.dropout._DropoutNd):
            if type(module).forward not in known:
                raise ValueError(
                    f"model's layer {name!r} ({kind}) is a dropout that mc_dropout does not know: it knows nn.Dropout, "
                    "nn.Dropout1d, nn.Dropout2d and nn.Dropout3d; put one of these in its place"
                )
            found = True
        elif isinstance(module, nn.MultiheadAttention | nn.RNNBase) and module.dropout > 0:
            raise ValueError(
                f"model's layer {name!r} ({kind}) drops units inside of itself, where mc_dropout cannot reach them: "
                "build it with dropout=0, and put nn.Dropout layers around it"
            )
        check_running_statistics(name, module)
    if not found:
        raise ValueError(
            "model has no dropout layers, so that all samples would be equal: give it nn.Dropout or nn.Dropout2d "
            "layers and train it with them. Dropout that is called as a function inside of a forward (F.dropout) "
            "cannot be seen: make it a layer"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Checks of this unit's own arguments
# ---------------------------------------------------------------------------------------------------------------------


def _check_values(values: Tensor, name: str, shape: str, n_dimensions: int | None = None) -> None:
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a float tensor {shape}, got {type(values).__name__}")
    if not values.is_floating_point():
        raise TypeError(f"{name} must be a float tensor {shape}, got dtype {values.dtype}: use {name}.float()")
    if values.numel() == 0 or n_dimensions not in (None, values.dim()):
        raise ValueError(f"{name} must be a tensor {shape} with at least one number, got shape {tuple(values.shape)}")
    check_finite(values, name)


def _check_keep(keep: Tensor, shape: str, n_dimensions: int) -> Tensor:
    if not isinstance(keep, Tensor):
        raise TypeError(f"keep must be a bool tensor {shape}, got {type(keep).__name__}")
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be a bool tensor {shape}, True where kept, got dtype {keep.dtype}: use keep.bool()")
    if keep.dim() != n_dimensions or keep.numel() == 0:
        raise ValueError(f"keep must be a bool tensor {shape}, got shape {tuple(keep.shape)}")
    return keep


def _check_probabilities(probabilities: Tensor) -> Tensor:
    _check_values(probabilities, "probabilities", "(S, N, K)", 3)
    # 1e-3: float16 probabilities of many classes are off by about this much
    if (probabilities < 0).any() or ((probabilities.sum(-1) - 1).abs() > 1e-3).any():
        raise ValueError(
            "probabilities must be (S, N, K), positive, with rows that sum to 1 over K, as mc_probabilities gives them"
        )
    return probabilities
