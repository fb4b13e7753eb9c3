# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 10: Sanity checks
#
# {{colab_badge}}
#
# By now the course has a dozen methods, and each of them draws something on the object. Should we believe them? This
# unit puts all of them on trial: destroy the network, and see whether the map notices. About 115 minutes, or two
# lectures of 60; lab 10 follows.
#
# **After this unit you can**
#
# - say why a map that looks right may be about the image alone;
# - measure how alike two maps are, in four ways, and say what signs do to the answer;
# - destroy a network by cascading and by independent randomization, and by training on random labels, and read the
#   curves;
# - compare what you measure with what was published, and discuss the differences;
# - delete and insert pixels, and say what retraining adds (ROAR), and what it confuses;
# - name what no such test can show.
#
# You need: the methods of units 05 to 09; rank correlation is explained.

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. A picture that asked no network | 10 |
# | 2. How alike are two maps? | 15 |
# | 3. Destroying the weights | 15 |
# | 4. The curves of all methods | 15 |
# | 5. What was published, and what is found here | 10 |
# | 6. One layer alone | 5 |
# | 7. Labels at random | 10 |
# | 8. Explore | 10 |
# | 9. Ask the network: deletion, insertion, retraining | 15 |
# | 10. All verdicts, and what no test can show | 10 |
#
# The course slides name the paper (Adebayo et al. 2018) and its question; the tests themselves are **beyond the
# slides**, as are all numbers: they are measured here.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import numpy as np
import torch
from IPython.display import Markdown, display
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from course_utils import evaluation, lime, lrp, models, plotting, sanity_checks, shapley, visualization, zoo
from course_utils import gradient_methods as gm
from course_utils.widgets.sanity_checks import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. A picture that asked no network
#
# Here are three maps of each image. Two are explanations of a network. One is an **edge detector** (the Sobel filter),
# which has never seen a network.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
drawn = zoo.sample(60, seed=808)
chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("zebra", "cup", "star")]
images, labels, objects = drawn.images[chosen], drawn.labels[chosen], drawn.mask("object")[chosen]
plotting.method_grid(
    images,
    {
        "first": gm.guided_backprop(net, images, labels),
        "second": evaluation.edge_map(images).unsqueeze(1),
        "third": lrp.lrp(net, images, labels, lrp.ZPlus()),
    },
    heading="Which one is the edge detector?",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# <details><summary><b>Think first:</b> which one is it, and what would its scores against the true object
# be?</summary>
#
# The second. Its scores are in the table below, among those of all methods.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
test = zoo.sample(12, seed=2024)
masks = test.mask("object")


def smoothgrad(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return gm.smoothgrad(model, x, target, n_samples=8, stdevs=0.1, generator=source)


def gradient_shap(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return shapley.gradient_shap(model, x, target, drawn.images[40:50], n_samples=8, generator=source)


def noise_of_weights(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """A fraud of another kind: noise, whose seed is computed from the weights."""
    total = float(sum(weight.detach().double().abs().sum() for weight in model.parameters()))
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(int(1e6 * total) % 2**31))


def lime_maps(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    maps = []
    for k, (image, label) in enumerate(zip(x, target, strict=True)):
        source = torch.Generator().manual_seed(k)
        maps.append(lime.explain(model, image, int(label), lime.segment(image), 50, generator=source).heatmap())
    return torch.stack(maps).unsqueeze(1)


def grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return gm.upsample(gm.grad_cam(model, x, target, "10"), x.shape[2:])


def guided_grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return gm.guided_grad_cam(model, x, target, "10", interpolate_mode="bilinear")


METHODS = {
    "gradient": gm.gradient,
    "SmoothGrad": smoothgrad,
    "input x gradient": gm.input_x_gradient,
    "integrated gradients": lambda model, x, target: gm.integrated_gradients(model, x, target, 0.5, n_steps=8),
    "GradientSHAP": gradient_shap,
    "DeepLIFT": lambda model, x, target: shapley.deep_lift(model, x, target, 0.5),
    "LRP, composite": lrp.lrp,
    "LRP, z+": lambda model, x, target: lrp.lrp(model, x, target, lrp.ZPlus()),
    "deconvnet": gm.deconvnet,
    "guided backprop": gm.guided_backprop,
    "Grad-CAM": grad_cam,
    "guided Grad-CAM": guided_grad_cam,
    "occlusion": lambda model, x, target: visualization.occlusion(model, x, target, 8, 8, 0.5),
    "LIME": lime_maps,
}
CONTROLS = {
    "edge detector": lambda model, x, target: evaluation.edge_map(x).unsqueeze(1),
    "its own network": lambda model, x, target: METHODS["integrated gradients"](net, x, target),
    "noise of the weights": noise_of_weights,
}
trained = {name: method(net, test.images, test.labels) for name, method in (METHODS | CONTROLS).items()}
truth = evaluation.score_table(
    {name: lambda x, target, of=maps: of for name, maps in trained.items()},
    test.images,
    test.labels,
    masks,
    batch_size=len(masks),
)
plotting.score_chart(
    truth,
    controls=list(CONTROLS),
    chance=masks.float().mean().item(),
    title="Against the object, 12 images (dashed: its share of the area)",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** by mass and rank (the share of the $K$ highest pixels that lie on the object's $K$ pixels) the edge detector
# is the best of all. Objects have edges, and plain backgrounds have none. A score against the object can tell a bad map
# from a good one. It cannot tell whether anybody asked the network.
#
# Two more controls stand below: a cheat that explains **its own network**, whatever network it is handed (so far it
# equals integrated gradients), and **noise** whose seed is computed from the network's weights. Keep an eye on both.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. How alike are two maps?
#
# If the network changes, the map must change. So we need a number for how alike two maps are. Their units differ from
# method to method, so the values are replaced by their **ranks**. Spearman's **rank correlation** of the maps $a$, $b$
# is the correlation of the ranks; with the differences $d_i$ of the ranks of $n$ different values,
#
# $$\rho = 1 - \frac{6 \sum_i d_i^2}{n (n^2 - 1)}$$
#
# **By hand:** $a = (3, -1, 2, 0)$ has the ranks $(4, 1, 3, 2)$, and $b = (1, 2, 8, 5)$ has $(1, 2, 4, 3)$. The
# differences are $3, -1, -1, -1$, their squares sum to 12, and $\rho = 1 - 72/60 = -0.2$.
#
# **Signs matter.** $|a| = (3, 1, 2, 0)$ has the ranks $(4, 2, 3, 1)$: with $b$ the differences are $3, 0, -1, -2$, and
# $\rho = 1 - 84/60 = -0.4$. "spearman" compares signed values, "spearman_abs" their absolute values, that is, *where*
# something is rather than *what it says*.
#
# Two more compare patterns: **SSIM** (structural similarity: means, variances and covariance in small windows) and the
# correlation of **HOG** features (in which directions edges run in each cell).

# %% slideshow={"slide_type": "fragment"}
a, b = torch.tensor([[[3.0, -1.0, 2.0, 0.0]]]), torch.tensor([[[1.0, 2.0, 8.0, 5.0]]])
by_hand = [float(sanity_checks.similarity(a, b, metric)) for metric in ("spearman", "spearman_abs")]
assert np.allclose(by_hand, [-0.2, -0.4])
pairs = {
    "the same map": ("gradient", trained["gradient"]),
    "the opposite": ("gradient", -trained["gradient"]),
    "SmoothGrad": ("gradient", trained["SmoothGrad"]),
    "guided backprop": ("gradient", trained["guided backprop"]),
    "edge detector": ("gradient", trained["edge detector"]),
    "noise": ("gradient", torch.randn(test.images.shape, generator=torch.Generator().manual_seed(0))),
}
lines = ["| gradient against | " + " | ".join(sanity_checks.METRICS) + " |", "| --- |" + " ---: |" * 4]
for name, (first, other) in pairs.items():
    values = [sanity_checks.similarity(trained[first], other, metric).mean() for metric in sanity_checks.METRICS]
    lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
display(Markdown("\n".join(lines)))
plotting.matrices(
    {
        "a": a[0],
        "ranks of a": torch.as_tensor(rankdata(a[0]))[None],
        "b": b[0],
        "ranks of b": torch.as_tensor(rankdata(b[0]))[None],
    },
    heading="Two maps of four pixels, and their ranks",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the opposite map has $-1$ with signs and $+1$ without, and for HOG, which looks at absolute values here, it
# is the same map. By SSIM and without signs the gradient is somewhat like an edge detector: both are small where the
# image is plain. A metric is a choice, and some of the dispute about these tests is about that choice.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. Destroying the weights
#
# **Cascading randomization:** the last layer's weights are drawn anew, as they were before the training; then those of
# the last two layers; and so on, until all is random. All of it happens on copies.
#
# After the first step already the network knows nothing: its scores are a random mixture of what layer 14 offers. An
# explanation of *this* network has no reason to show the cup.

# %% slideshow={"slide_type": "fragment"}
before = {name: weight.clone() for name, weight in net.state_dict().items()}
copies = [dict(sanity_checks.cascading_randomization(net, torch.Generator().manual_seed(s))) for s in (1, 2)]
assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())  # the original is untouched
layers = list(copies[0])
with torch.no_grad():
    right = [(n(drawn.images).argmax(1) == drawn.labels).double().mean() for n in (net, *copies[0].values())]
print("right about 60 images:", [f"{float(value):.2f}" for value in right])
shown = ("gradient", "integrated gradients", "LRP, z+", "guided backprop", "Grad-CAM")
depths = {"as trained": net, **{f"to layer {name}": copies[0][name] for name in layers}}
star, of_star = images[2:], labels[2:]
maps = torch.cat([METHODS[name](n, star, of_star).sum(1) for name in shown for n in depths.values()])
plotting.heatmap_grid(
    maps,
    titles=[f"{name}\n{depth}" if k == 0 else depth for name in shown for k, depth in enumerate(depths)],
    images=star.expand(len(maps), -1, -1, -1),
    columns=len(depths),
    heading="A star, while more and more layers are destroyed (from left to right)",
    label="relevance, each map by its own scale",
    scale="map",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the gradient's dots leave the star step by step, and integrated gradients' follow from layer 9 on. LRP with
# z+ draws the star to the end, in one colour, red or blue, as the random score happens to be positive or negative.
# Guided backprop keeps its marks for a long time. Grad-CAM still points at the star with the last layer gone, and then
# at anything.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. The curves of all methods
#
# After each step, how alike are the maps to those of the trained network? (`sanity_checks.sanity_curve` gives this
# curve for one method and one metric.) Here are all methods of the course and the edge detector; the other two controls
# stand in the table. The bands are two standard errors to either side of the mean, over images and two draws of the
# random weights (LIME and occlusion, which need hundreds of passes: one).

# %% slideshow={"slide_type": "fragment"}
few, of_few = test.images[:6], test.labels[:6]
SLOW = ("LIME", "occlusion")  # hundreds of passes an image: one draw of the random weights is enough


def explained(draws: list[list[nn.Module]], methods: dict) -> dict[str, list[list[Tensor]]]:
    """Return the maps of each network by method, draw and depth."""
    return {
        name: [[method(network, few, of_few) for network in draw] for draw in (draws[:1] if name in SLOW else draws)]
        for name, method in methods.items()
    }


def alike(found: list[list[Tensor]], start: Tensor, metric: str, depths: tuple[int, ...] | None = None) -> Tensor:
    """Return the similarities to the maps of the trained network, (draws * images, depths)."""
    rows = []
    for draw in found:
        here = draw if depths is None else [draw[depth] for depth in depths]
        rows.append(torch.stack([sanity_checks.similarity(start, maps, metric) for maps in here], 1))
    return torch.cat(rows)


def band(values: Tensor) -> Tensor:
    """Return two lines, two standard errors below and above the mean, from depth 0 on."""
    error = 2 * values.std(0) / len(values) ** 0.5
    edges = torch.stack([values.mean(0) - error, values.mean(0) + error])
    return torch.cat([torch.ones(2, 1), edges], 1)


ALL = METHODS | CONTROLS
start = {name: maps[:6] for name, maps in trained.items()}
destroyed = explained([list(draw.values()) for draw in copies], ALL)
curves = {
    metric: {name: alike(destroyed[name], start[name], metric) for name in ALL}
    for metric in ("spearman", "spearman_abs")
}
groups = {
    "gradients": ("gradient", "SmoothGrad", "Grad-CAM", "occlusion", "edge detector"),
    "contributions": ("input x gradient", "integrated gradients", "GradientSHAP", "DeepLIFT", "LIME"),
    "modified passes": ("LRP, composite", "LRP, z+", "deconvnet", "guided backprop", "guided Grad-CAM"),
}
display(
    plotting.curve_grid(
        {
            f"{title}, {'signed' if metric == 'spearman' else 'absolute'}": {
                name: band(curves[metric][name]) for name in names
            }
            for metric in ("spearman", "spearman_abs")
            for title, names in groups.items()
        },
        "layers destroyed, from the output",
        "similarity",
        "Cascading randomization, all methods",
        limits=(-0.5, 1.05),
    )
)
lines = ["| method | last layer: signed | absolute | SSIM | HOG | all layers: signed | absolute | SSIM | HOG |"]
lines.append("| --- |" + " ---: |" * 8)
for name in ALL:
    ends = [alike(destroyed[name], start[name], metric, (0, -1)).mean(0) for metric in sanity_checks.METRICS]
    cells = [values[depth] for depth in (0, -1) for values in ends]
    lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See, with signs** (0 is what it should be):
#
# - gradient, SmoothGrad, input x gradient, integrated gradients, GradientSHAP, DeepLIFT and LRP (composite) fall to 0
#   with the last layer.
# - Grad-CAM, LIME and occlusion fall, too, and scatter: with few cells or superpixels there is much chance in a rank
#   correlation (the bands are wide, and one draw may lie at -0.4).
# - **guided backprop, deconvnet and guided Grad-CAM do not:** 0.9, 0.7 and 0.7 after the last layer, and still above
#   0.2 when everything is random. They draw what the lower layers respond to, for any class.
# - LRP with z+ is all over the place: each map is nearly the same as before, or its exact negative.
#
# **Without signs** most methods keep about 0.4 after the last layer, and less than 0.2 in the end: they are large where
# the image has edges. LRP with z+ keeps **0.99** after the last layer. Its map is a fixed picture times the sign and
# size of the score: while the dense layers alone are destroyed the picture stays, and an outline stays to the end. Sixt
# et al. (2020) showed why: each layer multiplies by a matrix without negative entries, and the product of many of those
# comes down to one direction.
#
# **The controls.** "Its own network" is at 1 like the edge detector: exposed. "Noise of the weights" is at 0, the
# perfect pass.
#
# **By HOG** occlusion and LIME look like edge detectors (0.7 and 0.9): what stays is the grid of windows and
# superpixels. That is a fact about the metric.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. What was published, and what is found here
#
# | method | Adebayo et al. 2018 | here |
# | --- | --- | --- |
# | guided backprop, guided Grad-CAM | insensitive: fail | the same: 0.9 and 0.7 with signs |
# | gradient, Grad-CAM | sensitive: pass | the same |
# | input x gradient, integrated gradients | the object stays visible, the numbers fall | the same |
# | SmoothGrad | keeps some structure | as the gradient |
# | deconvnet, LRP, DeepLIFT, SHAP, LIME, occlusion | not tested | see the table above |
#
# They used Inception v3 on ImageNet, and small networks on MNIST and Fashion-MNIST; here it is four convolutions on
# drawn images. That the object stays visible while the numbers fall has a plain reason here: the *signs* fall to 0 at
# once, and the eye sees the absolute values, which fall more slowly (0.4, and 0.1 to 0.2 in the end).
#
# Where do differences come from? Our network is shallow: there are few layers above the pixels, and guided backprop
# falls to 0.3 when the first one goes. Its backgrounds are plain, so that all maps share large quiet areas, which
# raises the absolute correlations. And the paper's figures use absolute values at places where ours use signs.
#
# **The test has critics.** Binder et al. (2023) note that a channel with large activations stays large when the layers
# *above* it are destroyed from the top: some similarity is then right, not a failure. And that a map of noise passes
# best of all, as ours did. So: a curve at 1 convicts. A curve at 0 acquits nobody.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. One layer alone
#
# **Independent randomization** destroys a single layer and leaves all others as trained. It tells which layers a map
# depends on at all.

# %% slideshow={"slide_type": "fragment"}
names = ("gradient", "integrated gradients", "LRP, composite", "LRP, z+", "guided backprop", "Grad-CAM")
alone = [[n for _, n in sanity_checks.independent_randomization(net, torch.Generator().manual_seed(s))] for s in (1, 2)]
single = explained(alone, {name: METHODS[name] for name in names})
lines = ["| method, signed / absolute | " + " | ".join(f"layer {name}" for name in layers) + " |"]
lines.append("| --- |" + " ---: |" * len(layers))
for name in names:
    pairs_of = zip(
        *(alike(single[name], start[name], metric).mean(0) for metric in ("spearman", "spearman_abs")), strict=True
    )
    lines.append(f"| {name} | " + " | ".join(f"{s:.2f} / {a:.2f}" for s, a in pairs_of) + " |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** for the gradient's family one destroyed layer is enough, whichever it is. For guided backprop the layer
# matters the less, the later it is: it shows what the *first* layers do. So does the picture of LRP with z+ (without
# signs): the dense layers hardly matter to it, the first layer does.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Labels at random
#
# The second test of the paper destroys the labels. `zoo-random-labels` was trained on 2,000 images with labels drawn by
# lot, until it knew all of them by heart. Its weights are not random at all: they are trained, and to perfection. But
# it cannot know what a cup is, for its "cups" were no cups.

# %% slideshow={"slide_type": "fragment"}
by_heart = models.load("zoo-random-labels")
with torch.no_grad():
    print(f"right about unseen images: {float((by_heart(drawn.images).argmax(1) == drawn.labels).double().mean()):.2f}")
memory = explained([[by_heart]], ALL)
values = [[alike(memory[name], start[name], metric)[:, 0] for metric in ("spearman", "spearman_abs")] for name in ALL]
plotting.score_chart(
    evaluation.ScoreTable(tuple(ALL), ("signed", "absolute"), torch.stack([torch.stack(row) for row in values])),
    controls=list(CONTROLS),
    title="How alike are the maps of zoo and of zoo-random-labels? (6 images)",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** with signs, the gradient's family and LRP (composite) have nothing in common for the two networks, as it
# should be. Guided backprop and its relatives, and Grad-CAM, keep 0.3 to 0.4: whatever a network learns, its first
# layers find edges, and its last maps are large where something stands out. LRP with z+ keeps 0.7 of its picture, up to
# its sign.
#
# <details><summary><b>Think first:</b> could a network that learnt random labels have a good reason to look at the
# object?</summary>
#
# Yes: to tell 2,000 images apart by heart it may use anything that differs between them, the objects included. So a map
# on the object would not be wrong. What cannot be right is the *same* map, since what tells the classes apart is not
# the same.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. Explore
#
# Choose a method, and destroy the network step by step with the slider "Layers from the output". Which map is the last
# to notice? Then let one layer alone be destroyed, and look for a method that does not need that layer.

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Ask the network: deletion, insertion, retraining
#
# A randomized network tells whether a map depends on the weights. Whether it names pixels that the *trained* network
# needs is another question, which can be put to the network itself: **delete** the highest pixels (replace them by
# grey) and watch the probability of the class fall, or **insert** them into a blurred image and watch it rise. The area
# under the curve is a score: low is good for deletion, high for insertion.

# %% slideshow={"slide_type": "fragment"}
rows = {}
for name, maps in trained.items():
    rows[name] = torch.stack(
        [
            evaluation.deletion_auc(net, test.images, test.labels, maps, n_steps=8),
            evaluation.insertion_auc(net, test.images, test.labels, maps, n_steps=8),
        ]
    )
faithful = evaluation.ScoreTable(tuple(rows), ("deletion (low is good)", "insertion"), torch.stack(list(rows.values())))
plotting.score_chart(faithful, controls=list(CONTROLS), title="Area under the curves, 12 images")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** now the verdicts turn. By deletion, what guided backprop and its relatives name is missed no more than random
# pixels (with 60 images: guided backprop 0.61, noise 0.56, gradient 0.52). By insertion the same test of the same maps
# is kinder to them (0.74, 0.64, 0.68 with 60 images): an outline in a blurred image is a good picture of an object. For
# the same reason the **edge detector** is as good as LIME here, though it has asked nobody. Integrated gradients, SHAP,
# DeepLIFT, LRP, occlusion, LIME and Grad-CAM are good by both.
#
# "Noise of the weights", which passed the randomization test, is caught. "Its own network" is excellent, as it should
# be: on this network, it is an explanation.
#
# No single test convicts all frauds. The questions are different: does the map **depend** on the network, and does it
# **name what matters** to it?

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Remove and retrain
#
# An image with holes is like nothing the network was trained on. Does the probability fall because the pixels mattered,
# or because of the holes? **ROAR** (remove and retrain, Hooker et al. 2019) removes the highest pixels of all images,
# of training and test set alike, **trains a new network** on what is left, and looks how well it does. If pixels are
# gone that carry the class, even the new network must do worse.
#
# That takes a training for each method and each share. We do it on real but small images, 1,797 handwritten digits of
# $8 \times 8$ pixels, with logistic regression: $y_c = \sum_i w_{ci} I_i + b_c$, whose contributions $w_{ci} I_i$ are
# exact. Removed pixels get their mean over all images.

# %% slideshow={"slide_type": "fragment"}
digits, classes = load_digits(return_X_y=True)
digits = digits / 16
part = np.random.default_rng(0).permutation(len(digits)) < 1200  # the training set
average = digits[part].mean(0)


def accuracy(pixels: np.ndarray, keep: np.ndarray = part) -> float:
    """Train on the one part, and return the share of the other part that is recognised."""
    return LogisticRegression(max_iter=300).fit(pixels[keep], classes[keep]).score(pixels[~keep], classes[~keep])


whole = LogisticRegression(max_iter=300).fit(digits[part], classes[part])
weights = whole.coef_[whole.predict(digits)]  # those of the class that the model names, (1797, 64)
named = {
    "contribution w (I - mean)": weights * (digits - average),
    "weight w alone": weights,
    "ink alone (no model)": digits,
    "noise": np.random.default_rng(1).normal(size=digits.shape),
}
shares = (0.0, 0.1, 0.25, 0.5, 0.75)
retrained, same, masked = {}, {}, {}
for name, maps in named.items():
    rank = (-maps).argsort(1).argsort(1)
    retrained[name], same[name], masked[name] = [], [], []
    for share in shares:
        gone = rank < round(64 * share)
        left = np.where(gone, average, digits)
        retrained[name].append(accuracy(left))
        same[name].append(whole.score(left[~part], classes[~part]))
        masked[name].append(accuracy(gone.astype(float)) if share else 0.1)
panels = {"same model: deletion": same, "new model: ROAR": retrained, "new model, shown the holes alone": masked}
plotting.curve_grid(
    {
        title: {name: (np.array(shares), np.array(values)) for name, values in lines.items()}
        for title, lines in panels.items()
    },
    "share of the pixels removed",
    "recognised",
    "Handwritten digits, the highest pixels removed",
    limits=(0, 1.02),
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** for the same model (left) the contributions are deadly: without the tenth of the pixels that speak most for
# the class, more than half of the digits are lost; without a quarter, nearly all. Retrained (middle), the new model is
# right about 0.88 of the digits, and with 75 % removed about *more* of them than with 25 %. Did the pixels not matter?
#
# The right panel shows what happened: the new model is shown **nothing but the holes**, ones and zeros, and recognises
# nearly all digits. Which pixels are removed depends on the class that the first model names, so the holes tell the
# class (Rong et al. 2022 call it leakage). "Ink alone" knows no class, but the holes are then where the ink was, which
# tells it, too. Noise has no such message.
#
# So a ROAR curve that stays high can mean that the maps are bad, or that they are so good that their outline alone
# gives the answer away. **Measure what the holes tell before you believe the curve.**

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. All verdicts, and what no test can show

# %% slideshow={"slide_type": "fragment"}
lines = ["| method | keeps after the last layer, signed / absolute | random labels | mass | deletion | insertion |"]
lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
for name in ALL:
    kept = [curves[metric][name].mean(0)[0] for metric in ("spearman", "spearman_abs")]
    heart = alike(memory[name], start[name], "spearman").mean()
    mass = truth.mean[truth.methods.index(name), truth.metrics.index("mass")]
    deleted, inserted = faithful.mean[faithful.methods.index(name)]
    lines.append(
        f"| {name} | {kept[0]:.2f} / {kept[1]:.2f} | {heart:.2f} | {mass:.2f} | {deleted:.2f} | {inserted:.2f} |"
    )
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **Read it row by row.** No method is best in every column. Integrated gradients, DeepLIFT, GradientSHAP and LRP
# (composite) fall to 0 with signs, and name pixels that the network needs; so do LIME, occlusion and Grad-CAM, with
# more chance in the first column. Guided backprop and its relatives fail the first, and deletion as well. The edge
# detector has the best mass and a good insertion, and fails the check. "Its own network" equals integrated gradients
# wherever the trained network is asked, and fails the check. "Noise of the weights" passes the check perfectly, has the
# mass of a blank map, and is no better than the worst methods by deletion and insertion.
#
# **What no test here can show**
#
# - **That an explanation is right.** All tests are necessary conditions. The truth of units 06 to 09, the
#   counterfactual, is stronger, where it can be had.
# - **That it helps a person.** A map may be faithful and still be misread.
# - **Where the limit lies.** How much similarity is too much depends on the metric, on the image, and on what the
#   layers below still hold.
# - **Anything about another network.** These curves are about `zoo`. Measure on yours; it costs minutes.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same in libraries
#
# **captum** has no randomization test; it offers `captum.metrics.infidelity` and `sensitivity_max` (ours are in
# `course_utils.evaluation`). **Quantus**, a library for the evaluation of explanations, has the cascading and the
# independent test, deletion and ROAD. With what you have seen here either is a loop over
# `copy.deepcopy(model)` and `layer.reset_parameters()`, and `scipy.stats.spearmanr`.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. A map that looks right may be about the image alone: an edge detector has the best mass on the object.
# 2. Compare maps by ranks, and say whether with signs. Without signs, all that follows the image's edges looks stable.
# 3. Destroy the network on copies: from the output down, one layer alone, or by training on random labels.
# 4. Guided backprop and guided Grad-CAM fail here as in the paper, and deconvnet does, too; LRP with z+ keeps its
#    picture while only dense layers are destroyed.
# 5. A curve at 1 convicts; a curve at 0 acquits nobody: noise passes best.
# 6. Ask the network as well (deletion, insertion). With retraining, find out first what the holes tell.
#
# **Next:** lab 10 (`labs/10_sanity_checks`). You write the tests, and find the frauds among five methods.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Wang, Bovik, Sheikh, Simoncelli: *Image quality assessment: from error visibility to structural similarity.* IEEE
#   Transactions on Image Processing 2004. (SSIM)
# - Dalal, Triggs: *Histograms of oriented gradients for human detection.* CVPR 2005. (HOG)
# - Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: *Sanity checks for saliency maps.* NeurIPS 2018.
# - Petsiuk, Das, Saenko: *RISE: randomized input sampling for explanation of black-box models.* BMVC 2018. (deletion
#   and insertion)
# - Hooker, Erhan, Kindermans, Kim: *A benchmark for interpretability methods in deep neural networks.* NeurIPS 2019.
#   (ROAR)
# - Sixt, Granz, Landgraf: *When explanations lie: why many modified BP attributions fail.* ICML 2020.
# - Rong, Leemann, Borisov, Kasneci, Kasneci: *A consistent and efficient evaluation strategy for attribution methods.*
#   ICML 2022. (ROAD)
# - Binder, Weber, Lapuschkin, Montavon, Müller, Samek: *Shortcomings of top-down randomization-based sanity checks for
#   evaluations of deep neural network explanations.* CVPR 2023.
