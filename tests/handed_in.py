"""Labs, and what students make of them: shared by the tests of grading."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.grading.submissions import Lab, grade_id

REPOSITORY = Path(__file__).resolve().parents[1]
UNITS = sorted(path.parent.name for path in REPOSITORY.glob("labs/*/*.ipynb"))
UNIT = "06_gradient_methods"


def lab_bytes(unit: str = UNIT, folder: str = "labs") -> bytes:
    """The lab, or its solution, as it lies in the repository."""
    return (REPOSITORY / folder / unit / f"{unit}.ipynb").read_bytes()


def lab_of(unit: str = UNIT) -> Lab:
    return Lab(unit, nbformat.reads(lab_bytes(unit).decode(), as_version=4))


def to_bytes(notebook: NotebookNode) -> bytes:
    return nbformat.writes(notebook).encode()


def solved(unit: str, wanted: set[str] | None = None, **instead: str) -> NotebookNode:
    """The lab with its exercises (or those that are wanted) solved; `instead` gives other code for some."""
    solution = nbformat.reads(lab_bytes(unit, "solutions").decode(), as_version=4)
    answers = {grade_id(cell): cell.source for cell in solution.cells if grade_id(cell)}
    notebook = nbformat.reads(lab_bytes(unit).decode(), as_version=4)
    for cell in notebook.cells:
        name = grade_id(cell)
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution"):
            if name in instead:
                cell.source = instead[name]
            elif wanted is None or name in wanted:
                cell.source = answers[name]
    return notebook


def cell_of(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if grade_id(cell) == name)
