# %% [markdown]
# # Lab 10: Sanity checks (60 points)
#
# {{colab_badge}}
#
# A heat map that outlines the object looks right. But an edge detector outlines it as well, and has never seen the
# network. This lab asks one question of every method: **does the map change when the network is destroyed?** You write
# the test, hold maps against the drawn truth, and then sit in judgement on five methods, some of which are frauds.
#
# **When you are through, you can**
#
# - compare two maps by their ranks, with and without signs;
# - destroy a network layer by layer, on copies, and leave the original as it was;
# - draw the curve of a method's similarity, and read it;
# - say what a network that has learnt random labels tells about a method;
# - hold maps against the truth and against the network, and say why none of these tests is enough alone.
#
# **Time and points:** about 4 hours, 60 points: 50 for ten exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. You can skip an exercise and come back to it (exercise 4 draws weights as
# exercise 3 says).
#
# **Before you start:** the tests are derived in the [lecture](../../lectures/10_sanity_checks.ipynb). What you need of
# it is said again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. Ranks by hand | 4 | 1 | 10 |
# | 2. How alike are two maps? | 7 | 2 | 25 |
# | 3. A layer with new weights | 6 | 2 | 20 |
# | 4. The cascade | 7 | 3 | 25 |
# | 5. The curve | 7 | 2 | 20 |
# | 6. Labels at random | 3 | 2 | 5 |
# | 7. The pointing game | 4 | 2 | 15 |
# | 8. Mass on the object | 4 | 2 | 15 |
# | 9. Insertion | 5 | 3 | 25 |
# | 10. Who are the frauds? | 3 | 3 | 20 |
# | 11. What the tests show | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on maps and networks that it makes up itself, and says one of these:
#
# - `similarity: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Exercise 1 is worked by hand, exercises 6 and 10 are choices. There your function takes nothing and returns your
# answer.
#
# When the lab is graded, the same check runs once more on other maps and networks. So do not fit your code to the
# cases: follow the text. Your function must also leave everything as it was: the maps, the network, its mode.
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function sees. All exercises go on with `course_utils` where they need another method, so
# that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import copy
import io

import torch
from IPython.display import Markdown, display
from scipy.stats import rankdata
from torch import Tensor, nn

from course_utils import evaluation, exercises, models, plotting, sanity_checks, zoo
from course_utils import gradient_methods as gm
from course_utils.exercises.sanity_checks import LINE_UP

unit = exercises.load("10_sanity_checks")

# %% [markdown]
# ## A network, some images, and two ways to explain it
#
# The zoo: drawn 64 x 64 images of ten classes, and a network of four convolutions with max pooling and two dense
# layers. As the images are drawn, it is known which pixels are the object. A method takes a network, images and a class
# for each image, and gives a map for each. Two of them: `gradient` is $\partial y / \partial I$, the derivative of the
# class's score (before the softmax) by each pixel, and `guided` is guided backpropagation, which lets only what is
# positive through each ReLU on the way back.

# %%
zoo_model = models.load("zoo")
drawn = zoo.sample(40, seed=101)
images, labels, objects = drawn.images[:12], drawn.labels[:12], drawn.mask("object")[:12]
gradient = gm.gradient(zoo_model, images, labels)
guided = gm.guided_backprop(zoo_model, images, labels)
edges = evaluation.edge_map(images).unsqueeze(1)
plotting.method_grid(
    images[:4],
    {"gradient": gradient[:4], "guided backprop": guided[:4], "edge detector": edges[:4]},
    titles=[zoo.CLASSES[label] for label in labels[:4]],
    masks=objects[:4],
    heading="Two explanations, and one picture that knows no network",
    quantile=0.995,
)

# %% [markdown]
# ## Exercise 1: ranks by hand (4 points, difficulty 1 of 5, 10 minutes)
#
# How alike are two maps? Their units differ, and a single bright pixel should not decide. So each value is replaced by
# its **rank**: the lowest gets 1, the next 2, and so on. With the differences $d_i$ of the ranks at pixel $i$ of $n$,
# and no two values equal, Spearman's **rank correlation** is
#
# $$\rho = 1 - \frac{6 \sum_i d_i^2}{n\,(n^2 - 1)} .$$
#
# It is 1 for the same order, $-1$ for the opposite order, and near 0 for orders that have nothing to do with each
# other. Two maps of four pixels:
#
# | pixel | 1 | 2 | 3 | 4 |
# | --- | ---: | ---: | ---: | ---: |
# | $a$ | 0.9 | 0.1 | 0.5 | $-0.4$ |
# | $b$ | 0.3 | 2.0 | 1.0 | 0.6 |
#
# **Compute** $\rho$ of the values as they are (with their signs), and $\rho$ of their absolute values.
#
# **For example**, $a = (3, 1, 2)$ has the ranks $(3, 1, 2)$, and $b = (0.2, 0.1, 0.5)$ has $(2, 1, 3)$: $\sum d^2 = 2$
# and $\rho = 1 - 12 / 24 = 0.5$.
#
# **Shape:** two numbers, in this order.


# %% nbgrader={"grade_id": "spearman_by_hand", "solution": true}
def spearman_by_hand() -> tuple[float, float]:
    """Return rho of the signed values and rho of the absolute values, worked by hand."""
    ### BEGIN SOLUTION
    # Ranks of a: 4, 2, 3, 1; of b: 1, 4, 3, 2. The differences 3, -2, 0, -1 have the squares 9, 4, 0, 1: 14.
    # Of the absolute values, 0.9, 0.1, 0.5, 0.4: 4, 1, 3, 2. The differences 3, -3, 0, 0: 18.
    return 1 - 6 * 14 / 60, 1 - 6 * 18 / 60
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_spearman_by_hand", "grade": true, "locked": true, "points": 4}
unit["spearman_by_hand"].check(spearman_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write the ranks of $a$ in a row, those of $b$ below it, and the differences below these.
#
# </details>
#
# <details><summary>Which rank has −0.4?</summary>
#
# With its sign it is the lowest of the four values. Without it, it lies between 0.1 and 0.5.
#
# </details>

# %%
signed, absolute = spearman_by_hand()
a, b = torch.tensor([0.9, 0.1, 0.5, -0.4]), torch.tensor([0.3, 2.0, 1.0, 0.6])
plotting.matrices(
    {
        "a, b": torch.stack([a, b]),
        f"ranks (ρ = {signed:g})": torch.as_tensor(rankdata(torch.stack([a, b]), axis=1)),
        f"ranks of |a|, |b| (ρ = {absolute:g})": torch.as_tensor(rankdata(torch.stack([a, b]).abs(), axis=1)),
    },
    heading="Two maps of four pixels, and their ranks",
)

# %% [markdown]
# ## Exercise 2: how alike are two maps? (7 points, difficulty 2 of 5, 25 minutes)
#
# In general $\rho$ is the ordinary (Pearson's) correlation of the ranks. That holds with equal values as well, if these
# **share the mean of their ranks**: the values $(0, 0, 5)$ have the ranks $(1.5, 1.5, 3)$. Maps with many zeros need
# this.
#
# **Write** a function that returns $\rho$ for each pair of maps. The value of a pixel is the sum over its channels.
# With the metric `"spearman"` the values keep their signs, with `"spearman_abs"` their absolute values are taken (after
# the sum). A map that is constant has no order: there $\rho$ counts as 0. `scipy.stats.rankdata` is allowed.
#
# **For example**, for $a = (1, 2, 3)$ and $b = (3, 1, -7)$ (one channel) it is $-1$ with signs and $0.5$ without.
#
# **Shapes:** `a` and `b` $(N, C, H, W)$; the result $(N,)$, float64.


# %% nbgrader={"grade_id": "similarity", "solution": true}
def similarity(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    """Return the rank correlation of each pair of maps, (N,) float64; a, b: (N, C, H, W).

    metric: "spearman" (signed values) or "spearman_abs" (absolute values).
    """
    ### BEGIN SOLUTION
    ranks = []
    for maps in (a, b):
        values = maps.double().sum(1).flatten(1)
        if metric == "spearman_abs":
            values = values.abs()
        rank = torch.as_tensor(rankdata(values.detach().numpy(), axis=1))
        ranks.append(rank - rank.mean(1, keepdim=True))
    first, second = ranks
    lengths = first.norm(dim=1) * second.norm(dim=1)
    return (first * second).sum(1) / lengths.clamp(min=1e-12)  # 0 / 0 is 0 so
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_similarity", "grade": true, "locked": true, "points": 7}
unit["similarity"].check(similarity)
### BEGIN HIDDEN TESTS
unit["similarity"].check(similarity, seed=10011)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Go image by image: sum over the channels, flatten, rank, correlate. `rankdata` takes numpy arrays and treats equal
# values as the text asks.
#
# </details>
#
# <details><summary>Most of my numbers are right, one is NaN</summary>
#
# A constant map: its ranks are all the same, and a correlation divides by their spread.
#
# </details>
#
# <details><summary>I ranked with argsort, and maps with zeros come out wrong</summary>
#
# `argsort` twice gives ranks, but gives equal values different ones, by their place.
#
# </details>

# %%
pairs = {
    "gradient, itself": (gradient, gradient),
    "gradient, guided backprop": (gradient, guided),
    "gradient, edge detector": (gradient, edges),
    "guided backprop, edge detector": (guided, edges),
    "gradient, noise": (gradient, torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0))),
}
plotting.distributions(
    {
        metric: {name: similarity(*pair, metric) for name, pair in pairs.items()}
        for metric in ("spearman", "spearman_abs")
    },
    "similarity",
    heading="Twelve images each, by your function",
)

# %% [markdown]
# Without signs, both explanations are somewhat like the edge detector: all three are large where the image has edges.
# With signs, neither has anything in common with it. Which metric one chooses decides what one finds.

# %% [markdown]
# ## Exercise 3: a layer with new weights (6 points, difficulty 2 of 5, 20 minutes)
#
# Now the destruction. A layer loses what it has learnt if its parameters are replaced by random numbers.
#
# **Write** a function that returns a **copy** of the network in which the layer of the given name has new parameters:
# each one, in the order of `layer.parameters()`, becomes 0.1 times standard normal numbers of its shape, drawn by
# `torch.randn(..., generator=generator)`. Everything else in the copy is as in the network that was given (its mode,
# too), and that one stays as it was.
#
# **For example**, the name `"15"` is the last layer of the zoo's network; `network.get_submodule("15")` is the layer.
# A name like `"1.2"` is a layer inside of another one.
#
# **Shape:** an `nn.Module`.


# %% nbgrader={"grade_id": "randomize_layer", "solution": true}
def randomize_layer(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    """Return a copy of the network; its layer `name` has new parameters, 0.1 times normal numbers."""
    ### BEGIN SOLUTION
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in changed.get_submodule(name).parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return changed
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_randomize_layer", "grade": true, "locked": true, "points": 6}
unit["randomize_layer"].check(randomize_layer)
### BEGIN HIDDEN TESTS
unit["randomize_layer"].check(randomize_layer, seed=10021)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `copy.deepcopy(model)` is a copy with weights of its own. Change the layer in there.
#
# </details>
#
# <details><summary>torch complains about a leaf variable and an in-place operation</summary>
#
# autograd watches parameters. Inside of `with torch.no_grad():` you may change them, for example with `.copy_(...)`.
#
# </details>
#
# <details><summary>The check says that I changed the weights of the model</summary>
#
# Which network's layer do you fetch with `get_submodule`: the copy's?
#
# </details>

# %%
layers = ["0", "3", "6", "9", "13", "15"]  # the layers with weights, from the input to the output
source = torch.Generator().manual_seed(3)
alone = {name: randomize_layer(zoo_model, name, source) for name in layers}
with torch.no_grad():
    right = {
        name: float((network(drawn.images).argmax(1) == drawn.labels).double().mean())
        for name, network in {"as trained": zoo_model, **{f"layer {k}": net for k, net in alone.items()}}.items()
    }
plotting.bars(
    right,
    "share of 40 images that are recognised",
    "One layer destroyed at a time, by your function",
)

# %% [markdown]
# One layer is enough: the network guesses. So an explanation of any of these networks has no reason to look like that
# of the trained one.

# %% [markdown]
# ## Exercise 4: the cascade (7 points, difficulty 3 of 5, 25 minutes)
#
# Adebayo and others destroy a network **from the output to the input**: first the last layer, then the last two, and so
# on, until all is random.
#
# **Write** a function that returns a dict: for each layer that has parameters of its own, its name, and a network in
# which this layer **and all layers above it** are destroyed (as in exercise 3). The last layer comes first. A layer
# that has been destroyed keeps its new weights in all later networks; each network is a copy of its own.
#
# A layer is meant if `list(layer.parameters(recurse=False))` is not empty. Take the layers in the reverse order of
# `model.named_modules()`.
#
# **For example**, a network with the layers `a`, `b`, `c` gives three networks: `"c"` (c is new), `"b"` (c as before, b
# is new), `"a"` (c and b as before, a is new).
#
# **Shape:** a dict, str to `nn.Module`.


# %% nbgrader={"grade_id": "cascading_randomization", "solution": true}
def cascading_randomization(model: nn.Module, generator: torch.Generator) -> dict[str, nn.Module]:
    """Return {name of the layer that was destroyed last: network}, the last layer first."""
    ### BEGIN SOLUTION
    names = [name for name, layer in model.named_modules() if list(layer.parameters(recurse=False))]
    copies, now = {}, model
    for name in reversed(names):
        now = copy.deepcopy(now)
        with torch.no_grad():
            for parameter in now.get_submodule(name).parameters(recurse=False):
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        copies[name] = now
    return copies
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_cascading_randomization", "grade": true, "locked": true, "points": 7}
unit["cascading_randomization"].check(cascading_randomization)
### BEGIN HIDDEN TESTS
unit["cascading_randomization"].check(cascading_randomization, seed=10031)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# List the names of the layers that are meant, and reverse the list. Then a loop: each network is made from the one
# before, and not from the first.
#
# </details>
#
# <details><summary>All my networks are equally destroyed</summary>
#
# Python's `=` copies nothing: all names stand for one network. When is a copy taken?
#
# </details>
#
# <details><summary>My keys are not those that are asked for</summary>
#
# `named_modules` also gives the network itself (with the name `""`), containers and layers without parameters, such as
# a ReLU.
#
# </details>

# %%
cascade = cascading_randomization(zoo_model, torch.Generator().manual_seed(1))
plotting.method_grid(
    images[:1],
    {
        "trained": gradient[:1],
        **{f"to layer {name}": gm.gradient(network, images[:1], labels[:1]) for name, network in cascade.items()},
    },
    titles=[f"the gradient for {zoo.CLASSES[labels[0]]}"],
    heading="One image, more and more layers destroyed by your function",
    quantile=0.995,
)

# %% [markdown]
# ## Exercise 5: the curve (7 points, difficulty 2 of 5, 20 minutes)
#
# **Write** a function that explains the network and each of the destroyed copies, and returns for each copy how alike
# its maps are to those of the network: the mean of the similarity over the images. All maps are about the same class,
# `target`. Use `sanity_checks.similarity(a, b, metric)` or your own.
#
# **For example**, a method that never looks at the network has a curve of ones.
#
# **Shapes:** `copies` is a dict of networks as in exercise 4; `explain(network, inputs, target)` gives maps
# $(N, C, H, W)$; the result is a dict of numbers with the same keys in the same order.


# %% nbgrader={"grade_id": "sanity_curve", "solution": true}
def sanity_curve(
    model: nn.Module, copies: dict[str, nn.Module], explain, inputs: Tensor, target: Tensor, metric: str = "spearman"
) -> dict[str, float]:
    """Return {name: mean similarity of the copy's maps to those of the model}.

    copies: name to network; explain: (network, inputs, target) to maps (N, C, H, W); inputs: (N, C, H, W);
    target: LongTensor (N,); metric: of `sanity_checks.similarity`.
    """
    ### BEGIN SOLUTION
    before = explain(model, inputs, target)
    curve = {}
    for name, network in copies.items():
        after = explain(network, inputs, target)
        curve[name] = float(sanity_checks.similarity(before, after, metric).mean())
    return curve
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_sanity_curve", "grade": true, "locked": true, "points": 7}
unit["sanity_curve"].check(sanity_curve)
### BEGIN HIDDEN TESTS
unit["sanity_curve"].check(sanity_curve, seed=10041)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The maps of the network are made once, before the loop over the copies.
#
# </details>
#
# <details><summary>My curve is 1 everywhere</summary>
#
# Which network do you hand to `explain` inside of the loop?
#
# </details>

# %%
copies = dict(sanity_checks.cascading_randomization(zoo_model, torch.Generator().manual_seed(1)))
methods = {
    "gradient": gm.gradient,
    "integrated gradients": lambda network, x, target: gm.integrated_gradients(network, x, target, 0.5, n_steps=16),
    "guided backprop": gm.guided_backprop,
    "Grad-CAM": lambda network, x, target: gm.upsample(gm.grad_cam(network, x, target, "10"), (64, 64)),
    "edge detector": lambda network, x, target: evaluation.edge_map(x).unsqueeze(1),
}
lines = {}
for name, method in methods.items():
    curve = sanity_curve(zoo_model, copies, method, images, labels)
    lines[name] = torch.tensor([1.0, *curve.values()])
plotting.curves(lines, "layers destroyed, from the output", "similarity", "Twelve images, with signs, by your curve")

# %% [markdown]
# Here `sanity_checks.cascading_randomization` draws the new weights as they were before the training (that is the usual
# way); the order and the copies are those of exercise 4. A value below 0 after the first step is chance: the new last
# layer is one draw, and may happen to weigh things the other way round. Below, three draws are compared.

# %% [markdown]
# ## Exercise 6: labels at random (3 points, difficulty 2 of 5, 5 minutes)
#
# A second test destroys the labels, not the weights. `zoo-random-labels` is the same kind of network, trained on 2,000
# images whose labels were drawn at random, until it knew them all by heart:
#
# | network | right about its training images | right about unseen images |
# | --- | ---: | ---: |
# | `zoo` | 99 % | 99 % |
# | `zoo-random-labels` | 100 % | 9 % |
#
# Suppose a method gives nearly the same map for both networks, image after image. **What follows?**
#
# **Choose** one of:
#
# - `not about the classes`: the method does not show what tells the classes apart;
# - `both look at the object`: the method is right, since both networks look at the object;
# - `second learnt`: the second network has learnt the classes after all;
# - `first by heart`: the first network has learnt its labels by heart, too;
# - `nothing`: nothing follows, since both networks are right about their training images.
#
# **Shape:** one of these names, as a text.


# %% nbgrader={"grade_id": "random_labels", "solution": true}
def random_labels() -> str:
    """Return what follows if the maps of both networks are nearly the same."""
    ### BEGIN SOLUTION
    return "not about the classes"
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_random_labels", "grade": true, "locked": true, "points": 3}
unit["random_labels"].check(random_labels)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Which of the two networks can have learnt what a cup is? If the map is the same for both, can it be about that?
#
# </details>

# %%
by_heart = models.load("zoo-random-labels")
lines = ["| method | signed | absolute |", "| --- | ---: | ---: |"]
for name, method in methods.items():
    maps = method(zoo_model, images, labels), method(by_heart, images, labels)
    signed, absolute = (sanity_checks.similarity(*maps, metric).mean() for metric in ("spearman", "spearman_abs"))
    lines.append(f"| {name} | {signed:.2f} | {absolute:.2f} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Exercise 7: the pointing game (4 points, difficulty 2 of 5, 15 minutes)
#
# Now the other side: the truth. The images are drawn, so that the object's pixels are known.
#
# **Write** a function that says of each map whether its **highest** pixel lies in the mask: 1 for a hit, 0 for a miss.
# The value of a pixel is the sum over its channels, with signs. (No two pixels tie.)
#
# **For example**, the map $(0.2, -3, 1)$ with the mask (no, yes, yes) is a hit: the highest value is 1.
#
# **Shapes:** `maps` $(N, C, H, W)$; `masks` bool $(N, H, W)$; the result $(N,)$, float64.


# %% nbgrader={"grade_id": "pointing_game", "solution": true}
def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Return 1.0 where the highest pixel of a map lies in the mask, else 0.0, (N,) float64."""
    ### BEGIN SOLUTION
    highest = maps.sum(1).flatten(1).argmax(1, keepdim=True)
    return masks.flatten(1).gather(1, highest)[:, 0].double()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_pointing_game", "grade": true, "locked": true, "points": 4}
unit["pointing_game"].check(pointing_game)
### BEGIN HIDDEN TESTS
unit["pointing_game"].check(pointing_game, seed=10051)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `flatten(1)` makes a row of all pixels of an image; `argmax(1)` is the place of its highest value. The mask has a
# value at the same place.
#
# </details>
#
# <details><summary>The dtype of my answer is wrong</summary>
#
# A mask holds truths. `.double()` makes numbers of them.
#
# </details>

# %%
lines = ["| method | hits |", "| --- | ---: |"]
for name, maps in {"gradient": gradient, "guided backprop": guided, "edge detector": edges}.items():
    lines.append(f"| {name} | {pointing_game(maps, objects).mean():.2f} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Twelve images are few: the share of hits is good to about 0.1 at best. The lecture has other images, and another
# order.

# %% [markdown]
# ## Exercise 8: mass on the object (4 points, difficulty 2 of 5, 15 minutes)
#
# The highest pixel is one pixel. The **mass** looks at all of them: the share of a map's positive values that lies in
# the mask,
#
# $$\frac{\sum_{i \in \text{mask}} \max(0, r_i)}{\sum_i \max(0, r_i)},$$
#
# where $r_i$ is the sum over the channels of pixel $i$. A map without a positive value points nowhere: it scores the
# mask's share of the area, as a constant map would.
#
# **For example**, the map $(1, -2, 3)$ with the mask (no, yes, yes) scores $3/4$. The map $(-1, -2, -3)$ scores $2/3$.
#
# **Shapes:** as in exercise 7.


# %% nbgrader={"grade_id": "relevance_mass", "solution": true}
def relevance_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map's positive values that lies in the mask, (N,) float64."""
    ### BEGIN SOLUTION
    positive = maps.double().sum(1).clamp(min=0)
    positive[positive.amax((1, 2)) == 0] = 1.0  # a map that points nowhere counts as constant
    return (positive * masks).sum((1, 2)) / positive.sum((1, 2))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_relevance_mass", "grade": true, "locked": true, "points": 4}
unit["relevance_mass"].check(relevance_mass)
### BEGIN HIDDEN TESTS
unit["relevance_mass"].check(relevance_mass, seed=10061)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Sum over the channels, cut off what is negative, and divide two sums.
#
# </details>
#
# <details><summary>One of my numbers is NaN</summary>
#
# A map without positive values: $0 / 0$. The text says what it scores.
#
# </details>

# %%
plotting.distributions(
    {
        name: relevance_mass(maps, objects)
        for name, maps in {
            "gradient": gradient,
            "guided backprop": guided,
            "edge detector": edges,
            "a constant map": torch.ones_like(edges),
        }.items()
    },
    "share of the positive values that lies on the object",
    heading="Twelve images each, by your function",
)

# %% [markdown]
# ## Exercise 9: insertion (5 points, difficulty 3 of 5, 25 minutes)
#
# A third judge is the network itself. Lab 07 deleted pixels; here they come back. Begin with a blank image, put the
# pixels in, those with the highest values first, and follow the probability of the class: with a good map, few pixels
# are enough.
#
# **Write** a function that returns the softmax probability of `target` after $0, 1, \ldots, n$ steps. After step $k$
# the $\mathrm{round}(k H W / n)$ highest pixels are those of the image (in all channels), all others are `baselines`.
# The value of a pixel is the sum over its channels; each image has an order of its own. (No two pixels tie.)
#
# **For example**, with the map $(0.5, -1, 2, 1)$ and $n = 2$: the blank image; pixels 3 and 4; all four.
#
# **Shapes:** `inputs` and `maps` $(N, C, H, W)$, `target` LongTensor $(N,)$; the result $(N, n + 1)$, in the dtype of
# the inputs.


# %% nbgrader={"grade_id": "insertion_curve", "solution": true}
def insertion_curve(
    model: nn.Module, inputs: Tensor, target: Tensor, maps: Tensor, n_steps: int = 8, baselines: float = 0.5
) -> Tensor:
    """Return the probability of `target` while the pixels come in, the highest first, (N, n_steps + 1)."""
    ### BEGIN SOLUTION
    n, _, height, width = inputs.shape
    order = maps.sum(1).flatten(1).argsort(1, descending=True)
    place = order.argsort(1).view(n, 1, height, width)  # 0 for the highest pixel, 1 for the next, ...
    blank = torch.full_like(inputs, baselines)
    points = []
    for k in range(n_steps + 1):
        here = torch.where(place < round(k * height * width / n_steps), inputs, blank)
        with torch.no_grad():
            points.append(model(here).softmax(1)[torch.arange(n), target])
    return torch.stack(points, 1)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_insertion_curve", "grade": true, "locked": true, "points": 5}
unit["insertion_curve"].check(insertion_curve)
### BEGIN HIDDEN TESTS
unit["insertion_curve"].check(insertion_curve, seed=10071)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# What is needed is a table that says of each pixel how many pixels are higher. Then a pixel is in at step $k$ if its
# number is below $\mathrm{round}(k H W / n)$.
#
# </details>
#
# <details><summary>How do I get from an order to such a table?</summary>
#
# `argsort` gives places in sorted order. `argsort` of that gives each place its number in the order.
#
# </details>

# %%
integrated = methods["integrated gradients"](zoo_model, images, labels)
noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(5))
compared = {
    "integrated gradients": integrated,
    "gradient": gradient,
    "guided backprop": guided,
    "edge detector": edges,
    "noise": noise,
}
plotting.curves(
    {
        name: (torch.arange(17) / 16, insertion_curve(zoo_model, images, labels, maps, 16).mean(0))
        for name, maps in compared.items()
    },
    "share of the pixels that are in",
    "probability of the class",
    "Putting the highest pixels into a grey image, by your function",
)

# %% [markdown]
# Even noise gets there, once nearly all pixels are in; what counts is how early a curve rises. That guided backprop and
# the edge detector rise early does not make them explanations: an object's outline on grey is a good picture of the
# object, whoever drew it.

# %% [markdown]
# ## Exercise 10: who are the frauds? (3 points, difficulty 3 of 5, 20 minutes)
#
# Five methods stand in a line, called A to E: `LINE_UP["A"](network, inputs, target)` gives maps $(N, C, H, W)$ or
# $(N, 1, H, W)$. Some of them are **frauds**: their maps do not depend on the network that they are given.
#
# Take their curves and their scores, then **choose** all frauds. Three scores hold the map against the true object:
# pointing game and mass as above, and **rank**, the share of the $K$ highest pixels that lie on the object, which has
# $K$ pixels. **Insertion** is the area under the curve of exercise 9, here with the blurred image in place of a grey
# one.
#
# **Shape:** a set of letters, for example `{"A", "C"}`.

# %%
test = zoo.sample(24, seed=1010)
masks = test.mask("object")
judged = {}
for letter, method in LINE_UP.items():
    maps = method(zoo_model, test.images, test.labels)
    after = [method(network, test.images[:12], test.labels[:12]) for network in copies.values()]
    judged[letter] = {
        "curves": [
            [float(sanity_checks.similarity(maps[:12], other, metric).mean()) for other in after]
            for metric in ("spearman", "spearman_abs")
        ],
        "truth": [float(score(maps, masks).mean()) for score in evaluation.TRUTH_METRICS.values()],
        "insertion": float(evaluation.insertion_auc(zoo_model, test.images, test.labels, maps, n_steps=16).mean()),
        "maps": maps,
    }
display(
    plotting.method_grid(
        test.images[:3],
        {letter: found["maps"][:3] for letter, found in judged.items()},
        masks=masks[:3],
        heading="The line-up (outlined: the object)",
        quantile=0.995,
    )
)
display(
    plotting.curve_grid(
        {
            metric: {letter: torch.tensor([1.0, *found["curves"][k]]) for letter, found in judged.items()}
            for k, metric in enumerate(("spearman", "spearman_abs"))
        },
        "layers destroyed, from the output",
        "similarity",
        "Their curves",
        columns=2,
    )
)
lines = ["| method | pointing game | mass | rank | insertion |", "| --- | ---: | ---: | ---: | ---: |"]
for letter, found in judged.items():
    numbers = [*found["truth"], found["insertion"]]
    lines.append(f"| {letter} | " + " | ".join(f"{value:.2f}" for value in numbers) + " |")
display(Markdown("\n".join(lines)))


# %% nbgrader={"grade_id": "frauds", "solution": true}
def frauds() -> set[str]:
    """Return the letters of the methods whose maps do not depend on the network that they are given."""
    ### BEGIN SOLUTION
    return {"B", "D"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_frauds", "grade": true, "locked": true, "points": 3}
unit["frauds"].check(frauds)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# What is the curve of a method that never looks at the network it is given?
#
# </details>
#
# <details><summary>A method with excellent scores cannot be a fraud, can it?</summary>
#
# It can: it may explain some other network, and well.
#
# </details>

# %% [markdown]
# ## Your functions and the course's
#
# From here on your `similarity`, `sanity_curve` and `relevance_mass` are used where they pass their checks, and
# otherwise those of `course_utils`; the list says which. The methods are tested as in the paper: on the whole cascade,
# with three draws of the random weights.

# %%
zoo_model = models.load("zoo")  # a fresh copy


def course_curve(model, copies, explain, inputs, target, metric="spearman") -> dict[str, float]:
    """The course's curve in the form of exercise 5."""
    before = explain(model, inputs, target)
    return {
        name: float(sanity_checks.similarity(before, explain(network, inputs, target), metric).mean())
        for name, network in copies.items()
    }


others = {
    "similarity": sanity_checks.similarity,
    "sanity_curve": course_curve,
    "relevance_mass": evaluation.relevance_mass,
}
chosen = {}
for name, other in others.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name] = globals()[name]
        print(f"{name:>15}: yours")
    except (AssertionError, NotImplementedError):
        chosen[name] = other
        print(f"{name:>15}: course_utils")

# %%
tested = {
    "input x gradient": gm.input_x_gradient,
    "guided backprop": gm.guided_backprop,
    "deconvnet": gm.deconvnet,
    **LINE_UP,
}
draws = [dict(sanity_checks.cascading_randomization(zoo_model, torch.Generator().manual_seed(s))) for s in (1, 2, 3)]
before = {name: method(zoo_model, images, labels) for name, method in tested.items()}
curves = {"spearman": {}, "spearman_abs": {}}
for name, method in tested.items():
    # Each network is explained once, for both metrics.
    maps = {zoo_model: before[name]}
    maps |= {network: method(network, images, labels) for copies in draws for network in copies.values()}

    def known(network: nn.Module, inputs: Tensor, target: Tensor, maps=maps) -> Tensor:
        """The maps that were made before."""
        return maps[network]

    for metric, lines in curves.items():
        found = [chosen["sanity_curve"](zoo_model, copies, known, images, labels, metric) for copies in draws]
        lines[name] = torch.tensor([[1.0, *curve.values()] for curve in found])
display(
    plotting.curve_grid(
        curves,
        "layers destroyed, from the output",
        "similarity",
        "Cascading randomization, twelve images (bands: three draws of the weights)",
        columns=2,
    )
)
lines = ["| method | last layer, signed | all layers, signed | last layer, absolute | all layers, absolute | mass |"]
lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
for name in tested:
    mass = chosen["relevance_mass"](before[name], objects).mean()
    cells = [f"{curves[metric][name].mean(0)[place]:.2f}" for metric in curves for place in (1, -1)]
    lines.append(f"| {name} | " + " | ".join(cells) + f" | {mass:.2f} |")
display(Markdown("\n".join(lines)))
print(f"The object's share of the area: {objects.double().mean():.2f}")

# %% [markdown]
# ## 11. What the tests show, and what they do not (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "tests_show", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures above; you may run more code and draw more
# pictures in new cells. Say for every claim which number it rests on.
#
# 1. **The verdict.** For each of the five methods of the line-up: is it a fraud, and which number shows it? Name two
#    numbers in the tables that would have misled you, taken alone. (3 points)
# 2. **Signs.** Compare the two metrics after the last layer for input x gradient and guided backprop. One of them keeps
#    a similarity of about 0.4 without signs and none with signs: what does it keep, and why? And why does the other
#    keep its signs as well? (3 points)
# 3. **Passing is not enough.** Describe a method that passes the cascade perfectly and explains nothing. Which of the
#    other tests of this lab would expose it? (2 points)
# 4. **Guided backprop** has a higher mass than the gradient. Is it the better explanation? Argue with its curve, and
#    with the picture of insertion. (2 points)
#
# ### BEGIN MARK SCHEME
# The numbers follow from the student's own run; accept what the student's charts show.
#
# **1. (3 points)** One point: B and D are frauds, A, C and E are not, and the numbers are the curves: those of B and D
# are exactly 1 at every depth and by both metrics, those of the others fall (with signs to about 0 after one or two
# layers). One point each for two misleading numbers, for example: B has the best pointing game and insertion (0.96 and
# 0.84) of the line-up, level with E, whose maps it copies on the trained network; D has the best mass (0.75); A has
# poor scores (mass 0.31, insertion 0.60) and is honest; C keeps some similarity at some depths, by chance, for it is
# coarse.
#
# **2. (3 points)** One point for the numbers: input x gradient has about -0.1 with signs and 0.40 without after the
# last layer; guided backprop 0.90 and 0.84. One point for what is kept: where the map is large. It follows the image
# (edges, the factor x, dead ReLUs on the plain background), not the network; the signs, which say for or against, come
# from the weights and are lost. One point for guided backprop: it lets only positive values back through each ReLU, so
# that what arrives is the pattern of the lower layers and the pooling switches, whatever the upper layers say.
#
# **3. (2 points)** One point for a method that passes: for example noise whose seed is computed from the weights; its
# similarity is 0 as soon as a weight changes. One point for the test: the truth (mass at the object's share of the
# area, 0.15, pointing game by chance) or insertion (level with noise).
#
# **4. (2 points)** One point: its mass (0.60 against 0.32) and its curve of insertion are better, but its similarity
# stays near 0.9 when the last layer, which alone knows the classes, is random: what it shows of the object is not about
# the class. One point for a conclusion with its limits: insertion rewards an outline, which a network needs for any
# class, so that the edge detector rises early, too; as an answer to "why this class?" it fails.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
