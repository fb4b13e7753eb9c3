"""Runs the commands of grading for ``test_grading_runs.py``, and kills them at the moments that it is told.

Each line that comes on stdin is a :class:`Request` in JSON, and a line of JSON goes back for each. The imports, which
take seconds, happen once: a run is a fork of this process, in a session of its own; if it is to be a fresh one, the
real command. All that a run leaves behind when it ends becomes a child of this process, so nothing can stay unseen.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_utils.grading import Refused, __main__, gradebook, judge, pool  # noqa: F401  (so that runs have them)

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 10.0  # seconds that what a killed run leaves behind has to end


@dataclass(frozen=True)
class Request:
    """A run of a command.

    Args:
        arguments: of ``python -m course_utils.grading``.
        course: the folder in which it runs.
        environment: variables that differ.
        fresh: start the real command, instead of a fork of this process.
        kept: kill it only when it has kept this many results; -1: let it end.
        after: seconds from then on.
        main_only: kill the process that was started, and not those that it has started in turn.
    """

    arguments: list[str]
    course: str
    environment: dict[str, str] = field(default_factory=dict)
    fresh: bool = False
    kept: int = -1
    after: float = 0.0
    main_only: bool = False


def start(request: Request, output: Path, errors: Path) -> int:
    """Start a run; return the number of its process."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    os.setsid()
    os.chdir(request.course)
    os.environ.update(request.environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    if request.fresh:
        os.execv(sys.executable, [sys.executable, "-m", "course_utils.grading", *request.arguments])
    spawn = multiprocessing.get_context("fork")
    pool.multiprocessing.get_context = lambda method: spawn  # processes that have imported everything, too
    code = 3
    try:
        code = __main__.main(__main__.arguments().parse_args(request.arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    judge.close()
    os._exit(code)


def results_since(course: Path, begun: float) -> int:
    """Return how many results a run has kept."""
    found = 0
    for path in (course / gradebook.STATE).glob("*/results/*.json"):
        try:
            found += path.stat().st_mtime >= begun
        except OSError:  # replaced just now
            continue
    return found


def ended(number: int) -> int | None:
    """Return the exit status of a run, negative for a signal; None while it goes on."""
    found, status = os.waitpid(number, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def left_behind() -> list[str]:
    """Return what still runs of a run that has ended, and end it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    children = [int(n) for n in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    commands = [Path(f"/proc/{n}/cmdline").read_bytes().replace(b"\0", b" ").decode() for n in children]
    for child in children:
        os.kill(child, signal.SIGKILL)
    return commands


def serve_one(request: Request) -> dict[str, Any]:
    """Do a run; return its "status" (negative: the signal that ended it), "output", "errors", "seconds" and "left"."""
    course = Path(request.course)
    output, errors = course / ".output", course / ".errors"
    wall, begun = time.time(), time.monotonic()
    number = start(request, output, errors)
    due = None
    while (status := ended(number)) is None:
        if request.kept >= 0 and due is None and results_since(course, wall) >= request.kept:
            due = time.monotonic() + request.after
        if due is not None and time.monotonic() >= due:
            (os.kill if request.main_only else os.killpg)(number, signal.SIGKILL)
            due = float("inf")
        time.sleep(0.002)
    return {
        "status": status,
        "output": output.read_text(),
        "errors": errors.read_text(),
        "seconds": time.monotonic() - begun,
        "left": left_behind(),
    }


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(serve_one(Request(**json.loads(line)))), file=answers, flush=True)
