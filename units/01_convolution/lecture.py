# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 01: Convolution
#
# {{colab_badge}}
#
# A dense layer that makes 16 maps of a colour picture of 64 x 64 pixels has 805 million weights. The same layer with
# shared weights has 448. This unit takes that layer apart: forward, backward, and as a matrix. About 130 minutes, or
# two lectures of 65; lab 01 follows.
#
# **After this unit you can**
#
# - read and use the notation of the course: $\xi_j$, $y_j$, $w_{ji}$, $j_\leftarrow$, $j^\rightarrow$, $[ji]$;
# - compute a convolution with pencil and paper, with stride, padding, dilation and several channels;
# - count parameters and connections of a layer, dense or shared;
# - derive the gradient of a shared weight as the sum over $[ji]$, and the gradient of the input by the flipped
#   kernel;
# - say what moves when the picture moves, and what does not.
#
# You need: neurons, the chain rule, matrix products.

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Neurons and arcs: the notation | 10 |
# | 2. The formal unit, and the sign of the bias | 5 |
# | 3. Convolution by hand | 10 |
# | 4. The set $[ji]$ | 10 |
# | 5. What sharing saves | 5 |
# | 6. Stride, padding, dilation | 10 |
# | 7. Many channels | 5 |
# | 8. The gradient of a shared weight | 15 |
# | 9. Convolution is a matrix | 10 |
# | 10. Backward: the flipped kernel | 10 |
# | 11. Convolution or cross-correlation? | 5 |
# | 12. Shift the picture | 15 |
# | 13. Filters at work | 10 |
# | 14. Explore; the same in torch; what to remember | 10 |
#
# The lecture follows the course slides: their definitions, their symbols, their examples. Marks in the text:
# **Correction** where the slides slip, **Beyond the slides** where this lecture adds something. The slides hold the
# notation and the two formulas of parts 9 and 10; the worked numbers are this lecture's, and each is computed by hand
# and by code.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import math

import torch
import torchvision
from IPython.display import display
from scipy import signal
from torch import nn
from torch.nn import functional as F

from course_utils import convolution as conv
from course_utils import models, plotting, zoo
from course_utils.widgets.convolution import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Neurons and arcs: the notation
#
# The slides denote
#
# - $X$ a set of **input neurons**, $Y$ a set of **output neurons**, $Z$ a set of **all neurons**: $X, Y \subseteq Z$;
# - individual neurons by indices $i$, $j$;
# - $\xi_j$ the **inner potential** of the neuron $j$, and $y_j$ its **output**, after the computation stops;
# - $w_{ji}$ the weight of the connection **from** $i$ **to** $j$. Mind the order: the target comes first;
# - $j_\leftarrow$ the set of all $i$ with an arc **to** $j$ **from** $i$: whom $j$ listens to;
# - $j^\rightarrow$ the set of all $i$ with an arc **from** $j$ **to** $i$: who listens to $j$;
# - $[ji]$ the set of all connections (pairs of neurons) that share the weight $w_{ji}$ (part 4).
#
# What the symbols are for, in one line each (the slides leave the two formulas out):
#
# $$\xi_j = \sum_{i \in j_\leftarrow} w_{ji} \, y_i \qquad\qquad y_j = \sigma_j(\xi_j)$$
#
# In words: a neuron adds up what it hears, each voice with its weight, and then its activation function $\sigma_j$
# decides what it says. Here $\sigma_j$ is ReLU, $\max(0, \xi)$, unless we say otherwise. An input neuron has no arcs
# to it: its output is a pixel.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The network of this lecture
#
# Fourteen neurons, small enough to know each by its number:
#
# - 1 to 9: the pixels of a 3 x 3 image, row by row. $X = \{1, \ldots, 9\}$;
# - 10 to 13: a 2 x 2 map, row by row. Each neuron sees a window of 2 x 2 pixels, and all four use **the same** four
#   weights;
# - 14: one output that hears the whole map, with weights of its own. $Y = \{14\}$, $Z = \{1, \ldots, 14\}$.
#
# $$\begin{bmatrix} y_1 & y_2 & y_3 \\ y_4 & y_5 & y_6 \\ y_7 & y_8 & y_9 \end{bmatrix} =
# \begin{bmatrix} 1 & 2 & 0 \\ 0 & 3 & 1 \\ 2 & 1 & 4 \end{bmatrix} \qquad
# K = \begin{bmatrix} 1 & -2 \\ 3 & 1 \end{bmatrix} \qquad b = 2$$
#
# > **Think first:** Which neurons are in $10_\leftarrow$? Which in $5^\rightarrow$, in $1^\rightarrow$, in
# > $14_\leftarrow$?
#
# <details><summary>Answer</summary>
#
# $10_\leftarrow = \{1, 2, 4, 5\}$, and 0, the formal unit of the next part. The middle pixel lies under all four
# windows: $5^\rightarrow = \{10, 11, 12, 13\}$. The corner lies under one: $1^\rightarrow = \{10\}$. And
# $14_\leftarrow = \{10, 11, 12, 13\}$, and 0.
#
# </details>

# %% slideshow={"slide_type": "subslide"}
image = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [2.0, 1.0, 4.0]])
K = torch.tensor([[1.0, -2.0], [3.0, 1.0]])
b = 2.0  # the course's bias b_j of the four neurons of the map
v = [1.0, 2.0, -1.0, -3.0]  # the weights w_14,10 to w_14,13
b_14 = -1.0

# All connections: (j, i) -> w_ji. The window of neuron 10 + 2 row + column starts at pixel 1 + 3 row + column.
w = {}
for row in range(2):
    for column in range(2):
        j = 10 + 2 * row + column
        w[j, 0] = -b
        for a in range(2):
            for c in range(2):
                w[j, 1 + 3 * (row + a) + (column + c)] = K[a, c].item()
w |= {(14, 0): -b_14} | {(14, 10 + k): weight for k, weight in enumerate(v)}


def arcs_to(j):
    """j<-: all i with an arc from i to j."""
    return sorted(i for target, i in w if target == j)


def arcs_from(j):
    """j->: all i with an arc from j to i."""
    return sorted(target for target, i in w if i == j)


assert arcs_to(10) == [0, 1, 2, 4, 5] and arcs_from(5) == [10, 11, 12, 13] and arcs_from(1) == [10]
assert arcs_to(14) == [0, 10, 11, 12, 13] and arcs_to(5) == []
print("arcs to 10:", arcs_to(10), "  arcs to 13:", arcs_to(13), "  arcs from 6:", arcs_from(6))
print(f"{len(w)} connections in all")
assert len(w) == 4 * 4 + 4 + 4 + 1  # from pixels, from the map, from the formal unit to the map and to the output

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. The formal unit, and the sign of the bias
#
# A neuron has a bias. To write it as one more weight, the slides add a **formal unit** with the number 0. It is no
# neuron; its output is always
#
# $$y_0 = 1, \qquad\text{and}\qquad w_{j0} = -b_j, \quad\text{where } b_j \text{ is the bias of the neuron } j.$$
#
# Counting 0 among $j_\leftarrow$, the formula of part 1 already says what to do:
#
# $$\xi_j = \sum_{i \in j_\leftarrow} w_{ji} \, y_i
# = \sum_{i \in j_\leftarrow \setminus \{0\}} w_{ji} \, y_i \;-\; b_j$$
#
# So the course's bias is a **threshold**: what the sum must exceed for $\xi_j$ to be positive.
#
# > **Note:** Most programs, torch among them, **add** their bias. Then *torch's bias is* $w_{j0}$, *which is the
# > course's* $-b_j$. Neither is wrong. Whoever copies a number from one to the other without turning the sign
# > computes another network. The functions of this workbook that take a `bias` take torch's.

# %% slideshow={"slide_type": "subslide"}
y = {0: 1.0} | {1 + k: pixel for k, pixel in enumerate(image.flatten().tolist())}
xi = {}
for j in range(10, 15):
    xi[j] = sum(w[j, i] * y[i] for i in arcs_to(j))
    y[j] = max(0.0, xi[j]) if j < 14 else xi[j]  # the output neuron 14 is linear
    print(f"xi_{j} = " + " + ".join(f"{w[j, i]:g}*{y[i]:g}" for i in arcs_to(j)) + f" = {xi[j]:g},  y_{j} = {y[j]:g}")

assert [xi[j] for j in range(10, 15)] == [-2, 10, -1, 6, 3] and [y[j] for j in range(10, 14)] == [0, 10, 0, 6]

# %% [markdown] slideshow={"slide_type": "fragment"}
# By hand, the first line, with the formal unit at its head:
#
# $$\xi_{10} = \underbrace{(-2) \cdot 1}_{w_{10,0} \, y_0} + 1 \cdot 1 + (-2) \cdot 2 + 3 \cdot 0 + 1 \cdot 3 = -2,
# \qquad y_{10} = \max(0, -2) = 0.$$

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same by code, twice
#
# Once with torch's plus, once with the course's minus. And once with the mistake.

# %% slideshow={"slide_type": "fragment"}
batch, kernels = image[None, None], K[None, None]  # (N, C, H, W) and (O, C, kh, kw), all ones but the sizes
with_plus = F.conv2d(batch, kernels, bias=torch.tensor([-b]))  # torch adds: it gets w_j0 = -b_j
with_minus = F.conv2d(batch, kernels) - b  # the course subtracts b_j
ours = conv.conv2d(batch, kernels, bias=torch.tensor([-b]))
mistaken = F.conv2d(batch, kernels, bias=torch.tensor([b]))

by_hand = torch.tensor([[-2.0, 10.0], [-1.0, 6.0]])
for computed in (with_plus, with_minus, ours):
    assert torch.equal(computed[0, 0], by_hand)
assert mistaken[0, 0].tolist() == [[2, 14], [3, 10]]
plotting.matrices(
    {r"$\xi$, right": by_hand, "$y$, right": by_hand.relu(), r"$\xi$, sign lost": mistaken[0, 0]},
    "The sign of the bias decides who is awake",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** with the right sign two of the four neurons are silent. With the sign lost all four speak. The
# shapes are the same, nothing crashes.
#
# > **Think first:** A trained torch layer has `layer.bias = -1.7`. What is the course's $b_j$? Does the neuron speak
# > on a black image?
#
# <details><summary>Answer</summary>
#
# $w_{j0} = -1.7$, so $b_j = 1.7$. On a black image all $y_i = 0$ and $\xi_j = w_{j0} = -1.7$: after ReLU it is
# silent.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. Convolution by hand
#
# For the map we need no list of connections. Lay the **kernel** $K$ on the image, multiply number by number, add up:
# one output. Move it one pixel, again: the next output. With rows and columns counted from 0,
#
# $$\xi_{u,v} = \sum_{a=0}^{k_h - 1} \sum_{c=0}^{k_w - 1} K_{a,c} \; y_{u + a, \, v + c} \; - \; b.$$
#
# The four sums of our network:
#
# | neuron | window | products | sum | $-b$ | $\xi$ | $y$ |
# | --- | --- | --- | ---: | ---: | ---: | ---: |
# | 10 | 1 2 / 0 3 | $1 \cdot 1 - 2 \cdot 2 + 3 \cdot 0 + 1 \cdot 3$ | 0 | $-2$ | $-2$ | 0 |
# | 11 | 2 0 / 3 1 | $1 \cdot 2 - 2 \cdot 0 + 3 \cdot 3 + 1 \cdot 1$ | 12 | $-2$ | 10 | 10 |
# | 12 | 0 3 / 2 1 | $1 \cdot 0 - 2 \cdot 3 + 3 \cdot 2 + 1 \cdot 1$ | 1 | $-2$ | $-1$ | 0 |
# | 13 | 3 1 / 1 4 | $1 \cdot 3 - 2 \cdot 1 + 3 \cdot 1 + 1 \cdot 4$ | 8 | $-2$ | 6 | 6 |

# %% slideshow={"slide_type": "fragment"}
sums = conv.conv2d(batch, kernels)[0, 0]
assert sums.tolist() == [[0, 12], [1, 8]]
for k, (window, total) in enumerate(zip(F.unfold(batch, 2)[0].T, sums.flatten(), strict=True)):
    assert (window * K.flatten()).sum() == total, k  # unfold writes each window as a row
done = sums.clone()
done[1, :] = float("nan")  # not computed yet
plotting.convolution_step(image, K, done, position=(0, 1), heading="The second of four steps")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the kernel is large where it wants light and negative where it wants dark. The window of neuron 11
# has its 3 under the weight 3 and a 0 under the weight $-2$: it fits best, and gets the largest sum.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. The set $[ji]$
#
# Our map has 16 connections from pixels and only 4 weights. $[ji]$ names who shares: it is **the set of all
# connections that share the weight** $w_{ji}$. Any member may give the name.
#
# > **Think first:** Write down $[10\;1]$: all pairs (to, from) that use the upper left weight of $K$. Then $[10\;0]$.
#
# <details><summary>Answer</summary>
#
# $[10\;1] = \{(10, 1), (11, 2), (12, 4), (13, 5)\}$, the upper left pixel of each window. The same set is called
# $[13\;5]$. And $[10\;0] = \{(10, 0), (11, 0), (12, 0), (13, 0)\}$: the four neurons share their bias.
#
# </details>

# %% slideshow={"slide_type": "subslide"}
shared = conv.connections(kernel_size=2, input_size=3)  # neurons counted from 0: the first output, the first pixel
sets = {place: pairs + torch.tensor([10, 1]) for place, pairs in shared.items()}  # as they are numbered here
for (a, c), pairs in sets.items():
    print(f"K[{a}, {c}] = {K[a, c]:2g} is shared by", [tuple(pair) for pair in pairs.tolist()])
    assert all(w[j, i] == K[a, c] for j, i in pairs.tolist())
assert sets[0, 0].tolist() == [[10, 1], [11, 2], [12, 4], [13, 5]]

arcs = {
    f"$w_{{{k}}} = {K[place]:g}$": pairs + torch.tensor([0, 1]) for k, (place, pairs) in enumerate(shared.items(), 1)
}
arcs["$-b = -2$"] = torch.tensor([[j, 0] for j in range(4)])
plotting.shared_arcs(
    ["0\n$y=1$", *(f"{i}\n$y={y[i]:g}$" for i in range(1, 10))],
    [f"{j}\n$\\xi={xi[j]:g}$" for j in range(10, 14)],
    arcs,
    "Twenty arcs, five weights: each colour is one set [ji]",
    "shared weight",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** each colour has four arcs, one to each neuron of the map. Follow $w_1$: it starts at 1, 2, then,
# one row down in the image, 4, 5. The orange lines start at the formal unit.
#
# - Every connection lies in exactly one set. The sets cut the connections into groups, one for each weight.
# - In a dense layer each $[ji]$ has one member: $[ji] = \{(j, i)\}$.
# - $|[ji]|$ counts how often a weight is used: here 4 times each.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Not all sets are of one size
#
# Put a border of zeros around the image (*padding*) and use a 3 x 3 kernel: nine outputs for nine pixels. On the
# border there is no neuron, so no connection either.
#
# > **Think first:** How many connections share the middle weight $w_5$? A corner weight? How many are there in all?
#
# <details><summary>Answer</summary>
#
# $w_5$ lies on the image in all nine places: 9. A weight at an edge of the kernel leaves the image in one row or
# column of places: 6. A corner weight in a row and a column: 4. In all $9 + 4 \cdot 6 + 4 \cdot 4 = 49$: count the
# numbers that are not 0 in the 9 x 9 matrix of unit 02, which the slides fill in entry by entry.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
padded_sets = conv.connections(kernel_size=3, input_size=3, padding=1)
sizes = torch.tensor([[float(len(padded_sets[a, c])) for c in range(3)] for a in range(3)])
assert sizes.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]] and sizes.sum() == 49
numbered = torch.arange(1.0, 10.0).view(3, 3)
display(plotting.matrices({"$|[ji]|$ of each weight": sizes}, "3 x 3 on 3 x 3, padded"))
plotting.convolution_step(
    image,
    numbered,
    conv.conv2d(batch, numbered[None, None], padding=1)[0, 0],
    padding=1,
    position=(1, 2),
    chosen=(1, 0),
    shared=padded_sets[1, 0],
    heading="The set [ji] of the weight 4",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** black frames: six inputs and six outputs are joined by the weight 4 (left of the middle). Outputs
# in the first column have that weight on the padding. Green: the window of one output. Thick: the connection that
# both have in common.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. What sharing saves
#
# Three layers with the same neurons below ($C \cdot H \cdot W$) and above ($O \cdot H' \cdot W'$):
#
# | layer | who is joined to whom | weights, with bias |
# | --- | --- | --- |
# | dense | all to all | $O H' W' \, (C H W + 1)$ |
# | local | each to its window, weights of its own | at most $O H' W' \, (C \, k_h k_w + 1)$ |
# | shared | each to its window, one kernel for all places | $O \, (C \, k_h k_w + 1)$ |
#
# > **Think first:** The first layer of our `zoo` network turns 3 x 64 x 64 pixels into 16 maps of 64 x 64, with a
# > kernel of 3 x 3 and a padding of one pixel. How many parameters if dense? If shared?
#
# <details><summary>Answer</summary>
#
# Dense: $65{,}536 \cdot (12{,}288 + 1) = 805{,}371{,}904$. Shared: $16 \cdot (3 \cdot 9 + 1) = 448$.
#
# </details>

# %% slideshow={"slide_type": "subslide"}
net = models.load("zoo")
layers = {
    "zoo, 3 x 3": {"in_channels": 3, "out_channels": 16, "kernel_size": 3, "input_size": 64, "padding": 1},
    "AlexNet, 11 x 11": {
        "in_channels": 3, "out_channels": 64, "kernel_size": 11, "input_size": 224, "stride": 4, "padding": 2,
    },
}  # fmt: skip
counts = {name: conv.count_parameters(**layer) for name, layer in layers.items()}
for name, count in counts.items():
    print(f"{name:17}", "   ".join(f"{kind} {number:14,}" for kind, number in count.items()))

assert counts["zoo, 3 x 3"]["dense"] == 65_536 * 12_289 == 805_371_904
assert counts["zoo, 3 x 3"]["shared"] == 448 == sum(p.numel() for p in net[0].parameters())
assert counts["AlexNet, 11 x 11"]["dense"] == 64 * 55 * 55 * (3 * 224 * 224 + 1) == 29_142_414_400
with torch.device("meta"):  # shapes only, no numbers
    first = torchvision.models.alexnet().features[0]
assert (
    counts["AlexNet, 11 x 11"]["shared"] == 64 * (3 * 121 + 1) == 23_296 == sum(p.numel() for p in first.parameters())
)

# Connections of the first zoo layer: its |[ji]| added up, for each of the 16 * 3 pairs of maps, and the biases.
uses = [len(pairs) for pairs in conv.connections(3, 64, padding=1).values()]
arcs_in_all = 16 * 3 * sum(uses) + 16 * 64 * 64
assert (min(uses), max(uses)) == (63 * 63, 64 * 64) and arcs_in_all == counts["zoo, 3 x 3"]["local"] == 1_798_336

everything = sum(p.numel() for p in net.parameters())
in_kernels = sum(p.numel() for layer in net if isinstance(layer, nn.Conv2d) for p in layer.parameters())
print(f"zoo: {everything:,} parameters, {in_kernels:,} in its convolutions; the first has {arcs_in_all:,} connections")
assert (everything, in_kernels) == (126_762, 60_512)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** from *dense* to *local* one saves by seeing little, from *local* to *shared* by sharing. AlexNet's
# first layer would have 29 thousand million parameters, 117 GB; it has 23,296. In `zoo` the 448 parameters of the
# first layer serve 1.8 million connections: a weight is used in 3,969 to 4,096 places. What sharing does **not** save
# is work: each connection is still one multiplication.
#
# The whole `zoo` has 126,762 parameters. More than half are in its one large dense layer.
#
# > **Correction:** The slides show "AlexNet: 64 filters of 11 x 11 x 3". Those are the filters of the later one-GPU
# > version (Krizhevsky 2014), which torchvision ships. The network of 2012 had 96, on two GPUs:
# > $96 \cdot (363 + 1) = 34{,}944$ parameters.

# %% slideshow={"slide_type": "skip"}
assert 96 * (3 * 11 * 11 + 1) == 34_944 and round(counts["AlexNet, 11 x 11"]["dense"] * 4 / 1e9) == 117
assert first.weight.shape == (64, 3, 11, 11) and net[13].weight.numel() + 64 > everything / 2

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. Stride, padding, dilation
#
# Three ways to change the kernel's walk, none of which costs a parameter:
#
# - **stride** $s$: it moves $s$ pixels at a time; the map gets smaller;
# - **padding** $p$: $p$ zeros are put around the image first; the map gets larger;
# - **dilation** $d$: its weights stand $d$ pixels apart; it sees farther. $d = 1$ is the plain kernel. (Unit 04.)
#
# The weight $(a, c)$ joins the output $(u, v)$ to the input in row $s u + d a - p$ and column $s v + d c - p$, if
# there is one. The kernel spans $d (k - 1) + 1$ pixels, so that the number of outputs along one side is
#
# $$H' = \left\lfloor \frac{H + 2p - d (k - 1) - 1}{s} \right\rfloor + 1.$$
#
# In words: what is left when the kernel lies at the start, divided into steps, and one for the start.
#
# > **Think first:** AlexNet: $H = 224$, $k = 11$, $s = 4$, $p = 2$. Which $H'$?
#
# <details><summary>Answer</summary>
#
# $\lfloor (224 + 4 - 10 - 1) / 4 \rfloor + 1 = \lfloor 54.25 \rfloor + 1 = 55$. A quarter of a step is left over: the
# last column of the padding is never seen.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
walks = {  # H, k, stride, padding, dilation -> H'
    "the network of this lecture": ((3, 2, 1, 0, 1), 2),
    "first layer of zoo": ((64, 3, 1, 1, 1), 64),
    "first layer of zoo-alex": ((64, 7, 2, 3, 1), 32),
    "first layer of AlexNet": ((224, 11, 4, 2, 1), 55),
    "dilated twice": ((7, 3, 1, 0, 2), 3),
}
for name, ((H, k, s, p, d), expected) in walks.items():
    H_out = math.floor((H + 2 * p - d * (k - 1) - 1) / s) + 1
    by_torch = F.conv2d(torch.zeros(1, 1, H, H), torch.zeros(1, 1, k, k), None, s, p, d).shape[-1]
    assert H_out == expected == by_torch == conv.output_size(H, k, s, p, d)[0]
    print(f"{name:28} H = {H:3}, k = {k:2}, s = {s}, p = {p}, d = {d}:  H' = {H_out}")

# %% slideshow={"slide_type": "subslide"}
five = torch.arange(1.0, 26.0).view(5, 5)
ones = torch.ones(2, 2)
walk = {"stride": 2, "padding": 1, "dilation": 2}
reached = conv.conv2d(five[None, None], ones[None, None], **walk)[0, 0]
assert reached.tolist() == F.conv2d(five[None, None], ones[None, None], **walk)[0, 0].tolist()
assert reached[1, 1] == 7 + 9 + 17 + 19 and reached[0, 0] == 7
plotting.convolution_step(
    five,
    ones,
    reached,
    **walk,
    position=(1, 1),
    chosen=(0, 1),
    shared=conv.connections(2, 5, **walk)[0, 1],
    heading="Stride 2, padding 1, dilation 2, all at once",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the middle output is $7 + 9 + 17 + 19 = 52$: the corners of a 3 x 3 field. The corner output
# sees three zeros of the padding and one pixel, 7. With this walk no output ever sees the pixels of even rows or
# columns (counted from 0): a stride as large as the dilation leaves holes.

# %% slideshow={"slide_type": "skip"}
seen = {i for pairs in conv.connections(2, 5, **walk).values() for i in pairs[:, 1].tolist()}
assert seen == {5 * row + column for row in (1, 3) for column in (1, 3)}

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Many channels
#
# A colour image has three channels, a layer has many maps. Each **pair** of an input map $q$ and an output map $o$
# has its own kernel $K^{oq}$; an output map adds up what all input maps give, and has one bias:
#
# $$\xi^{o}_{u,v} = \sum_{q=1}^{C} \sum_{a, c} K^{oq}_{a,c} \; y^{q}_{u + a, \, v + c} \; - \; b^{o}$$
#
# All kernels of one output map together are a **filter**. A first-layer filter of "11 x 11 x 3" has depth 3, for red,
# green and blue, and can be shown as a small colour picture. The weights of a layer are a tensor $(O, C, k_h, k_w)$.
#
# By hand: two input maps, two output maps, kernels of 1 x 2.

# %% slideshow={"slide_type": "fragment"}
two_maps = torch.tensor([[[1.0, 2.0, 0.0]], [[0.0, 1.0, 3.0]]])  # (C, H, W) = (2, 1, 3)
filters = torch.tensor([[[[1.0, -1.0]], [[2.0, 0.0]]], [[[0.0, 1.0]], [[1.0, 1.0]]]])  # (O, C, kh, kw) = (2, 2, 1, 2)
result = conv.conv2d(two_maps[None], filters)[0]

first_map = [1 * 1 - 1 * 2 + 2 * 0 + 0 * 1, 1 * 2 - 1 * 0 + 2 * 1 + 0 * 3]
second_map = [0 * 1 + 1 * 2 + 1 * 0 + 1 * 1, 0 * 2 + 1 * 0 + 1 * 1 + 1 * 3]
assert result[:, 0].tolist() == [first_map, second_map] == [[-1, 4], [3, 4]]
for o in range(2):  # an output map is the sum of C one-channel convolutions
    parts = [conv.conv2d(two_maps[None, q : q + 1], filters[o : o + 1, q : q + 1])[0, 0] for q in range(2)]
    assert torch.equal(sum(parts), result[o])
plotting.matrices(
    {
        "input 1": two_maps[0],
        "input 2": two_maps[1],
        "$K^{11}$": filters[0, 0],
        "$K^{12}$": filters[0, 1],
        "$K^{21}$": filters[1, 0],
        "$K^{22}$": filters[1, 1],
        "output 1": result[0],
        "output 2": result[1],
    },
    "Two maps to two maps: four kernels",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# The first number: $1 \cdot 1 + (-1) \cdot 2$ from map 1, $2 \cdot 0 + 0 \cdot 1$ from map 2, together $-1$.
#
# > **Think first:** What can a kernel of 1 x 1 do?
#
# <details><summary>Answer</summary>
#
# On one channel: multiply by a number. On many: mix them, at each pixel for itself. A 1 x 1 convolution with the
# weights 0.299, 0.587, 0.114 turns RGB into grey. It is a dense layer over the channels, shared by all pixels.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. The gradient of a shared weight
#
# To train, we need $\partial E / \partial w$ for an error $E$. Imagine for a moment that every connection $(r, q)$
# had a weight $w_{rq}$ of its own. Then, as in any network, with $\delta_r$ for how the error depends on a potential,
#
# $$\frac{\partial E}{\partial w_{rq}} = \frac{\partial E}{\partial \xi_r} \frac{\partial \xi_r}{\partial w_{rq}}
# = \delta_r \, y_q, \qquad \delta_r = \frac{\partial E}{\partial \xi_r}
# = \frac{\partial E}{\partial y_r} \, \sigma_r'(\xi_r).$$
#
# Now let all members of $[ji]$ be one variable: $w_{rq} = w_{ji}$ for all $(r, q) \in [ji]$. Moving that variable
# moves all of them by the same amount, $\partial w_{rq} / \partial w_{ji} = 1$. The chain rule adds up the ways:
#
# $$\boxed{\frac{\partial E}{\partial w_{ji}} = \sum_{(r, q) \in [ji]} \frac{\partial E}{\partial w_{rq}}
# = \sum_{(r, q) \in [ji]} \delta_r \, y_q}$$
#
# In words: **the gradient of a shared weight is the sum of what its connections would have got alone.** This
# is what $[ji]$ is for. For a dense layer the sum has one term, and for the bias it reads
# $\partial E / \partial w_{j0} = \sum \delta_r \cdot 1$ over the whole map.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### By hand
#
# Let the desired output be $d = 1$ and $E = \frac{1}{2} (y_{14} - d)^2$. We had $y_{14} = 3$.
#
# 1. At the output: $\partial E / \partial y_{14} = 3 - 1 = 2$, and $\delta_{14} = 2$, since neuron 14 is linear.
# 2. At the map: $\partial E / \partial y_j = \delta_{14} \, w_{14,j}$, that is
#    $2 \cdot (1, 2, -1, -3) = (2, 4, -2, -6)$.
# 3. Through ReLU, which lets pass where $\xi_j > 0$: $\delta = (0, 4, 0, -6)$ for the neurons 10, 11, 12, 13.
# 4. The upper left weight, $[10\;1] = \{(10, 1), (11, 2), (12, 4), (13, 5)\}$:
#
# $$\frac{\partial E}{\partial w_{10,1}} = \delta_{10} y_1 + \delta_{11} y_2 + \delta_{12} y_4 + \delta_{13} y_5
# = 0 \cdot 1 + 4 \cdot 2 + 0 \cdot 0 + (-6) \cdot 3 = -10$$
#
# > **Think first:** Do the other three, and the bias.
#
# <details><summary>Answer</summary>
#
# $w_{10,2}$: $4 \cdot 0 + (-6) \cdot 1 = -6$. $\;w_{10,4}$: $4 \cdot 3 + (-6) \cdot 1 = 6$.
# $\;w_{10,5}$: $4 \cdot 1 + (-6) \cdot 4 = -20$.
# Bias: $\partial E / \partial w_{10,0} = 0 + 4 + 0 - 6 = -2$, and so $\partial E / \partial b = +2$, since
# $w_{j0} = -b_j$.
#
# </details>

# %% slideshow={"slide_type": "subslide"}
d = 1.0
delta = {14: y[14] - d}
for j in range(10, 14):
    delta[j] = delta[14] * w[14, j] if xi[j] > 0 else 0.0
assert delta == {14: 2, 10: 0, 11: 4, 12: 0, 13: -6}

by_sets = torch.zeros(2, 2)
for (a, c), pairs in sets.items():
    terms = [delta[r] * y[q] for r, q in pairs.tolist()]
    by_sets[a, c] = sum(terms)
    written = " + ".join(f"({delta[r]:g})({y[q]:g})" for r, q in pairs.tolist())
    print(f"dE/dK[{a}, {c}] = {written} = {by_sets[a, c]:g}")
by_formal_unit = sum(delta[j] * y[0] for j in range(10, 14))
print(f"dE/dw_j0  = {by_formal_unit:g}, so dE/db = {-by_formal_unit:g}")
assert by_sets.tolist() == [[-10, -6], [6, -20]] and by_formal_unit == -2


# %% [markdown] slideshow={"slide_type": "subslide"}
# ### By autograd, by the package, by finite differences


# %% slideshow={"slide_type": "fragment"}
def error(x, kernel, bias):
    """E of the network of this lecture; x (1, 1, 3, 3), kernel (1, 1, 2, 2), bias (1,) as in torch: w_j0."""
    hidden = F.conv2d(x, kernel, bias).relu().flatten()
    return 0.5 * (hidden @ torch.tensor(v, dtype=x.dtype) - b_14 - d) ** 2


leaves = [t.double().requires_grad_() for t in (batch, kernels, torch.tensor([-b]))]
E = error(*leaves)
x_gradient, k_gradient, bias_gradient = torch.autograd.grad(E, leaves)
assert E == 2 and k_gradient[0, 0].tolist() == by_sets.tolist()
assert bias_gradient.item() == by_formal_unit == -2  # torch's bias is w_j0, so this is dE/dw_j0 = -dE/db

signal_map = torch.tensor([[delta[10], delta[11]], [delta[12], delta[13]]])[None, None]
assert torch.equal(conv.weight_gradient(batch, signal_map, kernel_size=2)[0, 0], by_sets)

step = 1e-6
for a in range(2):
    for c in range(2):
        ends = []
        for sign in (1, -1):
            moved = kernels.double().clone()
            moved[0, 0, a, c] += sign * step
            ends.append(error(leaves[0], moved, leaves[2]).item())
        assert abs((ends[0] - ends[1]) / (2 * step) - by_sets[a, c].item()) < 1e-6
plotting.matrices(
    {"image $y$": image, r"$\delta$ of the map": signal_map[0, 0], r"$\partial E / \partial K$": by_sets},
    "Four ways, one gradient",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the gradient of the kernel is itself a convolution: lay $\delta$ on the image as if it were the
# kernel. Its number at $(a, c)$ is the image's window that starts at $(a, c)$, times $\delta$:
# $\frac{\partial E}{\partial K_{a,c}} = \sum_{u,v} \delta_{u,v} \, y_{u+a, \, v+c}$.

# %% slideshow={"slide_type": "skip"}
assert torch.equal(conv.conv2d(batch, signal_map)[0, 0], by_sets)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Why the sum, and not each for itself?
#
# > **Think first:** One step of gradient descent with rate 0.1, once with weights of their own, once shared. What
# > happens to the four copies of the upper left weight, which all start at 1?
#
# <details><summary>Answer</summary>
#
# Alone: their derivatives are $0, 8, 0, -18$, so they become $1, 0.2, 1, 2.8$: four different kernels, the layer is
# no convolution any more. Shared: all become $1 - 0.1 \cdot (-10) = 2$ and stay one weight.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
alone = [delta[r] * y[q] for r, q in sets[0, 0].tolist()]
assert alone == [0, 8, 0, -18] and [1 - 0.1 * g for g in alone] == [1, 1 - 0.1 * 8, 1, 1 + 0.1 * 18]
with torch.no_grad():
    E_after = error(leaves[0], leaves[1] - 0.01 * k_gradient, leaves[2])
print(f"a step of 0.01 along the shared gradient: E = {E.item():.2f} -> {E_after.item():.2f}")
assert E_after < E

# %% [markdown] slideshow={"slide_type": "fragment"}
# The sum has $|[ji]|$ terms for each image. In the first layer of `zoo` that is about 4,096, and images of a batch
# share the weights too. The next cell sums them for 32 images and compares with autograd.

# %% slideshow={"slide_type": "fragment"}
training = zoo.sample(32, seed=101)
potentials = net[0](training.images).detach().requires_grad_()
loss = F.cross_entropy(net[1:](potentials), training.labels)
(delta_zoo,) = torch.autograd.grad(loss, potentials)  # dE/dxi of the first layer, (32, 16, 64, 64)
summed = conv.weight_gradient(training.images, delta_zoo, kernel_size=3, padding=1)

loss = F.cross_entropy(net(training.images), training.labels)
(expected,) = torch.autograd.grad(loss, net[0].weight)
difference = ((summed - expected).abs().max() / expected.abs().max()).item()
print(f"{summed.numel()} weights, each a sum of up to {32 * 64 * 64:,} terms; relative difference {difference:.0e}")
assert difference < 1e-4  # 32-bit sums of 131,072 terms in another order

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Convolution is a matrix
#
# A convolution is linear, so it is a matrix product. Write the pixels below each other; then row $j$ of the matrix
# holds $w_{ji}$ in column $i$, and 0 where there is no connection. The slides' example, a 2 x 2 kernel on 3 x 3
# pixels:
#
# $$\begin{bmatrix} w_1 & w_2 \\ w_3 & w_4 \end{bmatrix} \ast
# \begin{bmatrix} x_1 & x_2 & x_3 \\ x_4 & x_5 & x_6 \\ x_7 & x_8 & x_9 \end{bmatrix} \;=\;
# \begin{bmatrix} w_1 & w_2 & 0 & w_3 & w_4 & 0 & 0 & 0 & 0 \\ 0 & w_1 & w_2 & 0 & w_3 & w_4 & 0 & 0 & 0 \\
# 0 & 0 & 0 & w_1 & w_2 & 0 & w_3 & w_4 & 0 \\ 0 & 0 & 0 & 0 & w_1 & w_2 & 0 & w_3 & w_4 \end{bmatrix}
# \begin{bmatrix} x_1 \\ x_2 \\ \vdots \\ x_9 \end{bmatrix}$$
#
# > **Correction:** In our copy of the slides the column vector begins with $x_2$. It must begin with $x_1$: the
# > matrix has nine columns. And the sign $\ast$ stands here for what we did in part 3, without flipping the kernel
# > (see part 11).

# %% slideshow={"slide_type": "fragment"}
slide = [
    [1, 2, 0, 3, 4, 0, 0, 0, 0],  # k stands for w_k
    [0, 1, 2, 0, 3, 4, 0, 0, 0],
    [0, 0, 0, 1, 2, 0, 3, 4, 0],
    [0, 0, 0, 0, 1, 2, 0, 3, 4],
]
assert conv.conv_matrix(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 3).tolist() == slide
M = conv.conv_matrix(kernels, input_size=3)
assert (M @ image.flatten()).tolist() == sums.flatten().tolist() == [0, 12, 1, 8]
plotting.matrices(
    {"$M$": M, "$x$": image.reshape(9, 1), "$M x$": (M @ image.flatten()).reshape(4, 1)},
    "The convolution of this lecture as a matrix",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** each row is the same, moved by one place (by two at the end of an image row). Each weight stands in
# four places: its set $[ji]$. All else is 0. So a convolution is a dense layer with two constraints: **most weights
# are 0, and the others are shared**.
#
# Nobody computes it this way: for the first layer of `zoo` the matrix would have 65,536 x 12,288 numbers, of which
# 0.2 % are not 0. But what holds for matrices now holds for convolutions. Unit 02 multiplies dropout into it.

# %% slideshow={"slide_type": "skip"}
assert (M == 0).sum() == 20 and 0.0021 < 16 * 3 * sum(uses) / (65_536 * 12_288) < 0.0022
for (a, c), pairs in shared.items():
    assert (M[pairs[:, 0], pairs[:, 1]] == K[a, c]).all() and len(pairs) == 4

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. Backward: the flipped kernel
#
# Below the layer there may be another one, and unit 06 wants to know about pixels. So we need
# $\partial E / \partial y_i$, too. The pixel $i$ acts through all who listen to it, $i^\rightarrow$:
#
# $$\frac{\partial E}{\partial y_i} = \sum_{j \in i^\rightarrow} \delta_j \, w_{ji}
# \qquad\text{or, with the matrix,}\qquad \frac{\partial E}{\partial y} = M^T \delta$$
#
# By hand, the pixel 6 (middle row, right): $6^\rightarrow = \{11, 13\}$. Neuron 11 has it under $K_{1,1} = 1$, neuron
# 13 under $K_{0,1} = -2$:
#
# $$\frac{\partial E}{\partial y_6} = \delta_{11} \cdot 1 + \delta_{13} \cdot (-2) = 4 \cdot 1 + (-6) \cdot (-2) = 16$$
#
# > **Think first:** And the pixel 5?
#
# <details><summary>Answer</summary>
#
# $5^\rightarrow = \{10, 11, 12, 13\}$ through the weights $1, 3, -2, 1$ (the kernel read **backwards**: the first
# window has the pixel under its last weight). $0 \cdot 1 + 4 \cdot 3 + 0 \cdot (-2) + (-6) \cdot 1 = 6$.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### In one picture
#
# Neuron $j$ one place **further** sees the pixel with a weight one place **earlier**. In rows and columns, with $p$
# for the pixel's row and $q$ for its column,
#
# $$\frac{\partial E}{\partial y_{p,q}} = \sum_{a,c} K_{a,c} \, \delta_{p - a, \, q - c}$$
#
# where $\delta$ is 0 outside of the map. Count $a$ and $c$ from the other end, and it is the walk of part 3 again,
# over $\delta$ with a border of $k - 1$ zeros, with the kernel turned by 180 degrees, $\hat K$. That is the slides'
# formula
#
# $$X_{n+1} = X_n \ast K_n \qquad\qquad
# \frac{\partial f}{\partial X_n} = \frac{\partial f}{\partial X_{n+1}} \ast \hat K_n$$
#
# with $f$ for what is differentiated (our $E$), $X_n$ for the layer's input and $\hat K_n$ for the flipped kernel.

# %% slideshow={"slide_type": "fragment"}
K_hat = K.flip(0, 1)
full = F.pad(signal_map, (1, 1, 1, 1))  # a border of k - 1 zeros
back = conv.conv2d(full, K_hat[None, None])[0, 0]

assert back.tolist() == [[0, 4, -8], [0, 6, 16], [0, -18, -6]]
assert torch.equal(back.flatten(), M.T @ signal_map.flatten())
assert torch.equal(back, conv.input_gradient(signal_map, kernels, input_size=3)[0, 0])
assert back.tolist() == x_gradient[0, 0].tolist()  # autograd, from part 8
assert back[1, 2] == sum(delta[j] * w[j, 6] for j in arcs_from(6)) == 16
display(
    plotting.matrices({"$K$": K, r"$\hat K$": K_hat, r"$\partial E / \partial y$": back}, "Kernel, flipped, result")
)
plotting.convolution_step(
    signal_map[0, 0], K_hat, back, padding=1, position=(1, 2), heading=r"The flipped kernel walks over delta"
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the lit window holds 4 and $-6$ in its left column, under 1 and $-2$: $4 + 12 = 16$, the pixel 6.
#
# > **Correction:** The slide's one line keeps silent about four things, without which it is wrong or undefined. (1)
# > The second $\ast$ needs a border of $k - 1$ zeros ("full"), or the sizes do not fit. (2) With padding $p$ in the
# > forward pass, $p$ rows and columns are cut off each side of the result: what flows to the padding is lost. For
# > $k = 3$ and $p = 1$, (1) and (2) together leave a border of one zero. (3) With stride $s$, $s - 1$ zeros are first
# > put between the numbers of $\partial f / \partial X_{n+1}$. (4) With channels, $\hat K_n$ also swaps input and
# > output maps: the gradient of an input map sums over the output maps.

# %% slideshow={"slide_type": "subslide"}
# Stride 2, by hand: one row of five pixels, kernel (1, 2, 3), outputs 0 and 1, and a signal of (10, 100).
row_kernel = torch.tensor([[[[1.0, 2.0, 3.0]]]])
row_signal = torch.tensor([[[[10.0, 100.0]]]])
by_hand = [10 * 1, 10 * 2, 10 * 3 + 100 * 1, 100 * 2, 100 * 3]  # pixel 2 is seen by both
spread = torch.tensor([[[[0.0, 0.0, 10.0, 0.0, 100.0, 0.0, 0.0]]]])  # one zero between them, two at each end
assert conv.conv2d(spread, row_kernel.flip(2, 3)).flatten().tolist() == by_hand == [10, 20, 130, 200, 300]
assert conv.input_gradient(row_signal, row_kernel, input_size=(1, 5), stride=2).flatten().tolist() == by_hand

# All at once, on drawn numbers: channels, stride, padding, dilation; the formula against autograd and the matrix.
source = torch.Generator().manual_seed(1)
x = torch.randn(2, 3, 9, 8, generator=source, dtype=torch.float64, requires_grad=True)
many = torch.randn(4, 3, 3, 2, generator=source, dtype=torch.float64)
walk = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
out = F.conv2d(x, many, **walk)
top = torch.randn(out.shape, generator=source, dtype=torch.float64)
(expected,) = torch.autograd.grad(out, x, top)
computed = conv.input_gradient(top, many, (9, 8), **walk)
matrix = conv.conv_matrix(many, (9, 8), **walk)
assert torch.allclose(computed, expected, atol=1e-12)
assert torch.allclose((top.flatten(1) @ matrix).view(2, 3, 9, 8), expected, atol=1e-12)  # M^T delta, image by image
difference = (computed - expected).abs().max().item()
print(f"matrix {tuple(matrix.shape)}; largest difference from autograd {difference:.0e}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 11. Convolution or cross-correlation?
#
# Mathematicians flip the kernel **forward**:
#
# $$\text{convolution: } \sum_{a,c} K_{a,c} \; y_{u - a, \, v - c} \qquad\qquad
# \text{cross-correlation: } \sum_{a,c} K_{a,c} \; y_{u + a, \, v + c}$$
#
# What torch, this course and nearly everybody in deep learning call convolution is the second.

# %% slideshow={"slide_type": "fragment"}
assert (signal.correlate2d(image, K, mode="valid") == sums.numpy()).all()  # SciPy's correlation is ours
assert (signal.convolve2d(image, K, mode="valid") == F.conv2d(batch, K_hat[None, None])[0, 0].numpy()).all()

dot = torch.zeros(3, 3)
dot[1, 1] = 1.0
of_dot = conv.conv2d(dot[None, None], kernels)[0, 0]
assert torch.equal(of_dot, K_hat)  # cross-correlation answers a single dot with the flipped kernel
assert (signal.convolve2d(dot, K, mode="valid") == K.numpy()).all()

# Convolution commutes, cross-correlation does not.
assert (signal.convolve2d(image, K) == signal.convolve2d(K, image)).all()
assert (signal.correlate2d(image, K) != signal.correlate2d(K, image)).any()
plotting.matrices({"a dot": dot, "$K$": K, "cross-correlation": of_dot, "convolution": K}, "How the two answer a dot")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **Does it matter?** For a network that *learns* its kernels, no: it learns them flipped. For kernels that you write
# down or carry from one program to another, yes. And for the backward pass: whichever of the two $\ast$ means, the
# slides' line $\frac{\partial f}{\partial X_n} = \frac{\partial f}{\partial X_{n+1}} \ast \hat K_n$ is right, as long
# as it means the same on both sides.

# %% slideshow={"slide_type": "fragment"}
for star in (signal.correlate2d, signal.convolve2d):  # both readings of *
    with_star = torch.tensor(star(signal_map[0, 0], K_hat, mode="full"))  # df/dX_n by the slides' line
    for pixel in range(9):  # and by its definition: the forward pass is linear, so a step of 1 in a pixel is exact
        moved = image.flatten().clone()
        moved[pixel] += 1
        change = star(moved.view(3, 3), K, mode="valid") - star(image, K, mode="valid")
        assert (torch.tensor(change) * signal_map[0, 0]).sum() == with_star.flatten()[pixel]
print("the slides' line holds for convolution and for cross-correlation")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 12. Shift the picture
#
# If all places use the same weights, then what is found here is found there, too. Let $T$ shift a picture by some
# pixels. A layer is **equivariant** to shifts if
#
# $$\mathrm{layer}(T y) = T \, \mathrm{layer}(y):$$
#
# shift the input, and the output shifts along. For the convolution of part 3 it takes one line: the shifted picture
# is $(Ty)_{u,v} = y_{u - t, v}$, so
# $\sum K_{a,c} (Ty)_{u+a, v+c} = \sum K_{a,c} \, y_{u - t + a, v + c} = \xi_{u - t, v}$.
#
# > **Think first:** Where can this fail?
#
# <details><summary>Answer</summary>
#
# At the **border**: what shifts in from outside is not what was padded there, and what shifts out is gone. And with a
# **stride** (or pooling): a shift by one pixel is half a step of the output, and there are no half pixels.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The border, measured
#
# We lay four big canvases out of nine zoo pictures each and look at them through a window. Moving the window by 4
# pixels is a true shift: nothing is made up at its edge.

# %% slideshow={"slide_type": "fragment"}
tiles = zoo.sample(36, seed=11).images.view(4, 3, 3, 3, 64, 64)  # canvas, row, column, channel, height, width
canvas = tiles.permute(0, 3, 1, 4, 2, 5).reshape(4, 3, 192, 192)
with torch.no_grad():
    here, moved = net[0](canvas[..., :64, :64]), net[0](canvas[..., :64, 4:68])
off = (here[..., 4:] - moved[..., :-4]).abs().amax((0, 1, 2))  # for each column of the moved map, 60 of them
print(
    "largest difference in the columns 0 1 2 ... 57 58 59:", [f"{v:.2g}" for v in off[[0, 1, 2, 57, 58, 59]].tolist()]
)
assert off[0] > 0.1 and off[-1] > 0.1 and off[1:-1].max() < 1e-5

around = nn.Conv2d(3, 16, 3, padding=1, padding_mode="circular")  # as if the picture went on at its other side
around.load_state_dict(net[0].state_dict())
with torch.no_grad():
    x = canvas[..., :64, :64]
    rolled = (around(x.roll(5, -1)) - around(x).roll(5, -1)).abs().max().item()
print(f"circular padding, circular shift by 5: largest difference {rolled:.0e}")
assert rolled < 1e-5

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** a 3 x 3 convolution with padding 1 is exactly equivariant but for one column at each side. Each
# further layer carries the border's mark one step inwards. So a network with padding can tell where the border is: it
# is not blind to the place.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The stride, measured
#
# `zoo` halves its maps four times by max pooling. A pixel of the maps after the fourth is a step of 16 pixels of the
# image. We shift the picture by 0 to 16 pixels, shift each map back by the nearest whole number of its own pixels,
# and compare, far from all borders.

# %% slideshow={"slide_type": "fragment"}
stages = {0: "convolution 1, step 1", 2: "pooling 1, step 2", 5: "pooling 2, step 4", 8: "pooling 3, step 8",
          11: "pooling 4, step 16"}  # fmt: skip
pixels = {0: 1, 2: 2, 5: 4, 8: 8, 11: 16}  # of the image, for one pixel of the map
still, missed = {}, {number: [] for number in stages}
with torch.no_grad():
    for t in range(17):
        maps = canvas[..., :128, t : t + 128]
        for number, layer in enumerate(net[:12]):
            maps = layer(maps)
            if number not in stages:
                continue
            still.setdefault(number, maps)  # the picture not shifted
            size, nearest = maps.shape[-1], (2 * t + pixels[number]) // (2 * pixels[number])
            margin = math.ceil(24 / pixels[number])  # the receptive field reaches 30 pixels: unit 04
            before = still[number][..., margin : size - margin, margin + nearest : size - margin]
            after = maps[..., margin : size - margin, margin : size - margin - nearest]
            missed[number].append(((after - before).norm() / before.norm()).item())
for number, name in stages.items():
    zeros = [t for t, value in enumerate(missed[number]) if value < 1e-5]
    print(f"{name:22} exact for shifts {zeros}; worst {max(missed[number]):.2f}")
    assert zeros == list(range(0, 17, pixels[number]))
    assert number == 0 or min(v for t, v in enumerate(missed[number]) if t not in zeros) > 0.15
plotting.curves(
    {name: torch.tensor(missed[number]) for number, name in stages.items()},
    "shift of the picture, in pixels",
    "relative difference of the maps",
    "Maps follow the picture in whole steps only",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the convolution follows every shift. A map with a step of $s$ pixels follows shifts by multiples of
# $s$ exactly, and no others: in between it misses by up to 77 % of its own size. Of 16 shifts the last map follows
# one.

# %% slideshow={"slide_type": "skip"}
assert 0.75 < max(max(values) for values in missed.values()) < 0.79

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### And the answer?
#
# *Equivariant* maps move with the picture. An answer should not move at all: it should be **invariant**. Nothing
# above gives that. The dense layers at the end see the same pattern at another place through other weights.

# %% slideshow={"slide_type": "fragment"}
test = zoo.sample(400, seed=models.TEST_SEED + 1)  # no network was trained on them
wide = F.pad(test.images, (8, 8, 0, 0), mode="replicate")  # the edge is drawn out, so that no black bar comes in
shifts = [0, 1, 2, 4, 8]
with torch.no_grad():
    unshifted = net(test.images)
    right, changes = [], []
    for t in shifts:
        scores = net(wide[..., 8 - t : 72 - t])
        right.append((scores.argmax(1) == test.labels).double().mean().item())
        changes.append((scores - unshifted).gather(1, test.labels[:, None]).abs().mean().item())
own = unshifted.gather(1, test.labels[:, None]).mean().item()
for t, share, change in zip(shifts, right, changes, strict=True):
    print(f"shift {t} pixels: {share:6.1%} right, the score of the own class changes by {change:.2f} of {own:.2f}")
leaves = test.mask("object")[..., -8:].any(-1).any(-1)  # a part of the object is shifted out of the picture
share = (scores.argmax(1) == test.labels)[~leaves].double().mean().item()
print(f"shift 8 pixels, without the {int(leaves.sum())} of {len(test)} pictures whose object is cut: {share:.1%} right")
assert right[0] > 0.97 and right[0] - right[1] < 0.01 and right[-1] < 0.95 and 0.975 < share < 0.99 and changes[0] == 0
assert sorted(changes) == changes and changes[1] > 0.2

with torch.no_grad():
    turned = net[0](test.images[:50].rot90(1, (2, 3))) - net[0](test.images[:50]).rot90(1, (2, 3))
    turned = (turned.norm() / net[0](test.images[:50]).norm()).item()
print(f"turned by 90 degrees, the first maps miss by {turned:.0%} of their size")
assert turned > 0.3

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** one pixel to the right, and the scores have changed, though hardly an answer has. At 8 pixels more
# answers are wrong. In most of these pictures a part of the object has been shifted out; the others are still 98 %
# right. What invariance `zoo` has, it has **learned** from objects at all places. To turning and zooming a
# convolution is not even equivariant: its kernels must learn each direction anew.
#
# > **Beyond the slides:** Large networks behave the same. Azulay and Weiss (2019) found that a shift by one pixel can
# > change the answer of networks trained on ImageNet; Zhang (2019) blurs before each stride, as signal processing
# > prescribes. Cohen and Welling (2016) build layers that are equivariant to turns.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 13. Filters at work
#
# ### Written by hand
#
# Four kernels that are older than networks, on grey zoo pictures. (Grey is a 1 x 1 convolution of part 7.)

# %% slideshow={"slide_type": "fragment"}
drawn = zoo.sample(60, seed=101)
chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("cup", "star", "ring", "zebra")]
pictures = drawn.images[chosen]
to_grey = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
grey = conv.conv2d(pictures, to_grey)
handmade = {
    "blur": torch.full((5, 5), 1 / 25),
    "left to right": torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4,
    "top to bottom": torch.tensor([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]) / 4,
    "all edges": torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]),
}
answers = {}
for name, kernel in handmade.items():
    border = kernel.shape[0] // 2
    framed = F.pad(grey, (border,) * 4, mode="replicate")  # zeros would draw an edge around the picture
    answers[name] = conv.conv2d(framed, kernel[None, None])
    flat = conv.conv2d(torch.full((1, 1, 7, 7), 0.6), kernel[None, None])
    assert torch.allclose(flat, torch.tensor(0.6 if name == "blur" else 0.0), atol=1e-6)
display(plotting.image_grid(torch.cat([grey, answers.pop("blur")]), ["grey"] * 4 + ["blur"] * 4, columns=8))
plotting.method_grid(
    grey,
    answers,
    titles=["cup", "star", "ring", "zebra"],
    heading="Three kernels that look for change",
    label="potential",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the blur evens out: stripes grow faint, shapes stay. Below, red where it gets lighter from left to
# right (or from top to bottom), blue where it gets darker, white where nothing changes: the cup's flat stripes are
# seen by the second kernel and not by the first. The weights of these three sum to 0: on an even area they say
# nothing, whatever its brightness. The blur's sum to 1: it keeps the brightness.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Learned
#
# The first layer of `zoo-alex`: 24 filters of 7 x 7 x 3, stride 2. Each is shown as a colour picture, stretched for
# itself so that its lowest number is 0 and its highest 1. Nobody told them what to look for.

# %% slideshow={"slide_type": "fragment"}
alex = models.load("zoo-alex")
learned = alex[0].weight.detach()  # (24, 3, 7, 7)
low, high = learned.amin((1, 2, 3), keepdim=True), learned.amax((1, 2, 3), keepdim=True)
balance = learned.sum((1, 2, 3)) / learned.abs().sum((1, 2, 3))  # 0: positive and negative weights cancel
size = learned.abs().amax((1, 2, 3))
balanced = balance.abs() < 0.1
print(
    f"{int(balanced.sum())} of {len(learned)} filters sum to nearly 0; the others:",
    (~balanced).nonzero().flatten().tolist(),
)
print(
    f"largest weight: in the former at least {size[balanced].min():.2f},",
    f"in the others at most {size[~balanced].max():.2f}",
)
assert balanced.sum() == 17 and size[balanced].min() > 0.2 and size[~balanced].max() < 0.12
display(
    plotting.image_grid(
        (learned - low) / (high - low), [str(k) for k in range(24)], columns=6, heading="First layer of zoo-alex"
    )
)

# %% slideshow={"slide_type": "subslide"}
with torch.no_grad():
    maps = alex[0](pictures)  # (4, 24, 32, 32)
    assert torch.allclose(maps, conv.conv2d(pictures, learned, alex[0].bias.detach(), stride=2, padding=3), atol=1e-4)
response = maps - alex[0].bias.detach()[:, None, None]  # what the picture gives, without w_j0
order = response[3].abs().mean((1, 2)).argsort(descending=True).tolist()  # by what the zebra makes of them
busiest = [k for k in order if balanced[k]][:5]
display(
    plotting.method_grid(
        pictures,
        {f"filter {k}": response[:, k] for k in busiest},
        titles=["cup", "star", "ring", "zebra"],
        heading="What five learned filters say",
        label="potential without bias",
        quantile=0.995,
    )
)
with torch.no_grad():
    colours = torch.rand(50, 3, 1, 1, generator=torch.Generator().manual_seed(3))
    areas = {"grey": colours[:, :1].expand(-1, 3, 32, 32), "coloured": colours.expand(-1, -1, 32, 32)}
    even = {
        kind: (alex[0](area) - alex[0].bias.view(-1, 1, 1))[..., 4:-4, 4:-4].abs().amax((0, 2, 3))
        for kind, area in areas.items()
    }
inside = response[..., 2:-2, 2:-2]  # without the frame
loudest = inside.abs().amax((0, 2, 3))
for kind, answer in even.items():
    print(f"on 50 even {kind} areas, at most of the loudest answer:", [f"{(answer / loudest)[k]:.0%}" for k in busiest])
on_object = drawn.mask("object")[chosen][:, ::2, ::2]  # at the maps' resolution
on_cup, on_star = (response[n, busiest][:, on_object[n]].abs().mean(1) for n in (0, 1))
for k, cup, star in zip(busiest, on_cup, on_star, strict=True):
    print(f"filter {k:2}: mean size of the answer on the cup {cup:.2f}, on the star {star:.2f}")
ratio = dict(zip(busiest, (on_cup / on_star).tolist(), strict=True))
assert ratio[19] > 3 and ratio[5] < 1 / 3
assert all(((answer / loudest)[busiest] < 0.16).all() for answer in even.values())

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the large filters are edges, bars and patches in contrasting colours, and sum to nearly 0, as those
# written by hand: on even areas, grey or coloured, the five say at most 15 % of their loudest word. They share
# the work. Filter 19 (a dark bar between light ones) answers the cup's flat stripes three times as strongly as the
# star's upright ones, filter 5 (light on the left, dark on the right) the other way round. The seven filters that do
# not sum to 0 are nearly of one colour, with small weights: they look at the colour of an area.
#
# The frame around each map is no part of the picture. It is the padding: to a filter, zeros are a black border.
#
# > **Note:** AlexNet's first layer, trained on photographs, shows the same kinds: edges and bars of many directions,
# > and blobs of colour. Unit 05 looks at it. The filters of `zoo-alex` are smooth because their training asked for
# > it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 14. Explore
#
# Step the kernel over a picture of a seven: choose kernel, stride, padding and dilation, then the output and the
# weight that are lit. Green: the window and its output. Black: the weight, and both ends of all connections that
# share it, its set $[ji]$; the thick line is the one that leads to the lit output. The line below gives the sum term
# by term and the size of $[ji]$. (Where widgets do not run, you see the first picture.)
#
# Try: a 3 x 3 kernel with padding 1, and a corner weight. Which outputs are not in $[ji]$? Then the middle weight,
# and stride 2: how many connections are left, and why more than a quarter? Then dilation 3: what does the window
# leave out?
#
# <details><summary>Answers</summary>
#
# The upper left weight lies on the padding for the outputs of the first row and the first column: 36 of 49 are left
# in $[ji]$. The middle weight has all 49; with stride 2 there are $4 \cdot 4 = 16$ places, since the first and the
# last row are both met. With dilation 3 the window leaves out two pixels between any two that it sees, and fits in
# only 9 places.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% slideshow={"slide_type": "skip"}
assert [len(conv.connections(3, 7, s, 1)[1, 1]) for s in (1, 2)] == [49, 16]
assert len(conv.connections(3, 7, 1, 1)[0, 0]) == 36 and conv.output_size(7, 3, 1, 1, 3) == (3, 3)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What a convolution cannot do
#
# - **See far.** An output knows its window and nothing else. Stacking, strides and dilation widen the view: unit 04.
# - **Follow a turn or a zoom.** It is equivariant to shifts alone, and with a stride only to some.
# - **Treat places differently,** where that would help: a face is always in the middle of a passport photo. Then
#   weights that are not shared (the *local* layer of part 5) can be better.
# - **Save work.** It saves parameters; each connection is still a multiplication.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same in torch
#
# One line each, with the largest relative difference from our functions.

# %% slideshow={"slide_type": "fragment"}
walk = {"stride": 2, "padding": 1, "dilation": 1}
x, weight = test.images[:4], net[0].weight.detach()
top = torch.randn(4, 16, 32, 32, generator=torch.Generator().manual_seed(2))
pairs = {
    "F.conv2d": (F.conv2d(x, weight, None, **walk), conv.conv2d(x, weight, None, **walk)),
    "F.unfold and a product": (
        (weight.flatten(1) @ F.unfold(x, 3, **walk)).view(4, 16, 32, 32),
        conv.conv2d(x, weight, None, **walk),
    ),
    "torch.nn.grad.conv2d_weight": (
        nn.grad.conv2d_weight(x, weight.shape, top, **walk),
        conv.weight_gradient(x, top, 3, **walk),
    ),
    "torch.nn.grad.conv2d_input": (
        nn.grad.conv2d_input(x.shape, weight, top, **walk),
        conv.input_gradient(top, weight, 64, **walk),
    ),
    "F.conv_transpose2d": (
        F.conv_transpose2d(top, weight, None, stride=2, padding=1, output_padding=1),
        conv.input_gradient(top, weight, 64, **walk),
    ),
}
for name, (theirs, ours) in pairs.items():
    difference = ((theirs - ours).abs().max() / ours.abs().max()).item()
    print(f"{name:28} {difference:.0e}")
    assert difference < 1e-4, name

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. $\xi_j = \sum_{i \in j_\leftarrow} w_{ji} y_i$, with the formal unit $y_0 = 1$ and $w_{j0} = -b_j$. Torch's bias
#    is $w_{j0}$: turn the sign.
# 2. $[ji]$ is the set of all connections that share $w_{ji}$. In a dense layer it has one member, in a convolution
#    one for each place where the weight lies on the image.
# 3. A convolution is a dense layer in which most weights are 0 and the others are shared. The first layer of `zoo`
#    has 448 parameters instead of 805 million.
# 4. $H' = \lfloor (H + 2p - d(k-1) - 1) / s \rfloor + 1$.
# 5. The gradient of a shared weight is the sum over its connections,
#    $\partial E / \partial w_{ji} = \sum_{(r, q) \in [ji]} \delta_r \, y_q$.
# 6. The gradient of the input is the convolution of $\delta$ with the flipped kernel: $M^T \delta$.
# 7. Shift the picture, and the maps shift along: away from the border, and by whole steps only. The answer does not
#    follow from that; it must learn not to care.
#
# **Next:** lab 01 (`labs/01_convolution`). You write `conv2d`, `connections`, `weight_gradient`, `input_gradient` and
# `count_parameters`, and the checks tell you what is wrong with an answer. Unit 02 multiplies dropout into the
# matrix.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Corrections to the slides, collected
#
# | part | the slide | this lecture |
# | --- | --- | --- |
# | 5 | "AlexNet: 64 filters" | 64 in the later one-GPU version that torchvision ships; 96 in the network of 2012 |
# | 9 | the column vector starts with $x_2$ | it starts with $x_1$ |
# | 9 | $\ast$ without a word on flipping | it is a cross-correlation there |
# | 10 | $\partial f / \partial X_n = \partial f / \partial X_{n+1} \ast \hat K_n$ | border, padding, stride, channels |
#
# The notation of the slides is right as printed, and is kept. What they leave out, this lecture adds: the formulas of
# $\xi_j$ and $y_j$, that $0 \in j_\leftarrow$, and the gradient that $[ji]$ is for.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Fukushima: *Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition unaffected
#   by shift in position.* Biological Cybernetics 1980.
# - Holschneider, Kronland-Martinet, Morlet, Tchamitchian: *A real-time algorithm for signal analysis with the help of
#   the wavelet transform.* 1987. (algorithme à trous: dilation)
# - LeCun, Boser, Denker, Henderson, Howard, Hubbard, Jackel: *Backpropagation applied to handwritten zip code
#   recognition.* Neural Computation 1989. (shared weights, trained)
# - LeCun, Bottou, Bengio, Haffner: *Gradient-based learning applied to document recognition.* Proceedings of the IEEE
#   1998.
# - Krizhevsky, Sutskever, Hinton: *ImageNet classification with deep convolutional neural networks.* NIPS 2012.
#   (AlexNet)
# - Simonyan, Vedaldi, Zisserman: *Deep inside convolutional networks: visualising image classification models and
#   saliency maps.* arXiv 2013, ICLR Workshop 2014. (the backward pass with $\hat K$)
# - Krizhevsky: *One weird trick for parallelizing convolutional neural networks.* arXiv 2014. (AlexNet with 64
#   filters)
# - Dumoulin, Visin: *A guide to convolution arithmetic for deep learning.* arXiv 2016.
# - Cohen, Welling: *Group equivariant convolutional networks.* ICML 2016.
# - Zhang: *Making convolutional networks shift-invariant again.* ICML 2019.
# - Azulay, Weiss: *Why do deep convolutional networks generalize so poorly to small image transformations?* JMLR
#   2019.
