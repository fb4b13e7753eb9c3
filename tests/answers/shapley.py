"""Answers to the exercises of unit 09 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum import attr
from torch import Tensor, nn

from course_utils import shapley

Game = Callable[[Tensor], Tensor]

# ---- exact values


def by_all_orders(value: Game, n_players: int) -> Tensor:
    shares = torch.zeros(n_players, dtype=torch.float64)
    for order in itertools.permutations(range(n_players)):
        room = torch.zeros(n_players + 1, n_players, dtype=torch.bool)
        for k, player in enumerate(order):
            room[k + 1 :, player] = True
        shares[list(order)] += value(room).double().diff()
    return (shares / math.factorial(n_players)).float()


def by_bits(value: Game, n_players: int) -> Tensor:
    numbers = torch.arange(2**n_players)
    rows = (numbers.unsqueeze(1) >> torch.arange(n_players) & 1).bool()
    won, sizes = value(rows), rows.sum(1)
    weight = torch.tensor([1 / (n_players * math.comb(n_players - 1, s)) for s in range(n_players)] + [0.0])
    shares = []
    for j in range(n_players):
        without = ~rows[:, j]
        shares.append((weight[sizes[without]] * (won[numbers[without] | 1 << j] - won[without])).sum())
    return torch.stack(shares)


def by_kernel(value: Game, n_players: int) -> Tensor:
    return shapley.kernel_shap(value, n_players, 2**n_players)


def by_sampling(value: Game, n_players: int) -> Tensor:
    """An estimate from 50 orders."""
    return shapley.permutation_shapley(value, n_players, 50, torch.Generator().manual_seed(0))


def first_half_of_the_orders(value: Game, n_players: int) -> Tensor:
    orders = list(itertools.permutations(range(n_players)))
    orders = torch.tensor(orders[: max(1, len(orders) // 2)])
    return shapley_of_orders(value, orders)[0]


def normalized_banzhaf(value: Game, n_players: int) -> Tensor:
    rows = torch.tensor(list(itertools.product([False, True], repeat=n_players)))
    shares = torch.stack(
        [(value(rows | (torch.arange(n_players) == j)) - value(rows & (torch.arange(n_players) != j))).mean()
         for j in range(n_players)]
    )  # fmt: skip
    ends = value(torch.tensor([[False], [True]]).expand(2, n_players))
    return shares * (ends[1] - ends[0]) / shares.sum()


# ---- from orders


def shapley_of_orders(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    gains = np.zeros(orders.shape)
    for p, order in enumerate(orders.tolist()):
        members: list[int] = []
        row = torch.zeros(1, len(order), dtype=torch.bool)
        before = value(row).item()
        for player in order:
            members.append(player)
            row[0, members] = True
            after = value(row).item()
            gains[p, player] = after - before
            before = after
    errors = gains.std(0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.zeros(orders.shape[1])
    return torch.tensor(gains.mean(0)).float(), torch.tensor(errors).float()


def of_orders_at_once(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    n_orders, n = orders.shape
    came = torch.nn.functional.one_hot(orders, n).cumsum(1).bool()  # (P, n, n), after each arrival
    room = torch.cat([torch.zeros(n_orders, 1, n, dtype=torch.bool), came], 1)
    gains = value(room.view(-1, n)).view(n_orders, n + 1).diff(dim=1)
    of_player = torch.zeros(n_orders, n).scatter_(1, orders, gains)
    return of_player.mean(0), (of_player.var(0) / n_orders).sqrt()


def both_ways(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    """Walk each order backwards, too."""
    return shapley_of_orders(value, torch.cat([orders, orders.flip(1)]))


def exact_in_place_of_orders(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    return by_bits(value, orders.shape[1]), shapley_of_orders(value, orders)[1]


def one_error_for_all(value: Game, orders: Tensor) -> tuple[Tensor, Tensor]:
    estimates, errors = shapley_of_orders(value, orders)
    return estimates, errors.mean().expand_as(errors).clone()


# ---- kernel


def weight_by_factorials(sizes: Tensor, n_players: int) -> Tensor:
    n = n_players
    return torch.tensor(
        [
            (n - 1) * math.factorial(s) * math.factorial(n - s) / (math.factorial(n) * s * (n - s))
            for s in sizes.tolist()
        ]
    )


def weight_by_scipy(sizes: Tensor, n_players: int) -> Tensor:
    from scipy.special import binom

    s = sizes.numpy()
    return torch.tensor((n_players - 1) / (binom(n_players, s) * s * (n_players - s)), dtype=torch.float32)


def kernel_by_directions(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """An equal share for everybody, and the best deviation that sums to 0."""
    n = coalitions.shape[1]
    ends = value(torch.tensor([[False], [True]]).expand(2, n)).double()
    share = (ends[1] - ends[0]) / n
    directions = torch.linalg.svd(torch.ones(1, n).double())[2][1:].T
    z, root = coalitions.double(), weights.double().sqrt()[:, None]
    left = value(coalitions).double() - ends[0] - z.sum(1) * share
    step = np.linalg.lstsq((root * (z @ directions)).numpy(), (root[:, 0] * left).numpy(), rcond=None)[0]
    return (share + directions @ torch.from_numpy(step)).float()


def kernel_by_a_large_weight(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """The full coalition as a sample of a very large weight: near enough."""
    n = coalitions.shape[1]
    ends = value(torch.tensor([[False], [True]]).expand(2, n)).double()
    z = torch.cat([coalitions.double(), torch.ones(1, n).double()])
    y = torch.cat([value(coalitions).double(), ends[1:]]) - ends[0]
    root = torch.cat([weights.double(), torch.tensor([1e9]).double()]).sqrt()[:, None]
    return torch.linalg.lstsq(root * z, root * y[:, None], driver="gelsd").solution[:, 0].float()


def own_kernel(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """The Shapley kernel in place of the weights that were given."""
    return kernel_by_directions(value, coalitions, shapley.kernel_weight(coalitions.sum(1), coalitions.shape[1]))


def ridge(value: Game, coalitions: Tensor, weights: Tensor) -> Tensor:
    """LIME's penalty as well."""
    n = coalitions.shape[1]
    nobody = value(torch.zeros(1, n, dtype=torch.bool)).double()
    z, pi = coalitions.double(), weights.double()
    matrix = z.T @ (pi[:, None] * z) + torch.eye(n)
    return torch.linalg.solve(matrix, z.T @ (pi * (value(coalitions).double() - nobody))).float()


# ---- GradientSHAP and DeepLIFT


def gradient_shap_in_a_loop(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    total = []
    for baseline, alpha in zip(baselines, alphas, strict=True):
        way = inputs - baseline
        point = (inputs - (1 - alpha) * way).clone().requires_grad_(True)
        with torch.enable_grad():
            model(point.clone())[:, target].sum().backward()
        total.append(way * point.grad)
    return sum(total) / len(total)


def gradient_shap_by_captum(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    total = torch.zeros_like(inputs)
    for baseline, alpha in zip(baselines, alphas, strict=True):
        point = torch.lerp(baseline.expand_as(inputs), inputs, alpha).requires_grad_()
        gradient = attr.Saliency(lambda x: model(x.clone())).attribute(point, target, abs=False)
        total = total + gradient * (inputs - baseline)
    return total / len(alphas)


def with_noise(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    noisy = inputs + 0.1 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
    return gradient_shap_in_a_loop(model, noisy, target, baselines, alphas)


def integrated(model: nn.Module, inputs: Tensor, target: int, baselines: Tensor, alphas: Tensor) -> Tensor:
    """Integrated gradients from each baseline, with steps of its own."""
    steps = torch.linspace(0, 1, 20)
    paths = [
        gradient_shap_in_a_loop(model, inputs, target, baseline.expand(20, *baseline.shape), steps)
        for baseline in baselines
    ]
    return sum(paths) / len(paths)


def lift_by_captum(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    import copy
    import warnings

    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        return attr.DeepLift(copy.deepcopy(model)).attribute(inputs, baselines, target).detach()


def lift_one_by_one(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    """Image by image, with explicit tables for the linear layers."""
    results = []
    for image, baseline in zip(inputs, baselines, strict=True):
        pair = torch.stack([image, baseline])
        entered = []
        with torch.no_grad():
            for layer in model:
                entered.append(pair)
                pair = layer(pair.clone())
        m = torch.zeros_like(pair[:1])
        m[0, target] = 1
        for layer, before in zip(reversed(model), reversed(entered), strict=True):
            if isinstance(layer, nn.ReLU):
                x, x0 = before
                change = x - x0
                slope = (x.relu() - x0.relu()) / change
                m = m * torch.where(change.abs() < 1e-7, (x > 0).float(), slope)
            else:
                _, m = torch.autograd.functional.vjp(layer, before[:1], m)
        results.append(m[0] * (image - baseline))
    return torch.stack(results)


def integrated_in_place_of_lift(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    total = torch.zeros_like(inputs)
    for alpha in torch.linspace(0.025, 0.975, 20):
        point = torch.lerp(baselines, inputs, alpha).requires_grad_()
        with torch.enable_grad():
            score = model(point.clone())[:, target].sum()
        total += torch.autograd.grad(score, point)[0]
    return total / 20 * (inputs - baselines)


def summed_channels(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    return lift_one_by_one(model, inputs, target, baselines).sum(1)


def of_the_probability(model: nn.Sequential, inputs: Tensor, target: int, baselines: Tensor) -> Tensor:
    """Scale the contributions to the difference of the probabilities."""
    lifted = lift_one_by_one(model, inputs, target, baselines)
    with torch.no_grad():
        change = (model(inputs.clone()).softmax(1) - model(baselines.clone()).softmax(1))[:, target]
    return lifted * (change / lifted.flatten(1).sum(1)).view(-1, 1, 1, 1)


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "exact_shapley": {"all orders": by_all_orders, "bits": by_bits, "kernel": by_kernel},
    "permutation_shapley": {"loops": shapley_of_orders, "at once": of_orders_at_once},
    "kernel_weight": {"factorials": weight_by_factorials, "scipy": weight_by_scipy},
    "kernel_shap": {"directions": kernel_by_directions, "a very large weight": kernel_by_a_large_weight},
    "gradient_shap": {"loop": gradient_shap_in_a_loop, "captum": gradient_shap_by_captum},
    "deep_lift": {"captum": lift_by_captum, "one by one": lift_one_by_one},
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("exact_shapley", "lost"): lambda value, n_players: -by_bits(value, n_players),
    ("exact_shapley", "not_divided"): lambda value, n_players: (
        by_all_orders(value, n_players) * math.factorial(n_players)
    ),
    ("exact_shapley", "all_alike"): lambda value, n_players: torch.stack(
        [
            (value(rows) * (2.0 * rows[:, j] - 1)).sum() / 2 ** (n_players - 1)
            for rows in [torch.tensor(list(itertools.product([False, True], repeat=n_players)))]
            for j in range(n_players)
        ]
    ),
    ("exact_shapley", "one_order"): lambda value, n_players: shapley_of_orders(value, torch.arange(n_players)[None])[0],
    ("permutation_shapley", "inverse"): lambda value, orders: of_orders_at_once(value, orders.argsort(1)),
    ("permutation_shapley", "backwards"): lambda value, orders: shapley_of_orders(value, orders.flip(1)),
    ("permutation_shapley", "lost"): lambda value, orders: (
        -shapley_of_orders(value, orders)[0],
        shapley_of_orders(value, orders)[1],
    ),
    ("permutation_shapley", "deviation_for_error"): lambda value, orders: (
        of_orders_at_once(value, orders)[0],
        of_orders_at_once(value, orders)[1] * len(orders) ** 0.5,
    ),
    ("kernel_weight", "no_binomial"): lambda sizes, n_players: (n_players - 1) / (sizes * (n_players - sizes)).float(),
    ("kernel_weight", "normalized"): lambda sizes, n_players: (
        weight_by_scipy(sizes, n_players) / weight_by_scipy(sizes, n_players).sum()
    ),
    ("kernel_shap", "weights_ignored"): lambda value, coalitions, weights: kernel_by_directions(
        value, coalitions, torch.ones_like(weights)
    ),
    ("kernel_shap", "weights_squared"): lambda value, coalitions, weights: kernel_by_directions(
        value, coalitions, weights**2
    ),
    ("gradient_shap", "sum"): lambda model, inputs, target, baselines, alphas: (
        len(alphas) * gradient_shap_in_a_loop(model, inputs, target, baselines, alphas)
    ),
    ("gradient_shap", "alpha_reversed"): lambda model, inputs, target, baselines, alphas: gradient_shap_in_a_loop(
        model, inputs, target, baselines, 1 - alphas
    ),
    ("gradient_shap", "halfway"): lambda model, inputs, target, baselines, alphas: gradient_shap_in_a_loop(
        model, inputs, target, baselines, torch.full_like(alphas, 0.5)
    ),
    ("deep_lift", "sign"): lambda model, inputs, target, baselines: -lift_one_by_one(model, inputs, target, baselines),
    ("deep_lift", "black_baseline"): lambda model, inputs, target, baselines: lift_by_captum(
        model, inputs, target, torch.zeros_like(inputs)
    ),
    ("deep_lift", "gradient_at_the_image"): lambda model, inputs, target, baselines: (
        gradient_shap_in_a_loop(model, inputs, target, torch.zeros_like(inputs[:1]), torch.ones(1))
        / inputs
        * (inputs - baselines)
    ),
}

REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "an estimate": ("exact_shapley", by_sampling, "numbers are not"),
    "half of the orders": ("exact_shapley", first_half_of_the_orders, "numbers are not|number is not"),
    "Banzhaf, made to sum": ("exact_shapley", normalized_banzhaf, "numbers are not|number is not"),
    "a list": ("exact_shapley", lambda value, n_players: by_bits(value, n_players).tolist(), "list"),
    "both ways": ("permutation_shapley", both_ways, "not"),
    "exact values": ("permutation_shapley", exact_in_place_of_orders, "not"),
    "one error for all": ("permutation_shapley", one_error_for_all, "not"),
    "the means alone": (
        "permutation_shapley",
        lambda value, orders: shapley_of_orders(value, orders)[0],
        "tuple|tensor",
    ),
    "integers": ("kernel_weight", lambda sizes, n_players: weight_by_scipy(sizes, n_players).long(), "dtype"),
    "squared": ("kernel_weight", lambda sizes, n_players: weight_by_scipy(sizes, n_players) ** 2, "not"),
    "one weight": ("kernel_weight", lambda sizes, n_players: weight_by_scipy(sizes[:1], n_players), "shape"),
    "the kernel for the weights": ("kernel_shap", own_kernel, "not"),
    "LIME's penalty": ("kernel_shap", ridge, "not"),
    "noise": ("gradient_shap", with_noise, "not"),
    "the whole path": ("gradient_shap", integrated, "not"),
    "integrated gradients": ("deep_lift", integrated_in_place_of_lift, "not"),
    "summed channels": ("deep_lift", summed_channels, "shape"),
    "the probability": ("deep_lift", of_the_probability, "must hold|not"),
}
