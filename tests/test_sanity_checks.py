"""Sanity checks: what is destroyed, what is left alone, and how alike two maps are."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import nn

from course_utils import evaluation, models, zoo
from course_utils import gradient_methods as gm
from course_utils import sanity_checks as sc

WAYS = list(sc.RANDOMIZATIONS.values())


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def flat():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)).eval()


def nested():
    block = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU())
    return nn.Sequential(
        block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)
    ).eval()


NETWORKS = {"flat": (flat, ["4", "0"]), "nested": (nested, ["5", "3", "0.1", "0.0"])}


def changed(model, other):
    """Names of the layers whose own weights differ."""
    layers = dict(other.named_modules())
    return {
        name
        for name, layer in model.named_modules()
        for key, weights in layer.named_parameters(recurse=False)
        if not torch.equal(weights, dict(layers[name].named_parameters(recurse=False))[key])
    }


def build(name):
    torch.manual_seed(1)
    model = NETWORKS[name][0]()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1)  # as if trained: no layer is as it was drawn
    return model, NETWORKS[name][1]


@pytest.mark.parametrize("name", NETWORKS)
def test_cascade_destroys_one_layer_more_each_time_from_output_to_input(name):
    model, layers = build(name)
    copies = list(sc.cascading_randomization(model, seeded()))
    assert [layer for layer, _ in copies] == layers
    for k, (_, destroyed) in enumerate(copies, 1):
        assert changed(model, destroyed) == set(layers[:k])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_destroyed_layer_stays_as_it_is_further_down_the_cascade(name):
    model, layers = build(name)
    copies = [destroyed for _, destroyed in sc.cascading_randomization(model, seeded())]
    for k in range(1, len(copies)):
        assert changed(copies[k - 1], copies[k]) == {layers[k]}


@pytest.mark.parametrize("name", NETWORKS)
def test_independent_randomization_destroys_one_layer_alone(name):
    model, layers = build(name)
    copies = list(sc.independent_randomization(model, seeded()))
    assert [layer for layer, _ in copies] == layers
    for layer, destroyed in copies:
        assert changed(model, destroyed) == {layer}


@pytest.mark.parametrize("way", WAYS)
def test_the_network_itself_and_the_random_state_stay_as_they_are(way):
    model, _ = build("nested")
    before, state = copy.deepcopy(model), torch.get_rng_state()
    for _, destroyed in way(model):
        assert not destroyed.training
        assert destroyed is not model
    assert not changed(before, model)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("way", WAYS)
def test_copies_share_nothing_with_each_other(way):
    model, _ = build("nested")
    expected = [copy.deepcopy(destroyed) for _, destroyed in way(model, seeded())]
    kept = []
    for _, destroyed in way(model, seeded()):
        kept.append(destroyed)
        for weights in kept[0].parameters():
            nn.init.zeros_(weights)  # spoils the first copy, and no other
    for there, here in zip(expected[1:], kept[1:], strict=True):
        assert not changed(there, here)


@pytest.mark.parametrize("way", WAYS)
def test_the_seed_decides_the_weights(way):
    model, _ = build("flat")
    one, same, other = ([d for _, d in way(model, seeded(seed))][-1] for seed in (0, 0, 1))
    assert not changed(one, same)
    assert changed(one, other)
    torch.manual_seed(3)
    assert not changed([d for _, d in way(model)][-1], [d for _, d in way(model)][-1])


def test_new_weights_are_spread_as_before_a_training():
    model = models.load("zoo")
    *_, (_, destroyed) = sc.cascading_randomization(model, seeded())
    for layer in destroyed:
        if hasattr(layer, "weight"):
            bound = layer.weight[0].numel() ** -0.5  # Kaiming's, with torch's a = sqrt(5): U(-bound, bound)
            assert layer.weight.abs().max() <= bound
            # The standard deviation of a uniform distribution; 432 to 65,536 weights, so within 10 %.
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_layers_that_cannot_be_drawn_anew_are_refused_by_name():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, inputs):
            return self.factor * inputs

    model = nn.Sequential(nn.Conv2d(3, 2, 3), Scale())
    for way in WAYS:
        with pytest.raises(ValueError, match=r"layer '1' \(Scale\).*reset_parameters"):
            list(way(model))
        with pytest.raises(ValueError, match="no layer with weights"):
            list(way(nn.Sequential(nn.ReLU())))
        with pytest.raises(TypeError, match="model"):
            list(way("zoo"))
        with pytest.raises(TypeError, match="generator"):
            list(way(flat(), 3))


# Similarity


def maps(shape, seed):
    return torch.randn(*shape, generator=seeded(seed))


SHAPES = [(4, 3, 64, 64), (3, 1, 8, 8), (2, 20, 33)]


def channel_sum(values):
    return (values.double().sum(1) if values.dim() == 4 else values.double()).numpy()


def slow_ssim(a, b):
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return structural_similarity(a, b, data_range=2.0, win_size=7)


def slow_hog(a, b):
    cell = (a.shape[0] // 8, a.shape[1] // 8)
    a, b = (hog(np.abs(m) / np.abs(m).max(), 9, cell, (1, 1)) for m in (a, b))
    return stats.pearsonr(a, b).statistic


ORACLES = {
    "spearman": lambda a, b: stats.spearmanr(a.ravel(), b.ravel()).statistic,
    "spearman_abs": lambda a, b: stats.spearmanr(np.abs(a).ravel(), np.abs(b).ravel()).statistic,
    "ssim": slow_ssim,
    "hog": slow_hog,
}


def test_every_metric_has_an_oracle():
    assert set(ORACLES) == set(sc.METRICS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("metric", sc.METRICS)
def test_similarity_is_that_of_scipy_and_scikit_image_image_by_image(metric, shape):
    a, b = maps(shape, 0), maps(shape, 1)
    b = b + 0.7 * a
    expected = [ORACLES[metric](*pair) for pair in zip(channel_sum(a), channel_sum(b), strict=True)]
    # The same sums in float64.
    np.testing.assert_allclose(sc.similarity(a, b, metric).numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", sc.METRICS)
def test_a_map_is_most_like_itself_and_similarity_is_symmetric(metric):
    a, b = maps((3, 3, 32, 32), 0), maps((3, 3, 32, 32), 1)
    torch.testing.assert_close(sc.similarity(a, a, metric), torch.ones(3).double())
    torch.testing.assert_close(sc.similarity(a, b, metric), sc.similarity(b, a, metric))
    assert (sc.similarity(a, b, metric) < 0.9).all()


@pytest.mark.parametrize("metric", sc.METRICS)
def test_the_size_of_a_map_plays_no_part(metric):
    a, b = maps((2, 1, 32, 32), 0), maps((2, 1, 32, 32), 1)
    torch.testing.assert_close(sc.similarity(7 * a, b, metric), sc.similarity(a, b, metric), rtol=1e-6, atol=1e-6)


def test_the_sign_plays_a_part_where_it_should():
    a = maps((2, 1, 32, 32), 0)
    torch.testing.assert_close(sc.similarity(a, -a, "spearman"), -torch.ones(2).double())
    torch.testing.assert_close(sc.similarity(a, -a, "spearman_abs"), torch.ones(2).double())
    torch.testing.assert_close(sc.similarity(a, -a, "hog"), torch.ones(2).double())
    assert (sc.similarity(a, -a, "ssim") < 0.5).all()


@pytest.mark.parametrize("metric", ["spearman", "spearman_abs", "hog"])
def test_a_constant_map_correlates_with_nothing(metric):
    constant = torch.ones(2, 1, 16, 16)
    assert (sc.similarity(constant, maps((2, 1, 16, 16), 0), metric) == 0).all()
    assert (sc.similarity(constant, constant, metric) == 0).all()


@pytest.mark.parametrize("metric", sc.METRICS)
def test_maps_of_zeros_and_tiny_maps_have_a_similarity(metric):
    assert torch.isfinite(sc.similarity(torch.zeros(2, 16, 16), maps((2, 16, 16), 0), metric)).all()
    for shape in ((2, 4, 5), (2, 3, 3)):
        assert torch.isfinite(sc.similarity(maps(shape, 0), maps(shape, 1), metric)).all()
    if metric != "ssim":  # which needs three pixels
        assert torch.isfinite(sc.similarity(maps((2, 2, 1), 0), maps((2, 2, 1), 1), metric)).all()


def test_bad_maps_are_named():
    a = maps((2, 1, 16, 16), 0)
    with pytest.raises(ValueError, match="metric must be one of 'spearman'"):
        sc.similarity(a, a, "cosine")
    with pytest.raises(TypeError, match="b must be a tensor"):
        sc.similarity(a, a.numpy())
    with pytest.raises(ValueError, match="a must be maps"):
        sc.similarity(a[0, 0], a)
    with pytest.raises(ValueError, match="same images and size"):
        sc.similarity(a, a[:1])
    with pytest.raises(ValueError, match="b must be finite"):
        sc.similarity(a, a / 0)
    with pytest.raises(ValueError, match=r"metric must be one of .*\['ssim'\]"):
        sc.similarity(a, a, ["ssim"])
    for shape in ((2, 2, 16), (2, 16, 1), (2, 3, 2, 2)):
        with pytest.raises(ValueError, match="at least 3 x 3 pixels for 'ssim'"):
            sc.similarity(maps(shape, 0), maps(shape, 1), "ssim")


# The curve


def images(n=4):
    drawn = zoo.sample(n, seed=3)
    return drawn.images, drawn.labels


@pytest.mark.parametrize("randomization", sc.RANDOMIZATIONS)
@pytest.mark.parametrize("metric", ["spearman", "ssim"])
def test_the_curve_is_the_mean_similarity_copy_by_copy(randomization, metric):
    model, (inputs, labels) = models.load("zoo"), images()
    curve = sc.sanity_curve(model, gm.gradient, inputs, labels, metric, randomization, seeded(5))
    each = sc.sanity_curve(model, gm.gradient, inputs, labels, metric, randomization, seeded(5), return_each=True)
    before = gm.gradient(model, inputs, labels)
    copies = list(sc.RANDOMIZATIONS[randomization](model, seeded(5)))
    assert list(curve) == list(each) == [name for name, _ in copies]
    for name, destroyed in copies:
        expected = sc.similarity(before, gm.gradient(destroyed, inputs, labels), metric)
        torch.testing.assert_close(each[name], expected)
        assert curve[name] == pytest.approx(float(expected.mean()))


def test_a_method_that_ignores_the_network_is_exposed_and_the_gradient_is_not():
    model, (inputs, labels) = models.load("zoo"), images(16)
    edges = sc.sanity_curve(model, lambda m, x, t: evaluation.edge_map(x), inputs, labels, generator=seeded())
    gradients = sc.sanity_curve(model, gm.gradient, inputs, labels, generator=seeded())
    assert all(value == pytest.approx(1) for value in edges.values())
    # Ranks of 4,096 pixels of 16 images that have nothing in common; neighbouring pixels do: far below 0.2.
    assert abs(list(gradients.values())[-1]) < 0.2


def test_the_curve_leaves_network_and_random_state_alone_and_shows_its_progress(capsys):
    model, (inputs, labels) = models.load("zoo"), images(2)
    before, state = copy.deepcopy(model), torch.get_rng_state()
    sc.sanity_curve(model, gm.gradient, inputs, labels)
    assert capsys.readouterr().err == ""
    sc.sanity_curve(model, gm.gradient, inputs, labels, progress=True)
    assert "Randomization" in capsys.readouterr().err
    assert not changed(before, model)
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_arguments_of_the_curve_are_named():
    model, (inputs, labels) = models.load("zoo"), images(2)
    for wrong, error, message in [
        ({"explain": lambda m, x, t: x.numpy()}, TypeError, "explain must return maps"),
        ({"explain": lambda m, x, t: x[:1]}, ValueError, "explain must return one map an image"),
        ({"explain": None}, TypeError, r"explain must be a function of \(model, inputs, target\), got NoneType"),
        ({"randomization": "both"}, ValueError, "randomization must be one of"),
        ({"randomization": ["cascading"]}, ValueError, "randomization must be one of"),
        ({"metric": "cosine"}, ValueError, "metric must be one of"),
        ({"inputs": inputs[0]}, ValueError, "inputs must be a batch"),
        ({"target": torch.zeros(5, dtype=torch.long)}, ValueError, "target"),
        ({"model": "zoo"}, TypeError, "model"),
    ]:
        arguments = {"model": model, "explain": gm.gradient, "inputs": inputs, "target": labels}
        with pytest.raises(error, match=message):
            sc.sanity_curve(**{**arguments, **wrong})
