"""What was handed in: how a submitted notebook is read, what is wrong with it, and in which order it is run."""

from __future__ import annotations

import ast
import json
import re
import symtable
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

LARGEST_FILE = 256 * 2**20  # bytes
LARGE_OUTPUT = 2 * 2**20  # characters of a cell's outputs
MOST_CODE = 2**20  # characters of all code cells: Python takes its time to read them
ANYTHING = {"exec", "eval", "globals", "locals", "vars", "get_ipython", "__main__", "__import__", "setattr", "getattr"}

Output = dict[str, Any]  # of a cell, in nbformat's form


class NoNotebook(ValueError):
    """What was handed in can't be read as a notebook; the message says why."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a submission.

    Args:
        cell: the cell's grade_id, or "cell N" with N from 1, or "" for the whole file.
        kind: "unreadable", "other unit", "missing", "duplicate", "altered", "other type", "stripped", "large output",
            "no Python", "no time" or "extra file".
        text: in words.
    """

    cell: str
    kind: str
    text: str


def handed_in(folder: Path, unit: str) -> bytes:
    """Return the bytes of the notebook in the folder that a student handed in.

    Raises:
        NoNotebook: there is none, it is too large, or a link is there, which may lead to the work of somebody else.
    """
    path = folder / f"{unit}.ipynb"
    for place in (folder, *folder.rglob("*")):
        if place.is_symlink():
            raise NoNotebook(f"{place.name[:100]} is a link to another place: nothing is taken from there")
    if not path.is_file():
        raise NoNotebook(f"there is no {path.name}")
    with path.open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def read(data: bytes) -> NotebookNode:
    """Return the notebook, in nbformat 4.

    Raises:
        NoNotebook: it is none.
    """
    if len(data) > LARGEST_FILE:
        raise NoNotebook(f"the file has more than {LARGEST_FILE // 2**20} MB, and no more are read")
    if not data.strip():
        raise NoNotebook("the file is empty")
    try:
        raw = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NoNotebook("the file is no UTF-8 text") from None
    except (ValueError, RecursionError):
        raise NoNotebook("the file is no JSON, as a notebook is") from None
    if type(raw) is not dict or type(raw.get("nbformat")) is not int:
        raise NoNotebook("the file is JSON, but no Jupyter notebook")
    try:
        text = json.dumps(raw, ensure_ascii=False).encode(errors="replace").decode()  # half characters: question marks
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cell ids that are missing or there twice: they mean nothing here
            notebook = nbformat.reads(text, as_version=4)
        cells = [_clean(cell) for cell in notebook.cells]
    except Exception:  # nbformat raises whatever comes
        raise NoNotebook("the file is JSON, but no Jupyter notebook") from None
    code = sum(len(cell.source) for cell in cells if cell.cell_type == "code")
    if code > MOST_CODE:
        raise NoNotebook(f"its code cells have {code / 2**20:.1f} million characters; no more than 1 are read")
    notebook.cells = cells
    return notebook


def _clean(cell: Any) -> NotebookNode:
    """Return the cell with text for a source and dicts for metadata, whatever it had.

    Raises:
        TypeError: it is no cell.
    """
    if cell["cell_type"] not in ("code", "markdown", "raw") or type(cell["source"]) is not str:
        raise TypeError
    if not isinstance(cell.get("metadata"), dict):
        cell["metadata"] = NotebookNode()
    if not isinstance(cell["metadata"].get("nbgrader", {}), dict):
        del cell["metadata"]["nbgrader"]
    if cell["cell_type"] == "code" and type(cell.get("outputs")) is not list:
        cell["outputs"] = []
    return cell


def role(cell: NotebookNode) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell; empty where there are none."""
    return cell.metadata.get("nbgrader", {})


def grade_id(cell: NotebookNode) -> str | None:
    """Return the name of a cell that nbgrader knows, else None."""
    name = role(cell).get("grade_id")
    return name if type(name) is str else None


# ---------------------------------------------------------------------------------------------------------------------
# The lab that was given out
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step of a run: a cell (by its place in the submission), or the exercise that is judged here."""

    cell: int | None = None
    exercise: str | None = None


@dataclass(frozen=True)
class Lab:
    """The lab as it was given out, to which submissions are compared.

    Args:
        unit: such as "06_gradient_methods".
        notebook: the lab, or its solution: they differ in the solutions alone.
    """

    unit: str
    notebook: NotebookNode = field(repr=False)

    @cached_property
    def known(self) -> dict[str, NotebookNode]:
        """The cells that nbgrader knows, by grade_id."""
        return {name: cell for cell in self.notebook.cells if (name := grade_id(cell))}

    @cached_property
    def exercises(self) -> tuple[str, ...]:
        """The names of the exercises, in order: those of the cells ``test_...`` that run a check."""
        graded = [name for name, cell in self.known.items() if cell.cell_type == "code" and role(cell).get("grade")]
        return tuple(name.removeprefix("test_") for name in graded)

    @cached_property
    def first(self) -> tuple[str, ...]:
        """The sources of the code cells before the first one that nbgrader knows: imports, data, networks."""
        sources = []
        for cell in self.notebook.cells:
            if cell.cell_type == "code":
                if grade_id(cell):
                    break
                sources.append(cell.source)
        return tuple(sources)

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """The modules that these cells import."""
        found = []
        for source in self.first:
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    found += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found += [node.module]
        return tuple(dict.fromkeys(found))

    @cached_property
    def pictures(self) -> frozenset[str]:
        """The sources of the other code cells that nbgrader does not know: they show something, and earn nothing."""
        others = [cell.source for cell in self.notebook.cells if cell.cell_type == "code" and not grade_id(cell)]
        return frozenset(others[len(self.first) :])

    def starts_alike(self, notebook: NotebookNode) -> bool:
        """Whether a submission begins with the lab's first code cells, unchanged."""
        code = [cell for cell in notebook.cells if cell.cell_type == "code"][: len(self.first)]
        return [cell.source for cell in code] == list(self.first) and not any(map(grade_id, code))

    def steps(self, notebook: NotebookNode, pictures: bool = False) -> list[Step]:
        """Return what is run of a submission, and where its exercises are judged.

        An exercise is judged where its check stands (the last one, if there are several), else at the end. Its check is
        not run: what it says does not count. Pictures, the lab's own cells that show something, are only run if a
        cell that the student wrote or changed uses a name that they bind.

        Args:
            notebook: the submission.
            pictures: run all of them.
        """
        places = {grade_id(cell): n for n, cell in enumerate(notebook.cells) if grade_id(cell)}
        judged = {places[f"test_{name}"]: name for name in self.exercises if f"test_{name}" in places}
        checks = {f"test_{name}" for name in self.exercises}
        run = self._cells_to_run(notebook, pictures)
        skipped = 0 if not self.starts_alike(notebook) else len(self.first)
        steps = []
        for n, cell in enumerate(notebook.cells):
            if n in judged:
                steps.append(Step(exercise=judged[n]))
            elif cell.cell_type == "code" and grade_id(cell) not in checks:
                if skipped:
                    skipped -= 1
                elif n in run:
                    steps.append(Step(cell=n))
        return steps + [Step(exercise=name) for name in self.exercises if name not in judged.values()]

    def _cells_to_run(self, notebook: NotebookNode, pictures: bool) -> set[int]:
        code = {n: cell.source for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
        shown = {n for n, source in code.items() if source in self.pictures and grade_id(notebook.cells[n]) is None}
        if pictures:
            return set(code)
        known = shown | {n for n, source in code.items() if source in self.first}
        used: set[str] = set().union(*(names(source)[0] for n, source in code.items() if n not in known))
        if used & ANYTHING:
            return set(code)
        wanted = set()
        while more := {n for n in shown - wanted if names(code[n])[1] & used}:
            wanted |= more
            used |= set().union(*(names(code[n])[0] for n in more))
        return set(code) - (shown - wanted)


def names(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell takes from other cells, and those that it binds or changes for them.

    Of a cell that is no plain Python (a magic, a mistake) every word counts as both.
    """
    try:
        tree, table = ast.parse(source), symtable.symtable(source, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = set(re.findall(r"[A-Za-z_]\w*", source))
        return words, words
    used, bound = set(), set()
    for symbol in table.get_symbols():
        own = symbol.is_assigned() or symbol.is_imported()
        (bound if own else used).add(symbol.get_name())
    inner = list(table.get_children())
    while inner:
        scope = inner.pop()
        inner += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_global():
                (bound if symbol.is_assigned() else used).add(symbol.get_name())
    used -= bound
    for node in _outside_of_functions(tree):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            used.add(node.target.id)
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            base: ast.AST = node
            while isinstance(base, ast.Attribute | ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name):
                bound.add(base.id)
    return used, bound


def _outside_of_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_of_functions(child)


# ---------------------------------------------------------------------------------------------------------------------
# What is wrong with a submission
# ---------------------------------------------------------------------------------------------------------------------


def problems(notebook: NotebookNode, lab: Lab) -> list[Problem]:
    """Return what is wrong with a submission, before anything is run."""
    found = Counter(name for cell in notebook.cells if (name := grade_id(cell)))
    if not found.keys() & lab.known.keys():
        return [_foreign(notebook, lab)]
    return [*_cell_by_cell(notebook, lab), *_missing(notebook, lab, found)]


def _foreign(notebook: NotebookNode, lab: Lab) -> Problem:
    source = "\n".join(cell.source for cell in notebook.cells)
    other = re.search(r"""exercises\.load\(["'](\w+)["']\)""", source)
    if other and other[1] != lab.unit:
        return Problem("", "other unit", f"this is a notebook of {other[1]}, not of {lab.unit}")
    if other or any(cell.get("id") in lab.known for cell in notebook.cells):
        return Problem(
            "", "stripped", "nbgrader's metadata are gone from every cell (answers are found by their names)"
        )
    return Problem("", "other unit", f"none of the cells of {lab.unit} is in it")


def _missing(notebook: NotebookNode, lab: Lab, found: Counter[str]) -> Iterator[Problem]:
    bound = set().union(*(names(cell.source)[1] for cell in notebook.cells if cell.cell_type == "code"))
    for name in lab.known:
        if name not in found:
            if name in bound:
                yield Problem(
                    name, "stripped", "the cell has lost nbgrader's metadata (the answer is found by its name)"
                )
            else:
                yield Problem(name, "missing", "the cell is gone")


def _cell_by_cell(notebook: NotebookNode, lab: Lab) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, cell in enumerate(notebook.cells, start=1):
        name = grade_id(cell)
        place = name if name in lab.known else f"cell {number}"
        if name in lab.known:
            if name in seen:
                text = f"a second cell of this name (cell {number}); both are run, the last one keeps the name"
                yield Problem(place, "duplicate", text)
            seen.add(name)
            yield from _compared(cell, lab.known[name], place)
        elif name is not None:
            yield Problem(place, "altered", f"its grade_id {name[:60]!r} is none of this lab")
        if (size := output_size(cell)) > LARGE_OUTPUT:
            yield Problem(place, "large output", f"{size / 2**20:.0f} MB of output, which is not kept")


def _compared(cell: NotebookNode, given: NotebookNode, place: str) -> Iterator[Problem]:
    if cell.cell_type != given.cell_type:
        yield Problem(place, "other type", f"it is a {cell.cell_type} cell, and was a {given.cell_type} cell")
    if not role(given).get("solution") and cell.source != given.source:
        yield Problem(place, "altered", "its text was changed; the original counts")
    changed = [key for key in ("grade", "solution", "task", "points") if role(cell).get(key) != role(given).get(key)]
    if changed:
        yield Problem(
            place, "altered", f"nbgrader's metadata were changed: {', '.join(changed)}; the original ones count"
        )
    if given.cell_type == "code" and role(given).get("solution") and not parses(cell.source):
        yield Problem(place, "no Python", "Python can't read it")


def parses(source: str) -> bool:
    """Whether a cell is Python, magics of IPython among it."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def output_size(cell: NotebookNode) -> int:
    """Return the characters of a cell's outputs, in JSON."""
    return len(json.dumps(cell.get("outputs", []), default=str)) if cell.get("outputs") else 0


def error_output(name: str, value: str, traceback: list[str] | None = None) -> Output:
    """Return the output of a cell that raised an error."""
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": traceback or [f"{name}: {value}"]}


def extra_files(paths: Sequence[str], unit: str) -> list[Problem]:
    """Return a problem for each file that lies beside the notebook; none of them is there when it runs."""
    usual = {f"{unit}.ipynb", "timestamp.txt"}
    return [
        Problem("", "extra file", f"{path[:100]} lies beside the notebook, and is not there when it runs")
        for path in paths
        if path not in usual
    ]
