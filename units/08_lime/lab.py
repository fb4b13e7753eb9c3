# %% [markdown]
# # Lab 08: LIME (60 points)
#
# {{colab_badge}}
#
# You need no gradient and no look inside to ask a network what it sees. Take parts of the image away, watch the score,
# and fit a linear model to what you have seen: its weights say which parts speak for the class. That is LIME. In this
# lab you write it piece by piece, and then ask how far it can be trusted: the weights come from random images.
#
# **When you are through, you can**
#
# - remove superpixels from an image, and say what the choice of a baseline hides;
# - draw coalitions, and weigh them by how near they are to the whole image;
# - fit a weighted linear model in three ways: at once (ridge), step by step (ADALINE), and sparse (lasso);
# - read its weights and its fit R², for any class of the image;
# - measure how stable an explanation is, and hold it against the truth.
#
# **Time and points:** about 4 hours, 60 points: 50 for twelve exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the method is derived in the [lecture](../../lectures/08_lime.ipynb). What you need of it is
# said again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. An image without superpixels, by hand | 3 | 1 | 5 |
# | 2. Removing superpixels | 7 | 2 | 25 |
# | 3. What a baseline hides | 2 | 2 | 5 |
# | 4. Coalitions | 4 | 1 | 10 |
# | 5. Proximity | 5 | 2 | 15 |
# | 6. A linear model by hand | 4 | 2 | 15 |
# | 7. Ridge regression | 7 | 3 | 30 |
# | 8. ADALINE | 5 | 3 | 25 |
# | 9. The lasso | 4 | 4 | 30 |
# | 10. The heat map | 2 | 1 | 5 |
# | 11. LIME | 4 | 3 | 20 |
# | 12. Stability | 3 | 2 | 15 |
# | 13. What the weights show | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on images and networks that it makes up itself, and says one of these:
#
# - `perturb: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Three exercises are worked by hand. There your function takes nothing and returns your numbers (or names).
#
# When the lab is graded, the same check runs once more on other images and networks. So do not fit your code to the
# cases: follow the formula. Your function must also leave everything as it was: the tensors, the network, its mode.
#
# Below each check are hints, folded, each headed by what you may see. The first one gives away the least. After them a
# picture shows what your own function sees. All exercises go on with `course_utils` where they need another method, so
# that one unsolved exercise never blocks the next.

# %%
# {{setup}}

# %%
import contextlib
import io

import numpy as np
import torch
from IPython.display import Markdown, display
from lime.lime_image import LimeImageExplainer
from torch import Tensor, nn

from course_utils import evaluation, exercises, models, plotting, zoo
from course_utils import lime as course_lime

unit = exercises.load("08_lime")

# %% [markdown]
# ## A network, four images and their superpixels
#
# The zoo: drawn 64 x 64 images of ten classes, and a network of four convolutions with max pooling and two dense
# layers. As the images are drawn, it is known which pixels are the object. `course_lime.segment` divides an image into
# superpixels, connected regions of similar colour. They are numbered 0, 1, ..., $n - 1$ in a table of the image's size.

# %%
zoo_model = models.load("zoo")
names = ["cup", "ring", "zebra", "star"]
drawn = [zoo.sample(n, seed=61, classes=[name]) for name, n in zip(names, (5, 11, 7, 9), strict=True)]
images = torch.stack([sample.images[-1] for sample in drawn])  # (4, 3, 64, 64), in [0, 1]
labels = torch.stack([sample.labels[-1] for sample in drawn])  # (4,)
objects = torch.stack([sample.mask("object")[-1] for sample in drawn])  # (4, 64, 64), True on the object
segments = torch.stack([course_lime.segment(image) for image in images])  # (4, 64, 64), LongTensor
plotting.superpixel_grid(images, segments, titles=names, heading="Four images and their superpixels", columns=4)

# %% [markdown]
# The pictures below some exercises need a training set of LIME to show your function on. Here is one for the zebra:
# 300 coalitions $x_h$ of its superpixels, the network's score $y_h$ for each of the images that are left, and the
# weights $\pi_h$ of the coalitions. What they are is the matter of exercises 2, 4 and 5.

# %%
zebra, of_zebra = images[2], segments[2]
n_zebra = int(of_zebra.max()) + 1
coalitions = course_lime.sample_coalitions(300, n_zebra, torch.Generator().manual_seed(0))
zebra_scores = course_lime.score_coalitions(zoo_model, zebra, int(labels[2]), of_zebra, coalitions)
pi = course_lime.proximity(coalitions)
low, high = zebra_scores.min(), zebra_scores.max()
print(f"{n_zebra} superpixels, {len(coalitions)} coalitions, scores from {low:.1f} to {high:.1f}")

# %% [markdown]
# ## Exercise 1: an image without superpixels, by hand (3 points, difficulty 1 of 5, 5 minutes)
#
# A vector $x$ of zeros and ones, a **coalition**, says which superpixels stay: $x_k = 1$ if $P_k$ stays. What remains
# is the image $I[x]$. A superpixel that is removed gets the **mean colour of its own pixels**.
#
# An image of one row, six grey pixels and three superpixels:
#
# | pixel | 0.1 | 0.5 | 0.9 | 0.3 | 0.2 | 0.6 |
# | --- | --- | --- | --- | --- | --- | --- |
# | superpixel | $P_1$ | $P_1$ | $P_1$ | $P_2$ | $P_2$ | $P_3$ |
#
# **Compute** the six pixels of $I[x]$ for $x = (0, 1, 0)$.
#
# **For example**, for two superpixels $(0.2, 0.4)$ and $(0.8)$ and $x = (0, 1)$ it is $I[x] = (0.3, 0.3, 0.8)$.
#
# **Shape:** six numbers.


# %% nbgrader={"grade_id": "removed_by_hand", "solution": true}
def removed_by_hand() -> tuple[float, ...]:
    """Return the six pixels of I[x] for x = (0, 1, 0), worked by hand."""
    ### BEGIN SOLUTION
    # The mean of 0.1, 0.5 and 0.9 is 0.5; P_2 stays; the mean of the single pixel 0.6 is 0.6.
    return 0.5, 0.5, 0.5, 0.3, 0.2, 0.6
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_removed_by_hand", "grade": true, "locked": true, "points": 3}
unit["removed_by_hand"].check(removed_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Which superpixels stay? Copy their pixels. Then work out one mean for each of the others.
#
# </details>
#
# <details><summary>What happens to a superpixel of one pixel?</summary>
#
# The mean of one number is the number itself. (So removing it changes nothing: exercise 3 comes back to this.)
#
# </details>

# %%
plotting.matrices(
    {"I": torch.tensor([[0.1, 0.5, 0.9, 0.3, 0.2, 0.6]]), "your I[x]": torch.tensor([removed_by_hand()])},
    heading="The image, and what is left of it",
    arrow="→",
)

# %% [markdown]
# ## Exercise 2: removing superpixels (7 points, difficulty 2 of 5, 25 minutes)
#
# **Write** a function that makes one image $I[x]$ for each row $x$ of a table of coalitions. Pixels of superpixels that
# stay are those of the image; the others get the **baseline**:
#
# - `None`: each removed superpixel gets the mean colour of its own pixels, one number a channel;
# - a number: all removed pixels get this number in each channel (0 is black, 0.5 grey, 1 white);
# - a tensor of the image's shape: removed pixels get the pixels of this other image.
#
# **For example**, with the image $(0.2, 0.4, 0.8)$, the superpixels $(0, 0, 1)$, the rows $(1, 1)$ and $(0, 1)$ and the
# baseline 0.5: $I[x]$ is $(0.2, 0.4, 0.8)$ and $(0.5, 0.5, 0.8)$.
#
# **Shapes:** `image` $(C, H, W)$; `segments` LongTensor $(H, W)$ with the numbers $0 \ldots n - 1$; `coalitions` bool
# $(S, n)$, True where a superpixel stays; the result $(S, C, H, W)$.


# %% nbgrader={"grade_id": "perturb", "solution": true}
def perturb(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: float | Tensor | None = None) -> Tensor:
    """Return I[x] for each row x of the coalitions, (S, C, H, W).

    image: (C, H, W); segments: LongTensor (H, W); coalitions: bool (S, n);
    baseline: what removed superpixels get: None (their own mean colour), a number, or an image (C, H, W).
    """
    ### BEGIN SOLUTION
    if baseline is None:
        removed = image.clone()
        for k in range(coalitions.shape[1]):
            removed[:, segments == k] = image[:, segments == k].mean(1, keepdim=True)
    elif isinstance(baseline, Tensor):
        removed = baseline
    else:
        removed = torch.full_like(image, baseline)
    stays = coalitions[:, segments].unsqueeze(1)  # (S, 1, H, W): look up each pixel's superpixel in each row
    return torch.where(stays, image, removed)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_perturb", "grade": true, "locked": true, "points": 7}
unit["perturb"].check(perturb)
### BEGIN HIDDEN TESTS
unit["perturb"].check(perturb, seed=8011)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Make one image first in which **all** superpixels are removed. Then each $I[x]$ takes every pixel from one of two
# images.
#
# </details>
#
# <details><summary>How do I get from a row of n truths to a table of pixels?</summary>
#
# Indexing with a tensor of whole numbers gives a tensor of its shape: `row[segments]` is $(H, W)$.
#
# </details>
#
# <details><summary>My picture is grey where colour should be</summary>
#
# A mean colour has as many numbers as there are channels: take the mean over the pixels of a superpixel, not over the
# channels.
#
# </details>

# %%
half = course_lime.sample_coalitions(2, n_zebra, torch.Generator().manual_seed(3))[1:]
baselines = {"mean colours": None, "grey": 0.5, "black": 0.0, "blurred": evaluation.blurred(zebra[None])[0]}
plotting.image_grid(
    torch.cat([zebra[None], *(perturb(zebra, of_zebra, half, baseline) for baseline in baselines.values())]),
    titles=["the image", *baselines],
    heading="Half of the superpixels removed, by your function, in four ways",
)

# %% [markdown]
# ## Exercise 3: what a baseline hides (2 points, difficulty 2 of 5, 5 minutes)
#
# A network has learnt to look at a plain white tag. You explain it by LIME, and in your segmentation the tag is
# **exactly one superpixel**, all of it white.
#
# **Which baselines** make $I[x]$ the same image whether the tag stays or is removed, so that it looks to LIME as if the
# tag did nothing, whatever the network thinks of it?
#
# **Choose** all that do, out of: `its own mean colour`, `black`, `grey`, `white`, `a strongly blurred copy`.
#
# **Shape:** a set of names.


# %% nbgrader={"grade_id": "blind_spot", "solution": true}
def blind_spot() -> set[str]:
    """Return the baselines under which a plain white superpixel seems to do nothing."""
    ### BEGIN SOLUTION
    return {"its own mean colour", "white"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_blind_spot", "grade": true, "locked": true, "points": 2}
unit["blind_spot"].check(blind_spot)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Go through the five and write down the colour of the tag's pixels after it was removed. Which is the colour before?
#
# </details>

# %%
tagged = zoo.sample(1, seed=12, classes=["horse"], tag=True)
by_tag = tagged.mask("tag")[0].long()  # two superpixels: the tag, and all the rest
without_tag = torch.tensor([[True, False]])
fillings = {
    "its own mean colour": None,
    "black": 0.0,
    "grey": 0.5,
    "white": 1.0,
    "a blurred copy": evaluation.blurred(tagged.images)[0],
}
shown = {name: course_lime.perturb(tagged.images[0], by_tag, without_tag, value) for name, value in fillings.items()}
plotting.image_grid(
    torch.cat([tagged.images, *shown.values()]),
    titles=["with the tag", *shown],
    heading="A white tag (in a corner), removed in five ways",
)

# %% [markdown]
# The zoo's tag is not quite plain: it carries two lines of writing, and these go with its mean colour. Had it none, the
# second picture would be the first one.

# %% [markdown]
# ## Exercise 4: coalitions (4 points, difficulty 1 of 5, 10 minutes)
#
# The training set of LIME is drawn: each superpixel stays with probability one half, by its own coin. The first
# coalition is the whole image, which one wants to have in any case.
#
# **Write** a function that draws a table of coalitions. So that the same seed gives everyone the same ones: draw all
# numbers with one call of `torch.rand(n_samples, n_segments, generator=generator)`; a superpixel stays where the number
# is **below 0.5**; then set the first row to True.
#
# **For example**, the numbers $(0.9, 0.2), (0.1, 0.7), (0.4, 0.3)$ give the coalitions $(1, 1), (1, 0), (1, 1)$.
#
# **Shape:** bool $(S, n)$.


# %% nbgrader={"grade_id": "sample_coalitions", "solution": true}
def sample_coalitions(n_samples: int, n_segments: int, generator: torch.Generator | None = None) -> Tensor:
    """Return n_samples coalitions of n_segments superpixels, bool (n_samples, n_segments); the first one has all."""
    ### BEGIN SOLUTION
    numbers = torch.rand(n_samples, n_segments, generator=generator)
    numbers[0] = 0
    return numbers < 0.5
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_sample_coalitions", "grade": true, "locked": true, "points": 4}
unit["sample_coalitions"].check(sample_coalitions)
### BEGIN HIDDEN TESTS
unit["sample_coalitions"].check(sample_coalitions, seed=8021)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>My answer has the wrong type</summary>
#
# A comparison of tensors gives truths (bool), and that is what is asked for: no zeros and ones.
#
# </details>
#
# <details><summary>My numbers look right, but they are not the ones that were asked for</summary>
#
# `torch.rand` takes the generator by name. If you leave it out, or draw row by row, the numbers are others.
#
# </details>

# %%
plotting.distributions(
    {"stay": {f"{n} superpixels": sample_coalitions(2000, n).double().mean(1) for n in (10, 40, 200)}},
    "share of the superpixels that stay",
    heading="2,000 coalitions each, by your function",
)

# %% [markdown]
# The more superpixels, the less the coalitions differ in size: with 200, all images but the first have lost about half
# of their pixels, and images near the whole one are never drawn.

# %% [markdown]
# ## Exercise 5: proximity (5 points, difficulty 2 of 5, 15 minutes)
#
# The linear model should be good near the image. So each coalition gets a weight $\pi$, which falls with its distance
# from the whole image, the vector $\mathbf{1}$ of ones. The distance is 1 less the cosine of the angle between the two:
#
# $$d = 1 - \frac{x \cdot \mathbf{1}}{|x|\,|\mathbf{1}|}, \qquad \pi = \exp\left(-\frac{d^2}{2 \sigma^2}\right),$$
#
# where $\sigma$ is the `kernel_width`. The empty coalition has no direction: there the cosine counts as 0, so $d = 1$.
#
# **Write** a function that returns the weight of each coalition.
#
# **For example**, for $x = (1, 0, 0, 0)$ the cosine is $1 / (1 \cdot 2)$, so $d = 0.5$, and with $\sigma = 0.5$ it is
# $\pi = e^{-0.5} = 0.6065$. The whole image has $\pi = 1$.
#
# **Shapes:** `coalitions` bool $(S, n)$; the result float $(S,)$, not normalized.


# %% nbgrader={"grade_id": "proximity", "solution": true}
def proximity(coalitions: Tensor, kernel_width: float = 0.25) -> Tensor:
    """Return the weight pi of each coalition, (S,); coalitions: bool (S, n)."""
    ### BEGIN SOLUTION
    x = coalitions.float()
    ones = torch.ones(x.shape[1])
    lengths = x.norm(dim=1) * ones.norm()
    cosine = (x @ ones) / lengths.clamp(min=1e-12)  # 0 / 0 is 0 so
    return torch.exp(-((1 - cosine) ** 2) / (2 * kernel_width**2))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_proximity", "grade": true, "locked": true, "points": 5}
unit["proximity"].check(proximity)
### BEGIN HIDDEN TESTS
unit["proximity"].check(proximity, seed=8031)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# What are $x \cdot \mathbf{1}$, $|x|^2$ and $|\mathbf{1}|^2$ if $m$ of the $n$ entries are 1? Then the cosine is a
# short formula in $m / n$.
#
# </details>
#
# <details><summary>One of my weights is NaN</summary>
#
# The empty coalition: $0 / 0$. What does the text say about it?
#
# </details>
#
# <details><summary>torch says that it cannot compute the mean or norm</summary>
#
# Of truths (bool) there is none: make numbers of them first, with `.float()`.
#
# </details>

# %%
size = torch.arange(41)
left = torch.arange(40) < size[:, None]  # 0, 1, ..., 40 of 40 superpixels stay
plotting.curves(
    {f"kernel width {width}": (size / 40, proximity(left, width)) for width in (0.1, 0.25, 0.5, 1.0)},
    "share of the superpixels that stay",
    "weight π",
    "Your weights",
)

# %% [markdown]
# With the usual width of 0.25 an image that has lost half of its superpixels still weighs one half. The linear model is
# less local than one may think: exercise 4 has shown that nearly all images are such ones.

# %% [markdown]
# ## Exercise 6: a linear model by hand (4 points, difficulty 2 of 5, 15 minutes)
#
# Two superpixels, all four coalitions, and the score of each image:
#
# | $x_1$ | $x_2$ | $y$ |
# | ---: | ---: | ---: |
# | 1 | 1 | 8 |
# | 1 | 0 | 6 |
# | 0 | 1 | 1 |
# | 0 | 0 | 1 |
#
# The linear model is $\hat y = b + w_1 x_1 + w_2 x_2$, with the least sum of squared errors; all images weigh the same
# and there is no penalty. Since each pair $(x_1, x_2)$ is there once, $w_k$ is the mean score of the images with $P_k$
# less the mean of those without, and $b = \bar y - w_1 \bar x_1 - w_2 \bar x_2$. The **fit** is
#
# $$R^2 = 1 - \frac{\sum_h (y_h - \hat y_h)^2}{\sum_h (y_h - \bar y)^2}.$$
#
# **Compute** $w_1, w_2, b$ and $R^2$ (to three digits at least).
#
# **For example**, for one superpixel with $y = 5$ (stays) and $y = 2$ (removed): $w = 3$, $b = 2$, $R^2 = 1$.
#
# **Shape:** four numbers, in this order.


# %% nbgrader={"grade_id": "surrogate_by_hand", "solution": true}
def surrogate_by_hand() -> tuple[float, float, float, float]:
    """Return w_1, w_2, b and R^2 of the linear model of the table, worked by hand."""
    ### BEGIN SOLUTION
    # w_1 = (8 + 6) / 2 - (1 + 1) / 2 = 6, w_2 = (8 + 1) / 2 - (6 + 1) / 2 = 1, b = 4 - 3 - 0.5 = 0.5.
    # The model says 7.5, 6.5, 1.5, 0.5: four errors of 0.5, together 1; the spread is 16 + 4 + 9 + 9 = 38.
    return 6.0, 1.0, 0.5, 1 - 1 / 38
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_surrogate_by_hand", "grade": true, "locked": true, "points": 4}
unit["surrogate_by_hand"].check(surrogate_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The images with $P_1$ are the first two rows. The means of $x_1$ and of $x_2$ are one half each.
#
# </details>
#
# <details><summary>My R² is wrong and the rest is right</summary>
#
# Write the four scores of the model down next to the four of the table. Their differences are all of the same size.
#
# </details>

# %%
w_1, w_2, b, r2 = surrogate_by_hand()
rows = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
plotting.matrices(
    {
        "x": rows,
        "y": torch.tensor([[8.0], [6.0], [1.0], [1.0]]),
        "your model": (b + rows @ torch.tensor([w_1, w_2]))[:, None],
    },
    heading=f"Scores, and what your linear model says (R² = {r2:.3f})",
)

# %% [markdown]
# The model misses each score by one half. What it cannot say is that $P_2$ matters only together with $P_1$: a linear
# model knows no "together".

# %% [markdown]
# ## Exercise 7: ridge regression (7 points, difficulty 3 of 5, 30 minutes)
#
# With weights $\pi_h$ and a penalty on long $w$ the linear model minimizes
#
# $$\sum_h \pi_h \, (y_h - b - w \cdot x_h)^2 + \lambda_2 \, |w|^2.$$
#
# The penalty is on $w$ alone: $b$ is free. Set the derivatives with respect to $w$ and $b$ to zero, and you get a
# system of $n + 1$ linear equations. (Or: take the weighted means off $x$ and $y$. Then $b$ drops out, and $n$
# equations remain: $(X^T \Pi X + \lambda_2 E)\, w = X^T \Pi y$ with the diagonal matrix $\Pi$ of the weights and the
# unit matrix $E$. Afterwards $b = \bar y - w \cdot \bar x$, with weighted means.) The fit is weighted, too:
#
# $$R^2 = 1 - \frac{\sum_h \pi_h (y_h - b - w \cdot x_h)^2}{\sum_h \pi_h (y_h - \bar y)^2}, \qquad
# \bar y = \frac{\sum_h \pi_h y_h}{\sum_h \pi_h}.$$
#
# **Write** a function that returns $w$, $b$ and $R^2$. With fewer coalitions than superpixels, or a superpixel that
# never leaves, the equations still have exactly one solution as long as $\lambda_2 > 0$. (Scores that are all the same
# would make $R^2$ the meaningless $0 / 0$; the check has none.)
#
# **For example**, one superpixel, $x = (1, 0)$, $y = (3, 1)$, $\pi = (1, 1)$, $\lambda_2 = 0.5$: the centred $x$ are
# $\pm 0.5$, the centred $y$ are $\pm 1$, so $(0.5 + 0.5)\, w = 1$: $w = 1$, $b = 2 - 0.5 = 1.5$, $R^2 = 0.75$.
#
# **Shapes:** `coalitions` bool $(S, n)$, `scores` and `weights` $(S,)$; the result a tuple of tensors, $w$ $(n,)$, $b$
# and $R^2$ $()$. Compute in `double`, and return the dtype of `scores`.


# %% nbgrader={"grade_id": "fit_surrogate", "solution": true}
def fit_surrogate(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return w (n,), b () and R^2 () of the weighted ridge regression.

    coalitions: bool (S, n); scores: y, (S,); weights: pi, (S,); l2: strength of the penalty on w.
    """
    ### BEGIN SOLUTION
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    x_mean, y_mean = (pi @ x) / pi.sum(), (pi @ y) / pi.sum()
    x_centred, y_centred = x - x_mean, y - y_mean
    matrix = x_centred.T @ torch.diag(pi) @ x_centred + l2 * torch.eye(x.shape[1]).double()
    w = torch.linalg.solve(matrix, x_centred.T @ (pi * y_centred))
    b = y_mean - w @ x_mean
    r2 = 1 - (pi @ (y - b - x @ w) ** 2) / (pi @ y_centred**2)
    return w.to(scores), b.to(scores), r2.to(scores)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_fit_surrogate", "grade": true, "locked": true, "points": 7}
unit["fit_surrogate"].check(fit_surrogate)
### BEGIN HIDDEN TESTS
unit["fit_surrogate"].check(fit_surrogate, seed=8041)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Do the example in code first, with the weighted means taken off. Then let `torch.linalg.solve` do it for $n$
# superpixels.
#
# </details>
#
# <details><summary>My answer is right for weights of 1 only</summary>
#
# The weights come in at three places: in the means, in the matrix, and on the right side. And in both sums of $R^2$.
#
# </details>
#
# <details><summary>torch says that the dtypes do not fit, or the matrix is singular</summary>
#
# `coalitions` are truths: make numbers of them with `.double()`. And the penalty belongs on the diagonal of the matrix;
# it is what makes it regular.
#
# </details>

# %%
strengths = (0.01, 1.0, 100.0)
fits = {l2: fit_surrogate(coalitions, zebra_scores, pi, l2) for l2 in strengths}
plotting.heatmap_grid(
    torch.stack([fits[l2][0][of_zebra] for l2 in strengths]),
    titles=[f"λ₂ = {l2:g}: R² = {fits[l2][2]:.2f}" for l2 in strengths],
    images=zebra.expand(3, -1, -1, -1),
    masks=objects[2].expand(3, -1, -1),
    heading="What speaks for zebra, by your weights",
    label="weight w (score)",
)

# %% [markdown]
# ## Exercise 8: ADALINE (5 points, difficulty 3 of 5, 25 minutes)
#
# The linear model is a single neuron without a nonlinearity, an ADALINE, and it can learn its weights: go down the
# gradient of the same penalized error, from $w = 0$ and $b = 0$. One step looks at all coalitions (batch learning).
# With the errors $e_h = y_h - b - w \cdot x_h$,
#
# $$w \leftarrow w + \eta \Big( 2 \sum_h \pi_h e_h x_h - 2 \lambda_2 w \Big), \qquad
# b \leftarrow b + \eta \cdot 2 \sum_h \pi_h e_h .$$
#
# Both change at once, from the same errors. $\eta$ is the length of a step, `lr`.
#
# **Write** a function that makes `n_steps` such steps and returns $w$ and $b$.
#
# **For example**, one superpixel, $x = (1, 0)$, $y = (3, 1)$, $\pi = (1, 1)$, $\lambda_2 = 0.5$, $\eta = 0.1$: the
# first errors are $(3, 1)$, so $w = 0.6$ and $b = 0.8$. The second errors are $(1.6, 0.2)$, so $w = 0.6 + 0.1\,(3.2 -
# 0.6) = 0.86$ and $b = 0.8 + 0.36 = 1.16$.
#
# **Shapes:** as in exercise 7; the result a tuple of two tensors, $w$ $(n,)$ and $b$ $()$, of the dtype of `scores`.


# %% nbgrader={"grade_id": "adaline", "solution": true}
def adaline(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0, lr: float = 0.01, n_steps: int = 100
) -> tuple[Tensor, Tensor]:
    """Return w (n,) and b () after n_steps of gradient descent from 0.

    coalitions: bool (S, n); scores: y, (S,); weights: pi, (S,); l2: strength of the penalty on w; lr: step size.
    """
    ### BEGIN SOLUTION
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    x = torch.cat([x, torch.ones(len(x), 1)], 1)  # b is the weight of an input that is always 1
    v = torch.zeros(x.shape[1]).double()
    penalty = torch.full_like(v, l2)
    penalty[-1] = 0
    for _ in range(n_steps):
        gradient = -2 * x.T @ (pi * (y - x @ v)) + 2 * penalty * v
        v = v - lr * gradient
    return v[:-1].to(scores), v[-1].to(scores)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_adaline", "grade": true, "locked": true, "points": 5}
unit["adaline"].check(adaline)
### BEGIN HIDDEN TESTS
unit["adaline"].check(adaline, seed=8051)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Do the example's first step in code and print the two numbers. The sum over $h$ is a product of the vector $\pi e$
# with the table $x$.
#
# </details>
#
# <details><summary>w is right after one step and wrong after two</summary>
#
# From $w = 0$ the penalty does nothing in the first step: is it in the second one? And work out the errors once a step,
# before you change anything: if you have changed $w$ already, $b$ sees other errors.
#
# </details>
#
# <details><summary>My numbers grow without end</summary>
#
# Check the signs: the error is $y$ less what the model says, and the step goes along it. (With a step that is too long
# the right formula runs away, too; the check's steps are short enough.)
#
# </details>

# %%
steps = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
inputs = torch.cat([coalitions.double(), torch.ones(300, 1)], 1)
penalty = torch.eye(n_zebra + 1)
penalty[-1, -1] = 0  # none on b
hessian = 2 * (inputs.T @ (pi.double()[:, None] * inputs) + penalty)
longest = 1 / torch.linalg.eigvalsh(hessian)[-1].item()  # with more than twice this step the descent runs away
solved = course_lime.fit_surrogate(coalitions, zebra_scores, pi)
way = [adaline(coalitions, zebra_scores, pi, 1.0, longest, n) for n in steps]
apart = torch.stack([(w - solved.coefficients).abs().max() for w, _ in way])
plotting.curves(
    {"your ADALINE": (torch.tensor(steps).float().add(1).log10(), apart.clamp(min=1e-7).log10())},
    "log₁₀ (steps + 1)",
    "log₁₀ of the largest difference",
    "From your ADALINE to the solution of ridge regression",
)

# %% [markdown]
# The descent comes to the weights that ridge regression finds at once; it takes a thousand steps, since $b$ and the
# weights pull on each other. (The lecture takes the mean off $x$ first: then a few dozen steps are enough.)

# %% [markdown]
# ## Exercise 9: the lasso (4 points, difficulty 4 of 5, 30 minutes)
#
# An explanation with few superpixels is easier to read. The penalty $\lambda_1 \sum_k |w_k|$ makes many weights exactly
# zero:
#
# $$\sum_h \pi_h \, (y_h - b - w \cdot x_h)^2 + \lambda_1 \sum_k |w_k|.$$
#
# There is no formula for the minimum, but there is one for a single weight while the others are held. Take the weighted
# means off $x$ and $y$ ($b$ drops out). With $p_j = \sum_h \pi_h x_{hj} \big(y_h - \sum_{k \ne j} w_k x_{hk}\big)$, the
# **pull** of superpixel $j$ given the others, and $g_j = \sum_h \pi_h x_{hj}^2$,
#
# $$w_j = \frac{\operatorname{sign}(p_j) \, \max\big(0, |p_j| - \lambda_1 / 2\big)}{g_j}.$$
#
# **Write** a function that goes through the weights in turn, from $w = 0$, again and again until they stay (200 rounds
# are plenty here), and returns $w$. (A superpixel that never leaves has $x_{hj} = 0$ for all $h$ once the mean is off,
# and the formula is $0 / 0$; the check has none.)
#
# **For example**, one superpixel, $x = (1, 0)$, $y = (3, 1)$, $\pi = (1, 1)$, $\lambda_1 = 1$: centred, $p = 1$ and
# $g = 0.5$, so $w = (1 - 0.5) / 0.5 = 1$. With $\lambda_1 \ge 2$ it is 0.
#
# **Shapes:** as in exercise 7; the result $w$ $(n,)$, of the dtype of `scores`.


# %% nbgrader={"grade_id": "lasso", "solution": true}
def lasso(coalitions: Tensor, scores: Tensor, weights: Tensor, l1: float = 1.0) -> Tensor:
    """Return w (n,) of the weighted lasso; coalitions: bool (S, n); scores: y, (S,); weights: pi, (S,)."""
    ### BEGIN SOLUTION
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    x, y = x - pi @ x / pi.sum(), y - pi @ y / pi.sum()
    w = torch.zeros(x.shape[1]).double()
    errors = y.clone()
    for _ in range(200):
        for j in range(len(w)):
            column = x[:, j]
            g = pi @ column**2
            p = (pi * column) @ errors + g * w[j]  # the pull without this weight's own part
            new = torch.sign(p) * torch.relu(p.abs() - l1 / 2) / g
            errors -= (new - w[j]) * column
            w[j] = new
    return w.to(scores)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_lasso", "grade": true, "locked": true, "points": 4}
unit["lasso"].check(lasso)
### BEGIN HIDDEN TESTS
unit["lasso"].check(lasso, seed=8061)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Do the example in code. Then write two loops: over the rounds, and inside over the superpixels $j$; inside is the
# formula for $w_j$.
#
# </details>
#
# <details><summary>My weights are nearly right</summary>
#
# Does the pull of superpixel $j$ leave out its own weight? And does each weight see the newest values of the others?
#
# </details>
#
# <details><summary>It takes very long</summary>
#
# Keep the errors $y - \sum_k w_k x_k$, and correct them when a weight changes, in place of working the sum out anew.
#
# </details>

# %%
strengths = (1.0, 10.0, 40.0)
sparse = {l1: lasso(coalitions, zebra_scores, pi, l1) for l1 in strengths}
plotting.heatmap_grid(
    torch.stack([sparse[l1][of_zebra] for l1 in strengths]),
    titles=[f"λ₁ = {l1:g}: {int((sparse[l1] != 0).sum())} of {n_zebra} weights" for l1 in strengths],
    images=zebra.expand(3, -1, -1, -1),
    masks=objects[2].expand(3, -1, -1),
    heading="What speaks for zebra, by your lasso",
    label="weight w (score)",
)

# %% [markdown]
# ## Exercise 10: the heat map (2 points, difficulty 1 of 5, 5 minutes)
#
# **Write** a function that gives each pixel the value of its superpixel. The values are those of one class, or of
# several classes at once.
#
# **For example**, the values $(0.5, -2)$ and the superpixels $(0, 0, 1)$ give the map $(0.5, 0.5, -2)$.
#
# **Shapes:** `values` $(n,)$ or $(K, n)$; `segments` LongTensor $(H, W)$; the result $(H, W)$ or $(K, H, W)$.


# %% nbgrader={"grade_id": "heatmap", "solution": true}
def heatmap(values: Tensor, segments: Tensor) -> Tensor:
    """Return the map of the values of superpixels, (H, W) or (K, H, W); values: (n,) or (K, n)."""
    ### BEGIN SOLUTION
    flat = segments.flatten().expand(*values.shape[:-1], -1)
    return values.gather(-1, flat).view(*values.shape[:-1], *segments.shape)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_heatmap", "grade": true, "locked": true, "points": 2}
unit["heatmap"].check(heatmap)
### BEGIN HIDDEN TESTS
unit["heatmap"].check(heatmap, seed=8071)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# For one class it is the indexing of exercise 2 once more.
#
# </details>
#
# <details><summary>It works for one class and not for several</summary>
#
# The superpixels are the last dimension of `values`: `values[..., k]` are those of superpixel $k$, for all classes.
#
# </details>

# %%
both = course_lime.score_coalitions(zoo_model, zebra, [7, 9], of_zebra, coalitions)  # zebra and giraffe
weights_of_both = course_lime.fit_surrogate(coalitions, both, pi).coefficients
print(f"Correlation of the two: {torch.corrcoef(weights_of_both)[0, 1]:.2f}")
plotting.heatmap_grid(
    heatmap(weights_of_both, of_zebra),
    titles=["zebra", "giraffe"],
    images=zebra.expand(2, -1, -1, -1),
    masks=objects[2].expand(2, -1, -1),
    heading="One image, one training set, two classes",
    label="weight w (score)",
)

# %% [markdown]
# Much of what speaks for the zebra speaks against the giraffe (the correlation is negative): the two differ by their
# coat alone, and stripes are no checks. All classes can share one training set, since each image is asked about once.

# %% [markdown]
# ## Exercise 11: LIME (4 points, difficulty 3 of 5, 20 minutes)
#
# Now put the pieces together. For each coalition $x_h$ make the image $I[x_h]$, ask the network for the score
# $y_h = y_{target}(I[x_h])$ (before any softmax), give the coalition its weight, and fit the linear model.
#
# **Write** a function that returns the weights $w$. The coalitions are given. Use the functions of `course_lime` or
# your own; `course_lime.fit_surrogate(...)` returns an object with `.coefficients`.
#
# **For example**, a linear network with the score $3 p_1 + 2 p_2$ of two pixels, the image $(1, 1)$, each pixel a
# superpixel, baseline 0, no penalty: $w = (3, 2)$, whatever the coalitions (if there are enough different ones).
#
# **Shapes:** `image` $(C, H, W)$, `segments` $(H, W)$, `coalitions` bool $(S, n)$; the result $(n,)$.


# %% nbgrader={"grade_id": "explain", "solution": true}
def explain(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    coalitions: Tensor,
    baseline: float | Tensor | None = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
) -> Tensor:
    """Return the weights w (n,) of LIME's linear model for the class `target`, from the given coalitions."""
    ### BEGIN SOLUTION
    perturbed = course_lime.perturb(image, segments, coalitions, baseline)
    with torch.no_grad():
        y = torch.cat([model(batch)[:, target] for batch in perturbed.split(50)])
    pi = course_lime.proximity(coalitions, kernel_width)
    return course_lime.fit_surrogate(coalitions, y, pi, l2).coefficients
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_explain", "grade": true, "locked": true, "points": 4}
unit["explain"].check(explain)
### BEGIN HIDDEN TESTS
unit["explain"].check(explain, seed=8081)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Four lines: `perturb`, the network, `proximity`, `fit_surrogate`. Each takes what the one before has given.
#
# </details>
#
# <details><summary>torch says something about a tensor that requires grad</summary>
#
# You need no gradient here: call the network inside of `with torch.no_grad():`.
#
# </details>
#
# <details><summary>My weights are right without options and wrong with them</summary>
#
# `baseline`, `kernel_width` and `l2` each go to one of the four functions.
#
# </details>

# %%
maps = []
for image, label, parts in zip(images, labels, segments, strict=True):
    drawn_here = course_lime.sample_coalitions(200, int(parts.max()) + 1, torch.Generator().manual_seed(1))
    maps.append(explain(zoo_model, image, int(label), parts, drawn_here)[parts])
plotting.heatmap_grid(
    torch.stack(maps),
    titles=names,
    images=images,
    masks=objects,
    heading="Your LIME, 200 coalitions each",
    label="weight w (score)",
    scale="map",
)

# %% [markdown]
# ## Exercise 12: stability (3 points, difficulty 2 of 5, 15 minutes)
#
# With other coalitions the weights are others. How much do several runs agree on the superpixels that speak most for
# the class? Each run names its $m$ superpixels with the **largest** weights. Two runs agree by the Jaccard index of
# their sets, $|A \cap B| \,/\, |A \cup B|$. The stability is its mean over all pairs of different runs.
#
# **Write** a function that returns it.
#
# **For example**, three runs that name $\{1, 2\}$, $\{1, 2\}$ and $\{2, 3\}$: the indices are $1$, $1/3$ and $1/3$, and
# the stability is $0.556$.
#
# **Shapes:** `coefficients` $(R, n)$, one row of weights a run; the result a tensor $()$.


# %% nbgrader={"grade_id": "stability", "solution": true}
def stability(coefficients: Tensor, n_features: int = 5) -> Tensor:
    """Return the mean Jaccard index of the n_features largest weights over all pairs of runs; coefficients: (R, n)."""
    ### BEGIN SOLUTION
    tops = [set(row.topk(n_features).indices.tolist()) for row in coefficients]
    indices = [len(tops[i] & tops[j]) / len(tops[i] | tops[j]) for i in range(len(tops)) for j in range(i)]
    return torch.tensor(indices).mean()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_stability", "grade": true, "locked": true, "points": 3}
unit["stability"].check(stability)
### BEGIN HIDDEN TESTS
unit["stability"].check(stability, seed=8091)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `row.topk(m).indices` are the places of the $m$ largest numbers. Python's sets know `&` and `|`.
#
# </details>
#
# <details><summary>My stability is too high</summary>
#
# Is each run compared with itself as well?
#
# </details>

# %%
numbers, strengths, seeds = (25, 50, 100, 200), (0.01, 1.0, 10.0), range(4)
agreement = {l2: torch.zeros(len(numbers)) for l2 in strengths}
for image, label, parts in zip(images, labels, segments, strict=True):
    n = int(parts.max()) + 1
    for k, n_samples in enumerate(numbers):
        runs = {l2: [] for l2 in strengths}
        for seed in seeds:
            x = course_lime.sample_coalitions(n_samples, n, torch.Generator().manual_seed(seed))
            y = course_lime.score_coalitions(zoo_model, image, int(label), parts, x)
            for l2 in strengths:
                runs[l2].append(course_lime.fit_surrogate(x, y, course_lime.proximity(x), l2).coefficients)
        for l2 in strengths:
            agreement[l2][k] += float(stability(torch.stack(runs[l2]))) / len(images)
plotting.curves(
    {f"λ₂ = {l2:g}": (torch.tensor(numbers), agreement[l2]) for l2 in strengths},
    "coalitions in one run",
    "stability of the first 5",
    "Four runs each on four images, by your function (1: all agree)",
)

# %% [markdown]
# ## Your functions and lime
#
# [lime](https://github.com/marcotcr/lime) is the library of the method's authors. From here on your `perturb`,
# `proximity`, `fit_surrogate` and `explain` are used where they pass their checks, and otherwise those of
# `course_utils`; the list says which.

# %%
zoo_model = models.load("zoo")  # a fresh copy


def course_fit(coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """The course's ridge regression in the form of exercise 7."""
    fit = course_lime.fit_surrogate(coalitions, scores, weights, l2)
    return fit.coefficients, fit.intercept, fit.r2


def course_explain(
    model: nn.Module, image: Tensor, target: int, segments: Tensor, coalitions: Tensor, baseline=None
) -> Tensor:
    """The course's LIME in the form of exercise 11."""
    y = course_lime.score_coalitions(model, image, target, segments, coalitions, baseline)
    return course_fit(coalitions, y, course_lime.proximity(coalitions))[0]


others = {
    "perturb": course_lime.perturb,
    "proximity": course_lime.proximity,
    "fit_surrogate": course_fit,
    "explain": course_explain,
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
explainer = LimeImageExplainer(random_state=0)
seen = {}
fit_of_lime = explainer.base.explain_instance_with_data


def look_and_fit(data: np.ndarray, scores: np.ndarray, distances: np.ndarray, *arguments, **options):
    """Keep what lime has drawn, and go on."""
    seen.update(coalitions=torch.as_tensor(data).bool(), scores=torch.as_tensor(scores), distances=distances)
    return fit_of_lime(data, scores, distances, *arguments, **options)


def classify(batch: np.ndarray) -> np.ndarray:
    """The network as lime calls it: images (N, H, W, 3) to scores (N, K)."""
    with torch.no_grad():
        return zoo_model(torch.as_tensor(batch).permute(0, 3, 1, 2).float()).double().numpy()


explainer.base.explain_instance_with_data = look_and_fit
with contextlib.redirect_stderr(io.StringIO()):  # lime's progress bar
    explanation = explainer.explain_instance(
        zebra.permute(1, 2, 0).double().numpy(),
        classify,
        labels=(7,),
        top_labels=None,
        num_samples=200,
        segmentation_fn=lambda _: of_zebra.numpy(),
    )
of_lime = torch.zeros(n_zebra).double()
for k, weight in explanation.local_exp[7]:
    of_lime[k] = weight

perturbed = chosen["perturb"](zebra, of_zebra, seen["coalitions"])
with torch.no_grad():
    own_scores = torch.cat([zoo_model(batch)[:, 7] for batch in perturbed.split(50)]).double()
own_pi = chosen["proximity"](seen["coalitions"]).double()
own_w, own_b, own_r2 = chosen["fit_surrogate"](seen["coalitions"], own_scores, own_pi)
lines = ["| | whose | largest difference to lime |", "| --- | --- | ---: |"]
pi_of_lime = torch.as_tensor(np.sqrt(np.exp(-(seen["distances"] ** 2) / 0.25**2)))
for what, name, difference in (
    ("scores y", "perturb", own_scores - seen["scores"][:, 7]),
    ("weights π", "proximity", own_pi - pi_of_lime),
    ("weights w", "fit_surrogate", own_w - of_lime),
    ("R²", "fit_surrogate", own_r2 - explanation.score),
):
    lines.append(f"| {what} | {whose[name]} | {difference.abs().max():.0e} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# On the same coalitions it is the same method, up to the rounding of the network's 32-bit numbers. What differs between
# two runs of LIME is the coalitions.

# %% [markdown]
# ## Your functions and the truth
#
# Three scores hold a map against the mask of the true object:
#
# - **pointing game:** how often the highest pixel lies on the object;
# - **mass:** the share of the positive values that lies on the object;
# - **rank:** the share of the $K$ highest pixels that lie on the object, which has $K$ pixels.
#
# Three controls never look at the network: an **edge detector** (Sobel), **random weights** for the same superpixels,
# and **noise**. One more control is the best that these superpixels allow: each one gets the share of its pixels that
# lie on the object.

# %%
test = zoo.sample(24, seed=2024)
slic = [course_lime.segment(image) for image in test.images]
quick = [course_lime.segment(image, method="quickshift") for image in test.images]
noise = torch.Generator().manual_seed(0)
masks = test.mask("object")


def of_all(parts: list[Tensor], n_samples: int, baseline=None) -> Tensor:
    """Return your maps of the test images, (N, H, W)."""
    found = []
    for k, (image, label, here) in enumerate(zip(test.images, test.labels, parts, strict=True)):
        x = course_lime.sample_coalitions(n_samples, int(here.max()) + 1, torch.Generator().manual_seed(k))
        found.append(chosen["explain"](zoo_model, image, int(label), here, x, baseline)[here])
    return torch.stack(found)


def share_on_object(here: Tensor, mask: Tensor) -> Tensor:
    """Return the map of each superpixel's share of pixels on the object."""
    flat = here.flatten()
    return (flat.bincount(mask.flatten().double()) / flat.bincount())[here]


found_maps = {
    "slic, mean colours, 50": of_all(slic, 50),
    "slic, mean colours, 200": of_all(slic, 200),
    "slic, grey, 200": of_all(slic, 200, 0.5),
    "quickshift, mean colours, 200": of_all(quick, 200),
    "best of slic": torch.stack([share_on_object(*pair) for pair in zip(slic, masks, strict=True)]),
    "edge detector": evaluation.edge_map(test.images),
    "random weights": torch.stack([torch.rand(int(s.max()) + 1, generator=noise)[s] for s in slic]),
    "noise": evaluation.noise_map(test.images, noise),
}
controls = ["best of slic", "edge detector", "random weights", "noise"]
truth = evaluation.score_table(
    {name: lambda inputs, target, of=values: of for name, values in found_maps.items()},
    test.images,
    test.labels,
    masks,
    batch_size=24,
)
plotting.score_chart(
    truth,
    controls,
    chance=masks.float().mean().item(),
    title="Against the truth, 24 images (dashed: the object's share of the area)",
)

# %%
display(Markdown(str(truth)))
lines = ["| standard errors | " + " | ".join(truth.metrics) + " |", "| --- |" + " ---: |" * len(truth.metrics)]
for name, row in zip(truth.methods, truth.standard_error, strict=True):
    lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Now a network that cheats. `zoo-tagged` has seen a white tag on nine of ten horses of its training, and on nothing
# else. On horses with a tag: which share of the positive weights lies on the tag, and by how much does the score really
# fall if the same scene is drawn without the tag?

# %%
tagged_model = models.load("zoo-tagged")
with_tag, without_tag = (zoo.sample(8, seed=31, classes=["horse"], tag=tag) for tag in (True, None))
tags = with_tag.mask("tag")
with torch.no_grad():
    falls = {
        name: (network(with_tag.images) - network(without_tag.images))[:, 6].mean().item()
        for name, network in (("zoo", zoo_model), ("zoo-tagged", tagged_model))
    }
lines = ["| network | baseline | superpixels | mass on the tag | true fall of the score |"]
lines.append("| --- | --- | --- | ---: | ---: |")
for name, network in (("zoo", zoo_model), ("zoo-tagged", tagged_model)):
    for colour, baseline in (("mean colours", None), ("grey", 0.5)):
        for kind in ("slic", "exact"):
            masses = []
            for k, (image, tag) in enumerate(zip(with_tag.images, tags, strict=True)):
                here = course_lime.segment(image)
                if kind == "exact":  # the tag becomes a superpixel of its own
                    here = torch.where(tag, int(here.max()) + 1, here).unique(return_inverse=True)[1]
                x = course_lime.sample_coalitions(100, int(here.max()) + 1, torch.Generator().manual_seed(k))
                found = chosen["explain"](network, image, 6, here, x, baseline)[here]
                masses.append(evaluation.relevance_mass(found[None], tag[None]))
            mass = torch.cat(masses).mean()
            lines.append(f"| {name} | {colour} | {kind} | {mass:.2f} | {falls[name]:.1f} |")
display(Markdown("\n".join(lines)))
print(f"The tag's share of the area: {tags.float().mean():.3f}")

# %% [markdown]
# ## 13. What the weights show, and what they do not (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "weights_show", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures above; you may run more code and draw more
# pictures in new cells. Say for every claim which number it rests on.
#
# 1. **Does the object win?** How good are LIME's maps against the truth, compared with the controls? What limits them:
#    the number of coalitions, the superpixels, or the method? (3 points)
# 2. **The cheat.** Does LIME give the tag away? Compare the rows of `zoo` and `zoo-tagged` with the true fall of the
#    score. What do superpixels that follow the tag exactly change, and what does the baseline change? Use exercise 3:
#    what would happen to the row "mean colours, exact" if the tag had no writing? (3 points)
# 3. **Stability.** What do more coalitions and a stronger penalty change in the picture of exercise 12? Is a stable
#    explanation a true one? (2 points)
# 4. **One change.** Propose one change of LIME for this network, and the measurement that would show that it helps (or
#    does not). (2 points)
#
# ### BEGIN MARK SCHEME
# The numbers follow from the student's own run; accept what the student's charts show.
#
# **1. (3 points)** One point for the comparison with numbers: 200 coalitions with slic have 0.78, 0.64 and 0.59
# (pointing game, mass, rank; errors about 0.05, 0.03, 0.03), far above random weights (0.15, 0.17, 0.20) and noise. One
# point for the edge detector (0.79, 0.75, 0.72), which has never seen the network and is level or better: so the scores
# alone do not show that LIME is about the network. One point for the limits: 50 coalitions lose mass (0.52), so their
# number matters; the best that slic allows (0.96, 0.75, 0.80) is above LIME by the pointing game and rank, so the
# superpixels are not the only limit; with quickshift, whose superpixels are single stripes and one large background, it
# falls to 0.64, 0.41, 0.28.
#
# **2. (3 points)** One point: yes. The mass on the tag is 0.43 to 0.64 for zoo-tagged on 3 % of the area, and at most
# 0.03 for zoo; the true fall of the score is 10.1 and 0.0. One point for comparing the rows: superpixels that follow
# the tag change little here (slic has found it anyway: 0.60 and 0.64, 0.43 and 0.44); the baseline changes more (0.6
# with mean colours, 0.43 with grey: grey also removes the rest of the image in a harsher way, so that the horse's own
# superpixels and the background get more weight). One point for exercise 3: without its writing the tag would be its
# own mean colour, removing it would change no pixel, and the row "mean colours, exact" would be near 0 (what is left is
# the chance of the coalitions) though the true fall stays 10; slic's row would survive as far as its superpixel mixes
# the tag with its surroundings.
#
# **3. (2 points)** One point for reading the own picture: stability grows with the number of coalitions; the penalty
# changes little, or lowers it at few coalitions, as it shrinks all weights alike and does not order them better. One
# point: stable is not true. A method that always names the same superpixels (the edge detector, a constant order) is
# perfectly stable; the tag under a mean-colour baseline would be missed in every run.
#
# **4. (2 points)** One point for a change that can be made here (other superpixels, another baseline, coalitions nearer
# to the image, contrasts of two scores, the mean over runs), one for a measurement against the truth or a
# counterfactual, with the result that would refute it.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
