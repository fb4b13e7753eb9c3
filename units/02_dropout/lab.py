# %% [markdown]
# # Lab 02: dropout as a matrix, as noise, as a doubt (50 points)
#
# {{colab_badge}}
#
# In a dense layer dropout takes a unit out, with all its weights. In a convolution it does something else: the weights
# are shared, and stay. In this lab you write both as matrices and count what is left of each weight. Then you use the
# same noise to let a network say how sure it is.
#
# **When you are through, you can**
#
# - write dropout in a dense layer as $y = W R h$, and a convolution as a matrix $M$, with and without dropout;
# - say which weights of a kernel still get a gradient when inputs are dropped, and why it is nearly always all of them;
# - write inverted dropout of units and of whole maps, and check random code by its statistics;
# - keep the dropout layers of a network active, and read mean and deviation of its answers as a doubt;
# - say what this doubt sees, and what it does not.
#
# **Time and points:** about 3½ hours, 50 points: 42 for twelve exercises, which are checked as you go, and 8 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the matrices are derived in the [lecture](../../lectures/02_dropout.ipynb). What you need of it
# is said again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. A dense layer by hand | 2 | 1 | 5 |
# | 2. Dropout in a dense layer | 3 | 1 | 10 |
# | 3. Convolution as a matrix | 6 | 3 | 30 |
# | 4. Dropout in a convolution | 4 | 2 | 10 |
# | 5. What takes w5 out? | 2 | 2 | 5 |
# | 6. Counting masks by hand | 3 | 3 | 10 |
# | 7. Weights without a gradient | 4 | 3 | 20 |
# | 8. Inverted scaling by hand | 2 | 1 | 10 |
# | 9. Dropout of units | 5 | 2 | 15 |
# | 10. Spatial dropout | 3 | 2 | 10 |
# | 11. Mean and deviation by hand | 2 | 1 | 5 |
# | 12. Monte Carlo dropout | 6 | 4 | 40 |
# | 13. What the doubt sees | 8 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on cases that it makes up itself, and says one of these:
#
# - `dense_dropout: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Five exercises are worked by hand. There your function takes nothing and returns your numbers (or names); the check
# calls it and looks at them.
#
# Three exercises are random. There the check does not compare number by number, since your random numbers may come in
# another order than ours. It compares what hardly depends on chance, such as the share of zeros in 20,000 numbers. A
# right answer fails by bad luck less than once in ten million checks.
#
# When the lab is graded, the same check runs once more on other cases. So do not fit your code to the cases: follow the
# formula. Your function must also leave everything as it was: the arguments, the network, its hooks and modes.
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function does. All exercises go on with `course_utils` where they need another method, so
# that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io

import torch
from IPython.display import Markdown, display
from torch import Tensor, nn
from torch.nn import functional

from course_utils import convolution, exercises, models, plotting, zoo
from course_utils import dropout as course_dropout

unit = exercises.load("02_dropout")

# %% [markdown]
# ## Exercise 1: a dense layer by hand (2 points, difficulty 1 of 5, 5 minutes)
#
# A dense layer without bias is $y = W h$. Dropout multiplies each input $h_i$ with $r_i$, which is 1 where the unit is
# kept and 0 where it is dropped. With these numbers on the diagonal of a matrix $R$ the layer is $y = W R h$.
#
# **Compute** $y = W R h$ for
#
# $$W = \begin{pmatrix} 1 & -2 & 3 \\ 0 & 4 & -1 \end{pmatrix}, \qquad
# R = \begin{pmatrix} 1 & 0 & 0 \\ 0 & 0 & 0 \\ 0 & 0 & 1 \end{pmatrix}, \qquad
# h = \begin{pmatrix} 2 \\ 1 \\ 3 \end{pmatrix}.$$
#
# **For example**, if only $r_1$ is 1, then $y = (1 \cdot 2,\ 0 \cdot 2) = (2, 0)$. Nothing is scaled here.
#
# **Shape:** two numbers.


# %% nbgrader={"grade_id": "dropout_by_hand", "solution": true}
def dropout_by_hand() -> tuple[float, float]:
    """Return the two numbers of y = W R h, worked by hand."""
    ### BEGIN SOLUTION
    return 1 * 2 + 3 * 3, 0 * 2 - 1 * 3
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_dropout_by_hand", "grade": true, "locked": true, "points": 2}
unit["dropout_by_hand"].check(dropout_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Work out $R h$ first: which of the three numbers of $h$ are left?
#
# </details>
#
# <details><summary>The check says that this is W h</summary>
#
# Is everything still there? The column of the dropped unit must not count in any of the two sums.
#
# </details>

# %%
W = torch.tensor([[1.0, -2, 3], [0, 4, -1]])
h = torch.tensor([[2.0], [1], [3]])
plotting.matrices(
    {"W": W, "R": torch.diag(torch.tensor([1.0, 0, 1])), "h": h, "y, as you say": torch.tensor([dropout_by_hand()]).T},
    heading="Your y = W R h",
)

# %% [markdown]
# The second column of $W$ meets the zero of $R$: all that the second unit sends out is gone, to both outputs.

# %% [markdown]
# ## Exercise 2: dropout in a dense layer (3 points, difficulty 1 of 5, 10 minutes)
#
# The product of the two matrices is a matrix of weights of its own:
#
# $$W R = \begin{pmatrix} r_1 w_{11} & r_2 w_{21} & \cdots \\ r_1 w_{12} & r_2 w_{22} & \cdots \\
# \vdots & \vdots & \ddots \end{pmatrix},$$
#
# where $w_{ij}$ is the weight from unit $i$ to output $j$ (in code, where a row of `weight` is an output and counting
# begins at 0: `weight[j - 1, i - 1]`).
#
# **Write** `dense_dropout`. **Shapes:** `weight` is `(out, in)`, `keep` is a tensor of `True` and `False` of shape
# `(in,)`, `True` where $r_i = 1$. The result is `(out, in)`, in the dtype of `weight`.
#
# **For example**, the $W$ and the $R$ of exercise 1 give $\begin{pmatrix} 1 & 0 & 3 \\ 0 & 0 & -1 \end{pmatrix}$.


# %% nbgrader={"grade_id": "dense_dropout", "solution": true}
def dense_dropout(weight: Tensor, keep: Tensor) -> Tensor:
    """Return W R, the weights of a dense layer in which some inputs are dropped.

    weight: W, (out, in).
    keep: the diagonal of R, bool (in,), True where the unit is kept.
    Returns (out, in), in the dtype of `weight`.
    """
    ### BEGIN SOLUTION
    return torch.where(keep, weight, torch.zeros_like(weight))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_dense_dropout", "grade": true, "locked": true, "points": 3}
unit["dense_dropout"].check(dense_dropout)
### BEGIN HIDDEN TESTS
unit["dense_dropout"].check(dense_dropout, seed=21)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to multiply numbers with True and False</summary>
#
# In a product with numbers `True` counts as 1 and `False` as 0. `keep.to(weight.dtype)` makes numbers of them.
#
# </details>
#
# <details><summary>The check says that I emptied rows</summary>
#
# How does PyTorch line up a tensor `(out, in)` with one of shape `(in,)`? And with one of shape `(in, 1)`?
#
# </details>
#
# <details><summary>I used torch.diag, and an error speaks of dtypes</summary>
#
# A matrix of `True` and `False` cannot be multiplied with one of numbers by `@`. Change its dtype first.
#
# </details>

# %%
generator = torch.Generator().manual_seed(2)
weights = torch.randint(-9, 10, (4, 9), generator=generator).float()
alone = torch.arange(9) == 0
plotting.matrices(
    {"W": weights, "your W R, with r1 = 1 alone": dense_dropout(weights, alone)},
    heading="One unit is kept, and one column is left",
)

# %% [markdown]
# The empty columns are weights that take no part in this step. They get no gradient either: in a dense layer dropout
# trains a part of the network at a time.

# %% [markdown]
# ## Exercise 3: convolution as a matrix (6 points, difficulty 3 of 5, 30 minutes)
#
# A convolution is linear, so it is a matrix $M$ with $y = M x$. The image is laid out as one long vector, row by row.
# For a $2 \times 2$ kernel on $3 \times 3$ pixels,
#
# $$\begin{pmatrix} w_1 & w_2 \\ w_3 & w_4 \end{pmatrix} * \begin{pmatrix} x_1 & x_2 & x_3 \\ x_4 & x_5 & x_6 \\
# x_7 & x_8 & x_9 \end{pmatrix}: \qquad
# M = \begin{pmatrix} w_1 & w_2 & 0 & w_3 & w_4 & 0 & 0 & 0 & 0 \\ 0 & w_1 & w_2 & 0 & w_3 & w_4 & 0 & 0 & 0 \\
# 0 & 0 & 0 & w_1 & w_2 & 0 & w_3 & w_4 & 0 \\ 0 & 0 & 0 & 0 & w_1 & w_2 & 0 & w_3 & w_4 \end{pmatrix}.$$
#
# One row is one output, one column one input. Where the kernel reaches over the border there is padding, zeros, which
# has no column.
#
# **Write** `conv_matrix`. **Shapes:** `weight` holds `O` kernels for `C` channels, `(O, C, kh, kw)`; `input_size` is
# `(H, W)`; `padding` zeros stand on all four sides, the stride is 1. The result is `(O*H'*W', C*H*W)` with
# $H' = H + 2 \cdot \text{padding} - kh + 1$ and $W'$ alike: the columns go channel by channel, and the rows go kernel
# by kernel, as `x.flatten()` and `y.flatten()` do. Loops are fine.
#
# **For example**, the kernel $(w_1\ w_2)$ on one row of three pixels with no padding gives
# $\begin{pmatrix} w_1 & w_2 & 0 \\ 0 & w_1 & w_2 \end{pmatrix}$.


# %% nbgrader={"grade_id": "conv_matrix", "solution": true}
def conv_matrix(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    """Return the matrix M of a convolution: M @ x.flatten() is the convolution of the image x.

    weight: kernels (O, C, kh, kw).
    input_size: (H, W) of the image, without the padding.
    padding: zeros on each side of the image.
    Returns (O*H'*W', C*H*W), in the dtype of `weight`.
    """
    ### BEGIN SOLUTION
    n_kernels, channels, rows, columns = weight.shape
    height, width = input_size
    out_height, out_width = height + 2 * padding - rows + 1, width + 2 * padding - columns + 1
    matrix = weight.new_zeros(n_kernels, out_height, out_width, channels, height, width)
    for u in range(out_height):
        for v in range(out_width):
            for a in range(rows):
                for b in range(columns):
                    row, column = u + a - padding, v + b - padding
                    if 0 <= row < height and 0 <= column < width:
                        matrix[:, u, v, :, row, column] = weight[:, :, a, b]
    return matrix.reshape(n_kernels * out_height * out_width, channels * height * width)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_conv_matrix", "grade": true, "locked": true, "points": 6}
unit["conv_matrix"].check(conv_matrix)
### BEGIN HIDDEN TESTS
unit["conv_matrix"].check(conv_matrix, seed=22)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Begin with one channel, one kernel and no padding, and with a matrix of zeros. Output $(u, v)$ has the row
# $u W' + v$. Which pixel does the kernel's weight $(a, b)$ meet there, and what is the number of this pixel?
#
# </details>
#
# <details><summary>It is right without padding, and wrong with it</summary>
#
# With padding the kernel begins at $(-\text{padding}, -\text{padding})$. Test row **and** column of the pixel: a flat
# number alone does not tell that you have left the image on the right and come in again on the left.
#
# </details>
#
# <details><summary>It is right for one channel or square images only</summary>
#
# Pixel $(row, column)$ of channel $c$ has the number $(c H + row) W + column$. Look for a place where you used $H$
# for $W$, or the size of the output for that of the input.
#
# </details>
#
# <details><summary>I lose my way in the flat numbers</summary>
#
# You need none: make a tensor of zeros with six dimensions `(O, H', W', C, H, W)`, fill it, and reshape it at the end.
#
# </details>

# %%
kernel = torch.arange(1.0, 10).view(1, 1, 3, 3)  # w1 to w9 are the numbers 1 to 9
plotting.matrices(
    {"your M": conv_matrix(kernel, (3, 3), padding=1)},
    heading="3 x 3 kernel with w1 = 1 ... w9 = 9, on 3 x 3 padded pixels",
    decimals=0,
)

# %% [markdown]
# Compare it with the lecture's matrix: only the fifth row, of the output in the middle, has all nine weights. And the 5
# of $w_5$ stands nine times in it, once in each row and once in each column.

# %% [markdown]
# ## Exercise 4: dropout in a convolution (4 points, difficulty 2 of 5, 10 minutes)
#
# Dropout before a convolution multiplies each input with its own $r_i$: $y = M R x$. So column $i$ of $M$ is multiplied
# with $r_i$, as in the dense layer. The difference is that a weight stands in many columns.
#
# **Write** `conv_dropout_matrix`. You may use `convolution.conv_matrix(weight, input_size, padding=padding)`.
# **Shapes:** `weight` is `(O, C, kh, kw)`, `keep` is bool with the shape of the input, `(C, H, W)`, `True` where
# $r_i = 1$. The result is `(O*H'*W', C*H*W)`.
#
# **For example**, the kernel $(w_1\ w_2)$ on three pixels, of which the middle one is dropped, gives
# $\begin{pmatrix} w_1 & 0 & 0 \\ 0 & 0 & w_2 \end{pmatrix}$: both weights are still there, each in another row.


# %% nbgrader={"grade_id": "conv_dropout_matrix", "solution": true}
def conv_dropout_matrix(weight: Tensor, keep: Tensor, padding: int = 0) -> Tensor:
    """Return M R, the matrix of a convolution in which some inputs are dropped.

    weight: kernels (O, C, kh, kw).
    keep: the diagonal of R in the shape of the input, bool (C, H, W), True where the input is kept.
    padding: zeros on each side of the image.
    Returns (O*H'*W', C*H*W), in the dtype of `weight`.
    """
    ### BEGIN SOLUTION
    matrix = convolution.conv_matrix(weight, tuple(keep.shape[1:]), padding=padding)
    return matrix @ torch.diag(keep.flatten().to(weight.dtype))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_conv_dropout_matrix", "grade": true, "locked": true, "points": 4}
unit["conv_dropout_matrix"].check(conv_dropout_matrix)
### BEGIN HIDDEN TESTS
unit["conv_dropout_matrix"].check(conv_dropout_matrix, seed=23)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Where are $H$ and $W$ of the input to be had, if only `weight` and `keep` are given? And in which order do the columns
# of $M$ go through the entries of `keep`?
#
# </details>
#
# <details><summary>The check says that I emptied rows</summary>
#
# A row is an output, and outputs are not dropped here. Write down the shapes of $M$ and of `keep.flatten()`.
#
# </details>

# %%
r = torch.tensor([[[True, False, True], [True, True, False], [False, True, True]]])
plotting.matrices(
    {"r": r[0].float(), "your M R": conv_dropout_matrix(kernel, r, padding=1)},
    heading="x2, x6 and x7 are dropped: three columns are empty, and all nine weights are left",
    decimals=0,
)

# %% [markdown]
# Three of nine columns are empty, and still each of the weights 1 to 9 stands somewhere. In a dense layer the weights
# of three columns would be gone.

# %% [markdown]
# ## Exercise 5: what takes w5 out? (2 points, difficulty 2 of 5, 5 minutes)
#
# A shared weight gets a gradient from every place where it stands in $M R$:
#
# $$\frac{\partial E}{\partial w_5} = \sum_{i} \frac{\partial E}{\partial y_i}\, r_i\, x_i .$$
#
# The sum runs over all inputs that $w_5$, the middle of the padded $3 \times 3$ kernel on $3 \times 3$ pixels, meets.
#
# **Decide**: which of the inputs $x_1, \dots, x_9$ have to be dropped, at the least, so that $w_5$ gets no gradient,
# whatever the numbers of the image and of the gradients are?
#
# **For example**, with the kernel $(w_1\ w_2)$ on three pixels $w_1$ stands in the columns of $x_1$ and $x_2$, so
# `{"x1", "x2"}` have to be dropped to leave $w_1$ without a gradient.
#
# **Shape:** a set of names out of `"x1"`, ..., `"x9"`.


# %% nbgrader={"grade_id": "w5_without_gradient", "solution": true}
def w5_without_gradient() -> set[str]:
    """Return the smallest set of inputs that must be dropped so that w5 gets no gradient."""
    ### BEGIN SOLUTION
    return {"x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_w5_without_gradient", "grade": true, "locked": true, "points": 2}
unit["w5_without_gradient"].check(w5_without_gradient)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Look for the fives in the picture of exercise 3. In which columns do they stand?
#
# </details>
#
# <details><summary>How can a weight be trained if most of the image is dropped?</summary>
#
# The terms are added up. One term that is left is enough for a gradient: a smaller one, but not zero.
#
# </details>

# %%
dropped = torch.tensor([f"x{i}" in w5_without_gradient() for i in range(1, 10)]).expand(9, 9)
matrix = convolution.conv_matrix(kernel, (3, 3), padding=1).int()
left = (matrix == 5) & ~dropped
title = "M R, with what you drop"
plotting.symbol_matrices(
    {title: [[f"w_{k}" if k else "0" for k in row] for row in matrix.tolist()]},
    framed={title: left},
    dropped={title: dropped},
    heading=f"w5 is left in {int(left.sum())} places",
)

# %% [markdown]
# The lecture's source says that $w_5$ is updated "regardless of our choice on which r to set to 0". You have found the
# one exception. (A gradient of 0 has two other reasons as well: inputs that are kept, but 0, and terms
# that cancel out.)

# %% [markdown]
# ## Exercise 6: counting masks by hand (3 points, difficulty 3 of 5, 10 minutes)
#
# Each of $r_1, \dots, r_9$ can be 0 or 1, which makes $2^9 = 512$ choices. $w_5$ is in the middle of the kernel. The
# weights at its rim meet fewer inputs: over the border there is only padding.
#
# **Count**, for $w_5$, for $w_2$ (above the middle) and for $w_1$ (above, left): in how many of the 512 choices does
# this weight get no gradient, whatever the numbers are? It is still the padded $3 \times 3$ kernel on $3 \times 3$
# pixels.
#
# **For example**, with the kernel $(w_1\ w_2)$ on three pixels, without padding, $w_1$ gets none if $x_1$ and $x_2$ are
# dropped; $x_3$ may be kept or not: 2 of 8 choices.
#
# **Shape:** three numbers, for $w_5$, $w_2$, $w_1$.


# %% nbgrader={"grade_id": "masks_without_gradient", "solution": true}
def masks_without_gradient() -> tuple[int, int, int]:
    """Return in how many of the 512 choices of r the weights w5, w2 and w1 get no gradient."""
    ### BEGIN SOLUTION
    return 2 ** (9 - 9), 2 ** (9 - 6), 2 ** (9 - 4)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_masks_without_gradient", "grade": true, "locked": true, "points": 3}
unit["masks_without_gradient"].check(masks_without_gradient)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# How many inputs does the weight meet? Count the columns in which it stands, in the picture of exercise 3.
#
# </details>
#
# <details><summary>I know how many inputs it meets. And now?</summary>
#
# All of these must be dropped: one choice. The others do not matter to this weight: two choices for each of them.
#
# </details>

# %%
counted = dict(zip(("w5", "w2", "w1"), masks_without_gradient(), strict=True))
lines = ["| weight | choices without a gradient, as you say | share of the 512 |", "| --- | ---: | ---: |"]
lines += [f"| {name} | {number} | {100 * number / 512:.1f} % |" for name, number in counted.items()]
display(Markdown("\n".join(lines)))

# %% [markdown]
# With $p = 0.5$ each choice is as likely as the next, so the share is also the probability. On a real image of 32 x 32
# pixels a weight meets about a thousand inputs: it practically always gets a gradient.

# %% [markdown]
# ## Exercise 7: weights without a gradient (4 points, difficulty 3 of 5, 20 minutes)
#
# Now for any kernel, image and choice. A weight of the kernel gets no gradient, whatever the numbers are, if **all**
# inputs that it meets are dropped (or if it meets none).
#
# **Write** `weights_without_gradient`. **Shapes:** `keep` is bool `(C, H, W)`, `kernel_size` is `(kh, kw)`, and
# `padding` zeros stand on all sides. The result is bool `(C, kh, kw)`, `True` for the weights without a gradient. Each
# channel has its own weights, and they meet the inputs of this channel alone.
#
# **For example**, a kernel $(w_1\ w_2)$ on three pixels, of which only the first is kept: $w_1$ meets it, $w_2$ meets
# only the second and the third. So the result is `[[[False, True]]]`.
#
# There are several good ways: go through the places of the kernel; or read the columns of $M$ for a kernel of ones; or
# ask autograd for the gradient in a case where nothing can cancel out. You may use
# `convolution.connections(kernel_size, (H, W), padding=padding)`: a dict from each position $(a, b)$ in the kernel to
# the pairs (output $j$, input $i$) that share this weight.


# %% nbgrader={"grade_id": "weights_without_gradient", "solution": true}
def weights_without_gradient(keep: Tensor, kernel_size: tuple[int, int], padding: int = 0) -> Tensor:
    """Return which weights of a kernel get no gradient, because all inputs that they meet are dropped.

    keep: bool (C, H, W), True where the input is kept.
    kernel_size: (kh, kw).
    padding: zeros on each side of the image.
    Returns bool (C, kh, kw), True for the weights without a gradient.
    """
    ### BEGIN SOLUTION
    rows, columns = kernel_size
    padded = functional.pad(keep, (padding, padding, padding, padding), value=False)
    out_height, out_width = padded.shape[1] - rows + 1, padded.shape[2] - columns + 1
    result = torch.zeros(len(keep), rows, columns, dtype=torch.bool)
    for a in range(rows):
        for b in range(columns):
            met = padded[:, a : a + out_height, b : b + out_width]  # all that this weight meets, place by place
            result[:, a, b] = ~met.flatten(1).any(1)
    return result
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_weights_without_gradient", "grade": true, "locked": true, "points": 4}
unit["weights_without_gradient"].check(weights_without_gradient)
### BEGIN HIDDEN TESTS
unit["weights_without_gradient"].check(weights_without_gradient, seed=24)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Take one weight $(a, b)$, one channel, and no padding. The kernel's corner goes through all places $(u, v)$. Which
# part of `keep` does the weight meet on the way? It is a rectangle.
#
# </details>
#
# <details><summary>It is right without padding, and wrong with it</summary>
#
# Padding is zeros: it counts like a dropped input. Can you enlarge `keep` by a rim of `False`?
#
# </details>
#
# <details><summary>My autograd answer is True in too many places, or in too few</summary>
#
# The numbers of the image and of the gradients must not be 0 and must not cancel out: take ones for both.
#
# </details>

# %%
rates = torch.linspace(0.05, 0.95, 19)
masks = torch.rand(19, 400, 1, 3, 3, generator=torch.Generator().manual_seed(7)) >= rates[:, None, None, None, None]
shares = torch.stack([torch.stack([weights_without_gradient(m, (3, 3), 1)[0] for m in of_p]) for of_p in masks])
shares = shares.float().mean(1)
plotting.curves(
    {
        "w1": (rates, shares[:, 0, 0]),
        "p to the power 4": (rates, rates**4),
        "w2": (rates, shares[:, 0, 1]),
        "p to the power 6": (rates, rates**6),
        "w5": (rates, shares[:, 1, 1]),
        "p to the power 9": (rates, rates**9),
    },
    "p, the probability of being dropped",
    "share of 400 masks",
    "How often a weight gets no gradient, as your function says",
)

# %% [markdown]
# A weight that meets $m$ inputs gets no gradient with probability $p^m$: $w_1$ with $p^4$, $w_5$ with $p^9$. At
# $p = 0.4$ that is 2.6 % and 0.03 %, on an image of only nine pixels. (Your shares are of 400 masks: they scatter.)
# What dropout does to a convolution is not to train fewer weights: it multiplies the maps with noise. That is the
# second half of this lab.

# %% [markdown]
# ## Exercise 8: inverted scaling by hand (2 points, difficulty 1 of 5, 10 minutes)
#
# If a share $p$ of the inputs is dropped, the sums of the next layer get smaller. **Inverted dropout** divides what is
# kept by $1 - p$, at training time, and does nothing at all when the network is used:
#
# $$y = \frac{r\,x}{1 - p}, \qquad r = \begin{cases} 0 & \text{with probability } p \\ 1 & \text{with probability }
# 1 - p . \end{cases}$$
#
# **Compute**, for $x = 3$ and $p = 0.25$: the value of $y$ if $x$ is kept; the mean of $y$; the variance of $y$ (both
# over all draws of $r$, not in a sample).
#
# **For example**, for $x = 1$ and $p = 0.5$: $y = 2$ if it is kept; the mean is $0.5 \cdot 0 + 0.5 \cdot 2 = 1$, and
# the variance $0.5 \cdot (0 - 1)^2 + 0.5 \cdot (2 - 1)^2 = 1$.
#
# **Shape:** three numbers.


# %% nbgrader={"grade_id": "scaling_by_hand", "solution": true}
def scaling_by_hand() -> tuple[float, float, float]:
    """Return y if x = 3 is kept, the mean of y and its variance, for p = 0.25, worked by hand."""
    ### BEGIN SOLUTION
    return 4.0, 0.75 * 4.0, 0.25 * (0 - 3.0) ** 2 + 0.75 * (4.0 - 3.0) ** 2
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_scaling_by_hand", "grade": true, "locked": true, "points": 2}
unit["scaling_by_hand"].check(scaling_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write down the two values that $y$ can have, and how likely each is. Then put them into the sums of the example.
#
# </details>
#
# <details><summary>My mean is not 3</summary>
#
# Then what is kept is not enlarged by the right factor. The mean must stay what $x$ is: this is what the factor is for.
#
# </details>

# %%
kept_value, mean_value, variance = scaling_by_hand()
drawn = course_dropout.dropout(torch.full((20_000,), 3.0), 0.25, torch.Generator().manual_seed(8))
lines = ["| | by hand | in 20,000 draws |", "| --- | ---: | ---: |"]
lines.append(f"| if kept | {kept_value:.3f} | {drawn.max():.3f} |")
lines.append(f"| mean | {mean_value:.3f} | {drawn.mean():.3f} |")
lines.append(f"| variance | {variance:.3f} | {drawn.var():.3f} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The right column is drawn and not computed: it comes close to the left one, and never quite there.

# %% [markdown]
# ## Exercise 9: dropout of units (5 points, difficulty 2 of 5, 15 minutes)
#
# **Write** `dropout`: every number of `inputs` gets its own $r$, independently of all others, and becomes
# $r\,x / (1 - p)$.
#
# **Shapes:** `inputs` has any shape, and so has the result, in the same dtype. `p`, in [0, 1), is the probability of
# being **dropped**. Draw with `generator`: `torch.rand(shape, generator=generator)` gives uniform numbers in [0, 1),
# also when it is `None`. The same generator in the same state must give the same answer, and two calls with one
# generator give different masks: it goes on from call to call. Not exactly the share $p$ is dropped: the number of
# zeros is random, too.
#
# **For example**, `inputs` $= (1, 2, 3)$ with $p = 0.5$ and the draws $r = (1, 0, 1)$ give $(2, 0, 6)$.


# %% nbgrader={"grade_id": "dropout", "solution": true}
def dropout(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Return inverted dropout: each number is dropped with probability p, or else divided by 1 - p.

    inputs: of any shape; they must not be changed.
    p: the probability of being dropped, in [0, 1).
    generator: draws the masks.
    Returns the shape and the dtype of `inputs`.
    """
    ### BEGIN SOLUTION
    chances = torch.rand(inputs.shape, generator=generator)
    return torch.where(chances < p, torch.zeros_like(inputs), inputs / (1 - p))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_dropout", "grade": true, "locked": true, "points": 5}
unit["dropout"].check(dropout)
### BEGIN HIDDEN TESTS
unit["dropout"].check(dropout, seed=25)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to draw something that is 1 with probability 1 - p</summary>
#
# A number that is uniform in [0, 1) is less than $p$ with probability $p$.
#
# </details>
#
# <details><summary>My zeros are others than my neighbour's</summary>
#
# That is as it should be, unless you draw with the same generator in the same order. The check looks at the share of
# zeros, at mean and variance, and at whether images and units are dropped independently.
#
# </details>
#
# <details><summary>The check says that I drew from the global random state</summary>
#
# `torch.rand_like`, `torch.nn.functional.dropout` and `Tensor.bernoulli` without a generator use torch's global random
# state. `torch.rand(inputs.shape, generator=generator)` does not, nor does `torch.bernoulli` with a generator.
#
# </details>
#
# <details><summary>The check says that my function changed the inputs in place</summary>
#
# `inputs[mask] = 0` and `inputs *= ...` write into the tensor of the caller. Make a new one.
#
# </details>

# %%
sheet = torch.ones(24, 24)
noisy = {p: dropout(sheet, p, torch.Generator().manual_seed(9)) for p in (0.1, 0.5, 0.8)}
plotting.heatmap_grid(
    torch.stack(list(noisy.values())),
    titles=[f"p = {p}: {100 * (sheet == 0).float().mean():.0f} % zeros" for p, sheet in noisy.items()],
    heading="Your dropout of a map of ones",
    label="value",
)

# %% [markdown]
# The more is dropped, the larger is what is left: the mean of each sheet is about 1.

# %% [markdown]
# ## Exercise 10: spatial dropout (3 points, difficulty 2 of 5, 10 minutes)
#
# Neighbouring numbers of a feature map are much alike. If one is dropped, the next ones still say the same. **Spatial
# dropout** (`nn.Dropout2d` in PyTorch) drops whole maps: one $r$ for each map of each image, for all its positions.
#
# **Write** `spatial_dropout`. **Shapes:** `(N, C, H, W)` in, `(N, C, H, W)` out; `N * C` independent numbers $r$ are
# drawn. What is kept is divided by $1 - p$, as before.
#
# **For example**, two maps $\begin{pmatrix} 1 & 2 \end{pmatrix}$ and $\begin{pmatrix} 3 & 4 \end{pmatrix}$ of one
# image, with $p = 0.5$ and $r = (0, 1)$, give $\begin{pmatrix} 0 & 0 \end{pmatrix}$ and
# $\begin{pmatrix} 6 & 8 \end{pmatrix}$.


# %% nbgrader={"grade_id": "spatial_dropout", "solution": true}
def spatial_dropout(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Return inverted dropout of whole maps: each map is dropped with probability p, or else divided by 1 - p.

    inputs: maps (N, C, H, W); they must not be changed.
    p: the probability of being dropped, in [0, 1).
    generator: draws the masks.
    Returns (N, C, H, W), in the dtype of `inputs`.
    """
    ### BEGIN SOLUTION
    n_images, channels = inputs.shape[:2]
    kept = torch.rand((n_images, channels), generator=generator) >= p
    factors = kept.to(inputs.dtype) / (1 - p)
    return torch.einsum("nchw,nc->nchw", inputs, factors)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_spatial_dropout", "grade": true, "locked": true, "points": 3}
unit["spatial_dropout"].check(spatial_dropout)
### BEGIN HIDDEN TESTS
unit["spatial_dropout"].check(spatial_dropout, seed=26)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# How many random numbers do you need? One for each map. Which shape lines up with `(N, C, H, W)` so that each map is
# multiplied with its own number?
#
# </details>
#
# <details><summary>The check says that all images lose the same maps</summary>
#
# A mask of shape `(C, 1, 1)` is the same for all images of the batch. Each image draws its own.
#
# </details>

# %%
picture = zoo.sample(1, seed=4, classes=["zebra"]).images
with torch.no_grad():
    maps = models.load("zoo-dropout")[:2](picture)  # the first layer: convolution and ReLU
maps = maps[:, maps[0].std((1, 2)).argsort(descending=True)[:6]]  # the six in which most happens
rows = {
    "maps": maps[0],
    "dropout": course_dropout.dropout(maps, 0.5, torch.Generator().manual_seed(5))[0],
    "spatial": spatial_dropout(maps, 0.5, torch.Generator().manual_seed(20))[0],
}
plotting.heatmap_grid(
    torch.cat(list(rows.values())),
    titles=[f"{name}, {k}" for name in rows for k in range(6)],
    columns=6,
    heading="Six maps, your spatial dropout of them below, p = 0.5",
    label="activation",
    quantile=0.995,
)

# %% [markdown]
# In the second row the zebra is speckled, but still there in every map. In the third row whole maps are gone.

# %% [markdown]
# ## Exercise 11: mean and deviation by hand (2 points, difficulty 1 of 5, 5 minutes)
#
# When a network is used, dropout is switched off. **Monte Carlo dropout** leaves it on: the same image is shown $n$
# times, each time with other units dropped, and the $n$ answers $p_1, \dots, p_n$ are summed up by
#
# $$\bar p = \frac 1 n \sum_{s} p_s, \qquad \sigma = \sqrt{\frac 1 n \sum_{s} (p_s - \bar p)^2} .$$
#
# **Compute** both for three answers, in which the probability of "zebra" was 0.9, 0.6 and 0.3.
#
# **For example**, the two answers 0.2 and 0.4 give $\bar p = 0.3$ and $\sigma = \sqrt{(0.01 + 0.01)/2} = 0.1$.
#
# **Shape:** two numbers; $\sigma$ to three digits.


# %% nbgrader={"grade_id": "mc_by_hand", "solution": true}
def mc_by_hand() -> tuple[float, float]:
    """Return mean and standard deviation of 0.9, 0.6 and 0.3, worked by hand."""
    ### BEGIN SOLUTION
    return 0.6, ((0.3**2 + 0 + 0.3**2) / 3) ** 0.5
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_mc_by_hand", "grade": true, "locked": true, "points": 2}
unit["mc_by_hand"].check(mc_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The mean first. Then the three distances from it, their squares, the mean of the squares, the root.
#
# </details>

# %%
mean_value, deviation = mc_by_hand()
values = torch.linspace(0, 1, 201)
height = torch.exp(-0.5 * ((values - mean_value) / deviation) ** 2)
plotting.curves(
    {
        "a bell with your mean and deviation": (values, height),
        **{
            f"answer {answer}": (torch.tensor([answer, answer]), torch.tensor([0.0, 1.0])) for answer in (0.9, 0.6, 0.3)
        },
    },
    "probability of zebra",
    "height of the bell",
    "Your mean and deviation, and the three answers",
)

# %% [markdown]
# The bell should have its top at the middle answer, and the two others about where it has fallen to half. A network
# that always answers 0.6 has the same mean, and no deviation: it is undecided in itself, which another number shows,
# the entropy of exercise 13. This one changes its mind with the units that are dropped.

# %% [markdown]
# ## Exercise 12: Monte Carlo dropout (6 points, difficulty 4 of 5, 40 minutes)
#
# **Write** `mc_dropout`. In each of `n_samples` samples the dropout layers of the network are active, with new masks
# for every image: `nn.Dropout` drops single numbers whatever it gets, `nn.Dropout2d` whole maps, each with its own
# `layer.p`, also where they stand inside of other layers (`model.modules()` finds all). All else stays in evaluation
# mode: batch norm uses its running statistics. In each sample the scores become probabilities (softmax over
# the classes). Return their mean and their standard deviation over the samples.
#
# **Shapes:** `inputs` is `(N, C, H, W)`, the network gives scores `(N, K)`, the result is a tuple of two tensors
# `(N, K)` in the dtype of the scores, without a gradient. Dividing by $n$ or by $n - 1$ is both fine.
#
# All random numbers come from `generator`, which goes on from sample to sample and from call to call. The network
# must be left as it was, also when it raises an error; it may have hooks of its own, so take off only yours. An
# `nn.Dropout` in evaluation mode hands on its input, and in train mode it draws from torch's **global** random state.
# There are two ways out:
#
# - leave the layers in evaluation mode, and hang a forward hook on each: `layer.register_forward_hook(f)` calls
#   `f(layer, inputs, output)`, and what `f` returns takes the place of the output (`inputs` is a tuple). Use
#   `course_dropout.dropout` and `course_dropout.spatial_dropout` in it;
# - or switch the dropout layers to train mode inside of `with torch.random.fork_rng():`, which puts the global state
#   back, and set the seed there with a number that you draw from `generator`.
#
# **For example**, if two samples give one image the scores $(0, \ln 9)$ and $(0, 0)$, the probabilities are
# $(0.1, 0.9)$ and $(0.5, 0.5)$, the mean is $(0.3, 0.7)$ and the deviation $(0.2, 0.2)$. (The mean of the scores would
# give $(0.25, 0.75)$: the order matters.)


# %% nbgrader={"grade_id": "mc_dropout", "solution": true}
def mc_dropout(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the class probabilities with the dropout layers active.

    model: images (N, C, H, W) to class scores (N, K), in evaluation mode; it must be left as it was.
    inputs: images (N, C, H, W); they must not be changed.
    n_samples: number of samples.
    generator: draws the masks.
    Returns (mean, std), each (N, K).
    """
    ### BEGIN SOLUTION

    def drop(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        method = course_dropout.spatial_dropout if isinstance(layer, nn.Dropout2d) else course_dropout.dropout
        return method(arguments[0], layer.p, generator)

    hooks = [
        layer.register_forward_hook(drop) for layer in model.modules() if isinstance(layer, (nn.Dropout, nn.Dropout2d))
    ]
    try:
        with torch.no_grad():
            samples = [model(inputs).softmax(dim=1) for _ in range(n_samples)]
    finally:
        for hook in hooks:
            hook.remove()
    probabilities = torch.stack(samples)
    return probabilities.mean(dim=0), probabilities.std(dim=0, correction=0)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_mc_dropout", "grade": true, "locked": true, "points": 6}
unit["mc_dropout"].check(mc_dropout)
### BEGIN HIDDEN TESTS
unit["mc_dropout"].check(mc_dropout, seed=27)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Forget the dropout at first: write the loop that calls the network `n_samples` times, collects the probabilities and
# stacks them. All samples are equal then, and the deviation is 0. Now let the layers drop.
#
# </details>
#
# <details><summary>The check says that batch norm is in train mode</summary>
#
# `model.train()` switches all layers. Switch those that are an `nn.Dropout` or an `nn.Dropout2d`, one by one.
#
# </details>
#
# <details><summary>The check says that a layer is in another mode, or that a hook is left</summary>
#
# Put it back in a `finally:`, which is run also when the network raises an error.
#
# </details>
#
# <details><summary>The check says that I drew from the global random state</summary>
#
# A dropout layer in train mode does. See the two ways out above.
#
# </details>
#
# <details><summary>The same generator gives me another answer each time</summary>
#
# Inside of `torch.random.fork_rng()` the global state goes on from where it was, until you set it:
# `torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))`.
#
# </details>

# %%
network = models.load("zoo-dropout")
shown = zoo.sample(3, seed=38).images
stranger = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
shown = torch.cat([shown, stranger])
mean, std = mc_dropout(network, shown, n_samples=30, generator=torch.Generator().manual_seed(12))
best = mean.argmax(1)
plotting.image_grid(
    shown,
    titles=[f"{zoo.CLASSES[k]}: {mean[n, k]:.2f} ± {std[n, k]:.2f}" for n, k in enumerate(best)],
    heading="What the network says, and how far its samples are apart",
)

# %% [markdown]
# The last image is noise. The network has to give it a class, too, but with a low mean: its samples do not agree.

# %% [markdown]
# ## Your functions and torch's
#
# From here on each of your functions is used if it passes its check, and otherwise the one of `course_utils` is; the
# list says which.

# %%
network = models.load("zoo-dropout")  # a fresh copy: an earlier try may have left its hooks on the old one
chosen, whose = {}, {}
for name in ("dense_dropout", "conv_matrix", "conv_dropout_matrix", "dropout", "spatial_dropout", "mc_dropout"):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name] = getattr(convolution if name == "conv_matrix" else course_dropout, name)
        whose[name] = "course_utils"
    print(f"{name:>20}: {whose[name]}")

# %% [markdown]
# First the matrices, against `torch.nn.functional.conv2d`, which never builds one:

# %%
generator = torch.Generator().manual_seed(3)
kernels, image = torch.randn(4, 3, 3, 3, generator=generator), torch.rand(3, 9, 7, generator=generator)
keep = torch.rand(3, 9, 7, generator=generator) < 0.5
by_torch = functional.conv2d((image * keep)[None], kernels, padding=1).flatten()
by_matrix = chosen["conv_dropout_matrix"](kernels, keep, padding=1) @ image.flatten()
difference = (by_matrix - by_torch).abs().max()
print(f"conv_dropout_matrix ({whose['conv_dropout_matrix']}): largest difference {difference:.1e}")

# %% [markdown]
# Then the noise. Two random results never agree number by number, so compare their laws:

# %%
ones = torch.ones(400, 50, 4, 4)
with torch.random.fork_rng():
    torch.manual_seed(0)
    of_torch = {"dropout": functional.dropout(ones, 0.3), "spatial_dropout": functional.dropout2d(ones, 0.3)}
lines = ["| | whose | share of zeros | mean | variance | variance of a map's mean |", "| --- | --- | " + "---: | " * 4]
for name, theirs in of_torch.items():
    ours = chosen[name](ones, 0.3, torch.Generator().manual_seed(1))
    for owner, values in ((whose[name], ours), ("torch", theirs)):
        numbers = ((values == 0).float().mean(), values.mean(), values.var(), values.mean((2, 3)).var())
        lines.append(f"| {name} | {owner} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Share, mean and variance are the same for both kinds, $p$, 1 and $p / (1 - p) = 0.43$. They differ in the last column:
# the mean of a map of 16 numbers hardly moves if they are dropped one by one, and moves as much as one number if they
# are dropped together.
#
# And Monte Carlo dropout against a loop over torch's own layers:

# %%
twelve = zoo.sample(12, seed=31).images
mean, std = chosen["mc_dropout"](network, twelve, n_samples=100, generator=torch.Generator().manual_seed(2))
with torch.random.fork_rng(), torch.no_grad():
    torch.manual_seed(3)
    for layer in network:
        layer.train(isinstance(layer, (nn.Dropout, nn.Dropout2d)))
    loop = torch.stack([network(twelve).softmax(1) for _ in range(100)])
    network.eval()
error = (std**2 + loop.var(0)).sqrt() / 100**0.5  # what two means of 100 samples differ by
print(f"mc_dropout ({whose['mc_dropout']}): the two means differ by {((mean - loop.mean(0)) / error).abs().mean():.2f}")
print("standard errors on the average (0.8 is what chance alone does)")

# %% [markdown]
# ## Your doubt and the truth
#
# Is the network less sure of what it has never seen? On the zoo this can be tried, because everything can be drawn:
#
# - **clean** images, like those of the training;
# - **noise**: every number of the image uniform in [0, 1];
# - **mixtures**: the mean of two images of different classes;
# - **unknown coat**: animals whose coat is a fine chequerboard, which no image of the training had;
# - **no object**: scenes from which the object was left out;
# - **stripes alone**: an image full of stripes.
#
# And there are four ways to put the doubt into one number, for each image:
#
# - **deviation**: $\sigma$ of the class with the highest mean, from `mc_dropout`;
# - **entropy** of the mean, $-\sum_k \bar p_k \ln \bar p_k$, from `mc_dropout`: 0 if one class has all, $\ln 10 = 2.3$
#   if all are equal;
# - **information**: the entropy of the mean, minus the mean entropy of the samples. It is 0 where all samples say the
#   same, however undecided, and large where each sample is sure of something else;
# - **1 − largest softmax** of the network in evaluation mode: no dropout at all. This is the control.

# %%
n_images, seed = 40, models.TEST_SEED + 21
clean, others = zoo.sample(n_images, seed), zoo.sample(3 * n_images, seed + 1)
partners = [next(i for i in range(k, 3 * n_images) if others.labels[i] != clean.labels[k]) for k in range(n_images)]
animals = zoo.sample(n_images, seed + 2, classes=list(zoo.COATS))
rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
fine = 0.1 + 0.8 * ((rows // 2 + columns // 2) % 2)
kinds = {
    "clean": clean.images,
    "noise": torch.rand(n_images, 3, 64, 64, generator=torch.Generator().manual_seed(4)),
    "mixtures": (clean.images + others.images[partners]) / 2,
    "unknown coat": torch.where(animals.mask("object")[:, None], fine.expand_as(animals.images), animals.images),
    "no object": zoo.sample(n_images, seed, without="object").images,
    "stripes alone": zoo.concept("stripes", n_images, seed),
}

doubts = {"deviation": {}, "entropy": {}, "information": {}, "1 − largest softmax": {}}
said = {}
for kind, pictures in kinds.items():
    mean, std = chosen["mc_dropout"](network, pictures, n_samples=30, generator=torch.Generator().manual_seed(5))
    samples = course_dropout.mc_probabilities(network, pictures, 20, torch.Generator().manual_seed(6))
    with torch.no_grad():
        plain = network(pictures).softmax(1)
    doubts["deviation"][kind] = std.gather(1, mean.argmax(1, keepdim=True))[:, 0]
    doubts["entropy"][kind] = torch.special.entr(mean).sum(1)
    doubts["information"][kind] = course_dropout.mutual_information(samples)
    doubts["1 − largest softmax"][kind] = 1 - plain.amax(1)
    said[kind] = zoo.CLASSES[mean.argmax(1).mode().values]

plotting.image_grid(
    torch.stack([pictures[3] for pictures in kinds.values()]),
    titles=[kind if kind in ("clean", "mixtures") else f"{kind}, mostly {name!r}" for kind, name in said.items()],
    columns=6,
    heading="One image of each kind, and the class that most of this kind get",
)

# %%
plotting.distributions(
    doubts,
    "doubt (entropy and information in nats)",
    heading="Four doubts, 40 images of each kind (dashed: the median of the clean images)",
    reference="clean",
)

# %% [markdown]
# To compare doubts of different units, ask how well each tells a kind from clean images: draw one of each, and count
# how often the doubt is larger on the unusual one. 1 is perfect, 0.5 a guess, and less than 0.5 means that the network
# is surer of the unusual images than of the clean ones. (This is the area under the ROC curve.)

# %%
lines = ["| kind | " + " | ".join(doubts) + " |", "| --- | " + "---: | " * len(doubts)]
for kind in list(kinds)[1:]:
    areas = [(values[kind][:, None] > values["clean"][None]).float().mean().item() for values in doubts.values()]
    lines.append(f"| {kind} | " + " | ".join(f"{area:.2f}" for area in areas) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Three samples of one image without an object, and of a clean one: the largest probabilities of each.

# %%
for kind in ("no object", "clean"):
    for sample in course_dropout.mc_probabilities(network, kinds[kind][:1], 3, torch.Generator().manual_seed(7))[:, 0]:
        largest = sample.topk(3)
        named = zip(largest.indices.tolist(), largest.values.tolist(), strict=True)
        print(f"{kind:>10}: " + ", ".join(f"{zoo.CLASSES[k]} {probability:.2f}" for k, probability in named))

# %% [markdown]
# ## 13. What the doubt sees, and what it does not (8 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "doubts", "task": true, "points": 8}
# Write your answer below, about one page. Use the numbers of the table and of the picture above; you may run more code
# and draw more pictures in new cells. Say for every claim which number it rests on.
#
# 1. **Two doubts that disagree.** For "no object" the deviation and the entropy say opposite things. What do the
#    samples look like there, that both can be right? (The cell above shows three of them.) Which of the two would you
#    show to a user, and why? (3 points)
# 2. **Where it fails.** Name a kind of image for which no doubt in the table works. What does the network say about
#    it, and why can dropping units not help here? (2 points)
# 3. **Is it worth it?** Monte Carlo dropout costs 30 passes in place of one. For which kinds is it better than the
#    control, and for which not? The standard error of an area with 40 images each is about 0.05. (2 points)
# 4. **Dropout in a convolution.** In one or two sentences: what does dropout before a convolution do, if it does not
#    keep weights from being trained? Use a number of exercise 6 or 7. (1 point)
#
# ### BEGIN MARK SCHEME
# The numbers vary a little with the random numbers of the student's own function; accept what the own table shows. The
# areas are about (deviation, entropy, information, control): noise 0.81, 0.99, 0.95, 0.99; mixtures 0.81, 0.92, 0.89,
# 0.89; unknown coat 0.92, 0.99, 0.97, 0.88; no object 0.46, 1.00, 0.77, 1.00; stripes alone 0.24, 0.14, 0.24, 0.08.
#
# **1. (3 points)** One point for the reading: by the entropy all images without an object are less certain than clean
# ones (1.00, about 2.0 nats of at most 2.3), by the deviation they are a guess (0.46). One point for the reason: every
# sample spreads its probability over many classes (the largest is about 0.35 in each sample) and all samples spread it
# alike, so that they hardly differ; the deviation asks whether the samples agree, the entropy whether anybody is sure.
# (The information, 0.77, lies between.) One point for a choice with a reason, e.g. the entropy, because a user wants to
# be warned when nothing is recognised, whatever the cause; or both, because "all are undecided" and "each is sure of
# something else" call for different actions.
#
# **2. (2 points)** One point for stripes alone: all areas are below 0.3, so that the network is surer than on clean
# images; nearly all are called a ball, with a mean probability of about 0.98. One point for the reason: all samples are
# parts of one network that has learned from the same images; where these all say "ball" (a large patch of texture
# without corners) leaving units out changes nothing. Dropout varies the network, not the data; it shows where the
# samples disagree, and does not know what is unusual.
#
# **3. (2 points)** One point: better than the control for the unknown coat (entropy 0.99, information 0.97, against
# 0.88: about two standard errors). One point: not for noise and no object (0.99 and 1.00 both), and the lead for the
# mixtures (0.92 against 0.89) is less than a standard error; for stripes alone neither works. Full points also for who
# argues with another of the doubts, if the numbers carry it.
#
# **4. (1 point)** It multiplies the maps with Bernoulli noise (each number with 0 or 1 / (1 - p)), which the network
# must bear. A number, e.g.: w_5 is without a gradient in 1 of 512 masks, w_1 in 32; or with probability p^9 and p^4.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
