"""The pictures, tested on the figure's objects: colour scales, titles, outlines, and text that does not overlap."""

from __future__ import annotations

import base64
import io
import itertools
from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from torch import Tensor

from course_utils import plotting
from course_utils.evaluation import ScoreTable

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
ReLU = {"$X_n$": torch.tensor([[1.0, -1.0], [-5.5, 2.25]]), "$X_{n+1}$": torch.tensor([[1.0, 0.0], [0.0, 2.25]])}

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
    "curves": lambda: plotting.curves({"one": IMAGES[0, 0, 0], "two": IMAGES[0, 0, 1]}, "step", "score", "Curves"),
    "score_chart": lambda: plotting.score_chart(TABLE, ["edge detector"], 0.15, "Scores"),
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


# Maps


SIGNED_PICTURES = ["heatmap_grid", "heatmap_grid over images", "method_grid", "explanation", "matrices"]


@pytest.mark.parametrize("name", SIGNED_PICTURES)
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
        (lambda: plotting.curves({}, "x", "y"), "lines is empty"),
        (lambda: plotting.curves({"a": ([1, 2], [1, 2, 3])}, "x", "y"), r"lines\['a'\] must be x \(n,\) and y \(n,\)"),
        (lambda: plotting.score_chart(TABLE, ["nobody"]), r"controls \['nobody'\] are not in the table"),
        (lambda: plotting.score_chart(TABLE, chance={"IoU": 0.1}), r"chance \['IoU'\] are not in the table"),
    ],
)
def test_bad_arguments_are_refused_by_name(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
