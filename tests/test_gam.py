"""Global attribution mapping against the slides' pseudo-code run slowly, scipy, kmedoids and planted mixtures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import kmedoids
import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, rankdata, spearmanr
from sklearn.metrics import adjusted_rand_score, silhouette_score
from torch import Tensor

from course_utils import gam, models, zoo
from course_utils import gradient_methods as gm

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(n: int, n_features: int, seed: int) -> Tensor:
    return gam.normalize(torch.randn(n, n_features, generator=seeded(seed)))


# The slides' pseudo-code, line by line


def slow_normalize(attributions: Tensor) -> list[list[float]]:
    return [[abs(v) / sum(abs(w) for w in row) for v in row] for row in attributions.tolist()]


def slow_spearman(a: list[float], b: list[float]) -> float:
    r, s = rankdata(a), rankdata(b)
    return sum(a[i] * b[i] * (r[i] - s[i]) ** 2 for i in range(len(a)))


def slow_kendall(a: list[float], b: list[float]) -> float:
    total = 0.0
    for i, j in itertools.combinations(range(len(a)), 2):
        if (a[i] - a[j]) * (b[i] - b[j]) < 0:
            total += a[i] * a[j] * b[i] * b[j]
    return total


def slow_clusters(
    distances: np.ndarray, medoids: list[int], update_inside: bool = False
) -> tuple[list[int], list[float]]:
    """Step 3 with the lecture's corrections; with update_inside the groups change between clusters, as printed."""
    items, medoids = range(len(distances)), list(medoids)

    def nearest() -> list[int]:
        return [min(range(len(medoids)), key=lambda c: distances[i][medoids[c]]) for i in items]

    def total() -> float:
        return sum(distances[i][medoids[members[i]]] for i in items)

    members, before = nearest(), []
    costs = [total()]
    while medoids != before:
        before = list(medoids)
        for cluster in range(len(medoids)):
            inside = [i for i in items if members[i] == cluster]
            for temporary in inside:
                if sum(distances[i][temporary] for i in inside) < sum(distances[i][medoids[cluster]] for i in inside):
                    medoids[cluster] = temporary
            if update_inside:
                members = nearest()
        members = nearest()
        costs.append(total())
    return medoids, costs


# Normalization


def test_normalized_attributions_are_those_of_the_slides() -> None:
    attributions = torch.randn(5, 7, generator=seeded(0)).double()
    torch.testing.assert_close(gam.normalize(attributions), torch.tensor(slow_normalize(attributions)).double())


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_neither_unit_nor_sign_matters(scale: float) -> None:
    attributions = torch.randn(4, 3, 2, 5, generator=seeded(1))
    came = gam.normalize(attributions * scale)
    assert came.shape == (4, 30)
    torch.testing.assert_close(came, gam.normalize(-attributions))
    torch.testing.assert_close(came.sum(1), torch.ones(4))


# Distances


@pytest.mark.parametrize("metric", ["spearman", "kendall"])
@pytest.mark.parametrize("n_features", [1, 2, 9])
def test_distances_are_those_of_the_definition(metric: str, n_features: int) -> None:
    values = shares(6, n_features, 2).double()
    values = values / values.sum(1, keepdim=True)
    slow = slow_spearman if metric == "spearman" else slow_kendall
    expected = [[slow(a, b) for b in values.tolist()] for a in values.tolist()]
    came = gam.pairwise_rank_distances(values, metric)
    # Sums of the same numbers in another order; the products of ranks up to n^2 lose a few more bits.
    torch.testing.assert_close(came, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", ["spearman", "kendall"])
def test_ties_share_ranks_and_are_in_no_order(metric: str) -> None:
    a, b = torch.tensor([0.4, 0.4, 0.2, 0.0]), torch.tensor([0.1, 0.3, 0.3, 0.3])
    slow = slow_spearman if metric == "spearman" else slow_kendall
    assert float(gam.rank_distance(a, b, metric)) == pytest.approx(slow(a.tolist(), b.tolist()), rel=1e-6)


def test_without_weights_they_are_scipys() -> None:
    n = 12
    values = shares(5, n, 3)
    for i, j in itertools.combinations(range(5), 2):
        a, b = values[i].numpy(), values[j].numpy()
        rho = 1 - 6 * float(gam.rank_distance(values[i], values[j], "spearman", weighted=False)) / (n * (n**2 - 1))
        assert rho == pytest.approx(spearmanr(a, b).statistic, abs=1e-9)
        tau = 1 - 4 * float(gam.rank_distance(values[i], values[j], "kendall", weighted=False)) / (n * (n - 1))
        assert tau == pytest.approx(kendalltau(a, b).statistic, abs=1e-9)


def test_l1_is_the_sum_of_differences() -> None:
    values = shares(4, 6, 4).double()
    expected = (values[:, None] - values[None]).abs().sum(2)
    torch.testing.assert_close(gam.pairwise_rank_distances(values, "l1"), expected)


@pytest.mark.parametrize("metric", gam.METRICS)
def test_distances_are_symmetric_and_blind_to_the_order_of_features(metric: str) -> None:
    values = shares(7, 8, 5)
    came = gam.pairwise_rank_distances(values, metric)
    assert torch.equal(came, came.T) or metric == "l1"
    assert (came >= 0).all() and (came.diagonal() == 0).all()
    turned = values[:, torch.randperm(8, generator=seeded(0))]
    torch.testing.assert_close(gam.pairwise_rank_distances(turned, metric), came)
    rows = torch.randperm(7, generator=seeded(1))
    torch.testing.assert_close(gam.pairwise_rank_distances(values[rows], metric), came[rows][:, rows])


def test_with_weights_disjoint_attributions_have_no_distance() -> None:
    """A flaw of the paper's distances, which the lecture shows: they are no metrics."""
    a, b = torch.tensor([0.7, 0.3, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.2, 0.8])
    for metric in ("spearman", "kendall"):
        assert float(gam.rank_distance(a, b, metric)) == 0
        assert float(gam.rank_distance(a, b, metric, weighted=False)) > 0
    assert float(gam.rank_distance(a, b, "l1")) == pytest.approx(2)


def test_kendall_in_parts_is_kendall_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = shares(300, 12, 6)
    whole = gam.pairwise_rank_distances(values, "kendall")
    monkeypatch.setattr(gam, "PAIRS_PER_PASS", 1000)
    torch.testing.assert_close(gam.pairwise_rank_distances(values, "kendall"), whole)


def test_a_bar_is_shown_when_asked_for(capsys: pytest.CaptureFixture) -> None:
    gam.pairwise_rank_distances(shares(4, 5, 0), "kendall")
    assert capsys.readouterr().err == ""
    gam.pairwise_rank_distances(shares(4, 5, 0), "kendall", progress=True)
    assert "Pairs of features" in capsys.readouterr().err


# k-medoids


def mixture(sizes: tuple[int, ...], seed: int, spread: float = 0.05) -> tuple[Tensor, np.ndarray]:
    """Attributions about planted centres, and which centre each one has."""
    centres = shares(len(sizes), 10, seed + 50).double()
    labels = np.repeat(np.arange(len(sizes)), sizes)
    noise = spread * torch.rand(len(labels), 10, generator=seeded(seed)).double()
    return gam.normalize(centres[torch.as_tensor(labels)] + noise), labels


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_one_start_is_the_slides_pseudo_code(k: int) -> None:
    values = shares(25, 6, 7)
    distances = gam.pairwise_rank_distances(values, "l1")
    start = torch.randperm(25, generator=seeded(3))[:k]
    medoids, costs = slow_clusters(distances.numpy(), start.tolist())
    came = gam.k_medoids(distances, k, generator=seeded(3), n_restarts=1)
    assert sorted(came.medoids.tolist()) == sorted(medoids)
    assert came.costs == pytest.approx(costs)
    assert gam.improve(distances, start).medoids.tolist() == medoids


def test_the_slides_pseudo_code_as_printed_has_costs_of_0_or_another_order() -> None:
    """What the lecture says of its slips: an attribution's distance to itself is 0; groups updated between clusters."""
    distances = gam.pairwise_rank_distances(shares(40, 6, 7), "l1")
    assert (distances.diagonal() == 0).all()
    ends = []
    for seed in range(8):
        start = torch.randperm(40, generator=seeded(seed))[:4]
        _, costs = slow_clusters(distances.numpy(), start.tolist(), update_inside=True)
        assert falls(costs)
        ends.append((gam.improve(distances, start).cost, costs[-1]))
    assert any(after != pytest.approx(within, rel=1e-6) for after, within in ends)


def falls(costs: Sequence[float]) -> bool:
    """Say whether no cost is higher than the one before.

    Each is a sum of some dozen float64 numbers >= 0 in an order of its own, good to about 1e-14 of itself; a step that
    really raises the cost does so by the difference of two distances.
    """
    return all(later <= earlier * (1 + 1e-9) for earlier, later in itertools.pairwise(costs))


@pytest.mark.parametrize("metric", gam.METRICS)
@pytest.mark.parametrize("seed", range(4))
def test_the_cost_never_rises_and_is_that_of_the_groups(metric: str, seed: int) -> None:
    distances = gam.pairwise_rank_distances(shares(40, 8, seed), metric)
    for k in (2, 4):
        came = gam.k_medoids(distances, k, generator=seeded(seed), n_restarts=1)
        assert falls(came.costs)
        assert came.cost == came.costs[-1]
        own = distances[torch.arange(40), came.medoids[came.members]]
        assert came.cost == pytest.approx(float(own.sum()), rel=1e-9)
        assert len(set(came.medoids.tolist())) == k
        assert (came.members[came.medoids] == torch.arange(k)).all()
        sizes = came.members.bincount(minlength=k)
        assert (sizes > 0).all() and (sizes.diff() <= 0).all()


def test_the_costs_are_those_of_the_rounds_as_they_are() -> None:
    distances = gam.pairwise_rank_distances(shares(60, 8, 5), "l1")
    first = torch.tensor([0, 1, 2, 3])
    came = gam.improve(distances, first)
    assert len(came.costs) > 3
    for n, cost in enumerate(came.costs[1:], start=1):
        part = gam.improve(distances, first, n)
        own = sum(float(distances[i, part.medoids[part.members[i]]]) for i in range(60))
        assert cost == pytest.approx(own, rel=1e-9)
    assert came.costs[0] == pytest.approx(float(distances[:, first].amin(1).sum()), rel=1e-9)


def test_a_step_that_makes_it_worse_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    distances = gam.pairwise_rank_distances(shares(60, 8, 5), "l1")
    assign, calls = gam._assign, []

    def forgetful(distances: Tensor, medoids: Tensor) -> tuple[Tensor, float]:
        calls.append(medoids)
        if len(calls) == 1:
            return assign(distances, medoids)
        members = torch.zeros(len(distances), dtype=torch.long)  # all to the first medoid
        return members, float(distances[:, medoids[0]].sum())

    monkeypatch.setattr(gam, "_assign", forgetful)
    assert not falls(gam.improve(distances, torch.tensor([0, 1, 2, 3])).costs)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_the_cost_is_near_that_of_kmedoids(k: int) -> None:
    for seed in range(3):
        distances = gam.pairwise_rank_distances(shares(120, 8, 20 + seed), "l1")
        ours = gam.k_medoids(distances, k, generator=seeded(seed), n_restarts=30).cost
        peer = min(kmedoids.fasterpam(distances.numpy(), k, random_state=s).loss for s in range(10))
        # Swaps (fasterpam) can leave minima in which alternating gets stuck: a few percent on data without groups.
        assert ours <= 1.04 * peer


def test_improving_keeps_the_order_of_the_medoids() -> None:
    distances = gam.pairwise_rank_distances(shares(40, 6, 3), "l1")
    first = torch.tensor([5, 9, 30])
    came, turned = gam.improve(distances, first), gam.improve(distances, first.flip(0))
    assert torch.equal(came.medoids, turned.medoids.flip(0))
    assert torch.equal(came.members, 2 - turned.members)
    assert gam.improve(distances, came.medoids).cost == came.cost
    assert gam.improve(distances, first, 1).cost >= came.cost


def test_more_starts_never_cost_more() -> None:
    distances = gam.pairwise_rank_distances(shares(60, 8, 9), "spearman")
    costs = [gam.k_medoids(distances, 4, generator=seeded(0), n_restarts=n).cost for n in (1, 5, 25)]
    assert costs[0] >= costs[1] >= costs[2]


@pytest.mark.parametrize("metric", ["spearman", "l1"])
@pytest.mark.parametrize("sizes", [(30, 30), (40, 20, 10), (12, 11, 10, 9)])
def test_a_planted_mixture_comes_back(metric: str, sizes: tuple[int, ...]) -> None:
    values, labels = mixture(sizes, seed=1)
    came = gam.global_attribution_mapping(values, len(sizes), metric, generator=seeded(0))
    assert adjusted_rand_score(labels, came.members.numpy()) > 0.95
    expected = torch.tensor(sorted(sizes, reverse=True)).double() / sum(sizes)
    assert (came.explanatory_power - expected).abs().max() <= 0.05
    assert float(came.explanatory_power.sum()) == pytest.approx(1)


def test_duplicates_do_not_empty_a_group() -> None:
    values = gam.normalize(torch.tensor([[1.0, 2.0, 3.0]]).repeat(6, 1))
    came = gam.global_attribution_mapping(values, 3, generator=seeded(0))
    assert (came.explanatory_power > 0).all() and came.cost == 0


def test_as_many_groups_as_items_cost_nothing() -> None:
    distances = gam.pairwise_rank_distances(shares(9, 5, 1), "l1")
    assert gam.k_medoids(distances, 9, generator=seeded(0)).cost == 0


def test_the_same_seed_gives_the_same_groups_and_leaves_the_global_state() -> None:
    distances = gam.pairwise_rank_distances(shares(30, 5, 1), "spearman")
    before = torch.get_rng_state()
    first, second = (gam.k_medoids(distances, 3, generator=seeded(4)) for _ in range(2))
    assert torch.equal(first.members, second.members)
    gam.k_medoids(distances, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_silhouettes_are_scikit_learns_and_name_the_planted_number() -> None:
    values, _ = mixture((25, 20, 15), seed=3)
    distances = gam.pairwise_rank_distances(values, "l1")
    came = gam.silhouettes(distances, (2, 3, 4), generator=seeded(0))
    assert max(came, key=came.get) == 3
    members = gam.k_medoids(distances, 3, generator=seeded(1)).members.numpy()
    assert came[3] == pytest.approx(silhouette_score(distances.numpy(), members, metric="precomputed"), abs=1e-9)


# The whole, on images


def test_cells_add_up_sizes() -> None:
    maps = torch.randn(3, 2, 8, 12, generator=seeded(0))
    came = gam.cells(maps, (2, 3))
    total = maps.sum(1).abs()
    expected = [
        [float(m[4 * r : 4 * r + 4, 4 * c : 4 * c + 4].sum()) for r in range(2) for c in range(3)] for m in total
    ]
    torch.testing.assert_close(came, torch.tensor(expected))
    torch.testing.assert_close(gam.cells(maps.sum(1), (2, 3)), came)
    assert gam.cells(torch.rand(2, 64, 64)).shape == (2, 64)


def test_the_cheat_is_found_and_the_honest_network_is_not_accused() -> None:
    """Fixed beforehand: integrated gradients, grey baseline, 8 x 8 cells, two groups."""
    drawn = [zoo.sample(60, seed=s, classes=["horse"], tag=tag) for s, tag in ((301, True), (302, None))]
    images, truth = torch.cat([part.images for part in drawn]), np.repeat([1, 0], 60)
    scores = {}
    for name in ("zoo-tagged", "zoo"):
        maps = gm.integrated_gradients(models.load(name), images, zoo.CLASSES.index("horse"), 0.5, n_steps=16)
        for metric in ("spearman", "l1"):
            found = gam.global_attribution_mapping(gam.cells(maps), 2, metric, generator=seeded(0))
            scores[name, metric] = adjusted_rand_score(truth, found.members.numpy())
    assert scores["zoo-tagged", "l1"] > 0.7 and scores["zoo-tagged", "spearman"] > 0.25
    assert all(abs(scores["zoo", metric]) < 0.1 for metric in ("spearman", "l1"))


# Bad input

VALUES = shares(5, 4, 0)
DISTANCES = gam.pairwise_rank_distances(VALUES, "l1")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gam.normalize([[1.0]]), TypeError, "attributions must be a tensor"),
        (lambda: gam.normalize(torch.ones(3)), ValueError, "attributions must be real numbers"),
        (lambda: gam.normalize(torch.ones(3, 2).long()), ValueError, "attributions must be real numbers"),
        (
            lambda: gam.normalize(torch.tensor([[1.0, 2.0], [0.0, 0.0]])),
            ValueError,
            r"attributions\[1\] is 0 everywhere",
        ),
        (lambda: gam.normalize(torch.tensor([[float("nan"), 2.0]])), ValueError, "attributions must be finite|NaN|nan"),
        (lambda: gam.rank_distance(VALUES[0], VALUES[1, :3]), ValueError, "the same features"),
        (lambda: gam.rank_distance(VALUES, VALUES), ValueError, r"one attribution \(F,\)"),
        (lambda: gam.rank_distance([0.5, 0.5], VALUES[0]), TypeError, "a must be a tensor"),
        (lambda: gam.pairwise_rank_distances(VALUES, "cosine"), ValueError, "metric must be one of 'spearman'"),
        (lambda: gam.pairwise_rank_distances(2 * VALUES), ValueError, "must be normalized"),
        (lambda: gam.pairwise_rank_distances(-VALUES), ValueError, "must be normalized"),
        (lambda: gam.pairwise_rank_distances(VALUES[0]), ValueError, r"real numbers \(N, F\)"),
        (lambda: gam.k_medoids(DISTANCES, 6), ValueError, "n_clusters must be at most the number of items, 5"),
        (lambda: gam.k_medoids(DISTANCES, 0), ValueError, "n_clusters must be at least 1"),
        (lambda: gam.k_medoids(DISTANCES, 2, n_restarts=0), ValueError, "n_restarts must be at least 1"),
        (lambda: gam.k_medoids(DISTANCES[:3], 2), ValueError, "distances must be square"),
        (lambda: gam.k_medoids(DISTANCES - 1, 2), ValueError, "at least 0, and 0 on the diagonal"),
        (lambda: gam.k_medoids(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), 2), ValueError, "must be symmetric"),
        (lambda: gam.k_medoids(DISTANCES.tolist(), 2), TypeError, "distances must be a tensor"),
        (lambda: gam.improve(DISTANCES, torch.tensor([0, 0])), ValueError, "different indices from 0 to 4"),
        (lambda: gam.improve(DISTANCES, torch.tensor([0, 7])), ValueError, "different indices from 0 to 4"),
        (lambda: gam.improve(DISTANCES, [0, 1]), ValueError, "medoids must be indices"),
        (lambda: gam.silhouettes(DISTANCES, (1,)), ValueError, "n_clusters must be from 2 to 4"),
        (lambda: gam.silhouettes(DISTANCES, (5,)), ValueError, "n_clusters must be from 2 to 4"),
        (lambda: gam.cells(torch.rand(2, 9, 9), 2), ValueError, "size must divide the maps' 9 x 9"),
        (lambda: gam.silhouettes(DISTANCES, 3), TypeError, "n_clusters must be numbers of groups"),
        (lambda: gam.cells(torch.rand(9, 9), 3), ValueError, "attributions must be maps"),
        (lambda: gam.cells(torch.full((2, 8, 8), float("nan"))), ValueError, "attributions must be finite, got 128"),
        (lambda: gam.cells(torch.full((1, 8, 8), float("inf"))), ValueError, "attributions must be finite, got 64"),
        (lambda: gam.cells(torch.rand(2, 8, 8), "a"), TypeError, "size must be a whole number or a pair"),
        (lambda: gam.cells(torch.rand(2, 8, 8), (2, 2, 2)), ValueError, "size must be .* got 3 numbers"),
        (lambda: gam.cells(torch.rand(2, 8, 8), 0), ValueError, "size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
