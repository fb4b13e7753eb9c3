"""LIME: a linear model of what a network does when parts of one image are removed.

The parts are superpixels P_1 ... P_l. A vector x in {0, 1}^l says which of them stay, and I[x] is the image with the
others removed. The training set T = {(x_h, y(I[x_h]))} is what the network says to such images, and the explanation is
the linear model that comes closest to it,

    minimize  sum_h pi_h (y_h - b - w.x_h)^2  +  l2 |w|_2^2  +  l1 |w|_1,

where pi_h is the larger, the more of the image is left. The weight w_k is what the superpixel P_k speaks for (or, if it
is negative, against) the class; R^2 is the share of the network's behaviour that the linear model explains.

Coalitions (the vectors x) are bool tensors (S, n), one row a removed image, True where the superpixel stays. All fits
are computed in float64.

Sources: Ribeiro, Singh and Guestrin 2016, "Why should I trust you?"; the course document 000, "LIME"; Achanta et al.
2012 (slic), Vedaldi and Soatto 2008 (quickshift); Widrow and Hoff 1960 (ADALINE).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.checking import (
    check_baselines,
    check_count,
    check_dtype,
    check_finite,
    check_inputs,
    check_model,
    check_not_negative,
    check_target,
    class_scores,
    random_source,
)
from course_utils.passes import in_steps

# ---------------------------------------------------------------------------------------------------------------
# Superpixels, and images without some of them
# ---------------------------------------------------------------------------------------------------------------

SEGMENTATIONS = ("slic", "quickshift")


def segment(image: Tensor, n_segments: int = 40, method: str = "slic", **options: object) -> Tensor:
    """Divide an image into superpixels: connected regions of similar colour, by scikit-image.

    Args:
        image: one image, (C, H, W) or (1, C, H, W), in [0, 1].
        n_segments: about how many superpixels "slic" makes; "quickshift" finds their number itself.
        method: "slic" (clusters of colour and place, of about equal size) or "quickshift" (modes of colour and place).
        options: handed on to scikit-image. Defaults here are compactness=20, sigma=1 for "slic" (the larger the
            compactness, the more square) and kernel_size=2, max_dist=8, ratio=0.5 for "quickshift", for images of
            64 x 64; for photographs lime takes kernel_size=4, max_dist=200, ratio=0.2.

    Returns:
        LongTensor (H, W), the number of each pixel's superpixel, 0 ... l - 1, each of them taken.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    from skimage import segmentation

    image = _one_image(image)
    check_count(n_segments, "n_segments")
    if method not in SEGMENTATIONS:
        raise ValueError(f"method must be one of {', '.join(map(repr, SEGMENTATIONS))}, got {method!r}")
    pixels = image[0].detach().cpu().double().permute(1, 2, 0).numpy()
    options = {"convert2lab": len(image[0]) == 3, "channel_axis": -1, **options}
    if method == "slic":
        labels = segmentation.slic(pixels, n_segments, **{"compactness": 20.0, "sigma": 1.0, **options})
    else:
        defaults = {"kernel_size": 2, "max_dist": 8, "ratio": 0.5, "rng": 0}  # rng decides ties: the same each time
        labels = segmentation.quickshift(pixels, **{**defaults, **options})
    return torch.as_tensor(labels).unique(return_inverse=True)[1].to(image.device)


def perturb(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: float | Tensor | None = None) -> Tensor:
    """Return I[x]: the image without the superpixels whose x_k is 0.

    Args:
        image: one image, (C, H, W) or (1, C, H, W).
        segments: superpixels, LongTensor (H, W) with numbers 0 ... n - 1.
        coalitions: bool (S, n), True where a superpixel stays.
        baseline: what a removed superpixel gets: None (its own mean colour), a number, or another image's pixels,
            (C, H, W) or (1, C, H, W), for example a blurred copy.

    Returns:
        (S, C, H, W), one image a row of `coalitions`.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    image = _one_image(image).detach()
    segments = _check_segments(segments, image)
    coalitions = _check_coalitions(coalitions, int(segments.max()) + 1).to(image.device)
    return _without(image, segments, coalitions, _removed(image, segments, baseline))


def _without(image: Tensor, segments: Tensor, coalitions: Tensor, removed: Tensor) -> Tensor:
    """Take the pixels of the superpixels that stay from `image`, the others from `removed`, (1, C, H, W) both."""
    return torch.where(coalitions[:, segments].unsqueeze(1), image, removed)


def _removed(image: Tensor, segments: Tensor, baseline: float | Tensor | None) -> Tensor:
    """Return the image (1, C, H, W) of which all superpixels are removed."""
    if baseline is None:
        places, pixels = segments.flatten(), image[0].double().flatten(1)
        sums = torch.zeros(len(pixels), int(places.max()) + 1).to(pixels).index_add_(1, places, pixels)
        return (sums / places.bincount())[:, segments].to(image).unsqueeze(0)
    if isinstance(baseline, Tensor) and baseline.dim() == 3:
        baseline = baseline.unsqueeze(0)
    return check_baselines(baseline, image, "baseline")


def sample_coalitions(n_samples: int, n_segments: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw which superpixels stay: a fair coin for each of them, but in the first row all stay.

    Args:
        n_samples: S, the number of rows.
        n_segments: n, the number of superpixels.
        generator: source of the coins; without one, a copy of torch's default generator.

    Returns:
        bool (S, n).

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    check_count(n_samples, "n_samples")
    generator = random_source(generator)
    shape = (n_samples, check_count(n_segments, "n_segments"))
    coalitions = torch.rand(shape, generator=generator, device=generator.device).cpu() < 0.5
    coalitions[0] = True
    return coalitions


def proximity(coalitions: Tensor, kernel_width: float = 0.25) -> Tensor:
    """Return how near I[x] is to the whole image: pi = exp(-d^2 / (2 kernel_width^2)), d = 1 - cosine(x, 1).

    The cosine between x and the vector of ones is the square root of the share of superpixels that stay. (With all
    removed x has no direction; the cosine is taken as 0.)

    Args:
        coalitions: bool (S, n).
        kernel_width: the distance at which pi has fallen to exp(-1/2) = 0.61, more than 0.

    Returns:
        (S,) in (0, 1], 1 for the whole image.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Ribeiro et al. 2016, section 3.3 (the exponential kernel, with the cosine distance for vectors x); the
    factor 2 is lime's, which takes the square root of exp(-d^2 / kernel_width^2).
    """
    coalitions = _check_coalitions(coalitions)
    if check_not_negative(kernel_width, "kernel_width") == 0:
        raise ValueError("kernel_width must be more than 0, got 0.0")
    distance = 1 - coalitions.double().mean(1).sqrt()
    return torch.exp(-(distance**2) / (2 * float(kernel_width) ** 2)).to(torch.get_default_dtype())


# ---------------------------------------------------------------------------------------------------------------
# The training set: what the network says to the images I[x]
# ---------------------------------------------------------------------------------------------------------------

OUTPUTS = ("score", "probability")


def score_coalitions(
    model: nn.Module,
    image: Tensor,
    target: int | Sequence[int] | Tensor,
    segments: Tensor,
    coalitions: Tensor,
    baseline: float | Tensor | None = None,
    output: str = "score",
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Return y_i(I[x]) for each row x of the coalitions: with them, the training set T of the linear model.

    Args:
        model: returns class scores (N, K), before the softmax.
        image, segments, coalitions, baseline: as in `perturb`.
        target: class index, an int, or several, a list or LongTensor (K,).
        output: what is explained: the class "score" or its "probability" (softmax of the scores).
        batch_size: images in one forward pass; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (S,) for one class, (S, K) for several.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    check_model(model)
    image = _one_image(image).detach()
    check_dtype(model, image)
    segments = _check_segments(segments, image)
    coalitions = _check_coalitions(coalitions, int(segments.max()) + 1).to(image.device)
    targets = _check_targets(target).to(image.device)
    removed = _removed(image, segments, baseline)
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(map(repr, OUTPUTS))}, got {output!r}")
    rows = []
    with torch.inference_mode():
        for steps in in_steps(len(coalitions), check_count(batch_size, "batch_size"), progress, "Coalitions"):
            images = _without(image, segments, coalitions[steps.start : steps.stop], removed)
            scores = model(images)
            chosen = torch.stack([class_scores(scores, t.expand(len(steps))) for t in targets.flatten()], 1)
            rows.append(chosen if output == "score" else (chosen - scores.logsumexp(1, keepdim=True)).exp())
        values = torch.cat(rows)
    return (values if targets.dim() else values[:, 0]).clone()  # a clone outside of inference mode is like any other


# ---------------------------------------------------------------------------------------------------------------
# The linear model
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surrogate:
    """A linear model y ~ b + w.x of one class, or of K classes that were fitted to the same coalitions.

    Attributes:
        coefficients: w, (n,) or (K, n), in units of the score.
        intercept: b, () or (K,).
        r2: the fit R^2 = 1 - sum_h pi_h (y_h - prediction)^2 / sum_h pi_h (y_h - mean)^2, () or (K,). 1 is a perfect
            fit, 0 is no better than the mean. Constant scores have 1 if they are reproduced, else 0.
        segments: superpixels, LongTensor (H, W), or None.
    """

    coefficients: Tensor
    intercept: Tensor
    r2: Tensor
    segments: Tensor | None = None

    def predict(self, coalitions: Tensor) -> Tensor:
        """Return b + w.x for each row of the coalitions (S, n): (S,) or (S, K).

        Raises:
            TypeError, ValueError: no bool tensor of n columns.
        """
        coalitions = _check_coalitions(coalitions, self.coefficients.shape[-1]).to(self.coefficients)
        return (
            self.intercept + coalitions @ self.coefficients.mT
            if self.coefficients.dim() == 2
            else (self.intercept + coalitions @ self.coefficients)
        )

    def heatmap(self) -> Tensor:
        """Return the map of the weights, (H, W) or (K, H, W): each pixel has the weight of its superpixel.

        Raises:
            ValueError: the surrogate was made without superpixels.
        """
        if self.segments is None:
            raise ValueError("this surrogate has no segments: use lime.heatmap(surrogate.coefficients, segments)")
        return heatmap(self.coefficients, self.segments)


def heatmap(values: Tensor, segments: Tensor) -> Tensor:
    """Write each superpixel's value to its pixels.

    Args:
        values: one number a superpixel, (n,) or (K, n).
        segments: superpixels, LongTensor (H, W) with numbers 0 ... n - 1.

    Returns:
        (H, W) or (K, H, W), signed.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    segments = _check_segments(segments)
    n = int(segments.max()) + 1
    if not isinstance(values, Tensor):
        raise TypeError(f"values must be a tensor (n,) or (K, n), got {type(values).__name__}")
    if values.dim() not in (1, 2) or values.shape[-1] != n:
        raise ValueError(f"values must be ({n},) or (K, {n}), one a superpixel, got shape {tuple(values.shape)}")
    return values[..., segments.to(values.device)]


def fit_surrogate(
    coalitions: Tensor,
    scores: Tensor,
    weights: Tensor | None = None,
    l2: float = 1.0,
    l1: float = 0.0,
    n_features: int | None = None,
) -> Surrogate:
    """Fit the linear model: minimize sum_h pi_h (y_h - b - w.x_h)^2 + l2 |w|_2^2 + l1 |w|_1.

    The intercept b carries no penalty. Without l1 this is ridge regression and is solved as a system of equations
    (of several solutions the one with the shortest w). With l1 > 0 many weights become exactly 0 (the lasso): they are
    found one at a time in turn, each the minimum with the others held (coordinate descent).

    Args:
        coalitions: bool (S, n).
        scores: y, (S,), or (S, K) for K classes.
        weights: pi, (S,), not negative, not all 0; None: all 1.
        l2: strength of the ridge penalty, at least 0; 1 as in lime.
        l1: strength of the lasso penalty, at least 0.
        n_features: keep this many superpixels with the largest |w| and fit again on them alone; the others get the
            weight 0. None keeps all.

    Returns:
        the surrogate, of the dtype of `scores`.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Ribeiro et al. 2016, equation 1 and algorithm 1; Friedman, Hastie and Tibshirani 2010, equation 5
    (coordinate descent).
    """
    x, y, pi = _check_training_set(coalitions, scores, weights)
    l2, l1 = check_not_negative(l2, "l2"), check_not_negative(l1, "l1")
    columns = y if y.dim() == 2 else y.unsqueeze(1)
    w = _penalized(x, columns, pi, l2, l1)
    if n_features is not None:
        if check_count(n_features, "n_features") > x.shape[1]:
            raise ValueError(f"n_features must be at most {x.shape[1]}, the number of superpixels, got {n_features}")
        kept = w.abs().argsort(dim=0, descending=True, stable=True)[:n_features]
        w = torch.zeros_like(w)
        for k, rows in enumerate(kept.T):
            w[rows, k] = _penalized(x[:, rows], columns[:, k : k + 1], pi, l2, l1)[:, 0]
    return _surrogate(x, y, pi, w.T if y.dim() == 2 else w[:, 0], scores)


def _penalized(x: Tensor, y: Tensor, pi: Tensor, l2: float, l1: float) -> Tensor:
    """Return the weights w (n, K) that minimize the penalized error of y (S, K)."""
    x, y = x - _mean(x, pi), y - _mean(y, pi)  # the best b for any w is mean(y) - w.mean(x): so b drops out
    if l1 == 0:
        rows = pi.sqrt().unsqueeze(1) * x
        penalty = l2**0.5 * torch.eye(x.shape[1]).to(x)  # l2 |w|^2 is n more rows, with the target 0
        targets = torch.cat([pi.sqrt().unsqueeze(1) * y, torch.zeros(x.shape[1], y.shape[1]).to(y)])
        return torch.linalg.lstsq(torch.cat([rows, penalty]), targets, driver="gelsd").solution
    return _coordinate_descent(x.T @ (pi.unsqueeze(1) * x), x.T @ (pi.unsqueeze(1) * y), l2, l1)


def _coordinate_descent(gram: Tensor, moments: Tensor, l2: float, l1: float, n_sweeps: int = 10_000) -> Tensor:
    """Minimize w.G w - 2 m.w + l2 |w|_2^2 + l1 |w|_1 for each column m of the moments, one weight after the other."""
    w = torch.zeros_like(moments)
    for _ in range(n_sweeps):
        before = w.clone()
        for j in range(len(w)):
            pull = moments[j] - gram[j] @ w + gram[j, j] * w[j]  # what the other weights leave for this one
            size = gram[j, j] + l2
            w[j] = pull.sign() * (pull.abs() - l1 / 2).clamp(min=0) / size if size > 0 else 0.0
        if (w - before).abs().max() <= 1e-12 * w.abs().max():
            break
    return w


def _mean(values: Tensor, pi: Tensor) -> Tensor:
    """Return the mean over the rows, weighted by pi."""
    return pi @ values / pi.sum()


def _surrogate(x: Tensor, y: Tensor, pi: Tensor, w: Tensor, scores: Tensor) -> Surrogate:
    """Complete the weights w, (n,) or (K, n), with the best intercept and the fit; as the scores in dtype and place."""
    intercept = _mean(y, pi) - w @ _mean(x, pi)
    left = pi @ (y - intercept - x @ w.mT if w.dim() == 2 else y - intercept - x @ w) ** 2
    spread = pi @ (y - _mean(y, pi)) ** 2
    nothing = 1e-20 * pi @ y**2  # rounding alone
    r2 = torch.where(spread > nothing, 1 - left / spread, (left <= nothing).double())
    return Surrogate(w.to(scores), intercept.to(scores), r2.to(scores))


def adaline(
    coalitions: Tensor,
    scores: Tensor,
    weights: Tensor | None = None,
    l2: float = 1.0,
    lr: float | None = None,
    n_steps: int = 1000,
) -> tuple[Surrogate, Tensor]:
    """Fit the linear model by gradient descent, as the ADALINE of the slides learns: the same weights, step by step.

    Each step looks at all rows: w <- w + lr (2 sum_h pi_h e_h x_h - 2 l2 w), b <- b + lr 2 sum_h pi_h e_h, with the
    errors e_h = y_h - b - w.x_h. The mean is taken off the inputs x, so that b does not pull on the weights.

    Args:
        coalitions, weights, l2: as in `fit_surrogate`.
        scores: y, (S,).
        lr: step size; None: one over the largest eigenvalue of the Hessian. Above twice that, the error grows.
        n_steps: number of steps.

    Returns:
        the surrogate, and the penalized error before the first and after each step, (n_steps + 1,).

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Widrow and Hoff 1960, "Adaptive switching circuits"; the course document 000.
    """
    x, y, pi = _check_training_set(coalitions, scores, weights)
    if y.dim() != 1:
        raise ValueError(f"scores must be those of one class, (S,), got shape {tuple(y.shape)}")
    l2 = check_not_negative(l2, "l2")
    centred = x - _mean(x, pi)
    if lr is None:
        hessian = 2 * (centred.T @ (pi.unsqueeze(1) * centred) + l2 * torch.eye(x.shape[1]).to(x))
        lr = 1 / max(float(torch.linalg.eigvalsh(hessian)[-1]), 2 * float(pi.sum()))
    lr = check_not_negative(lr, "lr")
    w, b = torch.zeros(x.shape[1]).to(x), torch.zeros(()).to(x)
    losses = []
    for _ in range(check_count(n_steps, "n_steps")):
        errors = y - b - centred @ w
        losses.append(pi @ errors**2 + l2 * w @ w)
        w = w + lr * (2 * (pi * errors) @ centred - 2 * l2 * w)
        b = b + lr * 2 * pi @ errors
    losses.append(pi @ (y - b - centred @ w) ** 2 + l2 * w @ w)
    return _surrogate(x, y, pi, w, scores), torch.stack(losses).to(scores)


# ---------------------------------------------------------------------------------------------------------------
# The whole method, and how far it can be relied on
# ---------------------------------------------------------------------------------------------------------------


def explain(
    model: nn.Module,
    image: Tensor,
    target: int | Sequence[int] | Tensor,
    segments: Tensor | None = None,
    n_samples: int = 1000,
    baseline: float | Tensor | None = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
    l1: float = 0.0,
    n_features: int | None = None,
    output: str = "score",
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Surrogate:
    """Explain what a network says to one image by LIME: draw coalitions, ask the network, fit the linear model.

    Args:
        model: returns class scores (N, K), before the softmax.
        image: one image, (C, H, W) or (1, C, H, W).
        target: class index, an int, or several that share the same coalitions, a list or LongTensor (K,).
        segments: superpixels, LongTensor (H, W); None: `segment(image)`.
        n_samples: coalitions, each of them one image through the network.
        baseline: what a removed superpixel gets, as in `perturb`.
        kernel_width: of `proximity`.
        l2, l1, n_features: of `fit_surrogate`.
        output: "score" or "probability", as in `score_coalitions`.
        batch_size: images in one forward pass; the answer does not depend on it.
        generator: source of the coalitions; without one, a copy of torch's default generator.
        progress: show a progress bar.

    Returns:
        the surrogate with its superpixels: `.coefficients`, `.intercept`, `.r2`, `.heatmap()`.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Ribeiro et al. 2016, algorithm 1.
    """
    segments = segment(image) if segments is None else _check_segments(segments, _one_image(image))
    coalitions = sample_coalitions(n_samples, int(segments.max()) + 1, generator)
    pi = proximity(coalitions, kernel_width)
    scores = score_coalitions(model, image, target, segments, coalitions, baseline, output, batch_size, progress)
    surrogate = fit_surrogate(coalitions, scores, pi, l2, l1, n_features)
    return Surrogate(surrogate.coefficients, surrogate.intercept, surrogate.r2, segments)


def stability(coefficients: Tensor, n_features: int = 5) -> Tensor:
    """Return how far several runs agree on the superpixels that speak most for the class.

    Each run names its n_features superpixels with the largest weights (of equal ones, the first). Two runs agree by the
    Jaccard index of their sets, |A and B| / |A or B|; the result is its mean over all pairs of runs.

    Args:
        coefficients: weights of R >= 2 runs on the same superpixels, (R, n).
        n_features: how many superpixels each run names, at most n.

    Returns:
        (), in [0, 1]; 1: all runs name the same ones.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the idea is Visani et al. 2022, "Statistical stability indices for LIME" (variables stability index).
    """
    if not isinstance(coefficients, Tensor) or not coefficients.is_floating_point():
        raise TypeError("coefficients must be a float tensor (R, n), the weights of R runs")
    if coefficients.dim() != 2 or len(coefficients) < 2:
        raise ValueError(
            f"coefficients must be (R, n), the weights of at least 2 runs, got shape {tuple(coefficients.shape)}"
        )
    check_finite(coefficients, "coefficients")
    n_runs, n = coefficients.shape
    if check_count(n_features, "n_features") > n:
        raise ValueError(f"n_features must be at most {n}, the number of superpixels, got {n_features}")
    named = torch.zeros_like(coefficients)
    named.scatter_(1, coefficients.argsort(dim=1, descending=True, stable=True)[:, :n_features], 1.0)
    both = named @ named.T
    agreement = both / (2 * n_features - both)
    return (agreement.sum() - n_runs) / (n_runs * (n_runs - 1))


# ---------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------


def _one_image(image: Tensor) -> Tensor:
    """Return one image as a batch of one, (1, C, H, W)."""
    image = check_inputs(image.unsqueeze(0) if isinstance(image, Tensor) and image.dim() == 3 else image, "image")
    if len(image) != 1:
        raise ValueError(f"image must be one image, (C, H, W) or (1, C, H, W), got shape {tuple(image.shape)}")
    return image


def _check_segments(segments: Tensor, image: Tensor | None = None) -> Tensor:
    """Return the superpixels on the image's device, if they are numbered 0 ... n - 1 and have the image's size."""
    if not isinstance(segments, Tensor):
        raise TypeError(
            f"segments must be a LongTensor (H, W), got {type(segments).__name__}: use torch.as_tensor(segments)"
        )
    if segments.is_floating_point() or segments.is_complex() or segments.dtype == torch.bool:
        raise TypeError(f"segments must be a LongTensor (H, W), got a tensor of dtype {segments.dtype}")
    if segments.dim() != 2 or segments.numel() == 0:
        raise ValueError(f"segments must be (H, W), one number a pixel, got shape {tuple(segments.shape)}")
    if image is not None and segments.shape != image.shape[-2:]:
        raise ValueError(
            f"segments must have the image's size {tuple(image.shape[-2:])}, got shape {tuple(segments.shape)}"
        )
    numbers = segments.unique()
    if int(numbers[0]) != 0 or int(numbers[-1]) != len(numbers) - 1:
        raise ValueError(
            f"segments must be numbered 0 ... n - 1 without gaps, got {len(numbers)} numbers from {int(numbers[0])} to "
            f"{int(numbers[-1])}: use segments.unique(return_inverse=True)[1]"
        )
    return segments.detach().long() if image is None else segments.detach().long().to(image.device)


def _check_coalitions(coalitions: Tensor, n_segments: int | None = None) -> Tensor:
    """Return the coalitions if they are bool (S, n), with a column for each of the superpixels."""
    if not isinstance(coalitions, Tensor):
        raise TypeError(f"coalitions must be a bool tensor (S, n), got {type(coalitions).__name__}")
    if coalitions.dtype != torch.bool:
        raise TypeError(f"coalitions must be a bool tensor (S, n), got dtype {coalitions.dtype}: use coalitions.bool()")
    n = "n" if n_segments is None else n_segments
    if coalitions.dim() != 2 or coalitions.numel() == 0 or (n_segments and coalitions.shape[1] != n_segments):
        raise ValueError(
            f"coalitions must be (S, {n}), one row an image and one column a superpixel, got shape "
            f"{tuple(coalitions.shape)}"
        )
    return coalitions.detach()


def _check_targets(target: int | Sequence[int] | Tensor) -> Tensor:
    """Return one class () or several (K,) as a LongTensor."""
    if isinstance(target, (list, tuple)):
        target = torch.as_tensor(target) if target else torch.empty(0, dtype=torch.long)
    if isinstance(target, Tensor) and target.dim() > 0:
        if target.dim() > 1 or len(target) == 0:
            raise ValueError(f"target must be a class or a list of them (K,), got shape {tuple(target.shape)}")
        return check_target(target, len(target))
    return check_target(target, 1)[0]


def _check_training_set(coalitions: Tensor, scores: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (S, n), y (S,) or (S, K) and pi (S,) in float64 on the CPU."""
    x = _check_coalitions(coalitions).cpu().double()
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        raise TypeError("scores must be a float tensor (S,) or (S, K), one row a coalition")
    if scores.dim() not in (1, 2) or len(scores) != len(x) or scores.numel() == 0:
        raise ValueError(f"scores must be ({len(x)},) or ({len(x)}, K), one row a coalition, got {tuple(scores.shape)}")
    check_finite(scores, "scores")
    y = scores.detach().cpu().double()
    if weights is None:
        return x, y, torch.ones(len(x), dtype=torch.float64)
    if not isinstance(weights, Tensor):
        raise TypeError(f"weights must be a tensor (S,), got {type(weights).__name__}")
    if weights.shape != (len(x),):
        raise ValueError(f"weights must be ({len(x)},), one a coalition, got shape {tuple(weights.shape)}")
    check_finite(weights, "weights")
    pi = weights.detach().cpu().double()
    if (pi < 0).any() or pi.sum() == 0:
        raise ValueError("weights must be at least 0, and not all of them 0")
    return x, y, pi
