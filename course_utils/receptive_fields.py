"""Receptive fields: which pixels one unit of a network can see, and which of them it really listens to.

Two questions, and two kinds of answer:

- The **theoretical** field is decided by the layers alone: kernel k, stride s, padding p and dilation d of each. It is
  computed here in three ways that must agree: by the closed formula (`receptive_field`), layer by layer upwards from
  the image (`trace`), and from one unit downwards to its pixels (`input_region`).
- The **effective** field also depends on the weights and on the image: how strongly each pixel of the theoretical field
  moves the unit (`effective_receptive_field`). It is measured with gradients.

Rows and columns of a map never mix, so that everything is computed for each direction by itself. Sizes and steps
(kernel_size, stride, padding, dilation, input_size) are a whole number or a pair (rows, columns). Answers are one
number where both directions agree, and otherwise a pair (rows, columns).

The theoretical field is the span from the first pixel to the last. It counts what lies on the padding, outside of the
image, as well; and there may be holes in it (dilation, strides larger than the kernel).

Sources: Araujo, Norris and Sim 2019 (the formulas), Holschneider et al. 1987 (dilation, the algorithme a trous), Luo,
Li, Urtasun and Zemel 2016 (the effective field).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from course_utils.checking import (
    check_count,
    check_dtype,
    check_inputs,
    check_model,
    check_pair,
    draw,
    find_layer,
    random_source,
)
from course_utils.passes import backward, in_steps, layer_output, leaf, only_output, recording

Pair = int | tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """A convolution or a pooling, as far as the receptive field is concerned.

    Args:
        kernel_size: k, in pixels of the map below.
        stride: s, the step from one output to the next, in pixels of the map below. (A pooling of torch has its kernel
            size as its stride unless you say otherwise; here the default is 1 for all.)
        padding: p, pixels added on each side of the map below.
        dilation: d, the step from one weight of the kernel to the next; 1 leaves no holes.

    Each is a whole number or a pair (rows, columns).

    Raises:
        TypeError, ValueError: a bad argument, by name.
    """

    kernel_size: Pair
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1

    def __post_init__(self) -> None:
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            pair = check_pair(getattr(self, name), name, least)
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, pair)  # a list would make equal layers differ, and has no hash

    def along(self, direction: int) -> tuple[int, int, int, int]:
        """Return (k, s, p, d) along the rows (direction 0) or along the columns (1)."""
        settings = (self.kernel_size, self.stride, self.padding, self.dilation)
        return tuple(check_pair(value, "a setting", 0)[direction] for value in settings)


class Row(NamedTuple):
    """One row of `trace`: a layer, and what its outputs see.

    Args:
        name: of the layer in the model.
        output_size: of the layer's map.
        jump: how far apart the fields of two neighbouring outputs lie, in pixels of the image.
        receptive_field: size of the field of one output, in pixels of the image.
        first_centre: centre of the field of the first output (index 0), as an index into the image: 0 is the middle of
            the first pixel, 0.5 lies between the first two. Padding can make it negative.

    Each but the name is one number where rows and columns agree, and otherwise a pair (rows, columns).
    """

    name: str
    output_size: Pair
    jump: Pair
    receptive_field: Pair
    first_centre: float | tuple[float, float]


def _as_layers(layers: Sequence[Layer | tuple]) -> list[Layer]:
    """Return `layers` as a list of Layer; a tuple (kernel_size, stride, padding, dilation) stands for one, too."""
    if isinstance(layers, nn.Module):
        raise TypeError(
            f"layers must be a list of Layer, got the network {type(layers).__name__}: use layers_of(network), "
            "or trace(network, input_size)"
        )
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers must be a list of Layer, got {type(layers).__name__}")
    found = []
    for number, layer in enumerate(layers):
        if isinstance(layer, tuple) and 1 <= len(layer) <= 4:
            layer = Layer(*layer)
        if not isinstance(layer, Layer):
            raise TypeError(
                "layers must be a list of Layer, or of tuples (kernel_size, stride, padding, dilation); "
                f"entry {number} is {layer!r}"
            )
        found.append(layer)
    return found


def _one_or_pair(pair: tuple) -> Any:
    """Return one number for both directions where they agree."""
    return pair[0] if pair[0] == pair[1] else tuple(pair)


# ---------------------------------------------------------------------------------------------------------------
# The formula
# ---------------------------------------------------------------------------------------------------------------


def receptive_field(layers: Sequence[Layer | tuple]) -> Pair:
    """Return the size of the receptive field of one output of a stack of layers.

        r_0 = 1 + sum over l = 1 ... L of (k_l - 1) d_l  s_1 s_2 ... s_(l-1)

    Layer l adds k_l - 1 steps between its weights. Each is d_l pixels of its own map long, and a pixel of that map is
    s_1 ... s_(l-1) pixels of the image away from the next: the strides of the layers below it, not its own. The padding
    is not in the formula.

    Args:
        layers: from the image upwards; Layer, or tuples (kernel_size, stride, padding, dilation).

    Returns:
        r_0 in pixels, or (rows, columns) where they differ; 1 without any layer.

    Raises:
        TypeError, ValueError: no list of layers.

    Source: Araujo et al. 2019, equation 2, there without dilation.
    """

    def along(direction: int) -> int:
        field, jump = 1, 1
        for layer in stack:
            k, s, _, d = layer.along(direction)
            field += (k - 1) * d * jump
            jump *= s
        return field

    stack = _as_layers(layers)
    return _one_or_pair((along(0), along(1)))


def input_region(layers: Sequence[Layer | tuple], position: Pair) -> tuple[Pair, Pair]:
    """Return the first and the last pixel that one output sees.

    Downwards from the output, a layer with its output at v sees the map below it from s v - p to s v - p + d (k - 1).

    Args:
        layers: from the image upwards; Layer, or tuples (kernel_size, stride, padding, dilation).
        position: index of the output, or its (row, column); 0 is the first.

    Returns:
        (first, last), both included. Two numbers if `position` is one number and rows and columns agree, otherwise two
        pairs (row, column). Nothing is clipped: an index that is negative, or beyond the image, lies on the padding.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: Araujo et al. 2019, section "Computing receptive field region in input image".
    """

    def along(direction: int) -> tuple[int, int]:
        first = last = places[direction]
        for layer in reversed(stack):
            k, s, p, d = layer.along(direction)
            first, last = first * s - p, last * s - p + d * (k - 1)
        return first, last

    stack = _as_layers(layers)
    places = check_pair(position, "position", 0)
    rows, columns = along(0), along(1)
    if rows == columns and not isinstance(position, (tuple, list)):
        return rows
    return (rows[0], columns[0]), (rows[1], columns[1])


# ---------------------------------------------------------------------------------------------------------------
# Layer by layer
# ---------------------------------------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """What the outputs of a layer see along one direction: output number v sees `field` pixels from first + jump v."""

    size: int
    jump: int = 1
    first: int = 0
    field: int = 1

    def window(self, k: int, s: int, before: int, after: int, d: int, ceil_mode: bool = False) -> _Axis:
        """Return the same one layer higher, behind windows of k pixels with padding `before` and `after` the map."""
        rest = self.size + before + after - d * (k - 1) - 1
        size = (-(-rest // s) if ceil_mode else rest // s) + 1
        if ceil_mode and (size - 1) * s >= self.size + before:
            size -= 1  # torch drops a last window that would begin behind the map
        return _Axis(size, self.jump * s, self.first - before * self.jump, self.field + (k - 1) * d * self.jump)

    def everything(self) -> _Axis:
        """Return the same behind a layer whose one output sees the whole map: a window as large as the map."""
        return self.window(self.size, 1, 0, 0, 1)

    @property
    def centre(self) -> float:
        return self.first + (self.field - 1) / 2


class _Map(NamedTuple):
    """What the units of a layer see: along the rows, along the columns; whether the units were put into a vector."""

    rows: _Axis
    columns: _Axis
    flat: bool = False

    def row(self, name: str) -> Row:
        """Return the row of the table."""
        axes = (self.rows, self.columns)
        numbers = ([axis.size, axis.jump, axis.field, axis.centre] for axis in axes)
        return Row(name, *(_one_or_pair(pair) for pair in zip(*numbers, strict=True)))


def trace(model: nn.Module | Sequence[Layer | tuple], input_size: Pair) -> list[Row]:
    """Return what the outputs of each layer of a network see: output size, jump, field, and centre of the first field.

    With n, j, r and c for these four, a layer (k, s, p, d) makes of them

        n' = floor((n + 2 p - d (k - 1) - 1) / s) + 1      j' = j s
        r' = r + (k - 1) d j                               c' = c + ((k - 1) d / 2 - p) j

    from n = input_size, j = 1, r = 1, c = 0 for the image itself. Where branches meet (a residual sum, a
    concatenation) the field is the union of theirs. A dense layer and a global pooling see everything: they are windows
    as large as the map below them. Layers that look at one place only (ReLU, batch norm in use, dropout, flatten)
    change nothing. The network is read (by torch.fx), and not run: its weights do not matter.

    Args:
        model: an nn.Module made of convolutions, poolings, ReLUs and other such functions of one place, batch norms,
            dropouts, flattening, dense layers, sums and concatenations, such as torchvision's AlexNet, VGG and ResNet;
            or a list of Layer (their names are then "1", "2", ...).
        input_size: (H, W) of the image, in pixels.

    Returns:
        one Row for each call of a layer, in order.

    Raises:
        TypeError: a bad argument, by name.
        ValueError: the image is too small; or the network has a layer or operation that `trace` has no rule for, by
            name.

    Source: Araujo et al. 2019, section "Derivation details"; the union there is "Architectures with multiple paths".
    """
    height, width = check_pair(input_size, "input_size", 1)
    image = _Map(_Axis(height), _Axis(width))
    if isinstance(model, nn.Module):
        return [state.row(name) for name, state in _walk(model, image)]
    rows = []
    for number, layer in enumerate(_as_layers(model), start=1):
        image = _fits(_windows(image, layer), str(number))
        rows.append(image.row(str(number)))
    return rows


def _windows(below: _Map, layer: Layer, ceil_mode: bool = False) -> _Map:
    """Return what the outputs of a convolution or pooling see."""
    axes = []
    for direction, axis in enumerate(below[:2]):
        k, s, p, d = layer.along(direction)
        axes.append(axis.window(k, s, p, p, d, ceil_mode))
    return _Map(*axes)


def _fits(above: _Map, name: str) -> _Map:
    """Refuse a map without any output."""
    if min(above.rows.size, above.columns.size) < 1:
        raise ValueError(f"input_size is too small: no window of layer {name!r} fits into the map below it")
    return above


# -- the layers of torch -----------------------------------------------------------------------------------------

# Functions of one place: what an output sees is what its input sees.
_ONE_PLACE = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.BatchNorm1d, nn.BatchNorm2d,
    nn.LocalResponseNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh,
    nn.Hardsigmoid, nn.Hardswish, nn.Hardshrink, nn.Softshrink, nn.Threshold, nn.Softmax2d,
)  # fmt: skip
# Functions of a whole vector: behind a dense layer all units see the same.
_OF_A_VECTOR = (nn.Linear, nn.Softmax, nn.LogSoftmax, nn.LayerNorm)
_ADAPTIVE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_KNOWN = (*_ONE_PLACE, *_OF_A_VECTOR, *_ADAPTIVE, *_WINDOWS, nn.Flatten)

_WAY_OUT = (
    "write the network with nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.ReLU, nn.BatchNorm2d, "
    "nn.Flatten, nn.Linear, sums and torch.cat, or trace the part of it that ends before this"
)


def _is_known(module: nn.Module) -> bool:
    """Say whether a module is of a known kind, and computes what its kind computes: a subclass may have changed it."""
    kinds = [kind for kind in _KNOWN if isinstance(module, kind)]
    return any(type(module).forward is kind.forward for kind in kinds) and "forward" not in vars(module)


def _refuse(what: str, way_out: str = _WAY_OUT) -> None:
    raise ValueError(f"trace has no rule for {what}: {way_out}")


def _setting(module: nn.Module) -> tuple[Layer, bool]:
    """Return a convolution or pooling as (Layer, ceil_mode); the padding "same" is not dealt with here."""
    padding = 0 if isinstance(module.padding, str) else module.padding
    numbers = (module.kernel_size, module.stride, padding, getattr(module, "dilation", 1))
    pairs = (check_pair(number, "a setting", 0) for number in numbers)
    return Layer(*map(_one_or_pair, pairs)), getattr(module, "ceil_mode", False)


def _behind(below: _Map, name: str, module: nn.Module) -> _Map:
    """Return what the outputs of one layer see."""
    what = f"layer {name!r} ({type(module).__name__})"
    if not _is_known(module):
        _refuse(what)
    if getattr(module, "return_indices", False):
        _refuse(f"{what} with return_indices=True", "leave it out")
    if isinstance(module, nn.Flatten):
        if module.start_dim != 1 or module.end_dim != -1:
            _refuse(f"{what} with start_dim={module.start_dim}, end_dim={module.end_dim}")
        return below._replace(flat=True)
    if isinstance(module, _OF_A_VECTOR):
        if not below.flat:
            _refuse(f"{what} on a map (N, C, H, W)", "put an nn.Flatten() before it")
        return _Map(below.rows.everything(), below.columns.everything(), flat=True)
    if isinstance(module, _ONE_PLACE):
        return below
    if below.flat:
        _refuse(f"{what} behind a flattening", "maps go into it before they are flattened")
    if isinstance(module, _ADAPTIVE):
        sizes = _output_pair(module.output_size)
        return _Map(*(_adaptive(axis, size, what) for axis, size in zip(below[:2], sizes, strict=True)))
    if getattr(module, "padding_mode", "zeros") != "zeros":
        _refuse(f"{what} with padding_mode={module.padding_mode!r}", "at the border it sees pixels from elsewhere")
    layer, ceil_mode = _setting(module)
    if module.padding == "same":  # as much as keeps the size; of an odd number the larger half goes behind the map
        axes = []
        for direction, axis in enumerate(below[:2]):
            k, s, _, d = layer.along(direction)
            total = d * (k - 1)
            axes.append(axis.window(k, s, total // 2, total - total // 2, d))
        return _Map(*axes)
    return _fits(_windows(below, layer, ceil_mode), name)


def _output_pair(output_size: Any) -> tuple[int | None, int | None]:
    """Return the output size of an adaptive pooling as a pair; None keeps the size of the map."""
    return tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)


def _adaptive(axis: _Axis, size: int | None, what: str) -> _Axis:
    """Return what the outputs of an adaptive pooling see: `size` windows spread over the map."""
    if size is None or size == axis.size:
        return axis
    if size == 1:
        return axis.everything()
    starts = [number * axis.size // size for number in range(size)]
    ends = [-(-(number + 1) * axis.size // size) for number in range(size)]
    lengths = {end - start for start, end in zip(starts, ends, strict=True)}
    steps = {after - before for before, after in pairwise(starts)}
    if len(lengths) > 1 or len(steps) > 1 or steps == {0}:
        _refuse(
            f"{what}, whose {size} windows on a map of {axis.size} are not of one size and step",
            "choose an input_size with which its map is a multiple of its output size, or trace the part before it",
        )
    return axis.window(lengths.pop(), steps.pop(), 0, 0, 1)


def _meeting(branches: list[_Map], name: str) -> _Map:
    """Return what the units see where branches meet: from the first to the last pixel that any branch sees."""
    axes = []
    for direction in (0, 1):
        along = [branch[direction] for branch in branches]
        if len({axis.size for axis in along}) > 1 or (along[0].size > 1 and len({axis.jump for axis in along}) > 1):
            _refuse(
                f"{name!r}, where maps of different size or jump meet",
                "the field is then another one at every position; trace the branches one by one",
            )
        first = min(axis.first for axis in along)
        end = max(axis.first + axis.field for axis in along)
        axes.append(along[0]._replace(first=first, field=end - first))
    return _Map(*axes, flat=branches[0].flat)


# -- reading a network -------------------------------------------------------------------------------------------

_FUNCTIONS_OF_ONE_PLACE: frozenset[Callable | str] = frozenset([
    F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.hardtanh, F.hardswish, F.hardsigmoid, F.softplus,
    F.dropout, F.dropout2d, torch.relu, torch.relu_, torch.sigmoid, torch.tanh, "relu", "relu_", "sigmoid", "tanh",
    "clamp", "clamp_", "clone", "contiguous", "float", "double",
    operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul, operator.truediv,
    operator.itruediv, operator.neg, torch.add, torch.sub, torch.mul, torch.div, "add", "add_", "sub", "sub_", "mul",
    "mul_", "div", "div_",
])  # fmt: skip
_SIZES: frozenset[Callable | str] = frozenset([getattr, operator.getitem, "size", "dim"])


class _Reader(fx.Tracer):
    """Writes down the calls of a network's layers; layers of a known kind are not looked into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_known(m) or super().is_leaf_module(m, module_qualified_name)


def _walk(model: nn.Module, image: _Map) -> Iterator[tuple[str, _Map]]:
    """Yield (name, what its units see) for each call of a layer, and each operation, of a network."""
    if _is_known(model):
        model = nn.Sequential(model)
    try:
        graph = _Reader().trace(model)
    except Exception as error:  # whatever the model's own Python code raises when it is read instead of run
        raise ValueError(
            f"trace cannot read the network {type(model).__name__} ({type(error).__name__}: {error}): {_WAY_OUT}"
        ) from error
    states: dict[fx.Node, _Map | None] = {}  # None: no map, but a number, a size or a parameter
    first = next(node for node in graph.nodes if node.op == "placeholder")
    for node in graph.nodes:
        below = [states[source] for source in node.all_input_nodes if states.get(source) is not None]
        states[node] = None
        if node.op == "placeholder":
            if node is first:
                states[node] = image
            elif not node.args:  # without a default value
                _refuse(f"a network of several inputs ({node.name!r} is the second)")
        elif node.op == "call_module":
            module = model.get_submodule(node.target)
            if len(below) != 1 or len(node.all_input_nodes) != 1:
                _refuse(f"layer {node.target!r} ({type(module).__name__}), which is called with several inputs")
            states[node] = _behind(below[0], node.target, module)
            yield node.target, states[node]
        elif node.op in ("call_function", "call_method") and below and not _is_size(node):
            states[node] = _behind_operation(node, below)
            yield node.name, states[node]


def _is_size(node: fx.Node) -> bool:
    """Say whether an operation asks for the size of a map, and not for its values."""
    if node.target is operator.getitem:
        return False
    return node.target in _SIZES and (node.target is not getattr or node.args[1] in ("shape", "ndim", "dtype"))


def _behind_operation(node: fx.Node, below: list[_Map]) -> _Map:
    """Return what the units see behind a function or a method that is called in the network's forward."""
    arguments = (*node.args[1:], *node.kwargs.values())
    if node.target in _FUNCTIONS_OF_ONE_PLACE:
        return _meeting(below, node.name)
    if node.target in (torch.cat, torch.concat) and arguments in ((1,), (-3,)):
        return _meeting(below, node.name)
    if node.target in (torch.flatten, "flatten") and arguments == (1,):
        return below[0]._replace(flat=True)
    if node.target in ("view", "reshape", torch.reshape) and len(node.args) == 3 and node.args[2] == -1:
        return below[0]._replace(flat=True)  # (N, -1)
    everywhere = tuple(arguments[0]) if arguments and isinstance(arguments[0], (tuple, list)) else ()
    if node.target in ("mean", torch.mean) and sorted(everywhere) in ([2, 3], [-2, -1]):
        return _Map(below[0].rows.everything(), below[0].columns.everything(), flat=arguments[1:] != (True,))
    if node.target is F.adaptive_avg_pool2d:
        return _behind(below[0], node.name, nn.AdaptiveAvgPool2d(arguments[0]))
    called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", repr(node.target))
    shown = f", with the arguments {arguments}" if arguments and not any(map(_is_node, arguments)) else ""
    _refuse(f"the operation {called!r} ({node.name!r} in the network's forward{shown})")


def _is_node(value: Any) -> bool:
    return isinstance(value, fx.Node)


def layers_of(model: nn.Sequential) -> list[Layer]:
    """Return the convolutions and poolings of a flat or nested nn.Sequential, for `receptive_field` and `input_region`.

    Args:
        model: nn.Sequential of convolutions, poolings, and layers that look at one place only, which are left out.

    Returns:
        one Layer for each convolution or pooling, from the image upwards; its settings are whole numbers where rows and
        columns agree.

    Raises:
        TypeError: no nn.Sequential.
        ValueError: a layer that sees everything (dense, global pooling), pads unevenly, or is of an unknown kind, by
            name.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(
            f"model must be a torch.nn.Sequential, got {type(model).__name__}: use trace(model, input_size)"
        )
    layers = []
    for name, module in model.named_modules(remove_duplicate=False):  # a pooling may stand in several places
        if type(module) is nn.Sequential or (isinstance(module, _ONE_PLACE) and _is_known(module)):
            continue
        what = f"layer {name!r} ({type(module).__name__})"
        if not (isinstance(module, _WINDOWS) and _is_known(module)):
            raise ValueError(
                f"{what} is no window of a fixed size: take the part of the network before it (model[:n]), or use "
                "trace(model, input_size)"
            )
        if getattr(module, "padding_mode", "zeros") != "zeros" or module.padding == "same":
            raise ValueError(f"{what} has no padding of p zeros on each side: give it padding=p")
        layers.append(_setting(module)[0])
    return layers


# ---------------------------------------------------------------------------------------------------------------
# The effective field
# ---------------------------------------------------------------------------------------------------------------


def effective_receptive_field(
    model: nn.Module,
    layer: str | nn.Module,
    input_size: Pair,
    n_samples: int = 20,
    generator: torch.Generator | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Tensor:
    """Return how much each pixel of the image moves the central unit of a layer, as a share of all pixels.

        E(i, j) = mean over random images of sum over colours of |d y / d I(colour, i, j)|,  divided by its sum

    where y is the unit in the middle of the layer's map, all its channels added up, and the images are standard normal
    noise. The magnitude is taken, and not the square: so a weight counts as what it is, and a stack of linear layers
    with equal weights gives exactly the product of its kernels. Without the magnitude the derivatives of different
    images would cancel out.

    Args:
        model: takes images (N, C, H, W); C is read from its first convolution, and is 1 if it has none.
        layer: name of the layer, or the module itself; its output must be maps (N, K, h, w). The unit in the middle is
            the one at (h // 2, w // 2).
        input_size: (H, W) of the images, in pixels.
        n_samples: number of random images.
        generator: source of the images. Without one they come from a copy of torch's default generator.
        batch_size: most images in one pass; the answer does not depend on it.
        progress: show a progress bar.

    Returns:
        (H, W), not negative, sums to 1; 0 outside of the theoretical field. (Exactly 0 in double precision; for floats
        torch may choose a fast algorithm whose rounding errors leak from one output to the next.)

    Raises:
        TypeError, ValueError: a bad argument, by name; a layer that gives no maps; no pixel that moves the unit.

    Source: Luo, Li, Urtasun and Zemel 2016, sections 2 and 3.1.
    """
    check_model(model)
    find_layer(model, layer)
    size = check_pair(input_size, "input_size", 1)
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    shape = (check_count(n_samples, "n_samples"), 1 if convolution is None else convolution.in_channels, *size)
    images = draw(torch.randn, shape, random_source(generator), parameter)
    return effective_field_of(model, layer, images, batch_size, progress)


def effective_field_of(
    model: nn.Module, layer: str | nn.Module, inputs: Tensor, batch_size: int = 8, progress: bool = False
) -> Tensor:
    """Return the effective receptive field over given images, instead of noise: see `effective_receptive_field`.

    Args:
        model, layer, batch_size, progress: as there.
        inputs: images (N, C, H, W).

    Returns:
        (H, W), not negative, sums to 1.

    Raises:
        TypeError, ValueError: as there.
    """
    check_model(model)
    check_dtype(model, check_inputs(inputs))
    total = torch.zeros_like(inputs[0, 0])
    for steps in in_steps(len(inputs), check_count(batch_size, "batch_size"), progress, "Effective field"):
        gradients = _gradient_of_central_unit(model, layer, inputs[steps.start : steps.stop])
        total += gradients.abs().sum((0, 1))
    if not total.sum() > 0:
        raise ValueError(
            f"no pixel moves the central unit of layer {layer!r}: its derivative is 0 at all {len(inputs)} images"
        )
    return total / total.sum()


def _gradient_of_central_unit(model: nn.Module, layer: str | nn.Module, inputs: Tensor) -> Tensor:
    """Return d y / d I (N, C, H, W) for the unit in the middle of the layer's map, all its channels added up."""
    name, module = find_layer(model, layer)
    with recording():
        images = leaf(inputs)
        with layer_output(name, module) as outputs:
            try:
                model(images.clone())
            except RuntimeError as error:
                raise ValueError(
                    f"model cannot take images of shape {tuple(inputs.shape[1:])} ({error}): choose the size that it "
                    "was made for, or cut off the layers behind the one that you ask for, as in model[:n]"
                ) from error
        maps = only_output(outputs, name)
        if maps.dim() != 4:
            raise ValueError(f"layer {name!r} must give maps (N, K, h, w), got shape {tuple(maps.shape)}")
        middle = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]
        return backward(middle, images)


def spread(field: Tensor) -> tuple[float, float]:
    """Return how wide an effective field is: its standard deviation along the rows and along the columns.

    A Gaussian has 68 % of its weight within one standard deviation of its centre along each direction.

    Args:
        field: (H, W), not negative, as of `effective_receptive_field`.

    Returns:
        (down the rows, along the columns), in pixels.

    Raises:
        TypeError, ValueError: no such tensor.
    """
    if not isinstance(field, Tensor) or not field.is_floating_point():
        raise TypeError(f"field must be a float tensor (H, W), got {getattr(field, 'dtype', type(field).__name__)}")
    if field.dim() != 2 or not field.isfinite().all() or not (field >= 0).all() or not field.sum() > 0:
        raise ValueError(
            f"field must be (H, W), not negative and not all 0, got shape {tuple(field.shape)} with values from "
            f"{field.min().item() if field.numel() else None} to {field.max().item() if field.numel() else None}"
        )

    def along(weights: Tensor) -> float:
        weights = weights.double() / weights.double().sum()
        places = torch.arange(len(weights), dtype=torch.float64, device=weights.device)
        mean = (weights * places).sum()
        return (weights * (places - mean) ** 2).sum().sqrt().item()

    return along(field.sum(1)), along(field.sum(0))
