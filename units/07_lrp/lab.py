# %% [markdown]
# # Lab 07: layer-wise relevance propagation (60 points)
#
# {{colab_badge}}
#
# A network gives a handwritten digit the score 2.6 for "4". Layer-wise relevance propagation (LRP) shares this score
# out: the output hands it down to the neurons below, and these to the ones below them, until it lies on the
# pixels. In this lab you write the rules by which that is done, from scratch, run them through whole networks, and then
# find out what the maps are worth.
#
# **When you are through, you can**
#
# - work the four steps z, s, c, R by hand, element by element, and write them with vectors;
# - write the rules epsilon (0 included), gamma, z+, alpha-beta and z-box, and say what each does with the bias, with a
#   dead unit and with what speaks against a class;
# - say which rule belongs in which layer, and why;
# - hand relevance down through convolutions (c as a gradient) and pooling, and through a whole network;
# - account for the relevance: what arrives, what biases and epsilon absorb; and test a map by deleting pixels.
#
# **Time and points:** about 4½ hours, 60 points: 50 for fourteen exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the method is derived in the [lecture](../../lectures/07_lrp.ipynb). What you need of it is said
# again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. Four steps by hand | 3 | 1 | 15 |
# | 2. z+ by hand | 2 | 1 | 5 |
# | 3. What is absorbed | 2 | 1 | 10 |
# | 4. The division | 3 | 2 | 15 |
# | 5. The epsilon rule | 4 | 2 | 20 |
# | 6. The gamma rule | 4 | 2 | 15 |
# | 7. The z+ rule | 4 | 2 | 15 |
# | 8. The alpha-beta rule | 4 | 3 | 20 |
# | 9. The z-box rule | 4 | 3 | 20 |
# | 10. Which rule in which layer? | 2 | 1 | 5 |
# | 11. One layer of any kind | 7 | 4 | 40 |
# | 12. The whole network | 6 | 4 | 35 |
# | 13. Conservation | 2 | 1 | 5 |
# | 14. Deleting pixels | 3 | 2 | 20 |
# | 15. What the scores show | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on layers and networks that it makes up itself, and says one of these:
#
# - `lrp_epsilon: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Four exercises are worked by hand. There your function takes nothing and returns your numbers (or names); the check
# calls it and looks at them.
#
# When the lab is graded, the same check runs once more on other layers and networks. So do not fit your code to the
# cases: follow the formula. Your function must also leave everything as it was: the tensors, the network, its hooks.
# (One trace is let pass: `.backward()` fills the `.grad` of the weights, which `torch.autograd.grad` leaves alone.)
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function sees. All exercises go on with `course_utils` where they need another method, so
# that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from captum import attr
from captum.attr._utils import lrp_rules as captum_rules
from IPython.display import Markdown, display
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils import evaluation, exercises, gradient_methods, models, plotting, zoo
from course_utils import lrp as course_lrp
from course_utils.lrp import AlphaBeta, Epsilon, Gamma, Rule, ZBox, ZPlus, composite

unit = exercises.load("07_lrp")

# %% [markdown]
# ## Two networks and their images
#
# **Digits:** 8 x 8 images of real handwritten digits, and a network of two convolutions and one dense layer. We look at
# a clear 4, and at a digit that was meant as a 4 and that the network calls a 9.
#
# **The zoo:** drawn 64 x 64 images of ten classes, and a network of four convolutions with max pooling and two dense
# layers. As the images are drawn, it is known which pixels are the object.
#
# Both are flat `nn.Sequential`s. Their layers are called `"0"`, `"1"`, ... in order. `model(images)` gives the class
# scores $y$ (before any softmax).

# %%
digits, zoo_model = models.load("digits"), models.load("zoo")
digit_images, digit_labels = models.digits(train=False)
four, mistaken = digit_images[21:22], digit_images[402:403]  # (1, 1, 8, 8)

names = ["cup", "ring", "zebra", "star"]
drawn = [zoo.sample(n, seed=61, classes=[name]) for name, n in zip(names, (5, 11, 7, 9), strict=True)]
images = torch.stack([sample.images[-1] for sample in drawn])  # (4, 3, 64, 64), in [0, 1]
labels = torch.stack([sample.labels[-1] for sample in drawn])  # (4,)
objects = torch.stack([sample.mask("object")[-1] for sample in drawn])  # (4, 64, 64), True on the object

print(digits)
with torch.no_grad():
    scores = digits(torch.cat([four, mistaken]))
said = [f"says {row.argmax()}: y_4 = {row[4]:.1f}, y_9 = {row[9]:.1f}" for row in scores]
plotting.image_grid(torch.cat([four, mistaken]), titles=said, heading="Two fours, and what the network says")

# %% [markdown]
# ## Exercise 1: four steps by hand (3 points, difficulty 1 of 5, 15 minutes)
#
# A small network without biases: two inputs $a = (2, 1)$, three hidden neurons with a ReLU, one output.
#
# | | neuron 1 | neuron 2 | neuron 3 |
# | --- | ---: | ---: | ---: |
# | weight from input 1 | 1 | 2 | -1 |
# | weight from input 2 | 1 | -1 | 1 |
# | weight to the output | 2 | 1 | 5 |
#
# A layer hands its relevance down in four steps. With the activations $a_j$ that enter it and the relevance $R_k$ of
# its outputs,
#
# $$z_k = \sum_j a_j w_{jk}, \qquad s_k = \frac{R_k}{z_k}, \qquad c_j = \sum_k w_{jk} s_k, \qquad R_j = a_j c_j.$$
#
# This is LRP-0. In it $0/0 = 0$. At the output, $R = y$.
#
# **Compute** first $y$. Then hand it down from the output's layer to the three hidden neurons, whose activations enter
# it: that gives their relevance $R_k$. Then go through the four steps for the lower layer, and return
# $z_1, z_2, z_3$; $s_1, s_2, s_3$; $c_1, c_2$; $R_1, R_2$.
#
# **For example**, in a layer with one output, $a = (3, 1)$ and $w = (2, -2)$: $z = 4$; with $R = 4$ it is $s = 1$,
# $c = (2, -2)$ and the inputs get $(6, -2)$, together 4.
#
# **Shape:** ten numbers, in this order.


# %% nbgrader={"grade_id": "four_steps", "solution": true}
def four_steps() -> tuple[float, ...]:
    """Return z_1, z_2, z_3, s_1, s_2, s_3, c_1, c_2, R_1, R_2 of the lower layer, worked by hand."""
    ### BEGIN SOLUTION
    # Hidden activations (3, 3, 0), so y = 2 * 3 + 3 + 0 = 9, and R_k = (6, 3, 0).
    return 3.0, 3.0, -1.0, 2.0, 1.0, 0.0, 4.0, 1.0, 8.0, 1.0
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_four_steps", "grade": true, "locked": true, "points": 3}
unit["four_steps"].check(four_steps)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Go forward first: what does each hidden neuron sum up, what is left of it behind the ReLU, and what is $y$? Then the
# output's layer has one output, and its inputs are the three hidden activations.
#
# </details>
#
# <details><summary>My R_1 and R_2 do not add up to y</summary>
#
# Without biases nothing is lost, so somewhere is a slip. Check first that the three $R_k$ add up to $y$.
#
# </details>
#
# <details><summary>What do I do with the third neuron?</summary>
#
# Its sum $z_3$ is negative, so that its activation is 0. An activation of 0 contributes nothing to $y$, and what
# contributes nothing gets nothing.
#
# </details>

# %%
z_1, z_2, z_3, s_1, s_2, s_3, c_1, c_2, r_1, r_2 = four_steps()
plotting.matrices(
    {
        "z": torch.tensor([[z_1, z_2, z_3]]),
        "s": torch.tensor([[s_1, s_2, s_3]]),
        "c": torch.tensor([[c_1, c_2]]),
        "R": torch.tensor([[r_1, r_2]]),
        "sum": torch.tensor([[r_1 + r_2]]),
    },
    heading="Your four steps",
    arrow="→",
)

# %% [markdown]
# The last number should be $y$: the score is shared out, and nothing is lost. The first input gets nearly all of it.

# %% [markdown]
# ## Exercise 2: z+ by hand (2 points, difficulty 1 of 5, 5 minutes)
#
# The z+ rule is the same four steps with $w^+_{jk} = \max(0, w_{jk})$ in place of $w_{jk}$, forward and backward.
#
# **Compute** $R_1$ and $R_2$ of the network above if the lower layer uses z+. The relevance of the hidden neurons is
# that of exercise 1: $R_k = (6, 3, 0)$.
#
# **For example**, $a = (3, 1)$, $w = (2, -2)$, $R = 4$: now $z = 6$, and the inputs get $(4, 0)$.
#
# **Shape:** two numbers, $R_1$ first.


# %% nbgrader={"grade_id": "zplus_by_hand", "solution": true}
def zplus_by_hand() -> tuple[float, float]:
    """Return R_1 and R_2 by the z+ rule, worked by hand."""
    ### BEGIN SOLUTION
    # z = (3, 4, 1), s = (2, 0.75, 0), c = (1 * 2 + 2 * 0.75, 1 * 2 + 0) = (3.5, 2).
    return 7.0, 2.0
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_zplus_by_hand", "grade": true, "locked": true, "points": 2}
unit["zplus_by_hand"].check(zplus_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write the table of weights down once more, with 0 for every negative one. Then do exercise 1 again with it.
#
# </details>
#
# <details><summary>My numbers add up to more or less than 9</summary>
#
# Did you work out $z_2$ anew? It has lost its negative part.
#
# </details>

# %%
plotting.matrices(
    {
        "inputs": torch.tensor([[2.0, 1.0]]),
        "your R by z+": torch.tensor([zplus_by_hand()]),
        "sum": torch.tensor([[sum(zplus_by_hand())]]),
    },
    heading="The same network by z+",
    arrow="→",
)

# %% [markdown]
# The sum should be $y = 9$ again: both rules share out the same score. By z+ the second input loses nothing for holding
# the second neuron back, so that it gets more than by LRP-0.

# %% [markdown]
# ## Exercise 3: what is absorbed (2 points, difficulty 1 of 5, 10 minutes)
#
# A bias is the weight of a formal unit whose activation is 1: the sum $z = \sum_{0,j} a_j w_j$ has it as its term
# number 0. It takes its share like any input, and that share goes no further down. The epsilon rule also has a
# stabiliser below the line:
#
# $$R_j = \frac{a_j w_j}{z + \epsilon\,\mathrm{sign}(z)} R.$$
#
# **Compute**, for one neuron with $a = (2, 1)$, $w = (3, -1)$, the bias $b = 1$, the relevance $R = 6$ and $\epsilon =
# 1.5$: what the two inputs get, what the bias gets, and what $\epsilon$ takes, which is what nobody has got.
#
# **For example**, $a = 1$, $w = 2$, $b = 1$, $R = 3$, $\epsilon = 1$: the input gets $2 / 4 \cdot 3 = 1.5$, the bias
# $0.75$, and $\epsilon$ takes $0.75$.
#
# **Shape:** four numbers: $R_1$, $R_2$, the bias's share, epsilon's share.


# %% nbgrader={"grade_id": "absorbed", "solution": true}
def absorbed() -> tuple[float, float, float, float]:
    """Return R_1, R_2, what the bias gets, and what epsilon takes, worked by hand."""
    ### BEGIN SOLUTION
    # z = 6 - 1 + 1 = 6, and 6 / 7.5 = 0.8.
    return 4.8, -0.8, 0.8, 1.2
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_absorbed", "grade": true, "locked": true, "points": 2}
unit["absorbed"].check(absorbed)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# List the three products of the sum $z$: two of the inputs, and the bias times 1.
#
# </details>
#
# <details><summary>The last number is not right</summary>
#
# All four numbers together are $R$.
#
# </details>

# %%
first, second, of_bias, of_epsilon = absorbed()
plotting.matrices(
    {
        "inputs": torch.tensor([[first, second]]),
        "bias": torch.tensor([[of_bias]]),
        "epsilon": torch.tensor([[of_epsilon]]),
        "together": torch.tensor([[first + second + of_bias + of_epsilon]]),
    },
    heading="Where your 6 went",
)

# %% [markdown]
# Two of the six units never reach the inputs. In a deep network this happens in every layer.

# %% [markdown]
# ## Exercise 4: the division (3 points, difficulty 2 of 5, 15 minutes)
#
# The second step divides by $z_k$, and that may be small, negative, or 0:
#
# $$s_k = \frac{R_k}{z_k + \epsilon\,\mathrm{sign}(z_k)}, \qquad \mathrm{sign}(0) = 1, \qquad \frac 0 0 = 0
# \text{ and } \frac{R_k}{0} = 0.$$
#
# The stabiliser $\epsilon$ moves $z$ away from 0, whatever its sign. With $\epsilon = 0$ and $z_k = 0$ nothing was
# handed up through this output, so nothing is handed down.
#
# **Write** `divide`. **Shapes:** both tensors have the same shape, whatever it is, and so has the result. $\epsilon$ is
# at least 0.
#
# **For example**, $R = (6, 3, 5)$, $z = (3, -1.5, 0)$: with $\epsilon = 0$ it is $s = (2, -2, 0)$, and with
# $\epsilon = 0.5$ it is $s \approx (1.71, -1.5, 10)$.


# %% nbgrader={"grade_id": "divide", "solution": true}
def divide(relevance: Tensor, z: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return s = R / (z + epsilon sign z), with sign 0 = 1, and 0 where this divides by 0.

    relevance: R, of any shape.
    z: of the same shape.
    epsilon: at least 0.
    Returns s, of the same shape.
    """
    ### BEGIN SOLUTION
    below = torch.where(z < 0, z - epsilon, z + epsilon)
    s = torch.zeros_like(relevance)
    there = below != 0
    s[there] = relevance[there] / below[there]
    return s
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_divide", "grade": true, "locked": true, "points": 3}
unit["divide"].check(divide)
### BEGIN HIDDEN TESTS
unit["divide"].check(divide, seed=71)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Work out what stands below the line first. It has one form where $z \ge 0$ and another where $z < 0$.
# `torch.where(condition, this, that)` chooses element by element.
#
# </details>
#
# <details><summary>The check speaks of NaN or infinite numbers</summary>
#
# What is below the line when $z$ and $\epsilon$ are 0? In torch, 0 / 0 is NaN, and 5 / 0 is infinite. Put 0 there.
#
# </details>
#
# <details><summary>It is wrong only where z is 0 and epsilon is not</summary>
#
# `torch.sign(torch.tensor(0.))` is 0, not 1.
#
# </details>

# %%
z_values = torch.cat([torch.linspace(-3, -0.05, 60), torch.linspace(0.05, 3, 60)])
plotting.curves(
    {f"epsilon = {epsilon:g}": (z_values, divide(torch.ones(120), z_values, epsilon)) for epsilon in (0.1, 0.25, 1.0)},
    "z",
    "s for R = 1",
    "Your division",
)

# %% [markdown]
# The larger $\epsilon$, the less can come out near $z = 0$. All curves have the sign of $z$ (between -0.05 and 0.05 the
# line jumps from one branch to the other). With $\epsilon = 0$ nothing bounds $s$ for a given $R$. In a network
# LRP-0 gives a hidden neuron $R_k = a_k c_k$, where $a_k = z_k$ if its ReLU is active: the division takes this factor
# out again, and what is left in the end is input x gradient. The noise of its maps is that of the gradient.

# %% [markdown]
# ## Exercise 5: the epsilon rule (4 points, difficulty 2 of 5, 20 minutes)
#
# For a dense layer $z_k = \sum_j a_j w_{jk} + b_k$:
#
# $$R_j = \sum_k \frac{a_j w_{jk}}{z_k + \epsilon\,\mathrm{sign}(z_k)} R_k
# \qquad\text{or}\qquad z = W a + b, \quad s = R \oslash (z + \epsilon\,\mathrm{sign}(z)), \quad c = W^\top s, \quad
# R = a \odot c.$$
#
# The bias is part of $z$: it takes its share, and that is absorbed. With $\epsilon = 0$ the rule is LRP-0, where
# $0/0 = 0$.
#
# **Write** `lrp_epsilon`. **Shapes:** PyTorch's weight of a dense layer has the outputs first, `(K, J)`, so that
# $w_{jk}$ is `weight[k, j]`; the bias is `(K,)`, the activations are `(N, J)`, the relevance of the outputs `(N, K)`.
# The result is `(N, J)`.
#
# **For example**, the neuron of exercise 3: `weight = [[3, -1]]`, `bias = [1]`, `activations = [[2, 1]]`,
# `relevance = [[6]]` and $\epsilon = 0$ give `[[6, -1]]`, and the bias keeps 1.


# %% nbgrader={"grade_id": "lrp_epsilon", "solution": true}
def lrp_epsilon(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return the relevance of a dense layer's inputs by the epsilon rule.

    weight: (K, J), outputs first; bias: (K,).
    activations: a, (N, J); relevance: R_k, (N, K).
    epsilon: at least 0; 0 is LRP-0.
    Returns R_j, (N, J).
    """
    ### BEGIN SOLUTION
    z = activations @ weight.T + bias
    below = torch.where(z < 0, z - epsilon, z + epsilon)
    s = torch.where(below == 0, 0.0, relevance / torch.where(below == 0, 1.0, below))
    return activations * (s @ weight)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lrp_epsilon", "grade": true, "locked": true, "points": 4}
unit["lrp_epsilon"].check(lrp_epsilon)
### BEGIN HIDDEN TESTS
unit["lrp_epsilon"].check(lrp_epsilon, seed=72)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write the four steps one below the other, one line each, and print the shape of each: `(N, K)`, `(N, K)`, `(N, J)`,
# `(N, J)`.
#
# </details>
#
# <details><summary>"mat1 and mat2 shapes cannot be multiplied"</summary>
#
# Forward, a dense layer is `activations @ weight.T + bias`. Which product leads from `(N, K)` back to `(N, J)`?
#
# </details>
#
# <details><summary>The sum of my result is not the sum of R_k</summary>
#
# It should not be: the bias and epsilon take their shares. Only without both is nothing lost.
#
# </details>

# %%
below = digits[:6]  # up to the dense layer
dense = digits[6]
with torch.no_grad():
    hidden = below(four)  # (1, 512): 32 maps of 4 x 4
    top = digits(four) * F.one_hot(torch.tensor([4]), 10)  # (1, 10), the score of the 4 alone
weight, bias = dense.weight.detach(), dense.bias.detach()
maps = {epsilon: lrp_epsilon(weight, bias, hidden, top, epsilon) for epsilon in (0.0, 1.0, 10.0, 100.0)}
plotting.heatmap_grid(
    torch.cat([values.view(1, 32, 4, 4) for values in maps.values()]),
    titles=[f"epsilon = {epsilon:g}: sum {values.sum():.1f}" for epsilon, values in maps.items()],
    heading=f"Your relevance below the dense layer, the 4, score {top.sum():.1f}",
    label="relevance, in units of the score",
)

# %% [markdown]
# The 32 maps of 4 x 4 are added up. In a layer with one output that has relevance, epsilon makes all of the map paler
# and does not change its form: it needs several outputs with different $z_k$ to weigh them anew.

# %% [markdown]
# ## Exercise 6: the gamma rule (4 points, difficulty 2 of 5, 15 minutes)
#
# The gamma rule favours what speaks for an output:
#
# $$R_j = \sum_k \frac{a_j (w_{jk} + \gamma w_{jk}^+)}{\sum_{0,j} a_j (w_{jk} + \gamma w_{jk}^+)} R_k, \qquad
# w^+ = \max(0, w).$$
#
# The sum below the line begins at 0: the bias is the weight of the formal unit and becomes $b_k + \gamma b_k^+$.
# $0/0 = 0$.
#
# **Write** `lrp_gamma`. **Shapes:** as in exercise 5. The activations are at least 0, as behind a ReLU.
#
# **For example**, `weight = [[3, -1]]`, `bias = [1]`, `activations = [[2, 1]]`, `relevance = [[6]]`, $\gamma = 1$: the
# weights become $(6, -1)$ and the bias 2, $z = 13$, and the inputs get $(72/13, -6/13) \approx (5.54, -0.46)$.


# %% nbgrader={"grade_id": "lrp_gamma", "solution": true}
def lrp_gamma(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, gamma: float = 0.25) -> Tensor:
    """Return the relevance of a dense layer's inputs by the gamma rule.

    weight: (K, J), outputs first; bias: (K,).
    activations: a, (N, J), at least 0; relevance: R_k, (N, K).
    gamma: at least 0; 0 is LRP-0.
    Returns R_j, (N, J).
    """
    ### BEGIN SOLUTION
    favoured = weight + gamma * weight.clamp(min=0)
    z = activations @ favoured.T + bias + gamma * bias.clamp(min=0)
    s = torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))
    return activations * (s @ favoured)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lrp_gamma", "grade": true, "locked": true, "points": 4}
unit["lrp_gamma"].check(lrp_gamma)
### BEGIN HIDDEN TESTS
unit["lrp_gamma"].check(lrp_gamma, seed=73)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Make the new weights first. Then the four steps are those of LRP-0 in a layer that has these weights.
#
# </details>
#
# <details><summary>The check says that this is LRP-0, but I do use gamma</summary>
#
# $w + \gamma w = (1 + \gamma) w$, and the factor cancels. What is $w^+$?
#
# </details>
#
# <details><summary>It is right without a bias, and wrong with one</summary>
#
# The bias is a weight as well. Which part of it grows?
#
# </details>

# %%
maps = {gamma: lrp_gamma(weight, bias, hidden, top, gamma) for gamma in (0.0, 0.25, 1.0, 100.0)}
plotting.heatmap_grid(
    torch.cat([values.view(1, 32, 4, 4) for values in maps.values()]),
    titles=[f"gamma = {gamma:g}: negative {values.clamp(max=0).sum():.1f}" for gamma, values in maps.items()],
    heading="Your relevance below the dense layer, the 4",
    label="relevance, in units of the score",
)

# %% [markdown]
# Above each map stands the sum of all its negative relevance, before the 32 maps are added up. With a growing gamma it
# fades, and with it the contrast between what speaks for the 4 and what speaks against it.

# %% [markdown]
# ## Exercise 7: the z+ rule (4 points, difficulty 2 of 5, 15 minutes)
#
# The z+ rule knows only what speaks for an output:
#
# | element by element | in vectors |
# | --- | --- |
# | $z_k = \sum_j a_j w_{jk}^+$ | $z = W_+ a$ |
# | $s_k = R_k / z_k$ | $s = R \oslash z$ |
# | $c_j = \sum_k w_{jk}^+ s_k$ | $c = W_+^\top s$ |
# | $R_j = a_j c_j$ | $R = a \odot c$ |
#
# The bias is left out (it is 0), and $0/0 = 0$. ($W$ has PyTorch's order here, outputs first.)
#
# **Write** `lrp_zplus`. It is given the bias like the other rules. **Shapes:** as in exercise 5. The activations are at
# least 0, as behind a ReLU.
#
# **For example**, `weight = [[3, -1]]`, `bias = [1]`, `activations = [[2, 1]]`, `relevance = [[6]]` give `[[6, 0]]`.


# %% nbgrader={"grade_id": "lrp_zplus", "solution": true}
def lrp_zplus(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor) -> Tensor:
    """Return the relevance of a dense layer's inputs by the z+ rule.

    weight: (K, J), outputs first; bias: (K,).
    activations: a, (N, J), at least 0; relevance: R_k, (N, K).
    Returns R_j, (N, J).
    """
    ### BEGIN SOLUTION
    positive = weight.clamp(min=0)
    z = activations @ positive.T
    s = torch.where(z > 0, relevance / z, 0.0)
    return activations * (s @ positive)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lrp_zplus", "grade": true, "locked": true, "points": 4}
unit["lrp_zplus"].check(lrp_zplus)
### BEGIN HIDDEN TESTS
unit["lrp_zplus"].check(lrp_zplus, seed=74)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `weight.clamp(min=0)` is $W_+$. It takes the place of $W$ in both directions.
#
# </details>
#
# <details><summary>The check speaks of NaN</summary>
#
# An output with only negative weights has $z = 0$ here. It hands nothing down.
#
# </details>
#
# <details><summary>My result has negative numbers. Is that wrong?</summary>
#
# Not if the $R_k$ are negative: the sign from above goes through. The rule itself adds none.
#
# </details>

# %%
maps = {
    "LRP-0": course_lrp.propagate(dense, hidden, top, Epsilon(0.0)),
    "your z+": lrp_zplus(weight, bias, hidden, top),
}
plotting.heatmap_grid(
    torch.cat([values.view(1, 32, 4, 4) for values in maps.values()]),
    titles=[f"{name}: sum {values.sum():.2f}" for name, values in maps.items()],
    heading=f"Below the dense layer, the 4, score {top.sum():.2f}",
    label="relevance, in units of the score",
)

# %% [markdown]
# By z+ the sum is the score, exactly: there is no bias that takes a share. But what speaks against a 4 cannot be seen
# any more.

# %% [markdown]
# ## Exercise 8: the alpha-beta rule (4 points, difficulty 3 of 5, 20 minutes)
#
# The alpha-beta rule shares out twice: $\alpha$ times among what speaks for the output, and $-\beta$ times among what
# speaks against it, with $\alpha - \beta = 1$:
#
# $$R_j = \sum_k \left( \alpha \frac{(a_j w_{jk})^+}{z_k^+} - \beta \frac{(a_j w_{jk})^-}{z_k^-} \right) R_k, \qquad
# z_k^+ = \sum_j (a_j w_{jk})^+ + b_k^+, \quad z_k^- = \sum_j (a_j w_{jk})^- + b_k^-.$$
#
# $x^+ = \max(0, x)$ and $x^- = \min(0, x)$, so that $z^-$ is negative. $0/0 = 0$ in each of the two parts by itself.
#
# **Write** `lrp_alpha_beta`. **Shapes:** as in exercise 5. The activations are at least 0.
#
# **For example**, `weight = [[3, -1]]`, `bias = [1]`, `activations = [[2, 1]]`, `relevance = [[6]]`, $\alpha = 2$,
# $\beta = 1$: $z^+ = 7$, $z^- = -1$, and the inputs get $(2 \cdot 6/7 \cdot 6, -1 \cdot 6) \approx (10.29, -6)$; the
# bias takes $2 \cdot 1/7 \cdot 6 \approx 1.71$.


# %% nbgrader={"grade_id": "lrp_alpha_beta", "solution": true}
def lrp_alpha_beta(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, alpha: float = 2.0, beta: float = 1.0
) -> Tensor:
    """Return the relevance of a dense layer's inputs by the alpha-beta rule.

    weight: (K, J), outputs first; bias: (K,).
    activations: a, (N, J), at least 0; relevance: R_k, (N, K).
    alpha, beta: with alpha - beta = 1.
    Returns R_j, (N, J).
    """
    ### BEGIN SOLUTION
    total = torch.zeros_like(activations)
    for factor, bound in ((alpha, {"min": 0}), (-beta, {"max": 0})):
        part, part_of_bias = weight.clamp(**bound), bias.clamp(**bound)
        z = activations @ part.T + part_of_bias
        s = torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))
        total = total + factor * activations * (s @ part)
    return total
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lrp_alpha_beta", "grade": true, "locked": true, "points": 4}
unit["lrp_alpha_beta"].check(lrp_alpha_beta)
### BEGIN HIDDEN TESTS
unit["lrp_alpha_beta"].check(lrp_alpha_beta, seed=75)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# As $a_j \ge 0$, the sign of a product is that of its weight: $(a_j w_{jk})^+ = a_j w_{jk}^+$. So each of the two parts
# is the four steps with other weights.
#
# </details>
#
# <details><summary>My second part has the wrong sign</summary>
#
# A negative number divided by a negative number is positive. The minus before $\beta$ is the only one.
#
# </details>
#
# <details><summary>The check speaks of NaN</summary>
#
# Some outputs have nothing that speaks against them (or for them). That part hands nothing down then, and the other one
# is as it is.
#
# </details>

# %%
pairs = ((1.0, 0.0), (2.0, 1.0), (3.0, 2.0))
maps = {pair: lrp_alpha_beta(weight, bias, hidden, top, *pair) for pair in pairs}
plotting.heatmap_grid(
    torch.cat([values.view(1, 32, 4, 4) for values in maps.values()]),
    titles=[
        f"alpha {alpha:g}, beta {beta:g}: {values.clamp(min=0).sum():.1f} and {values.clamp(max=0).sum():.1f}"
        for (alpha, beta), values in maps.items()
    ],
    heading=f"Your alpha-beta below the dense layer, the 4, score {top.sum():.1f}",
    label="relevance, in units of the score",
)

# %% [markdown]
# Above each map stand all that speaks for the 4 and all that speaks against it, before the 32 maps are added up. The
# larger alpha and beta, the more there is of both, and the sum hardly moves. How much speaks against
# the 4 is thus decided by you, and not by the network: that is the price of this rule.

# %% [markdown]
# ## Exercise 9: the z-box rule (4 points, difficulty 3 of 5, 20 minutes)
#
# Pixels are no activations behind a ReLU. They lie in a box, $l \le a_j \le h$, and black is a colour like any other.
# The rule zB measures each product from the least that it could be:
#
# $$R_j = \sum_k \frac{a_j w_{jk} - l\, w_{jk}^+ - h\, w_{jk}^-}{\sum_j \left(a_j w_{jk} - l\, w_{jk}^+ - h\,
# w_{jk}^-\right)} R_k, \qquad w^+ = \max(0, w), \quad w^- = \min(0, w).$$
#
# The bias takes nothing: it is not in the sum. $0/0 = 0$.
#
# **Write** `lrp_zbox`. **Shapes:** as in exercise 5; $l$ is `low` and $h$ is `high`, two numbers.
#
# **For example**, `weight = [[3, -1]]`, `bias = [1]`, `activations = [[0.5, 0]]`, `relevance = [[6]]` in the box $[0,
# 1]$: the numbers above the line are $1.5$ and $0 - (-1) = 1$, so the inputs get $(3.6, 2.4)$. The black pixel gets
# its share: a brighter one would have lowered the output.


# %% nbgrader={"grade_id": "lrp_zbox", "solution": true}
def lrp_zbox(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Return the relevance of a dense layer's inputs by the rule zB.

    weight: (K, J), outputs first; bias: (K,).
    activations: a, (N, J), from low to high; relevance: R_k, (N, K).
    low, high: the bounds of the inputs.
    Returns R_j, (N, J).
    """
    ### BEGIN SOLUTION
    least = low * weight.clamp(min=0) + high * weight.clamp(max=0)  # (K, J), the least that a_j w_jk can be
    products = activations.unsqueeze(1) * weight - least  # (N, K, J)
    z = products.sum(dim=2)
    s = torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))
    return torch.einsum("nkj,nk->nj", products, s)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lrp_zbox", "grade": true, "locked": true, "points": 4}
unit["lrp_zbox"].check(lrp_zbox)
### BEGIN HIDDEN TESTS
unit["lrp_zbox"].check(lrp_zbox, seed=76)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The numerator is a difference of three products: of the inputs with $w$, of a constant input $l$ with $w^+$, and of a
# constant input $h$ with $w^-$. $z_k$ is the sum of the numerators over $j$.
#
# </details>
#
# <details><summary>I have z. How do I go back?</summary>
#
# Each of the three products goes back through its own weights: $a_j \sum_k w_{jk} s_k - l \sum_k w_{jk}^+ s_k - h
# \sum_k w_{jk}^- s_k$. Or build the whole table of numerators, `(N, K, J)`, and sum it over $k$.
#
# </details>
#
# <details><summary>The check says that the bounds are exchanged</summary>
#
# When is $a_j w_{jk}$ least if $w_{jk}$ is negative: at the low or at the high bound?
#
# </details>

# %%
train_images, train_labels = models.digits(train=True)
means = {digit: train_images[train_labels == digit].mean(0).flatten() for digit in (4, 9)}
detector = (means[4] - means[9])[None]  # (1, 64): bright pixels that a 4 has and a 9 has not, and the reverse
answer = four.flatten(1) @ detector.T  # (1, 1)
no_bias = torch.zeros(1)
maps = {
    "weights": detector,
    "LRP-0": four.flatten(1) * detector,  # R = z here, so that s = 1
    "your z-box": lrp_zbox(detector, no_bias, four.flatten(1), answer),
}
plotting.heatmap_grid(
    torch.cat([values.view(1, 1, 8, 8) for values in maps.values()]),
    titles=list(maps),
    heading="A detector with one neuron, 'a 4 and not a 9'",
    label="value",
    scale="map",
)

# %% [markdown]
# The neuron's weights are the mean 4 less the mean 9. LRP-0 multiplies with the pixel, so that black pixels get
# nothing, though a bright pixel there (the closed loop of a 9) would have spoken against the 4. The box gives them
# their share.

# %% [markdown]
# ## Exercise 10: which rule in which layer? (2 points, difficulty 1 of 5, 5 minutes)
#
# The composite of the lecture uses a rule of its own in each part of the network: near the output there are few
# neurons and little noise, further down many neurons with much noise, and at the bottom there are pixels, which lie in
# $[0, 1]$.
#
# **Decide**: which four of these eight does it use? There is one for each of its four places.
#
# - `"z-box for the pixels"`, `"LRP-0 for the pixels"`
# - `"gamma for the lower convolutions"`, `"LRP-0 for the lower convolutions"`
# - `"epsilon for the middle convolutions"`, `"z-box for the middle convolutions"`
# - `"LRP-0 for the dense layers on top"`, `"gamma for the dense layers on top"`
#
# **For example**, `{"LRP-0 for the pixels", "gamma for the lower convolutions"}` is an answer, of the right form and
# too short.
#
# **Shape:** a set of names.


# %% nbgrader={"grade_id": "rule_for_layer", "solution": true}
def rule_for_layer() -> set[str]:
    """Return the four choices of the composite."""
    ### BEGIN SOLUTION
    return {
        "z-box for the pixels",
        "gamma for the lower convolutions",
        "epsilon for the middle convolutions",
        "LRP-0 for the dense layers on top",
    }
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_rule_for_layer", "grade": true, "locked": true, "points": 2}
unit["rule_for_layer"].check(rule_for_layer)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Ask of each rule what it is good for: true to the function, taking from outputs whose $z$ is small, favouring what
# speaks for an output, inputs between two bounds.
#
# </details>
#
# <details><summary>Where does the noise come from?</summary>
#
# LRP-0 in all layers is input x gradient, and the gradient of a deep network jumps about. The further down, the more.
#
# </details>

# %%
places = {
    "pixels": "first",
    "lower convolutions": "lower",
    "middle convolutions": "middle",
    "dense layers on top": "upper",
}
kinds = {"LRP-0": Epsilon(0.0), "epsilon": Epsilon(), "gamma": Gamma(), "z-box": ZBox()}
yours = dict(choice.split(" for the ") for choice in rule_for_layer())  # rule -> place
by_place = {places[place]: kinds[kind] for kind, place in yours.items()}
chosen_rules = {
    "LRP-0 everywhere": Epsilon(0.0),
    "epsilon 0.25 everywhere": Epsilon(0.25),
    "gamma everywhere": Gamma(),
    "your composite": composite(zoo_model, **by_place),
}
plotting.method_grid(
    images,
    {name: course_lrp.lrp(zoo_model, images, labels, rule) for name, rule in chosen_rules.items()},
    titles=names,
    masks=objects,
    heading="One rule everywhere, and a rule for each place",
    quantile=0.995,
)

# %% [markdown]
# LRP-0 everywhere is the noise of the gradient. Your composite should draw the object. (Places that you gave no rule
# have the composite's own. Its epsilon is 1e-6, which only guards the division: `middle=Epsilon(0.0)` gives the
# same maps to the eye. To take anything, epsilon must be of the size of its layer's $z$: try `middle=Epsilon(1.0)`.)

# %% [markdown]
# ## Exercise 11: one layer of any kind (7 points, difficulty 4 of 5, 40 minutes)
#
# The four steps need of a layer only that it can be computed with other weights, and differentiated. With $s$ held
# constant,
#
# $$c_j = \left[\nabla_a \left(\sum_k z_k(a)\, s_k\right)\right]_j,$$
#
# so that autograd does the third step for a convolution as well as for a dense layer.
#
# **Write** `propagate` for these layers:
#
# - **dense and convolution:** by `rule`, an object of `course_utils.lrp`: `Epsilon(epsilon)`, `Gamma(gamma)`,
#   `ZPlus()`, `AlphaBeta(alpha, beta)`, `ZBox(low, high)`, with these attributes. The formulas and what becomes of the
#   bias are those of exercises 5 to 9. $0/0 = 0$. A layer may have no bias (`layer.bias is None`). Outside the box the
#   activations are at least 0.
# - **average pooling:** it is a layer without bias whose weights are all the same, so that the epsilon rule shares out
#   in proportion to $a_j$. It has the $\epsilon$ of `rule` if that is an `Epsilon`; with every other rule $\epsilon$ is
#   0. A window of zeros hands nothing down.
# - **max pooling:** all goes to the winner of the window, and where windows overlap, what an input wins is added up.
# - **ReLU and dropout** (in eval mode) hand on what comes. **Flatten** puts it back in place.
#
# **Shapes:** `activations` is what enters the layer, `(N, ...)`, `relevance` has the shape of what comes out of it, and
# the result that of `activations`. The kinds are `nn.Linear`, `nn.Conv2d`, `nn.MaxPool2d`, `nn.AvgPool2d`,
# `nn.AdaptiveAvgPool2d`, `nn.ReLU`, `nn.Dropout`, `nn.Flatten`.
#
# **For example**, `nn.MaxPool2d(2)` on the window $(1, 4; 0, 2)$ with $R = 6$ gives $(0, 6; 0, 0)$, and
# `nn.AvgPool2d(2)` gives $6 \cdot (1, 4; 0, 2) / 7 \approx (0.86, 3.43; 0, 1.71)$.


# %% nbgrader={"grade_id": "propagate", "solution": true}
def propagate(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the relevance of a layer's inputs.

    layer: one module, which must be left as it was.
    activations: a, what enters the layer, (N, ...); they must not be changed.
    relevance: R_k, the shape of the layer's output.
    rule: Epsilon, Gamma, ZPlus, AlphaBeta or ZBox.
    Returns R_j, the shape of `activations`.
    """
    ### BEGIN SOLUTION

    def backward(function, inputs: Tensor, signal: Tensor) -> Tensor:
        inputs = inputs.detach().clone().requires_grad_()
        return torch.autograd.grad(function(inputs), inputs, signal)[0]

    def compute(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(layer, nn.Linear):
            return F.linear(inputs, weight, bias)
        return F.conv2d(inputs, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    def division(z: Tensor, epsilon: float = 0.0) -> Tensor:
        below = torch.where(z < 0, z - epsilon, z + epsilon)
        return torch.where(below == 0, 0.0, relevance / torch.where(below == 0, 1.0, below))

    if isinstance(layer, nn.ReLU | nn.Dropout):
        return relevance.clone()
    if isinstance(layer, nn.Flatten | nn.MaxPool2d):
        return backward(layer, activations, relevance)
    if isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        epsilon = rule.epsilon if isinstance(rule, Epsilon) else 0.0
        return activations * backward(layer, activations, division(layer(activations), epsilon))

    weight, bias = layer.weight.detach(), layer.bias
    bias = torch.zeros(len(weight)) if bias is None else bias.detach()
    if isinstance(rule, ZBox):
        triples = [
            (activations, weight, 1.0),
            (torch.full_like(activations, rule.low), weight.clamp(min=0), -1.0),
            (torch.full_like(activations, rule.high), weight.clamp(max=0), -1.0),
        ]
        s = division(sum(sign * compute(a, w, None) for a, w, sign in triples))
        return sum(sign * a * backward(lambda x, w=w: compute(x, w, None), a, s) for a, w, sign in triples)
    if isinstance(rule, Gamma):
        parts = [(1.0, weight + rule.gamma * weight.clamp(min=0), bias + rule.gamma * bias.clamp(min=0))]
    elif isinstance(rule, ZPlus):
        parts = [(1.0, weight.clamp(min=0), 0 * bias)]
    elif isinstance(rule, AlphaBeta):
        parts = [
            (rule.alpha, weight.clamp(min=0), bias.clamp(min=0)),
            (-rule.beta, weight.clamp(max=0), bias.clamp(max=0)),
        ]
    else:
        parts = [(1.0, weight, bias)]
    total = torch.zeros_like(activations)
    for factor, w, b in parts:
        s = division(compute(activations, w, b), rule.epsilon)
        total = total + factor * activations * backward(lambda x, w=w: compute(x, w, None), activations, s)
    return total
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_propagate", "grade": true, "locked": true, "points": 7}
unit["propagate"].check(propagate)
### BEGIN HIDDEN TESTS
unit["propagate"].check(propagate, seed=77)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Begin with the layers that need no rule, and return something for each. Then write the four steps for `Epsilon` alone,
# and see that a dense layer and a convolution both work. Then add the other rules: what changes is which weights and
# which bias go in.
#
# </details>
#
# <details><summary>How do I compute the layer with other weights?</summary>
#
# `F.linear(a, weight, bias)` and `F.conv2d(a, weight, bias, layer.stride, layer.padding, ...)` take them as arguments,
# and the layer is left as it was. `copy.deepcopy(layer)` gives you a layer of your own whose weights you may change.
#
# </details>
#
# <details><summary>How do I get c with autograd?</summary>
#
# `torch.autograd.grad(z, a, s)` is the gradient of $\sum_k z_k s_k$ with respect to $a$. Here `a` must be a copy with
# `requires_grad_()`, `z` must be computed from it, and `s` must not depend on it (`.detach()`).
#
# </details>
#
# <details><summary>How do I find the winners of a max pool?</summary>
#
# The gradient of max pooling sends every number to the winner of its window, and adds up.
#
# </details>
#
# <details><summary>All is right but the box</summary>
#
# Each of the three products has its own input: the activations, a tensor that is `low` everywhere, and one that is
# `high` everywhere. Each goes back through its own weights, and each is multiplied with its own input. (With padding,
# the border is outside: it stays 0 in all three.)
#
# </details>

# %%
_, of_layers = course_lrp.lrp(digits, four, 4, return_layers=True)
with torch.no_grad():
    before = digits[:2](four)  # what enters the convolution "2"
rules = {
    "epsilon": Epsilon(1e-6),
    "gamma 0.25": Gamma(0.25),
    "z+": ZPlus(),
    "alpha 2, beta 1": AlphaBeta(2.0, 1.0),
}
maps = [propagate(digits[2], before, of_layers["2"], rule) for rule in rules.values()]
plotting.heatmap_grid(
    torch.cat(maps),
    titles=[f"{name}: sum {values.sum():.1f}" for name, values in zip(rules, maps, strict=True)],
    heading=f"Your propagate: below the second convolution of the digits (above it: {of_layers['2'].sum():.1f})",
    label="relevance, in units of the score",
)

# %% [markdown]
# Four rules, the same layer, the same relevance from above. By epsilon much is blue, and speaks against the 4; the
# other three favour what speaks for it. Only z+ keeps the sum. By the other rules the inputs can even get **more**
# than arrived: a bias that speaks against an output has a negative share.

# %% [markdown]
# ## Exercise 12: the whole network (6 points, difficulty 4 of 5, 35 minutes)
#
# Keep what enters each layer on the way forward. At the top the relevance is the score of the target, and 0 for all
# other classes. Then go back from layer to layer, each with its rule:
#
# $$y = \cdots = \sum_d R_d^{(l+1)} = \sum_d R_d^{(l)} = \cdots = \sum_d R_d^{(1)}.$$
#
# **Write** `lrp`. The networks here are flat `nn.Sequential`s in eval mode. For a single layer use
# `course_lrp.propagate(layer, activations, relevance, rule)`, or your own.
#
# - `rules` is one rule for all layers; or a dict layer name -> rule, where a layer that it lacks gets `Epsilon()`; or
#   `None`, and then it is `composite(model)`, which gives such a dict.
# - One rule for all layers is the rule of average pooling, too: as in exercise 11, an `Epsilon` stabilises it. Average
#   pooling that a dict lacks shares out by LRP-0: it gets `Epsilon(0.0)`.
# - A batch norm behind a convolution is folded into it: `fuse_conv_bn_eval(convolution, norm)` returns one convolution
#   that computes both. It has the rule of the convolution.
# - With `return_layers=True` the result is a pair: the relevance of the pixels, and a dict with `"inputs"` and the name
#   of every layer -> relevance of its **outputs**. (No batch norm is in the networks for which the check asks this.)
#
# **Shapes:** images `(N, C, H, W)` in, relevance `(N, C, H, W)` out. `target` is an `int` or a `LongTensor` `(N,)`.
#
# **For example**, in a network of one flatten and one dense layer without bias, LRP-0 gives each pixel $a_j w_{jc}$:
# what it contributes to $y_c$.


# %% nbgrader={"grade_id": "lrp", "solution": true}
def lrp(
    model: nn.Sequential,
    inputs: Tensor,
    target: int | Tensor,
    rules: Rule | dict[str, Rule] | None = None,
    return_layers: bool = False,
) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
    """Return the relevance of every pixel for the target's score.

    model: a flat nn.Sequential in eval mode, which must be left as it was.
    inputs: images (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    rules: one rule; a dict layer name -> rule; or None for composite(model).
    return_layers: whether to return the relevance of every layer's outputs, too.
    Returns (N, C, H, W), signed, in units of the score; or a pair of it and a dict.
    """
    ### BEGIN SOLUTION
    if rules is None:
        rules = composite(model)
    way: list[tuple[str, nn.Module, Tensor, Rule]] = []
    with torch.no_grad():
        current = inputs.detach().clone()
        for name, layer in model.named_children():
            missing = Epsilon(0.0) if isinstance(layer, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)) else Epsilon()
            rule = rules if isinstance(rules, Rule) else rules.get(name, missing)
            if isinstance(layer, nn.BatchNorm2d):
                _, convolution, current, rule = way.pop()
                layer = fuse_conv_bn_eval(convolution, layer)
            way.append((name, layer, current, rule))
            current = layer(current.clone())  # an in-place ReLU overwrites what enters it
    relevance = torch.zeros_like(current)
    rows = torch.arange(len(current))
    relevance[rows, target] = current[rows, target]
    of_layers = {}
    for name, layer, activations, rule in reversed(way):
        of_layers[name] = relevance
        relevance = course_lrp.propagate(layer, activations, relevance, rule)
    of_layers["inputs"] = relevance
    return (relevance, of_layers) if return_layers else relevance
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lrp", "grade": true, "locked": true, "points": 6}
unit["lrp"].check(lrp)
### BEGIN HIDDEN TESTS
unit["lrp"].check(lrp, seed=78)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Two loops. The first goes forward over `model.named_children()` and keeps (name, layer, what enters it). The second
# goes over that list in reverse.
#
# </details>
#
# <details><summary>How do I start?</summary>
#
# With a tensor of the scores' shape that is 0 everywhere but at `(n, target[n])`, where it holds the score.
#
# </details>
#
# <details><summary>It is wrong with batch norm</summary>
#
# When you meet a batch norm on the way forward, the last entry of your list is its convolution. Put the fused layer in
# its place, with what entered the convolution.
#
# </details>
#
# <details><summary>I do fold, and it is still wrong with batch norm and a dict of rules</summary>
#
# The rule is that of the convolution: look it up under the convolution's name, not under the batch norm's.
#
# </details>

# %%
pair = torch.cat([four, mistaken])
plotting.method_grid(
    pair,
    {
        "for the 4": lrp(digits, pair, 4),
        "for the 9": lrp(digits, pair, 9),
        "4 less 9": lrp(digits, pair, 4) - lrp(digits, pair, 9),
    },
    titles=["a 4", "a 4, called 9"],
    heading="Your relevance on real digits, by the composite",
)

# %%
plotting.method_grid(
    images,
    {
        "your composite": lrp(zoo_model, images, labels),
        "your z+": lrp(zoo_model, images, labels, ZPlus()),
        "input x gradient": gradient_methods.input_x_gradient(zoo_model, images, labels),
    },
    titles=names,
    masks=objects,
    heading="Your relevance on the zoo",
    quantile=0.995,
)

# %% [markdown]
# On the digits, red pixels raise the score and blue pixels lower it. In the last column red speaks for a 4 rather than
# a 9: the upper right corner, for one, because it is empty. On the zoo the maps lie on the object far more than input
# x gradient does.
#
# **LRP with occlusion:** a map is a claim that can be tried. Of the bright pixels of the second digit, the cell below
# takes the one that speaks most for a 9 rather than a 4, paints it black, and asks again.

# %%
evidence = (lrp(digits, mistaken, 4) - lrp(digits, mistaken, 9))[0, 0]
row, column = divmod(int(evidence.masked_fill(mistaken[0, 0] < 0.5, torch.inf).argmin()), 8)
changed = mistaken.clone()
changed[0, 0, row, column] = 0.0
with torch.no_grad():
    answers = digits(torch.cat([mistaken, changed]))
plotting.image_grid(
    torch.cat([mistaken, changed]),
    titles=[f"says {scores.argmax()}: y_4 = {scores[4]:.2f}, y_9 = {scores[9]:.2f}" for scores in answers],
    heading=f"Without the pixel in row {row}, column {column}",
)

# %% [markdown]
# One pixel decides: it is the upper end of the left stroke, which leans to the right as if to close a loop. Without it
# the network sees the 4. (One pixel of one image is an anecdote; exercise 14 makes a measurement of it.)

# %% [markdown]
# ## Exercise 13: conservation (2 points, difficulty 1 of 5, 5 minutes)
#
# Does the relevance of every layer add up to the score? The sum of layer $l$ is $\sum_d R_d^{(l)}$, over channels, rows
# and columns, or over units, of one image.
#
# **Write** `conservation`. **Shapes:** it takes a list of $L$ tensors `(N, ...)`, one a layer, of different shapes. It
# returns `(N, L)`: a row for each image, a column for each layer, in the order given.
#
# **For example**, the layers `[[1, 2], [3, 4]]` and `[[5], [6]]` of two images give `[[3, 5], [7, 6]]`.


# %% nbgrader={"grade_id": "conservation", "solution": true}
def conservation(relevances: list[Tensor]) -> Tensor:
    """Return the sum of the relevance in each layer.

    relevances: L tensors (N, ...).
    Returns (N, L), in units of the score.
    """
    ### BEGIN SOLUTION
    return torch.cat([layer.reshape(len(layer), -1).sum(dim=1, keepdim=True) for layer in relevances], dim=1)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_conservation", "grade": true, "locked": true, "points": 2}
unit["conservation"].check(conservation)
### BEGIN HIDDEN TESTS
unit["conservation"].check(conservation, seed=79)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `layer.flatten(1)` makes `(N, everything else)` of a layer. One sum a row; then `torch.stack` puts the layers side by
# side.
#
# </details>
#
# <details><summary>The shape is (L, N)</summary>
#
# `torch.stack(..., dim=1)` stacks along the second dimension.
#
# </details>

# %%
lines = {}
for name, rule in (("z+", ZPlus()), ("LRP-0", Epsilon(0.0)), ("epsilon 0.25", Epsilon(0.25)), ("composite", None)):
    _, of_layers = course_lrp.lrp(zoo_model, images[:1], labels[:1], rule, return_layers=True)
    sums = conservation(list(of_layers.values()))[0]
    lines[name] = (torch.arange(len(sums)), sums / sums[-1])
plotting.curves(
    lines,
    "layer, from the pixels (0) to the scores",
    "sum of the relevance / score",
    "Your sums in each layer: where relevance is lost",
)

# %% [markdown]
# Read it from the right, where all is the score. z+ keeps it to the pixels. The other rules lose more than half of it,
# most in one step: at the last convolution, layer "9" (from 10 to 9 in the picture). With LRP-0 there is no epsilon, so
# it is the bias alone that absorbs it: this network was trained with batch norm, and folding turned that into large
# biases. (The composite is LRP-0, or nearly, down to the lower convolutions: so far the two lines are one.)

# %% [markdown]
# ## Exercise 14: deleting pixels (3 points, difficulty 2 of 5, 20 minutes)
#
# Is a map faithful to the network? Delete the pixels that it names, the highest first, and follow the probability
# $P_c = \mathrm{softmax}(y)_c$ of the target. If these pixels did matter, it falls fast.
#
# **Write** `deletion_curve`. The relevance of a pixel is the sum over its channels, with signs; a deleted pixel
# becomes `baselines` in all its channels, and stays deleted. After step $t$ of $n$, the $\mathrm{round}(t\,HW / n)$
# highest pixels of each image are gone: none at $t = 0$, all at $t = n$. No two pixels tie.
#
# **Shapes:** images and attributions are `(N, C, H, W)`; the result is `(N, n_steps + 1)`, probabilities.
#
# **For example**, a grey image of $2 \times 2$ pixels with the relevance $(0.5, -2; 1, 0)$ and `n_steps = 4`: first the
# lower left pixel goes, then the upper left one, then the lower right one, and the upper right one last.


# %% nbgrader={"grade_id": "deletion_curve", "solution": true}
def deletion_curve(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    n_steps: int = 8,
    baselines: float = 0.5,
) -> Tensor:
    """Return the target's probability while the pixels are deleted, the highest first.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    attributions: (N, C, H, W).
    n_steps: number of steps from the whole image to the blank one.
    baselines: what a deleted pixel becomes.
    Returns (N, n_steps + 1).
    """
    ### BEGIN SOLUTION
    n_images, channels, height, width = inputs.shape
    order = attributions.sum(dim=1).flatten(1).argsort(dim=1, descending=True)
    rows = torch.arange(n_images)
    classes = torch.as_tensor(target).expand(n_images)
    points = []
    for step in range(n_steps + 1):
        gone = order[:, : round(step * height * width / n_steps)]
        pixels = inputs.detach().clone().flatten(2)
        pixels.scatter_(2, gone.unsqueeze(1).expand(-1, channels, -1), baselines)
        with torch.no_grad():
            points.append(model(pixels.view_as(inputs)).softmax(dim=1)[rows, classes])
    return torch.stack(points, dim=1)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_deletion_curve", "grade": true, "locked": true, "points": 3}
unit["deletion_curve"].check(deletion_curve)
### BEGIN HIDDEN TESTS
unit["deletion_curve"].check(deletion_curve, seed=80)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Add up the channels, flatten each map to `(N, H * W)` and sort it: `argsort(dim=1, descending=True)` gives the places
# in the order in which they go.
#
# </details>
#
# <details><summary>How do I delete different pixels in different images?</summary>
#
# A boolean mask `(N, 1, H, W)` works for all channels at once: `torch.where(mask, baselines, inputs)`. A pixel is in it
# if its rank, which is `order.argsort(dim=1)`, is less than the number of pixels that are to go.
#
# </details>
#
# <details><summary>My curve has one point too few</summary>
#
# There is a point before the first step, where nothing is deleted.
#
# </details>

# %%
zoo_model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one
sample = zoo.sample(16, seed=70)
noise = torch.Generator().manual_seed(0)
maps = {
    "composite": course_lrp.lrp(zoo_model, sample.images, sample.labels),
    "z+": course_lrp.lrp(zoo_model, sample.images, sample.labels, ZPlus()),
    "LRP-0": course_lrp.lrp(zoo_model, sample.images, sample.labels, Epsilon(0.0)),
    "edge detector": evaluation.edge_map(sample.images)[:, None].expand(-1, 3, -1, -1),
    "noise": evaluation.noise_map(sample.images, noise)[:, None].expand(-1, 3, -1, -1),
}
plotting.curves(
    {
        name: (
            torch.linspace(0, 1, 17),
            deletion_curve(zoo_model, sample.images, sample.labels, values, n_steps=16).mean(0),
        )
        for name, values in maps.items()
    },
    "share of the pixels that is deleted",
    "probability of the class",
    "Your deletion curves, mean of 16 images",
)

# %% [markdown]
# The composite's curve falls first. LRP-0, for all its algebra, is hardly better than noise on the long run: its map
# jumps between plus and minus on the object, and the pixels with a minus are deleted last.

# %% [markdown]
# ## Your functions and captum's
#
# [captum](https://captum.ai) has LRP too. From here on your `lrp`, `conservation` and `deletion_curve` are each used if
# they pass their check, and otherwise those of `course_utils` are; the list says which.

# %%
digits, zoo_model = models.load("digits"), models.load("zoo")  # fresh copies
others = {
    "lrp": course_lrp.lrp,
    "conservation": course_lrp.conservation,
    "deletion_curve": lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: evaluation.deletion_curve(
        model, inputs, target, attributions, n_steps=n_steps, baselines=baselines
    )[1],
}
chosen, whose = {}, {}
for name, other in others.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = other, "course_utils"
    print(f"{name:>15}: {whose[name]}")


# %%
def of_captum(rule_of_layer: Callable[[], captum_rules.PropagationRule]) -> Tensor:
    """Return captum's LRP of the zoo's images; captum forgets the rules after each call, so they are set each time."""
    network = models.load("zoo")
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.rule = rule_of_layer()
        elif isinstance(layer, (nn.MaxPool2d, nn.Flatten)):  # captum has no rule for them: this one hands on
            layer.rule = captum_rules.EpsilonRule(1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum warns that it switches on gradients for the images
        return attr.LRP(network).attribute(images.clone(), labels).detach()


pairs = {
    "epsilon 0.25": (Epsilon(0.25), lambda: captum_rules.EpsilonRule(0.25)),
    "z+": (ZPlus(), lambda: captum_rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)),
    "alpha 1, beta 0": (AlphaBeta(1.0, 0.0), lambda: captum_rules.Alpha1_Beta0_Rule()),
    "gamma 0.25": (Gamma(0.25), lambda: captum_rules.GammaRule(0.25)),
}
lines = ["| rule in all layers | whose | correlation with captum | largest difference |", "| --- | --- | ---: | ---: |"]
for name, (rule, captum_rule) in pairs.items():
    came, right = chosen["lrp"](zoo_model, images, labels, rule), of_captum(captum_rule)
    correlation = torch.corrcoef(torch.stack([came.flatten(), right.flatten()]))[0, 1]
    difference = (came - right).abs().max() / right.abs().max()
    lines.append(f"| {name} | {whose['lrp']} | {correlation:.6f} | {100 * difference:.4f} % |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The largest difference is a share of captum's largest value. Epsilon and z+ agree up to rounding. The other two do
# not, and neither side has a slip: they say different things about the **bias**. captum's `Alpha1_Beta0_Rule` makes the
# weights positive and leaves the bias as it is, so that a negative bias stands in $z^+$; here it counts in $z^-$.
# captum's `GammaRule` favours the positive weights and not the bias; here the bias is the weight of the formal unit. A
# name such as "LRP-gamma" does not settle a map: say which bias. (captum also refuses a network with a flatten layer
# unless it is given a rule by hand, as above.)

# %% [markdown]
# ## Your functions and the truth
#
# On the zoo there is a truth to compare with. Three scores hold a map against the mask of the true object:
#
# - **pointing game:** how often the highest pixel lies on the object;
# - **mass:** the share of the positive relevance that lies on the object;
# - **rank:** the share of the $K$ highest pixels that lie on the object, which has $K$ pixels.
#
# All three take one number a pixel, the sum over its colour channels. A fourth score asks the **network**:
#
# - **deletion:** the mean of your deletion curve. **Low is good.** (Mind that grey holes are also new shapes, which the
#   network never saw.)
#
# And a fifth one asks the **books**: **kept** is the share of the score that is left at the pixels.
#
# Three controls never look at the network: an **edge detector** (Sobel), **noise**, and a **constant map**.

# %%
test = zoo.sample(60, seed=2024)
noise = torch.Generator().manual_seed(0)
rules = {
    "LRP-0": Epsilon(0.0),
    "epsilon 0.25": Epsilon(0.25),
    "gamma 0.25": Gamma(0.25),
    "z+": ZPlus(),
    "alpha 2, beta 1": AlphaBeta(2.0, 1.0),
    "composite": composite(zoo_model),
    "composite with z+": composite(zoo_model, lower=ZPlus(), middle=ZPlus()),
}
explain = {
    name: lambda inputs, target, rule=rule: chosen["lrp"](zoo_model, inputs, target, rule)
    for name, rule in rules.items()
}
explain |= {
    "edge detector": lambda inputs, target: evaluation.edge_map(inputs),
    "noise": lambda inputs, target: evaluation.noise_map(inputs, noise),
    "constant": lambda inputs, target: torch.ones(len(inputs), 64, 64),
}
controls = ["edge detector", "noise", "constant"]

truth = evaluation.score_table(explain, test.images, test.labels, test.mask("object"), batch_size=10)
plotting.score_chart(
    truth,
    controls,
    chance=test.mask("object").float().mean().item(),
    title="Against the truth, 60 images (dashed: the object's share of the area)",
)

# %%
few = slice(0, 24)  # deletion asks the network 13 times for every map, so fewer images have to do


def deletion(attributions: Tensor, masks: Tensor) -> Tensor:
    """Return the mean of each image's deletion curve."""
    maps = (attributions.sum(1) if attributions.dim() == 4 else attributions).double()[:, None]
    # Ties (the constant map) are broken by noise that is too weak to change any other order.
    maps = maps + 1e-9 * maps.abs().max() * torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))
    curve = chosen["deletion_curve"](
        zoo_model, test.images[few], test.labels[few], maps.expand(-1, 3, -1, -1), n_steps=12
    )
    return torch.trapezoid(curve, dx=1 / 12).double()


against_network = evaluation.score_table(
    explain,
    test.images[few],
    test.labels[few],
    test.mask("object")[few],
    metrics={"deletion (low is good)": deletion},
)
plotting.score_chart(against_network, controls, title="Against the network: deletion, 24 images")

# %%
with torch.no_grad():
    y = zoo_model(test.images[few])[torch.arange(24), test.labels[few]]
lines = ["| rules | kept (sum of the pixels / score) | least | most |", "| --- | ---: | ---: | ---: |"]
for name, rule in rules.items():
    _, of_layers = course_lrp.lrp(zoo_model, test.images[few], test.labels[few], rule, return_layers=True)
    kept = chosen["conservation"](list(of_layers.values()))[:, 0] / y
    lines.append(f"| {name} | {kept.mean():.2f} | {kept.min():.2f} | {kept.max():.2f} |")
display(Markdown("\n".join(lines)))

# %%
shown = ("LRP-0", "alpha 2, beta 1", "z+", "composite")
plotting.method_grid(
    images,
    {name: explain[name](images, labels) for name in shown} | {"edge detector": evaluation.edge_map(images)},
    titles=names,
    masks=objects,
    heading="Four ways to share out the same score, and a map that has never seen the network",
    quantile=0.995,
)

# %% [markdown]
# ## 15. What the scores show, and what they do not (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "scores", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures of the two charts and of the table above; you
# may run more code and draw more pictures in new cells. Say for every claim which number it rests on.
#
# 1. **The books.** Which rules keep the whole score down to the pixels, and which lose how much of it? Where does the
#    rest go, and how could you show that it goes there? (2 points)
# 2. **Books and truth.** Is the map that keeps most also the best one, against the truth and against the network? Name
#    two maps for which keeping and deletion disagree, with their numbers, and say why conservation alone proves
#    nothing. (3 points)
# 3. **Which rule in which layer?** Compare the composite with the same rule in all layers. What do you gain, by which
#    scores, and where does the edge detector stand? Call two maps apart only if their means differ by more than twice
#    the root of the sum of their squared errors (`truth.standard_error`). (2 points)
# 4. **What is missing.** The rules have numbers (epsilon, gamma, alpha) that nobody has measured. Describe an
#    experiment on the zoo that tells a good choice from one that only looks good: what you would draw, compute and
#    compare, and which result would prove you wrong. `zoo.sample` can draw the same scenes with one thing changed, for
#    example `texture="dots"`, `without="key part"` or `tag=True`; `zoo.sample(...).mask("key part")` is a mask. (3
#    points)
#
# ### BEGIN MARK SCHEME
# The numbers follow from the student's own run; accept what the student's charts show.
#
# **1. (2 points)** One point for reading the table: z+ keeps all (1.00 in each image), the composite with z+ nearly
# all (0.99; what is missing or too much comes from the biases of the dense layers, where it uses LRP-0); LRP-0 keeps
# 0.40 on the mean (from -0.06 to 1.19), gamma 0.47, alpha-beta 0.56, the composite 0.36, epsilon 0.25 keeps 0.28. One
# point for where it goes and a way to show it: biases (and epsilon) absorb it. To show it: set all biases of a copy of
# the network to 0, then LRP-0 keeps all of the new score; or work out b_k / z_k R_k in each layer; or compare the sums
# layer by layer as in exercise 13. (Values above 1: a bias that speaks against an output takes a negative share.)
#
# **2. (3 points)** One point for a clear "no" with numbers against the truth and against the network, e.g. z+ keeps
# 1.00 and has deletion 0.31, the composite keeps 0.36 and has deletion 0.18, among the best; or the composite with z+
# keeps 0.99 and is best by deletion (0.16), pointing game (0.92) and rank (0.72): so keeping does not forbid a good
# map. One point for two maps that disagree: z+ and composite as above, or alpha-beta, which keeps 0.56, more than the
# composite, and deletes no better than noise (0.54 and 0.52). One point for why: conservation says how much is shared
# out, not who gets it. A map that gives the whole score to one pixel, or the same to every pixel, keeps all of it; the
# constant map times y is conserved and has deletion 0.52.
#
# **3. (2 points)** One point for a comparison with numbers: composite against LRP-0 everywhere gains mass (0.64,
# 0.36), rank (0.49, 0.28) and deletion (0.18, 0.45), all far beyond the errors (about 0.01 to 0.04); by the pointing
# game (0.87 and 0.78, errors 0.04 and 0.05) this experiment cannot tell them apart. Against gamma everywhere: deletion
# (0.18, 0.54) and rank, but not mass (0.64, 0.67). One point for the edge detector: best by mass (0.76), level with
# the best by rank (0.73 and 0.72), level by the pointing game (0.85), though it has never seen the network; by
# deletion (0.33) it is behind the composites. So the three scores against the object do not show that a map is about
# the network.
#
# **4. (3 points)** One point for an experiment that can be run on the zoo, e.g. draw the same scenes with another
# texture or without the key part, take the change of the score as the truth, and compare it with the relevance on what
# has changed, for a range of gammas or epsilons; or zoo-tagged, with the relevance on the tag; or randomised weights.
# One point for choosing the number on other images than those it is judged on, or an error bar, or a control. One
# point for a result that would refute the claim. No points for "choose what looks best".
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
