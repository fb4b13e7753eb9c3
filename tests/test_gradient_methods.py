"""Gradient methods against captum, the slides' numbers, closed forms and their own properties."""

from __future__ import annotations

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from captum import attr
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, nn

from course_utils import gradient_methods as gm

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


# --- networks and helpers ---------------------------------------------------------------------------------------


def plain(inplace: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(10, 7), nn.ReLU(inplace), nn.Linear(7, 4),
    )  # fmt: skip


def inplace() -> nn.Sequential:
    return plain(inplace=True)


def strided() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 5, 2), nn.ReLU(True), nn.Flatten(),
        nn.Linear(40, 4),
    )  # fmt: skip


def overlapping() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2), nn.Conv2d(4, 5, 3), nn.ReLU(),
        nn.MaxPool2d(3, stride=1, padding=1), nn.Flatten(), nn.Linear(45, 4),
    )  # fmt: skip


def gap() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip


SHAPES = {plain: (3, 13, 10), inplace: (3, 13, 10), strided: (1, 13, 21), overlapping: (3, 11, 11), gap: (3, 12, 10)}
TARGET = torch.tensor([0, 3, 1])
every_network = pytest.mark.parametrize("build", SHAPES, ids=lambda build: build.__name__)


def make(build) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network with random weights in eval mode, three images and three targets."""
    torch.manual_seed(1)
    return build().eval(), torch.rand(3, *SHAPES[build]), TARGET.clone()


class Clone(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.clone()


def twin(model: nn.Sequential) -> nn.Sequential:
    """The same network as captum wants it: no in-place ReLU, no ReLU directly before a pool."""
    model = copy.deepcopy(model)
    for index, module in enumerate(model):
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.MaxPool2d):
            model[index] = nn.Sequential(Clone(), module)
    return model


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    scale = theirs.abs().max()
    assert scale > 0, "the comparison says nothing"
    assert (ours - theirs).abs().max() <= tolerance * scale


def score(model: nn.Module, inputs: Tensor, target: Tensor | int) -> Tensor:
    with torch.no_grad():
        return model(inputs.clone())[torch.arange(len(inputs)), target]


class Formula(nn.Module):
    """Scores (N, 1) by a formula of the pixels (N, pixels)."""

    def __init__(self, formula) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, inputs: Tensor) -> Tensor:
        return self.formula(inputs.flatten(1)).unsqueeze(1)


def pixels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def black_and_white(inputs: Tensor) -> Tensor:
    """A set of two baseline images."""
    return torch.stack([torch.zeros(inputs.shape[-3:]), torch.ones(inputs.shape[-3:])])


EXTRA = {"deep_lift_shap", "gradient_shap"}


def layer_call(name: str, layer: str = "3"):
    def call(model: nn.Module, inputs: Tensor, target: Tensor | int) -> Tensor:
        options = {"baselines": black_and_white(inputs)} if name in EXTRA else {}
        if name in ("conductance", "internal_influence", "integrated_gradients"):
            options["n_steps"] = 6
        return gm.layer_attribution(name, model, inputs, target, layer, **options)

    return call


def neuron_call(name: str, layer: str = "3", neuron: tuple[int, ...] = (2, 1, 1)):
    def call(model: nn.Module, inputs: Tensor, target: Tensor | int) -> Tensor:
        options = {"baselines": black_and_white(inputs)} if name in EXTRA else {}
        if name == "conductance":
            options["target"] = target
        if name in ("conductance", "integrated_gradients"):
            options["n_steps"] = 6
        return gm.neuron_attribution(name, model, inputs, layer, neuron, **options)

    return call


PIXEL_METHODS = {
    "gradient": gm.gradient,
    "saliency": gm.saliency,
    "input_x_gradient": gm.input_x_gradient,
    "integrated_gradients": lambda m, x, t: gm.integrated_gradients(m, x, t, n_steps=6),
    "smoothgrad": lambda m, x, t: gm.smoothgrad(m, x, t, n_samples=4),
    "deconvnet": gm.deconvnet,
    "guided_backprop": gm.guided_backprop,
    "first_order": lambda m, x, t: gm.first_order(m, x, t)[0],
    "grad_cam": lambda m, x, t: gm.grad_cam(m, x, t, "3"),
    "guided_grad_cam": lambda m, x, t: gm.guided_grad_cam(m, x, t, "3"),
    "deconvnet_reconstruction": lambda m, x, t: gm.deconvnet_reconstruction(m, x, "3"),
}
METHODS = (
    PIXEL_METHODS
    | {f"layer {name}": layer_call(name) for name in gm.LAYER_ATTRIBUTIONS}
    | {f"neuron {name}": neuron_call(name) for name in gm.NEURON_ATTRIBUTIONS}
)
RANDOM = {"smoothgrad", "layer gradient_shap", "neuron gradient_shap"}
every_method = pytest.mark.parametrize("method", METHODS)


# --- the slides' numbers ----------------------------------------------------------------------------------------

SLIDE_INPUTS = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
SLIDE_SIGNAL = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]])
SLIDE_TABLES = {
    "gradient": [[-2.0, 0, -1], [6, 0, 0], [0, -1, 3]],
    "deconvnet": [[0.0, 3, 0], [6, 0, 1], [2, 0, 3]],
    "guided": [[0.0, 0, 0], [6, 0, 0], [0, 0, 3]],
}


@pytest.mark.parametrize("rule", SLIDE_TABLES)
def test_relu_backward_gives_the_table_of_the_slides(rule):
    assert torch.equal(gm.relu_backward(SLIDE_INPUTS, SLIDE_SIGNAL, rule), torch.tensor(SLIDE_TABLES[rule]))


def test_relu_backward_follows_the_gradient_by_default():
    inputs = SLIDE_INPUTS.clone().requires_grad_()
    (expected,) = torch.autograd.grad(inputs.relu(), inputs, SLIDE_SIGNAL)
    assert torch.equal(gm.relu_backward(SLIDE_INPUTS, SLIDE_SIGNAL), expected)


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_relu_backward_passes_nothing_at_zero(rule):
    assert gm.relu_backward(torch.zeros(3), torch.ones(3), rule).tolist() == [0, 0, 0]


def test_relu_backward_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match="rule must be one of 'gradient', 'deconvnet', 'guided', got 'relu'"):
        gm.relu_backward(SLIDE_INPUTS, SLIDE_SIGNAL, "relu")


def test_relu_backward_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="output_gradient must have the shape"):
        gm.relu_backward(SLIDE_INPUTS, SLIDE_SIGNAL[:2])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((SLIDE_INPUTS.tolist(), SLIDE_SIGNAL), "inputs"),
        ((SLIDE_INPUTS, SLIDE_SIGNAL.tolist()), "output_gradient"),
    ],
)
def test_relu_backward_refuses_lists_by_name(arguments, name):
    with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got list"):
        gm.relu_backward(*arguments)


# --- closed forms -----------------------------------------------------------------------------------------------

circle = Formula(lambda p: p[:, 0] ** 2 + p[:, 1] ** 2 - 9)
# The slides' table says 0 beyond saturation; the formula gives 1, as do the slides' own three examples.
saturation = Formula(lambda p: 1 - (1 - p[:, 0] - p[:, 1]).clamp(min=0))


def test_gradient_of_the_circle_is_twice_the_point():
    assert torch.equal(gm.gradient(circle, pixels(2, -1), 0), pixels(4, -2))


def test_first_order_of_the_circle_is_its_tangent_plane():
    weights, constant = gm.first_order(circle, pixels(2, -1), 0)
    assert torch.equal(weights, pixels(4, -2))
    assert constant.tolist() == [-14]  # -(x^2 + y^2) - 9


def test_integrated_gradients_of_the_circle_are_the_squares():
    assert torch.allclose(gm.integrated_gradients(circle, pixels(2, -1), 0, n_steps=2), pixels(4, 1))


@pytest.mark.parametrize("method", ["gradient", "saliency", "input_x_gradient"])
def test_gradient_methods_see_nothing_beyond_saturation(method):
    assert not PIXEL_METHODS[method](saturation, pixels(1, 0.5), 0).any()


@pytest.mark.parametrize("image", [(1, 1), (0, 1), (1, 0)])
def test_the_saturated_score_is_one(image):
    assert score(saturation, pixels(*image), 0).tolist() == [1]


def test_integrated_gradients_share_out_the_saturated_score():
    attributions = gm.integrated_gradients(saturation, pixels(1, 1), 0, n_steps=400)
    assert torch.allclose(attributions, pixels(0.5, 0.5), atol=3e-3)


def linear() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), torch.rand(3, 3, 2, 2)


LINEAR_ANSWERS = {
    "gradient": lambda w, x: w,
    "deconvnet": lambda w, x: w,
    "guided_backprop": lambda w, x: w,
    "smoothgrad": lambda w, x: w,
    "saliency": lambda w, x: w.abs().amax(1),
    "input_x_gradient": lambda w, x: w * x,
    "integrated_gradients": lambda w, x: w * x,
}


@pytest.mark.parametrize("method", LINEAR_ANSWERS)
def test_in_a_linear_model_the_weights_are_the_explanation(method):
    model, inputs = linear()
    weights = model[1].weight[TARGET].detach().view(3, 3, 2, 2)
    assert_close(PIXEL_METHODS[method](model, inputs, TARGET), LINEAR_ANSWERS[method](weights, inputs), 1e-6)


def test_first_order_of_a_linear_model_returns_its_bias():
    model, inputs = linear()
    assert torch.allclose(gm.first_order(model, inputs, TARGET)[1], model[1].bias[TARGET], atol=1e-6)


def test_a_black_pixel_gets_nothing_from_input_x_gradient_although_its_gradient_is_not_zero():
    model, inputs = linear()
    inputs[:, :, 0, 0] = 0
    assert gm.gradient(model, inputs, TARGET)[:, :, 0, 0].abs().min() > 0
    assert not gm.input_x_gradient(model, inputs, TARGET)[:, :, 0, 0].any()


# --- captum as the oracle, pixels -------------------------------------------------------------------------------

PIXEL_ORACLES = {
    "gradient": lambda m, x, t: attr.Saliency(m).attribute(x, t, abs=False),
    "saliency": lambda m, x, t: attr.Saliency(m).attribute(x, t).amax(1),
    "input_x_gradient": lambda m, x, t: attr.InputXGradient(m).attribute(x, t),
    "integrated_gradients": lambda m, x, t: attr.IntegratedGradients(m).attribute(x, target=t, n_steps=6),
    "deconvnet": lambda m, x, t: attr.Deconvolution(m).attribute(x, t),
    "guided_backprop": lambda m, x, t: attr.GuidedBackprop(m).attribute(x, t),
    "grad_cam": lambda m, x, t: attr.LayerGradCam(m, m[3]).attribute(x, t, relu_attributions=True),
    "guided_grad_cam": lambda m, x, t: attr.GuidedGradCam(m, m[3]).attribute(x, t),
}


@every_network
@pytest.mark.parametrize("method", PIXEL_ORACLES)
def test_pixel_methods_agree_with_captum(method, build):
    model, inputs, target = make(build)
    assert_close(PIXEL_METHODS[method](model, inputs, target), PIXEL_ORACLES[method](twin(model), inputs, target))


@pytest.mark.parametrize("baselines", [0.3, torch.full((1, 3, 13, 10), 0.2), torch.rand(3, 3, 13, 10)])
def test_integrated_gradients_with_baselines_agree_with_captum(baselines):
    model, inputs, target = make(plain)
    theirs = attr.IntegratedGradients(model).attribute(inputs, baselines, target)
    assert_close(gm.integrated_gradients(model, inputs, target, baselines), theirs)


def test_smoothgrad_agrees_with_captums_noise_tunnel_on_the_same_noise(monkeypatch):
    model, inputs, target = make(plain)
    generator = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.randn(inputs.shape, generator=generator) for _ in range(6)], 1)  # (N, samples, C, H, W)
    monkeypatch.setattr(
        attr.NoiseTunnel,
        "_add_noise_to_input",
        staticmethod(lambda x, stdev, n: x.repeat_interleave(n, 0) + stdev * noise.flatten(0, 1)),
    )
    tunnel = attr.NoiseTunnel(attr.Saliency(model))
    theirs = tunnel.attribute(inputs, nt_type="smoothgrad", nt_samples=6, stdevs=0.2, target=target, abs=False)
    ours = gm.smoothgrad(model, inputs, target, n_samples=6, stdevs=0.2, generator=torch.Generator().manual_seed(5))
    assert_close(ours, theirs)


# --- captum as the oracle, layers and neurons -------------------------------------------------------------------


def one_by_one(attribute, inputs: Tensor, target: Tensor) -> Tensor:
    """captum's DeepLift takes the first image's gradient where image and baseline are equal: ask it for one image."""
    return torch.cat([attribute(x, t) for x, t in zip(inputs.split(1), target.split(1), strict=True)])


def captum_lrp(model: nn.Sequential, layer: int, inputs: Tensor, target: Tensor) -> Tensor:
    for module in model.modules():
        if isinstance(module, (nn.Flatten, Clone)):
            module.rule = EpsilonRule()
    return attr.LayerLRP(model, model[layer]).attribute(inputs, target)


STEPS = {"n_steps": 6}
LAYER_ORACLES = {
    "conductance": lambda m, i, x, t: attr.LayerConductance(m, m[i]).attribute(x, target=t, **STEPS),
    "activation": lambda m, i, x, t: attr.LayerActivation(m, m[i]).attribute(x),
    "internal_influence": lambda m, i, x, t: attr.InternalInfluence(m, m[i]).attribute(x, target=t, **STEPS),
    "gradient_x_activation": lambda m, i, x, t: attr.LayerGradientXActivation(m, m[i]).attribute(x, t),
    "deep_lift": lambda m, i, x, t: one_by_one(lambda x, t: attr.LayerDeepLift(m, m[i]).attribute(x, target=t), x, t),
    "deep_lift_shap": lambda m, i, x, t: (
        (
            one_by_one(lambda x, t: attr.LayerDeepLift(m, m[i]).attribute(x, torch.zeros_like(x), t), x, t)
            + one_by_one(lambda x, t: attr.LayerDeepLift(m, m[i]).attribute(x, torch.ones_like(x), t), x, t)
        )
        / 2
    ),
    "integrated_gradients": lambda m, i, x, t: attr.LayerIntegratedGradients(m, m[i]).attribute(x, target=t, **STEPS),
    "feature_ablation": lambda m, i, x, t: attr.LayerFeatureAblation(m, m[i]).attribute(x, target=t),
    "lrp": captum_lrp,
}


@pytest.mark.parametrize("build", [plain, inplace, strided, gap], ids=lambda build: build.__name__)
@pytest.mark.parametrize("name", LAYER_ORACLES)
def test_layer_attributions_agree_with_captum_at_a_convolution(name, build):
    model, inputs, target = make(build)
    theirs = LAYER_ORACLES[name](twin(model), 3, inputs, target).detach()
    assert_close(layer_call(name)(model, inputs, target), theirs)


@pytest.mark.parametrize("name", sorted(set(LAYER_ORACLES) - {"lrp"}))
@pytest.mark.parametrize("layer", [1, 4, 7], ids=["relu before pool", "second relu", "linear before relu"])
def test_layer_attributions_agree_with_captum_around_in_place_relus(name, layer):
    model, inputs, target = make(inplace)
    theirs = LAYER_ORACLES[name](twin(model), layer, inputs, target).detach()
    assert_close(layer_call(name, str(layer))(model, inputs, target), theirs)


def test_every_layer_attribution_has_an_oracle():
    assert set(LAYER_ORACLES) | {"grad_cam", "gradient_shap"} == set(gm.LAYER_ATTRIBUTIONS)
    assert len(gm.LAYER_ATTRIBUTIONS) == 11


SELECTED = (2, 1, 1)
NEURON_ORACLES = {
    "gradient": lambda m, x, t: attr.NeuronGradient(m, m[3]).attribute(x, SELECTED),
    "input_x_gradient": lambda m, x, t: x * attr.NeuronGradient(m, m[3]).attribute(x, SELECTED),
    "integrated_gradients": lambda m, x, t: attr.NeuronIntegratedGradients(m, m[3]).attribute(x, SELECTED, **STEPS),
    "conductance": lambda m, x, t: attr.NeuronConductance(m, m[3]).attribute(
        x, SELECTED, target=t, method="gausslegendre", **STEPS
    ),
    "deep_lift": lambda m, x, t: one_by_one(lambda x, t: attr.NeuronDeepLift(m, m[3]).attribute(x, SELECTED), x, t),
    "deep_lift_shap": lambda m, x, t: (
        (
            one_by_one(lambda x, t: attr.NeuronDeepLift(m, m[3]).attribute(x, SELECTED, torch.zeros_like(x)), x, t)
            + one_by_one(lambda x, t: attr.NeuronDeepLift(m, m[3]).attribute(x, SELECTED, torch.ones_like(x)), x, t)
        )
        / 2
    ),
    "guided_backprop": lambda m, x, t: attr.NeuronGuidedBackprop(m, m[3]).attribute(x, SELECTED),
    "deconvolution": lambda m, x, t: attr.NeuronDeconvolution(m, m[3]).attribute(x, SELECTED),
    "feature_ablation": lambda m, x, t: attr.NeuronFeatureAblation(m, m[3]).attribute(x, SELECTED),
}


@pytest.mark.parametrize("build", [plain, inplace, strided, gap], ids=lambda build: build.__name__)
@pytest.mark.parametrize("name", NEURON_ORACLES)
def test_neuron_attributions_agree_with_captum(name, build):
    model, inputs, target = make(build)
    theirs = NEURON_ORACLES[name](twin(model), inputs, target).detach()
    assert_close(neuron_call(name)(model, inputs, target), theirs)


def test_every_neuron_attribution_has_an_oracle():
    assert set(NEURON_ORACLES) | {"gradient_shap"} == set(gm.NEURON_ATTRIBUTIONS)
    assert len(gm.NEURON_ATTRIBUTIONS) == 10


@pytest.mark.parametrize("where", ["layer", "neuron"])
def test_gradient_shap_agrees_with_captum_on_the_same_draws(where, monkeypatch):
    model, inputs, target = make(plain)
    baselines, n_samples = torch.rand(4, *inputs.shape[1:]), 5
    generator = torch.Generator().manual_seed(8)
    alphas, choices = [], []
    for _ in range(n_samples):
        torch.randn(inputs.shape, generator=generator)
        alphas.append(torch.rand((3, 1, 1, 1), generator=generator).flatten())
        choices.append(torch.randint(4, (3,), generator=generator))
    monkeypatch.setattr(np.random, "uniform", lambda *_: torch.stack(alphas, 1).flatten().numpy())
    monkeypatch.setattr(np.random, "choice", lambda *_: torch.stack(choices, 1).flatten().numpy())
    options = {"baselines": baselines, "n_samples": n_samples, "generator": torch.Generator().manual_seed(8)}
    if where == "layer":
        theirs = attr.LayerGradientShap(model, model[3]).attribute(inputs, baselines, n_samples, target=target)
        ours = gm.layer_attribution("gradient_shap", model, inputs, target, "3", **options)
    else:
        theirs = attr.NeuronGradientShap(model, model[3]).attribute(inputs, SELECTED, baselines, n_samples)
        ours = gm.neuron_attribution("gradient_shap", model, inputs, "3", SELECTED, **options)
    assert_close(ours, theirs.detach())


def test_feature_ablation_of_groups_agrees_with_captum():
    model, inputs, target = make(plain)
    shape = gm.layer_attribution("activation", model, inputs, target, "3").shape
    mask = torch.arange(shape[1]).view(1, -1, 1, 1).expand(1, *shape[1:])
    theirs = attr.LayerFeatureAblation(model, model[3]).attribute(inputs, 0.5, target, layer_mask=mask)
    ours = gm.layer_attribution(
        "feature_ablation", model, inputs, target, "3", layer_baselines=0.5, layer_mask=mask, batch_size=7
    )
    assert_close(ours, theirs)


# --- properties -------------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("n_steps", [10, 50, 150])
def test_integrated_gradients_sum_to_the_difference_of_the_scores(build, n_steps):
    model, inputs, target = make(build)
    attributions = gm.integrated_gradients(model, inputs, target, baselines=0.5, n_steps=n_steps).flatten(1)
    difference = score(model, inputs, target) - score(model, torch.full_like(inputs, 0.5), target)
    assert ((attributions.sum(1) - difference).abs() <= 0.25 / n_steps * attributions.abs().sum(1)).all()


@every_network
@pytest.mark.parametrize("layer", ["0", "1", "3"])
def test_layer_conductance_sums_to_the_difference_of_the_scores(build, layer):
    model, inputs, target = make(build)
    attributions = gm.layer_conductance(model, inputs, target, layer, n_steps=200).flatten(1)
    difference = score(model, inputs, target) - score(model, torch.zeros_like(inputs), target)
    assert ((attributions.sum(1) - difference).abs() <= 0.005 * attributions.abs().sum(1)).all()


@every_network
@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "5"])
def test_deep_lift_sums_to_the_difference_of_the_scores_also_through_overlapping_pools(build, layer):
    model, inputs, target = make(build)
    attributions = gm.layer_attribution("deep_lift", model, inputs, target, layer, baselines=0.5)
    difference = score(model, inputs, target) - score(model, torch.full_like(inputs, 0.5), target)
    assert torch.allclose(attributions.flatten(1).sum(1), difference, atol=1e-6)


def test_neuron_deep_lift_sums_to_the_difference_of_the_activations_through_overlapping_pools():
    model, inputs, _ = make(overlapping)
    attributions = gm.neuron_attribution("deep_lift", model, inputs, "7", 2)
    difference = score(model, inputs, 2) - score(model, torch.zeros_like(inputs), 2)
    assert torch.allclose(attributions.flatten(1).sum(1), difference, atol=1e-6)


def test_deep_lift_takes_the_slope_where_the_changes_of_the_pixels_cancel():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.ReLU())
    model.load_state_dict({"1.weight": torch.tensor([[1.0, -1]]), "1.bias": torch.tensor([0.5])})
    attributions = gm.neuron_attribution("deep_lift", model, pixels(1, 1).float(), "2", 0)
    assert torch.equal(attributions, pixels(1, -1).float())


@every_network
@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "5"])
def test_lrp_relevance_without_biases_sums_to_the_score_in_every_layer(build, layer):
    model, inputs, target = make(build)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.zeros_(module.bias)
    relevance = gm.layer_attribution("lrp", model, inputs, target, layer)
    assert torch.allclose(relevance.flatten(1).sum(1), score(model, inputs, target), rtol=1e-3, atol=1e-5)


def test_neuron_conductances_of_a_layer_sum_to_the_integrated_gradients():
    model, inputs, target = make(plain)
    options = {"target": target, "n_steps": 7}
    shares = [gm.neuron_attribution("conductance", model, inputs, "7", neuron, **options) for neuron in range(7)]
    assert_close(sum(shares), gm.integrated_gradients(model, inputs, target, n_steps=7))


def test_cam_is_the_class_weighted_sum_of_the_maps():
    model, inputs, target = make(gap)
    maps = model[:5](inputs)
    expected = (model[7].weight[target][:, :, None, None] * maps).sum(1, keepdim=True).detach()
    assert_close(gm.cam(model, inputs, target), expected)


def test_cam_averages_to_the_score_without_its_bias():
    model, inputs, target = make(gap)
    without_bias = score(model, inputs, target) - model[7].bias[target].detach()
    assert torch.allclose(gm.cam(model, inputs, target).mean((1, 2, 3)), without_bias, atol=1e-6)


@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_times_the_size_of_the_map_is_cam_behind_a_global_average_pool(relu):
    model, inputs, target = make(gap)
    cam = gm.cam(model, inputs, target)
    ours = gm.grad_cam(model, inputs, target, "4", relu=relu) * cam[0].numel()
    assert_close(ours, cam.relu() if relu else cam)


@pytest.mark.parametrize("build", [plain, inplace, overlapping], ids=lambda build: build.__name__)
@pytest.mark.parametrize("method", sorted(set(METHODS) - RANDOM))
def test_a_batch_is_explained_as_its_images_one_by_one(method, build):
    model, inputs, target = make(build)
    singles = [METHODS[method](model, x, t) for x, t in zip(inputs.split(1), target.split(1), strict=True)]
    assert_close(METHODS[method](model, inputs, target), torch.cat(singles))


@every_method
def test_an_int_target_means_this_class_for_every_image(method):
    model, inputs, _ = make(plain)
    assert torch.equal(METHODS[method](model, inputs, 2), METHODS[method](model, inputs, torch.tensor([2, 2, 2])))


@every_method
def test_an_in_place_relu_changes_no_answer(method):
    ours, inputs, target = make(inplace)
    assert torch.equal(METHODS[method](ours, inputs, target), METHODS[method](make(plain)[0], inputs, target))


@pytest.mark.parametrize("layer", ["1", "3", "4"])
def test_a_layer_is_named_or_passed(layer):
    model, inputs, target = make(plain)
    assert torch.equal(gm.grad_cam(model, inputs, target, layer), gm.grad_cam(model, inputs, target, model[int(layer)]))


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "integrated_gradients", "smoothgrad"])
def test_the_explanation_of_a_sum_of_scores_is_the_sum_of_the_explanations(method):
    model, inputs, _ = make(plain)
    total = copy.deepcopy(model)
    with torch.no_grad():
        total[9].weight[0] = 2 * model[9].weight[1] - 3 * model[9].weight[2]
    explain = PIXEL_METHODS[method]
    assert_close(explain(total, inputs, 0), 2 * explain(model, inputs, 1) - 3 * explain(model, inputs, 2), 1e-4)


@pytest.mark.parametrize("method", ["gradient", "deconvnet", "guided_backprop", "integrated_gradients"])
def test_the_explanation_of_a_shifted_image_is_the_shifted_explanation(method):
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 4),
    )  # fmt: skip
    inputs = torch.rand(3, 3, 6, 8)
    shifted = PIXEL_METHODS[method](model, inputs.roll((2, 3), (2, 3)), TARGET)
    assert_close(shifted, PIXEL_METHODS[method](model, inputs, TARGET).roll((2, 3), (2, 3)))


@every_network
def test_gradient_is_the_slope_that_finite_differences_measure(build):
    model, inputs, target = make(build)
    model, inputs = model.double(), inputs.double()
    direction = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0)).double()
    step = 1e-7
    rise = score(model, inputs + step * direction, target) - score(model, inputs - step * direction, target)
    slope = (gm.gradient(model, inputs, target) * direction).flatten(1).sum(1)
    assert torch.allclose(slope, rise / (2 * step), rtol=1e-5, atol=1e-7)


@every_network
def test_first_order_touches_the_score_at_the_image(build):
    model, inputs, target = make(build)
    weights, constant = gm.first_order(model, inputs, target)
    assert torch.allclose((weights * inputs).flatten(1).sum(1) + constant, score(model, inputs, target), atol=1e-6)


def slow_deconvnet(model: nn.Sequential, activation: Tensor, layer: int, inputs: Tensor) -> Tensor:
    """Zeiler and Fergus, layer by layer downwards: transposed convolution, unpooling by switches, ReLU."""
    signal, activations = activation, [inputs]
    for module in model[: layer + 1]:
        activations.append(module(activations[-1]))
    for index in range(layer, -1, -1):
        module, before = model[index], activations[index]
        if isinstance(module, nn.Conv2d):
            signal = nn.functional.conv_transpose2d(signal, module.weight, stride=module.stride, padding=module.padding)
        elif isinstance(module, nn.ReLU):
            signal = signal.clamp(min=0)
        else:
            _, switches = nn.functional.max_pool2d(before, 2, return_indices=True)
            signal = nn.functional.max_unpool2d(signal, switches, 2, output_size=before.shape)
    return signal.detach()


@pytest.mark.parametrize("layer", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("channel", [None, 2])
def test_deconvnet_reconstruction_is_the_reversed_network_of_zeiler_and_fergus(layer, channel):
    model, inputs, _ = make(plain)
    activation = model[: layer + 1](inputs)
    if channel is not None:
        activation = activation * (torch.arange(activation.shape[1]) == channel).view(1, -1, 1, 1)
    expected = slow_deconvnet(model, activation, layer, inputs)
    assert_close(gm.deconvnet_reconstruction(model, inputs, str(layer), channel), expected)


def test_upsample_nearest_repeats_each_value():
    maps = torch.arange(4.0).view(1, 1, 2, 2)
    expected = maps.repeat_interleave(3, 2).repeat_interleave(2, 3)
    assert torch.equal(gm.upsample(maps, (6, 4), "nearest"), expected)


def test_guided_backprop_works_on_a_relu_whose_in_place_result_is_not_returned():
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)

        def forward(self, inputs: Tensor) -> Tensor:
            maps = self.convolution(inputs)
            self.relu(maps)
            return maps.mean((2, 3))

    torch.manual_seed(0)
    model, inputs = Silent(), torch.rand(3, 3, 5, 6)
    loud = nn.Sequential(model.convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert_close(gm.guided_backprop(model, inputs, TARGET), gm.guided_backprop(loud, inputs, TARGET))


def test_guided_backprop_goes_through_a_residual_sum():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.relu, self.relu2 = nn.ReLU(), nn.ReLU()

        def forward(self, inputs: Tensor) -> Tensor:
            maps = self.relu(self.first(inputs))
            return self.relu2(self.second(maps) + maps).mean((2, 3))

    torch.manual_seed(0)
    model, inputs, target = Residual(), torch.rand(2, 3, 5, 6), torch.tensor([0, 2])
    assert_close(gm.guided_backprop(model, inputs, target), attr.GuidedBackprop(model).attribute(inputs, target))


# --- batches, steps, randomness ---------------------------------------------------------------------------------

BATCHED = {
    "smoothgrad": lambda m, x, t, **o: gm.smoothgrad(m, x, t, n_samples=5, **o),
    "integrated_gradients": lambda m, x, t, **o: gm.integrated_gradients(m, x, t, n_steps=5, **o),
    "layer_conductance": lambda m, x, t, **o: gm.layer_conductance(m, x, t, "3", n_steps=5, **o),
    "internal_influence": lambda m, x, t, **o: gm.internal_influence(m, x, t, "3", n_steps=5, **o),
    "layer integrated_gradients": lambda m, x, t, **o: gm.layer_attribution("integrated_gradients", m, x, t, "3", **o),
    "layer feature_ablation": lambda m, x, t, **o: gm.layer_attribution("feature_ablation", m, x, t, "3", **o),
    "neuron conductance": lambda m, x, t, **o: gm.neuron_attribution("conductance", m, x, "7", 2, target=t, **o),
    "neuron feature_ablation": lambda m, x, t, **o: gm.neuron_attribution("feature_ablation", m, x, "7", 2, **o),
}


@pytest.mark.parametrize("method", BATCHED)
@pytest.mark.parametrize("batch_size", [1, 2, 7, 1000])
def test_the_answer_does_not_depend_on_the_batch_size(method, batch_size):
    model, inputs, target = make(plain)
    explain = BATCHED[method]
    assert_close(explain(model, inputs, target, batch_size=batch_size), explain(model, inputs, target))


@pytest.mark.parametrize("method", ["smoothgrad", "integrated_gradients"])
@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_no_pass_takes_more_images_than_the_batch_size(method, batch_size):
    model, inputs, target = make(plain)
    sizes = []
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    BATCHED[method](model, inputs, target, batch_size=batch_size)
    assert max(sizes) <= batch_size
    assert sum(sizes) == 5 * len(inputs)


@pytest.mark.parametrize(
    "method", ["gradient", "saliency", "input_x_gradient", "guided_backprop", "deconvnet", "grad_cam"]
)
def test_one_forward_pass_is_enough(method):
    model, inputs, target = make(plain)
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    PIXEL_METHODS[method](model, inputs, target)
    assert len(calls) == 1


@pytest.mark.parametrize("method", BATCHED)
def test_progress_shows_a_bar_that_ends_full(method, capsys):
    model, inputs, target = make(plain)
    BATCHED[method](model, inputs, target, progress=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("method", BATCHED)
def test_no_bar_is_shown_unless_asked_for(method, capsys):
    model, inputs, target = make(plain)
    BATCHED[method](model, inputs, target)
    assert capsys.readouterr().err == ""


def shap_of_layer(model: nn.Module, inputs: Tensor, target: Tensor, **options) -> Tensor:
    return gm.layer_attribution("gradient_shap", model, inputs, target, "3", baselines=inputs.flip(0), **options)


def shap_of_neuron(model: nn.Module, inputs: Tensor, _: Tensor, **options) -> Tensor:
    return gm.neuron_attribution("gradient_shap", model, inputs, "7", 2, baselines=inputs.flip(0), **options)


draws = pytest.mark.parametrize("explain", [gm.smoothgrad, shap_of_layer, shap_of_neuron])


@draws
def test_the_same_seed_gives_the_same_answer(explain):
    network = make(plain)
    answers = [explain(*network, generator=torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(*answers)


@draws
def test_another_seed_gives_another_answer(explain):
    network = make(plain)
    answers = [explain(*network, generator=torch.Generator().manual_seed(seed)) for seed in (4, 5)]
    assert not torch.allclose(*answers)


@draws
def test_one_generator_gives_new_draws_from_call_to_call(explain):
    network, generator = make(plain), torch.Generator().manual_seed(4)
    assert not torch.allclose(explain(*network, generator=generator), explain(*network, generator=generator))


@draws
def test_without_a_generator_torchs_seed_decides(explain):
    network, answers = make(plain), []
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        answers.append(explain(*network))
    assert torch.equal(answers[0], answers[1])
    assert not torch.allclose(answers[0], answers[2])


def test_smoothgrad_without_noise_is_the_gradient():
    network = make(plain)
    assert_close(gm.smoothgrad(*network, stdevs=0.0), gm.gradient(*network))


def test_smoothgrad_of_a_square_is_its_slope_at_the_mean_of_the_noisy_points():
    square = Formula(lambda p: (p**2).sum(1))
    generator = torch.Generator().manual_seed(6)
    noise = torch.stack([torch.randn((1, 1, 1, 2), generator=generator).double() for _ in range(40)])
    generator = torch.Generator().manual_seed(6)
    ours = gm.smoothgrad(square, pixels(1, -2).float(), 0, n_samples=40, stdevs=0.5, generator=generator)
    assert torch.allclose(ours.double(), 2 * (pixels(1, -2) + 0.5 * noise.mean(0)), atol=1e-5)


# --- nothing is changed -----------------------------------------------------------------------------------------


def snapshot(model: nn.Module, inputs: Tensor, target: Tensor) -> list:
    """Everything that a caller could miss afterwards."""
    modules = list(model.modules())
    return [
        inputs.detach().clone(),
        inputs.requires_grad,
        inputs.grad,
        target.clone(),
        torch.is_grad_enabled(),
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        random.getstate(),
        [value.clone() for value in model.state_dict().values()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad.clone() for parameter in model.parameters()],
        [module.training for module in modules],
        [sorted(module.__dict__) for module in modules],
        [
            len(hooks)
            for module in modules
            for hooks in (
                module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks,
            )
        ],
    ]  # fmt: skip


def assert_same(before: object, after: object) -> None:
    if isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    else:
        assert before == after


def prepared(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    next(model.parameters()).requires_grad_(False)
    return model


@every_method
@pytest.mark.parametrize("grad_enabled", [True, False])
def test_nothing_is_changed(method, grad_enabled):
    model, inputs, target = make(inplace)
    prepared(model).train()
    inputs.requires_grad_()
    with torch.set_grad_enabled(grad_enabled):
        before = snapshot(model, inputs, target)
        result = METHODS[method](model, inputs, target)
        assert_same(before, snapshot(model, inputs, target))
    assert not result.requires_grad


@every_method
def test_an_in_place_first_layer_neither_changes_the_image_nor_the_answer(method):
    model, inputs, target = make(plain)
    inputs = 2 * inputs - 1
    answers = []
    for inplace_first in (False, True):
        images = inputs.clone()
        network = nn.Sequential(nn.Sequential(nn.ReLU(inplace_first), model[0]), *model[1:])
        answers.append(METHODS[method](network, images, target))
        assert torch.equal(images, inputs)
    assert torch.equal(*answers)


def test_cam_changes_nothing():
    model, inputs, target = make(gap)
    before = snapshot(prepared(model), inputs, target)
    gm.cam(model, inputs, target)
    assert_same(before, snapshot(model, inputs, target))


class Breaks(nn.Module):
    """A layer that works `passes` times, and then raises."""

    def __init__(self, passes: int) -> None:
        super().__init__()
        self.passes = [passes]

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes[0] -= 1
        if self.passes[0] < 0:
            raise RuntimeError("the network broke")
        return inputs.clone()


@pytest.mark.parametrize("position", [1, 10], ids=["below the layer", "at the end"])
@pytest.mark.parametrize("method", [*sorted(METHODS), "cam"])
def test_nothing_is_changed_when_the_model_raises(method, position):
    model, inputs, target = make(inplace)
    model.insert(position, Breaks(passes=0))
    before = snapshot(prepared(model), inputs, target)
    explain = gm.cam if method == "cam" else METHODS[method]
    with pytest.raises(RuntimeError, match="the network broke"):
        explain(model, inputs, target)
    assert_same(before, snapshot(model, inputs, target))


class BreaksBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor) -> Tensor:
        return inputs.clone()

    @staticmethod
    def backward(ctx, output_gradient: Tensor) -> Tensor:
        raise RuntimeError("the backward pass broke")


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "saliency", "layer conductance"])
def test_nothing_is_changed_when_the_backward_pass_raises(method):
    class Layer(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return BreaksBackward.apply(inputs)

    model, inputs, target = make(inplace)
    model.append(Layer())
    before = snapshot(prepared(model), inputs, target)
    with pytest.raises(RuntimeError, match="the backward pass broke"):
        METHODS[method](model, inputs, target)
    assert_same(before, snapshot(model, inputs, target))


@every_method
def test_gradients_can_be_switched_off_by_the_caller(method):
    model, inputs, target = make(plain)
    expected = METHODS[method](model, inputs, target)
    with torch.inference_mode():
        answer = METHODS[method](model, inputs, target)
    assert torch.equal(answer, expected)


# --- networks that are refused ----------------------------------------------------------------------------------


class Functional(nn.Module):
    """A network whose nonlinearity is a function."""

    def __init__(self, activation) -> None:
        super().__init__()
        self.convolution, self.linear, self.activation = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), [activation]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(self.activation[0](self.convolution(inputs)).mean((2, 3)))


FUNCTIONS = {
    "relu": nn.functional.relu,
    "torch.relu": torch.relu,
    "in-place relu": lambda x: nn.functional.relu(x, inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "where": lambda x: torch.where(x > 0, x, 0 * x),
    "leaky relu": nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "gated": lambda x: x * (x - 1),
}
REFUSING = {
    "deconvnet": gm.deconvnet,
    "guided_backprop": gm.guided_backprop,
    "deconvnet_reconstruction": lambda m, x, t: gm.deconvnet_reconstruction(m, x, "linear"),
    "guided_grad_cam": lambda m, x, t: gm.guided_grad_cam(m, x, t, "convolution"),
    "neuron guided_backprop": neuron_call("guided_backprop", "linear", (2,)),
    "neuron deconvolution": neuron_call("deconvolution", "linear", (2,)),
    "neuron deep_lift": neuron_call("deep_lift", "linear", (2,)),
    "layer deep_lift": layer_call("deep_lift", "convolution"),
    "layer deep_lift_shap": layer_call("deep_lift_shap", "convolution"),
    "layer lrp": layer_call("lrp", "convolution"),
}


@pytest.mark.parametrize(
    ("method", "function"),
    [(method, "relu") for method in REFUSING] + [("guided_backprop", function) for function in FUNCTIONS],
)
def test_functional_nonlinearities_are_refused_by_name(method, function):
    model, inputs = Functional(FUNCTIONS[function]), torch.rand(3, 3, 5, 6)
    with pytest.raises(ValueError, match=r"has no rule for an operation of this model, .*Backward"):
        REFUSING[method](model, inputs, TARGET)


class Scaled(Functional):
    """Normalises its images by buffers, and lets a function of the network work on the maps."""

    def __init__(self, activation) -> None:
        super().__init__(activation)
        self.norm, self.scale = nn.BatchNorm2d(4), nn.Parameter(torch.rand(4, 1, 1))
        self.register_buffer("mean", torch.rand(3, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.convolution((inputs - self.mean) / (self.mean + 0.5))
        return self.linear(self.activation[0](self, maps).mean((2, 3)))


DEPENDING = {
    "mask": lambda net, x: x * (x > 0),
    "mask by name": lambda net, x: x.mul(x.gt(0)),
    "mask in place": lambda net, x: x.clone().mul_(x > 0),
    "divided by a mask": lambda net, x: x / (1 + (x > 0).float()),
    "detached norm": lambda net, x: x / x.detach().norm(),
    "detached gate": lambda net, x: x * x.detach().sigmoid(),
    "number": lambda net, x: x * x.mean().item(),
    "sorted": lambda net, x: x.flatten(2).gather(2, x.flatten(2).argsort(2)).view_as(x),
    "highest": lambda net, x: x.flatten(2).gather(2, x.flatten(2).argmax(2, keepdim=True)).unsqueeze(3).expand_as(x),
    "order of the maps": lambda net, x: x[torch.arange(len(x))[:, None], x.mean((2, 3)).argsort(1)],
    "own product": lambda net, x: (x.flatten(2) @ x.flatten(2).transpose(1, 2).detach()).unsqueeze(3),
    "instance norm": lambda net, x: nn.InstanceNorm2d(4).eval()(x),
    "instance norm as a function": lambda net, x: nn.functional.instance_norm(x),
    "choice of a path": lambda net, x: x * 2 if x.amax() > 5 else x * 1 + 1,
}
CONSTANT = {
    "numbers": lambda net, x: x * 2 / 3,
    "parameter": lambda net, x: x * net.scale,
    "batch norm": lambda net, x: net.norm(x),
    "residual sum": lambda net, x: x + 0.5 * nn.functional.avg_pool2d(x, 3, 1, 1),
    "fixed order of the maps": lambda net, x: x[:, [2, 0, 3, 1]],
    "matrix": lambda net, x: (x.flatten(2) @ torch.eye(12).flip(0)).unsqueeze(3),
}


def scaled(function) -> Scaled:
    torch.manual_seed(3)
    return Scaled(function).eval()


@pytest.mark.parametrize("function", DEPENDING)
@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop", "deconvnet_reconstruction", "layer deep_lift"])
def test_a_product_or_choice_that_depends_on_the_image_is_refused_by_name(method, function):
    with pytest.raises(ValueError, match=r"has no rule for an operation of this model, .* the image"):
        REFUSING[method](scaled(DEPENDING[function]), torch.rand(3, 3, 5, 6), TARGET)


@pytest.mark.parametrize("function", CONSTANT)
def test_a_linear_network_has_one_backward_pass(function):
    model, inputs = scaled(CONSTANT[function]), torch.rand(3, 3, 5, 6)
    for method in (gm.deconvnet, gm.guided_backprop):
        assert torch.equal(method(model, inputs, TARGET), gm.gradient(model, inputs, TARGET))


@pytest.mark.parametrize(
    "module", [nn.LeakyReLU(), nn.ReLU6(), nn.GELU(), nn.Sigmoid()], ids=lambda m: type(m).__name__
)
@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop"])
def test_other_nonlinearities_have_no_modified_backward_pass(method, module):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), module, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=f"{method} has no rule .* write every nonlinearity as a nn.ReLU"):
        PIXEL_METHODS[method](model, torch.rand(3, 3, 5, 6), TARGET)


def shared_relu() -> nn.Sequential:
    relu = nn.ReLU()
    return nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    "explain",
    [
        gm.deconvnet,
        gm.guided_backprop,
        lambda m, x, t: gm.guided_grad_cam(m, x, t, "2"),
        lambda m, x, t: gm.deconvnet_reconstruction(m, x, "2"),
        neuron_call("guided_backprop", "2"),
    ],
    ids=["deconvnet", "guided_backprop", "guided_grad_cam", "deconvnet_reconstruction", "neuron guided_backprop"],
)
def test_a_shared_relu_is_refused_by_name(explain):
    with pytest.raises(ValueError, match="uses its ReLU '1' 2 times"):
        explain(shared_relu(), torch.rand(3, 3, 7, 7), TARGET)


def test_deep_lift_is_right_with_a_shared_relu():
    torch.manual_seed(0)
    model, inputs = shared_relu(), torch.rand(3, 3, 7, 7)
    attributions = gm.layer_attribution("deep_lift", model, inputs, TARGET, "0")
    difference = score(model, inputs, TARGET) - score(model, torch.zeros_like(inputs), TARGET)
    assert torch.allclose(attributions.flatten(1).sum(1), difference, atol=1e-6)


@pytest.mark.parametrize("build", [plain, strided, overlapping], ids=lambda build: build.__name__)
def test_cam_refuses_a_network_without_a_global_average_pool(build):
    with pytest.raises(ValueError, match=r"cam needs .*global average pool.* use grad_cam"):
        gm.cam(*make(build))


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5), nn.Linear(5, 4)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU(), nn.Linear(5, 4), nn.Softmax(1)],
        [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4)],
        [nn.AdaptiveAvgPool2d(1), nn.Tanh(), nn.Flatten(), nn.Linear(5, 4)],
    ],
    ids=["two linear layers", "softmax", "pool to 2 x 2", "a layer between"],
)
def test_cam_refuses_another_head(head):
    model, inputs, target = make(gap)
    with pytest.raises(ValueError, match="cam needs"):
        gm.cam(nn.Sequential(*model[:5], *head), inputs, target)


@every_method
@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm2d(3)], ids=["dropout", "batch norm"])
def test_a_network_in_train_mode_is_refused(method, layer):
    model, inputs, target = make(plain)
    model = nn.Sequential(layer, *model).train()
    with pytest.raises(ValueError, match=r"layer '0' .* call model.eval\(\) first"):
        METHODS[method](model, inputs, target)


UNSTEADY = {
    "batch norm without statistics": (nn.BatchNorm2d(3, track_running_stats=False).eval(), "has no running statistics"),
    "instance norm that counts": (nn.InstanceNorm2d(3, track_running_stats=True), "call model.eval"),
    "random slope": (nn.RReLU(), "call model.eval"),
}


@pytest.mark.parametrize("layer", UNSTEADY)
def test_a_layer_that_mixes_changes_or_draws_is_refused_by_name(layer):
    model, inputs, target = make(plain)
    module, message = UNSTEADY[layer]
    with pytest.raises(ValueError, match=f"layer '0' .*{message}"):
        gm.gradient(nn.Sequential(module, *model), inputs, target)


@pytest.mark.parametrize("layer", [nn.InstanceNorm2d(3), nn.InstanceNorm2d(3, track_running_stats=True), nn.RReLU()])
def test_the_same_layers_in_eval_mode_have_a_gradient(layer):
    model, inputs, target = make(plain)
    assert gm.gradient(nn.Sequential(layer, *model).eval(), inputs, target).shape == inputs.shape


def test_a_model_made_in_inference_mode_is_refused_by_name():
    with torch.inference_mode():
        model, inputs, target = make(plain)
    with pytest.raises(ValueError, match=r"model's '0\.weight' was made in inference mode"):
        gm.gradient(model, inputs.clone(), target)


def test_a_softmax_at_the_end_is_warned_of_once():
    model, inputs, target = make(plain)
    gm.smoothgrad(model, inputs, target, n_samples=3)  # torch's first pass makes Python forget what it has shown
    model.append(nn.Softmax(1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        gm.smoothgrad(model, inputs, target, n_samples=3)
        gm.grad_cam(model, inputs, target, "3")
    assert ["pass the network without its softmax" in str(warning.message) for warning in caught] == [True]


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("head", [[], [nn.LogSoftmax(1)], [nn.Sigmoid()], [nn.Softmax(1), nn.LogSoftmax(1)]])
def test_nobody_is_warned_of_scores(head):
    model, inputs, target = make(plain)
    gm.gradient(nn.Sequential(*model, *head), inputs, target)


@pytest.mark.parametrize("image", [torch.zeros(3, 3, 13, 10), torch.rand(3, 3, 13, 10)], ids=["black", "random"])
def test_lrp_without_epsilon_shares_nothing_out_at_dead_units(image):
    model, _, target = make(plain)
    with torch.no_grad():
        for layer in (model[0], model[3], model[7], model[9]):
            layer.bias.zero_()
        model[3].weight[:2] = 0
    relevance = gm.layer_attribution("lrp", model, image, target, "3", epsilon=0)
    assert torch.allclose(relevance, gm.layer_attribution("lrp", model, image, target, "3"), atol=1e-6)


def test_a_model_that_cuts_its_gradient_is_refused():
    model = Formula(lambda p: (p[:, 0] > 0).double())
    with pytest.raises(ValueError, match="do not depend on the inputs by differentiable operations"):
        gm.gradient(model, pixels(1, 2), 0)


# --- bad arguments ----------------------------------------------------------------------------------------------

BAD_INPUTS = {
    "one image": (lambda x: x[0], ValueError, r"must be a batch \(N, C, H, W\).*unsqueeze\(0\)"),
    "flat": (lambda x: x.flatten(1), ValueError, r"must be a batch \(N, C, H, W\)"),
    "empty": (lambda x: x[:0], ValueError, "of at least one pixel"),
    "bytes": (lambda x: (x * 255).byte(), TypeError, r"got dtype torch.uint8: use inputs.float\(\)"),
    "numpy": (lambda x: x.numpy(), TypeError, "inputs must be a float tensor .* got ndarray"),
    "NaN": (lambda x: x.masked_fill(x > 0.99, float("nan")), ValueError, "must be finite, got .* NaN"),
    "infinite": (lambda x: x.masked_fill(x > 0.99, float("inf")), ValueError, "must be finite"),
}


@pytest.mark.parametrize("bad", BAD_INPUTS)
def test_bad_inputs_are_named(bad):
    model, inputs, target = make(plain)
    spoil, error, message = BAD_INPUTS[bad]
    with pytest.raises(error, match=message):
        gm.gradient(model, spoil(inputs), target)


@pytest.mark.parametrize("method", [*sorted(METHODS), "cam"])
def test_images_of_another_number_type_than_the_models_are_named(method):
    model, inputs, target = make(plain)
    with pytest.raises(TypeError, match=r"inputs are torch.float64, but the model computes in torch.float32: use"):
        (gm.cam if method == "cam" else METHODS[method])(model, inputs.double(), target)


@pytest.mark.parametrize("bad", ["one image", "NaN", "numpy"])
@pytest.mark.parametrize("method", [*sorted(METHODS), "cam"])
def test_every_method_names_bad_inputs(method, bad):
    model, inputs, target = make(plain)
    spoil, error, message = BAD_INPUTS[bad]
    with pytest.raises(error, match=message):
        (gm.cam if method == "cam" else METHODS[method])(model, spoil(inputs), target)


BAD_TARGETS = {
    "too large": (4, ValueError, "target 4 is out of range: the model has 4 classes, 0 to 3"),
    "negative": (-1, ValueError, "target -1 is out of range"),
    "one of them too large": (torch.tensor([0, 9, 1]), ValueError, "target 9 is out of range"),
    "too few": (torch.tensor([0, 1]), ValueError, r"LongTensor \(3,\), one class an image, got shape \(2,\)"),
    "float": (torch.tensor([0.0, 1, 2]), TypeError, "got a tensor of dtype torch.float32"),
    "float number": (1.0, TypeError, "target must be an int or a LongTensor .* got float"),
    "text": ("cup", TypeError, "target must be an int or a LongTensor .* got str"),
    "true": (True, TypeError, "target must be an int or a LongTensor .* got bool"),
    "numpy's true": (np.True_, TypeError, "target must be an int or a LongTensor .* got bool"),
    "none": (None, TypeError, "target must be an int or a LongTensor .* got NoneType"),
}
WITHOUT_TARGET = {"layer activation", "deconvnet_reconstruction"} | {
    f"neuron {name}" for name in gm.NEURON_ATTRIBUTIONS if name != "conductance"
}


@pytest.mark.parametrize("bad", BAD_TARGETS)
def test_bad_targets_are_named(bad):
    model, inputs, _ = make(plain)
    target, error, message = BAD_TARGETS[bad]
    with pytest.raises(error, match=message):
        gm.gradient(model, inputs, target)


@pytest.mark.parametrize("bad", ["too large", "too few"])
@pytest.mark.parametrize("method", sorted(set(METHODS) - WITHOUT_TARGET))
def test_every_method_names_bad_targets(method, bad):
    model, inputs, _ = make(plain)
    target, error, message = BAD_TARGETS[bad]
    with pytest.raises(error, match=message):
        METHODS[method](model, inputs, target)


BY_LAYER = {
    "grad_cam": gm.grad_cam,
    "guided_grad_cam": gm.guided_grad_cam,
    "layer_conductance": gm.layer_conductance,
    "internal_influence": gm.internal_influence,
    "gradient_x_activation": gm.gradient_x_activation,
    "deconvnet_reconstruction": lambda m, x, t, layer: gm.deconvnet_reconstruction(m, x, layer),
} | {
    f"layer {name}": lambda m, x, t, layer, name=name: layer_call(name, layer)(m, x, t)
    for name in gm.LAYER_ATTRIBUTIONS
} | {
    f"neuron {name}": lambda m, x, t, layer, name=name: neuron_call(name, layer)(m, x, t)
    for name in gm.NEURON_ATTRIBUTIONS
}  # fmt: skip


@pytest.mark.parametrize("method", BY_LAYER)
def test_a_layer_that_does_not_exist_is_named_with_those_that_do(method):
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match=r"model has no layer 'conv5'; its layers are: '0' \(Conv2d\), '1' \(ReLU\)"):
        BY_LAYER[method](model, inputs, target, "conv5")


@pytest.mark.parametrize("method", BY_LAYER)
def test_a_layer_of_another_model_is_refused(method):
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match="no layer a Conv2d that is not part of it"):
        BY_LAYER[method](model, inputs, target, make(plain)[0][3])


@pytest.mark.parametrize("method", ["grad_cam", "guided_grad_cam", "layer grad_cam"])
def test_grad_cam_needs_a_layer_with_maps(method):
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match=r"needs a layer with feature maps .* layer '7' gives shape \(3, 7\)"):
        BY_LAYER[method](model, inputs, target, "7")


@pytest.mark.parametrize("method", ["grad_cam", "layer_conductance", "layer activation", "layer integrated_gradients"])
def test_a_layer_that_is_called_twice_is_refused(method):
    with pytest.raises(ValueError, match="layer '1' is called 2 times"):
        BY_LAYER[method](shared_relu(), torch.rand(3, 3, 7, 7), TARGET, "1")


@pytest.mark.parametrize("channel", [5, -1])
def test_a_channel_that_the_layer_does_not_have_is_refused(channel):
    model, inputs, _ = make(plain)
    with pytest.raises(ValueError, match=f"channel {channel} is out of range: layer '3' has 5, 0 to 4"):
        gm.deconvnet_reconstruction(model, inputs, "3", channel)


@pytest.mark.parametrize("name", gm.NEURON_ATTRIBUTIONS)
def test_a_neuron_that_the_layer_does_not_have_is_refused(name):
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match="neuron_selector 4 is out of range: dimension 1 of layer '3' has 4"):
        neuron_call(name, "3", (0, 4, 0))(model, inputs, target)


@pytest.mark.parametrize("name", gm.NEURON_ATTRIBUTIONS)
def test_a_neuron_needs_as_many_numbers_as_the_layer_has_dimensions(name):
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match=r"neuron_selector must have 3 numbers, .* shape \(5, 4, 3\), got \(2,\)"):
        neuron_call(name, "3", (2,))(model, inputs, target)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"n_steps": 2.5}, TypeError, "n_steps must be a whole number, got float"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"baselines": torch.zeros(1, 3, 2, 2)}, ValueError, "baselines must be a number or have shape"),
        ({"baselines": torch.zeros(2, 3, 13, 10)}, ValueError, "baselines must be a number or have shape"),
        ({"baselines": float("nan")}, ValueError, "baselines must be finite"),
        ({"baselines": "black"}, TypeError, "baselines must be a float tensor"),
    ],
)
@pytest.mark.parametrize(
    "explain", [gm.integrated_gradients, "conductance", "internal_influence", "integrated_gradients"]
)
def test_bad_options_of_a_path_are_named(explain, options, error, message):
    model, inputs, target = make(plain)
    with pytest.raises(error, match=message):
        if callable(explain):
            explain(model, inputs, target, **options)
        else:
            gm.layer_attribution(explain, model, inputs, target, "3", **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1, got 0"),
        ({"stdevs": -0.1}, ValueError, "stdevs must be a finite number of at least 0, got -0.1"),
        ({"stdevs": "0.1"}, TypeError, "stdevs must be a number, got str"),
        ({"generator": 3}, TypeError, "generator must be a torch.Generator or None, got int"),
    ],
)
@draws
def test_bad_options_of_a_draw_are_named(explain, options, error, message):
    with pytest.raises(error, match=message):
        explain(*make(plain), **options)


@draws
@pytest.mark.parametrize("kind", [np.float32, torch.tensor], ids=["numpy", "tensor of no dimension"])
def test_the_noise_may_be_a_number_of_numpy_or_torch(explain, kind):
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    answers = [
        explain(*make(plain), stdevs=make_number(0.25), generator=generator)
        for make_number, generator in zip((float, kind), generators, strict=True)
    ]
    assert torch.equal(*answers)


@pytest.mark.parametrize("kind", [np.float32, torch.tensor], ids=["numpy", "tensor of no dimension"])
def test_the_baseline_may_be_a_number_of_numpy_or_torch(kind):
    network = make(plain)
    assert torch.equal(*(gm.integrated_gradients(*network, baselines=k(0.25), n_steps=3) for k in (float, kind)))


@pytest.mark.parametrize(
    "explain",
    [
        lambda m, x, t: gm.upsample(x, (20, 20), "foo"),
        lambda m, x, t: gm.guided_grad_cam(m, x, t, "a layer that is not looked for", "foo"),
    ],
    ids=["upsample", "guided_grad_cam"],
)
def test_an_unknown_interpolation_is_named_before_the_work(explain):
    with pytest.raises(ValueError, match="interpolate_mode must be one of 'nearest', 'bilinear', 'bicubic', got 'foo'"):
        explain(*make(plain))


def test_an_unknown_attribution_is_named_with_those_that_exist():
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match=r"name must be one of 'conductance', .* got 'saliency'"):
        gm.layer_attribution("saliency", model, inputs, target, "3")


def test_an_unknown_option_is_named_with_those_that_exist():
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match="'grad_cam' has no option 'n_steps'; it has: relu"):
        gm.layer_attribution("grad_cam", model, inputs, target, "3", n_steps=3)


@pytest.mark.parametrize("name", sorted(EXTRA))
def test_a_missing_option_is_named(name):
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match=f"'{name}' needs the option 'baselines'"):
        gm.layer_attribution(name, model, inputs, target, "3")


def test_a_model_that_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got function"):
        gm.gradient(lambda x: x.flatten(1), torch.rand(3, 3, 5, 5), TARGET)


def test_a_model_without_class_scores_is_refused():
    with pytest.raises(ValueError, match=r"must return class scores \(3, K\), .* got shape \(3, 4, 3, 3\)"):
        gm.gradient(nn.Conv2d(3, 4, 3), torch.rand(3, 3, 5, 5), TARGET)


def test_a_layer_mask_of_another_shape_is_refused():
    model, inputs, target = make(plain)
    with pytest.raises(ValueError, match="layer_mask must hold whole numbers"):
        gm.layer_attribution("feature_ablation", model, inputs, target, "3", layer_mask=torch.zeros(1, 5, 2, 2).long())
