"""The exercises of unit 09: games, their Shapley values, and SHAP, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_by_subsets`, `_by_orders`, `_constrained`, `_sampled_path`,
`_lifted`), which are independent of the references in ``course_utils.shapley``. In the hints, as in the lab: v is the
game, v(S) what the coalition S wins, phi_j the Shapley value of player j, n the number of players, pi the Shapley
kernel, I the image and I' its baseline.

A game reaches an answer as a function. In the cases it is described by plain data: `TableGame`, `CuriousGame`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import shapley
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    ValueExercise,
    draw_integer,
    register_network,
)

Game = Callable[[Tensor], Tensor]

# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableGame:
    """The description of a game with a number for each coalition, drawn from a seed.

    Args:
        seed: of the numbers.
        n_players: number of players.
        null: a player who adds nothing to any coalition; None for nobody.
        offset: what the empty coalition wins.
    """

    seed: int
    n_players: int
    null: int | None = None
    offset: float = 0.0

    def build(self) -> Game:
        """Return the game, bool (B, n) to float (B,)."""
        generator = torch.Generator().manual_seed(self.seed)
        numbers = torch.randn(2**self.n_players, generator=generator) + self.offset
        places = 2 ** torch.arange(self.n_players)

        def value(coalitions: Tensor) -> Tensor:
            if not isinstance(coalitions, Tensor) or coalitions.dtype != torch.bool:
                raise TypeError("the game takes coalitions as a bool tensor (B, n)")
            if coalitions.dim() != 2 or coalitions.shape[1] != len(places):
                raise ValueError(f"the game takes coalitions (B, {len(places)}), got {tuple(coalitions.shape)}")
            coalitions = coalitions.clone()
            if self.null is not None:
                coalitions[:, self.null] = False
            return numbers[coalitions.long() @ places]

        return value


def _orders(generator: torch.Generator, n_orders: int, n: int) -> Tensor:
    return torch.rand(n_orders, n, generator=generator).argsort(1)


def _worth(value: Game, n: int, members: Any) -> float:
    row = torch.zeros(1, n, dtype=torch.bool)
    row[0, list(members)] = True
    return float(value(row)[0])


# ---------------------------------------------------------------------------------------------------------------------
# By hand: gloves, votes
# ---------------------------------------------------------------------------------------------------------------------

# Players 1 and 2 hold a left glove, player 3 a right one: phi = (1/6, 1/6, 2/3).
GLOVES = ValueExercise(
    name="gloves",
    expected=(1 / 6, 1 / 6, 2 / 3),
    mistakes={
        "equal": Mistake(
            (1 / 3, 1 / 3, 1 / 3),
            "equal shares are not what the orders say: whoever holds the rare glove completes a pair more often.",
        ),
        "all_to_the_right": Mistake(
            (0.0, 0.0, 1.0),
            "a left glove is worth something, too: in the order 3, 1, 2 it is player 1 who completes the pair.",
        ),
        "quarters": Mistake(
            (0.25, 0.25, 0.5),
            "you shared the pair out between its two kinds of gloves. Go through the six orders instead, and note who "
            "completes the pair.",
        ),
        "by_coalitions": Mistake(
            (1 / 4, 1 / 4, 3 / 4),
            "you weighted all coalitions alike. Coalitions of different sizes have different weights: each ORDER "
            "counts "
            "the same.",
        ),
        "exchanged": Mistake((2 / 3, 1 / 6, 1 / 6), "you have exchanged the players: player 3 holds the right glove."),
        "counts": Mistake((1.0, 1.0, 4.0), "you counted the orders. Divide by how many there are."),
    },
    tolerance=2e-3,
)

# Votes 3, 2, 2 and a quota of 5: players 1 and any other win; phi = (2/3, 1/6, 1/6).
VOTES = ValueExercise(
    name="votes",
    expected=(2 / 3, 1 / 6, 1 / 6),
    mistakes={
        "in_proportion": Mistake(
            (3 / 7, 2 / 7, 2 / 7),
            "this is the share of the votes. Power is how often a player turns a losing coalition into a winning one.",
        ),
        "equal": Mistake(
            (1 / 3, 1 / 3, 1 / 3), "any two players would win then. But players 2 and 3 have 4 votes together: too few."
        ),
        "dictator": Mistake(
            (1.0, 0.0, 0.0), "player 1 cannot win alone with 3 votes: who comes second can be the one who turns it."
        ),
        "banzhaf": Mistake(
            (0.6, 0.2, 0.2),
            "you counted in how many coalitions a player is needed and made the sum 1 (that is Banzhaf's index). In "
            "Shapley's value each order counts the same.",
        ),
        "by_coalitions": Mistake(
            (0.75, 0.25, 0.25),
            "you weighted all coalitions alike, and your shares sum to more than 1. Each ORDER counts the same.",
        ),
        "halves": Mistake((0.5, 0.25, 0.25), "go through all six orders, and note who is the one that turns each."),
    },
    tolerance=2e-3,
)

# ---------------------------------------------------------------------------------------------------------------------
# exact_shapley
# ---------------------------------------------------------------------------------------------------------------------


def _exact_cases(generator: torch.Generator) -> Iterator[Case]:
    yield Case({"value": TableGame(1, 3), "n_players": 3}, "a game of three")
    yield Case({"value": TableGame(2, 4, offset=2.0), "n_players": 4}, "a game in which nobody wins something, too")
    yield Case({"value": TableGame(3, 5, null=2), "n_players": 5}, "a game with a player who adds nothing")
    for n, note in ((6, "a game of six"), (2, "a game of two"), (1, "a single player")):
        game = TableGame(draw_integer(generator, 10, 2**31), n, offset=1.0)
        yield Case({"value": game, "n_players": n}, note)


def _by_subsets(
    value: Game,
    n_players: int,
    weight: Callable[[int, int], float] = lambda s, n: 1 / (n * math.comb(n - 1, s)),
    gain: Callable[[float, float], float] = lambda after, before: after - before,
    sizes: Callable[[int], range] = lambda n: range(n),
    nothing: Callable[[Game, int], float] | None = None,
) -> Tensor:
    shares = []
    for j in range(n_players):
        others = [i for i in range(n_players) if i != j]
        share = 0.0
        for s in sizes(n_players):
            for members in itertools.combinations(others, s):
                before = 0.0 if nothing and s == 0 else _worth(value, n_players, members)
                share += weight(s, n_players) * gain(_worth(value, n_players, (*members, j)), before)
        shares.append(share)
    return torch.tensor(shares)


def _sums_to_the_whole(arguments: dict[str, Any], value: Tensor) -> bool:
    n = value.numel()
    game = arguments["value"]
    total = _worth(game, n, range(n)) - _worth(game, n, ())
    return abs(float(value.sum()) - total) <= 1e-3 * max(1.0, float(value.abs().max()))


_EFFICIENCY = Property("the shares sum to v(all) - v(nobody).", _sums_to_the_whole)


EXACT_SHAPLEY = Exercise(
    name="exact_shapley",
    reference=shapley.exact_shapley,
    cases=_exact_cases,
    mistakes={
        "all_alike": Mistake(
            partial(_by_subsets, weight=lambda s, n: 1 / 2 ** (n - 1)),
            "you weighted all coalitions alike (that is Banzhaf's value). The weight depends on the size: "
            "|S|! (n - |S| - 1)! / n!.",
        ),
        "without_one": Mistake(
            partial(
                _by_subsets,
                weight=lambda s, n: math.factorial(s) * math.factorial(max(n - s, 0)) / math.factorial(n),
            ),
            "your weight has (n - |S|)! where (n - |S| - 1)! belongs: n - |S| - 1 players come after j.",
        ),
        "size_with_j": Mistake(
            partial(
                _by_subsets,
                weight=lambda s, n: math.factorial(s + 1) * math.factorial(max(n - s - 1, 0)) / math.factorial(n),
            ),
            "in your weight |S| counts player j as well. S is the coalition before j comes.",
        ),
        "not_divided": Mistake(
            partial(_by_subsets, weight=lambda s, n: math.factorial(s) * math.factorial(n - s - 1)),
            "your shares are n! times too large: divide by the number of orders.",
        ),
        "divided_by_n_less_one": Mistake(
            partial(
                _by_subsets,
                weight=lambda s, n: math.factorial(s) * math.factorial(n - s - 1) / math.factorial(max(n - 1, 1)),
            ),
            "you divide by (n - 1)!; there are n! orders.",
        ),
        "binomial_of_n": Mistake(
            partial(_by_subsets, weight=lambda s, n: 1 / (n * math.comb(n, s))),
            "your weight is 1 / (n C(n, |S|)). S is drawn from the OTHER players, and there are n - 1 of them.",
        ),
        "kernel": Mistake(
            partial(
                _by_subsets,
                weight=lambda s, n: (n - 1) / (math.comb(n, s) * s * (n - s)) if 0 < s < n else 0.0,
            ),
            "you weighted the gains by the Shapley kernel. It belongs to the least squares of KernelSHAP; here the "
            "weight is |S|! (n - |S| - 1)! / n!.",
        ),
        "lost": Mistake(
            partial(_by_subsets, gain=lambda after, before: before - after),
            "you took v(S) - v(S and j): what is lost. The gain has the other sign.",
        ),
        "worth_of_coalitions": Mistake(
            partial(_by_subsets, gain=lambda after, before: after),
            "you added up what coalitions with j win, and did not take off what they win without.",
        ),
        "nobody_is_0": Mistake(
            partial(_by_subsets, nothing=lambda value, n: 0.0),
            "you took v(nobody) for 0. It is what the game says: ask it.",
        ),
        "alone": Mistake(
            lambda value, n_players: torch.tensor(
                [_worth(value, n_players, [j]) - _worth(value, n_players, ()) for j in range(n_players)]
            ),
            "this is what each player wins alone. It counts as one of many gains: those to all coalitions of the "
            "others.",
        ),
        "last": Mistake(
            lambda value, n_players: torch.tensor(
                [
                    _worth(value, n_players, range(n_players))
                    - _worth(value, n_players, [i for i in range(n_players) if i != j])
                    for j in range(n_players)
                ]
            ),
            "this is what is lost when each player leaves the full coalition. It counts as one of many gains.",
        ),
        "without_the_empty": Mistake(
            partial(_by_subsets, sizes=lambda n: range(1, n)),
            "you left out the empty coalition: S may have no member.",
        ),
        "without_the_largest": Mistake(
            partial(_by_subsets, sizes=lambda n: range(n - 1)),
            "you left out the largest coalition S, of all the others.",
        ),
        "one_order": Mistake(
            lambda value, n_players: value(torch.ones(n_players + 1, n_players).tril(-1).bool()).diff(),
            "this is what each adds in one order, 0, 1, 2, ... The mean over all orders is asked for.",
        ),
    },
    properties=[_EFFICIENCY],
)


# ---------------------------------------------------------------------------------------------------------------------
# The axioms
# ---------------------------------------------------------------------------------------------------------------------

AXIOMS = ("efficiency", "symmetry", "null player", "linearity")

BROKEN_AXIOMS = ValueExercise(
    name="broken_axioms",
    expected=frozenset(["a: null player", "b: efficiency", "c: symmetry", "d: linearity"]),
    choices=tuple(f"{rule}: {axiom}" for rule in "abcd" for axiom in AXIOMS),
    mistakes={
        "a_symmetry": Mistake(
            frozenset(["a: symmetry", "b: efficiency", "c: symmetry", "d: linearity"]),
            "rule a gives everybody the same, so also those who are alike. Who gets something that has added nothing?",
        ),
        "b_null": Mistake(
            frozenset(["a: null player", "b: null player", "c: symmetry", "d: linearity"]),
            "by rule b who adds nothing loses nothing when leaving, and gets nothing. Do its shares sum to the whole?",
        ),
        "b_linearity": Mistake(
            frozenset(["a: null player", "b: linearity", "c: symmetry", "d: efficiency"]),
            "rule b is a difference of two numbers of the game, and differences of sums are sums of differences. Do "
            "its "
            "shares sum to the whole? And those of rule d?",
        ),
        "c_efficiency": Mistake(
            frozenset(["a: null player", "b: efficiency", "c: efficiency", "d: linearity"]),
            "in rule c the gains of one order sum to the whole. Do two players who are alike get the same?",
        ),
        "c_null": Mistake(
            frozenset(["a: null player", "b: efficiency", "c: null player", "d: linearity"]),
            "by rule c who adds nothing adds nothing in this order, too. Do two players who are alike get the same?",
        ),
        "d_efficiency": Mistake(
            frozenset(["a: null player", "b: efficiency", "c: symmetry", "d: efficiency"]),
            "rule d divides so that its shares sum to the whole. What does the division do when two games are added?",
        ),
        "d_null": Mistake(
            frozenset(["a: null player", "b: efficiency", "c: symmetry", "d: null player"]),
            "by rule d who adds nothing gets 0 of the whole. What does the division do when two games are added?",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# permutation_shapley
# ---------------------------------------------------------------------------------------------------------------------

Estimate = tuple[Tensor, Tensor]


def permutation_shapley(value: Game, orders: Tensor) -> Estimate:
    """Return the mean gain of each player over the given orders, and its standard error, as the lab asks for them."""
    n_orders, n = orders.shape
    places = orders.argsort(1)  # when each player comes
    coalitions = places.unsqueeze(1) < torch.arange(n + 1).view(1, -1, 1)  # (P, n + 1, n)
    won = value(coalitions.flatten(0, 1)).view(n_orders, n + 1)
    gains = won.diff(dim=1).gather(1, places)
    return gains.mean(0), gains.std(0) / math.sqrt(n_orders)


def _permutation_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(16)
    yield Case({"value": TableGame(4, 3), "orders": torch.tensor([[2, 0, 1], [0, 1, 2]])}, "two orders of three")
    yield Case({"value": TableGame(5, 4, offset=1.5), "orders": _orders(fixed, 6, 4)}, "six orders of four")
    for n, n_orders, note in ((6, 10, "ten orders of six"), (2, 5, "five orders of two")):
        game = TableGame(draw_integer(generator, 10, 2**31), n, offset=1.0)
        yield Case({"value": game, "orders": _orders(generator, n_orders, n)}, note)
    game = TableGame(draw_integer(generator, 10, 2**31), 5, null=1)
    yield Case({"value": game, "orders": _orders(generator, 8, 5)}, "a player who adds nothing")


def _by_orders(
    value: Game,
    orders: Tensor,
    read: Callable[[Tensor], Tensor] = lambda orders: orders,
    error: Callable[[Tensor], Tensor] = lambda gains: gains.std(0) / math.sqrt(len(gains)),
    mean: Callable[[Tensor], Tensor] = lambda gains: gains.mean(0),
    nothing: float | None = None,
    to_player: bool = True,
    gain: Callable[[float, float], float] = lambda after, before: after - before,
    by: Callable[[Tensor], Tensor] = lambda orders: orders,
) -> Estimate:
    """Walk through the orders one by one."""
    n = orders.shape[1]
    gains = torch.zeros(orders.shape)
    for row, order in zip(gains, read(orders).tolist(), strict=True):
        before = _worth(value, n, ()) if nothing is None else nothing
        for k, player in enumerate(order):
            after = _worth(value, n, order[: k + 1])
            row[player if to_player else k] = gain(after, before)
            before = after
    return mean(gains), error(gains)


PERMUTATION_SHAPLEY = Exercise(
    name="permutation_shapley",
    reference=permutation_shapley,
    cases=_permutation_cases,
    mistakes={
        "by_place": Mistake(
            partial(_by_orders, to_player=False),
            "you averaged by place in the order. The gain at place k belongs to the PLAYER who comes k-th.",
        ),
        "inverse": Mistake(
            partial(_by_orders, read=lambda orders: orders.argsort(1)),
            "you read the orders the other way round: orders[p, k] is the player who comes k-th in order p, not the "
            "place of player k.",
        ),
        "backwards": Mistake(
            partial(_by_orders, read=lambda orders: orders.flip(1)),
            "you walk through each order from its end: orders[p, 0] comes first.",
        ),
        "nobody_is_0": Mistake(
            partial(_by_orders, nothing=0.0),
            "your walks begin with 0. They begin with what the game says to nobody, v(nobody).",
        ),
        "worth_for_gain": Mistake(
            partial(_by_orders, gain=lambda after, before: after),
            "you took what the coalition wins when a player has come, not by how much it wins more than before.",
        ),
        "lost": Mistake(
            partial(_by_orders, gain=lambda after, before: before - after), "your gains have the wrong sign."
        ),
        "sum": Mistake(
            partial(_by_orders, mean=lambda gains: gains.sum(0)), "you added the gains up; take their mean."
        ),
        "deviation_for_error": Mistake(
            partial(_by_orders, error=lambda gains: gains.std(0)),
            "your estimates are right; in place of their standard error you return the standard deviation of the "
            "gains. The error of a mean of P numbers is smaller by the root of P.",
        ),
        "divided_by_p": Mistake(
            partial(_by_orders, error=lambda gains: gains.std(0) / len(gains)),
            "your estimates are right; their errors are divided by the number of orders, where its root belongs.",
        ),
        "biased_deviation": Mistake(
            partial(_by_orders, error=lambda gains: gains.std(0, correction=0) / math.sqrt(len(gains))),
            "your estimates are right; your deviation divides by P. The mean is estimated from the same gains, so that "
            "P - 1 belongs there (as torch does by itself).",
        ),
        "variance": Mistake(
            partial(_by_orders, error=lambda gains: gains.var(0) / len(gains)),
            "your estimates are right; you return the square of their standard errors.",
        ),
        "root_of_n": Mistake(
            partial(_by_orders, error=lambda gains: gains.std(0) / math.sqrt(gains.shape[1])),
            "your estimates are right; you divide by the root of the number of players, not of the orders.",
        ),
        "deviation_over_players": Mistake(
            partial(_by_orders, error=lambda gains: gains.T.std(0).mean().expand(gains.shape[1]).clone()),
            "your estimates are right; your errors mix the players. Each player has a deviation of its own, over the "
            "orders.",
        ),
        "first_order_alone": Mistake(
            lambda value, orders: (
                _by_orders(value, orders[:1], error=lambda gains: torch.zeros(gains.shape[1]))[0],
                _by_orders(value, orders)[1],
            ),
            "your estimates come from the first order alone.",
        ),
    },
    properties=[
        Property(
            "the estimates sum to v(all) - v(nobody).",
            lambda arguments, value: _sums_to_the_whole(arguments, value[0]),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# kernel_weight
# ---------------------------------------------------------------------------------------------------------------------


def _weight_cases(generator: torch.Generator) -> Iterator[Case]:
    yield Case({"sizes": torch.tensor([1, 2, 3]), "n_players": 4}, "coalitions of 1, 2 and 3 of four")
    yield Case({"sizes": torch.tensor([5, 1, 3, 2, 2]), "n_players": 6}, "five coalitions of six")
    n = draw_integer(generator, 8, 14)
    yield Case({"sizes": torch.arange(1, n), "n_players": n}, f"all sizes of {n}")
    yield Case({"sizes": torch.randint(1, n, (7,), generator=generator), "n_players": n}, f"seven coalitions of {n}")
    yield Case({"sizes": torch.tensor([1, 1]), "n_players": 2}, "two players")


def _weights(formula: Callable[[int, int], float]) -> Callable[[Tensor, int], Tensor]:
    return lambda sizes, n_players: torch.tensor([formula(s, n_players) for s in sizes.tolist()])


KERNEL_WEIGHT = Exercise(
    name="kernel_weight",
    reference=shapley.kernel_weight,
    cases=_weight_cases,
    mistakes={
        "no_binomial": Mistake(
            _weights(lambda s, n: (n - 1) / (s * (n - s))),
            "the binomial coefficient is missing: this is the weight of all coalitions of one size together.",
        ),
        "no_sizes": Mistake(
            _weights(lambda s, n: (n - 1) / math.comb(n, s)), "the factor s (n - s) is missing in the denominator."
        ),
        "n": Mistake(_weights(lambda s, n: n / (math.comb(n, s) * s * (n - s))), "the numerator is n - 1, not n."),
        "one": Mistake(
            _weights(lambda s, n: 1 / (math.comb(n, s) * s * (n - s))),
            "the numerator is missing. (A factor common to all changes no fit; the weights themselves are asked for.)",
        ),
        "binomial_on_top": Mistake(
            _weights(lambda s, n: (n - 1) * math.comb(n, s) / (s * (n - s))),
            "the binomial coefficient belongs into the denominator.",
        ),
        "of_the_others": Mistake(
            _weights(lambda s, n: 1 / (n * math.comb(n - 1, s))),
            "this is the weight of a gain in the Shapley value, |S|! (n - |S| - 1)! / n!. The kernel weighs "
            "coalitions.",
        ),
        "binomial_of_n_less_one": Mistake(
            _weights(lambda s, n: (n - 1) / (math.comb(n - 1, s) * s * (n - s))),
            "your binomial coefficient counts coalitions of n - 1 players.",
        ),
        "s_alone": Mistake(
            _weights(lambda s, n: (n - 1) / (math.comb(n, s) * s)), "the factor n - s is missing in the denominator."
        ),
        "rest_alone": Mistake(
            _weights(lambda s, n: (n - 1) / (math.comb(n, s) * (n - s))), "the factor s is missing in the denominator."
        ),
        "normalized": Mistake(
            lambda sizes, n_players: (lambda w: w / w.sum())(
                _weights(lambda s, n: (n - 1) / (math.comb(n, s) * s * (n - s)))(sizes, n_players)
            ),
            "your weights sum to 1. They are not normalized.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# kernel_shap
# ---------------------------------------------------------------------------------------------------------------------


def kernel_shap(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """Return the shares of KernelSHAP from the given coalitions and weights, as the lab asks for them."""
    n = coalitions.shape[1]
    ends = value(torch.tensor([[False], [True]]).expand(2, n)).double()
    z, y, pi = coalitions.double(), value(coalitions).double() - ends[0], weights.double()
    system = torch.ones(n + 1, n + 1, dtype=torch.float64)  # Lagrange's conditions
    system[:n, :n], system[n, n] = z.T @ (pi[:, None] * z), 0.0
    return torch.linalg.solve(system, torch.cat([z.T @ (pi * y), ends[1:] - ends[:1]]))[:n].float()


def _kernel_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(source: torch.Generator, n: int, n_samples: int | None, note: str, **options: Any) -> Case:
        every = (torch.arange(1, 2**n - 1).unsqueeze(1) >> torch.arange(n) & 1).bool()
        chosen = every if n_samples is None else every[torch.randperm(len(every), generator=source)[:n_samples]]
        weights = 0.1 + torch.rand(len(chosen), generator=source)
        if n_samples is None:
            weights = shapley.kernel_weight(chosen.sum(1), n)
        game = TableGame(draw_integer(source, 0, 2**31), n, **options)
        return Case({"value": game, "coalitions": chosen, "weights": weights}, note)

    fixed = torch.Generator().manual_seed(17)
    yield case(fixed, 4, None, "all coalitions of four, by the kernel", offset=1.5)
    yield case(fixed, 5, 20, "twenty coalitions of five")
    yield case(generator, 6, 40, "forty coalitions of six", offset=2.0)
    yield case(generator, 3, None, "all coalitions of three, by the kernel", offset=-1.0)
    yield case(generator, 7, 60, "sixty coalitions of seven", null=3)


def _constrained(
    value: Game,
    coalitions: Tensor,
    weights: Tensor,
    pi: Callable[[Tensor], Tensor] = lambda weights: weights,
    nobody: Callable[[Tensor], Tensor] = lambda ends: ends[0],
    total: Callable[[Tensor], Tensor] = lambda ends: ends[1] - ends[0],
    inputs: Callable[[Tensor], Tensor] = lambda z: z,
) -> Tensor:
    """Put phi_n = total - sum of the others into the model, and fit the others."""
    n = coalitions.shape[1]
    ends = value(torch.tensor([[False], [True]]).expand(2, n)).double()
    z, p = inputs(coalitions.double()), pi(weights.double())
    whole = total(ends)
    x, y = z[:, :-1] - z[:, -1:], value(coalitions).double() - nobody(ends) - z[:, -1] * whole
    phi = torch.linalg.pinv(x.T @ (p[:, None] * x)) @ (x.T @ (p * y))
    return torch.cat([phi, (whole - phi.sum()).view(1)]).float()


def _free(
    value: Game,
    coalitions: Tensor,
    weights: Tensor,
    with_b: bool = False,
    heavy: float | None = None,
    after: Callable[[Tensor, Tensor], Tensor] = lambda phi, whole: phi,
) -> Tensor:
    """Fit without the constraint; with_b: with an intercept; heavy: the two ends as samples of this weight."""
    n = coalitions.shape[1]
    ends = value(torch.tensor([[False], [True]]).expand(2, n)).double()
    z, y, p = coalitions.double(), value(coalitions).double() - ends[0], weights.double()
    if heavy is not None:
        z = torch.cat([z, torch.ones(1, n).double()])
        y, p = torch.cat([y, (ends[1] - ends[0]).view(1)]), torch.cat([p, torch.full((1,), heavy).double()])
    x = torch.cat([z, torch.ones(len(z), 1).double()], 1) if with_b else z
    phi = (torch.linalg.pinv(x.T @ (p[:, None] * x)) @ (x.T @ (p * y)))[:n]
    return after(phi, ends[1] - ends[0]).float()


KERNEL_SHAP = Exercise(
    name="kernel_shap",
    reference=kernel_shap,
    cases=_kernel_cases,
    mistakes={
        "no_constraint": Mistake(
            _free,
            "your shares are the plain least squares, and do not sum to v(all) - v(nobody). The constraint is part of "
            "the problem.",
        ),
        "free_intercept": Mistake(
            partial(_free, with_b=True),
            "you fitted an intercept as LIME does, without the constraint. Here the intercept is v(nobody), known, and "
            "the shares sum to v(all) - v(nobody).",
        ),
        "full_coalition_as_a_sample": Mistake(
            partial(_free, heavy=1.0),
            "you added the full coalition as one more sample. It has an infinite weight: the model has to meet it "
            "exactly.",
        ),
        "rest_shared_equally": Mistake(
            partial(_free, after=lambda phi, whole: phi + (whole - phi.sum()) / len(phi)),
            "you fitted without the constraint and then shared the rest out equally. The constraint belongs into the "
            "fit: the weights decide who gives way.",
        ),
        "scaled": Mistake(
            partial(_free, after=lambda phi, whole: phi * whole / phi.sum()),
            "you fitted without the constraint and then scaled. The constraint belongs into the fit.",
        ),
        "weights_ignored": Mistake(
            partial(_constrained, pi=torch.ones_like),
            "the weights play no part in your fit: all coalitions count alike.",
        ),
        "weights_squared": Mistake(
            partial(_constrained, pi=torch.square),
            "each coalition counts by the square of its weight. If you multiply rows before you call a solver, "
            "multiply "
            "them with the root of the weight.",
        ),
        "root_of_weights": Mistake(
            partial(_constrained, pi=torch.sqrt), "each coalition counts by the root of its weight; it counts by pi."
        ),
        "nobody_is_0": Mistake(
            partial(_constrained, nobody=lambda ends: torch.zeros(()).double()),
            "you did not take v(nobody) off the scores: g(z') = phi_0 + ..., and phi_0 = v(nobody).",
        ),
        "total_is_all": Mistake(
            partial(_constrained, total=lambda ends: ends[1]),
            "your shares sum to v(all). The whole that is shared out is v(all) - v(nobody).",
        ),
        "both": Mistake(
            partial(_constrained, nobody=lambda ends: torch.zeros(()).double(), total=lambda ends: ends[1]),
            "you took v(nobody) for 0, in the scores and in the constraint. Ask the game.",
        ),
        "complements": Mistake(
            partial(_constrained, inputs=lambda z: 1 - z),
            "your z' are 1 for who is not in the coalition. They are 1 for its members.",
        ),
    },
    properties=[_EFFICIENCY],
)


# ---------------------------------------------------------------------------------------------------------------------
# Saturation, by hand
# ---------------------------------------------------------------------------------------------------------------------

# y = 1 - max(0, 1 - i1 - i2) at (1, 0.5) with baseline (0, 0): y rises by 1.
# Shapley: order 1, 2: (1, 0); order 2, 1: (0.5, 0.5). DeepLIFT: the ReLU's argument goes from 1 to -0.5, y from 0 to 1:
# multiplier 1 / 1.5 for each unit of i: (2/3, 1/3). Gradient x input: (0, 0).
SATURATION = ValueExercise(
    name="saturation",
    expected=(0.0, 0.0, 0.75, 0.25, 2 / 3, 1 / 3),
    mistakes={
        "gradient_not_flat": Mistake(
            (1.0, 0.5, 0.75, 0.25, 2 / 3, 1 / 3),
            "at (1, 0.5) the argument of the maximum is negative, so that y is flat there: what is the derivative?",
        ),
        "one_order": Mistake(
            (0.0, 0.0, 1.0, 0.0, 2 / 3, 1 / 3),
            "your Shapley values are those of the order i1, i2 alone. Take the mean with the other order.",
        ),
        "other_order": Mistake(
            (0.0, 0.0, 0.5, 0.5, 2 / 3, 1 / 3),
            "your Shapley values are those of the order i2, i1 alone (or equal shares). Take the mean of both orders.",
        ),
        "shapley_in_proportion": Mistake(
            (0.0, 0.0, 2 / 3, 1 / 3, 2 / 3, 1 / 3),
            "your Shapley values share out in proportion to the inputs, which is what DeepLIFT does here. Go through "
            "the "
            "two orders.",
        ),
        "deep_lift_as_shapley": Mistake(
            (0.0, 0.0, 0.75, 0.25, 0.75, 0.25),
            "DeepLIFT is not the Shapley value: it has one multiplier for the ReLU, the change of its output by the "
            "change of its input.",
        ),
        "deep_lift_equal": Mistake(
            (0.0, 0.0, 0.75, 0.25, 0.5, 0.5),
            "your DeepLIFT gives both the same. Each input gets the multiplier times its own change, 1 and 0.5.",
        ),
        "multiplier_alone": Mistake(
            (0.0, 0.0, 0.75, 0.25, 2 / 3, 2 / 3),
            "2/3 is the multiplier of both inputs. The contribution is the multiplier times the input's change.",
        ),
        "derivative_as_multiplier": Mistake(
            (0.0, 0.0, 0.75, 0.25, 1.0, 0.5),
            "your multiplier is 1, the slope before the kink. It is the change of the ReLU's output by the change of "
            "its input: from 1 to 0, by 1.5.",
        ),
    },
    tolerance=2e-3,
)


# ---------------------------------------------------------------------------------------------------------------------
# gradient_shap
# ---------------------------------------------------------------------------------------------------------------------


def gradient_shap(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    """Return the mean of (I - b_k) dy/dI at b_k + alpha_k (I - b_k), over the given pairs, as the lab asks for it."""
    total = torch.zeros_like(inputs)
    for baseline, alpha in zip(baselines, alphas, strict=True):
        point = (baseline + alpha * (inputs - baseline)).detach().requires_grad_()
        with torch.enable_grad():
            score = model(point.clone())[:, target].sum()
        total += (inputs - baseline) * torch.autograd.grad(score, point)[0]
    return total / len(baselines)


def _gradient_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(source: torch.Generator, kind: str, n_images: int, n_samples: int, note: str) -> Case:
        network = Network(kind, seed=draw_integer(source, 0, 2**31))
        return Case(
            {
                "model": network,
                "inputs": torch.rand(n_images, 3, 8, 8, generator=source),
                "target": draw_integer(source, 1, 5),
                "baselines": torch.rand(n_samples, 3, 8, 8, generator=source),
                "alphas": torch.rand(n_samples, generator=source),
            },
            note,
        )

    fixed = torch.Generator().manual_seed(18)
    yield case(fixed, "quadratic", 2, 3, "two images and three baselines, a quadratic network")
    yield case(fixed, "conv", 2, 4, "a convolutional network")
    yield case(generator, "cubic", 1, 5, "one image, a cubic network")
    yield case(generator, "inplace", 3, 3, "a network that works in place")
    yield case(generator, "quadratic", 2, 1, "a single baseline")


def _sampled_path(
    model: nn.Module,
    inputs: Tensor,
    target: int,
    baselines: Tensor,
    alphas: Tensor,
    point: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda x, b, alpha: b + alpha * (x - b),
    factor: Callable[[Tensor, Tensor], Tensor] = lambda x, b: x - b,
    output: Callable[[Tensor, int], Tensor] = lambda scores, target: scores[:, target],
    mean: bool = True,
    finish: Callable[[Tensor], Tensor] = lambda total: total,
    pairs: Callable[[Tensor, Tensor], list[tuple[Tensor, Tensor]]] = lambda b, a: list(zip(b, a, strict=True)),
) -> Tensor:
    terms = []
    for baseline, alpha in pairs(baselines, alphas):
        here = point(inputs, baseline, alpha).detach().clone().requires_grad_()
        with torch.enable_grad():
            score = output(model(here.clone()), target).sum()
        terms.append(factor(inputs, baseline) * torch.autograd.grad(score, here)[0])
    total = sum(terms)
    return finish(total / len(terms) if mean else total)


def _mean_factor(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    """Average the gradients and the differences separately."""
    gradients = _sampled_path(model, inputs, target, baselines, alphas, factor=lambda x, b: torch.ones_like(x))
    return (inputs - baselines.mean(0)) * gradients


GRADIENT_SHAP = Exercise(
    name="gradient_shap",
    reference=gradient_shap,
    cases=_gradient_cases,
    mistakes={
        "no_factor": Mistake(
            partial(_sampled_path, factor=lambda x, b: torch.ones_like(x)),
            "this is the mean gradient. Each gradient is multiplied with the way from its baseline, I - b.",
        ),
        "times_the_image": Mistake(
            partial(_sampled_path, factor=lambda x, b: x),
            "you multiply with the image. The factor is the way from the baseline, I - b.",
        ),
        "mean_factor": Mistake(
            _mean_factor,
            "you multiply the mean gradient with the mean way. Each gradient belongs to its own baseline: multiply "
            "first, then take the mean.",
        ),
        "other_direction": Mistake(
            partial(_sampled_path, factor=lambda x, b: b - x),
            "your factor goes from the image to the baseline. It is I - b.",
        ),
        "at_the_image": Mistake(
            partial(_sampled_path, point=lambda x, b, alpha: x.clone()),
            "you take the gradient at the image. It is taken at a point between baseline and image, b + alpha (I - b).",
        ),
        "at_the_baseline": Mistake(
            partial(_sampled_path, point=lambda x, b, alpha: b.expand_as(x).clone()),
            "you take the gradient at the baseline. It is taken at a point between, b + alpha (I - b).",
        ),
        "halfway": Mistake(
            partial(_sampled_path, point=lambda x, b, alpha: b + 0.5 * (x - b)),
            "you take the gradient halfway. Each sample has its own alpha.",
        ),
        "alpha_reversed": Mistake(
            partial(_sampled_path, point=lambda x, b, alpha: x + alpha * (b - x)),
            "your alpha counts from the image. At alpha = 0 the point is the baseline.",
        ),
        "scaled_image": Mistake(
            partial(_sampled_path, point=lambda x, b, alpha: alpha * x),
            "your point is alpha I, as if the baseline were black. It is b + alpha (I - b).",
        ),
        "sum": Mistake(partial(_sampled_path, mean=False), "you return the sum over the samples, not the mean."),
        "probability": Mistake(
            partial(_sampled_path, output=lambda scores, target: scores.softmax(1)[:, target]),
            "you explain the probability. The class score is asked for, before the softmax.",
        ),
        "largest_score": Mistake(
            partial(_sampled_path, output=lambda scores, target: scores.amax(1)),
            "you explain the largest score at each point. The class is `target`.",
        ),
        "class_0": Mistake(
            partial(_sampled_path, output=lambda scores, target: scores[:, 0]),
            "you explain class 0, whatever `target` is.",
        ),
        "absolute": Mistake(partial(_sampled_path, finish=torch.abs), "you lost the sign."),
        "every_pair": Mistake(
            partial(_sampled_path, pairs=lambda b, a: list(itertools.product(b, a))),
            "you combine each baseline with each alpha. Sample k is the pair of baseline k and alpha k.",
        ),
        "first_baseline": Mistake(
            partial(_sampled_path, pairs=lambda b, a: [(b[0], alpha) for alpha in a]),
            "you use the first baseline for all samples. Sample k has baseline k.",
        ),
        "mean_baseline": Mistake(
            partial(_sampled_path, pairs=lambda b, a: [(b.mean(0), alpha) for alpha in a]),
            "you use the mean of the baselines for all samples. Sample k has baseline k.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# deep_lift
# ---------------------------------------------------------------------------------------------------------------------


@register_network("dense_relu")
def _dense_relu(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Two hidden layers of ReLUs."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, n_classes)
    )


@register_network("conv_relu")
def _conv_relu(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Two convolutions, without pooling."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 3, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3 * ((shape[1] - 3) // 2 + 1) * ((shape[2] - 3) // 2 + 1), n_classes),
    )


def deep_lift(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    """Return DeepLIFT's contributions of the pixels, as the lab asks for them."""
    return shapley.deep_lift(model, inputs, target, baselines)


def _lift_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(source: torch.Generator, kind: str, n_images: int, note: str, shape: tuple[int, int, int]) -> Case:
        network = Network(kind, seed=draw_integer(source, 0, 2**31), shape=shape)
        return Case(
            {
                "model": network,
                "inputs": torch.rand(n_images, *shape, generator=source),
                "target": draw_integer(source, 1, 5),
                "baselines": torch.rand(n_images, *shape, generator=source),
            },
            note,
        )

    fixed = torch.Generator().manual_seed(19)
    yield case(fixed, "dense_relu", 2, "a dense network", (1, 3, 4))
    yield case(fixed, "conv_relu", 2, "a convolutional network", (3, 7, 7))
    yield case(generator, "dense_relu", 3, "three images", (2, 4, 4))
    yield case(generator, "conv_relu", 1, "one image", (1, 9, 7))
    network = Network("conv_relu", seed=draw_integer(generator, 0, 2**31), shape=(1, 9, 9))
    inputs = torch.rand(1, 1, 9, 9, generator=generator)
    baselines = inputs.clone()
    baselines[..., :3] = 0.0
    yield Case(
        {"model": network, "inputs": inputs, "target": 2, "baselines": baselines}, "image and baseline agree in a part"
    )


def _lifted(
    model: nn.Sequential,
    inputs: Tensor,
    target: int,
    baselines: Tensor,
    multiplier: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None = None,
    factor: Callable[[Tensor, Tensor], Tensor] = lambda x, x0: x - x0,
    finish: Callable[[Tensor], Tensor] = lambda values: values,
    target_of: Callable[[int], int] = lambda target: target,
    start: Callable[[Tensor], Tensor] = lambda baselines: baselines,
    eps: float = 1e-7,
) -> Tensor:
    """Go through the layers forward with both images, and back with multipliers."""
    baselines = start(baselines)
    with torch.no_grad():
        pairs = [(inputs.clone(), baselines.clone())]
        for layer in model:
            pairs.append((layer(pairs[-1][0].clone()), layer(pairs[-1][1].clone())))
    m = torch.zeros_like(pairs[-1][0])
    m[:, target_of(target)] = 1.0
    for layer, (x, x0), (y, y0) in zip(reversed(model), reversed(pairs[:-1]), reversed(pairs[1:]), strict=True):
        if isinstance(layer, nn.ReLU):
            if multiplier is not None:
                slope = multiplier(x, x0, y, y0)
            else:
                same = (x - x0).abs() < eps
                slope = torch.where(same, (x > 0).to(x), (y - y0) / torch.where(same, torch.ones_like(x), x - x0))
            m = m * slope
        else:
            here = x.clone().requires_grad_()
            with torch.enable_grad():
                out = layer(here)
            m = torch.autograd.grad(out, here, m)[0]
    return finish(m * factor(inputs, baselines))


DEEP_LIFT = Exercise(
    name="deep_lift",
    reference=deep_lift,
    cases=_lift_cases,
    mistakes={
        "gradient_at_the_image": Mistake(
            partial(_lifted, multiplier=lambda x, x0, y, y0: (x > 0).to(x)),
            "you used the derivative of the ReLU at the image (or its output by its input, which is the same): this is "
            "gradient times (I - I'). DeepLIFT uses the CHANGE of its output by the CHANGE of its input.",
        ),
        "gradient_at_the_baseline": Mistake(
            partial(_lifted, multiplier=lambda x, x0, y, y0: (x0 > 0).to(x)),
            "you used the derivative of the ReLU at the baseline. DeepLIFT uses the change of its output by the change "
            "of its input.",
        ),
        "mean_of_derivatives": Mistake(
            partial(_lifted, multiplier=lambda x, x0, y, y0: ((x > 0).to(x) + (x0 > 0).to(x)) / 2),
            "you took the mean of the two derivatives. The multiplier is the change of the output by the change of the "
            "input.",
        ),
        "upside_down": Mistake(
            partial(
                _lifted,
                multiplier=lambda x, x0, y, y0: torch.where(
                    (y - y0).abs() < 1e-7, torch.zeros_like(x), (x - x0) / torch.where(y == y0, 1.0, y - y0)
                ),
            ),
            "your multiplier is upside down: the change of the output is divided by that of the input.",
        ),
        "multipliers_alone": Mistake(
            partial(_lifted, factor=lambda x, x0: torch.ones_like(x)),
            "these are the multipliers. A pixel's contribution is its multiplier times its change, I - I'.",
        ),
        "times_the_image": Mistake(
            partial(_lifted, factor=lambda x, x0: x),
            "you multiply with the image in the end. The pixels' change is I - I'.",
        ),
        "sign": Mistake(
            partial(_lifted, factor=lambda x, x0: x0 - x),
            "your change goes from the image to the baseline: it is I - I'.",
        ),
        "black_baseline": Mistake(
            partial(_lifted, start=torch.zeros_like), "your baseline is black, whatever `baselines` is."
        ),
        "first_baseline_for_all": Mistake(
            partial(_lifted, start=lambda baselines: baselines[:1].expand_as(baselines)),
            "you compare all images with the first baseline. Image k has baseline k.",
        ),
        "class_0": Mistake(partial(_lifted, target_of=lambda target: 0), "you explain class 0, whatever `target` is."),
        "absolute": Mistake(partial(_lifted, finish=torch.abs), "you lost the sign."),
        "no_relu": Mistake(
            partial(_lifted, multiplier=lambda x, x0, y, y0: torch.ones_like(x)),
            "you went back through the ReLUs as if they were not there. Each has a multiplier.",
        ),
    },
    properties=[
        Property(
            "the contributions sum to y(I) - y(I').",
            lambda arguments, value: bool(
                (
                    value.flatten(1).sum(1)
                    - (arguments["model"](arguments["inputs"]) - arguments["model"](arguments["baselines"]))[
                        :, arguments["target"]
                    ]
                )
                .abs()
                .max()
                <= 1e-3
            ),
        )
    ],
)


EXERCISES = (
    GLOVES,
    VOTES,
    EXACT_SHAPLEY,
    BROKEN_AXIOMS,
    PERMUTATION_SHAPLEY,
    KERNEL_WEIGHT,
    KERNEL_SHAP,
    SATURATION,
    GRADIENT_SHAP,
    DEEP_LIFT,
)
