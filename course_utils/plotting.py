"""Every picture of the course: images, signed maps, overlays, tables of numbers, scores, curves.

Each function returns a :class:`Picture`, a matplotlib figure that pyplot does not know: nothing is shown or kept open
behind your back, a notebook shows it as a cell's last value, and it carries a text for those who cannot see it.

Signed maps are red where positive, blue where negative and white at 0, on one colour scale a figure. Colours of lines
and bars are those of Okabe and Ito, which colour-blind readers tell apart; lines differ in their dashes, too.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor

if TYPE_CHECKING:
    from course_utils.evaluation import ScoreTable
    from course_utils.receptive_fields import Layer

Array = Tensor | np.ndarray
Scale = Literal["figure", "map"]
Side = Literal["right", "left", "above", "below"]

SIGNED = "RdBu_r"
"""The colour map of signed values."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's colours, the yellow left out (it does not show on white)."""
DASHES = ("-", "--", "-.", ":")
OUTLINE = "#00A878"
"""The colour of the true object's outline: neither red nor blue."""

WIDTH = 9.0  # inches, a notebook's column at 100 dots an inch
FONT = 10.0  # points


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook, with a text in place of the picture.

    Attributes:
        alt: what the picture shows, in words.
    """

    def __init__(self, width: float, height: float, alt: str = "") -> None:
        super().__init__(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
        self.alt = alt

    def png(self) -> bytes:
        """Give the picture as the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": self.alt}


def image_grid(
    images: Array, titles: Sequence[str] | None = None, columns: int | None = None, heading: str = ""
) -> Picture:
    """Show images side by side.

    Args:
        images: (N, 3, H, W), (N, 1, H, W) or (N, H, W) in [0, 1]; values beyond are shown as 0 or 1.
        titles: one line above each image.
        columns: images in a row; default: all in one row, at most 6.
        heading: title of the whole picture.

    Raises:
        ValueError: another shape, NaN, or titles that do not fit the number of images.
    """
    pixels = _images(images)
    titles = _titles(titles, len(pixels))
    picture, axes = _panels(len(pixels), columns, pixels[0], titles, heading)
    for ax, image in zip(axes, pixels, strict=True):
        _show_image(ax, image)
    picture.alt = _alt(heading, f"{len(pixels)} images", titles)
    return picture


def heatmap_grid(
    maps: Array,
    titles: Sequence[str] | None = None,
    images: Array | None = None,
    masks: Array | None = None,
    columns: int | None = None,
    heading: str = "",
    label: str = "relevance",
    scale: Scale = "figure",
    quantile: float = 1.0,
) -> Picture:
    """Show signed maps side by side, on one colour scale centred on 0.

    Args:
        maps: (N, C, H, W), summed over the channels, or (N, H, W), taken as they are.
        titles: one line above each map.
        images: (N, 3, H, W), (N, 1, H, W) or (N, H, W) in [0, 1]: shown in grey below the maps, which are then
            transparent where they are near 0. Maps of another size are stretched to the images.
        masks: bool (N, H, W): each is outlined.
        columns: maps in a row; default: all in one row, at most 6.
        heading: title of the whole picture.
        label: what the values are, and their unit: the label of the colour bar.
        scale: "figure": the same colour is the same value in all maps. "map": each map is divided by its own largest
            size first, for maps of different units; the colour bar says so.
        quantile: the scale ends at this quantile of the sizes |value|, in (0, 1]; what lies beyond gets the last
            colour, and the colour bar ends in arrows.

    Raises:
        ValueError: shapes that do not fit, NaN, titles that do not fit the number of maps, an unknown scale.
    """
    values, norm, label = _scaled(_maps(maps), label, scale, quantile)
    titles = _titles(titles, len(values))
    below = None if images is None else _same_number("images", _images(images), values)
    outlines = None if masks is None else _same_number("masks", _images(masks, "masks"), values)
    picture, axes = _panels(len(values), columns, values[0] if below is None else below[0], titles, heading, bar=True)
    for k, ax in enumerate(axes):
        _show_map(ax, values[k], norm, None if below is None else below[k])
        if outlines is not None:
            _show_outline(ax, outlines[k], values[k] if below is None else below[k])
    _colour_bar(picture, axes, norm, label, values)
    picture.alt = _alt(heading, f"{len(values)} maps of {label}", titles)
    return picture


def method_grid(
    images: Array,
    maps: Mapping[str, Array],
    titles: Sequence[str] | None = None,
    masks: Array | None = None,
    heading: str = "",
    label: str = "relevance",
    scale: Scale = "map",
    quantile: float = 1.0,
) -> Picture:
    """Show the maps of several methods: a row an image, a column a method, the image first.

    Args:
        images: (N, 3, H, W), (N, 1, H, W) or (N, H, W) in [0, 1].
        maps: name of the method -> (N, C, H, W), summed over the channels, or (N, H, W).
        titles: a name for each row.
        masks: bool (N, H, W), outlined on every map.
        heading, label, scale, quantile: as in :func:`heatmap_grid`; but each map is scaled alone by default, since the
            units of different methods differ.

    Raises:
        ValueError: as in :func:`heatmap_grid`.
    """
    if not maps:
        raise ValueError("maps is empty: give at least one, name -> maps")
    pixels = _images(images)
    n_images, n_columns = len(pixels), len(maps) + 1
    stacked = [_same_number(f"maps[{name!r}]", _maps(array), pixels) for name, array in maps.items()]
    outlines = None if masks is None else _same_number("masks", _images(masks, "masks"), pixels)
    values, norm, label = _scaled([m for method in stacked for m in method], label, scale, quantile)
    rows = _titles(titles, n_images)
    picture, axes = _panels(
        n_images * n_columns,
        n_columns,
        pixels[0],
        ["image", *maps] + [""] * (n_images - 1) * n_columns,
        heading,
        bar=True,
    )
    for row in range(n_images):
        first = axes[row * n_columns]
        _show_image(first, pixels[row])
        if rows[row]:
            first.set_ylabel(_wrapped(rows[row], first.get_window_extent().height / 100), fontsize=FONT)
        for column in range(len(maps)):
            ax = axes[row * n_columns + column + 1]
            _show_map(ax, values[column * n_images + row], norm, None)
            if outlines is not None:
                _show_outline(ax, outlines[row], values[column * n_images + row])
    _colour_bar(picture, axes, norm, label, values)
    picture.alt = _alt(heading, f"{n_images} images, each with maps of {label} by {', '.join(maps)}", rows)
    return picture


def explanation(
    image: Array,
    attribution: Array,
    mask: Array | None = None,
    title: str = "",
    label: str = "relevance",
    quantile: float = 1.0,
) -> Picture:
    """Show one explanation: the image, the signed map, and the map over the grey image.

    Args:
        image: (3, H, W), (1, H, W) or (H, W) in [0, 1].
        attribution: (C, H, W), summed over the channels, or (H, W).
        mask: bool (H, W), outlined on the map and on the overlay.
        title: title of the whole picture.
        label, quantile: as in :func:`heatmap_grid`.

    Raises:
        ValueError: as in :func:`heatmap_grid`.
    """
    pixels = _images(image[None])
    values, norm, label = _scaled(_maps(attribution[None]), label, "figure", quantile)
    picture, axes = _panels(3, 3, pixels[0], ["image", "map", "map over the image"], title, bar=True, panel=2.5)
    _show_image(axes[0], pixels[0])
    _show_map(axes[1], values[0], norm, None)
    _show_map(axes[2], values[0], norm, pixels[0])
    if mask is not None:
        outline = _images(mask[None], "mask")[0]
        _show_outline(axes[1], outline, values[0])
        _show_outline(axes[2], outline, pixels[0])
    _colour_bar(picture, axes, norm, label, values)
    picture.alt = _alt(title, f"An image, its map of {label}, and the map over the image", [])
    return picture


def matrices(tables: Mapping[str, Array], heading: str = "", arrow: str = "", decimals: int = 2) -> Picture:
    """Show small tables of numbers side by side, each cell coloured by its signed value.

    Args:
        tables: title -> (rows, columns); NaN leaves a cell empty. All tables share one colour scale centred on 0.
        heading: title of the whole picture.
        arrow: sign between neighbouring tables, for example "→" for a forward and "←" for a backward pass.
        decimals: digits after the point, where a number has any; trailing zeros are dropped.

    Raises:
        ValueError: no table, or one that is not two-dimensional.
    """
    if not tables:
        raise ValueError("tables is empty: give at least one, title -> (rows, columns)")
    arrays = [_array(table).astype(float) for table in tables.values()]
    for name, array in zip(tables, arrays, strict=True):
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"tables[{name!r}] must be of shape (rows, columns), got {array.shape}")
    texts = [[[_number(v, decimals) for v in row] for row in array] for array in arrays]
    longest = max(len(cell) for text in texts for row in text for cell in row)
    columns = sum(array.shape[1] for array in arrays)
    cell = min(max(0.42, 0.095 * longest + 0.12), (WIDTH - 0.6 * len(arrays)) / columns)
    rows = max(array.shape[0] for array in arrays)
    wrapped = [_wrapped(name, cell * a.shape[1] + 0.4) for name, a in zip(tables, arrays, strict=True)]
    for_heading = min(WIDTH, 0.2 + len(heading) * 0.56 * (FONT + 1) / 72)  # the same letter width as in _wrapped
    width = max(cell * columns + 0.6 * len(arrays), for_heading)
    picture = Picture(width, 0.42 * rows + 0.2 * _lines(wrapped) + 0.15 + 0.3 * bool(heading))
    norm = _symmetric(np.concatenate([array[np.isfinite(array)] for array in arrays]))
    axes = picture.subplots(1, len(arrays), squeeze=False, width_ratios=[array.shape[1] for array in arrays])[0]
    for k, (ax, array, text) in enumerate(zip(axes, arrays, texts, strict=True)):
        _show_table(ax, array, text, norm, aspect=0.42 / cell)
        ax.set_title(wrapped[k], fontsize=FONT)
        if arrow and k:
            _show_arrow(ax, arrow, -0.28)
    _set_heading(picture, heading)
    picture.alt = _alt(
        heading, "Tables of numbers", [f"{n}: {a.tolist()}" for n, a in zip(tables, arrays, strict=True)]
    )
    return picture


def curves(lines: Mapping[str, Array | tuple[Array, Array]], x_label: str, y_label: str, title: str = "") -> Picture:
    """Draw lines over one pair of axes.

    Args:
        lines: name -> (x, y), or y alone over 0, 1, 2, ...; each (n,).
        x_label: name and unit of x.
        y_label: name and unit of y.
        title: title of the picture.

    Raises:
        ValueError: no line, or x and y of different lengths.
    """
    if not lines:
        raise ValueError("lines is empty: give at least one, name -> (x, y)")
    picture = Picture(7.0, 3.6)
    ax = picture.subplots()
    whole = True
    for k, (name, line) in enumerate(lines.items()):
        y = _array(line[1] if isinstance(line, tuple) else line)
        x = _array(line[0]) if isinstance(line, tuple) else np.arange(len(y))
        whole = whole and x.dtype.kind in "iu"
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"lines[{name!r}] must be x (n,) and y (n,), got {x.shape} and {y.shape}")
        # The dash changes with every line, the colour too; their periods 4 and 7 make 28 different lines.
        ax.plot(x, y, DASHES[k % len(DASHES)], color=COLOURS[k % len(COLOURS)], label=name, linewidth=2)
    _plain(ax)
    if whole:  # steps, epochs, networks: no ticks between them
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_xlabel(x_label, fontsize=FONT)
    ax.set_ylabel(y_label, fontsize=FONT)
    if len(lines) > 1:
        picture.legend(loc="outside right center", frameon=False, fontsize=FONT, handlelength=3)
    _set_heading(picture, title)
    picture.alt = _alt(title, f"{y_label} over {x_label}", list(lines))
    return picture


def score_chart(
    table: ScoreTable, controls: Sequence[str] = (), chance: float | Mapping[str, float] | None = None, title: str = ""
) -> Picture:
    """Draw a table of scores as bars: a row a method, a panel a metric, whiskers of one standard error.

    Args:
        table: scores of :func:`course_utils.evaluation.score_table`.
        controls: methods that look at no model; their bars are grey and hatched.
        chance: score of a guess, drawn as a dashed line: one for all metrics, or by the metric's name.
        title: title of the whole picture.

    Raises:
        ValueError: a control or a metric that is not in the table.
    """
    chances = (
        chance if isinstance(chance, Mapping) else dict.fromkeys(table.metrics if chance is not None else (), chance)
    )
    for what, names, known in (("controls", controls, table.methods), ("chance", chances, table.metrics)):
        if unknown := set(names) - set(known):
            raise ValueError(f"{what} {sorted(unknown)} are not in the table, which holds {list(known)}")
    picture = Picture(WIDTH, 0.27 * len(table.methods) + 0.7 + 0.3 * bool(title))
    axes = picture.subplots(1, len(table.metrics), sharey=True, squeeze=False)[0]
    places = np.arange(len(table.methods))
    is_control = np.array([method in controls for method in table.methods])
    for column, (ax, metric) in enumerate(zip(axes, table.metrics, strict=True)):
        means, errors = table.mean[:, column].numpy(), table.standard_error[:, column].numpy()
        for kind, colour, hatch in ((~is_control, COLOURS[0], ""), (is_control, "#C8C8C8", "///")):
            ax.barh(
                places[kind], means[kind], xerr=errors[kind], color=colour, hatch=hatch, edgecolor="white", height=0.75
            )
        for place, mean, error in zip(places, means, errors, strict=True):
            ax.annotate(
                f"{mean:.2f}",
                (max(mean + error, 0), place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=FONT - 1,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )
        if metric in chances:
            ax.axvline(chances[metric], color="black", linestyle="--", linewidth=1)
        ax.set_xlim(min(0, (means - errors).min() * 1.2), max(1.0, (means + errors).max()) * 1.2)
        ax.set_title(metric, fontsize=FONT)
        _plain(ax)
    axes[0].set_yticks(places, labels=table.methods, fontsize=FONT)
    axes[0].invert_yaxis()
    _set_heading(picture, title)
    picture.alt = _alt(title, f"Bars of {', '.join(table.metrics)}", str(table).splitlines()[2:])
    return picture


def pooling_step(
    inputs: Array,
    outputs: Array,
    output_gradient: Array | None = None,
    input_gradient: Array | None = None,
    switches: Array | None = None,
    window: tuple[int, int, int, int] | None = None,
    position: tuple[int, int] | None = None,
    heading: str = "",
) -> Picture:
    """Show a pooling layer at work: forward on top, and below it the gradient that comes back.

    Args:
        inputs: (H, W), the map X_n.
        outputs: (H', W'), the pooled map X_{n+1}; NaN leaves a cell empty: not computed yet.
        output_gradient: (H', W'), what the rest of the network sends back; NaN as above. Without it the picture has
            the forward row alone.
        input_gradient: (H, W), what has arrived at the inputs; given with `output_gradient`.
        switches: bool (H, W), the inputs that were remembered as a maximum: framed, their numbers bold.
        window: the window looked at, (first row, first column, rows, columns), outlined in the tables of (H, W).
        position: its output, (row, column), outlined in the tables of (H', W').
        heading: title of the whole picture.

    Raises:
        ValueError: tables of other shapes, or one of the two gradients alone.
    """
    if (output_gradient is None) != (input_gradient is None):
        raise ValueError("output_gradient and input_gradient must be given together")
    large, small = _table("inputs", inputs), _table("outputs", outputs)
    rows = [(large, small, "$X_n$", "$X_{n+1}$", "→")]
    if output_gradient is not None and input_gradient is not None:
        back = _table("input_gradient", input_gradient, large.shape)
        signal = _table("output_gradient", output_gradient, small.shape)
        rows += [(back, signal, r"$\partial f/\partial X_n$", r"$\partial f/\partial X_{n+1}$", "←")]
    chosen = np.zeros(large.shape, bool) if switches is None else _table("switches", switches, large.shape) > 0
    longest = max(len(_number(value, 2)) for row in rows for array in row[:2] for value in array.flat)
    columns = large.shape[1] + small.shape[1]
    cell = min(max(0.42, 0.095 * longest + 0.12), (WIDTH - 2.3) / columns)
    height = (large.shape[0] + 1.2) * 0.42 * len(rows) + 0.35 * bool(heading)
    picture = Picture(columns * cell + 2.3, height)
    axes = picture.subplots(len(rows), 3, squeeze=False, width_ratios=[large.shape[1], small.shape[1], 0.8 / cell])
    picture.get_layout_engine().set(wspace=0.14)
    for row, (wide, narrow, *titles, arrow) in enumerate(rows):
        finite = np.concatenate([wide[np.isfinite(wide)], narrow[np.isfinite(narrow)]])
        for column, (array, title) in enumerate(zip((wide, narrow), titles, strict=True)):
            ax = axes[row, column]
            # What is not computed yet is grey, since white is 0.
            ax.imshow(np.where(np.isnan(array), 0.92, 1.0), cmap="gray", vmin=0, vmax=1, zorder=-1)
            _show_table(ax, array, [[_number(v, 2) for v in line] for line in array], _symmetric(finite), 0.42 / cell)
            ax.set_title(title, fontsize=FONT)
            for axis, size in ((ax.yaxis, array.shape[0]), (ax.xaxis, array.shape[1])):
                axis.set_ticks(np.arange(size), labels=[str(k) for k in range(size)], minor=True)
            ax.tick_params(which="minor", length=0, pad=2, labelsize=FONT - 1, labelcolor="#707070")
            if column == 0:
                for i, j in np.argwhere(chosen):
                    _outline_cells(ax, (i, j, 1, 1), "black", 1.5, inset=0.09)
                for number in ax.texts:
                    if chosen[round(number.get_position()[1]), round(number.get_position()[0])]:
                        number.set_fontweight("bold")
            outlined = window if column == 0 else position and (*position, 1, 1)
            if outlined:
                _outline_cells(ax, outlined, OUTLINE, 3.5)
        for ax in axes[row, 1:]:
            _show_arrow(ax, arrow, -1.4)
        axes[row, 2].set_axis_off()
        axes[row, 2].text(
            0.5,
            0.5,
            "rest\nof the\nnetwork",
            ha="center",
            va="center",
            fontsize=FONT,
            transform=axes[row, 2].transAxes,
            bbox={"facecolor": "#EEEEEE", "edgecolor": "#888888", "boxstyle": "round,pad=0.5"},
        )
    _set_heading(picture, heading)
    said = [f"{title}: {array.tolist()}" for row in rows for array, title in zip(row[:2], row[2:4], strict=True)]
    picture.alt = _alt(heading, "A pooling layer", said)
    return picture


def convolution_step(
    inputs: Array,
    weight: Array,
    outputs: Array,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    position: tuple[int, int] | None = None,
    chosen: tuple[int, int] | None = None,
    shared: Array | None = None,
    heading: str = "",
) -> Picture:
    """Show a kernel on its way over the input: kernel, padded input, output, and the connections of one weight.

    Args:
        inputs: (H, W).
        weight: (kh, kw).
        outputs: (H', W'); NaN leaves a cell empty: not computed yet.
        stride, padding, dilation: of the convolution, in pixels; a number or a pair (rows, columns).
        position: (row, column) of the output that is lit; it and the inputs under the kernel get green frames.
        chosen: (row, column) of a weight; it gets a black frame.
        shared: (n, 2), the connections (number of the output, number of the input, both row by row) that share the
            chosen weight: their ends get black frames and are joined by lines; that of `position` is thick.
        heading: title of the whole picture.

    Raises:
        ValueError: a table that is not two-dimensional, or a place that is not in its table.
    """
    steps = [(k, k) if isinstance(k, int) else tuple(k) for k in (stride, padding, dilation)]
    step, (above, left), spread = steps
    picture_of = {"kernel": _table("weight", weight), "input": _table("inputs", inputs)}
    height, width = picture_of["input"].shape
    picture_of["input"] = np.pad(picture_of["input"], ((above, above), (left, left)))
    picture_of["output"] = _table("outputs", outputs)
    kernel, padded, out = picture_of.values()
    pairs = np.zeros((0, 2), int) if shared is None else _array(shared).astype(int).reshape(-1, 2)
    for name, place, table in (("position", position, out), ("chosen", chosen, kernel)):
        if place is not None and not all(0 <= p < n for p, n in zip(place, table.shape, strict=True)):
            raise ValueError(f"{name} {place} is not in a table of {table.shape[0]} x {table.shape[1]}")
    if pairs.size and (pairs.min() < 0 or pairs[:, 0].max() >= out.size or pairs[:, 1].max() >= height * width):
        raise ValueError(f"shared must hold numbers of the {out.size} outputs and the {height * width} inputs")

    columns = sum(table.shape[1] for table in picture_of.values())
    cell = min(0.42, (WIDTH - 1.2) / columns)
    rows = max(table.shape[0] for table in picture_of.values())
    picture = Picture(max(cell * columns + 1.2, 5.0), cell * rows + 0.35 + 0.3 * bool(heading), heading)
    axes = picture.subplots(1, 3, width_ratios=[table.shape[1] for table in picture_of.values()])
    for ax, (name, table) in zip(axes, picture_of.items(), strict=True):
        text = [[_number(value, 2) for value in line] for line in table]
        _show_table(ax, table, text, _symmetric(table[np.isfinite(table)]), aspect=1)
        ax.set_title(name, fontsize=FONT)
        ax.set_ylim(rows - 0.5, -0.5)  # as many rows in each panel, so that all cells are of one size
        ax.spines[:].set_visible(False)
        _outline_cells(ax, (0, 0, *table.shape), "#C8C8C8", 1.0)
    if above or left:
        border = np.ones(padded.shape)
        border[above : above + height, left : left + width] = np.nan
        axes[1].imshow(border * 0.88, cmap="gray", vmin=0, vmax=1, aspect=1, zorder=0.5)

    if chosen is not None:
        _outline_cells(axes[0], (*chosen, 1, 1), "black", 1.5, inset=0.1)
    sources = np.stack([pairs[:, 1] // width + above, pairs[:, 1] % width + left], axis=1)
    targets = np.stack([pairs[:, 0] // out.shape[1], pairs[:, 0] % out.shape[1]], axis=1)
    for ax, ends in ((axes[1], sources), (axes[2], targets)):
        for row, column in ends:
            _outline_cells(ax, (row, column, 1, 1), "black", 1.5, inset=0.1)
    for source, target in zip(sources, targets, strict=True):
        here = position is not None and tuple(target) == tuple(position)
        line = ConnectionPatch(
            (source[1] + 0.4, source[0]),  # from edge to edge: the numbers stay readable
            (target[1] - 0.4, target[0]),
            "data",
            "data",
            axesA=axes[1],
            axesB=axes[2],
            connectionstyle="arc3,rad=0.07",  # bent: else the lines of one row lie on each other
            color="black",
            linewidth=2.5 if here else 0.8,
            alpha=0.8 if here else 0.22,
        )
        line.set_in_layout(False)
        picture.add_artist(line)
    if position is not None:
        first = [p * s for p, s in zip(position, step, strict=True)]
        if spread == (1, 1):
            _outline_cells(axes[1], (*first, *kernel.shape), OUTLINE, 3.5)
        else:  # the window has holes
            for a, b in np.ndindex(kernel.shape):
                _outline_cells(axes[1], (first[0] + a * spread[0], first[1] + b * spread[1], 1, 1), OUTLINE, 3.5)
        _outline_cells(axes[2], (*position, 1, 1), OUTLINE, 3.5)
    _set_heading(picture, heading)
    said = [f"{name} {table.tolist()}" for name, table in picture_of.items()]
    picture.alt = _alt(heading, "A convolution", said)
    return picture


def shared_arcs(
    below: Sequence[str], above: Sequence[str], arcs: Mapping[str, Array], heading: str = "", label: str = ""
) -> Picture:
    """Draw two rows of neurons and the arcs between them, in one colour and dash for each shared weight.

    Args:
        below: names of the lower neurons, from left to right.
        above: names of the upper neurons.
        arcs: name of a weight -> (n, 2), its connections: (index in `above`, index in `below`), each counted from 0.
        heading: title of the whole picture.
        label: title of the legend of the weights.

    Raises:
        ValueError: no neurons, or an arc from or to a neuron that is not there.
    """
    if not below or not above:
        raise ValueError("below and above must each name at least one neuron")
    places = {}
    for name, pairs in arcs.items():
        places[name] = _array(pairs).astype(int).reshape(-1, 2)
        if places[name].size and (places[name].min() < 0 or (places[name].max(0) >= (len(above), len(below))).any()):
            raise ValueError(f"arcs[{name!r}] names neurons beyond the {len(above)} above and the {len(below)} below")
    picture = Picture(WIDTH, 2.9 + 0.3 * bool(heading), heading)
    ax = picture.subplots()
    ax.set_axis_off()
    spots = [(np.arange(len(names)) + 0.5) / len(names) for names in (below, above)]
    dashes = (*DASHES, (0, (7, 2, 1, 2, 1, 2)))
    colours = sorted(COLOURS, key=lambda colour: colour == COLOURS[4])  # the second blue comes last
    for k, (name, pairs) in enumerate(places.items()):
        look = {"color": colours[k % len(colours)], "linestyle": dashes[k % len(dashes)], "linewidth": 2}
        for upper, lower in pairs:
            ax.plot([spots[0][lower], spots[1][upper]], [0, 1], zorder=1, **look)
        ax.plot([], [], label=name, **look)
    for height, (names, row) in enumerate(zip((below, above), spots, strict=True)):
        for name, x in zip(names, row, strict=True):
            ax.text(
                x,
                height,
                name,
                ha="center",
                va="center",
                fontsize=FONT,
                zorder=3,
                bbox={"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": "black"},
            )
    ax.set(xlim=(0, 1), ylim=(-0.18, 1.18))
    if places:
        picture.legend(
            loc="outside right center", frameon=False, fontsize=FONT, title=label, title_fontsize=FONT, handlelength=3
        )
    _set_heading(picture, heading)
    said = [f"{name}: {[(above[j], below[i]) for j, i in pairs]}" for name, pairs in places.items()]
    picture.alt = _alt(heading, "Neurons and arcs (to, from) by their weight", said)
    return picture


def receptive_pyramid(
    layers: Sequence[Layer], input_size: int, positions: Sequence[int] | None = None, heading: str = ""
) -> Picture:
    """Draw 1-D layers above each other, with what chosen outputs of the last one see, down to the input.

    An element stands above the middle of what it sees. Every connection is drawn in grey, those below a chosen output
    in its colour. Padding is dashed; it is constant, so nothing is followed below it. A bracket below the input spans
    the receptive field of each chosen output, and says how many of its elements are read, if not all.

    Args:
        layers: the layers from the input to the output, each with kernel_size, stride, padding and dilation.
        input_size: elements of the input.
        positions: the chosen outputs, indices into the last layer; default: all of them.
        heading: title of the whole picture.

    Raises:
        ValueError: no layer, a layer without an output, or a position that the last layer does not have.
    """
    if not layers:
        raise ValueError("layers is empty: give at least one")
    sizes, jumps, starts = [input_size], [1], [0.0]
    for number, layer in enumerate(layers, start=1):
        if any(isinstance(s, tuple) for s in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)):
            raise ValueError(f"layer {number} has a pair (rows, columns), but the picture has one direction: {layer}")
        reach = (layer.kernel_size - 1) * layer.dilation
        size = (sizes[-1] + 2 * layer.padding - reach - 1) // layer.stride + 1
        if size < 1:
            raise ValueError(
                f"layer {number} has no output: its kernel spans {reach + 1} elements, but with its padding it gets "
                f"{sizes[-1] + 2 * layer.padding}; input_size is {input_size}"
            )
        starts.append(starts[-1] + jumps[-1] * (reach / 2 - layer.padding))
        jumps.append(jumps[-1] * layer.stride)
        sizes.append(size)
    positions = range(sizes[-1]) if positions is None else positions
    for position in positions:
        if not 0 <= position < sizes[-1]:
            raise ValueError(f"position {position} is out of range: the last layer has {sizes[-1]} outputs")

    seen = [_cone(layers, sizes, position) for position in positions]  # by output, by row: the elements below it
    span = 1 + sum((layer.kernel_size - 1) * layer.dilation * jump for layer, jump in zip(layers, jumps, strict=False))
    first = round(starts[-1] - (span - 1) / 2)
    regions = [(first + jumps[-1] * position, first + jumps[-1] * position + span - 1) for position in positions]
    rows = []  # by row: the elements that are drawn, padding included
    for row, size in enumerate(sizes):
        padding = layers[row].padding if row < len(layers) else 0
        below = [element for cone in seen for element in cone[row]]
        rows.append(range(min(-padding, *below), max(size + padding, *(e + 1 for e in below))))
    # In inches, so that text has its room.
    left = min(start + jump * row[0] for start, jump, row in zip(starts, jumps, rows, strict=True))
    right = max(start + jump * row[-1] for start, jump, row in zip(starts, jumps, rows, strict=True))
    left, right = min(left, *(region[0] for region in regions)), max(right, *(region[1] for region in regions))
    margin = (0.75, 1.35)
    cell = min(0.42, (WIDTH - 0.1 - sum(margin)) / (right - left + 1))
    gap, bracket = 0.85, 0.4
    height = gap * len(layers) + bracket * len(seen)
    picture = Picture(cell * (right - left + 1) + sum(margin) + 0.1, height + 0.75 + 0.3 * bool(heading))
    ax = picture.subplots()
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim((left - 0.5) * cell - margin[0], (right + 0.5) * cell + margin[1])
    ax.set_ylim(-height + gap * len(layers) - 0.35, gap * len(layers) + 0.3)

    def place(row: int, element: int) -> tuple[float, float]:
        return (starts[row] + jumps[row] * element) * cell, row * gap

    box = 0.8 * min(cell, 0.36)
    for row, layer in enumerate(layers, start=1):
        for element in range(sizes[row]):
            followed = [k for k, cone in enumerate(seen) if element in cone[row]]
            for tap in _taps(layer, element):
                ends = list(zip(place(row, element), place(row - 1, tap), strict=True))
                if not followed:
                    ax.plot(*ends, color="#D4D4D4", linewidth=0.8, zorder=1)
                for k in followed:
                    ax.plot(*ends, color=COLOURS[k % len(COLOURS)], linewidth=1.4, alpha=0.8, zorder=2)
    for row, elements in enumerate(rows):
        for element in elements:
            x, y = place(row, element)
            outside = not 0 <= element < sizes[row]
            followed = [k for k, cone in enumerate(seen) if element in cone[row]]
            edge = "#909090" if not followed else "black" if len(followed) > 1 else COLOURS[followed[0] % len(COLOURS)]
            square = Rectangle(
                (x - box / 2, y - box / 2),
                box,
                box,
                facecolor="white" if outside or not followed else _pale(edge),
                edgecolor=edge,
                linestyle=(0, (2, 2)) if outside else "-",
                linewidth=1.5 if followed else 0.8,
                zorder=3,
            )
            ax.add_patch(square)
            if not outside and box > 0.15:
                ax.text(x, y, str(element), ha="center", va="center_baseline", fontsize=9, zorder=4)
        name = f"layer {row}" if row else "input"
        ax.text((left - 0.5) * cell - 0.12, row * gap, name, ha="right", va="center", fontsize=FONT)
        if row:
            field = 1 + sum((la.kernel_size - 1) * la.dilation * j for la, j in zip(layers[:row], jumps, strict=False))
            words = f"field {field}, jump {jumps[row]}"
            ax.text((right + 0.5) * cell + 0.12, row * gap, words, ha="left", va="center", fontsize=FONT)
    said = []
    for k, (position, region, cone) in enumerate(zip(positions, regions, seen, strict=True)):
        y, colour = -0.32 - bracket * k, COLOURS[k % len(COLOURS)]
        ends = [(region[0] - 0.45) * cell, (region[1] + 0.45) * cell]
        ax.plot(ends, [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
        for end in ends:
            ax.plot([end, end], [y - 0.05, y + 0.05], color=colour, linewidth=2.5)
        read = sum(0 <= element < input_size for element in cone[0])
        words = f"{_signed(region[0])} to {_signed(region[1])}" if span > 1 else _signed(region[0])
        words += f", {read} of {span} read" if read < span else ""
        said.append(f"output {position} sees the inputs {words}")
        ax.text(sum(ends) / 2, y - 0.07, f"output {position}: {words}", ha="center", va="top", fontsize=FONT - 1)
    _set_heading(picture, heading)
    picture.alt = _alt(heading, f"{len(layers)} layers over an input of {input_size} elements", said)
    return picture


def regions_over_image(
    image: Array, regions: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], heading: str = ""
) -> Picture:
    """Frame regions of an image; what of them lies beyond its border (padding) is hatched.

    Args:
        image: (3, H, W), (1, H, W) or (H, W) in [0, 1].
        regions: name -> ((first row, last row), (first column, last column)), in pixels, both ends included.
        heading: title of the whole picture.

    Raises:
        ValueError: no region, one whose last pixel comes before its first, or an image of another shape.
    """
    if not regions:
        raise ValueError("regions is empty: give at least one, name -> ((first row, last row), (first, last column))")
    pixels = _images(image[None])[0]
    for name, ends in regions.items():
        if any(last < first for first, last in ends):
            raise ValueError(f"regions[{name!r}] must end after it begins, got {ends}")
    (top, bottom), (left, right) = (
        (min(0, *(r[axis][0] for r in regions.values())), max(size - 1, *(r[axis][1] for r in regions.values())))
        for axis, size in enumerate(pixels.shape[:2])
    )
    picture = Picture(6.6, 3.9 * min(1.2, max(0.6, (bottom - top + 1) / (right - left + 1))) + 0.3 * bool(heading))
    ax = picture.subplots()
    _show_image(ax, pixels)
    edge = 0.02 * max(bottom - top, right - left)
    ax.set_xlim(left - 0.5 - edge, right + 0.5 + edge)
    ax.set_ylim(bottom + 0.5 + edge, top - 0.5 - edge)
    ax.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5),
            right - left + 1,
            bottom - top + 1,
            facecolor="#F2F2F2",
            hatch="///",
            edgecolor="#C8C8C8",
            linewidth=0,
            zorder=-2,
        )
    )
    for k, (name, ((row, last_row), (column, last_column))) in enumerate(regions.items()):
        frame = ((column - 0.5, row - 0.5), last_column - column + 1, last_row - row + 1)
        ax.add_patch(Rectangle(*frame, fill=False, edgecolor="white", linewidth=4, zorder=3))
        ax.add_patch(
            Rectangle(
                *frame,
                fill=False,
                edgecolor=COLOURS[k % len(COLOURS)],
                linestyle=DASHES[k % len(DASHES)],
                linewidth=2,
                label=name,
                zorder=4,
            )
        )
    ax.set_xlabel("column, pixels", fontsize=FONT)
    ax.set_ylabel("row, pixels", fontsize=FONT)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(7, integer=True))
    _plain(ax)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=FONT, handlelength=2.5)
    _set_heading(picture, heading)
    picture.alt = _alt(heading, "Regions of an image", [f"{name}: {ends}" for name, ends in regions.items()])
    return picture


def scatter(
    points: Mapping[str, tuple[float, float]],
    x_label: str,
    y_label: str,
    title: str = "",
    logarithmic: bool = False,
    sides: Mapping[str, Side] | None = None,
    line: tuple[Array, Array] | None = None,
) -> Picture:
    """Draw named points over one pair of axes.

    Args:
        points: name -> (x, y).
        x_label: name and unit of x.
        y_label: name and unit of y.
        title: title of the picture.
        logarithmic: whether equal steps along the x axis are equal factors.
        sides: name -> "left", "above" or "below", for points whose right side has no room for the name.
        line: x and y, each (n,), of a dashed line behind the points, for example one fitted to them.

    Raises:
        ValueError: no point, a name in `sides` that is no point's, or an unknown side.
    """
    if not points:
        raise ValueError("points is empty: give at least one, name -> (x, y)")
    sides = dict(sides or {})
    if unknown := set(sides) - set(points):
        raise ValueError(f"sides names {sorted(unknown)}, but the points are {list(points)}")
    # (shift in points, horizontal and vertical alignment)
    placing = {
        "right": ((7, 0), "left", "center"),
        "left": ((-7, 0), "right", "center"),
        "above": ((0, 6), "center", "bottom"),
        "below": ((0, -6), "center", "top"),
    }
    if wrong := set(sides.values()) - set(placing):
        raise ValueError(f"sides must be of {list(placing)}, got {sorted(wrong)}")
    picture = Picture(7.0, 3.8)
    ax = picture.subplots()
    if logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    if line is not None:
        ax.plot(_array(line[0]), _array(line[1]), "--", color="#909090", linewidth=1.5, zorder=1)
    for name, (x, y) in points.items():
        ax.plot([x], [y], "o", color=COLOURS[0], markersize=7, zorder=2)
        shift, across, along = placing[sides.get(name, "right")]
        ax.annotate(name, (x, y), shift, textcoords="offset points", ha=across, va=along, fontsize=FONT - 1)
    ax.margins(x=0.12, y=0.08)
    _plain(ax)
    ax.set_xlabel(x_label, fontsize=FONT)
    ax.set_ylabel(y_label, fontsize=FONT)
    _set_heading(picture, title)
    said = [f"{name} ({x:g}, {y:g})" for name, (x, y) in points.items()]
    picture.alt = _alt(title, f"{y_label} over {x_label}", said)
    return picture


def symbol_matrices(
    tables: Mapping[str, Sequence[Sequence[str]]],
    values: Mapping[str, Array] | None = None,
    framed: Mapping[str, Array] | None = None,
    dropped: Mapping[str, Array] | None = None,
    signs: Sequence[str] = (),
    heading: str = "",
) -> Picture:
    """Show matrices of symbols side by side, as a product of matrices is written.

    Args:
        tables: title -> rows of entries, each a text such as "w_5", "r_1 w_5", "0" or "−2.5"; a vector has rows of one
            entry. What holds an underscore is set as a formula; "0" is pale, "" is empty.
        values: title -> (rows, columns), for colours: red where positive, blue where negative, on one scale for all
            tables that are given; a table without values, or NaN, stays white.
        framed: title -> bool (rows, columns), entries with a black frame.
        dropped: title -> bool (rows, columns), entries that are switched off: hatched, and grey.
        signs: what stands before the second, third, ... table, such as "=" or "".
        heading: title of the whole picture.

    Raises:
        ValueError: no table, rows of different lengths, a title without a table, or arrays of another shape.
    """
    if not tables:
        raise ValueError("tables is empty: give at least one, title -> rows of entries")
    shapes = {}
    for name, rows in tables.items():
        if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
            raise ValueError(f"tables[{name!r}] must have rows of one length, got {[len(row) for row in rows]}")
        shapes[name] = (len(rows), len(rows[0]))
    arrays = {}
    for what, given in (("values", values or {}), ("framed", framed or {}), ("dropped", dropped or {})):
        if unknown := set(given) - set(tables):
            raise ValueError(f"{what} {sorted(unknown)} have no table; there are {list(tables)}")
        arrays[what] = {name: _table(f"{what}[{name!r}]", given[name], shapes[name]) for name in given}
    finite = [array[np.isfinite(array)] for array in arrays["values"].values()]
    norm = _symmetric(np.concatenate(finite) if finite else np.zeros(0))

    # An index is set smaller: a formula takes less room than its letters would.
    sizes = [max(0.36, max(_formula_width(entry) for row in rows for entry in row) + 0.14) for rows in tables.values()]
    columns = [shape[1] * size for shape, size in zip(shapes.values(), sizes, strict=True)]
    gap = 0.34
    shrink = min(1.0, (WIDTH + 0.4 - gap * len(tables)) / sum(columns))
    height = 0.34
    n_rows = max(shape[0] for shape in shapes.values())
    picture = Picture(max(sum(columns) * shrink + gap * len(tables), 3.0), height * n_rows + 0.42 + 0.3 * bool(heading))
    axes = picture.subplots(1, len(tables), squeeze=False, width_ratios=columns)[0]
    for k, (ax, (name, rows)) in enumerate(zip(axes, tables.items(), strict=True)):
        shape = shapes[name]
        colours = arrays["values"].get(name, np.full(shape, np.nan))
        off = arrays["dropped"].get(name, np.zeros(shape)) > 0
        _show_table(ax, colours, [[""] * shape[1]] * shape[0], norm, aspect=height / (sizes[k] * shrink))
        ax.grid(color="#DDDDDD", linewidth=0.8)
        ax.spines[:].set_color("#808080")
        for i, row in enumerate(rows):
            for j, entry in enumerate(row):
                if off[i, j]:
                    _hatch_cell(ax, i, j)
                look = {"color": "#707070"} if entry == "0" or off[i, j] else {"color": "black"}
                if arrays["framed"].get(name, np.zeros(shape))[i, j] > 0:
                    _outline_cells(ax, (i, j, 1, 1), "black", 1.8, inset=0.08)
                ax.text(j, i, _formula(entry), ha="center", va="center", fontsize=FONT, zorder=4, **look)
        ax.set_title(name, fontsize=FONT)
        if k and k <= len(signs) and signs[k - 1]:
            ax.annotate(
                signs[k - 1],
                (0, 0.5),
                (-0.5, 0),
                xycoords="axes fraction",
                textcoords="offset fontsize",
                ha="right",
                va="center",
                fontsize=FONT + 2,
            )
    _set_heading(picture, heading)
    said = [f"{name}: {[' '.join(entry or '.' for entry in row) for row in rows]}" for name, rows in tables.items()]
    picture.alt = _alt(heading, "Matrices", said)
    return picture


def curve_grid(
    panels: Mapping[str, Mapping[str, Array | tuple[Array, Array]]],
    x_label: str,
    y_label: str,
    heading: str = "",
    columns: int = 3,
    marks: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Draw the same lines in several panels with the same axes, one panel a case.

    Args:
        panels: title -> name of the line -> (x, y), or y alone over 0, 1, 2, ...; a y of (runs, n) is drawn as its
            mean, with a band from the lowest to the highest run.
        x_label: name and unit of x.
        y_label: name and unit of y.
        heading: title of the whole picture.
        columns: panels in a row.
        marks: title -> x, where a dotted line stands.
        limits: lowest and highest y shown; default: all.

    Raises:
        ValueError: no panel, x and y of different lengths, or a mark without a panel.
    """
    if not panels:
        raise ValueError("panels is empty: give at least one, title -> lines")
    if unknown := set(marks or {}) - set(panels):
        raise ValueError(f"marks {sorted(unknown)} have no panel; there are {list(panels)}")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    # As many entries in a row of the legend as fit, if all are as long as the longest one.
    entries = max(1, min(len(names), int(WIDTH / (0.085 * max(map(len, names)) + 0.75))))
    legend_rows = -(-len(names) // entries)
    picture = Picture(WIDTH, 1.95 * rows + 0.6 + 0.21 * (legend_rows - 1) + 0.3 * bool(heading))
    axes = picture.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, lines) in zip(axes, panels.items(), strict=False):
        for name, line in lines.items():
            y = _array(line[1] if isinstance(line, tuple) else line).astype(float)
            x = _array(line[0]) if isinstance(line, tuple) else np.arange(y.shape[-1])
            if x.ndim != 1 or y.ndim not in (1, 2) or y.shape[-1] != len(x):
                raise ValueError(
                    f"panels[{title!r}][{name!r}] must be x (n,) and y (n,) or (runs, n), got {x.shape} and {y.shape}"
                )
            k = names.index(name)
            look = {"color": COLOURS[k % len(COLOURS)]}
            if y.ndim == 2:
                ax.fill_between(x, y.min(0), y.max(0), alpha=0.18, linewidth=0, **look)
                y = y.mean(0)
            ax.plot(x, y, DASHES[k % len(DASHES)], linewidth=2, **look)
        if title in (marks or {}):
            ax.axvline(marks[title], color="black", linestyle=":", linewidth=1.2)
        ax.set_title(_wrapped(title, WIDTH / columns - 0.3), fontsize=FONT)
        _plain(ax)
    if limits:
        axes[0].set_ylim(*limits)
    for k, name in enumerate(names):
        axes[0].plot([], [], DASHES[k % len(DASHES)], color=COLOURS[k % len(COLOURS)], label=name, linewidth=2)
    for k, ax in enumerate(axes[: len(panels)]):
        if k + columns >= len(panels):  # the lowest panel of its column
            ax.set_xlabel(x_label, fontsize=FONT)
            ax.tick_params(labelbottom=True)
        if k % columns == 0:
            ax.set_ylabel(y_label, fontsize=FONT)
    picture.legend(loc="outside lower center", ncols=entries, frameon=False, fontsize=FONT, handlelength=3)
    _set_heading(picture, heading)
    picture.alt = _alt(heading, f"{y_label} over {x_label}, with lines {', '.join(names)}", list(panels))
    return picture


def distributions(
    groups: Mapping[str, Array | Mapping[str, Array]], x_label: str, heading: str = "", reference: str | None = None
) -> Picture:
    """Draw how numbers are spread in several groups: a box from quarter to quarter, its median, and every number.

    Args:
        groups: name -> (n,), or measure -> name -> (n,) for a panel a measure; each panel has an axis of its own.
        x_label: what the numbers are, and their unit.
        heading: title of the whole picture.
        reference: a group whose median runs through its panel as a dashed line.

    Raises:
        ValueError: no group, an empty one, measures with different groups, or a reference that is no group.
    """
    measures = groups if all(isinstance(group, Mapping) for group in groups.values()) else {"": groups}
    names = list(next(iter(measures.values()), {}))
    if not names:
        raise ValueError("groups is empty: give at least one, name -> numbers")
    if reference is not None and reference not in names:
        raise ValueError(f"reference {reference!r} is no group; there are {names}")
    picture = Picture(WIDTH, 0.36 * len(names) + 0.75 + 0.25 * any(measures) + 0.3 * bool(heading))
    axes = picture.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    said = []
    for ax, (measure, spread) in zip(axes, measures.items(), strict=True):
        if list(spread) != names:
            raise ValueError(f"groups[{measure!r}] must have the groups {names}, got {list(spread)}")
        for place, (name, numbers) in enumerate(spread.items()):
            array = _array(numbers).astype(float).ravel()
            if not array.size or not np.isfinite(array).all():
                raise ValueError(f"groups[{name!r}] must hold finite numbers, got {'others' if array.size else 'none'}")
            low, median, high = np.quantile(array, (0.25, 0.5, 0.75))
            colour = COLOURS[0] if name != reference else "#808080"
            ax.barh(place, high - low, left=low, height=0.6, color=colour, alpha=0.35)
            # Numbers of a group lie on three lines, so that equal ones do not hide each other.
            ax.plot(array, place + 0.16 * (np.arange(array.size) % 3 - 1), ".", color=colour, markersize=3.5, alpha=0.6)
            ax.plot([median, median], [place - 0.34, place + 0.34], color="black", linewidth=2)
            if name == reference:
                ax.axvline(median, color="black", linestyle="--", linewidth=1)
            said.append(" ".join(part for part in (measure, name, f"median {median:.2f}") if part))
        ax.set_title(measure, fontsize=FONT)
        _plain(ax)
    axes[0].set_yticks(np.arange(len(names)), labels=names, fontsize=FONT)
    axes[0].invert_yaxis()
    picture.supxlabel(x_label, fontsize=FONT)
    _set_heading(picture, heading)
    picture.alt = _alt(heading, f"Spread of {x_label}", said)
    return picture


def neuron_graph(
    layers: Sequence[Sequence[str]],
    arcs: Mapping[tuple[int, int, int], str],
    values: Sequence[Sequence[float]] | None = None,
    heading: str = "",
) -> Picture:
    """Draw a small network with the numbers at its nodes and arcs, from the inputs on the left to the output.

    Args:
        layers: for each layer the texts of its nodes, from top to bottom; a bias is a node that no arc leads to.
        arcs: (number of the lower layer, node there, node in the next layer) -> the text at the arc.
        values: numbers of the same arrangement as `layers`, for the nodes' colours: red where positive, blue where
            negative, on one scale; NaN leaves a node white. Without them all nodes are white.
        heading: title of the whole picture.

    Raises:
        ValueError: fewer than two layers, an arc from or to a node that is not there, or values of another arrangement.
    """
    if len(layers) < 2 or not all(layers):
        raise ValueError(f"layers must be at least two, each with a node, got {[len(layer) for layer in layers]}")
    for below, first, second in arcs:
        known = (
            0 <= below < len(layers) - 1 and 0 <= first < len(layers[below]) and 0 <= second < len(layers[below + 1])
        )
        if not known:
            raise ValueError(f"arc {(below, first, second)} leads from or to a node that is not in the layers")
    if values is not None and [len(row) for row in values] != [len(layer) for layer in layers]:
        raise ValueError(f"values must be arranged as layers, {[len(layer) for layer in layers]} numbers")
    colours = [np.full(len(layer), np.nan) for layer in layers] if values is None else [np.array(v) for v in values]
    flat = np.concatenate(colours)
    norm = _symmetric(flat[np.isfinite(flat)])
    tallest = max(len(layer) for layer in layers)
    picture = Picture(WIDTH, 0.95 * tallest + 0.1 + 0.3 * bool(heading))
    ax = picture.subplots()
    ax.set_axis_off()
    # A layer of fewer nodes is centred beside the tallest one.
    spots = [
        [(column, (tallest - len(layer)) / 2 + row) for row in range(len(layer))] for column, layer in enumerate(layers)
    ]
    for (below, first, second), text in arcs.items():
        (x0, y0), (x1, y1) = spots[below][first], spots[below + 1][second]
        ax.plot([x0, x1], [y0, y1], color="#909090", linewidth=1.2, zorder=1)
        at = 0.22  # near the lower node, before the arcs cross
        ax.text(
            x0 + at * (x1 - x0),
            y0 + at * (y1 - y0),
            text,
            ha="center",
            va="center",
            fontsize=FONT,
            zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    for layer, row, colour in zip(layers, spots, colours, strict=True):
        for text, (x, y), value in zip(layer, row, colour, strict=True):
            face = "white" if np.isnan(value) else 0.55 * np.array(colormaps[SIGNED](norm(value))) + 0.45
            ax.text(
                x,
                y,
                text,
                ha="center",
                va="center",
                fontsize=FONT,
                linespacing=1.5,
                zorder=3,
                bbox={"boxstyle": "round,pad=0.45", "facecolor": face, "edgecolor": "black"},
            )
    ax.set(xlim=(-0.28, len(layers) - 0.72), ylim=(tallest - 0.5, -0.5))
    _set_heading(picture, heading)
    said = [f"layer {n}: {', '.join(text.replace(chr(10), ' ') for text in layer)}" for n, layer in enumerate(layers)]
    said += [f"arc {first} to {second} from layer {below}: {text}" for (below, first, second), text in arcs.items()]
    picture.alt = _alt(heading, "A network", said)
    return picture


def layer_sums(
    sums: Mapping[str, Array], layers: Sequence[str], total: float, heading: str = "", columns: int = 3
) -> Picture:
    """Draw what the relevance of each layer sums to, a panel a rule; a dashed line stands at the score.

    Args:
        sums: name of the rule -> (L,), the sums in units of the score.
        layers: L names, from the input to the output.
        total: the score.
        heading: title of the whole picture.
        columns: panels in a row.

    Raises:
        ValueError: no rule, or sums that are not L in number.
    """
    if not sums:
        raise ValueError("sums is empty: give at least one, name of the rule -> (L,)")
    arrays = {name: _array(values).astype(float) for name, values in sums.items()}
    for name, array in arrays.items():
        if array.shape != (len(layers),):
            raise ValueError(f"sums[{name!r}] must be of shape ({len(layers)},), one for each layer, got {array.shape}")
    columns = min(columns, len(arrays))
    rows = -(-len(arrays) // columns)
    longest = max(len(name) for name in layers)
    picture = Picture(WIDTH, 1.5 * rows + 0.085 * longest + 0.3 + 0.3 * bool(heading))
    axes = picture.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[len(arrays) :]:
        ax.set_axis_off()
    for k, (ax, (name, array)) in enumerate(zip(axes, arrays.items(), strict=False)):
        _show_sums(ax, array, layers, total)
        ax.set_title(_wrapped(name, WIDTH / columns - 0.4), fontsize=FONT)
        ax.tick_params(labelbottom=k + columns >= len(arrays))  # the lowest panel of its column
        if k % columns == 0:
            ax.set_ylabel("sum", fontsize=FONT)
    _set_heading(picture, heading)
    said = [f"{name}: {', '.join(f'{v:.2f}' for v in array)}" for name, array in arrays.items()]
    picture.alt = _alt(heading, f"Sums of the relevance in {', '.join(layers)}; the score is {total:.2f}", said)
    return picture


def relevance_and_sums(
    image: Array,
    attribution: Array,
    sums: Mapping[str, float],
    total: float,
    mask: Array | None = None,
    title: str = "",
    label: str = "relevance",
    quantile: float = 1.0,
) -> Picture:
    """Show the relevance of an image's pixels, and beside it what the relevance of each layer sums to.

    Args:
        image: (3, H, W), (1, H, W) or (H, W) in [0, 1].
        attribution: (C, H, W), summed over the channels, or (H, W).
        sums: name of the layer -> its sum, from the input to the output.
        total: the score; a dashed line stands there.
        mask: bool (H, W), outlined on the map.
        title: title of the whole picture.
        label, quantile: as in :func:`heatmap_grid`.

    Raises:
        ValueError: as in :func:`heatmap_grid`; no layer.
    """
    if not sums:
        raise ValueError("sums is empty: give at least one, name of the layer -> sum")
    pixels = _images(image[None])
    values, norm, label = _scaled(_maps(attribution[None]), label, "figure", quantile)
    picture = Picture(WIDTH, 3.1 + 0.3 * bool(title))
    axes = picture.subplots(1, 3, width_ratios=[1, 1, 1.25])
    for ax, name in zip(axes, ("image", "relevance of the pixels", "sum of each layer"), strict=True):
        ax.set_title(name, fontsize=FONT)
    for ax in axes[:2]:
        ax.set_xticks([])
        ax.set_yticks([])
    _show_image(axes[0], pixels[0])
    _show_map(axes[1], values[0], norm, None)
    if mask is not None:
        _show_outline(axes[1], _images(mask[None], "mask")[0], values[0])
    _colour_bar(picture, axes[1:2], norm, label, values)
    _show_sums(axes[2], np.array(list(sums.values()), dtype=float), list(sums), total)
    _set_heading(picture, title)
    said = [f"{name} {value:.2f}" for name, value in sums.items()]
    what = f"An image, its map of {label}, and the sums of each layer beside the score {total:.2f}"
    picture.alt = _alt(title, what, said)
    return picture


def bars(values: Mapping[str, float], x_label: str, heading: str = "") -> Picture:
    """Draw signed numbers as bars from 0, the first on top: red to the right, blue to the left.

    Args:
        values: name -> number.
        x_label: what the numbers are, and their unit.
        heading: title of the whole picture.

    Raises:
        ValueError: no number, or one that is not finite.
    """
    numbers = np.array([float(value) for value in values.values()])
    if not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"values must hold finite numbers, got {'others' if numbers.size else 'none'}")
    picture = Picture(7.0, 0.24 * len(numbers) + 0.7 + 0.3 * bool(heading))
    ax = picture.subplots()
    ax.barh(np.arange(len(numbers)), numbers, color=[COLOURS[1] if n >= 0 else COLOURS[0] for n in numbers], height=0.7)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(np.arange(len(numbers)), labels=list(values), fontsize=FONT)
    ax.invert_yaxis()
    ax.set_xlabel(x_label, fontsize=FONT)
    _plain(ax)
    _set_heading(picture, heading)
    said = [f"{name} {number:.2f}" for name, number in zip(values, numbers, strict=True)]
    picture.alt = _alt(heading, f"Bars of {x_label}", said)
    return picture


def histogram_grid(
    panels: Mapping[str, tuple[Array, Sequence[tuple[Array, Array]]]], x_label: str, heading: str = "", columns: int = 2
) -> Picture:
    """Draw how a distribution changes over a training, a panel each: one histogram behind the other, as TensorBoard.

    The first step is at the back, the last one in front. Heights are square roots of the counts, so that few numbers
    beside a peak can be seen, and each histogram has the same largest height. Each panel has its own x axis, and leaves
    out the outermost 1 % of the numbers.

    Args:
        panels: title -> (steps (T,), T pairs of limits (B + 1,) and counts (B,) as `np.histogram` has them).
        x_label: what the numbers are, and their unit.
        heading: title of the whole picture.
        columns: panels in a row.

    Raises:
        ValueError: no panel, one without a histogram, or limits and counts that do not fit.
    """
    if not panels:
        raise ValueError("panels is empty: give at least one, title -> (steps, histograms)")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    picture = Picture(WIDTH, 1.75 * rows + 0.3 + 0.3 * bool(heading))
    axes = picture.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    said = []
    for k, (ax, (title, (steps, histograms))) in enumerate(zip(axes, panels.items(), strict=False)):
        steps = _array(steps)
        pairs = [(_array(limits).astype(float), _array(counts).astype(float)) for limits, counts in histograms]
        if not pairs or len(steps) != len(pairs) or any(len(a) != len(b) + 1 or not b.sum() > 0 for a, b in pairs):
            raise ValueError(f"panels[{title!r}] must hold a step for each histogram, none of them empty")
        shares = [(limits, np.concatenate([[0.0], counts.cumsum() / counts.sum()])) for limits, counts in pairs]
        low = min(np.interp(0.005, share, limits) for limits, share in shares)
        high = max(np.interp(0.995, share, limits) for limits, share in shares)
        if high - low < max(1e-11, 1e-9 * abs(low)):  # one number only: 0 (in a bin of 1e-12) if all units are off
            low, high = low - 1.0, high + 1.0
        edges = np.linspace(low, high, 62)  # an odd number of bins: a lone number stands in the middle one
        for row, (limits, share) in enumerate(shares):
            height = np.diff(np.interp(edges, limits, share)).clip(0) ** 0.5
            height = 1.8 * height / height.max()
            base, depth = len(shares) - 1 - row, row / max(1, len(shares) - 1)
            colour = np.array(to_rgb(COLOURS[0])) * (0.35 + 0.65 * depth) + 0.65 * (1 - depth)
            ax.stairs(base + height, edges, baseline=base, fill=True, color=colour, alpha=0.85, zorder=row)
            ax.stairs(base + height, edges, baseline=base, color="white", linewidth=0.8, zorder=row)
        ax.set_yticks([len(shares) - 1, 0] if len(shares) > 1 else [0], labels=[steps[0], steps[-1]][: len(shares)])
        ax.set_xlim(low, high)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(lambda value, _: _power(value))
        ax.set_title(_wrapped(title, WIDTH / columns - 0.6), fontsize=FONT)
        if k + columns >= len(panels):
            ax.set_xlabel(x_label, fontsize=FONT)
        if k % columns == 0:
            ax.set_ylabel("step", fontsize=FONT)
        _plain(ax)
        said.append(f"{title}: 99 % of the numbers from {low:.2g} to {high:.2g}")
    _set_heading(picture, heading)
    picture.alt = _alt(heading, f"Histograms of {x_label} over a training", said)
    return picture


def occlusion_step(
    image: Array,
    covered: Array,
    changes: Array,
    patch: tuple[int, int, int, int],
    cell: tuple[int, int],
    heading: str = "",
    label: str = "change",
) -> Picture:
    """Show a patch on its way over an image: the image, the image with the patch covered, and what covering changed.

    Args:
        image: (3, H, W), (1, H, W) or (H, W) in [0, 1]; the patch is framed.
        covered: the same with the patch covered.
        changes: (rows, columns), a number for each place of the patch; NaN leaves a cell empty: not visited yet.
        patch: (first row, first column, rows, columns) of the patch, in pixels.
        cell: (row, column) of its number in `changes`; framed.
        heading: title of the whole picture.
        label: what the changes are, and their unit.

    Raises:
        ValueError: an image or a table of another shape, or a cell that is not in it.
    """
    pixels = _images(np.stack([_array(image), _array(covered)]))
    table = _table("changes", changes)
    if not all(0 <= place < size for place, size in zip(cell, table.shape, strict=True)):
        raise ValueError(f"cell {cell} is not in a table of {table.shape[0]} x {table.shape[1]}")
    known = table[np.isfinite(table)]
    norm = _symmetric(known)
    picture, axes = _panels(
        3, 3, pixels[0], ["image, patch framed", "patch covered", "change, patch by patch"], heading, True, 2.5
    )
    for ax, shown in zip(axes, pixels, strict=False):
        _show_image(ax, shown)
    axes[2].set_facecolor("#E4E4E4")
    axes[2].imshow(np.ma.masked_invalid(table), cmap=SIGNED, norm=norm, interpolation="nearest")
    for ax, frame in ((axes[0], patch), (axes[2], (*cell, 1, 1))):
        _outline_cells(ax, frame, "white", 3.5)
        _outline_cells(ax, frame, "black", 1.6)
    _colour_bar(picture, axes, norm, label, [known] if known.size else [np.zeros(1)])
    picture.alt = _alt(
        heading,
        f"An image, the image with {patch[2]} x {patch[3]} pixels covered from row {patch[0]}, column {patch[1]}, and "
        f"a table of {table.shape[0]} x {table.shape[1]} changes, {known.size} of them known",
        [f"the {label} of this patch is {table[cell]:.3g}"],
    )
    return picture


def superpixel_grid(
    images: Array,
    segments: Array,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    heading: str = "",
    numbers: bool = False,
) -> Picture:
    """Show images with the borders of their superpixels.

    Args:
        images: (N, 3, H, W), (N, 1, H, W) or (N, H, W) in [0, 1].
        segments: integers (N, H, W), the number of each pixel's superpixel.
        titles: one line above each image.
        columns: images in a row; default: all in one row, at most 6.
        heading: title of the whole picture.
        numbers: write the number of each superpixel into it.

    Raises:
        ValueError: shapes that do not fit, NaN, or titles that do not fit the number of images.
    """
    pixels = _images(images)
    labels = _same_number("segments", _array(segments), pixels)
    titles = _titles(titles, len(pixels))
    picture, axes = _panels(len(pixels), columns, pixels[0], titles, heading, panel=3.2 if numbers else 2.2)
    for ax, image, label in zip(axes, pixels, labels, strict=True):
        _show_image(ax, image)
        _show_superpixels(ax, label, numbers)
    picture.alt = _alt(heading, f"{len(pixels)} images with the borders of their superpixels", titles)
    return picture


def coalition_step(
    image: Array,
    segments: Array,
    perturbed: Array,
    pairs: Mapping[str, tuple[float, float]],
    labels: tuple[str, str],
    x_label: str,
    heading: str = "",
) -> Picture:
    """Show an image and its superpixels, the image without some of them, and numbers in pairs as bars.

    Args:
        image: (C, H, W) in [0, 1].
        segments: integers (H, W), the number of each pixel's superpixel.
        perturbed: (C, H, W), the image without some superpixels.
        pairs: name -> two numbers, drawn as one dark and one pale bar.
        labels: what the dark bars and the pale bars are.
        x_label: what the numbers are, and their unit.
        heading: title of the whole picture.

    Raises:
        ValueError: shapes that do not fit, or no pairs.
    """
    if not pairs:
        raise ValueError("pairs is empty: give at least one, name -> two numbers")
    whole, left = _images(np.stack([_array(image), _array(perturbed)]))
    label = _same_number("segments", _array(segments)[None], whole[None])[0]
    picture = Picture(WIDTH, max(3.1, 0.24 * len(pairs) + 1.2))
    axes = picture.subplots(1, 3, width_ratios=(1, 1, 1.15))
    for ax, shown, title in zip(axes, (whole, left), ("image and superpixels", "what is left"), strict=False):
        _show_image(ax, shown)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(title, fontsize=FONT)
    _show_superpixels(axes[0], label, numbers=True)
    ax, places = axes[2], np.arange(len(pairs))
    for offset, values, colour, name in zip(
        (-0.2, 0.2), zip(*pairs.values(), strict=True), COLOURS, labels, strict=False
    ):
        ax.barh(places + offset, values, height=0.4, color=colour if offset < 0 else _pale(COLOURS[0]), label=name)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(places, labels=list(pairs), fontsize=FONT)
    ax.invert_yaxis()
    ax.set_xlabel(x_label, fontsize=FONT)
    _plain(ax)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=FONT)
    _set_heading(picture, heading)
    said = [f"{name} {now:.2f} ({other:.2f})" for name, (now, other) in pairs.items()]
    picture.alt = _alt(heading, f"An image, what is left of it, and bars of {x_label}: {labels[0]} ({labels[1]})", said)
    return picture


def message(text: str) -> Picture:
    """Give a picture that holds nothing but a text.

    Args:
        text: what to say.
    """
    picture = Picture(WIDTH, 1.2, alt=text)
    picture.text(0.5, 0.5, textwrap.fill(text, 90), ha="center", va="center", fontsize=FONT + 1)
    return picture


# Helpers


def _array(values: Array) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _images(images: Array, name: str = "images") -> np.ndarray:
    """Give images or masks as (N, H, W) or (N, H, W, 3) in [0, 1]."""
    array = _array(images).astype(float)
    if array.ndim == 4 and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1) if array.shape[1] == 3 else array[:, 0]
    elif array.ndim != 3:
        raise ValueError(f"{name} must be of shape (N, 3, H, W), (N, 1, H, W) or (N, H, W), got {array.shape}")
    if array.size == 0 or np.isnan(array).any():
        raise ValueError(f"{name} must hold numbers, got {'none' if array.size == 0 else 'NaN'}")
    return array.clip(0, 1)


def _maps(maps: Array) -> np.ndarray:
    """Give maps as (N, H, W)."""
    array = _array(maps).astype(float)
    if array.ndim not in (3, 4):
        raise ValueError(f"maps must be of shape (N, C, H, W) or (N, H, W), got {array.shape}")
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"maps must hold finite numbers, got {'none' if array.size == 0 else 'NaN or infinite ones'}")
    return array.sum(axis=1) if array.ndim == 4 else array


def _same_number(name: str, arrays: np.ndarray, others: np.ndarray) -> np.ndarray:
    if len(arrays) != len(others):
        raise ValueError(f"{name} must be {len(others)} in number, got {len(arrays)}")
    return arrays


def _titles(titles: Sequence[str] | None, n: int) -> list[str]:
    if titles is None:
        return [""] * n
    if len(titles) != n:
        raise ValueError(f"titles must be {n} in number, got {len(titles)}")
    return list(titles)


def _symmetric(values: np.ndarray, quantile: float = 1.0) -> Normalize:
    """Give the colour scale that is centred on 0 and ends at the quantile of the sizes."""
    limit = float(np.quantile(np.abs(values), quantile)) if values.size else 0.0
    limit = limit or float(np.abs(values).max(initial=0.0)) or 1.0
    return Normalize(-limit, limit)


def _scaled(
    maps: Sequence[np.ndarray], label: str, scale: Scale, quantile: float
) -> tuple[list[np.ndarray], Normalize, str]:
    """Give the maps, their one colour scale, and what its values are."""
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must be in (0, 1], got {quantile}")
    if scale == "map":
        return [m / _symmetric(m, quantile).vmax for m in maps], Normalize(-1, 1), f"{label}, each map by its own scale"
    if scale != "figure":
        raise ValueError(f"scale must be 'figure' or 'map', got {scale!r}")
    return list(maps), _symmetric(np.concatenate([m.ravel() for m in maps]), quantile), label


def _panels(
    n: int,
    columns: int | None,
    shape: np.ndarray,
    titles: Sequence[str],
    heading: str,
    bar: bool = False,
    panel: float = 1.6,
) -> tuple[Picture, list[Axes]]:
    """Make n empty panels, row by row, for arrays (H, W, ...) of the given shape."""
    columns = min(n, 6) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    rows = -(-n // columns)
    width = min(panel, (WIDTH - 0.9 * bar) / columns)
    wrapped = [_wrapped(title, width) for title in titles]
    in_row = [_lines(wrapped[row * columns : (row + 1) * columns]) for row in range(rows)]
    height = rows * (width * shape.shape[0] / shape.shape[1] + 0.08) + 0.2 * sum(in_row) + 0.3 * bool(heading)
    picture = Picture(columns * (width + 0.06) + 0.9 * bar, max(height, 1.6 if bar else 0.5))
    grid = picture.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid:
        ax.set_xticks([])
        ax.set_yticks([])
    for ax in grid[n:]:
        ax.set_axis_off()
    for ax, title in zip(grid, wrapped, strict=False):
        ax.set_title(title, fontsize=FONT)
    _set_heading(picture, heading)
    return picture, list(grid[:n])


def _show_image(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _show_table(ax: Axes, array: np.ndarray, text: Sequence[Sequence[str]], norm: Normalize, aspect: float) -> None:
    """Show a table of numbers, each cell coloured by its value; NaN leaves a cell empty."""
    # Half of the colour is enough to see the sign, and leaves black numbers readable in every cell.
    ax.imshow(np.ma.masked_invalid(array), cmap=SIGNED, norm=norm, alpha=0.55, aspect=aspect)
    for (i, j), value in np.ndenumerate(array):
        if not np.isnan(value):
            ax.text(j, i, text[i][j], ha="center", va="center", fontsize=FONT)
    ax.set_xticks(np.arange(array.shape[1] + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(array.shape[0] + 1) - 0.5, labels=[])
    ax.grid(color="white", linewidth=1.5)
    ax.tick_params(length=0)


def _show_map(ax: Axes, values: np.ndarray, norm: Normalize, below: np.ndarray | None) -> None:
    """Show a map, alone or over the image in pale grey, there the stronger the less transparent."""
    if below is None:
        ax.imshow(values, cmap=SIGNED, norm=norm, interpolation="nearest")
        return
    grey = below.mean(axis=2) if below.ndim == 3 else below
    ax.imshow(0.35 + 0.65 * grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    strength = np.clip(np.abs(values) / norm.vmax, 0, 1) ** 0.5
    height, width = grey.shape
    ax.imshow(
        values,
        cmap=SIGNED,
        norm=norm,
        alpha=0.9 * strength,
        interpolation="nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )


def _show_outline(ax: Axes, mask: np.ndarray, shown: np.ndarray) -> None:
    """Outline a mask on a panel that shows an array of perhaps another size."""
    padded = np.pad(mask, 1)  # closes the outline at the image's border
    y, x = ((np.arange(p) - 0.5) * s / m - 0.5 for p, s, m in zip(padded.shape, shown.shape, mask.shape, strict=False))
    if mask.any():
        ax.contour(x, y, padded, levels=[0.5], colors=OUTLINE, linewidths=1.3)
    ax.set_xlim(-0.5, shown.shape[1] - 0.5)
    ax.set_ylim(shown.shape[0] - 0.5, -0.5)


def _show_superpixels(ax: Axes, label: np.ndarray, numbers: bool) -> None:
    """Draw the borders between superpixels, and their numbers at the pixel next to their middle."""
    rows, columns = np.nonzero(label[:, 1:] != label[:, :-1])
    upright = [[(x + 0.5, y - 0.5), (x + 0.5, y + 0.5)] for y, x in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(label[1:] != label[:-1])
    level = [[(x - 0.5, y + 0.5), (x + 0.5, y + 0.5)] for y, x in zip(rows, columns, strict=True)]
    for colour, width in (("black", 2.2), ("#FFE34D", 1.0)):  # seen on dark and on light images
        ax.add_collection(LineCollection(upright + level, colors=colour, linewidths=width, capstyle="projecting"))
    if numbers:
        for k in np.unique(label):
            pixels = np.argwhere(label == k)
            y, x = pixels[np.abs(pixels - pixels.mean(0)).sum(1).argmin()]
            box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
            ax.text(x, y, str(k), ha="center", va="center", fontsize=FONT - 1, bbox=box)


def _colour_bar(
    picture: Picture, axes: Sequence[Axes], norm: Normalize, label: str, values: Sequence[np.ndarray]
) -> None:
    beyond = max(np.abs(m).max() for m in values) > norm.vmax * (1 + 1e-9)
    bar = picture.colorbar(
        ScalarMappable(norm, SIGNED),
        ax=axes,
        extend="both" if beyond else "neither",
        extendfrac=0.04,
        fraction=0.05,
        pad=0.02,
        aspect=14,
    )
    bar.set_label(_wrapped(label, picture.get_figheight() * 0.8), fontsize=FONT)
    bar.set_ticks([norm.vmin, 0.0, norm.vmax], labels=[f"{v:.2g}" for v in (norm.vmin, 0.0, norm.vmax)])
    if not beyond and all((m >= 0).all() for m in values):
        bar.ax.set_ylim(0, norm.vmax)  # shares and other sizes: no value has a colour of the lower half
    bar.ax.tick_params(labelsize=FONT - 1)


def _table(name: str, values: Array, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Give a table (rows, columns) of the given shape."""
    array = _array(values).astype(float)
    if array.ndim != 2 or array.size == 0 or shape not in (None, array.shape):
        wanted = "(rows, columns)" if shape is None else shape
        raise ValueError(f"{name} must be of shape {wanted}, got {array.shape}")
    return array


def _outline_cells(ax: Axes, cells: tuple[int, int, int, int], colour: str, width: float, inset: float = 0.0) -> None:
    """Draw a frame around cells of a table: first row, first column, rows, columns."""
    row, column, n_rows, n_columns = cells
    ax.add_patch(
        Rectangle(
            (column - 0.5 + inset, row - 0.5 + inset),
            n_columns - 2 * inset,
            n_rows - 2 * inset,
            fill=False,
            edgecolor=colour,
            linewidth=width,
            clip_on=False,
            zorder=3,
        )
    )


def _taps(layer: Layer, element: int) -> list[int]:
    """Give the elements below that an output of a 1-D layer reads; beyond the ends of the row they are padding."""
    first = element * layer.stride - layer.padding
    return [first + tap * layer.dilation for tap in range(layer.kernel_size)]


def _cone(layers: Sequence[Layer], sizes: Sequence[int], position: int) -> list[set[int]]:
    """Give, for the input and each 1-D layer above it, the elements and the padding that an output reads."""
    cone = [{position}]
    for layer, size in zip(reversed(layers), reversed(sizes), strict=False):
        cone.insert(0, {tap for element in cone[0] if 0 <= element < size for tap in _taps(layer, element)})
    return cone


def _pale(colour: str) -> tuple[float, ...]:
    """Mix a colour with white, so that black text on it stays readable."""
    return tuple(0.3 * part + 0.7 for part in to_rgb(colour))


def _signed(number: int) -> str:
    return str(number).replace("-", "−")


def _formula(entry: str) -> str:
    """Set what holds an underscore as a formula, with several digits of an index kept together."""
    grouped = re.sub("_([0-9]+)", r"_{\1}", entry)
    return f"${grouped}$" if "_" in entry else entry


def _formula_width(entry: str) -> float:
    """Give about the inches that an entry takes; the digits of an index are set smaller."""
    index = sum(len(digits) for digits in re.findall(r"_([0-9]+)", entry))
    letters = len(re.sub(r"_[0-9]+|\s", "", entry))
    return (0.62 * letters + 0.42 * index) * FONT / 72


def _hatch_cell(ax: Axes, row: int, column: int) -> None:
    """Hatch a cell of a table in grey."""
    ax.add_patch(
        Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#F2F2F2", edgecolor="#D6D6D6", hatch="///", linewidth=0)
    )


def _show_arrow(ax: Axes, arrow: str, offset: float) -> None:
    """Set a sign left of a panel, `offset` font sizes from its border."""
    ax.annotate(
        arrow,
        (0, 0.5),
        (offset, 0),
        xycoords="axes fraction",
        textcoords="offset fontsize",
        ha="right",
        va="center",
        fontsize=FONT + 6,
    )


def _show_sums(ax: Axes, sums: np.ndarray, layers: Sequence[str], total: float) -> None:
    """Show the sum of each layer as a bar, red where positive and blue where negative, and the score as a line."""
    colours = [COLOURS[1] if value >= 0 else COLOURS[0] for value in sums]
    ax.bar(np.arange(len(sums)), sums, color=colours, width=0.75)
    ax.axhline(total, color="black", linestyle="--", linewidth=1)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(np.arange(len(sums)), labels=layers, rotation=90, fontsize=FONT - 1)
    _plain(ax)


def _power(value: float) -> str:
    """Write the number at a tick, small and large ones with a power of ten."""
    return f"{value:.3g}".replace("-", "−")


def _plain(ax: Axes) -> None:
    """Take away what is not read: the frame above and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=FONT - 1)


def _set_heading(picture: Picture, heading: str) -> None:
    if heading:
        picture.suptitle(_wrapped(heading, picture.get_figwidth(), FONT + 1), fontsize=FONT + 1, fontweight="bold")


def _wrapped(text: str, inches: float, size: float = FONT) -> str:
    """Break a text into lines of a given width; formulas are left whole."""
    characters = max(6, int(inches * 72 / (0.56 * size)))
    return text if "$" in text else textwrap.fill(text, characters)


def _lines(texts: Sequence[str]) -> int:
    """Give the number of lines of the tallest text; 0 if all are empty."""
    return max((text.count("\n") + 1 for text in texts if text), default=0)


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text.replace("-", "−")


def _alt(heading: str, what: str, titles: Sequence[str]) -> str:
    """Put a picture into words."""
    named = "; ".join(title for title in titles if title)
    return ". ".join(part for part in (heading, f"{what}: {named}" if named else what) if part) + "."
