# %% [markdown]
# # Lab 09: Shapley values and SHAP (60 points)
#
# {{colab_badge}}
#
# Several players win something together. What is each one's fair share? There is exactly one answer that keeps four
# simple demands, the Shapley value. Make the superpixels of an image the players and the score what they win, and it is
# an explanation; estimate it by a linear model, and it is KernelSHAP, LIME with another kernel. In this lab you write
# all of it from scratch, and the two fast relatives that look into the network, GradientSHAP and DeepLIFT.
#
# **When you are through, you can**
#
# - work the Shapley values of small games by hand, and compute those of larger ones exactly;
# - say what the four axioms demand, and which of them another rule of sharing breaks;
# - estimate Shapley values from orders, with error bars, and from coalitions, by a fit with a constraint;
# - compute GradientSHAP and DeepLIFT, and say why they see what a gradient at the image misses;
# - say what an estimate costs, and hold it against the exact value and against the truth.
#
# **Time and points:** about 4 hours, 60 points: 50 for ten exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** all this is derived in the [lecture](../../lectures/09_shapley.ipynb). What you need of it is
# said again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. Gloves | 3 | 1 | 10 |
# | 2. Votes | 3 | 1 | 10 |
# | 3. Exact values | 8 | 3 | 30 |
# | 4. Which axiom does it break? | 4 | 2 | 15 |
# | 5. From orders, with error bars | 7 | 3 | 30 |
# | 6. The Shapley kernel | 3 | 1 | 10 |
# | 7. KernelSHAP | 8 | 4 | 40 |
# | 8. Saturation | 4 | 2 | 15 |
# | 9. GradientSHAP | 5 | 3 | 20 |
# | 10. DeepLIFT | 5 | 4 | 35 |
# | 11. What the values show | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on games and networks that it makes up itself, and says one of these:
#
# - `exact_shapley: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Four exercises are worked by hand. There your function takes nothing and returns your numbers (or names).
#
# When the lab is graded, the same check runs once more on other games and networks. So do not fit your code to the
# cases: follow the formula. Your function must also leave everything as it was: the tensors, the network, its mode.
#
# **Games in code.** A game is a function `value` of coalitions: it takes a bool tensor $(B, n)$, one row a coalition
# and one column a player (True: takes part), and returns what each coalition wins, a tensor $(B,)$. Ask it about many
# coalitions at once, or about one, as a table of one row.
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function sees. All exercises go on with `course_utils` where they need another method, so
# that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io
import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import shap
import torch
from captum import attr
from IPython.display import Markdown, display
from torch import Tensor, nn

from course_utils import evaluation, exercises, lime, models, plotting, zoo
from course_utils import shapley as course_shapley

unit = exercises.load("09_shapley")
Game = Callable[[Tensor], Tensor]

# %% [markdown]
# ## A network, four images, and a game
#
# The zoo once more: drawn images, of which it is known which pixels are the object. The game of an image: its
# superpixels are the players, and a coalition wins the class score of the image of which the other superpixels are
# removed (they get their mean colour).

# %%
zoo_model = models.load("zoo")
names = ["cup", "ring", "zebra", "star"]
drawn = [zoo.sample(n, seed=61, classes=[name]) for name, n in zip(names, (5, 11, 7, 9), strict=True)]
images = torch.stack([sample.images[-1] for sample in drawn])  # (4, 3, 64, 64), in [0, 1]
labels = torch.stack([sample.labels[-1] for sample in drawn])  # (4,)
objects = torch.stack([sample.mask("object")[-1] for sample in drawn])  # (4, 64, 64), True on the object

cup, of_cup = images[0], lime.segment(images[0], 12)
n_cup = int(of_cup.max()) + 1
everything = torch.tensor(list(itertools.product([False, True], repeat=n_cup)))  # all coalitions, (2^n, n)
table = course_shapley.superpixel_game(zoo_model, cup, int(labels[0]), of_cup)(everything)
places = 2 ** torch.arange(n_cup - 1, -1, -1)


def cup_game(coalitions: Tensor) -> Tensor:
    """The cup's game, bool (B, n) to (B,), looked up: the network was asked about each coalition once, above."""
    return table[coalitions.long() @ places]


nobody, all_players = table[0], table[-1]
print(f"{n_cup} players, {len(table)} coalitions; nobody wins {nobody:.2f}, all together win {all_players:.2f}")
plotting.superpixel_grid(cup[None], of_cup[None], titles=["the players"], numbers=True)

# %% [markdown]
# ## Exercise 1: gloves (3 points, difficulty 1 of 5, 10 minutes)
#
# Players 1 and 2 hold a **left** glove each, player 3 holds a **right** one. A pair is worth 1, single gloves nothing.
#
# The players come into a room one after the other, in some order. Each gets what the room's worth grows by when it
# comes. The Shapley value is the mean over all orders, here six: 123, 132, 213, 231, 312, 321.
#
# **Compute** the Shapley values of the three players.
#
# **For example**, with one left and one right glove there are two orders, and in each the second player completes the
# pair: $(1/2, 1/2)$.
#
# **Shape:** three numbers, of players 1, 2, 3.


# %% nbgrader={"grade_id": "gloves", "solution": true}
def gloves() -> tuple[float, float, float]:
    """Return the Shapley values of the three players, worked by hand."""
    ### BEGIN SOLUTION
    # The pair is completed by 3, 3, 3, 1, 3 ... : 123 -> 3, 132 -> 3, 213 -> 3, 231 -> 3, 312 -> 1, 321 -> 2.
    return 1 / 6, 1 / 6, 4 / 6
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_gloves", "grade": true, "locked": true, "points": 3}
unit["gloves"].check(gloves)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write the six orders down. In each, mark the player who completes the pair. Then count.
#
# </details>
#
# <details><summary>My values do not sum to 1</summary>
#
# In each order the pair is completed by exactly one player, so the six marks are shared out: six sixths.
#
# </details>

# %%
plotting.bars(
    {f"player {k + 1}": share for k, share in enumerate(gloves())},
    "Shapley value (pairs)",
    "Two left gloves, one right",
)

# %% [markdown]
# ## Exercise 2: votes (3 points, difficulty 1 of 5, 10 minutes)
#
# Three parties have 3, 2 and 2 votes. A coalition wins 1 if it has at least **5** votes, else 0.
#
# **Compute** the Shapley values: the share of the six orders in which a party turns a losing coalition into a winning
# one.
#
# **For example**, with 2 and 1 votes and a quota of 2, party 1 turns both orders: $(1, 0)$.
#
# **Shape:** three numbers.


# %% nbgrader={"grade_id": "votes", "solution": true}
def votes() -> tuple[float, float, float]:
    """Return the Shapley values of the three parties, worked by hand."""
    ### BEGIN SOLUTION
    # 123 -> 2, 132 -> 3, 213 -> 1, 231 -> 1, 312 -> 1, 321 -> 1 (2 and 3 together have 4 votes only).
    return 4 / 6, 1 / 6, 1 / 6
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_votes", "grade": true, "locked": true, "points": 3}
unit["votes"].check(votes)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# In each of the six orders add the votes up, and mark the party with which they reach 5.
#
# </details>

# %%
plotting.bars(
    dict(zip(("party 1: 3 votes", "party 2: 2 votes", "party 3: 2 votes"), votes(), strict=True)),
    "Shapley value (power)",
    "3, 2 and 2 votes, quota 5",
)

# %% [markdown]
# With 43 % of the votes the first party has two thirds of the power.

# %% [markdown]
# ## Exercise 3: exact values (8 points, difficulty 3 of 5, 30 minutes)
#
# Many orders give the same gain. Collect them: player $j$ comes after exactly the coalition $S$ in
# $|S|!\,(n - |S| - 1)!$ of the $n!$ orders. So
#
# $$\phi_j = \sum_{S \subseteq \{0, \ldots, n-1\} \setminus \{j\}} \frac{|S|!\,(n - |S| - 1)!}{n!}
# \big(v(S \cup \{j\}) - v(S)\big).$$
#
# **Write** a function that computes all $\phi_j$. The empty coalition may win something: ask the game.
#
# **For example**, $n = 2$ with $v = 1$ for nobody, $4$ for player 0, $3$ for player 1 and $8$ for both: both weights
# are $1/2$, so $\phi_0 = (3 + 5)/2 = 4$, $\phi_1 = (2 + 4)/2 = 3$, together $8 - 1$.
#
# **Shapes:** `value` maps bool $(B, n)$ to $(B,)$; the result float $(n,)$.


# %% nbgrader={"grade_id": "exact_shapley", "solution": true}
def exact_shapley(value: Game, n_players: int) -> Tensor:
    """Return the Shapley values, (n_players,); value: the game, bool (B, n) to (B,)."""
    ### BEGIN SOLUTION
    n = n_players
    everything = torch.tensor(list(itertools.product([False, True], repeat=n)))  # all 2^n coalitions
    won = value(everything)
    number = {tuple(row): k for k, row in enumerate(everything.tolist())}
    shares = torch.zeros(n)
    for row, k in number.items():
        s = sum(row)
        for j in range(n):
            if not row[j]:
                joined = number[(*row[:j], True, *row[j + 1 :])]
                weight = math.factorial(s) * math.factorial(n - s - 1) / math.factorial(n)
                shares[j] += weight * (won[joined] - won[k])
    return shares
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_exact_shapley", "grade": true, "locked": true, "points": 8}
unit["exact_shapley"].check(exact_shapley)
### BEGIN HIDDEN TESTS
unit["exact_shapley"].check(exact_shapley, seed=9011)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `itertools.product([False, True], repeat=n)` goes through all coalitions. Ask the game about all of them with one
# table, and keep the answers. Then two loops: over the coalitions, and over the players that are not in them.
#
# </details>
#
# <details><summary>My shares sum to something else than v(all) − v(nobody)</summary>
#
# Print your weights for $n = 3$. For one player they must sum to 1 over the coalitions of the others: 1/3, 1/6, 1/6,
# 1/3.
#
# </details>
#
# <details><summary>It is right for three players and wrong for more</summary>
#
# Are really all coalitions of the other players there, the empty and the largest one too?
#
# </details>

# %%
exact = exact_shapley(cup_game, n_cup)
print(f"the shares sum to {exact.sum():.2f}; all less nobody: {all_players - nobody:.2f}")
plotting.heatmap_grid(
    exact[of_cup][None],
    titles=["your exact values"],
    images=cup[None],
    masks=objects[0:1],
    heading="What speaks for cup",
    label="Shapley value (score)",
)

# %% [markdown]
# ## Exercise 4: which axiom does it break? (4 points, difficulty 2 of 5, 15 minutes)
#
# The Shapley value is the only rule of sharing that keeps four axioms in every game:
#
# - **efficiency:** the shares sum to $v(\text{all}) - v(\text{nobody})$;
# - **symmetry:** two players who add the same to every coalition without them get the same;
# - **null player:** who adds nothing to any coalition gets 0;
# - **linearity:** the shares of the sum of two games are the sums of the shares.
#
# Four other rules, each of which breaks **exactly one**:
#
# - **a:** everybody gets $(v(\text{all}) - v(\text{nobody})) / n$;
# - **b:** player $j$ gets $v(\text{all}) - v(\text{all without } j)$;
# - **c:** player $j$ gets $v(\{0, \ldots, j\}) - v(\{0, \ldots, j - 1\})$, its gain in the order of the numbers;
# - **d:** $v(\text{all}) - v(\text{nobody})$ is shared out in proportion to the numbers of rule b.
#
# **Choose** one axiom for each rule, written as `a: ...`, `b: ...`, `c: ...`, `d: ...`.
#
# **For example**, "player $j$ gets what it wins alone" would be `e: efficiency`: alone, nobody may win anything.
#
# **Shape:** a set of four strings, such as `{"a: symmetry", ...}`.


# %% nbgrader={"grade_id": "broken_axioms", "solution": true}
def broken_axioms() -> set[str]:
    """Return which axiom each of the rules a, b, c, d breaks."""
    ### BEGIN SOLUTION
    return {"a: null player", "b: efficiency", "c: symmetry", "d: linearity"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_broken_axioms", "grade": true, "locked": true, "points": 4}
unit["broken_axioms"].check(broken_axioms)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Try each rule on the gloves: two left, one right, and perhaps a fourth player without a glove.
#
# </details>
#
# <details><summary>How do I see that a rule breaks linearity?</summary>
#
# Differences and sums of a game's numbers are linear in the game. A quotient of two of them is not.
#
# </details>


# %%
def rule_a(value: Game, n: int) -> Tensor:
    """Everybody gets the same."""
    both = value(torch.tensor([[False], [True]]).expand(2, n))
    return ((both[1] - both[0]) / n).expand(n)


def rule_b(value: Game, n: int) -> Tensor:
    """Who leaves, takes with it what is lost."""
    return value(torch.ones(1, n).bool()) - value(~torch.eye(n).bool())


def rule_c(value: Game, n: int) -> Tensor:
    """The gains in the order of the numbers."""
    return value(torch.ones(n + 1, n).tril(-1).bool()).diff()


def rule_d(value: Game, n: int) -> Tensor:
    """In proportion to rule b."""
    gains = rule_b(value, n)
    return rule_a(value, n).sum() * gains / gains.sum()


first, second = course_shapley.voting_game([3, 2, 2, 2, 0], 8), course_shapley.voting_game([1, 1, 1, 1, 3], 6)
lines = ["| rule | efficiency | symmetry | null player | linearity |", "| --- | ---: | ---: | ---: | ---: |"]
rules = {"a": rule_a, "b": rule_b, "c": rule_c, "d": rule_d, "your exact_shapley": exact_shapley}
for name, rule in rules.items():
    gaps = course_shapley.axiom_gaps(rule, first, second, 5)
    lines.append(f"| {name} | " + " | ".join(f"{abs(gap):.2f}" for gap in gaps.values()) + " |")
display(Markdown("By how much each rule breaks each axiom, on two games of votes:\n\n" + "\n".join(lines)))

# %% [markdown]
# ## Exercise 5: from orders, with error bars (7 points, difficulty 3 of 5, 30 minutes)
#
# With 30 players there are a billion coalitions. But a mean can be estimated: draw $P$ orders, let the players come,
# and take the mean of each player's gains. The gains of one player in the $P$ orders also say how good this mean is:
# its **standard error** is their standard deviation (with $P - 1$) over $\sqrt{P}$.
#
# **Write** a function that returns both. The orders are given: `orders[p, k]` is the player who comes $k$-th in order
# $p$.
#
# **For example**, in the game of exercise 3 ($v = 1, 4, 3, 8$ for nobody, player 0, player 1, both) and the orders $(0,
# 1)$ and $(1, 0)$: player 0 gains 3 and 5, player 1 gains 4 and 2. The means are 4 and 3, the standard errors $\sqrt{2}
# / \sqrt{2} = 1$ each.
#
# **Shapes:** `orders` LongTensor $(P, n)$; the result a pair of tensors, each $(n,)$.


# %% nbgrader={"grade_id": "permutation_shapley", "solution": true}
def permutation_shapley(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean gain of each player over the orders, (n,), and its standard error, (n,); orders: (P, n)."""
    ### BEGIN SOLUTION
    gains = []
    for order in orders:
        n = len(order)
        room = torch.zeros(n + 1, n, dtype=torch.bool)  # row k: the first k players have come
        for k, player in enumerate(order):
            room[k + 1 :, player] = True
        gain = torch.zeros(n)
        gain[order] = value(room).diff()
        gains.append(gain)
    gains = torch.stack(gains)
    return gains.mean(0), gains.std(0) / len(gains) ** 0.5
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_permutation_shapley", "grade": true, "locked": true, "points": 7}
unit["permutation_shapley"].check(permutation_shapley)
### BEGIN HIDDEN TESTS
unit["permutation_shapley"].check(permutation_shapley, seed=9021)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Do one order first. Make the table of the coalitions that stand in the room: nobody, one player, two, ..., all. The
# differences of what they win are the gains, in the order of coming.
#
# </details>
#
# <details><summary>My means are right for the order 0, 1, 2, ... only</summary>
#
# The gain at place $k$ belongs to the player `order[k]`, not to player $k$.
#
# </details>
#
# <details><summary>My means are right and my errors are not</summary>
#
# torch's `std` divides by $P - 1$ already. What is left to divide by, to come from the deviation of one gain to that of
# a mean of $P$?
#
# </details>

# %%
generator = torch.Generator().manual_seed(0)
few = torch.stack([torch.randperm(n_cup, generator=generator) for _ in range(60)])
course_exact = course_shapley.exact_shapley(cup_game, n_cup)
lines = {}
for n_orders in (10, 60):
    estimates, errors = permutation_shapley(cup_game, few[:n_orders])
    inside = ((estimates - course_exact).abs() <= 2 * errors).sum()
    print(f"{n_orders} orders: {int(inside)} of {n_cup} exact values lie within two standard errors")
    lines[f"{n_orders} orders: error"] = (torch.arange(n_cup), estimates - course_exact)
    lines[f"{n_orders} orders: + 2 standard errors"] = (torch.arange(n_cup), 2 * errors)
plotting.curves(lines, "superpixel", "score", "How far your estimates are off, and what their error bars say")

# %% [markdown]
# ## Exercise 6: the Shapley kernel (3 points, difficulty 1 of 5, 10 minutes)
#
# An **additive explanation** is a linear model of coalitions, $g(z') = \phi_0 + \sum_j \phi_j z'_j$. Fit it by weighted
# least squares as LIME does, but give a coalition of $s$ of the $n$ players the weight
#
# $$\pi(s) = \frac{n - 1}{\binom{n}{s}\, s\, (n - s)}$$
#
# (and meet the empty and the full coalition exactly: there $\pi$ is infinite). Then the weights $\phi_j$ are the
# Shapley values.
#
# **Write** the weight.
#
# **For example**, for $n = 4$: $\pi(1) = 3 / (4 \cdot 1 \cdot 3) = 0.25$ and $\pi(2) = 3 / (6 \cdot 2 \cdot 2) =
# 0.125$.
#
# **Shapes:** `sizes` LongTensor $(B,)$ with numbers from 1 to $n - 1$; the result float $(B,)$.


# %% nbgrader={"grade_id": "kernel_weight", "solution": true}
def kernel_weight(sizes: Tensor, n_players: int) -> Tensor:
    """Return the Shapley kernel of coalitions of these sizes, (B,); sizes: (B,), 1 to n_players - 1."""
    ### BEGIN SOLUTION
    s, n = sizes.double(), torch.tensor(float(n_players)).double()
    log_binomial = torch.lgamma(n + 1) - torch.lgamma(s + 1) - torch.lgamma(n - s + 1)
    return ((n - 1) / (log_binomial.exp() * s * (n - s))).float()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_kernel_weight", "grade": true, "locked": true, "points": 3}
unit["kernel_weight"].check(kernel_weight)
### BEGIN HIDDEN TESTS
unit["kernel_weight"].check(kernel_weight, seed=9031)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `math.comb(n, s)` is the binomial coefficient. Go through `sizes.tolist()`.
#
# </details>
#
# <details><summary>My answer has the wrong type</summary>
#
# A tensor of floats is asked for: `torch.tensor([...])`.
#
# </details>

# %%
every = torch.arange(1, 30)
of_lime = lime.proximity(torch.arange(30) < every[:, None])
logarithms = kernel_weight(every, 30).log10()
number = torch.tensor([math.comb(30, s) for s in every.tolist()]).double()
together = kernel_weight(every, 30) * number
together = (together / together.sum()).log10()
plotting.curves(
    {
        "your kernel, one coalition": (every, logarithms),
        "your kernel, all of one size": (every, together),
        "LIME's kernel": (every, of_lime.log10()),
    },
    "players in the coalition, of 30",
    "log₁₀ of the weight",
    "Whom the fit listens to",
)

# %% [markdown]
# LIME listens to nearly full coalitions. The Shapley kernel listens to both ends alike: to what a player does alone,
# and to what is missing without it.

# %% [markdown]
# ## Exercise 7: KernelSHAP (8 points, difficulty 4 of 5, 40 minutes)
#
# Minimize, over the shares $\phi_1, \ldots, \phi_n$,
#
# $$\sum_h \pi_h \Big( v(z_h) - v(\text{nobody}) - \sum_j \phi_j z_{hj} \Big)^2
# \quad\text{under}\quad \sum_j \phi_j = v(\text{all}) - v(\text{nobody}).$$
#
# The constraint can be put in: $\phi_n = (v(\text{all}) - v(\text{nobody})) - \sum_{j<n} \phi_j$. What remains is a
# plain least squares problem for $n - 1$ shares, with the inputs $z_{hj} - z_{hn}$. (Or write down Lagrange's
# conditions: $n + 1$ linear equations.)
#
# **Write** a function that returns the shares. The coalitions and their weights are given; $v(\text{all})$ and
# $v(\text{nobody})$ you ask the game.
#
# **For example**, the game of exercise 3 with the coalitions $(1, 0)$ and $(0, 1)$ and equal weights: $\phi_1 = 7 -
# \phi_0$, the errors are $3 - \phi_0$ and $2 - (7 - \phi_0) = \phi_0 - 5$, so $\phi_0 = 4$ and $\phi_1 = 3$: the
# Shapley values.
#
# **Shapes:** `coalitions` bool $(S, n)$, `weights` $(S,)$; the result float $(n,)$. Compute in `double`.


# %% nbgrader={"grade_id": "kernel_shap", "solution": true}
def kernel_shap(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """Return the shares (n,) of the constrained weighted fit; coalitions: bool (S, n); weights: (S,)."""
    ### BEGIN SOLUTION
    n = coalitions.shape[1]
    nobody = value(torch.zeros(1, n, dtype=torch.bool)).double()
    whole = value(torch.ones(1, n, dtype=torch.bool)).double() - nobody
    z, root = coalitions.double(), weights.double().sqrt().unsqueeze(1)
    left = value(coalitions).double() - nobody - z[:, -1] * whole
    inputs = z[:, :-1] - z[:, -1:]
    shares = torch.linalg.lstsq(root * inputs, root * left.unsqueeze(1)).solution[:, 0]
    return torch.cat([shares, whole - shares.sum()]).float()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_kernel_shap", "grade": true, "locked": true, "points": 8}
unit["kernel_shap"].check(kernel_shap)
### BEGIN HIDDEN TESTS
unit["kernel_shap"].check(kernel_shap, seed=9041)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Put $\phi_n$ into the sum with pencil and paper, and collect what stands at $\phi_1, \ldots, \phi_{n-1}$ and what is
# free of them. Then it is the ridge regression of lab 08 without a penalty and without $b$.
#
# </details>
#
# <details><summary>My shares sum to the right number and are not right</summary>
#
# Do the weights come in once, and not squared? A solver for least squares squares the rows that you give it.
#
# </details>
#
# <details><summary>Everything is off by about the same number</summary>
#
# Did you take $v(\text{nobody})$ off, both from the scores and from the whole?
#
# </details>

# %%
pairs = lime.sample_coalitions(60, n_cup, torch.Generator().manual_seed(2))[1:]
pairs = torch.cat([pairs, ~pairs])
pairs = pairs[(pairs.sum(1) > 0) & (pairs.sum(1) < n_cup)]
fitted = kernel_shap(cup_game, pairs, kernel_weight(pairs.sum(1), n_cup))
plotting.heatmap_grid(
    torch.stack([course_exact[of_cup], fitted[of_cup]]),
    titles=[f"exact: {2**n_cup} coalitions", f"your fit: {len(pairs)}"],
    images=cup.expand(2, -1, -1, -1),
    masks=objects[0].expand(2, -1, -1),
    heading="What speaks for cup",
    label="share (score)",
)

# %% [markdown]
# ## Exercise 8: saturation (4 points, difficulty 2 of 5, 15 minutes)
#
# The example of unit 06: $y = 1 - \max(0, 1 - i_1 - i_2)$. It grows with $i_1 + i_2$ until this sum is 1, and is flat
# from there on. Explain it at $(i_1, i_2) = (1, 0.5)$ with the baseline $(0, 0)$, where $y = 0$.
#
# **Compute**
#
# - **gradient times input:** $i_1 \, \partial y / \partial i_1$ and $i_2 \, \partial y / \partial i_2$ at the point;
# - the **Shapley values:** the mean of the gains in the orders $i_1, i_2$ and $i_2, i_1$ (an input that has not come is
#   0);
# - **DeepLIFT** (rescale rule): the ReLU's input $u = 1 - i_1 - i_2$ changes from baseline to point, and so does its
#   output $\max(0, u)$. Its multiplier is the change of the output by the change of $u$. An input contributes its own
#   change, times its coefficient in $u$ ($-1$), times the multiplier, times the ReLU's coefficient in $y$ ($-1$).
#
# **For example**, at $(0.5, 0.25)$ nothing is saturated, and all three give $(0.5, 0.25)$.
#
# **Shape:** six numbers: two of each method, in this order.


# %% nbgrader={"grade_id": "saturation", "solution": true}
def saturation() -> tuple[float, ...]:
    """Return gradient x input, Shapley values and DeepLIFT of i_1, i_2 at (1, 0.5), worked by hand."""
    ### BEGIN SOLUTION
    # Gradient: flat, 0. Orders: i_1 first gains (1, 0), i_2 first gains (0.5, 0.5): mean (0.75, 0.25).
    # DeepLIFT: u goes from 1 to -0.5, max(0, u) from 1 to 0: multiplier 1 / 1.5, times the changes 1 and 0.5.
    return 0.0, 0.0, 0.75, 0.25, 2 / 3, 1 / 3
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_saturation", "grade": true, "locked": true, "points": 4}
unit["saturation"].check(saturation)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Work out $y$ at four points: $(0, 0)$, $(1, 0)$, $(0, 0.5)$, $(1, 0.5)$. With these numbers the Shapley values are
# done.
#
# </details>
#
# <details><summary>My DeepLIFT does not sum to 1</summary>
#
# The change of $y$ is 1, and DeepLIFT shares out exactly this. The change of $u$ is $-1.5$, that of the ReLU's output
# is $-1$.
#
# </details>

# %%
numbers = saturation()
plotting.bars(
    {
        f"{method}, i{k + 1}": numbers[2 * m + k]
        for m, method in enumerate(("gradient × input", "Shapley value", "DeepLIFT"))
        for k in range(2)
    },
    "share of y (1 is to be shared out)",
    "A saturated output, by your hand",
)

# %% [markdown]
# ## Exercise 9: GradientSHAP (5 points, difficulty 3 of 5, 20 minutes)
#
# With thousands of pixels as players, coalitions are hopeless, but a gradient treats all pixels at once. Integrated
# gradients (unit 06) walk from one baseline to the image. **GradientSHAP** draws: for each sample $k$ a baseline $b_k$
# from a set of images and a point between the two, and takes
#
# $$\frac{1}{K} \sum_{k=1}^{K} (I - b_k) \cdot \frac{\partial y_c}{\partial I}\big(b_k + \alpha_k (I - b_k)\big).$$
#
# **Write** it. What is drawn is given: baseline $k$ goes with $\alpha_k$, for all images of the batch.
#
# **For example**, for $y = i^2$, the image 3, $b_1 = 1$ and $\alpha_1 = 0.5$: the point is 2, the gradient 4, and the
# value $(3 - 1) \cdot 4 = 8 = 3^2 - 1^2$.
#
# **Shapes:** `inputs` $(N, C, H, W)$, `baselines` $(K, C, H, W)$, `alphas` $(K,)$; the result $(N, C, H, W)$.


# %% nbgrader={"grade_id": "gradient_shap", "solution": true}
def gradient_shap(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    """Return the mean of (I - b_k) dy_c/dI at b_k + alpha_k (I - b_k), (N, C, H, W); target: the class c."""
    ### BEGIN SOLUTION
    n_samples, n = len(alphas), len(inputs)
    ways = inputs.unsqueeze(0) - baselines.unsqueeze(1)  # (K, N, C, H, W)
    points = baselines.unsqueeze(1) + alphas.view(-1, 1, 1, 1, 1) * ways
    points = points.flatten(0, 1).requires_grad_()
    score = model(points.clone())[:, target].sum()
    (gradients,) = torch.autograd.grad(score, points)
    return (ways * gradients.view(n_samples, n, *inputs.shape[1:])).mean(0)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_gradient_shap", "grade": true, "locked": true, "points": 5}
unit["gradient_shap"].check(gradient_shap)
### BEGIN HIDDEN TESTS
unit["gradient_shap"].check(gradient_shap, seed=9051)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# A loop over the samples. Inside: the point, its gradient (as in lab 06), the product with $I - b_k$. Then the mean.
#
# </details>
#
# <details><summary>torch complains about an in-place operation, or a leaf</summary>
#
# Ask for the gradient of a tensor of your own: `point = (...).detach().requires_grad_()`, and give the network a copy
# of it, `point.clone()`: it may work in place.
#
# </details>
#
# <details><summary>It is right for one baseline and wrong for several</summary>
#
# Multiply each gradient with the way from its own baseline before you take the mean.
#
# </details>

# %%
backgrounds = zoo.sample(20, seed=8).images
source = torch.Generator().manual_seed(1)
picks, alphas = torch.randint(20, (40,), generator=source), torch.rand(40, generator=source)
shares = torch.cat(
    [
        gradient_shap(zoo_model, image[None], int(label), backgrounds[picks], alphas)
        for image, label in zip(images, labels, strict=True)
    ]
)
plotting.heatmap_grid(
    shares,
    titles=names,
    images=images,
    masks=objects,
    heading="Your GradientSHAP, 40 samples, baselines from 20 images",
    label="share (score)",
    scale="map",
    quantile=0.995,
)

# %% [markdown]
# ## Exercise 10: DeepLIFT (5 points, difficulty 4 of 5, 35 minutes)
#
# DeepLIFT goes back through the network like a gradient, but with **differences**: run image $I$ and baseline $I'$
# through it side by side. At a ReLU with the inputs $x$ (image) and $x'$ (baseline), the multiplier is
#
# $$m = \frac{\max(0, x) - \max(0, x')}{x - x'}$$
#
# (and the ordinary derivative, 1 where $x > 0$ and else 0, where $x = x'$). Linear layers hand multipliers back exactly
# as they hand gradients back. At the pixels, the contribution is the multiplier times $I - I'$. The contributions sum
# to $y_c(I) - y_c(I')$.
#
# **Write** it for `nn.Sequential`s of `nn.Conv2d`, `nn.Linear`, `nn.Flatten` and `nn.ReLU`.
#
# **For example**, $x = 2$ and $x' = -3$: $m = (2 - 0) / (2 + 3) = 0.4$.
#
# **Shapes:** `inputs` and `baselines` $(N, C, H, W)$, image $k$ has baseline $k$; the result $(N, C, H, W)$.


# %% nbgrader={"grade_id": "deep_lift", "solution": true}
def deep_lift(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    """Return DeepLIFT's contributions (rescale rule) to y_c(I) - y_c(I'), (N, C, H, W); target: the class c."""
    ### BEGIN SOLUTION
    # A ReLU as the product with a constant multiplier: then autograd hands everything back.
    with torch.no_grad():
        multipliers, x, x0 = [], inputs.clone(), baselines.clone()
        for layer in model:
            if isinstance(layer, nn.ReLU):
                change = x - x0
                same = change.abs() < 1e-7
                slope = (torch.relu(x) - torch.relu(x0)) / torch.where(same, torch.ones_like(x), change)
                multipliers.append(torch.where(same, (x > 0).to(x), slope))
                x, x0 = torch.relu(x), torch.relu(x0)
            else:
                x, x0 = layer(x), layer(x0)
    leaf = inputs.detach().clone().requires_grad_()
    x, rest = leaf, iter(multipliers)
    for layer in model:
        x = x * next(rest) if isinstance(layer, nn.ReLU) else layer(x)
    (multiplier,) = torch.autograd.grad(x[:, target].sum(), leaf)
    return multiplier * (inputs - baselines)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_deep_lift", "grade": true, "locked": true, "points": 5}
unit["deep_lift"].check(deep_lift)
### BEGIN HIDDEN TESTS
unit["deep_lift"].check(deep_lift, seed=9061)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# First forward: go through `for layer in model` with both images, and keep what enters each layer. Then backward, from
# the last layer to the first, with a table of multipliers that starts as 1 for the class and 0 for the others.
#
# </details>
#
# <details><summary>How do I go back through a convolution?</summary>
#
# `torch.autograd.grad(layer(x), x, m)` hands `m` back through one layer. It does so for every linear layer, and for
# `nn.Flatten`.
#
# </details>
#
# <details><summary>Some of my numbers are NaN</summary>
#
# Where image and baseline agree you divide 0 by 0. `torch.where` picks the derivative there, but it does not keep you
# from dividing: put a 1 into the denominator first.
#
# </details>

# %%
small = nn.Sequential(
    nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 8, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(1352, 10)
)
lifted = deep_lift(small, images, 3, torch.full_like(images, 0.5))
with torch.no_grad():
    changes = (small(images) - small(torch.full_like(images, 0.5)))[:, 3]
lines = ["| image | sum of your contributions | y(I) − y(I′) |", "| --- | ---: | ---: |"]
for name, own, change in zip(names, lifted.flatten(1).sum(1), changes, strict=True):
    lines.append(f"| {name} | {own:.5f} | {change:.5f} |")
display(Markdown("An untrained network:\n\n" + "\n".join(lines)))

# %% [markdown]
# ## Your functions, shap and captum
#
# From here on your `exact_shapley`, `permutation_shapley` and `kernel_shap` are used where they pass their checks, and
# otherwise those of `course_utils`; the list says which. First the exact values of the cup's game, by everyone:


# %%
def course_permutation(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    """The course's permutation sampling, with as many orders of its own."""
    return course_shapley.permutation_shapley(
        value, orders.shape[1], len(orders), torch.Generator().manual_seed(0), return_errors=True
    )


def course_kernel(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """The course's KernelSHAP, with as many coalitions of its own."""
    n, source = coalitions.shape[1], torch.Generator().manual_seed(0)
    return course_shapley.kernel_shap(value, n, len(coalitions), source)


others = {
    "exact_shapley": course_shapley.exact_shapley,
    "permutation_shapley": course_permutation,
    "kernel_shap": course_kernel,
}
chosen, whose = {}, {}
for name, other in others.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = other, "course_utils"
    print(f"{name:>20}: {whose[name]}")


def for_shap(rows: np.ndarray) -> np.ndarray:
    """The same game as shap calls it: zeros and ones (B, n) to (B,)."""
    return cup_game(torch.as_tensor(rows) > 0.5).numpy()


own = chosen["exact_shapley"](cup_game, n_cup)
absent, present = np.zeros((1, n_cup)), np.ones((1, n_cup))
with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    of_exact = shap.ExactExplainer(for_shap, absent)(present).values[0]
    of_kernel = shap.KernelExplainer(for_shap, absent).shap_values(
        present, nsamples=2**n_cup, l1_reg=False, silent=True
    )[0]
for name, values in (("shap.ExactExplainer", of_exact), ("shap.KernelExplainer, all coalitions", of_kernel)):
    print(f"{name:>38}: largest difference {np.abs(own.numpy() - values).max():.0e}")

# %% [markdown]
# Now with few coalitions. For each budget of coalitions: how far are the estimates off, in the mean over 12 seeds?
# (Root of the mean squared error, over the spread of the exact values.)

# %%
budgets = [30, 60, 120, 240]
seeds = range(12)
spread = own.std()


def off(estimates: list[Tensor]) -> float:
    """Return the root mean squared error of several estimates, over the spread of the exact values."""
    return float((torch.stack([e.double() for e in estimates]) - own.double()).square().mean().sqrt() / spread)


def paired(n_coalitions: int, seed: int) -> Tensor:
    """Return your KernelSHAP from pairs of coalitions, drawn by the size's total weight."""
    source = torch.Generator().manual_seed(seed)
    n = n_cup
    weight = torch.tensor([(n - 1) / (s * (n - s)) for s in range(1, n)])
    sizes = torch.multinomial(weight, n_coalitions // 2, replacement=True, generator=source) + 1
    half = torch.rand(len(sizes), n, generator=source).argsort(1) < sizes[:, None]
    return chosen["kernel_shap"](cup_game, torch.cat([half, ~half]), torch.ones(2 * len(half)))


def in_orders(n_coalitions: int, seed: int) -> Tensor:
    """Return your permutation sampling; an order costs n - 1 coalitions."""
    source = torch.Generator().manual_seed(seed)
    count = max(2, round(n_coalitions / (n_cup - 1)))
    orders = torch.stack([torch.randperm(n_cup, generator=source) for _ in range(count)])
    return chosen["permutation_shapley"](cup_game, orders)[0]


def by_shap(n_coalitions: int, seed: int) -> Tensor:
    """Return shap's KernelExplainer; it draws from numpy's global generator."""
    np.random.seed(seed)  # noqa: NPY002
    explainer = shap.KernelExplainer(for_shap, absent)
    return torch.as_tensor(explainer.shap_values(present, nsamples=n_coalitions, l1_reg=False, silent=True)[0])


def by_captum(n_coalitions: int, seed: int) -> Tensor:
    """Return captum's ShapleyValueSampling; an order costs n coalitions."""
    torch.manual_seed(seed)
    sampling = attr.ShapleyValueSampling(lambda rows: cup_game(rows > 0.5))
    return sampling.attribute(torch.ones(1, n_cup), n_samples=max(2, round(n_coalitions / n_cup)))[0]


def by_course(n_coalitions: int, seed: int) -> Tensor:
    """Return the course's KernelSHAP, whose pairs are never drawn twice."""
    return course_shapley.kernel_shap(cup_game, n_cup, n_coalitions, torch.Generator().manual_seed(seed))


lines = {}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name, estimate in {
        f"orders ({whose['permutation_shapley']})": in_orders,
        f"pairs ({whose['kernel_shap']})": paired,
        "KernelSHAP (course_utils)": by_course,
        "shap KernelExplainer": by_shap,
        "captum ShapleyValueSampling": by_captum,
    }.items():
        errors = [off([estimate(budget, seed) for seed in seeds]) for budget in budgets]
        lines[name] = (torch.tensor(budgets).log2(), torch.tensor(errors).log10())
        print(
            f"{name:>32}: " + ", ".join(f"{budget}: {error:.3f}" for budget, error in zip(budgets, errors, strict=True))
        )
plotting.curves(lines, "log₂ of the coalitions asked about", "log₁₀ of the error", "What an error costs")

# %% [markdown]
# ## Against the truth
#
# Maps of 20 images against the object, by the scores that you know: pointing game, mass, rank. `KernelSHAP` and `LIME`
# use the same superpixels and the same number of coalitions.

# %%
test = zoo.sample(20, seed=2024)
masks = test.mask("object")
grey = torch.full((1, 3, 64, 64), 0.5)


def of_superpixels(explain: Callable[[Tensor, int, Tensor, int], Tensor]) -> Tensor:
    """Return the maps of a method that gives each superpixel a value."""
    maps = []
    for k, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        parts = lime.segment(image)
        maps.append(lime.heatmap(explain(image, int(label), parts, k), parts))
    return torch.stack(maps)


def by_kernel(image: Tensor, label: int, parts: Tensor, k: int) -> Tensor:
    """KernelSHAP with 150 coalitions."""
    game = course_shapley.superpixel_game(zoo_model, image, label, parts)
    return course_shapley.kernel_shap(game, int(parts.max()) + 1, 150, torch.Generator().manual_seed(k))


def by_lime(image: Tensor, label: int, parts: Tensor, k: int) -> Tensor:
    """LIME with 150 coalitions."""
    source = torch.Generator().manual_seed(k)
    return lime.explain(zoo_model, image, label, parts, 150, generator=source).coefficients


source = torch.Generator().manual_seed(3)
noise = torch.Generator().manual_seed(0)
found = {
    "KernelSHAP": of_superpixels(by_kernel),
    "LIME": of_superpixels(by_lime),
    "GradientSHAP": course_shapley.gradient_shap(
        zoo_model, test.images, test.labels, backgrounds, 40, generator=source
    ),
    "DeepSHAP, 10 images": course_shapley.deep_shap(zoo_model, test.images, test.labels, backgrounds[:10]),
    "DeepLIFT, grey": course_shapley.deep_lift(zoo_model, test.images, test.labels, grey),
    "edge detector": evaluation.edge_map(test.images),
    "noise": evaluation.noise_map(test.images, noise),
}
truth = evaluation.score_table(
    {name: lambda inputs, target, of=values: of for name, values in found.items()},
    test.images,
    test.labels,
    masks,
    batch_size=20,
)
display(Markdown(str(truth)))
plotting.score_chart(
    truth,
    ["edge detector", "noise"],
    chance=masks.float().mean().item(),
    title="Against the object, 20 images (dashed: its share of the area)",
)

# %% [markdown]
# ## 11. What the values show, and what they do not (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "values_show", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures above; you may run more code and draw more
# pictures in new cells. Say for every claim which number it rests on.
#
# 1. **The price of an error.** By which factor does the error of orders differ from that of pairs with 120 coalitions?
#    The error falls with the root of the number of coalitions: how many would orders need for the error that pairs have
#    with 60? Where do shap and captum stand, and why? (3 points)
# 2. **Fair, but to whom?** The Shapley value keeps four axioms. Which choices stand before it, that the axioms do not
#    touch? Name two, and for one of them show with a number how the shares change. (3 points)
# 3. **Against the truth.** Is KernelSHAP better than LIME here, and by which score? Where does the edge detector stand?
#    Call two maps apart only if their means differ by more than twice the root of the sum of their squared errors
#    (`truth.standard_error`). (2 points)
# 4. **Pixels.** GradientSHAP and DeepLIFT share the score out exactly or in the mean, and yet score lower by mass and
#    rank. Does that make them wrong? What would you measure to decide? (2 points)
#
# ### BEGIN MARK SCHEME
# The numbers follow from the student's own run; accept what the student's charts show.
#
# **1. (3 points)** One point for the factor: with 120 coalitions about 0.176 for orders against 0.010 for pairs, 18
# times. One point for the sum: orders have 0.147 with 240 coalitions, pairs 0.013 with 60: 11 times smaller, so 11^2 =
# 130 times as many coalitions, about 30,000 (more than the 2,048 that there are: exact values are cheaper). One point
# for the others: captum is level with orders (it is the same method, with one pass more an order), shap is level with
# the course's KernelSHAP and better than plain pairs at few coalitions (both ask about no coalition twice and take
# small sizes completely); what pairs gain is that effects of two players together cancel between a coalition and its
# complement.
#
# **2. (3 points)** One point each for two choices (the players or superpixels, the baseline, score or probability, the
# class or a contrast of classes, the image itself), one for a number that was computed: for example exact values of the
# cup's game with a grey baseline, by `course_shapley.superpixel_game(zoo_model, cup, 0, of_cup, 0.5)`, whose shares sum
# to another number and order the superpixels otherwise.
#
# **3. (2 points)** One point: KernelSHAP and LIME cannot be told apart here: 0.82 and 0.82 (pointing game), 0.69 and
# 0.64 (mass, errors about 0.03), 0.62 and 0.59 (rank). One point: the edge detector (0.80, 0.74, 0.71) is level or
# above them by all three, and has never seen the network.
#
# **4. (2 points)** One point: no. They are maps of single pixels with both signs, so that the mass on the object is
# diluted by many small values (0.49 to 0.54), and the highest K pixels lie scattered; the pointing game (0.85 to 0.90)
# is as high as any. One point for a measurement that decides: deletion or insertion, a counterfactual (without the key
# part, without the tag), or randomised weights.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
