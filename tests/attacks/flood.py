"""Attacks that take time, memory, room or patience."""

from __future__ import annotations

import json

from . import Attack, Notebook, function, insert


def _outputs(notebook: Notebook) -> None:
    text = "x" * 1_000_000
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}] * 5


def _scripts(notebook: Notebook) -> None:
    bundle = {"text/html": "<script>alert(1)</script>", "application/javascript": "alert(1)", "evil/<b>": "x"}
    insert(notebook, f"from IPython.display import publish_display_data as show\nshow({bundle!r})\nshow(dict(a=1))")


def _in_cells(count: int, source: str) -> object:
    def change(notebook: Notebook) -> None:
        for _ in range(count):
            insert(notebook, source)

    return change


def _code(notebook: Notebook) -> None:
    insert(notebook, "x = " + "9" * 3_000_000)


def _deep(notebook: Notebook) -> bytes:
    deep = "[" * 100_000 + "]" * 100_000
    return json.dumps(notebook).replace('"metadata": {}', f'"metadata": {{"x": {deep}}}', 1).encode()


def _types(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        if cell["id"] == "saliency":
            cell.update(source={"a": 1}, metadata=[1], outputs={"x": None}, cell_type=["code"])


def _version_3(notebook: Notebook) -> bytes:
    cells = [
        {"cell_type": "code", "input": cell["source"], "language": "python", "metadata": {}, "outputs": [1, None]}
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    return json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}).encode()


def _half_characters(notebook: Notebook) -> None:
    insert(
        notebook,
        "class Odd:\n    def __repr__(self):\n        return '\\udcff\\ud800\\x00'\nprint('\\ud800\\x00')\nOdd()",
    )
    notebook["cells"][0]["metadata"]["\ud800"] = "\udfff"
    insert(notebook, "raise ValueError('\ud800\x00')")


ATTACKS = (
    Attack("loop in a cell", "a cell never ends", "while True:\n    pass"),
    Attack(
        "loop that nothing interrupts",
        "a cell never ends, catches everything, and blocks all signals",
        """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
    ),
    Attack("loop in an answer", "an answer never ends", "", {"saliency": function("saliency", "while True: pass")}),
    Attack(
        "loop in __repr__",
        "what the notebook shows, and what an answer raises, never ends",
        "class Evil(Exception):\n    def __repr__(self):\n        while True: pass\n    __str__ = __repr__",
        {"saliency": function("saliency", "raise Evil()")},
    ),
    Attack(
        "errors in __str__",
        "exceptions, values and names whose texts raise exceptions",
        """
class Meta(type):
    __name__ = property(lambda self: 1 / 0)
    __module__ = property(lambda self: 1 / 0)
class Evil(Exception, metaclass=Meta):
    def __str__(self):
        raise Evil()
    __repr__ = __hash__ = __getattr__ = __str__
raise Evil()
""",
        {
            "saliency": function("saliency", "raise Evil()"),
            "circle_gradient": function("circle_gradient", "return Evil()"),
        },
    ),
    Attack(
        "message of 100 MB",
        "an exception has a message of 100 MB",
        "raise ValueError('x' * 100_000_000)",
        {"saliency": function("saliency", "raise ValueError('\\x00' * 100_000_000)")},
    ),
    Attack("printed without end", "a cell prints for ever", "while True:\n    print('x' * 1000)"),
    Attack(
        "shown 100 MB", "a cell shows a page of 100 MB", "from IPython.display import HTML\nHTML('x' * 100_000_000)"
    ),
    Attack(
        "outputs of many cells",
        "many cells show a few megabytes each",
        change=_in_cells(25, "from IPython.display import HTML, display\ndisplay(HTML('<b>' * 1_000_000))"),
    ),
    Attack(
        "memory",
        "a cell and an answer take all the memory that there is",
        "hold = []\nwhile True:\n    hold.append(bytearray(2**28))\n    hold[-1][::4096] = bytes([1]) * 2**16",
        {"saliency": function("saliency", "return torch.ones(2**34)")},
    ),
    Attack(
        "shared memory",
        "several processes take memory that belongs to nobody",
        """
import mmap, os, time
for _ in range(3):
    if os.fork() == 0:
        held = mmap.mmap(-1, 3 * 2**28, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        for n in range(0, len(held), 4096):
            held[n] = 1
        time.sleep(100)
time.sleep(100)
""",
    ),
    Attack(
        "fork bomb",
        "processes that start processes",
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        ruins=True,
    ),
    Attack(
        "folders filled",
        "the folder, the shared memory and all that can be written is filled",
        """
import os
for folder in ("/tmp", "/dev/shm", "/dev", "/", "/course"):
    for n in range(5000):
        try:
            with open(f"{folder}/{n}", "wb") as file:
                file.write(bytes(2**20))
        except OSError:
            break
""",
    ),
    Attack(
        "pipe of the sandbox filled",
        "the pipe into which the whole sandbox writes its errors is filled",
        """
import os
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 512)
except OSError:
    pass
try:
    while True:
        os.write(2, b"x")
except OSError:
    pass
os.set_blocking(2, True)
""",
    ),
    Attack(
        "warnings",
        "a hundred thousand warnings",
        "import warnings\nwarnings.simplefilter('always')\nfor n in range(100_000):\n    warnings.warn(f'{n}')",
    ),
    Attack(
        "generators without end",
        "answers that yield for ever",
        "import itertools",
        {
            "saliency": function("saliency", "while True:\n    yield torch.zeros(1000)"),
            "circle_gradient": function("circle_gradient", "return itertools.count()"),
        },
    ),
    Attack(
        "deep and circular lists",
        "lists within lists, and a list in itself",
        "deep = []\nfor _ in range(100_000):\n    deep = [deep]\nown = []\nown.append(own)",
        {"saliency": function("saliency", "return deep"), "circle_gradient": function("circle_gradient", "return own")},
    ),
    Attack(
        "tensor of 10^9 numbers",
        "a tensor that is small here, and large wherever it is copied",
        answers={
            "saliency": function("saliency", "return torch.zeros(1).expand(10**9)"),
            "circle_gradient": function("circle_gradient", "return torch.zeros(1, dtype=torch.bool).expand(10**8)"),
            "saturation_methods": function("saturation_methods", "return ['x' * 10_000] * 10_000"),
        },
    ),
    Attack(
        "whole number of a million digits",
        "numbers for which arithmetic takes for ever",
        "from fractions import Fraction",
        {
            "circle_gradient": function(
                "circle_gradient", "return 1 << 10_000_000, Fraction(1 << 9_000_000, 3 ** 99_999)"
            ),
            "saliency": function("saliency", "return 10 ** 1_000_000"),
        },
    ),
    Attack(
        "keys that collide",
        "a set of numbers that all have one hash",
        answers={"saliency": function("saliency", "return {k * (2**61 - 1) for k in range(3000)}")},
    ),
    Attack("scripts shown", "scripts, and data of no known form, among the outputs", change=_scripts),
    Attack(
        "half characters",
        "text that can't be written as UTF-8, and zeros, wherever there is text",
        change=_half_characters,
    ),
    Attack("50 MB of outputs in the file", "the file is large by its outputs", change=_outputs),
    Attack(
        "code of 3 MB", "a number of three million digits, which Python reads for minutes", change=_code, ruins=True
    ),
    Attack("no JSON", "the file is cut off", change=lambda notebook: json.dumps(notebook).encode()[:-20], ruins=True),
    Attack("deep JSON", "a hundred thousand brackets in the file", change=_deep, ruins=True),
    Attack("wrong types", "a cell whose parts are all of the wrong type", change=_types, ruins=True),
    Attack("nbformat 3", "a notebook of an old version, with cells of no form", change=_version_3, ruins=True),
)
