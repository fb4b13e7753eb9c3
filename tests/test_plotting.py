"""The pictures, tested on the figure's objects: colour scales, titles, outlines, and text that does not overlap."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.text import Text
from torch import Tensor

from course_utils import plotting
from course_utils.evaluation import ScoreTable
from course_utils.receptive_fields import Layer, input_region

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(4, 3, 12, 16, generator=GENERATOR)
MAPS = torch.randn(4, 3, 12, 16, generator=GENERATOR)
MASKS = torch.zeros(4, 12, 16, dtype=torch.bool)
MASKS[:, 3:7, 5:10] = True
NAMES = ["cup", "zebra with stripes", "a title that is much too long for one line", "ball"]
TABLE = ScoreTable(
    ("gradient", "integrated gradients", "edge detector"),
    ("pointing game", "mass"),
    torch.rand(3, 2, 9, generator=GENERATOR, dtype=torch.float64),
)
POINTS = {"VGG": (212.0, 71.5), "ResNet": (483.0, 75.2), "Inception": (3039.0, 80.4)}
ReLU = {"$X_n$": torch.tensor([[1.0, -1.0], [-5.5, 2.25]]), "$X_{n+1}$": torch.tensor([[1.0, 0.0], [0.0, 2.25]])}
POOL_IN = torch.arange(16.0).view(4, 4) - 3
POOL_OUT = torch.tensor([[2.0, 4.0], [10.5, float("nan")]])
SWITCHES = torch.zeros(4, 4, dtype=torch.bool)
SWITCHES[1, 1] = SWITCHES[1, 3] = SWITCHES[3, 1] = True

STEP = {
    "inputs": torch.arange(20.0).view(4, 5),
    "weight": torch.tensor([[1.0, -2.0], [3.0, 0.0]]),
    "outputs": torch.full((4, 5), -7.5),
    "shared": torch.tensor([[5, 1], [6, 2], [7, 3], [8, 4]]),
}
ARCS = {"$w_1$": torch.tensor([[0, 1], [2, 9]]), "$w_2$": torch.tensor([[1, 0]]), "none": torch.zeros(0, 2)}

SYMBOLS = {"$M$": [["r_1 w_1", "0", "w_12"], ["−2.5", "r_2 w_4", ""]], "$x$": [["x_1"], ["x_2"], ["x_3"]]}
FRAMED = torch.tensor([[True, False, False], [False, True, False]])
DROPPED = torch.tensor([[False, False, True], [False, False, True]])
SUPERPIXELS = torch.zeros(2, 12, 16, dtype=torch.long)
SUPERPIXELS[0, :, 8:] = 1
SUPERPIXELS[0, 6:] += 2
SUPERPIXELS[1, 4:] = 1
PAIRS = {"cup": (2.0, 1.5), "zebra": (-1.25, 0.5), "ring": (0.0, 3.0)}
LOSSES = {
    name: {"training": (np.arange(5.0), IMAGES[0, 0, :3, :5]), "validation": IMAGES[0, 1, 0, :5]}
    for name in ("one", "two", "a third panel with a longer title")
}
SPREAD = {"clean": torch.tensor([0.1, 0.2, 0.9]), "noise": torch.tensor([1.0, 2.0, 3.0, 4.0])}

GRAPH = ([["$a = 2$", "$a = 1$", "bias"], ["$z = 4$\n$a = 4$"] * 3, ["$f = 12$"]],)
GRAPH_ARCS = {(0, j, k): f"{j}.{k}" for j in range(3) for k in range(3)} | {(1, k, 0): "−1.5" for k in range(3)}
GRAPH_VALUES = [[-2.0, 8.0, float("nan")], [4.0, 0.0, -4.0], [12.0]]
SUMS = {"pixels": 1.5, "0: Conv2d": 2.5, "13: Linear": -0.5, "15: Linear": 4.0}
WEIGHTS = {"worst texture": 1.25, "perimeter error": -0.5, "radius": 0.0}
NUMBERS = [np.random.default_rng(k).normal(0, 1 / (k + 1), 2000) for k in range(4)]
HISTOGRAMS = {
    "healthy: first convolution": (np.arange(0, 40, 10), [np.histogram(numbers, 80)[::-1] for numbers in NUMBERS]),
    "all off": (np.array([0, 7]), [(np.array([-1e-12, 0, 1e-12]), np.array([0, 5]))] * 2),
    "once": (np.array([3]), [np.histogram(NUMBERS[0], 10)[::-1]]),
}
CHANGES = torch.full((3, 4), float("nan"))
CHANGES[0], CHANGES[1, :3] = torch.tensor([0.5, -2.0, 0.0, 1.0]), torch.tensor([-1.0, 0.25, -3.0])

PICTURES = {
    "image_grid": lambda: plotting.image_grid(IMAGES, NAMES, heading="Images"),
    "image_grid in two rows": lambda: plotting.image_grid(IMAGES, NAMES, columns=3),
    "heatmap_grid": lambda: plotting.heatmap_grid(MAPS, NAMES, heading="Maps"),
    "heatmap_grid over images": lambda: plotting.heatmap_grid(MAPS, NAMES, IMAGES, MASKS, 2, quantile=0.9),
    "heatmap_grid of one map": lambda: plotting.heatmap_grid(
        MAPS[:1], label="a long label of the values, and its unit"
    ),
    "method_grid": lambda: plotting.method_grid(
        IMAGES, {"gradient": MAPS, "integrated gradients": 100 * MAPS}, NAMES, MASKS, "Methods"
    ),
    "explanation": lambda: plotting.explanation(IMAGES[0], MAPS[0], MASKS[0], "Gradient"),
    "matrices": lambda: plotting.matrices(ReLU, "Forward", "→"),
    "matrices, one small table": lambda: plotting.matrices({"w": MAPS[0, 0, :1, :2]}, "A heading far wider than it"),
    "pooling_step": lambda: plotting.pooling_step(
        POOL_IN, POOL_OUT, POOL_OUT, torch.zeros(4, 4), SWITCHES, (0, 2, 2, 2), (0, 1), "A window, and what it gets"
    ),
    "pooling_step, forward alone": lambda: plotting.pooling_step(MAPS[0, 0, :6, :6], MAPS[1, 0, :5, :5]),
    "curves": lambda: plotting.curves({"one": IMAGES[0, 0, 0], "two": IMAGES[0, 0, 1]}, "step", "score", "Curves"),
    "score_chart": lambda: plotting.score_chart(TABLE, ["edge detector"], 0.15, "Scores"),
    "convolution_step": lambda: plotting.convolution_step(
        STEP["inputs"], STEP["weight"], STEP["outputs"], 1, 1, 2, (1, 2), (0, 1), STEP["shared"], "A step"
    ),
    "shared_arcs": lambda: plotting.shared_arcs(
        [f"${i}$\n$y = {i}$" for i in range(10)], ["10", "11", "12"], ARCS, "Arcs", "weight"
    ),
    "receptive_pyramid": lambda: plotting.receptive_pyramid([Layer(3)] * 2, 7, heading="Two layers"),
    "receptive_pyramid, one output": lambda: plotting.receptive_pyramid([Layer(3, 2, 1)] * 3, 24, [1], "Stride 2"),
    "receptive_pyramid, wide": lambda: plotting.receptive_pyramid(
        [Layer(5, 1, 2 * d, d) for d in (1, 2, 4, 8)], 40, [3]
    ),
    "regions_over_image": lambda: plotting.regions_over_image(
        IMAGES[0], {"layer 1": ((2, 4), (3, 7)), "layer 2, with a longer name": ((-3, 6), (1, 18))}, "Regions"
    ),
    "scatter": lambda: plotting.scatter(
        POINTS, "field, pixels", "accuracy, %", "Published", True, {"Inception": "left"}
    ),
    "symbol_matrices": lambda: plotting.symbol_matrices(
        SYMBOLS, {"$M$": MAPS[0, 0, :2, :3]}, {"$M$": FRAMED}, {"$M$": DROPPED}, ["="], "A product"
    ),
    "symbol_matrices, as wide as can be": lambda: plotting.symbol_matrices(
        {name: [[f"w_{i}{j}" for i in range(1, 10)] for j in range(1, 10)] for name in ("$W$", "gradient")}
    ),
    "curve_grid": lambda: plotting.curve_grid(LOSSES, "epoch", "loss (nats)", "Losses", 2, {"one": 3.0}, (0, 1)),
    "curve_grid, many lines": lambda: plotting.curve_grid(
        {title: {f"method number {k}": np.arange(5) / (k + 1) for k in range(11)} for title in ("one", "two")},
        "layers",
        "similarity",
        "Many lines, a legend of several rows",
        2,
    ),
    "distributions": lambda: plotting.distributions(SPREAD, "entropy (nats)", "Spread", "clean"),
    "distributions of two measures": lambda: plotting.distributions({"a": SPREAD, "b": SPREAD}, "nats"),
    "neuron_graph": lambda: plotting.neuron_graph(*GRAPH, GRAPH_ARCS, GRAPH_VALUES, "A small network"),
    "neuron_graph without values": lambda: plotting.neuron_graph(*GRAPH, GRAPH_ARCS),
    "layer_sums": lambda: plotting.layer_sums(
        {name: torch.tensor(list(SUMS.values())) for name in ("0", "epsilon", "gamma", "composite")},
        list(SUMS),
        4.0,
        "Sums",
    ),
    "relevance_and_sums": lambda: plotting.relevance_and_sums(
        IMAGES[0], MAPS[0], SUMS, 4.0, MASKS[0], "Where from?", "relevance, in units of the score", 0.9
    ),
    "bars": lambda: plotting.bars(WEIGHTS, "weight, per standard deviation", "Weights"),
    "histogram_grid": lambda: plotting.histogram_grid(HISTOGRAMS, "gradient of a weight", "A training"),
    "occlusion_step": lambda: plotting.occlusion_step(
        IMAGES[0], IMAGES[1], CHANGES, (4, 6, 4, 8), (1, 2), "Patch 6 of 12", "L_noccl − L_occl (nats)"
    ),
    "superpixel_grid": lambda: plotting.superpixel_grid(
        IMAGES[:2], SUPERPIXELS, NAMES[:2], heading="Two", numbers=True
    ),
    "coalition_step": lambda: plotting.coalition_step(
        IMAGES[0], SUPERPIXELS[0], IMAGES[1], PAIRS, ("what is left", "the whole image"), "class score", "2 of 4"
    ),
    "message": lambda: plotting.message("No picture: " + "something went wrong " * 8),
}


@cache
def picture(name: str) -> plotting.Picture:
    return PICTURES[name]()


def maps_in(figure: Figure) -> list[AxesImage]:
    """The images of a figure that are drawn in the diverging colours."""
    return [image for ax in figure.axes for image in ax.images if image.cmap.name == plotting.SIGNED]


def panels(figure: Figure) -> list[Axes]:
    """The axes that show an image, in reading order."""
    return [ax for ax in figure.axes if ax.images]


def texts(figure: Figure) -> list[Text]:
    """The texts that are drawn; an axis keeps labels outside its range, too, which are not."""
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    outside = {
        id(label)
        for axis in axes
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval()) or not axis.axes.axison
    }
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in outside]


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_overlaps_another_or_leaves_the_picture(name: str) -> None:
    figure = picture(name)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in texts(figure)]
    assert boxes
    for text, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, f"{text!r} leaves the picture"
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        apart = min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 1
        assert apart, f"{first!r} overlaps {second!r}"


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_is_too_small_to_read(name: str) -> None:
    assert min(t.get_fontsize() for t in texts(picture(name))) >= 9


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_no_wider_than_a_notebook(name: str) -> None:
    assert picture(name).get_figwidth() <= 9.6


@pytest.mark.parametrize("name", PICTURES)
def test_pyplot_keeps_no_picture(name: str) -> None:
    from matplotlib import pyplot

    picture(name).png()
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_itself_as_png_with_its_text(name: str) -> None:
    figure = picture(name)
    data = figure._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == figure.alt != ""


def test_a_notebook_shows_a_picture_without_pyplot() -> None:
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(picture("curves"))
    assert isinstance(data["image/png"], str)


def test_the_text_of_a_picture_names_its_heading_and_titles() -> None:
    alt = picture("image_grid").alt
    assert all(word in alt for word in ["Images", *NAMES])


# Networks and sums of relevance


def test_each_node_and_each_arc_of_a_network_carries_its_text() -> None:
    shown = Counter(t.get_text() for t in texts(picture("neuron_graph")))
    nodes = Counter(text for layer in GRAPH[0] for text in layer)
    assert shown == nodes + Counter(GRAPH_ARCS.values()) + Counter(["A small network"])


def test_each_arc_of_a_network_joins_its_two_nodes_and_its_text_stands_on_it() -> None:
    ax = picture("neuron_graph").axes[0]
    place = {text.get_text(): text.get_position() for text in ax.texts}
    lines = [line.get_xydata().tolist() for line in ax.lines]
    assert len(lines) == len(GRAPH_ARCS)
    assert [list(place["$a = 1$"]), [1, 2]] in lines and [[1, 0], list(place["$f = 12$"])] in lines
    for text in ("1.2", "0.0"):  # from the second node to the third, from the first to the first
        first, second = (int(number) for number in text.split("."))
        (x, y), start, end = place[text], np.array([0, first]), np.array([1, second])
        assert np.allclose((y - start[1]) / (end[1] - start[1] or 1), x * (end[1] != start[1]))


def test_nodes_of_a_network_are_red_where_positive_and_blue_where_negative() -> None:
    colours = {t.get_text(): t.get_bbox_patch().get_facecolor() for t in picture("neuron_graph").axes[0].texts}
    positive, negative = colours["$a = 1$"], colours["$a = 2$"]
    assert positive[0] > positive[2] and negative[2] > negative[0] and colours["bias"] == to_rgba("white")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([["a"]], {}), "layers must be at least two"),
        (([["a"], []], {}), "layers must be at least two, each with a node"),
        (([["a"], ["b"]], {(0, 0, 1): "w"}), r"arc \(0, 0, 1\) leads from or to a node that is not in the layers"),
        (([["a"], ["b"]], {(1, 0, 0): "w"}), r"arc \(1, 0, 0\) leads"),
        (([["a"], ["b"]], {}, [[1.0], [1.0, 2.0]]), "values must be arranged as layers"),
    ],
)
def test_a_network_that_cannot_be_drawn_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.neuron_graph(*arguments)


@pytest.mark.parametrize("name", ["layer_sums", "relevance_and_sums"])
def test_a_bar_is_the_sum_of_its_layer_and_the_dashed_line_the_score(name: str) -> None:
    bars = [ax for ax in picture(name).axes if ax.patches and ax.lines]
    assert len(bars) == (4 if name == "layer_sums" else 1)
    for ax in bars:
        assert [patch.get_height() for patch in ax.patches] == list(SUMS.values())
        assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [4.0]
        below_zero = {patch.get_height() < 0 for patch in ax.patches if patch.get_facecolor() == to_rgba("#0072B2")}
        assert below_zero == {True}


def test_sums_are_said_in_words() -> None:
    alt = picture("layer_sums").alt
    assert "composite: 1.50, 2.50, -0.50, 4.00" in alt and "the score is 4.00" in alt
    assert "15: Linear 4.00" in picture("relevance_and_sums").alt


def test_the_map_beside_the_sums_is_that_of_the_pixels() -> None:
    (shown,) = maps_in(picture("relevance_and_sums"))
    assert np.allclose(shown.get_array(), MAPS[0].sum(0))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.layer_sums({}, ["a"], 1.0), "sums is empty"),
        (lambda: plotting.layer_sums({"0": [1.0, 2.0]}, ["a"], 1.0), r"sums\['0'\] must be of shape \(1,\)"),
        (lambda: plotting.relevance_and_sums(IMAGES[0], MAPS[0], {}, 1.0), "sums is empty"),
    ],
)
def test_sums_that_cannot_be_drawn_are_refused(draw: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


# Maps


SIGNED_PICTURES = ["heatmap_grid", "heatmap_grid over images", "method_grid", "explanation", "matrices"]


@pytest.mark.parametrize("name", [*SIGNED_PICTURES, "pooling_step"])
def test_signed_colours_are_centred_on_zero(name: str) -> None:
    for image in maps_in(picture(name)):
        assert image.norm(0.0) == 0.5


@pytest.mark.parametrize("name", SIGNED_PICTURES)
def test_a_picture_has_one_colour_scale(name: str) -> None:
    assert len({(image.norm.vmin, image.norm.vmax) for image in maps_in(picture(name))}) == 1


@pytest.mark.parametrize("name", ["heatmap_grid", "heatmap_grid over images", "method_grid", "explanation"])
def test_maps_have_a_labelled_colour_bar_from_the_lowest_to_the_highest_value(name: str) -> None:
    figure = picture(name)
    [bar] = [ax for ax in figure.axes if "relevance" in ax.get_ylabel()]
    assert bar.get_yticks().tolist() == [maps_in(figure)[0].norm.vmin, 0.0, maps_in(figure)[0].norm.vmax]


@pytest.mark.parametrize(("values", "shown"), [([[0.0, 3.0]], (0.0, 3.0)), ([[-1.0, 3.0]], (-3.0, 3.0))])
def test_the_colour_bar_has_no_negative_half_where_no_value_is_negative(
    values: list, shown: tuple[float, float]
) -> None:
    figure = plotting.heatmap_grid(torch.tensor([values]))
    [bar] = [ax for ax in figure.axes if ax.get_ylabel()]
    assert bar.get_ylim() == shown
    assert maps_in(figure)[0].norm(0.0) == 0.5


def test_maps_are_drawn_as_they_are_summed_over_the_channels() -> None:
    drawn = np.stack([image.get_array() for image in maps_in(plotting.heatmap_grid(MAPS))])
    np.testing.assert_allclose(drawn, MAPS.double().sum(dim=1), rtol=1e-6)


def test_the_colour_scale_ends_at_the_largest_size() -> None:
    figure = plotting.heatmap_grid(torch.tensor([[[1.0, -3.0]], [[2.0, 0.0]]]))
    assert maps_in(figure)[0].norm.vmax == 3.0


def test_the_colour_scale_can_end_at_a_quantile_and_then_has_arrows() -> None:
    values = torch.arange(101.0).view(1, 1, 101)
    figure = plotting.heatmap_grid(values, quantile=0.9)
    assert maps_in(figure)[0].norm.vmax == pytest.approx(90.0)
    [bar] = [ax for ax in figure.axes if ax.get_ylabel()]
    assert bar._colorbar.extend == "both"


def test_a_scale_for_each_map_makes_maps_of_different_units_alike_and_says_so() -> None:
    figure = plotting.heatmap_grid(torch.cat([MAPS[:1], 1000 * MAPS[:1]]), scale="map")
    first, second = maps_in(figure)
    np.testing.assert_allclose(first.get_array(), second.get_array(), rtol=1e-5)
    assert any("its own scale" in ax.get_ylabel().replace("\n", " ") for ax in figure.axes)


def test_one_scale_keeps_maps_of_different_units_apart() -> None:
    first, second = maps_in(plotting.heatmap_grid(torch.cat([MAPS[:1], 1000 * MAPS[:1]])))
    np.testing.assert_allclose(1000 * first.get_array(), second.get_array(), rtol=1e-5)


@pytest.mark.parametrize("scale", ["figure", "map"])
def test_a_map_of_zeros_is_drawn_white(scale: str) -> None:
    [image] = maps_in(plotting.heatmap_grid(torch.zeros(1, 4, 4), scale=scale))
    assert (image.norm.vmin, image.norm.vmax) == (-1, 1)
    assert (image.get_array() == 0).all()


def test_a_quantile_of_zero_size_falls_back_to_the_largest_size() -> None:
    sparse = torch.zeros(1, 10, 10)
    sparse[0, 0, 0] = 5.0
    assert maps_in(plotting.heatmap_grid(sparse, quantile=0.5))[0].norm.vmax == 5.0


def test_an_overlay_is_transparent_where_the_map_is_zero() -> None:
    values = torch.tensor([[[0.0, 1.0]]])
    figure = plotting.heatmap_grid(values, images=torch.rand(1, 3, 4, 8))
    [image] = maps_in(figure)
    np.testing.assert_allclose(image.get_alpha()[0], [0.0, 0.9])


def test_an_overlay_stretches_a_small_map_over_the_image() -> None:
    figure = plotting.heatmap_grid(torch.rand(1, 2, 2), images=torch.rand(1, 3, 8, 8))
    assert panels(figure)[0].images[0].get_extent() == panels(figure)[0].images[1].get_extent()


@pytest.mark.parametrize("shown", [(12, 16), (3, 4)])
def test_the_outline_runs_around_the_mask_in_the_pixels_of_the_panel(shown: tuple[int, int]) -> None:
    figure = plotting.heatmap_grid(torch.rand(1, *shown), masks=MASKS[:1])
    [contour] = panels(figure)[0].collections
    corners = np.concatenate([path.vertices for path in contour.get_paths()])
    shrink = shown[0] / 12
    np.testing.assert_allclose(corners.min(0), [5 * shrink - 0.5, 3 * shrink - 0.5], atol=0.51 * shrink)
    np.testing.assert_allclose(corners.max(0), [10 * shrink - 0.5, 7 * shrink - 0.5], atol=0.51 * shrink)


def test_the_outline_of_an_object_at_the_border_is_closed() -> None:
    mask = torch.ones(1, 6, 6, dtype=torch.bool)
    figure = plotting.heatmap_grid(torch.rand(1, 6, 6), masks=mask)
    [contour] = panels(figure)[0].collections
    vertices = contour.get_paths()[0].vertices
    np.testing.assert_allclose(vertices[0], vertices[-1])


# Grids


def test_a_grid_has_a_panel_for_each_image_with_its_title() -> None:
    figure = picture("image_grid in two rows")
    assert [ax.get_title().replace("\n", " ") for ax in panels(figure)] == NAMES


@pytest.mark.parametrize(("columns", "shape"), [(None, (1, 4)), (3, (2, 3)), (1, (4, 1)), (4, (1, 4))])
def test_a_grid_has_the_asked_number_of_columns(columns: int | None, shape: tuple[int, int]) -> None:
    spec = plotting.image_grid(IMAGES, columns=columns).axes[0].get_gridspec()
    assert (spec.nrows, spec.ncols) == shape


@pytest.mark.parametrize(
    ("images", "shape"), [(IMAGES, (12, 16, 3)), (IMAGES[:, :1], (12, 16)), (IMAGES[:, 0], (12, 16))]
)
def test_colour_and_grey_images_are_drawn(images: Tensor, shape: tuple[int, ...]) -> None:
    assert panels(plotting.image_grid(images))[0].images[0].get_array().shape == shape


def test_values_beyond_the_range_are_clipped() -> None:
    drawn = panels(plotting.image_grid(torch.tensor([[[-1.0, 2.0]]])))[0].images[0].get_array()
    assert drawn.tolist() == [[0.0, 1.0]]


def test_numpy_arrays_and_tensors_give_the_same_picture() -> None:
    assert plotting.heatmap_grid(MAPS).png() == plotting.heatmap_grid(MAPS.numpy()).png()


def test_a_tensor_with_a_gradient_can_be_drawn() -> None:
    plotting.explanation(IMAGES[0].clone().requires_grad_(), MAPS[0].clone().requires_grad_())


def test_the_method_grid_has_a_row_for_each_image_and_a_column_for_each_method() -> None:
    figure = picture("method_grid")
    spec = figure.axes[0].get_gridspec()
    assert (spec.nrows, spec.ncols) == (4, 3)
    assert [ax.get_title().replace("\n", " ") for ax in panels(figure)[:3]] == [
        "image",
        "gradient",
        "integrated gradients",
    ]


def test_the_method_grid_puts_each_map_into_its_row_and_column() -> None:
    methods = {"first": MAPS, "second": -2 * MAPS}
    drawn = [i.get_array() for i in maps_in(plotting.method_grid(IMAGES, methods, scale="figure"))]
    expected = [sign * m for m in MAPS.double().sum(dim=1) for sign in (1, -2)]
    np.testing.assert_allclose(np.stack(drawn), torch.stack(expected), rtol=1e-6)


def test_an_explanation_shows_image_map_and_overlay() -> None:
    figure = picture("explanation")
    assert [ax.get_title() for ax in panels(figure)] == ["image", "map", "map over the image"]


# Tables, curves, scores


def test_a_table_shows_its_numbers_cell_by_cell() -> None:
    first = panels(picture("matrices"))[0]
    cells = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in first.texts}
    assert cells == {(0, 0): "1", (0, 1): "−1", (1, 0): "−5.5", (1, 1): "2.25"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.001, "0"), (1.0, "1"), (0.126, "0.13"), (-7.0, "−7"), (100.0, "100"), (1.5, "1.5")],
)
def test_a_number_is_written_as_short_as_it_can_be(value: float, text: str) -> None:
    [ax] = panels(plotting.matrices({"a": torch.tensor([[value]])}))
    assert ax.texts[0].get_text() == text


def test_an_unknown_entry_of_a_table_stays_empty() -> None:
    [ax] = panels(plotting.matrices({"a": torch.tensor([[1.0, float("nan")]])}))
    assert [t.get_text() for t in ax.texts] == ["1"]


def test_numbers_stay_readable_on_the_darkest_cell() -> None:
    [ax] = panels(plotting.matrices({"a": torch.tensor([[-1.0, 0.0, 1.0]])}))
    image = ax.images[0]
    colours = image.cmap(image.norm(np.array([-1.0, 0.0, 1.0])))[:, :3] * image.get_alpha() + 1 - image.get_alpha()
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    contrast = (linear @ [0.2126, 0.7152, 0.0722] + 0.05) / 0.05  # WCAG, black text
    assert contrast.min() > 4.5


def test_the_arrow_stands_between_the_tables() -> None:
    figure = picture("matrices")
    assert [[t.get_text() for t in ax.texts].count("→") for ax in panels(figure)] == [0, 1]


def frames(ax: Axes) -> list[tuple[float, ...]]:
    """The frames drawn on a table: first row and column, rows and columns."""
    return [(r.get_y() + 0.5, r.get_x() + 0.5, r.get_height(), r.get_width()) for r in ax.patches]


def test_a_pooling_step_shows_values_on_top_and_gradients_below() -> None:
    shown = [[t.get_text() for t in ax.texts if t.get_text() not in "→←"] for ax in panels(picture("pooling_step"))]
    assert shown[0] == [plotting._number(v, 2) for v in POOL_IN.flatten().tolist()]
    assert shown[1] == shown[3] == ["2", "4", "10.5"]
    assert shown[2] == ["0"] * 16


def test_a_pooling_step_outlines_the_window_and_its_output() -> None:
    large, small, back, signal = panels(picture("pooling_step"))
    assert frames(large)[-1] == frames(back)[-1] == (0, 2, 2, 2)
    assert frames(small) == frames(signal) == [(0, 1, 1, 1)]


def test_a_pooling_step_frames_the_switches_and_writes_them_bold() -> None:
    large = panels(picture("pooling_step"))[0]
    framed = [(round(row), round(column)) for row, column, *_ in frames(large)[:-1]]
    bold = [t.get_text() for t in large.texts if t.get_fontweight() == "bold"]
    assert framed == [(1, 1), (1, 3), (3, 1)]
    assert bold == ["2", "4", "10"]


def test_a_pooling_step_has_one_scale_for_the_values_and_one_for_the_gradients() -> None:
    scales = [image.norm.vmax for image in maps_in(picture("pooling_step"))]
    assert scales == [12, 12, 10.5, 10.5]


def test_a_cell_that_is_not_computed_yet_is_grey_and_not_white() -> None:
    below = panels(picture("pooling_step"))[1].images[0].get_array()
    assert below.tolist() == [[1, 1], [1, 0.92]]


def cells_of(ax: Axes) -> dict[tuple[int, int], str]:
    """The texts of a table by (row, column)."""
    return {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}


def frames_of(ax: Axes, colour: str) -> list[tuple[int, int]]:
    """The first (row, column) in each frame of a colour."""
    frames = [patch for patch in ax.patches if patch.get_edgecolor() == to_rgba(colour)]
    return sorted((round(f.get_y() + 0.5), round(f.get_x() + 0.5)) for f in frames)


def test_a_convolution_step_shows_kernel_padded_input_and_output() -> None:
    kernel, padded, output = picture("convolution_step").axes
    assert cells_of(kernel) == {(0, 0): "1", (0, 1): "−2", (1, 0): "3", (1, 1): "0"}
    assert cells_of(padded)[1, 1] == "0" and cells_of(padded)[4, 5] == "19" and len(cells_of(padded)) == 6 * 7
    assert set(cells_of(output).values()) == {"−7.5"}


def test_a_convolution_step_frames_the_window_with_its_holes_and_the_lit_output() -> None:
    _, padded, output = picture("convolution_step").axes
    assert frames_of(padded, plotting.OUTLINE) == [(1, 2), (1, 4), (3, 2), (3, 4)]
    assert frames_of(output, plotting.OUTLINE) == [(1, 2)]


@pytest.mark.parametrize("stride", [1, 3, (2, 1)])
def test_the_window_of_a_convolution_step_stands_at_stride_times_the_position(stride: int | tuple[int, int]) -> None:
    figure = plotting.convolution_step(torch.rand(9, 9), torch.rand(2, 2), torch.rand(2, 3), stride, position=(1, 2))
    rows, columns = (stride, stride) if isinstance(stride, int) else stride
    assert frames_of(figure.axes[1], plotting.OUTLINE) == [(rows, 2 * columns)]


def test_a_convolution_step_frames_the_chosen_weight_and_both_ends_of_its_connections() -> None:
    kernel, padded, output = picture("convolution_step").axes
    assert frames_of(kernel, "black") == [(0, 1)]
    assert frames_of(padded, "black") == [(1, 2), (1, 3), (1, 4), (1, 5)]
    assert frames_of(output, "black") == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_the_connection_of_the_lit_output_is_the_only_thick_line() -> None:
    lines = [artist for artist in picture("convolution_step").artists if isinstance(artist, ConnectionPatch)]
    assert [line.get_linewidth() > 2 for line in lines] == [False, False, True, False]


def test_all_cells_of_a_convolution_step_are_of_one_size() -> None:
    figure = picture("convolution_step")
    FigureCanvasAgg(figure).draw()
    sizes = [np.diff(ax.transData.transform([(0, 0), (1, 1)]), axis=0).ravel() for ax in figure.axes]
    np.testing.assert_allclose(sizes, np.broadcast_to(sizes[0], (3, 2)), rtol=0.02)  # a pixel of rounding in 40


def test_an_arc_joins_the_two_neurons_that_it_names() -> None:
    [ax] = picture("shared_arcs").axes
    places = {t.get_text().split("$")[1] if "$" in t.get_text() else t.get_text(): t.get_position() for t in ax.texts}
    drawn = [line.get_xydata().tolist() for line in ax.lines if len(line.get_xdata())]
    wanted = [("1", "10"), ("9", "12"), ("0", "11")]  # from below to above, weight by weight
    np.testing.assert_allclose(drawn, [[places[lower], places[upper]] for lower, upper in wanted])


def test_arcs_of_one_weight_look_alike_and_those_of_another_different() -> None:
    [ax] = picture("shared_arcs").axes
    first, second, third = [(line.get_color(), line.get_linestyle()) for line in ax.lines if len(line.get_xdata())]
    assert first == second != third
    [legend] = picture("shared_arcs").legends
    assert [text.get_text() for text in legend.get_texts()] == list(ARCS)


def boxes(figure: Figure) -> list[Rectangle]:
    """The elements of a pyramid, input first, each row from left to right."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    return sorted(found, key=lambda patch: (round(patch.get_y(), 3), patch.get_x()))


def is_dashed(patch: Rectangle) -> bool:
    return patch.get_linestyle() != "-"


def test_a_pyramid_has_a_box_for_each_element_of_each_layer() -> None:
    rows = Counter(round(box.get_y(), 3) for box in boxes(picture("receptive_pyramid")))
    assert [rows[y] for y in sorted(rows)] == [7, 5, 3]


def test_an_element_stands_above_the_middle_of_what_it_sees() -> None:
    # Kernel 4, stride 2: the first output sees the inputs 0 to 3, the second 2 to 5; their middles are 1.5 and 3.5.
    drawn = boxes(plotting.receptive_pyramid([Layer(4, 2)], 6, [0]))
    middles = [box.get_x() + box.get_width() / 2 for box in drawn]
    cell = middles[1] - middles[0]
    assert np.allclose(np.array(middles[6:]) / cell - middles[0] / cell, [1.5, 3.5])


def test_a_pyramid_colours_what_the_output_reads_and_nothing_else() -> None:
    # Dilation 2 in two layers: output 1 reads 1, 3, 5 of layer 1 and 1, 3, 5, 7, 9 of the input of 12.
    drawn = boxes(plotting.receptive_pyramid([Layer(3, dilation=2)] * 2, 12, [1]))
    coloured = [k for k, box in enumerate(drawn) if to_rgba(box.get_facecolor()) != to_rgba("white")]
    assert coloured == [1, 3, 5, 7, 9, 12 + 1, 12 + 3, 12 + 5, 12 + 8 + 1]


def test_padding_in_a_pyramid_is_dashed_and_nothing_is_followed_below_it() -> None:
    # Output 0 reads the padding left of layer 1, and layer 1's outputs 0 and 1; below the padding there is nothing.
    drawn = boxes(plotting.receptive_pyramid([Layer(3, 1, 1)] * 2, 5, [0]))
    rows = [[box for box in drawn if round(box.get_y(), 3) == y] for y in sorted({round(b.get_y(), 3) for b in drawn})]
    assert [[is_dashed(box) for box in row] for row in rows[:2]] == [[True] + [False] * 5 + [True]] * 2
    assert not any(is_dashed(box) for box in rows[2])
    coloured = [[box.get_linewidth() > 1 for box in row] for row in rows]
    assert coloured[0] == [True, True, True, True, False, False, False]  # no box is drawn left of the input's padding
    assert coloured[1] == [True, True, True, False, False, False, False]


def test_the_text_of_a_pyramid_gives_region_and_elements_read() -> None:
    alt = plotting.receptive_pyramid([Layer(3, 1, 1), Layer(3, 1, 2, 2)], 9, [0, 4]).alt
    assert "output 0 sees the inputs −3 to 3, 4 of 7 read; output 4 sees the inputs 1 to 7" in alt


def test_the_pyramid_s_regions_are_those_of_the_unit() -> None:
    layers = [Layer(4, 2, 1, 1), Layer(2, 2), Layer(3, 1, 2, 2)]
    alt = plotting.receptive_pyramid(layers, 40, [0, 3, 7]).alt.replace("−", "-")
    regions = [tuple(map(int, found)) for found in re.findall(r"inputs (-?\d+) to (-?\d+)", alt)]
    assert regions == [input_region(layers, position) for position in (0, 3, 7)]


@pytest.mark.parametrize(
    ("layers", "size", "positions", "message"),
    [
        ([], 5, None, "layers is empty"),
        ([Layer(3), Layer(5)], 5, None, "layer 2 has no output: its kernel spans 5 elements, but .* it gets 3"),
        ([Layer(3)], 5, [3], "position 3 is out of range: the last layer has 3 outputs"),
        ([Layer(3)], 5, [-1], "position -1 is out of range"),
        ([Layer((3, 5))], 9, None, "layer 1 has a pair"),
    ],
)
def test_a_pyramid_that_cannot_be_drawn_is_refused(layers: list, size: int, positions: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.receptive_pyramid(layers, size, positions)


def test_a_region_is_framed_around_its_pixels() -> None:
    figure = plotting.regions_over_image(IMAGES[0], {"a": ((2, 4), (3, 7))})
    (frame,) = [patch for patch in figure.axes[0].patches if patch.get_label() == "a"]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((2.5, 1.5), 5, 3)


def test_what_lies_beyond_the_image_is_hatched_and_in_the_picture() -> None:
    (ax,) = picture("regions_over_image").axes
    (beyond,) = [patch for patch in ax.patches if patch.get_hatch()]
    assert (beyond.get_xy(), beyond.get_width(), beyond.get_height()) == ((-0.5, -3.5), 19, 15)
    assert ax.get_xlim()[1] > 18.5 and ax.get_ylim()[1] < -3.5


def test_a_region_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match=r"regions\['a'\] must end after it begins"):
        plotting.regions_over_image(IMAGES[0], {"a": ((2, 1), (3, 7))})
    with pytest.raises(ValueError, match="regions is empty"):
        plotting.regions_over_image(IMAGES[0], {})


def test_a_scatter_has_a_dot_at_each_point_and_its_name_beside_it() -> None:
    (ax,) = picture("scatter").axes
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines]
    assert dots == list(POINTS.values())
    assert {text.get_text(): text.get_ha() for text in ax.texts} == {
        "VGG": "left", "ResNet": "left", "Inception": "right"
    }  # fmt: skip
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("side", "where"), [("right", (1, 0)), ("left", (-1, 0)), ("above", (0, 1)), ("below", (0, -1))]
)
def test_a_name_stands_on_the_side_that_is_asked_for(side: str, where: tuple[int, int]) -> None:
    figure = plotting.scatter({"A": (1, 1), "name": (2, 2), "B": (3, 3)}, "x", "y", sides={"name": side})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (name,) = [text for text in figure.axes[0].texts if text.get_text() == "name"]
    box, dot = name.get_window_extent(canvas.get_renderer()), figure.axes[0].transData.transform((2, 2))
    beside = (int(box.x0 > dot[0]) - int(box.x1 < dot[0]), int(box.y0 > dot[1]) - int(box.y1 < dot[1]))
    assert beside == where


def test_a_scatter_without_points_or_with_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="points is empty"):
        plotting.scatter({}, "x", "y")
    with pytest.raises(ValueError, match=r"sides names \['LeNet'\]"):
        plotting.scatter(POINTS, "x", "y", sides={"LeNet": "left"})
    with pytest.raises(ValueError, match=r"sides must be of .*, got \['beside'\]"):
        plotting.scatter(POINTS, "x", "y", sides={"VGG": "beside"})


def test_the_first_five_weights_of_arcs_differ_in_their_colours_and_in_their_dashes() -> None:
    arcs = {str(k): torch.tensor([[0, k]]) for k in range(5)}
    [ax] = plotting.shared_arcs(list("abcde"), ["top"], arcs).axes
    lines = [line for line in ax.lines if len(line.get_xdata())]
    assert len({line.get_color() for line in lines}) == 5
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 5  # get_linestyle() tells "--" for all dashes


def test_curves_draw_their_points_with_labels() -> None:
    figure = plotting.curves({"a": (torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0])), "b": [5.0, 6.0]}, "x", "y")
    [ax] = figure.axes
    assert [(line.get_label(), *line.get_xydata().tolist()) for line in ax.lines] == [
        ("a", [0.0, 1.0], [2.0, 3.0]),
        ("b", [0.0, 5.0], [1.0, 6.0]),
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y")


def test_a_long_title_and_the_legend_do_not_overlap() -> None:
    figure = plotting.curves(
        {"one": [0.0, 1.0], "another": [1.0, 0.0]}, "x", "y", "A title that is rather long, as titles are"
    )
    FigureCanvasAgg(figure).draw()
    title, legend = figure._suptitle.get_window_extent(), figure.legends[0].get_window_extent()
    assert not title.overlaps(legend)


@pytest.mark.parametrize(("x", "whole"), [(torch.arange(1, 21), True), (torch.linspace(1, 20, 20), False)])
def test_curves_over_whole_numbers_have_no_ticks_between_them(x: torch.Tensor, whole: bool) -> None:
    figure = plotting.curves({"a": (x, torch.rand(20)), "b": (x, torch.rand(20))}, "x", "y")
    figure.draw_without_rendering()
    assert (all(tick == round(tick) for tick in figure.axes[0].get_xticks())) == whole


def test_twenty_eight_curves_all_look_different() -> None:
    figure = plotting.curves({str(k): [0.0, k] for k in range(28)}, "x", "y")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 28


def test_bars_are_the_means_with_whiskers_of_one_standard_error() -> None:
    figure = picture("score_chart")
    for column, ax in enumerate(figure.axes):
        widths = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches}
        np.testing.assert_allclose([widths[k] for k in range(3)], TABLE.mean[:, column])
        ends = {tuple(s[:, 1]): s[:, 0] for c in ax.collections for s in c.get_segments()}
        for k in range(3):
            mean, error = TABLE.mean[k, column], TABLE.standard_error[k, column]
            np.testing.assert_allclose(ends[(k, k)], [mean - error, mean + error])


def test_controls_look_different_from_methods_without_colour() -> None:
    bars = picture("score_chart").axes[0].patches
    hatches = {round(bar.get_y() + bar.get_height() / 2): bar.get_hatch() for bar in bars}
    assert hatches == {0: "", 1: "", 2: "///"}


def test_chance_is_a_dashed_line() -> None:
    [line] = [line for line in picture("score_chart").axes[0].lines if line.get_linestyle() == "--"]
    assert line.get_xdata() == [0.15, 0.15]


def test_the_first_method_stands_on_top() -> None:
    ax = picture("score_chart").axes[0]
    assert ax.yaxis_inverted()
    assert [t.get_text() for t in ax.get_yticklabels()] == list(TABLE.methods)


def test_no_colour_of_lines_is_pale() -> None:
    for colour in plotting.COLOURS:
        assert np.array(to_rgba(colour)[:3]) @ [0.2126, 0.7152, 0.0722] < 0.72


def test_a_picture_saves_under_any_name_that_matplotlib_knows(tmp_path) -> None:
    picture("curves").savefig(tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text()


def test_the_png_has_the_size_of_the_figure() -> None:
    from PIL import Image

    figure = picture("curves")
    assert Image.open(io.BytesIO(figure.png())).size == (700, 360)


# Bad arguments


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.image_grid(IMAGES[0, 0]), r"images must be of shape .* got \(12, 16\)"),
        (lambda: plotting.image_grid(torch.rand(1, 2, 4, 4)), "images must be of shape"),
        (lambda: plotting.image_grid(IMAGES * float("nan")), "images must hold numbers, got NaN"),
        (lambda: plotting.image_grid(IMAGES[:0]), "images must hold numbers, got none"),
        (lambda: plotting.image_grid(IMAGES, ["one"]), "titles must be 4 in number, got 1"),
        (lambda: plotting.image_grid(IMAGES, columns=0), "columns must be at least 1"),
        (lambda: plotting.heatmap_grid(MAPS[0, 0]), "maps must be of shape"),
        (lambda: plotting.heatmap_grid(MAPS / 0), "maps must hold finite numbers"),
        (lambda: plotting.heatmap_grid(MAPS, images=IMAGES[:2]), "images must be 4 in number, got 2"),
        (lambda: plotting.heatmap_grid(MAPS, masks=MASKS[:3]), "masks must be 4 in number, got 3"),
        (lambda: plotting.heatmap_grid(MAPS, masks=MASKS[0]), "masks must be of shape"),
        (lambda: plotting.heatmap_grid(MAPS, scale="row"), "scale must be 'figure' or 'map', got 'row'"),
        (lambda: plotting.heatmap_grid(MAPS, quantile=0), "quantile must be in"),
        (lambda: plotting.method_grid(IMAGES, {}), "maps is empty"),
        (lambda: plotting.method_grid(IMAGES, {"m": MAPS[:2]}), r"maps\['m'\] must be 4 in number, got 2"),
        (lambda: plotting.matrices({}), "tables is empty"),
        (lambda: plotting.matrices({"a": torch.rand(3)}), r"tables\['a'\] must be of shape \(rows, columns\)"),
        (lambda: plotting.pooling_step(POOL_IN[0], POOL_OUT), r"inputs must be of shape \(rows, columns\), got \(4,\)"),
        (lambda: plotting.pooling_step(POOL_IN, POOL_OUT, POOL_OUT), "must be given together"),
        (lambda: plotting.pooling_step(POOL_IN, POOL_OUT, POOL_IN, POOL_IN), r"output_gradient must .* got \(4, 4\)"),
        (lambda: plotting.pooling_step(POOL_IN, POOL_OUT, switches=POOL_OUT), r"switches must be .* got \(2, 2\)"),
        (lambda: plotting.convolution_step(MAPS, MAPS[0, 0], MAPS[0, 0]), r"inputs must be of shape \(rows, columns\)"),
        (
            lambda: plotting.convolution_step(MAPS[0, 0], MAPS[0, 0], MAPS[0, 0], position=(12, 0)),
            r"position \(12, 0\) is not in a table of 12 x 16",
        ),
        (
            lambda: plotting.convolution_step(MAPS[0, 0], STEP["weight"], MAPS[0, 0], chosen=(0, 2)),
            r"chosen \(0, 2\) is not in a table of 2 x 2",
        ),
        (
            lambda: plotting.convolution_step(MAPS[0, 0], MAPS[0, 0], MAPS[0, 0], shared=torch.tensor([[0, 192]])),
            "shared must hold numbers of the 192 outputs and the 192 inputs",
        ),
        (lambda: plotting.shared_arcs([], ["1"], {}), "below and above must each name at least one neuron"),
        (lambda: plotting.shared_arcs(["1"], ["2"], {"w": torch.tensor([[0, 1]])}), r"arcs\['w'\] names neurons bey"),
        (lambda: plotting.curves({}, "x", "y"), "lines is empty"),
        (lambda: plotting.curves({"a": ([1, 2], [1, 2, 3])}, "x", "y"), r"lines\['a'\] must be x \(n,\) and y \(n,\)"),
        (lambda: plotting.score_chart(TABLE, ["nobody"]), r"controls \['nobody'\] are not in the table"),
        (lambda: plotting.score_chart(TABLE, chance={"IoU": 0.1}), r"chance \['IoU'\] are not in the table"),
    ],
)
def test_bad_arguments_are_refused_by_name(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


# Matrices of symbols


def test_a_matrix_of_symbols_shows_its_entries_as_formulas() -> None:
    figure = plotting.symbol_matrices({"$M$": [["r_1 w_12", "0"], ["−2.5", ""]]})
    assert [t.get_text() for t in figure.axes[0].texts if t.get_text()] == ["$r_{1} w_{12}$", "0", "−2.5"]


def test_framed_entries_have_a_frame_and_dropped_ones_are_hatched() -> None:
    matrix = picture("symbol_matrices").axes[0]
    frames = [patch.get_xy() for patch in matrix.patches if not patch.get_fill()]
    hatched = [patch.get_xy() for patch in matrix.patches if patch.get_hatch()]
    assert [(round(x), round(y)) for x, y in frames] == [(0, 0), (1, 1)]
    assert hatched == [(1.5, -0.5), (1.5, 0.5)]


def test_a_zero_and_a_dropped_entry_are_paler_than_the_others() -> None:
    colours = {t.get_text(): t.get_color() for t in picture("symbol_matrices").axes[0].texts if t.get_text()}
    assert colours["0"] == colours["$w_{12}$"] != colours["$r_{1} w_{1}$"] == "black"


def test_a_matrix_of_symbols_is_coloured_by_its_values_and_white_without() -> None:
    coloured, plain = (ax.images[0].get_array() for ax in picture("symbol_matrices").axes)
    np.testing.assert_allclose(coloured, MAPS[0, 0, :2, :3], rtol=1e-6)
    assert plain.mask.all()


def test_a_sign_stands_before_the_second_matrix() -> None:
    first, second = picture("symbol_matrices").axes
    assert [[t.get_text() for t in ax.texts].count("=") for ax in (first, second)] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), "tables is empty"),
        (({"a": []},), "rows of one length"),
        (({"a": [["1", "2"], ["3"]]},), "rows of one length"),
        (({"a": [["1"]]}, {"b": [[1.0]]}), "values .* have no table"),
        (({"a": [["1"]]}, {"a": [[1.0, 2.0]]}), "shape"),
        (({"a": [["1"]]}, None, {"b": [[1.0]]}), "framed .* have no table"),
        (({"a": [["1"]]}, None, None, {"a": [[1.0], [2.0]]}), "dropped"),
    ],
)
def test_symbols_that_do_not_fit_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.symbol_matrices(*arguments)


# Curves in panels, distributions


def test_several_runs_are_drawn_as_their_mean_in_a_band_from_lowest_to_highest() -> None:
    ax = picture("curve_grid").axes[0]
    runs = IMAGES[0, 0, :3, :5].double()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), runs.mean(0), rtol=1e-6)
    [band] = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([heights.min(), heights.max()], [runs.min(), runs.max()], rtol=1e-6)


def test_panels_of_curves_share_their_axes_and_limits() -> None:
    shown = [ax for ax in picture("curve_grid").axes if ax.axison]
    assert [ax.get_title().replace("\n", " ") for ax in shown] == list(LOSSES)
    assert {ax.get_ylim() for ax in shown} == {(0, 1)} and len({ax.get_xlim() for ax in shown}) == 1


def test_a_mark_stands_in_its_panel_alone() -> None:
    shown = [ax for ax in picture("curve_grid").axes if ax.axison]
    marked = [[line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"] for ax in shown]
    assert marked == [[3.0], [], []]


def test_the_axes_of_panels_of_curves_are_named_where_they_end() -> None:
    first, second, third, *_ = picture("curve_grid").axes
    assert [ax.get_xlabel() for ax in (first, second, third)] == ["", "epoch", "epoch"]
    assert [ax.get_ylabel() for ax in (first, second, third)] == ["loss (nats)", "", "loss (nats)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, "x", "y"), "panels is empty"),
        (({"a": {"b": ([1.0, 2.0], [1.0])}}, "x", "y"), "must be x"),
        (({"a": {"b": [1.0]}}, "x", "y", "", 3, {"c": 1.0}), "marks .* have no panel"),
    ],
)
def test_panels_of_curves_that_do_not_fit_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.curve_grid(*arguments)


def test_a_distribution_shows_every_number_its_quarters_and_its_median() -> None:
    [ax] = picture("distributions").axes
    dots = [sorted(line.get_xdata()) for line in ax.lines if line.get_marker() == "."]
    np.testing.assert_allclose(np.concatenate(dots), [0.1, 0.2, 0.9, 1, 2, 3, 4], rtol=1e-6)
    boxes = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    np.testing.assert_allclose(boxes, [(0.15, 0.55), (1.75, 3.25)], rtol=1e-6)
    medians = [line.get_xdata()[0] for line in ax.lines if line.get_linewidth() == 2 and len(line.get_xdata()) == 2]
    np.testing.assert_allclose(medians, [0.2, 2.5], rtol=1e-6)


def test_the_median_of_the_reference_runs_through_the_panel() -> None:
    [ax] = picture("distributions").axes
    [line] = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(line.get_xdata(), 0.2, rtol=1e-6)


def test_the_text_of_distributions_gives_the_medians() -> None:
    assert "noise median 2.50" in picture("distributions").alt


@pytest.mark.parametrize(
    ("groups", "reference", "message"),
    [
        ({}, None, "groups is empty"),
        ({"a": []}, None, "finite numbers, got none"),
        ({"a": [1.0, float("nan")]}, None, "finite numbers"),
        ({"a": [1.0]}, "b", "no group"),
        ({"m": {"a": [1.0]}, "n": {"b": [1.0]}}, None, "must have the groups"),
    ],
)
def test_distributions_that_do_not_fit_are_refused(groups: dict, reference: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.distributions(groups, "x", reference=reference)


# Bars, histograms over a training, a patch on its way


def test_bars_end_at_their_numbers_and_the_first_stands_on_top() -> None:
    [ax] = picture("bars").axes
    ends = [patch.get_x() + patch.get_width() for patch in ax.patches]
    np.testing.assert_allclose(ends, [1.25, -0.5, 0.0])
    assert ax.yaxis_inverted() and [label.get_text() for label in ax.get_yticklabels()] == list(WEIGHTS)


def test_positive_and_negative_bars_differ_in_colour() -> None:
    first, second, _ = picture("bars").axes[0].patches
    assert first.get_facecolor() != second.get_facecolor()


@pytest.mark.parametrize(("values", "message"), [({}, "got none"), ({"a": float("nan")}, "finite numbers")])
def test_bars_of_no_or_bad_numbers_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.bars(values, "x")


def ridges(ax: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """The filled histograms of a panel: heights above their base, and edges."""
    filled = [patch for patch in ax.patches if patch.get_fill()]
    return [(data.values - data.baseline, data.edges) for data in (patch.get_data() for patch in filled)]


def test_each_histogram_of_a_training_is_drawn_in_its_shape() -> None:
    ax = picture("histogram_grid").axes[0]
    drawn = ridges(ax)
    assert len(drawn) == 4
    for (heights, edges), numbers in zip(drawn, NUMBERS, strict=True):
        counts = np.histogram(numbers, edges)[0] ** 0.5
        assert heights.max() == pytest.approx(1.8)
        # The histograms are drawn over other bins than they came in: what a bin holds is known up to its neighbours.
        assert np.corrcoef(heights, counts)[0, 1] > 0.95


def test_the_first_step_is_at_the_back_and_the_last_in_front() -> None:
    ax = picture("histogram_grid").axes[0]
    filled = [patch for patch in ax.patches if patch.get_fill()]
    assert [patch.get_data().baseline for patch in filled] == [3, 2, 1, 0]
    assert [patch.get_zorder() for patch in filled] == sorted(patch.get_zorder() for patch in filled)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "30"]


def test_the_axis_of_a_panel_holds_all_but_one_percent_of_the_numbers() -> None:
    low, high = picture("histogram_grid").axes[0].get_xlim()
    assert low == pytest.approx(np.quantile(NUMBERS[0], 0.005), abs=0.1)
    assert high == pytest.approx(np.quantile(NUMBERS[0], 0.995), abs=0.1)


def test_numbers_that_are_all_0_are_one_needle() -> None:
    heights, edges = ridges(picture("histogram_grid").axes[1])[0]
    [needle] = np.flatnonzero(heights)
    assert edges[needle] <= 1e-12 and edges[needle + 1] >= 0


def test_gradients_that_have_vanished_are_no_needle() -> None:
    tiny = [(limits * 1e-10, counts) for limits, counts in HISTOGRAMS["healthy: first convolution"][1]]
    ax = plotting.histogram_grid({"tiny": (np.arange(4), tiny)}, "gradient").axes[0]
    low, high = picture("histogram_grid").axes[0].get_xlim()
    np.testing.assert_allclose(ax.get_xlim(), (low * 1e-10, high * 1e-10), rtol=1e-6)
    for (heights, _), (same, _) in zip(ridges(ax), ridges(picture("histogram_grid").axes[0]), strict=True):
        np.testing.assert_allclose(heights, same, atol=1e-6)


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "panels is empty"),
        ({"a": (np.array([0]), [])}, "a step for each histogram"),
        ({"a": (np.array([0]), [(np.array([0.0, 1.0]), np.array([1.0, 2.0]))])}, "none of them empty"),
        ({"a": (np.array([0]), [(np.array([0.0, 1.0]), np.array([0.0]))])}, "none of them empty"),
    ],
)
def test_histograms_that_do_not_fit_are_refused(panels: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.histogram_grid(panels, "x")


def test_an_occlusion_step_shows_image_covered_image_and_the_changes_so_far() -> None:
    image, covered, changes = panels(picture("occlusion_step"))
    np.testing.assert_allclose(image.images[0].get_array(), IMAGES[0].permute(1, 2, 0), rtol=1e-6)
    np.testing.assert_allclose(covered.images[0].get_array(), IMAGES[1].permute(1, 2, 0), rtol=1e-6)
    shown = changes.images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), CHANGES.isnan())
    assert changes.images[0].norm.vmin == -3 and changes.images[0].norm.vmax == 3


def test_an_occlusion_step_frames_the_patch_and_its_cell() -> None:
    image, covered, changes = panels(picture("occlusion_step"))
    frames = [
        {(p.get_x() + 0.5, p.get_y() + 0.5, p.get_width(), p.get_height()) for p in ax.patches}
        for ax in (image, covered, changes)
    ]
    assert frames == [{(6, 4, 8, 4)}, set(), {(2, 1, 1, 1)}]


@pytest.mark.parametrize(
    ("changes", "cell", "message"),
    [(CHANGES, (3, 0), "cell .* is not in a table of 3 x 4"), (CHANGES[0], (0, 0), "changes must be of shape")],
)
def test_an_occlusion_step_that_does_not_fit_is_refused(changes: Tensor, cell: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.occlusion_step(IMAGES[0], IMAGES[1], changes, (0, 0, 4, 4), cell)


def borders(ax: Axes) -> set[tuple[tuple[float, float], ...]]:
    """The pieces of the lines between superpixels that are drawn last."""
    return {tuple(map(tuple, piece)) for piece in ax.collections[-1].get_segments()}


def test_superpixels_are_divided_where_neighbours_differ() -> None:
    first, second = panels(picture("superpixel_grid"))
    upright = {((7.5, y - 0.5), (7.5, y + 0.5)) for y in range(12)}
    level = {((x - 0.5, 5.5), (x + 0.5, 5.5)) for x in range(16)}
    assert borders(first) == upright | level
    assert borders(second) == {((x - 0.5, 3.5), (x + 0.5, 3.5)) for x in range(16)}


def test_superpixels_carry_their_numbers_inside_of_themselves() -> None:
    for ax, labels in zip(panels(picture("superpixel_grid")), SUPERPIXELS, strict=True):
        numbers = {int(t.get_text()): t.get_position() for t in ax.texts}
        assert sorted(numbers) == labels.unique().tolist()
        for number, (x, y) in numbers.items():
            assert labels[int(y), int(x)] == number
    without = plotting.superpixel_grid(IMAGES[:2], SUPERPIXELS)
    assert not any(ax.texts for ax in without.axes)


def test_superpixels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="segments"):
        plotting.superpixel_grid(IMAGES[:2], SUPERPIXELS[:1])


def test_a_coalition_step_shows_image_rest_and_pairs_of_bars() -> None:
    figure = picture("coalition_step")
    image, left = panels(figure)
    np.testing.assert_allclose(image.images[0].get_array(), IMAGES[0].permute(1, 2, 0), rtol=1e-6)
    np.testing.assert_allclose(left.images[0].get_array(), IMAGES[1].permute(1, 2, 0), rtol=1e-6)
    bars = figure.axes[2]
    dark, pale = ([patch.get_width() for patch in container] for container in bars.containers)
    assert list(zip(dark, pale, strict=True)) == list(PAIRS.values())
    assert [t.get_text() for t in bars.get_yticklabels()] == list(PAIRS)
    assert [t.get_text() for t in bars.get_legend().get_texts()] == ["what is left", "the whole image"]
    assert "cup 2.00 (1.50)" in figure.alt


def test_a_coalition_step_without_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs is empty"):
        plotting.coalition_step(IMAGES[0], SUPERPIXELS[0], IMAGES[1], {}, ("a", "b"), "score")
