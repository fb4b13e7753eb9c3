"""Time grading in the sandbox against plain nbgrader, on the same submissions: `python -m benchmarks.grading`.

Twenty submissions of unit 06: full, partly solved, wrong in a known way, and empty ones. Both commands start from the
same course without grades; ours uses two processes. Takes as long as plain nbgrader takes: up to half an hour.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

REPOSITORY = Path(__file__).resolve().parents[1]
UNIT, N_SUBMISSIONS = "06_gradient_methods", 20
WRONG = {
    "saliency": "def saliency(model, inputs, target):\n    return inputs.abs()",
    "grad_cam": "def grad_cam(model, inputs, target, layer):\n    return inputs.mean(1, keepdim=True)",
}


def submission(number: int) -> nbformat.NotebookNode:
    """Return the notebook of a student: of four, one solves all, one half, one little, and one is wrong twice."""
    lab, solution = (
        nbformat.read(REPOSITORY / folder / UNIT / f"{UNIT}.ipynb", as_version=4) for folder in ("labs", "solutions")
    )
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in solution.cells if "nbgrader" in cell.metadata}
    stubs = [
        cell for cell in lab.cells if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "code"
    ]
    solved = (len(stubs), len(stubs) // 2, 2, len(stubs))[number % 4]
    for cell in stubs[:solved]:
        name = cell.metadata.nbgrader.grade_id
        cell.source = WRONG[name] if number % 4 == 3 and name in WRONG else answers[name]
    return lab


def course(root: Path) -> None:
    """Make a course with the submissions."""
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    for folder in ("labs", "solutions"):
        shutil.copytree(REPOSITORY / folder / UNIT, root / folder / UNIT)
    for number in range(N_SUBMISSIONS):
        path = root / "submitted" / f"student{number:02d}" / UNIT / f"{UNIT}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(submission(number), path)
    run(root, "nbgrader", "generate_assignment", UNIT, "--force")


def run(root: Path, *module: str) -> float:
    """Run a module's command in the course and return its seconds."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *module], cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(module)} failed:\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - begun


def grades(root: Path) -> list[tuple[str, ...]]:
    """Return the points of each student."""
    run(root, "nbgrader", "export", "--to", "grades.csv")
    rows = (root / "grades.csv").read_text().splitlines()[1:]
    return sorted((re.search(r"student\d+", row)[0], row.split(",")[-2]) for row in rows)


def main() -> None:
    """Time both, compare the grades, and print submissions a minute and their ratio."""
    commands = {
        "in the sandbox": ("course_utils.grading", "autograde", UNIT, "--workers", "2"),
        "plain nbgrader": ("nbgrader", "autograde", UNIT),
    }
    seconds, found = {}, []
    for name, command in commands.items():
        with tempfile.TemporaryDirectory() as folder:
            course(Path(folder))
            seconds[name] = run(Path(folder), *command)
            found.append(grades(Path(folder)))
        print(
            f"{name}: {seconds[name]:.1f} s, {60 * N_SUBMISSIONS / seconds[name]:.1f} submissions a minute", flush=True
        )
    assert found[0] == found[1], "the two give other grades"
    ratio = seconds["plain nbgrader"] / seconds["in the sandbox"]
    print(f"{N_SUBMISSIONS} submissions, the same grades; {ratio:.1f} times as many a minute")


if __name__ == "__main__":
    main()
