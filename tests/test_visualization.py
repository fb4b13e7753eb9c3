"""Visualization against captum, scipy, torch.optim, closed forms, slow loops and its own properties."""

from __future__ import annotations

import copy
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from captum import attr
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from course_utils import models, zoo
from course_utils import visualization as vis

pytestmark = pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks")

# --- networks and helpers -------------------------------------------------------------------------------------------


def plain(inplace: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3), nn.ReLU(inplace), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4),
    )  # fmt: skip


def starts_in_place() -> nn.Sequential:
    """A first layer that overwrites the images, if it is given them and not a copy."""
    return nn.Sequential(nn.Hardtanh(0.2, 0.8, inplace=True), *plain(inplace=True))


class Residual(nn.Module):
    """Functions, a sum, and a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.last = nn.Linear(4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.first(inputs))
        return self.last(self.relu(maps + self.block(maps)).mean((2, 3)))


NETWORKS = {"plain": plain, "in place": lambda: plain(inplace=True), "starts in place": starts_in_place}
NETWORKS["residual"] = Residual
every_network = pytest.mark.parametrize("network", NETWORKS)
TARGET = torch.tensor([0, 3, 1])


def make(network: str = "plain") -> tuple[nn.Module, Tensor]:
    """A network with random weights in eval mode, and three images."""
    torch.manual_seed(1)
    return louder(NETWORKS[network]()), torch.rand(3, 3, 13, 10)


def louder(model: nn.Module) -> nn.Module:
    """Larger weights: differences of scores are then as large as the scores, and not lost in their rounding."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    return model.eval()


class Linear(nn.Module):
    """Scores (N, K) = W x + b for images of any channels: no padding, no kink, for closed forms."""

    def __init__(self, shape: tuple[int, ...], n_classes: int = 3, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.weight = nn.Parameter(torch.randn(n_classes, *shape, generator=generator, dtype=dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", inputs, self.weight)


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    scale = theirs.abs().max()
    assert scale > 0, "the comparison says nothing"
    assert (ours - theirs).abs().max() <= tolerance * scale


def numpys_random_state() -> list[int]:
    return np.random.get_state()[1].tolist()  # noqa: NPY002


# --- filters --------------------------------------------------------------------------------------------------------


def test_filter_images_scale_each_filter_by_its_own_extremes():
    weight = torch.randn(6, 3, 5, 7)
    shown = vis.filter_images(weight)
    assert shown.shape == (6, 5, 7, 3)
    for own, image in zip(weight, shown, strict=True):
        expected = (own - own.min()) / (own.max() - own.min())
        assert torch.allclose(image, expected.permute(1, 2, 0), atol=1e-6)
        assert image.min() == 0
        assert image.max() == 1


def test_a_filter_that_sees_no_colour_is_grey():
    weight = torch.randn(2, 1, 5, 5).expand(-1, 3, -1, -1)
    shown = vis.filter_images(weight)
    assert torch.equal(shown, shown[..., :1].expand_as(shown))


def test_filter_images_do_not_see_a_change_of_scale_or_offset():
    weight = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    assert_close(vis.filter_images(3 * weight + 2), vis.filter_images(weight), 1e-12)


def test_a_constant_filter_is_half():
    weight = torch.cat([torch.full((1, 3, 2, 2), -4.0), torch.randn(1, 3, 2, 2)])
    assert (vis.filter_images(weight)[0] == 0.5).all()


def test_filter_images_of_a_parameter_need_no_gradient():
    assert not vis.filter_images(nn.Conv2d(3, 4, 3).weight).requires_grad


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_filter_images_refuse_filters_that_are_no_colour_images(channels):
    with pytest.raises(ValueError, match=rf"\(O, 3, kh, kw\), got shape \(2, {channels}, 5, 5\)"):
        vis.filter_images(torch.randn(2, channels, 5, 5))


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (np.zeros((2, 3, 5, 5)), TypeError, "weight must be a float tensor .* got ndarray"),
        (torch.zeros(2, 3, 5, 5).long(), TypeError, "weight must be a float tensor .* dtype torch.int64"),
        (torch.zeros(3, 5, 5), ValueError, r"weight must be a batch .* got shape \(3, 5, 5\)"),
        (torch.full((2, 3, 5, 5), math.nan), ValueError, "weight must be finite, got 150 NaN"),
    ],
)
def test_filter_images_name_bad_weights(weight, error, message):
    with pytest.raises(error, match=message):
        vis.filter_images(weight)


# --- feature maps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["plain", "in place", "starts in place"])
def test_feature_maps_are_what_the_layers_give_one_after_the_other(network):
    model, inputs = make(network)
    names = [str(k) for k in range(len(model))]
    found = vis.feature_maps(model, inputs, names)
    assert list(found) == names
    values = inputs
    for name in names:
        values = model[int(name)](values.clone())
        assert torch.equal(found[name], values)


@every_network
def test_one_forward_pass_is_enough(network):
    model, inputs = make(network)
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    layers = ["first", "block", "last"] if network == "residual" else ["0", "3", "7"]
    vis.feature_maps(model, inputs, layers)
    handle.remove()
    assert len(calls) == 1


def test_feature_maps_take_modules_and_name_them():
    model, inputs = make()
    by_module = vis.feature_maps(model, inputs, [model[3], "7"])
    assert list(by_module) == ["3", "7"]
    assert torch.equal(by_module["3"], vis.feature_maps(model, inputs, ["3"])["3"])


EVERY_LAYER = {
    "plain": ["0", "1", "3", "4", "7"],
    "in place": ["0", "1", "3", "4", "7"],
    "starts in place": ["0", "1", "2", "4", "8"],
    "residual": ["first", "block", "last"],
}


@every_network
def test_the_multi_output_model_equals_the_hooks(network):
    model, inputs = make(network)
    layers = EVERY_LAYER[network]
    outputs = vis.multi_output_model(model, layers)(inputs.clone())
    expected = vis.feature_maps(model, inputs, layers)
    assert list(outputs) == layers
    for name in layers:
        assert torch.allclose(outputs[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("name", ["zoo", "zoo-gap", "zoo-alex", "digits"])
def test_both_ways_agree_on_the_networks_of_the_course(name):
    model = models.load(name)
    images = torch.rand(2, 1, 8, 8) if name == "digits" else torch.rand(2, 3, 64, 64)
    names = [layer for layer, _ in model.named_modules() if layer]
    expected = vis.feature_maps(model, images, names)
    outputs = vis.multi_output_model(model, names)(images)
    assert all(torch.equal(outputs[layer], expected[layer]) for layer in names)


def test_gradients_go_through_the_multi_output_model():
    model, inputs = make("in place")
    inputs.requires_grad_()
    ours = torch.autograd.grad(vis.multi_output_model(model, ["3", "7"])(inputs)["7"].sum(), inputs)[0]
    assert_close(ours, torch.autograd.grad(model(inputs).sum(), inputs)[0])


def test_the_multi_output_model_shares_the_weights():
    model, inputs = make()
    outputs = vis.multi_output_model(model, ["7"])
    with torch.no_grad():
        model[7].bias += 1
    assert torch.allclose(outputs(inputs)["7"], model(inputs), atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_the_multi_output_model_can_change_its_mode(training):
    model, inputs = make("in place")
    outputs = vis.multi_output_model(model.train(training), ["0", "1", "3"])
    expected = vis.feature_maps(model, inputs, ["0", "1", "3"])
    for mode in (True, False, True):
        answer = outputs.train(mode)(inputs)
        assert all(torch.equal(answer[name], expected[name]) for name in expected)


def test_the_multi_output_model_leaves_the_modes_alone():
    model, _ = make("residual")
    model.train()
    model.block.eval()
    modes = [module.training for module in model.modules()]
    vis.multi_output_model(model, ["first"])
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("look", [vis.feature_maps, lambda model, _, layers: vis.multi_output_model(model, layers)])
@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ("0", TypeError, r"layers must be a list of layer names or modules, got str: use \[layer\]"),
        (nn.ReLU(), TypeError, "layers must be a list of layer names or modules, got ReLU"),
        ([], ValueError, "at least one layer"),
        (["conv9"], ValueError, r"no layer 'conv9'; its layers are: 'first' \(Conv2d\)"),
        ([3], TypeError, "layer must be a layer's name or the module itself, got int"),
        (["relu"], ValueError, "layer 'relu' is called (2 times|more than once)"),
    ],
)
def test_bad_layers_are_named(look, layers, error, message):
    model, inputs = make("residual")
    with pytest.raises(error, match=message):
        look(model, inputs, layers)


def test_the_multi_output_model_refuses_layers_inside_of_each_other():
    model, _ = make("residual")
    with pytest.raises(ValueError, match=r"layer 'block\.1' lies inside layer 'block'"):
        vis.multi_output_model(model, ["block.1", "block"])


def test_a_network_that_cannot_be_traced_is_refused_by_the_multi_output_model_only():
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            maps = self.layer(inputs)
            return maps if maps.sum() > 0 else -maps

    model, inputs = Asks().eval(), torch.rand(2, 3, 5, 5)
    with pytest.raises(ValueError, match=r"cannot be traced by torch\.fx .* use feature_maps"):
        vis.multi_output_model(model, ["layer"])
    assert torch.equal(vis.feature_maps(model, inputs, ["layer"])["layer"], model.layer(inputs))


# --- occlusion ------------------------------------------------------------------------------------------------------


def captums(model, inputs, target, window, stride, baselines=0.0) -> Tensor:
    """captum's Occlusion, with all channels where ours has a number or a pair."""
    channels = inputs.shape[1]
    window = window if isinstance(window, tuple) and len(window) == 3 else (channels, *_pair(window))
    stride = stride if isinstance(stride, tuple) and len(stride) == 3 else (window[0], *_pair(stride))
    return attr.Occlusion(model).attribute(
        inputs, window, stride, baselines=baselines, target=target, perturbations_per_eval=4
    )


def _pair(value) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


@pytest.mark.parametrize("seed", range(40))
def test_occlusion_is_captums_for_drawn_images_windows_and_strides(seed):
    draw = random.Random(seed)
    channels, height, width = draw.choice([1, 3, 4]), draw.randint(5, 17), draw.randint(5, 17)
    torch.manual_seed(seed)
    dtype = draw.choice([torch.float32, torch.float64])
    model = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 4),
    )  # fmt: skip
    model = louder(model).to(dtype)
    inputs = torch.rand(draw.choice([1, 3]), channels, height, width, dtype=dtype)
    window = (draw.randint(1, height), draw.randint(1, width))
    stride = (draw.randint(1, window[0]), draw.randint(1, window[1]))
    if draw.random() < 0.4:
        window = (draw.randint(1, channels), *window)
        stride = (draw.randint(1, window[0]), *stride)
    baselines = draw.choice([0.0, 0.5, torch.rand(1, channels, height, width, dtype=dtype), torch.rand_like(inputs)])
    target = draw.choice([2, torch.randint(4, (len(inputs),))])
    ours = vis.occlusion(model, inputs, target, window, stride, baselines, batch_size=draw.randint(1, 40))
    assert ours.dtype == dtype
    theirs = captums(model, inputs, target, window, stride, baselines)
    # captum returns single precision, whatever it is given: that is the tolerance in double precision.
    assert_close(ours, theirs, 1e-5 if dtype == torch.float32 else 1e-7)


@pytest.mark.parametrize(
    ("window", "stride"), [(4, 3), ((5, 3), (2, 3)), ((1, 4, 4), (1, 3, 2)), ((2, 6, 5), (1, 6, 1)), ((2, 5, 5), 5)]
)
def test_occlusion_is_the_mean_over_the_windows_one_by_one(window, stride):
    model, inputs = make()
    model, inputs = model.double(), inputs.double()
    depth, height, width = window if len(_pair(window)) == 3 else (3, *_pair(window))
    step, down, right = stride if len(_pair(stride)) == 3 else (depth, *_pair(stride))
    before = model(inputs)[torch.arange(3), TARGET]
    total, times = torch.zeros(2, *inputs.shape, dtype=torch.float64)
    for first in range(0, 3 - depth + step, step):
        for top in range(0, 13 - height + down, down):
            for left in range(0, 10 - width + right, right):
                here = (..., slice(first, first + depth), slice(top, top + height), slice(left, left + width))
                covered = inputs.clone()
                covered[here] = 0.25
                total[here] += (before - model(covered)[torch.arange(3), TARGET]).detach().view(-1, 1, 1, 1)
                times[here] += 1
    assert times.min() > 0
    assert_close(vis.occlusion(model, inputs, TARGET, window, stride, baselines=0.25), total / times, 1e-12)


@pytest.mark.parametrize(
    ("window", "stride"), [(8, 4), (7, 7), ((9, 5), (4, 3)), (16, 16), ((1, 8, 8), (1, 4, 4)), ((2, 8, 8), (1, 5, 5))]
)
def test_occlusion_is_captums_on_the_zoo(window, stride):
    model, drawn = models.load("zoo"), zoo.sample(2, seed=models.TEST_SEED)
    ours = vis.occlusion(model, drawn.images, drawn.labels, window, stride)
    assert_close(ours, captums(model, drawn.images, drawn.labels, window, stride))


@every_network
def test_occlusion_is_captums_on_every_network(network):
    model, inputs = make(network)
    twin = nn.Sequential(Clone(), copy.deepcopy(model))  # captum's inputs would be overwritten in place
    assert_close(vis.occlusion(model, inputs, TARGET, 4, 3), captums(twin, inputs, TARGET, 4, 3))


class Clone(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.clone()


def test_a_window_as_large_as_the_image_may_have_any_stride():
    model, inputs = make()
    ours = vis.occlusion(model, inputs, TARGET, (13, 10), 99)
    fall = model(inputs) - model(torch.zeros_like(inputs))
    expected = fall[torch.arange(3), TARGET].view(-1, 1, 1, 1).expand_as(inputs)
    assert_close(ours, expected.detach(), 1e-5)


def test_occlusion_of_single_pixels_of_a_linear_model_is_weight_times_input():
    inputs = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    model = Linear((3, 4, 5))
    ours = vis.occlusion(model, inputs, 1, window=(1, 1, 1), stride=1)
    assert_close(ours, (model.weight[1] * inputs).detach(), 1e-12)


def test_occlusion_of_single_pixels_measures_from_the_baseline():
    inputs, baselines = torch.rand(2, 2, 3, 4, 5, dtype=torch.float64)
    model = Linear((3, 4, 5))
    ours = vis.occlusion(model, inputs, 1, window=(1, 1, 1), stride=1, baselines=baselines)
    assert_close(ours, (model.weight[1] * (inputs - baselines)).detach(), 1e-12)


def test_windows_that_do_not_overlap_share_out_the_score_of_a_linear_model():
    inputs = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    model = Linear((3, 7, 9))
    ours = vis.occlusion(model, inputs, 0, window=(3, 4), stride=(3, 4))  # 3 windows along 7 rows and 3 along 9 columns
    areas = torch.outer(torch.tensor([3.0] * 6 + [1]), torch.tensor([4.0] * 8 + [1])).double()
    assert_close((ours[:, 0] / areas).sum((1, 2)), model(inputs)[:, 0].detach(), 1e-12)


def test_a_pixel_that_is_already_the_baseline_gets_nothing():
    model, inputs = make()
    inputs[:, :, :4, :4] = 0.5
    assert not vis.occlusion(model, inputs, TARGET, 4, 4, baselines=0.5)[:, :, :4, :4].any()


def slow_occlusion_loss(model, image, label, window, stride, grey=0.5) -> list[list[float]]:
    """The slides' algorithm, patch by patch, for one image (C, H, W)."""

    def loss(picture: Tensor) -> float:
        return -math.log(model(picture[None].clone()).softmax(1)[0, label].item())

    height, width = image.shape[1:]
    before, rows, top = loss(image), [], 0
    while True:
        row, left = [], 0
        while True:
            covered = image.clone()
            covered[:, top : top + window[0], left : left + window[1]] = grey
            row.append(before - loss(covered))
            if left + window[1] >= width:
                break
            left += stride[1]
        rows.append(row)
        if top + window[0] >= height:
            return rows
        top += stride[0]


@pytest.mark.parametrize("window", [(4, 4), (5, 3), (13, 10), (1, 7)])
@pytest.mark.parametrize("stride", [(1, 1), (4, 3), (3, 2)])
def test_occlusion_loss_is_the_slides_algorithm(window, stride):
    if any(step > width for step, width in zip(stride, window, strict=True)):
        stride = (1, 1)
    model, inputs = make("in place")
    model, inputs = model.double(), inputs.double()
    ours = vis.occlusion_loss(model, inputs, TARGET, window, stride)
    slow = [slow_occlusion_loss(model, x, q, window, stride) for x, q in zip(inputs, TARGET.tolist(), strict=True)]
    assert_close(ours, torch.tensor(slow, dtype=torch.float64), 1e-9)


def test_occlusion_loss_on_the_zoo_right_and_wrong():
    model = models.load("zoo")
    drawn = zoo.sample(400, seed=models.TEST_SEED)
    with torch.no_grad():
        predicted = model(drawn.images).argmax(1)
    (wrong,) = torch.where(predicted != drawn.labels)
    chosen = torch.cat([torch.tensor([0]), wrong[:1]])
    images, labels = drawn.images[chosen], predicted[chosen]
    ours = vis.occlusion_loss(model, images, labels, 16, 8)
    for image, label, own in zip(images, labels.tolist(), ours, strict=True):
        slow = torch.tensor(slow_occlusion_loss(model.double(), image.double(), label, (16, 16), (8, 8)))
        assert_close(own.double(), slow.double(), 1e-4)


def test_what_speaks_for_one_class_speaks_against_the_other():
    """Two classes: what is covered speaks for class 1, so that its loss grows and that of class 0 falls."""
    model = Linear((1, 4, 4), n_classes=2)
    with torch.no_grad():
        model.weight.zero_()
        model.weight[1, :, :2, :2] = 1
    image = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    change = vis.occlusion_loss(model, image, torch.tensor([1]), 2, 2, baselines=0.0)[0]
    assert change[0, 0].item() == pytest.approx(math.log(0.5) - math.log(1 / (1 + math.exp(-4))))
    assert change.flatten()[1:].tolist() == [0, 0, 0]
    change_of_the_other = vis.occlusion_loss(model, image, 0, 2, 2, baselines=0.0)[0, 0, 0].item()
    assert change_of_the_other == pytest.approx(math.log(0.5) - math.log(1 / (1 + math.exp(4))))


@pytest.mark.parametrize(("window", "stride"), [(4, 3), ((5, 3), (2, 3)), (8, 8), (1, 1)])
def test_occlusion_and_occlusion_loss_put_their_windows_at_the_same_places(window, stride):
    """In a model whose score is its log probability, the mean of the patches over a pixel is captum's map."""

    class LogSoftmax(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: Tensor) -> Tensor:
            return self.model(inputs).log_softmax(1)

    model, inputs = make()
    patches = vis.occlusion_loss(model.double(), inputs.double(), TARGET, window, stride, baselines=0.3)
    (height, width), (down, right) = _pair(window), _pair(stride)
    total, times = torch.zeros(2, 3, 13, 10, dtype=torch.float64)
    for r in range(patches.shape[1]):
        for c in range(patches.shape[2]):
            here = (slice(None), slice(r * down, r * down + height), slice(c * right, c * right + width))
            total[here] -= patches[:, r, c].view(-1, 1, 1)
            times[here] += 1
    expected = captums(LogSoftmax(model), inputs.double(), TARGET, window, stride, 0.3)
    assert times.min() > 0
    assert_close((total / times).unsqueeze(1).expand(-1, 3, -1, -1), expected, 1e-7)  # captum's single precision


OCCLUSIONS = {"occlusion": vis.occlusion, "occlusion_loss": vis.occlusion_loss}
every_occlusion = pytest.mark.parametrize("occlude", OCCLUSIONS)


@every_occlusion
def test_occluding_a_batch_is_occluding_its_images(occlude):
    model, inputs = make()
    together = OCCLUSIONS[occlude](model, inputs, TARGET, 4, 3)
    alone = [OCCLUSIONS[occlude](model, x[None], int(t), 4, 3) for x, t in zip(inputs, TARGET, strict=True)]
    assert_close(together, torch.cat(alone))


@every_occlusion
def test_the_batch_size_of_occlusion_does_not_matter_but_bounds_the_pass(occlude):
    model, inputs = make()
    sizes = []
    handle = model.register_forward_hook(lambda _, arguments, __: sizes.append(len(arguments[0])))
    answers = [OCCLUSIONS[occlude](model, inputs, TARGET, 4, 3, batch_size=size) for size in (1, 7, 1000)]
    handle.remove()
    assert_close(answers[0], answers[2])
    assert_close(answers[1], answers[2])
    n_windows = 4 * 3  # ceil((13 - 4) / 3) + 1 and ceil((10 - 4) / 3) + 1
    passes = [[1] * 3 + [1] * 36, [3] + [7] * 5 + [1], [3, 3 * n_windows]]
    assert sizes == [size for sizes_of_one in passes for size in sizes_of_one]


@every_occlusion
def test_what_occlusion_returns_can_be_used_in_a_gradient(occlude):
    model, inputs = make()
    weight = torch.ones((), requires_grad=True)
    found = OCCLUSIONS[occlude](model, inputs, TARGET, 4, 3)
    (weight * found).sum().backward()
    assert torch.isfinite(weight.grad)


@every_occlusion
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 11}, ValueError, "window covers 11 columns, but the image has only 10"),
        ({"window": (14, 2)}, ValueError, "window covers 14 rows, but the image has only 13"),
        ({"window": 3, "stride": 4}, ValueError, "stride must be at most the window, .* got stride 4 and window 3"),
        ({"window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"window": 2.0}, TypeError, r"window must be a whole number or a pair \(rows, columns\).* got float"),
        ({"stride": (1, 0)}, ValueError, "stride must be at least 1, got 0"),
        ({"stride": (1, 2, 3, 4)}, ValueError, "stride must be a whole number or a pair .* got 4 numbers"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"baselines": torch.zeros(1, 3, 2, 2)}, ValueError, "baselines must be a number or have shape"),
        ({"baselines": math.nan}, ValueError, "baselines must be finite"),
    ],
)
def test_bad_options_of_occlusion_are_named(occlude, options, error, message):
    model, inputs = make()
    with pytest.raises(error, match=message):
        OCCLUSIONS[occlude](model, inputs, TARGET, **{"window": 4, "stride": 2} | options)


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        ((4, 4, 4), 2, "window covers 4 channels, but the image has only 3"),
        ((1, 4, 4), (2, 4, 4), "channels between two windows are never covered: got stride 2 and window 1"),
        ((0, 4, 4), 2, "window must be at least 1, got 0"),
    ],
)
def test_bad_triples_are_named(window, stride, message):
    model, inputs = make()
    with pytest.raises(ValueError, match=message):
        vis.occlusion(model, inputs, TARGET, window, stride)


# --- scores ---------------------------------------------------------------------------------------------------------


@every_network
def test_class_score_is_the_models(network):
    model, inputs = make(network)
    expected = model(inputs.clone())[torch.arange(3), TARGET]
    assert torch.equal(vis.class_score(model, TARGET)(inputs), expected)
    assert torch.equal(vis.class_score(model, 2)(inputs), model(inputs.clone())[:, 2])


def test_class_log_probability_is_the_log_of_the_softmax():
    model, inputs = make()
    expected = model(inputs).softmax(1)[torch.arange(3), TARGET].log()
    assert torch.allclose(vis.class_log_probability(model, TARGET)(inputs), expected, atol=1e-6)


@pytest.mark.parametrize("layer", ["0", "4", "7"])
def test_unit_activation_is_the_mean_of_a_map_or_a_unit(layer):
    model, inputs = make("in place")
    activation = vis.feature_maps(model, inputs, [layer])[layer]
    expected = activation[:, 2] if activation.dim() == 2 else activation[:, 2].mean((1, 2))
    assert torch.allclose(vis.unit_activation(model, layer, 2)(inputs), expected, atol=1e-7)


def test_the_unit_of_the_last_layer_is_the_class_score():
    model, inputs = make()
    assert torch.equal(vis.unit_activation(model, "7", 3)(inputs), vis.class_score(model, 3)(inputs))


@pytest.mark.parametrize(
    ("make_score", "error", "message"),
    [
        (lambda m: vis.class_score(m, 4), ValueError, "target 4 is out of range: the model has 4 classes"),
        (lambda m: vis.class_score(m, TARGET[:2]), ValueError, r"LongTensor \(3,\), one class an image"),
        (lambda m: vis.class_score(m, "cup"), TypeError, "target must be an int or a LongTensor"),
        (lambda m: vis.class_log_probability(m, -1), ValueError, "target -1 is out of range"),
        (lambda m: vis.unit_activation(m, "3", 5), ValueError, "channel 5 is out of range: layer '3' has 5, 0 to 4"),
        (lambda m: vis.unit_activation(m, "3", 1.0), TypeError, "channel must be a whole number, got float"),
        (lambda m: vis.unit_activation(m, "conv", 0), ValueError, "no layer 'conv'; its layers are"),
        (lambda m: vis.class_score(m.forward, 0), TypeError, "model must be a torch.nn.Module"),
        (lambda m: vis.class_score(nn.Sequential(m, nn.Dropout()).train(), 0), ValueError, "train mode"),
    ],
)
def test_bad_scores_are_named(make_score, error, message):
    model, inputs = make()
    with pytest.raises(error, match=message):
        make_score(model)(inputs)


def test_total_variation_is_a_loop_over_neighbours():
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    for power in (1, 2, 1.5):
        expected = torch.zeros(2, dtype=torch.float64)
        for n in range(2):
            for c in range(3):
                for r in range(4):
                    for q in range(5):
                        if r + 1 < 4:
                            expected[n] += abs(images[n, c, r + 1, q] - images[n, c, r, q]) ** power
                        if q + 1 < 5:
                            expected[n] += abs(images[n, c, r, q + 1] - images[n, c, r, q]) ** power
        assert_close(vis.total_variation(images, power), expected, 1e-12)


def test_a_flat_image_has_no_variation_and_a_step_has_its_height():
    flat = torch.full((1, 1, 3, 4), 0.3)
    assert vis.total_variation(flat).tolist() == [0]
    flat[..., 2:] = 0.8
    assert vis.total_variation(flat).item() == pytest.approx(3 * 0.5)


# --- a Gaussian expert ----------------------------------------------------------------------------------------------


def fitted(images: Tensor, size: int, stride: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all patches, cut out one by one."""
    cut = patches_of(images, size, stride)
    return cut.mean(0), np.cov(cut.T, bias=True) + noise**2 * np.eye(cut.shape[1])


def patches_of(images: Tensor, size: int, stride: int) -> np.ndarray:
    height, width = images.shape[2:]
    return np.array(
        [
            image[:, r : r + size, q : q + size].flatten().numpy()
            for image in images
            for r in range(0, height - size + 1, stride)
            for q in range(0, width - size + 1, stride)
        ]
    )


@pytest.mark.parametrize(("channels", "size", "stride"), [(1, 3, 1), (3, 2, 2), (2, 4, 3)])
def test_the_expert_is_scipys_log_density_up_to_its_constant(channels, size, stride):
    torch.manual_seed(3)
    images, new = torch.rand(2, 6, channels, 9, 8, dtype=torch.float64)
    expert = vis.gaussian_expert(images, size, weight=0.7, stride=stride, noise=0.1)
    mean, covariance = fitted(images, size, stride, 0.1)
    density = scipy.stats.multivariate_normal(mean, covariance)
    constant = -0.5 * (len(mean) * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1])
    expected = [0.7 * (density.logpdf(patches_of(x[None], size, stride)) - constant).sum() for x in new]
    assert_close(expert(new), torch.tensor(expected), 1e-10)


def test_the_expert_overlaps_its_patches_by_half():
    images = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    by_default = vis.gaussian_expert(images, 4)
    assert torch.equal(by_default(images), vis.gaussian_expert(images, 4, stride=2)(images))


def test_the_experts_gradient_is_that_of_finite_differences():
    torch.manual_seed(4)
    images = torch.rand(8, 1, 6, 6, dtype=torch.float64)
    expert = vis.gaussian_expert(images, 3, weight=1.0)
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(expert, x)


def test_the_expert_prefers_real_images_to_noise_and_to_shuffled_pixels():
    expert = vis.gaussian_expert(zoo.sample(200, seed=1).images)
    real = zoo.sample(20, seed=2).images
    shuffled = real.flatten(2)[:, :, torch.randperm(64 * 64, generator=torch.Generator().manual_seed(0))].view_as(real)
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    assert expert(real).min() > 10 * expert(shuffled).median()
    assert expert(real).min() > 10 * expert(noise).max()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patch_size": 9}, ValueError, "at least 9 x 9 pixels, the expert's patch"),
        ({"patch_size": 0}, ValueError, "patch_size must be at least 1, got 0"),
        ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ({"noise": 0}, ValueError, "noise must be above 0"),
        ({"weight": -1}, ValueError, "weight must be a finite number of at least 0, got -1"),
    ],
)
def test_bad_options_of_the_expert_are_named(options, error, message):
    with pytest.raises(error, match=message):
        vis.gaussian_expert(torch.rand(4, 1, 8, 8), **{"patch_size": 4} | options)


def test_the_expert_refuses_images_of_other_channels():
    with pytest.raises(ValueError, match=r"images must have 1 channels .* got shape \(4, 3, 8, 8\)"):
        vis.gaussian_expert(torch.rand(4, 1, 8, 8), 4)(torch.rand(4, 3, 8, 8))


# --- jitter ---------------------------------------------------------------------------------------------------------


def test_jitter_shifts_by_every_step_up_to_its_size_and_none_beyond():
    image = torch.zeros(1, 1, 9, 9)
    image[..., 4, 4] = 1
    generator = torch.Generator().manual_seed(0)
    places = {tuple(vis.jitter(1)(image, generator)[0, 0].nonzero()[0].tolist()) for _ in range(200)}
    assert places == {(r, q) for r in (3, 4, 5) for q in (3, 4, 5)}


def test_jitter_moves_a_batch_together_and_loses_nothing():
    images = torch.rand(3, 2, 7, 5)
    moved = vis.jitter(3)(images, torch.Generator().manual_seed(1))
    assert torch.equal(moved[1:2], vis.jitter(3)(images[1:2], torch.Generator().manual_seed(1)))
    assert torch.equal(moved.flatten(2).sort().values, images.flatten(2).sort().values)


@pytest.mark.parametrize(("n_pixels", "error"), [(0, ValueError), (1.5, TypeError)])
def test_jitter_names_a_bad_size(n_pixels, error):
    with pytest.raises(error, match="n_pixels must be"):
        vis.jitter(n_pixels)


# --- activation maximization ----------------------------------------------------------------------------------------

ONE_SHAPE = (2, 3, 4)


def climb(score, start: Tensor, n_steps: int = 300, lr: float = 0.1, **options) -> vis.Maximization:
    return vis.maximize_activation(score, start, n_steps=n_steps, lr=lr, **options)


def test_a_linear_score_with_l2_ends_at_half_the_weights_over_lambda():
    model = Linear(ONE_SHAPE)
    found = climb(vis.class_score(model, 1), torch.rand(2, *ONE_SHAPE).double(), l2=0.8, bounds=None)
    assert_close(found.image, (model.weight[1] / 1.6).detach().expand(2, -1, -1, -1), 1e-9)


def test_bounds_cut_what_a_linear_score_wants():
    model = Linear(ONE_SHAPE)
    start = torch.full((1, *ONE_SHAPE), 0.4).double()
    found = climb(vis.class_score(model, 1), start, l2=0.8, bounds=(0.1, 0.7))
    assert_close(found.image, (model.weight[1:2] / 1.6).detach().clamp(0.1, 0.7), 1e-9)
    assert found.image.min() == 0.1
    assert found.image.max() == 0.7


def test_without_l2_a_linear_score_drives_every_pixel_to_a_bound():
    model = Linear(ONE_SHAPE)
    found = climb(vis.class_score(model, 0), torch.full((1, *ONE_SHAPE), 0.5).double(), lr=100.0, n_steps=1)
    assert torch.equal(found.image, (model.weight[:1] > 0).double())


def test_a_hill_is_climbed_to_its_top():
    top = torch.rand(3, *ONE_SHAPE).double()
    found = climb(lambda x: -(x - top).square().flatten(1).sum(1), torch.zeros(3, *ONE_SHAPE).double())
    assert_close(found.image, top, 1e-9)
    assert (found.scores.diff(dim=0) >= 0).all()


def test_each_step_of_a_parabola_shrinks_the_way_to_its_top_by_the_same_share():
    """From 0 to the top 0.6 / (1 + l2) = 0.4, of which each step leaves the share 1 - 2 lr (1 + l2) = 0.85."""
    found = climb(
        lambda x: -(x - 0.6).square().flatten(1).sum(1), torch.zeros(1, 1, 1, 1).double(), 7, 0.05, l2=0.5, bounds=None
    )
    steps = torch.arange(8).double()
    way = 0.4 * (1 - 0.85**steps)
    assert_close(found.scores[:, 0], -((way - 0.6) ** 2), 1e-12)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@every_network
def test_the_ascent_is_that_of_torchs_sgd(network, bounds):
    model, start = make(network)
    model, start = model.double(), start.double()
    x = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.05, maximize=True)
    scores = []
    for _ in range(12):
        optimizer.zero_grad()
        values = model(x.clone())[torch.arange(3), TARGET]
        scores.append(values.detach())
        (values - 0.01 * x.square().sum((1, 2, 3)) - 0.003 * vis.total_variation(x)).sum().backward()
        optimizer.step()
        if bounds is not None:
            with torch.no_grad():
                x.clamp_(*bounds)
    scores.append(model(x.detach().clone())[torch.arange(3), TARGET].detach())
    found = climb(
        vis.class_score(model, TARGET), start, 12, 0.05,
        l2=0.01, bounds=bounds, prior=lambda images: -0.003 * vis.total_variation(images),
    )  # fmt: skip
    assert_close(found.image, x.detach(), 1e-10)
    assert_close(found.scores, torch.stack(scores), 1e-10)


def test_weight_decay_of_torchs_sgd_is_the_l2_penalty():
    model, start = make()
    x = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.05, weight_decay=2 * 0.3)
    for _ in range(5):
        optimizer.zero_grad()
        (-model(x)[torch.arange(3), TARGET]).sum().backward()
        optimizer.step()
    found = climb(vis.class_score(model, TARGET), start, 5, 0.05, l2=0.3, bounds=None)
    assert_close(found.image, x.detach())


def test_the_scores_are_the_score_alone_of_start_and_of_every_step():
    model, start = make()
    score = vis.class_score(model, TARGET)
    found = climb(score, start, 6, l2=0.1, prior=lambda x: -vis.total_variation(x), transform=vis.jitter(2))
    assert found.scores.shape == (7, 3)
    assert torch.allclose(found.scores[0], score(start), atol=1e-6)
    assert torch.allclose(found.scores[-1], score(found.image), atol=1e-6)
    generator = torch.Generator()
    for n_steps in (1, 4):
        generator.set_state(torch.get_rng_state())  # as without a generator
        stop = climb(
            score, start, n_steps, l2=0.1, prior=lambda x: -vis.total_variation(x), transform=vis.jitter(2),
            generator=generator,
        )  # fmt: skip
        assert torch.allclose(stop.scores[-1], found.scores[n_steps], atol=1e-6)
    assert found.code is None


def test_the_images_of_a_batch_climb_by_themselves():
    model, start = make("in place")
    options = {"n_steps": 8, "l2": 0.05, "transform": vis.jitter(2)}

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    together = climb(vis.class_score(model, TARGET), start, **options, generator=generator())
    for k in range(3):
        alone = climb(vis.class_score(model, TARGET[k : k + 1]), start[k : k + 1], **options, generator=generator())
        assert_close(together.image[k : k + 1], alone.image)
        assert_close(together.scores[:, k : k + 1], alone.scores)


def test_the_transform_sees_every_step_and_its_generator():
    seen = []
    generator = torch.Generator().manual_seed(3)

    def double(images: Tensor, given: torch.Generator) -> Tensor:
        seen.append(given is generator)
        return 2 * images

    model = Linear(ONE_SHAPE)
    start = torch.zeros(1, *ONE_SHAPE).double()
    found = climb(vis.class_score(model, 0), start, 3, 0.1, transform=double, generator=generator, bounds=None)
    assert seen == [True] * 3
    assert_close(found.image, (3 * 0.1 * 2 * model.weight[:1]).detach(), 1e-12)  # the slope of score(2 x)
    assert_close(found.scores[-1], (model.weight[0] * found.image[0]).sum().detach().view(1), 1e-12)  # of score(x)


def test_the_prior_pulls():
    model, start = make()
    rough = climb(vis.class_score(model, TARGET), start, 50)
    smooth = climb(vis.class_score(model, TARGET), start, 50, prior=lambda x: -0.5 * vis.total_variation(x, 2))
    assert (vis.total_variation(smooth.image) < 0.7 * vis.total_variation(rough.image)).all()
    assert (smooth.scores[-1] < rough.scores[-1]).all()


def test_an_image_with_an_expert_is_likelier_than_one_without():
    model = models.load("zoo")
    expert = vis.gaussian_expert(zoo.sample(200, seed=4).images)
    start = torch.full((2, 3, 64, 64), 0.5)
    score = vis.class_score(model, torch.tensor([3, 7]))
    with_expert = vis.maximize_activation(score, start, 40, prior=expert)
    without = vis.maximize_activation(score, start, 40)
    assert (expert(with_expert.image) > expert(without.image) / 3).all()
    assert (with_expert.scores[-1] > 5).all()


STARTS = {
    "noise": lambda: torch.rand(10, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
    "grey": lambda: torch.full((10, 3, 64, 64), 0.5),
    "class mean": lambda: torch.stack([zoo.sample(50, seed=5, classes=[c]).images.mean(0) for c in zoo.CLASSES]),
}


@pytest.mark.parametrize("start", STARTS)
def test_the_defaults_find_an_image_of_each_class_of_the_zoo(start):
    classes = torch.arange(10)
    model, second = models.load("zoo"), models.load("zoo-gap")
    found = vis.maximize_activation(vis.class_score(model, classes), STARTS[start]())
    with torch.no_grad():
        assert model(found.image).softmax(1).diagonal().min() > 0.999
        # A second network agrees for most: 7 to 9 of 10 measured.
        assert (second(found.image).argmax(1) == classes).sum() >= 6
    assert found.image.min() >= 0
    assert found.image.max() <= 1


def test_networks_without_a_part_in_them_recognise_the_pictures_of_the_robust_network():
    classes, robust = torch.arange(10), models.load("zoo-robust")
    generator = torch.Generator().manual_seed(0)
    options = {"n_steps": 60, "lr": 1.0, "transform": vis.jitter(8), "generator": generator}
    found = vis.maximize_activation(vis.class_score(robust, classes), STARTS["class mean"](), **options)
    with torch.no_grad():
        # It is sure of all but the cup; zoo agrees on all ten, zoo-gap on 8 to 10.
        assert (robust(found.image).softmax(1).diagonal() >= 0.99).sum() >= 8
        assert (models.load("zoo")(found.image).argmax(1) == classes).sum() >= 9
        assert (models.load("zoo-gap")(found.image).argmax(1) == classes).sum() >= 7


def test_the_log_probability_stops_pulling_where_the_score_goes_on():
    """The slides' warning: once P is 1, the softmax asks for no more, and the score ends lower."""
    model, second, classes = models.load("zoo"), models.load("zoo-gap"), torch.arange(10)
    start = torch.full((10, 3, 64, 64), 0.5)
    by_score = vis.maximize_activation(vis.class_score(model, classes), start).image
    by_probability = vis.maximize_activation(vis.class_log_probability(model, classes), start).image
    with torch.no_grad():
        assert (model(by_probability).softmax(1).diagonal() > 0.9).all()
        assert (model(by_score).diagonal() > 3 * model(by_probability).diagonal()).all()
        agrees = [(second(images).argmax(1) == classes).sum() for images in (by_score, by_probability)]
    assert agrees[0] >= agrees[1] + 3  # 7 and 2 of 10 measured


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"n_steps": 2.0}, TypeError, "n_steps must be a whole number, got float"),
        ({"lr": 0.0}, ValueError, "lr must be above 0"),
        ({"lr": -0.1}, ValueError, "lr must be a finite number of at least 0, got -0.1"),
        ({"l2": -1}, ValueError, "l2 must be a finite number of at least 0, got -1"),
        ({"l2": "much"}, TypeError, "l2 must be a number, got str"),
        ({"bounds": (0.5, 1.0)}, ValueError, "start must lie inside of bounds, 0.5 to 1, got values from "),
        ({"bounds": (1.0, 0.0)}, ValueError, "bounds must be a pair .* with low < high"),
        ({"bounds": 1.0}, TypeError, r"bounds must be None or a pair \(low, high\), got 1.0"),
        ({"prior": 3.0}, TypeError, "prior must be a function of images, got float"),
        (
            {"prior": lambda x: x.sum()},
            ValueError,
            r"prior must return one number an image, a tensor \(3,\), got shape",
        ),
        ({"transform": "jitter"}, TypeError, "transform must be a function of images, got str"),
        ({"generator": 3}, TypeError, "generator must be a torch.Generator or None, got int"),
    ],
)
def test_bad_options_of_the_ascent_are_named(options, error, message):
    model, start = make()
    with pytest.raises(error, match=message):
        climb(vis.class_score(model, TARGET), start, **{"n_steps": 2} | options)


@pytest.mark.parametrize(
    ("score", "error", "message"),
    [
        (lambda x: x.sum(), ValueError, r"score must return one number an image, a tensor \(3,\), got shape \(\)"),
        (lambda x: x.flatten(1), ValueError, r"score must return one number an image, .* got shape \(3, 390\)"),
        (lambda x: 3.0, ValueError, "score must return one number an image, .* got float"),
        (lambda x: x.flatten(1).sum(1).log() * math.nan, ValueError, "score must return finite numbers, got .*nan"),
        (
            lambda x: x.detach().flatten(1).sum(1),
            ValueError,
            r"does not depend on the images by differentiable operations",
        ),
        ("cup", TypeError, "score must be a function of images, got str"),
    ],
)
def test_bad_scores_of_the_ascent_are_named(score, error, message):
    with pytest.raises(error, match=message):
        climb(score, make()[1], n_steps=2)


def test_an_ascent_that_runs_away_is_named():
    with pytest.raises(ValueError, match=r"score must return finite numbers, got .* a smaller lr may help"):
        climb(lambda x: x.square().flatten(1).sum(1), make()[1], n_steps=200, lr=10.0, bounds=None)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda x: x[0], ValueError, r"start must be a batch \(N, C, H, W\).*unsqueeze\(0\)"),
        (lambda x: x.numpy(), TypeError, "start must be a float tensor .* got ndarray"),
        (lambda x: x * math.nan, ValueError, "start must be finite"),
        (lambda x: x - 0.5, ValueError, "start must lie inside of bounds, 0 to 1, got values from -0"),
        (lambda x: x.double(), TypeError, "inputs are torch.float64, but the model computes in torch.float32"),
    ],
)
def test_bad_starts_are_named(spoil, error, message):
    model, start = make()
    with pytest.raises(error, match=message):
        climb(vis.class_score(model, TARGET), spoil(start), n_steps=2)


# --- code space -----------------------------------------------------------------------------------------------------


class Draws(nn.Module):
    """A linear generator: codes (N, 5) to images (N, 2, 3, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, math.prod(ONE_SHAPE), dtype=torch.float64)

    def forward(self, codes: Tensor) -> Tensor:
        return self.linear(codes).view(-1, *ONE_SHAPE)


def test_a_linear_generator_and_score_have_their_best_code_in_closed_form():
    """score(g(z)) = w.(A z + b), so that z = A^T w / (2 l2)."""
    torch.manual_seed(0)
    generator, model = Draws(), Linear(ONE_SHAPE)
    found = vis.maximize_in_code_space(generator, vis.class_score(model, 2), torch.zeros(3, 5).double(), 300, l2=0.7)
    code = (generator.linear.weight.T @ model.weight[2].flatten() / 1.4).detach().expand(3, -1)
    assert_close(found.code, code, 1e-9)
    assert_close(found.image, generator(code).detach(), 1e-9)
    assert found.scores.shape == (301, 3)
    assert_close(found.scores[-1], model(found.image)[:, 2].detach(), 1e-12)
    assert_close(found.scores[0], model(generator(torch.zeros(3, 5).double()))[:, 2].detach(), 1e-12)


def test_the_codes_of_a_batch_climb_by_themselves():
    torch.manual_seed(0)
    generator, model = Draws(), Linear(ONE_SHAPE)
    score = vis.class_score(nn.Sequential(model, nn.Tanh()), 1)
    codes = torch.randn(3, 5).double()
    together = vis.maximize_in_code_space(generator, score, codes, 20)
    alone = [vis.maximize_in_code_space(generator, score, code[None], 20).code for code in codes]
    assert_close(together.code, torch.cat(alone), 1e-10)


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (np.zeros((2, 5)), TypeError, r"start_code must be a float tensor \(N, Z\), got ndarray"),
        (torch.zeros(2, 5).long(), TypeError, "start_code must be a float tensor .* got torch.int64"),
        (torch.zeros(5).double(), ValueError, r"start_code must be codes \(N, Z\), .* got shape \(5,\)"),
        (torch.full((2, 5), math.inf).double(), ValueError, "start_code must be finite, got 10"),
    ],
)
def test_bad_codes_are_named(code, error, message):
    with pytest.raises(error, match=message):
        vis.maximize_in_code_space(Draws(), vis.class_score(Linear(ONE_SHAPE), 0), code, 2)


def test_a_generator_that_draws_no_images_is_named():
    with pytest.raises(ValueError, match=r"generator_network must return images \(2, C, H, W\), got shape \(2, 7\)"):
        vis.maximize_in_code_space(nn.Linear(5, 7), lambda x: x.flatten(1).sum(1), torch.zeros(2, 5), 2)


def test_in_code_space_the_shipped_generator_draws_most_classes():
    classes, model, generator = torch.arange(10), models.load("zoo"), models.load("zoo-generator")
    codes = torch.randn(10, generator[0].in_features, generator=torch.Generator().manual_seed(2))
    found = vis.maximize_in_code_space(generator, vis.class_score(model, classes), codes, n_steps=60, lr=3.0)
    assert (found.scores[-1] > found.scores[0]).all()
    assert found.code.norm(dim=1).max() < 4 * generator[0].in_features ** 0.5  # the price holds it: 12 to 23 measured
    with torch.no_grad():
        # The generator draws shapes, and hardly any coats: 6 of 10 measured, and 5 by zoo-gap (by chance it were 1).
        assert (model(found.image).softmax(1).diagonal() >= 0.99).sum() >= 4
        assert (models.load("zoo-gap")(found.image).argmax(1) == classes).sum() >= 3


# --- deep dream -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["3", "9"])
@pytest.mark.parametrize("n_octaves", [1, 3])
def test_a_dream_excites_its_layer_more_and_more(layer, n_octaves):
    model, images = models.load("zoo"), zoo.sample(3, seed=models.TEST_SEED).images

    def excitement(x: Tensor) -> Tensor:
        return vis.feature_maps(model, x, [layer])[layer].square().mean((1, 2, 3))

    dreams = [
        vis.deep_dream(model, images, layer, n_steps=n, n_octaves=n_octaves, generator=torch.Generator().manual_seed(0))
        for n in (1, 4, 12)
    ]
    excited = torch.stack([excitement(x) for x in (images, *dreams)])
    assert (excited.diff(dim=0) > 0).all()
    assert (excited[-1] > 2 * excited[0]).all()
    for dream in dreams:
        assert dream.shape == images.shape
        assert dream.min() >= 0
        assert dream.max() <= 1


def test_a_dream_of_one_map_excites_this_map():
    model, images = models.load("zoo"), zoo.sample(3, seed=models.TEST_SEED).images
    dream = vis.deep_dream(model, images, "6", channel=5)
    score = vis.unit_activation(model, "6", 5)
    with torch.no_grad():
        assert (score(dream) > score(images) + 0.4).all()


def test_one_octave_without_jitter_is_normalized_gradient_ascent():
    model, images = make()
    x = images.clone()
    for _ in range(3):
        x.requires_grad_()
        maps = model[3](model[2](model[1](model[0](x))))
        (g,) = torch.autograd.grad((maps**2).mean((1, 2, 3)).sum(), x)
        x = (x + 0.02 * g / g.abs().mean((1, 2, 3), keepdim=True)).clamp(0, 1).detach()
    assert_close(vis.deep_dream(model, images, "3", n_steps=3, lr=0.02, n_octaves=1, jitter=0), x)


def test_the_octaves_are_the_sizes_that_the_layer_sees():
    model, images = make()
    sizes = []
    handle = model[0].register_forward_hook(lambda _, inputs, __: sizes.append(tuple(inputs[0].shape[2:])))
    vis.deep_dream(model, images, "3", n_steps=2, n_octaves=3, octave_scale=1.3)
    handle.remove()
    assert sizes == [(8, 6)] * 2 + [(10, 8)] * 2 + [(13, 10)] * 2


def test_a_dream_that_goes_nowhere_is_the_image():
    """Without a step, what the octaves take apart they put together again: nothing of the image is lost."""
    model, images = make()
    assert_close(vis.deep_dream(model, images, "3", lr=0.0, n_octaves=2), images, 1e-6)


def test_a_dream_of_dead_units_is_the_image():
    model, images = make()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.fill_(-1)
        model[3].bias.zero_()
    assert_close(vis.deep_dream(model, images, "4", n_octaves=2), images, 1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "conv"}, ValueError, "no layer 'conv'; its layers are"),
        ({"channel": 5, "n_octaves": 2}, ValueError, "channel 5 is out of range: layer '3' has 5, 0 to 4"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1"),
        ({"n_octaves": 0}, ValueError, "n_octaves must be at least 1"),
        ({"octave_scale": 0.5}, ValueError, "octave_scale must be at least 1, got 0.5"),
        ({"jitter": -1}, ValueError, "jitter must be at least 1, got -1"),
        ({"lr": -1}, ValueError, "lr must be a finite number of at least 0"),
        ({"n_octaves": 9}, ValueError, "layer '3' cannot take images of 1 x 1 pixels .*: fewer octaves"),
    ],
)
def test_bad_options_of_a_dream_are_named(options, error, message):
    model, images = make()
    with pytest.raises(error, match=message):
        vis.deep_dream(model, images, **{"layer": "3", "n_steps": 1} | options)


def test_an_error_of_the_model_at_the_full_size_is_not_blamed_on_the_octaves():
    model, images = make()
    with pytest.raises(RuntimeError, match="expected input"):
        vis.deep_dream(model, images[:, :2], "3", n_octaves=1)


def test_a_dream_needs_images_between_0_and_1():
    model, images = make()
    with pytest.raises(ValueError, match=r"inputs must lie in \[0, 1\], got"):
        vis.deep_dream(model, images + 1, "3")


# --- facets ---------------------------------------------------------------------------------------------------------


def striped(n: int, across: bool) -> Tensor:
    """Grey images with horizontal or vertical stripes at a random place and of a random strength."""
    generator = torch.Generator().manual_seed(int(across))
    wave = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(3)
    strength = 0.2 + 0.2 * torch.rand(n, 1, generator=generator)
    rows = torch.stack([strength[k] * wave.roll(k % 4) for k in range(n)])
    images = 0.5 + (rows[:, None, :, None] if across else rows[:, None, None, :]).expand(-1, -1, 12, 12)
    return (images + 0.05 * torch.rand(images.shape, generator=generator)).clamp(0, 1)


class TwoFaced(nn.Sequential):
    """One unit that likes stripes of either direction: its two facets are known."""

    def __init__(self) -> None:
        edges = torch.zeros(4, 1, 4, 4)
        edges[0, 0, :2], edges[0, 0, 2:] = 1, -1
        edges[1] = -edges[0]
        edges[2:] = edges[:2].transpose(2, 3)
        detectors, unit = nn.Conv2d(1, 4, 4, bias=False), nn.Conv2d(4, 1, 1, bias=False)
        with torch.no_grad():
            detectors.weight.copy_(edges)
            unit.weight.fill_(1)
        super().__init__(detectors, nn.ReLU(inplace=True), unit)


def test_facets_find_the_two_kinds_of_images_that_excite_a_unit():
    model = TwoFaced().eval()
    inputs = torch.cat([striped(20, True), striped(30, False)])
    found = vis.facets(model, "2", 0, inputs, 2, embedding="1", n_nearest=7, n_steps=30)
    assert found.members.dtype == torch.long
    first = found.members[0].item()
    assert found.members.tolist() == [first] * 20 + [1 - first] * 30
    assert found.images.shape == found.starts.shape == (2, 1, 12, 12)
    across, down = found.images[first, 0], found.images[1 - first, 0]
    assert across.diff(dim=0).abs().sum() > 2 * across.diff(dim=1).abs().sum()
    assert down.diff(dim=1).abs().sum() > 2 * down.diff(dim=0).abs().sum()
    score = vis.unit_activation(model, "2", 0)
    with torch.no_grad():
        assert torch.allclose(found.scores, score(found.images), atol=1e-5)
        assert (found.scores > score(found.starts)).all()


def test_a_facets_start_is_the_mean_of_the_images_nearest_to_its_centre():
    model = TwoFaced().eval()
    inputs = torch.cat([striped(9, True), striped(14, False)])
    found = vis.facets(model, "2", 0, inputs, 2, embedding="1", n_nearest=4, n_steps=1)
    codes = vis.feature_maps(model, inputs, ["1"])["1"].mean((2, 3)).double()
    for facet in range(2):
        own = torch.where(found.members == facet)[0]
        distances = (codes[own] - codes[own].mean(0)).square().sum(1)
        assert_close(found.starts[facet], inputs[own[distances.argsort()[:4]]].mean(0))


def test_facets_of_the_tagged_networks_horse_are_the_horse_and_the_tag():
    model, horse = models.load("zoo-tagged"), zoo.CLASSES.index("horse")
    horses = zoo.sample(40, seed=9, classes=["horse"])
    tagged = zoo.sample(40, seed=10, classes=["zebra", "leopard", "giraffe"], tag=True)
    inputs = torch.cat([horses.images, tagged.images])
    found = vis.facets(
        model, "15", horse, inputs, 2, embedding="10", n_steps=30, generator=torch.Generator().manual_seed(0)
    )
    of_horses = [(found.members[:40] == facet).sum().item() for facet in (0, 1)]
    facet = of_horses.index(max(of_horses))
    assert max(of_horses) >= 36
    assert (found.members[40:] != facet).sum() >= 20
    corner = tagged.segmentation[0] == zoo.REGIONS.index("tag")
    brightness = found.starts.mean(1)[:, corner].mean(1)
    assert brightness[1 - facet] > brightness[facet] + 0.2
    assert (found.scores > 20).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_facets": 0}, ValueError, "n_facets must be at least 1"),
        ({"n_facets": 9}, ValueError, "n_facets must be at most the number of images, 8, got 9"),
        ({"n_nearest": 0}, ValueError, "n_nearest must be at least 1"),
        ({"embedding": "conv"}, ValueError, "no layer 'conv'"),
        ({"layer": "conv"}, ValueError, "no layer 'conv'"),
        ({"channel": 1}, ValueError, "channel 1 is out of range: layer '2' has 1"),
    ],
)
def test_bad_options_of_facets_are_named(options, error, message):
    arguments = {"layer": "2", "channel": 0, "inputs": striped(8, True), "n_facets": 2, "n_steps": 1} | options
    with pytest.raises(error, match=message):
        vis.facets(TwoFaced().eval(), **arguments)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters", "ignore:invalid value encountered in divide")
def test_more_facets_than_different_images_are_refused():
    with pytest.raises(ValueError, match="layer '1' gives only 1 different descriptions"):
        vis.facets(TwoFaced().eval(), "2", 0, torch.full((8, 1, 12, 12), 0.5), 2, embedding="1")


# --- training under observation -------------------------------------------------------------------------------------


def digits(n: int = 400) -> tuple[Tensor, Tensor]:
    images, labels = models.digits(train=True)
    return images[:n], labels[:n]


def small(activation: type[nn.Module] = nn.ReLU, depth: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3), activation(), nn.Flatten()]
    for k in range(depth):
        layers += [nn.Linear(216 if k == 0 else 32, 32), activation()]
    return nn.Sequential(*layers, nn.Linear(32, 10))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> tuple[nn.Sequential, vis.TrainingLog, str]:
    """A network trained for fifteen epochs of seven batches, what was logged, and where."""
    model, folder = small(), str(tmp_path_factory.mktemp("healthy"))
    vis.log_training(model, *digits(), folder, n_epochs=15, lr=0.3, generator=torch.Generator().manual_seed(0))
    return model, vis.read_training(folder), folder


WITH_WEIGHTS, ALL_LAYERS = ("0", "3", "5"), ("0", "1", "2", "3", "4", "5")


def test_the_log_has_the_promised_tags(healthy):
    _, log, folder = healthy
    assert set(log.scalars) == {"loss", "accuracy"} | {f"gradient_norm/{k}" for k in WITH_WEIGHTS}
    assert set(log.histograms) == (
        {f"{what}/{k}" for what in ("weights", "gradients") for k in WITH_WEIGHTS}
        | {f"activations/{k}" for k in ALL_LAYERS}
    )
    assert EventAccumulator(folder).Reload().Tags()["images"] == ["filters/0"]


def test_scalars_are_logged_for_every_batch_and_histograms_for_every_epoch(healthy):
    _, log, _ = healthy
    for steps, values in log.scalars.values():
        assert steps.tolist() == list(range(105))
        assert values.shape == (105,)
    for steps, histograms in log.histograms.values():
        assert steps.tolist() == [*range(0, 105, 7), 104]
        assert len(histograms) == 16


def test_training_really_trains(healthy):
    model, log, _ = healthy
    loss, accuracy = log.scalars["loss"][1], log.scalars["accuracy"][1]
    assert loss[0] == pytest.approx(math.log(10), abs=0.1)
    assert loss[-7:].mean() < 0.5 * loss[:3].mean()
    assert accuracy[-7:].mean() > 0.8
    assert models.accuracy(model, *models.digits(train=False)) > 0.7


def test_the_histograms_count_every_weight_gradient_and_activation(healthy):
    model, log, _ = healthy
    for name in WITH_WEIGHTS:
        n_weights = model[int(name)].weight.numel()
        for what in ("weights", "gradients"):
            for limits, counts in log.histograms[f"{what}/{name}"][1]:
                assert counts.sum() == n_weights
                assert len(limits) == len(counts) + 1
                assert (np.diff(limits) > 0).all()
    for name, size in zip(ALL_LAYERS, (216, 216, 216, 32, 32, 10), strict=True):
        assert all(counts.sum() == 8 * size for _, counts in log.histograms[f"activations/{name}"][1])


def test_the_histogram_of_the_weights_is_numpys(healthy):
    _, log, _ = healthy
    limits, counts = log.histograms["weights/3"][1][0]
    weights = small()[3].weight.detach().numpy().ravel()  # before the first step
    assert limits[0] <= weights.min()
    assert weights.max() <= limits[-1]
    assert np.histogram(weights, limits)[0].tolist() == counts.tolist()


def test_the_share_of_zeros_is_that_of_the_numbers_written(tmp_path):
    shares = (0.0, 0.25, 0.9, 1.0)
    with SummaryWriter(str(tmp_path)) as writer:
        for k, share in enumerate(shares):
            values = np.random.default_rng(k).normal(size=400)
            values[: round(400 * share)] = 0
            writer.add_histogram("both signs", values, 3 * k)
            writer.add_histogram("no signs", np.abs(values), 3 * k)
            writer.add_histogram("negative", -np.abs(values), 3 * k)
    log = vis.read_training(tmp_path)
    for tag in log.histograms:
        steps, found = vis.share_of_zeros(log, tag)
        assert steps.tolist() == [0, 3, 6, 9]
        assert found.tolist() == list(shares)


def test_the_share_of_zeros_of_a_relu_is_that_of_its_outputs(tmp_path):
    images, labels = digits(8)
    vis.log_training(small(), images, labels, tmp_path, n_epochs=1)
    with torch.no_grad():
        activations = small()[:2](images)  # before the first step
    steps, shares = vis.share_of_zeros(vis.read_training(tmp_path), "activations/1")
    assert steps.tolist() == [0]
    assert shares[0] == pytest.approx((activations == 0).double().mean().item(), abs=1e-9)


def test_a_tag_without_a_histogram_is_named_with_those_that_there_are(healthy):
    with pytest.raises(ValueError, match=r"tag 'loss' is no histogram of the log, which holds \[.*'activations/0'"):
        vis.share_of_zeros(healthy[1], "loss")


def test_the_filters_are_those_of_the_first_layer(tmp_path):
    from io import BytesIO

    from PIL import Image

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    shown = vis.filter_images(model[0].weight)
    vis.log_training(model, torch.rand(8, 3, 9, 9), torch.arange(8) % 2, tmp_path, n_epochs=1)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload().Images("filters/0")
    picture = np.array(Image.open(BytesIO(events[0].encoded_image_string)))
    assert any(
        np.abs(picture[r : r + 7, q : q + 7] / 255 - shown[4].numpy()).max() < 0.01
        for r in range(picture.shape[0] - 6)
        for q in range(picture.shape[1] - 6)
    )


def test_full_batches_are_plain_gradient_descent(tmp_path):
    images, labels = digits(50)
    ours, theirs = small(), small()
    vis.log_training(ours, images, labels, tmp_path, n_epochs=4, batch_size=50, lr=0.3)
    norms, losses = [], []
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.3)
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(theirs(images), labels)
        loss.backward()
        losses.append(loss.item())
        norms.append(theirs[3].weight.grad.norm().item())
        optimizer.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(own.detach(), other.detach(), 1e-5)
    log = vis.read_training(tmp_path)
    assert log.scalars["loss"][1] == pytest.approx(losses, rel=1e-5)
    assert log.scalars["gradient_norm/3"][1] == pytest.approx(norms, rel=1e-4)


def first_norm_over_last(log: vis.TrainingLog) -> float:
    """How much of the gradient reaches the first layer, the mean over the training."""
    norms = {tag: values.mean() for tag, (_, values) in log.scalars.items() if tag.startswith("gradient_norm/")}
    return norms["gradient_norm/0"] / list(norms.values())[-1]


def train_and_read(model: nn.Module, folder, lr: float = 0.1) -> vis.TrainingLog:
    vis.log_training(model, *digits(), folder, n_epochs=3, lr=lr, generator=torch.Generator().manual_seed(0))
    return vis.read_training(folder)


def test_vanishing_gradients_can_be_told_from_the_log(healthy, tmp_path):
    vanishing = train_and_read(small(nn.Sigmoid, depth=5), tmp_path)
    assert first_norm_over_last(healthy[1]) > 0.05
    assert first_norm_over_last(vanishing) < 1e-3
    assert vanishing.scalars["loss"][1][-7:].mean() > 2.2  # not better than a guess, log 10


def test_dead_relus_can_be_told_from_the_log(healthy, tmp_path):
    model = small()
    with torch.no_grad():
        model[3].bias.fill_(-20)
    dead = train_and_read(model, tmp_path)
    assert vis.share_of_zeros(healthy[1], "activations/4")[1][-1] < 0.9
    assert vis.share_of_zeros(dead, "activations/4")[1][-1] == 1
    assert not dead.scalars["gradient_norm/3"][1].any()


def test_exploding_gradients_can_be_told_from_the_log_that_ends_with_them(healthy, tmp_path):
    exploding = train_and_read(small(nn.LeakyReLU), tmp_path, lr=30.0)
    steps, loss = exploding.scalars["loss"]
    assert not np.isfinite(loss[-1])
    assert np.isfinite(loss[:-1]).all()
    assert len(steps) < 21
    norms = exploding.scalars["gradient_norm/0"][1]
    assert norms[np.isfinite(norms)].max() > 1e3 * healthy[1].scalars["gradient_norm/0"][1].max()


def test_a_training_can_be_repeated(tmp_path):
    losses = []
    for k, seed in enumerate((1, 1, 2)):
        torch.manual_seed(k)  # of no consequence
        model = nn.Sequential(small(), nn.Dropout(0.2))
        vis.log_training(
            model, *digits(100), tmp_path / str(k), n_epochs=2, generator=torch.Generator().manual_seed(seed)
        )
        losses.append(vis.read_training(tmp_path / str(k)).scalars["loss"][1].tolist())
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("fails", [False, True])
def test_a_training_leaves_no_hooks_modes_gradients_or_open_files(fails, tmp_path, monkeypatch):
    class Fails(nn.Module):
        calls = 0

        def forward(self, inputs: Tensor) -> Tensor:
            self.calls += 1
            if fails and self.calls == 2:
                raise RuntimeError("the model fails")
            return inputs

    closed = []
    close = SummaryWriter.close
    monkeypatch.setattr(SummaryWriter, "close", lambda self: (closed.append(1), close(self))[1])
    model = nn.Sequential(small().eval(), nn.Dropout(0.1).train(), Fails().eval())
    modes = [module.training for module in model.modules()]
    state, numpy_state, python_state = torch.get_rng_state(), numpys_random_state(), random.getstate()
    images, labels = digits(100)
    before = images.clone()
    if fails:
        with pytest.raises(RuntimeError, match="the model fails"):
            vis.log_training(model, images, labels, tmp_path, n_epochs=1)
    else:
        vis.log_training(model, images, labels, tmp_path, n_epochs=1)
    assert closed
    assert torch.equal(torch.get_rng_state(), state)
    assert numpys_random_state() == numpy_state
    assert random.getstate() == python_state
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(images, before)


def test_a_layer_that_is_never_called_is_trained_around(tmp_path):
    model = small()
    model.register_module("unused", nn.Linear(2, 2))
    model.forward = lambda inputs: nn.Sequential(*list(model)[:-1])(inputs)
    vis.log_training(model, *digits(100), tmp_path, n_epochs=1)
    assert "weights/unused" not in vis.read_training(tmp_path).histograms


def test_frozen_weights_stay_and_are_not_logged(tmp_path):
    model = small()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    vis.log_training(model, *digits(100), tmp_path, n_epochs=1)
    assert torch.equal(model[0].weight, before)
    assert "weights/0" not in vis.read_training(tmp_path).histograms


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": lambda x: x}, TypeError, "model must be a torch.nn.Module, got function"),
        ({"images": torch.rand(20, 8, 8)}, ValueError, r"images must be a batch \(N, C, H, W\)"),
        ({"labels": torch.zeros(3).long()}, ValueError, r"LongTensor \(20,\), one class an image, got shape \(3,\)"),
        ({"labels": torch.zeros(20)}, TypeError, "got a tensor of dtype torch.float32"),
        ({"labels": torch.full((20,), 10)}, ValueError, "10 is out of range: the model has 10 classes, 0 to 9"),
        ({"n_epochs": 0}, ValueError, "n_epochs must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"lr": -1}, ValueError, "lr must be a finite number of at least 0"),
        ({"generator": 1}, TypeError, "generator must be a torch.Generator or None"),
    ],
)
def test_bad_options_of_a_training_are_named(options, error, message, tmp_path):
    images, labels = digits(20)
    arguments = {"model": small(), "images": images, "labels": labels, "log_dir": tmp_path} | options
    with pytest.raises(error, match=message):
        vis.log_training(**arguments)


def test_two_trainings_in_one_folder_are_refused(healthy):
    _, _, folder = healthy
    with pytest.raises(ValueError, match="already has event files: two trainings in one folder get mixed up"):
        vis.log_training(small(), *digits(20), folder)


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_a_log_is_named(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no event files: is it the folder given to log_training"):
        vis.read_training(tmp_path / folder)


def test_what_only_some_functions_need_is_imported_by_them():
    code = "import sys, course_utils.visualization; print({'sklearn', 'tensorboard', 'torchvision'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


# --- nothing that the caller passed is changed ----------------------------------------------------------------------

IMAGE_METHODS = {
    "feature_maps": lambda m, x: vis.feature_maps(m, x, ["0", "3"]),
    "multi_output_model": lambda m, x: vis.multi_output_model(m, ["0", "3"])(x.clone()),
    "occlusion": lambda m, x: vis.occlusion(m, x, TARGET, 5, 5),
    "occlusion_loss": lambda m, x: vis.occlusion_loss(m, x, TARGET, 5, 5),
    "class_score": lambda m, x: vis.class_score(m, TARGET)(x),
    "class_log_probability": lambda m, x: vis.class_log_probability(m, TARGET)(x),
    "unit_activation": lambda m, x: vis.unit_activation(m, "3", 1)(x),
    "maximize_activation": lambda m, x: climb(vis.class_score(m, TARGET), x, 3, transform=vis.jitter(2)).image,
    "maximize_in_code_space": lambda m, x: (
        vis.maximize_in_code_space(nn.Unflatten(1, (3, 13, 10)), vis.class_score(m, TARGET), x.flatten(1), 3).image
    ),
    "deep_dream": lambda m, x: vis.deep_dream(m, x, "3", n_steps=2, n_octaves=2),
    "facets": lambda m, x: vis.facets(m, "3", 1, x, 2, n_steps=2).images,
}


def call(method: str, model: nn.Module, inputs: Tensor) -> Tensor:
    answer = IMAGE_METHODS[method](model, inputs)
    return answer["3"] if isinstance(answer, dict) else answer


@pytest.mark.parametrize("method", IMAGE_METHODS)
@pytest.mark.parametrize("network", ["plain", "in place", "starts in place"])
def test_nothing_is_changed(method, network):
    model, inputs = make(network)
    model.train()  # there is nothing random in these networks
    model[0].eval()
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    model[3].register_forward_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    hooks = [list(module._forward_hooks) for module in model.modules()]
    images, target = inputs.clone(), TARGET.clone()
    state, numpy_state, python_state = torch.get_rng_state(), numpys_random_state(), random.getstate()
    call(method, model, inputs)
    assert torch.equal(inputs, images)
    assert not inputs.requires_grad
    assert inputs.grad is None
    assert torch.equal(TARGET, target)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.requires_grad and (weight.grad == 1).all() for weight in model.parameters())
    assert [module.training for module in model.modules()] == modes
    assert [list(module._forward_hooks) for module in model.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), state)
    assert numpys_random_state() == numpy_state
    assert random.getstate() == python_state


@pytest.mark.parametrize("method", [method for method in IMAGE_METHODS if method != "multi_output_model"])
def test_hooks_are_gone_when_the_model_fails(method):
    model, inputs = make()
    calls = []
    once = method in ("feature_maps", "class_score", "class_log_probability", "unit_activation")

    def fail_later(*_) -> None:
        calls.append(1)
        if len(calls) > (0 if once else 1):
            raise RuntimeError("the model fails")

    handle = model[1 if method == "deep_dream" else 4].register_forward_hook(fail_later)  # it does not get to layer 4
    with pytest.raises((RuntimeError, ValueError), match="the model fails"):
        call(method, model, inputs)
    handle.remove()
    assert not any(module._forward_hooks for module in model.modules())


RETURNED_WITHOUT_GRADIENT = sorted(
    set(IMAGE_METHODS) - {"multi_output_model", "class_score", "class_log_probability", "unit_activation"}
)


@pytest.mark.parametrize("method", RETURNED_WITHOUT_GRADIENT)
def test_answers_carry_no_gradient(method):
    model, inputs = make()
    answer = call(method, model, inputs.requires_grad_())
    assert not answer.requires_grad
    assert not answer.is_inference()


@pytest.mark.parametrize("method", RETURNED_WITHOUT_GRADIENT)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(method, mode):
    model, inputs = make("in place")
    expected = call(method, model, inputs)
    with mode():
        assert_close(call(method, model, inputs), expected)


@pytest.mark.parametrize("method", ["maximize_activation", "deep_dream", "facets"])
def test_the_same_seed_gives_the_same_answer(method):
    model, inputs = make()
    draws = {
        "maximize_activation": lambda g: (
            climb(vis.class_score(model, TARGET), inputs, 5, transform=vis.jitter(3), generator=g).image
        ),
        "deep_dream": lambda g: vis.deep_dream(model, inputs, "3", n_steps=3, n_octaves=2, generator=g),
        "facets": lambda g: vis.facets(model, "3", 1, inputs, 2, n_steps=2, generator=g).images,
    }[method]
    answers = [draws(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(answers[0], answers[1])
    if method != "facets":  # where the seed only decides which cluster is the first
        assert not torch.equal(answers[0], answers[2])


@pytest.mark.parametrize(
    "call_with_progress",
    [
        lambda m, x: vis.occlusion(m, x, TARGET, 5, 5, progress=True),
        lambda m, x: vis.occlusion_loss(m, x, TARGET, 5, 5, progress=True),
        lambda m, x: climb(vis.class_score(m, TARGET), x, 2, progress=True),
        lambda m, x: vis.deep_dream(m, x, "3", n_steps=1, n_octaves=2, progress=True),
    ],
)
def test_progress_is_shown_on_request_only(call_with_progress, capfd):
    call_with_progress(*make())
    assert "100%" in capfd.readouterr().err
    vis.occlusion(*make(), TARGET, 5, 5)
    assert not capfd.readouterr().err


BAD_IMAGES = {
    "one image": (lambda x: x[0], ValueError, r"inputs must be a batch \(N, C, H, W\)"),
    "NaN": (lambda x: x * math.nan, ValueError, "inputs must be finite"),
    "numpy": (lambda x: x.numpy(), TypeError, "inputs must be a float tensor .* got ndarray"),
    "double": (lambda x: x.double(), TypeError, "inputs are torch.float64, but the model computes in torch.float32"),
}


@pytest.mark.parametrize("bad", BAD_IMAGES)
@pytest.mark.parametrize("method", ["feature_maps", "occlusion", "occlusion_loss", "deep_dream", "facets"])
def test_bad_images_are_named(method, bad):
    model, inputs = make()
    spoil, error, message = BAD_IMAGES[bad]
    with pytest.raises(error, match=message):
        call(method, model, spoil(inputs))


@pytest.mark.parametrize("method", IMAGE_METHODS)
def test_a_model_that_answers_differently_from_call_to_call_is_refused(method):
    model, inputs = make()
    with pytest.raises(ValueError, match=r"train mode: its layer '8' \(Dropout\)"):
        call(method, nn.Sequential(*model, nn.Dropout()).train(), inputs)


@pytest.mark.parametrize(("occlude", "name"), [(vis.occlusion, "target"), (vis.occlusion_loss, "label")])
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (4, ValueError, "4 is out of range: the model has 4 classes, 0 to 3"),
        (torch.tensor([0, 1]), ValueError, r"must be an int or a LongTensor \(3,\), one class an image, got .* \(2,\)"),
        (1.0, TypeError, "must be an int or a LongTensor"),
    ],
)
def test_bad_targets_are_named(occlude, name, target, error, message):
    with pytest.raises(error, match=f"{name} {message}"):
        occlude(*make(), target, 5, 5)
