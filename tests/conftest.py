"""What all tests share: the commands and the kernel of this Python's environment, and work shared out by unit."""

import os
import re
import sys
from pathlib import Path

import pytest

os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"

UNITS = [path.name[3:] for path in sorted((Path(__file__).parents[1] / "units").glob("[0-9][0-9]_*"))]
OF_A_UNIT = re.compile(rf"\[.*?(?<![a-z])({'|'.join(UNITS)})(?![a-z_])")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes (`--dist loadgroup`) the tests of a file stay together; where they name units, by unit."""
    for item in items:
        unit = OF_A_UNIT.search(item.name)
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {unit[1] if unit else ''}"))
