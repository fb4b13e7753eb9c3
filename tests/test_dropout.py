"""Dropout against the course document's matrices, torch's own dropout, exact enumeration of the masks, and its laws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import sympy
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from course_utils import models, zoo
from course_utils.convolution import conv_matrix
from course_utils.dropout import (
    conv_dropout_matrix,
    dense_dropout,
    dropout,
    mc_dropout,
    mc_probabilities,
    mutual_information,
    predictive_entropy,
    spatial_dropout,
    weights_without_gradient,
)

torch.set_num_threads(1)

# A statistical test below fails by chance with at most this probability. The seeds are fixed, so that a test that
# passes once passes always; the rate says how likely a right change of the code (other draws) meets a false alarm.
FALSE_ALARM = 1e-5


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------------------------------------
# The matrices of the course document 004, entry by entry
# ---------------------------------------------------------------------------------------------------------------------

TWO_BY_TWO = """
w1 w2 0  w3 w4 0  0  0  0
0  w1 w2 0  w3 w4 0  0  0
0  0  0  w1 w2 0  w3 w4 0
0  0  0  0  w1 w2 0  w3 w4
"""
PADDED = """
w5 w6 0  w8 w9 0  0  0  0
w4 w5 w6 w7 w8 w9 0  0  0
0  w4 w5 0  w7 w8 0  0  0
w2 w3 0  w5 w6 0  w8 w9 0
w1 w2 w3 w4 w5 w6 w7 w8 w9
0  w1 w2 0  w4 w5 0  w7 w8
0  0  0  w2 w3 0  w5 w6 0
0  0  0  w1 w2 w3 w4 w5 w6
0  0  0  0  w1 w2 0  w4 w5
"""
PADDED_WITH_R = """
r1*w5 r2*w6 0     r4*w8 r5*w9 0     0     0     0
r1*w4 r2*w5 r3*w6 r4*w7 r5*w8 r6*w9 0     0     0
0     r2*w4 r3*w5 0     r5*w7 r6*w8 0     0     0
r1*w2 r2*w3 0     r4*w5 r5*w6 0     r7*w8 r8*w9 0
r1*w1 r2*w2 r3*w3 r4*w4 r5*w5 r6*w6 r7*w7 r8*w8 r9*w9
0     r2*w1 r3*w2 0     r5*w4 r6*w5 0     r8*w7 r9*w8
0     0     0     r4*w2 r5*w3 0     r7*w5 r8*w6 0
0     0     0     r4*w1 r5*w2 r6*w3 r7*w4 r8*w5 r9*w6
0     0     0     0     r5*w1 r6*w2 0     r8*w4 r9*w5
"""
EXAMPLES = {"2x2 on 3x3": (TWO_BY_TWO, 2, 0), "padded 3x3 on 3x3": (PADDED, 3, 1)}
X, R = sympy.symbols("x1:10"), sympy.symbols("r1:10")


def document(text: str) -> sympy.Matrix:
    return sympy.Matrix([[sympy.sympify(entry) for entry in line.split()] for line in text.strip().splitlines()])


def symbolic_convolution(kernel_size: int, padding: int, inputs: list[sympy.Expr]) -> sympy.Matrix:
    """Return the outputs y_j of a convolution over nine inputs, from its definition as a sum over the window."""
    w = sympy.symbols(f"w1:{kernel_size**2 + 1}")
    size = 3 + 2 * padding - kernel_size + 1
    outputs = []
    for row, column in itertools.product(range(size), repeat=2):
        terms = []
        for a, b in itertools.product(range(kernel_size), repeat=2):
            i, j = row + a - padding, column + b - padding
            if 0 <= i < 3 and 0 <= j < 3:
                terms.append(w[kernel_size * a + b] * inputs[3 * i + j])
        outputs.append(sum(terms))
    return sympy.Matrix(outputs)


def numbers(expressions: sympy.Matrix, values: dict[str, float]) -> Tensor:
    return torch.tensor(expressions.subs(values).tolist(), dtype=torch.float64)


def drawn_weights(kernel_size: int, seed: int) -> tuple[Tensor, dict[str, float]]:
    weight = torch.randn(kernel_size, kernel_size, generator=source(seed), dtype=torch.float64)
    return weight[None, None], {f"w{k + 1}": value for k, value in enumerate(weight.flatten().tolist())}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_documents_matrix_is_the_jacobian_of_the_convolution(example: str) -> None:
    text, kernel_size, padding = EXAMPLES[example]
    assert symbolic_convolution(kernel_size, padding, list(X)).jacobian(X) == document(text)


def test_the_documents_matrix_with_r_is_the_jacobian_of_the_convolution_of_what_is_kept() -> None:
    kept = [r * x for r, x in zip(R, X, strict=True)]
    assert symbolic_convolution(3, 1, kept).jacobian(X) == document(PADDED_WITH_R)


def test_the_documents_matrix_with_r_is_the_product_of_its_matrix_and_r() -> None:
    assert document(PADDED) * sympy.diag(*R) == document(PADDED_WITH_R)


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("seed", range(3))
def test_conv_matrix_has_the_documents_entries(example: str, seed: int) -> None:
    text, kernel_size, padding = EXAMPLES[example]
    weight, values = drawn_weights(kernel_size, seed)
    # The same float64 numbers are copied to their places: exact.
    assert torch.equal(conv_matrix(weight, (3, 3), padding=padding), numbers(document(text), values))


@pytest.mark.parametrize("seed", range(20))
def test_conv_dropout_matrix_has_the_documents_entries(seed: int) -> None:
    weight, values = drawn_weights(3, seed)
    keep = torch.rand(1, 3, 3, generator=source(100 + seed)) < 0.5
    values |= {f"r{i + 1}": int(r) for i, r in enumerate(keep.flatten())}
    assert torch.equal(conv_dropout_matrix(weight, keep, padding=1), numbers(document(PADDED_WITH_R), values))


def test_every_entry_of_the_matrix_with_r_is_r_i_of_its_column_times_a_weight() -> None:
    with_r, plain = document(PADDED_WITH_R), document(PADDED)
    assert all(with_r[j, i] == R[i] * plain[j, i] for j in range(9) for i in range(9))


def test_dense_dropout_is_the_documents_w_r() -> None:
    w = torch.randn(9, 9, generator=source(), dtype=torch.float64)
    keep = torch.rand(9, generator=source(1)) < 0.5
    expected = sympy.Matrix(9, 9, lambda j, i: int(keep[i]) * sympy.Float(w[j, i].item()))  # r_i w_ij, column i
    assert torch.equal(dense_dropout(w, keep), torch.tensor(expected.tolist(), dtype=torch.float64))


def test_with_r_1_alone_only_the_first_column_is_left() -> None:
    w = torch.randn(9, 9, generator=source())
    matrix = dense_dropout(w, torch.arange(9) == 0)
    assert torch.equal(matrix[:, 0], w[:, 0])
    assert not matrix[:, 1:].any()


# ---------------------------------------------------------------------------------------------------------------------
# Dropout as a matrix, on any shape
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (4, 1), (1, 1)])
def test_dense_dropout_times_h_is_the_layer_without_the_dropped_units(shape: tuple[int, int], dtype: Any) -> None:
    w = torch.randn(shape, generator=source(), dtype=dtype)
    h = torch.randn(shape[1], generator=source(1), dtype=dtype)
    keep = torch.rand(shape[1], generator=source(2)) < 0.5
    came = dense_dropout(w, keep)
    assert came.dtype == dtype
    # Sums of at most 5 products in another order.
    torch.testing.assert_close(came @ h, w[:, keep] @ h[keep], rtol=1e-5, atol=1e-6)


SHAPES = [  # (O, C, kh, kw), (H, W), padding
    ((1, 1, 2, 2), (3, 3), 0),
    ((2, 3, 3, 3), (5, 4), 1),
    ((3, 2, 1, 4), (3, 6), 0),
    ((1, 2, 4, 1), (4, 2), (2, 0)),
    ((2, 1, 3, 2), (2, 5), (1, 2)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kernel", "size", "padding"), SHAPES)
def test_conv_dropout_matrix_times_x_is_torchs_convolution_of_what_is_kept(
    kernel: tuple[int, ...], size: tuple[int, int], padding: Any, dtype: Any
) -> None:
    weight = torch.randn(kernel, generator=source(), dtype=dtype)
    x = torch.randn(1, kernel[1], *size, generator=source(1), dtype=dtype)
    keep = torch.rand(kernel[1], *size, generator=source(2)) < 0.6
    came = conv_dropout_matrix(weight, keep, padding)
    expected = functional.conv2d(x * keep, weight, padding=padding)
    assert came.dtype == dtype
    # Sums of at most 27 products in another order.
    torch.testing.assert_close(came @ x.flatten(), expected.flatten(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "size", "padding"), SHAPES)
def test_each_dropped_input_empties_its_column_and_no_other(
    kernel: tuple[int, ...], size: tuple[int, int], padding: Any
) -> None:
    weight = torch.rand(kernel, generator=source()) + 0.5
    whole = conv_matrix(weight, size, padding=padding)
    keep = torch.rand(kernel[1], *size, generator=source(2)) < 0.6
    came = conv_dropout_matrix(weight, keep, padding)
    assert torch.equal(came[:, keep.flatten()], whole[:, keep.flatten()])
    assert not came[:, ~keep.flatten()].any()


def test_with_everything_kept_the_matrices_are_the_plain_ones() -> None:
    weight = torch.randn(2, 3, 3, 3, generator=source())
    keep = torch.ones(3, 4, 5, dtype=torch.bool)
    assert torch.equal(conv_dropout_matrix(weight, keep, 1), conv_matrix(weight, (4, 5), padding=1))
    assert torch.equal(dense_dropout(weight[0, 0], keep[0, 0, :3]), weight[0, 0])


def test_the_matrices_leave_their_arguments_alone() -> None:
    weight, keep = torch.randn(1, 1, 3, 3, generator=source()), torch.eye(3, dtype=torch.bool)[None]
    before = weight.clone(), keep.clone()
    conv_dropout_matrix(weight, keep, 1).zero_()
    dense_dropout(weight[0, 0], keep[0, 0]).zero_()
    weights_without_gradient(keep, 3, 1).zero_()
    assert torch.equal(weight, before[0])
    assert torch.equal(keep, before[1])


# ---------------------------------------------------------------------------------------------------------------------
# Which weights are updated: all 512 masks
# ---------------------------------------------------------------------------------------------------------------------

MASKS = torch.tensor(list(itertools.product([False, True], repeat=9))).view(512, 1, 3, 3)


def kernel_gradient(x: Tensor, keep: Tensor, output_gradient: Tensor, kernel_size: int, padding: int) -> Tensor:
    """Return dL/dw of a convolution of the kept inputs by autograd, (C, kh, kw)."""
    weight = torch.zeros(1, len(keep), kernel_size, kernel_size, dtype=x.dtype, requires_grad=True)
    outputs = functional.conv2d((x * keep)[None], weight, padding=padding)
    return torch.autograd.grad(outputs, weight, output_gradient.expand_as(outputs))[0][0]


@cache
def gradients(kernel_size: int, padding: int) -> Tensor:
    """Return dL/dw for all 512 masks, (512, kh, kw); all numbers are positive, so that nothing cancels out."""
    x = torch.rand(1, 3, 3, generator=source(), dtype=torch.float64) + 0.5
    size = 3 + 2 * padding - kernel_size + 1
    output_gradient = torch.rand(1, 1, size, size, generator=source(1), dtype=torch.float64) + 0.5
    return torch.stack([kernel_gradient(x, keep, output_gradient, kernel_size, padding)[0] for keep in MASKS])


def test_w5_is_updated_by_all_masks_but_the_one_that_drops_everything() -> None:
    """The document says "regardless of our choice on which r to set to 0": true for 511 of the 512 choices."""
    updated = gradients(3, 1)[:, 1, 1] != 0
    assert torch.equal(updated, MASKS.flatten(1).any(1))
    assert updated.sum() == 511


def test_how_many_of_the_512_masks_leave_each_weight_without_a_gradient() -> None:
    without = (gradients(3, 1) == 0).sum(0)
    # w_k reads 4, 6 or 9 of the inputs; the others may be kept or not: 2^(9 - n).
    assert without.tolist() == [[32, 8, 32], [8, 1, 8], [32, 8, 32]]


def test_how_many_of_the_512_masks_leave_each_weight_of_the_2x2_kernel_without_a_gradient() -> None:
    assert (gradients(2, 0) == 0).sum(0).tolist() == [[32, 32], [32, 32]]


@pytest.mark.parametrize(("kernel_size", "padding"), [(3, 1), (2, 0), (1, 0), (3, 0)])
def test_weights_without_gradient_agrees_with_autograd_for_all_512_masks(kernel_size: int, padding: int) -> None:
    came = torch.cat([weights_without_gradient(keep, kernel_size, padding) for keep in MASKS])
    assert torch.equal(came, gradients(kernel_size, padding) == 0)


@pytest.mark.parametrize(("kernel", "size", "padding"), SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_weights_without_gradient_agrees_with_autograd_on_any_shape(
    kernel: tuple[int, ...], size: tuple[int, int], padding: Any, share: float
) -> None:
    keep = torch.rand(kernel[1], *size, generator=source(3)) < share
    weight = torch.zeros(kernel, requires_grad=True)
    x = torch.rand(keep.shape, generator=source(4)) + 0.5
    outputs = functional.conv2d((x * keep)[None], weight, padding=padding)
    gradient = torch.autograd.grad(outputs.sum(), weight)[0][0]
    assert torch.equal(weights_without_gradient(keep, kernel[2:], padding), gradient == 0)


def test_w5_gets_no_gradient_where_all_kept_inputs_are_zero() -> None:
    """The second exception: what is kept must also be there. ReLUs make many exact zeros."""
    x = torch.tensor([[[1.0, 2, 0], [0, 0, 0], [0, 0, 3]]])
    keep = x == 0
    assert kernel_gradient(x, keep, torch.ones(1), 3, 1)[0, 1, 1] == 0
    assert not weights_without_gradient(keep, 3, 1)[0, 1, 1]  # it speaks of all images, and not of this one


def test_w5_can_get_no_gradient_by_chance() -> None:
    x = torch.ones(1, 3, 3)
    output_gradient = torch.tensor([[[[1.0, -1, 0], [0, 0, 0], [0, 0, 0]]]])
    assert kernel_gradient(x, x > 0, output_gradient, 3, 1)[0, 1, 1] == 0


def test_a_weight_that_never_meets_an_input_has_no_gradient() -> None:
    without = weights_without_gradient(torch.ones(1, 1, 1, dtype=torch.bool), (1, 3), (0, 1))
    assert without.tolist() == [[[True, False, True]]]  # the outer two only read the padding, but for the middle one


# ---------------------------------------------------------------------------------------------------------------------
# Dropout as noise
# ---------------------------------------------------------------------------------------------------------------------

RATES = [0.1, 0.3, 0.5, 0.9]
N = 200_000


def z_limit(n_tests: int = 1) -> float:
    """Return how many standard errors a mean may be off, so that `n_tests` raise a false alarm as rarely as said."""
    return float(stats.norm.isf(FALSE_ALARM / 2 / n_tests))


@pytest.mark.parametrize("p", RATES)
def test_dropout_gives_zeros_and_scaled_numbers_and_nothing_else(p: float) -> None:
    x = torch.rand(50, 40, generator=source()) + 0.5
    came = dropout(x, p, source(1))
    kept = came != 0
    # One float32 product and one division.
    torch.testing.assert_close(came[kept], x[kept] / (1 - p), rtol=1e-6, atol=0)
    assert 0 < kept.sum() < x.numel()


@pytest.mark.parametrize("p", RATES)
def test_dropout_drops_the_share_p(p: float) -> None:
    dropped = (dropout(torch.ones(N), p, source(2)) == 0).sum().item()
    assert stats.binomtest(dropped, N, p).pvalue > FALSE_ALARM


@pytest.mark.parametrize("p", RATES)
def test_inverted_scaling_keeps_the_mean(p: float) -> None:
    mean = dropout(torch.full((N,), 3.0), p, source(3)).double().mean().item()
    error = 3 * math.sqrt(p / (1 - p) / N)  # the deviation of r / (1 - p) is sqrt(p / (1 - p))
    assert abs(mean - 3) < z_limit() * error


@pytest.mark.parametrize("p", RATES)
def test_dropout_has_the_variance_of_bernoulli_noise(p: float) -> None:
    came = dropout(torch.ones(N), p, source(4)).double()
    fourth = (p + (1 - p) * (p / (1 - p)) ** 4) if p else 0  # E (r / (1 - p) - 1)^4
    variance = p / (1 - p)
    error = math.sqrt(max(fourth - variance**2, 1e-12) / N)
    # At p = 0.5 the squared deviation is 1 for every number: what is left is the error of the mean, squared.
    assert abs(came.var().item() - variance) < z_limit() * error + 20 / N


def patterns(mask: Tensor) -> Tensor:
    """Return how often each of the 2^m patterns of a mask (n, m) comes, (2^m,)."""
    code = (mask.long() * 2 ** torch.arange(mask.shape[1])).sum(1)
    return torch.bincount(code, minlength=2 ** mask.shape[1])


def expected_patterns(p: float, m: int, n: int) -> Tensor:
    """Return how often they are expected, if the m numbers are independent and kept with probability 1 - p."""
    kept = torch.tensor([bin(code).count("1") for code in range(2**m)], dtype=torch.float64)
    return n * (1 - p) ** kept * p ** (m - kept)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.7])
def test_masks_of_dropout_are_independent_bernoulli_numbers(p: float) -> None:
    """A chi-square test on the 16 patterns of four units, in 20,000 images."""
    observed = patterns(dropout(torch.ones(20_000, 4), p, source(5)) != 0)
    assert stats.chisquare(observed.numpy(), expected_patterns(p, 4, 20_000).numpy()).pvalue > FALSE_ALARM


@pytest.mark.parametrize("p", [0.2, 0.5, 0.7])
def test_masks_of_spatial_dropout_are_independent_bernoulli_numbers(p: float) -> None:
    observed = patterns(spatial_dropout(torch.ones(20_000, 4, 2, 1), p, source(6))[:, :, 0, 0] != 0)
    assert stats.chisquare(observed.numpy(), expected_patterns(p, 4, 20_000).numpy()).pvalue > FALSE_ALARM


OURS_AND_TORCHS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[int, ...]]] = {
    "units": (dropout, functional.dropout, (20_000, 4)),
    "units of maps": (dropout, functional.dropout, (5_000, 2, 2, 2)),
    "maps": (spatial_dropout, functional.dropout2d, (20_000, 4, 1, 1)),
}


@pytest.mark.parametrize("kind", OURS_AND_TORCHS)
@pytest.mark.parametrize("p", [0.2, 0.5, 0.7])
def test_masks_come_as_often_as_torchs(kind: str, p: float) -> None:
    """A chi-square test of the patterns of four numbers, ours against torch's."""
    ours, torchs, shape = OURS_AND_TORCHS[kind]
    x = torch.ones(shape)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        other = torchs(x, p)
    tables = [patterns(came.reshape(shape[0], -1)[:, :4] != 0) for came in (ours(x, p, source(7)), other)]
    assert stats.chi2_contingency(torch.stack(tables).numpy()).pvalue > FALSE_ALARM


@pytest.mark.parametrize("kind", OURS_AND_TORCHS)
@pytest.mark.parametrize("moment", [1, 2])
def test_mean_and_second_moment_are_torchs(kind: str, moment: int) -> None:
    ours, torchs, shape = OURS_AND_TORCHS[kind]
    x = torch.rand(shape, generator=source(8)) - 0.2
    with torch.random.fork_rng():
        torch.manual_seed(8)
        other = torchs(x, 0.4)
    # Means over images, which are independent: Welch's test on the per-image means.
    first, second = (came.pow(moment).flatten(1).mean(1).double().numpy() for came in (ours(x, 0.4, source(9)), other))
    assert stats.ttest_ind(first, second, equal_var=False).pvalue > FALSE_ALARM


def test_spatial_dropout_drops_whole_maps() -> None:
    came = spatial_dropout(torch.ones(30, 8, 5, 4), 0.5, source(10))
    assert torch.equal(came.amin((2, 3)), came.amax((2, 3)))
    assert set(came.flatten().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_nothing_is_dropped_with_p_0(method: Callable[..., Tensor]) -> None:
    x = torch.randn(3, 4, 5, 6, generator=source())
    assert torch.equal(method(x, 0.0, source()), x)


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_everything_is_dropped_with_p_1(method: Callable[..., Tensor]) -> None:
    came = method(torch.randn(3, 4, 5, 6, generator=source()), 1, source())
    assert not came.any()
    assert came.isfinite().all()


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_little_is_left_and_much_enlarged_with_p_near_1(method: Callable[..., Tensor]) -> None:
    p = 1 - 2**-10
    came = method(torch.ones(64, 256, 1, 1), p, source(11))
    kept = (came != 0).sum().item()
    assert stats.binomtest(kept, 64 * 256, 2**-10).pvalue > FALSE_ALARM
    assert came.max() == 2**10  # 1 - p is exact in binary


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dropout_keeps_shape_and_dtype(method: Callable[..., Tensor], dtype: Any) -> None:
    x = torch.rand(2, 3, 4, 5, generator=source(), dtype=dtype)
    came = method(x, 0.5, source())
    assert came.shape == x.shape
    assert came.dtype == dtype


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_the_mask_depends_on_the_seed_alone(method: Callable[..., Tensor]) -> None:
    x = torch.rand(2, 30, 4, 5, generator=source()) + 0.1
    mask = method(x, 0.5, source(1)) != 0
    assert torch.equal(method(x.double(), 0.5, source(1)) != 0, mask)
    assert not torch.equal(method(x, 0.5, source(2)) != 0, mask)


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_each_call_draws_on_from_the_generator(method: Callable[..., Tensor]) -> None:
    x, generator = torch.ones(2, 30, 4, 5), source(1)
    assert not torch.equal(method(x, 0.5, generator), method(x, 0.5, generator))


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_without_a_generator_torchs_seed_decides_and_is_not_moved_on(method: Callable[..., Tensor]) -> None:
    x = torch.ones(2, 30, 4, 5)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first = method(x, 0.5)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(method(x, 0.5), first)
        torch.manual_seed(4)
        assert not torch.equal(method(x, 0.5), first)


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_gradients_go_through_what_is_kept_and_scaled_alike(method: Callable[..., Tensor]) -> None:
    x = (torch.rand(2, 30, 2, 2, generator=source()) + 0.5).requires_grad_()
    came = method(x, 0.25, source(1))
    gradient = torch.autograd.grad(came.sum(), x)[0]
    torch.testing.assert_close(gradient, (came != 0) / 0.75)


@pytest.mark.parametrize("method", [dropout, spatial_dropout])
def test_dropout_leaves_its_inputs_alone(method: Callable[..., Tensor]) -> None:
    x = torch.ones(2, 3, 4, 5)
    method(x, 0.5, source()).zero_()
    method(x, 0.0, source()).zero_()
    assert torch.equal(x, torch.ones(2, 3, 4, 5))


def test_dropout_as_a_matrix_and_as_noise_are_one() -> None:
    """W R h / (1 - p) is the dense layer after `dropout`."""
    w, h = torch.randn(4, 6, generator=source()), torch.rand(6, generator=source(1)) + 0.5
    dropped = dropout(h, 0.5, source(2))
    torch.testing.assert_close(w @ dropped, dense_dropout(w, dropped != 0) @ h / 0.5)


# ---------------------------------------------------------------------------------------------------------------------
# Monte Carlo dropout
# ---------------------------------------------------------------------------------------------------------------------

MAPS = torch.rand(2, 4, 2, 2, generator=source(20)) * 2


def dense_network(p: float, layer: type[nn.Module] = nn.Dropout, n_inputs: int = 16) -> nn.Sequential:
    """A network without hidden units: dropout of its inputs, and a dense layer."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        dense = nn.Linear(n_inputs, 3)
    return nn.Sequential(layer(p), nn.Flatten(), dense).eval()


def network(p: float = 0.5, inplace: bool = False) -> nn.Sequential:
    """Convolution, batch norm, spatial dropout, dropout of units: all that a small network may have."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace),
            nn.Dropout2d(p, inplace),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * 16, 12),
            nn.ReLU(inplace),
            nn.Dropout(p, inplace),
            nn.Linear(12, 5),
        )
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    return model.eval()


IMAGES = torch.rand(3, 3, 8, 8, generator=source(21))


def exact_moments(model: nn.Sequential, inputs: Tensor, p: float, whole_maps: bool) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the probabilities over all masks of the inputs, each with its probability."""
    shape = (inputs.shape[1], 1, 1) if whole_maps else tuple(inputs.shape[1:])
    size = math.prod(shape)
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)), dtype=torch.float64)
    chance = ((1 - p) ** masks.sum(1) * p ** (size - masks.sum(1)))[:, None, None]
    dense = model[-1].double()
    kept = inputs.double() * masks.view(-1, 1, *shape) / (1 - p)
    probabilities = dense(kept.flatten(2)).softmax(-1)
    mean = (chance * probabilities).sum(0)
    return mean, (chance * (probabilities - mean) ** 2).sum(0).sqrt()


@pytest.mark.parametrize(("layer", "whole_maps"), [(nn.Dropout, False), (nn.Dropout2d, True)])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_mc_dropout_converges_to_the_exact_moments_over_all_masks(layer: Any, whole_maps: bool, p: float) -> None:
    inputs = MAPS if whole_maps else MAPS[:, :, :1, :]  # 4 maps: 16 masks; 8 units: 256 masks
    n_samples = 4000
    model = dense_network(p, layer, inputs[0].numel())
    mean, std = mc_dropout(model, inputs, n_samples, source(22), batch_size=2000)
    with torch.no_grad():
        right_mean, right_std = exact_moments(model, inputs, p, whole_maps)
    limit = z_limit(2 * mean.numel()) * right_std / math.sqrt(n_samples)
    assert ((mean - right_mean).abs() < limit).all()
    # The error of a standard deviation is at most sqrt(kurtosis) / 2 of that of the mean; probabilities that are nearly
    # always close to 0 have a kurtosis of up to 30.
    assert ((std - right_std).abs() < 2.7 * limit).all()


def torchs_samples(model: nn.Module, inputs: Tensor, n_samples: int, seed: int) -> Tensor:
    """Return the probabilities (S, N, K) by torch's own dropout layers, switched to train mode one by one."""
    for layer in model.modules():
        layer.train(isinstance(layer, nn.Dropout | nn.Dropout2d))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        samples = torch.stack([model(inputs.clone()).softmax(1) for _ in range(n_samples)])
    model.eval()
    return samples


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_mc_dropout_agrees_with_a_loop_over_torchs_own_dropout(p: float) -> None:
    n_samples = 1500
    theirs = torchs_samples(network(p), IMAGES, n_samples, 1)
    mean, std = mc_dropout(network(p), IMAGES, n_samples, source(23))
    error = theirs.std(0) / math.sqrt(n_samples) * math.sqrt(2)  # of the difference of two means
    assert ((mean - theirs.mean(0)).abs() < z_limit(mean.numel()) * error).all()
    assert ((std - theirs.std(0)).abs() < 2.7 * z_limit(mean.numel()) * error).all()


def test_samples_come_from_torchs_distribution() -> None:
    """A Kolmogorov-Smirnov test on each probability of each image, ours against torch's."""
    ours = mc_probabilities(network(), IMAGES, 1000, source(24)).flatten(1)
    theirs = torchs_samples(network(), IMAGES, 1000, 2).flatten(1)
    pvalues = [stats.ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in zip(ours.T, theirs.T, strict=True)]
    assert min(pvalues) > FALSE_ALARM / len(pvalues)


def test_mean_and_std_are_those_of_the_samples() -> None:
    samples = mc_probabilities(network(), IMAGES, 20, source(25))
    mean, std = mc_dropout(network(), IMAGES, 20, source(25))
    assert samples.shape == (20, 3, 5)
    torch.testing.assert_close(mean, samples.mean(0))
    torch.testing.assert_close(std, ((samples - samples.mean(0)) ** 2).mean(0).sqrt())


def test_probabilities_sum_to_one() -> None:
    samples = mc_probabilities(network(), IMAGES, 20, source(25))
    # Five float32 numbers.
    torch.testing.assert_close(samples.sum(2), torch.ones(20, 3), rtol=1e-6, atol=1e-6)


def test_with_p_0_it_is_the_softmax_of_the_network_and_no_deviation() -> None:
    """In particular batch norm uses its running statistics."""
    model = network(0.0)
    mean, std = mc_dropout(model, IMAGES, 5, source())
    with torch.no_grad():
        torch.testing.assert_close(mean, model(IMAGES).softmax(1))
    # Means of five equal float32 numbers.
    torch.testing.assert_close(std, torch.zeros(3, 5), rtol=0, atol=1e-7)


def test_one_sample_has_no_deviation() -> None:
    assert not mc_dropout(network(), IMAGES, 1, source())[1].any()


def test_each_image_draws_masks_of_its_own() -> None:
    samples = mc_probabilities(network(), IMAGES[:1].repeat(2, 1, 1, 1), 20, source(26))
    assert not torch.isclose(samples[:, 0], samples[:, 1]).all(-1).any()


def test_each_sample_draws_masks_of_its_own() -> None:
    samples = mc_probabilities(network(), IMAGES[:1], 20, source(27))
    assert len({tuple(row) for row in samples[:, 0].tolist()}) > 15  # two masks can be the same by chance


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_each_batch_size_gives_as_many_samples_of_the_same_distribution(batch_size: int) -> None:
    samples = mc_probabilities(network(), IMAGES, 200, source(28), batch_size=batch_size)
    assert samples.shape == (200, 3, 5)
    other = mc_probabilities(network(), IMAGES, 2000, source(29))
    error = (other.var(0) / 200 + other.var(0) / 2000).sqrt()
    assert ((samples.mean(0) - other.mean(0)).abs() < z_limit(5 * 15) * error).all()


@pytest.mark.parametrize(
    ("batch_size", "passes"),
    [(30, [30]), (100, [30]), (15, [15, 15]), (7, [6] * 5), (2, [2, 1] * 10), (1, [1] * 30)],
)
def test_a_pass_takes_as_many_samples_as_the_batch_size_allows(batch_size: int, passes: list[int]) -> None:
    """Ten samples of three images."""
    model, sizes = network(), []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    mc_dropout(model, IMAGES, 10, source(), batch_size=batch_size)
    assert sizes == passes


def test_the_same_generator_gives_the_same_answer_and_another_one_another() -> None:
    first, again, other = (mc_dropout(network(), IMAGES, 10, source(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_mc_dropout_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    mc_dropout(network(), IMAGES, 3)
    mc_dropout(network(), IMAGES, 3, source())
    assert torch.equal(torch.get_rng_state(), before)


def as_it_is(model: nn.Module) -> list[Any]:
    """Return all that could be left changed."""
    state: list[Any] = [tensor.clone() for tensor in model.state_dict().values()]
    for module in model.modules():
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
        state += [module.training, hooks, "forward" in vars(module), *(p.requires_grad for p in module.parameters())]
    return state


def same(first: list[Any], second: list[Any]) -> bool:
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(first, second, strict=True))


def prepared(mode: str) -> nn.Sequential:
    model = network()
    if mode == "train":
        model.train()
    if mode == "mixed":
        model[3].train()
    return model


@pytest.mark.parametrize("mode", ["eval", "train", "mixed"])
def test_the_model_is_left_as_it_was(mode: str) -> None:
    model = prepared(mode)
    before = as_it_is(model)
    mc_dropout(model, IMAGES, 3, source())
    assert same(before, as_it_is(model))


@pytest.mark.parametrize("mode", ["eval", "train", "mixed"])
def test_the_model_is_left_as_it_was_by_an_error(mode: str) -> None:
    model = prepared(mode)
    before = as_it_is(model)
    with pytest.raises(RuntimeError):
        mc_dropout(model, IMAGES[:, :2], 3, source())
    assert same(before, as_it_is(model))


@pytest.mark.parametrize("mode", ["train", "mixed"])
def test_the_mode_of_the_model_changes_nothing(mode: str) -> None:
    expected = mc_dropout(network(), IMAGES, 5, source())
    assert torch.equal(mc_dropout(prepared(mode), IMAGES, 5, source())[0], expected[0])


def test_layers_that_work_in_place_change_nothing() -> None:
    images = IMAGES.clone()
    came = mc_dropout(nn.Sequential(nn.ReLU(True), *network(inplace=True)).eval(), images, 5, source())
    assert torch.equal(images, IMAGES)
    assert torch.equal(came[0], mc_dropout(network(), IMAGES, 5, source())[0])


def test_no_graph_is_kept() -> None:
    images = IMAGES.clone().requires_grad_()
    mean, std = mc_dropout(network(), images, 3, source())
    assert not mean.requires_grad
    assert not std.requires_grad
    assert torch.is_grad_enabled()


def test_float64_networks_answer_in_float64() -> None:
    mean, std = mc_dropout(network().double(), IMAGES.double(), 3, source())
    assert mean.dtype == std.dtype == torch.float64


class Named(nn.Dropout):
    """A dropout layer of another name, and of the same forward."""


@pytest.mark.parametrize(
    ("layers", "whole"),
    [
        ([nn.Flatten(), nn.Dropout(0.5)], False),
        ([nn.Flatten(2), nn.Dropout1d(0.5)], True),
        ([nn.Dropout2d(0.5)], True),
        ([nn.Unflatten(1, (4, 1)), nn.Dropout3d(0.5)], True),
        ([Named(0.5)], False),
    ],
    ids=["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "subclass"],
)
def test_every_kind_of_dropout_layer_drops_what_torchs_does(layers: list[nn.Module], whole: bool) -> None:
    """The network hands on sums over the four maps' pixels, which tell whole maps from single numbers."""

    class Seen(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            seen.append(values.reshape(len(values), 4, 4))
            return values.flatten(1)

    seen: list[Tensor] = []
    model = nn.Sequential(*layers, Seen()).eval()
    mc_dropout(model, torch.ones(2, 4, 2, 2), 20, source(30))
    dropped = torch.cat(seen)
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped.amin(2), dropped.amax(2)) == whole


def test_a_dropout_layer_that_is_used_twice_draws_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, values: Tensor) -> Tensor:
            return (self.drop(values) + self.drop(values)).flatten(1)

    seen = set()
    Twice.__call__ = lambda self, values: (scores := self.forward(values), seen.update(scores.flatten().tolist()))[0]
    mc_dropout(Twice().eval(), torch.ones(2, 4, 2, 2), 10, source(31))
    assert seen == {0.0, 2.0, 4.0}


# ---------------------------------------------------------------------------------------------------------------------
# Entropy and mutual information
# ---------------------------------------------------------------------------------------------------------------------

CERTAIN = torch.tensor([[[1.0, 0, 0, 0]]]).repeat(2, 1, 1)
UNDECIDED = torch.full((2, 1, 4), 0.25)
QUARRELLING = torch.tensor([[[1.0, 0, 0, 0]], [[0, 1.0, 0, 0]]])


@pytest.mark.parametrize(
    ("samples", "entropy", "information"),
    [(CERTAIN, 0, 0), (UNDECIDED, math.log(4), 0), (QUARRELLING, math.log(2), math.log(2))],
    ids=["certain", "undecided", "quarrelling"],
)
def test_entropy_and_information_of_clear_cases(samples: Tensor, entropy: float, information: float) -> None:
    assert predictive_entropy(samples).item() == pytest.approx(entropy, abs=1e-6)
    assert mutual_information(samples).item() == pytest.approx(information, abs=1e-6)


def test_entropy_and_information_agree_with_scipy() -> None:
    samples = torch.randn(30, 7, 5, generator=source(), dtype=torch.float64).softmax(-1)
    right = stats.entropy(samples.mean(0).numpy(), axis=-1)
    # The information is the mean Kullback-Leibler divergence of the samples from their mean.
    divergence = stats.entropy(samples.numpy(), samples.mean(0, keepdim=True).numpy(), axis=-1).mean(0)
    torch.testing.assert_close(predictive_entropy(samples), torch.from_numpy(right))
    torch.testing.assert_close(mutual_information(samples), torch.from_numpy(divergence))


def test_information_lies_between_0_and_the_entropy() -> None:
    samples = (5 * torch.randn(30, 50, 5, generator=source())).softmax(-1)
    information = mutual_information(samples)
    assert (information >= 0).all()
    assert (information <= predictive_entropy(samples)).all()


# ---------------------------------------------------------------------------------------------------------------------
# What Monte Carlo dropout sees, and what it does not
# ---------------------------------------------------------------------------------------------------------------------

N_IMAGES = 40


def unusual_images() -> dict[str, Tensor]:
    """Return images that the network was not trained on, and the clean ones that it was trained on."""
    seed, animals = models.TEST_SEED + 7, list(zoo.COATS)
    clean = zoo.sample(N_IMAGES, seed)
    noise = torch.rand(clean.images.shape, generator=source(40))
    others = zoo.sample(3 * N_IMAGES, seed + 1)
    partners = [next(i for i in range(k, 3 * N_IMAGES) if others.labels[i] != clean.labels[k]) for k in range(N_IMAGES)]
    striped, dotted = (zoo.sample(N_IMAGES, seed + 2, animals, texture=coat) for coat in ("stripes", "dots"))
    return {
        "clean": clean.images,
        "noise": noise,
        "mixtures": (clean.images + others.images[partners]) / 2,
        "a coat of noise": torch.where(striped.mask("object")[:, None], noise, striped.images),
        "stripes and dots": (striped.images + dotted.images) / 2,
        "no object": zoo.sample(N_IMAGES, seed, without="object").images,
        "stripes alone": zoo.concept("stripes", N_IMAGES, seed),
    }


@cache
def samples_of_unusual_images() -> dict[str, Tensor]:
    model = models.load("zoo-dropout").to(memory_format=torch.channels_last)  # the quicker order on a CPU
    return {name: mc_probabilities(model, images, 20, source(41)) for name, images in unusual_images().items()}


def separation(measure: Callable[[Tensor], Tensor], name: str) -> float:
    """Return how often `measure` is higher on an image of this kind than on a clean one (the area under the ROC)."""
    samples = samples_of_unusual_images()
    there, clean = measure(samples[name]), measure(samples["clean"])
    return (there[:, None] > clean[None]).float().mean().item()


def deviation_of_the_top_class(samples: Tensor) -> Tensor:
    top = samples.mean(0).argmax(1, keepdim=True)
    return samples.std(0, correction=0).gather(1, top)[:, 0]


# Measured with 200 images and 30 samples: entropy 1.00, 0.92, 0.99, 0.81; information 0.97, 0.88, 0.96, 0.87. With 40
# images each the area's standard error is at most 0.065, so that the limits are two to three of them away.
@pytest.mark.parametrize(
    ("measure", "name", "least"),
    [
        (predictive_entropy, "noise", 0.95),
        (predictive_entropy, "mixtures", 0.8),
        (predictive_entropy, "a coat of noise", 0.93),
        (predictive_entropy, "stripes and dots", 0.65),
        (mutual_information, "noise", 0.9),
        (mutual_information, "mixtures", 0.75),
        (mutual_information, "a coat of noise", 0.88),
        (mutual_information, "stripes and dots", 0.72),
    ],
)
def test_what_the_network_never_saw_is_less_certain_than_clean_images(
    measure: Callable[[Tensor], Tensor], name: str, least: float
) -> None:
    assert separation(measure, name) > least


def test_the_deviation_of_the_top_class_does_not_see_that_there_is_no_object() -> None:
    """All samples agree that they know nothing: the entropy says so, the deviation does not."""
    assert separation(predictive_entropy, "no object") > 0.95
    assert separation(deviation_of_the_top_class, "no object") < 0.6


def test_an_image_full_of_stripes_is_a_ball_for_sure() -> None:
    """Monte Carlo dropout does not see everything: here it is more certain than on clean images."""
    assert separation(predictive_entropy, "stripes alone") < 0.3
    mean = samples_of_unusual_images()["stripes alone"].mean(0)
    assert (mean.argmax(1) == zoo.CLASSES.index("ball")).float().mean() > 0.95


# ---------------------------------------------------------------------------------------------------------------------
# Bad arguments
# ---------------------------------------------------------------------------------------------------------------------

W, KEEP = torch.ones(2, 3), torch.tensor([True, False, True])
KERNEL, KEPT = torch.ones(1, 2, 2, 2), torch.ones(2, 3, 3, dtype=torch.bool)
INF = float("inf")


class Functional(nn.Module):
    """A network whose dropout is a function: no layer."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.dropout(inputs.flatten(1), 0.5, self.training)


class Unused(nn.Module):
    """A network with a dropout layer that its forward forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)


class OwnForward(nn.Dropout):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "weight: list": (lambda: dense_dropout([[1.0]], KEEP), TypeError, r"weight must be a float tensor.*got list"),
    "weight: integers": (lambda: dense_dropout(W.long(), KEEP), TypeError, r"got dtype torch.int64: use weight.float"),
    "weight: 1-D": (lambda: dense_dropout(W[0], KEEP), ValueError, r"weight .*\(out, in\).* got shape \(3,\)"),
    "weight: NaN": (lambda: dense_dropout(W * INF * 0, KEEP), ValueError, r"weight must be finite, got 6 NaN"),
    "keep: numbers": (lambda: dense_dropout(W, KEEP.float()), TypeError, r"keep .* True where kept, got dtype .*bool"),
    "keep: list": (lambda: dense_dropout(W, [True]), TypeError, r"keep must be a bool tensor \(in,\), got list"),
    "keep: 2-D": (lambda: dense_dropout(W, KEEP[None]), ValueError, r"keep .*\(in,\), got shape \(1, 3\)"),
    "keep: rows": (lambda: dense_dropout(W, KEEP[:2]), ValueError, r"each of the 3 columns of weight, got 2"),
    "kernel: 2-D": (
        lambda: conv_dropout_matrix(W, KEPT),
        ValueError,
        r"weight .*\(O, C, kh, kw\).* got shape \(2, 3\)",
    ),
    "kernel keep: 2-D": (lambda: conv_dropout_matrix(KERNEL, KEPT[0]), ValueError, r"keep .*\(C, H, W\), got"),
    "kernel keep: channels": (
        lambda: conv_dropout_matrix(KERNEL, KEPT[:1]),
        ValueError,
        r"keep must have the 2 channels .* got \(1, 3, 3\)",
    ),
    "padding: negative": (lambda: conv_dropout_matrix(KERNEL, KEPT, -1), ValueError, r"padding must be at least 0"),
    "padding: float": (lambda: conv_dropout_matrix(KERNEL, KEPT, 0.5), TypeError, r"padding must be a whole number"),
    "input too small": (lambda: conv_dropout_matrix(torch.ones(1, 2, 4, 4), KEPT), ValueError, r"kernel|input_size"),
    "kernel_size: zero": (lambda: weights_without_gradient(KEPT, 0), ValueError, r"kernel_size must be at least 1"),
    "without: keep": (lambda: weights_without_gradient(KEPT.float(), 2), TypeError, r"keep must be a bool tensor"),
    "inputs: list": (lambda: dropout([1.0], 0.5), TypeError, r"inputs must be a float tensor of any shape, got list"),
    "inputs: integers": (lambda: dropout(torch.ones(2).long(), 0.5), TypeError, r"inputs .* got dtype torch.int64"),
    "inputs: empty": (lambda: dropout(torch.ones(0), 0.5), ValueError, r"at least one number, got shape \(0,\)"),
    "inputs: NaN": (lambda: dropout(torch.tensor([INF]), 0.5), ValueError, r"inputs must be finite"),
    "p: negative": (lambda: dropout(W, -0.1), ValueError, r"p must be a probability in \[0, 1\], got -0.1"),
    "p: percent": (lambda: dropout(W, 50), ValueError, r"p must be a probability in \[0, 1\], got 50"),
    "p: NaN": (lambda: dropout(W, float("nan")), ValueError, r"p must be a probability in \[0, 1\], got nan"),
    "p: text": (lambda: dropout(W, "0.5"), TypeError, r"p must be a number, got str"),
    "p: bool": (lambda: dropout(W, True), TypeError, r"p must be a number, got bool"),
    "generator: seed": (lambda: dropout(W, 0.5, 1), TypeError, r"generator must be a torch.Generator or None, got int"),
    "maps: 2-D": (lambda: spatial_dropout(W, 0.5), ValueError, r"inputs must be a batch \(N, C, H, W\)"),
    "maps: one image": (lambda: spatial_dropout(torch.ones(1, 2, 3), 0.5), ValueError, r"inputs.unsqueeze\(0\)"),
    "maps: p": (lambda: spatial_dropout(IMAGES, 2), ValueError, r"p must be a probability"),
    "maps: generator": (lambda: spatial_dropout(IMAGES, 0.5, 1), TypeError, r"generator must be"),
    "mc: no model": (
        lambda: mc_dropout(torch.relu, IMAGES),
        TypeError,
        r"model must be a torch.nn.Module, got builtin",
    ),
    "mc: one image": (lambda: mc_dropout(network(), IMAGES[0]), ValueError, r"inputs must be a batch"),
    "mc: NaN": (lambda: mc_dropout(network(), IMAGES / 0), ValueError, r"inputs must be finite"),
    "mc: dtype": (
        lambda: mc_dropout(network(), IMAGES.double()),
        TypeError,
        r"inputs are torch.float64, but the model",
    ),
    "mc: no samples": (lambda: mc_dropout(network(), IMAGES, 0), ValueError, r"n_samples must be at least 1, got 0"),
    "mc: half a sample": (lambda: mc_dropout(network(), IMAGES, 0.5), TypeError, r"n_samples must be a whole number"),
    "mc: batch_size": (lambda: mc_dropout(network(), IMAGES, 2, batch_size=0), ValueError, r"batch_size must be at"),
    "mc: generator": (lambda: mc_dropout(network(), IMAGES, 2, 7), TypeError, r"generator must be a torch.Generator"),
    "mc: no dropout": (
        lambda: mc_dropout(models.load("zoo"), torch.rand(1, 3, 64, 64)),
        ValueError,
        r"model has no dropout layers.* give it nn.Dropout",
    ),
    "mc: function": (
        lambda: mc_dropout(Functional(), IMAGES),
        ValueError,
        r"F.dropout\) cannot be seen: make it a layer",
    ),
    "mc: unused": (lambda: mc_dropout(Unused(), IMAGES), ValueError, r"forward pass uses none of them"),
    "mc: alpha dropout": (
        lambda: mc_dropout(nn.Sequential(nn.Dropout(), nn.AlphaDropout()), IMAGES),
        ValueError,
        r"layer '1' \(AlphaDropout\) is a dropout that mc_dropout does not know",
    ),
    "mc: own forward": (
        lambda: mc_dropout(nn.Sequential(OwnForward()), IMAGES),
        ValueError,
        r"layer '0' \(OwnForward\) is a dropout that",
    ),
    "mc: inside of attention": (
        lambda: mc_dropout(nn.Sequential(nn.Dropout(), nn.MultiheadAttention(4, 2, dropout=0.1)), IMAGES),
        ValueError,
        r"layer '1' \(MultiheadAttention\) drops units inside of itself.* dropout=0",
    ),
    "mc: batch statistics": (
        lambda: mc_dropout(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Dropout()), IMAGES),
        ValueError,
        r"layer '0' \(BatchNorm2d\) has no running statistics",
    ),
    "mc: maps for scores": (
        lambda: mc_dropout(nn.Sequential(nn.Dropout()), IMAGES),
        ValueError,
        r"model must return class scores \(\d+, K\), one row an image, got shape",
    ),
    "entropy: shape": (lambda: predictive_entropy(UNDECIDED[0]), ValueError, r"probabilities .*\(S, N, K\)"),
    "entropy: scores": (lambda: predictive_entropy(2 * UNDECIDED), ValueError, r"rows that sum to 1"),
    "information: negative": (
        lambda: mutual_information(torch.tensor([[[1.5, -0.5]]])),
        ValueError,
        r"positive, with rows that sum to 1",
    ),
    "information: numbers": (lambda: mutual_information([0.5]), TypeError, r"probabilities must be a float tensor"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()
