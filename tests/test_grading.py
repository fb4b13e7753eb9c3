"""Grading, without a sandbox: what crosses its border, what is read and run of a submission, statistics and flags."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections import OrderedDict, defaultdict
from dataclasses import replace
from fractions import Fraction
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from handed_in import UNIT, UNITS, cell_of, lab_bytes, lab_of, solved
from nbformat import NotebookNode
from torch import Tensor, nn

from course_utils import exercises
from course_utils.exercises.core import Fault, Network, Raised, Seed, ValueExercise, run
from course_utils.grading import reports
from course_utils.grading.plain import (
    DTYPES,
    LARGEST_MESSAGE,
    Channel,
    Closed,
    TooLate,
    Unreadable,
    connection,
    decode,
    encode,
    stranger,
)
from course_utils.grading.submissions import NoNotebook, Step, grade_id, names, problems, read

# ---------------------------------------------------------------------------------------------------------------------
# What crosses the border
# ---------------------------------------------------------------------------------------------------------------------


def there_and_back(value: Any, descriptions: bool = False) -> Any:
    """A value after its way through a real connection."""
    ours, theirs = connection()
    arrays: list[Tensor] = []
    tree = encode(value, arrays)
    sender = threading.Thread(target=lambda: Channel(ours).send({"value": tree}, arrays))
    sender.start()
    message, came, files = Channel(theirs).receive(5)
    sender.join()
    ours.close()
    theirs.close()
    assert files == []
    return decode(message["value"], came, descriptions)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return type(b) is Tensor and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


PLAIN = {
    "None": None,
    "bool": True,
    "int": -7,
    "a large int": 10**40,
    "float": 0.1,
    "infinity": float("-inf"),
    "NaN": float("nan"),
    "text": "zebra é \ud800"[:7],
    "Fraction": Fraction(1, 3),
    "numpy float32": np.float32(0.1),
    "numpy int64": np.int64(-(2**60)),
    "numpy bool": np.bool_(True),
    "ndarray": np.arange(6.0).reshape(2, 3)[:, ::-1],
    "tensor of no numbers": torch.empty(0, 3, 2),
    "one number": torch.tensor(2.5, dtype=torch.float64),
    "transposed": torch.arange(6).reshape(2, 3).T,
    "expanded": torch.ones(1, 3).expand(4, 3),
    "conjugate": torch.tensor([1 + 2j]).conj(),
    "tuple, list, dict": (1, [torch.ones(2), "a"], {"x": 1.0, 3: (None,)}),
    "sets": ({"a"}, frozenset({"b", "c"})),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_arrive_as_they_are(name: str) -> None:
    assert same(there_and_back(PLAIN[name]), PLAIN[name])


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_dtype_arrives(dtype: torch.dtype) -> None:
    values = torch.tensor([0, 1, 1, 0]).to(dtype)
    assert same(there_and_back(values), values)


def test_what_travels_is_no_part_of_a_graph() -> None:
    weight = nn.Parameter(torch.ones(2))
    came = there_and_back([weight, weight * 2])
    assert [type(item) for item in came] == [Tensor, Tensor] and not any(item.requires_grad for item in came)


class Liar(Tensor):
    """A tensor that says that it equals everything."""

    def __eq__(self, other: Any) -> Any:
        return True

    __hash__ = Tensor.__hash__


class Number(float):
    """A float that says that it equals everything."""

    def __eq__(self, other: Any) -> Any:
        return True

    __hash__ = float.__hash__


STRANGERS = {
    "a tensor of another class": torch.ones(2).as_subclass(Liar),
    "a float of another class": Number(1.0),
    "a network": nn.Linear(1, 1),
    "a function": len,
    "an OrderedDict": OrderedDict(a=1),
    "a defaultdict": defaultdict(int),
    "texts in numpy": np.array(["a"]),
    "objects in numpy": np.array([None]),
    "a quantized tensor": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_everything_else_arrives_as_a_stranger_that_can_do_nothing(name: str) -> None:
    came = there_and_back(STRANGERS[name])
    assert isinstance(came, object) and not isinstance(came, Tensor | float | dict | np.ndarray | nn.Module)
    assert vars(type(came)).keys() <= {
        "__module__",
        "__dict__",
        "__weakref__",
        "__doc__",
        "__static_attributes__",
        "__firstlineno__",
    }


def test_a_stranger_has_its_name_for_messages_and_no_other() -> None:
    assert (type(stranger("a.b", "C")).__module__, type(stranger("a.b", "C")).__name__) == ("a.b", "C")
    assert type(stranger("x", "<script>")).__name__ == "object"


def test_sparse_and_foreign_tensors_arrive_without_their_numbers() -> None:
    sparse = there_and_back(torch.eye(3).to_sparse())
    assert sparse.layout == torch.sparse_coo and sparse.shape == (3, 3)
    assert there_and_back(torch.empty(2, 2, device="meta")).device.type == "meta"


def test_faults_and_raised_errors_arrive() -> None:
    fault, raised = there_and_back([Fault("no", ValueError("x")), Raised()])
    assert (fault.message, fault.error, type(raised)) == ("no", None, Raised)


def test_descriptions_arrive_where_they_are_trusted_and_nowhere_else() -> None:
    value = {"model": Network("conv", 3, (3, 8, 8)), "generator": Seed(5)}
    assert there_and_back(value, descriptions=True) == value
    with pytest.raises(Unreadable):
        there_and_back(value)


def test_description_of_another_package_is_refused() -> None:
    with pytest.raises(Unreadable):
        decode(["description", "subprocess", "Popen", {"args": ["plain", "true"]}], [], descriptions=True)


@pytest.mark.parametrize(
    "tree",
    [
        *(
            [],
            None,
            3,
            "x",
            {},
            [1],
            ["nothing"],
            ["plain", 3],
            ["plain", [1]],
            ["int", "x"],
            ["int", 3],
            ["float", "zz"],
        ),
        *(["tensor", 0], ["tensor", -1], ["tensor", True], ["scalar", "object_", "0x1p0"], ["fraction", "1", "0"]),
        *(["dict", 3], ["dict", [1, 2, 3]], ["dict", [["list"], ["plain", None]]], ["set", ["list"]], ["sparse", [-1]]),
        *(["elsewhere", "x"], ["stranger", 1, 2], ["stranger"], ["fault"], ["int"], ["sparse", [2] * 9], ["fault", 3]),
    ],
    ids=str,
)
def test_what_is_no_value_is_refused(tree: Any) -> None:
    with pytest.raises(Unreadable):
        decode(tree, [])


def test_lists_within_lists_end() -> None:
    value: list[Any] = []
    for _ in range(1000):
        value = [value]
    with pytest.raises(Unreadable):
        encode(value, [])
    tree: list[Any] = ["list"]
    for _ in range(900):
        tree = ["list", tree]
    with pytest.raises(Unreadable):
        decode(tree, [])


ALL = {f"{unit[3:]}.{name}": exercise for unit in UNITS for name, exercise in exercises.load(unit).items()}


@pytest.mark.parametrize("name", ALL)
def test_arguments_and_right_answers_of_every_exercise_travel(name: str) -> None:
    """What `judge` and `inside` do with a call, without the processes."""
    exercise = ALL[name]
    if isinstance(exercise, ValueExercise):
        assert exercise.judge(exercise.draw(), [there_and_back(exercise.expected)]).right
        return
    cases, answers = exercise.draw(4711), []
    for case in cases:
        call = exercise.call(case)
        arguments = there_and_back(dict(call.arguments), descriptions=True)
        assert same(arguments, dict(call.arguments))
        answers.append(there_and_back(run(exercise.reference, replace(call, arguments=arguments))))
    verdict = exercise.judge(cases, answers)
    assert verdict.right, verdict.message


def raw(*parts: bytes) -> Channel:
    """A channel to which these bytes come, and then nothing."""
    ours, theirs = connection()
    ours.sendall(b"".join(parts))
    ours.shutdown(socket.SHUT_WR)
    return Channel(theirs)


def frame(head: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">IQ", len(head), len(head) + len(body)) + head + body


@pytest.mark.parametrize(
    "data",
    [
        frame(b"no JSON"),
        frame(b"[]"),
        frame(b'{"message": 1, "arrays": []}'),
        frame(b'{"message": {}, "arrays": 1}'),
        frame(b'{"message": {}}'),
        frame(b'{"message": {}, "arrays": [["float32", [1000000000]]]}'),
        frame(b'{"message": {}, "arrays": [["float32", [-1]]]}'),
        frame(b'{"message": {}, "arrays": [["object", [1]]]}', b"12345678"),
        frame(b'{"message": {}, "arrays": [[["float32"], [1]]]}', b"1234"),
        frame(b'{"message": {}, "arrays": [["float32", [1]]]}', b"12345"),
        frame(b'{"message": {}, "arrays": []}', b"more"),
        frame(b"[" * 100_000),
        struct.pack(">IQ", 2**31, 2**31),
        struct.pack(">IQ", 2, LARGEST_MESSAGE + 1),
        struct.pack(">IQ", 10, 2),
    ],
    ids=range(15),
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        raw(data).receive(5)


@pytest.mark.parametrize("data", [b"", b"123", frame(b"{}")[:-1]])
def test_half_a_message_is_none(data: bytes) -> None:
    with pytest.raises(Closed):
        raw(data).receive(5)


def test_a_claim_of_many_numbers_takes_no_memory() -> None:
    head = json.dumps({"message": {}, "arrays": [["float64", [2**31 - 1] * 8]]}).encode()
    with pytest.raises(Unreadable):
        raw(frame(head)).receive(5)


def test_waiting_ends_in_time_and_looks_round_meanwhile() -> None:
    _, theirs = connection()
    rounds: list[int] = []
    with pytest.raises(TooLate):
        Channel(theirs, lambda: rounds.append(1), 0.02).receive(0.2)
    assert len(rounds) >= 3


def test_bool_tensors_hold_nothing_but_bools() -> None:
    head = b'{"message": {}, "arrays": [["bool", [2]]]}'
    assert raw(frame(head, b"\x00\xff")).receive(5)[1][0].view(torch.uint8).tolist() == [0, 1]


def test_too_much_for_a_message_is_not_sent() -> None:
    ours, _ = connection()
    with pytest.raises(Unreadable):
        Channel(ours).send({}, [torch.zeros(LARGEST_MESSAGE // 8 + 1, dtype=torch.float64)])


# ---------------------------------------------------------------------------------------------------------------------
# Submissions: reading, problems, steps
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[]", "no Jupyter"),
        (b'{"nbformat": "4"}', "no Jupyter"),
        (b'{"nbformat": 4, "cells": 3}', "no Jupyter"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}', "no Jupyter"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_notebook_is_told_so(data: bytes, told: str) -> None:
    with pytest.raises(NoNotebook, match=told):
        read(data)


def test_a_notebook_with_a_byte_order_mark_is_read() -> None:
    assert read(b"\xef\xbb\xbf" + lab_bytes()).cells


@pytest.mark.parametrize("unit", UNITS)
def test_the_lab_itself_has_no_problems_and_all_exercises_of_its_unit(unit: str) -> None:
    lab = lab_of(unit)
    assert problems(read(lab_bytes(unit)), lab) == []
    assert list(lab.exercises) == list(exercises.load(unit))
    assert lab.starts_alike(read(lab_bytes(unit)))


def changed(change: Any) -> NotebookNode:
    notebook = nbformat.reads(lab_bytes().decode(), as_version=4)
    change(notebook)
    return notebook


def found(notebook: NotebookNode) -> set[tuple[str, str]]:
    return {(problem.cell, problem.kind) for problem in problems(notebook, lab_of())}


def test_each_problem_is_told_with_its_cell() -> None:
    def remove(notebook: NotebookNode) -> None:
        notebook.cells = [cell for cell in notebook.cells if grade_id(cell) != "test_saliency"]

    def double(notebook: NotebookNode) -> None:
        notebook.cells.append(nbformat.from_dict(cell_of(notebook, "saliency")))

    def retype(notebook: NotebookNode) -> None:
        cell_of(notebook, "test_saliency")["cell_type"] = "markdown"

    def edit(notebook: NotebookNode) -> None:
        cell_of(notebook, "test_saliency").source = "pass"

    def pay(notebook: NotebookNode) -> None:
        cell_of(notebook, "test_saliency").metadata.nbgrader["points"] = 100

    def strip(notebook: NotebookNode) -> None:
        del cell_of(notebook, "saliency").metadata["nbgrader"]

    def print_much(notebook: NotebookNode) -> None:
        text = nbformat.v4.new_output("stream", text="x" * 3 * 2**20)
        cell_of(notebook, "saliency").outputs = [text]

    def break_syntax(notebook: NotebookNode) -> None:
        cell_of(notebook, "saliency").source = "def saliency(:"

    assert found(changed(remove)) == {("test_saliency", "missing")}
    assert found(changed(double)) == {("saliency", "duplicate")}
    assert ("test_saliency", "other type") in found(changed(retype))
    assert found(changed(edit)) == {("test_saliency", "altered")}
    assert found(changed(pay)) == {("test_saliency", "altered")}
    assert found(changed(strip)) == {("saliency", "stripped")}
    assert found(changed(print_much)) == {("saliency", "large output")}
    assert found(changed(break_syntax)) == {("saliency", "no Python")}


def test_a_magic_is_python() -> None:
    notebook = changed(lambda notebook: cell_of(notebook, "saliency").update(source="%time x = 1\n!ls"))
    assert found(notebook) == set()


def test_notebook_of_another_unit_is_told_by_name() -> None:
    (problem,) = problems(read(lab_bytes("12_gam")), lab_of())
    assert (problem.kind, problem.text) == ("other unit", f"this is a notebook of 12_gam, not of {UNIT}")


def test_notebook_without_any_metadata_is_told_so_and_can_be_graded() -> None:
    def strip_all(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            cell.metadata = NotebookNode()

    (problem,) = problems(changed(strip_all), lab_of())
    assert problem.kind == "stripped"


@pytest.mark.parametrize("unit", UNITS)
def test_solutions_need_no_pictures(unit: str) -> None:
    lab = lab_of(unit)
    notebook = solved(unit)
    steps = lab.steps(notebook)
    run = [notebook.cells[step.cell] for step in steps if step.cell is not None]
    assert all(grade_id(cell) for cell in run) or unit == "13_project"
    assert [step.exercise for step in steps if step.exercise] == list(lab.exercises)


def test_pictures_are_run_where_a_name_of_theirs_is_used() -> None:
    lab, notebook = lab_of(), solved(UNIT)
    place = next(n for n, cell in enumerate(notebook.cells) if cell.source in lab.pictures and "=" in cell.source)
    (name, *_) = sorted(names(notebook.cells[place].source)[1])
    assert Step(cell=place) not in lab.steps(notebook)
    notebook.cells.append(nbformat.v4.new_code_cell(f"print({name})"))
    assert Step(cell=place) in lab.steps(notebook)
    assert Step(cell=place) in lab.steps(solved(UNIT), pictures=True)


def test_everything_is_run_where_code_may_use_any_name() -> None:
    lab, notebook = lab_of(), solved(UNIT)
    notebook.cells.append(nbformat.v4.new_code_cell("exec('1')"))
    shown = [n for n, cell in enumerate(notebook.cells) if cell.source in lab.pictures]
    assert {Step(cell=n) for n in shown} <= set(lab.steps(notebook))


def test_changed_first_cells_are_run_again() -> None:
    lab, notebook = lab_of(), solved(UNIT)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source += "\nmine = 1"
    assert not lab.starts_alike(notebook)
    assert lab.steps(notebook)[0] == Step(cell=notebook.cells.index(first))


@pytest.mark.parametrize(
    ("source", "used", "bound"),
    [
        ("x = y", {"y"}, {"x"}),
        ("def f(a, b=c):\n    d = a\n    return d + e", {"c", "e"}, {"f"}),
        ("import a.b as c, d.e\nfrom f import g as h", set(), {"c", "d", "h"}),
        ("total += 1", {"total"}, {"total"}),
        ("found['x'].y = 1", {"found"}, {"found"}),
        ("[k for k in rows]", {"rows"}, set()),
        ("%time x = y", {"time", "x", "y"}, {"time", "x", "y"}),
        ("def f():\n    global g\n    g = 1", set(), {"f", "g"}),
    ],
)
def test_names_that_cells_share(source: str, used: set[str], bound: set[str]) -> None:
    assert names(source) == (used, bound)


# ---------------------------------------------------------------------------------------------------------------------
# Statistics and flags
# ---------------------------------------------------------------------------------------------------------------------


def verdict(kind: str, mistake: str | None = None) -> dict[str, Any]:
    return {"right": kind == "right", "kind": kind, "message": "", "mistake": mistake}


def test_statistics_count_by_exercise_and_mistake() -> None:
    mistake, other, *_ = exercises.load(UNIT)["saliency"].mistakes
    given = ["right", "right", mistake, mistake, other, "unsolved", "crash"]
    results = {
        str(n): {
            "verdicts": {
                "saliency": verdict(
                    kind if kind in ("right", "unsolved", "crash") else "wrong",
                    kind if kind in (mistake, other) else None,
                )
            }
        }
        for n, kind in enumerate(given)
    }
    row = next(
        row for row in reports.item_statistics(UNIT, {"test_saliency": 7.0}, results) if row["exercise"] == "saliency"
    )
    assert (row["submissions"], row["right"], row["unsolved"], row["lost"]) == (7, 2, 1, 1)
    assert (row["share"], row["mean_points"]) == (round(2 / 7, 4), 2.0)
    assert row["mistakes"] == f"{mistake} (2); {other} (1)"
    assert row["hint"] == exercises.load(UNIT)["saliency"].mistakes[mistake].hint


def test_tables_run_nothing_in_a_spreadsheet() -> None:
    assert reports.table([{"a": "=1+1", "b": "@x", "c": -1}]) == "a,b,c\r\n'=1+1,'@x,-1\r\n"


def flags_of(**students: NotebookNode) -> set[tuple[str, str, str]]:
    solution = nbformat.reads(lab_bytes(folder="solutions").decode(), as_version=4)
    return {(flag.student, flag.exercise, flag.kind) for flag in reports.flags(lab_of(), solution, students)}


SALIENCY = """def saliency(model, inputs, target):
    pictures = inputs.detach().clone().requires_grad_(True)
    scores = model(pictures)
    chosen = scores[torch.arange(len(pictures)), target]
    (result,) = torch.autograd.grad(chosen.sum(), pictures)
    return result.abs()
"""


def test_answers_that_call_the_course_or_a_library_are_flagged() -> None:
    head = "def saliency(model, inputs, target):\n    "
    own = head + "return gradient_methods.saliency(model, inputs, target)"
    library = head + "from captum.attr import Saliency as S\n    return S(model).attribute(inputs, target=target)"
    assert ("a", "saliency", "calls the course's own") in flags_of(a=solved(UNIT, set(), saliency=own))
    assert ("a", "saliency", "calls a library") in flags_of(a=solved(UNIT, set(), saliency=library))
    assert flags_of(a=solved(UNIT, set(), saliency=SALIENCY)) == set()


def test_same_code_is_flagged_whatever_its_names_and_comments() -> None:
    renamed = (
        re.sub(r"\bpictures\b", "x", SALIENCY)
        .replace("scores", "y")
        .replace("    (result", "    # mine\n    (r")
        .replace("return result", "return r")
    )
    found = flags_of(
        a=solved(UNIT, set(), saliency=SALIENCY), b=solved(UNIT, set(), saliency=renamed), c=solved(UNIT, set())
    )
    assert found == {("a", "saliency", "same code"), ("b", "saliency", "same code")}


def test_solution_itself_is_flagged_and_the_empty_lab_is_not() -> None:
    assert ("a", "saliency", "same code") in flags_of(a=solved(UNIT))
    assert flags_of(a=read(lab_bytes()), b=read(lab_bytes())) == set()
