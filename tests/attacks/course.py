"""A course in nbgrader's folders, in which attacks are handed in."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from . import REPOSITORY, UNIT, Attack, cut
from .cells import HONEST_STUDENTS, Beside


def student_of(attack: Attack) -> str:
    """The student who hands the attack in."""
    return attack.name.replace(" ", "-")


def make_course(root: Path, submissions: Iterable[Beside]) -> None:
    """A course with the cut unit, its assignment made by nbgrader, and all submissions handed in."""
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    solution = root / "solutions" / UNIT / f"{UNIT}.ipynb"
    solution.parent.mkdir(parents=True)
    solution.write_text(json.dumps(cut(UNIT, "solutions")))
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", UNIT, "--force"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for student, solved in HONEST_STUDENTS.items():
        hand_in(root, student, Attack(student, "", answers=solved))
    for beside in submissions:
        beside.put(hand_in(root, student_of(beside.attack), beside.attack), root)


def hand_in(root: Path, student: str, attack: Attack) -> Path:
    """Put a submission in its folder, and return that."""
    folder = root / "submitted" / student / attack.unit
    folder.mkdir(parents=True)
    (folder / f"{attack.unit}.ipynb").write_bytes(attack.submission())
    return folder


def command(root: Path, *arguments: str) -> int:
    """Run a command of grading in a course, and return its status."""
    from course_utils.grading.__main__ import arguments as parser
    from course_utils.grading.__main__ import main

    options: argparse.Namespace = parser().parse_args([*arguments, UNIT, "--course", str(root)])
    return main(options)


def scores(root: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """(points, most points) of each check, by student."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        return {
            submission.student_id: {
                grade.name: (grade.score, grade.max_score) for grade in submission.notebooks[0].grades
            }
            for submission in gradebook.assignment_submissions(UNIT)
        }
