"""The one pattern of all explorers: controls, a picture that follows them, and a line of text that says what it shows.

An explorer is built of two pure functions of the controls' values: one draws, one describes. It works with ipywidgets
7.7 and 8, and where no widgets run (GitHub, nbconvert, a book) its last picture and text stay to be seen.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Mapping
from html import escape

import ipywidgets
from matplotlib.figure import Figure

from course_utils import plotting

# One drawing at a time in a kernel: front ends may deliver the changes of controls in several threads, and matplotlib
# draws safely in one. It is re-entrant, since a drawing function may move a control.
_DRAWING = threading.RLock()


class Explorer:
    """Controls, a picture that follows them, and a line of text that says what the picture shows.

    Attributes:
        controls: name -> ipywidgets control; setting a control's value redraws.
        png: the picture shown, bytes of a PNG file.
        text: the line of text shown.
        error: what the last drawing raised, with its traceback; None if it succeeded.
        widget: controls, picture and text as one ipywidgets box.
    """

    def __init__(
        self,
        draw: Callable[..., Figure],
        controls: Mapping[str, ipywidgets.ValueWidget],
        describe: Callable[..., str],
    ) -> None:
        """Build the widgets and draw for the controls' first values.

        Args:
            draw: function of the controls' values, by name -> Figure; it depends on nothing else.
            controls: name -> ipywidgets control with a description; a slider with continuous_update=False.
            describe: function of the controls' values, by name -> one line of text: what the picture shows, with the
                numbers that it shows, for those who cannot see it.

        Raises:
            ValueError: no control, or one without a description, or one that would redraw at every pixel of a drag.
            Whatever `draw` and `describe` raise for the first values.
        """
        if not controls:
            raise ValueError("controls is empty: give at least one, name -> ipywidgets control")
        for name, control in controls.items():
            if not getattr(control, "description", ""):
                raise ValueError(f"control {name!r} needs a description: a screen reader has nothing else to read")
            if getattr(control, "continuous_update", False):
                raise ValueError(f"control {name!r} needs continuous_update=False: it redraws when it is let go")
        self.controls = dict(controls)
        self.png = b""
        self.text = ""
        self.error: Exception | None = None
        self._draw, self._describe = draw, describe
        self._changes = 0
        self._change = threading.Lock()
        self._held = False

        for control in self.controls.values():
            control.style.description_width = "initial"
            control.layout.width = control.layout.width or "400px"  # two in a row; a long description keeps its slider
        self._image = ipywidgets.Image(
            format="png", layout=ipywidgets.Layout(max_width="100%", align_self="flex-start")
        )
        self._status = ipywidgets.HTML()
        row = ipywidgets.HBox(list(self.controls.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
        self.widget = ipywidgets.VBox([row, self._image, self._status])
        self._publish(*self._drawn())
        for control in self.controls.values():
            control.observe(self._follow, names="value")

    @property
    def values(self) -> dict[str, object]:
        """The controls' values, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: object) -> None:
        """Move several controls and draw once.

        Args:
            values: new values of controls, by name.

        Raises:
            ValueError: a control that does not exist.
        """
        if unknown := set(values) - set(self.controls):
            raise ValueError(f"no controls {sorted(unknown)}; there are {list(self.controls)}")
        self._held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
        self._follow()

    def show(self) -> None:
        """Display the explorer below the cell, as its mention at a cell's end does."""
        from IPython.display import display

        display(self)

    def _follow(self, _change: object = None) -> None:
        """Draw for the controls' values, unless a later change will: the last value is the one that stays."""
        if self._held:
            return
        with self._change:
            self._changes += 1
            mine = self._changes
        with _DRAWING:
            if mine != self._changes:
                return
            try:
                png, text = self._drawn()
                error = None
            except Exception as raised:  # a callback has no cell to fail in: the text must say it
                error, text = raised, f"No picture: {type(raised).__name__}: {raised}"
                png = plotting.message(text).png()
            if mine == self._changes:
                self.error = error
                self._publish(png, text)

    def _drawn(self) -> tuple[bytes, str]:
        """Give picture and text for the controls' values."""
        values = self.values
        buffer = io.BytesIO()
        self._draw(**values).savefig(buffer, format="png")
        return buffer.getvalue(), self._describe(**values)

    def _publish(self, png: bytes, text: str) -> None:
        self.png, self.text = png, text
        self._image.value = png
        # A live region: screen readers say the new text when it changes.
        self._status.value = f'<div role="status" aria-live="polite" style="line-height: 1.5">{escape(text)}</div>'

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        """Give the picture and its text, and the widgets if they have a model for a front end to show."""
        bundle: dict[str, object] = {
            "text/plain": self.text,
            "image/png": base64.b64encode(self.png).decode("ascii"),
        }
        if self.widget.comm is not None:
            bundle["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget.model_id,
            }
        return bundle
