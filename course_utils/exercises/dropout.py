"""The exercises of unit 02: dropout as a matrix and as noise, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_matrix`, `_noisy`, `_mc`), which are independent of the
references in ``course_utils.dropout`` and ``course_utils.convolution``. In the hints, as in the lab: y = W R h is a
dense layer with dropout, M the matrix of a convolution, r_i = 1 where input i is kept, w_k the weights of a kernel,
p the probability of being dropped.

Dropout is random: its answers are not compared number by number but by statistics whose law is known. Their limits are
at least six standard deviations of what a right answer may do by chance (less than one false alarm in 10^7 checks).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import convolution
from course_utils import dropout as reference
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    Relation,
    Seed,
    Statistic,
    ValueExercise,
    decided_by,
    draw_integer,
    register_network,
)

# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


def _kept(generator: torch.Generator, shape: tuple[int, ...], share: float = 0.5) -> Tensor:
    """Return a bool tensor with some True and some False, if it has more than one entry."""
    keep = torch.rand(shape, generator=generator) < share
    keep.view(-1)[0], keep.view(-1)[-1] = True, False
    return keep


def _seed(generator: torch.Generator) -> Seed:
    return Seed(draw_integer(generator, 0, 2**31))


# ---------------------------------------------------------------------------------------------------------------------
# By hand: a dense layer with dropout
# ---------------------------------------------------------------------------------------------------------------------

# y = W R h for W = (1 -2 3; 0 4 -1), R = diag(1, 0, 1), h = (2, 1, 3); nothing is scaled.
DROPOUT_BY_HAND = ValueExercise(
    name="dropout_by_hand",
    expected=(11.0, -3.0),
    mistakes={
        "nothing_dropped": Mistake((9.0, 1.0), "this is W h, with all units. r_2 = 0 takes the second unit out."),
        "swapped": Mistake((-2.0, 4.0), "you kept the unit with r = 0 and dropped the others. r_i = 1 means: kept."),
        "scaled": Mistake(
            (16.5, -4.5),
            "you divided by the share that is kept. y = W R h has no such factor; it comes later in the lab.",
        ),
        "without_weights": Mistake(
            (5.0, 5.0), "you added up what is kept of h. It goes through W: each row of W first."
        ),
        "last_dropped": Mistake((0.0, 4.0), "you dropped the third unit. R has its zero in the second place."),
        "first_dropped": Mistake((7.0, 1.0), "you dropped the first unit. R has its zero in the second place."),
        "exchanged": Mistake((-3.0, 11.0), "you have exchanged the two: the first row of W gives the first number."),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# dense_dropout
# ---------------------------------------------------------------------------------------------------------------------


def _dense_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(2)
    w = torch.randn(9, 9, generator=fixed)
    yield Case({"weight": w, "keep": torch.arange(9) == 0}, "nine units, of which r_1 = 1 alone is kept")
    yield Case({"weight": w, "keep": _kept(fixed, (9,))}, "nine units into nine, some dropped")
    weight = torch.randn(2, 5, generator=fixed)
    yield Case({"weight": weight, "keep": _kept(fixed, (5,))}, "five units into two")
    for shape, dtype, note in (
        ((6, 4), torch.float32, "four units into six"),
        ((3, 7), torch.float64, "seven units into three, in float64"),
    ):
        weight = torch.randn(shape, generator=generator, dtype=dtype)
        yield Case({"weight": weight, "keep": _kept(generator, shape[1:])}, note)
    weight = torch.randn(4, 4, generator=generator)
    yield Case({"weight": weight, "keep": torch.ones(4, dtype=torch.bool)}, "nothing dropped")
    weight[:, 2] = 0
    yield Case({"weight": weight, "keep": torch.tensor([True, True, True, False])}, "a unit with weights 0")


def _diagonal(keep: Tensor, like: Tensor) -> Tensor:
    return torch.diag(keep.flatten().to(like.dtype))


DENSE_DROPOUT = Exercise(
    name="dense_dropout",
    reference=reference.dense_dropout,
    cases=_dense_cases,
    mistakes={
        "rows": Mistake(
            lambda weight, keep: _diagonal(keep, weight) @ weight,
            "you emptied rows: this is R W. What is dropped is an input, and input i is multiplied with column i.",
        ),
        "swapped": Mistake(
            lambda weight, keep: weight @ _diagonal(~keep, weight),
            "you emptied the columns of the units that are kept. True in `keep` means r_i = 1.",
        ),
        "nothing_dropped": Mistake(
            lambda weight, keep: weight.clone(), "this is W itself: no column is empty. Where does `keep` come in?"
        ),
        "columns_removed": Mistake(
            lambda weight, keep: weight[:, keep],
            "you took the dropped columns out, so that the matrix got narrower. W R has the shape of W, with zeros.",
        ),
        "scaled": Mistake(
            lambda weight, keep: weight @ _diagonal(keep, weight) / keep.double().mean().to(weight.dtype),
            "you divided by the share of units that is kept. W R alone is asked for here, without a factor.",
        ),
        "transposed": Mistake(
            lambda weight, keep: (weight @ _diagonal(keep, weight)).t().contiguous(),
            "this is the transposed matrix. W R has one row for each output, as W has.",
        ),
        "only_r": Mistake(
            lambda weight, keep: _diagonal(keep, weight), "this is R alone. The product with W is asked for."
        ),
        "the_outputs": Mistake(
            lambda weight, keep: weight @ keep.to(weight.dtype),
            "this is W r, a vector: you multiplied with the diagonal as if it were the input. R is a matrix.",
        ),
        "column_left_of_it": Mistake(
            lambda weight, keep: weight @ _diagonal(keep.roll(-1), weight),
            "you emptied the column before the right one. Python counts from 0, and r_1 is keep[0].",
        ),
    },
    properties=[
        Property(
            "the columns of dropped units are empty.",
            lambda arguments, value: not value[:, ~arguments["keep"]].any(),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# conv_matrix
# ---------------------------------------------------------------------------------------------------------------------

Place = Callable[[int, int, int, int, int], int | None]  # row, column, channel, H, W -> the number of an input


def _input_number(row: int, column: int, channel: int, height: int, width: int) -> int | None:
    inside = 0 <= row < height and 0 <= column < width
    return (channel * height + row) * width + column if inside else None


def _matrix(
    weight: Tensor,
    input_size: tuple[int, int],
    padding: int = 0,
    place: Place = _input_number,
    kernel: Callable[[Tensor], Tensor] = lambda weight: weight,
    start: int | None = None,
    outputs_together: bool = False,
    n_inputs: int | None = None,
) -> Tensor:
    """Return the matrix of a convolution, number by number, with its pieces open.

    place: which input stands under the kernel.
    kernel: a change of the kernels.
    start: where the kernel begins, instead of at -padding.
    outputs_together: number the outputs of one place one after the other, instead of those of one kernel.
    n_inputs: number of columns.
    """
    weight = kernel(weight)
    (height, width), (n_outputs, channels, rows, columns) = input_size, weight.shape
    start = -padding if start is None else start
    out_height, out_width = height + 2 * padding - rows + 1, width + 2 * padding - columns + 1
    matrix = torch.zeros(n_outputs * out_height * out_width, n_inputs or channels * height * width, dtype=weight.dtype)
    numbers = weight.tolist()
    for o, u, v in itertools.product(range(n_outputs), range(out_height), range(out_width)):
        j = (u * out_width + v) * n_outputs + o if outputs_together else (o * out_height + u) * out_width + v
        for c, a, b in itertools.product(range(channels), range(rows), range(columns)):
            i = place(u + a + start, v + b + start, c, height, width)
            if i is not None and 0 <= i < matrix.shape[1]:
                matrix[j, i] += numbers[o][c][a][b]  # a pixel that is met twice gets both weights
    return matrix


def _wrapped(row: int, column: int, channel: int, height: int, width: int) -> int | None:
    """Count on over the border of a row: the left neighbour of a row's first pixel is the last one of the row above."""
    flat = row * width + column
    return channel * height * width + flat if 0 <= flat < height * width else None


def _circular(row: int, column: int, channel: int, height: int, width: int) -> int:
    return (channel * height + row % height) * width + column % width


def _clamped(row: int, column: int, channel: int, height: int, width: int) -> int:
    return (channel * height + min(max(row, 0), height - 1)) * width + min(max(column, 0), width - 1)


def _channels_together(row: int, column: int, channel: int, height: int, width: int, channels: int) -> int | None:
    inside = 0 <= row < height and 0 <= column < width
    return (row * width + column) * channels + channel if inside else None


def _by_columns(row: int, column: int, channel: int, height: int, width: int) -> int | None:
    inside = 0 <= row < height and 0 <= column < width
    return (channel * width + column) * height + row if inside else None


def _square_transposed(weight: Tensor) -> Tensor:
    """Return the kernels with rows and columns exchanged; an index error for others, as for who exchanges indices."""
    if weight.shape[2] != weight.shape[3]:
        raise IndexError("index out of range")
    return weight.transpose(2, 3)


def _padded_columns(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    """Return the matrix for the padded input, with a column for each of its zeros."""
    return _matrix(weight, (input_size[0] + 2 * padding, input_size[1] + 2 * padding))


def _without_gaps(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    """Return rows in which the kernel's rows follow each other without the zeros between them."""
    (height, width), (_, _, rows, columns) = input_size, weight.shape

    def place(row: int, column: int, channel: int, height: int, width: int) -> int | None:
        return None

    matrix = _matrix(weight, input_size, padding, place)
    out_width = width + 2 * padding - columns + 1
    per_map = (height + 2 * padding - rows + 1) * out_width
    for j in range(len(matrix)):
        o, (u, v) = j // per_map, divmod(j % per_map, out_width)
        values = weight[o].flatten()
        first = max(0, (u - padding) * width + v - padding)
        last = min(first + len(values), matrix.shape[1])
        matrix[j, first:last] = values[: last - first]
    return matrix


def _conv_case(
    weight: Tensor, size: tuple[int, int], note: str, padding: int | None = None, expected: Tensor | None = None
) -> Case:
    arguments: dict[str, Any] = {"weight": weight, "input_size": size}
    if padding is not None:
        arguments["padding"] = padding
    return Case(arguments, note, expected=expected)


def _conv_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(3)
    yield _conv_case(torch.randn(1, 1, 2, 2, generator=fixed), (3, 3), "the lecture's 2 x 2 kernel on 3 x 3 pixels")
    weight = torch.randn(1, 1, 3, 3, generator=fixed)
    yield _conv_case(weight, (3, 3), "the lecture's 3 x 3 kernel on 3 x 3 pixels, padded", 1)
    yield _conv_case(torch.randn(1, 1, 2, 3, generator=fixed), (3, 5), "a kernel and an image that are wider than high")
    weight = torch.randn(2, 3, 2, 2, generator=fixed)
    yield _conv_case(weight, (3, 4), "three channels, two kernels, padded", 1)
    weight = torch.randn(1, 2, 3, 2, generator=generator)
    yield _conv_case(weight, (5, 3), "two channels, an image that is higher than wide", 0)
    weight = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64)
    yield _conv_case(weight, (2, 4), "three kernels, in float64, padded", 1)
    yield _conv_case(torch.randn(2, 1, 3, 3, generator=generator), (3, 4), "two kernels, padding 2", 2)
    yield _conv_case(torch.randn(2, 2, 1, 1, generator=generator), (2, 3), "a kernel of one pixel")


def _convolves(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether the matrix times an image is what torch's convolution of this image gives."""
    weight, (height, width) = arguments["weight"], arguments["input_size"]
    image = torch.rand(weight.shape[1], height, width, generator=torch.Generator().manual_seed(1), dtype=weight.dtype)
    right = nn.functional.conv2d(image[None], weight, padding=arguments.get("padding", 0)).flatten()
    return bool(((value @ image.flatten()) - right).abs().max() <= 1e-4 * weight.abs().sum())


CONV_MATRIX = Exercise(
    name="conv_matrix",
    reference=convolution.conv_matrix,
    cases=_conv_cases,
    mistakes={
        "flipped": Mistake(
            partial(_matrix, kernel=lambda weight: weight.flip(2, 3)),
            "your kernel is flipped. Here, as in all deep learning, w_1 (above, left) meets the pixel above and left.",
        ),
        "kernel_transposed": Mistake(
            partial(_matrix, kernel=_square_transposed),
            "rows and columns of your kernel are exchanged: w_2 stands to the right of w_1, not below it.",
        ),
        "transposed": Mistake(
            lambda weight, input_size, padding=0: _matrix(weight, input_size, padding).t().contiguous(),
            "this is the transposed matrix. One row belongs to one output, one column to one input.",
        ),
        "padding_ignored": Mistake(
            lambda weight, input_size, padding=0: _matrix(weight, input_size),
            "you ignored the padding: with it the kernel begins outside of the image, and there are more outputs.",
        ),
        "padding_at_the_end": Mistake(
            partial(_matrix, start=0),
            "you put all the padding below and to the right. The first output has its kernel half outside, above and "
            "to the left.",
        ),
        "columns_for_the_padding": Mistake(
            _padded_columns,
            "your matrix has columns for the zeros of the padding. They are no inputs: only the pixels have columns.",
        ),
        "rows_wrapped": Mistake(
            partial(_matrix, place=_wrapped),
            "at the border your kernel reads on in the next row: flat indices do not end where a row of the image "
            "ends. What stands beside the image is padding, and has no entry.",
        ),
        "circular_padding": Mistake(
            partial(_matrix, place=_circular),
            "over the border your kernel comes in again at the other side. The padding is zeros, and has no entry.",
        ),
        "border_repeated": Mistake(
            partial(_matrix, place=_clamped),
            "over the border your kernel reads the outermost pixel again. The padding is zeros, and has no entry.",
        ),
        "without_gaps": Mistake(
            _without_gaps,
            "the rows of your kernel follow each other without a gap. The second row of the kernel stands one row of "
            "the image further, which is W columns of the matrix.",
        ),
        "channels_together": Mistake(
            lambda weight, input_size, padding=0: _matrix(
                weight, input_size, padding, place=partial(_channels_together, channels=weight.shape[1])
            ),
            "your columns go pixel by pixel, with the channels of a pixel side by side. x.flatten() goes channel by "
            "channel, and in each one row by row.",
        ),
        "by_columns": Mistake(
            partial(_matrix, place=_by_columns),
            "you number the pixels column by column. x.flatten() goes row by row: (row, column) is row * W + column.",
        ),
        "outputs_together": Mistake(
            partial(_matrix, outputs_together=True),
            "your rows go place by place, with the outputs of all kernels side by side. y.flatten() goes map by map.",
        ),
        "first_channel_only": Mistake(
            partial(_matrix, kernel=lambda weight: torch.cat([weight[:, :1], torch.zeros_like(weight[:, 1:])], 1)),
            "only the first input channel has entries. Every output reads all channels, each with weights of its own.",
        ),
        "first_kernel_only": Mistake(
            lambda weight, input_size, padding=0: _matrix(weight[:1], input_size, padding),
            "you have the rows of the first kernel alone. Each kernel has its own map of outputs, below that of the "
            "one before.",
        ),
    },
    properties=[Property("the matrix times x.flatten() is the convolution of x.", _convolves)],
)


# ---------------------------------------------------------------------------------------------------------------------
# conv_dropout_matrix
# ---------------------------------------------------------------------------------------------------------------------


def _conv_dropout_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(4)
    weight = torch.randn(1, 1, 3, 3, generator=fixed)
    keep = torch.tensor([[[True, False, True], [True, True, False], [False, True, True]]])
    arguments = {"weight": weight, "keep": keep, "padding": 1}
    yield Case(arguments, "the lecture's padded 3 x 3 kernel on 3 x 3 pixels")
    weight = torch.randn(1, 1, 2, 2, generator=fixed)
    yield Case({"weight": weight, "keep": keep}, "the lecture's 2 x 2 kernel on 3 x 3 pixels")
    weight = torch.randn(2, 3, 2, 2, generator=fixed)
    arguments = {"weight": weight, "keep": _kept(fixed, (3, 3, 4)), "padding": 1}
    yield Case(arguments, "three channels, two kernels, padded")
    weight = torch.randn(1, 2, 3, 2, generator=generator)
    yield Case({"weight": weight, "keep": _kept(generator, (2, 5, 3))}, "an image that is higher than wide")
    weight = torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64)
    arguments = {"weight": weight, "keep": _kept(generator, (2, 3, 4)), "padding": 1}
    yield Case(arguments, "two channels and two kernels, in float64")
    keep = torch.ones(2, 3, 3, dtype=torch.bool)
    keep[1] = False
    arguments = {"weight": torch.randn(1, 2, 3, 3, generator=generator), "keep": keep, "padding": 1}
    yield Case(arguments, "a whole channel dropped")


def _conv_dropout(weight: Tensor, keep: Tensor, padding: int = 0, **pieces: Any) -> Tensor:
    matrix = _matrix(weight, tuple(keep.shape[1:]), padding, **pieces)
    return matrix @ _diagonal(keep, matrix)


def _rows_dropped(weight: Tensor, keep: Tensor, padding: int = 0) -> Tensor:
    matrix = _matrix(weight, tuple(keep.shape[1:]), padding)
    return _diagonal(keep, matrix) @ matrix


def _rows_and_columns_dropped(weight: Tensor, keep: Tensor, padding: int = 0) -> Tensor:
    matrix = _conv_dropout(weight, keep, padding)
    return _diagonal(keep, matrix) @ matrix


def _weights_dropped(weight: Tensor, keep: Tensor, padding: int = 0) -> Tensor:
    return _matrix(weight * keep, tuple(keep.shape[1:]), padding)


CONV_DROPOUT_MATRIX = Exercise(
    name="conv_dropout_matrix",
    reference=reference.conv_dropout_matrix,
    cases=_conv_dropout_cases,
    mistakes={
        "rows": Mistake(
            _rows_dropped,
            "you emptied rows: this is R M, where whole outputs vanish. What is dropped is an input: a column.",
        ),
        "rows_and_columns": Mistake(
            _rows_and_columns_dropped, "you emptied columns and rows: this is R M R. The outputs stay, all of them."
        ),
        "weights": Mistake(
            _weights_dropped,
            "you took weights out of the kernel. Dropout takes inputs out: the same weight still meets the others.",
        ),
        "swapped": Mistake(
            lambda weight, keep, padding=0: _conv_dropout(weight, ~keep, padding),
            "you emptied the columns of the inputs that are kept. True in `keep` means r_i = 1.",
        ),
        "nothing_dropped": Mistake(
            lambda weight, keep, padding=0: _matrix(weight, tuple(keep.shape[1:]), padding),
            "this is M itself: no column is empty. Where does `keep` come in?",
        ),
        "scaled": Mistake(
            lambda weight, keep, padding=0: (
                _conv_dropout(weight, keep, padding) / keep.double().mean().to(weight.dtype)
            ),
            "you divided by the share of inputs that is kept. M R alone is asked for here, without a factor.",
        ),
        "columns_removed": Mistake(
            lambda weight, keep, padding=0: _matrix(weight, tuple(keep.shape[1:]), padding)[:, keep.flatten()],
            "you took the dropped columns out, so that the matrix got narrower. M R has the shape of M, with zeros.",
        ),
        "padding_ignored": Mistake(
            lambda weight, keep, padding=0: _conv_dropout(weight, keep),
            "you ignored the padding: with it there are more outputs, and so more rows.",
        ),
        "keep_by_columns": Mistake(
            lambda weight, keep, padding=0: (
                _matrix(weight, tuple(keep.shape[1:]), padding) * keep.transpose(1, 2).flatten().to(weight.dtype)
            ),
            "you read `keep` column by column. x.flatten() goes row by row, and so must the diagonal of R.",
        ),
        "first_channel": Mistake(
            lambda weight, keep, padding=0: _conv_dropout(weight, keep[:1].expand(keep.shape), padding),
            "you used what is kept of the first channel for all of them. Each channel has its own r_i.",
        ),
        "any_channel": Mistake(
            lambda weight, keep, padding=0: _conv_dropout(
                weight, keep.all(0, keepdim=True).expand(keep.shape).contiguous(), padding
            ),
            "a pixel that is dropped in one channel is dropped in all of yours. Each channel has its own r_i.",
        ),
        "flipped": Mistake(
            partial(_conv_dropout, kernel=lambda weight: weight.flip(2, 3)),
            "your kernel is flipped: w_1 (above, left) meets the pixel above and left of the output's place.",
        ),
    },
    properties=[
        Property(
            "the columns of dropped inputs are empty.",
            lambda arguments, value: not value[:, ~arguments["keep"].flatten()].any(),
        ),
        Property(
            "M R times x.flatten() is the convolution of what is kept of x.",
            lambda arguments, value: _convolves_kept(arguments, value),
        ),
    ],
)


def _convolves_kept(arguments: dict[str, Any], value: Tensor) -> bool:
    weight, keep = arguments["weight"], arguments["keep"]
    image = torch.rand(keep.shape, generator=torch.Generator().manual_seed(1), dtype=weight.dtype)
    right = nn.functional.conv2d((image * keep)[None], weight, padding=arguments.get("padding", 0)).flatten()
    return bool(((value @ image.flatten()) - right).abs().max() <= 1e-4 * weight.abs().sum())


# ---------------------------------------------------------------------------------------------------------------------
# Which weights get a gradient
# ---------------------------------------------------------------------------------------------------------------------

_INPUTS = tuple(f"x{i}" for i in range(1, 10))


def _inputs(*numbers: int) -> frozenset[str]:
    return frozenset(f"x{i}" for i in numbers)


# The smallest set of dropped inputs that leaves w_5 of the padded 3x3 kernel on 3x3 pixels without a gradient.
W5_WITHOUT_GRADIENT = ValueExercise(
    name="w5_without_gradient",
    expected=frozenset(_INPUTS),
    choices=_INPUTS,
    mistakes={
        "x5_alone": Mistake(
            _inputs(5),
            "dropping x5 takes one of the terms of w_5 away, r_5 w_5 in the fifth row. Look for w_5 in the other rows.",
        ),
        "none": Mistake(
            frozenset(), "with nothing dropped w_5 gets all its terms. Which ones must go until nothing is left?"
        ),
        "diagonal": Mistake(
            _inputs(1, 5, 9), "w_5 stands on the diagonal of the matrix, which has nine entries, not three."
        ),
        "those_of_w1": Mistake(
            _inputs(1, 2, 4, 5), "these are the inputs that w_1 meets. Look for the columns in which w_5 stands."
        ),
        "those_of_w9": Mistake(
            _inputs(5, 6, 8, 9), "these are the inputs that w_9 meets. Look for the columns in which w_5 stands."
        ),
        "all_but_x5": Mistake(
            _inputs(1, 2, 3, 4, 6, 7, 8, 9), "x5 is still there, and w_5 meets it: the term r_5 w_5 in the fifth row."
        ),
        "cross": Mistake(
            _inputs(2, 4, 5, 6, 8),
            "the corners x1, x3, x7 and x9 are left, and w_5 meets them as well: see rows 1, 3, 7 and 9.",
        ),
        "row_of_w5": Mistake(
            _inputs(4, 5, 6), "you took one row of the image away. w_5 meets the inputs of the other two rows as well."
        ),
    },
)

# In how many of the 2^9 = 512 choices of r the weights w_5, w_2 and w_1 of that kernel get no gradient for sure.
MASKS_WITHOUT_GRADIENT = ValueExercise(
    name="masks_without_gradient",
    expected=(1.0, 8.0, 32.0),
    mistakes={
        "never": Mistake(
            (0.0, 0.0, 0.0), "there is a choice of r for each of them: what happens if all nine inputs are dropped?"
        ),
        "all_dropped_only": Mistake(
            (1.0, 1.0, 1.0),
            "right for w_5. But w_2 and w_1 do not meet all inputs: those that they never meet can be kept or dropped.",
        ),
        "inputs_met": Mistake(
            (9.0, 6.0, 4.0),
            "these are the numbers of inputs that each weight meets. They must all be dropped: and the others?",
        ),
        "inputs_not_met": Mistake(
            (0.0, 3.0, 5.0),
            "these are the numbers of inputs that each weight does not meet. Each of them can be kept or dropped: how "
            "many choices are that?",
        ),
        "powers_of_inputs_met": Mistake(
            (512.0, 64.0, 16.0),
            "you counted the choices for the inputs that the weight meets. These have one choice, dropped; the others "
            "are free.",
        ),
        "those_with_a_gradient": Mistake(
            (511.0, 504.0, 480.0), "you counted the choices that leave a gradient. Those that leave none are asked for."
        ),
        "exchanged": Mistake((32.0, 8.0, 1.0), "you have turned the order round: w_5 comes first, w_1 last."),
        "free_choices_added": Mistake(
            (1.0, 6.0, 10.0), "two choices for each free input: with three of them that is 2 * 2 * 2, not 2 + 2 + 2."
        ),
    },
)


def _weights_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(5)

    def case(keep: Tensor, kernel_size: tuple[int, int], padding: int | None, note: str) -> Case:
        arguments: dict[str, Any] = {"keep": keep, "kernel_size": kernel_size}
        if padding is not None:
            arguments["padding"] = padding
        return Case(arguments, note)

    def only(shape: tuple[int, ...], *places: tuple[int, ...]) -> Tensor:
        keep = torch.zeros(shape, dtype=torch.bool)
        for place in places:
            keep[place] = True
        return keep

    yield case(only((1, 3, 3), (0, 2, 2)), (3, 3), 1, "the lecture's padded 3 x 3 example, x9 alone is kept")
    yield case(
        only((1, 3, 3), (0, 0, 2), (0, 1, 2)), (3, 3), 1, "the lecture's padded 3 x 3 example, x3 and x6 are kept"
    )
    yield case(only((1, 3, 3), (0, 0, 0)), (2, 2), None, "the lecture's 2 x 2 kernel, x1 alone is kept")
    yield case(only((2, 4, 5), (0, 1, 0), (1, 3, 4)), (3, 2), 0, "two channels, one input of each is kept")
    for shape, kernel_size, padding, note in (
        ((3, 3, 5), (2, 3), 0, "three channels, an image that is wider than high"),
        ((2, 5, 3), (3, 2), 1, "two channels, an image that is higher than wide, padded"),
        ((2, 3, 4), (3, 3), 1, "two channels, padded"),
        ((2, 4, 4), (2, 2), 0, "two channels, few inputs kept"),
    ):
        # One input of each channel near a border, and now and then another one: some weights starve, some do not.
        keep = only(shape, *((c, draw_integer(generator, 0, shape[1]), 0) for c in range(shape[0])))
        keep[1:] = False  # nothing of the channels between the first and the last
        keep[-1, 0, draw_integer(generator, 0, shape[2])] = True
        yield case(keep, kernel_size, padding, note)
    keep = torch.ones(1, 3, 3, dtype=torch.bool)
    keep[0, draw_integer(fixed, 0, 3), 1] = False
    yield Case({"keep": torch.cat([keep, ~keep]), "kernel_size": (3, 3), "padding": 1}, "two channels, one nearly full")


def _connected(
    keep: Tensor,
    kernel_size: tuple[int, int],
    padding: int = 0,
    starved: Callable[[list[bool]], bool] = lambda kept: not any(kept),
) -> Tensor:
    """Return which weights starve, weight by weight; `starved` decides by what is kept of the inputs that it meets."""
    channels, height, width = keep.shape
    rows, columns = kernel_size
    result = torch.zeros(channels, rows, columns, dtype=torch.bool)
    for c, a, b in itertools.product(range(channels), range(rows), range(columns)):
        met = [
            bool(keep[c, u + a - padding, v + b - padding])
            for u in range(height + 2 * padding - rows + 1)
            for v in range(width + 2 * padding - columns + 1)
            if 0 <= u + a - padding < height and 0 <= v + b - padding < width
        ]
        result[c, a, b] = starved(met)
    return result


def _by_autograd(keep: Tensor, kernel_size: tuple[int, int], padding: int = 0) -> Tensor:
    weight = torch.zeros(1, len(keep), *kernel_size, requires_grad=True)
    outputs = nn.functional.conv2d(keep[None].float(), weight, padding=padding)
    return torch.autograd.grad(outputs.sum(), weight)[0][0] == 0


WEIGHTS_WITHOUT_GRADIENT = Exercise(
    name="weights_without_gradient",
    reference=reference.weights_without_gradient,
    cases=_weights_cases,
    mistakes={
        "inverted": Mistake(
            lambda keep, kernel_size, padding=0: ~_connected(keep, kernel_size, padding),
            "yours is True where there is a gradient. True should stand for a weight without one.",
        ),
        "never": Mistake(
            lambda keep, kernel_size, padding=0: torch.zeros(len(keep), *kernel_size, dtype=torch.bool),
            "yours is False everywhere: every weight is always updated. That is nearly true in the middle of the "
            "kernel and wrong at its rim, where a weight meets fewer inputs.",
        ),
        "one_dropped_is_enough": Mistake(
            partial(_connected, starved=lambda kept: not all(kept)),
            "you say that one dropped input is enough. The terms are added up: all of them must be gone.",
        ),
        "channels_merged": Mistake(
            lambda keep, kernel_size, padding=0: (
                _connected(keep, kernel_size, padding).all(0, keepdim=True).expand(len(keep), -1, -1).clone()
            ),
            "the channels share their answer. The kernel has weights of its own for each channel, and they meet the "
            "inputs of this channel alone.",
        ),
        "first_channel": Mistake(
            lambda keep, kernel_size, padding=0: (
                _connected(keep[:1], kernel_size, padding).expand(len(keep), -1, -1).clone()
            ),
            "you gave every channel the answer of the first one. Look at what is kept in each.",
        ),
        "padding_ignored": Mistake(
            lambda keep, kernel_size, padding=0: _connected(keep, kernel_size),
            "you ignored the padding. With it there are more places for the kernel, and each weight meets more inputs.",
        ),
        "flipped": Mistake(
            lambda keep, kernel_size, padding=0: _connected(keep, kernel_size, padding).flip(1, 2),
            "your kernel is flipped: the weight above and left meets inputs above and left.",
        ),
        "padding_counts": Mistake(
            lambda keep, kernel_size, padding=0: _connected(
                nn.functional.pad(keep, (padding,) * 4, value=True), kernel_size
            ),
            "you count the padding as if it were kept. It is zeros, and gives no gradient to any weight.",
        ),
        "whole_image": Mistake(
            lambda keep, kernel_size, padding=0: (
                (~keep.flatten(1).any(1)).view(-1, 1, 1).expand(-1, *kernel_size).clone()
            ),
            "you asked whether anything in the channel is kept. A weight meets only some of the inputs.",
        ),
    },
    properties=[
        Property(
            "it agrees with autograd, for an image of ones and outputs that are added up.",
            lambda arguments, value: torch.equal(value, _by_autograd(**arguments)),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# By hand: inverted scaling
# ---------------------------------------------------------------------------------------------------------------------

# Inverted dropout with p = 0.25 of the number 3: what it is if kept, its mean, its variance.
SCALING_BY_HAND = ValueExercise(
    name="scaling_by_hand",
    expected=(4.0, 3.0, 3.0),
    mistakes={
        "not_scaled": Mistake(
            (3.0, 2.25, 1.6875),
            "you did not scale. Inverted dropout divides what is kept by 1 - p, so that the mean stays.",
        ),
        "divided_by_p": Mistake((12.0, 9.0, 27.0), "you divided by p. What is kept is divided by 1 - p."),
        "swapped": Mistake(
            (12.0, 3.0, 27.0), "you read p as the probability of being kept. It is the one of being dropped."
        ),
        "multiplied": Mistake(
            (2.25, 1.6875, 0.94921875), "you multiplied with 1 - p, which makes the mean smaller still. Divide."
        ),
        "deviation": Mistake(
            (4.0, 3.0, 3**0.5), "the third number is the standard deviation. Its square is asked for."
        ),
        "second_moment": Mistake(
            (4.0, 3.0, 12.0), "the third number is the mean of the square. The square of the mean has to be taken off."
        ),
        "mean_of_kept": Mistake(
            (4.0, 4.0, 0.0), "you forgot the zeros: with probability p the number is 0, and this counts in the mean."
        ),
        "variance_of_r": Mistake(
            (4.0, 3.0, 0.1875), "this is the variance of r alone, p (1 - p). r is multiplied with 4 here."
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# dropout
# ---------------------------------------------------------------------------------------------------------------------


def _dropped(arguments: dict[str, Any], value: Tensor) -> Tensor:
    """Return 1 where a number was dropped and 0 where not."""
    return (value == 0).double()


def _share_dropped(arguments: dict[str, Any], value: Tensor) -> float:
    return _dropped(arguments, value).mean().item()


def _factor(arguments: dict[str, Any], value: Tensor) -> float:
    """Return the sum of the outputs over that of the inputs, each with the sign of its input."""
    inputs = arguments["inputs"].double()
    return ((value.double() * inputs.sign()).sum() / inputs.abs().sum()).item()


def _power(arguments: dict[str, Any], value: Tensor) -> float:
    return (value.double().square().sum() / arguments["inputs"].double().square().sum()).item()


def _spread(dimensions: tuple[int, ...], arguments: dict[str, Any], value: Tensor) -> float:
    """Return the variance of the shares that are dropped along some dimensions, over p (1 - p) / how many they are."""
    dropped = _dropped(arguments, value)
    share = dropped.mean(dimensions)
    n_each = dropped.numel() / share.numel()
    p = arguments["p"]
    return (share.var(correction=0) / (p * (1 - p) / n_each)).item()


def _autocorrelation(arguments: dict[str, Any], value: Tensor) -> float:
    """Return 1 plus the largest correlation of the mask with itself, over all steps along the flattened mask.

    A step is one from a number to its neighbour, to the same place of the next channel or image, to the other half, ...
    """
    dropped = _dropped(arguments, value).flatten()
    spectrum = torch.fft.rfft(dropped - dropped.mean()).abs().square()
    correlation = torch.fft.irfft(spectrum, n=len(dropped))
    return (1 + correlation[1:].abs().max() / correlation[0].clamp(min=1e-12)).item()


def _masks(values: Sequence[Tensor]) -> Tensor:
    """Return which numbers were dropped in each of several calls, (calls, numbers)."""
    return torch.stack([value == 0 for value in values]).flatten(1)


def _different(arguments: dict[str, Any], values: Sequence[Tensor]) -> float:
    """Return how many different masks there are, as a share of the calls."""
    masks = _masks(values)
    return len(masks.unique(dim=0)) / len(masks)


def _spread_of_calls(n_together: int, arguments: dict[str, Any], values: Sequence[Tensor]) -> float:
    """Return the variance of the numbers of zeros over the calls, over that of independent draws; -1 for few masks.

    n_together: how many numbers are dropped together.
    """
    if _different(arguments, values) < 0.85:
        return -1.0
    counts = _masks(values).double().sum(1) / n_together
    p = arguments["p"]
    return (counts.var() / (values[0].numel() / n_together * p * (1 - p))).item()


_SHARE = "the share of the numbers that is dropped is p."
_MEAN = "the mean stays: what is kept is enlarged by just as much as is lost."
_POWER = "the mean of the squares grows to 1 / (1 - p) of what it was."
_IMAGES = "each image of a batch draws a mask of its own, independently of the others."
_UNITS = "the numbers of an image are dropped independently of each other."
_MAPS = "the maps of an image are dropped independently of each other."
_WHOLE = "all numbers of a map are dropped together."
_OTHERS = (
    "two calls with one generator give different masks, since the generator goes on from call to call. Draw from "
    "`generator` itself, not from a copy with its seed, do not set it back, and do not choose among a few masks."
)
_COUNT = (
    "the number of zeros is random, too, when the function is called many times without a generator: not exactly the "
    "share p each time, and other masks at each call (torch's global random state decides, no seed of yours)."
)


N_CALLS = 120


def _random_cases(generator: torch.Generator, per_map: bool, sizes: dict[str, tuple[int, ...]]) -> Iterator[Case]:
    """Yield cases of `dropout` (or, per_map, of `spatial_dropout`), whose numbers are random, by their statistics.

    sizes: shapes of the inputs.

    The standard deviation of a share over n independent numbers is sqrt(p (1 - p) / n), that of the factor
    sqrt(p / (1 - p) / n), and that of a spread over m shares about sqrt(2 / m). n and m are counted in numbers, or in
    maps, where these are dropped as a whole. A correlation of n pairs has the deviation 1 / sqrt(n); the largest one of
    10,000 steps is below 7.5 of them.
    """
    fixed = torch.Generator().manual_seed(8)

    def case(
        source: torch.Generator, size: str, p: float, note: str, dtype: torch.dtype = torch.float32, **more: Any
    ) -> Case:
        inputs = 0.5 + torch.rand(sizes[size], generator=source, dtype=dtype)
        inputs *= torch.where(torch.rand(inputs.shape, generator=source) < 0.3, -1, 1)
        return Case({"inputs": inputs, "p": p, "generator": _seed(source)}, note, **more)

    def called_often(arguments_of: Case, note: str, tolerance: float, statistic: Statistic, given: bool) -> Case:
        arguments = {name: value for name, value in arguments_of.arguments.items() if given or name != "generator"}
        return Case(arguments, note, tolerance, statistic=statistic, calls=N_CALLS)

    def by_share(arguments_of: Case, note: str, seed: Seed) -> Case:
        arguments = {**arguments_of.arguments, "generator": seed}
        statistic = Statistic(_SHARE, _share_dropped, arguments["p"])
        return Case(arguments, note, 0.15, statistic=statistic)

    yield case(fixed, "many", 0.25, "p = 0.25", tolerance=0.15, statistic=Statistic(_SHARE, _share_dropped, 0.25))
    yield case(fixed, "small", 0.0, "nothing to drop (p = 0)")
    yield case(fixed, "many", 0.8, "p = 0.8", tolerance=0.15, statistic=Statistic(_MEAN, _factor, 1.0))
    among = _MAPS if per_map else _UNITS
    among_all = f"{'maps' if per_map else 'numbers'} are dropped independently of each other, neighbours as well."
    for note, dimension, claim in (("a batch of images", 0, _IMAGES), ("images with many channels", 1, among)):
        measure = partial(_spread, (dimension, *range(2, len(sizes["batch"]))))
        yield case(fixed, "batch", 0.3, note, tolerance=0.6, statistic=Statistic(claim, measure, 1.0))
    if per_map:
        # The share that is dropped of a map is 0 or 1: its variance is that of one number, not that of a mean of 36.
        statistic = Statistic(_WHOLE, partial(_spread, (2, 3)), 36.0)
        yield case(fixed, "maps", 0.4, "maps of 3 x 12 numbers", tolerance=0.5, statistic=statistic)
    else:
        # Of all images at a place, of all numbers in a map, and of all channels at a pixel.
        for note, dimensions, claim in (
            ("a batch of images (N, C, H, W)", (0,), _IMAGES),
            ("maps", (2, 3), _UNITS),
            ("the channels of a pixel", (1,), _UNITS),
        ):
            statistic = Statistic(claim, partial(_spread, dimensions), 1.0)
            yield case(fixed, "maps", 0.4, note, tolerance=0.7, statistic=statistic)
    statistic = Statistic(among_all, _autocorrelation, 1.0)
    yield case(fixed, "steps", 0.4, "neighbours", tolerance=0.07, statistic=statistic)
    statistic = Statistic(_SHARE, _share_dropped, 0.8)
    yield case(fixed, "very many", 0.8, "p = 0.8, very many numbers", tolerance=0.0075, statistic=statistic)
    few = case(fixed, "few", 0.4, "")
    statistic = Statistic(_OTHERS, _different, 1.0)
    yield called_often(few, f"{N_CALLS} calls with one generator", 0.15, statistic, given=True)
    n_together = sizes["few"][2] * sizes["few"][3] if per_map else 1
    statistic = Statistic(_COUNT, partial(_spread_of_calls, n_together), 1.0)
    yield called_often(few, f"{N_CALLS} calls without a generator", 0.9, statistic, given=False)

    p = 0.1 + 0.25 * torch.rand(1, generator=generator).item()
    statistic = Statistic(_SHARE, _share_dropped, p)
    yield case(generator, "other", p, "a drawn p", tolerance=0.3, statistic=statistic)
    yield case(
        generator, "many", 0.6, "float64", torch.float64, tolerance=0.12, statistic=Statistic(_POWER, _power, 2.5)
    )
    one = case(generator, "many", 0.5, "p = 0.5")
    seeds = _seed(generator), _seed(generator)
    yield by_share(one, "p = 0.5", seeds[0])
    yield by_share(one, "the same inputs with another generator", seeds[1])
    yield by_share(one, "the same inputs with a generator in the first state again", seeds[0])
    yield case(generator, "small", 0.0, "nothing to drop (p = 0), other inputs", torch.float64)


def _dropout_cases(generator: torch.Generator) -> Iterator[Case]:
    sizes = {
        "small": (2, 3, 4),
        "many": (40, 500),
        "batch": (300, 300),
        "maps": (25, 20, 5, 7),
        "steps": (24, 20, 5, 7),
        "very many": (200, 1000),
        "few": (2, 3, 2, 4),  # 48 numbers, as there are 48 maps below: two masks are hardly ever equal by chance
        "other": (20_000,),
    }
    yield from _random_cases(generator, False, sizes)


def _spatial_cases(generator: torch.Generator) -> Iterator[Case]:
    sizes = {
        "small": (2, 3, 2, 4),
        "many": (100, 100, 2, 3),
        "batch": (300, 300, 1, 1),
        "maps": (25, 20, 3, 12),
        "steps": (100, 200, 1, 1),
        "very many": (400, 500, 1, 1),
        "few": (6, 8, 1, 2),
        "other": (50, 300, 1, 1),
    }
    yield from _random_cases(generator, True, sizes)


def _dropped_or_scaled(arguments: dict[str, Any], value: Tensor) -> bool:
    inputs = arguments["inputs"]
    scaled = (value - inputs / (1 - arguments["p"])).abs() <= 1e-4 * inputs.abs() / (1 - arguments["p"])
    return bool(((value == 0) | scaled).all())


def _whole_maps(arguments: dict[str, Any], value: Tensor) -> bool:
    dropped = (value == 0).flatten(2)
    return torch.equal(dropped.all(2), dropped.any(2))


_GENERATOR = Relation(
    "The same generator in the same state must give the same answer, and another one another answer. Draw all random "
    "numbers from `generator`, and do not set its seed.",
    decided_by("generator", tolerance=1e-5),
)


def _by_spread(case: Case) -> bool:
    """Whether the statistic is a spread, or counts masks that differ: shares over few independent masks say little."""
    measure = None if case.statistic is None else case.statistic.measure
    return measure is _different or getattr(measure, "func", None) is _spread


def _roughly(mistakes: dict[str, Mistake]) -> dict[str, Mistake]:
    """Return the mistakes without the cases that ask for so much that two draws of one mistake do not agree there."""

    def where(case: Case, mistake: Mistake) -> bool:
        return (case.statistic is None or case.tolerance >= 0.01) and mistake.where(case)

    return {name: replace(mistake, where=partial(where, mistake=mistake)) for name, mistake in mistakes.items()}


def _p_not_zero(case: Case) -> bool:
    """Whether something is dropped: with p = 0, who divides by p divides by zero, in one way or another."""
    return case.arguments["p"] > 0


Mask = Callable[[Tensor, float, torch.Generator | None], Tensor]  # inputs, p, generator -> 1 where kept, 0 where not


def _own_mask(*shared: int) -> Mask:
    """Return masks of independent numbers, which are the same along the dimensions `shared`."""

    def mask(inputs: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
        shape = [1 if d in shared and inputs.dim() > 1 else size for d, size in enumerate(inputs.shape)]
        return (torch.rand(shape, generator=generator) >= p).to(inputs.dtype)

    return mask


def _whole(first: int) -> Mask:
    """Return masks that are the same in all dimensions from `first` on."""
    return lambda inputs, p, generator: _own_mask(*range(first, inputs.dim()))(inputs, p, generator)


def _noisy(
    inputs: Tensor,
    p: float,
    generator: torch.Generator | None = None,
    mask: Mask = _own_mask(),  # noqa: B008  (a function, not a mutable default)
    scale: Callable[[float], float] = lambda p: 1 / (1 - p),
) -> Tensor:
    """Return dropout with its pieces open: the mask and the factor of what is kept."""
    return inputs * mask(inputs, p, generator) * scale(p)


def _rows(inputs: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """Return masks of one number for each row."""
    return _own_mask(inputs.dim() - 1)(inputs, p, generator)


def _reciprocal(number: float) -> float:
    return 1 / number if number else float("inf")


def _swapped(mask: Mask) -> Mask:
    return lambda inputs, p, generator: mask(inputs, 1 - p, generator)


def _exact(per_map: bool, per_image: bool) -> Mask:
    """Return masks that drop exactly the share p of each image, or of the whole batch."""

    def mask(inputs: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
        parts = inputs[:, :, :1, :1] if per_map else inputs
        n_groups = len(parts) if per_image else 1
        numbers = torch.rand(n_groups, parts.numel() // n_groups, generator=generator)
        dropped = round(p * numbers.shape[1])
        return (numbers.argsort(1).argsort(1) >= dropped).view(parts.shape).to(inputs.dtype)

    return mask


def _normal_threshold(shape: Callable[[Tensor], Sequence[int]]) -> Mask:
    return lambda inputs, p, generator: (torch.randn(shape(inputs), generator=generator) >= p).to(inputs.dtype)


def _always_half(mask: Mask) -> Mask:
    return lambda inputs, p, generator: mask(inputs, 0.5 if p else 0.0, generator)


def _shape_of_maps(inputs: Tensor) -> tuple[int, int, int, int]:
    return (*inputs.shape[:2], 1, 1)


def _common_mistakes(
    mask: Mask, shape: Callable[[Tensor], Sequence[int]], per_map: bool, what: str
) -> dict[str, Mistake]:
    """Return the mistakes that dropout of units and of maps share; `what` is what is dropped."""
    return {
        "nothing_dropped": Mistake(
            lambda inputs, p, generator=None: inputs.clone(),
            "nothing is dropped: this is what dropout does in evaluation mode. Your mask has no effect.",
        ),
        "not_scaled": Mistake(
            partial(_noisy, mask=mask, scale=lambda p: 1.0),
            "you drop, but what is kept is not enlarged, so that the mean gets smaller. Inverted dropout keeps it.",
        ),
        "scaled_by_p": Mistake(
            partial(_noisy, mask=mask, scale=_reciprocal),
            "you divide by p, the share that is dropped. What is kept is divided by the share that is kept.",
            where=_p_not_zero,
        ),
        "multiplied": Mistake(
            partial(_noisy, mask=mask, scale=lambda p: 1 - p),
            "you multiply what is kept with 1 - p. That was done at test time, before the scaling was inverted; "
            "here it is divided.",
        ),
        "swapped": Mistake(
            partial(_noisy, mask=_swapped(mask), scale=_reciprocal),
            "you read p as the probability of being kept, in mask and factor. It is the one of being dropped.",
            where=_p_not_zero,
        ),
        "mask_swapped": Mistake(
            partial(_noisy, mask=_swapped(mask)),
            "your mask keeps the share p and drops the rest. Look at the direction of your comparison.",
        ),
        "everything_scaled_twice": Mistake(
            partial(_noisy, mask=mask, scale=lambda p: 1 / (1 - p) ** 2),
            "you divide by 1 - p twice: the mean grows.",
        ),
        "exact_share": Mistake(
            partial(_noisy, mask=_exact(per_map, True)),
            f"you drop exactly the share p of each image. Each {what} is dropped with probability p for itself, so "
            "that their number is random as well.",
        ),
        "exact_share_of_all": Mistake(
            partial(_noisy, mask=_exact(per_map, False)),
            f"you drop exactly the share p of all. Each {what} is dropped with probability p for itself, so that the "
            "number of zeros is random as well.",
        ),
        "one_for_all": Mistake(
            partial(_noisy, mask=_whole(0)),
            f"you draw one r for all, so that everything is dropped or nothing. Each {what} gets an r of its own.",
            where=_by_spread,
        ),
        "normal_numbers": Mistake(
            partial(_noisy, mask=_normal_threshold(shape)),
            "you compare normal random numbers (randn) with p. A number that is uniform in [0, 1) is below p with "
            "probability p; a normal one is not.",
        ),
        "p_ignored": Mistake(
            partial(_noisy, mask=_always_half(mask), scale=lambda p: 2.0 if p else 1.0),
            "you drop one half, whatever p is.",
        ),
        "mask_of_uniform_numbers": Mistake(
            lambda inputs, p, generator=None: (
                inputs * torch.rand(shape(inputs), generator=generator).to(inputs.dtype) / (1 - p)
            ),
            "you multiply with the random numbers themselves. They decide what is kept: r is 0 or 1.",
        ),
        "gaussian": Mistake(
            lambda inputs, p, generator=None: (
                inputs * (1 + (p / (1 - p)) ** 0.5 * torch.randn(shape(inputs), generator=generator).to(inputs.dtype))
            ),
            "mean and variance of your noise are right, but nothing is dropped: it is normal noise. Dropout multiplies "
            "with 0 or with 1 / (1 - p).",
        ),
    }


DROPOUT = Exercise(
    name="dropout",
    reference=reference.dropout,
    cases=_dropout_cases,
    mistakes=_roughly(
        {
            **_common_mistakes(_own_mask(), lambda inputs: inputs.shape, False, "number"),
            "shared_by_images": Mistake(
                partial(_noisy, mask=_own_mask(0)),
                "all images of a batch have the same mask. Each one draws its own.",
                where=_by_spread,
            ),
            "whole_images": Mistake(
                partial(_noisy, mask=_whole(1)),
                "you drop whole images. Each number of an image has its own chance.",
                where=_by_spread,
            ),
            "rows": Mistake(
                partial(_noisy, mask=_rows),
                "you draw one r for each row, and drop whole rows. Each number has its own chance.",
                where=_by_spread,
            ),
            "whole_maps": Mistake(
                partial(_noisy, mask=_whole(2)),
                "you drop all that belongs to a channel together: that is spatial dropout. Here each number "
                "has its own chance.",
            ),
            "shared_by_channels": Mistake(
                partial(
                    _noisy,
                    mask=lambda inputs, p, generator: _own_mask(*([1] if inputs.dim() == 4 else []))(
                        inputs, p, generator
                    ),
                ),
                "the channels of a pixel are dropped together. Each number has its own chance.",
            ),
        }
    ),
    properties=[Property("each number is 0 or the input's, divided by 1 - p.", _dropped_or_scaled)],
    relations=[_GENERATOR],
)


SPATIAL_DROPOUT = Exercise(
    name="spatial_dropout",
    reference=reference.spatial_dropout,
    cases=_spatial_cases,
    mistakes=_roughly(
        {
            **_common_mistakes(_whole(2), _shape_of_maps, True, "map"),
            "single_numbers": Mistake(
                partial(_noisy, mask=_own_mask()),
                "you drop single numbers: that is plain dropout. A map is dropped as a whole, or not at all.",
            ),
            "shared_by_images": Mistake(
                partial(_noisy, mask=_own_mask(0, 2, 3)),
                "the same maps are dropped in all images of the batch. Each image draws its own.",
                where=_by_spread,
            ),
            "whole_images": Mistake(
                partial(_noisy, mask=_whole(1)),
                "you drop all maps of an image together. Each map has its own chance.",
                where=_by_spread,
            ),
            "whole_pixels": Mistake(
                partial(_noisy, mask=_own_mask(1)),
                "you drop pixels, in all maps alike. It is the maps that are dropped, with all their pixels.",
            ),
            "whole_rows": Mistake(
                partial(_noisy, mask=_own_mask(3)),
                "you drop rows of a map. A map is dropped as a whole, rows and columns.",
            ),
            "whole_columns": Mistake(
                partial(_noisy, mask=_own_mask(2)),
                "you drop columns of a map. A map is dropped as a whole, rows and columns.",
            ),
        }
    ),
    properties=[
        Property("each number is 0 or the input's, divided by 1 - p.", _dropped_or_scaled),
        Property("a map is dropped as a whole or not at all.", _whole_maps),
    ],
    relations=[_GENERATOR],
)


# ---------------------------------------------------------------------------------------------------------------------
# Monte Carlo dropout
# ---------------------------------------------------------------------------------------------------------------------

# Three samples give a class the probabilities 0.9, 0.6 and 0.3: their mean and standard deviation (divided by n).
MC_BY_HAND = ValueExercise(
    name="mc_by_hand",
    expected=(0.6, 0.06**0.5),
    tolerance=5e-4,
    mistakes={
        "variance": Mistake((0.6, 0.06), "this is the variance. The standard deviation is its root."),
        "by_one_less": Mistake((0.6, 0.3), "you divided by n - 1 = 2. The formula here divides by n = 3."),
        "standard_error": Mistake(
            (0.6, (0.06 / 3) ** 0.5),
            "you divided the deviation by the root of n: that says how well the mean is known, not how far the samples "
            "are apart.",
        ),
        "range": Mistake((0.6, 0.6), "this is the largest minus the smallest. Take the distances from the mean."),
        "mean_distance": Mistake(
            (0.6, 0.2), "you averaged the distances themselves. They are squared first, and the root comes at the end."
        ),
        "not_divided": Mistake((0.6, 0.18**0.5), "you added up the squares. Their mean is asked for, then its root."),
        "sum": Mistake((1.8, 0.06**0.5), "the first number is the sum of the three. Their mean is asked for."),
    },
)


class Times(nn.Module):
    """x -> factor x: scores that lie far apart, so that the softmax is not nearly linear."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: any shape -> the same shape."""
        return self.factor * inputs


def _maps_layers(shape: tuple[int, int, int], n_maps: int, p: float) -> list[nn.Module]:
    return [nn.Conv2d(shape[0], n_maps, 3, padding=1), nn.BatchNorm2d(n_maps), nn.ReLU(), nn.Dropout2d(p), nn.Flatten()]


def _units_layers(n_inputs: int, n_units: int, p: float) -> list[nn.Module]:
    return [nn.Linear(n_inputs, n_units), nn.ReLU(), nn.Dropout(p)]


@register_network("dropout_units")
def _dropout_units(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Dropout of six units, p = 0.4."""
    layers = _units_layers(shape[0] * shape[1] * shape[2], 6, 0.4)
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(6, n_classes, bias=False), Times(1.5))


@register_network("dropout_maps")
def _dropout_maps(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Batch norm, and spatial dropout of five maps, p = 0.3."""
    layers = _maps_layers(shape, 5, 0.3)
    return nn.Sequential(*layers, nn.Linear(5 * shape[1] * shape[2], n_classes, bias=False), Times(10.0))


def _dropout_both_layers(shape: tuple[int, int, int], n_classes: int, p_maps: float, p_units: float) -> nn.Sequential:
    units = _units_layers(3 * shape[1] * shape[2], 5, p_units)
    return nn.Sequential(*_maps_layers(shape, 3, p_maps), *units, nn.Linear(5, n_classes, bias=False), Times(6.0))


@register_network("dropout_both")
def _dropout_both(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Batch norm, spatial dropout of three maps (p = 0.3) and dropout of five units (p = 0.4)."""
    return _dropout_both_layers(shape, n_classes, 0.3, 0.4)


@register_network("dropout_zero")
def _dropout_zero(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """The same with p = 0: its layers drop nothing, also where they are active."""
    return _dropout_both_layers(shape, n_classes, 0.0, 0.0)


def _looks_on(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
    """Do nothing: a hook of somebody else, which has to stay."""


@register_network("dropout_mixed")
def _dropout_mixed(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Dropout inside of another layer: of the numbers of one map (p = 0.6), then of three maps (p = 0.15); a hook."""
    inner = nn.Sequential(nn.Conv2d(shape[0], 1, 1), nn.Dropout(0.6), nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Dropout2d(0.15))
    inner[1].register_forward_hook(_looks_on)
    dense = nn.Linear(3 * shape[1] * shape[2], n_classes, bias=False)
    return nn.Sequential(inner, nn.Flatten(), dense, Times(6.0))


def _layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of a model in order, also those inside of others."""
    return [layer for layer in model.modules() if not isinstance(layer, nn.Sequential)]


def _moments(model: nn.Sequential, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, standard deviation and fourth central moment of the probabilities, each (N, K), over all masks."""
    values, chance = inputs.double(), torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        for layer in _layers(model.double()):
            if isinstance(layer, nn.Dropout | nn.Dropout2d):
                parts = values.shape[1:2] if isinstance(layer, nn.Dropout2d) else values.shape[1:]
                n_parts = parts.numel()
                masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=n_parts)), dtype=torch.float64)
                n_kept = masks.sum(1)
                chance = torch.outer(chance, (1 - layer.p) ** n_kept * layer.p ** (n_parts - n_kept)).flatten()
                ones = [1] * (values.dim() - 1 - len(parts))
                masks = masks.view(1, len(masks), 1, *parts, *ones) / (1 - layer.p)
                values = (values.unflatten(0, (-1, 1, len(inputs))) * masks).flatten(0, 2)
            else:
                values = layer(values)
    probabilities = values.unflatten(0, (-1, len(inputs))).softmax(-1)
    chance = chance.view(-1, 1, 1)
    mean = (chance * probabilities).sum(0)
    distances = probabilities - mean
    return mean, (chance * distances**2).sum(0).sqrt(), (chance * distances**4).sum(0)


N_TIMES = 8
_GOES_ON = (
    "two calls with one generator give different samples, since the generator goes on from call to call. Draw from "
    "`generator` itself, not from a copy with its seed, and do not set it back."
)


def _different_means(arguments: dict[str, Any], values: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return how many different mean probabilities there are, as a share of the calls."""
    means = torch.stack([value[0].flatten() for value in values])
    return len(means.mul(1e4).round().unique(dim=0)) / len(means)


def _excess(mean: Tensor, std: Tensor, arguments: dict[str, Any], value: Any) -> float:
    """Return how far the means are off, as a share of what n_samples independent samples are: 1, on the average."""
    off = (value[0].double() - mean).square().sum() / std.square().sum()
    return off.item() * arguments["n_samples"]


N_COPIES = 12


def _masks_of_their_own(arguments: dict[str, Any], value: Any) -> bool:
    """Whether the copies of an image, where the batch begins with some, do not all have the same answer.

    Two samples of the same image are equal by chance with a probability of 0.52 for each unit that counts (p = 0.4).
    For pairs of samples, of which the order does not matter, and three such units that is 2 * 0.52^6 = 0.04, and for
    all 12 copies 0.04^11.
    """
    copies = arguments["inputs"][:N_COPIES]
    if len(copies) < N_COPIES or not torch.equal(copies, copies[:1].expand_as(copies)):
        return True
    return bool((value[0][:N_COPIES] - value[0][0]).abs().max() > 1e-5)


def _mc_cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield cases whose answer is known from all masks.

    The mean of n samples is off by std / sqrt(n), their standard deviation by sqrt(m_4 - std^4) / (2 std sqrt(n)), with
    the fourth moment m_4. Allowed are 6 of these, the larger one for both numbers, and 1e-3 for the bias of a standard
    deviation that is divided by n or by n - 1.

    The statistic is a mean of squares over 600 images with 5 classes each, deviation at most about
    sqrt(2 / 600) = 0.06; 0.4 are nearly 7 of them. One sample less than two gives 2.
    """

    def lively(kind: str, shape: tuple[int, int, int], source: torch.Generator) -> Network:
        """Draw a network whose samples differ well, and are not all 0 or 1: one of which a wrong answer stays far."""
        images = torch.rand(4, *shape, generator=source)
        while True:
            network = Network(kind, draw_integer(source, 0, 2**31), shape)
            if 0.1 < _moments(network.build(), images)[1].mean() < 0.2:
                return network

    def case(network: Network, n_images: int, n_samples: int, source: torch.Generator, note: str) -> Case:
        inputs = torch.rand(n_images, *network.shape, generator=source)
        mean, std, fourth = _moments(network.build(), inputs)
        if n_images >= 100:  # copies of the image whose samples differ most: see _masks_of_their_own
            liveliest = int(std.mean(1).argmax())
            for values in (inputs, mean, std):
                values[:N_COPIES] = values[liveliest].clone()
        arguments = {"model": network, "inputs": inputs, "n_samples": n_samples, "generator": _seed(source)}
        if n_images >= 100:
            statistic = Statistic(_INDEPENDENT, partial(_excess, mean, std), 1.0)
            return Case(arguments, note, 0.4, statistic=statistic)
        error_of_std = (fourth - std**4).clamp(min=0).sqrt() / (2 * std).clamp(min=1e-12)
        tolerance = 6 * torch.maximum(std, error_of_std) / n_samples**0.5 + 1e-3
        return Case(arguments, note, tolerance, expected=(mean.float(), std.float()))

    fixed = torch.Generator().manual_seed(9)
    yield case(Network("dropout_zero", 36, (3, 5, 4)), 3, 5, fixed, "a network whose dropout layers have p = 0")
    yield case(lively("dropout_units", (1, 4, 4), fixed), 3, 800, fixed, "dropout of units")
    yield case(lively("dropout_maps", (3, 4, 5), fixed), 3, 800, fixed, "spatial dropout after batch norm")
    mixed = lively("dropout_mixed", (2, 2, 3), fixed)
    yield case(mixed, 3, 800, fixed, "dropout layers inside of another layer, and a hook of somebody else")
    yield case(lively("dropout_units", (2, 3, 4), fixed), 600, 2, fixed, "two samples of many images")
    few = case(lively("dropout_units", (2, 4, 3), fixed), 2, 3, fixed, "")
    statistic = Statistic(_GOES_ON, _different_means, 1.0)
    yield Case(few.arguments, f"{N_TIMES} calls with one generator", 0.3, statistic=statistic, calls=N_TIMES)
    yield case(lively("dropout_both", (3, 4, 4), generator), 2, 800, generator, "dropout of both kinds")
    once = case(lively("dropout_units", (1, 3, 5), generator), 600, 25, generator, "25 samples of many images")
    yield once
    other = {**once.arguments, "generator": _seed(generator)}
    yield Case(other, "the same images with another generator", once.tolerance, statistic=once.statistic)
    note = "the same images with a generator in the first state again"
    yield Case(once.arguments, note, once.tolerance, statistic=once.statistic)
    network = Network("dropout_both", 25)
    arguments = {"model": network, "inputs": torch.rand(2, 2, 8, 8, generator=generator), "n_samples": 3}
    note = "images with a wrong number of channels, so that the network raises an error"
    yield Case({**arguments, "generator": Seed(1)}, note, raises=True)


_INDEPENDENT = (
    "the mean of n_samples independent samples is off by about std / sqrt(n_samples), in each image for itself. Do you "
    "draw more or fewer samples, or use the same masks again?"
)


def _std(samples: Tensor) -> Tensor:
    return samples.std(0, correction=0)


def _mean_and_std(scores: Tensor) -> tuple[Tensor, Tensor]:
    """scores: (S, N, K) -> mean and standard deviation of the probabilities, each (N, K)."""
    probabilities = scores.softmax(-1)
    return probabilities.mean(0), _std(probabilities)


def _mc(
    model: nn.Sequential,
    inputs: Tensor,
    n_samples: int = 50,
    generator: torch.Generator | None = None,
    finish: Callable[[Tensor], tuple[Tensor, Tensor]] = _mean_and_std,
    active: tuple[type[nn.Module], ...] = (nn.Dropout, nn.Dropout2d),
    train: tuple[type[nn.Module], ...] = (),
    count: Callable[[int], int] = lambda n: n,
    first_images: Callable[[Tensor], Tensor] = lambda inputs: inputs,
    again: bool = False,
    half: bool = False,
    as_units: bool = False,
    as_maps: bool = False,
    first_p: bool = False,
    layers: Callable[[nn.Module], list[nn.Module]] = _layers,
) -> tuple[Tensor, Tensor]:
    """Return Monte Carlo dropout with its pieces open.

    finish: scores (S, N, K) -> the answer. active: which layers drop. train: which layers are in train mode.
    count: number of samples. again: the same masks in every sample. half: p = 0.5 everywhere. as_units: spatial dropout
    drops single numbers. as_maps: dropout of units drops whole maps. first_p: the p of the first layer everywhere.
    layers: those that are looked at.
    """
    ps = [layer.p for layer in _layers(model) if isinstance(layer, nn.Dropout | nn.Dropout2d)]

    def dropped(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        maps = arguments[0].dim() == 4 and (as_maps or (isinstance(layer, nn.Dropout2d) and not as_units))
        p = ps[0] if first_p else 0.5 if half and layer.p else layer.p
        return _noisy(arguments[0], p, generator, mask=_whole(2) if maps else _own_mask())

    hooks = [layer.register_forward_hook(dropped) for layer in layers(model) if isinstance(layer, active)]
    switched = [layer for layer in _layers(model) if isinstance(layer, train)]
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        for layer in switched:
            layer.train()
        n = count(n_samples)
        with torch.no_grad():  # all samples in one pass: copies of an image get masks of their own
            scores = model(first_images(inputs.repeat(1 if again else n, 1, 1, 1)))
        return finish(scores.unflatten(0, (-1, len(inputs))).expand(n, -1, -1))
    finally:
        for hook in hooks:
            hook.remove()
        for layer in switched:
            layer.eval()
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(statistics[name])


def _dropout_of_the_image(
    model: nn.Sequential, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    p = next(layer.p for layer in _layers(model) if isinstance(layer, nn.Dropout))
    return _mc(model, inputs, n_samples, generator, active=(), first_images=lambda x: _noisy(x, p, generator))


def _votes(scores: Tensor) -> tuple[Tensor, Tensor]:
    votes = nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)
    return votes.mean(0), _std(votes)


def _by_statistic(case: Case) -> bool:
    return case.statistic is not None


MC_DROPOUT = Exercise(
    name="mc_dropout",
    reference=reference.mc_dropout,
    cases=_mc_cases,
    mistakes={
        "no_dropout": Mistake(
            partial(_mc, active=()),
            "all your samples are equal: no dropout layer is active. In evaluation mode nn.Dropout hands on what it "
            "gets.",
        ),
        "batch_norm_in_train_mode": Mistake(
            partial(_mc, train=(nn.BatchNorm2d,)),
            "batch norm is in train mode in your samples: it uses mean and variance of the batch, and changes its "
            "running statistics. Only the dropout layers may be active.",
        ),
        "units_only": Mistake(
            partial(_mc, active=(nn.Dropout,)),
            "nn.Dropout2d stays off in yours. Spatial dropout is a dropout layer as well.",
        ),
        "maps_only": Mistake(
            partial(_mc, active=(nn.Dropout2d,)),
            "nn.Dropout stays off in yours: only the spatial dropout is active.",
        ),
        "maps_as_units": Mistake(
            partial(_mc, as_units=True),
            "your nn.Dropout2d layers drop single numbers. They drop whole maps.",
        ),
        "p_ignored": Mistake(
            partial(_mc, half=True),
            "you drop one half in every layer. Take the p of the layer.",
        ),
        "p_of_the_first_layer": Mistake(
            partial(_mc, first_p=True),
            "every layer drops with the p of the first one. Each layer has its own p.",
        ),
        "inner_layers_off": Mistake(
            partial(_mc, layers=list),
            "dropout layers inside of other layers stay off in yours. Look for them in all of the network's modules.",
        ),
        "units_as_maps": Mistake(
            partial(_mc, as_maps=True),
            "your nn.Dropout layers drop whole maps where they get maps. They drop single numbers, whatever they get.",
        ),
        "dropout_of_the_image": Mistake(
            _dropout_of_the_image,
            "you drop pixels of the image, and the network's own dropout layers stay off.",
        ),
        "no_softmax": Mistake(
            partial(_mc, finish=lambda scores: (scores.mean(0), _std(scores))),
            "these are mean and deviation of the scores. They have to become probabilities first: a softmax over the "
            "classes.",
        ),
        "softmax_of_the_mean": Mistake(
            partial(_mc, finish=lambda scores: (scores.mean(0).softmax(-1), _std(scores.softmax(-1)))),
            "you took the mean of the scores and then the softmax. The softmax comes first, in every sample: the mean "
            "of the probabilities is asked for.",
        ),
        "std_of_scores": Mistake(
            partial(_mc, finish=lambda scores: (scores.softmax(-1).mean(0), _std(scores))),
            "your mean is right, but your deviation is that of the scores. That of the probabilities is asked for.",
        ),
        "softmax_over_images": Mistake(
            partial(_mc, finish=lambda scores: (scores.softmax(1).mean(0), _std(scores.softmax(1)))),
            "your softmax goes over the images of the batch. The probabilities of one image sum to 1 over its classes.",
        ),
        "softmax_over_samples": Mistake(
            partial(_mc, finish=lambda scores: (scores.softmax(0).mean(0), _std(scores.softmax(0)))),
            "your softmax goes over the samples, the first dimension after stacking. It goes over the classes.",
        ),
        "sigmoid": Mistake(
            partial(_mc, finish=lambda scores: (scores.sigmoid().mean(0), _std(scores.sigmoid()))),
            "you used a sigmoid for each class. The classes exclude each other: their probabilities sum to 1.",
        ),
        "log_probabilities": Mistake(
            partial(_mc, finish=lambda scores: (scores.log_softmax(-1).mean(0), _std(scores.log_softmax(-1)))),
            "these are logarithms of probabilities. The probabilities themselves are asked for.",
        ),
        "variance": Mistake(
            partial(_mc, finish=lambda scores: (scores.softmax(-1).mean(0), _std(scores.softmax(-1)).square())),
            "your second result is the variance. The standard deviation is its root.",
        ),
        "standard_error": Mistake(
            partial(
                _mc,
                finish=lambda scores: (scores.softmax(-1).mean(0), _std(scores.softmax(-1)) / len(scores) ** 0.5),
            ),
            "your second result gets smaller the more samples there are: it says how well the mean is known. How far "
            "the samples are apart is asked for.",
        ),
        "exchanged": Mistake(
            partial(_mc, finish=lambda scores: _mean_and_std(scores)[::-1]),
            "you return the deviation first. The mean comes first.",
        ),
        "votes": Mistake(
            partial(_mc, finish=_votes),
            "you count how often each class wins. The probabilities themselves are averaged, not the decisions.",
        ),
        "median": Mistake(
            partial(_mc, finish=lambda scores: (scores.softmax(-1).median(0).values, _std(scores.softmax(-1)))),
            "your first result is the median of the samples. Their mean is asked for.",
        ),
        "sum": Mistake(
            partial(_mc, finish=lambda scores: (scores.softmax(-1).sum(0), _std(scores.softmax(-1)))),
            "you added the probabilities up. Their mean is asked for, whatever n_samples is.",
        ),
        "one_sample_less": Mistake(
            partial(_mc, count=lambda n: max(n - 1, 1)),
            "you draw one sample less than n_samples: look at where your loop begins and ends.",
            where=_by_statistic,
        ),
        "same_masks": Mistake(
            partial(_mc, again=True),
            "all samples have the same masks, so that they do not differ. Hand `generator` on to every dropout, "
            "and let it go on from sample to sample.",
            where=_by_statistic,
        ),
        "n_samples_ignored": Mistake(
            partial(_mc, count=lambda n: 50),
            "your mean is that of 50 samples, whatever n_samples says.",
            where=_by_statistic,
        ),
    },
    properties=[
        Property("an image that comes several times in a batch gets masks of its own each time.", _masks_of_their_own),
        Property(
            "the mean probabilities of an image sum to 1 over the classes.",
            lambda arguments, value: bool(((value[0].sum(-1) - 1).abs() <= 1e-4).all()),
        ),
        Property(
            "a standard deviation is not negative, and of numbers in [0, 1] at most 0.5 (0.71 if divided by n - 1).",
            lambda arguments, value: bool((value[1] >= 0).all() and (value[1] <= 0.7072).all()),
        ),
    ],
    relations=[_GENERATOR],
)


EXERCISES: tuple[Exercise | ValueExercise, ...] = (
    DROPOUT_BY_HAND,
    DENSE_DROPOUT,
    CONV_MATRIX,
    CONV_DROPOUT_MATRIX,
    W5_WITHOUT_GRADIENT,
    MASKS_WITHOUT_GRADIENT,
    WEIGHTS_WITHOUT_GRADIENT,
    SCALING_BY_HAND,
    DROPOUT,
    SPATIAL_DROPOUT,
    MC_BY_HAND,
    MC_DROPOUT,
)
