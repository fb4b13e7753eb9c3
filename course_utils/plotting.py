"""Every picture of the course: images, signed maps, overlays, tables of numbers, scores, curves.

Each function returns a :class:`Picture`, a matplotlib figure that pyplot does not know: nothing is shown or kept open
behind your back, a notebook shows it as a cell's last value, and it carries a text for those who cannot see it.

Signed maps are red where positive, blue where negative and white at 0, on one colour scale a figure. Colours of lines
and bars are those of Okabe and Ito, which colour-blind readers tell apart; lines differ in their dashes, too.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

if TYPE_CHECKING:
    from course_utils.evaluation import ScoreTable

Array = Tensor | np.ndarray
Scale = Literal["figure", "map"]

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
        # Half of the colour is enough to see the sign, and leaves black numbers readable in every cell.
        ax.imshow(np.ma.masked_invalid(array), cmap=SIGNED, norm=norm, alpha=0.55, aspect=0.42 / cell)
        for (i, j), value in np.ndenumerate(array):
            if not np.isnan(value):
                ax.text(j, i, text[i][j], ha="center", va="center", fontsize=FONT)
        ax.set_xticks(np.arange(array.shape[1] + 1) - 0.5, labels=[])
        ax.set_yticks(np.arange(array.shape[0] + 1) - 0.5, labels=[])
        ax.grid(color="white", linewidth=1.5)
        ax.tick_params(length=0)
        ax.set_title(wrapped[k], fontsize=FONT)
        if arrow and k:
            ax.annotate(
                arrow,
                (0, 0.5),
                (-0.28, 0),
                xycoords="axes fraction",
                textcoords="offset fontsize",
                ha="right",
                va="center",
                fontsize=FONT + 6,
            )
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
    for k, (name, line) in enumerate(lines.items()):
        y = _array(line[1] if isinstance(line, tuple) else line)
        x = _array(line[0]) if isinstance(line, tuple) else np.arange(len(y))
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"lines[{name!r}] must be x (n,) and y (n,), got {x.shape} and {y.shape}")
        # The dash changes with every line, the colour too; their periods 4 and 7 make 28 different lines.
        ax.plot(x, y, DASHES[k % len(DASHES)], color=COLOURS[k % len(COLOURS)], label=name, linewidth=2)
    _plain(ax)
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
    bar.ax.tick_params(labelsize=FONT - 1)


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
