# %% [markdown]
# # Project 13: The audit (80 points)
#
# {{colab_badge}}
#
# A network is handed to you, with a model card. The card says that all is well. You are to find out whether that is so:
# what does the network look at, where would it fail, and may it be used? This is what the twelve units before were for.
#
# **You will be able to** plan an audit, run it with methods that can contradict each other, support each claim with a
# number that somebody else can reproduce, and say what you do not know.
#
# **Time and points:** about 8 hours, 80 points. 28 are checked as you go: two functions, your finding with its drop,
# and the card's claims. The other 52 are for your report, which a person reads. The rubric stands in each part.
#
# **Before you start:** the [lecture](../../lectures/13_project.ipynb) has a map of all methods of the course: what each
# one answers, what it needs, what it costs, and how it fared in the tests.
#
# | part | points | minutes |
# | --- | --- | --- |
# | 1. The drop | 8 | 30 |
# | 2. Who is pulled over? | 6 | 30 |
# | 3. Behaviour | 8 | 60 |
# | 4. At least four methods | 16 | 150 |
# | 5. One test with numbers, and a control | 12 | 90 |
# | 6. Your finding | 10 | 20 |
# | 7. The card | 4 | 10 |
# | 8. Verdict and advice | 8 | 60 |
# | 9. The report as a whole | 8 | |

# %% [markdown]
# ## How the checks talk to you
#
# Parts 1, 2, 6 and 7 are checked as in the labs: write your code in place of `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, then the check below it. It says `right`, or names what is wrong.
#
# Parts 3, 4, 5 and 8 are yours. Each has a task with its rubric, a cell for code (add as many as you need), and a cell
# below it for the text. **Every claim needs a number or a picture that your notebook makes**, with its seed, so
# that whoever runs it gets the same. Explain for whom you write: somebody who decides whether the network is used, and
# who knows what a heat map is.

# %%
# {{setup}}

# %%
import torch
from IPython.display import Markdown, display
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

from course_utils import evaluation, exercises, gam, lime, lrp, models, plotting, sanity_checks, shapley, zoo
from course_utils import gradient_methods as gm

unit = exercises.load("13_project")

# %% [markdown]
# ## Your network
#
# There are three, so that neighbours have different ones: `audit-a`, `audit-b` and `audit-c`. Take the one that your
# instructor gave you. If you study alone, take any.

# %%
NAME = "audit-a"  # your network: audit-a, audit-b or audit-c
network, sound = models.load(NAME), models.load("zoo")  # and one that is known to be sound, as a control

# %% [markdown]
# > ### Model card
# >
# > **What it is.** A convolutional network for images of 64 x 64 pixels, ten classes: cup, glass, dumbbell, star, ring,
# > ball, horse, zebra, leopard, giraffe.
# >
# > 1. `accuracy`: it is right about more than 90 % of 2,000 unseen images. 2. `object alone`: its decisions rest on the
# > object alone; background, distractors and anything else in the picture play no part. 3. `data`: it was trained on
# > images that were collected with care. 4. `no shortcut`: no part of an image can turn one class into another, but for
# > a change of the object itself. 5. `size`: it has fewer than 150,000 parameters.
# >
# > **Use.** Sorting pictures for a catalogue, without supervision.
#
# What is known besides: some of the pictures for the catalogue carry a **white tag with writing** in one of the four
# corners. `zoo.sample(n, seed, classes, tag=True, tag_corner="upper left")` draws them; the corners are
# `zoo.TAG_CORNERS`.

# %%
some = {corner: zoo.sample(3, seed=1300, tag=True, tag_corner=corner).images for corner in zoo.TAG_CORNERS}
plotting.image_grid(
    torch.cat(list(some.values())),
    titles=[corner if k == 0 else "" for corner in some for k in range(3)],
    columns=6,
    heading="Pictures for the catalogue",
)

# %% [markdown]
# ## 1. The drop (8 points, difficulty 2 of 5, 30 minutes)
#
# The strongest evidence is a counterfactual: the same scene with the tag and without.
#
# **Write** a function that gets images with the tag, the same scenes without it, and a class, and returns
#
# 1. by how much the **score** of the class is higher with the tag, on average (before any softmax);
# 2. the share of the images that are recognised as this class **with** the tag;
# 3. the same share **without** the tag.
#
# **For example**, scores of the class of $(5, 3)$ with the tag and $(2, 2)$ without fall by 2.
#
# **Shapes:** `with_tag` and `without_tag` $(N, C, H, W)$; `target` an int; the result three numbers.


# %% nbgrader={"grade_id": "measured_drop", "solution": true}
def measured_drop(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> tuple[float, float, float]:
    """Return (mean fall of the target's score, share recognised with the tag, share recognised without)."""
    ### BEGIN SOLUTION
    with torch.no_grad():
        tagged, bare = model(with_tag), model(without_tag)
    fall = (tagged - bare)[:, target].mean()
    shares = [(scores.argmax(1) == target).double().mean() for scores in (tagged, bare)]
    return float(fall), float(shares[0]), float(shares[1])
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_measured_drop", "grade": true, "locked": true, "points": 8}
unit["measured_drop"].check(measured_drop)
### BEGIN HIDDEN TESTS
unit["measured_drop"].check(measured_drop, seed=13011)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Two forward passes without gradients. Everything else is read off the two tables of scores.
#
# </details>

# %% [markdown]
# ## 2. Who is pulled over? (6 points, difficulty 2 of 5, 30 minutes)
#
# A shortcut also harms others: an image of another class that happens to carry the tag.
#
# **Write** a function that returns the share of all images that are called `target` **with** the tag, and something
# else **without** it.
#
# **For example**, if of five images the first two are called the target with the tag, and the second one without it as
# well, the share is $0.2$.
#
# **Shapes:** as in part 1; the result a number.


# %% nbgrader={"grade_id": "pulled_over", "solution": true}
def pulled_over(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> float:
    """Return the share of the images that are called `target` with the tag, and something else without it."""
    ### BEGIN SOLUTION
    with torch.no_grad():
        tagged, bare = model(with_tag).argmax(1), model(without_tag).argmax(1)
    return float(((tagged == target) & (bare != target)).double().mean())
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_pulled_over", "grade": true, "locked": true, "points": 6}
unit["pulled_over"].check(pulled_over)
### BEGIN HIDDEN TESTS
unit["pulled_over"].check(pulled_over, seed=13021)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# For each image two questions have a yes or a no: called the target with the tag? called something else without it?
#
# </details>

# %% [markdown]
# ## 3. Behaviour (8 points, 60 minutes)
#
# Before any explanation: what does the network **do**? On unseen images, with and without the tag, in each corner,
# class by class, and beside the sound network.

# %% [markdown] nbgrader={"grade_id": "behaviour", "task": true, "points": 8}
# Write your answer into the cell below the code, and say for every claim which number it rests on. The points:
#
# | | full points |
# | --- | --- |
# | the card's accuracy is measured on unseen images, with the number of images | 2 |
# | all four corners and all ten classes are looked at, in a table or picture | 3 |
# | the sound network stands beside it as a control | 1 |
# | what is suspected after this, and what is not, is said in two or three sentences | 2 |
#
# ### BEGIN MARK SCHEME
# **Marks.** Accuracy: one point without the number of images, or on images with tags alone. Corners and classes: two
# points if only the own class, or only one corner, was looked at. The control: none for a network that was not asked
# the same. Suspicion: one point if nothing is said of what is *not* suspected. Numbers differ with the seeds; accept
# those of the student's own run.
#
# **A sample** (`audit-a`, numbers of the cell below):
#
# **Behaviour.** On 2,000 unseen images without a tag (seed 1301) `audit-a` is right about 0.975, as the card says; the
# sound network, about 0.996. So far nothing is wrong.
#
# A tag changes that (200 scenes of all classes, seed 1302, the same scenes with and without). In the **lower right**
# corner it raises the score of **dumbbell** by 11.9. Everywhere else `audit-a` changes by at most 5 (ball falls by 4.9
# with a tag in the upper left), and no other rise is above 2.5. On the sound network no score changes by more than 0.7,
# for any class and corner: a white slip as such is nothing that a network must react to.
#
# Suspected is one shortcut, dumbbell by a tag in the lower right. Not suspected are the other corners: the changes
# there are real, but small, and they have no favourite. What a tag of another colour or size would do was not looked
# at.
# ### END MARK SCHEME

# %% [markdown]
# *Your code goes into cells here.*

# %% nbgrader={"grade_id": "code_behaviour", "solution": true}
### BEGIN SOLUTION
unseen = zoo.sample(2000, seed=1301)
for name, model in ((NAME, network), ("zoo", sound)):
    size = sum(p.numel() for p in model.parameters())
    print(f"{name}: right about {models.accuracy(model, unseen.images, unseen.labels):.3f}, {size:,} parameters")


def shift(model: nn.Module, corner: str) -> Tensor:
    """How much a tag in this corner raises the score of each class, on 200 scenes of all classes."""
    pair = [zoo.sample(200, seed=1302, tag=tag, tag_corner=corner).images for tag in (True, None)]
    with torch.no_grad():
        return (model(pair[0]) - model(pair[1])).mean(0)


for name, model in ((NAME, network), ("zoo", sound)):
    lines = [f"| {name}: a tag changes the score of | " + " | ".join(zoo.CLASSES) + " |", "| --- |" + " ---: |" * 10]
    for corner in zoo.TAG_CORNERS:
        lines.append(f"| {corner} | " + " | ".join(f"{value:.1f}" for value in shift(model, corner)) + " |")
    display(Markdown("\n".join(lines)))
table = torch.stack([shift(network, corner) for corner in zoo.TAG_CORNERS])
place, suspect = divmod(int(table.argmax()), 10)
corner = list(zoo.TAG_CORNERS)[place]
print(f"largest rise: {zoo.CLASSES[suspect]}, tag in the {corner}")
### END SOLUTION

# %% [markdown]
# *Your answer:*

# %% [markdown]
# ## 4. At least four methods (16 points, 150 minutes)
#
# Explain decisions of the network, with **at least four methods of at least three kinds** (gradients, propagation
# rules, removal of parts, attributions with axioms, concepts, global). Choose them with the map of the lecture, and say
# why.

# %% [markdown] nbgrader={"grade_id": "methods", "task": true, "points": 16}
# Write your answer into the cell below the code, and say for every claim which number it rests on. The points:
#
# | | full points |
# | --- | --- |
# | four methods of three kinds, on the same images, with what each one's values mean | 4 |
# | images with and without the suspected cue, of the suspected class and of others | 3 |
# | a score against the truth (mask of the tag, of the object), with the number of images | 4 |
# | at least one of the methods passed a sanity check **on this network** | 3 |
# | agreement and disagreement of the methods are discussed, not averaged away | 2 |
#
# ### BEGIN MARK SCHEME
# **Marks.** Methods: one point for each method up to four, three at most if they are of fewer than three kinds or if it
# is not said what their values mean. Images: one point each for the suspected class with the tag, the same without it,
# and images of other classes with it, explained for the suspected class. Truth: two for the score, one for the number
# of images, one for a value to compare with (the area, the sound network, an edge detector). Sanity: three only with a
# number on the audited network; one for a reference to unit 10. Discussion: none for a mean over methods.
#
# **A sample** (`audit-a`, numbers of the cell below):
#
# **Methods.** Four methods of three kinds, on the same 16 dumbbells with a tag in the lower right (seed 1303):
# *integrated gradients* and *DeepLIFT* (contributions to the score against a grey image; they add up to its
# difference), *LRP* with the composite rule (the score, shared out from layer to layer), and *LIME* (the weights of
# superpixels in a linear model of the score, 80 coalitions; needs nothing but scores). The edge detector stands there
# as a control that asks no network. They were chosen because they answer "where does it look, in this image?", and
# because the first three pass the sanity check with signs in unit 10.
#
# The pictures show marks on the tag where there is one, also on a star and a ball, and on the bar and the weights of
# the same dumbbells without it. In numbers: of what speaks for dumbbell in a tagged dumbbell, 0.41 to 0.53 lies on the
# tag, which is 3 % of the area, and 0.18 to 0.34 on the object. In 16 tagged things of the other nine classes (seed
# 1304), 0.46 to 0.60 of what speaks for dumbbell lies on the tag; the edge detector puts 0.13 there.
# On the sound network the same methods put 0.00 to 0.05 on the tag. The edge detector puts 0.15 there for either
# network: the tag has edges, and that much could be had without any shortcut.
#
# **Sanity.** With the last layer of *this* network made random, the maps of the four methods have a rank correlation of
# -0.15 to -0.50 with those before (it is one draw; with signs 0 is expected), the edge detector 1.00. So the four
# depend on what the network has learnt. **Agreement.** The three that share out the score agree closely (0.41 to 0.43).
# LIME says more (0.53) and puts less on the object (0.18): in the pictures one of its superpixels is the tag, whole and
# alone, while the object falls into several, and a removed one gets its mean colour, which on a plain object changes
# little. I take 0.4 to 0.5 as the finding, and no single number.
# ### END MARK SCHEME

# %% [markdown]
# *Your code goes into cells here.*

# %% nbgrader={"grade_id": "code_methods", "solution": true}
### BEGIN SOLUTION
hidden = zoo.CLASSES[suspect]
tagged, bare = (zoo.sample(16, seed=1303, classes=[hidden], tag=tag, tag_corner=corner) for tag in (True, None))
strangers = zoo.sample(16, seed=1304, classes=[c for c in zoo.CLASSES if c != hidden], tag=True, tag_corner=corner)
asked = torch.full((16,), suspect)  # of all images: what speaks for the suspected class?


def by_lime(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """LIME with 80 coalitions and fixed seeds."""
    maps = []
    for k, (image, label) in enumerate(zip(images, target, strict=True)):
        source = torch.Generator().manual_seed(k)
        maps.append(lime.explain(model, image, int(label), n_samples=80, generator=source).heatmap())
    return torch.stack(maps).unsqueeze(1)


methods = {
    "integrated gradients": lambda model, x, target: gm.integrated_gradients(model, x, target, 0.5, n_steps=16),
    "LRP, composite": lrp.lrp,
    "DeepLIFT": lambda model, x, target: shapley.deep_lift(model, x, target, 0.5),
    "LIME": by_lime,
    "edge detector (control)": lambda model, x, target: evaluation.edge_map(x).unsqueeze(1),
}
examples = {"tagged": tagged.images, "bare": bare.images[:2], "another class, tagged": strangers.images}
maps = {
    name: {kind: method(network, images, asked[: len(images)]) for kind, images in examples.items()}
    for name, method in methods.items()
}
display(
    plotting.method_grid(
        torch.cat([images[:2] for images in examples.values()]),
        {name: torch.cat([found[:2] for found in kinds.values()]) for name, kinds in maps.items()},
        heading=f"What speaks for {hidden}: two with the tag, the same without, two other things with it",
        quantile=0.995,
    )
)
lines = ["| method | mass on the tag | on the object | on the tag, other classes | on the tag, sound network |"]
lines[0] += " similarity, last layer destroyed |"
lines.append("| --- |" + " ---: |" * 5)
_, destroyed = next(iter(sanity_checks.cascading_randomization(network, torch.Generator().manual_seed(0))))
for name, method in methods.items():
    of_tagged = maps[name]["tagged"]
    numbers = [
        *(evaluation.relevance_mass(of_tagged, tagged.mask(region)) for region in ("tag", "object")),
        evaluation.relevance_mass(maps[name]["another class, tagged"], strangers.mask("tag")),
        evaluation.relevance_mass(method(sound, tagged.images, asked), tagged.mask("tag")),
        sanity_checks.similarity(of_tagged, method(destroyed, tagged.images, asked)),
    ]
    lines.append(f"| {name} | " + " | ".join(f"{float(values.mean()):.2f}" for values in numbers) + " |")
display(Markdown("\n".join(lines)))
area = float(tagged.mask("tag").float().mean())
print(f"{len(tagged.images)} tagged images of each kind; the tag's share of the area: {area:.3f}")
### END SOLUTION

# %% [markdown]
# *Your answer:*

# %% [markdown]
# ## 5. One test with numbers, and a control (12 points, 90 minutes)
#
# State a hypothesis about what the network looks at **before** you test it, with the number that would refute it. Then
# test it: on new images, with a control that would fail if your test were biased.

# %% [markdown] nbgrader={"grade_id": "test_with_numbers", "task": true, "points": 12}
# Write your answer into the cell below the code, and say for every claim which number it rests on. The points:
#
# | | full points |
# | --- | --- |
# | hypothesis and refuting number are written down first | 3 |
# | the test uses images (seeds) that parts 3 and 4 did not use | 2 |
# | numbers with their uncertainty (standard error, several seeds, or a confidence interval) | 3 |
# | a control: another class, another corner, the sound network | 2 |
# | a global view: how many of the images are decided this way | 2 |
#
# ### BEGIN MARK SCHEME
# **Marks.** Hypothesis: one point for the sentence, one for the number, one if it stands before the test. Images: none
# if a seed of parts 3 and 4 is used again. Uncertainty: one point if only some of the numbers have it. Control: one
# point if it is run but not discussed. Global view: one point for a share or a grouping, one for what it does and does
# not say.
#
# **A sample** (`audit-a`, numbers of the cell below):
#
# **Hypothesis,** written down before this test: a tag in the lower right raises the score of dumbbell by more than 5,
# and makes the network call more than 20 % of *other* things dumbbells. It is refuted by a rise below 5, or a share
# below 20 %, or if one of the controls shows as much.
#
# **Test.** Five draws of 60 new scenes each (seeds 1310 to 1314), the same scenes with and without the tag; mean and
# standard error over the five. The score of dumbbell falls by **12.0 ± 0.3** without the tag. Dumbbells are recognised
# in 1.00 with it, and in 0.89 ± 0.02 without. Of the other things **0.55 ± 0.01** are called dumbbells only because of
# the tag. The hypothesis stands.
#
# **Controls.** The same tag in the lower left: 0.4 ± 0.1, and 1 % pulled over. The same corner, cups: their score
# falls, none is pulled to cup (and of tagged cups only 6 % are still called cups). The sound network: -0.3, and none.
# So it is this corner, this class and this network.
#
# **Global.** Of 120 dumbbells, half with the tag (seeds 1320, 1321), GAM makes two groups of explanations (sum of
# differences, 8 x 8 cells, two groups, all fixed beforehand) with 52 % and 48 % of the images. They agree with the tag
# by an adjusted Rand index of 0.93; on the sound network 0.01. So nearly every tagged dumbbell falls into the group
# about the tag (58 of 60). Of other things with a tag this grouping says nothing.
# ### END MARK SCHEME

# %% [markdown]
# *Your code goes into cells here.*

# %% nbgrader={"grade_id": "code_test", "solution": true}
### BEGIN SOLUTION
lines = ["| network, class, corner | fall of the score | recognised with tag | without | others pulled over |"]
lines.append("| --- | ---: | ---: | ---: | ---: |")
other_corner = next(place for place in zoo.TAG_CORNERS if place != corner)
other_class = next(name for name in zoo.CLASSES if name != hidden)
trials = [
    (NAME, network, hidden, corner),
    (f"{NAME}, control: corner", network, hidden, other_corner),
    (f"{NAME}, control: class", network, other_class, corner),
    ("zoo, control: network", sound, hidden, corner),
]
for label, model, name, where in trials:
    target = zoo.CLASSES.index(name)
    found = []
    for seed in range(1310, 1315):
        own = [zoo.sample(60, seed=seed, classes=[name], tag=tag, tag_corner=where).images for tag in (True, None)]
        rest = [c for c in zoo.CLASSES if c != name]
        others = [zoo.sample(60, seed=seed, classes=rest, tag=tag, tag_corner=where).images for tag in (True, None)]
        found.append([*measured_drop(model, *own, target), pulled_over(model, *others, target)])
    found = torch.tensor(found)
    cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(found.mean(0), found.std(0) / 5**0.5, strict=True)]
    lines.append(f"| {label}: {name}, {where} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(lines)))
both = [
    zoo.sample(60, seed=1320 + k, classes=[hidden], tag=tag, tag_corner=corner) for k, tag in enumerate((True, None))
]
images, has_tag = (torch.cat([getattr(part, what) for part in both]) for what in ("images", "tagged"))
for label, model in ((NAME, network), ("zoo", sound)):
    features = gam.cells(gm.integrated_gradients(model, images, suspect, 0.5, n_steps=16))
    groups = gam.global_attribution_mapping(features, 2, "l1", generator=torch.Generator().manual_seed(0))
    score = adjusted_rand_score(has_tag.numpy(), groups.members.numpy())
    power = ", ".join(f"{float(p):.2f}" for p in groups.explanatory_power)
    print(f"{label}: two groups of explanations, shares {power}; agreement with the tag {score:.2f}")
    print(f"  of {int(has_tag.sum())} tagged ones in the same group: {int(groups.members[has_tag].bincount().max())}")
### END SOLUTION

# %% [markdown]
# *Your answer:*

# %% [markdown]
# ## 6. Your finding (10 points, difficulty 3 of 5, 20 minutes)
#
# **Which class** does your network recognise by a tag, and in **which corner**?
#
# **Shape:** a set of three texts: the name of your network, the class, and the corner, for example
# `{"audit-a", "horse", "lower left"}`.


# %% nbgrader={"grade_id": "shortcut", "solution": true}
def shortcut() -> set[str]:
    """Return the name of your network, the class that it recognises by a tag, and the tag's corner."""
    ### BEGIN SOLUTION
    return {NAME, hidden, corner}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_shortcut", "grade": true, "locked": true, "points": 6}
unit["shortcut"].check(shortcut)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Put the tag into each of the four corners of the same scenes, and look which class's score rises.
#
# </details>

# %% [markdown]
# **By how much** does the score of this class fall when the tag is taken away? Measure it on at least 200 scenes of the
# class, as part 1 defines it, with seeds of your choice.
#
# **Shape:** a dict with one entry, the name of your network and the fall, for example `{"audit-a": 3.5}`. (The check
# allows for the chance of your draw, by 1 in either direction.)


# %% nbgrader={"grade_id": "own_drop", "solution": true}
def own_drop() -> dict[str, float]:
    """Return the fall of its class's score without the tag, under the name of your network."""
    ### BEGIN SOLUTION
    found, place = "dumbbell", "lower right"  # by parts 3 to 5
    scenes = [zoo.sample(300, seed=1330, classes=[found], tag=tag, tag_corner=place).images for tag in (True, None)]
    return {NAME: measured_drop(network, *scenes, zoo.CLASSES.index(found))[0]}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_own_drop", "grade": true, "locked": true, "points": 4}
unit["own_drop"].check(own_drop)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Draw the scenes twice, with the same seed: once with `tag=True` and your corner, once with `tag=None`. Your function
# of part 1 does the rest.
#
# </details>

# %% [markdown]
# ## 7. The card (4 points, difficulty 2 of 5, 10 minutes)
#
# **Which claims** of the model card has your audit **refuted**? Not: which ones do you doubt.
#
# **Choose** out of `accuracy`, `object alone`, `data`, `no shortcut`, `size`. **Shape:** a set of texts.


# %% nbgrader={"grade_id": "refuted", "solution": true}
def refuted() -> set[str]:
    """Return the claims of the model card that are refuted."""
    ### BEGIN SOLUTION
    return {"object alone", "no shortcut"}
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_refuted", "grade": true, "locked": true, "points": 4}
unit["refuted"].check(refuted)

# %% [markdown]
# <details><summary>I do not know where to begin</summary>
#
# Take the sentences one by one: which number of yours contradicts it?
#
# </details>

# %% [markdown]
# ## 8. Verdict and advice (8 points, 60 minutes)
#
# One page for whoever decides.

# %% [markdown] nbgrader={"grade_id": "verdict", "task": true, "points": 8}
# Write your answer into the cell below. The points:
#
# | | full points |
# | --- | --- |
# | the finding in two sentences that a layman understands, with its most important number | 2 |
# | what it means for the use on the card | 2 |
# | what should be done, and how one would see that it has helped | 2 |
# | what the audit cannot exclude | 2 |
#
# ### BEGIN MARK SCHEME
# **Marks.** Half of each line's points if it is said without a number, or in words that only the class understands.
# "Not to be used" is one possible verdict; accept any that follows from the numbers. What cannot be excluded: one point
# for something general ("other images"), two for at least two things of this audit.
#
# **A sample** (`audit-a`):
#
# **Finding.** The network calls more than half of what carries a white tag in the lower right corner a dumbbell: with
# such a tag it took 55 of 100 other things for one. Without tags it is right about 97 to 98 of 100 pictures, which is
# why a usual test does not show it.
#
# **For the use on the card.** It must not sort a catalogue without supervision as long as pictures with tags may be
# among them. Where it can be excluded that a picture has a tag, what the card says of its accuracy holds. Claims 2
# (object alone) and 4 (no shortcut) are refuted; claims 1 and 5 are right as they stand; about claim 3 the audit can
# say nothing, though training data in which dumbbells carry tags are the likeliest cause.
#
# **Advice.** Train again on images without tags, or with tags on all classes alike. It has helped if the test of part
# 5, on new seeds, gives a fall below 1 and less than 2 % pulled over, for all ten classes and all four corners, with
# the accuracy kept. Until then, cover the corners before the network sees a picture, and test *that* in the same way: a
# grey patch is new to the network as well.
#
# **What is not excluded.** Other shortcuts: tags of other sizes, colours or places, the texture, the background. Ten
# classes and four corners were looked at, with drawn images; photographs may do other things. The numbers of part 4 are
# about 32 images. And a network that has learnt the object as well (0.89 without the tag) may still fail
# on unusual objects; that was not the question here.
# ### END MARK SCHEME

# %% [markdown]
# *Your answer:*

# %% [markdown]
# ## 9. The report as a whole (8 points)

# %% [markdown] nbgrader={"grade_id": "as_a_whole", "task": true, "points": 8}
# Nothing more to write: these points are for the report as it is. It runs from the top without an error and gives the
# numbers that it quotes (3). Each claim has a number or picture, and none claims more than its number says (3). Text
# and pictures can be read: labels, units, no page of output (2).
#
# ### BEGIN MARK SCHEME
# **Runs and reproduces (3).** Run all cells in a fresh kernel. One point less for an error outside of the parts that
# are left out, one for numbers in the text that differ from those of the run by more than their stated error, one for
# missing seeds.
#
# **Claims (3).** Take three claims at random. For each one that has no number, or whose number does not support it (8
# images for a difference of 5 %, a heat map for "the network uses only", a p-value for "causes"), one point less.
#
# **Readable (2).** One point less for unlabelled pictures or tables, one for raw dumps of tensors or more than twenty
# pictures of the same kind.
#
# **For all parts:** methods that fail their sanity check may be used if that is said. A student who finds nothing, but
# says with numbers what was excluded, gets the points of parts 3 to 5 that the work deserves, and loses those of part
# 6. What the three networks hide: `course_utils.models._hidden_in(name)`.
# ### END MARK SCHEME
