"""LIME against lime, scikit-learn, scikit-image, slow loops, planted models and its own properties."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from lime.lime_image import LimeImageExplainer
from skimage import segmentation
from sklearn.linear_model import ElasticNet, Lasso, Ridge
from torch import Tensor, nn

from course_utils import lime, models, zoo

# --- networks and helpers -------------------------------------------------------------------------------------------


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 5)
    )


def starts_in_place() -> nn.Sequential:
    """A first layer that overwrites the images, if it is given them and not a copy."""
    return nn.Sequential(nn.Hardtanh(0.2, 0.8, inplace=True), *plain())


NETWORKS = {"plain": plain, "starts in place": starts_in_place}
every_network = pytest.mark.parametrize("network", NETWORKS)


def make(network: str = "plain", size: tuple[int, int] = (12, 15)) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with random weights in eval mode, an image, and six superpixels of odd shapes."""
    torch.manual_seed(1)
    model = NETWORKS[network]().eval()
    image = torch.rand(3, *size)
    segments = torch.randint(6, size, generator=seeded(3))
    return model, image, segments


def photograph() -> tuple[Tensor, int]:
    drawn = zoo.sample(3, seed=8)
    return drawn.images[2], int(drawn.labels[2])


def coalitions_of(n_samples: int, n: int, seed: int = 0) -> Tensor:
    return lime.sample_coalitions(n_samples, n, seeded(seed))


def drawn_training_set(n_samples: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = seeded(seed)
    x = coalitions_of(n_samples, n, seed)
    y = x.double() @ torch.randn(n, generator=generator).double() + torch.randn(n_samples, generator=generator).double()
    return x, y, torch.rand(n_samples, generator=generator).double()


# --- superpixels ----------------------------------------------------------------------------------------------------


def numbered(labels: np.ndarray) -> Tensor:
    return torch.as_tensor(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))


@pytest.mark.parametrize("n_segments", [10, 40])
def test_slic_is_that_of_scikit_image(n_segments):
    image, _ = photograph()
    pixels = image.permute(1, 2, 0).double().numpy()
    expected = segmentation.slic(pixels, n_segments, compactness=20, sigma=1, channel_axis=-1)
    assert torch.equal(lime.segment(image, n_segments), numbered(expected))
    other = segmentation.slic(pixels, n_segments, compactness=3, sigma=0, channel_axis=-1)
    assert torch.equal(lime.segment(image, n_segments, compactness=3, sigma=0), numbered(other))
    assert not torch.equal(numbered(expected), numbered(other))


def test_quickshift_is_that_of_scikit_image():
    image, _ = photograph()
    pixels = image.permute(1, 2, 0).double().numpy()
    expected = segmentation.quickshift(pixels, kernel_size=2, max_dist=8, ratio=0.5, rng=0, channel_axis=-1)
    assert torch.equal(lime.segment(image, method="quickshift"), numbered(expected))


@pytest.mark.parametrize("method", lime.SEGMENTATIONS)
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 20), (4, 16, 16)])
def test_superpixels_are_numbered_without_gaps_and_the_same_each_time(method, shape):
    image = torch.rand(shape, generator=seeded())
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    segments = lime.segment(image, 12, method)
    assert segments.dtype == torch.long
    assert segments.shape == shape[1:]
    assert torch.equal(segments.unique(), torch.arange(int(segments.max()) + 1))
    assert torch.equal(segments, lime.segment(image.unsqueeze(0), 12, method))
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


@pytest.mark.parametrize("method", lime.SEGMENTATIONS)
def test_a_constant_image_has_superpixels_too(method):
    segments = lime.segment(torch.full((3, 32, 32), 0.5), 9, method)
    assert torch.equal(segments.unique(), torch.arange(int(segments.max()) + 1))


def test_more_segments_are_smaller_ones():
    image, _ = photograph()
    counts = [int(lime.segment(image, n).max()) + 1 for n in (5, 20, 80)]
    assert counts == sorted(set(counts))


# --- images without superpixels -------------------------------------------------------------------------------------


def slowly_perturbed(image: Tensor, segments: Tensor, row: Tensor, baseline) -> Tensor:
    result = image.clone()
    for k in range(int(segments.max()) + 1):
        if not row[k]:
            where = segments == k
            for c in range(len(image)):
                if baseline is None:
                    result[c][where] = image[c][where].double().mean().float()
                elif isinstance(baseline, Tensor):
                    result[c][where] = baseline.reshape(image.shape)[c][where]
                else:
                    result[c][where] = baseline
    return result


@pytest.mark.parametrize("baseline", [None, 0.25, 1, "image", "batch"])
def test_removed_superpixels_get_the_baseline_one_by_one(baseline):
    _, image, segments = make()
    if isinstance(baseline, str):
        baseline = torch.rand(1, *image.shape) if baseline == "batch" else torch.rand(image.shape)
    rows = coalitions_of(9, 6)
    rows[1] = False
    images = lime.perturb(image, segments, rows, baseline)
    assert images.shape == (9, *image.shape)
    for row, changed in zip(rows, images, strict=True):
        torch.testing.assert_close(changed, slowly_perturbed(image, segments, row, baseline), rtol=0, atol=1e-7)
    assert torch.equal(images[0], image)


def test_removing_all_superpixels_twice_changes_nothing_more():
    _, image, segments = make()
    nothing = torch.zeros(1, 6, dtype=torch.bool)
    once = lime.perturb(image, segments, nothing)
    torch.testing.assert_close(lime.perturb(once, segments, nothing), once)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_image_is_left_alone_and_keeps_its_type(dtype):
    _, image, segments = make()
    image = image.to(dtype)
    before = image.clone()
    images = lime.perturb(image, segments, coalitions_of(4, 6))
    images.zero_()
    assert images.dtype == dtype
    assert torch.equal(image, before)


# --- coalitions and their weights -----------------------------------------------------------------------------------


def test_the_first_coalition_is_the_whole_image_and_the_rest_are_fair_coins():
    rows = coalitions_of(2001, 30)
    assert rows.dtype == torch.bool
    assert rows[0].all()
    assert not rows[1:].all(1).any()
    # 60,000 coins: standard deviation 0.2 %; 30 columns of 2,000: 1.1 % each.
    assert rows[1:].double().mean() == pytest.approx(0.5, abs=0.01)
    assert (rows[1:].double().mean(0) - 0.5).abs().max() < 0.06
    # Coins of two columns are independent: a correlation of 2,000 pairs has a standard deviation of 2.2 %.
    assert (torch.corrcoef(rows[1:].double().T) - torch.eye(30)).abs().max() < 0.12


def test_the_seed_decides_the_coalitions_and_the_global_state_stays():
    assert torch.equal(coalitions_of(20, 8, 4), coalitions_of(20, 8, 4))
    assert not torch.equal(coalitions_of(20, 8, 4), coalitions_of(20, 8, 5))
    torch.manual_seed(6)
    state = torch.get_rng_state()
    first = lime.sample_coalitions(20, 8)
    assert torch.equal(first, lime.sample_coalitions(20, 8))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(7)
    assert not torch.equal(first, lime.sample_coalitions(20, 8))


@pytest.mark.parametrize("kernel_width", [0.1, 0.25, 2.0])
def test_proximity_is_limes_kernel_of_sklearns_cosine_distance(kernel_width):
    from sklearn.metrics import pairwise_distances

    rows = coalitions_of(50, 7)
    rows[3] = False
    distance = pairwise_distances(rows.double().numpy(), np.ones((1, 7)), metric="cosine").ravel()
    expected = np.sqrt(np.exp(-(distance**2) / kernel_width**2))
    # float32 results; the kernel with width 0.1 falls to 2e-22.
    np.testing.assert_allclose(lime.proximity(rows, kernel_width).numpy(), expected, rtol=2e-6)
    assert lime.proximity(rows, kernel_width)[0] == 1


def test_the_more_is_left_the_larger_the_weight():
    weights = lime.proximity(torch.ones(6, 6).tril().bool())
    assert (weights.diff() > 0).all()


# --- the training set -----------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("output", lime.OUTPUTS)
@pytest.mark.parametrize("baseline", [None, 0.5])
def test_the_training_set_is_what_the_network_says_to_each_image(network, output, baseline):
    model, image, segments = make(network)
    rows = coalitions_of(11, 6)
    with torch.no_grad():
        scores = torch.cat([model(lime.perturb(image, segments, row[None], baseline)) for row in rows])
    expected = scores if output == "score" else scores.softmax(1)
    for batch_size in (1, 4, 64):
        came = lime.score_coalitions(model, image, [3, 0], segments, rows, baseline, output, batch_size)
        # Convolutions of several images at once differ from single ones in the last bits.
        torch.testing.assert_close(came, expected[:, [3, 0]], rtol=1e-5, atol=1e-6)
    one = lime.score_coalitions(model, image, 3, segments, rows, baseline, output)
    torch.testing.assert_close(one, expected[:, 3], rtol=1e-5, atol=1e-6)


@every_network
def test_asking_the_network_changes_nothing(network):
    model, image, segments = make(network)
    model.register_forward_hook(lambda *_: None)
    before, image_before, state = copy.deepcopy(model.state_dict()), image.clone(), torch.get_rng_state()
    rows = coalitions_of(5, 6)
    came = lime.score_coalitions(model, image.requires_grad_(), 1, segments, rows)
    assert not came.requires_grad
    assert (came * torch.ones(5, requires_grad=True)).sum().requires_grad  # a tensor like any other
    assert torch.equal(image.detach(), image_before)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert len(model._forward_hooks) == 1
    assert torch.equal(state, torch.get_rng_state())


def test_an_error_of_the_network_comes_through():
    model, image, segments = make()

    class Broken(nn.Module):
        def forward(self, inputs):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        lime.score_coalitions(nn.Sequential(Broken(), model), image, 1, segments, coalitions_of(5, 6))


# --- the linear model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 6), (300, 25), (5, 9)])
@pytest.mark.parametrize("l2", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_l1_it_is_sklearns_ridge(shape, l2, weighted):
    x, y, pi = drawn_training_set(*shape)
    ours = lime.fit_surrogate(x, y, pi if weighted else None, l2=l2)
    ridge = Ridge(alpha=l2, solver="svd").fit(x.double().numpy(), y.numpy(), pi.numpy() if weighted else None)
    # Two ways to solve well-conditioned systems in float64.
    np.testing.assert_allclose(ours.coefficients.numpy(), ridge.coef_, rtol=1e-8, atol=1e-10)
    assert float(ours.intercept) == pytest.approx(ridge.intercept_, rel=1e-8)
    score = ridge.score(x.double().numpy(), y.numpy(), pi.numpy() if weighted else None)
    assert float(ours.r2) == pytest.approx(score, rel=1e-8)
    np.testing.assert_allclose(ours.predict(x).numpy(), ridge.predict(x.double().numpy()), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("l1", "l2"), [(0.5, 0.0), (8.0, 0.0), (5.0, 2.0)])
def test_with_l1_it_is_sklearns_lasso_or_elastic_net(l1, l2):
    x, y, pi = drawn_training_set(300, 20)
    ours = lime.fit_surrogate(x, y, pi, l2=l2, l1=l1)
    alpha = (l1 + 2 * l2) / (2 * float(pi.sum()))  # sklearn: the error / (2 sum pi) + alpha (share |w| + ... w^2 / 2)
    options = {"tol": 1e-12, "max_iter": 100_000}
    model = ElasticNet(alpha, l1_ratio=l1 / (l1 + 2 * l2), **options) if l2 else Lasso(alpha, **options)
    model.fit(x.double().numpy(), y.numpy(), pi.numpy())
    # Both stop when a sweep changes the weights by less than 1e-12 of the largest.
    np.testing.assert_allclose(ours.coefficients.numpy(), model.coef_, rtol=1e-7, atol=1e-9)
    assert float(ours.intercept) == pytest.approx(model.intercept_, rel=1e-7)


def test_more_l1_means_fewer_weights_and_in_the_end_none():
    x, y, pi = drawn_training_set(200, 15)
    counts = [int((lime.fit_surrogate(x, y, pi, 0.0, l1).coefficients != 0).sum()) for l1 in (0, 5, 20, 60, 1e4)]
    assert counts[0] == 15
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert float(lime.fit_surrogate(x, y, pi, 0.0, 1e4).r2) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l1", [0.0, 1e-9])
def test_a_planted_linear_model_comes_back(weighted, l1):
    x, _, pi = drawn_training_set(100, 12)
    planted = torch.linspace(-3, 4, 12).double()
    y = x.double() @ planted + 0.7
    found = lime.fit_surrogate(x, y, pi if weighted else None, l2=0.0, l1=l1)
    torch.testing.assert_close(found.coefficients, planted, rtol=1e-7, atol=1e-7)
    assert float(found.intercept) == pytest.approx(0.7)
    assert float(found.r2) == pytest.approx(1)


def test_ridge_pulls_the_weights_to_zero_and_leaves_the_mean():
    x, y, pi = drawn_training_set(60, 8)
    lengths = [float(lime.fit_surrogate(x, y, pi, l2).coefficients.norm()) for l2 in (0, 1, 10, 100)]
    assert lengths == sorted(lengths, reverse=True)
    far = lime.fit_surrogate(x, y, pi, 1e12)
    assert float(far.intercept) == pytest.approx(float(pi @ y / pi.sum()))


def test_the_weights_are_the_minimum_in_every_direction():
    x, y, pi = drawn_training_set(80, 6)
    found = lime.fit_surrogate(x, y, pi, l2=2.0, l1=3.0)

    def loss(w: Tensor, b: Tensor) -> float:
        errors = y - b - x.double() @ w
        return float(pi @ errors**2 + 2 * w @ w + 3 * w.abs().sum())

    best = loss(found.coefficients, found.intercept)
    for seed in range(50):
        step = 1e-3 * torch.randn(7, generator=seeded(seed)).double()
        assert loss(found.coefficients + step[:6], found.intercept + step[6]) > best


def test_several_classes_are_fitted_as_one_by_one():
    x, y, pi = drawn_training_set(80, 7)
    scores = torch.stack([y, -2 * y, y.flip(0)], 1)
    for options in ({}, {"l1": 4.0}, {"n_features": 3}):
        all_at_once = lime.fit_surrogate(x, scores, pi, **options)
        for k in range(3):
            one = lime.fit_surrogate(x, scores[:, k], pi, **options)
            torch.testing.assert_close(all_at_once.coefficients[k], one.coefficients)
            torch.testing.assert_close(all_at_once.intercept[k], one.intercept)
            torch.testing.assert_close(all_at_once.r2[k], one.r2)
        assert all_at_once.predict(x).shape == (80, 3)


def test_few_features_are_those_with_the_largest_weights_fitted_again():
    x, y, pi = drawn_training_set(80, 10)
    every = lime.fit_surrogate(x, y, pi).coefficients
    few = lime.fit_surrogate(x, y, pi, n_features=4)
    kept = every.abs().topk(4).indices
    again = Ridge(alpha=1).fit(x[:, kept].double().numpy(), y.numpy(), pi.numpy())
    np.testing.assert_allclose(few.coefficients[kept].numpy(), again.coef_, rtol=1e-8)
    assert int((few.coefficients != 0).sum()) == 4
    torch.testing.assert_close(lime.fit_surrogate(x, y, pi, n_features=10).coefficients, every)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e4])
def test_constant_scores_need_no_weights_and_fit_perfectly(offset):
    x = coalitions_of(20, 5)
    for l1 in (0.0, 1.0):
        found = lime.fit_surrogate(x, torch.full((20,), offset), l1=l1)
        assert (found.coefficients.abs() <= 1e-9 * (1 + offset)).all()
        assert float(found.intercept) == pytest.approx(offset)
        assert float(found.r2) == 1


def test_a_single_superpixel_gets_what_it_adds():
    x = torch.tensor([[True], [False], [True]])
    found = lime.fit_surrogate(x, torch.tensor([2.0, 0.5, 2.0]), l2=0.0)
    assert float(found.coefficients) == pytest.approx(1.5)
    assert float(found.intercept) == pytest.approx(0.5)


def test_a_superpixel_that_never_leaves_gets_no_weight():
    x, y, pi = drawn_training_set(50, 4)
    x[:, 2] = True
    for l2, l1 in ((0.0, 0.0), (1.0, 0.0), (0.0, 2.0)):
        assert abs(float(lime.fit_surrogate(x, y, pi, l2, l1).coefficients[2])) < 1e-12


def test_scores_decide_the_type_of_the_surrogate():
    x, y, _ = drawn_training_set(30, 4)
    for dtype in (torch.float32, torch.float64):
        found = lime.fit_surrogate(x, y.to(dtype))
        assert found.coefficients.dtype == found.intercept.dtype == found.r2.dtype == dtype


# --- ADALINE --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 6), (300, 25)])
@pytest.mark.parametrize("l2", [0.0, 1.0, 20.0])
def test_adaline_descends_to_the_same_weights(shape, l2):
    x, y, pi = drawn_training_set(*shape)
    learnt, losses = lime.adaline(x, y, pi, l2)
    solved = lime.fit_surrogate(x, y, pi, l2)
    # Each step shrinks the error by 1 - (smallest / largest curvature), here at least a twentieth: 1,000 steps are
    # enough for all digits.
    torch.testing.assert_close(learnt.coefficients, solved.coefficients, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(learnt.intercept, solved.intercept)
    torch.testing.assert_close(learnt.r2, solved.r2)
    assert losses.shape == (1001,)
    assert (losses.diff() <= 1e-9 * losses[0]).all()


def test_adaline_takes_the_steps_of_torchs_sgd():
    x, y, pi = drawn_training_set(30, 4)
    centred = x.double() - pi @ x.double() / pi.sum()
    w, b = torch.zeros(4, dtype=torch.float64, requires_grad=True), torch.zeros((), dtype=torch.float64)
    b.requires_grad_()
    optimizer = torch.optim.SGD([w, b], lr=0.01)
    expected = []
    for _ in range(5):
        loss = pi @ (y - b - centred @ w) ** 2 + 0.5 * w @ w
        expected.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learnt, losses = lime.adaline(x, y, pi, l2=0.5, lr=0.01, n_steps=5)
    torch.testing.assert_close(learnt.coefficients, w.detach())
    assert losses[:5].tolist() == pytest.approx(expected)


def test_adaline_with_large_steps_runs_away():
    x, y, pi = drawn_training_set(30, 4)
    _, losses = lime.adaline(x, y, pi, lr=1.0, n_steps=20)
    assert losses[-1] > losses[0]


# --- the whole method -----------------------------------------------------------------------------------------------


def limes_neighbourhood(image: Tensor, model: nn.Module, segments: Tensor, label: int, **options):
    """Run lime_image, and return what it fitted its model to, and its explanation."""
    explainer, seen = LimeImageExplainer(random_state=0), {}
    fit = explainer.base.explain_instance_with_data

    def spy(data, labels, distances, which, num_features, **more):
        seen.update(data=data.copy(), labels=labels.copy(), distances=distances.copy())
        return fit(data, labels, distances, which, num_features, **more)

    explainer.base.explain_instance_with_data = spy

    def classify(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.as_tensor(images).permute(0, 3, 1, 2).float()).double().numpy()

    explanation = explainer.explain_instance(
        image.permute(1, 2, 0).double().numpy(),
        classify,
        labels=(label,),
        top_labels=None,
        num_samples=200,
        segmentation_fn=lambda _: segments.numpy(),
        **options,
    )
    weights = np.zeros(int(segments.max()) + 1)
    for k, weight in explanation.local_exp[label]:
        weights[k] = weight
    return seen, weights, explanation


@pytest.mark.parametrize("name", ["zoo", "zoo-gap"])
# Up to 6 features lime goes another way (forward selection). More it picks by a ridge of alpha 0.01, ours by alpha 1:
# the same ones here.
@pytest.mark.parametrize("num_features", [100_000, 8])
def test_fed_with_limes_neighbourhood_it_is_lime(name, num_features):
    model, (image, label) = models.load(name), photograph()
    segments = lime.segment(image)
    seen, expected, explanation = limes_neighbourhood(image, model, segments, label, num_features=num_features)
    rows = torch.as_tensor(seen["data"]).bool()
    # The images are the same but for the rounding of the superpixels' means, and so are the scores (up to 10).
    scores = lime.score_coalitions(model, image, label, segments, rows)
    np.testing.assert_allclose(scores.numpy(), seen["labels"][:, label], rtol=1e-4, atol=1e-4)
    proximities = np.sqrt(np.exp(-(seen["distances"] ** 2) / 0.25**2))
    np.testing.assert_allclose(lime.proximity(rows).numpy(), proximities, rtol=2e-6)
    n_features = None if num_features > len(expected) else num_features
    ours = lime.fit_surrogate(
        rows, torch.as_tensor(seen["labels"][:, label]), torch.as_tensor(proximities), n_features=n_features
    )
    np.testing.assert_allclose(ours.coefficients.numpy(), expected, atol=1e-6)
    assert float(ours.r2) == pytest.approx(explanation.score, abs=1e-6)
    assert float(ours.intercept) == pytest.approx(explanation.intercept[label], abs=1e-6)
    # From our own float32 scores: as exact as they are.
    own = lime.fit_surrogate(rows, scores, lime.proximity(rows), n_features=n_features)
    np.testing.assert_allclose(own.coefficients.numpy(), expected, atol=1e-4)


def test_explain_is_its_parts_put_together():
    model, image, segments = make()
    options = {"kernel_width": 0.5, "l2": 0.3, "l1": 0.01, "n_features": 4}
    whole = lime.explain(
        model, image, [2, 4], segments, 150, 0.5, output="probability", batch_size=7, generator=seeded(5), **options
    )
    rows = lime.sample_coalitions(150, 6, seeded(5))
    scores = lime.score_coalitions(model, image, [2, 4], segments, rows, 0.5, "probability")
    parts = lime.fit_surrogate(rows, scores, lime.proximity(rows, 0.5), 0.3, 0.01, 4)
    torch.testing.assert_close(whole.coefficients, parts.coefficients, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(whole.r2, parts.r2, rtol=1e-4, atol=1e-6)
    assert torch.equal(whole.segments, segments)
    assert torch.equal(lime.explain(model, image, 2, n_samples=20).segments, lime.segment(image))


def test_a_network_that_is_linear_in_the_superpixels_is_explained_exactly():
    _, image, segments = make()
    weight = torch.randn(1, image.numel(), generator=seeded(2))
    model = nn.Sequential(nn.Flatten(), nn.Linear(image.numel(), 1))
    with torch.no_grad():
        model[1].weight.copy_(weight)
    found = lime.explain(model, image, 0, segments, 100, baseline=0.0, l2=0.0, generator=seeded())
    products = (weight.view(image.shape) * image).sum(0).flatten()
    expected = torch.zeros(6).index_add_(0, segments.flatten(), products)  # what each superpixel adds to the score
    torch.testing.assert_close(found.coefficients, expected, rtol=1e-4, atol=1e-4)  # sums of 540 products in float32
    assert float(found.r2) == pytest.approx(1, abs=1e-5)


def test_the_seed_decides_the_explanation_and_more_samples_steady_it():
    model, (image, label) = models.load("zoo"), photograph()
    segments = lime.segment(image)

    def runs(n_samples: int) -> Tensor:
        return torch.stack(
            [
                lime.explain(model, image, label, segments, n_samples, generator=seeded(seed)).coefficients
                for seed in range(6)
            ]
        )

    few, many = runs(60), runs(600)
    assert torch.equal(few, runs(60))
    # Ten times the samples: the standard deviation should fall by about the root of 10.
    assert many.std(0).mean() < few.std(0).mean() / 2
    assert lime.stability(many) > lime.stability(few)


def test_an_image_of_one_superpixel_and_a_constant_image_have_an_explanation():
    model, image, _ = make()
    single = lime.explain(model, image, 1, torch.zeros(12, 15, dtype=torch.long), 20, generator=seeded())
    assert single.coefficients.shape == (1,)
    assert torch.isfinite(single.heatmap()).all()
    grey = torch.full((3, 32, 32), 0.5)
    flat = lime.explain(model, grey, 1, n_samples=30, generator=seeded())
    # Removing a superpixel of a constant image changes nothing, whatever the network; float32 scores.
    assert flat.coefficients.abs().max() < 1e-5
    assert float(flat.r2) <= 1


def test_a_progress_bar_if_asked_for(capsys):
    model, image, segments = make()
    lime.explain(model, image, 1, segments, 20)
    assert capsys.readouterr().err == ""
    lime.explain(model, image, 1, segments, 20, progress=True)
    assert "Coalitions" in capsys.readouterr().err


def test_the_heat_map_has_the_weight_of_each_superpixel():
    model, image, segments = make()
    found = lime.explain(model, image, [0, 1], segments, 40, generator=seeded())
    maps = found.heatmap()
    assert maps.shape == (2, 12, 15)
    for k in range(6):
        assert (maps[:, segments == k] == found.coefficients[:, k : k + 1]).all()
    assert torch.equal(lime.heatmap(found.coefficients[0], segments), maps[0])
    with pytest.raises(ValueError, match="no segments"):
        lime.fit_surrogate(coalitions_of(9, 4), torch.rand(9)).heatmap()


def test_stability_is_the_mean_jaccard_index_of_all_pairs():
    coefficients = torch.randn(7, 12, generator=seeded())
    sets = [set(row.topk(4).indices.tolist()) for row in coefficients]
    pairs = [len(a & b) / len(a | b) for i, a in enumerate(sets) for b in sets[:i]]
    assert float(lime.stability(coefficients, 4)) == pytest.approx(sum(pairs) / len(pairs))


def test_stability_is_one_for_equal_runs_and_zero_for_disjoint_ones():
    row = torch.randn(1, 10, generator=seeded())
    assert float(lime.stability(row.expand(5, -1))) == 1
    assert float(lime.stability(torch.stack([torch.arange(10.0), -torch.arange(10.0)]))) == 0
    assert float(lime.stability(torch.zeros(3, 10))) == 1  # ties: the first ones, each time
    assert float(lime.stability(torch.randn(3, 5), 5)) == 1  # all of them


# --- bad arguments --------------------------------------------------------------------------------------------------

IMAGE, SEGMENTS, ROWS = torch.rand(3, 6, 6), torch.arange(36).view(6, 6) // 9, torch.ones(5, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lime.segment(torch.rand(2, 3, 6, 6)), ValueError, "image must be one image"),
        (lambda: lime.segment(torch.rand(6, 6)), ValueError, "image must be"),
        (lambda: lime.segment(IMAGE.numpy()), TypeError, "image must be a float tensor"),
        (lambda: lime.segment(IMAGE / 0), ValueError, "image must be finite"),
        (lambda: lime.segment(IMAGE, 0), ValueError, "n_segments must be at least 1"),
        (lambda: lime.segment(IMAGE, method="grid"), ValueError, "method must be one of 'slic', 'quickshift'"),
        (lambda: lime.perturb(IMAGE, SEGMENTS.numpy(), ROWS), TypeError, r"segments.*torch.as_tensor"),
        (lambda: lime.perturb(IMAGE, SEGMENTS.float(), ROWS), TypeError, "segments must be a LongTensor"),
        (lambda: lime.perturb(IMAGE, SEGMENTS[:3], ROWS), ValueError, r"segments must have the image's size \(6, 6\)"),
        (lambda: lime.perturb(IMAGE, SEGMENTS + 1, ROWS), ValueError, "segments must be numbered 0 ... n - 1"),
        (lambda: lime.perturb(IMAGE, 2 * SEGMENTS, ROWS), ValueError, "without gaps"),
        (lambda: lime.perturb(IMAGE, SEGMENTS[None], ROWS), ValueError, "segments must be"),
        (lambda: lime.perturb(IMAGE, SEGMENTS, ROWS.float()), TypeError, r"coalitions.*coalitions.bool\(\)"),
        (lambda: lime.perturb(IMAGE, SEGMENTS, ROWS[:, :3]), ValueError, r"coalitions must be \(S, 4\)"),
        (lambda: lime.perturb(IMAGE, SEGMENTS, ROWS[0]), ValueError, "coalitions must be"),
        (lambda: lime.perturb(IMAGE, SEGMENTS, ROWS, "mean"), TypeError, "baseline must be"),
        (lambda: lime.perturb(IMAGE, SEGMENTS, ROWS, torch.rand(3, 5, 6)), ValueError, "baseline must be"),
        (lambda: lime.perturb(IMAGE, SEGMENTS, ROWS, float("nan")), ValueError, "baseline must be finite"),
        (lambda: lime.sample_coalitions(0, 4), ValueError, "n_samples must be at least 1"),
        (lambda: lime.sample_coalitions(4, 2.5), TypeError, "n_segments must be a whole number"),
        (lambda: lime.sample_coalitions(4, 2, 7), TypeError, "generator must be"),
        (lambda: lime.proximity(ROWS, 0.0), ValueError, "kernel_width must be more than 0"),
        (lambda: lime.proximity(ROWS.int()), TypeError, "coalitions must be a bool tensor"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(4)), ValueError, r"scores must be \(5,\)"),
        (lambda: lime.fit_surrogate(ROWS, [1, 2, 3, 4, 5]), TypeError, "scores must be a float tensor"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5) / 0), ValueError, "scores must be finite"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5), torch.rand(4)), ValueError, r"weights must be \(5,\)"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5), -torch.rand(5)), ValueError, "weights must be at least 0"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5), torch.zeros(5)), ValueError, "weights must be at least 0"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5), l2=-1), ValueError, "l2 must be"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5), l1=float("inf")), ValueError, "l1 must be"),
        (lambda: lime.fit_surrogate(ROWS, torch.rand(5), n_features=5), ValueError, "n_features must be at most 4"),
        (lambda: lime.adaline(ROWS, torch.rand(5, 2)), ValueError, "scores must be those of one class"),
        (lambda: lime.adaline(ROWS, torch.rand(5), n_steps=0), ValueError, "n_steps must be"),
        (lambda: lime.heatmap(torch.rand(3), SEGMENTS), ValueError, r"values must be \(4,\)"),
        (lambda: lime.heatmap([1, 2, 3, 4], SEGMENTS), TypeError, "values must be a tensor"),
        (lambda: lime.stability(torch.rand(1, 4)), ValueError, "at least 2 runs"),
        (lambda: lime.stability(torch.rand(3, 4)), ValueError, "n_features must be at most 4"),
        (lambda: lime.stability([[1.0]]), TypeError, "coefficients must be"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": 5}, ValueError, "target 5 is out of range"),
        ({"target": [0, -1]}, ValueError, "target -1 is out of range"),
        ({"target": []}, ValueError, "target must be a class or a list"),
        ({"target": 1.5}, TypeError, "target must be"),
        ({"target": torch.rand(2)}, TypeError, "target must be"),
        ({"image": torch.rand(3, 12, 15).double()}, TypeError, "inputs are torch.float64"),
        ({"model": lambda x: x}, TypeError, "model must be a torch.nn.Module"),
        ({"model": nn.Sequential(nn.Dropout(), plain())}, ValueError, "train mode"),
        ({"output": "logit"}, ValueError, "output must be one of 'score', 'probability'"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"n_samples": 0}, ValueError, "n_samples must be"),
    ],
)
def test_bad_arguments_of_explain_are_named(change, error, message):
    model, image, segments = make()
    with pytest.raises(error, match=message):
        lime.explain(**{"model": model, "image": image, "target": 1, "segments": segments, **change})


def test_a_network_with_a_softmax_is_warned_about():
    model, image, segments = make()
    with pytest.warns(UserWarning, match="probabilities"):
        lime.explain(nn.Sequential(model, nn.Softmax(1)), image, 1, segments, 10)
