"""Scores of an explanation: against the truth of a drawn image, and against the model that it explains.

Against the truth (a mask of the pixels that matter): :func:`pointing_game`, :func:`relevance_mass`,
:func:`relevance_rank`, and :func:`score_table`, one call that scores many methods.
Against the model: :func:`deletion_auc`, :func:`insertion_auc`, :func:`completeness_gap`, :func:`max_sensitivity`,
:func:`infidelity`.
Maps that know nothing of the model, and that every score should be read beside: :func:`edge_map`,
:func:`centre_prior`, :func:`noise_map`.

Maps of shape ``(N, C, H, W)`` are summed over the channels, maps of shape ``(N, H, W)`` are taken as they are.
High values mean "speaks for the class": the sign counts. Where pixels tie, the score is the expected one over all
orders of the tied pixels, so that a constant map scores the share of the area that the mask covers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from course_utils.checking import (
    check_baselines,
    check_count,
    check_dtype,
    check_inputs,
    check_model,
    check_not_negative,
    check_target,
    class_scores,
    draw,
    random_source,
)
from course_utils.passes import in_steps

Explain = Callable[[Tensor, Tensor], Tensor]
Metric = Callable[[Tensor, Tensor], Tensor]


# Against the truth


def pointing_game(attributions: Tensor, masks: Tensor) -> Tensor:
    """Say of each map whether its highest pixel lies in the mask.

    Args:
        attributions: (N, C, H, W) or (N, H, W), any unit.
        masks: bool (N, H, W), True where the truth is; none of them empty.

    Returns:
        (N,) float64: 1 for a hit, 0 for a miss; between them if several pixels share the maximum: the share of
        them that lies in the mask. A map without any positive value has a maximum, too, and is treated alike.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, an empty mask.

    Source: Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018, section 4.2 (here without
    the tolerance of 15 pixels around the object).
    """
    maps, inside = _maps_and_masks(attributions, masks)
    highest = maps == maps.amax(dim=1, keepdim=True)
    return (highest & inside).sum(dim=1) / highest.sum(dim=1, dtype=torch.float64)


def relevance_mass(attributions: Tensor, masks: Tensor) -> Tensor:
    """Give the share of the positive relevance that lies inside the mask.

    Args:
        attributions: (N, C, H, W) or (N, H, W), any unit; negative values (after the sum over the channels) count 0.
        masks: bool (N, H, W), True where the truth is; none of them empty.

    Returns:
        (N,) float64 in [0, 1]. A map without positive relevance points nowhere, as a constant map does, and scores
        as one: the share of the area that the mask covers.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, an empty mask.

    Source: Arras et al., CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural network
    explanations, Information Fusion 2022, equation for the relevance mass accuracy.
    """
    maps, inside = _maps_and_masks(attributions, masks)
    positive = maps.clamp(min=0)
    # Dividing by the maximum first keeps the sums finite and exact in proportion, however small the unit is.
    positive = positive / positive.amax(dim=1, keepdim=True)
    positive = torch.where((maps > 0).any(dim=1, keepdim=True), positive, torch.ones_like(positive))
    return (positive * inside).sum(dim=1) / positive.sum(dim=1)


def relevance_rank(attributions: Tensor, masks: Tensor) -> Tensor:
    """Give the share of the K highest pixels that lie inside the mask of K pixels.

    Args:
        attributions: (N, C, H, W) or (N, H, W), any unit: only the order of the pixels matters.
        masks: bool (N, H, W), True where the truth is; none of them empty.

    Returns:
        (N,) float64 in [0, 1]. If pixels tie for the last of the K places, the expected share over all choices among
        them. The overlap (intersection over union) of the K highest pixels with the mask is r / (2 - r).

    Raises:
        ValueError: shapes that do not fit, values that are not finite, an empty mask.

    Source: Arras et al., CLEVR-XAI, Information Fusion 2022, equation for the relevance rank accuracy.
    """
    maps, inside = _maps_and_masks(attributions, masks)
    size = inside.sum(dim=1, keepdim=True)
    # The value of the K-th highest pixel: what is above it is in for certain, what equals it shares the rest.
    last = maps.sort(dim=1, descending=True).values.gather(1, size - 1)
    above, tied = maps > last, maps == last
    places_left = size - above.sum(dim=1, keepdim=True)
    hits_above = (above & inside).sum(dim=1, keepdim=True)
    hits_tied = places_left * (tied & inside).sum(dim=1, keepdim=True) / tied.sum(dim=1, keepdim=True).double()
    return ((hits_above + hits_tied) / size).squeeze(1)


TRUTH_METRICS: dict[str, Metric] = {"pointing game": pointing_game, "mass": relevance_mass, "rank": relevance_rank}


@dataclass(frozen=True)
class ScoreTable:
    """The scores of several methods over the same images.

    Attributes:
        methods: M names, the rows.
        metrics: S names, the columns.
        values: (M, S, N) float64, the score of each method by each metric on each image.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean over the images, (M, S)."""
        return self.values.mean(dim=2)

    @property
    def standard_error(self) -> Tensor:
        """The standard error of that mean, (M, S): the sample's standard deviation over the root of N; 0 if N = 1."""
        n_images = self.values.shape[2]
        return self.values.std(dim=2, correction=min(1, n_images - 1)) / n_images**0.5

    def rows(self) -> list[dict[str, str | float]]:
        """Give the means as one dictionary a method: its name under "method", then each metric's mean."""
        return [
            {"method": method} | dict(zip(self.metrics, row, strict=True))
            for method, row in zip(self.methods, self.mean.tolist(), strict=True)
        ]

    def __str__(self) -> str:
        """Give the means as a Markdown table, the columns aligned."""
        cells = [["method", *self.metrics]]
        cells += [[m, *(f"{v:.2f}" for v in row)] for m, row in zip(self.methods, self.mean.tolist(), strict=True)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        lines = [
            "| "
            + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            + " |"
            for row in cells
        ]
        rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
        return "\n".join([lines[0], rule, *lines[1:]])

    def _repr_markdown_(self) -> str:
        return str(self)


def score_table(
    methods: Mapping[str, Explain],
    images: Tensor,
    labels: int | Tensor,
    masks: Tensor,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int = 50,
    progress: bool = False,
) -> ScoreTable:
    """Score many methods against the truth, on the same images, in one call.

    Args:
        methods: name -> function (inputs (B, C, H, W), target LongTensor (B,)) -> attributions (B, C, H, W) or
            (B, H, W). A control that looks at no model fits in: ``lambda inputs, target: edge_map(inputs)``.
        images: (N, C, H, W).
        labels: the class that is explained: int or LongTensor (N,).
        masks: bool (N, H, W), True where the truth is; none of them empty.
        metrics: name -> function (attributions, masks) -> (B,); default: pointing game, mass and rank.
        batch_size: images that are explained at a time.
        progress: show a bar.

    Returns:
        A :class:`ScoreTable`: methods by metrics by images, in the order of the arguments.

    Raises:
        ValueError, TypeError: a bad argument, or an answer that has not the shape of a map (its method is named).
    """
    images, labels = _images_and_target(images, labels)
    if not methods:
        raise ValueError("methods is empty: give at least one, name -> function (inputs, target) -> attributions")
    metrics = TRUTH_METRICS if metrics is None else metrics
    _check_masks(masks, images)
    batches = torch.arange(len(images)).split(check_count(batch_size, "batch_size"))
    work = list(product(enumerate(methods.items()), batches))
    values = torch.empty(len(methods), len(metrics), len(images), dtype=torch.float64)
    for step in in_steps(len(work), 1, progress, "Scores"):
        (row, (name, explain)), batch = work[step[0]]
        attributions = explain(images[batch], labels[batch])
        try:
            for column, metric in enumerate(metrics.values()):
                values[row, column, batch] = metric(attributions, masks[batch]).to(values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"method {name!r}: {error}") from error
    return ScoreTable(tuple(methods), tuple(metrics), values)


# Against the model


def deletion_curve(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    n_steps: int = 32,
    baselines: float | Tensor = 0.5,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Replace the pixels by the baseline, the highest first, and follow the probability of the target.

    Args:
        model: (B, C, H, W) -> logits (B, K).
        inputs: (N, C, H, W).
        target: int or LongTensor (N,).
        attributions: (N, C, H, W) or (N, H, W): only the order of the pixels matters.
        n_steps: steps from the whole image to the whole baseline, equal in pixels; at most H * W.
        baselines: what a deleted pixel becomes: a number, (1, C, H, W) or (N, C, H, W); 0.5 is grey.
        batch_size: images in a forward pass.
        generator: draws the order among tied pixels, which is the same for every image; default: a fixed one.
        progress: show a bar.

    Returns:
        (fractions, probabilities): float64 (n_steps + 1,) in [0, 1], the share of the pixels that is replaced,
        and (N, n_steps + 1), the softmax probability of the target there.

    Raises:
        ValueError, TypeError: a bad argument.

    Source: Petsiuk et al., RISE: randomized input sampling for explanation of black-box models, BMVC 2018, section 4.3.
    """
    inputs, target = _images_and_target(inputs, target)
    removed = check_baselines(baselines, inputs)
    return _path(model, inputs, removed, target, attributions, n_steps, batch_size, generator, progress)


def insertion_curve(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    n_steps: int = 32,
    baselines: float | Tensor | None = None,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Put the image's pixels into the baseline, the highest first, and follow the probability of the target.

    Args:
        baselines: what the image is inserted into: a number, (1, C, H, W) or (N, C, H, W); default:
            the image itself, blurred (:func:`blurred`), since a sharp edge to a flat grey is an object, too.
        All other arguments, the result, the errors and the source are those of :func:`deletion_curve`.
    """
    inputs, target = _images_and_target(inputs, target)
    start = blurred(inputs) if baselines is None else check_baselines(baselines, inputs)
    return _path(model, start, inputs, target, attributions, n_steps, batch_size, generator, progress)


def deletion_auc(model: nn.Module, inputs: Tensor, target: int | Tensor, attributions: Tensor, **options) -> Tensor:
    """Give the area under :func:`deletion_curve`: low if the pixels that are said to matter do matter.

    Args:
        All arguments are those of :func:`deletion_curve`.

    Returns:
        (N,) float64 in [0, 1]: the mean probability along the path, by the trapezoidal rule.
    """
    fractions, probabilities = deletion_curve(model, inputs, target, attributions, **options)
    return torch.trapezoid(probabilities, fractions)


def insertion_auc(model: nn.Module, inputs: Tensor, target: int | Tensor, attributions: Tensor, **options) -> Tensor:
    """Give the area under :func:`insertion_curve`: high if the pixels that are said to matter do matter.

    Args:
        All arguments are those of :func:`insertion_curve`.

    Returns:
        (N,) float64 in [0, 1]: the mean probability along the path, by the trapezoidal rule.
    """
    fractions, probabilities = insertion_curve(model, inputs, target, attributions, **options)
    return torch.trapezoid(probabilities, fractions)


def completeness_gap(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    baselines: float | Tensor = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """Give what the attributions sum to beyond the change of the score: sum_i R_i - (y(x) - y(x')).

    Args:
        model: (B, C, H, W) -> scores (B, K).
        inputs: x, (N, C, H, W).
        target: int or LongTensor (N,).
        attributions: R, (N, C, H, W) or (N, H, W), in units of the score.
        baselines: x', a number, (1, C, H, W) or (N, C, H, W).
        batch_size: images in a forward pass.

    Returns:
        (N,) float64, in units of the score: 0 for a complete explanation, positive if it claims too much.

    Raises:
        ValueError, TypeError: a bad argument.

    Source: Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017, proposition 1.
    """
    inputs, target = _images_and_target(inputs, target)
    total = _maps(attributions, inputs).sum(dim=1)
    change = _scores(model, inputs, target, batch_size) - _scores(
        model, check_baselines(baselines, inputs), target, batch_size
    )
    return total - change


def max_sensitivity(
    explain: Explain,
    inputs: Tensor,
    target: int | Tensor,
    radius: float = 0.02,
    n_samples: int = 10,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Tensor:
    """Estimate how much an explanation changes at most when the image changes by less than an eye could see.

    max over y with max_i |y_i - x_i| <= radius of ||Phi(y) - Phi(x)|| / ||Phi(x)||, over random y.

    Args:
        explain: Phi, (inputs (B, C, H, W), target LongTensor (B,)) -> attributions of any shape (B, ...).
        inputs: x, (N, C, H, W).
        target: int or LongTensor (N,).
        radius: half the side of the cube around x that y is drawn from, in units of the inputs.
        n_samples: number of y for each image: the maximum over them bounds the true one from below.
        batch_size: images that are explained at a time.
        generator: draws y.
        progress: show a bar.

    Returns:
        (N,) float64 without a unit; 0 for an explanation that does not look at the image. The division makes methods of
        different units comparable; where Phi(x) is all 0 nothing is divided.

    Raises:
        ValueError, TypeError: a bad argument.

    Source: Yeh et al., On the (in)fidelity and sensitivity of explanations, NeurIPS 2019, definition 2; divided by the
    norm of the explanation as captum.metrics.sensitivity_max does.
    """
    inputs, target = _images_and_target(inputs, target)
    check_count(n_samples, "n_samples")
    radius = check_not_negative(radius, "radius")
    source = random_source(generator)
    original = _explained(explain, inputs, target, batch_size)
    norm = original.norm(dim=1)
    norm = torch.where(norm == 0, torch.ones_like(norm), norm)
    largest = torch.zeros_like(norm)
    for noise in _draws(
        lambda: (2 * draw(torch.rand, inputs.shape, source, inputs) - 1) * radius,
        len(inputs),
        n_samples,
        batch_size,
        progress,
    ):
        changed = _explained(explain, (inputs + noise).flatten(0, 1), target.repeat(len(noise)), batch_size)
        distances = (changed.unflatten(0, noise.shape[:2]) - original).norm(dim=2)
        largest = torch.maximum(largest, distances.amax(dim=0))
    return largest / norm


def infidelity(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    n_samples: int = 50,
    stdevs: float = 0.1,
    perturb: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    multiply_by_inputs: bool = False,
    baselines: float | Tensor = 0.0,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Tensor:
    """Estimate how badly an explanation predicts what perturbing the image does to the score.

    The mean over the perturbations I of (I . Phi - (y(x) - y(x - I)))^2.

    Args:
        model: y, (B, C, H, W) -> scores (B, K).
        inputs: x, (N, C, H, W).
        target: int or LongTensor (N,).
        attributions: Phi, (N, C, H, W).
        n_samples: perturbations of each image.
        stdevs: standard deviation of the default perturbation, Gaussian noise, in units of the inputs.
        perturb: another perturbation, function (inputs, generator) -> I of the same shape, e.g. :func:`square_removal`.
        multiply_by_inputs: True if Phi contains the factor (x - x'), as integrated gradients or input x gradient do: I
            is divided by it (where it is 0, by 1). False if Phi is in score per input, as the gradient is.
        baselines: x' of that factor, a number, (1, C, H, W) or (N, C, H, W).
        batch_size: images in a forward pass.
        generator: draws the perturbations.
        progress: show a bar.

    Returns:
        (N,) float64, in units of the score squared: 0 for the gradient of a linear model, low is good. Only maps
        whose unit is right (see multiply_by_inputs) can be compared.

    Raises:
        ValueError, TypeError: a bad argument.

    Source: Yeh et al., On the (in)fidelity and sensitivity of explanations, NeurIPS 2019, definition 1; the division
    as in captum.metrics.infidelity_perturb_func_decorator.
    """
    inputs, target = _images_and_target(inputs, target)
    check_count(n_samples, "n_samples")
    stdevs = check_not_negative(stdevs, "stdevs")
    _maps(_shaped_as(inputs, attributions, "attributions"), inputs)
    factor = torch.ones_like(inputs)
    if multiply_by_inputs:
        factor = inputs - check_baselines(baselines, inputs)
        factor = torch.where(factor == 0, torch.ones_like(factor), factor)
    sensitivity = (attributions.detach() / factor).double()
    score = _scores(model, inputs, target, batch_size)
    source = random_source(generator)

    def perturbations() -> Tensor:
        if perturb is None:
            return draw(torch.randn, inputs.shape, source, inputs) * stdevs
        return _shaped_as(inputs, perturb(inputs.clone(), source), "the answer of perturb")

    total = torch.zeros_like(score)
    for perturbation in _draws(perturbations, len(inputs), n_samples, batch_size, progress):
        perturbed = (inputs - perturbation).flatten(0, 1)
        changed = _scores(model, perturbed, target.repeat(len(perturbation)), batch_size)
        change = score - changed.unflatten(0, perturbation.shape[:2])
        total += ((perturbation * sensitivity).flatten(2).sum(dim=2) - change).square().sum(dim=0)
    return total / n_samples


def square_removal(
    inputs: Tensor, generator: torch.Generator | None = None, size: int = 16, baselines: float | Tensor = 0.5
) -> Tensor:
    """Draw the perturbation that sets a random square of each image to the baseline.

    Args:
        inputs: x, (N, C, H, W).
        generator: draws the place of each square, uniformly among those that lie in the image.
        size: side of the square, pixels.
        baselines: x', a number, (1, C, H, W) or (N, C, H, W).

    Returns:
        I, (N, C, H, W): x - x' in the square and 0 elsewhere, so that x - I is the image without the square.

    Raises:
        ValueError: a square that is larger than the image.

    Source: Yeh et al., On the (in)fidelity and sensitivity of explanations, NeurIPS 2019, section 2.3.
    """
    height, width = check_inputs(inputs).shape[-2:]
    if not 1 <= size <= min(height, width):
        raise ValueError(f"size must be from 1 to {min(height, width)}, the image's side, got {size}")
    source = random_source(generator)
    inside = torch.ones(len(inputs), 1, 1, 1, dtype=torch.bool, device=inputs.device)
    for length, shape in ((height, (-1, 1, height, 1)), (width, (-1, 1, 1, width))):
        first = torch.randint(length - size + 1, (len(inputs), 1), generator=source, device=source.device).to(
            inputs.device
        )
        offset = torch.arange(length, device=inputs.device) - first
        inside = inside & ((offset >= 0) & (offset < size)).reshape(shape)
    return (inputs - check_baselines(baselines, inputs)) * inside


# Maps that know nothing of the model


def edge_map(inputs: Tensor) -> Tensor:
    """Give the edges of each image: the magnitude of the Sobel filter on its grey values.

    Args:
        inputs: (N, C, H, W); grey is the mean over the channels.

    Returns:
        (N, H, W) >= 0, in units of the inputs per pixel.

    Source: skimage.filters.sobel; as a control for explanations: Adebayo et al., Sanity checks for saliency maps,
    NeurIPS 2018.
    """
    from skimage.filters import sobel

    grey = check_inputs(inputs).detach().mean(dim=1)
    return torch.stack([torch.from_numpy(sobel(image.cpu().numpy())) for image in grey]).to(grey)


def centre_prior(inputs: Tensor, width: float = 0.25) -> Tensor:
    """Give a bump in the middle of the image, whatever the image shows: photographers put the object there.

    Args:
        inputs: (N, C, H, W).
        width: standard deviation of the bump as a share of the image's height and width.

    Returns:
        (N, H, W) in (0, 1].
    """
    check_inputs(inputs)
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    rows, columns = (
        (torch.arange(length, dtype=inputs.dtype, device=inputs.device) - (length - 1) / 2) / (width * length)
        for length in inputs.shape[-2:]
    )
    bump = torch.exp(-(rows[:, None] ** 2 + columns**2) / 2)
    return bump.repeat(len(inputs), 1, 1)


def noise_map(inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Give independent standard normal noise for each pixel.

    Args:
        inputs: (N, C, H, W).
        generator: draws the noise. Give one where this is called batch by batch: without it, each call draws the same.

    Returns:
        (N, H, W).
    """
    check_inputs(inputs)
    return draw(torch.randn, inputs[:, 0].shape, random_source(generator), inputs)


def blurred(inputs: Tensor, stdevs: float = 0.1) -> Tensor:
    """Blur images until the object cannot be recognised: a baseline without sharp edges.

    Args:
        inputs: (N, C, H, W).
        stdevs: standard deviation of the Gaussian as a share of the image's height and width.

    Returns:
        (N, C, H, W).
    """
    from skimage.filters import gaussian

    sigma = (0, 0, *(stdevs * length for length in inputs.shape[-2:]))
    return torch.from_numpy(gaussian(check_inputs(inputs).detach().cpu().numpy(), sigma=sigma, mode="nearest")).to(
        inputs
    )


# Helpers


def _maps(attributions: Tensor, images: Tensor) -> Tensor:
    """Check attributions of images (N, C, H, W) or masks (N, H, W), and give them as float64 (N, H * W)."""
    if not isinstance(attributions, Tensor):
        raise TypeError(f"attributions must be a torch.Tensor, got {type(attributions).__name__}")
    n, height, width = images.shape[0], *images.shape[-2:]
    if attributions.dim() not in (3, 4) or (attributions.shape[0], *attributions.shape[-2:]) != (n, height, width):
        raise ValueError(
            f"attributions must be of shape ({n}, C, {height}, {width}) or ({n}, {height}, {width}), "
            f"got {tuple(attributions.shape)}"
        )
    if not torch.isfinite(attributions).all():
        raise ValueError("attributions contain NaN or infinite values")
    maps = attributions.detach().double()
    return (maps.sum(dim=1) if maps.dim() == 4 else maps).flatten(1)


def _maps_and_masks(attributions: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Check both, and give them as float64 and bool (N, H * W)."""
    _check_masks(masks)
    return _maps(attributions, masks), masks.flatten(1).to(attributions.device)


def _check_masks(masks: Tensor, images: Tensor | None = None) -> None:
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        raise TypeError(f"masks must be a torch.Tensor of bool, got {getattr(masks, 'dtype', type(masks).__name__)}")
    if masks.dim() != 3 or masks.numel() == 0:
        raise ValueError(f"masks must be of shape (N, H, W), got {tuple(masks.shape)}")
    if images is not None and masks.shape != images[:, 0].shape:
        raise ValueError(f"masks must be of shape {tuple(images[:, 0].shape)}, as the images, got {tuple(masks.shape)}")
    empty = (~masks.flatten(1).any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"masks {empty} are empty: there is nothing to find in these images, leave them out")


def _path(
    model: nn.Module,
    start: Tensor,
    end: Tensor,
    target: Tensor,
    attributions: Tensor,
    n_steps: int,
    batch_size: int,
    generator: torch.Generator | None,
    progress: bool,
) -> tuple[Tensor, Tensor]:
    """Go from one image to another, the highest pixels first, and give the probabilities on the way."""
    maps = _maps(attributions, end)
    n_images, n_pixels = maps.shape
    if check_count(n_steps, "n_steps") > n_pixels:
        raise ValueError(f"n_steps must be at most {n_pixels}, the number of pixels, got {n_steps}")
    check_count(batch_size, "batch_size")
    check_dtype(check_model(model), end)
    # Tied pixels are taken in one random order, not row by row: a map of ties must not favour the image's top.
    shuffled = torch.randperm(n_pixels, generator=generator or torch.Generator().manual_seed(0)).to(maps.device)
    order = shuffled[maps[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(n_pixels, device=maps.device).expand_as(order))
    rank = rank.view(n_images, 1, *end.shape[-2:])
    n_changed = torch.linspace(0, n_pixels, n_steps + 1, dtype=torch.float64, device=maps.device).round()
    probabilities = torch.empty(n_images * (n_steps + 1), dtype=torch.float64, device=maps.device)
    for steps in in_steps(len(probabilities), batch_size, progress, "Curve"):
        batch = torch.arange(steps.start, steps.stop, device=maps.device)
        with torch.no_grad():
            image, step = batch // (n_steps + 1), batch % (n_steps + 1)
            changed = rank[image] < n_changed[step].view(-1, 1, 1, 1)
            logits = model(torch.where(changed, end[image], start[image]))
            score = class_scores(logits, target[image]).double()
            probabilities[batch] = (score - logits.double().logsumexp(dim=1)).exp()
    return n_changed / n_pixels, probabilities.view(n_images, n_steps + 1)


def _draws(
    sample: Callable[[], Tensor], n_images: int, n_samples: int, batch_size: int, progress: bool
) -> Iterator[Tensor]:
    """Yield n_samples draws (N, ...), stacked (k, N, ...) so that k * N fits into a batch.

    Each draw is made alone, so that the batch size does not change which numbers a generator gives.
    """
    for steps in in_steps(n_samples, max(1, batch_size // n_images), progress, "Draws"):
        yield torch.stack([sample() for _ in steps])


def _shaped_as(inputs: Tensor, values: Tensor, name: str) -> Tensor:
    """Return `values` if it has the shape of the images."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(values).__name__}")
    if values.shape != inputs.shape:
        raise ValueError(f"{name} must have the shape of the inputs, {tuple(inputs.shape)}, got {tuple(values.shape)}")
    return values


def _images_and_target(inputs: Tensor, target: int | Tensor) -> tuple[Tensor, Tensor]:
    """Check both, and give the target as LongTensor (N,) on the images' device."""
    inputs = check_inputs(inputs).detach()
    return inputs, check_target(target, len(inputs)).to(inputs.device)


def _scores(model: nn.Module, inputs: Tensor, target: Tensor, batch_size: int) -> Tensor:
    """Give the model's score of each target, float64 (B,)."""
    check_dtype(check_model(model), inputs)
    with torch.no_grad():
        return torch.cat([class_scores(model(x), t).double() for x, t in _batches(inputs, target, batch_size)])


def _explained(explain: Explain, inputs: Tensor, target: Tensor, batch_size: int) -> Tensor:
    """Give the attributions, float64 (B, F)."""
    maps = []
    for x, t in _batches(inputs, target, batch_size):
        answer = explain(x, t)
        if not isinstance(answer, Tensor):
            raise TypeError(f"explain must return a tensor of attributions, got {type(answer).__name__}")
        if answer.dim() < 2 or len(answer) != len(x):
            raise ValueError(f"explain must return attributions of {len(x)} images, got shape {tuple(answer.shape)}")
        if not torch.isfinite(answer).all():
            raise ValueError("explain returned attributions with NaN or infinite values")
        maps.append(answer.detach().flatten(1).double())
    return torch.cat(maps)


def _batches(inputs: Tensor, target: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and targets batch by batch; the images are copies, which a model may overwrite."""
    check_count(batch_size, "batch_size")
    yield from zip(inputs.clone().split(batch_size), target.split(batch_size), strict=True)
