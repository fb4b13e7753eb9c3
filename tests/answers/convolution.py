"""Answers to the exercises of unit 01 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

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


ALTERNATIVES: dict[str, dict[str, Any]] = {
    "conv2d": {
        "torch": F.conv2d,
        "unfold": conv2d_by_unfold,
        "place by place": conv2d_place_by_place,
        "matrix": conv2d_by_matrix,
    },
    "connections": {
        "numbered image": connections_by_numbered_image,
        "one-hot kernels": connections_by_one_hot_kernels,
    },
    "count_parameters": {"torch's layers": counts_of_torch_layers},
    "weight_gradient": {
        "autograd": weight_gradient_by_autograd,
        "torch.nn.grad": weight_gradient_of_torch,
        "unfold": weight_gradient_by_unfold,
        "connection by connection": weight_gradient_over_connections,
    },
    "input_gradient": {
        "autograd": input_gradient_by_autograd,
        "torch.nn.grad": input_gradient_of_torch,
        "fold": input_gradient_by_fold,
        "transposed matrix": input_gradient_by_transposed_matrix,
    },
}

MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Any] = {
    ("conv2d", "kernel_flipped"): conv2d_flipping_patches,
    ("conv2d", "padding_swapped"): conv2d_padding_rows_first,
    ("conv2d", "bias_subtracted"): conv2d_with_negative_bias,
    ("conv2d", "activation"): lambda *arguments, **options: F.conv2d(*arguments, **options).relu(),
    ("conv2d", "stride_ignored"): lambda *arguments, stride=1, **options: F.conv2d(*arguments, **options),
    ("connections", "wraps_around"): connections_by_flat_offsets,
    ("count_parameters", "padding_counted_in_local"): counts_with_whole_kernels,
    ("weight_gradient", "mean_of_batch"): weight_gradient_of_the_mean_error,
    ("weight_gradient", "kernel_flipped"): lambda *arguments, **options: weight_gradient_by_autograd(
        *arguments, **options
    ).flip(-1, -2),
    ("input_gradient", "surplus_missing"): input_gradient_by_conv_transpose,
    ("input_gradient", "kernel_not_flipped"): input_gradient_through_unflipped_kernel,
}

REJECTED: dict[str, tuple[str, Any, str]] = {
    "in float32": ("conv2d", conv2d_in_float32, r"dtype of your answer is torch.float32"),
    "batch reversed": ("conv2d", conv2d_of_reversed_batch, r"two images, two channels.*numbers are not"),
    "kernel flipped in place": ("conv2d", conv2d_that_flips_back_in_place, r"changed `weight` itself, in place"),
    "wrong for one stride": ("conv2d", conv2d_of_odd_strides, r"as whole numbers, float64: .*numbers are not"),
    "lists": ("connections", connections_as_lists, r"a value of type list \(at key \(0, 0\)\)"),
    "in reverse order": ("connections", connections_backwards, r"This must hold: .*sorted by j"),
    "one connection twice": ("connections", connections_twice, r"This must hold: .*no pair stands twice"),
    "inputs alone": ("connections", connections_in_one_column, r"shape of your answer \(at key \(0, 0\)\) is \(4,\)"),
    "one too many": ("count_parameters", counts_off_by_one, r"the number is not right \(at key"),
    "no names": ("count_parameters", counts_as_tuple, r"a value of type tuple; a dict is asked for"),
    "weights in float32": ("weight_gradient", weight_gradient_in_float32, r"dtype of your answer is torch.float32"),
    "overwritten by weights": (
        "input_gradient",
        input_gradient_set_by_kernel_weights,
        r"This must hold: for any inputs",
    ),
    "last row forgotten": ("input_gradient", input_gradient_with_negligent_border, r"numbers are not"),
}
