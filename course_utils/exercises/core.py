"""Exercises that tell what is wrong with an answer.

An :class:`Exercise` draws cases (plain data), runs an answer on fresh copies of their arguments, and judges what came
back: against the reference, against the mistakes that people really make, and against the properties that theory
demands. Drawing, running and judging are separate steps, so that the middle one can happen in another process:

    cases = exercise.draw(seed)                                    # plain data: tensors, numbers, names, descriptions
    answers = [exercise.run(answer, case) for case in cases]       # what came back, or a Fault
    verdict = exercise.judge(cases, answers)                       # never calls the answer

``exercise.check(answer)`` is the three in a row, for the notebook. A :class:`ValueExercise` asks for a number, a tuple
of numbers or a choice instead of a function.
"""

from __future__ import annotations

import inspect
import itertools
import math
import numbers
import random
import traceback
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# ---------------------------------------------------------------------------------------------------------------------
# Descriptions: arguments that cannot travel as plain data are described, and built when a case is run.
# ---------------------------------------------------------------------------------------------------------------------

NetworkKind = Callable[[tuple[int, int, int], int], nn.Sequential]
NETWORKS: dict[str, NetworkKind] = {}


def register_network(kind: str) -> Callable[[NetworkKind], NetworkKind]:
    """Make `kind` known to :class:`Network`: decorates ``layers(shape (C, H, W), n_classes) -> nn.Sequential``.

    Raises:
        ValueError: `kind` is known already.
    """

    def register(layers: NetworkKind) -> NetworkKind:
        if kind in NETWORKS:
            raise ValueError(f"a network kind {kind!r} is registered already")
        NETWORKS[kind] = layers
        return layers

    return register


@dataclass(frozen=True)
class Network:
    """The description of a small network: its kind (a key of ``NETWORKS``), the seed of its weights, its sizes.

    Args:
        kind: "conv", "gap", "inplace", "linear", "quadratic", "cubic", "fifth_power", "cubed_mean", "conv_linear",
            "conv_quadratic" or "conv_cubed_squares", or what a unit has registered.
        seed: of the weights, which are drawn from a generator of their own.
        shape: (C, H, W) of one input image.
        n_classes: number K of scores; the network takes (N, C, H, W) and gives (N, K).
        training: whether it comes in train mode.
    """

    kind: str
    seed: int = 0
    shape: tuple[int, int, int] = (3, 8, 8)
    n_classes: int = 5
    training: bool = False

    def build(self) -> nn.Sequential:
        """Return a new network, in eval mode unless `training`: the same weights for the same description, always."""
        if self.kind not in NETWORKS:
            raise ValueError(f"kind is {self.kind!r}; known kinds: {', '.join(sorted(NETWORKS))}")
        with untouched_random_state():
            model = NETWORKS[self.kind](self.shape, self.n_classes)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for parameter in model.parameters():
                scale = 0.2 if parameter.dim() == 1 else math.sqrt(2 / parameter[0].numel())
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
        return model.train(self.training)


@dataclass(frozen=True)
class Seed:
    """The description of a ``torch.Generator`` that is seeded with `seed`."""

    seed: int

    def build(self) -> torch.Generator:
        """Return a new generator in its first state."""
        return torch.Generator().manual_seed(self.seed)


class Power(nn.Module):
    """x -> x ** exponent, element by element: a layer whose derivatives can be written down."""

    def __init__(self, exponent: int) -> None:
        super().__init__()
        self.exponent = exponent

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: any shape -> the same shape."""
        return inputs**self.exponent


def _conv_layers(shape: tuple[int, int, int], n_classes: int, inplace: bool) -> nn.Sequential:
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.ReLU(inplace),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace),
        nn.Flatten(),
        nn.Linear(8 * (height // 2) * (width // 2), n_classes),
    )


@register_network("conv")
def _conv(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    return _conv_layers(shape, n_classes, inplace=False)


@register_network("inplace")
def _inplace(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    return _conv_layers(shape, n_classes, inplace=True)


@register_network("gap")
def _gap(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, n_classes),
    )


def _power_layers(*exponents: int) -> NetworkKind:
    def layers(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
        return nn.Sequential(*map(Power, exponents), nn.Flatten(), nn.Linear(math.prod(shape), n_classes))

    return layers


def _conv_power_layers(*exponents: int) -> NetworkKind:
    def layers(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
        powers = _power_layers(*exponents)((4, *shape[1:]), n_classes)
        return nn.Sequential(nn.Conv2d(shape[0], 4, 1, bias=False), *powers)

    return layers


# y_k = sum_i a_ki x_i^p + b_k, where the gradient is p a_ki x_i^(p-1).
register_network("linear")(_power_layers(1))
register_network("quadratic")(_power_layers(2))
register_network("cubic")(_power_layers(3))
register_network("fifth_power")(_power_layers(5))
# The same of linear maps of the colours, without bias: along a path from 0 they grow like alpha^p.
register_network("conv_linear")(_conv_power_layers(1))
register_network("conv_quadratic")(_conv_power_layers(2))
register_network("conv_cubed_squares")(_conv_power_layers(2, 3))


@register_network("cubed_mean")
def _cubed_mean(shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """y_k = a_k m^3 + b_k with the mean m of all numbers of an image (for the pool, N images are N channels)."""
    return nn.Sequential(nn.AdaptiveAvgPool3d(1), Power(3), nn.Flatten(), nn.Linear(1, n_classes))


def draw_integer(generator: torch.Generator, low: int, high: int) -> int:
    """Return a whole number from `low` to `high` - 1."""
    return int(torch.randint(low, high, (1,), generator=generator))


# ---------------------------------------------------------------------------------------------------------------------
# What an exercise is made of
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statistic:
    """What is compared of an answer whose numbers are random: a number that hardly depends on chance.

    Args:
        claim: what must hold, in words, as the end of the sentence "This must hold: ...".
        measure: (arguments as built, value) -> the number; a function of a module, so that cases can travel.
        expected: the number for right answers.
    """

    claim: str
    measure: Callable[[dict[str, Any], Any], Any]
    expected: float


@dataclass(frozen=True, eq=False)
class Case:
    """One call of the answer: its arguments as plain data, and how close the answer must come.

    Args:
        arguments: name -> tensor, number, string, None, a description (Network, Seed, ...), or a tuple, list or dict of
            these.
        note: what is special here, in words; it stands in the message: "two images, a target for each".
        tolerance: a float is relative to the largest right number; a tensor is absolute, and has the answer's shape.
        expected: the right answer where it is known in closed form, else the reference is asked.
        statistic: what is compared in place of the numbers, if these are random.
        raises: whether the network raises an error here. The answer must let it through, and leave nothing changed.
        fault: for answers that may look in many ways and all be right, such as a plan of a network: (arguments as
            built, value) -> None if the value is right, else the name of what is wrong, and the sentence that tells it.
            Nothing is compared with the reference then; an answer is a known mistake if its faults have the same names,
            and the sentence follows the hint. A function of a module, which takes any value and raises nothing.
        calls: how often the answer is called. If more than once, the generators of the arguments go on from call to
            call, the global random state moves between them, and the answer is the tuple of all that came back; the
            properties, which are about one call, are not asked for then.
    """

    arguments: Mapping[str, Any]
    note: str
    tolerance: float | Tensor = 1e-4
    expected: Any = None
    statistic: Statistic | None = None
    raises: bool = False
    fault: Callable[[dict[str, Any], Any], tuple[str, str] | None] | None = None
    calls: int = 1


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give, and the hint for who gives it.

    Args:
        answer: the wrong function (or, in a ValueExercise, the wrong value).
        hint: what went wrong, said to "you"; it explains and does not give the code away.
        where: in which cases its numbers can be compared, if they are random in others.
    """

    answer: Any
    hint: str
    where: Callable[[Case], bool] = lambda case: True


@dataclass(frozen=True)
class Property:
    """What must hold whatever the reference says.

    Args:
        claim: in words, as the end of the sentence "This must hold: ...".
        holds: (arguments as built, value) -> whether it holds; True where it does not apply.
    """

    claim: str
    holds: Callable[[dict[str, Any], Any], bool]


@dataclass(frozen=True)
class Relation:
    """What must hold between the answers to several cases, each of which may be right by itself.

    Args:
        claim: what is wrong if it does not hold, said to "you".
        holds: (cases, answers) -> whether it holds.
    """

    claim: str
    holds: Callable[[Sequence[Case], Sequence[Any]], bool]


@dataclass(frozen=True)
class Call:
    """What is needed to run an answer, and nothing that would help to find it: plain data, for any process.

    Args:
        name: of the exercise.
        arguments: as in a :class:`Case`.
        keywords: the arguments that are given by name; the others are given by position.
        raises: whether the network raises an error here.
        calls: how often the answer is called.
    """

    name: str
    arguments: Mapping[str, Any]
    keywords: tuple[str, ...] = ()
    raises: bool = False
    calls: int = 1


@dataclass(frozen=True)
class Raised:
    """What stands for the value where the call raised, as it should, and left nothing changed."""


@dataclass(frozen=True)
class Fault:
    """Why a call gave no value that could be compared: the message, and the student's exception if there was one."""

    message: str
    error: BaseException | None = None


@dataclass(frozen=True)
class Verdict:
    """The judgement of one answer: whether it is right, what to tell, which known mistake it is, what it raised."""

    right: bool
    message: str
    mistake: str | None = None
    error: BaseException | None = None

    def report(self) -> None:
        """Print the line of success, or raise AssertionError with the message, chained to what the answer raised."""
        if not self.right:
            raise AssertionError(self.message) from self.error
        print(self.message)


@dataclass(frozen=True, repr=False)
class Exercise:
    """A function that a student writes.

    Args:
        name: the grade_id, unique in its unit.
        reference: the right function. Arguments without a default are given by position, the others by name.
        cases: (generator) -> cases. Those that do not draw from the generator are the same for every seed: first.
        mistakes: at least four, by name.
        properties: what must hold whatever the reference says.
        relations: what must hold between the answers to several cases.
    """

    name: str
    reference: Callable[..., Any]
    cases: Callable[[torch.Generator], Iterable[Case]]
    mistakes: Mapping[str, Mistake]
    properties: Sequence[Property] = field(default=())
    relations: Sequence[Relation] = field(default=())

    def __repr__(self) -> str:
        """Return the name alone: the mistakes would give the answers away."""
        return f"Exercise({self.name!r})"

    def draw(self, seed: int = 0) -> list[Case]:
        """Return the cases for `seed`, the fixed ones first; the first comes a second time, for who kept something."""
        with untouched_random_state():
            cases = list(self.cases(torch.Generator().manual_seed(seed)))
        return [*cases, replace(cases[0], note=f"{cases[0].note}, a second time")]

    def call(self, case: Case) -> Call:
        """Return what is needed to run an answer on `case`; arguments with a default are given by name, as users do."""
        parameters = inspect.signature(self.reference).parameters
        keywords = [name for name in case.arguments if parameters[name].default is not inspect.Parameter.empty]
        return Call(self.name, case.arguments, tuple(keywords), case.raises, case.calls)

    def run(self, answer: Callable[..., Any], case: Case) -> Any:
        """Call `answer` with fresh copies of the case's arguments; see :func:`run`."""
        return run(answer, self.call(case))

    def judge(self, cases: Sequence[Case], answers: Sequence[Any]) -> Verdict:
        """Compare the answers with the reference; the answer's function is never called.

        Args:
            cases: from :meth:`draw`.
            answers: for each case what came back, or a Fault; they may end early, at a Fault.
        """
        with untouched_random_state(), torch.enable_grad():
            expected = [self._expected(case) for case, _ in zip(cases, answers, strict=False)]
            for case, right, came in zip(cases, expected, answers, strict=False):
                place = f"{self.name}, {case.note}"
                if isinstance(came, Fault):
                    return Verdict(False, f"{place}: {came.message}", error=came.error)
                complaint = self._complaint(case, right, came)
                broken = self._broken_property(case, right, came)
                if complaint is None and broken is None:
                    continue
                known = self._recognise(cases, answers, expected)
                if known is not None:
                    here = f" Here, with {case.note}: {complaint}" if case.fault is not None else ""
                    return Verdict(False, f"{self.name}: {self.mistakes[known].hint}{here}", mistake=known)
                unrelated = self._broken_relation(cases, answers, expected)
                return Verdict(False, f"{place}: {' '.join(filter(None, [complaint, broken, unrelated]))}")
        if len(answers) < len(cases):
            return Verdict(False, f"{self.name}: only {len(answers)} of {len(cases)} cases were answered.")
        if unrelated := self._broken_relation(cases, answers, expected):
            return Verdict(False, f"{self.name}: {unrelated}")
        return Verdict(True, f"{self.name}: right on all {len(cases)} cases.")

    def check(self, answer: Callable[..., Any], seed: int = 0) -> None:
        """Print one line if `answer` is right, else raise AssertionError with the hint.

        Args:
            answer: the student's function, with the reference's signature.
            seed: of the cases that are drawn.

        Raises:
            AssertionError: the answer is wrong; chained to what it raised, if it did.
            NotImplementedError: that of the answer, unchanged.
        """
        if not callable(answer):
            raise AssertionError(f"{self.name}: give your function itself; {_kind(answer)} came.")
        cases = self.draw(seed)
        answers: list[Any] = []
        for case in cases:
            answers.append(self.run(answer, case))
            if isinstance(answers[-1], Fault):
                break
        self.judge(cases, answers).report()

    def _value(self, function: Callable[..., Any], case: Case) -> Any:
        call, values = self.call(case), []
        for arguments in _in_turn(call):
            positional, keywords = _split(call, arguments)
            values.append(_detached(_listed(function(*positional, **keywords))))
        return tuple(values) if case.calls > 1 else values[0]

    def _expected(self, case: Case) -> Any:
        """Return the right answer; for a statistic one of the right answers."""
        if case.raises:
            return Raised()
        return self._value(self.reference, case) if case.expected is None else case.expected

    def _measured(self, case: Case, right: Any, value: Any) -> Any:
        """Return what is compared of `value`: its statistic where the case has one and the form of `value` allows."""
        if case.statistic is None or _complaint_of_form(right, value):
            return value
        return case.statistic.measure(build(case.arguments), value)

    def _complaint(self, case: Case, right: Any, came: Any) -> str | None:
        """Return what is wrong with `came` (its form goes before its values), or None."""
        if case.fault is not None:
            found = case.fault(build(case.arguments), came)
            return None if found is None else found[1]
        if form := _complaint_of_form(right, came):
            return form
        if case.statistic is None:
            return _complaint_of_values(right, came, case.tolerance)
        wrong = _complaint_of_values(case.statistic.expected, self._measured(case, right, came), case.tolerance)
        return f"This must hold: {case.statistic.claim}" if wrong else None

    def _broken_property(self, case: Case, right: Any, came: Any) -> str | None:
        """Return the claim of the first property that does not hold, as a sentence, or None."""
        if case.raises or case.calls > 1 or _complaint_of_form(right, came):
            return None
        return next(
            (f"This must hold: {p.claim}" for p in self.properties if not p.holds(build(case.arguments), came)), None
        )

    def _broken_relation(self, cases: Sequence[Case], answers: Sequence[Any], expected: Sequence[Any]) -> str | None:
        """Return the claim of the first relation that does not hold, or None; None also if answers are missing."""
        complete = len(answers) == len(cases) and not any(map(_complaint_of_form, expected, answers))
        return next((r.claim for r in self.relations if complete and not r.holds(cases, answers)), None)

    def _recognise(self, cases: Sequence[Case], answers: Sequence[Any], expected: Sequence[Any]) -> str | None:
        """Return the name of the known mistake that the answers equal most closely, or None."""
        given = [item for item in zip(cases, answers, expected, strict=False) if not isinstance(item[1], Fault)]
        distances = {name: self._distance(mistake, given) for name, mistake in self.mistakes.items()}
        matching = {name: distance for name, distance in distances.items() if distance is not None}
        return min(matching, key=lambda name: matching[name], default=None)

    def _distance(self, mistake: Mistake, given: Sequence[tuple[Case, Any, Any]]) -> float | None:
        """Return how far the answers are from the mistake's, or None if they are not the mistake's.

        They are if they agree in every case where the mistake gives an answer, and if in at least one of these the
        mistake differs from the right answer.
        """
        total, telling = 0.0, False
        for case, came, right in given:
            if case.raises or not mistake.where(case):
                continue
            try:
                wrong = self._value(mistake.answer, case)
            except Exception:  # this mistake gives no answer here, so this case cannot tell
                continue
            if case.fault is not None:
                names = [found and found[0] for found in (case.fault(build(case.arguments), v) for v in (came, wrong))]
                if names[0] != names[1]:
                    return None
                telling = telling or names[1] is not None
                continue
            compared = (self._measured(case, right, value) for value in (came, wrong))
            distance = _agreement(*compared, _relative_tolerance(right, case.tolerance))
            if distance is None:
                return None
            total += distance
            telling = telling or self._complaint(case, right, wrong) is not None
        return total if telling else None


class Remembering(Exercise):
    """The same exercise, for many answers: what the reference and the known mistakes give in a case is computed once.

    Made by ``Remembering(**vars(exercise))``; cases count as the same only if they are one object.
    """

    def _value(self, function: Callable[..., Any], case: Case) -> Any:
        known, key = vars(self).setdefault("_known", {}), (id(function), id(case))
        if key not in known:
            known[key] = super()._value(function, case), function, case  # held, so that no id is used again
        return known[key][0]


@dataclass(frozen=True, repr=False)
class ValueExercise:
    """A number, a tuple of numbers or a choice that a student gives; worked by hand.

    Args:
        name: the grade_id, unique in its unit.
        expected: a float, a tuple of floats, a string (one of `choices`) or a frozenset of strings (some of them).
        mistakes: name -> Mistake(wrong value, hint).
        choices: what can be chosen; capitals do not matter.
        tolerance: largest absolute difference of a number.
        also: other right answers, of the same form as `expected`: where each student has a task of their own.
    """

    name: str
    expected: float | tuple[float, ...] | str | frozenset[str]
    mistakes: Mapping[str, Mistake]
    choices: tuple[str, ...] = ()
    tolerance: float = 1e-3
    also: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        """Return the name alone: the rest would give the answer away."""
        return f"ValueExercise({self.name!r})"

    def draw(self, seed: int = 0) -> list[Case]:
        """Return the one case, which has no arguments; `seed` changes nothing here."""
        return [Case({}, "by hand")]

    def call(self, case: Case) -> Call:
        """Return what is needed to run an answer that is a function: a call without arguments."""
        return Call(self.name, case.arguments)

    def run(self, answer: Any, case: Case) -> Any:
        """Return `answer`, or what it returns if it is a function without arguments; a Fault if that raises.

        Raises:
            NotImplementedError: that of the answer, unchanged.
        """
        return run(answer, self.call(case)) if callable(answer) else answer

    def judge(self, cases: Sequence[Case], answers: Sequence[Any]) -> Verdict:
        """Compare the one answer with the expected value and with the known mistakes."""
        answer = answers[0] if answers else None
        if isinstance(answer, Fault):
            return Verdict(False, f"{self.name}: {answer.message}", error=answer.error)
        value, complaint = self._read(answer)
        if complaint:
            return Verdict(False, f"{self.name}: {complaint}")
        if any(self._equal(value, right) for right in (self.expected, *self.also)):
            return Verdict(True, f"{self.name}: right.")
        for name, mistake in self.mistakes.items():
            if self._equal(value, mistake.answer):
                return Verdict(False, f"{self.name}: {mistake.hint}", mistake=name)
        return Verdict(False, f"{self.name}: {self._difference(value)}")

    def check(self, answer: Any, seed: int = 0) -> None:
        """Print one line if `answer` is right, else raise AssertionError with the hint.

        Args:
            answer: the value, or a function without arguments that returns it.
            seed: changes nothing here.

        Raises:
            AssertionError: the answer is wrong.
            NotImplementedError: that of the answer, unchanged.
        """
        cases = self.draw(seed)
        self.judge(cases, [self.run(answer, case) for case in cases]).report()

    def _read(self, answer: Any) -> tuple[Any, str | None]:
        """Return the answer in the form of `expected`, or a complaint about its form."""
        if answer is None or answer is Ellipsis:
            return None, "you have not given an answer yet."
        if isinstance(self.expected, str | frozenset):
            return self._read_choice(answer)
        count = len(self.expected) if isinstance(self.expected, tuple) else None
        if isinstance(answer, Tensor | np.ndarray):
            answer = answer.tolist()
        items = list(answer) if isinstance(answer, tuple | list) else [answer]
        items = [item.item() if isinstance(item, Tensor | np.ndarray) and item.shape == () else item for item in items]
        wrong = [i for i, item in enumerate(items) if not isinstance(item, numbers.Real) or isinstance(item, bool)]
        if wrong:
            place = f"entry {wrong[0] + 1} is " if isinstance(answer, tuple | list) else ""
            came = f"{place}{_kind(items[wrong[0]])}{'' if place else ' came'}"
            return None, f"give {'a number' if count is None else f'a tuple of {count} numbers'}; {came}."
        if len(items) != (count or 1):
            return None, f"give {count or 1} number{'s' if count else ''}; {len(items)} came."
        if not all(math.isfinite(item) for item in items):
            return None, "your answer has a NaN or an infinity in it."
        return tuple(float(item) for item in items), None

    def _read_choice(self, answer: Any) -> tuple[Any, str | None]:
        several = isinstance(self.expected, frozenset)
        items = list(answer) if several and isinstance(answer, set | frozenset | tuple | list) else [answer]
        wanted = f"give {'the names, as a set or list, out of' if several else 'one of'}: {', '.join(self.choices)}"
        if not all(type(item) is str for item in items):
            return None, f"{wanted}; {_kind(answer)} came."
        chosen = frozenset(item.strip().lower() for item in items)
        if unknown := sorted(chosen - {choice.lower() for choice in self.choices}):
            return None, f"{wanted}; {unknown[0]!r} is none of them."
        return chosen, None

    def _equal(self, value: Any, other: Any) -> bool:
        if isinstance(self.expected, str | frozenset):
            return value == frozenset(item.lower() for item in ([other] if isinstance(other, str) else other))
        other = other if isinstance(other, tuple) else (other,)
        return all(abs(a - b) <= self.tolerance for a, b in zip(value, other, strict=True))

    def _difference(self, value: Any) -> str:
        if isinstance(self.expected, str | frozenset):
            return "not right; go through the choices one by one."
        if not isinstance(self.expected, tuple):
            return "not the right number; write the formula down first, then put the numbers in."
        wrong = [
            str(i + 1) for i, (a, b) in enumerate(zip(value, self.expected, strict=True)) if abs(a - b) > self.tolerance
        ]
        verb = "is" if len(wrong) == 1 else "are"
        return f"{len(wrong)} of the {len(value)} numbers {verb} not right: number {', '.join(wrong)}."


# ---------------------------------------------------------------------------------------------------------------------
# Cases that agree in all arguments but one
# ---------------------------------------------------------------------------------------------------------------------


def pairs_but_for(
    name: str, cases: Sequence[Case], answers: Sequence[Any], tolerance: float = 1e-4
) -> Iterator[tuple[bool, bool]]:
    """Yield for each two cases that agree in all other arguments whether they agree in `name`, and in their answers.

    Args:
        name: of an argument.
        cases, answers: as a :class:`Relation` gets them. Cases that raise, or are called several times, are left out.
        tolerance: relative to the largest number: sums of the same numbers may differ in the last bits. Of a tuple the
            first part is compared.
    """
    answered = [pair for pair in zip(cases, answers, strict=True) if not pair[0].raises and pair[0].calls == 1]
    for (case, answer), (other, there) in itertools.combinations(answered, 2):
        first, second = case.arguments, other.arguments
        if name not in first or first.keys() != second.keys():
            continue
        if all(_equal(first[key], second[key]) for key in first if key != name):
            a, b = (value[0] if isinstance(value, tuple | list) else value for value in (answer, there))
            yield _equal(first[name], second[name]), bool((a - b).abs().max() <= tolerance * a.abs().max())


def decided_by(name: str, tolerance: float = 1e-4) -> Callable[[Sequence[Case], Sequence[Any]], bool]:
    """Return, for a :class:`Relation`, whether cases have equal answers just where they agree in `name`."""

    def holds(cases: Sequence[Case], answers: Sequence[Any]) -> bool:
        return all(same == near for same, near in pairs_but_for(name, cases, answers, tolerance))

    return holds


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    return type(first) is type(second) and first == second


# ---------------------------------------------------------------------------------------------------------------------
# Running an answer
# ---------------------------------------------------------------------------------------------------------------------


def build(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return fresh arguments: descriptions are built, tensors are cloned, everything else is as it is."""

    def fresh(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().clone()
        if isinstance(value, tuple | list):
            return type(value)(fresh(item) for item in value)
        if isinstance(value, dict):
            return {key: fresh(item) for key, item in value.items()}
        return value.build() if hasattr(value, "build") else value

    return {name: fresh(value) for name, value in arguments.items()}


def run(answer: Callable[..., Any], call: Call) -> Any:
    """Call `answer` with fresh copies of the arguments; return what came back, Raised or a Fault.

    The global random state is as before.

    Raises:
        NotImplementedError: that of the answer, unchanged.
    """
    values: list[Any] = []
    with untouched_random_state():
        for arguments in _in_turn(call):
            values.append(_run_once(answer, call, arguments))
            if isinstance(values[-1], Fault):
                return values[-1]
    return tuple(values) if call.calls > 1 else values[0]


def _run_once(answer: Callable[..., Any], call: Call, arguments: dict[str, Any]) -> Any:
    positional, keywords = _split(call, arguments)
    called = ", ".join([*list(arguments)[: len(positional)], *(f"{name}=..." for name in keywords)])
    with untouched_random_state():
        watch = _Watch(arguments)
        value = _attempt(answer, f"{call.name}({called})", positional, keywords)
        if call.raises and isinstance(value, Fault) and value.error is not None:
            value = Raised()
        changed = None if isinstance(value, Fault) else watch.change()
    if type(value) in (tuple, list) and len(value) > LONGEST:
        return Fault(f"your function returned {len(value)} values; no answer here has more than {LONGEST}.")
    try:
        return Fault(changed) if changed else _detached(value)
    except RecursionError:
        return Fault("your function returned lists within lists, too many to look into: is a list inside itself?")


def _split(call: Call, arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that are given by position, and those that are given by name."""
    positional = [value for name, value in arguments.items() if name not in call.keywords]
    return positional, {name: arguments[name] for name in arguments if name in call.keywords}


def _in_turn(call: Call) -> Iterator[dict[str, Any]]:
    """Yield fresh arguments for each call of a case: the generators of the first call go on, the global one as well."""
    running: dict[str, Any] = {}
    for _ in range(call.calls):
        arguments = {**build(call.arguments), **running}
        yield arguments
        running = {name: value for name, value in arguments.items() if isinstance(value, torch.Generator)}
        if call.calls > 1:  # to a state that has nothing to do with the one before
            torch.manual_seed(int(torch.randint(2**62, (1,))))


def _attempt(answer: Callable[..., Any], call: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Return what the answer returns, or a Fault; `call` is how the call is written, for the message."""
    try:
        inspect.signature(answer).bind(*positional, **keywords)
    except TypeError:
        return Fault(f"your function is called as {call}, and yours takes {_signature(answer)}.")
    except ValueError:  # built-in functions have no signature
        pass
    try:
        return _listed(answer(*positional, **keywords))
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:  # exit() in an answer ends the answer, not the check
        return Fault(f"your function raised {_describe_error(error, answer)}", error)


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Put the global random states of torch, numpy and Python, autograd's switch and the default dtype back."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  (the global one is meant)
    gradients, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)


def _random_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), name, keys.tobytes(), *rest, random.getstate()


class _Watch:
    """Remembers what an answer may not change: the arguments, and the state around it."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        parts = [(name, part) for name, value in arguments.items() for part in _items(value)]
        self.tensors = [
            (name, part, part.clone(), part.requires_grad) for name, part in parts if isinstance(part, Tensor)
        ]
        self.containers = [
            (name, value, _contents(value)) for name, value in arguments.items() if isinstance(value, list | dict)
        ]
        self.models = [
            (
                name,
                part,
                _settings(part),
                [weight.detach().clone() for weight in part.parameters()],
                [buffer.detach().clone() for buffer in part.buffers()],
            )
            for name, part in parts
            if isinstance(part, nn.Module)
        ]
        given = any(isinstance(value, torch.Generator) for value in arguments.values())
        self.random_state = _random_state() if given else None
        self.gradients = torch.is_grad_enabled()

    def change(self) -> str | None:
        """Return what was changed, as a sentence, or None."""
        for name, tensor, before, requires_grad in self.tensors:
            if not _same(tensor, before):
                return f"your function changed `{name}` itself, in place. Work on a copy."
            if tensor.requires_grad != requires_grad:
                return (
                    f"your function switched on requires_grad on the caller's `{name}`. "
                    f"Work on a copy, which has its own: a detached clone."
                )
        for name, container, before in self.containers:
            after = _contents(container)
            if len(after) != len(before) or any(now is not then for now, then in zip(after, before, strict=True)):
                kind = type(container).__name__
                return f"your function changed the {kind} `{name}` itself, in place. Work on a copy."
        for name, model, settings, weights, buffers in self.models:
            if change := _difference_of_settings(settings, _settings(model)):
                return (
                    f"your function left `{name}` changed: {change}. Leave it as you found it, and load every network "
                    f"again that you have given to your function."
                )
            if not all(map(_same, model.parameters(), weights)):
                return f"your function changed the weights of `{name}`. Leave them as you found them."
            if not all(map(_same, model.buffers(), buffers)):
                return (
                    f"your function changed the running statistics of `{name}`, as batch norm does in train mode. "
                    "Leave them as you found them."
                )
        if self.random_state is not None and _random_state() != self.random_state:
            return (
                "your function drew from the global random state, although a generator was given. "
                "Draw all noise from `generator`."
            )
        if torch.is_grad_enabled() != self.gradients:
            return "your function left autograd switched off (or on) for everyone after it."
        return None


def _items(value: Any) -> list[Any]:
    """Return what a tuple, list or dict holds; a list of the value itself for all else."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple | list) else [value]


def _contents(container: list | dict) -> list[Any]:
    """Return the items of a list, or the keys and values of a dict."""
    if isinstance(container, dict):
        return [part for item in container.items() for part in item]
    return list(container)


def _same(now: Tensor, before: Tensor) -> bool:
    return now.dtype == before.dtype and now.shape == before.shape and torch.equal(now, before)


def _settings(model: nn.Module) -> dict[tuple[str, str], Any]:
    """Return everything about a model that is no weight: layers, hooks, training mode, requires_grad, attributes."""
    settings: dict[tuple[str, str], Any] = {}
    for name, module in model.named_modules():
        settings[name, "layer"] = id(module)
        hooks = (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
        settings[name, "hooks"] = sum(len(registered) for registered in hooks)
        for key, value in vars(module).items():
            if not key.startswith("_"):
                settings[name, key] = value if isinstance(value, bool | int | float | str | tuple) else id(value)
    settings.update({(name, "requires_grad"): p.requires_grad for name, p in model.named_parameters()})
    return settings


def _difference_of_settings(before: dict[tuple[str, str], Any], after: dict[tuple[str, str], Any]) -> str | None:
    for key in before | after:
        if before.get(key) != after.get(key):
            name, what = key
            where = f"layer {name!r}" if name else "the model"
            if what == "hooks" and (after.get(key) or 0) < (before.get(key) or 0):
                return f"a hook that was on {where} before is gone"
            modes = "train instead of eval" if after.get(key) else "eval instead of train"
            return {
                "hooks": f"a hook is still on {where}",
                "training": f"{where} is in another mode ({modes})",
                "layer": f"{where} is another one now",
                "requires_grad": f"requires_grad of the weight {name!r} was switched",
            }.get(what, f"the attribute `{what}` of {where}")
    return None


def _signature(function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters
    return f"({', '.join(parameters)})" if parameters else "no arguments"


# What some messages of torch mean: a part of the message -> the meaning.
_NO_TUPLE = "a backward hook has to return a tuple, with one gradient for each input of its layer: (gradient,)."
MEANINGS = {
    "has changed the size of value": _NO_TUPLE,
    "invalid number of grad_input": _NO_TUPLE,
    "does not require grad": (
        "nothing on the way to the score asks for gradients. Does the tensor by which you differentiate have "
        "requires_grad before the network is called, and are gradients not switched off (torch.no_grad)?"
    ),
}


def _describe_error(error: BaseException, function: Callable[..., Any]) -> str:
    """Return the error's type and first line, with the last line of the student's cell or file that it went through."""
    text = (str(error).strip().splitlines() or [""])[0][:200]
    code = getattr(inspect.unwrap(function), "__code__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    place = f" in line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    meaning = next((f" -- {meaning}" for part, meaning in MEANINGS.items() if part in text), "")
    return f"{type(error).__name__}{f' ({text})' if text else ''}{place}{meaning}"


# ---------------------------------------------------------------------------------------------------------------------
# Comparing values. A value is a tensor, a number, or a tuple, list or dict of values.
# ---------------------------------------------------------------------------------------------------------------------

# Only exact types count: a subclass could lie in its comparisons.
TENSORS = (Tensor, nn.Parameter)
DICTS = (dict, OrderedDict, defaultdict, Counter)
NUMBERS = (bool, int, float, np.float32, np.float64, np.int32, np.int64, np.bool_)
LONGEST = 100_000  # entries of a tuple or list that an answer may have: more would only take time


def _listed(value: Any) -> Any:
    """Return what a function yields, step by step, as a list; any other value as it is."""
    return list(itertools.islice(value, LONGEST + 1)) if inspect.isgenerator(value) else value


def _detached(value: Any) -> Any:
    """Return the value without its graph, copied, so that nobody changes it later; of a network its state."""
    if isinstance(value, nn.Module):
        state = {name: Tensor.clone(Tensor.detach(tensor)) for name, tensor in nn.Module.state_dict(value).items()}
        learning = sum(parameter.requires_grad for parameter in value.parameters())
        return {**state, "training": value.training, "number of parameters with requires_grad": learning}
    if type(value) in TENSORS:
        # Not value.detach().clone(): methods of a single tensor can be replaced, those of the class are the real ones.
        return Tensor.clone(Tensor.detach(value))
    if type(value) in (tuple, list):
        return type(value)(_detached(item) for item in value)
    if type(value) in DICTS:
        return {key: _detached(item) for key, item in value.items()}
    return value


def _leaves(value: Any) -> list[Tensor] | None:
    """Return the tensors and numbers in a value, in order, or None if there is something else in it."""
    if type(value) in TENSORS:
        return [value] if value.layout == torch.strided and value.device.type == "cpu" else None
    if type(value) in NUMBERS:
        return [torch.tensor(float(value), dtype=torch.float64)]
    if (parts := _parts(value)) is None:
        return None
    leaves = [_leaves(item) for _, item in parts]
    return None if None in leaves else [leaf for found in leaves for leaf in found or []]


def _parts(value: Any) -> list[tuple[str, Any]] | None:
    """Return the parts of a dict, tuple or list in order, each with where it is in words; None for all else."""
    if type(value) is dict:
        return [(f"at key {key!r}", value[key]) for key in sorted(value, key=repr)]
    if type(value) in (tuple, list):
        return [(f"value {i} of {len(value)}", item) for i, item in enumerate(value, start=1)]
    return None


def _kind(value: Any) -> str:
    if type(value) in TENSORS:
        return f"a tensor of shape {tuple(value.shape)}"
    return (
        "None"
        if value is None
        else f"a value of type {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")
    )


def _complaint_of_form(right: Any, came: Any, where: str = "") -> str | None:
    """Return what is wrong with type, dtype, shape or finiteness; `where` says which part of the answer this is."""
    if isinstance(right, Raised):
        return None if type(came) is Raised else "the network raises an error here. Your function must let it through."
    if came is None:
        return f"you returned None{where}. Does your function end with a return statement?"
    if isinstance(right, Tensor):
        return _complaint_of_tensor(right, came, where)
    if isinstance(right, numbers.Real):
        if type(came) not in NUMBERS and not (type(came) in TENSORS and came.numel() == 1):
            return f"you returned {_kind(came)}{where}; a number is asked for."
        return (
            None if math.isfinite(float(came)) else f"you returned {float(came)}{where}: look for a division by zero."
        )
    if isinstance(right, dict):
        if type(came) is not dict:
            return f"you returned {_kind(came)}{where}; a dict is asked for."
        if came.keys() != right.keys():
            return f"the keys of your dict{where} are not those that are asked for; you have {list(came)[:8]}."
        parts = [(right[key], came[key], f" (at key {key!r})") for key in right]
    else:
        if type(came) not in (tuple, list):
            return f"you returned {_kind(came)}{where}; a tuple of {len(right)} values is asked for."
        if len(came) != len(right):
            return f"you returned {len(came)} values{where}; {len(right)} are asked for."
        parts = [(a, b, f" (value {i + 1} of {len(right)})") for i, (a, b) in enumerate(zip(right, came, strict=True))]
    return next((c for a, b, place in parts if (c := _complaint_of_form(a, b, place))), None)


def _complaint_of_tensor(right: Tensor, came: Any, where: str) -> str | None:
    if isinstance(came, np.ndarray):
        return f"you returned a numpy array{where}; return a torch tensor, and stay in torch all the way."
    if type(came) not in TENSORS:
        return f"you returned {_kind(came)}{where}; return a plain torch tensor."
    if came.layout != torch.strided:
        return f"you returned a sparse tensor{where}; return a dense one."
    if came.device.type != "cpu":
        return f"your answer{where} is on the device {came.device}; the arguments are on the CPU, and so is the answer."
    if came.shape != right.shape:
        return f"the shape of your answer{where} is {tuple(came.shape)}; it should be {tuple(right.shape)}."
    if came.dtype != right.dtype:
        return f"the dtype of your answer{where} is {came.dtype}; it should be {right.dtype}."
    if came.is_floating_point() and not came.isfinite().all():
        share = 100 * (~came.isfinite()).double().mean().item()
        return f"{share:.0f} % of your numbers{where} are NaN or infinite: look for a division by zero."
    return None


def _complaint_of_values(right: Any, came: Any, tolerance: float | Tensor) -> str | None:
    if (leaves := _leaves(right)) is None:  # Raised: nothing to compare
        return None
    for place, expected, given in zip(_places(right), leaves, _leaves(came) or [], strict=True):
        difference = (given.double() - expected.double()).abs()
        if not expected.is_floating_point():
            off = difference > 0
        elif isinstance(tolerance, Tensor):
            off = ~(difference <= tolerance)  # so that NaN is off
        else:
            off = ~(difference <= max(tolerance * _largest(expected), 1e-7))
        if off.any():
            return _describe_difference(place, expected, difference, off)
    return None


def _places(value: Any) -> list[str]:
    """Return for each of `_leaves` where it is in a value of several parts: " (value 2 of 3, value 1 of 4)", or ""."""

    def inside(value: Any, way: tuple[str, ...]) -> list[str]:
        if (parts := _parts(value)) is None:
            return [f" ({', '.join(way)})" if way else ""]
        return [place for step, item in parts for place in inside(item, (*way, step))]

    return inside(value, ())


def _describe_difference(place: str, expected: Tensor, difference: Tensor, off: Tensor) -> str:
    """Say where and by how much an answer is off, in relation to the largest right number, never a right number."""
    if not off.dim():
        return f"the number is not right{place}."
    verb = "is" if off.sum() == 1 else "are"
    text = f"shape and dtype are right, but {off.sum().item()} of the {off.numel()} numbers {verb} not{place}."
    worst = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), off.shape))
    text += f" The largest difference is at index {worst}"
    if expected.is_floating_point() and _largest(expected) > 0:  # a share says nothing about places and counts
        text += f": {100 * difference.max().item() / _largest(expected):.3g} % of the largest right number"
    return f"{text}."


def _largest(values: Tensor) -> float:
    return values.double().abs().max().item() if values.numel() else 0.0


def _relative_tolerance(right: Any, tolerance: float | Tensor) -> float:
    """Return the tolerance as a share of the largest right number."""
    if not isinstance(tolerance, Tensor):
        return tolerance
    return _largest(tolerance) / max([1e-12, *map(_largest, _leaves(right) or [])])


def _agreement(came: Any, wrong: Any, tolerance: float) -> float | None:
    """Return the root mean square difference of two values as a share of the largest number; None if they disagree."""
    first, second = _leaves(came), _leaves(wrong)
    if first is None or second is None or [a.shape for a in first] != [b.shape for b in second]:
        return None
    if _places(came) != _places(wrong):  # the same numbers at other keys
        return None
    total = 0.0
    for a, b in zip(first, second, strict=True):
        if a.dtype != b.dtype or not torch.equal(a.isfinite(), b.isfinite()):
            return None
        a, b = a.double().nan_to_num(), b.double().nan_to_num()
        scale = max(_largest(a), _largest(b), 1e-12)
        if (a - b).abs().gt(max(tolerance * scale, 1e-7)).any():
            return None
        total += ((a - b) / scale).square().mean().sqrt().item() if a.numel() else 0.0
    return total
