"""Attacks on the sandbox: to get out, to write outside, to stop others, to outlive."""

from __future__ import annotations

from . import PLACES, UNIT, Attack, answers, function

_HEAD = (
    f"places = {PLACES}\nimport contextlib, ctypes, os, signal, sys, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"
)

ATTACKS = (
    Attack(
        "namespaces and mounts",
        "new namespaces, bind mounts and unmounting show what is hidden",
        _HEAD
        + """
def look():
    for path in ("/course/course_utils/exercises", "/tmp/seen", "/tmp/seen/course_utils/exercises"):
        with contextlib.suppress(OSError):
            if "gradient_methods.py" in os.listdir(path):
                print("SECRET-LEAKED:", path)
    with contextlib.suppress(OSError):
        print(open(places["solution"]).read())
os.makedirs("/tmp/seen", exist_ok=True)
for flags in (0x10000000, 0x10000000 | 0x20000, 0x20000, 0x10000000 | 0x20000 | 0x20000000):
    if os.fork() == 0:
        libc.unshare(flags)
        for target in (b"/course/course_utils/exercises", b"/proc", b"/tmp", b"/dev/shm"):
            libc.umount2(target, 2); look()
        for source in (b"/course", b"/course/course_utils", b"/"):
            libc.mount(source, b"/tmp/seen", None, 4096, None); look()
        libc.mount(b"proc", b"/tmp/seen", b"proc", 0, None)
        with contextlib.suppress(OSError):
            print(open("/tmp/seen/1/environ").read(), "SECRET-LEAKED: proc")
        os._exit(0)
    os.wait()
for number in range(1, 10):
    for kind in ("user", "mnt", "pid", "net"):
        with contextlib.suppress(OSError):
            libc.setns(os.open(f"/proc/{number}/ns/{kind}", 0), 0)
with contextlib.suppress(OSError):
    os.chroot("/tmp/seen")
libc.pivot_root = getattr(libc, "syscall"); libc.syscall(155, b"/tmp", b"/tmp/seen")
look()
""",
    ),
    Attack(
        "rights",
        "another user, capabilities and devices are asked for",
        _HEAD
        + """
for number in {0, 1, 1000, 65534} - {os.getuid()}:
    for call in (os.setuid, os.setgid, os.seteuid, lambda n: os.setresuid(n, n, n), lambda n: os.setgroups([n])):
        with contextlib.suppress(OSError):
            call(number)
            if os.getuid() == number:
                print("SECRET-LEAKED: became", number)
import struct
libc.capset(struct.pack("Ii", 0x20080522, 0), b"\\xff" * 24)
for minor in (1, 2, 11):
    with contextlib.suppress(OSError):
        os.mknod(f"/tmp/device{minor}", 0o20666, os.makedev(1, minor))
        print("SECRET-LEAKED: device", minor)
""",
    ),
    Attack(
        "written outside",
        "files are written, moved and removed in the course, the package, Python and the system",
        _HEAD
        + """
import course_utils, torch
for folder in ("/", "/dev", "/course", "/usr", "/usr/lib", "/etc", "/proc", os.path.dirname(course_utils.__file__),
               os.path.dirname(torch.__file__), sys.prefix, places["course"], os.path.dirname(places["solution"])):
    for act in (lambda p: open(p + "/attacked", "w"), os.rmdir, lambda p: os.chmod(p, 0o777),
                lambda p: os.rename(p, p + "2"), lambda p: os.utime(p)):
        try:
            act(folder)
            print("SECRET-LEAKED: wrote in", folder)
        except OSError:
            pass
for path in (places["solution"], places["gradebook"], course_utils.__file__):
    with contextlib.suppress(OSError):
        open(path, "r+").write("attacked")
        print("SECRET-LEAKED: wrote", path)
""",
    ),
    Attack(
        "signals to all",
        "every process that can be reached is stopped, interrupted and killed",
        _HEAD
        + """
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP, signal.SIGKILL):
    for target in (1, -1, os.getppid(), 0 if number == signal.SIGHUP else 1):
        with contextlib.suppress(OSError, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.kill(target, number)
""",
    ),
    Attack(
        "signals from an answer",
        "an answer kills the process that waits for it, and all others",
        answers={
            "circle_gradient": function(
                "circle_gradient",
                "import os, signal\n"
                "for target in (os.getppid(), 1, -1):\n"
                "    for number in (signal.SIGSTOP, signal.SIGKILL):\n"
                "        try:\n"
                "            os.kill(target, number)\n"
                "        except OSError:\n"
                "            pass\n"
                "return 0.0, 0.0",
            )
        },
        ruins=True,
    ),
    Attack(
        "daemons",
        "processes that nobody waits for outlive the cell, ignore signals, and write on",
        _HEAD
        + """
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            for number in range(1, 32):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_IGN)
            while True:
                if os.fork():
                    os._exit(0)
                time.sleep(0.01)
        os._exit(0)
""",
    ),
    Attack(
        "threads and exit handlers",
        "threads that never end, handlers at exit that never return, and timers",
        _HEAD
        + """
import atexit, threading
def for_ever():
    while True:
        time.sleep(0.01)
for _ in range(8):
    threading.Thread(target=for_ever, daemon=False).start()
atexit.register(for_ever)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
""",
    ),
    Attack(
        "fork in a cell",
        "a cell forks, so that two processes go on with the notebook",
        "import os\nos.fork()\nos.fork()",
    ),
    Attack(
        "fork in an answer",
        "an answer forks, so that two processes answer",
        answers={
            "circle_gradient": function("circle_gradient", "import os\nos.fork()\nreturn 0.0, 0.0"),
            "saliency": function("saliency", "import os\nos.fork()\nreturn arguments[1][:, 0] * 0"),
        },
    ),
    Attack(
        "all files closed",
        "every descriptor is closed",
        "import os\nos.closerange(0, 256)",
        ruins=True,
    ),
    Attack(
        "limits raised",
        "the limits are raised, and then lowered to nothing",
        _HEAD
        + """
import resource
for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_NOFILE"):
    what = getattr(resource, name)
    before = resource.getrlimit(what)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(what, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("SECRET-LEAKED: limit raised", name)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(what, (before[1] + 1, before[1] + 1))
        print("SECRET-LEAKED: limit raised", name)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
""",
        ruins=True,
    ),
    Attack(
        "segmentation fault",
        "Python is made to crash in a cell and in an answer",
        "import ctypes\nctypes.string_at(0)",
        {"saliency": function("saliency", "import ctypes\nctypes.string_at(0)")},
    ),
    Attack(
        "process ended",
        "os._exit, sys.exit, KeyboardInterrupt and abort, in a cell and in answers",
        "import os\nos._exit(0)",
        {
            "circle_gradient": function("circle_gradient", "import os\nos._exit(0)"),
            "saliency": function("saliency", "raise KeyboardInterrupt"),
            "saturation_methods": function("saturation_methods", "import os\nos.abort()"),
        },
    ),
    Attack(
        "recursion without end",
        "the stack is used up, with a limit of a thousand million",
        "import sys\nsys.setrecursionlimit(10**9)\ndef down(*a):\n    return down(*a)",
        {
            "saliency": function("saliency", "return down()"),
            "circle_gradient": function("circle_gradient", "return down()"),
        },
    ),
    Attack(
        "system calls of Python patched",
        "os.fork, os._exit, os.kill, os.waitpid and socket do nothing any more",
        """
import os, socket
os._exit = os.kill = lambda *a: None
os.waitpid = lambda *a: (0, 0)
os.fork = lambda: 0
""",
        ruins=True,
    ),
    Attack(
        "builtins deleted",
        "the built-in functions are gone",
        """
import builtins
for name in ("print", "len", "isinstance", "open", "RuntimeError", "getattr", "type"):
    delattr(builtins, name)
""",
        ruins=True,
    ),
    Attack(
        "other processes announced",
        "process 1 is told that other processes, or none, are the ones that work",
        _HEAD
        + """
import stat, struct
for number in range(3, 64):
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            os.set_blocking(number, False)
            for pair in ((1, 1), (-1, -1), (-1, 0), (0, 0), (2**31 - 1, 1), (os.getppid(), 1)):
                os.write(number, struct.pack("ii", *pair))
            os.write(number, b"abc")
""",
        ruins=True,
    ),
    Attack(
        "the waiting copy robbed",
        "what would wake the copy of this process is read away, and the process ended",
        _HEAD
        + """
import stat
for number in range(3, 64):
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(number).st_mode) and os.fork() == 0:
            while True:
                os.read(number, 100)
os._exit(0)
""",
        ruins=True,
    ),
    Attack(
        "modules planted",
        "modules with the names of torch and of the package lie in the folder and come first on the path",
        _HEAD
        + """
for name in ("torch", "course_utils", "sitecustomize", "json", "inside"):
    with open(f"/tmp/{name}.py", "w") as file:
        file.write("raise SystemExit(0)")
sys.path.insert(0, "/tmp")
os.environ["PYTHONPATH"] = "/tmp"
""",
    ),
    Attack(
        "shared state spoilt",
        "torch, numpy and random are left in another state for all who come after",
        """
import numpy as np, random
torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.manual_seed(1)
torch.use_deterministic_algorithms(True); np.seterr(all="raise")
import warnings; warnings.simplefilter("error")
import os; os.chdir("/"); os.umask(0o777)
torch.nn.Module.__call__ = lambda *a: None
""",
        {"relu_backward": answers(UNIT)["relu_backward"]},
    ),
)
