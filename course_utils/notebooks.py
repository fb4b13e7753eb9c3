"""Builds `lectures/`, `solutions/` and `labs/` from the text sources in `units/`, and keeps README.md's Colab links.

    python -m course_utils.notebooks             write every notebook of every unit
    python -m course_utils.notebooks 07_lrp      write the notebooks of one unit
    python -m course_utils.notebooks --check     write nothing; exit 1 if a generated file is not what its source makes

A source is `units/<unit>/lecture.py` or `units/<unit>/lab.py` in jupytext's percent format:

- A cell starts with `# %%` (code), `# %% [markdown]` or `# %% [raw]`. Behind it stand the cell's metadata, as JSON:
  `slideshow={"slide_type": "slide"}`, `tags=["hide-input"]`, and in a lab `nbgrader={...}`.
- `{{colab_badge}}`, alone on a line of a markdown cell, becomes the "Open in Colab" badge of this notebook.
- The first code cell holds the comment `# {{setup}}` and nothing else. It becomes the cell that installs the package
  on Colab and does nothing elsewhere. Both take the address from `[tool.course]` in `pyproject.toml`.

nbgrader's metadata are written short, the rest is filled in:

- the stub of an exercise: `nbgrader={"grade_id": "saliency", "solution": true}`; what a student has to write stands
  between `### BEGIN SOLUTION` and `### END SOLUTION`
- its check: `nbgrader={"grade_id": "test_saliency", "grade": true, "points": 4}`; it calls
  `unit["saliency"].check(...)`, and what only the grader sees stands between `### BEGIN HIDDEN TESTS` and
  `### END HIDDEN TESTS`
- an answer graded by hand: `[markdown] nbgrader={"grade_id": "compare", "grade": true, "solution": true, "points": 5}`
- a task with its rubric: `[markdown] nbgrader={"grade_id": "report", "task": true, "points": 9}`, the rubric between
  `### BEGIN MARK SCHEME` and `### END MARK SCHEME`
- text that a student cannot change: `nbgrader={"grade_id": "rules", "locked": true}`

A graded cell belongs to the last heading above it that names points. The heading of an exercise reads like
`## Exercise 2: saliency (4 points, difficulty 2 of 5, 15 minutes)`; its points are those of the graded cells under it.
If the lab's title (`# ...`) names points, they are the sum of all.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import json
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

ROLES = ("grade", "solution", "locked", "task")
UNIT = re.compile(r"\d\d_\w+")
MARKER = re.compile(r"\s*#\s*%%(%*\s|$)")
PLACEHOLDER = re.compile(r"^\s*(# )?\{\{\s*\w+\s*\}\}\s*$")
BADGE, SETUP = "{{colab_badge}}", "# {{setup}}"
DELIMITER = re.compile(
    r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)"
)  # nbgrader looks for these anywhere in a line
ALMOST_DELIMITER = re.compile(r"#\s*(begin|end)[\s_-]*(solution|hidden[\s_-]*test|mark(ing)?[\s_-]*scheme)", re.I)
POINTS = re.compile(r"\b(\d+(?:\.\d+)?) points?\b")
COLAB_LINK = re.compile(r"https://colab\.research\.google\.com/github/[^/\s]+/[^/\s]+/blob/[^/\s]+/")
EXERCISE = re.compile(r"""\bunit\[(["'])(\w+)\1\]""")

# What `nbgrader generate_assignment` does to a notebook, without the steps that only fill its gradebook.
RELEASE_STEPS = (
    "LockCells",
    "ClearSolutions",
    "ClearOutput",
    "CheckCellMetadata",
    "ComputeChecksums",
    "ClearHiddenTests",
    "ClearMarkScheme",
    "ComputeChecksums",
    "CheckCellMetadata",
)

SETUP_CODE = """\
# On Colab this installs the course's package. Everywhere else it does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("course_utils") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/{repository}@{branch}")\
"""


@dataclass(frozen=True)
class Course:
    """Where the course lives on GitHub: `[tool.course]` in `pyproject.toml`."""

    repository: str
    branch: str

    @classmethod
    def read(cls, root: Path) -> Course:
        """The setting of the course in the folder `root`."""
        return cls(**tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"])

    def badge(self, path: str) -> str:
        """Markdown of the "Open in Colab" badge for the notebook at `path`, relative to the course's root."""
        return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({self.colab()}{path})"

    def colab(self) -> str:
        """The address at which Colab opens the course's files; a path follows."""
        return f"https://colab.research.google.com/github/{self.repository}/blob/{self.branch}/"

    def setup(self) -> str:
        """Code that installs the package on Colab, where it is missing, and does nothing elsewhere."""
        return SETUP_CODE.format(repository=self.repository, branch=self.branch)


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong in a source: the file relative to the course's root, the line (from 1) and the reason."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


class SourceError(Exception):
    """A source that no notebook can be made of: every problem found in it, in the order of the lines."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass
class Cell:
    """One cell of a source, with the line of its marker (from 1) and the lines of the file that follow it."""

    line: int
    body: list[str]
    kind: str  # "code", "markdown" or "raw"
    source: str
    metadata: dict[str, Any]

    @property
    def nbgrader(self) -> dict[str, Any]:
        """nbgrader's part of the metadata; empty for other cells."""
        return self.metadata.get("nbgrader", {})

    @property
    def is_test(self) -> bool:
        """Whether nbgrader runs this cell to give points."""
        return bool(self.kind == "code" and self.nbgrader.get("grade") and not self.nbgrader.get("solution"))

    def line_of(self, text: str) -> int:
        """The file's line (from 1) that holds `text`; the marker's if none does."""
        return next((line for line, content in enumerate(self.body, self.line + 1) if text in content), self.line)


@dataclass
class Heading:
    """A heading that names points: its line (from 1), its text, its points and the graded cells that belong to it."""

    line: int
    text: str
    points: float
    graded: list[Cell]


class Source:
    """The cells of one source and the problems found in it so far."""

    def __init__(self, root: Path, path: Path) -> None:
        """Reads the source at `path` in the course's folder `root`; `SourceError` if its cells can't be told apart."""
        self.name = path.relative_to(root).as_posix()
        self.problems: list[Problem] = []
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        markers = [number for number, line in enumerate(lines) if MARKER.match(line)]
        first = next((number for number, line in enumerate(lines) if line.strip()), 0)
        if not markers or first < markers[0]:
            raise SourceError([Problem(self.name, first + 1, "text before the first cell marker `# %%`")])
        cells = read_percent(lines)
        if len(cells) != len(markers):
            counts = (len(read_percent(lines[: line + 1])) for line in markers)
            wrong = next((n for n, count in enumerate(counts) if count != n + 1), -1)
            reason = "cells can't be told apart: is this cell marker inside a string or a fenced block?"
            raise SourceError([Problem(self.name, markers[wrong] + 1, reason)])
        ends = [*markers[1:], len(lines)]
        self.cells = [
            Cell(start + 1, lines[start + 1 : end], cell.cell_type, cell.source.rstrip(), dict(cell.metadata))
            for cell, start, end in zip(cells, markers, ends, strict=True)
        ]

    def refuse(self, line: int, reason: str) -> None:
        """Notes a problem at `line` (from 1)."""
        self.problems.append(Problem(self.name, line, reason))

    def finish(self) -> None:
        """Raises `SourceError` if a problem was noted."""
        if self.problems:
            raise SourceError(sorted(self.problems))


def read_percent(lines: list[str]) -> list[nbformat.NotebookNode]:
    """The cells that jupytext reads in the lines of a source in percent format."""
    return jupytext.reads("\n".join(lines), fmt="py:percent").cells


def check_metadata(source: Source, lab: bool) -> None:
    """Refuses metadata that are no JSON, have unknown keys or, outside a lab, belong to nbgrader."""
    for cell in source.cells:
        for key in ("lines_to_next_cell", "cell_marker"):  # jupytext's notes on how the text was laid out
            cell.metadata.pop(key, None)
        for key, value in list(cell.metadata.items()):
            if key == "nbgrader" and not lab:
                source.refuse(cell.line, "nbgrader metadata in a lecture")
            elif key == "nbgrader" and not isinstance(value, dict):
                source.refuse(cell.line, f"nbgrader must be a JSON object, found {value!r}")
            elif key == "incorrectly_encoded_metadata":
                source.refuse(cell.line, f"metadata that are not valid JSON: {value}")
            elif key not in ("nbgrader", "slideshow", "tags"):
                found = value if key == "title" else key
                source.refuse(cell.line, f"{found!r} on a cell marker; known are nbgrader=, slideshow= and tags=")
            else:
                continue
            del cell.metadata[key]


def check_regions(source: Source, lab: bool) -> None:
    """Refuses unclosed, nested, stray and misspelt regions, and regions in a cell that may not have them."""
    for cell in source.cells:
        homes = {
            "SOLUTION": (cell.nbgrader.get("solution"), "a solution cell"),
            "HIDDEN TESTS": (cell.is_test, "a graded test cell"),
            "MARK SCHEME": (cell.nbgrader.get("task"), "a task cell"),
        }
        opened: tuple[int, str] | None = None
        solutions = 0
        for line, content in enumerate(cell.body, cell.line + 1):
            found = DELIMITER.search(content)
            if found is None:
                if ALMOST_DELIMITER.search(content):
                    source.refuse(line, f"nbgrader would not see this delimiter: {content.strip()}")
                continue
            edge, region = found.groups()
            if edge == "END":
                if opened is None or opened[1] != region:
                    source.refuse(line, f"END {region} without its BEGIN {region}")
                opened = None if opened and opened[1] == region else opened
                continue
            if opened is not None:
                source.refuse(line, f"BEGIN {region} inside the {opened[1]} region opened in line {opened[0]}")
                continue
            opened = (line, region)
            solutions += region == "SOLUTION"
            allowed, home = homes[region]
            if not lab:
                source.refuse(line, f"a {region} region in a lecture")
            elif not allowed:
                source.refuse(line, f"a {region} region outside {home}")
        if opened is not None:
            source.refuse(opened[0], f"BEGIN {opened[1]} without END {opened[1]} in its cell")
        if cell.kind == "code" and cell.nbgrader.get("solution") and not solutions:
            source.refuse(cell.line, "a solution cell of code without a SOLUTION region: its docstring would be lost")


def insert_address(source: Source, course: Course, path: str) -> None:
    """Puts the Colab badge of the notebook at `path` and the set-up code in place of their placeholders."""
    badges = setups = 0
    first_code = next((cell for cell in source.cells if cell.kind == "code"), None)
    for cell in source.cells:
        lines = cell.source.split("\n")
        for number, line in enumerate(lines):
            if not PLACEHOLDER.match(line):
                continue
            if line == BADGE and cell.kind == "markdown":
                badges += 1
                lines[number] = course.badge(path)
            elif line == SETUP and cell is first_code and cell.source == SETUP:
                setups += 1
                lines[number] = course.setup()
            else:
                known = f"`{BADGE}` in a markdown cell and `{SETUP}` as the whole first code cell"
                source.refuse(cell.line_of(line), f"unknown or misplaced placeholder `{line}`; known are {known}")
        cell.source = "\n".join(lines)
    if badges != 1:
        source.refuse(1, f"{badges} lines `{BADGE}` in markdown cells; there must be one")
    if setups != 1:
        line = first_code.line if first_code else 1
        source.refuse(line, f"the first code cell must be the comment `{SETUP}` alone")


def fill_in_nbgrader(source: Source) -> None:
    """Replaces the short nbgrader metadata by the full ones (schema 3), refusing those that say no clear role."""
    lines: dict[str, int] = {}
    for cell in source.cells:
        short = cell.nbgrader
        if not short:
            if "nbgrader" in cell.metadata:
                source.refuse(cell.line, "empty nbgrader metadata")
            continue
        for reason in role_problems(cell):
            source.refuse(cell.line, reason)
        grade_id = short.get("grade_id")
        if isinstance(grade_id, str) and grade_id in lines:
            source.refuse(cell.line, f"grade_id {grade_id!r} is already that of the cell in line {lines[grade_id]}")
        elif isinstance(grade_id, str):
            lines[grade_id] = cell.line
        full = {role: bool(short.get(role)) for role in ROLES}
        full["locked"] = not full["solution"]
        cell.metadata["nbgrader"] = {**short, **full, "schema_version": 3}


def role_problems(cell: Cell) -> Iterator[str]:
    """What is wrong with the short nbgrader metadata of a cell, one reason after the other."""
    short = cell.nbgrader
    if unknown := set(short) - {"grade_id", "points", *ROLES}:
        yield f"unknown nbgrader key {', '.join(map(repr, sorted(unknown)))}"
    for role in ROLES:
        if role in short and not isinstance(short[role], bool):
            yield f"nbgrader's {role} must be true or false, found {short[role]!r}"
    grade, solution, locked, task = (short.get(role) is True for role in ROLES)
    grade_id, points = short.get("grade_id"), short.get("points")
    if not isinstance(grade_id, str) or not re.fullmatch(r"[a-zA-Z0-9_-]+", grade_id):
        yield f"grade_id must be letters, digits, _ and -, found {grade_id!r}"
    if not (grade or solution or locked or task):
        yield "nbgrader metadata without a role: one of grade, solution, locked and task must be true"
    if grade or task:
        if points is None:
            yield f"graded cell {grade_id!r} has no points"
        elif isinstance(points, bool) or not isinstance(points, int | float) or points < 0:
            yield f"points must be a number of at least 0, found {points!r}"
    elif points is not None:
        yield f"points on {grade_id!r}, which is not graded"
    if task and (grade or solution or cell.kind != "markdown"):
        yield "a task must be a markdown cell that is neither grade nor solution"
    elif cell.kind == "markdown" and grade != solution:
        yield "a markdown answer must be both grade and solution"
    elif cell.kind == "raw":
        yield "nbgrader metadata on a raw cell"
    if "locked" in short and locked == solution:
        yield f"a solution cell is never locked and every other nbgrader cell always is, found locked = {locked}"


def check_exercises(source: Source, known: Collection[str]) -> None:
    """Refuses exercises that are not `known`, and test cells that do not check the solution cell of their name."""
    solutions: set[str] = set()
    for cell in source.cells:
        grade_id = str(cell.nbgrader.get("grade_id"))
        for name in sorted({name for _, name in EXERCISE.findall(cell.source)} - set(known)):
            line = next(cell.line_of(f"unit[{quote}{name}") for quote in "\"'" if f"unit[{quote}{name}" in cell.source)
            source.refuse(
                line, f"course_utils.exercises knows no {name!r} in this unit, only {', '.join(sorted(known))}"
            )
        if cell.nbgrader.get("solution"):
            solutions.add(grade_id)
        if not cell.is_test:
            continue
        name = grade_id.removeprefix("test_")
        if name == grade_id:
            source.refuse(cell.line, f"test cell {grade_id!r} must be called test_ and the name of its exercise")
        elif name not in known:
            source.refuse(cell.line, f"test cell {grade_id!r}: course_utils.exercises knows no {name!r} in this unit")
        elif not re.search(rf"""\bunit\[(["']){name}\1\]\.check\(""", cell.source):
            source.refuse(cell.line, f'test cell {grade_id!r} does not call unit["{name}"].check(...)')
        if name not in solutions:
            source.refuse(
                cell.line, f"test cell {grade_id!r} comes before the solution cell {name!r}, or there is none"
            )


def headings_with_points(cell: Cell) -> Iterator[Heading]:
    """The headings in a cell of text that name points, fenced code left out."""
    fenced = False
    for text in cell.source.split("\n") if cell.kind == "markdown" else []:
        fenced ^= text.startswith("```")
        points = POINTS.search(text)
        if text.startswith("#") and points and not fenced:
            yield Heading(cell.line_of(text), text, float(points[1]), [])


def check_points(source: Source) -> None:
    """Refuses headings whose points are not those of their graded cells, or that lack difficulty or minutes."""
    titles: list[Heading] = []
    exercises: list[Heading] = []
    for cell in source.cells:
        for heading in headings_with_points(cell):
            (titles if heading.text.startswith("# ") else exercises).append(heading)
        if "points" not in cell.nbgrader:
            continue
        if exercises:
            exercises[-1].graded.append(cell)
        else:
            source.refuse(cell.line, f"no heading with points above the graded cell {cell.nbgrader['grade_id']!r}")
        for title in titles:
            title.graded.append(cell)
    for heading in titles + exercises:
        given = sum(cell.nbgrader["points"] for cell in heading.graded)
        if given != heading.points:
            reason = f"the heading says {heading.points:g} points, the graded cells under it give {given:g}"
            source.refuse(heading.line, reason)
    for heading in exercises:
        timed = re.search(r"difficulty:? [1-5]\b", heading.text) and re.search(r"\d+ min", heading.text)
        if not timed and any(cell.is_test for cell in heading.graded):
            source.refuse(heading.line, "the heading of an exercise must name its difficulty (1-5) and its minutes")


def to_notebook(cells: list[Cell]) -> bytes:
    """The notebook file of the cells: without outputs, for the kernel python3, with ids that only the cells decide."""
    make = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
    grade_ids = {cell.nbgrader["grade_id"] for cell in cells if cell.nbgrader}
    taken = set(grade_ids)
    notebook = new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in cells:
        identity = cell.nbgrader.get("grade_id", "")
        if not 1 <= len(identity) <= 64:  # what nbformat takes as an id
            digest = hashlib.sha256(f"{cell.kind}\n{cell.source}".encode()).hexdigest()[:16]
            identity = next(name for name in numbered(digest) if name not in taken)
            taken.add(identity)
        notebook.cells.append(make[cell.kind](cell.source, metadata=cell.metadata, id=identity))
    nbformat.validate(notebook)
    return (nbformat.writes(notebook, version=4) + "\n").encode()


def numbered(name: str) -> Iterator[str]:
    """`name`, `name-2`, `name-3`, ..."""
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def release(solution: bytes, root: Path) -> bytes:
    """What `nbgrader generate_assignment` writes for a notebook of `solutions/`, with the course's own settings."""
    from nbconvert.exporters import NotebookExporter
    from nbgrader import preprocessors
    from traitlets.config.loader import Config, PyFileConfigLoader

    settings = "nbgrader_config.py"
    config = PyFileConfigLoader(settings, str(root)).load_config() if (root / settings).is_file() else Config()
    config.Exporter.default_preprocessors = []
    exporter = NotebookExporter(config=config)
    for name in RELEASE_STEPS:
        exporter.register_preprocessor(getattr(preprocessors, name))
    text, _ = exporter.from_notebook_node(nbformat.reads(solution.decode(), as_version=4))
    nbformat.validate(nbformat.reads(text, as_version=4))
    return text.encode()


def exercise_names(unit: str) -> set[str]:
    """The names of the exercises that `course_utils.exercises` knows for a unit."""
    from course_utils import exercises

    return set(exercises.load(unit))


def build_lecture(root: Path, unit: str) -> dict[str, bytes]:
    """The generated lecture of a unit, path to content; `SourceError` with every problem of the source."""
    path = f"lectures/{unit}.ipynb"
    source = Source(root, root / "units" / unit / "lecture.py")
    check_metadata(source, lab=False)
    check_regions(source, lab=False)
    insert_address(source, Course.read(root), path)
    source.finish()
    return {path: to_notebook(source.cells)}


def build_lab(root: Path, unit: str, known: Callable[[str], Collection[str]] = exercise_names) -> dict[str, bytes]:
    """The generated solution and lab of a unit, path to content; `SourceError` with every problem of the source.

    `known` gives the names of the exercises of a unit.
    """
    path = f"labs/{unit}/{unit}.ipynb"
    source = Source(root, root / "units" / unit / "lab.py")
    check_metadata(source, lab=True)
    check_regions(source, lab=True)
    insert_address(source, Course.read(root), path)
    fill_in_nbgrader(source)
    try:
        check_exercises(source, known(unit))
    except ValueError as error:  # a unit without exercises
        source.refuse(1, str(error))
    source.finish()
    check_points(source)  # only where every graded cell has its points
    source.finish()
    solution = to_notebook(source.cells)
    return {f"solutions/{unit}/{unit}.ipynb": solution, path: release(solution, root)}


def readme(root: Path) -> dict[str, bytes]:
    """README.md with its Colab links leading to the course's own address, if there is a README.md."""
    path = root / "README.md"
    if not path.is_file():
        return {}
    colab = Course.read(root).colab()
    return {path.name: COLAB_LINK.sub(lambda _: colab, path.read_text(encoding="utf-8")).encode()}


def difference(expected: bytes, found: bytes) -> str:
    """Where the file `found` leaves what its source makes: the first differing cell, and the first difference in it."""
    try:
        new, old = json.loads(expected), json.loads(found)
        pairs = list(itertools.zip_longest(new["cells"], old["cells"]))
    except (ValueError, KeyError, TypeError):
        return "it is not a readable notebook"
    for number, (cell, other) in enumerate(pairs, 1):
        if cell == other:
            continue
        if other is None:
            return f"cell {number} ({cell['cell_type']}, id {cell['id']}) is missing"
        if cell is None:
            return f"cell {number} ({other.get('cell_type')}, id {other.get('id')}) should not be there"
        key = next(key for key in ("cell_type", "source", *other, *cell) if cell.get(key) != other.get(key))
        where = f"cell {number} ({cell['cell_type']}, id {cell['id']}) differs in its {key}"
        if key != "source":
            return where
        lines = itertools.zip_longest("".join(cell[key]).split("\n"), "".join(other[key]).split("\n"))
        line, (want, have) = next((line, pair) for line, pair in enumerate(lines, 1) if pair[0] != pair[1])
        return f"{where}, line {line}: {have!r} should be {want!r}"
    return "the cells agree, the notebook's metadata or the layout of the file differ"


def missing_sources(root: Path, unit: str) -> list[str]:
    """Which of its two sources a unit lacks."""
    return [name for name in ("lecture.py", "lab.py") if not (root / "units" / unit / name).is_file()]


def build_unit(root: Path, unit: str, known: Callable[[str], Collection[str]]) -> tuple[dict[str, bytes], list[str]]:
    """Every generated notebook of a unit that can be made, path to content, and why the others can't be made."""
    files: dict[str, bytes] = {}
    missing = missing_sources(root, unit)
    problems = [f"units/{unit}: incomplete, there is no {name}" for name in missing]
    for name, build in (("lecture.py", build_lecture), ("lab.py", functools.partial(build_lab, known=known))):
        if name not in missing:
            try:
                files |= build(root, unit)
            except SourceError as error:
                problems += [str(problem) for problem in error.problems]
    return files, problems


def superfluous(root: Path) -> list[str]:
    """The notebooks in the generated folders that no source makes."""
    sources = [path for path in (root / "units").glob("*/*.py") if UNIT.fullmatch(path.parent.name)]
    expected = {f"lectures/{path.parent.name}.ipynb" for path in sources if path.name == "lecture.py"}
    labs = {path.parent.name for path in sources if path.name == "lab.py"}
    expected |= {f"{folder}/{unit}/{unit}.ipynb" for folder in ("labs", "solutions") for unit in labs}
    found = (path for folder in ("labs", "lectures", "solutions") for path in (root / folder).rglob("*.ipynb"))
    names = {path.relative_to(root).as_posix() for path in found if ".ipynb_checkpoints" not in path.parts}
    return [f"{name} is superfluous: no source in units/ makes it" for name in sorted(names - expected)]


def write(path: Path, content: bytes) -> bool:
    """Writes a file unless it holds `content` already; returns whether it was written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


def compare(path: Path, name: str, content: bytes) -> list[str]:
    """What `--check` has to say about the generated file `name` at `path`: nothing if it is what its source makes."""
    if not path.is_file():
        return [f"{name} is missing"]
    found = path.read_bytes()
    if found == content:
        return []
    where = difference(content, found) if path.suffix == ".ipynb" else "its Colab links do not lead to [tool.course]"
    return [f"{name} is stale: {where}"]


def main(
    argv: list[str] | None = None,
    root: Path | None = None,
    known: Callable[[str], Collection[str]] = exercise_names,
) -> int:
    """The command line; returns 0 if all went well, else 1 after naming every problem on stderr.

    `root` is the course's folder (default: the current one), `known` gives the names of the exercises of a unit.
    """
    root = root or Path.cwd()
    units = sorted(path.name for path in (root / "units").glob("*") if path.is_dir() and UNIT.fullmatch(path.name))
    parser = argparse.ArgumentParser(prog="python -m course_utils.notebooks", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a generated file is not up to date"
    )
    parser.add_argument("units", nargs="*", metavar="UNIT", help="such as 07_lrp; default: all")
    arguments = parser.parse_args(argv)
    if not units:
        parser.error(f"no units in {root / 'units'}: run this in the course's folder")
    if strangers := [unit for unit in arguments.units if unit not in units]:
        parser.error(f"unknown unit {', '.join(strangers)}; there are {', '.join(units)}")

    problems: list[str] = []
    built = (build_unit(root, unit, known) for unit in arguments.units or units)
    whole = [] if arguments.units else [(readme(root), superfluous(root))]
    for files, refused in itertools.chain(built, whole):
        problems += refused
        for name, content in files.items():
            if arguments.check:
                problems += compare(root / name, name, content)
            else:
                print("wrote    " if write(root / name, content) else "unchanged", name, flush=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    if arguments.check and problems:
        print("run `make notebooks` where a file is stale or missing", file=sys.stderr)
    elif arguments.check:
        print("every generated notebook is up to date")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
