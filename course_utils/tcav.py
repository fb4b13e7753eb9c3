"""TCAV: does a network use a concept that a person can name, such as stripes, when it says zebra?

A concept is given by examples. A linear classifier that tells their activations in a layer from those of other images
has a normal vector, the concept activation vector (CAV): the direction in the layer that means "more of the concept".
The directional derivative of a class score along it says whether more of the concept would raise the score of one
image, and the TCAV score is the share of a class's images for which it does.

A direction can be found for anything, also for a set of random images: so the score is compared with those of random
concepts (`tcav_test`).

Source: Kim et al. 2018, "Interpretability beyond feature attribution: quantitative testing with concept activation
vectors (TCAV)".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.checking import (
    check_call,
    check_count,
    check_dtype,
    check_finite,
    check_index,
    check_inputs,
    check_model,
    check_probability,
    random_source,
)
from course_utils.passes import Layer, activation_and_gradient, activation_of, in_steps

# ---------------------------------------------------------------------------------------------------------------
# Concept activation vectors
# ---------------------------------------------------------------------------------------------------------------

CLASSIFIERS = ("logistic", "svm", "means")


@dataclass(frozen=True)
class Cav:
    """A concept activation vector.

    Attributes:
        vector: of length 1, the shape of one image's activation; it points towards the concept.
        accuracy: of the linear classifier on the activations that were held out, each side counting for one half;
            0.5 is guessing.
    """

    vector: Tensor
    accuracy: float


def layer_activations(model: nn.Module, layer: Layer, inputs: Tensor, batch_size: int = 64) -> Tensor:
    """Return the activations of a layer, image by image, in batches.

    Args:
        model: any network; it is only called.
        layer: name of the layer, or the module.
        inputs: images (N, C, H, W).
        batch_size: images in one pass; the answer does not depend on it.

    Returns:
        (N, ...), the shape of the layer's output.

    Raises:
        TypeError, ValueError: a bad argument or a layer that does not exist, by name.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    parts = inputs.split(check_count(batch_size, "batch_size"))
    return torch.cat([activation_of(model, part, layer) for part in parts])


def concept_activation_vector(
    concept: Tensor,
    random: Tensor,
    classifier: str = "logistic",
    test_share: float = 0.25,
    generator: torch.Generator | None = None,
) -> Cav:
    """Return the direction in a layer in which a linear classifier finds the concept.

    The classifier sees the activations divided by their overall spread, one number for all, so that its penalty means
    the same in each layer; both sides weigh the same, however many examples they have.

    Args:
        concept: activations of the concept's examples, (N, ...).
        random: activations of the images that they are told from, (M, ...): random ones, or, for a relative CAV, the
            examples of other concepts.
        classifier: "logistic" (logistic regression) or "svm" (linear support vector machine), both scikit-learn's with
            C = 1, or "means" (the difference of the two means).
        test_share: share of each side that is held out, to measure the accuracy; at least one example of each.
        generator: decides which are held out; without one, a copy of torch's default generator.

    Returns:
        vector (of the shape of one activation, length 1) and accuracy.

    Raises:
        TypeError, ValueError: a bad argument, by name; two sides that no direction tells apart.

    Source: Kim et al. 2018, section 3.2; section 3.6 (relative CAVs).
    """
    if classifier not in CLASSIFIERS:
        raise ValueError(f"classifier must be one of {', '.join(map(repr, CLASSIFIERS))}, got {classifier!r}")
    sides = [_examples(values, name) for values, name in ((concept, "concept"), (random, "random"))]
    if concept.shape[1:] != random.shape[1:]:
        raise ValueError(
            f"concept and random must be activations of the same layer, got shapes {tuple(concept.shape)} and "
            f"{tuple(random.shape)}"
        )
    if not 0 < check_probability(test_share, "test_share") < 1:
        raise ValueError(f"test_share must be more than 0 and less than 1, got {test_share}")
    generator = random_source(generator)
    known, held_out = [], []
    for side in sides:
        order = torch.randperm(len(side), generator=generator, device=generator.device).cpu()
        n_test = min(max(1, round(test_share * len(side))), len(side) - 1)
        held_out.append(side[order[:n_test]])
        known.append(side[order[n_test:]])
    vector, threshold = _linear_classifier(*known, classifier)
    hits = [(held_out[0] @ vector > threshold).double(), (held_out[1] @ vector <= threshold).double()]
    accuracy = float(sum(side.mean() for side in hits) / 2)
    return Cav(vector.view(concept.shape[1:]).to(concept), accuracy)


def _examples(values: Tensor, name: str) -> Tensor:
    """Return activations (N, ...) of at least two examples as float64 (N, features) on the CPU."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor of activations (N, ...), got {type(values).__name__}")
    if values.dim() < 2 or len(values) < 2 or not values[0].numel():
        raise ValueError(
            f"{name} must be activations (N, ...) of at least two examples, got shape {tuple(values.shape)}"
        )
    check_finite(values, name)
    return values.detach().flatten(1).double().cpu()


def _linear_classifier(concept: Tensor, random: Tensor, classifier: str) -> tuple[Tensor, Tensor]:
    """Return the unit vector v and the threshold t of "v.a > t is the concept"."""
    both = torch.cat([concept, random])
    spread = (both - both.mean(0)).square().mean().sqrt()
    if spread == 0:
        raise ValueError("concept and random have the same activation everywhere: no direction tells them apart")
    if classifier == "means":
        normal = concept.mean(0) - random.mean(0)
        threshold = normal @ (concept.mean(0) + random.mean(0)) / 2
    else:
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        linear = (
            LogisticRegression(max_iter=1000, class_weight="balanced")
            if classifier == "logistic"
            else LinearSVC(class_weight="balanced", random_state=0)
        )
        sides = torch.cat([torch.ones(len(concept)), torch.zeros(len(random))])
        linear.fit((both / spread).numpy(), sides.numpy())
        normal = torch.as_tensor(linear.coef_[0]) / spread
        threshold = -torch.as_tensor(linear.intercept_[0])
    length = normal.norm()
    if length == 0:
        raise ValueError("concept and random have the same mean activation: no direction tells them apart")
    return normal / length, threshold / length


# ---------------------------------------------------------------------------------------------------------------
# What the class score does along a direction
# ---------------------------------------------------------------------------------------------------------------


def directional_derivatives(
    model: nn.Module, layer: Layer, inputs: Tensor, target: int | Tensor, vector: Tensor
) -> Tensor:
    """Return S = dy/dA . v of each image: how fast the class score grows when its activation moves along v.

    The gradients are computed once, however many vectors there are.

    Args:
        model: returns class scores (N, K).
        layer: name of the layer, or the module.
        inputs: images (N, C, H, W).
        target: class index, an int or a LongTensor (N,).
        vector: v, the shape of one image's activation, or several of them, (R, ...).

    Returns:
        (N,), or (R, N) for several vectors, in units of score per unit of activation.

    Raises:
        TypeError, ValueError: a bad argument or a layer that does not exist, by name.

    Source: Kim et al. 2018, equation 1.
    """
    target = check_call(model, inputs, target)
    _, gradients = activation_and_gradient(model, inputs, target, layer)
    if not isinstance(vector, Tensor):
        raise TypeError(f"vector must be a tensor {tuple(gradients.shape[1:])}, got {type(vector).__name__}")
    shape = gradients.shape[1:]
    if vector.shape != shape and vector.shape[1:] != shape:
        raise ValueError(
            f"vector must have the shape of one activation of the layer, {tuple(shape)}, or be several of them, got "
            f"{tuple(vector.shape)}"
        )
    check_finite(vector, "vector")
    derivatives = vector.detach().to(gradients).reshape(-1, shape.numel()) @ gradients.flatten(1).T
    return derivatives[0] if vector.shape == shape else derivatives


STATISTICS = ("sign", "mean")


def tcav_score(derivatives: Tensor, statistic: str = "sign") -> Tensor:
    """Summarize the directional derivatives of a class's images in one number.

    Args:
        derivatives: S of N images, (..., N); more dimensions are more directions.
        statistic: "sign": the share of the images with S > 0, the TCAV score of the paper (captum's "sign_count").
            "mean": the mean of S, in units of score per unit of activation (captum's "magnitude").

    Returns:
        (...), from 0 to 1 for "sign".

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Kim et al. 2018, equation 2.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(map(repr, STATISTICS))}, got {statistic!r}")
    if not isinstance(derivatives, Tensor):
        raise TypeError(f"derivatives must be a tensor (..., N), got {type(derivatives).__name__}")
    if derivatives.dim() < 1 or not derivatives.shape[-1] or not derivatives.is_floating_point():
        raise ValueError(
            f"derivatives must be real numbers (..., N) of at least one image, got {derivatives.dtype} and shape "
            f"{tuple(derivatives.shape)}"
        )
    check_finite(derivatives, "derivatives")
    return (derivatives > 0).to(derivatives).mean(-1) if statistic == "sign" else derivatives.mean(-1)


# ---------------------------------------------------------------------------------------------------------------
# Is it more than chance?
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConceptVectors:
    """CAVs of one concept against several random sets, and CAVs of random concepts to compare them with.

    Attributes:
        vectors: of the concept against each of the R random sets, (R, ...).
        random_vectors: of each random set against the next one, (R, ...): concepts that mean nothing.
        accuracies: of the concept's classifiers on held-out examples, (R,).
    """

    vectors: Tensor
    random_vectors: Tensor
    accuracies: Tensor


def concept_vectors(
    model: nn.Module,
    layer: Layer,
    concept: Tensor,
    randoms: Sequence[Tensor],
    classifier: str = "logistic",
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> ConceptVectors:
    """Return the CAVs that `tcav_test` needs; they belong to a layer, and serve for all classes.

    Args:
        model: any network; it is only called.
        layer: name of the layer, or the module.
        concept: images that show the concept, (M, C, H, W).
        randoms: R >= 3 sets of images, each (M', C, H, W); for a relative CAV they show other concepts.
        classifier: as in `concept_activation_vector`.
        batch_size: images in one pass; the answer does not depend on it.
        generator: decides which examples are held out; without one, a copy of torch's default generator.
        progress: show a progress bar.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Kim et al. 2018, section 3.5.
    """
    if not isinstance(randoms, Iterable):
        raise TypeError(f"randoms must be a sequence of sets of images, got {type(randoms).__name__}")
    if len(randoms) < 3:
        raise ValueError(f"randoms must be at least 3 sets of images, got {len(randoms)}: fewer show no spread")
    generator = random_source(generator)
    sides = [layer_activations(model, layer, images, batch_size) for images in (concept, *randoms)]
    pairs = [(sides[0], other) for other in sides[1:]]
    pairs += [(sides[k], sides[k % len(randoms) + 1]) for k in range(1, len(sides))]
    cavs = [
        concept_activation_vector(*pairs[step[0]], classifier, generator=generator)
        for step in in_steps(len(pairs), 1, progress, "CAVs")
    ]
    vectors = torch.stack([cav.vector for cav in cavs])
    accuracies = torch.tensor([cav.accuracy for cav in cavs[: len(randoms)]])
    return ConceptVectors(vectors[: len(randoms)], vectors[len(randoms) :], accuracies)


@dataclass(frozen=True)
class TcavTest:
    """Scores of a class for a concept beside its scores for random concepts.

    Attributes:
        scores: along the concept's vectors, (R,).
        random_scores: along the random vectors, (R,).
        p_value: two-sided, of Welch's t-test for the two means, times the number of tests (Bonferroni), at most 1.
    """

    scores: Tensor
    random_scores: Tensor
    p_value: float

    @property
    def score(self) -> float:
        """The mean of the concept's scores."""
        return float(self.scores.mean())


def tcav_test(
    model: nn.Module,
    layer: Layer,
    inputs: Tensor,
    target: int,
    vectors: ConceptVectors,
    n_tests: int = 1,
    statistic: str = "sign",
    batch_size: int = 64,
) -> TcavTest:
    """Test whether a class responds to a concept otherwise than to random concepts.

    The gradients of the class are computed once, for all vectors.

    Args:
        model: returns class scores (N, K).
        layer: the layer of the vectors: its name, or the module.
        inputs: images of the class, (N, C, H, W).
        target: the class.
        vectors: of :func:`concept_vectors`.
        n_tests: how many tests are made in all (concepts x classes x layers): the p-value is multiplied by it.
        statistic: as in `tcav_score`.
        batch_size: images in one pass; the answer does not depend on it.

    Returns:
        a `TcavTest`. If neither side has any spread, the p-value is 1 if the two are equal, else 0.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Kim et al. 2018, section 3.5.
    """
    if not isinstance(vectors, ConceptVectors):
        raise TypeError(f"vectors must be those of concept_vectors, got {type(vectors).__name__}")
    target_of_each = check_call(model, inputs, target)
    count = check_count(batch_size, "batch_size")
    gradients = torch.cat(
        [
            activation_and_gradient(model, *batch, layer)[1]
            for batch in zip(inputs.split(count), target_of_each.split(count), strict=True)
        ]
    )
    scores = []
    for directions in (vectors.vectors, vectors.random_vectors):
        if directions.shape[1:] != gradients.shape[1:]:
            raise ValueError(
                f"vectors must be those of this layer, whose activations have the shape {tuple(gradients.shape[1:])}, "
                f"got {tuple(directions.shape[1:])}"
            )
        scores.append(tcav_score(directions.to(gradients).flatten(1) @ gradients.flatten(1).T, statistic))
    return TcavTest(*scores, p_value(*scores, n_tests))


def p_value(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    """Return the two-sided p-value of Welch's t-test for the means of two groups of scores, corrected by Bonferroni.

    Args:
        scores: (R,), R >= 2.
        random_scores: (R',), R' >= 2.
        n_tests: how many tests are made in all.

    Returns:
        the p-value times n_tests, at most 1. If neither group has any spread: 1 if the two are equal, else 0.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    from scipy.stats import ttest_ind_from_stats

    for values, name in ((scores, "scores"), (random_scores, "random_scores")):
        if not isinstance(values, Tensor):
            raise TypeError(f"{name} must be a tensor (R,), got {type(values).__name__}")
        if values.dim() != 1 or len(values) < 2:
            raise ValueError(f"{name} must be at least two scores (R,), got shape {tuple(values.shape)}")
        check_finite(values, name)
    check_count(n_tests, "n_tests")
    sides = [(float(side.double().mean()), float(side.double().std()), len(side)) for side in (scores, random_scores)]
    if sides[0][1] == sides[1][1] == 0:
        return float(sides[0][0] == sides[1][0])
    return min(1.0, n_tests * float(ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue))


# ---------------------------------------------------------------------------------------------------------------
# The truth
# ---------------------------------------------------------------------------------------------------------------


def texture_effect(model: nn.Module, scenes: Tensor, target: int) -> Tensor:
    """Return how much higher the class score is with each texture than with the others: what TCAV should find.

    Args:
        model: returns class scores (N, K).
        scenes: the same N scenes drawn with each of T >= 2 textures, (T, N, C, H, W), as by `zoo.sample`.
        target: the class.

    Returns:
        (T,), the mean score with the texture less the mean score with the others, in units of the score.

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """
    if not isinstance(scenes, Tensor):
        raise TypeError(f"scenes must be a tensor (T, N, C, H, W), got {type(scenes).__name__}")
    if scenes.dim() != 5 or len(scenes) < 2 or not scenes.shape[1]:
        raise ValueError(f"scenes must be those of at least two textures, (T, N, C, H, W), got {tuple(scenes.shape)}")
    check_dtype(check_model(model), check_inputs(scenes.flatten(0, 1), "scenes"))
    with torch.no_grad():
        scores = torch.stack([model(images.clone()) for images in scenes])
    check_index("target", target, scores.shape[2], "the model's classes")
    means = scores[:, :, target].mean(1)
    return means - (means.sum() - means) / (len(means) - 1)
