"""The exercises of the labs: ``load(unit)`` gives those of one unit by name, each with a ``check(answer)``."""

from __future__ import annotations

import importlib
import pkgutil
import re

from course_utils.exercises.core import Exercise, ValueExercise

__all__ = ["load", "units"]


def units() -> list[str]:
    """Return the names of the units that have exercises, without their numbers, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "core")


def load(unit: str) -> dict[str, Exercise | ValueExercise]:
    """Return the exercises of `unit` by name, in the order of the lab.

    Args:
        unit: name of a unit, with or without its number: "06_gradient_methods" or "gradient_methods".

    Raises:
        ValueError: there is no such unit, or two of its exercises have one name.
    """
    name = re.sub(r"^\d+_", "", unit)
    if name not in units():
        raise ValueError(f"unit is {unit!r}; units with exercises: {', '.join(units())}")
    exercises = importlib.import_module(f"{__name__}.{name}").EXERCISES
    by_name = {exercise.name: exercise for exercise in exercises}
    if len(by_name) < len(exercises):
        raise ValueError(f"two exercises of {unit!r} have the same name")
    return by_name
