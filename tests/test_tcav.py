"""TCAV against captum, scikit-learn, finite differences, planted directions and the drawn truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.concept import TCAV, Classifier, Concept
from scipy.stats import ttest_ind
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from course_utils import models, tcav, zoo
from course_utils.passes import activation_of, scores_from_layer

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(seed: int = 0, inplace: bool = False) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3),
            nn.ReLU(inplace),
            nn.Flatten(),
            nn.Linear(24, 8),
            nn.Tanh(),
            nn.Linear(8, 4),
        ).eval()


def images(n: int, seed: int) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=seeded(seed))


def planted(n: int, direction: Tensor, size: float, seed: int) -> Tensor:
    return torch.randn(n, *direction.shape, generator=seeded(seed)) + size * direction


def unit(*shape: int, seed: int = 9) -> Tensor:
    vector = torch.randn(*shape, generator=seeded(seed))
    return vector / vector.norm()


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


# Activations


@pytest.mark.parametrize("layer", ["0", "3", "7"])
@pytest.mark.parametrize("inplace", [False, True])
def test_activations_are_those_of_the_layer_in_any_batches(layer: str, inplace: bool) -> None:
    model, inputs = network(inplace=inplace), images(7, 1)
    expected = network()[: int(layer) + 1](inputs)
    for batch_size in (1, 3, 64):
        came = tcav.layer_activations(model, layer, inputs, batch_size)
        torch.testing.assert_close(came, expected)
        assert not came.requires_grad


# Concept activation vectors


@pytest.mark.parametrize("classifier", tcav.CLASSIFIERS)
@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)])
def test_a_planted_direction_comes_back(classifier: str, shape: tuple[int, ...]) -> None:
    direction = unit(*shape)
    concept, random = planted(600, direction, 4.0, 1), planted(600, direction, 0.0, 2)
    cav = tcav.concept_activation_vector(concept, random, classifier, generator=seeded(0))
    assert cav.vector.shape == shape
    assert float(cav.vector.norm()) == pytest.approx(1, abs=1e-6)
    # The sides are nearly separable, so that only the examples near the border count: in 24 dimensions the angle is
    # about 18 degrees, in 6 dimensions less.
    assert cosine(cav.vector, direction) > 0.94
    # Of two normal distributions four deviations apart, 98 % lie on the right side.
    assert 0.95 < cav.accuracy <= 1


def test_the_vector_points_towards_the_concept() -> None:
    direction = unit(6)
    concept, random = planted(80, direction, 3.0, 1), planted(80, direction, 0.0, 2)
    there = tcav.concept_activation_vector(concept, random, generator=seeded(0)).vector
    back = tcav.concept_activation_vector(random, concept, generator=seeded(0)).vector
    assert cosine(there, direction) > 0.8
    assert cosine(there, back) < -0.95


def test_means_are_the_difference_of_the_means() -> None:
    concept, random = planted(20, unit(5), 1.0, 1), planted(30, unit(5), 0.0, 2)
    cav = tcav.concept_activation_vector(concept, random, "means", test_share=0.01, generator=seeded(4))
    # One example of each side is held out; all but these make the means.
    source = seeded(4)
    known = [side[torch.randperm(len(side), generator=source)[1:]] for side in (concept, random)]
    assert cosine(cav.vector, known[0].mean(0) - known[1].mean(0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_the_classifier_is_scikit_learns(classifier: str) -> None:
    concept, random = planted(40, unit(5), 1.5, 1), planted(60, unit(5), 0.0, 2)
    cav = tcav.concept_activation_vector(concept, random, classifier, generator=seeded(4))
    source = seeded(4)
    known, held = [], []
    for side in (concept, random):
        order, n_test = torch.randperm(len(side), generator=source), round(0.25 * len(side))
        held.append(side[order[:n_test]].double().numpy())
        known.append(side[order[n_test:]].double().numpy())
    x, y = np.concatenate(known), np.repeat([1, 0], [len(known[0]), len(known[1])])
    spread = np.sqrt(((x - x.mean(0)) ** 2).mean())
    peer = (
        LogisticRegression(class_weight="balanced", max_iter=1000)
        if classifier == "logistic"
        else LinearSVC(class_weight="balanced", random_state=0)
    ).fit(x / spread, y)
    assert cosine(cav.vector, torch.as_tensor(peer.coef_[0])) == pytest.approx(1, abs=1e-6)
    hits = [peer.predict(held[0] / spread).mean(), 1 - peer.predict(held[1] / spread).mean()]
    assert cav.accuracy == pytest.approx(np.mean(hits), abs=1e-6)


def test_the_unit_of_the_activations_changes_nothing() -> None:
    concept, random = planted(40, unit(5), 1.5, 1), planted(60, unit(5), 0.0, 2)
    for classifier in tcav.CLASSIFIERS:
        small, large = (
            tcav.concept_activation_vector(concept * factor, random * factor, classifier, generator=seeded(4))
            for factor in (1.0, 1000.0)
        )
        # The solvers stop within their own tolerance of 1e-4.
        assert cosine(small.vector, large.vector) == pytest.approx(1, abs=1e-5)
        assert small.accuracy == large.accuracy


def test_an_accuracy_on_nothing_is_a_guess() -> None:
    accuracies = [
        tcav.concept_activation_vector(
            planted(40, unit(8), 0.0, 2 * s), planted(40, unit(8), 0.0, 2 * s + 1), generator=seeded(s)
        ).accuracy
        for s in range(30)
    ]
    # 20 held-out examples each: a standard deviation of 0.11, and of the mean of 30 of 0.02.
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.06)


def test_the_same_seed_gives_the_same_vector_and_leaves_the_global_state() -> None:
    concept, random = planted(20, unit(5), 1.0, 1), planted(20, unit(5), 0.0, 2)
    before, given = torch.get_rng_state(), (concept.clone(), random.clone())
    first, second = (tcav.concept_activation_vector(concept, random, generator=seeded(3)) for _ in range(2))
    assert torch.equal(first.vector, second.vector)
    other = tcav.concept_activation_vector(concept, random, generator=seeded(4))
    assert not torch.equal(first.vector, other.vector)
    tcav.concept_activation_vector(concept, random)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(concept, given[0]) and torch.equal(random, given[1])


# Directional derivatives


@pytest.mark.parametrize("layer", ["0", "4", "7"])
@pytest.mark.parametrize("inplace", [False, True])
def test_derivatives_are_finite_differences(layer: str, inplace: bool) -> None:
    model, inputs, target = network(inplace=inplace).double(), images(5, 2).double(), torch.tensor([0, 1, 2, 3, 0])
    activation = activation_of(model, inputs, layer)
    vector = unit(*activation.shape[1:]).double()
    came = tcav.directional_derivatives(model, layer, inputs, target, vector)
    step = 1e-6
    ends = [
        scores_from_layer(model, inputs, target, layer, activation + sign * step * vector).detach() for sign in (1, -1)
    ]
    # float64 and steps of 1e-6: rounding errors of about 1e-10.
    torch.testing.assert_close(came, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_a_linear_head_has_the_closed_form() -> None:
    model, inputs = network(), images(6, 3)
    vector = unit(8)
    came = tcav.directional_derivatives(model, "7", inputs, 2, vector)
    torch.testing.assert_close(came, (model[8].weight[2] @ vector).detach().expand(6))


def test_derivatives_are_linear_in_the_vector_and_image_by_image() -> None:
    model, inputs, target = network(), images(4, 4), torch.tensor([3, 0, 1, 2])
    shape = activation_of(model, inputs, "3").shape[1:]
    a, b = unit(*shape, seed=1), unit(*shape, seed=2)
    whole = tcav.directional_derivatives(model, "3", inputs, target, 2 * a - 3 * b)
    parts = [tcav.directional_derivatives(model, model[3], inputs, target, v) for v in (a, b)]
    torch.testing.assert_close(whole, 2 * parts[0] - 3 * parts[1])
    single = [tcav.directional_derivatives(model, "3", x[None], int(t), a) for x, t in zip(inputs, target, strict=True)]
    torch.testing.assert_close(torch.cat(single), parts[0])


@pytest.mark.parametrize("layer", ["3", "7"])
def test_several_vectors_are_the_same_as_one_by_one(layer: str) -> None:
    model, inputs, target = network(), images(4, 4), torch.tensor([3, 0, 1, 2])
    shape = activation_of(model, inputs, layer).shape[1:]
    vectors = torch.stack([unit(*shape, seed=s) for s in range(5)])
    single = [tcav.directional_derivatives(model, layer, inputs, target, v) for v in vectors]
    came = tcav.directional_derivatives(model, layer, inputs, target, vectors)
    # The same products, summed up in another order: float32 rounding.
    torch.testing.assert_close(came, torch.stack(single))
    assert tcav.directional_derivatives(model, layer, inputs, target, vectors[:1]).shape == (1, 4)


def test_the_model_stays_as_it_was() -> None:
    model, inputs = network(), images(3, 5)
    inputs.requires_grad_()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    tcav.directional_derivatives(model, "4", inputs, 1, unit(6, 2, 2))
    vectors = tcav.concept_vectors(model, "4", images(6, 1), [images(6, s) for s in (2, 3, 4)])
    tcav.tcav_test(model, "4", inputs, 1, vectors)
    assert inputs.grad is None and all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


# Scores and the test


def test_scores_by_hand() -> None:
    derivatives = torch.tensor([2.0, -1.0, 0.0, 1.0])
    assert float(tcav.tcav_score(derivatives)) == 0.5
    assert float(tcav.tcav_score(derivatives, "mean")) == 0.5
    assert float(tcav.tcav_score(torch.zeros(3))) == 0
    both = torch.stack([derivatives, -derivatives])
    torch.testing.assert_close(tcav.tcav_score(both), torch.tensor([0.5, 0.25]))


class OurClassifier(Classifier):
    """captum's interface to the classifier of this course."""

    def __init__(self) -> None:
        self.w: Tensor | None = None

    def train_and_eval(self, dataloader: object, **_: object) -> dict[str, float]:
        x, y = (torch.cat(parts) for parts in zip(*dataloader, strict=True))
        linear = LogisticRegression(max_iter=1000, class_weight="balanced").fit(x.double().numpy(), (y == 0).numpy())
        normal = torch.as_tensor(linear.coef_[0])
        self.w = torch.stack([normal / normal.norm(), -normal / normal.norm()])
        return {"accs": 1.0}

    def weights(self) -> Tensor:
        return self.w

    def classes(self) -> list[int]:
        return [0, 1]


@pytest.mark.parametrize("layer", ["4", "7"])
def test_scores_are_captums_with_the_same_classifier(layer: str, tmp_path: object) -> None:
    model, inputs = network(), images(12, 6)
    concept, random = images(20, 7) * 0.5 + 0.5, images(20, 8)
    pair = [
        Concept(k, name, torch.utils.data.DataLoader(list(values), batch_size=5))
        for k, (name, values) in enumerate((("concept", concept), ("random", random)))
    ]
    peer = TCAV(model, [layer], classifier=OurClassifier(), save_path=str(tmp_path))
    theirs = peer.interpret(inputs, [pair], target=2)["0-1"][layer]
    a, b = (tcav.layer_activations(model, layer, values).flatten(1).double() for values in (concept, random))
    linear = LogisticRegression(max_iter=1000, class_weight="balanced").fit(
        torch.cat([a, b]).numpy(), np.repeat([1, 0], 20)
    )
    vector = torch.as_tensor(linear.coef_[0]).view(activation_of(model, inputs, layer).shape[1:])
    derivatives = tcav.directional_derivatives(model, layer, inputs, 2, vector / vector.norm())
    assert float(theirs["sign_count"][0]) == pytest.approx(float(tcav.tcav_score(derivatives)), abs=1e-6)
    # captum takes the vectors through float32 lists; what it calls magnitude is the mean.
    ours = float(tcav.tcav_score(derivatives, "mean"))
    assert float(theirs["magnitude"][0]) == pytest.approx(ours, abs=1e-4)


@pytest.mark.parametrize("statistic", tcav.STATISTICS)
def test_the_test_is_welchs_of_the_scores_one_by_one(statistic: str) -> None:
    model, inputs = network(), images(9, 9)
    concept, randoms = images(12, 10) * 0.6, [images(12, 20 + s) for s in range(4)]
    vectors = tcav.concept_vectors(model, "4", concept, randoms, generator=seeded(1))
    came = tcav.tcav_test(model, "4", inputs, 3, vectors, n_tests=2, statistic=statistic, batch_size=4)
    source = seeded(1)
    acts = [tcav.layer_activations(model, "4", x) for x in (concept, *randoms)]
    cavs = [tcav.concept_activation_vector(acts[0], other, generator=source) for other in acts[1:]]
    cavs += [tcav.concept_activation_vector(acts[k], acts[k % 4 + 1], generator=source) for k in (1, 2, 3, 4)]
    scores = torch.stack(
        [tcav.tcav_score(tcav.directional_derivatives(model, "4", inputs, 3, cav.vector), statistic) for cav in cavs]
    )
    torch.testing.assert_close(torch.cat([came.scores, came.random_scores]), scores)
    assert came.score == pytest.approx(float(scores[:4].mean()))
    torch.testing.assert_close(vectors.accuracies, torch.tensor([cav.accuracy for cav in cavs[:4]]))
    p = ttest_ind(scores[:4].double().numpy(), scores[4:].double().numpy(), equal_var=False).pvalue
    assert came.p_value == pytest.approx(min(1.0, 2 * p), rel=1e-6)


def test_a_planted_concept_is_found_and_random_ones_are_not() -> None:
    direction = unit(12)
    head = nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(12, 2))
    with torch.no_grad():
        head[2].weight[0], head[2].weight[1] = direction, unit(12, seed=3)
    head.eval()
    shape = (3, 2, 2)
    concept = planted(40, direction, 3.0, 1).view(-1, *shape)
    randoms = [torch.randn(40, *shape, generator=seeded(100 + s)) for s in range(8)]
    inputs = torch.randn(30, *shape, generator=seeded(5))
    vectors = tcav.concept_vectors(head, "1", concept, randoms, generator=seeded(0))
    found = tcav.tcav_test(head, "1", inputs, 0, vectors, n_tests=10, statistic="mean")
    assert found.p_value < 0.01 and found.score > 0.5
    assert tcav.tcav_test(head, "1", inputs, 0, vectors, n_tests=10).score == 1.0
    p_values = []
    for s in range(20):
        nothing = torch.randn(40, *shape, generator=seeded(200 + s))
        null = tcav.concept_vectors(head, "1", nothing, randoms, "means", generator=seeded(s))
        p_values.append(tcav.tcav_test(head, "1", inputs, 0, null, n_tests=20, statistic="mean").p_value)
    # The concept's R vectors share one set, so that its scores spread less than they should: more than 5 % of the
    # uncorrected tests fire. Corrected for 20 tests, few do.
    assert np.mean(np.array(p_values) < 0.05) <= 0.35


def test_sides_without_spread_are_equal_or_not() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(12, 2)).eval()
    same = unit(12).expand(3, -1)
    inputs = torch.rand(4, 3, 2, 2)
    equal = tcav.ConceptVectors(same, same, torch.ones(3))
    assert tcav.tcav_test(model, "1", inputs, 0, equal).p_value == 1
    opposite = tcav.ConceptVectors(same, -same, torch.ones(3))
    assert tcav.tcav_test(model, "1", inputs, 0, opposite).p_value == 0


# The drawn truth


def test_the_causes_are_found_and_nearly_nothing_else() -> None:
    """Scenes with one texture against the same kind of scenes with others, in the dense layer, by the mean derivative.

    This is the set-up that lecture 11 found best, with five draws of the positives and all 40 cells.
    """
    model, n_sets, size = models.load("zoo"), 24, 18

    def activations(texture: str, n: int, seed: int) -> Tensor:
        return tcav.layer_activations(model, "14", zoo.sample(n, seed, texture=texture).images)

    pools = [{t: activations(t, size // 3, 6000 + r) for t in zoo.TEXTURES} for r in range(n_sets)]
    # Behind this layer the network is linear: the gradient of a score is a row of weights, for every image.
    weights = model[15].weight.detach()
    redrawn = [
        torch.stack([zoo.sample(24, 77, [name], texture=t).images for t in zoo.TEXTURES]) for name in zoo.CLASSES
    ]
    effects = torch.stack([tcav.texture_effect(model, scenes, k) for k, scenes in enumerate(redrawn)], 1)
    causes = {(zoo.TEXTURES.index(coat), zoo.CLASSES.index(animal)) for animal, coat in zoo.COATS.items()}
    alarms = []
    for seed in range(5):
        positives = {t: activations(t, size, 5000 + seed) for t in zoo.TEXTURES}
        found, wrong = set(), 0
        for i, texture in enumerate(zoo.TEXTURES):
            sets = [torch.cat([pool[t] for t in zoo.TEXTURES if t != texture]) for pool in pools]
            vectors = [
                [
                    tcav.concept_activation_vector(*pair, "means", test_share=0.01, generator=seeded(0)).vector
                    for pair in pairs
                ]
                for pairs in (
                    [(positives[texture], other) for other in sets],
                    zip(sets, sets[1:] + sets[:1], strict=True),
                )
            ]
            own, random = (tcav.tcav_score((weights @ torch.stack(side).T)[:, :, None], "mean") for side in vectors)
            for k in range(len(zoo.CLASSES)):
                significant = tcav.p_value(own[k], random[k], n_tests=40) < 0.05
                rise, effect = float(own[k].mean() - random[k].mean()), float(effects[i, k])
                if significant and (i, k) in causes and rise > 0:
                    found.add((i, k))
                elif significant and (abs(effect) < 0.5 or effect * rise < 0):
                    wrong += 1
        assert found == causes
        alarms.append(wrong)
    # Of 36 cells that are no causes 0, 0, 1, 2 and 2 were false alarms.
    assert max(alarms) <= 4 and sum(alarms) <= 8


@pytest.mark.parametrize(("n_textures", "inplace"), [(2, False), (4, True)])
def test_the_effect_of_a_texture_is_its_mean_score_less_that_of_the_others(n_textures: int, inplace: bool) -> None:
    model = nn.Sequential(nn.Hardswish(inplace), network())
    scenes = images(5 * n_textures, 3).view(n_textures, 5, 3, 8, 8)
    given = scenes.clone()
    came = tcav.texture_effect(model, scenes, 2)
    assert torch.equal(scenes, given)
    means = [np.mean([float(model(x[None].clone())[0, 2].detach()) for x in texture]) for texture in given]
    others = [np.mean(means[:i] + means[i + 1 :]) for i in range(n_textures)]
    # Single images against batches of five: float32 rounding of scores of about 1.
    np.testing.assert_allclose(came.numpy(), np.subtract(means, others), atol=1e-6)
    assert not came.requires_grad


# Bad input

MODEL = network()
A, B = planted(6, unit(5), 1.0, 1), planted(6, unit(5), 0.0, 2)
RANDOMS = [images(6, s) for s in (2, 3, 4)]
VECTORS = tcav.concept_vectors(MODEL, "7", images(6, 1), RANDOMS)
BROKEN = torch.tensor([1.0, float("nan"), 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tcav.layer_activations(MODEL, "nowhere", images(2, 1)), ValueError, "nowhere"),
        (lambda: tcav.layer_activations(MODEL, "1", images(2, 1), 0), ValueError, "batch_size must be at least 1"),
        (lambda: tcav.concept_activation_vector(A, B, "tree"), ValueError, "classifier must be one of 'logistic'"),
        (lambda: tcav.concept_activation_vector(A, B[:, :4]), ValueError, "activations of the same layer"),
        (lambda: tcav.concept_activation_vector(A.tolist(), B), TypeError, "concept must be a tensor of activations"),
        (lambda: tcav.concept_activation_vector(A, B[:1]), ValueError, "random must be activations"),
        (lambda: tcav.concept_activation_vector(A / 0, B), ValueError, "concept must be finite|concept"),
        (lambda: tcav.concept_activation_vector(A, B, test_share=1.0), ValueError, "test_share must be more than 0"),
        (lambda: tcav.concept_activation_vector(A * 0, B * 0), ValueError, "the same activation everywhere"),
        (lambda: tcav.directional_derivatives(MODEL, "7", images(2, 1), 0, unit(5)), ValueError, "shape of one activ"),
        (lambda: tcav.directional_derivatives(MODEL, "7", images(2, 1), 0, [1.0] * 8), TypeError, "vector must be a"),
        (lambda: tcav.directional_derivatives(MODEL, "7", images(2, 1), 9, unit(8)), ValueError, "target"),
        (
            lambda: tcav.directional_derivatives(MODEL, "7", images(2, 1), 0, unit(8) / 0),
            ValueError,
            "vector must be fin",
        ),
        (
            lambda: tcav.directional_derivatives(MODEL, "7", images(2, 1), 0, BROKEN),
            ValueError,
            "got 1 NaN or infinite",
        ),
        (lambda: tcav.tcav_score(torch.ones(3), "median"), ValueError, "statistic must be one of 'sign'"),
        (lambda: tcav.tcav_score([1.0]), TypeError, "derivatives must be a tensor"),
        (lambda: tcav.tcav_score(torch.ones(0)), ValueError, "at least one image"),
        (lambda: tcav.tcav_score(torch.ones(3).long()), ValueError, "real numbers"),
        (lambda: tcav.tcav_score(torch.tensor([float("nan")])), ValueError, "derivatives"),
        (lambda: tcav.concept_vectors(MODEL, "7", images(6, 1), RANDOMS[:2]), ValueError, "at least 3 sets"),
        (lambda: tcav.concept_vectors(MODEL, "7", images(6, 1), None), TypeError, "randoms must be a sequence"),
        (lambda: tcav.tcav_test(MODEL, "7", images(2, 1), 0, None), TypeError, "vectors must be those of concept_vec"),
        (lambda: tcav.tcav_test(MODEL, "7", images(2, 1), 0, unit(3, 8)), TypeError, "concept_vectors, got Tensor"),
        (lambda: tcav.tcav_test(MODEL, "4", images(2, 1), 0, VECTORS), ValueError, "vectors must be those of this"),
        (lambda: tcav.tcav_test(MODEL, "7", images(2, 1), 0, VECTORS, 0), ValueError, "n_tests must be at least 1"),
        (lambda: tcav.texture_effect(MODEL, [images(2, 1)], 0), TypeError, "scenes must be a tensor"),
        (lambda: tcav.texture_effect(MODEL, images(2, 1), 0), ValueError, "scenes must be those of at least two"),
        (lambda: tcav.texture_effect(MODEL, images(2, 1)[None], 0), ValueError, "scenes must be those of at least two"),
        (lambda: tcav.texture_effect(MODEL, images(2, 1)[:, None] / 0, 0), ValueError, "scenes must be finite|scenes"),
        (lambda: tcav.texture_effect(MODEL, images(2, 1)[:, None], 4), ValueError, "target 4 is out of range"),
        (lambda: tcav.p_value([0.5, 0.6], torch.rand(3)), TypeError, "scores must be a tensor"),
        (lambda: tcav.p_value(torch.rand(3), torch.rand(1)), ValueError, "random_scores must be at least two scores"),
        (lambda: tcav.p_value(torch.rand(3), torch.rand(3) / 0), ValueError, "random_scores must be finite"),
    ],
)
def test_bad_arguments_are_named(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
