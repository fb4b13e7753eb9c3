# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 11: Testing with concepts
#
# {{colab_badge}}
#
# A heat map says *where*. It does not say *what* is there: is it the stripes that make the zebra, or the legs, or the
# grass? This unit asks in words that a person chooses, **concepts**; its method is TCAV, *testing with concept
# activation vectors*. And as our scenes can be drawn again with another texture, the answers can be held against the
# truth. About 110 minutes, or two lectures of 55; lab 11 follows.
#
# **After this unit you can**
#
# - say what a concept activation vector is, compute one, and say how good it is;
# - derive the directional derivative and the TCAV score, and test it against random concepts, with a correction;
# - say why many false alarms survive that test, and what lowers them;
# - use relative concepts, and captum's `Concept`, `Classifier`, `TCAV` and `ConceptInterpreter`.
#
# You need: gradients with respect to a layer (unit 06), linear classifiers; the t-test is explained.

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Concepts | 10 |
# | 2. The direction of a concept | 20 |
# | 3. The derivative along it | 15 |
# | 4. The score, and random concepts | 20 |
# | 5. The truth: draw the scenes again | 10 |
# | 6. False alarms, and what lowers them | 20 |
# | 7. Explore | 10 |
# | 8. What TCAV cannot do; the same in captum | 5 |
#
# The course slides name the method (Kim et al. 2018) and show its first figure: a concept "striped" with its examples,
# random images, a layer, and the vector that tells them apart. The formulas are those of the paper. Everything about
# the truth is **beyond the slides**: it is measured here.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import torch
from IPython.display import Markdown, display
from torch import Tensor

from course_utils import gradient_methods as gm
from course_utils import models, plotting, tcav, zoo
from course_utils.passes import activation_and_gradient
from course_utils.widgets.tcav import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Concepts
#
# A **concept** is given by examples: some images that show it. *Striped*, for instance, by striped things of all kinds.
# Nobody has to say what the pixels look like, and the network need not have been trained with the word.
#
# In the zoo the four animals share one silhouette and differ in their coat alone: a plain *horse*, a striped *zebra*, a
# dotted *leopard*, a checked *giraffe*. The other six classes differ in shape, and have any texture.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
ZEBRA = zoo.CLASSES.index("zebra")
zebras = zoo.sample(30, seed=70, classes=["zebra"]).images
maps = gm.integrated_gradients(net, zebras[:3], ZEBRA, 0.5, n_steps=20)
display(
    plotting.method_grid(
        zebras[:3],
        {"integrated gradients": maps},
        heading="The map says where. What is it about the coat?",
        quantile=0.99,
    )
)
plotting.image_grid(
    torch.cat([zoo.concept("stripes", 5, seed=1), zoo.sample(5, seed=3, texture="stripes").images]),
    titles=["a picture of stripes"] * 5 + ["a striped scene"] * 5,
    columns=5,
    heading="Two ways to give examples of the concept 'stripes'",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. The direction of a concept
#
# Let $A(I)$ be the activation of a layer for the image $I$: a long vector. Take the activations of images **with** the
# concept and of images **without** it. If a linear classifier can tell them apart, its plane has a normal vector, which
# points to the side of the concept. Divided by its length it is the **concept activation vector** (CAV) $v$.
#
# > **In words:** to go along $v$ means to make the image's inner picture a little more *striped*.
#
# Some examples are held out. The accuracy on them says whether the layer knows the concept at all; a direction comes
# out in any case.

# %% slideshow={"slide_type": "fragment"}
others = [name for name in zoo.TEXTURES if name != "stripes"]
with_stripes = zoo.sample(60, seed=20, texture="stripes").images
without = torch.cat([zoo.sample(20, seed=21, texture=name).images for name in others])
lines = ["| layer | shape of A | logistic regression | support vector machine | difference of means |"]
lines.append("| --- | --- | ---: | ---: | ---: |")
for layer in ("2", "5", "8", "11", "14"):
    sides = [tcav.layer_activations(net, layer, images) for images in (with_stripes, without)]
    cells = []
    for classifier in tcav.CLASSIFIERS if layer not in ("2", "5") else ("means",):
        cav = tcav.concept_activation_vector(*sides, classifier, generator=torch.Generator().manual_seed(0))
        assert cav.accuracy > (0.7 if layer == "2" else 0.75)
        cells.append(f"{cav.accuracy:.2f}")
    cells = ["", "", *cells] if len(cells) == 1 else cells
    lines.append(f"| {layer} | {tuple(sides[0].shape[1:])} | " + " | ".join(cells) + " |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the held-out accuracy for *stripes* against other textures on the same kind of scenes, for three linear
# classifiers: logistic regression, a support vector machine (the plane with the widest margin), and the difference of
# the two means with a plane halfway between them. (In the two lowest layers only the last one is fitted: there are
# 8,000 and 16,000 numbers for 90 examples.) The texture can be read off the later layers by a plane; that alone does
# not say that the network *uses* it.
#
# <details><summary><b>Think first:</b> with 64 numbers and 32 examples, can a linear classifier tell ANY two sets
# apart, also two halves of the same set?</summary>
#
# Yes, nearly always: as many examples as dimensions can be separated in any way. That is why the accuracy is measured
# on examples that were held out, and why random concepts are needed.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. The derivative along it
#
# How does the score $y_c$ of class $c$ change if the activation moves along $v$? That is the **directional
# derivative**,
#
# $$S_c(I) = \lim_{\varepsilon \to 0} \frac{y_c(A(I) + \varepsilon v) - y_c(A(I))}{\varepsilon}
# = \frac{\partial y_c}{\partial A}(I) \cdot v .$$
#
# (The paper's letter. It is not the score, which other slides call $S_c$ and which is $y_c$ here.)
#
# One backward pass to the layer gives the gradient, for as many vectors as you like.
#
# **By hand:** $v = (0.6, 0.8)$, and an image whose gradient is $(1, -2)$: $S = 0.6 - 1.6 = -1$. More of the concept
# lowers the score of this image.

# %% slideshow={"slide_type": "fragment"}
layer = "11"
vectors = {}
for texture in zoo.TEXTURES:
    rest = [name for name in zoo.TEXTURES if name != texture]
    sides = (
        zoo.sample(60, seed=20, texture=texture).images,
        torch.cat([zoo.sample(20, seed=21, texture=name).images for name in rest]),
    )
    acts = [tcav.layer_activations(net, layer, images) for images in sides]
    vectors[texture] = tcav.concept_activation_vector(*acts, generator=torch.Generator().manual_seed(0)).vector
derivatives = {t: tcav.directional_derivatives(net, layer, zebras, ZEBRA, v) for t, v in vectors.items()}
by_hand = torch.tensor([1.0, -2.0]) @ torch.tensor([0.6, 0.8])
assert abs(float(by_hand) + 1) < 1e-6
rising = {texture: float(tcav.tcav_score(values)) for texture, values in derivatives.items()}
assert rising["stripes"] > 0.9 and rising["checks"] < 0.1 and rising["plain"] > 0.6
plotting.distributions(
    derivatives, "directional derivative of the score of zebra", heading="30 zebras, four directions in layer 11"
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** along *stripes* the score of nearly every zebra grows, along *checks* it falls. Along *plain* it grows as
# well, for most; is it that a plain animal is more of a zebra? Section 5 answers.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. The score, and random concepts
#
# The **TCAV score** of a class is the share of its images for which the derivative is positive:
#
# $$\mathrm{TCAV}_c = \frac{|\{I : S_c(I) > 0\}|}{|\{I\}|}$$
#
# A direction comes out of any two sets. So the score of the concept is compared with those of **random concepts**. Tell
# the concept from $R$ different random sets: $R$ vectors, $R$ scores. Tell random sets from each other: scores of
# directions that mean nothing. Do the means of both groups differ by more than chance allows? **Welch's t-test**
# divides their difference by its standard error, $t = (\bar s - \bar s') / \sqrt{\sigma^2 / R + \sigma'^2 / R'}$ with
# the standard deviations $\sigma$, $\sigma'$ of the two groups, and gives a **p-value**: how often chance alone would
# make a difference of this size, in either direction (two-sided).
#
# With many tests some fire by chance: of 40 tests at 5 %, two. **Bonferroni** multiplies each p-value by the number of
# tests.

# %% slideshow={"slide_type": "fragment"}
source = torch.Generator().manual_seed(0)
random_sets = [zoo.sample(30, seed=200 + r).images for r in range(12)]
tests = {}
lines = ["| concept (layer 11, zebra) | scores | scores of random concepts | p, corrected for 4 tests |"]
lines.append("| --- | ---: | ---: | ---: |")
for texture in zoo.TEXTURES:
    concept = zoo.sample(30, seed=20, texture=texture).images
    found = tcav.concept_vectors(net, layer, concept, random_sets, "means", generator=source)
    result = tests[texture] = tcav.tcav_test(net, layer, zebras, ZEBRA, found, n_tests=4)
    cells = [f"{values.mean():.2f} ± {values.std():.2f}" for values in (result.scores, result.random_scores)]
    lines.append(f"| {texture} | {cells[0]} | {cells[1]} | {result.p_value:.2g} |")
assert {texture for texture, result in tests.items() if result.p_value < 0.05} == {"stripes", "checks"}
assert tests["stripes"].scores.min() > 0.9 and (tests["checks"].scores == 0).all()
assert all(
    0.45 < result.random_scores.std() < 0.55 and 0.4 < result.random_scores.mean() < 0.6 for result in tests.values()
)
near_the_ends = torch.cat([(result.random_scores - 0.5).abs() > 0.4 for result in tests.values()])
assert near_the_ends.double().mean() > 0.75
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** *stripes* are found: the score is 1 for nearly every random set. But look at the random concepts: 0.5 ± 0.5.
# The zebras agree on most directions, so that a random direction scores nearly 0 or nearly 1. Only a score that is the
# same for all sets stands out, and *checks*, which score 0 each time, do so as well: more checks, less zebra.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Relative concepts
#
# Instead of random images the negatives may be the examples of **other concepts**: *stripes* against *dots*, *checks*
# and *plain*. The direction is then what stripes have and those do not, a **relative** CAV. In the figure of section 3
# that is what was done: the same kind of scenes, drawn with the other textures.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. The truth: draw the scenes again
#
# What *does* a texture do to a score? Draw the same scenes with each of the four textures, ask the network, and
# compare: the mean score with the texture less the mean with the others. That is an **intervention**: nothing else
# differs.

# %% slideshow={"slide_type": "fragment"}
N = 24
redrawn = {
    name: torch.stack([zoo.sample(N, seed=77, classes=[name], texture=t).images for t in zoo.TEXTURES])
    for name in zoo.CLASSES
}
effects = torch.stack([tcav.texture_effect(net, images, k) for k, images in enumerate(redrawn.values())], 1)
lines = ["| true effect | " + " | ".join(zoo.CLASSES) + " |", "| --- |" + " ---: |" * 10]
for texture, row in zip(zoo.TEXTURES, effects, strict=True):
    lines.append(f"| {texture} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
display(Markdown("\n".join(lines)))
animals = [zoo.CLASSES.index(animal) for animal in zoo.COATS]
coats = [zoo.TEXTURES.index(coat) for coat in zoo.COATS.values()]
own_coat = torch.zeros(4, 10, dtype=torch.bool)
own_coat[coats, animals] = True
other_coats = effects[:, animals][~own_coat[:, animals]]
shapes = effects[:, [k for k in range(10) if k not in animals]]
assert effects[own_coat].min() > 6 and effects[own_coat].max() < 7.2 and effects[~own_coat].max() < 1.2
assert other_coats.min() > -4.5 and -0.6 < other_coats.max() < -0.45
assert (shapes.abs() < 1).double().mean() > 0.9
horses = redrawn["horse"][:, :5]
plotting.image_grid(
    horses.flatten(0, 1),
    titles=[t if k == 0 else "" for t in zoo.TEXTURES for k in range(5)],
    columns=5,
    heading="The same five scenes",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** four large causes, one for each animal: its own coat, worth 6 to 7 units of the score. The other coats lower
# the animals' scores, by 0.5 to 4.4; a plain coat makes a zebra less of a zebra, whatever the direction of section 3
# said. The shapes hardly care: mostly below 1.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. False alarms, and what lowers them
#
# Now TCAV is put on trial: 4 textures, 10 classes, 40 tests, all corrected. A significant cell is a **false alarm** if
# it points the wrong way, or if the size of the true effect is below 0.5. Three choices are varied:
#
# - **negatives:** *usual* (pictures of the texture against scenes of all kinds), *pictures* (pictures of the texture
#   against pictures of the others), *same kind* (scenes with the texture against the same kind of scenes with the
#   others);
# - **layer:** 11, the last maps, or 14, the dense layer;
# - **statistic:** the share of positive signs, or the mean derivative.
#
# Everything is repeated with five draws of the positives; the 24 sets of negatives are the same for all. (The vectors
# are differences of means, which need no fitting.)

# %% slideshow={"slide_type": "fragment"}
N_SETS, SEEDS, SIZE = 24, 5, 18
inputs = {k: zoo.sample(20, seed=79, classes=[name]).images for k, name in enumerate(zoo.CLASSES)}
gradients = {
    name: [activation_and_gradient(net, x, torch.full((20,), k), name)[1].flatten(1) for k, x in inputs.items()]
    for name in ("11", "14")
}


def both_layers(images: Tensor) -> dict[str, Tensor]:
    """Return the activations of layers 11 and 14; what lies between is run on the first."""
    maps = tcav.layer_activations(net, "11", images)
    with torch.no_grad():
        return {"11": maps, "14": net[12:15](maps)}


def pool(draw, n_pools: int, first: int, size: int) -> list[dict[str, dict[str, Tensor]]]:
    """Return for each seed the activations of `size` images of each texture: [seed][texture][layer]."""
    return [{t: both_layers(draw(t, size, first + s)) for t in zoo.TEXTURES} for s in range(n_pools)]


def scene(texture: str, n: int, seed: int) -> Tensor:
    return zoo.sample(n, seed, texture=texture).images


kinds = {
    "usual": (pool(zoo.concept, SEEDS, 3000, SIZE), None),
    "pictures": (pool(zoo.concept, SEEDS, 3000, SIZE), pool(zoo.concept, N_SETS, 4000, SIZE // 3)),
    "same kind": (pool(scene, SEEDS, 5000, SIZE), pool(scene, N_SETS, 6000, SIZE // 3)),
}
of_all_kinds = [both_layers(zoo.sample(SIZE, seed=7000 + r).images) for r in range(N_SETS)]
numbers = (4, 8, 16, 24)
outcome = {}
for kind, (positives, negatives) in kinds.items():
    for name in ("11", "14"):
        shape = (len(numbers), SEEDS, 4, 10)
        scores = {statistic: torch.zeros(shape) for statistic in tcav.STATISTICS}
        p_values = {statistic: torch.ones(shape) for statistic in tcav.STATISTICS}
        for i, texture in enumerate(zoo.TEXTURES):
            if negatives is None:
                sets = [acts[name] for acts in of_all_kinds]
            else:
                sets = [torch.cat([p[t][name] for t in zoo.TEXTURES if t != texture]) for p in negatives]
            middle = torch.stack([acts.flatten(1).mean(0) for acts in sets])
            random_vectors = middle - middle.roll(-1, 0)
            for s in range(SEEDS):
                own = positives[s][texture][name].flatten(1).mean(0)
                both = torch.nn.functional.normalize(torch.cat([own - middle, random_vectors]), dim=1)
                for k in range(10):
                    along = (both @ gradients[name][k].T).view(2, N_SETS, -1)
                    for statistic in tcav.STATISTICS:
                        a, b = tcav.tcav_score(along, statistic)
                        for m, n_sets in enumerate(numbers):
                            scores[statistic][m, s, i, k] = a[:n_sets].mean() - b[:n_sets].mean()
                            p_values[statistic][m, s, i, k] = tcav.p_value(a[:n_sets], b[:n_sets], n_tests=40)
        for statistic in tcav.STATISTICS:
            outcome[kind, name, statistic] = scores[statistic], p_values[statistic]


def count(score: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many causes are found and how many false alarms there are, by the number of sets."""
    significant = p < 0.05
    wrong = (effects.abs() < 0.5) | (effects.sign() != score.sign())
    totals = ((significant & (score > 0) & own_coat), (significant & wrong & ~own_coat))
    return tuple(total.sum((2, 3)).double().mean(1) for total in totals)


lines = ["| negatives | layer | statistic | causes found (of 4) | false alarms (of 36) | correlation with the truth |"]
lines.append("| --- | --- | --- | ---: | ---: | ---: |")
summary = {}
for (kind, name, statistic), (score, p) in outcome.items():
    found_causes, alarms = count(score, p)
    each = [torch.corrcoef(torch.stack([one.flatten(), effects.flatten()]))[0, 1] for one in score[-1]]
    agreement = torch.stack(each).mean()
    summary[kind, name, statistic] = [float(value) for value in (found_causes[-1], alarms[-1], agreement)]
    lines.append(f"| {kind} | {name} | {statistic} | {found_causes[-1]:.1f} | {alarms[-1]:.1f} | {agreement:.2f} |")
display(Markdown("\n".join(lines)))
usual, best = ("usual", "11", "sign"), ("same kind", "14", "mean")
assert summary[usual][0] == 3 and 19.5 < summary[usual][1] < 21.5
assert all(11 < summary["pictures", name, s][1] < 23.5 for name in ("11", "14") for s in tcav.STATISTICS)
assert summary["usual", "14", "mean"][0] == 0 and 9 < summary["usual", "14", "mean"][1] < 11
assert summary[best][0] == 4 and summary[best][1] < 1
assert all(values[1] > 2 and values[2] < summary[best][2] for key, values in summary.items() if key != best)
for counts in (values.tolist() for values in count(*outcome[usual])):  # with 4, 8, 16 and 24 sets
    assert counts == sorted(counts) and counts[-1] > counts[0]
shown = [usual, ("usual", "11", "mean"), ("same kind", "11", "mean"), best]
plotting.curve_grid(
    {
        title: {", ".join(key): (torch.tensor(numbers), count(*outcome[key])[which]) for key in shown}
        for which, title in enumerate(("causes found (of 4)", "false alarms (of 36)"))
    },
    "number of random sets",
    "tests",
    "More random sets: more causes, and more false alarms",
    columns=2,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:**
#
# - **More random sets do not help.** The p-values get smaller with the number of sets, for causes and for what is none:
#   with 24 sets the usual way, signs in layer 11, finds three causes and about **20 of 36** false alarms, in spite of
#   Bonferroni. Bonferroni guards against chance, and these are no chance: pictures without an object differ from scenes
#   in much more than the texture, and a direction that means *no object* does move the scores.
# - **One change alone is not enough.** Relative concepts on pictures have 11 to 23 false alarms as well; the mean in
#   layer 14 with the usual negatives has fewer, and finds no cause.
# - **Together they are:** scenes that differ in the texture alone, a late layer, and the mean derivative find all four
#   causes, with next to no false alarm and the highest correlation with the truth. The mean keeps the size of the
#   derivatives, which the count of signs throws away: a derivative that is positive for all images may be tiny.
#
# Be careful with the last success. Behind layer 14 this network is linear, so that $S_c = W_c \cdot v$ is the same for
# all images: what is measured is how the class's weights lie to the difference of two means. In a layer where a texture
# *is* a direction that is the whole story; in layer 11 it is not. And with 18 positives a single draw may still hold
# many stars, say, so that its direction means *star* as well.

# %% slideshow={"slide_type": "fragment"}
for key in (usual, best):
    score, p = (values[-1] for values in outcome[key])
    lines = [f"| {', '.join(key)}: score / true effect | " + " | ".join(zoo.CLASSES) + " |"]
    lines.append("| --- |" + " ---: |" * 10)
    for i, texture in enumerate(zoo.TEXTURES):
        row = []
        for k in range(10):
            star = "*" * int((p[:, i, k] < 0.05).sum())
            row.append(f"{score[:, i, k].mean():.2f}{star} / {effects[i, k]:.1f}")
        lines.append(f"| {texture} | " + " | ".join(row) + " |")
    display(Markdown("\n".join(lines)))
of_ball = outcome[usual][0][-1][:, :, zoo.CLASSES.index("ball")]
assert (of_ball > 0).all()  # in every draw, for every texture
print("score: mean over five seeds, less that of random concepts; a star for each seed in which it is significant")

# %% [markdown] slideshow={"slide_type": "fragment"}
# <details><summary><b>Think first:</b> in the upper table, why does every texture raise the score of
# <i>ball</i>?</summary>
#
# All four directions share a part: from scenes to pictures without an object. That part raises the score of *ball*, and
# what the textures themselves do comes on top.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Explore
#
# Choose a concept, what it is told from, a layer and a class. Look for a cell that is significant and has no effect;
# then change what the concept is told from.

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. What TCAV cannot do
#
# - **It finds directions, not causes.** A direction that raises the score may be one that no image ever takes.
# - **It depends on the examples.** A concept is what its examples have in common, wanted or not: photographs of stripes
#   come with zebras, and with grass.
# - **Its test is too willing.** The concept's scores share one set of examples, so that they scatter less than they
#   should, and with enough random sets nearly everything is significant. Report the scores of random concepts, how many
#   tests were made, and the size of the effect, not the stars.
# - **A concept need not be a direction.** Early layers hold stripes at every place and angle; no single vector means
#   them all.
# - **Where you can, intervene.** Edit the images, render them, or collect pairs that differ in the concept alone.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same in captum
#
# captum has the same parts under `captum.concept`: a `Concept(id, name, loader)` holds examples; a `Classifier`
# (abstract: `train_and_eval`, `weights`, `classes`) finds the direction, by default a linear model fitted by gradient
# descent; a `ConceptInterpreter` is what interprets by concepts, and `TCAV` is the one that there is:
#
# ```python
# tcav = TCAV(model, layers=["11"], classifier=MyClassifier(), save_path="cav/")
# scores = tcav.interpret(images, [[stripes, dots], [stripes, random_0]], target=7)
# scores["0-1"]["11"]["sign_count"], scores["0-1"]["11"]["magnitude"]
# ```
#
# `sign_count` is the TCAV score, `magnitude` the mean derivative. It keeps the vectors in files under `save_path` (give
# each experiment its own, or it finds the old ones), and leaves the test to you. The lab gives captum our vectors, and
# gets the same numbers.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. A concept is a set of examples; its CAV is the normal of a linear classifier in a layer. Look at the held-out
#    accuracy.
# 2. $S_c = \partial y_c / \partial A \cdot v$; the TCAV score is the share of a class's images with $S_c > 0$.
# 3. Compare with random concepts, and correct for the number of tests. It guards against chance alone.
# 4. Negatives that differ in more than the concept give false alarms: half of all cells here. Scenes of the same kind,
#    a late layer and the mean derivative together lower them to next to none; none of the three does it alone.
# 5. The truth is an intervention: draw the scene again. Report the effect, not only the p-value.
#
# **Next:** lab 11 (`labs/11_tcav`). You write TCAV, and hold it against the truth.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Welch: *The generalization of "Student's" problem when several different population variances are involved.*
#   Biometrika 1947.
# - Kim, Wattenberg, Gilmer, Cai, Wexler, Viegas, Sayres: *Interpretability beyond feature attribution: quantitative
#   testing with concept activation vectors (TCAV).* ICML 2018.
# - Kokhlikyan, Miglani, Martin, Wang, Alsallakh, Reynolds, Melnikov, Kliushkina, Araya, Yan, Reblitz-Richardson:
#   *Captum: a unified and generic model interpretability library for PyTorch.* arXiv 2020.
# - Molnar: *Interpretable machine learning*, chapter "Detecting concepts", christophm.github.io/interpretable-ml-book.
