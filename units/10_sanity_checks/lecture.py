# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 10: Sanity checks
#
# {{colab_badge}}
#
# By now the course has some twenty methods, and each of them draws something on the object. Should we believe them?
# This unit puts sixteen of them on trial: destroy the network, and see whether the map notices. About 115 minutes, or
# two lectures of 60; lab 10 follows.
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
# The course slides show figure 3 of the paper (Adebayo et al. 2018), independent randomization on Inception v3: section
# 6 here. The other tests are **beyond the slides**, as are all numbers: they are measured here.

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


def deep_shap(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return shapley.deep_shap(model, x, target, drawn.images[40:44])


def lime_maps(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    maps = []
    for k, (image, label) in enumerate(zip(x, target, strict=True)):
        source = torch.Generator().manual_seed(k)
        maps.append(lime.explain(model, image, int(label), lime.segment(image), 50, generator=source).heatmap())
    return torch.stack(maps).unsqueeze(1)


def kernel_shap(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    maps = []
    for k, (image, label) in enumerate(zip(x, target, strict=True)):
        segments, source = lime.segment(image, 16), torch.Generator().manual_seed(k)
        game = shapley.superpixel_game(model, image, int(label), segments)
        maps.append(shapley.kernel_shap(game, int(segments.max()) + 1, 40, generator=source)[segments])
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
    "DeepSHAP": deep_shap,
    "LRP, composite": lrp.lrp,
    "LRP, z+": lambda model, x, target: lrp.lrp(model, x, target, lrp.ZPlus()),
    "deconvnet": gm.deconvnet,
    "guided backprop": gm.guided_backprop,
    "Grad-CAM": grad_cam,
    "guided Grad-CAM": guided_grad_cam,
    "occlusion": lambda model, x, target: visualization.occlusion(model, x, target, 8, 8, 0.5),
    "LIME": lime_maps,
    "KernelSHAP": kernel_shap,
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
for metric in ("mass", "rank"):
    assert truth.methods[int(truth.mean[:, truth.metrics.index(metric)].argmax())] == "edge detector"
assert torch.equal(trained["its own network"], trained["integrated gradients"])
plotting.score_chart(
    truth,
    controls=list(CONTROLS),
    chance=masks.float().mean().item(),
    title="Against the object, 12 images (dashed: its share of the area)",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** by mass and rank (the share of the $K$ highest pixels that lie on the object's $K$ pixels) the edge detector
# is the best of those here. (Against a blurred image in place of grey, integrated gradients had more mass in unit 06.)
# Objects have edges, and plain backgrounds have none. A score against the object can tell a bad map
# from a good one. It cannot tell whether anybody asked the network.
#
# Two more controls stand below: a cheat that explains **its own network**, whatever network it is handed (so far it
# equals integrated gradients), and **noise** whose seed is computed from the network's weights. Keep an eye on both.
#
# **Left out** of the methods of units 05 to 09: CAM, which needs a network with a global average pool (`zoo` has none;
# on one that has, it is Grad-CAM before the ReLU, up to a factor, see unit 06); exact Shapley values and those from
# random orders, which need thousands of passes an image (KernelSHAP estimates the same numbers); the explanations of
# layers and neurons, which are no maps of the image; and other settings of methods that are here (the other rules of
# LRP, baselines, LIME by lasso). KernelSHAP has some 14 superpixels an image, LIME some 32.

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
like = {}
lines = ["| gradient against | " + " | ".join(sanity_checks.METRICS) + " |", "| --- |" + " ---: |" * 4]
for name, (first, other) in pairs.items():
    values = [sanity_checks.similarity(trained[first], other, metric).mean() for metric in sanity_checks.METRICS]
    like[name] = dict(zip(sanity_checks.METRICS, map(float, values), strict=True))
    lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
assert [round(like["the opposite"][metric], 6) for metric in ("spearman", "spearman_abs", "hog")] == [-1, 1, 1]
assert abs(like["edge detector"]["spearman"]) < 0.05
assert min(like["edge detector"][metric] for metric in ("spearman_abs", "ssim")) > 0.2
assert max(map(abs, like["noise"].values())) < 0.1
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
copies = [dict(sanity_checks.cascading_randomization(net, torch.Generator().manual_seed(s))) for s in (1, 2, 3)]
assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())  # the original is untouched
layers = list(copies[0])
with torch.no_grad():
    right = [(n(drawn.images).argmax(1) == drawn.labels).double().mean() for n in (net, *copies[0].values())]
print("right about 60 images:", [f"{float(value):.2f}" for value in right])
assert right[0] == 1 and max(right[1:]) < 0.2  # chance is 0.1
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
# curve for one method and one metric.) Here are all methods of the table in section 1, and all three controls.
#
# A line is the mean over 4 images and 3 draws of the random weights. **A band reaches from the lowest to the highest
# draw** (each the mean of its 4 images): the images of one draw share its random network, so they are no independent
# measurements, and a standard error over all 12 values would be too small. Methods that need many passes (SmoothGrad,
# GradientSHAP, DeepSHAP, occlusion, LIME, KernelSHAP) have one draw and **no band**: read nothing into their ups and
# downs. Two of the controls do not depend on the draw. In the table SSIM and HOG are those of the first draw.

# %% slideshow={"slide_type": "fragment"}
few, of_few = test.images[:4], test.labels[:4]
ONE_DRAW = ("SmoothGrad", "GradientSHAP", "DeepSHAP", "occlusion", "LIME", "KernelSHAP", *list(CONTROLS)[:2])


def explained(draws: list[list[nn.Module]], methods: dict) -> dict[str, list[list[Tensor]]]:
    """Return the maps of each network by method, draw and depth."""
    return {
        name: [[method(n, few, of_few) for n in draw] for draw in (draws[:1] if name in ONE_DRAW else draws)]
        for name, method in methods.items()
    }


def alike(found: list[list[Tensor]], start: Tensor, metric: str) -> Tensor:
    """Return the mean similarity to the maps of the trained network, (draws, depths)."""
    return torch.stack(
        [torch.stack([sanity_checks.similarity(start, maps, metric).mean() for maps in draw]) for draw in found]
    )


ALL = METHODS | CONTROLS
start = {name: maps[:4] for name, maps in trained.items()}
destroyed = explained([list(draw.values()) for draw in copies], ALL)
curves = {
    metric: {name: alike(destroyed[name], start[name], metric) for name in ALL}
    for metric in ("spearman", "spearman_abs")
}
groups = {
    "gradients": ("gradient", "SmoothGrad", "input x gradient", "integrated gradients", "GradientSHAP"),
    "by rules, modified passes": ("DeepLIFT", "DeepSHAP", "LRP, composite", "LRP, z+", "deconvnet", "guided backprop"),
    "coarse maps": ("Grad-CAM", "guided Grad-CAM", "occlusion", "LIME", "KernelSHAP"),
    "controls": tuple(CONTROLS),
}
assert sorted(name for names in groups.values() for name in names) == sorted(ALL)
display(
    plotting.curve_grid(
        {
            f"{title}, {'signed' if metric == 'spearman' else 'absolute'}": {
                name: torch.cat([torch.ones(len(curves[metric][name]), 1), curves[metric][name]], 1) for name in names
            }
            for title, names in groups.items()
            for metric in ("spearman", "spearman_abs")
        },
        "layers destroyed, from the output",
        "similarity",
        "Cascading randomization, all methods",
        columns=2,
        limits=(-1.05, 1.05),
    )
)
NEAR = ("gradient", "SmoothGrad", "input x gradient", "integrated gradients", "GradientSHAP", "DeepLIFT", "DeepSHAP")
RELATIVES = ("guided backprop", "deconvnet", "guided Grad-CAM")
signed, absolute = curves["spearman"], curves["spearman_abs"]
for name in (*NEAR, "LRP, composite"):
    assert abs(signed[name][:, 0].mean()) < 0.1 and signed[name][:, 0].abs().max() < 0.26
    assert signed[name][:, 1:].abs().max() < 0.1
assert [round(float(signed[name][:, 0].mean()), 1) for name in RELATIVES] == [0.9, 0.7, 0.7]
assert all(signed[name][:, -1].mean() > 0.2 for name in RELATIVES)
assert all(0.3 < absolute[name][:, 0].mean() < 0.4 and absolute[name][:, -1].mean() < 0.2 for name in NEAR)
assert signed["Grad-CAM"][:, 0].min() < 0 and abs(float(signed["Grad-CAM"][:, 0].max()) - 0.45) < 0.01
of_draw = signed["LRP, z+"][:, 0]
assert of_draw.min() < -0.98 and of_draw.max() > 0.98 and absolute["LRP, z+"][:, 0].min() > 0.98
assert absolute["LRP, z+"][:, :-1].min() > 0.75 and absolute["LRP, z+"][:, -1].min() > 0.2
assert min(float(signed[name].min()) for name in ("edge detector", "its own network")) > 0.999
assert signed["noise of the weights"].abs().max() < 0.02
lines = ["| method | last layer: signed | absolute | SSIM | HOG | all layers: signed | absolute | SSIM | HOG |"]
lines.append("| --- |" + " ---: |" * 8)
for name in ALL:
    for metric in ("ssim", "hog"):  # of the first draw, after one step and at the end
        curves.setdefault(metric, {})[name] = alike([destroyed[name][0][::5]], start[name], metric)
    cells = [curves[metric][name].mean(0)[depth] for depth in (0, -1) for metric in sanity_checks.METRICS]
    lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
assert all(curves["hog"][name].min() > 0.65 for name in ("occlusion", "LIME", "KernelSHAP"))
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See, with signs** (0 is what it should be):
#
# - gradient, SmoothGrad, input x gradient, integrated gradients, GradientSHAP, DeepLIFT, DeepSHAP and LRP (composite)
#   fall to 0 with the last layer. (Single draws lie up to 0.25 away: all images share the few random weights of that
#   layer. From the second step on all are within 0.1.)
# - Grad-CAM falls, too, and scatters: its band reaches from 0 to 0.45. With few cells or superpixels there is much
#   chance in a rank correlation; so the single draws of LIME, KernelSHAP and occlusion jump about 0, too.
# - **guided backprop, deconvnet and guided Grad-CAM do not:** 0.9, 0.7 and 0.7 after the last layer, and still above
#   0.2 when everything is random. They draw what the lower layers respond to, for any class.
# - LRP with z+ is all over the place, from $-1$ to 1: each map is nearly the same as before, or its exact negative,
#   and a draw may turn the maps of all images at once. Its mean line says nothing, its band says all.
#
# **Without signs** the gradient's family, DeepLIFT and DeepSHAP keep 0.3 to 0.4 after the last layer, and less than 0.2
# in the end: they are large where the image has edges. LRP with z+ keeps **0.99** after the last layer. Its map is a
# fixed picture times the sign and size of the score: while the first layer stands the picture stays (0.8), and an
# outline stays to the end. Sixt et al. (2020) showed why: each layer multiplies by a matrix without negative entries,
# and the product of many of those comes down to one direction.
#
# **The controls.** "Its own network" is at 1 like the edge detector: exposed. "Noise of the weights" is at 0, the
# perfect pass.
#
# **By HOG** occlusion, LIME and KernelSHAP look like edge detectors (0.7 and more): what stays is the grid of windows
# and superpixels. That is a fact about the metric.

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
# depends on at all. This is the test that the slides show (figure 3 of the paper, on Inception v3).

# %% slideshow={"slide_type": "fragment"}
names = ("gradient", "integrated gradients", "LRP, composite", "LRP, z+", "guided backprop", "Grad-CAM")
alone = [[n for _, n in sanity_checks.independent_randomization(net, torch.Generator().manual_seed(s))] for s in (1, 2)]
single = explained(alone, {name: METHODS[name] for name in names})
lines = ["| method, signed / absolute | " + " | ".join(f"layer {name}" for name in layers) + " |"]
lines.append("| --- |" + " ---: |" * len(layers))
one_layer = {}
for name in names:
    one_layer[name] = [alike(single[name], start[name], metric).mean(0) for metric in ("spearman", "spearman_abs")]
    cells = [f"{s:.2f} / {a:.2f}" for s, a in zip(*one_layer[name], strict=True)]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
assert all(one_layer[name][0].abs().max() < 0.1 for name in ("gradient", "integrated gradients", "LRP, composite"))
assert (one_layer["guided backprop"][0].diff() < 0).all()
assert one_layer["LRP, z+"][1][:2].min() > 0.95 and one_layer["LRP, z+"][1][-1] < 0.2
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** for gradient, integrated gradients and LRP (composite) one destroyed layer is enough, whichever it is. For
# guided backprop the layer matters the less, the later it is: it shows what the *first* layers do. So does the picture
# of LRP with z+ (without signs): the dense layers hardly matter to it, the first layer does.

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
CHEAP = ("gradient", "input x gradient", "DeepLIFT", "LRP, composite", "LRP, z+", "deconvnet", "guided backprop")
CHEAP += ("Grad-CAM", "guided Grad-CAM", "edge detector", "noise of the weights")
many, of_many = drawn.images[:30], drawn.labels[:30]
heart = {}
for name, method in ALL.items():
    if name in CHEAP:
        pair = method(net, many, of_many), method(by_heart, many, of_many)
    else:
        pair = start[name], method(by_heart, few, of_few)
    heart[name] = torch.stack([sanity_checks.similarity(*pair, metric) for metric in ("spearman", "spearman_abs")])
assert all(abs(heart[name][0].mean()) < 0.02 for name in (*NEAR, "LRP, composite"))
assert [round(float(heart[name][0].mean()), 1) for name in RELATIVES] == [0.4, 0.3, 0.3]
error = heart["Grad-CAM"][0].std() / len(many) ** 0.5
assert abs(heart["Grad-CAM"][0].mean()) < 2 * error < 0.1
assert all(0.15 < heart[name][1].mean() < 0.3 for name in ("integrated gradients", "input x gradient"))
assert abs(float(heart["LRP, z+"][1].mean()) - 0.7) < 0.05 and heart["edge detector"].min() > 0.999
for n, names in ((30, CHEAP), (4, [name for name in ALL if name not in CHEAP])):
    display(
        plotting.score_chart(
            evaluation.ScoreTable(tuple(names), ("signed", "absolute"), torch.stack([heart[name] for name in names])),
            controls=[name for name in names if name in CONTROLS],
            title=f"How alike are the maps of zoo and of zoo-random-labels? ({n} images)",
        )
    )

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** with signs, the gradient's family, DeepLIFT, DeepSHAP and LRP (composite) have nothing in common for the two
# networks, as it should be. Guided backprop keeps 0.4, deconvnet and guided Grad-CAM 0.3: whatever a network learns,
# its first layers find edges. Grad-CAM keeps nothing, within the error of 0.05. LRP with z+ keeps 0.7 of its picture,
# up to its sign. The whiskers of LIME and KernelSHAP (4 images) are too long for a verdict.
#
# **In the paper** (its "data randomization test", a small CNN on MNIST with permuted labels) gradient and Grad-CAM pass
# as well, and guided backprop and guided Grad-CAM fail. Integrated gradients and input x gradient still show the digit
# there when drawn without signs, since the image is a factor of these maps, though the ranks agree no more. Here
# they keep 0.2 without signs, and 0 with them.
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
paths, rows = {"deletion": {}, "insertion": {}}, {}
blur = evaluation.blurred(test.images)
for name, maps in trained.items():
    deleted = evaluation.deletion_curve(net, test.images, test.labels, maps, n_steps=8)
    inserted = evaluation.insertion_curve(net, test.images, test.labels, maps, n_steps=8, baselines=blur)
    for title, (fractions, probabilities) in (("deletion", deleted), ("insertion", inserted)):
        paths[title][name] = fractions, probabilities.mean(0)
    rows[name] = torch.stack([torch.trapezoid(p, f) for f, p in (deleted, inserted)])  # the areas, (2, 12)
display(
    plotting.curve_grid(
        {
            f"{title}, {what}": {name: paths[what][name] for name in names}
            for title, names in groups.items()
            for what in paths
        },
        "share of the pixels deleted, or inserted",
        "probability",
        "The class's probability on the way, mean of 12 images",
        columns=2,
        limits=(0, 1.02),
    )
)
faithful = evaluation.ScoreTable(tuple(rows), ("deletion (low is good)", "insertion"), torch.stack(list(rows.values())))
of_area = {name: row.tolist() for name, row in zip(faithful.methods, faithful.mean, strict=True)}
GOOD = ("integrated gradients", "GradientSHAP", "DeepLIFT", "DeepSHAP", "LRP, composite", "LRP, z+")
GOOD += ("Grad-CAM", "occlusion", "LIME", "KernelSHAP")
assert all(of_area[name][0] < 0.26 and of_area[name][1] > 0.77 for name in (*GOOD, "its own network"))
assert all(of_area[name][0] > of_area["noise of the weights"][0] for name in RELATIVES)
assert all(abs(of_area[name][1] - of_area["noise of the weights"][1]) < 0.05 for name in RELATIVES)
eighth = {what: {name: float(p[1]) for name, (_, p) in lines.items()} for what, lines in paths.items()}
assert eighth["deletion"]["noise of the weights"] > 0.8 and eighth["insertion"]["noise of the weights"] < 0.2
assert all(0.6 < eighth["deletion"][name] < 0.8 and eighth["insertion"][name] > 0.5 for name in RELATIVES)
assert abs(of_area["edge detector"][1] - of_area["LIME"][1]) < 0.02
plotting.score_chart(faithful, controls=list(CONTROLS), title="Area under the curves, 12 images")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** now the verdicts turn. Integrated gradients, GradientSHAP, DeepLIFT, DeepSHAP, LRP, occlusion, LIME,
# KernelSHAP and Grad-CAM are good by both.
#
# Guided backprop and its relatives are not, by their areas: 0.53 to 0.59 by deletion, where noise has 0.47, and 0.60 by
# insertion, where noise has 0.58. But look at their **curves**: the first eighth of the pixels does more than an eighth
# at random (probability 0.66 to 0.75 after deletion, noise 0.82; 0.51 to 0.57 after insertion, noise 0.13), and then
# they are flat. An area is one number for a whole path.
#
# By insertion the **edge detector** is as good as LIME, though it has asked nobody: an outline in a blurred image is a
# good picture of an object.
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
contribution, _, ink, noise = named
assert same[contribution][1] < 0.5 and same[contribution][2] < 0.1
assert round(retrained[contribution][1], 2) == 0.88 and retrained[contribution][4] > retrained[contribution][2] + 0.05
assert min(masked[contribution][1:]) > 0.9 and min(masked[ink][1:]) > 0.6 and max(masked[noise][1:]) < 0.15
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
    mass = truth.mean[truth.methods.index(name), truth.metrics.index("mass")]
    deleted, inserted = faithful.mean[faithful.methods.index(name)]
    cells = (heart[name][0].mean(), mass, deleted, inserted)
    lines.append(f"| {name} | {kept[0]:.2f} / {kept[1]:.2f} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
    if name == "noise of the weights":
        assert abs(mass - masks.float().mean()) < 0.02  # as a blank map's
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **Read it row by row.** No method is best in every column. Integrated gradients, DeepLIFT, DeepSHAP, GradientSHAP and
# LRP (composite) fall to 0 with signs, and name pixels that the network needs; so do LIME, KernelSHAP, occlusion and
# Grad-CAM, with more chance in the first column. Guided backprop and its relatives fail the first, and deletion as
# well. The edge detector has the best mass and a good insertion, and fails the check. "Its own network" equals
# integrated gradients wherever the trained network is asked, and fails the check. "Noise of the weights" passes the
# check perfectly, has the mass of a blank map, and is no better than the worst methods by deletion and insertion.
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
# 1. A map that looks right may be about the image alone: an edge detector has more mass on the object than any method
#    here.
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
