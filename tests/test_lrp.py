"""Layer-wise relevance propagation: against its matrix form, zennit, captum, closed forms and what theory demands."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from captum import attr
from captum.attr._utils import lrp_rules
from torch import Tensor, nn
from torchvision import models as torchvision_models
from zennit import composites
from zennit import rules as zennit_rules

from course_utils import gradient_methods as gm
from course_utils import models, zoo
from course_utils.lrp import (
    AlphaBeta,
    Epsilon,
    Gamma,
    Rule,
    ZBox,
    ZPlus,
    composite,
    conservation,
    layer_lrp,
    lrp,
    propagate,
)

torch.set_num_threads(1)

# Everything is float64: both sides round at 1e-16 a step, and a division by a small z magnifies it at most by some 1e4
# here, so that 1e-9 relative leaves a wide margin, and no formula that is wrong agrees so far.
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_weights(model: nn.Module, seed: int = 0, bias: float = 0.3) -> nn.Module:
    """Return the model in float64 and eval mode, with weights of its own; biases are `bias` times normal."""
    generator = source(seed)
    model = model.double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = bias if name.endswith("bias") else (2 / parameter[0].numel()) ** 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def pixels(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=source(seed), dtype=torch.float64)


def signed(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=source(seed), dtype=torch.float64)


# --- one layer: the matrix form ---------------------------------------------------------------------------------------

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Linear(7, 5), (7,)),
    "dense without bias": (nn.Linear(4, 6, bias=False), (4,)),
    "convolution": (nn.Conv2d(2, 3, 3), (2, 5, 4)),
    "strided, padded, dilated": (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2)), (2, 6, 5)),
    "grouped": (nn.Conv2d(4, 4, 3, padding=1, groups=2), (4, 4, 3)),
    "batch norm": (nn.BatchNorm2d(3), (3, 3, 2)),
}
RULES: dict[str, Rule] = {
    "0": Epsilon(0.0),
    "epsilon": Epsilon(0.25),
    "gamma": Gamma(0.5),
    "z+": ZPlus(),
    "alpha-beta": AlphaBeta(2.0, 1.0),
    "alpha 1": AlphaBeta(1.0, 0.0),
    "zB": ZBox(-0.5, 1.5),
}


def layer_of(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    layer, shape = LAYERS[name]
    layer = random_weights(copy.deepcopy(layer), seed=3)
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.copy_(signed(3, seed=4))
        layer.running_var.copy_(0.5 + pixels(3, seed=5))
    return layer, shape


def by_matrix(layer: nn.Module, a: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return R_j of one image, sums written out: W by the Jacobian, the bias as the weight of the unit a_0 = 1."""
    W = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0].flatten(), a).flatten(1)  # (k, j)
    b = layer(torch.zeros_like(a)[None])[0].detach().flatten()
    a_flat, R = a.flatten(), relevance.flatten()
    result = torch.zeros_like(a_flat)
    for k in range(len(W)):
        products = W[k] * a_flat  # a_j w_jk
        if isinstance(rule, Epsilon):
            z = products.sum() + b[k]
            shares = products / (z + (rule.epsilon if z >= 0 else -rule.epsilon))
        elif isinstance(rule, Gamma):
            favoured = a_flat * (W[k] + rule.gamma * W[k].clamp(min=0))
            shares = favoured / (favoured.sum() + b[k] + rule.gamma * max(b[k], 0))
        elif isinstance(rule, ZPlus):
            shares = products.clamp(min=0) / products.clamp(min=0).sum()
        elif isinstance(rule, AlphaBeta):
            plus, minus = products.clamp(min=0), products.clamp(max=0)
            plus, minus = plus / (plus.sum() + max(b[k], 0)), minus / (minus.sum() + min(b[k], 0))
            shares = rule.alpha * plus.nan_to_num() - rule.beta * minus.nan_to_num()
        else:
            boxed = products - rule.low * W[k].clamp(min=0) - rule.high * W[k].clamp(max=0)
            shares = boxed / boxed.sum()
        result += torch.nan_to_num(shares) * R[k]
    return result.view_as(a)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", [pixels, signed])
def test_rule_is_its_matrix_form(layer: str, rule: str, draw: Callable[..., Tensor]) -> None:
    module, shape = layer_of(layer)
    a = draw(2, *shape)
    R = signed(*module(a).shape, seed=6)
    expected = torch.stack([by_matrix(module, a[n], R[n], RULES[rule]) for n in range(2)])
    assert torch.allclose(propagate(module, a, R, RULES[rule]), expected, **CLOSE)


@pytest.mark.parametrize(
    "layer", [nn.AvgPool2d(2), nn.AvgPool2d(3, stride=2, padding=1), nn.AdaptiveAvgPool2d((2, 3))], ids=str
)
@pytest.mark.parametrize("rule", RULES)
def test_average_pooling_shares_out_in_proportion_to_its_inputs(layer: nn.Module, rule: str) -> None:
    a = pixels(2, 3, 6, 7)
    R = signed(*layer(a).shape)
    epsilon = RULES[rule].epsilon
    expected = torch.stack([by_matrix(layer, a[n], R[n], Epsilon(epsilon)) for n in range(2)])
    assert torch.allclose(propagate(layer, a, R, RULES[rule]), expected, **CLOSE)


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1), nn.AdaptiveMaxPool2d(2)])
def test_max_pooling_hands_all_to_the_winner(layer: nn.Module) -> None:
    a = pixels(2, 3, 6, 7)
    R = signed(*layer(a).shape)
    layer.return_indices = True
    _, switches = layer(a)
    expected = torch.zeros(2, 3, 42, dtype=torch.float64).scatter_add_(2, switches.flatten(2), R.flatten(2))
    layer.return_indices = False
    assert torch.equal(propagate(layer, a, R, ZPlus()), expected.view_as(a))


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Dropout2d(0.5), nn.Identity()])
def test_layers_that_treat_each_number_alone_hand_on(layer: nn.Module) -> None:
    a, R = signed(2, 3, 4, 4), signed(2, 3, 4, 4, seed=9)
    before = a.clone()
    assert torch.equal(propagate(layer.eval(), a, R, Gamma()), R)
    assert torch.equal(a, before)


def test_flatten_puts_the_relevance_back_in_place() -> None:
    R = signed(2, 24)
    assert torch.equal(propagate(nn.Flatten(), pixels(2, 2, 3, 4), R, Epsilon()), R.view(2, 2, 3, 4))


def unless_zero(z: Tensor) -> Tensor:
    return torch.where(z == 0, 1, z)


ZENNIT = {
    "0": zennit_rules.Epsilon(epsilon=lambda z: z),
    "epsilon": zennit_rules.Epsilon(epsilon=0.25),
    "gamma": zennit_rules.Gamma(0.5, stabilizer=lambda z: z),
    "z+": zennit_rules.ZPlus(stabilizer=unless_zero, zero_params=["bias"]),
    "alpha-beta": zennit_rules.AlphaBeta(2.0, 1.0, stabilizer=unless_zero),
    "zB": zennit_rules.ZBox(-0.5, 1.5, stabilizer=lambda z: z),
}


@pytest.mark.parametrize("layer", sorted(set(LAYERS) - {"batch norm"}))
@pytest.mark.parametrize("rule", ZENNIT)
def test_rule_is_that_of_zennit(layer: str, rule: str) -> None:
    module, shape = layer_of(layer)
    a = pixels(3, *shape).requires_grad_()
    if rule == "gamma":  # zennit's takes what speaks against an output of negative z: keep to those of positive z
        module.bias = nn.Parameter(20 + torch.rand(module.weight.shape[0], generator=source(7), dtype=torch.float64))
    R = signed(*module(a).shape, seed=8)
    handles = ZENNIT[rule].copy().register(module)
    (expected,) = torch.autograd.grad(module(a), a, R)
    handles.remove()
    assert torch.allclose(propagate(module, a.detach(), R, RULES[rule]), expected, **CLOSE)


# --- one layer: what is kept and what is absorbed ---------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.5, 10.0])
@pytest.mark.parametrize("layer", LAYERS)
def test_epsilon_and_bias_absorb_exactly_their_share(layer: str, epsilon: float) -> None:
    module, shape = layer_of(layer)
    a = signed(2, *shape)
    z = module(a).detach()
    b = module(torch.zeros_like(a)).detach()
    R = signed(*z.shape, seed=6)
    stabilised = z + epsilon * torch.where(z >= 0, 1.0, -1.0).double()
    kept = (R * (z - b) / stabilised).flatten(1).sum(1)
    assert torch.allclose(propagate(module, a, R, Epsilon(epsilon)).flatten(1).sum(1), kept, **CLOSE)


@pytest.mark.parametrize("gamma", [0.25, 4.0])
@pytest.mark.parametrize("layer", LAYERS)
def test_under_gamma_the_favoured_bias_absorbs_exactly_its_share(layer: str, gamma: float) -> None:
    module, shape = layer_of(layer)
    a = pixels(2, *shape)
    b = module(torch.zeros_like(a)).detach()
    W = torch.autograd.functional.jacobian(lambda x: module(x[None])[0].flatten(), a[0]).flatten(1)
    favoured = (a.flatten(1) @ (W + gamma * W.clamp(min=0)).T).view_as(b) + b + gamma * b.clamp(min=0)
    R = signed(*b.shape, seed=6)
    lost = (R * (b + gamma * b.clamp(min=0)) / favoured).flatten(1).sum(1)
    below = propagate(module, a, R, Gamma(gamma)).flatten(1).sum(1)
    assert torch.allclose(below + lost, R.flatten(1).sum(1), **CLOSE)


@pytest.mark.parametrize("layer", ["dense without bias", "convolution"])
def test_alpha_beta_keeps_the_relevance_only_of_outputs_that_get_both_signs(layer: str) -> None:
    module, shape = layer_of(layer)
    if module.bias is not None:
        module.bias.data.zero_()
    a = signed(2, *shape)
    R = signed(*module(a).shape)
    below = propagate(module, a, R, AlphaBeta(2.0, 1.0)).flatten(1).sum(1)
    assert torch.allclose(below, R.flatten(1).sum(1), **CLOSE)
    module.weight.data.abs_()  # now nothing speaks against an output: alpha times its relevance is handed down
    a = pixels(2, *shape)
    below = propagate(module, a, R, AlphaBeta(2.0, 1.0)).flatten(1).sum(1)
    assert torch.allclose(below, 2 * R.flatten(1).sum(1), **CLOSE)


@pytest.mark.parametrize("layer", sorted(set(LAYERS) - {"batch norm"}))
@pytest.mark.parametrize("rule", ["z+", "zB"])
def test_rules_without_bias_keep_the_relevance(layer: str, rule: str) -> None:
    module, shape = layer_of(layer)
    a = pixels(2, *shape)
    R = signed(*module(a).shape)
    if rule == "z+":  # an output that no input speaks for hands nothing down
        plus = copy.deepcopy(module)
        plus.weight.data.clamp_(min=0)
        plus.bias = None
        R = R * (plus(a) > 0)
    kept = propagate(module, a, R, RULES[rule]).flatten(1).sum(1)
    assert torch.allclose(kept, R.flatten(1).sum(1), **CLOSE)


@pytest.mark.parametrize("rule", ["0", "gamma", "z+", "zB"])
def test_shares_do_not_depend_on_the_size_of_the_weights(rule: str) -> None:
    module, shape = layer_of("dense without bias")
    a, R = pixels(2, *shape), signed(2, 6)
    before = propagate(module, a, R, RULES[rule])
    module.weight.data *= 7
    assert torch.allclose(propagate(module, a, R, RULES[rule]), before, **CLOSE)


def test_gamma_of_zero_is_lrp_0_and_a_large_one_comes_near_to_z_plus() -> None:
    module, shape = layer_of("dense without bias")
    a, R = pixels(2, *shape), signed(2, 6)
    assert torch.allclose(propagate(module, a, R, Gamma(0.0)), propagate(module, a, R, Epsilon(0.0)), **CLOSE)
    # (w + g w+) / g = w+ + w / g: the rest falls like 1 / g
    assert torch.allclose(propagate(module, a, R, Gamma(1e8)), propagate(module, a, R, ZPlus()), rtol=0, atol=1e-6)


def test_z_plus_is_alpha_1_without_the_bias() -> None:
    module, shape = layer_of("convolution")
    a, R = signed(2, *shape), signed(2, 3, 3, 2)
    module.bias.data.zero_()
    assert torch.allclose(propagate(module, a, R, ZPlus()), propagate(module, a, R, AlphaBeta(1, 0)), **CLOSE)


def test_relevance_of_the_box_is_never_of_the_other_sign() -> None:
    module, shape = layer_of("convolution")
    relevance = propagate(module, pixels(4, *shape), pixels(4, 3, 3, 2), ZBox(0.0, 1.0))
    assert (relevance >= 0).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("make", [torch.zeros_like, lambda w: -w.abs(), lambda w: w.abs()], ids=["dead", "-", "+"])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_dead_units_and_zero_activations_give_no_nan(rule: str, make: Callable[[Tensor], Tensor], value: float) -> None:
    module = nn.Linear(3, 4).double()
    module.weight.data, module.bias.data = make(module.weight.data), torch.zeros(4, dtype=torch.float64)
    a = torch.full((2, 3), value, dtype=torch.float64)
    assert propagate(module, a, signed(2, 4), RULES[rule]).isfinite().all()


# --- the whole network ------------------------------------------------------------------------------------------------


def vgg_like() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(48, 12), nn.ReLU(), nn.Linear(12, 4),
    )  # fmt: skip


def strided() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 5, (3, 2), stride=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(5, 4, 2, dilation=2, padding=1),
        nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1), nn.Flatten(), nn.LazyLinear(4),
    )  # fmt: skip


def built(build: Callable[[], nn.Sequential], bias: float = 0.3) -> nn.Sequential:
    model = build()
    model(torch.zeros(1, 3, 12, 13))
    return random_weights(model, bias=bias)


BUILDS = pytest.mark.parametrize("build", [vgg_like, strided], ids=lambda build: build.__name__)
IMAGES, TARGET = pixels(3, 3, 12, 13), torch.tensor([1, 3, 0])


def scores(model: nn.Module, inputs: Tensor = IMAGES, target: Tensor = TARGET) -> Tensor:
    with torch.no_grad():
        return model(inputs.clone()).gather(1, target[:, None])[:, 0]


def zennit_lrp(model: nn.Module, layer_map: list, first: zennit_rules.BasicHook | None = None) -> Tensor:
    """Return zennit's relevance of the pixels, with pooling as ours shares it out."""
    pool = [((nn.AvgPool2d, nn.AdaptiveAvgPool2d), zennit_rules.Norm(stabilizer=unless_zero))]
    passing = [(nn.ReLU, zennit_rules.Pass())]
    first_map = [] if first is None else [((nn.Conv2d,), first)]
    chosen = composites.SpecialFirstLayerMapComposite(passing + pool + layer_map, first_map)
    inputs = IMAGES.clone().requires_grad_()
    with chosen.context(model) as changed:
        output = changed(inputs)
        one_hot = F.one_hot(TARGET, output.shape[1]) * output
        return torch.autograd.grad(output, inputs, one_hot.detach())[0]


@BUILDS
@pytest.mark.parametrize("epsilon", [1e-9, 1e-3, 0.25])
def test_epsilon_in_all_layers_is_that_of_zennit(build: Callable[[], nn.Sequential], epsilon: float) -> None:
    model = built(build)
    weights = [((nn.Conv2d, nn.Linear), zennit_rules.Epsilon(epsilon))]
    # Average pooling: zennit has no epsilon there, so ours gets none either, by naming the layers.
    rules = {
        name: Epsilon(epsilon) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    }
    rules |= {name: Epsilon(0.0) for name, layer in model.named_modules() if "Avg" in type(layer).__name__}
    assert torch.allclose(lrp(model, IMAGES, TARGET, rules), zennit_lrp(model, weights), **CLOSE)


@BUILDS
def test_composite_is_that_of_zennit(build: Callable[[], nn.Sequential]) -> None:
    model = built(build)
    dense = zennit_rules.Epsilon(lambda z: z)
    middle = zennit_rules.ZPlus(stabilizer=unless_zero, zero_params=["bias"])
    weights = [((nn.Linear,), dense), ((nn.Conv2d,), middle)]
    first = zennit_rules.ZBox(0.0, 1.0, stabilizer=lambda z: z)
    ours = composite(model, lower=ZPlus(), middle=ZPlus())
    assert torch.allclose(lrp(model, IMAGES, TARGET, ours), zennit_lrp(model, weights, first), **CLOSE)


@BUILDS
@pytest.mark.parametrize("epsilon", [1e-9, 0.1])
def test_epsilon_in_all_layers_is_that_of_captum(build: Callable[[], nn.Sequential], epsilon: float) -> None:
    model = built(build)
    ours = lrp(model, IMAGES, TARGET, Epsilon(epsilon))
    for layer in model:
        if isinstance(layer, nn.Flatten | nn.MaxPool2d):  # a winner's z is its own a, and so is that of what is moved
            layer.rule = lrp_rules.EpsilonRule(1e-12)
        elif not isinstance(layer, nn.ReLU | nn.Dropout):
            layer.rule = lrp_rules.EpsilonRule(epsilon)
    expected = attr.LRP(model).attribute(IMAGES.clone(), TARGET)
    # captum stabilises by sign(z) * epsilon with sign(0) = 1, and the winners by 1e-12, which shows from 1e-12 / z on.
    assert torch.allclose(ours, expected, rtol=1e-6, atol=1e-8 * expected.abs().max().item())


@BUILDS
def test_lrp_0_without_biases_is_input_times_gradient(build: Callable[[], nn.Sequential]) -> None:
    model = built(build, bias=0.0)
    assert torch.allclose(lrp(model, IMAGES, TARGET, Epsilon(0.0)), gm.input_x_gradient(model, IMAGES, TARGET), **CLOSE)


@BUILDS
@pytest.mark.parametrize("rule", [Epsilon(0.0), Gamma(0.25), ZPlus(), None], ids=["0", "gamma", "z+", "composite"])
def test_without_biases_every_layer_holds_the_score(build: Callable[[], nn.Sequential], rule: Rule | None) -> None:
    model = built(build, bias=0.0)
    rules = composite(model, middle=Epsilon(0.0)) if rule is None else rule
    _, layers = lrp(model, IMAGES, TARGET, rules, return_layers=True)
    sums = conservation(layers)
    assert sums.shape == (3, len(layers)) and len(layers) > 8
    assert ((sums - scores(model)[:, None]).abs() <= 1e-9 * scores(model).abs()[:, None].clamp(min=1)).all()


@BUILDS
@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.25])
def test_score_is_what_arrives_and_what_biases_and_epsilon_absorb(
    build: Callable[[], nn.Sequential], epsilon: float
) -> None:
    model = built(build)
    relevance, layers = lrp(model, IMAGES, TARGET, Epsilon(epsilon), return_layers=True)
    absorbed, a = torch.zeros(3, dtype=torch.float64), IMAGES
    for name, layer in model.named_children():
        z = layer(a.clone()).detach()
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            b = layer(torch.zeros_like(a)).detach()
            sign = torch.where(z >= 0, 1.0, -1.0).double()
            s = torch.nan_to_num(layers[name] / (z + epsilon * sign), posinf=0.0, neginf=0.0)
            absorbed += ((b + epsilon * sign) * s).flatten(1).sum(1)
        a = z
    assert torch.allclose(relevance.flatten(1).sum(1) + absorbed, scores(model), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["zoo", "zoo-gap"])
def test_in_32_bits_z_plus_keeps_the_score_in_every_layer(name: str) -> None:
    model = models.load(name)
    inputs = zoo.sample(8, seed=5).images  # on each of them every unit with relevance has an input that speaks for it
    target = torch.arange(8)
    _, layers = lrp(model, inputs, target, ZPlus(), return_layers=True)
    expected = scores(model, inputs, target)
    assert ((conservation(layers) - expected[:, None]).abs() <= 1e-4 * expected.abs()[:, None]).all()


def test_z_plus_loses_exactly_the_relevance_of_units_that_no_input_speaks_for() -> None:
    model = models.load("digits")
    inputs, target = models.digits(train=False)
    inputs, target = inputs[:20], target[:20]
    relevance, layers = lrp(model, inputs, target, ZPlus(), return_layers=True)
    for_it = F.conv2d(inputs, model[0].weight.detach().clamp(min=0), padding=1)
    lost = torch.where(for_it == 0, layers["0"], 0.0).flatten(1).sum(1)
    score = scores(model, inputs, target)
    assert (lost.abs() > 0.01 * score.abs()).any()
    assert torch.allclose(relevance.flatten(1).sum(1) + lost, score, rtol=1e-4, atol=1e-4)


CAPTUM = {
    "gamma": (lambda: lrp_rules.GammaRule(0.25), Gamma(0.25)),
    "z+": (lrp_rules.Alpha1_Beta0_Rule, ZPlus()),
}


@BUILDS
@pytest.mark.parametrize("rule", CAPTUM)
def test_without_biases_gamma_and_z_plus_are_those_of_captum(build: Callable[[], nn.Sequential], rule: str) -> None:
    make, ours = CAPTUM[rule]
    model = built(build, bias=0.0)  # captum's bias is in z, but not favoured
    expected = lrp(model, IMAGES, TARGET, ours)
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.rule = make()
        elif not isinstance(layer, nn.ReLU | nn.Dropout):
            layer.rule = lrp_rules.EpsilonRule(1e-12)
    theirs = attr.LRP(model).attribute(IMAGES.clone(), TARGET)
    assert torch.allclose(expected, theirs, rtol=1e-6, atol=1e-7 * expected.abs().max().item())


@pytest.mark.parametrize("rule", [*RULES.values(), None], ids=[*RULES, "composite"])
@pytest.mark.parametrize("where", ["0", "2", "5"])
def test_a_layer_that_is_negative_everywhere_lets_nothing_through(where: str, rule: Rule | None) -> None:
    model = built(vgg_like)
    layer = model.get_submodule(where)
    layer.weight.data = -layer.weight.data.abs()
    layer.bias.data = -1 - layer.bias.data.abs()
    _, layers = lrp(model, IMAGES, TARGET, rule, return_layers=True)
    assert all(values.isfinite().all() for values in layers.values())
    if not isinstance(rule, ZBox):  # in a layer above, the box gives an activation of 0 its share
        assert (layers[where] == 0).all() and (layers["inputs"] == 0).all()


@BUILDS
def test_relevance_of_each_layer_is_that_of_propagating_by_hand(build: Callable[[], nn.Sequential]) -> None:
    model = built(build)
    rules = composite(model)
    relevance, layers = lrp(model, IMAGES, TARGET, return_layers=True)
    activations = [IMAGES]
    for layer in model:
        activations.append(layer(activations[-1].clone()).detach())
    R = F.one_hot(TARGET, 4) * activations[-1]
    for n in reversed(range(len(model))):
        assert torch.allclose(layers[str(n)], R, **CLOSE)
        R = propagate(model[n], activations[n], R, rules.get(str(n), Epsilon(0.0)))
    assert list(layers) == ["inputs", *map(str, range(len(model)))]
    assert torch.allclose(layers["inputs"], R, **CLOSE)
    assert torch.equal(layers["inputs"], relevance)


@BUILDS
@pytest.mark.parametrize("rules", [None, Epsilon(0.1), AlphaBeta()])
def test_a_batch_is_explained_as_one_by_one(build: Callable[[], nn.Sequential], rules: Rule | None) -> None:
    model = built(build)
    together = lrp(model, IMAGES, TARGET, rules)
    alone = torch.cat([lrp(model, IMAGES[n : n + 1], int(TARGET[n]), rules) for n in range(3)])
    assert torch.allclose(together, alone, **CLOSE)


@pytest.mark.parametrize("name", ["zoo", "zoo-gap", "zoo-alex", "digits"])
@pytest.mark.parametrize("rules", [None, *RULES.values()], ids=["composite", *RULES])
def test_shipped_networks_are_explained_without_nan(name: str, rules: Rule | None) -> None:
    model = models.load(name)
    shape = (1, 8, 8) if name == "digits" else (3, 64, 64)
    inputs = torch.rand(2, *shape, generator=source(3))
    inputs[1] = 0.0  # a black image: activations of the biases alone
    relevance = lrp(model, inputs, 3, rules)
    assert relevance.isfinite().all() and relevance.shape == inputs.shape and relevance.dtype == torch.float32


# --- batch norm, residual sums, functions -----------------------------------------------------------------------------


def with_norms() -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, bias=False), nn.BatchNorm2d(5, affine=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 4),
    )  # fmt: skip
    model = random_weights(model)
    for n, norm in enumerate(layer for layer in model if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.running_mean.copy_(0.2 * signed(norm.num_features, seed=n))
        norm.running_var.copy_(0.5 + pixels(norm.num_features, seed=n))
    return model


def folded(model: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(model):
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = torch.nn.utils.fusion.fuse_conv_bn_eval(layers[-1], layer)
        elif isinstance(layer, nn.BatchNorm1d):
            layers[-1] = torch.nn.utils.fusion.fuse_linear_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("rule", [*RULES.values(), None], ids=[*RULES, "composite"])
def test_batch_norm_is_folded(rule: Rule | None) -> None:
    model = with_norms()
    assert torch.allclose(lrp(model, IMAGES, TARGET, rule), lrp(folded(model), IMAGES, TARGET, rule), **CLOSE)


def test_batch_norm_behind_an_in_place_relu_is_no_part_of_the_convolution() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = random_weights(nn.Sequential(*layers))
    other = copy.deepcopy(model)
    other[1] = nn.ReLU()
    assert torch.allclose(lrp(model, IMAGES, TARGET), lrp(other, IMAGES, TARGET), **CLOSE)
    a = model[:2](IMAGES).detach()
    _, layers = lrp(model, IMAGES, TARGET, Epsilon(), return_layers=True)
    assert torch.allclose(propagate(model[2], a, layers["2"], Epsilon()), layers["1"], **CLOSE)


class Residual(nn.Module):
    """A ResNet-like network whose sum and ReLUs are written in several ways."""

    def __init__(self, addition: str = "+", relu: str = "module") -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.activation, self.pool, self.dense = nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Linear(16, 4)
        self.addition, self.relu = addition, relu

    def rectified(self, maps: Tensor) -> Tensor:
        ways = {
            "module": self.activation,
            "function": F.relu,
            "in place": lambda x: F.relu(x, inplace=True),
            "method": lambda x: x.relu(),
            "torch": torch.relu_,
        }
        return ways[self.relu](maps)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.rectified(self.first(inputs))
        branch = self.second(maps)
        if self.addition == "+=":
            branch += maps
        else:
            branch = torch.add(branch, maps) if self.addition == "add" else branch + maps
        return self.dense(torch.flatten(self.pool(self.rectified(branch)), 1))


@pytest.mark.parametrize("relu", ["module", "function", "in place", "method", "torch"])
@pytest.mark.parametrize("addition", ["+", "+=", "add"])
def test_residual_sum_shares_out_in_proportion_however_it_is_written(addition: str, relu: str) -> None:
    model = random_weights(Residual(addition, relu))
    maps = model.first(IMAGES).relu().detach()
    branch = model.second(maps).detach()
    total = (branch + maps).detach()
    pooled = model.pool(total.relu()).detach()
    R = F.one_hot(TARGET, 4) * model.dense(pooled.flatten(1)).detach()
    R = propagate(model.dense, pooled.flatten(1), R, Epsilon(0.0)).view_as(pooled)
    R = propagate(model.pool, total.relu(), R, Epsilon(0.0))
    s = torch.where(total == 0, 0, R / total)
    R = maps * s + propagate(model.second, maps, branch * s, Epsilon(0.0))
    expected = propagate(model.first, IMAGES, R, Epsilon(0.0))
    assert torch.allclose(lrp(model, IMAGES, TARGET, Epsilon(0.0)), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("addition", ["+", "+="])
def test_scores_of_a_residual_network_are_its_own(addition: str) -> None:
    model = random_weights(Residual(addition), bias=0.0)
    relevance = lrp(model, IMAGES, TARGET, Epsilon(0.0))
    assert torch.allclose(relevance.flatten(1).sum(1), scores(model), **CLOSE)


@pytest.mark.parametrize("build", [torchvision_models.resnet18, torchvision_models.vgg11_bn], ids=["ResNet", "VGG"])
def test_torchvisions_networks_without_biases_hold_the_score_at_the_pixels(build: Callable[..., nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(weights=None).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    inputs, target = pixels(1, 3, 64, 64), torch.tensor([5])
    relevance = lrp(model, inputs, target, Epsilon(0.0))
    assert torch.allclose(relevance.sum(), scores(model, inputs, target), rtol=1e-6)


def test_default_box_behind_a_normalisation_is_that_of_the_normalised_pixels() -> None:
    normalise = models.Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.5]).double()
    model = nn.Sequential(normalise, built(vgg_like))
    inner = composite(model)["1.0"]
    low = (0 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.25, 0.5])
    assert torch.allclose(inner.low.flatten(), low.double()) and torch.allclose(
        (inner.high - inner.low).flatten(), 1 / torch.tensor([0.2, 0.25, 0.5]).double()
    )
    relevance = lrp(model, IMAGES, TARGET)
    assert torch.allclose(
        relevance, lrp(model[1], normalise(IMAGES), TARGET, composite(model[1], first=inner)), **CLOSE
    )


# --- layers of unit 06, state, bad input ------------------------------------------------------------------------------


def test_layer_relevance_is_that_of_the_whole_pass() -> None:
    model = built(vgg_like)
    _, layers = lrp(model, IMAGES, TARGET, Epsilon(1e-9), return_layers=True)
    assert torch.equal(layer_lrp(model, IMAGES, TARGET, "4", Epsilon(1e-9)), layers["4"])
    assert torch.equal(gm.layer_attribution("lrp", model, IMAGES, TARGET, model[4]), layers["4"])


def test_reused_layer_appears_with_the_number_of_its_call() -> None:
    model = random_weights(Residual())
    _, layers = lrp(model, IMAGES, TARGET, return_layers=True)
    assert list(layers) == ["inputs", "first", "activation", "second", "activation (call 2)", "pool", "dense"]
    with pytest.raises(ValueError, match=r"'activation' has no relevance of its own .*'activation \(call 2\)'"):
        layer_lrp(model, IMAGES, TARGET, "activation")


def test_folded_convolution_has_no_relevance_of_its_own() -> None:
    _, layers = lrp(with_norms(), IMAGES, TARGET, return_layers=True)
    assert "0" not in layers and "1" in layers
    with pytest.raises(ValueError, match="'0' has no relevance of its own"):
        layer_lrp(with_norms(), IMAGES, TARGET, "0")


@pytest.mark.parametrize("fails", [False, True])
def test_lrp_leaves_everything_as_it_was(fails: bool) -> None:
    model = with_norms()
    before, weights = IMAGES.clone(), copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    with torch.no_grad():
        if fails:
            with pytest.raises(RuntimeError):
                lrp(model, IMAGES[:, :2], TARGET)
        else:
            lrp(model, IMAGES, TARGET)
        assert not torch.is_grad_enabled()
    assert torch.equal(IMAGES, before) and not IMAGES.requires_grad
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert all(not module._forward_hooks and "forward" not in vars(module) for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


class Odd(nn.Module):
    """A network with something that LRP cannot walk over."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.pool = nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)
        self.middle = middle

    def forward(self, inputs: Tensor) -> Tensor:
        return self.pool(self.middle(self.first(inputs))).flatten(1)


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        (torch.tanh, "Tanh"),
        (nn.Sigmoid(), "Sigmoid"),
        (lambda x: F.avg_pool2d(x, 2), "AvgPool2D"),
        (lambda x: x * x.sigmoid(), "Mul"),
        (lambda x: torch.cat([x, x], 1), "Cat"),
        (lambda x: x + 1, "Add"),
        (nn.LeakyReLU(), "LeakyRelu"),
        (lambda x: F.conv2d(x, torch.ones(4, 4, 1, 1, dtype=x.dtype)), "Convolution"),
    ],
    ids=["tanh", "sigmoid", "average", "gate", "cat", "constant", "leaky", "convolution"],
)
def test_an_operation_without_a_rule_is_refused_by_name(middle: Callable[[Tensor], Tensor], named: str) -> None:
    with pytest.raises(ValueError, match=rf"lrp has no rule for .*{named}.*LRP walks over nn.Conv2d"):
        lrp(random_weights(Odd(middle)), IMAGES, TARGET)


BAD_CALLS: dict[str, tuple[Callable[[nn.Module], object], type[Exception], str]] = {
    "no batch": (lambda m: lrp(m, IMAGES[0], 0), ValueError, "must be a batch"),
    "NaN": (lambda m: lrp(m, IMAGES * float("nan"), 0), ValueError, "must be finite"),
    "target": (lambda m: lrp(m, IMAGES, 9), ValueError, "target"),
    "dtype": (lambda m: lrp(m, IMAGES.float(), 0), TypeError, "computes in torch.float64"),
    "train mode": (lambda m: lrp(m.train(), IMAGES, 0), ValueError, "train mode"),
    "rules": (lambda m: lrp(m, IMAGES, 0, "epsilon"), TypeError, "rules must be a rule, a dict"),
    "rule class": (lambda m: lrp(m, IMAGES, 0, {"0": Epsilon}), TypeError, r"rules\['0'\] must be Epsilon\(\), "),
    "layer": (lambda m: lrp(m, IMAGES, 0, {"99": Epsilon()}), ValueError, "no layer '99'; its layers are: '0'"),
    "ReLU": (lambda m: lrp(m, IMAGES, 0, {"1": Epsilon()}), ValueError, r"rules\['1'\]: a layer of kind ReLU takes"),
    "epsilon": (lambda m: Epsilon(-1.0), ValueError, "epsilon must be a finite number of at least 0, got -1"),
    "gamma": (lambda m: Gamma(float("nan")), ValueError, "gamma must be a finite number"),
    "alpha": (lambda m: AlphaBeta(2.0, 2.0), ValueError, "alpha - beta must be 1, .* got alpha 2.0 and beta 2.0"),
    "box": (lambda m: ZBox(1.0, 0.0), ValueError, "low must be at most high"),
    "kind": (lambda m: propagate(nn.Tanh(), IMAGES, IMAGES, Epsilon()), ValueError, "no rule for a layer of kind Tanh"),
    "no layer": (lambda m: propagate("0", IMAGES, IMAGES, Epsilon()), TypeError, "layer must be a torch.nn.Module"),
    "shape": (
        lambda m: propagate(m[0], IMAGES, IMAGES, Epsilon()),
        ValueError,
        r"relevance must have the shape of the layer's output, \(3, 6, 12, 13\), got \(3, 3, 12, 13\)",
    ),
    "integers": (
        lambda m: propagate(m[0], IMAGES, IMAGES.long(), Epsilon()),
        TypeError,
        "relevance must be a float tensor, got torch.int64",
    ),
    "no rule": (lambda m: propagate(m[0], IMAGES, IMAGES, None), TypeError, "rule must be Epsilon"),
    "composite": (lambda m: composite(m, lower="gamma"), TypeError, "lower must be Epsilon"),
    "composite of": (lambda m: composite([m]), TypeError, "model must be a torch.nn.Module"),
    "no relevances": (lambda m: conservation([]), ValueError, "relevances is empty"),
    "other relevances": (lambda m: conservation([IMAGES, IMAGES[:1]]), ValueError, "of the same 3 images"),
    "no tensors": (lambda m: conservation([1.0]), TypeError, "must hold tensors"),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_arguments_are_refused_by_name(call: str) -> None:
    bad, error, message = BAD_CALLS[call]
    with pytest.raises(error, match=message):
        bad(built(vgg_like))


def test_composite_names_a_rule_for_each_layer_with_weights() -> None:
    assert composite(models.load("zoo")) == {
        "0": ZBox(0.0, 1.0), "3": Gamma(0.25), "6": Epsilon(1e-6), "9": Epsilon(1e-6),
        "13": Epsilon(0.0), "15": Epsilon(0.0),
    }  # fmt: skip
