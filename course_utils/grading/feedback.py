"""A page for each student: the notebook, what the judge said, the points and comments. Nothing in it can run.

nbgrader's own pages, without hidden tests, and with every output and text of the student cleaned.
"""

from __future__ import annotations

import re
from typing import Any

import bleach
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import ClearHiddenTests, GetGrades
from traitlets import Bool, List

from course_utils.grading import Refused
from course_utils.grading.gradebook import Course

TAGS = (
    *bleach.ALLOWED_TAGS,
    *(
        "br",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "img",
    ),
    *("p", "pre", "s", "span", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"),
)


PICTURES = ("image/png", "image/jpeg")


def _attribute(tag: str, name: str, value: str) -> bool:
    """Whether an attribute may stay: texts and sizes, links to pages, pictures that are part of the page itself."""
    if name in ("alt", "title", "width", "height", "colspan", "rowspan", "open", "scope"):
        return True
    if tag == "a" and name == "href":
        return value.startswith(("https://", "http://", "#", "../", "./"))
    return tag == "img" and name == "src" and value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))


def _clean_attachments(cell: NotebookNode) -> None:
    """Keep what is a picture, and no reference to anything else: nbconvert stops at a picture that is missing."""
    pictures = {
        name: {mime: data[mime] for mime in PICTURES if mime in data}
        for name, data in cell.get("attachments", {}).items()
    }
    cell.attachments = NotebookNode({name: kept for name, kept in pictures.items() if kept})
    known = cell.attachments.keys()
    cell.source = re.sub(
        r"attachment:([^)\s\"'>\]]*)", lambda found: found[0] if found[1] in known else "missing", cell.source
    )


class Clean(SanitizeHTML):
    """Clean what a student wrote or printed, in cells and outputs."""

    enabled = Bool(True)
    tags = List(list(TAGS))
    attributes = staticmethod(_attribute)
    strip = True
    trusted: frozenset[str] = frozenset()  # texts of the lab itself, which stay as they are

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Clean all cells; of the metadata of cells and outputs only nbgrader's stay."""
        for cell in nb.cells:
            kept = cell.metadata.get("nbgrader")
            cell.metadata = NotebookNode({"nbgrader": kept} if kept else {})
            if cell.cell_type == "markdown":
                _clean_attachments(cell)
            for output in cell.get("outputs", []):
                if "metadata" in output:
                    output.metadata = NotebookNode()
        return super().preprocess(nb, resources)

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Clean a cell, if it is not a text of the lab itself."""
        if cell.cell_type == "markdown" and cell.source in self.trusted:
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)


class _Pages(GenerateFeedback):
    """nbgrader's feedback, cleaned."""

    preprocessors = List([GetGrades, ClearHiddenTests, Clean, CSSHTMLHeaderPreprocessor]).tag(config=True)


def write_feedback(course: Course, unit: str, pattern: str = "*") -> int:
    """Write ``feedback/STUDENT/UNIT/UNIT.html`` for the graded submissions; return how many there are.

    Raises:
        Refused: there are none, or nbgrader could not write some of them.
    """
    graded = [student for student in course.submitted(unit, pattern) if course.autograded(unit, student).is_file()]
    if not graded:
        raise Refused(f"nothing of {unit} is graded yet")
    course.folders.assignment_id, course.folders.notebook_id = unit, unit
    Clean.trusted = frozenset(
        cell.source for cell in course.lab(unit)[0].notebook.cells if cell.cell_type == "markdown"
    )
    failed = []
    for student in graded:
        course.folders.student_id = student
        pages = _Pages(coursedir=course.folders, parent=course.app)
        pages.force = True
        try:
            pages.start()
        except (Exception, SystemExit) as error:
            failed.append(f"nbgrader can't write the page of {student}: {error}")
        finally:
            course.folders.student_id = "*"
    if failed:
        raise Refused("\n".join([*failed, f"The other {len(graded) - len(failed)} pages are written."]))
    return len(graded)
