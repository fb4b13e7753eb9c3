# %% [markdown]
# # Lab 04: receptive fields (46 points)
#
# {{colab_badge}}
#
# A unit deep inside a network says "stripes". Which pixels can it have looked at? And which of them did it really look
# at? In this lab you write the arithmetic of receptive fields, measure what the arithmetic cannot know, and design
# networks that see exactly as far as they should.
#
# **When you are through, you can**
#
# - work out the receptive field of any stack of convolutions and poolings, with strides, padding and dilation;
# - say which pixels one unit sees, down to their indices, and where its field lies if it hangs over the border;
# - measure an effective receptive field with gradients, and say why it is smaller than the theoretical one;
# - design a network that has a given field without holes, on a budget of weights;
# - say what the size of a field tells about a network, and what it does not.
#
# **Time and points:** about 3½ hours, 46 points: 38 for seven exercises, which are checked as you go, and 8 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the formulas are derived in the [lecture](../../lectures/04_receptive_fields.ipynb). What you
# need of it is said again in each exercise. One exercise needs `torch.autograd.grad`.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. The pyramid by hand | 3 | 1 | 10 |
# | 2. The size of a receptive field | 5 | 2 | 20 |
# | 3. The holes of a dilated kernel | 3 | 1 | 10 |
# | 4. Layer by layer | 7 | 3 | 30 |
# | 5. From one unit down to its pixels | 5 | 2 | 15 |
# | 6. The effective receptive field | 7 | 3 | 40 |
# | 7. Design a network | 8 | 4 | 50 |
# | 8. What does the field decide? | 8 | | 30 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on stacks and networks that it makes up itself, and says one of these:
#
# - `receptive_field: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came, and which numbers are wrong. It never says the right
#   numbers.
#
# Two exercises are worked by hand. There your function takes nothing and returns your numbers. In exercise 7 many
# answers are right: there the check builds your network and runs it.
#
# When the lab is graded, the same check runs once more on other stacks. So do not fit your code to the cases: follow
# the formula. Your function must also leave everything as it was: the lists that it is given, the network, its mode,
# its hooks and its weights; also if the network raises an error. (One trace is let pass: `.backward()` fills the
# `.grad` of the weights, which `torch.autograd.grad` leaves alone.)
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function sees. All exercises go on with `course_utils` where they need another function,
# so that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import copy
import io
import warnings

import torch
import torchvision
from IPython.display import Markdown, display
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from course_utils import exercises, models, plotting, receptive_fields, zoo
from course_utils.receptive_fields import Layer

unit = exercises.load("04_receptive_fields")
model = models.load("zoo")

# %% [markdown]
# ## Layers as four numbers
#
# For the receptive field a convolution or a pooling is nothing but four numbers: kernel size $k$, stride $s$, padding
# $p$ and dilation $d$. In this lab a layer is the tuple `(k, s, p, d)`, and a network is a list of such tuples, from
# the image upwards. What looks at one place only, such as a ReLU, is left out.
#
# - Window number $v$ (the first one is 0) begins at $s v - p$ on the map below: stride $s$ from window to window, and
#   $p$ added pixels in front of the map, which have the indices $-p, \dots, -1$.
# - Its $k$ weights lie $d$ pixels apart: $d = 1$ is an ordinary kernel, $d = 2$ leaves one hole between two weights.
#
# Rows and columns never mix. So we compute along one direction, and the other one goes the same way.
#
# The **zoo** is a drawn data set: 64 x 64 colour images of ten classes. The network `model` tells them apart: four
# times convolution, ReLU and max pooling, then two dense layers. `untrained` is the same network with fresh random
# weights.


# %%
def as_tuples(network: nn.Sequential) -> list[tuple[int, int, int, int]]:
    """Return the convolutions and poolings of a network as tuples (k, s, p, d)."""
    layers = receptive_fields.layers_of(network)
    return [(layer.kernel_size, layer.stride, layer.padding, layer.dilation) for layer in layers]


layers_of_zoo = as_tuples(model[:12])  # all that comes before the dense layers
untrained = copy.deepcopy(model)
with torch.random.fork_rng():
    torch.manual_seed(0)
    for module in untrained:
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
print(layers_of_zoo)

# %%
window = [(3, 2, 1, 1)]
plotting.receptive_pyramid(
    [Layer(*layer) for layer in window], 8, positions=[0, 2], heading="k = 3, s = 2, p = 1, d = 1: windows 0 and 2"
)

# %% [markdown]
# ## Exercise 1: the pyramid by hand (3 points, difficulty 1 of 5, 10 minutes)
#
# The **receptive field** of a unit is the region of the image that it can be affected by.
#
# **Compute** for a row of 10 pixels and three layers on top of each other, each with kernel size 3, stride 1, no
# padding and no dilation: how many pixels are in the field of one unit of layer 1, of layer 2 and of layer 3, and how
# many units has layer 3?
#
# **For example**, with kernel size 2 layer 1 has the field 2 and layer 2 the field 3: two units of layer 1 that lie
# side by side see two pixels each, and share one of them.
#
# **Shape:** four numbers: field in layer 1, field in layer 2, field in layer 3, units of layer 3.


# %% nbgrader={"grade_id": "pyramid", "solution": true}
def pyramid() -> tuple[int, int, int, int]:
    """Return (field in layer 1, in layer 2, in layer 3, number of units of layer 3), worked by hand."""
    ### BEGIN SOLUTION
    return 3, 5, 7, 4  # two pixels more with each layer; 10 - 7 + 1 places for a window of 7
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_pyramid", "grade": true, "locked": true, "points": 3}
unit["pyramid"].check(pyramid)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Draw ten boxes, and eight above them, each above the three boxes that it sees. Then draw the next row.
#
# </details>
#
# <details><summary>My second number is 6 or 9</summary>
#
# A unit of layer 2 sees three units of layer 1, which lie side by side. Write down the indices of the pixels that each
# of the three sees. How many different indices are there?
#
# </details>

# %%
unit["pyramid"].check(pyramid)  # the picture gives the numbers away, so it is drawn when yours are right
plotting.receptive_pyramid([Layer(3)] * 3, 10, positions=[0, 3], heading="The pyramid under two units of layer 3")

# %% [markdown]
# ## Exercise 2: the size of a receptive field (5 points, difficulty 2 of 5, 20 minutes)
#
# With the layers $l = 1, \dots, L$ from the image upwards, the field of a unit of layer $L$ has the size
#
# $$r_0 = 1 + \sum_{l=1}^{L} (k_l - 1)\, d_l \prod_{i=1}^{l-1} s_i .$$
#
# In words: layer $l$ adds the $k_l - 1$ steps between its weights. Each is $d_l$ units of the map below it long, and
# these lie as many pixels apart as all the strides **below** the layer multiply to. The product of no strides is 1.
#
# **Write** `receptive_field`. **Shapes:** a list of tuples `(k, s, p, d)` in (it may be empty), one whole number out.
#
# **For example**, `[(3, 2, 1, 1), (3, 1, 0, 2)]` gives $1 + 2 \cdot 1 + 2 \cdot 2 \cdot 2 = 11$.


# %% nbgrader={"grade_id": "receptive_field", "solution": true}
def receptive_field(layers: list[tuple[int, int, int, int]]) -> int:
    """Return the size r_0 of the receptive field of one unit of the last layer.

    layers: (kernel size, stride, padding, dilation) of each, from the image upwards.
    Returns the size in pixels; 1 if there are no layers.
    """
    ### BEGIN SOLUTION
    field = 1
    for k, s, _, d in reversed(layers):
        # `field` units side by side, s apart, each with a kernel that spans (k - 1) d + 1.
        field = (field - 1) * s + (k - 1) * d + 1
    return field
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_receptive_field", "grade": true, "locked": true, "points": 5}
unit["receptive_field"].check(receptive_field)
### BEGIN HIDDEN TESTS
unit["receptive_field"].check(receptive_field, seed=41)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `for k, s, p, d in layers:` walks from the image upwards. Keep two numbers on the way: the field so far, and the
# product of the strides so far. With which values do they begin, before the first layer?
#
# </details>
#
# <details><summary>It is right without strides, and wrong with them</summary>
#
# In which order do you change your two numbers in the loop? The product for layer $l$ ends with the stride of layer
# $l - 1$.
#
# </details>
#
# <details><summary>Where is the padding in the formula?</summary>
#
# Nowhere. It moves the fields, and makes more of them. How much one unit sees does not change.
#
# </details>

# %%
depths = torch.arange(1, 7)
picture = plotting.curves(
    {
        "kernel 3": (depths, [receptive_field([(3, 1, 1, 1)] * n) for n in depths]),
        "kernel 5": (depths, [receptive_field([(5, 1, 2, 1)] * n) for n in depths]),
        "kernel 3, a stride of 2 in every other layer": (
            depths,
            [receptive_field([(3, 1 + (i % 2), 1, 1) for i in range(n)]) for n in depths],
        ),
        "kernel 3, dilations 1, 2, 4, ... 32": (
            depths,
            [receptive_field([(3, 1, 2**i, 2**i) for i in range(n)]) for n in depths],
        ),
    },
    "number of layers",
    "receptive field [pixels], logarithmic",
    "Your fields",
)
picture.axes[0].set_yscale("log", base=2)
picture.axes[0].yaxis.set_major_formatter("{x:g}")
display(picture)

# %% [markdown]
# Equal layers make the field grow by the same step each time: their curves get flatter and flatter here, where equal
# steps along the axis are equal factors. Strides and growing dilations multiply, and their curves go on as they began.
# That is why nearly every network has one or the other.

# %% [markdown]
# ## Exercise 3: the holes of a dilated kernel (3 points, difficulty 1 of 5, 10 minutes)
#
# A **dilated** kernel has its weights $d$ pixels apart, with holes between them: it spans $d (k - 1) + 1$ pixels with
# no weight more than before. Take a 2 x 2 kernel with $d = 2$, so that there is one hole between two weights, and apply
# it twice, one layer on the other (stride 1, no padding, $d = 2$ in both).
#
# **Compute** the side of the field of a unit of layer 1, the side of the field of a unit of layer 2, and how many
# pixels of the image a unit of layer 2 really reads.
#
# **For example**, a 3 x 3 kernel with $d = 2$ has a field with the side 5, and reads 9 of the 25 pixels in it.
#
# **Shape:** three numbers: side in layer 1, side in layer 2, pixels that a unit of layer 2 reads.


# %% nbgrader={"grade_id": "holes", "solution": true}
def holes() -> tuple[int, int, int]:
    """Return (side of the field in layer 1, in layer 2, pixels read by a unit of layer 2), worked by hand."""
    ### BEGIN SOLUTION
    return 3, 5, 9  # it reads the rows 0, 2, 4 and the columns 0, 2, 4
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_holes", "grade": true, "locked": true, "points": 3}
unit["holes"].check(holes)

# %% [markdown]
# <details><summary>My first number is 4</summary>
#
# Draw one side of the kernel: weight, hole, weight. There is no hole behind the last weight.
#
# </details>
#
# <details><summary>My third number is 16 or 25</summary>
#
# Go down along the rows alone: which rows of layer 1 does the unit read, and which rows of the image do these read?
# Strike out those that come twice. The columns go the same way.
#
# </details>

# %%
unit["holes"].check(holes)  # the picture gives the numbers away, so it is drawn when yours are right
plotting.receptive_pyramid(
    [Layer(2, dilation=2)] * 2, 7, positions=[0, 1], heading="Along the rows: two layers with k = 2 and d = 2"
)

# %% [markdown]
# Two units side by side share no pixel at all: one reads the even rows, the other the odd ones. Equal dilations, layer
# after layer, leave such a grid (**gridding**). Exercise 7 asks for networks without holes.

# %% [markdown]
# ## Exercise 4: layer by layer (7 points, difficulty 3 of 5, 30 minutes)
#
# Four numbers say everything about the fields of a layer: its output size $n$, its **jump** $j$ (how many pixels the
# fields of two neighbouring units lie apart), its field $r$, and the centre $c$ of the field of its first unit. Centres
# are indices into the image: 0 is the middle of the first pixel, 0.5 lies between the first two. The image itself has
# $n$ = `input_size`, $j = 1$, $r = 1$, $c = 0$. A layer $(k, s, p, d)$ makes of them
#
# $$n' = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1, \qquad j' = j\, s,$$
#
# $$r' = r + (k-1)\, d\, j, \qquad c' = c + \left(\frac{(k-1)\, d}{2} - p\right) j .$$
#
# Field and centre grow with the jump $j$ of the map **below** the layer. The padding pulls the first field to the left:
# $c$ may be negative.
#
# **Write** `trace`. **Shapes:** a list of tuples `(k, s, p, d)` and the size of the image in; out comes a list with one
# tuple `(n, j, r, c)` for each layer, in order.
#
# **For example**, `trace([(3, 2, 1, 1), (2, 2, 0, 1)], 32)` is `[(16, 2, 3, 0.0), (8, 4, 5, 1.0)]`.


# %% nbgrader={"grade_id": "trace", "solution": true}
def trace(layers: list[tuple[int, int, int, int]], input_size: int) -> list[tuple[int, int, int, float]]:
    """Return (output size, jump, receptive field, centre of the first field) of each layer.

    layers: (kernel size, stride, padding, dilation) of each, from the image upwards.
    input_size: of the image along this direction, in pixels.
    Returns one tuple a layer; the centre is an index into the image, and may be a half or negative.
    """
    ### BEGIN SOLUTION
    rows = []
    n, jump, first, last = input_size, 1, 0, 0  # the first unit sees the pixels first ... last
    for k, s, p, d in layers:
        span = (k - 1) * d
        n = (n + 2 * p - span - 1) // s + 1
        first, last = first - p * jump, last + (span - p) * jump
        jump *= s
        rows.append((n, jump, last - first + 1, (first + last) / 2))
    return rows
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_trace", "grade": true, "locked": true, "points": 7}
unit["trace"].check(trace)
### BEGIN HIDDEN TESTS
unit["trace"].check(trace, seed=42)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Begin with the four numbers of the image. In the loop compute the four new numbers, append them to a list, and go on
# with them. Compute all the new ones from the old ones before you replace any.
#
# </details>
#
# <details><summary>Field and centre are right in the first layer only</summary>
#
# They grow with the jump of the map below, the old $j$. When do you multiply it with the stride?
#
# </details>
#
# <details><summary>"numbers are not (value 2 of 3, value 4 of 4)"</summary>
#
# The check counts from 1: this is the second row of three, and in it the fourth number, the centre.
#
# </details>
#
# <details><summary>My output size is sometimes too large by one</summary>
#
# In Python `//` rounds down, towards minus infinity. The 1 is taken off before you divide, and another one is added
# after it.
#
# </details>

# %%
kinds = ["convolution", "max pooling"] * 4
lines = [
    "| layer | (k, s, p, d) | output size | jump | field | first centre |",
    "| --- | --- | ---: | ---: | ---: | ---: |",
]
for kind, layer, (n, j, r, c) in zip(kinds, layers_of_zoo, trace(layers_of_zoo, 64), strict=True):
    lines.append(f"| {kind} | {layer} | {n} | {j} | {r} | {c} |")
display(Markdown("The network `zoo`, by your `trace`:\n\n" + "\n".join(lines)))

# %% [markdown]
# An object of the zoo is 25 to 50 pixels large, along its longer side. Up to which layer does no unit see a whole one?
#
# <details><summary>Answer</summary>
#
# Up to the sixth row, the third pooling: its field of 22 pixels is smaller than the smallest object. The units of the
# fourth convolution (38 pixels) see most objects as a whole, and not even those of the last pooling (46) see all.
#
# </details>

# %% [markdown]
# ## Exercise 5: from one unit down to its pixels (5 points, difficulty 2 of 5, 15 minutes)
#
# Unit $v$ of a layer reads the map below it from $s v - p$ to $s v - p + d (k - 1)$. Go down with both ends, layer by
# layer, until you arrive at the image.
#
# **Write** `input_region`. Nothing is clipped: an index that is negative, or beyond the image, lies on the padding.
# **Shapes:** a list of tuples `(k, s, p, d)` and the index of the unit in its map in (0 is the first); out comes
# `(first, last)`, both included.
#
# **For example**, unit 4 behind `[(3, 2, 1, 1)]` sees `(7, 9)`, and unit 0 sees `(-1, 1)`.


# %% nbgrader={"grade_id": "input_region", "solution": true}
def input_region(layers: list[tuple[int, int, int, int]], position: int) -> tuple[int, int]:
    """Return the first and the last pixel that the unit `position` of the last layer sees.

    layers: (kernel size, stride, padding, dilation) of each, from the image upwards.
    position: index of the unit in its map, from 0.
    Returns (first, last), both included, not clipped at the border of the image.
    """
    ### BEGIN SOLUTION
    if not layers:
        return position, position
    *below, (k, s, p, d) = layers
    first_window = s * position - p
    first, _ = input_region(below, first_window)
    _, last = input_region(below, first_window + d * (k - 1))
    return first, last
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_input_region", "grade": true, "locked": true, "points": 5}
unit["input_region"].check(input_region)
### BEGIN HIDDEN TESTS
unit["input_region"].check(input_region, seed=43)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Set `first` and `last` both to `position`. Which layer does this unit belong to? That is where your loop begins:
# `reversed(layers)`.
#
# </details>
#
# <details><summary>It is right for one layer, and wrong for several</summary>
#
# Each step goes from a map to the map below it: `first` with the first weight of a window, `last` with the last weight
# of **its own** window. So both are multiplied with the stride in every layer.
#
# </details>
#
# <details><summary>The region should be as large as the receptive field, and is not</summary>
#
# $\text{last} - \text{first} + 1$ must be the $r_0$ of exercise 2. If it is too small by a little in every layer, look
# at $d (k - 1)$; if it grows with the padding, look at how often you take $p$ off.
#
# </details>

# %%
image = zoo.sample(6, seed=44, classes=["zebra"]).images[3]
regions = {}
for number, position in ((3, 11), (5, 8), (7, 4), (7, 0)):
    first, last = input_region(layers_of_zoo[:number], position)
    regions[f"layer {number}, unit ({position}, {position})"] = ((first, last), (first, last))
plotting.regions_over_image(image, regions, heading="What four units of the network see, by your function")

# %% [markdown]
# The field of a unit at the border hangs over it. It has less of the image to go by than the others: padding with zeros
# is what it sees there.

# %% [markdown]
# ## Exercise 6: the effective receptive field (7 points, difficulty 3 of 5, 40 minutes)
#
# Not all pixels of a field count the same: many ways lead from a unit down to the middle of its field, and only one to
# each corner. Take the unit in the middle of a layer's map, all its channels added up, and call it $y$. The
# **effective** receptive field is the share that each pixel has in moving it:
#
# $$E_{ij} = \frac{e_{ij}}{\sum_{i'j'} e_{i'j'}}, \qquad
# e_{ij} = \frac 1 n \sum_{t=1}^{n} \sum_{k} \left|\frac{\partial y}{\partial I_{kij}}(I_t)\right|,$$
#
# with the colours $k$, and $n$ random images $I_t$ whose numbers are standard normal. The magnitude comes before every
# sum; otherwise positive and negative derivatives would cancel out.
#
# **Write** `effective_receptive_field`. The networks here are an `nn.Sequential`: the layer `"3"` is `model[3]`, and
# the images have `model[0].in_channels` colours. The unit in the middle of a map of $h \times w$ units has the index
# `(h // 2, w // 2)`. Draw the images with `torch.randn(..., generator=generator)`: `n_samples` images in all, each used
# once, and every number of them new. Average first, then divide by the sum: there is one division, at the end.
# **Shapes:** `input_size` is the size `(H, W)` of the images, and the result has the shape `(H, W)`.
#
# Run the network in the mode in which it comes (most come in eval mode), and leave the mode as it is. An error that the
# network raises, say because the images are too small for it, must get through; nothing may be left behind then either.
# So if you use a hook, take it off in a `finally:`, which is run in any case.
#
# **For example**, if the layer is one convolution with a single row of weights $(1, -2, 1)$ and the image is grey, the
# derivatives by the three pixels are $1, -2, 1$ at every image, and their shares are $\frac 1 4, \frac 1 2, \frac 1 4$.


# %% nbgrader={"grade_id": "effective_receptive_field", "solution": true}
def effective_receptive_field(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the share of each pixel in moving the unit in the middle of a layer's map.

    model: images (N, C, H, W) to scores; it must be left as it was.
    layer: name of the layer, "0", "1", ...; it gives maps (N, K, h, w).
    input_size: (H, W) of the images.
    n_samples: number of random images.
    generator: draws them.
    Returns (H, W), not negative, with the sum 1.
    """
    ### BEGIN SOLUTION
    part = model[: int(layer) + 1]
    total = torch.zeros(input_size)
    for _ in range(n_samples):
        image = torch.randn(1, model[0].in_channels, *input_size, generator=generator).requires_grad_()
        maps = part(image)
        signal = torch.zeros_like(maps)
        signal[..., maps.shape[-2] // 2, maps.shape[-1] // 2] = 1  # what is sent back: 1 from the middle, 0 elsewhere
        (gradient,) = torch.autograd.grad(maps, image, signal)
        total += gradient.abs().sum((0, 1))
    return total / total.sum()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_effective_receptive_field", "grade": true, "locked": true, "points": 7}
unit["effective_receptive_field"].check(effective_receptive_field)
### BEGIN HIDDEN TESTS
unit["effective_receptive_field"].check(effective_receptive_field, seed=44)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to get the maps of a layer</summary>
#
# An `nn.Sequential` can be cut like a list: `model[:4]` is the network that ends with the layer `"3"`. Mind that the
# layer itself has to be in it, and that `layer` is a string.
#
# </details>
#
# <details><summary>"One of the differentiated Tensors does not require grad"</summary>
#
# autograd only records what depends on a tensor with `requires_grad`. Switch it on for the random images, before you
# call the network.
#
# </details>
#
# <details><summary>"grad can be implicitly created only for scalar outputs"</summary>
#
# $y$ is one number for each image: pick the middle of the maps, and add up its channels. The images do not share a
# $y$: so you may add up all images as well, and differentiate the sum.
#
# </details>
#
# <details><summary>It is right for linear networks, and wrong for the others</summary>
#
# In a linear network the derivative is the same at every image, so that the images do not matter. In the others they
# do: each has noise of its own, and the magnitude is taken for each of them before the mean.
#
# </details>

# %%
fields = {
    f"{whose}, layer '{layer}'": effective_receptive_field(
        network[:10], layer, (64, 64), n_samples=40, generator=torch.Generator().manual_seed(1)
    )
    for whose, network in (("untrained", untrained), ("trained", model))
    for layer in ("3", "6", "9")
}
sizes = dict(zip(("3", "6", "9"), (8, 18, 38), strict=True))  # theoretical: exercise 4
for name, field in fields.items():
    shares = field.flatten().sort(descending=True).values.cumsum(0)
    half = (int((shares < 0.5).sum()) + 1) ** 0.5
    rows, columns = receptive_fields.spread(field)
    print(
        f"{name:>22}: theoretical {sizes[name[-2]]:2} x {sizes[name[-2]]:2}; half of the weight on as many pixels as "
        f"{half:4.1f} x {half:4.1f} have; standard deviation {rows:.1f} and {columns:.1f} pixels"
    )
frames = []  # the theoretical field of the unit in the middle of each map
for number, middle in ((3, 16), (5, 8), (7, 4)):  # rows of exercise 4, and half of their output size
    first, last = receptive_fields.input_region(layers_of_zoo[:number], middle)
    frame = torch.zeros(64, 64, dtype=torch.bool)
    frame[first : last + 1, first : last + 1] = True
    frames.append(frame[12:60, 12:60])
plotting.heatmap_grid(
    torch.stack([field[12:60, 12:60] / field.max() for field in fields.values()]),
    titles=list(fields),
    masks=torch.stack(frames * 2),
    columns=3,
    heading="Your effective fields in 48 x 48 pixels; framed: theoretical",
    label="share of a pixel, the largest = 1",
)

# %% [markdown]
# Half of a unit's weight lies on a quarter to a third of its field (a little more where it is small): the outer pixels
# are there, and say little. The training has moved the weight about: the deepest field is less even than it was, and
# its outer pixels count less.

# %% [markdown]
# ## Exercise 7: design a network (8 points, difficulty 4 of 5, 50 minutes)
#
# You are to build networks that see a square of exactly `field` x `field` pixels. For each you have a budget.
#
# **Write** `design_network(field, jump, budget)`, which returns a plan: a list with one tuple
# `(kernel size, stride, padding, dilation, maps)` for each convolution, from the image upwards. The check builds the
# network, each convolution with bias and followed by a ReLU, with three colours coming in, and runs it:
#
# 1. **Field:** the unit in the middle of the last map is moved by `field` x `field` pixels, and by **each** of them:
#    there are no holes.
# 2. **Jump:** units side by side have fields that lie `jump` pixels apart, and an image of $n$ x $n$ pixels gives a
#    map of $n / \text{jump}$ x $n / \text{jump}$ units, for every $n \ge$ `field` that `jump` divides. So mind the
#    padding.
# 3. **Width:** each layer has at least 8 maps.
# 4. **Budget:** all weights and biases together are at most `budget`. A convolution from $a$ to $b$ maps has
#    $a\, b\, k^2$ weights and $b$ biases; a kernel that is not square has $a\, b\, k_\text{rows}\, k_\text{columns}$
#    weights.
#
# `jump` is 1, 2 or 4. The fields are chosen so that kernels of 3 with strides of 2 and suitable dilations can do it,
# but any plan that keeps the rules is right. Each entry is a whole number; kernel size, stride, padding and dilation
# may also be a pair `(rows, columns)`. Plans of more than 60 layers, and numbers above 1000, are not built.
#
# **For example**, `design_network(5, 1, 1000)` may return `[(3, 1, 1, 1, 8), (3, 1, 1, 1, 8)]`: its field is 5, and it
# has $3 \cdot 8 \cdot 9 + 8 + 8 \cdot 8 \cdot 9 + 8 = 808$ weights and biases. For `design_network(15, 1, 1531)` seven
# such layers would cost 3728, and one kernel of 15 x 15 would cost 5408.


# %% nbgrader={"grade_id": "design_network", "solution": true}
def design_network(field: int, jump: int, budget: int) -> list[tuple[int, int, int, int, int]]:
    """Return the plan of a network with a given field and jump, and at most `budget` weights and biases.

    field: side of the square of pixels that a unit of the last layer sees, all of them.
    jump: 1, 2 or 4: how far apart the fields of two neighbouring units lie, in pixels.
    budget: the most weights and biases.
    Returns (kernel size, stride, padding, dilation, maps) of each convolution, from the image upwards; 8 maps or more.
    """
    ### BEGIN SOLUTION
    plan, reached, here = [], 1, 1
    while here < jump:  # strides first: from then on each step is longer, and the maps are smaller
        plan.append((3, 2, 1, 1, 8))
        reached += 2 * here
        here *= 2
    dilation = 1
    while reached < field:  # then dilations 1, 2, 4, ...; the last one is what is left over
        dilation = min(dilation, (field - reached) // (2 * here))
        plan.append((3, 1, dilation, dilation, 8))
        reached += 2 * dilation * here
        dilation *= 2
    return plan
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_design_network", "grade": true, "locked": true, "points": 8}
unit["design_network"].check(design_network)
### BEGIN HIDDEN TESTS
unit["design_network"].check(design_network, seed=45)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Take `jump` = 1 first. With kernels of 3 and stride 1 a layer of dilation $d$ adds $2d$ to the field, and needs the
# padding $p = d$ to keep the size. So you need dilations whose sum is (field $-$ 1) / 2. How few can they be?
#
# </details>
#
# <details><summary>There are holes in my field</summary>
#
# A layer of dilation $d$ puts three copies of the field below it side by side, $d \cdot$ jump pixels apart. Sort the
# dilations, small ones first: as long as the field so far has no hole, no hole appears if $d \cdot$ jump is at most its
# size. Before the first layer the field is a single pixel, so that $d = 2$ leaves a hole there.
#
# </details>
#
# <details><summary>It is right for some fields, and too large for others</summary>
#
# 1, 2, 4, ... do not add up to every number. Let the last dilation be what is left over.
#
# </details>
#
# <details><summary>With a jump of 2 or 4 nothing fits</summary>
#
# Begin with layers `(3, 2, 1, 1, 8)`: each halves the map and doubles the jump. What is the field after one of them,
# and after two? From then on a layer of dilation $d$ adds $2 d \cdot$ jump pixels.
#
# </details>

# %%
names, drawn, frames = [], [], []
for field, jump, budget in ((15, 1, 1531), (31, 1, 2174), (27, 2, 2174)):
    plan, colours, layers = design_network(field, jump, budget), 3, []
    for kernel_size, stride, padding, dilation, maps in plan:
        layers += [nn.Conv2d(colours, maps, kernel_size, stride, padding, dilation), nn.ReLU()]
        nn.init.ones_(layers[-2].weight)
        colours = maps
    network = nn.Sequential(*layers).eval()
    ways = receptive_fields.effective_field_of(network, str(len(layers) - 1), torch.ones(1, 3, 64, 64))
    weights = sum(parameter.numel() for parameter in network.parameters())
    names.append(f"field {field}, jump {jump}")
    print(f"{names[-1]}: {len(plan)} layers, {weights} weights and biases, {int((ways > 0).sum())} pixels that count")
    drawn.append(ways[14:50, 14:50] / ways.max())
    middle = 64 // jump // 2
    (top, left), (bottom, right) = receptive_fields.input_region(receptive_fields.layers_of(network), (middle, middle))
    frame = torch.zeros(64, 64, dtype=torch.bool)
    frame[top : bottom + 1, left : right + 1] = True
    frames.append(frame[14:50, 14:50])
plotting.heatmap_grid(
    torch.stack(drawn),
    titles=names,
    masks=torch.stack(frames),
    heading="Ways from each pixel to the middle unit; framed: its field",
    label="ways, the most = 1",
)

# %% [markdown]
# With all weights equal, a pixel counts as many times as there are ways from it to the unit. The field is a square, but
# the ways are not spread evenly: with growing dilations they make a pattern, and the corners count least.

# %% [markdown]
# ## Your functions, torchvision and brute force
#
# From here on each of your functions is used if it passes its check, and otherwise the one of `course_utils` is; the
# list says which.

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have changed the old one
in_the_course = {
    "receptive_field": receptive_fields.receptive_field,
    "trace": lambda layers, input_size: [tuple(row)[1:] for row in receptive_fields.trace(layers, input_size)],
    "input_region": receptive_fields.input_region,
    "effective_receptive_field": receptive_fields.effective_receptive_field,
}
chosen, whose = {}, {}
for name, function in in_the_course.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = function, "course_utils"
    print(f"{name:>26}: {whose[name]}")

# %% [markdown]
# The literature gives 195 pixels for the last maps of AlexNet, and 212 for those of VGG-16 (Araujo, Norris and Sim
# 2019). torchvision builds both networks; we need their layers, and not their weights. The sizes of the maps are
# compared with those that torch itself makes of an image of 224 x 224 pixels.

# %%
lines = ["| network | windows | field | in the literature | jump | output size | of torch |", "| --- " * 7 + "|"]
for name, literature in (("alexnet", 195), ("vgg16", 212)):
    with torch.device("meta"), warnings.catch_warnings():  # a network without numbers: no memory, no download
        warnings.simplefilter("ignore")
        features = torchvision.models.get_model(name, weights=None).features
        made = features(torch.empty(1, 3, 224, 224)).shape[-1]
    windows = as_tuples(features)
    n, jump, _, _ = chosen["trace"](windows, 224)[-1]
    field = chosen["receptive_field"](windows)
    lines.append(f"| {name} | {len(windows)} | {field} | {literature} | {jump} | {n} | {made} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# And brute force needs no formula at all. NaN ("not a number") spoils everything that is computed from it. So we put
# NaN into one column of an image after the other, and look which units become NaN. Your `input_region` is held against
# that, for all units of the third convolution of `zoo`. In the picture the regions of `input_region` are not clipped:
# its lines lie on those of brute force, but at the border, where they go on into the padding.

# %%
part, windows = model[:7].double(), layers_of_zoo[:5]
images = torch.zeros(64, 3, 64, 64, dtype=torch.float64)  # in double precision torch convolves without detours
images[torch.arange(64), :, :, torch.arange(64)] = torch.nan  # NaN in column c of image number c
with torch.no_grad():
    spoiled = part(images).isnan().any(1).any(1)  # (column of the image, column of the map)
found, yours, whole = [], [], []
for position in range(spoiled.shape[1]):
    columns = spoiled[:, position].nonzero().flatten()
    found.append((int(columns[0]), int(columns[-1])))
    first, last = chosen["input_region"](windows, position)
    whole.append((first, last))
    yours.append((max(first, 0), min(last, 63)))  # brute force cannot look outside of the image
print(f"{len(found)} units, {sum(a != b for a, b in zip(found, yours, strict=True))} of them with another region")
numbers = torch.arange(len(found))
plotting.curves(
    {
        "first column, brute force": (numbers, [first for first, _ in found]),
        "last column, brute force": (numbers, [last for _, last in found]),
        "first column, input_region": (numbers, [first for first, _ in whole]),
        "last column, input_region": (numbers, [last for _, last in whole]),
    },
    "unit of the third convolution",
    "column of the image",
    "The first and the last column that a unit sees",
)

# %% [markdown]
# ## What can be read off a layer?
#
# Does a unit need a large field to know what it sees? We take the maps behind each ReLU of the network, and of its
# untrained twin. Of each map we keep two numbers, the mean and the maximum over all its units: what is left is **what**
# was seen within one field, and no longer where. A linear classifier is fitted to these numbers on 800 images, and
# tested on 500 others. In the zoo the four animals share one outline and differ in their coats alone (plain, stripes,
# dots, checks), and the other six classes differ in their shapes alone.

# %%
train, test = zoo.sample(800, seed=45), zoo.sample(500, seed=46)
animals = torch.isin(
    test.labels, torch.tensor([zoo.CLASSES.index(n) for n in ("horse", "zebra", "leopard", "giraffe")])
)


def numbers_of_maps(network: nn.Sequential, images: Tensor) -> dict[int, Tensor]:
    """Return the mean and the maximum of each map behind each of the first four ReLUs: layer -> (N, 2 K)."""
    found = {}
    with torch.no_grad():
        for number, module in enumerate(network[:11]):
            images = module(images)
            if isinstance(module, nn.ReLU):
                found[number] = torch.cat([images.mean((2, 3)), images.amax((2, 3))], dim=1)
    return found


def share(q: float, m: int) -> str:
    """Return the share q of m images with its standard error, as text."""
    return f"{q:.2f} ± {(q * (1 - q) / m) ** 0.5:.2f}"


model = models.load("zoo")
rows = dict(zip((0, 2, 3, 5, 6, 8, 9, 11), chosen["trace"](layers_of_zoo, 64), strict=True))
curves_of_accuracy = {}
lines = [
    "| network | layer | field | effective: half of the weight | coats | shapes |",
    "| --- | --- | ---: | ---: | ---: | ---: |",
]
for whose_network, network in (("trained", model), ("untrained", untrained)):
    known, asked = numbers_of_maps(network, train.images), numbers_of_maps(network, test.images)
    coats, shapes = [], []
    for number in known:
        classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))
        classifier.fit(known[number].numpy(), train.labels.numpy())
        right = torch.from_numpy(classifier.predict(asked[number].numpy())) == test.labels
        coats.append(right[animals].double().mean().item())
        shapes.append(right[~animals].double().mean().item())
        effective = chosen["effective_receptive_field"](
            network[:10], str(number - 1), (64, 64), n_samples=20, generator=torch.Generator().manual_seed(2)
        )
        half = (int((effective.flatten().sort(descending=True).values.cumsum(0) < 0.5).sum()) + 1) ** 0.5
        field = rows[number - 1][2]
        lines.append(
            f"| {whose_network} | '{number}' | {field} x {field} | {half:.1f} x {half:.1f} | "
            f"{share(coats[-1], int(animals.sum()))} | {share(shapes[-1], int((~animals).sum()))} |"
        )
    places = [rows[number - 1][2] for number in known]
    curves_of_accuracy[f"coats, {whose_network}"] = (places, coats)
    curves_of_accuracy[f"shapes, {whose_network}"] = (places, shapes)
curves_of_accuracy["a guess among ten classes"] = (places, [0.1] * len(places))
curves_of_accuracy["a guess among the four animals"] = (places, [0.25] * len(places))
display(Markdown("\n".join(lines)))
plotting.curves(
    curves_of_accuracy,
    "receptive field of the layer [pixels]",
    "share of right classes",
    "What a linear classifier reads",
)

# %% [markdown]
# ## 8. What does the field decide? (8 points, 30 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "what_decides", "task": true, "points": 8}
# Write your answer below, about half a page to a page. Use the numbers of the table and of the chart; you may run more
# code and draw more pictures in new cells. Say for every claim which number it rests on. One share has a standard error
# of about $\sqrt{q (1 - q) / m}$ for a share $q$ of $m$ images; here $m$ is about 200 for the coats and 300 for the
# shapes; it stands behind the ± in the table. Guessing blindly among ten classes gives 0.10, and among the four animals
# alone 0.25.
#
# 1. **Coats and shapes.** At which field can the coats be told, and at which the shapes? Why is it not the same one?
#    Compare with how large a stripe, a dot and an object of the zoo are: the patterns repeat themselves every 5 to 7
#    pixels (a stripe and the gap to the next one; a dot is two thirds of that wide), the objects are 25 to 50 pixels
#    large along their longer side. (2 points)
# 2. **Is it the field?** A friend concludes: "A large field makes a good classifier." Use the untrained network to show
#    that a large field is not enough. Then name two things that grow from layer to layer together with the field, and
#    that could be the reason as well. (3 points)
# 3. **Theoretical and effective.** How large a part of its theoretical field does a unit of the deepest layer live on?
#    Say what that means for the choice of a field: you want a network that recognises objects of 40 pixels. (1 point)
# 4. **An experiment.** Describe how you would find out whether it is the field itself: which networks you would train
#    (exercise 7 helps), what you would keep the same, what you would compare, and which result would prove you wrong.
#    (2 points)
#
# ### BEGIN MARK SCHEME
# The numbers vary a little from machine to machine; accept what the student's own table shows. For the trained network
# they are, for the fields 3, 8, 18 and 38: coats 0.45, 0.72, 0.88, 0.98; shapes 0.08, 0.23, 0.69, 0.92.
#
# **1. (2 points)** One point for reading the table: the coats come first (0.72 at a field of 8, where the shapes have
# 0.23), the shapes follow at 18 and 38. One point for the reason: a coat is a pattern that repeats itself within a few
# pixels (a stripe and its neighbour, a dot), so that one small field shows it; a shape is the outline of a whole object
# of 25 to 50 pixels, or a part of it such as a handle, which needs a field of that size. (With mean and maximum over
# the map no other unit can tell where the parts lie.)
#
# **2. (3 points)** One point for the untrained network: the same fields, and at 38 pixels only 0.33 and 0.24, for the
# coats not more than at 3 pixels (0.35; the standard error is about 0.03). One point for each of two things that grow
# as well: the depth (number of nonlinearities), the number of channels and so of numbers that the classifier gets (32
# at the first layer, 128 at the last), the number of weights, the number of poolings (invariance to small shifts); also
# that the deeper layers were trained to be read by a few dense layers and the first ones were not.
#
# **3. (1 point)** Half of the weight of a unit of the deepest layer lies on about 19 x 19 of its 38 x 38 pixels, a
# quarter of the area: a field should be clearly larger than the objects, and not just as large, and the effective field
# has to be measured. Half a point for the number alone.
#
# **4. (2 points)** One point for networks that differ in the field and in as little as possible else: e.g. the same
# number of layers, maps and weights, with the dilations (or the places of the strides) changed; trained alike, several
# seeds each. One point for a comparison with a result that would refute it: e.g. the accuracy for shapes at equal depth
# and weights does not depend on the field; or, with holes, that networks of equal field differ as much. No points for
# "train a larger network".
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
