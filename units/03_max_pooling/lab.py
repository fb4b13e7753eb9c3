# %% [markdown]
# # Lab 03: max pooling (44 points)
#
# {{colab_badge}}
#
# A pooling layer has no weights, and still it decides which pixel is told that it was to blame. In this lab you write
# it from scratch, forward and backward, check your derivatives by finite differences, and find out what happens where
# there is no derivative: at a tie.
#
# **When you are through, you can**
#
# - compute max pooling for a whole batch, and keep the switches that the way back needs;
# - send a gradient back through max pooling and through average pooling, also where windows overlap;
# - put pooled numbers back to their places (unpooling), and say how that differs from a gradient;
# - check any derivative by central differences, and say when such a check must fail;
# - say what a framework does at a tie, and when it matters for an explanation.
#
# **Time and points:** about 2 hours and three quarters, 44 points: 36 for nine exercises, which are checked as you go,
# and 8 for one question at the end, which a person reads. The exercises do not build on each other: skip one and come
# back to it.
#
# **Before you start:** the layer is derived in the [lecture](../../lectures/03_max_pooling.ipynb). What you need of it
# is said again in each exercise. You need nothing but torch's tensors: autograd is used for comparison only.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. Forward and backward by hand | 2 | 1 | 10 |
# | 2. Max pooling with switches | 6 | 3 | 25 |
# | 3. Backward through max pooling | 6 | 2 | 20 |
# | 4. Ties by hand | 2 | 1 | 5 |
# | 5. Unpooling | 4 | 2 | 10 |
# | 6. Backward through average pooling | 5 | 2 | 15 |
# | 7. A gradient check | 6 | 2 | 20 |
# | 8. Three quotients at a tie | 3 | 2 | 10 |
# | 9. Which of them are subgradients? | 2 | 3 | 10 |
# | 10. Ties in a real network | 8 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on maps that it makes up itself, and says one of these:
#
# - `max_pool2d: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Four exercises are worked by hand. There your function takes nothing and returns your numbers (or names); the check
# calls it and looks at them.
#
# When the lab is graded, the same check runs once more on other maps. So do not fit your code to the cases: follow the
# formula. Your function must also leave everything as it was, above all the tensors that it is given.
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function does. All exercises go on with `course_utils` where they need another function,
# so that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io
import math
import time

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from skimage import data
from skimage.transform import resize
from torch import Tensor, nn

from course_utils import exercises, gradient_methods, max_pooling, models, plotting, zoo

unit = exercises.load("03_max_pooling")
model = models.load("zoo")


def as_tensor(answer, count: int) -> Tensor:
    """Return the numbers of an exercise by hand for a picture."""
    values = [float(value) for value in answer]
    if len(values) != count:
        raise ValueError(f"your function returned {len(values)} numbers; {count} are asked for, row by row")
    return torch.tensor(values)


# %% [markdown]
# ## Maps to pool
#
# A layer hands on feature maps, a tensor of shape `(N, C, H, W)`: `N` images with `C` maps each, `H` rows and `W`
# columns. Pooling treats every map of every image for itself. Below are a few maps of the first convolution and ReLU of
# the network `zoo`, which tells ten classes of drawings apart. The pictures of this lab use them.
#
# **Names, in all exercises:** $X$ is the large map that goes in, $Y$ the pooled one that comes out,
# $R = \partial f/\partial Y$ the gradient that comes back from above, where $f$ is any number that the network
# computes. $\Omega(p)$ is the window of output $p$: `kernel_size` x `kernel_size` pixels. From one window to the next
# it moves by `stride` pixels; if no stride is given, by `kernel_size`, so that the windows lie side by side. Windows
# that do not fit in at the right or lower border are left out:
#
# $$H' = \lfloor (H - k) / s \rfloor + 1, \qquad W' = \lfloor (W - k) / s \rfloor + 1.$$

# %%
image = zoo.sample(6, seed=7, classes=["cup"]).images[:1]  # (1, 3, 64, 64), in [0, 1]
with torch.no_grad():
    maps = model[:2](image)  # (1, 16, 64, 64), after the first ReLU
chosen_maps = maps.amax((0, 2, 3)).argsort(descending=True)[:4]
plotting.image_grid(image, titles=["a cup"])

# %%
plotting.heatmap_grid(
    maps[0, chosen_maps],
    titles=[f"map {number}" for number in chosen_maps],
    heading="What goes into the first pooling layer: the four maps with the largest activations",
    label="activation",
)

# %% [markdown]
# ## Exercise 1: forward and backward by hand (2 points, difficulty 1 of 5, 10 minutes)
#
# Max pooling takes the largest number of each window, $Y(p) = \max_{q \in \Omega(p)} X(q)$. On the way back each window
# hands its $R(p)$ to the pixel that held its maximum, and to no other:
#
# $$\frac{\partial f}{\partial X(s)} = \sum_p R(p)\, \mathbf{1}\big(s = \arg\max_{q \in \Omega(p)} X(q)\big).$$
#
# **Compute** $\partial f / \partial X$ for windows of 2 x 2 that move by **one** pixel, with
#
# $$X = \begin{pmatrix} 1 & 3 & 2 \\ 5 & 4 & 0 \\ 2 & 6 & 1 \end{pmatrix}, \qquad
# R = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}.$$
#
# **For example**, one window with $X = \begin{pmatrix} 7 & 1 \\ 0 & 2 \end{pmatrix}$ and $R = 3$ gives
# $\begin{pmatrix} 3 & 0 \\ 0 & 0 \end{pmatrix}$, which is written `(3, 0, 0, 0)`.
#
# **Shape:** nine numbers, row by row.


# %% nbgrader={"grade_id": "pooling_by_hand", "solution": true}
def pooling_by_hand() -> tuple[float, ...]:
    """Return df/dX of the table above, row by row: nine numbers, worked by hand."""
    ### BEGIN SOLUTION
    # Y = (5 4 | 6 6): the 6 is the maximum of two windows, and gets 3 + 4.
    return 0, 0, 0, 1, 2, 0, 0, 7, 0
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_pooling_by_hand", "grade": true, "locked": true, "points": 2}
unit["pooling_by_hand"].check(pooling_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write down $Y$ first, a table of 2 x 2 numbers, and note for each of its numbers where in $X$ it came from.
#
# </details>
#
# <details><summary>Two windows point at the same pixel</summary>
#
# Ask what happens to $f$ if this pixel grows a little. How many of the outputs grow with it?
#
# </details>

# %%
X = torch.tensor([[1.0, 3, 2], [5, 4, 0], [2, 6, 1]])
R = torch.tensor([[1.0, 2], [3, 4]])
plotting.matrices(
    {"X": X, "R, from above": R, "your df/dX": as_tensor(pooling_by_hand(), 9).view(3, 3)},
    heading="Your way back",
)

# %% [markdown]
# The numbers of your table must add up to those of $R$, 10: on the way back through max pooling gradient is moved, and
# none is lost or made.

# %% [markdown]
# ## Exercise 2: max pooling with switches (6 points, difficulty 3 of 5, 25 minutes)
#
# The way back needs to know where each maximum was found. So the forward pass keeps the **switch** of each window: the
# place of its maximum in the map $X$, as a flat index `row * W + column`, counted from 0 in every map.
#
# $$Y(p) = \max_{q \in \Omega(p)} X(q), \qquad \text{switch}(p) = \arg\max_{q \in \Omega(p)} X(q).$$
#
# If several pixels of a window hold the maximum, the **first** one in reading order wins (row by row, from left to
# right), as in torch.
#
# **Write** `max_pool2d`, without a pooling function of torch. (The check cannot see that; a person may.) **Shapes:**
# `(N, C, H, W)` in; outputs and switches out, both `(N, C, H', W')`, the switches as whole numbers (`torch.long`).
#
# **For example**, $X = \begin{pmatrix} 1 & 5 & 2 & 0 \\ 3 & 4 & 6 & 6 \end{pmatrix}$ with 2 x 2 windows gives the
# outputs $(5, 6)$ and the switches $(1, 6)$: the second maximum lies in row 1 and column 2, and $1 \cdot 4 + 2 = 6$.


# %% nbgrader={"grade_id": "max_pool2d", "solution": true}
def max_pool2d(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window, and where it was found.

    inputs: maps (N, C, H, W), float32 or float64; they must not be changed.
    kernel_size: side of the square window, in pixels.
    stride: by how many pixels the window moves; None: by kernel_size.
    Returns outputs (N, C, H', W') in the dtype of the inputs, and switches (N, C, H', W'), torch.long: row * W + column
    in the input map.
    """
    ### BEGIN SOLUTION
    step = kernel_size if stride is None else stride
    height, width = inputs.shape[2:]
    tops = torch.arange(0, height - kernel_size + 1, step)
    lefts = torch.arange(0, width - kernel_size + 1, step)
    outputs = inputs[:, :, tops[:, None], lefts].clone()  # the first pixel of each window
    switches = (tops[:, None] * width + lefts).expand(outputs.shape).clone()
    for i in range(kernel_size):
        for j in range(kernel_size):
            values = inputs[:, :, tops[:, None] + i, lefts + j]
            larger = values > outputs  # strictly: the first maximum stays
            outputs = torch.where(larger, values, outputs)
            switches = torch.where(larger, (tops[:, None] + i) * width + lefts + j, switches)
    return outputs, switches
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_max_pool2d", "grade": true, "locked": true, "points": 6}
unit["max_pool2d"].check(max_pool2d)
### BEGIN HIDDEN TESTS
unit["max_pool2d"].check(max_pool2d, seed=31)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# There are two good ways. Loops: over the windows, or over the $k \cdot k$ places inside a window, doing all windows at
# once. Or cut all windows out with `Tensor.unfold(dimension, size, step)`, once along the rows and once along the
# columns, and look for `argmax` in each. Both are fine; speed does not count. (A function that goes through the pixels
# one by one would need minutes for the many images at the end of this lab. There the one of `course_utils` takes its
# place, and a line says so.)
#
# </details>
#
# <details><summary>My outputs are right, my switches are not</summary>
#
# A place within the window is not yet a place in the map. Row $i$ and column $j$ in the window of output $(r, c)$:
# which row and column of the map is that, for a given stride? Then, how many pixels lie before it?
#
# </details>
#
# <details><summary>It works for square maps only</summary>
#
# From one row to the next the flat index grows by the number of pixels in a row. Is that `H` or `W`?
#
# </details>
#
# <details><summary>Only the cases with ties are wrong</summary>
#
# If you compare with `>`, which of two equal numbers stays? And with `>=`? `Tensor.argmax` gives the first of several
# maxima in the order in which the pixels come: is that the reading order of the window?
#
# </details>

# %%
table = torch.tensor([[1.0, 5, 2, 0, 3], [3, 4, 6, 6, 1], [0, 0, 7, -2, 8], [0, 0, -1, 7, 9]])[None, None]
by_stride = {step: max_pool2d(table, 2, step) for step in (2, 1)}
display(
    plotting.matrices(
        {"X": table[0, 0]} | {f"Y, stride {step}": Y[0, 0] for step, (Y, _) in by_stride.items()},
        heading="Your max pooling, 2 x 2 windows",
    )
)
plotting.matrices(
    {"the numbers of the pixels of X": torch.arange(20.0).view(4, 5)}
    | {f"switches, stride {step}": switches[0, 0].float() for step, (_, switches) in by_stride.items()},
    heading="Your switches",
)

# %%
pooled = {"X": maps[:, chosen_maps[0]]}
for k in (2, 4, 8):
    small = max_pool2d(maps, k)[0][:, chosen_maps[0]]
    pooled[f"{k} x {k} windows"] = small.repeat_interleave(k, 1).repeat_interleave(k, 2)
plotting.heatmap_grid(
    torch.cat(list(pooled.values())),
    titles=list(pooled),
    heading="A map of the first layer, pooled and drawn as large as before",
    label="activation",
)

# %% [markdown]
# What is strong stays strong and gets wider; where exactly it was is forgotten. Only the switches remember.

# %% [markdown]
# ## Exercise 3: backward through max pooling (6 points, difficulty 2 of 5, 20 minutes)
#
# Each window hands its gradient $R(p)$ to its switch. Where several windows share a switch (they overlap), what they
# hand down **adds up**; a pixel that is no switch gets 0:
#
# $$\frac{\partial f}{\partial X(s)} = \sum_{p\,:\ \text{switch}(p) = s} R(p).$$
#
# **Write** `max_pool2d_backward`. **Shapes:** gradient and switches `(N, C, H', W')` and `input_size` `(H, W)` give
# `(N, C, H, W)`.
#
# **For example**, $R = (10, 20, 30)$ with the switches $(1, 4, 4)$ and `input_size` `(2, 3)` gives
# $\begin{pmatrix} 0 & 10 & 0 \\ 0 & 50 & 0 \end{pmatrix}$.


# %% nbgrader={"grade_id": "max_pool2d_backward", "solution": true}
def max_pool2d_backward(output_gradient: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    """Return df/dX of max pooling.

    output_gradient: R = df/dY, (N, C, H', W'), float32 or float64.
    switches: (N, C, H', W'), torch.long: row * W + column in the input map.
    input_size: (H, W).
    Returns (N, C, H, W), in the dtype of output_gradient.
    """
    ### BEGIN SOLUTION
    n, c, rows, columns = output_gradient.shape
    height, width = input_size
    gradient = torch.zeros(n, c, height * width, dtype=output_gradient.dtype)
    for r in range(rows):
        for column in range(columns):
            place = switches[:, :, r, column].unsqueeze(-1)
            before = gradient.gather(2, place)
            gradient.scatter_(2, place, before + output_gradient[:, :, r, column].unsqueeze(-1))
    return gradient.view(n, c, height, width)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_max_pool2d_backward", "grade": true, "locked": true, "points": 6}
unit["max_pool2d_backward"].check(max_pool2d_backward)
### BEGIN HIDDEN TESTS
unit["max_pool2d_backward"].check(max_pool2d_backward, seed=32)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Make a map of zeros and flatten it, so that a switch is simply an index. Then go through the windows.
#
# </details>
#
# <details><summary>`gradient[index] += values` loses something</summary>
#
# With an index tensor this reads all old numbers first and writes all new ones then. Where an index comes twice, one of
# the two is lost. Look up `Tensor.scatter_add` or `Tensor.index_add`, or add window by window.
#
# </details>
#
# <details><summary>Everything lands in the first map</summary>
#
# The switches begin with 0 in every map. Keep the dimensions `N` and `C`, and flatten only the last two.
#
# </details>
#
# <details><summary>The check does not like my dtype</summary>
#
# `torch.zeros(...)` makes float32, whatever came in. Say which dtype you want, or ask the given tensor:
# `Tensor.new_zeros`.
#
# </details>

# %%
X = torch.tensor([[1.0, 3, 2], [5, 4, 0], [2, 6, 1]])
R = torch.tensor([[1.0, 2], [3, 4]])
Y, switches = max_pooling.max_pool2d(X[None, None], 2, 1)
plotting.matrices(
    {"X": X, "Y": Y[0, 0], "R": R, "your df/dX": max_pool2d_backward(R[None, None], switches, (3, 3))[0, 0]},
    heading="Exercise 1 by your function",
)

# %%
Y, switches = max_pooling.max_pool2d(maps, 3, 1)
won = max_pool2d_backward(torch.ones_like(Y), switches, (64, 64))
display(plotting.heatmap_grid(maps[0, chosen_maps[:1]], titles=["X"], label="activation"))
plotting.heatmap_grid(
    won[0, chosen_maps[:1]],
    titles=["your df/dX for R = 1"],
    label="windows won",
)

# %% [markdown]
# The windows are 3 x 3 and move in steps of 1; with $R = 1$ everywhere your $\partial f / \partial X$ counts how many
# of them each pixel has won. A pixel lies in up to nine windows, and can win them all: the darkest ones did. This has
# little to do with how strong the map is there. In the pale background, too, some pixel of every window is the largest,
# be it by a hair, and takes all that comes back.

# %% [markdown]
# ## Exercise 4: ties by hand (2 points, difficulty 1 of 5, 5 minutes)
#
# **Compute** $\partial f / \partial X$ for windows of 2 x 2 side by side, with
#
# $$X = \begin{pmatrix} 2 & 2 & 0 & 1 \\ 1 & 2 & 1 & 0 \end{pmatrix}, \qquad R = \begin{pmatrix} 6 & -4 \end{pmatrix},$$
#
# where the first maximum of each window, in reading order, is its switch.
#
# **For example**, one window with $X = \begin{pmatrix} 0 & 3 \\ 3 & 3 \end{pmatrix}$ and $R = 5$ gives `(0, 5, 0, 0)`.
#
# **Shape:** eight numbers, row by row.


# %% nbgrader={"grade_id": "tie_by_hand", "solution": true}
def tie_by_hand() -> tuple[float, ...]:
    """Return df/dX of the table above, row by row: eight numbers, worked by hand."""
    ### BEGIN SOLUTION
    return 6, 0, 0, -4, 0, 0, 0, 0
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_tie_by_hand", "grade": true, "locked": true, "points": 2}
unit["tie_by_hand"].check(tie_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Draw a line between the second and the third column. In each half, mark all the pixels that hold the maximum; keep
# one.
#
# </details>
#
# <details><summary>Is it not fairer to share the gradient out?</summary>
#
# Perhaps; some frameworks do. Here one switch is kept for each window, and exercise 9 asks what may be done at all.
#
# </details>

# %%
X = torch.tensor([[2.0, 2, 0, 1], [1, 2, 1, 0]])
variable = X.clone().requires_grad_()
F.max_pool2d(variable[None], 2).backward(torch.tensor([[[6.0, -4.0]]]))
by_hand = as_tensor(tie_by_hand(), 8).view(2, 4)
is_right = torch.allclose(by_hand, variable.grad, atol=1e-3)  # torch's table is shown beside a right answer only
plotting.matrices(
    {"X": X, "your df/dX": by_hand} | ({"torch's": variable.grad} if is_right else {}),
    heading="Ties: the first maximum gets all",
)

# %% [markdown]
# ## Exercise 5: unpooling (4 points, difficulty 2 of 5, 10 minutes)
#
# The deconvnet (Zeiler and Fergus 2014) goes back from a pooled map to a large one by **unpooling**: every number is
# put to its window's switch, and all other places are 0. For windows side by side this is the same as exercise 3. For
# overlapping windows it is not: windows that share a switch have the same maximum, and it is put back **once**, as it
# was.
#
# **Write** `unpool2d`. **Shapes:** outputs and switches `(N, C, H', W')` and `input_size` `(H, W)` give
# `(N, C, H, W)`.
#
# **For example**, the maxima $(5, 8, 8)$ with the switches $(1, 4, 4)$ and `input_size` `(2, 3)` give
# $\begin{pmatrix} 0 & 5 & 0 \\ 0 & 8 & 0 \end{pmatrix}$.


# %% nbgrader={"grade_id": "unpool2d", "solution": true}
def unpool2d(outputs: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    """Return the large maps with each number at its switch.

    outputs: pooled maps (N, C, H', W'), of both signs. Where switches are equal, so are the outputs.
    switches: (N, C, H', W'), torch.long: row * W + column in the large map.
    input_size: (H, W) of the large maps.
    Returns (N, C, H, W), in the dtype of the outputs: 0 where there is no switch.
    """
    ### BEGIN SOLUTION
    large = outputs.new_zeros(*outputs.shape[:2], *input_size)
    images = torch.arange(outputs.shape[0]).view(-1, 1, 1, 1)
    channels = torch.arange(outputs.shape[1]).view(-1, 1, 1)
    large[images, channels, switches // input_size[1], switches % input_size[1]] = outputs
    return large
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_unpool2d", "grade": true, "locked": true, "points": 4}
unit["unpool2d"].check(unpool2d)
### BEGIN HIDDEN TESTS
unit["unpool2d"].check(unpool2d, seed=33)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# It is exercise 3 with one word changed: what happens where two numbers come to the same place?
#
# </details>
#
# <details><summary>Negative numbers vanish</summary>
#
# Do you compare with the zeros of the empty map? A switch always gets its number, whatever its sign.
#
# </details>
#
# <details><summary>Some numbers are two or four times as large as they should be</summary>
#
# You add them up. Several windows have found the same pixel, but the pixel is only one.
#
# </details>

# %%
one_map = maps[:, chosen_maps[:1]]
Y, switches = max_pooling.max_pool2d(one_map, 4)
there_and_back = [one_map, Y.repeat_interleave(4, 2).repeat_interleave(4, 3), unpool2d(Y, switches, (64, 64))]
plotting.heatmap_grid(
    torch.cat(there_and_back)[:, :, 16:48, 16:48],  # the middle, so that single pixels can be seen
    titles=["X", "Y, stretched", "Y, unpooled by you"],
    heading="There and back through 4 x 4 windows (the middle of the map)",
    label="activation",
)

# %% [markdown]
# The unpooled map is mostly empty, but what it has stands where it was. The stretched map has forgotten the places.
# This is all that the deconvnet knows of the image: its ReLUs do not look at the forward pass, only the switches do.

# %% [markdown]
# ## Exercise 6: backward through average pooling (5 points, difficulty 2 of 5, 15 minutes)
#
# Average pooling takes the mean of each window. Every pixel of the window is in it with the same weight, so that every
# pixel gets an equal share of the gradient, and the shares of overlapping windows add up:
#
# $$Y(p) = \frac{1}{k^2} \sum_{q \in \Omega(p)} X(q), \qquad
# \frac{\partial f}{\partial X(s)} = \sum_{p\,:\ s \in \Omega(p)} \frac{R(p)}{k^2}.$$
#
# **Write** `avg_pool2d_backward`. It needs no switches, and not even $X$. **Shapes:** `(N, C, H', W')` and `input_size`
# `(H, W)` give `(N, C, H, W)`.
#
# **For example**, $R = (4, 8)$ for windows of 2 x 2 side by side on a map of 2 x 5 gives
# $\begin{pmatrix} 1 & 1 & 2 & 2 & 0 \\ 1 & 1 & 2 & 2 & 0 \end{pmatrix}$: no window reaches the last column.


# %% nbgrader={"grade_id": "avg_pool2d_backward", "solution": true}
def avg_pool2d_backward(
    output_gradient: Tensor, input_size: tuple[int, int], kernel_size: int, stride: int | None = None
) -> Tensor:
    """Return df/dX of average pooling.

    output_gradient: R = df/dY, (N, C, H', W'), float32 or float64.
    input_size: (H, W).
    kernel_size: side of the square window, in pixels.
    stride: by how many pixels the window moves; None: by kernel_size.
    Returns (N, C, H, W), in the dtype of output_gradient.
    """
    ### BEGIN SOLUTION
    step = kernel_size if stride is None else stride
    n, c, rows, columns = output_gradient.shape
    gradient = output_gradient.new_zeros(n, c, *input_size)
    for i in range(kernel_size):
        for j in range(kernel_size):
            # Pixel (i, j) of every window at once: these are all different pixels.
            gradient[:, :, i : i + rows * step : step, j : j + columns * step : step][:, :, :rows, :columns] += (
                output_gradient / kernel_size**2
            )
    return gradient
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_avg_pool2d_backward", "grade": true, "locked": true, "points": 5}
unit["avg_pool2d_backward"].check(avg_pool2d_backward)
### BEGIN HIDDEN TESTS
unit["avg_pool2d_backward"].check(avg_pool2d_backward, seed=34)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Begin with a map of zeros. Window $(r, c)$ covers the rows from $r \cdot s$ to $r \cdot s + k - 1$, and the same for
# the columns. Add its share there.
#
# </details>
#
# <details><summary>By what do I divide?</summary>
#
# By what the forward pass divided by: the number of pixels in a window. How many windows a pixel lies in does not
# matter; each of them hands it a share.
#
# </details>
#
# <details><summary>Only the cases where the windows overlap are wrong</summary>
#
# Do you write or do you add?
#
# </details>

# %%
of_average = avg_pool2d_backward(torch.ones(1, 1, 21, 21), (64, 64), 4, 3)
_, switches = max_pooling.max_pool2d(one_map, 4, 3)
of_maximum = max_pooling.max_pool2d_backward(torch.ones(1, 1, 21, 21), switches, (64, 64))
plotting.matrices(
    {
        "average pooling, by you": 16 * of_average[0, 0, 24:34, 24:34],
        "max pooling": 16 * of_maximum[0, 0, 24:34, 24:34],
    },
    heading="df/dX in sixteenths, for R = 1: 4 x 4 windows in steps of 3 (a part of the map)",
)

# %% [markdown]
# The average's pattern is the same for every image, a regular grid: pixels that lie in one, two or four windows get
# 1/16, 2/16 or 4/16. The maximum's follows the image: few pixels get something, and each of them a whole R or several.

# %% [markdown]
# ## Exercise 7: a gradient check (6 points, difficulty 2 of 5, 20 minutes)
#
# Is a backward pass right? Ask the forward pass: move one input a little to both sides, and see how the number $f$
# changes. The **central difference** is
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + \varepsilon e_i) - f(x - \varepsilon e_i)}{2\,\varepsilon},$$
#
# where $e_i$ is 1 at place $i$ and 0 elsewhere. For a smooth function its error shrinks with $\varepsilon^2$, that of a
# one-sided difference only with $\varepsilon$.
#
# **Write** `gradient_check`: return the central differences for all inputs, and the largest magnitude of the difference
# to the gradient that is to be checked. Use values of the function only, no autograd. **Shapes:** inputs of any shape,
# `()` too, in float64; the differences have the same shape and dtype.
#
# **For example**, for $f(x) = x_1^3 + x_2$ at $x = (1, 5)$ with $\varepsilon = 0.1$ the differences are $(3.01, 1)$. If
# the gradient to be checked is $(3, 1.5)$, the largest difference is $0.5$.


# %% nbgrader={"grade_id": "gradient_check", "solution": true}
def gradient_check(function, inputs: Tensor, gradient: Tensor, eps: float = 1e-6) -> tuple[Tensor, float]:
    """Return the gradient by central differences, and how far the given one is off at most.

    function: maps a tensor of the shape of `inputs` to one number (a tensor of shape ()).
    inputs: the point x, float64, of any shape; it must not be changed.
    gradient: the gradient to be checked, of the shape of `inputs`.
    eps: by how much an input is moved to each side; stay in float64 with it, too.
    Returns the central differences, float64, of the shape of `inputs`, and the largest |gradient - difference|, a float
    (a tensor of one number will do).
    """
    ### BEGIN SOLUTION
    x = inputs.clone().flatten()
    numeric = torch.zeros_like(x)
    for i, value in enumerate(inputs.flatten().tolist()):
        x[i] = value + eps
        above = function(x.view(inputs.shape))
        x[i] = value - eps
        below = function(x.view(inputs.shape))
        x[i] = value
        numeric[i] = (above - below) / (2 * eps)
    numeric = numeric.view(inputs.shape)
    return numeric, float((numeric - gradient).abs().max())
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_gradient_check", "grade": true, "locked": true, "points": 6}
unit["gradient_check"].check(gradient_check)
### BEGIN HIDDEN TESTS
unit["gradient_check"].check(gradient_check, seed=35)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# A loop over `inputs.numel()` numbers. `tensor.view(-1)` (or `flatten`) lets you address any of them by one index,
# whatever the shape.
#
# </details>
#
# <details><summary>The check says that I changed the inputs in place</summary>
#
# Work on a copy (`clone`). Adding `eps` and taking it away again does not bring back every number exactly: computers
# round.
#
# </details>
#
# <details><summary>Only the first number is right</summary>
#
# Is the input that you moved back at its place before you move the next one?
#
# </details>
#
# <details><summary>My numbers are noisy</summary>
#
# Are you still in float64? In float32 two near values of $f$ share most of their seven digits, and their difference
# keeps hardly any.
#
# </details>

# %%
generator = torch.Generator().manual_seed(0)
x = torch.randn(1, 1, 6, 6, generator=generator, dtype=torch.float64)
R = torch.randn(1, 1, 2, 2, generator=generator, dtype=torch.float64)
_, switches = max_pooling.max_pool2d(x, 3, 2)
claims = {
    "max_pool2d_backward": max_pooling.max_pool2d_backward(R, switches, (6, 6)),
    "overlaps written over": max_pooling.unpool2d(R, switches, (6, 6)),
    "average's": max_pooling.avg_pool2d_backward(R, (6, 6), 3, 2),
}
for name, claim in claims.items():
    numeric, largest = gradient_check(lambda y: (R * max_pooling.max_pool2d(y, 3, 2)[0]).sum(), x, claim)
    print(f"{name:>22}: largest difference {float(largest):.1e}")

exponents = torch.arange(-12.0, 0.1, 0.5)
point = torch.tensor([0.7], dtype=torch.float64)
errors = [float(gradient_check(lambda y: y.exp().sum(), point, point.exp(), 10 ** e.item())[1]) for e in exponents]
right_sided = [
    abs(max_pooling.numeric_gradient(lambda y: y.exp().sum(), point, 10 ** e.item(), side="right") - point.exp()).item()
    for e in exponents
]
plotting.curves(
    {
        "yours, central": (exponents, torch.tensor([math.log10(max(e, 1e-16)) for e in errors])),
        "one-sided": (exponents, torch.tensor([math.log10(max(e, 1e-16)) for e in right_sided])),
    },
    "log10 of eps",
    "log10 of the error",
    "The error of a derivative of exp(x) at 0.7",
)

# %% [markdown]
# The printed list: only the right backward pass agrees, up to rounding. The curves: on the right, where $\varepsilon$
# is large, the central error falls twice as steeply as the one-sided one. On the left both grow again, since the
# rounding of $f$ is divided by an ever smaller step. Around $10^{-5}$ to $10^{-6}$ the central difference is at its
# best.

# %% [markdown]
# ## Exercise 8: three quotients at a tie (3 points, difficulty 2 of 5, 10 minutes)
#
# At a tie the maximum has a kink. The derivative to the right asks what happens if an input grows, the one to the left
# what happens if it falls:
#
# $$\text{right: } \frac{f(x + \varepsilon) - f(x)}{\varepsilon}, \qquad
# \text{left: } \frac{f(x) - f(x - \varepsilon)}{\varepsilon}, \qquad
# \text{central: } \frac{f(x + \varepsilon) - f(x - \varepsilon)}{2\,\varepsilon}.$$
#
# Take $y = \max(x_1, x_2, x_3)$ at the point $(2, 2, 2)$, and any small $\varepsilon > 0$.
#
# **Compute** five numbers:
#
# 1. the right quotient by $x_1$ (the others stay at 2),
# 2. the left quotient by $x_1$,
# 3. the central quotient by $x_1$,
# 4. the sum of the central quotients by $x_1$, by $x_2$ and by $x_3$,
# 5. by how much $y$ grows if **all three** grow by $\varepsilon$, divided by $\varepsilon$.
#
# **For example**, at $(3, 2, 2)$, where there is no tie, they are $(1, 1, 1, 1, 1)$.


# %% nbgrader={"grade_id": "tie_quotients", "solution": true}
def tie_quotients() -> tuple[float, ...]:
    """Return the five numbers for max(x1, x2, x3) at (2, 2, 2), worked by hand."""
    ### BEGIN SOLUTION
    right = 1.0  # max(2 + e, 2, 2) = 2 + e
    left = 0.0  # max(2 - e, 2, 2) = 2: the others hold it
    central = (right + left) / 2
    return right, left, central, 3 * central, 1.0  # max(2 + e, 2 + e, 2 + e) = 2 + e
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_tie_quotients", "grade": true, "locked": true, "points": 3}
unit["tie_quotients"].check(tie_quotients)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Put numbers in: $\varepsilon = 0.1$. What is $\max(2.1, 2, 2)$? And $\max(1.9, 2, 2)$?
#
# </details>
#
# <details><summary>My fourth and fifth number differ. Is that possible?</summary>
#
# For a smooth function they could not. Trust your numbers: here is the kink.
#
# </details>

# %%
step = torch.linspace(-1, 1, 81)
right, left, central, *_ = as_tensor(tie_quotients(), 5)
plotting.curves(
    {
        "max(2 + step, 2, 2)": (step, (2 + step).clamp(min=2)),
        "slope right": (step[40:], 2 + right * step[40:]),
        "slope left": (step[:41], 2 + left * step[:41]),
        "central slope": (step, 2 + central * step),
    },
    "step of x1 from the point (2, 2, 2)",
    "y",
    "Your three slopes at the kink",
)

# %% [markdown]
# The right and the left slope each follow their half of the curve. The central one follows neither. And your fourth and
# fifth number differ: at a tie of three, central differences do not even add up to what happens when all inputs move
# together. What does that mean for a gradient check? Keep your answer for question 10.4.

# %% [markdown]
# ## Exercise 9: which of them are subgradients? (2 points, difficulty 3 of 5, 10 minutes)
#
# Where a convex function like the maximum has no derivative, it has **subgradients**: a vector $g$ is one at the point
# $x$ if the straight line through the point never lies above the function,
#
# $$f(x + d) \ \ge\ f(x) + g \cdot d \qquad \text{for every step } d.$$
#
# Take $y = \max(x_1, x_2)$ at $(2, 2)$, where $y = 2$. Which of these ways to share the gradient out give a
# subgradient?
#
# | name | $g$ |
# | --- | --- |
# | `"all to the first"` | $(1, 0)$ |
# | `"all to the second"` | $(0, 1)$ |
# | `"half to each"` | $(\frac12, \frac12)$ |
# | `"a quarter and three quarters"` | $(\frac14, \frac34)$ |
# | `"all to both"` | $(1, 1)$ |
# | `"nothing to either"` | $(0, 0)$ |
#
# **For example**, $g = (2, -1)$ is none: for $d = (1, 0)$ the inequality says $3 \ge 2 + 2$.
#
# **Return** the names of all those that are subgradients, as a set.


# %% nbgrader={"grade_id": "subgradients", "solution": true}
def subgradients() -> set[str]:
    """Return the names of the ways that give a subgradient of max(x1, x2) at (2, 2)."""
    ### BEGIN SOLUTION
    # max(d1, d2) >= a d1 + b d2 for every d exactly if a, b >= 0 and a + b = 1: a mean is never above the maximum.
    return {"all to the first", "all to the second", "half to each", "a quarter and three quarters"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_subgradients", "grade": true, "locked": true, "points": 2}
unit["subgradients"].check(subgradients)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# With $x = (2, 2)$ the inequality says $\max(d_1, d_2) \ge g_1 d_1 + g_2 d_2$. Try $d = (1, 1)$, $(-1, -1)$, $(1, 0)$,
# $(0, -1)$.
#
# </details>
#
# <details><summary>How can I show that it holds for every d?</summary>
#
# A weighted mean of two numbers is never larger than the larger one of them. What must the weights be?
#
# </details>

# %%
weights = {
    "all to the first": (1, 0),
    "all to the second": (0, 1),
    "half to each": (0.5, 0.5),
    "a quarter and three quarters": (0.25, 0.75),
    "all to both": (1, 1),
    "nothing to either": (0, 0),
}
step = torch.linspace(-1.2, 1.2, 97)
plotting.curves(
    {"y": (step, 2 + torch.maximum(step, step / 2))}
    | {
        name: (step, 2 + weights[name][0] * step + weights[name][1] * step / 2)
        for name in sorted(name.strip().lower() for name in subgradients())
    },
    "step s: the point (2 + s, 2 + s/2)",
    "y, and what your subgradients say",
    "None of your lines may lie above y",
)

# %% [markdown]
# The picture shows the steps in one direction only; the inequality must hold in all of them. torch's max pooling takes
# $(1, 0)$, all to the first; `torch.amax` takes $(\frac12, \frac12)$. Both are right, and neither is *the* derivative.

# %% [markdown]
# ## Your functions and torch's
#
# From here on each of your functions is used if it passes its check and needs less than 0.2 seconds for one image, and
# otherwise the one of `course_utils` is; the list says which.

# %%
chosen, whose = {}, {}
for name in ("max_pool2d", "max_pool2d_backward", "unpool2d", "avg_pool2d_backward", "gradient_check"):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = getattr(max_pooling, name), "course_utils"
Y, switches = max_pooling.max_pool2d(maps, 2)
for name, arguments in {"max_pool2d": (maps, 2), "max_pool2d_backward": (Y, switches, (64, 64))}.items():
    start = time.perf_counter()
    chosen[name](*arguments)
    # The last section asks for it many hundred times as often.
    if whose[name] == "yours" and time.perf_counter() - start > 0.2:
        chosen[name], whose[name] = getattr(max_pooling, name), "course_utils (yours is right, but slow)"
for name, owner in whose.items():
    print(f"{name:>20}: {owner}")

# %%
variable = maps.double().requires_grad_()
lines = ["| function | whose | windows | stride | largest difference to torch |", "| --- | --- | ---: | ---: | ---: |"]
for k, s in ((2, 2), (3, 2), (3, 1)):
    of_torch, torch_switches = F.max_pool2d(variable, k, s, return_indices=True)
    outputs, switches = chosen["max_pool2d"](variable.detach(), k, s)
    R = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    (of_autograd,) = torch.autograd.grad(of_torch, variable, R)
    (average_of_autograd,) = torch.autograd.grad(F.avg_pool2d(variable, k, s), variable, R)
    differences = {
        "max_pool2d": max((outputs - of_torch).abs().max(), (switches - torch_switches).abs().max()),
        "max_pool2d_backward": (chosen["max_pool2d_backward"](R, switches, (64, 64)) - of_autograd).abs().max(),
        "avg_pool2d_backward": (chosen["avg_pool2d_backward"](R, (64, 64), k, s) - average_of_autograd).abs().max(),
    }
    if s > 1:  # torch takes this size of output only if the last window comes near the border
        unpooled = F.max_unpool2d(of_torch.detach(), torch_switches, k, s, output_size=(64, 64))
        differences["unpool2d"] = (chosen["unpool2d"](outputs, switches, (64, 64)) - unpooled).abs().max()
    lines += [f"| {name} | {whose[name]} | {k} x {k} | {s} | {value:.1e} |" for name, value in differences.items()]
display(Markdown("\n".join(lines)))

# %% [markdown]
# Outputs and switches are the same to the last bit; where gradients are added up, the order of the sum may cost a
# rounding. `torch.nn.MaxPool2d(2, return_indices=True)` and `torch.nn.MaxUnpool2d(2)` are the same as layers.

# %% [markdown]
# ## Ties in a real network
#
# How often do ties happen, and do they matter? The cells below send an explanation back through the whole network
# `zoo`, layer by layer, with your pooling. It can be told to take the first or the **last** maximum at a tie: two
# subgradients, both right. If the maps differ, they show a choice that no one has made on purpose.
#
# Ties come in two kinds, and the cells tell them apart: the maximum is **0**, or it is **above 0**. And there are three
# sets of images:
#
# - **drawings** of the zoo, with flat colours;
# - the same drawings **with a trace of noise**, of standard deviation 0.001, which nobody can see;
# - **photographs**: the network does not know what is on them, but its pools do not care.
#
# Three rules for the ReLUs are compared. $X$ is what went into the ReLU, $R$ what comes back to it:
#
# | rule | what a ReLU hands down |
# | --- | --- |
# | gradient | $R$ where $X > 0$, else 0 |
# | deconvnet | $R$ where $R > 0$, else 0: it does not look at $X$ |
# | guided | $R$ where $X > 0$ and $R > 0$, else 0 |
#
# The first table counts the ties. `zoo` has four pools; each is named by its number among the network's layers, 2, 5, 8
# and 11, which you see with `print(model)`. The second table says what the ties change.


# %%
def send_back(images: Tensor, target: Tensor, relu_rule: str, last_at: str = "nowhere") -> Tensor:
    """Send the score of `target` back to the images; at ties the first maximum wins, or the last one.

    last_at: "nowhere", "ties at 0", "ties above 0" or "all ties".
    """
    going_in = [images]
    with torch.no_grad():
        for layer in model:
            going_in.append(layer(going_in[-1]))
    signal = F.one_hot(target, 10).float()
    for layer, X in zip(reversed(model), reversed(going_in[:-1]), strict=True):
        if isinstance(layer, nn.ReLU):
            signal = gradient_methods.relu_backward(X, signal, relu_rule)
        elif isinstance(layer, nn.MaxPool2d):
            Y, first = chosen["max_pool2d"](X, 2)
            last = X[0, 0].numel() - 1 - chosen["max_pool2d"](X.flip(2, 3), 2)[1].flip(2, 3)
            taken = {"nowhere": Y > Y, "ties at 0": Y == 0, "ties above 0": Y > 0, "all ties": Y >= 0}[last_at]
            signal = chosen["max_pool2d_backward"](signal, torch.where(taken, last, first), tuple(X.shape[2:]))
        else:
            variable = X.clone().requires_grad_()
            (signal,) = torch.autograd.grad(layer(variable), variable, signal)
    return signal


def photograph(pixels) -> Tensor:
    """Cut the middle out of a photograph, and make it as small as the drawings."""
    side = min(pixels.shape[:2])
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    small = resize(pixels[top : top + side, left : left + side], (64, 64), anti_aliasing=True)
    return torch.from_numpy(small).permute(2, 0, 1).float()


drawings = zoo.sample(24, seed=4).images
noise = 0.001 * torch.randn(drawings.shape, generator=torch.Generator().manual_seed(0))
image_sets = {
    "drawings": drawings,
    "drawings with a trace of noise": drawings + noise,
    "photographs": torch.stack([photograph(picture) for picture in (data.astronaut(), data.chelsea(), data.coffee())]),
}

# %%
lines = ["| images | pool | windows with a tie at 0 | with a tie above 0 |", "| --- | --- | ---: | ---: |"]
for name, images in image_sets.items():
    X = images
    for number, layer in enumerate(model):
        if isinstance(layer, nn.MaxPool2d):
            is_tied = max_pooling.n_maxima(X, 2) > 1
            at_zero = chosen["max_pool2d"](X, 2)[0] == 0
            shares = [100 * (is_tied & kind).float().mean() for kind in (at_zero, ~at_zero)]
            lines.append(f"| {name} | {number} | {shares[0]:.1f} % | {shares[1]:.3f} % |")
        with torch.no_grad():
            X = layer(X)
display(Markdown("\n".join(lines)))

# %%
lines = [
    "| images | rule | last at all ties | the same, image by image | only at ties at 0 | only at ties above 0 |",
    "| --- | --- | ---: | ---: | ---: | ---: |",
]


def in_words(change: Tensor, usual: Tensor) -> str:
    """Return the length of the change as a share of the length of the usual maps, in words."""
    return f"{100 * change.norm() / usual.norm():.1f} %" if change.any() else "0, exactly equal"


for name, images in image_sets.items():
    with torch.no_grad():
        predicted = model(images).argmax(1)
    for rule in gradient_methods.RELU_RULES:
        usual = send_back(images, predicted, rule)
        changes = {
            last_at: send_back(images, predicted, rule, last_at) - usual
            for last_at in ("all ties", "ties at 0", "ties above 0")
        }
        by_image = 100 * changes["all ties"].flatten(1).norm(dim=1) / usual.flatten(1).norm(dim=1)
        spread = f"{by_image.median():.1f} % ({by_image.min():.1f} to {by_image.max():.1f} %)"
        first, *others = (in_words(change, usual) for change in changes.values())
        lines.append(f"| {name} | {rule} | {first} | {spread} | " + " | ".join(others) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# **How to read this table.** Each number compares two maps: the one where the first maximum wins everywhere, and the
# one where the last wins at the ties that the column names. It is the length of their difference as a share of the
# length of the first (100 % would be a difference as large as the map itself). For the length all maps of a set are
# taken together, as one long vector. The fourth column has one share for each image instead: their median, and from
# the smallest to the largest. "0, exactly equal" means that not a single number differs.

# %%
few = drawings[:4]
with torch.no_grad():
    predicted = model(few).argmax(1)
for rule in ("gradient", "deconvnet"):
    first, last = (send_back(few, predicted, rule, last_at) for last_at in ("nowhere", "all ties"))
    sizes = first.sum(1).flatten(1).abs().quantile(0.995, dim=1).view(-1, 1, 1, 1)  # one scale for each row
    display(
        plotting.method_grid(
            few,
            {"first": first / sizes, "last": last / sizes, "last minus first": (last - first) / sizes},
            titles=[zoo.CLASSES[number] for number in predicted],
            heading=f"{rule}: the first or the last maximum wins at a tie",
            label="what comes back, each row by its own scale",
            scale="figure",
            quantile=0.995,
        )
    )

# %% [markdown]
# ## 10. Ties in a real network (8 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "ties", "task": true, "points": 8}
# Write your answer below, about half a page. Use the two tables and the pictures above; you may run more code and draw
# more pictures in new cells. Say for every claim which number it rests on.
#
# 1. **Where ties come from.** There are two kinds of ties here. Say for each how it comes about, and why the second
#    kind almost vanishes with a trace of noise while the first does not. (2 points)
# 2. **When they matter.** For ties at 0 the maps are exactly equal under two of the rules, and far from it under the
#    third. Explain both: follow the gradient that is handed to a pixel of an all-zero window one layer further down.
#    (3 points)
# 3. **What follows.** Somebody shows you a gradient map of a drawing and points at single pixels. What do you answer,
#    after these tables? Would your answer be the same for a photograph, and for a deconvnet? (2 points)
# 4. **The check.** Somebody checks the gradient of this network, the derivative of a class score by the pixels of a
#    drawing, by finite differences. What will come out, and what should be done instead? (1 point)
#
# ### BEGIN MARK SCHEME
# The shares of ties above 0 depend on the last bit of the convolution and so differ a little from machine to machine;
# accept what the student's own tables show.
#
# **1. (2 points)** One point: ties at 0 come from the ReLU before the pool: where all pixels of a window are negative
# before it, all are 0 behind it (about 29 to 46 % of all windows, on every set of images). Ties above 0 come from flat
# colours: where the image is constant over the kernel's field, the convolution gives the same number at neighbouring
# places (about 3 % in the first pool of the drawings, 0.2 % on photographs, almost none in deep layers, whose fields
# are larger than the flat areas). One point: the noise makes neighbouring numbers differ in some digit, so that equal
# numbers above 0 become unequal; a window of negative numbers stays negative under a small change, and the ReLU still
# makes all of it 0.
#
# **2. (3 points)** One point: the gradient (and guided backpropagation) is multiplied with 1(X > 0) at the ReLU below
# the pool; every pixel of an all-zero window has X <= 0, so whichever pixel gets the gradient, it is stopped there; the
# choice has no effect at all. One point: the deconvnet's ReLU looks only at the sign of the signal; what was handed to
# a pixel of an all-zero window goes on if it is positive, and then its place matters. One point for the numbers:
# exactly equal against about 55 % for the deconvnet; so it sends signal through windows in which nothing was active,
# and the place where it arrives is an accident of the reading order.
#
# **3. (2 points)** One point: on drawings the gradient map changes by about 40 % (all images together; the image in the
# middle by about 20 %, some by 2 %, some by 70 %) by a choice that has nothing to do with the class (by 3 % of the
# windows of one pool), so single pixels in flat areas mean little; trust sums over regions, or average over noisy
# copies (SmoothGrad, which also breaks the ties). One point: on photographs and with a trace of noise it is only 4 %
# and 0.2 %, so there the objection is weak; for the deconvnet it holds everywhere (more than half of the map; in the
# picture the strong edge of the ball moves from the bottom to the top). Half of the point for one of the two.
#
# **4. (1 point)** At ties above 0 the central difference is the mean of the two one-sided derivatives, and the check
# fails though the backward pass is right; check at a point without ties: add a little noise (larger than eps), or use
# random inputs, and float64. (Also right: ties at 0 do no harm as long as all inputs of the ReLU are well below 0.)
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
