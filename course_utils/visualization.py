"""Visualization: the filters of a network, what it makes of an image, and which image it likes best.

Four ways to look into a network, from the weights to its favourite pictures:

- its **filters** and **feature maps**, as they are (`filter_images`, `feature_maps`, `multi_output_model`);
- **occlusion**: cover a part of the image and see what happens to the score (`occlusion`, `occlusion_loss`);
- **activation maximization**: climb from any image to one with a higher score (`maximize_activation`), also in the
  code space of a generator (`maximize_in_code_space`), for a whole layer (`deep_dream`), and from several starts that
  show the different faces of one neuron (`facets`);
- its **training**, written down for TensorBoard and read back (`log_training`, `read_training`, `share_of_zeros`).

What is maximized is a score: a function of images (N, C, H, W) that returns one number an image, (N,). `class_score`,
`class_log_probability` and `unit_activation` make one from a network; any function of yours will do.

Sources: Zeiler and Fergus 2014 (occlusion), Simonyan et al. 2013 (activation maximization), Montavon et al. 2018 (with
an expert, in code space), Nguyen et al. 2016 (facets), Mordvintsev et al. 2015 (deep dream).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.checking import (
    check_baselines,
    check_call,
    check_count,
    check_dtype,
    check_finite,
    check_index,
    check_inputs,
    check_model,
    check_not_negative,
    check_pair,
    check_target,
    class_scores,
    find_layer,
    random_source,
)
from course_utils.passes import Layer, backward, in_steps, layer_output, leaf, only_output, recording

Score = Callable[[Tensor], Tensor]
Transform = Callable[[Tensor, torch.Generator], Tensor]

# ---------------------------------------------------------------------------------------------------------------------
# Filters and feature maps
# ---------------------------------------------------------------------------------------------------------------------


def filter_images(weight: Tensor) -> Tensor:
    """Return the filters of a first layer as colour images: (w - min w) / (max w - min w), for each filter by itself.

    The three channels of a filter share one scale, so that a filter which sees no colour is grey. A filter with the
    same weight everywhere becomes 0.5.

    Args:
        weight: filters over RGB images, (O, 3, kh, kw).

    Returns:
        (O, kh, kw, 3) in [0, 1], as `plt.imshow` takes them.

    Raises:
        TypeError, ValueError: no float tensor of this shape, or values that are not finite.

    Source: the course document 000, "filters of the first convolutional layer"; Krizhevsky et al. 2012, figure 3.
    """
    weight = check_inputs(weight, "weight").detach()
    if weight.shape[1] != 3:
        raise ValueError(
            f"weight must be filters over RGB images, (O, 3, kh, kw), got shape {tuple(weight.shape)}: "
            "only a filter with 3 channels is a colour image"
        )
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    scaled = torch.where(high > low, (weight - low) / (high - low), 0.5)
    return scaled.permute(0, 2, 3, 1)


def _find_layers(model: nn.Module, layers: Sequence[Layer]) -> dict[str, nn.Module]:
    """Return the layers by their names."""
    if isinstance(layers, (str, nn.Module)) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of layer names or modules, got {type(layers).__name__}: use [layer]")
    if not layers:
        raise ValueError("layers must name at least one layer, got an empty list")
    return dict(find_layer(model, layer) for layer in layers)


def feature_maps(model: nn.Module, inputs: Tensor, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Return what several layers make of the images, by one forward pass through hooks.

    Args:
        model: any network; it is only called.
        inputs: images (N, C, H, W).
        layers: list of layer names, or of the modules themselves.

    Returns:
        {name: activation}, in the order of `layers`: (N, maps, h, w), or (N, units) for a dense layer. What a layer
        gave is what you get, also if an in-place ReLU follows it.

    Raises:
        TypeError, ValueError: a bad argument, by name; a layer that does not exist, or is not called exactly once.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    found = _find_layers(model, layers)
    with torch.no_grad(), ExitStack() as stack:
        outputs = {name: stack.enter_context(layer_output(name, module)) for name, module in found.items()}
        model(inputs.detach().clone())
    return {name: only_output(output, name).detach() for name, output in outputs.items()}


def multi_output_model(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    """Return the network that ends at several layers: images (N, C, H, W) to {name: activation}.

    It equals `feature_maps`, but it is a network of its own, with the weights of `model`: gradients go through it, it
    can be called again and again, and what lies behind the last of the layers is not computed. Torchvision does the
    work; here only a copy is added behind each layer, since otherwise an in-place ReLU would overwrite what comes out.

    Args:
        model: a network that torch.fx can trace: no `if` on values.
        layers: list of layer names, or of the modules themselves.

    Returns:
        a module in the mode of `model`, which shares its weights.

    Raises:
        TypeError, ValueError: a bad argument, by name; a layer that does not exist or is not called exactly once; a
            network that cannot be traced.

    Source: the course document 001, "Take the intermediate layers and build a new multi-output model".
    """
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    check_model(model)
    names = list(_find_layers(model, layers))
    for name in names:
        if inside := next((other for other in names if other.startswith(f"{name}.")), None):
            raise ValueError(f"layer {inside!r} lies inside layer {name!r}: use two calls, or feature_maps")
    modules = dict(model.named_modules())
    modes = {module: module.training for module in modules.values()}
    try:
        for node in get_graph_node_names(model, suppress_diff_warning=True)[1]:
            name, _, number = node.rpartition("_")  # the second call of layer "relu" is node "relu_1"
            if name in names and number.isdecimal() and node not in modules:
                raise ValueError(f"layer {name!r} is called more than once in one forward pass: choose another layer")
        extractor = create_feature_extractor(model, names, suppress_diff_warning=True)
    except (torch.fx.proxy.TraceError, TypeError) as error:
        raise ValueError(f"model cannot be traced by torch.fx ({error}): use feature_maps") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    for graph in (extractor.train_graph, extractor.eval_graph):
        (output,) = (node for node in graph.nodes if node.op == "output")
        for node in output.all_input_nodes:
            with graph.inserting_after(node):
                handed_on = graph.call_method("clone", (node,))
            node.replace_all_uses_with(handed_on, lambda user, own=(output, handed_on): user not in own)
        graph.eliminate_dead_code()
    extractor.recompile()
    return extractor


# ---------------------------------------------------------------------------------------------------------------------
# Occlusion
# ---------------------------------------------------------------------------------------------------------------------


def _inside(size: int, window: int, stride: int) -> Tensor:
    """Return which of `size` positions each window covers, bool (windows, size): the last one ends at the border."""
    n_windows = math.ceil((size - window) / stride) + 1
    first = stride * torch.arange(n_windows).unsqueeze(1)
    position = torch.arange(size)
    return (first <= position) & (position < first + window)


def _windows(size: torch.Size, window: int | tuple[int, ...], stride: int | tuple[int, ...]) -> list[Tensor]:
    """Return `_inside` for channels, rows and columns of images of a size (C, H, W)."""
    if isinstance(window, (tuple, list)) and len(window) == 3:
        window = (check_count(window[0], "window"), *check_pair(window[1:], "window", 1))
    else:
        window = (size[0], *check_pair(window, "window", 1))
    if isinstance(stride, (tuple, list)) and len(stride) == 3:
        stride = (check_count(stride[0], "stride"), *check_pair(stride[1:], "stride", 1))
    else:
        stride = (window[0], *check_pair(stride, "stride", 1))
    for what, whole, width, step in zip(("channels", "rows", "columns"), size, window, stride, strict=True):
        if width > whole:
            raise ValueError(f"window covers {width} {what}, but the image has only {whole}")
        if step > width and width < whole:
            raise ValueError(
                f"stride must be at most the window, or {what} between two windows are never covered: "
                f"got stride {step} and window {width}"
            )
    return [_inside(*lengths) for lengths in zip(size, window, stride, strict=True)]


def _occluded(
    score: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    target: Tensor,
    windows: list[Tensor],
    baselines: float | Tensor,
    batch_size: int,
    progress: bool,
) -> Tensor:
    """Return score(image with one window covered, its target) - score(image, its target), for each image and window.

    Returns:
        (N, windows over the channels, over the rows, over the columns).
    """
    inputs, baselines = inputs.detach(), check_baselines(baselines, inputs)
    channels, rows, columns = (inside.to(inputs.device) for inside in windows)
    batch_size = check_count(batch_size, "batch_size")
    grid = (len(inputs), len(channels), len(rows), len(columns))
    image, i, j, k = (index.flatten() for index in torch.meshgrid(*map(torch.arange, grid), indexing="ij"))
    occluded_scores = []
    with torch.inference_mode():
        parts = zip(inputs.split(batch_size), target.split(batch_size), strict=True)
        scores = torch.cat([score(images.clone(), classes) for images, classes in parts])  # it may work in place
        for steps in in_steps(len(image), batch_size, progress, "Occlusion"):
            n, c, r, q = (index[steps.start : steps.stop] for index in (image, i, j, k))
            covered = channels[c][:, :, None, None] & rows[r][:, None, :, None] & columns[q][:, None, None, :]
            occluded_scores.append(score(torch.where(covered, baselines[n], inputs[n]), target[n]))
        changes = torch.cat(occluded_scores).view(grid) - scores.view(-1, 1, 1, 1)
    return changes.clone()  # outside of inference mode: a tensor like any other


def occlusion(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    window: int | tuple[int, ...] = 8,
    stride: int | tuple[int, ...] = 4,
    baselines: float | Tensor = 0.0,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Return by how much the class score falls when a pixel is covered: the mean over all windows that cover it.

    A window slides over the image from the top left, `stride` pixels at a time, and the pixels below it are replaced by
    the baseline: ceil((H - window) / stride) + 1 places along H pixels, of which the last is cut at the border. A pixel
    gets the mean of y(I) - y(I with the window covered) over the windows that cover it. The cost is one forward pass
    for each window: half the stride, four times the cost.

    Args:
        model: returns class scores (N, K).
        inputs: images (N, C, H, W).
        target: class index, an int or a LongTensor (N,).
        window: pixels that are covered at once: a number, a pair (rows, columns), both over all channels, or a triple
            (channels, rows, columns), as captum's `sliding_window_shapes`.
        stride: the step from one window to the next, in the same three ways; at most the window. A number or a pair
            takes whole windows of channels.
        baselines: what covers the pixels: a number, (1, C, H, W) or (N, C, H, W).
        batch_size: covered images in one forward pass; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (N, C, H, W), signed, in units of the score: positive where covering hurts.

    Raises:
        TypeError, ValueError: a bad argument, by name; a window larger than the image, a stride larger than the window.

    Source: Zeiler and Fergus 2014, section 4.2; captum's `Occlusion`.
    """
    target = check_call(model, inputs, target)
    windows = _windows(inputs.shape[1:], window, stride)

    def score(images: Tensor, classes: Tensor) -> Tensor:
        return class_scores(model(images), classes)

    falls = -_occluded(score, inputs, target, windows, baselines, batch_size, progress)
    channels, rows, columns = (inside.to(inputs) for inside in windows)
    total = torch.einsum("nijk,ic,jh,kw->nchw", falls, channels, rows, columns)
    times = torch.einsum("ic,jh,kw->chw", channels, rows, columns)
    return total / times


def occlusion_loss(
    model: nn.Module,
    inputs: Tensor,
    label: int | Tensor,
    window: int | tuple[int, int] = 8,
    stride: int | tuple[int, int] = 4,
    baselines: float | Tensor = 0.5,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Return the change of the loss when a patch is covered, L_noccl - L_occl, with L = -log P(y = label).

    The slides' algorithm: cover the image with grey patches, starting at the top left, and compare the loss before and
    after. The patches lie as in `occlusion`. With the predicted class Q as the label it asks what speaks for the
    prediction, right (Q = K, the true class) or wrong.

    Args:
        model: returns class scores (N, K), before the softmax.
        inputs: images (N, C, H, W).
        label: class index, an int or a LongTensor (N,).
        window: size of a patch over all channels, a number or a pair (rows, columns).
        stride: the step from one patch to the next, a number or a pair; at most the window.
        baselines: what covers the pixels (0.5 is grey): a number, (1, C, H, W) or (N, C, H, W).
        batch_size: covered images in one forward pass; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (N, rows of patches, columns of patches), in nats. Negative where covering makes the loss larger: the smaller,
        the more important the patch.

    Raises:
        TypeError, ValueError: a bad argument, by name; a window larger than the image, a stride larger than the window.

    Source: the course document 004, "Occlusion methods"; Zeiler and Fergus 2014, section 4.2.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    label = check_target(label, len(inputs), "label").to(inputs.device)
    windows = _windows(inputs.shape[1:], check_pair(window, "window", 1), check_pair(stride, "stride", 1))

    def log_probability(images: Tensor, classes: Tensor) -> Tensor:
        scores = model(images)
        return class_scores(scores, classes, "label") - scores.logsumexp(1)

    return _occluded(log_probability, inputs, label, windows, baselines, batch_size, progress)[:, 0]


# ---------------------------------------------------------------------------------------------------------------------
# What can be maximized
# ---------------------------------------------------------------------------------------------------------------------


def class_score(model: nn.Module, target: int | Tensor) -> Score:
    """Return the function images (N, C, H, W) -> y_target (N,): the score of a class, before the softmax.

    Args:
        model: returns class scores (N, K).
        target: class index, an int or a LongTensor (N,), one for each image that will be given.

    Raises:
        TypeError, ValueError: a bad argument, by name; a bad target when the function is called.

    Source: Simonyan et al. 2013, section 2.
    """
    check_model(model)

    def score(images: Tensor) -> Tensor:
        check_dtype(model, check_inputs(images, "images"))
        return class_scores(model(images.clone()), check_target(target, len(images)))

    return score


def class_log_probability(model: nn.Module, target: int | Tensor) -> Score:
    """Return the function images (N, C, H, W) -> log P_target (N,), the logarithm of the softmax.

    It can be raised by lowering the scores of all other classes. That is why the slides maximize the score instead.

    Args:
        model, target: as in `class_score`.

    Raises:
        TypeError, ValueError: a bad argument, by name; a bad target when the function is called.

    Source: Simonyan et al. 2013, section 2; Montavon et al. 2018, section 3.1.
    """
    check_model(model)

    def score(images: Tensor) -> Tensor:
        check_dtype(model, check_inputs(images, "images"))
        scores = model(images.clone())
        return class_scores(scores, check_target(target, len(images))) - scores.logsumexp(1)

    return score


def unit_activation(model: nn.Module, layer: Layer, channel: int) -> Score:
    """Return the function images (N, C, H, W) -> activation (N,): the mean of one map, or one unit of a dense layer.

    Args:
        model: any network.
        layer: name of the layer, or the module.
        channel: index of the map or unit.

    Raises:
        TypeError, ValueError: a bad argument, by name; a channel that does not exist, or a layer that is not called
            exactly once, when the function is called.

    Source: Erhan et al. 2009; the course document 003, "Global explanations".
    """
    check_model(model)
    name, module = find_layer(model, layer)

    def score(images: Tensor) -> Tensor:
        check_dtype(model, check_inputs(images, "images"))
        with layer_output(name, module) as outputs:
            model(images.clone())
        activation = only_output(outputs, name)
        unit = check_index("channel", channel, activation.shape[1], f"layer {name!r}")
        return activation[:, unit].reshape(len(images), -1).mean(1)

    return score


def total_variation(images: Tensor, power: float = 1.0) -> Tensor:
    """Return how rough images are: the sum of |difference|^power over all neighbours in a row or a column.

    As a prior: `prior=lambda images: -weight * total_variation(images)`.

    Args:
        images: (N, C, H, W).
        power: 1 is the total variation; 2 punishes large steps more, and is smooth.

    Returns:
        (N,), in units of pixel value to that power.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Rudin, Osher and Fatemi 1992; Mahendran and Vedaldi 2015 (both powers).
    """
    check_inputs(images, "images")
    if check_not_negative(power, "power") < 1:
        raise ValueError(f"power must be at least 1, got {power}")
    across, down = images.diff(dim=3), images.diff(dim=2)
    return across.abs().pow(power).sum((1, 2, 3)) + down.abs().pow(power).sum((1, 2, 3))


def gaussian_expert(
    images: Tensor, patch_size: int = 8, weight: float = 0.001, stride: int | None = None, noise: float = 0.05
) -> Score:
    """Return an expert log p(x) on images: how likely all patches of x are under a Gaussian fitted to real patches.

        log p(x) = -weight / 2 * sum over patches q of x of (q - m)^T S^-1 (q - m)  + constant

    with the mean m and the covariance S of the patches of `images`. With S = L L^T the sum is that of the squares of
    L^-1 (q - m), which for all patches is one convolution with the rows of L^-1 as filters. The constant, -weight / 2 *
    (D log(2 pi) + log det S) for each patch of D numbers, moves nothing and is left out: the largest value is 0.

    Args:
        images: real images to learn from, (M, C, H, W).
        patch_size: P, so that D = C P P.
        weight: what the expert counts against the score; 1 is the density itself, next to which the score of a small
            network is nothing. Where (patch_size / stride)^2 * weight / noise^2 * lr comes near 2, an ascent with steps
            of length lr no longer climbs but jumps to and fro.
        stride: the step from one patch to the next; half of the patch by default, so that patches overlap.
        noise: standard deviation that is added to each pixel, S + noise^2 1: without it, what never occurred in
            `images` would be infinitely unlikely.

    Returns:
        the function images (N, C, H', W') -> (N,), in nats.

    Raises:
        TypeError, ValueError: a bad argument, by name; images smaller than a patch.

    Source: Montavon et al. 2018, section 3.2 ("with an expert"); Zoran and Weiss 2011 (the patch log likelihood).
    """
    check_inputs(images, "images")
    patch_size = check_count(patch_size, "patch_size")
    stride = max(1, patch_size // 2) if stride is None else check_count(stride, "stride")
    weight = check_not_negative(weight, "weight")
    if check_not_negative(noise, "noise") == 0:
        raise ValueError("noise must be above 0, got 0: without it the covariance may have no inverse")
    n_channels = images.shape[1]
    _check_patches(images, n_channels, patch_size)
    patches = (
        F.unfold(images.detach(), patch_size, stride=stride).transpose(1, 2).flatten(0, 1).double()
    )  # (patches, D)
    mean = patches.mean(0)
    centred = patches - mean
    covariance = centred.T @ centred / len(patches) + noise**2 * torch.eye(len(mean)).to(patches)
    root = torch.linalg.cholesky(covariance)
    whitening = torch.linalg.solve_triangular(root, torch.eye(len(mean)).to(root), upper=False)  # L^-1
    filters, bias = whitening.view(-1, n_channels, patch_size, patch_size), -whitening @ mean

    def log_density(x: Tensor) -> Tensor:
        _check_patches(check_inputs(x, "images"), n_channels, patch_size)
        whitened = F.conv2d(x, filters.to(x), bias.to(x), stride)
        return -weight / 2 * whitened.square().sum((1, 2, 3))

    return log_density


def _check_patches(images: Tensor, n_channels: int, patch_size: int) -> None:
    """Check that images have the expert's channels and are not smaller than a patch."""
    if images.shape[1] != n_channels or min(images.shape[2:]) < patch_size:
        raise ValueError(
            f"images must have {n_channels} channels and at least {patch_size} x {patch_size} pixels, the expert's "
            f"patch, got shape {tuple(images.shape)}"
        )


def jitter(n_pixels: int) -> Transform:
    """Return the transform that moves images by up to `n_pixels` in a random direction; what leaves enters opposite.

    A picture that must please the network wherever it lies cannot be made of single pixels. All images of a batch move
    together, so that a batch gives what its images give alone.

    Args:
        n_pixels: the largest shift along rows and along columns, in pixels.

    Returns:
        the function of (images (N, C, H, W), generator) -> images of the same shape.

    Raises:
        TypeError, ValueError: no whole number of at least 1.

    Source: Mordvintsev et al. 2015; Olah et al. 2017, "Transformation robustness".
    """
    n_pixels = check_count(n_pixels, "n_pixels")

    def transform(images: Tensor, generator: torch.Generator) -> Tensor:
        return images.roll(_random_shift(n_pixels, generator), dims=(2, 3))

    return transform


def _random_shift(n_pixels: int, generator: torch.Generator) -> tuple[int, int]:
    """Draw a shift along rows and one along columns, each from -n_pixels to n_pixels."""
    shift = torch.randint(-n_pixels, n_pixels + 1, (2,), generator=generator, device=generator.device)
    return shift[0].item(), shift[1].item()


# ---------------------------------------------------------------------------------------------------------------------
# Activation maximization
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maximization:
    """What activation maximization found.

    Args:
        image: (N, C, H, W).
        scores: the score alone, without penalties, of the start and after each step, (n_steps + 1, N).
        code: (N, Z), the code of the image, if it was searched for in code space.
    """

    image: Tensor
    scores: Tensor
    code: Tensor | None = None


def _values(score: Score, images: Tensor, name: str) -> Tensor:
    """Return score(images) if it is one finite number an image."""
    values = score(images.clone())  # the clone is what an in-place first layer may overwrite
    if not isinstance(values, Tensor) or values.shape != (len(images),):
        came = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{name} must return one number an image, a tensor ({len(images)},), got {came}")
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} must return finite numbers, got {values.tolist()}: a smaller lr may help")
    return values


def _ascend(
    score: Score,
    start: Tensor,
    n_steps: int,
    lr: float,
    l2: float,
    prior: Score | None = None,
    transform: Transform | None = None,
    generator: torch.Generator | None = None,
    bounds: tuple[float, float] | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the end of a gradient ascent, in the shape of `start`, and the scores on the way, (n_steps + 1, N)."""
    n_steps, l2 = check_count(n_steps, "n_steps"), check_not_negative(l2, "l2")
    if check_not_negative(lr, "lr") == 0:
        raise ValueError("lr must be above 0, got 0: nothing would move")
    for name, function in (("score", score), ("prior", prior), ("transform", transform)):
        if not callable(function) and (function is not None or name == "score"):
            raise TypeError(f"{name} must be a function of images, got {type(function).__name__}")
    generator = random_source(generator)
    x = start.detach().clone()
    scores = []
    for _ in in_steps(n_steps, 1, progress, "Activation maximization"):
        with recording():
            x = leaf(x)
            values = _values(score, x, "score")
            scores.append(values.detach())
            if transform is not None:
                values = _values(score, transform(x.clone(), generator), "score")
            if not values.requires_grad:
                raise ValueError(
                    "score does not depend on the images by differentiable operations (.detach(), argmax?)"
                )
            objective = values - l2 * x.square().flatten(1).sum(1)
            if prior is not None:
                objective = objective + _values(prior, x, "prior")
            x = x.detach() + lr * backward(objective, x)
            if bounds is not None:
                x = x.clamp(*bounds)
    with torch.no_grad():
        scores.append(_values(score, x, "score"))
    return x, torch.stack(scores)


def maximize_activation(
    score: Score,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Score | None = None,
    transform: Transform | None = None,
    generator: torch.Generator | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    progress: bool = False,
) -> Maximization:
    """Return images with a high score, by gradient ascent on score(x) - l2 ||x||^2 + prior(x) from `start`.

    In every step, x <- clip(x + lr d/dx [score(transform(x)) - l2 ||x||^2 + prior(x)]).

    Args:
        score: what is maximized, images (N, C, H, W) -> (N,): `class_score`, `unit_activation`, or your own, in which
            no image may depend on the others.
        start: where the ascent begins, (N, C, H, W), inside of `bounds`: noise, an image, the mean of a class. Each
            image climbs by itself.
        n_steps: number of steps.
        lr: length of a step per unit of the gradient.
        l2: lambda, the price of ||x||^2, the sum of the squares of an image's numbers.
        prior: what is added to the score, images -> (N,): a `gaussian_expert`, or minus a `total_variation`.
        transform: what is done to the images before the score sees them, (images, generator) -> images: `jitter`.
        generator: source of randomness for `transform`. Without one it is a copy of torch's default generator, which
            itself is not moved on.
        bounds: smallest and largest value that a pixel may take; None for no bounds.
        progress: show a progress bar.

    Returns:
        the images, and the scores of the untransformed images before the first and after each step.

    Raises:
        TypeError, ValueError: a bad argument, by name; a start outside of the bounds; a score that is not one finite
            number an image.

    Source: Simonyan et al. 2013, equation 1; Montavon et al. 2018, section 3; the course documents 000 and 002.
    """
    check_inputs(start, "start")
    if bounds is not None:
        low, high = _check_bounds(bounds)
        if start.min() < low or start.max() > high:
            raise ValueError(
                f"start must lie inside of bounds, {low:g} to {high:g}, got values from {start.min().item():g} to "
                f"{start.max().item():g}"
            )
    image, scores = _ascend(score, start, n_steps, lr, l2, prior, transform, generator, bounds, progress)
    return Maximization(image, scores)


def _check_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return a smallest and a largest value."""
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise TypeError(f"bounds must be None or a pair (low, high), got {bounds!r}")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be a pair (low, high) with low < high, got {bounds!r}")
    return bounds[0], bounds[1]


def maximize_in_code_space(
    generator_network: nn.Module,
    score: Score,
    start_code: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
    progress: bool = False,
) -> Maximization:
    """Return images that a generator can draw and that have a high score: ascent on score(g(z)) - l2 ||z||^2 over z.

    In every step, z <- z + lr d/dz [score(g(z)) - l2 ||z||^2]. The generator only draws what looks like its training
    images, so that it is the prior; l2 keeps the code where it was trained.

    Args:
        generator_network: g, codes (N, Z) -> images (N, C, H, W).
        score: what is maximized, images (N, C, H, W) -> (N,), as in `maximize_activation`.
        start_code: where the ascent begins, (N, Z).
        n_steps: number of steps.
        lr: length of a step per unit of the gradient.
        l2: lambda, the price of ||z||^2.
        progress: show a progress bar.

    Returns:
        the images g(z), their codes z, and the scores before the first and after each step.

    Raises:
        TypeError, ValueError: a bad argument, by name; a score that is not one finite number an image.

    Source: Nguyen et al. 2016, "Synthesizing the preferred inputs"; Montavon et al. 2018, section 3.3; the course
    document 002.
    """
    check_model(generator_network)
    if not isinstance(start_code, Tensor) or not start_code.is_floating_point():
        came = start_code.dtype if isinstance(start_code, Tensor) else type(start_code).__name__
        raise TypeError(f"start_code must be a float tensor (N, Z), got {came}")
    if start_code.dim() != 2 or start_code.numel() == 0:
        raise ValueError(f"start_code must be codes (N, Z), one row an image, got shape {tuple(start_code.shape)}")
    check_finite(start_code, "start_code")

    def draw_image(code: Tensor) -> Tensor:
        image = generator_network(code.clone())
        if not isinstance(image, Tensor) or image.dim() != 4 or len(image) != len(code):
            came = f"shape {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise ValueError(f"generator_network must return images ({len(code)}, C, H, W), got {came}")
        return image

    code, scores = _ascend(lambda z: score(draw_image(z)), start_code, n_steps, lr, l2, progress=progress)
    with torch.no_grad():
        return Maximization(draw_image(code), scores, code)


# ---------------------------------------------------------------------------------------------------------------------
# Deep dream and facets
# ---------------------------------------------------------------------------------------------------------------------


class _Reached(Exception):
    """Thrown where a forward pass may stop, with the activation that was asked for."""


def _activation_up_to(model: nn.Module, images: Tensor, module: nn.Module) -> Tensor:
    """Return what a layer gives, without computing what follows: dense layers behind it accept one size only."""

    def stop(_: nn.Module, __: tuple, output: Tensor) -> None:
        raise _Reached(output)

    handle = module.register_forward_hook(stop)
    try:
        model(images.clone())
    except _Reached as reached:
        return reached.args[0]
    finally:
        handle.remove()
    raise ValueError("layer is not called in the model's forward pass: choose another layer")


def deep_dream(
    model: nn.Module,
    inputs: Tensor,
    layer: Layer,
    channel: int | None = None,
    n_steps: int = 10,
    lr: float = 0.01,
    n_octaves: int = 3,
    octave_scale: float = 1.4,
    jitter: int = 4,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Tensor:
    """Return images in which whatever a layer sees is exaggerated.

    Gradient ascent on the mean square of the layer's activations (or on the mean of one map), from the image. Each step
    is g / mean |g| times lr, so that pixels move by lr on average. It begins on a small version of the image, where the
    layer sees large things; what was dreamt there is enlarged and added to the next version, up to the full size (the
    octaves). Before each step the image is shifted at random, against patterns that hang on single pixels.

    Args:
        model: any network whose layers up to `layer` accept images of several sizes.
        inputs: images (N, C, H, W) in [0, 1].
        layer: name of the layer, or the module.
        channel: index of one map; None for the whole layer.
        n_steps: steps in each octave.
        lr: mean change of a pixel in a step.
        n_octaves: number of sizes; 1 for the full size alone.
        octave_scale: from one size to the next, at least 1.
        jitter: largest shift in pixels; 0 for none.
        generator: source of the shifts. Without one it is a copy of torch's default generator, which itself is not
            moved on.
        progress: show a progress bar.

    Returns:
        (N, C, H, W) in [0, 1].

    Raises:
        TypeError, ValueError: a bad argument, by name; images outside of [0, 1], or too small for `layer`.

    Source: Mordvintsev, Olah and Tyka 2015, "Inceptionism", and the notebook published with it.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    if inputs.min() < 0 or inputs.max() > 1:
        raise ValueError(f"inputs must lie in [0, 1], got {inputs.min().item():g} to {inputs.max().item():g}")
    name, module = find_layer(model, layer)
    n_steps, n_octaves = check_count(n_steps, "n_steps"), check_count(n_octaves, "n_octaves")
    if check_not_negative(octave_scale, "octave_scale") < 1:
        raise ValueError(f"octave_scale must be at least 1, got {octave_scale}")
    if jitter != 0:
        check_count(jitter, "jitter")
    lr, generator = check_not_negative(lr, "lr"), random_source(generator)

    def excitement(images: Tensor) -> Tensor:
        activation = _activation_up_to(model, images, module)
        if channel is not None:
            unit = check_index("channel", channel, activation.shape[1], f"layer {name!r}")
            return activation[:, unit].reshape(len(images), -1).mean(1)
        return activation.square().flatten(1).mean(1)

    image, detail = inputs.detach(), torch.zeros_like(inputs)
    full = inputs.shape[2:]
    sizes = [[max(1, round(side / octave_scale**k)) for side in full] for k in reversed(range(n_octaves))]
    for steps in in_steps(n_steps * n_octaves, n_steps, progress, "Deep dream"):
        size = sizes[steps.start // n_steps]
        base = _resize(inputs.detach(), size)
        image = (base + _resize(detail, size)).clamp(0, 1)
        for _ in steps:
            shift = _random_shift(jitter, generator)
            with recording():
                x = leaf(image.roll(shift, dims=(2, 3)))
                try:
                    gradient = backward(excitement(x), x)
                except RuntimeError as error:
                    if size == list(full) or isinstance(error, torch.OutOfMemoryError):
                        raise
                    raise ValueError(
                        f"layer {name!r} cannot take images of {size[0]} x {size[1]} pixels ({error}): fewer octaves"
                    ) from error
            gradient = gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
            image = (x.detach() + lr * gradient).clamp(0, 1).roll((-shift[0], -shift[1]), dims=(2, 3))
        detail = image - base
    return image


def _resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return images in another size."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    return F.interpolate(images, tuple(size), mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class Facets:
    """The different faces of one neuron.

    Args:
        images: the picture of each facet, (F, C, H, W).
        starts: where it began: the mean of the images in the middle of the facet's cluster, (F, C, H, W).
        members: the facet of each image that was given, LongTensor (N,).
        scores: the neuron's activation for `images`, (F,).
    """

    images: Tensor
    starts: Tensor
    members: Tensor
    scores: Tensor


def facets(
    model: nn.Module,
    layer: Layer,
    channel: int,
    inputs: Tensor,
    n_facets: int,
    embedding: Layer | None = None,
    n_nearest: int = 15,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Score | None = None,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Facets:
    """Return a picture for each kind of image that excites a neuron: multifaceted feature visualization.

    1. Describe the images by what a layer makes of them (`embedding`), the mean over positions of each map.
    2. Keep the main directions (at most 50 principal components) and find `n_facets` clusters by k-means.
    3. Start from the mean of the `n_nearest` images around each centre, and maximize the neuron.

    The paper clusters in two dimensions after t-SNE, whose distances are not to be trusted; here k-means sees the
    principal components themselves.

    Args:
        model: any network.
        layer, channel: the neuron, as in `unit_activation`.
        inputs: images that excite it, (N, C, H, W), in [0, 1].
        n_facets: F, number of clusters, at most N.
        embedding: name of the layer that describes the images, or the module; `layer` itself by default.
        n_nearest: images in a start's mean (all of a cluster, if it has fewer).
        n_steps, lr, l2, prior, progress: as in `maximize_activation`.
        generator: source of the first centres. Without one it is a copy of torch's default generator, which itself is
            not moved on.

    Returns:
        pictures, starts, members and scores.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Nguyen, Yosinski and Clune 2016, "Multifaceted feature visualization", algorithm 1.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    score = unit_activation(model, layer, channel)
    described_by = find_layer(model, layer if embedding is None else embedding)[0]
    n_facets, n_nearest = check_count(n_facets, "n_facets"), check_count(n_nearest, "n_nearest")
    check_inputs(inputs)
    if n_facets > len(inputs):
        raise ValueError(f"n_facets must be at most the number of images, {len(inputs)}, got {n_facets}")
    generator = random_source(generator)
    batches = inputs.detach().split(64)
    codes = torch.cat([feature_maps(model, batch, [described_by])[described_by] for batch in batches])
    codes = codes.flatten(2).mean(2) if codes.dim() > 2 else codes
    n_components = min(50, *codes.shape)
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    codes = PCA(n_components, svd_solver="full").fit_transform(codes.double().cpu().numpy())
    clustering = KMeans(n_facets, n_init=10, random_state=seed).fit(codes)
    members = torch.as_tensor(clustering.labels_).long()
    if len(members.unique()) < n_facets:
        raise ValueError(
            f"n_facets must be at most the number of images that differ, got {n_facets}: layer {described_by!r} gives "
            f"only {len(members.unique())} different descriptions"
        )
    distances = torch.as_tensor(clustering.transform(codes))
    starts = []
    for facet in range(n_facets):
        (own,) = torch.where(members == facet)
        nearest = own[distances[own, facet].argsort()[:n_nearest]]
        starts.append(inputs.detach()[nearest.to(inputs.device)].mean(0))
    start = torch.stack(starts)
    found = maximize_activation(score, start, n_steps, lr, l2, prior, progress=progress)
    return Facets(found.image, start, members, found.scores[-1])


# ---------------------------------------------------------------------------------------------------------------------
# Training under observation
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingLog:
    """What a training wrote down.

    Args:
        scalars: {tag: (steps (T,), values (T,))}.
        histograms: {tag: (steps (T,), list of T pairs (limits, counts))}, as `np.histogram` has them: counts (B,) of
            the numbers between limits (B + 1,).
    """

    scalars: dict[str, tuple[np.ndarray, np.ndarray]]
    histograms: dict[str, tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]]


def share_of_zeros(log: TrainingLog, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of the numbers in a histogram is exactly 0, over the training.

    TensorBoard counts zeros into the bin from 0 to 1e-12, and with them what is positive and smaller than that.

    Args:
        log: a training read back by `read_training`.
        tag: a histogram's name, such as "activations/1".

    Returns:
        (steps (T,), shares (T,) in [0, 1]).

    Raises:
        ValueError: a tag that is no histogram of the log; the message lists those that are.
    """
    if tag not in log.histograms:
        raise ValueError(f"tag {tag!r} is no histogram of the log, which holds {list(log.histograms)}")
    steps, histograms = log.histograms[tag]
    return steps, np.array([counts[limits[:-1] == 0].sum() / counts.sum() for limits, counts in histograms])


def log_training(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    log_dir: str | Path,
    n_epochs: int = 5,
    batch_size: int = 64,
    lr: float = 0.1,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> None:
    """Train a network by stochastic gradient descent, and write down for TensorBoard what happens inside.

    `model` is changed: it is trained. After each batch, w <- w - lr dL/dw with the cross-entropy L. The log has

    - for each batch, the scalars "loss", "accuracy" (of the batch, before the step) and "gradient_norm/NAME", the
      length of dL/dw for each layer NAME with weights;
    - for the first batch of each epoch and for the very last one, before the step: the histograms "weights/NAME" and
      "gradients/NAME" of each layer with weights and "activations/NAME" of every layer (for 8 images of the batch); and
      the image "filters/NAME" of the first convolution, if it sees 1 or 3 channels.

    A step is a batch. A training whose loss is no longer finite ends there: this loss is the last entry.

    Args:
        model: returns class scores (N, K).
        images: (N, C, H, W).
        labels: LongTensor (N,).
        log_dir: folder for the event files; made if missing, refused if it already has some.
        n_epochs: passes over the images.
        batch_size: images in a step.
        lr: length of a step per unit of the gradient.
        generator: source of the order of the images, and of dropout. Without one it is a copy of torch's default
            generator, which itself is not moved on.
        progress: show a progress bar.

    Raises:
        TypeError, ValueError: a bad argument, by name; a folder with event files.

    Source: the course document 004, "Tensorboard".
    """
    from torch.utils.tensorboard import SummaryWriter

    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    check_dtype(model, check_inputs(images, "images"))
    labels = check_target(labels, len(images), "labels").to(images.device)
    n_epochs, batch_size = check_count(n_epochs, "n_epochs"), check_count(batch_size, "batch_size")
    lr, generator = check_not_negative(lr, "lr"), random_source(generator)
    if _event_files(log_dir):
        raise ValueError(f"log_dir {str(log_dir)!r} already has event files: two trainings in one folder get mixed up")
    weights = {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.requires_grad
    }
    layers = {name: module for name, module in model.named_modules() if not [*module.children()]}
    modes = {module: module.training for module in model.modules()}
    optimizer = torch.optim.SGD(model.parameters(), lr)
    n_steps = n_epochs * math.ceil(len(images) / batch_size)
    batches = _shuffled(len(images), batch_size, n_epochs, generator)
    try:
        with recording(), _seeded(generator), SummaryWriter(log_dir) as writer:
            model.train()
            for steps in in_steps(n_steps, 1, progress, "Training"):
                step, (batch, is_first) = steps.start, next(batches)
                batch = batch.to(images.device)
                shows_distributions = is_first or step == n_steps - 1
                with ExitStack() as stack:
                    activations = {
                        name: stack.enter_context(layer_output(name, module))
                        for name, module in layers.items()
                        if shows_distributions
                    }
                    scores = model(images[batch].clone())
                class_scores(scores, labels[batch])  # for its complaints
                loss = F.cross_entropy(scores, labels[batch])
                optimizer.zero_grad()
                loss.backward()
                weights = {name: weight for name, weight in weights.items() if weight.grad is not None}  # those in use
                writer.add_scalar("loss", loss.item(), step)
                writer.add_scalar("accuracy", (scores.argmax(1) == labels[batch]).float().mean().item(), step)
                for name, weight in weights.items():
                    writer.add_scalar(f"gradient_norm/{name}", weight.grad.norm().item(), step)
                if shows_distributions:
                    _log_distributions(writer, weights, activations, step)
                if not torch.isfinite(loss):
                    break
                optimizer.step()
    finally:
        optimizer.zero_grad()
        for module, mode in modes.items():
            module.training = mode


def _shuffled(
    n_images: int, batch_size: int, n_epochs: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, bool]]:
    """Yield the image numbers of each batch, and whether it is the first of its epoch."""
    for _ in range(n_epochs):
        order = torch.randperm(n_images, generator=generator, device=generator.device)
        for number, batch in enumerate(order.split(batch_size)):
            yield batch, number == 0


@contextmanager
def _seeded(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global random state, from which dropout draws, come from `generator` until the block is left."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        yield


def _log_distributions(
    writer: object, weights: dict[str, Tensor], activations: dict[str, list[Tensor]], step: int
) -> None:
    """Write the histograms of weights, gradients and activations, and the first filters."""

    def add(tag: str, values: Tensor) -> None:
        values = values[values.abs() < 1e20]  # where TensorBoard's bins end; an exploding training goes on, to NaN
        if len(values):
            writer.add_histogram(tag, values.detach().cpu().numpy(), step)

    for name, weight in weights.items():
        add(f"weights/{name}", weight)
        add(f"gradients/{name}", weight.grad)
    for name, outputs in activations.items():
        if outputs:
            add(f"activations/{name}", torch.cat([output[:8].flatten() for output in outputs]))
    name, first = next(
        ((name, weight) for name, weight in weights.items() if weight.dim() == 4), ("", torch.zeros(0, 0))
    )
    if first.shape[1] in (1, 3) and torch.isfinite(first).all():
        filters = filter_images(first.expand(-1, 3, -1, -1))
        writer.add_images(f"filters/{name}", filters, step, dataformats="NHWC")


def _event_files(log_dir: str | Path) -> list[Path]:
    """Return the event files in a folder."""
    return sorted(Path(log_dir).glob("*tfevents*"))


def read_training(log_dir: str | Path) -> TrainingLog:
    """Read the scalars and histograms of a training back from its event files.

    Args:
        log_dir: folder that `log_training` (or any TensorBoard writer) wrote.

    Returns:
        the log, each tag in order of its steps.

    Raises:
        ValueError: a folder without event files.

    Source: TensorBoard's `EventAccumulator`.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not _event_files(log_dir):
        raise ValueError(f"log_dir {str(log_dir)!r} has no event files: is it the folder given to log_training?")
    events = EventAccumulator(str(log_dir), size_guidance={"scalars": 0, "histograms": 0})  # 0: keep all
    events.Reload()
    tags = events.Tags()
    scalars = {tag: _columns(events.Scalars(tag), lambda event: event.value) for tag in tags["scalars"]}
    return TrainingLog(
        {tag: (steps, np.array(values)) for tag, (steps, values) in scalars.items()},
        {tag: _columns(events.Histograms(tag), _limits_and_counts) for tag in tags["histograms"]},
    )


def _columns(events: list, value: Callable) -> tuple[np.ndarray, list]:
    """Return the steps of events, and what `value` makes of each."""
    return np.array([event.step for event in events]), [value(event) for event in events]


def _limits_and_counts(event: object) -> tuple[np.ndarray, np.ndarray]:
    """Return a histogram as numpy has it: TensorBoard names right limits alone, so that the first bin is empty."""
    histogram = event.histogram_value
    return np.array(histogram.bucket_limit), np.array(histogram.bucket)[1:]
