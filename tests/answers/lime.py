"""Answers to the exercises of unit 08 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Lasso, Ridge
from torch import Tensor, nn

from course_utils import lime

# ---- perturb


def perturb_by_numpy(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    pixels, parts = image.numpy(), segments.numpy()
    images = []
    for row in coalitions.numpy():
        new = pixels.copy()
        for k in np.flatnonzero(~row):
            for c in range(len(pixels)):
                where = parts == k
                if baseline is None:
                    new[c][where] = pixels[c][where].mean()
                else:
                    new[c][where] = baseline.numpy()[c][where] if isinstance(baseline, Tensor) else baseline
        images.append(new)
    return torch.from_numpy(np.stack(images))


def perturb_by_one_hot(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    member = torch.nn.functional.one_hot(segments, coalitions.shape[1]).to(image)  # (H, W, n)
    if baseline is None:
        means = torch.einsum("chw,hwn->cn", image, member) / member.sum((0, 1))
        baseline = torch.einsum("cn,hwn->chw", means, member)
    stays = torch.einsum("sn,hwn->shw", coalitions.to(image), member).unsqueeze(1)
    return stays * image + (1 - stays) * baseline


def last_image_alone(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    """Fill a table with the last image only: `append` at the wrong indentation, then repeated."""
    last = perturb_by_numpy(image, segments, coalitions[-1:], baseline)
    return last.repeat(len(coalitions), 1, 1, 1)


def boxes(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    """Remove the box around a superpixel, not the superpixel."""
    images = perturb_by_numpy(image, segments, coalitions, baseline)
    for new, row in zip(images, coalitions, strict=True):
        for k in (~row).nonzero().flatten():
            y, x = (segments == k).nonzero(as_tuple=True)
            box = (slice(None), slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1))
            new[box] = image[:, segments == k].mean(1).view(-1, 1, 1)
    return images


def first_pixel(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    """Take the colour of a superpixel's first pixel for its mean."""
    removed = image.clone()
    for k in range(coalitions.shape[1]):
        where = segments == k
        removed[:, where] = image[:, where][:, :1]
    if baseline is not None:
        removed = baseline if isinstance(baseline, Tensor) else torch.full_like(image, baseline)
    return torch.where(coalitions[:, segments].unsqueeze(1), image, removed)


def half_removed(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    """Blend image and baseline in what is removed."""
    removed = perturb_by_one_hot(image, segments, coalitions, baseline)
    return (removed + image) / 2


# ---- coalitions and proximity


def coalitions_by_floor(n_samples: int, n_segments: int, generator: torch.Generator | None = None) -> Tensor:
    rows = (2 * torch.rand(n_samples, n_segments, generator=generator)).floor() == 0
    return torch.cat([torch.ones_like(rows[:1]), rows[1:]])


def coalitions_row_by_row(n_samples: int, n_segments: int, generator: torch.Generator | None = None) -> Tensor:
    rows = torch.rand(n_samples, n_segments, generator=generator).lt(0.5)
    return torch.stack([torch.ones(n_segments, dtype=torch.bool) if h == 0 else row for h, row in enumerate(rows)])


def by_randint(n_samples: int, n_segments: int, generator: torch.Generator | None = None) -> Tensor:
    """Fair coins, but others than the text asks for."""
    rows = torch.randint(0, 2, (n_samples, n_segments), generator=generator).bool()
    rows[0] = True
    return rows


def both_ends(n_samples: int, n_segments: int, generator: torch.Generator | None = None) -> Tensor:
    rows = coalitions_by_floor(n_samples, n_segments, generator)
    rows[-1] = False
    return rows


def proximity_by_sklearn(coalitions: Tensor, kernel_width: float = 0.25) -> Tensor:
    from sklearn.metrics.pairwise import cosine_distances

    d = cosine_distances(coalitions.numpy().astype(float), np.ones((1, coalitions.shape[1])))[:, 0]
    return torch.from_numpy(np.sqrt(np.exp(-(d**2) / kernel_width**2))).float()


def proximity_by_torch(coalitions: Tensor, kernel_width: float = 0.25) -> Tensor:
    x = coalitions.double()
    cosine = torch.cosine_similarity(x, torch.ones_like(x), dim=1)
    return (-((1 - cosine) ** 2) / 2 / kernel_width**2).exp().float()


def linear_kernel(coalitions: Tensor, kernel_width: float = 0.25) -> Tensor:
    return (1 - (1 - coalitions.float().mean(1).sqrt()) / kernel_width).clamp(min=0)


def angle(coalitions: Tensor, kernel_width: float = 0.25) -> Tensor:
    """The angle for the distance."""
    d = torch.arccos(coalitions.double().mean(1).sqrt().clamp(max=1))
    return torch.exp(-(d**2) / (2 * kernel_width**2)).float()


# ---- the linear model


def fit_by_sklearn(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    x, y, pi = coalitions.numpy().astype(float), scores.numpy().astype(float), weights.numpy().astype(float)
    model = Ridge(alpha=l2, solver="svd").fit(x, y, sample_weight=pi)
    r2 = model.score(x, y, sample_weight=pi)
    return tuple(torch.tensor(v, dtype=scores.dtype) for v in (model.coef_, float(model.intercept_), float(r2)))


def fit_by_rows(coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """The penalty as n more rows, and numpy's least squares."""
    n = coalitions.shape[1]
    root = weights.double().sqrt()[:, None]
    design = torch.cat([coalitions.double(), torch.ones(len(coalitions), 1)], 1) * root
    penalty = torch.cat([l2**0.5 * torch.eye(n), torch.zeros(n, 1)], 1).double()
    target = torch.cat([scores.double() * root[:, 0], torch.zeros(n)])
    v = torch.from_numpy(np.linalg.lstsq(torch.cat([design, penalty]).numpy(), target.numpy(), rcond=None)[0])
    w, b = v[:-1], v[-1]
    pi, y = weights.double(), scores.double()
    errors = y - coalitions.double() @ w - b
    r2 = 1 - (pi * errors**2).sum() / (pi * (y - (pi * y).sum() / pi.sum()) ** 2).sum()
    return w.to(scores), b.to(scores), r2.to(scores)


def squared_correlation(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """R^2 as the squared correlation of scores and predictions, which it is without weights and penalty only."""
    w, b, _ = fit_by_sklearn(coalitions, scores, weights, l2)
    said = coalitions.to(w) @ w + b
    return w, b, torch.corrcoef(torch.stack([said, scores]))[0, 1] ** 2


def weights_in_rows_of_x_alone(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    root = weights.sqrt()
    scaled = coalitions.float() * root[:, None]
    model = Ridge(alpha=max(l2, 1e-9)).fit(scaled.numpy(), (scores * root).numpy())
    w, b = torch.tensor(model.coef_).float(), torch.tensor(float(model.intercept_))
    return w, b, torch.tensor(float(model.score(scaled.numpy(), (scores * root).numpy())))


def adaline_by_sgd(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0, lr: float = 0.01, n_steps: int = 100
) -> tuple[Tensor, Tensor]:
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    w, b = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    optimizer = torch.optim.SGD([w.requires_grad_(), b.requires_grad_()], lr=lr)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = (pi * (y - x @ w - b) ** 2).sum() + l2 * w.square().sum()
        loss.backward()
        optimizer.step()
    return w.detach().to(scores), b.detach().to(scores)


def adaline_in_loops(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0, lr: float = 0.01, n_steps: int = 100
) -> tuple[Tensor, Tensor]:
    x, y, pi = coalitions.numpy().astype(float), scores.numpy().astype(float), weights.numpy().astype(float)
    w, b = np.zeros(x.shape[1]), 0.0
    for _ in range(n_steps):
        step_w, step_b = -2 * l2 * w, 0.0
        for row, score, weight in zip(x, y, pi, strict=True):
            error = score - b - row @ w
            step_w, step_b = step_w + 2 * weight * error * row, step_b + 2 * weight * error
        w, b = w + lr * step_w, b + lr * step_b
    return torch.tensor(w, dtype=scores.dtype), torch.tensor(b, dtype=scores.dtype)


def adaline_on_centred_inputs(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0, lr: float = 0.01, n_steps: int = 100
) -> tuple[Tensor, Tensor]:
    fit, _ = lime.adaline(coalitions, scores, weights, l2, lr, n_steps)
    return fit.coefficients, fit.intercept


def lasso_by_sklearn(coalitions: Tensor, scores: Tensor, weights: Tensor, l1: float = 1.0) -> Tensor:
    alpha = l1 / (2 * float(weights.double().sum()))
    model = Lasso(alpha, tol=1e-10, max_iter=100_000)
    model.fit(
        coalitions.numpy().astype(float), scores.numpy().astype(float), sample_weight=weights.numpy().astype(float)
    )
    return torch.tensor(model.coef_, dtype=scores.dtype)


def lasso_by_proximal_gradient(coalitions: Tensor, scores: Tensor, weights: Tensor, l1: float = 1.0) -> Tensor:
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    x, y = x - pi @ x / pi.sum(), y - pi @ y / pi.sum()
    lr = 0.5 / torch.linalg.eigvalsh(x.T @ (pi[:, None] * x))[-1]
    w = torch.zeros(x.shape[1]).double()
    for _ in range(1500):
        w = w + lr * 2 * x.T @ (pi * (y - x @ w))
        w = w.sign() * (w.abs() - lr * l1).clamp(min=0)
    return w.to(scores)


def sklearns_alpha(coalitions: Tensor, scores: Tensor, weights: Tensor, l1: float = 1.0) -> Tensor:
    """l1 handed to scikit-learn as it is."""
    model = Lasso(l1, tol=1e-10, max_iter=100_000)
    model.fit(
        coalitions.numpy().astype(float), scores.numpy().astype(float), sample_weight=weights.numpy().astype(float)
    )
    return torch.tensor(model.coef_, dtype=scores.dtype)


# ---- heat map, LIME, stability


def heatmap_by_indexing(values: Tensor, segments: Tensor) -> Tensor:
    return values[..., segments]


def heatmap_by_one_hot(values: Tensor, segments: Tensor) -> Tensor:
    return torch.einsum("...n,hwn->...hw", values, torch.nn.functional.one_hot(segments, values.shape[-1]).to(values))


def explain_one_by_one(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    coalitions: Tensor,
    baseline: Any = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
) -> Tensor:
    y = []
    for row in coalitions:
        with torch.inference_mode():
            y.append(float(model(perturb_by_numpy(image, segments, row[None], baseline))[0, target]))
    return fit_by_sklearn(coalitions, torch.tensor(y), proximity_by_torch(coalitions, kernel_width), l2)[0]


def explain_by_course(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    coalitions: Tensor,
    baseline: Any = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
) -> Tensor:
    y = lime.score_coalitions(model, image, [target], segments, coalitions, baseline, batch_size=3)
    return lime.fit_surrogate(coalitions, y, lime.proximity(coalitions, kernel_width), l2).coefficients[0]


def explain_a_probability(model: nn.Module, *arguments: Any, **options: Any) -> Tensor:
    return explain_one_by_one(nn.Sequential(model, nn.Softmax(1)), *arguments, **options)


def without_kernel_width(*arguments: Any, kernel_width: float = 0.25, **options: Any) -> Tensor:
    return explain_by_course(*arguments, **options)


def own_coalitions(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    coalitions: Tensor,
    baseline: Any = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
) -> Tensor:
    """Draw coalitions in place of those that were given."""
    source = torch.Generator().manual_seed(0)
    rows = lime.sample_coalitions(len(coalitions), coalitions.shape[1], source)
    return explain_by_course(model, image, target, segments, rows, baseline, kernel_width, l2)


def stability_by_masks(coefficients: Tensor, n_features: int = 5) -> Tensor:
    named = coefficients >= coefficients.topk(n_features, 1).values[:, -1:]
    pairs = itertools.combinations(named, 2)
    return torch.stack([(a & b).sum() / (a | b).sum() for a, b in pairs]).mean()


def stability_by_numpy(coefficients: Tensor, n_features: int = 5) -> Tensor:
    tops = [set(np.argsort(-row)[:n_features].tolist()) for row in coefficients.numpy()]
    values = [len(a & b) / len(a | b) for a, b in itertools.combinations(tops, 2)]
    return torch.tensor(np.mean(values), dtype=torch.float32)


def with_ordered_places(coefficients: Tensor, n_features: int = 5) -> Tensor:
    """Compare the places one by one: the same superpixels in another order do not count."""
    tops = [row.topk(n_features).indices for row in coefficients]
    return torch.stack([(a == b).float().mean() for a, b in itertools.combinations(tops, 2)]).mean()


def mean_correlation(coefficients: Tensor, n_features: int = 5) -> Tensor:
    correlations = torch.corrcoef(coefficients)
    n = len(coefficients)
    return (correlations.sum() - n) / (n * (n - 1))


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "perturb": {"numpy": perturb_by_numpy, "one-hot": perturb_by_one_hot},
    "sample_coalitions": {"floor": coalitions_by_floor, "row by row": coalitions_row_by_row},
    "proximity": {"scikit-learn": proximity_by_sklearn, "torch": proximity_by_torch},
    "fit_surrogate": {"scikit-learn": fit_by_sklearn, "rows": fit_by_rows},
    "adaline": {"torch's SGD": adaline_by_sgd, "loops": adaline_in_loops},
    "lasso": {"scikit-learn": lasso_by_sklearn, "proximal gradient": lasso_by_proximal_gradient},
    "heatmap": {"indexing": heatmap_by_indexing, "one-hot": heatmap_by_one_hot},
    "explain": {"one by one": explain_one_by_one, "course": explain_by_course},
    "stability": {"masks": stability_by_masks, "numpy": stability_by_numpy},
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("perturb", "swapped"): lambda image, segments, coalitions, baseline=None: perturb_by_numpy(
        image, segments, ~coalitions, baseline
    ),
    ("perturb", "baseline_ignored"): lambda image, segments, coalitions, baseline=None: perturb_by_one_hot(
        image, segments, coalitions
    ),
    ("perturb", "zero_is_none"): lambda image, segments, coalitions, baseline=None: perturb_by_one_hot(
        image, segments, coalitions, None if isinstance(baseline, float) and not baseline else baseline
    ),
    ("perturb", "none_is_black"): lambda image, segments, coalitions, baseline=None: perturb_by_one_hot(
        image, segments, coalitions, 0.0 if baseline is None else baseline
    ),
    ("sample_coalitions", "first_row_drawn"): lambda n_samples, n_segments, generator=None: (
        torch.rand(n_samples, n_segments, generator=generator) < 0.5
    ),
    ("sample_coalitions", "above"): lambda n_samples, n_segments, generator=None: torch.cat(
        [
            torch.ones(1, n_segments).bool(),
            torch.rand(n_samples, n_segments, generator=generator)[1:] > 0.5,
        ]
    ),
    ("proximity", "without_two"): lambda coalitions, kernel_width=0.25: proximity_by_torch(
        coalitions, kernel_width / 2**0.5
    ),
    ("proximity", "share_of_ones"): lambda coalitions, kernel_width=0.25: torch.exp(
        -((~coalitions).float().mean(1) ** 2) / (2 * kernel_width**2)
    ),
    ("fit_surrogate", "weights_ignored_everywhere"): lambda coalitions, scores, weights, l2=1.0: fit_by_sklearn(
        coalitions, scores, torch.ones_like(weights), l2
    ),
    ("fit_surrogate", "no_penalty"): lambda coalitions, scores, weights, l2=1.0: fit_by_rows(
        coalitions, scores, weights, 0.0
    ),
    ("fit_surrogate", "inverted"): lambda coalitions, scores, weights, l2=1.0: fit_by_sklearn(
        ~coalitions, scores, weights, l2
    ),
    ("adaline", "no_penalty"): lambda coalitions, scores, weights, l2=1.0, lr=0.01, n_steps=100: adaline_by_sgd(
        coalitions, scores, weights, 0.0, lr, n_steps
    ),
    ("adaline", "without_two"): lambda coalitions, scores, weights, l2=1.0, lr=0.01, n_steps=100: adaline_by_sgd(
        coalitions, scores, weights, l2, lr / 2, n_steps
    ),
    ("lasso", "alpha_of_scikit_learn"): sklearns_alpha,
    ("lasso", "whole_threshold"): lambda coalitions, scores, weights, l1=1.0: lasso_by_proximal_gradient(
        coalitions, scores, weights, 2 * l1
    ),
    ("heatmap", "absolute"): lambda values, segments: values[..., segments].abs(),
    ("heatmap", "scaled"): lambda values, segments: heatmap_by_one_hot(values / values.abs().max(), segments),
    ("explain", "probability"): explain_a_probability,
    ("explain", "kernel_width_ignored"): without_kernel_width,
    ("stability", "absolute"): lambda coefficients, n_features=5: stability_by_masks(coefficients.abs(), n_features),
    ("stability", "with_itself"): lambda coefficients, n_features=5: (
        stability_by_masks(coefficients, n_features) * (len(coefficients) - 1) / len(coefficients)
        + 1 / len(coefficients)
    ),
}

REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "the last image alone": ("perturb", last_image_alone, "differ|must hold"),
    "boxes": ("perturb", boxes, "must hold"),
    "the first pixel's colour": ("perturb", first_pixel, "differ"),
    "half removed": ("perturb", half_removed, "differ"),
    "other coins": ("sample_coalitions", by_randint, "differ"),
    "the last row empty": ("sample_coalitions", both_ends, "differ"),
    "zeros and ones": (
        "sample_coalitions",
        lambda n_samples, n_segments, generator=None: coalitions_by_floor(n_samples, n_segments, generator).float(),
        "dtype",
    ),
    "a linear kernel": ("proximity", linear_kernel, "differ"),
    "the angle": ("proximity", angle, "differ"),
    "a column": (
        "proximity",
        lambda coalitions, kernel_width=0.25: proximity_by_torch(coalitions, kernel_width)[:, None],
        "shape",
    ),
    "squared correlation": ("fit_surrogate", squared_correlation, "not right"),
    "weighted rows with a plain intercept": ("fit_surrogate", weights_in_rows_of_x_alone, "differ"),
    "w and b alone": (
        "fit_surrogate",
        lambda coalitions, scores, weights, l2=1.0: fit_by_sklearn(coalitions, scores, weights, l2)[:2],
        "tuple|values",
    ),
    "centred inputs": ("adaline", adaline_on_centred_inputs, "differ"),
    "no rounds at all": (
        "lasso",
        lambda coalitions, scores, weights, l1=1.0: torch.zeros(coalitions.shape[1]),
        "numbers are not",
    ),
    "the numbers of the superpixels, scaled": (
        "heatmap",
        lambda values, segments: segments / segments.max() * values.abs().amax(-1)[..., None, None],
        "differ",
    ),
    "own coalitions": ("explain", own_coalitions, "differ"),
    "R^2 as well": (
        "explain",
        lambda *arguments, **options: (explain_by_course(*arguments, **options), torch.tensor(1.0)),
        "tuple|tensor",
    ),
    "places": ("stability", with_ordered_places, "not right"),
    "correlation": ("stability", mean_correlation, "not right"),
    "a float": (
        "stability",
        lambda coefficients, n_features=5: float(stability_by_masks(coefficients, n_features)),
        "float|tensor",
    ),
}
