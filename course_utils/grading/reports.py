"""For the instructor: what went wrong in which exercise, and which answers deserve a look."""

from __future__ import annotations

import ast
import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from course_utils import exercises
from course_utils.grading.submissions import Lab, grade_id

LIBRARIES = ("course_utils", "captum", "shap", "lime", "zennit", "kmedoids", "innvestigate", "quantus", "tf_keras_vis")
DOERS = {  # functions of torch, scipy and scikit-learn that do what some exercise asks for
    "torch.nn.functional": ("conv", "pool", "unfold", "fold", "dropout", "softmax", "interpolate"),
    "torch.nn": ("Conv", "MaxPool", "AvgPool", "Unfold", "Dropout"),
    "torch.autograd.functional": ("jacobian", "hessian", "vjp", "jvp"),
    "torch.func": ("grad", "vjp", "jacrev", "jacfwd"),
    "scipy.stats": ("spearmanr", "kendalltau", "weightedtau", "rankdata", "ttest_ind"),
    "scipy.signal": ("convolve", "correlate"),
    "skimage.segmentation": ("slic", "quickshift"),
    "skimage.metrics": ("structural_similarity",),
    "sklearn.linear_model": ("Ridge", "Lasso", "ElasticNet", "LogisticRegression", "SGDClassifier"),
}
SHORT = 40  # nodes of the code's tree: two answers as short as that may well be alike


@dataclass(frozen=True)
class Flag:
    """Something to look at; not a verdict.

    Args:
        student: whose answer.
        exercise: which.
        kind: "calls the course's own", "calls a library" or "same code".
        text: in words.
    """

    student: str
    exercise: str
    kind: str
    text: str


# ---------------------------------------------------------------------------------------------------------------------
# Statistics
# ---------------------------------------------------------------------------------------------------------------------


def item_statistics(
    unit: str, points: Mapping[str, float], results: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a row for each exercise.

    Args:
        unit: such as "06_gradient_methods".
        points: of the checks, by grade_id.
        results: of the judged submissions, by student.

    Returns:
        "exercise", "points", "submissions", "right", "share", "mean_points"; "unsolved"; "lost" (crash, time, memory);
        "mistakes": the three most frequent known mistakes, "name (n)", and "hint" of the first one.
    """
    known = exercises.load(unit)
    rows = []
    for name, exercise in known.items():
        verdicts = [result["verdicts"][name] for result in results.values() if name in result["verdicts"]]
        kinds = Counter(verdict["kind"] for verdict in verdicts)
        mistakes = Counter(verdict["mistake"] for verdict in verdicts if verdict["mistake"]).most_common(3)
        share = kinds["right"] / len(verdicts) if verdicts else 0.0
        most = points.get(f"test_{name}", 0.0)
        rows.append(
            {
                "exercise": name,
                "points": most,
                "submissions": len(verdicts),
                "right": kinds["right"],
                "share": round(share, 4),
                "mean_points": round(share * most, 4),
                "unsolved": kinds["unsolved"] + kinds["missing"],
                "lost": kinds["crash"] + kinds["time"] + kinds["memory"] + kinds["gone"],
                "mistakes": "; ".join(f"{mistake} ({count})" for mistake, count in mistakes),
                "hint": exercise.mistakes[mistakes[0][0]].hint if mistakes else "",
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as CSV, with the names of the columns first; a text that a spreadsheet would compute gets a quote."""
    file = io.StringIO()
    if rows:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def draw_items(unit: str, rows: list[dict[str, Any]], path: Path) -> None:
    """Draw how many answers of each exercise are right, wrong (by known mistakes), unsolved or lost, and save it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [f"{row['exercise']}  ({row['points']:g} points)" for row in rows]
    parts = {
        "right": ([row["right"] for row in rows], "#2a7f4f"),
        "wrong": ([row["submissions"] - row["right"] - row["unsolved"] - row["lost"] for row in rows], "#d98c21"),
        "crash, time or memory": ([row["lost"] for row in rows], "#a03232"),
        "not solved": ([row["unsolved"] for row in rows], "#c9ccd1"),
    }
    left = [0] * len(rows)
    for label, (values, colour) in parts.items():
        axes.barh(names, values, left=left, color=colour, label=label, edgecolor="white")
        left = [a + b for a, b in zip(left, values, strict=True)]
    for place, row in enumerate(rows):
        if row["mistakes"]:
            axes.text(left[place] + 0.01 * max(left), place, f"  {row['mistakes']}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.6 * max([1, *left]))
    axes.set_xlabel("submissions; on the right the most frequent known mistakes")
    axes.set_title(f"{unit}: what was right, and what went wrong")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12 - 0.3 / len(rows)), ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


# ---------------------------------------------------------------------------------------------------------------------
# Flags
# ---------------------------------------------------------------------------------------------------------------------


def flags(lab: Lab, solution: NotebookNode, submissions: Mapping[str, NotebookNode]) -> list[Flag]:
    """Return what an instructor may want to look at.

    Args:
        lab: as it was given out.
        solution: the instructor's notebook: what its answers call themselves is no flag.
        submissions: by student.
    """
    found: list[Flag] = []
    own = {name: code for name in lab.exercises if (code := _answer(solution, name)) is not None}
    same: dict[tuple[str, str], list[str]] = defaultdict(list)
    for student, notebook in submissions.items():
        names = imported(notebook)
        for exercise in lab.exercises:
            code = _answer(notebook, exercise)
            if code is None or code == _answer(lab.notebook, exercise):
                continue
            usual = set(called(own.get(exercise, ""), imported(solution)))
            for what in sorted(set(called(code, names)) - usual):
                course = what.startswith("course_utils")
                kind = "calls the course's own" if course else "calls a library"
                found.append(Flag(student, exercise, kind, f"the answer uses {what}"))
            if (shape := _shape_of(code)) is not None:
                same[exercise, shape].append(student)
    for (exercise, shape), students in same.items():
        if len(students) > 1 and shape != _shape_of(own.get(exercise, "")):
            others = ", ".join(students)
            found += [
                Flag(student, exercise, "same code", f"the same code, but for names: {others}") for student in students
            ]
        elif shape == _shape_of(own.get(exercise, "")):
            found += [
                Flag(student, exercise, "same code", "the same code, but for names, as the course's solution")
                for student in students
            ]
    return sorted(found, key=lambda flag: (flag.student, flag.exercise, flag.kind, flag.text))


def _answer(notebook: NotebookNode, exercise: str) -> str | None:
    """Return the code of an exercise: of its cell, or of the last cell that defines it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in reversed(code):
        if grade_id(cell) == exercise:
            return cell.source
    return next((cell.source for cell in reversed(code) if f"def {exercise}(" in cell.source), None)


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def imported(notebook: NotebookNode) -> dict[str, str]:
    """Return what the notebook's names of imports stand for: "F" -> "torch.nn.functional"."""
    names: dict[str, str] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and (tree := _parsed(cell.source)) is not None:
            names |= _imports(tree)
    return names


def _imports(tree: ast.AST) -> dict[str, str]:
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def called(source: str, names: Mapping[str, str]) -> Iterator[str]:
    """Yield the functions of libraries that do exercises, in full, which a piece of code uses."""
    tree = _parsed(source)
    if tree is None:
        return
    names = {**names, **_imports(tree)}
    inner = {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if node not in inner and isinstance(node, ast.Attribute | ast.Name) and (full := _full_name(node, names)):
            module, _, last = full.rpartition(".")
            doers = DOERS.get(module, ())
            if full.split(".")[0] in LIBRARIES or any(last.startswith(doer) for doer in doers):
                yield full
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for full in _imports(node).values():
                if full.split(".")[0] in LIBRARIES:
                    yield full


def _full_name(node: ast.AST, names: Mapping[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


def _shape_of(source: str) -> str | None:
    """Return the code without names, texts and comments, to compare; None for code that is short, or no Python."""
    tree = _parsed(source)
    if tree is None or sum(1 for _ in ast.walk(tree)) < SHORT:
        return None
    numbers: dict[str, str] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        for field in ("id", "arg", "name"):
            if isinstance(name := getattr(node, field, None), str):
                setattr(node, field, numbers.setdefault(name, f"n{len(numbers)}"))
        if isinstance(node, ast.arg | ast.AnnAssign | ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("annotation", "returns"):
                if hasattr(node, field) and not isinstance(node, ast.AnnAssign):
                    setattr(node, field, None)
    return ast.dump(tree)
