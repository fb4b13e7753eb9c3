"""Attacks on grading: none gains a point, costs another submission one, or finds out anything."""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attacks
import nbformat
import pytest
from attacks import HONEST, OTHER_UNIT, UNIT, Attack, cells, escape, flood, forge, gain, read
from attacks.course import command, make_course, scores, student_of

from course_utils.grading import bubblewrap, judge
from course_utils.grading.bubblewrap import Limits
from course_utils.grading.judge import Job, grade
from course_utils.grading.sandbox import _descendants

pytestmark = pytest.mark.sandbox
FAMILIES = {"gain": gain, "read": read, "escape": escape, "flood": flood, "forge": forge}
ALL = {attack.name: attack for family in FAMILIES.values() for attack in family.ATTACKS}
LAST = {family.ATTACKS[-1].name for family in FAMILIES.values()}  # then an honest submission follows
LIMITS = Limits(memory=2**30, call=3, cell=3, notebook=40)
CANARY = "CANARY-5f1d"
LEAKED = (CANARY, "SECRET-LEAKED")


def graded(data: bytes, unit: str = UNIT) -> dict[str, Any]:
    lab = json.dumps(attacks.cut(unit, "labs")).encode()
    return grade(Job(unit, data, lab, seed=20261128, limits=LIMITS))


def right(result: dict[str, Any]) -> set[str]:
    return {name for name, verdict in result["verdicts"].items() if verdict["right"]}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where secrets lie, each with a canary in it; and addresses where somebody listens."""
    root = tmp_path_factory.mktemp("course")
    found = {"course": str(root)}
    for name, path in {
        "solution": f"solutions/{UNIT}/{UNIT}.ipynb",
        "gradebook": "gradebook.db",
        "classmate": f"submitted/ann/{UNIT}/{UNIT}.ipynb",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{CANARY} {name}")
        found[name] = str(root / path)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as hidden:
        name = f"attacks-{os.getpid()}"
        hidden.bind(f"\0{name}")
        hidden.listen()
        yield {**found, "port": str(server.getsockname()[1]), "abstract": name, "socket": str(root / "socket")}
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    files = sorted(str(path) for path in root.rglob("*") if path.is_file())
    assert files == sorted(found[name] for name in ("solution", "gradebook", "classmate"))
    assert all(Path(path).read_text().startswith(CANARY) for path in files)


@pytest.fixture(scope="module", autouse=True)
def _end() -> Iterator[None]:
    os.environ["SECRET_OF_THE_JUDGE"] = CANARY
    yield
    del os.environ["SECRET_OF_THE_JUDGE"]
    judge.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def check_result(result: dict[str, Any], data: bytes) -> None:
    """A result can be written, has outputs of nbformat's form, and no secrets."""
    text = json.dumps(result, ensure_ascii=False)
    assert text.encode().decode() == text
    assert not any(mark in text for mark in LEAKED), text[text.find("SECRET") :][:300]
    assert len(text) < 40 * 2**20
    notebook = nbformat.v4.new_notebook()
    for outputs in result["outputs"].values():
        notebook.cells.append(nbformat.v4.new_code_cell(outputs=[nbformat.from_dict(item) for item in outputs]))
    nbformat.validate(notebook)


@pytest.mark.parametrize("name", ALL)
def test_an_attack_gains_nothing_and_leaves_nothing(name: str, places: dict[str, str]) -> None:
    attack = ALL[name]
    data = attack.submission(places)
    if not judge._WARM or next(iter(judge._WARM.values()))[0]._describe["unit"] != attack.unit:
        graded(attacks.honest(attack.unit), attack.unit)
    before = open_files()
    result = graded(data, attack.unit)
    honest = {HONEST[attack.unit]}
    assert right(result) <= honest, result["verdicts"]
    if not attack.ruins:
        assert right(result) == honest, (result["error"], result["verdicts"])
        assert result["error"] is None
    check_result(result, data)
    (sandbox, _), *others = judge._WARM.values()
    assert not others
    assert set(_descendants(sandbox._process.pid)) == set(sandbox._known)
    assert abs(open_files() - before) < 3
    if name in LAST:
        assert right(graded(attacks.honest())) == {HONEST[UNIT]}
    for path in ("/tmp/attacked-by-pickle", "/attacked", "/dev/attacked"):
        assert not Path(path).exists()


def test_a_full_pipe_stops_nobody_else(places: dict[str, str]) -> None:
    graded(ALL["pipe of the sandbox filled"].submission(places))
    result = graded(Attack("writes", "to write", "import os\nos.write(2, b'x' * 5000)\nprint('done')").submission())
    assert "done" in json.dumps(result["outputs"]) and right(result) == {HONEST[UNIT]}


def test_another_unit_is_as_safe(places: dict[str, str]) -> None:
    for name in ("references by gc", "solutions read", "exit in the answer"):
        attack = ALL[name]
        data = Attack(name, attack.tries, attack.cell, unit=OTHER_UNIT).submission(places)
        result = graded(data, OTHER_UNIT)
        assert right(result) == {HONEST[OTHER_UNIT]}
        check_result(result, data)


def test_a_package_among_the_libraries_is_not_there_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "--tmpfs", str(attacks.REPOSITORY / "course_utils")
    options = bubblewrap.command("bwrap", 0, None)
    assert hidden not in itertools.pairwise(options)
    monkeypatch.setattr(bubblewrap.sysconfig, "get_path", lambda name: str(attacks.REPOSITORY))
    options = bubblewrap.command("bwrap", 0, None)
    assert hidden in itertools.pairwise(options)


def test_names_are_unique_and_there_are_enough() -> None:
    names = [attack.name for family in FAMILIES.values() for attack in family.ATTACKS]
    names += [beside.attack.name for beside in cells.SUBMISSIONS]
    assert len(set(names)) == len(names) >= 40


# ---------------------------------------------------------------------------------------------------------------------
# By the file and the folder, through the real commands
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    judge.close()
    root = tmp_path_factory.mktemp("commands")
    make_course(root, cells.SUBMISSIONS)
    assert command(root, "check") == 1
    assert command(root, "autograde", "--workers", "1", "--call", "4", "--cell", "6") == 1
    assert command(root, "feedback", "--student", "a[ln]*") == 0
    assert command(root, "feedback", "--student", "attachments*") == 0
    assert command(root, "feedback", "--student", "link*") == 2  # there is nothing that is graded
    assert command(root, "export") == 0
    return root


POINTS = {"test_circle_gradient": 2, "test_relu_backward": 4, "test_saliency": 5, "test_saturation_methods": 2}


def test_the_gradebook_has_no_point_too_many_or_too_few(course: Path) -> None:
    one = {name: (points * (name == "test_relu_backward"), points) for name, points in POINTS.items()}
    expected = {student_of(beside.attack): one for beside in cells.SUBMISSIONS if beside.graded}
    expected |= {"zoe": one, "ann": {name: (points, points) for name, points in POINTS.items()}}
    assert scores(course) == expected


def test_feedback_holds_nothing_that_was_linked(course: Path) -> None:
    assert not (course / "attacked").exists()
    for folder in ("autograded", "feedback"):
        for path in (course / folder).rglob("*"):
            assert not path.is_file() or not path.read_bytes().startswith(b"SQLite format 3\x00\x10"), path
    assert not list((course / "feedback").glob("link-*"))
