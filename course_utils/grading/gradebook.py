"""The course's folders and nbgrader's gradebook: where submissions come from, and where verdicts go.

All writing goes through nbgrader's own converter and API, in one process. What is written for a submission depends on
nothing but the result of its job, and its notebook in ``autograded/`` is put in place last: so whatever is interrupted,
doing it again makes it whole.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import fnmatch
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGrader
from nbgrader.converters import Autograde
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    DeduplicateIds,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from nbgrader.utils import parse_utc

from course_utils.grading import Refused
from course_utils.grading.submissions import (
    LARGE_OUTPUT,
    Lab,
    Output,
    error_output,
    grade_id,
    output_size,
    read,
    role,
)

STATE = ".grading"  # the folder, in the course, of results and secrets
PLACE = "place_in_the_submission"


class Course:
    """A course in nbgrader's folders.

    Args:
        root: the folder with ``nbgrader_config.py``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.app = NbGrader()
        self.app.initialize([], root=str(self.root))
        self.app.log_level = "ERROR"
        self.folders = self.app.coursedir

    def path(self, folder: str, student: str, unit: str) -> Path:
        """Return a folder of nbgrader's, such as ``submitted/ann/06_gradient_methods``."""
        return Path(self.folders.format_path(folder, student, unit))

    def submitted(self, unit: str, pattern: str = "*") -> dict[str, Path]:
        """Return the folder of each submission, by student, in alphabetical order."""
        every = self.path(self.folders.submitted_directory, "*", unit)
        place = every.parts.index("*")
        found = sorted(path for path in self.root.glob(str(every.relative_to(self.root))) if path.is_dir())
        by_student = {path.parts[place]: path for path in found}
        excluded = self.folders.student_id_exclude.split(",")
        return {
            student: path
            for student, path in by_student.items()
            if fnmatch.fnmatchcase(student, pattern) and student not in excluded
        }

    def stamp(self, folder: Path) -> datetime | None:
        """Return when a submission was handed in, in UTC, as its ``timestamp.txt`` says; None where it says nothing.

        Raises:
            Refused: it says something else.
        """
        try:
            text = (folder / "timestamp.txt").read_text().strip()
            return parse_utc(text) if text else None
        except FileNotFoundError:
            return None
        except (ValueError, OverflowError, OSError):
            raise Refused("timestamp.txt holds no time that can be read") from None

    def lab(self, unit: str) -> tuple[Lab, bytes]:
        """Return the lab as it was given out, and its bytes.

        Raises:
            Refused: there is none.
        """
        path = self.path(self.folders.release_directory, ".", unit) / f"{unit}.ipynb"
        if not path.is_file():
            raise Refused(f"there is no {os.path.relpath(path, self.root)}: which unit do you mean?")
        data = path.read_bytes()
        return Lab(unit, nbformat.reads(data.decode(), as_version=4)), data

    def autograded(self, unit: str, student: str) -> Path:
        """Return the path of a graded notebook."""
        return self.path(self.folders.autograded_directory, student, unit) / f"{unit}.ipynb"

    def gradebook(self) -> Gradebook:
        """Return the gradebook, to be used in a ``with`` statement."""
        return Gradebook(self.folders.db_url, self.folders.course_id)

    def points(self, unit: str) -> dict[str, float]:
        """Return the points of the unit's graded cells, as the gradebook knows them.

        Raises:
            Refused: the gradebook does not know the unit.
        """
        with self.gradebook() as gradebook:
            try:
                notebook = gradebook.find_notebook(unit, unit)
            except MissingEntry:
                raise Refused(
                    f"the gradebook does not know {unit} yet: run `make grade UNIT={unit}`, or "
                    f"`nbgrader generate_assignment {unit} --force`, and try again"
                ) from None
            return {cell.name: cell.max_score for cell in (*notebook.grade_cells, *notebook.task_cells)}


# ---------------------------------------------------------------------------------------------------------------------
# Results, the secret, the lock: in .grading/
# ---------------------------------------------------------------------------------------------------------------------


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that at any moment it is there as a whole, old or new, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


class State:
    """What is kept of a unit's grading, in ``.grading/UNIT``: only the instructor's account can read it.

    Args:
        course: whose.
        unit: such as "06_gradient_methods".
    """

    def __init__(self, course: Course, unit: str) -> None:
        self.folder = course.root / STATE / unit
        self._results = self.folder / "results"

    def _make(self) -> None:
        for folder in (self.folder.parent, self.folder, self._results):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)

    @cached_property
    def seed(self) -> int:
        """The seed of the arguments that are drawn: secret, and the same in every run, so that grades do not change."""
        self._make()
        path = self.folder / "seed"
        if not path.exists():
            write_whole(path, str(secrets.randbits(62)).encode(), 0o600)
        return int(path.read_text())

    def result(self, student: str) -> dict[str, Any] | None:
        """Return the result of a student's last job; None if there is none that is whole."""
        try:
            return json.loads((self._results / f"{student}.json").read_text())
        except (OSError, ValueError):
            return None

    def keep(self, student: str, result: dict[str, Any]) -> None:
        """Keep a result."""
        self._make()
        write_whole(self._results / f"{student}.json", json.dumps(result).encode(), 0o600)

    def forget(self, student: str) -> None:
        """Forget a result, so that the submission is graded again."""
        (self._results / f"{student}.json").unlink(missing_ok=True)


@contextlib.contextmanager
def alone(course: Course) -> Iterator[None]:
    """Be the only run that writes to the course's gradebook; the system ends this when the process ends.

    Raises:
        Refused: there is one already.
    """
    folder = course.root / STATE
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise Refused(f"another run is grading this course (process {file.read().strip() or 'unknown'})") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        for half in folder.glob(f"*/results/.*.json.{'?' * 8}"):  # from a run that was killed while it wrote
            half.unlink()
        yield


# ---------------------------------------------------------------------------------------------------------------------
# Writing a verdict down
# ---------------------------------------------------------------------------------------------------------------------


def restored(data: bytes, lab: Lab) -> NotebookNode:
    """Return a submission whose cells have the metadata of the lab again, each with its place in the submission.

    Of several cells of one name the last one keeps it. Graded cells that are gone come back, each after the one before
    it. Outputs stay, but for large ones.
    """
    notebook = read(data)
    last = {grade_id(cell): n for n, cell in enumerate(notebook.cells)}
    for n, cell in enumerate(notebook.cells):
        name = grade_id(cell)
        cell.metadata.pop("nbgrader", None)
        cell.metadata.pop("tags", None)
        if name in lab.known and last[name] == n:
            cell.metadata["nbgrader"] = copy.deepcopy(role(lab.known[name]))
        cell.metadata[PLACE] = n
        if output_size(cell) > LARGE_OUTPUT:
            cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text="[more output than is kept]\n")]
    _bring_back(notebook, lab)
    return notebook


def _bring_back(notebook: NotebookNode, lab: Lab) -> None:
    """Add the graded cells of the lab that are gone: a check that is nowhere can't be given its points."""
    place = {name: n for n, cell in enumerate(notebook.cells) if (name := grade_id(cell))}
    used = {cell.get("id") for cell in notebook.cells}
    before = -1
    for name, given in lab.known.items():
        if name not in place and (role(given).get("grade") or role(given).get("task")):
            cell = copy.deepcopy(given)
            if notebook.nbformat_minor < 5:
                cell.pop("id", None)
            elif cell.get("id") in used:
                cell.id = f"{cell.id[:50]}-again"
            notebook.cells.insert(before + 1, cell)
            place = {other: n + (n > before) for other, n in place.items()} | {name: before + 1}
        before = place.get(name, before)


def check_outputs(verdict: dict[str, Any]) -> list[Output]:
    """Return the outputs that stand below the check of an exercise: what the judge says, and nothing else."""
    if verdict["right"]:
        return [{"output_type": "stream", "name": "stdout", "text": f"{verdict['message']}\n"}]
    name = "NotImplementedError" if verdict["kind"] == "unsolved" else "AssertionError"
    return [error_output(name, verdict["message"])]


class _PutOutputs(NbGraderPreprocessor):
    """Put the outputs of the sandbox below the cells that were run, and the judge's words below the checks."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Do so; a check of which there is no verdict gets an error, and so no points."""
        result = resources["result"]
        for cell in nb.cells:
            place = str(cell.metadata.pop(PLACE, ""))
            if cell.cell_type != "code":
                continue
            cell.execution_count = None
            if role(cell).get("grade"):
                verdict = result["verdicts"].get(role(cell)["grade_id"].removeprefix("test_"))
                outputs = check_outputs(verdict or {"right": False, "kind": "gone", "message": "no verdict"})
            elif place in result["outputs"]:
                outputs = result["outputs"][place]
            else:
                continue
            cell.outputs = [nbformat.from_dict(output) for output in outputs]
        return nb, resources


class _Mark(NbGraderPreprocessor):
    """Write into the notebook which result it shows."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Do so."""
        nb.metadata["grading"] = {name: resources["result"][name] for name in ("digest", "sandboxed")}
        return nb, resources


class _Recorder(Autograde):
    """nbgrader's own autograder, which puts in the results of the sandbox where the original runs the notebook."""

    _steps = (
        DeduplicateIds,
        OverwriteKernelspec,
        OverwriteCells,
        CheckCellMetadata,
        _PutOutputs,
        IgnorePattern,
        ClearMetadataPreprocessor,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
        _Mark,
    )

    def record(self, notebook: NotebookNode, result: dict[str, Any]) -> None:
        """Write down one submission's notebook and scores."""
        self.submission, self.result = notebook, result
        self.start()

    def _init_preprocessors(self) -> None:
        self.exporter._preprocessors = []
        for step in self._steps:
            self.exporter.register_preprocessor(step)

    def convert_single_notebook(self, notebook_filename: str) -> None:
        """Record the notebook that was judged, whatever lies in the file by now."""
        self._init_preprocessors()
        resources = {**self.init_single_notebook_resources(notebook_filename), "result": self.result}
        output, resources = self.exporter.from_notebook_node(self.submission, resources=resources)
        nbgrader = resources["nbgrader"]
        path = Path(self._format_dest(nbgrader["assignment"], nbgrader["student"])) / f"{nbgrader['notebook']}.ipynb"
        write_whole(path, output.encode(), int(str(self.permissions), 8))


def record(course: Course, unit: str, student: str, lab: Lab, data: bytes, result: dict[str, Any]) -> None:
    """Write the verdicts on a submission into the gradebook, and its notebook into ``autograded/``.

    Manual grades and comments that are there stay. Doing it twice is the same as doing it once.

    Args:
        course, unit, student: whose submission it is.
        lab: as it was given out.
        data: the submission.
        result: from :func:`~course_utils.grading.judge.grade`, without an error.

    Raises:
        Refused: its ``timestamp.txt`` holds no time; or nbgrader could not do it, and the message is nbgrader's.
    """
    course.stamp(course.path(course.folders.submitted_directory, student, unit))
    notebook = course.autograded(unit, student)
    notebook.unlink(missing_ok=True)  # first, as where it stands, all of it counts as written
    shutil.rmtree(notebook.parent, ignore_errors=True)
    recorder = _Recorder(coursedir=course.folders, parent=course.app)
    recorder.force = True
    course.folders.assignment_id, course.folders.student_id, course.folders.notebook_id = unit, student, unit
    try:
        recorder.record(restored(data, lab), result)
    except (Exception, SystemExit) as error:
        raise Refused(f"nbgrader can't record {student}: {type(error).__name__}: {error}") from error
    finally:
        course.folders.student_id, course.folders.notebook_id = "*", "*"
    settle(course, unit, student, result)


def expected(course: Course, unit: str, result: dict[str, Any]) -> dict[str, float]:
    """Return the points of the checks, by the verdicts alone: none without a verdict."""
    points = course.points(unit)
    return {
        name: points[name] * bool(result["verdicts"].get(name.removeprefix("test_"), {}).get("right"))
        for name in points
        if name.startswith("test_")
    }


def settle(course: Course, unit: str, student: str, result: dict[str, Any]) -> None:
    """Make the points of the checks those of the verdicts, in one transaction, whatever the notebook holds."""
    wanted = expected(course, unit, result)
    with course.gradebook() as gradebook:
        for grade in gradebook.find_submission_notebook(unit, unit, student).grades:
            if grade.name in wanted:
                grade.auto_score = wanted[grade.name]
                grade.needs_manual_grade = grade.manual_score is not None
        gradebook.db.commit()


def is_recorded(course: Course, unit: str, student: str, result: dict[str, Any]) -> bool:
    """Whether gradebook and ``autograded/`` hold just this result, and when it was handed in.

    Raises:
        Refused: its ``timestamp.txt`` holds no time.
    """
    stamp = course.stamp(course.path(course.folders.submitted_directory, student, unit))
    try:
        notebook = json.loads(course.autograded(unit, student).read_text(encoding="utf-8"))
        if notebook["metadata"]["grading"]["digest"] != result["digest"]:
            return False
        with course.gradebook() as gradebook:
            if stamp not in (None, gradebook.find_submission(unit, student).timestamp):
                return False
            grades = gradebook.find_submission_notebook(unit, unit, student).grades
            scores = {grade.name: grade.auto_score for grade in grades}
    except (OSError, ValueError, KeyError, TypeError, MissingEntry):
        return False
    return all(scores.get(name) == points for name, points in expected(course, unit, result).items())
