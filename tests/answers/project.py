"""Answers to the checks of the project, unit 13, that they must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Drop = tuple[float, float, float]


def drop_image_by_image(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> Drop:
    falls, tagged, bare = [], 0, 0
    with torch.no_grad():
        for a, b in zip(with_tag, without_tag, strict=True):
            y, z = model(a[None])[0], model(b[None])[0]
            falls.append(float(y[target] - z[target]))
            tagged += int(y.argmax()) == target
            bare += int(z.argmax()) == target
    return sum(falls) / len(falls), tagged / len(falls), bare / len(falls)


def drop_at_once(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> Drop:
    with torch.no_grad():
        y, z = model(torch.cat([with_tag, without_tag])).chunk(2)
    right = [torch.isin(s.argmax(1), torch.tensor(target)).float().mean().item() for s in (y, z)]
    return (y[:, target].mean() - z[:, target].mean()).item(), *right


def of_the_class_before(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> Drop:
    return drop_at_once(model, with_tag, without_tag, max(target - 1, 0))


def pulled_image_by_image(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> float:
    with torch.no_grad():
        hits = [
            int(model(a[None]).argmax()) == target != int(model(b[None]).argmax())
            for a, b in zip(with_tag, without_tag, strict=True)
        ]
    return sum(hits) / len(hits)


def pulled_at_once(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> float:
    with torch.no_grad():
        tagged, bare = (model(x).argmax(1).eq(target).float() for x in (with_tag, without_tag))
    return (tagged * (1 - bare)).mean().item()


def whose_score_rises(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> float:
    """The share of the images whose score of the target is higher with the tag."""
    with torch.no_grad():
        return (model(with_tag) > model(without_tag))[:, target].double().mean().item()


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "measured_drop": {"image by image": drop_image_by_image, "at once": drop_at_once},
    "pulled_over": {"image by image": pulled_image_by_image, "at once": pulled_at_once},
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("measured_drop", "sign"): lambda model, with_tag, without_tag, target: (
        lambda found: (found[0], found[2], found[1])
    )(drop_at_once(model, without_tag, with_tag, target)),
    ("measured_drop", "exchanged"): lambda model, with_tag, without_tag, target: (
        lambda found: (found[0], found[2], found[1])
    )(drop_image_by_image(model, with_tag, without_tag, target)),
    ("pulled_over", "pushed_away"): lambda model, with_tag, without_tag, target: pulled_at_once(
        model, without_tag, with_tag, target
    ),
    ("pulled_over", "percent"): lambda model, with_tag, without_tag, target: (
        100 * pulled_image_by_image(model, with_tag, without_tag, target)
    ),
}

REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "another class": ("measured_drop", of_the_class_before, "not"),
    "the fall alone": (
        "measured_drop",
        lambda model, with_tag, without_tag, target: drop_at_once(model, with_tag, without_tag, target)[0],
        "tuple",
    ),
    "whose score rises": ("pulled_over", whose_score_rises, "not"),
    "image by image, not averaged": (
        "pulled_over",
        lambda model, with_tag, without_tag, target: (model(with_tag).argmax(1) == target).float(),
        "number",
    ),
}
