"""The exercises of unit 01: convolution forward and backward, the shared weights, and the mistakes that people make.

The wrong answers are built from one naive piece, which is independent of ``course_utils.convolution``: for each
direction, rows and columns, a table of zeros and ones says which kernel weight joins which output place to which input
place (`Side.joins`). Forward and backward are sums over two such tables; a mistake changes a table, the kernel or what
comes out. In the hints, as in the lab: xi_j is the inner potential of the neuron j, y_i an output, w_ji a weight, b_j
the bias, y_0 = 1 the formal unit, [ji] the set of the connections that share w_ji, E the error, s, p and d stride,
padding, dilation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils import convolution
from course_utils.exercises.core import Case, Exercise, Mistake, Property, ValueExercise, draw_integer

Pair = int | tuple[int, int]
Connections = dict[tuple[int, int], Tensor]


# ---------------------------------------------------------------------------------------------------------------------
# The naive piece: who is joined to whom, in one direction
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """A convolution along rows, or along columns: how many inputs there are, how long the kernel is, and its steps."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def places(self) -> int:
        """How many outputs there are in this direction."""
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def met(self, a: int, u: int) -> int:
        """Return the input that the kernel weight `a` meets at the output place `u`; on the padding there is none."""
        return self.stride * u + self.dilation * a - self.padding

    def joins(self, places: int | None = None) -> Tensor:
        """Return zeros and ones (kernel, places, size): whether the weight a joins the output u to the input h."""
        table = torch.zeros(self.kernel, self.places if places is None else places, self.size)
        for a in range(table.shape[0]):
            for u in range(table.shape[1]):
                if 0 <= self.met(a, u) < self.size:
                    table[a, u, self.met(a, u)] = 1
        return table


def _wrapping_joins(side: Side, places: int) -> Tensor:
    """Return `side.joins(places)` of who indexes the image with negative numbers, which count from its end.

    Raises:
        IndexError: a number goes beyond the first one of the image.
    """
    table = torch.zeros(side.kernel, places, side.size)
    for a in range(side.kernel):
        for u in range(places):
            if side.met(a, u) < side.size:
                table[a, u, side.met(a, u)] = 1
    return table


Sides = tuple[Side, Side]
SidesChange = Callable[[Sides], Sides]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _sides(
    input_size: Pair, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> tuple[Side, Side]:
    """Return the convolution along rows and along columns."""
    rows, columns = zip(*map(_pair, (input_size, kernel_size, stride, padding, dilation)), strict=True)
    return Side(*rows), Side(*columns)


def _as_they_are(sides: Sides) -> Sides:
    return sides


def _with(**steps: int) -> SidesChange:
    """Return a change that sets a step in both directions: dilation=1."""
    return lambda sides: (replace(sides[0], **steps), replace(sides[1], **steps))


def _swapped(*names: str) -> SidesChange:
    """Return a change that gives the rows' steps to the columns, and the other way round."""

    def change(sides: Sides) -> Sides:
        rows, columns = sides
        return (
            replace(rows, **{name: getattr(columns, name) for name in names}),
            replace(columns, **{name: getattr(rows, name) for name in names}),
        )

    return change


def _rows_for_both(*names: str) -> SidesChange:
    """Return a change that gives the rows' steps to the columns as well."""
    return lambda sides: (sides[0], replace(sides[1], **{name: getattr(sides[0], name) for name in names}))


def _each_swapped(method: Callable[..., Any], *throughout: str) -> dict[str, Mistake]:
    """Return the mistakes of who takes columns for rows in one step alone, and in all of them.

    throughout: names of further arguments of `method` that take the same change as `sides`.
    """

    def swapped(*steps: str) -> Callable[..., Any]:
        return partial(method, **dict.fromkeys(("sides", *throughout), _swapped(*steps)))

    return {
        "stride_swapped": Mistake(
            swapped("stride"),
            "rows and columns of the stride have changed places: the first number is the step from row to row.",
        ),
        "padding_swapped": Mistake(
            swapped("padding"),
            "rows and columns of the padding have changed places: the first number counts rows, above and below. "
            "Mind that `F.pad` wants the columns first.",
        ),
        "dilation_swapped": Mistake(
            swapped("dilation"),
            "rows and columns of the dilation have changed places: the first number is the step between kernel rows.",
        ),
        "all_steps_swapped": Mistake(
            swapped("stride", "padding", "dilation"),
            "in stride, padding and dilation you took columns for rows: a pair is (rows, columns).",
        ),
    }


def _gaps(sides: Sides) -> Sides:
    """Take the dilation for the number of pixels that are left out between two weights."""
    rows, columns = sides
    return replace(rows, dilation=rows.dilation + 1), replace(columns, dilation=columns.dilation + 1)


# ---------------------------------------------------------------------------------------------------------------------
# The cases: one list of layers for all exercises
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """The sizes of a convolution; `steps` holds what is given of stride, padding and dilation."""

    note: str
    images: int
    channels: tuple[int, int]
    kernel_size: tuple[int, int]
    input_size: tuple[int, int]
    steps: Mapping[str, Pair]
    dtype: torch.dtype = torch.float32
    tolerance: float = 1e-4
    channels_last: bool = False

    @property
    def sizes(self) -> str:
        """Kernel, image and steps in words, for exercises that see nothing else of the layer."""
        (kh, kw), (height, width) = self.kernel_size, self.input_size
        steps = "".join(f", {name} {step}" for name, step in self.steps.items())
        return f"a kernel of {kh} x {kw} on {height} x {width} pixels{steps}"

    @property
    def output_size(self) -> tuple[int, int]:
        """(H', W')."""
        rows, columns = _sides(self.input_size, self.kernel_size, **self.steps)
        return rows.places, columns.places


FIXED = (
    Layer("one grey image of 4 x 4 pixels", 1, (1, 1), (2, 2), (4, 4), {}),
    Layer("two images, two channels below and above", 2, (2, 2), (3, 2), (5, 6), {}),
    Layer("stride (2, 1) and padding (0, 2)", 1, (3, 4), (3, 3), (7, 5), {"stride": (2, 1), "padding": (0, 2)}),
    Layer(
        "a stride (2, 3) that does not divide the way of the kernel, padding (2, 1)",
        2,
        (2, 3),
        (3, 2),
        (8, 7),
        {"stride": (2, 3), "padding": (2, 1)},
    ),
    Layer("dilation (1, 2)", 2, (1, 2), (2, 3), (6, 7), {"dilation": (1, 2)}),
    Layer(
        "dilation (3, 1), padding (3, 1) and stride (1, 2)",
        1,
        (2, 1),
        (3, 2),
        (6, 6),
        {"dilation": (3, 1), "padding": (3, 1), "stride": (1, 2)},
    ),
)


def _layers(generator: torch.Generator) -> Iterator[Layer]:
    """Yield the fixed layers, then drawn ones."""
    yield from FIXED

    def number(low: int, high: int) -> int:
        return draw_integer(generator, low, high + 1)

    kernel_size, dilation = (number(2, 3), number(2, 4)), (number(1, 2), number(1, 3))
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))
    yield Layer(
        "drawn sizes and steps",
        number(2, 3),
        (number(1, 3), number(2, 4)),
        kernel_size,
        (span[0] + number(1, 5), span[1] + number(0, 4)),
        {"stride": (number(1, 3), number(1, 2)), "padding": (number(0, 2), number(0, 3)), "dilation": dilation},
    )
    yield Layer(
        "stride, padding and dilation as whole numbers, float64, for which float32 on the way is too coarse",
        2,
        (3, 2),
        (2, 3),
        (number(8, 10), number(6, 7)),
        {"stride": 2, "padding": 1, "dilation": 2},
        torch.float64,
        tolerance=1e-10,  # rounding is about 1e-15 in float64, and 1e-7 in float32
    )
    size = number(3, 6), number(4, 6)
    yield Layer("a kernel of one weight, with a stride", 2, (4, 3), (1, 1), size, {"stride": (2, 1)})
    size = number(2, 4), number(3, 5)
    yield Layer("a kernel as large as the image", 3, (2, 4), size, size, {})
    yield Layer(
        "a padding larger than the kernel, numbers in another order in memory",
        1,
        (2, 3),
        (2, 2),
        (number(1, 4), number(2, 3)),
        {"padding": (3, 4)},
        channels_last=True,
    )


def _numbers(generator: torch.Generator, layer: Layer, *shape: int) -> Tensor:
    numbers = torch.randn(shape, generator=generator, dtype=layer.dtype)
    if layer.channels_last and len(shape) == 4:
        return numbers.contiguous(memory_format=torch.channels_last)
    return numbers


def _cases(
    arguments: Callable[[torch.Generator, Layer], dict[str, Any]],
) -> Callable[[torch.Generator], Iterator[Case]]:
    """Return the cases with `arguments` for each layer; those of the fixed layers are the same for every seed."""

    def cases(generator: torch.Generator) -> Iterator[Case]:
        fixed = torch.Generator().manual_seed(1)
        for layer in _layers(generator):
            source = fixed if layer in FIXED else generator
            yield Case({**arguments(source, layer), **layer.steps}, layer.note, layer.tolerance)

    return cases


def _inputs(generator: torch.Generator, layer: Layer) -> Tensor:
    return _numbers(generator, layer, layer.images, layer.channels[0], *layer.input_size)


def _weight(generator: torch.Generator, layer: Layer) -> Tensor:
    return _numbers(generator, layer, layer.channels[1], layer.channels[0], *layer.kernel_size)


def _output_gradient(generator: torch.Generator, layer: Layer) -> Tensor:
    return _numbers(generator, layer, layer.images, layer.channels[1], *layer.output_size)


def _equal(first: Tensor, second: Tensor, size: Tensor) -> bool:
    """Whether two numbers are equal up to rounding, where numbers that add up to `size` without signs were added."""
    return bool((first - second).abs() <= 1e-4 * size + 1e-7)


# ---------------------------------------------------------------------------------------------------------------------
# By hand: the inner potential, the size of the output
# ---------------------------------------------------------------------------------------------------------------------

# b_j = 1.5, w_j1, w_j2, w_j3 = 3, -1, 0.5 and y_1, y_2, y_3 = 2, 4, 6: (w_j0, xi_j).
INNER_POTENTIAL = ValueExercise(
    name="inner_potential",
    expected=(-1.5, 3.5),
    mistakes={
        "bias_added": Mistake(
            (1.5, 6.5),
            "you took w_j0 = b_j. In the lecture the bias is a threshold: w_j0 = -b_j, so that it is subtracted.",
        ),
        "bias_forgotten": Mistake(
            (-1.5, 5.0), "the formal unit is missing in your sum: with y_0 = 1 it adds w_j0 y_0 to xi_j."
        ),
        "sign_lost_in_the_sum": Mistake(
            (-1.5, 6.5), "your w_j0 is right, but in your sum the bias has the other sign. The sum adds w_j0 y_0."
        ),
        "sign_of_the_weight": Mistake(
            (1.5, 3.5), "your xi_j is right. The weight from the formal unit is w_j0 = -b_j, with its sign."
        ),
        "sign_of_a_weight_lost": Mistake(
            (-1.5, 11.5), "the weight w_j2 is negative: its input is subtracted from the sum."
        ),
        "formal_unit_zero": Mistake((0.0, 5.0), "the formal unit has the output y_0 = 1, and its weight is not 0."),
        "values_in_the_wrong_order": Mistake((3.5, -1.5), "give w_j0 first, and xi_j second."),
    },
)

# 10 x 16 pixels, a kernel of 3 x 5 weights, stride (3, 2), padding (3, 1), dilation (1, 3): (H', W'). The ways of 13
# and 5 pixels leave 1 over in both directions, and the numbers are such that each mistake gives a pair of its own.
OUTPUT_SIZE = ValueExercise(
    name="output_size",
    expected=(5, 3),
    mistakes={
        "rounded_up": Mistake(
            (6, 4), "you rounded up. A kernel that would stand over the edge by a part has no place there: round down."
        ),
        "first_place_forgotten": Mistake(
            (4, 2), "you counted the steps of the kernel. It also stands where it started: one place more."
        ),
        "minus_one_forgotten": Mistake(
            (5, 4),
            "your way is one pixel too long: the kernel spans d (k - 1) + 1 pixels, and the last 1 is subtracted, too.",
        ),
        "padding_on_one_side": Mistake((4, 3), "the padding is added on both sides: twice p."),
        "padding_forgotten": Mistake((3, 2), "you forgot the padding: the image grows by p on each side first."),
        "padding_added_to_the_places": Mistake(
            (6, 3),
            "you added the padding to the number of places. It makes the image larger, by p on each side, before "
            "anything is divided.",
        ),
        "padding_added_twice_to_the_places": Mistake(
            (9, 4),
            "you added twice the padding to the number of places. It makes the image larger, before anything is "
            "divided.",
        ),
        "stride_forgotten": Mistake((14, 6), "you forgot the stride: the kernel moves by s pixels at a time."),
        "dilation_forgotten": Mistake(
            (5, 7), "you forgot the dilation: the 5 columns of the kernel do not stand side by side."
        ),
        "dilation_times_kernel": Mistake(
            (5, 2), "the kernel is not d k pixels wide: between k weights there are k - 1 steps of d pixels."
        ),
        "dilation_as_gap": Mistake(
            (4, 1), "the dilation is the step from one weight to the next: with 1 there is no gap between them."
        ),
        "kernel_forgotten": Mistake((6, 9), "you forgot the kernel: its last weight has to stay on the padded image."),
        "rows_and_columns_swapped": Mistake((3, 5), "give the rows first, and the columns second."),
        "strides_swapped": Mistake(
            (7, 2), "rows and columns of the stride have changed places: a pair is (rows, columns)."
        ),
        "paddings_swapped": Mistake(
            (4, 5), "rows and columns of the padding have changed places: a pair is (rows, columns)."
        ),
        "dilations_swapped": Mistake(
            (4, 7), "rows and columns of the dilation have changed places: a pair is (rows, columns)."
        ),
        "size_kept": Mistake((10, 16), "with a stride of 2 or 3 the output cannot be as large as the image."),
        "size_divided": Mistake(
            (4, 8), "you divided the size of the image by the stride. Padding and kernel count, too: use the formula."
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# conv2d
# ---------------------------------------------------------------------------------------------------------------------

WITHOUT_BIAS = ("one grey image of 4 x 4 pixels", "dilation (1, 2)", "a kernel as large as the image")


def _conv2d_arguments(generator: torch.Generator, layer: Layer) -> dict[str, Any]:
    arguments = {"inputs": _inputs(generator, layer), "weight": _weight(generator, layer)}
    if layer.note in WITHOUT_BIAS:
        return arguments
    return {**arguments, "bias": _numbers(generator, layer, layer.channels[1])}


def _forward(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    sides: SidesChange = _as_they_are,
    times: Callable[[Tensor], float] = lambda weight: 1,
) -> Tensor:
    """Return the convolution; `times` is how often the bias is added."""
    rows, columns = sides(_sides(tuple(inputs.shape[2:]), tuple(weight.shape[2:]), stride, padding, dilation))
    if min(rows.places, columns.places) < 1:
        raise ValueError("the kernel fits nowhere")
    tables = rows.joins().to(inputs.dtype), columns.joins().to(inputs.dtype)
    potentials = torch.einsum("nchw,auh,bvw,ocab->nouv", inputs, *tables, weight)
    return potentials if bias is None else potentials + times(weight) * bias[:, None, None]


def _forward_of(
    change: Callable[[Tensor, Tensor, tuple[int, int]], tuple[Tensor, Tensor]], padded: bool = False
) -> Callable[..., Tensor]:
    """Return a conv2d that changes inputs and weight first: change(inputs, weight, padding).

    padded: whether the change has done the padding.
    """

    def conv2d(
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> Tensor:
        inputs, weight = change(inputs, weight, _pair(padding))
        return _forward(inputs, weight, bias, stride, 0 if padded else padding, dilation)

    return conv2d


def _then(change: Callable[[Tensor], Tensor], method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a method that does `change` to the result."""
    return lambda *arguments, **options: change(method(*arguments, **options))


def _mean_of_channels(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    return _forward(inputs, weight / inputs.shape[1], bias, stride, padding, dilation)


def _rounded_up(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Add zeros below and to the right until the stride divides the way of the kernel."""
    missing = []
    for side in _sides(tuple(inputs.shape[2:]), tuple(weight.shape[2:]), stride, padding, dilation):
        way = side.size + 2 * side.padding - side.dilation * (side.kernel - 1) - 1
        missing.append(-way % side.stride)
    ph, pw = _pair(padding)
    padded = F.pad(inputs, (pw, pw + missing[1], ph, ph + missing[0]))
    return _forward(padded, weight, bias, stride, 0, dilation)


def _last_weight(weight: Tensor) -> Tensor:
    """Return kernels of which only the weight in the last row and column is left."""
    last = torch.zeros_like(weight)
    last[:, :, -1, -1] = weight[:, :, -1, -1]
    return last


def _channels_kept(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    each = [
        _forward(inputs[:, c : c + 1], weight[:, c : c + 1], bias, stride, padding, dilation)
        for c in range(inputs.shape[1])
    ]
    return torch.stack(each, dim=2)


def _one_neuron_is_right(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether the last output neuron of the last image is the sum of the products under its kernel, one by one."""
    inputs, weight, bias = arguments["inputs"].double(), arguments["weight"].double(), arguments.get("bias")
    steps = {name: arguments[name] for name in ("stride", "padding", "dilation") if name in arguments}
    rows, columns = _sides(tuple(inputs.shape[2:]), tuple(weight.shape[2:]), **steps)
    total = torch.zeros((), dtype=torch.float64) if bias is None else bias[-1].double()
    size = total.abs()
    for a in range(rows.kernel):
        for b in range(columns.kernel):
            row, column = rows.met(a, rows.places - 1), columns.met(b, columns.places - 1)
            if 0 <= row < rows.size and 0 <= column < columns.size:
                products = inputs[-1, :, row, column] * weight[-1, :, a, b]
                total, size = total + products.sum(), size + products.abs().sum()
    return _equal(value[-1, -1, -1, -1].double(), total, size)


CONV2D = Exercise(
    name="conv2d",
    reference=convolution.conv2d,
    cases=_cases(_conv2d_arguments),
    mistakes={
        "kernel_flipped": Mistake(
            _forward_of(lambda inputs, weight, padding: (inputs, weight.flip(2, 3))),
            "you flipped the kernel. That is the convolution of the mathematicians; in a network the kernel lies on "
            "the image as it is. It is flipped on the way back only.",
        ),
        "kernel_transposed": Mistake(
            lambda inputs, weight, *rest, **options: _forward(inputs, weight.transpose(2, 3), *rest, **options),
            "rows and columns of the kernel have changed places. w[o, c, a, b] is in row a and column b.",
        ),
        "bias_subtracted": Mistake(
            partial(_forward, times=lambda weight: -1),
            "you subtracted `bias`. It is true that the lecture subtracts b_j; but `bias` is given as torch gives "
            "it, as the weight w_j0 = -b_j from the formal unit: it is added.",
        ),
        "bias_forgotten": Mistake(
            partial(_forward, times=lambda weight: 0),
            "your bias is missing: when `bias` is given, each output map gets its own number added.",
        ),
        "bias_for_each_channel": Mistake(
            partial(_forward, times=lambda weight: weight.shape[1]),
            "you added the bias once for each input channel. A neuron has one bias, whatever the number of channels.",
        ),
        "bias_for_each_weight": Mistake(
            partial(_forward, times=lambda weight: weight[0].numel()),
            "you added the bias to each product under the kernel. It is added once to the sum.",
        ),
        "bias_in_the_loop": Mistake(
            partial(_forward, times=lambda weight: weight[0, 0].numel()),
            "you added the bias once for each place in the kernel, in the loop over its rows and columns. It is added "
            "once, after the loop.",
        ),
        "first_bias_for_all": Mistake(
            lambda inputs, weight, bias=None, **steps: _forward(
                inputs, weight, None if bias is None else bias[:1].expand_as(bias), **steps
            ),
            "all your output maps have the bias of the first one. Each has its own.",
        ),
        "padding_ignored": Mistake(
            partial(_forward, sides=_with(padding=0)),
            "you ignored `padding`: zeros are added around the image first.",
        ),
        "padding_all_on_one_side": Mistake(
            _forward_of(
                lambda inputs, weight, p: (F.pad(inputs, (0, 2 * p[1], 0, 2 * p[0])), weight),
                padded=True,
            ),
            "your zeros are all below and to the right of the image. Half of them belong above and to the left.",
        ),
        "padding_after_the_image": Mistake(
            _forward_of(lambda inputs, weight, p: (F.pad(inputs, (0, p[1], 0, p[0])), weight), padded=True),
            "you padded below and to the right alone. `padding` is the number of zeros on each of the two sides.",
        ),
        "padding_before_the_image": Mistake(
            _forward_of(lambda inputs, weight, p: (F.pad(inputs, (p[1], 0, p[0], 0)), weight), padded=True),
            "you padded above and to the left alone. `padding` is the number of zeros on each of the two sides.",
        ),
        "padding_repeats_the_border": Mistake(
            _forward_of(
                lambda inputs, weight, p: (F.pad(inputs, (p[1], p[1], p[0], p[0]), mode="replicate"), weight),
                padded=True,
            ),
            "your padding repeats the border of the image. Here the padding is 0: there is no neuron.",
        ),
        "stride_ignored": Mistake(
            partial(_forward, sides=_with(stride=1)),
            "you ignored `stride`: from one place to the next the kernel moves by s pixels.",
        ),
        "stride_of_the_rows": Mistake(
            partial(_forward, sides=_rows_for_both("stride")),
            "you took the first number of `stride` for both directions.",
        ),
        "padding_of_the_rows": Mistake(
            partial(_forward, sides=_rows_for_both("padding")),
            "you took the first number of `padding` for both directions.",
        ),
        "dilation_of_the_rows": Mistake(
            partial(_forward, sides=_rows_for_both("dilation")),
            "you took the first number of `dilation` for both directions.",
        ),
        "dilation_ignored": Mistake(
            partial(_forward, sides=_with(dilation=1)),
            "you ignored `dilation`: from one weight of the kernel to the next there are d pixels.",
        ),
        "dilation_as_gap": Mistake(
            partial(_forward, sides=_gaps),
            "your kernel is too wide: the dilation is the step from one weight to the next, so that 1 leaves no gap.",
        ),
        **_each_swapped(_forward),
        "channels_averaged": Mistake(
            _mean_of_channels,
            "you took the mean over the input channels. xi_j is a sum over all i with an arc to j, whatever their "
            "channel.",
        ),
        "channels_kept": Mistake(
            _channels_kept,
            "you have one map for each pair of input and output channel. The input channels are summed.",
        ),
        "channels_summed_first": Mistake(
            _forward_of(lambda inputs, weight, p: (inputs.sum(1, keepdim=True), weight.sum(1, keepdim=True))),
            "you added up the channels of image and kernel before you multiplied. Each channel has weights of its own: "
            "multiply first, then sum.",
        ),
        "first_channel": Mistake(
            _forward_of(lambda inputs, weight, p: (inputs[:, :1], weight[:, :1])),
            "only the first input channel counts. The kernel reaches through all channels.",
        ),
        "kernel_averaged": Mistake(
            lambda inputs, weight, *rest, **options: _forward(inputs, weight / weight[0].numel(), *rest, **options),
            "you divided by the number of weights. xi_j is a sum, not a mean.",
        ),
        "last_weight_alone": Mistake(
            _forward_of(lambda inputs, weight, p: (inputs, _last_weight(weight))),
            "only the last weight of each kernel counts: in your loop over the kernel a product replaces the one "
            "before. They add up.",
        ),
        "last_place_forgotten": Mistake(
            _then(lambda value: value[:, :, :-1, :-1], _forward),
            "your output lacks its last row and column: the number of places is that of the steps, plus one.",
        ),
        "rounded_up": Mistake(
            _rounded_up,
            "where the stride does not divide the way of the kernel, you have a place too many. The kernel never "
            "stands over the edge of the padded image: round down.",
        ),
        "activation": Mistake(
            _then(torch.relu, _forward),
            "you returned the output of the neuron, after a ReLU. The inner potential xi_j is asked for.",
        ),
        "first_image_for_all": Mistake(
            lambda inputs, weight, *rest, **options: _forward(inputs[:1].expand_as(inputs), weight, *rest, **options),
            "all images of your batch have the output of the first one.",
        ),
    },
    properties=[
        Property(
            "the last output neuron is the sum of the products under its kernel, plus the bias.", _one_neuron_is_right
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# connections
# ---------------------------------------------------------------------------------------------------------------------


def _connections_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(layer: Layer) -> Case:
        return Case({"kernel_size": layer.kernel_size, "input_size": layer.input_size, **layer.steps}, layer.sizes)

    yield case(Layer("unpadded", 1, (1, 1), (2, 2), (3, 3), {}))
    yield case(Layer("padded", 1, (1, 1), (3, 3), (3, 3), {"padding": (1, 1)}))
    yield case(Layer("one row, where some weights only meet padding", 1, (1, 1), (3, 3), (1, 4), {"padding": (1, 1)}))
    for layer in _layers(generator):
        if layer.note != FIXED[0].note:
            yield case(layer)


def _joined(
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    sides: SidesChange = _as_they_are,
    exists: Callable[[Sides, int, int], bool] | None = None,
    number: Callable[[Sides, int, int, int, int], tuple[int, int]] | None = None,
    places_of: SidesChange = _as_they_are,
) -> Connections:
    """Return the connections of each weight, place by place.

    sides: a change of the two directions; `places_of` is the one that decides how many places there are.
    exists: (sides, row, column) -> whether there is an input neuron.
    number: (sides, u, v, row, column) -> the numbers of output and input neuron.
    """
    right = _sides(input_size, kernel_size, stride, padding, dilation)
    changed = rows, columns = sides(right)
    place_rows, place_columns = places_of(right)
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a in range(right[0].kernel):
        for b in range(right[1].kernel):
            pairs = found.setdefault((a, b), [])
            for u in range(place_rows.places):
                for v in range(place_columns.places):
                    row, column = rows.met(a, u), columns.met(b, v)
                    if (exists or _is_inside)(changed, row, column):
                        pairs.append((number or _row_by_row)((place_rows, place_columns), u, v, row, column))
    return {key: torch.tensor(pairs, dtype=torch.long).reshape(-1, 2) for key, pairs in found.items()}


def _is_inside(sides: Sides, row: int, column: int) -> bool:
    return 0 <= row < sides[0].size and 0 <= column < sides[1].size


def _row_by_row(sides: Sides, u: int, v: int, row: int, column: int) -> tuple[int, int]:
    return u * sides[1].places + v, row * sides[1].size + column


def _column_by_column(sides: Sides, u: int, v: int, row: int, column: int) -> tuple[int, int]:
    return v * sides[0].places + u, column * sides[0].size + row


def _on_padded_image(sides: Sides, u: int, v: int, row: int, column: int) -> tuple[int, int]:
    rows, columns = sides
    width = columns.size + 2 * columns.padding
    return u * columns.places + v, (row + rows.padding) * width + column + columns.padding


def _clamped(sides: Sides, u: int, v: int, row: int, column: int) -> tuple[int, int]:
    row, column = (min(max(x, 0), side.size - 1) for x, side in zip((row, column), sides, strict=True))
    return _row_by_row(sides, u, v, row, column)


def _wrapped(sides: Sides, row: int, column: int) -> bool:
    return 0 <= row * sides[1].size + column < sides[0].size * sides[1].size


def _changed_keys(change: Callable[[Connections], Connections]) -> Callable[..., Connections]:
    return lambda *arguments, **options: change(_joined(*arguments, **options))


def _flipped_keys(sets: Connections) -> Connections:
    last_row, last_column = max(sets)
    return {(a, b): sets[last_row - a, last_column - b] for a, b in sets}


def _met_by_definition(arguments: dict[str, Any], value: Connections) -> bool:
    """Whether each pair joins places that this weight joins, and no pair stands twice."""
    steps = {name: arguments[name] for name in ("stride", "padding", "dilation") if name in arguments}
    rows, columns = _sides(arguments["input_size"], arguments["kernel_size"], **steps)
    for (a, b), pairs in value.items():
        lines = list(map(tuple, pairs.tolist()))
        if len(set(lines)) < len(lines):
            return False
        for j, i in lines:
            u, v = divmod(j, columns.places)
            if divmod(i, columns.size) != (rows.met(a, u), columns.met(b, v)):
                return False
    return True


CONNECTIONS = Exercise(
    name="connections",
    reference=convolution.connections,
    cases=_connections_cases,
    mistakes={
        "input_first": Mistake(
            _changed_keys(lambda sets: {key: pairs.flip(1) for key, pairs in sets.items()}),
            "your pairs are (i, j). The connection of w_ji is the pair (j, i): the output neuron j comes first.",
        ),
        "wraps_around": Mistake(
            partial(_joined, exists=_wrapped),
            "a kernel that stands over the left or right edge does not go on in the next row. Test row and column, "
            "each by itself, before you compute the number of the neuron.",
        ),
        "padding_kept": Mistake(
            partial(_joined, exists=lambda sides, row, column: True),
            "you kept the connections to the padding. There is no neuron there, and so no connection.",
        ),
        "padding_kept_on_padded_image": Mistake(
            partial(_joined, exists=lambda sides, row, column: True, number=_on_padded_image),
            "you numbered the pixels of the padded image and kept the padding. Only the image has neurons, and they "
            "are numbered without padding.",
        ),
        "numbered_on_padded_image": Mistake(
            partial(_joined, number=_on_padded_image),
            "you left the padding out, but your numbers i are those of the padded image, with its longer rows.",
        ),
        "clamped": Mistake(
            partial(_joined, exists=lambda sides, row, column: True, number=_clamped),
            "where the kernel stands over the edge, you took the nearest pixel. There is no connection.",
        ),
        "padding_not_subtracted": Mistake(
            partial(_joined, sides=_with(padding=0)),
            "you forgot that the padding moves the image: the first place of the kernel begins p pixels before it.",
        ),
        "padding_ignored": Mistake(
            partial(_joined, sides=_with(padding=0), places_of=_with(padding=0)),
            "you ignored `padding`: with it the kernel has more places.",
        ),
        "stride_ignored": Mistake(
            partial(_joined, sides=_with(stride=1)),
            "you ignored `stride` in the place of the kernel: the output place u is at s u pixels.",
        ),
        "stride_ignored_throughout": Mistake(
            partial(_joined, sides=_with(stride=1), places_of=_with(stride=1)),
            "you ignored `stride`: with it the kernel has fewer places, and the output place u is at s u pixels.",
        ),
        "dilation_ignored": Mistake(
            partial(_joined, sides=_with(dilation=1)),
            "you ignored `dilation` in the place of the weight: the kernel row a is d a pixels below the first.",
        ),
        "dilation_ignored_throughout": Mistake(
            partial(_joined, sides=_with(dilation=1), places_of=_with(dilation=1)),
            "you ignored `dilation`: with it the kernel has fewer places, and its row a is d a pixels below the first.",
        ),
        "lower_bound_not_tested": Mistake(
            partial(_joined, exists=lambda sides, row, column: row < sides[0].size and column < sides[1].size),
            "you tested only that row and column do not go beyond the end of the image. Above and to the left of it "
            "they are negative, and there is no neuron either.",
        ),
        "upper_bound_not_tested": Mistake(
            partial(_joined, exists=lambda sides, row, column: row >= 0 and column >= 0),
            "you tested only that row and column are not negative. Below the image and to its right there is no neuron "
            "either.",
        ),
        "stride_and_dilation_exchanged": Mistake(
            partial(
                _joined,
                sides=lambda sides: tuple(replace(side, stride=side.dilation, dilation=side.stride) for side in sides),
            ),
            "stride and dilation have changed their roles: the stride goes with the output place, the dilation with "
            "the kernel weight.",
        ),
        **_each_swapped(_joined, "places_of"),
        "column_by_column": Mistake(
            partial(_joined, number=_column_by_column),
            "you numbered the neurons column by column. They are numbered row by row, as `flatten` does.",
        ),
        "outputs_by_input_width": Mistake(
            partial(
                _joined,
                number=lambda sides, u, v, row, column: (
                    u * sides[1].size + v,
                    row * sides[1].size + column,
                ),
            ),
            "you numbered the output neurons with the width of the input. A row of the output has W' neurons.",
        ),
        "inputs_by_output_width": Mistake(
            partial(
                _joined,
                number=lambda sides, u, v, row, column: (
                    u * sides[1].places + v,
                    row * sides[1].places + column,
                ),
            ),
            "you numbered the input neurons with the width of the output. A row of the input has W neurons.",
        ),
        "numbered_by_heights": Mistake(
            partial(
                _joined,
                number=lambda sides, u, v, row, column: (
                    u * sides[0].places + v,
                    row * sides[0].size + column,
                ),
            ),
            "you multiplied the row with the height. The neuron in (row, column) has the number row * width + column.",
        ),
        "counted_from_one": Mistake(
            _changed_keys(lambda sets: {key: pairs + 1 for key, pairs in sets.items()}),
            "you counted the neurons from 1. Here they are numbered from 0.",
        ),
        "kernel_flipped": Mistake(
            _changed_keys(_flipped_keys),
            "you flipped the kernel: on the way forward the weight in row 0 and column 0 meets the upper left pixel.",
        ),
        "keys_columns_first": Mistake(
            _changed_keys(lambda sets: {(b, a): pairs for (a, b), pairs in sets.items()}),
            "your keys are (column, row). They are (row, column) of the weight in the kernel.",
        ),
        "empty_sets_left_out": Mistake(
            _changed_keys(lambda sets: {key: pairs for key, pairs in sets.items() if len(pairs)}),
            "a weight that only meets padding has a set, too. It is empty: a LongTensor of shape (0, 2).",
        ),
    },
    properties=[
        Property(
            "each pair (j, i) of the weight in (a, b) joins the output place (u, v) to the input place "
            "(s u + d a - p, s v + d b - p), and no pair stands twice.",
            _met_by_definition,
        ),
        Property(
            "the lines of each set are sorted by j.",
            lambda arguments, value: all(bool((pairs[1:, 0] >= pairs[:-1, 0]).all()) for pairs in value.values()),
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# count_parameters
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """What the numbers of parameters are made of."""

    in_channels: int
    out_channels: int
    sides: Sides
    bias: bool

    @property
    def pixels(self) -> int:
        """H W."""
        return self.sides[0].size * self.sides[1].size

    @property
    def padded_pixels(self) -> int:
        """The number of pixels of the padded image."""
        rows, columns = self.sides
        return (rows.size + 2 * rows.padding) * (columns.size + 2 * columns.padding)

    @property
    def kernel(self) -> int:
        """kh kw."""
        return self.sides[0].kernel * self.sides[1].kernel

    @property
    def places(self) -> int:
        """H' W'."""
        return self.sides[0].places * self.sides[1].places

    @property
    def connections(self) -> int:
        """The number of connections between two maps: those along rows times those along columns."""
        return int(self.sides[0].joins().sum() * self.sides[1].joins().sum())

    @property
    def outputs(self) -> int:
        """The number of output neurons."""
        return self.out_channels * self.places


def _dense(z: Sizes) -> int:
    return z.outputs * (z.in_channels * z.pixels + z.bias)


def _local(z: Sizes) -> int:
    return z.out_channels * z.in_channels * z.connections + z.outputs * z.bias


def _shared(z: Sizes) -> int:
    return z.out_channels * (z.in_channels * z.kernel + z.bias)


def _counts(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    bias: bool = True,
    sides: SidesChange = _as_they_are,
    dense: Callable[[Sizes], int] = _dense,
    local: Callable[[Sizes], int] = _local,
    shared: Callable[[Sizes], int] = _shared,
) -> dict[str, int]:
    """Return the numbers of parameters, by a formula for each layer."""
    z = Sizes(in_channels, out_channels, sides(_sides(input_size, kernel_size, stride, padding, dilation)), bias)
    return {"dense": dense(z), "local": local(z), "shared": shared(z)}


def _count_cases(generator: torch.Generator) -> Iterator[Case]:
    def case(layer: Layer, bias: bool | None) -> Case:
        in_channels, out_channels = layer.channels
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": layer.kernel_size,
            "input_size": layer.input_size,
            **layer.steps,
            **({} if bias is None else {"bias": bias}),
        }
        note = f"{in_channels} to {out_channels} channels, {layer.sizes}{', no bias' if bias is False else ''}"
        return Case(arguments, note, tolerance=0.0)

    yield case(Layer("unpadded", 1, (1, 1), (2, 2), (3, 3), {}), None)
    yield case(Layer("padded", 1, (3, 8), (3, 3), (6, 5), {"padding": (1, 1)}), True)
    for n, layer in enumerate(_layers(generator)):
        if layer.note != FIXED[0].note:
            yield case(layer, (None, False, True)[n % 3])


COUNT_PARAMETERS = Exercise(
    name="count_parameters",
    reference=convolution.count_parameters,
    cases=_count_cases,
    mistakes={
        "bias_forgotten": Mistake(
            lambda *arguments, bias=True, **options: _counts(*arguments, bias=False, **options),
            "your weights are right, but w_j0, the weights from the formal unit, are missing: one for each output "
            "neuron of its own, or one for each output map.",
        ),
        "bias_always": Mistake(
            lambda *arguments, bias=True, **options: _counts(*arguments, **options),
            "you count the bias even where `bias` is False.",
        ),
        "one_bias_for_the_layer": Mistake(
            partial(
                _counts,
                dense=lambda z: z.outputs * z.in_channels * z.pixels + z.bias,
                local=lambda z: z.out_channels * z.in_channels * z.connections + z.bias,
                shared=lambda z: z.out_channels * z.in_channels * z.kernel + z.bias,
            ),
            "you count one bias for the whole layer. A neuron has its own; in a convolution all neurons of one output "
            "map share it.",
        ),
        "one_bias_in_shared": Mistake(
            partial(_counts, shared=lambda z: z.out_channels * z.in_channels * z.kernel + z.bias),
            "your convolution has one bias in all. Each output map has one; the neurons of a map share it.",
        ),
        "bias_not_shared": Mistake(
            partial(_counts, shared=lambda z: z.out_channels * z.in_channels * z.kernel + z.outputs * z.bias),
            "in your convolution each output neuron has its own bias. The neurons of an output map share the bias, "
            "too.",
        ),
        "bias_shared_in_local": Mistake(
            partial(
                _counts,
                local=lambda z: z.out_channels * z.in_channels * z.connections + z.out_channels * z.bias,
            ),
            "in your local layer the neurons of a map share a bias. There nothing is shared.",
        ),
        "bias_for_each_input_channel": Mistake(
            partial(_counts, shared=lambda z: z.out_channels * z.in_channels * (z.kernel + z.bias)),
            "in your convolution there is a bias for each pair of channels. There is one for each output channel.",
        ),
        "input_channels_forgotten_in_shared": Mistake(
            partial(_counts, shared=lambda z: z.out_channels * (z.kernel + z.bias)),
            "your kernels have no depth: each output channel has a kernel for every input channel.",
        ),
        "input_channels_forgotten": Mistake(
            partial(
                _counts,
                dense=lambda z: z.outputs * (z.pixels + z.bias),
                local=lambda z: z.out_channels * z.connections + z.outputs * z.bias,
                shared=lambda z: z.out_channels * (z.kernel + z.bias),
            ),
            "you forgot that the input has C channels, in all three layers.",
        ),
        "channels_exchanged": Mistake(
            lambda in_channels, out_channels, *rest, **options: _counts(out_channels, in_channels, *rest, **options),
            "C and O have changed places. The neurons above, and so the biases, belong to the O output channels.",
        ),
        "input_channels_forgotten_in_local": Mistake(
            partial(_counts, local=lambda z: z.out_channels * z.connections + z.outputs * z.bias),
            "in your local layer a neuron sees one input channel. It sees the pixels under the kernel in all C of "
            "them.",
        ),
        "output_channels_forgotten_in_local": Mistake(
            partial(_counts, local=lambda z: z.in_channels * z.connections + z.outputs * z.bias),
            "the weights of your local layer lead to one output map. There are O maps, each with weights of its own.",
        ),
        "one_map_in_local": Mistake(
            partial(_counts, local=lambda z: z.in_channels * z.connections + z.places * z.bias),
            "your local layer has one output map. There are O maps, each with weights and biases of its own.",
        ),
        "output_channels_forgotten": Mistake(
            lambda in_channels, out_channels, *rest, **options: _counts(in_channels, 1, *rest, **options),
            "you counted one output map. There are O of them.",
        ),
        "padding_counted_in_local": Mistake(
            partial(_counts, local=lambda z: z.outputs * (z.in_channels * z.kernel + z.bias)),
            "your local layer has weights to the padding. There is no neuron there, so there is no connection: the "
            "output neurons at the edge have fewer weights.",
        ),
        "padding_counted_in_dense": Mistake(
            partial(_counts, dense=lambda z: z.outputs * (z.in_channels * z.padded_pixels + z.bias)),
            "your dense layer has weights to the padding. There is no neuron there.",
        ),
        "padding_counted_in_both": Mistake(
            partial(
                _counts,
                dense=lambda z: z.outputs * (z.in_channels * z.padded_pixels + z.bias),
                local=lambda z: z.outputs * (z.in_channels * z.kernel + z.bias),
            ),
            "your dense and your local layer have weights to the padding. There is no neuron there: only the neurons "
            "of the image can be joined.",
        ),
        "output_as_large_as_input": Mistake(
            partial(_counts, dense=lambda z: z.out_channels * z.pixels * (z.in_channels * z.pixels + z.bias)),
            "your dense layer has as many output neurons as the input has pixels. All three layers have the output "
            "neurons of the convolution, O H' W'.",
        ),
        "stride_ignored": Mistake(
            partial(_counts, sides=_with(stride=1)),
            "you ignored `stride`: it makes the output smaller.",
        ),
        "dilation_ignored": Mistake(
            partial(_counts, sides=_with(dilation=1)),
            "you ignored `dilation`: it makes the output smaller, though it adds no weights.",
        ),
        "padding_ignored": Mistake(
            partial(_counts, sides=_with(padding=0)),
            "you ignored `padding`: it makes the output larger.",
        ),
        "neurons_not_weights": Mistake(
            partial(_counts, dense=lambda z: z.outputs + z.in_channels * z.pixels),
            "for the dense layer you counted neurons. Count its weights: each output neuron has one for each input "
            "neuron.",
        ),
        "local_without_places": Mistake(
            partial(_counts, local=_shared),
            "your local layer has as many parameters as the convolution. In it each place has a kernel of its own.",
        ),
        "local_and_shared_exchanged": Mistake(
            lambda *arguments, **options: {
                "dense": (counts := _counts(*arguments, **options))["dense"],
                "local": counts["shared"],
                "shared": counts["local"],
            },
            "you have mixed up the local layer and the convolution: sharing the weights makes them fewer.",
        ),
    },
    properties=[
        Property(
            "a dense layer has no fewer parameters than a local one, and each number is positive.",
            lambda arguments, value: value["dense"] >= value["local"] > 0 and value["shared"] > 0,
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# By hand: the gradient of a shared weight
# ---------------------------------------------------------------------------------------------------------------------

# y = ((1, 0, 2), (3, 1, 0), (2, 4, 1)), a kernel of 2 x 2, padding (0, 1), dE/dxi = ((0, -1, 0, 2), (1, 1, 3, 1)); for
# the weight in row 1 and column 0 the number of connections in its set (in the first place of each row it lies on the
# padding), and dE/dw = -1 * 3 + 0 * 1 + 2 * 0 + 1 * 2 + 3 * 4 + 1 * 1.
SHARED_GRADIENT = ValueExercise(
    name="shared_gradient",
    expected=(6.0, 12.0),
    mistakes={
        "mean": Mistake(
            (6.0, 2.0),
            "you divided by the number of connections. The derivative by a shared weight is the sum over [ji].",
        ),
        "padding_counted": Mistake(
            (8.0, 12.0),
            "your derivative is right, but you counted all places of the kernel. Where the weight lies on the padding "
            "there is no neuron, and so no connection.",
        ),
        "mean_over_places": Mistake(
            (8.0, 1.5),
            "you divided by the number of places, and counted connections to the padding. The derivative by a shared "
            "weight is the sum over [ji].",
        ),
        "zero_derivative_skipped": Mistake(
            (5.0, 12.0),
            "your derivative is right, but you left out a connection whose product is 0. It exists all the same: a "
            "connection is a pair of neurons, whatever their numbers.",
        ),
        "zero_products_skipped": Mistake(
            (4.0, 12.0),
            "your derivative is right, but you left out the connections whose product is 0. They exist all the same: a "
            "connection is a pair of neurons, whatever their numbers.",
        ),
        "first_connection": Mistake(
            (1.0, -3.0),
            "you took one connection alone. The kernel stands in many places, and its weight is used in each.",
        ),
        "first_connection_of_six": Mistake(
            (6.0, -3.0), "you counted the connections, but your derivative is that of the first one. Sum over all."
        ),
        "padding_ignored": Mistake(
            (4.0, 5.0),
            "you ignored the padding: the kernel stands in 2 x 4 places, as dE/dxi shows. In the first and the last "
            "column of them a part of it lies on the padding.",
        ),
        "other_weight": Mistake(
            (6.0, 4.0), "this is the derivative by the weight in row 0 and column 1. Row 1 and column 0 is asked for."
        ),
        "weight_above": Mistake(
            (6.0, 9.0), "this is the derivative by the weight in row 0 and column 0. Row 1 and column 0 is asked for."
        ),
        "padding_not_subtracted": Mistake(
            (6.0, 8.0),
            "this is the derivative by the weight in row 1 and column 1. Row 1 and column 0 is asked for; in the first "
            "column of places it lies on the padding.",
        ),
        "inputs_alone": Mistake(
            (6.0, 11.0), "you added up the inputs alone. Each one is multiplied with the dE/dxi_r of its connection."
        ),
        "gradient_alone": Mistake(
            (6.0, 6.0), "you added up dE/dxi alone. Each one is multiplied with the y_q of its connection."
        ),
        "sums_multiplied": Mistake(
            (6.0, 66.0), "you multiplied the two sums. Multiply for each connection first, and then sum."
        ),
        "magnitudes": Mistake((6.0, 18.0), "mind the sign: one dE/dxi_r is negative."),
        "values_in_the_wrong_order": Mistake(
            (12.0, 6.0), "give the number of connections first, and the derivative second."
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# weight_gradient
# ---------------------------------------------------------------------------------------------------------------------


def _weight_gradient_arguments(generator: torch.Generator, layer: Layer) -> dict[str, Any]:
    return {
        "inputs": _inputs(generator, layer),
        "output_gradient": _output_gradient(generator, layer),
        "kernel_size": layer.kernel_size,
    }


def _by_weight(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    sides: SidesChange = _as_they_are,
    joins: Callable[[Side, int], Tensor] = Side.joins,
) -> Tensor:
    """Return dE/dw; there are as many places as `output_gradient` has, however the sides are changed."""
    rows, columns = sides(_sides(tuple(inputs.shape[2:]), kernel_size, stride, padding, dilation))
    tables = [
        joins(side, places).to(inputs.dtype)
        for side, places in zip((rows, columns), output_gradient.shape[2:], strict=True)
    ]
    return torch.einsum("nouv,nchw,auh,bvw->ocab", output_gradient, inputs, *tables)


def _by_weight_of(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """Return a weight_gradient that changes inputs and output gradient first."""
    return lambda inputs, output_gradient, *rest, **options: _by_weight(
        *change(inputs, output_gradient), *rest, **options
    )


def _over_connections(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return the mean over the connections of each weight, 0 where it has none."""
    sides = _sides(tuple(inputs.shape[2:]), kernel_size, stride, padding, dilation)
    rows, columns = (side.joins().sum((1, 2)) for side in sides)
    number = (rows[:, None] * columns).clamp(min=1).to(inputs.dtype)
    return _by_weight(inputs, output_gradient, kernel_size, stride, padding, dilation) / number


def _surplus_kept(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Convolve the inputs with the output gradient as kernel, stride and dilation exchanged, and cut nothing off."""
    found = F.conv2d(
        inputs.transpose(0, 1), output_gradient.transpose(0, 1), stride=dilation, padding=padding, dilation=stride
    )
    return found.transpose(0, 1)


def _matches_weights(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether sum dE/dw w = sum dE/dxi xi(w) for some weights w: xi is linear in them."""
    inputs, back = arguments["inputs"].double(), arguments["output_gradient"].double()
    steps = {name: arguments[name] for name in ("stride", "padding", "dilation") if name in arguments}
    weight = torch.randn(value.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    products = back * _forward(inputs, weight, **steps)
    return _equal((value.double() * weight).sum(), products.sum(), products.abs().sum())


WEIGHT_GRADIENT = Exercise(
    name="weight_gradient",
    reference=convolution.weight_gradient,
    cases=_cases(_weight_gradient_arguments),
    mistakes={
        "mean_over_connections": Mistake(
            _over_connections,
            "you divided by the number of connections in [ji]. The derivative by a shared weight is the sum over [ji], "
            "not the mean.",
        ),
        "mean_over_places": Mistake(
            lambda inputs, output_gradient, *rest, **options: (
                _by_weight(inputs, output_gradient, *rest, **options) / output_gradient[0, 0].numel()
            ),
            "you divided by the number H' W' of places. The derivative is the sum over the places, not the mean.",
        ),
        "mean_of_batch": Mistake(
            lambda inputs, *rest, **options: _by_weight(inputs, *rest, **options) / len(inputs),
            "you took the mean over the images. They share the weights as the places do: it is a sum.",
        ),
        "mean_of_all": Mistake(
            lambda inputs, output_gradient, *rest, **options: (
                _by_weight(inputs, output_gradient, *rest, **options) / output_gradient[:, 0].numel()
            ),
            "you took the mean over images and places. Both share the weights: sum over both.",
        ),
        "first_image": Mistake(
            _by_weight_of(lambda inputs, back: (inputs[:1], back[:1])),
            "only the first image counts. All images of the batch share the weights: sum over them.",
        ),
        "kernel_flipped": Mistake(
            _then(lambda value: value.flip(2, 3), _by_weight),
            "your result is flipped. Only the gradient of the inputs needs the flipped kernel; the derivative by "
            "w_ji is where w_ji is.",
        ),
        "kernel_transposed": Mistake(
            _then(lambda value: value.transpose(2, 3), _by_weight),
            "rows and columns of the kernel have changed places.",
        ),
        "channels_swapped": Mistake(
            _then(lambda value: value.transpose(0, 1), _by_weight),
            "input and output channels have changed places: the result has the shape of the weight, (O, C, kh, kw).",
        ),
        "input_channels_summed": Mistake(
            lambda inputs, *rest, **options: _by_weight(
                inputs.sum(1, keepdim=True).expand_as(inputs), *rest, **options
            ),
            "you added up the input channels. w[o, c, a, b] only meets the input channel c.",
        ),
        "output_channels_summed": Mistake(
            _by_weight_of(lambda inputs, back: (inputs, back.sum(1, keepdim=True).expand_as(back))),
            "you added up the output channels. w[o, c, a, b] is only used by the output channel o.",
        ),
        "gradient_ignored": Mistake(
            _by_weight_of(lambda inputs, back: (inputs, torch.ones_like(back))),
            "you added up the inputs alone. Each y_q is multiplied with the dE/dxi_r of its connection.",
        ),
        "inputs_ignored": Mistake(
            _by_weight_of(lambda inputs, back: (torch.ones_like(inputs), back)),
            "you added up dE/dxi_r alone. Each one is multiplied with the y_q of its connection.",
        ),
        "stride_ignored": Mistake(
            partial(_by_weight, sides=_with(stride=1)),
            "you ignored `stride`: the output place u looks at the input s u pixels further.",
        ),
        "dilation_ignored": Mistake(
            partial(_by_weight, sides=_with(dilation=1)),
            "you ignored `dilation`: the kernel row a looks at the input d a pixels further.",
        ),
        "padding_ignored": Mistake(
            partial(_by_weight, sides=_with(padding=0)),
            "you ignored `padding`: the first place of the kernel begins p pixels before the image.",
        ),
        "stride_and_dilation_exchanged": Mistake(
            partial(
                _by_weight,
                sides=lambda sides: tuple(replace(side, stride=side.dilation, dilation=side.stride) for side in sides),
            ),
            "stride and dilation have changed their roles: the stride goes with the output place, the dilation with "
            "the kernel weight.",
        ),
        **_each_swapped(_by_weight),
        "wraps_around": Mistake(
            partial(_by_weight, joins=_wrapping_joins),
            "where the kernel stands over the upper or left edge, your index is negative, and a negative index counts "
            "from the end of the image. On the padding y is 0.",
        ),
        "images_mixed": Mistake(
            _by_weight_of(lambda inputs, back: (inputs.sum(0, keepdim=True), back.sum(0, keepdim=True))),
            "you multiplied the inputs of each image with the dE/dxi of all images. Each image has its own: multiply "
            "first, and then sum over the images.",
        ),
        "surplus_kept": Mistake(
            _surplus_kept,
            "where the stride does not divide the way of the kernel, your result is too large. The rows and columns "
            "that are left over belong to no weight.",
        ),
    },
    properties=[
        Property(
            "for any weights w, the sum of dE/dw w is the sum of dE/dxi xi, since xi is linear in w.", _matches_weights
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# input_gradient
# ---------------------------------------------------------------------------------------------------------------------


def _input_gradient_arguments(generator: torch.Generator, layer: Layer) -> dict[str, Any]:
    return {
        "output_gradient": _output_gradient(generator, layer),
        "weight": _weight(generator, layer),
        "input_size": layer.input_size,
    }


def _by_input(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    sides: SidesChange = _as_they_are,
    equation: str = "nouv,ocab,auh,bvw->nchw",
    joins: Callable[[Side, int], Tensor] = Side.joins,
) -> Tensor:
    """Return dE/dy; there are as many places as `output_gradient` has, however the sides are changed."""
    rows, columns = sides(_sides(input_size, tuple(weight.shape[2:]), stride, padding, dilation))
    tables = [
        joins(side, places).to(weight.dtype)
        for side, places in zip((rows, columns), output_gradient.shape[2:], strict=True)
    ]
    return torch.einsum(equation, output_gradient, weight, *tables)


def _by_input_of(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return an input_gradient that changes the weight first."""
    return lambda output_gradient, weight, *rest, **options: _by_input(
        output_gradient, change(weight), *rest, **options
    )


def _surplus(side: Side) -> int:
    """Return how many padded inputs the last place of the kernel leaves over."""
    return (side.size + 2 * side.padding - side.dilation * (side.kernel - 1) - 1) % side.stride


def _by_flipped_kernel(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    spread: bool = True,
    before: bool = False,
    after: bool = True,
    crop: tuple[int, int] | None = (1, 1),
    zeros: Callable[[Side], int] = lambda side: side.dilation * (side.kernel - 1),
) -> Tensor:
    """Return dE/dy by a convolution with the flipped kernel, as in the lecture.

    spread: whether zeros are put between the places; before, after: whether the surplus goes there.
    crop: how many times the padding is cut off in front and at the end; None cuts off nothing.
    zeros: how many zeros there are around.
    """
    sides = _sides(input_size, tuple(weight.shape[2:]), stride, padding, dilation)
    places = output_gradient.shape[2:]
    steps = [side.stride if spread else 1 for side in sides]
    shape = [(n - 1) * step + 1 for n, step in zip(places, steps, strict=True)]
    wide = output_gradient.new_zeros(*output_gradient.shape[:2], *shape)
    wide[:, :, :: steps[0], :: steps[1]] = output_gradient
    (top, left), (bottom, right) = ([_surplus(side) * here + zeros(side) for side in sides] for here in (before, after))
    wide = F.pad(wide, (left, right, top, bottom))
    full = F.conv2d(wide, weight.flip(2, 3).transpose(0, 1), dilation=dilation)
    if crop is None:
        return full
    rows, columns = (
        slice(crop[0] * side.padding, length - crop[1] * side.padding)
        for side, length in zip(sides, full.shape[2:], strict=True)
    )
    return full[:, :, rows, columns]


def _overwritten(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Go through the output places, and set what is under the kernel instead of adding to it."""
    rows, columns = _sides(input_size, tuple(weight.shape[2:]), stride, padding, dilation)
    (above, left), (down, right) = _pair(padding), _pair(dilation)
    height, width = rows.size + 2 * above, columns.size + 2 * left
    padded = output_gradient.new_zeros(len(output_gradient), weight.shape[1], height, width)
    for u in range(rows.places):
        for v in range(columns.places):
            top, first = u * rows.stride, v * columns.stride
            contribution = torch.einsum("no,ocab->ncab", output_gradient[:, :, u, v], weight)
            padded[
                :,
                :,
                top : top + down * (rows.kernel - 1) + 1 : down,
                first : first + right * (columns.kernel - 1) + 1 : right,
            ] = contribution
    return padded[:, :, above : above + rows.size, left : left + columns.size]


def _set_by_weights(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Go through the kernel weights, and set the inputs that each one meets instead of adding to them."""
    sides = _sides(input_size, tuple(weight.shape[2:]), stride, padding, dilation)
    rows, columns = (side.joins().to(weight.dtype) for side in sides)
    found = output_gradient.new_zeros(len(output_gradient), weight.shape[1], sides[0].size, sides[1].size)
    for a in range(len(rows)):
        for b in range(len(columns)):
            share = torch.einsum("nouv,oc,uh,vw->nchw", output_gradient, weight[:, :, a, b], rows[a], columns[b])
            found = torch.where((rows[a].sum(0)[:, None] * columns[b].sum(0)).bool(), share, found)
    return found


def _overlaps_averaged(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Divide by the number of connections of each input, where it has some."""
    sides = _sides(input_size, tuple(weight.shape[2:]), stride, padding, dilation)
    rows, columns = (side.joins().sum((0, 1)) for side in sides)
    number = (rows[:, None] * columns).clamp(min=1).to(weight.dtype)
    return _by_input(output_gradient, weight, input_size, stride, padding, dilation) / number


def _matches_inputs(arguments: dict[str, Any], value: Tensor) -> bool:
    """Whether sum dE/dy y = sum dE/dxi xi(y) for some inputs y: xi is linear in them."""
    back, weight = arguments["output_gradient"].double(), arguments["weight"].double()
    steps = {name: arguments[name] for name in ("stride", "padding", "dilation") if name in arguments}
    inputs = torch.randn(value.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    products = back * _forward(inputs, weight, **steps)
    return _equal((value.double() * inputs).sum(), products.sum(), products.abs().sum())


INPUT_GRADIENT = Exercise(
    name="input_gradient",
    reference=convolution.input_gradient,
    cases=_cases(_input_gradient_arguments),
    mistakes={
        "kernel_not_flipped": Mistake(
            _by_input_of(lambda weight: weight.flip(2, 3)),
            "the kernel comes out the wrong way round. If you hand down, go through the weights and use each as it is. "
            "If you convolve, flip the kernel in both directions.",
        ),
        "flipped_in_rows_only": Mistake(
            _by_input_of(lambda weight: weight.flip(3)),
            "the columns of the kernel come out the wrong way round, left and right. If you hand down, flip nothing. "
            "If you convolve, flip the kernel in both directions.",
        ),
        "flipped_in_columns_only": Mistake(
            _by_input_of(lambda weight: weight.flip(2)),
            "the rows of the kernel come out the wrong way round, upside down. If you hand down, flip nothing. If you "
            "convolve, flip the kernel in both directions.",
        ),
        "kernel_transposed": Mistake(
            _by_input_of(lambda weight: weight.transpose(2, 3).flip(2, 3)),
            "you transposed each kernel. The matrix of the whole layer is transposed on the way back; the kernel "
            "itself is flipped, which is something else.",
        ),
        "rows_and_columns_exchanged": Mistake(
            _by_input_of(lambda weight: weight.transpose(2, 3)),
            "rows and columns of the kernel have changed places. w[o, c, a, b] is in row a and column b.",
        ),
        "channels_not_exchanged": Mistake(
            partial(_by_input, equation="nouv,coab,auh,bvw->nchw"),
            "input and output channels have to change places: on the way back, the kernel leads from O channels to C.",
        ),
        "input_channels_summed": Mistake(
            _by_input_of(lambda weight: weight.sum(1, keepdim=True).expand_as(weight)),
            "you added up the kernels of all input channels. The input channel c is met by w[:, c] only.",
        ),
        "output_channels_averaged": Mistake(
            _by_input_of(lambda weight: weight / weight.shape[0]),
            "you took the mean over the output channels. It is a sum over all neurons that have an arc from i.",
        ),
        "mean_of_batch": Mistake(
            lambda output_gradient, *rest, **options: (
                _by_input(output_gradient, *rest, **options) / len(output_gradient)
            ),
            "you divided by the number of images. Each image has its own dE/dy.",
        ),
        "batch_summed": Mistake(
            lambda output_gradient, *rest, **options: _by_input(
                output_gradient.sum(0, keepdim=True).expand_as(output_gradient), *rest, **options
            ),
            "you summed over the images. They share the weights, but each has its own inputs, and its own dE/dy.",
        ),
        "overwritten": Mistake(
            _overwritten,
            "where two places of the kernel overlap, the later one overwrites the earlier. Their contributions add up.",
        ),
        "set_by_weights": Mistake(
            _set_by_weights,
            "where several weights hand down to one input, the later one overwrites the earlier. Their contributions "
            "add up.",
        ),
        "wraps_around": Mistake(
            partial(_by_input, joins=_wrapping_joins),
            "what lands above or to the left of the image has a negative index, and a negative index counts from the "
            "end of the image. It belongs to the padding and is lost.",
        ),
        "overlaps_averaged": Mistake(
            _overlaps_averaged,
            "where places of the kernel overlap, you took the mean. Their contributions add up.",
        ),
        "no_zeros_between": Mistake(
            partial(_by_flipped_kernel, spread=False),
            "with a stride, your result is too small: put s - 1 zeros between the numbers of `output_gradient` first.",
        ),
        "stride_ignored": Mistake(
            partial(_by_input, sides=_with(stride=1)),
            "you ignored `stride`: what the output place u hands down lands s u pixels further.",
        ),
        "surplus_missing": Mistake(
            partial(_by_flipped_kernel, after=False),
            "where the stride does not divide the way of the kernel, your result is too small: the last rows or "
            "columns of the input, which the kernel did not reach, are missing. Their gradient is 0.",
        ),
        "surplus_before": Mistake(
            partial(_by_flipped_kernel, before=True, after=False),
            "where the stride does not divide the way of the kernel, rows and columns are left over. They are at the "
            "end of the input, not at its beginning.",
        ),
        "padding_not_cut_off": Mistake(
            partial(_by_flipped_kernel, crop=None),
            "your result has the size of the padded image. Cut the padding off: it has no neurons.",
        ),
        "padding_cut_off_at_the_end": Mistake(
            partial(_by_flipped_kernel, crop=(0, 2)),
            "your result lies p rows and p columns too far down and to the right: subtract p from the index, or cut p "
            "rows and columns off on all four sides.",
        ),
        "padding_cut_off_in_front": Mistake(
            partial(_by_flipped_kernel, crop=(2, 0)),
            "your result lies p rows and p columns too far up and to the left: subtract p from the index once, or cut "
            "p rows and columns off on all four sides.",
        ),
        "padding_of_the_forward_pass": Mistake(
            partial(_by_flipped_kernel, crop=None, zeros=lambda side: side.padding),
            "you took the padding of the forward pass. The flipped kernel must reach every input, also those under its "
            "edge alone: so many zeros are needed that it still meets the first number with its last weight.",
        ),
        "dilation_ignored": Mistake(
            partial(_by_input, sides=_with(dilation=1)),
            "you ignored `dilation`: what goes through the kernel row a lands d a pixels further.",
        ),
        "stride_and_dilation_exchanged": Mistake(
            partial(
                _by_input,
                sides=lambda sides: tuple(replace(side, stride=side.dilation, dilation=side.stride) for side in sides),
            ),
            "stride and dilation have changed their roles: the stride goes with the output place, the dilation with "
            "the kernel weight.",
        ),
        **_each_swapped(_by_input),
    },
    properties=[
        Property(
            "for any inputs y, the sum of dE/dy y is the sum of dE/dxi xi, since xi is linear in y.", _matches_inputs
        )
    ],
)

EXERCISES: tuple[Exercise | ValueExercise, ...] = (
    INNER_POTENTIAL,
    OUTPUT_SIZE,
    CONV2D,
    CONNECTIONS,
    COUNT_PARAMETERS,
    SHARED_GRADIENT,
    WEIGHT_GRADIENT,
    INPUT_GRADIENT,
)
