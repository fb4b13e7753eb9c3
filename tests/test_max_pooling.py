"""Max pooling against torch, autograd, finite differences and its own properties; ties and overlaps included."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from course_utils import gradient_methods
from course_utils.max_pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    gradient_check,
    max_pool2d,
    max_pool2d_backward,
    n_maxima,
    numeric_gradient,
    unpool2d,
)

torch.set_num_threads(1)

# What is only moved about must be equal to the last bit. Sums of up to kh * kw gradients may be added up in another
# order than torch's, so they may differ by rounding: a few units in the last place, 2e-16 in float64, 1e-7 in float32.
ROUNDING = {torch.float64: 1e-13, torch.float32: 1e-5}

Pool = tuple[Tensor, tuple[int, int], tuple[int, int] | None]


@st.composite
def pools(draw: st.DrawFn, ties: bool | None = None) -> Pool:
    """Maps (N, C, H, W), a window that fits, and steps (None, smaller than the window, or larger)."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kernel_size = draw(st.integers(1, min(4, height))), draw(st.integers(1, min(4, width)))
    stride = draw(st.none() | st.tuples(st.integers(1, 5), st.integers(1, 5)))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 3)), height, width
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    if draw(st.booleans()) if ties is None else ties:
        maps = torch.randint(-2, 2, shape, generator=generator).to(dtype)
    else:
        # All numbers differ by at least 0.01 and hardly more, so that moving one by 1e-6 changes no maximum.
        maps = torch.randperm(height * width * shape[0] * shape[1], generator=generator).view(shape).to(dtype) / 100 - 1
    return maps, kernel_size, stride


many = settings(max_examples=250, deadline=None, derandomize=True)
some = settings(max_examples=60, deadline=None, derandomize=True)


def signal_like(outputs: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(outputs.shape, dtype=outputs.dtype, generator=torch.Generator().manual_seed(seed))


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float | None = None) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    scale = max(1.0, theirs.abs().max().item())
    assert (ours - theirs).abs().max() <= (tolerance or ROUNDING[ours.dtype]) * scale


def derivative(function, inputs: Tensor, output_gradient: Tensor) -> Tensor:
    """df/dX by autograd."""
    inputs = inputs.clone().requires_grad_()
    return torch.autograd.grad(function(inputs), inputs, output_gradient)[0]


# --- max pooling forward -----------------------------------------------------------------------------------------


@many
@given(pools())
def test_outputs_and_switches_are_torchs(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    outputs, switches = max_pool2d(inputs, kernel_size, stride)
    their_outputs, their_switches = F.max_pool2d(inputs, kernel_size, stride, return_indices=True)
    assert outputs.dtype == inputs.dtype
    assert torch.equal(outputs, their_outputs)
    assert torch.equal(switches, their_switches)


@some
@given(pools())
def test_switches_point_at_the_outputs(pool: Pool) -> None:
    outputs, switches = max_pool2d(*pool)
    assert torch.equal(pool[0].flatten(2).gather(2, switches.flatten(2)), outputs.flatten(2))


@some
@given(pools())
def test_a_loop_over_windows_gives_the_same(pool: Pool) -> None:
    inputs, (kh, kw), stride = pool
    sh, sw = stride or (kh, kw)
    outputs, switches = max_pool2d(*pool)
    width = inputs.shape[3]
    for row in range(outputs.shape[2]):
        for column in range(outputs.shape[3]):
            best, place = None, None
            for i in range(row * sh, row * sh + kh):
                for j in range(column * sw, column * sw + kw):
                    if best is None or inputs[0, 0, i, j] > best:  # not >=: the first one wins
                        best, place = inputs[0, 0, i, j], i * width + j
            assert outputs[0, 0, row, column] == best
            assert switches[0, 0, row, column] == place


@pytest.mark.parametrize(
    ("kernel_size", "stride", "shape", "size"),
    [
        (2, None, (4, 6), (2, 3)),
        (2, None, (5, 7), (2, 3)),
        (3, 2, (5, 7), (2, 3)),
        ((2, 3), None, (4, 9), (2, 3)),
        ((2, 3), (1, 2), (3, 7), (2, 3)),
        (2, 3, (5, 8), (2, 3)),
    ],
)
def test_size_of_the_output(kernel_size, stride, shape, size) -> None:
    outputs, switches = max_pool2d(torch.rand(2, 3, *shape), kernel_size, stride)
    assert outputs.shape == switches.shape == (2, 3, *size)


def test_the_first_maximum_in_reading_order_wins() -> None:
    inputs = torch.tensor([[0.0, 7, 7, 1], [7, 7, 7, 7]])[None, None]
    assert max_pool2d(inputs, 2)[1].tolist() == [[[[1, 2]]]]


def test_a_constant_map_has_its_switches_at_the_windows_first_pixels() -> None:
    assert max_pool2d(torch.ones(1, 1, 4, 6), 2)[1].tolist() == [[[[0, 2, 4], [12, 14, 16]]]]


def test_ints_and_pairs_mean_the_same() -> None:
    inputs = torch.rand(2, 3, 7, 8)
    for ours, theirs in zip(max_pool2d(inputs, 3, 2), max_pool2d(inputs, (3, 3), (2, 2)), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("change", [lambda x: x.transpose(2, 3), lambda x: x[:, ::2], lambda x: x[..., 1:]])
def test_the_layout_in_memory_makes_no_difference(change) -> None:
    inputs = change(torch.rand(2, 4, 8, 8).contiguous(memory_format=torch.channels_last))
    assert torch.equal(max_pool2d(inputs, 2)[1], max_pool2d(inputs.contiguous(), 2)[1])


def test_minus_infinity_is_the_padding_of_torch() -> None:
    inputs = -torch.rand(2, 3, 7, 8)  # zeros would win
    padded = F.pad(inputs, (1, 1, 1, 1), value=-torch.inf)
    assert torch.equal(max_pool2d(padded, 3, 2)[0], F.max_pool2d(inputs, 3, 2, padding=1))


def test_a_window_of_minus_infinity_has_its_switch_at_its_first_pixel() -> None:
    outputs, switches = max_pool2d(torch.full((1, 1, 2, 2), -torch.inf), 2)
    assert outputs.item() == -torch.inf
    assert switches.item() == 0


@some
@given(pools())
def test_n_maxima_counts_the_pixels_that_hold_the_maximum(pool: Pool) -> None:
    inputs, (kh, kw), stride = pool
    windows = F.unfold(inputs.flatten(0, 1).unsqueeze(1), (kh, kw), stride=stride or (kh, kw))
    outputs = max_pool2d(*pool)[0]
    counted = (windows == outputs.flatten(0, 1).flatten(1).unsqueeze(1)).sum(1)
    assert torch.equal(n_maxima(*pool), counted.view(outputs.shape))


def test_a_pixel_that_falls_short_by_a_hair_is_no_tie() -> None:
    inputs = torch.tensor([[1.0, 1 - 1e-7], [1, 0]], dtype=torch.float64)[None, None]
    assert n_maxima(inputs, 2).item() == 2


# --- max pooling backward ----------------------------------------------------------------------------------------


@many
@given(pools())
def test_backward_is_autograds_of_torch(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    outputs, switches = max_pool2d(*pool)
    signal = signal_like(outputs)
    theirs = derivative(lambda x: F.max_pool2d(x, kernel_size, stride), inputs, signal)
    assert_close(max_pool2d_backward(signal, switches, tuple(inputs.shape[2:])), theirs)


@some
@given(pools())
def test_backward_is_autograds_of_our_own_forward(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    outputs, switches = max_pool2d(*pool)
    signal = signal_like(outputs)
    by_autograd = derivative(lambda x: max_pool2d(x, kernel_size, stride)[0], inputs, signal)
    assert_close(max_pool2d_backward(signal, switches, tuple(inputs.shape[2:])), by_autograd)


@some
@given(pools())
def test_backward_keeps_the_sum_of_each_map(pool: Pool) -> None:
    outputs, switches = max_pool2d(*pool)
    signal = signal_like(outputs)
    gradient = max_pool2d_backward(signal, switches, tuple(pool[0].shape[2:]))
    assert_close(gradient.sum((2, 3)), signal.sum((2, 3)))


@some
@given(pools())
def test_backward_gives_only_switches_a_gradient(pool: Pool) -> None:
    outputs, switches = max_pool2d(*pool)
    gradient = max_pool2d_backward(torch.ones_like(outputs), switches, tuple(pool[0].shape[2:]))
    is_switch = torch.zeros_like(gradient, dtype=torch.bool).flatten(2).scatter(2, switches.flatten(2), True)
    assert torch.equal(gradient.flatten(2) > 0, is_switch)


@some
@given(pools())
def test_pooling_is_the_inner_product_with_its_own_gradient(pool: Pool) -> None:
    # Pooling is homogeneous of degree 1 (Euler): f(x) = sum R X_{n+1} = sum x df/dx, ties and overlaps included.
    inputs = pool[0]
    outputs, switches = max_pool2d(*pool)
    signal = signal_like(outputs)
    gradient = max_pool2d_backward(signal, switches, tuple(inputs.shape[2:]))
    assert_close((gradient * inputs).sum((2, 3)), (signal * outputs).sum((2, 3)))


def test_gradients_of_overlapping_windows_add_up() -> None:
    inputs = torch.tensor([[1.0, 3, 2], [5, 4, 0], [2, 6, 1]])[None, None]
    outputs, switches = max_pool2d(inputs, 2, 1)
    assert outputs.tolist() == [[[[5, 4], [6, 6]]]]
    assert switches.tolist() == [[[[3, 4], [7, 7]]]]
    gradient = max_pool2d_backward(torch.tensor([[1.0, 2], [3, 4]])[None, None], switches, 3)
    assert gradient.tolist() == [[[[0, 0, 0], [1, 2, 0], [0, 7, 0]]]]


def test_pixels_that_no_window_sees_get_no_gradient() -> None:
    inputs = torch.rand(1, 1, 5, 7) + torch.arange(35).view(5, 7)
    outputs, switches = max_pool2d(inputs, 2, 3)
    gradient = max_pool2d_backward(torch.ones_like(outputs), switches, (5, 7))
    assert gradient.sum() == outputs.numel()
    assert not gradient[:, :, 2].any()
    assert not gradient[..., [2, 5, 6]].any()


# --- unpooling ---------------------------------------------------------------------------------------------------


@many
@given(pools())
def test_unpooled_maxima_are_torchs(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    outputs, switches = max_pool2d(*pool)
    size = tuple(inputs.shape[2:])
    flat = torch.zeros_like(inputs).flatten(2).scatter(2, switches.flatten(2), outputs.flatten(2))
    assert torch.equal(unpool2d(outputs, switches, size), flat.view_as(inputs))
    if size_is_possible(outputs, kernel_size, stride or kernel_size, size):
        theirs = F.max_unpool2d(outputs, switches, kernel_size, stride, output_size=size)
        assert torch.equal(unpool2d(outputs, switches, size), theirs)


def size_is_possible(outputs: Tensor, kernel_size, stride, size) -> bool:
    """Whether torch takes this output_size: within one step of (outputs - 1) * stride + kernel_size."""
    default = [(n - 1) * s + k for n, s, k in zip(outputs.shape[2:], stride, kernel_size, strict=True)]
    return all(abs(a - b) < s for a, b, s in zip(size, default, stride, strict=True))


def test_torch_is_asked_for_unpooling_often_enough() -> None:
    asked = []

    @many
    @given(pools())
    def count(pool: Pool) -> None:
        inputs, kernel_size, stride = pool
        outputs, _ = max_pool2d(*pool)
        asked.append(size_is_possible(outputs, kernel_size, stride or kernel_size, tuple(inputs.shape[2:])))

    count()
    assert sum(asked) >= 150


@some
@given(pools())
def test_where_windows_share_a_switch_the_last_one_wins_as_in_torch_on_a_cpu(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    outputs, switches = max_pool2d(*pool)
    size = tuple(inputs.shape[2:])
    signal = signal_like(outputs)
    ours = unpool2d(signal, switches, size).flatten(2)
    expected = torch.zeros_like(inputs).flatten(2)
    for n in range(len(inputs)):
        for c in range(inputs.shape[1]):
            for place, value in zip(switches[n, c].flatten(), signal[n, c].flatten(), strict=True):
                expected[n, c, place] = value
    assert torch.equal(ours, expected)
    if size_is_possible(outputs, kernel_size, stride or kernel_size, size):
        theirs = F.max_unpool2d(signal, switches, kernel_size, stride, output_size=size)
        assert torch.equal(ours, theirs.flatten(2))


@some
@given(pools())
def test_unpooling_is_the_backward_pass_where_windows_do_not_overlap(pool: Pool) -> None:
    inputs, kernel_size, _ = pool
    outputs, switches = max_pool2d(inputs, kernel_size)
    signal, size = signal_like(outputs), tuple(inputs.shape[2:])
    assert torch.equal(unpool2d(signal, switches, size), max_pool2d_backward(signal, switches, size))


def test_unpooling_does_not_add_up_what_the_backward_pass_does() -> None:
    inputs = torch.tensor([[1.0, 3, 2], [5, 4, 0], [2, 6, 1]])[None, None]
    outputs, switches = max_pool2d(inputs, 2, 1)
    assert unpool2d(outputs, switches, 3).tolist() == [[[[0, 0, 0], [5, 4, 0], [0, 6, 0]]]]
    assert max_pool2d_backward(outputs, switches, 3).tolist() == [[[[0, 0, 0], [5, 4, 0], [0, 12, 0]]]]


@some
@given(pools())
def test_pooling_the_unpooled_map_of_positive_numbers_gives_the_pooled_map_back(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    inputs = inputs - inputs.min() + 1
    outputs, switches = max_pool2d(inputs, kernel_size, stride)
    again = max_pool2d(unpool2d(outputs, switches, tuple(inputs.shape[2:])), kernel_size, stride)[0]
    assert torch.equal(again, outputs)


def test_negative_maxima_are_unpooled_too() -> None:
    inputs = -1 - torch.rand(1, 2, 4, 4)
    unpooled = unpool2d(*max_pool2d(inputs, 2), 4)
    assert (unpooled < 0).sum() == 8


def test_minus_infinity_is_unpooled_like_any_maximum() -> None:
    outputs = torch.tensor([[-torch.inf, 2.0]])[None, None]
    switches = torch.tensor([[1, 2]])[None, None]
    assert unpool2d(outputs, switches, 2).tolist() == [[[[0, -torch.inf], [2, 0]]]]


# --- the deconvnet of unit 06 ------------------------------------------------------------------------------------


def deconvnet_by_hand(model: nn.Sequential, inputs: Tensor, target: int, through_pool) -> Tensor:
    """Convolution, ReLU, pool, flatten, dense; backward with the deconvnet's ReLU and `through_pool`."""
    convolution, relu, pool, _, dense = model
    maps = relu(convolution(inputs))
    outputs, switches = max_pool2d(maps, pool.kernel_size, pool.stride)
    signal = dense.weight[target].expand(len(inputs), -1).view(outputs.shape)
    signal = through_pool(signal, switches, tuple(maps.shape[2:]))
    signal = gradient_methods.relu_backward(maps, signal, "deconvnet")
    return F.conv_transpose2d(signal, convolution.weight).detach()


def small_network(kernel_size: int, stride: int) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(3)
    pooled = (8 - kernel_size) // stride + 1
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(kernel_size, stride), nn.Flatten(), nn.Linear(4 * pooled**2, 5)
    ).double()
    return model.eval(), torch.rand(2, 3, 10, 10, dtype=torch.float64)


@pytest.mark.parametrize("through_pool", [max_pool2d_backward, unpool2d])
def test_the_deconvnet_goes_back_through_a_pool_by_its_switches(through_pool) -> None:
    model, images = small_network(2, 2)
    assert_close(
        deconvnet_by_hand(model, images, 1, through_pool), gradient_methods.deconvnet(model, images, 1), tolerance=1e-12
    )


def test_where_windows_overlap_the_deconvnet_of_unit_06_adds_up() -> None:
    model, images = small_network(3, 1)
    deconvnet = gradient_methods.deconvnet(model, images, 1)
    assert_close(deconvnet_by_hand(model, images, 1, max_pool2d_backward), deconvnet, tolerance=1e-12)
    unpooled = deconvnet_by_hand(model, images, 1, unpool2d)
    assert (unpooled - deconvnet).abs().max() > 0.1 * deconvnet.abs().max()


# --- average pooling ---------------------------------------------------------------------------------------------


@many
@given(pools())
def test_average_pooling_is_torchs(pool: Pool) -> None:
    assert_close(avg_pool2d(*pool), F.avg_pool2d(*pool))


@many
@given(pools())
def test_backward_through_average_pooling_is_autograds(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    signal = signal_like(avg_pool2d(*pool))
    ours = avg_pool2d_backward(signal, tuple(inputs.shape[2:]), kernel_size, stride)
    assert_close(ours, derivative(lambda x: F.avg_pool2d(x, kernel_size, stride), inputs, signal))


@some
@given(pools())
def test_average_pooling_is_a_convolution_with_equal_weights(pool: Pool) -> None:
    inputs, (kh, kw), stride = pool
    kernel = torch.full((1, 1, kh, kw), 1 / (kh * kw), dtype=inputs.dtype)
    maps = F.conv2d(inputs.flatten(0, 1).unsqueeze(1), kernel, stride=stride or (kh, kw))
    assert_close(avg_pool2d(*pool), maps.view_as(avg_pool2d(*pool)))


@some
@given(pools())
def test_backward_through_average_pooling_keeps_the_sum_of_each_map(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    signal = signal_like(avg_pool2d(*pool))
    gradient = avg_pool2d_backward(signal, tuple(inputs.shape[2:]), kernel_size, stride)
    assert_close(gradient.sum((2, 3)), signal.sum((2, 3)))


# --- finite differences ------------------------------------------------------------------------------------------


@some
@given(pools(ties=False))
def test_away_from_ties_finite_differences_agree_with_the_backward_pass(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    inputs = inputs[:1, :1].double()
    outputs, switches = max_pool2d(inputs, kernel_size, stride)
    signal = signal_like(outputs)
    gradient = max_pool2d_backward(signal, switches, tuple(inputs.shape[2:]))
    _, largest = gradient_check(lambda x: (signal * max_pool2d(x, kernel_size, stride)[0]).sum(), inputs, gradient)
    # Piecewise linear: no error but rounding. |f| < 100, so 100 * 2e-16 / 1e-6 = 2e-8, and a few of them.
    assert largest < 1e-7


@some
@given(pools())
def test_finite_differences_agree_with_average_poolings_backward_everywhere(pool: Pool) -> None:
    inputs, kernel_size, stride = pool
    inputs = inputs[:1, :1].double()
    signal = signal_like(avg_pool2d(inputs, kernel_size, stride))
    gradient = avg_pool2d_backward(signal, tuple(inputs.shape[2:]), kernel_size, stride)
    _, largest = gradient_check(lambda x: (signal * avg_pool2d(x, kernel_size, stride)).sum(), inputs, gradient)
    assert largest < 1e-7  # linear: as above


def largest_of(window: Tensor) -> Tensor:
    """The maximum of one window (1, 1, H, W)."""
    return max_pool2d(window, tuple(window.shape[2:]))[0]


@pytest.mark.parametrize("tied", [2, 3, 4])
@pytest.mark.parametrize(("side", "slope"), [("right", 1.0), ("left", 0.0), ("both", 0.5)])
def test_at_a_tie_the_one_sided_derivatives_differ(tied: int, side: str, slope: float) -> None:
    window = torch.tensor([2.0] * tied + [1.0] * (4 - tied)).double().view(1, 1, 2, 2)
    numeric = numeric_gradient(largest_of, window, side=side).flatten()
    # Upwards a tied pixel becomes the only maximum; downwards the others hold it. "both" is the mean.
    assert_close(numeric, torch.tensor([slope] * tied + [0.0] * (4 - tied)).double(), tolerance=1e-9)


@pytest.mark.parametrize("tied", [2, 3, 4])
def test_at_a_tie_the_backward_pass_takes_one_subgradient(tied: int) -> None:
    window = torch.tensor([2.0] * tied + [1.0] * (4 - tied)).double().view(1, 1, 2, 2)
    gradient = max_pool2d_backward(torch.ones(1, 1, 1, 1).double(), max_pool2d(window, 2)[1], 2)
    assert gradient.flatten().tolist() == [1.0, 0, 0, 0]
    # A subgradient g of the convex maximum: max(x + d) >= max(x) + g.d for every d.
    directions = torch.randn(200, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = max_pool2d(window + directions, 2)[0].flatten()
    assert (moved >= window.max() + (gradient * directions).sum((1, 2, 3)) - 1e-12).all()


def test_at_a_tie_of_three_the_central_difference_is_no_subgradient() -> None:
    window = torch.full((1, 1, 1, 3), 2.0, dtype=torch.float64)
    numeric = numeric_gradient(largest_of, window)
    assert numeric.sum().item() == pytest.approx(1.5, abs=1e-9)  # but if all three grow by d, the maximum grows by d


def test_the_gradient_check_fails_by_a_half_at_a_tie() -> None:
    window = torch.tensor([2.0, 2, 1, 0]).double().view(1, 1, 2, 2)
    gradient = max_pool2d_backward(torch.ones(1, 1, 1, 1).double(), max_pool2d(window, 2)[1], 2)
    assert gradient_check(largest_of, window, gradient)[1] == pytest.approx(0.5, abs=1e-9)


def test_one_sided_derivatives_of_a_constant_map_with_overlapping_windows() -> None:
    def total(x: Tensor) -> Tensor:
        return max_pool2d(x, 2, 1)[0].sum()

    inputs = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    windows_of_pixel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).double()[None, None]
    assert_close(numeric_gradient(total, inputs, side="right"), windows_of_pixel, tolerance=1e-9)
    assert numeric_gradient(total, inputs, side="left").abs().max() < 1e-9
    assert_close(numeric_gradient(total, inputs), windows_of_pixel / 2, tolerance=1e-9)
    switches = max_pool2d(inputs, 2, 1)[1]
    gradient = max_pool2d_backward(torch.ones(1, 1, 2, 2).double(), switches, 3)
    assert gradient.tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]]


def test_the_derivative_of_amax_in_torch_is_another_subgradient() -> None:
    window = torch.tensor([2.0, 2, 1, 0], requires_grad=True)
    assert torch.autograd.grad(window.amax(), window)[0].tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("eps", [0.5, 0.1, 1e-3])
@pytest.mark.parametrize(
    ("side", "error"),
    [("both", lambda x, e: e**2), ("right", lambda x, e: 3 * x * e + e**2), ("left", lambda x, e: -3 * x * e + e**2)],
)
def test_the_difference_quotients_of_a_cube_are_known(side: str, error, eps: float) -> None:
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(1, 2, 3, 2)
    weight = torch.arange(12, dtype=torch.float64).view_as(x)
    numeric = numeric_gradient(lambda y: (weight * y**3).sum(), x, eps, side)
    # Rounding: |f| < 300, so 300 * 2e-16 / 1e-3 = 6e-11.
    assert_close(numeric, weight * (3 * x**2 + error(x, eps)), tolerance=1e-10)


def test_gradient_check_says_how_far_a_wrong_gradient_is_off() -> None:
    x = torch.linspace(-2, 2, 12, dtype=torch.float64)
    wrong = 2 * x
    wrong[5] -= 0.25
    numeric, largest = gradient_check(lambda y: (y**2).sum(), x, wrong)
    assert largest == pytest.approx(0.25, abs=1e-8)
    assert_close(numeric, 2 * x, tolerance=1e-8)


def test_float32_inputs_are_checked_in_float64() -> None:
    x = torch.linspace(-2, 2, 12)
    numeric, largest = gradient_check(lambda y: (y**3).sum(), x, 3 * x**2)
    assert numeric.dtype == torch.float32
    assert largest < 1e-5  # that of float32's own rounding of 3 x^2; differences taken in float32 would be 0.1 off


def test_a_float32_gradient_is_compared_in_float64() -> None:
    # The slope 1 + 3e-8 is 1 in float32, so the error of the gradient 1 shows in float64 only.
    _, largest = gradient_check(lambda y: (1 + 3e-8) * y.sum(), torch.zeros(2), torch.ones(2))
    assert largest == pytest.approx(3e-8, rel=1e-3)


def test_values_are_taken_without_recording_a_graph() -> None:
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    recorded = []

    def function(y: Tensor) -> Tensor:
        recorded.append((weight * y).sum().requires_grad)
        return (weight * y).sum()

    numeric_gradient(function, torch.ones(3, dtype=torch.float64))
    assert recorded == [False] * 6
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 1, 3, 2)])
def test_numeric_gradient_takes_any_shape(shape) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_close(numeric_gradient(lambda y: y.pow(2).sum(), x), 2 * x, tolerance=1e-8)


def test_a_function_may_change_its_argument() -> None:
    def spoil(y: Tensor) -> Tensor:
        value = (y**2).sum()
        y.zero_()
        return value

    x = torch.ones(3, dtype=torch.float64)
    assert_close(numeric_gradient(spoil, x), 2 * x, tolerance=1e-8)


def test_a_plain_number_is_enough() -> None:
    assert numeric_gradient(lambda y: float(y.sum()), torch.ones(2, dtype=torch.float64)).tolist() == pytest.approx(
        [1.0, 1.0]
    )


def test_a_progress_bar_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    numeric_gradient(lambda y: y.sum(), torch.ones(2), progress=True)
    assert "Finite differences" in capsys.readouterr().err
    numeric_gradient(lambda y: y.sum(), torch.ones(2))
    assert not capsys.readouterr().err


# --- what is left alone, and what is refused ---------------------------------------------------------------------


def test_nothing_that_was_given_is_changed() -> None:
    inputs = torch.rand(2, 3, 6, 6)
    signal, switches = max_pool2d(inputs, 3, 2)
    before = inputs.clone(), signal.clone(), switches.clone()
    max_pool2d_backward(signal, switches, 6)
    unpool2d(signal, switches, 6)
    n_maxima(inputs, 2)
    avg_pool2d(inputs, 2)
    avg_pool2d_backward(signal, 6, 3, 2)
    gradient_check(lambda x: x.sum(), inputs, inputs)
    assert all(map(torch.equal, before, (inputs, signal, switches)))


MAPS = torch.rand(2, 3, 6, 8)
SIGNAL, SWITCHES = max_pool2d(MAPS, 2)


def bad(change, value: float = float("nan")) -> Tensor:
    broken = change.clone()
    broken[0, 0, 1, 1] = value
    return broken


REFUSED = {
    "no tensor": (lambda: max_pool2d([[1.0]], 2), TypeError, "inputs must be a float tensor .* got list"),
    "whole numbers": (lambda: max_pool2d(MAPS.long(), 2), TypeError, "inputs must be a float tensor"),
    "one map": (lambda: max_pool2d(MAPS[0, 0], 2), ValueError, "inputs must be a batch"),
    "no batch": (lambda: max_pool2d(MAPS[0], 2), ValueError, r"inputs must be a batch .* use inputs.unsqueeze\(0\)"),
    "NaN": (lambda: max_pool2d(bad(MAPS), 2), ValueError, "inputs must be numbers, got 1 NaN of 288"),
    "NaN, average": (lambda: avg_pool2d(bad(MAPS), 2), ValueError, "inputs must be finite"),
    "infinite, average": (lambda: avg_pool2d(bad(MAPS, torch.inf), 2), ValueError, "inputs must be finite"),
    "NaN, ties": (lambda: n_maxima(bad(MAPS), 2), ValueError, "inputs must be numbers"),
    "window 0": (lambda: max_pool2d(MAPS, 0), ValueError, "kernel_size must be at least 1, got 0"),
    "half a window": (lambda: max_pool2d(MAPS, 1.5), TypeError, "kernel_size must be a whole number .* got float"),
    "three sizes": (lambda: max_pool2d(MAPS, (2, 2, 2)), ValueError, "kernel_size .* got 3 numbers"),
    "stride 0": (lambda: max_pool2d(MAPS, 2, 0), ValueError, "stride must be at least 1, got 0"),
    "negative stride": (lambda: avg_pool2d(MAPS, 2, (1, -2)), ValueError, "stride must be at least 1, got -2"),
    "window too high": (lambda: max_pool2d(MAPS, (7, 1)), ValueError, r"kernel_size \(7, 1\) is larger .* \(6, 8\)"),
    "window too wide": (lambda: avg_pool2d(MAPS, (1, 9)), ValueError, r"kernel_size \(1, 9\) is larger .* \(6, 8\)"),
    "switches of another shape": (
        lambda: max_pool2d_backward(SIGNAL, SWITCHES[:1], (6, 8)),
        ValueError,
        r"switches must have the shape of output_gradient, \(2, 3, 3, 4\), got \(1, 3, 3, 4\)",
    ),
    "switches of another shape, unpooling": (
        lambda: unpool2d(SIGNAL, SWITCHES[..., :2], (6, 8)),
        ValueError,
        "switches must have the shape of outputs",
    ),
    "switches as floats": (
        lambda: max_pool2d_backward(SIGNAL, SWITCHES.float(), (6, 8)),
        TypeError,
        "switches must be a LongTensor .* got dtype torch.float32",
    ),
    "switches as a list": (lambda: unpool2d(SIGNAL, [1], (6, 8)), TypeError, "switches must be .* got list"),
    "switch outside": (
        lambda: max_pool2d_backward(SIGNAL, SWITCHES, (6, 6)),
        ValueError,
        r"map of input_size \(6, 6\), so from 0 to 35, got \d+",
    ),
    "switch just behind the map": (
        lambda: max_pool2d_backward(SIGNAL, torch.full_like(SWITCHES, 48), (6, 8)),
        ValueError,
        "from 0 to 47, got 48",
    ),
    "negative switch": (
        lambda: unpool2d(SIGNAL, torch.full_like(SWITCHES, -1), (6, 8)),
        ValueError,
        "from 0 to 47, got -1",
    ),
    "switches of another whole-number type": (
        lambda: unpool2d(SIGNAL, SWITCHES.int(), (6, 8)),
        TypeError,
        "switches must be a LongTensor .* got dtype torch.int32",
    ),
    "size 0": (lambda: unpool2d(SIGNAL, SWITCHES, 0), ValueError, "input_size must be at least 1"),
    "size of four": (lambda: unpool2d(SIGNAL, SWITCHES, MAPS.shape), ValueError, "input_size .* got 4 numbers"),
    "gradient NaN": (
        lambda: max_pool2d_backward(bad(SIGNAL), SWITCHES, (6, 8)),
        ValueError,
        "output_gradient must be finite",
    ),
    "gradient of another size": (
        lambda: avg_pool2d_backward(SIGNAL, (6, 8), 2, 1),
        ValueError,
        r"output_gradient must have \(5, 7\) windows .* got \(3, 4\)",
    ),
    "average, window too large": (
        lambda: avg_pool2d_backward(SIGNAL, (2, 2), 3),
        ValueError,
        r"kernel_size \(3, 3\) is larger",
    ),
    "several numbers": (
        lambda: numeric_gradient(lambda x: x, MAPS),
        ValueError,
        r"function must return one number, got a tensor of shape \(2, 3, 6, 8\)",
    ),
    "no function": (lambda: numeric_gradient(3, MAPS), TypeError, "function must map a tensor .* got int"),
    "yes or no": (lambda: numeric_gradient(lambda x: True, MAPS), TypeError, "function must return .* got bool"),
    "no number": (lambda: numeric_gradient(lambda x: None, MAPS), TypeError, "function must return .* got NoneType"),
    "point of whole numbers": (
        lambda: numeric_gradient(torch.sum, MAPS.long()),
        TypeError,
        "inputs .* got torch.int64",
    ),
    "point is a list": (lambda: numeric_gradient(torch.sum, [1.0]), TypeError, "inputs .* got list"),
    "point NaN": (
        lambda: numeric_gradient(torch.sum, bad(MAPS)),
        ValueError,
        "inputs must be finite, got 1 NaN or infinite values of 288",
    ),
    "point without numbers": (lambda: numeric_gradient(torch.sum, torch.ones(0)), ValueError, r"got shape \(0,\)"),
    "eps 0": (lambda: numeric_gradient(torch.sum, MAPS, eps=0), ValueError, "eps must be larger than 0"),
    "eps negative": (lambda: numeric_gradient(torch.sum, MAPS, eps=-1.0), ValueError, "eps must be .* got -1.0"),
    "eps too small": (
        lambda: numeric_gradient(torch.sum, torch.full((2,), 1e12), eps=1e-6),
        ValueError,
        "eps is too small: inputs as large as 1e.12",
    ),
    "eps too small on the left": (  # float64 is twice as fine just above -1 as just below it
        lambda: numeric_gradient(torch.sum, -torch.ones(1, dtype=torch.float64), eps=1e-16),
        ValueError,
        "eps is too small",
    ),
    "side": (lambda: numeric_gradient(torch.sum, MAPS, side="top"), ValueError, "side must be one of 'both'.* 'top'"),
    "gradient of another shape": (
        lambda: gradient_check(torch.sum, MAPS[:1], MAPS),
        ValueError,
        r"gradient must have the shape of inputs, \(1, 3, 6, 8\), got \(2, 3, 6, 8\)",
    ),
    "gradient of another layout": (
        lambda: gradient_check(torch.sum, MAPS[:1], MAPS[:1].flatten()),
        ValueError,
        r"gradient must have the shape of inputs, .* got \(144,\)",
    ),
    "complex gradient": (
        lambda: gradient_check(torch.sum, MAPS[:1], MAPS[:1].cfloat()),
        TypeError,
        "gradient must be a float tensor, got dtype torch.complex64",
    ),
    "gradient is a number": (lambda: gradient_check(torch.sum, MAPS[:1], 1.0), TypeError, "gradient must be .* float"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name(case: str) -> None:
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=re.compile(message, re.DOTALL)):
        call()


class Operations(TorchDispatchMode):
    """Notes the names of all operations of torch that are run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.append(str(operation))
        return operation(*args, **(kwargs or {}))


def test_no_pooling_function_of_torch_does_the_work() -> None:
    with Operations() as ours:
        outputs, switches = max_pool2d(MAPS, 3, 2)
        max_pool2d_backward(outputs, switches, (6, 8))
        unpool2d(outputs, switches, (6, 8))
        avg_pool2d_backward(avg_pool2d(MAPS, 3, 2), (6, 8), 3, 2)
        n_maxima(MAPS, 3, 2)
    assert ours.names
    assert not [name for name in ours.names if "pool" in name]
    with Operations() as theirs:
        F.max_pool2d(MAPS, 3, 2)
    assert any("pool" in name for name in theirs.names)
