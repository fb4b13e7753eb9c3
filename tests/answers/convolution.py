"""Answers to the exercises of unit 01 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils import convolution

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


# --- conv2d -----------------------------------------------------------------------------------------------------


def conv2d_by_unfold(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    kernel = weight.shape[2:]
    columns = F.unfold(inputs, kernel, dilation, padding, stride)  # (N, C kh kw, H' W')
    out = weight.flatten(1) @ columns
    if bias is not None:
        out = out + bias[:, None]
    return out.unflatten(2, convolution.output_size(tuple(inputs.shape[2:]), tuple(kernel), stride, padding, dilation))


def conv2d_place_by_place(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    flip: bool = False,
    swap: bool = False,
) -> Tensor:
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    o, _, kh, kw = weight.shape
    x = F.pad(inputs, (ph, ph, pw, pw) if swap else (pw, pw, ph, ph))
    rows, columns = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1, (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    out = torch.zeros(len(x), o, rows, columns, dtype=x.dtype)
    for u in range(rows):
        for v in range(columns):
            patch = x[:, :, u * sh : u * sh + dh * (kh - 1) + 1 : dh, v * sw : v * sw + dw * (kw - 1) + 1 : dw]
            patch = patch.flip(2, 3) if flip else patch
            out[:, :, u, v] = (patch[:, None] * weight).sum((2, 3, 4))
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def conv2d_flipping_patches(*arguments: Any, **options: Any) -> Tensor:
    return conv2d_place_by_place(*arguments, **options, flip=True)


def conv2d_padding_rows_first(*arguments: Any, **options: Any) -> Tensor:
    return conv2d_place_by_place(*arguments, **options, swap=True)


def conv2d_by_matrix(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    size = tuple(inputs.shape[2:])
    matrix = convolution.conv_matrix(weight, size, stride, padding, dilation)
    places = convolution.output_size(size, tuple(weight.shape[2:]), stride, padding, dilation)
    out = (inputs.flatten(1) @ matrix.T).reshape(len(inputs), len(weight), *places)
    return out if bias is None else out + bias.reshape(-1, 1, 1)


def conv2d_with_negative_bias(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, **steps: Any) -> Tensor:
    return F.conv2d(inputs, weight, None if bias is None else -bias, **steps)


def conv2d_in_float32(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, **steps: Any) -> Tensor:
    return F.conv2d(inputs, weight, bias, **steps).float()


def conv2d_of_reversed_batch(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, **steps: Any) -> Tensor:
    return F.conv2d(inputs.flip(0), weight, bias, **steps)


def conv2d_that_flips_back_in_place(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, **steps: Any) -> Tensor:
    result = F.conv2d(inputs, weight, bias, **steps)
    weight.copy_(weight.flip(2, 3))
    return result


def conv2d_of_odd_strides(
    inputs: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, **steps: Any
) -> Tensor:
    """Right unless both strides are 2: then it is shifted by one pixel."""
    if pair(stride) == (2, 2):
        inputs = inputs.roll(1, 3)
    return F.conv2d(inputs, weight, bias, stride, **steps)


# --- connections ------------------------------------------------------------------------------------------------


def connections_by_numbered_image(
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> dict[tuple[int, int], Tensor]:
    """An image whose pixels hold their own number plus 1, so that 0 is the padding."""
    (height, width), (kh, kw) = pair(input_size), pair(kernel_size)
    numbers = torch.arange(1.0, height * width + 1).reshape(1, 1, height, width)
    met = F.unfold(numbers, (kh, kw), dilation, padding, stride)[0].round().long() - 1  # (kh kw, H' W')
    sets = {}
    for key, row in enumerate(met):
        j = (row >= 0).nonzero()[:, 0]
        sets[divmod(key, kw)] = torch.stack([j, row[j]], 1)
    return sets


def connections_by_one_hot_kernels(
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> dict[tuple[int, int], Tensor]:
    """A kernel with a single 1 is a matrix with a 1 for each of its connections."""
    (height, width), (kh, kw) = pair(input_size), pair(kernel_size)
    pixels = torch.eye(height * width).reshape(-1, 1, height, width)
    sets = {}
    for a in range(kh):
        for b in range(kw):
            kernel = torch.zeros(1, 1, kh, kw)
            kernel[0, 0, a, b] = 1
            sets[a, b] = F.conv2d(pixels, kernel, None, stride, padding, dilation).flatten(1).T.nonzero()
    return sets


def connections_by_flat_offsets(
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> dict[tuple[int, int], Tensor]:
    """Compute the number first and test it alone: the rows run into each other."""
    (height, width), (kh, kw) = pair(input_size), pair(kernel_size)
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    rows, columns = convolution.output_size(input_size, kernel_size, stride, padding, dilation)
    sets = {}
    for a in range(kh):
        for b in range(kw):
            pairs = []
            for j in range(rows * columns):
                u, v = divmod(j, columns)
                i = (u * sh + a * dh - ph) * width + v * sw + b * dw - pw
                if 0 <= i < height * width:
                    pairs.append([j, i])
            sets[a, b] = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return sets


def connections_as_lists(*arguments: Any, **options: Any) -> dict[tuple[int, int], list[list[int]]]:
    return {key: pairs.tolist() for key, pairs in convolution.connections(*arguments, **options).items()}


def connections_backwards(*arguments: Any, **options: Any) -> dict[tuple[int, int], Tensor]:
    return {key: pairs.flip(0) for key, pairs in convolution.connections(*arguments, **options).items()}


def connections_twice(*arguments: Any, **options: Any) -> dict[tuple[int, int], Tensor]:
    """As many connections as there are, but the first one again in place of the last."""
    sets = convolution.connections(*arguments, **options)
    return {key: torch.cat([pairs[:-1], pairs[:1]]) for key, pairs in sets.items()}


def connections_in_one_column(*arguments: Any, **options: Any) -> dict[tuple[int, int], Tensor]:
    return {key: pairs[:, 1] for key, pairs in convolution.connections(*arguments, **options).items()}


# --- count_parameters -------------------------------------------------------------------------------------------


def counts_of_torch_layers(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    bias: bool = True,
) -> dict[str, int]:
    """The connections are counted by a kernel of ones on an image of ones."""
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)
    counted = F.conv2d(
        torch.ones(1, in_channels, *pair(input_size)), torch.ones_like(layer.weight), None, stride, padding, dilation
    )
    dense = nn.Linear(in_channels * math.prod(pair(input_size)), counted.numel(), bias, device="meta")
    return {
        "dense": sum(p.numel() for p in dense.parameters()),
        "local": int(counted.sum()) + bias * counted.numel(),
        "shared": sum(p.numel() for p in layer.parameters()),
    }


def counts_with_whole_kernels(
    in_channels: int, out_channels: int, kernel_size: Pair, input_size: Pair, bias: bool = True, **steps: Any
) -> dict[str, int]:
    """Every place has a whole kernel, also at the edge."""
    places = math.prod(convolution.output_size(input_size, kernel_size, **steps))
    kernel = in_channels * math.prod(pair(kernel_size)) + bias
    return {
        "dense": out_channels * places * (in_channels * math.prod(pair(input_size)) + bias),
        "local": out_channels * places * kernel,
        "shared": out_channels * kernel,
    }


def counts_off_by_one(*arguments: Any, **options: Any) -> dict[str, int]:
    counts = counts_of_torch_layers(*arguments, **options)
    return {**counts, "local": counts["local"] + 1}


def counts_as_tuple(*arguments: Any, **options: Any) -> tuple[int, ...]:
    return tuple(counts_of_torch_layers(*arguments, **options).values())


# --- weight_gradient --------------------------------------------------------------------------------------------


def weight_gradient_by_autograd(
    inputs: Tensor, output_gradient: Tensor, kernel_size: Pair, scale: float = 1.0, **steps: Any
) -> Tensor:
    shape = output_gradient.shape[1], inputs.shape[1], *pair(kernel_size)
    weight = torch.zeros(shape, dtype=inputs.dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(F.conv2d(inputs, weight, **steps), weight, scale * output_gradient)
    return gradient


def weight_gradient_of_torch(inputs: Tensor, output_gradient: Tensor, kernel_size: Pair, **steps: Any) -> Tensor:
    shape = output_gradient.shape[1], inputs.shape[1], *pair(kernel_size)
    return torch.nn.grad.conv2d_weight(inputs, shape, output_gradient, **steps)


def weight_gradient_by_unfold(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    columns = F.unfold(inputs, kernel_size, dilation, padding, stride)
    by_image = output_gradient.flatten(2) @ columns.transpose(1, 2)
    return by_image.sum(0).reshape(output_gradient.shape[1], inputs.shape[1], *pair(kernel_size))


def weight_gradient_over_connections(
    inputs: Tensor, output_gradient: Tensor, kernel_size: Pair, **steps: Any
) -> Tensor:
    gradient = inputs.new_zeros(output_gradient.shape[1], inputs.shape[1], *pair(kernel_size))
    y, back = inputs.flatten(2), output_gradient.flatten(2)
    for (a, b), pairs in convolution.connections(kernel_size, tuple(inputs.shape[2:]), **steps).items():
        for j, i in pairs.tolist():
            gradient[:, :, a, b] += back[:, :, j].T @ y[:, :, i]
    return gradient


def weight_gradient_of_the_mean_error(
    inputs: Tensor, output_gradient: Tensor, kernel_size: Pair, **steps: Any
) -> Tensor:
    return weight_gradient_by_autograd(inputs, output_gradient / len(inputs), kernel_size, **steps)


def weight_gradient_in_float32(inputs: Tensor, output_gradient: Tensor, kernel_size: Pair, **steps: Any) -> Tensor:
    return weight_gradient_by_autograd(inputs.float(), output_gradient.float(), kernel_size, **steps)


# --- input_gradient ---------------------------------------------------------------------------------------------


def input_gradient_by_autograd(output_gradient: Tensor, weight: Tensor, input_size: Pair, **steps: Any) -> Tensor:
    shape = len(output_gradient), weight.shape[1], *pair(input_size)
    inputs = torch.zeros(shape, dtype=weight.dtype, requires_grad=True)
    return torch.autograd.grad(F.conv2d(inputs, weight, **steps), inputs, output_gradient)[0]


def input_gradient_of_torch(output_gradient: Tensor, weight: Tensor, input_size: Pair, **steps: Any) -> Tensor:
    shape = len(output_gradient), weight.shape[1], *pair(input_size)
    return torch.nn.grad.conv2d_input(shape, weight, output_gradient, **steps)


def input_gradient_by_fold(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    columns = weight.flatten(1).T @ output_gradient.flatten(2)
    return F.fold(columns, pair(input_size), tuple(weight.shape[2:]), dilation, padding, stride)


def input_gradient_by_transposed_matrix(
    output_gradient: Tensor, weight: Tensor, input_size: Pair, **steps: Any
) -> Tensor:
    matrix = convolution.conv_matrix(weight, input_size, **steps)
    flat = output_gradient.flatten(1) @ matrix
    return flat.reshape(len(output_gradient), weight.shape[1], *pair(input_size))


def input_gradient_by_conv_transpose(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Without `output_padding`, so that the last rows are missing where the stride does not divide."""
    return F.conv_transpose2d(output_gradient, weight, None, stride, padding, dilation=dilation)


def input_gradient_through_unflipped_kernel(
    output_gradient: Tensor, weight: Tensor, input_size: Pair, **steps: Any
) -> Tensor:
    return input_gradient_by_autograd(output_gradient, weight.flip([-2, -1]), input_size, **steps)


def input_gradient_set_by_kernel_weights(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Go through the kernel weights, and set instead of adding."""
    height, width = pair(input_size)
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    rows, columns = output_gradient.shape[2:]
    padded = output_gradient.new_zeros(len(output_gradient), weight.shape[1], height + 2 * ph, width + 2 * pw)
    for a in range(weight.shape[2]):
        for b in range(weight.shape[3]):
            part = torch.einsum("nouv,oc->ncuv", output_gradient, weight[:, :, a, b])
            padded[:, :, a * dh : a * dh + rows * sh : sh, b * dw : b * dw + columns * sw : sw] = part
    return padded[:, :, ph : ph + height, pw : pw + width]


def input_gradient_with_negligent_border(
    output_gradient: Tensor, weight: Tensor, input_size: Pair, **steps: Any
) -> Tensor:
    """Right but for the last row of the image."""
    gradient = input_gradient_by_autograd(output_gradient, weight, input_size, **steps)
    return torch.cat([gradient[:, :, :-1], 0 * gradient[:, :, -1:]], dim=2)


def input_gradient_by_kernel_weights(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    flipped: tuple[int, ...] = (),
    cut: tuple[int, int] | None = None,
) -> Tensor:
    """Hand down, weight by weight. flipped: dimensions of the kernel that are flipped though nothing must be.

    cut: where the image begins in the padded one; default: after the padding.
    """
    height, width = pair(input_size)
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    rows, columns = output_gradient.shape[2:]
    weight = weight.flip(flipped)
    padded = output_gradient.new_zeros(len(output_gradient), weight.shape[1], height + 2 * ph, width + 2 * pw)
    for a in range(weight.shape[2]):
        for b in range(weight.shape[3]):
            part = torch.einsum("nohw,oc->nchw", output_gradient, weight[:, :, a, b])
            padded[:, :, a * dh : a * dh + rows * sh : sh, b * dw : b * dw + columns * sw : sw] += part
    top, left = (ph, pw) if cut is None else cut
    return padded[:, :, top : top + height, left : left + width]


def input_gradient_by_places(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    negative: bool = False,
) -> Tensor:
    """Hand down, place by place. negative: whether negative indices are let through."""
    height, width = pair(input_size)
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    found = output_gradient.new_zeros(len(output_gradient), weight.shape[1], height, width)
    for a in range(weight.shape[2]):
        for b in range(weight.shape[3]):
            for u in range(output_gradient.shape[2]):
                for v in range(output_gradient.shape[3]):
                    row, column = sh * u + dh * a - ph, sw * v + dw * b - pw
                    if row < height and column < width and (negative or (row >= 0 and column >= 0)):
                        found[:, :, row, column] += output_gradient[:, :, u, v] @ weight[:, :, a, b]
    return found


def weight_gradient_by_places(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    negative: bool = False,
) -> Tensor:
    """Add up, place by place. negative: whether negative indices are let through."""
    (kh, kw), (height, width) = pair(kernel_size), inputs.shape[2:]
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    found = inputs.new_zeros(output_gradient.shape[1], inputs.shape[1], kh, kw)
    for a in range(kh):
        for b in range(kw):
            for u in range(output_gradient.shape[2]):
                for v in range(output_gradient.shape[3]):
                    row, column = sh * u + dh * a - ph, sw * v + dw * b - pw
                    if row < height and column < width and (negative or (row >= 0 and column >= 0)):
                        found[:, :, a, b] += output_gradient[:, :, u, v].T @ inputs[:, :, row, column]
    return found


def weight_gradient_of_mixed_images(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """An einsum with one letter for the images of the inputs and another for those of the gradient."""
    columns = F.unfold(inputs, kernel_size, dilation, padding, stride).unflatten(1, (-1, *pair(kernel_size)))
    return torch.einsum("ncabj,moj->ocab", columns, output_gradient.flatten(2))


def conv2d_by_kernel_weights(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    replace: bool = False,
    bias_inside: bool = False,
    first_for_all: bool = False,
) -> Tensor:
    """A loop over the kernel, with what goes wrong in it: = for +=, the bias inside, one number for all maps."""
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    x = F.pad(inputs, (pw, pw, ph, ph))
    (kh, kw) = weight.shape[2:]
    rows, columns = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1, (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    out = x.new_zeros(len(x), len(weight), rows, columns)
    added = 0 if bias is None else bias[0] if first_for_all else bias[:, None, None]
    for a in range(kh):
        for b in range(kw):
            met = x[:, :, a * dh : a * dh + (rows - 1) * sh + 1 : sh, b * dw : b * dw + (columns - 1) * sw + 1 : sw]
            part = torch.einsum("ncuv,oc->nouv", met, weight[:, :, a, b]) + (added if bias_inside else 0)
            out = part if replace else out + part
    return out if bias_inside else out + added


def conv2d_through_float32(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, **steps: Any) -> Tensor:
    return F.conv2d(inputs.float(), weight.float(), None if bias is None else bias.float(), **steps).to(inputs.dtype)


def swapped_pairs(function: Any, *names: str) -> Any:
    """Return the function as one calls it who takes columns for rows in the steps `names`."""

    def answer(*arguments: Any, **steps: Any) -> Any:
        turned = {name: pair(steps[name])[::-1] for name in names if name in steps}
        return function(*arguments, **{**steps, **turned})

    return answer


def connections_with_bounds(lower: bool, upper: bool) -> Any:
    """Return an answer that tests only one of the bounds, or ignores a step."""

    def answer(
        kernel_size: Pair, input_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
    ) -> dict[tuple[int, int], Tensor]:
        (height, width), (kh, kw) = pair(input_size), pair(kernel_size)
        (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
        rows, columns = convolution.output_size(input_size, kernel_size, stride, padding, dilation)
        u, v = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        sets = {}
        for a in range(kh):
            for b in range(kw):
                row, column = sh * u + dh * a - ph, sw * v + dw * b - pw
                kept = ((row >= 0) & (column >= 0) | (not lower)) & ((row < height) & (column < width) | (not upper))
                sets[a, b] = torch.stack([(u * columns + v)[kept], (row * width + column)[kept]], 1)
        return sets

    return answer


ALTERNATIVES: dict[str, dict[str, Any]] = {
    "conv2d": {
        "torch": F.conv2d,
        "unfold": conv2d_by_unfold,
        "place by place": conv2d_place_by_place,
        "matrix": conv2d_by_matrix,
        "loop over the kernel": conv2d_by_kernel_weights,
    },
    "connections": {
        "numbered image": connections_by_numbered_image,
        "one-hot kernels": connections_by_one_hot_kernels,
        "grids": connections_with_bounds(lower=True, upper=True),
    },
    "count_parameters": {"torch's layers": counts_of_torch_layers},
    "weight_gradient": {
        "autograd": weight_gradient_by_autograd,
        "torch.nn.grad": weight_gradient_of_torch,
        "unfold": weight_gradient_by_unfold,
        "connection by connection": weight_gradient_over_connections,
        "place by place": weight_gradient_by_places,
    },
    "input_gradient": {
        "autograd": input_gradient_by_autograd,
        "torch.nn.grad": input_gradient_of_torch,
        "fold": input_gradient_by_fold,
        "transposed matrix": input_gradient_by_transposed_matrix,
        "loop over the kernel": input_gradient_by_kernel_weights,
        "place by place": input_gradient_by_places,
    },
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Any] = {
    ("conv2d", "kernel_flipped"): conv2d_flipping_patches,
    ("conv2d", "padding_swapped"): conv2d_padding_rows_first,
    ("conv2d", "bias_subtracted"): conv2d_with_negative_bias,
    ("conv2d", "activation"): lambda *arguments, **options: F.conv2d(*arguments, **options).relu(),
    ("conv2d", "stride_ignored"): lambda *arguments, stride=1, **options: F.conv2d(*arguments, **options),
    ("conv2d", "last_weight_alone"): functools.partial(conv2d_by_kernel_weights, replace=True),
    ("conv2d", "bias_in_the_loop"): functools.partial(conv2d_by_kernel_weights, bias_inside=True),
    ("conv2d", "first_bias_for_all"): functools.partial(conv2d_by_kernel_weights, first_for_all=True),
    ("connections", "wraps_around"): connections_by_flat_offsets,
    ("connections", "lower_bound_not_tested"): connections_with_bounds(lower=False, upper=True),
    ("connections", "upper_bound_not_tested"): connections_with_bounds(lower=True, upper=False),
    ("connections", "stride_ignored_throughout"): lambda *arguments, stride=1, **options: convolution.connections(
        *arguments, **options
    ),
    ("connections", "dilation_ignored_throughout"): lambda *arguments, dilation=1, **options: convolution.connections(
        *arguments, **options
    ),
    ("connections", "stride_swapped"): swapped_pairs(convolution.connections, "stride"),
    ("connections", "padding_swapped"): swapped_pairs(convolution.connections, "padding"),
    ("count_parameters", "channels_exchanged"): lambda c, o, *rest, **options: counts_of_torch_layers(
        o, c, *rest, **options
    ),
    ("count_parameters", "padding_counted_in_local"): counts_with_whole_kernels,
    ("weight_gradient", "mean_of_batch"): weight_gradient_of_the_mean_error,
    ("weight_gradient", "kernel_flipped"): lambda *arguments, **options: weight_gradient_by_autograd(
        *arguments, **options
    ).flip(-1, -2),
    ("weight_gradient", "images_mixed"): weight_gradient_of_mixed_images,
    ("weight_gradient", "wraps_around"): functools.partial(weight_gradient_by_places, negative=True),
    ("weight_gradient", "padding_swapped"): swapped_pairs(weight_gradient_by_places, "padding"),
    ("input_gradient", "padding_swapped"): swapped_pairs(input_gradient_by_places, "padding"),
    ("input_gradient", "stride_swapped"): swapped_pairs(input_gradient_by_places, "stride"),
    ("input_gradient", "all_steps_swapped"): swapped_pairs(input_gradient_by_places, "stride", "padding", "dilation"),
    ("input_gradient", "wraps_around"): functools.partial(input_gradient_by_places, negative=True),
    ("input_gradient", "set_by_weights"): input_gradient_set_by_kernel_weights,
    ("input_gradient", "padding_cut_off_at_the_end"): functools.partial(input_gradient_by_kernel_weights, cut=(0, 0)),
    ("input_gradient", "flipped_in_rows_only"): functools.partial(input_gradient_by_kernel_weights, flipped=(3,)),
    ("input_gradient", "flipped_in_columns_only"): functools.partial(input_gradient_by_kernel_weights, flipped=(2,)),
    ("input_gradient", "surplus_missing"): input_gradient_by_conv_transpose,
    ("input_gradient", "kernel_not_flipped"): input_gradient_through_unflipped_kernel,
}

REJECTED: dict[str, tuple[str, Any, str]] = {
    "in float32": ("conv2d", conv2d_in_float32, r"dtype of your answer is torch.float32"),
    "batch reversed": ("conv2d", conv2d_of_reversed_batch, r"two images, two channels.*numbers are not"),
    "kernel flipped in place": ("conv2d", conv2d_that_flips_back_in_place, r"changed `weight` itself, in place"),
    "float32 on the way": (
        "conv2d",
        conv2d_through_float32,
        r"for which float32 on the way is too coarse: .*numbers are not",
    ),
    "wrong for one stride": ("conv2d", conv2d_of_odd_strides, r"as whole numbers, float64.*numbers are not"),
    "lists": ("connections", connections_as_lists, r"a value of type list \(at key \(0, 0\)\)"),
    "in reverse order": ("connections", connections_backwards, r"This must hold: .*sorted by j"),
    "one connection twice": ("connections", connections_twice, r"This must hold: .*no pair stands twice"),
    "inputs alone": ("connections", connections_in_one_column, r"shape of your answer \(at key \(0, 0\)\) is \(4,\)"),
    "one too many": ("count_parameters", counts_off_by_one, r"the number is not right \(at key"),
    "no names": ("count_parameters", counts_as_tuple, r"a value of type tuple; a dict is asked for"),
    "weights in float32": ("weight_gradient", weight_gradient_in_float32, r"dtype of your answer is torch.float32"),
    "last row forgotten": ("input_gradient", input_gradient_with_negligent_border, r"numbers are not"),
}
