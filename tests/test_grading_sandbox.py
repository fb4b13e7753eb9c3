"""The sandbox, the judge and the commands of grading: what runs, what is said of it, what is written down and shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from handed_in import REPOSITORY, UNIT, cell_of, lab_bytes, lab_of, solved, to_bytes
from nbformat import NotebookNode

from course_utils import exercises
from course_utils.grading import Refused
from course_utils.grading.bubblewrap import Limits, NoSandbox, bubblewrap
from course_utils.grading.judge import Job, close, grade
from course_utils.grading.plain import (
    TooLate,
)
from course_utils.grading.sandbox import Died, Gone, Sandbox
from course_utils.grading.submissions import grade_id

pytestmark = pytest.mark.sandbox


# ---------------------------------------------------------------------------------------------------------------------
# The sandbox
# ---------------------------------------------------------------------------------------------------------------------


QUICK = Limits(call=10, cell=15, notebook=150)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    lab = lab_of()
    with Sandbox(UNIT, list(lab.modules), list(lab.first), QUICK) as box:
        yield box


def text_of(outputs: list[dict[str, Any]]) -> str:
    return "".join(output.get("text", "") or output.get("evalue", "") for output in outputs)


def test_a_cell_runs_as_in_jupyter(sandbox: Sandbox) -> None:
    with sandbox.submission(from_start=False) as submission:
        (printed, shown) = submission.cell("import sys\nprint('a')\nprint('b')\n1 + 1")
        (raised,) = submission.cell("1 / 0")
        pictures = submission.cell("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
        awaited = submission.cell("import asyncio\nawait asyncio.sleep(0, 7)")
        (warned,) = submission.cell("print('w', file=sys.stderr)")
    assert printed == {"output_type": "stream", "name": "stdout", "text": "a\nb\n"}
    assert (shown["output_type"], shown["data"]) == ("execute_result", {"text/plain": "2"})
    assert (raised["output_type"], raised["ename"]) == ("error", "ZeroDivisionError")
    assert any("image/png" in output.get("data", {}) for output in pictures)
    assert awaited[0]["data"] == {"text/plain": "7"}
    assert warned["name"] == "stderr"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import os\nos._exit(0)", Died),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", Died),
        ("x = 2\nwhile True: pass", TooLate),
        ("import time\ntry:\n    time.sleep(60)\nexcept BaseException:\n    time.sleep(60)", TooLate),
    ],
)
def test_a_cell_that_kills_its_process_is_as_if_it_had_not_been(sandbox: Sandbox, source: str, error: type) -> None:
    with sandbox.submission(from_start=False) as submission:
        submission.cell("x = 1")
        with pytest.raises(error):
            submission.cell(source)
        assert submission.cell("x")[0]["data"] == {"text/plain": "1"}


def test_memory_is_bounded_in_one_process_and_in_many(sandbox: Sandbox) -> None:
    fork = (
        "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n"
        "        b = b'x' * 2**28\n        time.sleep(9)\ntime.sleep(9)"
    )
    with sandbox.submission(from_start=False) as submission:
        assert submission.cell("b'x' * 3 * 2**30")[0]["ename"] == "MemoryError"
        with pytest.raises(MemoryError):
            submission.cell(fork)
        submission.cell("big = [b'x' * 2**28 for _ in range(5)]")  # 1.3 GB, once, though forks share it
        assert submission.cell("len(big)")[0]["data"] == {"text/plain": "5"}


def test_nothing_of_the_machine_is_there(sandbox: Sandbox) -> None:
    look = (
        "import os, socket, glob\n"
        "def tried(function, *arguments):\n"
        "    try:\n"
        "        return function(*arguments)\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "print(os.getpid() < 100, sorted(os.listdir('/proc')), os.listdir('/tmp'), sorted(os.environ))\n"
        "print(tried(open, '/etc/passwd'), tried(open, '/course/course_utils/x', 'w'), tried(os.listdir, '/home'))\n"
        "print(tried(socket.create_connection, ('127.0.0.1', 22), 1), tried(os.kill, 1, 9), tried(os.setuid, 0))\n"
        "print(os.listdir(os.path.dirname(__import__('course_utils').__file__) + '/exercises'))\n"
    )
    with sandbox.submission(from_start=False) as submission:
        lines = text_of(submission.cell(look)).splitlines()
        alive = submission.cell("1")
    variables = "['HOME', 'LANG', 'MKL_NUM_THREADS', 'MPLBACKEND', 'OMP_NUM_THREADS'"
    assert lines[0].startswith("True [] []") and variables in lines[0]
    assert lines[1] == "FileNotFoundError OSError FileNotFoundError"
    assert lines[2] in ("OSError None OSError", "ConnectionRefusedError None OSError")
    assert lines[3] == "[]"
    assert alive[0]["data"] == {"text/plain": "1"}


def test_one_submission_leaves_nothing_to_the_next(sandbox: Sandbox) -> None:
    with sandbox.submission(from_start=False) as submission:
        submission.cell("open('/tmp/note', 'w').write('hello'); import builtins; builtins.open = None; mine = 3")
        submission.cell("import os\nif os.fork() == 0:\n    os.setsid()\n    import time\n    time.sleep(60)")
    with sandbox.submission(from_start=False) as submission:
        assert text_of(submission.cell("import os\nprint(os.listdir('/tmp'), 'mine' in globals(), open is None)")) == (
            "[] False False\n"
        )


def test_files_processes_and_output_are_bounded(sandbox: Sandbox) -> None:
    with sandbox.submission(from_start=False) as submission:
        (too_large,) = submission.cell("open('a', 'wb').write(b'0' * 2**27)")
        (too_full,) = submission.cell("for n in range(9):\n    open(str(n), 'wb').write(b'0' * 2**24)")
        (too_many,) = submission.cell(
            "import os\nfor _ in range(500):\n    if os.fork() == 0:\n        import time; time.sleep(9)"
        )
        printed = submission.cell(
            "while True:\n    print('x' * 10**6)\n    n = globals().get('n', 0) + 1\n    if n > 30: break"
        )
        assert submission.cell("1")[0]["data"] == {"text/plain": "1"}
    assert {too_large["ename"], too_full["ename"], too_many["ename"]} == {"OSError", "BlockingIOError"}
    assert len(text_of(printed)) < 3 * 2**20 and "more output than is kept" in text_of(printed)


def test_the_exercises_answers_are_not_there(sandbox: Sandbox) -> None:
    look = (
        "import gc, sys\nfrom course_utils import exercises\nfrom course_utils.exercises import core\n"
        "held = [vars(o) for o in gc.get_objects() if type(o) in (core.Exercise, core.ValueExercise)]\n"
        "print([vars(e) for e in exercises.load('06_gradient_methods').values()][0], any(held))\n"
    )
    with sandbox.submission(from_start=False) as submission:
        printed = text_of(submission.cell(look))
    assert printed.strip().endswith("False") and "reference" not in printed and "expected" not in printed


def test_sandbox_without_namespaces_of_its_own_for_each_submission_is_as_tight() -> None:
    lab = lab_of("12_gam")
    with Sandbox("12_gam", ["torch"], ["import os"], QUICK, nested=False) as box:
        for _ in range(2):
            with box.submission(from_start=False) as submission:
                printed = text_of(submission.cell("print(os.listdir('/tmp'))\nopen('/tmp/a', 'w').close()"))
                assert "'a'" not in printed
                assert submission.cell("open('/etc/passwd')")[0]["ename"] == "FileNotFoundError"
                (refused,) = submission.cell("import socket; socket.create_connection(('127.0.0.1', 22))")
                assert refused["ename"] in ("OSError", "ConnectionRefusedError")
    assert lab.exercises


def test_first_cells_that_fail_are_the_instructors_fault() -> None:
    with pytest.raises(Gone, match="the lab's own first cells fail: NameError"):
        Sandbox("12_gam", [], ["nothing"], QUICK)


def test_missing_bubblewrap_is_told_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSandbox, match=r"is missing[\s\S]*apt install bubblewrap"):
        bubblewrap()
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!{sys.executable}\nimport sys; sys.exit('no namespaces here')")
    fake.chmod(0o755)
    with pytest.raises(NoSandbox, match=r"does not work \(no namespaces here"):
        bubblewrap()


# ---------------------------------------------------------------------------------------------------------------------
# The judge
# ---------------------------------------------------------------------------------------------------------------------


def judged(notebook: NotebookNode | bytes, unit: str = UNIT, **options: Any) -> dict[str, Any]:
    data = notebook if isinstance(notebook, bytes) else to_bytes(notebook)
    return grade(Job(unit, data, lab_bytes(unit), 4711, **{"limits": QUICK, **options}))


@pytest.fixture(scope="module", autouse=True)
def _end() -> Iterator[None]:
    yield
    close()


def kinds(result: dict[str, Any]) -> dict[str, str]:
    return {name: verdict["kind"] for name, verdict in result["verdicts"].items()}


@pytest.mark.parametrize("unit", [UNIT, "12_gam"])
def test_every_answer_of_a_solution_is_right_and_the_lab_unsolved(unit: str) -> None:
    right = judged(solved(unit, set(lab_of(unit).exercises)), unit, limits=Limits())
    unsolved = judged(lab_bytes(unit), unit, limits=Limits())
    assert right["error"] is None and right["problems"] == []
    assert kinds(right) == dict.fromkeys(exercises.load(unit), "right")
    assert kinds(unsolved) == dict.fromkeys(exercises.load(unit), "unsolved")


def test_wrong_answers_get_the_hint_of_their_mistake() -> None:
    wrong = "def relu_backward(x, g, rule):\n    return g * (g > 0) if rule != 'plain' else g"
    result = judged(solved(UNIT, {"saliency"}, relu_backward=wrong))
    verdict = result["verdicts"]["relu_backward"]
    assert not verdict["right"] and verdict["message"].startswith("relu_backward")
    assert result["verdicts"]["saliency"]["right"]


LOST = {
    "crash": "import os\ndef relu_backward(*a, **k):\n    os._exit(1)",
    "time": "def relu_backward(*a, **k):\n    while True: pass",
    "wrong": "def relu_backward(*a, **k):\n    return [b'x' * 2**30 for _ in range(9)]",
    "missing": "x = 1",
    "unsolved": "def relu_backward(*a, **k):\n    raise NotImplementedError",
}


@pytest.mark.parametrize("kind", LOST)
def test_what_goes_wrong_in_one_exercise_costs_no_other(kind: str) -> None:
    result = kinds(judged(solved(UNIT, {"circle_gradient", "saliency"}, relu_backward=LOST[kind])))
    assert result.pop("relu_backward") == kind
    assert {name for name, found in result.items() if found == "right"} == {"circle_gradient", "saliency"}


def test_a_cell_that_crashes_costs_its_exercise_alone() -> None:
    result = judged(solved(UNIT, {"saliency"}, relu_backward="import ctypes\nctypes.string_at(0)"))
    assert kinds(result)["relu_backward"] == "missing" and kinds(result)["saliency"] == "right"
    assert "ended Python itself" in json.dumps(result["outputs"])


def test_warnings_and_output_cost_nothing() -> None:
    notebook = solved(UNIT, {"saliency"})
    cell = cell_of(notebook, "saliency")
    cell.source = "import sys, warnings\n" + cell.source.replace(
        "    ### BEGIN SOLUTION", "    print('x', file=sys.stderr); warnings.warn('y'); print('z')", 1
    )
    assert kinds(judged(notebook))["saliency"] == "right"


def test_answers_are_judged_where_their_check_stands() -> None:
    notebook = solved(UNIT, {"saliency"})
    notebook.cells.append(nbformat.v4.new_code_cell("saliency = None"))
    assert kinds(judged(notebook))["saliency"] == "right"


def test_missing_duplicated_and_stripped_cells_are_judged_all_the_same() -> None:
    notebook = solved(UNIT, {"saliency", "relu_backward", "circle_gradient"})
    notebook.cells = [cell for cell in notebook.cells if grade_id(cell) != "test_saliency"]
    notebook.cells.insert(0, nbformat.from_dict(cell_of(notebook, "test_relu_backward")))
    del cell_of(notebook, "circle_gradient").metadata["nbgrader"]
    result = judged(notebook)
    right = {name for name, kind in kinds(result).items() if kind == "right"}
    assert right == {"saliency", "relu_backward", "circle_gradient"}
    assert {problem["kind"] for problem in result["problems"]} == {"missing", "duplicate", "stripped"}


def test_what_the_notebook_is_told_is_what_the_judge_said() -> None:
    notebook = solved(UNIT, {"saliency"})
    ask = (
        "for name in ('saliency', 'relu_backward'):\n    try:\n        unit[name].check(None)\n"
        "    except AssertionError as error:\n        print(error)"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(ask))
    result = judged(notebook)
    printed = text_of(result["outputs"][str(len(notebook.cells) - 1)])
    assert printed.splitlines() == [result["verdicts"][name]["message"] for name in ("saliency", "relu_backward")]


def test_same_job_same_result_and_other_seeds_other_arguments() -> None:
    notebook = to_bytes(solved(UNIT, {"saliency"}))
    first, second = (Job(UNIT, notebook, lab_bytes(), seed).digest for seed in (1, 2))
    assert first != second and first == Job(UNIT, notebook, lab_bytes(), 1).digest


def test_a_whole_notebook_ends_in_time() -> None:
    endless = "import time\ntime.sleep(5)"
    notebook = solved(UNIT, {"circle_gradient"})
    notebook.cells += [nbformat.v4.new_code_cell(endless) for _ in range(9)]
    begun = time.monotonic()
    result = judged(notebook, limits=Limits(call=4, cell=6, notebook=12))
    assert time.monotonic() - begun < 60
    assert kinds(result)["circle_gradient"] == "right"


# ---------------------------------------------------------------------------------------------------------------------
# The commands, from the folders to the pages
# ---------------------------------------------------------------------------------------------------------------------


def run_command(root: Path, *arguments: str, status: int = 0) -> str:
    """What a command of grading, run in the course's folder, prints."""
    command = [sys.executable, "-m", "course_utils.grading", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == status, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course in which four submissions of one unit are graded."""
    root = tmp_path_factory.mktemp("course")
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    for folder in ("labs", "solutions"):
        shutil.copytree(REPOSITORY / folder / UNIT, root / folder / UNIT)
    evil = "<img src=x onerror=\"document.title='ran'\"><script>document.title = 'ran'</script>"
    show = (
        "from IPython.display import HTML, Javascript, display\n"
        f"display(HTML({evil!r}), Javascript('document.title = 1'))\nprint({evil!r})"
    )
    wrong = "def relu_backward(inputs, output_gradient, rule=None):\n    return None"
    partly = solved(UNIT, {"saliency", "circle_gradient"}, relu_backward=wrong)
    partly.cells.append(nbformat.v4.new_code_cell(show))
    partly.cells.append(nbformat.v4.new_markdown_cell(f"My text {evil} <a href='javascript:void(0)'>link</a>"))
    submissions = {
        "right": to_bytes(solved(UNIT, set(lab_of().exercises))),
        "partly": to_bytes(partly),
        "empty": lab_bytes(),
        "broken": b"{",
    }
    for student, data in submissions.items():
        path = root / "submitted" / student / UNIT / f"{UNIT}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    (root / "submitted" / "partly" / UNIT / "torch.py").write_text("raise SystemExit")
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", UNIT, "--force"], cwd=root, capture_output=True
    )
    assert done.returncode == 0
    (root / "printed.txt").write_text(run_command(root, "autograde", UNIT, "--workers", "1", status=1))
    return root


def scores(root: Path, student: str) -> dict[str, float | None]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        grades = gradebook.find_submission_notebook(UNIT, UNIT, student).grades
        return {grade.name: grade.auto_score for grade in grades}


def test_points_stand_in_nbgraders_gradebook(course: Path) -> None:
    points = {name: cell.metadata.nbgrader.points for name, cell in lab_of().known.items() if name.startswith("test_")}
    for student, right in {
        "right": set(points),
        "partly": {"test_saliency", "test_circle_gradient"},
        "empty": set(),
    }.items():
        found = {name: score for name, score in scores(course, student).items() if name in points}
        assert found == {name: most * (name in right) for name, most in points.items()}, student


def test_what_is_read_by_a_person_waits_for_one(course: Path) -> None:
    by_hand = {name: score for name, score in scores(course, "right").items() if not name.startswith("test_")}
    assert by_hand and set(by_hand.values()) == {None}


def test_a_submission_that_cannot_be_read_is_told_and_stops_nobody(course: Path) -> None:
    printed = (course / "printed.txt").read_text()
    assert "broken: NOT GRADED: the file is no JSON, as a notebook is" in printed
    assert "3 of 4 submissions graded." in printed


def test_check_tells_the_problems_before_anything_is_run(course: Path) -> None:
    printed = run_command(course, "check", UNIT, status=1)
    assert "broken: the file is no JSON" in printed
    assert "partly: torch.py lies beside the notebook, and is not there when it runs [extra file]" in printed
    assert "4 submissions, 2 of them without a problem." in printed


def test_status_tells_who_is_graded(course: Path) -> None:
    printed = run_command(course, "status", UNIT, status=1)
    assert re.search(r"right: graded: (\d+) of \1 points by checks", printed)
    assert "broken: NOT GRADED" in printed and "3 of 4 graded" in printed


def test_a_second_run_grades_nothing_again(course: Path) -> None:
    before = (course / "autograded" / "right" / UNIT / f"{UNIT}.ipynb").stat().st_mtime_ns
    run_command(course, "autograde", UNIT, status=1)
    assert (course / "autograded" / "right" / UNIT / f"{UNIT}.ipynb").stat().st_mtime_ns == before


def test_feedback_has_hints_and_points_and_nothing_that_runs(course: Path) -> None:
    assert "3 pages written" in run_command(course, "feedback", UNIT)
    page = (course / "feedback" / "partly" / UNIT / f"{UNIT}.html").read_text()
    assert "you returned None" in page and "right on all" in page
    assert "BEGIN HIDDEN TESTS" not in page and "seed=" not in page
    body = page[page.index("<body") :]
    assert "<script" not in body and "onerror" not in re.sub(r"&lt;.*?&gt;", "", body) and "javascript:" not in body


def title_in_a_browser(page: Path, profile: Path) -> str:
    """The title of a page after its scripts have run, in headless Chromium."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={profile}"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    return re.search(r"<title>(.*?)</title>", done.stdout)[1]


@pytest.mark.browser
def test_scripts_in_outputs_run_in_plain_feedback_and_not_in_ours(course: Path, tmp_path: Path) -> None:
    page = Path("feedback") / "partly" / UNIT / f"{UNIT}.html"
    run_command(course, "feedback", UNIT, "--student", "partly")
    assert title_in_a_browser(course / page, tmp_path / "ours") == UNIT
    plain = tmp_path / "plain"
    shutil.copytree(course, plain)
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", UNIT, "--student", "partly", "--force"]
    subprocess.run(command, cwd=plain, check=True, capture_output=True)
    assert title_in_a_browser(plain / page, tmp_path / "theirs") == "ran"


def test_export_writes_the_tables_and_a_picture(course: Path) -> None:
    run_command(course, "export", UNIT)
    assert "partly" in (course / "grades.csv").read_text()
    table = (course / "reports" / f"{UNIT}_exercises.csv").read_text()
    assert "saliency,5.0,3,2," in table
    assert (course / "reports" / f"{UNIT}_exercises.png").read_bytes().startswith(b"\x89PNG")
    assert (course / "reports" / f"{UNIT}_flags.csv").read_text().startswith("student,exercise,kind,text")


def test_results_and_secret_are_the_instructors_alone(course: Path) -> None:
    for path in (course / ".grading").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.name == "lock", path


def test_unknown_unit_and_missing_gradebook_are_told(course: Path, tmp_path: Path) -> None:
    assert "which unit do you mean?" in run_command(course, "status", "06_gradient", status=2)
    shutil.copy(REPOSITORY / "nbgrader_config.py", tmp_path)
    shutil.copytree(REPOSITORY / "labs" / UNIT, tmp_path / "labs" / UNIT)
    assert "the gradebook does not know" in run_command(tmp_path, "autograde", UNIT, status=2)


def test_refusals_are_of_one_kind() -> None:
    assert issubclass(NoSandbox, Refused)
