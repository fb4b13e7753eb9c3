"""Answers to the exercises of unit 04 as other people write them: right ones, known mistakes, and other wrong ones.

`test_exercises.py` judges them. All of them are written without the package.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --- the theoretical field ----------------------------------------------------------------------------------------


def field_downwards(layers: list[tuple]) -> int:
    """One unit at the top sees 1; r of the map below is s r + (the span of the kernel - s)."""
    field = 1
    for k, s, _, d in layers[::-1]:
        field = s * field + (d * (k - 1) + 1 - s)
    return field


def field_by_recursion(layers: list[tuple]) -> int:
    if not layers:
        return 1
    (k, s, _, d), above = layers[0], layers[1:]
    return (field_by_recursion(above) - 1) * s + d * (k - 1) + 1


def seen(layers: list[tuple], positions: set[int]) -> set[int]:
    """All the pixels that some outputs see, by hand: a set for each map on the way down."""
    for k, s, p, d in reversed(layers):
        positions = {s * v - p + d * i for v in positions for i in range(k)}
    return positions


def field_by_sets(layers: list[tuple]) -> int:
    pixels = seen(layers, {0})
    return max(pixels) - min(pixels) + 1


def region_by_sets(layers: list[tuple], position: int) -> tuple[int, int]:
    pixels = seen(layers, {position})
    return min(pixels), max(pixels)


def region_from_the_trace(layers: list[tuple], position: int) -> tuple[float, float]:
    centre, jump, field = 0.0, 1, 1
    for k, s, p, d in layers:
        centre += (d * (k - 1) / 2 - p) * jump
        field += (k - 1) * d * jump
        jump *= s
    middle = centre + position * jump
    return middle - (field - 1) / 2, middle + (field - 1) / 2


def trace_by_regions(layers: list[tuple], input_size: int) -> list[tuple]:
    """Everything from the pixels of the first two outputs; the sizes from torch itself."""
    rows, line = [], torch.zeros(1, 1, input_size)
    for number, (k, s, p, d) in enumerate(layers, start=1):
        line = F.conv1d(line, torch.ones(1, 1, k), stride=s, padding=p, dilation=d)
        here, there = region_by_sets(layers[:number], 0), region_by_sets(layers[:number], 1)
        rows.append((line.shape[2], there[0] - here[0], here[1] - here[0] + 1, sum(here) / 2))
    return rows


def trace_with_numpy(layers: list[tuple], input_size: int) -> tuple[list, ...]:
    """Numbers of numpy, and lists and tuples the other way round."""
    k, s, p, d = np.array(layers, dtype=np.int64).T
    jumps = np.cumprod(s)
    below = np.concatenate([[1], jumps[:-1]])
    fields = 1 + np.cumsum((k - 1) * d * below)
    centres = np.cumsum(((k - 1) * d / 2 - p) * below)
    rows = []
    for i in range(len(layers)):
        input_size = int(np.floor((input_size + 2 * p[i] - d[i] * (k[i] - 1) - 1) / s[i])) + 1
        rows.append([np.int64(input_size), jumps[i], fields[i], centres[i]])
    return tuple(rows)


# --- the effective field ------------------------------------------------------------------------------------------


def effective_image_by_image(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    total = torch.zeros(input_size)
    for _ in range(n_samples):
        image = torch.randn(1, model[0].in_channels, *input_size, generator=generator, requires_grad=True)
        maps = model[: int(layer) + 1](image)
        signal = torch.zeros_like(maps)
        signal[:, :, maps.shape[2] // 2, maps.shape[3] // 2] = 1
        maps.backward(signal)
        total += image.grad[0].abs().sum(0)
    return total / total.sum()


def effective_by_hook(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, given, output: kept.append(output))
    try:
        images = torch.randn(n_samples, model[0].in_channels, *input_size, generator=generator).requires_grad_()
        model(images)
    finally:
        handle.remove()
    _, _, height, width = kept[0].shape
    (gradient,) = torch.autograd.grad(kept[0][..., height // 2, width // 2].sum(), images)
    field = gradient.abs().sum(1).mean(0)
    return field / field.sum()


def effective_of_normalised_images(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each image's field is normalised, and then the mean is taken."""
    fields = [effective_image_by_image(model, layer, input_size, 1, generator) for _ in range(n_samples)]
    return torch.stack(fields).mean(0)


def effective_with(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return the field of an image-by-image loop, changed."""
    return lambda *arguments, **options: change(effective_image_by_image(*arguments, **options))


def effective_in_train_mode(model: nn.Sequential, *arguments: Any, **options: Any) -> Tensor:
    model.train()
    return effective_image_by_image(model, *arguments, **options)


def effective_in_eval_mode(model: nn.Sequential, *arguments: Any, **options: Any) -> Tensor:
    model.eval()
    return effective_image_by_image(model, *arguments, **options)


def effective_in_eval_mode_put_back(model: nn.Sequential, *arguments: Any, **options: Any) -> Tensor:
    mode = model.training
    model.eval()
    try:
        return effective_image_by_image(model, *arguments, **options)
    finally:
        model.train(mode)


def effective_on_a_copy(model: nn.Sequential, *arguments: Any, **options: Any) -> Tensor:
    return effective_image_by_image(copy.deepcopy(model).eval(), *arguments, **options)


def effective_of(
    noise: Callable[..., Tensor] = lambda shape, generator: torch.randn(shape, generator=generator),
    collect: Callable[[Tensor], Tensor] = lambda gradients: gradients.abs().sum((0, 1)),
    default: int = 20,
    number: Callable[[int], int] = lambda n: n,
    name: Callable[[str], int] = int,
) -> Callable[..., Tensor]:
    """Return an answer that takes all images at once, with its pieces open: noise(shape, generator) and so on."""

    def answer(
        model: nn.Sequential,
        layer: str,
        input_size: tuple[int, int],
        n_samples: int = default,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        images = noise((number(n_samples), model[0].in_channels, *input_size), generator).requires_grad_()
        maps = model[: name(layer) + 1](images)
        y = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()
        field = collect(torch.autograd.grad(y, images)[0])
        return field / field.sum()

    return answer


def normal_then(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda shape, generator: change(torch.randn(shape, generator=generator))


def effective_with_its_hook_left(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    handle = model.get_submodule(layer).register_forward_hook(lambda module, given, output: None)
    field = effective_image_by_image(model, layer, input_size, n_samples, generator)
    handle.remove()
    return field


def effective_mean_then_magnitude(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    images = torch.randn(n_samples, model[0].in_channels, *input_size, generator=generator).requires_grad_()
    maps = model[: int(layer) + 1](images)
    maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    field = images.grad.mean(0).abs().sum(0)
    return field / field.sum()


def effective_with_a_seed_of_its_own(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    return effective_image_by_image(model, layer, input_size, n_samples, torch.Generator().manual_seed(0))


def effective_from_the_global_state(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    return effective_image_by_image(model, layer, input_size, n_samples, None)


# --- plans of networks --------------------------------------------------------------------------------------------


def in_steps_of(field: int, jump: int, dilations: Callable[[int], list[int]], maps: int = 8) -> list[tuple]:
    """3 x 3 layers of stride 2 until the jump is reached, then 3 x 3 layers with the dilations for the steps left."""
    plan, reached, here = [], 1, 1
    while here < jump:
        plan.append((3, 2, 1, 1, maps))
        reached += 2 * here
        here *= 2
    return plan + [(3, 1, d, d, maps) for d in dilations((field - reached) // (2 * jump))]


def doubled(steps: int) -> list[int]:
    found = []
    while sum(found) < steps:
        found.append(min(2 ** len(found), steps - sum(found)))
    return found


def largest_first(steps: int) -> list[int]:
    """The same dilations, the largest first: the fields are the same whatever the order."""
    return doubled(steps)[::-1]


def plan_doubled(field: int, jump: int, budget: int) -> list[tuple]:
    return in_steps_of(field, jump, doubled)


def plan_by_lines(field: int, jump: int, budget: int) -> list[tuple]:
    """Kernels of one row, and of one column, as in Inception: each as long as is needed, and dilated where it is."""
    plan = in_steps_of(field, jump, lambda steps: [])
    steps = (field - (2 * jump - 1)) // (2 * jump)
    for d in doubled(steps):
        plan.append(((3, 1), 1, (d, 0), (d, 1), 8))
        plan.append(((1, 3), (1, 1), (0, d), (1, d), 8))
    return plan


def plan_of_lists(field: int, jump: int, budget: int) -> tuple:
    return tuple(list(layer) for layer in plan_doubled(field, jump, budget))


def plan_with_more_maps_at_the_end(field: int, jump: int, budget: int) -> list[tuple]:
    *layers, last = plan_doubled(field, jump, budget)
    return [*layers, (*last[:4], 9)]


def plan_by_search(field: int, jump: int, budget: int) -> list[tuple]:
    """Try dilations until the steps are covered without holes, greedily."""
    plan = in_steps_of(field, jump, lambda steps: [])
    reached = 2 * jump - 1
    while reached < field:
        d = max(d for d in range(1, reached + 1) if d * jump <= reached and reached + 2 * d * jump <= field)
        plan.append((3, 1, d, d, 8))
        reached += 2 * d * jump
    return plan


def changed(plan: Callable[..., list[tuple]], change: Callable[..., tuple]) -> Callable[..., list[tuple]]:
    """Return the plan with each layer changed: change(kernel size, stride, padding, dilation, maps)."""
    return lambda field, jump, budget: [change(*layer) for layer in plan(field, jump, budget)]


def list_inside_itself(field: int, jump: int, budget: int) -> list:
    plan: list = []
    plan.append(plan)
    return plan


def deep_list(depth: int) -> list:
    plan: list = [3]
    for _ in range(depth):
        plan = [plan]
    return plan


def small_stack(field: int, jump: int, budget: int) -> list[tuple]:
    return in_steps_of(field, jump, lambda steps: [1] * steps)


def weightless(field: int, jump: int, budget: int) -> list[tuple]:
    """A kernel of 1 that is moved about by padding: many outputs, the least field."""
    return [(1, jump, 0, 1, 8)]


def for_jump_one_alone(field: int, jump: int, budget: int) -> list[tuple]:
    return in_steps_of(field, 1, doubled) if jump == 1 else [(3, jump, 1, 1, 8)]


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "receptive_field": {"downwards": field_downwards, "recursion": field_by_recursion, "sets": field_by_sets},
    "trace": {"regions": trace_by_regions, "numpy": trace_with_numpy},
    "input_region": {"sets": region_by_sets, "from the trace": region_from_the_trace},
    "effective_receptive_field": {
        "image by image": effective_image_by_image,
        "hook": effective_by_hook,
        "in eval mode, put back": effective_in_eval_mode_put_back,
        "on a copy": effective_on_a_copy,
    },
    "design_network": {
        "doubled": plan_doubled,
        "lines": plan_by_lines,
        "largest first": lambda field, jump, budget: in_steps_of(field, jump, largest_first),
        "lists": plan_of_lists,
        "numpy": lambda field, jump, budget: [tuple(np.array(layer)) for layer in plan_doubled(field, jump, budget)],
        "more maps": plan_with_more_maps_at_the_end,
        "search": plan_by_search,
    },
}


def field_by_lengths(layers: list[tuple]) -> int:
    """Multiply on the way, but with the stride of the layer itself already in it."""
    field, jump = 1, 1
    for k, s, _, d in layers:
        jump *= s
        field += (k - 1) * d * jump
    return field


def field_with_a_growing_step(layers: list[tuple]) -> int:
    """The stride is added to the step, which begins with 1."""
    field, step = 1, 1
    for k, s, _, d in layers:
        field += (k - 1) * d * step
        step += s
    return field


def region_clipped(layers: list[tuple], position: int) -> tuple[int, int]:
    first, last = region_by_sets(layers, position)
    return (0 if first < 0 else first), (0 if last < 0 else last)


def region_as_a_slice(layers: list[tuple], position: int) -> tuple[int, int]:
    inside = seen(layers, {position})
    return min(inside), max(inside) + 1


def trace_of_the_edges(layers: list[tuple], input_size: int) -> list[tuple]:
    return [(n, j, r, c + 0.5) for n, j, r, c in trace_by_regions(layers, input_size)]


def trace_with_the_image(layers: list[tuple], input_size: int) -> list[tuple]:
    return [(input_size, 1, 1, 0), *trace_by_regions(layers, input_size)]


def field_from_the_wrong_end(layers: list[tuple]) -> int:
    """The product of strides is built from the wrong end of the list."""
    field, jump = 1, 1
    for k, s, _, d in layers[::-1]:
        field += (k - 1) * d * jump
        jump *= s
    return field


def half_a_field(layers: list[tuple]) -> int:
    pixels = seen(layers, {0})
    return (max(pixels) - min(pixels)) // 2


MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("receptive_field", "own_stride_included"): field_by_lengths,
    ("receptive_field", "without_the_one"): lambda layers: field_downwards(layers) - 1,
    ("receptive_field", "dilation_ignored"): lambda layers: field_by_sets([(k, s, p, 1) for k, s, p, _ in layers]),
    ("receptive_field", "strides_above"): field_from_the_wrong_end,
    ("receptive_field", "half"): half_a_field,
    ("input_region", "clipped"): region_clipped,
    ("input_region", "last_excluded"): region_as_a_slice,
    ("input_region", "padding_ignored"): lambda layers, position: region_by_sets(
        [(k, s, 0, d) for k, s, _, d in layers], position
    ),
    ("input_region", "upwards"): lambda layers, position: region_by_sets(layers[::-1], position),
    ("trace", "centre_counted_from_the_edge"): trace_of_the_edges,
    ("trace", "image_as_first_row"): trace_with_the_image,
    ("trace", "last_row_only"): lambda layers, input_size: list(trace_with_numpy(layers, input_size)[-1]),
    ("trace", "centre_clipped"): lambda layers, input_size: [
        (n, j, r, 0 if c < 0 else c) for n, j, r, c in trace_by_regions(layers, input_size)
    ],
    ("receptive_field", "strides_added_to_one"): field_with_a_growing_step,
    ("receptive_field", "padding_taken_for_dilation"): lambda layers: field_by_sets(
        [(k, s, d, p) for k, s, p, d in layers]
    ),
    ("effective_receptive_field", "shares_of_each_image"): effective_of_normalised_images,
    ("effective_receptive_field", "negative_ones_dropped"): effective_of(
        collect=lambda gradients: gradients.relu().sum(1).mean(0)
    ),
    ("effective_receptive_field", "one_noise"): effective_mean_then_magnitude,
    ("effective_receptive_field", "scaled_to_maximum"): effective_with(lambda field: field / field.max()),
    ("effective_receptive_field", "swapped_sides"): effective_with(lambda field: field.T),
    ("design_network", "over_budget"): small_stack,
    ("design_network", "too_few_maps"): changed(plan_doubled, lambda k, s, p, d, maps: (k, s, p, d, 7)),
    ("design_network", "padding_of_one"): changed(plan_doubled, lambda k, s, p, d, maps: (k, s, 1, d, maps)),
    ("design_network", "padding"): changed(plan_by_search, lambda k, s, p, d, maps: (k, s, p + 1, d, maps)),
    ("design_network", "one_direction"): changed(plan_by_search, lambda k, s, p, d, maps: ((1, k), s, (0, p), d, maps)),
    ("design_network", "wrong_jump"): changed(plan_doubled, lambda k, s, p, d, maps: (k, (s, 1), p, d, maps)),
    ("design_network", "maps_forgotten"): changed(plan_by_search, lambda k, s, p, d, maps: [k, s, p, d]),
}


def field_that_uses_the_list_up(layers: list[tuple]) -> int:
    field = 1
    while layers:
        k, s, _, d = layers.pop()
        field = (field - 1) * s + d * (k - 1) + 1
    return field


def region_of_a_list_turned_round(layers: list[tuple], position: int) -> tuple[int, int]:
    first = last = position
    layers.reverse()
    for k, s, p, d in layers:
        first, last = s * first - p, s * last - p + d * (k - 1)
    return first, last


def effective_of_scaled_noise(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Noise of a tenth of the deviation that is asked for."""
    images = torch.randn(n_samples, model[0].in_channels, *input_size, generator=generator).div(10).requires_grad_()
    maps = model[: int(layer) + 1](images)
    maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    field = images.grad.abs().sum((0, 1))
    return field / field.sum()


# Wrong answers that are no known mistake: the message tells what is wrong, and no hint claims to know why.
REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "a pair": ("receptive_field", lambda layers: (field_by_sets(layers),) * 2, "a number is asked for"),
    "right up to three layers": (
        "receptive_field",
        lambda layers: field_by_sets(layers[:3]),
        "small AlexNet.*the number is not right|drawn stack of 4",
    ),
    "the list used up": ("receptive_field", field_that_uses_the_list_up, "changed the list `layers` itself"),
    "the list turned round": ("input_region", region_of_a_list_turned_round, "changed the list `layers` itself"),
    "not for no layer": (
        "receptive_field",
        lambda layers: field_by_sets(layers) if layers else 0,
        "no layer at all.*at least one pixel",
    ),
    "an IndexError": ("receptive_field", lambda layers: layers[0][0] and field_by_sets(layers), "raised IndexError"),
    "one pixel more for an even field": (
        "receptive_field",
        lambda layers: field_by_sets(layers) | 1,
        "the number is not right",
    ),
    "too few rows": (
        "trace",
        lambda layers, input_size: trace_by_regions(layers, input_size)[1:],
        "0 values; 1 are asked for",
    ),
    "rows of three": (
        "trace",
        lambda layers, input_size: [row[:3] for row in trace_by_regions(layers, input_size)],
        r"3 values \(value 1 of 1\); 4 are asked for",
    ),
    "rows as a tensor": (
        "trace",
        lambda layers, input_size: torch.tensor(trace_by_regions(layers, input_size)),
        "a tuple of 1 values",
    ),
    "a wrong size in the third row": (
        "trace",
        lambda layers, input_size: [
            (n + (i == 2), j, r, c) for i, (n, j, r, c) in enumerate(trace_by_regions(layers, input_size))
        ],
        r"three layers of kernel 3.*\(value 3 of 3, value 1 of 4\)",
    ),
    "the last index alone": (
        "input_region",
        lambda layers, position: region_by_sets(layers, position)[1],
        "a tuple of 2 values is asked for",
    ),
    "the size is wrong": (
        "input_region",
        lambda layers, position: (region_by_sets(layers, position)[0] - 1, region_by_sets(layers, position)[1]),
        "the region is as large as the receptive field",
    ),
    "moved with the position": (
        "input_region",
        lambda layers, position: tuple(end + (position == 40) for end in region_by_sets(layers, position)),
        "output 40.*distance times all strides apart",
    ),
    "sum right, one row dropped": (
        "effective_receptive_field",
        effective_with(lambda field: field / 2 + field.flip(0) / 2),
        "numbers are not",
    ),
    "network in train mode": ("effective_receptive_field", effective_in_train_mode, "is in another mode"),
    "hook left after an error": ("effective_receptive_field", effective_with_its_hook_left, "smaller than a kernel"),
    "scaled noise": ("effective_receptive_field", effective_of_scaled_noise, "neither scaled nor"),
    "noise without negative numbers": (
        "effective_receptive_field",
        effective_of(normal_then(torch.abs)),
        "with negative numbers",
    ),
    "one row of noise": (
        "effective_receptive_field",
        effective_of(normal_then(lambda x: x[:, :, :1].repeat(1, 1, x.shape[2], 1))),
        "no row or column of the images repeats",
    ),
    "one noise for all colours": (
        "effective_receptive_field",
        effective_of(normal_then(lambda x: x[:, :1].repeat(1, x.shape[1], 1, 1))),
        "three colours.*so has every colour",
    ),
    "one image less": (
        "effective_receptive_field",
        effective_of(number=lambda n: max(n - 1, 1)),
        "three colours, two samples",
    ),
    "another default": ("effective_receptive_field", effective_of(default=10), "n_samples left out"),
    "the first digit of the name": (
        "effective_receptive_field",
        effective_of(name=lambda layer: int(layer[0])),
        "layer '10'",
    ),
    "eval mode not put back": ("effective_receptive_field", effective_in_eval_mode, "eval instead of train"),
    "where it is not 0": (
        "effective_receptive_field",
        effective_of(collect=lambda gradients: (gradients != 0).sum((0, 1)).float()),
        "is the same with another generator",
    ),
    "a seed of its own": (
        "effective_receptive_field",
        effective_with_a_seed_of_its_own,
        "is the same with another generator",
    ),
    "the global random state": (
        "effective_receptive_field",
        effective_from_the_global_state,
        "drew from the global random state",
    ),
    "none": ("design_network", lambda field, jump, budget: None, "you returned None"),
    "a network": ("design_network", lambda field, jump, budget: nn.Conv2d(3, 8, 3), "a plain list with a plain tuple"),
    "a million layers": ("design_network", lambda field, jump, budget: [(3, 1, 1, 1, 8)] * 10**6, "1000000 values"),
    "a list inside itself": ("design_network", list_inside_itself, "lists within lists"),
    "deep lists": ("design_network", lambda field, jump, budget: deep_list(5000), "lists within lists"),
    "lists not quite as deep": ("design_network", lambda field, jump, budget: deep_list(50), "no plain tuple of five"),
    "pairs of one": (
        "design_network",
        changed(plan_doubled, lambda k, s, p, d, maps: ((k,), s, p, d, maps)),
        "kernel size of layer 1 must be a whole number, or a pair",
    ),
    "maps as a pair": (
        "design_network",
        changed(plan_doubled, lambda k, s, p, d, maps: (k, s, p, d, (maps, maps))),
        "the maps of layer 1 must be one whole number",
    ),
    "numbers with a point": (
        "design_network",
        changed(plan_doubled, lambda k, s, p, d, maps: (k, s, p, float(d), maps)),
        "the dilation of layer 1 must be a whole number",
    ),
    "kernel of 0": (
        "design_network",
        lambda field, jump, budget: [(0, 1, 0, 1, 8)],
        "kernel size of layer 1 must lie between 1 and",
    ),
    "a hundred layers": ("design_network", lambda field, jump, budget: [(1, 1, 0, 1, 8)] * 100, "at most 60"),
    "padding without end": (
        "design_network",
        lambda field, jump, budget: [(1, 1, 1000, 1, 8)] * 12,
        r"grows to \d+ x \d+ in layer 1",
    ),
    "the size right by accident": (
        "design_network",
        lambda field, jump, budget: [(3, 2, field + 3, 1, 8), (3, 1, 1, 1, 8)],
        "the strides of your network multiply to 2; the jump that is asked for is 1",
    ),
    "jump 1 alone": ("design_network", for_jump_one_alone, "field 27, jump 2"),
    "a moved pixel": ("design_network", weightless, r"sees 1 x 1 pixels; 5 x 5 are asked for"),
}
