"""What `core` tells about an answer (on toy exercises), and that every exercise of every unit diagnoses."""

from __future__ import annotations

import functools
import itertools
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jupytext
import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor, nn

from course_utils import exercises
from course_utils.exercises.core import (
    NETWORKS,
    Case,
    Exercise,
    Fault,
    Mistake,
    Network,
    Property,
    Raised,
    Relation,
    Seed,
    Statistic,
    ValueExercise,
    register_network,
)

torch.set_num_threads(1)


def message_of(exercise: Exercise | ValueExercise, answer: Any, seed: int = 0) -> str:
    with pytest.raises(AssertionError) as caught:
        exercise.check(answer, seed)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# A toy exercise: y = 3 x + shift, with a network that only stands there to be spoilt
# ---------------------------------------------------------------------------------------------------------------------


def triple(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    return 3 * inputs + shift


def toy_cases(generator: torch.Generator) -> Iterator[Case]:
    network = Network("conv", 1)
    yield Case({"model": network, "inputs": torch.tensor([[1111.5, -2222.5], [0.0, 4444.5]])}, "a fixed case")
    drawn = torch.rand(2, 3, generator=generator)
    yield Case({"model": network, "inputs": drawn, "shift": 1.0, "generator": Seed(3)}, "a drawn case")


def returning(change: Callable[[Tensor], Any]) -> Callable[..., Any]:
    """Return an answer that gives `change(the right result)`."""
    return lambda model, inputs, shift=0.0, generator=None: change(triple(model, inputs, shift))


def doing(change: Callable[[nn.Sequential, Tensor], Any]) -> Callable[..., Tensor]:
    """Return an answer that is right, and does `change(model, inputs)` before it ends."""

    def answer(model: nn.Sequential, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
        right = triple(model, inputs.detach().clone(), shift)
        change(model, inputs)
        return right

    return answer


def raising(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
    raise KeyError("no such thing")


def not_yet(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
    raise NotImplementedError("write me")


TOY = Exercise(
    name="triple",
    reference=triple,
    cases=toy_cases,
    mistakes={
        "double": Mistake(lambda model, inputs, shift=0.0, generator=None: 2 * inputs + shift, "you doubled."),
        "no_shift": Mistake(lambda model, inputs, shift=0.0, generator=None: 3 * inputs, "you forgot the shift."),
        "one_more": Mistake(returning(lambda right: right[None]), "you added a dimension."),
        "raises_at_times": Mistake(
            lambda model, inputs, shift=0.0, generator=None: 1 / 0 if shift else 5 * inputs, "you took five."
        ),
    },
)


class Agreeable(Tensor):
    """A tensor that says yes to every comparison."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return True


class AlwaysEqual:
    shape, dtype = (2, 2), torch.float32

    def __eq__(self, other: object) -> bool:
        return True

    def __sub__(self, other: object) -> float:
        return 0.0

    __hash__ = object.__hash__


def disguised(values: Tensor) -> Tensor:
    """Return the same tensor with methods that give something else."""
    for method in ("detach", "clone", "double", "__sub__"):
        setattr(values, method, lambda *arguments: AlwaysEqual())
    return values


FAULTS: dict[str, tuple[Any, str]] = {
    "no function": (5, r"give your function itself; a value of type int came"),
    "too few arguments": (lambda model: model, r"called as triple\(model, inputs\), and yours takes \(model\)"),
    "an option is missing": (
        lambda model, inputs: 3 * inputs,
        r"triple\(model, inputs, shift=\.\.\., generator=\.\.\.",
    ),
    "error that torch words badly": (
        doing(lambda model, inputs: torch.ones(2).sum().backward()),
        r"does not require grad.*: torch.ones\(2\).* -- nothing on the way to the score asks for gradients",
    ),
    "raises": (raising, r"raised KeyError \('no such thing'\) in line \d+: raise KeyError"),
    "returns None": (returning(lambda right: None), r"you returned None.*return statement"),
    "numpy": (returning(lambda right: right.numpy()), r"numpy array; return a torch tensor"),
    "list": (returning(lambda right: right.tolist()), r"a value of type list; return a plain torch tensor"),
    "subclass": (returning(lambda right: right.as_subclass(Agreeable)), r"Agreeable; return a plain torch tensor"),
    "equal to everything": (returning(lambda right: AlwaysEqual()), r"AlwaysEqual; return a plain torch tensor"),
    "dtype": (returning(lambda right: right.double()), r"dtype .* is torch.float64; it should be torch.float32"),
    "shape": (returning(lambda right: right.flatten()), r"shape of your answer is \(4,\); it should be \(2, 2\)"),
    "NaN": (returning(lambda right: right / right * right), r"25 % of your numbers are NaN or infinite"),
    "infinite": (returning(lambda right: 1 / right), r"25 % of your numbers are NaN or infinite"),
    "inputs in place": (doing(lambda model, inputs: inputs.mul_(2)), r"changed `inputs` itself, in place"),
    "inputs reshaped": (doing(lambda model, inputs: inputs.unsqueeze_(0)), r"changed `inputs` itself, in place"),
    "requires_grad": (doing(lambda model, inputs: inputs.requires_grad_()), r"requires_grad on the caller's `inputs`"),
    "train mode": (doing(lambda model, inputs: model.train()), r"another mode \(train instead of eval\)"),
    "forward hook": (doing(lambda model, inputs: model[1].register_forward_hook(print)), r"still on layer '1'"),
    "backward hook": (doing(lambda model, inputs: model[4].register_full_backward_hook(print)), r"still on layer '4'"),
    "layer replaced": (
        doing(lambda model, inputs: model.__setitem__(1, nn.ReLU())),
        r"layer '1' is another one now",
    ),
    "layer patched": (doing(lambda model, inputs: setattr(model[1], "forward", torch.relu)), r"attribute `forward`"),
    "setting changed": (doing(lambda model, inputs: setattr(model[1], "inplace", True)), r"attribute `inplace`"),
    "inputs in another dtype": (
        doing(lambda model, inputs: setattr(inputs, "data", inputs.double())),
        r"changed `inputs` itself, in place",
    ),
    "methods replaced": (returning(lambda right: disguised(torch.zeros_like(right))), r"3 of the 4 numbers are not"),
    "attribute added": (doing(lambda model, inputs: setattr(model[1], "saved", inputs)), r"attribute `saved`"),
    "weights changed": (doing(lambda model, inputs: model[0].weight.data.mul_(2)), r"changed the weights of `model`"),
    "weights frozen": (doing(lambda model, inputs: model.requires_grad_(False)), r"weight '0.weight' was switched"),
    "torch's random state": (doing(lambda model, inputs: torch.rand(1)), r"a drawn case.*global random state"),
    "numpy's random state": (
        doing(lambda model, inputs: np.random.rand()),  # noqa: NPY002  (this is the fault)
        r"a drawn case.*global random state",
    ),
    "autograd off": (doing(lambda model, inputs: torch.set_grad_enabled(False)), r"left autograd switched off"),
    "known mistake of form": (returning(lambda right: right[None]), r"^triple: you added a dimension\.$"),
    "known mistake of value": (TOY.mistakes["no_shift"].answer, r"^triple: you forgot the shift\.$"),
    "mistake that gives no answer": (
        lambda model, inputs, shift=0.0, generator=None: 5 * inputs,
        r"^triple: you took five\.$",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_own_message(fault: str) -> None:
    answer, pattern = FAULTS[fault]
    assert re.search(pattern, message_of(TOY, answer))


RIGHT_ANSWERS: dict[str, Callable[..., Any]] = {
    "graph attached": returning(lambda right: right * torch.ones(1, requires_grad=True)),
    "parameter": returning(nn.Parameter),
    "not contiguous": returning(lambda right: right.t().contiguous().t()),
    "gradients left in the weights": doing(lambda model, inputs: model(torch.ones(1, 3, 8, 8)).sum().backward()),
    "requires_grad on a copy": doing(lambda model, inputs: inputs.clone().requires_grad_()),
    "hook removed": doing(lambda model, inputs: model[1].register_forward_hook(print).remove()),
    "rounded": returning(lambda right: right * (1 + 1e-6)),
}


@pytest.mark.parametrize("name", RIGHT_ANSWERS)
def test_right_answers_are_accepted_in_any_form(name: str) -> None:
    TOY.check(RIGHT_ANSWERS[name])


def test_success_is_one_printed_line(capsys: pytest.CaptureFixture[str]) -> None:
    TOY.check(triple)
    assert capsys.readouterr().out == "triple: right on all 2 cases.\n"


def test_unsolved_exercise_raises_its_own_not_implemented_error() -> None:
    with pytest.raises(NotImplementedError, match=r"^write me$"):
        TOY.check(not_yet)


def test_students_exception_is_chained() -> None:
    with pytest.raises(AssertionError) as caught:
        TOY.check(raising)
    assert isinstance(caught.value.__cause__, KeyError)


def test_unknown_wrong_values_are_located() -> None:
    def answer(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
        result = triple(model, inputs, shift)
        result[1, 1] *= 0.5
        return result

    assert message_of(TOY, answer) == (
        "triple, a fixed case: shape and dtype are right, but 1 of the 4 numbers are not. "
        "The largest difference is at index (1, 1): 50 % of the largest right number."
    )


@pytest.mark.parametrize(
    "change", [torch.zeros_like, torch.neg, torch.square, lambda right: right[0], lambda right: None]
)
def test_messages_never_show_right_values(change: Callable[[Tensor], Any]) -> None:
    message = message_of(TOY, returning(change))
    assert not re.search(r"3334|6667|13333", message)


def test_cases_are_fixed_by_the_seed_and_the_first_by_nothing() -> None:
    def draw(seed: int) -> list[Tensor]:
        return [case.arguments["inputs"] for case in TOY.draw(seed)]

    assert torch.equal(draw(1)[1], draw(1)[1])
    assert not torch.equal(draw(1)[1], draw(2)[1])
    assert torch.equal(draw(1)[0], draw(2)[0])


def test_check_leaves_the_random_state_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    TOY.check(lambda model, inputs, shift=0.0, generator=None: triple(model, inputs, shift))
    message_of(TOY, doing(lambda model, inputs: torch.manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), before)


def test_reference_never_sees_what_the_answer_touched() -> None:
    seen: list[Tensor] = []

    def reference(inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return 3 * inputs

    exercise = Exercise("e", reference, lambda generator: [Case({"inputs": torch.ones(2)}, "ones")], {})
    message_of(exercise, lambda inputs: inputs.zero_())
    exercise.judge(exercise.draw(), [exercise.run(lambda inputs: 3 * inputs.zero_(), exercise.draw()[0])])
    exercise.judge(exercise.draw(), [torch.zeros(2)])
    assert seen and all(torch.equal(inputs, torch.ones(2)) for inputs in seen)


def test_changing_the_returned_tensor_later_changes_nothing() -> None:
    kept: list[Tensor] = []

    def answer(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
        for tensor in kept:
            tensor.zero_()
        kept.append(triple(model, inputs, shift))
        return kept[-1]

    TOY.check(answer)


def test_judge_works_on_values_alone_and_never_calls_an_answer() -> None:
    cases = TOY.draw(4)
    values = [
        torch.from_numpy((3 * case.arguments["inputs"] + case.arguments.get("shift", 0)).numpy()) for case in cases
    ]
    assert TOY.judge(cases, values).right
    assert TOY.judge(cases, [2 * values[0] / 3, values[1]]).mistake is None
    assert TOY.judge(cases, [values[0], values[1] - 1]).mistake == "no_shift"


@pytest.mark.parametrize("answers", [[], [torch.zeros(2, 2)], [Fault("timed out")]])
def test_missing_answers_are_never_right(answers: list[Any]) -> None:
    assert not TOY.judge(TOY.draw(), answers).right


def test_wrong_value_goes_before_a_later_fault() -> None:
    def answer(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
        return 2 * inputs if not shift else raising(model, inputs)

    assert message_of(TOY, answer) == "triple: you doubled."


def single(reference: Callable[..., Any], tolerance: Any = 1e-4, **fields: Any) -> Exercise:
    """Return an exercise with one case, inputs = (1, 2, 100)."""
    case = Case({"inputs": torch.tensor([1.0, 2.0, 100.0])}, "one", tolerance)
    return Exercise("e", reference, lambda generator: [case], fields.pop("mistakes", {}), **fields)


def test_tolerance_as_a_number_is_relative_to_the_largest_value() -> None:
    exercise = single(lambda inputs: inputs, 0.01)
    exercise.check(lambda inputs: inputs + 0.99)
    assert "1 of the 3" in message_of(exercise, lambda inputs: inputs * 1.02)


def test_tolerance_as_a_tensor_is_absolute_for_each_number() -> None:
    exercise = single(lambda inputs: inputs, torch.tensor([0.0, 0.5, 5.0]))
    exercise.check(lambda inputs: inputs + torch.tensor([0.0, 0.4, -4.0]))
    assert "(0,)" in message_of(exercise, lambda inputs: inputs + torch.tensor([0.1, 0.0, 0.0]))


def test_integers_must_be_equal() -> None:
    exercise = single(lambda inputs: inputs.long() * 1000)
    assert "1 of the 3" in message_of(exercise, lambda inputs: inputs.long() * 1000 + torch.tensor([0, 1, 0]))


NESTED_FAULTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "one value": (lambda inputs: inputs, r"a tensor of shape \(3,\); a tuple of 3 values"),
    "too few": (lambda inputs: (inputs, 3), r"2 values; 3 are asked for"),
    "shape of a part": (lambda inputs: (inputs[:2], 3, {"a": 1.0}), r"\(value 1 of 3\) is \(2,\)"),
    "number": (lambda inputs: (inputs, "3", {"a": 1.0}), r"type str \(value 2 of 3\); a number"),
    "NaN number": (lambda inputs: (inputs, float("nan"), {"a": 1.0}), r"nan \(value 2 of 3\)"),
    "no dict": (lambda inputs: (inputs, 3, [1.0]), r"type list \(value 3 of 3\); a dict"),
    "keys": (lambda inputs: (inputs, 3, {"b": 1.0}), r"keys of your dict \(value 3 of 3\).*\['b'\]"),
    "None inside": (lambda inputs: (inputs, 3, {"a": None}), r"None \(at key 'a'\)"),
    "value inside": (lambda inputs: (inputs, 3, {"a": 1.5}), r"1 of the 1 numbers"),
}


@pytest.mark.parametrize("fault", NESTED_FAULTS)
def test_answers_of_several_parts_are_checked_part_by_part(fault: str) -> None:
    exercise = single(lambda inputs: (inputs, 3, {"a": 1.0}))
    exercise.check(lambda inputs: [inputs, 3.0, {"a": np.float64(1)}])
    answer, pattern = NESTED_FAULTS[fault]
    assert re.search(pattern, message_of(exercise, answer))


def test_closest_of_two_matching_mistakes_is_told() -> None:
    mistakes = {
        "near": Mistake(lambda inputs: 2 * inputs + 3, "near."),
        "exact": Mistake(lambda inputs: 2 * inputs, "exact."),
    }
    exercise = single(lambda inputs: inputs, 0.05, mistakes=mistakes)
    assert message_of(exercise, lambda inputs: 2 * inputs) == "e: exact."


def test_mistake_that_is_right_in_all_cases_is_never_told() -> None:
    exercise = single(
        lambda inputs: inputs,
        mistakes={"none": Mistake(lambda inputs: inputs.clone(), "nothing.")},
        properties=[Property("never.", lambda arguments, value: False)],
    )
    assert message_of(exercise, lambda inputs: inputs) == "e, one: This must hold: never."


def test_broken_property_is_told_with_wrong_values() -> None:
    exercise = single(
        lambda inputs: inputs,
        properties=[Property("it is positive.", lambda arguments, value: bool((value > 0).all()))],
    )
    assert message_of(exercise, lambda inputs: -inputs).endswith(
        "of the largest right number. This must hold: it is positive."
    )


def mean(arguments: dict[str, Any], value: Tensor) -> float:
    return value.mean().item()


def by_mean(**fields: Any) -> Exercise:
    """Return an exercise whose answer is a tensor of shape (2,) with the mean 1: its numbers do not matter."""
    case = Case({"inputs": torch.ones(2)}, "one", 0.1, statistic=Statistic("the mean is 1.", mean, 1.0))
    return Exercise("e", lambda inputs: inputs, lambda generator: [case], fields.pop("mistakes", {}), **fields)


def test_statistic_is_compared_in_place_of_the_numbers() -> None:
    by_mean().check(lambda inputs: torch.tensor([-4.0, 6.05]))
    assert message_of(by_mean(), lambda inputs: torch.tensor([1.0, 1.4])) == "e, one: This must hold: the mean is 1."


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_statistic_that_is_no_number_is_wrong(value: float) -> None:
    statistic = Statistic("c.", lambda arguments, value: (value.square() - value.square()).mean().item(), 0.0)
    case = Case({"inputs": torch.ones(2)}, "one", statistic=statistic)
    exercise = Exercise("e", lambda inputs: inputs, lambda generator: [case], {})
    assert not exercise.judge([case], [torch.full((2,), value)]).right


def test_form_goes_before_the_statistic() -> None:
    assert "the shape of your answer" in message_of(by_mean(), lambda inputs: torch.ones(3))


def test_mistake_is_known_by_the_statistic() -> None:
    mistakes = {"three": Mistake(lambda inputs: torch.tensor([3.0, 3.0]), "three.")}
    assert message_of(by_mean(mistakes=mistakes), lambda inputs: torch.tensor([1.0, 5.0])) == "e: three."


def not_equal(cases: list[Case], answers: list[Tensor]) -> bool:
    return not torch.equal(*answers)


def test_relation_between_right_answers_is_demanded() -> None:
    cases = [Case({"inputs": torch.ones(1) * number}, "n", tolerance=1.0) for number in (1, 2)]
    relation = Relation("your numbers are fixed.", not_equal)
    exercise = Exercise("e", lambda inputs: inputs, lambda generator: cases, {}, relations=[relation])
    exercise.check(lambda inputs: inputs)
    assert message_of(exercise, lambda inputs: 1.5 * torch.ones(1)) == "e: your numbers are fixed."
    assert message_of(exercise, lambda inputs: torch.zeros(1) - 5).endswith("right number. your numbers are fixed.")


FAILING = Exercise(
    "failing",
    lambda model, inputs: model(inputs),
    lambda generator: [Case({"model": Network("conv"), "inputs": torch.ones(1, 2, 8, 8)}, "two", raises=True)],
    {"zero": Mistake(lambda model, inputs: torch.zeros(1), "zero.")},
    properties=[Property("never.", lambda arguments, value: False)],
)


def test_answer_that_raises_where_it_must_is_right() -> None:
    FAILING.check(lambda model, inputs: model(inputs))


def test_what_is_left_after_an_error_is_told() -> None:
    def answer(model: nn.Sequential, inputs: Tensor) -> Tensor:
        hook = model[1].register_forward_hook(print)
        scores = model(inputs)
        hook.remove()
        return scores

    message = message_of(FAILING, answer)
    assert message.startswith("failing, two: your function left `model` changed: a hook is still on layer '1'.")


@pytest.mark.parametrize("value", [torch.zeros(1), None, AlwaysEqual()])
def test_value_where_an_error_is_asked_for_is_wrong(value: Any) -> None:
    assert message_of(FAILING, lambda model, inputs: value).endswith("Your function must let it through.")


def test_wrong_signature_is_no_error_of_the_network() -> None:
    assert "yours takes (model)" in message_of(FAILING, lambda model: model)


@pytest.mark.parametrize("exercise", [TOY, ValueExercise("pair", (1.0, -0.5), {})])
def test_repr_is_the_name_and_gives_no_answer_away(exercise: Exercise | ValueExercise) -> None:
    assert repr(exercise) == f"{type(exercise).__name__}({exercise.name!r})"


def test_mistake_counts_only_where_it_can_be_compared() -> None:
    mistake = Mistake(lambda inputs: 2 * inputs, "double.", where=lambda case: False)
    exercise = single(lambda inputs: inputs, mistakes={"double": mistake})
    assert exercise.judge(exercise.draw(), [torch.tensor([2.0, 4.0, 200.0])]).mistake is None


# ---------------------------------------------------------------------------------------------------------------------
# Networks, values, loading
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_network_is_the_same_each_time_it_is_built(kind: str) -> None:
    inputs = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second, other = (Network(kind, seed).build() for seed in (1, 1, 2))
    assert torch.equal(first(inputs.clone()), second(inputs.clone()))
    assert not torch.equal(first(inputs.clone()), other(inputs.clone()))


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_network_is_in_eval_mode_and_gives_class_scores(kind: str) -> None:
    model = Network(kind, 1, (2, 6, 10), n_classes=4).build()
    assert not model.training
    assert model(torch.rand(3, 2, 6, 10)).shape == (3, 4)


def test_building_a_network_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    Network("conv").build()
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_network_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"kind is 'transformer'; known kinds: .*conv"):
        Network("transformer").build()


def test_network_kind_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'conv' is registered already"):
        register_network("conv")(lambda shape, n_classes: nn.Sequential())


PAIR = ValueExercise("pair", (1.0, -0.5), {"sign": Mistake((1.0, 0.5), "mind the sign.")})
NUMBER = ValueExercise("number", 2.5, {"half": Mistake(1.25, "you halved.")})
CHOICE = ValueExercise(
    "choice", "Guided", {"plain": Mistake("gradient", "not that one.")}, ("gradient", "Guided", "none")
)
SOME = ValueExercise("some", frozenset({"a", "b"}), {"one": Mistake(frozenset({"a"}), "one more.")}, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (PAIR, (1, -0.5)),
        (PAIR, [1.0, -0.5]),
        (PAIR, torch.tensor([1.0, -0.5])),
        (PAIR, np.array([1.0, -0.5])),
        (PAIR, (torch.tensor(1.0), np.float32(-0.5))),
        (NUMBER, 2.5),
        (NUMBER, torch.tensor(2.5)),
        (NUMBER, np.float64(2.5)),
        (NUMBER, lambda: 2.5),
        (CHOICE, " guided "),
        (SOME, {"b", "a"}),
        (SOME, ["A", "b"]),
    ],
)
def test_value_is_accepted_in_any_usual_form(exercise: ValueExercise, answer: Any) -> None:
    exercise.check(answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "message"),
    [
        (PAIR, None, "pair: you have not given an answer yet."),
        (PAIR, ..., "pair: you have not given an answer yet."),
        (PAIR, (1.0, 0.5), "pair: mind the sign."),
        (PAIR, (2.0, 0.5), "pair: 2 of the 2 numbers are not right: number 1, 2."),
        (PAIR, (1.0,), "pair: give 2 numbers; 1 came."),
        (PAIR, "1, -0.5", "pair: give a tuple of 2 numbers; a value of type str came."),
        (PAIR, (1.0, float("nan")), "pair: your answer has a NaN or an infinity in it."),
        (PAIR, (True, -0.5), "pair: give a tuple of 2 numbers; entry 1 is a value of type bool."),
        (PAIR, (1.0, "0"), "pair: give a tuple of 2 numbers; entry 2 is a value of type str."),
        (PAIR, (1.0, torch.ones(2)), "pair: give a tuple of 2 numbers; entry 2 is a tensor of shape (2,)."),
        (NUMBER, ["2.5"], "number: give a number; entry 1 is a value of type str."),
        (PAIR, AlwaysEqual(), "pair: give a tuple of 2 numbers; a value of type test_exercises.AlwaysEqual came."),
        (NUMBER, 1.25, "number: you halved."),
        (NUMBER, 7, "number: not the right number; write the formula down first, then put the numbers in."),
        (NUMBER, (2.5, 2.5), "number: give 1 number; 2 came."),
        (NUMBER, lambda: None, "number: you have not given an answer yet."),
        (NUMBER, lambda: 1 / 0, "number: your function raised ZeroDivisionError (division by zero) in line "),
        (NUMBER, lambda x: x, "number: your function is called as number(), and yours takes (x)."),
        (CHOICE, "gradient", "choice: not that one."),
        (CHOICE, "none", "choice: not right; go through the choices one by one."),
        (CHOICE, "all", "choice: give one of: gradient, Guided, none; 'all' is none of them."),
        (CHOICE, AlwaysEqual(), "choice: give one of: gradient, Guided, none; a value of type "),
        (SOME, ["a"], "some: one more."),
        (SOME, "c", "some: not right; go through the choices one by one."),
    ],
)
def test_wrong_value_is_told_why(exercise: ValueExercise, answer: Any, message: str) -> None:
    assert message_of(exercise, answer).startswith(message)


def test_unsolved_value_raises_not_implemented_error() -> None:
    def answer() -> float:
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        NUMBER.check(answer)


def test_unit_is_found_with_and_without_its_number() -> None:
    assert exercises.load("06_gradient_methods") == exercises.load("gradient_methods")


def test_unknown_unit_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"unit is '99_poetry'; units with exercises: .*gradient_methods"):
        exercises.load("99_poetry")


def test_two_exercises_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(EXERCISES=(NUMBER, NUMBER))
    monkeypatch.setattr(exercises.importlib, "import_module", lambda name: module)
    with pytest.raises(ValueError, match="two exercises of 'gradient_methods' have the same name"):
        exercises.load("gradient_methods")


# ---------------------------------------------------------------------------------------------------------------------
# Every exercise of every unit
# ---------------------------------------------------------------------------------------------------------------------

ALL = {f"{unit}.{name}": exercise for unit in exercises.units() for name, exercise in exercises.load(unit).items()}


class Remembering(Exercise):
    """The same exercise; what a known mistake gives in a case is computed once for all tests."""

    known: ClassVar[dict[tuple[int, int], tuple[Any, ...]]] = {}

    def _value(self, function: Callable[..., Any], case: Case) -> Any:
        key = id(function), id(case)
        if key not in self.known:
            self.known[key] = super()._value(function, case), function, case  # held, so that no id is used again
        return self.known[key][0]


FUNCTIONS = {name: Remembering(**vars(exercise)) for name, exercise in ALL.items() if isinstance(exercise, Exercise)}
VALUES = {name: exercise for name, exercise in ALL.items() if isinstance(exercise, ValueExercise)}
SEEDS = (0, 12345)


@functools.cache
def drawn(name: str, seed: int) -> list[Case]:
    return FUNCTIONS[name].draw(seed)


@functools.cache
def right_values(name: str, seed: int = 0) -> list[Any]:
    """Return what the reference gives, tensors and Raised; clone it before changing it."""
    return [FUNCTIONS[name].run(FUNCTIONS[name].reference, case) for case in drawn(name, seed)]


def changed_values(name: str, change: Callable[[Tensor], Any]) -> list[Any]:
    return [value if isinstance(value, Raised) else change(value) for value in right_values(name)]


def verdict_of(name: str, answer: Callable[..., Any], seed: int) -> Any:
    """Judge an answer as `check` does, with the cases drawn once for all tests."""
    exercise, cases = FUNCTIONS[name], drawn(name, seed)
    return exercise.judge(cases, [exercise.run(answer, case) for case in cases])


def test_the_units_named_in_the_course_have_exercises() -> None:
    assert {"relu_backward", "saliency", "input_x_gradient", "guided_backprop", "smoothgrad"} <= exercises.load(
        "06_gradient_methods"
    ).keys()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("seed", (*SEEDS, 777))
def test_reference_is_accepted(name: str, seed: int) -> None:
    cases = drawn(name, seed)
    verdict = FUNCTIONS[name].judge(cases, right_values(name, seed))
    assert verdict.message == f"{FUNCTIONS[name].name}: right on all {len(cases)} cases."


@pytest.mark.parametrize("name", ALL)
def test_exercise_knows_at_least_four_mistakes(name: str) -> None:
    assert len(ALL[name].mistakes) >= 4


@pytest.mark.parametrize("name", ALL)
def test_no_two_mistakes_share_a_hint(name: str) -> None:
    hints = [mistake.hint for mistake in ALL[name].mistakes.values()]
    assert len(set(hints)) == len(hints)


@pytest.mark.parametrize(
    ("name", "mistake"), [(name, mistake) for name in FUNCTIONS for mistake in FUNCTIONS[name].mistakes]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_mistake_gets_its_own_hint(name: str, mistake: str, seed: int) -> None:
    exercise = FUNCTIONS[name]
    verdict = verdict_of(name, exercise.mistakes[mistake].answer, seed)
    assert not verdict.right
    assert verdict.message == f"{exercise.name}: {exercise.mistakes[mistake].hint}"


@pytest.mark.parametrize(("name", "mistake"), [(name, mistake) for name in VALUES for mistake in VALUES[name].mistakes])
def test_wrong_value_gets_its_own_hint(name: str, mistake: str) -> None:
    known = VALUES[name].mistakes[mistake]
    assert message_of(VALUES[name], known.answer) == f"{VALUES[name].name}: {known.hint}"


@pytest.mark.parametrize("name", VALUES)
def test_right_value_is_accepted(name: str) -> None:
    VALUES[name].check(VALUES[name].expected)


WRONG_FOR_ALL: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": torch.zeros_like,
    "ones": torch.ones_like,
    "a constant": lambda right: torch.full_like(right, right.mean().item()),
    "noise": lambda right: torch.randn(right.shape, generator=torch.Generator().manual_seed(1)),
    "turned round": torch.neg,
    "half": lambda right: right / 2,
    "a third more": lambda right: right * 4 / 3,
    "a pixel to the right": lambda right: right.roll(1, -1),
    "mirrored": lambda right: right.flip(-1),
    "one number dropped": lambda right: torch.where(right.abs() == right.abs().max(), 0, right),
    "magnified where large": lambda right: right * right.abs(),
    "softmax": lambda right: right.flatten().softmax(0).view_as(right),
}


@pytest.mark.parametrize("wrong", WRONG_FOR_ALL)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_wrong_answers_are_rejected(name: str, wrong: str) -> None:
    answers = changed_values(name, WRONG_FOR_ALL[wrong])
    assert not FUNCTIONS[name].judge(drawn(name, 0), answers).right


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_inputs_themselves_are_rejected(name: str) -> None:
    assert not verdict_of(name, lambda *arguments, **options: next(a for a in arguments if type(a) is Tensor), 0).right


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_case_rejects_noise_by_itself(name: str) -> None:
    """No case is idle: each one, alone, tells noise from the right answer."""
    for case, right in zip(drawn(name, 0), right_values(name), strict=True):
        right = torch.zeros(1) if case.raises else right
        size = right.abs().mean() if right.any() else 1.0
        size *= 3 if case.statistic else 1  # one statistic asks for little noise, and accepts less
        noise = size * torch.randn(right.shape, generator=torch.Generator().manual_seed(2))
        assert not FUNCTIONS[name].judge([case], [noise]).right, case.note


FORMS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "None": (lambda right: None, "you returned None"),
    "numpy": (lambda right: right.numpy(), "you returned a numpy array"),
    "shape": (lambda right: right[..., :-1], "the shape of your answer"),
    "dtype": (lambda right: right.double(), "the dtype of your answer"),
    "NaN": (lambda right: right * float("nan"), "100 % of your numbers are NaN"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_forms_are_told_apart(name: str, form: str) -> None:
    change, told = FORMS[form]
    verdict = FUNCTIONS[name].judge(drawn(name, 0), changed_values(name, change))
    assert told in verdict.message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answer_that_raises_is_told_so(name: str) -> None:
    def answer(*arguments: Any, **options: Any) -> Tensor:
        raise ZeroDivisionError("oh")

    assert "your function raised ZeroDivisionError (oh) in line" in message_of(FUNCTIONS[name], answer)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answer_that_changes_its_inputs_is_told_so(name: str) -> None:
    def answer(*arguments: Any, **options: Any) -> Tensor:
        result = FUNCTIONS[name].reference(*arguments, **options)
        next(a for a in arguments if type(a) is Tensor).add_(1)
        return result

    assert "itself, in place" in message_of(FUNCTIONS[name], answer)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_unsolved_stub_raises_not_implemented_error(name: str) -> None:
    def answer(*arguments: Any, **options: Any) -> Tensor:
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        FUNCTIONS[name].check(answer)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_cases_are_plain_data(name: str) -> None:
    plain = (int, float, str, type(None), Network, Seed)
    pickle.dumps(drawn(name, 0))
    values = [value for case in drawn(name, 0) for value in case.arguments.values()]
    assert all(type(value) in plain or (type(value) is Tensor and not value.requires_grad) for value in values)


# ---------------------------------------------------------------------------------------------------------------------
# Right answers that were written differently: here, and in the labs' own solutions
# ---------------------------------------------------------------------------------------------------------------------


def relu_backward_by_autograd(inputs: Tensor, output_gradient: Tensor, rule: str = "gradient") -> Tensor:
    signal = output_gradient if rule == "gradient" else output_gradient.clamp(min=0)
    if rule == "deconvnet":
        return signal
    copy = inputs.clone().requires_grad_()
    return torch.autograd.grad(copy.relu(), copy, signal)[0]


def saliency_image_by_image(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    maps = []
    for n, image in enumerate(inputs):
        pixels = image[None].clone().requires_grad_()
        model(pixels)[0, target if isinstance(target, int) else target[n]].backward()
        maps.append(pixels.grad[0].abs().max(0).values)
    return torch.stack(maps)


def gradient_by_backward(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    pixels = inputs.clone().requires_grad_()
    scores = model(pixels)
    rows = torch.arange(len(scores))
    scores[rows, target].sum().backward()
    return pixels.grad


def captum_saliency(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    return attr.Saliency(model).attribute(inputs.clone().requires_grad_(), target).amax(1)


def captum_input_x_gradient(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    return attr.InputXGradient(model).attribute(inputs.clone().requires_grad_(), target)


def captum_guided(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    return attr.GuidedBackprop(model).attribute(inputs.clone().requires_grad_(), target)


def guided_by_hooks(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
    def keep_positive(module: nn.Module, grad_input: tuple[Tensor], grad_output: tuple[Tensor]) -> tuple[Tensor]:
        return (grad_input[0].clamp(min=0),)

    hooks = [m.register_full_backward_hook(keep_positive) for m in model if isinstance(m, nn.ReLU)]
    try:
        return gradient_by_backward(model, inputs, target)
    finally:
        for hook in hooks:
            hook.remove()


def smoothgrad_in_a_loop(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    total = torch.zeros_like(inputs)
    for _ in range(n_samples):
        noise = torch.empty_like(inputs).normal_(0, 1, generator=generator) * stdevs
        total += gradient_by_backward(model, inputs + noise, target)
    return total / n_samples


def smoothgrad_image_by_image(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    """All samples of an image in one batch."""
    maps = []
    for n, image in enumerate(inputs):
        noisy = image + stdevs * torch.randn(n_samples, *image.shape, generator=generator)
        maps.append(gradient_by_backward(model, noisy, target if isinstance(target, int) else target[n]).mean(0))
    return torch.stack(maps)


def smoothgrad_in_pairs(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each noise twice, with both signs (antithetic pairs)."""
    total = torch.zeros_like(inputs)
    noise = torch.zeros_like(inputs)
    for k in range(n_samples):
        noise = -noise if k % 2 else stdevs * torch.randn(inputs.shape, generator=generator)
        total += gradient_by_backward(model, inputs + noise, target)
    return total / n_samples


def integrated_by(positions: Callable[[int], Tensor], weights: Callable[[int], Tensor]) -> Callable[..., Tensor]:
    def integrated_gradients(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        baselines: Tensor | None = None,
        n_steps: int = 50,
    ) -> Tensor:
        baselines = torch.zeros_like(inputs) if baselines is None else baselines
        total = torch.zeros_like(inputs)
        for alpha, weight in zip(positions(n_steps), weights(n_steps), strict=True):
            total += weight * gradient_by_backward(model, baselines + alpha * (inputs - baselines), target)
        return (inputs - baselines) * total

    return integrated_gradients


def equal_weights(n: int) -> Tensor:
    return torch.full((n,), 1 / n)


def trapezoid_weights(n: int) -> Tensor:
    weights = torch.full((n,), 1 / (n - 1))
    weights[[0, -1]] /= 2
    return weights


def captum_integrated(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    return attr.IntegratedGradients(model).attribute(inputs, baselines, target, n_steps=n_steps)


def captum_grad_cam(model: nn.Module, inputs: Tensor, target: int | Tensor, layer: str) -> Tensor:
    cam = attr.LayerGradCam(model, model.get_submodule(layer))
    return cam.attribute(inputs, target, relu_attributions=True)


def activation_of(model: nn.Module, inputs: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return the layer's activation, with its graph, and the scores, by a forward hook."""
    seen = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        scores = model(inputs)
        return seen[0], scores
    finally:
        hook.remove()


def grad_cam_by_hook(model: nn.Module, inputs: Tensor, target: int | Tensor, layer: str) -> Tensor:
    maps, scores = activation_of(model, inputs.clone(), layer)
    gradients = torch.autograd.grad(scores[torch.arange(len(scores)), target].sum(), maps)[0]
    return torch.einsum("nk,nkhw->nhw", gradients.mean((2, 3)), maps).relu()[:, None]


def captum_conductance(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    method = attr.LayerConductance(model, model.get_submodule(layer))
    return method.attribute(inputs, baselines, target, n_steps=n_steps)


def conductance_by_hook(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    baselines = torch.zeros_like(inputs) if baselines is None else baselines
    total: Tensor | float = 0.0
    before = activation_of(model, baselines, layer)[0]
    for step in range(1, n_steps + 1):
        now, scores = activation_of(model, baselines + step / n_steps * (inputs - baselines), layer)
        gradients = torch.autograd.grad(scores[torch.arange(len(scores)), target].sum(), now)[0]
        total = total + gradients * (now - before)
        before = now
    return total


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "gradient_methods.relu_backward": {"autograd": relu_backward_by_autograd},
    "gradient_methods.saliency": {"image by image": saliency_image_by_image, "captum": captum_saliency},
    "gradient_methods.input_x_gradient": {
        "captum": captum_input_x_gradient,
        "backward": lambda model, inputs, target: inputs * gradient_by_backward(model, inputs, target),
    },
    "gradient_methods.guided_backprop": {"captum": captum_guided, "hooks": guided_by_hooks},
    "gradient_methods.smoothgrad": {
        "a loop": smoothgrad_in_a_loop,
        "image by image": smoothgrad_image_by_image,
        "pairs": smoothgrad_in_pairs,
    },
    "gradient_methods.integrated_gradients": {
        "captum": captum_integrated,
        "left sum": integrated_by(lambda n: torch.arange(n) / n, equal_weights),
        "right sum": integrated_by(lambda n: torch.arange(1, n + 1) / n, equal_weights),
        "both ends": integrated_by(lambda n: torch.linspace(0, 1, n), equal_weights),
        "trapezoid": integrated_by(lambda n: torch.linspace(0, 1, n), trapezoid_weights),
        "one point more": integrated_by(lambda n: torch.linspace(0, 1, n + 1), lambda n: equal_weights(n + 1)),
    },
    "gradient_methods.grad_cam": {"captum": captum_grad_cam, "hook": grad_cam_by_hook},
    "gradient_methods.layer_conductance": {"captum": captum_conductance, "hook": conductance_by_hook},
}


def wrong_smoothgrad(noises: Callable[[Tensor, Callable[[], Tensor]], Iterator[Tensor]]) -> Callable[..., Tensor]:
    """Return a SmoothGrad, one sample after the other, at the images that `noises(inputs, draw)` yields without end."""

    def smoothgrad(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        n_samples: int = 25,
        stdevs: float = 0.15,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        def draw() -> Tensor:
            return stdevs * torch.randn(inputs.shape, generator=generator)

        images = itertools.islice(noises(inputs, draw), n_samples)
        return sum(gradient_by_backward(model, image, target) for image in images) / n_samples

    return smoothgrad


def one_noise(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    noisy = inputs + draw()
    while True:
        yield noisy


def noise_upon_noise(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    while True:
        inputs = inputs + draw()
        yield inputs


def noise_on_red(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    while True:
        noisy = inputs.clone()
        noisy[:, 0] += draw()[:, 0]
        yield noisy


def clipped_noise(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    while True:
        yield (inputs + draw()).clamp(0, 1)


def independent(draw: Callable[..., Tensor]) -> Callable[..., Iterator[Tensor]]:
    """Return the noisy images `draw(inputs, noise)`, with new noise for each."""

    def noises(inputs: Tensor, noise: Callable[[], Tensor]) -> Iterator[Tensor]:
        while True:
            yield draw(inputs, noise())

    return noises


def clean_and_noisy(inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
    yield inputs
    while True:
        yield inputs + draw()


def counting(
    smoothgrad: Callable[..., Tensor], n_drawn: Callable[[int], int], scale: Callable[[int], float] = lambda n: 1
) -> Callable[..., Tensor]:
    """Return the same with another number of samples, multiplied with a number."""

    def miscounting(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        n_samples: int = 25,
        stdevs: float = 0.15,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return smoothgrad(model, inputs, target, n_drawn(n_samples), stdevs, generator) * scale(n_samples)

    return miscounting


def with_generator(new: Callable[[], torch.Generator]) -> Callable[..., Tensor]:
    """Return a SmoothGrad that draws from a generator of its own."""

    def smoothgrad(
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor,
        n_samples: int = 25,
        stdevs: float = 0.15,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return smoothgrad_in_a_loop(model, inputs, target, n_samples, stdevs, new())

    return smoothgrad


def unseeded() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


def smoothgrad_of_saliency(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    n_samples: int = 25,
    stdevs: float = 0.15,
    generator: torch.Generator | None = None,
) -> Tensor:
    total = torch.zeros_like(inputs)
    for _ in range(n_samples):
        noise = stdevs * torch.randn(inputs.shape, generator=generator)
        total += saliency_image_by_image(model, inputs + noise, target)[:, None]
    return total / n_samples


def integrated_by_the_image(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    baselines = torch.zeros_like(inputs) if baselines is None else baselines
    total = torch.zeros_like(inputs)
    for k in range(1, n_steps + 1):
        image = inputs.clone().requires_grad_()
        scores = model(baselines + k / n_steps * (image - baselines))
        scores[torch.arange(len(scores)), target].sum().backward()
        total += image.grad
    return (inputs - baselines) * total / n_steps


def in_steps(n_steps: int, method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same with a fixed number of steps."""

    def fixed(*arguments: Any, baselines: Tensor | None = None, n_steps: int = 50) -> Tensor:
        return method(*arguments, baselines, number)

    number = n_steps
    return fixed


def conductance_by(
    steps: Callable[[int], list[tuple[float, float, float]]], change: Callable[[Tensor], Tensor] = lambda moved: moved
) -> Callable[..., Tensor]:
    """Return a conductance from (alpha of the gradient, alphas of the step's ends) for each step."""

    def conductance(
        model: nn.Sequential,
        inputs: Tensor,
        target: int | Tensor,
        layer: str,
        baselines: Tensor | None = None,
        n_steps: int = 50,
    ) -> Tensor:
        below, above = model[: int(layer) + 1], model[int(layer) + 1 :]
        baselines = torch.zeros_like(inputs) if baselines is None else baselines

        def neurons(alpha: float) -> Tensor:
            return below(baselines + alpha * (inputs - baselines)).detach()

        return sum(
            gradient_by_backward(above, neurons(alpha), target) * change(neurons(end) - neurons(start))
            for alpha, start, end in steps(n_steps)
        )

    return conductance


def guided_by(hook: Callable[..., Any], kind: type[nn.Module] = nn.ReLU, tidy: bool = True) -> Callable[..., Tensor]:
    """Return a guided backpropagation with a hook; `tidy`: also if the network raises."""

    def guided(model: nn.Module, inputs: Tensor, target: int | Tensor) -> Tensor:
        hooks = [layer.register_full_backward_hook(hook) for layer in model if isinstance(layer, kind)]
        try:
            result = gradient_by_backward(model, inputs, target)
        except RuntimeError:
            if not tidy:
                hooks.clear()
            raise
        finally:
            for hook_there in hooks:
                hook_there.remove()
        return result

    return guided


def hook_left_after_an_error(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same with a hook on layer '4' that is removed only if nothing goes wrong."""

    def untidy(model: nn.Sequential, *arguments: Any, **options: Any) -> Tensor:
        hook = model[min(4, len(model) - 1)].register_forward_hook(lambda module, given, output: None)
        result = method(model, *arguments, **options)
        hook.remove()
        return result

    return untidy


def positive(module: nn.Module, grad_input: tuple[Tensor], grad_output: tuple[Tensor]) -> tuple[Tensor]:
    return (grad_input[0].clamp(min=0),)


def integrated_sum(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    return n_steps * captum_integrated(model, inputs, target, baselines, n_steps)


def integrated_without_baseline(
    model: nn.Module, inputs: Tensor, target: int | Tensor, baselines: Tensor | None = None, n_steps: int = 50
) -> Tensor:
    left_sum = ALTERNATIVES["gradient_methods.integrated_gradients"]["left sum"]
    return left_sum(model, inputs, target, None, n_steps)


def conductance_mean(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: str,
    baselines: Tensor | None = None,
    n_steps: int = 50,
) -> Tensor:
    return conductance_by_hook(model, inputs, target, layer, baselines, n_steps) / n_steps


MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Tensor]] = {
    ("gradient_methods.smoothgrad", "same_noise"): wrong_smoothgrad(one_noise),
    ("gradient_methods.smoothgrad", "growing_noise"): wrong_smoothgrad(noise_upon_noise),
    ("gradient_methods.smoothgrad", "noise_on_one_channel"): wrong_smoothgrad(noise_on_red),
    ("gradient_methods.smoothgrad", "clipped"): wrong_smoothgrad(clipped_noise),
    ("gradient_methods.smoothgrad", "noise_shared_by_colours"): wrong_smoothgrad(
        independent(lambda inputs, noise: inputs + noise[:, :1])
    ),
    ("gradient_methods.smoothgrad", "one_sample_less"): counting(smoothgrad_in_a_loop, lambda n: n - 1),
    ("gradient_methods.smoothgrad", "divided_by_one_less"): counting(
        smoothgrad_in_a_loop, lambda n: n, lambda n: n / (n - 1)
    ),
    ("gradient_methods.smoothgrad", "clean_image_in_the_mean"): counting(
        wrong_smoothgrad(clean_and_noisy), lambda n: n + 1
    ),
    ("gradient_methods.smoothgrad", "noise_times_image"): wrong_smoothgrad(
        independent(lambda inputs, noise: inputs * (1 + noise))
    ),
    ("gradient_methods.smoothgrad", "share_of_range"): wrong_smoothgrad(
        independent(lambda inputs, noise: inputs + noise * (inputs.max() - inputs.min()))
    ),
    ("gradient_methods.smoothgrad", "saliency_averaged_for_each_colour"): smoothgrad_of_saliency,
    ("gradient_methods.integrated_gradients", "one_point_too_many"): integrated_by(
        lambda n: torch.linspace(0, 1, n + 1), lambda n: torch.full((n + 1,), 1 / n)
    ),
    ("gradient_methods.integrated_gradients", "one_point_too_few"): integrated_by(
        lambda n: torch.arange(1, n) / n, lambda n: torch.full((n - 1,), 1 / n)
    ),
    ("gradient_methods.integrated_gradients", "derivative_by_the_image"): integrated_by_the_image,
    ("gradient_methods.layer_conductance", "first_step_skipped"): conductance_by(
        lambda n: [(k / n, k / n, (k + 1) / n) for k in range(1, n)]
    ),
    ("gradient_methods.layer_conductance", "one_step_too_many"): conductance_by(
        lambda n: [(k / n, k / n, (k + 1) / n) for k in range(n + 1)]
    ),
    ("gradient_methods.layer_conductance", "one_step_late"): conductance_by(
        lambda n: [(k / n, k / n, (k + 1) / n) for k in range(1, n + 1)]
    ),
    ("gradient_methods.layer_conductance", "change_of_the_step_before"): conductance_by(
        lambda n: [(k / n, (k - 1) / n, k / n) for k in range(n)]
    ),
    ("gradient_methods.layer_conductance", "magnitude_of_change"): conductance_by(
        lambda n: [((k + 1) / n, k / n, (k + 1) / n) for k in range(n)], torch.abs
    ),
    ("gradient_methods.guided_backprop", "hook_on_convolutions"): guided_by(positive, nn.Conv2d),
    ("gradient_methods.integrated_gradients", "sum"): integrated_sum,
    ("gradient_methods.integrated_gradients", "baseline_ignored"): integrated_without_baseline,
    ("gradient_methods.layer_conductance", "mean_of_steps"): conductance_mean,
}


@pytest.mark.parametrize(("name", "mistake"), MISTAKES_CODED_DIFFERENTLY)
def test_mistake_is_known_however_it_is_coded(name: str, mistake: str) -> None:
    assert verdict_of(name, MISTAKES_CODED_DIFFERENTLY[name, mistake], SEEDS[0]).mistake == mistake


LEFT_SUM = ALTERNATIVES["gradient_methods.integrated_gradients"]["left sum"]

# Wrong answers that are no known mistake: the message tells what is wrong, and no hint claims to know why.
REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "noise shared over the batch": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise[0])),
        "an image that comes several times in a batch gets noise of its own",
    ),
    "a seed of its own": ("smoothgrad", with_generator(lambda: torch.Generator().manual_seed(0)), "The same generator"),
    "a generator without seed": ("smoothgrad", with_generator(unseeded), "The same generator"),
    "50 samples": ("smoothgrad", counting(smoothgrad_in_a_loop, lambda n: 50), "Yours has more: too few samples"),
    "the sum of one less": (
        "smoothgrad",
        counting(smoothgrad_in_a_loop, lambda n: n - 1, lambda n: (n - 1) / n),
        "of the 384 numbers are not",
    ),
    "half the noise": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise / 2)),
        "mean 0 and the standard deviation stdevs",
    ),
    "a third less noise": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise / 3**0.5)),
        "mean 0 and the standard deviation stdevs",
    ),
    "noise times the deviation of the image": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise * inputs.std())),
        "mean 0 and the standard deviation stdevs",
    ),
    "noise without sign": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise.abs())),
        "too much of it",
    ),
    "noise shared by rows": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise[..., :1])),
        "Does yours move several",
    ),
    "one number for an image": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise[:, :1, :1, :1])),
        "Yours has more|Does yours move several",
    ),
    "noise with heavy tails": (
        "smoothgrad",
        wrong_smoothgrad(independent(lambda inputs, noise: inputs + noise * noise.roll(1, 3).abs() / 0.4)),
        "the noise is normal",
    ),
    "50 points": ("integrated_gradients", in_steps(50, LEFT_SUM), "is n_steps used"),
    "20 points": ("integrated_gradients", in_steps(20, LEFT_SUM), "is n_steps used"),
    "50 steps": ("layer_conductance", in_steps(50, conductance_by_hook), "is n_steps used"),
    "hook that returns a tensor": (
        "guided_backprop",
        guided_by(lambda module, grad_input, grad_output: grad_input[0].clamp(min=0)),
        "a backward hook has to return a tuple",
    ),
    "hook left after an error": (
        "guided_backprop",
        guided_by(positive, tidy=False),
        "wrong number of channels.* a hook is still on layer '1'",
    ),
    "hook left after an error, conductance": (
        "layer_conductance",
        hook_left_after_an_error(conductance_by_hook),
        "wrong number of channels.* a hook is still on layer",
    ),
    "hook left after an error, Grad-CAM": (
        "grad_cam",
        hook_left_after_an_error(grad_cam_by_hook),
        "wrong number of channels.* a hook is still on layer '4'",
    ),
    "no default": (
        "relu_backward",
        lambda inputs, output_gradient, rule: relu_backward_by_autograd(inputs, output_gradient, rule),
        r"called as relu_backward\(inputs, output_gradient\)",
    ),
}


@pytest.mark.parametrize("wrong", REJECTED)
def test_wrong_answer_is_rejected_without_a_false_hint(wrong: str) -> None:
    name, answer, told = REJECTED[wrong]
    verdict = verdict_of(f"gradient_methods.{name}", answer, SEEDS[0])
    assert not verdict.right
    assert verdict.mistake is None, verdict.message
    assert re.search(told, verdict.message), verdict.message


@pytest.mark.parametrize("way", ALTERNATIVES["gradient_methods.smoothgrad"])
@pytest.mark.parametrize("seed", (100, 101, 102))
def test_right_noise_is_accepted_whatever_the_seed(way: str, seed: int) -> None:
    ALL["gradient_methods.smoothgrad"].check(ALTERNATIVES["gradient_methods.smoothgrad"][way], seed)


@pytest.mark.parametrize("name", ALL)
def test_hints_use_the_letters_of_the_lab(name: str) -> None:
    hints = " ".join(mistake.hint for mistake in ALL[name].mistakes.values())
    assert not re.search(r"max_c|w_c\b|slide", hints)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_notes_and_claims_speak_of_no_slides(name: str) -> None:
    exercise = FUNCTIONS[name]
    told = [case.note for case in drawn(name, 0)] + [item.claim for item in (*exercise.properties, *exercise.relations)]
    assert "slide" not in " ".join(told)


@functools.cache
def lab_answers(unit: str) -> dict[str, Any]:
    """Return what the solution cells of a unit's lab define, by grade_id; nothing where there is no lab yet."""
    labs = sorted((Path(__file__).parents[1] / "units").glob(f"*_{unit}/lab.py"))
    if not labs:
        return {}
    cells = [cell for cell in jupytext.read(labs[0]).cells if cell.cell_type == "code"]
    roles = [cell.metadata.get("nbgrader", {}) for cell in cells]
    first = next(i for i, role in enumerate(roles) if role.get("solution"))
    namespace: dict[str, Any] = {"__name__": "lab"}
    for cell in cells[:first]:
        exec(cell.source, namespace)
    answers = {}
    for cell, role in zip(cells[first:], roles[first:], strict=True):
        if role.get("solution"):
            exec(cell.source, namespace)
            answers[role["grade_id"]] = namespace.get(role["grade_id"])
    return answers


@pytest.mark.parametrize("name", FUNCTIONS)
def test_there_is_a_right_answer_that_was_written_differently(name: str) -> None:
    unit, exercise = name.split(".")
    assert name in ALTERNATIVES or exercise in lab_answers(unit)


@pytest.mark.parametrize(("name", "way"), [(name, way) for name in ALTERNATIVES for way in ALTERNATIVES[name]])
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
def test_right_answer_written_differently_is_accepted(name: str, way: str) -> None:
    verdict = verdict_of(name, ALTERNATIVES[name][way], SEEDS[0])
    assert verdict.right, verdict.message


@pytest.mark.parametrize("name", ALL)
def test_solution_of_the_lab_is_accepted(name: str) -> None:
    unit, exercise = name.split(".")
    answers = lab_answers(unit)
    if not answers:
        pytest.skip(f"there is no lab of {unit} yet")
    if exercise not in answers:
        pytest.skip(f"the lab of {unit} does not ask for {exercise}")
    ALL[name].check(answers[exercise], SEEDS[1])
