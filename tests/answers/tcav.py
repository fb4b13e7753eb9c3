"""Answers to the exercises of unit 11 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradientXActivation
from scipy import stats
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F

# ---- vectors


def vector_by_newton(
    concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor
) -> tuple[Tensor, float]:
    """Minimize scikit-learn's objective, sum of losses + |w|^2 / 2, by Newton's method."""
    x = torch.cat([concept, random]).flatten(1).double()
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    y = torch.cat([torch.ones(len(concept)), torch.zeros(len(random))]).double()
    penalty = torch.ones(x.shape[1]).double()
    penalty[-1] = 0
    w = torch.zeros_like(penalty)
    for _ in range(30):
        p = (x @ w).sigmoid()
        gradient = x.T @ (p - y) + penalty * w
        hessian = x.T @ ((p * (1 - p))[:, None] * x) + torch.diag(penalty)
        w = w - torch.linalg.solve(hessian, gradient)
    v, b = w[:-1], w[-1]
    hits = [
        (side.flatten(1).double() @ v + b > 0) == label for side, label in ((concept_test, True), (random_test, False))
    ]
    return (v / v.norm()).to(concept).view(concept.shape[1:]), torch.cat(hits).double().mean().item()


def vector_by_scipy(concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor) -> tuple[Tensor, float]:
    x = torch.cat([concept, random]).flatten(1).double().numpy()
    sign = np.repeat([1.0, -1.0], [len(concept), len(random)])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -sign / (1 + np.exp(margin))
        gradient = np.append(x.T @ slope + w[:-1], slope.sum())
        return float(np.logaddexp(0, -margin).sum() + w[:-1] @ w[:-1] / 2), gradient

    w = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, tol=1e-10).x
    held = torch.cat([concept_test, random_test]).flatten(1).double().numpy() @ w[:-1] + w[-1] > 0
    sides = np.repeat([True, False], [len(concept_test), len(random_test)])
    v = torch.as_tensor(w[:-1] / np.linalg.norm(w[:-1])).to(concept)
    return v.view(concept.shape[1:]), float((held == sides).mean())


def largest_component(
    concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor
) -> tuple[Tensor, float]:
    """The first principal component."""
    _, accuracy = vector_by_newton(concept, random, concept_test, random_test)
    both = torch.cat([concept, random]).flatten(1)
    v = torch.linalg.svd(both - both.mean(0), full_matrices=False).Vh[0]
    return v.view(concept.shape[1:]), accuracy


def flat_vector(concept: Tensor, random: Tensor, concept_test: Tensor, random_test: Tensor) -> tuple[Tensor, float]:
    vector, accuracy = vector_by_newton(concept, random, concept_test, random_test)
    return vector.reshape(1, -1), accuracy


# ---- derivatives


def derivatives_by_captum(model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor) -> Tensor:
    method = LayerGradientXActivation(model, model.get_submodule(layer), multiply_by_inputs=False)
    gradient = method.attribute(inputs.clone(), target).detach()
    return (gradient * vector).flatten(1).sum(1)


def derivatives_forward(model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor) -> Tensor:
    """The slope of the score as a function of one number: how far along the vector."""
    way = torch.zeros(len(inputs), requires_grad=True)

    def push(module: nn.Module, given: tuple, output: Tensor) -> Tensor:
        return output + way.view(-1, *[1] * vector.dim()) * vector

    handle = model.get_submodule(layer).register_forward_hook(push)
    try:
        with torch.enable_grad():
            scores = model(inputs.clone())
            chosen = (scores * F.one_hot(target, scores.shape[1])).sum()
    finally:
        handle.remove()
    return torch.autograd.grad(chosen, way)[0]


def hook_left(model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor) -> Tensor:
    model.get_submodule(layer).register_forward_hook(lambda module, given, output: None)
    return derivatives_forward(model, layer, inputs, target, vector)


def of_the_input(model: nn.Module, layer: str, inputs: Tensor, target: Tensor, vector: Tensor) -> Tensor:
    """The gradient by the pixels."""
    x = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        scores = model(x).gather(1, target[:, None]).sum()
    return torch.autograd.grad(scores, x)[0].flatten(1).sum(1)


# ---- scores and tests


def score_by_counting(derivatives: Tensor) -> Tensor:
    shares = [sum(1 for value in row if value > 0) / len(row) for row in derivatives.tolist()]
    return torch.tensor(shares, dtype=derivatives.dtype)


def score_by_relu(derivatives: Tensor) -> Tensor:
    return torch.relu(derivatives).sign().sum(1) / derivatives.shape[1]


def welch_by_hand(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    a, b = scores.double(), random_scores.double()
    u, v = a.var() / len(a), b.var() / len(b)
    t = (a.mean() - b.mean()) / (u + v).sqrt()
    freedom = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1))
    return min(1.0, n_tests * 2 * float(stats.t.sf(abs(float(t)), float(freedom))))


def welch_by_statistics(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    sides = [(float(x.double().mean()), float(x.double().std()), len(x)) for x in (scores, random_scores)]
    return min(1.0, n_tests * stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue)


def permutations(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    """A test by permuting the two groups."""
    rng, both = np.random.default_rng(0), np.concatenate([scores.numpy(), random_scores.numpy()])
    observed = abs(scores.mean() - random_scores.mean())
    hits = 0
    for _ in range(500):
        order = rng.permutation(both)
        hits += abs(order[: len(scores)].mean() - order[len(scores) :].mean()) >= observed
    return min(1.0, n_tests * (hits + 1) / 501)


def holm(scores: Tensor, random_scores: Tensor, n_tests: int = 1) -> float:
    return welch_by_hand(scores, random_scores, max(1, n_tests - 1))


# ---- effects


def effect_by_loop(model: nn.Module, scenes: Tensor, target: int) -> Tensor:
    means = []
    for images in scenes:
        with torch.no_grad():
            means.append(sum(model(x[None])[0, target] for x in images) / len(images))
    return torch.stack([m - sum(o for o in means if o is not m) / (len(means) - 1) for m in means])


def effect_in_a_batch(model: nn.Module, scenes: Tensor, target: int) -> Tensor:
    with torch.no_grad():
        means = model(scenes.flatten(0, 1)).view(*scenes.shape[:2], -1)[..., target].mean(1)
    n = len(means)
    return (means - means.mean()) * n / (n - 1)


def scene_by_scene(model: nn.Module, scenes: Tensor, target: int) -> Tensor:
    with torch.no_grad():
        scores = torch.stack([model(images)[:, target] for images in scenes])
    return scores - (scores.sum(0) - scores) / (len(scores) - 1)


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "concept_activation_vector": {"Newton": vector_by_newton, "scipy": vector_by_scipy},
    "directional_derivatives": {"captum": derivatives_by_captum, "forward": derivatives_forward},
    "tcav_score": {"counting": score_by_counting, "relu": score_by_relu},
    "tcav_test": {"by hand": welch_by_hand, "from statistics": welch_by_statistics},
    "texture_effect": {"loop": effect_by_loop, "a batch": effect_in_a_batch},
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("concept_activation_vector", "reversed"): lambda concept, random, concept_test, random_test: vector_by_newton(
        random, concept, random_test, concept_test
    ),
    ("concept_activation_vector", "error_rate"): lambda concept, random, concept_test, random_test: (
        lambda found: (found[0], 1 - found[1])
    )(vector_by_scipy(concept, random, concept_test, random_test)),
    ("concept_activation_vector", "accuracy_on_training"): lambda concept, random, concept_test, random_test: (
        vector_by_newton(concept, random, concept, random)
    ),
    ("directional_derivatives", "reversed"): lambda model, layer, inputs, target, vector: derivatives_forward(
        model, layer, inputs, target, -vector
    ),
    ("directional_derivatives", "first_target"): lambda model, layer, inputs, target, vector: derivatives_by_captum(
        model, layer, inputs, target[:1].expand_as(target), vector
    ),
    ("directional_derivatives", "size"): lambda model, layer, inputs, target, vector: derivatives_by_captum(
        model, layer, inputs, target, vector
    ).abs(),
    ("directional_derivatives", "mean_over_the_batch"): lambda model, layer, inputs, target, vector: (
        derivatives_forward(model, layer, inputs, target, vector) / len(inputs)
    ),
    ("tcav_score", "negative"): lambda derivatives: score_by_counting(-derivatives),
    ("tcav_score", "count"): lambda derivatives: score_by_relu(derivatives) * derivatives.shape[1],
    ("tcav_test", "not_corrected"): lambda scores, random_scores, n_tests=1: welch_by_hand(scores, random_scores),
    ("tcav_test", "half"): lambda scores, random_scores, n_tests=1: min(
        1.0, n_tests * welch_by_statistics(scores, random_scores) / 2
    ),
    ("texture_effect", "reversed"): lambda model, scenes, target: -effect_in_a_batch(model, scenes, target),
    ("texture_effect", "against_all"): lambda model, scenes, target: (
        effect_by_loop(model, scenes, target) * (len(scenes) - 1) / len(scenes)
    ),
}

REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "the largest component": ("concept_activation_vector", largest_component, "not"),
    "a flat vector": ("concept_activation_vector", flat_vector, "shape"),
    "the vector alone": (
        "concept_activation_vector",
        lambda concept, random, concept_test, random_test: vector_by_newton(concept, random, concept_test, random_test)[
            0
        ],
        "tuple",
    ),
    "a hook that stays": ("directional_derivatives", hook_left, "hook is still"),
    "the gradient by the pixels": ("directional_derivatives", of_the_input, "not"),
    "one number": (
        "directional_derivatives",
        lambda model, layer, inputs, target, vector: derivatives_forward(model, layer, inputs, target, vector).mean(),
        "shape",
    ),
    "whole numbers": ("tcav_score", lambda derivatives: (derivatives > 0).long().sum(1), "dtype"),
    "rounded": ("tcav_score", lambda derivatives: score_by_counting(derivatives).mul(4).round() / 4, "not"),
    "permutations": ("tcav_test", permutations, "not"),
    "one test less": ("tcav_test", holm, "not"),
    "not a number": ("tcav_test", lambda scores, random_scores, n_tests=1: math.nan, "nan"),
    "scene by scene": ("texture_effect", scene_by_scene, "shape"),
    "ranks": (
        "texture_effect",
        lambda model, scenes, target: effect_in_a_batch(model, scenes, target).argsort().argsort().float(),
        "not",
    ),
}
