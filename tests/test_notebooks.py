"""The notebooks are what their sources say, on every run, and malformed sources are refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest

from course_utils import notebooks

REPOSITORY = Path(__file__).resolve().parents[1]
UNIT = "01_numbers"
EXERCISES = ("double", "square")

LECTURE = """\
# %% [markdown] slideshow={"slide_type": "slide"}
# # Numbers
#
# {{colab_badge}}

# %%
# {{setup}}

# %% tags=["hide-input"]
# %matplotlib inline
print("two")

# %%
print("same")

# %%
print("same")
"""

LAB = """\
# %% [markdown]
# # Lab: numbers (14 points)
#
# {{colab_badge}}

# %%
# {{setup}}

# %%
from types import SimpleNamespace

unit = {"double": SimpleNamespace(check=lambda answer, seed=0: None), "square": None}

# %% [markdown] nbgrader={"grade_id": "rules", "locked": true}
# No calculator.

# %% [markdown]
# ## Exercise 1: double (2 points, difficulty 1 of 5, 5 minutes)

# %% nbgrader={"grade_id": "double", "solution": true}
def double(x: float) -> float:
    \"\"\"Twice the number.\"\"\"
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% nbgrader={"grade_id": "test_double", "grade": true, "locked": true, "points": 2}
unit["double"].check(double)
### BEGIN HIDDEN TESTS
unit["double"].check(double, seed=1)
### END HIDDEN TESTS

# %% [markdown]
# ## Question (5 points)

# %% [markdown] nbgrader={"grade_id": "why", "grade": true, "solution": true, "points": 5}
# Because two is even.

# %% [markdown]
# ## Report (7 points)

# %% [markdown] nbgrader={"grade_id": "report", "task": true, "points": 7}
# Write a report.
# ### BEGIN MARK SCHEME
# Seven points for seven pages.
# ### END MARK SCHEME
"""


def known(unit: str) -> tuple[str, ...]:
    """The exercises of the small course."""
    return EXERCISES


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one small unit, in a folder of its own."""
    shutil.copy(REPOSITORY / "nbgrader_config.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.course]\nrepository = "someone/course"\nbranch = "trunk"\n')
    folder = tmp_path / "units" / UNIT
    folder.mkdir(parents=True)
    (folder / "lecture.py").write_text(LECTURE)
    (folder / "lab.py").write_text(LAB)
    return tmp_path


def run(course: Path, *arguments: str) -> int:
    """The exit status of the command line in `course`."""
    return notebooks.main(list(arguments), root=course, known=known)


def generated(course: Path) -> dict[str, bytes]:
    """Every notebook of the course, path to content."""
    return {path.relative_to(course).as_posix(): path.read_bytes() for path in sorted(course.rglob("*.ipynb"))}


def cells(course: Path, path: str) -> dict[str, nbformat.NotebookNode]:
    """The cells of a generated notebook by their id."""
    return {cell.id: cell for cell in nbformat.read(course / path, as_version=4).cells}


LECTURE_PATH, SOLUTION_PATH, LAB_PATH = (
    f"lectures/{UNIT}.ipynb",
    f"solutions/{UNIT}/{UNIT}.ipynb",
    f"labs/{UNIT}/{UNIT}.ipynb",
)


def test_a_unit_gives_a_lecture_a_solution_and_a_lab(course: Path) -> None:
    assert run(course) == 0
    assert sorted(generated(course)) == sorted([LECTURE_PATH, SOLUTION_PATH, LAB_PATH])


def test_every_notebook_is_valid_for_nbformat(course: Path) -> None:
    run(course)
    for path in (LECTURE_PATH, SOLUTION_PATH, LAB_PATH):
        nbformat.validate(nbformat.read(course / path, as_version=4))


def test_no_notebook_has_outputs(course: Path) -> None:
    run(course)
    code = [c for path in generated(course) for c in cells(course, path).values() if c.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_every_notebook_runs_on_the_kernel_python3(course: Path) -> None:
    run(course)
    names = {nbformat.read(course / path, as_version=4).metadata.kernelspec.name for path in generated(course)}
    assert names == {"python3"}


def test_two_processes_write_the_same_bytes(course: Path) -> None:
    run(course)
    code = f"import sys; from course_utils import notebooks; sys.exit(notebooks.main(known=lambda unit: {EXERCISES}))"
    first = generated(course)
    shutil.rmtree(course / "labs")
    shutil.rmtree(course / "lectures")
    shutil.rmtree(course / "solutions")
    subprocess.run([sys.executable, "-c", code], cwd=course, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert generated(course) == first


def test_the_lab_is_what_nbgrader_generates_from_the_solution(course: Path) -> None:
    run(course)
    ours = generated(course)[LAB_PATH]
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", UNIT, "--force"]
    subprocess.run(command, cwd=course, check=True, capture_output=True)
    assert (course / LAB_PATH).read_bytes() == ours


def test_the_progress_says_what_was_written_and_what_was_not(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(course)
    capsys.readouterr()
    (course / LECTURE_PATH).write_text("old")
    run(course)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["wrote", LECTURE_PATH], ["unchanged", SOLUTION_PATH], ["unchanged", LAB_PATH]]


def test_a_lecture_alone_needs_no_nbgrader(course: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from course_utils import notebooks;"
        f"notebooks.build_lecture(Path('.'), {UNIT!r}); print('nbgrader' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=course, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


# ---- cells


def test_the_grade_id_is_the_id_of_a_cell(course: Path) -> None:
    run(course)
    for path in (SOLUTION_PATH, LAB_PATH):
        assert {"rules", "double", "test_double", "why", "report"} < set(cells(course, path))


def test_cells_with_the_same_source_get_different_ids(course: Path) -> None:
    run(course)
    same = [identity for identity, cell in cells(course, LECTURE_PATH).items() if cell.source == 'print("same")']
    assert len(same) == 2
    assert same[1] == same[0] + "-2"


def test_an_id_does_not_depend_on_the_cells_before_it(course: Path) -> None:
    run(course)
    before = set(cells(course, LECTURE_PATH))
    lecture = course / "units" / UNIT / "lecture.py"
    lecture.write_text(LECTURE.replace("# %% tags", "# %%\nnew = 1\n\n# %% tags"))
    run(course)
    assert len(set(cells(course, LECTURE_PATH)) - before) == 1


def test_a_grade_id_too_long_for_nbformat_gives_way_to_a_hash(course: Path) -> None:
    long = "r" * 65
    (course / "units" / UNIT / "lab.py").write_text(LAB.replace('"rules"', f'"{long}"'))
    assert run(course) == 0
    found = [cell for cell in cells(course, LAB_PATH).values() if cell.source == "No calculator."]
    assert (len(found[0].id), found[0].metadata.nbgrader.grade_id) == (16, long)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rules", {"grade": False, "solution": False, "locked": True, "task": False}),
        ("double", {"grade": False, "solution": True, "locked": False, "task": False}),
        ("test_double", {"grade": True, "solution": False, "locked": True, "task": False, "points": 2}),
        ("why", {"grade": True, "solution": True, "locked": False, "task": False, "points": 5}),
        ("report", {"grade": False, "solution": False, "locked": True, "task": True, "points": 7}),
    ],
)
def test_the_short_metadata_are_filled_in(course: Path, name: str, expected: dict[str, object]) -> None:
    run(course)
    assert cells(course, SOLUTION_PATH)[name].metadata.nbgrader == {**expected, "grade_id": name, "schema_version": 3}


def test_the_stub_raises_not_implemented_error(course: Path) -> None:
    run(course)
    scope: dict[str, object] = {}
    exec(cells(course, LAB_PATH)["double"].source, scope)
    with pytest.raises(NotImplementedError):
        scope["double"](1.0)


def test_the_stub_keeps_its_docstring(course: Path) -> None:
    run(course)
    assert "Twice the number." in cells(course, LAB_PATH)["double"].source


@pytest.mark.parametrize("secret", ["return 2 * x", "seed=1", "two is even", "seven pages", "BEGIN", "END"])
def test_the_lab_keeps_no_secret(course: Path, secret: str) -> None:
    run(course)
    assert secret in (course / SOLUTION_PATH).read_text()
    assert secret not in (course / LAB_PATH).read_text()


def test_other_metadata_and_magics_reach_the_notebook(course: Path) -> None:
    run(course)
    first, _, magic, *_ = cells(course, LECTURE_PATH).values()
    assert first.metadata == {"slideshow": {"slide_type": "slide"}}
    assert (magic.metadata, magic.source.split("\n")[0]) == ({"tags": ["hide-input"]}, "%matplotlib inline")


def test_blank_lines_between_cells_do_not_matter(course: Path) -> None:
    run(course)
    before = generated(course)
    (course / "units" / UNIT / "lab.py").write_text(LAB.replace("\n\n# %%", "\n\n\n\n\n# %%") + "\n\n\n")
    run(course)
    assert generated(course) == before


# ---- Colab


@pytest.mark.parametrize(
    ("path", "target"), [(LECTURE_PATH, LECTURE_PATH), (LAB_PATH, LAB_PATH), (SOLUTION_PATH, LAB_PATH)]
)
def test_the_badge_opens_what_the_student_gets(course: Path, path: str, target: str) -> None:
    run(course)
    first = next(iter(cells(course, path).values()))
    assert f"(https://colab.research.google.com/github/someone/course/blob/trunk/{target})" in first.source


def execute_setup(course: Path, monkeypatch: pytest.MonkeyPatch, colab: bool, installed: bool) -> list[tuple[str, str]]:
    """The magics that a lab's first code cell runs."""
    calls: list[tuple[str, str]] = []
    shell = types.SimpleNamespace(run_line_magic=lambda name, line: calls.append((name, line)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    source = next(cell for cell in cells(course, LAB_PATH).values() if cell.cell_type == "code").source
    exec(source, {"get_ipython": lambda: shell} if colab else {})
    return calls


def test_the_set_up_cell_installs_the_package_on_colab(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(course)
    calls = execute_setup(course, monkeypatch, colab=True, installed=False)
    assert calls == [("pip", "install --quiet git+https://github.com/someone/course@trunk")]


@pytest.mark.parametrize(("colab", "installed"), [(True, True), (False, True), (False, False)])
def test_the_set_up_cell_does_nothing_elsewhere(
    course: Path, monkeypatch: pytest.MonkeyPatch, colab: bool, installed: bool
) -> None:
    run(course)
    assert execute_setup(course, monkeypatch, colab, installed) == []


# ---- --check


def test_check_is_silent_about_notebooks_that_are_up_to_date(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(course)
    assert run(course, "--check") == 0
    assert capsys.readouterr().err == ""


def test_check_writes_nothing(course: Path) -> None:
    assert run(course, "--check") == 1
    assert generated(course) == {}


def edit(course: Path, path: str, change: str) -> None:
    """Changes a generated notebook in one of several ways."""
    notebook = json.loads((course / path).read_text())
    if change == "source":
        notebook["cells"][2]["source"] = ["%matplotlib inline\n", 'print("three")']
    elif change == "outputs":
        notebook["cells"][2]["outputs"] = [{"name": "stdout", "output_type": "stream", "text": ["two\n"]}]
    elif change == "metadata":
        notebook["cells"][2]["metadata"] = {}
    elif change == "type":
        notebook["cells"][2]["cell_type"] = "raw"
    elif change == "lost":
        del notebook["cells"][4]
    elif change == "added":
        notebook["cells"].append({"cell_type": "raw", "id": "new", "metadata": {}, "source": []})
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (course / path).write_text({"broken": text[:50], "layout": text.replace("\n", "\r\n")}.get(change, text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "source",
            "cell 3 (code, id {id}) differs in its source, line 2: 'print(\"three\")' should be 'print(\"two\")'",
        ),
        ("outputs", "cell 3 (code, id {id}) differs in its outputs"),
        ("metadata", "cell 3 (code, id {id}) differs in its metadata"),
        ("type", "cell 3 (code, id {id}) differs in its cell_type"),
        ("lost", "cell 5 (code, id {last}) is missing"),
        ("added", "cell 6 (raw, id new) should not be there"),
        ("broken", "it is not a readable notebook"),
        ("layout", "the cells agree, the notebook's metadata or the layout of the file differ"),
    ],
)
def test_check_names_the_first_differing_cell(
    course: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    run(course)
    ids = list(cells(course, LECTURE_PATH))
    edit(course, LECTURE_PATH, change)
    assert run(course, "--check") == 1
    expected = message.format(id=ids[2], last=ids[4])
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith(LECTURE_PATH))
    assert line.startswith(f"{LECTURE_PATH} is stale: ") and line.endswith(expected)


def test_check_names_every_file_that_is_missing(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(course)
    (course / LECTURE_PATH).unlink()
    (course / LAB_PATH).unlink()
    assert run(course, "--check") == 1
    assert capsys.readouterr().err.splitlines()[:2] == [f"{LECTURE_PATH} is missing", f"{LAB_PATH} is missing"]


@pytest.mark.parametrize("path", ["lectures/99_old.ipynb", "labs/99_old/99_old.ipynb", f"solutions/{UNIT}/copy.ipynb"])
def test_check_names_a_superfluous_file(course: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    run(course)
    (course / path).parent.mkdir(exist_ok=True)
    shutil.copy(course / LECTURE_PATH, course / path)
    assert run(course, "--check") == 1
    assert f"{path} is superfluous" in capsys.readouterr().err


def test_check_ignores_jupyters_checkpoints(course: Path) -> None:
    run(course)
    (course / "labs" / UNIT / ".ipynb_checkpoints").mkdir()
    shutil.copy(course / LAB_PATH, course / "labs" / UNIT / ".ipynb_checkpoints")
    assert run(course, "--check") == 0


def test_check_finds_a_source_that_changed(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(course)
    (course / "units" / UNIT / "lab.py").write_text(LAB.replace("return 2 * x", "return x + x"))
    assert run(course, "--check") == 1
    err = capsys.readouterr().err
    assert f"{SOLUTION_PATH} is stale: cell 6 (code, id double)" in err
    assert LAB_PATH not in err  # the student's version is the same


# ---- what is refused


@pytest.mark.parametrize("names", [("lab.py",), ("lecture.py",), ("lecture.py", "lab.py")])
def test_an_incomplete_unit_is_named(course: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...]) -> None:
    for name in names:
        (course / "units" / UNIT / name).unlink()
    assert run(course) == 1
    assert capsys.readouterr().err.splitlines() == [f"units/{UNIT}: incomplete, there is no {name}" for name in names]
    assert bool(generated(course)) == (len(names) == 1)


def test_an_unknown_unit_is_refused_with_the_list_of_units(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(course, "02_none")
    assert stop.value.code == 2
    assert f"unknown unit 02_none; there are {UNIT}" in capsys.readouterr().err


def test_a_folder_without_units_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert stop.value.code == 2


# name: (source, text to replace, what to put there, text in the line that must be named, reason)
MALFORMED = {
    "text before the first cell": (
        "lab",
        "# %% [markdown]\n# # Lab",
        "x = 1\n\n# %% [markdown]\n# # Lab",
        "x = 1",
        "text before the first cell marker",
    ),
    "a marker in a string": (
        "lecture",
        'print("two")',
        '"""\n# %% [raw]\n"""',
        "# %% [raw]",
        "cells can't be told apart",
    ),
    "metadata that are no JSON": (
        "lab",
        '{"grade_id": "rules", "locked": true}',
        '{"grade_id": "rules", locked: true}',
        "locked: true",
        "not valid JSON",
    ),
    "metadata cut off": ("lab", '"locked": true}\n# No', '"locked": true\n# No', '"rules"', "not valid JSON"),
    "unknown metadata": (
        "lab",
        'nbgrader={"grade_id": "rules"',
        'nbgrade={"grade_id": "rules"',
        '"rules"',
        "'nbgrade'",
    ),
    "text on a marker": ("lecture", "# %% tags", "# %% Title tags", "Title", "'Title' on a cell marker"),
    "metadata that are no object": (
        "lab",
        'nbgrader={"grade_id": "rules", "locked": true}',
        "nbgrader=3",
        "nbgrader=3",
        "must be a JSON object",
    ),
    "empty metadata": (
        "lab",
        'nbgrader={"grade_id": "rules", "locked": true}',
        "nbgrader={}",
        "nbgrader={}",
        "empty nbgrader metadata",
    ),
    "nbgrader in a lecture": (
        "lecture",
        "# %% tags",
        '# %% nbgrader={"grade_id": "a", "locked": true} tags',
        "nbgrader",
        "metadata in a lecture",
    ),
    "an unknown nbgrader key": (
        "lab",
        '"locked": true}\n# No',
        '"lock": true}\n# No',
        '"lock"',
        "unknown nbgrader key 'lock'",
    ),
    "no role": ("lab", ', "locked": true}\n# No', "}\n# No", '"rules"', "without a role"),
    "a role that is no truth value": (
        "lab",
        '"locked": true}\n# No',
        '"locked": 1}\n# No',
        '"rules"',
        "must be true or false",
    ),
    "no grade_id": ("lab", '"grade_id": "rules", ', "", '{"locked": true}', "grade_id must be letters"),
    "a grade_id with a space": ("lab", '"rules"', '"the rules"', '"the rules"', "grade_id must be letters"),
    "a duplicate grade_id": ("lab", '"rules"', '"why"', '"why", "grade"', "already that of the cell in line 14"),
    "missing points": ("lab", ', "points": 2', "", '"test_double"', "graded cell 'test_double' has no points"),
    "a task without points": ("lab", ', "points": 7', "", '"report"', "graded cell 'report' has no points"),
    "negative points": ("lab", '"points": 2', '"points": -2', '"test_double"', "points must be a number"),
    "points that are text": ("lab", '"points": 2', '"points": "2"', '"test_double"', "points must be a number"),
    "points on a cell without grade": (
        "lab",
        '"locked": true}\n# No',
        '"locked": true, "points": 1}\n# No',
        '"rules"',
        "which is not graded",
    ),
    "an answer that is not graded": (
        "lab",
        '"why", "grade": true, "solution": true, "points": 5',
        '"why", "solution": true',
        '"why"',
        "both grade and solution",
    ),
    "a task that is code": (
        "lab",
        '[markdown] nbgrader={"grade_id": "report"',
        'nbgrader={"grade_id": "report"',
        '"report"',
        "a task must be a markdown",
    ),
    "nbgrader on a raw cell": (
        "lab",
        '[markdown] nbgrader={"grade_id": "rules"',
        '[raw] nbgrader={"grade_id": "rules"',
        '"rules"',
        "raw",
    ),
    "a locked solution": (
        "lab",
        '"double", "solution": true',
        '"double", "solution": true, "locked": true',
        '"double", "sol',
        "never locked",
    ),
    "an open test": (
        "lab",
        '"locked": true, "points": 2',
        '"locked": false, "points": 2',
        '"test_double"',
        "always is, found",
    ),
    "an unclosed solution": ("lab", "    ### END SOLUTION\n", "", "BEGIN SOLUTION", "without END SOLUTION"),
    "unclosed hidden tests": ("lab", "### END HIDDEN TESTS\n", "", "BEGIN HIDDEN", "without END HIDDEN TESTS"),
    "an unclosed mark scheme": ("lab", "# ### END MARK SCHEME\n", "", "BEGIN MARK", "without END MARK SCHEME"),
    "a nested solution": (
        "lab",
        "    return 2 * x\n",
        "    ### BEGIN SOLUTION # again\n    return 2 * x\n",
        "# again",
        "inside the SOLUTION region",
    ),
    "a stray end": (
        "lab",
        'unit["double"].check(double)\n###',
        "### END HIDDEN TESTS # stray\n###",
        "# stray",
        "without its BEGIN",
    ),
    "regions that cross": (
        "lab",
        "return 2 * x\n    ### END SOLUTION",
        "### END HIDDEN TESTS # x",
        "# x",
        "without its BEGIN",
    ),
    "a misspelt delimiter": (
        "lab",
        "### BEGIN HIDDEN TESTS",
        "### begin hidden tests",
        "### begin",
        "nbgrader would not see this delimiter",
    ),
    "a solution outside a solution cell": (
        "lab",
        "# No calculator.",
        "# ### BEGIN SOLUTION\n# No.\n# ### END SOLUTION",
        "BEGIN SOLUTION",
        "outside a solution cell",
    ),
    "hidden tests outside a test cell": (
        "lab",
        "    ### END SOLUTION",
        "    ### END SOLUTION\n### BEGIN HIDDEN TESTS # x\n### END HIDDEN TESTS",
        "BEGIN HIDDEN TESTS # x",
        "outside a graded test cell",
    ),
    "a mark scheme outside a task": (
        "lab",
        "# Because",
        "# ### BEGIN MARK SCHEME # x\n# ### END MARK SCHEME\n# Because",
        "SCHEME # x",
        "outside a task cell",
    ),
    "a region in a lecture": (
        "lecture",
        'print("two")',
        "### BEGIN SOLUTION\n### END SOLUTION",
        "BEGIN",
        "a SOLUTION region in a lecture",
    ),
    "a solution cell without a region": (
        "lab",
        "    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
        "    return 2 * x",
        '"double", "solution"',
        "without a SOLUTION region",
    ),
    "an unknown exercise in a test cell": (
        "lab",
        '"test_double"',
        '"test_dubble"',
        '"test_dubble"',
        "knows no 'dubble'",
    ),
    "an unknown exercise in the code": (
        "lab",
        'unit["double"].check(double, seed=1)',
        'unit["dubble"].check(double, seed=1)',
        "dubble",
        "knows no 'dubble'",
    ),
    "a test cell of another name": ("lab", '"test_double"', '"check_double"', '"check_double"', "must be called test_"),
    "a test cell that checks another exercise": (
        "lab",
        '"test_double"',
        '"test_square"',
        '"test_square"',
        "does not call unit",
    ),
    "a test cell without its stub": (
        "lab",
        '"double", "solution": true',
        '"twice", "solution": true',
        '"test_double"',
        "comes before the solution cell 'double'",
    ),
    "points that disagree": ("lab", "(2 points, difficulty", "(3 points, difficulty", "(3 points", "says 3 points"),
    "a total that disagrees": ("lab", "(14 points)", "(15 points)", "(15 points)", "the graded cells under it give 14"),
    "a heading without minutes": ("lab", ", 5 minutes)", ")", "Exercise 1", "difficulty (1-5) and its minutes"),
    "a heading without difficulty": (
        "lab",
        "difficulty 1 of 5",
        "easy",
        "Exercise 1",
        "difficulty (1-5) and its minutes",
    ),
    "a graded cell without a heading": (
        "lab",
        "# ## Exercise 1: double (2 points, difficulty 1 of 5, 5 minutes)",
        "# ## Double",
        '"test_double"',
        "no heading",
    ),
    "no badge": ("lecture", "{{colab_badge}}", "", "# %% [markdown]", "0 lines `{{colab_badge}}`"),
    "two badges": ("lecture", "# # Numbers", "# {{colab_badge}}", "# %% [markdown]", "2 lines `{{colab_badge}}`"),
    "no set-up cell": (
        "lab",
        "# %%\n# {{setup}}",
        '# %% tags=["x"]\nx = 1',
        'tags=["x"]',
        "first code cell must be the comment `# {{setup}}`",
    ),
    "more in the set-up cell": ("lab", "# {{setup}}", "# {{setup}}\nx = 1", "# {{setup}}", "misplaced placeholder"),
    "an unknown placeholder": (
        "lecture",
        "# # Numbers",
        "# {{badge}}",
        "{{badge}}",
        "unknown or misplaced placeholder",
    ),
}


@pytest.mark.parametrize(("kind", "old", "new", "where", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_source_is_refused_with_its_line(
    course: Path, capsys: pytest.CaptureFixture[str], kind: str, old: str, new: str, where: str, reason: str
) -> None:
    text = {"lab": LAB, "lecture": LECTURE}[kind]
    assert text.count(old) == 1
    text = text.replace(old, new, 1)
    (course / "units" / UNIT / f"{kind}.py").write_text(text)
    assert run(course) == 1
    line = next(number for number, content in enumerate(text.splitlines(), 1) if where in content)
    problems = [problem for problem in capsys.readouterr().err.splitlines() if reason in problem]
    assert [problem.split(": ")[0] for problem in problems] == [f"units/{UNIT}/{kind}.py:{line}"]


def test_a_badge_outside_text_is_refused(course: Path) -> None:
    lecture = LECTURE.replace('print("two")', '"""\n{{colab_badge}}\n"""')
    (course / "units" / UNIT / "lecture.py").write_text(lecture)
    with pytest.raises(notebooks.SourceError, match="misplaced placeholder"):
        notebooks.build_lecture(course, UNIT)


def test_points_in_a_fenced_block_are_no_heading(course: Path) -> None:
    fenced = "# ```python\n# # 3 points\n# ## 4 points\n# ```\n# No calculator."
    (course / "units" / UNIT / "lab.py").write_text(LAB.replace("# No calculator.", fenced))
    assert run(course) == 0


def test_a_unit_without_exercises_is_refused_with_the_reason(course: Path) -> None:
    with pytest.raises(notebooks.SourceError, match=rf"units/{UNIT}/lab.py:1: unit is '{UNIT}'"):
        notebooks.build_lab(course, UNIT)


def test_a_refused_source_leaves_its_old_notebooks_alone(course: Path) -> None:
    run(course)
    before = generated(course)
    (course / "units" / UNIT / "lab.py").write_text(LAB.replace(', "points": 2', ""))
    run(course)
    assert generated(course) == before


def test_all_problems_of_a_source_come_at_once_in_the_order_of_the_lines(course: Path) -> None:
    broken = LAB.replace('"locked": true}\n# No', '"lock": true}\n# No').replace("    ### END SOLUTION\n", "")
    (course / "units" / UNIT / "lab.py").write_text(broken.replace(', "points": 7', ""))
    with pytest.raises(notebooks.SourceError) as error:
        notebooks.build_lab(course, UNIT, known)
    lines = [problem.line for problem in error.value.problems]
    assert len(lines) >= 4
    assert lines == sorted(lines)


def test_the_colab_links_of_the_readme_follow_the_setting(course: Path) -> None:
    text = (
        "[a](https://colab.research.google.com/github/{}/lectures/a.ipynb) and [b](https://example.org/old/blob/x/)\n"
    )
    (course / "README.md").write_text(text.format("old/name/blob/main"))
    assert run(course) == 0
    assert (course / "README.md").read_text() == text.format("someone/course/blob/trunk")


def test_check_names_a_readme_with_another_address(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(course)
    (course / "README.md").write_text("https://colab.research.google.com/github/old/name/blob/main/lectures/a.ipynb\n")
    assert run(course, "--check") == 1
    assert "README.md is stale: its Colab links do not lead to [tool.course]" in capsys.readouterr().err


def test_the_readme_links_to_every_generated_notebook() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    generated = [*REPOSITORY.glob("lectures/*.ipynb"), *REPOSITORY.glob("labs/*/*.ipynb")]
    paths = [path.relative_to(REPOSITORY).as_posix() for path in generated]
    colab = notebooks.Course.read(REPOSITORY).colab()
    assert paths
    assert [path for path in paths if f"({path})" not in text or f"({colab}{path})" not in text] == []


def test_the_links_of_the_readme_lead_to_files() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https:")]
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []
