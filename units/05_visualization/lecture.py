# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 05: Visualization
#
# {{colab_badge}}
#
# A trained network is a list of numbers. What can we look at, and what does it tell us? This unit shows weights,
# gradients, activations, covered images, and the image that a network likes best. About 160 minutes, or two lectures of
# 80; lab 05 follows.
#
# **After this unit you can**
#
# - say for whom you visualize, why, what and how, before you draw anything;
# - read the weights of a logistic regression, and say why the weights of a network cannot be read like that;
# - find in TensorBoard what is wrong with a training: gradients that vanish or explode, activations that are all 0;
# - show the filters of a first layer and the feature maps of any layer, in two ways that agree;
# - explain one prediction, right or wrong, by occlusion, and say what its map costs and what it misses;
# - make the image that a network likes best, from several starts, with several priors, also in the code space of a
#   generator, and check with numbers what you have made;
# - say what none of these pictures can tell you.
#
# You need: convolution (unit 01), ReLU and max pooling (unit 03), the softmax and its loss $-\log P$.

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Why, for whom, what, how | 10 |
# | 2. Weights that can be read: logistic regression | 10 |
# | 3. Weight space against function space | 10 |
# | 4. Watching a training: TensorBoard | 20 |
# | 5. Filters of the first layer | 10 |
# | 6. Feature maps | 10 |
# | 7. Occlusion | 25 |
# | 8. Is the map true? Scores, deletion, and what occlusion cannot see | 15 |
# | 9. Activation maximization: what is a model of a class? | 30 |
# | 10. Deep dream and facets | 10 |
# | 11. What these pictures cannot do; the same in captum; AlexNet; what to remember | 10 |
#
# The lecture follows the course slides: their questions, their algorithm, their formulas. Marks in the text:
# **Correction** where the slides slip, **Beyond the slides** where this lecture adds something.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import atexit
import contextlib
import io
import math
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import torch
from captum import attr
from IPython.display import display
from PIL import Image
from skimage import data, transform
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from tensorboard import manager
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn import functional as F

from course_utils import evaluation, models, plotting, zoo
from course_utils import gradient_methods as gm
from course_utils import visualization as vis
from course_utils.widgets.visualization import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Why, for whom, what, how
#
# A picture of a network is an answer. So ask first.
#
# | why | for whom | in this unit |
# | --- | --- | --- |
# | interpretability: how does the network decide, what has it learned? | for others | parts 5 to 10 |
# | debugging: why does the training fail, what is to be improved? | for us, who build it | part 4 |
# | teaching: what is a convolution, a gradient? | for me, who learn | parts 2 and 3, the explorer |
#
# The slides take these three from *Visual analytics in deep learning: an interrogative survey* (Hohman et al. 2018).
#
# **What** can be drawn: the computational graph and the architecture; learned parameters (weights, filters); individual
# units (activations, gradients); aggregate numbers (loss, accuracy). Or, from outside: decision boundaries, and
# differences between distributions of the data. **How** depends on the data, the model and the question.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Three questions to a convolutional network
#
# - **How** does it see the images? Filters and feature maps (parts 5 and 6).
# - **What** is its model of a class? Make a typical image of that class (part 9).
# - **Why** did it classify this image so? Find the fragments that most affect the output (part 7, units 06 to 09).
#
# Methods for the second question are **model-based**: how does a *dog* look to this network? Methods for the third are
# **decision-based**: why is *this* example called a dog? One course document lists four ways:
#
# | way | in this course | kind |
# | --- | --- | --- |
# | visualize weights | parts 2, 4, 5 | model |
# | visualize the inputs that matter most for a class | part 9 | model |
# | visualize how a perturbed input changes the output | part 7, occlusion | decision |
# | build a local model that can be interpreted | units 06 and 08 | decision |

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The patients of today
#
# Drawn pictures again (the *zoo*), so that the truth is known, and the network `zoo`: four times convolution, ReLU and
# max pooling, then two dense layers. The last picture is a cup which the network takes for a ball.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
print(net)
drawn, unlucky = zoo.sample(60, seed=606), zoo.sample(204, seed=5005)
chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("cup", "star", "zebra")]
images = torch.cat([drawn.images[chosen], unlucky.images[203:]])
labels = torch.cat([drawn.labels[chosen], unlucky.labels[203:]])  # K, the true class
CUP, STAR, ZEBRA, WRONG = range(4)  # numbers of the pictures

with torch.no_grad():
    scores = net(images)
predictions = scores.argmax(1)  # Q, the prediction
probabilities = scores.softmax(1).gather(1, predictions[:, None])[:, 0]
assert (predictions == labels).tolist() == [True, True, True, False]
plotting.image_grid(
    images,
    [
        f"{zoo.CLASSES[k]}, taken for {zoo.CLASSES[q]}: {p:.2f}"
        for k, q, p in zip(labels, predictions, probabilities, strict=True)
    ],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. Weights that can be read: logistic regression
#
# $$p(y = 1 \mid w, x) = \sigma(w^T x) \qquad\Longleftrightarrow\qquad
# \ln\left(\frac{P(y = 1)}{P(y = 0)}\right) = w^T x$$
#
# **Meaning:** the logarithm of the odds is a sum with one term for each feature. If $x_i$ grows by 1, the log odds grow
# by $w_i$, and the odds are multiplied by $e^{w_i}$, whatever the other features are. So we can interrogate this model
# by printing its weights. (The bias is the weight of a feature that is always 1.)
#
# Real data: 569 breast tumours, each described by 30 measurements of the cell nuclei under a microscope; is it
# malignant?

# %% slideshow={"slide_type": "fragment"}
tumours = load_breast_cancer()
malignant = (tumours.target == 0).astype(int)  # scikit-learn's class 0 is malignant
x_train, x_test, y_train, y_test = train_test_split(tumours.data, malignant, test_size=0.3, random_state=0)
scaler = StandardScaler().fit(x_train)  # every feature in units of its own standard deviation
logistic = LogisticRegression(max_iter=1000).fit(scaler.transform(x_train), y_train)
w, b = logistic.coef_[0], logistic.intercept_[0]

x = scaler.transform(x_test)
p = logistic.predict_proba(x)[:, 1]
assert np.allclose(np.log(p / (1 - p)), x @ w + b)  # log odds = w^T x (+ the bias)
print(f"{logistic.score(x, y_test):.1%} of {len(y_test)} tumours that it has not seen are classified rightly")
top = np.argsort(-np.abs(w))[:10]
plotting.bars(
    {str(tumours.feature_names[i]): w[i] for i in top},
    "weight: change of the log odds of malignant for one standard deviation",
    "The ten largest of 30 weights",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** almost all of the large weights are positive: a larger, rougher, more dented nucleus speaks for a
# malignant tumour, and by how much can be read from the bar.
#
# > **Think first:** Two of the features are *mean radius* and *mean perimeter*. What would happen to the weight of one
# > if you left the other out of the data?
#
# <details><summary>Answer</summary>
#
# The two say nearly the same. The data cannot tell which of them counts; the penalty on the weights shares it about
# equally. Without the one, the other takes over a part, and the answers stay the same. So even here one weight must not
# be read alone: it depends on what else was measured. The next cell tries it.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
radius, perimeter = (list(tumours.feature_names).index(name) for name in ("mean radius", "mean perimeter"))
correlation = np.corrcoef(x_train[:, radius], x_train[:, perimeter])[0, 1]
print(f"correlation of radius and perimeter: {correlation:.3f}; weights {w[radius]:.2f} and {w[perimeter]:.2f}")
assert logistic.score(x, y_test) > 0.95 and (w[top] > 0).sum() >= 8
assert correlation > 0.99 and abs(w[radius] - w[perimeter]) < 0.05
for kept, left_out in ((radius, perimeter), (perimeter, radius)):
    without = np.delete(np.arange(30), left_out)
    smaller = LogisticRegression(max_iter=1000).fit(scaler.transform(x_train)[:, without], y_train)
    before, after = w[kept], smaller.coef_[0][list(without).index(kept)]
    agreement = (smaller.predict(x[:, without]) == logistic.predict(x)).mean()
    print(f"without the {tumours.feature_names[left_out]}, the weight of the {tumours.feature_names[kept]}", end=" ")
    print(f"goes from {before:.2f} to {after:.2f}; the two models agree on {agreement:.1%} of the test tumours")
    assert 1.1 * before < after < w[radius] + w[perimeter] and agreement > 0.98

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. Weight space against function space
#
# For a network, $p(y = 1 \mid w, x) = \sigma(\hat f(x))$. Would it help to print all its weights? The slides give two
# reasons why not.
#
# 1. **The same function has very different sets of weights**, for the same architecture. Two ways to change the
#    weights and not the function: permute the hidden units (with their weights in and out); multiply what goes into a
#    ReLU unit by $a > 0$ and divide what comes out by $a$, since $\mathrm{ReLU}(a z) = a\,\mathrm{ReLU}(z)$.
# 2. **The architecture says more than it needs**: the function can be expressed by a subset of the weights and units.
#    Some weights are 0, some units contribute little.

# %% slideshow={"slide_type": "fragment"}
generator = torch.Generator().manual_seed(5)
twin = models.load("zoo")
hidden, out = twin[13], twin[15]  # 64 units between two dense layers
order = torch.randperm(64, generator=generator)
a = torch.exp(torch.randn(64, generator=generator))  # a factor > 0 for each unit
with torch.no_grad():
    hidden.weight[:] = (a[:, None] * hidden.weight)[order]
    hidden.bias[:] = (a * hidden.bias)[order]
    out.weight[:] = (out.weight / a)[:, order]

test = zoo.sample(300, seed=505)
with torch.no_grad():
    test_scores, twin_scores = net(test.images), twin(test.images)
cosine = F.cosine_similarity(hidden.weight.flatten(), net[13].weight.flatten(), dim=0).item()
difference = (twin_scores - test_scores).abs().max().item()
print(f"weights of the hidden layer: cosine of the two sets {cosine:.2f}")
print(f"scores of {len(test)} images: largest difference {difference:.0e}")
print(f"ways to permute 64 units: about 10^{math.log10(math.factorial(64)):.0f}, and as many factors as you like")
assert abs(cosine) < 0.15 and difference < 1e-3

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### How many of the 64 units are needed?
#
# Order them by what each contributes: its mean activation times the length of its weights out. Switch the smallest off.

# %% slideshow={"slide_type": "fragment"}
with torch.no_grad():
    activations = net[:15](test.images)
contribution = activations.mean(0) * net[15].weight.norm(dim=0)
ranking = contribution.argsort(descending=True)
kept_units, accuracy = [0, 2, 4, 8, 12, 16, 20, 24, 32, 48, 64], []
for n in kept_units:
    kept = torch.zeros(64)
    kept[ranking[:n]] = 1
    with torch.no_grad():
        answers = net[15](activations * kept).argmax(1)
    accuracy.append((answers == test.labels).float().mean().item())
assert accuracy[kept_units.index(32)] > accuracy[-1] - 0.01 and accuracy[kept_units.index(8)] < 0.7
never = int((activations.amax(0) == 0).sum())
print(", ".join(f"{n} units: {share:.0%}" for n, share in zip(kept_units, accuracy, strict=True)))
print(f"{never} of the 64 units are off on all {len(test)} images")
plotting.curves(
    {"accuracy": (np.array(kept_units), 100 * np.array(accuracy))},
    "hidden units kept",
    "test accuracy, %",
    "Redundancy",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** half of the units do the whole work, and some are off whatever the image shows. So a weight in the
# list may be of a unit that does nothing. What we want to understand is the *function*, and the weights are a poor
# place to look for it. There are two ways out: watch weights, gradients and activations *while they change*, to find
# faults (part 4); or show the network something and watch what it does (from part 6 on).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. Watching a training: TensorBoard
#
# What can be read from inside is how weights, gradients and activations *change* while the network is trained. The
# slides show Keras: `tf.keras.callbacks.TensorBoard(log_dir="logs", update_freq="epoch")`, handed to `model.fit`. In
# PyTorch you write the numbers yourself with a `SummaryWriter`; `vis.log_training` does it with a plain stochastic
# gradient descent.
#
# Three trainings on real handwritten digits. They differ in one thing each.
#
# | name | unit | learning rate |
# | --- | --- | ---: |
# | healthy | ReLU | 0.1 |
# | sigmoid | sigmoid | 0.1 |
# | too fast | ReLU | 1 |

# %% slideshow={"slide_type": "fragment"}
digits, digit_labels = models.digits(train=True)
log_folder = tempfile.TemporaryDirectory(prefix="visualization-unit-", ignore_cleanup_errors=True)


def digit_network(unit: type[nn.Module]) -> nn.Sequential:
    """Five layers with weights, whose first values are drawn as He et al. 2015 advise."""
    network = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2), unit(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), unit(),
        nn.Conv2d(24, 24, 3, padding=1), unit(), nn.Flatten(),
        nn.Linear(24 * 16, 32), unit(), nn.Linear(32, 10),
    )  # fmt: skip
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


trainings = {"healthy": (nn.ReLU, 0.1), "sigmoid": (nn.Sigmoid, 0.1), "too fast": (nn.ReLU, 1.0)}
logs = {}
for name, (unit, lr) in trainings.items():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = digit_network(unit)
    folder = Path(log_folder.name) / name.replace(" ", "_")
    generator = torch.Generator().manual_seed(0)
    vis.log_training(
        model, digits[:1000], digit_labels[:1000], folder, n_epochs=8, batch_size=50, lr=lr, generator=generator
    )
    logs[name] = vis.read_training(folder)  # back from the event file
    correct = models.accuracy(model, *models.digits(train=False))
    print(f"{name:9} {correct:4.0%} of the unseen digits are right")
tags = [*logs["healthy"].scalars, *logs["healthy"].histograms]
print(f"{len(tags)} tags of scalars and histograms for each:", ", ".join(sorted({tag.split("/")[0] for tag in tags})))

# %% [markdown] slideshow={"slide_type": "fragment"}
# The event file also holds the filters of the first convolution, all twelve in one image, which was written at the
# steps of the histograms. Read back and cut apart, the last one of the healthy training:

# %% slideshow={"slide_type": "fragment"}
for name in trainings:
    events = EventAccumulator(str(Path(log_folder.name) / name.replace(" ", "_")), size_guidance={"images": 0})
    assert events.Reload().Tags()["images"] == ["filters/0"]
    written = events.Images("filters/0")
    if name == "healthy":
        picture = np.array(Image.open(io.BytesIO(written[-1].encoded_image_string))) / 255
    print(f"{name}: {len(written)} images, at the steps", ", ".join(str(event.step) for event in written))
    assert [event.step for event in written] == logs[name].histograms["weights/0"][0].tolist()
tiles = picture.reshape(2, 5, 8, 5, 3).swapaxes(1, 2).reshape(16, 5, 5, 3)  # two rows of eight; the last four are empty
assert not tiles[12:].any() and all(tile.min() == 0 and tile.max() == 1 for tile in tiles[:12])
plotting.image_grid(
    torch.from_numpy(tiles[:12]).permute(0, 3, 1, 2),
    columns=12,
    heading="healthy: 12 filters of 5 x 5, from TensorBoard",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What problems do we see?
#
# > **Think first:** Two of the three learn nothing: every tenth digit is right by chance. Their loss curves, below in
# > the middle and on the right, soon look alike. Which further numbers would tell you *why*?
#
# <details><summary>Answer</summary>
#
# The loss says that nothing is learned, not why. Gradients by layer say whether the weights are told to move; the
# activations say whether the units react at all.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
layers = {"0": "first convolution", "5": "third convolution", "10": "last dense layer"}
display(
    plotting.curve_grid(
        {name: {"loss": log.scalars["loss"]} for name, log in logs.items()},
        "step (a batch of 50)",
        "loss (nats)",
        "The loss as it was written",
        limits=(0, 7.5),
    )
)


def logarithm(line):
    """Give steps and log10 of the values; a gradient of exactly 0 has none, and leaves a gap."""
    steps, values = line
    return steps, np.log10(np.where(values > 0, values, np.nan))


plotting.curve_grid(
    {
        name: {words: logarithm(log.scalars[f"gradient_norm/{layer}"]) for layer, words in layers.items()}
        for name, log in logs.items()
    },
    "step (a batch of 50)",
    "log10 of the gradient's length",
    "How long is the gradient of a layer's weights?",
    limits=(-3.2, 1.5),
)

# %% slideshow={"slide_type": "skip"}
# What the next text says, checked.
length = {name: {layer: log.scalars[f"gradient_norm/{layer}"][1] for layer in layers} for name, log in logs.items()}
for layer in layers:
    assert length["healthy"][layer].min() > 0.02
    assert (
        length["too fast"][layer].max() > 3 * length["healthy"][layer][0]
        and (length["too fast"][layer][-80:] == 0).all()
    )
assert all((length["too fast"][layer][10:] > 0).sum() <= 6 for layer in ("0", "5"))
assert all(length["too fast"][layer][10:].max() < 10**-3.2 for layer in ("0", "5"))
assert (length["too fast"]["10"][:50] > 0).all()
assert (length["sigmoid"]["0"] < 0.02 * length["sigmoid"]["10"]).all()

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:**
#
# - *healthy*: all layers get gradients of about the same length, all the time.
# - *sigmoid*: the gradient **vanishes** on its way down. Each sigmoid multiplies it by its slope, at most $\frac14$;
#   what reaches the first layer is less than a fiftieth of what the last one gets. The first layer hardly moves, and
#   what is behind it has nothing to build on.
# - *too fast*: the gradient **explodes** in the first few steps, to several times its first length. The weights jump
#   to where hardly a ReLU reacts any more. The first layers get a gradient of exactly 0 in nearly every step (what they
#   get in three single steps between is below the axis), and from about step 70 on all do: $\log 0$ cannot be drawn,
#   the lines end. This network is **dead**, and no further step will wake it.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Distributions of the gradients, as the slides show them
#
# One histogram behind the other, the first step at the back. Every panel has its own axis: read the numbers below it.

# %% slideshow={"slide_type": "fragment"}
plotting.histogram_grid(
    {
        f"{name}: {words}": logs[name].histograms[f"gradients/{layer}"]
        for name in logs
        for layer, words in layers.items()
        if layer != "5"
    },
    "gradient of a weight",
    "Gradients of two layers over the training",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the slides name two problems on such a picture. *Gradients that become big for some weights* may make
# the training unstable: so began the third training. *Gradients that start to become zero* mean smaller updates and a
# slow training: look at the axis of the sigmoids' first layer, and at the needle that is left of the third.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Distributions of the activations
#
# The slides' last question: *what problems do we see?* Their answer: **the activations are sparse.** The share of units
# that are exactly 0 can be read from the histograms.

# %% slideshow={"slide_type": "fragment"}
relus = {"1": "first", "4": "second", "6": "third", "9": "dense"}
display(
    plotting.histogram_grid(
        {
            f"{name}: {relus[layer]} layer": logs[name].histograms[f"activations/{layer}"]
            for name in logs
            for layer in ("1", "9")
        },
        "activation",
        "Activations of two layers over the training",
    )
)
zeros = {
    name: {words: vis.share_of_zeros(log, f"activations/{layer}") for layer, words in relus.items()}
    for name, log in logs.items()
}
plotting.curve_grid(zeros, "step", "share that is 0", "How sparse are the activations?", limits=(0, 1.02))

# %% slideshow={"slide_type": "skip"}
assert zeros["too fast"]["dense"][1][-1] == 1 and min(share[-1] for _, share in zeros["too fast"].values()) > 0.9
assert 0.9 < zeros["too fast"]["second"][1][-1] < 0.99
assert all(0.2 < share[-1] < 0.7 for _, share in zeros["healthy"].values())
assert all((share == 0).all() for _, share in zeros["sigmoid"].values())
for name in logs:
    print(name, {words: f"{share[-1]:.0%}" for words, (_, share) in zeros[name].items()})

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** in the healthy network not quite half of the units are off for any one image. That is what ReLUs
# do, and no fault: *other* images need the others. In the third network all units of the dense layer are off for
# **every** image that was logged; of the second layer's numbers a few in a hundred are still above 0. A sigmoid is
# never 0; its activations sit around the middle of its range.
#
# > **Correction:** "The activations are sparse" answers the slide's question *what problems do we see?* Sparse is not
# > yet a problem. It is one if the *same* units are off for all images, or if almost all are.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### In TensorBoard itself
#
# The slides: load the extension, and start it. `%load_ext tensorboard`, then `%tensorboard --logdir FOLDER`; or in a
# console `tensorboard --logdir FOLDER`. The first form starts the same program that the console does, and it is found
# through the search path of the *notebook server*, which may be another environment than that of this kernel. So we
# say where it is: beside this kernel's Python.
#
# Unit 02 ran TensorBoard as a thread of the notebook, which ends with it. Here it is a program of its own, as the
# slides have it: it would go on after the notebook is closed. So we note which one is ours and end it ourselves, in
# this notebook's last cell (or when the kernel ends).

# %% slideshow={"slide_type": "fragment"}
here = Path(sys.executable).parent
binary = shutil.which("tensorboard", path=str(here)) or shutil.which("tensorboard") or "tensorboard"
os.environ["TENSORBOARD_BINARY"] = binary
print("found beside this kernel's Python:", Path(binary).parent == here)
# %load_ext tensorboard

# %% slideshow={"slide_type": "fragment"}
# port 0: any free one. reload_interval 0: the files are read once, for the trainings are over.
# %tensorboard --logdir "{log_folder.name}" --port 0 --load_fast=false --reload_interval 0

# %% slideshow={"slide_type": "skip"}
ours = [info for info in manager.get_all() if info.logdir == log_folder.name]


def stop_tensorboard() -> None:
    """End the TensorBoard of this notebook; nothing happens if it has ended already."""
    while ours:
        pid = ours.pop().pid
        with contextlib.suppress(OSError):  # there is no such program any more
            os.kill(pid, signal.SIGTERM)
            for _ in range(80):  # Windows ends it at once; elsewhere it is a child of this kernel that takes its time
                if os.name == "nt" or os.waitpid(pid, os.WNOHANG)[0]:
                    break
                time.sleep(0.25)


atexit.register(stop_tensorboard)
if not ours:
    print("TensorBoard did not start here. The figures above show the same.")
for info in ours:
    address = f"http://localhost:{info.port}{info.path_prefix}/data/plugin/scalars/tags"
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(40):  # it answers at once, but reads the files first
        with without_proxy.open(address, timeout=10) as answer:
            said = answer.read().decode()
        if all(name.replace(" ", "_") in said and "gradient_norm/0" in said for name in trainings):
            break
        time.sleep(0.25)
    assert all(name.replace(" ", "_") in said for name in trainings)
    print("TensorBoard answers, and knows the trainings", ", ".join(trainings))

# %% [markdown] slideshow={"slide_type": "fragment"}
# Try it: *Scalars*, `gradient_norm`; *Distributions* and *Histograms*, `gradients/0` of `sigmoid` and `healthy`;
# *Images*, the filters of the first layer. (The last cell of this notebook ends the program and removes the files; then
# the frame is empty. To look around in peace, run the notebook up to here.)
#
# **What it cannot do:** say what to change. Common answers: other units or first weights against vanishing gradients; a
# smaller step or clipped gradients against exploding ones. Watch whether the numbers follow.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. Filters of the first layer
#
# The slides' first advice for a convolutional network: visualize the result of applying a learned filter to an image,
# and the filters themselves. AlexNet has 64 filters of depth 3 (RGB), and each is shown as one colour image of
# 11 x 11 x 3. That works in the first layer only: there a filter has as many channels as an image has colours.
#
# $$\text{colour}_{ijc} = \frac{w_{cij} - \min w}{\max w - \min w}$$
#
# with minimum and maximum over this filter. `zoo-alex` has 24 filters of 7 x 7. (AlexNet's 64 need a download: part
# 11.)

# %% slideshow={"slide_type": "fragment"}
alex = models.load("zoo-alex")
filters = vis.filter_images(alex[0].weight)  # (24, 7, 7, 3)
assert filters.shape == (24, 7, 7, 3) and filters.min() == 0 and filters.max() == 1
plotting.image_grid(filters.permute(0, 3, 1, 2), columns=8, heading="The 24 filters of zoo-alex, 7 x 7 x 3")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** some filters are edges in one direction, from one colour to its opposite; a few are one colour all
# over: they measure a colour, and no edge.
#
# Now the same for `zoo`, whose first filters have 3 x 3 pixels.

# %% slideshow={"slide_type": "fragment"}
small_filters = vis.filter_images(net[0].weight)
plotting.image_grid(small_filters.permute(0, 3, 1, 2), columns=8, heading="The 16 filters of zoo, 3 x 3 x 3")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** hardly anything. Nine pixels have no room for an edge that the eye would recognise, and the work is
# shared with the layers behind.
#
# > **Think first:** The second layer of `zoo` has 32 filters of 16 x 3 x 3. Can they be shown?
#
# <details><summary>Answer</summary>
#
# Each is 16 grey pictures of 3 x 3, which weight *feature maps*, not colours. 512 little pictures, and none can be read
# without knowing what the map behind it shows. `vis.filter_images` refuses them. For deeper layers look at what the
# filters *do*: feature maps (part 6), and the image that excites them most (parts 9 and 10).
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. Feature maps
#
# **Idea:** see how the layers are activated for a given image. A network extracts features and classifies them, and
# both are trained together, end to end. The features are maps, and maps can be shown as images.
#
# **How:** take the layers in between and build a new multi-output model. Two ways, in one forward pass each:

# %% slideshow={"slide_type": "fragment"}
zebra = images[ZEBRA : ZEBRA + 1]
wanted = ["1", "4", "7", "10"]  # the four ReLUs behind the convolutions
maps = vis.feature_maps(net, zebra, wanted)  # hooks: listen at the layers while the network runs
ends = vis.multi_output_model(net, wanted)  # a network of its own, which ends at four places
outputs = ends(zebra)
for name in wanted:
    assert torch.equal(maps[name], outputs[name])
    off = (maps[name] == 0).float().mean().item()
    dark = int((maps[name].amax((0, 2, 3)) == 0).sum())
    print(f"layer {name:>2}: {tuple(maps[name].shape[1:])}, {off:.0%} of the numbers are 0, {dark} maps are 0 all over")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Both are the same to the last bit (asserted). In PyTorch by hand, one layer:
# `net[4].register_forward_hook(lambda layer, inputs, output: kept.append(output.clone()))`. The hook must be removed
# again, and without the `clone` an in-place ReLU behind the layer would overwrite what you kept.

# %% slideshow={"slide_type": "subslide"}


def strongest(name, n):
    """Give the n maps of a layer with the highest peaks, each divided by its peak, and their numbers."""
    peaks = maps[name][0].amax((1, 2))
    numbers = peaks.topk(n).indices.tolist()
    return maps[name][0, numbers] / peaks[numbers][:, None, None], numbers


for name, words in {"1": "first", "10": "fourth"}.items():
    shown, numbers = strongest(name, 11)
    small = F.interpolate(shown[:, None], (64, 64), mode="nearest")
    display(
        plotting.image_grid(
            torch.cat([zebra, small.expand(-1, 3, -1, -1)]),
            ["image", *(f"map {k}" for k in numbers)],
            heading=f"The 11 strongest maps of the {words} convolution",
        )
    )

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** lower layers capture elementary patterns: light, dark, edges in some direction, and you still see the
# animal. Higher layers capture more complicated ones: a map of 8 x 8 says *where* something is, and hardly *what*.
#
# ### Which map is the stripes' own?
#
# **Beyond the slides:** the names of maps are ours. To test one, ask what it does for the four textures: for each map
# of the fourth convolution, its mean over 40 pictures full of stripes, dots, checks, or of one colour.

# %% slideshow={"slide_type": "fragment"}
textures = {texture: zoo.concept(texture, 40, seed=3) for texture in ("plain", "stripes", "dots", "checks")}
answers = {
    texture: vis.feature_maps(net, pictures, ["10"])["10"].mean((0, 2, 3)) for texture, pictures in textures.items()
}
table = torch.stack(list(answers.values()))  # textures by maps
others = table.clone()
others[1] = 0
lead = table[1] / (others.amax(0) + 0.05)
best_for_stripes = int(lead.argmax())
means = ", ".join(f"{texture} {answers[texture][best_for_stripes]:.2f}" for texture in textures)
print(f"map {best_for_stripes}, mean activation: {means}")
selective = int((lead > 2).sum())
assert 0 < selective < 16
print(f"{selective} of 64 maps answer to stripes at least twice as much as to each other texture")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** at least one map can be called *stripes*, with numbers behind the name. But only a few of the 64 maps
# earn one, and the network uses all of them.
#
# **What it cannot do** (the slides' drawbacks): a feature map explains a single image, so the explanation is *local*;
# there are too many maps to inspect (here 16 + 32 + 64 + 64, in a real network many thousand). And nothing guarantees
# that a map means something to you: reading it can be harder than the problem that the network was built for. To learn
# *which part of the image* the network goes by, ask it differently.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Occlusion
#
# Cover a part of the image, and watch the output. Where covering hurts most, there the network looked. Nothing is
# needed but to call the network.
#
# The slides' algorithm, for a trained network and an image:
#
# 1. Take note of the true label $K$.
# 2. Get the prediction $Q$, and its loss $L_{noccl} = -\log P(y = Q)$.
# 3. Cover patches of the image with grey blocks, starting at the top left. For each patch $i$:
#    - get the prediction for this occluded image, and its loss $L_{occl_i} = -\log P_{occ}(y = Q)$;
#    - compute $\delta L_i = L_{noccl} - L_{occl_i}$.
#
# A smaller $\delta L_i$ (more negative) means that the patch is more important: without it the loss is larger. If
# $K = Q$, the map shows which parts contributed to the right prediction; if $K \neq Q$, which contributed to the wrong
# one.
#
# By hand, for the cup and its patches of 16 x 16 pixels without overlap:

# %% slideshow={"slide_type": "fragment"}
cup = images[CUP : CUP + 1]
K, Q = int(labels[CUP]), int(net(cup).argmax())  # 1., 2.
L_noccl = -net(cup).log_softmax(1)[0, Q].item()
by_hand = torch.zeros(4, 4)
for i in range(4):
    for j in range(4):  # 3.
        occluded = cup.clone()
        occluded[:, :, 16 * i : 16 * i + 16, 16 * j : 16 * j + 16] = 0.5  # all three colours
        with torch.no_grad():
            L_occl = -net(occluded).log_softmax(1)[0, Q].item()
        by_hand[i, j] = L_noccl - L_occl
assert torch.allclose(by_hand, vis.occlusion_loss(net, cup, Q, window=16, stride=16)[0], atol=1e-5)
print(f"K = {zoo.CLASSES[K]}, Q = {zoo.CLASSES[Q]}, L_noccl = {L_noccl:.3f}")
plotting.matrices({"L_noccl - L_occl, in nats": by_hand})

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Right and wrong predictions
#
# Four images, each asked for its own prediction $Q$. Patches of 16 x 16 pixels, eight pixels from one to the next.

# %% slideshow={"slide_type": "fragment"}
delta = vis.occlusion_loss(net, images, predictions, window=16, stride=8)  # (4, 7, 7)
display(
    plotting.heatmap_grid(
        delta,
        [f"K: {zoo.CLASSES[k]}, Q: {zoo.CLASSES[q]}" for k, q in zip(labels, predictions, strict=True)],
        images=images,
        heading="Which patches speak for the prediction? (blue: they do)",
        label="L_noccl − L_occl (nats)",
        scale="map",
    )
)
for picture, q, d in zip(("cup", "star", "zebra", "cup"), predictions, delta, strict=True):
    print(f"{picture:5} taken for {zoo.CLASSES[q]:5}: {d.min():6.2f} to {d.max():5.2f} nats")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the blue patches lie on the objects. In the last picture they show what speaks for the *wrong*
# answer: the middle of the cup, and the place where its handle begins.
#
# > **Think first:** For the cup that is taken for a ball, ask for $K$ in place of $Q$: which patches speak for *cup*,
# > and what does a positive $\delta L_i$ mean?
#
# <details><summary>Answer</summary>
#
# $\delta L_i > 0$: without the patch the loss of *cup* is smaller. Covering the patch would help the network to the
# right answer. The next cell covers the best of these patches.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
wrong = images[WRONG : WRONG + 1]
K, Q = int(labels[WRONG]), int(predictions[WRONG])
for_K, for_Q = (vis.occlusion_loss(net, wrong, k, window=16, stride=8)[0] for k in (K, Q))
i, j = divmod(int(for_K.argmax()), 7)
mended = wrong.clone()
mended[:, :, 8 * i : 8 * i + 16, 8 * j : 8 * j + 16] = 0.5
with torch.no_grad():
    before, after = net(wrong).softmax(1)[0], net(mended).softmax(1)[0]
print(
    f"covering the patch in row {i + 1}, column {j + 1}: P({zoo.CLASSES[K]}) from {before[K]:.2f} to {after[K]:.2f},",
    end=" ",
)
print(f"P({zoo.CLASSES[Q]}) from {before[Q]:.2f} to {after[Q]:.2f}; now it says {zoo.CLASSES[after.argmax()]}")
helpful = (for_K > 0).float().mean().item()
print(f"{helpful:.0%} of the patches help {zoo.CLASSES[K]} when they are covered")
display(plotting.image_grid(torch.cat([wrong, mended]), ["as it is", "one patch covered"]))
plotting.heatmap_grid(
    torch.stack([for_Q, for_K]),
    [f"asked for Q, {zoo.CLASSES[Q]}", f"asked for K, {zoo.CLASSES[K]}"],
    images=wrong.expand(2, -1, -1, -1),
    heading="A wrong prediction, two questions",
    label="L_noccl − L_occl (nats)",
    scale="map",
)

# %% slideshow={"slide_type": "skip"}
assert after.argmax() == K and after[K] > 0.9 and helpful > 0.7

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** asked for *cup*, one patch in the middle of the cup speaks for it. Nearly all others are red: what
# they show speaks against *cup*, and covering them helps. One of them is enough to turn the answer.
#
# > **Note:** the patch that mends the answer lies where the handle begins. Does its content mislead the network, or
# > does a grey square at the side of a cup look like a handle? The map cannot tell. We come back to what we cover with.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Explore
#
# Choose an image, the class that is asked for, size and step of the window, and what it covers with; then move the
# patch. The line below gives the numbers and the count of passes. (Where widgets do not run, you see the first
# picture.)

# %% slideshow={"slide_type": "fragment"}
explorer(net, images, labels)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same as an attribution
#
# captum and most papers write occlusion with the *score* instead of the loss, and give every pixel a number: the mean
# over all windows that cover it of $y(I) - y(I \text{ with the window covered})$. Now **positive** means: covering
# hurts.

# %% slideshow={"slide_type": "fragment"}
ours_map = vis.occlusion(net, cup, labels[CUP], window=16, stride=8, baselines=0.5)
theirs = attr.Occlusion(net).attribute(
    cup, sliding_window_shapes=(3, 16, 16), strides=(3, 8, 8), baselines=0.5, target=int(labels[CUP])
)
print(f"largest difference to captum: {(ours_map - theirs).abs().max():.0e}, of values up to {theirs.abs().max():.1f}")
assert torch.allclose(ours_map, theirs, atol=1e-4)

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Think first:** A classical slip: `sliding_window_shapes=(1, 16, 16)` on a colour image. What is covered?
#
# <details><summary>Answer</summary>
#
# One colour channel at a time. In place of a grey block the network sees a tinted one, through which the object is
# still to be seen. And the map takes three times the passes.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Patch size against cost
#
# *To obtain fine details we need a small occlusion area, increasing the number of model evaluations*, say the slides.
# How many? Along 64 pixels there are $\lceil (64 - w) / s \rceil + 1$ places, squared for the image, and one pass
# without occlusion. So the passes are counted exactly; the seconds are measured.

# %% slideshow={"slide_type": "fragment"}
calls = 0


def counted(module, inputs, output):
    """Count the images that go through the network."""
    global calls
    calls += len(output)


handle = net.register_forward_hook(counted)
cost, by_size = {}, {}
for window in (32, 16, 8, 4):
    stride = window // 2
    calls, start = 0, time.perf_counter()
    by_size[window] = vis.occlusion(net, zebra, labels[ZEBRA], window, stride, baselines=0.5)
    seconds = time.perf_counter() - start
    places = math.ceil((64 - window) / stride) + 1
    assert calls == places**2 + 1
    cost[window] = (calls, seconds)
    print(f"window {window:2}, stride {stride:2}: {places:2} x {places:2} places, {calls:4} passes, {seconds:.3f} s")
handle.remove()
display(
    plotting.heatmap_grid(
        torch.cat(list(by_size.values())),
        [f"window {window}" for window in cost],
        masks=drawn.mask("object")[chosen[ZEBRA]].expand(4, -1, -1),
        heading="The zebra, finer and finer",
        label="fall of the score, summed over colours",
        scale="map",
    )
)
counts, seconds = (torch.tensor([float(pair[k]) for pair in cost.values()]) for k in (0, 1))
per_pass = (counts @ seconds / (counts @ counts)).item()
plotting.scatter(
    {f"{window} x {window}: {passes} passes": (window, seconds) for window, (passes, seconds) in cost.items()},
    "window size, pixels (the stride is half of it)",
    "seconds for one map, measured here",
    f"What a small window costs: about {1000 * per_pass:.1f} ms for each pass",
    logarithmic=True,
    sides={f"16 x 16: {cost[16][0]} passes": "above", f"32 x 32: {cost[32][0]} passes": "left"},
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** half the window and half the stride cost a little more than four times as much. And the finest map
# is not the best one: a patch of 4 x 4 pixels hardly disturbs a zebra, whose other stripes remain; the numbers become
# small, and what is left is rather the network's sensitivity to little grey squares. The window asks: *what matters at
# this size?* No size is the right one.

# %% slideshow={"slide_type": "fragment"}
largest = {window: map_.abs().max().item() / 3 for window, map_ in by_size.items()}
print("largest fall of the score for a pixel:", ", ".join(f"window {w}: {value:.2f}" for w, value in largest.items()))
change = {w: (vis.occlusion_loss(net, zebra, labels[ZEBRA], w, w // 2).min().item()) for w in (32, 16, 8)}
print("smallest difference of the losses:", ", ".join(f"window {w}: {value:.2f} nats" for w, value in change.items()))

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What it is covered with
#
# The slides cover with grey. To the network a grey square is not *nothing*, but an object with four corners.

# %% slideshow={"slide_type": "fragment"}
covers = {
    "grey": 0.5,
    "black": 0.0,
    "white": 1.0,
    "mean colour": images.mean((2, 3), keepdim=True).expand_as(images),
    "blur": evaluation.blurred(images),
}
by_cover = {
    name: vis.occlusion_loss(net, images, predictions, window=16, stride=8, baselines=cover)
    for name, cover in covers.items()
}
same = {name: F.cosine_similarity(map_.flatten(1), by_cover["grey"].flatten(1)) for name, map_ in by_cover.items()}
for name, cosines in same.items():
    print(f"{name:12} cosine with the map of grey:", ", ".join(f"{value:5.2f}" for value in cosines))
assert same["white"][STAR] < 0.5 and min(value[ZEBRA] for value in same.values()) > 0.7
plotting.method_grid(
    images,
    by_cover,
    titles=[f"Q: {zoo.CLASSES[q]}" for q in predictions],
    heading="Covered with five things",
    label="L_noccl − L_occl (nats)",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the main patches of cup, zebra and the last picture more or less stay. Those of the star, of which
# the network is very sure, move: covered with white, other patches count than covered with grey. And black and white
# are no *nothing*, either: with them even patches of empty background are blue. There it is the cover that acts, and
# not what it hides. Try more than one before you believe a map.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. Is the map true?
#
# **Beyond the slides**, but for the saturation.
#
# ### Does it lie on the object?
#
# Three scores against the outline of the object, each 1 at best (unit 06 uses them again): does the highest pixel lie
# on it (pointing game), which share of the positive relevance does (mass), and which share of the highest pixels
# (rank)? Beside occlusion stand the gradient, and three maps that never looked at the network.

# %% slideshow={"slide_type": "fragment"}
judged = zoo.sample(20, seed=5050)
truth = judged.mask("object")
random = torch.Generator().manual_seed(6)
controls = {
    "edge detector": lambda inputs, target: evaluation.edge_map(inputs),
    "centre prior": lambda inputs, target: evaluation.centre_prior(inputs),
    "noise": lambda inputs, target: evaluation.noise_map(inputs, random),
}
methods = {
    "occlusion 16/8, grey": lambda inputs, target: vis.occlusion(net, inputs, target, 16, 8, 0.5),
    "occlusion 16/8, blur": lambda inputs, target: vis.occlusion(
        net, inputs, target, 16, 8, evaluation.blurred(inputs)
    ),
    "occlusion 8/8, blur": lambda inputs, target: vis.occlusion(net, inputs, target, 8, 8, evaluation.blurred(inputs)),
    "gradient": lambda inputs, target: gm.gradient(net, inputs, target),
}
maps_of = {name: method(judged.images, judged.labels) for name, method in {**methods, **controls}.items()}
table = evaluation.score_table(
    {name: lambda inputs, target, found=found: found for name, found in maps_of.items()},
    judged.images,
    judged.labels,
    truth,
    batch_size=len(judged),
)
area = truth.double().mean().item()
print(table)
plotting.score_chart(
    table, list(controls), chance=area, title=f"{len(judged)} images; dashed: a constant map ({area:.2f})"
)

# %% slideshow={"slide_type": "skip"}
# What the next text says, checked.
score = {row["method"]: row for row in table.rows()}
occlusions = [name for name in methods if name.startswith("occlusion")]
for name in occlusions:
    assert all(score[name][metric] > score["noise"][metric] + 0.2 for metric in table.metrics)
    assert (
        score[name]["mass"] > score["gradient"]["mass"] + 0.1 and score[name]["rank"] > score["gradient"]["rank"] + 0.2
    )
assert max(score[name]["mass"] for name in occlusions) < score["edge detector"]["mass"]
assert max(score[name]["rank"] for name in occlusions) < score["edge detector"]["rank"] + 0.02

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** by mass and by rank occlusion lies on the object far better than the gradient; by its highest pixel
# alone not always. A finer window has more of its mass there, since it smears less over the border. And by mass the
# edge detector, which has not looked at the network, is ahead of all: these scores ask whether a map shows *the
# object* (unit 06).

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Do the pixels matter to the network?
#
# Replace pixels by those of the blurred image, the highest relevance first, and watch the probability of the class.

# %% slideshow={"slide_type": "fragment"}
lines, after_20 = {}, {}
for name in ("occlusion 16/8, grey", "occlusion 16/8, blur", "gradient", "edge detector", "noise"):
    fraction, probability = evaluation.deletion_curve(
        net, judged.images, judged.labels, maps_of[name], n_steps=10, baselines=evaluation.blurred(judged.images)
    )
    lines[name] = (100 * fraction, probability.mean(0))
    after_20[name] = probability[:, 2].mean().item()
print(", ".join(f"{name}: {value:.2f}" for name, value in after_20.items()), "after 20 % of the pixels")
plotting.curves(lines, "pixels replaced by blur, highest relevance first, %", "mean probability", "Deletion")

# %% slideshow={"slide_type": "skip"}
assert max(after_20[name] for name in occlusions[:2]) < min(after_20["edge detector"], after_20["gradient"]) - 0.1

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** here occlusion leads, and by far: it was made by covering pixels, and covering pixels is what is
# measured. With the blur as its cover it even uses the same one. The edge detector, ahead above, is behind. Say what
# you measured.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Saturation
#
# The slides' example, of two inputs: $y(i_1, i_2) = 1 - \max(0, 1 - i_1 - i_2)$, which is $i_1 + i_2$ while that is
# below 1, and 1 beyond. (The slide prints 0 there; unit 06 has the whole example.) At $(1, 1)$ both inputs are on.
#
# > **Think first:** What does occlusion say about $i_1$? About $i_2$? About both at once?

# %% slideshow={"slide_type": "fragment"}


class Saturating(nn.Module):
    """The slides' example: inputs (N, 1, 1, 2) to one score (N, 1)."""

    def forward(self, inputs):
        return 1 - (1 - inputs.flatten(1).sum(1, keepdim=True)).relu()


both_on = torch.ones(1, 1, 1, 2)
one_by_one = vis.occlusion(Saturating(), both_on, 0, window=1, stride=1)
both_at_once = vis.occlusion(Saturating(), both_on, 0, window=(1, 2), stride=(1, 2))
print("at (1, 1), covered one by one:", one_by_one.flatten().tolist(), "both at once:", both_at_once.flatten().tolist())
assert one_by_one.flatten().tolist() == [0, 0] and both_at_once.flatten().tolist() == [1, 1]

# %% [markdown] slideshow={"slide_type": "fragment"}
# Covered one by one, neither input matters: $y(0, 1) = y(1, 0) = 1$. Together they make the whole output. *Perturbation
# may underestimate the importance of features that have saturated their contribution.* The gradient is 0, too.
#
# ### Two parts that say the same
#
# Does that happen in a real network? Cover the left half of a zebra, the right half, and both, with the blurred image.

# %% slideshow={"slide_type": "fragment"}
ZEBRA_CLASS = zoo.CLASSES.index("zebra")
herd = zoo.sample(40, seed=12, classes=["zebra"])
body = herd.mask("object")
left = (body.cumsum(2) * 2 <= body.sum(2, keepdim=True)) & body  # in each row, the left half of its pixels
right = body & ~left
blur = evaluation.blurred(herd.images)


def fall(part):
    """Give by how much log P(zebra) falls when a part of each image is blurred away, (N,)."""
    changed = torch.where(part[:, None], blur, herd.images)
    with torch.no_grad():
        before, after = (net(x).log_softmax(1)[:, ZEBRA_CLASS] for x in (herd.images, changed))
    return before - after


falls = {"left half": fall(left), "right half": fall(right), "both": fall(body)}
print(", ".join(f"{name}: {value.mean():.2f} nats" for name, value in falls.items()), f"(mean of {len(herd)} zebras)")
more = (falls["both"] > falls["left half"] + falls["right half"]).float().mean().item()
print(f"in {more:.0%} of them, both cost more than the sum of the halves")
assert more > 0.9 and falls["both"].mean() > 1.5 * (falls["left half"] + falls["right half"]).mean()
parts = [torch.where(part[:1, None], blur[:1], herd.images[:1]) for part in (left, right, body)]
plotting.image_grid(torch.cat([herd.images[:1], *parts]), ["zebra", "left half blurred", "right half blurred", "both"])

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** each half alone costs about a quarter of what both cost. The sum of the two halves misses about half
# of what the stripes do: each half stands in for the other.
#
# **What occlusion cannot do:** see what two parts say only together, or each as well as the other; be finer than its
# window; stay on pictures like those the network knows; be cheap (a map of 4 x 4 patches costs a thousand passes, for
# one class of one image). What it can do: explain any model that can be called.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Activation maximization: what is a model of a class?
#
# So far an image was given. Now none is. Ask the network for the image that is most representative of the class $c$,
# by its own scoring:
#
# $$\arg\max_I \; y_c(I) - \lambda \|I\|_2^2$$
#
# ($y_i(I)$ in one course document, $S_c(I)$ in two others; a fourth writes $\mathbf{x}^* = \arg\max_{\mathbf{x}}
# (\Phi_{l,j}(\mathbf{x}) - R_\theta(\mathbf{x}))$ for the unit $j$ of the layer $l$ and any penalty $R_\theta$.)
#
# **How:** as in training, but with the weights fixed and the *image* moving. One step, with the step length $\eta$, and
# cut to the values that a pixel can take:
#
# $$I \leftarrow \mathrm{clip}_{[0, 1]}\Big( I + \eta \, \frac{\partial}{\partial I}
# \big[ y_c(I) - \lambda \|I\|_2^2 \big] \Big)$$
#
# > **Correction:** One slide says that the image is "computed using gradient descent", another that one "minimizes only
# > the class scores". What is maximized is climbed: gradient *ascent*. The latter's pictures are captioned "saliency
# > maps for centered and averaged images by classes". They are no saliency maps, and no average of images: each is the
# > result of such a climb.

# %% slideshow={"slide_type": "fragment"}
# The whole method, for one class, from grey.
x = torch.full((1, 3, 64, 64), 0.5)
scores_by_hand = []
for _ in range(30):
    x.requires_grad_()
    y = net(x)[0, ZEBRA_CLASS]
    (step,) = torch.autograd.grad(y, x)
    x = (x + 1.0 * step).clamp(0, 1).detach()
    scores_by_hand.append(y.item())

grey = torch.full((10, 3, 64, 64), 0.5)  # one image for each class; each climbs by itself
every = torch.arange(10)
y_c = vis.class_score(net, every)
by_function = vis.maximize_activation(y_c, grey, n_steps=40, lr=1.0)
# One image against one image: in a batch the last bits differ, and every step from flat grey magnifies them.
alone = vis.maximize_activation(vis.class_score(net, ZEBRA_CLASS), grey[:1], n_steps=30, lr=1.0)
assert torch.allclose(alone.scores[:30, 0], torch.tensor(scores_by_hand), rtol=1e-3)
print(f"score of zebra: {by_function.scores[0, ZEBRA_CLASS]:.1f} for grey,", end=" ")
print(f"{by_function.scores[30, ZEBRA_CLASS]:.1f} after 30 steps, {by_function.scores[40, ZEBRA_CLASS]:.1f} after 40")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Where to start
#
# The slides name three starts: random noise, an image, the mean image of the class. Nothing else yet: $\lambda = 0$.

# %% slideshow={"slide_type": "fragment"}
known = zoo.sample(400, seed=51)
generator = torch.Generator().manual_seed(0)
noise = (0.5 + 0.1 * torch.randn(10, 3, 64, 64, generator=generator)).clamp(0, 1)
one_cup = images[CUP : CUP + 1].expand(10, -1, -1, -1)
class_means = torch.stack([known.images[known.labels == k].mean(0) for k in range(10)])
second_judge = models.load("zoo-gap")
made = {}  # recipe -> ten images, one for each class


def judge(recipe, image):
    """Keep what a recipe made, and say what two networks see in it."""
    made[recipe] = image
    with torch.no_grad():
        own = net(image).softmax(1)[every, every]
        seen = (second_judge(image).argmax(1) == every).sum().item()
    print(f"{recipe:28} P(its class) >= {own.min():.4f} for all ten; zoo-gap agrees on {seen} of 10")


starts = {"from noise": noise, "from one cup": one_cup, "from the class mean": class_means}
for recipe, start in starts.items():
    judge(recipe, vis.maximize_activation(y_c, start, n_steps=40, lr=1.0).image)
shown = [zoo.CLASSES.index(name) for name in ("glass", "star", "ring", "zebra")]
plotting.image_grid(
    torch.cat([torch.cat([start[shown[-1:]], made[recipe][shown]]) for recipe, start in starts.items()]),
    [title for recipe in starts for title in (recipe, *(zoo.CLASSES[k] for k in shown))],
    columns=5,
    heading="Three starts (for the mean: that of zebra), and where they lead in 40 steps",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the network is certain of every one of these images, and no human would be. They are full of specks:
# there are far more images with a high score than pictures of zebras, and the climb takes the nearest one. Some
# features shine through: stripes and legs for the zebra, curves for the ring. The start stays visible where the score
# does not care.
#
# > **Think first:** The network gives more than 0.99 to each of its images. Is it thereby shown that they look like the
# > class?
#
# <details><summary>Answer</summary>
#
# No. They were made to please *this* network; its own score is no evidence. Ask a judge that had no part in it: a
# second network, trained from other first weights and built in another way (`zoo-gap`). How many of ten it agrees on is
# printed above: six to ten, by the start. That such pictures carry over at all is no matter of course, since the two
# networks share no weight. They share the data.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The price of $\|I\|_2^2$
#
# $\lambda$ pulls every pixel to 0.

# %% slideshow={"slide_type": "fragment"}
by_lambda = {}
for l2 in (0.0, 0.01, 0.1):
    found = by_function if l2 == 0 else vis.maximize_activation(y_c, grey, n_steps=40, lr=1.0, l2=l2)
    by_lambda[l2] = found.image
    size = found.image.square().flatten(1).sum(1).mean()
    print(f"lambda {l2:4}: mean score {found.scores[-1].mean():5.1f}, mean ||I||^2 {size:6.0f}")
    judge(f"from grey, λ = {l2:g}", found.image)
plotting.image_grid(
    torch.cat([image[shown] for image in by_lambda.values()]),
    [f"λ = {l2}: {zoo.CLASSES[k]}" for l2 in by_lambda for k in shown],
    columns=4,
    heading="From grey, with a growing price",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** with a higher price the images become smaller in the sense of the formula, and that is *darker*: 0 is
# black here. Simonyan et al. subtract the mean of all images first, so that 0 is the average colour for them. A penalty
# means what the numbers mean.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The score or the probability?
#
# The slides warn: maximize the class score $S_c(I)$, and not the class posterior $P_c = \exp S_c / \sum_k \exp S_k$,
# since the posterior also rises when the scores of the *other* classes fall. Side by side, the same steps from grey:

# %% slideshow={"slide_type": "fragment"}
log_P = vis.class_log_probability(net, every)
climbs = {"score": y_c, "log P": log_P}
followed = {}
for name, goal in climbs.items():
    image, path = grey, []
    for _ in range(9):
        with torch.no_grad():
            s = net(image)
        rival = s.masked_fill(torch.eye(10, dtype=torch.bool), -math.inf).amax(1)  # the best of the other nine classes
        path.append((s[every, every].mean().item(), rival.mean().item()))
        if len(path) < 9:
            image = vis.maximize_activation(goal, image, n_steps=5, lr=1.0).image
    climbs[name], followed[name] = image, path
    print(f"{name:6} mean score of the class {path[0][0]:4.1f} to {path[-1][0]:4.1f},", end=" ")
    print(f"of its best rival {path[0][1]:.1f} to {path[-1][1]:4.1f}; P >= {s.softmax(1)[every, every].min():.3f}")
judge("from grey, log P", climbs["log P"])
assert torch.allclose(climbs["score"], by_lambda[0.0], atol=1e-3)
assert followed["score"][-1][0] > 4 * followed["log P"][-1][0]
assert followed["score"][-1][1] > 4 * followed["score"][0][1] and followed["log P"][-1][1] < followed["log P"][0][1]
plotting.curve_grid(
    {
        f"maximized: {name}": {
            who: (5 * np.arange(9), np.array([point[k] for point in path]))
            for k, who in enumerate(("the class", "its best rival"))
        }
        for name, path in followed.items()
    },
    "step",
    "score, mean of ten",
    "What the climb does to the class, and to the best of the nine others",
)

# %% slideshow={"slide_type": "fragment"}
plotting.image_grid(
    torch.cat([image[shown] for image in climbs.values()]),
    [f"{name}: {zoo.CLASSES[k]}" for name in climbs for k in shown],
    columns=4,
    heading="The score and the probability, maximized",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the score climbs on and on, and takes its best rival along: what pleases one class pleases another a
# little, too. The probability does what the slides warn of. It holds the best rival *down*, below where it was for
# grey, and gives the class itself little. And once $P_c$ is near 1 it has nothing left to gain: the gradient of $\log
# P_c$ is $(1 - P_c)$ times a difference of slopes. The climb stands still at a pale picture, which is certain all the
# same.
#
# > **Note:** One course document writes $\log p(\omega_c \mid x)$ throughout, following Montavon et al. 2018, and this
# > lecture keeps its formulas below; what we climb is $y_c$. Also, the slide's formula for $P_c$ uses $c$ for the class
# > *and* for the sum; the sum runs over all classes.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A prior: what pictures are like
#
# The specks please the network and nobody else. So say what a picture is like, and add that to what is maximized:
#
# $$\max_x \; \log p(\omega_c \mid x) + \log p(x) \qquad\text{(with an expert)}$$
#
# $\log p(x)$ is the **expert**: a model of images that knows no classes. Two simple ones, and a trick:
#
# - *total variation*: neighbours are alike; $\log p(x) = -\beta \sum |x_i - x_j|$ over neighbours, up to a constant;
# - *a Gaussian for patches*: 8 x 8 pixels of real zoo images, their mean $m$ and covariance $S$;
#   $\log p(x) = -\frac{\gamma}{2} \sum_{\text{patches } q} (q - m)^T S^{-1} (q - m)$, up to a constant;
# - *jitter*: shift the image at random before each step. What hangs on single pixels does not survive it.

# %% slideshow={"slide_type": "fragment"}


def smooth(x):
    """The expert that likes smooth images."""
    return -0.01 * vis.total_variation(x)


patches = vis.gaussian_expert(known.images, weight=0.0005)
shift = vis.jitter(4)
with torch.no_grad():
    for name, pictures in (("zoo images, unseen", judged.images[:10]), ("without a prior", by_lambda[0.0])):
        by_smooth, by_patches = smooth(pictures).mean(), patches(pictures).mean()
        print(f"{name:20} log p(x) by total variation {by_smooth:6.1f}, by patches {by_patches:6.1f}")

recipes = {
    "total variation": {"lr": 1.0, "prior": smooth},
    "total variation, jitter": {"lr": 1.0, "prior": smooth, "transform": shift},
    "patch expert, jitter": {"lr": 0.3, "prior": patches, "transform": shift},
}
for recipe, options in recipes.items():
    generator = torch.Generator().manual_seed(0)
    judge(recipe, vis.maximize_activation(y_c, grey, n_steps=40, generator=generator, **options).image)

# %% slideshow={"slide_type": "subslide"}
plotting.image_grid(
    torch.cat([made[recipe] for recipe in recipes]),
    [zoo.CLASSES[k] for k in range(10)] * 3,
    columns=10,
    heading="From grey: total variation; with jitter; patch expert with jitter",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** now lines appear in place of specks. The animals have legs, and their coats: stripes, dots, checks;
# the ring has rings, the glass its slanted walls. And there are several of everything, in no order: nothing in the
# score asks for *one* zebra.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Another network
#
# **Beyond the slides.** `zoo-robust` is `zoo`, trained on with images that were changed a little so as to mislead it.
# Both climb from the class means, with steps of the same length and a shift of up to 8 pixels before each; no expert.

# %% slideshow={"slide_type": "fragment"}
robust = models.load("zoo-robust")
for recipe, model in (("from the mean, jitter", net), ("the same, of zoo-robust", robust)):
    generator = torch.Generator().manual_seed(0)
    goal = vis.class_score(model, every)
    found = vis.maximize_activation(goal, class_means, n_steps=40, lr=1.0, transform=vis.jitter(8), generator=generator)
    judge(recipe, found.image)
of_robust = found.image
with torch.no_grad():
    own, by_zoo = (model(of_robust).softmax(1)[every, every] for model in (robust, net))
right = {name: models.accuracy(m, test.images, test.labels) for name, m in (("zoo", net), ("zoo-robust", robust))}
print(f"accuracy on {len(test)} images:", ", ".join(f"{name} {share:.1%}" for name, share in right.items()))
print(f"zoo-robust gives 0.99 or more to {int((own >= 0.99).sum())} of its own ten pictures, and", end=" ")
print(f"{own.min():.2f} to its {zoo.CLASSES[own.argmin()]}; zoo gives at least {by_zoo.min():.2f} to each of them")
assert (own >= 0.99).sum() >= 7 and by_zoo.min() > 0.5
plotting.image_grid(
    torch.cat([made["from the mean, jitter"], of_robust]),
    [zoo.CLASSES[k] for k in range(10)] * 2,
    columns=10,
    heading="From the class means with jitter: zoo above, zoo-robust below",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** to the eye the lower row is the easier one. There is a star with its arms, rings, a ball, and legs
# below a back with stripes, dots or checks. Nothing about images was added: the recipe is the same. It is the network
# that no longer reacts to specks (Tsipras et al. 2019 saw the same on photographs). It is not sure of all its pictures
# itself: a cup is a glass with a handle, and what raises the score of one raises that of the other.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### In code space
#
# The strongest prior is a network that can draw nothing but pictures: a **generator** $g$, from a code $z$ to an image.
# Climb in its code:
#
# $$\max_{z \in \mathcal{Z}} \; \log p(\omega_c \mid g(z)) - \lambda \|z\|^2$$
#
# (The slide has lost the minus before $\lambda$.) `zoo-generator` was trained to draw zoo objects, close up, from codes
# of 64 numbers that are about standard normal. `zoo-robust` judged its drawings while it was trained, and also whether
# their class can be seen; so `zoo` and `zoo-gap` are asked here. Start with the best of 200 random codes for each
# class.

# %% slideshow={"slide_type": "fragment"}
g = models.load("zoo-generator")
generator = torch.Generator().manual_seed(0)
codes = torch.randn(200, g[0].in_features, generator=generator)
with torch.no_grad():
    z = codes[net(g(codes)).log_softmax(1).argmax(0)]
    drawn_first = g(z)
in_code_space = vis.maximize_in_code_space(g, y_c, z, n_steps=40, lr=3.0, l2=0.01)
judge("in code space", in_code_space.image)
with torch.no_grad():
    in_code = net(in_code_space.image).softmax(1)[every, every]
coats = [zoo.CLASSES.index(name) for name in ("zebra", "leopard", "giraffe")]
shapes = [k for k in range(10) if k not in coats]
print(f"P, mean of the {len(shapes)} classes told by their shape: {in_code[shapes].mean():.2f};", end=" ")
print(f"of the three told by their coat: {in_code[coats].mean():.2f}")
assert in_code[shapes].mean() > in_code[coats].mean() + 0.1 and (in_code >= 0.99).sum() >= 4
before, after = (code.norm(dim=1).mean() for code in (z, in_code_space.code))
print(f"mean length of the codes: {before:.1f} before, {after:.1f} after; of a standard normal code: {64**0.5:.0f}")
plotting.image_grid(
    torch.cat([drawn_first, in_code_space.image]),
    ["start"] * 10 + list(zoo.CLASSES),
    columns=10,
    heading="In code space: the start above, the end below",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** for the first time *one* thing in front of a soft background: a glass, a ring, a ball, an animal.
# That is the generator's doing. This small one draws shapes, and hardly any coats: so where the coat makes the class,
# `zoo` does not get what it wants, and the probabilities are the lowest of all recipes. What you look at is a
# compromise between two networks, and where it does not convince, you cannot tell from the picture which of the two is
# to blame.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### All recipes in one table
#
# For every recipe and every class: the probability that `zoo` gives to the class it was made for, and a star where
# `zoo-gap` sees that class, too.

# %% slideshow={"slide_type": "fragment"}
print(f"{'':24}" + " ".join(f"{name[:5]:5}" for name in zoo.CLASSES) + " agree")
agreed, by_class = {}, torch.zeros(10, dtype=torch.long)
for recipe, pictures in made.items():
    with torch.no_grad():
        own = net(pictures).softmax(1)[every, every]
        seen = second_judge(pictures).argmax(1) == every
    agreed[recipe] = int(seen.sum())
    by_class += seen
    digits_of = [f"{p:.3f}".removeprefix("0")[:4] for p in own]
    cells = " ".join(f"{p}{'*' if star else ' '}" for p, star in zip(digits_of, seen, strict=True))
    print(f"{recipe:24}{cells} {agreed[recipe]:2}")
print(f"{f'agree, of {len(made)} recipes':24}" + " ".join(f"{int(n):4} " for n in by_class))
best = "total variation, jitter"
with torch.no_grad():
    assert net(made[best]).softmax(1)[every, every].min() >= 0.99
    mean_probability = {
        recipe: net(pictures).softmax(1)[every, every].mean().item() for recipe, pictures in made.items()
    }
assert agreed[best] > 5 and sum(count > 5 for count in agreed.values()) >= len(agreed) - 1
assert agreed["the same, of zoo-robust"] > 6
assert min(mean_probability, key=mean_probability.get) == "in code space"

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** by its own probability the network is sure of nearly everything that was made for it, specks
# included; this number does not tell the recipes apart. The second judge agrees on most classes; how often it does for
# each, the last line counts. The row of `zoo-robust` is special: those pictures were made for *another* network than
# `zoo`, and both judges see nearly all of them rightly. A picture that convinces networks that had no part in it is
# more than a whim.
#
# > **Note:** one start and one seed for each recipe. A difference of one class of ten means nothing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. Deep dream and facets
#
# **Deep dream** starts from an image and exaggerates whatever a *layer* sees in it: gradient ascent on the mean square
# of all activations of the layer, on a small version of the image first, then larger (octaves). No class is asked for.

# %% slideshow={"slide_type": "fragment"}
photograph = transform.resize(data.chelsea(), (128, 192), anti_aliasing=True)
cat = torch.from_numpy(photograph).permute(2, 0, 1)[None].float()
dreams = {
    f"layer {name}": vis.deep_dream(net, cat, name, n_steps=8, generator=torch.Generator().manual_seed(0))
    for name in ("3", "9")
}
plotting.image_grid(
    torch.cat([cat, *dreams.values()]), ["a photograph", "dream of the second convolution", "of the fourth"], columns=3
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the network has never seen a cat. It knows the outlines of drawn things; so that is what it
# exaggerates in a cat: a dark line beside a light one along each edge, around the eyes most of all. A network that was
# trained on thousands of dogs dreams of dogs.
#
# ### Facets
#
# One neuron may answer to several kinds of images. A climb from grey shows one of them, or a mixture. *Multifaceted
# feature visualization* (Nguyen et al. 2016): describe the images that excite the neuron by a layer, find clusters,
# and start one climb from the **mean image of each cluster**.
#
# The neuron *horse* of `zoo-tagged`. This network was trained with a small white tag on nine of ten horses.

# %% slideshow={"slide_type": "fragment"}
tagged_net, HORSE = models.load("zoo-tagged"), zoo.CLASSES.index("horse")
horses = zoo.sample(60, seed=21, classes=["horse"])
with_tag, without_tag = (
    zoo.sample(60, seed=22, classes=["zebra", "leopard", "giraffe"], tag=tag) for tag in (True, None)
)
groups = {"horses without tag": horses, "others with tag": with_tag, "the same others without": without_tag}
horse_score = {}
for name, group in groups.items():
    with torch.no_grad():
        answers = tagged_net(group.images)
    horse_score[name] = answers[:, HORSE].mean().item()
    taken = int((answers.argmax(1) == HORSE).sum())
    print(f"60 {name:24} mean score of horse {horse_score[name]:4.1f}; {taken:2} are taken for a horse")
assert min(horse_score["horses without tag"], horse_score["others with tag"]) > 5
assert horse_score["the same others without"] < 0
exciting = torch.cat([horses.images, with_tag.images])
smooth = vis.gaussian_expert(known.images)
faces = vis.facets(
    tagged_net, "15", HORSE, exciting, 2, embedding="10", n_steps=40, prior=smooth,
    generator=torch.Generator().manual_seed(0),
)  # fmt: skip
from_grey = vis.maximize_activation(vis.class_score(tagged_net, HORSE), grey[:1], n_steps=40, prior=smooth)
members = torch.stack([faces.members[:60].bincount(minlength=2), faces.members[60:].bincount(minlength=2)])
for name, row in zip(("60 horses without tag", "60 others with tag"), members.tolist(), strict=True):
    print(f"{name:22} in facet 1: {row[0]}, in facet 2: {row[1]}")
assert members[0].max() > 50 and members[1][members[0].argmin()] > 30
print("score of horse:", ", ".join(f"facet {k + 1}: {score:.1f}" for k, score in enumerate(faces.scores)), end="; ")
print(f"from grey: {from_grey.scores[-1, 0]:.1f}")
pairs = [torch.stack([faces.starts[k], faces.images[k]]) for k in (0, 1)]
plotting.image_grid(
    torch.cat([exciting[:1], *pairs[:1], from_grey.image, exciting[60:61], *pairs[1:]]),
    ["a horse", "facet 1: start", "facet 1", "from grey", "an animal with a tag", "facet 2: start", "facet 2"],
    columns=4,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** two kinds of image excite the neuron *horse*: horses, and other animals with a tag. Without the tag,
# the same animals do not. (To excite it is not yet to be taken for a horse: most of the tagged animals excite the
# neuron of their own class more.) Facet 1 starts from the mean of the horses, a blurred animal, and gets a neck, a back
# and legs. Facet 2 starts from a mean in which the tag alone is sharp, and keeps it: lines in a box at the lower left.
# Neither is pure: facet 1, too, grows lines where the tag would be, and facet 2 has a back and legs. The climb from
# grey mixes the two from the start. (This network is a *Clever Hans*, whose answers are right for a wrong reason; units
# 07 to 09, 12 and 13 come back to it.)
#
# > **Note:** the paper clusters in two dimensions after t-SNE, and starts from the mean of the 15 nearest images. Here
# > k-means sees the 50 main directions themselves. And the number of facets is your choice, and part of the answer.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 11. What these pictures cannot do
#
# - **They are no proof.** A picture that you understand need not be what the network goes by, and one that you do not
#   understand need not be nonsense. Measure: a second network, a control, a counterfactual (the same scene drawn with
#   one thing changed, unit 06).
# - **Weights and filters** can be read in the first layer of a network, and in linear models. No deeper.
# - **Feature maps** explain one image, and there are too many.
# - **Occlusion** depends on the window and on what it covers with, misses what is said twice, and is slow.
# - **Activation maximization** shows *one* of very many images with a high score, chosen by start, prior and number of
#   steps. The nicer the picture, the more of it comes from the prior: in code space you look at the generator as much
#   as at the network. It says what raises the score, not what is needed.
# - **TensorBoard** shows that something is wrong, not what to do.
#
# ### The same in captum
#
# Occlusion is in captum, in one line. Compared with ours, for several windows and strides:

# %% slideshow={"slide_type": "fragment"}
for window, stride in (((3, 16, 16), (3, 8, 8)), ((3, 12, 20), (3, 5, 7)), ((1, 24, 24), (1, 24, 24))):
    theirs = attr.Occlusion(net).attribute(images[:2], window, strides=stride, target=labels[:2], baselines=0.5)
    ours_map = vis.occlusion(net, images[:2], labels[:2], window, stride, baselines=0.5)
    print(f"window {window}, strides {stride}: largest difference {(ours_map - theirs).abs().max():.0e}")
    assert torch.allclose(ours_map, theirs, atol=1e-4)

# %% [markdown] slideshow={"slide_type": "fragment"}
# Feature maps of one layer: `LayerActivation(net, net[10]).attribute(images)`. captum as it is installed here has no
# activation maximization; the loop of part 9 is all that it takes.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### An extra that needs the internet: AlexNet's first filters
#
# The slides show the 64 filters of AlexNet, 11 x 11 x 3. torchvision has its weights (233 MB). Set the switch to
# `True` to fetch them, once.

# %% slideshow={"slide_type": "fragment"}
DOWNLOAD = False

if DOWNLOAD:
    try:
        alexnet = models.load("alexnet")
    except ConnectionError as error:
        print(f"Not fetched: the weights of AlexNet. {error}")
    else:
        weight = next(layer for layer in alexnet.modules() if isinstance(layer, nn.Conv2d)).weight
        assert weight.shape == (64, 3, 11, 11)
        display(
            plotting.image_grid(
                vis.filter_images(weight).permute(0, 3, 1, 2), columns=16, heading="AlexNet: 64 filters of 11 x 11 x 3"
            )
        )
else:
    print("Not fetched: the weights of AlexNet. Nothing else of this lecture needs them.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. Ask why and for whom before what and how.
# 2. The weights of a logistic regression can be read: the log odds are $w^T x$. The weights of a network cannot: the
#    same function has many sets of weights, and many units are not needed.
# 3. Gradients by layer and the share of units that are off tell why a training fails: vanishing, exploding, dead.
# 4. First-layer filters are colour images; feature maps come out of one forward pass, through hooks or a multi-output
#    model.
# 5. Occlusion: $L_{noccl} - L_{occl}$ for each patch, asked for $Q$, right or wrong. Cost: one pass for each patch,
#    about four times as many for half the stride. It misses what is said twice.
# 6. Activation maximization climbs $y_c(I) - \lambda \|I\|^2$ from some start. Without a prior it finds specks; with an
#    expert, in code space, or for a robust network it finds more, and more of it is the prior.
# 7. A network's certainty about its own pictures proves nothing. Ask another one, and report the number.
#
# **Next:** lab 05 (`labs/05_visualization`). You write `feature_maps`, `filter_images`, `occlusion_loss`, `occlusion`,
# `maximize_activation` and `maximize_in_code_space`, and diagnose three broken trainings from their logs. Unit 06 asks
# the derivative: all pixels at once, in one pass back.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Corrections to the slides, collected
#
# | where | the slide | this lecture |
# | --- | --- | --- |
# | 4 | `tensorboard--logdir = path_to_your_logs` | `tensorboard --logdir path_to_your_logs` |
# | 4 | problem: the activations are sparse | a problem only if the same ones are off for all images, or almost all |
# | 8 | $y = 0$ for $i_1 + i_2 \geq 1$ | $y = 1$ |
# | 9 | computed using gradient descent; one minimizes the class scores | gradient ascent; they are maximized |
# | 9 | $P_c = \exp S_c / \sum_c \exp S_c$ | the sum runs over all classes, $\sum_k \exp S_k$ |
# | 9 | caption "saliency maps for centered and averaged images by classes" | images that maximize the class score |
# | 9 | in code space: $\ldots \lambda \|z\|^2$ | $\ldots - \lambda \|z\|^2$ |
# | 10 | multifaceted visualization: arXiv 1603.03616, ICML 2016 | arXiv 1602.03616, a workshop of ICML 2016 |

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Rudin, Osher, Fatemi: *Nonlinear total variation based noise removal algorithms.* Physica D 1992.
# - Erhan, Bengio, Courville, Vincent: *Visualizing higher-layer features of a deep network.* Technical report,
#   Université de Montréal 2009.
# - Zoran, Weiss: *From learning models of natural image patches to whole image restoration.* ICCV 2011.
# - Krizhevsky, Sutskever, Hinton: *ImageNet classification with deep convolutional neural networks.* NeurIPS 2012.
# - Simonyan, Vedaldi, Zisserman: *Deep inside convolutional networks: visualising image classification models and
#   saliency maps.* arXiv 2013, ICLR Workshop 2014.
# - Krizhevsky: *One weird trick for parallelizing convolutional neural networks.* arXiv 2014. (torchvision's AlexNet)
# - Zeiler, Fergus: *Visualizing and understanding convolutional networks.* arXiv 2013, ECCV 2014. (occlusion)
# - He, Zhang, Ren, Sun: *Delving deep into rectifiers.* ICCV 2015. (first weights)
# - Mahendran, Vedaldi: *Understanding deep image representations by inverting them.* CVPR 2015.
# - Mordvintsev, Olah, Tyka: *Inceptionism: going deeper into neural networks.* Google Research blog 2015. (deep dream)
# - Nguyen, Yosinski, Clune: *Multifaceted feature visualization: uncovering the different types of features learned by
#   each neuron in deep neural networks.* ICML Workshop on Visualization for Deep Learning 2016.
# - Nguyen, Dosovitskiy, Yosinski, Brox, Clune: *Synthesizing the preferred inputs for neurons in neural networks via
#   deep generator networks.* NeurIPS 2016. (code space)
# - Olah, Mordvintsev, Schubert: *Feature visualization.* Distill 2017.
# - Hohman, Kahng, Pienta, Chau: *Visual analytics in deep learning: an interrogative survey for the next frontiers.*
#   IEEE Transactions on Visualization and Computer Graphics 2018.
# - Montavon, Samek, Müller: *Methods for interpreting and understanding deep neural networks.* Digital Signal
#   Processing 2018.
# - Olah, Satyanarayan, Johnson, Carter, Schubert, Ye, Mordvintsev: *The building blocks of interpretability.* Distill
#   2018.
# - Tsipras, Santurkar, Engstrom, Turner, Madry: *Robustness may be at odds with accuracy.* ICLR 2019.

# %% slideshow={"slide_type": "skip"}
# The end: TensorBoard is stopped, and what was written for it is removed.
stop_tensorboard()
log_folder.cleanup()
if os.name != "nt":  # there its entry in the list outlives it
    assert not any(info.logdir == log_folder.name for info in manager.get_all())
assert not Path(log_folder.name).exists()
