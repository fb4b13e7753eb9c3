# %% [markdown]
# # Lab 12: Global attribution mapping (60 points)
#
# {{colab_badge}}
#
# One heat map explains one image. What does a network look at **in general**? GAM takes the explanations of many
# images, groups those that rank the features alike, and shows one of each group. In this lab you write its algorithm
# line by line, and then use it for what single maps are bad at: finding out that a network says *horse* for two
# different reasons.
#
# **When you are through, you can**
#
# - turn attributions into shares, and compare two of them by their ranks, with weights;
# - compute all pairs at once, by products of matrices;
# - write k-medoids, and say why its cost never rises;
# - read medoids and explanatory power;
# - say when a rank distance is blind, and what else to compare by.
#
# **Time and points:** about 4 hours, 60 points: 50 for nine exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. You can skip an exercise and come back to it.
#
# **Before you start:** the method is derived in the [lecture](../../lectures/12_gam.ipynb). What you need of it is said
# again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. A distance by hand | 5 | 1 | 15 |
# | 2. Shares of importance | 4 | 1 | 10 |
# | 3. The weighted rank distance | 7 | 2 | 20 |
# | 4. Kendall's distance | 6 | 2 | 20 |
# | 5. All pairs at once | 7 | 4 | 30 |
# | 6. Where the distance is blind | 3 | 2 | 10 |
# | 7. One round of k-medoids | 7 | 3 | 25 |
# | 8. k-medoids | 6 | 2 | 15 |
# | 9. Global attribution mapping | 5 | 2 | 15 |
# | 10. One network, two reasons | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on attributions and distances that it makes up itself, and says one of these:
#
# - `normalize: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Exercise 1 is worked by hand, exercise 6 is a choice. There your function takes nothing and returns your answer.
#
# When the lab is graded, the same check runs once more on other attributions. So do not fit your code to the cases:
# follow the text. Your function must also leave everything as it was.
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
import time

import torch
from IPython.display import Markdown, display
from scipy.stats import rankdata
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from course_utils import exercises, models, plotting, zoo
from course_utils import gam as course_gam
from course_utils import gradient_methods as gm

unit = exercises.load("12_gam")

# %% [markdown]
# ## A network that is under suspicion
#
# `zoo-tagged` was trained on horses of which most carried a white tag in the corner. Here are 120 images of horses, 60
# with a tag and 60 without, in random order, and their explanations (integrated gradients). A feature is a **cell** of
# an 8 x 8 grid: its attribution is the sum of $|R|$ over the cell's 64 pixels. So each image has 64 features.

# %%
HORSE = zoo.CLASSES.index("horse")
tagged_model = models.load("zoo-tagged")
drawn = [zoo.sample(60, seed=1201 + k, classes=["horse"], tag=tag) for k, tag in enumerate((True, None))]
order = torch.randperm(120, generator=torch.Generator().manual_seed(12))
images = torch.cat([part.images for part in drawn])[order]
has_tag = torch.cat([part.tagged for part in drawn])[order]  # for the end: which images do have a tag
relevance = gm.integrated_gradients(tagged_model, images, HORSE, 0.5, n_steps=16)
attributions = course_gam.cells(relevance)  # (120, 64)
shares = course_gam.normalize(attributions)  # for the pictures below: exercise 2 is to write this
shown = torch.cat([has_tag.nonzero()[:2, 0], (~has_tag).nonzero()[:2, 0]])
plotting.method_grid(
    images[shown],
    {"integrated gradients": relevance[shown], "64 cells": attributions[shown].view(4, 1, 8, 8)},
    heading="Four of 120 explanations, and their features",
    quantile=0.995,
)

# %% [markdown]
# ## Exercise 1: a distance by hand (5 points, difficulty 1 of 5, 15 minutes)
#
# Two attributions of three features: $(4, -1, 3)$ and $(0.2, 0.3, 0.5)$. The second one is normalized already.
#
# 1. **Normalize** the first one: $a_i = |v_i| / \sum_j |v_j|$. Its shares sum to 1.
# 2. **Rank** the shares of both: the smallest has rank 1, the largest rank 3.
# 3. Spearman's squared distance with weights is $d = \sum_i a_i b_i \,\big(r_a(i) - r_b(i)\big)^2$.
#
# **Compute** the three shares $a$ and the distance $d$.
#
# **For example**, for $a = (0.75, 0.25)$ and $b = (0.4, 0.6)$ the ranks are $(2, 1)$ and $(1, 2)$, and
# $d = 0.3 \cdot 1 + 0.15 \cdot 1 = 0.45$.
#
# **Shape:** four numbers, in this order.


# %% nbgrader={"grade_id": "distance_by_hand", "solution": true}
def distance_by_hand() -> tuple[float, ...]:
    """Return the three shares of the first attribution, and the distance, worked by hand."""
    ### BEGIN SOLUTION
    # a = (0.5, 0.125, 0.375) has the ranks (3, 1, 2), b the ranks (1, 2, 3):
    # 0.5 * 0.2 * 4 + 0.125 * 0.3 * 1 + 0.375 * 0.5 * 1.
    return 0.5, 0.125, 0.375, 0.4 + 0.0375 + 0.1875
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_distance_by_hand", "grade": true, "locked": true, "points": 5}
unit["distance_by_hand"].check(distance_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The sum of the sizes is $4 + 1 + 3 = 8$. Then write the two rows of ranks below each other.
#
# </details>
#
# <details><summary>My shares are right and my distance is not</summary>
#
# For each feature three things are multiplied: $a_i$, $b_i$, and the squared difference of the ranks.
#
# </details>

# %%
*own_shares, own_distance = distance_by_hand()
table = torch.tensor([own_shares, [0.2, 0.3, 0.5]])
plotting.matrices(
    {"a, b": table, "ranks": torch.as_tensor(rankdata(table.numpy(), axis=1))},
    heading=f"Two attributions and their ranks (your distance: {own_distance:g})",
    decimals=3,
)

# %% [markdown]
# ## Exercise 2: shares of importance (4 points, difficulty 1 of 5, 10 minutes)
#
# **Write** step 1 of the algorithm: $|a| / \sum |a|$ for each attribution. An attribution may have any shape; its
# result is a row of all its features.
#
# **For example**, $(4, -1, 3)$ becomes $(0.5, 0.125, 0.375)$.
#
# **Shapes:** `attributions` $(N, \ldots)$; the result $(N, F)$. (None of them is 0 everywhere.)


# %% nbgrader={"grade_id": "normalize", "solution": true}
def normalize(attributions: Tensor) -> Tensor:
    """Return |a| / sum |a| of each attribution, (N, F); attributions: (N, ...)."""
    ### BEGIN SOLUTION
    sizes = attributions.flatten(1).abs()
    return sizes / sizes.sum(1, keepdim=True)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_normalize", "grade": true, "locked": true, "points": 4}
unit["normalize"].check(normalize)
### BEGIN HIDDEN TESTS
unit["normalize"].check(normalize, seed=12011)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `flatten(1)` makes a row of each attribution. Each row has a sum of its own: `sum(1, keepdim=True)`.
#
# </details>

# %%
plotting.heatmap_grid(
    normalize(attributions[shown]).view(4, 8, 8),
    titles=["with tag", "with tag", "without", "without"],
    images=images[shown],
    heading="Your shares of importance",
    label="share",
)

# %% [markdown]
# ## Exercise 3: the weighted rank distance (7 points, difficulty 2 of 5, 20 minutes)
#
# **Write** the distance of exercise 1 for any two normalized attributions,
#
# $$d(a, b) = \sum_i a_i \, b_i \, \big(r_a(i) - r_b(i)\big)^2 .$$
#
# The smallest value has rank 1. **Equal values share the mean of their ranks**: $(0.25, 0.25, 0.5)$ has the ranks
# $(1.5, 1.5, 3)$. `scipy.stats.rankdata` is allowed.
#
# **For example**, $d$ of $(0.75, 0.25)$ and $(0.4, 0.6)$ is $0.45$; of two attributions in the same order it is 0.
#
# **Shapes:** `a` and `b` $(F,)$; the result a tensor $()$ in their dtype.


# %% nbgrader={"grade_id": "rank_distance", "solution": true}
def rank_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the weighted squared Spearman distance of two normalized attributions (F,), a tensor ()."""
    ### BEGIN SOLUTION
    r, s = (torch.as_tensor(rankdata(values.numpy())) for values in (a, b))
    return (a * b * (r - s) ** 2).sum().to(a)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_rank_distance", "grade": true, "locked": true, "points": 7}
unit["rank_distance"].check(rank_distance)
### BEGIN HIDDEN TESTS
unit["rank_distance"].check(rank_distance, seed=12021)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Three lines: the ranks of `a`, the ranks of `b`, the sum. `rankdata` takes a numpy array and treats equal values as
# the text asks.
#
# </details>
#
# <details><summary>The dtype of my answer is wrong</summary>
#
# numpy's ranks are float64. `.to(a)` brings a tensor to the dtype of `a`.
#
# </details>

# %%
same = [rank_distance(shares[i], shares[j]) for i, j in itertools.combinations(has_tag.nonzero()[:12, 0].tolist(), 2)]
other = [
    rank_distance(shares[i], shares[j])
    for i in has_tag.nonzero()[:12, 0].tolist()
    for j in (~has_tag).nonzero()[:12, 0].tolist()
]
plotting.distributions(
    {"both with a tag": torch.stack(same), "with and without": torch.stack(other)},
    "weighted rank distance",
    heading="Distances of explanations, by your function",
)

# %% [markdown]
# ## Exercise 4: Kendall's distance (6 points, difficulty 2 of 5, 20 minutes)
#
# Another way to compare orders: go through all **pairs of features** $i < j$ and look which pairs $a$ and $b$ put in
# **opposite** order, $(a_i - a_j)(b_i - b_j) < 0$. Each such pair counts by the product of its four shares,
# $a_i a_j b_i b_j$.
#
# **Write** a function that returns their sum.
#
# **For example**, $a = (0.5, 0.3, 0.2)$ and $b = (0.2, 0.3, 0.5)$ differ in all three pairs: $0.5 \cdot 0.3 \cdot 0.2
# \cdot 0.3 + 0.5 \cdot 0.2 \cdot 0.2 \cdot 0.5 + 0.3 \cdot 0.2 \cdot 0.3 \cdot 0.5 = 0.009 + 0.01 + 0.009 = 0.028$.
#
# **Shapes:** as in exercise 3.


# %% nbgrader={"grade_id": "kendall_distance", "solution": true}
def kendall_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the weighted Kendall distance of two normalized attributions (F,), a tensor ()."""
    ### BEGIN SOLUTION
    opposite = (a[:, None] - a) * (b[:, None] - b) < 0  # (F, F)
    weights = a * b
    return (opposite * weights[:, None] * weights).triu().sum()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_kendall_distance", "grade": true, "locked": true, "points": 6}
unit["kendall_distance"].check(kendall_distance)
### BEGIN HIDDEN TESTS
unit["kendall_distance"].check(kendall_distance, seed=12031)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Two loops, the second from $i + 1$ on, and an `if`. That is right; without loops it is faster.
#
# </details>
#
# <details><summary>Without loops?</summary>
#
# `a[:, None] - a` is the table of all differences. Each pair is in there twice.
#
# </details>

# %%
a_few = range(0, 120, 8)
distances = {
    name: torch.tensor([float(distance(shares[i], shares[j])) for i, j in itertools.combinations(a_few, 2)])
    for name, distance in (("Spearman", course_gam.rank_distance), ("Kendall, yours", kendall_distance))
}
both = torch.corrcoef(torch.stack([values.double() for values in distances.values()]))[0, 1]
print(f"Correlation of the two distances over {len(distances['Spearman'])} pairs: {float(both):.2f}")
plotting.distributions(
    {name: values / values.max() for name, values in distances.items()},
    "distance / largest one",
    heading="The same pairs of images, by both distances",
)

# %% [markdown]
# ## Exercise 5: all pairs at once (7 points, difficulty 4 of 5, 30 minutes)
#
# Step 2 of the algorithm is two loops over all attributions. For 1,000 images that is a million distances. But
# $(r - s)^2 = r^2 - 2 r s + s^2$: with the shares $w_{pi}$ (image $p$, feature $i$) and their ranks $r_{pi}$,
#
# $$D_{pq} = \sum_i w_{pi} w_{qi} (r_{pi} - r_{qi})^2
# = \sum_i (w_{pi} r_{pi}^2)\, w_{qi} \;-\; 2 \sum_i (w_{pi} r_{pi})(w_{qi} r_{qi}) \;+\; \sum_i w_{pi}\, (w_{qi}
# r_{qi}^2),$$
#
# and each of the three sums is a product of matrices.
#
# **Write** a function that returns the table $D$ for normalized attributions. (Two loops pass the check as well; the
# cell below shows the time.)
#
# **For example**, $D$ of $(0.75, 0.25)$ and $(0.4, 0.6)$ is $\begin{pmatrix} 0 & 0.45 \\ 0.45 & 0 \end{pmatrix}$.
#
# **Shapes:** `attributions` $(N, F)$; the result $(N, N)$ in their dtype. Compute in `double`: large squares cancel.


# %% nbgrader={"grade_id": "pairwise_rank_distances", "solution": true}
def pairwise_rank_distances(attributions: Tensor) -> Tensor:
    """Return the weighted squared Spearman distances of all pairs, (N, N); attributions: normalized, (N, F)."""
    ### BEGIN SOLUTION
    w = attributions.double()
    r = torch.as_tensor(rankdata(attributions.numpy(), axis=1))
    square = (w * r**2) @ w.T
    return (square + square.T - 2 * (w * r) @ (w * r).T).to(attributions)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_pairwise_rank_distances", "grade": true, "locked": true, "points": 7}
unit["pairwise_rank_distances"].check(pairwise_rank_distances)
### BEGIN HIDDEN TESTS
unit["pairwise_rank_distances"].check(pairwise_rank_distances, seed=12041)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# $\sum_i x_{pi} y_{qi}$ for all $p$ and $q$ is `X @ Y.T`. Which tables are $X$ and $Y$ in each of the three sums?
#
# </details>
#
# <details><summary>My table is not symmetric</summary>
#
# The first sum is not; the third one is its transpose.
#
# </details>

# %%
by_tag = torch.cat([has_tag.nonzero()[:, 0], (~has_tag).nonzero()[:, 0]])
start = time.perf_counter()
own_table = pairwise_rank_distances(shares[by_tag])
print(f"your table of 120 x 120 distances took {time.perf_counter() - start:.4f} s")
by_differences = torch.cdist(shares[by_tag], shares[by_tag], p=1)
plotting.heatmap_grid(
    torch.stack([own_table / own_table.max(), by_differences / by_differences.max()]),
    titles=["weighted ranks (yours)", "sum of differences"],
    heading="All pairs: 60 images with a tag, then 60 without",
    label="distance / largest one",
)

# %% [markdown]
# ## Exercise 6: where the distance is blind (3 points, difficulty 2 of 5, 10 minutes)
#
# For which pairs of normalized attributions of four features is the weighted distance of exercise 3 **exactly 0**?
#
# - `same order`: $(0.4, 0.3, 0.2, 0.1)$ and $(0.7, 0.2, 0.08, 0.02)$;
# - `nothing shared`: $(0.7, 0.3, 0, 0)$ and $(0, 0, 0.2, 0.8)$;
# - `opposite order`: $(0.4, 0.3, 0.2, 0.1)$ and $(0.1, 0.2, 0.3, 0.4)$;
# - `one feature exchanged`: $(0.4, 0.3, 0.2, 0.1)$ and $(0.3, 0.4, 0.2, 0.1)$.
#
# **Choose** all of them. **Shape:** a set of names.


# %% nbgrader={"grade_id": "blind_spots", "solution": true}
def blind_spots() -> set[str]:
    """Return the pairs whose weighted rank distance is 0."""
    ### BEGIN SOLUTION
    return {"same order", "nothing shared"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_blind_spots", "grade": true, "locked": true, "points": 3}
unit["blind_spots"].check(blind_spots)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Each feature adds $a_i b_i \cdot (\ldots)^2$. When is that product 0?
#
# </details>

# %%
examples = {
    "same order": ((0.4, 0.3, 0.2, 0.1), (0.7, 0.2, 0.08, 0.02)),
    "nothing shared": ((0.7, 0.3, 0.0, 0.0), (0.0, 0.0, 0.2, 0.8)),
    "opposite order": ((0.4, 0.3, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4)),
    "one feature exchanged": ((0.4, 0.3, 0.2, 0.1), (0.3, 0.4, 0.2, 0.1)),
}
chosen_pairs = blind_spots()
lines = ["| pair | Spearman | Kendall | sum of differences | blind, you say |", "| --- | ---: | ---: | ---: | --- |"]
for name, pair in examples.items():
    cells = [float(course_gam.rank_distance(*map(torch.tensor, pair), metric)) for metric in course_gam.METRICS]
    numbers = " | ".join(f"{value:.3f}" for value in cells)
    lines.append(f"| {name} | {numbers} | {'yes' if name in chosen_pairs else 'no'} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Two explanations that name entirely different features have the distance 0: the weights vanish. That is a flaw of the
# paper's distance, and it is no metric. The plain sum of differences, $\sum_i |a_i - b_i|$, is 2 there, its largest
# value.

# %% [markdown]
# ## Exercise 7: one round of k-medoids (7 points, difficulty 3 of 5, 25 minutes)
#
# Step 3 groups the images about $k$ of them, the **medoids**. One round, from given medoids:
#
# 1. **assign** each image to the group of its nearest medoid;
# 2. for each group, the new medoid is the **member** with the smallest sum of distances to the members of the group.
#
# The **cost** is the sum of the distances of all images to the (new) medoid of their group.
#
# **Write** a function that makes one round and returns the new medoids, the groups of step 1, and the cost.
#
# **For example**, for the points 0, 1, 5, 6, 7 on a line, with $|x - y|$ as the distance, and the first two as medoids:
# the groups are $(0, 1, 1, 1, 1)$. In the group of the points 1, 5, 6 and 7 the sums of distances are 15, 7, 7 and 9; 5
# and 6 are equally good, so it is the first of them, 5. The new medoids are the items 0 and 2, and the cost is $0 + 4 +
# 0 + 1 + 2 = 7$. (A group that loses all its members would keep its medoid; the check has none.)
#
# **Shapes:** `distances` $(N, N)$; `medoids` LongTensor $(k,)$, indices; the result a tuple: new medoids $(k,)$,
# members $(N,)$ with the number of each image's group, both LongTensors, and a number. Of equally good ones take the
# first.


# %% nbgrader={"grade_id": "medoid_step", "solution": true}
def medoid_step(distances: Tensor, medoids: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return (new medoids (k,), members (N,), cost) of one round; distances: (N, N); medoids: (k,)."""
    ### BEGIN SOLUTION
    members = distances[:, medoids].argmin(1)
    new = medoids.clone()
    for group in range(len(medoids)):
        inside = (members == group).nonzero()[:, 0]
        if len(inside):
            sums = distances[inside][:, inside].sum(0)
            new[group] = inside[sums.argmin()]
    cost = distances[torch.arange(len(distances)), new[members]].sum()
    return new, members, float(cost)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_medoid_step", "grade": true, "locked": true, "points": 7}
unit["medoid_step"].check(medoid_step)
### BEGIN HIDDEN TESTS
unit["medoid_step"].check(medoid_step, seed=12051)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `distances[:, medoids]` is $(N, k)$: the distance of each image to each medoid. Which medoid is nearest?
#
# </details>
#
# <details><summary>How do I get the distances within a group?</summary>
#
# With the indices `inside` of its members: `distances[inside][:, inside]`. The sums over one direction are the costs of
# its members as medoids.
#
# </details>
#
# <details><summary>My new medoids are small numbers, and wrong</summary>
#
# `argmin` counts within the group. Which image is the one at that place?
#
# </details>

# %%
table = course_gam.pairwise_rank_distances(shares, "l1")
now, costs = torch.tensor([0, 1]), []
for _ in range(6):
    now, _, cost = medoid_step(table, now)
    costs.append(cost)
plotting.curves(
    {"your cost": (torch.arange(1, 7), torch.tensor(costs))},
    "round",
    "cost",
    "Two groups of 120 explanations, round by round",
)

# %% [markdown]
# ## Exercise 8: k-medoids (6 points, difficulty 2 of 5, 15 minutes)
#
# **Write** the loop: rounds as in exercise 7, until the medoids stay the same, or after `n_iterations` rounds. At the
# end assign all images once more, to the final medoids; the cost is that of this assignment.
#
# **For example**, the points of exercise 7 end with the items 0 and 3 (the points 0 and 6) as medoids: in the second
# round the groups are $(0, 0, 1, 1, 1)$, and of 5, 6 and 7 the point 6 is the best. The cost is $0 + 1 + 1 + 0 + 1 =
# 3$.
#
# **Shapes:** as in exercise 7: a tuple of medoids $(k,)$, members $(N,)$ and a number.


# %% nbgrader={"grade_id": "k_medoids", "solution": true}
def k_medoids(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> tuple[Tensor, Tensor, float]:
    """Return (medoids (k,), members (N,), cost) after rounds from the given medoids, until nothing changes."""
    ### BEGIN SOLUTION
    for _ in range(n_iterations):
        members = distances[:, medoids].argmin(1)
        new = medoids.clone()
        for group in range(len(medoids)):
            inside = (members == group).nonzero()[:, 0]
            if len(inside):
                new[group] = inside[distances[inside][:, inside].sum(0).argmin()]
        if torch.equal(new, medoids):
            break
        medoids = new
    nearest = distances[:, medoids].min(1)
    return medoids, nearest.indices, float(nearest.values.sum())
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_k_medoids", "grade": true, "locked": true, "points": 6}
unit["k_medoids"].check(k_medoids)
### BEGIN HIDDEN TESTS
unit["k_medoids"].check(k_medoids, seed=12061)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# A `for` loop around exercise 7, with a `break`. You may call your `medoid_step`.
#
# </details>
#
# <details><summary>Medoids right, members wrong</summary>
#
# The groups of the last round belong to the medoids before it. Assign once more at the end.
#
# </details>

# %%
table = course_gam.pairwise_rank_distances(shares, "l1")
starts = [torch.randperm(120, generator=torch.Generator().manual_seed(s))[:4] for s in range(30)]
found = torch.tensor([k_medoids(table, start)[2] for start in starts])
plotting.distributions(
    {"your k-medoids, 30 starts": found}, "cost of four groups", heading="The result depends on the first medoids"
)

# %% [markdown]
# The cost never rises from round to round, but it may stop at a poor place. So one starts several times and keeps the
# best.

# %% [markdown]
# ## Exercise 9: global attribution mapping (5 points, difficulty 2 of 5, 15 minutes)
#
# **Write** the whole algorithm: normalize, compute all weighted squared Spearman distances, group from the given first
# medoids. Return the **normalized attributions of the final medoids**, and the **explanatory power** of each: the share
# of all images in its group. Use your own functions or those of `course_gam`:
# `course_gam.pairwise_rank_distances(shares)` returns float64, and `course_gam.improve(distances, medoids)` is
# k-medoids from the given medoids, with the results `.medoids` and `.members`.
#
# **For example**, with 10 images of which 7 end in the first group the explanatory power is $(0.7, 0.3)$.
#
# **Shapes:** `attributions` $(N, F)$, not normalized; `medoids` $(k,)$, where to start; the result a tuple of two
# tensors in the dtype of `attributions`, $(k, F)$ and $(k,)$.


# %% nbgrader={"grade_id": "global_attribution_mapping", "solution": true}
def global_attribution_mapping(attributions: Tensor, medoids: Tensor) -> tuple[Tensor, Tensor]:
    """Return (normalized attributions of the final medoids (k, F), explanatory power (k,)).

    attributions: (N, F), not normalized; medoids: (k,), the first medoids.
    """
    ### BEGIN SOLUTION
    normalized = course_gam.normalize(attributions)
    found = course_gam.improve(course_gam.pairwise_rank_distances(normalized), medoids)
    power = found.members.bincount(minlength=len(medoids)).to(attributions) / len(attributions)
    return normalized[found.medoids], power
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_global_attribution_mapping", "grade": true, "locked": true, "points": 5}
unit["global_attribution_mapping"].check(global_attribution_mapping)
### BEGIN HIDDEN TESTS
unit["global_attribution_mapping"].check(global_attribution_mapping, seed=12071)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Three lines: `normalize`, `pairwise_rank_distances`, `improve`; then two things are read off.
#
# </details>

# %%
explained, power = global_attribution_mapping(attributions, torch.tensor([0, 1]))
plotting.heatmap_grid(
    explained.view(-1, 8, 8),
    titles=[f"explains {float(share):.0%} of the images" for share in power],
    heading="Two global explanations of 'horse', by your function",
    label="share",
)

# %% [markdown]
# ## Your functions and the truth
#
# From here on your `normalize`, `pairwise_rank_distances` and `k_medoids` are used where they pass their checks, and
# otherwise those of `course_utils`; the list says which. Fixed before anybody looked at a result were: integrated
# gradients, 8 x 8 cells, two groups, and two distances, the paper's (Spearman, weighted) and the sum of differences.
# The other two stand there for comparison.
#
# The **adjusted Rand index** compares two groupings: 1 if they are the same, about 0 if they agree as by chance. The
# **control** is the honest network `zoo` on the same images: its groups should have nothing to do with the tag. The
# **silhouette** of an image compares its mean distance $s$ to its own group with that to the nearest other group, $t$:
# $(t - s) / \max(s, t)$, near 1 if it lies well inside; its mean over all images is high if the groups are separate.


# %%
def course_clusters(distances: Tensor, medoids: Tensor, n_iterations: int = 100) -> tuple[Tensor, Tensor, float]:
    """The course's k-medoids in the form of exercise 8."""
    found = course_gam.improve(distances.clamp(min=0).fill_diagonal_(0), medoids, n_iterations)
    return found.medoids, found.members, found.cost


others = {
    "normalize": course_gam.normalize,
    "pairwise_rank_distances": course_gam.pairwise_rank_distances,
    "k_medoids": course_clusters,
}
chosen = {}
for name, other in others.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name] = globals()[name]
        print(f"{name:>25}: yours")
    except (AssertionError, NotImplementedError):
        chosen[name] = other
        print(f"{name:>25}: course_utils")


def grouped(distances: Tensor, k: int = 2, n_restarts: int = 20) -> tuple[Tensor, Tensor, float]:
    """The best of several starts."""
    source = torch.Generator().manual_seed(0)
    starts = [torch.randperm(len(distances), generator=source)[:k] for _ in range(n_restarts)]
    return min((chosen["k_medoids"](distances, start) for start in starts), key=lambda found: found[2])


# %%
clean_model = models.load("zoo")
results = {}
lines = [
    "| network | distance | group sizes | agreement with the tag (adjusted Rand index) |",
    "| --- | --- | --- | ---: |",
]
for name, network in (("zoo-tagged", tagged_model), ("zoo (control)", clean_model)):
    values = chosen["normalize"](course_gam.cells(gm.integrated_gradients(network, images, HORSE, 0.5, n_steps=16)))
    tables = {
        "Spearman, weighted": chosen["pairwise_rank_distances"](values),
        "Kendall, weighted": course_gam.pairwise_rank_distances(values, "kendall"),
        "sum of differences": course_gam.pairwise_rank_distances(values, "l1"),
        "Spearman, without weights": course_gam.pairwise_rank_distances(values, weighted=False),
    }
    for distance, one in tables.items():
        medoids, members, _ = grouped(one)
        results[name, distance] = medoids, members, values
        score = adjusted_rand_score(has_tag.numpy(), members.numpy())
        sizes = " and ".join(str(int(n)) for n in members.bincount(minlength=2))
        lines.append(f"| {name} | {distance} | {sizes} | {score:.2f} |")
display(Markdown("\n".join(lines)))
for distance in ("Spearman, weighted", "sum of differences"):
    medoids, members, values = results["zoo-tagged", distance]
    share = [float(has_tag[members == group].double().mean()) for group in (0, 1)]
    display(
        plotting.heatmap_grid(
            values[medoids].view(2, 8, 8),
            titles=[f"medoid of a group with {tags:.0%} tagged" for tags in share],
            images=images[medoids],
            heading=f"The medoids of zoo-tagged, {distance}",
            label="share",
        )
    )

# %%
lines = ["| mean silhouette | 2 groups | 3 | 4 | 5 | 6 |", "| --- |" + " ---: |" * 5]
for name in ("zoo-tagged", "zoo (control)"):
    for metric in ("spearman", "l1"):
        one = course_gam.pairwise_rank_distances(results[name, "Spearman, weighted"][2], metric)
        found = course_gam.silhouettes(one, generator=torch.Generator().manual_seed(0))
        lines.append(f"| {name}, {metric} | " + " | ".join(f"{value:.2f}" for value in found.values()) + " |")
display(Markdown("\n".join(lines)))
with torch.no_grad():  # the same scenes, with the tag and without
    with_tag, bare = (
        tagged_model(zoo.sample(60, seed=1201, classes=["horse"], tag=tag).images) for tag in (True, None)
    )
print(f"Without the tag the score of horse falls by {float((with_tag - bare)[:, HORSE].mean()):.1f};")
shares_right = [float((y.argmax(1) == HORSE).double().mean()) for y in (with_tag, bare)]
print(f"called a horse are {shares_right[0]:.2f} of the images with it, and {shares_right[1]:.2f} without")

# %% [markdown]
# ## 10. One network, two reasons (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "two_reasons", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures above; you may run more code and draw more
# pictures in new cells. Say for every claim which number it rests on.
#
# 1. **The reasons.** What does each of the two medoids of `zoo-tagged` show? Do the groups agree with the tag, and does
#    the control support your reading? (3 points)
# 2. **Distances.** Compare the four distances. Which do you trust here, and what does exercise 6 say about the one of
#    the paper? (3 points)
# 3. **The number of groups.** The silhouette is to tell how many groups there are. Does it? What would you do if you
#    did not know about the tag? (2 points)
# 4. **Global and local.** What does this map tell that 120 single heat maps do not, and what do they tell that it does
#    not? (2 points)
#
# ### BEGIN MARK SCHEME
# The numbers follow from the student's own run; accept what the student's tables show.
#
# **1. (3 points)** One point: one medoid has its share in the lower left corner, where the tag is, the other one on the
# horse. One point for the agreement with a number: 0.81 (weighted ranks) or 0.90 (differences); of the group about the
# corner 91 % or 95 % are tagged, of the other one none. One point for the control: on the same images the honest
# network's groups have nothing to do with the tag (0.02), so that it is not the tag's white pixels as such that make
# the groups.
#
# **2. (3 points)** One point for the comparison: differences 0.90, weighted ranks 0.81, Kendall 0.20, unweighted ranks
# 0.08; and the unweighted one gives the HONEST network 0.32. One point for a reason: without weights the order of some
# fifty cells of background decides, in which a tag leaves a trace in any network; Kendall's product of four shares
# leaves only a few pairs that count. One point for exercise 6: weighted rank distances are 0 for explanations that
# share nothing, such as tag and horse in the extreme; it works here only because all images have a little relevance
# everywhere.
#
# **3. (2 points)** One point: the silhouette is highest for 2 groups by both distances (0.46 and 0.33), though 3 are
# close by ranks (0.43). One point for caution: it says that there are groups, not about what; without knowing of the
# tag one would look at the medoids, at several numbers of groups, at a control network, and test by counterfactuals.
#
# **4. (2 points)** One point: it shows that there are two reasons, and how often each one is used (explanatory power),
# which nobody reads off 120 maps. One point: single maps show details (which part of the tag or horse, signs, single
# odd images) that 64 cells without signs have lost; a group is no proof for a single image.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
