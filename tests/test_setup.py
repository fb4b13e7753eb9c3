"""What a fresh clone needs: make's messages, and a wheel that holds the weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from course_utils import models

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a .venv that passes for ready: its python is this one."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    marker(tmp_path).write_text(f"{tmp_path}\n")
    return tmp_path


def marker(folder: Path) -> Path:
    return folder / ".venv" / f"ready-{sys.version_info[0]}.{sys.version_info[1]}"


def make(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments, f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_ready_environment_is_not_made_again(clone: Path) -> None:
    assert "Setting up" not in make(clone, "--dry-run", "test").stdout


def test_a_missing_environment_is_made(clone: Path) -> None:
    shutil.rmtree(clone / ".venv")
    assert "Setting up" in make(clone, "--dry-run", "test").stdout


def test_an_environment_older_than_the_requirements_is_made_again(clone: Path) -> None:
    later = marker(clone).stat().st_mtime + 60
    os.utime(clone / "constraints.txt", (later, later))
    assert "Setting up" in make(clone, "--dry-run", "lab").stdout


def test_an_environment_that_was_moved_is_made_again(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "course"
    shutil.copytree(clone, moved, symlinks=True)
    assert "Setting up" in make(moved, "--dry-run", "test").stdout


def test_an_environment_whose_python_is_gone_is_made_again(clone: Path) -> None:
    (clone / ".venv" / "bin" / "python").unlink()
    assert "Setting up" in make(clone, "--dry-run", "test").stdout


@pytest.mark.parametrize("python", ["/bin/false", "/no/such/python"])
def test_a_missing_python_is_a_clear_message(clone: Path, python: str) -> None:
    done = make(clone, "test", python=python)
    assert done.returncode != 0
    assert f"No Python 3.11, 3.12 or 3.13 was found ({python} is none)" in done.stderr


def test_grading_asks_for_the_unit_and_for_submissions(clone: Path) -> None:
    assert "Which unit? make grade UNIT=06_gradient_methods" in make(clone, "grade").stderr
    done = make(clone, "grade", "UNIT=07_lrp")
    assert done.returncode != 0
    assert "put each submission at submitted/STUDENT/07_lrp/07_lrp.ipynb" in done.stderr


def test_a_wheel_holds_the_code_and_all_weights(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "course_utils", tmp_path / "course_utils")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"course_utils/weights/{name}.safetensors" for name in models.RECIPES}
    expected |= {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "course_utils").rglob("*.py")}
    assert expected <= held
