"""The judge: outside of the sandbox it draws the arguments, compares the answers, and makes the verdicts.

A job is the bytes of a submission and what it is judged by; its result is JSON. :func:`grade` does one, in any process
of any machine where this version of the course is installed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import torch

import course_utils
from course_utils import exercises
from course_utils.exercises.core import Case, Exercise, Fault, Remembering, ValueExercise, Verdict, _kind
from course_utils.grading.bubblewrap import Limits
from course_utils.grading.plain import Unreadable, decode, encode
from course_utils.grading.sandbox import Answers, Died, Gone, Sandbox, Submission, TooLate
from course_utils.grading.submissions import (
    LARGE_OUTPUT,
    Lab,
    NoNotebook,
    Output,
    Step,
    error_output,
    output_size,
    problems,
    read,
)

MIMES = re.compile(r"[a-z]+/[\w.+-]{1,80}")
ROOM = 256 * 2**20  # bytes of the arrays of all answers of an exercise
ROOM_BY_HAND = 2**16  # the same, where a number or a choice is asked for
LONGEST_MESSAGE = 4000  # characters of what a student is told of an exercise
MOST_OUTPUT = 32 * 2**20  # characters of the outputs of all cells that were run


@dataclass(frozen=True)
class Job:
    """What is graded, and how.

    Args:
        unit: such as "06_gradient_methods".
        submission: the notebook that was handed in, bytes as they came.
        lab: the notebook that was given out.
        seed: of the arguments that are drawn; secret.
        limits: of the sandbox.
        wrapped: False runs the student's code without a sandbox.
        pictures: whether cells of the lab that only show something are run.
    """

    unit: str
    submission: bytes = field(repr=False)
    lab: bytes = field(repr=False)
    seed: int = field(repr=False)
    limits: Limits = field(default_factory=Limits)
    wrapped: bool = True
    pictures: bool = False

    @cached_property
    def handed_in(self) -> str:
        """A name for the bytes of the submission."""
        return hashlib.sha256(self.submission).hexdigest()

    @cached_property
    def digest(self) -> str:
        """A name for all that the result depends on."""
        what = [self.unit, self.seed, asdict(self.limits), self.wrapped, self.pictures, course_version()]
        parts = [json.dumps(what).encode(), self.submission, self.lab]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@functools.cache
def course_version() -> str:
    """Return the version of the installed course, with a fingerprint of its code."""
    package = Path(course_utils.__file__).parent
    code = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{course_utils.__version__}+{code.hexdigest()[:12]}"


class Judge:
    """The exercises of a unit with their cases, drawn once for all submissions.

    Args:
        unit: such as "06_gradient_methods".
        seed: of the arguments; the fixed cases come first, whatever it is.
    """

    def __init__(self, unit: str, seed: int) -> None:
        self.exercises = {
            name: Remembering(**vars(exercise)) if isinstance(exercise, Exercise) else exercise
            for name, exercise in exercises.load(unit).items()
        }
        self.seed = seed
        self._cases: dict[str, list[Case]] = {}

    def cases(self, name: str) -> list[Case]:
        """Return the cases of an exercise: always the same ones."""
        if name not in self._cases:
            self._cases[name] = self.exercises[name].draw(self.seed)
        return self._cases[name]

    def verdict(self, name: str, submission: Submission) -> dict[str, Any]:
        """Return the judgement of one exercise: see :func:`grade`.

        Raises:
            Gone: the sandbox of the submission has gone.
        """
        try:
            with submission.answers(name) as answers:
                return self._of_answers(name, answers)
        except Died:
            return _lost(name, "crash", "your code ended Python itself: a crash, or a call of os._exit.")
        except TooLate:
            return _lost(name, "time", "your code took too long, and was stopped: look for a loop that does not end.")
        except MemoryError:
            return _lost(name, "memory", "your code took more memory than there is, and was stopped.")

    def _of_answers(self, name: str, answers: Answers) -> dict[str, Any]:
        exercise = self.exercises[name]
        room = ROOM_BY_HAND if isinstance(exercise, ValueExercise) else ROOM
        message, arrays = answers.first()
        if message.get("missing"):
            return _lost(name, "missing", f"nothing in the notebook is called {name}.")
        given: list[Any] = []
        if not message.get("callable"):
            value = _read(message.get("value"), arrays, room)
            if not isinstance(exercise, ValueExercise):
                return _lost(name, "wrong", f"give your function itself; {_kind(value)} came.")
            given.append(value)
        for case in self.cases(name)[len(given) :]:
            call = exercise.call(case)
            arrays = []
            message, arrays = answers.call(
                {
                    "name": call.name,
                    "arguments": encode(dict(call.arguments), arrays),
                    "keywords": list(call.keywords),
                    "raises": call.raises,
                    "calls": call.calls,
                },
                arrays,
            )
            if message.get("unsolved"):
                return _lost(name, "unsolved", "nothing is written yet.")
            given.append(_read(message.get("value"), arrays, room))
            room -= _size(arrays)
            if isinstance(given[-1], Fault):
                break
        return self._compare(name, given)

    def _compare(self, name: str, given: list[Any]) -> dict[str, Any]:
        try:
            verdict: Verdict = self.exercises[name].judge(self.cases(name), given)
        except Exception as error:  # whatever a value may do to a comparison, it is not right
            return _lost(name, "wrong", f"your answer can't be compared ({type(error).__name__}).")
        kind = "right" if verdict.right else "wrong"
        message = verdict.message[:LONGEST_MESSAGE]
        return {"right": verdict.right, "kind": kind, "message": message, "mistake": verdict.mistake}


def _lost(name: str, kind: str, text: str) -> dict[str, Any]:
    return {"right": False, "kind": kind, "message": f"{name}: {text}", "mistake": None}


def _size(arrays: list[torch.Tensor]) -> int:
    return sum(array.nbytes for array in arrays)


def _read(tree: Any, arrays: list[torch.Tensor], room: int) -> Any:
    if _size(arrays) > room:
        return Fault("your function returned too much.")
    try:
        return decode(tree, arrays)
    except Unreadable:
        return Fault("what your function returned can't be read.")


# ---------------------------------------------------------------------------------------------------------------------
# One submission
# ---------------------------------------------------------------------------------------------------------------------


def grade(job: Job) -> dict[str, Any]:
    """Run a submission, and judge its exercises; of several threads one after the other, as there is one sandbox.

    Returns:
        JSON: "digest"; "submission" (a name for its bytes); "error" (why it can't be graded, or None); "problems" (of
        :class:`~course_utils.grading.submissions.Problem`); "outputs", by the cell's place in the submission, of the
        cells that were run; "verdicts", by exercise: "right", "kind" (right, wrong, unsolved, missing, crash, time,
        memory, gone), "message", "mistake"; "seconds"; "sandboxed".

    Raises:
        NoSandbox: bubblewrap is missing.
        Gone: the sandbox does not start.
    """
    with _ONE_AT_A_TIME:
        return _grade(job)


def _grade(job: Job) -> dict[str, Any]:
    begun = time.monotonic()
    result: dict[str, Any] = {"digest": job.digest, "submission": job.handed_in, "error": None}
    result |= {"problems": [], "outputs": {}, "verdicts": {}}
    try:
        notebook = read(job.submission)
    except NoNotebook as error:
        result["error"] = str(error)
    else:
        lab = Lab(job.unit, nbformat.reads(job.lab.decode(), as_version=4))
        result["problems"] = [asdict(problem) for problem in problems(notebook, lab)]
        if any(problem["kind"] == "other unit" for problem in result["problems"]):
            result["error"] = result["problems"][0]["text"]
        else:
            sandbox, judge = _warm(job, lab)
            starts_alike = lab.starts_alike(notebook)
            if starts_alike:
                places = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
                result["outputs"] = dict(zip(map(str, places), sandbox.first, strict=False))
            with sandbox.submission(from_start=not starts_alike) as submission:
                steps = lab.steps(notebook, job.pictures)
                _run(steps, [cell.source for cell in notebook.cells], submission, judge, result)
    return {**_writable(result), "seconds": round(time.monotonic() - begun, 3), "sandboxed": job.wrapped}


def _writable(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result in which all text can be written as UTF-8: half characters become question marks."""
    return json.loads(json.dumps(result, ensure_ascii=False).encode(errors="replace"))


def _run(steps: list[Step], sources: list[str], submission: Submission, judge: Judge, result: dict[str, Any]) -> None:
    outputs, verdicts = result["outputs"], result["verdicts"]
    room = MOST_OUTPUT
    gone: str | None = None
    for step in steps:
        try:
            if gone is not None:
                raise Gone(gone)
            if step.exercise is not None:
                verdicts[step.exercise] = judge.verdict(step.exercise, submission)
                verdict = verdicts[step.exercise]
                submission.tell(step.exercise, verdict["right"], verdict["message"])
            elif step.cell is not None:
                outputs[str(step.cell)] = list(_kept(submission.cell(sources[step.cell]), room))
                room -= output_size(nbformat.NotebookNode(outputs=outputs[str(step.cell)]))
        except Died:
            outputs[str(step.cell)] = [error_output("Crash", "this cell ended Python itself")]
        except TooLate:
            outputs[str(step.cell)] = [error_output("TimeoutError", "this cell took too long, and was stopped")]
        except MemoryError:
            outputs[str(step.cell)] = [error_output("MemoryError", "this cell took more memory than there is")]
        except Gone as error:
            gone = str(error)
            if step.exercise is not None:
                verdicts[step.exercise] = _lost(step.exercise, "gone", f"the run of the notebook had ended: {gone}.")


def _kept(outputs: list[Any], room: int) -> Iterator[Output]:
    """Yield those of a cell's outputs that have nbformat's form, whatever it was that sent them, if there is room."""
    if output_size(nbformat.NotebookNode(outputs=outputs)) > min(room, 3 * LARGE_OUTPUT):
        yield {"output_type": "stream", "name": "stderr", "text": "[more output than is kept]\n"}
        return
    for output in outputs:
        kept = _form(output)
        if kept is not None:
            yield kept


def _flat(value: Any) -> bool:
    """Whether this is a dict of texts and numbers, as those that stand for a widget are."""
    return isinstance(value, dict) and all(isinstance(part, str | int | float) for part in value.values())


def _form(output: Any) -> Output | None:
    if not isinstance(output, dict):
        return None
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": str(output.get("text", ""))}
    if kind == "error":
        trace = output.get("traceback", [])
        lines = [str(line) for line in trace] if isinstance(trace, list) else []
        return error_output(str(output.get("ename", "")), str(output.get("evalue", "")), lines)
    if kind in ("display_data", "execute_result") and isinstance(output.get("data"), dict):
        data = {
            mime: value
            for mime, value in output["data"].items()
            if MIMES.fullmatch(mime) and (type(value) is str or (mime.endswith("json") and _flat(value)))
        }
        kept = {"output_type": kind, "data": data, "metadata": {}}
        return {**kept, "execution_count": None} if kind == "execute_result" else kept
    return None


# ---------------------------------------------------------------------------------------------------------------------
# What stays warm in this process
# ---------------------------------------------------------------------------------------------------------------------

_WARM: dict[str, tuple[Sandbox, Judge]] = {}
_ONE_AT_A_TIME = threading.Lock()  # a worker of Dask may have several threads


def _warm(job: Job, lab: Lab) -> tuple[Sandbox, Judge]:
    """Return the sandbox and the judge for a job; those of an earlier one, if nothing but the submission differs."""
    key = Job(job.unit, b"", job.lab, job.seed, job.limits, job.wrapped, job.pictures).digest
    if key not in _WARM:
        close()
        torch.set_num_threads(1)
        sandbox = Sandbox(job.unit, list(lab.modules), list(lab.first), job.limits, job.wrapped)
        _WARM[key] = sandbox, Judge(job.unit, job.seed)
    return _WARM[key]


@atexit.register
def close() -> None:
    """End the sandboxes that this process keeps."""
    while _WARM:
        with contextlib.suppress(OSError):
            _WARM.popitem()[1][0].close()
