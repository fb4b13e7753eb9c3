# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 08: LIME
#
# {{colab_badge}}
#
# The methods so far looked into the network: gradients, layers, relevance. LIME looks at it from outside. It removes
# parts of one image, asks the network again and again, and fits a linear model to the answers: *local interpretable
# model-agnostic explanations*. About 120 minutes, or two lectures of 60; lab 08 follows.
#
# **After this unit you can**
#
# - divide an image into superpixels, and say what the choice of them does to an explanation;
# - write down $I_0[\vec x]$, the training set $\mathcal{T}$ and what the linear model minimizes, and fit it in three
#   ways;
# - read weights, signs and the fit $R^2$, for several classes of one image;
# - say why two runs of LIME disagree, measure it, and name what helps;
# - hold an explanation against the object, its defining part and a Clever Hans, and say where LIME must fail.
#
# You need: linear regression, gradient descent, occlusion (unit 05), the scores against the truth (unit 06). ADALINE, a
# neuron without a nonlinearity that learns by gradient descent, is explained in section 4.

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Superpixels as interpretable components | 10 |
# | 2. Images without superpixels | 10 |
# | 3. The training set | 10 |
# | 4. The linear model: ADALINE, ridge, lasso | 25 |
# | 5. Near the image: proximity | 10 |
# | 6. LIME, and how to read it | 10 |
# | 7. Several classes of one image | 10 |
# | 8. Instability, and what helps | 15 |
# | 9. Explore, score, compare with the truth | 15 |
# | 10. What LIME cannot do; the same in lime and captum | 5 |
#
# The lecture follows the course slides: their formulas, their symbols, their order. Marks in the text:
# **Correction** where the slides slip, **Beyond the slides** where this lecture adds something.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import torch
from IPython.display import Markdown, display
from skimage import data

from course_utils import evaluation, lime, models, plotting, zoo
from course_utils import gradient_methods as gm
from course_utils.widgets.lime import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Superpixels as interpretable components
#
# Let us fix an image $I_0$ to be explained. The outline of LIME is short:
#
# 1. take **superpixels** of $I_0$ as the components that an explanation speaks of;
# 2. build a **linear model** that comes close to the network around $I_0$, with one weight for each superpixel;
# 3. call the superpixels with weights of **large magnitude** important.
#
# Single pixels are bad components: there are too many, and none of them means anything. A superpixel is a connected
# region of similar colour. Denote by $P_1, \ldots, P_\ell$ all superpixels of $I_0$.
#
# Two ways to find them, both in scikit-image. **slic** clusters pixels by colour and place at once, from a grid of
# starts: regions of about equal size. **quickshift** moves each pixel to its nearest neighbour of higher density:
# regions as large as the colours allow.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
drawn = zoo.sample(120, seed=606)
chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("cup", "star", "ring", "zebra")]
images, labels, objects = drawn.images[chosen], drawn.labels[chosen], drawn.mask("object")[chosen]
names = [zoo.CLASSES[label] for label in labels]
with torch.no_grad():
    scores = net(images).gather(1, labels[:, None])[:, 0]

cat = torch.as_tensor(data.chelsea()[::4, ::4].copy()).permute(2, 0, 1).float() / 255  # a photograph, (3, 75, 113)
zebra = images[3]
divided = {
    "cat: slic": (cat, lime.segment(cat, 40)),
    "cat: quickshift": (cat, lime.segment(cat, method="quickshift", kernel_size=2, max_dist=10)),
    "zebra: slic": (zebra, lime.segment(zebra, 40)),
    "zebra: quickshift": (zebra, lime.segment(zebra, method="quickshift")),
}
for pair in (("cat: slic", "cat: quickshift"), ("zebra: slic", "zebra: quickshift")):
    pictures, parts = zip(*(divided[name] for name in pair), strict=True)
    counts = [f"{name}, {int(part.max()) + 1} superpixels" for name, part in zip(pair, parts, strict=True)]
    display(plotting.superpixel_grid(torch.stack(pictures), torch.stack(parts), titles=counts))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** slic cuts the large plain background into tiles, quickshift leaves it whole and splits each stripe off. An
# explanation can only point at superpixels. What they do not separate, it cannot tell apart.
#
# <details><summary><b>Think first:</b> for 40 superpixels of slic, how many images <i>I<sub>0</sub>[x]</i> are there,
# and how many times would the network have to be asked for all of them?</summary>
#
# $2^\ell$; slic made about 30 superpixels of 40 starts here, that is a billion images. So one draws some of them.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. Images without superpixels
#
# Consider binary vectors $\vec{x} = (x_1, \ldots, x_\ell) \in \{0, 1\}^\ell$, also called **coalitions**: those that
# stay. Each such vector determines a "subimage" $I_0[\vec{x}]$ of $I_0$, obtained by removing all $P_k$ with $x_k = 0$.
#
# > **Beyond the slides:** A network takes no image with holes. "Removing" must put something there, the **baseline**,
# > and the slides do not say what. LIME's own default is the mean colour of the superpixel; grey, black and a blurred
# > copy are as common. None of them is "nothing": each is a choice, and it changes the explanation.

# %% slideshow={"slide_type": "fragment"}
cup = images[0]
of_cup = lime.segment(cup)
n = int(of_cup.max()) + 1
half = lime.sample_coalitions(2, n, torch.Generator().manual_seed(4))[1:]
baselines = {"its mean colour": None, "grey": 0.5, "black": 0.0, "blurred": evaluation.blurred(images[:1])[0]}
removed = torch.cat([lime.perturb(cup, of_cup, half, value) for value in baselines.values()])
with torch.no_grad():
    said = net(torch.cat([cup[None], removed]))
titles = ["the image", *baselines]
plotting.image_grid(
    torch.cat([cup[None], removed]),
    titles=[
        f"{title}: y = {row[labels[0]]:.1f}, says {zoo.CLASSES[row.argmax()]}"
        for title, row in zip(titles, said, strict=True)
    ],
    heading=f"The same {int((~half).sum())} of {n} superpixels removed (y is the score of cup)",
    columns=5,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** four images, four scores, for one and the same vector $\vec{x}$.
#
# <details><summary><b>Think first:</b> a superpixel is white all over. What does the mean-colour baseline say about
# it?</summary>
#
# Nothing. Its mean colour is its colour, so that removing it changes no pixel, and the score is the same with and
# without it, whatever the network makes of it. Its weight is near 0, and not quite 0 only because the random coalitions
# with it are not the same ones as those without. (Exercise 3 of the lab.)
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. The training set
#
# Let us fix an output neuron $i$ and denote by $y_i(I)$ its value for an input image $I$. The training set is
#
# $$\mathcal{T} = \{ (\vec{x}_1, y_i(I_0[\vec{x}_1])), \ldots, (\vec{x}_p, y_i(I_0[\vec{x}_p])) \}$$
#
# with (some) binary vectors $\vec{x}_h = (x_{h1}, \ldots, x_{h\ell})$ of $\{0, 1\}^\ell$, for example randomly
# selected. **Meaning:** a table. A row is an image that you have made, its last entry is what the network says to it.
#
# Here each superpixel stays by the toss of a coin, and the first row is the whole image, as in the library.

# %% slideshow={"slide_type": "fragment"}
coalitions = lime.sample_coalitions(400, n, torch.Generator().manual_seed(0))
y = lime.score_coalitions(net, cup, int(labels[0]), of_cup, coalitions)
lines = ["| $h$ | " + " | ".join(f"$x_{{{k}}}$" for k in range(12)) + " | ... | $y$ |", "| --- |" + " --- |" * 14]
for h in range(5):
    lines.append(f"| {h + 1} | " + " | ".join(str(int(x)) for x in coalitions[h, :12]) + f" | ... | {y[h]:.2f} |")
display(Markdown("\n".join(lines)))
plotting.image_grid(
    lime.perturb(cup, of_cup, coalitions[:5]),
    titles=[f"h = {h + 1}: {int(row.sum())} of {n}" for h, row in enumerate(coalitions[:5])],
    heading="The images of the first five rows",
    columns=5,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Beyond the slides:** $y_i$ may be the class score or its probability. The slides' examples show probabilities
# > (*tree frog*, 0.54). A probability also falls if another class becomes likelier; the score is about the class alone,
# > and is what all methods of this course explain. `output="probability"` switches.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. The linear model: ADALINE, ridge, lasso
#
# Train a linear model (ADALINE) with weights $w_1, \ldots, w_\ell$ on $\mathcal{T}$, minimizing the squared error plus
# a regularization term which makes the number of non-zero weights as small as possible. With a bias $b$:
#
# $$\min_{w, b} \; \sum_{h=1}^{p} \Big( y_h - b - \sum_{k=1}^{\ell} w_k x_{hk} \Big)^2 + \text{penalty}(w)$$
#
# **By hand first.** Two superpixels, four images, scores 7, 5, 2, 2 for $\vec{x} = (1,1), (1,0), (0,1), (0,0)$. Each
# pair is there once, so $w_k$ is the mean score with $P_k$ less the mean score without: $w_1 = (7 + 5)/2 - (2 + 2)/2 =
# 4$, $w_2 = (7 + 2)/2 - (5 + 2)/2 = 1$, and $b = \bar{y} - w_1/2 - w_2/2 = 4 - 2.5 = 1.5$. The model says 6.5, 5.5,
# 2.5, 1.5.
#
# **The fit** tells how much of the network the line explains:
#
# $$R^2 = 1 - \frac{\sum_h (y_h - \hat{y}_h)^2}{\sum_h (y_h - \bar{y})^2} = 1 - \frac{4 \cdot 0.5^2}{9 + 1 + 4 + 4}
# = 1 - \frac{1}{18} = 0.94$$

# %% slideshow={"slide_type": "fragment"}
four = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
by_hand = lime.fit_surrogate(four, torch.tensor([7.0, 5.0, 2.0, 2.0]), l2=0.0)
print(
    "w =",
    by_hand.coefficients.tolist(),
    " b =",
    round(float(by_hand.intercept), 6),
    " R² =",
    round(float(by_hand.r2), 4),
)
assert torch.allclose(by_hand.coefficients, torch.tensor([4.0, 1.0])) and abs(float(by_hand.r2) - 17 / 18) < 1e-6

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Three ways to one linear model
#
# **Ridge** takes $\lambda_2 |w|^2$ as the penalty. The derivatives are linear, so the minimum is the solution of a
# system of equations, found at once. lime uses $\lambda_2 = 1$.
#
# **ADALINE** goes down the gradient of the same sum, step by step:
# $w \leftarrow w + \eta\,(2 \sum_h e_h \vec{x}_h - 2 \lambda_2 w)$ with the errors $e_h = y_h - b - w \cdot \vec{x}_h$.
# There is one minimum, so it must come to the same weights. `lime.adaline` first takes the mean off each $x_k$, which
# leaves the best $w$ as it is: then $b$ and the weights do not pull on each other, and the descent is much shorter. (In
# the lab it is written without that.)

# %% slideshow={"slide_type": "fragment"}
ridge = lime.fit_surrogate(coalitions, y)
lines = {}
for name, lr in (("η = the longest safe step", None), ("η = 0.0005", 5e-4), ("η = 0.0001", 1e-4)):
    apart = []
    for n_steps in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        learnt, _ = lime.adaline(coalitions, y, lr=lr, n_steps=n_steps)
        apart.append(float((learnt.coefficients - ridge.coefficients).abs().max()))
    lines[name] = (torch.arange(10), torch.tensor(apart).clamp(min=1e-6).log10())
assert lines["η = the longest safe step"][1][-1] < -5  # the same weights
plotting.curves(
    lines,
    "log₂ of the number of steps",
    "log₁₀ of the largest difference",
    "ADALINE on its way to ridge regression's weights",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# > **Correction:** "A regularization term making the number of non-zero weights as small as possible": the ridge
# > penalty does not do that. It makes all weights smaller and none of them zero. The number of non-zero weights itself
# > ($\ell_0$) cannot be minimized by descent: there is no slope. Its nearest relative that can is the **lasso**,
# > $\lambda_1 \sum_k |w_k|$. Its slope does not fade near 0, so that small weights are pushed all the way.
#
# lime does it in a third way: fit by ridge, keep the few superpixels with the largest $|w_k|$, fit again on them
# (`n_features`).

# %% slideshow={"slide_type": "fragment"}
strengths = torch.logspace(-1, 2.6, 25)
path = torch.stack([lime.fit_surrogate(coalitions, y, l2=0.0, l1=float(s)).coefficients for s in strengths])
shrunk = torch.stack([lime.fit_surrogate(coalitions, y, l2=float(s)).coefficients for s in strengths])
top = ridge.coefficients.abs().argsort(descending=True)[:6].tolist()
logarithm = strengths.log10()
display(
    plotting.curve_grid(
        {
            "lasso": {f"P {k}": (logarithm, path[:, k]) for k in top},
            "ridge": {f"P {k}": (logarithm, shrunk[:, k]) for k in top},
        },
        "log₁₀ of the penalty's strength",
        "weight w (score)",
        "The six largest weights as the penalty grows",
        columns=2,
    )
)
lines = ["| penalty | non-zero weights | R² |", "| --- | ---: | ---: |"]
for name, options in {
    "ridge, λ₂ = 1": {},
    "lasso, λ₁ = 5": {"l2": 0.0, "l1": 5.0},
    "lasso, λ₁ = 40": {"l2": 0.0, "l1": 40.0},
    "ridge, the five largest": {"n_features": 5},
}.items():
    fit = lime.fit_surrogate(coalitions, y, **options)
    lines.append(f"| {name} | {int((fit.coefficients.abs() > 1e-9).sum())} of {n} | {float(fit.r2):.2f} |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. Near the image: proximity
#
# The linear model approximates the network on the "subimages" of $I_0$.
#
# > **Beyond the slides:** In the paper (Ribeiro et al. 2016) each image also has a weight $\pi_h$, the larger the
# > nearer it is to $I_0$: the "local" in LIME. The distance is 1 less the cosine between $\vec{x}$ and the vector of
# > ones, and $\pi = \exp(-d^2 / 2\sigma^2)$ with $\sigma = 0.25$; the error becomes $\sum_h \pi_h (y_h - \hat{y}_h)^2$.
#
# How local is that? Coins leave about half of the superpixels in nearly every image. Most weights lie in a narrow range
# then, and images that are really near (a tenth removed) do not occur.

# %% slideshow={"slide_type": "fragment"}
share = coalitions.double().mean(1)
pi = lime.proximity(coalitions)
print(f"share of superpixels that stay: {share[1:].min():.2f} to {share[1:].max():.2f}")
low, high = pi.quantile(0.25), pi.quantile(0.75)
print(f"weights: {pi[1:].min():.2f} to {pi[1:].max():.2f}, half of them from {low:.2f} to {high:.2f}")
m = torch.arange(n + 1)
left = torch.arange(n) < m[:, None]
plotting.curves(
    {f"width {width}": (m / n, lime.proximity(left, width)) for width in (0.1, 0.25, 1.0)},
    "share of the superpixels that stay",
    "weight π",
    "The kernel of the weights (the images drawn lie about 0.5)",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# So LIME on images is hardly local: its linear model describes the network on **half-erased images**. Unit 09 keeps the
# linear model and changes these weights, with a reason.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. LIME, and how to read it
#
# Put together: superpixels, coalitions, scores, weights $\pi$, linear model. Inspect the weights, **magnitude and
# sign**:
#
# - $w_k > 0$ (red): with $P_k$ the score is higher; it speaks for the class;
# - $w_k < 0$ (blue): it speaks against the class;
# - $R^2$: how far the linear model can be believed. The slides call it *explanation fit*: 0.37 for a poodle, 0.55 for a
#   goose.

# %% slideshow={"slide_type": "fragment"}
segments = [lime.segment(image) for image in images]
found_by_lime = [
    lime.explain(net, image, int(label), parts, 400, generator=torch.Generator().manual_seed(1))
    for image, label, parts in zip(images, labels, segments, strict=True)
]
plotting.heatmap_grid(
    torch.stack([explanation.heatmap() for explanation in found_by_lime]),
    titles=[
        f"{name}: R² = {float(explanation.r2):.2f}" for name, explanation in zip(names, found_by_lime, strict=True)
    ],
    images=images,
    masks=objects,
    heading="LIME's weights, 400 coalitions each (outlined: the true object)",
    label="weight w, each map by its own scale",
    scale="map",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the objects stand out, as whole superpixels; some background tiles beside them are red as well. Is that the
# network, or chance? Section 8 asks.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Several classes of one image
#
# The slides' famous example is a dog with a guitar: one image, explained for *electric guitar*, *acoustic guitar* and
# *Labrador*. Each class gets a linear model of its own, and all of them can share one training set: the network returns
# all scores at once.
#
# Our picture with two objects: a scene with a horse, into which a ring is pasted. The network's two highest scores are
# the two.

# %% slideshow={"slide_type": "fragment"}
both_objects = drawn.mask("object")[[53, 108]]
scene = torch.where(both_objects[1], drawn.images[108], drawn.images[53])
with torch.no_grad():
    order = net(scene[None])[0].argsort(descending=True)
print("highest scores:", [zoo.CLASSES[k] for k in order[:3]])
HORSE, RING = zoo.CLASSES.index("horse"), zoo.CLASSES.index("ring")
assert set(order[:2].tolist()) == {HORSE, RING}
two = lime.explain(net, scene, [HORSE, RING], n_samples=400, generator=torch.Generator().manual_seed(2))
display(
    plotting.heatmap_grid(
        two.heatmap(),
        titles=[f"{name}: R² = {float(r2):.2f}" for name, r2 in zip(("horse", "ring"), two.r2, strict=True)],
        images=scene.expand(2, -1, -1, -1),
        masks=both_objects,
        heading="One image and training set, two classes (outlined: the class's object)",
        label="weight w (score)",
    )
)
own = evaluation.relevance_mass(two.heatmap(), both_objects)
other = evaluation.relevance_mass(two.heatmap(), both_objects.flip(0))
for k, name in enumerate(("horse", "ring")):
    print(f"positive weight for {name}: {own[k]:.2f} on its own object, {other[k]:.2f} on the other one")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** what speaks for one speaks against the other, or does nothing for it. A probability would mix the two:
# removing the ring makes "horse" more probable, whatever happens to the horse.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. Instability, and what helps
#
# The coalitions are drawn. Draw others, and the weights are others. How much? Two measures over runs with different
# seeds: the **standard deviation** of the weights (here relative to their spread), and the **stability** of the first
# five: the mean Jaccard index $|A \cap B| / |A \cup B|$ of the sets that two runs name.
#
# <details><summary><b>Think first:</b> with four times as many coalitions, how much smaller is the standard
# deviation?</summary>
#
# About half: it falls with the root of their number, as that of any mean.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
numbers = [40, 80, 160, 320]
coarse = lime.segment(cup, 12)
settings = {
    f"slic, {n} superpixels": (of_cup, {}),
    f"slic, {int(coarse.max()) + 1} superpixels": (coarse, {}),
    f"{n} superpixels, λ₂ = 20": (of_cup, {"l2": 20.0}),
}
pools = {}
for parts, _ in settings.values():
    key = int(parts.max()) + 1
    if key not in pools:  # one large pool of coalitions; a run takes some of them
        rows = lime.sample_coalitions(5 * numbers[-1], key, torch.Generator().manual_seed(8))
        pools[key] = rows, lime.score_coalitions(net, cup, int(labels[0]), parts, rows)
spread, agreement = {}, {}
for name, (parts, options) in settings.items():
    rows, answers = pools[int(parts.max()) + 1]
    relative, stable = [], []
    for n_samples in numbers:
        runs = []
        for r in range(5):
            pick = slice(r * n_samples, (r + 1) * n_samples)
            runs.append(
                lime.fit_surrogate(rows[pick], answers[pick], lime.proximity(rows[pick]), **options).coefficients
            )
        runs = torch.stack(runs)
        relative.append(float(runs.std(0).mean() / runs.mean(0).std()))
        stable.append(float(lime.stability(runs)))
    spread[name] = (torch.tensor(numbers).log2(), torch.tensor(relative))
    agreement[name] = (torch.tensor(numbers).log2(), torch.tensor(stable))
plotting.curve_grid(
    {"standard deviation of a weight / spread of the weights": spread, "stability of the first five": agreement},
    "log₂ of the coalitions in one run",
    "",
    "Five runs with different coalitions, on the cup",
    columns=2,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** more coalitions help, with the root of their number; fewer superpixels help most (fewer weights from the same
# number of images). A stronger penalty steadies the weights of small samples, for it pulls all of them to 0; that they
# agree does not make them right.
#
# | what helps | at which price |
# | --- | --- |
# | more coalitions | passes through the network |
# | fewer superpixels | a coarser explanation |
# | a stronger penalty | weights that are too small |
# | the mean over runs, with its error bars | the same as more coalitions, and honest about it |
#
# Stability says that the *sampling* is under control. Whether the linear model fits is another question ($R^2$), and
# whether it points at what the network uses a third one.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Explore, score, compare with the truth
#
# Take superpixels out by hand: choose some in the list "Removed" (arrow keys and Shift, or Ctrl and the mouse), and
# watch the scores. Try to find the smallest set whose removal makes the network change its mind, and see whether the
# largest weights name it.

# %% slideshow={"slide_type": "fragment"}
explorer()

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Does the object win?
#
# The zoo is drawn, so the truth is known. Three scores hold a map against the object: the **pointing game** (is the
# highest pixel on the object?), the **mass** (share of the positive values on it) and the **rank** (share of the
# highest $K$ pixels on its $K$ pixels). Controls that never look at the network stand beside.

# %% slideshow={"slide_type": "fragment"}
test = zoo.sample(16, seed=2024)
masks = test.mask("object")


def lime_maps(n_samples: int, baseline: float | None = None, method: str = "slic") -> torch.Tensor:
    """Return LIME's maps of the test images, (N, H, W)."""
    maps = []
    for k, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        parts = lime.segment(image, method=method)
        source = torch.Generator().manual_seed(k)
        maps.append(lime.explain(net, image, int(label), parts, n_samples, baseline, generator=source).heatmap())
    return torch.stack(maps)


noise = torch.Generator().manual_seed(0)
maps = {
    "LIME, slic": lime_maps(150),
    "LIME, slic, grey": lime_maps(150, 0.5),
    "LIME, quickshift": lime_maps(150, method="quickshift"),
    "integrated gradients": gm.integrated_gradients(net, test.images, test.labels, 0.5, n_steps=20),
    "edge detector": evaluation.edge_map(test.images),
    "centre prior": evaluation.centre_prior(test.images),
    "noise": evaluation.noise_map(test.images, noise),
}
table = evaluation.score_table(
    {name: lambda inputs, target, of=values: of for name, values in maps.items()},
    test.images,
    test.labels,
    masks,
    batch_size=len(masks),
)
display(
    plotting.score_chart(
        table,
        controls=["edge detector", "centre prior", "noise"],
        chance=masks.float().mean().item(),
        title="Against the object, 16 images (dashed: its share of the area)",
    )
)
Markdown(str(table))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** slic's superpixels lie well on the object; quickshift's follow single stripes and dots, and much weight falls
# on the large background region. The edge detector is as good as LIME and has never asked the network: where the
# superpixels are good, half of the explanation is the segmentation.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Does the key part win?
#
# Cup and glass differ by the handle alone. `zoo.sample(..., without="key part")` draws the same cup without it: the
# true effect. LIME can speak of the handle only if it is a superpixel, so we give it one: the truth's own regions, as
# superpixels of the object, beside slic's tiles of the rest.

# %% slideshow={"slide_type": "fragment"}
cups, plain = (zoo.sample(8, seed=77, classes=["cup"], without=what) for what in (None, "key part"))
handles, wholes = cups.mask("key part"), cups.mask("object")
CUP, GLASS = zoo.CLASSES.index("cup"), zoo.CLASSES.index("glass")
with torch.no_grad():
    falls = net(cups.images) - net(plain.images)
true_fall = {"cup": falls[:, CUP].mean(), "cup - glass": (falls[:, CUP] - falls[:, GLASS]).mean()}
lines = ["| baseline | explained | LIME's weight of the handle | true fall without it | mass on the handle |"]
lines.append("| --- | --- | ---: | ---: | ---: |")
for baseline in ("mean colours", "the cup without its handle"):
    weight, mass = {name: [] for name in true_fall}, {name: [] for name in true_fall}
    for k, (image, handle, whole) in enumerate(zip(cups.images, handles, wholes, strict=True)):
        tiles = lime.segment(image, 20)
        parts = torch.where(whole, tiles.max() + 1, tiles)  # the body is one superpixel
        parts = torch.where(handle, tiles.max() + 2, parts).unique(return_inverse=True)[1]  # and the handle another
        replaced = None if baseline == "mean colours" else plain.images[k]
        source = torch.Generator().manual_seed(k)
        fit = lime.explain(net, image, [CUP, GLASS], parts, 120, replaced, generator=source)
        for name, w in (("cup", fit.coefficients[0]), ("cup - glass", fit.coefficients[0] - fit.coefficients[1])):
            weight[name].append(w[parts[handle][0]])
            mass[name].append(evaluation.relevance_mass(lime.heatmap(w, parts)[None], handle[None])[0])
    for name, fall in true_fall.items():
        means = torch.stack(weight[name]).mean(), torch.stack(mass[name]).mean()
        lines.append(f"| {baseline} | {name} | {means[0]:.1f} | {fall:.1f} | {means[1]:.2f} |")
print(f"The handle's share of the object: {(handles.sum() / wholes.sum()).item():.2f}")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the score "cup" asks for all that makes a cup, and most of its weight is the body. What tells a cup from a
# glass is the **contrast** of the two scores; there the handle gets its due. Ask the question that you mean.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Does it give the cheat away?
#
# `zoo-tagged` was trained on horses of which nine in ten carried a white tag with a line of writing, and on others
# without. Its counterfactual: the same horses drawn without the tag.

# %% slideshow={"slide_type": "fragment"}
cheat = models.load("zoo-tagged")
tagged, untagged = (zoo.sample(8, seed=31, classes=["horse"], tag=tag) for tag in (True, None))
tags = tagged.mask("tag")
lines = ["| network | mass on the tag | true fall of the score without it |", "| --- | ---: | ---: |"]
shown = {}
for name, network in (("zoo", net), ("zoo-tagged", cheat)):
    found = torch.stack(
        [
            lime.explain(network, image, HORSE, n_samples=150, generator=torch.Generator().manual_seed(k)).heatmap()
            for k, image in enumerate(tagged.images)
        ]
    )
    shown[name] = found[:3]
    with torch.no_grad():
        fall = (network(tagged.images) - network(untagged.images))[:, HORSE].mean()
    lines.append(f"| {name} | {evaluation.relevance_mass(found, tags).mean():.2f} | {fall:.1f} |")
display(
    plotting.method_grid(
        tagged.images[:3], shown, masks=tags[:3], heading="What speaks for horse (outlined: the tag)", label="weight w"
    )
)
print(f"The tag's share of the area: {tags.float().mean():.3f}")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the tag covers 3 % of the image and carries much of the cheat's weight, and none of the honest network's.
# LIME needed nothing but the scores to find it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. What LIME cannot do
#
# - **It is a line.** "$P_2$ matters only together with $P_1$" is no weight. A low $R^2$ says so; a high one does not
#   mean that the network is linear near $I_0$, only that it nearly is on half-erased images.
# - **Images like these do not exist.** Half-erased images are far from all that the network was trained on, and it may
#   answer anything. A network can even be built to behave well on them and badly on real ones (Slack et al. 2020).
# - **It depends on choices that it does not show:** superpixels, baseline, kernel width, penalty, number of coalitions.
# - **It is random.** Report runs, not a run.
# - **Its weights do not add up** to anything: $b + \sum_k w_k$ need not be the score of the image. Shapley values do
#   (unit 09).

# %% slideshow={"slide_type": "fragment"}
lines = ["| image | score of the image | the linear model says to it | R² |", "| --- | ---: | ---: | ---: |"]
for name, explanation, score in zip(names, found_by_lime, scores, strict=True):
    whole = torch.ones(1, len(explanation.coefficients), dtype=torch.bool)
    lines.append(f"| {name} | {score:.1f} | {float(explanation.predict(whole)[0]):.1f} | {float(explanation.r2):.2f} |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same in lime and captum
#
# In **lime**: `LimeImageExplainer().explain_instance(image, classify, hide_color=None, num_samples=1000)`, images
# $(H, W, 3)$, `classify` from a batch of them to scores. Its `random_state` seeds the segmentation only when you leave
# the segmentation to it, and the coalitions by numpy's generator; the kernel, the ridge penalty of 1 and the mean
# colour are the defaults used here. The lab feeds both with the same coalitions: the same weights to six digits.
#
# In **captum**: `Lime(model).attribute(image, target=3, feature_mask=segments, n_samples=1000)`, with baseline 0
# (black) unless another is given, and a lasso in place of ridge by default.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. LIME: superpixels, images without some of them, scores, weights, a linear model. It needs the scores alone.
# 2. $I_0[\vec{x}]$ needs a baseline, and the baseline is part of the question.
# 3. Ridge, ADALINE and (with $\lambda_1 = 0$) coordinate descent find one and the same line; the lasso makes weights
#    zero.
# 4. Read magnitude, sign and $R^2$, and ask for contrasts between classes if that is what you mean.
# 5. Explanations differ from run to run. More coalitions and fewer superpixels help; report the spread.
# 6. Superpixels decide what can be said. An edge detector, which knows no network, localizes as well: test against
#    counterfactuals.
#
# **Next:** lab 08 (`labs/08_lime`). You write each piece, and the checks tell you what is wrong with an answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Widrow, Hoff: *Adaptive switching circuits.* IRE WESCON 1960. (ADALINE)
# - Tibshirani: *Regression shrinkage and selection via the lasso.* Journal of the Royal Statistical Society B 1996.
# - Vedaldi, Soatto: *Quick shift and kernel methods for mode seeking.* ECCV 2008.
# - Achanta, Shaji, Smith, Lucchi, Fua, Süsstrunk: *SLIC superpixels compared to state-of-the-art superpixel methods.*
#   IEEE Transactions on Pattern Analysis and Machine Intelligence 2012.
# - Ribeiro, Singh, Guestrin: *"Why should I trust you?": explaining the predictions of any classifier.* KDD 2016.
# - Garreau, von Luxburg: *Explaining the explainer: a first theoretical analysis of LIME.* AISTATS 2020.
# - Slack, Hilgard, Jia, Singh, Lakkaraju: *Fooling LIME and SHAP: adversarial attacks on post hoc explanation methods.*
#   AIES 2020.
# - Visani, Bagli, Chesani, Poluzzi, Capuzzo: *Statistical stability indices for LIME: obtaining reliable explanations
#   for machine learning models.* Journal of the Operational Research Society 2022.
