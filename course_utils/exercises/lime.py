"""The exercises of unit 08: LIME piece by piece, their cases, and the mistakes that people make.

The wrong answers are built from a few naive pieces (`_perturbed`, `_fitted`, `_descent`, `_coordinates`, `_explained`),
which are independent of the references in ``course_utils.lime``. In the hints, as in the lab: P_k is a superpixel, x a
coalition (x_k = 1: P_k stays), I[x] the image that is left, y its score, pi its weight, w and b the linear model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import lime
from course_utils.exercises.core import (
    Case,
    Exercise,
    Mistake,
    Network,
    Property,
    Seed,
    ValueExercise,
    draw_integer,
)

# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


def _superpixels(generator: torch.Generator, size: tuple[int, int], n: int) -> Tensor:
    """Return n superpixels (H, W) of uneven sizes: stripes of random widths along the flattened image."""
    pixels = size[0] * size[1]
    cuts = torch.randperm(pixels - 1, generator=generator)[: n - 1].add(1).sort().values
    return torch.bucketize(torch.arange(pixels), cuts, right=True).view(size)


def _coalitions(generator: torch.Generator, n_samples: int, n: int) -> Tensor:
    """Return coalitions (S, n): all, none, and drawn ones of several sizes, none of them by columns alike."""
    share = torch.rand(n_samples, 1, generator=generator) * 0.6 + 0.2
    rows = torch.rand(n_samples, n, generator=generator) < share
    rows[0], rows[1] = True, False
    return rows


def _training_set(generator: torch.Generator, n_samples: int, n: int) -> dict[str, Any]:
    """Return coalitions, scores (a linear model, and noise), and their weights."""
    rows = _coalitions(generator, n_samples, n)
    w = 2 * torch.randn(n, generator=generator)
    scores = 1.5 + rows.float() @ w + 0.5 * torch.randn(n_samples, generator=generator)
    return {"coalitions": rows, "scores": scores, "weights": 0.05 + torch.rand(n_samples, generator=generator)}


# ---------------------------------------------------------------------------------------------------------------------
# By hand: an image without a superpixel
# ---------------------------------------------------------------------------------------------------------------------

# Pixels 0.1 0.5 0.9 | 0.3 0.2 | 0.6 in three superpixels, x = (0, 1, 0).
REMOVED_BY_HAND = ValueExercise(
    name="removed_by_hand",
    expected=(0.5, 0.5, 0.5, 0.3, 0.2, 0.6),
    mistakes={
        "swapped": Mistake(
            (0.1, 0.5, 0.9, 0.25, 0.25, 0.6),
            "you removed the superpixel with x_k = 1 and kept the others. 1 means: it stays.",
        ),
        "black": Mistake(
            (0.0, 0.0, 0.0, 0.3, 0.2, 0.0),
            "you painted what is removed black. It gets the mean of its own pixels here.",
        ),
        "mean_of_the_image": Mistake(
            (0.433, 0.433, 0.433, 0.3, 0.2, 0.433),
            "you used the mean of the whole image. Each superpixel gets the mean of its own pixels.",
        ),
        "one_mean_for_both": Mistake(
            (0.525, 0.525, 0.525, 0.3, 0.2, 0.525),
            "you took one mean over both removed superpixels. Each one gets its own.",
        ),
        "all_removed": Mistake(
            (0.5, 0.5, 0.5, 0.25, 0.25, 0.6), "you removed the second superpixel, too. x_2 = 1: it stays as it is."
        ),
        "nothing_removed": Mistake((0.1, 0.5, 0.9, 0.3, 0.2, 0.6), "this is the image itself. x_1 = 0 and x_3 = 0."),
        "first_alone": Mistake(
            (0.5, 0.5, 0.5, 0.3, 0.2, 0.0),
            "the third superpixel is removed as well, and gets the mean of its own pixels: it has only one.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# perturb
# ---------------------------------------------------------------------------------------------------------------------


def _perturb_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(8)
    image, segments = torch.rand(3, 6, 8, generator=fixed), _superpixels(fixed, (6, 8), 4)
    rows = _coalitions(fixed, 6, 4)
    rows[1:3] = torch.tensor([[True, False, False, True], [False, True, True, True]])
    arguments = {"image": image, "segments": segments, "coalitions": rows}
    yield Case({**arguments, "baseline": None}, "four superpixels and their mean colours")
    yield Case({**arguments, "baseline": 0.5}, "four superpixels and a grey baseline")
    yield Case({**arguments, "baseline": torch.rand(3, 6, 8, generator=fixed)}, "another image as the baseline")
    for channels, size, n, baseline, note in (
        (1, (5, 7), 6, None, "one channel and six superpixels"),
        (3, (8, 8), 3, 0.0, "three superpixels and a black baseline"),
        (3, (7, 4), 2, None, "two superpixels"),
    ):
        image = torch.rand(channels, *size, generator=generator)
        segments, rows = _superpixels(generator, size, n), _coalitions(generator, 5, n)
        rows[2:4] = torch.arange(n) % 2 == torch.tensor([[0], [1]])
        yield Case({"image": image, "segments": segments, "coalitions": rows, "baseline": baseline}, note)
    image = torch.rand(3, 4, 4, generator=generator)
    yield Case(
        {
            "image": image,
            "segments": torch.zeros(4, 4, dtype=torch.long),
            "coalitions": torch.tensor([[True], [False]]),
            "baseline": None,
        },
        "the whole image as one superpixel",
    )
    segments = _superpixels(generator, (4, 4), 5)
    one = torch.tensor([[True, False, True, True, False]])
    yield Case({"image": image, "segments": segments, "coalitions": one, "baseline": 1.0}, "a single coalition")


def _mean_colour(image: Tensor, where: Tensor, baseline: Any) -> Tensor:
    return image[:, where].double().mean(1, keepdim=True).to(image)


def _given(image: Tensor, where: Tensor, baseline: Any) -> Tensor:
    """Return the baseline of a superpixel, (C, pixels) or (C, 1)."""
    if baseline is None:
        return _mean_colour(image, where, baseline)
    if isinstance(baseline, Tensor):
        return baseline[:, where]
    return torch.full((len(image), 1), float(baseline))


def _none_as(colour: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Replace what None means, and leave the other baselines."""
    return lambda image, where, baseline: colour(image, where) if baseline is None else _given(image, where, baseline)


def _perturbed(
    image: Tensor,
    segments: Tensor,
    coalitions: Tensor,
    baseline: Any = None,
    colour: Callable[[Tensor, Tensor, Any], Tensor] = _given,
    rows: Callable[[Tensor], Tensor] = lambda coalitions: coalitions,
    channels: slice = slice(None),
    again: bool = True,
) -> Tensor:
    """Remove superpixels one by one: with which colour, by which rows, in which channels, each time from the image."""
    images, current = [], image.clone()
    for row in rows(coalitions):
        if again:
            current = image.clone()
        for k in range(coalitions.shape[1]):
            where = segments == k
            if not row[k]:
                current[channels, where] = colour(image, where, baseline).expand(-1, int(where.sum()))[channels]
        images.append(current.clone())
    return torch.stack(images)


def _multiplied(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    return image * coalitions[:, segments].unsqueeze(1)


def _added(image: Tensor, segments: Tensor, coalitions: Tensor, baseline: Any = None) -> Tensor:
    """Mask out, and add the baseline everywhere."""
    everything = torch.zeros(1, coalitions.shape[1], dtype=torch.bool)
    return _multiplied(image, segments, coalitions) + _perturbed(image, segments, everything, baseline)


PERTURB = Exercise(
    name="perturb",
    reference=lime.perturb,
    cases=_perturb_cases,
    mistakes={
        "swapped": Mistake(
            partial(_perturbed, rows=torch.logical_not),
            "you removed what stays and kept what is removed. True means that the superpixel stays.",
        ),
        "multiplied": Mistake(
            _multiplied,
            "whatever the baseline, you painted what is removed black (a product with 0 does that). What is removed "
            "gets the baseline; without one, the superpixel's own mean colour.",
        ),
        "none_is_black": Mistake(
            partial(_perturbed, colour=_none_as(lambda image, where: torch.zeros(len(image), 1))),
            "without a baseline you painted what is removed black. None means the superpixel's own mean colour.",
        ),
        "none_is_grey": Mistake(
            partial(_perturbed, colour=_none_as(lambda image, where: torch.full((len(image), 1), 0.5))),
            "without a baseline you painted what is removed grey. None means the superpixel's own mean colour.",
        ),
        "mean_of_the_image": Mistake(
            partial(_perturbed, colour=_none_as(lambda image, where: image.flatten(1).mean(1, keepdim=True))),
            "you used the mean colour of the whole image. Each superpixel gets the mean of its own pixels.",
        ),
        "mean_over_channels": Mistake(
            partial(_perturbed, colour=_none_as(lambda image, where: image[:, where].mean().expand(len(image), 1))),
            "your mean of a superpixel runs over the colour channels as well, so that it turns grey. A mean colour has "
            "one number a channel.",
        ),
        "median": Mistake(
            partial(
                _perturbed,
                colour=_none_as(lambda image, where: image[:, where].median(1, keepdim=True).values),
            ),
            "you took the median colour of a superpixel. The mean is asked for.",
        ),
        "one_mean_for_all_removed": Mistake(
            lambda image, segments, coalitions, baseline=None: torch.stack(
                [
                    torch.where(
                        row[segments],
                        image,
                        image[:, ~row[segments]].mean(1).view(-1, 1, 1) if not row.all() else image,
                    )
                    if baseline is None
                    else _perturbed(image, segments, row[None], baseline)[0]
                    for row in coalitions
                ]
            ),
            "you took one mean over everything that is removed. Each superpixel gets the mean of its own pixels.",
        ),
        "baseline_ignored": Mistake(
            partial(_perturbed, colour=_mean_colour),
            "what is removed gets its mean colour, whatever the baseline. Use the baseline if there is one.",
        ),
        "zero_is_none": Mistake(
            lambda image, segments, coalitions, baseline=None: _perturbed(
                image, segments, coalitions, baseline if isinstance(baseline, Tensor) or baseline else None
            ),
            "a baseline of 0 is black, and you took it for no baseline: in Python, 0 is false as None is. Ask whether "
            "it `is None`.",
        ),
        "numbered_from_1": Mistake(
            partial(_perturbed, rows=lambda coalitions: coalitions.roll(1, 1)),
            "your superpixels and the columns of the coalitions are shifted against each other. Superpixel k belongs "
            "to column k, and both begin with 0.",
        ),
        "accumulated": Mistake(
            partial(_perturbed, again=False),
            "what one coalition has removed is still missing in the next image. Begin with the whole image each time.",
        ),
        "first_channel_alone": Mistake(
            partial(_perturbed, channels=slice(1)),
            "you removed the superpixels in the first channel alone. A pixel is removed in all its channels.",
        ),
        "added": Mistake(
            _added, "you added the baseline to the pixels that stay as well. They keep their colour, as it is."
        ),
    },
    properties=[
        Property(
            "superpixels that stay are as in the image.",
            lambda arguments, value: bool(
                ((value == arguments["image"]) | ~arguments["coalitions"][:, arguments["segments"]].unsqueeze(1)).all()
            ),
        )
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# The choice of a baseline
# ---------------------------------------------------------------------------------------------------------------------

BASELINES = ("its own mean colour", "black", "grey", "white", "a strongly blurred copy")

BLIND_SPOT = ValueExercise(
    name="blind_spot",
    expected=frozenset(["its own mean colour", "white"]),
    choices=BASELINES,
    mistakes={
        "white_alone": Mistake(
            frozenset(["white"]),
            "right, white changes nothing. But there is one more: which colour does the white tag have on average?",
        ),
        "mean_alone": Mistake(
            frozenset(["its own mean colour"]),
            "right, its mean colour is its colour. But one of the others gives it the same pixels as well.",
        ),
        "blurred_too": Mistake(
            frozenset(["its own mean colour", "white", "a strongly blurred copy"]),
            "blurring mixes the tag with its surroundings: the pixels do change.",
        ),
        "all": Mistake(
            frozenset(BASELINES),
            "if the pixels change, the score may change. For which baselines do they stay the same?",
        ),
        "the_others": Mistake(
            frozenset(["black", "grey", "a strongly blurred copy"]),
            "these are the baselines that change the pixels of the tag, so that it can get a weight. Those that do "
            "not are asked for.",
        ),
        "black_and_grey": Mistake(
            frozenset(["black", "grey"]),
            "a white tag that turns black or grey is another image. Which baselines leave a white tag white?",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# sample_coalitions
# ---------------------------------------------------------------------------------------------------------------------


def _sample_cases(generator: torch.Generator) -> Iterator[Case]:
    for n_samples, n, seed, note in ((6, 5, 1, "six coalitions of five"), (40, 12, 2, "forty coalitions of twelve")):
        yield Case({"n_samples": n_samples, "n_segments": n, "generator": Seed(seed)}, note)
    n_samples, n = draw_integer(generator, 10, 40), draw_integer(generator, 6, 30)
    seed = Seed(draw_integer(generator, 3, 2**31))
    yield Case({"n_samples": n_samples, "n_segments": n, "generator": seed}, "a number of coalitions that was drawn")
    yield Case({"n_samples": 9, "n_segments": 8, "generator": seed}, "the same seed, and fewer")
    yield Case({"n_samples": 7, "n_segments": 1, "generator": seed}, "a single superpixel")


def _sampled(
    n_samples: int,
    n_segments: int,
    generator: torch.Generator | None = None,
    draw: Callable[..., Tensor] = torch.rand,
    stays: Callable[[Tensor], Tensor] = lambda numbers: numbers < 0.5,
    finish: Callable[[Tensor], None] = lambda rows: rows[0].fill_(True),
    shape: Callable[[int, int], tuple[int, int]] = lambda n_samples, n_segments: (n_samples, n_segments),
) -> Tensor:
    rows = stays(draw(shape(n_samples, n_segments), generator=generator)).expand(n_samples, n_segments).clone()
    finish(rows)
    return rows


SAMPLE_COALITIONS = Exercise(
    name="sample_coalitions",
    reference=lime.sample_coalitions,
    cases=_sample_cases,
    mistakes={
        "first_row_drawn": Mistake(
            partial(_sampled, finish=lambda rows: None),
            "your first row is drawn like the others. It is the whole image: all superpixels stay.",
        ),
        "first_row_empty": Mistake(
            partial(_sampled, finish=lambda rows: rows[0].fill_(False)),
            "in your first row all superpixels are removed. It is the whole image: all of them stay.",
        ),
        "last_row": Mistake(
            partial(_sampled, finish=lambda rows: rows[-1].fill_(True)),
            "you have set the last row to True. The first row is the whole image.",
        ),
        "first_column": Mistake(
            partial(_sampled, finish=lambda rows: rows[:, 0].fill_(True)),
            "you have set the first column to True, so that the first superpixel never leaves. It is the first row "
            "that is the whole image.",
        ),
        "above": Mistake(
            partial(_sampled, stays=lambda numbers: numbers >= 0.5),
            "your coins fall the other way round: a superpixel stays where the number is below 0.5. (It would be as "
            "fair; but the same seed should give everyone the same coalitions.)",
        ),
        "normal_numbers": Mistake(
            partial(_sampled, draw=torch.randn),
            "you compare normal random numbers (randn) with 0.5, and most are below. Numbers that are uniform in "
            "[0, 1) are below 0.5 half of the time.",
        ),
        "one_coin_a_row": Mistake(
            partial(_sampled, shape=lambda n_samples, n_segments: (n_samples, 1)),
            "you throw one coin for a whole row, so that all superpixels stay or none. Each one has its own coin.",
        ),
        "one_row": Mistake(
            partial(_sampled, shape=lambda n_samples, n_segments: (1, n_segments)),
            "all your rows are the same. Each coalition throws its own coins.",
        ),
        "generator_ignored": Mistake(
            lambda n_samples, n_segments, generator=None: _sampled(
                n_samples, n_segments, torch.Generator().manual_seed(0)
            ),
            "your coalitions do not depend on the generator. Hand it to torch.rand.",
        ),
        "a_row_less": Mistake(
            lambda n_samples, n_segments, generator=None: torch.cat(
                [
                    torch.ones(1, n_segments, dtype=torch.bool),
                    torch.rand(n_samples - 1, n_segments, generator=generator) < 0.5,
                ]
            ),
            "you drew one row less and put the whole image on top. Draw all rows with one call, and set the first one "
            "afterwards: then the same seed gives everyone the same coalitions.",
        ),
        "transposed": Mistake(
            lambda n_samples, n_segments, generator=None: _sampled(n_segments, n_samples, generator).T,
            "you drew the table the other way round and turned it. One call of "
            "torch.rand(n_samples, n_segments, generator=generator) draws a row after the other.",
        ),
        "shares": Mistake(
            partial(_sampled, stays=lambda numbers: numbers < numbers.mean()),
            "you compare with the mean of what you drew. A fair coin compares with 0.5.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# proximity
# ---------------------------------------------------------------------------------------------------------------------


def _proximity_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(9)
    rows = _coalitions(fixed, 8, 6)
    yield Case({"coalitions": rows, "kernel_width": 0.25}, "eight coalitions of six")
    yield Case({"coalitions": rows}, "no kernel width given")
    yield Case({"coalitions": rows, "kernel_width": 0.6}, "a wide kernel")
    rows = torch.ones(4, 4).tril(-1).bool()
    yield Case({"coalitions": rows, "kernel_width": 0.5}, "coalitions of 0, 1, 2 and 3 of four")
    for n_samples, n in ((12, 20), (5, 3)):
        rows = _coalitions(generator, n_samples, n)
        width = 0.2 + torch.rand((), generator=generator).item()
        yield Case({"coalitions": rows, "kernel_width": width}, f"{n_samples} coalitions of {n}")


def _kernel(
    distance: Callable[[Tensor], Tensor] = lambda share: 1 - share.sqrt(),
    weight: Callable[[Tensor, float], Tensor] = lambda d, width: torch.exp(-(d**2) / (2 * width**2)),
    share: Callable[[Tensor], Tensor] = lambda rows: rows.mean(1),
    default: float = 0.25,
) -> Callable[..., Tensor]:
    def answer(coalitions: Tensor, kernel_width: float = default) -> Tensor:
        return weight(distance(share(coalitions.double())), kernel_width).float()

    return answer


def _nan_cosine(share: Tensor) -> Tensor:
    return torch.where(share > 0, 1 - share.sqrt(), torch.nan)


PROXIMITY = Exercise(
    name="proximity",
    reference=lime.proximity,
    cases=_proximity_cases,
    mistakes={
        "distance": Mistake(
            _kernel(weight=lambda d, width: d), "this is the distance d itself. The weight falls with it: pi is asked."
        ),
        "cosine": Mistake(
            _kernel(weight=lambda d, width: 1 - d), "this is the cosine. Make a distance of it, and a weight of that."
        ),
        "similarity_in_the_kernel": Mistake(
            _kernel(distance=lambda share: share.sqrt()),
            "you put the cosine into the kernel, so that the whole image weighs least. The distance is 1 less the "
            "cosine.",
        ),
        "share_of_ones": Mistake(
            _kernel(distance=lambda share: 1 - share),
            "your distance is the share of superpixels that are removed. The cosine of x and 1 is the root of the "
            "share that stays: x.1 = |x|^2, and you divide by |x| |1|.",
        ),
        "euclidean": Mistake(
            lambda coalitions, kernel_width=0.25: _kernel(
                distance=lambda share: ((1 - share) * coalitions.shape[1]).sqrt()
            )(coalitions, kernel_width),
            "you took the Euclidean distance of x and 1. Here it is 1 less their cosine.",
        ),
        "without_two": Mistake(
            _kernel(weight=lambda d, width: torch.exp(-(d**2) / width**2)),
            "your kernel falls too fast: the square of the distance is divided by 2 kernel_width^2.",
        ),
        "width_not_squared": Mistake(
            _kernel(weight=lambda d, width: torch.exp(-(d**2) / (2 * width))),
            "you divide by the width; its square is asked for, as of the distance.",
        ),
        "distance_not_squared": Mistake(
            _kernel(weight=lambda d, width: torch.exp(-d / (2 * width**2))),
            "the distance goes into the kernel squared.",
        ),
        "growing": Mistake(
            _kernel(weight=lambda d, width: torch.exp(d**2 / (2 * width**2))),
            "your weights grow with the distance. A minus is missing in the exponent.",
        ),
        "normalized": Mistake(
            lambda coalitions, kernel_width=0.25: (lambda weights: weights / weights.sum())(
                _kernel()(coalitions, kernel_width)
            ),
            "your weights sum to 1. They are not normalized: the whole image has the weight 1.",
        ),
        "squared": Mistake(
            _kernel(
                distance=lambda share: 1 - share.sqrt(), weight=lambda d, width: torch.exp(-((d / width) ** 2) * 2)
            ),
            "the 2 belongs into the denominator.",
        ),
        "other_default": Mistake(_kernel(default=0.5), "without a kernel width it is 0.25.", where=lambda case: True),
        "distance_to_the_first_row": Mistake(
            lambda coalitions, kernel_width=0.25: _kernel(
                share=lambda rows: (rows @ rows[0]) ** 2 / (rows.sum(1) * rows[0].sum()).clamp(min=1)
            )(coalitions, kernel_width),
            "you measure from the first row. The distance is that to the whole image, also where this is not among the "
            "coalitions.",
        ),
        "empty_is_nan": Mistake(
            _kernel(distance=_nan_cosine),
            "the empty coalition gives you 0 / 0. Its cosine counts as 0, so that its distance is 1.",
        ),
        "empty_is_near": Mistake(
            _kernel(distance=lambda share: torch.where(share > 0, 1 - share.sqrt(), 0.0)),
            "you give the empty coalition the distance 0. Its cosine counts as 0, so that its distance is 1.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# By hand: a linear model of two superpixels
# ---------------------------------------------------------------------------------------------------------------------

# y = 8, 6, 1, 1 for x = (1, 1), (1, 0), (0, 1), (0, 0): w = (6, 1), b = 0.5, R^2 = 1 - 1 / 38.
SURROGATE_BY_HAND = ValueExercise(
    name="surrogate_by_hand",
    expected=(6.0, 1.0, 0.5, 1 - 1 / 38),
    mistakes={
        "through_the_first": Mistake(
            (6.0, 1.0, 1.0, 0.894737),
            "your weights are right, and b is not: it is no score of the table. The line goes through the means: "
            "mean of y less w times the mean of x.",
        ),
        "differences_to_the_whole": Mistake(
            (7.0, 2.0, -1.0, 0.894737),
            "you took by how much the score falls when one superpixel leaves the whole image. The least squares look "
            "at all four images.",
        ),
        "from_nothing": Mistake(
            (5.0, 0.0, 1.0, 0.736842),
            "you took by how much the score rises when one superpixel comes to the empty image. The least squares look "
            "at all four images.",
        ),
        "r2_is_the_rest": Mistake(
            (6.0, 1.0, 0.5, 1 / 38), "the fit is 1 less this: R^2 says what the model explains, not what it leaves."
        ),
        "correlation": Mistake((6.0, 1.0, 0.5, (37 / 38) ** 0.5), "this is the correlation R. The fit is its square."),
        "spread_about_zero": Mistake(
            (6.0, 1.0, 0.5, 1 - 1 / 102),
            "you compare the errors with the sum of y^2. R^2 compares them with the spread of y about its mean.",
        ),
        "mean_of_y": Mistake(
            (6.0, 1.0, 4.0, 1 - 1 / 38),
            "your b is the mean of y. It is the model's score for x = (0, 0): less what the weights give on average.",
        ),
        "exchanged": Mistake((1.0, 6.0, 0.5, 1 - 1 / 38), "you exchanged the weights: w_1 is that of P_1."),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# fit_surrogate
# ---------------------------------------------------------------------------------------------------------------------

Fit = tuple[Tensor, Tensor, Tensor]


def fit_surrogate(coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0) -> Fit:
    """Return (w, b, R^2) of the ridge regression, as the lab asks for them."""
    fit = lime.fit_surrogate(coalitions, scores, weights, l2)
    return fit.coefficients, fit.intercept, fit.r2


def _fit_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(10)
    training_set = _training_set(fixed, 30, 5)
    yield Case({**training_set, "l2": 1.0}, "thirty coalitions of five")
    yield Case(training_set, "no l2 given")
    yield Case({**training_set, "l2": 0.0}, "no penalty")
    yield Case({**training_set, "l2": 20.0}, "a strong penalty")
    yield Case({**_training_set(generator, 60, 9), "l2": 2.5}, "sixty coalitions of nine")
    few = _training_set(generator, 6, 8)
    yield Case({**few, "l2": 0.5}, "fewer coalitions than superpixels")
    one = _training_set(generator, 12, 1)
    yield Case({**one, "l2": 1.0}, "a single superpixel")


def _solved(
    coalitions: Tensor,
    scores: Tensor,
    weights: Tensor,
    l2: float = 1.0,
    pi: Callable[[Tensor], Tensor] = lambda weights: weights,
    penalty: Callable[[float, int], float] = lambda l2, n_samples: l2,
    penalize_b: bool = False,
    with_b: bool = True,
    inputs: Callable[[Tensor], Tensor] = lambda x: x,
    pi_of_r2: Callable[[Tensor], Tensor] = lambda weights: weights,
    r2_of: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Fit:
    """Solve the normal equations of (x, 1), with the penalty on w."""
    x, y = inputs(coalitions.double()), scores.double()
    n = x.shape[1]
    one = torch.ones(len(x), 1).double()
    design = torch.cat([x, one], 1) if with_b else x
    strength = torch.full((design.shape[1],), penalty(l2, len(x)), dtype=torch.float64)
    if with_b and not penalize_b:
        strength[-1] = 0
    p = pi(weights.double())
    solution = torch.linalg.pinv(design.T @ (p[:, None] * design) + torch.diag(strength)) @ (design.T @ (p * y))
    w, b = solution[:n], solution[n] if with_b else torch.zeros(()).double()
    q = pi_of_r2(weights.double())
    errors, centred = y - x @ w - b, y - (q @ y) / q.sum()
    r2 = r2_of(q, errors, y) if r2_of else 1 - (q @ errors**2) / (q @ centred**2)
    return w.float(), b.float(), r2.float()


def _parts(change: Callable[[Tensor, Tensor, Tensor], Fit]) -> Callable[..., Fit]:
    return lambda coalitions, scores, weights, l2=1.0: change(*_solved(coalitions, scores, weights, l2))


def _differences_of_means(coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0) -> Fit:
    x, y = coalitions.double(), scores.double()
    w = (y @ x) / x.sum(0).clamp(min=1) - (y @ (1 - x)) / (1 - x).sum(0).clamp(min=1)
    b = y.mean() - w @ x.mean(0)
    errors = y - x @ w - b
    pi = weights.double()
    r2 = 1 - (pi @ errors**2) / (pi @ (y - pi @ y / pi.sum()) ** 2)
    return w.float(), b.float(), r2.float()


def _fit_about_plain_means(coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0) -> Fit:
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    about = x - x.mean(0)
    gram = about.T @ (pi[:, None] * about) + l2 * torch.eye(x.shape[1]).double()
    w = torch.linalg.pinv(gram) @ (about.T @ (pi * (y - y.mean())))
    b = y.mean() - w @ x.mean(0)
    r2 = 1 - (pi @ (y - b - x @ w) ** 2) / (pi @ (y - pi @ y / pi.sum()) ** 2)
    return w.float(), b.float(), r2.float()


FIT_SURROGATE = Exercise(
    name="fit_surrogate",
    reference=fit_surrogate,
    cases=_fit_cases,
    mistakes={
        "weights_ignored": Mistake(
            partial(_solved, pi=torch.ones_like),
            "your fit does not look at the weights pi: all images count alike.",
        ),
        "weights_ignored_everywhere": Mistake(
            partial(_solved, pi=torch.ones_like, pi_of_r2=torch.ones_like),
            "the weights pi play no part, neither in the fit nor in R^2.",
        ),
        "weights_squared": Mistake(
            partial(_solved, pi=torch.square),
            "each image counts by the square of its weight. If you multiply rows of x and y before you call a solver, "
            "multiply them with the root of pi: the solver squares them.",
        ),
        "root_of_weights": Mistake(
            partial(_solved, pi=torch.sqrt), "each image counts by the root of its weight; it counts by pi itself."
        ),
        "no_penalty": Mistake(
            partial(_solved, penalty=lambda l2, n_samples: 0.0),
            "your weights are those without a penalty. Where does l2 come in?",
        ),
        "penalty_on_b": Mistake(
            partial(_solved, penalize_b=True),
            "you penalize b as well. The penalty is on w alone: b is the score of an image of which all is removed, "
            "and may be as large as it likes.",
        ),
        "no_b": Mistake(
            partial(_solved, with_b=False), "your model has no b. Without it the weights must explain the mean as well."
        ),
        "penalty_times_samples": Mistake(
            partial(_solved, penalty=lambda l2, n_samples: l2 * n_samples),
            "your penalty grows with the number of samples, as if the error were a mean. It is a sum over the samples.",
        ),
        "plain_means": Mistake(
            _fit_about_plain_means,
            "you took the plain means off x and y. They are weighted by pi, or b does not drop out.",
        ),
        "half_penalty": Mistake(
            partial(_solved, penalty=lambda l2, n_samples: l2 / 2),
            "your penalty is half as strong. Derive it: the error's derivative and the penalty's both have a factor 2.",
        ),
        "twice_the_penalty": Mistake(
            partial(_solved, penalty=lambda l2, n_samples: 2 * l2),
            "your penalty is twice as strong. Derive it: the derivatives of error and penalty both have a factor 2.",
        ),
        "penalty_squared": Mistake(
            partial(_solved, penalty=lambda l2, n_samples: l2**2), "you used the square of l2; it is l2 |w|^2."
        ),
        "inverted": Mistake(
            partial(_solved, inputs=lambda x: 1 - x),
            "your weights are those of removing a superpixel. x_k = 1 means that it stays, so that the sign is the "
            "other one.",
        ),
        "plus_minus_one": Mistake(
            partial(_solved, inputs=lambda x: 2 * x - 1),
            "your x are -1 and 1. They are 0 and 1 here, so that b is the empty image.",
        ),
        "plain_r2": Mistake(
            partial(_solved, pi_of_r2=torch.ones_like),
            "w and b are right; your R^2 counts all images alike. Here each one counts by its weight pi, also in "
            "the mean of y.",
        ),
        "r2_about_zero": Mistake(
            partial(_solved, r2_of=lambda pi, errors, y: 1 - (pi @ errors**2) / (pi @ y**2)),
            "w and b are right; your R^2 compares the errors with the sum of y^2. It compares them with the spread of "
            "y about its weighted mean.",
        ),
        "error_for_r2": Mistake(
            partial(_solved, r2_of=lambda pi, errors, y: pi @ errors**2 / pi.sum()),
            "w and b are right; in place of R^2 you return the mean squared error.",
        ),
        "rest_for_r2": Mistake(
            _parts(lambda w, b, r2: (w, b, 1 - r2)),
            "w and b are right; your third number is what the model leaves unexplained. R^2 is 1 less that.",
        ),
        "differences_of_means": Mistake(
            _differences_of_means,
            "you took for each superpixel the mean score with it less the mean without it. That is the least squares "
            "solution only if all coalitions are there equally often.",
        ),
    },
    properties=[
        Property("R^2 is at most 1.", lambda arguments, value: float(value[2]) <= 1 + 1e-6),
    ],
)


# ---------------------------------------------------------------------------------------------------------------------
# ADALINE
# ---------------------------------------------------------------------------------------------------------------------

Line = tuple[Tensor, Tensor]


def adaline(
    coalitions: Tensor, scores: Tensor, weights: Tensor, l2: float = 1.0, lr: float = 0.01, n_steps: int = 100
) -> Line:
    """Return (w, b) after n_steps of batch gradient descent from 0, on the inputs x themselves, as the lab asks."""
    x, y, pi = coalitions.double(), scores.double(), weights.double()
    w, b = torch.zeros(x.shape[1]).double(), torch.zeros(()).double()
    for _ in range(n_steps):
        errors = y - x @ w - b
        w, b = w + lr * (2 * (pi * errors) @ x - 2 * l2 * w), b + lr * 2 * (pi @ errors)
    return w.to(scores), b.to(scores)


def _adaline_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(11)
    training_set = _training_set(fixed, 20, 4)
    yield Case({**training_set, "l2": 1.0, "lr": 0.02, "n_steps": 1}, "one step")
    yield Case({**training_set, "l2": 1.0, "lr": 0.02, "n_steps": 2}, "two steps")
    yield Case({**training_set, "l2": 0.0, "lr": 0.01, "n_steps": 3}, "three steps without a penalty")
    yield Case({**training_set, "l2": 1.0, "lr": 0.02, "n_steps": 60}, "sixty steps")
    yield Case(training_set, "no l2, lr and n_steps given")
    yield Case({**_training_set(generator, 30, 6), "l2": 3.0, "lr": 0.005, "n_steps": 5}, "five steps with six")
    yield Case({**_training_set(generator, 15, 2), "l2": 0.5, "lr": 0.01, "n_steps": 7}, "seven steps with two")


def _descent(
    coalitions: Tensor,
    scores: Tensor,
    weights: Tensor,
    l2: float = 1.0,
    lr: float = 0.01,
    n_steps: int = 100,
    pi: Callable[[Tensor], Tensor] = lambda weights: weights,
    factor: float = 2.0,
    decay: Callable[[Tensor, float], Tensor] = lambda w, l2: 2 * l2 * w,
    decay_b: bool = False,
    share: Callable[[Tensor], float] = lambda weights: 1.0,
    sign: float = 1.0,
    mode: str = "batch",
    learn_b: bool = True,
    more: int = 0,
) -> Line:
    """Go down step by step; `mode` "late": b is stepped with the errors after w's step; "online": row by row."""
    x, y = coalitions.double(), scores.double()
    p = pi(weights.double()) / share(weights.double())
    w, b = torch.zeros(x.shape[1]).double(), torch.zeros(()).double()
    for _ in range(n_steps + more):
        for rows in [[i] for i in range(len(x))] if mode == "online" else [slice(None)]:
            errors = y[rows] - x[rows] @ w - b
            part = decay(w, l2) / (len(x) if mode == "online" else 1)
            w = w + lr * (sign * factor * (p[rows] * errors) @ x[rows] - part)
            if mode == "late":
                errors = y - x @ w - b
            if learn_b:
                b = b + lr * (sign * factor * (p[rows] @ errors) - (2 * l2 * b if decay_b else 0))
    return w.float(), b.float()


ADALINE = Exercise(
    name="adaline",
    reference=adaline,
    cases=_adaline_cases,
    mistakes={
        "without_two": Mistake(
            partial(_descent, factor=1.0, decay=lambda w, l2: l2 * w),
            "your steps are half as long: the derivative of a square has a factor 2.",
        ),
        "two_for_the_error_alone": Mistake(
            partial(_descent, decay=lambda w, l2: l2 * w),
            "your penalty pulls half as strongly: the derivative of l2 |w|^2 has a factor 2, too.",
        ),
        "two_for_the_penalty_alone": Mistake(
            partial(_descent, factor=1.0),
            "your errors pull half as strongly: the derivative of a squared error has a factor 2.",
        ),
        "no_penalty": Mistake(
            partial(_descent, decay=lambda w, l2: 0 * w), "your steps do not look at l2. The penalty pulls w towards 0."
        ),
        "penalty_pushes": Mistake(
            partial(_descent, decay=lambda w, l2: -2 * l2 * w),
            "your penalty pushes the weights away from 0: check its sign.",
        ),
        "penalty_on_b": Mistake(partial(_descent, decay_b=True), "you penalize b as well. The penalty is on w alone."),
        "uphill": Mistake(
            partial(_descent, sign=-1.0), "your steps go uphill: with positive errors y - b - w.x the scores must grow."
        ),
        "mean": Mistake(
            partial(_descent, share=lambda weights: float(len(weights))),
            "you take the mean over the rows. The loss is a sum, so that the steps are longer.",
        ),
        "mean_by_weight": Mistake(
            partial(_descent, share=lambda weights: float(weights.sum())),
            "you divide by the sum of the weights. The loss is a sum: nothing is divided.",
        ),
        "weights_ignored": Mistake(partial(_descent, pi=torch.ones_like), "the weights pi play no part in your steps."),
        "weights_squared": Mistake(partial(_descent, pi=torch.square), "each row counts by pi, not by its square."),
        "errors_after_w": Mistake(
            partial(_descent, mode="late"),
            "you step w first, and b with the errors of the new w. One step changes both, from the same errors.",
        ),
        "online": Mistake(
            partial(_descent, mode="online"),
            "you step after each row. Here one step looks at all rows (batch learning).",
        ),
        "b_stays": Mistake(partial(_descent, learn_b=False), "your b never moves. It is learnt like w, with input 1."),
        "a_step_more": Mistake(partial(_descent, more=1), "you make one step more than n_steps."),
        "a_step_less": Mistake(partial(_descent, more=-1), "you make one step less than n_steps."),
        "solved": Mistake(
            lambda coalitions, scores, weights, l2=1.0, lr=0.01, n_steps=100: _solved(coalitions, scores, weights, l2)[
                :2
            ],
            "this is the best w and b, solved at once. After n_steps the descent is still on its way.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# The lasso
# ---------------------------------------------------------------------------------------------------------------------


def lasso(coalitions: Tensor, scores: Tensor, weights: Tensor, l1: float = 1.0) -> Tensor:
    """Return w of the lasso, as the lab asks for it."""
    return lime.fit_surrogate(coalitions, scores, weights, l2=0.0, l1=l1).coefficients


def _lasso_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(12)
    training_set = _training_set(fixed, 40, 5)
    strengths = ((2.0, "forty coalitions of five"), (8.0, "a stronger penalty"), (0.05, "a weak penalty"))
    for l1, note in strengths:
        yield Case({**training_set, "l1": l1}, note, tolerance=1e-3)
    yield Case(training_set, "no l1 given", tolerance=1e-3)
    yield Case({**_training_set(generator, 60, 8), "l1": 6.0}, "sixty coalitions of eight", tolerance=1e-3)
    yield Case({**_training_set(generator, 25, 3), "l1": 3.0}, "three superpixels", tolerance=1e-3)
    alike = torch.rand(40, 1, generator=fixed) < 0.5  # the same coin for all, turned over now and then
    rows = alike ^ (torch.rand(40, 5, generator=fixed) < 0.25)
    together = {**training_set, "coalitions": rows, "l1": 1.0}
    yield Case(together, "superpixels that mostly leave together", tolerance=1e-3)


def _coordinates(
    coalitions: Tensor,
    scores: Tensor,
    weights: Tensor,
    l1: float = 1.0,
    pi: Callable[[Tensor], Tensor] = lambda weights: weights,
    threshold: Callable[[float, Tensor], Tensor | float] = lambda l1, weights: l1 / 2,
    shrink: Callable[[Tensor, float], Tensor] = lambda p, t: p.sign() * (p.abs() - t).clamp(min=0),
    pi_of_means: Callable[[Tensor], Tensor] | None = lambda weights: weights,
    n_sweeps: int = 200,
    newest: bool = True,
    own: float = 1.0,
) -> Tensor:
    x, y, p = coalitions.double(), scores.double(), pi(weights.double())
    if pi_of_means:
        q = pi_of_means(p)
        x, y = x - q @ x / q.sum(), y - q @ y / q.sum()
    gram, moments, w = x.T @ (p[:, None] * x), x.T @ (p * y), torch.zeros(x.shape[1]).double()
    for _ in range(n_sweeps):
        before = w.clone()
        for j in range(len(w)):
            pull = moments[j] - gram[j] @ (w if newest else before) + own * gram[j, j] * before[j]
            w[j] = shrink(pull, threshold(l1, p)) / gram[j, j]
        if torch.equal(w.float(), before.float()):
            break
    return w.float()


LASSO = Exercise(
    name="lasso",
    reference=lasso,
    cases=_lasso_cases,
    mistakes={
        "ridge": Mistake(
            lambda coalitions, scores, weights, l1=1.0: _solved(coalitions, scores, weights, l1)[0],
            "this is ridge regression: the penalty is l1 times the sum of |w_k|, not of their squares.",
        ),
        "no_penalty": Mistake(
            partial(_coordinates, threshold=lambda l1, weights: 0.0),
            "these are the weights without a penalty. Where does l1 come in?",
        ),
        "whole_threshold": Mistake(
            partial(_coordinates, threshold=lambda l1, weights: l1),
            "your threshold is twice too large: the derivative of the squared error has a factor 2, that of |w| has "
            "none.",
        ),
        "alpha_of_scikit_learn": Mistake(
            partial(_coordinates, threshold=lambda l1, weights: l1 * weights.sum()),
            "this is scikit-learn's Lasso with alpha = l1. There the error is divided by twice the sum of the weights; "
            "here it is not, so that the same penalty counts for less.",
        ),
        "hard_threshold": Mistake(
            partial(_coordinates, shrink=lambda p, t: torch.where(p.abs() > t, p, 0.0)),
            "you cut off small pulls and leave the others as they are. Each pull that is left is shortened by the "
            "threshold as well.",
        ),
        "positive_alone": Mistake(
            partial(_coordinates, shrink=lambda p, t: (p - t).clamp(min=0)),
            "you lost what speaks against the class: a negative pull is shortened towards 0 from below.",
        ),
        "sign_lost": Mistake(
            partial(_coordinates, shrink=lambda p, t: (p.abs() - t).clamp(min=0)),
            "your weights have lost their sign.",
        ),
        "without_b": Mistake(
            partial(_coordinates, pi_of_means=None),
            "your model has no b. Take the weighted means off x and y first: the best b drops out then.",
        ),
        "one_sweep": Mistake(
            partial(_coordinates, n_sweeps=1),
            "you went over the weights once. Each one is the best for the others as they were: go on until they stay.",
        ),
        "all_at_once": Mistake(
            partial(_coordinates, newest=False),
            "all your weights change at once, each from the old values of the others. If superpixels leave together, "
            "that need not come to rest: let each weight see the newest values.",
        ),
        "own_weight_in_the_pull": Mistake(
            partial(_coordinates, own=0.0),
            "your pull of superpixel j is computed with its own weight taken off as well. The sum in p_j leaves k = j "
            "out.",
        ),
        "plain_means": Mistake(
            partial(_coordinates, pi_of_means=torch.ones_like),
            "you took the plain means off x and y. They are weighted by pi, or b does not drop out.",
        ),
        "root_of_weights": Mistake(
            partial(_coordinates, pi=torch.sqrt), "each image counts by the root of its weight; it counts by pi itself."
        ),
        "weights_ignored": Mistake(partial(_coordinates, pi=torch.ones_like), "the weights pi play no part."),
        "soft_threshold_of_the_fit": Mistake(
            lambda coalitions, scores, weights, l1=1.0: (lambda w: w.sign() * (w.abs() - l1 / 2).clamp(min=0))(
                _solved(coalitions, scores, weights, 0.0)[0]
            ),
            "you shortened the weights of the fit without a penalty. What is shortened is the pull of each superpixel, "
            "given the other weights.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# The heat map
# ---------------------------------------------------------------------------------------------------------------------


def _heatmap_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(13)
    yield Case(
        {"values": torch.randn(4, generator=fixed), "segments": _superpixels(fixed, (5, 6), 4)}, "four superpixels"
    )
    for size, n in (((7, 7), 9), ((3, 10), 2)):
        values = torch.randn(n, generator=generator)
        yield Case({"values": values, "segments": _superpixels(generator, size, n)}, f"{n} superpixels")
    values = torch.randn(3, 5, generator=generator)
    yield Case({"values": values, "segments": _superpixels(generator, (6, 4), 5)}, "three classes at once")


def _mapped(
    values: Tensor,
    segments: Tensor,
    change: Callable[[Tensor], Tensor] = lambda values: values,
    share: Callable[[Tensor], float] = lambda where: 1.0,
) -> Tensor:
    result = torch.zeros(*values.shape[:-1], *segments.shape)
    for k in range(values.shape[-1]):
        where = segments == k
        result[..., where] = (change(values)[..., k] / share(where)).unsqueeze(-1)
    return result


HEATMAP = Exercise(
    name="heatmap",
    reference=lime.heatmap,
    cases=_heatmap_cases,
    mistakes={
        "absolute": Mistake(
            partial(_mapped, change=torch.abs), "you lost the sign. It says whether a superpixel speaks for the class."
        ),
        "positive_alone": Mistake(
            partial(_mapped, change=lambda values: values.clamp(min=0)),
            "you lost what speaks against the class: negative weights belong on the map, too.",
        ),
        "shared_out": Mistake(
            partial(_mapped, share=lambda where: float(where.sum())),
            "you share a superpixel's weight out among its pixels. Each pixel gets the whole weight.",
        ),
        "scaled": Mistake(
            partial(_mapped, change=lambda values: values / values.abs().max()),
            "you scaled the map to a largest value of 1. The weights themselves are asked for, in units of the score.",
        ),
        "numbered_from_1": Mistake(
            partial(_mapped, change=lambda values: values.roll(1, -1)),
            "superpixels and weights are shifted against each other: superpixel k has the weight number k, from 0 on.",
        ),
        "ranks": Mistake(
            partial(_mapped, change=lambda values: values.argsort(-1).float()),
            "you wrote places of a sorted list on the map, not weights.",
        ),
        "numbers": Mistake(
            lambda values, segments: segments.to(values).expand(*values.shape[:-1], *segments.shape).clone(),
            "this is the map of the superpixels' numbers.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# explain
# ---------------------------------------------------------------------------------------------------------------------


def explain(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    coalitions: Tensor,
    baseline: float | Tensor | None = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
) -> Tensor:
    """Return w of LIME on the given coalitions, as the lab asks for it."""
    scores = lime.score_coalitions(model, image, target, segments, coalitions, baseline)
    return lime.fit_surrogate(coalitions, scores, lime.proximity(coalitions, kernel_width), l2).coefficients


def _explain_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(14)

    def case(source: torch.Generator, kind: str, size: tuple[int, int], n: int, note: str, **options: Any) -> Case:
        network = Network(kind, seed=draw_integer(source, 0, 2**31), shape=(3, *size))
        return Case(
            {
                "model": network,
                "image": torch.rand(3, *size, generator=source),
                "target": draw_integer(source, 0, 5),
                "segments": _superpixels(source, size, n),
                "coalitions": _coalitions(source, 6 * n, n),
                **options,
            },
            note,
        )

    yield case(fixed, "conv", (8, 8), 5, "a convolutional network")
    yield case(fixed, "conv", (8, 8), 5, "a grey baseline", baseline=0.5)
    yield case(fixed, "conv", (8, 8), 4, "a wide kernel and a weak penalty", kernel_width=1.0, l2=0.1)
    yield case(generator, "gap", (8, 6), 6, "another network", baseline=0.0, kernel_width=0.4, l2=0.5)
    yield case(generator, "linear", (4, 6), 4, "a linear network without a penalty", baseline=0.0, l2=0.0)
    yield case(generator, "inplace", (8, 8), 3, "a network that works in place", l2=0.3)


def _explained(
    model: nn.Module,
    image: Tensor,
    target: int,
    segments: Tensor,
    coalitions: Tensor,
    baseline: float | Tensor | None = None,
    kernel_width: float = 0.25,
    l2: float = 1.0,
    output: Callable[[Tensor, int], Tensor] = lambda scores, target: scores[:, target],
    pi: Callable[[Tensor, float], Tensor] = lambda rows, width: _kernel()(rows, width),
    colour: Callable[[Tensor, Tensor, Any], Tensor] = _given,
    finish: Callable[[Tensor], Tensor] = lambda w: w,
    fit: Callable[..., Fit] = _solved,
    rows: Callable[[Tensor], Tensor] = lambda coalitions: coalitions,
) -> Tensor:
    with torch.no_grad():
        scores = model(_perturbed(image, segments, coalitions, baseline, colour, rows=rows))
    return finish(fit(coalitions, output(scores, target), pi(coalitions, kernel_width), l2)[0])


def _constant_option(name: str, value: Any) -> Callable[..., Tensor]:
    return lambda *arguments, **options: _explained(*arguments, **{**options, name: value})


EXPLAIN = Exercise(
    name="explain",
    reference=explain,
    cases=_explain_cases,
    mistakes={
        "probability": Mistake(
            partial(_explained, output=lambda scores, target: scores.softmax(1)[:, target]),
            "you explain the probability. The class score is asked for, before the softmax.",
        ),
        "largest_score": Mistake(
            partial(_explained, output=lambda scores, target: scores.amax(1)),
            "you take the largest score of each image, whatever class has it. The class is `target`, in all images.",
        ),
        "predicted_class": Mistake(
            partial(_explained, output=lambda scores, target: scores[:, int(scores[0].argmax())]),
            "you explain the class that the network says. The one asked for is `target`.",
        ),
        "class_0": Mistake(
            partial(_explained, output=lambda scores, target: scores[:, 0]),
            "you explain class 0, whatever `target` is.",
        ),
        "no_weights": Mistake(
            partial(_explained, pi=lambda rows, width: torch.ones(len(rows))),
            "all images count alike in your fit. Those that are nearer to the whole image weigh more (`proximity`).",
        ),
        "kernel_width_ignored": Mistake(
            _constant_option("kernel_width", 0.25), "your weights do not depend on `kernel_width`."
        ),
        "l2_ignored": Mistake(_constant_option("l2", 1.0), "your fit does not depend on `l2`."),
        "baseline_ignored": Mistake(
            partial(_explained, colour=_mean_colour), "what is removed gets its mean colour, whatever `baseline` is."
        ),
        "black": Mistake(_constant_option("baseline", 0.0), "what is removed gets black, whatever `baseline` is."),
        "absolute": Mistake(partial(_explained, finish=torch.abs), "your weights have lost their sign."),
        "inverted": Mistake(
            partial(_explained, rows=torch.logical_not),
            "you removed what stays: the sign of each weight says that something has been exchanged.",
        ),
        "difference_to_the_image": Mistake(
            partial(_explained, finish=torch.neg),
            "your weights have the opposite sign: a superpixel that raises the score has a positive weight.",
        ),
        "normalized": Mistake(
            partial(_explained, finish=lambda w: w / w.abs().sum()),
            "you scaled the weights. They are asked for in units of the score.",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# stability
# ---------------------------------------------------------------------------------------------------------------------


def _stability_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(15)

    def runs(source: torch.Generator, n_runs: int, n: int, noise: float) -> Tensor:
        return torch.randn(1, n, generator=source) + noise * torch.randn(n_runs, n, generator=source)

    yield Case({"coefficients": runs(fixed, 4, 10, 0.5), "n_features": 3}, "four runs, three superpixels each")
    yield Case({"coefficients": runs(fixed, 2, 12, 1.0), "n_features": 4}, "two runs")
    yield Case({"coefficients": runs(fixed, 5, 9, 0.6)}, "no number of superpixels given")
    yield Case({"coefficients": runs(generator, 8, 20, 0.7), "n_features": 6}, "eight runs")
    yield Case({"coefficients": runs(generator, 3, 7, 0.8), "n_features": 1}, "one superpixel each")


def _agreement_of_runs(
    coefficients: Tensor,
    n_features: int = 5,
    key: Callable[[Tensor], Tensor] = lambda row: row,
    index: Callable[[set[int], set[int]], float] = lambda a, b: len(a & b) / len(a | b),
    pairs: Callable[[int], list[tuple[int, int]]] = lambda n: [(i, j) for i in range(n) for j in range(i)],
    mean: bool = True,
    more: int = 0,
) -> Tensor:
    sets = [
        set(key(row).argsort(descending=True, stable=True)[: max(n_features + more, 0)].tolist())
        for row in coefficients
    ]
    values = [index(sets[i], sets[j]) for i, j in pairs(len(sets)) if sets[i] | sets[j]]
    return torch.tensor((sum(values) / len(values) if mean else sum(values)) if values else 0.0)


STABILITY = Exercise(
    name="stability",
    reference=lime.stability,
    cases=_stability_cases,
    mistakes={
        "absolute": Mistake(
            partial(_agreement_of_runs, key=torch.abs),
            "you ranked by |w|. Asked for are the superpixels that speak most for the class: the largest w.",
        ),
        "smallest": Mistake(
            partial(_agreement_of_runs, key=torch.neg), "you took the superpixels with the smallest weights."
        ),
        "share_in_common": Mistake(
            partial(_agreement_of_runs, index=lambda a, b: len(a & b) / len(a)),
            "you divide what two sets have in common by the size of one. The Jaccard index divides by the size of "
            "their union.",
        ),
        "with_itself": Mistake(
            partial(_agreement_of_runs, pairs=lambda n: [(i, j) for i in range(n) for j in range(n)]),
            "you compare each run with itself as well, and that is always 1. Only pairs of different runs count.",
        ),
        "with_the_first": Mistake(
            partial(_agreement_of_runs, pairs=lambda n: [(0, j) for j in range(1, n)]),
            "you compare each run with the first alone. The mean is over all pairs of runs.",
        ),
        "neighbours": Mistake(
            partial(_agreement_of_runs, pairs=lambda n: [(j - 1, j) for j in range(1, n)]),
            "you compare each run with the next one alone. The mean is over all pairs of runs.",
        ),
        "sum": Mistake(partial(_agreement_of_runs, mean=False), "you return the sum over the pairs, not the mean."),
        "distance": Mistake(
            partial(_agreement_of_runs, index=lambda a, b: 1 - len(a & b) / len(a | b)),
            "this is the distance, 1 less the Jaccard index: equal runs must give 1.",
        ),
        "all_in_common": Mistake(
            lambda coefficients, n_features=5: (
                lambda sets: torch.tensor(len(set.intersection(*sets)) / len(set.union(*sets)))
            )([set(row.topk(n_features).indices.tolist()) for row in coefficients]),
            "you compare all runs at once. Compare two at a time, and take the mean over the pairs.",
        ),
        "one_more": Mistake(partial(_agreement_of_runs, more=1), "you take one superpixel more than n_features."),
        "one_less": Mistake(partial(_agreement_of_runs, more=-1), "you take one superpixel less than n_features."),
        "other_default": Mistake(
            lambda coefficients, n_features=3: _agreement_of_runs(coefficients, n_features),
            "without n_features it is 5.",
        ),
    },
)


EXERCISES = (
    REMOVED_BY_HAND,
    PERTURB,
    BLIND_SPOT,
    SAMPLE_COALITIONS,
    PROXIMITY,
    SURROGATE_BY_HAND,
    FIT_SURROGATE,
    ADALINE,
    LASSO,
    HEATMAP,
    EXPLAIN,
    STABILITY,
)
