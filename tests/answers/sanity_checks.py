"""Answers to the exercises of unit 10 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from course_utils import sanity_checks

# ---- similarity


def by_scipy(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    values = []
    for x, y in zip(a.sum(1).flatten(1).numpy(), b.sum(1).flatten(1).numpy(), strict=True):
        if metric == "spearman_abs":
            x, y = np.abs(x), np.abs(y)
        values.append(0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else spearmanr(x, y).statistic)
    return torch.tensor(values, dtype=torch.float64)


def by_counting(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    """A pixel's rank: how many are below it, and half of those that are equal."""
    ranks = []
    for maps in (a, b):
        flat = maps.sum(1).flatten(1).double()
        flat = flat.abs() if metric == "spearman_abs" else flat
        below = (flat.unsqueeze(1) < flat.unsqueeze(2)).double().sum(2)
        equal = (flat.unsqueeze(1) == flat.unsqueeze(2)).double().sum(2)
        rank = below + equal / 2
        ranks.append(rank - rank.mean(1, keepdim=True))
    product = ranks[0].norm(dim=1) * ranks[1].norm(dim=1)
    return torch.where(product > 0, (ranks[0] * ranks[1]).sum(1) / product, 0.0)


def top_pixels(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    """The overlap of the highest quarter of the pixels."""
    tops = [maps.sum(1).flatten(1).argsort(1, descending=True)[:, : maps[0, 0].numel() // 4] for maps in (a, b)]
    shared = [len(set(x) & set(y)) / len(x) for x, y in zip(*(t.tolist() for t in tops), strict=True)]
    return torch.tensor(shared, dtype=torch.float64)


def cosine(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    return torch.cosine_similarity(a.sum(1).flatten(1).double(), b.sum(1).flatten(1).double())


# ---- networks with new weights


def by_state_dict(model: nn.Module, name: str, generator: torch.Generator, recurse: bool = True) -> nn.Module:
    changed, state = copy.deepcopy(model), model.state_dict()
    for key, _ in model.get_submodule(name).named_parameters(recurse=recurse):
        state[f"{name}.{key}"] = torch.randn(state[f"{name}.{key}"].shape, generator=generator) / 10
    changed.load_state_dict(state)
    return changed


def by_a_vector(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    changed = copy.deepcopy(model)
    parameters = list(changed.get_submodule(name).parameters())
    drawn = [torch.randn(p.shape, generator=generator).flatten() for p in parameters]
    vector_to_parameters(0.1 * torch.cat(drawn), parameters)
    return changed


def in_place(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    """Destroy the network that was given."""
    for p in model.get_submodule(name).parameters():
        p.data = 0.1 * torch.randn(p.shape, generator=generator)
    return model


def from_elsewhere(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    """Draw from the global generator."""
    changed = copy.deepcopy(model)
    for p in changed.get_submodule(name).parameters():
        p.data = 0.1 * torch.randn(p.shape)
    return changed


def named(model: nn.Module) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters()))


def step_by_step(model: nn.Module, generator: torch.Generator) -> dict[str, nn.Module]:
    copies: dict[str, nn.Module] = {}
    for name in reversed(named(model)):
        model = by_state_dict(model, name, generator, recurse=False)
        copies[name] = model
    return copies


def kept_networks(model: nn.Module, generator: torch.Generator) -> dict[str, nn.Module]:
    work, copies = copy.deepcopy(model), {}
    for name in named(model)[::-1]:
        own = list(work.get_submodule(name).parameters(recurse=False))
        drawn = [0.1 * torch.randn(p.shape, generator=generator) for p in own]
        vector_to_parameters(parameters_to_vector(drawn), own)
        copies[name] = copy.deepcopy(work)
    return copies


def yielded(model: nn.Module, generator: torch.Generator) -> Iterator[tuple[str, nn.Module]]:
    yield from step_by_step(model, generator).items()


# ---- the curve


def curve_in_a_batch(
    model: nn.Module,
    copies: dict[str, nn.Module],
    explain: Any,
    inputs: Tensor,
    target: Tensor,
    metric: str = "spearman",
) -> dict[str, float]:
    before = explain(model, inputs, target)
    maps = {name: explain(network, inputs, target) for name, network in copies.items()}
    alike = by_scipy(before.repeat(len(maps), 1, 1, 1), torch.cat(list(maps.values())), metric)
    return dict(zip(maps, alike.view(len(maps), -1).mean(1).tolist(), strict=True))


def curve_one_by_one(
    model: nn.Module,
    copies: dict[str, nn.Module],
    explain: Any,
    inputs: Tensor,
    target: Tensor,
    metric: str = "spearman",
) -> dict[str, Tensor]:
    curve = {}
    for name, network in copies.items():
        values = [
            by_counting(explain(model, x[None], t[None]), explain(network, x[None], t[None]), metric)
            for x, t in zip(inputs, target, strict=True)
        ]
        curve[name] = float(torch.cat(values).mean())
    return curve


def each_with_signs(
    model: nn.Module,
    copies: dict[str, nn.Module],
    explain: Any,
    inputs: Tensor,
    target: Tensor,
    metric: str = "spearman",
) -> dict[str, float]:
    """Compare the maps of the last copy with all others."""
    last = explain(list(copies.values())[-1], inputs, target)
    return {
        name: float(by_scipy(last, explain(network, inputs, target), metric).mean()) for name, network in copies.items()
    }


# ---- against the truth


def pointing_by_loop(maps: Tensor, masks: Tensor) -> Tensor:
    hits = []
    for one, mask in zip(maps, masks, strict=True):
        total = one.sum(0)
        y, x = divmod(int(total.argmax()), total.shape[1])
        hits.append(float(mask[y, x]))
    return torch.tensor(hits).double()


def pointing_by_comparison(maps: Tensor, masks: Tensor) -> Tensor:
    total = maps.sum(1)
    inside = total.masked_fill(~masks, -torch.inf).amax((1, 2))
    return (inside == total.amax((1, 2))).double()


def mean_inside_is_higher(maps: Tensor, masks: Tensor) -> Tensor:
    total = maps.sum(1)
    inside = (total * masks).sum((1, 2)) / masks.sum((1, 2))
    outside = (total * ~masks).sum((1, 2)) / (~masks).sum((1, 2))
    return (inside > outside).double()


def mass_by_loop(maps: Tensor, masks: Tensor) -> Tensor:
    shares = []
    for one, mask in zip(maps.double(), masks, strict=True):
        total = torch.relu(one.sum(0))
        shares.append(total[mask].sum() / total.sum() if total.sum() > 0 else mask.double().mean())
    return torch.stack(shares)


def mass_by_einsum(maps: Tensor, masks: Tensor) -> Tensor:
    total = torch.relu(maps.double().sum(1))
    total = torch.where(total.amax((1, 2), keepdim=True) > 0, total, 1.0)
    return torch.einsum("nhw,nhw->n", total, masks.double()) / total.flatten(1).sum(1)


def mass_of_softmax(maps: Tensor, masks: Tensor) -> Tensor:
    return (maps.double().sum(1).flatten(1).softmax(1) * masks.flatten(1)).sum(1)


# ---- insertion


def insertion_pixel_by_pixel(
    model: nn.Module, inputs: Tensor, target: Tensor, maps: Tensor, n_steps: int = 8, baselines: float = 0.5
) -> Tensor:
    rows = []
    for image, label, one in zip(inputs, target, maps, strict=True):
        places = one.sum(0).flatten().argsort(descending=True).tolist()
        row = []
        for k in range(n_steps + 1):
            now = torch.full_like(image, baselines)
            for place in places[: round(k * len(places) / n_steps)]:
                y, x = divmod(place, image.shape[2])
                now[:, y, x] = image[:, y, x]
            with torch.no_grad():
                row.append(model(now[None]).softmax(1)[0, label])
        rows.append(torch.stack(row))
    return torch.stack(rows)


def insertion_by_threshold(
    model: nn.Module, inputs: Tensor, target: Tensor, maps: Tensor, n_steps: int = 8, baselines: float = 0.5
) -> Tensor:
    total = maps.sum(1)
    n, height, width = total.shape
    falling = total.flatten(1).sort(1, descending=True).values
    images = []
    for k in range(n_steps + 1):
        m = round(k * height * width / n_steps)
        low = falling[:, m - 1].view(n, 1, 1) if m else torch.full((n, 1, 1), torch.inf)
        images.append(torch.where((total >= low).unsqueeze(1), inputs, baselines))
    with torch.no_grad():
        chances = model(torch.cat(images)).softmax(1).view(n_steps + 1, n, -1)
    return chances[:, torch.arange(n), target].T


def one_order_for_all(
    model: nn.Module, inputs: Tensor, target: Tensor, maps: Tensor, n_steps: int = 8, baselines: float = 0.5
) -> Tensor:
    mean = maps.mean(0, keepdim=True).expand_as(maps)
    return insertion_by_threshold(model, inputs, target, mean, n_steps, baselines)


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "similarity": {"scipy": by_scipy, "counting": by_counting},
    "randomize_layer": {"state dict": by_state_dict, "a vector": by_a_vector},
    "cascading_randomization": {"step by step": step_by_step, "kept": kept_networks},
    "sanity_curve": {"a batch": curve_in_a_batch, "one by one": curve_one_by_one},
    "pointing_game": {"loop": pointing_by_loop, "comparison": pointing_by_comparison},
    "relevance_mass": {"loop": mass_by_loop, "einsum": mass_by_einsum},
    "insertion_curve": {"pixel by pixel": insertion_pixel_by_pixel, "threshold": insertion_by_threshold},
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("similarity", "of_values"): lambda a, b, metric="spearman": torch.stack(
        [
            torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].nan_to_num()
            for x, y in zip(
                *((m.sum(1).abs() if metric.endswith("abs") else m.sum(1)).double() for m in (a, b)), strict=True
            )
        ]
    ),
    ("similarity", "distance"): lambda a, b, metric="spearman": 1 - by_counting(a, b, metric),
    ("similarity", "mean"): lambda a, b, metric="spearman": by_scipy(a, b, metric).mean(),
    ("similarity", "never_absolute"): lambda a, b, metric="spearman": by_scipy(a, b),
    ("randomize_layer", "scale_forgotten"): lambda model, name, generator: _scaled(model, name, generator, 10.0),
    ("randomize_layer", "train_mode"): lambda model, name, generator: by_state_dict(model, name, generator).train(),
    ("randomize_layer", "nothing"): lambda model, name, generator: copy.deepcopy(model),
    ("cascading_randomization", "independent"): lambda model, generator: {
        name: by_state_dict(model, name, generator, recurse=False) for name in named(model)[::-1]
    },
    ("cascading_randomization", "one_network"): lambda model, generator: (
        lambda last: dict.fromkeys(named(model)[::-1], last)
    )(list(step_by_step(model, generator).values())[-1]),
    ("sanity_curve", "distance"): lambda model, copies, explain, inputs, target, metric="spearman": {
        name: 1 - value for name, value in curve_in_a_batch(model, copies, explain, inputs, target, metric).items()
    },
    ("sanity_curve", "with_itself"): lambda model, copies, explain, inputs, target, metric="spearman": {
        name: float(by_scipy(explain(model, inputs, target), explain(model, inputs, target), metric).mean())
        for name in copies
    },
    ("pointing_game", "misses"): lambda maps, masks: pointing_by_loop(maps, ~masks),
    ("pointing_game", "lowest"): lambda maps, masks: pointing_by_comparison(-maps, masks),
    ("relevance_mass", "outside"): lambda maps, masks: torch.where(
        maps.sum(1).amax((1, 2)) > 0, 1 - mass_by_einsum(maps, masks), mass_by_einsum(maps, masks)
    ),
    ("relevance_mass", "mean"): lambda maps, masks: mass_by_einsum(maps, masks).mean(),
    ("insertion_curve", "lowest_first"): lambda model, inputs, target, maps, n_steps=8, baselines=0.5: (
        insertion_pixel_by_pixel(model, inputs, target, -maps, n_steps, baselines)
    ),
    ("insertion_curve", "one_order_for_all"): one_order_for_all,
    ("insertion_curve", "reversed"): lambda model, inputs, target, maps, n_steps=8, baselines=0.5: (
        insertion_by_threshold(model, inputs, target, maps, n_steps, baselines).flip(1)
    ),
}


def _scaled(model: nn.Module, name: str, generator: torch.Generator, factor: float) -> nn.Module:
    changed = by_a_vector(model, name, generator)
    for p in changed.get_submodule(name).parameters():
        p.data *= factor
    return changed


def backwards(answer: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda *arguments, **options: dict(reversed(answer(*arguments, **options).items()))


def one_constant_map_for_all(a: Tensor, b: Tensor, metric: str = "spearman") -> Tensor:
    values = by_scipy(a, b, metric)
    return torch.zeros_like(values) if (values == 0).any() else values


def mass_by_channels(maps: Tensor, masks: Tensor) -> Tensor:
    """Look for positive values channel by channel."""
    total = torch.relu(maps.double().sum(1)).flatten(1)
    shares = (total * masks.flatten(1)).sum(1) / total.sum(1)
    return torch.where((maps <= 0).flatten(1).all(1), masks.double().mean((1, 2)), shares)


REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "the overlap of the highest pixels": ("similarity", top_pixels, "not"),
    "the cosine": ("similarity", cosine, "not"),
    "a list": ("similarity", lambda a, b, metric="spearman": by_scipy(a, b, metric).tolist(), "list"),
    "single precision": ("similarity", lambda a, b, metric="spearman": by_scipy(a, b, metric).float(), "dtype"),
    "the network itself": ("randomize_layer", in_place, "changed the weights"),
    "one constant map": ("similarity", one_constant_map_for_all, "not"),
    "constant, before the absolute value": (
        "similarity",
        lambda a, b, metric="spearman": (
            by_scipy(a, b, metric)
            / torch.stack(
                [
                    torch.stack([m.sum() for m in (x.sum(0).abs().std(), y.sum(0).abs().std())]).sign().min()
                    for x, y in zip(a, b, strict=True)
                ]
            ).double()
        ),
        "NaN",
    ),
    "another generator": ("randomize_layer", from_elsewhere, "global random state"),
    "nothing": ("randomize_layer", lambda model, name, generator: None, "None"),
    "the layer alone": (
        "randomize_layer",
        lambda model, name, generator: by_state_dict(model, name, generator).get_submodule(name),
        "keys",
    ),
    "pairs": ("cascading_randomization", yielded, "dict"),
    "the course's own numbers": (
        "cascading_randomization",
        lambda model, generator: dict(sanity_checks.cascading_randomization(model, generator)),
        "not",
    ),
    "in place": (
        "cascading_randomization",
        lambda model, generator: {name: in_place(model, name, generator) for name in named(model)[::-1]},
        "changed the weights",
    ),
    "from the first layer": ("cascading_randomization", backwards(step_by_step), "begins with the last layer"),
    "numbers for names": (
        "cascading_randomization",
        lambda model, generator: dict(enumerate(step_by_step(model, generator).values())),
        "the keys of your dict",
    ),
    "layers with a weight": (
        "cascading_randomization",
        lambda model, generator: {
            name: network
            for name, network in step_by_step(model, generator).items()
            if hasattr(model.get_submodule(name), "weight")
        },
        "the keys of your dict",
    ),
    "a dict from the end": ("sanity_curve", backwards(curve_in_a_batch), "the order of `copies`"),
    "the other copies": ("sanity_curve", each_with_signs, "not"),
    "a curve without names": (
        "sanity_curve",
        lambda model, copies, explain, inputs, target, metric="spearman": list(
            curve_in_a_batch(model, copies, explain, inputs, target, metric).values()
        ),
        "dict",
    ),
    "higher means": ("pointing_game", mean_inside_is_higher, "not"),
    "the mask": ("pointing_game", lambda maps, masks: masks.flatten(1).double()[:, 0], "not"),
    "a softmax": ("relevance_mass", mass_of_softmax, "not"),
    "channel by channel": ("relevance_mass", mass_by_channels, "NaN"),
    "small is nothing": (
        "relevance_mass",
        lambda maps, masks: torch.where(
            maps.sum(1).amax((1, 2)) > 1e-6, mass_by_einsum(maps, masks), masks.double().mean((1, 2))
        ),
        "not",
    ),
    "the area": ("relevance_mass", lambda maps, masks: masks.double().mean((1, 2)), "not"),
    "the area under it": (
        "insertion_curve",
        lambda model, inputs, target, maps, n_steps=8, baselines=0.5: insertion_by_threshold(
            model, inputs, target, maps, n_steps, baselines
        ).mean(1),
        "shape",
    ),
}
