"""The exercises of unit 04: what a unit sees, their cases, and the mistakes that people make.

The wrong answers are built from the naive pieces below, which are independent of the references in
``course_utils.receptive_fields``. In the hints, as in the lab: layer l has the kernel size k_l, stride s_l, padding p_l
and dilation d_l; n, j, r and c are output size, jump, field and centre of the first field.

A plan of a network is judged by running it (`_fault_of_plan`): plans may look in many ways and all be right.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils import receptive_fields
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Power,
    Property,
    Relation,
    Seed,
    Statistic,
    ValueExercise,
    draw_integer,
    pairs_but_for,
    register_network,
)
from course_utils.exercises.core import Network as NetworkDescription

LayerTuple = tuple[int, int, int, int]  # kernel size, stride, padding, dilation

EXACT = 1e-9  # of a whole number: rounding alone


def _stack(generator: torch.Generator, depth: int) -> list[LayerTuple]:
    """Return a drawn stack, with a stride in its first half and a dilation in its second one, and padding in both."""
    layers = []
    for number in range(depth):
        k, d = draw_integer(generator, 2, 6), draw_integer(generator, 1, 4)
        s, p = draw_integer(generator, 1, 4), draw_integer(generator, 0, 3)
        if number == 0:
            s, p = max(s, 2), max(p, 1)
        if number == depth - 1:
            d, p = max(d, 2), max(p, 1)
        layers.append((k, s, p, d))
    return layers


FIXED_STACKS: dict[str, list[LayerTuple]] = {
    "one layer": [(3, 1, 0, 1)],
    "three layers of kernel 3": [(3, 1, 0, 1)] * 3,
    "two layers with strides": [(5, 2, 0, 1), (3, 3, 0, 1)],
    "padding as well": [(3, 2, 1, 1), (3, 1, 1, 1), (4, 2, 1, 1)],
    "dilations 1, 2, 4": [(3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 4, 4)],
    "the five windows of a small AlexNet": [(11, 4, 2, 1), (3, 2, 0, 1), (5, 1, 2, 1), (3, 2, 0, 1), (3, 1, 1, 1)],
    "much padding": [(3, 1, 0, 1), (2, 1, 3, 1)],
    "kernels of one pixel, with strides": [(1, 2, 0, 1), (1, 3, 1, 3), (2, 1, 0, 2)],
}


def _stacks(generator: torch.Generator) -> Iterator[tuple[list[LayerTuple], str]]:
    """Yield stacks and what is special about them: the fixed ones, and four drawn ones."""
    for note, layers in FIXED_STACKS.items():
        yield list(layers), note
    for depth in (2, 3, 4, 5):
        yield _stack(generator, depth), f"a drawn stack of {depth} layers"


# ---------------------------------------------------------------------------------------------------------------------
# By hand: the pyramid under one unit, and the holes of a dilated kernel
# ---------------------------------------------------------------------------------------------------------------------

PYRAMID = ValueExercise(
    name="pyramid",
    expected=(3.0, 5.0, 7.0, 4.0),
    mistakes={
        "fields_added_up": Mistake(
            (3.0, 6.0, 9.0, 4.0),
            "you added 3 pixels with each layer. Neighbouring units of layer 1 overlap: draw the three under one unit "
            "of layer 2, and count how many different pixels they see.",
        ),
        "kernels_multiplied": Mistake(
            (3.0, 9.0, 27.0, 4.0),
            "you multiplied the kernel sizes: 3 units that see 3 pixels each. They overlap, so that most of these "
            "pixels are counted several times.",
        ),
        "own_layer_only": Mistake(
            (3.0, 3.0, 3.0, 4.0),
            "you counted how many units of the layer just below each one sees. The field is counted in pixels of the "
            "image, all the way down.",
        ),
        "without_the_one": Mistake(
            (2.0, 4.0, 6.0, 4.0),
            "each layer adds k - 1 = 2 pixels, but to what? A unit with no layer below it sees 1 pixel: itself.",
        ),
        "one_layer_low": Mistake(
            (1.0, 3.0, 5.0, 4.0),
            "your first number is that of the image itself, where a pixel sees 1 pixel. Layer 1 is the first one with "
            "a kernel.",
        ),
        "doubled": Mistake(
            (3.0, 6.0, 12.0, 4.0),
            "your field doubles from layer to layer. Without strides and dilation each layer adds the same number of "
            "pixels.",
        ),
        "outputs_of_one_layer": Mistake(
            (3.0, 5.0, 7.0, 8.0),
            "the three fields are right. Your number of units is that of layer 1: each layer without padding loses "
            "some more.",
        ),
        "as_many_as_pixels": Mistake(
            (3.0, 5.0, 7.0, 10.0),
            "the three fields are right. But without padding there are fewer units than pixels: how often does a "
            "window of 3 fit into a row of 10?",
        ),
        "kernel_lost_each_time": Mistake(
            (3.0, 5.0, 7.0, 1.0),
            "the three fields are right. Your rows get shorter by 3 with each layer: in a row of 10 a window of 3 can "
            "begin at more than 7 places.",
        ),
        "places_of_the_field": Mistake(
            (3.0, 5.0, 7.0, 3.0),
            "the three fields are right. The last number is one too small: a window of 7 in a row of 10 can begin at "
            "pixel 0, too.",
        ),
    },
)

HOLES = ValueExercise(
    name="holes",
    expected=(3.0, 5.0, 9.0),
    mistakes={
        "dilation_ignored": Mistake(
            (2.0, 3.0, 9.0),
            "these are the fields without dilation. With d = 2 the two weights along a side lie 2 pixels apart.",
        ),
        "dilation_ignored_and_counted": Mistake(
            (2.0, 3.0, 4.0),
            "these are the numbers without dilation, and the pixels of one layer alone. With d = 2 the two weights "
            "along a side lie 2 pixels apart.",
        ),
        "kernel_times_dilation": Mistake(
            (4.0, 7.0, 9.0),
            "you widened the kernel to k d = 4. Draw it: between 2 weights there is one hole, and none behind the last "
            "one. The span is d (k - 1) + 1.",
        ),
        "kernel_times_dilation_added_up": Mistake(
            (4.0, 8.0, 9.0),
            "you widened the kernel to k d = 4, and added the two layers up. Between 2 weights there is one hole, and "
            "none behind the last one; and each layer adds d (k - 1) pixels to the one pixel at the start.",
        ),
        "kernel_times_dilation_and_paths": Mistake(
            (4.0, 7.0, 16.0),
            "you widened the kernel to k d = 4. Draw it: between 2 weights there is one hole, and none behind the last "
            "one. And 16 is the number of ways down from the unit; some of them end at the same pixel.",
        ),
        "dilations_multiplied": Mistake(
            (3.0, 7.0, 9.0),
            "in your second layer the step is twice as long, as behind a stride of 2. The dilation of layer 1 does not "
            "move its outputs apart: layer 2 adds d (k - 1) pixels again.",
        ),
        "spans_added_up": Mistake(
            (3.0, 6.0, 9.0),
            "the second field is no sum of two spans: the second layer adds d (k - 1) pixels to the field of the "
            "first.",
        ),
        "spans_multiplied": Mistake(
            (3.0, 9.0, 9.0),
            "you multiplied the two spans. The second layer adds d (k - 1) pixels to the field of the first.",
        ),
        "holes_counted": Mistake(
            (3.0, 5.0, 25.0),
            "the two fields are right. But not every pixel of the field is read: mark the 4 outputs of layer 1 that "
            "the unit reads, and then the pixels that these read.",
        ),
        "paths_counted": Mistake(
            (3.0, 5.0, 16.0),
            "the two fields are right. 16 is the number of ways from the unit down to the pixels; some of them end at "
            "the same pixel, which counts once.",
        ),
        "pixels_of_one_layer": Mistake(
            (3.0, 5.0, 4.0),
            "the two fields are right. The unit reads 4 outputs of layer 1, but each of these reads 4 pixels.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# receptive_field
# ---------------------------------------------------------------------------------------------------------------------

Steps = Callable[[Sequence[LayerTuple], int], int]  # layers and the number l of a layer (from 0) -> pixels


def _strides_below(layers: Sequence[LayerTuple], l: int) -> int:
    return math.prod(s for _, s, _, _ in layers[:l])


def _reach(layers: Sequence[LayerTuple], l: int) -> int:
    k, _, _, d = layers[l]
    return (k - 1) * d


def _field(
    layers: Sequence[LayerTuple], reach: Steps = _reach, jump: Steps = _strides_below, start: int = 1, first: int = 0
) -> int:
    """Return start + the sum over the layers from `first` of reach * jump."""
    return start + sum(reach(layers, l) * jump(layers, l) for l in range(first, len(layers)))


def _field_cases(generator: torch.Generator) -> Iterator[Case]:
    for layers, note in _stacks(generator):
        yield Case({"layers": layers}, note, EXACT)
    yield Case({"layers": []}, "no layer at all", EXACT)


RECEPTIVE_FIELD = Exercise(
    name="receptive_field",
    reference=receptive_fields.receptive_field,
    cases=_field_cases,
    mistakes={
        "own_stride_included": Mistake(
            partial(_field, jump=lambda layers, l: _strides_below(layers, l + 1)),
            "your product of strides includes that of the layer itself. What layer l adds is measured on the map below "
            "it, so the product ends with s_(l-1).",
        ),
        "strides_ignored": Mistake(
            partial(_field, jump=lambda layers, l: 1),
            "your field does not depend on the strides. Behind a stride of 2 a step of one unit is a step of 2 pixels.",
        ),
        "only_the_stride_below": Mistake(
            partial(_field, jump=lambda layers, l: layers[l - 1][1] if l else 1),
            "you took only the stride of the layer just below. All the layers below count: their strides are "
            "multiplied.",
        ),
        "own_stride_only": Mistake(
            partial(_field, jump=lambda layers, l: layers[l][1]),
            "you multiplied k_l - 1 with the stride of the layer itself. It counts for the layers above: take the "
            "product of the strides below.",
        ),
        "strides_above": Mistake(
            partial(_field, jump=lambda layers, l: math.prod(s for _, s, _, _ in layers[l + 1 :])),
            "you multiplied with the strides of the layers above. The list begins at the image: the strides before the "
            "layer in the list count, not those after it.",
        ),
        "strides_added_up": Mistake(
            partial(_field, jump=lambda layers, l: sum(s for _, s, _, _ in layers[:l]) or 1),
            "you added the strides up. One step of a unit is s_1 steps of the layer below, each of which is ... of the "
            "next: a product.",
        ),
        "strides_added_to_one": Mistake(
            partial(_field, jump=lambda layers, l: 1 + sum(s for _, s, _, _ in layers[:l])),
            "you add each stride to the length of the steps. It is multiplied: behind two strides of 3 a step of one "
            "unit is a step of 9 pixels.",
        ),
        "padding_taken_for_dilation": Mistake(
            partial(_field, reach=lambda layers, l: (layers[l][0] - 1) * layers[l][2]),
            "you multiply with the padding in place of the dilation. Look at the order: a layer is (k, s, p, d).",
        ),
        "dilation_ignored": Mistake(
            partial(_field, reach=lambda layers, l: layers[l][0] - 1),
            "your field does not depend on the dilation. The steps between the weights of a kernel are d_l long.",
        ),
        "kernel_times_dilation": Mistake(
            partial(_field, reach=lambda layers, l: layers[l][0] * layers[l][3] - 1),
            "you took a dilated kernel as k d pixels wide. Between k weights there are only k - 1 steps of length d.",
        ),
        "dilation_as_number_of_holes": Mistake(
            partial(_field, reach=lambda layers, l: (layers[l][0] - 1) * (layers[l][3] + 1)),
            "you took d_l as the number of holes between two weights. Here d is the step from one weight to the next: "
            "d = 1 leaves no hole.",
        ),
        "dilation_stays": Mistake(
            partial(
                _field, jump=lambda layers, l: _strides_below(layers, l) * math.prod(d for _, _, _, d in layers[:l])
            ),
            "the dilation of a layer also widens all the layers above it in your sum. It moves the weights of its own "
            "kernel apart, and not its outputs: only strides are multiplied.",
        ),
        "kernel_without_minus_one": Mistake(
            partial(_field, reach=lambda layers, l: layers[l][0] * layers[l][3]),
            "each layer adds k_l d_l in your sum. A kernel of size k has k - 1 steps from its first to its last "
            "weight; a kernel of size 1 adds nothing.",
        ),
        "without_the_one": Mistake(
            partial(_field, start=0),
            "your field is one pixel too small: the sum counts the steps from the first pixel to the last one. How "
            "many pixels are that?",
        ),
        "padding_added": Mistake(
            lambda layers: (
                _field(layers) + sum(2 * p * _strides_below(layers, l) for l, (_, _, p, _) in _numbered(layers))
            ),
            "your field grows with the padding. Padding moves the field and adds outputs at the border; how much one "
            "unit sees stays the same.",
        ),
        "padding_added_unscaled": Mistake(
            lambda layers: _field(layers) + sum(2 * p for _, _, p, _ in layers),
            "you add 2 p for each layer. The padding does not change how much one unit sees; it moves the field, and "
            "adds outputs at the border.",
        ),
        "padding_subtracted": Mistake(
            lambda layers: (
                _field(layers) - sum(2 * p * _strides_below(layers, l) for l, (_, _, p, _) in _numbered(layers))
            ),
            "your field shrinks with the padding. Padding moves the field and adds outputs at the border; how much one "
            "unit sees stays the same.",
        ),
        "kernels_multiplied": Mistake(
            lambda layers: math.prod(k for k, _, _, _ in layers),
            "you multiplied the kernel sizes, as if the fields of neighbouring units did not overlap.",
        ),
        "kernels_added_up": Mistake(
            lambda layers: sum(k for k, _, _, _ in layers),
            "you added the kernel sizes up. A layer adds k_l - 1 steps to the field, and behind strides each of them "
            "is several pixels long.",
        ),
        "last_layer_forgotten": Mistake(
            lambda layers: _field(layers[:-1]),
            "your sum ends one layer early: the last layer is in it, too. Only its stride is not.",
        ),
        "first_layer_forgotten": Mistake(
            partial(_field, first=1),
            "your sum begins with the second layer. The first one adds (k_1 - 1) d_1: the product of no strides is 1.",
        ),
        "jump": Mistake(
            lambda layers: _strides_below(layers, len(layers)),
            "this is the product of all strides: how far apart the fields of two neighbouring units lie, and not how "
            "large they are.",
        ),
        "squared": Mistake(
            lambda layers: _field(layers) ** 2,
            "this is the number of pixels in the field. Its side is asked for.",
        ),
        "half": Mistake(
            lambda layers: (_field(layers) - 1) // 2,
            "this is how far the field reaches to one side of its centre. The whole of it is asked for.",
        ),
    },
    properties=[
        Property("a unit sees at least one pixel.", lambda arguments, value: value >= 1),
        Property(
            "a field is at least as large as that of the first layer alone.",
            lambda arguments, value: not arguments["layers"] or value >= _field(arguments["layers"][:1]),
        ),
    ],
)


def _numbered(layers: Sequence[LayerTuple]) -> list[tuple[int, LayerTuple]]:
    return list(enumerate(layers))


# ---------------------------------------------------------------------------------------------------------------------
# trace
# ---------------------------------------------------------------------------------------------------------------------

RowTuple = tuple[int, int, int, float]  # output size, jump, field, centre of the first field


def trace(layers: list[LayerTuple], input_size: int) -> list[RowTuple]:
    """Return (output size, jump, field, first centre) of each layer: `receptive_fields.trace` as plain tuples."""
    return [tuple(row)[1:] for row in receptive_fields.trace(layers, input_size)]


def _size(n: int, k: int, s: int, p: int, d: int) -> int:
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def _centre_step(k: int, p: int, d: int) -> float:
    return (k - 1) * d / 2 - p


def _trace(
    layers: Sequence[LayerTuple],
    input_size: int,
    size: Callable[..., int] = _size,
    jump: Callable[[int, int], int] = lambda j, s: j * s,
    field: Callable[[int, int, int, int, int], int] = lambda r, k, s, d, j: r + (k - 1) * d * j,
    centre: Callable[..., float] = lambda c, k, s, p, d, j: c + _centre_step(k, p, d) * j,
    start: tuple[int, int, float] = (1, 1, 0.0),
    row: Callable[[int, int, int, float, int], tuple] = lambda n, j, r, c, below: (n, j, r, c),
) -> list[tuple]:
    """Return the rows, with each piece of the recursion open; j in `field` and `centre` is the jump below the layer."""
    n, (j, r, c), rows = input_size, start, []
    for k, s, p, d in layers:
        n, r, c = size(n, k, s, p, d), field(r, k, s, d, j), centre(c, k, s, p, d, j)
        below, j = j, jump(j, s)
        rows.append(row(n, j, r, c, below))
    return rows


def _trace_cases(generator: torch.Generator) -> Iterator[Case]:
    for number, (layers, note) in enumerate(_stacks(generator)):
        # As large as the field and a little more, so that every window fits; even and odd.
        size = _field(layers) + 2 * _strides_below(layers, len(layers)) + number % 2
        yield Case({"layers": layers, "input_size": size}, f"{note}, {size} pixels", EXACT)
    layers = [(3, 2, 1, 1), (3, 2, 1, 1), (2, 2, 0, 1)]
    yield Case({"layers": layers, "input_size": 30}, "sizes that the strides do not divide", EXACT)


TRACE = Exercise(
    name="trace",
    reference=trace,
    cases=_trace_cases,
    mistakes={
        "field_with_own_stride": Mistake(
            partial(_trace, field=lambda r, k, s, d, j: r + (k - 1) * d * j * s),
            "your field grows with the jump behind the layer. The steps between its weights are steps on the map below "
            "it: use the jump of before, and multiply it with s afterwards.",
        ),
        "jump_of_below": Mistake(
            partial(_trace, row=lambda n, j, r, c, below: (n, below, r, c)),
            "your jumps are those of the map below. The outputs of the layer itself lie s times as far apart.",
        ),
        "jump_not_multiplied": Mistake(
            partial(_trace, jump=lambda j, s: s),
            "your jump is the stride of the layer alone. Strides multiply from layer to layer.",
        ),
        "jump_added_up": Mistake(
            partial(_trace, jump=lambda j, s: j + s - 1),
            "your jumps add up. Strides multiply from layer to layer: j' = j s.",
        ),
        "dilation_ignored_in_size": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: _size(n, k, s, p, 1)),
            "your output size does not depend on the dilation: a dilated kernel is wider, and fits in fewer places.",
        ),
        "dilation_ignored_in_field": Mistake(
            partial(_trace, field=lambda r, k, s, d, j: r + (k - 1) * j),
            "your field does not depend on the dilation.",
        ),
        "dilation_ignored_in_centre": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + _centre_step(k, p, 1) * j),
            "your centre does not depend on the dilation. The middle of a dilated kernel lies d (k - 1) / 2 behind its "
            "first weight.",
        ),
        "dilation_ignored": Mistake(
            lambda layers, input_size: _trace([(k, s, p, 1) for k, s, p, _ in layers], input_size),
            "your rows do not depend on the dilation at all.",
        ),
        "kernel_times_dilation": Mistake(
            partial(
                _trace,
                size=lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
                field=lambda r, k, s, d, j: r + (k * d - 1) * j,
                centre=lambda c, k, s, p, d, j: c + ((k * d - 1) / 2 - p) * j,
            ),
            "you took a dilated kernel as k d pixels wide. It spans d (k - 1) + 1.",
        ),
        "kernel_times_dilation_in_size": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1),
            "in your output size a dilated kernel is k d pixels wide. It spans d (k - 1) + 1.",
        ),
        "padding_once_in_size": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
            "you added the padding once to the size. There are p pixels on both sides.",
        ),
        "padding_ignored_in_size": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: _size(n, k, s, 0, d)),
            "your output size does not depend on the padding.",
        ),
        "padding_ignored": Mistake(
            lambda layers, input_size: _trace([(k, s, 0, d) for k, s, _, d in layers], input_size),
            "your rows do not depend on the padding. It adds outputs, and moves the first field to the left.",
        ),
        "size_rounded_up": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1),
            "your output size is rounded up. A window that does not fit in whole is left out: round down.",
        ),
        "size_rounded": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s) + 1),
            "your output size is rounded to the nearest number. A window that does not fit in whole is left out: round "
            "down.",
        ),
        "one_added_before_the_division": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s),
            "in your output size the 1 is added before you divide by the stride. It stands behind the fraction: it is "
            "the window at the first place, which takes no step.",
        ),
        "size_without_the_one": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
            "your output size is too small by one: the window stands at its first place before it makes any step.",
        ),
        "size_one_too_large": Mistake(
            partial(_trace, size=lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1),
            "your output size is sometimes too large by one: the window begins its steps at the place where it has "
            "n + 2 p - d (k - 1) - 1 pixels behind it.",
        ),
        "padding_in_centre_not_scaled": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + (k - 1) * d / 2 * j - p),
            "in your centre the padding counts in pixels of the image. It is p pixels of the map below the layer, each "
            "of which is j pixels of the image.",
        ),
        "centre_not_scaled": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + _centre_step(k, p, d)),
            "your centre moves by (k - 1) d / 2 - p pixels of the image. These are pixels of the map below the layer, "
            "each of which is j pixels of the image.",
        ),
        "centre_with_own_stride": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + _centre_step(k, p, d) * j * s),
            "your centre moves with the jump behind the layer. Kernel and padding are measured on the map below it: "
            "use the jump of before.",
        ),
        "padding_ignored_in_centre": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + (k - 1) * d / 2 * j),
            "your centre does not depend on the padding: it is the middle of a field that begins at pixel 0. With p "
            "pixels in front of the map, the first window begins at -p.",
        ),
        "padding_twice_in_centre": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + ((k - 1) * d / 2 - 2 * p) * j),
            "in your centre the padding counts twice. Only the p pixels in front of the map move the first window.",
        ),
        "centre_at_the_last_weight": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + ((k - 1) * d - p) * j),
            "your centre moves by (k - 1) d, all the way to the last weight of the first window. The middle of the "
            "window is half as far.",
        ),
        "padding_added_to_centre": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + ((k - 1) * d / 2 + p) * j),
            "your padding moves the first centre to the right. It stands in front of the map: the first window moves "
            "to the left.",
        ),
        "centre_by_half_the_kernel": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + (k * d / 2 - p) * j),
            "your centre moves by k / 2. From the first weight to the middle of the kernel it is (k - 1) / 2 steps: a "
            "kernel of 3 has its middle at index 1.",
        ),
        "centre_rounded": Mistake(
            partial(_trace, centre=lambda c, k, s, p, d, j: c + ((k - 1) * d // 2 - p) * j),
            "you rounded the centre down. An even kernel has its middle between two pixels: leave the half.",
        ),
        "centre_made_whole": Mistake(
            partial(_trace, row=lambda n, j, r, c, below: (n, j, r, int(c))),
            "you made whole numbers of the centres. A field of even size has its middle between two pixels: leave the "
            "half.",
        ),
        "centre_counted_from_the_edge": Mistake(
            partial(_trace, start=(1, 1, 0.5)),
            "your centres are measured from the left edge of the first pixel. Here they are indices: the middle of the "
            "first pixel is 0.",
        ),
        "centre_counted_from_one": Mistake(
            partial(_trace, start=(1, 1, 1.0)),
            "your centres are counted from 1. The first pixel of the image has the index 0.",
        ),
        "centre_clipped": Mistake(
            partial(_trace, row=lambda n, j, r, c, below: (n, j, r, max(c, 0.0))),
            "you clipped the centre at 0. With much padding the first field may have its middle outside of the image: "
            "leave it there.",
        ),
        "field_without_the_one": Mistake(
            partial(_trace, start=(1, 0, 0.0)),
            "your field is one pixel too small in all rows. A pixel of the image sees itself: begin with r = 1.",
        ),
        "image_as_first_row": Mistake(
            lambda layers, input_size: [(input_size, 1, 1, 0.0), *_trace(layers, input_size)],
            "there is a row too many: you begin with the image itself. One row for each layer is asked for.",
        ),
        "last_row_only": Mistake(
            lambda layers, input_size: _trace(layers, input_size)[-1],
            "you returned the last row alone. A list with one row for each layer is asked for.",
        ),
        "jump_and_field_swapped": Mistake(
            partial(_trace, row=lambda n, j, r, c, below: (n, r, j, c)),
            "jump and field have changed places in your rows: (output size, jump, field, centre).",
        ),
        "last_row_first": Mistake(
            lambda layers, input_size: _trace(layers, input_size)[::-1],
            "your rows are in the wrong order: they go from the image upwards, as the layers do.",
        ),
    },
    properties=[
        Property(
            "all fields are at least one pixel large.", lambda arguments, value: all(row[2] >= 1 for row in value)
        ),
        Property(
            "fields and jumps never shrink from a layer to the next.",
            lambda arguments, value: all(a[2] <= b[2] and a[1] <= b[1] for a, b in pairwise(value)),
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# input_region
# ---------------------------------------------------------------------------------------------------------------------

Ends = tuple[float, float]


def _region(
    layers: Sequence[LayerTuple],
    position: int,
    step: Callable[..., Ends] = lambda a, b, k, s, p, d: (a * s - p, b * s - p + d * (k - 1)),
    order: Callable[[Sequence[LayerTuple]], Any] = reversed,
) -> Ends:
    """Return the first and last pixel, with the step from a layer to the map below it open."""
    a = b = position
    for k, s, p, d in order(layers):
        a, b = step(a, b, k, s, p, d)
    return a, b


def _region_cases(generator: torch.Generator) -> Iterator[Case]:
    for number, (layers, note) in enumerate(_stacks(generator)):
        position = (0, 5, 2)[number % 3]
        yield Case({"layers": layers, "position": position}, f"{note}, output {position}", EXACT)
    layers = _stack(generator, 3)
    for position in (0, 1, 40):
        yield Case({"layers": layers, "position": position}, f"another drawn stack, output {position}", EXACT)
    yield Case({"layers": [], "position": 3}, "no layer at all, position 3", EXACT)


def _length(value: Ends) -> float:
    return float(value[1]) - float(value[0]) + 1


def _one_jump_apart(cases: Sequence[Case], answers: Sequence[Any]) -> bool:
    """Whether two outputs of one stack see regions that lie their distance times the product of all strides apart."""
    for (case, answer), (other, there) in combinations(zip(cases, answers, strict=True), 2):
        layers, positions = case.arguments["layers"], (case.arguments["position"], other.arguments["position"])
        if layers == other.arguments["layers"]:
            apart = _strides_below(layers, len(layers)) * (positions[1] - positions[0])
            if any(abs(float(b) - float(a) - apart) > 1e-6 for a, b in zip(answer, there, strict=True)):
                return False
    return True


INPUT_REGION = Exercise(
    name="input_region",
    reference=receptive_fields.input_region,
    cases=_region_cases,
    mistakes={
        "clipped": Mistake(
            lambda layers, position: (max(_region(layers, position)[0], 0), max(_region(layers, position)[1], 0)),
            "you clipped the region at the border of the image. Here it is asked for as it is: a negative index lies "
            "on the padding.",
        ),
        "clipped_on_the_way": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (max(a * s - p, 0), max(b * s - p + d * (k - 1), 0))),
            "you clip at the border of each map on the way down. Nothing is clipped here: an index may become "
            "negative, and goes on from there.",
        ),
        "last_excluded": Mistake(
            lambda layers, position: (_region(layers, position)[0], _region(layers, position)[1] + 1),
            "your last index is the one behind the region, as in a slice. The last pixel that is seen is asked for.",
        ),
        "last_excluded_in_each_layer": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s - p, b * s - p + d * (k - 1) + 1)),
            "your last index moves by one too many in each layer: from the first of k weights to the last one it is "
            "k - 1 steps.",
        ),
        "padding_ignored": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s, b * s + d * (k - 1))),
            "your region does not depend on the padding. Window number 0 begins at -p on the map below.",
        ),
        "padding_added": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s + p, b * s + p + d * (k - 1))),
            "you add the padding. The windows begin p pixels in front of the map, so the index gets smaller.",
        ),
        "padding_on_both_sides": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s - p, b * s + p + d * (k - 1))),
            "your region gets wider with the padding: p is taken off at the first pixel and added at the last. The "
            "padding moves the whole window to the left.",
        ),
        "padding_at_the_first_alone": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s - p, b * s + d * (k - 1))),
            "you took the padding off at the first pixel alone. It moves the whole window, its last pixel as well.",
        ),
        "padding_before_stride": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: ((a - p) * s, (b - p) * s + d * (k - 1))),
            "you take the padding off before you multiply with the stride. It is measured on the map below: s v - p.",
        ),
        "stride_ignored": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a - p, b - p + d * (k - 1))),
            "your region does not depend on the strides: window number v begins s v pixels behind window number 0.",
        ),
        "dilation_ignored": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s - p, b * s - p + k - 1)),
            "your region does not depend on the dilation.",
        ),
        "kernel_times_dilation": Mistake(
            partial(_region, step=lambda a, b, k, s, p, d: (a * s - p, b * s - p + k * d - 1)),
            "you took a dilated kernel as k d pixels wide. From its first weight to its last it is d (k - 1) steps.",
        ),
        "upwards": Mistake(
            partial(_region, order=list),
            "you go through the layers from the image upwards. The output belongs to the last layer: begin there, and "
            "go down.",
        ),
        "one_index_for_both": Mistake(
            lambda layers, position: (
                _region(layers, position)[0],
                _region(layers, position)[0] + (layers[0][3] * (layers[0][0] - 1) if layers else 0),
            ),
            "your first pixel is right; your last one is the end of a single window of the first layer. Both ends have "
            "to go down through all the layers.",
        ),
        "size_for_last": Mistake(
            lambda layers, position: (_region(layers, position)[0], _length(_region(layers, position))),
            "your second number is the size of the region. Its last pixel is asked for.",
        ),
        "swapped": Mistake(
            lambda layers, position: _region(layers, position)[::-1],
            "first and last have changed places.",
        ),
        "counted_from_one": Mistake(
            lambda layers, position: tuple(end + 1 for end in _region(layers, position)),
            "your pixels are counted from 1. The first pixel of the image has the index 0.",
        ),
        "output_counted_from_one": Mistake(
            lambda layers, position: _region(layers, position - 1),
            "this is the region of the output before: position 0 is the first one.",
        ),
        "centred": Mistake(
            lambda layers, position: (
                position * _strides_below(layers, len(layers)) - (_field(layers) - 1) // 2,
                position * _strides_below(layers, len(layers)) - (_field(layers) - 1) // 2 + _field(layers) - 1,
            ),
            "size and jump are right, but you laid the field around the pixel position * jump. The paddings decide "
            "where it lies: go down layer by layer.",
        ),
        "middle_only": Mistake(
            lambda layers, position: (sum(_region(layers, position)) / 2,) * 2,
            "both your numbers are the centre of the field. Its two ends are asked for.",
        ),
    },
    properties=[
        Property("the first pixel does not lie behind the last one.", lambda arguments, value: value[0] <= value[1]),
        Property(
            "the region is as large as the receptive field, wherever it lies.",
            lambda arguments, value: abs(_length(value) - _field(arguments["layers"])) < 1e-6,
        ),
    ],
    relations=[
        Relation("The regions of two outputs must lie their distance times all strides apart.", _one_jump_apart),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# effective_receptive_field
# ---------------------------------------------------------------------------------------------------------------------


def _with_scores(layers: list[nn.Module], shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Return the layers, and a dense one behind them that makes class scores (N, n_classes) of their maps."""
    with torch.no_grad():
        n_units = nn.Sequential(*layers)(torch.zeros(1, *shape)).numel()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_units, n_classes))


@register_network("field_padded")
def _padded(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """A linear network that keeps the size: its derivatives are the same at every image."""
    layers = [nn.Conv2d(shape[0], 4, 3, padding=1), nn.Conv2d(4, 3, 5, padding=2), nn.Conv2d(3, 5, (1, 3))]
    return _with_scores(layers, shape, n_classes)


@register_network("field_strided")
def _strided(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """A linear network with a stride, a dilation and an average pooling."""
    layers = [
        nn.Conv2d(shape[0], 3, 3, stride=2, padding=1),
        nn.Conv2d(3, 4, 2, dilation=2),
        nn.AvgPool2d(2, stride=1),
        nn.Conv2d(4, 2, 1),
    ]
    return _with_scores(layers, shape, n_classes)


@register_network("field_deep")
def _deep(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """A linear network of so many layers that their names have two digits; most of them do nothing."""
    layers = [nn.Conv2d(shape[0], 2, 3, padding=1), *(nn.Identity() for _ in range(9)), nn.Conv2d(2, 3, 3, padding=1)]
    return _with_scores(layers, shape, n_classes)


def _of_each_number(kind: str, function: nn.Module) -> None:
    """Register y = sum of a_ki f(w_k x_ki), with one output that sees the whole image and never mixes two numbers."""

    def layers(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
        first = nn.Conv2d(shape[0], shape[0], 1, groups=shape[0], bias=False)
        last = nn.Conv2d(shape[0], 1, shape[1:])
        return nn.Sequential(first, copy.deepcopy(function), last, nn.Flatten(), nn.Linear(1, n_classes))

    register_network(kind)(layers)


_of_each_number("field_squared", Power(2))  # dy/dx_ki = 2 a_ki w_k^2 x_ki
_of_each_number("field_cubed", Power(3))  # dy/dx_ki = 3 a_ki w_k^3 x_ki^2
_of_each_number("field_soft", nn.Softplus())  # dy/dx_ki = a_ki w_k / (1 + exp(-w_k x_ki))


def _sizes(model: nn.Sequential) -> Tensor:
    """Return for a network of `_of_each_number` the size |a_ki w_k^p| of the constant in dy/dx_ki, (C, H, W)."""
    exponent = model[1].exponent if isinstance(model[1], Power) else 1
    first, last = (model[number].weight.detach().double().abs() for number in (0, 2))
    return last[0] * first[:, :, 0] ** exponent


def _n_samples(arguments: dict[str, Any]) -> int:
    return arguments.get("n_samples", 20)


def _unevenness(arguments: dict[str, Any], value: Tensor) -> float:
    """Return how uneven E_i / (sum over k of the constants c_ki) is, in units of what independent images give.

    E_i is the sum over the colours of c_ki times a mean of n_samples magnitudes g(x). If these are independent, E_i has
    the relative deviation D sqrt(sum c_ki^2) / (sum c_ki) / sqrt(n_samples), with the deviation D of g(x) in units of
    its mean, which is returned.
    """
    constants = _sizes(arguments["model"])
    ratio = value.double() / constants.sum(0)
    relative = (ratio / ratio.mean() - 1) * constants.sum(0) / constants.square().sum(0).sqrt()
    return relative.square().mean().sqrt().item() * _n_samples(arguments) ** 0.5


# 40 x 40 pixels: the relative deviation of a sample of 1600 magnitudes |x| is off by about 2.5 %; 15 % are 6 of that.
# For standard normal x it is sqrt(pi / 2 - 1) = 0.756. With uniform noise it is 0.577, 24 % less; the mean of 20 images
# is 2.7 times as uneven as that of 150.
_AS_MANY_AS_ASKED = Statistic(
    "E is the mean of |dy/dI| over n_samples images of standard normal noise: every image has noise of its own, and so "
    "has every colour; and the more images there are, the more even the mean.",
    _unevenness,
    math.sqrt(math.pi / 2 - 1),
)


def _deviation_of_logistic(weight: float) -> float:
    """Return the deviation of 1 / (1 + exp(-w x)) for standard normal x, in units of its mean, by a sum."""
    x = torch.linspace(-9, 9, 2001, dtype=torch.float64)
    share, value = (-x.square() / 2).softmax(0), torch.sigmoid(weight * x)
    mean = (share * value).sum()
    return ((share * (value - mean).square()).sum().sqrt() / mean).item()


# The deviation of a sample of 3600 is off by about 1.5 %: 15 % are ten of that. Noise of half the deviation gives about
# half of it, of twice the deviation 1.7 times as much, and |x| in place of x less than a half.
_SOFT = NetworkDescription("field_soft", 11, (1, 60, 60))
_AS_DRAWN = Statistic(
    "the images are standard normal noise as it is drawn: neither scaled nor shifted, and with negative numbers.",
    _unevenness,
    _deviation_of_logistic(_SOFT.build()[0].weight.item()),
)


def _share_of_the_weak(arguments: dict[str, Any], value: Tensor) -> float:
    """Return (E_0 / c_0) / (E_1 / c_1) for the two pixels of a field, where c_0 is the smaller one."""
    weak, strong = (value.double() / _sizes(arguments["model"])[0])[0].tolist()
    return min(weak / strong, 1e6) if strong > 0 else 0.0


# The mean of 600 squares is off by 5.8 %, the ratio of two such means by 8.2 %: 60 % are 7 of that. (It is many, since
# the ratio is skewed.) The mean of the shares of single images is sqrt(c) / (sqrt(c_0) + sqrt(c_1)): for constants that
# are 20 times as large as each other it gives 4.5.
_MEAN_FIRST = Statistic(
    "E is the mean of |dy/dI| over the images, divided by its sum: images at which the unit is moved a lot count more. "
    "(This network has two pixels, and its derivatives differ a lot from image to image.)",
    _share_of_the_weak,
    1.0,
)
_CUBED = NetworkDescription("field_cubed", 20, (1, 1, 2))


def _evens_out(case: Case) -> bool:
    """Whether the answer hardly depends on the noise, even if there is less of it than asked for."""
    return case.statistic is not _MEAN_FIRST


def _own_noise(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether no row and no column of the noise repeats the one before; True where the field does not show it."""
    if not isinstance(arguments["model"][1], Power | nn.Softplus) or min(value.shape) < 40:
        return True
    ratio = value.double() / _sizes(arguments["model"]).sum(0)
    ratio = ratio - ratio.mean()
    neighbours = ((ratio[1:], ratio[:-1]), (ratio[:, 1:], ratio[:, :-1]))
    # Independent noise: 0 with a deviation of 1 / 40.
    return all((a * b).mean() <= 0.3 * ratio.square().mean() for a, b in neighbours)


def _effective_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(
        network: NetworkDescription,
        layer: str,
        n_samples: int | None,
        note: str,
        tolerance: float = 1e-4,
        statistic: Statistic | None = None,
    ) -> Case:
        arguments = {
            "model": network,
            "layer": layer,
            "input_size": network.shape[1:],
            **({} if n_samples is None else {"n_samples": n_samples}),
            "generator": Seed(network.seed + 1),
        }
        return Case(arguments, note, tolerance, statistic=statistic)

    def linear(kind: str, seed: int, *shape: int, training: bool = False) -> NetworkDescription:
        return NetworkDescription(f"field_{kind}", seed, shape, training=training)

    def squares(colours: int, seed: int, n_samples: int | None, note: str) -> Case:
        network = NetworkDescription("field_squared", seed, (colours, 40, 40))
        return case(network, "2", n_samples, note, 0.15, _AS_MANY_AS_ASKED)

    def drawn() -> int:
        return draw_integer(generator, 5, 2**30)

    yield case(linear("padded", 1, 1, 11, 11), "0", 2, "a linear network, grey images, layer '0'")
    yield case(linear("padded", 2, 3, 12, 15), "1", 2, "a linear network, colour images wider than high, layer '1'")
    yield case(linear("strided", 3, 2, 16, 13), "2", 3, "a linear network with a stride, two colours, layer '2'")
    in_train_mode = linear("padded", 6, 2, 9, 10, training=True)
    yield case(in_train_mode, "1", 2, "a linear network that comes in train mode, layer '1'")
    yield case(linear("deep", 5, 2, 8, 9), "10", 2, "a linear network of many layers, layer '10'")
    yield squares(1, 4, 150, "y = sum a x^2, many samples")
    yield squares(1, 4, 1, "y = sum a x^2, one sample")
    yield squares(3, 7, 2, "y = sum a x^2, three colours, two samples")
    yield squares(1, 8, None, "y = sum a x^2, n_samples left out")
    yield case(_CUBED, "2", 600, "y = sum a x^3 of two pixels", 0.6, _MEAN_FIRST)

    yield case(linear("padded", drawn(), 3, 14, 12), "2", 1, "a linear network, layer '2'")
    yield case(linear("strided", drawn(), 3, 17, 20), "3", 2, "a strided linear network, layer '3'")
    yield case(_SOFT, "2", 1, "a network with softplus, one sample", 0.15, _AS_DRAWN)
    again = squares(1, drawn(), 150, "y = sum a x^2, drawn")
    yield again
    other = {**again.arguments, "generator": Seed(drawn())}
    yield replace(again, arguments=other, note="y = sum a x^2, another generator")
    yield replace(again, note="the first generator again")
    broken = {**again.arguments, "model": linear("strided", 1, 2, 9, 9), "input_size": (1, 1)}
    yield Case(broken, "images that are smaller than a kernel, so that the network raises an error", raises=True)


def _same_generator_same_field(cases: Sequence[Case], answers: Sequence[Any]) -> bool:
    return all(near for same, near in pairs_but_for("generator", cases, answers) if same)


def _other_generator_other_field(cases: Sequence[Case], answers: Sequence[Any]) -> bool:
    return not any(near for same, near in pairs_but_for("generator", cases, answers) if not same)


def _middle(maps: Tensor) -> Tensor:
    return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()


def _normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator)


def _to_one(field: Tensor) -> Tensor:
    return field / field.sum()


def _magnitudes(gradients: Tensor) -> Tensor:
    """(N, C, H, W) -> (H, W)."""
    return gradients.abs().sum((0, 1))


def _effective(
    model: nn.Sequential,
    layer: str,
    input_size: tuple[int, int],
    n_samples: int = 20,
    generator: torch.Generator | None = None,
    unit: Callable[[Tensor], Tensor] = _middle,
    noise: Callable[..., Tensor] = _normal,
    collect: Callable[[Tensor], Tensor] = _magnitudes,
    finish: Callable[[Tensor], Tensor] = _to_one,
    end: int | None = 0,
    samples: Callable[[int], int] = lambda n: n,
) -> Tensor:
    """Return the effective field with its pieces open; the network is cut `end` layers behind the layer (None: not)."""
    part = model if end is None else model[: int(layer) + 1 + end]
    images = noise((samples(n_samples), model[0].in_channels, *input_size), generator).requires_grad_()
    (gradients,) = torch.autograd.grad(unit(part(images)), images)
    return finish(collect(gradients))


def _channel_by_channel(model: nn.Sequential, layer: str, *arguments: Any, **options: Any) -> Tensor:
    """Return the field with the magnitudes of every channel's derivative added up."""
    with torch.no_grad():
        n_channels = model[: int(layer) + 1](torch.zeros(1, model[0].in_channels, *arguments[0])).shape[1]
    total = 0.0
    for channel in range(n_channels):
        state = options["generator"].get_state()
        unit = partial(lambda maps, channel: _middle(maps[:, channel : channel + 1]), channel=channel)
        total = total + _effective(model, layer, *arguments, **options, unit=unit, finish=lambda field: field)
        options["generator"].set_state(state)
    return _to_one(total)


def _shares_added_up(fields: Tensor) -> Tensor:
    """(N, H, W) -> (H, W)."""
    return (fields / fields.sum((1, 2), keepdim=True)).sum(0)


def _uniform(low: float, high: float) -> Callable[..., Tensor]:
    return lambda shape, generator: low + (high - low) * torch.rand(shape, generator=generator)


def _same_for_all(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(1, *shape[1:], generator=generator).repeat(shape[0], 1, 1, 1)


def _corner(maps: Tensor) -> Tensor:
    return maps[:, :, 0, 0].sum()


def _one_before_middle(maps: Tensor) -> Tensor:
    return maps[:, :, (maps.shape[2] - 1) // 2, (maps.shape[3] - 1) // 2].sum()


EFFECTIVE_RECEPTIVE_FIELD = Exercise(
    name="effective_receptive_field",
    reference=receptive_fields.effective_receptive_field,
    cases=_effective_cases,
    mistakes={
        "signed": Mistake(
            partial(_effective, collect=lambda gradients: gradients.sum((0, 1))),
            "you added the derivatives up with their signs. Positive and negative ones cancel out: take the magnitude "
            "of each before any sum.",
            where=lambda case: case.statistic is None,  # there the sum by which it divides is nearly 0
        ),
        "magnitude_of_sum": Mistake(
            partial(_effective, collect=lambda gradients: gradients.sum((0, 1)).abs()),
            "you took the magnitude after the sum over images and colours. By then positive and negative derivatives "
            "have cancelled out: take it first.",
        ),
        "negative_ones_dropped": Mistake(
            partial(_effective, collect=lambda gradients: gradients.clamp(min=0).sum((0, 1))),
            "you left the negative derivatives out. A pixel that moves the unit down moves it, too: take magnitudes.",
        ),
        "shares_of_each_image": Mistake(
            partial(_effective, collect=lambda gradients: _shares_added_up(gradients.abs().sum(1))),
            "you made shares of each image and took their mean. The mean comes first, and the division once, at the "
            "end: an image at which the unit is moved a lot counts more.",
        ),
        "magnitude_of_sum_over_colours": Mistake(
            partial(_effective, collect=lambda gradients: gradients.sum(1).abs().sum(0)),
            "you added the colours up before you took magnitudes: a pixel may matter by red and by blue in opposite "
            "directions.",
        ),
        "squared": Mistake(
            partial(_effective, collect=lambda gradients: gradients.square().sum((0, 1))),
            "you took the squares of the derivatives. Here the magnitude |dy/dI| counts: squares make the field look "
            "smaller than it is.",
        ),
        "largest_colour": Mistake(
            partial(_effective, collect=lambda gradients: gradients.abs().amax(1).sum(0)),
            "you took the largest of the colours, as in saliency. Here the colours of a pixel are added up.",
        ),
        "first_colour": Mistake(
            partial(_effective, collect=lambda gradients: gradients.abs()[:, 0].sum(0)),
            "only the first colour of the image counts in your field. Add up all of them.",
        ),
        "not_normalised": Mistake(
            partial(_effective, collect=lambda gradients: gradients.abs().sum(1).mean(0), finish=lambda field: field),
            "your numbers are the derivatives themselves. The field says which share each pixel has: divide by the sum "
            "over all pixels.",
        ),
        "not_normalised_sum": Mistake(
            partial(_effective, finish=lambda field: field),
            "your numbers are sums of derivatives. The field says which share each pixel has: divide by the sum over "
            "all pixels.",
        ),
        "scaled_to_maximum": Mistake(
            partial(_effective, finish=lambda field: field / field.max()),
            "you scaled the largest number to 1. The numbers are shares: their sum is 1.",
        ),
        "softmax": Mistake(
            partial(
                _effective,
                collect=lambda gradients: gradients.abs().sum(1).mean(0),
                finish=lambda field: field.flatten().softmax(0).view_as(field),
            ),
            "you made shares with a softmax. It gives a share to pixels that the unit does not see; divide by the sum.",
        ),
        "corner_unit": Mistake(
            partial(_effective, unit=_corner),
            "you took the first unit of the map, in its corner. Take the one in the middle, whose field the border "
            "does not cut off.",
        ),
        "one_before_the_middle": Mistake(
            partial(_effective, unit=_one_before_middle),
            "for maps of even size you took the unit before the middle. The one at (h // 2, w // 2) is asked for.",
        ),
        "middle_of_the_image": Mistake(
            lambda model, layer, input_size, n_samples=20, generator=None: _effective(
                model,
                layer,
                input_size,
                n_samples,
                generator,
                unit=lambda maps: maps[
                    :, :, min(input_size[0] // 2, maps.shape[2] - 1), min(input_size[1] // 2, maps.shape[3] - 1)
                ].sum(),
            ),
            "you took the middle of the image as the place of the unit. The map of the layer may be smaller than the "
            "image: take the middle of the map.",
        ),
        "rows_for_columns": Mistake(
            partial(_effective, unit=lambda maps: maps[:, :, maps.shape[2] // 2, maps.shape[2] // 2].sum()),
            "where the map is wider than high, your unit is not in its middle: you took half the number of rows for "
            "the column, too.",
        ),
        "all_units": Mistake(
            partial(_effective, unit=torch.sum),
            "you added up all units of the map, so that every pixel counts. One unit is asked for, the one in the "
            "middle.",
        ),
        "first_channel": Mistake(
            partial(_effective, unit=lambda maps: _middle(maps[:, :1])),
            "you took the first channel of the layer alone. y is the sum over all channels at the middle.",
        ),
        "channel_by_channel": Mistake(
            _channel_by_channel,
            "you added up the magnitudes of each channel's derivative. Here y is one number, the sum of all channels "
            "at the middle, and its derivative is taken once.",
        ),
        "one_layer_early": Mistake(
            partial(_effective, end=-1),
            "you stopped one layer early: what comes out of the layer is asked for, and not what goes into it.",
        ),
        "one_layer_late": Mistake(
            partial(_effective, end=1),
            "you went one layer too far: the maps that come out of the layer itself are asked for. In `model[:n]` the "
            "last layer is number n - 1.",
        ),
        "model_output": Mistake(
            partial(_effective, end=None, unit=torch.sum),
            "you differentiated the class scores at the end of the network. Only the layer that is asked for counts.",
        ),
        "swapped_sides": Mistake(
            lambda *arguments, **options: _effective(*arguments, **options).T,
            "rows and columns have changed places: the result is (H, W), as the image.",
        ),
        "batch_kept": Mistake(
            partial(_effective, collect=lambda gradients: gradients.abs().sum(1)),
            "there is still a field for each image. Take the mean over the images.",
        ),
        "colours_kept": Mistake(
            partial(_effective, collect=lambda gradients: gradients.abs().mean(0)),
            "there is still a map for each colour. Add the colours up.",
        ),
        "few_images": Mistake(
            partial(_effective, samples=lambda n: 20),
            "your mean is as even as that of 20 images, whatever n_samples says.",
            where=_evens_out,
        ),
        "one_noise": Mistake(
            partial(_effective, noise=_same_for_all),
            "your mean over the images is as uneven as a single image. Either all images have the same noise, or "
            "n_samples is not used, or the magnitude comes after the mean, when the derivatives have cancelled out.",
            where=_evens_out,
        ),
        "constant_image": Mistake(
            partial(_effective, noise=lambda shape, generator: torch.ones(shape)),
            "your images are not random: all their pixels have the same value. Draw standard normal noise.",
        ),
        "uniform_noise": Mistake(
            partial(_effective, noise=_uniform(0, 1)),
            "the mean of your derivatives is as even as with uniform noise (torch.rand). Standard normal noise is "
            "asked for, as it is drawn.",
        ),
    },
    properties=[
        Property("the shares of all pixels add up to 1.", lambda arguments, value: abs(value.sum().item() - 1) < 1e-3),
        Property("no share is negative.", lambda arguments, value: bool((value >= 0).all())),
        Property("every pixel has noise of its own; no row or column of the images repeats another.", _own_noise),
    ],
    relations=[
        Relation(
            "The same generator in the same state must give the same field. Draw all the noise from `generator`.",
            _same_generator_same_field,
        ),
        Relation(
            "Your field is the same with another generator. Draw the noise from `generator`, do not set its seed, and "
            "let the derivatives at these images count.",
            _other_generator_other_field,
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# design_network
# ---------------------------------------------------------------------------------------------------------------------

COLOURS, MAPS = 3, 8
MOST_LAYERS, LARGEST = 60, 1000
Plan = tuple[tuple[Any, Any, Any, Any, int], ...]  # a layer: kernel size, stride, padding, dilation, maps


def n_weights(plan: Plan) -> int:
    """Return the number of weights and biases of the planned convolutions."""
    below, total = COLOURS, 0
    for kernel_size, _, _, _, maps in plan:
        rows, columns = _both(kernel_size)
        total += maps * (below * rows * columns + 1)
        below = maps
    return total


def _both(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _read_plan(value: Any) -> tuple[Plan | None, str]:
    """Return the plan as tuples of ints and pairs of ints, or None and what is wrong with its form."""
    if value is None:
        return None, "you returned None. Does your function end with a return statement?"
    row = "(kernel size, stride, padding, dilation, maps)"
    if type(value) not in (list, tuple) or not value:
        return None, f"a plain list with a plain tuple {row} for each layer is asked for."
    if len(value) > MOST_LAYERS:
        return None, f"your network has {len(value)} layers; at most {MOST_LAYERS} are built here."
    plan = []
    for number, layer in enumerate(value, start=1):
        if type(layer) not in (list, tuple) or len(layer) != 5:
            return None, f"layer {number} of your list is no plain tuple of five, {row}."
        read = []
        for name, item, least in zip(
            ("kernel size", "stride", "padding", "dilation", "maps"), layer, (1, 1, 0, 1, 1), strict=True
        ):
            pair = tuple(item) if type(item) in (list, tuple) and name != "maps" else (item,)
            right_length = len(pair) == (2 if type(item) in (list, tuple) else 1)
            if not right_length or not all(type(part) in (int, np.int32, np.int64) for part in pair):
                kind = "one whole number" if name == "maps" else "a whole number, or a pair (rows, columns) of them"
                return None, f"the {name} of layer {number} must be {kind}."
            if not all(least <= part <= LARGEST for part in pair):
                return None, f"the {name} of layer {number} must lie between {least} and {LARGEST}."
            read.append(int(pair[0]) if len(pair) == 1 else tuple(map(int, pair)))
        plan.append(tuple(read))
    return tuple(plan), ""


def build_plan(plan: Plan) -> nn.Sequential:
    """Return the planned network, each convolution with a ReLU, in double precision and with positive weights.

    With positive weights and a positive image nothing cancels out and every ReLU is active: a pixel has a derivative if
    and only if it is seen.
    """
    layers: list[nn.Module] = []
    below = COLOURS
    for kernel_size, stride, padding, dilation, maps in plan:
        convolution = nn.utils.skip_init(
            nn.Conv2d, below, maps, kernel_size, stride, padding, dilation, dtype=torch.float64
        )
        nn.init.constant_(convolution.weight, 1 / convolution.weight[0].numel())
        nn.init.constant_(convolution.bias, 0.1)
        layers += [convolution, nn.ReLU()]
        below = maps
    return nn.Sequential(*layers)


def _fault_of_plan(arguments: dict[str, Any], value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a planned network, by running it: the name of the fault, and the sentence."""
    plan, complaint = _read_plan(value)
    if plan is None:
        rows = value if type(value) in (list, tuple) else []
        without_maps = bool(rows) and all(type(row) in (list, tuple) and len(row) == 4 for row in rows)
        return "maps_forgotten" if without_maps else "form", complaint
    return _fault_of_network(plan, **arguments)


@lru_cache(maxsize=4096)
def _fault_of_network(plan: Plan, field: int, jump: int, budget: int) -> tuple[str, str] | None:
    if fewest := [number for number, layer in enumerate(plan, start=1) if layer[4] < MAPS]:
        return "too_few_maps", f"layer {fewest[0]} has fewer than {MAPS} maps."
    if (weights := n_weights(plan)) > budget:
        name = "one_large_kernel" if len(plan) == 1 else "over_budget"
        return name, f"your network has {weights} weights and biases; the budget is {budget}."
    strides = [math.prod(_both(layer[1])[direction] for layer in plan) for direction in (0, 1)]
    if strides != [jump, jump]:
        told = (
            strides[0]
            if strides[0] == strides[1]
            else f"{strides[0]} along the rows and {strides[1]} along the columns"
        )
        return "wrong_jump", f"the strides of your network multiply to {told}; the jump that is asked for is {jump}."
    side = jump * (2 * field // jump + 3)  # so large that the field of the unit in the middle lies inside
    height = width = side
    for number, layer in enumerate(plan, start=1):
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(_both, layer[:4])
        height, width = _size(height, kh, sh, ph, dh), _size(width, kw, sw, pw, dw)
        if min(height, width) < 1:
            told = f"on an image of {side} x {side} pixels no window of layer {number} fits into the map below it."
            return "no_output", told
        if max(height, width) > 4 * side:  # before it fills the memory
            return "padding", f"an image of {side} x {side} pixels grows to {height} x {width} in layer {number}."
    if (height, width) != (side // jump, side // jump):
        return "padding", (
            f"an image of {side} x {side} pixels gives maps of {height} x {width}; {side // jump} x {side // jump} are "
            "asked for."
        )
    image = torch.ones(1, COLOURS, side, side, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        maps = build_plan(plan)(image)
    middle = maps[0, :, height // 2, width // 2].sum()
    seen = torch.autograd.grad(middle, image)[0][0].abs().amax(0) > 0
    rows, columns = (int(line[-1] - line[0]) + 1 for line in (seen.any(1).nonzero(), seen.any(0).nonzero()))
    if (rows, columns) != (field, field):
        told = (
            f"the unit in the middle of your last map sees {rows} x {columns} pixels; {field} x {field} are asked for."
        )
        if field in (rows, columns):
            return "one_direction", told
        return ("too_small" if rows < field else "too_large"), told
    if missed := field * field - int(seen.sum()):
        return (
            "holes",
            f"the unit in the middle of your last map spans {field} x {field} pixels, but {missed} of them are holes, "
            "which do not move it at all.",
        )
    return None


def _strided_start(jump: int) -> tuple[list[tuple[int, int, int, int, int]], int]:
    """Return layers 3 x 3 of stride 2 until the jump is reached, and their field."""
    layers = [(3, 2, 1, 1, MAPS)] * int(math.log2(jump))
    return layers, 2 * jump - 1


def _design(field: int, jump: int, dilation: Callable[[int, int], int]) -> list[tuple[int, int, int, int, int]]:
    """Return strided layers, then layers 3 x 3 with the dilations that `dilation(reached, steps left)` chooses."""
    layers, reached = _strided_start(jump)
    while reached < field:
        d = dilation(reached // jump, (field - reached) // (2 * jump))
        layers.append((3, 1, d, d, MAPS))
        reached += 2 * d * jump
    return layers


def design_network(field: int, jump: int, budget: int) -> list[tuple[int, int, int, int, int]]:
    """Return a plan: kernels of 3, first with strides, then each with the largest dilation that leaves no hole."""
    return _design(field, jump, lambda reached, left: min(reached, left))


def _doubled(field: int, jump: int, exact: bool = True) -> list[tuple[int, int, int, int, int]]:
    """Return a plan with the dilations 1, 2, 4, ...; the last one may be too large unless `exact`."""
    numbers = iter(range(100))
    return _design(field, jump, lambda reached, left: min(2 ** next(numbers), left if exact else field))


def _changed(plan: list[tuple], **settings: Any) -> list[tuple]:
    """Return the plan with some settings of each layer replaced by what a function makes of the layer."""
    names = ("kernel_size", "stride", "padding", "dilation", "maps")
    return [
        tuple(settings[name](layer) if name in settings else value for name, value in zip(names, layer, strict=True))
        for layer in plan
    ]


def _design_cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield fields that can be reached with kernels of 3: the budget is enough for dilations 1, 2, 4, ..."""

    def case(jump: int, steps: int) -> Case:
        field = 2 * jump - 1 + 2 * jump * steps
        budget = round(1.1 * n_weights(tuple(_doubled(field, jump))))
        note = f"field {field}, jump {jump}, budget {budget}"
        return Case({"field": field, "jump": jump, "budget": budget}, note, fault=_fault_of_plan)

    yield case(1, 2)
    yield case(1, 7)
    yield case(2, 6)
    yield case(4, 5)
    yield case(1, draw_integer(generator, 9, 15))
    yield case(2, draw_integer(generator, 8, 12))
    yield case(4, draw_integer(generator, 4, 6))


DESIGN_NETWORK = Exercise(
    name="design_network",
    reference=design_network,
    cases=_design_cases,
    mistakes={
        "over_budget": Mistake(
            lambda field, jump, budget: _design(field, jump, lambda reached, left: 1),
            "your network has more weights than the budget allows. Small kernels, one on top of the other, add k - 1 "
            "steps each, whatever they cost. What makes the steps longer without a single weight more?",
        ),
        "one_large_kernel": Mistake(
            lambda field, jump, budget: [(field, jump, (field - jump + 1) // 2, 1, MAPS)],
            "one kernel as large as the field has the right field, but its weights grow with the square of it, beyond "
            "the budget.",
        ),
        "too_small": Mistake(
            lambda field, jump, budget: _changed(
                _doubled(field, jump), padding=lambda layer: 1, dilation=lambda layer: 1
            ),
            "your network sees too little. Work its field out with the formula before you return it.",
        ),
        "too_large": Mistake(
            lambda field, jump, budget: _doubled(field, jump, exact=False),
            "your network sees too much. Not all fields are reached by doubling alone: the last dilation has to be "
            "what is left over.",
        ),
        "holes": Mistake(
            lambda field, jump, budget: _design(field, jump, lambda reached, left: left),
            "the field of your network has the right size, but there are holes in it: pixels that the unit does not "
            "read. A dilated kernel leaves none if its step, in pixels of the image, is at most the field of the units "
            "that it reads, and if these have no holes: begin with small dilations.",
        ),
        "padding_of_one": Mistake(
            lambda field, jump, budget: _changed(design_network(field, jump, budget), padding=lambda layer: 1),
            "your maps keep their size only where no kernel is dilated. A kernel of 3 with dilation d is wider, and "
            "needs more padding than 1: p = d (k - 1) / 2.",
        ),
        "padding": Mistake(
            lambda field, jump, budget: _changed(design_network(field, jump, budget), padding=lambda layer: 0),
            "your maps have the wrong size, although the strides are right: look at the padding. A layer with an odd "
            "kernel keeps the size with p = d (k - 1) / 2.",
        ),
        "wrong_jump": Mistake(
            lambda field, jump, budget: design_network(field, 1, budget),
            "the strides of your network do not multiply to the jump that is asked for.",
        ),
        "one_direction": Mistake(
            lambda field, jump, budget: _changed(
                design_network(field, jump, budget),
                kernel_size=lambda layer: (3, 1),
                padding=lambda layer: (layer[2], 0),
            ),
            "your network has the right field in one direction alone: rows and columns both count.",
        ),
        "too_few_maps": Mistake(
            lambda field, jump, budget: _changed(design_network(field, jump, budget), maps=lambda layer: 1),
            f"your layers have too few maps: each has {MAPS} or more. A network could be as cheap as you like with a "
            "single map, and would hardly learn anything. (The maps are the last of the five numbers.)",
        ),
        "maps_forgotten": Mistake(
            lambda field, jump, budget: [layer[:4] for layer in design_network(field, jump, budget)],
            "your layers have four numbers, and five are asked for: (kernel size, stride, padding, dilation, maps).",
        ),
        "no_output": Mistake(
            lambda field, jump, budget: [(3, 1, 0, LARGEST, MAPS)],
            "some window of your network does not fit into its map: is the dilation larger than the field itself?",
        ),
    },
)

EXERCISES = (
    PYRAMID,
    RECEPTIVE_FIELD,
    HOLES,
    TRACE,
    INPUT_REGION,
    EFFECTIVE_RECEPTIVE_FIELD,
    DESIGN_NETWORK,
)
