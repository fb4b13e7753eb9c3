"""Convolution: the layer whose connections share their weights, forward, backward and as a matrix.

The course's notation: i and j are neurons; xi_j is the inner potential of j and y_j its output; w_ji is the weight of
the connection from i to j; j<- holds all i with an arc to j, and j-> all neurons that have an arc from j. The formal
unit with y_0 = 1 carries the bias: w_j0 = -b_j. So

    xi_j = sum over i in j<- and i = 0 of w_ji y_i = (sum over i in j<- of w_ji y_i) - b_j.

In a convolution many connections share one weight. [ji] is the set of all connections (pairs of neurons) that share
w_ji. This one set explains the whole unit: the derivative of an error E by a shared weight is the sum over its
connections,

    dE/dw_ji = sum over (r, q) in [ji] of dE/dxi_r y_q.

An image of one channel (H, W) is a sheet of neurons, numbered row by row: the neuron at (row, column) has the number
row * W + column. The kernel weight at (a, b) joins the output neuron at (u, v) to the input neuron at

    (stride u + dilation a - padding, stride v + dilation b - padding),

if there is one: on the padding there is no neuron and so no connection. This is torch's convention, a
cross-correlation: the kernel is not flipped on the way forward. It is on the way back.

Sizes and steps (kernel_size, stride, padding, dilation, input_size) are a whole number or a pair (rows, columns).
Padding is with zeros, on both sides. Groups are not supported: each output channel sees all input channels.

Sources: LeCun et al. 1989 (shared weights), Dumoulin and Visin 2016 (the arithmetic of sizes and of the way back).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from course_utils.checking import check_count, check_finite, check_inputs, check_pair

Pair = int | tuple[int, int]


# ---------------------------------------------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------------------------------------------


def output_size(
    input_size: Pair, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> tuple[int, int]:
    """Return how many output neurons a convolution has: in how many places the kernel fits.

    In each direction H' = floor((H + 2 padding - dilation (k - 1) - 1) / stride) + 1.

    Args:
        input_size: (H, W), in pixels.
        kernel_size: (kh, kw), in weights.
        stride: step from one place of the kernel to the next, in pixels.
        padding: zeros added on each side, in pixels.
        dilation: step from one weight of the kernel to the next, in pixels.

    Returns:
        (H', W').

    Raises:
        TypeError, ValueError: a bad argument, by name; the kernel fits nowhere.

    Source: Dumoulin and Visin 2016, section 2.4 and chapter 5.
    """
    input_size = check_pair(input_size, "input_size", 1)
    kernel_size = check_pair(kernel_size, "kernel_size", 1)
    stride = check_pair(stride, "stride", 1)
    padding = check_pair(padding, "padding", 0)
    dilation = check_pair(dilation, "dilation", 1)
    padded = [size + 2 * p for size, p in zip(input_size, padding, strict=True)]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    if padded[0] < spans[0] or padded[1] < spans[1]:
        raise ValueError(
            f"kernel_size {kernel_size} with dilation {dilation} spans {spans[0]} x {spans[1]} pixels, which is more "
            f"than the padded input of {padded[0]} x {padded[1]} pixels"
        )
    rows, columns = ((n - span) // s + 1 for n, span, s in zip(padded, spans, stride, strict=True))
    return rows, columns


def count_parameters(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    bias: bool = True,
) -> dict[str, int]:
    """Return how many parameters a layer has if it is dense, if it is local, and if it shares its weights as well.

    All three layers have the same neurons, C * H * W of them below and O * H' * W' above:

    - "dense": each output neuron is joined to all input neurons;
    - "local": it is joined only to those under its kernel, by weights of its own (and to nothing on the padding);
    - "shared": all places of an output map use the same kernel and the same bias. This is the convolution.

    From "dense" to "local" one saves by seeing little, from "local" to "shared" by sharing.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: (kh, kw).
        input_size: (H, W).
        stride, padding, dilation: as in `output_size`.
        bias: whether there are weights w_j0 from the formal unit: one for each output neuron, shared in an output map.

    Returns:
        {"dense": int, "local": int, "shared": int}.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the course's lecture on convolutional networks; LeCun et al. 1989.
    """
    in_channels = check_count(in_channels, "in_channels")
    out_channels = check_count(out_channels, "out_channels")
    if not isinstance(bias, bool):
        raise TypeError(f"bias must be True or False, got {type(bias).__name__}")
    height, width = check_pair(input_size, "input_size", 1)
    kernel_height, kernel_width = check_pair(kernel_size, "kernel_size", 1)
    rows, columns = _positions(kernel_size, input_size, stride, padding, dilation)  # (kh, H') and (kw, W')
    # All sets [ji] together: rows and columns leave the image each for themselves, so no set need be written down.
    joined = int(((rows >= 0) & (rows < height)).sum()) * int(((columns >= 0) & (columns < width)).sum())
    outputs = out_channels * rows.shape[1] * columns.shape[1]
    return {
        "dense": outputs * (in_channels * height * width + bias),
        "local": out_channels * in_channels * joined + outputs * bias,
        "shared": out_channels * (in_channels * kernel_height * kernel_width + bias),
    }


# ---------------------------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------------------------


def conv2d(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return the inner potentials of a convolution: xi_j = sum over i of w_ji y_i, with the weights of one kernel.

    Args:
        inputs: outputs y_i of the layer below, (N, C, H, W).
        weight: kernels w, (O, C, kh, kw), in the dtype of `inputs`.
        bias: (O,), added as in torch: it is w_j0, the weight from the formal unit y_0 = 1, and so the course's -b_j.
        stride, padding, dilation: as in `output_size`.

    Returns:
        (N, O, H', W'), differentiable by autograd.

    Raises:
        TypeError, ValueError: a bad argument, by name; dtypes or channels that do not fit together.

    Source: LeCun et al. 1989; the course's lecture on convolutional networks.
    """
    check_inputs(inputs)
    _check_weight(weight, inputs, "inputs", inputs.shape[1])
    windows = _windows(inputs, tuple(weight.shape[2:]), stride, padding, dilation)
    potentials = torch.einsum("ncaubv,ocab->nouv", windows, weight)
    if bias is None:
        return potentials
    _check_bias(bias, weight)
    return potentials + bias[:, None, None]


def connections(
    kernel_size: Pair, input_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> dict[tuple[int, int], Tensor]:
    """Return for each kernel weight the set [ji] of all connections that share it.

    They lead from one input map to one output map: with more channels, each pair of maps has its own kernel.

    Args:
        kernel_size, input_size, stride, padding, dilation: as in `output_size`.

    Returns:
        {(a, b): LongTensor (n, 2)} for each kernel row a and column b. Each line is one connection: the number j of an
        output neuron (row * W' + column) and the number i of an input neuron (row * W + column), sorted by j. On the
        padding there is no neuron, so that n differs from weight to weight, and can be 0.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the course's lecture on convolutional networks, the set [ji].
    """
    rows, columns = _positions(kernel_size, input_size, stride, padding, dilation)  # (kh, H') and (kw, W')
    height, width = check_pair(input_size, "input_size", 1)
    output_neurons = torch.arange(rows.shape[1] * columns.shape[1]).reshape(rows.shape[1], columns.shape[1])
    sets = {}
    for a, row in enumerate(rows):
        for b, column in enumerate(columns):
            input_neurons = row[:, None] * width + column
            exists = ((row >= 0) & (row < height))[:, None] & (column >= 0) & (column < width)
            sets[a, b] = torch.stack([output_neurons[exists], input_neurons[exists]], dim=1)
    return sets


def conv_matrix(weight: Tensor, input_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    """Return the convolution as the matrix of a dense layer, with w_ji in row j and column i, or 0 without connection.

    For one image, matrix @ image.flatten() is conv2d(image[None], weight)[0].flatten(). One row is one output neuron,
    and each shared weight stands once for every connection of its set [ji].

    Args:
        weight: kernels, (O, C, kh, kw).
        input_size: (H, W).
        stride, padding, dilation: as in `output_size`.

    Returns:
        (O * H' * W', C * H * W), dense, in the dtype of `weight`; differentiable by autograd.

    Raises:
        TypeError, ValueError: a bad argument, by name.

    Source: the course's lecture on dropout; Dumoulin and Visin 2016, section 4.1.
    """
    _check_weight(weight)
    out_channels, in_channels, *kernel_size = weight.shape
    height, width = check_pair(input_size, "input_size", 1)
    rows, columns = output_size((height, width), kernel_size, stride, padding, dilation)
    matrix = weight.new_zeros(out_channels, rows * columns, in_channels, height * width)
    for (a, b), pairs in connections(kernel_size, (height, width), stride, padding, dilation).items():
        j, i = pairs.to(weight.device).unbind(1)
        matrix[:, j, :, i] = weight[:, :, a, b]  # the same O x C weights in all connections
    return matrix.reshape(out_channels * rows * columns, in_channels * height * width)


# ---------------------------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------------------------


def weight_gradient(
    inputs: Tensor,
    output_gradient: Tensor,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return the derivative of an error by the shared weights, dE/dw_ji = sum over (r, q) in [ji] of dE/dxi_r y_q.

    Args:
        inputs: outputs y of the layer below, (N, C, H, W).
        output_gradient: dE/dxi, (N, O, H', W'), in the dtype of `inputs`.
        kernel_size: (kh, kw).
        stride, padding, dilation: as in `output_size`.

    Returns:
        (O, C, kh, kw), also summed over the images of the batch, since they share the weights too. In units of the
        error per unit of weight.

    Raises:
        TypeError, ValueError: a bad argument, by name; sizes that do not fit together.

    Source: the course's lecture on convolutional networks, the set [ji]; LeCun et al. 1989.
    """
    check_inputs(inputs)
    _check_gradient(output_gradient, inputs, "inputs")
    windows = _windows(inputs, kernel_size, stride, padding, dilation)
    n_images, (rows, columns) = len(inputs), (windows.shape[3], windows.shape[5])
    _check_shape(output_gradient, (n_images, None, rows, columns))
    return torch.einsum("nouv,ncaubv->ocab", output_gradient, windows)


def input_gradient(
    output_gradient: Tensor,
    weight: Tensor,
    input_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Return the derivative of an error by the inputs, dE/dy_i = sum over j in i-> of dE/dxi_j w_ji.

    Each connection hands its share down to its input, where the shares add up. Seen from the inputs this is a
    convolution with the flipped kernel, in which input and output channels change places: the output one place further
    has the input under the weight one place before. With a stride there are zeros between the numbers of
    `output_gradient`, for the places that the kernel left out. They hand nothing down, and are not computed here.

    Args:
        output_gradient: dE/dxi, (N, O, H', W').
        weight: kernels, (O, C, kh, kw), in the dtype of `output_gradient`.
        input_size: (H, W). It must be told: with a stride, inputs of several sizes give an output of the same size.
        stride, padding, dilation: as in `output_size`.

    Returns:
        (N, C, H, W), in units of the error per unit of input; 0 for an input that no kernel sees.

    Raises:
        TypeError, ValueError: a bad argument, by name; sizes, dtypes or channels that do not fit together.

    Source: Dumoulin and Visin 2016, chapter 4.
    """
    check_inputs(output_gradient, "output_gradient")
    _check_weight(weight, output_gradient, "output_gradient")
    height, width = check_pair(input_size, "input_size", 1)
    rows, columns = output_size((height, width), tuple(weight.shape[2:]), stride, padding, dilation)
    _check_shape(output_gradient, (None, len(weight), rows, columns))
    (step_rows, step_columns), (above, left) = check_pair(stride, "stride", 1), check_pair(padding, "padding", 0)
    down, right = check_pair(dilation, "dilation", 1)

    shares = torch.einsum("nouv,ocab->abncuv", output_gradient, weight)
    padded = shares.new_zeros(len(output_gradient), weight.shape[1], height + 2 * above, width + 2 * left)
    for a, b in itertools.product(*map(range, weight.shape[2:])):
        met_rows = slice(down * a, down * a + step_rows * rows, step_rows)
        met_columns = slice(right * b, right * b + step_columns * columns, step_columns)
        padded[:, :, met_rows, met_columns] += shares[a, b]  # one weight meets an input at most once
    return padded[:, :, above : above + height, left : left + width]  # what flows to the padding is lost


# ---------------------------------------------------------------------------------------------------------------
# What stands under the kernel
# ---------------------------------------------------------------------------------------------------------------


def _positions(
    kernel_size: Pair, input_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[Tensor, Tensor]:
    """Return the input rows (kh, H') and columns (kw, W') that each kernel row or column meets at each output place.

    Row a of the kernel meets the input row stride u + dilation a - padding at the output row u. It is negative, or too
    large for the input, where it lies on the padding.
    """
    sizes = output_size(input_size, kernel_size, stride, padding, dilation)
    kernel_size = check_pair(kernel_size, "kernel_size", 1)
    stride = check_pair(stride, "stride", 1)
    padding = check_pair(padding, "padding", 0)
    dilation = check_pair(dilation, "dilation", 1)
    rows, columns = (
        s * torch.arange(n) + d * torch.arange(k)[:, None] - p
        for n, k, s, p, d in zip(sizes, kernel_size, stride, padding, dilation, strict=True)
    )
    return rows, columns


def _windows(inputs: Tensor, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """Return what stands under each kernel weight (a, b) at each output place (u, v): (N, C, kh, H', kw, W').

    Nothing is copied but the padded image. The result reads its memory with other steps: one kernel row further is
    `dilation` image rows further, and one output row further is `stride` image rows further.
    """
    n_images, channels, height, width = inputs.shape
    rows, columns = output_size((height, width), kernel_size, stride, padding, dilation)
    kernel_rows, kernel_columns = check_pair(kernel_size, "kernel_size", 1)
    (above, left), (down, right) = check_pair(padding, "padding", 0), check_pair(dilation, "dilation", 1)
    step_rows, step_columns = check_pair(stride, "stride", 1)
    padded = inputs.new_zeros(n_images, channels, height + 2 * above, width + 2 * left)
    padded[:, :, above : above + height, left : left + width] = inputs
    image, channel, row, column = padded.stride()  # how far apart in memory the neighbours in each dimension are
    return padded.as_strided(
        (n_images, channels, kernel_rows, rows, kernel_columns, columns),
        (image, channel, down * row, step_rows * row, right * column, step_columns * column),
    )


# ---------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------


def _check_weight(weight: Tensor, like: Tensor | None = None, name: str = "", in_channels: int | None = None) -> None:
    """Check that `weight` holds kernels (O, C, kh, kw) in the dtype of `like`, for inputs of `in_channels` channels."""
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        came = f"dtype {weight.dtype}" if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"weight must be a float tensor (O, C, kh, kw), got {came}")
    if weight.dim() != 4 or weight.numel() == 0:
        raise ValueError(f"weight must have shape (O, C, kh, kw) and at least one number, got {tuple(weight.shape)}")
    check_finite(weight, "weight")
    if like is not None and weight.dtype != like.dtype:
        raise TypeError(f"weight is {weight.dtype}, but {name} is {like.dtype}: use weight.to({name}.dtype)")
    if in_channels is not None and weight.shape[1] != in_channels:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}, for inputs of {weight.shape[1]} channels, but inputs has "
            f"{in_channels}; groups are not supported"
        )


def _check_bias(bias: Tensor, weight: Tensor) -> None:
    if not isinstance(bias, Tensor) or bias.dtype != weight.dtype:
        came = f"dtype {bias.dtype}" if isinstance(bias, Tensor) else type(bias).__name__
        raise TypeError(f"bias must be None or a tensor (O,) of dtype {weight.dtype}, got {came}")
    if bias.shape != (len(weight),):
        raise ValueError(
            f"bias must have shape ({len(weight)},), one number an output channel, got {tuple(bias.shape)}"
        )
    check_finite(bias, "bias")


def _check_gradient(output_gradient: Tensor, like: Tensor, name: str) -> None:
    check_inputs(output_gradient, "output_gradient")
    if output_gradient.dtype != like.dtype:
        raise TypeError(
            f"output_gradient is {output_gradient.dtype}, but {name} is {like.dtype}: "
            f"use output_gradient.to({name}.dtype)"
        )


def _check_shape(output_gradient: Tensor, expected: tuple[int | None, ...]) -> None:
    """Check the sizes of (N, O, H', W') that are known; None stands for one that may be anything."""
    if any(size is not None and size != came for size, came in zip(expected, output_gradient.shape, strict=True)):
        names = [name if size is None else str(size) for name, size in zip("NOHW", expected, strict=True)]
        raise ValueError(
            f"output_gradient must have the shape of the convolution's output, ({', '.join(names)}), "
            f"got {tuple(output_gradient.shape)}"
        )
