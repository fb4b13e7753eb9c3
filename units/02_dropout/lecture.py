# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 02: Dropout and its relatives
#
# {{colab_badge}}
#
# A network that knows its training images by heart knows little else. Four remedies work in convolutional networks as
# they do in dense ones. The fifth, dropout, does not: its name is misleading there. This unit shows why, with the
# matrix of the convolution in hand. About 110 minutes; lab 02 follows.
#
# **After this unit you can**
#
# - say what L1, L2, augmentation and early stopping do to a shared weight, and use them;
# - write a convolution as a matrix $M$, entry by entry, and dropout as $M R$;
# - prove which dropped sets leave a weight without a gradient, and count them;
# - tell dropout of units, spatial dropout and inverted scaling apart, and say what each does to a map;
# - run a fair comparison of these remedies, read its curves in TensorBoard, and name its error bar;
# - use dropout at prediction time as a measure of uncertainty, and name where that measure fails.
#
# You need: convolution, shared weights and the set $[ji]$ (unit 01).

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Four remedies that work as in dense networks | 15 |
# | 2. Dropout in a dense layer: $y = W R h$ | 10 |
# | 3. A convolution is a matrix | 15 |
# | 4. Dropout in a convolution: $M R$, and what becomes of $w_5$ | 15 |
# | 5. What dropout is there: Bernoulli noise on the maps | 15 |
# | 6. Explore: click units off | 5 |
# | 7. A real training, with an error bar | 15 |
# | 8. Monte Carlo dropout: how sure is the network? | 15 |
# | 9. The same in torch; what to remember | 5 |
#
# The lecture follows the first part of the course slides "Regularization for CNN" (parts 1 to 4): their matrices, their
# symbols, their sentence on $w_5$. Parts 7 and 8 go beyond them. Marks in the text: **Correction** where the slides
# slip, **Beyond the slides** where this lecture adds something on the way.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import copy
import tempfile
import urllib.request
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import sympy  # computing with symbols: torch needs it too, so it is there
import torch
from IPython.display import display
from scipy import stats
from torch import nn
from torch.nn import functional as F

from course_utils import dropout as dr
from course_utils import models, plotting, zoo
from course_utils.convolution import connections, conv_matrix
from course_utils.evaluation import ScoreTable
from course_utils.widgets.dropout import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Four remedies that work as in dense networks
#
# The slides need one line each:
#
# - L2 and L1 work the same way as in a feed-forward network;
# - data augmentation is the same;
# - early stopping is the same;
# - dropout is slightly different. It has not the effect that it has in a feed-forward network.
#
# ### L2 and L1
#
# A penalty on the weights is added to the error $E$:
#
# $$E_{L2} = E + \lambda \sum_w w^2, \qquad E_{L1} = E + \lambda \sum_w |w|$$
#
# Its derivative pulls each weight towards 0: by $2 \lambda w$ with L2 (strongly where $w$ is large, hardly where it is
# small), by $\lambda\, \mathrm{sign}(w)$ with L1 (always with the same force, until the weight *is* 0). Below, both
# act alone on three weights, without any $E$.

# %% slideshow={"slide_type": "fragment"}
lines = {}
pulls = {
    "L2": lambda w: w - 0.02 * 2 * w,  # a step times the derivative of w^2
    "L1": lambda w: torch.sign(w) * (w.abs() - 0.02).clamp(min=0),  # a step times sign(w); it stops at 0
}
for penalty, step in pulls.items():
    path = [torch.tensor([1.0, 0.5, 0.1])]
    for _ in range(60):
        path.append(step(path[-1]))
    for k, start in enumerate(path[0].tolist()):
        lines[f"{penalty}, from {start:g}"] = torch.stack(path)[:, k]
    print(f"{penalty} after 60 steps:", [round(value, 4) for value in path[-1].tolist()])
assert (lines["L2, from 0.1"][-1] > 0) and (lines["L1, from 0.1"][-1] == 0) and (lines["L1, from 1"][-1] == 0)
plotting.curves(lines, "step", "weight", "L2 shrinks by a share, L1 by an amount")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** L2 multiplies every weight by the same number below 1 in each step, so that none becomes 0. L1
# subtracts the same amount from every weight, so that the small ones are 0 soon: L1 gives sparse weights.
#
# > **Beyond the slides:** *The same way* needs one word about shared weights. A kernel weight stands in many
# > connections, but it is **one** weight, and the penalty counts it **once**.

# %% [markdown] slideshow={"slide_type": "subslide"}
# > **Think first:** Somebody penalises the connections instead: the squares of all entries of the convolution's matrix
# > (part 3). A 3x3 kernel runs over a padded 3x3 image. Which of its weights is pulled the most?
#
# <details><summary>Answer</summary>
#
# The derivative of the penalty is $2 \lambda\, n_w w$, where $n_w$ is the number of connections that share $w$, the
# size of the set $[ji]$ of unit 01. The middle weight $w_5$ has 9 of them, the weights at the sides 6, those in the
# corners 4: some of theirs would lead to the padding. The next cell counts.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
kernel = torch.tensor([[1.0, -2.0, 1.0], [3.0, 5.0, -1.0], [-1.0, 2.0, -3.0]], requires_grad=True)
(of_kernel,) = torch.autograd.grad((kernel**2).sum(), kernel)
(of_matrix,) = torch.autograd.grad((conv_matrix(kernel[None, None], (3, 3), padding=1) ** 2).sum(), kernel)
count = torch.tensor([len(pairs) for pairs in connections((3, 3), (3, 3), padding=1).values()]).view(3, 3)
assert torch.equal(of_kernel, 2 * kernel) and torch.equal(of_matrix, 2 * count * kernel)
assert count.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
plotting.matrices({"weights": kernel, "pull of L2, $2w$": of_kernel, "connections of each": count.double()})

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Data augmentation
#
# Show each image in many versions that have the same label. The network below never sees the same zebra twice.


# %% slideshow={"slide_type": "fragment"}
def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift images (N, C, H, W) by up to an eighth of their size, and mirror half of the batches."""
    size = images.shape[-1]
    if torch.rand((), generator=generator) < 0.5:
        images = images.flip(3)
    border = size // 8
    row, column = torch.randint(0, 2 * border + 1, (2,), generator=generator).tolist()
    padded = F.pad(images, (border,) * 4, mode="replicate")
    return padded[:, :, row : row + size, column : column + size]


zebra = zoo.sample(1, seed=4, classes=["zebra"]).images
generator = torch.Generator().manual_seed(0)
versions = torch.cat([zebra, *(augment(zebra, generator) for _ in range(5))])
assert all(not torch.equal(version, zebra[0]) for version in versions[1:])
plotting.image_grid(versions, ["as drawn", *(f"version {k}" for k in range(1, 6))])

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** six pictures, one label. An augmentation says what does **not** matter for the class. Say only what
# is true: a mirrored zebra is a zebra, a 6 on its head is a 9, and a zebra without contrast is a horse.
#
# > **Think first:** A convolution follows shifts by itself (unit 01). Why show it shifted images at all?
#
# <details><summary>Answer</summary>
#
# The maps follow the shift, but the dense layer behind them does not: it has a weight of its own for each place of the
# map. A network that ends in a global average pool needs shifted images less. Mirroring is another matter: a
# convolution does not follow it, unless its kernels are symmetric.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Early stopping
#
# Hold some images back (the *validation* images), watch the error on them while you train, and keep the weights of the
# moment when it was lowest. It costs nothing but the images. Part 7 does it, and reports on a third set, the *test*
# images: the validation error at its own minimum is too good to be true, for you picked the minimum.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. Dropout in a dense layer
#
# Nine units $h_1, \dots, h_9$, nine outputs, no bias:
#
# $$y = W h, \qquad
# y = \begin{bmatrix} w_{11} & w_{21} & \cdots & w_{91} \\ w_{12} & w_{22} & \cdots & w_{92} \\
# \vdots & \vdots & \ddots & \vdots \\ w_{19} & w_{29} & \cdots & w_{99} \end{bmatrix}
# \begin{bmatrix} h_1 \\ h_2 \\ \vdots \\ h_9 \end{bmatrix}$$
#
# > **Note:** Read the indices with care. In these slides $w_{ij}$ leads **from** unit $i$ **to** unit $j$, so that
# > $w_{91}$ stands in row 1, column 9. Unit 01 writes $w_{ji}$ with the goal first, as most books do. We keep the
# > slides' order in this part.
#
# > **Correction:** One of the slides ends the vector with $h_0$. It is $h_9$; there is no bias in this example.
#
# Now **introduce a Boolean diagonal matrix** $R$, with $r_i = 1$ if unit $i$ is kept and 0 if it is dropped:
#
# $$y = W R h$$
#
# Entry by entry, with symbols:


# %% slideshow={"slide_type": "fragment"}
def entries(matrix: sympy.Matrix) -> list[list[str]]:
    """The entries of a matrix of symbols as texts, such as "r_1 w_11"."""
    return [
        [" ".join(sorted(str(factor) for factor in entry.as_ordered_factors())) for entry in matrix.row(row)]
        for row in range(matrix.rows)
    ]


W = sympy.Matrix(9, 9, lambda j, i: sympy.Symbol(f"w_{i + 1}{j + 1}"))  # row j, column i: from i to j
r = sympy.symbols("r_1:10")
h = sympy.Matrix(sympy.symbols("h_1:10"))
R = sympy.diag(*r)

WR = W * R
assert all(WR[j, i] == r[i] * W[j, i] for j, i in product(range(9), repeat=2))
assert WR * h == W * (R * h)  # to drop columns of W is to drop units of h
display(plotting.symbol_matrices({"$W R$": entries(WR), "$h$": entries(h)}, heading="Each unit has its column"))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** $r_i$ stands in all nine entries of column $i$ and nowhere else.
#
# Take $r_1 = 1$ and $r_i = 0$ for $i = 2, 3, \dots, 9$:

# %% slideshow={"slide_type": "subslide"}
alone = dict(zip(r, [1] + [0] * 8, strict=True))
only_first = WR.subs(alone)
expected = [[f"w_1{j}"] + ["0"] * 8 for j in range(1, 10)]  # as printed on the slide
assert entries(only_first) == expected

weight = torch.randn(9, 9, generator=torch.Generator().manual_seed(1))
keep = torch.tensor([True] + [False] * 8)
assert torch.equal(dr.dense_dropout(weight, keep), weight * torch.eye(9)[0])

hidden = torch.randn(9, generator=torch.Generator().manual_seed(2))
weight.requires_grad_()
error = (weight @ (keep * hidden)).square().sum()
(dE_dW,) = torch.autograd.grad(error, weight)
assert (dE_dW[:, 0] != 0).all() and (dE_dW[:, 1:] == 0).all()

dropped = torch.ones(9, 9).index_fill(1, torch.tensor(0), 0)
plotting.symbol_matrices(
    {"$W R$ with $r_1 = 1$ alone": entries(only_first), "$h$": entries(h)},
    dropped={"$W R$ with $r_1 = 1$ alone": dropped, "$h$": dropped[0][:, None]},
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** 72 of the 81 weights are gone. They are also gone for the *backward* pass: the derivative is
#
# $$\frac{\partial E}{\partial w_{ij}} = \frac{\partial E}{\partial y_j}\, r_i h_i$$
#
# (from $i$, to $j$), so that the column of a dropped unit has the gradient 0 (the cell asserts it with autograd). In
# this step a **thinner network** is trained: one without these units and without their weights. In the next step it is
# another one. This is what the name says, and why it works: no unit can rely on one other unit being there.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. A convolution is a matrix
#
# Before we can put an $R$ behind a convolution, we need its matrix. The slides' first example:
#
# $$\begin{bmatrix} w_1 & w_2 \\ w_3 & w_4 \end{bmatrix} *
# \begin{bmatrix} x_1 & x_2 & x_3 \\ x_4 & x_5 & x_6 \\ x_7 & x_8 & x_9 \end{bmatrix}$$
#
# We do not take the matrix from the slide. We write down the four outputs, from the definition, with symbols; the entry
# of $M$ in row $j$ and column $i$ is then the derivative of $y_j$ by $x_i$.


# %% slideshow={"slide_type": "fragment"}
def convolve(kernel: sympy.Matrix, image: sympy.Matrix, padding: int) -> sympy.Matrix:
    """The outputs of a convolution (as networks have it, without flipping the kernel), as one column."""
    padded = sympy.zeros(image.rows + 2 * padding, image.cols + 2 * padding)
    padded[padding : padding + image.rows, padding : padding + image.cols] = image
    places = product(range(padded.rows - kernel.rows + 1), range(padded.cols - kernel.cols + 1))
    offsets = list(product(range(kernel.rows), range(kernel.cols)))
    return sympy.Matrix([sum(kernel[a, b] * padded[u + a, v + b] for a, b in offsets) for u, v in places])


x = sympy.Matrix(3, 3, sympy.symbols("x_1:10"))
x_column = x.reshape(9, 1)
small_kernel = sympy.Matrix(2, 2, sympy.symbols("w_1:5"))
y = convolve(small_kernel, x, padding=0)
for j, output in enumerate(y, 1):
    print(f"y_{j} =", output)
M_small = y.jacobian(x_column)

PRINTED = """
w_1 w_2 0   w_3 w_4 0   0   0   0
0   w_1 w_2 0   w_3 w_4 0   0   0
0   0   0   w_1 w_2 0   w_3 w_4 0
0   0   0   0   w_1 w_2 0   w_3 w_4
"""
assert entries(M_small) == [line.split() for line in PRINTED.strip().splitlines()]
assert sympy.expand(M_small * x_column) == y

numbers = torch.randn(2, 2, generator=generator)
values = dict(zip(small_kernel, numbers.flatten().tolist(), strict=True))
in_numbers = torch.tensor(M_small.subs(values).tolist(), dtype=torch.float32)
assert torch.equal(in_numbers, conv_matrix(numbers[None, None], (3, 3)))
plotting.symbol_matrices(
    {"$M$": entries(M_small), "$x$": entries(x_column), "$y$": [[f"y_{j}"] for j in range(1, 5)]}, signs=["", "="]
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** one row for each place of the kernel, one column for each pixel. The four weights stand in every row,
# each time further to the right. Where a row ends in the image, the pattern makes a jump: from row 2 to row 3 it moves
# by two columns. All that is 0 is a connection that a dense layer would have.
#
# > **Correction:** On the slide the vector begins with $x_2$: it has eight entries, for a matrix of nine columns. The
# > vector is $(x_1, x_2, \dots, x_9)$.

# %% slideshow={"slide_type": "fragment"}
try:
    M_small * x_column[1:, :]
except sympy.matrices.exceptions.ShapeError as refused:
    print("sympy:", refused)
else:
    raise AssertionError("a matrix of nine columns times a vector of eight entries")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The padded example
#
# With a border of zeros the output has the size of the image, and the matrix is square, as in part 2. A row of $M$ has
# no entry for the padding: there is no neuron, and so no connection.

# %% slideshow={"slide_type": "fragment"}
kernel = sympy.Matrix(3, 3, sympy.symbols("w_1:10"))
y = convolve(kernel, x, padding=1)
print("y_1 =", y[0])
print("y_5 =", y[4])
M = y.jacobian(x_column)

PRINTED = """
w_5 w_6 0   w_8 w_9 0   0   0   0
w_4 w_5 w_6 w_7 w_8 w_9 0   0   0
0   w_4 w_5 0   w_7 w_8 0   0   0
w_2 w_3 0   w_5 w_6 0   w_8 w_9 0
w_1 w_2 w_3 w_4 w_5 w_6 w_7 w_8 w_9
0   w_1 w_2 0   w_4 w_5 0   w_7 w_8
0   0   0   w_2 w_3 0   w_5 w_6 0
0   0   0   w_1 w_2 w_3 w_4 w_5 w_6
0   0   0   0   w_1 w_2 0   w_4 w_5
"""
assert entries(M) == [line.split() for line in PRINTED.strip().splitlines()]
assert sympy.expand(M * x_column) == y

numbers = torch.randn(3, 3, generator=generator)
values = dict(zip(kernel, numbers.flatten().tolist(), strict=True))
in_numbers = torch.tensor(M.subs(values).tolist(), dtype=torch.float32)
assert torch.equal(in_numbers, conv_matrix(numbers[None, None], (3, 3), padding=1))

is_w5 = torch.tensor([[name == "w_5" for name in row] for row in entries(M)])
assert sum(entry != 0 for entry in M) == 49 and torch.equal(is_w5, torch.eye(9, dtype=torch.bool))
plotting.symbol_matrices({"$M$": entries(M), "$x$": entries(x_column)}, framed={"$M$": is_w5})

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** row 5, the middle of the image, has all nine weights in order; the rows of the corners have four. The
# middle weight $w_5$ (framed) fills the diagonal. In all there are 49 connections, and 9 weights.
#
# > **Think first:** Row 3 begins 0, $w_4$, $w_5$, 0, $w_7$. Why is the fourth entry 0, between two weights?
#
# <details><summary>Answer</summary>
#
# Row 3 is the output in the upper right corner. The right neighbour of $x_3$ is padding, not $x_4$, which stands at the
# other side of the image one line below. The matrix numbers the pixels in one line, the image has two directions.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. Dropout in a convolution
#
# The same $R$, behind the convolution's matrix: $y = M R x$. The slides write it out entry by entry.

# %% slideshow={"slide_type": "fragment"}
display(
    plotting.symbol_matrices({"$M$": entries(M), "$R$": entries(R), "$x$": entries(x_column)}, heading="$y = M R x$")
)
MR = M * R
PRINTED = """
r_1w_5 r_2w_6 0      r_4w_8 r_5w_9 0      0      0      0
r_1w_4 r_2w_5 r_3w_6 r_4w_7 r_5w_8 r_6w_9 0      0      0
0      r_2w_4 r_3w_5 0      r_5w_7 r_6w_8 0      0      0
r_1w_2 r_2w_3 0      r_4w_5 r_5w_6 0      r_7w_8 r_8w_9 0
r_1w_1 r_2w_2 r_3w_3 r_4w_4 r_5w_5 r_6w_6 r_7w_7 r_8w_8 r_9w_9
0      r_2w_1 r_3w_2 0      r_5w_4 r_6w_5 0      r_8w_7 r_9w_8
0      0      0      r_4w_2 r_5w_3 0      r_7w_5 r_8w_6 0
0      0      0      r_4w_1 r_5w_2 r_6w_3 r_7w_4 r_8w_5 r_9w_6
0      0      0      0      r_5w_1 r_6w_2 0      r_8w_4 r_9w_5
"""
assert [[entry.replace(" ", "") for entry in row] for row in entries(MR)] == [
    line.split() for line in PRINTED.strip().splitlines()
]
for kept in product([True, False], repeat=9):  # the package's function, for every choice
    mask = torch.tensor(kept)
    assert torch.equal(dr.conv_dropout_matrix(numbers[None, None], mask.view(1, 3, 3), padding=1), in_numbers * mask)
plotting.symbol_matrices(
    {"$M R$": entries(MR), "$x$": entries(x_column)}, framed={"$M R$": is_w5}, heading="All the terms with $w_5$"
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** again $r_i$ stands in column $i$ and nowhere else. But look at the weights: $w_5$ stands in **nine**
# columns. To take it out, all nine $r_i$ must be 0.
#
# The derivative is the sum over the set of connections that share the weight (unit 01), each with its $r$:
#
# $$\frac{\partial E}{\partial w} = \sum_{[ji]} \frac{\partial E}{\partial y_j}\, r_i x_i,
# \qquad\text{for example}\qquad
# \frac{\partial E}{\partial w_5} = \sum_{i=1}^{9} \frac{\partial E}{\partial y_i}\, r_i x_i,
# \qquad
# \frac{\partial E}{\partial w_1} = \sum_{i \in \{1, 2, 4, 5\}} \frac{\partial E}{\partial y_{i + 4}}\, r_i x_i .$$
#
# In words: $w_5$ looks at every pixel, $w_1$ only at the four pixels that have a lower right neighbour.

# %% slideshow={"slide_type": "fragment"}
g = sympy.Matrix(sympy.symbols("g_1:10"))  # g_j = dE/dy_j, whatever E is
E = (g.T * MR * x_column)[0]
by_w = [sympy.expand(sympy.diff(E, w)) for w in kernel]
assert by_w[4] == sum(g[i] * r[i] * x[i] for i in range(9))
assert by_w[0] == sum(g[i + 4] * r[i] * x[i] for i in (0, 1, 3, 4))
print("dE/dw_1 =", by_w[0])
print("dE/dw_5 =", by_w[4])

# %% [markdown] slideshow={"slide_type": "subslide"}
# > **Think first:** The slides say: *"Regardless of our choice on which r to set to 0, $w_5$ will be updated in the
# > backpropagation step."* Is it true for each of the $2^9 = 512$ choices? And is it true for $w_1$?
#
# All of them, by autograd, with random numbers for image and error:

# %% slideshow={"slide_type": "fragment"}
generator = torch.Generator().manual_seed(2)
image, output_gradient = torch.randn(2, 1, 1, 3, 3, generator=generator, dtype=torch.float64)
masks = torch.tensor(list(product([False, True], repeat=9))).view(512, 1, 3, 3)
has_gradient = []
for mask in masks:
    weight = torch.randn(1, 1, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    error = (output_gradient * F.conv2d(mask * image, weight, padding=1)).sum()
    (dE_dw,) = torch.autograd.grad(error, weight)
    has_gradient.append(dE_dw[0, 0] != 0)
    assert torch.equal(dE_dw[0] == 0, dr.weights_without_gradient(mask, 3, padding=1))
without = 512 - torch.stack(has_gradient).sum(0)
assert without.tolist() == [[32, 8, 32], [8, 1, 8], [32, 8, 32]]
[exception] = [mask for mask, has in zip(masks, has_gradient, strict=True) if not has[1, 1]]
assert not exception.any()
share = {f"p = {p:g}": torch.tensor([[p**4, p**6, p**4], [p**6, p**9, p**6], [p**4, p**6, p**4]]) for p in (0.5, 0.2)}
plotting.matrices(
    {
        "masks of 512 without gradient": without.double(),
        **{f"%, with {name}": 100 * table for name, table in share.items()},
    },
    "How often a weight gets no gradient",
    decimals=5,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** $w_5$ loses its gradient in 1 of 512 masks, the weights at the sides in $2^3 = 8$ (all six pixels
# that they look at must be dropped, the other three are free), those in the corners in $2^5 = 32$.
#
# > **Correction:** *Regardless of our choice* has one exception: if **all** units are dropped, $w_5$ gets no gradient.
# > With $p = 1/2$ that happens once in 512 steps. And it is special to $w_5$: a weight in a corner is left out once in
# > 16 steps. On real maps the sentence holds for every weight: with $32 \times 32$ pixels and $p = 1/2$, a weight is
# > left out with probability $2^{-961}$ or less.
#
# > **Note:** *Gets no gradient* and *is not updated* are not quite the same. With momentum, Adam or weight decay an
# > optimiser moves a weight also in a step in which its gradient is 0.

# %% slideshow={"slide_type": "fragment"}
fewest = min(len(pairs) for pairs in connections(3, (32, 32), padding=1).values())
assert fewest == 31 * 31 == 961
# A weight reads each pixel at most once, so this many pixels must all be dropped.
print(f"on 32 x 32 pixels a weight has at least {fewest} connections; 2^-{fewest} = {sympy.Float(2, 3) ** -fewest:.1e}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. What dropout is there: Bernoulli noise on the maps
#
# | | a dense layer, $W R h$ | a convolution, $M R x$ |
# | --- | --- | --- |
# | $r_i = 0$ takes out | a unit **and its weights** | a number of the map; every weight stays |
# | what is trained in this step | a thinner network | the **same** network, on a noisy map |
#
# Since $M R x = M (R x)$, all that is left of dropout is this: **the map is multiplied by Bernoulli noise**. That is
# what the slides mean by *"the name is misleading"*.
#
# ### The noise, and inverted scaling
#
# Each $r$ is 1 with probability $1 - p$. So the mean of $r x$ is $(1 - p)\, x$: a network trained with dropout would
# see larger numbers when nothing is dropped any more. There are two ways out: multiply by $1 - p$ when the network is
# used (as in the first paper), or divide by $1 - p$ when it is trained. The second is **inverted dropout**, which every
# library does:
#
# $$\tilde{x} = \frac{r\, x}{1 - p}, \qquad \mathbb{E}[\tilde{x}] = x, \qquad
# \mathrm{Var}[\tilde{x}] = \frac{p}{1 - p}\, x^2$$
#
# In words: right on average, and the noise grows with the value itself. A pixel that is 0 gets none.

# %% slideshow={"slide_type": "fragment"}
generator = torch.Generator().manual_seed(3)
small_map = torch.tensor([[[[0.0, 1.0], [2.0, -3.0]]]]).double()
p, n = 0.25, 40_000
dropped = dr.dropout(small_map.expand(n, -1, -1, -1), p, generator)
mean, variance = dropped.mean(0)[0], dropped.var(0)[0]
expected = p / (1 - p) * small_map[0, 0] ** 2
# The standard error of the mean of n draws is at most sqrt(9 / 3 / n) = 0.009; five of these are a safe margin.
assert (mean - small_map[0, 0]).abs().max() < 0.045 and (variance - expected).abs().max() < 0.1
assert (dropped[:, 0, 0, 0] == 0).all()
print("what one pixel becomes, from x = 2:", sorted({round(v, 4) for v in dropped[:100, 0, 1, 0].tolist()}))
plotting.matrices(
    {"$x$": small_map[0, 0], "mean over 40,000 masks": mean, "variance": variance, "by the formula": expected},
    "Inverted dropout, p = 0.25",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A pixel is not gone when its neighbour is there
#
# Neighbours in a map are much alike. What is dropped here can be read from next door. In **spatial dropout** (Tompson
# et al. 2015) one $r$ is drawn for a whole map: then it is really gone, with all weights that read it.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
drawn = zoo.sample(40, seed=5)
with torch.no_grad():
    maps = net[:3](drawn.images)  # convolution, ReLU, pooling: 16 maps of 32 x 32
generator = torch.Generator().manual_seed(13)
units_dropped, maps_dropped = dr.dropout(maps, 0.5, generator), dr.spatial_dropout(maps, 0.5, generator)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean over the maps of the correlation of their pixels; maps that are constant are left out."""
    a, b = (values.flatten(2) - values.flatten(2).mean(2, keepdim=True) for values in (a, b))
    size = a.norm(dim=2) * b.norm(dim=2)
    return ((a * b).sum(2) / size)[size > 1e-3].mean().item()


neighbours = correlation(maps[..., 1:], maps[..., :-1])
means = [F.avg_pool2d(values, 4) for values in (maps, units_dropped)]
survives = correlation(*means)
gone = (maps_dropped == 0).flatten(2).all(2).float().mean().item()
print(f"correlation of neighbouring pixels in a map:           {neighbours:.2f}")
print(f"means of 4 x 4 pixels, before and after dropout:       {survives:.2f}")
print(f"share of maps that spatial dropout took out as a whole: {gone:.2f}")
assert neighbours > 0.5 and survives > 0.6 and 0.45 < gone < 0.6

lively = maps[0].flatten(1).std(1).argsort(descending=True)[:5]
shown = torch.cat([maps[0, lively], units_dropped[0, lively], maps_dropped[0, lively]])
names = ["as it is", "units", "spatial"]
plotting.heatmap_grid(
    shown,
    [f"{name}, map {k}" for name in names for k in lively.tolist()],
    columns=5,
    heading="Five maps, dropout of units, spatial dropout",
    label="activation",
    quantile=0.99,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** in the second row half of the pixels are gone and you still see each map; so does the next layer,
# whose kernels and pools average over neighbours. In the third row a map is there, twice as bright, or not at all.
#
# > **Think first:** Two maps go into a convolution with a 3x3 kernel for each. Spatial dropout takes the second one.
# > Which of the 18 weights get no gradient?
#
# <details><summary>Answer</summary>
#
# The nine of the second map, all of them, in this step and for this image. In spatial dropout the *map* is the unit,
# and the matrix argument of part 2 is back: drop a unit, and its weights go with it.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
keep = torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]).bool()  # two maps, the second one dropped
lost = dr.weights_without_gradient(keep, 3, padding=1)
assert not lost[0].any() and lost[1].all()
print("weights without a gradient:", lost.flatten(1).sum(1).tolist(), "of 9 and 9")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. Explore: click units off
#
# Each button is one $r_i$. Try: (1) in the padded convolution, how many units can you drop so that all nine weights
# keep a gradient? (2) the smallest dropped set that costs $w_1$ its gradient; (3) the same clicks in the dense layer.
# The line below the picture says what is left. (Where widgets do not run, you see the first picture.)

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% [markdown] slideshow={"slide_type": "fragment"}
# <details><summary>Answers</summary>
#
# (1) Eight: keep $x_5$ alone. It is the one pixel that every weight looks at once. (2) $x_1, x_2, x_4, x_5$. (3) In the
# dense layer every single click costs nine weights theirs.
#
# </details>

# %% slideshow={"slide_type": "skip"}
all_off = {f"r_{i}": False for i in range(1, 10)}
tried = explorer()
tried.set(**all_off | {"r_5": True})
assert "All 9 weights get a gradient" in tried.text
tried.set(**dict.fromkeys(all_off, True) | {f"r_{i}": False for i in (1, 2, 4, 5)})
assert "No gradient for 1 of 9 weights: w_1." in tried.text

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. A real training, with an error bar
#
# > *"So, if you try adding dropout after a convolutional layer and get bad results, don't be disappointed! There
# > doesn't appear that there is a good reason it should provide good results."* (the slides)
#
# Let us try. The four animals of the zoo, 32 x 32 pixels, only 300 images to train on: enough to learn them by heart. A
# small network, three convolutions and two dense layers. Everything that happens, happens to the same images, from the
# same first weights, in the same number of steps. One thing differs: the remedy.
#
# Each remedy is tried twice, each time with other images and other first weights. All runs share the validation and the
# test images.

# %% slideshow={"slide_type": "fragment"}
ANIMALS = ("horse", "zebra", "leopard", "giraffe")
RUNS, EPOCHS, N_TRAINING = 2, 24, 300


def small_animals(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 3, 32, 32), centred on 0, and labels 0 to 3."""
    scenes = zoo.sample(n, seed=seed, classes=ANIMALS)
    images = 8 * (F.avg_pool2d(scenes.images, 2) - 0.5)
    return images.contiguous(memory_format=torch.channels_last), scenes.labels - zoo.CLASSES.index("horse")


def network(units: float, pixels: float, spatial: float) -> nn.Sequential:
    """Three convolutions with pooling, two dense layers; dropout where a probability is not 0."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Dropout(pixels)] if pixels else [nn.Dropout2d(spatial)] if spatial else []
    layers += [nn.Flatten(), nn.Dropout(units), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Dropout(units)]
    return nn.Sequential(*layers, nn.Linear(64, len(ANIMALS))).to(memory_format=torch.channels_last)


def loss_and_accuracy(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> tuple[float, float]:
    """Cross entropy in nats, and the share of right answers; in evaluation mode, so without dropout."""
    images, labels = data
    with torch.no_grad():
        scores = model.eval()(images)
    return F.cross_entropy(scores, labels).item(), (scores.argmax(1) == labels).float().mean().item()


validation, test = small_animals(400, seed=901), small_animals(500, seed=903)
training = [small_animals(N_TRAINING, seed=run) for run in range(RUNS)]
n_parameters = sum(p.numel() for p in network(0, 0, 0).parameters())
print(f"{n_parameters} parameters, {N_TRAINING} training images")
assert n_parameters > 100 * N_TRAINING
plotting.image_grid(training[0][0][:6] / 8 + 0.5, [ANIMALS[label] for label in training[0][1][:6]])

# %% [markdown] slideshow={"slide_type": "subslide"}
# The training itself. Everything is written to event files, which TensorBoard reads.

# %% slideshow={"slide_type": "fragment"}
from torch.utils.tensorboard import SummaryWriter  # noqa: E402

log_folder = tempfile.TemporaryDirectory(prefix="dropout-unit-", ignore_cleanup_errors=True)


def fit(
    remedy: str,
    run: int,
    l2: float = 0.0,
    augmented: bool = False,
    units: float = 0.0,
    pixels: float = 0.0,
    spatial: float = 0.0,
) -> dict[str, list]:
    """Train once; returns the curves, and loss and accuracy on the test images at the end and at the best epoch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run)
        model = network(units, pixels, spatial)
        weights = [p for p in model.parameters() if p.dim() > 1]  # the penalty leaves the biases alone
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
        generator = torch.Generator().manual_seed(run)
        images, labels = training[run]
        curves: dict[str, list] = {"epoch": [], "training": [], "validation": []}
        best = None
        with SummaryWriter(Path(log_folder.name) / remedy.replace(" ", "_") / f"run_{run}") as writer:
            for epoch in range(1, EPOCHS + 1):
                model.train()
                for batch in torch.randperm(N_TRAINING, generator=generator).split(30):
                    seen = augment(images[batch], generator) if augmented else images[batch]
                    error = F.cross_entropy(model(seen), labels[batch])
                    if l2:
                        error = error + l2 * sum(w.square().sum() for w in weights)
                    optimiser.zero_grad()
                    error.backward()
                    optimiser.step()
                if epoch % 3 == 0:
                    curves["epoch"].append(epoch)
                    for name, data in (("training", (images, labels)), ("validation", validation)):
                        measured = loss_and_accuracy(model, data)
                        curves[name].append(measured)
                        writer.add_scalar(f"loss/{name}", measured[0], epoch)
                        writer.add_scalar(f"accuracy/{name}", measured[1], epoch)
                    if best is None or curves["validation"][-1][0] < best[0]:
                        best = curves["validation"][-1][0], epoch, copy.deepcopy(model.state_dict())
        curves["test"] = loss_and_accuracy(model, test)
        model.load_state_dict(best[2])
        return {**curves, "best epoch": best[1], "test at best epoch": loss_and_accuracy(model, test)}


REMEDIES = {
    "nothing": {},
    "L2": {"l2": 3e-3},
    "augmentation": {"augmented": True},
    "dropout before dense layers": {"units": 0.5},
    "dropout after convolutions": {"pixels": 0.2},
    "spatial dropout after convolutions": {"spatial": 0.2},
}
threads = torch.get_num_threads()
torch.set_num_threads(1)  # so small a network is fastest on one thread; and the same sums are added in the same order
results = {remedy: [fit(remedy, run, **settings) for run in range(RUNS)] for remedy, settings in REMEDIES.items()}
torch.set_num_threads(threads)


# %% slideshow={"slide_type": "subslide"}
def loss_curves(remedy: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The loss over the epochs, all runs."""
    epochs = torch.tensor(results[remedy][0]["epoch"])
    return {
        name: (epochs, torch.tensor([[loss for loss, _ in run[name]] for run in results[remedy]]))
        for name in ("training", "validation")
    }


stops = [run["best epoch"] for run in results["nothing"]]
overfitted = loss_curves("nothing")["validation"][1]
# The limits are wide: on another machine the sums are rounded in another way, and the runs go other ways.
assert all(run["training"][-1][1] > 0.95 for run in results["nothing"])  # learnt by heart
assert overfitted[:, -1].mean() > 1.1 * overfitted.min(1).values.mean() and max(stops) < EPOCHS
print("nothing: the validation loss is lowest at the epochs", stops)
plotting.curve_grid(
    {remedy: loss_curves(remedy) for remedy in REMEDIES},
    "epoch",
    "loss (nats)",
    "Mean of the runs; the band goes from the lowest to the highest",
    marks={"nothing": sum(stops) / RUNS},
    limits=(0, 2.2),
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** with nothing done, the training loss goes to 0 and the validation loss turns and rises: the network
# learns its 300 images by heart. The dotted line is where **early stopping** would stop, on the average. The remedies
# keep the two curves closer together, augmentation the most, since the training images are new in every step.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The result

# %% slideshow={"slide_type": "fragment"}
measured = {remedy: [run["test"] for run in runs] for remedy, runs in results.items()}
measured["early stopping (with nothing)"] = [run["test at best epoch"] for run in results["nothing"]]
values = torch.tensor(list(measured.values()), dtype=torch.float64).transpose(1, 2)  # remedy, loss or accuracy, run
table = ScoreTable(tuple(measured), ("test loss (nats)", "test accuracy"), values)
differences = values[:, 1] - values[0, 1]  # of accuracies, run by run: same images, same first weights
standard_errors = differences.std(1) / RUNS**0.5
print(f"{'':36}accuracy, against nothing")
for remedy, mean, error in zip(measured, differences.mean(1), standard_errors, strict=True):
    print(f"{remedy:36}{100 * mean:+5.1f} % points, standard error {100 * error:.1f}")

loss = dict(zip(measured, table.mean[:, 0].tolist(), strict=True))
# No pair of the ten runs below comes near to breaking these two; for the other remedies two runs are too few.
assert loss["augmentation"] < 0.9 * loss["nothing"] and loss["dropout before dense layers"] < loss["nothing"]
# A mean of n differences counts (at 95 %) from this many standard errors on: Student's t with n - 1 degrees of freedom.
needed = {n: float(stats.t.ppf(0.975, n - 1)) for n in (2, 10)}
print({f"{n} runs": round(factor, 1) for n, factor in needed.items()}, "standard errors count")
assert 12.6 < needed[2] < 12.8 and 2.2 < needed[10] < 2.3
plotting.score_chart(table, ["nothing"], {"test accuracy": 0.25}, f"{RUNS} runs each; whiskers: one standard error")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the **loss** tells a clear story: the remedies lower it, augmentation the most. A network that has
# learnt by heart is not only wrong, it is *sure* when it is wrong, and the loss charges for that. The **accuracy**
# tells much less: a few points up or down, and a standard error from two runs is hardly more than a guess. With two
# runs a difference must be more than twelve standard errors to count (at 95 %). They do not decide it. (On another
# machine the sums are rounded in another way, and after some hundred steps the runs differ by a few points.)
#
# So the same comparison was run beforehand with ten runs (set `RUNS = 10` above, and wait two minutes):
#
# | remedy, ten runs | test loss, nats | accuracy against nothing, % points |
# | --- | ---: | ---: |
# | nothing | 1.44 ± 0.10 | |
# | L2 | 0.97 ± 0.05 | +0.6 ± 1.5 |
# | augmentation | 0.60 ± 0.02 | +6.8 ± 1.1 |
# | dropout before dense layers | 0.70 ± 0.04 | +4.8 ± 1.5 |
# | dropout after convolutions | 0.75 ± 0.04 | +2.4 ± 1.2 |
# | spatial dropout after convolutions | 0.94 ± 0.04 | −7.0 ± 2.8 |
# | early stopping (with nothing) | 0.90 ± 0.04 | −7.1 ± 2.0 |
#
# With ten runs 2.3 standard errors count. **The verdict:** every remedy lowers the loss. Augmentation pays in accuracy
# as well, and so does dropout before the dense layers, in a smaller measure. After the convolutions, dropout of pixels
# calms the network too (it *is* noise on the maps), but its gain in accuracy is only two standard errors. On the 500
# images of the trial runs it was +0.6 ± 1.7: the error bar knows the choice of the training images, not that of the
# test images. So it cannot be told from 0. Spatial dropout at this rate costs accuracy: it takes much from a network of
# 8, 16 and 32 maps. The slides' warning holds here. And early stopping *by the loss* stops while the accuracy still
# grows: the network is then less sure of its errors, and makes more of them.
#
# > **Note:** This is one data set, one small network, one strength of each remedy, found with a few trials by hand.
# > In a large network with many maps spatial dropout may pay. What carries over is the *method*: the same images and
# > first weights for all, several runs, test images that decided nothing, an error bar, and a result reported as it
# > came.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### In TensorBoard
#
# What the network wrote while it was trained lies in event files. They can be read by a program:

# %% slideshow={"slide_type": "fragment"}
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

for remedy, run in product(REMEDIES, range(RUNS)):
    events = EventAccumulator(str(Path(log_folder.name) / remedy.replace(" ", "_") / f"run_{run}")).Reload()
    assert set(events.Tags()["scalars"]) == {f"{of}/{on}" for of in ("loss", "accuracy") for on in loss_curves(remedy)}
    for (k, of), on in product(enumerate(("loss", "accuracy")), ("training", "validation")):
        read = [(event.step, event.value) for event in events.Scalars(f"{of}/{on}")]
        assert [step for step, _ in read] == results[remedy][run]["epoch"]
        # An event file holds numbers of 32 bits.
        written = torch.tensor([point[k] for point in results[remedy][run][on]], dtype=torch.float32)
        assert torch.equal(torch.tensor([value for _, value in read], dtype=torch.float32), written)
print("read back from the event files:", len(REMEDIES) * RUNS, "runs, every number as it was measured")

# %% [markdown] slideshow={"slide_type": "fragment"}
# And they can be looked at. The next cell starts TensorBoard as a part of this notebook's own process, so that it ends
# when the notebook does, and shows it below. Open *Scalars*, pick `loss/validation`, and tick one run of each remedy.
#
# In a notebook of your own two lines do the same, `%load_ext tensorboard` and `%tensorboard --logdir FOLDER`, and in a
# terminal `tensorboard --logdir FOLDER`. Both start a program that goes on until you end it.

# %% slideshow={"slide_type": "fragment"}
from tensorboard import notebook, program  # noqa: E402

server = program.TensorBoard()
# port=0: any free one. reload_interval=0: the files are read once, for the training is over.
server.configure(logdir=log_folder.name, port=0, load_fast="false", reload_interval=0)
try:
    address = server.launch()
except program.TensorBoardServerException as error:
    address = None
    print(f"TensorBoard did not start here ({error}). The figures above show the same.")
else:
    notebook.display(port=urlsplit(address).port, height=600)

# %% slideshow={"slide_type": "skip"}
if address:
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(f"{address}data/logdir", timeout=10) as answer:
            assert Path(log_folder.name).name in answer.read().decode()
        print("TensorBoard answers at", address)
    except OSError as error:
        print(f"TensorBoard was started, but does not answer ({error}). The figures above show the same.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. Monte Carlo dropout: how sure is the network?
#
# **Beyond the slides** (another course document names it as its next step: *introduction of uncertainty*). A softmax of
# 0.99 is no promise: the network was never taught what it does not know. Gal and Ghahramani (2016) had an idea that
# costs nothing: **leave dropout on when you use the network**. Each pass draws new masks, so each pass asks another
# network. Where they agree, the answer is supported by the data; where they quarrel, it is not.
#
# With $S$ passes that give the probabilities $p_1, \dots, p_S$ over the classes, and $\bar{p}$ their mean, one can look
# at three numbers:
#
# | measure | formula | what it says |
# | --- | --- | --- |
# | standard deviation | of $p_s(\text{top class})$ over $s$ | how much the winner's probability wavers |
# | predictive entropy | $H(\bar{p}) = -\sum_k \bar{p}_k \log \bar{p}_k$ | how undecided they are *together* |
# | mutual information | $H(\bar{p}) - \frac{1}{S} \sum_s H(p_s)$ | how much they *disagree with each other* |
#
# Entropies are in nats: 0 for one certain class, $\log 10 \approx 2.30$ for ten equal ones.

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Think first:** Two networks and two classes. Case A: both say (0.5, 0.5). Case B: one says (1, 0), the other (0,
# > 1). What are the three measures?
#
# <details><summary>Answer</summary>
#
# The mean is (0.5, 0.5) in both cases, so the predictive entropy is $\log 2 \approx 0.69$ both times. In case A they
# agree that the image is ambiguous: standard deviation 0, mutual information 0. In case B they quarrel: standard
# deviation 0.5, mutual information 0.69.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
cases = {"A": ([[0.5, 0.5], [0.5, 0.5]], (0.0, 0.69, 0.0)), "B": ([[1.0, 0.0], [0.0, 1.0]], (0.5, 0.69, 0.69))}
for case, (networks, expected) in cases.items():
    said = torch.tensor(networks)[:, None]  # samples, images, classes
    entropy, information = dr.predictive_entropy(said).item(), dr.mutual_information(said).item()
    spread = said.std(0, correction=0)[0, 0].item()
    print(f"case {case}: standard deviation {spread:.2f}, entropy {entropy:.2f}, mutual information {information:.2f}")
    assert (round(spread, 2), round(entropy, 2), round(information, 2)) == expected

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Images that the network knows, and images that it does not
#
# The network `zoo-dropout` is `zoo` with spatial dropout (p = 0.1) on its maps and dropout of units (p = 0.3) before
# both dense layers; it puts about 99 % of new images into their class. We ask it about images like those that it was
# trained on, and about images that have **no** right answer:
#
# - *noise*: every pixel drawn at random;
# - *mixtures*: two images of different classes, laid over each other half and half;
# - *unseen coats*: the animals' silhouette with a texture that no animal has: coloured noise, and a checkerboard much
#   finer than a giraffe's;
# - *no object*: the background alone;
# - *stripes all over*: a texture that it knows, but without any outline.

# %% slideshow={"slide_type": "fragment"}
N_IMAGES, N_SAMPLES = 40, 20
uncertain = models.load("zoo-dropout").to(memory_format=torch.channels_last)  # the quicker order on a CPU
generator = torch.Generator().manual_seed(4)
seed = models.TEST_SEED  # images from here on were in no training
clean, others = (zoo.sample(2 * N_IMAGES, seed=seed + k) for k in (7, 8))
differ = (clean.labels != others.labels).nonzero()[:N_IMAGES, 0]
horses = zoo.sample(N_IMAGES, seed=seed + 14, classes=["zebra"], texture="plain")
silhouette = horses.mask("object")[:, None]
rows = torch.arange(64)
fine_checks = 0.1 + 0.8 * ((rows[:, None] // 2 + rows // 2) % 2).float()
questions = {
    "clean": clean.images[:N_IMAGES],
    "noise": torch.rand(N_IMAGES, 3, 64, 64, generator=generator),
    "mixtures": (clean.images[differ] + others.images[differ]) / 2,
    "coat of noise": torch.where(silhouette, torch.rand(N_IMAGES, 3, 64, 64, generator=generator), horses.images),
    "fine checks": torch.where(silhouette, fine_checks, horses.images),
    "no object": zoo.sample(N_IMAGES, seed=seed + 15, without="object").images,
    "stripes all over": zoo.concept("stripes", N_IMAGES, seed=9),
}
plotting.image_grid(
    torch.stack([images[k] for k in (0, 1) for images in questions.values()]), list(questions) * 2, columns=7
)

# %% slideshow={"slide_type": "subslide"}
asked = {
    name: dr.mc_probabilities(uncertain, images, N_SAMPLES, torch.Generator().manual_seed(42))
    for name, images in questions.items()
}


def wavering(probabilities: torch.Tensor) -> torch.Tensor:
    """Standard deviation of the probability of the class that is first on average, (N,)."""
    top = probabilities.mean(0).argmax(1, keepdim=True)
    return probabilities.std(0, correction=0).gather(1, top)[:, 0]


mean, std = dr.mc_dropout(uncertain, questions["clean"], N_SAMPLES, torch.Generator().manual_seed(42))
assert torch.allclose(mean, asked["clean"].mean(0)) and torch.allclose(std, asked["clean"].std(0, correction=0))
right = (mean.argmax(1) == clean.labels[:N_IMAGES]).double().mean().item()
print(f"right on the clean images: {right:.0%}")
assert right > 0.9

measures = {
    "standard deviation": {name: wavering(p) for name, p in asked.items()},
    "predictive entropy": {name: dr.predictive_entropy(p) for name, p in asked.items()},
    "mutual information": {name: dr.mutual_information(p) for name, p in asked.items()},
}
plotting.distributions(measures, "uncertainty (entropies in nats)", "40 images each; the line: median", "clean")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** each dot is an image, the box holds the middle half, the bar is the median; the dashed line is the
# median of the clean images. Noise, mixtures and unseen coats lie to the right of it by all three measures: the network
# is more uncertain there, as it should be. The last two rows are another matter.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### In numbers, and against a rival
#
# Take one clean image and one of the others: how often does the measure call the other one more uncertain? (This is the
# area under the ROC curve: 1 is perfect, 0.5 is a coin.) The rival has no dropout at all: one pass, and 1 minus the
# largest softmax.


# %% slideshow={"slide_type": "fragment"}
def how_often_higher(others: torch.Tensor, reference: torch.Tensor) -> float:
    """The share of pairs in which the other one is higher; a tie counts half."""
    above = others[:, None] - reference
    return ((above > 0).double() + 0.5 * (above == 0).double()).mean().item()


with torch.no_grad():
    softmax = {name: 1 - uncertain(images).softmax(1).amax(1) for name, images in questions.items()}
compared = {**measures, "1 - softmax": softmax}
separates = {
    measure: {name: how_often_higher(v, values["clean"]) for name, v in values.items() if name != "clean"}
    for measure, values in compared.items()
}
print(f"{'':18}" + "".join(f"{measure:>20}" for measure in compared))
for name in list(questions)[1:]:
    print(f"{name:18}" + "".join(f"{separates[measure][name]:20.2f}" for measure in compared))

strange = ("noise", "mixtures", "coat of noise", "fine checks")
for measure in measures:  # what was promised: higher on noise, mixtures and unseen textures
    assert min(separates[measure][name] for name in strange) > 0.65, measure
    assert all(measures[measure][name].median() > measures[measure]["clean"].median() for name in strange)
assert min(separates["predictive entropy"][name] for name in strange) > 0.85
assert separates["predictive entropy"]["fine checks"] > separates["1 - softmax"]["fine checks"] + 0.02
assert all(
    abs(separates["predictive entropy"][name] - separates["1 - softmax"][name]) < 0.1 for name in list(questions)[1:]
)
assert separates["predictive entropy"]["no object"] > 0.9 and separates["standard deviation"]["no object"] < 0.6
assert max(separates[measure]["stripes all over"] for measure in compared) < 0.35
[called] = asked["stripes all over"].mean(0).argmax(1).mode().values[None].tolist()
print("stripes all over are mostly called:", zoo.CLASSES[called])
assert zoo.CLASSES[called] == "ball"
table = torch.tensor([[separates[measure][name] for measure in compared] for name in list(questions)[1:]])
plotting.score_chart(
    ScoreTable(tuple(questions)[1:], tuple(compared), table[:, :, None].double()),
    chance=0.5,
    title="How often an image is called more uncertain than a clean one",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see, the good:** noise, mixtures and unseen coats are called more uncertain than clean images by all
# measures, and by the predictive entropy nearly always.
#
# **What to see, the bad:**
#
# - *No object*: the standard deviation is blind. All networks agree that there is nothing, and say so with the same
#   flat probabilities. They do not waver; they are undecided *together*. The entropy sees that. So choose the measure
#   for the question.
# - *Stripes all over*: every measure fails, and by far. The network calls them a ball and is **surer than on clean
#   images**. Dropout draws networks that were trained together on the same images; what none of them ever saw, none of
#   them doubts.
# - *The rival*: the plain softmax of one pass does nearly as well on most of these sets. Monte Carlo dropout is clearly
#   better on the fine checks. It costs 20 passes instead of one.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What the single networks say

# %% slideshow={"slide_type": "fragment"}
chosen = {"clean": 0, "mixtures": 0, "fine checks": 0}
lines = {}
for name, k in chosen.items():
    top = asked[name][:, k].mean(0).argmax().item()
    share = asked[name][:, k, top]
    lines[f"{name}: {zoo.CLASSES[top]}"] = torch.arange(1, N_SAMPLES + 1), share.sort().values
    print(f"{name:12} {zoo.CLASSES[top]:9} from {share.min():.2f} to {share.max():.2f}, mean {share.mean():.2f}")
plotting.curves(lines, "network, sorted by its answer", "probability of the top class", "One image, 20 networks")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the same image, 20 sets of masks. A flat line is a firm opinion, a steep one a quarrel.
#
# > **Beyond the slides:** Gal and Ghahramani show that this is an approximation of a Bayesian neural network: dropout
# > samples from a distribution over weights. How good the approximation is depends on the rate and on where dropout
# > sits, and after a convolution (part 4) a mask takes out no weight at all. That the measures work here is a
# > **measurement**, not a consequence of the theory.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. The same in torch; what to remember
#
# One line each.

# %% slideshow={"slide_type": "fragment"}
x = torch.ones(4, 8, 5, 5)
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    of_units, of_maps = nn.Dropout(0.5)(x), nn.Dropout2d(0.5)(x)  # in training mode; eval() switches both off
assert set(of_units.unique().tolist()) == set(of_maps.unique().tolist()) == {0.0, 2.0}
assert (of_maps.flatten(2).std(2) == 0).all() and (of_units.flatten(2).std(2) > 0).any()
assert torch.equal(nn.Dropout(0.5).eval()(x), x)

weight = nn.Parameter(torch.tensor([1.0, -2.0]))
optimiser = torch.optim.SGD([weight], lr=0.1, weight_decay=0.5)
weight.grad = torch.zeros(2)
optimiser.step()  # weight_decay = 2 lambda: the derivative of lambda w^2 with lambda = 0.25
assert torch.allclose(weight, torch.tensor([1.0, -2.0]) * (1 - 0.1 * 2 * 0.25))
print("nn.Dropout, nn.Dropout2d (whole maps), weight_decay of the optimiser (2 lambda)")

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Note:** With Adam, `weight_decay` and an L2 penalty in the loss are the same thing: both go through Adam's
# > scaling. `AdamW` takes the weight decay out of that scaling, which usually works better and is no longer L2.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. L1, L2, augmentation and early stopping work in convolutional networks as they do elsewhere. A shared weight counts
#    once in the penalty.
# 2. Dropout in a dense layer is $y = W R h$: a dropped unit takes a **column** of weights with it, forward and
#    backward.
# 3. A convolution is a matrix $M$ in which few weights stand in many places, and dropout makes it $M R$.
# 4. A weight gets no gradient only if **all** pixels that it looks at are dropped: $w_5$ in 1 of 512 masks, a weight in
#    a corner in 32. On real maps: never.
# 5. So dropout after a convolution drops no weights. It is Bernoulli noise on the maps. Spatial dropout drops units
#    again: whole maps.
# 6. Libraries divide by $1 - p$ while training, so that nothing must be scaled afterwards.
# 7. In our training augmentation helped most, and dropout before the dense layers; after the convolutions dropout won
#    nothing that could be told from 0, or did harm. Compare with several runs and an error bar, or do not compare.
# 8. Dropout left on at prediction time measures uncertainty: higher on noise, mixtures and unseen coats. It is no alarm
#    for everything: some strange images make the network surer than ever.
#
# **Next:** lab 02 (`labs/02_dropout`). You write `dense_dropout`, `conv_matrix`, `conv_dropout_matrix`, `dropout` and
# `mc_dropout`, and find the dropped set that leaves $w_5$ without a gradient. Unit 03 sends gradients back through max
# pooling.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Corrections to the slides, collected
#
# | part | the slide | this lecture |
# | --- | --- | --- |
# | 2 | the vector of units ends with $h_0$ | it ends with $h_9$ |
# | 3 | the vector of pixels begins with $x_2$ | it begins with $x_1$: nine entries for nine columns |
# | 4 | $w_5$ is updated regardless of which $r$ are 0 | unless all nine are 0: 1 of 512 masks |
#
# The matrices $W$, $W R$, $M$ (both examples) and $M R$ are right as printed; the cells above compute each entry again.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Houlsby, Huszár, Ghahramani, Lengyel: *Bayesian active learning for classification and preference learning.* arXiv
#   2011. (mutual information)
# - Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: *Dropout: a simple way to prevent neural networks from
#   overfitting.* Journal of Machine Learning Research 2014.
# - Tompson, Goroshin, Jain, LeCun, Bregler: *Efficient object localization using convolutional networks.* CVPR 2015.
#   (spatial dropout)
# - Gal, Ghahramani: *Dropout as a Bayesian approximation: representing model uncertainty in deep learning.* ICML 2016.
# - Gal: *Uncertainty in deep learning.* PhD thesis, University of Cambridge 2016.
# - Loshchilov, Hutter: *Decoupled weight decay regularization.* ICLR 2019. (AdamW)

# %% slideshow={"slide_type": "skip"}
# The end: what was written for TensorBoard is removed. (It would be at the end of the notebook's process, too.)
log_folder.cleanup()
assert not Path(log_folder.name).exists()
