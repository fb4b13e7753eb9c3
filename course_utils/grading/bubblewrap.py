"""bubblewrap: whether it is here, and the command that starts Python in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import course_utils
from course_utils.grading import Refused

HOW_TO_GET = (
    "Grading in a sandbox needs bubblewrap (the command bwrap), and here it {why}.\n"
    "  Debian, Ubuntu:  sudo apt install bubblewrap\n"
    "  Fedora:          sudo dnf install bubblewrap\n"
    "  Arch:            sudo pacman -S bubblewrap\n"
    "It is for Linux; on macOS or Windows grade in a Linux machine, in WSL 2 or in a container.\n"
    "With --no-sandbox the students' code runs as you, with all that you may do. Only do this with code that you trust."
)
SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/libexec", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/fonts")
OUTSIDER = 2_000_000_000  # root becomes a user of this number and up, in the sandbox: nobody has such a number


class NoSandbox(Refused):
    """There is no sandbox here; the message says how to get one."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Args:
        memory: bytes, of all its processes together, beyond what Python with torch has from the start.
        cpu: seconds of computing, of each process.
        call: seconds by the clock for one call of an answer.
        cell: seconds by the clock for one cell.
        notebook: seconds by the clock for all.
        folder: bytes in the folder in which it runs; its shared memory has as many.
        file: bytes of one file.
        processes: processes and threads at a time.
    """

    memory: int = 2 * 2**30
    cpu: int = 600
    call: float = 30
    cell: float = 120
    notebook: float = 600
    folder: int = 64 * 2**20
    file: int = 64 * 2**20
    processes: int = 64


def bubblewrap() -> str:
    """Return the path of bubblewrap.

    Raises:
        NoSandbox: it is missing, or does not work here.
    """
    path = shutil.which("bwrap")
    if path is None:
        raise NoSandbox(HOW_TO_GET.format(why="is missing"))
    probe = [path, "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    tried = subprocess.run(probe, capture_output=True, text=True)
    if tried.returncode:
        raise NoSandbox(HOW_TO_GET.format(why=f"does not work ({tried.stderr.strip()})"))
    return path


def command(bwrap: str, descriptor: int, uid: int | None) -> list[str]:
    """Return the command that starts the nursery in bubblewrap.

    Args:
        bwrap: path of bubblewrap.
        descriptor: of the nursery's end of the connection.
        uid: whom root becomes in there; None for everybody else.
    """
    package = Path(course_utils.__file__).resolve().parent
    places = (sys.prefix, sys.base_prefix, sys.executable, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    python = {path for place in places for path in (Path(place), Path(place).resolve())} - {Path("/usr")}
    wanted = {path for path in (*map(Path, SYSTEM), *python) if path.exists()}
    binds = {path: path for path in sorted(wanted) if not wanted & set(path.parents)}
    binds[package] = Path("/course/course_utils")
    above = {folder for path in binds.values() for folder in path.parents if folder != Path("/")}
    options = [part for folder in sorted(above) for part in ("--perms", "0755", "--dir", str(folder))]
    options += [part for path, place in binds.items() for part in ("--ro-bind", str(path), str(place))]
    if wanted & set(package.parents):  # installed among the libraries: there it is a second time, with all answers
        options += ["--tmpfs", str(package), "--remount-ro", str(package)]
    unshared = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    rights = ["--unshare-user"] if uid is None else ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    environment = {
        "PATH": "/nowhere",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": "/course",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    kept = {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
    variables = [part for item in {**environment, **kept}.items() for part in ("--setenv", *item)]
    return [
        *(bwrap, "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL", *unshared, *rights),
        *(*options, "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", *variables),
        *(sys.executable, "-m", "course_utils.grading.inside", str(descriptor), *([] if uid is None else [str(uid)])),
    ]
