"""Answers to the exercises of unit 12 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import kmedoids
import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from course_utils import gam

# ---- shares and distances


def shares_by_numpy(attributions: Tensor) -> Tensor:
    rows = np.abs(attributions.numpy().reshape(len(attributions), -1))
    return torch.from_numpy(rows / rows.sum(axis=1, keepdims=True))


def shares_row_by_row(attributions: Tensor) -> Tensor:
    return torch.stack([row.abs().flatten() / row.abs().sum() for row in attributions])


def ranks_by_counting(values: Tensor) -> Tensor:
    below = (values[:, None] > values).double().sum(1)
    equal = (values[:, None] == values).double().sum(1)
    return below + (equal + 1) / 2


def distance_by_counting(a: Tensor, b: Tensor) -> Tensor:
    return (a * b * (ranks_by_counting(a) - ranks_by_counting(b)) ** 2).sum().to(a)


def distance_by_loop(a: Tensor, b: Tensor) -> Tensor:
    r, s, total = rankdata(a), rankdata(b), 0.0
    for i in range(len(a)):
        total += float(a[i]) * float(b[i]) * (r[i] - s[i]) ** 2
    return torch.tensor(total, dtype=a.dtype)


def one_minus_rho(a: Tensor, b: Tensor) -> Tensor:
    return torch.tensor(1 - spearmanr(a, b).statistic, dtype=a.dtype) if len(a) > 2 else (a - b).abs().sum()


def kendall_by_loop(a: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((), dtype=a.dtype)
    for i, j in itertools.combinations(range(len(a)), 2):
        if (a[i] > a[j] and b[i] < b[j]) or (a[i] < a[j] and b[i] > b[j]):
            total = total + a[i] * a[j] * b[i] * b[j]
    return total


def kendall_by_signs(a: Tensor, b: Tensor) -> Tensor:
    i, j = torch.triu_indices(len(a), len(a), 1)
    w = a[i] * a[j] * b[i] * b[j]
    s = (a[i] - a[j]).sign() * (b[i] - b[j]).sign()
    return (w * (s.abs() - s) / 2).sum()


def table_by_loops(attributions: Tensor) -> Tensor:
    return torch.stack([torch.stack([distance_by_loop(a, b) for b in attributions]) for a in attributions])


def table_by_broadcast(attributions: Tensor) -> Tensor:
    w, r = attributions.double(), torch.as_tensor(rankdata(attributions, axis=1))
    return (w[:, None] * w * (r[:, None] - r) ** 2).sum(2).to(attributions)


def table_of_differences(attributions: Tensor) -> Tensor:
    return torch.as_tensor(cdist(attributions, attributions, "cityblock")).to(attributions)


# ---- groups


def step_by_loops(distances: Tensor, medoids: Tensor) -> tuple[Tensor, Tensor, float]:
    n, k = len(distances), len(medoids)
    members = [min(range(k), key=lambda c: float(distances[i, medoids[c]])) for i in range(n)]
    new = []
    for c in range(k):
        group = [i for i in range(n) if members[i] == c]
        new.append(min(group, key=lambda m: float(distances[group, m].sum())))
    cost = sum(float(distances[i, new[members[i]]]) for i in range(n))
    return torch.tensor(new), torch.tensor(members), cost


def step_by_masks(distances: Tensor, medoids: Tensor) -> tuple[Tensor, Tensor, float]:
    members = distances.index_select(1, medoids).min(dim=1).indices
    same = members[:, None] == torch.arange(len(medoids))
    sums = distances.double().T @ same.double()  # (N, k)
    new = torch.where(same, sums, torch.inf).argmin(0)
    return new, members, float(distances.gather(1, new[members][:, None]).sum())


def until_nothing_changes(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> tuple[Tensor, Tensor, float]:
    for _ in range(n_iterations):
        new, _, _ = step_by_masks(distances, medoids)
        if (new == medoids).all():
            break
        medoids = new
    members = distances[:, medoids].argmin(1)
    return medoids, members, float(distances[:, medoids].amin(1).sum())


def all_rounds(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> tuple[Tensor, Tensor, float]:
    for _ in range(n_iterations):
        medoids = step_by_masks(distances, medoids)[0]
    own = distances[:, medoids].min(1)
    return medoids, own.indices, own.values.sum().item()


def swaps(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> tuple[Tensor, Tensor, float]:
    """kmedoids' fasterpam."""
    found = kmedoids.fasterpam(distances.numpy(), medoids.numpy().astype(np.uint64), max_iter=n_iterations)
    chosen = torch.as_tensor(found.medoids.astype(np.int64))
    return chosen, torch.as_tensor(found.labels.astype(np.int64)), float(found.loss)


def whole_by_parts(attributions: Tensor, medoids: Tensor) -> tuple[Tensor, Tensor]:
    values = shares_by_numpy(attributions)
    found, members, _ = all_rounds(table_by_broadcast(values).double(), medoids)
    counts = torch.tensor([(members == k).sum() for k in range(len(medoids))])
    return values[found], counts / len(members)


def best_of_many(attributions: Tensor, medoids: Tensor) -> tuple[Tensor, Tensor]:
    """Start anew, and take no notice of the medoids that were given."""
    found = gam.global_attribution_mapping(attributions, len(medoids), generator=torch.Generator().manual_seed(0))
    return found.attributions.flip(0), found.explanatory_power.to(attributions).flip(0)


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "normalize": {"numpy": shares_by_numpy, "row by row": shares_row_by_row},
    "rank_distance": {"counting": distance_by_counting, "loop": distance_by_loop},
    "kendall_distance": {"loop": kendall_by_loop, "signs": kendall_by_signs},
    "pairwise_rank_distances": {"loops": table_by_loops, "broadcast": table_by_broadcast},
    "medoid_step": {"loops": step_by_loops, "masks": step_by_masks},
    "k_medoids": {"until nothing changes": until_nothing_changes, "all rounds": all_rounds},
    "global_attribution_mapping": {"by parts": whole_by_parts},
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("normalize", "length_one"): lambda attributions: torch.nn.functional.normalize(
        attributions.flatten(1).abs(), dim=1
    ),
    ("normalize", "over_all"): lambda attributions: attributions.flatten(1).abs() / attributions.abs().sum(),
    ("rank_distance", "not_weighted"): lambda a, b: (ranks_by_counting(a) - ranks_by_counting(b)).square().sum().to(a),
    ("rank_distance", "mean"): lambda a, b: distance_by_counting(a, b) / len(a),
    ("kendall_distance", "each_pair_twice"): lambda a, b: 2 * kendall_by_signs(a, b),
    ("kendall_distance", "same_order"): lambda a, b: sum(
        (
            a[i] * a[j] * b[i] * b[j]
            for i, j in itertools.combinations(range(len(a)), 2)
            if (a[i] - a[j]) * (b[i] - b[j]) > 0
        ),
        torch.zeros(()),
    ),
    ("pairwise_rank_distances", "upper_triangle"): lambda attributions: torch.triu(table_by_broadcast(attributions)),
    ("medoid_step", "mean_cost"): lambda distances, medoids: (
        lambda found: (found[0], found[1], found[2] / len(distances))
    )(step_by_masks(distances, medoids)),
    ("k_medoids", "no_round"): lambda distances, medoids, n_iterations=100: all_rounds(distances, medoids, 0),
    ("k_medoids", "one_round"): lambda distances, medoids, n_iterations=100: all_rounds(distances, medoids, 1),
    ("global_attribution_mapping", "counts"): lambda attributions, medoids: (
        lambda found: (found[0], found[1] * len(attributions))
    )(whole_by_parts(attributions, medoids)),
}

REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "a list of rows": ("normalize", lambda attributions: list(shares_by_numpy(attributions)), "list"),
    "rounded": ("normalize", lambda attributions: shares_by_numpy(attributions).mul(20).round() / 20, "not|sums"),
    "1 - rho": ("rank_distance", one_minus_rho, "not"),
    "a number": ("rank_distance", lambda a, b: float(distance_by_loop(a, b)), "tensor"),
    "Spearman's": ("kendall_distance", distance_by_counting, "not"),
    "differences": ("pairwise_rank_distances", table_of_differences, "not"),
    "double": (
        "pairwise_rank_distances",
        lambda attributions: table_by_broadcast(attributions).double(),
        "dtype",
    ),
    "without the cost": ("medoid_step", lambda distances, medoids: step_by_masks(distances, medoids)[:2], "values"),
    "sorted medoids": (
        "medoid_step",
        lambda distances, medoids: (
            step_by_masks(distances, medoids)[0].sort().values,
            *step_by_masks(distances, medoids)[1:],
        ),
        "not",
    ),
    "swaps": ("k_medoids", swaps, "not"),
    "other starts": ("global_attribution_mapping", best_of_many, "not"),
}
