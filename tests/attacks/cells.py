"""Attacks by the file and the folder: cells, metadata, files beside the notebook. They go through the real commands."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import Attack, Notebook, answers, insert
from .gain import WRONG


@dataclass(frozen=True)
class Beside:
    """What lies beside the notebook: (folder of the submission, root of the course) -> None."""

    attack: Attack
    put: Callable[[Path, Path], None] = lambda folder, root: None
    graded: bool = True  # whether it can be graded at all


def _roles(notebook: Notebook) -> list[dict]:
    return [cell["metadata"]["nbgrader"] for cell in notebook["cells"] if "nbgrader" in cell["metadata"]]


def _cell(notebook: Notebook, name: str) -> dict:
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def _points(notebook: Notebook) -> None:
    for role in _roles(notebook):
        if role.get("grade"):
            role["points"] = 1000


def _given_up(notebook: Notebook) -> None:
    for role in _roles(notebook):
        role.update(grade=False, solution=True, locked=False, points=None)


def _tags(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        if cell["id"].startswith("test_"):
            cell["metadata"]["tags"] = ["skip-execution", "raises-exception", "remove_cell"]


def _emptied(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        if cell["id"].startswith("test_"):
            cell["source"] = "print('right on all 11 cases.')"


def _retyped(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        if cell["id"].startswith("test_"):
            cell["cell_type"] = "raw"
            del cell["outputs"], cell["execution_count"]


def _deleted(notebook: Notebook) -> None:
    notebook["cells"] = [cell for cell in notebook["cells"] if not cell["id"].startswith("test_")]


def _duplicated(notebook: Notebook) -> None:
    for cell in [cell for cell in notebook["cells"] if cell["id"].startswith("test_")]:
        twice = copy.deepcopy(cell)
        twice.update(id=f"{cell['id']}-2", source="print('right')")
        notebook["cells"].append(twice)


def _of_a_solved_one(notebook: Notebook) -> None:
    """All checks take the name of the one that is right."""
    for role in _roles(notebook):
        if role["grade_id"].startswith("test_"):
            role["grade_id"] = "test_relu_backward"


def _stripped(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        cell["metadata"] = {}


def _strange_names(notebook: Notebook) -> None:
    _cell(notebook, "test_saliency")["metadata"]["nbgrader"]["grade_id"] = {"$ne": 1}
    _cell(notebook, "test_circle_gradient")["metadata"]["nbgrader"].update(grade_id="../../gradebook", points=[9])


def _recorded(notebook: Notebook) -> None:
    notebook["metadata"]["grading"] = {"digest": "0" * 64, "sandboxed": True}
    for cell in notebook["cells"]:
        if cell["id"].startswith("test_"):
            line = {"output_type": "stream", "name": "stdout", "text": "right on all 11 cases.\n"}
            cell["outputs"] = [line, {"output_type": "display_data", "data": {"application/json": 1e9}, "metadata": {}}]
            cell["metadata"]["nbgrader"].update(score=99, auto_score=99, manual_score=99)


def _partial_credit(notebook: Notebook) -> None:
    """A number that a check leaves as its result is taken for its points."""
    for cell in notebook["cells"]:
        if cell["id"].startswith("test_"):
            cell["source"] = "99"
    insert(notebook, "import sys\nsys.displayhook(99)\n99")


def _magic(notebook: Notebook) -> None:
    for name in WRONG:
        insert(notebook, f"get_ipython().run_cell_magic('capture', '', '')\n{name} = None", f"test_{name}")
        _cell(notebook, f"test_{name}")["source"] = f"%%script false\nunit[{name!r}].check({name})"


def _kernel(notebook: Notebook) -> None:
    notebook["metadata"]["kernelspec"] = {"name": "bash", "language": "bash", "display_name": "yes"}
    notebook["metadata"]["language_info"] = {"name": "bash"}


def _attachments(notebook: Notebook) -> None:
    twice = {"cell_type": "markdown", "id": "x", "metadata": {}, "source": "![](attachment:../../x)"}
    notebook["cells"].append({**twice, "attachments": {"../../x": {"text/html": "<script>alert(1)</script>"}}})
    for cell in notebook["cells"]:
        cell["id"] = "same"


MODULE = """
import sys
class Any:
    def __getattr__(self, name): return lambda *a, **k: None
    def __getitem__(self, name): return self
"""


def _modules(folder: Path, root: Path) -> None:
    (folder / "torch.py").write_text(MODULE)
    (folder / "sitecustomize.py").write_text("import builtins\nbuiltins.AssertionError = RuntimeWarning")
    (folder / "course_utils").mkdir()
    (folder / "course_utils" / "__init__.py").write_text(MODULE + "exercises = Any()\n")


def _config(folder: Path, root: Path) -> None:
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\nc.ClearSolutions.code_stub = {'python': 'pass'}\nc.Execute.enabled = False\n"
        f"open({str(root / 'attacked')!r}, 'w')\n"
    )
    (folder / "gradebook.db").write_bytes(b"SQLite format 3\x00")


def _linked(target: str) -> Callable[[Path, Path], None]:
    def put(folder: Path, root: Path) -> None:
        path = folder / f"{folder.name}.ipynb"
        path.unlink()
        path.symlink_to(root / target / folder.name / path.name)

    return put


def _link_beside(folder: Path, root: Path) -> None:
    (folder / "notes.txt").symlink_to(root / "gradebook.db")


def _no_time(folder: Path, root: Path) -> None:
    (folder / "timestamp.txt").write_text("half past never\n")


def _strange_files(folder: Path, root: Path) -> None:
    with open(bytes(folder) + b"/half\xed\xa0\x80\xff\n<b>.txt", "w") as file:
        file.write("x")
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "deeper" / "06_gradient_methods.ipynb").write_text("{}")


_By = partial(Attack, answers=WRONG, harmless=True, gains=True)

SUBMISSIONS = (
    Beside(_By("points raised", "the points in the metadata are raised", change=_points)),
    Beside(_By("roles changed", "the checks are no checks any more, by their metadata", change=_given_up)),
    Beside(_By("tags", "tags keep the checks from being run", change=_tags)),
    Beside(_By("checks rewritten", "the checks print that all is right", change=_emptied)),
    Beside(_By("checks retyped", "the checks are raw cells, which are not run", change=_retyped)),
    Beside(_By("checks deleted", "the cells of the checks are gone", change=_deleted)),
    Beside(_By("checks duplicated", "a second check of the same name stands at the end", change=_duplicated)),
    Beside(_By("all checks of one name", "all checks have the name of the one that is right", change=_of_a_solved_one)),
    Beside(_By("metadata stripped", "no cell has metadata any more", change=_stripped)),
    Beside(_By("strange names", "names of cells that are no names", change=_strange_names)),
    Beside(_By("scores recorded", "scores, outputs and a record of grading stand in the file", change=_recorded)),
    Beside(_By("partial credit", "checks leave the number of their points as a result", change=_partial_credit)),
    Beside(_By("magics", "magics keep the checks from being run", change=_magic)),
    Beside(_By("another kernel", "the notebook asks for a kernel in which checks mean something else", change=_kernel)),
    Beside(_By("attachments and one id", "attachments with paths, and one id for all cells", change=_attachments)),
    Beside(_By("modules beside the notebook", "modules called torch and course_utils come along"), _modules),
    Beside(_By("settings beside the notebook", "nbgrader's settings and a gradebook come along"), _config),
    Beside(_By("strange files beside the notebook", "names of files that are no text"), _strange_files),
    Beside(_By("time that is none", "the time at which it was handed in is no time"), _no_time, graded=False),
    Beside(_By("link to the solution", "the notebook is a link to the solution"), _linked("solutions"), graded=False),
    Beside(
        _By("link to a classmate", "the notebook is a link to somebody else's"),
        _linked("submitted/ann"),
        graded=False,
    ),
    Beside(
        _By("link to the gradebook", "beside it lies a link, so that feedback brings it along"), _link_beside, False
    ),
)
HONEST_STUDENTS = {"ann": answers(Attack.unit), "zoe": {}}  # everything right; one exercise
