"""The zoo: a drawn data set of which the truth is known.

Every image shows one object of ten classes at a random place, size, turn and colour, on a cloudy background with up
to two small distractors. The four animals share one silhouette and differ by their coat alone; every other class is
known by its shape, whatever its texture. So the cause of each label is known, pixel by pixel: a scene can be drawn
again with one thing changed (another texture, without its key part, without the tag) and no other pixel touched.

How it is drawn: each shape is a signed-distance function on the pixel grid (negative inside, in pixels), which gives
smooth edges by clipping, and each texture a periodic function of turned coordinates. All random numbers of an image
are drawn as one row before anything is painted, so that image i is the same however many are asked for. Sines and
cosines are rounded to float32 before the painting, which then uses only operations that IEEE 754 rounds exactly (and
no matrix product), and the result is rounded to 8 bits: so the same seed gives the same pixels on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SIZE = 64
CLASSES = ("cup", "glass", "dumbbell", "star", "ring", "ball", "horse", "zebra", "leopard", "giraffe")
TEXTURES = ("plain", "stripes", "dots", "checks")
REGIONS = ("background", "object", "key part", "distractor", "tag")
COATS = {"horse": "plain", "zebra": "stripes", "leopard": "dots", "giraffe": "checks"}
KEY_PARTS = {
    "cup": "the handle",
    "dumbbell": "the bar",
    "star": "the points",
    "ring": "the hole",
    "zebra": "the stripes",
    "leopard": "the dots",
    "giraffe": "the checks",
}
"""What tells a class from its nearest neighbour; the other classes are known by what they lack."""

_WITHOUT_KEY_PART = {
    "cup": "glass",
    "star": "ball",
    "ring": "ball",
}  # a dumbbell without its bar is two balls: no class
TAG_CORNERS = {  # rows and columns of the tag, 10 x 12 pixels, 2.9 % of the area
    "lower left": (slice(51, 61), slice(3, 15)),
    "lower right": (slice(51, 61), slice(49, 61)),
    "upper left": (slice(3, 13), slice(3, 15)),
    "upper right": (slice(3, 13), slice(49, 61)),
}
_CHUNK = 64  # images painted at a time: the arrays of a chunk stay in the cache
_CLOUD_CELLS = (3, 7)  # cells along a side of each octave of the background
_Array = np.ndarray


@dataclass(frozen=True)
class Sample:
    """Images of the zoo with their truth.

    Attributes:
        images: (N, 3, 64, 64), float32 in [0, 1].
        labels: (N,), the class of the scene as it was first drawn, an index into ``CLASSES``.
        shown: (N,), the class that these pixels show: differs from ``labels`` where the scene was changed
            (a zebra with dots shows a leopard, a cup without its handle a glass); -1 where they show none.
        segmentation: (N, 64, 64), indices into ``REGIONS``; where two overlap, the later one is on top.
        textures: (N,), the object's texture, an index into ``TEXTURES``.
        tagged: (N,), whether the tag was drawn.
    """

    images: Tensor
    labels: Tensor
    shown: Tensor
    segmentation: Tensor
    textures: Tensor
    tagged: Tensor

    def mask(self, region: str) -> Tensor:
        """Where a region is: bool (N, 64, 64). ``"object"`` includes the object's key part.

        The key part of a ring is its hole and that of a textured animal its whole coat; a class that is known by what
        it lacks (glass, ball, horse) has none, and its mask is empty.

        Raises:
            ValueError: the region is none of ``REGIONS``.
        """
        index = _index("region", region, REGIONS)
        mask = self.segmentation == index
        return mask | (self.segmentation == REGIONS.index("key part")) if region == "object" else mask

    def __len__(self) -> int:
        return len(self.labels)


def sample(
    n: int,
    seed: int,
    classes: Sequence[str] | None = None,
    tag: str | bool | None = None,
    texture: str | None = None,
    without: str | None = None,
    tag_rates: tuple[float, float] = (0.9, 0.0),
    tag_corner: str = "lower left",
) -> Sample:
    """Draw ``n`` scenes; the same ``n``, ``seed`` and ``classes`` give the same scenes, whatever else is asked for.

    So a counterfactual is a second call: ``sample(8, seed=1, classes=["zebra"], texture="dots")`` draws the scenes of
    ``sample(8, seed=1, classes=["zebra"])`` with dots for stripes, and no pixel outside the object differs.

    Args:
        n: how many images.
        seed: of all that is random; image i does not depend on ``n``.
        classes: names to choose from, each as often as the others on average; all ten by default.
        tag: a class name puts the white tag on the share ``tag_rates[0]`` of that class and ``tag_rates[1]`` of the
            others (the Clever Hans); True puts it on every image; None or False on none.
        texture: this texture for every object instead of its own.
        without: ``"key part"``, ``"object"`` or ``"distractor"``: the same scene without it. A zebra without its key
            part is plain; classes without a key part stay as they are. No pixel outside the mask of what is left out
            changes, but for the smooth edge that an object shares with a distractor behind it.
        tag_rates: see ``tag``; by default as in the training of the network ``zoo-tagged``.
        tag_corner: where the tag is, one of ``TAG_CORNERS``.

    Returns:
        the images with their truth, a ``Sample``.

    Raises:
        ValueError: a name that does not exist (with those that do), or a negative ``n`` or ``seed``.
    """
    _check_counts(n, seed)
    names = CLASSES if classes is None else tuple(classes)
    if not names:
        raise ValueError("classes is empty; expected names of " + ", ".join(CLASSES))
    choices = np.array([_index("classes", name, CLASSES) for name in names])
    if texture is not None:
        _index("texture", texture, TEXTURES)
    if without not in (None, "key part", "object", "distractor"):
        raise ValueError(f"without is {without!r}; expected 'key part', 'object', 'distractor' or None")
    if tag_corner not in TAG_CORNERS:
        raise ValueError(f"tag_corner is {tag_corner!r}; expected one of {', '.join(TAG_CORNERS)}")

    uniforms = _Uniforms(n, seed, stream=0)
    labels = choices[(uniforms.take(1)[:, 0] * len(choices)).astype(int)]
    own_texture = (uniforms.take(1)[:, 0] * len(TEXTURES)).astype(int)
    for animal, coat in COATS.items():
        own_texture[labels == CLASSES.index(animal)] = TEXTURES.index(coat)
    textures = own_texture if texture is None else np.full(n, TEXTURES.index(texture))
    textured_animal = np.isin(labels, [CLASSES.index(animal) for animal in COATS]) & (textures != 0)
    shown = _shown(labels, textures, without)
    if without == "key part":
        textures = np.where(textured_animal, 0, textures)
    tag_draw = uniforms.take(1)[:, 0]
    if isinstance(tag, str):
        target = _index("tag", tag, CLASSES)
        tagged = tag_draw < np.where(labels == target, *tag_rates)
    else:
        tagged = np.full(n, bool(tag))

    images = np.empty((n, 3, SIZE, SIZE), np.float32)
    segmentation = np.empty((n, SIZE, SIZE), np.int64)
    scene = _scene(uniforms, labels)
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        images[part], segmentation[part] = _paint(
            {name: values[part] for name, values in scene.items()},
            labels[part], textures[part], textured_animal[part], tagged[part], without, TAG_CORNERS[tag_corner],
        )  # fmt: skip
    return Sample(
        torch.from_numpy(images),
        torch.from_numpy(labels.astype(np.int64)),
        torch.from_numpy(shown.astype(np.int64)),
        torch.from_numpy(segmentation),
        torch.from_numpy(textures.astype(np.int64)),
        torch.from_numpy(tagged),
    )


def concept(name: str, n: int, seed: int) -> Tensor:
    """Pictures of a concept and of nothing else: a texture of ``TEXTURES`` all over the image, or ``"clouds"``.

    Args:
        name: a texture, or ``"clouds"`` for the backgrounds of the zoo without an object.
        n: how many images.
        seed: of colours, turn and width of the texture; the same seed gives every texture the same ones.

    Returns:
        (n, 3, 64, 64), float32 in [0, 1].

    Raises:
        ValueError: a name that does not exist, or a negative ``n`` or ``seed``.
    """
    _check_counts(n, seed)
    index = _index("name", name, (*TEXTURES, "clouds"))
    scene = _scene(_Uniforms(n, seed, stream=1), np.zeros(n, int))
    images = np.empty((n, 3, SIZE, SIZE), np.float32)
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        values = {key: value[part] for key, value in scene.items()}
        if name == "clouds":
            images[part] = _background(values)
        else:
            pattern = _pattern(np.full(len(values["centre"]), index), values)
            images[part] = _mix(values["main"], values["second"], pattern)
    return torch.from_numpy(_round_to_8_bits(images))


# -- what is random ----------------------------------------------------------------------------------------------------


class _Uniforms:
    """One row of uniform numbers an image, handed out column by column.

    They are made from the bit generator's raw integers, whose stream NumPy guarantees for all versions (the methods of
    ``numpy.random.Generator`` carry no such promise).
    """

    width = 160

    def __init__(self, n: int, seed: int, stream: int) -> None:
        raw = np.random.PCG64(np.random.SeedSequence([seed, stream])).random_raw(n * self.width)
        self.rows = (raw.reshape(n, self.width) >> np.uint64(11)) * 2.0**-53
        self.used = 0

    def take(self, count: int) -> _Array:
        """The next ``count`` numbers of each image: (N, count), float64 in [0, 1)."""
        self.used += count
        if self.used > self.width:
            raise RuntimeError(f"a scene takes more than {self.width} random numbers: raise the width")
        return self.rows[:, self.used - count : self.used]

    def between(self, low: float, high: float, count: int = 1) -> _Array:
        return low + (high - low) * self.take(count)


def _scene(uniforms: _Uniforms, labels: _Array) -> dict[str, _Array]:
    """All that is random in a scene beside its class, texture and tag; lengths in pixels, colours in [0, 1]."""
    scene: dict[str, _Array] = {}
    # The radius of each class's drawing, chosen so that objects cover 15 % of the picture on average.
    radius = np.array([19.0, 19.0, 24.0, 21.5, 17.2, 17.2, 22.5, 22.5, 22.5, 22.5])[labels]
    scene["radius"] = radius * uniforms.between(0.82, 1.15)[:, 0]
    scene["centre"] = SIZE / 2 + (SIZE / 2 - 0.9 * scene["radius"][:, None]) * uniforms.between(-1, 1, 2)
    # What has an upright pose keeps it, give or take 25 degrees; the rest turns freely.
    upright = np.isin(labels, [CLASSES.index(name) for name in ("cup", "glass", *COATS)])
    turn = uniforms.take(1)[:, 0]
    angle = np.where(upright, np.deg2rad(50) * (turn - 0.5), 2 * np.pi * turn)
    scene["cosine"], scene["sine"] = np.cos(angle), np.sin(angle)
    scene["mirror"] = np.where(uniforms.take(1)[:, 0] < 0.5, -1.0, 1.0)
    angle = np.pi * uniforms.take(1)[:, 0]
    scene["texture_cosine"], scene["texture_sine"] = np.cos(angle), np.sin(angle)
    scene["period"] = uniforms.between(5.0, 7.0)[:, 0]
    scene["phase"] = uniforms.take(2)

    # Background: two colours of similar lightness, mixed by clouds.
    lightness = uniforms.between(0.2, 0.8)
    scene["sky"] = np.clip(lightness + uniforms.between(-0.2, 0.2, 3), 0, 1)
    scene["cloud"] = np.clip(scene["sky"] + uniforms.between(-0.25, 0.25, 3), 0, 1)
    for octave, cells in enumerate(_CLOUD_CELLS):
        scene[f"clouds_{octave}"] = uniforms.take((cells + 1) ** 2).reshape(-1, cells + 1, cells + 1)

    # Object: the main colour lies away from the background's mean; the second one away from the main colour, and of
    # three such the one farthest from the background, so that no stripe is lost in it.
    background = (scene["sky"] + scene["cloud"]) / 2
    scene["main"] = _away_from(background, uniforms.take(3), 0.3, toward=uniforms.take(1))
    seconds = [_away_from(scene["main"], uniforms.take(3), 0.35, toward=uniforms.take(1)) for _ in range(3)]
    distance = np.stack([np.abs(_luminance(second - background))[:, 0] for second in seconds])
    scene["second"] = np.stack(seconds)[distance.argmax(0), np.arange(len(labels))]

    # Distractors: none, one or two; each takes the candidate place that is farthest from the object.
    scene["distractors"] = np.floor(3 * uniforms.take(1)[:, 0])
    for k in range(2):
        scene[f"kind_{k}"] = np.floor(3 * uniforms.take(1)[:, 0])
        scene[f"radius_{k}"] = uniforms.between(4.5, 7.0)[:, 0]
        places = uniforms.between(5, SIZE - 5, 6).reshape(-1, 3, 2)
        distance = ((places - scene["centre"][:, None]) ** 2).sum(-1)
        scene[f"centre_{k}"] = places[np.arange(len(places)), distance.argmax(1)]
        angle = 2 * np.pi * uniforms.take(1)[:, 0]
        scene[f"cosine_{k}"], scene[f"sine_{k}"] = np.cos(angle), np.sin(angle)
        scene[f"colour_{k}"] = _away_from(background, uniforms.take(3), 0.25, toward=uniforms.take(1))
    return {name: np.asarray(values, np.float32) for name, values in scene.items()}


def _away_from(colour: _Array, draw: _Array, distance: float, toward: _Array) -> _Array:
    """A random colour whose luminance differs from that of ``colour`` by at least ``distance``; (N, 3)."""
    here = _luminance(colour)
    darker, lighter = np.maximum(here - distance, 0.0), np.maximum(1.0 - here - distance, 0.0)  # the room on each side
    wanted = toward * (darker + lighter)
    wanted = np.where(wanted < darker, wanted, here + distance + wanted - darker)
    # Blend the drawn colour with white or black until its luminance is the wanted one: the hue stays.
    drawn = np.maximum(_luminance(draw), 1e-6)
    dark = draw * wanted / drawn
    light = 1 - (1 - draw) * (1 - wanted) / np.maximum(1 - drawn, 1e-6)
    return np.clip(np.where(wanted < drawn, dark, light), 0, 1)


def _luminance(rgb: _Array) -> _Array:
    return 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]


def _shown(labels: _Array, textures: _Array, without: str | None) -> _Array:
    """The class that a scene shows after the change that was asked for; -1 for none."""
    if without == "object":
        return np.full(len(labels), -1)
    shown = labels.copy()
    for animal in COATS:
        is_animal = labels == CLASSES.index(animal)
        for other, coat in COATS.items():
            shown[is_animal & (textures == TEXTURES.index(coat))] = CLASSES.index(other)
    if without == "key part":
        for index, name in enumerate(CLASSES):
            if name in COATS:
                shown[labels == index] = CLASSES.index("horse")
            elif name in KEY_PARTS:
                other = _WITHOUT_KEY_PART.get(name)
                shown[labels == index] = CLASSES.index(other) if other else -1
    return shown


# -- painting ----------------------------------------------------------------------------------------------------------

_ROWS, _COLUMNS = np.meshgrid(
    np.arange(SIZE, dtype=np.float32) + np.float32(0.5),
    np.arange(SIZE, dtype=np.float32) + np.float32(0.5),
    indexing="ij",
)


def _paint(
    scene: dict[str, _Array],
    labels: _Array,
    textures: _Array,
    textured_animal: _Array,
    tagged: _Array,
    without: str | None,
    tag_place: tuple[slice, slice],
) -> tuple[_Array, _Array]:
    """Images (N, 3, 64, 64) and segmentation (N, 64, 64) of a chunk of scenes, from back to front."""
    images = _background(scene)
    segmentation = np.zeros((len(labels), SIZE, SIZE), np.int64)
    for k in range(2):
        if without != "distractor":
            cover = _coverage(_distractor(scene, k)) * (scene["distractors"] > k).astype(np.float32)[:, None, None]
            images = _over(images, scene[f"colour_{k}"][:, :, None, None], cover)
            segmentation[cover > 0] = REGIONS.index("distractor")

    if without != "object":
        whole, bare = _object(scene, labels)
        whole, bare = _coverage(whole), _coverage(bare)
        cover = bare if without == "key part" else whole
        texture = _mix(scene["main"], scene["second"], _pattern(textures, scene))
        images = _over(images, texture, cover)
        segmentation[cover > 0] = REGIONS.index("object")
        if without is None or without == "distractor":
            # The key part is where the drawing with it differs from the one without; for an animal, its whole coat.
            key = np.where(textured_animal[:, None, None], whole > 0, whole != bare)
            segmentation[key] = REGIONS.index("key part")

    rows, columns = tag_place
    images[tagged, :, rows, columns] = _TAG
    segmentation[tagged, rows, columns] = REGIONS.index("tag")
    return _round_to_8_bits(images), segmentation


def _draw_tag() -> _Array:
    """A white slip with two lines of illegible writing: (10, 12)."""
    tag = np.ones((10, 12), np.float32)
    tag[3, 2:10] = tag[6, 2:8] = 0.35
    return tag


_TAG = _draw_tag()


def _background(scene: dict[str, _Array]) -> _Array:
    """Two colours mixed by two octaves of value noise: (N, 3, 64, 64)."""
    clouds = sum(
        weight * _interpolate(scene[f"clouds_{octave}"])
        for octave, weight in enumerate((np.float32(0.7), np.float32(0.3)))
    )
    return _mix(scene["sky"], scene["cloud"], clouds)


def _interpolate(values: _Array) -> _Array:
    """Smooth interpolation of (N, g, g) grid values to (N, 64, 64)."""
    cells = values.shape[-1] - 1
    position = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / SIZE)
    low = position.astype(int)
    fraction = position - low
    fraction = fraction * fraction * (3 - 2 * fraction)
    rows = values[:, low] * (1 - fraction)[:, None] + values[:, low + 1] * fraction[:, None]
    return rows[:, :, low] * (1 - fraction) + rows[:, :, low + 1] * fraction


def _pattern(textures: _Array, scene: dict[str, _Array]) -> _Array:
    """How much of the second colour each pixel of a texture takes: (N, 64, 64) in [0, 1]."""
    period = _grid(scene["period"])
    cosine, sine = _grid(scene["texture_cosine"]), _grid(scene["texture_sine"])
    column = (cosine * _COLUMNS + sine * _ROWS) / period + _grid(scene["phase"][:, 0])
    row = (cosine * _ROWS - sine * _COLUMNS) / period + _grid(scene["phase"][:, 1])
    pattern = np.zeros((len(textures), SIZE, SIZE), np.float32)

    def centred(coordinate: _Array) -> _Array:
        """Distance to the middle of the cell, in periods: [-0.5, 0.5)."""
        return coordinate - np.floor(coordinate) - np.float32(0.5)

    of = {name: textures == index for index, name in enumerate(TEXTURES)}
    stripes, dots, checks = of["stripes"], of["dots"], of["checks"]
    pattern[stripes] = _coverage((np.abs(centred(column[stripes])) - np.float32(0.25)) * period[stripes])
    distance = np.sqrt(centred(column[dots]) ** 2 + centred(row[dots]) ** 2)
    pattern[dots] = _coverage((distance - np.float32(0.33)) * period[dots])

    def wave(coordinate: _Array) -> _Array:
        """A triangle wave of two periods, in pixels from its zero crossing."""
        return np.abs(centred(coordinate / 2)) - np.float32(0.25)

    check = np.float32(8) * wave(column[checks]) * wave(row[checks]) * period[checks]
    pattern[checks] = np.clip(np.float32(0.5) + 2 * check, 0, 1)
    return pattern


def _object(scene: dict[str, _Array], labels: _Array) -> tuple[_Array, _Array]:
    """Signed distances in pixels, (N, 64, 64) each: the object, and the object without its key part."""
    radius = _grid(scene["radius"])
    x, y = _local(scene["centre"], scene["cosine"], scene["sine"], radius)
    x = x * _grid(scene["mirror"])
    whole = np.empty_like(x)
    bare = np.empty_like(x)
    for index, name in enumerate(CLASSES):
        chosen = labels == index
        if chosen.any():
            whole[chosen], bare[chosen] = _SHAPES[name](x[chosen], y[chosen])
    return whole * radius, bare * radius


def _distractor(scene: dict[str, _Array], k: int) -> _Array:
    """Signed distance in pixels of distractor ``k``: a triangle, a square or a cross; (N, 64, 64)."""
    radius = _grid(scene[f"radius_{k}"])
    x, y = _local(scene[f"centre_{k}"], scene[f"cosine_{k}"], scene[f"sine_{k}"], radius)
    triangle = np.maximum(np.maximum(_F(0.866) * x + _F(0.5) * y, _F(0.5) * y - _F(0.866) * x), -y) - _F(0.5)
    square = _box(x, y, 0.7, 0.7)
    cross = np.minimum(_box(x, y, 1.0, 0.3), _box(x, y, 0.3, 1.0))
    kind = _grid(scene[f"kind_{k}"])
    return np.where(kind == 0, triangle, np.where(kind == 1, square, cross)) * radius


def _local(centre: _Array, cosine: _Array, sine: _Array, radius: _Array) -> tuple[_Array, _Array]:
    """The pixel grid in an object's own coordinates: moved, turned, and in units of its radius."""
    column, row = _COLUMNS - _grid(centre[:, 0]), _ROWS - _grid(centre[:, 1])
    cosine, sine = _grid(cosine), _grid(sine)
    return (cosine * column + sine * row) / radius, (cosine * row - sine * column) / radius


def _grid(values: _Array) -> _Array:
    return values[:, None, None]


def _coverage(distance: _Array) -> _Array:
    """How much of each pixel lies inside a shape, from its signed distance in pixels."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _mix(first: _Array, second: _Array, share: _Array) -> _Array:
    """Two colours (N, 3), mixed by the share (N, 64, 64) of the second: (N, 3, 64, 64)."""
    first, second = first[:, :, None, None], second[:, :, None, None]
    return first + (second - first) * share[:, None]


def _over(images: _Array, colour: _Array, cover: _Array) -> _Array:
    """Paint a colour, (N, 3, 64, 64) or (N, 3, 1, 1), over images where a shape covers them."""
    cover = cover[:, None]
    return images * (1 - cover) + colour * cover


def _round_to_8_bits(images: _Array) -> _Array:
    return np.floor(np.clip(images, 0, 1) * np.float32(255) + np.float32(0.5)) / np.float32(255)


# -- the shapes, in units of their radius; y points down -------------------------------------------------------------

_F = np.float32


def _disc(x: _Array, y: _Array, radius: float) -> _Array:
    return np.sqrt(x * x + y * y) - _F(radius)


def _box(x: _Array, y: _Array, half_width: float, half_height: float) -> _Array:
    return np.maximum(np.abs(x) - _F(half_width), np.abs(y) - _F(half_height))


def _capsule(x: _Array, y: _Array, start: tuple[float, float], end: tuple[float, float], radius: float) -> _Array:
    """A thick line with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - _F(start[0]), y - _F(start[1])
    along = np.clip((px * _F(dx) + py * _F(dy)) / _F(dx * dx + dy * dy), 0, 1)
    px, py = px - along * _F(dx), py - along * _F(dy)
    return np.sqrt(px * px + py * py) - _F(radius)


def _glass(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    body = np.maximum(np.abs(x) + _F(0.16) * y - _F(0.5), np.abs(y) - _F(0.72))  # narrower at the foot
    return body, body


def _cup(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    body, _ = _glass(x, y)
    handle = np.abs(_disc(x - _F(0.52), y, 0.34)) - _F(0.115)
    return np.minimum(body, handle), body


def _dumbbell(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    weights = _disc(np.abs(x) - _F(0.62), y, 0.36)
    return np.minimum(weights, _box(x, y, 0.62, 0.12)), weights


def _star(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    # A five-pointed star is what lies on the inner side of at least four of the five lines of a pentagram.
    sides = [_F(np.sin(angle)) * x - _F(np.cos(angle)) * y for angle in np.arange(5) * (2 * np.pi / 5)]
    star = np.sort(np.stack(sides), axis=0)[-2] - _F(0.32)
    core = _disc(x, y, 0.46)
    return np.minimum(star, core), core


def _ring(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    ball = _disc(x, y, 0.85)
    return np.maximum(ball, -_disc(x, y, 0.45)), ball


def _ball(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    ball = _disc(x, y, 0.85)
    return ball, ball


_ANIMAL_PARTS = (
    ((-0.42, -0.02), (0.30, -0.02), 0.27),  # trunk
    ((0.34, -0.10), (0.60, -0.56), 0.13),  # neck
    ((0.62, -0.58), (0.90, -0.44), 0.105),  # head
    ((0.56, -0.66), (0.54, -0.78), 0.045),  # ear
    ((-0.56, 0.10), (-0.60, 0.74), 0.075),  # legs
    ((-0.36, 0.15), (-0.32, 0.76), 0.075),
    ((0.22, 0.15), (0.20, 0.76), 0.075),
    ((0.42, 0.10), (0.48, 0.74), 0.075),
    ((-0.64, -0.14), (-0.86, 0.28), 0.06),  # tail
)


def _animal(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    silhouette = _capsule(x, y, *_ANIMAL_PARTS[0])
    for part in _ANIMAL_PARTS[1:]:
        silhouette = np.minimum(silhouette, _capsule(x, y, *part))
    return silhouette, silhouette


_SHAPES = {
    "cup": _cup,
    "glass": _glass,
    "dumbbell": _dumbbell,
    "star": _star,
    "ring": _ring,
    "ball": _ball,
    **dict.fromkeys(COATS, _animal),
}


# -- bad arguments -----------------------------------------------------------------------------------------------------


def _index(argument: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ValueError(f"{argument} has {name!r}; expected one of {', '.join(names)}")
    return names.index(name)


def _check_counts(n: int, seed: int) -> None:
    for argument, value in (("n", n), ("seed", seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{argument} is {value!r}; expected an int of at least 0")
