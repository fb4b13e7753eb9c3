# %% [markdown]
# # Lab 01: convolution (48 points)
#
# {{colab_badge}}
#
# A convolution is a layer like any other: each neuron sums its weighted inputs. Two things make it special. A neuron
# sees only a small window, and all neurons of a map use the same weights. In this lab you write it from scratch,
# forward and backward, and find out what the sharing of weights does: to the number of parameters, to the gradient, and
# to an image that moves.
#
# **When you are through, you can**
#
# - compute a convolution for a batch, with stride, padding, dilation and channels, and the size of what comes out;
# - write down the set $[ji]$ of all connections that share a weight, and count parameters with it;
# - compute the gradient of a shared weight as the sum over its connections, by hand and by code;
# - send a gradient back to the inputs, through the flipped kernel;
# - say what moves along when the image moves, what does not, and why.
#
# **Time and points:** about 3 hours, 48 points: 40 for eight exercises, which are checked as you go, and 8 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the [lecture](../../lectures/01_convolution.ipynb) derives all of this. What you need of it is
# said again in each exercise. You need to index tensors with slices such as `x[:, :, 0:7:2]`.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. The inner potential by hand | 2 | 1 | 5 |
# | 2. The size of the output by hand | 2 | 1 | 10 |
# | 3. Convolution | 8 | 3 | 35 |
# | 4. The connections that share a weight | 6 | 3 | 25 |
# | 5. Counting parameters | 5 | 2 | 20 |
# | 6. The gradient of a shared weight by hand | 3 | 1 | 10 |
# | 7. The gradient of all weights | 6 | 2 | 20 |
# | 8. The gradient of the inputs | 8 | 4 | 30 |
# | 9. What sharing does to a moving image | 8 | | 25 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function with sizes and numbers that it makes up itself, and says one of these:
#
# - `conv2d: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Three exercises are worked by hand. There your function takes nothing and returns your numbers.
#
# When the lab is graded, the same check runs once more with other sizes and numbers. So do not fit your code to the
# cases: follow the formula. Your function must also leave what it is given as it was. And let
# `torch.nn.functional.conv2d`, `unfold`, `fold` and autograd rest until the end: they would do the work that you are
# here to understand. The check cannot see it; a person may.
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function computes. All exercises go on with `course_utils` where they need another
# function, so that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io
from collections.abc import Callable

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import Tensor

from course_utils import convolution, exercises, models, plotting, zoo

unit = exercises.load("01_convolution")

# %% [markdown]
# ## Notation and conventions
#
# As in the lecture: $\xi_j$ is the inner potential of the neuron $j$, $y_j$ its output, $w_{ji}$ the weight of the
# connection **from** $i$ **to** $j$. $j_\leftarrow$ is the set of all neurons with an arc to $j$, and $j^\rightarrow$
# the set of all neurons to which there is an arc from $j$. The formal unit has the output $y_0 = 1$, and its weight
# carries the bias: $w_{j0} = -b_j$.
#
# For images and kernels, as in torch:
#
# - images have the shape `(N, C, H, W)`: images, channels, rows, columns; kernels `(O, C, kh, kw)`, with $O$ output
#   channels;
# - the stride $s$, padding $p$ and dilation $d$ are a whole number, or a pair (for rows, for columns). `pair` below
#   makes a pair of either. `kernel_size` and `input_size` are always pairs here. A pair is a tuple;
# - padding means $p$ rows or columns of zeros on **each** side;
# - $w_{o,c,a,b}$ is the weight in row $a$ and column $b$ of the kernel from the input map $c$ to the output map $o$.
#   The lecture writes $K^{oq}_{a,c}$ for it: there $q$ is the input map, and $c$ the column of the kernel;
# - the kernel row $a$ meets the input row $s u + d a - p$ when the kernel is at the output row $u$; the columns
#   likewise. This one formula is all that you need to know about stride, padding and dilation.

# %%
Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """Return (value, value) for a whole number, and a pair as it is."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


names = ["cup", "ring", "zebra", "star"]
drawn = [zoo.sample(n, seed=61, classes=[name]) for name, n in zip(names, (5, 11, 7, 9), strict=True)]
images = torch.stack([sample.images[-1] for sample in drawn])  # (4, 3, 64, 64), in [0, 1]
grey = images.mean(1, keepdim=True)  # (4, 1, 64, 64)
first_layer = models.load("zoo-alex")[0]  # of a trained network: 24 kernels of 7 x 7, stride 2, padding 3
kernels = torch.tensor(
    [
        [[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]],  # from dark to bright, left to right
        [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],  # from dark to bright, top to bottom
        [[0, 1, 0], [1, -4, 1], [0, 1, 0]],  # darker than the neighbours
        [[1, 1, 1], [1, 1, 1], [1, 1, 1]],  # sum of the neighbourhood
    ]
).unsqueeze(1)
plotting.image_grid(images, titles=names, heading="Four images of the zoo, the drawn data set of this course")

# %% [markdown]
# ## Exercise 1: the inner potential by hand (2 points, difficulty 1 of 5, 5 minutes)
#
# The inner potential of a neuron is the weighted sum of its inputs, the formal unit included:
#
# $$\xi_j = \sum_{i \in j_\leftarrow \cup \{0\}} w_{ji}\, y_i, \qquad y_0 = 1, \quad w_{j0} = -b_j.$$
#
# **Compute** $w_{j0}$ and $\xi_j$ for a neuron with the bias $b_j = 1.5$, the weights
# $(w_{j1}, w_{j2}, w_{j3}) = (3, -1, 0.5)$ and the inputs $(y_1, y_2, y_3) = (2, 4, 6)$.
#
# **For example**, a neuron with $b_j = 1$, one weight $w_{j1} = 2$ and the input $y_1 = 3$ has $w_{j0} = -1$ and
# $\xi_j = -1 \cdot 1 + 2 \cdot 3 = 5$.
#
# **Shape:** two numbers, $w_{j0}$ first.


# %% nbgrader={"grade_id": "inner_potential", "solution": true}
def inner_potential() -> tuple[float, float]:
    """Return (w_j0, xi_j) of the neuron above, worked by hand."""
    ### BEGIN SOLUTION
    return -1.5, 3.5  # -1.5 * 1 + 3 * 2 - 1 * 4 + 0.5 * 6
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_inner_potential", "grade": true, "locked": true, "points": 2}
unit["inner_potential"].check(inner_potential)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write four numbers in a row, $y_0$ to $y_3$, and the four weights below them. Multiply what stands above each other.
#
# </details>
#
# <details><summary>Is the bias added or subtracted?</summary>
#
# In the lecture $b_j$ is a threshold that the other inputs have to overcome. The sum itself has only plus signs; the
# minus is inside $w_{j0}$.
#
# </details>

# %%
formal_weight, potential = inner_potential()
plotting.matrices(
    {
        "y, formal unit first": torch.tensor([[1.0, 2, 4, 6]]),
        "your w_j0, and w": torch.tensor([[formal_weight, 3, -1, 0.5]]),
        "your ξ": torch.tensor([[float(potential)]]),
    },
    heading="A row of inputs, a row of weights, and your sum",
)

# %% [markdown]
# Multiply each input with the weight at the same place, and add up: you must get your $\xi$. A convolution does nothing
# but this, once for each place of the kernel.

# %% [markdown]
# ## Exercise 2: the size of the output by hand (2 points, difficulty 1 of 5, 10 minutes)
#
# How many places are there for the kernel? In each direction, with $n$ pixels and $k$ kernel weights,
#
# $$n' = \left\lfloor \frac{n + 2p - d\,(k - 1) - 1}{s} \right\rfloor + 1.$$
#
# The kernel spans $d(k-1) + 1$ pixels, the numerator is the way that it can go on the padded image, and the number of
# places is one more than the number of steps.
#
# **Compute** the size of the output for an image of $10 \times 16$ pixels (rows, columns), a kernel of $3 \times 5$
# weights, stride $(3, 2)$, padding $(3, 1)$ and dilation $(1, 3)$. The first number of a pair is that of the rows.
#
# **For example**, an image of $6 \times 8$ with a kernel of $3 \times 3$, stride 2 and padding 0 gives $2 \times 3$
# places: the ways are 3 and 5 pixels, and a last half step does not count.
#
# **Shape:** two numbers, rows first.


# %% nbgrader={"grade_id": "output_size", "solution": true}
def output_size() -> tuple[int, int]:
    """Return (rows, columns) of the output above, worked by hand."""
    ### BEGIN SOLUTION
    return 5, 3  # (10 + 6 - 2 - 1) / 3 = 13 / 3, so 4 steps; (16 + 2 - 12 - 1) / 2 = 5 / 2, so 2 steps
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_output_size", "grade": true, "locked": true, "points": 2}
unit["output_size"].check(output_size)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Begin with the padded image: how many rows does it have? Then move the kernel in your mind: its first row is at
# row 0. Where is it at the end?
#
# </details>
#
# <details><summary>In the picture below a strip at the edge is never seen</summary>
#
# It may be: where the stride does not divide the way, the last pixels are left over. But never as many rows as one
# stride. If there are, the kernel could go on.
#
# </details>
#
# <details><summary>In the picture below some cells have a frame</summary>
#
# They are beyond the padded image. A kernel that hangs over its edge has no place there.
#
# </details>

# %%
rows, columns = map(int, output_size())
height, width = 10 + 2 * 3, 16 + 2 * 1
over = max(0, 3 * (rows - 1) + 3 - height), max(0, 2 * (columns - 1) + 13 - width)
seen = torch.zeros(height + min(over[0], 4), width + min(over[1], 4))  # at most 4 rows and columns beyond are drawn
for u in range(rows):
    for v in range(columns):
        seen[3 * u : 3 * u + 3, 2 * v : 2 * v + 13 : 3] += 1
beyond = torch.ones_like(seen)
beyond[:height, :width] = 0
title = f"padded image, {height} x {width} pixels; {over[0]} rows and {over[1]} columns hang over it (framed)"
plotting.symbol_matrices(
    {title: [[f"{int(number)}" for number in row] for row in seen]},
    values={title: seen},
    framed={title: beyond},
    heading=f"How many of your {rows} x {columns} places see each pixel",
)

# %% [markdown]
# A strip of zeros below or to the right is fine, as long as it is too narrow for one more step of the stride: one more
# row of places would need more rows of pixels than there are. The other columns of zeros come from the dilation. It
# leaves holes in the kernel, and with this stride the next places fill some of them only.

# %% [markdown]
# ## Exercise 3: convolution (8 points, difficulty 3 of 5, 35 minutes)
#
# The output neuron in the map $o$ at $(u, v)$ has the inner potential
#
# $$\xi_{o,u,v} = w_{o0} + \sum_{c} \sum_{a} \sum_{b} w_{o,c,a,b}\; y_{c,\; s u + d a - p,\; s v + d b - p}$$
#
# with $y = 0$ on the padding. The kernel is not flipped (mathematicians call this a cross-correlation). `bias` holds
# $w_{o0}$, as torch has it: it is **added**. In the lecture's letters it is $-b$.
#
# **Write** `conv2d`. **Shapes:** `inputs` is `(N, C, H, W)`, `weight` is `(O, C, kh, kw)`, `bias` is `(O,)` or None,
# and the result is `(N, O, H', W')`, in the dtype of the inputs.
#
# **For example**, the image $\begin{pmatrix} 1 & 2 & 0 \\ 0 & 3 & 1 \end{pmatrix}$ with the kernel
# $\begin{pmatrix} 1 & -1 \\ 2 & 0 \end{pmatrix}$ and the bias 10 gives $(9,\ 18)$: the first number is
# $1 \cdot 1 - 1 \cdot 2 + 2 \cdot 0 + 0 \cdot 3 + 10$.
#
# Loops over the kernel are fine, and so is `F.pad`. Loops over the pixels are slow, and you do not need any.


# %% nbgrader={"grade_id": "conv2d", "solution": true}
def conv2d(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return the inner potentials of a convolution.

    inputs: y, (N, C, H, W); they must not be changed.
    weight: kernels, (O, C, kh, kw).
    bias: w_o0, (O,), added to each output map; None: no bias.
    stride, padding, dilation: a whole number, or a pair (rows, columns).
    Returns (N, O, H', W').
    """
    ### BEGIN SOLUTION
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    n_images, n_channels, height, width = inputs.shape
    n_outputs, _, kh, kw = weight.shape

    padded = inputs.new_zeros(n_images, n_channels, height + 2 * ph, width + 2 * pw)
    padded[:, :, ph : ph + height, pw : pw + width] = inputs

    rows = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    columns = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    potentials = inputs.new_zeros(n_images, n_outputs, rows, columns)
    for a in range(kh):
        for b in range(kw):
            # What the weight (a, b) meets, for all places at once.
            top, left = a * dh, b * dw
            met = padded[:, :, top : top + (rows - 1) * sh + 1 : sh, left : left + (columns - 1) * sw + 1 : sw]
            # (N, 1, C, rows, columns) times (O, C, 1, 1), summed over C
            potentials += (met.unsqueeze(1) * weight[:, :, a, b, None, None]).sum(2)
    return potentials if bias is None else potentials + bias.reshape(1, -1, 1, 1)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_conv2d", "grade": true, "locked": true, "points": 8}
unit["conv2d"].check(conv2d)
### BEGIN HIDDEN TESTS
unit["conv2d"].check(conv2d, seed=11)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Forget stride, padding and dilation at first. What does the weight in row 0 and column 0 of the kernel meet, over all
# places? A part of the image, as large as the output. And the weight in row 0 and column 1? The same part, one pixel
# further. The output is the sum of such parts, each times its weight.
#
# </details>
#
# <details><summary>How do I pad?</summary>
#
# With `F.pad`, which wants the columns first: `(left, right, above, below)`. Or make a tensor of zeros that is large
# enough (`inputs.new_zeros` has the right dtype), and write the image into its middle. Either leaves the caller's image
# alone.
#
# </details>
#
# <details><summary>It is right without a stride, but not with one</summary>
#
# A slice with a step, `x[start:stop:step]`, takes every `step`-th row. Where does it stop? At the last row that you
# need, plus one: too early loses a place, too late gives one too many.
#
# </details>
#
# <details><summary>The sizes do not match when I multiply with the channels</summary>
#
# There are three roles: images $n$, input channels $c$ and output channels $o$. Give each a dimension of its own (with
# `unsqueeze` or `None`), multiply, and sum over $c$. `torch.einsum` lets you write down just that.
#
# </details>
#
# <details><summary>The numbers in one case are off by a constant</summary>
#
# Look at the bias: one number for each output map, added once, after the sum over channels and kernel.
#
# </details>

# %%
centred_cup = grey[:1] - grey[:1].mean()  # so that the zeros of the padding are a middle grey, and not a black frame
maps = conv2d(centred_cup, kernels, padding=1)
plotting.heatmap_grid(
    maps[0],
    titles=["left to right", "top to bottom", "darker than around", "neighbourhood"],
    columns=4,
    heading="Your convolution of the cup with four kernels made by hand",
    label="inner potential",
    scale="map",
)

# %% [markdown]
# The first two kernels see edges of one direction, with a sign: red where it gets brighter. The third sees edges of all
# directions, the fourth only blurs. A network learns such kernels by itself; here are the first ones of a trained
# network, laid over an image by your function.

# %%
with torch.no_grad():
    maps = conv2d(
        images[:1], first_layer.weight, first_layer.bias, first_layer.stride, first_layer.padding, first_layer.dilation
    )
    print(f"largest difference to the layer itself: {(maps - first_layer(images[:1])).abs().max():.1e}")
strongest = maps[0].std((1, 2)).argsort(descending=True)[:6]
plotting.heatmap_grid(
    maps[0, strongest],
    titles=[f"map {k}" for k in strongest],
    columns=6,
    heading="Your convolution with six learned kernels",
    label="inner potential",
    scale="map",
)

# %% [markdown]
# The frames around the maps are the padding: where the image ends and the zeros begin, the kernels see an edge, too.

# %% [markdown]
# ## Exercise 4: the connections that share a weight (6 points, difficulty 3 of 5, 25 minutes)
#
# $[ji]$ is the set of all connections, that is pairs of neurons, that share the weight $w_{ji}$. In a convolution from
# one map to one map there is such a set for each weight of the kernel, in row $a$ and column $b$. The neurons of a map
# are numbered row by row from 0, as `flatten` does: the input neuron at (row, column) is $i = \text{row} \cdot W +
# \text{column}$, the output neuron at $(u, v)$ is $j = u \cdot W' + v$. With the weight $(a, b)$,
#
# $$j = (u, v) \quad\text{is joined to}\quad i = (s u + d a - p,\; s v + d b - p),$$
#
# if there is such a neuron. On the padding there is none, and so there is no connection.
#
# **Write** `connections`. It returns a dict with the key `(a, b)` for each weight of the kernel. The value is a
# LongTensor of shape `(n, 2)` with one connection a line: $j$, then $i$, sorted by $j$. A weight that only meets
# padding has the shape `(0, 2)`.
#
# **For example**, for a kernel of $2 \times 2$ on an image of $2 \times 3$ pixels the weight $(1, 0)$ has the set
# `[[0, 3], [1, 4]]`: the output has $1 \times 2$ neurons, and row 1 of the kernel meets the pixels 3 and 4.


# %% nbgrader={"grade_id": "connections", "solution": true}
def connections(
    kernel_size: tuple[int, int],
    input_size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> dict[tuple[int, int], Tensor]:
    """Return the set [ji] of each kernel weight.

    kernel_size: (kh, kw).
    input_size: (H, W).
    stride, padding, dilation: a whole number, or a pair (rows, columns).
    Returns {(a, b): LongTensor (n, 2) of (j, i)}, sorted by j.
    """
    ### BEGIN SOLUTION
    (kh, kw), (height, width) = kernel_size, input_size
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    rows = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    columns = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    sets = {}
    for a in range(kh):
        for b in range(kw):
            pairs = []
            for u in range(rows):
                for v in range(columns):
                    row, column = sh * u + dh * a - ph, sw * v + dw * b - pw
                    if 0 <= row < height and 0 <= column < width:
                        pairs.append((u * columns + v, row * width + column))
            sets[a, b] = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return sets
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_connections", "grade": true, "locked": true, "points": 6}
unit["connections"].check(connections)
### BEGIN HIDDEN TESTS
unit["connections"].check(connections, seed=12)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Take one weight, $(0, 0)$, and go through the output neurons one by one, row by row. For each there is at most one
# input neuron. Plain loops over $u$ and $v$ are fine here.
#
# </details>
#
# <details><summary>The check says that a kernel goes on in the next row</summary>
#
# The number of a neuron alone does not tell whether you left the image on the right or on the left: pixel 3 of an image
# with 3 columns is the first one of row 1. Test the row and the column before you make a number of them.
#
# </details>
#
# <details><summary>The shape is (0,), not (0, 2)</summary>
#
# `torch.tensor([])` does not know that there could be pairs in the list, nor that they would be whole numbers. Say the
# dtype, and reshape to two columns.
#
# </details>
#
# <details><summary>The shape is right, but the numbers are not</summary>
#
# Which width did you multiply with? The rows of the output and of the input have different lengths, $W'$ and $W$. The
# lines must be sorted by $j$, too: they are if the loop over the rows $u$ is outside and that over the columns $v$
# inside.
#
# </details>

# %%
tables = {}
for title, kernel_size, steps in (("2 x 2 on 3 x 3", (2, 2), {}), ("3 x 3 on 3 x 3, padded", (3, 3), {"padding": 1})):
    sets = connections(kernel_size, (3, 3), **steps)
    n_outputs = 4 if kernel_size == (2, 2) else 9
    table = torch.full((n_outputs, 9), torch.nan)
    for number, pairs in enumerate(sets.values(), start=1):
        table[pairs[:, 0], pairs[:, 1]] = number
    tables[title] = table
plotting.matrices(tables, heading="Your connections: row j, column i, and in it the number of the shared weight")

# %% [markdown]
# This is the layer as the matrix of a dense layer, as `convolution.conv_matrix` makes it and as the next unit needs it.
# A shared weight stands on a diagonal; on the right the diagonals have gaps where the kernel stands over the edge. An
# empty cell is no connection at all.

# %% [markdown]
# ## Exercise 5: counting parameters (5 points, difficulty 2 of 5, 20 minutes)
#
# Take the neurons of a convolution, $C \cdot H \cdot W$ of them below and $O \cdot H' \cdot W'$ above, and join them in
# three ways:
#
# - `"dense"`: each output neuron is joined to **all** input neurons;
# - `"local"`: it is joined only to the neurons under its kernel, by weights of its own: each place has its own
#   $C \cdot k_h \cdot k_w$ weights for each output map. There is nothing to join on the padding, so neurons at the edge
#   have fewer;
# - `"shared"`: the convolution. All places of an output map share the kernel, and the bias.
#
# **Write** `count_parameters`. It returns a dict of three whole numbers with these names. `bias` says whether there are
# weights $w_{j0}$ from the formal unit: one for each output neuron in the first two layers, one for each output map in
# the third.
#
# **For example**, one channel, a kernel of $2 \times 2$ on $3 \times 3$ pixels, with bias: there are 4 output neurons,
# so dense $4 \cdot (9 + 1) = 40$, local $4 \cdot (4 + 1) = 20$, shared $4 + 1 = 5$.
#
# `convolution.output_size` and `convolution.connections` of `course_utils` are there for you.


# %% nbgrader={"grade_id": "count_parameters", "solution": true}
def count_parameters(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, int],
    input_size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    bias: bool = True,
) -> dict[str, int]:
    """Return how many parameters the three layers have.

    in_channels, out_channels: C and O.
    kernel_size: (kh, kw).
    input_size: (H, W).
    stride, padding, dilation: a whole number, or a pair (rows, columns).
    bias: whether there are weights from the formal unit.
    Returns {"dense": ..., "local": ..., "shared": ...}.
    """
    ### BEGIN SOLUTION
    joined = []  # along rows, and along columns: in how many ways a kernel weight meets a pixel
    places = []
    for n, k, s, p, d in zip(input_size, kernel_size, pair(stride), pair(padding), pair(dilation), strict=True):
        places.append((n + 2 * p - d * (k - 1) - 1) // s + 1)
        joined.append(sum(0 <= s * u + d * a - p < n for u in range(places[-1]) for a in range(k)))
    outputs = out_channels * places[0] * places[1]
    formal = outputs if bias else 0
    return {
        "dense": outputs * in_channels * input_size[0] * input_size[1] + formal,
        "local": out_channels * in_channels * joined[0] * joined[1] + formal,
        "shared": out_channels * (in_channels * kernel_size[0] * kernel_size[1] + (1 if bias else 0)),
    }
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_count_parameters", "grade": true, "locked": true, "points": 5}
unit["count_parameters"].check(count_parameters)
### BEGIN HIDDEN TESTS
unit["count_parameters"].check(count_parameters, seed=13)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# How many output neurons are there in one map? That is exercise 2. Then: how many weights has **one** output neuron of
# a dense layer, the one from the formal unit included?
#
# </details>
#
# <details><summary>My local layer is right without padding, but too large with it</summary>
#
# At the edge a part of the kernel lies on the padding. Count the connections that exist: it is the sum of the sizes of
# all the sets $[ji]$, for each pair of an input and an output map.
#
# </details>
#
# <details><summary>Only the convolution is wrong</summary>
#
# How many kernels are there? One for each pair of an input and an output map. How many biases? The neurons of an output
# map share theirs. The size of the image does not matter at all.
#
# </details>

# %%
sizes = torch.arange(8, 65, 8)
counts = [count_parameters(3, 16, (3, 3), (int(n), int(n)), padding=1) for n in sizes]
plotting.curves(
    {name: (sizes, torch.tensor([float(c[name]) for c in counts]).log10()) for name in ("dense", "local", "shared")},
    "height and width of the image, in pixels",
    "log₁₀ of the number of parameters",
    "Your counts for 16 kernels of 3 x 3 on colour images",
)

# %%
lines = ["| layer of the network `zoo` | dense | local | shared |", "| --- | ---: | ---: | ---: |"]
for (in_channels, out_channels), size in zip(((3, 16), (16, 32), (32, 64), (64, 64)), (64, 32, 16, 8), strict=True):
    count = count_parameters(in_channels, out_channels, (3, 3), (size, size), padding=1)
    label = f"{in_channels} to {out_channels} channels, {size} x {size}"
    lines.append(f"| {label} | {count['dense']:,} | {count['local']:,} | {count['shared']:,} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Seeing little saves one factor, sharing another one, and the second grows with the image: the convolution alone does
# not care how large it is. A dense first layer on 64 x 64 pixels would have over 800 million weights, where the
# convolution has 448.

# %% [markdown]
# ## Exercise 6: the gradient of a shared weight by hand (3 points, difficulty 1 of 5, 10 minutes)
#
# If many connections share a weight, then a change of it changes all their products at once. So the derivative of an
# error $E$ by the shared weight is the sum over its connections:
#
# $$\frac{\partial E}{\partial w_{ji}} = \sum_{(r, q) \in [ji]} \frac{\partial E}{\partial \xi_r}\; y_q.$$
#
# **Compute** it for a kernel of $2 \times 2$ with stride 1 and padding $(0, 1)$, that is a column of zeros on the left
# and on the right, the inputs and the derivatives
#
# $$y = \begin{pmatrix} 1 & 0 & 2 \\ 3 & 1 & 0 \\ 2 & 4 & 1 \end{pmatrix}, \qquad
# \frac{\partial E}{\partial \xi} = \begin{pmatrix} 0 & -1 & 0 & 2 \\ 1 & 1 & 3 & 1 \end{pmatrix}$$
#
# and the weight in **row 1 and column 0** of the kernel (the lower left one; rows and columns count from 0). Give the
# number of connections in its set, and the derivative.
#
# **For example**, without padding and with $\frac{\partial E}{\partial \xi} = \begin{pmatrix} 2 & -1 \\ 0 & 3
# \end{pmatrix}$ the weight in row 0 and column 1 (the upper right one) has 4 connections and the derivative
# $2 \cdot 0 - 1 \cdot 2 + 0 \cdot 1 + 3 \cdot 0 = -2$.
#
# **Shape:** two numbers, the number of connections first.


# %% nbgrader={"grade_id": "shared_gradient", "solution": true}
def shared_gradient() -> tuple[float, float]:
    """Return (number of connections, dE/dw) of the weight in row 1 and column 0, worked by hand."""
    ### BEGIN SOLUTION
    return 6, 12.0  # -1 * 3 + 0 * 1 + 2 * 0 + 1 * 2 + 3 * 4 + 1 * 1; in 2 of the 8 places the weight is on the padding
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_shared_gradient", "grade": true, "locked": true, "points": 3}
unit["shared_gradient"].check(shared_gradient)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write $y$ with its columns of zeros, put the kernel in each of its $2 \times 4$ places, and mark what is under its
# lower left weight. What you marked has the shape of the output. Some of it is padding: no neuron.
#
# </details>
#
# <details><summary>Does a product of 0 count?</summary>
#
# A connection is a pair of neurons. It is there whatever the numbers are at the moment.
#
# </details>
#
# <details><summary>My line in the picture below has another slope than the error</summary>
#
# The slope is what is asked for. If yours is too flat by a factor of 6 or 8, you took a mean; if it has another sign,
# look at which pixels you marked.
#
# </details>

# %%
_, slope = shared_gradient()
y = torch.tensor([[1.0, 0, 2], [3, 1, 0], [2, 4, 1]])
error_gradient = torch.tensor([[0.0, -1, 0, 2], [1, 1, 3, 1]])
steps = torch.linspace(-1, 1, 21)
errors = []
for step in steps:
    kernel = torch.tensor([[1.0, -1], [0.5 + step, 2]])
    potentials = convolution.conv2d(y[None, None], kernel[None, None], padding=(0, 1))[0, 0]
    errors.append((potentials * error_gradient).sum())
errors = torch.stack(errors)
plotting.curves(
    {"E, computed anew": (steps, errors), "your slope": (steps, errors[10] + slope * steps)},
    "change of the lower left weight",
    "E",
    "An error with these derivatives, and your slope",
)

# %% [markdown]
# Both lines must lie on each other. Here $E = \sum_r \frac{\partial E}{\partial \xi_r} \xi_r$ is linear in the weight,
# so that the derivative is the slope everywhere.

# %% [markdown]
# ## Exercise 7: the gradient of all weights (6 points, difficulty 2 of 5, 20 minutes)
#
# Now for all weights, channels and images at once. The images share the weights, too, so that the sum goes over them as
# well:
#
# $$\frac{\partial E}{\partial w_{o,c,a,b}} = \sum_n \sum_u \sum_v \frac{\partial E}{\partial \xi_{n,o,u,v}}\;
# y_{n,\; c,\; s u + d a - p,\; s v + d b - p}$$
#
# with $y = 0$ on the padding.
#
# **Write** `weight_gradient`. **Shapes:** `inputs` is `(N, C, H, W)`, `output_gradient` is $\partial E/\partial \xi$ of
# shape `(N, O, H', W')`, and the result has the shape of the weight, `(O, C, kh, kw)`.
#
# **For example**, with the numbers of exercise 6 (one image, one channel, padding $(0, 1)$) it is
# $\begin{pmatrix} 9 & 4 \\ \cdot & 8 \end{pmatrix}$; the dot is what you found there.


# %% nbgrader={"grade_id": "weight_gradient", "solution": true}
def weight_gradient(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return dE/dw, the sum over the connections that share each weight.

    inputs: y, (N, C, H, W).
    output_gradient: dE/dxi, (N, O, H', W').
    kernel_size: (kh, kw).
    stride, padding, dilation: a whole number, or a pair (rows, columns).
    Returns (O, C, kh, kw).
    """
    ### BEGIN SOLUTION
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel_size, pair(stride), pair(padding), pair(dilation)
    n_images, n_channels, height, width = inputs.shape
    n_outputs, rows, columns = output_gradient.shape[1:]
    padded = inputs.new_zeros(n_images, n_channels, height + 2 * ph, width + 2 * pw)
    padded[:, :, ph : ph + height, pw : pw + width] = inputs
    gradient = inputs.new_zeros(n_outputs, n_channels, kh, kw)
    for a in range(kh):
        for b in range(kw):
            top, left = a * dh, b * dw
            met = padded[:, :, top : top + (rows - 1) * sh + 1 : sh, left : left + (columns - 1) * sw + 1 : sw]
            for o in range(n_outputs):
                gradient[o, :, a, b] = (output_gradient[:, o : o + 1] * met).sum((0, 2, 3))
    return gradient
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_weight_gradient", "grade": true, "locked": true, "points": 6}
unit["weight_gradient"].check(weight_gradient)
### BEGIN HIDDEN TESTS
unit["weight_gradient"].check(weight_gradient, seed=14)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# In exercise 3 you found what a weight $(a, b)$ meets, for all places at once: a tensor with the rows and columns of
# the output. It is the same here. Multiply it with $\partial E/\partial \xi$, place by place, and add up.
#
# </details>
#
# <details><summary>My numbers are all too small by the same factor</summary>
#
# Is it the number of images, or the number of places? Nothing is divided here. If an error is a mean over the batch,
# the division is in $\partial E/\partial \xi$ already.
#
# </details>
#
# <details><summary>It is right for one image, but not for a batch</summary>
#
# The weight is the same for all images: the sum goes over the batch, too. But no two images are multiplied with each
# other.
#
# </details>

# %%
teacher = kernels[:1]  # the kernel for edges from left to right
learned = torch.zeros_like(teacher)
centred = grey - 0.5
target = convolution.conv2d(centred, teacher, padding=1)
history, snapshots = [], {"the teacher": teacher[0, 0]}
for step in range(301):
    difference = convolution.conv2d(centred, learned, padding=1) - target
    history.append(0.5 * difference.square().mean())
    if step in (0, 30, 300):
        snapshots[f"learned, step {step}"] = learned[0, 0].clone()
    learned = learned - 1.0 * weight_gradient(centred, difference / difference.numel(), (3, 3), padding=1)
display(plotting.matrices(snapshots, heading="A kernel that learns from what another kernel does to four images"))
plotting.curves({"E": torch.stack(history).log10()}, "step", "log₁₀ of the error E", "Learning with your gradient")

# %% [markdown]
# You have trained a convolution: gradient descent on $E = \frac12 \text{mean}(\xi - \text{target})^2$ with your
# gradient. The coarse differences are learned quickly, the fine ones slowly: neighbouring pixels are much alike, so
# that many kernels do nearly the same.

# %% [markdown]
# ## Exercise 8: the gradient of the inputs (8 points, difficulty 4 of 5, 30 minutes)
#
# To train the layers below, the gradient has to go on to the inputs:
#
# $$\frac{\partial E}{\partial y_i} = \sum_{j \in i^\rightarrow} \frac{\partial E}{\partial \xi_j}\; w_{ji}.$$
#
# An input neuron has arcs to several output neurons, one for each place of a kernel that sees it, and collects what
# each of them hands down. There are two ways to compute it; both are right:
#
# - **hand down:** go through the kernel weights; the weight $(a, b)$ hands $\partial E/\partial \xi_{u,v} \cdot
#   w_{a,b}$ down to the input $(s u + d a - p,\ s v + d b - p)$. Where several land on one input, they **add up**.
# - **flipped kernel:** put $s - 1$ zeros between the numbers of $\partial E/\partial \xi$ and a border of $d\,(k - 1)$
#   zeros around them. Convolve with the kernel flipped in both directions, input and output channels exchanged, with
#   stride 1 and the same dilation $d$, and cut $p$ rows and columns off on each side.
#
# **Write** `input_gradient`. **Shapes:** `output_gradient` is `(N, O, H', W')`, `weight` is `(O, C, kh, kw)`, and the
# result is `(N, C, H, W)`. `input_size` is `(H, W)`. It must be told, since with a stride inputs of several sizes give
# an output of the same size. An input that no kernel sees has the gradient 0.
#
# **For example**, in one dimension: $\partial E/\partial \xi = (1, 10)$, the kernel $(2, 3, 4)$ and stride 1 give four
# inputs $(2,\ 3 + 20,\ 4 + 30,\ 40) = (2, 23, 34, 40)$. With stride 2 they are five: $(2,\ 3,\ 4 + 20,\ 30,\ 40)$.


# %% nbgrader={"grade_id": "input_gradient", "solution": true}
def input_gradient(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return dE/dy, what the convolution hands down to its inputs.

    output_gradient: dE/dxi, (N, O, H', W').
    weight: kernels, (O, C, kh, kw).
    input_size: (H, W).
    stride, padding, dilation: a whole number, or a pair (rows, columns).
    Returns (N, C, H, W).
    """
    ### BEGIN SOLUTION
    (height, width), (sh, sw), (ph, pw), (dh, dw) = input_size, pair(stride), pair(padding), pair(dilation)
    n_images, n_outputs, rows, columns = output_gradient.shape
    _, n_channels, kh, kw = weight.shape
    flipped = weight.flip(2, 3)
    above, left = dh * (kh - 1), dw * (kw - 1)
    # Zeros between the numbers and around them; where the stride does not divide, there are more at the end.
    spread = output_gradient.new_zeros(n_images, n_outputs, above + height + 2 * ph, left + width + 2 * pw)
    spread[:, :, above : above + (rows - 1) * sh + 1 : sh, left : left + (columns - 1) * sw + 1 : sw] = output_gradient
    gradient = output_gradient.new_zeros(n_images, n_channels, height, width)
    for a in range(kh):
        for b in range(kw):
            # A convolution with stride 1; beginning at p, it leaves out what belongs to the padding.
            top, first = ph + a * dh, pw + b * dw
            met = spread[:, :, top : top + height, first : first + width]
            gradient += torch.einsum("nohw,oc->nchw", met, flipped[:, :, a, b])
    return gradient
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_input_gradient", "grade": true, "locked": true, "points": 8}
unit["input_gradient"].check(input_gradient)
### BEGIN HIDDEN TESTS
unit["input_gradient"].check(input_gradient, seed=15)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Take the first way. Read your `conv2d` backwards: where it took a slice of the padded image to compute an output, you
# now add to the same slice. Begin with zeros of the size of the **padded** image.
#
# </details>
#
# <details><summary>Which way round is the kernel?</summary>
#
# In the first way you use each weight as it is: the flip happens by itself, since an output further to the right meets
# the same input with a weight further to the left. In the second way you have to flip it: `weight.flip(2, 3)`.
#
# </details>
#
# <details><summary>My result has the wrong size with a padding</summary>
#
# The padding got a gradient, too, but it belongs to no neuron. Cut off $p$ rows above and below, and columns likewise.
#
# </details>
#
# <details><summary>My result is too small where the stride does not divide</summary>
#
# At the end of the image some pixels are seen by no kernel. They are inputs all the same, with the gradient 0. Use
# `input_size`: the number of rows of the padded image is $H + 2p$, whatever the kernel reached.
#
# </details>
#
# <details><summary>In the second way: how many zeros are needed around?</summary>
#
# So many that the flipped kernel can meet each number with each of its weights: $d\,(k - 1)$ on each side. Where the
# stride does not divide, there are more rows and columns of zeros below and to the right, one for each that the kernel
# did not reach.
#
# </details>

# %%
weight = first_layer.weight.detach()
wide = {"stride": first_layer.stride, "padding": first_layer.padding}
objects = images[:3]
seen_maps = convolution.conv2d(objects, weight, **wide)
rebuilt = torch.full_like(objects, 0.5)
step_size = 1.9 / 117  # 117 is the largest factor by which forward and back together stretch an image
stages = {"the image": objects}
for step in range(41):
    if step in (3, 40):
        stages[f"step {step}"] = rebuilt.clamp(0, 1)
    difference = convolution.conv2d(rebuilt, weight, **wide) - seen_maps
    if step == 0:
        start = difference.square().mean()
    rebuilt = rebuilt - step_size * input_gradient(difference, weight, (64, 64), **wide)
print(f"The error of the maps fell to {100 * difference.square().mean() / start:.2f} % of what it was.")
plotting.image_grid(
    torch.cat(list(stages.values())),
    titles=[f"{name}, {stage}" for stage in stages for name in names[:3]],
    columns=3,
    heading="Images that your gradient finds from their maps",
)

# %% [markdown]
# You knew only the maps of the first layer, and walked from grey towards an image that has the same maps, with your
# gradient $\partial E/\partial y$. This is how later units ask a network what it has seen. The fine grid that is left
# comes from the stride of 2: pixels of even and of odd rows meet different rows of the kernel, and what the maps hardly
# show of their difference the walk hardly corrects.

# %% [markdown]
# ## Your functions and torch's
#
# From here on each of your functions is used if it passes its check, and otherwise the one of `course_utils` is; the
# list says which.

# %%
chosen, whose = {}, {}
for name in ("conv2d", "connections", "count_parameters", "weight_gradient", "input_gradient"):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = getattr(convolution, name), "course_utils"
    print(f"{name:>18}: {whose[name]}")

# %%
torch.manual_seed(0)  # of the new layer's weights
functions = ("conv2d", "weight_gradient", "input_gradient")
titles = [f"{name} ({whose[name]})" for name in functions]
lines = [f"| layer | {' | '.join(titles)} |", "| --- | ---: | ---: | ---: |"]
layers = {
    "first layer of zoo": (models.load("zoo")[0], images),
    "first layer of zoo-alex": (first_layer, images),
    "new, stride 3, padding 2, dilation 2": (torch.nn.Conv2d(3, 5, (4, 3), 3, 2, 2), images),
}
for label, (layer, batch) in layers.items():
    steps = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    weight, size = layer.weight.detach(), tuple(batch.shape[2:])
    pixels = batch.clone().requires_grad_()
    potentials = layer(pixels)
    back = torch.randn(potentials.shape, generator=torch.Generator().manual_seed(0))
    of_torch = [potentials, *torch.autograd.grad(potentials, (layer.weight, pixels), back, retain_graph=True)]
    ours = [
        chosen["conv2d"](batch, weight, layer.bias.detach(), **steps),
        chosen["weight_gradient"](batch, back, tuple(weight.shape[2:]), **steps),
        chosen["input_gradient"](back, weight, size, **steps),
    ]
    differences = [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, of_torch, strict=True)]
    lines.append(f"| {label} | " + " | ".join(f"{difference:.1e}" for difference in differences) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The numbers are the largest difference as a share of torch's largest number. All are 0 or rounding errors of float32,
# which has about 7 digits. Where the table says "yours", you have rebuilt a part of `torch.nn.Conv2d`: `conv2d` is its
# way forward, the two gradients are its way back.

# %% [markdown]
# ## What moves along when the image moves?
#
# If the image moves by one pixel, the maps of a convolution with stride 1 move by one pixel, too, and change in no
# other way: the kernel does the same in every place. The layer is **equivariant** to shifts. Let us measure it on the
# network `zoo`. Four images are laid into a large frame (their border goes on to all sides), and the frame is moved to
# the right. For each layer we compare its maps with the maps of the unmoved frame, moved by the nearest whole number of
# places. The **mismatch** is the size of the difference as a share of the size of the maps, in the middle of the frame,
# where neither the edge nor the padding reaches.
#
# As a control there is a **local** layer: the first convolution with weights that are not shared any more. Each place
# has its own: the shared ones, each times a random number between 0.5 and 1.5.

# %%
moving_names = ["cup", "ring", "dumbbell", "ball"]
found = [zoo.sample(n, seed=61, classes=[name]) for name, n in zip(moving_names, (26, 39, 34, 28), strict=True)]
moving = torch.stack([sample.images[-1] for sample in found])  # objects that stay in the image when it moves
scenes = F.pad(moving, (64, 64, 64, 64), mode="replicate")  # (4, 3, 192, 192)
plotting.image_grid(scenes, titles=moving_names, heading="Four images in a large frame")

# %%
network = models.load("zoo")
first = network[0]
own = first.weight.detach().flatten(1)[:, :, None] * (
    0.5 + torch.rand(16, 27, 192 * 192, generator=torch.Generator().manual_seed(3))
)


def local_layer(frames: Tensor) -> Tensor:
    """Return the maps of a layer that sees 3 x 3 pixels as the first one does, with other weights in each place."""
    windows = F.unfold(frames, 3, padding=1)  # (N, 27, 192 * 192)
    return torch.einsum("nkp,okp->nop", windows, own).unflatten(2, (192, 192))


def mismatch(layer: Callable[[Tensor], Tensor], shifts: Tensor) -> Tensor:
    """Return, for each shift of the image to the right, how much of the maps is not explained by moving them along."""
    with torch.no_grad():
        still = layer(scenes)
        width = still.shape[3]
        middle = slice(width // 4, width - width // 4)
        sizes = []
        for shift in shifts.tolist():
            expected = still.roll(round(shift * width / 192), 3)
            difference = layer(scenes.roll(shift, 3)) - expected
            sizes.append(difference[:, :, middle, middle].norm() / expected[:, :, middle, middle].norm())
    return torch.stack(sizes)


shifts = torch.arange(17)
layers = {"convolution 1": network[:1], "control: not shared": local_layer}
layers |= {f"after pooling {k}": network[: 3 * k] for k in (1, 2, 3, 4)}
mismatches = {name: mismatch(layer, shifts) for name, layer in layers.items()}
for pooled, title in ((False, "What is left when the maps are moved along"), (True, "The same after poolings")):
    chosen_lines = {name: (shifts, values) for name, values in mismatches.items() if ("pooling" in name) == pooled}
    display(plotting.curves(chosen_lines, "shift of the image, in pixels", "mismatch, share of the maps", title))

# %% [markdown]
# And the whole network? It takes images of 64 x 64 pixels: a window of that size is cut out of the frame, at another
# place each time, so that the object moves through the image, and stays whole. The lines are the scores of the true
# classes.

# %%
labels = torch.tensor([zoo.CLASSES.index(name) for name in moving_names])
offsets = torch.arange(-16, 17)
with torch.no_grad():
    scores = torch.stack(
        [network(scenes[:, :, 64:128, 64 - k : 128 - k])[torch.arange(4), labels] for k in offsets.tolist()]
    )
plotting.curves(
    {name: (offsets, scores[:, k]) for k, name in enumerate(moving_names)},
    "shift of the object to the right, in pixels",
    "score of the true class",
    "The whole network is not blind to shifts",
)

# %%
with torch.no_grad():
    answers = torch.stack([network(scenes[:, :, 64:128, 64 - k : 128 - k]).argmax(1) for k in offsets.tolist()])
print(
    f"shifts at which all four images are rightly classified: {int((answers == labels).all(1).sum())} of {len(offsets)}"
)
spread = scores.std(0) / scores.mean(0)
print("standard deviation of the score, as a share of its mean: ", end="")
print(", ".join(f"{name}: {100 * part:.0f} %" for name, part in zip(moving_names, spread, strict=True)))
with torch.no_grad():
    steps = {name: scenes.shape[3] // layer(scenes[:1]).shape[3] for name, layer in layers.items()}
for name, values in mismatches.items():
    exact = shifts[values < 1e-5].tolist()
    print(f"{name}: pixels from place to place {steps[name]}, mismatch below 0.00001 for the shifts {exact}")

# %% [markdown]
# ## 9. What sharing does to a moving image (8 points, 25 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "shifts", "task": true, "points": 8}
# Write your answer below, about half a page. Use the numbers and pictures above; you may run more code in new cells.
# Say for every claim which number it rests on.
#
# 1. **Which shifts are exact?** For which shifts is the mismatch of each layer zero (up to rounding)? Explain it with
#    the strides on the way to the layer. Why does the mismatch come back in between? (3 points)
# 2. **What does the sharing do?** The control sees the same 3 x 3 pixels and has the same number of connections. Say
#    what its line shows, and at which step the argument "the maps move along" fails for it. What would you expect of
#    the gradient of a weight in it, compared with a shared one? (2 points)
# 3. **Where do the scores get it from?** The scores change when the object moves, even by 16 pixels, though all four
#    images stay rightly classified. In the large frame all layers before the dense ones move along exactly then: their
#    strides make 16, and the mismatch after pooling 4 is zero. Give two reasons why the network as a whole is not blind
#    to such a shift (what comes into the window at its edge, or leaves it, counts as one), and describe an experiment
#    that tells them apart: what you would change, what you would measure, and which result would speak for which
#    reason. (3 points)
#
# ### BEGIN MARK SCHEME
# **1. (3 points)** One point for the shifts: convolution 1 all of them, after pooling 1 the even ones, after pooling 2
# the multiples of 4, after pooling 3 those of 8, after pooling 4 those of 16. One point for the reason: one step of a
# map is the product of all strides before it (each pooling has stride 2), so a shift is a whole number of steps only
# for its multiples. One point for what happens in between: the maps cannot move by a part of a step; the windows of the
# pooling lie on other pixels and meet other maxima. The mismatch is largest half way (about 0.5 at odd shifts after
# pooling 1, 0.5 at 2, 6, ... after pooling 2, 0.6 at 4 and 12 after pooling 3, 0.7 around 8 after pooling 4).
#
# **2. (2 points)** One point for the line: it jumps to about 0.7 at the first pixel and stays there, however far the
# image moves, so that locality alone does not make maps move along; the argument needs that the moved pixels meet the
# **same** weights in the new place, which is just what sharing says (w depends on a and b, not on u and v). One point
# for the gradient: there the set [ji] has one connection, so the gradient is one product for each image and learns only
# from what happened to be in that place; a shared weight sums over all places (here 192 x 192, in the network 64 x 64)
# and learns from an object wherever it was. Accept: the gradient is smaller, or noisier, or needs more images.
#
# **3. (3 points)** One point for two reasons out of: the dense layers have a weight of their own for every place of the
# last maps; the zeros of the padding are an edge, which the object comes closer to, and whose reach grows with every
# layer; something in the background or a distractor leaves the image or comes in. (The strides are no reason at 16
# pixels.) One point for an experiment that can be run, one for saying which result speaks for which reason. For
# example: compute the maps before the dense layers on the large frame, where no padding comes near, cut out 4 x 4
# places of them, once here and once one place further, and give both to the dense layers. If the scores did not change,
# padding would be the reason; they do change (dumbbell 9.5 in the middle, 7.1 and 6.3 one place to either side; with
# padding 9.7, 7.5 and 6.6), so the dense layers are. Or: `zoo-gap`, whose maps are averaged over all places before its
# only dense layer: at the shifts -16, 0 and 16 what is left there comes from the padding and the background (standard
# deviation 2 to 8 % of the mean, against 4 to 20 %; over all shifts 3 to 6 %, against 6 to 9 %).
# Or: dense layers trained on moved images.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
