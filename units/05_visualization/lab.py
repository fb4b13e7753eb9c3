# %% [markdown]
# # Lab 05: looking into a network (60 points)
#
# {{colab_badge}}
#
# What does a network look for, what does it make of an image, which part of the image counts, and which image would it
# like best? In this lab you write the methods that show it, from scratch. Then you read the logs of three trainings
# that went wrong, and say why.
#
# **When you are through, you can**
#
# - turn the filters of a first layer into pictures, and read the maps of any layer in one pass, by hooks;
# - cover parts of an image and measure what the score or the loss says to it, for right and wrong predictions, and say
#   beforehand what it will cost;
# - climb from noise to an image with a high score, with a penalty and an expert, and in the code space of a generator;
# - say why it is the score that is maximized, and not the probability;
# - tell gradients that vanish, gradients that explode and dead units from each other by the log of a training;
# - hold what you see against the truth, and say what a picture that a network likes is worth.
#
# **Time and points:** about 4 hours, 60 points: 50 for thirteen exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the methods are derived in the [lecture](../../lectures/05_visualization.ipynb). What you need
# of it is said again in each exercise. You need PyTorch's `torch.autograd.grad`, and hooks help in one exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. Filters as pictures | 4 | 1 | 15 |
# | 2. Feature maps | 6 | 2 | 25 |
# | 3. The cost of occlusion by hand | 3 | 1 | 10 |
# | 4. Occlusion of the score | 7 | 3 | 30 |
# | 5. Occlusion of the loss | 6 | 3 | 20 |
# | 6. Score or probability, by hand | 3 | 2 | 10 |
# | 7. Activation maximization | 8 | 4 | 35 |
# | 8. In the code space of a generator | 5 | 3 | 20 |
# | 9. Dead units | 3 | 1 | 10 |
# | 10. How a gradient shrinks | 2 | 1 | 10 |
# | 11. Training A | 1 | 2 | 5 |
# | 12. Training B | 1 | 2 | 5 |
# | 13. Training C | 1 | 2 | 5 |
# | 14. What the pictures show | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on small networks that it makes up itself, and says one of these:
#
# - `occlusion: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Five exercises are worked by hand. There your function takes nothing and returns your numbers (or a name); the check
# calls it and looks at them.
#
# When the lab is graded, the same check runs once more on other networks. So do not fit your code to the cases: follow
# the formula. Your function must also leave everything as it was: the images, the network, its hooks. (One trace is let
# pass: `.backward()` fills the `.grad` of the weights, which `torch.autograd.grad` leaves alone.)
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function sees. All exercises go on with `course_utils` where they need another method, so
# that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from captum import attr
from IPython.display import Markdown, display
from torch import Tensor, nn

from course_utils import evaluation, exercises, gradient_methods, models, plotting, visualization, zoo
from course_utils.exercises.visualization import TRAININGS, log_example

unit = exercises.load("05_visualization")
model = models.load("zoo")

# %% [markdown]
# ## The network and its images
#
# The **zoo** is a drawn data set: 64 x 64 colour images of ten classes. Because the images are drawn, the truth is
# known: which pixels are the object, and which part of it makes the class. A cup is a glass with a handle; the four
# animals share one silhouette and differ only in their coat.
#
# The network is a flat `nn.Sequential`: four times convolution, ReLU, max pooling, then two dense layers. Its layers
# are called `"0"`, `"1"`, ... in order. `model(images)` gives the class scores $y$ (before any softmax), of shape
# `(N, 10)` for `N` images. The last image below is a cup that the network takes for a glass.

# %%
names = ["ring", "zebra", "star", "cup"]
drawn = [
    zoo.sample(n, seed=seed, classes=[name])
    for name, n, seed in zip(names, (11, 7, 9, 39), (61, 61, 61, 51), strict=True)
]
images = torch.stack([sample.images[-1] for sample in drawn])  # (4, 3, 64, 64), in [0, 1]
labels = torch.stack([sample.labels[-1] for sample in drawn])  # (4,), what they are
objects = torch.stack([sample.mask("object")[-1] for sample in drawn])  # (4, 64, 64), True on the object

print(model)
with torch.no_grad():
    scores = model(images)
predicted = scores.argmax(1)  # (4,), what the network says
titles = [
    f"{name}: {zoo.CLASSES[row.argmax()]}, score {row.max():.1f}" for name, row in zip(names, scores, strict=True)
]
plotting.image_grid(images, titles=titles, heading="What they are, and what the network says")

# %% [markdown]
# ## Exercise 1: filters as pictures (4 points, difficulty 1 of 5, 15 minutes)
#
# A filter of a first layer sees three colour channels, so it is a small colour image itself: but its weights $w$ may be
# negative, and are not between 0 and 1. For the picture, each filter is stretched to that range:
#
# $$\frac{w - \min w}{\max w - \min w},$$
#
# where minimum and maximum run over **all numbers of this filter**, its three channels together. A filter with the same
# weight everywhere becomes 0.5.
#
# **Write** `filter_images`. **Shapes:** weights `(O, 3, kh, kw)` of `O` filters give pictures `(O, kh, kw, 3)`, colours
# last, as `plt.imshow` takes them.
#
# **For example**, a filter of one pixel with the weights $(-1, 0, 3)$ for red, green and blue becomes $(0, 0.25, 1)$.


# %% nbgrader={"grade_id": "filter_images", "solution": true}
def filter_images(weight: Tensor) -> Tensor:
    """Return the filters of a first layer as pictures, each stretched to the range from 0 to 1 by itself.

    weight: (O, 3, kh, kw).
    Returns (O, kh, kw, 3) in [0, 1]; a filter with the same weight everywhere is 0.5.
    """
    ### BEGIN SOLUTION
    pictures = []
    for w in weight.detach():
        low, high = w.min(), w.max()
        scaled = (w - low) / (high - low) if high > low else torch.full_like(w, 0.5)
        pictures.append(scaled.permute(1, 2, 0))
    return torch.stack(pictures)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_filter_images", "grade": true, "locked": true, "points": 4}
unit["filter_images"].check(filter_images)
### BEGIN HIDDEN TESTS
unit["filter_images"].check(filter_images, seed=51)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write it for one filter first, `weight[0]` of shape `(3, kh, kw)`: its smallest number, its largest, the formula. Then
# do it for each, and bring the results together with `torch.stack`.
#
# </details>
#
# <details><summary>"amin() ... dim" or a broadcasting error</summary>
#
# `weight.amin((1, 2, 3), keepdim=True)` is one number for each filter, of shape `(O, 1, 1, 1)`, which fits to `weight`.
#
# </details>
#
# <details><summary>The shape is right, but the numbers are not</summary>
#
# `reshape` and `view` keep the order of the numbers. `permute` exchanges dimensions: which of the old ones comes first,
# second, third, fourth?
#
# </details>
#
# <details><summary>I get NaN for one filter</summary>
#
# Where all weights are the same, maximum minus minimum is 0. `torch.where` chooses between two results.
#
# </details>

# %%
first_layer = models.load("zoo-alex")[0]  # 24 filters of 7 x 7
pictures = filter_images(first_layer.weight)
plotting.image_grid(
    pictures.permute(0, 3, 1, 2),
    titles=[str(k) for k in range(len(pictures))],
    columns=8,
    heading="Your pictures of the 24 filters in the first layer of zoo-alex",
)

# %% [markdown]
# Blobs and edges: some filters are of one colour all over and measure how much of it there is, others change from one
# side to the other and answer where the image does, in brightness or in colour. Each picture is stretched by itself:
# from here you cannot see which filter is strong.

# %% [markdown]
# ## Exercise 2: feature maps (6 points, difficulty 2 of 5, 25 minutes)
#
# What does each layer make of an image? Let the images go through the network **once**, and keep what comes out of the
# layers on the way.
#
# **Write** `feature_maps`. `layers` is a list of names, such as `["0", "10"]`; `model.get_submodule(name)` is the layer
# of that name, also in networks whose layers have names like `"features.3"`. A ReLU may work in place
# (`nn.ReLU(inplace=True)`): it overwrites what the layer before it has given. Your maps must not be overwritten. A hook
# that you register must be gone afterwards, also when the network raises an error; one that was there before must stay.
#
# **Shapes:** a dict from name to activation: `(N, K, h, w)` for a layer with `K` maps, `(N, K)` for a dense one.
#
# **For example**, in `nn.Sequential(nn.Linear(1, 1), nn.ReLU(inplace=True))` with the weight 2 and the bias $-3$, the
# input 1 gives `{"0": -1, "1": 0}`. Who keeps no copy reports `{"0": 0, "1": 0}`.


# %% nbgrader={"grade_id": "feature_maps", "solution": true}
def feature_maps(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return what several layers make of the images, by one forward pass.

    model: takes images (N, C, H, W); it must be left as it was, without hooks.
    inputs: images (N, C, H, W); they must not be changed.
    layers: list of layer names.
    Returns {name: activation}, (N, K, h, w) or (N, K).
    """
    ### BEGIN SOLUTION
    kept = {}

    def keep_as(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            kept[name] = output.detach().clone()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep_as(name)) for name in layers]
    try:
        with torch.no_grad():
            model(inputs.clone())
    finally:
        for handle in handles:
            handle.remove()
    return kept
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_feature_maps", "grade": true, "locked": true, "points": 6}
unit["feature_maps"].check(feature_maps)
### BEGIN HIDDEN TESTS
unit["feature_maps"].check(feature_maps, seed=52)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to get at what is inside</summary>
#
# `layer.register_forward_hook(f)` calls `f(layer, arguments, output)` each time the layer is called. Let `f` put the
# output into a dict.
#
# </details>
#
# <details><summary>My dict has one key only</summary>
#
# A function that is made in a loop looks up the variable of the loop when it is *called*, not when it is made: by then
# the loop is over. Make the function in a function that gets the name as an argument.
#
# </details>
#
# <details><summary>Some maps have no negative numbers, although they are those of a convolution</summary>
#
# A ReLU in place has overwritten them. `output.clone()` is a copy of what is there now.
#
# </details>
#
# <details><summary>The check says that I run the network more than once</summary>
#
# Register all hooks first, then call the network once, with all images, then remove all hooks.
#
# </details>
#
# <details><summary>The check says that a hook is still on a layer</summary>
#
# `register_forward_hook` returns a handle. Keep all handles, and call `handle.remove()` on each in a `finally:`, so
# that they are gone also when the network raises an error. What an earlier try has left on `model` stays on it: load
# the network anew, as the picture below does.
#
# </details>

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one
maps = feature_maps(model, images[:1], ["0", "3", "9"])
strongest = {name: m[0].flatten(1).std(1).argsort(descending=True)[:4] for name, m in maps.items()}
shown = {f"layer {name!r}": gradient_methods.upsample(maps[name][:, k], (64, 64))[0] for name, k in strongest.items()}
plotting.heatmap_grid(
    torch.cat([m / m.abs().max() for m in shown.values()]),
    titles=[f"{layer}, map {k}" for layer, ks in zip(shown, strongest.values(), strict=True) for k in ks],
    masks=objects[:1].expand(12, -1, -1),
    columns=4,
    heading="Your maps of the ring: the four that vary most, of three convolutions",
    label="activation, divided by the layer's largest",
)

# %% [markdown]
# The first convolution still draws the image: edges and surfaces. The deeper it gets, the coarser the maps are, and the
# fewer places each one answers to. What a map deep inside means, its picture does not say: there are 64 in this layer
# alone, and this is a single image.

# %% [markdown]
# ## Exercise 3: the cost of occlusion by hand (3 points, difficulty 1 of 5, 10 minutes)
#
# Cover a part of the image and see what happens to the score: this is occlusion. A square window of $w$ pixels a side
# goes over the image in steps of $s$ pixels, its stride. It begins at 0, and the windows go on until one reaches the
# border; what would lie beyond the border is cut off. Along a side of $H$ pixels these are
#
# $$\left\lceil \frac{H - w}{s} \right\rceil + 1$$
#
# windows, where $\lceil\cdot\rceil$ rounds up. They lie in rows and columns, and each one costs a pass through the
# network.
#
# **Compute** the number of covered images for a picture of 64 x 64 pixels, in this order: window 8 and stride 8; window
# 8 and stride 4; window 5 and stride 3. The image itself, without a window, is not counted.
#
# **For example**, window 16 and stride 16 need 4 windows along a side, and 16 covered images.
#
# **Shape:** three numbers.


# %% nbgrader={"grade_id": "occlusion_cost", "solution": true}
def occlusion_cost() -> tuple[int, int, int]:
    """Return how many covered images of 64 x 64 pixels there are: windows (8, 8, 5), strides (8, 4, 3)."""
    ### BEGIN SOLUTION
    return 8 * 8, 15 * 15, 21 * 21
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_occlusion_cost", "grade": true, "locked": true, "points": 3}
unit["occlusion_cost"].check(occlusion_cost)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# One side first. Write down where the windows begin: 0, 8, 16, ... Which one is the first to reach pixel 64?
#
# </details>
#
# <details><summary>Only my third number is wrong</summary>
#
# 59 is no multiple of 3. Is the strip that is left over covered by anybody?
#
# </details>

# %%
strides = torch.arange(1, 9)
costs = {f"window {w}": (strides[:w], (((64 - w) / strides[:w]).ceil() + 1) ** 2) for w in (2, 5, 8, 16)}
yours = torch.tensor(occlusion_cost(), dtype=torch.float32)
plotting.curves(
    {name: (s, n.log10()) for name, (s, n) in costs.items()}
    | {"yours, window 8": (torch.tensor([8, 4]), yours[:2].log10())},
    "stride, in pixels",
    "covered images, log10",
    "What occlusion costs; your first two numbers should lie on the line of window 8",
)

# %% [markdown]
# Half the stride costs about four times as much: this is the price of fine detail. A saliency map costs one pass
# forward and one back, whatever the detail.

# %% [markdown]
# ## Exercise 4: occlusion of the score (7 points, difficulty 3 of 5, 30 minutes)
#
# With $x$ the image and $x_{\setminus p}$ the image with window $p$ covered, the value of the window is what the score
# loses:
#
# $$v_p = y_c(x) - y_c(x_{\setminus p}).$$
#
# Windows overlap where the stride is smaller than the window. So each pixel gets the **mean** of $v_p$ over all windows
# that cover it. Positive: covering it hurts, the pixel speaks for the class.
#
# **Write** `occlusion`. The windows lie as in exercise 3: they begin at $0, s, 2s, \ldots$ along both sides,
# $\lceil (H - w)/s \rceil + 1$ of them down and $\lceil (W - w)/s \rceil + 1$ across; the last ones are cut off at the
# border. A window covers all colour channels with the number `baselines`. The image need not be square.
#
# **Shapes:** images `(N, C, H, W)` give `(N, C, H, W)`, where all channels of a pixel have the same number. `target` is
# one class for all images (an `int`) or one for each (a `LongTensor` of shape `(N,)`).
#
# **For example**, four pixels in a row, $x = (1, 2, 3, 4)$, score $y = x_1 + x_2 + x_3 + x_4 = 10$, window 2, stride 1,
# baseline 0, along this one side. The three windows are worth $3$, $5$ and $7$. The pixels get $3$,
# $\frac{3 + 5}{2} = 4$, $\frac{5 + 7}{2} = 6$ and $7$. With stride 2 and window 3 the second window holds pixels 3 and
# 4 alone; the windows are worth 6 and 7, and the pixels get $6$, $6$, $6.5$, $7$.


# %% nbgrader={"grade_id": "occlusion", "solution": true}
def occlusion(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    window: int = 8,
    stride: int = 4,
    baselines: float = 0.0,
) -> Tensor:
    """Return for each pixel the mean loss of score over the windows that cover it.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images (N, C, H, W); they must not be changed.
    target: the class that is explained: an int, or a LongTensor (N,) with one class for each image.
    window: height and width of the window, in pixels.
    stride: step from one window to the next, at most `window`.
    baselines: the number that covers, in all channels.
    Returns (N, C, H, W), signed, in units of the score.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(inputs))
    height, width = inputs.shape[2:]
    total, covers = torch.zeros_like(inputs), torch.zeros_like(inputs)
    with torch.no_grad():
        whole = model(inputs.clone())[rows, target]
        for top in range(0, height - window + stride, stride):
            for left in range(0, width - window + stride, stride):
                here = (..., slice(top, top + window), slice(left, left + window))  # a slice ends at the border
                covered = inputs.clone()
                covered[here] = baselines
                value = whole - model(covered)[rows, target]
                total[here] += value.view(-1, 1, 1, 1)
                covers[here] += 1
    return total / covers
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_occlusion", "grade": true, "locked": true, "points": 7}
unit["occlusion"].check(occlusion)
### BEGIN HIDDEN TESTS
unit["occlusion"].check(occlusion, seed=53)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Two loops, over the tops and the lefts of the windows. In them: a copy of the images, the window covered, the scores,
# the difference. Print where your windows begin for a side of 10, window 4, stride 3: it should be 0, 3, 6.
#
# </details>
#
# <details><summary>How do I get the mean over the windows that cover a pixel?</summary>
#
# Keep two tensors of the shape of `inputs`: the sum of the values, and the number of windows so far. Add to both where
# the window lies, and divide at the end.
#
# </details>
#
# <details><summary>Only the pixels at the right and lower border are wrong</summary>
#
# A window may reach over the border: a slice that ends behind the last pixel simply ends there. How many windows are
# there along a side of 8 with window 5 and stride 4? (Two: at 0 and at 4.) And with window 4 and stride 4? (Also two.)
#
# </details>
#
# <details><summary>It works for one image, but not for several</summary>
#
# All images are covered at the same place and go through the network together. The value of a window is then one number
# for each image, of shape `(N,)`: bring it to `(N, 1, 1, 1)` before you add it.
#
# </details>

# %%
windows = {
    f"{colour}, {w} by {s}": occlusion(model, images, labels, window=w, stride=s, baselines=b)
    for colour, b, w, s in (("black", 0.0, 8, 4), ("grey", 0.5, 8, 4), ("grey", 0.5, 16, 8))
}
plotting.method_grid(
    images,
    {name: m[:, 0] for name, m in windows.items()},
    titles=names,
    masks=objects,
    heading="Your occlusion (window by stride): red where covering makes the score of the true class fall",
    label="loss of score",
)

# %% [markdown]
# The colour of the cover is part of the question: a black window on a bright background is a new black shape, and the
# network answers to that as well. A large window sees whole parts of the object, but not where they end.

# %% [markdown]
# ## Exercise 5: occlusion of the loss (6 points, difficulty 3 of 5, 20 minutes)
#
# The lecture's algorithm asks about the loss instead. $K$ is the true label of the image, $Q$ what the network
# predicts. With $L = -\log P(\text{label})$, where $P$ is the softmax of the scores, each window gets
#
# $$\delta L_i = L_{noccl} - L_{occl_i},$$
#
# the loss of the image minus that of the image with window $i$ covered. **Negative** means that covering hurts: the
# smaller, the more important is the window. If you ask about $Q$ and $K = Q$, you learn which parts have led to the
# right prediction; if $K \ne Q$, which parts have led to the wrong one.
#
# **Write** `occlusion_loss`. The windows lie as in exercises 3 and 4, and cover all channels with `baselines`, which is
# grey (0.5) if nothing else is given. `label` is the class in the loss, an `int` or a `LongTensor` `(N,)`: the caller
# decides whether it is $K$ or $Q$. The loss must be right also where the scores lie hundreds apart, and $P$ is 0 in 32
# bits.
#
# **Shapes:** images `(N, C, H, W)` give one number a window, `(N, rows, columns)`, as the windows lie in the image.
#
# **For example**, two classes with the scores $(\log 3, 0)$: $P = (0.75, 0.25)$, and for label 0
# $L_{noccl} = -\log 0.75 = 0.288$. A window that brings the scores to $(0, 0)$ has $L_{occl} = \log 2 = 0.693$, so that
# $\delta L = -0.405$: it hurts.


# %% nbgrader={"grade_id": "occlusion_loss", "solution": true}
def occlusion_loss(
    model: nn.Module,
    inputs: Tensor,
    label: int | Tensor,
    window: int = 8,
    stride: int = 4,
    baselines: float = 0.5,
) -> Tensor:
    """Return for each window the loss of the image minus the loss with the window covered.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images (N, C, H, W); they must not be changed.
    label: the class whose loss -log P(label) it is: an int, or a LongTensor (N,).
    window, stride, baselines: as in `occlusion`.
    Returns (N, rows, columns), one number a window.
    """
    ### BEGIN SOLUTION
    classes = torch.as_tensor(label).expand(len(inputs))
    height, width = inputs.shape[2:]

    def loss(images: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(images), classes, reduction="none")

    with torch.no_grad():
        uncovered = loss(inputs.clone())
        grid = []
        for top in range(0, height - window + stride, stride):
            row = []
            for left in range(0, width - window + stride, stride):
                covered = inputs.clone()
                covered[:, :, top : top + window, left : left + window] = baselines
                row.append(uncovered - loss(covered))
            grid.append(torch.stack(row, dim=1))
    return torch.stack(grid, dim=1)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_occlusion_loss", "grade": true, "locked": true, "points": 6}
unit["occlusion_loss"].check(occlusion_loss)
### BEGIN HIDDEN TESTS
unit["occlusion_loss"].check(occlusion_loss, seed=54)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write the loss of a batch of images first: scores, softmax, the probability of the label, minus its logarithm. Then
# the loops of exercise 4.
#
# </details>
#
# <details><summary>All my images have the same numbers</summary>
#
# `F.cross_entropy` gives the mean over the batch unless you say `reduction="none"`. Each image has a loss of its own.
#
# </details>
#
# <details><summary>My loss is infinite or NaN</summary>
#
# A probability of 0 in float has the logarithm minus infinity. `log_softmax` computes both in one, without rounding to
# 0 in between; `F.cross_entropy` has it inside.
#
# </details>
#
# <details><summary>The shape is (N, P) or (P, N)</summary>
#
# With windows numbered row by row, `reshape(N, rows, columns)` brings them into a grid; the images must come first
# before that.
#
# </details>

# %%
model = models.load("zoo")
about_label = occlusion_loss(model, images, labels, window=12, stride=4)
about_prediction = occlusion_loss(model, images, predicted, window=12, stride=4)
plotting.method_grid(
    images,
    {"label K": about_label, "prediction Q": about_prediction},
    titles=[f"{name}, seen as {zoo.CLASSES[k]}" for name, k in zip(names, predicted, strict=True)],
    masks=objects,
    heading="Your loss differences: blue where covering hurts, red where it helps",
    label="loss without minus loss with the window",
)

# %% [markdown]
# For the first three images $K = Q$, and both columns are the same. The cup is taken for a glass. In the column of $Q$
# the blue windows led to this wrong answer; in the column of $K$, red windows are those that stand in the way of the
# right one: cover them, and the loss of `cup` falls.

# %% [markdown]
# ## Exercise 6: score or probability, by hand (3 points, difficulty 2 of 5, 10 minutes)
#
# From here on we search for an image that the network likes best. But what is "best": a high score $y_c$, or a high
# probability $P_c$? Take a network with two pixels and two classes,
#
# $$y_1 = x_1, \qquad y_2 = 2 x_2, \qquad P_1 = \frac{e^{y_1}}{e^{y_1} + e^{y_2}},$$
#
# at $x = (0, 0)$. **Compute**, in this order: $\partial y_1/\partial x_1$, $\partial y_1/\partial x_2$,
# $\partial \log P_1/\partial x_1$, $\partial \log P_1/\partial x_2$.
#
# **For example**, for class 2 they are $0$, $2$, $-0.5$ and $1$.
#
# **Shape:** four numbers.


# %% nbgrader={"grade_id": "score_or_softmax", "solution": true}
def score_or_softmax() -> tuple[float, float, float, float]:
    """Return dy_1/dx_1, dy_1/dx_2, d log P_1/dx_1 and d log P_1/dx_2 at x = (0, 0), worked by hand."""
    ### BEGIN SOLUTION
    return 1.0, 0.0, 0.5, -1.0
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_score_or_softmax", "grade": true, "locked": true, "points": 3}
unit["score_or_softmax"].check(score_or_softmax)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# $\log P_1 = y_1 - \log(e^{y_1} + e^{y_2})$. What is the derivative of the second part by $y_1$, and by $y_2$?
#
# </details>
#
# <details><summary>I have the derivatives by the scores. And by the pixels?</summary>
#
# The chain rule: $y_2 = 2 x_2$ moves by 2 when $x_2$ moves by 1.
#
# </details>

# %%
target = zoo.CLASSES.index("cup")
grey = torch.full((1, 3, 64, 64), 0.5)
for what, maker in (("score", visualization.class_score), ("log P", visualization.class_log_probability)):
    for n_steps in (5, 20, 100):
        found = visualization.maximize_activation(maker(model, target), grey, n_steps=n_steps)
        with torch.no_grad():
            there = model(found.image)[0]
        others = torch.cat([there[:target], there[target + 1 :]])
        print(f"{n_steps:>3} steps on {what:>5}: score {there[target]:5.1f}, the best other {others.max():5.1f}")
y1, y2, p1, p2 = score_or_softmax()
plotting.matrices(
    {"score y1": torch.tensor([[y1, y2]]), "log P1": torch.tensor([[p1, p2]])},
    heading="Where your gradients lead: the two pixels of the small network",
)

# %% [markdown]
# On the way to a high $P_1$ the second pixel moves twice as fast as the first: not towards class 1, but away from class
# 2. The printed lines show the same on the zoo. Who climbs on the score of `cup` gets a high score, and nobody asks
# what the other classes do: the best of them grows as well. Who climbs on $\log P$ keeps it down, and slows down: once
# $P$ is close to 1, its gradient is close to 0. Such an image shows what speaks against the others as well as what
# speaks for a cup. So it is the score that is maximized.

# %% [markdown]
# ## Exercise 7: activation maximization (8 points, difficulty 4 of 5, 35 minutes)
#
# Which image does the network like best? Begin anywhere, and climb. With the score $y$, a penalty for large pixels and
# an **expert** $\log p(x)$ that says how likely an image is, the objective is
#
# $$J(x) = y(x) - \lambda \|x\|^2 + \log p(x), \qquad \|x\|^2 = \sum_i x_i^2,$$
#
# and every step is $x \leftarrow \mathrm{clip}\big(x + \eta\, \frac{\partial J}{\partial x}\big)$, where clip cuts all
# pixels off at 0 and 1. This is plain gradient ascent: nothing is scaled, and no optimizer is needed.
#
# **Write** `maximize_activation`. `score` and `prior` are functions: they take images `(N, C, H, W)` and give one
# number an image, `(N,)`. `prior` is $\log p$, and may be `None`: then it is left out. $\lambda$ is `l2`, $\eta$ is
# `lr`. Each image of the batch climbs by itself.
#
# **Shapes:** return a tuple: the image after the last step, `(N, C, H, W)`, and the scores $y$ alone, without penalty
# and expert, of the start and after every step, `(n_steps + 1, N)`.
#
# **For example**, one pixel, $y = 3x$, $\lambda = 1$, $\eta = 0.1$, no expert, from $x = 0.5$. The gradient of $J$ is
# $3 - 2 \cdot 0.5 = 2$, so $x$ becomes $0.7$; then it is $1.6$, and $x$ becomes $0.86$. The scores are
# $1.5, 2.1, 2.58$.


# %% nbgrader={"grade_id": "maximize_activation", "solution": true}
def maximize_activation(
    score: Callable[[Tensor], Tensor],
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return images with a high score, by gradient ascent on score(x) - l2 ||x||^2 + prior(x).

    score: images (N, C, H, W) to one number an image, (N,).
    start: where the ascent begins, (N, C, H, W) in [0, 1]; it must not be changed.
    n_steps: number of steps.
    lr: length of a step per unit of the gradient.
    l2: the price of ||x||^2.
    prior: log p, images (N, C, H, W) to (N,), or None.
    Returns (image, scores): (N, C, H, W) in [0, 1], and (n_steps + 1, N).
    """
    ### BEGIN SOLUTION
    x = start.clone()
    with torch.no_grad():
        scores = [score(x.clone())]
    for _ in range(n_steps):
        pixels = x.clone().requires_grad_()
        value = score(pixels.clone()).sum()  # the copy is for a first layer that works in place
        if prior is not None:
            value = value + prior(pixels.clone()).sum()
        (gradient,) = torch.autograd.grad(value, pixels)
        x = (x + lr * (gradient - 2 * l2 * x)).clamp(0, 1)
        with torch.no_grad():
            scores.append(score(x.clone()))
    return x, torch.stack(scores)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_maximize_activation", "grade": true, "locked": true, "points": 8}
unit["maximize_activation"].check(maximize_activation)
### BEGIN HIDDEN TESTS
unit["maximize_activation"].check(maximize_activation, seed=55)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# One step first, without penalty and expert: a copy of the images that requires gradients, the sum of their scores, its
# gradient by the copy, the step, the clipping. Then the loop. Check it with the numbers of the example.
#
# </details>
#
# <details><summary>Why the sum of the scores?</summary>
#
# The score of image 1 does not depend on the pixels of image 2, so the derivative of the sum is the derivative of each
# one. The mean would make all steps shorter by the number of images.
#
# </details>
#
# <details><summary>"a leaf Variable that requires grad is being used in an in-place operation"</summary>
#
# Do not step in place on the tensor that requires gradients. Detach it, compute the new image as a new tensor, and
# begin the next step with a fresh copy that requires gradients.
#
# </details>
#
# <details><summary>My image is right without l2, and wrong with it</summary>
#
# The derivative of $\lambda x^2$ is $2 \lambda x$. It is subtracted, and $\eta$ stands before it, too.
#
# </details>
#
# <details><summary>My scores have the wrong number of rows</summary>
#
# The first row is the score of the start, before any step; after each step comes one more. The last row belongs to the
# image that you return, after clipping.
#
# </details>

# %%
model = models.load("zoo")
goals = torch.tensor([zoo.CLASSES.index(name) for name in ("ring", "glass", "zebra", "star")])
noise = (0.5 + 0.1 * torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
real = zoo.sample(300, seed=3).images
score = visualization.class_score(model, goals)
shaking, shift = torch.Generator().manual_seed(0), visualization.jitter(4)


def shaken_score(x: Tensor) -> Tensor:
    """Return the score of the images after a small random shift: a transform is a part of the score."""
    return score(shift(x, shaking))


climbs = {
    "score alone": maximize_activation(score, noise),
    "penalty": maximize_activation(score, noise, l2=0.02),
    "expert": maximize_activation(score, noise, prior=visualization.gaussian_expert(real)),
    "random shifts": maximize_activation(shaken_score, noise),
}
found = torch.cat([image for image, _ in climbs.values()])
low, high = found.amin((1, 2, 3), keepdim=True), found.amax((1, 2, 3), keepdim=True)
display(
    plotting.image_grid(
        (found - low) / (high - low),  # stretched, for the eye
        titles=[f"{zoo.CLASSES[k]}, {name}" for name in climbs for k in goals],
        columns=4,
        heading="Your images: what the network likes best, from noise (stretched to full contrast)",
    )
)
plotting.curves(
    {name: scores.mean(1) for name, (_, scores) in climbs.items()}, "step", "score, mean of four", "Your climbs"
)

# %% [markdown]
# The network is sure of every one of them, and yet most look like nothing. The score alone finds patterns that no image
# has: thousands of pixels, each moved a little, all in the direction of the score. The expert and the random shifts
# forbid some of these directions, at the price of a lower score. A transform needs no argument of its own: it is a part
# of the score, as here.

# %% [markdown]
# ## Exercise 8: in the code space of a generator (5 points, difficulty 3 of 5, 20 minutes)
#
# The strongest expert is a generator $g$ that draws nothing but zoo-like images: it makes an image $g(z)$ of a code $z$
# of a few numbers. So search among the codes:
#
# $$J(z) = y(g(z)) - \lambda \|z\|^2, \qquad z \leftarrow z + \eta\, \frac{\partial J}{\partial z}.$$
#
# The penalty keeps the code where the generator was trained. A code may be any number: nothing is clipped.
#
# **Write** `maximize_in_code_space`. `generator_network` takes codes `(N, Z)` and gives images `(N, C, H, W)`; `score`
# takes images and gives `(N,)`. $\lambda$ is `l2`, $\eta$ is `lr`; each code climbs by itself.
#
# **Shapes:** return a tuple of three: the images of the last codes, `(N, C, H, W)`; the scores alone, of the start and
# after every step, `(n_steps + 1, N)`; the last codes, `(N, Z)`.
#
# **For example**, one number, $g(z) = 2z$, $y(x) = 3x$, $\lambda = 1$, $\eta = 0.1$, from $z = 1$. The gradient of $J$
# is $3 \cdot 2 - 2 \cdot 1 = 4$, so $z$ becomes $1.4$ and the image $2.8$. The scores are $6$ and $8.4$.


# %% nbgrader={"grade_id": "maximize_in_code_space", "solution": true}
def maximize_in_code_space(
    generator_network: nn.Module,
    score: Callable[[Tensor], Tensor],
    start_code: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images of a generator with a high score, by gradient ascent on score(g(z)) - l2 ||z||^2.

    generator_network: g, codes (N, Z) to images (N, C, H, W).
    score: images (N, C, H, W) to one number an image, (N,).
    start_code: where the ascent begins, (N, Z); it must not be changed.
    n_steps, lr, l2: as in `maximize_activation`.
    Returns (image, scores, code): (N, C, H, W), (n_steps + 1, N), (N, Z).
    """
    ### BEGIN SOLUTION
    z = start_code.clone()
    scores = []
    for _ in range(n_steps):
        code = z.clone().requires_grad_()
        values = score(generator_network(code))
        scores.append(values.detach())
        objective = values - l2 * (code**2).sum(dim=1)
        z = z + lr * torch.autograd.grad(objective.sum(), code)[0]
    with torch.no_grad():
        image = generator_network(z)
        scores.append(score(image.clone()))
    return image, torch.stack(scores), z
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_maximize_in_code_space", "grade": true, "locked": true, "points": 5}
unit["maximize_in_code_space"].check(maximize_in_code_space)
### BEGIN HIDDEN TESTS
unit["maximize_in_code_space"].check(maximize_in_code_space, seed=56)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# It is the loop of exercise 7, with a code in place of the image, and the generator between code and score. Which
# tensor has to require gradients?
#
# </details>
#
# <details><summary>"One of the differentiated Tensors appears to not have been used in the graph"</summary>
#
# The way from the code to the score must not be cut: no `.detach()`, no `torch.no_grad()` around the generator, and the
# code that goes into the generator is the very tensor by which you differentiate.
#
# </details>
#
# <details><summary>My code is right, and my image is not</summary>
#
# The image belongs to the last code. An image that was made in the loop, before the step, belongs to the code before.
#
# </details>

# %%
model = models.load("zoo")
goals = torch.tensor([zoo.CLASSES.index(name) for name in ("ring", "glass", "zebra", "star")])
score = visualization.class_score(model, goals)
generator_network = models.load("zoo-generator")
codes = torch.randn(4, generator_network[0].in_features, generator=torch.Generator().manual_seed(1))
found, scores_on_the_way, _ = maximize_in_code_space(generator_network, score, codes, n_steps=60, lr=1.0)
with torch.no_grad():
    begun = generator_network(codes)
plotting.image_grid(
    torch.cat([begun, found]),
    titles=["start"] * 4
    + [f"{zoo.CLASSES[k]}, score {y:.1f}" for k, y in zip(goals, scores_on_the_way[-1], strict=True)],
    columns=4,
    heading="Your codes as images: where they begin, and where the score leads them",
)

# %% [markdown]
# In code space the images stay close to what the generator can draw: one thing in front of a soft background, and
# hardly any coat. That is not because the network knows more or less, but because the generator does. What you see is
# what both of them know.

# %% [markdown]
# ## Exercise 9: dead units (3 points, difficulty 1 of 5, 10 minutes)
#
# A unit behind a ReLU is **dead** if it gives 0 for every image: then no gradient reaches its weights, and as long as
# the layers below stay as they are, it does not come back. A unit that is 0 for many images but not for all only
# sleeps; a ReLU is there for that.
#
# **Write** `dead_share`: the share of the units of a layer that are exactly 0 for all images of the batch. In a layer
# with maps, the unit is the map: it is dead if it is 0 at all places for all images.
#
# **Shapes:** activations `(N, K)` or `(N, K, h, w)` give one number between 0 and 1.
#
# **For example**, two images and three units, $\begin{pmatrix} 0 & 0 & 1 \\ 0 & 2 & 3 \end{pmatrix}$ (a row an image):
# only the first unit is dead, the share is $\frac 1 3$.


# %% nbgrader={"grade_id": "dead_share", "solution": true}
def dead_share(activations: Tensor) -> float:
    """Return the share of the units, or maps, that are 0 for all images (and at all places).

    activations: what a layer gives for a batch, (N, K) or (N, K, h, w).
    Returns a number in [0, 1].
    """
    ### BEGIN SOLUTION
    units = activations.transpose(0, 1).flatten(1)  # (K, all that a unit ever gave)
    return (units == 0).all(dim=1).float().mean().item()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_dead_share", "grade": true, "locked": true, "points": 3}
unit["dead_share"].check(dead_share)
### BEGIN HIDDEN TESTS
unit["dead_share"].check(dead_share, seed=57)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `activations == 0` is a tensor of `True` and `False`. Over which dimensions must it be `True` everywhere? `.all(dim)`
# asks that for one dimension.
#
# </details>
#
# <details><summary>It is right for dense layers, but not for maps</summary>
#
# A map has many places. Bring the activations into the shape (K, everything else) first.
#
# </details>
#
# <details><summary>My share is much too large</summary>
#
# The share of zeros is not the share of dead units: about half of what comes out of a healthy ReLU is 0.
#
# </details>

# %%
many = zoo.sample(200, seed=5).images
lines = ["| network | layer | zeros | dead, as you count |", "| --- | --- | ---: | ---: |"]
for name in ("zoo", "zoo-gap", "zoo-alex"):
    network = models.load(name)
    relus = [layer for layer, module in network.named_modules() if isinstance(module, nn.ReLU)]
    for layer, activation in visualization.feature_maps(network, many, relus).items():
        zeros = (activation == 0).float().mean()
        lines.append(f"| {name} | {layer} | {100 * zeros:.0f} % | {100 * dead_share(activation):.0f} % |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Many zeros are healthy, and in the convolutions no map is dead. But of the 64 units in the last hidden layer of `zoo`
# and of `zoo-alex` about half answer to none of these 200 images: these networks classify well all the same, with fewer
# units than they have.

# %% [markdown]
# ## Exercise 10: how a gradient shrinks (2 points, difficulty 1 of 5, 10 minutes)
#
# On its way back from the scores to the image, the gradient goes through all layers. If each one makes it smaller by
# the same factor, little is left after ten of them. With $G_1, \ldots, G_n$ the gradients of the loss by the weights of
# layers $1$ (close to the image) to $n$ (close to the scores), the factor of one layer is
#
# $$q = \left( \frac{\|G_1\|}{\|G_n\|} \right)^{1/(n - 1)}, \qquad \|G\| = \sqrt{\textstyle\sum_i G_i^2},$$
#
# since there are $n - 1$ steps from layer $n$ down to layer 1. Below 1 the gradient shrinks on its way down, above 1 it
# grows.
#
# **Write** `gradient_factor`. **Shapes:** a list of $n \ge 2$ tensors of any shapes, layer 1 first, gives one number.
#
# **For example**, three layers whose gradients have the norms $0.02$, $0.5$ and $2$:
# $q = (0.02 / 2)^{1/2} = 0.1$.


# %% nbgrader={"grade_id": "gradient_factor", "solution": true}
def gradient_factor(gradients: list[Tensor]) -> float:
    """Return by which factor the norm of the gradient changes from a layer to the one below it, on the way down.

    gradients: of the loss by the weights of each layer, from the first layer to the last.
    Returns (norm of the first / norm of the last) ^ (1 / (n - 1)).
    """
    ### BEGIN SOLUTION
    return (gradients[0].norm() / gradients[-1].norm()).item() ** (1 / (len(gradients) - 1))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_gradient_factor", "grade": true, "locked": true, "points": 2}
unit["gradient_factor"].check(gradient_factor)
### BEGIN HIDDEN TESTS
unit["gradient_factor"].check(gradient_factor, seed=58)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `tensor.norm()` is the root of the sum of all squares, for any shape. Only the first and the last layer are needed.
#
# </details>
#
# <details><summary>My factor is right for two layers only</summary>
#
# With two layers there is one step, and no root. With $n$ layers the factor counts $n - 1$ times.
#
# </details>

# %%
depths = range(2, 13)
factors: dict[str, list[float]] = {}
for name, activation, gain in (("sigmoid", nn.Sigmoid, 1.0), ("tanh", nn.Tanh, 1.0), ("ReLU", nn.ReLU, 2**0.5)):
    for depth in depths:
        torch.manual_seed(depth)
        dense = [nn.Linear(32, 32) for _ in range(depth)]
        for layer in dense:
            nn.init.normal_(layer.weight, std=gain / 32**0.5)
        chain = nn.Sequential(*[part for layer in dense for part in (layer, activation())])
        loss = nn.functional.cross_entropy(chain(torch.randn(64, 32)), torch.randint(32, (64,)))
        gradients = torch.autograd.grad(loss, [layer.weight for layer in dense])
        factors.setdefault(name, []).append(gradient_factor(list(gradients)))
plotting.curves(
    {name: (torch.tensor(list(depths)), torch.tensor(q)) for name, q in factors.items()},
    "layers",
    "factor q of one layer",
    "Your factor, in dense networks with weights of a usual size",
)

# %% [markdown]
# A sigmoid has a slope of at most $\frac 1 4$, and so the gradient shrinks to about a quarter in every layer, however
# many there are: after ten layers a millionth is left. A ReLU with weights of the right size hands it down as it is.

# %% [markdown]
# ## Four trainings and their logs
#
# The cell below trains four networks on handwritten digits, each with seven hidden layers of 32 units: one that is
# healthy, and A, B and C, in each of which one thing is wrong. How they were built is not told. Each one writes its log
# into event files, as TensorBoard reads them; then the logs are read back. (In the lecture you see the same kind of log
# in TensorBoard itself: `%tensorboard --logdir ...` shows it.)
#
# A log holds, for every step, the loss and the norm of the gradient in each layer; and now and then the histograms of
# weights, gradients and activations.

# %%
logs = {}
with tempfile.TemporaryDirectory() as folder:
    for name in TRAININGS:
        log_example(name, f"{folder}/{name}")
        logs[name] = visualization.read_training(f"{folder}/{name}")


def log10(values: np.ndarray) -> np.ndarray:
    """Return the logarithms of sizes from 1e-12 to 1e12: what is smaller or larger stands at the end of the range."""
    return np.log10(np.clip(np.nan_to_num(values, nan=1e12, posinf=1e12), 1e-12, 1e12))


def gradient_norms(name: str) -> dict[str, np.ndarray]:
    """Return the norms of the gradients at each step, by layer, from the log of a training."""
    scalars = logs[name].scalars
    return {tag.split("/")[1]: values for tag, (_, values) in scalars.items() if tag.startswith("gradient_norm/")}


highest = 5.0
plotting.curve_grid(
    {
        f"training {name}": {"loss": np.nan_to_num(log.scalars["loss"][1], nan=highest).clip(max=highest)}
        for name, log in logs.items()
    },
    "step",
    "loss",
    heading="The loss of the four trainings (above 5, or no number at all: drawn at 5)",
    columns=4,
    limits=(0, 1.05 * highest),
)

# %%
hidden_layers = {"1": "first layer", "7": "fourth layer", "15": "last layer"}
plotting.curve_grid(
    {
        f"training {name}": {
            hidden_layers[layer]: log10(norms)
            for layer, norms in gradient_norms(name).items()
            if layer in hidden_layers
        }
        for name in logs
    },
    "step",
    "norm of the gradient, log10",
    heading="The gradients; the first layer is close to the image (exactly 0: drawn at -12; no number: at 12)",
    columns=4,
)

# %%
lines = [
    "| training | hidden layer | smallest | largest activation | exactly 0 |",
    "| --- | --- | ---: | ---: | ---: |",
]
for name, log in logs.items():
    hidden = [tag for tag in log.histograms if tag.startswith("activations/")][2:-1:2]  # behind the activation layers
    for place in (0, 3, 6):
        limits, counts = log.histograms[hidden[place]][1][-1]  # at the last step that has one
        zeros = visualization.share_of_zeros(log, hidden[place])[1][-1]
        full = np.flatnonzero(counts)
        low, high = limits[full[0]], limits[full[-1] + 1] if zeros < 1 else 0.0
        lines.append(f"| {name} | {place + 1} of 7 | {low:.2g} | {high:.2g} | {100 * zeros:.0f} % |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Each of A, B and C has one of these diagnoses:
#
# - `"healthy"`: nothing is wrong;
# - `"vanishing gradients"`: they get smaller from layer to layer, on their way down to the image;
# - `"exploding gradients"`: they get large, and larger from step to step;
# - `"dead units"`: units give 0 for every image, and let no gradient through;
# - `"saturated units"`: units give numbers close to the ends of their range, where they are flat;
# - `"overfitting"`: the images of the training are learnt by heart.

# %% [markdown]
# ## Exercise 11: training A (1 point, difficulty 2 of 5, 5 minutes)
#
# **Decide** what is wrong with training A, by the pictures and the table above.
#
# **For example**, the training called `healthy` is `"healthy"`: its loss falls, its gradients have about the same size
# in all layers, and about half of its activations are 0.
#
# **Shape:** one of the names.


# %% nbgrader={"grade_id": "training_a", "solution": true}
def training_a() -> str:
    """Return the diagnosis of training A.

    Choose from "healthy", "vanishing gradients", "exploding gradients", "dead units", "saturated units", "overfitting".
    """
    ### BEGIN SOLUTION
    return "dead units"
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_training_a", "grade": true, "locked": true, "points": 1}
unit["training_a"].check(training_a)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Look at the gradients of A. How large are they: small, or nothing at all? What must the layers above give, so that
# nothing arrives?
#
# </details>

# %%
log = logs["A"]
tags = [tag for tag in log.histograms if tag.startswith("activations/")][2:-1:2]
zeros = {
    name: torch.tensor([visualization.share_of_zeros(logs[name], tag)[1][-1] for tag in tags])
    for name in ("healthy", "A")
}
plotting.curves(
    {name: (torch.arange(1, 8), shares) for name, shares in zeros.items()},
    "hidden layer",
    "share of zeros",
    f"Training A: you say {training_a()}",
)

# %% [markdown]
# In A nothing comes out of the third layer and all above it: for every image the network gives the same scores, and
# since a ReLU at 0 hands nothing down, no weight below ever moves.

# %% [markdown]
# ## Exercise 12: training B (1 point, difficulty 2 of 5, 5 minutes)
#
# **Decide** what is wrong with training B.
#
# **For example**, `"healthy"` is the training called `healthy`.
#
# **Shape:** one of the names.


# %% nbgrader={"grade_id": "training_b", "solution": true}
def training_b() -> str:
    """Return the diagnosis of training B.

    Choose from "healthy", "vanishing gradients", "exploding gradients", "dead units", "saturated units", "overfitting".
    """
    ### BEGIN SOLUTION
    return "vanishing gradients"
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_training_b", "grade": true, "locked": true, "points": 1}
unit["training_b"].check(training_b)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Compare the gradient of the first layer with that of the last one, in B and in the healthy training.
#
# </details>
#
# <details><summary>Are the units of B saturated?</summary>
#
# The table has the smallest and the largest activation of a layer. The range of a sigmoid is from 0 to 1.
#
# </details>

# %%
plotting.curves(
    {name: (torch.arange(1, 9), log10(np.array([n[0] for n in gradient_norms(name).values()]))) for name in logs},
    "layer, the first one close to the image",
    "norm of the gradient at the first step, log10",
    f"Training B: you say {training_b()}",
)

# %% [markdown]
# In B the gradient loses about three quarters of its size in every layer. The last layer learns, the first one stands
# still, and what the last one gets from it is of no use.

# %% [markdown]
# ## Exercise 13: training C (1 point, difficulty 2 of 5, 5 minutes)
#
# **Decide** what is wrong with training C.
#
# **For example**, `"healthy"` is the training called `healthy`.
#
# **Shape:** one of the names.


# %% nbgrader={"grade_id": "training_c", "solution": true}
def training_c() -> str:
    """Return the diagnosis of training C.

    Choose from "healthy", "vanishing gradients", "exploding gradients", "dead units", "saturated units", "overfitting".
    """
    ### BEGIN SOLUTION
    return "exploding gradients"
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_training_c", "grade": true, "locked": true, "points": 1}
unit["training_c"].check(training_c)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The log of C is short. How does it end, and how large were the gradients before?
#
# </details>

# %%
steps = len(logs["C"].scalars["loss"][1])
print("loss of C, step by step:", ", ".join(f"{loss:.3g}" for loss in logs["C"].scalars["loss"][1]))
plotting.curves(
    {name: log10(gradient_norms(name)["1"][:steps]) for name in ("healthy", "C")},
    "step",
    "norm of the first layer's gradient, log10",
    f"Training C: you say {training_c()}",
)

# %% [markdown]
# C begins with weights that are too large: so are the gradients, the first step goes too far, and the next gradients
# are larger still. After a few steps the loss is no number any more, and the training ends. Its factor $q$ is close to
# 1: here it is not the way down that makes them large.

# %% [markdown]
# ## Your functions and others'
#
# Some of your functions have a counterpart in a library. From here on each of your functions is used if it passes its
# check, and otherwise the one of `course_utils` is; the list says which.

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one


def as_tuple(method: Callable[..., visualization.Maximization]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the method of course_utils with the answer in the form of the exercises."""

    def maximize(*arguments, **options):
        found = method(*arguments, **options)
        return (found.image, found.scores) if found.code is None else (found.image, found.scores, found.code)

    return maximize


of_course_utils = {
    "feature_maps": visualization.feature_maps,
    "occlusion": visualization.occlusion,
    "occlusion_loss": visualization.occlusion_loss,
    "maximize_activation": as_tuple(visualization.maximize_activation),
    "maximize_in_code_space": as_tuple(visualization.maximize_in_code_space),
}
chosen, whose = {}, {}
for name in of_course_utils:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = of_course_utils[name], "course_utils"
    print(f"{name:>22}: {whose[name]}")

# %%
rows = torch.arange(len(images))


def log_probability(x: Tensor) -> Tensor:
    """Return log P of the labels: captum asks about whatever a function gives."""
    return model(x).log_softmax(1)[rows.repeat(len(x) // len(rows)), labels.repeat(len(x) // len(rows))]


of_captum = attr.Occlusion(model).attribute(images, (3, 8, 8), (3, 4, 4), baselines=0.0, target=labels)
of_loss = -attr.Occlusion(log_probability).attribute(images, (3, 8, 8), (3, 8, 8), baselines=0.5)[:, 0, ::8, ::8]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models.feature_extraction import create_feature_extractor

    of_torchvision = create_feature_extractor(model, ["0", "9"])(images)
score = visualization.class_score(model, labels)
of_torch = images.clone().requires_grad_()
optimizer = torch.optim.SGD([of_torch], lr=0.1, maximize=True)
for _ in range(5):
    optimizer.zero_grad()
    score(of_torch).sum().backward()
    optimizer.step()
    of_torch.data.clamp_(0, 1)

came = chosen["feature_maps"](model, images, ["0", "9"])
pairs = {
    "occlusion": ("captum's Occlusion", chosen["occlusion"](model, images, labels), of_captum),
    "occlusion_loss": (
        "captum's Occlusion of log P, windows side by side",
        chosen["occlusion_loss"](model, images, labels, window=8, stride=8),
        of_loss,
    ),
    "feature_maps": ("torchvision's feature extractor", came["9"], of_torchvision["9"]),
    "maximize_activation": (
        "torch's SGD, uphill, five steps",
        chosen["maximize_activation"](score, images, n_steps=5)[0],
        of_torch,
    ),
}
lines = ["| function | whose | against | largest difference |", "| --- | --- | --- | ---: |"]
for name, (other, ours, theirs) in pairs.items():
    difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    lines.append(f"| {name} | {whose[name]} | {other} | {100 * difference:.4f} % |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The largest difference is a share of the library's largest value; they agree up to rounding. captum knows no loss: but
# it explains any function, so that it can be asked about $\log P$. Where windows lie side by side each pixel has one,
# and the first pixel of each window shows its number.

# %% [markdown]
# ## Occlusion and the truth
#
# Agreement with a library says that you computed the method. Does the method find the object? Three scores hold a map
# against the mask of the true object:
#
# - **pointing game:** how often the highest pixel lies on the object;
# - **mass:** the share of the positive relevance that lies on the object;
# - **rank:** the share of the $K$ highest pixels that lie on the object, which has $K$ pixels.
#
# And there are three controls, which never look at the network: an **edge detector** (Sobel), **noise**, and a
# **constant map**. No explanation is worth more than what it scores beyond them.

# %%
test = zoo.sample(24, seed=2024)
random = torch.Generator().manual_seed(0)


def at_image_size(grid: Tensor) -> Tensor:
    """Stretch one number a window, (N, rows, columns), to the size of the images, (N, 1, 64, 64)."""
    return gradient_methods.upsample(grid[:, None], (64, 64))


explain = {
    "black, 8 by 4": lambda x, target: chosen["occlusion"](model, x, target, window=8, stride=4, baselines=0.0),
    "grey, 8 by 4": lambda x, target: chosen["occlusion"](model, x, target, window=8, stride=4, baselines=0.5),
    "grey, 16 by 8": lambda x, target: chosen["occlusion"](model, x, target, window=16, stride=8, baselines=0.5),
    "loss, 16 by 8": lambda x, target: at_image_size(-chosen["occlusion_loss"](model, x, target, window=16, stride=8)),
    "edge detector": lambda x, target: evaluation.edge_map(x),
    "noise": lambda x, target: evaluation.noise_map(x, random),
    "constant": lambda x, target: torch.ones(len(x), 64, 64),
}
controls = ["edge detector", "noise", "constant"]
truth = evaluation.score_table(explain, test.images, test.labels, test.mask("object"), batch_size=12)
plotting.score_chart(
    truth,
    controls,
    chance=test.mask("object").float().mean().item(),
    title="Occlusion (cover, window by stride) against the truth, 24 images (dashed: the object's share of the area)",
)

# %% [markdown]
# ## What the network likes, and who agrees
#
# For each of the ten classes an image is made, from the same noise. The table counts for how many of the ten the
# network that was climbed gives the class a probability of at least 0.99, and for how many another network, `zoo-gap`,
# sees that class as well. `zoo-gap` was trained on the same images, but has other layers and other weights.
# `zoo-robust` is `zoo`, trained further against small disturbances of its images.

# %%
every = torch.arange(10)
networks = {name: models.load(name) for name in ("zoo", "zoo-robust")}
second, generator_network = models.load("zoo-gap"), models.load("zoo-generator")
source = torch.Generator().manual_seed(2)
start = (0.5 + 0.1 * torch.randn(10, 3, 64, 64, generator=source)).clamp(0, 1)
start_codes = torch.randn(10, generator_network[0].in_features, generator=source)
expert, shift = visualization.gaussian_expert(zoo.sample(300, seed=3).images), visualization.jitter(4)


def shaken(score: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the score of the images after a small random shift."""
    return lambda x: score(shift(x, source))


maximized = {}
# The gradients of zoo-robust are small, and so are those in the codes: there the steps have to be longer.
steps = {"zoo": (0.1, 3.0), "zoo-robust": (2.0, 3.0)}
for name, network in networks.items():
    climb, score_of_all = chosen["maximize_activation"], visualization.class_score(network, every)
    lr, lr_of_codes = steps[name]
    maximized[name, "score"] = climb(score_of_all, start, n_steps=60, lr=lr)[0]
    maximized[name, "score, code space"] = chosen["maximize_in_code_space"](
        generator_network, score_of_all, start_codes, n_steps=60, lr=lr_of_codes
    )[0]
shaken_score = shaken(visualization.class_score(networks["zoo"], every))
maximized["zoo", "score, shifts, expert"] = chosen["maximize_activation"](
    shaken_score, start, n_steps=60, prior=expert
)[0]
log_p = visualization.class_log_probability(networks["zoo"], every)
maximized["zoo", "log P"] = chosen["maximize_activation"](log_p, start, n_steps=60)[0]

lines = ["| network | climbed on | sure (P >= 0.99) | zoo-gap agrees |", "| --- | --- | ---: | ---: |"]
with torch.no_grad():
    for (name, what), image in maximized.items():
        sure = (networks[name](image).softmax(1).diagonal() >= 0.99).sum()
        agrees = (second(image).argmax(1) == every).sum()
        lines.append(f"| {name} | {what} | {sure} of 10 | {agrees} of 10 |")
display(Markdown("\n".join(lines)))

# %%
shown = [
    ("zoo", "score"),
    ("zoo", "score, shifts, expert"),
    ("zoo-robust", "score"),
    ("zoo-robust", "score, code space"),
]
pictures = torch.cat([maximized[key] for key in shown])
low, high = pictures.amin((1, 2, 3), keepdim=True), pictures.amax((1, 2, 3), keepdim=True)
plotting.image_grid(
    (pictures - low) / (high - low),
    titles=[f"{zoo.CLASSES[k]}" for _ in shown for k in every],
    columns=10,
    heading="A row each: zoo, score; zoo, shifts and expert; zoo-robust, score; zoo-robust, code space",
)

# %% [markdown]
# ## 14. What the pictures show, and what they do not (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "pictures", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures above; you may run more code and draw more
# pictures in new cells. Say for every claim which number it rests on.
#
# 1. **The cover.** How much does the colour of the window change the scores of occlusion against the truth, and how
#    much its size? Where does the edge detector come out? Why can the same window, in another colour, say something
#    else about the same network? (3 points)
# 2. **Sure, and seen by nobody.** For how many classes is the network sure of the image that was made for them, and for
#    how many does the second network agree? What does an image tell you that one network is sure of and the other is
#    not? Which of the ways to make them would you show to somebody who wants to know what `zoo` takes for a cup, and
#    what would you say beside it? (4 points)
# 3. **What is missing.** Name something that you would like to know about this network and that none of the methods of
#    this lab can show. Describe an experiment with the zoo that could show it: what you would draw, compute and
#    compare, and which result would prove you wrong. `zoo.sample` can draw the same scenes with one thing changed, for
#    example `texture="dots"`, `without="key part"` or `tag=True`. (3 points)
#
# ### BEGIN MARK SCHEME
# The numbers vary a little from machine to machine; accept what the student's own charts and tables show.
#
# **1. (3 points)** One point for the colour, with numbers: black windows of 8 by 4 have 0.39 in the pointing game, 0.34
# by mass and 0.40 by rank, grey ones 0.85, 0.54 and 0.62; the size matters less (grey, 16 by 8: 0.76, 0.45, 0.60). One
# point for the control: the edge detector, which never looks at the network, has 0.79, 0.75 and 0.72, better than all
# of them by mass and by rank, so that a high score does not show that a map says anything about the network. One point
# for a reason: a window is no "nothing", but a new shape with edges of its own, which the network never saw in
# training; black differs from most backgrounds, grey is closer to many. The network answers to the cover as well as to
# what is covered.
#
# **2. (4 points)** One point for the counts of the table, for at least two of its rows: `zoo` is sure of all ten of its
# images from noise, and `zoo-gap` agrees for about seven of them; `zoo-robust` is sure of nine and `zoo-gap` agrees for
# nine; in code space each is sure of about six, and `zoo-gap` agrees for five to seven; on log P `zoo` is sure of
# four. One point for: high scores are easily reached by patterns that belong to this one network, so that its being
# sure says little about the class;
# agreement of a second network, trained by itself, is a check that was not climbed on. One point for the choice of a
# way with a reason: with random shifts and expert, or in code space, the images stay closer to real ones; or the plain
# one, since it is the network's own answer; `zoo-robust` is another network than `zoo`. One point for what must be said
# beside it: what comes from the expert or the generator and what from the network; that it is one of many images; the
# start, the steps and the number of classes for which it worked.
#
# **3. (3 points)** One point for something that none of these methods shows: e.g. whether the network uses the handle
# or the whole cup (occlusion covers places, and puts a new shape there), which coat makes which animal, whether it
# looks at the background, whether it would do the same on other images. One point for an experiment that can be run:
# e.g. draw the same scenes with `without="key part"` or another `texture`, and compare the change of the scores. One
# point for a result that would refute the claim, and for a control or an error bar. No points for "more images" alone.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
