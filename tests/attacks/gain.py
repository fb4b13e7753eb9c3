"""Attacks on the verdicts, from within the notebook."""

from __future__ import annotations

from functools import partial

from . import OTHER_UNIT, Attack, answers, function

WRONG = {
    "circle_gradient": function("circle_gradient", "return 0.0, 0.0"),
    "saliency": function("saliency", "return torch.zeros(arguments[1][:, 0].shape)"),
    "saturation_methods": function("saturation_methods", "return set()"),
}
_Gain = partial(Attack, harmless=True, gains=True)


def _all(body: str) -> dict[str, str]:
    return {name: function(name, body) for name in WRONG}


FIND_REFERENCE = """
import gc, sys
def found(name):
    import course_utils.exercises as package
    for item in gc.get_objects():
        if type(item).__name__ in ("Exercise", "Remembering", "ValueExercise") and vars(item).get("name") == name:
            yield item
def cheat(name, arguments, options):
    for item in found(name):
        if hasattr(item, "reference"):
            return item.reference(*arguments, **options)
        if hasattr(item, "expected"):
            return item.expected
"""
FRAMES = """
import sys
def cheat(name, arguments, options):
    frame = sys._getframe(1)
    while frame:
        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
            for item in (value.values() if isinstance(value, dict) else [value]):
                held = getattr(item, "__dict__", {})
                if isinstance(held, dict) and held.get("name") == name:
                    if "reference" in held:
                        return held["reference"](*arguments, **options)
                    if "expected" in held:
                        return held["expected"]
        frame = frame.f_back
"""
RELOAD = """
import glob, importlib, importlib.util, os, sys
import course_utils
def cheat(name, arguments, options):
    root = os.path.dirname(course_utils.__file__)
    for key in [key for key in sys.modules if key.startswith("course_utils.exercises")]:
        del sys.modules[key]
    module = importlib.import_module("course_utils.exercises.gradient_methods")
    for item in module.EXERCISES:
        if item.name == name:
            return item.reference(*arguments, **options) if hasattr(item, "reference") else item.expected
"""
CHEAT = {name: function(name, f"return cheat({name!r}, arguments, options)") for name in WRONG}
EQUAL = """
class Equal(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in ("equal", "allclose", "isfinite", "eq", "le", "lt", "all", "any", "__bool__"):
            return True
        return torch.zeros(3)
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    __hash__ = None
"""
NUMBERS = """
class Float(float):
    __eq__ = __le__ = __ge__ = __lt__ = lambda self, other: True
    __sub__ = __rsub__ = __abs__ = lambda self, *other: 0.0
    __hash__ = float.__hash__
class Text(str):
    __eq__ = lambda self, other: True
    __hash__ = lambda self: 0
    strip = lower = lambda self: self
class Chosen(frozenset):
    __eq__ = __le__ = __ge__ = lambda self, other: True
    __sub__ = __rsub__ = lambda self, other: frozenset()
    __hash__ = frozenset.__hash__
class Pair(tuple):
    __eq__ = lambda self, other: True
    __hash__ = None
"""

ATTACKS = (
    _Gain(
        "checks overridden",
        "the checks of all exercises, and of their classes, say nothing any more",
        """
from course_utils.exercises import core
for kind in (core.Exercise, core.ValueExercise, *map(type, unit.values())):
    kind.check = lambda self, answer, seed=0: print(f"{self.name}: right on all 11 cases.")
    kind.judge = lambda self, *_: core.Verdict(True, "right")
""",
        WRONG,
    ),
    _Gain(
        "unit replaced",
        "the exercises are replaced by objects that say yes to everything",
        """
import collections, types
unit = collections.defaultdict(lambda: types.SimpleNamespace(check=lambda *a, **k: print("right.")))
exercises.load = lambda name: unit
""",
        WRONG,
    ),
    _Gain(
        "exercises module forged",
        "another module takes the place of course_utils.exercises",
        """
import sys, types
unit = type("Unit", (dict,), {"__missing__": lambda s, k: types.SimpleNamespace(check=lambda *a, **k: None)})()
forged = types.ModuleType("course_utils.exercises")
forged.load = lambda name: unit
sys.modules["course_utils.exercises"] = exercises = forged
""",
        WRONG,
    ),
    _Gain(
        "builtins overridden",
        "the built-in functions with which answers are compared say yes",
        """
import builtins
from course_utils.exercises import core
builtins.all = lambda *a: True
builtins.any = lambda *a: False
builtins.abs = lambda *a: 0
builtins.zip = lambda *a, **k: iter(())
""",
        WRONG,
    ),
    _Gain(
        "torch overridden",
        "torch's and numpy's comparisons say that everything is equal",
        """
import numpy as np
for name in ("equal", "allclose", "isclose"):
    setattr(torch, name, lambda *a, **k: True)
    if hasattr(np, name):
        setattr(np, name, lambda *a, **k: True)
torch.Tensor.any = lambda self, *a, **k: torch.tensor(False)
torch.Tensor.all = lambda self, *a, **k: torch.tensor(True)
torch.Tensor.gt = torch.Tensor.__gt__ = lambda self, other: torch.zeros(())
""",
        WRONG,
        ruins=True,
    ),
    _Gain(
        "always equal tensors",
        "a subclass of Tensor that is equal to everything",
        EQUAL,
        _all("return torch.zeros(3).as_subclass(Equal)"),
    ),
    _Gain(
        "always equal numbers and texts",
        "subclasses of float, str, tuple and frozenset that are equal to everything",
        NUMBERS,
        {
            "circle_gradient": function("circle_gradient", "return Pair((Float(0), Float(0)))"),
            "saliency": function("saliency", "return Float(0)"),
            "saturation_methods": function("saturation_methods", "return Chosen({Text('saliency')})"),
        },
    ),
    _Gain(
        "input transformer",
        "cells that check are emptied before Python reads them",
        """
empty = lambda lines: ["pass\\n"] if any(".check(" in line for line in lines) else lines
get_ipython().input_transformers_cleanup.append(empty)
get_ipython().input_transformers_post.append(empty)
""",
        WRONG,
    ),
    _Gain(
        "AST transformer",
        "calls of check are cut out of the syntax tree",
        """
import ast
class NoChecks(ast.NodeTransformer):
    def visit_Expr(self, node):
        return ast.copy_location(ast.Pass(), node) if "check" in ast.unparse(node) else node
get_ipython().ast_transformers.append(NoChecks())
""",
        WRONG,
    ),
    _Gain(
        "shell patched",
        "the shell runs cells in which nothing can fail",
        """
shell = type(get_ipython())
for name in ("run_code", "run_ast_nodes"):
    original = getattr(shell, name)
    async def run(self, *arguments, original=original, **options):
        try:
            await original(self, *arguments, **options)
        finally:
            return False
    setattr(shell, name, run)
shell.showtraceback = shell._showtraceback = lambda self, *a, **k: print("right on all 11 cases.")
""",
        WRONG,
    ),
    _Gain(
        "custom exceptions",
        "the shell hides every exception",
        """
def hide(shell, kind, value, trace, tb_offset=None):
    print("right on all 11 cases.")
get_ipython().set_custom_exc((BaseException,), hide)
""",
        WRONG,
    ),
    _Gain(
        "displayhook and events",
        "sys.displayhook, sys.excepthook and the shell's events change what cells leave",
        """
import sys
sys.displayhook = sys.excepthook = lambda *a: None
def before(info):
    globals()["unit"] = type("Unit", (dict,), {"__getitem__": lambda s, k: s, "check": lambda *a, **k: None})()
get_ipython().events.register("pre_run_cell", before)
""",
        WRONG,
    ),
    _Gain("references by frames", "the reference is found in the frames of who calls the answer", FRAMES, CHEAT),
    _Gain("references by gc", "the exercise is found among all objects of Python", FIND_REFERENCE, CHEAT),
    _Gain("references imported again", "the exercises' modules are imported again, fresh", RELOAD, CHEAT),
    _Gain(
        "history of cells",
        "the checks are looked up in the history of cells, and answered with what stands in there",
        """
def cheat(name, arguments, options):
    shell = get_ipython()
    texts = [*shell.user_ns.get("_ih", []), *shell.user_ns.get("In", []), *map(str, vars(shell).values())]
    for text in texts:
        if "BEGIN SOLUTION" in text or "HIDDEN" in text:
            exec(text, globals())
            return globals()[name](*arguments, **options)
""",
        CHEAT,
    ),
    _Gain(
        "verdict told to oneself",
        "the notebook's exercises are told that they are right",
        """
for exercise in unit.values():
    object.__setattr__(exercise, "told", (True, "right on all 11 cases."))
    object.__setattr__(exercise, "check", lambda *a, **k: print("right on all 11 cases."))
""",
        WRONG,
    ),
    _Gain(
        "trace function",
        "a trace function leaves the check as soon as it compares",
        """
import sys
def trace(frame, event, argument):
    if frame.f_code.co_name in ("judge", "_complaint", "_read", "_equal"):
        raise SystemExit(0)
    return None
sys.settrace(trace); sys.setprofile(trace)
""",
        WRONG,
        ruins=True,
    ),
    _Gain("exit in the answer", "the answer ends the check with SystemExit", "", _all("raise SystemExit(0)")),
    _Gain(
        "right at first",
        "the answer is right in the first cases, which everybody knows, and wrong in all others",
        answers(Attack.unit)["saliency"].replace("def saliency", "def honestly") + "\nasked = []",
        {
            "saliency": function(
                "saliency",
                "asked.append(1)\nreturn honestly(*arguments, **options) * (len(asked) < 4)",
            )
        },
    ),
    _Gain(
        "first arguments remembered",
        "the answer to arguments of a shape is given to all other arguments of this shape",
        answers(Attack.unit)["saliency"].replace("def saliency", "def honestly") + "\nknown = {}",
        {
            "saliency": function(
                "saliency",
                "key = tuple(arguments[1].shape)\n"
                "if key not in known:\n"
                "    known[key] = honestly(*arguments, **options)\n"
                "return known[key].clone()",
            )
        },
    ),
    _Gain(
        "only at home",
        "the answer is right where it sees the exercises' answers, and hands in nothing elsewhere",
        answers(Attack.unit)["saliency"].replace("def saliency", "def honestly"),
        {
            "saliency": function(
                "saliency",
                "import inspect\n"
                "at_home = any(f.function == 'check' for f in inspect.stack())\n"
                "return honestly(*arguments, **options) if at_home else arguments[1][:, 0] * 0",
            )
        },
    ),
    _Gain(
        "NaN",
        "numbers that are no numbers, in which no difference is large",
        "",
        _all("return float('nan'), float('nan')"),
    ),
    _Gain(
        "NaN tensors",
        "tensors of NaN",
        "",
        {"saliency": function("saliency", "return torch.full(arguments[1][:, 0].shape, float('nan'))")},
    ),
    _Gain(
        "infinite tensors",
        "tensors of infinity",
        "",
        {"saliency": function("saliency", "return torch.full(arguments[1][:, 0].shape, float('inf'))")},
    ),
    _Gain(
        "complex tensors",
        "complex tensors, in which nothing is greater",
        "",
        {"saliency": function("saliency", "return torch.full(arguments[1][:, 0].shape, complex('nan+nanj'))")},
    ),
    _Gain(
        "bfloat16 and bool",
        "tensors of dtypes in which most numbers are equal",
        "",
        {
            "saliency": function("saliency", "return torch.zeros(arguments[1][:, 0].shape, dtype=torch.bfloat16)"),
            "circle_gradient": function("circle_gradient", "return torch.tensor([True, False])"),
        },
    ),
    _Gain(
        "faults and raised errors returned",
        "the answer returns the very objects with which running reports to the judge",
        "from course_utils.exercises import core",
        {
            "saliency": function("saliency", "return core.Raised()"),
            "circle_gradient": function("circle_gradient", "return core.Verdict(True, 'right')"),
            "saturation_methods": function("saturation_methods", "return core.Fault('right')"),
        },
    ),
    _Gain(
        "running patched",
        "what runs answers and what writes them into messages is replaced",
        """
from course_utils.exercises import core
core.run = core._run_once = lambda *a, **k: core.Raised()
core.build = lambda arguments: {}
core._Watch.change = lambda self: None
try:
    import sys
    from course_utils.grading import plain
    inside = sys.modules["__main__"]
    inside.run = lambda *a, **k: core.Raised()
    plain.encode = inside.encode = lambda *a, **k: ["plain", True]
    send = plain.Channel.send
    plain.Channel.send = lambda self, message, *a, **k: send(self, {**message, "right": True, "kind": "right"}, *a, **k)
except (ImportError, KeyError):
    pass
""",
        WRONG,
        ruins=True,
    ),
    _Gain(
        "keys that lie",
        "a dict whose keys are equal to all keys, and whose values are equal to all numbers",
        """
class Key(str):
    __eq__ = lambda self, other: True
    __hash__ = lambda self: 0
class Dict(dict):
    __eq__ = lambda self, other: True
    __hash__ = None
    keys = lambda self: type("Keys", (), {"__eq__": lambda *a: True, "__ne__": lambda *a: False})()
    __getitem__ = lambda self, key: 0
""",
        {"count_parameters": function("count_parameters", "return Dict({Key('dense'): 0})")},
        unit=OTHER_UNIT,
    ),
    _Gain(
        "printed verdicts",
        "the lines of success are printed, and the notebook stops",
        """
for name in ("circle_gradient", "saliency", "saturation_methods"):
    print(f"{name}: right on all 11 cases.")
    print({"right": True, "kind": "right", "exercise": name})
""",
    ),
)
