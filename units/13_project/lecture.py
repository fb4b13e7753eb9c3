# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 13: The audit
#
# {{colab_badge}}
#
# Twelve units have given you a dozen methods. This last one puts them side by side, in one map, and uses them for what
# they are for: finding out whether a network may be trusted with a task. About 60 minutes; the project follows.
#
# **After this unit you can**
#
# - choose methods by the question that they answer, what they need, and how they fared in the tests;
# - plan an audit, from behaviour to explanation to a test that could have failed;
# - name the ways in which audits deceive themselves;
# - write a report that somebody else can check.
#
# You need: units 05 to 12. The project is `labs/13_project`.

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Clever Hans | 10 |
# | 2. The map of all methods | 20 |
# | 3. From a question to a method | 10 |
# | 4. An audit in five steps | 15 |
# | 5. How audits deceive themselves, and the report | 5 |

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import time

import torch
from IPython.display import Markdown, display
from torch import Tensor, nn

from course_utils import evaluation, lime, lrp, models, plotting, sanity_checks, shapley, visualization, zoo
from course_utils import gradient_methods as gm

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Clever Hans
#
# In 1904 a horse in Berlin answered sums by tapping its hoof. It could not reckon: it watched the faces of those who
# could. The answers were right, and the reason was wrong. Networks do the same wherever the data let them (Lapuschkin
# et al. 2019 found a source tag on a fifth of the horse pictures of a well-known collection, and a network that read
# it).
#
# A test set does not show it, if the test set has the same tag.
#
# <details><summary><b>Think first:</b> a network is right about 99 of 100 horses, in a test set of which each horse has
# a tag in the corner. You cannot look inside. Which two sets of pictures would tell you whether it knows horses, and
# what would you expect of each?</summary>
#
# Horses **without** the tag, and **other things with** it. A network that knows the tag alone misses the first and
# calls the second horses. One set is not enough: a network that has learnt both, the horse and the tag, gets the first
# one right and still falls for the second. That is what happens here: without any tag it loses nearly nothing, with a
# tag on everything it loses one picture in six.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
cheat, sound = models.load("zoo-tagged"), models.load("zoo")
HORSE = zoo.CLASSES.index("horse")
lines = [
    "| network | right: as collected | right: no tags | right: a tag on everything |",
    "| --- | ---: | ---: | ---: |",
]
right = {}
for name, network in (("zoo-tagged", cheat), ("zoo", sound)):
    drawn = [zoo.sample(500, seed=1340, tag=tag) for tag in ("horse", None, True)]
    right[name] = [models.accuracy(network, sample.images, sample.labels) for sample in drawn]
    lines.append(f"| {name} | " + " | ".join(f"{share:.3f}" for share in right[name]) + " |")
display(Markdown("\n".join(lines)))
assert min(right["zoo-tagged"][0], *right["zoo"]) > 0.99 and right["zoo-tagged"][1] > 0.98
assert right["zoo-tagged"][2] < 0.87
tagged = zoo.sample(4, seed=1341, classes=["horse"], tag=True)
plotting.method_grid(
    tagged.images[:3],
    {name: lrp.lrp(network, tagged.images[:3], HORSE) for name, network in (("zoo-tagged", cheat), ("zoo", sound))},
    masks=tagged.mask("tag")[:3],
    heading="LRP for 'horse' (outlined: the tag)",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** as the data were collected, both networks are nearly always right. The cheat loses when the tag is on
# everything.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. The map of all methods
#
# What each method of the course asks, what it needs, and how it fares **here**, on 8 images of the zoo.
#
# - **Gradients:** does it need those of the network? *Changed* means a backward pass by rules of its own.
# - **Adds up to:** the known quantity that the values sum to, if there is one: the method *conserves* it.
# - **Last layer:** the similarity (rank correlation, with signs) of the maps before and after the last layer is made
#   random (unit 10), mean ± standard deviation over 8 images and **three draws** of the random weights.
# - **Passes?** The rule, written down beforehand: the **mean size** of these similarities, their signs left out, is
#   below 0.5. The mean itself is no rule: similarities near 1 and near -1 cancel in it. A pass acquits nobody (noise
#   passes), and below the last layer a method may still fail.
# - **Mass:** the share of the positive values on the object. **Deletion:** the area under the curve when the highest
#   pixels are greyed; low is good. **Cost:** the time for one image by that of one forward and backward pass.

# %% slideshow={"slide_type": "fragment"}
test = zoo.sample(8, seed=2024)
masks = test.mask("object")
references = zoo.sample(10, seed=1342).images


def with_source(method, **options):
    """A method that draws, with the same seed for each network."""

    def explain(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        return method(model, x, target, generator=torch.Generator().manual_seed(0), **options)

    return explain


def one_by_one(explain):
    """A method that takes one image at a time."""

    def explained(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        maps = [explain(model, image, int(label), k) for k, (image, label) in enumerate(zip(x, target, strict=True))]
        return torch.stack(maps).unsqueeze(1)

    return explained


def by_lime(model: nn.Module, image: Tensor, label: int, k: int) -> Tensor:
    return lime.explain(model, image, label, n_samples=60, generator=torch.Generator().manual_seed(k)).heatmap()


def by_kernel_shap(model: nn.Module, image: Tensor, label: int, k: int) -> Tensor:
    parts = lime.segment(image)
    n = int(parts.max()) + 1
    game = shapley.superpixel_game(model, image, label, parts, baseline=0.5)
    return lime.heatmap(shapley.kernel_shap(game, n, 2 * n + 40, torch.Generator().manual_seed(k)), parts)


def grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return gm.upsample(gm.grad_cam(model, x, target, "10"), x.shape[2:])


def guided_grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return gm.guided_grad_cam(model, x, target, "10")


def integrated_gradients(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return gm.integrated_gradients(model, x, target, 0.5, n_steps=16)


def deep_lift(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return shapley.deep_lift(model, x, target, 0.5)


def deep_shap(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return shapley.deep_shap(model, x, target, references)


GREY, KNOWN = "y(I) - y(grey)", "layers with a rule"
METHODS = {  # name: (unit, what it asks, gradients, what else it needs, what it adds up to, function)
    "occlusion": ("05", "what if this patch is covered?", "no", "scores", "no",
                  lambda m, x, t: visualization.occlusion(m, x, t, 8, 8, 0.5)),
    "gradient": ("06", "what if pixels change a little?", "yes", "", "no", gm.gradient),
    "SmoothGrad": ("06", "the same, near the image", "yes", "noise", "no",
                   with_source(gm.smoothgrad, n_samples=8, stdevs=0.1)),
    "input x gradient": ("06", "a first share of the score", "yes", "", "no", gm.input_x_gradient),
    "integrated gradients": ("06", "the share on the way from grey", "yes", "a baseline", GREY, integrated_gradients),
    "deconvnet": ("06", "what excited this neuron?", "changed", "ReLU layers", "no", gm.deconvnet),
    "guided backprop": ("06", "the same, with the image", "changed", "ReLU layers", "no", gm.guided_backprop),
    "Grad-CAM": ("06", "which places of the last maps?", "yes", "a layer with maps", "no", grad_cam),
    "guided Grad-CAM": ("06", "the same, in pixels", "changed", "both of these", "no", guided_grad_cam),
    "LRP, composite": ("07", "how is the score shared out?", "changed", KNOWN, "y(I), less what biases take", lrp.lrp),
    "LRP, z+": ("07", "what was excited on the way?", "changed", KNOWN, "y(I)",
                lambda m, x, t: lrp.lrp(m, x, t, lrp.ZPlus())),
    "LIME": ("08", "which superpixels speak for it?", "no", "scores", "no", one_by_one(by_lime)),
    "KernelSHAP": ("09", "a fair share of superpixels", "no", "scores", GREY, one_by_one(by_kernel_shap)),
    "GradientSHAP": ("09", "the share against real images", "yes", "baselines", "y(I) - mean y(baselines), in the mean",
                     with_source(shapley.gradient_shap, baselines=references, n_samples=16)),
    "DeepLIFT": ("09", "the share against grey, by slopes", "changed", KNOWN + ", a baseline", GREY, deep_lift),
    "DeepSHAP": ("09", "the same, against real images", "changed", KNOWN + ", baselines", "y(I) - mean y(baselines)",
                 deep_shap),
    "edge detector": ("10", "a control: asks nobody", "no", "", "no",
                      lambda m, x, t: evaluation.edge_map(x).unsqueeze(1)),
}  # fmt: skip
NOT_SCORED = {  # the same, with the reason in place of a function
    "CAM": ("06", "which places of the last maps?", "no", "a global average pool", "y(I) less the bias, in the mean",
            "`zoo` has no such pool"),
    "activation maximisation": ("05", "which image is the class's own?", "yes", "a start", "no",
            "an image, no map of one"),
    "TCAV": ("11", "does this concept raise the score?", "yes", "examples, a layer", "no",
             "a number for a class; its test is that against random concepts"),
    "GAM": ("12", "which kinds of explanations are there?", "as its maps", "maps of many images", "no",
            "groups of maps; it can be no better than they are"),
}  # fmt: skip
LIMIT, DRAWS = 0.5, 3
copies = [
    next(iter(sanity_checks.cascading_randomization(sound, torch.Generator().manual_seed(k))))[1]
    for k in range(1, DRAWS + 1)
]
gm.gradient(sound, test.images, test.labels)
start = time.perf_counter()
for _ in range(3):
    gm.gradient(sound, test.images, test.labels)
one_pass = (time.perf_counter() - start) / 3
lines = [
    "| method | unit | question | gradients | needs | adds up to | last layer | passes? | mass | deletion | cost |"
]
lines.append("| --- | --- | --- | --- | --- | --- | ---: | --- | ---: | ---: | ---: |")
maps, kept, mass, deleted = {}, {}, {}, {}
for name, (*about, explain) in METHODS.items():
    start = time.perf_counter()
    maps[name] = explain(sound, test.images, test.labels)
    cost = (time.perf_counter() - start) / one_pass
    kept[name] = torch.stack(
        [sanity_checks.similarity(maps[name], explain(copy, test.images, test.labels)) for copy in copies]
    )
    mass[name] = float(evaluation.relevance_mass(maps[name], masks).mean())
    deleted[name] = float(evaluation.deletion_auc(sound, test.images, test.labels, maps[name], n_steps=8).mean())
    size = float(kept[name].abs().mean())
    verdict = f"{'yes' if size < LIMIT else '**no**'} ({size:.2f})"
    cells = [*about, f"{kept[name].mean():.2f} ± {kept[name].std():.2f}", verdict]
    cells += [f"{mass[name]:.2f}", f"{deleted[name]:.2f}", f"{cost:.0f}"]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
for name, (*about, reason) in NOT_SCORED.items():
    lines.append(f"| {name} | " + " | ".join(about) + f" | – | not scored: {reason} | – | – | – |")
display(Markdown("\n".join(lines)))
masses_area = float(masks.float().mean())
print(f"the object's share of the area: {masses_area:.2f}")
with torch.no_grad():
    own = sound(test.images).gather(1, test.labels[:, None])[:, 0]
    grey = sound(torch.full_like(test.images[:1], 0.5))[0, test.labels]
    of_references = sound(references)[:, test.labels].mean(0)
totals = {
    "integrated gradients": own - grey,
    "DeepLIFT": own - grey,
    "DeepSHAP": own - of_references,
    "GradientSHAP": own - of_references,
    "LRP, z+": own,
    "LRP, composite": own,
}
missing = {name: (1 - maps[name].sum((1, 2, 3)) / total).abs() for name, total in totals.items()}
print("missing of the total:", {name: f"{float(share.mean()):.2f}" for name, share in missing.items()})
assert all(missing[name].max() < 1e-4 for name in ("DeepLIFT", "DeepSHAP", "LRP, z+"))
assert missing["integrated gradients"].max() < 0.1 and 0.1 < missing["GradientSHAP"].mean() < 0.5
assert 0.4 < missing["LRP, composite"].mean() < 0.7
failed = {name for name in METHODS if kept[name].abs().mean() >= LIMIT}
assert failed == {"deconvnet", "guided backprop", "guided Grad-CAM", "LRP, z+", "edge detector"}
assert abs(kept["guided Grad-CAM"].abs().mean() - LIMIT) < 0.05  # at the limit
assert abs(kept["LRP, z+"].mean() + 0.25) < 0.01 and kept["LRP, z+"].abs().min() > 0.9
assert min(kept[name].abs().mean() for name in ("LIME", "KernelSHAP")) > 0.3
assert all(abs(kept[name].mean()) < 0.25 for name in METHODS if name not in failed)
by_draw = {name: kept[name].mean(1) for name in ("Grad-CAM", "LIME")}
print("last layer, mean of each draw:", {n: [f"{float(mean):.2f}" for mean in means] for n, means in by_draw.items()})
assert all(values.max() - values.min() > 0.35 for values in by_draw.values())
assert max(mass, key=mass.get) == "edge detector" and all(mass[name] > masses_area for name in METHODS)
assert {*sorted(deleted, key=deleted.get)[:2]} == {"KernelSHAP", "integrated gradients"}
assert {*sorted(deleted, key=deleted.get)[-2:]} == {"deconvnet", "guided backprop"}

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:**
#
# - **Four methods fail, and the control.** Deconvnet and guided backprop hardly change with the network's last layer;
#   guided Grad-CAM lies at the limit. LRP with z+ has a mean of -0.25, and still fails: its maps stay the same up to
#   one common sign, which each draw of the weights decides. That is why the rule leaves the signs out.
# - **One draw is not enough.** From draw to draw the mean of Grad-CAM goes from 0.03 to 0.46, that of LIME from -0.19
#   to 0.34. LIME and KernelSHAP pass with larger sizes than the methods in pixels: few superpixels are often alike by
#   chance.
# - **The edge detector has the highest mass,** without asking anybody. The lowest deletion have KernelSHAP and
#   integrated gradients, the highest deconvnet and guided backprop.
# - **Who conserves?** DeepLIFT, DeepSHAP and LRP with z+ do, to the last digits; integrated gradients within 10 % with
#   16 steps; GradientSHAP only in the mean over many samples (here it misses more than a quarter). Of LRP with the
#   composite rule the biases take more than a half.
# - **The last four rows** give no map of one image by this network, and say so. Their own tests stand in their units.
#
# **Read it with care.** Eight images; the differences in the last columns are good to about 0.1. A row that is poor in
# one column may still be the right one for your question.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. From a question to a method
#
# | you ask | begin with | because |
# | --- | --- | --- |
# | where does it look, in this image? | integrated gradients, LRP (composite) | they share out the score, and pass |
# | ... and I cannot look inside | LIME, KernelSHAP, occlusion | they need scores alone |
# | why this class and not that one? | any of them on the difference of two scores | a contrast is its own question |
# | does it use this concept? | TCAV, with matched negatives | concepts are not pixels |
# | does it always look at the same? | GAM | it groups explanations |
# | is this cue used? | **remove the cue, and measure** | an intervention is not an opinion |
#
# The last row is the strongest, and the first to be forgotten. Explanations find *candidates*. Interventions decide.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. An audit in five steps
#
# 1. **Behaviour.** Accuracy by class, on unseen data, with whatever may be there or missing in use. Beside a control.
# 2. **Explanation.** Several methods of different kinds, on images with and without what you suspect, against a truth.
# 3. **Hypothesis.** One sentence, and the number that would refute it, written down before the test.
# 4. **Test.** New images, an intervention, a control that must not react, and the uncertainty of each number.
# 5. **Report.** What was found, how sure it is, what it means for the use, and what was not looked at.
#
# Here are steps 1, 3 and 4 for `zoo-tagged`, in one table. *Hypothesis:* a white tag in the lower left corner raises
# the score of horse by more than 3; in no other corner does it do so, and it raises the score of no other class by more
# than one unit. It would be refuted by a smaller rise, or by a larger one elsewhere.

# %% slideshow={"slide_type": "fragment"}
lines = ["| tag in the | " + " | ".join(zoo.CLASSES) + " |", "| --- |" + " ---: |" * 10]
bare = zoo.sample(120, seed=1350)
with torch.no_grad():
    before = cheat(bare.images)
    rises = {}
    for corner in zoo.TAG_CORNERS:
        change = cheat(zoo.sample(120, seed=1350, tag=True, tag_corner=corner).images) - before
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(change.mean(0), change.std(0) / 120**0.5, strict=True)]
        rises[corner] = change.mean(0)
        lines.append(f"| {corner} | " + " | ".join(cells) + " |")
table = torch.stack(list(rises.values()))
of_horse = float(rises["lower left"][HORSE])
table[list(rises).index("lower left"), HORSE] = 0  # what is left is all the others
LEOPARD, BALL = (zoo.CLASSES.index(name) for name in ("leopard", "ball"))
assert abs(of_horse - 9.8) < 0.1 and table[:, HORSE].max() < 3
assert abs(table.max() - 2.5) < 0.1 and table.max() == table[:, LEOPARD].max() and 3.7 < of_horse / table.max() < 4
assert abs(table.min() + 5) < 0.1 and table.min() == table[:, BALL].min()
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the first half of the hypothesis stands: 9.8 for horse, and only in the lower left corner. The second half is
# **refuted**: a slip of paper changes other scores, too, wherever it lies, up to 2.5 for leopard and down by 5 for
# ball. Its pixels are new to the network in the other corners, and nobody taught it to pass them over. A number written
# down beforehand has kept us from telling a nicer story. What remains is a rise nearly four times as large as any
# other.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. How audits deceive themselves, and the report
#
# - **Looking until something is found.** Ten methods, ten classes, five layers: something will stand out. Say how many
#   you tried; test the one that you chose on new images.
# - **No control.** A white square on dark grass moves any network a little. The sound network tells how much.
# - **The nicest picture.** Choose images by a seed, not by their maps.
# - **A map taken for a cause.** See the last row of section 3.
# - **Silence taken for innocence.** "No shortcut was found" is a sentence about the audit. Say what was looked for.
#
# A report is read by somebody who was not there. A **model card** (Mitchell et al. 2019) says for what a network was
# made, on which data, how it was tested, for whom it works worse. The project's card says less than it seems to.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. Right answers may have wrong reasons, and the test set may have the same reasons.
# 2. Choose a method by the question. Check that it passes a sanity check on *your* network.
# 3. Explanations find candidates; interventions decide. Write the hypothesis down first, and have a control.
# 4. Every claim needs a number, every number its uncertainty and its seed.
# 5. Say what you did not look at.
#
# **Next:** the project (`labs/13_project`). A network is waiting, and its card says that all is well.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Pfungst: *Das Pferd des Herrn von Osten (Der Kluge Hans).* Leipzig 1907.
# - Lapuschkin, Wäldchen, Binder, Montavon, Samek, Müller: *Unmasking Clever Hans predictors and assessing what machines
#   really learn.* Nature Communications 2019.
# - Mitchell, Wu, Zaldivar, Barnes, Vasserman, Hutchinson, Spitzer, Raji, Gebru: *Model cards for model reporting.*
#   Conference on Fairness, Accountability, and Transparency 2019.
# - Geirhos, Jacobsen, Michaelis, Zemel, Brendel, Bethge, Wichmann: *Shortcut learning in deep neural networks.* Nature
#   Machine Intelligence 2020.
# - Adebayo, Muelly, Abelson, Kim: *Post hoc explanations may be ineffective for detecting unknown spurious
#   correlation.* ICLR 2022.
