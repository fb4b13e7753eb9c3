# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 09: Shapley values and SHAP
#
# {{colab_badge}}
#
# LIME's weights came out of a fit with a kernel that nobody could justify. This unit starts from the other end: which
# properties must a fair explanation have? Game theory answered in 1953. There is one such explanation, and it turns out
# to be LIME with another kernel. About 150 minutes, or two lectures of 75; lab 09 follows.
#
# **After this unit you can**
#
# - compute the Shapley values of small games by hand and of larger ones by the formula;
# - state the four axioms, and test a rule of sharing against them;
# - estimate Shapley values from orders and from coalitions, with error bars, and compare what an error costs;
# - say what is the same and what is different in LIME, KernelSHAP, TreeSHAP, GradientSHAP and DeepSHAP;
# - solve the saturation problem of unit 06 by each of them;
# - say which choices stand before the axioms, and what Shapley values cannot do.
#
# You need: LIME (unit 08), integrated gradients and the saturation example (unit 06).

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Games: gloves and votes | 15 |
# | 2. The formula | 15 |
# | 3. Four axioms | 15 |
# | 4. An image as a game | 10 |
# | 5. From orders, with error bars | 15 |
# | 6. SHAP: additive explanations, LIME + kernel = KernelSHAP | 20 |
# | 7. What an error costs | 10 |
# | 8. TreeSHAP | 10 |
# | 9. Pixels: GradientSHAP, DeepLIFT, DeepSHAP | 20 |
# | 10. Explore, score, compare with the truth | 10 |
# | 11. What Shapley values cannot do; the same in shap and captum | 10 |
#
# The lecture follows the course slides: their formulas, their symbols, their order. Marks in the text:
# **Correction** where the slides slip, **Beyond the slides** where this lecture adds something.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import contextlib
import io
import itertools
import math
import warnings

import numpy as np
import shap
import torch
from captum import attr
from IPython.display import Markdown, display
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeRegressor, export_text
from torch import nn

from course_utils import evaluation, lime, models, plotting, shapley, zoo
from course_utils import gradient_methods as gm
from course_utils.widgets.shapley import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Games: gloves and votes
#
# A **game** is a set of players $\{1, \ldots, p\}$ and a function $val$ that says of each coalition $S$ what its
# members win together. Question: what is a fair share of $val(\{1, \ldots, p\})$ for each player?
#
# **Gloves.** Player 1 holds a left glove, players 2 and 3 a right one each. A pair is worth 1. Shapley's answer: let
# the players come into a room, one after the other. Each gets what the room's worth grows by when it comes. Average
# over all orders:
#
# | order | player 1 gains | player 2 gains | player 3 gains |
# | --- | ---: | ---: | ---: |
# | 1, 2, 3 | 0 | 1 | 0 |
# | 1, 3, 2 | 0 | 0 | 1 |
# | 2, 1, 3 | 1 | 0 | 0 |
# | 2, 3, 1 | 1 | 0 | 0 |
# | 3, 1, 2 | 1 | 0 | 0 |
# | 3, 2, 1 | 1 | 0 | 0 |
# | **mean** | **4/6** | **1/6** | **1/6** |
#
# **Votes.** Parties with 4, 3, 2 and 1 votes; 6 votes win.
#
# <details><summary><b>Think first:</b> the second party has three votes and the third has two. Which of them has more
# power?</summary>
#
# Neither: whatever coalition one of them turns into a winning one, the other would turn as well. Votes are not power.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
gloves, votes = shapley.glove_game(1, 2), shapley.voting_game([4, 3, 2, 1], 6)
of_gloves, of_votes = shapley.exact_shapley(gloves, 3), shapley.exact_shapley(votes, 4)
assert torch.allclose(of_gloves, torch.tensor([4, 1, 1]) / 6)
assert torch.allclose(of_votes, torch.tensor([10, 6, 6, 2]) / 24)
print("gloves:", [f"{share:.3f}" for share in of_gloves])
plotting.bars(
    {f"votes: {count} of 10": share for count, share in zip((4, 3, 2, 1), of_votes.tolist(), strict=True)},
    "Shapley value: share of the orders that the party turns",
    "Votes are not power (6 of 10 needed)",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. The formula
#
# Many orders give player $j$ the same gain: all in which it comes after exactly the players of $S$. There are $|S|!$
# ways for these to come first, and $(p - |S| - 1)!$ for the others to follow. So
#
# $$\phi_j(val) = \sum_{S \subseteq \{1, \ldots, p\} \setminus \{j\}} \frac{|S|!\,(p - |S| - 1)!}{p!}
# \big(val(S \cup \{j\}) - val(S)\big)$$
#
# **Meaning:** a mean of gains. The weights sum to 1, each size of $S$ gets the same total $1/p$, and within a size all
# coalitions count alike.

# %% slideshow={"slide_type": "fragment"}
p = 8
sizes = torch.arange(p)
each = torch.tensor([math.factorial(s) * math.factorial(p - s - 1) / math.factorial(p) for s in range(p)])
number = torch.tensor([float(math.comb(p - 1, s)) for s in range(p)])
assert torch.allclose(each * number, torch.full((p,), 1 / p))
plotting.curves(
    {"of one coalition S": (sizes, each), "of all S of this size": (sizes, each * number)},
    "size of S, of 8 players",
    "weight",
    "The weights of the formula",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# The formula asks about all $2^p$ coalitions. `exact_shapley` does so for up to 20 players (a million coalitions), all
# gains of one player at once. Here it is against the mean over all orders, by brute force:

# %% slideshow={"slide_type": "fragment"}
numbers = torch.randn(2**6, generator=torch.Generator().manual_seed(1))
bits = 2 ** torch.arange(6)


def random_game(coalitions: torch.Tensor) -> torch.Tensor:
    """A game of six players without any rule in it."""
    return numbers[coalitions.long() @ bits]


brute_force = torch.zeros(6)
for order in itertools.permutations(range(6)):
    room = torch.zeros(7, 6, dtype=torch.bool)
    for k, player in enumerate(order):
        room[k + 1 :, player] = True
    brute_force[list(order)] += random_game(room).diff() / math.factorial(6)
formula = shapley.exact_shapley(random_game, 6)
print(f"720 orders against 64 coalitions: largest difference {(formula - brute_force).abs().max():.0e}")
assert torch.allclose(formula, brute_force, atol=1e-5)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. Four axioms
#
# > **Beyond the slides:** they give the formula; here is why just this one. The Shapley value is the **only** rule of
# > sharing that keeps four axioms in all games:
# >
# > - **efficiency:** the shares sum to $val(\text{all}) - val(\text{nobody})$;
# > - **symmetry:** players who add the same to every coalition without them get the same;
# > - **null player:** who adds nothing to any coalition gets nothing;
# > - **linearity:** the shares of the sum of two games are the sums of the shares.
#
# Each other rule breaks one. `axiom_gaps` measures by how much, on two games of votes: in the first, four parties of
# which three are alike, and one without a vote.

# %% slideshow={"slide_type": "fragment"}
first, second = shapley.voting_game([3, 2, 2, 2, 0], 8), shapley.voting_game([1, 1, 1, 1, 3], 6)


def equal_shares(value: shapley.Game, n: int) -> torch.Tensor:
    """Everybody gets the same."""
    ends = value(torch.tensor([[False], [True]]).expand(2, n))
    return ((ends[1] - ends[0]) / n).expand(n)


def loss_when_leaving(value: shapley.Game, n: int) -> torch.Tensor:
    """What is lost when a player leaves all: occlusion, one superpixel at a time."""
    return value(torch.ones(1, n).bool()) - value(~torch.eye(n).bool())


def first_come(value: shapley.Game, n: int) -> torch.Tensor:
    """The gains in one order."""
    return value(torch.ones(n + 1, n).tril(-1).bool()).diff()


def alone(value: shapley.Game, n: int) -> torch.Tensor:
    """What a player wins alone."""
    return value(torch.eye(n).bool()) - value(torch.zeros(1, n).bool())


def scaled_loss(value: shapley.Game, n: int) -> torch.Tensor:
    """The losses, scaled until they sum up right."""
    losses, total = loss_when_leaving(value, n), equal_shares(value, n).sum()
    return losses / losses.sum() * total


rules = {
    "Shapley value": shapley.exact_shapley,
    "equal shares": equal_shares,
    "loss when leaving (occlusion)": loss_when_leaving,
    "the same, scaled to the right sum": scaled_loss,
    "gains in one order": first_come,
    "what each wins alone": alone,
}
lines = ["| rule | efficiency | symmetry | null player | linearity |", "| --- | ---: | ---: | ---: | ---: |"]
for name, rule in rules.items():
    gaps = shapley.axiom_gaps(rule, first, second, 5)
    lines.append(f"| {name} | " + " | ".join(f"{abs(gap):.2f}" for gap in gaps.values()) + " |")
assert max(shapley.axiom_gaps(shapley.exact_shapley, first, second, 5).values()) < 1e-6
Markdown("By how much each rule breaks each axiom:\n\n" + "\n".join(lines))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. An image as a game
#
# The players are the superpixels of $I_0$; a coalition wins the class score of $I_0[\vec x]$, the image of which the
# others are removed (unit 08; here they turn grey). With a dozen superpixels all coalitions can be asked about.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
drawn = zoo.sample(60, seed=606)
chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("cup", "star", "ring", "zebra")]
images, labels, objects = drawn.images[chosen], drawn.labels[chosen], drawn.mask("object")[chosen]
names = [zoo.CLASSES[label] for label in labels]
image, parts = images[1], lime.segment(images[1], 9)
n = int(parts.max()) + 1
everything = (torch.arange(2**n).unsqueeze(1) >> torch.arange(n) & 1).bool()
table = shapley.superpixel_game(net, image, int(labels[1]), parts, baseline=0.5)(everything)
place = 2 ** torch.arange(n)


def star_game(coalitions: torch.Tensor) -> torch.Tensor:
    """The star's game, looked up: the network was asked about each of the 2^n coalitions once."""
    return table[coalitions.long() @ place]


exact = shapley.exact_shapley(star_game, n)
leaving = loss_when_leaving(star_game, n)
nobody, all_players = float(table[0]), float(table[-1])
print(f"{n} players, {len(table)} coalitions: nobody wins {nobody:.2f}, all together {all_players:.2f}")
print(f"Shapley values sum to {exact.sum():.2f} = {all_players:.2f} - ({nobody:.2f})")
print(f"losses when leaving sum to {leaving.sum():.2f}")
display(plotting.superpixel_grid(image[None], parts[None], titles=["the players"], numbers=True))
plotting.bars(
    {f"player {k}": value for k, value in enumerate(exact.tolist())},
    "Shapley value (score)",
    "Shares in the score of star",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the shares account for the whole difference between the image and the image of which all is removed. The
# losses one by one do not: where two superpixels can stand in for each other, each one alone is hardly missed.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. From orders, with error bars
#
# With 30 superpixels there are a billion coalitions. But $\phi_j$ is a mean over orders, and a mean can be estimated:
# draw some orders, and average. An order costs $p - 1$ passes (besides nobody and all), and every player gets a gain
# from it.
#
# The gains also tell how good their mean is: after $m$ orders their standard deviation over $\sqrt{m}$ is its
# **standard error**. Two of them should cover the truth in about 95 of 100 cases.

# %% slideshow={"slide_type": "fragment"}
rows = {}
for n_permutations in (10, 40, 160):
    estimate, error = shapley.permutation_shapley(
        star_game, n, n_permutations, torch.Generator().manual_seed(3), return_errors=True
    )
    rows[n_permutations] = estimate, error
counted = shapley.CountedValue(star_game)
shapley.permutation_shapley(counted, n, 40, torch.Generator().manual_seed(3))
print(f"40 orders of {n} players ask about {counted.n_calls} coalitions")
assert counted.n_calls == 2 + 40 * (n - 1)
lines = [
    "| player | exact | " + " | ".join(f"{count} orders" for count in rows) + " |",
    "| --- | ---: |" + " ---: |" * 3,
]
for k in range(n):
    cells = [f"{estimate[k]:.2f} ± {error[k]:.2f}" for estimate, error in rows.values()]
    lines.append(f"| {k} | {exact[k]:.2f} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(lines)))
covered = []
for seed in range(200):
    estimate, error = shapley.permutation_shapley(
        star_game, n, 40, torch.Generator().manual_seed(seed), return_errors=True
    )
    covered.append((estimate - exact).abs() <= 2 * error)
share = torch.stack(covered).double().mean().item()
assert 0.9 < share < 0.99
print(f"200 runs of 40 orders: two standard errors cover the exact value in {100 * share:.0f} % of the cases")

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Beyond the slides:** a free improvement. Walk every order backwards as well (*antithetic* pairs): who came early
# > comes late. Where a player's gain grows or falls steadily with the company, the two errors cancel.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. SHAP: additive explanations, LIME + kernel = KernelSHAP
#
# Lundberg and Lee looked at LIME, LRP, DeepLIFT and others and saw one form. **Additive feature attribution methods**
# have an explanation model that is a linear function of binary variables,
#
# $$g(z') = \phi_0 + \sum_{i=1}^{M} \phi_i z'_i, \qquad z' \in \{0, 1\}^M,\ \phi_i \in \mathbb{R},$$
#
# with $M$ simplified features (here superpixels: $M$ is our $p$, and the $\ell$ of unit 08; $z'$ is the $\vec x$ of
# LIME). Among them, only Shapley values keep the axioms. And they are what LIME's regression finds, if its kernel is
# replaced: **KernelSHAP = LIME + Shapley kernel**,
#
# $$\pi(z') = \frac{M - 1}{\binom{M}{|z'|}\, |z'|\, (M - |z'|)}.$$
#
# For the empty and the full coalition it is infinite: $g$ has to meet them, $\phi_0 = val(\text{nobody})$ and
# $\sum_i \phi_i = val(\text{all}) - val(\text{nobody})$. That is a constraint, and it can be solved exactly.

# %% slideshow={"slide_type": "fragment"}
M = 20
sizes = torch.arange(1, M)
kernel = shapley.kernel_weight(sizes, M)
similarity = lime.proximity(torch.arange(M) < sizes[:, None])
count = torch.tensor([math.comb(M, s) for s in sizes.tolist()]).double()
plotting.curves(
    {
        "Shapley kernel": (sizes, kernel.log10()),
        "Shapley kernel, all of one size": (sizes, (kernel * count).log10()),
        "LIME's kernel": (sizes, similarity.log10()),
    },
    "superpixels that stay, of 20",
    "log₁₀ of the weight",
    "Two kernels",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# The same fit, four ways, over **all** coalitions of the star's game:

# %% slideshow={"slide_type": "fragment"}
inner = everything[1:-1]
won = star_game(inner)
plain = lime.fit_surrogate(inner, won, lime.proximity(inner), l2=0.0).coefficients
no_constraint = lime.fit_surrogate(inner, won, shapley.kernel_weight(inner.sum(1), n), l2=0.0).coefficients
fitted = shapley.kernel_shap(star_game, n)
lines = ["| fit | sum of the weights | largest difference to the Shapley value |", "| --- | ---: | ---: |"]
for name, values in {
    "LIME's kernel, free intercept": plain,
    "Shapley kernel, free intercept": no_constraint,
    "Shapley kernel, with the constraint (KernelSHAP)": fitted,
    "exact formula": exact,
}.items():
    lines.append(f"| {name} | {values.sum():.3f} | {(values - exact).abs().max():.0e} |")
assert (fitted - exact).abs().max() < 1e-4
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Some coalitions
#
# With few coalitions, which ones? The kernel says it: all coalitions of one size together weigh
# $\pi(s) \binom{M}{s} \propto 1/(s(M - s))$, so the sizes get their number by this weight, the ends most. Two more
# ideas make the estimate far better:
#
# - **pairs:** with each coalition take its complement. What two players do together weighs on both with opposite signs,
#   and cancels: all effects of pairs drop out of the error;
# - **no coalition twice:** ask about each at most once, small sizes completely, and let those of the others count for
#   more.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. What an error costs
#
# Passes through the network are what an explanation costs. For the star and the cup: the error (root mean square over
# players and 10 seeds, over the spread of the exact values) against the number of coalitions, ours beside those of shap
# and captum. As the answers to all coalitions are in a table, all methods ask the same game.

# %% slideshow={"slide_type": "fragment"}
cup_parts = lime.segment(images[0], 9)
n_cup = int(cup_parts.max()) + 1
cup_rows = (torch.arange(2**n_cup).unsqueeze(1) >> torch.arange(n_cup) & 1).bool()
cup_table = shapley.superpixel_game(net, images[0], int(labels[0]), cup_parts, baseline=0.5)(cup_rows)
games = {
    f"star, {n} players": (n, star_game),
    f"cup, {n_cup} players": (n_cup, lambda c: cup_table[c.long() @ 2 ** torch.arange(n_cup)]),
}
budgets = torch.tensor([30, 60, 120])


def of_shap(value: shapley.Game, n: int, n_samples: int, seed: int) -> torch.Tensor:
    """shap's KernelExplainer without its selection of features; it draws from numpy's global generator."""
    np.random.seed(seed)  # noqa: NPY002
    explainer = shap.KernelExplainer(lambda rows: value(torch.as_tensor(rows) > 0.5).numpy(), np.zeros((1, n)))
    return torch.as_tensor(explainer.shap_values(np.ones((1, n)), nsamples=n_samples, l1_reg=False, silent=True)[0])


def of_captum(value: shapley.Game, n: int, n_samples: int, seed: int) -> torch.Tensor:
    """captum's sampling of orders: n passes an order."""
    torch.manual_seed(seed)
    sampling = attr.ShapleyValueSampling(lambda rows: value(rows > 0.5))
    return sampling.attribute(torch.ones(1, n), n_samples=max(2, n_samples // n))[0]


def source(seed: int) -> torch.Generator:
    """A generator with this seed."""
    return torch.Generator().manual_seed(seed)


methods = {
    "orders": lambda v, n, b, s: shapley.permutation_shapley(v, n, max(2, b // (n - 1)), source(s)),
    "orders, both ways": lambda v, n, b, s: shapley.permutation_shapley(
        v, n, max(2, b // (n - 1) // 2 * 2), source(s), antithetic=True
    ),
    "kernel": lambda v, n, b, s: shapley.kernel_shap(v, n, b, source(s), paired=False),
    "kernel, paired": lambda v, n, b, s: shapley.kernel_shap(v, n, b, source(s)),
    "captum": of_captum,
    "shap": of_shap,
}
ORDERS, COALITIONS = ("orders", "orders, both ways", "captum"), ("kernel", "kernel, paired", "shap")
panels = {}
with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    for title, (players, value) in games.items():
        truth = shapley.exact_shapley(value, players).double()
        panels[title] = {}
        for name, method in methods.items():
            errors = []
            for budget in budgets.tolist():
                runs = torch.stack([method(value, players, budget, seed).double() for seed in range(10)])
                errors.append(((runs - truth).square().mean(1).sqrt() / truth.std()).log10())
            panels[title][name] = (budgets, torch.stack(errors, 1))
means = {name: torch.stack([p[name][1].mean(0) for p in panels.values()]).mean(0) for name in methods}
assert (means["kernel, paired"] < means["shap"]).all() and (means["orders, both ways"] < means["captum"]).all()
display(
    plotting.curve_grid(
        {
            f"{title}, {side}": {name: (lines[name][0].log2(), lines[name][1]) for name in shown}
            for title, lines in panels.items()
            for side, shown in (("orders", ORDERS), ("coalitions", COALITIONS))
        },
        "log₂ of the coalitions",
        "log₁₀ of the error",
        "Error against passes (mean of ten runs; band: from the best to the worst run)",
        columns=2,
    )
)
lines = [
    "| mean of log₁₀ error | " + " | ".join(f"{b} coalitions" for b in budgets.tolist()) + " |",
    "| --- |" + " ---: |" * 3,
]
lines += [f"| {name} | " + " | ".join(f"{v:.2f}" for v in row) + " |" for name, row in means.items()]
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** pairs are worth most: with 30 coalitions, the paired kernel is about as good as the kernel without pairs with
# two to four times as many. shap draws pairs, too; ours, which asks about no coalition twice and gives each size its
# number, has the lower mean error: on the star the bands hardly overlap, on the cup they do. captum walks orders one
# way, and spends one pass more on each.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. TreeSHAP
#
# For decision trees the exact values can be had without asking $2^M$ questions. The game of a tree: $val(S)$ is what
# the tree expects if only the features in $S$ are known. At a split by a feature of $S$ it goes the sample's way; at
# another it goes both ways, weighted by how many training samples went there. TreeSHAP walks all coalitions down the
# tree **at the same time**, and keeps for each node only how many coalitions of each size arrive: polynomial time in
# the depth.
#
# `tree_game` is the game, `exact_shapley` the brute force over $2^{5}$ coalitions, and `shap.TreeExplainer` the fast
# way:

# %% slideshow={"slide_type": "fragment"}
x, y = load_diabetes(return_X_y=True, as_frame=True)
x = x[["bmi", "bp", "s5", "age", "sex"]]
tree = DecisionTreeRegressor(max_depth=3, random_state=0).fit(x.values, y)
print(export_text(tree, feature_names=list(x.columns), max_depth=1))
person = x.values[3]
slow = shapley.exact_shapley(shapley.tree_game(tree, person), 5)
fast = shap.TreeExplainer(tree, feature_perturbation="tree_path_dependent").shap_values(person[None])[0]
base = float(shapley.tree_game(tree, person)(torch.zeros(1, 5, dtype=torch.bool)))
predicted = tree.predict(person[None])[0]
print(f"largest difference {np.abs(slow.numpy() - fast).max():.0e}; {base:.1f} + {slow.sum():.1f} = {predicted:.1f}")
assert np.abs(slow.numpy() - fast).max() < 1e-9
plotting.bars(
    dict(zip(x.columns, slow.tolist(), strict=True)),
    "Shapley value (progression of diabetes)",
    "Five features of one person, a tree of depth 3",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Pixels: GradientSHAP, DeepLIFT, DeepSHAP
#
# The slides' list goes on: *Gradient: SHAP based on IG and SmoothGrad*, and *SHAP based on DeepLIFT*. With 12,288 pixel
# values as players, nobody counts coalitions. Two methods look into the network instead.
#
# **GradientSHAP** averages integrated gradients over baselines: draw a baseline $I'$ from a set of images, a point
# between it and the image (with noise, if you like), and take the mean of $(I - I') \cdot \partial y / \partial I$. In
# the mean it sums to $y(I) - \overline{y(I')}$.
#
# **DeepLIFT** replaces derivatives by differences. At each nonlinearity with input $x$ (image) and $x'$ (baseline) its
# multiplier is $m = (f(x) - f(x')) / (x - x')$, and the multipliers chain like derivatives (the *rescale rule*). It
# sums to $y(I) - y(I')$ **exactly**, with two passes. **DeepSHAP** is its mean over a set of baselines.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The saturation problem, solved by each
#
# Unit 06: $y = 1 - \max(0, 1 - i_1 - i_2)$ at $(1, 1)$. Both inputs are on, $y = 1$, and everything is flat: the
# gradient is 0, and switching one input off changes nothing. Yet $y$ came from somewhere.


# %% slideshow={"slide_type": "fragment"}
class Saturated(nn.Module):
    """y = 1 - max(0, 1 - i1 - i2)."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs: (N, 1, 1, 2) -> (N, 1)."""
        return 1 - self.relu(1 - inputs.flatten(1).sum(1, keepdim=True))


model, ones, zeros = Saturated().eval(), torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
two = torch.tensor([[0, 1]])
game = shapley.superpixel_game(model, ones, 0, two, baseline=0.0)
solved = {
    "gradient": gm.gradient(model, ones, 0).flatten(),
    "gradient × input": gm.input_x_gradient(model, ones, 0).flatten(),
    "loss when leaving": loss_when_leaving(game, 2),
    "exact Shapley value": shapley.exact_shapley(game, 2),
    "KernelSHAP": shapley.kernel_shap(game, 2),
    "orders, antithetic": shapley.permutation_shapley(game, 2, 10, source(0), antithetic=True),
    "integrated gradients": gm.integrated_gradients(model, ones, 0, n_steps=100).flatten(),
    "GradientSHAP, 500 samples": shapley.gradient_shap(model, ones, 0, zeros, 500, generator=source(0)).flatten(),
    "DeepLIFT": shapley.deep_lift(model, ones, 0, zeros).flatten(),
    "DeepSHAP, one baseline": shapley.deep_shap(model, ones, 0, zeros).flatten(),
}
lines = ["| method | i1 | i2 | sum |", "| --- | ---: | ---: | ---: |"]
lines += [f"| {name} | {v[0]:.2f} | {v[1]:.2f} | {v.sum():.2f} |" for name, v in solved.items()]
for name in ("exact Shapley value", "KernelSHAP", "orders, antithetic", "DeepLIFT", "DeepSHAP, one baseline"):
    assert torch.allclose(solved[name], torch.tensor([0.5, 0.5]))
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** whatever compares with a baseline, over the whole way, shares the 1 out in halves.
#
# > **Correction:** "SHAP based on DeepLIFT" and "Gradient SHAP" do not compute Shapley values of the pixels. They keep
# > efficiency (exactly, or in the mean), and agree with Shapley values where the network is linear or, as here, by
# > symmetry. At $(1, 0.5)$ the Shapley values are $(0.75, 0.25)$ and DeepLIFT says $(0.67, 0.33)$: exercise 8 of the
# > lab.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### On the zoo

# %% slideshow={"slide_type": "fragment"}
backgrounds = zoo.sample(20, seed=8).images
grey = torch.full((1, 3, 64, 64), 0.5)
maps = {
    "GradientSHAP": shapley.gradient_shap(net, images, labels, backgrounds, 40, generator=source(1)),
    "DeepLIFT, grey": shapley.deep_lift(net, images, labels, grey),
    "DeepSHAP": shapley.deep_shap(net, images, labels, backgrounds[:10]),
}
with torch.no_grad():
    score, of_grey = net(images).gather(1, labels[:, None])[:, 0], net(grey)[0, labels]
    of_ten, of_all = net(backgrounds[:10])[:, labels].mean(0), net(backgrounds)[:, labels].mean(0)
lines = ["| image | DeepLIFT | y(I) − y(grey) | DeepSHAP | y(I) − mean of 10 | GradientSHAP | y(I) − mean of 20 |"]
lines.append("| --- |" + " ---: |" * 6)
sums = {name: values.flatten(1).sum(1) for name, values in maps.items()}
for k, name in enumerate(names):
    lines.append(
        f"| {name} | {sums['DeepLIFT, grey'][k]:.3f} | {score[k] - of_grey[k]:.3f} | {sums['DeepSHAP'][k]:.3f} | "
        f"{score[k] - of_ten[k]:.3f} | {sums['GradientSHAP'][k]:.3f} | {score[k] - of_all[k]:.3f} |"
    )
assert torch.allclose(sums["DeepLIFT, grey"], score - of_grey, atol=1e-3)
assert torch.allclose(sums["DeepSHAP"], score - of_ten, atol=1e-3)
display(Markdown("What the maps sum to, beside what they should:\n\n" + "\n".join(lines)))
plotting.method_grid(images, maps, titles=names, masks=objects, heading="Shares of the pixels", quantile=0.995)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** DeepLIFT and DeepSHAP sum up exactly. GradientSHAP does so only in the mean, and 40 samples are few.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. Explore, score, compare with the truth
#
# Form coalitions by hand: choose who is in (arrow keys and Shift, or Ctrl and the mouse). The dark bars say what each
# player adds to *this* coalition, the pale ones its Shapley value, the mean over all. Look for a player whose gain
# changes its sign.

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% slideshow={"slide_type": "subslide"}
test = zoo.sample(16, seed=2024)
masks = test.mask("object")


def of_superpixels(n_samples: int, kernel_shap: bool) -> torch.Tensor:
    """Return the maps of KernelSHAP or LIME on 30 superpixels, (N, H, W)."""
    found = []
    for k, (picture, label) in enumerate(zip(test.images, test.labels.tolist(), strict=True)):
        tiles = lime.segment(picture)
        if kernel_shap:
            value = shapley.superpixel_game(net, picture, label, tiles)
            shares = shapley.kernel_shap(value, int(tiles.max()) + 1, n_samples, source(k))
        else:
            shares = lime.explain(net, picture, label, tiles, n_samples, generator=source(k)).coefficients
        found.append(lime.heatmap(shares, tiles))
    return torch.stack(found)


found = {
    "KernelSHAP, 150": of_superpixels(150, True),
    "LIME, 150": of_superpixels(150, False),
    "GradientSHAP": shapley.gradient_shap(net, test.images, test.labels, backgrounds, 40, generator=source(2)),
    "DeepSHAP": shapley.deep_shap(net, test.images, test.labels, backgrounds[:10]),
    "DeepLIFT, grey": shapley.deep_lift(net, test.images, test.labels, grey),
    "edge detector": evaluation.edge_map(test.images),
    "centre prior": evaluation.centre_prior(test.images),
    "noise": evaluation.noise_map(test.images, source(0)),
}
scores = evaluation.score_table(
    {name: lambda inputs, target, of=values: of for name, values in found.items()},
    test.images,
    test.labels,
    masks,
    batch_size=len(masks),
)
display(
    plotting.score_chart(
        scores,
        controls=["edge detector", "centre prior", "noise"],
        chance=masks.float().mean().item(),
        title="Against the object, 16 images (dashed: its share of the area)",
    )
)
Markdown(str(scores))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** no method beats the edge detector in mass or rank, and it knows nothing of the network. The table tells where
# the object is, not what the network used. For that, the scene has to be changed.
#
# Against the counterfactual: on horses with a white tag, `zoo-tagged` was trained to cheat. The share of the tag, as a
# player of its own beside slic's tiles, and the true fall of the score when the same scene is drawn without it:

# %% slideshow={"slide_type": "fragment"}
HORSE = zoo.CLASSES.index("horse")
tagged, untagged = (zoo.sample(6, seed=31, classes=["horse"], tag=tag) for tag in (True, None))
lines = ["| network | what the tag gets | what all others get | true fall without it |", "| --- | ---: | ---: | ---: |"]
for name in ("zoo", "zoo-tagged"):
    network = models.load(name)
    gets, rest = [], []
    for k, (picture, tag) in enumerate(zip(tagged.images, tagged.mask("tag"), strict=True)):
        tiles = lime.segment(picture, 20)
        tiles = torch.where(tag, tiles.max() + 1, tiles).unique(return_inverse=True)[1]
        value = shapley.superpixel_game(network, picture, HORSE, tiles, untagged.images[k])
        shares = shapley.kernel_shap(value, int(tiles.max()) + 1, 100, source(k))
        gets.append(shares[tiles[tag][0]])
        rest.append(shares.sum() - gets[-1])
    with torch.no_grad():
        fall = (network(tagged.images) - network(untagged.images))[:, HORSE].mean()
    lines.append(f"| {name} | {torch.stack(gets).mean():.1f} | {torch.stack(rest).mean():.1f} | {fall:.1f} |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** with the scene without its tag as the baseline, the tag is the only player that changes anything, and gets
# the whole true effect: efficiency and the null player at work. The baseline decides what is asked.
#
# <details><summary><b>Think first:</b> a ring's key part is its hole. It becomes a player, and what is removed gets its
# own mean colour. How large is its share, beside the true fall of the score when the hole is filled?</summary>
#
# Next to nothing: the hole in its own mean colour is still a hole. Removing was not the counterfactual.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
lines = ["| class | key part's share, mean colours | true fall without it |", "| --- | ---: | ---: |"]
gap = {}
for name in ("ring", "star", "zebra"):
    whole, without = (zoo.sample(2, seed=31, classes=[name], without=part) for part in (None, "key part"))
    number = zoo.CLASSES.index(name)
    gets = []
    for k, (picture, part) in enumerate(zip(whole.images, whole.mask("key part"), strict=True)):
        tiles = lime.segment(picture, 20)
        tiles = torch.where(part, tiles.max() + 1, tiles).unique(return_inverse=True)[1]
        value = shapley.superpixel_game(net, picture, number, tiles)
        gets.append(shapley.kernel_shap(value, int(tiles.max()) + 1, 100, source(k))[tiles[part][0]])
    with torch.no_grad():
        fall = (net(whole.images) - net(without.images))[:, number].mean()
    gap[name] = float(torch.stack(gets).mean() / fall)
    lines.append(f"| {name} | {torch.stack(gets).mean():.1f} | {fall:.1f} |")
assert gap["ring"] < 0.1
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 11. What Shapley values cannot do
#
# - **The axioms speak of the game, not of its choice.** Players, baseline, score or probability come before them, and
#   change the shares. Two fair explanations can contradict each other.
# - **Most coalitions are images that do not exist.** What a network says to a zebra of which half has turned grey is in
#   the mean, too.
# - **One number a player.** "Only together" is shared out in halves, and invisible afterwards.
# - **Correlated players share.** Cut a superpixel in two and its share is divided; so a large region of many small
#   tiles looks pale.
# - **They cost.** What is fast (GradientSHAP, DeepSHAP) is no longer a Shapley value.

# %% slideshow={"slide_type": "fragment"}
values = {}
for name, baseline in {
    "mean colours": None,
    "grey": 0.5,
    "black": 0.0,
    "blurred": evaluation.blurred(images[1:2]),
}.items():
    other = shapley.superpixel_game(net, image, int(labels[1]), parts, baseline)
    values[name] = lime.heatmap(shapley.exact_shapley(other, n), parts)
plotting.heatmap_grid(
    torch.stack(list(values.values())),
    titles=list(values),
    images=image.expand(4, -1, -1, -1),
    masks=objects[1].expand(4, -1, -1),
    heading="Exact Shapley values of the same star, four baselines",
    label="Shapley value (score)",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** with mean colours all shares are small: a star in its mean colour is still a star, so little is left to share
# out. With the other baselines the star gets the largest share. All four are exact, and keep all four axioms.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same in shap and captum
#
# In **shap**: `shap.KernelExplainer(f, background).shap_values(x, nsamples=..., l1_reg=False)` (without `l1_reg=False`
# it keeps ten features only), `shap.ExactExplainer`, `shap.TreeExplainer(tree)`, `shap.GradientExplainer(model,
# backgrounds)`, `shap.DeepExplainer(model, backgrounds)`.
#
# In **captum**: `KernelShap(model).attribute(image, baselines, target, feature_mask=segments, n_samples=...)` (it gives
# the two ends a large weight in place of the constraint), `ShapleyValueSampling`, `GradientShap`, `DeepLift`,
# `DeepLiftShap`. Its DeepLIFT goes wrong where a ReLU stands directly before a max pool, which is where they stand in
# most networks.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. The Shapley value is the mean of a player's gains over all orders. Only it keeps efficiency, symmetry, null player
#    and linearity.
# 2. Exact for a dozen superpixels; from orders with error bars for more; from coalitions by a fit.
# 3. KernelSHAP is LIME with the Shapley kernel and a constraint that is solved exactly. Pairs save most of the passes.
# 4. TreeSHAP is exact and fast, for trees. GradientSHAP and DeepSHAP are fast for pixels, sum up right, and are
#    relatives.
# 5. What compares with a baseline over the whole way solves saturation.
# 6. Fair is not true: players and baseline are chosen before the axioms speak. Check against counterfactuals.
#
# **Next:** lab 09 (`labs/09_shapley`). You write each piece, and the checks tell you what is wrong with an answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Shapley: *A value for n-person games.* Contributions to the Theory of Games II, 1953.
# - Castro, Gómez, Tejada: *Polynomial calculation of the Shapley value based on sampling.* Computers & Operations
#   Research 2009.
# - Lundberg, Lee: *A unified approach to interpreting model predictions.* NeurIPS 2017. (SHAP, KernelSHAP, DeepSHAP)
# - Shrikumar, Greenside, Kundaje: *Learning important features through propagating activation differences.* ICML 2017.
#   (DeepLIFT)
# - Lundberg, Erion, Chen, DeGrave, Prutkin, Nair, Katz, Himmelfarb, Bansal, Lee: *From local explanations to global
#   understanding with explainable AI for trees.* Nature Machine Intelligence 2020. (TreeSHAP)
# - Sundararajan, Najmi: *The many Shapley values for model explanation.* ICML 2020.
# - Covert, Lee: *Improving KernelSHAP: practical Shapley value estimation via linear regression.* AISTATS 2021. (pairs)
# - Erion, Janizek, Sturmfels, Lundberg, Lee: *Improving performance of deep learning models with axiomatic attribution
#   priors and expected gradients.* Nature Machine Intelligence 2021. (GradientSHAP)
# - Mitchell, Cooper, Frank, Holmes: *Sampling permutations for Shapley value estimation.* Journal of Machine Learning
#   Research 2022. (antithetic)
