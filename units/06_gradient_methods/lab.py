# %% [markdown]
# # Lab 06: gradient methods (60 points)
#
# {{colab_badge}}
#
# A network looks at a drawing and says "cup". Which pixels made it say so? In this lab you write eight methods that
# answer with derivatives, from scratch, and then find out how far they can be trusted.
#
# **When you are through, you can**
#
# - compute the derivative of a class score with respect to the pixels, for a whole batch, and turn it into a map
#   (saliency, input x gradient);
# - change what a ReLU does on the way back (deconvnet, guided backpropagation) and leave the network as you found it;
# - say why one derivative is not enough where a network saturates, and average many (SmoothGrad, integrated gradients);
# - explain with the maps inside the network (Grad-CAM) and share a score out among its neurons (layer conductance);
# - hold an explanation against the truth and against the network, and say what such a score is worth.
#
# **Time and points:** about 4 hours, 60 points: 50 for twelve exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. The exercises do not build on each other: skip one and come back to it.
#
# **Before you start:** the methods are derived in the [lecture](../../lectures/06_gradient_methods.ipynb). What you
# need of it is said again in each exercise. You need PyTorch's `torch.autograd.grad`, and hooks help in two exercises.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. The gradient by hand | 2 | 1 | 5 |
# | 2. Backward through a ReLU | 4 | 1 | 15 |
# | 3. Saliency | 5 | 2 | 20 |
# | 4. Input x gradient | 3 | 1 | 10 |
# | 5. Guided backpropagation | 6 | 3 | 25 |
# | 6. SmoothGrad | 5 | 2 | 20 |
# | 7. Saturation by hand | 3 | 1 | 10 |
# | 8. Who sees through saturation? | 2 | 2 | 10 |
# | 9. Integrated gradients | 6 | 3 | 25 |
# | 10. Integrated gradients by hand | 2 | 2 | 10 |
# | 11. Grad-CAM | 6 | 3 | 25 |
# | 12. Layer conductance | 6 | 4 | 30 |
# | 13. What the scores show | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on small networks that it makes up itself, and says one of these:
#
# - `saliency: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Four exercises are worked by hand. There your function takes nothing and returns your numbers (or names); the check
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
import warnings
from functools import partial

import torch
from captum import attr
from IPython.display import Markdown, display
from torch import Tensor, nn

from course_utils import evaluation, exercises, gradient_methods, models, plotting, zoo

unit = exercises.load("06_gradient_methods")
model = models.load("zoo")

# %% [markdown]
# ## The network and its images
#
# The **zoo** is a drawn data set: 64 x 64 colour images of ten classes. Because the images are drawn, the truth is
# known: which pixels are the object, and which part of it makes the class. A cup is a glass with a handle; the four
# animals share one silhouette and differ only in their coat. The object of a ring includes its hole, which makes it a
# ring; the opening in a cup's handle is background.
#
# The network is a flat `nn.Sequential`: four times convolution, ReLU, max pooling, then two dense layers. Its layers
# are called `"0"`, `"1"`, ... in order, and `model[10]` is the layer called `"10"`, the last ReLU with maps.
# `model(images)` gives the class scores $y$ (before any softmax), of shape `(N, 10)` for `N` images.

# %%
names = ["cup", "ring", "zebra", "star"]
drawn = [zoo.sample(n, seed=61, classes=[name]) for name, n in zip(names, (5, 11, 7, 9), strict=True)]
images = torch.stack([sample.images[-1] for sample in drawn])  # (4, 3, 64, 64), in [0, 1]
labels = torch.stack([sample.labels[-1] for sample in drawn])  # (4,)
objects = torch.stack([sample.mask("object")[-1] for sample in drawn])  # (4, 64, 64), True on the object

print(model)
with torch.no_grad():
    scores = model(images)
predictions = [f"{zoo.CLASSES[row.argmax()]}, score {row.max():.1f}" for row in scores]
plotting.image_grid(images, titles=predictions, heading="What the network says")

# %% [markdown]
# ## Exercise 1: the gradient by hand (2 points, difficulty 1 of 5, 5 minutes)
#
# Near a point $p$ a function is almost linear (Taylor): $f(p + d) \approx f(p) + w \cdot d$, where $w$ holds the
# derivatives at $p$. All of this lab is built on this $w$.
#
# **Compute** the gradient $(\partial f/\partial x,\ \partial f/\partial y)$ of $f(x, y) = x^2 + y^2 - 9$ at the point
# $(2, -1)$.
#
# **For example**, at the point $(3, 0)$ it is $(6, 0)$: there $f$ grows by about 6 for each step of 1 along $x$, and
# not at all along $y$.
#
# **Shape:** two numbers, $\partial f/\partial x$ first.


# %% nbgrader={"grade_id": "circle_gradient", "solution": true}
def circle_gradient() -> tuple[float, float]:
    """Return (df/dx, df/dy) of f(x, y) = x^2 + y^2 - 9 at the point (2, -1), worked by hand."""
    ### BEGIN SOLUTION
    return 4.0, -2.0  # (2x, 2y)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_circle_gradient", "grade": true, "locked": true, "points": 2}
unit["circle_gradient"].check(circle_gradient)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Take one variable at a time, and treat the other one as a constant. The derivative of a constant is 0.
#
# </details>
#
# <details><summary>My lines in the picture below do not touch the curves</summary>
#
# They must have the slope of the curve at the step 0. Look at which of the two is wrong, and at its sign: does $f$ grow
# or fall when $y$ goes from $-1$ to $-0.9$?
#
# </details>

# %%
step = torch.linspace(-1.5, 1.5, 61)
slope_x, slope_y = circle_gradient()
plotting.curves(
    {
        "f(2 + step, −1)": (step, (2 + step) ** 2 + 1 - 9),
        "your tangent along x": (step, -4 + slope_x * step),
        "f(2, −1 + step)": (step, 4 + (-1 + step) ** 2 - 9),
        "your tangent along y": (step, -4 + slope_y * step),
    },
    "step from the point (2, −1)",
    "f",
    "Your tangents",
)

# %% [markdown]
# Each of your straight lines should touch its curve at the step 0, and leave it slowly: that is all that a derivative
# promises.

# %% [markdown]
# ## Exercise 2: backward through a ReLU (4 points, difficulty 1 of 5, 15 minutes)
#
# A ReLU computes $X_{n+1} = \max(X_n, 0)$. On the way back a signal $R_{n+1} = \partial f/\partial X_{n+1}$ arrives
# from above, and the ReLU hands $R_n$ down. There are three rules, where $\mathbf{1}(\cdot)$ is 1 if the condition
# holds and 0 if not, element by element:
#
# | rule | $R_n$ | in words |
# | --- | --- | --- |
# | `"gradient"` | $R_{n+1} \cdot \mathbf{1}(X_n > 0)$ | pass where the ReLU was active: the derivative |
# | `"deconvnet"` | $R_{n+1} \cdot \mathbf{1}(R_{n+1} > 0)$ | pass what is positive on the way back |
# | `"guided"` | $R_{n+1} \cdot \mathbf{1}(X_n > 0) \cdot \mathbf{1}(R_{n+1} > 0)$ | both conditions |
#
# **Write** `relu_backward`. **Shapes:** both tensors have the same shape, whatever it is, and so has the result.
#
# **For example**, with $X_n = (2, -5, -7)$ and $R_{n+1} = (6, -3, 1)$ the gradient's rule gives $(6, 0, 0)$ and the
# deconvnet's rule $(6, 0, 1)$.


# %% nbgrader={"grade_id": "relu_backward", "solution": true}
def relu_backward(inputs: Tensor, output_gradient: Tensor, rule: str = "gradient") -> Tensor:
    """Return what a ReLU hands down on the way back.

    inputs: X_n, what went into the ReLU, of any shape.
    output_gradient: R_{n+1}, what comes from above, of the same shape.
    rule: "gradient", "deconvnet" or "guided".
    Returns R_n, of the same shape.
    """
    ### BEGIN SOLUTION
    was_active = (inputs > 0).to(output_gradient.dtype)
    positive_part = output_gradient.clamp(min=0)
    if rule == "gradient":
        return output_gradient * was_active
    if rule == "deconvnet":
        return positive_part
    return positive_part * was_active
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_relu_backward", "grade": true, "locked": true, "points": 4}
unit["relu_backward"].check(relu_backward)
### BEGIN HIDDEN TESTS
unit["relu_backward"].check(relu_backward, seed=61)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to write the condition</summary>
#
# `inputs > 0` is a tensor of `True` and `False`. What happens when you multiply a tensor of numbers with it?
#
# </details>
#
# <details><summary>I get an error, or None, for one of the rules</summary>
#
# Every rule needs its own `return`. Compare `rule` with the names as they stand in the table.
#
# </details>
#
# <details><summary>It is right on the tables in the picture below, but not on maps with exact zeros</summary>
#
# The conditions are strict: a ReLU with the input 0 was not active, and lets nothing through.
#
# </details>

# %%
X = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
R = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]])
plotting.matrices(
    {"forward: X": X, "from above: R": R} | {rule: relu_backward(X, R, rule) for rule in gradient_methods.RELU_RULES},
    heading="What your ReLU hands down: the three tables of the lecture",
)

# %% [markdown]
# Compare it with the tables in the lecture. The deconvnet's rule never looks at $X$: it gives the same whatever the
# image was. Only the max pooling tells the deconvnet anything about the image.

# %% [markdown]
# ## Exercise 3: saliency (5 points, difficulty 2 of 5, 20 minutes)
#
# Near the image $I_0$ the score of class $c$ is almost linear in the pixels, $y_c(I) \approx w \cdot I + b$ with
#
# $$w = \frac{\partial y_c}{\partial I}\Big|_{I_0}, \qquad M_{ij} = \max_{k}\, |w_{kij}|.$$
#
# The saliency map $M$ takes the largest magnitude over the colour channels $k$. It says which pixels have to be changed
# least to change the score most.
#
# **Write** `saliency`. **Shapes:** images `(N, C, H, W)` give maps `(N, H, W)`. `target` is one class for all images
# (an `int`) or one for each (a `LongTensor` of shape `(N,)`).
#
# **For example**, a pixel whose derivatives by red, green and blue are $(0.2, -0.7, 0.4)$ gets $M = 0.7$.


# %% nbgrader={"grade_id": "saliency", "solution": true}
def saliency(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return the saliency map max_k |dy_target/dI_k|.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images (N, C, H, W); they must not be changed.
    target: the class that is explained: an int, or a LongTensor (N,) with one class for each image.
    Returns (N, H, W), in units of score per unit of pixel value.
    """
    ### BEGIN SOLUTION
    pixels = inputs.detach().clone().requires_grad_()
    all_scores = model(pixels)
    # The images do not share a score, so the derivative of the sum is the derivative of each one.
    score = all_scores[torch.arange(len(pixels)), target].sum()
    (w,) = torch.autograd.grad(score, pixels)
    return w.abs().max(dim=1).values
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_saliency", "grade": true, "locked": true, "points": 5}
unit["saliency"].check(saliency)
### BEGIN HIDDEN TESTS
unit["saliency"].check(saliency, seed=62)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>"One of the differentiated Tensors does not require grad"</summary>
#
# autograd only records what depends on a tensor with `requires_grad`. The images that you are given have it switched
# off.
#
# </details>
#
# <details><summary>"'NoneType' object has no attribute 'abs'"</summary>
#
# After `.backward()` only a leaf has a `.grad`: the very tensor on which you switched requires_grad on, not one that
# was computed from it. `torch.autograd.grad(score, pixels)` returns the derivative and has no such trap.
#
# </details>
#
# <details><summary>The check says that I switched on requires_grad on the caller's inputs</summary>
#
# Work on a copy of your own: `inputs.detach().clone()`, and switch it on there.
#
# </details>
#
# <details><summary>"grad can be implicitly created only for scalar outputs"</summary>
#
# `torch.autograd.grad(score, pixels)` wants one number. The score of image 1 does not depend on the pixels of image 2.
# So what is the derivative of the sum of all target scores by the pixels of image 2?
#
# </details>
#
# <details><summary>It works for one target, but not for a target for each image</summary>
#
# `scores[:, target]` picks all the targets for all the images. You need entry `(n, target[n])` for each `n`: index with
# two tensors of length `N`, or look up `Tensor.gather`.
#
# </details>

# %%
other = torch.tensor([zoo.CLASSES.index(name) for name in ("glass", "ball", "horse", "ball")])
plotting.method_grid(
    images,
    {"for its class": saliency(model, images, labels), "for its rival": saliency(model, images, other)},
    titles=[f"{name} or {zoo.CLASSES[rival]}?" for name, rival in zip(names, other, strict=True)],
    masks=objects,
    heading="Your saliency: by which pixels the score moves most",
    label="largest |derivative|",
    quantile=0.995,
)

# %% [markdown]
# The outline is the true object. Much of each map lies beside it, and the map for the rival is often strong in the same
# places: the pixels that could make a ring more of a ring could also make it more of a ball. Saliency has no sign, so
# it cannot tell the two.

# %% [markdown]
# ## Exercise 4: input x gradient (3 points, difficulty 1 of 5, 10 minutes)
#
# In a linear model $y = \sum_i w_i x_i + b$ each input contributes $w_i x_i$. Input x gradient does the same with the
# derivative at the image:
#
# $$R = I \odot \frac{\partial y_c}{\partial I},$$
#
# element by element. It is signed: negative values speak against the class.
#
# **Write** `input_x_gradient`. **Shapes:** `(N, C, H, W)` in, `(N, C, H, W)` out.
#
# **For example**, $y = 2 x_1 - x_2$ at $x = (0.5, 0)$ gives $R = (1, 0)$. The second input gets nothing although
# $w_2 = -1$: whatever is 0 is never to blame. This is the method's side effect.


# %% nbgrader={"grade_id": "input_x_gradient", "solution": true}
def input_x_gradient(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return the contributions I * dy_target/dI.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    Returns (N, C, H, W), signed, in units of the score.
    """
    ### BEGIN SOLUTION
    pixels = inputs.detach().clone().requires_grad_()
    classes = torch.as_tensor(target).expand(len(pixels))
    score = model(pixels).gather(1, classes.unsqueeze(1)).sum()
    (w,) = torch.autograd.grad(score, pixels)
    return inputs.detach() * w
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_input_x_gradient", "grade": true, "locked": true, "points": 3}
unit["input_x_gradient"].check(input_x_gradient)
### BEGIN HIDDEN TESTS
unit["input_x_gradient"].check(input_x_gradient, seed=63)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# You have computed $w$ in exercise 3 already. Nothing is maximised here, and nothing loses its sign.
#
# </details>
#
# <details><summary>My answer carries a graph (grad_fn) with it</summary>
#
# The check does not mind, but your memory does: multiply with the images that were given, and not with the copy that
# requires gradients.
#
# </details>

# %%
painted = images.clone()
painted.masked_fill_(objects.unsqueeze(1), 0.0)
both = torch.cat([images[:2], painted[:2]])
plotting.method_grid(
    both,
    {
        "derivative": gradient_methods.gradient(model, both, labels[:2].repeat(2)),
        "your input x gradient": input_x_gradient(model, both, labels[:2].repeat(2)),
    },
    titles=[*names[:2], *(f"{name}, painted black" for name in names[:2])],
    masks=objects[:2].repeat(2, 1, 1),
    heading="Red speaks for the class, blue against it. Black pixels never speak",
    quantile=0.995,
)

# %% [markdown]
# In the lower rows the objects are painted black, all zeros (the ring with its hole). The derivative is not 0 there, if
# often small; your map is exactly 0. The zero is an accident of how colours are written down: in an image with the
# colours inverted it would be the white pixels.

# %% [markdown]
# ## Exercise 5: guided backpropagation (6 points, difficulty 3 of 5, 25 minutes)
#
# Guided backpropagation is the derivative $\partial y_c/\partial I$, but on the way back **every** ReLU uses the rule
# `"guided"` of exercise 2:
#
# $$R_n = R_{n+1} \cdot \mathbf{1}(X_n > 0) \cdot \mathbf{1}(R_{n+1} > 0).$$
#
# All other layers hand down what they always do. The network must be the same afterwards: nothing replaced, no hook
# left on it, also when something goes wrong on the way.
#
# **Write** `guided_backprop`. All networks here have their ReLUs as layers of their own (`nn.ReLU()`), each used once.
# **Shapes:** `(N, C, H, W)` in, `(N, C, H, W)` out.
#
# **For example**, $y = \max(x_1, 0) - \max(x_2, 0)$ at $x = (1, 2)$: the derivative is $(1, -1)$, guided
# backpropagation gives $(1, 0)$, since the signal that arrives at the second ReLU is $-1$. And $y = \max(-x, 0)$ at
# $x = -2$ gives $-1$: the ReLU hands down 1, and the weight $-1$ below it makes it negative. Below the first ReLU
# nothing is cut any more.


# %% nbgrader={"grade_id": "guided_backprop", "solution": true}
def guided_backprop(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    """Return guided backpropagation: the derivative dy_target/dI with the rule "guided" at every ReLU.

    model: images (N, C, H, W) to class scores (N, K), each ReLU an nn.ReLU of its own; it must be left as it was.
    inputs: images (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    Returns (N, C, H, W), signed.
    """
    ### BEGIN SOLUTION

    def keep_positive(relu: nn.Module, handed_down: tuple[Tensor, ...], arrived: tuple[Tensor, ...]):
        # handed_down is arrived * 1(X_n > 0) already: what is left to do is to drop its negative part.
        return (handed_down[0].clamp(min=0),)

    hooks = [
        layer.register_full_backward_hook(keep_positive) for layer in model.modules() if isinstance(layer, nn.ReLU)
    ]
    try:
        pixels = inputs.detach().clone().requires_grad_()
        score = model(pixels)[torch.arange(len(pixels)), target].sum()
        return torch.autograd.grad(score, pixels)[0]
    finally:
        for hook in hooks:
            hook.remove()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_guided_backprop", "grade": true, "locked": true, "points": 6}
unit["guided_backprop"].check(guided_backprop)
### BEGIN HIDDEN TESTS
unit["guided_backprop"].check(guided_backprop, seed=64)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to change what a ReLU does on the way back</summary>
#
# There are two ways. `layer.register_full_backward_hook(f)` calls `f(layer, grad_input, grad_output)` in the backward
# pass, and what `f` returns (a tuple) is handed down in place of `grad_input`. Or write your own
# `torch.autograd.Function` with a `forward` and a `backward`, and run the layers of the `nn.Sequential` one by one,
# your function in place of each `nn.ReLU`.
#
# </details>
#
# <details><summary>The check says that this is the plain gradient</summary>
#
# Is your hook on the right layers (`isinstance(layer, nn.ReLU)`), and on them before `model(...)` is called? A hook
# that returns `None` changes nothing.
#
# </details>
#
# <details><summary>The check says that this is the deconvnet</summary>
#
# In a hook, `grad_output` is $R_{n+1}$, which knows nothing of $X_n$; `grad_input` is what the ReLU would hand down by
# the gradient's rule. Which of the two has one of your conditions in it already?
#
# </details>
#
# <details><summary>The check says that a hook is still on a layer</summary>
#
# `register_full_backward_hook` returns a handle. Keep all handles, and call `handle.remove()` on each in a `finally:`.
# What an earlier try has left on `model` stays on it: load the network anew, as the picture below does.
#
# </details>

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one
plotting.method_grid(
    images,
    {
        "derivative": gradient_methods.gradient(model, images, labels),
        "your guided backprop": guided_backprop(model, images, labels),
    },
    titles=names,
    masks=objects,
    heading="The same backward pass, with and without the guided rule",
    quantile=0.995,
)

# %% [markdown]
# Guided backpropagation draws much cleaner pictures. But is a clean picture a true one? Keep the question in mind until
# the end of the lab.

# %% [markdown]
# ## Exercise 6: SmoothGrad (5 points, difficulty 2 of 5, 20 minutes)
#
# The derivative jumps about between neighbouring images. SmoothGrad averages it over $n$ noisy copies of the image:
#
# $$R = \frac 1 n \sum_{k=1}^{n} \frac{\partial y_c}{\partial I}(I + \varepsilon_k), \qquad
# \varepsilon_k \sim \mathcal N(0, \sigma^2),$$
#
# where every number of every copy has noise of its own. It is the mean of the **signed** derivatives; the noisy copies
# are not clipped.
#
# **Write** `smoothgrad`. $n$ is `n_samples`, and $\sigma$ is `stdevs`, in units of pixel value. Draw the noise with
# `generator` (`torch.randn(..., generator=generator)` takes it, also when it is `None`), so that the same generator
# gives the same map. **Shapes:** `(N, C, H, W)` in, `(N, C, H, W)` out.
#
# **For example**, $y = x^3$ at $x = 0.5$ with two samples whose noise is $0.1$ and $-0.1$: the derivatives are
# $3 \cdot 0.6^2 = 1.08$ and $3 \cdot 0.4^2 = 0.48$, and their mean is $0.78$. Without noise it would be $0.75$.


# %% nbgrader={"grade_id": "smoothgrad", "solution": true}
def smoothgrad(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return SmoothGrad: the mean of the signed derivatives dy_target/dI at noisy copies of the images.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    n_samples: number of noisy copies of each image.
    stdevs: standard deviation of the noise, in units of pixel value.
    generator: draws the noise.
    Returns (N, C, H, W), signed, in units of score per unit of pixel value.
    """
    ### BEGIN SOLUTION
    total = torch.zeros_like(inputs)
    for _ in range(n_samples):
        noise = stdevs * torch.randn(inputs.shape, generator=generator)
        noisy = (inputs.detach() + noise).requires_grad_()
        score = model(noisy)[torch.arange(len(noisy)), target].sum()
        total += torch.autograd.grad(score, noisy)[0]
    return total / n_samples
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_smoothgrad", "grade": true, "locked": true, "points": 5}
unit["smoothgrad"].check(smoothgrad)
### BEGIN HIDDEN TESTS
unit["smoothgrad"].check(smoothgrad, seed=65)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>My map has other numbers than my neighbour's</summary>
#
# It should, unless you draw with the same generator in the same order. The check knows how much chance may do: it uses
# functions whose SmoothGrad can be worked out, many samples, and networks where noise changes nothing.
#
# </details>
#
# <details><summary>The check is right without noise, and wrong with it</summary>
#
# Look at the noise itself: its mean is 0, its standard deviation is `stdevs` and not `stdevs ** 2`, it has the shape of
# the images, colours and all, and it is added to the clean image each time, not to the noisy one of before.
#
# </details>
#
# <details><summary>My map is nowhere negative</summary>
#
# The magnitude is taken for a picture, if at all, and never before the mean: there it keeps the noise from cancelling
# out.
#
# </details>
#
# <details><summary>The check says that I drew from the global random state</summary>
#
# `torch.randn_like` cannot take a generator; `torch.randn(inputs.shape, generator=generator)` can.
#
# </details>

# %%
plotting.method_grid(
    images,
    {"derivative": gradient_methods.gradient(model, images, labels)}
    | {
        f"yours, {n} samples": smoothgrad(
            model, images, labels, n_samples=n, generator=torch.Generator().manual_seed(0)
        )
        for n in (2, 10, 50)
    },
    titles=names,
    masks=objects,
    heading="Your SmoothGrad: the more samples, the less noise",
    quantile=0.995,
)

# %% [markdown]
# The noise that you add first makes the map worse, and then the mean takes it out again, and with it what jumps about:
# with 50 samples most of the specks beside the object are gone. What is left is the derivative of a smoothed network.
# It is another question than the one you began with: "what moves the score near this image?" has become "what moves it
# in a neighbourhood of size $\sigma$?". The answer is worth something as long as the network still knows what it sees:
# this one was trained with noise, and at $\sigma = 0.15$ it puts nearly all images into their class.

# %% [markdown]
# ## Exercise 7: saturation by hand (3 points, difficulty 1 of 5, 10 minutes)
#
# The network of the lecture has two inputs and one ReLU:
#
# $$y(i_1, i_2) = 1 - \max(0,\ 1 - i_1 - i_2).$$
#
# It grows with $i_1 + i_2$ until the sum is 1. From there on it is saturated and stays at 1.
#
# **Compute**, in this order: $\partial y/\partial i_1$ at $(0.25, 0.5)$; $\partial y/\partial i_1$ at $(1, 1)$; and
# what occlusion sees when it sets $i_1$ to 0, $y(1, 1) - y(0, 1)$.
#
# **For example**, $y(0.25, 0.25) = 1 - \max(0, 0.5) = 0.5$.
#
# **Shape:** three numbers.


# %% nbgrader={"grade_id": "saturation", "solution": true}
def saturation() -> tuple[float, float, float]:
    """Return dy/di1 at (0.25, 0.5), dy/di1 at (1, 1), and y(1, 1) - y(0, 1), worked by hand."""
    ### BEGIN SOLUTION
    return 1.0, 0.0, 0.0
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_saturation", "grade": true, "locked": true, "points": 3}
unit["saturation"].check(saturation)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Work out $1 - i_1 - i_2$ at the point first. If it is positive, the maximum is that number; if it is negative, the
# maximum is the constant 0.
#
# </details>
#
# <details><summary>My first number has the wrong sign</summary>
#
# There is a minus before the maximum, and another one before $i_1$.
#
# </details>
#
# <details><summary>I expected occlusion to see more</summary>
#
# Put the numbers in: $y(0, 1) = 1 - \max(0, 1 - 0 - 1)$.
#
# </details>

# %%
i1 = torch.linspace(0, 1.5, 151)
slope_before, slope_after, occluded = saturation()
near = torch.tensor([-0.2, 0.2])  # steps along i1
plotting.curves(
    {
        "y(i1, 0.5)": (i1, 1 - (1 - i1 - 0.5).clamp(min=0)),
        "your slope at (0.25, 0.5)": (0.25 + near, 0.75 + slope_before * near),
        "y(i1, 1)": (i1, 1 - (1 - i1 - 1).clamp(min=0)),
        "your slope at (1, 1)": (1 + near, 1 + slope_after * near),
    },
    "i1",
    "y",
    f"Your slopes; occlusion: {occluded:g}",
)

# %% [markdown]
# Your slopes should lie on the curves. At $(1, 1)$ the curve is flat, to the left as well: neither a derivative nor
# taking one input away notices that it was needed.

# %% [markdown]
# ## Exercise 8: who sees through saturation? (2 points, difficulty 2 of 5, 10 minutes)
#
# At $(1, 1)$ the network of exercise 7 gives $y = 1$, and with both inputs at 0 it gives 0. So somebody should get the
# credit.
#
# **Decide**: which of these methods give $i_1$ and $i_2$ a value other than 0 at $(1, 1)$?
#
# - `"gradient"`
# - `"input x gradient"`
# - `"occlusion"`: one input at a time is set to 0, and the change of $y$ is its value.
# - `"integrated gradients"` from the baseline $(0, 0)$: for each input, the mean of the derivative on the straight way
#   from the baseline to the point, times the way that the input goes (see exercise 9).
#
# **For example**, at $(0.25, 0.5)$, where nothing is saturated, it is all four.
#
# **Shape:** a set of names.


# %% nbgrader={"grade_id": "saturation_methods", "solution": true}
def saturation_methods() -> set[str]:
    """Return the names of the methods whose values of i1 and i2 at (1, 1) are not 0.

    Choose from "gradient", "input x gradient", "occlusion", "integrated gradients".
    """
    ### BEGIN SOLUTION
    return {"integrated gradients"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_saturation_methods", "grade": true, "locked": true, "points": 2}
unit["saturation_methods"].check(saturation_methods)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Exercise 7 has the derivative at $(1, 1)$, and what occlusion sees. Which methods are made of nothing but these?
#
# </details>
#
# <details><summary>How can anything see through it, if the derivative is 0?</summary>
#
# The derivative is 0 at $(1, 1)$. Is it 0 everywhere on the way from $(0, 0)$ to $(1, 1)$?
#
# </details>

# %%
two_inputs = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1)).eval()
with torch.no_grad():
    for layer in (two_inputs[1], two_inputs[3]):
        layer.weight.fill_(-1.0)
        layer.bias.fill_(1.0)
point = torch.tensor([[[[0.4, 1.6]]]])  # another saturated point (i1, i2), as an image of two pixels
values = {
    "gradient": gradient_methods.gradient(two_inputs, point, 0),
    "input x gradient": gradient_methods.input_x_gradient(two_inputs, point, 0),
    "occlusion": two_inputs(point) - two_inputs(torch.tensor([[[[0.0, 1.6]]], [[[0.4, 0.0]]]])),
    "integrated gradients": gradient_methods.integrated_gradients(two_inputs, point, 0, n_steps=100),
}
lines = ["| method | i1 | i2 |", "| --- | ---: | ---: |"]
named = saturation_methods()
for name in sorted({named} if isinstance(named, str) else named):
    lines.append("| {} | {:.2f} | {:.2f} |".format(name, *values[name].flatten().tolist()))
display(
    Markdown("What the methods that you named say at (0.4, 1.6), where y is saturated, too:\n\n" + "\n".join(lines))
)

# %% [markdown]
# ## Exercise 9: integrated gradients (6 points, difficulty 3 of 5, 25 minutes)
#
# One derivative sees one point. Integrated gradients follow the straight path from a **baseline** $I'$, an image
# without the object (often black), to the image $I$, and average the derivative along it:
#
# $$R = (I - I') \odot \int_0^1 \frac{\partial y_c}{\partial I}\big(I' + \alpha (I - I')\big)\, d\alpha .$$
#
# Their sum over all pixels and channels is $y_c(I) - y_c(I')$: this is called **completeness**.
#
# **Write** `integrated_gradients`. Replace the integral by the mean over `n_steps` points on the path; which points is
# up to you (the middles of equal steps are a good choice). `baselines` is `None` for a black image, or a tensor of the
# shape of `inputs`. **Shapes:** `(N, C, H, W)` in, `(N, C, H, W)` out.
#
# **For example**, $y = x^2$ with $x' = 1$ and $x = 3$. Two steps have their middles at $\alpha = 0.25$ and $0.75$, that
# is at $1.5$ and $2.5$; the derivatives there are 3 and 5, their mean is 4, and $R = (3 - 1) \cdot 4 = 8$. Indeed
# $y(3) - y(1) = 9 - 1 = 8$.


# %% nbgrader={"grade_id": "integrated_gradients", "solution": true}
def integrated_gradients(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    """Return the integrated gradients along the straight path from the baselines to the images.

    model: images (N, C, H, W) to class scores (N, K).
    inputs: images I, (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    baselines: the images I' where the paths start, (N, C, H, W), or None for black images.
    n_steps: number of points on the path.
    Returns (N, C, H, W), signed, in units of the score.
    """
    ### BEGIN SOLUTION
    start = torch.zeros_like(inputs) if baselines is None else baselines
    way = inputs.detach() - start
    total = torch.zeros_like(way)
    for k in range(n_steps):
        here = (start + (k + 0.5) / n_steps * way).requires_grad_()
        score = model(here)[torch.arange(len(here)), target].sum()
        total += torch.autograd.grad(score, here)[0]
    return way * total / n_steps
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_integrated_gradients", "grade": true, "locked": true, "points": 6}
unit["integrated_gradients"].check(integrated_gradients)
### BEGIN HIDDEN TESTS
unit["integrated_gradients"].check(integrated_gradients, seed=66)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Write a loop over $\alpha$. In it, make the image at $\alpha$, and compute the derivative there as in exercise 3.
# Think about the factor $(I - I')$ at the end.
#
# </details>
#
# <details><summary>My map is all zeros, or an error says that something was not used in the graph</summary>
#
# The derivative is taken by the image at $\alpha$, so this is the tensor that must require gradients, and go into
# the model. Make it first, then switch `requires_grad` on.
#
# </details>
#
# <details><summary>The sum of my map is not y(I) − y(I′)</summary>
#
# Is it larger by the factor `n_steps`? Then you added up and did not average. Is it something else? Then look at the
# factor: it is the whole way from the baseline to the image.
#
# </details>
#
# <details><summary>It works with the black baseline, and not with others</summary>
#
# The baseline appears twice: where the path starts, and in the factor.
#
# </details>

# %%
baselines = {
    "black": torch.zeros_like(images),
    "grey": torch.full_like(images, 0.5),
    "blurred": evaluation.blurred(images),
}
maps = {name: integrated_gradients(model, images, labels, baseline) for name, baseline in baselines.items()}
with torch.no_grad():
    rows = torch.arange(len(images))
    for name, baseline in baselines.items():
        change = model(images)[rows, labels] - model(baseline)[rows, labels]
        total = maps[name].sum((1, 2, 3))
        print(f"{name:>8} baseline: sum of the map {total[0]:.2f}, y(I) − y(I′) {change[0]:.2f} ({names[0]})")
plotting.method_grid(
    images,
    {f"{name} baseline": values for name, values in maps.items()},
    titles=names,
    masks=objects,
    heading="Your integrated gradients: the baseline is part of the question",
    quantile=0.995,
)

# %% [markdown]
# Each map adds up to its own $y(I) - y(I')$, as closely as 50 steps allow, and yet they differ: "what makes this a cup,
# rather than a black image?" is another question than "rather than its own blur?". The blur keeps the background, so
# that little but the object, and the small shapes beside it, is left to explain.

# %% [markdown]
# ## Exercise 10: integrated gradients by hand (2 points, difficulty 2 of 5, 10 minutes)
#
# Back to $y(i_1, i_2) = 1 - \max(0,\ 1 - i_1 - i_2)$. **Compute** the integrated gradients of $i_1$ and $i_2$ at the
# point $(1, 1)$ with the baseline $(0, 0)$.
#
# On the path, $i_1 = i_2 = \alpha$. You know the derivative at every $\alpha$ from exercise 7.
#
# **For example**, at the point $(0.5, 0.5)$ nothing saturates on the way: the derivative is 1 all along, and both get
# $(0.5 - 0) \cdot 1 = 0.5$.
#
# **Shape:** two numbers.


# %% nbgrader={"grade_id": "saturation_integrated", "solution": true}
def saturation_integrated() -> tuple[float, float]:
    """Return the integrated gradients of i1 and i2 at (1, 1) with the baseline (0, 0), worked by hand."""
    ### BEGIN SOLUTION
    return 0.5, 0.5
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_saturation_integrated", "grade": true, "locked": true, "points": 2}
unit["saturation_integrated"].check(saturation_integrated)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The mean of the derivative over the path is an area: draw $\partial y/\partial i_1$ over $\alpha$ from 0 to 1.
#
# </details>
#
# <details><summary>How can I know that my numbers are right?</summary>
#
# Completeness: they add up to $y(1, 1) - y(0, 0)$. And nothing tells $i_1$ and $i_2$ apart.
#
# </details>

# %%
alpha = torch.linspace(0, 1, 201)
share, _ = saturation_integrated()
plotting.curves(
    {
        "derivative by i1 at (α, α)": (alpha, (2 * alpha < 1).float()),
        "its mean, as you say": (alpha, torch.full_like(alpha, share)),
        "y(α, α)": (alpha, 1 - (1 - 2 * alpha).clamp(min=0)),
    },
    "α, from the baseline (0) to the point (1)",
    "derivative, y",
    "Your mean",
)

# %% [markdown]
# The area below the derivative and the area below your mean should be the same. $y$ grows only while the derivative is
# not 0.

# %% [markdown]
# ## Exercise 11: Grad-CAM (6 points, difficulty 3 of 5, 25 minutes)
#
# Grad-CAM does not go back to the pixels. It stops at a layer with feature maps $A_k$ of size $h \times w$, gives each
# map one weight, and adds them up:
#
# $$a_k = \frac{1}{h w} \sum_{i, j} \frac{\partial y_c}{\partial A_{kij}}, \qquad
# L = \max\Big(0,\ \sum_k a_k A_k\Big).$$
#
# **Write** `grad_cam`. `layer` is the layer's name, such as `"10"`; its output are the maps $A$. The networks are flat
# `nn.Sequential`s, whose names are the positions: `model[int(layer)]` is the layer.
# **Shapes:** with maps `(N, K, h, w)` the result is `(N, 1, h, w)`, as small as the maps are.
#
# **For example**, with $A_1 = \begin{pmatrix} 1 & 0 \\ 0 & 2 \end{pmatrix}$,
# $\frac{\partial y}{\partial A_1} = \begin{pmatrix} 2 & 2 \\ 2 & 2 \end{pmatrix}$,
# $A_2 = \begin{pmatrix} 3 & 1 \\ 0 & 0 \end{pmatrix}$,
# $\frac{\partial y}{\partial A_2} = \begin{pmatrix} -4 & 0 \\ 0 & 0 \end{pmatrix}$
# the weights are $a = (2, -1)$, and $L = \max\Big(0, \begin{pmatrix} -1 & -1 \\ 0 & 4 \end{pmatrix}\Big) =
# \begin{pmatrix} 0 & 0 \\ 0 & 4 \end{pmatrix}$.


# %% nbgrader={"grade_id": "grad_cam", "solution": true}
def grad_cam(model: nn.Sequential, inputs: Tensor, target: int | Tensor, layer: str) -> Tensor:
    """Return Grad-CAM of a layer, max(0, sum_k a_k A_k).

    model: images (N, C, H, W) to class scores (N, K), a flat nn.Sequential; it must be left as it was.
    inputs: images (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    layer: name of a layer whose output are feature maps (N, K, h, w), such as "10".
    Returns (N, 1, h, w), not negative.
    """
    ### BEGIN SOLUTION
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, arguments, output: seen.append(output))
    try:
        score = model(inputs.detach().clone().requires_grad_())[torch.arange(len(inputs)), target].sum()
    finally:
        handle.remove()
    maps = seen[0]
    (gradients,) = torch.autograd.grad(score, maps)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(dim=1, keepdim=True)).detach()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_grad_cam", "grade": true, "locked": true, "points": 6}
unit["grad_cam"].check(grad_cam)
### BEGIN HIDDEN TESTS
unit["grad_cam"].check(grad_cam, seed=67)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know how to get at the maps</summary>
#
# A part of an `nn.Sequential` is one, too: `model[: int(layer) + 1]` ends with the layer, and `model[int(layer) + 1 :]`
# goes on from its output. Or use a forward hook on the layer, which is called with its output.
#
# </details>
#
# <details><summary>autograd says that something was not used in the graph, or does not require grad</summary>
#
# The derivative is taken by the maps themselves. If you cut the network in two, the maps are the input of the second
# half: give it a detached copy that requires gradients. If you use a hook, do not detach before the backward pass.
#
# </details>
#
# <details><summary>My map has the shape (N, K, h, w), or (N, h, w)</summary>
#
# The sum runs over the maps $k$ and leaves one channel: `keepdim=True`.
#
# </details>
#
# <details><summary>My map is all zeros</summary>
#
# If it is so for every image: is the ReLU on the weights, or on the derivatives? It belongs to the end alone. For a
# single image zeros may be right: then no place of the layer speaks for the class.
#
# </details>

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one
plotting.method_grid(
    images,
    {
        f"layer {layer!r}, {size}": grad_cam(model, images, labels, layer)
        for layer, size in (("4", "32 x 32"), ("10", "8 x 8"))
    },
    titles=names,
    masks=objects,
    heading="Your Grad-CAM, close to the image and deep in the network",
)

# %% [markdown]
# Deep in the network the maps know what they see, and hardly where: 8 x 8 numbers for 64 x 64 pixels. Closer to the
# image they know where, but one weight for a whole map of edges says little about a class (the bars along the frame are
# where the picture meets the zeros of the padding). And much of a deep map may lie beside the object, as for the cup
# and the star: each of its numbers has seen a whole neighbourhood, and its weight is a mean over all places.

# %% [markdown]
# ## Exercise 12: layer conductance (6 points, difficulty 4 of 5, 30 minutes)
#
# Which neurons carried the score? Let the image go from the baseline $I'$ to $I$ as in exercise 9. On the way the
# activation $h_j$ of each neuron of a layer moves, and it moves the score by $\partial y/\partial h_j$ times as much:
#
# $$\mathrm{Cond}_j = \int_0^1 \frac{\partial y_c}{\partial h_j}\big(I(\alpha)\big)\, \frac{d h_j}{d\alpha}\, d\alpha
# \;\approx\; \sum_{k=1}^{n} \frac{\partial y_c}{\partial h_j}\big(I(\alpha_k)\big)\,
# \big[h_j(I(k/n)) - h_j(I((k-1)/n))\big],$$
#
# with $I(\alpha) = I' + \alpha (I - I')$ and $\alpha_k$ anywhere in step $k$, for example in its middle. The $h_j$ need
# not move in a straight line although $I$ does: so each step counts with its own change of $h_j$. In a network that is
# a chain of layers, the conductances of a layer add up to $y_c(I) - y_c(I')$.
#
# **Write** `layer_conductance`. $n$ is `n_steps`; `layer`, `baselines` and `target` are as in exercises 11 and 9.
# **Shapes:** the result has the shape of the layer's output, for example `(N, K, h, w)`.
#
# **For example**, one neuron $h = 2x$, $y = h^2$, from $x' = 0$ to $x = 1$ in two steps: $h$ goes 0, 1, 2. In the
# middles of the steps $h$ is $0.5$ and $1.5$, and $dy/dh = 2h$ is 1 and 3. So
# $\mathrm{Cond} = 1 \cdot 1 + 3 \cdot 1 = 4$, which is $y(1) - y(0)$.


# %% nbgrader={"grade_id": "layer_conductance", "solution": true}
def layer_conductance(
    model: nn.Sequential,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    """Return the conductance of each neuron of a layer, along the straight path from the baselines to the images.

    model: images (N, C, H, W) to class scores (N, K), a flat nn.Sequential; it must be left as it was.
    inputs: images I, (N, C, H, W); they must not be changed.
    target: an int, or a LongTensor (N,).
    layer: name of the layer, such as "10".
    baselines: the images I' where the paths start, (N, C, H, W), or None for black images.
    n_steps: number of steps on the path.
    Returns the shape of the layer's output, signed, in units of the score.
    """
    ### BEGIN SOLUTION
    cut = int(layer) + 1
    below, above = model[:cut], model[cut:]
    start = torch.zeros_like(inputs) if baselines is None else baselines
    way = inputs.detach() - start

    def neurons(alpha: float) -> Tensor:
        with torch.no_grad():
            return below(start + alpha * way)

    before, total = neurons(0.0), 0.0
    for k in range(n_steps):
        middle = neurons((k + 0.5) / n_steps).requires_grad_()
        score = above(middle)[torch.arange(len(inputs)), target].sum()
        (slope,) = torch.autograd.grad(score, middle)
        after = neurons((k + 1) / n_steps)
        total = total + slope * (after - before)
        before = after
    return total
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_layer_conductance", "grade": true, "locked": true, "points": 6}
unit["layer_conductance"].check(layer_conductance)
### BEGIN HIDDEN TESTS
unit["layer_conductance"].check(layer_conductance, seed=68)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Cut the network in two at the layer. The lower half turns a point of the path into the activations $h$, the upper half
# turns $h$ into scores. Write the loop over the steps as in exercise 9, and print the shapes of what you have.
#
# </details>
#
# <details><summary>I have dy/dh. What is the other factor?</summary>
#
# How much $h$ itself changed in this step: the activation at its end, minus that at its beginning. No derivative is
# needed.
#
# </details>
#
# <details><summary>My numbers get smaller when n_steps grows</summary>
#
# The changes of $h$ get smaller by themselves. So the steps are added up, and there is no division by $n$.
#
# </details>
#
# <details><summary>The sum is right, but the check is not content</summary>
#
# Many wrong ways share the right sum, or nearly. Gradient and change must belong to the same step, neuron by neuron,
# and the product is added up step by step; the mean of the one times the whole of the other is something else.
#
# </details>

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one
conductance = layer_conductance(model, images[:1], labels[:1], "10", baselines=evaluation.blurred(images[:1]))
per_channel = conductance.sum((0, 2, 3))
strongest = per_channel.abs().argsort(descending=True)[:5]
with torch.no_grad():
    change = model(images[:1]) - model(evaluation.blurred(images[:1]))
print(f"sum of all conductances {conductance.sum():.2f}, y(I) − y(I′) {change[0, labels[0]]:.2f}")
plotting.heatmap_grid(
    conductance[0, strongest],
    titles=[f"channel {channel}: {per_channel[channel]:+.1f}" for channel in strongest],
    images=images[:1].expand(5, -1, -1, -1),
    masks=objects[:1].expand(5, -1, -1),
    heading=f"Your conductance: the five channels of layer '10' that carry most of the score of the {names[0]}",
    label="part of the score",
)

# %% [markdown]
# The numbers above the maps add up over all 64 channels to the printed sum. A few channels carry much of it, each at
# places of its own, and some count against the class.

# %% [markdown]
# ## Your functions and captum's
#
# [captum](https://captum.ai) is the library that people use for this. If your functions are right, you have rebuilt a
# part of it. From here on each of your functions is used if it passes its check, and otherwise the one of
# `course_utils` is; the list says which.

# %%
model = models.load("zoo")  # a fresh copy: an earlier try may have left its hooks on the old one
chosen, whose = {}, {}
for name in (
    "saliency",
    "input_x_gradient",
    "guided_backprop",
    "smoothgrad",
    "integrated_gradients",
    "grad_cam",
    "layer_conductance",
):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name], whose[name] = globals()[name], "yours"
    except (AssertionError, NotImplementedError):
        chosen[name], whose[name] = getattr(gradient_methods, name), "course_utils"
    print(f"{name:>20}: {whose[name]}")

# %%
torch.manual_seed(0)  # captum's NoiseTunnel draws from torch's global generator
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # captum warns of the hooks that it sets
    of_captum = {
        "saliency": attr.Saliency(model).attribute(images, labels).amax(1),
        "input_x_gradient": attr.InputXGradient(model).attribute(images, labels),
        "guided_backprop": attr.GuidedBackprop(model).attribute(images, labels),
        "smoothgrad": attr.NoiseTunnel(attr.Saliency(model)).attribute(
            images,
            nt_type="smoothgrad",
            nt_samples=100,
            nt_samples_batch_size=10,
            stdevs=0.15,
            target=labels,
            abs=False,
        ),
        "integrated_gradients": attr.IntegratedGradients(model).attribute(images, target=labels, internal_batch_size=8),
        "grad_cam": attr.LayerGradCam(model, model[10]).attribute(images, labels, relu_attributions=True),
        "layer_conductance": attr.LayerConductance(model, model[10]).attribute(
            images, target=labels, internal_batch_size=8
        ),
    }
options = {
    "smoothgrad": {"n_samples": 100, "generator": torch.Generator().manual_seed(1)},
    "grad_cam": {"layer": "10"},
    "layer_conductance": {"layer": "10"},
}
lines = ["| method | whose | correlation with captum | largest difference |", "| --- | --- | ---: | ---: |"]
for name, right in of_captum.items():
    came = chosen[name](model, images, labels, **options.get(name, {})).detach()
    correlation = torch.corrcoef(torch.stack([came.flatten(), right.detach().flatten()]))[0, 1]
    difference = (came - right).abs().max() / right.abs().max()
    lines.append(f"| {name} | {whose[name]} | {correlation:.6f} | {100 * difference:.4f} % |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The largest difference is a share of captum's largest value. Four methods agree up to rounding. The two with an
# integral agree closely and not exactly: captum takes other points on the path (Gauss-Legendre). SmoothGrad is random:
# two runs with different noise never agree exactly, not even two of captum's.

# %% [markdown]
# ## Your functions and the truth
#
# Agreement with a library says that you computed the method. It does not say that the method finds what made the
# network decide. On the zoo there is a truth to compare with. Three scores hold a map against the mask of the true
# object:
#
# - **pointing game:** how often the highest pixel lies on the object;
# - **mass:** the share of the positive relevance that lies on the object;
# - **rank:** the share of the $K$ highest pixels that lie on the object, which has $K$ pixels.
#
# All three take one number a pixel: a signed map is added up over its colour channels. Where pixels tie, each of them
# counts in part, so that a constant map gets the object's share of the area.
#
# A fourth one does not know the object at all and asks the **network**:
#
# - **deletion:** grey out the highest pixels first, step by step, and follow the probability of the class. The score is
#   the mean probability on the way: **low is good**, the pixels that were named first did matter. (Mind that grey holes
#   are also new shapes, which the network never saw. The lecture fills the holes with blur instead, and the order of
#   the methods changes.)
#
# And there are three controls, which never look at the network: an **edge detector** (Sobel), **noise**, and a
# **constant map**. No explanation is worth more than what it scores beyond them.

# %%
test = zoo.sample(60, seed=2024)
noise = torch.Generator().manual_seed(0)


def at_image_size(maps: Tensor) -> Tensor:
    """Stretch the maps of a layer, (N, K, h, w), to the size of the images, and add up the channels: (N, 1, 64, 64)."""
    return gradient_methods.upsample(maps.sum(1, keepdim=True).detach(), (64, 64))


def blurred_integrated_gradients(inputs: Tensor, target: Tensor) -> Tensor:
    """Return integrated gradients with the image's own blur as the baseline."""
    return chosen["integrated_gradients"](model, inputs, target, baselines=evaluation.blurred(inputs), n_steps=20)


explain = {
    "saliency": partial(chosen["saliency"], model),
    "input x gradient": partial(chosen["input_x_gradient"], model),
    "guided backprop": partial(chosen["guided_backprop"], model),
    "SmoothGrad": partial(chosen["smoothgrad"], model, n_samples=20, generator=torch.Generator().manual_seed(2)),
    "integrated gradients, black": partial(chosen["integrated_gradients"], model, n_steps=20),
    "integrated gradients, blur": blurred_integrated_gradients,
    "Grad-CAM": lambda inputs, target: at_image_size(chosen["grad_cam"](model, inputs, target, "10")),
    "layer conductance": lambda inputs, target: at_image_size(
        chosen["layer_conductance"](model, inputs, target, "10", n_steps=20)
    ),
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
few = slice(0, 24)  # deletion asks the network 12 times for every map, so fewer images have to do
deletion = evaluation.score_table(
    explain,
    test.images[few],
    test.labels[few],
    test.mask("object")[few],
    metrics={
        "deletion (low is good)": lambda attributions, masks: evaluation.deletion_auc(
            model, test.images[few], test.labels[few], attributions, n_steps=12
        )
    },
)
plotting.score_chart(deletion, controls, title="Against the network: deletion, 24 images")

# %%
examples = {
    name: explain[name](images, labels) for name in ("guided backprop", "integrated gradients, blur", "Grad-CAM")
}
plotting.method_grid(
    images,
    examples | {"edge detector": evaluation.edge_map(images)},
    titles=names,
    masks=objects,
    heading="Three explanations, and a map that has never seen the network",
    quantile=0.995,
)

# %% [markdown]
# ## 13. What the scores show, and what they do not (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "scores", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures of the two charts above; you may run more code
# and draw more pictures in new cells. Say for every claim which number it rests on.
#
# 1. **Against the truth.** Which explanation comes out best, and where does the edge detector come out? What does it
#    mean for these three scores that a control which never looks at the network does so well? (3 points)
# 2. **Against the network.** Name a map for which a score of the first chart and deletion disagree. What does
#    each of the two kinds of score ask, and why can both be right? (3 points)
# 3. **How sure?** The whiskers are one standard error of the mean (`truth.standard_error` has the numbers). Call two
#    methods apart if their means differ by more than twice the root of the sum of their squared errors. Name two that
#    this experiment can tell apart, and two that it cannot. (1 point)
# 4. **What is missing.** Name something about this network that none of these scores can show, and describe an
#    experiment with the zoo that could show it: what you would draw, compute and compare, and which result would prove
#    you wrong. `zoo.sample` can draw the same scenes with one thing changed, for example `texture="dots"`,
#    `without="key part"` or `tag=True`; `zoo.sample(...).mask("key part")` is a mask. (3 points)
#
# ### BEGIN MARK SCHEME
# The numbers vary a little with the noise of SmoothGrad; accept what the student's own charts show.
#
# **1. (3 points)** One point for reading the chart: among the explanations layer conductance and integrated gradients
# with the blurred baseline lead (pointing game 0.87 and 0.92, mass 0.63 and 0.81, rank 0.64 and 0.53); the edge
# detector has 0.85, 0.76 and 0.73: about as good as the best, and the best of all by rank. One point for: so a high
# score does not show that a map says anything about the network; the scores reward being on the object, and the objects
# of the zoo have sharp edges on smooth backgrounds. One point for: the controls set the bar, and a score must be
# compared with them and not with 0 (noise and the constant map have the object's share of the area, about 0.17), or:
# the truth here is where the object is, and not what the network used.
#
# **2. (3 points)** The three scores of the first chart may disagree among themselves; any of them against deletion
# counts. One point for a map that disagrees, with its numbers: guided backpropagation (mass 0.63, pointing
# game 0.83, but deletion 0.61, where noise has 0.52); or saliency the other way round (mass 0.33, near the bottom, but
# deletion 0.24, among the best); or the edge detector (best by rank, but deletion 0.33, where the best explanations
# have 0.13 to 0.24). One point for the two questions: "is it on the object that a person sees?" against "does the
# probability fall when these pixels go?". One point for a reason why both can be right, e.g.: a network may need few of
# the object's pixels, or use the background; guided backpropagation redraws edges and depends little on the class; a
# signed map has negative values on the object, too, which count for nothing in the mass and are greyed last, so that
# half of the object stands to the end; greying pixels makes images that the network has never seen, so deletion has an
# artefact of its own (noise, which says nothing, brings the probability down to 0.52 on the mean).
#
# **3. (1 point)** Any two pairs that fit the whiskers, for example noise and integrated gradients by the pointing game
# (many standard errors apart); Grad-CAM and guided backpropagation by the pointing game (0.82 and 0.83). Half a point
# for one of the pairs.
#
# **4. (3 points)** One point for something that the scores cannot show: e.g. whether the network uses the
# class-defining part (handle, hole, coat) rather than the whole object; whether it uses a spurious mark or the
# background; whether the map depends on the weights at all; whether the map is specific to the class. One point for an
# experiment that can be run: e.g. draw the same scenes with `without="key part"` or another `texture`, compare the
# change of the score with the relevance on the part that changed; score against `mask("key part")`; use the
# `zoo-tagged` network; randomise the weights and see whether the map changes. One point for a result that would refute
# the claim, and for a control or an error bar. No points for "use more images" or "ask people" alone.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
