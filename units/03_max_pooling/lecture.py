# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 03: Max pooling
#
# {{colab_badge}}
#
# A pooling layer looks at a small window and hands on one number. It has no weights, yet the gradient must find its
# way back through it. This unit goes forward, remembers the *switches*, and goes back. About 85 minutes; lab 03
# follows.
#
# **After this unit you can**
#
# - compute max and average pooling forward and backward with pencil and paper, also where windows overlap;
# - say what the derivative is at a tie, what PyTorch takes for it, and why finite differences disagree there;
# - undo a max pooling as far as it can be undone, and measure what is lost;
# - test how far a network bears small shifts, and say at which shifts it is exact;
# - put a strided convolution or a global pool in the place of pooling, and name the price.
#
# You need: the chain rule and convolution (unit 01); the convolution as a matrix (unit 02).

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. What pooling is for | 5 |
# | 2. Forward, and the switches | 10 |
# | 3. Backward: reverse mode | 10 |
# | 4. Overlapping windows add up | 5 |
# | 5. Ties | 10 |
# | 6. The proof: finite differences | 10 |
# | 7. Average pooling | 5 |
# | 8. Explore: window by window | 5 |
# | 9. Unpooling: what is lost | 5 |
# | 10. Small shifts | 5 |
# | 11. A strided convolution in its place | 5 |
# | 12. Global pooling; what pooling cannot do | 5 |
# | 13. The same in torch; what to remember | 5 |
#
# The lecture follows the course slides: their formulas, their symbols, their animation of the backward pass (parts 2,
# 3 and 8), their remark on convolutions with stride (part 11). The other parts go beyond them. Marks in the text:
# **Correction** where the slides slip, **Beyond the slides** where this lecture adds something on the way.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import time

import torch
from IPython.display import display
from torch import nn
from torch.nn import functional as F

from course_utils import evaluation, models, plotting, zoo
from course_utils import gradient_methods as gm
from course_utils import max_pooling as mp
from course_utils.widgets.max_pooling import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. What pooling is for
#
# A convolution says at every place how well the picture fits its kernel. The network `zoo` has 16 such maps of
# 64 x 64 numbers behind its first ReLU. To name the animal it needs ten numbers. On the way the maps have to shrink,
# for two reasons:
#
# - **cost:** half the rows and half the columns are a quarter of the numbers, and of the work of the next layer;
# - **view:** a 3 x 3 kernel on a map of half the size sees an area of twice the width in the picture (unit 04).
#
# A pooling layer takes a window of each map and hands on one number: its largest (*max pooling*) or its mean
# (*average pooling*). Each map is pooled alone, and nothing is learned.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
drawn = zoo.sample(100, seed=303)
images, labels = drawn.images, drawn.labels
maps, signal = {}, images  # the output of each layer, by its number
with torch.no_grad():
    for number, layer in enumerate(net):
        signal = layer(signal)
        maps[number] = signal
scores = signal
accuracy = (scores.argmax(1) == labels).double().mean().item()
assert accuracy >= 0.97

pools = [number for number, layer in enumerate(net) if isinstance(layer, nn.MaxPool2d)]
assert pools == [2, 5, 8, 11]
for number in pools:
    before, after = tuple(maps[number - 1].shape[1:]), tuple(maps[number].shape[1:])
    print(
        f"layer {number:2}: {before} to {after}, {maps[number - 1][0].numel():6} numbers to {maps[number][0].numel()}"
    )
    assert maps[number - 1].numel() == 4 * maps[number].numel()

at_border = drawn.mask("object").clone()
at_border[:, 4:-4, 4:-4] = False
wanted = (labels == zoo.CLASSES.index("zebra")) & ~at_border.flatten(1).any(1)
zebra = int(wanted.nonzero()[0])  # the first one that lies within the picture
channel = int(maps[1][zebra].flatten(1).std(1).argmax())  # the map with the most to see
grey = [maps[number][zebra, channel] / maps[number][zebra, channel].max() for number in (1, 2)]
display(plotting.image_grid(images[zebra : zebra + 1], ["image"]))
plotting.image_grid(
    torch.stack([grey[0], F.interpolate(grey[1][None, None], scale_factor=2)[0, 0]]),
    ["a map behind the first ReLU, 64 x 64", "after max pooling, 32 x 32"],
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the pooled map is coarser, but the bright places stay bright. Where a window holds one strong
# answer, the strong answer wins.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. Forward, and the switches
#
# Let $X_n$ be the map that comes in and $X_{n+1}$ the pooled map. $\Omega(p)$ is the window of the output $p$: the
# set of inputs that it looks at.
#
# $$X_{n+1}(p) = \max_{q \in \Omega(p)} X_n(q)$$
#
# **Meaning:** each output is the largest number in its window.
#
# The **switch** of $p$ is the place where that maximum was found:
#
# $$s(p) = \arg\max_{q \in \Omega(p)} X_n(q), \qquad\text{so that}\qquad X_{n+1}(p) = X_n(s(p)).$$
#
# A place is written as one number, row times width plus column, counted from 0. With windows of $k$ and a stride of
# $t$ a map of $H$ rows gives $\lfloor (H - k) / t \rfloor + 1$ rows; rows at the end that fill no window are left out.
# If nothing is said, the stride is the window's size: the windows lie side by side.
#
# > **Think first:** The first map below, windows of 2 x 2 side by side: what is $X_{n+1}$, and which four switches are
# > remembered?

# %% slideshow={"slide_type": "fragment"}
X = torch.tensor([[1.0, 3.0, 2.0, 0.0], [4.0, 2.0, 1.0, 5.0], [0.0, 1.0, 7.0, 6.0], [2.0, 1.0, 3.0, 8.0]])
X_next, switches = mp.max_pool2d(X[None, None], kernel_size=2)
assert X_next[0, 0].tolist() == [[4, 5], [2, 8]]
assert switches[0, 0].tolist() == [[1 * 4 + 0, 1 * 4 + 3], [3 * 4 + 0, 3 * 4 + 3]] == [[4, 7], [12, 15]]
assert torch.equal(X.flatten()[switches[0, 0]], X_next[0, 0])  # the output is the input at the switch
by_torch = F.max_pool2d(X[None, None], 2, return_indices=True)
assert torch.equal(X_next, by_torch[0]) and torch.equal(switches, by_torch[1])

remembered = torch.zeros(16, dtype=torch.bool)
remembered[switches.flatten()] = True
remembered = remembered.view(4, 4)
print("switches:", switches[0, 0].tolist())
plotting.pooling_step(X, X_next[0, 0], switches=remembered, window=(2, 2, 2, 2), position=(1, 1), heading="Forward")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the last window (green) holds 7, 6, 3 and 8. The output is 8, and the switch is row 3, column 3,
# which is $3 \cdot 4 + 3 = 15$. The framed numbers are the four that were remembered.

# %% [markdown] slideshow={"slide_type": "subslide"}
# > **Think first:** Networks pool behind the ReLU. What changes if the two layers are swapped, and what does it save?
#
# <details><summary>Answer</summary>
#
# Nothing changes in the outputs: ReLU never turns an order around, so the ReLU of the maximum is the maximum of the
# ReLUs. Pooling first leaves a quarter of the numbers for the ReLU. The next cell checks it. (For average pooling it
# is false: the mean of $-1$ and $1$ is 0, that of their ReLUs 0.5.)
#
# </details>

# %% slideshow={"slide_type": "fragment"}
conv_out = maps[0]
assert torch.equal(F.max_pool2d(conv_out.relu(), 2), F.max_pool2d(conv_out, 2).relu())
assert not torch.allclose(F.avg_pool2d(conv_out.relu(), 2), F.avg_pool2d(conv_out, 2).relu(), atol=0.01)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. Backward: reverse mode
#
# The rest of the network makes one number $f$ of the outputs: a loss, or the score of a class. It sends back
# $\frac{\partial f}{\partial X_{n+1}(p)}$ for each output. The chain rule asks one thing of the pooling layer: how
# does $X_{n+1}(p)$ move if $X_n(s)$ moves a little? If $s$ holds the maximum of the window, just as much; if not, not
# at all:
#
# $$\frac{\partial X_{n+1}(p)}{\partial X_n(s)} = \mathbf{1}\Big(s = \arg\max_{q \in \Omega(p)} X_n(q)\Big)$$
#
# where $\mathbf{1}(\cdot)$ is 1 if the condition holds and 0 otherwise. Put in, and summed over all outputs:
#
# $$\frac{\partial f}{\partial X_n(s)} = \sum_p \frac{\partial f}{\partial X_{n+1}(p)}
# \mathbf{1}\Big(s = \arg\max_{q \in \Omega(p)} X_n(q)\Big)$$
#
# **Meaning:** each output hands its gradient to its switch. Only the winner is paid.
#
# > **Correction:** One slide prints the factor $\frac{\partial f}{\partial X_{n+1}(p)}$ twice. It belongs there once.
# > And the sum is missing: where windows overlap, an input can be the switch of several outputs, and gets the sum
# > (part 4). Without overlap the sum has one term at most.

# %% slideshow={"slide_type": "subslide"}
gradient_above = torch.tensor([[10.0, -2.0], [3.0, 1.0]])
gradient_below = mp.max_pool2d_backward(gradient_above[None, None], switches, X.shape)
assert gradient_below[0, 0].tolist() == [[0, 0, 0, 0], [10, 0, 0, -2], [0, 0, 0, 0], [3, 0, 0, 1]]

leaf = X[None, None].clone().requires_grad_()
(by_autograd,) = torch.autograd.grad(F.max_pool2d(leaf, 2), leaf, gradient_above[None, None])
assert torch.equal(gradient_below, by_autograd)

# Two steps of the animation: the last two windows have been gone through, then all four.
half_way = mp.max_pool2d_backward(torch.tensor([[0.0, 0.0], [3.0, 1.0]])[None, None], switches, X.shape)
for arrived, window, position, heading in (
    (half_way, (2, 0, 2, 2), (1, 0), "Reverse mode: the last two windows are done"),
    (gradient_below, (0, 0, 2, 2), (0, 0), "Reverse mode: all windows are done"),
):
    display(
        plotting.pooling_step(X, X_next[0, 0], gradient_above, arrived[0, 0], remembered, window, position, heading)
    )

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the gradient starts as zeros. In reverse order each window puts its number on its switch. In the
# end four numbers have come back, to 4, 5, 2 and 8, and twelve inputs have gradient 0. The four numbers add up to 12
# above and below: max pooling loses no gradient, it only decides who gets it.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same as a matrix
#
# Unit 02 wrote the convolution as a matrix. For one given input, pooling is one, too: row $p$ of $S$ has a single 1, at
# the switch of $p$. Then
#
# $$X_{n+1} = S X_n, \qquad \frac{\partial f}{\partial X_n} = S^T \frac{\partial f}{\partial X_{n+1}}.$$
#
# **Meaning:** forward $S$ picks, backward $S^T$ puts back. But $S$ depends on $X_n$: as soon as another input wins,
# another matrix holds. A network of convolutions, ReLU and max pooling is made of linear pieces (unit 06 uses that).

# %% slideshow={"slide_type": "fragment"}
S = F.one_hot(switches.flatten(), num_classes=16).float()
assert torch.equal(S @ X.flatten(), X_next.flatten())
assert torch.equal(S.T @ gradient_above.flatten(), gradient_below.flatten())
assert (S.sum(1) == 1).all() and (S.sum(0) <= 1).all()
plotting.matrices({"$S$, a row for each of the 4 outputs, a column for each of the 16 inputs": S})

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. Overlapping windows add up
#
# With a stride smaller than the window, one input lies in several windows and can win several times.
#
# > **Think first:** Windows of 2 x 2 with stride 1 on the 3 x 3 map below. The gradients of the four outputs are 1, 2,
# > 3 and 4. What comes back?

# %% slideshow={"slide_type": "fragment"}
peak = torch.tensor([[1.0, 2.0, 0.0], [3.0, 9.0, 4.0], [5.0, 6.0, 7.0]])
four = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
peak_next, peak_switches = mp.max_pool2d(peak[None, None], 2, stride=1)
peak_back = mp.max_pool2d_backward(four[None, None], peak_switches, peak.shape)[0, 0]
assert (peak_next == 9).all() and (peak_switches == 4).all()
assert peak_back[1, 1] == 1 + 2 + 3 + 4 and peak_back.sum() == 10
leaf = peak[None, None].clone().requires_grad_()
assert torch.equal(peak_back, torch.autograd.grad(F.max_pool2d(leaf, 2, 1), leaf, four[None, None])[0][0, 0])
plotting.pooling_step(peak, peak_next[0, 0], four, peak_back, peak == 9, heading="One input wins in four windows")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** 9 wins in all four windows, so it gets $1 + 2 + 3 + 4 = 10$. A program that *writes* the gradient to
# the switch, and does not *add* it, would leave 4 there: the last one wins. That mistake does not show as long as
# windows lie side by side.
#
# > **Beyond the slides:** AlexNet (Krizhevsky et al. 2012) pools with windows of 3 x 3 and stride 2. The authors report
# > an error that is lower by 0.4 % (top 1) and 0.3 % (top 5) than with 2 x 2 and stride 2.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. Ties
#
# If two inputs of a window hold the same maximum, "the" $\arg\max$ does not exist. Who gets the gradient?

# %% slideshow={"slide_type": "fragment"}
tied = torch.tensor([[3.0, 1.0], [3.0, 3.0]])


class EvenMaxPool(nn.Module):
    """Max pooling of 2 x 2 by torch.amax, which shares the gradient among all that hold the maximum."""

    def forward(self, inputs):
        return inputs.unfold(2, 2, 2).unfold(3, 2, 2).amax((-2, -1))


def slope(function, at):
    leaf = at[None, None].clone().requires_grad_()
    return torch.autograd.grad(function(leaf).sum(), leaf)[0][0, 0]


choices = {
    "F.max_pool2d: the first in reading order": slope(lambda x: F.max_pool2d(x, 2), tied),
    "torch.amax: an equal share for each": slope(EvenMaxPool(), tied),
}
first, even = choices.values()
assert first.tolist() == [[1, 0], [0, 0]] and torch.allclose(even, torch.tensor([[1.0, 0.0], [1.0, 1.0]]) / 3)
plotting.matrices({"$X_n$": tied, **choices}, "A tie of three: torch has two answers")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the same function, two gradients, and both are torch's. PyTorch's pooling goes through the window in
# reading order and keeps the first maximum; `torch.amax` shares evenly. The gradient adds up to 1 in both.
#
# **What does the mathematics say?** At a tie $f(x) = \max_q x_q$ has a kink and no derivative. Two things remain.
#
# 1. It has **one-sided derivatives**: for a step in the direction $d$,
#    $f'(x; d) = \lim_{h \downarrow 0} \frac{f(x + h d) - f(x)}{h} = \max_{q \in A} d_q$, where $A$ holds the inputs
#    that tie. Raise one of them, and the maximum follows at once: slope 1. Lower one of them, and the others hold
#    the maximum up: slope 0.
# 2. It has **subgradients**: all $g$ with $f(y) \geq f(x) + g^T (y - x)$ for every $y$. For the maximum these are the
#    mixtures $g_q \geq 0$ for $q \in A$, $g_q = 0$ elsewhere, $\sum_q g_q = 1$.
#
# **Meaning:** "the first one" is a subgradient, "an equal share" is another. Twice the first one minus the last one is
# none, although it adds up to 1: one of its numbers is negative.

# %% slideshow={"slide_type": "subslide"}
generator = torch.Generator().manual_seed(5)
elsewhere = tied + torch.randn(10_000, 2, 2, generator=generator)
value, values = tied.max(), elsewhere.amax((1, 2))
twice_minus = torch.tensor([[2.0, 0.0], [0.0, -1.0]])
for name, g in {"the first one": first, "an equal share": even, "twice, minus": twice_minus}.items():
    missed = values < value + (g * (elsewhere - tied)).sum((1, 2)) - 1e-5
    print(f"{name:15} f(y) lies below the tangent plane for {missed.double().mean():.0%} of 10,000 points y")
    assert missed.any() == (name == "twice, minus")

for direction in (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[-1.0, 0.0], [0.0, 0.0]]), -torch.ones(2, 2)):
    slope_measured = ((tied + 1e-3 * direction).max() - value) / 1e-3
    assert (slope_measured - direction[tied == 3].max()).abs() < 1e-3  # f'(x; d) is the largest d_q of those that tie

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### How often does it happen?
#
# Two numbers with many digits hardly ever tie. But a ReLU makes zeros, and a drawn picture has areas of one colour.

# %% slideshow={"slide_type": "fragment"}
tie_share, above_zero = {}, {}
for number in pools:
    behind_relu = maps[number - 1]
    tie = mp.n_maxima(behind_relu, 2) > 1
    tie_share[number] = tie.double().mean().item()
    above_zero[number] = (tie & (maps[number] > 0)).double().mean().item()
    print(f"pool {number:2}: {tie_share[number]:4.0%} of the windows tie, {above_zero[number]:4.1%} at a value above 0")
assert all(0.25 < share < 0.55 for share in tie_share.values())
assert 0.01 < above_zero[2] < 0.05 and max(above_zero[n] for n in (5, 8, 11)) < 0.005

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** a third to a half of all windows tie, nearly always at 0: the whole window was negative before the
# ReLU.
#
# > **Think first:** Does it matter who wins a tie at 0?
#
# <details><summary>Answer</summary>
#
# Not behind a ReLU: whoever gets the gradient, it stops at the ReLU, whose derivative PyTorch takes as 0 at and
# below 0. For the gradient, only ties above 0 matter.
#
# </details>
#
# Do the few that matter matter? Put `torch.amax` in the place of all four pools and take the gradient of the class
# score by the pixels, once as drawn and once with a grain of noise (0.001) that breaks the ties.

# %% slideshow={"slide_type": "fragment"}
even_net = nn.Sequential(*[EvenMaxPool() if isinstance(layer, nn.MaxPool2d) else layer for layer in net]).eval()
assert torch.equal(even_net(images), net(images))
grain = 0.001 * torch.randn(images.shape, generator=generator)
differences = {}
for name, pictures in {"as drawn": images, "with a grain of noise": images + grain}.items():
    ours, evens = (gm.gradient(model, pictures, labels).flatten(1) for model in (net, even_net))
    differences[name] = ((ours - evens).norm(dim=1) / ours.norm(dim=1)).mean().item()
    print(f"{name:22} the two gradients differ by {differences[name]:.2%} of their size")
assert 0.05 < differences["as drawn"] < 0.3 and differences["with a grain of noise"] < 0.005

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** two networks with exactly the same scores have gradients that differ by more than 5 % of their size
# on these drawn pictures. A grain of noise, and they agree. So before you trust a gradient on pictures with flat
# areas, ask whether it stands on a kink.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. The proof: finite differences
#
# A derivative can be measured without any rule: move one input, see what $f$ does.
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + \varepsilon e_i) - f(x - \varepsilon e_i)}{2 \varepsilon}$$
#
# **Meaning:** the slope of the line through a point a little to the right and one a little to the left. Take
# $f = \sum_p v_p X_{n+1}(p)$ with drawn numbers $v$, so that the gradient from above is $v$. Four poolings, two of them
# with overlap, on a map of numbers that do not tie:

# %% slideshow={"slide_type": "fragment"}
generator = torch.Generator().manual_seed(6)
smooth = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
print("k  stride   largest difference between backward and finite differences")
for k, stride in ((2, 2), (2, 1), (3, 2), (3, 3)):
    outputs, found = mp.max_pool2d(smooth, k, stride)
    v = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    back = mp.max_pool2d_backward(v, found, smooth.shape[2:])
    _, largest = mp.gradient_check(lambda x, k=k, t=stride, v=v: (v * mp.max_pool2d(x, k, t)[0]).sum(), smooth, back)
    print(f"{k}  {stride}        {largest:.0e}")
    assert largest < 1e-7

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** in float64 they agree to about eight digits. What is left is rounding: two numbers near each other
# are subtracted and the result is divided by $2 \cdot 10^{-6}$.
#
# ### At a tie
#
# > **Think first:** For the window `3, 1, 3, 3` of part 5 and $f = 4 \max$ (a gradient of 4 comes from above): what do
# > the central difference, the step to the right alone and the step to the left alone measure at the first 3?


# %% slideshow={"slide_type": "subslide"}
def f(x):
    return 4 * x.max()


measured = {
    "right": mp.numeric_gradient(f, tied, side="right"),
    "left": mp.numeric_gradient(f, tied, side="left"),
    "central": mp.numeric_gradient(f, tied),
}
maximal = (tied == 3).float()
for side, expected in {"right": 4 * maximal, "left": 0 * maximal, "central": 2 * maximal}.items():
    assert torch.allclose(measured[side], expected, atol=1e-6), side
assert abs(measured["central"].sum() - 6) < 1e-5
display(plotting.matrices({"$X_n$": tied, "torch's backward": 4 * first, **measured}, "At a tie no two of them agree"))

step = torch.linspace(-1, 1, 101, dtype=torch.float64)
kink = 4 * torch.clamp(3 + step, min=3)  # the largest of 3 + step and the others, which are 3
plotting.curves(
    {
        "f": (step, kink),
        "slope 4: torch, and the step to the right": (step, 12 + 4 * step),
        "slope 0: the step to the left": (step, torch.full_like(step, 12)),
        "slope 2: the central difference": (step, 12 + 2 * step),
    },
    "step of the first 3",
    "f, 4 times the largest number",
    "One kink, three slopes",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** $f$ is flat to the left and rises to the right. The right difference gives 4 at each of the three
# inputs, the left one 0, the central one their mean, 2. The central differences add up to 6, and those of a subgradient
# of $f$ to 4: so they are not a better gradient than torch's. **A gradient check that fails at a tie does not show a
# mistake.** Check at points without ties, and check ties against the rule: the first one wins.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Near a tie
#
# The runner-up lies $0.001$ below the maximum. Its derivative is 0. Which $\varepsilon$ finds that out?

# %% slideshow={"slide_type": "fragment"}
near = torch.tensor([1.0, 0.999], dtype=torch.float64)
eps = torch.logspace(-6, 0, 61, dtype=torch.float64)
runner_up = torch.stack([mp.numeric_gradient(torch.max, near, eps=e.item())[1] for e in eps])
by_formula = ((eps - 0.001) / (2 * eps)).clamp(min=0)
assert (runner_up - by_formula).abs().max() < 1e-8
assert (runner_up[eps < 0.00099] == 0).all() and runner_up[-1] > 0.49
plotting.curves(
    {"measured": (eps.log10(), runner_up), "truth": (eps.log10(), torch.zeros_like(eps))},
    "size of the step, power of ten",
    "derivative by the runner-up",
    "A step larger than the gap sees the kink",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** as long as the step is smaller than the gap of $10^{-3}$ the answer is exact. Beyond it the runner-up
# overtakes the winner, and the measured slope goes to $\frac{1}{2}$.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. Average pooling
#
# $$X_{n+1}(p) = \frac{1}{|\Omega(p)|} \sum_{q \in \Omega(p)} X_n(q), \qquad
# \frac{\partial f}{\partial X_n(s)} = \sum_{p:\, s \in \Omega(p)} \frac{1}{|\Omega(p)|}
# \frac{\partial f}{\partial X_{n+1}(p)}$$
#
# **Meaning:** $|\Omega(p)|$ is the number of inputs in the window. Forward, everybody has an equal say; backward,
# everybody gets an equal share. Nothing needs to be remembered, and there is no kink: average pooling is linear. It is
# the convolution of each map with a kernel of equal weights, $\frac{1}{4}$ for 2 x 2.

# %% slideshow={"slide_type": "fragment"}
mean_next = mp.avg_pool2d(X[None, None], 2)
mean_back = mp.avg_pool2d_backward(gradient_above[None, None], X.shape, 2)
assert mean_next[0, 0].tolist() == [[2.5, 2], [1, 6]]
assert mean_back[0, 0, 0, 0] == 10 / 4 and mean_back.sum() == gradient_above.sum()
assert torch.equal(mean_next, F.conv2d(X[None, None], torch.full((1, 1, 2, 2), 1 / 4), stride=2))
leaf = X[None, None].clone().requires_grad_()
assert torch.equal(mean_back, torch.autograd.grad(F.avg_pool2d(leaf, 2), leaf, gradient_above[None, None])[0])

v = torch.randn(2, 3, 5, 6, generator=generator, dtype=torch.float64)
back = mp.avg_pool2d_backward(v, smooth.shape[2:], 2, 1)
assert mp.gradient_check(lambda x: (v * mp.avg_pool2d(x, 2, 1)).sum(), smooth, back)[1] < 1e-7
plotting.pooling_step(X, mean_next[0, 0], gradient_above, mean_back[0, 0], heading="Average pooling, 2 x 2")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** 10 comes from above, 2.5 goes to each of the four inputs. The sum is kept, as in max pooling, but
# nobody is left out.
#
# > **Note:** Mean or maximum? A detector that is on at one place of the window and off at the others keeps its full
# > value under the maximum, and a quarter of it under the mean. Boureau, Ponce and LeCun (2010) study this choice,
# > and find the maximum well suited to features that are rarely active.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. Explore: window by window
#
# The animation of the course. Forward the window moves on and each maximum is remembered; then the rest of the
# network sends its gradient; then, in reverse mode, the windows are gone through backward. Press play, or move the
# slider. Try a stride of 1, the map with ties, and the average.

# %% slideshow={"slide_type": "fragment"}
steps = explorer()
steps.set(stride=1)
steps.set(step=45)
assert "adds up: 1 + 4 = 5" in steps.text
display(steps)

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Think first:** In the map "behind a ReLU", with windows of 2 x 2 and stride 2: which inputs get a gradient though
# > they are 0? What becomes of it in the layer below?
#
# <details><summary>Answer</summary>
#
# The first input of each window of zeros. The layer below is the ReLU, and there it ends.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Unpooling: what is lost
#
# Zeiler and Fergus (2014) wanted to send a signal from a deep layer back to the pixels (the deconvnet of unit 06). For
# that they turned the pooling around as far as it goes: put each value at its switch, and 0 everywhere else. That is
# $S^T X_{n+1}$, the backward pass with the maxima in place of the gradient, except that meeting values are not added:
# they are the same number.

# %% slideshow={"slide_type": "fragment"}
back_again = mp.unpool2d(X_next, switches, X.shape)
assert torch.equal(back_again, F.max_unpool2d(X_next, switches, 2))
assert back_again[0, 0].tolist() == [[0, 0, 0, 0], [4, 0, 0, 5], [0, 0, 0, 0], [2, 0, 0, 8]]
assert torch.equal(mp.max_pool2d(back_again, 2)[0], X_next)  # pool again: the same, since nothing here is negative
plotting.matrices({"$X_n$": X, "pooled": X_next[0, 0], "unpooled": back_again[0, 0]}, "Pool and unpool", arrow="→")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Measured on the zoo
#
# How much of a map survives? Three ways back from the pooled map: to the switches; to the first input of each window
# (the switches forgotten); the value copied to all four inputs. The error is $\|\text{map} - \text{rebuilt}\|$ in
# units of $\|\text{map}\|$.


# %% slideshow={"slide_type": "fragment"}
def relative_error(rebuilt, original):
    return ((rebuilt - original).norm() / original.norm()).item()


print("pool   numbers kept   of the non-zero ones   energy kept   error: switches  corner  copies")
kept, error = {}, {}
for number in pools:
    original = maps[number - 1]
    small, where = mp.max_pool2d(original, 2)
    rebuilt = mp.unpool2d(small, where, original.shape[2:])
    corner = torch.zeros_like(original)
    corner[:, :, ::2, ::2] = small
    copies = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    kept[number] = (rebuilt.square().sum() / original.square().sum()).item()
    error[number] = [relative_error(way, original) for way in (rebuilt, corner, copies)]
    of_non_zero = ((rebuilt != 0).sum() / (original != 0).sum()).item()
    print(f"{number:4} {1 / 4:12.0%} {of_non_zero:20.0%} {kept[number]:16.0%}", end="        ")
    print("   ".join(f"{e:6.2f}" for e in error[number]))
    # What is kept is kept exactly, so the squared error is the energy that is gone.
    assert abs(error[number][0] ** 2 - (1 - kept[number])) < 1e-3
assert all(0.4 < share < 0.75 for share in kept.values()) and kept[11] > 2 / 3
assert kept[2] < kept[5] < kept[8] < kept[11]
assert all(switched < min(others) for switched, *others in error.values())
targets = ("to the switches", "to the first of each window", "copied to all four")
picture = plotting.curves(
    {way: ([1, 2, 3, 4], [errors[k] for errors in error.values()]) for k, way in enumerate(targets)},
    "which of the four pools",
    "error, in units of the map's size",
    "What unpooling brings back",
)
picture.axes[0].set_xticks([1, 2, 3, 4])
display(picture)

original, pooled = maps[1][zebra, channel], maps[2][zebra, channel]
rebuilt = mp.unpool2d(*mp.max_pool2d(original[None, None], 2), original.shape)[0, 0]
plotting.image_grid(
    torch.stack([original, rebuilt]) / original.max(), ["the map before pooling", "unpooled to the switches"]
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** pooling keeps one number of four, but the largest one: about half of the energy (the sum of squares)
# in the first layer, and more than two thirds in the last, where most of the map is 0 anyway. What comes back stands
# at the right place, which the switches have kept; in between there are holes. Without the switches the error is larger
# in every layer.
#
# **What is lost** for good: the three other numbers of each window, and with them all that depends on how they lay.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. Small shifts
#
# It is often said that max pooling makes a network *invariant to small shifts*: if the maximum moves within its
# window, the output stays. But at the border of a window it jumps. A signal as in Zhang (2019), windows of 2:

# %% slideshow={"slide_type": "fragment"}
wave = torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1, 0])  # one more, so that it can be shifted by one
pooled = {shift: F.max_pool1d(wave[None, None, shift : shift + 8], 2)[0, 0] for shift in (0, 1)}
assert pooled[0].tolist() == [0, 1, 0, 1] and pooled[1].tolist() == [1, 1, 1, 1]
for shift, name in enumerate(("signal", "the same signal, shifted by one")):
    display(plotting.matrices({name: wave[None, shift : shift + 8], "pooled": pooled[shift][None]}, arrow="→"))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** a step by one pixel, and the pattern is gone. The reason is the stride: the outputs are taken at
# every second place only, and which places these are depends on where the picture lies.
#
# Two words to keep apart. **Invariant**: the output stays. **Equivariant**: the output moves along with the input. A
# convolution with stride 1 is equivariant (unit 01). A layer behind pools with a total stride of $j$ pixels can only
# move along in steps of $j$ pixels.
#
# > **Think first:** The pools of our network have $j = 2, 4, 8, 16$. Shift the picture by 1, 2, 3, ... pixels, shift
# > the pooled maps back by the nearest number of whole cells, and compare with those of the unshifted picture, away
# > from the border. At which shifts is the difference exactly 0?


# %% slideshow={"slide_type": "subslide"}
def shifted(pictures, by):
    """Shift pictures to the right; the left border is repeated."""
    return F.pad(pictures, (by, 0, 0, 0), mode="replicate")[..., : pictures.shape[-1]]


total_stride = {2: 2, 5: 4, 8: 8, 11: 16}
shifts = range(18)
moved = {number: [] for number in pools}
answers = []
with torch.no_grad():
    for shift in shifts:
        signal = shifted(images, shift)
        for number, layer in enumerate(net):
            signal = layer(signal)
            if number in total_stride:
                cells, columns = round(shift / total_stride[number]), signal.shape[-1]
                edge = 2 if number < 11 else 1
                now = signal[..., edge + cells : columns - edge]
                moved[number].append(relative_error(now, maps[number][..., edge : columns - edge - cells]))
        answers.append(signal)
for number, j in total_stride.items():
    for shift in shifts:
        assert (moved[number][shift] < 1e-5) == (shift % j == 0)
assert 0.6 < max(map(max, moved.values())) < 0.7
picture = plotting.curves(
    {f"pool {number}, total stride {j}": moved[number] for number, j in total_stride.items()},
    "shift of the picture, in pixels",
    "change of the maps, in units of their size",
    "Equivariant only in steps of the total stride",
)
picture.axes[0].set_xticks(shifts[::2])
display(picture)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** each curve comes down to exactly 0 at the multiples of its total stride, and nowhere else. In
# between the maps change by up to two thirds of their size. That is what "invariant to small shifts" hides.
#
# Now the answer of the whole network, and four ways to shrink the first map, each followed over a shift by 1 pixel:

# %% slideshow={"slide_type": "fragment"}
answer_stays = torch.stack([answer.argmax(1) == scores.argmax(1) for answer in answers]).double()  # (shifts, images)
last_column = torch.tensor([int(mask.any(0).nonzero().max()) for mask in drawn.mask("object")])
inside = last_column + shifts[-1] < 64  # the object is still whole after the largest shift
lines = {
    "all images": answer_stays.mean(1),
    "objects that stay in the picture": answer_stays[:, inside].mean(1),
    "objects that the border cuts": answer_stays[:, ~inside].mean(1),
}
for shift in (1, 4, 8, 16):
    shares = ", ".join(f"{name} {share[shift]:.0%}" for name, share in lines.items())
    print(f"shift {shift:2}, the same answer as before: {shares}")
whole, cut = (lines[f"objects that {what}"] for what in ("stay in the picture", "the border cuts"))
assert lines["all images"][1] >= 0.95 and whole.min() > 0.85 and cut[16] < 0.8 < whole[16]


def blur_pool(inputs):
    """MaxBlurPool of Zhang (2019): the maximum at stride 1, then a blur with 1, 2, 1, then every second place."""
    dense = F.max_pool2d(F.pad(inputs, (0, 1, 0, 1), mode="replicate"), 2, stride=1)
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel / 16).expand(inputs.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(dense, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=inputs.shape[1])


with torch.no_grad():
    moved_map = net[1](net[0](shifted(images, 1)))
changes = {}
for name, shrink in {
    "not pooled": lambda x: x,
    "every second place, no pooling": lambda x: x[:, :, ::2, ::2],
    "max pooling": lambda x: F.max_pool2d(x, 2),
    "average pooling": lambda x: F.avg_pool2d(x, 2),
    "max, blur, every second place": blur_pool,
}.items():
    changes[name] = relative_error(shrink(moved_map)[..., 2:-2], shrink(maps[1])[..., 2:-2])
    print(f"{name:31} changes by {changes[name]:.0%} of its size when the picture moves by 1 pixel")
assert max(changes["max pooling"], changes["average pooling"]) < changes["every second place, no pooling"]
assert changes["max, blur, every second place"] == min(changes.values())
picture = plotting.curves(
    lines,
    "shift of the picture, in pixels",
    "share with the same answer as unshifted",
    "The answers hold longer than the maps",
)
picture.axes[0].set_xticks(shifts[::2])
display(picture)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the answer is steadier than the maps: the layers behind have *learned* to bear it, from pictures
# with objects at all places. Most of what is lost at large shifts has another cause: these objects leave the picture
# on the right. Pooling alone does it only in part: the max-pooled and the averaged map change less than the bare every
# second place, and the blurred maximum least. Zhang's remedy is that last line: a low-pass filter before places are
# dropped, as signal processing has always asked.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 11. A strided convolution in its place
#
# If dropping places is what shrinks the map, a convolution can do it: with stride 2. It then *learns* how to
# summarise its window. Springenberg et al. (2015) built a network of convolutions alone (*the all convolutional net*)
# and found that max pooling can be replaced by a convolution with stride *without loss in accuracy on several image
# recognition benchmarks*. Two ways:
#
# - **stride in the convolution:** drop the pool, let the convolution before it take steps of 2: no new weights, and a
#   quarter of the work, but three of four answers are never computed;
# - **a convolution in place of the pool:** 3 x 3 with stride 2 and a ReLU of its own: more weights.
#
# We train both beside the two poolings, for real. All maps have the same sizes: 3 blocks of convolution 3 x 3, ReLU,
# shrink by 2, batch norm, and a dense layer in the end. 3,000 images of the zoo, made 32 x 32 by average pooling, 4
# epochs, two seeds each.


# %% slideshow={"slide_type": "subslide"}
def network(shrink):
    layers = []
    for before, after in ((3, 12), (12, 24), (24, 48)):
        step = 2 if shrink == "stride in the convolution" else 1
        layers += [nn.Conv2d(before, after, 3, step, padding=1), nn.ReLU()]
        if shrink == "max pooling":
            layers += [nn.MaxPool2d(2)]
        elif shrink == "average pooling":
            layers += [nn.AvgPool2d(2)]
        elif shrink == "convolution in place of the pool":
            layers += [nn.BatchNorm2d(after), nn.Conv2d(after, after, 3, stride=2, padding=1), nn.ReLU()]
        layers += [nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 4 * 4, 10))


def train(shrink, seed, x, y, epochs=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network(shrink).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01, fused=True)
        n_steps = epochs * -(-len(x) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=n_steps)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(x[batch].contiguous(memory_format=torch.channels_last)), y[batch]).backward()
                optimizer.step()
                schedule.step()
    return model.eval()


ways = ("max pooling", "average pooling", "stride in the convolution", "convolution in place of the pool")
weights = {way: sum(p.numel() for p in network(way).parameters()) for way in ways}
with torch.no_grad():
    assert {network(way)[:-2].eval()(torch.zeros(1, 3, 32, 32)).shape for way in ways} == {(1, 48, 4, 4)}
assert weights["max pooling"] == weights["average pooling"] == weights["stride in the convolution"]

# %% slideshow={"slide_type": "fragment"}
training, unseen = zoo.sample(3_000, seed=311), zoo.sample(500, seed=models.TEST_SEED)
x, x_unseen = F.avg_pool2d(training.images, 2), F.avg_pool2d(unseen.images, 2)
results, seconds = torch.zeros(len(ways), 3, 2, dtype=torch.float64), {}
for row, way in enumerate(ways):
    start = time.process_time()
    for seed in (0, 1):
        model = train(way, seed, x, training.labels)
        with torch.no_grad():
            answer, answer_moved = model(x_unseen).argmax(1), model(shifted(x_unseen, 1)).argmax(1)
            on_training = model(x[:500]).argmax(1) == training.labels[:500]
        results[row, 0, seed] = (answer == unseen.labels).double().mean()
        results[row, 1, seed] = on_training.double().mean()
        results[row, 2, seed] = (answer == answer_moved).double().mean()
    seconds[way] = (time.process_time() - start) / 2
    shares = ", ".join(f"{share:.0%}" for share in results[row, 0])
    print(f"{way:33} {weights[way]:6} weights, {seconds[way]:4.1f} s of training, accuracy {shares}")
accuracy = dict(zip(ways, results[:, 0].mean(1).tolist(), strict=True))
assert accuracy["max pooling"] > max(value for way, value in accuracy.items() if way != "max pooling")
assert accuracy["stride in the convolution"] < accuracy["average pooling"] - 0.1
assert abs(accuracy["convolution in place of the pool"] - accuracy["average pooling"]) < 0.15
assert results[2, 1].mean() > accuracy["stride in the convolution"] + 0.2 and 0.3 < results[2, 2].mean() < 0.6
assert weights["convolution in place of the pool"] > 2 * weights["max pooling"]
plotting.score_chart(
    evaluation.ScoreTable(ways, ("unseen images", "training images", "same after 1 pixel"), results),
    chance={"unseen images": 0.1, "training images": 0.1},
    title="Four ways to shrink, two seeds each: share of right answers, and of answers that a shift keeps",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** with so few images and so short a training max pooling is ahead. The network that takes steps in
# its convolutions has as many weights and needs about half the time. But it learns the training images more than the
# classes, and changes about every second answer when the picture moves by one pixel: each of its maps looks at every
# second place only, so that the same stripe at an odd and at an even place is not the same to it. The convolution in
# place of the pool has more than twice the weights and comes near average pooling, not max pooling.
#
# That does not contradict Springenberg et al. They trained wider networks for hundreds of epochs on 50,000 images and
# more. What pooling *assumes* (the strongest answer counts, wherever in the window it is) a convolution has to *learn*,
# and that takes data. Today's networks mostly do: ResNet (He et al. 2016) pools once after its first convolution,
# shrinks by strides from there on, and averages over the whole map at its end.
#
# > **Beyond the slides:** Two seeds and one learning rate make no benchmark. Change the number of images in the cell
# > above, and see which gap closes first.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 12. Global pooling
#
# Take the whole map for the window: one number a map. Lin, Chen and Yan (2014) put the *global average pool* in the
# place of the dense layers at the network's end. Three consequences: few weights, any size of picture, and the place
# does not count any more.

# %% slideshow={"slide_type": "fragment"}
gap = models.load("zoo-gap")
dense_weights = {"zoo": net[13:], "zoo-gap": gap[13:]}
dense_weights = {name: sum(p.numel() for p in head.parameters()) for name, head in dense_weights.items()}
assert dense_weights == {"zoo": 1024 * 64 + 64 + 64 * 10 + 10, "zoo-gap": 96 * 10 + 10}
print("weights behind the last maps:", dense_weights)

with torch.no_grad():
    last = gap[:13](images)
    rolled = last.roll((3, 5), dims=(2, 3))  # the same maps, moved around the corner
    assert torch.allclose(gap[13:](rolled), gap[13:](last), atol=1e-4)
    at_size = {}
    for size in (48, 64, 80, 96, 128):
        margin = (size - 64) // 2
        pictures = F.pad(images, (margin,) * 4, mode="replicate" if margin > 0 else "constant")
        at_size[size] = (gap(pictures).argmax(1) == labels).double().mean().item()
        print(f"{size:3} x {size:3} pixels: {at_size[size]:4.0%} right")
    middle = gap[:13](pictures)[..., 4:12, 4:12]  # at 128 x 128 the maps are 16 x 16; the picture lies in their middle
    in_middle = (gap[13:](middle).argmax(1) == labels).double().mean().item()
    print(f"128 x 128 pixels, the mean over the middle of the maps alone: {in_middle:.0%} right")
assert min(at_size[size] for size in (64, 80, 96)) > 0.95 and at_size[128] < 0.7 and in_middle > 0.95

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the network runs on every size without a change. (At 48 the border is cut off; at 80 and more the
# border pixels are repeated outwards.) It bears a border of 16 pixels on each side, but at 128 x 128 it fails: the
# object's share of the picture is now a quarter of what it was, and the *mean* is diluted by what lies around it. The
# maps themselves are as good as before: over their middle alone the mean gives the right answers again. A global
# maximum would not be diluted; it would also not tell one stripe from twenty. Unit 06 uses the global average pool for
# class activation maps.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## What pooling cannot do
#
# - **It cannot tell how the numbers lay.** Shuffle the four numbers within each window, and the output is the same.
# - **It is not invariant to shifts** beyond what part 10 measured, and not at all to turns and sizes.
# - **It cannot be undone** (part 9).
# - **It leaves most inputs without a gradient**: three of four at each pool.

# %% slideshow={"slide_type": "fragment"}
first_map = maps[1]
windows = first_map.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
order = torch.rand(windows.shape, generator=generator).argsort(-1)
shuffled = windows.gather(-1, order).unflatten(-1, (2, 2)).transpose(3, 4).reshape(first_map.shape)
with torch.no_grad():
    assert not torch.equal(shuffled, first_map) and torch.equal(net[2:](shuffled), net[2:](first_map))
changed = relative_error(shuffled, first_map)
print(f"shuffled within the windows, the first maps change by {changed:.0%} of their size, the scores by 0")
assert changed > 0.3

leaf = first_map.clone().requires_grad_()
(back,) = torch.autograd.grad(net[2:](leaf).gather(1, labels[:, None]).sum(), leaf)
reached = (back != 0).double().mean().item()
print(f"{reached:.0%} of the numbers behind the first ReLU get a gradient")
assert reached <= 0.25
plotting.image_grid(
    torch.stack([first_map[zebra, channel], shuffled[zebra, channel]]) / first_map[zebra, channel].max(),
    ["a map of the zebra", "shuffled within its windows"],
    heading="The network cannot tell these apart",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 13. The same in torch
#
# One line each.

# %% slideshow={"slide_type": "fragment"}
batch = torch.randn(2, 3, 7, 6, generator=generator)
small, where = mp.max_pool2d(batch, 3, 2)
assert all(map(torch.equal, (small, where), nn.MaxPool2d(3, 2, return_indices=True)(batch)))
assert torch.equal(mp.unpool2d(small, where, (7, 6)), nn.MaxUnpool2d(3, 2)(small, where, output_size=(7, 6)))
assert torch.allclose(mp.avg_pool2d(batch, 3, 2), nn.AvgPool2d(3, 2)(batch), atol=1e-6)
assert torch.allclose(batch.mean((2, 3), keepdim=True), nn.AdaptiveAvgPool2d(1)(batch), atol=1e-6)
assert torch.equal(batch.amax((2, 3), keepdim=True), nn.AdaptiveMaxPool2d(1)(batch))
padded = F.pad(batch, (1, 1, 1, 1), value=-torch.inf)  # torch pads a max pool with minus infinity, which never wins
assert torch.equal(mp.max_pool2d(padded, 3, 2)[0], F.max_pool2d(batch, 3, 2, padding=1))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. Max pooling hands on the largest number of each window and remembers its place, the switch.
# 2. Backward each output hands its gradient to its switch. Where windows overlap, gradients **add up**.
# 3. At a tie there is no derivative, but there are subgradients. PyTorch's pooling takes the first maximum in reading
#    order. Finite differences measure something else there, and are right everywhere else.
# 4. Average pooling is linear: an equal say forward, an equal share backward.
# 5. Unpooling puts the maxima back at their switches: a quarter of the numbers, about half of the energy or more.
# 6. A pooled network moves along with its input only in steps of its total stride. Between them it is steady as far
#    as it has learned to be.
# 7. A strided convolution can replace pooling; what pooling assumes, it must learn from data.
#
# **Next:** lab 03 (`labs/03_max_pooling`). You write `max_pool2d`, `max_pool2d_backward`, `unpool2d`, the backward
# pass of average pooling and a gradient check. Unit 04 asks how far a unit behind pools can see.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Corrections to the slides, collected
#
# | where | the slide | this lecture |
# | --- | --- | --- |
# | 3 | the factor $\partial f / \partial X_{n+1}(p)$ of the pooling rule twice | once |
# | 3, 4 | no sum over the windows | the sum over all windows whose switch is $s$ |
# | 5 | "the" $\arg\max$ | at a tie there are several; torch takes the first |

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Boureau, Ponce, LeCun: *A theoretical analysis of feature pooling in visual recognition.* ICML 2010.
# - Krizhevsky, Sutskever, Hinton: *ImageNet classification with deep convolutional neural networks.* NIPS 2012.
#   (AlexNet, overlapping pooling)
# - Zeiler, Fergus: *Visualizing and understanding convolutional networks.* arXiv 2013, ECCV 2014. (switches,
#   unpooling)
# - Simonyan, Vedaldi, Zisserman: *Deep inside convolutional networks: visualising image classification models and
#   saliency maps.* arXiv 2013, ICLR Workshop 2014.
# - Lin, Chen, Yan: *Network in network.* ICLR 2014. (global average pooling)
# - Springenberg, Dosovitskiy, Brox, Riedmiller: *Striving for simplicity: the all convolutional net.* arXiv 2014,
#   ICLR Workshop 2015.
# - He, Zhang, Ren, Sun: *Deep residual learning for image recognition.* CVPR 2016.
# - Zhang: *Making convolutional networks shift-invariant again.* ICML 2019.
