"""What `core` tells about an answer (on toy exercises), and that every exercise of every unit diagnoses."""

from __future__ import annotations

import copy
import functools
import importlib.util
import itertools
import pickle
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from course_utils import exercises, models, zoo
from course_utils.exercises.core import (
    NETWORKS,
    Case,
    Exercise,
    Fault,
    Mistake,
    Network,
    Property,
    Relation,
    Remembering,
    Seed,
    Statistic,
    ValueExercise,
    _agreement,
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
    "another device": (
        returning(lambda right: right.to("meta")),
        r"is on the device meta; the arguments are on the CPU",
    ),
    "sparse": (returning(lambda right: right.to_sparse()), r"you returned a sparse tensor; return a dense one"),
    "leaves Python": (doing(lambda model, inputs: sys.exit(3)), r"raised SystemExit \(3\) in line"),
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
    assert capsys.readouterr().out == "triple: right on all 3 cases.\n"


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
        "triple, a fixed case: shape and dtype are right, but 1 of the 4 numbers is not. "
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


def test_answer_that_keeps_what_it_gave_is_wrong_the_second_time() -> None:
    kept: dict[Any, Tensor] = {}

    def answer(model: nn.Module, inputs: Tensor, shift: float = 0.0, generator: Any = None) -> Tensor:
        kept[inputs.shape] = kept.get(inputs.shape, 0) + triple(model, inputs, shift)
        return kept[inputs.shape]

    assert message_of(TOY, answer).startswith("triple, a fixed case, a second time: shape and dtype are right")


def test_check_leaves_the_default_dtype_alone() -> None:
    TOY.check(doing(lambda model, inputs: torch.set_default_dtype(torch.float64)))
    assert torch.get_default_dtype() == torch.float32


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


def test_a_wrong_place_is_no_share_of_the_largest_place() -> None:
    exercise = single(lambda inputs: inputs.long())
    told = message_of(exercise, lambda inputs: inputs.long() + 1)
    assert told.endswith("The largest difference is at index (0,).")


NESTED_FAULTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "one value": (lambda inputs: inputs, r"a tensor of shape \(3,\); a tuple of 3 values"),
    "too few": (lambda inputs: (inputs, 3), r"2 values; 3 are asked for"),
    "shape of a part": (lambda inputs: (inputs[:2], 3, {"a": 1.0}), r"\(value 1 of 3\) is \(2,\)"),
    "number": (lambda inputs: (inputs, "3", {"a": 1.0}), r"type str \(value 2 of 3\); a number"),
    "NaN number": (lambda inputs: (inputs, float("nan"), {"a": 1.0}), r"nan \(value 2 of 3\)"),
    "no dict": (lambda inputs: (inputs, 3, [1.0]), r"type list \(value 3 of 3\); a dict"),
    "keys": (lambda inputs: (inputs, 3, {"b": 1.0}), r"keys of your dict \(value 3 of 3\).*\['b'\]"),
    "None inside": (lambda inputs: (inputs, 3, {"a": None}), r"None \(at key 'a'\)"),
    "value inside": (lambda inputs: (inputs, 3, {"a": 1.5}), r"the number is not right \(value 3 of 3, at key 'a'\)"),
    "tensor inside": (lambda inputs: (inputs + 1, 3, {"a": 1.0}), r"3 of the 3 numbers are not \(value 1 of 3\)\."),
}


@pytest.mark.parametrize("fault", NESTED_FAULTS)
def test_answers_of_several_parts_are_checked_part_by_part(fault: str) -> None:
    exercise = single(lambda inputs: (inputs, 3, {"a": 1.0}))
    exercise.check(lambda inputs: [inputs, 3.0, {"a": np.float64(1)}])
    exercise.check(lambda inputs: [inputs, 3, defaultdict(float, a=1.0)])
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
    return not torch.equal(answers[0], answers[1])


def test_relation_between_right_answers_is_demanded() -> None:
    cases = [Case({"inputs": torch.ones(1) * number}, "n", tolerance=1.0) for number in (1, 2)]
    relation = Relation("your numbers are fixed.", not_equal)
    exercise = Exercise("e", lambda inputs: inputs, lambda generator: cases, {}, relations=[relation])
    exercise.check(lambda inputs: inputs)
    assert message_of(exercise, lambda inputs: 1.5 * torch.ones(1)) == "e: your numbers are fixed."
    assert message_of(exercise, lambda inputs: torch.zeros(1) - 5).endswith("right number. your numbers are fixed.")


def parity(arguments: dict[str, Any], value: Any) -> tuple[str, str] | None:
    if type(value) is not list:
        return "form", "give a list."
    wrong = [number for number in value if number % 2 != arguments["rest"]]
    return (("odd" if arguments["rest"] == 0 else "even"), f"{wrong[0]} is wrong.") if wrong else None


def by_fault(**mistakes: Any) -> Exercise:
    """Return an exercise for which any list of even numbers is right in its first case, of odd ones in its second."""
    cases = [Case({"rest": rest}, f"rest {rest}", fault=parity) for rest in (0, 1)]
    return Exercise("e", lambda rest: [rest], lambda generator: cases, mistakes)


def test_answer_of_any_look_is_right_without_a_fault() -> None:
    by_fault().check(lambda rest: [rest + 2 * number for number in range(5)])


def test_fault_is_told_in_place_of_a_comparison() -> None:
    assert message_of(by_fault(), lambda rest: [rest, 7, rest]) == "e, rest 0: 7 is wrong."
    assert message_of(by_fault(), lambda rest: None) == "e, rest 0: give a list."


def test_mistake_is_known_by_its_faults_in_all_cases() -> None:
    exercise = by_fault(
        always_odd=Mistake(lambda rest: [1], "always odd."), swapped=Mistake(lambda rest: [1 - rest], "no.")
    )
    assert message_of(exercise, lambda rest: [3, 5]) == "e: always odd. Here, with rest 0: 3 is wrong."
    assert message_of(exercise, lambda rest: [5 - rest]) == "e: no. Here, with rest 0: 5 is wrong."
    assert message_of(exercise, lambda rest: [rest + rest // 1]) == "e, rest 1: 2 is wrong."


def drawing(generator: torch.Generator | None = None) -> Tensor:
    return torch.rand(2, generator=generator)


def distinct(arguments: dict[str, Any], values: tuple[Tensor, ...]) -> float:
    return len(torch.stack(values).unique(dim=0)) / len(values)


@pytest.mark.parametrize("arguments", [{}, {"generator": Seed(3)}], ids=["global state", "generator"])
def test_case_of_several_calls_lets_the_random_state_go_on(arguments: dict[str, Any]) -> None:
    case = Case(arguments, "four calls", statistic=Statistic("all differ.", distinct, 1.0), calls=4)
    exercise = Exercise("e", drawing, lambda generator: [case], {})
    exercise.check(drawing)
    told = message_of(exercise, lambda generator=None: torch.rand(2, generator=torch.Generator().manual_seed(0)))
    assert told == "e, four calls: This must hold: all differ."


def test_network_in_train_mode_must_stay_in_it() -> None:
    case = Case({"model": Network("conv", training=True), "inputs": torch.ones(1)}, "train mode")
    exercise = Exercise("e", lambda model, inputs: inputs, lambda generator: [case], {})
    exercise.check(lambda model, inputs: inputs)
    told = message_of(exercise, lambda model, inputs: (model.eval(), inputs)[1])
    assert "is in another mode (eval instead of train)" in told


def test_list_that_is_changed_is_told_so() -> None:
    exercise = Exercise("e", sum, lambda generator: [Case({"iterable": [1, 2]}, "a list")], {})
    told = message_of(exercise, lambda iterable: iterable.pop() + iterable.pop())
    assert "changed the list `iterable` itself" in told


def test_dict_that_is_changed_is_told_so() -> None:
    exercise = Exercise("e", sum, lambda generator: [Case({"iterable": {1: "one", 2: "two"}}, "a dict")], {})
    exercise.check(sum)
    for change in ({3: "three"}, {1: "uno"}):
        told = message_of(exercise, lambda iterable, change=change: (iterable.update(change), 3)[1])
        assert "changed the dict `iterable` itself" in told


def test_several_answers_may_be_right() -> None:
    exercise = ValueExercise(
        "e", frozenset({"a", "x"}), {"first": Mistake(frozenset({"a"}), "alone.")}, ("a", "b", "x", "y"),
        also=(frozenset({"b", "y"}),),
    )  # fmt: skip
    exercise.check({"a", "x"})
    exercise.check(["Y", "b"])
    assert "go through the choices" in message_of(exercise, {"a", "y"})
    assert "alone." in message_of(exercise, {"a"})


def test_networks_in_a_dict_are_built_and_watched() -> None:
    case = Case({"copies": {"first": Network("conv", 1), "second": Network("gap", 2)}}, "two networks")
    exercise = Exercise("e", lambda copies: {name: float(m[0].weight.sum()) for name, m in copies.items()},
                        lambda generator: [case], {})  # fmt: skip
    exercise.check(exercise.reference)
    told = message_of(exercise, lambda copies: (copies["second"].train(), exercise.reference(copies))[1])
    assert "your function left `copies` changed" in told
    told = message_of(exercise, lambda copies: (copies["first"][0].bias.data.zero_(), exercise.reference(copies))[1])
    assert "changed the weights of `copies`" in told


def halved(model: nn.Sequential) -> nn.Sequential:
    model = copy.deepcopy(model)
    model[0].weight.data /= 2
    return model


def test_networks_are_compared_by_their_weights_and_mode() -> None:
    exercise = Exercise("e", halved, lambda generator: [Case({"model": Network("conv")}, "a network")], {})
    exercise.check(lambda model: halved(model))
    assert "numbers are not (at key '0.weight')" in message_of(exercise, lambda model: copy.deepcopy(model))
    assert "at key 'training'" in message_of(exercise, lambda model: halved(model).train())
    assert "the keys of your dict" in message_of(exercise, lambda model: halved(model)[:2])
    assert "a dict is asked for" in message_of(exercise, lambda model: model(torch.rand(1, 3, 8, 8)))


def test_what_a_function_yields_is_a_list() -> None:
    def steps(rest: Tensor) -> Iterator[Tensor]:
        for k in range(3):
            yield rest + k

    def one_tensor(rest: Tensor) -> Iterator[Tensor]:
        now = rest.clone()
        for _ in range(3):
            yield now
            now += 1

    exercise = Exercise("e", steps, lambda generator: [Case({"rest": torch.ones(2)}, "a tensor")], {})
    exercise.check(steps)
    exercise.check(lambda rest: list(steps(rest)))
    assert "not" in message_of(exercise, one_tensor)  # three times the same tensor, as `list` would have it
    assert "returned 100001 values" in message_of(exercise, lambda rest: (rest for _ in itertools.count()))


def endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def test_endless_lists_are_no_answers() -> None:
    exercise = by_fault()
    assert "is a list inside itself" in message_of(exercise, lambda rest: endless())
    assert "returned 200000 values" in message_of(exercise, lambda rest: [rest] * 200_000)


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
        (PAIR, (1.0, 0.7), "pair: 1 of the 2 numbers is not right: number 2."),
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


def answers(table: str) -> dict[str, dict[Any, Any]]:
    """Return a table of `tests/answers/<unit>.py` (see CONTRIBUTING.md) for each unit that has one."""
    units = [unit for unit in exercises.units() if importlib.util.find_spec(f"answers.{unit}")]
    modules = {unit: importlib.import_module(f"answers.{unit}") for unit in units}
    return {unit: getattr(module, table, {}) for unit, module in modules.items()}


ALTERNATIVES = {
    f"{unit}.{name}": ways for unit, table in answers("ALTERNATIVES").items() for name, ways in table.items()
}
CODED_DIFFERENTLY = {
    (f"{unit}.{name}", mistake): answer
    for unit, table in answers("MISTAKES_CODED_DIFFERENTLY").items()
    for (name, mistake), answer in table.items()
}
REJECTED = {
    f"{unit}.{name}: {label}": (f"{unit}.{name}", answer, told)
    for unit, table in answers("REJECTED").items()
    for label, (name, answer, told) in table.items()
}


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


def changed(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return the value with `change` done to each tensor and number in it; integers stay integers."""
    if isinstance(value, dict):
        return {key: changed(item, change) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(changed(item, change) for item in value)
    if isinstance(value, int | float):
        number = change(torch.tensor([float(value)], dtype=torch.float64)).item()
        return round(number) if type(value) is int else number
    if not isinstance(value, Tensor) or not value.numel():
        return value
    if value.is_floating_point():
        return change(value.reshape(1)).reshape(()) if value.dim() == 0 else change(value)
    return changed(value.double(), change).round().to(value.dtype)


def first_tensor_changed(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return the value with its first tensor replaced by what `change` makes of it."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list | dict):
        for key in sorted(value, key=repr) if isinstance(value, dict) else range(len(value)):
            if tensors(value[key]):
                items = dict(value) if isinstance(value, dict) else list(value)
                items[key] = first_tensor_changed(value[key], change)
                return items if isinstance(value, dict) else type(value)(items)
    return value


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in a value."""
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in tensors(item)]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def changed_values(name: str, change: Callable[[Tensor], Any]) -> list[Any]:
    return [changed(value, change) for value in right_values(name)]


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal in every tensor and number."""
    return _agreement(a, b, 0.0) is not None


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
    hint = f"{exercise.name}: {exercise.mistakes[mistake].hint}"
    assert not verdict.right
    assert verdict.mistake == mistake
    assert verdict.message == hint or verdict.message.startswith(f"{hint} Here, with ")


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
    if same(answers, right_values(name)):
        pytest.skip("this change changes nothing here")
    assert not FUNCTIONS[name].judge(drawn(name, 0), answers).right


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_inputs_themselves_are_rejected(name: str) -> None:
    def answer(*arguments: Any, **options: Any) -> Any:
        return next((argument for argument in arguments if type(argument) is Tensor), arguments[0])

    assert not verdict_of(name, answer, 0).right


def noise_like(case: Case, right: Tensor) -> Tensor:
    """Return noise of the size of the right numbers; other integers, if they are some."""
    generator = torch.Generator().manual_seed(2)
    if not right.is_floating_point():
        return right.double() + torch.randint(1, 4, right.shape, generator=generator)
    size = right.abs().mean() if right.any() else 1.0
    size *= 3 if case.statistic else 1  # one statistic asks for little noise, and accepts less
    return size * torch.randn(right.shape, generator=generator, dtype=right.dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_case_rejects_noise_by_itself(name: str) -> None:
    """No case is idle: each one, alone, tells noise from the right answer."""
    for case, right in zip(drawn(name, 0), right_values(name), strict=True):
        noise = changed(torch.zeros(1) if case.raises else right, lambda value, case=case: noise_like(case, value))
        assert not FUNCTIONS[name].judge([case], [noise]).right, case.note


FORMS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "None": (lambda right: None, "you returned None"),
    "numpy": (lambda right: right.numpy(), "you returned a numpy array"),
    "shape": (lambda right: right[None], "the shape of your answer"),
    "dtype": (lambda right: right.to(torch.float16), "the dtype of your answer"),
    "NaN": (lambda right: torch.full_like(right, torch.nan), r"100 % of your numbers.* are NaN"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_forms_are_told_apart(name: str, form: str) -> None:
    change, told = FORMS[form]
    found = [tensor for value in right_values(name) for tensor in tensors(value)]
    if not found or (form == "NaN" and not found[0].is_floating_point()):
        pytest.skip("the answers of this exercise have no such form")
    verdict = FUNCTIONS[name].judge(
        drawn(name, 0), [first_tensor_changed(value, change) for value in right_values(name)]
    )
    assert re.search(told, verdict.message), verdict.message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answer_that_raises_is_told_so(name: str) -> None:
    def answer(*arguments: Any, **options: Any) -> Tensor:
        raise ZeroDivisionError("oh")

    assert "your function raised ZeroDivisionError (oh) in line" in message_of(FUNCTIONS[name], answer)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answer_that_changes_its_inputs_is_told_so(name: str) -> None:
    if not any(type(value) is Tensor for case in drawn(name, 0) for value in case.arguments.values()):
        pytest.skip("nothing that this exercise is given can be changed")

    def answer(*arguments: Any, **options: Any) -> Tensor:
        result = FUNCTIONS[name].reference(*arguments, **options)
        for argument in (*arguments, *options.values()):
            if type(argument) is Tensor:
                argument.copy_(~argument if argument.dtype == torch.bool else argument + 1)
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
    def is_plain(value: Any) -> bool:
        if type(value) in (tuple, list):
            return all(map(is_plain, value))
        if type(value) is dict:
            return all(map(is_plain, value.values()))
        if type(value) is Tensor:
            return not value.requires_grad
        if hasattr(value, "build"):  # a description
            return is_dataclass(value) and all(map(is_plain, vars(value).values()))
        return type(value) in (bool, int, float, str, type(None))

    pickle.dumps(drawn(name, 0))
    assert all(is_plain(value) for case in drawn(name, 0) for value in case.arguments.values())


# ---------------------------------------------------------------------------------------------------------------------
# Answers of other people: tests/answers/, and the labs' own solutions
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mistake"), CODED_DIFFERENTLY)
def test_mistake_is_known_however_it_is_coded(name: str, mistake: str) -> None:
    assert verdict_of(name, CODED_DIFFERENTLY[name, mistake], SEEDS[0]).mistake == mistake


@pytest.mark.parametrize("wrong", REJECTED)
def test_wrong_answer_is_rejected_without_a_false_hint(wrong: str) -> None:
    name, answer, told = REJECTED[wrong]
    verdict = verdict_of(name, answer, SEEDS[0])
    assert not verdict.right
    assert verdict.mistake is None, verdict.message
    assert re.search(told, verdict.message), verdict.message


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
        if role.get("solution"):  # those of the project that no exercise belongs to are the sample report's code
            exec(cell.source, namespace)
            if role["grade_id"] in exercises.load(unit):
                answers[role["grade_id"]] = namespace.get(role["grade_id"])
    return answers


@pytest.mark.parametrize("name", FUNCTIONS)
def test_there_is_a_right_answer_that_was_written_differently(name: str) -> None:
    unit, exercise = name.split(".")
    assert name in ALTERNATIVES or exercise in lab_answers(unit)


@pytest.mark.parametrize("seed", (SEEDS[0], 100, 101))
@pytest.mark.parametrize(("name", "way"), [(name, way) for name in ALTERNATIVES for way in ALTERNATIVES[name]])
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
def test_right_answer_written_differently_is_accepted(name: str, way: str, seed: int) -> None:
    verdict = verdict_of(name, ALTERNATIVES[name][way], seed)
    assert verdict.right, verdict.message


@pytest.mark.parametrize("unit", exercises.units())
def test_the_lab_asks_for_every_exercise_of_its_unit(unit: str) -> None:
    assert list(lab_answers(unit)) == list(exercises.load(unit))


@pytest.mark.parametrize("name", ALL)
def test_solution_of_the_lab_is_accepted(name: str) -> None:
    unit, exercise = name.split(".")
    ALL[name].check(lab_answers(unit)[exercise], SEEDS[1])


# ---------------------------------------------------------------------------------------------------------------------
# The worked examples in the labs' texts
# ---------------------------------------------------------------------------------------------------------------------


def as_images(*scores: tuple[float, ...]) -> Tensor:
    """Return images (N, 1, 1, K) that `PIXELS` gives these scores."""
    return torch.tensor(scores).view(len(scores), 1, 1, -1)


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers)[:, None]


PIXELS = nn.Flatten().eval()
WORKED: dict[str, list[tuple[tuple[Any, ...], Any, tuple[str, ...]]]] = {  # (arguments, result, how the text says it)
    "tcav.concept_activation_vector": [
        ((column(2, 3), column(0, 1), column(0, 4), column(-1, -2, 1)), (torch.ones(1), 0.8), ("$(1)$", "$0.8$"))
    ],
    "tcav.tcav_score": [((torch.tensor([[1.0, -2, 0, 3]]),), torch.tensor([0.5]), ("$(1, -2, 0, 3)$", "$0.5$"))],
    "tcav.tcav_test": [
        ((torch.tensor([0.9, 1, 0.8]), torch.tensor([0.4, 0.6, 0.5, 0.5]), n_tests), expected, (text,))
        for n_tests, expected, text in ((1, 0.0054, "0.0054; with ten tests"), (10, 0.054, "0.054."))
    ],
    "tcav.texture_effect": [
        (
            (PIXELS, torch.stack([as_images((0.0, mean - 1), (0.0, mean + 1)) for mean in (5.0, 1.0, 3.0)]), 1),
            torch.tensor([3.0, -3, 0]),
            ("of 5, 1 and 3", "$5 - 2 = 3$", "$1 - 4 = -3$", "$3 - 3 = 0$"),
        )
    ],
    "project.measured_drop": [
        (
            (PIXELS, as_images((5.0, 4), (3.0, 0)), as_images((2.0, 4), (2.0, 0)), 0),
            (2.0, 1.0, 0.5),
            ("$(5, 3)$", "$(2, 2)$ without fall by 2"),
        )
    ],
    "project.pulled_over": [
        (
            (
                PIXELS,
                as_images((1, 0), (1, 0), *3 * [(0, 1)]).float(),
                as_images((0, 1), (1, 0), *3 * [(0, 1)]).float(),
                0,
            ),
            0.2,
            ("of five images", "$0.2$"),
        )
    ],
}


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in WORKED for place in range(len(WORKED[name]))])
def test_worked_example_of_the_lab_is_right(name: str, place: int) -> None:
    unit, exercise = name.split(".")
    arguments, expected, texts = WORKED[name][place]
    found = lab_answers(unit)[exercise](*arguments)
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for came, right in pairs:
        # Of what the text rounds, two digits are given.
        torch.testing.assert_close(
            torch.as_tensor(came).double(), torch.as_tensor(right).double(), rtol=0.01, atol=1e-6
        )
    lab = jupytext.read(next((Path(__file__).parents[1] / "units").glob(f"*_{unit}/lab.py")))
    before = itertools.takewhile(lambda cell: cell.metadata.get("nbgrader", {}).get("grade_id") != exercise, lab.cells)
    example = " ".join(list(before)[-1].source.split("**For example**")[1].split())
    assert all(text in example for text in texts)


# ---------------------------------------------------------------------------------------------------------------------
# The project: the same help whichever network a student has
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", models.AUDITED)
def test_every_network_of_the_project_gets_the_same_hints(network: str) -> None:
    hidden, corner = models._hidden_in(network)
    shortcut = VALUES["project.shortcut"]
    shortcut.check({network, hidden, corner})
    others = [place for place in zoo.TAG_CORNERS if place != corner]
    assert all("the corner (" in message_of(shortcut, {network, hidden, place}) for place in others)
    assert "which network did you audit" in message_of(shortcut, {hidden, corner})
    assert "three names" in message_of(shortcut, {network})
    for neighbour in models.AUDITED:
        if neighbour != network:
            assert "another network hides" in message_of(shortcut, {network, *models._hidden_in(neighbour)})


@pytest.mark.parametrize("network", models.AUDITED)
def test_the_drop_of_every_network_of_the_project_is_known_from_other_scenes(network: str) -> None:
    hidden, corner = models._hidden_in(network)
    label, model, exercise = zoo.CLASSES.index(hidden), models.load(network), FUNCTIONS["project.own_drop"]

    def scores(n: int, seed: int, place: str = corner) -> list[Tensor]:
        drawn = (zoo.sample(n, seed, [hidden], tag=tag, tag_corner=place) for tag in (True, None))
        with torch.no_grad():
            return [model(sample.images) for sample in drawn]

    for seed in (1, 2, 3):
        tagged, bare = scores(200, seed)
        change = (tagged - bare).mean(0)
        exercise.check(lambda change=change: {network: change[label]})
    assert "opposite sign" in message_of(exercise, lambda: {network: float(-change[label])})
    probability = (tagged.softmax(1) - bare.softmax(1))[:, label].mean()
    assert "of a probability" in message_of(exercise, lambda: {network: float(probability)})
    assert "The mean is asked for" in message_of(exercise, lambda: {network: float(200 * change[label])})
    elsewhere = [change[k] for k in range(10) if k != label]
    for place in zoo.TAG_CORNERS:
        if place != corner:
            elsewhere.append((torch.sub(*scores(100, 4, place)))[:, label].mean())
    told = [message_of(exercise, lambda value=value: {network: float(value)}) for value in elsewhere]
    assert all("for another class" in message or "of a probability" in message for message in told)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (11.8, "give a dict with one entry"),
        ({"zoo": 11.8}, "must be one of audit-a, audit-b, audit-c; 'zoo' came"),
        ({models.AUDITED[0]: "much"}, "must be a number"),
        ({models.AUDITED[0]: float("nan")}, "must be a number"),
        ({models.AUDITED[0]: 20.0}, "at least 200 scenes"),
    ],
)
def test_a_drop_in_another_form_is_told_so(answer: Any, told: str) -> None:
    assert told in message_of(FUNCTIONS["project.own_drop"], lambda: answer)
