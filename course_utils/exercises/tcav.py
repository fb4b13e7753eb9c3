"""The exercises of unit 11: concept activation vectors and their test, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_fitted`, `_derived`, `_tested`, `_moved`), which are independent
of the references in ``course_utils.tcav``. In the hints, as in the lab: v is the concept activation vector, A the
activation of the layer, S = dy/dA . v the directional derivative of the class score y.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from course_utils import tcav
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    ValueExercise,
    draw_integer,
    register_network,
)
from course_utils.passes import activation_of, layer_output


@register_network("blocks")
def _blocks(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    channels, height, width = shape
    inner = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.Tanh(), nn.Flatten())
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()), inner, nn.Linear(5 * height * width, n_classes)
    )


# ---------------------------------------------------------------------------------------------------------------------
# By hand: four images, one direction
# ---------------------------------------------------------------------------------------------------------------------

# v = (3, 4) / 5; the gradients (1, 0), (-2, 1), (0, -1), (3, -2) give S = 0.6, -0.4, -0.8, 0.2: two are positive.
SCORE_BY_HAND = ValueExercise(
    name="score_by_hand",
    expected=(0.6, -0.4, -0.8, 0.2, 0.5),
    mistakes={
        "not_normalized": Mistake(
            (3.0, -2.0, -4.0, 1.0, 0.5), "the vector is made one long first: divide (3, 4) by its length, 5."
        ),
        "divided_by_the_sum": Mistake(
            (3 / 7, -2 / 7, -4 / 7, 1 / 7, 0.5), "the length of (3, 4) is the root of 9 + 16, not 3 + 4."
        ),
        "divided_by_the_square": Mistake((3 / 25, -2 / 25, -4 / 25, 1 / 25, 0.5), "the length of (3, 4) is 5, not 25."),
        "mean_for_share": Mistake(
            (0.6, -0.4, -0.8, 0.2, -0.1), "the derivatives are right. The score is the share of positive ones."
        ),
        "count_for_share": Mistake((0.6, -0.4, -0.8, 0.2, 2.0), "the score is a share: divide by the four images."),
        "share_of_negatives": Mistake(
            (0.6, 0.4, 0.8, 0.2, 1.0), "you lost the signs of the derivatives: two of them are negative."
        ),
        "exchanged": Mistake(
            (0.8, -1.0, -0.6, 1.2, 0.5), "you multiplied with (4, 3): the first entry of v is the smaller one."
        ),
    },
    tolerance=2e-3,
)

# ---------------------------------------------------------------------------------------------------------------------
# concept_activation_vector
# ---------------------------------------------------------------------------------------------------------------------

Cav = tuple[Tensor, float]


def concept_activation_vector(concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor) -> Cav:
    """Return the unit normal of scikit-learn's logistic regression, and its accuracy on the held-out examples."""
    return _fitted(concept, random, concept_test, random_test)


def _sides(concept: Tensor, random: Tensor) -> tuple[np.ndarray, np.ndarray]:
    x = torch.cat([concept, random]).flatten(1).double().numpy()
    return x, np.repeat([1, 0], [len(concept), len(random)])


def _fitted(
    concept: Tensor,
    random: Tensor,
    concept_test: Tensor,
    random_test: Tensor,
    model: Callable[[], Any] = lambda: LogisticRegression(max_iter=1000),
    finish: Callable[[Tensor], Tensor] = lambda v: v / v.norm(),
    tested: Callable[..., tuple[Tensor, Tensor]] = lambda a, b, c, d: (c, d),
    share: Callable[[np.ndarray, np.ndarray], float] = lambda hits, sides: float(hits.mean()),
) -> Cav:
    """Fit a linear classifier, with the pieces open: which one, what becomes of its normal, what its accuracy is of."""
    linear = model().fit(*_sides(concept, random))
    vector = finish(torch.as_tensor(linear.coef_[0]))
    x, y = _sides(*tested(concept, random, concept_test, random_test))
    return vector.to(concept).view(concept.shape[1:]), share(linear.predict(x) == y, y)


def _difference_of_means(concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor) -> Cav:
    v = (concept.mean(0) - random.mean(0)).double()
    threshold = (v * (concept.mean(0) + random.mean(0)) / 2).sum()
    hits = [((x * v).flatten(1).sum(1) > threshold) == side for x, side in ((concept_test, True), (random_test, False))]
    return (v / v.norm()).to(concept), float(torch.cat(hits).double().mean())


def _no_threshold(concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor) -> Cav:
    vector, _ = _fitted(concept, random, concept_test, random_test)
    hits = [((x * vector).flatten(1).sum(1) > 0) == side for x, side in ((concept_test, True), (random_test, False))]
    return vector, float(torch.cat(hits).double().mean())


def _cav_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(1)

    def case(
        source: torch.Generator,
        shape: tuple[int, ...],
        sizes: tuple[int, int, int, int],
        note: str,
        dtype: torch.dtype = torch.float32,
    ) -> Case:
        direction = torch.randn(*shape, generator=source)
        direction = 1.5 * direction / direction.norm()
        offset = 0.7 * torch.randn(*shape, generator=source)
        names = ("concept", "random", "concept_test", "random_test")
        arguments = {
            name: (offset + torch.randn(n, *shape, generator=source) + direction * name.startswith("concept")).to(dtype)
            for name, n in zip(names, sizes, strict=True)
        }
        # The solver stops when its gradient is below 1e-4: other solvers agree to about a thousandth.
        return Case(arguments, note, tolerance=5e-3)

    yield case(fixed, (6,), (40, 40, 21, 19), "activations of a dense layer")
    yield case(fixed, (2, 3, 3), (30, 45, 15, 26), "feature maps, sides of different size")
    yield case(fixed, (5,), (30, 30, 12, 9), "activations in double precision", torch.float64)
    yield case(generator, (8,), (25, 50, 20, 33), "another dense layer")
    yield case(generator, (3, 2, 4), (60, 40, 30, 25), "other feature maps")


CONCEPT_ACTIVATION_VECTOR = Exercise(
    name="concept_activation_vector",
    reference=concept_activation_vector,
    cases=_cav_cases,
    mistakes={
        "not_normalized": Mistake(partial(_fitted, finish=lambda v: v), "your vector is not of length 1."),
        "largest_entry_one": Mistake(
            partial(_fitted, finish=lambda v: v / v.abs().max()),
            "you divided by the largest entry. Divide by the length, the root of the sum of squares.",
        ),
        "sum_one": Mistake(
            partial(_fitted, finish=lambda v: v / v.abs().sum()),
            "you divided by the sum of the sizes. Divide by the length, the root of the sum of squares.",
        ),
        "reversed": Mistake(
            partial(_fitted, finish=lambda v: -v / v.norm()),
            "your vector points away from the concept. Which side has the label 1?",
        ),
        "difference_of_means": Mistake(
            _difference_of_means,
            "this is the difference of the two means. The normal of a classifier also takes into account how the "
            "examples scatter.",
        ),
        "accuracy_on_training": Mistake(
            partial(_fitted, tested=lambda a, b, c, d: (a, b)),
            "the vector is right. Your accuracy is that on the examples that the classifier was fitted to.",
        ),
        "accuracy_of_all": Mistake(
            partial(_fitted, tested=lambda a, b, c, d: (torch.cat([a, c]), torch.cat([b, d]))),
            "the vector is right. Your accuracy counts the training examples as well.",
        ),
        "accuracy_on_concepts": Mistake(
            partial(_fitted, share=lambda hits, sides: float(hits[sides == 1].mean())),
            "the vector is right. Your accuracy is that on the concept's examples alone; both sides count.",
        ),
        "error_rate": Mistake(
            partial(_fitted, share=lambda hits, sides: 1 - float(hits.mean())),
            "the vector is right. You return the share of errors; the accuracy is 1 less that.",
        ),
        "count": Mistake(
            partial(_fitted, share=lambda hits, sides: float(hits.sum())),
            "the vector is right. You return how many are right; divide by how many there are.",
        ),
        "no_threshold": Mistake(
            _no_threshold,
            "the vector is right. An example counts as the concept if it lies beyond the classifier's plane: its "
            "intercept belongs to that.",
        ),
        "without_intercept": Mistake(
            partial(_fitted, model=lambda: LogisticRegression(max_iter=1000, fit_intercept=False)),
            "your classifier has no intercept: its plane must go through 0.",
        ),
        "without_penalty": Mistake(
            partial(_fitted, model=lambda: LogisticRegression(max_iter=10000, C=1e6)),
            "your classifier has next to no penalty. Leave C at scikit-learn's 1.",
        ),
        "support_vectors": Mistake(
            partial(_fitted, model=lambda: LinearSVC(random_state=0)),
            "this is a linear support vector machine. Logistic regression is asked for.",
        ),
        "fitted_to_all": Mistake(
            lambda concept, random, concept_test, random_test: _fitted(
                torch.cat([concept, concept_test]), torch.cat([random, random_test]), concept_test, random_test
            ),
            "your classifier has seen the held-out examples: then its accuracy on them says little.",
        ),
    },
    properties=[
        Property(
            "the vector has the length 1.", lambda arguments, value: abs(float(value[0].double().norm()) - 1) < 1e-3
        ),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# directional_derivatives
# ---------------------------------------------------------------------------------------------------------------------


def directional_derivatives(model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor) -> Tensor:
    """Return S of each image, (N,)."""
    return tcav.directional_derivatives(model, layer, inputs, target, vector)


def _derived(
    model: nn.Module,
    layer: str,
    inputs: Tensor,
    target: Tensor,
    vector: Tensor,
    score: Callable[[Tensor, Tensor], Tensor] = lambda y, target: y.gather(1, target[:, None])[:, 0],
    product: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda gradient, activation, v: gradient @ v,
    finish: Callable[[Tensor], Tensor] = lambda s: s,
) -> Tensor:
    """Derive by a hook, with the pieces open: of which score, and multiplied with what."""
    with torch.enable_grad(), layer_output(layer, model.get_submodule(layer)) as outputs:
        values = score(model(inputs.detach().clone().requires_grad_()), target)
    gradient = torch.autograd.grad(values.sum(), outputs[0])[0].flatten(1)
    return finish(product(gradient, outputs[0].detach().flatten(1), vector.flatten()))


def _in_steps(
    model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor, step: float, both: bool = False
) -> Tensor:
    """A finite difference along the vector."""
    module = model.get_submodule(layer)
    activation = activation_of(model, inputs, layer)

    def at(replacement: Tensor) -> Tensor:
        with torch.no_grad(), layer_output(layer, module, replacement):
            return model(inputs.clone()).gather(1, target[:, None])[:, 0]

    ahead, behind = at(activation + step * vector), at(activation - step * vector if both else activation)
    return (ahead - behind) / (2 * step if both else step)


def _derivative_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(2)

    def case(
        source: torch.Generator,
        kind: str,
        layer: str,
        n: int,
        note: str,
        length: float = 1.0,
        training: bool = False,
    ) -> Case:
        network = Network(kind, draw_integer(source, 0, 2**31), (3, 8, 8), training=training)
        inputs = torch.rand(n, 3, 8, 8, generator=source)
        shape = activation_of(network.build(), inputs, layer).shape[1:]
        vector = torch.randn(*shape, generator=source)
        arguments = {
            "model": network,
            "layer": layer,
            "inputs": inputs,
            "target": torch.randint(5, (n,), generator=source),
            "vector": length * vector / vector.norm(),
        }
        return Case(arguments, note)

    yield case(fixed, "conv", "0", 3, "the first convolution, three images")
    yield case(fixed, "conv", "3", 1, "a later layer, a single image")
    yield case(fixed, "inplace", "0", 4, "a network with ReLUs in place")
    yield case(fixed, "conv_cubed_squares", "0", 3, "a network without ReLUs")
    yield case(fixed, "conv", "0", 3, "a vector of another length", length=2.5)
    yield case(fixed, "conv", "3", 2, "a network in train mode", training=True)
    yield case(fixed, "blocks", "1.0", 3, "a layer inside of another one")
    yield case(generator, "gap", "0", 5, "another network, five images")
    yield case(generator, "conv", "3", 4, "a later layer, four images")


DIRECTIONAL_DERIVATIVES = Exercise(
    name="directional_derivatives",
    reference=directional_derivatives,
    cases=_derivative_cases,
    mistakes={
        "vector_normalized": Mistake(
            partial(_derived, product=lambda gradient, activation, v: gradient @ (v / v.norm())),
            "you made the vector one long. Take it as it is given.",
        ),
        "log_softmax": Mistake(
            partial(_derived, score=lambda y, target: y.log_softmax(1).gather(1, target[:, None])[:, 0]),
            "you derived the logarithm of the probability. Derive the score, before the softmax.",
        ),
        "mean_over_the_features": Mistake(
            partial(_derived, product=lambda gradient, activation, v: gradient @ v / len(v)),
            "you took the mean over the numbers of the layer. The product is their sum.",
        ),
        "positive_gradient": Mistake(
            partial(_derived, product=lambda gradient, activation, v: gradient.clamp(min=0) @ v),
            "you cut off the negative part of the gradient.",
        ),
        "every_target": Mistake(
            partial(_derived, score=lambda y, target: y[:, target].sum(1)),
            "`scores[:, target]` picks the targets of ALL images for each image. Each image has one target.",
        ),
        "activation_for_gradient": Mistake(
            partial(_derived, product=lambda gradient, activation, v: activation @ v),
            "you multiplied the activation with v. How much of the concept is there is another question; asked for is "
            "what more of it would do to the score: its gradient times v.",
        ),
        "gradient_x_activation": Mistake(
            partial(_derived, product=lambda gradient, activation, v: (gradient * activation) @ v),
            "you multiplied the gradient with the activation as well.",
        ),
        "cosine": Mistake(
            partial(
                _derived,
                product=lambda gradient, activation, v: torch.cosine_similarity(gradient, v[None], dim=1),
            ),
            "you made the gradient one long, too. Only v has the length 1: the size of the gradient counts.",
        ),
        "probability": Mistake(
            partial(_derived, score=lambda y, target: y.softmax(1).gather(1, target[:, None])[:, 0]),
            "you derived the probability. Derive the score, before the softmax.",
        ),
        "all_scores": Mistake(
            partial(_derived, score=lambda y, target: y.sum(1)),
            "you derived the sum of all scores. Derive that of the target.",
        ),
        "highest_score": Mistake(
            partial(_derived, score=lambda y, target: y.amax(1)),
            "you derived the highest score, of whatever class. Derive that of the target.",
        ),
        "first_target": Mistake(
            partial(_derived, score=lambda y, target: y[:, target[0]]),
            "you took the first image's target for all images.",
        ),
        "size": Mistake(partial(_derived, finish=lambda s: s.abs()), "you lost the sign of the derivatives."),
        "sign_alone": Mistake(partial(_derived, finish=lambda s: s.sign()), "you return the signs alone."),
        "reversed": Mistake(partial(_derived, finish=lambda s: -s), "your derivatives have the opposite sign."),
        "mean_over_the_batch": Mistake(
            partial(_derived, finish=lambda s: s / len(s)),
            "your derivatives are too small by the number of images: you derived the mean of the scores. Derive their "
            "sum; each image's gradient is its own.",
        ),
        "mean_gradient": Mistake(
            partial(_derived, finish=lambda s: s.mean().expand_as(s)),
            "you averaged over the images. Each image has a derivative of its own.",
        ),
        "long_step": Mistake(
            partial(_in_steps, step=1.0),
            "you went a whole step along v and took the difference. The derivative is the slope at the activation "
            "itself.",
        ),
        "shorter_step": Mistake(
            partial(_in_steps, step=0.1),
            "you took the difference over a step that is too long. The derivative is the slope at the activation "
            "itself.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# tcav_score
# ---------------------------------------------------------------------------------------------------------------------


def tcav_score(derivatives: Tensor) -> Tensor:
    """Return the share of positive derivatives of each direction, (R,)."""
    return tcav.tcav_score(derivatives)


def _score_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(3)
    yield Case({"derivatives": 0.3 + torch.randn(3, 8, generator=fixed)}, "three directions, eight images")
    with_zeros = torch.randn(2, 10, generator=fixed)
    with_zeros = with_zeros * (torch.rand(2, 10, generator=fixed) < 0.6)
    yield Case({"derivatives": with_zeros}, "derivatives of which some are 0")
    yield Case({"derivatives": torch.randn(1, 5, generator=fixed) - 0.5}, "a single direction")
    yield Case({"derivatives": torch.randn(2, 6, generator=fixed).double()}, "double precision")
    yield Case({"derivatives": torch.randn(4, 15, generator=generator) - 0.2}, "four directions, fifteen images")
    yield Case({"derivatives": torch.randn(7, 4, generator=generator)}, "more directions than images")


TCAV_SCORE = Exercise(
    name="tcav_score",
    reference=tcav_score,
    cases=_score_cases,
    mistakes={
        "zeros_count": Mistake(
            lambda derivatives: (derivatives >= 0).to(derivatives).mean(1),
            "you count derivatives that are 0. More of the concept does not raise their score.",
        ),
        "mean": Mistake(
            lambda derivatives: derivatives.mean(1), "you averaged the derivatives. Count the positive ones."
        ),
        "of_those_that_are_not_zero": Mistake(
            lambda derivatives: (derivatives > 0).to(derivatives).sum(1) / (derivatives != 0).sum(1),
            "you left images whose derivative is 0 out of the count. They belong to the images of the class.",
        ),
        "single_precision": Mistake(
            lambda derivatives: (derivatives > 0).float().mean(1),
            "your answer is float32 always. It has the dtype of `derivatives`.",
        ),
        "count": Mistake(
            lambda derivatives: (derivatives > 0).to(derivatives).sum(1),
            "you return how many are positive, not which share.",
        ),
        "negative": Mistake(
            lambda derivatives: (derivatives < 0).to(derivatives).mean(1), "you count the negative ones."
        ),
        "signs": Mistake(
            lambda derivatives: derivatives.sign().mean(1),
            "you averaged the signs: a number from -1 to 1. The share of positive ones is from 0 to 1.",
        ),
        "over_directions": Mistake(
            lambda derivatives: (derivatives > 0).to(derivatives).mean(0),
            "you counted over the directions. Each direction has a score: count over the images.",
        ),
        "all_together": Mistake(
            lambda derivatives: (derivatives > 0).to(derivatives).mean().expand(len(derivatives)).clone(),
            "you counted over all directions at once.",
        ),
        "share_of_the_sum": Mistake(
            lambda derivatives: derivatives.clamp(min=0).sum(1) / derivatives.abs().sum(1),
            "you weighted each image by the size of its derivative. Each image counts the same.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# tcav_test
# ---------------------------------------------------------------------------------------------------------------------


def tcav_test(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    """Return the corrected p-value of Welch's two-sided t-test, at most 1."""
    return tcav.p_value(scores, random_scores, n_tests)


def _tested(
    scores: Tensor,
    random_scores: Tensor,
    n_tests: int = 1,
    test: Callable[[np.ndarray, np.ndarray], float] = lambda a, b: stats.ttest_ind(a, b, equal_var=False).pvalue,
    correct: Callable[[float, int], float] = lambda p, n_tests: min(1.0, p * n_tests),
) -> float:
    return float(correct(test(scores.double().numpy(), random_scores.double().numpy()), n_tests))


def _population(a: np.ndarray, b: np.ndarray) -> float:
    """Welch's test with the standard deviations of a population."""
    return stats.ttest_ind_from_stats(a.mean(), a.std(), len(a), b.mean(), b.std(), len(b), equal_var=False).pvalue


def _normal(a: np.ndarray, b: np.ndarray) -> float:
    z = (a.mean() - b.mean()) / math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return 2 * stats.norm.sf(abs(z))


def _test_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(4)

    def case(source: torch.Generator, sizes: tuple[int, int], shift: float, n_tests: int | None, note: str) -> Case:
        scores = 0.5 + shift + 0.05 * torch.randn(sizes[0], generator=source)
        random_scores = 0.5 + 0.2 * torch.randn(sizes[1], generator=source)
        arguments = {"scores": scores, "random_scores": random_scores}
        return Case(arguments if n_tests is None else {**arguments, "n_tests": n_tests}, note, tolerance=1e-3)

    yield case(fixed, (8, 6), 0.15, 3, "eight scores against six")
    yield case(fixed, (8, 6), 0.2, None, "a single test")
    yield case(fixed, (5, 5), 0.02, 40, "many tests and hardly a difference")
    yield case(fixed, (10, 12), -0.25, 10, "scores below those of random concepts")
    yield case(generator, (7, 9), 0.2, 4, "seven scores against nine")
    yield case(generator, (6, 11), -0.2, 6, "six scores against eleven")


TCAV_TEST = Exercise(
    name="tcav_test",
    reference=tcav_test,
    cases=_test_cases,
    mistakes={
        "equal_variances": Mistake(
            partial(_tested, test=lambda a, b: stats.ttest_ind(a, b).pvalue),
            "your test assumes that both sides scatter alike. The scores of random concepts scatter far more: "
            "Welch's test allows that.",
        ),
        "not_corrected": Mistake(
            partial(_tested, correct=lambda p, n_tests: p), "you did not correct for the number of tests."
        ),
        "not_cut_off": Mistake(
            partial(_tested, correct=lambda p, n_tests: p * n_tests),
            "a p-value is a probability: cut it off at 1 after the correction.",
        ),
        "divided": Mistake(
            partial(_tested, correct=lambda p, n_tests: p / n_tests),
            "you divided by the number of tests. Bonferroni divides the LEVEL by it, or multiplies the p-value.",
        ),
        "sidak": Mistake(
            partial(_tested, correct=lambda p, n_tests: 1 - (1 - p) ** n_tests),
            "this is Sidak's correction. Bonferroni's is the p-value times the number of tests.",
        ),
        "one_sided": Mistake(
            partial(
                _tested,
                test=lambda a, b: stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue,
            ),
            "your test asks only whether the scores are larger. They may be smaller as well: two sides.",
        ),
        "half": Mistake(
            partial(_tested, test=lambda a, b: stats.ttest_ind(a, b, equal_var=False).pvalue / 2),
            "you halved the p-value: that is the one-sided one.",
        ),
        "against_one_half": Mistake(
            partial(_tested, test=lambda a, b: stats.ttest_1samp(a, 0.5).pvalue),
            "you compared with 0.5. Compare with what random concepts get.",
        ),
        "against_the_mean": Mistake(
            partial(_tested, test=lambda a, b: stats.ttest_1samp(a, b.mean()).pvalue),
            "you compared with the mean of the random scores as if it were known exactly. It scatters, too.",
        ),
        "normal": Mistake(
            partial(_tested, test=_normal),
            "you used the normal distribution. With so few scores the standard deviations are uncertain themselves: "
            "that is what the t-distribution is for.",
        ),
        "population": Mistake(
            partial(_tested, test=_population),
            "your standard deviations divide by n. Those of a sample divide by n - 1.",
        ),
        "statistic": Mistake(
            partial(
                _tested,
                test=lambda a, b: stats.ttest_ind(a, b, equal_var=False).statistic,
                correct=lambda p, n_tests: p,
            ),
            "this is the statistic t. The p-value is asked for.",
        ),
        "ranks": Mistake(
            partial(_tested, test=lambda a, b: stats.mannwhitneyu(a, b).pvalue),
            "this is a test of ranks (Mann-Whitney). Welch's t-test is asked for.",
        ),
    },
    properties=[
        Property("a p-value is between 0 and 1.", lambda arguments, value: -1e-9 <= float(value) <= 1 + 1e-9),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# By hand: how many false alarms?
# ---------------------------------------------------------------------------------------------------------------------

AT_LEAST_ONE = 1 - 0.95**40
FALSE_ALARMS = ValueExercise(
    name="false_alarms",
    expected=(2.0, AT_LEAST_ONE, 0.00125),
    mistakes={
        "probability_forgotten": Mistake((2.0, 1.0, 0.00125), "at least one is likely, and not certain."),
        "sum_of_probabilities": Mistake(
            (2.0, 2.0, 0.00125), "probabilities of 40 events cannot be added up to 2: go by the chance that NONE fires."
        ),
        "none": Mistake(
            (2.0, 0.95**40, 0.00125), "this is the chance that none fires; that of at least one is 1 less it."
        ),
        "exactly_one": Mistake(
            (2.0, 40 * 0.05 * 0.95**39, 0.00125), "this is the chance of exactly one. At least one was asked for."
        ),
        "level_not_divided": Mistake(
            (2.0, AT_LEAST_ONE, 0.05),
            "0.05 is the level of a single test. Bonferroni divides it by the number of tests.",
        ),
        "level_multiplied": Mistake(
            (2.0, AT_LEAST_ONE, 2.0), "the LEVEL is divided by the number of tests (or the p-value is multiplied)."
        ),
        "level_by_expected": Mistake(
            (2.0, AT_LEAST_ONE, 0.025), "divide by the number of tests, not by the number of expected alarms."
        ),
        "sidak": Mistake(
            (2.0, AT_LEAST_ONE, 1 - 0.95 ** (1 / 40)),
            "this is Sidak's level, which is exact for independent tests. Bonferroni's is simpler: 0.05 divided.",
        ),
        "without_the_causes": Mistake(
            (2.0, AT_LEAST_ONE, 0.05 / 36), "divide by the number of all tests, 40: none of them is known to be true."
        ),
        "of_one_hundred": Mistake((5.0, 1 - 0.95**100, 0.0005), "that is for 100 tests; here there are 40."),
    },
    tolerance=1e-5,
)

# ---------------------------------------------------------------------------------------------------------------------
# A choice: what are the negatives?
# ---------------------------------------------------------------------------------------------------------------------

NEGATIVES = ValueExercise(
    name="negatives",
    expected="other textures",
    choices=("other textures", "all kinds", "clouds", "noise", "once more"),
    mistakes={
        "any_scenes": Mistake(
            "all kinds",
            "the two sides differ in more than stripes: one has an object before a background, the other has none. The "
            "direction will say 'no object' as much as 'stripes'.",
        ),
        "clouds": Mistake("clouds", "then the easiest difference is that there is an object at all."),
        "noise": Mistake("noise", "then everything differs, and the direction says 'a picture' as much as 'stripes'."),
        "the_same": Mistake(
            "once more", "then the two sides do not differ in anything: there is no direction to find."
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# texture_effect
# ---------------------------------------------------------------------------------------------------------------------


def texture_effect(model: nn.Module, scenes: Tensor, target: int) -> Tensor:
    """Return how much higher the score is with each texture than with the others, (T,)."""
    return tcav.texture_effect(model, scenes, target)


def _moved(
    model: nn.Module,
    scenes: Tensor,
    target: int,
    score: Callable[[Tensor, int], Tensor] = lambda y, target: y[:, target],
    centre: Callable[[Tensor], Tensor] = lambda values: values.mean(1),
    against: Callable[[Tensor], Tensor] = lambda means: (means.sum() - means) / (len(means) - 1),
    finish: Callable[[Tensor], Tensor] = lambda effect: effect,
) -> Tensor:
    """Compare the textures, with the pieces open: which score, which mean, against what."""
    with torch.no_grad():
        values = torch.stack([score(model(images), target) for images in scenes])
    means = centre(values)
    return finish(means - against(means))


def _effect_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(5)

    def case(source: torch.Generator, kind: str, n_textures: int, n: int, target: int, note: str) -> Case:
        scenes = torch.rand(n_textures, n, 3, 8, 8, generator=source)
        scenes = scenes * torch.rand(n_textures, 1, 3, 1, 1, generator=source)
        network = Network(kind, draw_integer(source, 0, 2**31), (3, 8, 8))
        return Case({"model": network, "scenes": scenes, "target": target}, note)

    yield case(fixed, "conv", 4, 6, 2, "four textures, six scenes")
    yield case(fixed, "gap", 2, 3, 0, "two textures, three scenes")
    yield case(generator, "inplace", 3, 5, 4, "three textures, five scenes")
    yield case(generator, "conv", 4, 7, 1, "four textures, seven scenes")


TEXTURE_EFFECT = Exercise(
    name="texture_effect",
    reference=texture_effect,
    cases=_effect_cases,
    mistakes={
        "against_all": Mistake(
            partial(_moved, against=lambda means: means.mean()),
            "you compared each texture with the mean over all textures, itself included. Compare it with the others.",
        ),
        "against_the_first": Mistake(
            partial(_moved, against=lambda means: means[0]),
            "you compared with the first texture. Compare with the mean of all others.",
        ),
        "against_the_best": Mistake(
            partial(_moved, against=lambda means: means.max()),
            "you compared with the highest one. Compare with the mean of all others.",
        ),
        "not_compared": Mistake(
            partial(_moved, against=lambda means: torch.zeros_like(means)),
            "these are the mean scores. How much higher are they than those with the other textures?",
        ),
        "sum_of_the_others": Mistake(
            partial(_moved, against=lambda means: means.sum() - means),
            "you took the sum of the others. Their mean is asked for.",
        ),
        "probability": Mistake(
            partial(_moved, score=lambda y, target: y.softmax(1)[:, target]),
            "you compared probabilities. Compare the scores, before the softmax.",
        ),
        "share_recognised": Mistake(
            partial(_moved, score=lambda y, target: (y.argmax(1) == target).float()),
            "you compared how often the class is named. Compare the scores.",
        ),
        "median": Mistake(
            partial(_moved, centre=lambda values: values.median(1).values),
            "you took medians over the scenes. Means are asked for.",
        ),
        "first_scene": Mistake(
            partial(_moved, centre=lambda values: values[:, 0]), "you looked at the first scene alone."
        ),
        "reversed": Mistake(
            partial(_moved, finish=lambda effect: -effect), "your effects have the opposite sign: with less without."
        ),
        "size": Mistake(
            partial(_moved, finish=lambda effect: effect.abs()), "you lost the sign: a texture can lower the score."
        ),
        "all_classes": Mistake(
            partial(_moved, score=lambda y, target: y.sum(1)),
            "you added up all classes. Only the target's score counts.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# A choice: what causes what?
# ---------------------------------------------------------------------------------------------------------------------

CELLS = (
    "plain -> horse",
    "stripes -> zebra",
    "dots -> leopard",
    "checks -> giraffe",
    "stripes -> cup",
    "dots -> star",
    "checks -> ring",
    "dots -> zebra",
)
CAUSES = ValueExercise(
    name="causes",
    expected=frozenset(CELLS[:4]),
    choices=CELLS,
    mistakes={
        "all_that_is_significant": Mistake(
            frozenset((*CELLS[:4], *CELLS[4:7])),
            "you accuse too many: the effect on shapes is small, whatever the test says. Look at the effects.",
        ),
        "everything": Mistake(frozenset(CELLS), "not all of them: look at the effects, and at their signs."),
        "shapes": Mistake(
            frozenset(CELLS[4:7]),
            "the classes that differ in shape alone hardly care for the texture: look at the effects.",
        ),
        "sign": Mistake(
            frozenset((*CELLS[:4], CELLS[7])), "dots lower the score of zebra: an effect, with the other sign."
        ),
    },
)

EXERCISES = [
    SCORE_BY_HAND,
    CONCEPT_ACTIVATION_VECTOR,
    DIRECTIONAL_DERIVATIVES,
    TCAV_SCORE,
    TCAV_TEST,
    FALSE_ALARMS,
    NEGATIVES,
    TEXTURE_EFFECT,
    CAUSES,
]
