"""The exercises of unit 03: max pooling forward and backward, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_pooled`, `_sent_back`, `_shared_out`, `_quotients`), which are
independent of the references in ``course_utils.max_pooling``. In the hints, as in the lab: X is the large map, Y the
pooled one, R = df/dY what comes from above, Omega(p) the window of output p.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils import max_pooling
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

# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


def _maps(generator: torch.Generator, *shape: int) -> Tensor:
    """Return maps (N, C, H, W) without ties, of both signs."""
    return torch.randn(shape, generator=generator)


def _tied_maps(generator: torch.Generator, *shape: int) -> Tensor:
    """Return maps (N, C, H, W) of few whole numbers, so that most windows have ties."""
    return torch.randint(-2, 2, shape, generator=generator).float()


# The note of the one case that shows who computes in float32 and comes back to float64.
_CLOSE = "numbers that differ in the 12th digit, in float64"
_N_FIXED = 9


def _pools(generator: torch.Generator) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield arguments of max_pool2d and what is special about them: nine fixed, then seven drawn."""
    fixed = torch.Generator().manual_seed(3)
    table = torch.tensor([[3.0, 1, 0, 5], [2, 4, 6, 1], [-1, -4, 2, 2], [-3, -2, 0, 1]])[None, None]
    yield {"inputs": table, "kernel_size": 2}, "a map of 4 x 4 numbers, windows of 2 x 2"
    yield {"inputs": _maps(fixed, 2, 3, 4, 6), "kernel_size": 2}, "two images with three maps that are wider than high"
    yield (
        {"inputs": _tied_maps(fixed, 2, 2, 6, 4), "kernel_size": 2},
        "maps with ties, no stride given: windows side by side",
    )
    yield (
        {"inputs": _maps(fixed, 1, 2, 5, 7), "kernel_size": 3, "stride": 2},
        "overlapping windows, 3 x 3 in steps of 2",
    )
    yield {"inputs": -1 - _maps(fixed, 2, 1, 5, 5).abs(), "kernel_size": 2}, "negative maps, with a border left over"
    yield (
        {"inputs": _maps(fixed, 1, 2, 8, 6).double(), "kernel_size": 2, "stride": 3},
        "steps of 3, so that pixels are left out between the windows, in float64",
    )
    yield {"inputs": _far_below_zero(fixed, 2, 1, 4, 6), "kernel_size": 2}, "numbers far below zero, about -1e20"
    close = 1 + 1e-12 * torch.randn(1, 2, 6, 4, generator=fixed, dtype=torch.float64)
    yield {"inputs": close, "kernel_size": 2}, _CLOSE
    yield (
        {"inputs": _maps(fixed, 2, 2, 3, 5), "kernel_size": 1, "stride": 2},
        "windows of a single pixel, steps of 2",
    )

    low, high = draw_integer(generator, 5, 8), draw_integer(generator, 8, 12)
    yield {"inputs": _maps(generator, 2, 3, low, high), "kernel_size": 2}, "drawn maps that are wider than high"
    yield (
        {"inputs": _maps(generator, 3, 2, high, low), "kernel_size": 3, "stride": 1},
        "drawn maps that are higher than wide, steps of 1",
    )
    yield (
        {"inputs": _tied_maps(generator, 2, 2, low, high), "kernel_size": 3, "stride": 2},
        "drawn maps with ties, overlapping windows",
    )
    yield (
        {"inputs": _tied_maps(generator, 2, 3, high, low).double(), "kernel_size": 2, "stride": 1},
        "drawn maps with ties, steps of 1, in float64",
    )
    yield {"inputs": _maps(generator, 2, 2, low, low), "kernel_size": low}, "one window that is the whole map"
    yield (
        {"inputs": _maps(generator, 2, 2, high, high), "kernel_size": 4, "stride": 3},
        "windows of 4 x 4 in steps of 3",
    )
    yield (
        {"inputs": _far_below_zero(generator, 1, 2, low, high), "kernel_size": 3, "stride": 2},
        "drawn numbers far below zero, about -1e20",
    )


def _far_below_zero(generator: torch.Generator, *shape: int) -> Tensor:
    """Return maps (N, C, H, W) of numbers from -2e20 to -1e20: below any number with which a search may begin."""
    return -1e20 * (1 + torch.rand(shape, generator=generator))


def _signal(outputs: Tensor, note: str, source: torch.Generator) -> tuple[Tensor, float]:
    """Return what comes from above, and the tolerance: small where rounding to float32 must show."""
    signal = torch.randn(outputs.shape, generator=source, dtype=outputs.dtype)
    return (1000 * signal, 1e-10) if note == _CLOSE else (signal, 1e-4)


def _in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function computed in float32, and brought back to the dtype that came."""

    def rounded(values: Tensor, *others: Any, **options: Any) -> Any:
        result = function(values.float(), *others, **options)
        if isinstance(result, tuple):
            return result[0].to(values.dtype), *result[1:]
        return result.to(values.dtype)

    return rounded


_ROUNDED = (
    "your numbers were rounded to float32 on the way, which keeps seven digits. Where float64 comes in, stay in it."
)


# ---------------------------------------------------------------------------------------------------------------------
# max_pool2d
# ---------------------------------------------------------------------------------------------------------------------


def _pool_cases(generator: torch.Generator) -> Iterator[Case]:
    for arguments, note in _pools(generator):
        yield Case(arguments, note)


def _first(windows: Tensor) -> Tensor:
    """Return the number, in reading order, of the first maximum of windows (..., k, k)."""
    return windows.flatten(-2).argmax(-1)


def _last(windows: Tensor) -> Tensor:
    flat = windows.flatten(-2)
    return flat.shape[-1] - 1 - flat.flip(-1).argmax(-1)


def _first_by_columns(windows: Tensor) -> Tensor:
    k = windows.shape[-1]
    number = _first(windows.transpose(-1, -2))
    return number % k * k + number // k


Address = Callable[..., Tensor]  # row and column of a window, i and j in it, and the sizes -> switch


def _address(r: Tensor, c: Tensor, i: Tensor, j: Tensor, k: int, s: int, shape: torch.Size) -> Tensor:
    return (r * s + i) * shape[3] + c * s + j


def _pooled(
    inputs: Tensor,
    kernel_size: int,
    stride: int | None = None,
    choose: Callable[[Tensor], Tensor] = _first,
    address: Address = _address,
    default: Callable[[int], int] = lambda k: k,
    value: Callable[[Tensor], Tensor] = lambda values: values,
) -> tuple[Tensor, Tensor]:
    """Return max pooling with its pieces open: which pixel is chosen, how it is addressed, what is handed on."""
    s = default(kernel_size) if stride is None else stride
    windows = inputs.unfold(2, kernel_size, s).unfold(3, kernel_size, s)
    number = choose(windows)
    outputs = windows.flatten(-2).gather(-1, number.unsqueeze(-1)).squeeze(-1)
    rows = torch.arange(number.shape[2]).view(-1, 1)
    columns = torch.arange(number.shape[3])
    i, j = number // kernel_size, number % kernel_size
    switches = address(rows, columns, i, j, kernel_size, s, inputs.shape)
    return value(outputs), switches.expand(number.shape).clone()


def _over_all_maps(r: Tensor, c: Tensor, i: Tensor, j: Tensor, k: int, s: int, shape: torch.Size) -> Tensor:
    maps = torch.arange(shape[0] * shape[1]).view(shape[0], shape[1], 1, 1)
    return maps * shape[2] * shape[3] + _address(r, c, i, j, k, s, shape)


def _over_the_maps_of_an_image(r: Tensor, c: Tensor, i: Tensor, j: Tensor, k: int, s: int, shape: torch.Size) -> Tensor:
    maps = torch.arange(shape[1]).view(shape[1], 1, 1)
    return (maps * shape[2] * shape[3] + _address(r, c, i, j, k, s, shape)).expand(shape[0], -1, -1, -1)


def _looked_up(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the right maxima, and for each the first place of the whole map that holds its number."""
    outputs, _ = _pooled(inputs, kernel_size, stride)
    same = inputs.flatten(2).unsqueeze(2) == outputs.flatten(2).unsqueeze(3)  # (N, C, H' W', H W)
    return outputs, same.int().argmax(-1).view(outputs.shape)


def _average_for_value(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    return F.avg_pool2d(inputs, kernel_size, stride), _pooled(inputs, kernel_size, stride)[1]


def _windows_over_the_border(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(inputs, kernel_size, stride, ceil_mode=True, return_indices=True)


def _searched_from_zero(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    outputs, switches = _pooled(inputs, kernel_size, stride)
    return outputs.clamp(min=0), torch.where(outputs > 0, switches, 0)


def _first_map_decides(inputs: Tensor, kernel_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    _, switches = _pooled(inputs, kernel_size, stride)
    switches = switches[:1, :1].expand(switches.shape).clone()
    return inputs.flatten(2).gather(2, switches.flatten(2)).view(switches.shape), switches


def _near(values: Tensor, others: Tensor) -> bool:
    """Whether two tensors of numbers around 1 are equal up to rounding."""
    return torch.allclose(values, others, rtol=1e-5, atol=1e-6)


def _switches_point_at_outputs(arguments: dict[str, Any], value: Any) -> bool:
    inputs, (outputs, switches) = arguments["inputs"].flatten(2), value
    if switches.min() < 0 or switches.max() >= inputs.shape[2]:
        return False
    return _near(inputs.gather(2, switches.flatten(2)), outputs.flatten(2))


def _no_pixel_is_larger(arguments: dict[str, Any], value: Any) -> bool:
    k = arguments["kernel_size"]
    s = arguments.get("stride") or k
    windows = arguments["inputs"].unfold(2, k, s).unfold(3, k, s)
    return bool((windows <= value[0][..., None, None]).all())


def _search_begins_in_the_window(arguments: dict[str, Any], value: Any) -> bool:
    """Whether the outputs are not max(c, largest pixel of the window) with an invented number c."""
    k = arguments["kernel_size"]
    s = arguments.get("stride") or k
    largest = arguments["inputs"].unfold(2, k, s).unfold(3, k, s).amax((-2, -1))
    above = value[0] > largest
    if not above.any():
        return True
    invented = value[0][above]
    return bool((invented != invented[0]).any() or (value[0] != largest)[~above].any())


MAX_POOL2D = Exercise(
    name="max_pool2d",
    reference=max_pooling.max_pool2d,
    cases=_pool_cases,
    mistakes={
        "last_maximum": Mistake(
            partial(_pooled, choose=_last),
            "at a tie you take the last pixel that holds the maximum. The first one in reading order wins: a later "
            "pixel takes over only if it is strictly larger.",
        ),
        "columns_first": Mistake(
            partial(_pooled, choose=_first_by_columns),
            "at a tie you take the first maximum down the columns. Reading order goes along the first row of the "
            "window, then along the second.",
        ),
        "number_in_window": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: i * k + j + 0 * (r + c)),
            "your switches are numbers within the window. The way back has to find the place in the whole map X: where "
            "does the window begin?",
        ),
        "window_origin": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: r * s * shape[3] + c * s + 0 * (i + j)),
            "your switches name the first pixel of the window. They have to name the pixel in it that holds the "
            "maximum.",
        ),
        "number_of_window": Mistake(
            partial(
                _pooled,
                address=lambda r, c, i, j, k, s, shape: r * ((shape[3] - k) // s + 1) + c + 0 * (i + j),
            ),
            "your switches number the windows. They have to name a pixel of X, by its row and column there.",
        ),
        "times_height": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: (r * s + i) * shape[2] + c * s + j),
            "your rows have a wrong length in the flat index: you multiply the row with the height of the map. How "
            "many pixels do you pass when you go down by one row?",
        ),
        "by_columns": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: (c * s + j) * shape[2] + r * s + i),
            "you number the pixels of X down the columns. The flat index goes along the rows, as `flatten` does.",
        ),
        "stride_not_in_switches": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: (r * k + i) * shape[3] + c * k + j),
            "your maxima are right and your switches are not where stride differs from kernel_size: a window begins at "
            "a multiple of the stride.",
        ),
        "window_begins_without_stride": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: (r + i) * shape[3] + c + j),
            "your maxima are right, and your switches take row and column of the output for those of its window's "
            "first pixel. Where does window (r, c) begin in X?",
        ),
        "place_in_window_turned": Mistake(
            partial(_pooled, address=lambda r, c, i, j, k, s, shape: (r * s + j) * shape[3] + c * s + i),
            "your windows begin at the right place, but within the window you have exchanged row and column. Number n "
            "of a window, in reading order, lies in row n // k and column n % k.",
        ),
        "looked_up": Mistake(
            _looked_up,
            "you look for the maximum in the whole map, and find the same number outside its window where it stands "
            "there first. The switch is a pixel of the window.",
        ),
        "over_the_maps_of_an_image": Mistake(
            partial(_pooled, address=_over_the_maps_of_an_image),
            "your switches count on from one channel of an image to the next. Each map is numbered for itself, from 0 "
            "to H W - 1.",
        ),
        "over_all_maps": Mistake(
            partial(_pooled, address=_over_all_maps),
            "your switches count on from one map to the next. Each map of each image is numbered for itself, from 0 to "
            "H W - 1.",
        ),
        "counted_from_one": Mistake(
            partial(_pooled, address=lambda *given: _address(*given) + 1),
            "your switches count from 1. The first pixel of the map is number 0.",
        ),
        "row_of_small_map": Mistake(
            partial(
                _pooled,
                address=lambda r, c, i, j, k, s, shape: (r * s + i) * ((shape[3] - k) // s + 1) + c * s + j,
            ),
            "your rows have a wrong length in the flat index: you multiply the row with the width of the pooled map Y. "
            "The switch is a place in X.",
        ),
        "stride_ignored": Mistake(
            lambda inputs, kernel_size, stride=None: _pooled(inputs, kernel_size),
            "you ignore `stride`: your windows always lie side by side.",
        ),
        "stride_of_one": Mistake(
            partial(_pooled, default=lambda k: 1),
            "when no stride is given, yours is 1. In pooling the default is kernel_size, so that the windows lie side "
            "by side.",
        ),
        "average": Mistake(
            _average_for_value,
            "your outputs are means. This is max pooling: the largest number of the window.",
        ),
        "minimum": Mistake(
            partial(_pooled, choose=lambda windows: _first(-windows)),
            "you took the smallest number of each window.",
        ),
        "largest_magnitude": Mistake(
            partial(_pooled, choose=lambda windows: _first(windows.abs())),
            "you took the number with the largest magnitude. -4 is smaller than 1.",
        ),
        "never_below_zero": Mistake(
            partial(_pooled, value=lambda values: values.clamp(min=0)),
            "your maxima are never negative. Max pooling has no ReLU in it: if all pixels of a window are negative, so "
            "is the largest of them.",
        ),
        "search_from_zero": Mistake(
            _searched_from_zero,
            "your search begins with the number 0 at the place 0. Where no pixel of a window is positive, neither "
            "belongs to the window. No other invented number helps: begin with one of its own pixels, or with minus "
            "infinity.",
        ),
        "over_the_border": Mistake(
            _windows_over_the_border,
            "your last windows stick out over the border of the map. A window that does not fit in is left out: "
            "H' = (H - k) // s + 1.",
        ),
        "first_map_decides": Mistake(
            _first_map_decides,
            "all maps have the switches of the first map of the first image. Each map has its own maxima.",
        ),
        "in_float32": Mistake(_in_float32(_pooled), _ROUNDED),
    },
    properties=[
        Property(
            "no output is larger than all pixels of its window. Where yours is, it is always the same number: is it "
            "one with which your search begins? Begin with a pixel of the window, or with minus infinity.",
            _search_begins_in_the_window,
        ),
        Property("each switch names a pixel of X that holds the output's number.", _switches_point_at_outputs),
        Property("no pixel of a window is larger than its output.", _no_pixel_is_larger),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# max_pool2d_backward
# ---------------------------------------------------------------------------------------------------------------------


def _switched(arguments: dict[str, Any]) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return outputs, switches and the size of the large map."""
    outputs, switches = F.max_pool2d(*arguments.values(), return_indices=True)
    return outputs, switches, tuple(arguments["inputs"].shape[2:])


def _backward_cases(generator: torch.Generator) -> Iterator[Case]:
    table = torch.tensor([[1.0, 3, 2], [5, 4, 0], [2, 6, 1]])[None, None]
    _, switches, size = _switched({"inputs": table, "kernel_size": 2, "stride": 1})
    arguments = {
        "output_gradient": torch.tensor([[-1.0, 2], [3, 4]])[None, None],
        "switches": switches,
        "input_size": size,
    }
    right = torch.tensor([[0.0, 0, 0], [-1, 2, 0], [0, 7, 0]])[None, None]
    yield Case(arguments, "a map of 3 x 3 numbers, 2 x 2 windows in steps of 1", expected=right)
    fixed = torch.Generator().manual_seed(33)
    for number, (pool, note) in enumerate(_pools(generator)):
        outputs, switches, size = _switched(pool)
        signal, tolerance = _signal(outputs, note, fixed if number < _N_FIXED else generator)
        yield Case({"output_gradient": signal, "switches": switches, "input_size": size}, note, tolerance)


def _sent_back(
    output_gradient: Tensor,
    switches: Tensor,
    input_size: tuple[int, int],
    reduce: str = "sum",
    signal: Callable[[Tensor], Tensor] = lambda values: values,
    places: Callable[[Tensor], Tensor] = lambda switches: switches,
) -> Tensor:
    """Return the backward pass with its pieces open: what is sent, where to, and what happens where several meet."""
    empty = output_gradient.new_zeros(*output_gradient.shape[:2], input_size[0] * input_size[1])
    index, values = places(switches).flatten(2), signal(output_gradient).flatten(2)
    return empty.scatter_reduce(2, index, values, reduce, include_self=False).unflatten(2, input_size)


def _one_of_those_that_meet(
    output_gradient: Tensor, switches: Tensor, input_size: tuple[int, int], last: bool
) -> Tensor:
    gradient = output_gradient.new_zeros(*output_gradient.shape[:2], input_size[0] * input_size[1])
    numbers = range(switches[0, 0].numel())
    for number in numbers if last else reversed(numbers):
        place, value = switches.flatten(2)[..., number], output_gradient.flatten(2)[..., number]
        gradient.scatter_(2, place.unsqueeze(2), value.unsqueeze(2))
    return gradient.unflatten(2, input_size)


def _into_one_map(output_gradient: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    n, c = output_gradient.shape[:2]
    gradient = output_gradient.new_zeros(n * c * input_size[0] * input_size[1])
    gradient.index_add_(0, switches.flatten(), output_gradient.flatten())
    return gradient.view(n, c, *input_size)


def _by_columns(output_gradient: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    turned = _sent_back(output_gradient, switches, (input_size[1], input_size[0]))
    return turned.transpose(2, 3).contiguous()


def _size_turned(output_gradient: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    return _sent_back(output_gradient, switches, (input_size[1], input_size[0]))


def _into_first_map_of_each_image(
    values: Tensor, switches: Tensor, input_size: tuple[int, int], **pieces: Any
) -> Tensor:
    """Return what comes of scatter_add over flatten(1), where the maps of an image share one numbering."""
    (n, c), (height, width) = values.shape[:2], input_size
    first = _sent_back(values.flatten(1)[:, None, None], switches.flatten(1)[:, None, None], input_size, **pieces)
    return torch.cat([first, values.new_zeros(n, c - 1, height, width)], 1)


def _only_first(dimension: int, **pieces: Any) -> Callable[..., Tensor]:
    """Return a way back that serves the first image (dimension 0) or the first map of each image (1) alone."""

    def sent_back(values: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
        result = _sent_back(values, switches, input_size, **pieces)
        result.narrow(dimension, 1, result.shape[dimension] - 1).zero_()
        return result

    return sent_back


_FIRST_MAP_OF_EACH_IMAGE = (
    "everything of an image lands in its first map. The switches are numbered from 0 in each map, so only the last two "
    "dimensions may be flattened."
)
_FIRST_IMAGE_ONLY = "only the first image gets something. All images of the batch have to be gone through."
_FIRST_CHANNEL_ONLY = "only the first map of each image gets something. All maps have to be gone through."


def _stretched(values: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    return F.interpolate(values, size=input_size, mode="nearest")


def _keeps_the_sum(arguments: dict[str, Any], value: Tensor) -> bool:
    before, after = arguments["output_gradient"].sum((2, 3)), value.sum((2, 3))
    return bool((before - after).abs().max() <= 1e-4 * max(1.0, before.abs().max().item()))


def _only_at_switches(arguments: dict[str, Any], value: Tensor) -> bool:
    elsewhere = value.flatten(2).scatter(2, arguments["switches"].flatten(2), 0.0)
    return not elsewhere.any()


_WHERE_TO: dict[str, Mistake] = {
    "size_turned": Mistake(
        _size_turned,
        "your maps have height and width exchanged. input_size is (H, W), and the result (N, C, H, W).",
    ),
    "by_columns": Mistake(
        _by_columns,
        "you count the flat index down the columns. Switch number W is the first pixel of the second row.",
    ),
    "one_map_for_all": Mistake(
        _into_one_map,
        "everything lands in the first map of the first image. The switches are numbered from 0 in each map: a map "
        "must get only what comes from its own windows.",
    ),
    "switches_of_first_image": Mistake(
        partial(_sent_back, places=lambda switches: switches[:1].expand(switches.shape)),
        "all images are sent to the switches of the first image. Each image has its own.",
    ),
    "switches_of_first_map": Mistake(
        partial(_sent_back, places=lambda switches: switches[:, :1].expand(switches.shape)),
        "all maps of an image are sent to the switches of its first map. Each map has its own.",
    ),
    "ones": Mistake(
        partial(_sent_back, reduce="amax", signal=torch.ones_like),
        "your map holds ones at the switches. That is the condition 1(s = argmax); it has to be multiplied with what "
        "comes from the window.",
    ),
    "negative_dropped": Mistake(
        partial(_sent_back, signal=lambda values: values.clamp(min=0)),
        "negative numbers do not get through. Dropping them is what the deconvnet does at a ReLU; a pooling layer "
        "hands both signs down.",
    ),
}

MAX_POOL2D_BACKWARD = Exercise(
    name="max_pool2d_backward",
    reference=max_pooling.max_pool2d_backward,
    cases=_backward_cases,
    mistakes={
        "last_one_stays": Mistake(
            partial(_one_of_those_that_meet, last=True),
            "where windows overlap and share a switch, only the last one's gradient is left: each writes over the one "
            "before. A pixel that is the maximum of several windows moves all of them, so their gradients add up. (And "
            "`gradient[index] += values` adds only once where an index comes twice.)",
        ),
        "first_one_stays": Mistake(
            partial(_one_of_those_that_meet, last=False),
            "where windows overlap and share a switch, only the first one's gradient is left. A pixel that is the "
            "maximum of several windows moves all of them: their gradients add up.",
        ),
        "mean": Mistake(
            partial(_sent_back, reduce="mean"),
            "where windows share a switch you take the mean of their gradients. The chain rule adds them up.",
        ),
        "largest": Mistake(
            partial(_sent_back, reduce="amax"),
            "where windows share a switch you keep the largest of their gradients. The maximum is taken on the way "
            "forward only; on the way back gradients add up.",
        ),
        "stretched": Mistake(
            _stretched,
            "you stretch the gradient over the whole window. Only the pixel that won moves the maximum; all the others "
            "get 0.",
        ),
        "counted": Mistake(
            partial(_sent_back, signal=torch.ones_like),
            "you count how many windows a pixel won. What is added up is the gradient that comes from these windows.",
        ),
        "magnitude": Mistake(
            partial(_sent_back, signal=torch.abs),
            "you dropped the sign of R. A gradient from above may be negative, and is handed down as it is.",
        ),
        "first_map_of_each_image": Mistake(_into_first_map_of_each_image, _FIRST_MAP_OF_EACH_IMAGE),
        "first_image_only": Mistake(_only_first(0), _FIRST_IMAGE_ONLY),
        "first_map_only": Mistake(_only_first(1), _FIRST_CHANNEL_ONLY),
        "in_float32": Mistake(_in_float32(_sent_back), _ROUNDED),
        **_WHERE_TO,
    },
    properties=[
        Property(
            "each map of df/dX has the same sum as its map of df/dY: gradient is moved, and none is lost or made.",
            _keeps_the_sum,
        ),
        Property("a pixel that is no window's switch gets 0.", _only_at_switches),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# unpool2d
# ---------------------------------------------------------------------------------------------------------------------


def _unpool_cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield pooled maxima, and other signals only where no two windows share a switch."""
    fixed = torch.Generator().manual_seed(34)
    for number, (pool, note) in enumerate(_pools(generator)):
        outputs, switches, size = _switched(pool)
        yield Case({"outputs": outputs, "switches": switches, "input_size": size}, f"pooled maxima of {note}")
        if pool.get("stride", pool["kernel_size"]) >= pool["kernel_size"]:
            signal, tolerance = _signal(outputs, note, fixed if number < _N_FIXED else generator)
            arguments = {"outputs": signal, "switches": switches, "input_size": size}
            yield Case(arguments, f"another signal for {note}", tolerance)


def _unpooled(outputs: Tensor, switches: Tensor, input_size: tuple[int, int], **pieces: Any) -> Tensor:
    return _sent_back(outputs, switches, input_size, **{"reduce": "amax", **pieces})


def _corners(outputs: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    steps = [size // n for size, n in zip(input_size, outputs.shape[2:], strict=True)]
    large = outputs.new_zeros(*outputs.shape[:2], *input_size)
    rows, columns = (torch.arange(n) * step for n, step in zip(outputs.shape[2:], steps, strict=True))
    large[:, :, rows[:, None], columns] = outputs
    return large


def _smallest_elsewhere(outputs: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    lowest = outputs.amin((2, 3), keepdim=True).expand(*outputs.shape[:2], *input_size).flatten(2)
    return lowest.scatter(2, switches.flatten(2), outputs.flatten(2)).unflatten(2, input_size)


def _zero_wins(outputs: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    return _unpooled(outputs, switches, input_size).clamp(min=0)


def _unpooled_by_columns(outputs: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    return _unpooled(outputs, switches, (input_size[1], input_size[0])).transpose(2, 3).contiguous()


def _unpooled_into_one_map(outputs: Tensor, switches: Tensor, input_size: tuple[int, int]) -> Tensor:
    large = outputs.new_zeros(*outputs.shape[:2], *input_size)
    flat = large.view(-1)
    for place, value in zip(switches.flatten().tolist(), outputs.flatten(), strict=True):
        flat[place] = value
    return large


def _holds_the_outputs(arguments: dict[str, Any], value: Tensor) -> bool:
    found = value.flatten(2).gather(2, arguments["switches"].flatten(2))
    return _near(found, arguments["outputs"].flatten(2))


UNPOOL2D = Exercise(
    name="unpool2d",
    reference=max_pooling.unpool2d,
    cases=_unpool_cases,
    mistakes={
        "added": Mistake(
            _sent_back,
            "where windows overlap, a maximum that two of them share comes back twice as large: you added up. That is "
            "the backward pass. Unpooling puts the maximum back where it was, and it is one number.",
        ),
        "corners": Mistake(
            _corners,
            "you put each number at the first pixel of its window and do not use the switches. They say where in the "
            "window the maximum was.",
        ),
        "stretched": Mistake(
            _stretched,
            "you fill the whole window with its maximum. Unpooling knows one pixel of the window; the others are 0.",
        ),
        "smallest_elsewhere": Mistake(
            _smallest_elsewhere,
            "the pixels that are no switch are not 0 in your map.",
        ),
        "size_turned": Mistake(
            lambda outputs, switches, input_size: _unpooled(outputs, switches, (input_size[1], input_size[0])),
            _WHERE_TO["size_turned"].hint,
        ),
        "by_columns": Mistake(_unpooled_by_columns, _WHERE_TO["by_columns"].hint),
        "one_map_for_all": Mistake(
            _unpooled_into_one_map,
            "everything lands in the first map of the first image. The switches are numbered from 0 in each map: every "
            "map takes back its own maxima.",
        ),
        "switches_of_first_image": Mistake(
            partial(_unpooled, places=lambda switches: switches[:1].expand(switches.shape)),
            "all images are unpooled with the switches of the first image. Each image has its own.",
        ),
        "switches_of_first_map": Mistake(
            partial(_unpooled, places=lambda switches: switches[:, :1].expand(switches.shape)),
            "all maps of an image are unpooled with the switches of its first map. Each map has its own.",
        ),
        "ones": Mistake(
            partial(_unpooled, signal=torch.ones_like),
            "your map holds ones at the switches. They only mark the places: the pooled numbers belong there.",
        ),
        "negative_dropped": Mistake(
            _zero_wins,
            "negative numbers get lost in your map. Zero is what stands at the places that are no switch; at a switch "
            "it must not win against the pooled number.",
        ),
        "first_map_of_each_image": Mistake(
            partial(_into_first_map_of_each_image, reduce="amax"), _FIRST_MAP_OF_EACH_IMAGE
        ),
        "first_image_only": Mistake(_only_first(0, reduce="amax"), _FIRST_IMAGE_ONLY),
        "first_map_only": Mistake(_only_first(1, reduce="amax"), _FIRST_CHANNEL_ONLY),
        "in_float32": Mistake(_in_float32(_unpooled), _ROUNDED),
    },
    properties=[
        Property("at each switch stands the number of its window.", _holds_the_outputs),
        Property("a pixel that is no window's switch is 0.", _only_at_switches),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# avg_pool2d_backward
# ---------------------------------------------------------------------------------------------------------------------


def _average_cases(generator: torch.Generator) -> Iterator[Case]:
    table = torch.tensor([[4.0, 8], [-4, 12]])[None, None]
    right = torch.tensor([[1.0, 3, 2], [0, 5, 5], [-1, 2, 3]])[None, None]
    arguments = {"output_gradient": table, "input_size": (3, 3), "kernel_size": 2, "stride": 1}
    yield Case(arguments, "2 x 2 windows in steps of 1 on a map of 3 x 3", expected=right)
    fixed = torch.Generator().manual_seed(35)
    for number, (pool, note) in enumerate(_pools(generator)):
        outputs, _, size = _switched(pool)
        signal, tolerance = _signal(outputs, note, fixed if number < _N_FIXED else generator)
        window = {name: value for name, value in pool.items() if name != "inputs"}
        note = note.replace(" with ties", "").replace("negative ", "")
        yield Case({"output_gradient": signal, "input_size": size, **window}, note, tolerance)


def _shared_out(
    output_gradient: Tensor,
    input_size: tuple[int, int],
    kernel_size: int,
    stride: int | None = None,
    divide_by: Callable[[int, int], float] = lambda k, s: k * k,
    pixels: Callable[[int], tuple[slice, slice]] = lambda k: (slice(0, k), slice(0, k)),
    default: Callable[[int], int] = lambda k: k,
    add: bool = True,
) -> Tensor:
    """Return the backward pass of average pooling with its pieces open, window by window."""
    s = default(kernel_size) if stride is None else stride
    gradient = output_gradient.new_zeros(*output_gradient.shape[:2], *input_size)
    share = output_gradient / divide_by(kernel_size, s)
    for r in range(share.shape[2]):
        for c in range(share.shape[3]):
            window = gradient[:, :, r * s : r * s + kernel_size, c * s : c * s + kernel_size]
            rows, columns = pixels(kernel_size)
            part = window[:, :, rows, columns]
            part.copy_((part if add else 0) + share[:, :, r, c, None, None])
    return gradient


def _coverage(output_gradient: Tensor, *window: Any, **stride: Any) -> Tensor:
    """Return in how many windows each pixel lies."""
    return _shared_out(torch.ones_like(output_gradient), *window, **stride, divide_by=lambda k, s: 1)


def _mean_of_windows(output_gradient: Tensor, *window: Any, **stride: Any) -> Tensor:
    total = _shared_out(output_gradient, *window, **stride, divide_by=lambda k, s: 1)
    return total / _coverage(output_gradient, *window, **stride).clamp(min=1)


def _divided_twice(output_gradient: Tensor, *window: Any, **stride: Any) -> Tensor:
    return _shared_out(output_gradient, *window, **stride) / _coverage(output_gradient, *window, **stride).clamp(min=1)


def _stretched_and_divided(
    output_gradient: Tensor, input_size: tuple[int, int], kernel_size: int, stride: int | None = None
) -> Tensor:
    return F.interpolate(output_gradient, size=input_size, mode="nearest") / kernel_size**2


def _divided_by_windows(
    output_gradient: Tensor, input_size: tuple[int, int], kernel_size: int, stride: int | None = None
) -> Tensor:
    n_windows = output_gradient.shape[2] * output_gradient.shape[3]
    return _shared_out(output_gradient, input_size, kernel_size, stride, divide_by=lambda k, s: n_windows)


def _divided_by_map(
    output_gradient: Tensor, input_size: tuple[int, int], kernel_size: int, stride: int | None = None
) -> Tensor:
    n_pixels = input_size[0] * input_size[1]
    return _shared_out(output_gradient, input_size, kernel_size, stride, divide_by=lambda k, s: n_pixels)


def _nothing_outside_the_windows(arguments: dict[str, Any], value: Tensor) -> bool:
    k, n_windows = arguments["kernel_size"], arguments["output_gradient"].shape[2:]
    s = arguments.get("stride") or k
    outside = torch.ones(arguments["input_size"], dtype=torch.bool)
    for r in range(n_windows[0]):
        for c in range(n_windows[1]):
            outside[r * s : r * s + k, c * s : c * s + k] = False
    return not value[:, :, outside].any()


AVG_POOL2D_BACKWARD = Exercise(
    name="avg_pool2d_backward",
    reference=max_pooling.avg_pool2d_backward,
    cases=_average_cases,
    mistakes={
        "not_divided": Mistake(
            partial(_shared_out, divide_by=lambda k, s: 1),
            "each pixel of a window gets the whole gradient. The mean has a factor of one over the number of its "
            "pixels, and so has its derivative.",
        ),
        "divided_by_side": Mistake(
            partial(_shared_out, divide_by=lambda k, s: k),
            "you divide by the side of the window. How many pixels does it have?",
        ),
        "divided_by_four": Mistake(
            partial(_shared_out, divide_by=lambda k, s: 4),
            "you always divide by 4. That is right for windows of 2 x 2 only.",
        ),
        "divided_by_stride": Mistake(
            partial(_shared_out, divide_by=lambda k, s: s * s),
            "you divide by the square of the stride. The mean was taken over the window's pixels; how far the windows "
            "are apart does not matter for it.",
        ),
        "divided_by_windows": Mistake(
            _divided_by_windows,
            "you divide by the number of outputs. Each output is the mean over its own window: count the pixels there.",
        ),
        "divided_by_map": Mistake(
            _divided_by_map,
            "you divide by the number of pixels of the whole map. The mean was taken over one window.",
        ),
        "mean_of_windows": Mistake(
            _mean_of_windows,
            "you give each pixel the mean of the gradients of its windows. A pixel has a share of one over the "
            "window's size in each of its windows, and the shares add up.",
        ),
        "divided_twice": Mistake(
            _divided_twice,
            "you divide once more by the number of windows that a pixel lies in. It moves all of them: their shares "
            "add up.",
        ),
        "written_over": Mistake(
            partial(_shared_out, add=False),
            "where windows overlap, each writes over the share of the one before. A pixel that lies in several windows "
            "moves all of them: their shares add up.",
        ),
        "stride_ignored": Mistake(
            lambda output_gradient, input_size, kernel_size, stride=None: _shared_out(
                output_gradient, input_size, kernel_size
            ),
            "you ignore `stride`: your windows always lie side by side.",
        ),
        "stride_of_one": Mistake(
            partial(_shared_out, default=lambda k: 1),
            "when no stride is given, yours is 1. In pooling the default is kernel_size, so that the windows lie side "
            "by side.",
        ),
        "first_pixel": Mistake(
            partial(_shared_out, pixels=lambda k: (slice(0, 1), slice(0, 1))),
            "only the first pixel of each window gets something. All pixels of the window are in the mean, with equal "
            "weight.",
        ),
        "middle_pixel": Mistake(
            partial(
                _shared_out,
                divide_by=lambda k, s: 1,
                pixels=lambda k: (slice(k // 2, k // 2 + 1), slice(k // 2, k // 2 + 1)),
            ),
            "one pixel of each window gets everything. That is max pooling's way; the mean depends on all pixels of "
            "the window alike.",
        ),
        "stretched": Mistake(
            _stretched_and_divided,
            "you stretch the gradient to the size of the map. That is right only where the windows lie side by side "
            "and fill the map: they may overlap, or leave a border out.",
        ),
        "size_turned": Mistake(
            lambda output_gradient, input_size, kernel_size, stride=None: _shared_out(
                output_gradient.transpose(2, 3), (input_size[1], input_size[0]), kernel_size, stride
            ),
            "your maps have height and width exchanged. input_size is (H, W), and the result (N, C, H, W).",
        ),
        "in_float32": Mistake(_in_float32(_shared_out), _ROUNDED),
    },
    properties=[
        Property(
            "each map of df/dX has the same sum as its map of df/dY: the shares of a window add up to its gradient.",
            _keeps_the_sum,
        ),
        Property("a pixel that lies in no window gets 0.", _nothing_outside_the_windows),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# gradient_check
# ---------------------------------------------------------------------------------------------------------------------


class CubicChain(nn.Module):
    """x -> sum_i a_i x_i^3 x_{i+1}: its central difference is off by eps^2 a_i x_{i+1}, whoever computes it."""

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: any shape -> one number ()."""
        x = inputs.flatten()
        return (_steady_weights(x) * x**3 * x.roll(-1)).sum()


class PooledSum(nn.Module):
    """x -> sum_p a_p max over window p of x, 2 x 2 windows side by side: linear except at ties."""

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: (N, C, H, W) -> one number ()."""
        pooled = F.max_pool2d(inputs, 2).flatten()
        return (_steady_weights(pooled) * pooled).sum()


def _steady_weights(like: Tensor) -> Tensor:
    return 1.5 + torch.arange(len(like), dtype=like.dtype).cos()


@register_network("cubic_chain")
def _cubic_chain(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Return one number for all images together, not scores."""
    return nn.Sequential(CubicChain())


@register_network("pooled_sum")
def _pooled_sum(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Return one number for all images together, not scores."""
    return nn.Sequential(PooledSum())


def _derivative(function: nn.Module, inputs: Tensor) -> Tensor:
    with torch.enable_grad():
        x = inputs.detach().clone().requires_grad_()
        return torch.autograd.grad(function(x), x)[0]


def _check_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(36)

    def case(
        kind: str,
        inputs: Tensor,
        off: float,
        eps: float | None,
        note: str,
        source: torch.Generator,
        tolerance: float = 1e-6,
    ) -> Case:
        """off: how wrong the given gradient is at one place, at another it is wrong by -0.6 times as much."""
        inputs = inputs.double()
        function = Network(kind)
        gradient = _derivative(function.build(), inputs)
        order = torch.randperm(gradient.numel(), generator=source)
        if off:
            gradient.view(-1)[order[0]] += off
            gradient.view(-1)[order[1:2]] -= 0.6 * off
        arguments = {"function": function, "inputs": inputs, "gradient": gradient}
        return Case(arguments | ({} if eps is None else {"eps": eps}), note, tolerance)

    tied = torch.tensor([[1.0, 1, 0, 2], [0, 1, 2, -1], [-1, 0, 2, 1], [0, -2, 0, 1]])[None, None]
    yield case("cubic_chain", _maps(fixed, 1, 1, 2, 3), 0.0, 0.1, "a curved function, eps = 0.1", fixed)
    yield case("cubic_chain", _maps(fixed, 2, 2, 3, 2), -4.0, 0.05, "a gradient that is wrong, eps = 0.05", fixed)
    yield case("pooled_sum", _maps(fixed, 1, 2, 4, 6), 0.5, None, "max pooling, a wrong gradient, no eps given", fixed)
    yield case("pooled_sum", tied, 0.0, 1e-3, "max pooling with ties, eps = 0.001", fixed)
    yield case("cubic_chain", 3 * _maps(fixed, 1, 1, 3, 3), 1.0, None, "a curved function, no eps given", fixed)
    # Rounding: f is about 1e5, so 1e5 * 1e-16 / 0.1 = 1e-10; a step in float32 is off by 1.5e-8 of a slope of 1e3.
    large = 10 * _maps(fixed, 1, 2, 2, 2)
    yield case("cubic_chain", large, 0.0, 0.1, "large numbers, a curved function, eps = 0.1", fixed, 1e-9)
    yield case("cubic_chain", _maps(fixed, 5), 2.0, 0.1, "a vector of 5 numbers, a wrong gradient, eps = 0.1", fixed)
    yield case("cubic_chain", _maps(fixed, 2, 3), -3.0, 0.1, "a table of 2 x 3, a wrong gradient, eps = 0.1", fixed)
    yield case("cubic_chain", _maps(fixed) - 1, 0.5, 0.1, "a single number of shape (), eps = 0.1", fixed)

    height, width = draw_integer(generator, 2, 5), draw_integer(generator, 2, 5)
    inputs = 2 * _maps(generator, 2, 1, height, width)
    yield case("cubic_chain", inputs, 0.0, 0.2, "drawn inputs, a curved function, eps = 0.2", generator)
    inputs = _maps(generator, 1, 2, height, width)
    yield case("cubic_chain", inputs, -5.0, 0.01, "drawn inputs, a wrong gradient, eps = 0.01", generator)
    inputs = _tied_maps(generator, 2, 1, 4, 2 * width)
    yield case("pooled_sum", inputs, 2.0, 0.125, "drawn inputs with ties, a wrong gradient, eps = 0.125", generator)


def _quotients(
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    gradient: Tensor,
    eps: float = 1e-6,
    right: float = 1.0,
    left: float = 1.0,
    divide_by: Callable[[float], float] = lambda eps: 2 * eps,
    largest: Callable[[Tensor, Tensor], Any] = lambda gradient, numeric: (gradient - numeric).abs().max().item(),
    step: Callable[[Tensor, float], Tensor] = lambda inputs, eps: torch.full_like(inputs, eps),
    pile_up: bool = False,
    only: Callable[[Tensor], int] = torch.numel,
) -> tuple[Tensor, Any]:
    """Return the gradient check with its pieces open: the two points, the division, the step, the comparison."""
    numeric, steps = torch.zeros_like(inputs), step(inputs, eps).flatten()
    base = inputs.clone()
    for i in range(only(inputs)):
        above, below = base.clone(), base.clone()
        above.view(-1)[i] += right * steps[i]
        below.view(-1)[i] -= left * steps[i]
        numeric.view(-1)[i] = (function(above) - function(below)) / divide_by(steps[i].item())
        if pile_up:
            base = below
    return numeric, largest(gradient, numeric)


def _step_in_float32(
    function: Callable[[Tensor], Tensor], inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    rounded = torch.tensor(eps, dtype=torch.float32).item()
    return _quotients(function, inputs, gradient, rounded, divide_by=lambda _: 2 * eps)


def _never_moved_back(
    function: Callable[[Tensor], Tensor], inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    numeric, above, below = torch.zeros_like(inputs), inputs.clone(), inputs.clone()
    for i in range(inputs.numel()):
        above.view(-1)[i] += eps
        below.view(-1)[i] -= eps
        numeric.view(-1)[i] = (function(above) - function(below)) / (2 * eps)
    return numeric, (gradient - numeric).abs().max().item()


def _second_value_belongs_to_the_first(arguments: dict[str, Any], value: Any) -> bool:
    """Whether the second value is right, asked only where the first one is."""
    numeric, largest = max_pooling.gradient_check(**arguments)
    size = 1e-6 * max(1.0, numeric.abs().max().item(), largest)
    return bool((value[0] - numeric).abs().max() > size or abs(float(value[1]) - largest) <= size)


def _all_at_once(
    function: Callable[[Tensor], Tensor], inputs: Tensor, gradient: Tensor, eps: float = 1e-6
) -> tuple[Tensor, float]:
    numeric = torch.full_like(inputs, ((function(inputs + eps) - function(inputs - eps)) / (2 * eps)).item())
    return numeric, (gradient - numeric).abs().max().item()


def _by_autograd(function: nn.Module, inputs: Tensor, gradient: Tensor, eps: float = 1e-6) -> tuple[Tensor, float]:
    numeric = _derivative(function, inputs)
    return numeric, (gradient - numeric).abs().max().item()


def _relative(gradient: Tensor, numeric: Tensor) -> float:
    scale = torch.maximum(gradient.abs(), numeric.abs()).clamp(min=1e-8)
    return ((gradient - numeric).abs() / scale).max().item()


GRADIENT_CHECK = Exercise(
    name="gradient_check",
    reference=max_pooling.gradient_check,
    cases=_check_cases,
    mistakes={
        "one_sided_right": Mistake(
            partial(_quotients, left=0.0, divide_by=lambda eps: eps),
            "your quotient is one-sided: it goes from x to x + eps. The central one goes from x - eps to x + eps; its "
            "error shrinks with eps squared.",
        ),
        "one_sided_left": Mistake(
            partial(_quotients, right=0.0, divide_by=lambda eps: eps),
            "your quotient is one-sided: it goes from x - eps to x. The central one goes from x - eps to x + eps; its "
            "error shrinks with eps squared.",
        ),
        "divided_by_eps": Mistake(
            partial(_quotients, divide_by=lambda eps: eps),
            "your numbers are twice as large as they should be: from x - eps to x + eps the input moves by 2 eps.",
        ),
        "one_sided_by_two_eps": Mistake(
            partial(_quotients, left=0.0),
            "your numbers are half as large as they should be: you go from x to x + eps and divide by 2 eps.",
        ),
        "not_divided": Mistake(
            partial(_quotients, divide_by=lambda eps: 1.0),
            "you do not divide by the step. A derivative is a change of f per change of x.",
        ),
        "divided_by_two": Mistake(
            partial(_quotients, divide_by=lambda eps: 2.0),
            "you divide by 2. By how much did the input move between your two values of f?",
        ),
        "times_eps": Mistake(
            partial(_quotients, divide_by=lambda eps: 2 / eps),
            "you divide by 2 and multiply with eps. In Python `a / 2 * eps` is `(a / 2) * eps`: put brackets around "
            "what you divide by.",
        ),
        "sign": Mistake(
            partial(_quotients, right=-1.0, left=-1.0),
            "all signs are turned round: the value at x + eps comes first in the difference.",
        ),
        "half_step": Mistake(
            partial(_quotients, right=0.5, left=0.5, divide_by=lambda eps: eps),
            "you move the input by eps / 2 to each side. It is a central difference, but with another step than the "
            "one that was asked for: eps to each side.",
        ),
        "eps_ignored": Mistake(
            lambda function, inputs, gradient, eps=1e-6: _quotients(function, inputs, gradient),
            "your numbers do not change with `eps` as a central difference does. Is `eps` the step that you take to "
            "each side? (A better approximation is another formula than the one that was asked for.)",
            where=lambda case: case.tolerance > 1e-8,  # a step of 1e-6 rounds more than that
        ),
        "relative_step": Mistake(
            partial(_quotients, step=lambda inputs, eps: eps * inputs.abs().clamp(min=1e-8)),
            "your step is a share of the input. eps is the step itself, the same for each input.",
        ),
        "step_in_float32": Mistake(
            _step_in_float32,
            "your step was rounded to float32: a vector e_i made without a dtype, by `torch.zeros` or `one_hot`, turns "
            "eps into float32 when it is multiplied with it, and only then float64 is added. Give e_i the dtype of "
            "`inputs`.",
        ),
        "pile_up": Mistake(
            partial(_quotients, pile_up=True),
            "you do not put an input back before you move the next one, so that the point wanders away. Each quotient "
            "belongs to the same point x, with one input moved.",
        ),
        "never_moved_back": Mistake(
            _never_moved_back,
            "your two points move apart: an input that was moved stays where it is when the next one is moved. Each "
            "quotient belongs to the same point x, with one input moved.",
        ),
        "all_at_once": Mistake(
            _all_at_once,
            "you move all inputs at once. That gives the sum of all derivatives; move one input at a time.",
        ),
        "first_image": Mistake(
            partial(_quotients, only=lambda inputs: inputs[0].numel()),
            "only the first image is moved. Every number in `inputs` has a derivative.",
        ),
        "autograd": Mistake(
            _by_autograd,
            "this is autograd's derivative. The check is there to test such a derivative, so it must not use one: only "
            "values of the function.",
        ),
        "largest_with_sign": Mistake(
            partial(_quotients, largest=lambda gradient, numeric: (gradient - numeric).max().item()),
            "your numeric gradient is right, but the largest difference is not: an error of -5 is larger than one of "
            "+3.",
        ),
        "largest_of_other_sign": Mistake(
            partial(_quotients, largest=lambda gradient, numeric: (numeric - gradient).max().item()),
            "your numeric gradient is right, but the largest difference is not: take the magnitude before the maximum, "
            "or errors in one direction are overlooked.",
        ),
        "mean_difference": Mistake(
            partial(_quotients, largest=lambda gradient, numeric: (gradient - numeric).abs().mean().item()),
            "your numeric gradient is right, but you report the mean of the differences. One wrong derivative among "
            "thousands hides in a mean: report the largest.",
        ),
        "sum_of_differences": Mistake(
            partial(_quotients, largest=lambda gradient, numeric: (gradient - numeric).abs().sum().item()),
            "your numeric gradient is right, but you report the sum of the differences. Report the largest.",
        ),
        "norm_of_differences": Mistake(
            partial(_quotients, largest=lambda gradient, numeric: (gradient - numeric).norm().item()),
            "your numeric gradient is right, but you report the length of the vector of differences. Report the "
            "largest one.",
        ),
        "relative_difference": Mistake(
            partial(_quotients, largest=_relative),
            "your numeric gradient is right, but you report a relative difference. Here the difference itself is asked "
            "for.",
        ),
    },
    properties=[
        Property(
            "the second value is the largest |gradient - difference| over all places, a magnitude. (Your first value "
            "is right here.)",
            _second_value_belongs_to_the_first,
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# Worked by hand
# ---------------------------------------------------------------------------------------------------------------------

# X = (1 3 2 | 5 4 0 | 2 6 1), 2 x 2 windows in steps of 1, R = (1 2 | 3 4): df/dX row by row.
# Y = (5 4 | 6 6), and the 6 is the maximum of two windows.
POOLING_BY_HAND = ValueExercise(
    name="pooling_by_hand",
    expected=(0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 7.0, 0.0),
    mistakes={
        "written_over": Mistake(
            (0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 4.0, 0.0),
            "the 6 is the maximum of two windows. If it grows, both outputs grow: what comes from the two adds up.",
        ),
        "first_one_stays": Mistake(
            (0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 0.0),
            "the 6 is the maximum of two windows, and you counted only one of them.",
        ),
        "mean": Mistake(
            (0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.5, 0.0),
            "the 6 is the maximum of two windows. The chain rule adds up what comes from them; there is no mean.",
        ),
        "unpooled": Mistake(
            (0.0, 0.0, 0.0, 5.0, 4.0, 0.0, 0.0, 6.0, 0.0),
            "you put the maxima back to their places. On the way back the gradients R go there.",
        ),
        "times_value": Mistake(
            (0.0, 0.0, 0.0, 5.0, 8.0, 0.0, 0.0, 42.0, 0.0),
            "you multiplied R with the maximum. The derivative of a maximum by the pixel that won is 1.",
        ),
        "side_by_side": Mistake(
            (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
            "you used one window only. In steps of 1, how many windows of 2 x 2 fit into 3 x 3 pixels?",
        ),
        "everywhere": Mistake(
            (1.0, 3.0, 2.0, 4.0, 10.0, 6.0, 3.0, 7.0, 4.0),
            "all pixels of a window got its gradient. Only the largest one moves the maximum.",
        ),
        "average": Mistake(
            (0.25, 0.75, 0.5, 1.0, 2.5, 1.5, 0.75, 1.75, 1.0),
            "this is the backward pass of average pooling.",
        ),
        "signal_turned": Mistake(
            (0.0, 0.0, 0.0, 1.0, 3.0, 0.0, 0.0, 6.0, 0.0),
            "you have exchanged rows and columns of R. The 2 stands in the first row: it comes from the window on the "
            "upper right.",
        ),
        "smallest": Mistake(
            (1.0, 0.0, 0.0, 0.0, 0.0, 6.0, 3.0, 0.0, 0.0),
            "you handed the gradients to the smallest pixel of each window. This is max pooling.",
        ),
        "by_columns": Mistake(
            (0.0, 1.0, 0.0, 0.0, 2.0, 7.0, 0.0, 0.0, 0.0),
            "you wrote the map down column by column. Go row by row.",
        ),
    },
)

# X = (2 2 0 1 | 1 2 1 0), 2 x 2 windows side by side, R = (6 -4): df/dX row by row, the first maximum wins.
TIE_BY_HAND = ValueExercise(
    name="tie_by_hand",
    expected=(6.0, 0.0, 0.0, -4.0, 0.0, 0.0, 0.0, 0.0),
    mistakes={
        "all_tied": Mistake(
            (6.0, 6.0, 0.0, -4.0, 0.0, 6.0, -4.0, 0.0),
            "every pixel that holds the maximum got the whole gradient. That hands down more than came: three times 6 "
            "in the first window. One switch is kept, the first.",
        ),
        "split": Mistake(
            (2.0, 2.0, 0.0, -2.0, 0.0, 2.0, -2.0, 0.0),
            "you shared the gradient among the pixels that hold the maximum. That can be defended, but here one switch "
            "is kept, the first, and it gets everything.",
        ),
        "last": Mistake(
            (0.0, 0.0, 0.0, 0.0, 0.0, 6.0, -4.0, 0.0),
            "the last maximum of each window got the gradient. The first in reading order wins.",
        ),
        "columns_first": Mistake(
            (6.0, 0.0, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0),
            "in the second window you went down the columns. In reading order the first row comes first.",
        ),
        "nothing": Mistake(
            (0.0,) * 8,
            "nothing came through. At a tie there is no derivative, but the backward pass has to give some number: the "
            "first maximum gets all.",
        ),
        "negative_dropped": Mistake(
            (6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
            "the -4 got lost. A gradient from above may be negative, and is handed down as it is.",
        ),
        "everywhere": Mistake(
            (6.0, 6.0, -4.0, -4.0, 6.0, 6.0, -4.0, -4.0),
            "all pixels of a window got its gradient. Only one pixel is its switch.",
        ),
    },
)

# y = max(x1, x2, x3) at (2, 2, 2): the right and the left derivative by x1, the central difference by x1, the sum of
# the central differences by x1, x2 and x3, and by how much y grows for each unit if all three grow together.
TIE_QUOTIENTS = ValueExercise(
    name="tie_quotients",
    expected=(1.0, 0.0, 0.5, 1.5, 1.0),
    mistakes={
        "smooth": Mistake(
            (1.0, 1.0, 1.0, 3.0, 1.0),
            "downwards: if x1 alone falls below 2, the other two still hold the maximum. By how much does y move?",
        ),
        "smooth_and_wrong_sum": Mistake(
            (1.0, 1.0, 1.0, 3.0, 3.0),
            "downwards: if x1 alone falls below 2, the other two still hold the maximum. And if all three grow by 0.1, "
            "the largest of them grows by 0.1.",
        ),
        "flat": Mistake(
            (0.0, 0.0, 0.0, 0.0, 1.0),
            "upwards: if x1 alone grows to 2.1, it is the maximum, and y is 2.1.",
        ),
        "sides_exchanged": Mistake(
            (0.0, 1.0, 0.5, 1.5, 1.0),
            "you have exchanged right and left: the right derivative is about x1 growing.",
        ),
        "left_negative": Mistake(
            (1.0, -1.0, 0.0, 0.0, 1.0),
            "downwards: if x1 alone falls below 2, y does not fall and does not grow. The other two hold it.",
        ),
        "left_negative_alone": Mistake(
            (1.0, -1.0, 0.5, 1.5, 1.0),
            "the second number: if x1 alone falls below 2, the other two still hold the maximum, and y does not move. "
            "(The other four are right.)",
        ),
        "central_is_right": Mistake(
            (1.0, 0.0, 1.0, 3.0, 1.0),
            "the first two are right. The third number: from x1 - eps to x1 + eps the input moves by 2 eps. By how "
            "much does y move on this way?",
        ),
        "adds_up": Mistake(
            (1.0, 0.0, 0.5, 1.0, 1.0),
            "the fourth number: there are three inputs, and the same quotient belongs to each. For a smooth function "
            "the fourth and the fifth number would be equal; here they need not be.",
        ),
        "derivative_of_sum": Mistake(
            (1.0, 0.0, 0.5, 1.5, 1.5),
            "the fifth number: if all three grow by 0.1, they are all 2.1. What is their maximum? That it differs from "
            "the sum of the quotients is the point of this exercise.",
        ),
        "all_move": Mistake(
            (1.0, 0.0, 0.5, 1.5, 3.0),
            "the fifth number: if all three grow by 0.1, y is the largest of them and not their sum.",
        ),
        "shared": Mistake(
            (1 / 3, 1 / 3, 1 / 3, 1.0, 1.0),
            "you shared the derivative out among the three. Put numbers in: what is max(2.1, 2, 2), and what is "
            "max(1.9, 2, 2)?",
        ),
    },
)

_SHARES = (
    "all to the first",
    "all to the second",
    "half to each",
    "a quarter and three quarters",
    "all to both",
    "nothing to either",
)

# Which ways to share out the gradient are subgradients of y = max(x1, x2) at (2, 2)?
SUBGRADIENTS = ValueExercise(
    name="subgradients",
    expected=frozenset(_SHARES[:4]),
    choices=_SHARES,
    mistakes={
        "only_torch": Mistake(
            frozenset(_SHARES[:1]),
            "this is torch's choice, and it is one. But which input is called the first is an accident: try the "
            "inequality with the others.",
        ),
        "only_corners": Mistake(
            frozenset(_SHARES[:2]),
            "these two are. Add up half of each of their inequalities: what do you get?",
        ),
        "only_even": Mistake(
            frozenset(_SHARES[2:3]),
            "the even share is one, and the fairest, but the inequality holds for others, too.",
        ),
        "only_even_or_corners": Mistake(
            frozenset(_SHARES[:3]),
            "these three are. But need the shares be even? Try the fourth way with some numbers.",
        ),
        "only_inside": Mistake(
            frozenset(_SHARES[2:4]),
            "these two are. Try the two that give everything to one input: does the inequality ever fail?",
        ),
        "both": Mistake(
            frozenset(_SHARES[:5]),
            "'all to both' says that y grows by 2 d if both inputs grow by d. Put d = 1 into the inequality.",
        ),
        "nothing": Mistake(
            frozenset((*_SHARES[:4], _SHARES[5])),
            "'nothing to either' says that y is at a minimum here. Put d1 = d2 = -1 into the inequality.",
        ),
        "everything": Mistake(
            frozenset(_SHARES),
            "not all of them: put d1 = d2 = 1, then d1 = d2 = -1 into the inequality, for each.",
        ),
        "backwards": Mistake(
            frozenset(_SHARES[4:]),
            "you have chosen those for which the inequality fails. Asked for are those for which it holds for every "
            "step d.",
        ),
        "only_both": Mistake(
            frozenset(_SHARES[4:5]),
            "put d1 = d2 = 1 into the inequality: y grows by 1, and this share claims that it grows by at least 2.",
        ),
    },
)

EXERCISES: tuple[Exercise | ValueExercise, ...] = (
    POOLING_BY_HAND,
    MAX_POOL2D,
    MAX_POOL2D_BACKWARD,
    TIE_BY_HAND,
    UNPOOL2D,
    AVG_POOL2D_BACKWARD,
    GRADIENT_CHECK,
    TIE_QUOTIENTS,
    SUBGRADIENTS,
)
