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

# %% slideshow={"slide_type": "fragment"}
cheat, sound = models.load("zoo-tagged"), models.load("zoo")
HORSE = zoo.CLASSES.index("horse")
lines = [
    "| network | right: as collected | right: no tags | right: a tag on everything |",
    "| --- | ---: | ---: | ---: |",
]
for name, network in (("zoo-tagged", cheat), ("zoo", sound)):
    cells = []
    for tag in ("horse", None, True):
        drawn = zoo.sample(500, seed=1340, tag=tag)
        cells.append(f"{models.accuracy(network, drawn.images, drawn.labels):.3f}")
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
display(Markdown("\n".join(lines)))
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
# What each method of the course asks, what it needs, and how it fares **here**, on 8 images of the zoo. *Adds up* means
# that the values sum to a known quantity. *Last layer* is the similarity (rank correlation, with signs) of the maps
# before and after the last layer is made random: a method whose maps stay far from 0, also below it, fails (unit 10; a
# mean of values near 1 and near -1, as that of LRP with z+, may hide it, and 0 alone acquits nobody). *Mass* is the
# share of the positive values on the object. *Deletion* is the area under the curve when the highest pixels are greyed:
# low is good. *Cost* is the time for one image by that of one forward and backward pass.

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


METHODS = {  # name: (unit, what it asks, what it needs, whether it adds up, function)
    "occlusion": ("05", "what if this patch is covered?", "scores", "no",
                  lambda m, x, t: visualization.occlusion(m, x, t, 8, 8, 0.5)),
    "gradient": ("06", "what if pixels change a little?", "gradients", "no", gm.gradient),
    "SmoothGrad": ("06", "the same, near the image", "gradients", "no",
                   with_source(gm.smoothgrad, n_samples=8, stdevs=0.1)),
    "input x gradient": ("06", "a first share of the score", "gradients", "no", gm.input_x_gradient),
    "integrated gradients": ("06", "the share on the way from grey", "gradients", "y(I) - y(grey)",
                             lambda m, x, t: gm.integrated_gradients(m, x, t, 0.5, n_steps=16)),
    "deconvnet": ("06", "what excited this neuron?", "ReLU layers", "no", gm.deconvnet),
    "guided backprop": ("06", "the same, with the image", "ReLU layers", "no", gm.guided_backprop),
    "Grad-CAM": ("06", "which places of the last maps?", "a layer", "no", grad_cam),
    "LRP, composite": ("07", "how is the score shared out?", "known layers", "y(I), less what biases take", lrp.lrp),
    "LRP, z+": ("07", "what was excited on the way?", "known layers", "y(I), nearly",
                lambda m, x, t: lrp.lrp(m, x, t, lrp.ZPlus())),
    "LIME": ("08", "which superpixels speak for it?", "scores", "no", one_by_one(by_lime)),
    "KernelSHAP": ("09", "a fair share of superpixels", "scores", "y(I) - y(grey)", one_by_one(by_kernel_shap)),
    "GradientSHAP": ("09", "the share against real images", "gradients", "in the mean",
                     with_source(shapley.gradient_shap, baselines=references, n_samples=16)),
    "DeepLIFT": ("09", "the share against grey, by slopes", "known layers", "y(I) - y(grey)",
                 lambda m, x, t: shapley.deep_lift(m, x, t, 0.5)),
    "edge detector": ("10", "a control: asks nobody", "nothing", "no",
                      lambda m, x, t: evaluation.edge_map(x).unsqueeze(1)),
}  # fmt: skip
_, destroyed = next(iter(sanity_checks.cascading_randomization(sound, torch.Generator().manual_seed(1))))
gm.gradient(sound, test.images, test.labels)
start = time.perf_counter()
for _ in range(3):
    gm.gradient(sound, test.images, test.labels)
one_pass = (time.perf_counter() - start) / 3
lines = ["| method | unit | question | needs | adds up to | last layer | mass | deletion | cost |"]
lines.append("| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: |")
for name, (unit, question, needs, total, explain) in METHODS.items():
    start = time.perf_counter()
    maps = explain(sound, test.images, test.labels)
    cost = (time.perf_counter() - start) / one_pass
    after = explain(destroyed, test.images, test.labels)
    kept = sanity_checks.similarity(maps, after).mean()
    mass = evaluation.relevance_mass(maps, masks).mean()
    deleted = evaluation.deletion_auc(sound, test.images, test.labels, maps, n_steps=8).mean()
    lines.append(
        f"| {name} | {unit} | {question} | {needs} | {total} | {kept:.2f} | {mass:.2f} | {deleted:.2f} | {cost:.0f} |"
    )
display(Markdown("\n".join(lines)))
print(f"the object's share of the area: {float(masks.float().mean()):.2f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Beside these: **activation maximisation** (05: an image for a class), **TCAV** (11: does a concept raise the score?)
# and **GAM** (12: which kinds of explanations are there?), which do not give a map of one image.
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
# than
# 1. It would be refuted by a smaller rise, or by a larger one elsewhere.

# %% slideshow={"slide_type": "fragment"}
lines = ["| tag in the | " + " | ".join(zoo.CLASSES) + " |", "| --- |" + " ---: |" * 10]
bare = zoo.sample(120, seed=1350)
with torch.no_grad():
    before = cheat(bare.images)
    for corner in zoo.TAG_CORNERS:
        change = cheat(zoo.sample(120, seed=1350, tag=True, tag_corner=corner).images) - before
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(change.mean(0), change.std(0) / 120**0.5, strict=True)]
        lines.append(f"| {corner} | " + " | ".join(cells) + " |")
Markdown("\n".join(lines))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **See:** the first half of the hypothesis stands: 9.8 for horse, and only in the lower left corner. The second half is
# **refuted**: a slip of paper changes other scores, too, wherever it lies, up to 2.5 for leopard and down by 5 for
# ball. Its pixels are new to the network in the other corners, and nobody taught it to pass them over. A number written
# down beforehand has kept us from telling a nicer story. What remains is a rise that is four times as large as any
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
