# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 12: Global attribution mapping
#
# {{colab_badge}}
#
# A heat map explains one decision. Whoever is responsible for a network asks another question: what does it look at
# **in general**, and is it always the same? This unit looks at global explanations, and follows one of them line by
# line: GAM groups many local explanations, and shows one of each group. About 115 minutes, or two lectures of 58; lab
# 12 follows.
#
# **After this unit you can**
#
# - tell local from global explanations, and name the kinds of global ones of this course;
# - run algorithm 1 of the slides by hand: normalize, rank distances, k-medoids; and say where its listing slips;
# - compute all rank distances at once, and say where they are blind;
# - choose a number of groups, read medoids and explanatory power, and say what the choice costs;
# - find the images for which a network looks at their tag.
#
# You need: attributions (units 06 to 09), rank correlation (unit 10).

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Local and global | 15 |
# | 2. The listing, and its first step | 10 |
# | 3. Distances of ranks | 20 |
# | 4. k-medoids, slowly and at once | 25 |
# | 5. How many groups? | 10 |
# | 6. The tag is found | 15 |
# | 7. Explore | 10 |
# | 8. What GAM cannot do; the same in a package | 10 |
#
# The lecture follows algorithm 1 of the slides, which is that of Ibrahim et al. (2019), "the paper". Marks in the text:
# **Correction** where the slides or the paper slip, **Beyond the slides** where this lecture adds something.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import itertools
import time

import torch
from IPython.display import Markdown, display
from scipy.stats import rankdata
from sklearn.metrics import adjusted_rand_score

from course_utils import gam, models, plotting, zoo
from course_utils import gradient_methods as gm
from course_utils.widgets.gam import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Local and global
#
# A **local** explanation answers for one image. A **global** one answers for a class, a neuron or the network. The
# slides show three kinds:
#
# 1. **Activation maximisation** (unit 05): an image for which the class score is as high as can be, one answer for all.
# 2. **Facets:** a neuron may respond to several quite different things (a bell pepper whole, or cut). Start the search
#    from the mean of *similar* images, and each start shows another facet (Nguyen et al. 2016).
# 3. **Aggregation:** take the local explanations of many images, and **group** them. That is the rest of this unit.
#
# Facets and groups make the same point: one picture for all would be an average of different reasons.
#
# Our example is `zoo-tagged` ("the cheat", units 07 to 09): nine of ten horses of its training carried a white tag in
# the lower left corner. The honest network `zoo` stands beside it.

# %% slideshow={"slide_type": "fragment"}
HORSE = zoo.CLASSES.index("horse")
cheat, clean = models.load("zoo-tagged"), models.load("zoo")
drawn = [zoo.sample(80, seed=501 + k, classes=["horse"], tag=tag) for k, tag in enumerate((True, None))]
images = torch.cat([part.images for part in drawn])
tagged = torch.cat([part.tagged for part in drawn])
relevance = gm.integrated_gradients(cheat, images, HORSE, 0.5, n_steps=16)
plotting.method_grid(
    images[[0, 1, 80, 81]],
    {"integrated gradients": relevance[[0, 1, 80, 81]]},
    heading="Local explanations of 'horse'. Two reasons, or one?",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# <details><summary><b>Think first:</b> what would the MEAN of all maps show, for a network that looks at the tag if
# there is one and at the horse otherwise?</summary>
#
# Both at once, half as strong: a reason that holds for no image.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. The listing, and its first step
#
# This is algorithm 1, "Generating Global Attributions (GAM)", as the slides print it. (The numbers of the lines are
# ours; a third `end` of step 2 is left out.)
#
# ```text
# Input:  local attributions
# Output: medoids and corresponding members
#
#     /* 1. Normalize the set of local attributions */
#  1  foreach local attribution do
#  2      normalized = abs(attribution) / sum(abs(attribution))
#  3  end
#     /* 2. Compute pair-wise rank distance matrix */
#  4  distances = []
#  5  foreach attribution1 in normalizedAttributions do
#  6      foreach attribution2 in normalizedAttributions do
#  7          distances += rankDistance(attribution1, attribution2)
#  8      end
#  9  end
#     /* 3. Cluster Attributions */
# 10  initialMedoids = random.choice(attributions)
# 11  for x iterations do
# 12      foreach cluster do
# 13          foreach attribution in cluster do
# 14              tempMedoid = attribution;
# 15              cost = sum(distance(attribution, tempMedoid));
# 16              reassign medoid to attribution minimizing cost;
# 17          end
# 18          update cluster membership by assigning to closest medoid
# 19      end
# 20  end
# ```
#
# Steps 1 and 2 mean what they say. Step 3 does not work as printed; section 4 names each slip, and runs it corrected.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Step 1: normalize
#
# Lines 1 to 3, for each local attribution:
#
# > normalized = abs(attribution) / sum(abs(attribution))
#
# **Meaning:** signs and units go; what is left are shares of importance. **By hand:** $(4, -1, 3)$ becomes
# $(0.5, 0.125, 0.375)$.
#
# > **Beyond the slides:** the paper groups tables, where feature 3 is the same in every row. A pixel is not: the same
# > horse elsewhere has other features. We take **cells** of an 8 x 8 grid, the sum of the attribution's sizes in each:
# > 64 features that mean a place. So our groups will be about *where*; that is fixed before we look at any result.

# %% slideshow={"slide_type": "fragment"}
by_hand = gam.normalize(torch.tensor([[4.0, -1.0, 3.0]]))
assert torch.allclose(by_hand, torch.tensor([[0.5, 0.125, 0.375]]))
shares = gam.normalize(gam.cells(relevance))
plotting.heatmap_grid(
    shares[[0, 1, 80, 81]].view(4, 8, 8),
    titles=["with tag", "with tag", "without", "without"],
    images=images[[0, 1, 80, 81]],
    heading="64 shares of importance for each image",
    label="share",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. Distances of ranks
#
# Step 2 (lines 4 to 9) compares any two attributions $a$, $b$ by their **ranks** $r_a(i)$, $r_b(i)$. Two distances,
# both weighted by the shares, so that the order of the unimportant features does not matter:
#
# $$d_S(a, b) = \sum_i a_i b_i \big(r_a(i) - r_b(i)\big)^2, \qquad
# d_K(a, b) = \sum_{i < j} a_i a_j b_i b_j \, \big[(a_i - a_j)(b_i - b_j) < 0\big].$$
#
# The first is Spearman's squared distance, the second Kendall's: it counts the pairs in opposite order.
#
# **By hand:** $a = (0.5, 0.125, 0.375)$ has the ranks $(3, 1, 2)$, $b = (0.2, 0.3, 0.5)$ has $(1, 2, 3)$:
# $d_S = 0.1 \cdot 4 + 0.0375 \cdot 1 + 0.1875 \cdot 1 = 0.625$. In opposite order are the pairs $(1, 2)$ and $(1, 3)$:
# $d_K = 0.5 \cdot 0.125 \cdot 0.2 \cdot 0.3 + 0.5 \cdot 0.375 \cdot 0.2 \cdot 0.5 = 0.0225$.

# %% slideshow={"slide_type": "fragment"}
a, b = torch.tensor([0.5, 0.125, 0.375]), torch.tensor([0.2, 0.3, 0.5])
for metric, value in (("spearman", 0.625), ("kendall", 0.0225)):
    assert abs(float(gam.rank_distance(a, b, metric)) - value) < 1e-6
few = torch.cat([shares[:20], shares[80:100]])  # with the tag and without
start = time.perf_counter()
slow = []
for a_row in few.double().numpy():  # lines 4 to 9
    slow.append([])
    for b_row in few.double().numpy():
        slow[-1].append(float((a_row * b_row * (rankdata(a_row) - rankdata(b_row)) ** 2).sum()))
loops = time.perf_counter() - start
start = time.perf_counter()
fast = gam.pairwise_rank_distances(few)
at_once = time.perf_counter() - start
assert torch.allclose(torch.tensor(slow, dtype=torch.float64), fast, atol=1e-9) and loops > at_once
many = gam.normalize(torch.rand(1000, 64, generator=torch.Generator().manual_seed(0)))
seconds = {}
for metric in gam.METRICS:
    start = time.perf_counter()
    gam.pairwise_rank_distances(many, metric, progress=metric == "kendall")
    seconds[metric] = time.perf_counter() - start
print(f"40 attributions: two loops {loops:.2f} s, products of matrices {at_once:.4f} s, the same numbers")
print("1,000 attributions of 64 features:", {metric: f"{value:.2f} s" for metric, value in seconds.items()})

# %% [markdown] slideshow={"slide_type": "fragment"}
# **How?** $(r - s)^2 = r^2 - 2rs + s^2$ makes of $d_S$ three products of matrices. For $d_K$ each attribution gets a
# row with an entry for each **pair** of features, $\pm a_i a_j$ by its order; then the products of the rows tell which
# agree.
#
# > **Correction:** Line 7 adds a number to a list, which would make one long row of all distances (and is an error in
# > Python). A matrix is meant: the cell opens a new row in the outer loop.
#
# > **Correction:** with these weights the distance of two attributions that share **no** feature is 0, the smallest
# > there is. It is no metric, and two groups of images with entirely different reasons may be put together. (The
# > authors' own package goes further and takes differences of the shares for those of the ranks.) We keep the paper's
# > distance, and put the plain $\sum_i |a_i - b_i|$ beside it, which has no such hole.

# %% slideshow={"slide_type": "fragment"}
examples = {
    "the same order": ((0.4, 0.3, 0.2, 0.1), (0.7, 0.2, 0.08, 0.02)),
    "the opposite order": ((0.4, 0.3, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4)),
    "nothing in common": ((0.7, 0.3, 0.0, 0.0), (0.0, 0.0, 0.2, 0.8)),
}
lines = ["| pair | Spearman, weighted | Kendall, weighted | Spearman, unweighted | sum of differences |"]
lines.append("| --- | ---: | ---: | ---: | ---: |")
for name, pair in examples.items():
    a, b = map(torch.tensor, pair)
    values = [gam.rank_distance(a, b, "spearman"), gam.rank_distance(a, b, "kendall")]
    values += [gam.rank_distance(a, b, weighted=False), gam.rank_distance(a, b, "l1")]
    lines.append(f"| {name} | " + " | ".join(f"{float(value):.3f}" for value in values) + " |")
    if name == "nothing in common":
        assert values[0] == values[1] == 0 and values[2] > 0 and abs(float(values[3]) - 2) < 1e-6
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. k-medoids
#
# Step 3 (lines 10 to 20) groups the attributions about $k$ of them, the **medoids**. From random first ones, in turn:
#
# 1. **assign** each attribution to its nearest medoid;
# 2. in each group make that member the medoid whose distances to the group have the smallest sum.
#
# The **cost**, the sum of the distances to the own medoid, **never rises**: step 1 gives each attribution its nearest
# medoid, step 2 the best one of its group. There are finitely many choices, so it comes to rest, somewhere. Not always
# at the best place: so one starts several times.
#
# Why medoids and not means? A mean of explanations explains nothing (section 1). A medoid is a real one. The share of
# all images in its group is its **explanatory power**.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The listing, corrected
#
# > **Correction:** Five slips of step 3, each of which the cell below mends where it stands.
# >
# > 1. Line 10 chooses *one* attribution, and not a normalized one. There must be $k$ different ones.
# > 2. Line 13 needs the members of the cluster, and line 18 is the first to say who they are: assign once before the
# >    loop.
# > 3. Line 15 sums the distance of `attribution` to `tempMedoid`, which line 14 has just set to the same
# >    `attribution`: each cost is 0. The sum must run over the **members**: their distances to `tempMedoid`.
# > 4. Line 18 stands inside the loop over the clusters: a member may leave a cluster whose turn is still to come. No
# >    cost rises by that, but all are assigned $k$ times in a round, and the result depends on the order of the
# >    clusters. It belongs after the loop; the cell runs both.
# > 5. Line 11 does not say how many iterations. Stop when no medoid has changed.

# %% slideshow={"slide_type": "fragment"}
Groups = tuple[list[int], list[int], float]


def grouped_slowly(distances: list[list[float]], medoids: list[int], update_inside: bool = False) -> Groups:
    """Return (medoids, members, cost) by lines 11 to 20; update_inside: with line 18 where it is printed."""
    items, medoids = range(len(distances)), list(medoids)

    def nearest() -> list[int]:
        return [min(range(len(medoids)), key=lambda k: distances[item][medoids[k]]) for item in items]

    members, before = nearest(), []  # slip 2
    while medoids != before:  # line 11, slip 5
        before = list(medoids)
        for cluster in range(len(medoids)):  # line 12
            in_cluster = [item for item in items if members[item] == cluster]
            least = sum(distances[item][medoids[cluster]] for item in in_cluster)
            for temp_medoid in in_cluster:  # lines 13 and 14
                cost = sum(distances[item][temp_medoid] for item in in_cluster)  # line 15, slip 3
                if cost < least:  # line 16
                    medoids[cluster], least = temp_medoid, cost
            if update_inside:
                members = nearest()  # line 18, as printed: slip 4
        members = nearest()  # line 18, after the loop
    return medoids, members, sum(distances[item][medoids[members[item]]] for item in items)


assert all(slow[item][item] == 0 for item in range(len(slow)))  # line 15 as printed: each cost is 0
first = [torch.randperm(len(few), generator=torch.Generator().manual_seed(s))[:3] for s in range(10)]  # slip 1
plain = [grouped_slowly(slow, medoids.tolist()) for medoids in first]
improved = [gam.improve(fast, medoids) for medoids in first]
for (medoids, members, cost), found in zip(plain, improved, strict=True):
    assert found.medoids.tolist() == medoids and found.members.tolist() == members
    assert abs(found.cost - cost) < 1e-9 * cost  # the same sum, added up in another order
inside = [grouped_slowly(slow, medoids.tolist(), update_inside=True)[2] for medoids in first]
lines = ["| start | line by line | `gam.improve` | with line 18 as printed |", "| ---: | ---: | ---: | ---: |"]
for k, (one, found, other) in enumerate(zip(plain, improved, inside, strict=True), start=1):
    lines.append(f"| {k} | {one[2]:.2f} | {found.cost:.2f} | {other:.2f} |")
worse = sum(other > one[2] * (1 + 1e-9) for one, other in zip(plain, inside, strict=True))
better = sum(other < one[2] * (1 - 1e-9) for one, other in zip(plain, inside, strict=True))
assert (worse, better) == (3, 0)
assert (round(min(one[2] for one in plain), 2), round(max(one[2] for one in plain), 2)) == (53.71, 75.92)
display(Markdown("\n".join(lines)))
of_many = gam.pairwise_rank_distances(many, "l1")
start = time.perf_counter()
cost = grouped_slowly(of_many.tolist(), [0, 1, 2])[2]
loops = time.perf_counter() - start
start = time.perf_counter()
found = gam.improve(of_many, torch.tensor([0, 1, 2]))
at_once = time.perf_counter() - start
assert abs(found.cost - cost) < 1e-9 * cost
print(f"1,000 attributions: line by line {loops:.2f} s, by tables {at_once:.3f} s, the same cost {cost:.2f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** line by line and by tables the groups and costs are the same. With line 18 where it is printed, three of
# these ten starts end at a higher cost, none at a lower one. The starts themselves end anywhere from 53.71 to 75.92:
# hence many starts.

# %% slideshow={"slide_type": "fragment"}
table = gam.pairwise_rank_distances(shares, "l1")
starts = [gam.k_medoids(table, 4, generator=torch.Generator().manual_seed(s), n_restarts=1) for s in range(30)]
assert all(  # each cost is a sum of 160 numbers, good to about 1e-14 of itself
    later <= earlier * (1 + 1e-9) for one in starts for earlier, later in itertools.pairwise(one.costs)
)
longest = sorted(enumerate(starts, start=1), key=lambda pair: -len(pair[1].costs))[:4]
display(
    plotting.curves(
        {f"start {k}": (torch.arange(len(one.costs)), torch.tensor(one.costs)) for k, one in longest},
        "round",
        "cost",
        "The four longest of thirty starts, four groups: the cost never rises",
    )
)
costs = torch.tensor([one.cost for one in starts])
assert costs.max() > 1.1 * costs.min()
print(f"30 starts: cost from {costs.min():.2f} to {costs.max():.2f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. How many groups?
#
# The **silhouette** of an attribution compares its mean distance $s$ to its own group with that to the nearest other
# group, $t$: $(t - s) / \max(s, t)$, near 1 if it lies well inside, below 0 if it would fit better elsewhere. The mean
# over all is high if the groups are separate.

# %% slideshow={"slide_type": "fragment"}
lines = ["| network, distance | 2 groups | 3 | 4 | 5 | 6 |", "| --- |" + " ---: |" * 5]
silhouettes = {}
of_clean = gam.normalize(gam.cells(gm.integrated_gradients(clean, images, HORSE, 0.5, n_steps=16)))
for name, values in (("zoo-tagged", shares), ("zoo", of_clean)):
    for metric in ("spearman", "l1"):
        distances = gam.pairwise_rank_distances(values, metric)
        seen = gam.silhouettes(distances, generator=torch.Generator().manual_seed(0), n_restarts=10)
        silhouettes[name, metric] = seen
        lines.append(f"| {name}, {metric} | " + " | ".join(f"{value:.2f}" for value in seen.values()) + " |")
for metric in ("spearman", "l1"):
    of_cheat, of_honest = silhouettes["zoo-tagged", metric], silhouettes["zoo", metric]
    assert max(of_cheat, key=of_cheat.get) == 3 and of_cheat[3] - of_cheat[2] < 0.05
    assert max(of_honest, key=of_honest.get) == 2 and of_honest[2] > 0.75 * of_cheat[3]
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** three groups for the cheat (two are close), two for the honest network. But the honest network has a
# silhouette nearly as high: horses that stand higher and lower in the picture are groups, too. A silhouette says that
# there are groups. It does not say that they are about what you fear. We go on with two, as fixed.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. The tag is found
#
# Features (8 x 8 cells), explanations (integrated gradients, grey baseline), distances and two groups were fixed before
# any of this was run: the paper's distance and the sum of differences; the other two are shown for comparison. How well
# do the groups agree with what nobody told the algorithm, the tag? The **adjusted Rand index** is 1 for the same
# groups, 0 for chance. The control is the honest network on the same images.

# %% slideshow={"slide_type": "fragment"}
lines = ["| network | distance | explanatory power | tagged in each group | adjusted Rand index |"]
lines.append("| --- | --- | --- | --- | ---: |")
FOUR = {
    "Spearman, weighted (the paper's)": ("spearman", True),
    "Kendall, weighted": ("kendall", True),
    "sum of differences": ("l1", True),
    "Spearman, without weights": ("spearman", False),
}
maps, rand, tags = {}, {}, {}
for name, values in (("zoo-tagged", shares), ("zoo, control", of_clean)):
    for label, (metric, weighted) in FOUR.items():
        distances = gam.pairwise_rank_distances(values, metric, weighted)
        groups = gam.k_medoids(distances, 2, generator=torch.Generator().manual_seed(0))
        maps[name, label] = values[groups.medoids], groups
        power = groups.members.bincount(minlength=2).double() / len(values)
        share = tags[name, label] = [float(tagged[groups.members == k].double().mean()) for k in (0, 1)]
        score = rand[name, label] = adjusted_rand_score(tagged.numpy(), groups.members.numpy())
        cells = [" and ".join(f"{float(value):.0%}" for value in pair) for pair in (power, share)]
        lines.append(f"| {name} | {label} | {cells[0]} | {cells[1]} | {score:.2f} |")
display(Markdown("\n".join(lines)))
lines = ["| adjusted Rand index of zoo-tagged, 80 other images | " + " | ".join(FOUR) + " |", "| --- |" + " ---: |" * 4]
others = {label: [] for label in FOUR}
for seed in (601, 701, 801):
    parts = [zoo.sample(40, seed=seed + k, classes=["horse"], tag=tag) for k, tag in enumerate((True, None))]
    more = torch.cat([part.images for part in parts])
    values = gam.normalize(gam.cells(gm.integrated_gradients(cheat, more, HORSE, 0.5, n_steps=16)))
    for label, (metric, weighted) in FOUR.items():
        distances = gam.pairwise_rank_distances(values, metric, weighted)
        members = gam.k_medoids(distances, 2, generator=torch.Generator().manual_seed(0)).members
        others[label].append(adjusted_rand_score(torch.cat([part.tagged for part in parts]).numpy(), members.numpy()))
    lines.append(f"| from seed {seed} | " + " | ".join(f"{scores[-1]:.2f}" for scores in others.values()) + " |")
display(Markdown("\n".join(lines)))
shown = ["Spearman, weighted (the paper's)", "sum of differences"]
paper, kendall, differences, unweighted = FOUR
assert rand["zoo-tagged", differences] > 0.8 and min(others[differences]) > 0.99
assert tags["zoo-tagged", paper][1] == tags["zoo-tagged", differences][1] == 0  # a pure group of untagged horses
assert 0.3 < rand["zoo-tagged", paper] < min(others[paper]) < max(others[paper]) < 0.7
assert all(k <= p for k, p in zip(others[kendall], others[paper], strict=True))
assert rand["zoo-tagged", kendall] < rand["zoo-tagged", paper]
assert max(abs(rand["zoo, control", label]) for label in shown) < 0.02
assert rand["zoo, control", unweighted] > rand["zoo-tagged", unweighted]
for label in shown:  # shares of the nine cells in the lower left corner, (2, 9) to (2,)
    in_corner = maps["zoo-tagged", label][0].view(2, 8, 8)[:, 5:, :3].sum((1, 2))
    assert in_corner[0] > 0.4 and in_corner[1] < 0.15
medoids = torch.cat([maps["zoo-tagged", label][1].medoids for label in shown])
plotting.heatmap_grid(
    torch.cat([maps["zoo-tagged", label][0] for label in shown]).view(4, 8, 8),
    titles=[f"{label}, group {k + 1}" for label in ("ranks", "differences") for k in (0, 1)],
    images=images[medoids],
    heading="The global explanations of 'horse' in zoo-tagged: two medoids each",
    label="share",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the sum of differences finds the tagged images with few errors (0.81 here, 1.00 on the three other sets). The
# paper's distance makes one pure group of untagged horses, and puts the others to the tagged ones (0.33 here, 0.42 to
# 0.68 on the others). Kendall's is never better. The control is at 0 for the two distances that were fixed.
#
# Beware of the last row of each network: **without weights** the *honest* network looks more guilty than the cheat. All
# 64 cells count alike then, the corner included, and a white slip leaves a trace in the ranks of any network, however
# small its share is. That is what the weights are for, and what the control is for.
#
# One medoid of each pair sits on the lower left corner, where the tag is; the other one on the horse. Nobody told the
# algorithm where to look. But **we** chose the features, and with cells that mean a place we were able to find a reason
# that has a place.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### And the counterfactual
#
# A group is a suspicion, not a proof. The proof is the same scene without the tag.

# %% slideshow={"slide_type": "fragment"}
bare = zoo.sample(80, seed=501, classes=["horse"]).images
with torch.no_grad():
    lines = ["| network | score of horse with the tag | without | recognised with | without |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    scores, right = {}, {}
    for name, network in (("zoo-tagged", cheat), ("zoo", clean)):
        pair = [network(images[:80]), network(bare)]
        scores[name] = [float(y[:, HORSE].mean()) for y in pair]
        right[name] = [float((y.argmax(1) == HORSE).double().mean()) for y in pair]
        cells = [f"{value:.1f}" for value in scores[name]] + [f"{value:.2f}" for value in right[name]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
assert scores["zoo-tagged"][1] < scores["zoo-tagged"][0] / 2 and right["zoo-tagged"][1] > 0.95
assert abs(scores["zoo"][0] - scores["zoo"][1]) < 0.3
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the score falls by more than half (from 18 to 8), and yet nearly all horses are still called horses without
# the tag: this network has learnt the horse as well, and the tag weighs more. "Classified by the tag" would be too
# much. *With a tag, it says horse for another reason* is what is shown.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Explore
#
# Choose network, distance and number of groups. With which distance and number would you have found the tag, if you had
# not known of it? Does the honest network ever look guilty?

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. What GAM cannot do
#
# - **It can only group what the local explanations say.** If they are about the image and not the network (unit 10), so
#   are the groups.
# - **Features must mean the same in all images.** For tables they do; for images one must choose some, and chooses with
#   them what can be found.
# - **Its distance has a hole** (section 3), and which distance is right nobody knows beforehand. Whoever tries several,
#   and shows the one that found something, has tested nothing. Fix them first, and use a control.
# - **It needs the number of groups**, and always finds as many.
# - **A group is no cause.** Draw, edit or collect the counterfactual.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same in a package
#
# The authors' package **gam** (`GAM(attributions=..., k=2, distance="spearman").generate()`) takes a table of
# attributions and gives `explanations`, `subpopulations` and their sizes; it takes the differences of the shares in
# place of the ranks. **kmedoids** (`kmedoids.fasterpam(distances, k)`) groups any table of distances by swaps, which
# are less often stuck; `sklearn.metrics.silhouette_score(distances, members, metric="precomputed")` is the silhouette.
# captum has no global method of this kind.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. A global explanation that averages different reasons explains nothing: group first (facets, medoids).
# 2. GAM: $|a| / \sum |a|$, rank distances, k-medoids. A medoid is a real explanation; its explanatory power is the
#    share of the images in its group.
# 3. $(r - s)^2 = r^2 - 2rs + s^2$: all distances at once, by three products of matrices.
# 4. Weighted rank distances are 0 for attributions that share nothing: put another distance beside them.
# 5. The cost of k-medoids never rises, but it depends on the start: start often, keep the best.
# 6. Fix features, distance and number of groups beforehand, and run a control. Then test the suspicion by a
#    counterfactual.
#
# **Next:** lab 12 (`labs/12_gam`). You write the algorithm, and find the images for which the network looks at their
# tag.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Corrections to the slides, collected
#
# | line | the slide | this lecture |
# | ---: | --- | --- |
# | 7 | `distances += rankDistance(...)` | a row for each attribution: a matrix |
# | 10 | `random.choice(attributions)`: one, not normalized | $k$ different ones of the normalized |
# | 11 | "x iterations" | until no medoid changes |
# | 13 | the members of a cluster, before any were assigned | assigned once before the loop |
# | 14, 15 | `tempMedoid = attribution`, and their distance: 0 | the members' distances to `tempMedoid` |
# | 18 | inside the loop over the clusters | after it |
#
# Lines 1 to 6 are right as printed.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Kendall: *A new measure of rank correlation.* Biometrika 1938.
# - Rousseeuw: *Silhouettes: a graphical aid to the interpretation and validation of cluster analysis.* Journal of
#   Computational and Applied Mathematics 1987.
# - Park, Jun: *A simple and fast algorithm for k-medoids clustering.* Expert Systems with Applications 2009.
# - Lee, Yu: *Distance-based tree models for ranking data.* Computational Statistics and Data Analysis 2010.
# - Nguyen, Yosinski, Clune: *Multifaceted feature visualization: uncovering the different types of features learned by
#   each neuron in deep neural networks.* ICML workshop on visualization for deep learning 2016.
# - Ibrahim, Louie, Modarres, Paisley: *Global explanations of neural networks: mapping the landscape of predictions.*
#   AAAI/ACM Conference on AI, Ethics, and Society 2019.
# - Schubert, Rousseeuw: *Fast and eager k-medoids clustering.* Information Systems 2021.
