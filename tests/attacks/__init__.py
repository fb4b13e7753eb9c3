"""Submissions that try to gain points, to read, to write, to escape, to outlive, to flood or to stall.

Each is written as somebody would who has read all of ``course_utils.grading``. The labs are cut down to a few
exercises: one is solved honestly, the attack goes for the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT, OTHER_UNIT = "06_gradient_methods", "01_convolution"
KEPT = {
    UNIT: ("circle_gradient", "relu_backward", "saliency", "saturation_methods"),
    OTHER_UNIT: ("inner_potential", "output_size", "count_parameters"),
}
HONEST = {UNIT: "relu_backward", OTHER_UNIT: "output_size"}
PLACES = "PLACES"  # in an attack's code: where the secrets lie, which it is looking for

Notebook = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """A submission that tries something.

    Args:
        name: short, unique.
        tries: what it tries, in a sentence.
        cell: code of a cell before the first exercise.
        answers: code for exercises, by name.
        change: changes the notebook, as JSON; or gives the bytes of the file.
        unit: whose lab it is made from.
        ruins: whether it breaks its own notebook, so that what is honest in it may be lost.
        harmless: whether it can be run without a sandbox, to see what plain nbgrader makes of it.
        gains: whether it is after points.
    """

    name: str
    tries: str
    cell: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    change: Callable[[Notebook], bytes | None] | None = None
    unit: str = UNIT
    ruins: bool = False
    harmless: bool = False
    gains: bool = False

    def submission(self, places: Mapping[str, str] | None = None) -> bytes:
        """The file that is handed in; `places` are where the secrets lie."""
        notebook = cut(self.unit, "labs")
        honest = answers(self.unit)[HONEST[self.unit]]
        for cell in notebook["cells"]:
            name = cell["id"]
            if name == HONEST[self.unit]:
                cell["source"] = honest
            if name in self.answers:
                cell["source"] = self.answers[name]
        if self.cell:
            insert(notebook, self.cell.replace(PLACES, repr(dict(places or {}))))
        data = self.change(notebook) if self.change else None
        return json.dumps(notebook).encode() if data is None else data


def cut(unit: str, folder: str) -> Notebook:
    """A lab, or its solution, with nothing but the set-up and the exercises in ``KEPT``."""
    path = REPOSITORY / folder / unit / f"{unit}.ipynb"
    cells = nbformat.read(path, as_version=4)
    first = next(n for n, cell in enumerate(cells.cells) if "nbgrader" in cell.metadata)
    wanted = {*KEPT[unit], *(f"test_{name}" for name in KEPT[unit])}
    cells.cells = [cell for n, cell in enumerate(cells.cells) if n < first or cell.id in wanted]
    return json.loads(nbformat.writes(cells))


def answers(unit: str) -> dict[str, str]:
    """The right answers, by exercise."""
    return {cell["id"]: "".join(cell["source"]) for cell in cut(unit, "solutions")["cells"] if cell["id"] in KEPT[unit]}


def honest(unit: str = UNIT) -> bytes:
    """What an honest student hands in, who has solved one exercise."""
    return Attack("honest", "to learn something", unit=unit).submission()


def insert(notebook: Notebook, source: str, before: str = "", **more: Any) -> None:
    """Put a cell before the first exercise, or before another cell."""
    place = next(n for n, cell in enumerate(notebook["cells"]) if cell["id"] == (before or first_exercise(notebook)))
    name = f"added-{len(notebook['cells'])}"
    cell = {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    notebook["cells"].insert(place, {**cell, **more})


def first_exercise(notebook: Notebook) -> str:
    return next(cell["id"] for cell in notebook["cells"] if "nbgrader" in cell["metadata"])


def function(name: str, body: str) -> str:
    """Code of an answer that takes anything."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"def {name}(*arguments, **options):\n{lines}"
