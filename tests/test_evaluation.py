"""The scores of explanations, held against hand-computed examples, their limits, slow loops and captum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from course_utils import evaluation as ev

TRUTH = list(ev.TRUTH_METRICS.values())
torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_network(classes: int = 4, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 64, classes)
        ).double()


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return small_network()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=generator(1), dtype=torch.float64)


TARGET = torch.tensor([2, 0, 3])


def gradient(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    inputs = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(model(inputs).gather(1, target[:, None]).sum(), inputs)[0]


def random_maps(n: int = 20, size: int = 5, levels: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Maps of few different values, so that pixels tie, and masks with at least one pixel."""
    maps = torch.randint(-levels, levels + 1, (n, size, size), generator=generator(seed)).double()
    masks = torch.rand(n, size, size, generator=generator(seed + 1)) < 0.3
    masks[:, 0, 0] |= ~masks.flatten(1).any(1)
    return maps, masks


# Against the truth


MAP = torch.tensor([[[4.0, 1.0, -2.0], [3.0, 3.0, 0.0], [-5.0, 1.0, 0.0]]])
LEFT = torch.tensor([[[True, False, False], [True, False, False], [True, False, False]]])


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        (ev.pointing_game, 1.0),  # the 4 lies on the left
        (ev.relevance_mass, 7 / 12),  # 4 + 3 of 4 + 1 + 3 + 3 + 1
        (ev.relevance_rank, 2 / 3),  # 4, 3, 3 are the three highest, two of them on the left
    ],
)
def test_the_worked_example_gives_the_score_computed_by_hand(metric: ev.Metric, score: float) -> None:
    assert metric(MAP, LEFT).item() == pytest.approx(score)


@pytest.mark.parametrize("metric", TRUTH)
def test_a_map_that_is_the_mask_scores_one(metric: ev.Metric) -> None:
    _, masks = random_maps()
    torch.testing.assert_close(metric(masks.double(), masks), torch.ones(20, dtype=torch.float64))


@pytest.mark.parametrize("metric", TRUTH)
def test_a_map_that_is_the_inverted_mask_scores_zero(metric: ev.Metric) -> None:
    masks = torch.zeros(2, 5, 5, dtype=torch.bool)
    masks[:, :2, :3] = True
    torch.testing.assert_close(metric((~masks).double(), masks), torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("metric", TRUTH)
@pytest.mark.parametrize("value", [1e-30, 1.0, 1e30, 0.0, -2.0])
def test_a_constant_map_scores_the_share_of_the_area(metric: ev.Metric, value: float) -> None:
    _, masks = random_maps()
    share = masks.double().mean(dim=(1, 2))
    torch.testing.assert_close(metric(torch.full_like(masks, value, dtype=torch.float64), masks), share)


def test_mass_of_a_map_without_positive_relevance_is_the_share_of_the_area() -> None:
    assert ev.relevance_mass(MAP.clamp(max=0), LEFT).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", [ev.pointing_game, ev.relevance_rank])
def test_the_order_of_negative_values_counts(metric: ev.Metric) -> None:
    torch.testing.assert_close(metric(MAP - 10, LEFT), metric(MAP, LEFT))


@pytest.mark.parametrize("metric", TRUTH)
def test_the_sign_of_a_map_counts(metric: ev.Metric) -> None:
    assert metric(-LEFT.double(), LEFT).item() < metric(LEFT.double(), LEFT).item()


@pytest.mark.parametrize("metric", TRUTH)
def test_the_unit_of_a_map_does_not_count(metric: ev.Metric) -> None:
    maps, masks = random_maps()
    torch.testing.assert_close(metric(1e-20 * maps, masks), metric(maps, masks))


@pytest.mark.parametrize("metric", TRUTH)
def test_channels_are_summed(metric: ev.Metric) -> None:
    maps, masks = random_maps()
    channels = torch.stack([2 * maps, maps - 3, 3 - 2 * maps], dim=1)
    torch.testing.assert_close(metric(channels, masks), metric(maps, masks))


@pytest.mark.parametrize("metric", TRUTH)
def test_a_batch_scores_as_its_images_one_by_one(metric: ev.Metric) -> None:
    maps, masks = random_maps()
    alone = torch.cat([metric(m[None], k[None]) for m, k in zip(maps, masks, strict=True)])
    torch.testing.assert_close(metric(maps, masks), alone)


def slow_pointing_game(values: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> float:
    order = rng.permutation(values.size)
    return float(inside[max(order, key=lambda i: values[i])])


def slow_rank(values: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> float:
    order = sorted(rng.permutation(values.size), key=lambda i: -values[i])
    size = int(inside.sum())
    return sum(inside[i] for i in order[:size]) / size


@pytest.mark.parametrize(("metric", "slow"), [(ev.pointing_game, slow_pointing_game), (ev.relevance_rank, slow_rank)])
def test_ties_score_the_mean_over_random_orders(metric: ev.Metric, slow) -> None:
    maps, masks = random_maps(n=8, size=3, levels=1)
    rng = np.random.default_rng(0)
    expected = [
        np.mean([slow(m.flatten().numpy(), k.flatten().numpy(), rng) for _ in range(4000)])
        for m, k in zip(maps, masks, strict=True)
    ]
    np.testing.assert_allclose(metric(maps, masks).numpy(), expected, atol=0.03)


def test_mass_equals_a_loop_over_the_pixels() -> None:
    maps, masks = random_maps()
    for values, inside, score in zip(maps.tolist(), masks.tolist(), ev.relevance_mass(maps, masks), strict=True):
        total = hit = 0.0
        for row, inside_row in zip(values, inside, strict=True):
            for value, is_inside in zip(row, inside_row, strict=True):
                if value > 0:
                    total += value
                    hit += value * is_inside
        assert score.item() == pytest.approx(hit / total)


@pytest.mark.parametrize("metric", TRUTH)
@pytest.mark.parametrize(
    ("maps", "masks", "error", "message"),
    [
        (MAP.numpy(), LEFT, TypeError, "attributions must be a torch.Tensor"),
        (MAP[0], LEFT, ValueError, r"attributions must be of shape \(1, C, 3, 3\)"),
        (MAP[:, :2], LEFT, ValueError, r"got \(1, 2, 3\)"),
        (MAP.repeat(2, 1, 1), LEFT, ValueError, r"got \(2, 3, 3\)"),
        (MAP.log(), LEFT, ValueError, "attributions contain NaN"),
        (MAP, LEFT.double(), TypeError, "masks must be a torch.Tensor of bool"),
        (MAP, LEFT[0], ValueError, r"masks must be of shape \(N, H, W\)"),
        (MAP.repeat(2, 1, 1), torch.cat([LEFT, ~LEFT & LEFT]), ValueError, r"masks \[1\] are empty"),
    ],
)
def test_bad_maps_and_masks_are_refused_by_name(metric: ev.Metric, maps, masks, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        metric(maps, masks)


# The table


def table(**options) -> ev.ScoreTable:
    maps, masks = random_maps(n=7)
    images = maps[:, None].repeat(1, 3, 1, 1)
    methods = {
        "itself": lambda x, y: x,
        "edges": lambda x, y: ev.edge_map(x),
        "label": lambda x, y: x[:, 0] * (y == 1)[:, None, None],
    }
    return ev.score_table(methods, images, torch.arange(7) % 2, masks, **options)


def test_the_table_holds_each_metric_of_each_method() -> None:
    maps, masks = random_maps(n=7)
    result = table()
    expected = torch.stack(
        [
            torch.stack([metric(m, masks) for metric in TRUTH])
            for m in (maps, ev.edge_map(maps[:, None]), maps * (torch.arange(7) % 2 == 1)[:, None, None])
        ]
    )
    torch.testing.assert_close(result.values, expected)


def test_the_table_names_its_rows_and_columns_in_order() -> None:
    result = table()
    assert result.methods == ("itself", "edges", "label")
    assert result.metrics == ("pointing game", "mass", "rank")


def test_the_batch_size_does_not_change_the_table() -> None:
    torch.testing.assert_close(table(batch_size=2).values, table(batch_size=7).values)


def test_the_standard_error_is_the_deviation_over_the_root_of_the_number_of_images() -> None:
    values = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]], dtype=torch.float64)
    result = ev.ScoreTable(("m",), ("s",), values)
    assert result.mean.item() == 3.0
    assert result.standard_error.item() == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_one_image_has_no_standard_error() -> None:
    assert ev.ScoreTable(("m",), ("s",), torch.ones(1, 1, 1)).standard_error.item() == 0.0


def test_the_table_prints_as_aligned_markdown() -> None:
    result = ev.ScoreTable(("gradient", "IG"), ("mass",), torch.tensor([[[0.25, 0.35]], [[1.0, 1.0]]]))
    assert str(result).splitlines() == [
        "| method   | mass |",
        "|----------|-----:|",
        "| gradient | 0.30 |",
        "| IG       | 1.00 |",
    ]


def test_the_rows_are_the_means_by_name() -> None:
    result = ev.ScoreTable(("gradient",), ("mass", "rank"), torch.tensor([[[0.25, 0.75], [1.0, 0.0]]]))
    assert result.rows() == [{"method": "gradient", "mass": 0.5, "rank": 0.5}]


def test_a_table_can_be_asked_for_other_metrics() -> None:
    result = table(metrics={"hits": ev.pointing_game})
    torch.testing.assert_close(result.values[:, 0], table().values[:, 0])


def test_a_table_refuses_a_batch_of_no_images() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ev.score_table({"edges": lambda x, y: ev.edge_map(x)}, torch.rand(1, 3, 3, 3), 0, LEFT, batch_size=0)


def test_the_table_names_the_method_whose_map_has_a_wrong_shape() -> None:
    images, labels, masks = torch.rand(2, 3, 4, 4), torch.zeros(2, dtype=torch.long), torch.ones(2, 4, 4).bool()
    with pytest.raises(ValueError, match="method 'wrong': attributions must be of shape"):
        ev.score_table({"wrong": lambda x, y: x[:, :, 1:]}, images, labels, masks)


def test_a_table_without_methods_is_refused() -> None:
    with pytest.raises(ValueError, match="methods is empty"):
        ev.score_table({}, torch.rand(1, 3, 4, 4), 0, torch.ones(1, 4, 4).bool())


# Deletion and insertion


class TwoPixels(nn.Module):
    """Two classes whose logits are 0 and log 3 * (the number of the first two pixels that are 1)."""

    def forward(self, inputs: Tensor) -> Tensor:
        score = np.log(3) * inputs[:, 0, 0, :2].sum(dim=1)
        return torch.stack([torch.zeros_like(score), score], dim=1)


ONES = torch.ones(1, 1, 1, 4, dtype=torch.float64)
FIRST_FIRST = torch.tensor([[[4.0, 3.0, 2.0, 1.0]]])


def test_deletion_gives_the_curve_computed_by_hand() -> None:
    fractions, curve = ev.deletion_curve(TwoPixels(), ONES, 1, FIRST_FIRST, n_steps=4, baselines=0.0)
    assert fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(curve[0], [0.9, 0.75, 0.5, 0.5, 0.5])


def test_insertion_gives_the_curve_computed_by_hand() -> None:
    _, curve = ev.insertion_curve(TwoPixels(), ONES, 1, FIRST_FIRST, n_steps=4, baselines=0.0)
    np.testing.assert_allclose(curve[0], [0.5, 0.75, 0.9, 0.9, 0.9])


def test_the_area_is_that_of_the_trapezoids() -> None:
    area = ev.deletion_auc(TwoPixels(), ONES, 1, FIRST_FIRST, n_steps=4, baselines=0.0)
    assert area.item() == pytest.approx((0.9 / 2 + 0.75 + 0.5 + 0.5 + 0.5 / 2) / 4)


def test_a_true_map_deletes_lower_and_inserts_higher_than_its_inverse() -> None:
    options = {"n_steps": 4, "baselines": 0.0}
    assert ev.deletion_auc(TwoPixels(), ONES, 1, FIRST_FIRST, **options) < ev.deletion_auc(
        TwoPixels(), ONES, 1, -FIRST_FIRST, **options
    )
    assert ev.insertion_auc(TwoPixels(), ONES, 1, FIRST_FIRST, **options) > ev.insertion_auc(
        TwoPixels(), ONES, 1, -FIRST_FIRST, **options
    )


def slow_curve(
    model: nn.Module, start: Tensor, end: Tensor, target: int, order: list[int], n_steps: int
) -> list[float]:
    """One image, one step, one pixel at a time; all arrays are (C, H, W)."""
    changed, done, curve = start.clone(), 0, []
    n_pixels = len(order)
    for step in range(n_steps + 1):
        until = round(step * n_pixels / n_steps)
        for pixel in order[done:until]:
            row, column = divmod(pixel, start.shape[-1])
            changed[:, row, column] = end[:, row, column]
        done = until
        with torch.no_grad():
            scores = model(changed[None])[0].numpy()
        exponents = np.exp(scores - scores.max())
        curve.append(exponents[target] / exponents.sum())
    return curve


@pytest.mark.parametrize("n_steps", [1, 7, 32])
def test_deletion_equals_a_loop_over_images_steps_and_pixels(network: nn.Module, images: Tensor, n_steps: int) -> None:
    maps = gradient(network, images, TARGET)
    _, curves = ev.deletion_curve(network, images, TARGET, maps, n_steps=n_steps, baselines=0.5, batch_size=5)
    for image, label, heat, curve in zip(images, TARGET.tolist(), maps.sum(1), curves, strict=True):
        order = heat.flatten().argsort(descending=True).tolist()
        expected = slow_curve(network, image, torch.full_like(image, 0.5), label, order, n_steps)
        np.testing.assert_allclose(curve, expected, rtol=1e-9)


def test_insertion_starts_from_the_blurred_image(network: nn.Module, images: Tensor) -> None:
    _, curve = ev.insertion_curve(network, images, TARGET, images)
    expected = network(ev.blurred(images)).softmax(dim=1).gather(1, TARGET[:, None]).squeeze(1)
    torch.testing.assert_close(curve[:, 0], expected.detach())


def test_insertion_is_deletion_of_the_baseline_by_the_same_map(network: nn.Module, images: Tensor) -> None:
    other = images.flip(0)
    inserted = ev.insertion_curve(network, images, TARGET, images, baselines=other)[1]
    deleted = ev.deletion_curve(network, other, TARGET, images, baselines=images)[1]
    torch.testing.assert_close(inserted, deleted)


def test_tied_pixels_are_not_deleted_row_by_row() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=False)).double()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[1, :128] = 0.1  # only the upper half counts
    constant, image = torch.ones(1, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.float64)
    _, curve = ev.deletion_curve(model, image, 1, constant, n_steps=2, baselines=0.0)
    upper_half_left = (torch.logit(curve[0, 1]) / 0.1).item()
    assert 40 < upper_half_left < 88  # expected 64; row by row it would be 0


@pytest.mark.parametrize("auc", [ev.deletion_auc, ev.insertion_auc])
def test_a_batch_of_curves_is_its_images_one_by_one(network: nn.Module, images: Tensor, auc) -> None:
    maps = images.round()
    alone = torch.cat([auc(network, x[None], int(t), m[None]) for x, t, m in zip(images, TARGET, maps, strict=True)])
    torch.testing.assert_close(auc(network, images, TARGET, maps), alone)


@pytest.mark.parametrize("auc", [ev.deletion_auc, ev.insertion_auc])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"inputs": torch.rand(3, 16, 16)}, ValueError, "inputs must"),
        ({"inputs": torch.full((3, 3, 16, 16), float("nan"))}, ValueError, "inputs"),
        ({"target": 9}, ValueError, "target"),
        ({"target": -1}, ValueError, "target"),
        ({"target": torch.tensor([0, 1])}, ValueError, "target"),
        ({"attributions": torch.rand(3, 16, 15)}, ValueError, "attributions must be of shape"),
        ({"n_steps": 0}, ValueError, "n_steps must be"),
        ({"n_steps": 257}, ValueError, "n_steps must be at most 256"),
        ({"baselines": torch.rand(2, 1, 1, 1)}, ValueError, "baselines must"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"inputs": torch.rand(3, 3, 16, 16)}, TypeError, "inputs are torch.float32, .* computes in torch.float64"),
    ],
)
def test_bad_arguments_of_a_curve_are_refused_by_name(
    network: nn.Module, images: Tensor, auc, changes, error, message
) -> None:
    arguments = {"model": network, "inputs": images, "target": TARGET, "attributions": images} | changes
    with pytest.raises(error, match=message):
        auc(**arguments)


def test_a_model_in_train_mode_is_refused(images: Tensor) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(768, 4)).double()
    with pytest.raises(ValueError, match="train mode"):
        ev.deletion_auc(model, images, TARGET, images)


# Completeness


def test_the_gap_of_a_linear_model_is_computed_by_hand() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[2.0, -1.0]]))
        model[1].bias.fill_(5.0)
    image = torch.tensor([[[[3.0, 4.0]]]])
    complete = torch.tensor([[[6.0, -4.0]]])
    assert ev.completeness_gap(model, image, 0, complete).item() == pytest.approx(0.0)
    assert ev.completeness_gap(model, image, 0, complete + 0.5).item() == pytest.approx(1.0)
    assert ev.completeness_gap(model, image, 0, complete, baselines=1.0).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "baselines", [0.0, 0.25, torch.rand(1, 3, 16, 16, generator=generator(3), dtype=torch.float64)]
)
def test_the_gap_is_captums_convergence_delta(network: nn.Module, images: Tensor, baselines) -> None:
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(network)
    maps, delta = method.attribute(images, baselines, TARGET, n_steps=4, return_convergence_delta=True)
    gap = ev.completeness_gap(network, images, TARGET, maps, baselines, batch_size=2)
    torch.testing.assert_close(gap, delta, rtol=1e-9, atol=1e-12)


# Sensitivity


def test_the_sensitivity_of_twice_the_image_lies_at_most_at_the_corner_of_the_cube() -> None:
    image = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    sensitivity = ev.max_sensitivity(lambda x, y: 2 * x, image, 0, radius=0.1, n_samples=200)
    assert 0.5 * 0.2 < sensitivity.item() <= 0.2  # ||2 r 1|| / ||2 x|| = 0.1 / 0.5


def test_a_map_that_does_not_look_at_the_image_has_no_sensitivity(images: Tensor) -> None:
    assert ev.max_sensitivity(lambda x, y: ev.centre_prior(x), images, TARGET).tolist() == [0, 0, 0]


def test_sensitivity_is_not_divided_by_an_explanation_of_zeros() -> None:
    image = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    sensitivity = ev.max_sensitivity(lambda x, y: x, image, 0, radius=0.1, n_samples=50)
    assert 0.05 < sensitivity.item() <= 0.1


def test_sensitivity_is_captums_with_the_same_perturbations(network: nn.Module, images: Tensor) -> None:
    from captum.metrics import sensitivity_max

    ours = ev.max_sensitivity(
        lambda x, y: gradient(network, x, y), images, TARGET, radius=0.05, n_samples=6, generator=generator(4)
    )
    source = generator(4)
    noise = torch.stack([torch.rand(images.shape, generator=source, dtype=images.dtype) for _ in range(6)])
    noise = (2 * noise - 1) * 0.05

    def perturb(inputs: Tensor) -> Tensor:  # captum repeats each image 6 times in a row
        return inputs + noise.transpose(0, 1).flatten(0, 1)

    def explain(inputs: Tensor | tuple[Tensor], target: Tensor) -> tuple[Tensor]:
        return (gradient(network, inputs[0] if isinstance(inputs, tuple) else inputs, target),)

    theirs = sensitivity_max(explain, images, perturb, n_perturb_samples=6, target=TARGET)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 6, 100])
def test_the_batch_size_does_not_change_the_sensitivity(network: nn.Module, images: Tensor, batch_size: int) -> None:
    def score(size: int) -> Tensor:
        return ev.max_sensitivity(
            lambda x, y: gradient(network, x, y), images, TARGET, batch_size=size, generator=generator(5)
        )

    torch.testing.assert_close(score(batch_size), score(64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": -0.1}, "radius must be"),
        ({"n_samples": 0}, "n_samples must be"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_of_the_sensitivity_are_refused_by_name(images: Tensor, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ev.max_sensitivity(lambda x, y: x, images, TARGET, **changes)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda x, y: None, TypeError, "explain must return a tensor of attributions, got NoneType"),
        (lambda x, y: x * float("nan"), ValueError, "explain returned attributions with NaN"),
        (lambda x, y: x[:1], ValueError, r"explain must return attributions of 3 images, got shape \(1, 3, 16, 16\)"),
    ],
)
def test_an_answer_that_is_no_explanation_is_refused_by_name(images: Tensor, answer, error, message) -> None:
    with pytest.raises(error, match=message):
        ev.max_sensitivity(answer, images, TARGET)


def test_an_explanation_that_works_in_place_leaves_the_images_as_they_were(images: Tensor) -> None:
    inputs = images.clone()
    ev.max_sensitivity(lambda x, y: x.mul_(2), inputs, TARGET, n_samples=1)
    assert torch.equal(inputs, images)


# Infidelity


def linear(weights: list[float]) -> nn.Sequential:
    model = nn.Sequential(nn.Flatten(), nn.Linear(len(weights), 1)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([weights]))
    return model


PAIR = torch.tensor([[[[0.5, 2.0]]]], dtype=torch.float64)


def test_the_gradient_of_a_linear_model_has_no_infidelity() -> None:
    score = ev.infidelity(linear([2.0, -1.0]), PAIR, 0, torch.tensor([[[[2.0, -1.0]]]]))
    assert score.item() == pytest.approx(0.0, abs=1e-15)


def test_the_infidelity_of_a_wrong_weight_is_computed_by_hand() -> None:
    # Phi is 3 too large at the first pixel, I is (1, 1): (3 * 1)^2.
    score = ev.infidelity(
        linear([2.0, -1.0]), PAIR, 0, torch.tensor([[[[5.0, -1.0]]]]), perturb=lambda x, g: torch.ones_like(x)
    )
    assert score.item() == pytest.approx(9.0)


def test_the_infidelity_of_a_zero_map_under_noise_is_the_variance_of_the_score() -> None:
    score = ev.infidelity(
        linear([2.0, -1.0]),
        PAIR,
        0,
        torch.zeros_like(PAIR),
        n_samples=20000,
        stdevs=0.1,
        batch_size=5000,
        generator=generator(),
    )
    assert score.item() == pytest.approx(0.01 * (4 + 1), rel=0.05)


@pytest.mark.parametrize("baselines", [0.0, 0.5])
def test_input_times_gradient_of_a_linear_model_has_no_infidelity_if_its_factor_is_said(baselines: float) -> None:
    model, image = linear([2.0, -1.0]), PAIR + 0.1
    maps = (image - baselines) * model[1].weight.view(1, 1, 1, 2)
    score = ev.infidelity(model, image, 0, maps, multiply_by_inputs=True, baselines=baselines)
    assert score.item() == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("multiply_by_inputs", [False, True])
def test_infidelity_is_captums_with_the_same_perturbations(
    network: nn.Module, images: Tensor, multiply_by_inputs: bool
) -> None:
    from captum.metrics import infidelity, infidelity_perturb_func_decorator

    images = images.clone()
    images[0, :, :4] = 0.0  # where the image is the baseline nothing is divided
    maps = gradient(network, images, TARGET) * (images if multiply_by_inputs else 1)
    ours = ev.infidelity(
        network, images, TARGET, maps, n_samples=6, multiply_by_inputs=multiply_by_inputs, generator=generator(4)
    )
    source = generator(4)
    noise = torch.stack([torch.randn(images.shape, generator=source, dtype=images.dtype) for _ in range(6)]) * 0.1

    @infidelity_perturb_func_decorator(multiply_by_inputs)
    def perturb(inputs: Tensor, baselines: float = 0.0) -> Tensor:
        return inputs - noise.transpose(0, 1).flatten(0, 1)

    theirs = infidelity(network, perturb, images, maps, baselines=0.0, target=TARGET, n_perturb_samples=6)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 6, 1000])
def test_the_batch_size_does_not_change_the_infidelity(network: nn.Module, images: Tensor, batch_size: int) -> None:
    def score(size: int) -> Tensor:
        return ev.infidelity(network, images, TARGET, images, batch_size=size, generator=generator(5))

    torch.testing.assert_close(score(batch_size), score(64))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"stdevs": float("nan")}, ValueError, "stdevs must be a finite number of at least 0"),
        ({"stdevs": -0.1}, ValueError, "stdevs must be a finite number of at least 0, got -0.1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"attributions": None}, TypeError, "attributions must be a torch.Tensor, got NoneType"),
        ({"perturb": lambda x, g: x[:, :1]}, ValueError, r"perturb must have the shape .* got \(3, 1, 16, 16\)"),
        ({"perturb": lambda x, g: None}, TypeError, "the answer of perturb must be a torch.Tensor, got NoneType"),
    ],
)
def test_bad_arguments_of_the_infidelity_are_refused_by_name(
    network: nn.Module, images: Tensor, changes, error, message
) -> None:
    arguments = {"model": network, "inputs": images, "target": TARGET, "attributions": images} | changes
    with pytest.raises(error, match=message):
        ev.infidelity(**arguments)


@pytest.mark.parametrize("kind", [np.float32, torch.tensor], ids=["numpy", "tensor of no dimension"])
def test_a_number_may_come_from_numpy_or_torch(network: nn.Module, images: Tensor, kind) -> None:
    scores = [
        ev.infidelity(network, images, TARGET, images, stdevs=make(0.25), multiply_by_inputs=True, baselines=make(0.5))
        for make in (float, kind)
    ]
    assert torch.equal(*scores)


def test_infidelity_refuses_a_map_without_channels(network: nn.Module, images: Tensor) -> None:
    with pytest.raises(ValueError, match="attributions must have the shape of the inputs"):
        ev.infidelity(network, images, TARGET, images[:, 0])


def test_square_removal_puts_the_baseline_into_one_square_of_each_image(images: Tensor) -> None:
    left = images - ev.square_removal(images, generator(), size=5, baselines=2.0)
    removed = (left != images).all(dim=1)
    torch.testing.assert_close(left[(left != images)], torch.full((3 * 3 * 25,), 2.0, dtype=torch.float64))
    for mask in removed:
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        assert (rows.max() - rows.min(), columns.max() - columns.min(), mask.sum()) == (4, 4, 25)


def test_squares_reach_every_corner() -> None:
    many = ev.square_removal(torch.ones(500, 1, 4, 4), generator(), size=3, baselines=0.0)
    assert (many.mean(dim=(0, 1))[[0, 0, -1, -1], [0, -1, 0, -1]] > 0.15).all()  # each expected in a quarter


def test_a_square_larger_than_the_image_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match="size must be from 1 to 16"):
        ev.square_removal(images, size=17)


# Controls


def test_the_edge_map_is_zero_on_a_flat_image_and_highest_along_an_edge() -> None:
    image = torch.zeros(1, 3, 8, 8)
    assert ev.edge_map(image).abs().max() == 0
    image[:, :, :, 4:] = 1.0
    edges = ev.edge_map(image)[0]
    assert (edges[:, 3:5] > 0.5).all()
    assert edges[:, :3].abs().max() == edges[:, 5:].abs().max() == 0


def test_the_edge_map_equals_the_sobel_formula_inside(images: Tensor) -> None:
    grey = images.mean(dim=1, keepdim=True)
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=torch.float64) / 4
    kernels = torch.stack([kernel, kernel.T])[:, None]
    expected = nn.functional.conv2d(grey, kernels).square().mean(dim=1).sqrt()
    torch.testing.assert_close(ev.edge_map(images)[:, 1:-1, 1:-1], expected)


def test_the_centre_prior_points_at_the_middle_and_is_symmetric() -> None:
    prior = ev.centre_prior(torch.zeros(2, 3, 7, 9))
    assert prior.shape == (2, 7, 9)
    assert prior[0].argmax() == 3 * 9 + 4
    torch.testing.assert_close(prior, prior.flip(1, 2))


def test_the_noise_map_follows_its_generator(images: Tensor) -> None:
    assert torch.equal(ev.noise_map(images, generator(3)), ev.noise_map(images, generator(3)))
    assert not torch.equal(ev.noise_map(images, generator(3)), ev.noise_map(images, generator(4)))


def test_blurring_keeps_a_flat_image_and_flattens_another(images: Tensor) -> None:
    torch.testing.assert_close(ev.blurred(torch.full((1, 3, 8, 8), 0.3)), torch.full((1, 3, 8, 8), 0.3))
    assert ev.blurred(images).std() < 0.3 * images.std()


# Nothing is changed


def test_random_scores_leave_the_global_random_state_alone(network: nn.Module, images: Tensor) -> None:
    before = torch.get_rng_state()
    ev.deletion_auc(network, images, TARGET, images.round())
    ev.infidelity(network, images, TARGET, images, n_samples=2)
    ev.max_sensitivity(lambda x, y: x, images, TARGET, n_samples=2)
    ev.square_removal(images)
    ev.noise_map(images)
    assert torch.equal(torch.get_rng_state(), before)


def test_scores_change_no_argument(network: nn.Module, images: Tensor) -> None:
    inputs, maps = images.clone().requires_grad_(), images.clone().requires_grad_()
    for score in (ev.deletion_auc, ev.insertion_auc, ev.completeness_gap, ev.infidelity):
        result = score(network, inputs, TARGET, maps)
        assert not result.requires_grad
    assert torch.equal(inputs, images) and torch.equal(maps, images)
    assert inputs.grad is None and all(p.grad is None for p in network.parameters())


class Centre(nn.Module):
    """A first layer that works in place."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.sub_(0.5)


@pytest.mark.parametrize("score", [ev.deletion_auc, ev.insertion_auc, ev.completeness_gap, ev.infidelity])
@pytest.mark.parametrize("batch_size", [2, 64])
def test_an_in_place_first_layer_neither_changes_the_images_nor_the_score(
    network: nn.Module, images: Tensor, score, batch_size: int
) -> None:
    inputs = images.clone()
    changed = score(nn.Sequential(Centre(), network), inputs, TARGET, images, batch_size=batch_size)
    assert torch.equal(inputs, images)

    class Centred(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return network(inputs - 0.5)

    assert torch.equal(changed, score(Centred(), images, TARGET, images, batch_size=batch_size))
