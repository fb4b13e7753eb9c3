"""The exercises of unit 12: global attribution mapping, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_shares`, `_ranked`, `_ordered`, `_table`, `_round`, `_whole`),
which are independent of the references in ``course_utils.gam``. In the hints, as in the lab: a and b are normalized
attributions, r_a(i) is the rank of feature i in a.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from course_utils import gam
from course_utils.exercises.core import Case, Exercise, Mistake, Property, ValueExercise

# ---------------------------------------------------------------------------------------------------------------------
# By hand: two attributions, one distance
# ---------------------------------------------------------------------------------------------------------------------

# a = (4, -1, 3) -> (0.5, 0.125, 0.375), ranks 3, 1, 2; b = (0.2, 0.3, 0.5), ranks 1, 2, 3:
# 0.5 * 0.2 * 4 + 0.125 * 0.3 * 1 + 0.375 * 0.5 * 1 = 0.4 + 0.0375 + 0.1875 = 0.625.
DISTANCE_BY_HAND = ValueExercise(
    name="distance_by_hand",
    expected=(0.5, 0.125, 0.375, 0.625),
    mistakes={
        "sign_of_the_share": Mistake(
            (0.5, -0.125, 0.375, 0.625), "shares of importance have no signs: the second one is |-1| / 8."
        ),
        "signs_kept": Mistake(
            (4 / 6, -1 / 6, 3 / 6, 0.0), "shares of importance have no signs: take |a| first, then divide by the sum."
        ),
        "signs_kept_in_sum": Mistake(
            (4 / 6, 1 / 6, 3 / 6, 4 / 6 * 0.2 * 4 + 1 / 6 * 0.3 + 3 / 6 * 0.5),
            "the sum is over |a|, too: 4 + 1 + 3.",
        ),
        "not_weighted": Mistake((0.5, 0.125, 0.375, 6.0), "each squared difference counts by the weight a_i b_i."),
        "not_squared": Mistake(
            (0.5, 0.125, 0.375, 0.5 * 0.2 * 2 + 0.125 * 0.3 + 0.375 * 0.5), "square the difference of the ranks."
        ),
        "differences_of_values": Mistake(
            (0.5, 0.125, 0.375, 0.5 * 0.2 * 0.09 + 0.125 * 0.3 * 0.175**2 + 0.375 * 0.5 * 0.125**2),
            "it is the ranks whose differences are squared, not the values.",
        ),
        "weight_of_a": Mistake(
            (0.5, 0.125, 0.375, 0.5 * 4 + 0.125 + 0.375), "the weight is the product of both shares, a_i b_i."
        ),
        "largest_one": Mistake(
            (1.0, 0.25, 0.75, 0.2 * 4 + 0.25 * 0.3 + 0.75 * 0.5), "divide by the sum of |a|, not by the largest one."
        ),
    },
    tolerance=2e-3,
)

# ---------------------------------------------------------------------------------------------------------------------
# normalize
# ---------------------------------------------------------------------------------------------------------------------


def normalize(attributions: Tensor) -> Tensor:
    """Return |a| / sum |a| of each attribution, (N, F)."""
    return gam.normalize(attributions)


def _shares(
    attributions: Tensor,
    size: Callable[[Tensor], Tensor] = torch.abs,
    total: Callable[[Tensor], Tensor] = lambda sizes: sizes.sum(1, keepdim=True),
    finish: Callable[[Tensor, Tensor], Tensor] = lambda values, attributions: values,
) -> Tensor:
    sizes = size(attributions.flatten(1))
    return finish(sizes / total(sizes), attributions)


def _normalize_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(1)
    yield Case({"attributions": torch.randn(4, 6, generator=fixed)}, "four attributions of six features")
    yield Case({"attributions": 50 * torch.randn(3, 2, 4, 4, generator=fixed)}, "three maps of two channels")
    yield Case({"attributions": -torch.rand(1, 5, generator=fixed)}, "a single negative attribution")
    yield Case({"attributions": torch.randn(2, 7, generator=fixed).double()}, "double precision")
    yield Case({"attributions": 1e-3 * torch.randn(5, 3, 7, generator=generator)}, "five attributions, (3, 7) each")
    yield Case({"attributions": torch.randn(7, 9, generator=generator)}, "seven attributions")


NORMALIZE = Exercise(
    name="normalize",
    reference=normalize,
    cases=_normalize_cases,
    mistakes={
        "signs_kept": Mistake(
            partial(_shares, size=lambda a: a, total=lambda a: a.abs().sum(1, keepdim=True)),
            "your shares have signs. How important a feature is has none: |a|.",
        ),
        "sum_with_signs": Mistake(
            partial(_shares, size=lambda a: a), "you divided by the sum with signs: it may even be 0. It is sum |a|."
        ),
        "negative_cut_off": Mistake(
            partial(_shares, size=lambda a: a.clamp(min=0)),
            "you cut off what is negative. A feature that speaks against the class is important, too: |a|.",
        ),
        "squares": Mistake(partial(_shares, size=torch.square), "you took squares. It is |a|."),
        "softmax": Mistake(
            lambda attributions: attributions.flatten(1).softmax(1), "this is a softmax. It is |a| divided by its sum."
        ),
        "largest_one": Mistake(
            partial(_shares, total=lambda a: a.amax(1, keepdim=True)),
            "your largest share is 1. The shares of an attribution sum to 1: divide by their sum.",
        ),
        "length_one": Mistake(
            partial(_shares, total=lambda a: a.norm(dim=1, keepdim=True)),
            "you divided by the length. Divide by the sum of |a|.",
        ),
        "mean": Mistake(
            partial(_shares, total=lambda a: a.mean(1, keepdim=True)),
            "you divided by the mean. The shares of an attribution sum to 1: divide by the sum.",
        ),
        "over_all": Mistake(
            partial(_shares, total=lambda a: a.sum()),
            "your shares sum to 1 over all attributions together. Each attribution has a sum of its own.",
        ),
        "over_images": Mistake(
            partial(_shares, total=lambda a: a.sum(0, keepdim=True)),
            "you divided each feature by its sum over the images. Divide each image by its sum over the features.",
        ),
        "shape_kept": Mistake(
            partial(_shares, finish=lambda values, attributions: values.view(attributions.shape)),
            "your answer has the shape of the maps. A row of F features for each image is asked for.",
            where=lambda case: case.arguments["attributions"].dim() > 2,
        ),
    },
    properties=[
        Property("each row sums to 1.", lambda arguments, value: bool(((value.sum(1) - 1).abs() < 1e-4).all())),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# rank_distance and kendall_distance
# ---------------------------------------------------------------------------------------------------------------------


def rank_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the weighted squared Spearman distance of two normalized attributions, ()."""
    return gam.rank_distance(a, b).to(a)


def kendall_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the weighted Kendall distance of two normalized attributions, ()."""
    return gam.rank_distance(a, b, "kendall").to(a)


def _ranked(
    a: Tensor,
    b: Tensor,
    rank: Callable[[np.ndarray], np.ndarray] = rankdata,
    weight: Callable[[Tensor, Tensor], Tensor] = lambda a, b: a * b,
    penalty: Callable[[Tensor], Tensor] = torch.square,
    finish: Callable[[Tensor], Tensor] = lambda total: total,
) -> Tensor:
    """Return Spearman's distance, with the pieces open: the ranks, the weights, what becomes of the differences."""
    r, s = (torch.as_tensor(rank(values.double().numpy())).double() for values in (a, b))
    return finish((weight(a.double(), b.double()) * penalty(r - s)).sum()).to(a)


def _ordered(
    a: Tensor,
    b: Tensor,
    counts: Callable[[float, float], bool] = lambda first, second: first * second < 0,
    weight: Callable[[Tensor, Tensor, int, int], Tensor] = lambda a, b, i, j: a[i] * a[j] * b[i] * b[j],
    pairs: Callable[[int], Iterator[tuple[int, int]]] = lambda n: itertools.combinations(range(n), 2),
) -> Tensor:
    """Return Kendall's distance, with the pieces open: which pairs are counted, and by which weight."""
    x, y, total = a.double(), b.double(), torch.zeros(()).double()
    for i, j in pairs(len(a)):
        if counts(float(x[i] - x[j]), float(y[i] - y[j])):
            total = total + weight(x, y, i, j)
    return total.to(a)


def _pair(source: torch.Generator, n: int) -> dict[str, Tensor]:
    a, b = gam.normalize(torch.randn(2, n, generator=source) ** 2 + 0.05)
    return {"a": a, "b": b}


def _distance_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(2)
    yield Case(_pair(fixed, 6), "six features")
    yield Case(_pair(fixed, 2), "two features")
    tied = {"a": torch.tensor([0.3, 0.3, 0.2, 0.1, 0.1]), "b": torch.tensor([0.1, 0.2, 0.2, 0.2, 0.3])}
    yield Case(tied, "values that are equal")
    same = _pair(fixed, 5)["a"]
    yield Case({"a": same, "b": same.clone()}, "the same attribution twice", tolerance=torch.tensor(1e-7))
    yield Case({name: values.double() for name, values in _pair(fixed, 5).items()}, "double precision")
    yield Case(_pair(generator, 9), "nine features")
    yield Case(_pair(generator, 4), "four features")


RANK_DISTANCE = Exercise(
    name="rank_distance",
    reference=rank_distance,
    cases=_distance_cases,
    mistakes={
        "not_weighted": Mistake(
            partial(_ranked, weight=lambda a, b: torch.ones_like(a)),
            "all features count the same in your distance. Feature i counts by a_i b_i.",
        ),
        "of_values": Mistake(
            partial(_ranked, rank=lambda values: values),
            "you compare the values. It is their ranks whose differences are squared.",
        ),
        "sorted_places": Mistake(
            partial(_ranked, rank=lambda values: values.argsort(kind="stable")),
            "argsort gives the places in sorted order, not the rank of each feature.",
        ),
        "ties_in_order": Mistake(
            partial(_ranked, rank=lambda values: rankdata(values, "ordinal")),
            "equal values have different ranks in your distance. They share the mean of their ranks.",
        ),
        "lowest_rank_of_ties": Mistake(
            partial(_ranked, rank=lambda values: rankdata(values, "min")),
            "equal values have the lowest of their ranks in your distance. They share the mean of their ranks.",
        ),
        "dense_ranks": Mistake(
            partial(_ranked, rank=lambda values: rankdata(values, "dense")),
            "equal values take one rank together in your distance. They share the mean of their ranks.",
        ),
        "not_squared": Mistake(
            partial(_ranked, penalty=torch.abs), "you added up the sizes of the differences. Square them."
        ),
        "differences_added": Mistake(
            partial(_ranked, penalty=lambda d: d), "you added up the differences with their signs. Square them."
        ),
        "weight_of_a": Mistake(
            partial(_ranked, weight=lambda a, b: a),
            "your weight is a_i alone. It is a_i b_i, so that a and b count the same.",
        ),
        "weight_of_b": Mistake(partial(_ranked, weight=lambda a, b: b), "your weight is b_i alone. It is a_i b_i."),
        "sum_of_weights": Mistake(
            partial(_ranked, weight=lambda a, b: a + b), "your weight is a_i + b_i. It is the product."
        ),
        "mean_of_weights": Mistake(
            partial(_ranked, weight=lambda a, b: (a + b) / 2),
            "your weight is the mean of a_i and b_i. It is the product.",
        ),
        "root_of_weights": Mistake(
            partial(_ranked, weight=lambda a, b: (a * b).sqrt()), "your weight is the root of a_i b_i."
        ),
        "root": Mistake(
            partial(_ranked, finish=torch.sqrt), "you took the root of the sum. The sum itself is asked for."
        ),
        "mean": Mistake(
            lambda a, b: _ranked(a, b) / len(a), "you took the mean over the features. The sum is asked for."
        ),
        "ranks_of_shares": Mistake(
            partial(_ranked, rank=lambda values: rankdata(values) / len(values)),
            "you divided the ranks by the number of features.",
        ),
    },
)

KENDALL_DISTANCE = Exercise(
    name="kendall_distance",
    reference=kendall_distance,
    cases=_distance_cases,
    mistakes={
        "not_weighted": Mistake(
            partial(_ordered, weight=lambda a, b, i, j: torch.ones(()).double()),
            "you count the pairs. Each pair counts by the product of its four shares.",
        ),
        "same_order": Mistake(
            partial(_ordered, counts=lambda first, second: first * second > 0),
            "you add up the pairs in the SAME order. The distance is made of those in opposite order.",
        ),
        "ties_count": Mistake(
            partial(_ordered, counts=lambda first, second: first * second <= 0),
            "you count pairs with equal values as well. They have no order.",
        ),
        "each_pair_twice": Mistake(
            partial(_ordered, pairs=lambda n: itertools.permutations(range(n), 2)),
            "you count each pair twice, as i, j and as j, i.",
        ),
        "neighbours": Mistake(
            partial(_ordered, pairs=lambda n: ((i, i + 1) for i in range(n - 1))),
            "you compare neighbouring features only. All pairs i < j count.",
        ),
        "weight_of_a": Mistake(
            partial(_ordered, weight=lambda a, b, i, j: a[i] * a[j]),
            "your weight is a_i a_j. b_i b_j belongs to it, too.",
        ),
        "sum_of_weights": Mistake(
            partial(_ordered, weight=lambda a, b, i, j: a[i] + a[j] + b[i] + b[j]),
            "you added the four shares. Multiply them.",
        ),
        "differences": Mistake(
            partial(_ordered, weight=lambda a, b, i, j: ((a[i] - a[j]) * (b[i] - b[j])).abs()),
            "you weighted a pair by its differences. Its weight is the product of its four shares.",
        ),
        "share_of_pairs": Mistake(
            lambda a, b: _ordered(a, b) / (len(a) * (len(a) - 1) / 2), "you divided by the number of pairs."
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# pairwise_rank_distances
# ---------------------------------------------------------------------------------------------------------------------


def pairwise_rank_distances(attributions: Tensor) -> Tensor:
    """Return the weighted squared Spearman distances of all pairs, (N, N)."""
    return gam.pairwise_rank_distances(attributions).to(attributions)


def _table(attributions: Tensor, distance: Callable[[Tensor, Tensor], Tensor] = _ranked) -> Tensor:
    return torch.stack([torch.stack([distance(a, b) for b in attributions]) for a in attributions])


def _pairwise_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(3)

    def rows(source: torch.Generator, n: int, n_features: int) -> Tensor:
        return gam.normalize(torch.randn(n, n_features, generator=source) ** 2)

    yield Case({"attributions": rows(fixed, 5, 6)}, "five attributions of six features")
    yield Case({"attributions": rows(fixed, 1, 4)}, "a single attribution", tolerance=torch.full((1, 1), 1e-7))
    tied = rows(fixed, 4, 5)
    tied = (tied * 10).round() + 1
    yield Case({"attributions": tied / tied.sum(1, keepdim=True)}, "equal values")
    yield Case({"attributions": rows(fixed, 4, 5).double()}, "double precision")
    yield Case({"attributions": rows(generator, 7, 9)}, "seven attributions")
    yield Case({"attributions": rows(generator, 12, 3)}, "twelve attributions of three features")


PAIRWISE_RANK_DISTANCES = Exercise(
    name="pairwise_rank_distances",
    reference=pairwise_rank_distances,
    cases=_pairwise_cases,
    mistakes={
        "not_weighted": Mistake(
            partial(_table, distance=partial(_ranked, weight=lambda a, b: torch.ones_like(a))),
            "all features count the same. Feature i counts by a_i b_i.",
        ),
        "of_values": Mistake(
            partial(_table, distance=partial(_ranked, rank=lambda values: values)),
            "you compare the values. It is their ranks whose differences are squared.",
        ),
        "upper_triangle": Mistake(
            lambda attributions: _table(attributions).triu(),
            "half of your table is 0. The distance of b and a is that of a and b.",
        ),
        "product_missing_twice": Mistake(
            lambda attributions: (lambda w, r: (w * r**2) @ w.T + ((w * r**2) @ w.T).T - (w * r) @ (w * r).T)(
                attributions.double(), torch.as_tensor(rankdata(attributions.numpy(), axis=1))
            ).to(attributions),
            "the mixed term counts twice: (r - s)^2 = r^2 - 2 r s + s^2.",
        ),
        "sign_of_the_product": Mistake(
            lambda attributions: (lambda w, r: (w * r**2) @ w.T + ((w * r**2) @ w.T).T + 2 * (w * r) @ (w * r).T)(
                attributions.double(), torch.as_tensor(rankdata(attributions.numpy(), axis=1))
            ).to(attributions),
            "the mixed term has a minus: (r - s)^2 = r^2 - 2 r s + s^2.",
        ),
        "ranked_over_images": Mistake(
            lambda attributions: (lambda w, r: (w * r**2) @ w.T + ((w * r**2) @ w.T).T - 2 * (w * r) @ (w * r).T)(
                attributions.double(), torch.as_tensor(rankdata(attributions.numpy(), axis=0))
            ).to(attributions),
            "you ranked the images by each feature. Rank the features of each image.",
        ),
        "ties_in_order": Mistake(
            partial(_table, distance=partial(_ranked, rank=lambda values: rankdata(values, "ordinal"))),
            "equal values have different ranks. They share the mean of their ranks.",
        ),
        "roots": Mistake(
            lambda attributions: _table(attributions).sqrt(), "you took roots. The sums themselves are asked for."
        ),
        "similarity": Mistake(
            lambda attributions: _table(attributions).max() - _table(attributions),
            "yours is a similarity: the largest number stands on the diagonal. A distance is 0 there.",
        ),
    },
    properties=[
        Property("the table is symmetric.", lambda arguments, value: bool(torch.allclose(value, value.T, atol=1e-6))),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# medoid_step and k_medoids
# ---------------------------------------------------------------------------------------------------------------------

Groups = tuple[Tensor, Tensor, float]


def medoid_step(distances: Tensor, medoids: Tensor) -> Groups:
    """Return (new medoids, members, cost of these groups about the new medoids) of one round from the given medoids."""
    return _round(distances, medoids)


def _round(
    distances: Tensor,
    medoids: Tensor,
    nearest: Callable[[Tensor], Tensor] = lambda to_medoids: to_medoids.argmin(1),
    among: Callable[[Tensor, int], Tensor] = lambda members, group: (members == group).nonzero()[:, 0],
    sums: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda distances, group, candidates: distances[group][
        :, candidates
    ].sum(0),
    best: Callable[[Tensor], Tensor] = torch.argmin,
    cost: Callable[[Tensor], Tensor] = torch.sum,
    of_new: bool = True,
) -> Groups:
    """Return one round, with the pieces open: who belongs where, who may stand for a group, what is minimized."""
    members = nearest(distances[:, medoids])
    new = medoids.clone()
    for group in range(len(medoids)):
        inside = (members == group).nonzero()[:, 0]
        candidates = among(members, group)
        if len(inside) and len(candidates):
            new[group] = candidates[best(sums(distances, inside, candidates))]
    about = new if of_new else medoids
    return new, members, float(cost(distances[torch.arange(len(distances)), about[members]]))


def _distances(source: torch.Generator, n: int) -> Tensor:
    points = torch.randn(n, 3, generator=source)
    return torch.cdist(points, points) ** 2


def _no_metric(source: torch.Generator, n: int) -> Tensor:
    """Distances that obey no triangle inequality, as rank distances do not."""
    table = torch.rand(n, n, generator=source) ** 4 + 0.01  # most are small, some are large
    return (table + table.T).fill_diagonal_(0)


def _line(source: torch.Generator, n: int) -> Tensor:
    """Squared distances of points on a line, in their order."""
    points = torch.rand(n, generator=source).sort().values
    return (points[:, None] - points) ** 2


def _is_clear(distances: Tensor, medoids: Tensor, n_rounds: int = 100) -> bool:
    """Say whether no round from these medoids has a tie that rounding could decide, or a group without members."""
    distances, margin = distances.double(), 1e-6 * float(distances.mean())
    for _ in range(n_rounds):
        to_medoids = distances[:, medoids]
        members, new = to_medoids.argmin(1), medoids.clone()
        if len(medoids) > 1 and (to_medoids.topk(2, 1, largest=False).values.diff() < margin).any():
            return False
        for group in range(len(medoids)):
            inside = (members == group).nonzero()[:, 0]
            if not len(inside):
                return False
            sums = distances[inside][:, inside].sum(0)
            if len(inside) > 2 and float(sums.topk(2, largest=False).values.diff()) < margin:
                return False
            new[group] = inside[sums.argmin()]
        if torch.equal(new, medoids):
            return True
        medoids = new
    return True


def _step_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(4)

    def case(source: torch.Generator, n: int, k: int, note: str, draw: Callable[..., Tensor] = _distances) -> Case:
        while True:
            medoids, distances = torch.randperm(n, generator=source)[:k], draw(source, n)
            if _is_clear(distances, medoids, 1):
                return Case({"distances": distances, "medoids": medoids}, note)

    yield case(fixed, 12, 3, "twelve items, three groups")
    yield case(fixed, 7, 1, "a single group")
    yield case(fixed, 6, 6, "as many groups as items")
    yield case(fixed, 24, 4, "distances that are no metric", _no_metric)
    outside = torch.zeros(5, 5)  # item 3 is near to all of the first group, and nearer to item 4
    i, j = torch.triu_indices(5, 5, 1)
    outside[i, j] = torch.tensor([1.0, 1.1, 0.5, 1.7, 0.9, 0.3, 2.0, 0.35, 2.2, 0.1])
    yield Case({"distances": outside + outside.T, "medoids": torch.tensor([0, 4])}, "an item that suits another group")
    points = torch.tensor([0.0, 4.0, 8.0, 9.0, 10.0, 1.0, 5.0])
    line = (points[:, None] - points).abs()
    yield Case({"distances": line, "medoids": torch.tensor([0, 2])}, "an item as near to one medoid as to the other")
    yield case(generator, 20, 4, "twenty items, four groups")
    yield case(generator, 15, 2, "fifteen items, two groups")


def _one_after_another(distances: Tensor, medoids: Tensor) -> Groups:
    medoids = medoids.clone()
    for group in range(len(medoids)):
        members = distances[:, medoids].argmin(1)
        inside = (members == group).nonzero()[:, 0]
        medoids[group] = inside[distances[inside][:, inside].sum(0).argmin()]
    members = distances[:, medoids].argmin(1)
    return medoids, members, float(distances[torch.arange(len(distances)), medoids[members]].sum())


MEDOID_STEP = Exercise(
    name="medoid_step",
    reference=medoid_step,
    cases=_step_cases,
    mistakes={
        "places_in_the_group": Mistake(
            lambda distances, medoids: (
                lambda found: (
                    torch.stack(
                        [((found[1] == k).nonzero()[:, 0] == found[0][k]).nonzero()[0, 0] for k in range(len(medoids))]
                    ),
                    *found[1:],
                )
            )(_round(distances, medoids)),
            "your medoids are places within their groups, as `argmin` counts them. Which items are these?",
        ),
        "members_by_item": Mistake(
            lambda distances, medoids: (lambda found: (found[0], medoids[found[1]], found[2]))(
                _round(distances, medoids)
            ),
            "your members name the medoids' items. The NUMBER of the group is asked for, from 0.",
        ),
        "one_after_another": Mistake(
            _one_after_another,
            "you assign anew after each group's medoid. Assign once, then choose all medoids.",
        ),
        "farthest": Mistake(
            partial(_round, nearest=lambda to_medoids: to_medoids.argmax(1)),
            "you put each item to the FARTHEST medoid.",
        ),
        "worst_medoid": Mistake(
            partial(_round, best=torch.argmax), "you chose the member with the largest sum of distances."
        ),
        "over_all_items": Mistake(
            partial(
                _round,
                sums=lambda distances, group, candidates: distances[:, candidates].sum(0),
            ),
            "you add up the distances to ALL items. The medoid of a group is nearest to the members of its group.",
        ),
        "any_item": Mistake(
            partial(_round, among=lambda members, group: torch.arange(len(members))),
            "your medoid may come from outside of the group. It is one of its members.",
        ),
        "medoids_kept": Mistake(
            lambda distances, medoids: (lambda found: (medoids.clone(), found[1], found[2]))(
                _round(distances, medoids, of_new=False)
            ),
            "your medoids are the old ones. Choose for each group the member with the smallest sum of distances.",
        ),
        "cost_of_the_old": Mistake(
            partial(_round, of_new=False), "medoids and members are right; your cost is about the old medoids."
        ),
        "mean_cost": Mistake(partial(_round, cost=torch.mean), "your cost is a mean. The sum is asked for."),
        "squared_cost": Mistake(
            partial(_round, cost=lambda own: (own**2).sum()), "you squared the distances in the cost."
        ),
        "reassigned": Mistake(
            lambda distances, medoids: (
                lambda found: (
                    found[0],
                    distances[:, found[0]].argmin(1),
                    float(distances[:, found[0]].amin(1).sum()),
                )
            )(_round(distances, medoids)),
            "you assigned the items once more, to the new medoids. That is the next round.",
        ),
        "farthest_member_counts": Mistake(
            partial(
                _round,
                sums=lambda distances, group, candidates: distances[group][:, candidates].amax(0),
            ),
            "you minimized the largest distance. The sum of the distances is minimized.",
        ),
    },
)


def k_medoids(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> Groups:
    """Return (medoids, members, cost) after rounds from the given medoids, until nothing changes."""
    return _rounds(distances, medoids, n_iterations)


def _rounds(
    distances: Tensor,
    medoids: Tensor,
    n_iterations: int = 100,
    step: Callable[..., Groups] = _round,
    rounds: Callable[[int], int] = lambda n: n,
    assign: bool = True,
) -> Groups:
    """Go round after round, with the pieces open; in the end the items are assigned to the final medoids."""
    members = distances[:, medoids].argmin(1)
    for _ in range(rounds(n_iterations)):
        new, members, _ = step(distances, medoids)
        if torch.equal(new, medoids):
            break
        medoids = new
    if assign:
        members = distances[:, medoids].argmin(1)
    return medoids, members, float(distances[torch.arange(len(distances)), medoids[members]].sum())


def _medoid_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(5)

    def case(
        source: torch.Generator, n: int, k: int, note: str, draw: Callable[..., Tensor] = _distances, **options: Any
    ) -> Case:
        while True:
            distances = draw(source, n)
            # On a line the first medoids all lie at one end, so that they have a long way to go.
            medoids = torch.arange(k) if draw is _line else torch.randperm(n, generator=source)[:k]
            if _is_clear(distances, medoids):
                return Case({"distances": distances, "medoids": medoids, **options}, note)

    yield case(fixed, 30, 3, "thirty items, three groups")
    yield case(fixed, 60, 3, "a single round", _line, n_iterations=1)
    yield case(fixed, 80, 4, "two rounds", _line, n_iterations=2)
    yield case(fixed, 50, 3, "many rounds", _line)
    for n in (24, 40, 60):
        yield case(fixed, n, 3, f"{n} items, distances that are no metric", _no_metric)
    yield case(fixed, 9, 1, "a single group")
    yield case(generator, 50, 4, "fifty items, four groups")
    yield case(generator, 35, 2, "thirty-five items, two groups")


K_MEDOIDS = Exercise(
    name="k_medoids",
    reference=k_medoids,
    cases=_medoid_cases,
    mistakes={
        "one_round": Mistake(
            partial(_rounds, rounds=lambda n: 1),
            "you made one round. Go on until the medoids stay, or n_iterations ends.",
        ),
        "until_nothing_changes": Mistake(
            partial(_rounds, rounds=lambda n: 100), "`n_iterations` plays no part: stop after so many rounds."
        ),
        "mean_cost": Mistake(
            lambda distances, medoids, n_iterations=100: (lambda found: (*found[:2], found[2] / len(distances)))(
                _rounds(distances, medoids, n_iterations)
            ),
            "your cost is a mean. The sum is asked for.",
        ),
        "no_round": Mistake(
            partial(_rounds, rounds=lambda n: 0), "your medoids are still the first ones: they never move."
        ),
        "one_round_more": Mistake(
            partial(_rounds, rounds=lambda n: n + 1), "you make one round more than n_iterations."
        ),
        "members_of_the_last_round": Mistake(
            partial(_rounds, assign=False),
            "your members are those of the last round, about the medoids before. At the end, assign all items to the "
            "final medoids.",
        ),
        "over_all_items": Mistake(
            partial(
                _rounds,
                step=partial(_round, sums=lambda distances, group, candidates: distances[:, candidates].sum(0)),
            ),
            "you add up the distances to ALL items. The medoid of a group is nearest to the members of its group.",
        ),
        "any_item": Mistake(
            partial(_rounds, step=partial(_round, among=lambda members, group: torch.arange(len(members)))),
            "your medoids may come from outside of their groups. A medoid is a member of its group.",
        ),
        "largest_distance": Mistake(
            partial(
                _rounds,
                step=partial(_round, sums=lambda distances, group, candidates: distances[group][:, candidates].amax(0)),
            ),
            "you minimized the largest distance. The sum of the distances is minimized.",
        ),
        "first_group_only": Mistake(
            partial(
                _rounds,
                step=partial(
                    _round,
                    among=lambda members, group: (members == group).nonzero()[:, 0] if group == 0 else members[:0],
                ),
            ),
            "only the first group's medoid moves.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# global_attribution_mapping
# ---------------------------------------------------------------------------------------------------------------------

Mapped = tuple[Tensor, Tensor]


def global_attribution_mapping(attributions: Tensor, medoids: Tensor) -> Mapped:
    """Return (the medoids' normalized attributions, their explanatory power), from the given first medoids."""
    return _whole(attributions, medoids)


def _whole(
    attributions: Tensor,
    medoids: Tensor,
    prepare: Callable[[Tensor], Tensor] = _shares,
    distances: Callable[[Tensor], Tensor] = gam.pairwise_rank_distances,
    rounds: Callable[..., Groups] = _rounds,
    shown: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda raw, values, members, medoids: values[medoids],
    power: Callable[[Tensor, int], Tensor] = lambda members, k: members.bincount(minlength=k) / len(members),
) -> Mapped:
    values = prepare(attributions)
    found, members, _ = rounds(distances(values), medoids)
    return shown(attributions.flatten(1), values, members, found), power(members, len(medoids)).to(attributions)


def _gam_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(6)

    def case(source: torch.Generator, sizes: tuple[int, ...], n_features: int, note: str) -> Case:
        while True:
            found = draw(source, sizes, n_features)
            if _is_clear(gam.pairwise_rank_distances(gam.normalize(found[0])), found[1]):
                return Case({"attributions": found[0], "medoids": found[1]}, note)

    def draw(source: torch.Generator, sizes: tuple[int, ...], n_features: int) -> tuple[Tensor, Tensor]:
        centres = 2 * torch.randn(len(sizes), n_features, generator=source)
        rows = torch.cat(
            [c + 0.8 * torch.randn(n, n_features, generator=source) for c, n in zip(centres, sizes, strict=True)]
        )
        order = torch.randperm(len(rows), generator=source)
        return rows[order], torch.randperm(len(rows), generator=source)[: len(sizes)]

    yield case(fixed, (14, 9), 12, "twenty-three attributions, two groups")
    yield case(fixed, (10, 8, 6), 14, "twenty-four attributions, three groups")
    yield case(generator, (16, 7), 11, "two groups")
    yield case(generator, (9, 12, 5), 13, "three groups")


GLOBAL_ATTRIBUTION_MAPPING = Exercise(
    name="global_attribution_mapping",
    reference=global_attribution_mapping,
    cases=_gam_cases,
    mistakes={
        "unweighted": Mistake(
            partial(_whole, distances=lambda values: gam.pairwise_rank_distances(values, weighted=False)),
            "your distances have no weights: feature i counts by a_i b_i.",
        ),
        "one_round": Mistake(
            partial(_whole, rounds=partial(_rounds, rounds=lambda n: 1)),
            "you made one round. Go on until the medoids stay.",
        ),
        "largest_first": Mistake(
            lambda attributions, medoids: (
                lambda shown, power: (lambda order: (shown[order], power[order]))(power.argsort(descending=True))
            )(*_whole(attributions, medoids)),
            "you sorted the groups by their size. Keep the order of the medoids.",
        ),
        "not_normalized": Mistake(
            partial(_whole, shown=lambda raw, values, members, medoids: raw[medoids]),
            "your explanations are the attributions as they came. Return the normalized ones.",
        ),
        "signs_kept": Mistake(
            partial(
                _whole,
                shown=lambda raw, values, members, medoids: raw[medoids] / raw[medoids].abs().sum(1, keepdim=True),
            ),
            "your explanations have signs. Return |a| / sum |a|.",
        ),
        "means": Mistake(
            partial(
                _whole,
                shown=lambda raw, values, members, medoids: torch.stack(
                    [values[members == k].mean(0) for k in range(len(medoids))]
                ),
            ),
            "your explanations are the means of the groups. A medoid is one of the attributions.",
        ),
        "counts": Mistake(
            partial(_whole, power=lambda members, k: members.bincount(minlength=k).float()),
            "you return how many members each group has. The explanatory power is their share.",
        ),
        "without_the_medoid": Mistake(
            partial(_whole, power=lambda members, k: (members.bincount(minlength=k) - 1) / (len(members) - k)),
            "you left the medoids themselves out of the shares.",
        ),
        "percent": Mistake(
            partial(_whole, power=lambda members, k: 100 * members.bincount(minlength=k) / len(members)),
            "these are percents. A share is from 0 to 1.",
        ),
        "equal": Mistake(
            partial(_whole, power=lambda members, k: torch.full((k,), 1 / k)),
            "your shares are all the same. The explanatory power is the share of the images in each group.",
        ),
        "first_medoids": Mistake(
            partial(_whole, rounds=partial(_rounds, rounds=lambda n: 0)),
            "your medoids are the first ones: k-medoids moves them.",
        ),
        "manhattan": Mistake(
            partial(_whole, distances=lambda values: gam.pairwise_rank_distances(values, "l1")),
            "you compared by the sum of differences. The weighted rank distance is asked for.",
        ),
        "kendall": Mistake(
            partial(_whole, distances=lambda values: gam.pairwise_rank_distances(values, "kendall")),
            "you compared by Kendall's distance. Spearman's is asked for.",
        ),
    },
    properties=[
        Property("the shares sum to 1.", lambda arguments, value: abs(float(value[1].sum()) - 1) < 1e-4),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# A choice: when is the weighted distance 0?
# ---------------------------------------------------------------------------------------------------------------------

BLIND_SPOTS = ValueExercise(
    name="blind_spots",
    expected=frozenset({"same order", "nothing shared"}),
    choices=("same order", "nothing shared", "opposite order", "one feature exchanged"),
    mistakes={
        "same_order_alone": Mistake(
            frozenset({"same order"}),
            "one more: work out a_i b_i for two attributions that name entirely different features.",
        ),
        "nothing_shared_alone": Mistake(
            frozenset({"nothing shared"}), "one more: what are the differences of the ranks if the order is the same?"
        ),
        "opposite": Mistake(
            frozenset({"same order", "nothing shared", "opposite order"}),
            "in the opposite order the ranks differ as much as they can; with shares in both, that counts.",
        ),
        "all": Mistake(
            frozenset({"same order", "nothing shared", "opposite order", "one feature exchanged"}),
            "not all: two of the pairs have features with shares in both, and of different ranks.",
        ),
        "exchanged": Mistake(
            frozenset({"same order", "one feature exchanged"}),
            "an exchange of two features changes two ranks. And what if no feature has a share in both?",
        ),
    },
)

EXERCISES = [
    DISTANCE_BY_HAND,
    NORMALIZE,
    RANK_DISTANCE,
    KENDALL_DISTANCE,
    PAIRWISE_RANK_DISTANCES,
    BLIND_SPOTS,
    MEDOID_STEP,
    K_MEDOIDS,
    GLOBAL_ATTRIBUTION_MAPPING,
]
