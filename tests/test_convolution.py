"""Convolution against torch and autograd on drawn shapes, by brute force over the connections, and by its properties.

Most tests use small whole numbers in float64. Their products and sums are exact, so that the results must be equal to
the last bit and need no tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from course_utils import convolution
from course_utils.checking import check_pair

torch.set_num_threads(1)

# The same shapes in every run, so that a failure can be repeated.
few = settings(max_examples=100, deadline=None, derandomize=True)
many = settings(max_examples=300, deadline=None, derandomize=True)


class Layer:
    """A drawn convolution with its numbers: inputs, weight, bias and a gradient that comes back."""

    def __init__(
        self,
        images: int,
        channels: tuple[int, int],
        kernel_size: tuple[int, int],
        input_size: tuple[int, int],
        steps: dict[str, tuple[int, int]],
        seed: int,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)

        def whole_numbers(*shape: int) -> Tensor:
            return torch.randint(-8, 9, shape, generator=generator).double()

        self.kernel_size, self.input_size, self.steps = kernel_size, input_size, steps
        self.inputs = whole_numbers(images, channels[0], *input_size)
        self.weight = whole_numbers(channels[1], channels[0], *kernel_size)
        self.bias = whole_numbers(channels[1])
        self.output_gradient = whole_numbers(*F.conv2d(self.inputs, self.weight, **steps).shape)

    def __repr__(self) -> str:
        return f"Layer(inputs {tuple(self.inputs.shape)}, weight {tuple(self.weight.shape)}, {self.steps})"

    def autograd(self) -> tuple[Tensor, Tensor]:
        """Return dE/dy and dE/dw of torch's own convolution."""
        inputs, weight = self.inputs.clone().requires_grad_(), self.weight.clone().requires_grad_()
        outputs = F.conv2d(inputs, weight, **self.steps)
        return torch.autograd.grad(outputs, (inputs, weight), self.output_gradient)


@st.composite
def layers(draw: Callable[..., Any], largest_padding: int = 5) -> Layer:
    """Draw a convolution; padding may be larger than the kernel, and the stride need not divide."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    kernel_size, dilation, padding = pair(1, 4), pair(1, 3), pair(0, largest_padding)
    smallest = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel_size, dilation, padding, strict=True)]
    more = pair(0, 7)
    return Layer(
        images=draw(st.integers(1, 3)),
        channels=pair(1, 4),
        kernel_size=kernel_size,
        input_size=(smallest[0] + more[0], smallest[1] + more[1]),
        steps={"stride": pair(1, 4), "padding": padding, "dilation": dilation},
        seed=draw(st.integers(0, 2**31)),
    )


# --- against torch ----------------------------------------------------------------------------------------------


@many
@given(layer=layers())
def test_conv2d_equals_torch(layer: Layer) -> None:
    ours = convolution.conv2d(layer.inputs, layer.weight, layer.bias, **layer.steps)
    assert torch.equal(ours, F.conv2d(layer.inputs, layer.weight, layer.bias, **layer.steps))


@many
@given(layer=layers())
def test_weight_gradient_equals_autograd(layer: Layer) -> None:
    ours = convolution.weight_gradient(layer.inputs, layer.output_gradient, layer.kernel_size, **layer.steps)
    assert torch.equal(ours, layer.autograd()[1])


@many
@given(layer=layers())
def test_input_gradient_equals_autograd(layer: Layer) -> None:
    ours = convolution.input_gradient(layer.output_gradient, layer.weight, layer.input_size, **layer.steps)
    assert torch.equal(ours, layer.autograd()[0])


@few
@given(layer=layers())
def test_output_size_is_that_of_torch(layer: Layer) -> None:
    size = convolution.output_size(layer.input_size, layer.kernel_size, **layer.steps)
    assert size == layer.output_gradient.shape[2:]


@pytest.mark.parametrize("stride", [1, 2])
def test_whole_numbers_stand_for_pairs(stride: int) -> None:
    layer = Layer(2, (3, 2), (3, 3), (8, 7), {"stride": (stride, stride), "padding": (2, 2), "dilation": (2, 2)}, 0)
    steps = {"stride": stride, "padding": 2, "dilation": 2}
    gradient = layer.output_gradient
    assert torch.equal(
        convolution.conv2d(layer.inputs, layer.weight, **steps), F.conv2d(layer.inputs, layer.weight, **steps)
    )
    inputs_side, weights_side = layer.autograd()
    assert torch.equal(convolution.weight_gradient(layer.inputs, gradient, 3, **steps), weights_side)
    assert torch.equal(convolution.input_gradient(gradient, layer.weight, (8, 7), **steps), inputs_side)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_inputs(dtype: torch.dtype) -> None:
    layer = Layer(2, (3, 4), (3, 2), (6, 5), {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 1)}, 1)
    inputs, weight, gradient = (x.to(dtype) for x in (layer.inputs, layer.weight, layer.output_gradient))
    results = [
        convolution.conv2d(inputs, weight, **layer.steps),
        convolution.weight_gradient(inputs, gradient, (3, 2), **layer.steps),
        convolution.input_gradient(gradient, weight, (6, 5), **layer.steps),
        convolution.conv_matrix(weight, (6, 5), **layer.steps),
    ]
    assert [result.dtype for result in results] == 4 * [dtype]


def test_float32_is_as_exact_as_torch_on_images() -> None:
    generator = torch.Generator().manual_seed(2)
    inputs, weight = torch.rand(4, 3, 64, 64, generator=generator), torch.randn(16, 3, 7, 7, generator=generator)
    exact = F.conv2d(inputs.double(), weight.double(), padding=3)
    # 147 products of a size up to 4 are added: each addition rounds by 2**-24 of a sum of at most about 40.
    assert (convolution.conv2d(inputs, weight, padding=3) - exact).abs().max() < 147 * 40 * 2**-24


@pytest.mark.parametrize("name", ["horse", "star"])
def test_conv2d_is_the_first_layer_of_a_trained_network(name: str) -> None:
    from course_utils import models, zoo

    layer = models.load("zoo")[0]
    images = zoo.sample(3, seed=1, classes=[name]).images
    with torch.no_grad():
        ours = convolution.conv2d(images, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation)
        right = layer(images)
    assert (ours - right).abs().max() < 1e-5 * right.abs().max()  # float32, 27 products


# --- the sets [ji] ----------------------------------------------------------------------------------------------


def joined(layer: Layer, a: int, b: int) -> list[tuple[int, int]]:
    """Return the connections of the weight (a, b), one output neuron after the other, straight from the definition."""
    height, width = layer.input_size
    rows, columns = layer.output_gradient.shape[2:]
    stride, padding, dilation = (layer.steps[name] for name in ("stride", "padding", "dilation"))
    pairs = []
    for u in range(rows):
        for v in range(columns):
            row = u * stride[0] + a * dilation[0] - padding[0]
            column = v * stride[1] + b * dilation[1] - padding[1]
            if 0 <= row < height and 0 <= column < width:
                pairs.append((u * columns + v, row * width + column))
    return pairs


@few
@given(layer=layers())
def test_connections_are_those_of_the_definition_in_order(layer: Layer) -> None:
    sets = convolution.connections(layer.kernel_size, layer.input_size, **layer.steps)
    kernel = [(a, b) for a in range(layer.kernel_size[0]) for b in range(layer.kernel_size[1])]
    assert list(sets) == kernel
    assert all(list(map(tuple, sets[a, b].tolist())) == joined(layer, a, b) for a, b in kernel)


@few
@given(layer=layers())
def test_connections_are_pairs_of_long_numbers_even_if_there_are_none(layer: Layer) -> None:
    sets = convolution.connections(layer.kernel_size, layer.input_size, **layer.steps)
    assert all(pairs.dtype == torch.long and pairs.dim() == 2 and pairs.shape[1] == 2 for pairs in sets.values())


def test_weight_that_meets_only_padding_has_no_connections() -> None:
    sets = convolution.connections(3, 1, padding=1)
    assert {key for key, pairs in sets.items() if len(pairs)} == {(1, 1)}
    assert sets[0, 0].shape == (0, 2)


@few
@given(layer=layers())
def test_no_connection_has_two_weights(layer: Layer) -> None:
    pairs = torch.cat(list(convolution.connections(layer.kernel_size, layer.input_size, **layer.steps).values()))
    assert len(pairs.unique(dim=0)) == len(pairs)


def test_connections_of_the_two_by_two_kernel_on_three_by_three_pixels() -> None:
    sets = convolution.connections(2, 3)
    assert sets[0, 0].tolist() == [[0, 0], [1, 1], [2, 3], [3, 4]]
    assert sets[1, 0].tolist() == [[0, 3], [1, 4], [2, 6], [3, 7]]


@few
@given(layer=layers())
def test_output_is_the_sum_over_the_connections(layer: Layer) -> None:
    """xi_j = sum over i in j<- of w_ji y_i, one connection after the other, by plain Python numbers."""
    sets = convolution.connections(layer.kernel_size, layer.input_size, **layer.steps)
    sheet, kernel = layer.inputs[0, 0].flatten().tolist(), layer.weight[0, 0].tolist()
    potentials = [0.0] * layer.output_gradient[0, 0].numel()
    for (a, b), pairs in sets.items():
        for j, i in pairs.tolist():
            potentials[j] += kernel[a][b] * sheet[i]
    ours = convolution.conv2d(layer.inputs[:1, :1], layer.weight[:1, :1], **layer.steps)
    assert ours.flatten().tolist() == potentials


@few
@given(layer=layers())
def test_weight_gradient_is_the_sum_over_the_connections(layer: Layer) -> None:
    """dE/dw_ji = sum over (r, q) in [ji] of dE/dxi_r y_q, and over the images, by plain Python numbers."""
    sets = convolution.connections(layer.kernel_size, layer.input_size, **layer.steps)
    ours = convolution.weight_gradient(layer.inputs, layer.output_gradient, layer.kernel_size, **layer.steps)
    for o in range(ours.shape[0]):
        for c in range(ours.shape[1]):
            for (a, b), pairs in sets.items():
                images = zip(layer.inputs[:, c], layer.output_gradient[:, o], strict=True)
                sheets = [(y.flatten().tolist(), back.flatten().tolist()) for y, back in images]
                assert ours[o, c, a, b] == sum(back[r] * y[q] for y, back in sheets for r, q in pairs.tolist())


def test_shared_weight_gradient_is_the_sum_of_the_gradients_of_unshared_weights() -> None:
    """Each connection gets a weight of its own, as a dense layer has; autograd differentiates by each of them."""
    layer = Layer(3, (2, 3), (3, 2), (6, 5), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}, 3)
    matrix = convolution.conv_matrix(layer.weight, layer.input_size, **layer.steps).requires_grad_()
    potentials = layer.inputs.flatten(1) @ matrix.T
    (of_each,) = torch.autograd.grad(potentials, matrix, layer.output_gradient.flatten(1))
    of_each = of_each.reshape(3, -1, 2, 30)
    ours = convolution.weight_gradient(layer.inputs, layer.output_gradient, (3, 2), **layer.steps)
    for (a, b), pairs in convolution.connections((3, 2), (6, 5), **layer.steps).items():
        j, i = pairs.unbind(1)
        assert torch.equal(of_each[:, j, :, i].sum(0), ours[:, :, a, b])


# --- the matrix -------------------------------------------------------------------------------------------------


@few
@given(layer=layers())
def test_matrix_times_image_is_the_convolution(layer: Layer) -> None:
    matrix = convolution.conv_matrix(layer.weight, layer.input_size, **layer.steps)
    outputs = layer.inputs.flatten(1) @ matrix.T
    assert torch.equal(outputs, F.conv2d(layer.inputs, layer.weight, **layer.steps).flatten(1))


@few
@given(layer=layers())
def test_transposed_matrix_times_gradient_is_the_input_gradient(layer: Layer) -> None:
    matrix = convolution.conv_matrix(layer.weight, layer.input_size, **layer.steps)
    ours = convolution.input_gradient(layer.output_gradient, layer.weight, layer.input_size, **layer.steps)
    assert torch.equal(layer.output_gradient.flatten(1) @ matrix, ours.flatten(1))


@few
@given(layer=layers())
def test_matrix_has_one_entry_for_each_connection(layer: Layer) -> None:
    matrix = convolution.conv_matrix(torch.ones_like(layer.weight), layer.input_size, **layer.steps)
    sets = convolution.connections(layer.kernel_size, layer.input_size, **layer.steps)
    pairs_of_maps = layer.weight.shape[0] * layer.weight.shape[1]
    assert matrix.sum() == pairs_of_maps * sum(map(len, sets.values()))


def test_matrix_of_the_two_by_two_kernel_entry_by_entry() -> None:
    matrix = convolution.conv_matrix(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 3)
    assert matrix.tolist() == [
        [1, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1, 2, 0, 3, 4],
    ]


def test_matrix_of_the_padded_three_by_three_kernel_has_the_middle_weight_on_its_diagonal() -> None:
    weight = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    matrix = convolution.conv_matrix(weight, 3, padding=1)
    assert torch.equal(matrix.diagonal(), torch.full((9,), 5.0))
    assert matrix[0].tolist() == [5, 6, 0, 8, 9, 0, 0, 0, 0]


# --- properties -------------------------------------------------------------------------------------------------


@few
@given(layer=layers(), shift=st.tuples(st.integers(-2, 2), st.integers(-2, 2)))
def test_convolution_is_equivariant_to_shifts(layer: Layer, shift: tuple[int, int]) -> None:
    """An image that moves by `shift` strides moves the output by `shift`, if nothing of it leaves the frame."""
    stride, dilation = layer.steps["stride"], layer.steps["dilation"]
    moved = tuple(steps * s for steps, s in zip(shift, stride, strict=True))
    # So much black around the image that both image and kernel stay inside, and that the moved window fits.
    frame = [2 * s + d * k for s, d, k in zip(stride, dilation, layer.kernel_size, strict=True)]
    image = F.pad(layer.inputs, (frame[1], frame[1], frame[0], frame[0]))
    first = convolution.conv2d(image, layer.weight, stride=stride, dilation=dilation)
    second = convolution.conv2d(image.roll(moved, (2, 3)), layer.weight, stride=stride, dilation=dilation)
    assert torch.equal(second[:, :, 2:-2, 2:-2], first.roll(shift, (2, 3))[:, :, 2:-2, 2:-2])


def test_with_a_stride_a_shift_by_one_pixel_is_no_shift_of_the_output() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 4] = 1
    outputs = [convolution.conv2d(x, torch.ones(1, 1, 1, 1), stride=2) for x in (image, image.roll(1, 3))]
    assert outputs[0].sum() == 1
    assert outputs[1].sum() == 0


@few
@given(layer=layers())
def test_forward_and_backward_are_one_bilinear_form(layer: Layer) -> None:
    """sum of dE/dxi xi = sum of dE/dy y = sum of dE/dw w, since xi is linear in y and in w."""
    forward = (convolution.conv2d(layer.inputs, layer.weight, **layer.steps) * layer.output_gradient).sum()
    inputs_side = convolution.input_gradient(layer.output_gradient, layer.weight, layer.input_size, **layer.steps)
    weights_side = convolution.weight_gradient(layer.inputs, layer.output_gradient, layer.kernel_size, **layer.steps)
    assert forward == (inputs_side * layer.inputs).sum() == (weights_side * layer.weight).sum()


def test_kernel_is_not_flipped_on_the_way_forward() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    weight = torch.arange(9.0).reshape(1, 1, 3, 3)
    # A single bright pixel draws the flipped kernel: the output at (1, 1) meets it with the last weight.
    assert torch.equal(convolution.conv2d(image, weight)[0, 0], weight[0, 0].flip(0, 1))


def test_kernel_is_flipped_on_the_way_back() -> None:
    gradient = torch.zeros(1, 1, 3, 3)
    gradient[0, 0, 1, 1] = 1
    weight = torch.arange(9.0).reshape(1, 1, 3, 3)
    ours = convolution.input_gradient(gradient, weight, 5)
    assert torch.equal(ours[0, 0, 1:4, 1:4], weight[0, 0])
    assert torch.equal(ours, convolution.conv2d(gradient, weight.flip(2, 3), padding=2))


@few
@given(layer=layers())
def test_input_gradient_is_the_convolution_with_the_flipped_kernel(layer: Layer) -> None:
    """Zeros between the numbers for the stride, zeros around for the reach of the kernel, the padding cut off."""
    (sh, sw), (ph, pw), dilation = layer.steps["stride"], layer.steps["padding"], layer.steps["dilation"]
    height, width = layer.input_size
    reach = [d * (k - 1) for d, k in zip(dilation, layer.kernel_size, strict=True)]
    gradient = layer.output_gradient
    spread = gradient.new_zeros(*gradient.shape[:2], height + 2 * ph - reach[0], width + 2 * pw - reach[1])
    spread[:, :, ::sh, ::sw] = gradient
    full = F.conv2d(spread, layer.weight.flip(2, 3).transpose(0, 1), padding=reach, dilation=dilation)
    ours = convolution.input_gradient(gradient, layer.weight, layer.input_size, **layer.steps)
    assert torch.equal(ours, full[:, :, ph : ph + height, pw : pw + width])


def test_inputs_that_no_kernel_sees_get_no_gradient() -> None:
    ours = convolution.input_gradient(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), (6, 5), stride=3)
    assert not ours[:, :, 2].any() and not ours[:, :, 5].any() and not ours[:, :, :, 2].any()
    assert ours.sum() == 16


def test_inner_potential_with_the_formal_unit_is_conv2d_with_the_negative_bias() -> None:
    """xi_j = w_j0 y_0 + sum of w_ji y_i with y_0 = 1 and w_j0 = -b_j."""
    y, w, b = torch.tensor([1.0, 2.0, 0.0, 3.0]), torch.tensor([2.0, -1.0, 4.0, 0.5]), 3.0
    by_hand = torch.cat([torch.tensor([-b]), w]) @ torch.cat([torch.ones(1), y])
    by_code = convolution.conv2d(y.reshape(1, 1, 2, 2), w.reshape(1, 1, 2, 2), torch.tensor([-b]))
    assert by_hand.item() == by_code.item() == -1.5


def test_autograd_goes_through_conv2d() -> None:
    layer = Layer(2, (2, 3), (2, 3), (5, 6), {"stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}, 4)
    arguments = [x.requires_grad_() for x in (layer.inputs, layer.weight, layer.bias)]
    ours = convolution.conv2d(*arguments, **layer.steps)
    theirs = F.conv2d(*arguments, **layer.steps)
    for mine, right in zip(
        torch.autograd.grad(ours, arguments, layer.output_gradient),
        torch.autograd.grad(theirs, arguments, layer.output_gradient),
        strict=True,
    ):
        assert torch.equal(mine, right)


def test_autograd_adds_up_the_shared_weights_of_the_matrix() -> None:
    layer = Layer(2, (2, 3), (2, 2), (4, 5), {"stride": (1, 2), "padding": (1, 1), "dilation": (1, 1)}, 5)
    weight = layer.weight.clone().requires_grad_()
    potentials = layer.inputs.flatten(1) @ convolution.conv_matrix(weight, (4, 5), **layer.steps).T
    (gradient,) = torch.autograd.grad(potentials, weight, layer.output_gradient.flatten(1))
    assert torch.equal(gradient, layer.autograd()[1])


# --- how many parameters ----------------------------------------------------------------------------------------


@few
@given(layer=layers(), bias=st.booleans())
def test_parameters_are_those_of_torchs_layers(layer: Layer, bias: bool) -> None:
    out_channels, in_channels = layer.weight.shape[:2]
    counts = convolution.count_parameters(
        in_channels, out_channels, layer.kernel_size, layer.input_size, bias=bias, **layer.steps
    )
    dense = nn.Linear(layer.inputs[0].numel(), layer.output_gradient[0].numel(), bias, device="meta")
    shared = nn.Conv2d(in_channels, out_channels, layer.kernel_size, bias=bias, device="meta", **layer.steps)
    assert counts["dense"] == sum(p.numel() for p in dense.parameters())
    assert counts["shared"] == sum(p.numel() for p in shared.parameters())


@few
@given(layer=layers(), bias=st.booleans())
def test_local_layer_has_a_parameter_for_each_entry_of_the_matrix(layer: Layer, bias: bool) -> None:
    out_channels, in_channels = layer.weight.shape[:2]
    counts = convolution.count_parameters(
        in_channels, out_channels, layer.kernel_size, layer.input_size, bias=bias, **layer.steps
    )
    matrix = convolution.conv_matrix(torch.ones_like(layer.weight), layer.input_size, **layer.steps)
    assert counts["local"] == matrix.count_nonzero() + bias * len(matrix)


def test_parameters_of_a_layer_on_a_huge_image_are_counted_without_listing_its_connections() -> None:
    """A million pixels a side; the kernel leaves the image in one row and one column of places on each side."""
    counts = convolution.count_parameters(1, 1, 3, 10**6, padding=1, bias=False)
    assert counts == {"dense": 10**24, "local": (3 * 10**6 - 2) ** 2, "shared": 9}


def test_parameters_of_a_known_layer() -> None:
    """5 x 5 kernels from 3 x 32 x 32 to 8 x 28 x 28, computed by hand."""
    assert convolution.count_parameters(3, 8, 5, 32) == {
        "dense": 6272 * (3072 + 1),
        "local": 6272 * (75 + 1),
        "shared": 8 * (75 + 1),
    }


def test_counts_are_plain_ints() -> None:
    assert {type(count) for count in convolution.count_parameters(1, 2, 3, 4, bias=False).values()} == {int}


# --- the worked numbers of the lab ----------------------------------------------------------------------------------


def test_worked_numbers_of_the_lab_are_right() -> None:
    def sheet(*rows: list[float]) -> Tensor:
        return torch.tensor(rows)[None, None]

    image, kernel = sheet([1.0, 2, 0], [0, 3, 1]), sheet([1.0, -1], [2, 0])
    assert convolution.output_size((6, 8), 3, stride=2) == (2, 3)
    assert convolution.conv2d(image, kernel, torch.tensor([10.0])).flatten().tolist() == [9, 18]
    assert convolution.connections(2, (2, 3))[1, 0].tolist() == [[0, 3], [1, 4]]
    assert convolution.count_parameters(1, 1, 2, 3) == {"dense": 40, "local": 20, "shared": 5}
    by_weight = convolution.weight_gradient(
        sheet([1.0, 0, 2], [3, 1, 0], [2, 4, 1]), sheet([2.0, -1], [0, 3]), kernel_size=2
    )
    assert by_weight[0, 0].tolist() == [[5, -2], [17, 5]]
    derivatives = sheet([0.0, -1, 0, 2], [1, 1, 3, 1])
    padded = convolution.weight_gradient(sheet([1.0, 0, 2], [3, 1, 0], [2, 4, 1]), derivatives, 2, padding=(0, 1))
    assert padded[0, 0].tolist() == [[9, 4], [12, 8]]
    assert len(convolution.connections(2, 3, padding=(0, 1))[1, 0]) == 6
    assert convolution.output_size((10, 16), (3, 5), (3, 2), (3, 1), (1, 3)) == (5, 3)
    back, row = sheet([1.0, 10]), sheet([2.0, 3, 4])
    assert convolution.input_gradient(back, row, (1, 4)).flatten().tolist() == [2, 23, 34, 40]
    assert convolution.input_gradient(back, row, (1, 5), stride=2).flatten().tolist() == [2, 3, 24, 30, 40]


# --- nothing that the caller passed is changed --------------------------------------------------------------------


def call_all(inputs: Tensor, weight: Tensor, bias: Tensor, gradient: Tensor) -> list[Tensor]:
    """Call every function, for inputs (2, 2, 5, 4) and kernels (3, 2, 2, 3) with padding 1."""
    return [
        convolution.conv2d(inputs, weight, bias, padding=1),
        convolution.weight_gradient(inputs, gradient, (2, 3), padding=1),
        convolution.input_gradient(gradient, weight, (5, 4), padding=1),
        convolution.conv_matrix(weight, (5, 4), padding=1),
    ]


def arguments() -> list[Tensor]:
    generator = torch.Generator().manual_seed(6)
    shapes = [(2, 2, 5, 4), (3, 2, 2, 3), (3,), (2, 3, 6, 4)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_arguments_are_not_changed() -> None:
    given_to_it = arguments()
    before = [x.clone() for x in given_to_it]
    call_all(*given_to_it)
    assert all(torch.equal(x, y) and not x.requires_grad for x, y in zip(given_to_it, before, strict=True))


def test_results_share_no_memory_with_the_arguments() -> None:
    """Even a 1 x 1 kernel, which moves nothing, gives new memory."""
    inputs = torch.ones(1, 1, 3, 3)
    for result in (
        convolution.conv2d(inputs, torch.ones(1, 1, 1, 1)),
        convolution.input_gradient(inputs, torch.ones(1, 1, 1, 1), 3),
    ):
        result.zero_()
    assert inputs.sum() == 9


def test_memory_layout_does_not_matter() -> None:
    usual = arguments()
    other = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in usual]
    for mine, right in zip(call_all(*other), call_all(*usual), strict=True):
        assert torch.allclose(mine, right, rtol=0, atol=1e-12)  # float64; sums of at most 48 numbers, in another order


def test_expanded_tensors_are_accepted() -> None:
    inputs, weight, *_ = arguments()
    one = inputs[:1].expand(2, -1, -1, -1)
    assert torch.equal(convolution.conv2d(one, weight), convolution.conv2d(one.contiguous(), weight))


# --- bad input ----------------------------------------------------------------------------------------------------

X, W, G = torch.ones(2, 3, 6, 5), torch.ones(4, 3, 3, 2), torch.ones(2, 4, 4, 4)

BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no tensor": (lambda: convolution.conv2d([[1.0]], W), TypeError, r"inputs must be a float tensor .* got list"),
    "whole numbers": (lambda: convolution.conv2d(X.long(), W), TypeError, r"inputs .* got dtype torch.int64"),
    "no batch": (lambda: convolution.conv2d(X[0], W), ValueError, r"inputs.unsqueeze\(0\)"),
    "empty batch": (lambda: convolution.conv2d(X[:0], W), ValueError, r"inputs must be a batch"),
    "NaN in the image": (lambda: convolution.conv2d(X / 0 * 0, W), ValueError, r"inputs must be finite, got 180 NaN"),
    "weight is no tensor": (
        lambda: convolution.conv2d(X, np.ones((4, 3, 3, 2))),
        TypeError,
        r"weight must be a float tensor \(O, C, kh, kw\), got ndarray",
    ),
    "weight of whole numbers": (lambda: convolution.conv2d(X, W.int()), TypeError, r"weight .* got dtype torch.int32"),
    "one kernel alone": (lambda: convolution.conv2d(X, W[0, 0]), ValueError, r"weight must have shape .* got \(3, 2\)"),
    "no kernels": (lambda: convolution.conv2d(X, W[:0]), ValueError, r"weight .* got \(0, 3, 3, 2\)"),
    "NaN in the weight": (lambda: convolution.conv2d(X, W / 0), ValueError, r"weight must be finite, got 72"),
    "other dtype": (
        lambda: convolution.conv2d(X, W.double()),
        TypeError,
        r"weight is torch.float64, but inputs is torch.float32: use weight.to\(inputs.dtype\)",
    ),
    "other channels": (
        lambda: convolution.conv2d(X[:, :2], W),
        ValueError,
        r"for inputs of 3 channels, but inputs has 2; groups are not supported",
    ),
    "groups": (lambda: convolution.conv2d(X, W[:3, :1]), ValueError, r"groups are not supported"),
    "bias is a number": (lambda: convolution.conv2d(X, W, 1.0), TypeError, r"bias must be None or a tensor .* float"),
    "bias of another dtype": (
        lambda: convolution.conv2d(X, W, torch.ones(4).double()),
        TypeError,
        r"bias must be .* dtype torch.float32, got dtype torch.float64",
    ),
    "bias of another length": (
        lambda: convolution.conv2d(X, W, torch.ones(3)),
        ValueError,
        r"bias must have shape \(4,\).* got \(3,\)",
    ),
    "NaN in the bias": (lambda: convolution.conv2d(X, W, torch.ones(4) / 0), ValueError, r"bias must be finite"),
    "stride 0": (lambda: convolution.conv2d(X, W, stride=0), ValueError, r"stride must be at least 1, got 0"),
    "stride a float": (
        lambda: convolution.conv2d(X, W, stride=2.0),
        TypeError,
        r"stride must be a whole number or a pair \(rows, columns\) of them, got float",
    ),
    "padding negative": (
        lambda: convolution.conv2d(X, W, padding=(0, -1)),
        ValueError,
        r"padding must be at least 0, got -1",
    ),
    "padding by name": (lambda: convolution.conv2d(X, W, padding="same"), TypeError, r"padding must be .* got str"),
    "dilation 0": (
        lambda: convolution.conv2d(X, W, dilation=(0, 1)),
        ValueError,
        r"dilation must be at least 1, got 0",
    ),
    "dilation of three numbers": (
        lambda: convolution.conv2d(X, W, dilation=(1, 1, 1)),
        ValueError,
        r"dilation must be .* pair .* got 3 numbers",
    ),
    "kernel larger than the input": (
        lambda: convolution.conv2d(X, W, dilation=(3, 1)),
        ValueError,
        r"kernel_size \(3, 2\) with dilation \(3, 1\) spans 7 x 2 pixels.* padded input of 6 x 5",
    ),
    "input size 0": (lambda: convolution.connections(3, (0, 5)), ValueError, r"input_size must be at least 1, got 0"),
    "kernel size 0": (lambda: convolution.connections(0, 5), ValueError, r"kernel_size must be at least 1, got 0"),
    "kernel wider than the input": (lambda: convolution.connections((1, 4), 3), ValueError, r"spans 1 x 4 pixels"),
    "kernel size a bool": (lambda: convolution.connections(True, 5), TypeError, r"kernel_size must be .* got bool"),
    "image instead of its size": (
        lambda: convolution.conv_matrix(W, X),
        TypeError,
        r"input_size must be a whole number or a pair .* got Tensor",
    ),
    "matrix of no kernel": (lambda: convolution.conv_matrix(W[0], 6), ValueError, r"weight must have shape"),
    "NaN in the inputs on the way back": (
        lambda: convolution.weight_gradient(X / 0 * 0, G, (3, 2)),
        ValueError,
        r"inputs must be finite, got 180 NaN",
    ),
    "gradient of another size": (
        lambda: convolution.weight_gradient(X, G, (3, 3)),
        ValueError,
        r"output_gradient must have the shape of the convolution's output, \(2, O, 4, 3\), got \(2, 4, 4, 4\)",
    ),
    "gradient of another batch": (
        lambda: convolution.weight_gradient(X, G[:1], (3, 2)),
        ValueError,
        r"output_gradient must have the shape .* \(2, O, 4, 4\), got \(1, 4, 4, 4\)",
    ),
    "gradient of another dtype": (
        lambda: convolution.weight_gradient(X, G.double(), (3, 2)),
        TypeError,
        r"output_gradient is torch.float64, but inputs is torch.float32",
    ),
    "NaN in the gradient": (
        lambda: convolution.weight_gradient(X, G / 0, (3, 2)),
        ValueError,
        r"output_gradient must be finite",
    ),
    "gradient without batch": (
        lambda: convolution.input_gradient(G[0], W, (6, 5)),
        ValueError,
        r"output_gradient.unsqueeze",
    ),
    "gradient of other channels": (
        lambda: convolution.input_gradient(G[:, :3], W, (6, 5)),
        ValueError,
        r"output_gradient must have the shape .* \(N, 4, 4, 4\), got \(2, 3, 4, 4\)",
    ),
    "input size that does not fit": (
        lambda: convolution.input_gradient(G, W, (5, 6)),
        ValueError,
        r"output_gradient must have the shape .* \(N, 4, 3, 5\)",
    ),
    "weight of another dtype on the way back": (
        lambda: convolution.input_gradient(G, W.double(), (6, 5)),
        TypeError,
        r"weight is torch.float64, but output_gradient is torch.float32",
    ),
    "no channels": (
        lambda: convolution.count_parameters(0, 4, 3, 8),
        ValueError,
        r"in_channels must be at least 1, got 0",
    ),
    "channels a float": (
        lambda: convolution.count_parameters(3, 4.0, 3, 8),
        TypeError,
        r"out_channels must be a whole number, got float",
    ),
    "bias a number": (
        lambda: convolution.count_parameters(3, 4, 3, 8, bias=1),
        TypeError,
        r"bias must be True or False, got int",
    ),
    "kernel that does not fit into the layer": (
        lambda: convolution.count_parameters(3, 4, 9, 8),
        ValueError,
        r"spans 9 x 9 pixels",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_argument_is_named_with_what_came_and_what_was_expected(case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


# --- check_pair, for every unit with kernels ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "pair"),
    [(3, (3, 3)), ((2, 5), (2, 5)), ([2, 5], (2, 5)), (torch.Size([2, 5]), (2, 5)), (np.int64(4), (4, 4))],
)
def test_pair_is_read_from_any_usual_form(value: Any, pair: tuple[int, int]) -> None:
    found = check_pair(value, "stride", 1)
    assert found == pair
    assert {type(number) for number in found} == {int}


@pytest.mark.parametrize(
    "value", [2.0, "3", None, True, (1, 2.5), (1, None), (True, 1), torch.tensor(3), np.array([1, 2])]
)
def test_pair_of_no_whole_numbers_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^stride must be a whole number or a pair \(rows, columns\) of them, got "):
        check_pair(value, "stride", 1)


@pytest.mark.parametrize("value", [(), (1,), [1, 2, 3]])
def test_pair_of_another_length_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^stride must be .* got {len(value)} numbers$"):
        check_pair(value, "stride", 1)


@pytest.mark.parametrize("value", [0, (0, 1), (1, 0), -3])
def test_pair_below_the_least_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^stride must be at least 1, got -?\d$"):
        check_pair(value, "stride", 1)


def test_least_itself_is_allowed() -> None:
    assert check_pair((0, 0), "padding", 0) == (0, 0)
