"""nbgrader's own commands work on the labs, from the solution to the table of grades.

Most of the time goes into starting kernels. So every lab is generated, and two are graded: one unit goes through
everything (solution, empty lab, three submissions), and of the project, which is built in another way, one submission
is graded, in which exercises are right, wrong and left out by turns. That the checks of every unit accept and reject
what they should is tested without nbgrader: see ``test_exercises.py``, ``test_labs.py`` and ``test_grading.py``.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
UNITS = sorted(path.parent.name for path in REPOSITORY.glob("solutions/*/*.ipynb"))
STUDENTS = ("empty", "partly", "right")
COMPLETE = "06_gradient_methods"  # the unit that goes through everything
GRADED = (COMPLETE, "13_project")

GENERATE = """
import sys
from nbgrader.apps import NbGraderAPI
from traitlets.config import PyFileConfigLoader

api = NbGraderAPI(config=PyFileConfigLoader("nbgrader_config.py").load_config())
assert all(api.generate_assignment(unit, force=True)["success"] for unit in sys.argv[1:])
"""


@dataclass
class Graded:
    """A temporary course in which nbgrader graded submissions of a unit."""

    root: Path
    unit: str
    solved: dict[str, set[str]]  # student -> exercises that are solved

    def notebook(self, folder: str) -> nbformat.NotebookNode:
        """The unit's notebook in a folder of the course."""
        return nbformat.read(self.root / folder / self.unit / f"{self.unit}.ipynb", as_version=4)

    def points(self, automatic: bool) -> dict[str, float]:
        """The points of the graded cells: of those that nbgrader runs, or of those that a person reads."""
        graded = [cell for cell in self.notebook("solutions").cells if "points" in cell.metadata.get("nbgrader", {})]
        cells = [cell.metadata.nbgrader for cell in graded if (cell.cell_type == "code") == automatic]
        return {cell.grade_id: float(cell.points) for cell in cells}

    def report_code(self) -> set[str]:
        """The cells of code that a student writes and no check belongs to: those of the project's report."""
        roles = [cell.metadata.get("nbgrader", {}) for cell in self.notebook("solutions").cells]
        code = {role.grade_id for role in roles if role.get("solution") and not role.get("grade")}
        return {name for name in code if f"test_{name}" not in self.points(automatic=True)}

    def expected(self, student: str) -> dict[str, float]:
        """The points that each automatically graded cell must give a student."""
        earned = {f"test_{name}" for name in self.solved[student]}
        return {name: points * (name in earned) for name, points in self.points(automatic=True).items()}


def run_nbgrader(root: Path, *arguments: str) -> str:
    """What the real nbgrader command, run in `root` with this Python and its kernel, prints."""
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(root / ".jupyter"),
        "IPYTHONDIR": str(root / ".ipython"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"nbgrader {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def without_pictures(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the code cells after the set-up that nbgrader does not know: what costs time, not points."""
    graded = ["nbgrader" in cell.metadata for cell in notebook.cells]
    start = next(n for n, cell in enumerate(notebook.cells) if graded[n] and cell.cell_type == "code")
    kept = [graded[n] or n < start or cell.cell_type != "code" for n, cell in enumerate(notebook.cells)]
    notebook.cells = [cell for cell, keep in zip(notebook.cells, kept, strict=True) if keep]
    return notebook


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Writes a notebook and the folders above it."""
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def answered(course: Graded, student: str, wrong: set[str]) -> nbformat.NotebookNode:
    """The lab with the student's exercises solved, those in `wrong` answered wrongly and the others left out."""
    answers = {cell.id: cell.source for cell in course.notebook("solutions").cells}
    lab = course.notebook("labs")
    for cell in lab.cells:
        if cell.id in course.solved[student]:
            cell.source = answers[cell.id]
        elif cell.id in wrong:
            cell.source = f"def {cell.id}(*arguments, **options):\n    return None"
    return lab


def grade(unit: str, students: tuple[str, ...], root: Path) -> Graded:
    """Grade a unit in a temporary course: handed in right, partly right (some left out, some wrong) or empty."""
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    for folder in ("labs", "solutions"):
        shutil.copytree(REPOSITORY / folder / unit, root / folder / unit)
    course = Graded(root, unit, {})
    exercises = [name.removeprefix("test_") for name in course.points(automatic=True)]
    solved = {"right": set(exercises), "partly": set(exercises[::3]), "empty": set()}
    course.solved = {student: solved[student] for student in students}
    run_nbgrader(root, "generate_assignment", unit, "--force")
    for student in students:
        lab = answered(course, student, wrong=set(exercises[1::3]) if student == "partly" else set())
        handed_in = lab if student == "empty" else without_pictures(lab)
        save(handed_in, root / "submitted" / student / unit / f"{unit}.ipynb")
    run_nbgrader(root, "autograde", unit)
    run_nbgrader(root, "generate_feedback", unit)
    run_nbgrader(root, "export", "--to", "grades.csv")
    return course


@pytest.fixture(scope="module", params=GRADED)
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """A unit, with all submissions graded if it is the one that goes through everything, else one."""
    students = STUDENTS if request.param == COMPLETE else ("partly",)
    return grade(request.param, students, tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `nbgrader validate` says of the solution and of the empty lab of one unit."""
    root = tmp_path_factory.mktemp("validated")
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    printed = {}
    for folder in ("solutions", "labs"):
        notebook = nbformat.read(REPOSITORY / folder / COMPLETE / f"{COMPLETE}.ipynb", as_version=4)
        save(without_pictures(notebook), root / folder / f"{COMPLETE}.ipynb")
        printed[folder] = run_nbgrader(root, "validate", f"{folder}/{COMPLETE}.ipynb")
    return printed


def errors(notebook: nbformat.NotebookNode) -> list[str]:
    """The names of the exceptions in a notebook's outputs."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.ename for output in outputs if output.output_type == "error"]


def test_the_labs_in_the_repository_are_those_that_nbgrader_generates(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "nbgrader_config.py", tmp_path)
    shutil.copytree(REPOSITORY / "solutions", tmp_path / "solutions")
    done = subprocess.run([sys.executable, "-c", GENERATE, *UNITS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for unit in UNITS:
        lab = Path("labs") / unit / f"{unit}.ipynb"
        assert (tmp_path / lab).read_bytes() == (REPOSITORY / lab).read_bytes(), unit


def test_the_solution_passes_nbgraders_validation(validated: dict[str, str]) -> None:
    assert "Success! Your notebook passes all the tests." in validated["solutions"]


def test_the_lab_fails_nbgraders_validation_in_every_graded_cell(validated: dict[str, str]) -> None:
    lab = nbformat.read(REPOSITORY / "labs" / COMPLETE / f"{COMPLETE}.ipynb", as_version=4)
    answers = [cell for cell in lab.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert f"VALIDATION FAILED ON {len(answers)} CELL(S)!" in validated["labs"]


def test_each_exercise_gets_its_points(graded: Graded) -> None:
    from nbgrader.api import Gradebook

    automatic = graded.points(automatic=True)
    with Gradebook(f"sqlite:///{graded.root / 'gradebook.db'}") as gradebook:
        for student in graded.solved:
            grades = gradebook.find_submission_notebook(graded.unit, graded.unit, student).grades
            found = {grade.name: grade.auto_score for grade in grades if grade.name in automatic}
            assert found == graded.expected(student), student


def test_the_table_of_grades_has_the_sum_of_the_points(graded: Graded) -> None:
    with (graded.root / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    most = sum((graded.points(automatic=True) | graded.points(automatic=False)).values())
    for student in graded.solved:
        row, expected = rows[student], (graded.unit, sum(graded.expected(student).values()), most)
        assert (row["assignment"], float(row["score"]), float(row["max_score"])) == expected, student


def test_partly_right_lies_between_none_and_all(graded: Graded) -> None:
    assert 0 < sum(graded.expected("partly").values()) < sum(graded.points(automatic=True).values())


def test_what_is_left_out_raises_not_implemented_error_and_what_is_wrong_an_assertion(graded: Graded) -> None:
    found = errors(graded.notebook("autograded/partly"))
    unsolved = len(graded.points(automatic=True)) - len(graded.solved["partly"]) + len(graded.report_code())
    assert len(found) == unsolved and set(found) == {"NotImplementedError", "AssertionError"}


def test_an_unsolved_lab_raises_nothing_but_not_implemented_error(graded: Graded) -> None:
    if graded.unit != COMPLETE:
        pytest.skip("only one unit goes through everything")
    found = errors(graded.notebook("autograded/empty"))
    assert len(found) >= len(graded.points(automatic=True))
    assert set(found) == {"NotImplementedError"}


def test_a_solved_lab_raises_nothing(graded: Graded) -> None:
    if graded.unit != COMPLETE:
        pytest.skip("only one unit goes through everything")
    assert errors(graded.notebook("autograded/right")) == []


def test_the_feedback_shows_every_score(graded: Graded) -> None:
    for student in graded.solved:
        page = (graded.root / "feedback" / student / graded.unit / f"{graded.unit}.html").read_text(encoding="utf-8")
        for name, score in graded.expected(student).items():
            most = graded.points(automatic=True)[name]
            assert f'<a href="#{name}">Test cell</a> (Score: {score:.1f} / {most:.1f})' in page
