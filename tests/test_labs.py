"""Every lab runs unsolved from top to bottom, without a network: nothing fails but what is still to be written."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

REPOSITORY = Path(__file__).resolve().parents[1]
LABS = sorted(REPOSITORY.glob("labs/*/*.ipynb"))

# Runs in the kernel before the first cell: every way out to another machine is noted and refused. The kernel's own
# connections to this process stay on this machine.
GUARD = """
import sys

def _guard(event, arguments, local=("", "localhost", "127.0.0.1", "::1", "0.0.0.0")):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host is not None and host not in local:
        with open({log!r}, "a") as log:
            log.write(f"{{event}} {{host}}\\n")
        raise ConnectionRefusedError("a lab must run without a network")

sys.addaudithook(_guard)
"""


@dataclass
class Section:
    """The code cells below one heading of a lab that was run."""

    heading: str
    cells: list[NotebookNode]

    @property
    def is_exercise(self) -> bool:
        """Whether something here is still to be written: an exercise, or a part of the project's report."""
        roles = [cell.metadata.get("nbgrader", {}) for cell in self.cells]
        return any(role.get("grade") or role.get("solution") for role in roles)


@dataclass
class Run:
    """An unsolved lab that was run to its end, and the machines that it asked for."""

    notebook: NotebookNode
    asked_for: str

    def sections(self) -> Iterator[Section]:
        """The lab's sections, in order."""
        section = Section("the top", [])
        for cell in self.notebook.cells:
            heading = re.match(r"#{1,2} .*", cell.source) if cell.cell_type == "markdown" else None
            if heading:
                yield section
                section = Section(heading[0], [])
            elif cell.cell_type == "code":
                section.cells.append(cell)
        yield section


def errors(cell: NotebookNode) -> list[str]:
    """What a cell raised: the exception's name and message."""
    return [f"{out.ename}: {out.evalue}" for out in cell.outputs if out.output_type == "error"]


@pytest.fixture(scope="module", params=LABS, ids=lambda path: path.stem)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The lab as students get it, run in one kernel with one thread, in a folder of its own."""
    folder = tmp_path_factory.mktemp("student")
    log = folder / "asked_for.txt"
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-guard.py").write_text(textwrap.dedent(GUARD.format(log=str(log))))
    notebook = nbformat.read(request.param, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MPLBACKEND", "agg")
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=300, allow_errors=True, resources=resources).execute()
    return Run(notebook, log.read_text() if log.exists() else "")


def test_there_are_labs() -> None:
    assert LABS


def test_only_what_is_not_written_yet_fails(run: Run) -> None:
    raised = {error for cell in run.notebook.cells if cell.cell_type == "code" for error in errors(cell)}
    assert raised == {"NotImplementedError: "}


def test_everything_outside_the_exercises_works_unsolved(run: Run) -> None:
    others = [section for section in run.sections() if not section.is_exercise]
    failed = {section.heading: [error for cell in section.cells for error in errors(cell)] for section in others}
    assert {heading: found for heading, found in failed.items() if found} == {}


def test_every_check_says_that_nothing_is_written_yet(run: Run) -> None:
    checks = [cell for cell in run.notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    silent = [cell.id for cell in checks if cell.cell_type == "code" and not errors(cell)]
    assert checks
    assert silent == []


def test_nothing_is_written_to_stderr(run: Run) -> None:
    cells = [cell for cell in run.notebook.cells if cell.cell_type == "code"]
    warnings = {cell.id: out.text for cell in cells for out in cell.outputs if out.get("name") == "stderr"}
    assert warnings == {}


def test_no_network_is_asked_for(run: Run) -> None:
    assert run.asked_for == ""
