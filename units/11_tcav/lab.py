# %% [markdown]
# # Lab 11: Testing with concepts (60 points)
#
# {{colab_badge}}
#
# So far an explanation was a map of pixels. But people do not think in pixels: they ask whether the network says
# *zebra* **because of the stripes**. TCAV asks just that: it looks for the direction "more stripes" in a layer, and
# tests whether the zebra score grows along it. In this lab you write it, and then hold it against the truth: the same
# scenes, drawn again with another texture.
#
# **When you are through, you can**
#
# - find the direction of a concept in a layer, with a linear classifier, and say how good it is;
# - differentiate a class score along it, and make a score and a test of that;
# - say how many false alarms to expect from many tests, and correct for them;
# - measure the true effect of a texture by drawing the scenes again;
# - name three choices that decide how many false alarms TCAV gives.
#
# **Time and points:** about 4 hours, 60 points: 50 for nine exercises, which are checked as you go, and 10 for one
# question at the end, which a person reads. You can skip an exercise and come back to it.
#
# **Before you start:** the method is derived in the [lecture](../../lectures/11_tcav.ipynb). What you need of it is
# said again in each exercise.
#
# | exercise | points | difficulty | minutes |
# | --- | --- | --- | --- |
# | 1. A score by hand | 5 | 1 | 10 |
# | 2. The direction of a concept | 10 | 3 | 30 |
# | 3. Directional derivatives | 10 | 3 | 30 |
# | 4. The TCAV score | 3 | 1 | 5 |
# | 5. Is it more than chance? | 7 | 3 | 25 |
# | 6. False alarms, by hand | 4 | 2 | 15 |
# | 7. What are the negatives? | 3 | 2 | 10 |
# | 8. The true effect | 5 | 2 | 15 |
# | 9. What causes what? | 3 | 2 | 10 |
# | 10. TCAV and the truth | 10 | | 40 |

# %% [markdown]
# ## How the checks talk to you
#
# Write your code in place of `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, then run the check
# below it. It calls your function on activations and networks that it makes up itself, and says one of these:
#
# - `tcav_score: right on all ... cases.` You are done.
# - `NotImplementedError`: nothing is written yet.
# - `AssertionError` with a sentence: read the last line of the red text. If your answer is a mistake that the check
#   knows, the sentence says which. If not, it says what came: the shape, the type, how many numbers differ and where.
#   It never says the right numbers.
#
# Exercises 1 and 6 are worked by hand, exercises 7 and 9 are choices. There your function takes nothing and returns
# your answer.
#
# When the lab is graded, the same check runs once more on other activations and networks. So do not fit your code to
# the cases: follow the text. Your function must also leave everything as it was: the tensors, the network, its mode.
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

import torch
from captum.concept import TCAV, Classifier, Concept
from IPython.display import Markdown, display
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from course_utils import exercises, models, plotting, zoo
from course_utils import tcav as course_tcav

unit = exercises.load("11_tcav")
warnings.filterwarnings("ignore", message="Precision loss")  # scipy, about scores that are all the same

# %% [markdown]
# ## A network, four textures, four animals
#
# The zoo: drawn 64 x 64 images of ten classes. The four animals share one silhouette and differ in their coat alone: a
# horse is plain, a zebra striped, a leopard dotted, a giraffe checked. The other six classes differ in their shape, and
# have any texture. `zoo.sample(n, seed, classes, texture="stripes")` draws the same scenes with a striped object. The
# classes are numbered as in `zoo.CLASSES`; zebra is 7.
#
# The network's layers "0" to "11" are convolutions, ReLUs and poolings; "13" and "15" are dense. Layer "14", the ReLU
# between the two, has 64 numbers for each image. The pictures below use layer "11": 64 maps of 4 x 4.

# %%
zoo_model = models.load("zoo")
ANIMALS = list(zoo.COATS)  # horse, zebra, leopard, giraffe; their coats: plain, stripes, dots, checks
scenes = {texture: zoo.sample(60, seed=11, texture=texture).images for texture in zoo.TEXTURES}
plotting.image_grid(
    torch.cat([images[:6] for images in scenes.values()]),
    titles=[texture if k == 0 else "" for texture in zoo.TEXTURES for k in range(6)],
    columns=6,
    heading="The same six scenes in four textures",
)

# %% [markdown]
# The pictures below some exercises use the activations of these scenes in layer "11", and 40 zebras.

# %%
with torch.no_grad():
    activations = {
        texture: course_tcav.layer_activations(zoo_model, "11", images) for texture, images in scenes.items()
    }
zebras = zoo.sample(40, seed=12, classes=["zebra"]).images
print({texture: tuple(values.shape) for texture, values in activations.items()})

# %% [markdown]
# ## Exercise 1: a score by hand (5 points, difficulty 1 of 5, 10 minutes)
#
# A layer has two numbers for each image. A classifier has found that the concept lies in the direction $(3, 4)$. The
# **concept activation vector** $v$ is this direction, divided by its length.
#
# For four images of the class the gradient of the class score with respect to the layer, $\partial y / \partial A$, is
#
# | image | 1 | 2 | 3 | 4 |
# | --- | --- | --- | --- | --- |
# | $\partial y / \partial A$ | $(1, 0)$ | $(-2, 1)$ | $(0, -1)$ | $(3, -2)$ |
#
# The **directional derivative** is $S = \partial y / \partial A \cdot v$: how fast the score grows if the image gets a
# little more of the concept. The **TCAV score** is the share of the images with $S > 0$.
#
# **Compute** $S$ of the four images, and the TCAV score.
#
# **For example**, for the direction $(0, 2)$ and the gradients $(5, 1)$ and $(1, -3)$: $v = (0, 1)$, $S = 1$ and $-3$,
# and the TCAV score is $0.5$.
#
# **Shape:** five numbers, in this order.


# %% nbgrader={"grade_id": "score_by_hand", "solution": true}
def score_by_hand() -> tuple[float, ...]:
    """Return the four directional derivatives and the TCAV score, worked by hand."""
    ### BEGIN SOLUTION
    # v = (3, 4) / 5 = (0.6, 0.8): 0.6, -1.2 + 0.8, -0.8, 1.8 - 1.6. Two of four are positive.
    return 0.6, -0.4, -0.8, 0.2, 0.5
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_score_by_hand", "grade": true, "locked": true, "points": 5}
unit["score_by_hand"].check(score_by_hand)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# The length of $(3, 4)$ is $\sqrt{9 + 16}$. Then multiply entry by entry, and add.
#
# </details>
#
# <details><summary>My derivatives are too large</summary>
#
# Is your $v$ of length 1?
#
# </details>

# %%
plotting.bars(
    {f"image {k + 1}": value for k, value in enumerate(score_by_hand()[:4])},
    "directional derivative S",
    f"Your derivatives (TCAV score {score_by_hand()[4]:g})",
)

# %% [markdown]
# ## Exercise 2: the direction of a concept (10 points, difficulty 3 of 5, 30 minutes)
#
# Given are the activations of a layer for images **with** the concept and for images **without** it. A linear
# classifier that tells the two apart has a normal vector, which points to the side of the concept: that is the
# direction.
#
# **Write** a function that
#
# 1. fits scikit-learn's `LogisticRegression(max_iter=1000)`, with all other settings as they are, to the activations
#    (each one flattened; label 1 for the concept, 0 for the others);
# 2. returns its normal vector `coef_`, **divided by its length**, in the shape of one activation;
# 3. and the **accuracy** on examples that were held out: the share of all of them that it puts on the right side.
#
# **For example**, with one number for each image, 2 and 3 with the concept and 0 and 1 without, the vector is $(1)$. If
# 0, 4 (with) and $-1$, $-2$, 1 (without) were held out, four of the five are right: the accuracy is $0.8$.
#
# **Shapes:** activations $(N, \ldots)$, for example $(N, 64)$ or $(N, 32, 16, 16)$; the result a tuple: a tensor
# $(\ldots)$ in the dtype of `concept`, and a number.


# %% nbgrader={"grade_id": "concept_activation_vector", "solution": true}
def concept_activation_vector(
    concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor
) -> tuple[Tensor, float]:
    """Return the unit vector that points to the concept, and the classifier's accuracy on the held-out activations.

    concept, random: activations (N, ...) with and without the concept, to fit to;
    concept_test, random_test: the same, held out.
    """
    ### BEGIN SOLUTION
    x = torch.cat([concept, random]).flatten(1).double().numpy()
    y = [1] * len(concept) + [0] * len(random)
    classifier = LogisticRegression(max_iter=1000).fit(x, y)
    vector = torch.as_tensor(classifier.coef_[0])
    vector = (vector / vector.norm()).to(concept).view(concept.shape[1:])
    x_test = torch.cat([concept_test, random_test]).flatten(1).double().numpy()
    y_test = [1] * len(concept_test) + [0] * len(random_test)
    return vector, float(classifier.score(x_test, y_test))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_concept_activation_vector", "grade": true, "locked": true, "points": 10}
unit["concept_activation_vector"].check(concept_activation_vector)
### BEGIN HIDDEN TESTS
unit["concept_activation_vector"].check(concept_activation_vector, seed=11011)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# scikit-learn takes a table (one row an image) and a list of labels. `tensor.flatten(1).numpy()` makes such a table.
#
# </details>
#
# <details><summary>My vector points the wrong way, or scikit-learn complains about labels</summary>
#
# `coef_` has the shape $(1, \text{features})$ and points to the class with the larger label.
#
# </details>
#
# <details><summary>My accuracy is wrong</summary>
#
# `classifier.score(x, y)` is the share that is right. Of which examples?
#
# </details>

# %%
lines = ["| concept | against the same scenes with | held-out accuracy |", "| --- | --- | ---: |"]
for texture, own in activations.items():
    others = torch.cat([values for name, values in activations.items() if name != texture])
    _, accuracy = concept_activation_vector(own[:40], others[::2], own[40:], others[1::2])
    lines.append(f"| {texture} | all other textures | {accuracy:.2f} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The accuracy on held-out examples says whether there is such a direction at all. (The other textures are the larger
# side: whoever always says "another texture" is right in about 0.8 of the cases here.)

# %% [markdown]
# ## Exercise 3: directional derivatives (10 points, difficulty 3 of 5, 30 minutes)
#
# **Write** a function that returns $S = \partial y / \partial A \cdot v$ for each image: $y$ is the score of the
# image's target (before any softmax), $A$ the output of the layer of that name, and the product is summed over all
# numbers of the layer. Take `vector` as it is given, whatever its length.
#
# **For example**, if the layer is the last but one and the scores are $y = W A + b$, then $S = W_{target} \cdot v$ for
# every image.
#
# **Shapes:** `inputs` $(N, C, H, W)$; `target` LongTensor $(N,)$; `vector` has the shape of one image's activation; the
# result $(N,)$.


# %% nbgrader={"grade_id": "directional_derivatives", "solution": true}
def directional_derivatives(model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor) -> Tensor:
    """Return S of each image, (N,).

    layer: a name from `model.named_modules()`; target: LongTensor (N,); vector: of the shape of one activation.
    """
    ### BEGIN SOLUTION
    kept = []

    def keep(module: nn.Module, given: tuple, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # so that an in-place ReLU behind the layer does not overwrite what is kept

    handle = model.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            scores = model(inputs.detach().clone().requires_grad_())
    finally:
        handle.remove()
    own = scores.gather(1, target[:, None]).sum()  # the images do not mix: each gradient is of its own score
    gradient = torch.autograd.grad(own, kept[0])[0]
    return gradient.flatten(1) @ vector.flatten()
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_directional_derivatives", "grade": true, "locked": true, "points": 10}
unit["directional_derivatives"].check(directional_derivatives)
### BEGIN HIDDEN TESTS
unit["directional_derivatives"].check(directional_derivatives, seed=11021)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Two things are needed: the layer's output (a forward hook sees it) and the gradient of the score with respect to it
# (`torch.autograd.grad`). Add the scores up first: then one call gives the gradients of all images.
#
# </details>
#
# <details><summary>My hook stays on the model</summary>
#
# `register_forward_hook` returns a handle; `handle.remove()` takes the hook off. In `finally:` it does so even if the
# model raises.
#
# </details>
#
# <details><summary>torch says that a variable was modified by an in-place operation</summary>
#
# A ReLU with `inplace=True` overwrites the layer's output. Keep the output, and let the hook return a copy of it: what
# a hook returns is what the next layer gets.
#
# </details>

# %%
along = {}
for texture, own in activations.items():
    others = torch.cat([values for name, values in activations.items() if name != texture])
    vector = course_tcav.concept_activation_vector(own, others, generator=torch.Generator().manual_seed(0)).vector
    along[texture] = directional_derivatives(zoo_model, "11", zebras, torch.full((40,), 7), vector)
plotting.distributions(
    along,
    "directional derivative S of the zebra score",
    heading="40 zebras, along four directions, by your function",
)

# %% [markdown]
# ## Exercise 4: the TCAV score (3 points, difficulty 1 of 5, 5 minutes)
#
# **Write** a function that returns the share of images whose derivative is positive (a derivative of 0 is not), for
# each of several directions.
#
# **For example**, the derivatives $(1, -2, 0, 3)$ of one direction have the score $0.5$.
#
# **Shapes:** `derivatives` $(R, N)$, a row for each direction; the result $(R,)$, of the same dtype.


# %% nbgrader={"grade_id": "tcav_score", "solution": true}
def tcav_score(derivatives: Tensor) -> Tensor:
    """Return the share of positive derivatives in each row, (R,); derivatives: (R, N)."""
    ### BEGIN SOLUTION
    return (derivatives > 0).to(derivatives.dtype).mean(1)
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_tcav_score", "grade": true, "locked": true, "points": 3}
unit["tcav_score"].check(tcav_score)
### BEGIN HIDDEN TESTS
unit["tcav_score"].check(tcav_score, seed=11031)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `derivatives > 0` holds truths. The mean of zeros and ones is a share.
#
# </details>
#
# <details><summary>torch says that it cannot compute the mean of truths</summary>
#
# Make numbers of them first, with `.float()` or `.to(derivatives.dtype)`.
#
# </details>

# %%
own = {}
for texture, values in activations.items():
    others = torch.cat([other for name, other in activations.items() if name != texture])
    vector = course_tcav.concept_activation_vector(values, others, generator=torch.Generator().manual_seed(0)).vector
    own[texture] = course_tcav.directional_derivatives(zoo_model, "11", zebras, 7, vector)
plotting.bars(
    {texture: float(tcav_score(values[None])[0]) for texture, values in own.items()},
    "TCAV score of zebra",
    "Which share of the zebras becomes more of a zebra with more ...",
)

# %% [markdown]
# Along *plain* the zebra's score grows for nearly all zebras, too. Is a plain animal more of a zebra? A direction can
# be found for anything, and what it does to a score may be chance, or something that comes along with it. Exercise 5
# asks what a *random* concept gets, exercise 8 what the texture really does.

# %% [markdown]
# ## Exercise 5: is it more than chance? (7 points, difficulty 3 of 5, 25 minutes)
#
# The concept is told from $R$ different random sets: $R$ vectors, $R$ scores. Then random sets are told from each
# other: scores of concepts that mean nothing. If the means of the two groups differ by more than chance allows, the
# class responds to the concept otherwise than to anything.
#
# **Write** a function that returns the p-value of **Welch's t-test** (two-sided; the two groups may scatter
# differently), corrected for the number of tests by **Bonferroni**: multiplied by it, and at most 1. `scipy.stats` is
# allowed. (The check has no two groups that are all the same number.)
#
# **For example**, the scores $(0.9, 1.0, 0.8)$ and $(0.4, 0.6, 0.5, 0.5)$ have the p-value 0.0054; with ten tests,
# 0.054.
#
# **Shapes:** `scores` $(R,)$, `random_scores` $(R',)$; the result a number.


# %% nbgrader={"grade_id": "tcav_test", "solution": true}
def tcav_test(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    """Return the two-sided p-value of Welch's t-test, times n_tests, at most 1."""
    ### BEGIN SOLUTION
    test = stats.ttest_ind(scores.double().numpy(), random_scores.double().numpy(), equal_var=False)
    return min(1.0, n_tests * float(test.pvalue))
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_tcav_test", "grade": true, "locked": true, "points": 7}
unit["tcav_test"].check(tcav_test)
### BEGIN HIDDEN TESTS
unit["tcav_test"].check(tcav_test, seed=11041)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# `scipy.stats.ttest_ind` compares two groups. One of its options makes it Welch's test.
#
# </details>
#
# <details><summary>My p-values are right for one test and wrong for many</summary>
#
# With 40 tests a p-value of 0.1 would become 4. A probability is at most 1.
#
# </details>

# %%
n_random = 10
random_sets = [zoo.sample(40, seed=300 + r).images for r in range(n_random)]  # scenes of all kinds, any texture
source = torch.Generator().manual_seed(0)
lines = [
    "| concept | scores of the concept | scores of random concepts | p (4 tests) |",
    "| --- | ---: | ---: | ---: |",
]
for texture in zoo.TEXTURES:
    found = course_tcav.concept_vectors(zoo_model, "11", scenes[texture], random_sets, generator=source)
    result = course_tcav.tcav_test(zoo_model, "11", zebras, 7, found, 4)
    p = tcav_test(result.scores, result.random_scores, 4)
    cells = [f"{values.mean():.2f} ± {values.std():.2f}" for values in (result.scores, result.random_scores)]
    lines.append(f"| {texture} | {cells[0]} | {cells[1]} | {p:.1g} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The zebras agree on most directions, so that the score of a random concept is near 0 or near 1, as it happens: a
# standard deviation of nearly a half. Only scores that are the same for nearly all sets stand out from that. With more
# random sets that happens more often, also to concepts that mean nothing: see the table at the end. The mean of the
# derivatives, in place of their signs, scatters less.

# %% [markdown]
# ## Exercise 6: false alarms, by hand (4 points, difficulty 2 of 5, 15 minutes)
#
# Four textures and ten classes make 40 tests. Suppose that **no** texture had anything to do with any class, that the
# tests are independent, and that each one is made at the level of 5 %.
#
# **Compute**
#
# 1. how many false alarms are expected;
# 2. the probability of at least one false alarm;
# 3. the level for each test that Bonferroni asks for, so that the probability of a false alarm anywhere is at most 5 %.
#
# **For example**, with 2 tests: 0.1; $1 - 0.95^2 = 0.0975$; 0.025.
#
# **Shape:** three numbers, to at least five digits after the point.


# %% nbgrader={"grade_id": "false_alarms", "solution": true}
def false_alarms() -> tuple[float, float, float]:
    """Return the expected number, the probability of at least one, and the corrected level, for 40 tests."""
    ### BEGIN SOLUTION
    return 40 * 0.05, 1 - 0.95**40, 0.05 / 40
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_false_alarms", "grade": true, "locked": true, "points": 4}
unit["false_alarms"].check(false_alarms)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# How likely is it that one test stays quiet? That both of two do? That all 40 do?
#
# </details>

# %%
expected, at_least_one, level = false_alarms()
plotting.curves(
    {
        "every test at 5 %": (torch.arange(1, 41), 1 - 0.95 ** torch.arange(1, 41)),
        "Bonferroni": (torch.arange(1, 41), 1 - (1 - 0.05 / torch.arange(1, 41)) ** torch.arange(1, 41)),
    },
    "number of tests",
    "probability of a false alarm",
    f"Your numbers for 40 tests: {expected:g} expected, {at_least_one:.3f} for at least one, level {level:g}",
)

# %% [markdown]
# ## Exercise 7: what are the negatives? (3 points, difficulty 2 of 5, 10 minutes)
#
# A direction is what tells two sets of images apart, **whatever** that is. You want the direction "stripes".
#
# The positives are striped scenes. **Choose** the negatives that differ from them in the stripes, and otherwise only by
# the chance of the draw:
#
# - `other textures`: the same kind of scenes, drawn with the other textures;
# - `all kinds`: scenes of all kinds, and for the positives pictures that are striped all over;
# - `clouds`: clouds without any object;
# - `noise`: noise;
# - `once more`: striped scenes once more.
#
# **Shape:** one of these names, as a text.


# %% nbgrader={"grade_id": "negatives", "solution": true}
def negatives() -> str:
    """Return the negatives that differ from striped scenes in the stripes alone."""
    ### BEGIN SOLUTION
    return "other textures"
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_negatives", "grade": true, "locked": true, "points": 3}
unit["negatives"].check(negatives)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# For each pair: how could one tell the two sets apart without looking at the texture?
#
# </details>

# %%
everywhere = zoo.concept("stripes", 6, seed=1)
pairs = {
    "striped scenes": scenes["stripes"][:6],
    "the same, dotted": scenes["dots"][:6],
    "striped all over": everywhere,
    "clouds": zoo.concept("clouds", 6, seed=2),
}
plotting.image_grid(
    torch.cat(list(pairs.values())),
    titles=[name if k == 0 else "" for name in pairs for k in range(6)],
    columns=6,
    heading="Positives and negatives",
)

# %% [markdown]
# ## Exercise 8: the true effect (5 points, difficulty 2 of 5, 15 minutes)
#
# Scenes that are drawn can be drawn again. What does a texture really do to the score?
#
# **Write** a function that gets the same scenes in $T$ textures, and returns for each texture **how much higher** the
# mean score of `target` is with it than with the others: its mean over the scenes, less the mean of the other textures'
# means. (Scores before any softmax.)
#
# **For example**, mean scores of 5, 1 and 3 with three textures have the effects $5 - 2 = 3$, $1 - 4 = -3$ and
# $3 - 3 = 0$.
#
# **Shapes:** `scenes` $(T, N, C, H, W)$; `target` an int; the result $(T,)$.


# %% nbgrader={"grade_id": "texture_effect", "solution": true}
def texture_effect(model: nn.Module, scenes: Tensor, target: int) -> Tensor:
    """Return how much higher the mean score is with each texture than with the others, (T,).

    scenes: the same N scenes in T textures, (T, N, C, H, W); target: the class.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        means = torch.stack([model(images)[:, target].mean() for images in scenes])
    others = (means.sum() - means) / (len(means) - 1)
    return means - others
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_texture_effect", "grade": true, "locked": true, "points": 5}
unit["texture_effect"].check(texture_effect)
### BEGIN HIDDEN TESTS
unit["texture_effect"].check(texture_effect, seed=11051)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# First one mean score for each texture. Then, for each one, the mean of the *others*: the sum of all less its own,
# divided by how many others there are.
#
# </details>

# %%
animals = {
    name: torch.stack([zoo.sample(30, seed=500, classes=[name], texture=texture).images for texture in zoo.TEXTURES])
    for name in ANIMALS
}
of_animals = {name: texture_effect(zoo_model, images, zoo.CLASSES.index(name)) for name, images in animals.items()}
lines = ["| texture | " + " | ".join(ANIMALS) + " |", "| --- |" + " ---: |" * 4]
for i, texture in enumerate(zoo.TEXTURES):
    lines.append(f"| {texture} | " + " | ".join(f"{of_animals[name][i]:.1f}" for name in ANIMALS) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Exercise 9: what causes what? (3 points, difficulty 2 of 5, 10 minutes)
#
# The effects on the scores of all ten classes, as this network has them (30 scenes of each class, drawn in four
# textures; the cell below measures them):
#
# | texture | cup | glass | dumbbell | star | ring | ball | horse | zebra | leopard | giraffe |
# | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
# | plain | −0.5 | −0.7 | −0.7 | −1.6 | −0.5 | −1.5 | 6.2 | −2.7 | −4.4 | −1.8 |
# | stripes | 0.3 | 0.5 | 0.4 | 0.5 | 0.5 | 0.3 | −1.0 | 7.2 | −1.3 | −4.3 |
# | dots | 0.2 | 0.5 | 0.4 | 1.0 | 0.3 | 1.3 | −3.9 | −1.2 | 6.6 | −1.1 |
# | checks | 0.0 | −0.4 | 0.0 | 0.1 | −0.3 | −0.1 | −1.3 | −3.3 | −0.9 | 7.2 |
#
# **Choose** all pairs in which the texture **raises the score by more than 4**:
# `plain -> horse`, `stripes -> zebra`, `dots -> leopard`, `checks -> giraffe`, `stripes -> cup`, `dots -> star`,
# `checks -> ring`, `dots -> zebra`.
#
# **Shape:** a set of texts.


# %%
truth = torch.zeros(4, 10)  # textures, classes
for k, name in enumerate(zoo.CLASSES):
    redrawn = torch.stack([zoo.sample(30, seed=500, classes=[name], texture=t).images for t in zoo.TEXTURES])
    truth[:, k] = course_tcav.texture_effect(zoo_model, redrawn, k)
print(truth.numpy().round(1))


# %% nbgrader={"grade_id": "causes", "solution": true}
def causes() -> set[str]:
    """Return the pairs in which the texture raises the score by more than 4."""
    ### BEGIN SOLUTION
    return {"plain -> horse", "stripes -> zebra", "dots -> leopard", "checks -> giraffe"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_causes", "grade": true, "locked": true, "points": 3}
unit["causes"].check(causes)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Each pair is one cell of the table: its row is the texture, its column the class.
#
# </details>

# %%
places = {
    pair: (zoo.TEXTURES.index(pair.split(" -> ")[0]), zoo.CLASSES.index(pair.split(" -> ")[1]))
    for pair in unit["causes"].choices
}
chosen_pairs = causes()
plotting.bars(
    {f"{pair}{' (yours)' if pair in chosen_pairs else ''}": float(truth[place]) for pair, place in places.items()},
    "true effect on the score",
    "What the textures do",
)

# %% [markdown]
# ## Your functions and captum
#
# From here on your `concept_activation_vector`, `directional_derivatives`, `tcav_score` and `tcav_test` are used where
# they pass their checks, and otherwise those of `course_utils`; the list says which.
# First, **captum**'s TCAV is given the vectors that your function finds.

# %%
zoo_model = models.load("zoo")  # a fresh copy


def course_vector(concept, random, concept_test, random_test) -> tuple[Tensor, float]:
    """The course's vector in the form of exercise 2."""
    return course_tcav.concept_activation_vector(
        concept, random, generator=torch.Generator().manual_seed(0)
    ).vector, 0.0


others = {
    "concept_activation_vector": course_vector,
    "directional_derivatives": course_tcav.directional_derivatives,
    "tcav_score": course_tcav.tcav_score,
    "tcav_test": course_tcav.p_value,
}
chosen = {}
for name, other in others.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            unit[name].check(globals().get(name))
        chosen[name] = globals()[name]
        print(f"{name:>25}: yours")
    except (AssertionError, NotImplementedError):
        chosen[name] = other
        print(f"{name:>25}: course_utils")


# %%
class Given(Classifier):
    """A classifier for captum that returns the vector of exercise 2."""

    def __init__(self) -> None:
        self.rows = None

    def train_and_eval(self, dataloader, **options) -> dict[str, float]:
        """Take the activations out of captum's loader, and fit."""
        x, y = (torch.cat(parts) for parts in zip(*dataloader, strict=True))
        sides = [x[y == side] for side in y.unique()]
        vector, _ = chosen["concept_activation_vector"](sides[0], sides[1], sides[0], sides[1])
        self.rows = torch.stack([vector, -vector])
        return {"accs": 1.0}

    def weights(self) -> Tensor:
        """A row for each side."""
        return self.rows

    def classes(self) -> list[int]:
        """The sides' numbers."""
        return [0, 1]


sides = {"stripes": scenes["stripes"][:30], "dots": scenes["dots"][:30]}
concepts = [
    Concept(k, name, torch.utils.data.DataLoader(list(images), batch_size=10))
    for k, (name, images) in enumerate(sides.items())
]
vector, _ = chosen["concept_activation_vector"](
    *(course_tcav.layer_activations(zoo_model, "11", images) for images in (*sides.values(), *sides.values()))
)
any_scenes = zoo.sample(40, seed=13).images
derivatives = chosen["directional_derivatives"](zoo_model, "11", any_scenes, torch.full((40,), 7), vector)
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
    peer = TCAV(zoo_model, ["11"], classifier=Given(), save_path=folder)
    of_captum = peer.interpret(any_scenes, [concepts], target=7)["0-1"]["11"]
lines = ["| stripes against dots, score of zebra, 40 scenes | yours | captum |", "| --- | ---: | ---: |"]
own = float(chosen["tcav_score"](derivatives[None])[0])
lines.append(f"| share of positive derivatives | {own:.4f} | {float(of_captum['sign_count'][0]):.4f} |")
lines.append(f"| mean derivative | {derivatives.mean():.4f} | {float(of_captum['magnitude'][0]):.4f} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## TCAV and the truth
#
# Now all 40 tests, four textures and ten classes, in three set-ups:
#
# - **usual:** positives are pictures with the texture all over, negatives scenes of all kinds; layer 11 (the last
#   maps); signs counted;
# - **same kind:** positives are 120 scenes drawn with the texture, negatives scenes of the same kind with the other
#   textures; layer 11; signs counted;
# - **same kind, mean:** the same in the dense layer 14, with the mean of the derivatives. (Behind this layer the
#   network is linear: $S = W_{target} \cdot v$ is the same for all images, and its sign alone would be a score of 0 or
#   1.)
#
# Each concept is told from 24 sets of negatives, and each of these from the next (by the difference of the means, which
# needs no fitting). **Significant** means a corrected p-value below 0.05. A significant cell is a **false alarm** if it
# points the wrong way, or if the size of the true effect is below 0.5 (of effects up to 7).

# %%
n_sets, n_images = 24, 18
inputs = {name: zoo.sample(30, seed=600, classes=[name]).images for name in zoo.CLASSES}


in_all_textures = [
    {texture: zoo.sample(n_images // 3, seed=1000 + r, texture=texture).images for texture in zoo.TEXTURES}
    for r in range(n_sets)
]


def mixed(texture: str, r: int) -> Tensor:
    """Scenes with the other three textures."""
    return torch.cat([images for name, images in in_all_textures[r].items() if name != texture])


usual_negatives = [zoo.sample(n_images, seed=700 + r).images for r in range(n_sets)]
setups = {
    "usual": ("11", "sign", lambda t: zoo.concept(t, n_images, seed=800), lambda t: usual_negatives),
    "same kind": (
        "11",
        "sign",
        lambda t: zoo.sample(120, seed=900, texture=t).images,
        lambda t: [mixed(t, r) for r in range(n_sets)],
    ),
    "same kind, mean": (
        "14",
        "mean",
        lambda t: zoo.sample(120, seed=900, texture=t).images,
        lambda t: [mixed(t, r) for r in range(n_sets)],
    ),
}
results = {}
for setup, (layer, statistic, positives, sets) in setups.items():
    table = torch.zeros(4, 10), torch.ones(4, 10), torch.zeros(4, 10)
    for i, texture in enumerate(zoo.TEXTURES):
        source = torch.Generator().manual_seed(1)
        found = course_tcav.concept_vectors(
            zoo_model, layer, positives(texture), sets(texture), "means", generator=source
        )
        for k, name in enumerate(zoo.CLASSES):
            result = course_tcav.tcav_test(zoo_model, layer, inputs[name], k, found, 40, statistic)
            table[0][i, k] = result.score - result.random_scores.mean()
            table[1][i, k] = chosen["tcav_test"](result.scores, result.random_scores, 40)
            table[2][i, k] = result.random_scores.std()
    results[setup] = table

causal = torch.zeros(4, 10, dtype=torch.bool)
for animal, coat in zoo.COATS.items():
    causal[zoo.TEXTURES.index(coat), zoo.CLASSES.index(animal)] = True
lines = ["| set-up | causes found (of 4) | false alarms (of 36) | correlation with the true effect | scatter |"]
lines.append("| --- | ---: | ---: | ---: | ---: |")
for setup, (score, p, scatter) in results.items():
    significant = p < 0.05
    found_causes = int((significant & (score > 0) & causal).sum())
    wrong = (truth.abs() < 0.5) | (truth.sign() != score.sign())
    alarms = int((significant & wrong & ~causal).sum())
    correlation = float(torch.corrcoef(torch.stack([score.flatten(), truth.flatten()]))[0, 1])
    lines.append(f"| {setup} | {found_causes} | {alarms} | {correlation:.2f} | {scatter.mean():.2f} |")
display(Markdown("\n".join(lines)))
for setup, (score, p, _) in results.items():
    unit_of = "mean derivative" if setup.endswith("mean") else "TCAV score"
    lines = [f"| {setup}: {unit_of} less that of random concepts / true effect | " + " | ".join(zoo.CLASSES) + " |"]
    lines.append("| --- |" + " ---: |" * 10)
    for i, texture in enumerate(zoo.TEXTURES):
        cells = [
            f"{score[i, k]:.2f}{'*' if p[i, k] < 0.05 else ''} / {truth[i, k]:.1f}" for k in range(len(zoo.CLASSES))
        ]
        lines.append(f"| {texture} | " + " | ".join(cells) + " |")
    display(Markdown("\n".join(lines)))
print(
    "*: significant after the correction for 40 tests; scatter: mean standard deviation of the random concepts' scores"
)

# %% [markdown]
# ## 10. TCAV and the truth (10 points, 40 minutes)
#
# This part is read by a person.

# %% [markdown] nbgrader={"grade_id": "concepts_and_truth", "task": true, "points": 10}
# Write your answer below, about one page. Use the numbers and pictures above; you may run more code and draw more
# pictures in new cells. Say for every claim which number it rests on.
#
# 1. **The causes.** Which set-ups find all four causes? Where one is missed: is its score small, or do the scores
#    of random concepts scatter so much (last column)? (3 points)
# 2. **False alarms.** Choose one cell of the set-up "usual" or "same kind" that is significant although its true
#    effect is below 0.5. Bonferroni did not prevent it: why not? What does the test ask, and what would you want it to
#    ask? (3 points)
# 3. **What helped.** Compare the three set-ups: which of the changes (negatives, layer, statistic) does what? How would
#    you find out for each one alone? (2 points)
# 4. **A network that you cannot draw for.** For photographs there is no redrawing. What would you do, and report,
#    before you believed that a network says *zebra* because of the stripes? (2 points)
#
# ### BEGIN MARK SCHEME
# The numbers follow from the student's own run; accept what the student's tables show.
#
# **1. (3 points)** One point: both set-ups with scenes find all four (the scores are 0.51 to 0.57 above random ones
# with signs; 0.25, 0.35, 0.36 and 0.35 for the mean); "usual" finds 2. One point for a missed cause, for example dots
# and leopard in "usual": its score is 0.31 above that of random concepts, which is not small. One point for the spread:
# the TCAV scores of random concepts have a standard deviation of 0.44, since the images of a class agree on most
# directions, so that a random one scores nearly 0 or nearly 1; the mean derivative's is 0.18.
#
# **2. (3 points)** One point for a cell with its numbers, for example dots for ring in "usual" (-0.47, effect 0.3) or
# in "same kind" (-0.56). One point: Bonferroni guards against chance, and this is no chance: in "usual" pictures
# without an object differ from scenes in more than dots, and the score really falls along that direction; it would be
# found again with other draws. One point: the test asks whether the direction means anything to the class, and with
# enough random sets the smallest difference is significant; one wants to know whether the *texture* matters, and how
# much, which needs negatives that differ in nothing else, or an intervention.
#
# **3. (2 points)** One point: other negatives (and more positives) take the false alarms from 18 to 5 and find all
# causes; layer and statistic together take them to 0, and raise the correlation with the truth from 0.46 to 0.93. One
# point: change one at a time, and repeat over several seeds, as the lecture does.
#
# **4. (2 points)** One point for something feasible: pairs of photographs edited to have or lack stripes, negatives
# matched in all other respects, several layers, several random sets and seeds. One point for honest reporting: held-out
# accuracy, scores of random concepts beside those of the concept, how many tests were made, and that a direction which
# raises the score is not yet a cause.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*
