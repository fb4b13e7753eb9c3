"""Shapley values: a fair share of what players win together, and SHAP, which makes the parts of an image the players.

A game is a function `value` of coalitions, bool (B, n): row by row it says what the players in the coalition win, (B,).
The Shapley value of player j is the mean of what j adds, over all orders in which the players can come,

    phi_j = sum over S without j of  |S|! (n - |S| - 1)! / n!  (v(S + j) - v(S)).

Exact values take 2^n coalitions. With more players the mean is estimated, from some orders (`permutation_shapley`) or
by the linear model g(z') = phi_0 + sum_j phi_j z'_j that fits some coalitions best, in the weights of the Shapley
kernel (`kernel_shap`: LIME with another kernel and a constraint). If the players are the pixels of a network there are
faster ways: GradientSHAP averages gradients, DeepLIFT and DeepSHAP walk back through the layers.

Sources: Shapley 1953, "A value for n-person games"; Castro et al. 2009 (permutations); Lundberg and Lee 2017 (SHAP,
DeepSHAP); Covert and Lee 2021 (paired sampling); Erion et al. 2021 (expected gradients); Shrikumar et al. 2017
(DeepLIFT); Lundberg et al. 2020 (TreeSHAP).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from course_utils import lime
from course_utils.checking import (
    check_baseline_set,
    check_baselines,
    check_call,
    check_count,
    check_finite,
    check_index,
    check_not_negative,
    class_scores,
    draw,
    find_layer,
    random_source,
)
from course_utils.passes import (
    LINEAR,
    Layer,
    activation_and_gradient,
    activation_of,
    backward,
    forward_replaced,
    in_steps,
    known_pass,
    layer_output,
    leaf,
    only_output,
    own_forward,
    recording,
    save,
    value_and_gradient,
)

Game = Callable[[Tensor], Tensor]
Allocation = Callable[[Game, int], Tensor]

# ---------------------------------------------------------------------------------------------------------------
# Games
# ---------------------------------------------------------------------------------------------------------------


def glove_game(n_left: int, n_right: int) -> Game:
    """Return the glove game: a coalition is worth its number of pairs.

    Args:
        n_left: the first n_left players hold a left glove each.
        n_right: the other players hold a right glove each.

    Returns:
        the game of n_left + n_right players: bool (B, n) to (B,).

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    n = check_count(n_left, "n_left") + check_count(n_right, "n_right")

    def value(coalitions: Tensor) -> Tensor:
        coalitions = _check_players(coalitions, n).to(torch.get_default_dtype())
        return torch.minimum(coalitions[:, :n_left].sum(1), coalitions[:, n_left:].sum(1))

    return value


def voting_game(votes: Sequence[float], quota: float) -> Game:
    """Return the voting game: a coalition is worth 1 if its votes reach the quota, else 0.

    Args:
        votes: how many votes each player has, at least 0.
        quota: how many are needed to win, more than 0.

    Returns:
        the game of len(votes) players: bool (B, n) to (B,).

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    weights = torch.tensor([check_not_negative(v, "votes") for v in votes], dtype=torch.float64)
    if check_not_negative(quota, "quota") == 0:
        raise ValueError("quota must be more than 0, got 0.0")

    def value(coalitions: Tensor) -> Tensor:
        coalitions = _check_players(coalitions, len(weights))
        return (coalitions.double() @ weights.to(coalitions.device) >= quota).to(torch.get_default_dtype())

    return value


def superpixel_game(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    baseline: float | Tensor | None = None,
    output: str = "score",
    batch_size: int = 64,
) -> Game:
    """Return the game whose players are superpixels: a coalition is worth the score of the image with no others.

    Args:
        model, image, target, segments, baseline, output, batch_size: as in `lime.score_coalitions`.

    Returns:
        the game of as many players as superpixels: bool (B, n) to (B,), in units of the score.

    Raises:
        TypeError, ValueError: a bad argument, by name, when the game is played.
    """

    def value(coalitions: Tensor) -> Tensor:
        return lime.score_coalitions(model, image, target, segments, coalitions, baseline, output, batch_size)

    return value


def tree_game(tree: object, x: Sequence[float], target: int | None = None) -> Game:
    """Return the game that TreeSHAP solves: what a decision tree expects if it knows the coalition's features alone.

    At a split by a feature in the coalition the tree goes the way of x. At a split by another feature it goes both
    ways, and takes the mean, weighted by the training samples that went there.

    Args:
        tree: a fitted scikit-learn DecisionTreeRegressor or DecisionTreeClassifier, of one output.
        x: the features of one sample, (n_features,).
        target: for a classifier the class index whose probability is explained.

    Returns:
        the game of n_features players: bool (B, n) to (B,), in units of the prediction.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Lundberg et al. 2020, algorithm 1 (feature_perturbation="tree_path_dependent" in shap).
    """
    nodes = getattr(tree, "tree_", None)
    if nodes is None:
        raise TypeError(f"tree must be a fitted scikit-learn decision tree, got {type(tree).__name__}")
    if nodes.n_outputs > 1:
        raise ValueError(f"tree must have one output, got {nodes.n_outputs}: fit one tree for each of them")
    x = np.asarray(x, dtype=np.float32)  # scikit-learn compares in float32
    if x.shape != (nodes.n_features,):
        raise ValueError(f"x must be the features of one sample, ({nodes.n_features},), got shape {x.shape}")
    values, samples = nodes.value[:, 0], nodes.weighted_n_node_samples
    if hasattr(tree, "classes_"):
        if target is None:
            raise ValueError("target must be a class index, since the tree is a classifier, got None")
        check_index("target", target, values.shape[1], "the tree's classes")
        values = (values / values.sum(1, keepdims=True))[:, target]
    elif target is not None:
        raise ValueError(f"target must be None, since the tree is a regressor, got {target!r}")
    else:
        values = values[:, 0]

    def expectation(node: int, coalitions: Tensor) -> Tensor:
        left, right = nodes.children_left[node], nodes.children_right[node]
        if left == right:  # a leaf
            return torch.full((len(coalitions),), float(values[node]), dtype=torch.float64)
        feature = nodes.feature[node]
        below = expectation(left, coalitions), expectation(right, coalitions)
        known = below[0] if x[feature] <= nodes.threshold[node] else below[1]
        unknown = (samples[left] * below[0] + samples[right] * below[1]) / samples[node]
        return torch.where(coalitions[:, feature], known, unknown)

    def value(coalitions: Tensor) -> Tensor:
        return expectation(0, _check_players(coalitions, len(x)).cpu())

    return value


class CountedValue:
    """A game that counts how many coalitions it was asked about."""

    def __init__(self, value: Game) -> None:
        self.value = value
        self.n_calls = 0

    def __call__(self, coalitions: Tensor) -> Tensor:
        self.n_calls += len(coalitions)
        return self.value(coalitions)


# ---------------------------------------------------------------------------------------------------------------
# Exact values
# ---------------------------------------------------------------------------------------------------------------

MOST_PLAYERS = 20


def exact_shapley(value: Game, n_players: int, batch_size: int = 4096, progress: bool = False) -> Tensor:
    """Return the Shapley values, from all 2^n coalitions.

    phi_j is the sum over the coalitions S without j of |S|! (n - |S| - 1)! / n! (v(S + j) - v(S)).

    Args:
        value: the game, bool (B, n) to (B,).
        n_players: n, at most 20 (a million coalitions).
        batch_size: coalitions that the game is asked about at once; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (n,), in units of the game, of its dtype.

    Raises:
        TypeError, ValueError: a bad argument, by name; a game that does not return (B,).

    Source: Shapley 1953; the course document 003, "Shapley values: math".
    """
    won = _all_values(value, n_players, batch_size, progress)
    sizes = _numbered(range(2 ** (n_players - 1)), n_players - 1).sum(1)  # of all coalitions without one player
    weights = [1 / (n_players * math.comb(n_players - 1, s)) for s in range(n_players)]  # |S|! (n - |S| - 1)! / n!
    weight = torch.tensor(weights, dtype=torch.float64)[sizes].view([2] * (n_players - 1)).to(won.device)
    won_by_digit = won.double().view([2] * n_players)
    return torch.stack([(weight * _added(won_by_digit, j)).sum() for j in range(n_players)]).to(won)


def _all_values(value: Game, n_players: int, batch_size: int, progress: bool) -> Tensor:
    """Return v of all 2^n coalitions, by their numbers."""
    if check_count(n_players, "n_players") > MOST_PLAYERS:
        raise ValueError(
            f"n_players must be at most {MOST_PLAYERS} for all 2^n coalitions, got {n_players}: use "
            "permutation_shapley or kernel_shap, which ask about some of them"
        )
    return _evaluated(
        value,
        lambda numbers: _numbered(numbers, n_players),
        2**n_players,
        batch_size,
        progress,
        "Exact Shapley values",
    )


def _numbered(numbers: range, n_players: int) -> Tensor:
    """Return coalitions by number, bool (B, n): player j is the j-th digit of the number, written in base 2."""
    digits = torch.arange(n_players - 1, -1, -1)
    return (torch.arange(numbers.start, numbers.stop).unsqueeze(1) >> digits & 1).bool()


def _added(won_by_digit: Tensor, player: int) -> Tensor:
    """Return v(S + j) - v(S) for each coalition S without j, (2, ..., 2)."""
    return won_by_digit.select(player, 1) - won_by_digit.select(player, 0)


def _evaluated(
    value: Game, coalitions: Callable[[range], Tensor], n: int, batch_size: int, progress: bool, name: str
) -> Tensor:
    """Ask the game about coalitions number 0 ... n - 1, a batch at a time, and check what it says; (n,)."""
    if not callable(value):
        raise TypeError(f"value must be a function of coalitions, bool (B, n) to (B,), got {type(value).__name__}")
    batches = in_steps(n, check_count(batch_size, "batch_size"), progress, name)
    return torch.cat([_checked_values(value, coalitions(numbers)) for numbers in batches])


def _checked_values(value: Game, coalitions: Tensor) -> Tensor:
    rows = len(coalitions)
    won = value(coalitions)
    if not isinstance(won, Tensor):
        raise TypeError(f"value must return a tensor ({rows},) for {rows} coalitions, got {type(won).__name__}")
    if won.shape != (rows,):
        raise ValueError(
            f"value must return one number a coalition, ({rows},) for coalitions {tuple(coalitions.shape)}, got shape "
            f"{tuple(won.shape)}"
        )
    if won.is_complex():
        raise TypeError(f"value must return real numbers, got {won.dtype}")
    check_finite(won, "value's results")
    return won.detach() if won.is_floating_point() else won.to(torch.get_default_dtype())


# ---------------------------------------------------------------------------------------------------------------
# From some orders: permutation sampling
# ---------------------------------------------------------------------------------------------------------------


def permutation_shapley(
    value: Game,
    n_players: int,
    n_permutations: int = 100,
    generator: torch.Generator | None = None,
    antithetic: bool = False,
    return_errors: bool = False,
    batch_size: int = 4096,
    progress: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Estimate the Shapley values by the mean over random orders of what each player adds when it comes.

    Takes 2 + n_permutations (n - 1) coalitions: the empty and the full one are asked about once. In each order the
    gains sum to v(all) - v(empty), and so do the estimates.

    Args:
        value: the game, bool (B, n) to (B,).
        n_players: n.
        n_permutations: number of orders.
        generator: source of the orders; without one, a copy of torch's default generator.
        antithetic: let every second order be the one before it, backwards (n_permutations must be even): who came early
            comes late. It helps where a player's gain falls or grows steadily with the company.
        return_errors: return the standard errors, too.
        batch_size: most coalitions that the game is asked about at once, but at least one order's; the answer does not
            depend on it.
        progress: show a progress bar.

    Returns:
        (n,), in units of the game, of its dtype; with return_errors a pair, the estimates and their standard errors:
        the standard deviation over the orders (over the pairs of orders, if antithetic) by the square root of their
        number.

    Raises:
        TypeError, ValueError: a bad argument, by name; a game that does not return (B,).

    Source: Castro, Gomez and Tejada 2009; Mitchell et al. 2022, section 4.1 (antithetic).
    """
    n = check_count(n_players, "n_players")
    check_count(n_permutations, "n_permutations")
    if antithetic and n_permutations % 2:
        raise ValueError(f"n_permutations must be even with antithetic=True, got {n_permutations}")
    n_units = n_permutations // 2 if antithetic else n_permutations  # what is drawn independently
    if return_errors and n_units < 2:
        least = 4 if antithetic else 2
        raise ValueError(f"n_permutations must be at least {least} for standard errors, got {n_permutations}")
    generator = random_source(generator)
    place = torch.rand(n_units, n, generator=generator, device=generator.device).cpu().argsort(1)  # of each player
    if antithetic:
        place = torch.stack([place, n - 1 - place], 1).flatten(0, 1)

    nobody, all_players = _ends(value, n)
    steps = torch.arange(1, n).view(-1, 1)  # how many players have come
    gains = []
    per_pass = max(1, check_count(batch_size, "batch_size") // n)
    for numbers in in_steps(n_permutations, per_pass, progress, "Orders"):
        places = place[numbers.start : numbers.stop]
        won = torch.zeros(len(places), n + 1, dtype=torch.float64, device=nobody.device)
        won[:, 0], won[:, -1] = nobody, all_players
        if n > 1:
            coalitions = places.unsqueeze(1) < steps  # (orders, n - 1, n)
            won[:, 1:-1] = _checked_values(value, coalitions.flatten(0, 1)).view(len(places), n - 1)
        gains.append(won.diff(dim=1).gather(1, places.to(won.device)))
    gains = torch.cat(gains)
    if antithetic:
        gains = gains.view(n_units, 2, n).mean(1)
    estimates = gains.mean(0).to(nobody)
    return (estimates, (gains.std(0) / math.sqrt(n_units)).to(nobody)) if return_errors else estimates


def _ends(value: Game, n_players: int) -> tuple[Tensor, Tensor]:
    """Return v(empty) and v(all), (1,) each."""
    ends = torch.tensor([[False], [True]]).expand(2, n_players)
    won = _evaluated(value, lambda numbers: ends[numbers.start : numbers.stop].clone(), 2, 2, False, "")
    return won[:1], won[1:]


# ---------------------------------------------------------------------------------------------------------------
# From some coalitions: a linear model in the weights of the Shapley kernel
# ---------------------------------------------------------------------------------------------------------------


def kernel_weight(sizes: int | Tensor, n_players: int) -> Tensor:
    """Return the Shapley kernel, pi(s) = (n - 1) / (C(n, s) s (n - s)), for coalitions of s of the n players.

    The empty and the full coalition have an infinite weight: the linear model has to meet them.

    Args:
        sizes: s, an integer or an integer tensor of any shape, 0 to n.
        n_players: n, at least 1.

    Returns:
        the shape of `sizes`.

    Raises:
        TypeError, ValueError: a bad argument, by name; a size outside of 0 ... n.

    Source: Lundberg and Lee 2017, theorem 2.
    """
    n = check_count(n_players, "n_players")
    sizes = torch.as_tensor(sizes)
    if sizes.is_floating_point() or sizes.is_complex() or sizes.dtype == torch.bool:
        raise TypeError(f"sizes must be an integer or an integer tensor, got dtype {sizes.dtype}")
    if sizes.numel() and (int(sizes.min()) < 0 or int(sizes.max()) > n):
        raise ValueError(f"sizes must be 0 to {n}, got {int(sizes.min())} to {int(sizes.max())}")
    ends = [math.inf]
    weights = torch.tensor(ends + [_kernel(s, n) for s in range(1, n)] + ends, dtype=torch.get_default_dtype())
    return weights.to(sizes.device)[sizes.long()]


def _kernel(size: int, n_players: int) -> float:
    return (n_players - 1) / (math.comb(n_players, size) * size * (n_players - size))


def kernel_shap(
    value: Game,
    n_players: int,
    n_samples: int | None = None,
    generator: torch.Generator | None = None,
    paired: bool = True,
    batch_size: int = 4096,
    progress: bool = False,
) -> Tensor:
    """Estimate the Shapley values by KernelSHAP: the linear model that fits some coalitions best.

    Minimizes sum_S pi(|S|) (v(S) - v(empty) - sum_{j in S} phi_j)^2 under the constraint (efficiency) sum_j phi_j =
    v(all) - v(empty), which is solved exactly: phi is the equal share plus a deviation that sums to 0, and the
    deviation is found by least squares. Over all coalitions the minimum is the Shapley value.

    Which coalitions: if they suffice, first those of one player and of all but one. Each other size gets a number in
    proportion to its total weight pi(s) C(n, s); those of one size are drawn without repetition, and where fewer are
    drawn than there are, each counts for more.

    Args:
        value: the game, bool (B, n) to (B,).
        n_players: n.
        n_samples: how many coalitions, beside the empty and the full one; None: 2 n + 2048, as in shap. With all
            2^n - 2 of them the answer is exact.
        generator: source of the coalitions; without one, a copy of torch's default generator.
        paired: take with each coalition its complement (n_samples is rounded down to an even number): what three
            players do together weighs on both with opposite signs, and much of the noise cancels.
        batch_size: coalitions that the game is asked about at once; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (n,), in units of the game, of its dtype; their sum is v(all) - v(empty).

    Raises:
        TypeError, ValueError: a bad argument, by name; a game that does not return (B,).

    Source: Lundberg and Lee 2017, theorem 2; Covert and Lee 2021, sections 3.2 (constraint) and 4.2 (pairs).
    """
    n = check_count(n_players, "n_players")
    n_samples = 2 * n + 2048 if n_samples is None else check_count(n_samples, "n_samples")
    if paired and n_samples < 2:
        raise ValueError("n_samples must be at least 2, one pair, with paired=True, got 1")
    coalitions, weights = _weighted_coalitions(n, n_samples, paired, random_source(generator))
    nobody, all_players = _ends(value, n)
    equal = (all_players - nobody).double() / n
    if n == 1:
        return equal.to(nobody)
    won = _evaluated(
        value,
        lambda numbers: coalitions[numbers.start : numbers.stop],
        len(coalitions),
        batch_size,
        progress,
        "Coalitions",
    )
    z, nobody = coalitions.double(), nobody.cpu().double()
    left = won.cpu().double() - nobody - z.sum(1) * equal.cpu()  # what the equal share does not explain
    directions = _sum_to_zero(n)
    rows = weights.sqrt().unsqueeze(1)
    deviation = torch.linalg.lstsq(rows * (z @ directions), rows * left.unsqueeze(1), driver="gelsd").solution
    return (equal.cpu() + (directions @ deviation)[:, 0]).to(won)


def _sum_to_zero(n: int) -> Tensor:
    """Return an orthonormal basis of the vectors whose entries sum to 0, (n, n - 1)."""
    start = torch.eye(n, dtype=torch.float64)
    start[:, 0] = 1.0
    return torch.linalg.qr(start)[0][:, 1:]


def _weighted_coalitions(n: int, n_samples: int, paired: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw coalitions, bool (S, n), of 1 to n - 1 players, and what each of them weighs in the fit, (S,)."""
    sizes = range(1, n // 2 + 1) if paired else range(1, n)
    is_half = {s: paired and 2 * s == n for s in sizes}  # the complements have the same size: count each pair once
    left = n_samples // 2 if paired else n_samples
    available = {s: min(math.comb(n, s) // (2 if is_half[s] else 1), left) for s in sizes}
    share = {s: (n - 1) / (s * (n - s)) / (2 if is_half[s] else 1) for s in sizes}  # pi(s) C(n, s)
    share_left = sum(share.values())
    drawn, weights = [torch.zeros(0, n, dtype=torch.bool)], [torch.zeros(0, dtype=torch.float64)]
    for s in sorted(sizes, key=lambda s: available[s] / share[s]):  # those that run out first
        alone = s in (1, n - 1) and left >= n  # each player alone, and all but one: what the fit cannot do without
        count = min(available[s], n if alone else round(left * share[s] / share_left))
        left, share_left = left - count, share_left - share[s]
        if count == 0:
            continue
        if is_half[s]:
            others = _distinct_coalitions(n - 1, s - 1, count, generator)
            rows = torch.cat([torch.ones(count, 1, dtype=torch.bool), others], 1)  # player 0 is in one of each pair
        else:
            rows = _distinct_coalitions(n, s, count, generator)
        drawn += [rows, ~rows] if paired else [rows]
        weights += [torch.full((count,), share[s] / count, dtype=torch.float64)] * (2 if paired else 1)
    return torch.cat(drawn), torch.cat(weights)


def _distinct_coalitions(n: int, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` different coalitions of `size` of the n players, bool (count, n)."""
    device = generator.device
    if 2 * count > math.comb(n, size):  # most of them: pick from the list of all
        every = list(combinations(range(n), size))
        chosen = torch.randperm(len(every), generator=generator, device=device)[:count].tolist()
        rows = torch.zeros(count, n, dtype=torch.bool)
        members = torch.tensor([every[i] for i in chosen], dtype=torch.long).view(count, size)
        return rows.scatter_(1, members, True)
    rows = torch.zeros(0, n, dtype=torch.bool)
    while len(rows) < count:
        more = torch.rand(count, n, generator=generator, device=device).argsort(1).cpu() < size
        rows = torch.cat([rows, more]).unique(dim=0)
    return rows[torch.randperm(len(rows), generator=generator, device=device)[:count].cpu()]


# ---------------------------------------------------------------------------------------------------------------
# The axioms
# ---------------------------------------------------------------------------------------------------------------


def axiom_gaps(allocate: Allocation, value: Game, other: Game, n_players: int) -> dict[str, float]:
    """Return by how much a rule of sharing breaks each of Shapley's four axioms on two games.

    - efficiency: the shares sum to v(all) - v(empty);
    - symmetry: two players who add the same to every coalition without them get the same;
    - null player: who adds nothing to any coalition gets nothing;
    - linearity: the shares of the sum of two games are the sums of the shares.

    Only the Shapley value keeps all four in every game. A game without symmetric or null players cannot break their
    axiom: 0.

    Args:
        allocate: the rule: maps a game and its number of players to the shares (n,).
        value: a game, bool (B, n) to (B,), at most 20 players; the first three axioms are held against it.
        other: a second game of the same players, for linearity.
        n_players: n.

    Returns:
        {"efficiency": ..., "symmetry": ..., "null player": ..., "linearity": ...}, the largest difference each, in
        units of the game.

    Raises:
        TypeError, ValueError: a bad argument, by name; a rule that does not return (n,).

    Source: Shapley 1953, axioms 1 to 3 (the null player is Roth's 1988 wording).
    """
    n = check_count(n_players, "n_players")
    won = _all_values(value, n, 4096, False).double()
    shares = _shares(allocate, value, n)
    shares_of_other = _shares(allocate, other, n)
    shares_of_sum = _shares(allocate, lambda coalitions: value(coalitions) + other(coalitions), n)
    won_by_digit = won.view([2] * n)
    nothing = 1e-6 * float(won.abs().max())  # equal up to rounding in float32
    gaps = {"efficiency": float((shares.sum() - won[-1] + won[0]).abs()), "symmetry": 0.0, "null player": 0.0}
    for i in range(n):
        if _added(won_by_digit, i).abs().max() <= nothing:
            gaps["null player"] = max(gaps["null player"], float(shares[i].abs()))
        for j in range(i):
            swapped = won_by_digit.transpose(i, j)
            if (won_by_digit - swapped).abs().max() <= nothing:
                gaps["symmetry"] = max(gaps["symmetry"], float((shares[i] - shares[j]).abs()))
    return {**gaps, "linearity": float((shares_of_sum - shares - shares_of_other).abs().max())}


def _shares(allocate: Allocation, value: Game, n: int) -> Tensor:
    shares = allocate(value, n)
    if not isinstance(shares, Tensor):
        raise TypeError(f"allocate must return the shares, a tensor ({n},), got {type(shares).__name__}")
    if shares.shape != (n,):
        raise ValueError(f"allocate must return the shares ({n},), one a player, got shape {tuple(shares.shape)}")
    return shares.detach().cpu().double()


# ---------------------------------------------------------------------------------------------------------------
# GradientSHAP: the pixels as players, by gradients
# ---------------------------------------------------------------------------------------------------------------


def gradient_shap(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    baselines: Tensor,
    n_samples: int = 50,
    stdevs: float = 0.0,
    generator: torch.Generator | None = None,
    layer: Layer | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return GradientSHAP: the mean of (I + e - b) * dy/dI, at random points between I + e and random baselines b.

    Integrated gradients with a random baseline and a random point in place of the path's steps (expected gradients),
    and noise e on the image as in SmoothGrad. The shares sum to the mean of y(I + e) - y(b), up to the error of
    sampling.

    Args:
        model: returns class scores (N, K).
        inputs: images (N, C, H, W).
        target: class index, an int or a LongTensor (N,).
        baselines: the set from which b is drawn, (B, C, H, W).
        n_samples: random points for each image.
        stdevs: standard deviation of the noise e, in units of pixel value.
        generator: source of the randomness; without one, a copy of torch's default generator.
        layer: a layer's name or module, to share the score out among its neurons instead of the pixels.
        batch_size: most images in one pass, but at least all of `inputs`; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (N, C, H, W), or the shape of the layer's output; signed, in units of the score.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Erion et al. 2021, equation 2 (expected gradients); Lundberg and Lee's shap.GradientExplainer.
    """
    target = check_call(model, inputs, target)
    n = len(inputs)
    samples = _between(inputs, baselines, n_samples, stdevs, random_source(generator), progress)
    per_pass = max(1, check_count(batch_size, "batch_size") // n)
    total: Tensor | float = 0.0
    while group := list(islice(samples, per_pass)):
        noisy, baseline, point = (torch.cat(parts) for parts in zip(*group, strict=True))
        targets = target.repeat(len(group))
        if layer is None:
            difference, gradient = noisy - baseline, value_and_gradient(model, point, targets)[1]
        else:
            difference = activation_of(model, noisy, layer) - activation_of(model, baseline, layer)
            gradient = activation_and_gradient(model, point, targets, layer)[1]
        for part in (difference * gradient).split(n):
            total = total + part
    return total / n_samples


def _between(
    inputs: Tensor, baselines: Tensor, n_samples: int, stdevs: float, generator: torch.Generator, progress: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield noisy images, random baselines and random points between them, each (N, C, H, W)."""
    baselines = check_baseline_set(baselines, inputs)
    stdevs = check_not_negative(stdevs, "stdevs")
    for _ in in_steps(check_count(n_samples, "n_samples"), 1, progress, "Gradient SHAP"):
        noisy = inputs.detach() + stdevs * draw(torch.randn, inputs.shape, generator, inputs)
        alpha = draw(torch.rand, (len(inputs), 1, 1, 1), generator, inputs)
        choice = torch.randint(len(baselines), (len(inputs),), generator=generator, device=generator.device)
        baseline = baselines[choice.to(inputs.device)]
        yield noisy, baseline, baseline + alpha * (noisy - baseline)


# ---------------------------------------------------------------------------------------------------------------
# DeepLIFT and DeepSHAP: differences instead of derivatives, from layer to layer
# ---------------------------------------------------------------------------------------------------------------

_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh)
_TINY = 1e-10


class _Rescale(Function):
    """An element-wise function whose slope is dy/dx between the image (first half) and its baseline (second half)."""

    @staticmethod
    def forward(ctx, inputs: Tensor, module: nn.Module) -> Tensor:
        return save(ctx, module, inputs, own_forward(module, inputs))

    @staticmethod
    def backward(ctx, output_gradient: Tensor) -> tuple[Tensor, None]:
        (inputs,) = ctx.saved_tensors
        with torch.enable_grad():
            inputs = leaf(inputs)
            outputs = own_forward(ctx.module, inputs)
        slope = backward(outputs, inputs, output_gradient).chunk(2)[0]
        (x, x0), (y, y0) = inputs.detach().chunk(2), outputs.detach().chunk(2)
        multiplier = torch.where((x - x0).abs() < _TINY, slope, output_gradient.chunk(2)[0] * (y - y0) / (x - x0))
        return torch.cat([multiplier, torch.zeros_like(multiplier)]), None


class _RescaleMaxPool(Function):
    """Max pooling between image and baseline: each one's winner gets its share of the difference."""

    @staticmethod
    def forward(ctx, inputs: Tensor, module: nn.Module) -> Tensor:
        return save(ctx, module, inputs, own_forward(module, inputs))

    @staticmethod
    def backward(ctx, output_gradient: Tensor) -> tuple[Tensor, None]:
        (inputs,) = ctx.saved_tensors
        with torch.enable_grad():
            inputs = leaf(inputs)
            outputs = own_forward(ctx.module, inputs)
        (x, x0), (y, y0), r = inputs.detach().chunk(2), outputs.detach().chunk(2), output_gradient.chunk(2)[0]
        top = torch.maximum(y, y0)
        shares = backward(outputs, inputs, torch.cat([r * (top - y0), r * (y - top)]), again=True)
        slope = backward(outputs, inputs, output_gradient).chunk(2)[0]
        multiplier = torch.where((x - x0).abs() < _TINY, slope, sum(shares.chunk(2)) / (x - x0))
        return torch.cat([multiplier, torch.zeros_like(multiplier)]), None


def deep_lift(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    baselines: float | Tensor | None = None,
    layer: Layer | None = None,
) -> Tensor:
    """Return DeepLIFT's contributions to y(I) - y(I'), by the rescale rule.

    The chain rule with slopes in place of derivatives: for a nonlinearity y = f(x) the multiplier is the change of the
    output by the change of the input between image and baseline, (f(x) - f(x')) / (x - x'), and its derivative where
    the input does not change. Image and baseline go through the network side by side. The contributions sum to
    y(I) - y(I') exactly (summation to delta).

    Args:
        model, inputs, target: as in `gradient_shap`.
        baselines: the image I' to compare with (the reference): None (black), a number, (1, C, H, W) or (N, C, H, W).
        layer: a layer's name or module, for the contributions of its neurons instead of the pixels'.

    Returns:
        (N, C, H, W), or the shape of the layer's output; signed, in units of the score.

    Raises:
        TypeError, ValueError: a bad argument, by name; an operation that the rule does not cover.

    Source: Shrikumar, Greenside and Kundaje 2017, sections 3.4 and 3.5.1.
    """
    target = check_call(model, inputs, target)
    baselines = check_baselines(baselines, inputs)
    replacements = {kind: lambda module, x: _Rescale.apply(x, module) for kind in _ELEMENTWISE}
    replacements[nn.MaxPool2d] = lambda module, x: _RescaleMaxPool.apply(x, module)
    name, module = find_layer(model, layer) if layer is not None else ("", nn.Identity())
    n = len(inputs)

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        with forward_replaced(model, replacements), layer_output(name, module) as outputs:
            scores = model(images.clone())
        return scores, images if layer is None else only_output(outputs, name)

    known = LINEAR | {"_Rescale", "_RescaleMaxPool"}
    advice = "write nonlinearities as modules (nn.ReLU(), ..., no softmax at the end) and max pooling as nn.MaxPool2d"
    with recording():
        scores, variable = known_pass("deep_lift", forward, leaf(torch.cat([inputs, baselines])), known, advice)
        values = class_scores(scores, target.repeat(2))
        first = torch.cat([torch.ones(n), torch.zeros(n)]).to(values)
        multiplier = backward(values, variable, first)[:n]
        return multiplier * (variable[:n] - variable[n:]).detach()


def deep_shap(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    baselines: Tensor,
    layer: Layer | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> Tensor:
    """Return DeepSHAP: the mean of DeepLIFT over a set of baselines.

    Args:
        model, inputs, target, layer: as in `deep_lift`.
        baselines: the set, (B, C, H, W).
        batch_size: most images in one pass (an image and its baseline are two), but at least all of `inputs` with one
            baseline; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (N, C, H, W), or the shape of the layer's output; they sum to y(I) less the mean of y over the baselines.

    Raises:
        TypeError, ValueError: a bad argument, by name; an operation that the rule does not cover.

    Source: Lundberg and Lee 2017, section 4.2; shap.DeepExplainer.
    """
    target = check_call(model, inputs, target)
    baselines = check_baseline_set(baselines, inputs)
    n, total = len(inputs), 0.0
    per_pass = max(1, check_count(batch_size, "batch_size") // (2 * n))
    for steps in in_steps(len(baselines), per_pass, progress, "Deep SHAP"):
        chosen = baselines[steps.start : steps.stop].repeat_interleave(n, 0)
        k = len(steps)
        for part in deep_lift(model, inputs.repeat(k, 1, 1, 1), target.repeat(k), chosen, layer).split(n):
            total = total + part
    return total / len(baselines)


# ---------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------


def _check_players(coalitions: Tensor, n_players: int) -> Tensor:
    """Return the coalitions if they are bool (B, n), with a column for each player."""
    if not isinstance(coalitions, Tensor) or coalitions.dtype != torch.bool:
        came = coalitions.dtype if isinstance(coalitions, Tensor) else type(coalitions).__name__
        raise TypeError(f"coalitions must be a bool tensor (B, {n_players}), got {came}")
    if coalitions.dim() != 2 or coalitions.shape[1] != n_players:
        raise ValueError(
            f"coalitions must be (B, {n_players}), one column a player, got shape {tuple(coalitions.shape)}"
        )
    return coalitions
