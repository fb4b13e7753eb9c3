"""What all tests share: the commands of this Python's environment, and its kernel, come first."""

import os
import sys
from pathlib import Path

os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
