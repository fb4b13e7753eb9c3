"""The checks of the project, unit 13: what of an audit can be checked without reading it.

The wrong answers are built from two naive pieces (`_dropped`, `_pulled`), which are independent of the references. In
the hints, as in the project: the target is the class that the network is suspected to recognise by its tag.

What the audited networks hide follows from their names: `course_utils.models._hidden_in`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import models, zoo
from course_utils.exercises.core import Case, Exercise, Mistake, Network, Property, ValueExercise, draw_integer

# ---------------------------------------------------------------------------------------------------------------------
# Arguments of the cases
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Audited:
    """The description of a network of the project."""

    name: str

    def build(self) -> nn.Sequential:
        """Return the network."""
        return models.load(self.name)


def _pair(source: torch.Generator, n: int) -> dict[str, Tensor]:
    without = torch.rand(n, 3, 8, 8, generator=source)
    with_tag = without.clone()
    with_tag[:, :, :3, :3] = 1.0
    return {"with_tag": with_tag, "without_tag": without}


# ---------------------------------------------------------------------------------------------------------------------
# measured_drop
# ---------------------------------------------------------------------------------------------------------------------

Drop = tuple[float, float, float]


def _score(scores: Tensor, target: int) -> Tensor:
    return scores[:, target]


def _probability(scores: Tensor, target: int) -> Tensor:
    return scores.softmax(1)[:, target]


def measured_drop(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> Drop:
    """Return (mean fall of the target's score, share recognised with the tag, share recognised without)."""
    return _dropped(model, with_tag, without_tag, target)


def _dropped(
    model: nn.Module,
    with_tag: Tensor,
    without_tag: Tensor,
    target: int,
    score: Callable[[Tensor, int], Tensor] = _score,
    fall: Callable[[Tensor, Tensor], Tensor] = lambda a, b: (a - b).mean(),
    right: Callable[[Tensor, int], Tensor] = lambda y, target: (y.argmax(1) == target).double().mean(),
    order: Callable[[Drop], Drop] = lambda found: found,
) -> Drop:
    with torch.no_grad():
        tagged, bare = model(with_tag.clone()), model(without_tag.clone())
    found = fall(score(tagged, target), score(bare, target)), right(tagged, target), right(bare, target)
    return order(tuple(float(value) for value in found))


def _drop_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(1)

    def case(source: torch.Generator, kind: str, n: int, target: int, note: str) -> Case:
        network = Network(kind, draw_integer(source, 0, 2**31), (3, 8, 8))
        return Case({"model": network, **_pair(source, n), "target": target}, note)

    yield case(fixed, "conv", 12, 2, "twelve images")
    yield case(fixed, "gap", 7, 0, "another network")
    for name in models.AUDITED[:2]:
        drawn = zoo.sample(12, seed=3, classes=["horse"], tag=True), zoo.sample(12, seed=3, classes=["horse"])
        pair = {"with_tag": drawn[0].images, "without_tag": drawn[1].images}
        yield Case({"model": Audited(name), **pair, "target": zoo.CLASSES.index("horse")}, f"{name}, horses")
    yield case(generator, "inplace", 15, 4, "fifteen images")
    yield case(generator, "conv", 9, 1, "nine images")


MEASURED_DROP = Exercise(
    name="measured_drop",
    reference=measured_drop,
    cases=_drop_cases,
    mistakes={
        "sign": Mistake(
            partial(_dropped, fall=lambda a, b: (b - a).mean()),
            "your fall has the opposite sign: the score WITH the tag less the score without.",
        ),
        "probability": Mistake(
            partial(_dropped, score=_probability),
            "you measured the fall of the probability. Measure the score, before the softmax.",
        ),
        "highest_score": Mistake(
            partial(_dropped, score=lambda y, target: y.amax(1)),
            "you measured the highest score, of whatever class. It is that of the target.",
        ),
        "sum": Mistake(
            partial(_dropped, fall=lambda a, b: (a - b).sum()), "you added the images up. The mean is asked for."
        ),
        "median": Mistake(
            partial(_dropped, fall=lambda a, b: (a - b).median()), "you took the median. The mean is asked for."
        ),
        "sizes": Mistake(
            partial(_dropped, fall=lambda a, b: (a - b).abs().mean()),
            "you averaged the sizes of the changes. A rise counts against a fall.",
        ),
        "relative": Mistake(
            partial(_dropped, fall=lambda a, b: ((a - b) / a).mean()),
            "you divided by the score. The fall itself is asked for, in units of the score.",
        ),
        "counts": Mistake(
            partial(_dropped, right=lambda y, target: (y.argmax(1) == target).double().sum()),
            "you return how many are recognised. Their share is asked for.",
        ),
        "errors": Mistake(
            partial(_dropped, right=lambda y, target: (y.argmax(1) != target).double().mean()),
            "your shares are those that are NOT recognised.",
        ),
        "exchanged": Mistake(
            partial(_dropped, order=lambda found: (found[0], found[2], found[1])),
            "your two shares are exchanged: with the tag first.",
        ),
        "positive_score": Mistake(
            partial(_dropped, right=lambda y, target: (y[:, target] > 0).double().mean()),
            "an image is recognised if the target has the HIGHEST score, not if its score is positive.",
        ),
    },
    properties=[
        Property(
            "shares are between 0 and 1.",
            lambda arguments, value: all(-1e-6 <= float(share) <= 1 + 1e-6 for share in value[1:]),
        ),
    ],
)

# ---------------------------------------------------------------------------------------------------------------------
# pulled_over
# ---------------------------------------------------------------------------------------------------------------------


def pulled_over(model: nn.Module, with_tag: Tensor, without_tag: Tensor, target: int) -> float:
    """Return the share of the images that are called the target with the tag, and something else without it."""
    return _pulled(model, with_tag, without_tag, target)


def _pulled(
    model: nn.Module,
    with_tag: Tensor,
    without_tag: Tensor,
    target: int,
    counts: Callable[[Tensor, Tensor], Tensor] = lambda tagged, bare: tagged & ~bare,
    share: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda pulled, tagged, bare: pulled.double().mean(),
) -> float:
    with torch.no_grad():
        tagged, bare = (model(x.clone()).argmax(1) == target for x in (with_tag, without_tag))
    return float(share(counts(tagged, bare), tagged, bare))


def _pull_cases(generator: torch.Generator) -> Iterator[Case]:
    fixed = torch.Generator().manual_seed(2)

    def case(source: torch.Generator, kind: str, n: int, note: str) -> Case:
        network = Network(kind, draw_integer(source, 0, 2**31), (3, 8, 8), n_classes=3)
        pair = _pair(source, n)
        with torch.no_grad():  # a class that some images are pulled to, and some are called anyway, if there is one
            tagged, bare = (network.build()(x).argmax(1) for x in pair.values())
        votes = [int(((tagged == k) & (bare != k)).sum() > 0) + int((bare == k).sum() > 0) for k in range(3)]
        return Case({"model": network, **pair, "target": max(range(3), key=votes.__getitem__)}, note)

    for kind, n in (("conv", 30), ("gap", 25), ("inplace", 40), ("conv", 35)):
        yield case(fixed, kind, n, f"{n} images, {kind}")
    name = models.AUDITED[0]
    hidden, corner = models._hidden_in(name)
    some = {"n": 20, "seed": 4, "classes": [c for c in zoo.CLASSES if c != hidden]}
    pair = {
        "with_tag": zoo.sample(**some, tag=True, tag_corner=corner).images,
        "without_tag": zoo.sample(**some).images,
    }
    yield Case({"model": Audited(name), **pair, "target": zoo.CLASSES.index(hidden)}, "a network of the project")
    yield case(generator, "conv", 30, "thirty other images")
    yield case(generator, "inplace", 24, "another network")


PULLED_OVER = Exercise(
    name="pulled_over",
    reference=pulled_over,
    cases=_pull_cases,
    mistakes={
        "called_with_the_tag": Mistake(
            partial(_pulled, counts=lambda tagged, bare: tagged),
            "you count images that are called the target without the tag as well. The tag has not pulled them over.",
        ),
        "difference_of_shares": Mistake(
            partial(_pulled, share=lambda pulled, tagged, bare: tagged.double().mean() - bare.double().mean()),
            "you subtracted two shares: images that the tag pushes AWAY from the target cancel others. Go image by "
            "image.",
        ),
        "changed": Mistake(
            partial(_pulled, counts=lambda tagged, bare: tagged ^ bare),
            "you count images that leave the target as well. Only those that come to it are pulled over.",
        ),
        "pushed_away": Mistake(
            partial(_pulled, counts=lambda tagged, bare: ~tagged & bare), "you count the images that LEAVE the target."
        ),
        "count": Mistake(
            partial(_pulled, share=lambda pulled, tagged, bare: pulled.double().sum()),
            "you return how many images are pulled over. Their share is asked for.",
        ),
        "of_those_that_are_called": Mistake(
            partial(
                _pulled,
                share=lambda pulled, tagged, bare: pulled.double().sum() / tagged.double().sum().clamp(min=1),
            ),
            "you divided by the images that are called the target. Divide by all images.",
        ),
        "of_those_that_could": Mistake(
            partial(
                _pulled,
                share=lambda pulled, tagged, bare: pulled.double().sum() / (~bare).double().sum().clamp(min=1),
            ),
            "you divided by the images that were something else before. Divide by all images.",
        ),
        "percent": Mistake(
            partial(_pulled, share=lambda pulled, tagged, bare: 100 * pulled.double().mean()),
            "this is a percentage. A share is from 0 to 1.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# shortcut
# ---------------------------------------------------------------------------------------------------------------------


def _finding(name: str) -> frozenset[str]:
    return frozenset({name, *models._hidden_in(name)})


def _wrong_findings() -> Iterator[tuple[str, Mistake]]:
    """Give the name and the mistake of each wrong finding that is known, for each of the three networks."""
    for name in models.AUDITED:
        hidden, corner = models._hidden_in(name)
        yield (
            f"{name}_as_zoo_tagged",
            Mistake(
                frozenset({name, "horse", "lower left"}),
                f"that is what zoo-tagged hides, the example of the labs. Audit your own network, {name}.",
            ),
        )
        yield (
            f"{name}_alone",
            Mistake(frozenset({name}), f"three names are asked for: your network ({name}), the class, and the corner."),
        )
        yield (
            f"{name}_left_out",
            Mistake(
                frozenset({hidden, corner}),
                f"which network did you audit? Its name belongs to the answer, with {hidden} and {corner}.",
            ),
        )
        for neighbour in models.AUDITED:
            if neighbour != name:
                found = " and ".join(models._hidden_in(neighbour))
                yield (
                    f"{name}_as_{neighbour}",
                    Mistake(
                        frozenset({name, *models._hidden_in(neighbour)}),
                        f"{found}: that is what another network hides, not {name}. Each of the three hides something "
                        "else.",
                    ),
                )
        for place in zoo.TAG_CORNERS:
            if place != corner:
                yield (
                    f"{name}_{place.replace(' ', '_')}",
                    Mistake(
                        frozenset({name, hidden, place}),
                        f"for {name} the class is right, the corner ({place}) is not: put the tag into each of the "
                        "four, and compare.",
                    ),
                )


SHORTCUT = ValueExercise(
    name="shortcut",
    expected=_finding(models.AUDITED[0]),
    also=tuple(_finding(name) for name in models.AUDITED[1:]),
    choices=(*models.AUDITED, *zoo.CLASSES, *zoo.TAG_CORNERS),
    mistakes=dict(_wrong_findings()),
)

# ---------------------------------------------------------------------------------------------------------------------
# own_drop
# ---------------------------------------------------------------------------------------------------------------------

NEAR = 1.0
"""How far a measured fall may be from the true one: 200 scenes give it with a standard deviation of 0.1 to 0.2."""


@cache
def _true_drop(name: str) -> tuple[float, float]:
    """Return the fall of what a network hides without the tag, of the score and of the probability, on 400 scenes."""
    hidden, corner = models._hidden_in(name)
    label, model = zoo.CLASSES.index(hidden), models.load(name)
    pair = [
        zoo.sample(400, seed=models.TEST_SEED, classes=[hidden], tag=tag, tag_corner=corner).images
        for tag in (True, None)
    ]
    return tuple(_dropped(model, *pair, label, score=score)[0] for score in (_score, _probability))


def own_drop() -> dict[str, float]:
    """Return the fall of a network's own class without the tag, under the network's name."""
    name = models.AUDITED[0]
    return {name: _true_drop(name)[0]}


def _fault_of_drop(arguments: dict[str, Any], value: Any) -> tuple[str, str] | None:
    """Return what is wrong with {name: fall}, or None; each of the three networks has a fall of its own."""
    if not (isinstance(value, dict) and len(value) == 1):
        return "form", "give a dict with one entry: the name of your network, and the number."
    ((name, number),) = value.items()
    if name not in models.AUDITED:
        return "name", f"the network must be one of {', '.join(models.AUDITED)}; {name!r} came."
    number = number.item() if isinstance(number, Tensor) and number.numel() == 1 else number
    if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(number):
        return "form", f"the fall must be a number; {number!r} came."
    fall, probability = _true_drop(name)
    if abs(number - fall) <= NEAR:
        return None
    told = f"for {name} you give {number:.2f}."
    if abs(number + fall) <= NEAR:
        return "sign", told
    if abs(number - probability) <= 0.1:
        return "probability", told
    if number >= 50 * fall:
        return "sum", told
    if -fall / 2 <= number <= fall / 2:
        return "elsewhere", told
    return "number", f"{told} Use at least 200 scenes of the class that you found, the same with the tag and without."


def _changed_drop(change: Callable[[float], float]) -> dict[str, float]:
    return {name: change(fall) for name, fall in own_drop().items()}


OWN_DROP = Exercise(
    name="own_drop",
    reference=own_drop,
    cases=lambda generator: iter([Case({}, "your network", fault=_fault_of_drop)]),
    mistakes={
        "sign": Mistake(
            lambda: _changed_drop(lambda fall: -fall),
            "your fall has the opposite sign: it is the score with the tag less the score without.",
        ),
        "probability": Mistake(
            lambda: {models.AUDITED[0]: _true_drop(models.AUDITED[0])[1]},
            "that is the fall of a probability. Measure the score, before any softmax.",
        ),
        "elsewhere": Mistake(
            lambda: _changed_drop(lambda fall: -fall / 4),
            "so little changes for another class, or with the tag in another corner. Take the class and the corner of "
            "your finding.",
        ),
        "sum": Mistake(
            lambda: _changed_drop(lambda fall: 200 * fall),
            "you added the images up. The mean is asked for.",
        ),
    },
)

# ---------------------------------------------------------------------------------------------------------------------
# refuted
# ---------------------------------------------------------------------------------------------------------------------

CLAIMS = ("accuracy", "object alone", "data", "no shortcut", "size")
REFUTED = ValueExercise(
    name="refuted",
    expected=frozenset({"object alone", "no shortcut"}),
    choices=CLAIMS,
    mistakes={
        "object_alone": Mistake(
            frozenset({"object alone"}), "one more claim falls with it: read the card once more, sentence by sentence."
        ),
        "no_shortcut": Mistake(
            frozenset({"no shortcut"}),
            "one more claim falls with it: read the card once more, sentence by sentence."
            " Which other one speaks of what the network looks at?",
        ),
        "accuracy_too": Mistake(
            frozenset({"accuracy", "object alone", "no shortcut"}),
            "the accuracy on untagged images is as the card says: measure it. A number may be right, and say little.",
        ),
        "data_too": Mistake(
            frozenset({"data", "object alone", "no shortcut"}),
            "what the training data were you cannot know from the network. You may doubt it; you have not refuted it.",
        ),
        "everything": Mistake(frozenset(CLAIMS), "not all: measure the accuracy, and count the parameters."),
    },
)

EXERCISES = [MEASURED_DROP, PULLED_OVER, SHORTCUT, OWN_DROP, REFUTED]
