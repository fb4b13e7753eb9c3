"""The commands of grading; `python -m course_utils.grading --help` lists them. Run them in the course's folder."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from course_utils.grading import Refused
from course_utils.grading.bubblewrap import Limits, bubblewrap
from course_utils.grading.submissions import NoNotebook, Problem, extra_files, handed_in, problems, read

REPORTS = "reports"


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m course_utils.grading", description=__doc__.split(";")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "check": "say what is wrong with the submitted files; nothing is run",
        "autograde": "run the submissions in a sandbox, judge them, and write the points into nbgrader's gradebook",
        "status": "say who is graded, and who is not",
        "feedback": "write a page for each graded student into feedback/",
        "export": "write grades.csv, and reports/ on the exercises and on answers that deserve a look",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("unit", help="such as 06_gradient_methods")
        command.add_argument("--student", default="*", metavar="PATTERN", help="only these, such as ann or 'a*'")
        command.add_argument("--course", type=Path, default=Path(), help="the folder with nbgrader_config.py")
        if name == "autograde":
            _autograde_options(command)
    return parser


def _autograde_options(command: argparse.ArgumentParser) -> None:
    usual = Limits()
    command.add_argument("--force", action="store_true", help="grade again what is graded already")
    command.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    command.add_argument("--scheduler", metavar="ADDRESS", help="grade on a Dask cluster, such as tcp://server:8786")
    command.add_argument("--no-sandbox", action="store_true", help="run the students' code as you, unprotected")
    command.add_argument("--pictures", action="store_true", help="run the lab's own pictures, too: much slower")
    command.add_argument(
        "--memory", type=float, default=usual.memory / 2**30, help="GiB for a submission (%(default)g)"
    )
    command.add_argument("--call", type=float, default=usual.call, help="seconds for a call (%(default)g)")
    command.add_argument("--cell", type=float, default=usual.cell, help="seconds for a cell (%(default)g)")
    command.add_argument("--notebook", type=float, default=usual.notebook, help="seconds for a notebook (%(default)g)")


def main(options: argparse.Namespace) -> int:
    """Do a command, and return the exit status: 0, or 1 if something is to be looked at, or 2 if it can't be done."""
    from course_utils.grading.gradebook import Course

    for stream in (sys.stdout, sys.stderr):  # a file may have a name that is no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        course = Course(options.course)
        course.lab(options.unit)
        return {"check": check, "autograde": autograde, "status": status, "feedback": feedback, "export": export}[
            options.command
        ](course, options)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2


# ---------------------------------------------------------------------------------------------------------------------
# check
# ---------------------------------------------------------------------------------------------------------------------


def _problems(course: Any, unit: str, folder: Path) -> list[Problem]:
    """Return what is wrong with one student's folder."""
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())
    beside = extra_files([name for name in files if ".ipynb_checkpoints" not in name], unit)
    try:
        found = problems(read(handed_in(folder, unit)), course.lab(unit)[0])
    except (NoNotebook, OSError) as error:
        return [Problem("", "unreadable", str(error)), *beside]
    try:
        course.stamp(folder)
    except Refused as error:
        beside.append(Problem("", "no time", str(error)))
    return [*found, *beside]


def _tell(student: str, found: list[Problem]) -> None:
    for problem in found:
        where = f"{problem.cell}: " if problem.cell else ""
        print(f"  {student}: {where}{problem.text} [{problem.kind}]")


def check(course: Any, options: argparse.Namespace) -> int:
    """Say what is wrong with the submitted files."""
    submitted = _submitted(course, options)
    clean = 0
    for student, folder in submitted.items():
        found = _problems(course, options.unit, folder)
        clean += not found
        _tell(student, found)
    print(f"{options.unit}: {len(submitted)} submissions, {clean} of them without a problem.")
    return int(clean < len(submitted))


def _submitted(course: Any, options: argparse.Namespace) -> dict[str, Path]:
    submitted = course.submitted(options.unit, options.student)
    if not submitted:
        raise Refused(f"nothing to grade: put submissions at submitted/STUDENT/{options.unit}/{options.unit}.ipynb")
    return submitted


# ---------------------------------------------------------------------------------------------------------------------
# autograde
# ---------------------------------------------------------------------------------------------------------------------


def autograde(course: Any, options: argparse.Namespace) -> int:
    """Grade what is not graded yet."""
    from course_utils.grading.gradebook import alone

    if not options.no_sandbox and not options.scheduler:
        bubblewrap()
    if options.no_sandbox:
        print("WITHOUT A SANDBOX: the students' code can read, change and send all that you can.", file=sys.stderr)
    course.points(options.unit)
    submitted = _submitted(course, options)
    with alone(course):
        return _grade_all(course, options, submitted)


def _jobs(
    course: Any, options: argparse.Namespace, submitted: dict[str, Path], state: Any
) -> Iterator[tuple[str, Any, dict[str, Any] | None]]:
    """Yield (student, job, its result if it is kept already); in place of a job, why there can be none."""
    from course_utils.grading.judge import Job

    lab = course.lab(options.unit)[1]
    limits = Limits(int(options.memory * 2**30), Limits.cpu, options.call, options.cell, options.notebook)
    for student, folder in submitted.items():
        try:
            data = handed_in(folder, options.unit)
        except (NoNotebook, OSError) as error:
            yield student, str(error), None
            continue
        job = Job(options.unit, data, lab, state.seed, limits, not options.no_sandbox, bool(options.pictures))
        kept = None if options.force else state.result(student)
        yield student, job, kept if kept and kept["digest"] == job.digest and not kept.get("unfinished") else None


def _grade_all(course: Any, options: argparse.Namespace, submitted: dict[str, Path]) -> int:
    from course_utils.grading import pool
    from course_utils.grading.gradebook import State, is_recorded, record

    unit, state, failed = options.unit, State(course, options.unit), []
    lab = course.lab(unit)[0]
    for student, folder in submitted.items():
        _tell(student, _problems(course, unit, folder))
    bar = tqdm(total=len(submitted), unit="submission", desc=unit, file=sys.stderr, smoothing=0.1)

    def write_down(student: str, data: bytes, result: dict[str, Any], anew: bool) -> None:
        bar.update()
        if result["error"]:
            failed.append(student)
            tqdm.write(f"  {student}: NOT GRADED: {result['error']}", file=sys.stdout)
            return
        try:
            if anew or not is_recorded(course, unit, student, result):
                record(course, unit, student, lab, data, result)
        except Refused as error:
            failed.append(student)
            tqdm.write(f"  {student}: NOT GRADED: {error}", file=sys.stdout)

    def to_do() -> Iterator[tuple[str, Any]]:
        for student, job, result in _jobs(course, options, submitted, state):
            if isinstance(job, str):
                failed.append(student)
                bar.update()
                tqdm.write(f"  {student}: NOT GRADED: {job}", file=sys.stdout)
            elif result is not None:
                write_down(student, job.submission, result, anew=False)
            else:
                state.forget(student)
                yield student, job

    done = pool.on_cluster(to_do(), options.scheduler) if options.scheduler else pool.here(to_do(), options.workers)
    with bar:
        for student, job, result in done:
            state.keep(student, result)
            write_down(student, job.submission, result, anew=True)
    unprotected = " WITHOUT A SANDBOX" if options.no_sandbox else ""
    print(f"{unit}: {len(submitted) - len(failed)} of {len(submitted)} submissions graded{unprotected}.")
    return int(bool(failed))


# ---------------------------------------------------------------------------------------------------------------------
# status, feedback, export
# ---------------------------------------------------------------------------------------------------------------------


def status(course: Any, options: argparse.Namespace) -> int:
    """Say who is graded, and who is not."""
    from course_utils.grading.gradebook import State

    state, waiting = State(course, options.unit), 0
    points = course.points(options.unit)
    checks = {name: most for name, most in points.items() if name.startswith("test_")}
    submitted = _submitted(course, options)
    for student, folder in submitted.items():
        result = state.result(student)
        text = _why_not_graded(course, options.unit, student, folder, result)
        if not text:
            right = sum(checks[f"test_{name}"] for name, verdict in result["verdicts"].items() if verdict["right"])
            text = f"graded: {right:g} of {sum(checks.values()):g} points by checks"
            text += "" if result.get("sandboxed", True) else ", WITHOUT A SANDBOX"
        waiting += not text.startswith("graded")
        print(f"  {student}: {text}")
    by_hand = sum(points.values()) - sum(checks.values())
    print(
        f"{options.unit}: {len(submitted) - waiting} of {len(submitted)} graded; {by_hand:g} points are given by hand."
    )
    return int(waiting > 0)


def _why_not_graded(course: Any, unit: str, student: str, folder: Path, result: dict[str, Any] | None) -> str:
    """Return why a submission is not graded as it lies there; "" if it is."""
    from course_utils.grading.gradebook import is_recorded

    if result is None:
        return "not graded yet"
    path = folder / f"{unit}.ipynb"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != result.get("submission"):
        return "handed in again since it was graded"
    if result["error"]:
        return f"NOT GRADED: {result['error']}"
    try:
        recorded = is_recorded(course, unit, student, result)
    except Refused as error:
        return f"NOT GRADED: {error}"
    return "" if recorded else "judged, and not yet in the gradebook: run autograde again"


def feedback(course: Any, options: argparse.Namespace) -> int:
    """Write a page for each graded student."""
    from course_utils.grading.feedback import write_feedback

    print(f"{options.unit}: {write_feedback(course, options.unit, options.student)} pages written to feedback/.")
    return 0


def export(course: Any, options: argparse.Namespace) -> int:
    """Write the tables."""
    import nbformat
    from nbgrader.plugins import CsvExportPlugin

    from course_utils.grading import reports
    from course_utils.grading.gradebook import State, write_whole

    unit, state, folder = options.unit, State(course, options.unit), course.root / REPORTS
    submitted = course.submitted(unit, options.student)
    results = {student: result for student in submitted if (result := state.result(student)) and not result["error"]}
    rows = reports.item_statistics(unit, course.points(unit), results)
    write_whole(folder / f"{unit}_exercises.csv", reports.table(rows).encode())
    reports.draw_items(unit, rows, folder / f"{unit}_exercises.png")
    lab, notebooks = course.lab(unit)[0], {}
    for student, path in submitted.items():
        try:
            notebooks[student] = read(handed_in(path, unit))
        except (NoNotebook, OSError):
            continue
    solution = course.path(course.folders.source_directory, ".", unit) / f"{unit}.ipynb"
    own = nbformat.read(solution, as_version=4) if solution.is_file() else lab.notebook
    found = [vars(flag) for flag in reports.flags(lab, own, notebooks)]
    columns = {"student": "", "exercise": "", "kind": "", "text": ""}
    write_whole(folder / f"{unit}_flags.csv", (reports.table(found) or ",".join(columns) + "\n").encode())
    plugin = CsvExportPlugin(parent=course.app)
    plugin.to, plugin.assignment = str(course.root / "grades.csv"), [unit]
    with course.gradebook() as gradebook:
        plugin.export(gradebook)
    print(
        f"{unit}: grades.csv, {REPORTS}/{unit}_exercises.csv and .png, {len(found)} flags in {REPORTS}/{unit}_flags.csv"
    )
    return 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message="Object of type .* not in session")  # nbgrader's own
    sys.exit(main(arguments().parse_args()))
