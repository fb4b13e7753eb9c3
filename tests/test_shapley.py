"""Shapley values against brute force, shap, captum, closed forms and their axioms."""

from __future__ import annotations

import copy
import itertools
import math
import random
import warnings

import numpy as np
import pytest
import shap
import torch
from captum import attr
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import Tensor, nn

from course_utils import gradient_methods as gm
from course_utils import lime, models, shapley, zoo

# --- games ----------------------------------------------------------------------------------------------------------


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table_game(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> shapley.Game:
    """A game with a random number for each coalition: nothing in it is regular."""
    table = torch.randn(2**n, generator=seeded(seed), dtype=dtype)
    return lambda coalitions: table[(coalitions.long() << torch.arange(n)).sum(1)]


def smooth_game(n: int, seed: int = 0) -> shapley.Game:
    """A game as networks play it: a saturating function of a sum, and some pairs that work together."""
    generator = seeded(seed)
    alone, pairs = torch.rand(n, generator=generator).double(), torch.randn(n, n, generator=generator).double() / n

    def value(coalitions: Tensor) -> Tensor:
        z = coalitions.double()
        return torch.tanh(z @ alone - 1) + torch.einsum("bi,ij,bj->b", z, pairs, z)

    return value


_SUPERPIXELS: dict[int, tuple[int, Tensor]] = {}


def superpixel_table(seed: int) -> tuple[int, Tensor]:
    """The number of superpixels (7 to 9) of an image of the zoo, and the scores of all coalitions, computed once."""
    if seed not in _SUPERPIXELS:
        drawn = zoo.sample(1, seed=seed)
        image, label = drawn.images[0], int(drawn.labels[0])
        segments = lime.segment(image, 9)
        n = int(segments.max()) + 1
        game = shapley.superpixel_game(models.load("zoo"), image, label, segments, batch_size=256)
        rows = (torch.arange(2**n).unsqueeze(1) >> torch.arange(n) & 1).bool()
        _SUPERPIXELS[seed] = n, game(rows).double()
    return _SUPERPIXELS[seed]


def superpixels(seed: int) -> tuple[int, shapley.Game]:
    n, table = superpixel_table(seed)
    return n, lambda coalitions: table[(coalitions.long() << torch.arange(n)).sum(1)]


GAMES = {
    "gloves": (5, lambda: shapley.glove_game(2, 3)),
    "votes": (6, lambda: shapley.voting_game([5, 4, 3, 2, 1, 1], 9)),
    "table": (7, lambda: table_game(7)),
    "smooth": (9, lambda: smooth_game(9)),
    "two": (2, lambda: table_game(2)),
    "one": (1, lambda: table_game(1)),
}
every_game = pytest.mark.parametrize("name", GAMES)


def by_subsets(value: shapley.Game, n: int) -> Tensor:
    """The slides' formula, coalition by coalition."""

    def worth(members: tuple[int, ...]) -> float:
        row = torch.zeros(1, n, dtype=torch.bool)
        row[0, list(members)] = True
        return float(value(row)[0])

    shares = torch.zeros(n, dtype=torch.float64)
    for j in range(n):
        others = [i for i in range(n) if i != j]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for members in itertools.combinations(others, size):
                shares[j] += weight * (worth((*members, j)) - worth(members))
    return shares


def by_orders(value: shapley.Game, n: int) -> Tensor:
    """The mean over all orders of what each player adds when it comes."""
    shares = torch.zeros(n, dtype=torch.float64)
    for order in itertools.permutations(range(n)):
        rows = torch.zeros(n + 1, n, dtype=torch.bool)
        for k, player in enumerate(order):
            rows[k + 1 :, player] = True
        shares[list(order)] += value(rows).double().diff()
    return shares / math.factorial(n)


# --- exact values ---------------------------------------------------------------------------------------------------


@every_game
def test_exact_values_are_the_formula_of_the_slides(name):
    n, game = GAMES[name]
    value = game()
    # The games answer in float32 or float64.
    torch.testing.assert_close(
        shapley.exact_shapley(value, n).double(), by_subsets(value, n), rtol=1e-6, atol=1e-6 if n in (5, 6) else 1e-12
    )


@pytest.mark.parametrize("n", [3, 5, 7])
def test_exact_values_are_the_mean_over_all_orders(n):
    torch.testing.assert_close(shapley.exact_shapley(table_game(n), n), by_orders(table_game(n), n))


def test_brute_force_for_ten_players():
    value = table_game(10, seed=4)
    torch.testing.assert_close(shapley.exact_shapley(value, 10), by_subsets(value, 10), rtol=1e-9, atol=1e-12)


def test_one_left_glove_among_two_right_ones():
    shares = shapley.exact_shapley(shapley.glove_game(1, 2), 3)
    torch.testing.assert_close(shares, torch.tensor([2 / 3, 1 / 6, 1 / 6]))


def test_votes_are_not_power():
    # 4, 3, 2, 1 votes and a quota of 6: player 1 turns 10 of the 24 orders, players 2 and 3 six each, player 4 two.
    shares = shapley.exact_shapley(shapley.voting_game([4, 3, 2, 1], 6), 4)
    torch.testing.assert_close(shares, torch.tensor([10, 6, 6, 2]) / 24)


def test_exact_values_are_those_of_shaps_exact_explainer():
    value, n = smooth_game(8), 8
    explainer = shap.ExactExplainer(lambda rows: value(torch.as_tensor(rows) > 0.5).numpy(), np.zeros((1, n)))
    np.testing.assert_allclose(
        shapley.exact_shapley(value, n).numpy(), explainer(np.ones((1, n))).values[0], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("batch_size", [1, 7, 4096])
def test_the_batch_size_does_not_matter_but_bounds_what_is_asked(batch_size):
    asked = []

    def value(coalitions: Tensor) -> Tensor:
        asked.append(len(coalitions))
        return smooth_game(6)(coalitions)

    shares = shapley.exact_shapley(value, 6, batch_size)
    torch.testing.assert_close(shares, shapley.exact_shapley(smooth_game(6), 6))
    assert max(asked) <= batch_size
    assert sum(asked) == 64


def test_values_have_the_type_of_the_game():
    for dtype in (torch.float32, torch.float64):
        value = table_game(4, dtype=dtype)
        for estimate in (shapley.exact_shapley, shapley.permutation_shapley, shapley.kernel_shap):
            assert estimate(value, 4).dtype == dtype
    assert shapley.exact_shapley(lambda rows: rows.sum(1), 3).tolist() == [1, 1, 1]  # whole numbers


# --- axioms ---------------------------------------------------------------------------------------------------------

ESTIMATES = {
    "exact": shapley.exact_shapley,
    "all coalitions": lambda value, n: shapley.kernel_shap(value, n, n_samples=2**n),
}


@pytest.mark.parametrize("allocate", ESTIMATES.values(), ids=ESTIMATES)
def test_the_shapley_value_keeps_all_axioms(allocate):
    # Players 0 and 1 hold left gloves: symmetric. Player 5 has no vote: a null player. Games in float32.
    gloves = shapley.axiom_gaps(allocate, shapley.glove_game(2, 4), shapley.voting_game([3, 2, 2, 1, 1, 0], 5), 6)
    votes = shapley.axiom_gaps(allocate, shapley.voting_game([3, 2, 2, 1, 1, 0], 5), shapley.glove_game(2, 4), 6)
    for gaps in (gloves, votes):
        assert set(gaps) == {"efficiency", "symmetry", "null player", "linearity"}
        assert max(gaps.values()) < 1e-6


def first_come(value: shapley.Game, n: int) -> Tensor:
    return value(torch.ones(n + 1, n).tril(-1).bool()).diff()


def last_come(value: shapley.Game, n: int) -> Tensor:
    return value(torch.ones(1, n).bool()) - value(~torch.eye(n).bool())


def equal(value: shapley.Game, n: int) -> Tensor:
    ends = value(torch.tensor([[False], [True]]).expand(2, n))
    return ((ends[1] - ends[0]) / n).expand(n)


def in_proportion(value: shapley.Game, n: int) -> Tensor:
    ends, gains = value(torch.tensor([[False], [True]]).expand(2, n)), last_come(value, n)
    return (ends[1] - ends[0]) * gains / gains.sum()


@pytest.mark.parametrize(
    ("allocate", "broken"),
    [(first_come, {"symmetry"}), (last_come, {"efficiency"}), (equal, {"null player"}), (in_proportion, {"linearity"})],
)
def test_other_rules_break_the_axiom_that_they_are_known_to_break(allocate, broken):
    value, other = shapley.voting_game([3, 2, 2, 2, 0], 8), shapley.voting_game([1, 1, 1, 1, 3], 6)
    gaps = shapley.axiom_gaps(allocate, value, other, 5)
    assert {axiom for axiom, gap in gaps.items() if gap > 1e-6} == broken


def test_bad_rules_are_named():
    value = shapley.glove_game(1, 2)
    with pytest.raises(TypeError, match="allocate must return the shares"):
        shapley.axiom_gaps(lambda value, n: [0.0] * n, value, value, 3)
    with pytest.raises(ValueError, match=r"allocate must return the shares \(3,\)"):
        shapley.axiom_gaps(lambda value, n: torch.zeros(2), value, value, 3)


# --- permutation sampling -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("antithetic", [False, True])
@every_game
def test_permutation_sampling_is_the_mean_over_its_orders(name, antithetic):
    n, game = GAMES[name]
    value = game()
    orders = []

    def spy(coalitions: Tensor) -> Tensor:
        orders.append(coalitions)
        return value(coalitions)

    came = shapley.permutation_shapley(spy, n, 6, seeded(), antithetic)
    shares = torch.zeros(6, n, dtype=torch.float64)
    if n > 1:
        assert [len(rows) for rows in orders] == [2, 6 * (n - 1)]
        for walk, share in zip(orders[1].view(6, n - 1, n), shares, strict=True):
            before = torch.zeros(n, dtype=torch.bool)
            for row in [*walk, torch.ones(n, dtype=torch.bool)]:
                player = (row ^ before).nonzero().item()  # one player more each time
                assert not before[player]
                share[player] = float(value(row[None])) - float(value(before[None]))
                before = row
        torch.testing.assert_close(came.double(), shares.mean(0), rtol=1e-6, atol=1e-6)
    assert float(came.sum()) == pytest.approx(float(value(torch.ones(1, n).bool()) - value(torch.zeros(1, n).bool())))


def test_every_second_order_is_the_one_before_backwards():
    rows = []

    def spy(coalitions: Tensor) -> Tensor:
        rows.append(coalitions)
        return coalitions.sum(1).double()

    shapley.permutation_shapley(spy, 5, 8, seeded(), antithetic=True)
    walks = rows[1].view(4, 2, 4, 5)
    # Backwards, who was not yet there comes first: the first k players are those who were missing 5 - k steps on.
    assert torch.equal(walks[:, 1], ~walks[:, 0].flip(1))


def test_all_orders_are_equally_likely():
    firsts = []

    def spy(coalitions: Tensor) -> Tensor:
        firsts.append(coalitions)
        return coalitions.sum(1).double()

    shapley.permutation_shapley(spy, 3, 6000, seeded(), batch_size=100_000)
    walks = firsts[1].view(6000, 2, 3).long() @ torch.tensor([1, 2, 4])
    _, counts = walks.unique(dim=0, return_counts=True)
    # Each of the six about 1,000 times; standard deviation 29.
    assert counts.shape == (6,)
    assert (counts - 1000).abs().max() < 150


@pytest.mark.parametrize("antithetic", [False, True])
def test_the_error_bars_are_honest(antithetic):
    value, n = smooth_game(8), 8
    exact = shapley.exact_shapley(value, n)
    hits, errors, bars = [], [], []
    for seed in range(150):
        estimate, error = shapley.permutation_shapley(
            value, n, 40, seeded(seed), antithetic=antithetic, return_errors=True
        )
        hits.append((estimate - exact).abs() <= 2 * error)
        errors.append((estimate - exact).square())
        bars.append(error.square())
    # Two standard errors of 40 orders (20 pairs) cover 95 % (94 %) if the estimates are normal; here 1,200 of them.
    assert 0.90 < torch.stack(hits).double().mean() < 0.985
    # And the bars' squares are the mean squared errors.
    torch.testing.assert_close(torch.stack(bars).mean(), torch.stack(errors).mean(), rtol=0.15, atol=0)


def test_the_error_falls_with_the_root_of_the_number_of_orders():
    value, n = table_game(7), 7
    exact = shapley.exact_shapley(value, n)

    def error(n_permutations: int) -> float:
        runs = [shapley.permutation_shapley(value, n, n_permutations, seeded(seed)) - exact for seed in range(40)]
        return float(torch.stack(runs).square().mean().sqrt())

    assert error(400) == pytest.approx(error(25) / 4, rel=0.2)  # 280 errors each: good to about 5 %


def test_backward_orders_help_where_the_gains_grow_with_the_company():
    value, n = lambda rows: rows.sum(1).double() ** 2 * 0.1 + rows[:, 0].double(), 8
    exact = shapley.exact_shapley(value, n)
    plain = [shapley.permutation_shapley(value, n, 20, seeded(seed)) for seed in range(10)]
    both = [shapley.permutation_shapley(value, n, 20, seeded(seed), antithetic=True) for seed in range(10)]
    # What a player adds is linear in its place, so that an order and its reverse are right together.
    assert max((estimate - exact).abs().max() for estimate in both) < 1e-9
    assert min((estimate - exact).abs().max() for estimate in plain) > 1e-3


@pytest.mark.parametrize("antithetic", [False, True])
def test_calls_of_permutation_sampling_are_counted(antithetic):
    value = shapley.CountedValue(smooth_game(9))
    shapley.permutation_shapley(value, 9, 20, seeded(), antithetic=antithetic)
    assert value.n_calls == 2 + 20 * 8


# --- the Shapley kernel and KernelSHAP ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 12])
def test_the_kernel_is_the_formula_and_infinite_at_its_ends(n):
    sizes = torch.arange(n + 1)
    weights = shapley.kernel_weight(sizes, n)
    expected = [(n - 1) / (math.comb(n, s) * s * (n - s)) for s in range(1, n)]
    torch.testing.assert_close(weights[1:-1], torch.tensor(expected))
    assert weights[[0, -1]].isinf().all()
    assert torch.equal(shapley.kernel_weight(sizes.view(1, -1, 1), n), weights.view(1, -1, 1))
    assert float(shapley.kernel_weight(1, n)) == pytest.approx(1 / n)


def test_one_player_has_two_infinite_weights():
    assert shapley.kernel_weight(torch.tensor([0, 1]), 1).isinf().all()


@pytest.mark.parametrize("paired", [False, True])
@every_game
def test_with_all_coalitions_kernel_shap_is_exact(name, paired):
    n, game = GAMES[name]
    value = shapley.CountedValue(game())
    came = shapley.kernel_shap(value, n, paired=paired)
    assert value.n_calls == 2**n
    torch.testing.assert_close(came.double(), shapley.exact_shapley(game(), n).double(), rtol=1e-6, atol=1e-6)


def test_over_all_coalitions_it_is_the_constrained_fit_in_the_weights_of_the_kernel():
    """The constrained least squares again, by its Lagrange system."""
    n, value = 8, table_game(8)
    rows = (torch.arange(1, 2**n - 1).unsqueeze(1) >> torch.arange(n) & 1).bool()
    ends = value(torch.tensor([[False], [True]]).expand(2, n))
    z, pi = rows.double(), shapley.kernel_weight(rows.sum(1), n).double()
    system = torch.ones(n + 1, n + 1, dtype=torch.float64)
    system[:n, :n], system[n, n] = z.T @ (pi[:, None] * z), 0
    right = torch.cat([z.T @ (pi * (value(rows) - ends[0])), ends[1:] - ends[:1]])
    torch.testing.assert_close(
        shapley.kernel_shap(value, n), torch.linalg.solve(system, right)[:n], rtol=1e-5, atol=1e-6
    )  # the weights are float32 here


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("n_samples", [2, 3, 20, 61, 200])
def test_the_constraint_holds_exactly_and_the_calls_are_what_was_asked_for(paired, n_samples):
    value = shapley.CountedValue(smooth_game(10))
    came = shapley.kernel_shap(value, 10, n_samples, seeded(), paired)
    ends = smooth_game(10)(torch.tensor([[False], [True]]).expand(2, 10))
    assert float(came.sum()) == pytest.approx(float(ends[1] - ends[0]), abs=1e-12)
    asked = n_samples - n_samples % 2 if paired else n_samples
    assert asked - 2 <= value.n_calls - 2 <= asked  # rounding may cost a coalition or a pair


@pytest.mark.parametrize("paired", [False, True])
def test_no_coalition_is_asked_about_twice_and_pairs_are_pairs(paired):
    rows = []

    def spy(coalitions: Tensor) -> Tensor:
        rows.append(coalitions)
        return smooth_game(8)(coalitions)

    shapley.kernel_shap(spy, 8, 120, seeded(), paired)
    asked = {tuple(row.tolist()) for row in rows[1]}
    assert len(asked) == len(rows[1])
    assert all(0 < sum(row) < 8 for row in asked)
    if paired:
        assert {tuple(not member for member in row) for row in asked} == asked


@pytest.mark.parametrize("paired", [False, True])
def test_sizes_get_coalitions_by_the_weight_of_the_kernel_and_no_player_is_preferred(paired):
    n, sizes, members = 12, torch.zeros(13), torch.zeros(12)
    for seed in range(300):
        rows, weights = shapley._weighted_coalitions(n, 100, paired, seeded(seed))
        sizes += rows.sum(1).bincount(weights, minlength=13)
        members += rows.double().T @ weights
    total = [(n - 1) / (s * (n - s)) for s in range(1, n)]
    torch.testing.assert_close(sizes[1:-1] / 300, torch.tensor(total))
    # By symmetry each player is in half of the weight; 30,000 coalitions.
    torch.testing.assert_close(members / 300, torch.full((12,), sum(total) / 2), rtol=0.02, atol=0)


@pytest.mark.parametrize("paired", [False, True])
def test_players_alone_and_all_but_one_come_first(paired):
    rows, _ = shapley._weighted_coalitions(9, 20, paired, seeded())
    asked = {tuple(row.tolist()) for row in rows}
    for own in torch.eye(9).bool():
        assert {tuple(own.tolist()), tuple((~own).tolist())} <= asked


def test_with_these_alone_effects_of_pairs_are_shared_out_exactly():
    pairs = torch.randn(10, 10, generator=seeded()).double()
    value = lambda rows: torch.einsum("bi,ij,bj->b", rows.double(), pairs, rows.double())  # noqa: E731
    came = shapley.kernel_shap(value, 10, 20, seeded())
    torch.testing.assert_close(came, shapley.exact_shapley(value, 10))


@pytest.mark.parametrize(("n", "size", "count"), [(6, 3, 20), (6, 3, 15), (6, 1, 2), (40, 20, 50), (5, 0, 1)])
def test_drawn_coalitions_are_distinct_and_of_their_size(n, size, count):
    rows = shapley._distinct_coalitions(n, size, count, seeded())
    assert rows.shape == (count, n)
    assert (rows.sum(1) == size).all()
    assert len(rows.unique(dim=0)) == count


@pytest.mark.parametrize("count", [3, 12])
def test_all_coalitions_of_a_size_are_equally_likely(count):
    counts = torch.zeros(64)
    for seed in range(2000):
        rows = shapley._distinct_coalitions(6, 3, count, seeded(seed))
        counts += (rows.long() @ 2 ** torch.arange(6)).bincount(minlength=64)
    expected = 2000 * count / 20
    assert int((counts > 0).sum()) == 20
    # Standard deviation sqrt(2000 p (1 - p)), 16 and 22.
    assert (counts[counts > 0] - expected).abs().max() < 5 * math.sqrt(2000 * count / 20 * (1 - count / 20))


def test_many_players_are_no_trouble():
    for n in (60, 1100):
        weights = torch.randn(n, generator=seeded()).double()
        came = shapley.kernel_shap(lambda rows, w=weights: rows.double() @ w, n, 2 * n + 200, seeded())
        torch.testing.assert_close(came, weights, rtol=1e-6, atol=1e-8)  # additive games are fitted exactly


@pytest.mark.parametrize("paired", [False, True])
def test_kernel_shap_is_that_of_shap_with_all_coalitions(paired):
    n, value = superpixels(3)
    explainer = shap.KernelExplainer(lambda rows: value(torch.as_tensor(rows) > 0.5).numpy(), np.zeros((1, n)))
    theirs = explainer.shap_values(np.ones((1, n)), nsamples=2**n, l1_reg=False, silent=True)[0]
    np.testing.assert_allclose(shapley.kernel_shap(value, n, 2**n, paired=paired).numpy(), theirs, rtol=1e-6, atol=1e-8)


def test_kernel_shap_is_captums_in_the_limit():
    """captum draws coalitions and gives the ends a weight of 1,000,000: with many draws its error is small."""
    drawn = zoo.sample(1, seed=3)
    segments, model = lime.segment(drawn.images[0], 9), models.load("zoo")
    n, value = superpixels(3)
    removed = lime.perturb(drawn.images[0], segments, torch.zeros(1, n, dtype=torch.bool))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = attr.KernelShap(model).attribute(
            drawn.images, baselines=removed, target=drawn.labels, feature_mask=segments[None, None], n_samples=2000,
            perturbations_per_eval=500,
        )  # fmt: skip
    theirs = torch.stack([theirs[0, 0][segments == k][0] for k in range(n)]).double()
    exact = shapley.exact_shapley(value, n)
    # 2,000 draws: an error of a few percent of the largest value is left.
    assert (theirs - exact).abs().max() < 0.06 * exact.abs().max()


# --- how many calls for which error ---------------------------------------------------------------------------------


def rms(estimates: list[Tensor], exact: Tensor) -> float:
    return float(torch.stack([(e.double() - exact).square().mean() for e in estimates]).mean().sqrt() / exact.std())


def shaps_kernel(value: shapley.Game, n: int, n_samples: int, seed: int) -> Tensor:
    explainer = shap.KernelExplainer(lambda rows: value(torch.as_tensor(rows) > 0.5).numpy(), np.zeros((1, n)))
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002 (shap draws from it)
    shares = explainer.shap_values(np.ones((1, n)), nsamples=n_samples, l1_reg=False, silent=True)[0]
    np.random.set_state(state)  # noqa: NPY002
    return torch.as_tensor(shares)


IMAGES = range(3, 9)


def mean_ratio(ours: list[float], theirs: list[float]) -> float:
    """The geometric mean over the images of our error by the peer's."""
    return float(np.exp(np.mean(np.log(ours) - np.log(theirs))))


@pytest.mark.parametrize("times", [2, 4, 8, 16])
def test_for_the_same_calls_the_error_is_not_above_shaps_kernel(times):
    ours, theirs = [], []
    for image in IMAGES:
        n, value = superpixels(image)
        exact = shapley.exact_shapley(value, n)
        n_samples = min(times * n, 2**n - 6)
        ours.append(rms([shapley.kernel_shap(value, n, n_samples, seeded(s)) for s in range(12)], exact))
        theirs.append(rms([shaps_kernel(value, n, n_samples, s) for s in range(12)], exact))
    # The error of an image from 12 runs is good to about 10 %, the mean of six ratios to 6 %; ours is well below.
    assert mean_ratio(ours, theirs) < 1


@pytest.mark.parametrize(("antithetic", "most"), [(False, 1.1), (True, 0.9)])
def test_for_the_same_calls_the_error_is_not_above_captums_permutations(antithetic, most):
    """captum's ShapleyValueSampling takes n coalitions an order and two more; ours n - 1 and two more."""
    ours, theirs = [], []
    for image in IMAGES:
        n, value = superpixels(image)
        exact = shapley.exact_shapley(value, n)
        own_orders = 10 * n // (n - 1) // 2 * 2
        runs = [shapley.permutation_shapley(value, n, own_orders, seeded(s), antithetic) for s in range(30)]
        ours.append(rms(runs, exact))

        def score(rows: Tensor, value: shapley.Game = value) -> Tensor:
            return value(rows > 0.5)

        sampled = []
        for seed in range(30):
            torch.manual_seed(seed)
            sampled.append(attr.ShapleyValueSampling(score).attribute(torch.ones(1, n), n_samples=10)[0])
        theirs.append(rms(sampled, exact))
    # Without pairs of orders both are the same method with about as many orders. The error of an image from 30 runs is
    # good to about 7 %, the mean of six ratios to 4 %.
    assert mean_ratio(ours, theirs) < most


def test_pairs_lower_the_error_on_networks():
    for image in (3, 4):
        n, value = superpixels(image)
        exact = shapley.exact_shapley(value, n)
        alone, paired = (
            rms([shapley.kernel_shap(value, n, 6 * n, seeded(s), p) for s in range(40)], exact) for p in (False, True)
        )
        assert paired < alone


# --- trees ----------------------------------------------------------------------------------------------------------


def tree_data(n_features: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, n_features))
    return x, x[:, 0] * x[:, 1] + (x[:, 2] > 0) + 0.5 * x[:, 3]


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_the_values_of_a_trees_game_are_tree_shap(depth):
    x, y = tree_data()
    tree = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(x, y)
    theirs = shap.TreeExplainer(tree, feature_perturbation="tree_path_dependent").shap_values(x[:5])
    for row, expected in zip(x[:5], theirs, strict=True):
        ours = shapley.exact_shapley(shapley.tree_game(tree, row), 6)
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_the_values_of_a_classifiers_game_are_tree_shap_for_each_class():
    x, y = tree_data()
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, np.digitize(y, [0, 1]))
    theirs = shap.TreeExplainer(tree, feature_perturbation="tree_path_dependent").shap_values(x[:3])
    for row, expected in zip(x[:3], theirs, strict=True):
        for target in range(3):
            ours = shapley.exact_shapley(shapley.tree_game(tree, row, target), 6)
            np.testing.assert_allclose(ours.numpy(), expected[:, target], rtol=1e-9, atol=1e-12)


def test_a_tree_that_knows_all_predicts_and_one_that_knows_nothing_has_the_mean():
    x, y = tree_data()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y))
    tree = DecisionTreeRegressor(max_depth=5, random_state=0).fit(x, y, sample_weight=weights)
    game = shapley.tree_game(tree, x[7])
    assert float(game(torch.ones(1, 6).bool())) == pytest.approx(tree.predict(x[7:8])[0])
    assert float(game(torch.zeros(1, 6).bool())) == pytest.approx(np.average(y, weights=weights))


def test_a_feature_that_equals_the_threshold_goes_left_as_in_scikit_learn():
    rng = np.random.default_rng(1)
    x = 2.0 * rng.integers(0, 3, (80, 4))  # the thresholds lie at 1 and 3
    tree = DecisionTreeRegressor(max_depth=4, random_state=0).fit(x, x[:, 0] * x[:, 1] + x[:, 2])
    for row in rng.integers(0, 6, (20, 4)).astype(float):
        came = shapley.tree_game(tree, row)(torch.ones(1, 4).bool())
        assert float(came) == pytest.approx(tree.predict(row[None])[0])


# --- superpixels ----------------------------------------------------------------------------------------------------


def test_the_superpixel_game_is_the_score_of_the_image_with_what_is_left():
    drawn = zoo.sample(1, seed=3)
    model, segments = models.load("zoo"), lime.segment(drawn.images[0], 9)
    n, label = int(segments.max()) + 1, int(drawn.labels[0])
    rows = lime.sample_coalitions(5, n, seeded())
    for baseline, output in ((None, "score"), (0.5, "probability")):
        game = shapley.superpixel_game(model, drawn.images, label, segments, baseline, output)
        expected = lime.score_coalitions(model, drawn.images[0], label, segments, rows, baseline, output)
        assert torch.equal(game(rows), expected)


# --- GradientSHAP ---------------------------------------------------------------------------------------------------


def net(inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace), nn.AvgPool2d(2),
        nn.Conv2d(4, 5, 3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(20, 4),
    ).eval()  # fmt: skip


def with_max_pool() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 1), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(36, 8), nn.Sigmoid(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


PIXELS, REFERENCES = torch.rand(3, 3, 8, 8, generator=seeded(1)), torch.rand(5, 3, 8, 8, generator=seeded(2))
TARGET = torch.tensor([0, 3, 1])
NET = net()


def difference_of_scores(model: nn.Module, inputs: Tensor, baselines: Tensor) -> Tensor:
    """y(I) less the mean of y over the baselines, each image's target."""
    with torch.no_grad():
        return model(inputs).gather(1, TARGET[:, None])[:, 0] - model(baselines)[:, TARGET].mean(0)


def test_gradient_shap_is_captums_with_the_same_draws():
    model, n_samples = net(), 7
    came = shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES, n_samples, 0.1, seeded(4))
    generator, total = seeded(4), torch.zeros_like(PIXELS)
    for _ in range(n_samples):
        noisy = PIXELS + 0.1 * torch.randn(PIXELS.shape, generator=generator)
        alpha = torch.rand(3, 1, 1, 1, generator=generator)
        baseline = REFERENCES[torch.randint(5, (3,), generator=generator)]
        point = (baseline + alpha * (noisy - baseline)).requires_grad_()
        gradient = attr.Saliency(model).attribute(point, TARGET, abs=False)
        total += (noisy - baseline) * gradient
    torch.testing.assert_close(came, total / n_samples, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("peer", ["captum", "shap"])
def test_gradient_shap_is_captums_and_shaps_in_the_mean(peer):
    model = net()
    ours = shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES, 3000, generator=seeded())
    if peer == "captum":
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = attr.GradientShap(model).attribute(PIXELS, REFERENCES, 3000, 0.0, TARGET)
    else:
        explained = shap.GradientExplainer(model, REFERENCES).shap_values(PIXELS, nsamples=3000, rseed=0)
        theirs = torch.stack([torch.as_tensor(explained[i, ..., TARGET[i]]) for i in range(3)]).float()
    # Two means of 3,000 draws; a share's standard deviation is about its size, so 2 % of the largest is the noise.
    assert (ours - theirs).abs().max() < 0.08 * ours.abs().max()


def test_with_one_baseline_and_many_samples_it_is_integrated_gradients():
    model = net()
    expected = gm.integrated_gradients(model, PIXELS, TARGET, REFERENCES[:1], n_steps=100)
    came = shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES[:1], 2000, generator=seeded())
    assert (came - expected).abs().max() < 0.05 * expected.abs().max()


def test_gradient_shap_sums_to_the_difference_of_the_scores_in_the_mean():
    model = net()
    came = shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES, 2000, generator=seeded())
    expected = difference_of_scores(model, PIXELS, REFERENCES)
    torch.testing.assert_close(came.flatten(1).sum(1), expected, rtol=0.1, atol=0.05 * float(expected.abs().max()))


def test_a_linear_model_needs_one_sample_for_one_baseline():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    came = shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES[:1], 1)
    expected = model[1].weight[TARGET].view_as(PIXELS) * (PIXELS - REFERENCES[:1])
    torch.testing.assert_close(came, expected.detach())


# --- DeepLIFT and DeepSHAP ------------------------------------------------------------------------------------------

DEEP = {"average pooling": net, "in place": lambda: net(inplace=True), "max pooling, tanh, sigmoid": with_max_pool}
every_deep = pytest.mark.parametrize("build", DEEP.values(), ids=DEEP)


@every_deep
@pytest.mark.parametrize("baselines", [None, 0.5, REFERENCES[:1], REFERENCES[:3]])
def test_deep_lift_sums_to_the_difference_of_the_scores(build, baselines):
    model = build()
    came = shapley.deep_lift(model, PIXELS, TARGET, baselines)
    start = torch.zeros_like(PIXELS) + (0.0 if baselines is None else baselines)
    with torch.no_grad():
        expected = (model(PIXELS) - model(start)).gather(1, TARGET[:, None])[:, 0]
    # Exact up to the rounding of float32.
    torch.testing.assert_close(came.flatten(1).sum(1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [net, with_max_pool])
def test_deep_lift_is_captums(build):
    model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = attr.DeepLift(build()).attribute(PIXELS, REFERENCES[:3], TARGET)
    # Here no nonlinearity lies directly before a max pool, where captum errs; different orders of float32 sums.
    torch.testing.assert_close(
        shapley.deep_lift(model, PIXELS, TARGET, REFERENCES[:3]), theirs.detach(), rtol=1e-4, atol=1e-6
    )


def test_deep_shap_is_captums_and_shaps():
    came = shapley.deep_shap(net(), PIXELS, TARGET, REFERENCES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captums = attr.DeepLiftShap(net()).attribute(PIXELS, REFERENCES, TARGET).detach()
        explained = shap.DeepExplainer(net(), REFERENCES).shap_values(PIXELS, check_additivity=False)
    shaps = torch.stack([torch.as_tensor(explained[i, ..., TARGET[i]]) for i in range(3)])
    torch.testing.assert_close(came, captums, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(came, shaps.to(came), rtol=1e-4, atol=1e-5)


@every_deep
def test_deep_shap_is_the_mean_over_the_baselines_one_by_one(build):
    model = build()
    expected = torch.stack([shapley.deep_lift(model, PIXELS, TARGET, b[None]) for b in REFERENCES]).mean(0)
    for batch_size in (1, 13, 100):
        came = shapley.deep_shap(model, PIXELS, TARGET, REFERENCES, batch_size=batch_size)
        torch.testing.assert_close(came, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        came.flatten(1).sum(1), difference_of_scores(model, PIXELS, REFERENCES), rtol=1e-4, atol=1e-5
    )


class Saturated(nn.Module):
    """y = 1 - max(0, 1 - i1 - i2): flat as soon as i1 + i2 > 1."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        return 1 - self.relu(1 - inputs.flatten(1).sum(1, keepdim=True))


def test_saturation_is_solved_by_each_method():
    model, ones, zeros = Saturated().eval(), torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    assert (gm.gradient(model, ones, 0) == 0).all()
    half = torch.full((2,), 0.5)
    game = shapley.superpixel_game(model, ones, 0, torch.tensor([[0, 1]]), baseline=0.0)
    torch.testing.assert_close(shapley.exact_shapley(game, 2), half)
    torch.testing.assert_close(shapley.kernel_shap(game, 2), half)
    torch.testing.assert_close(shapley.permutation_shapley(game, 2, 10, seeded(), antithetic=True), half)
    torch.testing.assert_close(shapley.deep_lift(model, ones, 0, zeros).flatten(), half)
    torch.testing.assert_close(shapley.deep_shap(model, ones, 0, zeros).flatten(), half)
    # Half of the path is flat: 2,000 coins, standard deviation 1.1 %.
    came = shapley.gradient_shap(model, ones, 0, zeros, 2000, generator=seeded())
    torch.testing.assert_close(came.flatten(), half, rtol=0, atol=0.05)


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_shares_of_a_layers_neurons(layer):
    model = net()
    lifted = shapley.deep_lift(model, PIXELS, TARGET, REFERENCES[:1], layer)
    expected = difference_of_scores(model, PIXELS, REFERENCES[:1])
    torch.testing.assert_close(lifted.flatten(1).sum(1), expected, rtol=1e-4, atol=1e-5)
    sampled = shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES[:1], 1500, generator=seeded(), layer=layer)
    assert lifted.shape == sampled.shape == gm.layer_attribution("activation", model, PIXELS, TARGET, layer).shape


# --- nothing is changed ---------------------------------------------------------------------------------------------

DEEP_METHODS = {
    "gradient_shap": lambda model, x: shapley.gradient_shap(model, x, TARGET, REFERENCES, 4, 0.1),
    "deep_lift": lambda model, x: shapley.deep_lift(model, x, TARGET, REFERENCES[:1]),
    "deep_shap": lambda model, x: shapley.deep_shap(model, x, TARGET, REFERENCES),
}
every_method = pytest.mark.parametrize("method", DEEP_METHODS.values(), ids=DEEP_METHODS)


@every_method
@every_deep
def test_networks_images_and_random_states_stay_as_they_are(method, build):
    model, inputs = build(), PIXELS.clone()
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with torch.no_grad():
        first = method(model, inputs)
    assert torch.equal(first, method(model, inputs))
    assert torch.equal(inputs, PIXELS)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._backward_hooks or "forward" in module.__dict__ for module in model)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    with torch.inference_mode():
        torch.testing.assert_close(method(model, inputs), first)


@pytest.mark.parametrize("method", [shapley.deep_lift, shapley.deep_shap])
def test_images_of_a_batch_are_explained_by_themselves(method):
    together = method(NET, PIXELS, TARGET, REFERENCES[:1])
    alone = [method(NET, x[None], int(t), REFERENCES[:1]) for x, t in zip(PIXELS, TARGET, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-6)


def test_the_batch_size_of_gradient_shap_does_not_matter():
    model = net()
    runs = [
        shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES, 9, 0.1, seeded(), batch_size=size)
        for size in (1, 8, 100)
    ]
    for other in runs[1:]:
        torch.testing.assert_close(runs[0], other, rtol=1e-4, atol=1e-6)


def test_progress_bars_if_asked_for(capsys):
    model, value = net(), smooth_game(5)
    calls = {
        "Exact": lambda **o: shapley.exact_shapley(value, 5, **o),
        "Orders": lambda **o: shapley.permutation_shapley(value, 5, 4, **o),
        "Coalitions": lambda **o: shapley.kernel_shap(value, 5, 10, **o),
        "Gradient SHAP": lambda **o: shapley.gradient_shap(model, PIXELS, TARGET, REFERENCES, 3, **o),
        "Deep SHAP": lambda **o: shapley.deep_shap(model, PIXELS, TARGET, REFERENCES, **o),
    }
    for name, call in calls.items():
        call()
        assert capsys.readouterr().err == ""
        call(progress=True)
        assert name in capsys.readouterr().err


@pytest.mark.parametrize(
    "estimate",
    [
        lambda g: shapley.permutation_shapley(smooth_game(6), 6, 4, g),
        lambda g: shapley.kernel_shap(smooth_game(6), 6, 20, g),
        lambda g: shapley.gradient_shap(NET, PIXELS, TARGET, REFERENCES, 3, 0.1, g),
    ],
)
def test_the_seed_decides_and_without_one_nothing_moves(estimate):
    assert torch.equal(estimate(seeded(1)), estimate(seeded(1)))
    assert not torch.equal(estimate(seeded(1)), estimate(seeded(2)))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert torch.equal(estimate(None), estimate(None))
    assert torch.equal(state, torch.get_rng_state())


# --- bad arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimate", [shapley.exact_shapley, shapley.permutation_shapley, shapley.kernel_shap])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (lambda rows: rows.double(), ValueError, r"value must return one number a coalition, \(\d+,\)"),
        (lambda rows: rows.double().sum(), ValueError, "value must return one number a coalition"),
        (lambda rows: rows.double().sum(1, keepdim=True), ValueError, "value must return one number a coalition"),
        (lambda rows: rows.sum(1).tolist(), TypeError, "value must return a tensor"),
        (lambda rows: rows.double().sum(1) / 0, ValueError, "value's results must be finite"),
        (lambda rows: rows.sum(1) * 1j, TypeError, "value must return real numbers"),
        (torch.zeros(8), TypeError, "value must be a function of coalitions"),
    ],
)
def test_bad_games_are_named(estimate, value, error, message):
    with pytest.raises(error, match=message):
        estimate(value, 3)


X, Y = tree_data()
TREE = DecisionTreeRegressor(max_depth=2).fit(X, Y)
FOREST_CLASSES = DecisionTreeClassifier(max_depth=2).fit(X, Y > 0)
TWO_OUTPUTS = DecisionTreeRegressor(max_depth=2).fit(X, X[:, :2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: shapley.exact_shapley(smooth_game(3), 21),
            ValueError,
            "at most 20.*permutation_shapley or kernel_shap",
        ),
        (lambda: shapley.exact_shapley(smooth_game(3), 0), ValueError, "n_players must be at least 1"),
        (lambda: shapley.exact_shapley(smooth_game(3), 3.0), TypeError, "n_players must be a whole number"),
        (lambda: shapley.exact_shapley(smooth_game(3), 3, 0), ValueError, "batch_size must be at least 1"),
        (lambda: shapley.permutation_shapley(smooth_game(3), 3, 0), ValueError, "n_permutations must be at least 1"),
        (
            lambda: shapley.permutation_shapley(smooth_game(3), 3, 5, antithetic=True),
            ValueError,
            "n_permutations must be even",
        ),
        (
            lambda: shapley.permutation_shapley(smooth_game(3), 3, 1, return_errors=True),
            ValueError,
            "n_permutations must be at least 2",
        ),
        (
            lambda: shapley.permutation_shapley(smooth_game(3), 3, 2, antithetic=True, return_errors=True),
            ValueError,
            "n_permutations must be at least 4",
        ),
        (lambda: shapley.permutation_shapley(smooth_game(3), 3, 4, 7), TypeError, "generator must be"),
        (lambda: shapley.kernel_weight(torch.tensor([4]), 3), ValueError, "sizes must be 0 to 3, got 4"),
        (lambda: shapley.kernel_weight(-1, 3), ValueError, "sizes must be 0 to 3"),
        (lambda: shapley.kernel_weight(torch.rand(3), 3), TypeError, "sizes must be an integer"),
        (lambda: shapley.kernel_weight(1, 0), ValueError, "n_players must be at least 1"),
        (lambda: shapley.kernel_shap(smooth_game(3), 3, 0), ValueError, "n_samples must be at least 1"),
        (lambda: shapley.kernel_shap(smooth_game(3), 3, 1), ValueError, "n_samples must be at least 2, one pair"),
        (lambda: shapley.glove_game(0, 2), ValueError, "n_left must be at least 1"),
        (lambda: shapley.glove_game(1, 2)(torch.ones(2, 4).bool()), ValueError, r"coalitions must be \(B, 3\)"),
        (lambda: shapley.glove_game(1, 2)(torch.ones(2, 3)), TypeError, "coalitions must be a bool tensor"),
        (lambda: shapley.voting_game([1, -1], 1), ValueError, "votes must be"),
        (lambda: shapley.voting_game([1, 1], 0), ValueError, "quota must be more than 0"),
        (lambda: shapley.tree_game("tree", X[0]), TypeError, "tree must be a fitted scikit-learn decision tree"),
        (lambda: shapley.tree_game(TREE, X[0, :3]), ValueError, r"x must be the features of one sample, \(6,\)"),
        (lambda: shapley.tree_game(TWO_OUTPUTS, X[0]), ValueError, "tree must have one output, got 2"),
        (lambda: shapley.tree_game(TREE, X[0], 1), ValueError, "target must be None, since the tree is a regressor"),
        (lambda: shapley.tree_game(FOREST_CLASSES, X[0]), ValueError, "target must be a class index"),
        (lambda: shapley.tree_game(FOREST_CLASSES, X[0], 2), ValueError, "target 2 is out of range"),
        (lambda: shapley.gradient_shap(net(), PIXELS, 0, REFERENCES, 0), ValueError, "n_samples must be at least 1"),
        (lambda: shapley.gradient_shap(net(), PIXELS, 0, REFERENCES[0]), ValueError, "baselines must be a batch"),
        (lambda: shapley.gradient_shap(net(), PIXELS, 0, REFERENCES[..., :4]), ValueError, "baselines must be a set"),
        (lambda: shapley.gradient_shap(net(), PIXELS, 0, REFERENCES, stdevs=-1), ValueError, "stdevs must be"),
        (lambda: shapley.gradient_shap(net(), PIXELS, 4, REFERENCES), ValueError, "target 4 is out of range"),
        (lambda: shapley.deep_lift(net(), PIXELS, 0, REFERENCES), ValueError, "baselines must be a number or"),
        (lambda: shapley.deep_lift(net(), PIXELS / 0, 0), ValueError, "inputs must be finite"),
        (lambda: shapley.deep_lift(net(), PIXELS, 0, layer="9"), ValueError, "model has no layer '9'"),
        (lambda: shapley.deep_lift(net().train().append(nn.Dropout()), PIXELS, 0), ValueError, "train mode"),
        (lambda: shapley.deep_shap(net(), PIXELS, 0, 0.5), TypeError, "baselines must be a float tensor"),
        (lambda: shapley.deep_shap(net(), PIXELS, 0, REFERENCES, batch_size=0), ValueError, "batch_size must be"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = net()

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.network(inputs))


@pytest.mark.parametrize("method", [shapley.deep_lift, shapley.deep_shap])
def test_functions_that_deep_lift_cannot_see_are_refused_by_name(method):
    with pytest.raises(ValueError, match=r"deep_lift has no rule.*Relu.*nn.ReLU\(\)"):
        method(Functional().eval(), PIXELS, 0, REFERENCES[:1])
