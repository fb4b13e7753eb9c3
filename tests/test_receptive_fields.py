"""Receptive fields against brute force over random stacks, the literature's figures, and closed forms.

Two brute forces stand on their own and never look at a formula. NaN tracing: NaN in one column (or row) of the image
makes NaN of all outputs that read it, whatever the weights. Perturbation: with positive weights nothing cancels, so
that an output moves if and only if it reads the pixel that was changed. Both compute in double precision, where torch
convolves directly: its fast algorithms for floats mix neighbouring outputs, and would spread a NaN.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from course_utils import models
from course_utils import receptive_fields as rf
from course_utils.receptive_fields import Layer

many = settings(max_examples=250, deadline=None, derandomize=True)
some = settings(max_examples=80, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Several threads on such small tensors wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- random stacks ----------------------------------------------------------------------------------------------


def pairs(low: int, high: int) -> st.SearchStrategy:
    """A whole number, or a pair of them."""
    number = st.integers(low, high)
    return st.one_of(number, st.tuples(number, number))


def both(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Module:
    return nn.Conv2d(1, 1, draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(0, 3)), draw(pairs(1, 3)))


@st.composite
def poolings(draw: st.DrawFn) -> nn.Module:
    kernel_size = draw(pairs(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in both(kernel_size))  # torch allows no more
    settings_of_all = {"stride": draw(st.none() | pairs(1, 3)), "padding": padding, "ceil_mode": draw(st.booleans())}
    if draw(st.booleans()):
        return nn.AvgPool2d(kernel_size, **settings_of_all)
    return nn.MaxPool2d(kernel_size, dilation=draw(pairs(1, 2)), **settings_of_all)


def stacks(windows: st.SearchStrategy) -> st.SearchStrategy[nn.Sequential]:
    """Networks of one to four windows, with layers between them that look at one place only."""
    one_place = st.sampled_from([nn.ReLU, nn.Dropout, lambda: nn.BatchNorm2d(1), nn.Identity])
    layer = st.tuples(windows, one_place.map(lambda make: make()))
    return st.lists(layer, min_size=1, max_size=4).map(lambda rows: positive(nn.Sequential(*sum(rows, ()))))


def positive(model: nn.Module) -> nn.Module:
    """The network in use, in double precision, with positive weights: nothing cancels, and every ReLU is active."""
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5, generator=torch.Generator().manual_seed(0))
    return model.double().eval()


image_sizes = st.tuples(st.integers(6, 26), st.integers(6, 26))


def rows_or_none(model: nn.Module, size: tuple[int, int]) -> list[rf.Row] | None:
    """The trace, or None where a window does not fit (which torch must refuse, too)."""
    try:
        return rf.trace(model, size)
    except ValueError as error:
        assert "input_size is too small" in str(error)
        with pytest.raises(RuntimeError):
            model(torch.rand(1, 1, *size).double())
        return None


# --- brute force ------------------------------------------------------------------------------------------------


def reached_by_nan(model: nn.Module, size: tuple[int, int], direction: int) -> Tensor:
    """Return bool (input places, outputs): which outputs along a direction read which row (0) or column (1)."""
    n = size[direction]
    images = torch.rand(n, 1, *size, generator=torch.Generator().manual_seed(1)).double()
    for place in range(n):
        images[place].select(1 + direction, place).fill_(torch.nan)
    with torch.no_grad():
        return model(images).isnan().any(1).any(2 - direction)


def moved_by_pixels(model: nn.Module, size: tuple[int, int]) -> Tensor:
    """Return bool (H, W, h, w): which outputs move when one pixel grows, so much that it wins every max pooling."""
    height, width = size
    image = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(2)).double()
    bumps = torch.eye(height * width).double().view(-1, 1, height, width) * 1e6
    with torch.no_grad():
        return (model(image + bumps) != model(image))[:, 0].unflatten(0, size)


def along(value: Any, direction: int) -> Any:
    return value[direction] if isinstance(value, tuple) else value


def region_of(row: rf.Row, direction: int, output: int) -> tuple[float, float]:
    """First and last pixel of an output's field, from a row of the trace."""
    centre = along(row.first_centre, direction) + along(row.jump, direction) * output
    half = (along(row.receptive_field, direction) - 1) / 2
    return centre - half, centre + half


def assert_reach(reached: Tensor, first: float, last: float) -> None:
    """Check the places that reach one output: none outside of the field, and its ends, where the image has them.

    An output may read nothing but padding; then its field is not inside the image.
    """
    places = reached.nonzero().flatten().tolist()
    if not places:
        assert first < 0 or last >= len(reached)
        return
    assert first <= places[0]
    assert places[-1] <= last
    if first >= 0:
        assert places[0] == first
    if last < len(reached):
        assert places[-1] == last


def assert_reaches(reached: Tensor, regions: list[tuple[float, float]]) -> None:
    """Check all outputs along one direction (unless all of them read nothing but padding along the other one)."""
    assert reached.shape[1] == len(regions)
    if reached.any():
        for output, region in enumerate(regions):
            assert_reach(reached[:, output], *region)


# --- the theoretical field against brute force -------------------------------------------------------------------


@many
@given(stacks(convolutions() | poolings()), image_sizes)
def test_trace_tells_which_pixels_each_output_reads(model: nn.Sequential, size: tuple[int, int]) -> None:
    if rows := rows_or_none(model, size):
        for direction in (0, 1):
            outputs = range(along(rows[-1].output_size, direction))
            regions = [region_of(rows[-1], direction, output) for output in outputs]
            assert_reaches(reached_by_nan(model, size, direction), regions)


@many
@given(stacks(convolutions() | poolings()), image_sizes)
def test_input_region_tells_which_pixels_each_output_reads(model: nn.Sequential, size: tuple[int, int]) -> None:
    if rows_or_none(model, size):
        layers = rf.layers_of(model)
        for direction in (0, 1):
            reached = reached_by_nan(model, size, direction)
            ends = [rf.input_region(layers, (output, output)) for output in range(reached.shape[1])]
            assert_reaches(reached, [(first[direction], last[direction]) for first, last in ends])


@some
@given(stacks(convolutions() | poolings()), st.tuples(st.integers(5, 11), st.integers(5, 11)))
def test_outputs_move_with_the_pixels_of_their_region_alone(model: nn.Sequential, size: tuple[int, int]) -> None:
    if rows_or_none(model, size):
        moved, layers = moved_by_pixels(model, size), rf.layers_of(model)
        for row in range(moved.shape[2]):
            for column in range(moved.shape[3]):
                first, last = rf.input_region(layers, (row, column))
                reached = moved[:, :, row, column]
                inside = all(0 <= first[direction] <= last[direction] < size[direction] for direction in (0, 1))
                assert reached.any() or not inside
                for direction in (0, 1):
                    if reached.any():
                        assert_reach(reached.any(1 - direction), first[direction], last[direction])


@many
@given(stacks(convolutions()))
def test_receptive_field_is_the_reach_of_an_output_far_from_the_border(model: nn.Sequential) -> None:
    """The gradient of one output with positive weights, on an image so large that the field lies inside of it."""
    field = both(rf.receptive_field(rf.layers_of(model)))
    jumps = [math.prod(both(layer.stride)[direction] for layer in rf.layers_of(model)) for direction in (0, 1)]
    size = [4 * field[direction] + 2 * jumps[direction] + 30 for direction in (0, 1)]
    for direction in (0, 1):
        # Long along one direction, and as short along the other one as it can be with one field inside for certain.
        shape = [field[0] + jumps[0], field[1] + jumps[1]]
        shape[direction] = size[direction]
        image = torch.rand(1, 1, *shape).double().requires_grad_()
        outputs = model(image)
        middle = outputs[0, 0].select(direction, outputs.shape[2 + direction] // 2).sum()
        places = torch.autograd.grad(middle, image)[0][0, 0].any(1 - direction).nonzero().flatten()
        assert places[-1] - places[0] + 1 == field[direction]


@many
@given(st.lists(st.tuples(pairs(1, 5), pairs(1, 3), pairs(0, 3), pairs(1, 4)), max_size=5), pairs(0, 9))
def test_formula_trace_and_region_agree(layers: list[tuple], position: Any) -> None:
    field, (first, last) = rf.receptive_field(layers), rf.input_region(layers, both(position))
    assert both(field) == (last[0] - first[0] + 1, last[1] - first[1] + 1)
    if layers:
        row = rf.trace(layers, 2000)[-1]
        assert row.receptive_field == field
        for direction in (0, 1):
            place = both(position)[direction]
            assert region_of(row, direction, place) == (first[direction], last[direction])


@many
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(1, 4)), min_size=1))
def test_dilation_is_a_kernel_with_zeros_in_it(layers: list[tuple]) -> None:
    inflated = [(d * (k - 1) + 1, s, p) for k, s, p, d in layers]
    assert rf.receptive_field(inflated) == rf.receptive_field(layers)
    assert rf.input_region(inflated, 3) == rf.input_region(layers, 3)


@many
@given(st.lists(st.tuples(pairs(1, 5), pairs(1, 3), pairs(0, 3), pairs(1, 4)), min_size=1, max_size=5))
def test_each_output_lies_one_jump_behind_the_one_before(layers: list[tuple]) -> None:
    jump = both(rf.trace(layers, 3000)[-1].jump)
    regions = [rf.input_region(layers, (place, place)) for place in range(4)]
    for (first, last), (next_first, next_last) in pairwise(regions):
        assert (next_first[0] - first[0], next_first[1] - first[1]) == jump
        assert (next_last[0] - last[0], next_last[1] - last[1]) == jump


def test_stride_of_the_last_layer_and_padding_are_not_in_the_formula() -> None:
    assert rf.receptive_field([(3, 2, 1), (3, 1)]) == rf.receptive_field([(3, 2), (3, 7, 5)]) == 7


# --- worked numbers ---------------------------------------------------------------------------------------------


def test_kernel_three_adds_two_pixels_a_layer() -> None:
    assert [rf.receptive_field([Layer(3)] * depth) for depth in range(5)] == [1, 3, 5, 7, 9]


def test_dilated_two_by_two_kernel_spans_three_pixels() -> None:
    assert rf.receptive_field([Layer(2, dilation=2)]) == 3
    assert rf.trace([Layer(2, dilation=2)], 5)[0] == ("1", 3, 1, 3, 1.0)


def test_doubled_dilations_double_the_field() -> None:
    stack = [Layer(3, dilation=2**number) for number in range(4)]
    assert [rf.receptive_field(stack[:depth]) for depth in range(1, 5)] == [3, 7, 15, 31]


def test_rows_of_a_small_stack() -> None:
    rows = rf.trace([Layer(3, 2, 1), Layer(2, 2), Layer(3, padding=1, dilation=2)], 32)
    assert rows == [("1", 16, 2, 3, 0.0), ("2", 8, 4, 5, 1.0), ("3", 6, 4, 21, 5.0)]


def test_row_has_pairs_where_the_directions_differ() -> None:
    (row,) = rf.trace(nn.Sequential(nn.Conv2d(1, 1, (3, 5), stride=(1, 2), padding=(1, 0))), (10, 21))
    assert row == ("0", (10, 9), (1, 2), (3, 5), (0.0, 2.0))


def test_region_is_a_pair_of_numbers_or_of_pairs() -> None:
    assert rf.input_region([Layer(3, 2, 1)], 4) == (7, 9)
    assert rf.input_region([Layer(3, 2, 1)], (4, 0)) == ((7, -1), (9, 1))
    assert rf.input_region([Layer((3, 1))], 4) == ((4, 4), (6, 4))


def test_layers_are_hashable_and_frozen() -> None:
    assert len({Layer(3), Layer(3), Layer(3, 2), Layer((3, 2)), Layer([3, 2])}) == 3
    with pytest.raises(AttributeError):
        Layer(3).stride = 2  # type: ignore[misc]


# --- networks where branches meet, and other ways to write them --------------------------------------------------


class Residual(nn.Module):
    """Two branches of different field, added; `other` is the second one, `dilation` that of the first."""

    def __init__(self, other: nn.Module, dilation: int = 1, stride: int = 1, how: str = "add") -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 1, 3, stride, dilation, dilation), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1)
        )
        self.other, self.how, self.after = other, how, nn.Conv2d(2 if how == "cat" else 1, 1, 2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        first, second = self.body(inputs), self.other(inputs)
        if self.how == "cat":
            met = torch.cat([first, second], dim=1)
        elif self.how == "iadd":
            met = first
            met += second
        else:
            met = torch.add(first, second)
        return self.after(F.relu(met))


BRANCHES = {
    "shortcut": lambda: Residual(nn.Identity()),
    "added in place": lambda: Residual(nn.Identity(), how="iadd"),
    "strided 1 x 1": lambda: Residual(nn.Conv2d(1, 1, 1, 2), stride=2),
    "dilated": lambda: Residual(nn.Conv2d(1, 1, 1), dilation=3),
    "concatenated": lambda: Residual(nn.Conv2d(1, 1, 5, padding=2, dilation=1), how="cat"),
    "wider on the right": lambda: Residual(nn.Conv2d(1, 1, 8, padding="same"), how="cat"),
    "far to the right": lambda: Residual(
        nn.Sequential(*(nn.Conv2d(1, 1, 2, padding="same") for _ in range(5))), how="cat"
    ),
    "max pool beside it": lambda: Residual(nn.MaxPool2d(9, 1, 4), how="cat"),
    "two of them": lambda: nn.Sequential(Residual(nn.Identity()), Residual(nn.Identity(), 2)),
}


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_field_is_the_union_where_branches_meet(name: str) -> None:
    model, size = positive(BRANCHES[name]()), (27, 32)
    row = rf.trace(model, size)[-1]
    for direction in (0, 1):
        regions = [region_of(row, direction, output) for output in range(along(row.output_size, direction))]
        assert_reaches(reached_by_nan(model, size, direction), regions)


WHOLE: dict[str, nn.Module] = {
    "dense": nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Flatten(), nn.Linear(42, 1)),
    "global average": nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.AdaptiveAvgPool2d(1)),
    "global maximum": nn.Sequential(nn.Conv2d(1, 1, 3, 2, padding=1), nn.AdaptiveMaxPool2d((1, 1))),
    "adaptive, two windows": nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d((2, 4))),
    "adaptive, overlapping": nn.Sequential(nn.AvgPool2d((7, 4)), nn.AdaptiveAvgPool2d((1, 3))),
    "adaptive, one size kept": nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d((None, 1))),
    "same padding, even kernel": nn.Sequential(nn.Conv2d(1, 1, 4, padding="same", dilation=2), nn.Conv2d(1, 1, 2)),
    "valid padding": nn.Sequential(nn.Conv2d(1, 1, 4, padding="valid")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_layers_that_see_a_whole_map_or_a_part_of_it(name: str) -> None:
    model, size = positive(copy.deepcopy(WHOLE[name])), (14, 16)
    row = rf.trace(model, size)[-1]
    maps = model[:1] if name == "dense" else model
    for direction in (0, 1):
        reached = reached_by_nan(maps, size, direction)
        if name == "dense":  # the dense unit reads what any unit of the map reads
            reached = reached.any(1, keepdim=True)
        regions = [region_of(row, direction, output) for output in range(along(row.output_size, direction))]
        assert_reaches(reached, regions)


class Written(nn.Module):
    """A classifier with a head that is written as functions."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 3), head
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.dense = nn.Linear(3 * 6 * 8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self, self.conv(inputs) * self.scale)


HEADS = {
    "torch.flatten": lambda self, maps: self.dense(torch.flatten(maps, 1)),
    "flatten": lambda self, maps: self.dense(maps.flatten(1)),
    "flatten by name": lambda self, maps: self.dense(torch.flatten(maps, start_dim=1)),
    "view": lambda self, maps: self.dense(maps.view(maps.size(0), -1)),
    "reshape": lambda self, maps: self.dense(maps.reshape(maps.shape[0], -1)),
    "mean": lambda self, maps: maps.mean((2, 3)),
    "mean with its dimensions kept": lambda self, maps: maps.mean([-2, -1], keepdim=True),
    "adaptive pooling": lambda self, maps: F.adaptive_avg_pool2d(F.relu(maps), (1, 1)),
    "dropout": lambda self, maps: F.dropout(self.dense(maps.flatten(1)), 0.5, self.training),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_written_as_functions_see_everything(name: str) -> None:
    row = rf.trace(Written(HEADS[name]), (8, 10))[-1]
    assert row[1:] == (1, 1, (8, 10), (3.5, 4.5))


def test_trace_takes_a_single_layer() -> None:
    assert rf.trace(nn.MaxPool2d(2), 8) == [("0", 4, 2, 2, 0.5)]


def test_trace_names_each_call_of_a_layer() -> None:
    relu = nn.ReLU()
    rows = rf.trace(nn.Sequential(nn.Conv2d(1, 1, 3), relu, nn.Sequential(nn.Conv2d(1, 1, 3), relu)), 9)
    assert [row.name for row in rows] == ["0", "1", "2.0", "1"]


def test_layers_of_a_network_are_numbers_where_the_directions_agree() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Sequential(nn.MaxPool2d((2, 3)), nn.Dropout()))
    assert rf.layers_of(network) == [Layer(3, 1, 1), Layer((2, 3), (2, 3))]


def test_a_layer_that_stands_in_several_places_counts_in_each() -> None:
    pool = nn.MaxPool2d(2)
    network = nn.Sequential(nn.Conv2d(1, 1, 3), pool, nn.Conv2d(1, 1, 3), nn.Sequential(nn.ReLU(), pool))
    assert rf.layers_of(network) == [Layer(3), Layer(2, 2), Layer(3), Layer(2, 2)]
    assert rf.receptive_field(rf.layers_of(network)) == rf.trace(network, 32)[-1].receptive_field == 10


def test_normalised_network_is_read() -> None:
    """As `models.load` gives torchvision's: a module of the course's own in front, with arithmetic in its forward."""
    model = nn.Sequential(models.Normalize([0.5] * 3, [0.2] * 3), skeleton("alexnet"))
    rows = {row.name: row.receptive_field for row in rf.trace(model, 224)}
    assert rows["1.features.12"] == 195


def test_trace_reads_every_network_of_the_course() -> None:
    for name in ("zoo", "zoo-gap", "zoo-alex", "zoo-tagged"):
        assert rf.trace(models.load(name), 64)[-1].output_size == 1
    assert rf.trace(models.load("digits"), 8)[-1].output_size == 1


def test_field_of_the_zoo_network() -> None:
    rows = {row.name: row for row in rf.trace(models.load("zoo"), 64)}
    assert (rows["10"].receptive_field, rows["10"].jump, rows["10"].first_centre) == (38, 8, 3.5)
    assert rows["11"].receptive_field == 46


# --- torchvision's networks: the literature's figures -------------------------------------------------------------

# Araujo, Norris and Sim 2019: 195 for AlexNet and 212 for VGG-16; 435 for ResNet-18, whose table has ResNet-50 and up.
# For each the layer, its figure, and the size of a strip that holds one field whole.
LITERATURE = {
    "alexnet": ("features.12", 195, 32, (64, 256)),
    "vgg16": ("features.30", 212, 32, (32, 288)),
    "resnet18": ("layer4.1.relu", 435, 32, (32, 480)),
}


def skeleton(name: str) -> nn.Module:
    """A network of torchvision without its weights, which nobody needs here."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)(weights=None).eval()


@pytest.mark.parametrize("name", LITERATURE)
def test_last_maps_have_the_field_of_the_literature(name: str) -> None:
    layer, field, jump, _ = LITERATURE[name]
    row = next(row for row in rf.trace(skeleton(name), 224)[::-1] if row.name == layer)
    assert (row.receptive_field, row.jump) == (field, jump)


@pytest.mark.parametrize("name", LITERATURE)
def test_field_of_the_literature_by_brute_force(name: str) -> None:
    """One output of the real network reads the first and the last column of its field, and none outside of it."""
    _, field, _, size = LITERATURE[name]
    model = skeleton(name)
    model = nn.Sequential(*list(model.children())[:-2]) if name == "resnet18" else model.features
    model = model.to_empty(device="cpu").double()
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.data.fill_(0.01)
    row = rf.trace(model, size)[-1]
    assert row.receptive_field == field
    output = next(output for output in range(99) if region_of(row, 1, output)[0] >= 0)
    first, last = map(int, region_of(row, 1, output))
    assert 0 < first < last < size[1] - 1
    images = torch.rand(3, 3, *size).double()
    images[0, :, :, :first] = images[0, :, :, last + 1 :] = torch.nan
    images[1, :, :, first] = torch.nan
    images[2, :, :, last] = torch.nan
    with torch.no_grad():
        broken = model(images)[..., output].isnan().flatten(1).any(1)
    assert broken.tolist() == [False, True, True]


def test_global_pooling_of_resnet_sees_all_fields_of_its_map() -> None:
    rows = {row.name: row for row in rf.trace(skeleton("resnet18"), 224)}
    assert rows["avgpool"].receptive_field == rows["fc"].receptive_field == 435 + 6 * 32


@pytest.mark.parametrize("name", LITERATURE)
def test_output_sizes_are_those_of_torch(name: str) -> None:
    """A pass on the meta device, which computes shapes and nothing else."""
    model, shapes = skeleton(name), {}
    for layer, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, output, layer=layer: shapes.update({layer: output.shape}))
    model(torch.empty(1, 3, 224, 240, device="meta"))
    sizes = {row.name: both(row.output_size) for row in rf.trace(skeleton(name), (224, 240))}
    maps = {layer: tuple(shape[2:]) for layer, shape in shapes.items() if len(shape) == 4}
    assert len(maps) > 10
    assert {layer: sizes[layer] for layer in maps} == maps


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "googlenet", "mobilenet_v2", "squeezenet1_1"])
def test_other_networks_of_torchvision_are_read(name: str) -> None:
    with torch.device("meta"):
        model = torchvision.models.get_model(name, **({"init_weights": False} if name == "googlenet" else {})).eval()
    assert rf.trace(model, 224)[-1].output_size == 1


# --- networks that trace refuses ----------------------------------------------------------------------------------


class Calling(nn.Module):
    """A network with something else in its forward."""

    def __init__(self, forward: Any, *layers: nn.Module) -> None:
        super().__init__()
        self.called, self.layers, self.conv = forward, nn.ModuleList(layers), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.called(self, inputs)


class Bent(nn.Conv2d):
    """A convolution in name only."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).flip(2)


def two_inputs() -> nn.Module:
    class Two(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return first + second

    return Two()


REFUSED = {
    "transposed": (
        nn.Sequential(nn.ConvTranspose2d(1, 1, 3)),
        r"layer '0' \(ConvTranspose2d\): write the network with",
    ),
    "upsampling": (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2)), r"layer '1' \(Upsample\)"),
    "own statistics": (nn.Sequential(nn.InstanceNorm2d(1)), r"layer '0' \(InstanceNorm2d\)"),
    "unknown kind": (nn.Sequential(nn.Conv1d(1, 1, 3)), r"layer '0' \(Conv1d\)"),
    "dense on a map": (nn.Sequential(nn.Linear(8, 8)), r"layer '0' \(Linear\) on a map .*put an nn.Flatten\(\) before"),
    "dense on a mean that is still a map": (
        Calling(lambda self, x: self.layers[0](self.conv(x).mean((2, 3), keepdim=True)), nn.Linear(1, 1)),
        r"layer 'layers.0' \(Linear\) on a map",
    ),
    "map from a vector": (nn.Sequential(nn.Flatten(), nn.Conv2d(1, 1, 3)), r"layer '1' \(Conv2d\) behind a flattening"),
    "odd flattening": (nn.Sequential(nn.Flatten(2)), r"start_dim=2"),
    "mirrored border": (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")), "padding_mode='reflect'"),
    "indices": (nn.Sequential(nn.MaxPool2d(2, return_indices=True)), "return_indices=True"),
    "uneven windows": (nn.Sequential(nn.AdaptiveAvgPool2d(5)), "5 windows on a map of 8 are not of one size and step"),
    "windows that come twice": (
        nn.Sequential(nn.AdaptiveMaxPool2d(16)),
        "16 windows on a map of 8 are not of one size and step",
    ),
    "one window, three times": (nn.Sequential(nn.AvgPool2d(8), nn.AdaptiveAvgPool2d(3)), "3 windows on a map of 1 are"),
    "functional convolution": (Calling(lambda self, x: F.conv2d(x, self.conv.weight)), r"operation 'conv2d'"),
    "functional pooling": (
        Calling(lambda self, x: F.max_pool2d(self.conv(x), 2)),
        r"operation '\w*max_pool2d\w*'|'fn'",
    ),
    "slicing": (Calling(lambda self, x: self.conv(x)[:, :, ::2]), "operation 'getitem'"),
    "flattened in part": (nn.Sequential(nn.Flatten(1, 2)), "start_dim=1, end_dim=2"),
    "made anew": (Calling(lambda self, x: self.conv(x).view(8, 8)), "operation 'view'"),
    "transposed by an attribute": (Calling(lambda self, x: self.conv(x).mT), "operation 'getattr'"),
    "two inputs of a layer": (Calling(lambda self, x: self.conv(x, x + 1)), r"'conv' \(Conv2d\), which is called with"),
    "shift": (Calling(lambda self, x: torch.roll(self.conv(x), 1, 2)), "operation 'roll'"),
    "transposition": (Calling(lambda self, x: self.conv(x).transpose(2, 3)), "operation 'transpose'"),
    "stacked in the batch": (Calling(lambda self, x: torch.cat([x, x], 0)), "operation 'cat'"),
    "flattened with the batch": (Calling(lambda self, x: torch.flatten(self.conv(x))), "operation 'flatten'"),
    "control flow": (Calling(lambda self, x: x if x.sum() > 0 else -x), "trace cannot read the network Calling"),
    "branches of other sizes": (
        Calling(lambda self, x: self.conv(x) + F.adaptive_avg_pool2d(x, 1)),
        "'add', where maps of different size or jump meet",
    ),
    "branches of other jumps": (
        Calling(lambda self, x: self.layers[0](x) + self.layers[1](x), nn.Conv2d(1, 1, 5), nn.Conv2d(1, 1, 1, 2)),
        "'add', where maps of different size or jump meet",
    ),
    "two inputs": (two_inputs(), r"several inputs \('second' is the second\)"),
    "changed convolution": (nn.Sequential(Bent(1, 1, 3)), r"the operation 'conv2d'|the operation 'flip'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_network_that_trace_does_not_know_is_refused_by_name(name: str) -> None:
    model, told = REFUSED[name]
    with pytest.raises(ValueError, match=told):
        rf.trace(model, 8)


def test_replaced_forward_is_no_known_layer() -> None:
    model = nn.Sequential(nn.ReLU())
    model[0].forward = lambda inputs: inputs.flip(2)
    with pytest.raises(ValueError, match=r"layer '0' \(ReLU\)"):
        rf.trace(model, 8)


def test_trace_leaves_the_network_and_the_random_state_alone() -> None:
    model = models.load("zoo").train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    rf.trace(model, 64)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.training
    assert torch.equal(state, torch.get_rng_state())


# --- bad arguments ------------------------------------------------------------------------------------------------

BAD = {
    "kernel of 0": (lambda: Layer(0), ValueError, "kernel_size must be at least 1, got 0"),
    "half a stride": (lambda: Layer(3, 0.5), TypeError, "stride must be a whole number or a pair"),
    "negative padding": (lambda: Layer(3, 1, -1), ValueError, "padding must be at least 0, got -1"),
    "no dilation": (lambda: Layer(3, dilation=(1, 0)), ValueError, "dilation must be at least 1, got 0"),
    "three numbers": (lambda: Layer((3, 3, 3)), ValueError, "kernel_size .*got 3 numbers"),
    "no list": (lambda: rf.receptive_field(Layer(3)), TypeError, "layers must be a list of Layer, got Layer"),
    "a network": (lambda: rf.receptive_field(nn.Sequential()), TypeError, r"use layers_of\(network\)"),
    "numbers": (lambda: rf.receptive_field([3, 3]), TypeError, "entry 0 is 3"),
    "five numbers": (lambda: rf.input_region([Layer(3), (3, 1, 0, 1, 7)], 0), TypeError, "entry 1 is"),
    "negative position": (lambda: rf.input_region([Layer(3)], -1), ValueError, "position must be at least 0, got -1"),
    "position between": (lambda: rf.input_region([Layer(3)], 1.5), TypeError, "position must be a whole number"),
    "no size": (lambda: rf.trace([Layer(3)], 0), ValueError, "input_size must be at least 1, got 0"),
    "size with channels": (lambda: rf.trace([Layer(3)], (3, 8, 8)), ValueError, "input_size .* got 3 numbers"),
    "too small": (lambda: rf.trace([Layer(3), Layer(7)], 8), ValueError, "no window of layer '2' fits"),
    "too small for the network": (
        lambda: rf.trace(nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), (3, 9)), ValueError, "of layer '1' fits",
    ),
    "no network": (lambda: rf.trace("zoo", 8), TypeError, "layers must be a list of Layer, got str"),
    "layers of no sequence": (lambda: rf.layers_of(nn.Conv2d(1, 1, 3)), TypeError, "nn.Sequential, got Conv2d"),
    "layers of a classifier": (lambda: rf.layers_of(models.load("zoo")), ValueError, r"'12' \(Flatten\) is no window"),
    "layers with odd padding": (
        lambda: rf.layers_of(nn.Sequential(nn.Conv2d(1, 1, 4, padding="same"))), ValueError, "give it padding=p",
    ),
    "layers with a mirrored border": (
        lambda: rf.layers_of(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))),
        ValueError, "give it padding=p",
    ),
    "spread of nothing": (lambda: rf.spread(torch.zeros(3, 3)), ValueError, "not all 0"),
    "spread of signed numbers": (lambda: rf.spread(-torch.eye(3)), ValueError, "not negative"),
    "spread of a batch": (lambda: rf.spread(torch.ones(2, 3, 3)), ValueError, r"got shape \(2, 3, 3\)"),
    "spread of integers": (lambda: rf.spread(torch.ones(3, 3).long()), TypeError, "float tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_argument_is_named(name: str) -> None:
    call, error, told = BAD[name]
    with pytest.raises(error, match=told):
        call()


# --- the effective field ------------------------------------------------------------------------------------------


def ones(depth: int, kernel_size: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A stack of equal convolutions whose weights are all 1, padded so that the size stays."""
    layers = [nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2, bias=False) for _ in range(depth)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers).to(dtype).eval()


def boxes(depth: int, kernel_size: int, size: int) -> Tensor:
    """The box of `kernel_size` pixels, convolved `depth` times with itself, in the middle of `size` places; sum 1."""
    line = np.ones(1)
    for _ in range(depth):
        line = np.convolve(line, np.ones(kernel_size) / kernel_size)
    before = size // 2 - len(line) // 2
    return torch.from_numpy(np.pad(line, (before, size - before - len(line))))


@pytest.mark.parametrize(("depth", "kernel_size"), [(1, 3), (2, 3), (6, 3), (3, 5), (2, 7)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-7)])
def test_equal_linear_layers_give_their_boxes_convolved(
    depth: int, kernel_size: int, dtype: torch.dtype, tolerance: float
) -> None:
    """Rounding alone: all numbers are at most 1/9, and sums of a few hundred products of small integers before."""
    field = rf.effective_receptive_field(ones(depth, kernel_size, dtype), str(depth - 1), (25, 30), n_samples=2)
    right = boxes(depth, kernel_size, 25)[:, None] * boxes(depth, kernel_size, 30)
    assert field.dtype == dtype
    torch.testing.assert_close(field, right.to(dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("depth", "kernel_size"), [(1, 3), (5, 3), (4, 5)])
def test_spread_grows_with_the_root_of_the_depth(depth: int, kernel_size: int) -> None:
    """The variance of a box of k pixels is (k^2 - 1) / 12, and variances add up. Rounding of doubles alone."""
    field = rf.effective_receptive_field(ones(depth, kernel_size), str(depth - 1), 41, n_samples=1)
    right = math.sqrt(depth * (kernel_size**2 - 1) / 12)
    assert rf.spread(field) == pytest.approx((right, right), rel=1e-12)


def test_spread_tells_rows_from_columns() -> None:
    field = torch.zeros(9, 9)
    field[4, 2] = field[4, 6] = 0.5
    assert rf.spread(field) == (0.0, 2.0)


def test_deep_stack_is_nearly_gaussian() -> None:
    """Twelve boxes of 3: close to a normal density, by the central limit theorem.

    The excess kurtosis of one box of 3 is -1.5 and of twelve -1.5 / 12. An eighth of it, 1.6 %, is missing at the top
    (the first term of the Edgeworth series), and twice that in two directions.
    """
    field = rf.effective_receptive_field(ones(12, 3), "11", 41, n_samples=1)
    deviation, _ = rf.spread(field)
    places = torch.arange(41, dtype=torch.float64) - 20
    line = torch.exp(-(places**2) / (2 * deviation**2)) / (deviation * math.sqrt(2 * math.pi))
    normal = line[:, None] * line
    assert (field - normal).abs().max() < 0.035 * normal.max()


def effective_networks() -> dict[str, tuple[nn.Module, str, tuple[int, int]]]:
    torch.manual_seed(3)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, dilation=2), nn.ReLU(),
        nn.Conv2d(5, 2, 1), nn.Flatten(), nn.Linear(2 * 5 * 7, 2),
    )  # fmt: skip
    inplace = nn.Sequential(nn.ReLU(True), nn.Conv2d(2, 4, 5, 2), nn.ReLU(True), nn.AvgPool2d(3, 1), nn.ReLU(True))
    normed = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 6, 3))
    return {
        "plain": (plain.eval(), "4", (18, 22)),
        "inner layer": (copy.deepcopy(plain), "0", (18, 22)),
        "in place": (inplace.eval(), "1", (17, 13)),
        "batch norm": (normed.eval().double(), "4", (12, 11)),
        "branches": (positive(BRANCHES["shortcut"]()).float(), "after", (16, 20)),
    }


EFFECTIVE = effective_networks()
every_effective = pytest.mark.parametrize("name", EFFECTIVE)


def field_of(name: str, **options: Any) -> Tensor:
    model, layer, size = EFFECTIVE[name]
    options = {"generator": torch.Generator().manual_seed(5), "n_samples": 12} | options
    return rf.effective_receptive_field(model, layer, size, **options)


@every_effective
def test_effective_field_sums_to_one_and_is_nowhere_negative(name: str) -> None:
    """Divided by its own sum: what is left is the rounding of at most 400 floats."""
    field = field_of(name)
    assert field.shape == EFFECTIVE[name][2]
    assert field.sum().item() == pytest.approx(1, abs=1e-5)
    assert (field >= 0).all()


@every_effective
def test_effective_field_is_exactly_zero_outside_the_theoretical_one(name: str) -> None:
    model, layer, size = EFFECTIVE[name]
    row = next(row for row in rf.trace(model, size) if row.name == layer)
    inside = torch.zeros(size, dtype=torch.bool)
    spans = []
    for direction in (0, 1):
        first, last = region_of(row, direction, along(row.output_size, direction) // 2)
        spans.append(slice(max(0, int(first)), int(last) + 1))
    inside[spans[0], spans[1]] = True
    field = rf.effective_receptive_field(
        copy.deepcopy(model).double(), layer, size, 12, torch.Generator().manual_seed(5)
    )
    assert not field[~inside].any()
    assert (field[inside] > 0).double().mean() > 0.3  # and it does reach much of it: dilation leaves some out
    assert not inside.all()


@every_effective
def test_effective_field_is_the_mean_size_of_finite_differences(name: str) -> None:
    """Central differences of the unit in the middle; in double precision, with a step of 1e-6, off by about 1e-8.

    A ReLU or a pooling may switch within the step: not with these images.
    """
    model, layer, size = EFFECTIVE[name]
    model = copy.deepcopy(model).double()
    channels = next(module for module in model.modules() if isinstance(module, nn.Conv2d)).in_channels
    images = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(6)).double()
    taken = {}
    part = model.get_submodule(layer)
    part.register_forward_hook(lambda _, __, output: taken.update(maps=output.clone()))

    def middle(images: Tensor) -> Tensor:
        with torch.no_grad():
            model(images.clone())
        maps = taken["maps"]
        return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum(1)

    steps = 1e-6 * torch.eye(channels * size[0] * size[1]).double().view(-1, channels, *size)
    slopes = torch.stack([(middle(image + steps) - middle(image - steps)) / 2e-6 for image in images])
    right = slopes.abs().mean(0).view(channels, *size).sum(0)
    came = rf.effective_field_of(model, layer, images)
    torch.testing.assert_close(came, right / right.sum(), rtol=0, atol=1e-7)


@every_effective
def test_noise_comes_from_the_generator(name: str) -> None:
    """The same images, drawn here; equal up to the order in which floats are added up."""
    model, layer, size = EFFECTIVE[name]
    channels = next(module for module in model.modules() if isinstance(module, nn.Conv2d)).in_channels
    dtype = next(model.parameters()).dtype
    images = torch.randn(12, channels, *size, generator=torch.Generator().manual_seed(5), dtype=dtype)
    torch.testing.assert_close(field_of(name), rf.effective_field_of(model, layer, images), rtol=1e-5, atol=1e-9)


@every_effective
def test_batch_size_changes_nothing(name: str) -> None:
    """Up to rounding: the sums over the images are taken in another order."""
    torch.testing.assert_close(field_of(name, batch_size=1), field_of(name, batch_size=100), rtol=1e-4, atol=1e-8)


def test_same_seed_same_field_and_another_seed_another_one() -> None:
    again = field_of("plain", generator=torch.Generator().manual_seed(5))
    other = field_of("plain", generator=torch.Generator().manual_seed(6))
    assert torch.equal(field_of("plain"), again)
    assert not torch.allclose(field_of("plain"), other)


@every_effective
def test_nothing_is_changed(name: str) -> None:
    model, _, _ = EFFECTIVE[name]
    before = copy.deepcopy(model.state_dict())
    random_states = torch.get_rng_state(), random.getstate()
    field_of(name, generator=None)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random_states[0])
    assert random.getstate() == random_states[1]


def test_hook_is_gone_after_an_error() -> None:
    model, layer, _ = EFFECTIVE["plain"]
    with pytest.raises(ValueError, match="cannot take images of shape"):
        rf.effective_receptive_field(model, layer, 50)
    assert not any(module._forward_hooks for module in model.modules())


def test_images_given_are_left_alone() -> None:
    model, layer, size = EFFECTIVE["in place"]
    images = torch.randn(2, 2, *size)
    before = images.clone()
    rf.effective_field_of(model, layer, images)
    assert torch.equal(images, before)
    assert not images.requires_grad


def test_frozen_weights_and_no_grad_do_not_matter() -> None:
    model, layer, size = EFFECTIVE["plain"]
    frozen = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        field = rf.effective_receptive_field(frozen, layer, size, 12, torch.Generator().manual_seed(5))
    assert torch.equal(field, field_of("plain"))


def test_network_without_a_convolution_takes_grey_images() -> None:
    model = nn.Sequential(nn.AvgPool2d((1, 2)), nn.BatchNorm2d(1)).eval()  # this batch norm takes one channel alone
    field = rf.effective_receptive_field(model, "1", (2, 4), n_samples=1)
    assert field.tolist() == [[0, 0, 0, 0], [0, 0, 0.5, 0.5]]


def test_layer_can_be_the_module_itself() -> None:
    model, _, size = EFFECTIVE["plain"]
    field = rf.effective_receptive_field(model, model[4], size, 12, torch.Generator().manual_seed(5))
    assert torch.equal(field, field_of("plain"))


def test_progress_bar_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    field_of("batch norm", progress=True)
    assert "Effective field" in capsys.readouterr().err


def never_active() -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.fill_(-1)
    return model


BAD_EFFECTIVE = {
    "no model": (("zoo", "0", 8), {}, TypeError, "model must be a torch.nn.Module, got str"),
    "train mode": ((nn.Sequential(nn.Conv2d(1, 1, 3), nn.Dropout(0.5)), "0", 8), {}, ValueError, "in train mode"),
    "no such layer": (
        (EFFECTIVE["plain"][0], "99", (18, 22)),
        {},
        ValueError,
        "model has no layer '99'; its layers are",
    ),
    "layer by number": ((EFFECTIVE["plain"][0], 4, (18, 22)), {}, TypeError, "layer must be a layer's name"),
    "dense layer": ((EFFECTIVE["plain"][0], "7", (18, 22)), {}, ValueError, "layer '7' must give maps"),
    "size with channels": ((EFFECTIVE["plain"][0], "4", (3, 18, 22)), {}, ValueError, "input_size .* got 3 numbers"),
    "no image": ((EFFECTIVE["plain"][0], "4", (18, 22)), {"n_samples": 0}, ValueError, "n_samples must be at least 1"),
    "no generator": ((EFFECTIVE["plain"][0], "4", (18, 22)), {"generator": 3}, TypeError, "generator must be"),
    "no batch": (
        (EFFECTIVE["plain"][0], "4", (18, 22)),
        {"batch_size": 0},
        ValueError,
        "batch_size must be at least 1",
    ),
    "wrong size": ((EFFECTIVE["plain"][0], "4", 40), {}, ValueError, r"cannot take images of shape \(3, 40, 40\)"),
    "never active": ((never_active(), "1", 8), {}, ValueError, "no pixel moves the central unit of layer '1'"),
}


@pytest.mark.parametrize("name", BAD_EFFECTIVE)
def test_bad_argument_of_the_effective_field_is_named(name: str) -> None:
    arguments, options, error, told = BAD_EFFECTIVE[name]
    with pytest.raises(error, match=told):
        rf.effective_receptive_field(*arguments, **options)


@pytest.mark.parametrize(
    ("images", "error", "told"),
    [
        (torch.rand(3, 18, 22), ValueError, "must be a batch"),
        (torch.rand(1, 3, 18, 22).double(), TypeError, "the model computes in torch.float32"),
        (torch.full((1, 3, 18, 22), torch.nan), ValueError, "finite"),
    ],
)
def test_bad_images_are_named(images: Tensor, error: type[Exception], told: str) -> None:
    model, layer, _ = EFFECTIVE["plain"]
    with pytest.raises(error, match=told):
        rf.effective_field_of(model, layer, images)
