"""Nothing that happens to a run of grading changes a grade: kill -9, a lost worker, a broken or an odd submission.

The course is small: four exercises of one unit, one of them read by a person, and six submissions. Its grades after an
undisturbed run are the reference. Everything else must lead to the same ones: in the gradebook, and in the notebooks in
``autograded/``.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

pytestmark = pytest.mark.sandbox

REPOSITORY = Path(__file__).resolve().parents[1]
UNIT = "01_convolution"
POINTS = {"output_size": 2.0, "conv2d": 8.0, "count_parameters": 5.0}
BY_HAND = "shifts"
EARNED = {  # what each student's answers are worth
    "ann": {"output_size": 2.0, "conv2d": 8.0, "count_parameters": 5.0},
    "ben": {"output_size": 2.0, "conv2d": 0.0, "count_parameters": 0.0},
    "cem": {"output_size": 0.0, "conv2d": 0.0, "count_parameters": 0.0},
    "dora": {"output_size": 2.0, "conv2d": 0.0, "count_parameters": 5.0},
    "finn": {"output_size": 0.0, "conv2d": 8.0, "count_parameters": 5.0},
}
BROKEN = "eva"
LATE = "finn"
KILLS = 20
FROM_THE_START = (7, 14)  # those of the killed runs that import everything first
CONFIG = 'c.LateSubmissionPlugin.penalty_method = "zero"  # a late notebook is worth nothing\n'


# ---------------------------------------------------------------------------------------------------------------------
# A small course
# ---------------------------------------------------------------------------------------------------------------------


def small(notebook: NotebookNode) -> NotebookNode:
    """Return the unit's solution with few exercises, and of its first cells only what these need."""
    names = {*POINTS, *(f"test_{name}" for name in POINTS), BY_HAND}
    cells = notebook.cells
    graded = [n for n, cell in enumerate(cells) if "nbgrader" in cell.metadata]
    kept = []
    for n, cell in enumerate(cells):
        if cell.cell_type == "code" and n < graded[0]:
            without_data = cell.source.split("\n\n\nnames = ")[0]
            cell.source = re.sub("from course_utils import .*", "from course_utils import exercises", without_data)
            kept.append(cell)
        elif cell.metadata.get("nbgrader", {}).get("grade_id") in names or n == len(cells) - 1:
            kept.append(cell)
    notebook.cells = kept
    return notebook


@dataclass
class Small:
    """A temporary course."""

    root: Path

    def path(self, folder: str, student: str = "") -> Path:
        """The unit's notebook in a folder of the course."""
        return self.root / folder / student / UNIT / f"{UNIT}.ipynb"

    def read(self, folder: str, student: str = "") -> NotebookNode:
        """The same, read."""
        return nbformat.read(self.path(folder, student), as_version=4)

    def hand_in(self, student: str, what: NotebookNode | bytes, stamp: str | None = None) -> None:
        """Put a student's notebook where nbgrader collects them."""
        path = self.path("submitted", student)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(what if isinstance(what, bytes) else nbformat.writes(what).encode())
        if stamp is not None:
            (path.parent / "timestamp.txt").write_text(stamp)

    def answered(self, student: str) -> NotebookNode:
        """The lab with the answers that are worth what ``EARNED`` says."""
        notebook = self.read("labs")
        answers = {cell.id: cell.source for cell in self.read("solutions").cells}
        for cell in notebook.cells:
            if EARNED[student].get(cell.id):
                cell.source = answers[cell.id]
            elif student == "ben" and cell.id == "conv2d":
                cell.source = "def conv2d(inputs, weight, *rest, **options):\n    return inputs"
            elif student == "dora" and cell.id == "conv2d":
                cell.source = "import os\n\ndef conv2d(*arguments, **options):\n    os._exit(0)"
            elif student == "finn" and cell.id == "output_size":
                cell.source = "def output_size():\n    return 1, 1"
            elif student != "cem" and cell is notebook.cells[-1]:
                cell.source += f"\n\nThe maps move along. ({student})"
        return notebook

    def gradebook(self) -> Any:
        """nbgrader's gradebook, to be used in a ``with`` statement."""
        from nbgrader.api import Gradebook

        return Gradebook(f"sqlite:///{self.root / 'gradebook.db'}", "cnn-workbook")

    def grades(self) -> dict[str, dict[str, Any]]:
        """All that the gradebook says of each student's submission."""
        found = {}
        with self.gradebook() as gradebook:
            for submission in gradebook.assignment_submissions(UNIT):
                notebook = submission.notebooks[0]
                found[submission.student.id] = {
                    "time": str(submission.timestamp),
                    "score": (submission.score, notebook.score, notebook.needs_manual_grade),
                    "penalty": notebook.late_submission_penalty,
                    "grades": sorted(
                        (
                            g.name,
                            g.auto_score,
                            g.manual_score,
                            g.extra_credit,
                            g.score,
                            g.max_score,
                            g.needs_manual_grade,
                        )
                        for g in notebook.grades
                    ),
                    "comments": sorted((c.name, c.auto_comment, c.manual_comment) for c in notebook.comments),
                }
        return found

    def scores(self, student: str) -> dict[str, float]:
        """The points of a student's checks."""
        rows = self.grades()[student]["grades"]
        return {row[0].removeprefix("test_"): row[1] for row in rows if row[0] != BY_HAND}

    def tables(self) -> dict[str, list[str]]:
        """Every row of every table of the gradebook, but for what identifies it; sound, or an error."""
        connection = sqlite3.connect(self.root / "gradebook.db")
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
        finally:
            connection.close()
        return {name: sorted(re.sub(r"'[0-9a-f]{32}'", "ID", repr(row)) for row in rows[name]) for name in rows}

    def notebooks(self) -> dict[str, bytes]:
        """The graded notebooks, and what lies beside them."""
        files = [path for path in (self.root / "autograded").rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def everything(self) -> tuple[Any, ...]:
        """All that a run writes."""
        return self.grades(), self.tables(), self.notebooks()

    def marks(self, student: str) -> dict[str, Any]:
        """What the graded notebook says about how it was graded."""
        return self.read("autograded", student).metadata.grading

    def copy(self, root: Path, graded: bool = True) -> Small:
        """A copy of the course in another folder; without what a run has written, unless `graded`."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        if not graded:
            shutil.rmtree(root / "autograded")
            shutil.rmtree(root / ".grading" / UNIT / "results")
            shutil.copy(root / "before.db", root / "gradebook.db")
        return Small(root)


def make_course(root: Path) -> Small:
    """Make the course: nbgrader knows the lab, six students have handed in, one of them late."""
    course = Small(root)
    settings = (REPOSITORY / "nbgrader_config.py").read_text()
    (root / "nbgrader_config.py").write_text(settings + CONFIG)
    course.path("solutions").parent.mkdir(parents=True)
    solution = nbformat.read(REPOSITORY / "solutions" / UNIT / f"{UNIT}.ipynb", as_version=4)
    nbformat.write(small(solution), course.path("solutions"))
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", UNIT, "--force"]
    made = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment(UNIT, duedate="2026-05-01 12:00:00 UTC")
    for student in EARNED:
        day = "02" if student == LATE else "01"
        course.hand_in(student, course.answered(student), f"2026-05-{day} 09:30:00 UTC")
    course.hand_in(BROKEN, b'{"cells": [')
    shutil.copy(root / "gradebook.db", root / "before.db")
    return course


# ---------------------------------------------------------------------------------------------------------------------
# Runs
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Done:
    """What became of a run."""

    status: int
    output: str
    errors: str
    seconds: float
    left: list[str] = field(default_factory=list)


class Commands:
    """Runs commands of grading: see ``run_and_kill.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("run_and_kill.py"))],
            env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, course: Small, *arguments: str, **rest: Any) -> None:
        """Start a command, whose end :meth:`end` waits for."""
        command = [*arguments, "--workers", "1"] if arguments[0] == "autograde" else [*arguments]
        request = {"arguments": [command[0], UNIT, *command[1:]], "course": str(course.root), **rest}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def end(self) -> Done:
        """Wait for the end of a command; nothing that it started may outlive it."""
        assert self._process.stdout is not None
        done = Done(**json.loads(self._process.stdout.readline()))
        assert done.left == []
        return done

    def __call__(self, course: Small, *arguments: str, **rest: Any) -> Done:
        """Run a command from the course's folder."""
        self.begin(course, *arguments, **rest)
        return self.end()

    def close(self) -> None:
        """Run no more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="module")
def run() -> Iterator[Commands]:
    """What runs commands."""
    commands = Commands()
    yield commands
    commands.close()


@dataclass
class Reference:
    """The course after an undisturbed run, and what this run has said and written."""

    course: Small
    done: Done
    everything: tuple[Any, ...]


@pytest.fixture(scope="module")
def reference(run: Commands, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The undisturbed run."""
    course = make_course(tmp_path_factory.mktemp("reference"))
    done = run(course, "autograde", fresh=True)
    return Reference(course, done, course.everything())


@pytest.fixture
def course(reference: Reference, tmp_path: Path) -> Small:
    """A copy of the graded course."""
    return reference.course.copy(tmp_path / "course")


# ---------------------------------------------------------------------------------------------------------------------
# The undisturbed run
# ---------------------------------------------------------------------------------------------------------------------


def test_everyone_gets_the_points_that_the_answers_are_worth(reference: Reference) -> None:
    assert {student: reference.course.scores(student) for student in EARNED} == EARNED
    assert BROKEN not in reference.course.grades()


def test_a_run_tells_how_far_it_is_who_is_not_graded_and_why(reference: Reference) -> None:
    done = reference.done
    assert done.status == 1, done.errors
    assert f"{BROKEN}: NOT GRADED: the file is no JSON" in done.output
    assert done.output.splitlines()[-1] == f"{UNIT}: 5 of 6 submissions graded."
    assert "6/6" in done.errors and "Traceback" not in done.errors


def test_a_second_run_changes_nothing(run: Commands, reference: Reference, course: Small) -> None:
    before = {path: path.stat().st_mtime_ns for path in (course.root / "autograded").rglob("*")}
    done = run(course, "autograde")
    assert done.status == 1
    assert course.everything() == reference.everything
    assert {path: path.stat().st_mtime_ns for path in (course.root / "autograded").rglob("*")} == before


def test_status_tells_who_is_graded(run: Commands, course: Small) -> None:
    done = run(course, "status")
    assert done.status == 1
    assert "ann: graded: 15 of 15 points" in done.output and f"{BROKEN}: NOT GRADED" in done.output


# ---------------------------------------------------------------------------------------------------------------------
# kill -9
# ---------------------------------------------------------------------------------------------------------------------


def test_grades_are_the_same_after_a_run_was_killed_twenty_times(
    run: Commands, reference: Reference, tmp_path: Path
) -> None:
    course = reference.course.copy(tmp_path / "course", graded=False)
    draw = random.Random(19)
    to_judge = run(course, "autograde").seconds
    assert course.everything() == reference.everything
    empty_again(course)
    to_write = run(course, "autograde").seconds
    kills, whole, again = 0, True, False
    while kills < KILLS:
        if whole:  # then there must be something to do
            again = kills % 2 == 0
            if not again:
                empty_again(course)
        moment = {"kept": 0, "after": draw.uniform(0, 0.9 * to_judge if again else to_write)}
        if again and draw.random() < 0.5:  # while results are written
            moment = {"kept": draw.randint(1, 5), "after": draw.uniform(0, 0.3)}
        options = ["--force"] if whole and again else []
        done = run(course, "autograde", *options, fresh=kills in FROM_THE_START, **moment)
        assert done.status in (-signal.SIGKILL, 1), done.errors
        course.tables()  # the gradebook is sound
        kills += done.status != 1
        whole = done.status == 1
        if not whole and kills % 4 == 0:
            done = run(course, "autograde")
            assert done.status == 1 and done.output.endswith("5 of 6 submissions graded.\n"), done.errors
            whole = True
        if whole:
            assert course.everything() == reference.everything


def empty_again(course: Small) -> None:
    """Leave nothing but the judge's results, as a run that was killed before it wrote."""
    shutil.rmtree(course.root / "autograded")
    (course.root / "gradebook.db-journal").unlink(missing_ok=True)
    shutil.copy(course.root / "before.db", course.root / "gradebook.db")


def test_nothing_runs_on_if_only_the_process_that_was_started_is_killed(
    run: Commands, reference: Reference, course: Small
) -> None:
    done = run(course, "autograde", "--force", fresh=True, kept=1, main_only=True)
    assert done.status == -signal.SIGKILL
    assert run(course, "autograde").status == 1
    assert course.everything() == reference.everything


def test_nothing_runs_on_after_a_killed_run_without_a_sandbox(
    run: Commands, reference: Reference, course: Small
) -> None:
    done = run(course, "autograde", "--force", "--no-sandbox", kept=1)
    assert done.status == -signal.SIGKILL
    assert run(course, "autograde").status == 1
    assert course.everything() == reference.everything


def test_a_killed_run_leaves_no_half_written_files(run: Commands, course: Small) -> None:
    half = course.root / ".grading" / UNIT / "results" / ".ann.json.a1b2c3d4"
    half.write_text('{"digest": ')
    run(course, "autograde")
    assert not half.exists()
    kept = {path.name for path in half.parent.iterdir()}
    assert kept == {f"{student}.json" for student in [*EARNED, BROKEN]}


def test_a_run_beside_another_one_is_refused(run: Commands, reference: Reference, course: Small) -> None:
    from course_utils.grading.gradebook import Course, alone

    with alone(Course(course.root)):
        done = run(course, "autograde", "--force")
    assert done.status == 2
    assert done.errors == f"another run is grading this course (process {os.getpid()})\n"
    assert course.everything() == reference.everything
    assert run(course, "autograde").status == 1


# ---------------------------------------------------------------------------------------------------------------------
# Grading again
# ---------------------------------------------------------------------------------------------------------------------


def changed(course: Small, reference: Reference) -> set[str]:
    """Return the students whose grades or notebooks are not those of the undisturbed run."""
    grades, notebooks = course.grades(), course.notebooks()
    before, _, files = reference.everything
    other = {student for student in grades if grades[student] != before.get(student)}
    return other | {name.split("/")[1] for name in notebooks if notebooks[name] != files.get(name)}


def test_a_late_notebook_gets_nbgraders_penalty(reference: Reference) -> None:
    grades = reference.course.grades()
    assert {student: grades[student]["penalty"] for student in EARNED if student != LATE} == dict.fromkeys(
        set(EARNED) - {LATE}
    )
    assert (grades[LATE]["score"][0], grades[LATE]["penalty"]) == (13, 13)
    assert grades[LATE]["time"] == "2026-05-02 09:30:00"


def test_manual_grades_comments_and_penalties_survive_when_everything_is_graded_again(
    run: Commands, course: Small
) -> None:
    with course.gradebook() as gradebook:
        for student, score in (("ann", 6.5), (LATE, 4.0)):
            grade = gradebook.find_grade(BY_HAND, UNIT, UNIT, student)
            grade.manual_score, grade.needs_manual_grade = score, False
        own = gradebook.find_grade("test_conv2d", UNIT, UNIT, "ann")
        own.manual_score, own.extra_credit = 5.0, 1.0
        gradebook.find_comment("conv2d", UNIT, UNIT, "ann").manual_comment = "Where is the stride?"
        gradebook.db.commit()
    run(course, "autograde", "--force")
    after = course.grades()
    rows = {row[0]: row[1:5] for row in after["ann"]["grades"]}
    assert rows[BY_HAND] == (None, 6.5, None, 6.5)
    assert rows["test_conv2d"] == (8.0, 5.0, 1.0, 6.0)
    assert ("conv2d", None, "Where is the stride?") in after["ann"]["comments"]
    assert after["ann"]["score"][0] == 2 + 6 + 5 + 6.5
    assert (after[LATE]["score"][0], after[LATE]["penalty"]) == (13 + 4, 13 + 4)


def test_only_the_students_that_are_asked_for_are_graded(run: Commands, reference: Reference, course: Small) -> None:
    before = {student: course.path("autograded", student).stat().st_mtime_ns for student in EARNED}
    done = run(course, "autograde", "--force", "--student", "[ab]*")
    assert (done.status, done.output.splitlines()[-1]) == (0, f"{UNIT}: 2 of 2 submissions graded.")
    after = {student: course.path("autograded", student).stat().st_mtime_ns for student in EARNED}
    assert {student for student in EARNED if before[student] != after[student]} == {"ann", "ben"}
    assert course.everything() == reference.everything


def test_a_pattern_that_nobody_matches_is_refused(run: Commands, course: Small) -> None:
    done = run(course, "autograde", "--student", "zoe")
    assert done.status == 2 and done.errors.startswith("nothing to grade")


def test_who_hands_in_again_is_graded_again_and_nobody_else(run: Commands, reference: Reference, course: Small) -> None:
    old = course.path("submitted", "ann").stat().st_mtime
    course.hand_in("ann", course.answered("ben"), "2026-05-01 10:00:00 UTC")
    os.utime(course.path("submitted", "ann"), (old - 60, old - 60))  # a copy keeps the time of the original
    assert "ann: handed in again since it was graded" in run(course, "status").output
    run(course, "autograde")
    assert changed(course, reference) == {"ann"}
    assert course.scores("ann") == EARNED["ben"]
    assert course.grades()["ann"]["time"] == "2026-05-01 10:00:00"
    assert len(course.tables()["submitted_assignment"]) == len(EARNED)
    assert "ann: graded: 2 of 15 points" in run(course, "status").output


def test_who_hands_in_something_broken_keeps_the_points_and_is_reported(
    run: Commands, reference: Reference, course: Small
) -> None:
    course.hand_in("ann", b"{}")
    done = run(course, "autograde")
    assert "ann: NOT GRADED: the file is JSON, but no Jupyter notebook" in done.output
    assert changed(course, reference) == set()
    assert "ann: NOT GRADED" in run(course, "status").output
    course.hand_in("ann", course.answered("ann"))
    assert "ann: handed in again since it was graded" in run(course, "status").output
    run(course, "autograde")
    assert course.scores("ann") == EARNED["ann"]


def test_a_new_due_date_counts_with_force(run: Commands, course: Small) -> None:
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment(UNIT, duedate="2026-05-03 12:00:00 UTC")
    run(course, "autograde", "--force", "--student", LATE)
    assert course.grades()[LATE]["penalty"] is None


def test_a_new_timestamp_alone_is_written_down(run: Commands, reference: Reference, course: Small) -> None:
    stamps = {"ann": "2026-05-03 10:00:00 UTC", LATE: "2026-05-01 13:59:00 Europe/Berlin"}
    for student, stamp in stamps.items():
        (course.path("submitted", student).parent / "timestamp.txt").write_text(stamp)
    run(course, "autograde")
    grades = course.grades()
    assert (grades["ann"]["time"], grades["ann"]["penalty"]) == ("2026-05-03 10:00:00", 15)
    assert (grades[LATE]["time"], grades[LATE]["penalty"]) == ("2026-05-01 11:59:00", None)
    assert changed(course, reference) == {"ann", LATE}


def test_a_timestamp_that_is_none_is_reported_by_name(run: Commands, course: Small) -> None:
    (course.path("submitted", "ann").parent / "timestamp.txt").write_text("last Tuesday-ish, I think")
    assert "ann: timestamp.txt holds no time" in run(course, "check").output
    done = run(course, "autograde")
    assert done.status == 1 and "ann: NOT GRADED: timestamp.txt holds no time" in done.output
    assert done.output.splitlines()[-1] == f"{UNIT}: 4 of 6 submissions graded."


# ---------------------------------------------------------------------------------------------------------------------
# Submissions with something wrong
# ---------------------------------------------------------------------------------------------------------------------


def without(notebook: NotebookNode, *names: str) -> NotebookNode:
    """Return a notebook without some cells."""
    notebook.cells = [cell for cell in notebook.cells if cell.id not in names]
    return notebook


def odd_submissions(course: Small) -> dict[str, NotebookNode | bytes]:
    """Return submissions with something wrong, by what it is."""
    made = {name: course.answered("ann") for name in ("gone", "twice", "edited", "loud", "prose")}
    cells = {name: {cell.id: cell for cell in notebook.cells} for name, notebook in made.items()}
    without(made["gone"], "conv2d", "test_conv2d", "test_count_parameters", BY_HAND)
    second = nbformat.from_dict({**cells["twice"]["conv2d"], "id": "second"})
    cells["twice"]["conv2d"].source = "raise SystemExit"
    made["twice"].cells.insert(made["twice"].cells.index(cells["twice"]["conv2d"]) + 1, second)
    cells["edited"]["test_conv2d"].source = "pass"
    cells["edited"]["test_conv2d"].metadata.nbgrader.points = 800
    text = nbformat.v4.new_output("stream", name="stdout", text="na " * (50 * 2**20 // 3))
    cells["loud"]["conv2d"].outputs = [text]
    cells["prose"]["conv2d"].source = "First I would pad the image."
    other = nbformat.read(REPOSITORY / "labs" / "12_gam" / "12_gam.ipynb", as_version=4)
    return {**made, "other": other, "listed": b"[1, 2]", "empty": b"", "picture": b"\x89PNG\r\n\x1a\n\xff"}


FOUND = {  # what is said of whom
    "gone": tuple(f"{name}: the cell is gone" for name in ("conv2d", "test_conv2d", "test_count_parameters", BY_HAND)),
    "twice": ("conv2d: a second cell of this name",),
    "edited": ("test_conv2d: its text was changed", "test_conv2d: nbgrader's metadata were changed: points"),
    "loud": ("conv2d: 50 MB of output",),
    "prose": ("conv2d: Python can't read it",),
    "other": ("this is a notebook of 12_gam, not of 01_convolution",),
    "listed": ("the file is JSON, but no Jupyter notebook",),
    "empty": ("the file is empty",),
    "picture": ("the file is no UTF-8 text",),
    "folder": (f"there is no {UNIT}.ipynb",),
    "ann": ("notes.txt lies beside the notebook",),
}
NOT_GRADED = {"other", "listed", "empty", "picture", "folder", BROKEN}


@pytest.fixture(scope="module")
def odd(
    run: Commands, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Small, Done, Done, list[str]]:
    """A course with odd submissions, what `check` said, what `autograde` said, and what was graded after `check`."""
    course = reference.course.copy(tmp_path_factory.mktemp("odd"))
    for student, what in odd_submissions(course).items():
        course.hand_in(student, what)
    course.path("submitted", "folder").parent.mkdir(parents=True)
    (course.path("submitted", "ann").parent / "notes.txt").write_text("x")
    checked = run(course, "check")
    graded = sorted(path.parts[-3] for path in (course.root / "autograded").rglob("*.ipynb"))
    return course, checked, run(course, "autograde"), graded


@pytest.mark.parametrize("student", FOUND)
def test_what_is_wrong_is_said_by_student_and_cell(student: str, odd: tuple[Small, Done, Done, list[str]]) -> None:
    _, checked, graded, _ = odd
    for text in FOUND[student]:
        assert f"  {student}: {text}" in checked.output
        assert f"  {student}: {text}" in graded.output


def test_a_check_grades_nothing(odd: tuple[Small, Done, Done, list[str]]) -> None:
    _, checked, _, graded = odd
    assert checked.status == 1 and graded == sorted(EARNED)
    assert checked.output.splitlines()[-1] == f"{UNIT}: 16 submissions, 4 of them without a problem."


def test_what_is_wrong_is_said_before_anything_is_graded(odd: tuple[Small, Done, Done, list[str]]) -> None:
    lines = odd[2].output.splitlines()
    first = next(n for n, line in enumerate(lines) if "NOT GRADED" in line)
    assert not [line for line in lines[first:] if line.endswith("]")]


def test_submissions_with_something_wrong_stop_nobody(
    odd: tuple[Small, Done, Done, list[str]], reference: Reference
) -> None:
    course, _, done, _ = odd
    assert done.status == 1 and "Traceback" not in done.errors
    assert done.output.splitlines()[-1] == f"{UNIT}: 10 of 16 submissions graded."
    assert {student for student in NOT_GRADED if f"{student}: NOT GRADED: " in done.output} == NOT_GRADED
    full = EARNED["ann"]
    assert course.scores("gone") == {**full, "conv2d": 0}
    assert course.scores("twice") == course.scores("edited") == course.scores("loud") == full
    assert course.scores("prose") == {**full, "conv2d": 0}
    assert changed(course, reference) - {"ann"} == {"gone", "twice", "edited", "loud", "prose"}  # hers has a new file
    assert course.scores("ann") == full


def test_graded_cells_that_are_gone_come_back_in_their_places(odd: tuple[Small, Done, Done, list[str]]) -> None:
    course = odd[0]
    lab = [cell.id for cell in course.read("labs").cells if cell.metadata.get("nbgrader", {}).get("grade")]
    notebook = course.read("autograded", "gone")
    assert [cell.id for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")] == lab
    check = next(cell for cell in notebook.cells if cell.id == "test_conv2d")
    assert check.outputs[0].evalue == "conv2d: nothing in the notebook is called conv2d."


def test_large_outputs_are_not_kept(odd: tuple[Small, Done, Done, list[str]]) -> None:
    assert odd[0].path("autograded", "loud").stat().st_size < 10**6


# ---------------------------------------------------------------------------------------------------------------------
# Without bubblewrap
# ---------------------------------------------------------------------------------------------------------------------


def test_without_bubblewrap_nothing_is_graded(run: Commands, reference: Reference, course: Small) -> None:
    done = run(course, "autograde", "--force", environment={"PATH": str(course.root)})
    assert done.status == 2 and done.output == ""
    for text in ("needs bubblewrap (the command bwrap), and here it is missing", "sudo apt install", "--no-sandbox"):
        assert text in done.errors
    assert course.everything() == reference.everything


def test_with_a_bubblewrap_that_does_not_work_nothing_is_graded(
    run: Commands, reference: Reference, course: Small
) -> None:
    fake = course.root / "bwrap"
    fake.write_text("#!/bin/sh\necho 'no namespaces here' >&2\nexit 1\n")
    fake.chmod(0o755)
    done = run(course, "autograde", "--force", environment={"PATH": f"{course.root}:/usr/bin:/bin"})
    assert done.status == 2 and "does not work (no namespaces here)" in done.errors
    assert course.everything() == reference.everything


def test_a_run_without_a_sandbox_says_so_everywhere(run: Commands, course: Small) -> None:
    done = run(course, "autograde", "--no-sandbox", environment={"PATH": str(course.root)})
    assert done.status == 1, done.errors
    assert done.errors.startswith("WITHOUT A SANDBOX: ")
    assert done.output.splitlines()[-1] == f"{UNIT}: 5 of 6 submissions graded WITHOUT A SANDBOX."
    assert {student: course.scores(student) for student in EARNED} == EARNED
    assert "ann: graded: 15 of 15 points by checks, WITHOUT A SANDBOX" in run(course, "status").output
    assert not any(course.marks(student)["sandboxed"] for student in EARNED)
    run(course, "autograde")
    assert all(course.marks(student)["sandboxed"] for student in EARNED)
    assert "WITHOUT" not in run(course, "status").output


def test_a_unit_that_the_gradebook_does_not_know_is_refused(run: Commands, course: Small) -> None:
    (course.root / "gradebook.db").unlink()
    done = run(course, "autograde")
    assert done.status == 2 and f"nbgrader generate_assignment {UNIT} --force" in done.errors


# ---------------------------------------------------------------------------------------------------------------------
# On a cluster
# ---------------------------------------------------------------------------------------------------------------------


class Cluster:
    """A Dask scheduler with workers, each a process of its own.

    Args:
        folder: for what they write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        described = folder / "scheduler.json"
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(described))
        until(described.exists)
        self.address = json.loads(described.read_text())["address"]

    def _start(self, command: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        usual = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "DASK_LOGGING__DISTRIBUTED": "error"}
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command}", "--no-dashboard", *options],
                cwd=self.folder,
                env=os.environ | usual | environment,
                start_new_session=True,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def worker(self, threads: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        options = ("--nthreads", str(threads), "--nworkers", "1", "--local-directory", str(self.folder))
        return self._start("dask_worker", self.address, *options, **environment)

    def wait_for(self, workers: int) -> None:
        """Wait until that many workers have come."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def close(self) -> None:
        """End all."""
        for process in self.processes:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, its children and what runs in its sandboxes, as far as it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed: the extra `cluster`")
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.close()


def below(number: int) -> dict[int, str]:
    """Return the processes below one, each with the time of its start."""
    from course_utils.grading.sandbox import _descendants

    return {n: started for n in _descendants(number) if (started := start_of(n))}


def start_of(number: int) -> str:
    """Return when a process has started; "" for one that has ended."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def test_a_cluster_that_loses_a_worker_gives_the_same_grades(
    run: Commands, reference: Reference, cluster: Cluster, course: Small
) -> None:
    workers = [cluster.worker(), cluster.worker()]
    cluster.wait_for(2)
    empty_again(course)
    results = course.root / ".grading" / UNIT / "results"
    shutil.rmtree(results)
    run.begin(course, "autograde", "--scheduler", cluster.address)
    try:
        until(lambda: any(results.glob("[a-z]*.json")))
    finally:
        ran = below(workers[0].pid)
        kill(workers[0])
        done = run.end()
    assert done.status == 1 and done.output.splitlines()[-1] == f"{UNIT}: 5 of 6 submissions graded.", done.errors
    assert course.everything() == reference.everything
    until(lambda: not any(start_of(number) == started for number, started in ran.items()), 10)


def test_a_worker_with_two_threads_gives_the_same_grades(
    run: Commands, reference: Reference, cluster: Cluster, course: Small
) -> None:
    cluster.worker(threads=2)
    cluster.wait_for(1)
    done = run(course, "autograde", "--force", "--scheduler", cluster.address)
    assert done.status == 1 and done.output.splitlines()[-1] == f"{UNIT}: 5 of 6 submissions graded.", done.errors
    assert course.everything() == reference.everything


def test_a_worker_without_bubblewrap_is_named(
    run: Commands, reference: Reference, cluster: Cluster, course: Small
) -> None:
    cluster.worker(PATH=str(cluster.folder))
    cluster.wait_for(1)
    done = run(course, "autograde", "--force", "--scheduler", cluster.address)
    assert done.status == 2, done.errors
    assert "worker tcp://127.0.0.1:" in done.errors and "the command bwrap), and here it is missing" in done.errors
    assert course.everything() == reference.everything


def test_a_worker_with_another_version_of_the_course_is_named(
    run: Commands, reference: Reference, cluster: Cluster, course: Small
) -> None:
    other = cluster.folder / "other"
    shutil.copytree(REPOSITORY / "course_utils", other / "course_utils", ignore=shutil.ignore_patterns("weights"))
    with (other / "course_utils" / "lime.py").open("a") as file:
        file.write("# changed\n")
    cluster.worker(PYTHONPATH=str(other))
    cluster.wait_for(1)
    done = run(course, "autograde", "--force", "--scheduler", cluster.address)
    assert done.status == 2
    assert re.search(r"worker tcp://127\.0\.0\.1:\d+ has version \S+ of the course, and this machine has ", done.errors)
    assert course.everything() == reference.everything


def test_a_worker_of_another_version_that_comes_later_is_refused(
    cluster: Cluster, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from course_utils.grading import pool
    from course_utils.grading.judge import Job

    cluster.worker()
    monkeypatch.setattr(pool, "_check_workers", lambda client, wrapped: None)
    monkeypatch.setattr(pool, "course_version", lambda: "0.0+of-the-past")
    course = reference.course
    job = Job(UNIT, course.path("submitted", "ann").read_bytes(), course.path("labs").read_bytes(), 0)
    with pytest.raises(pool.Unsuitable, match="came later has another version of the course"):
        next(pool.on_cluster([("ann", job)], cluster.address))


@pytest.mark.parametrize("lost", ["scheduler", "only worker"])
def test_a_cluster_that_is_lost_ends_the_run_with_a_message(
    lost: str, cluster: Cluster, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from course_utils.grading import pool
    from course_utils.grading.judge import Job

    monkeypatch.setattr(pool, "PATIENCE", 2.0)
    cluster.worker()
    course, told = reference.course, {"scheduler": "scheduler has gone", "only worker": "no workers left"}
    lab = course.path("labs").read_bytes()
    jobs = [(student, Job(UNIT, course.path("submitted", student).read_bytes(), lab, 0)) for student in EARNED]
    cluster.wait_for(1)
    done = pool.on_cluster(jobs, cluster.address)
    assert next(done)[2]["error"] is None
    kill(cluster.processes[lost == "only worker"])
    with pytest.raises(pool.Unsuitable, match=told[lost]):
        list(done)


def test_without_dask_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from course_utils.grading import pool

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(pool.Unsuitable, match=r"pip install 'course-utils\[cluster\]'"):
        next(pool.on_cluster([], "tcp://127.0.0.1:1"))


def test_a_scheduler_without_workers_and_none_at_all_are_told_apart(
    run: Commands, reference: Reference, cluster: Cluster, course: Small
) -> None:
    done = run(course, "autograde", "--force", "--scheduler", cluster.address)
    assert (done.status, done.errors.splitlines()[-1]) == (2, "the scheduler has no workers")
    cluster.close()
    done = run(course, "autograde", "--force", "--scheduler", cluster.address)
    assert done.status == 2 and f"no scheduler answers at {cluster.address}" in done.errors
    assert course.everything() == reference.everything
