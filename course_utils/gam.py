"""Global attribution mapping: from many local explanations to a few that stand for all.

Each image's attribution is normalized (`normalize`), any two are compared by the order in which they rank the features
(`rank_distance`), and the attributions are grouped about some of them, the medoids (`k_medoids`). A medoid is a global
explanation; the share of the images in its group is its explanatory power (`global_attribution_mapping`).

Source: Ibrahim et al. 2019, "Global explanations of neural networks: mapping the landscape of predictions"; algorithm 1
of the course document 003.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.checking import check_count, check_finite, check_pair, random_source
from course_utils.passes import in_steps

METRICS = ("spearman", "kendall", "l1")
PAIRS_PER_PASS = 8_000_000  # numbers in one table of pairs of features: 64 MB

# ---------------------------------------------------------------------------------------------------------------
# Attributions and their distances
# ---------------------------------------------------------------------------------------------------------------


def normalize(attributions: Tensor) -> Tensor:
    """Return |a| / sum |a| of each attribution: shares of importance, without signs and units.

    Args:
        attributions: (N, ...), any unit.

    Returns:
        (N, F), each row >= 0 with the sum 1; F is the number of features.

    Raises:
        TypeError, ValueError: no such tensor, values that are not finite, an attribution of nothing but zeros.

    Source: step 1 of algorithm 1.
    """
    if not isinstance(attributions, Tensor):
        raise TypeError(f"attributions must be a tensor (N, ...), got {type(attributions).__name__}")
    if attributions.dim() < 2 or not attributions.numel() or not attributions.is_floating_point():
        got = f"{attributions.dtype} and shape {tuple(attributions.shape)}"
        raise ValueError(f"attributions must be real numbers (N, ...), got {got}")
    check_finite(attributions, "attributions")
    sizes = attributions.detach().flatten(1).abs()
    largest = sizes.amax(1, keepdim=True)
    if (largest == 0).any():
        index = int((largest == 0).nonzero()[0, 0])
        raise ValueError(f"attributions[{index}] is 0 everywhere: it names no feature, and cannot be normalized")
    sizes = sizes / largest  # so that the sum neither overflows nor vanishes
    return sizes / sizes.sum(1, keepdim=True)


def rank_distance(a: Tensor, b: Tensor, metric: str = "spearman", weighted: bool = True) -> Tensor:
    """Return how differently two normalized attributions rank the features.

    With the ranks r of the values (equal values share the mean of their ranks), and the attributions as weights:

    - "spearman": sum_i a_i b_i (r_a(i) - r_b(i))^2, Spearman's squared distance;
    - "kendall": the sum of a_i b_i a_j b_j over the pairs i < j that a and b rank in opposite order, Kendall's tau
      distance;
    - "l1": sum_i |a_i - b_i|, no rank distance; for comparison.

    Args:
        a, b: normalized attributions, (F,).
        metric: one of the three.
        weighted: False leaves the weights out: all ranks count the same. It changes nothing for "l1".

    Returns:
        (), >= 0. It is 0 for the same order; with weights also if no feature has a share in both.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Ibrahim et al. 2019, after Lee and Yu 2010, "Distance-based tree models for ranking data".
    """
    pair = []
    for values, name in ((a, "a"), (b, "b")):
        if not isinstance(values, Tensor):
            raise TypeError(f"{name} must be a tensor (F,), got {type(values).__name__}")
        if values.dim() != 1:
            raise ValueError(f"{name} must be one attribution (F,), got shape {tuple(values.shape)}")
        pair.append(values)
    if a.shape != b.shape:
        raise ValueError(f"a and b must have the same features, got {len(a)} and {len(b)}")
    return pairwise_rank_distances(torch.stack(pair), metric, weighted)[0, 1]


def pairwise_rank_distances(
    attributions: Tensor, metric: str = "spearman", weighted: bool = True, progress: bool = False
) -> Tensor:
    """Return the distances of all pairs of normalized attributions, by products of matrices.

    Spearman's is a sum of three products, since (r - s)^2 = r^2 - 2 r s + s^2. Kendall's takes a row with an entry for
    each pair of features: the pair's weight, with the sign of its order.

    Args:
        attributions: normalized, (N, F), as `normalize` returns them.
        metric, weighted: as in `rank_distance`.
        progress: show a progress bar (for "kendall", which takes N^2 F^2 / 2 steps).

    Returns:
        (N, N) float64, symmetric, 0 on the diagonal.

    Raises:
        TypeError, ValueError: a bad argument, by name; rows that are not normalized.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    values = _normalized(attributions)
    if metric == "l1":
        return torch.cdist(values, values, p=1)
    weights = values if weighted else torch.ones_like(values)
    distances = _spearman(values, weights) if metric == "spearman" else _kendall(values, weights, progress)
    return ((distances + distances.T) / 2).clamp(min=0).fill_diagonal_(0)


def _normalized(attributions: Tensor) -> Tensor:
    """Return normalized attributions as float64."""
    if not isinstance(attributions, Tensor):
        raise TypeError(f"attributions must be a tensor (N, F), got {type(attributions).__name__}")
    if attributions.dim() != 2 or not attributions.numel() or not attributions.is_floating_point():
        raise ValueError(
            f"attributions must be real numbers (N, F), got {attributions.dtype} and shape {tuple(attributions.shape)}"
        )
    check_finite(attributions, "attributions")
    values = attributions.detach().cpu().double()
    if (values < 0).any() or (values.sum(1) - 1).abs().max() > 1e-3:
        raise ValueError("attributions must be normalized, each row >= 0 with the sum 1: see normalize")
    return values


def _spearman(values: Tensor, weights: Tensor) -> Tensor:
    from scipy.stats import rankdata

    ranks = torch.as_tensor(rankdata(values.numpy(), axis=1))
    ranks = ranks - (values.shape[1] + 1) / 2  # about 0, so that little cancels
    square = (weights * ranks**2) @ weights.T
    return square + square.T - 2 * (weights * ranks) @ (weights * ranks).T


def _kendall(values: Tensor, weights: Tensor, progress: bool) -> Tensor:
    first, second = torch.triu_indices(values.shape[1], values.shape[1], 1)
    distances = torch.zeros(len(values), len(values), dtype=torch.float64)
    per_pass = max(1, PAIRS_PER_PASS // len(values))
    for step in in_steps(len(first), per_pass, progress, "Pairs of features"):
        i, j = first[step.start : step.stop], second[step.start : step.stop]
        order = (values[:, i] - values[:, j]).sign()
        signed = weights[:, i] * weights[:, j] * order
        sizes = signed.abs()
        distances += (sizes @ sizes.T - signed @ signed.T) / 2  # |s t| - s t is 2 where s and t differ in sign, else 0
    return distances


# ---------------------------------------------------------------------------------------------------------------
# k-medoids
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clustering:
    """Groups about medoids.

    Attributes:
        medoids: (k,) indices of the items that stand for the groups.
        members: (N,) for each item the number of its group, 0 to k - 1.
        cost: the sum of the distances of all items to their medoids.
        costs: the cost after each assignment, from the first to the last. It never rises, but for the last bits: each
            is a sum of its own.
    """

    medoids: Tensor
    members: Tensor
    cost: float
    costs: tuple[float, ...]


def k_medoids(
    distances: Tensor,
    n_clusters: int,
    n_iterations: int = 100,
    generator: torch.Generator | None = None,
    n_restarts: int = 20,
) -> Clustering:
    """Group items about some of them, as the slides do: in turn, the best medoid of each group, and new groups.

    Args:
        distances: (N, N), symmetric, >= 0, 0 on the diagonal; it need not be a metric.
        n_clusters: k, from 1 to N.
        n_iterations: the most rounds of one start; it ends earlier if nothing changes.
        generator: draws the first medoids; without one, a copy of torch's default generator.
        n_restarts: starts with other first medoids; the clustering with the lowest cost is returned.

    Returns:
        a `Clustering`. The groups are in the order of their sizes, the largest first.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: step 3 of algorithm 1; Park and Jun 2009, "A simple and fast algorithm for k-medoids clustering".
    """
    distances = _check_distances(distances)
    n_clusters = check_count(n_clusters, "n_clusters")
    if n_clusters > len(distances):
        raise ValueError(f"n_clusters must be at most the number of items, {len(distances)}, got {n_clusters}")
    n_iterations, n_restarts = check_count(n_iterations, "n_iterations"), check_count(n_restarts, "n_restarts")
    generator = random_source(generator)
    starts = [
        torch.randperm(len(distances), generator=generator, device=generator.device).cpu()[:n_clusters]
        for _ in range(n_restarts)
    ]
    best = min((improve(distances, start, n_iterations) for start in starts), key=lambda found: found.cost)
    order = best.members.bincount(minlength=n_clusters).argsort(descending=True, stable=True)
    return Clustering(best.medoids[order], order.argsort()[best.members], best.cost, best.costs)


def improve(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> Clustering:
    """Improve medoids and groups in turn until neither changes: one start of `k_medoids`, from the given medoids.

    Args:
        distances: (N, N), as in `k_medoids`.
        medoids: (k,) indices of the first medoids, all different.
        n_iterations: the most rounds.

    Returns:
        a `Clustering`; the groups are in the order of the medoids that were given.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    distances = _check_distances(distances)
    if not isinstance(medoids, Tensor) or medoids.dtype != torch.long or medoids.dim() != 1 or not len(medoids):
        raise ValueError("medoids must be indices, a LongTensor (k,)")
    if len(medoids.unique()) < len(medoids) or medoids.min() < 0 or medoids.max() >= len(distances):
        raise ValueError(f"medoids must be different indices from 0 to {len(distances) - 1}, got {medoids.tolist()}")
    n_iterations = check_count(n_iterations, "n_iterations")
    members, costs = _assign(distances, medoids)
    history = [costs]
    for _ in range(n_iterations):
        medoids = medoids.clone()
        for group in range(len(medoids)):
            inside = (members == group).nonzero()[:, 0]
            sums = distances[inside][:, inside].sum(0)
            own = (inside == medoids[group]).nonzero()[0, 0]
            if sums.min() < sums[own]:  # of equally good ones the old one stays
                medoids[group] = inside[sums.argmin()]
        members, cost = _assign(distances, medoids)
        history.append(cost)
        if not cost < history[-2]:
            break
    return Clustering(medoids, members, history[-1], tuple(history))


def _assign(distances: Tensor, medoids: Tensor) -> tuple[Tensor, float]:
    """Give each item the group of its nearest medoid (a medoid its own), and the cost."""
    members = distances[:, medoids].argmin(1)
    members[medoids] = torch.arange(len(medoids))
    return members, float(distances[torch.arange(len(distances)), medoids[members]].sum())


def _check_distances(distances: Tensor) -> Tensor:
    if not isinstance(distances, Tensor):
        raise TypeError(f"distances must be a tensor (N, N), got {type(distances).__name__}")
    if distances.dim() != 2 or len(distances) == 0 or distances.shape[0] != distances.shape[1]:
        raise ValueError(f"distances must be square, (N, N), got shape {tuple(distances.shape)}")
    check_finite(distances, "distances")
    distances = distances.detach().cpu().double()
    scale = max(float(distances.max()), 1e-300)
    if distances.min() < 0 or distances.diagonal().max() > 1e-9 * scale:
        raise ValueError("distances must be at least 0, and 0 on the diagonal")
    if (distances - distances.T).abs().max() > 1e-6 * scale:
        raise ValueError("distances must be symmetric")
    return distances


def silhouettes(
    distances: Tensor,
    n_clusters: Sequence[int] = (2, 3, 4, 5, 6),
    generator: torch.Generator | None = None,
    n_restarts: int = 20,
) -> dict[int, float]:
    """Return how well separated the groups are, for several numbers of groups: the mean silhouette.

    The silhouette of an item is (b - a) / max(a, b), with its mean distance a to the others of its group and b to the
    nearest other group: near 1 if it lies well inside of its group, below 0 if another group is nearer.

    Args:
        distances: (N, N), as in `k_medoids`.
        n_clusters: the numbers of groups to try, each from 2 to N - 1.
        generator, n_restarts: as in `k_medoids`.

    Returns:
        {number of groups: mean silhouette, from -1 to 1}.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Rousseeuw 1987; scikit-learn's silhouette_score.
    """
    from sklearn.metrics import silhouette_score

    if not isinstance(n_clusters, Sequence):
        raise TypeError(f"n_clusters must be numbers of groups to try, such as (2, 3), got {type(n_clusters).__name__}")
    distances, generator = _check_distances(distances), random_source(generator)
    found = {}
    for k in n_clusters:
        if not 2 <= check_count(k, "n_clusters") < len(distances):
            raise ValueError(f"n_clusters must be from 2 to {len(distances) - 1}, got {k}")
        members = k_medoids(distances, k, generator=generator, n_restarts=n_restarts).members
        found[k] = float(silhouette_score(distances.numpy(), members.numpy(), metric="precomputed"))
    return found


# ---------------------------------------------------------------------------------------------------------------
# The whole of it
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explanation:
    """A global explanation: a few attributions that stand for all.

    Attributes:
        attributions: (k, F), the normalized attributions of the medoids; the largest group first.
        medoids: (k,) the indices of their images.
        members: (N,) for each image the number of its group.
        explanatory_power: (k,) the share of all images in each group; the sum is 1.
        cost: the sum of the distances of all images to their medoids.
    """

    attributions: Tensor
    medoids: Tensor
    members: Tensor
    explanatory_power: Tensor
    cost: float


def global_attribution_mapping(
    attributions: Tensor,
    n_clusters: int,
    metric: str = "spearman",
    n_iterations: int = 100,
    generator: torch.Generator | None = None,
    n_restarts: int = 20,
    progress: bool = False,
) -> Explanation:
    """Return a global explanation from local attributions: normalize, compare all pairs, group about medoids.

    Args:
        attributions: (N, ...), one for each image, of the same features; any unit.
        n_clusters: number of groups; `silhouettes` helps to choose it.
        metric: as in `rank_distance`, with weights.
        n_iterations, generator, n_restarts: as in `k_medoids`.
        progress: show a progress bar for the distances.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Ibrahim et al. 2019, algorithm 1.
    """
    normalized = normalize(attributions)
    distances = pairwise_rank_distances(normalized, metric, progress=progress)
    groups = k_medoids(distances, n_clusters, n_iterations, generator, n_restarts)
    power = groups.members.bincount(minlength=len(groups.medoids)).double() / len(normalized)
    return Explanation(normalized[groups.medoids], groups.medoids, groups.members, power, groups.cost)


def cells(attributions: Tensor, size: int | tuple[int, int] = 8) -> Tensor:
    """Return maps as features that can be compared: the sum of |relevance| in each cell of a grid.

    Args:
        attributions: maps (N, C, H, W), summed over the channels first, or (N, H, W).
        size: rows and columns of the grid; H and W must be multiples of them.

    Returns:
        (N, rows * columns), >= 0.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    if not isinstance(attributions, Tensor) or attributions.dim() not in (3, 4):
        shape = tuple(attributions.shape) if isinstance(attributions, Tensor) else type(attributions).__name__
        raise ValueError(f"attributions must be maps (N, C, H, W) or (N, H, W), got {shape}")
    check_finite(attributions, "attributions")
    rows, columns = check_pair(size, "size", 1)
    maps = attributions.detach()
    maps = (maps.sum(1) if maps.dim() == 4 else maps).abs()
    height, width = maps.shape[1:]
    if height % rows or width % columns:
        raise ValueError(f"size must divide the maps' {height} x {width}, got {rows} x {columns}")
    return maps.view(len(maps), rows, height // rows, columns, width // columns).sum((2, 4)).flatten(1)
