"""Grading that can be trusted, on nbgrader's folders and gradebook: see ``docs/grading.md``.

    python -m course_utils.grading check UNIT          what is wrong with the submitted files, before anything is graded
    python -m course_utils.grading autograde UNIT      grade them
    python -m course_utils.grading status UNIT         who is graded, and who is not
    python -m course_utils.grading feedback UNIT       a page for each student
    python -m course_utils.grading export UNIT         the table of grades, and what went wrong in which exercise

Nothing that a student's code does can make a verdict. It runs in a sandbox (:mod:`~course_utils.grading.sandbox`,
:mod:`~course_utils.grading.inside`) and can only answer calls. The judge (:mod:`~course_utils.grading.judge`) draws the
arguments outside, sends them as plain arrays (:mod:`~course_utils.grading.plain`), takes plain arrays back and compares
them with the reference.
"""


class Refused(RuntimeError):
    """What was asked for can't be done here; the message says why, and what to do."""
