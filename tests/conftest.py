"""What all tests share: this Python's commands and kernel come first, and how the tests are shared out to processes."""

import os
import shutil
import sys
from pathlib import Path

import pytest

os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
# Their slow part is a fixture for each unit, so a unit is a group; of all other files the tests stay together.
BY_UNIT = {"test_labs.py": "run", "test_nbgrader.py": "graded"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for `--dist loadgroup`; skip those whose program is missing, but not in CI."""
    for item in items:
        fixture = BY_UNIT.get(item.path.name)
        parameter = getattr(item, "callspec", None) and item.callspec.params.get(fixture)
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {parameter or ''}"))
    if "CI" not in os.environ:
        for marker, missing in (("sandbox", no_bubblewrap), ("browser", no_browser)):
            needing = [item for item in items if item.get_closest_marker(marker)]
            if needing and (reason := missing()):
                for item in needing:
                    item.add_marker(pytest.mark.skip(reason=reason))


def no_bubblewrap() -> str:
    """Return why there is no bubblewrap, or ""."""
    from course_utils.grading.bubblewrap import NoSandbox, bubblewrap

    try:
        bubblewrap()
    except NoSandbox as error:
        return str(error).splitlines()[0]
    return ""


def no_browser() -> str:
    """Return why there is no browser, or ""."""
    return "" if shutil.which("chromium") else "chromium is missing"
