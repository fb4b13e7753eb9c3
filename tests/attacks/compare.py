"""How many points each attack gains: with plain nbgrader, and here.

    python -m tests.attacks.compare

prints the table. Plain nbgrader runs what was handed in as the user who calls it, so it only gets attacks that do no
harm to the machine. It takes some minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from course_utils.grading.bubblewrap import Limits
from course_utils.grading.judge import Job, grade

from . import HONEST, UNIT, Attack, cells, cut, escape, flood, forge, gain, read
from .course import command, make_course, scores, student_of

OTHERS = [attack for family in (gain, read, escape, flood, forge) for attack in family.ATTACKS]


def plain(root: Path, attacks: list[cells.Beside]) -> dict[str, str]:
    """The points gained with plain nbgrader, by student."""
    make_course(root, attacks)
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(root / ".jupyter"), "IPYTHONDIR": str(root / ".ipython")}
    for beside in attacks:  # one by one: some of them stop a whole run
        options = [f"--student={student_of(beside.attack)}", "--Execute.timeout=60"]
        order = [sys.executable, "-m", "nbgrader", "autograde", UNIT, *options]
        subprocess.run(order, cwd=root, env=environment, capture_output=True)
    return gained(root)


def here(root: Path, attacks: list[cells.Beside]) -> dict[str, str]:
    """The points gained with the commands of this course, by student."""
    make_course(root, attacks)
    command(root, "autograde")
    return gained(root)


def gained(root: Path) -> dict[str, str]:
    """The points of a course's students beyond those that they earned."""
    honest = f"test_{HONEST[UNIT]}"
    return {
        student: f"{sum(points for points, _ in checks.values()) - checks[honest][1]:+g}"
        for student, checks in scores(root).items()
    }


def judged(attack: Attack) -> str:
    """How many exercises are right that nobody solved."""
    lab = json.dumps(cut(attack.unit, "labs")).encode()
    result = grade(
        Job(attack.unit, attack.submission(), lab, seed=1, limits=Limits(2**30, call=4, cell=4, notebook=60))
    )
    right = {name for name, verdict in result["verdicts"].items() if verdict["right"]}
    return f"+{len(right - {HONEST[attack.unit]})}"


def main() -> None:
    """Print the table."""
    attacks = [cells.Beside(attack) for attack in OTHERS if attack.harmless and attack.unit == UNIT]
    attacks += cells.SUBMISSIONS
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        columns = plain(Path(first), attacks), here(Path(second), attacks)
    print("| attack | what it tries | points gained with plain nbgrader | here |\n| --- | --- | ---: | ---: |")
    for beside in attacks:
        found = [column.get(student_of(beside.attack), "not graded") for column in columns]
        print(f"| {beside.attack.name} | {beside.attack.tries} | {' | '.join(found)} |")
    for attack in OTHERS:
        if not (attack.harmless and attack.unit == UNIT):
            print(f"| {attack.name} | {attack.tries} | not run | {judged(attack)} |")


if __name__ == "__main__":
    main()
