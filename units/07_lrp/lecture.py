# %% [markdown] slideshow={"slide_type": "slide"}
# # Unit 07: Layer-wise relevance propagation
#
# {{colab_badge}}
#
# Unit 06 asked what would *change* a score. This unit asks where the score *came from*, and keeps accounts: what a
# layer receives it hands down, until every pixel has its share. About 140 minutes, or two lectures of 70; lab 07
# follows.
#
# **After this unit you can**
#
# - say what conservation means, show that saliency does not have it, and compute what LRP itself loses and where;
# - compute $z$, $s$, $c$ and $R$ with pencil and paper, in vectors, and as a gradient;
# - write down the rules 0, $\epsilon$, $\gamma$, $z^+$, $z^{\mathcal{B}}$ and $\alpha\beta$, and choose one for each
#   layer;
# - find the faults that LRP code is prone to, among them some on the slides;
# - explain right and wrong answers of a network on handwritten digits, and check the explanation by occlusion;
# - say what LRP cannot do, with numbers.
#
# You need: the backward pass of unit 06, the switches of max pooling (unit 03), occlusion (unit 05).

# %% [markdown] slideshow={"slide_type": "subslide"}
# | part | minutes |
# | --- | ---: |
# | 1. Sharing out a score | 5 |
# | 2. Conservation, and why saliency is not conservative | 10 |
# | 3. A network of 2-3-1, number by number | 20 |
# | 4. The code on the slide | 15 |
# | 5. The rules | 20 |
# | 6. Layers without weights | 10 |
# | 7. A whole network: which rule in which layer | 15 |
# | 8. Handwritten digits: a 4, wrong answers, occlusion | 15 |
# | 9. Explore, score, compare with the truth | 15 |
# | 10. What LRP cannot do | 10 |
# | 11. The same in captum and zennit; what to remember | 5 |
#
# The lecture follows the course slides: their formulas, their symbols, their order. Marks in the text:
# **Correction** where the slides slip, **Beyond the slides** where this lecture adds something.

# %%
# {{setup}}

# %% slideshow={"slide_type": "skip"}
import copy
import importlib.util
import warnings

import torch
from captum import attr
from captum.attr._utils import lrp_rules
from IPython.display import display
from torch import nn
from torch.nn import functional as F

from course_utils import evaluation, models, plotting, visualization, zoo
from course_utils import gradient_methods as gm
from course_utils.lrp import AlphaBeta, Epsilon, Gamma, ZBox, ZPlus, composite, conservation, lrp, propagate
from course_utils.widgets.lrp import explorer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1. Sharing out a score
#
# The slides divide the methods in two. **Model-based** methods show what a concept looks like to the network: what is
# a typical "dog"? (Activation maximisation, unit 05.) **Decision-based** methods say why the network assigned a concept
# to *this* input: why is this one a "dog"? Deconvnet, occlusion, saliency maps are decision-based, and so is
#
# **layer-wise relevance propagation (LRP):** start with the score of a class and send it backward through the
# network with purposely designed rules. Each neuron shares out what it received among the neurons that fed it.
#
# | | gradient (unit 06) | LRP |
# | --- | --- | --- |
# | what goes backward | a slope: score per unit of activation | a share of the score |
# | starts at the output with | 1 | the score $f(x)$ |
# | at a connection it is multiplied by | the weight $w_{jk}$ | the share of $a_j w_{jk}$ in all that $k$ received |
# | unit of a pixel's value | score per unit of pixel value | score |
# | passes | one forward, one backward | the same |

# %% [markdown] slideshow={"slide_type": "fragment"}
# The patients of today: pictures of the drawn *zoo* with the network `zoo`, and real digits with the network `digits`.

# %% slideshow={"slide_type": "fragment"}
net = models.load("zoo")
drawn = zoo.sample(60, seed=606)
chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("cup", "star", "ring", "zebra")]
images, labels, objects = drawn.images[chosen], drawn.labels[chosen], drawn.mask("object")[chosen]
names = [zoo.CLASSES[label] for label in labels]
ZEBRA = names.index("zebra")

digits_net = models.load("digits")
digit_images, digit_labels = models.digits(train=False)  # held out: the network was not trained on these
four = digit_images[digit_labels == 4][:1]

with torch.no_grad():
    own_scores = net(images).gather(1, labels[:, None])[:, 0]
    assert (net(images).argmax(1) == labels).all() and digits_net(four).argmax(1) == 4
    score_of_four = digits_net(four)[0, 4].item()
display(plotting.image_grid(images, [f"{n}: score {s:.1f}" for n, s in zip(names, own_scores, strict=True)]))
plotting.image_grid(four, [f"4: score {score_of_four:.1f}"])

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2. Conservation, and why saliency is not conservative
#
# A saliency map says which pixels need to be changed the least to affect the class score the most. It does not
# highlight which pixels cause the prediction "4". One way to make "cause" precise: an explanation $R$ is
# **conservative** if it shares out the score, nothing more and nothing less,
#
# $$f(x) = \sum_{i=1}^{V} R(x_i)$$
#
# over the $V$ pixels. LRP asks for this in *every* layer. With $R_d^{(l)}$ the relevance of the neuron $d$ of the layer
# $l$, which has $V(l)$ neurons, the pixels being the layer 1:
#
# $$f(x) = \cdots = \sum_{d=1}^{V(l+1)} R_d^{(l+1)} = \sum_{d=1}^{V(l)} R_d^{(l)} = \cdots
# = \sum_{d=1}^{V(1)} R_d^{(1)}$$
#
# **Meaning:** like water in pipes, or current at a node: what flows into a layer flows out of it.
#
# > **Correction:** The slide's last sum runs over $i$ but adds up $R_d^{(1)}$; its index is $d$. And the slide puts the
# > formula of conservation beside "Problem" without saying which side fails: the formula is what saliency does *not*
# > fulfil.

# %% slideshow={"slide_type": "fragment"}
w_four = gm.gradient(digits_net, four, 4)
R_four = lrp(digits_net, four, 4, Epsilon(1e-6))
print(f"score of '4'            {score_of_four:6.2f}")
print(f"sum of saliency |w|     {w_four.abs().sum():6.2f}")
print(f"sum of the gradient w   {w_four.sum():6.2f}")
print(f"sum of LRP-epsilon      {R_four.sum():6.2f}")
assert w_four.abs().sum() > 5 * score_of_four and w_four.sum() < 0 and 0.4 < R_four.sum() / score_of_four < 0.9
plotting.method_grid(
    four, {"gradient $w$": w_four, "saliency $|w|$": w_four.abs(), "LRP-$\\epsilon$": R_four}, heading="The same 4"
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** neither sum of slopes has anything to do with the score, and the slopes are as strong on paper as on
# ink. LRP-$\epsilon$ lies on the ink. Its sum is of the score's size, but it is *not the score* either. Where the rest
# went is the red thread of this lecture: we shall find it to the last digit.

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Think first:** The slides' classifier with the class P outside of a circle, $f(x, y) = x^2 + y^2 - 9$, has the
# > gradient $[2x \;\; 2y]$ (unit 06). At $(3, 4)$, what is $f$, what is the sum of the gradient, what is that of
# > saliency? And at $(0, 0)$, where $f = -9$?
#
# <details><summary>Answer</summary>
#
# At $(3, 4)$: $f = 16$, both sums are 14. At $(0, 0)$: both are 0, "nothing matters", while the score is as low as it
# can get. A sum of slopes is no share of the value: it does not even have its unit.
#
# </details>

# %% [markdown] slideshow={"slide_type": "fragment"}
# **Why a gradient cannot be conservative:** by Taylor $S_c(I) \approx w^T I + b_1$. The terms that add up to the score
# are $w_i I_i$ and the constant, not $w_i$. For a linear model without constant, input x gradient *is* conservative.
# LRP carries this idea, contribution = weight times activation, through one layer at a time.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3. A network of 2-3-1, number by number
#
# Two inputs, three hidden neurons with ReLU, one output. $a_j$ is the activation of a neuron $j$, $w_{jk}$ the weight
# from $j$ to $k$, and a bias is the weight $w_{0k}$ of the formal neuron with $a_0 = 1$ (as in unit 01). (The slides
# turn the letters here: unit 01 writes $y_j$, $\xi_k$ and $w_{kj}$ for $a_j$, $z_k$ and $w_{jk}$, and its threshold is
# $-b_k$.) Forward:
#
# $$z_k = \sum_{0,j} a_j w_{jk}, \qquad a_k = \max(0, z_k)$$

# %% slideshow={"slide_type": "fragment"}
small = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
with torch.no_grad():
    small[0].weight[:] = torch.tensor([[1.0, 2.0], [-1.0, 3.0], [1.0, -3.0]])  # PyTorch's layout: a row for each k
    small[0].bias[:] = torch.tensor([0.0, 1.0, 0.0])
    small[2].weight[:] = torch.tensor([[1.0, 2.0, -2.0]])
    small[2].bias[:] = 4.0
x = torch.tensor([[2.0, 1.0]])
with torch.no_grad():
    z_hidden, a_hidden, f = small[0](x), small[:2](x), small(x)
assert z_hidden.tolist() == [[4, 2, -1]] and a_hidden.tolist() == [[4, 2, 0]] and f.item() == 12

# With a bias as the weight of one more neuron: W[j, k], the last row j is the bias.
W1, W2 = (torch.cat([layer.weight.T, layer.bias[None]]).detach() for layer in (small[0], small[2]))


def number(value):
    """A number as short as it can be, with a real minus."""
    return f"{float(value) + 0.0:g}".replace("-", "−")


def arcs(first, second):
    """Texts at the arcs of both layers; a bias of 0 has no arc."""
    return {
        (below, j, k): number(values[j, k])
        for below, (values, W) in enumerate(((first, W1), (second, W2)))
        for j, k in torch.cartesian_prod(torch.arange(len(W)), torch.arange(W.shape[1])).tolist()
        if j < len(W) - 1 or W[j, k] != 0
    }


z_and_a = zip(z_hidden[0].tolist(), a_hidden[0].tolist(), strict=True)
plotting.neuron_graph(
    [
        [*(f"input {j + 1}\n$a = {value:g}$" for j, value in enumerate(x[0].tolist())), "bias\n$a_0 = 1$"],
        [*(f"$z = {z:g}$\n$a = {a:g}$" for z, a in z_and_a), "bias\n$a_0 = 1$"],
        [f"$f = z = {f.item():g}$"],
    ],
    arcs(W1, W2),
    heading="Forward: weights at the arcs, activations in the nodes",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** check it: $4 = 2 \cdot 1 + 1 \cdot 2$; $\;2 = 2 \cdot (-1) + 1 \cdot 3 + 1$;
# $\;-1 = 2 \cdot 1 + 1 \cdot (-3)$, which the ReLU makes 0; $\;12 = 4 \cdot 1 + 2 \cdot 2 + 0 \cdot (-2) + 4$. Biases
# of 0 are not drawn. The third hidden neuron is *dead* for this input.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The naive rule
#
# The neuron $k$ has the relevance $R_k$. Its input $z_k$ is a sum of the contributions $a_j w_{jk}$. So let $j$ get
# the share of $R_k$ that its contribution has in the sum, and add up over all neurons $k$ that $j$ fed:
#
# $$R_j = \sum_k \frac{a_j w_{jk}}{\sum_{0,j} a_j w_{jk}} R_k$$
#
# **Meaning:** who brought half of the input gets half of the relevance. Who spoke against (a negative contribution to
# a positive sum) gets negative relevance. The formal neuron 0 takes its share like any other, but it has nobody below:
# what it gets is **absorbed**.
#
# In four steps, element by element, and the same for whole layers in vectors ($W$ with a row for each $j$; $\oslash$
# and $\odot$ divide and multiply element by element):
#
# | step | element-wise | vector form |
# | --- | --- | --- |
# | 1 forward | $z_k \leftarrow \sum_{0,j} a_j w_{jk}$ | $z \leftarrow W^\top a$ |
# | 2 divide | $s_k \leftarrow R_k / z_k$ | $s \leftarrow R \oslash z$ |
# | 3 backward | $c_j \leftarrow \sum_k w_{jk} s_k$ | $c \leftarrow W s$ |
# | 4 multiply | $R_j \leftarrow a_j c_j$ | $R \leftarrow a \odot c$ |
#
# > **Correction:** The slide "LRP Calculation" shows these steps with $w^+_{jk}$ in place of $w_{jk}$ and without
# > biases, under the general title. That is one rule of several, $z^+$ (part 5). The steps are the same for all of
# > them; only what stands for $w$ (and $a$) differs.

# %% [markdown] slideshow={"slide_type": "subslide"}
# > **Think first:** Do it, with pencil and paper. Start with $R = f = 12$ at the output. What are $s$, $c$ and $R$ of
# > the three hidden neurons, then of the two inputs? How much goes to the biases?
#
# <details><summary>Answer</summary>
#
# At the output $s = 12 / 12 = 1$ and $c = [1 \;\; 2 \;\; -2]$, so that the hidden neurons get $R = [4 \;\; 4 \;\; 0]$
# and the bias 4. Below, $s = [4/4 \;\; 4/2 \;\; 0]$ and $c = [-1 \;\; 8]$, so that the inputs get
# $R = [-2 \;\; 8]$ and the bias 2. The next cells show every step.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
# The output layer, element by element.
R_output = 12.0
z = 4 * 1 + 2 * 2 + 0 * -2 + 1 * 4  # 1. forward, with the bias
s = R_output / z  # 2. divide
c = [1 * s, 2 * s, -2 * s]  # 3. backward
R_hidden = [4 * c[0], 2 * c[1], 0 * c[2] + 0.0]  # 4. multiply; + 0.0 makes 0 of -0
to_bias_2 = 1 * (4 * s)
print(f"output: z = {z}, s = {s:g}, c = {c}, R of the hidden neurons = {R_hidden}, of the bias {to_bias_2:g}")
assert R_hidden == [4, 4, 0] and to_bias_2 == 4 and sum(R_hidden) + to_bias_2 == 12

# The hidden layer: three z, three s, two c, two R.
z = [2 * 1 + 1 * 2, 2 * -1 + 1 * 3 + 1, 2 * 1 + 1 * -3]
s = [R_k / z_k + 0.0 for R_k, z_k in zip(R_hidden, z, strict=True)]
c = [1 * s[0] + -1 * s[1] + 1 * s[2], 2 * s[0] + 3 * s[1] + -3 * s[2]]
R_input = [2 * c[0], 1 * c[1]]
to_bias_1 = 1 * (1 * s[1])
print(f"hidden: z = {z}, s = {s}, c = {c}, R of the inputs = {R_input}, of the bias {to_bias_1:g}")
assert R_input == [-2, 8] and to_bias_1 == 2 and sum(R_input) + to_bias_1 == sum(R_hidden)

# %% slideshow={"slide_type": "fragment"}
# The relevance that an arc carries is a_j w_jk s_k.
s_hidden, s_output = torch.tensor(s), torch.tensor([R_output / f.item()])
flow_1 = torch.tensor([2.0, 1.0, 1.0])[:, None] * W1 * s_hidden
flow_2 = torch.tensor([4.0, 2.0, 0.0, 1.0])[:, None] * W2 * s_output
assert flow_1.sum(1).tolist() == [*R_input, to_bias_1] and flow_2.sum(1).tolist() == [*R_hidden, to_bias_2]
R_and_s = zip(R_hidden, s, strict=True)
plotting.neuron_graph(
    [
        [*(f"input {j + 1}\n$R = {value:g}$" for j, value in enumerate(R_input)), f"bias\n$R = {to_bias_1:g}$"],
        [*(f"$R = {R_k:g}$\n$s = {s_k:g}$" for R_k, s_k in R_and_s), f"bias\n$R = {to_bias_2:g}$"],
        [f"$R = {R_output:g}$\n$s = {s_output.item():g}$"],
    ],
    arcs(flow_1, flow_2),
    [flow_1.sum(1).tolist(), flow_2.sum(1).tolist(), [R_output]],
    "Backward: the relevance that each arc carries, right to left",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** at each node the arcs on its right carry in what the arcs on its left carry out. Input 1 gets $2$
# from the first hidden neuron and $-4$ from the second, together $-2$: it spoke *against* the score. The dead neuron
# neither gets nor gives.
#
# The accounts of the layers: $12 = (4 + 4 + 0) + 4$, then $8 = (-2 + 8) + 2$. So
#
# $$f(x) = 12 \;\neq\; \sum R^{(1)} = 6, \qquad 12 = 6 + \underbrace{4 + 2}_{\text{absorbed by the biases}}$$
#
# > **Correction:** The slides write the chain $f(x) = \cdots = \sum_d R_d^{(1)}$ with plain equality signs, and in the
# > rules the sum over $0, j$, which includes the bias. Both cannot be: equality holds if the bias counts as a neuron of
# > its layer, or if there is none.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same in vectors, and $c$ as a gradient
#
# $c = W s$ is what the backward pass of a layer does with a signal $s$. So $c$ is a gradient:
#
# $$c_j = \Big[\nabla \big( \textstyle\sum_k z_k(a) \cdot s_k \big)\Big]_j \qquad\text{with constant } s_k$$
#
# That is why LRP needs no new code for a layer: forward, divide, *backward as always*, multiply.

# %% slideshow={"slide_type": "fragment"}
a, R = a_hidden[0], f[0].detach()
W = small[2].weight.detach().T  # (j, k): a row for each j, as in the formulas
z = W.T @ a + small[2].bias.detach()
s = R / z
c = W @ s
R_by_vectors = a * c

leaf = a.clone().requires_grad_()
z_of_a = small[2](leaf)
s_constant = (R / z_of_a).detach()  # held constant
(c_by_gradient,) = torch.autograd.grad((z_of_a * s_constant).sum(), leaf)
assert torch.equal(c, c_by_gradient) and R_by_vectors.tolist() == R_hidden

R_by_package = propagate(small[0], x, propagate(small[2], a_hidden, f.detach(), Epsilon(0.0)), Epsilon(0.0))
assert R_by_package.tolist() == [R_input]
plotting.matrices(
    {"$W$": W, "$a$": a[:, None], "$c = W s$": c[:, None], "$R = a \\odot c$": R_by_vectors[:, None]},
    "Output layer, s = 1",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# > **Think first:** The derivative of $f$ with respect to the inputs of this small network is $[-1 \;\; 8]$. Multiply
# > it by the inputs. Coincidence?
#
# <details><summary>Answer</summary>
#
# $[2 \cdot (-1) \;\; 1 \cdot 8] = [-2 \;\; 8]$ is what LRP-0 gave. No coincidence: behind a ReLU $a_k = z_k$ (where it
# is on), so that $s_k = R_k / z_k = a_k c_k / z_k = c_k$: the divisions and multiplications of neighbouring layers
# cancel, and what is left of $s$ is the gradient. **With ReLU and max pooling, LRP-0 is input x gradient** (Shrikumar
# et al. 2016; Ancona et al. 2018). The other rules are there because that map is noisy.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
leaf = x.clone().requires_grad_()
(slope,) = torch.autograd.grad(small(leaf).sum(), leaf)
assert slope.tolist() == [[-1, 8]] and (x * slope).tolist() == [R_input]
difference = (lrp(net, images, labels, Epsilon(0.0)) - gm.input_x_gradient(net, images, labels)).abs().max()
print(f"zoo: LRP-0 and input x gradient differ by at most {difference:.0e}")
assert difference < 1e-4

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4. The code on the slide
#
# ```python
# def lrp(layer, a, R):
#     clone = layer.clone()
#     clone.W = maximum(0, layer.W)
#     clone.B = 0
#
#     z = clone.forward(a)
#     s = R / z
#     c = clone.backward(s)
#     return a * c
# ```
#
# The four steps, with $w^+$ and without bias: the rule $z^+$. It is written for a NumPy layer that has `clone`, `W`,
# `B` and `backward`. The same for PyTorch, line by line:


# %% slideshow={"slide_type": "fragment"}
def lrp_of_the_slide(layer, a, R):
    """The rule z+ for one layer: activations a (N, ...) >= 0, relevance R of the outputs -> that of the inputs."""
    clone = copy.deepcopy(layer)  # nn.Module has no clone()
    clone.weight.data.clamp_(min=0)  # on the copy: the layer itself must stay as it is
    if clone.bias is not None:
        clone.bias.data.zero_()

    a = a.detach().clone().requires_grad_()
    z = clone(a)
    s = (R / z).detach()  # s is a constant
    s[z == 0] = 0  # 0 / 0: nobody spoke for it, nobody gets anything
    (c,) = torch.autograd.grad(z, a, s)  # clone.backward(s)
    return (a * c).detach()


with torch.no_grad():
    maps = net[:3](images)  # what enters the second convolution
    R_above = net[3](maps).clamp(min=0)
ours, slides = propagate(net[3], maps, R_above, ZPlus()), lrp_of_the_slide(net[3], maps, R_above)
assert torch.allclose(ours, slides, atol=1e-5)
print(f"sum above {R_above.sum():.2f}, below {ours.sum():.2f}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Seven places where it goes wrong
#
# | fault | what happens |
# | --- | --- |
# | $R / z$ where $z = 0$ | $0 / 0$ is NaN, and one NaN spoils the whole image |
# | $s$ is not held constant | the gradient goes through the division, too: $c$ is wrong |
# | the layer is changed in place of a copy | the next image is explained with another network |
# | $W$ or $W^\top$ | PyTorch's `weight` has a row for each *output*: $z$ is `weight @ a`, $c$ is `weight.T @ s` |
# | start with 1, or with the softmax | no share of the score; the softmax mixes in all other classes |
# | $w^+$ on negative inputs (normalised pixels) | $z_k$ may come near 0: use $z^{\mathcal{B}}$ there |
# | $\epsilon$ without the sign of $z$ | see below |

# %% slideshow={"slide_type": "fragment"}
# The first two, seen.
dead = nn.Linear(2, 2, bias=False)
with torch.no_grad():
    dead.weight[:] = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # the second output: no positive weight
a, R = torch.tensor([[1.0, 3.0]]), torch.tensor([[4.0, 0.0]])
plus = dead.weight.detach().clamp(min=0)
naive = a * ((R / (a @ plus.T)) @ plus)
print("without care for 0 / 0:", naive.tolist(), "  with it:", lrp_of_the_slide(dead, a, R).tolist())
assert naive.isnan().all() and lrp_of_the_slide(dead, a, R).tolist() == [[1, 3]]

leaf = a.clone().requires_grad_()
z = leaf @ plus[:1].T
(c_wrong,) = torch.autograd.grad((z * (R[:, :1] / z)).sum(), leaf)  # z * s is R, whatever a: its gradient is 0
print("s not held constant: c =", c_wrong.tolist())
assert c_wrong.abs().max() < 1e-6

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The unsigned $\epsilon$
#
# The slides stabilise the division by adding a small positive number:
#
# $$R_j = \sum_k \frac{a_j w_{jk}}{\epsilon + \sum_{0,j} a_j w_{jk}} R_k$$
#
# > **Correction:** For a negative $z_k$ this moves the denominator *towards* 0, and over it. It must be moved away
# > from 0, whatever its sign (Bach et al. 2015, equation 58):
# >
# > $$R_j = \sum_k \frac{a_j w_{jk}}{z_k + \epsilon \, \mathrm{sign}(z_k)} R_k, \qquad
# > z_k = \sum_{0,j} a_j w_{jk}, \quad \mathrm{sign}(0) = 1$$
#
# > **Think first:** Behind a ReLU only neurons with $z_k > 0$ have relevance. Where in a ReLU network does a negative
# > $z_k$ meet relevance at all?
#
# <details><summary>Answer</summary>
#
# At the output, which has no ReLU: the score of a class may be negative. Also before a sum of two branches (ResNet),
# between two layers without a ReLU between them, and for contrasts such as $S_{cup} - S_{glass}$.
#
# </details>
#
# Our 4 has a score just below 0 for the class 5. Ask why it is (not) a 5, with $\epsilon = 0.1$:

# %% slideshow={"slide_type": "fragment"}
with torch.no_grad():
    score_of_five = digits_net(four)[0, 5].item()
    ink_maps = digits_net[:6](four)  # what enters the output layer
w_five, b_five = digits_net[6].weight[5].detach(), digits_net[6].bias[5].item()
print(f"score of '5': {score_of_five:.4f}")
for epsilon in (0.01, 0.05, 0.1, 0.2):
    unsigned = score_of_five / (score_of_five + epsilon) * ink_maps @ w_five
    signed = propagate(
        digits_net[6], ink_maps, F.one_hot(torch.tensor([5]), 10) * score_of_five, Epsilon(epsilon)
    ).sum()
    print(f"epsilon {epsilon:4}: handed down, unsigned {unsigned.item():8.3f}   signed {signed.item():6.3f}")
    if epsilon == 0.1:
        assert unsigned.abs() > 50 * abs(score_of_five) and unsigned * score_of_five < 0
    if epsilon == 0.2:
        assert unsigned * signed < 0
    assert abs(signed) <= abs(score_of_five - b_five) + 1e-5

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** with $\epsilon = 0.1$ the unsigned rule hands down many times the score, with the wrong sign, and
# with 0.2 still the wrong sign. The signed rule only shrinks. A rule that is wrong only now and then is worse than
# one that is always wrong: it passes every test that happens to use positive scores.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5. The rules
#
# All share out $R_k$ in proportion to something; they differ in what. $w^+ = \max(0, w)$, $w^- = \min(0, w)$.
#
# | rule | $R_j = \sum_k (\ldots) R_k$ | kept? |
# | --- | --- | --- |
# | 0 (naive) | $\dfrac{a_j w_{jk}}{\sum_{0,j} a_j w_{jk}}$ | but for biases |
# | $\epsilon$ | $\dfrac{a_j w_{jk}}{z_k + \epsilon\,\mathrm{sign}\,z_k}$ | but for biases and $\epsilon$ |
# | $\gamma$ | $\dfrac{a_j (w_{jk} + \gamma w_{jk}^+)}{\sum_{0,j} a_j (w_{jk} + \gamma w_{jk}^+)}$ | but for biases |
# | $z^+$ | $\dfrac{a_j w_{jk}^+}{\sum_{j} a_j w_{jk}^+}$ | yes, where anything speaks for $k$ |
# | $z^{\mathcal{B}}$ (box) | $\dfrac{q_{jk}}{\sum_j q_{jk}}$ | yes, where anything speaks for $k$ |
# | $\alpha\beta$ | $\alpha \dfrac{p_{jk}^+}{\sum p_{jk}^+} - \beta \dfrac{p_{jk}^-}{\sum p_{jk}^-}$ | see below |
#
# with $p_{jk} = a_j w_{jk}$ and $q_{jk} = a_j w_{jk} - l_j w_{jk}^+ - h_j w_{jk}^-$ for inputs between $l_j$ and
# $h_j$; the sums of $\alpha\beta$ run over $0, j$.
#
# The first three are on the slides. **Beyond the slides:** the other three (the code on the slide is $z^+$).
#
# Each on the 2-3-1 network, with numbers that come out even. First what the package says, then rule by rule.

# %% slideshow={"slide_type": "subslide"}
rules = {
    "0": Epsilon(0.0),
    "epsilon = 4": Epsilon(4.0),
    "gamma = 0.5": Gamma(0.5),
    "z+": ZPlus(),
    "alpha-beta (2, 1)": AlphaBeta(2.0, 1.0),
}
by_hand = {  # hidden neurons, then inputs
    "0": ([4, 4, 0], [-2, 8]),
    "epsilon = 4": ([3, 3, 0], [-0.25, 2.25]),
    "gamma = 0.5": ([4, 4, 0], [0, 6.5]),
    "z+": ([6, 6, 0], [3, 9]),
    "alpha-beta (2, 1)": ([8, 8, 0], [0, 20]),
}
for name, rule in rules.items():
    R_hidden = propagate(small[2], a_hidden, f.detach(), rule)
    R_input = propagate(small[0], x, R_hidden, rule)
    print(f"{name:18} 12 -> {R_hidden[0].tolist()} sum {R_hidden.sum():g} -> {R_input[0].tolist()} ", end="")
    print(f"sum {R_input.sum():g}")
    assert torch.allclose(R_hidden, torch.tensor([by_hand[name][0]]).float()), name
    assert torch.allclose(R_input, torch.tensor([by_hand[name][1]]).float(), atol=1e-6), name

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### $\epsilon$: less noise, less relevance
#
# In a ReLU network the divisions of LRP-0 cancel (part 3): its map is the gradient, times the input, and a gradient
# jumps about from pixel to pixel. A neuron that is on by a hair takes part in it like any other. $\epsilon$ damps a
# neuron by the factor $\frac{|z_k|}{|z_k| + \epsilon}$: much where $z_k$ is small, hardly where it is large. So the
# faint ones no longer count.
#
# By hand, $\epsilon = 4$: at the output $s = 12 / (12 + 4) = 0.75$, so $R = [3 \;\; 3 \;\; 0]$. Then
# $s = [3/8 \;\; 3/6 \;\; 0]$ and $R = [2 \cdot 0.375 - 2 \cdot 0.5 \;\;\; 2 \cdot 0.375 + 3 \cdot 0.5] =
# [-0.25 \;\; 2.25]$.
#
# **What it does to conservation**, exactly. Since $R_k = s_k (z_k + \epsilon\,\mathrm{sign}\,z_k)$ and
# $z_k = b_k + \sum_j a_j w_{jk}$,
#
# $$\sum_k R_k - \sum_j R_j = \underbrace{\sum_k b_k s_k}_{\text{biases}}
# + \underbrace{\sum_k \epsilon\,\mathrm{sign}(z_k)\, s_k}_{\epsilon}$$


# %% slideshow={"slide_type": "fragment"}
def absorbed(layer, a, R, epsilon):
    """What the biases and epsilon of one layer take from the relevance R of its outputs, in units of the score."""
    with torch.no_grad():
        z, without_bias = layer(a), layer(a) - layer(torch.zeros_like(a))
        sign = torch.where(z >= 0, 1.0, -1.0)
        s = (R / (z + epsilon * sign)).masked_fill(z + epsilon * sign == 0, 0)
        return ((z - without_bias) * s).sum().item(), (epsilon * sign * s).sum().item()


R_hidden = propagate(small[2], a_hidden, f.detach(), Epsilon(4.0))
for name, layer, a, R in (("output", small[2], a_hidden, f.detach()), ("hidden", small[0], x, R_hidden)):
    to_bias, to_epsilon = absorbed(layer, a, R, 4.0)
    below = propagate(layer, a, R, Epsilon(4.0)).sum().item()
    print(f"{name}: {R.sum():g} = {below:g} handed down + {to_bias:g} to biases + {to_epsilon:g} to epsilon")
    assert abs(R.sum() - below - to_bias - to_epsilon) < 1e-6
assert (to_bias, to_epsilon) == (0.5, 3.5)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### $\gamma$: favour what speaks for it
#
# $w + \gamma w^+$ makes positive weights larger. The negative relevance shrinks, and the rest with it becomes calmer:
# for $a \geq 0$ the denominator only grows. $\gamma = 0$ is LRP-0; for $\gamma \to \infty$ it is $z^+$ (with the
# positive biases in the sum).
#
# By hand, $\gamma = 0.5$: at the output everything is positive, so all shares stay: $[4 \;\; 4 \;\; 0]$. The second
# hidden neuron: weights $[-1 \;\; 3 + 1.5]$, bias $1 + 0.5$, so $z = -2 + 4.5 + 1.5 = 4$ and $s = 1$: the inputs get
# $-2$ and $4.5$ (the bias $1.5$). With $2$ and $2$ from the first: $R = [0 \;\; 6.5]$.

# %% slideshow={"slide_type": "fragment"}
gammas = torch.logspace(-2, 2, 41)
R_hidden = propagate(small[2], a_hidden, f.detach(), Epsilon(0.0))
by_gamma = torch.cat([propagate(small[0], x, R_hidden, Gamma(float(g))) for g in gammas])
assert torch.allclose(by_gamma[0], torch.tensor([-2.0, 8.0]), atol=0.1) and (by_gamma[:, 0].diff() > 0).all()
at_infinity = propagate(small[0], x, R_hidden, AlphaBeta(1.0, 0.0))
assert torch.allclose(by_gamma[-1], at_infinity[0], atol=0.05)
exponent = gammas.log10()
plotting.curves(
    {
        "input 1": (exponent, by_gamma[:, 0]),
        "input 2": (exponent, by_gamma[:, 1]),
        "sum of the two": (exponent, by_gamma.sum(1)),
    },
    "log10 of gamma",
    "relevance",
    "Gamma leads from LRP-0 to positive contributions only",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### $z^+$ and the box
#
# **$z^+$** looks at what speaks for a neuron, and at nothing else. By hand: at the output $4$ and $4$ of $8$, so
# $[6 \;\; 6 \;\; 0]$; the first hidden neuron $2 : 2$, the second only through input 2: $R = [3 \;\; 9]$. The sum is
# 12: nothing is absorbed, and from a positive score nothing negative comes. It wants $a \geq 0$, as behind a ReLU.
#
# **$z^{\mathcal{B}}$** is for the pixels. A pixel is not "off" at 0: black is a colour like others. The box $[l, h]$
# says in which range pixels lie, $[0, 1]$ for ours. Each weight is measured from the end of the box that speaks
# *least* for the neuron: from $l$ for a positive weight, from $h$ for a negative one,
#
# $$a_j w_{jk} - l_j w^+_{jk} - h_j w^-_{jk} = (a_j - l_j)\, w^+_{jk} + (a_j - h_j)\, w^-_{jk} \;\geq\; 0$$
#
# With the box $[0, 3]$ and $R = [4 \;\; 4 \;\; 0]$ from LRP-0 above, the second hidden neuron: input 1 brings
# $(2 - 3) \cdot (-1) = 1$ and input 2 brings $(1 - 0) \cdot 3 = 3$, a quarter and three quarters. With $2$ and $2$ from
# the first: $R = [3 \;\; 5]$. Input 1 is now *for* it: it might have been 3, and was only 2.

# %% slideshow={"slide_type": "fragment"}
R_box = propagate(small[0], x, R_hidden, ZBox(0.0, 3.0))
assert R_box.tolist() == [[3, 5]] and R_box.sum() == R_hidden.sum()
for low, high in ((0.0, 3.0), (0.0, 10.0), (1.0, 2.0)):
    R_box = propagate(small[0], x, R_hidden, ZBox(low, high))
    print(f"box [{low:g}, {high:g}]: R = {R_box[0].tolist()}, sum {R_box.sum():g}")
assert R_box.tolist() == [[4, 0]]

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the box decides the shares. It is your statement about what pixels can be. The sum is kept as long as
# anything speaks for a neuron. In the box $[1, 2]$ nothing speaks for the second one: input 1 is as large as it can be,
# input 2 as small. Its relevance of 4 goes to nobody.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### $\alpha\beta$: for and against, kept apart
#
# The positive contributions share out $\alpha R_k$, the negative ones $-\beta R_k$. With $\alpha - \beta = 1$ the sum
# is kept, *if there are both*. By hand, $\alpha = 2$, $\beta = 1$: at the output nothing is negative. So the positive
# ones share out 24: $[8 \;\; 8 \;\; 0]$ and 8 to the bias. Nobody takes the $-12$. The first hidden neuron: the same
# again, 8 and 8. The second: positive are input 2 with 3 and the bias with 1, so input 2 gets
# $2 \cdot \frac{3}{4} \cdot 8 = 12$; the negative one is input 1, which gets $-8$. $R = [0 \;\; 20]$.
#
# > **Note:** So the rule can *make* relevance: here $20 > 12$. "Conservative since $\alpha - \beta = 1$", as one often
# > reads, is true only where every neuron with relevance has inputs of both signs. $\alpha = 1$, $\beta = 0$ is $z^+$
# > with the positive biases in the sum.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### One rule in all layers of the zoo

# %% slideshow={"slide_type": "fragment"}
one_rule = {
    "LRP-0": Epsilon(0.0),
    "epsilon 0.25": Epsilon(0.25),
    "gamma 0.25": Gamma(0.25),
    "z+": ZPlus(),
    "alpha-beta (2, 1)": AlphaBeta(2.0, 1.0),
}
plotting.method_grid(
    images,
    {name: lrp(net, images, labels, rule) for name, rule in one_rule.items()},
    titles=names,
    masks=objects,
    heading="One rule in all layers",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** LRP-0 is noisy (it is input x gradient). From $\epsilon$ to $\gamma$ the specks fade. $z^+$ is
# smooth, red all over, and it spreads beyond the object: it shows what the network *saw*, much of it whatever the
# class (part 10). $\alpha\beta$ keeps blue beside red.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6. Layers without weights
#
# | layer | what it does with the relevance | why |
# | --- | --- | --- |
# | **convolution** | the four steps; $c$ through the flipped kernel | a dense layer with shared weights (unit 01) |
# | **ReLU** | hands on | one input, one output: all of it is its share |
# | **max pooling** | all to the winner | only the winner was in the sum (its switch, unit 03) |
# | **average, adaptive average pooling** | in proportion to $a_j$ | a convolution with equal weights |
# | **flatten** | puts back in place | nothing was computed |
# | **dropout** | hands on | it is the identity in eval mode |
# | **batch norm** | folded into the convolution before it | two linear steps are one |
# | **sum of two branches** (ResNet) | in proportion to the two summands | two inputs with weight 1 |
# | anything else (sigmoid, tanh, products, ...) | refused by name | a silent wrong map is worse than none |

# %% slideshow={"slide_type": "fragment"}
pool_in = torch.tensor([[1.0, 3.0, 2.0, 0.0], [4.0, 2.0, 1.0, 5.0], [0.0, 1.0, 7.0, 6.0], [2.0, 1.0, 3.0, 8.0]])[
    None, None
]
R_pooled = torch.tensor([[10.0, -4.0], [8.0, 12.0]])[None, None]
winners = propagate(nn.MaxPool2d(2), pool_in, R_pooled, Epsilon(0.0))
in_proportion = propagate(nn.AvgPool2d(2), pool_in, R_pooled, Epsilon(0.0))
adaptive = propagate(nn.AdaptiveAvgPool2d(2), pool_in, R_pooled, Epsilon(0.0))
assert torch.equal(in_proportion, adaptive)
assert in_proportion[0, 0, :2, :2].tolist() == [[1, 3], [4, 2]]  # 10 shared out in proportion to 1, 3, 4, 2
assert (winners != 0).sum() == 4 and winners.sum() == in_proportion.sum() == R_pooled.sum()
plotting.matrices(
    {
        "activations $a$": pool_in[0, 0],
        "$R$ from above": R_pooled[0, 0],
        "max pooling": winners[0, 0],
        "average pooling": in_proportion[0, 0],
    }
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the same relevance, once to the four winners, once in proportion; a pixel of 0 gets nothing. Both
# keep the sum.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A convolution by its matrix
#
# A convolution is a dense layer whose matrix has few different weights (unit 02). The Jacobian gives the matrix, and
# the naive rule with that matrix must give what `propagate` gives through the flipped kernel.

# %% slideshow={"slide_type": "fragment"}
torch.manual_seed(0)
conv = nn.Conv2d(1, 2, 3, padding=1).eval()
picture = torch.rand(1, 1, 4, 4)
R_maps = torch.randn(1, 2, 4, 4)
W = torch.autograd.functional.jacobian(conv, picture).reshape(32, 16)  # (k, j)
a, R = picture.flatten(), R_maps.flatten()
s = R / conv(picture).detach().flatten()
by_matrix = a * (W.T @ s)
assert torch.allclose(propagate(conv, picture, R_maps, Epsilon(0.0)).flatten(), by_matrix, atol=1e-4)
print(
    f"{W.numel()} entries of the matrix, {int((W != 0).sum())} of them not 0, {conv.weight.numel()} different weights"
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Batch norm, folded
#
# In eval mode batch norm is $\frac{z - \mu}{\sqrt{\sigma^2 + \epsilon_{bn}}} \cdot g + b_{bn}$: linear, with another
# weight for each map. Together with the convolution before it,
#
# $$w' = g' w, \qquad b' = g' (b - \mu) + b_{bn}, \qquad g' = \frac{g}{\sqrt{\sigma^2 + \epsilon_{bn}}}$$
#
# it is one convolution. Explain that one. Why not one after the other? Because $\mu$ would be a bias that absorbs, and
# which part of $z$ is "bias" would depend on how the network is written down, not on what it computes. Our networks are
# shipped folded; `lrp` folds what is not.

# %% slideshow={"slide_type": "fragment"}
with_norm = nn.Sequential(
    nn.Conv2d(3, 6, 3),
    nn.BatchNorm2d(6),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(2),
    nn.Flatten(),
    nn.Dropout(),
    nn.Linear(24, 4),
).eval()
with torch.no_grad():
    with_norm[1].running_mean.uniform_(-0.3, 0.3)
    with_norm[1].running_var.uniform_(0.5, 1.5)
folded = nn.Sequential(torch.nn.utils.fusion.fuse_conv_bn_eval(with_norm[0], with_norm[1]), *with_norm[2:])
with torch.no_grad():
    assert torch.allclose(with_norm(images), folded(images), atol=1e-5)
unfolded_map, folded_map = (lrp(model, images, 0, Gamma(0.25)) for model in (with_norm, folded))
assert torch.allclose(unfolded_map, folded_map, atol=1e-5)
print("lrp of the network with batch norm = lrp of the folded one")

try:
    lrp(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 2)).eval(), four, 0)
except ValueError as error:
    print("refused:", error)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7. A whole network: which rule in which layer
#
# Montavon et al. (2019) propose a **composite**: no rule is best everywhere.
#
# | where | rule | why |
# | --- | --- | --- |
# | **upper** layers (dense) | 0 | few neurons, classes entangled: stay true to the function, keep for and against |
# | **middle** layers | $\epsilon$ | many neurons with redundant, noisy contributions: drop the faint ones |
# | **lower** layers | $\gamma$ | what matters is whole parts of the image, not single specks: spread evenly |
# | **first** layer | $z^{\mathcal{B}}$ | its inputs are pixels: black is a value, not an absence |
#
# `composite(model)` writes this down for a network, as a dict from layer name to rule, which you may change. Its
# $\epsilon$ of $10^{-6}$ only guards the division: how much is faint depends on the size of $z$ in your network, so
# choose it, as in `composite(net, middle=Epsilon(0.25))`.

# %% slideshow={"slide_type": "fragment"}
rules_of_net = composite(net)
for name, rule in rules_of_net.items():
    print(f"{name:>3} {type(net.get_submodule(name)).__name__:8} {rule}")
R_pixels, R_layers = lrp(net, images, labels, rules_of_net, return_layers=True)
assert torch.equal(R_pixels, lrp(net, images, labels))  # the composite is the default
damped = lrp(net, images, labels, composite(net, middle=Epsilon(0.25)))
changed = (damped - R_pixels).abs().max() / R_pixels.abs().max()
undamped = lrp(net, images, labels, composite(net, middle=Epsilon(0.0)))
print(f"epsilon in the middle: 0.25 changes the map by up to {changed:.0%} of its largest value,", end=" ")
print(f"0 in place of 1e-6 by {(undamped - R_pixels).abs().max() / R_pixels.abs().max():.0e}")
assert changed > 0.1


# %% [markdown] slideshow={"slide_type": "fragment"}
# The whole method for a plain sequence of layers is a loop, from the score down:


# %% slideshow={"slide_type": "fragment"}
def lrp_by_hand(model, image, target, rules):
    """Relevance of each layer's outputs and at last of the pixels, for image (1, C, H, W) and the class `target`."""
    activations = [image]
    with torch.no_grad():
        for layer in model:
            activations.append(layer(activations[-1]))
    R = F.one_hot(torch.tensor([target]), activations[-1].shape[1]) * activations[-1]  # the score, others 0
    found = [R]
    for number in reversed(range(len(model))):
        R = propagate(model[number], activations[number], R, rules.get(str(number), Epsilon(0.0)))
        found.append(R)
    return found[::-1]


by_hand = lrp_by_hand(net, images[:1], int(labels[0]), rules_of_net)
for ours, theirs in zip(by_hand, R_layers.values(), strict=True):
    assert torch.allclose(ours, theirs[:1], atol=1e-4)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The relevance of every layer

# %% slideshow={"slide_type": "fragment"}
stages = {"pixels": "inputs", "conv. 1": "1", "conv. 2": "4", "conv. 3": "7", "conv. 4": "10"}
panels = {}
for place, name in stages.items():
    maps = R_layers[name].sum(1, keepdim=True)
    panels[place] = F.interpolate(maps, size=(64, 64))  # nearest: each cell keeps its value
panels["dense (64)"] = F.interpolate(R_layers["14"].view(-1, 1, 8, 8), size=(64, 64))
plotting.method_grid(
    images, panels, titles=names, heading="Read from right to left: the score on its way down", quantile=0.998
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the first convolution has 64 x 64 places, the fourth 8 x 8: from right to left the place gets
# finer. Of the 64 dense units (drawn as 8 x 8; their order means nothing) a few carry the score, some of them against
# it. The fourth convolution says roughly where, the pixels say which edges.

# %% slideshow={"slide_type": "subslide"}
weighted = [name for name, layer in net.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]
rows = ["inputs", *weighted]
short = ["pixels", *(f"{name}: {type(net.get_submodule(name)).__name__}" for name in weighted)]
sums = {}
for name, rule in {**one_rule, "composite": rules_of_net}.items():
    _, layers = lrp(net, images[ZEBRA:], labels[ZEBRA:], rule, return_layers=True)
    sums[name] = conservation([layers[row] for row in rows])[0]
    print(f"{name:18}", " ".join(f"{value:6.2f}" for value in sums[name].tolist()))
zebra_score = own_scores[ZEBRA].item()
assert all(abs(values[-1] - zebra_score) < 1e-3 for values in sums.values())
assert abs(sums["z+"][0] - zebra_score) < 1e-2 * zebra_score
for name in set(sums) - {"z+"}:
    lost, in_layer_9 = zebra_score - sums[name][0], sums[name][4] - sums[name][3]
    assert 0.4 * zebra_score < lost < 0.75 * zebra_score and in_layer_9 > 0.5 * lost, name
plotting.layer_sums(sums, short, zebra_score, "Zebra: what each layer's relevance sums to (dashed: the score)")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** only $z^+$ stays at the dashed line down to the pixels. The others lose between two fifths and
# seven tenths of it on the way, and most of that in one step: through the last convolution, layer 9, whose biases
# hold what folding the batch norm left.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Where did it go? To the last digit
#
# The two sums of part 5, layer by layer, for $\epsilon = 0.25$ in all layers:

# %% slideshow={"slide_type": "fragment"}
precise = models.load("zoo").double()  # 64 bits: the accounts must close
zebra = images[ZEBRA:].double()
_, layers = lrp(precise, zebra, labels[ZEBRA:], Epsilon(0.25), return_layers=True)
with torch.no_grad():
    activations = [zebra]
    for layer in precise:
        activations.append(layer(activations[-1]))
below = {name: rows[number] for number, name in enumerate(weighted)}
remaining = 0.0
for name in reversed(weighted):
    layer = precise[int(name)]
    R = layers[name]
    to_bias, to_epsilon = absorbed(layer, activations[int(name)], R, 0.25)
    handed_down = layers[below[name]].sum().item()
    print(f"layer {name:>2}: {R.sum():6.3f} = {handed_down:6.3f} + {to_bias:6.3f} to biases", end="")
    print(f" + {to_epsilon:6.3f} to epsilon")
    assert abs(R.sum().item() - handed_down - to_bias - to_epsilon) < 1e-9
    remaining += to_bias + to_epsilon
print(f"score {zebra_score:.3f} = pixels {layers['inputs'].sum():.3f} + absorbed {remaining:.3f}")
assert abs(zebra_score - layers["inputs"].sum().item() - remaining) < 1e-4

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the accounts close in every layer. (Between two layers of the list stand only ReLU, max pooling and
# flatten, which keep the sum.) LRP is not "conservative" or "not conservative": it says what was absorbed, and where.
#
# > **Think first:** What happens to the sums if you set all biases of the network to 0 before you explain it?
#
# <details><summary>Answer</summary>
#
# With rule 0 and $\gamma$ the sum at the pixels is then the score, exactly. But it is the score of *another network*,
# one that you made up: see what it still recognises before you explain it. Ours loses every fifth image.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
without_biases = copy.deepcopy(net)
with torch.no_grad():
    for name in weighted:
        without_biases[int(name)].bias.zero_()
    other_scores = without_biases(images)
relevance = lrp(without_biases, images, labels, Gamma(0.25)).sum((1, 2, 3))
other = other_scores.gather(1, labels[:, None])[:, 0]
assert torch.allclose(relevance, other, rtol=1e-3, atol=1e-3)
test = zoo.sample(150, seed=7007)
accuracy = {n: models.accuracy(m, test.images, test.labels) for n, m in (("own", net), ("no", without_biases))}
print(f"recognised with its own biases {accuracy['own']:.0%}, with no biases {accuracy['no']:.0%}")
assert accuracy["own"] > 0.95 and accuracy["no"] < 0.9

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8. Handwritten digits: a 4, wrong answers, occlusion
#
# The slides' example: LRP-$\epsilon$ for a handwritten 4, on real data (scikit-learn's digits, $8 \times 8$ pixels,
# held out).

# %% slideshow={"slide_type": "fragment"}
digit_rules = {
    "LRP-0": Epsilon(0.0),
    "epsilon 0.25": Epsilon(0.25),
    "gamma 0.25": Gamma(0.25),
    "z+": ZPlus(),
    "composite": composite(digits_net),
}
four_maps = {name: lrp(digits_net, four, 4, rule) for name, rule in digit_rules.items()}
for name, R in four_maps.items():
    on_paper = R[four == 0].abs().sum() / R.abs().sum()
    print(f"{name:13} sum {R.sum():5.2f} of {score_of_four:.2f}; {on_paper:.0%} of its size on black paper")
    assert (on_paper > 0.3) if name == "composite" else (on_paper < 1e-6)

# Where did z+ lose relevance? At units of the first convolution that no ink speaks for: active by their bias alone.
_, four_layers = lrp(digits_net, four, 4, ZPlus(), return_layers=True)
plus = F.conv2d(four, digits_net[0].weight.detach().clamp(min=0), padding=1)  # z without bias
nobody = four_layers["0"][plus == 0].sum()
print(f"z+: {nobody:.2f} belonged to {int((four_layers['0'][plus == 0] != 0).sum())} units over plain paper")
assert torch.allclose(four_maps["z+"].sum() + nobody, torch.tensor(score_of_four), atol=1e-4)
plotting.method_grid(four, four_maps, heading="Relevance of the pixels for '4'")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** red where the ink speaks for a 4: the lower left of its loop, and where the bar meets the stem.
# Blue where it speaks against: at the top on the right, where a 4 would be open.
#
# > **Correction:** The slide reads red as "raise the probability for the class 4". What is shared out is the *score*,
# > not the probability: the probability also depends on the other nine scores. And "raise" is a statement about
# > changes (that was the gradient). Red means: *this ink contributed to the score*. What happens when it is taken
# > away must be tried, and will be below.
#
# $z^+$ keeps everything *where anything speaks for a unit*. Here some units of the first convolution look at plain
# paper and are active through their bias alone. What they receive has nowhere to go, and that is exactly what is
# missing in the sum.
#
# The composite puts relevance on the black paper, too: it is the box rule that asks what a black pixel contributes by
# *not* being ink. The other rules multiply by $a_j = 0$ there. Its sum is larger than the score: a negative bias takes
# a negative share, so that more than everything is handed down.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What speaks for the other classes?

# %% slideshow={"slide_type": "fragment"}
every_class = lrp(digits_net, four.expand(10, -1, -1, -1), torch.arange(10), Epsilon(0.25))
with torch.no_grad():
    ten_scores = digits_net(four)[0]
plotting.heatmap_grid(
    every_class,
    [f"for {k}: {score:.1f}" for k, score in enumerate(ten_scores.tolist())],
    columns=5,
    heading="LRP-epsilon of the 4, for each of the ten classes, with its score",
    scale="map",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** the same ink is red for one class and blue for another: the map depends on what you ask.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Wrong answers
#
# The slides show a 1 that their network took for a 6. What has ours got? Look for every wrong answer in the held-out
# data:

# %% slideshow={"slide_type": "fragment"}
with torch.no_grad():
    digit_scores = digits_net(digit_images)
seen = digit_scores.argmax(1)
wrong = (seen != digit_labels).nonzero().flatten()
pairs = [(int(digit_labels[k]), int(seen[k])) for k in wrong]
print(f"{len(wrong)} of {len(digit_labels)} held-out digits are misclassified (label, predicted): {pairs}")
ones = digit_labels == 1
print(f"of {int(ones.sum())} ones, taken for a 6: {int((seen[ones] == 6).sum())}")
assert pairs == [(9, 1), (8, 9), (4, 9)] and not (seen[ones] == 6).any()

bad, bad_labels, bad_seen = digit_images[wrong], digit_labels[wrong], seen[wrong]
for_seen, for_label = (lrp(digits_net, bad, target, Epsilon(0.25)) for target in (bad_seen, bad_labels))
plotting.method_grid(
    bad,
    {"for the predicted class": for_seen, "for the label": for_label, "difference": for_seen - for_label},
    titles=[f"{label}, seen as {k}" for label, k in pairs],
    heading="LRP-epsilon of the three wrong answers",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** no 1 is taken for a 6 here; there is a 9 that is taken for a 1, an 8 and a 4 taken for a 9. Take
# the 9. Its loop is filled, and just that ink (third row) is red for "1" and blue for "9": a 9 should be hollow
# there. The last column is the map of the difference of the two scores in so far as the rule is linear in the score,
# which $\epsilon$ is not quite.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Combine with occlusion
#
# LRP says which ink made the score. Occlusion (unit 05) takes ink away and looks. First side by side, a window of
# $2 \times 2$ pixels sliding over the image:

# %% slideshow={"slide_type": "fragment"}
both = torch.cat([four, bad])
both_seen = torch.cat([torch.tensor([4]), bad_seen])
plotting.method_grid(
    both,
    {
        "LRP-epsilon": lrp(digits_net, both, both_seen, Epsilon(0.25)),
        "occlusion 1 x 1": visualization.occlusion(digits_net, both, both_seen, window=1, stride=1),
        "occlusion 2 x 2": visualization.occlusion(digits_net, both, both_seen, window=2, stride=1),
    },
    titles=["4, right", *(f"{label}, seen as {k}" for label, k in pairs)],
    heading="The predicted class: shared out, and taken away",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** covering single pixels and LRP agree on much: both answer for one pixel at a time. The larger
# window blurs.
#
# Then one after the other: **cover what LRP names, and ask again.** Erase the pixel with the highest relevance for the
# *wrong* class.

# %% slideshow={"slide_type": "subslide"}
highest = for_seen.flatten(1).argmax(1)
covered = bad.flatten(1).scatter(1, highest[:, None], 0.0).view_as(bad)
with torch.no_grad():
    scores_before, scores_after = digit_scores[wrong], digits_net(covered)
seen_after = scores_after.argmax(1)
flips = []
for n, (label, k) in enumerate(pairs):
    # How special is that pixel? Erase each inked pixel in turn.
    inked = bad[n].flatten().nonzero().flatten()
    each = bad[n].flatten().repeat(len(inked), 1).scatter(1, inked[:, None], 0.0).view(-1, 1, 8, 8)
    with torch.no_grad():
        right = int((digits_net(each).argmax(1) == label).sum())
    flips.append(right)
    print(
        f"{label} seen as {k}: score of {k} falls from {scores_before[n, k]:.2f} to {scores_after[n, k]:.2f},", end=" "
    )
    print(f"now seen as {int(seen_after[n])}; of {len(inked)} inked pixels {right} alone would make it right")
assert (
    seen_after[0] == 9
    and (scores_after.gather(1, bad_seen[:, None]) < scores_before.gather(1, bad_seen[:, None])).all()
)
again = lrp(digits_net, covered, bad_labels, Epsilon(0.25))
plotting.method_grid(
    covered,
    {"LRP for the label, before": for_label, "and after": again},
    titles=[f"{label}: now {int(k)}" for (label, _), k in zip(pairs, seen_after, strict=True)],
    heading="The most relevant pixel erased, and explained again",
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** one erased pixel takes the score of the wrong class down in all three, and the 9 is recognised. Do
# not be too impressed: the last numbers say that several other pixels would have done it, too. The 8 and the 4 become
# a 7. To weaken the wrong class is not yet to strengthen the right one. So ask for the *difference* of the two scores
# (one output neuron with the difference of the two rows of weights), and erase pixel after pixel until the answer is
# right:

# %% slideshow={"slide_type": "fragment"}
needed = []
for n, (label, k) in enumerate(pairs):
    margin = nn.Linear(512, 1)
    with torch.no_grad():
        margin.weight[:] = digits_net[6].weight[k] - digits_net[6].weight[label]
        margin.bias[:] = digits_net[6].bias[k] - digits_net[6].bias[label]
    margin_net = nn.Sequential(*digits_net[:6], margin).eval()
    order = lrp(margin_net, bad[n : n + 1], 0, Epsilon(0.25)).flatten().argsort(descending=True)
    for count in range(1, 9):
        erased_digit = bad[n].flatten().index_fill(0, order[:count], 0.0).view(1, 1, 8, 8)
        with torch.no_grad():
            if digits_net(erased_digit).argmax() == label:
                break
    needed.append(count)
    print(f"{label} seen as {k}: right after {count} erased pixel{'s' * (count > 1)}")
assert max(needed) <= 3

# %% [markdown] slideshow={"slide_type": "fragment"}
# That is what the combination is for: LRP proposes, occlusion checks, and LRP of the occluded image says what the
# network falls back on.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Does the relevance foretell the occlusion?
#
# On 100 digits: the correlation, over the pixels of an image, of the relevance with the fall of the score when that
# one pixel is erased; and the probability of the right class when the pixels are erased in the order of their
# relevance.

# %% slideshow={"slide_type": "fragment"}
some_digits, some_digit_labels = digit_images[:100], digit_labels[:100]
erased = visualization.occlusion(digits_net, some_digits, some_digit_labels, window=1, stride=1)


def correlation(a, b):
    """Mean over the images of Pearson's correlation over the pixels."""
    a, b = (values.flatten(1) - values.flatten(1).mean(1, keepdim=True) for values in (a, b))
    return F.cosine_similarity(a, b).mean().item()


digit_maps = {name: lrp(digits_net, some_digits, some_digit_labels, rule) for name, rule in digit_rules.items()}
digit_maps["saliency"] = gm.saliency(digits_net, some_digits, some_digit_labels)[:, None]
digit_maps["the ink itself"] = some_digits
digit_maps["noise"] = evaluation.noise_map(some_digits, torch.Generator().manual_seed(0))[:, None]
agreement, curves, after_four = {}, {}, {}
for name, maps in digit_maps.items():
    agreement[name] = correlation(maps, erased)
    fraction, probability = evaluation.deletion_curve(
        digits_net, some_digits, some_digit_labels, maps, n_steps=32, baselines=0.0
    )
    after_four[name] = probability[:, 2].mean().item()  # 2 of 32 steps: 4 of 64 pixels
    curves[name] = (64 * fraction[:17], probability.mean(0)[:17])
    print(f"{name:14} correlation {agreement[name]:5.2f}   probability after 4 pixels {after_four[name]:.2f}")
assert min(agreement[name] for name in ("epsilon 0.25", "gamma 0.25")) > 0.65 > 0.45 > agreement["composite"]
assert max(after_four[name] for name in ("LRP-0", "epsilon 0.25", "gamma 0.25")) < 0.4 < after_four["the ink itself"]
assert after_four["the ink itself"] < after_four["composite"] < after_four["noise"] and after_four["saliency"] > 0.6
plotting.curves(
    curves, "pixels erased, the most relevant first", "mean probability of the right class", "Digits: deletion"
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** here LRP-0, $\epsilon$ and $\gamma$ do well: four erased pixels take most of the probability.
# Saliency and the ink itself (erase the brightest pixels) need more. The composite, recommended for photographs, does
# *worse than the ink*: much of its relevance lies on paper, and paper cannot be erased with the colour of paper. Two
# lessons: recipes do not travel without a check; and this check favours methods that call 0 "nothing".

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9. Explore, score, compare with the truth
#
# Choose rules, an image, the class that is asked for, and move $\epsilon$ and $\gamma$. The bars are the sums of the
# relevance in each layer, the dashed line is the score. (Where widgets do not run, you see the first picture.)
#
# > **Think first:** What does each slider do to the bar of the pixels? Can one of them bring it up to the score?
#
# <details><summary>Answer</summary>
#
# A large $\epsilon$ absorbs nearly everything. A small one may also *raise* the sum a little: it damps relevance of
# both signs, and where more of the negative goes, more of the positive is left. $\gamma$ raises the sum as a rule: the
# positive contributions alone are large beside the bias, while their difference to the negative ones is not. But a
# positive bias is favoured like a positive weight and keeps a share: no $\gamma$ brings the sum up to the score. The
# cell below has the numbers.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
explorer(net, images, labels, objects)

# %% slideshow={"slide_type": "skip"}
pixel_sums = {
    f"{name} {value:4}": lrp(net, images, labels, rule(value)).sum((1, 2, 3))
    for name, rule, values in (("epsilon", Epsilon, (0.0, 0.05, 0.25, 1.0)), ("gamma", Gamma, (0.1, 0.25, 1.0, 5.0)))
    for value in values
}
for setting, values in pixel_sums.items():
    print(setting, " sums:", ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True)))
print("scores:            ", ", ".join(f"{name} {value:.2f}" for name, value in zip(names, own_scores, strict=True)))
assert (pixel_sums["epsilon  1.0"] < 0.5 * pixel_sums["epsilon  0.0"]).all()
assert (pixel_sums["epsilon 0.05"] > pixel_sums["epsilon  0.0"]).any()
assert all((values < 0.8 * own_scores).all() for values in pixel_sums.values())

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Does the map lie on the object?
#
# The common table of unit 06 (pointing game, mass and rank against the object's outline), with methods of that unit
# and with the three maps that have never looked at the network.

# %% slideshow={"slide_type": "fragment"}
random = torch.Generator().manual_seed(7)
size = images.shape[2:]
lrp_methods = {
    "LRP-0 = input x gradient": Epsilon(0.0),
    "LRP epsilon 0.25": Epsilon(0.25),
    "LRP gamma 0.25": Gamma(0.25),
    "LRP z+": ZPlus(),
    "LRP alpha-beta (2, 1)": AlphaBeta(2.0, 1.0),
    "LRP composite": rules_of_net,
}
methods = {
    name: (lambda inputs, target, rule=rule: lrp(net, inputs, target, rule)) for name, rule in lrp_methods.items()
}
methods |= {
    "gradient": lambda inputs, target: gm.gradient(net, inputs, target),
    "integrated gradients, blur": lambda inputs, target: gm.integrated_gradients(
        net, inputs, target, baselines=evaluation.blurred(inputs), n_steps=8
    ),
    "guided backprop": lambda inputs, target: gm.guided_backprop(net, inputs, target),
    "Grad-CAM": lambda inputs, target: gm.upsample(gm.grad_cam(net, inputs, target, "10"), size),
}
controls = {
    "edge detector": lambda inputs, target: evaluation.edge_map(inputs),
    "centre prior": lambda inputs, target: evaluation.centre_prior(inputs),
    "noise": lambda inputs, target: evaluation.noise_map(inputs, random),
}
truth = test.mask("object")
table = evaluation.score_table({**methods, **controls}, test.images, test.labels, truth, batch_size=20)
print(table)

# %% slideshow={"slide_type": "fragment"}
area = truth.double().mean().item()
plotting.score_chart(
    table, list(controls), chance=area, title=f"{len(test)} images; dashed: a constant map ({area:.2f})"
)

# %% slideshow={"slide_type": "skip"}
# What the next text says, checked.
score = {row["method"]: row for row in table.rows()}
edges = score["edge detector"]
assert score["LRP composite"]["pointing game"] > score["LRP epsilon 0.25"]["pointing game"] + 0.05
assert score["LRP composite"]["pointing game"] > edges["pointing game"] + 0.02
assert edges["rank"] > max(score[name]["rank"] for name in methods) + 0.08
assert all(score[name]["mass"] < edges["mass"] for name in lrp_methods)
assert score["LRP epsilon 0.25"]["mass"] > score["LRP-0 = input x gradient"]["mass"] + 0.1
assert score["LRP z+"]["rank"] > score["LRP gamma 0.25"]["rank"] + 0.1
assert score["LRP gamma 0.25"]["mass"] > score["LRP z+"]["mass"] + 0.05

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see, honestly:**
#
# - A small $\epsilon$ of 0.25 already takes a large part of LRP-0's noise away, $\gamma$ still more.
# - The composite has the best pointing game of the LRP variants, and a better one than the edge detector.
# - By rank $z^+$ is the best of them: it is smooth and covers the object. Of its mass much lies beside it.
# - By rank the **edge detector beats them all**, and by mass every rule of LRP. As in unit 06: this table measures
#   whether a map shows the object, not whether it explains the network.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Do the pixels matter to the network?

# %% slideshow={"slide_type": "fragment"}
some, some_labels = test.images[:20], test.labels[:20]
curves, after_10 = {}, {}
for name in (*lrp_methods, "integrated gradients, blur", "guided backprop", "edge detector", "noise"):
    attributions = {**methods, **controls}[name](some, some_labels)
    for replaced_by, pixels in {"blur": evaluation.blurred(some), "black": 0.0}.items():
        fraction, probability = evaluation.deletion_curve(
            net, some, some_labels, attributions, n_steps=10, baselines=pixels
        )
        after_10[name, replaced_by] = probability[:, 1].mean().item()
        if replaced_by == "blur" and name not in ("guided backprop", "LRP alpha-beta (2, 1)"):
            curves[name] = (100 * fraction, probability.mean(0))
    print(f"{name:27} probability after 10 % of the pixels: {after_10[name, 'blur']:.2f}", end=" ")
    print(f"(replaced by black: {after_10[name, 'black']:.2f})")
assert (
    after_10["LRP composite", "blur"]
    < 0.4
    < 0.55
    < min(after_10[name, "blur"] for name in lrp_methods if name != "LRP composite")
)
assert after_10["LRP composite", "black"] > after_10["noise", "black"] - 0.05
for name in ("LRP-0 = input x gradient", "LRP epsilon 0.25"):
    assert after_10[name, "black"] < min(after_10["LRP composite", "black"] - 0.25, after_10["LRP gamma 0.25", "black"])
assert after_10["noise", "blur"] > 0.85 and after_10["edge detector", "blur"] > 0.7
plotting.curves(curves, "pixels replaced by blur, highest relevance first, %", "mean probability", "Deletion")

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** replaced by blur, the composite names pixels that matter, and one rule in all layers does not do
# nearly as well. Replaced by black the order is turned round: LRP-0 and $\epsilon$ lead, and the composite does no
# better than noise. LRP-0 multiplies by the pixel's value, which suits a test that sets pixels to 0; the box rule
# does not. What "replace" means decides the winner, again.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The part that defines the class
#
# A cup without its handle is a glass, and the zoo can draw both. The contrast $S_{cup} - S_{glass}$ is one output
# neuron with the difference of the two rows of weights.

# %% slideshow={"slide_type": "fragment"}
CUP, GLASS = zoo.CLASSES.index("cup"), zoo.CLASSES.index("glass")
cups = zoo.sample(40, seed=11, classes=["cup"])
glasses = zoo.sample(40, seed=11, classes=["cup"], without="key part")
cup, handle = cups.mask("object"), cups.mask("key part")
difference = nn.Linear(64, 1)
with torch.no_grad():
    difference.weight[:] = net[15].weight[CUP] - net[15].weight[GLASS]
    difference.bias[:] = net[15].bias[CUP] - net[15].bias[GLASS]
contrast_net = nn.Sequential(*net[:15], difference).eval()
with torch.no_grad():
    expected = net(cups.images)[:, CUP] - net(cups.images)[:, GLASS]
    happened = (contrast_net(cups.images) - contrast_net(glasses.images))[:, 0]
    assert torch.allclose(contrast_net(cups.images)[:, 0], expected, atol=1e-4)

share, handle_sum, follows = {}, {}, {}
contrast_rules = {**one_rule, "composite": None}
print(f"the handle covers {handle.sum() / cup.sum():.0%} of the cup. Of the relevance on the object, on the handle:")
for name, rule in contrast_rules.items():
    cup_map, contrast_map = lrp(net, cups.images, CUP, rule), lrp(contrast_net, cups.images, 0, rule)
    share[name] = [
        (evaluation.relevance_mass(maps, handle) / evaluation.relevance_mass(maps, cup)).nanmean().item()
        for maps in (cup_map, contrast_map)
    ]
    on_handle = (contrast_map.sum(1) * handle).sum((1, 2))
    handle_sum[name] = on_handle.mean().item()
    follows[name] = torch.corrcoef(torch.stack([on_handle, happened]))[0, 1].item()
    print(f"{name:18} cup {share[name][0]:.0%}, cup - glass {share[name][1]:.0%};", end=" ")
    print(f"sum on the handle {handle_sum[name]:5.2f}, correlation with what taking it away does {follows[name]:.2f}")
print(f"taking the handle away changes cup - glass by {happened.mean():.2f} in the mean")
assert share["composite"][1] > share["composite"][0] + 0.2 and share["composite"][1] > 0.42
assert abs(share["z+"][1] - share["z+"][0]) < 0.06 and all(after < 0.55 for _, after in share.values())
assert max(handle_sum.values()) < 0.75 * happened.mean() and min(follows.values()) > 0.4
plotting.method_grid(
    cups.images[:3],
    {
        "cup, composite": lrp(net, cups.images[:3], CUP),
        "cup - glass, composite": lrp(contrast_net, cups.images[:3], 0),
        "cup - glass, gamma": lrp(contrast_net, cups.images[:3], 0, Gamma(0.25)),
        "cup - glass, z+": lrp(contrast_net, cups.images[:3], 0, ZPlus()),
    },
    masks=handle[:3],
    heading="The handle is outlined",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** asked for *cup*, the handle gets about its share of the area or a little more. Asked for *cup -
# glass*, the composite more than doubles it. $z^+$ gives the handle the same share, whatever you ask: it cannot make
# the difference. And no rule gives the handle all that its removal takes away: LRP shares out a value, and does not
# foretell a change.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Clever Hans
#
# `zoo-tagged` was trained on pictures in which 90 % of the horses carried a small white tag in a corner. On the same
# pictures, does LRP give it away, and leave the honest network alone?

# %% slideshow={"slide_type": "fragment"}
tagged_net, HORSE = models.load("zoo-tagged"), zoo.CLASSES.index("horse")
horses = zoo.sample(40, seed=21, classes=["horse"], tag=True)
same_without = zoo.sample(40, seed=21, classes=["horse"])
tag = horses.mask("tag")
print(f"the tag covers {tag.double().mean():.0%} of the image; edge detector: ", end="")
print(f"{evaluation.relevance_mass(evaluation.edge_map(horses.images), tag).mean():.0%} of its map on the tag")
on_tag = {}
for name, model in (("zoo", net), ("zoo-tagged", tagged_net)):
    with torch.no_grad():
        with_tag, without = (model(s.images)[:, HORSE].mean().item() for s in (horses, same_without))
    print(f"{name}: score of horse {with_tag:.1f} with the tag, {without:.1f} without (the counterfactual)")
    for rule_name, rule in contrast_rules.items():
        mass = evaluation.relevance_mass(lrp(model, horses.images, HORSE, rule), tag)
        on_tag[name, rule_name] = mass.nanmean().item()
    print("   on the tag:", ", ".join(f"{rule} {on_tag[name, rule]:.0%}" for rule in contrast_rules))
    assert (with_tag > without + 5) if name == "zoo-tagged" else abs(with_tag - without) < 1
assert all(on_tag["zoo-tagged", rule] > 3 * on_tag["zoo", rule] for rule in contrast_rules)
plotting.method_grid(
    horses.images[:3],
    {
        "zoo, composite": lrp(net, horses.images[:3], HORSE),
        "zoo-tagged, composite": lrp(tagged_net, horses.images[:3], HORSE),
        "zoo-tagged, gamma": lrp(tagged_net, horses.images[:3], HORSE, Gamma(0.25)),
    },
    masks=tag[:3],
    heading="Why is this a horse? (The tag is outlined)",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** under every rule the tagged network has several times as much relevance on the tag as the honest
# one. The counterfactual confirms it: the score falls by more than half when the tag goes. (The edge detector also
# finds the tag, in both networks alike: it knows nothing about either.) This is what LRP became known for (Lapuschkin
# et al. 2019: horses that were recognised by a photographer's tag).

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The coat of the zebra: counterfactuals
#
# The same scene with another coat. The relevance for *zebra* on the animal should go when the stripes go.

# %% slideshow={"slide_type": "fragment"}
zebra_class = zoo.CLASSES.index("zebra")
scenes = {t: zoo.sample(40, seed=12, classes=["zebra"], texture=t) for t in ("stripes", "plain", "dots")}
animal = scenes["stripes"].mask("object")
on_animal = {}
for texture, scene in scenes.items():
    with torch.no_grad():
        mean_score = net(scene.images)[:, zebra_class].mean().item()
    for name, rule in contrast_rules.items():
        R = lrp(net, scene.images, zebra_class, rule).sum(1)
        on_animal[texture, name] = (R * animal).sum((1, 2)).mean().item()
    found = ", ".join(f"{name} {on_animal[texture, name]:.2f}" for name in contrast_rules)
    print(f"{texture:7} score of zebra {mean_score:5.2f}; relevance on the animal: {found}")
assert all(on_animal["stripes", rule] > on_animal["plain", rule] for rule in contrast_rules)
for rule in contrast_rules:
    left = on_animal["plain", rule] / on_animal["stripes", rule]
    assert (left > 0.4) if rule in ("LRP-0", "composite") else (left < 0.25), rule

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** under every rule the animal's relevance for *zebra* is highest with stripes. But a plain coat
# leaves LRP-0 and the composite with a good part of it, although the score of zebra is then about 0: they share out
# what is for and what is against, and the biases hold the rest down. The other rules fall with the score.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10. What LRP cannot do
#
# **It is not unique.** Conservation is one equation for thousands of pixels: handing everything to the pixel in the
# corner is conservative, too. What picks the map is the rule, and rules disagree:

# %% slideshow={"slide_type": "fragment"}
rule_maps = {name: lrp(net, drawn.images[:40], drawn.labels[:40], rule).sum(1) for name, rule in contrast_rules.items()}
cosines = torch.tensor(
    [
        [F.cosine_similarity(a.flatten(1), b.flatten(1)).mean().item() for b in rule_maps.values()]
        for a in rule_maps.values()
    ]
)
print(f"{'cosine of the maps':18}", " ".join(f"{name[:9]:>9}" for name in rule_maps))
for name, row in zip(rule_maps, cosines.tolist(), strict=True):
    print(f"{name:18}", " ".join(f"{value:9.2f}" for value in row))
place = {name: k for k, name in enumerate(rule_maps)}
assert cosines[place["LRP-0"], place["z+"]] < 0.25 and cosines[place["gamma 0.25"], place["z+"]] > 0.5

# %% [markdown] slideshow={"slide_type": "subslide"}
# **$z^+$ hardly asks for the class.** Nothing in the share $a_j w^+_{jk} / \sum_j a_j w^+_{jk}$ knows the class. It
# enters in the last layer alone, and its traces are washed out on the way down. Measure it as in unit 06: the maps of
# the best and the second-best class.

# %% slideshow={"slide_type": "fragment"}
many = zoo.sample(50, seed=66)
with torch.no_grad():
    best_two = net(many.images).topk(2).indices
same_map = {}
for name, rule in contrast_rules.items():
    winner, second = (lrp(net, many.images, best_two[:, k], rule).sum(1).flatten(1) for k in (0, 1))
    same_map[name] = F.cosine_similarity(winner, second).mean().item()
    print(f"{name:18} cosine of the maps of the best and the second class: {same_map[name]:5.2f}")
assert same_map["z+"] > 0.95 and abs(same_map["LRP-0"]) < 0.2 and abs(same_map["composite"]) < 0.2
zebra_image = images[ZEBRA:]
asked = {f"what speaks for {name}?": zoo.CLASSES.index(name) for name in ("zebra", "horse", "cup")}
plotting.method_grid(
    zebra_image.expand(2, -1, -1, -1),
    {
        question: torch.cat([lrp(net, zebra_image, k), lrp(net, zebra_image, k, ZPlus())])
        for question, k in asked.items()
    },
    titles=["composite", "z+"],
    heading="The same image, three questions",
    quantile=0.995,
)

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** $z^+$ draws the same map for every class, up to its sign (blue where the class's score is
# negative). Perfect conservation, and hardly an explanation of the class: like guided backpropagation, it shows what
# the network looked at (Sixt et al. 2020 prove that such maps converge to one direction as the network gets deeper).
# **Conservation is a check of the bookkeeping, not of the truth.**

# %% [markdown] slideshow={"slide_type": "subslide"}
# **It depends on how the network is written.** Two networks that compute the same function should have the same
# explanation. Put a rotation $Q$ before the last layer and its inverse into that layer's weights: the same scores,
# the same gradient.

# %% slideshow={"slide_type": "fragment"}
torch.manual_seed(0)
Q = torch.linalg.qr(torch.randn(64, 64)).Q
rotation, last = nn.Linear(64, 64, bias=False), nn.Linear(64, 10)
with torch.no_grad():
    rotation.weight[:], last.weight[:], last.bias[:] = Q, net[15].weight @ Q.T, net[15].bias
twin = nn.Sequential(*net[:15], rotation, last).eval()
some, some_labels = drawn.images[:20], drawn.labels[:20]
with torch.no_grad():
    assert torch.allclose(twin(some), net(some), atol=1e-4)
assert torch.allclose(gm.gradient(twin, some, some_labels), gm.gradient(net, some, some_labels), atol=1e-4)
alike, sum_of = {}, {}
for name, rule in one_rule.items():
    ours, theirs = lrp(net, some, some_labels, rule), lrp(twin, some, some_labels, rule)
    alike[name] = F.cosine_similarity(ours.flatten(1), theirs.flatten(1)).mean().item()
    sum_of[name] = (ours.sum((1, 2, 3)).mean().item(), theirs.sum((1, 2, 3)).mean().item())
    print(f"{name:18} cosine of the maps {alike[name]:5.2f}; mean sums {sum_of[name][0]:5.2f}, {sum_of[name][1]:5.2f}")
assert alike["LRP-0"] > 0.999 and alike["alpha-beta (2, 1)"] < 0.9 and alike["gamma 0.25"] < 0.9

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see:** LRP-0 does not notice (it is a gradient). $\gamma$ and $\alpha\beta$ give other maps for the same
# function. Behind the rotation the activations have both signs, and $\gamma$ was made for $a \geq 0$: its denominator
# may now come near 0. ($z^+$ does not notice: it hardly looks at the top of the network at all.)
#
# > **Note:** That is the same fault as the $w^+$ on negative inputs in part 4, only hidden: nothing raises an error.
# > Before you use a rule, ask what its inputs are.
#
# **Further limits**
#
# - It shares out a value and does not foretell a change: try it (occlusion, counterfactuals).
# - It needs a rule for every layer. What has none (attention, gates, sigmoid) must be refused or be given a new one.
# - A pixel of 0 gets 0 under all rules but the box: the side effect of input x gradient.
# - What the biases absorb is on nobody's map.
# - $\epsilon$ is in units of $z$: 0.25 is little in one network and much in the next.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 11. The same in captum and zennit
#
# **captum:** give each layer its rule, `layer.rule = EpsilonRule(0.25)`, then `LRP(net).attribute(images, labels)`.
# It forgets the rules after each call, has no rule for `nn.Flatten` (give it one), and explains a stock ResNet-18
# without a word and wrongly.
#
# **zennit:** `LayerMapComposite([(nn.ReLU, Pass()), ((nn.Conv2d, nn.Linear), Epsilon(0.25))])`, then
# `with composite.context(net) as changed:` and the gradient of `changed(images)`.

# %% slideshow={"slide_type": "fragment"}
x_digits, y_digits = digit_images[:20], digit_labels[:20]
zennit_is_here = importlib.util.find_spec("zennit") is not None  # where the course's tests are installed


def of_captum(network, rule):
    """Relevance by captum with one rule in all layers with weights."""
    model = copy.deepcopy(network)  # captum's rules become attributes of the layers
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.rule = rule()
        elif not isinstance(layer, nn.ReLU):  # pooling, and flatten, which has no rule of its own
            layer.rule = lrp_rules.EpsilonRule(1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum warns that it sets hooks
        return attr.LRP(model).attribute(x_digits.clone(), y_digits)


def of_zennit(network, rule):
    """Relevance by zennit with one rule in all layers with weights."""
    from zennit.composites import LayerMapComposite
    from zennit.rules import Pass

    leaf = x_digits.clone().requires_grad_()
    with LayerMapComposite([(nn.ReLU, Pass()), ((nn.Conv2d, nn.Linear), rule)]).context(network) as changed:
        output = changed(leaf)
        return torch.autograd.grad(output, leaf, F.one_hot(y_digits, 10) * output.detach())[0]


biasless = copy.deepcopy(digits_net)
with torch.no_grad():
    for name, parameter in biasless.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()

ours = {"epsilon": Epsilon(0.25), "gamma": Gamma(0.25), "z+": ZPlus()}
in_captum = {
    "epsilon": lambda: lrp_rules.EpsilonRule(0.25),
    "gamma": lambda: lrp_rules.GammaRule(0.25),
    "z+": lrp_rules.Alpha1_Beta0_Rule,
}
theirs = {("captum", name): lambda network, rule=rule: of_captum(network, rule) for name, rule in in_captum.items()}
if zennit_is_here:
    from zennit import rules as zennit_rules

    in_zennit = {"epsilon": zennit_rules.Epsilon(0.25), "gamma": zennit_rules.Gamma(0.25), "z+": zennit_rules.ZPlus()}
    theirs |= {
        ("zennit", name): lambda network, rule=rule: of_zennit(network, rule) for name, rule in in_zennit.items()
    }

with torch.no_grad():
    positive = biasless(x_digits).gather(1, y_digits[:, None])[:, 0] > 0
    assert (digits_net(x_digits).gather(1, y_digits[:, None]) > 0).all()
everything = torch.ones_like(positive)
situations = {
    "with biases": (digits_net, everything),
    "biases 0": (biasless, everything),
    "biases 0, score > 0": (biasless, positive),
}
apart = {}
print("largest difference, relative to the largest relevance:")
for (library, name), explain in theirs.items():
    for situation, (network, which) in situations.items():
        expected = lrp(network, x_digits, y_digits, ours[name])
        difference = (explain(network) - expected)[which].abs().max() / expected[which].abs().max()
        apart[library, name, situation] = difference.item()
    found = ", ".join(f"{situation} {apart[library, name, situation]:.0e}" for situation in situations)
    print(f"{library} {name:8} {found}")

# %% slideshow={"slide_type": "skip"}
# What the next text says, checked.
assert all(value < 1e-4 for (_, name, _), value in apart.items() if name == "epsilon")
assert all(value < 1e-4 for (_, _, situation), value in apart.items() if situation == "biases 0, score > 0")
assert all(
    value < 1e-4 for (library, _, situation), value in apart.items() if (library, situation) == ("captum", "biases 0")
)
assert min(apart["captum", name, "with biases"] for name in ("gamma", "z+")) > 0.02
if zennit_is_here:
    assert apart["zennit", "z+", "with biases"] > 0.02 and apart["zennit", "gamma", "with biases"] < 1e-4
    assert apart["zennit", "gamma", "biases 0"] > 0.02

# %% [markdown] slideshow={"slide_type": "fragment"}
# **What to see** (zennit's lines appear where it is installed): on $\epsilon$ all agree. On $z^+$, and captum on
# $\gamma$, they differ from us by 7 to 20 percent of the largest relevance, and not at all without biases: the bias
# is the whole difference. We follow the slides: a bias is the weight of the formal neuron 0 and is treated as every
# weight; in $z^+$ it is 0, as in the slide's code. zennit's $\gamma$ agrees with ours while the score is positive;
# for a negative $z_k$ it favours what speaks against, where the slides' formula has no such case. When you report a
# map, report the library, too.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to remember
#
# 1. LRP sends a *value* down, a gradient sends a *slope* down. In every layer: forward, divide, backward, multiply.
# 2. $c$ is a gradient with $s$ held constant, so every layer that has a backward pass has an LRP pass.
# 3. Conservation is an account. Biases take $\sum_k b_k s_k$ and $\epsilon$ takes
#    $\sum_k \epsilon\,\mathrm{sign}(z_k) s_k$; with both on the list the sum is exact. $z^+$ and the box keep
#    everything that something speaks for, $\alpha\beta$ and negative biases can even make relevance.
# 4. LRP-0 is input x gradient in ReLU networks. $\epsilon$ drops faint contributions, $\gamma$ favours positive ones,
#    $z^+$ sees only these, the box is for pixels.
# 5. Divide with care: 0 / 0 is 0, and $\epsilon$ has the sign of $z$.
# 6. The composite (0, $\epsilon$, $\gamma$, box from top to bottom; on the digits, with two convolutions, no $\gamma$)
#    does well on the zoo and badly on the digits. Check, always.
# 7. LRP proposes, occlusion and counterfactuals decide. It gave the tag away, and the handle when it was asked for
#    the difference.
# 8. A map that is conservative may still say nothing about the class ($z^+$), and two ways to write one function may
#    give two maps.
#
# **Next:** lab 07 (`labs/07_lrp`). You write `propagate` for each rule, LRP for a whole network, `conservation` and
# the deletion of pixels in the order of their relevance, and the checks tell you what is wrong with an answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Corrections to the slides, collected
#
# | where | the slide | this lecture |
# | --- | --- | --- |
# | 2 | the last sum of the chain over $i$, of $R_d^{(1)}$ | over $d$ |
# | 2 | "Problem: ... Not conservative $f(x) = \sum_i R(x_i)$" | the formula is what saliency does not fulfil |
# | 3 | $f(x) = \cdots = \sum_d R_d^{(1)}$, with biases in the rules | equal only if what the biases absorb is counted |
# | 3, 4 | "LRP Calculation" with $w^+$ and `B = 0` under the general title | it is the rule $z^+$ |
# | 4 | `s = R / z` | 0 where $z = 0$; and $s$ is a constant |
# | 4 | $\epsilon + \sum_{0,j} a_j w_{jk}$ | $\epsilon$ has the sign of the sum |
# | 8 | red pixels "raise the probability" | they contributed to the score |
#
# The naive rule, the $\gamma$ rule, the four steps and $c$ as a gradient are right as printed; the cells above
# compute them. The slides' misclassified digit (label 1, predicted 6) is not in our held-out data; three others are.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## References
#
# - Bach, Binder, Montavon, Klauschen, Müller, Samek: *On pixel-wise explanations for non-linear classifier decisions
#   by layer-wise relevance propagation.* PLOS ONE 2015. ($\epsilon$, $\alpha\beta$)
# - Shrikumar, Greenside, Shcherbina, Kundaje: *Not just a black box: learning important features through propagating
#   activation differences.* arXiv 2016. (LRP-0 and input x gradient)
# - Montavon, Lapuschkin, Binder, Samek, Müller: *Explaining nonlinear classification decisions with deep Taylor
#   decomposition.* Pattern Recognition 2017. ($z^+$, $z^{\mathcal{B}}$)
# - Samek, Binder, Montavon, Lapuschkin, Müller: *Evaluating the visualization of what a deep neural network has
#   learned.* IEEE Transactions on Neural Networks and Learning Systems 2017. (deletion)
# - Montavon, Samek, Müller: *Methods for interpreting and understanding deep neural networks.* Digital Signal
#   Processing 2018.
# - Ancona, Ceolini, Öztireli, Gross: *Towards better understanding of gradient-based attribution methods for deep
#   neural networks.* ICLR 2018. (LRP-0 and input x gradient)
# - Montavon, Binder, Lapuschkin, Samek, Müller: *Layer-wise relevance propagation: an overview.* In: Explainable AI,
#   Springer LNCS 11700, 2019. ($\gamma$, the composite)
# - Lapuschkin, Wäldchen, Binder, Montavon, Samek, Müller: *Unmasking Clever Hans predictors and assessing what
#   machines really learn.* Nature Communications 2019.
# - Sixt, Granz, Landgraf: *When explanations lie: why many modified BP attributions fail.* ICML 2020.
# - Anders, Neumann, Samek, Müller, Lapuschkin: *Software for dataset-wide XAI: from local explanations to global
#   insights with Zennit, CoRelAy, and ViRelAy.* arXiv 2021.
