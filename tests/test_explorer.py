"""The explorers, without a browser: move a control, and see the picture's bytes and its text change."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable

import ipywidgets
import pytest
from matplotlib.figure import Figure

from course_utils import plotting
from course_utils.widgets.explorer import Explorer

VIEW = "application/vnd.jupyter.widget-view+json"


def draw(a: int, b: str) -> Figure:
    if a == 9:
        raise ArithmeticError("nine <is> too much")
    return plotting.message(f"{a} {b}")


def describe(a: int, b: str) -> str:
    if a == 8:
        raise LookupError("no words for eight")
    return f"a is {a}, b is <{b}>"


def controls() -> dict[str, ipywidgets.ValueWidget]:
    return {
        "a": ipywidgets.IntSlider(value=1, min=0, max=9, description="A", continuous_update=False),
        "b": ipywidgets.Dropdown(options=["x", "y"], description="B"),
    }


@pytest.fixture
def explorer() -> Explorer:
    return Explorer(draw, controls(), describe)


def wait_until(happened: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.001)


def picture(text: str) -> bytes:
    return plotting.message(text).png()


# The pattern


def test_an_explorer_shows_the_picture_of_its_first_values(explorer: Explorer) -> None:
    assert explorer.png == picture("1 x")
    assert explorer.text == "a is 1, b is <x>"


def test_moving_a_control_changes_picture_and_text(explorer: Explorer) -> None:
    explorer.controls["a"].value = 5
    assert explorer.png == picture("5 x")
    assert explorer.text == "a is 5, b is <x>"


def test_the_widgets_show_what_the_explorer_holds(explorer: Explorer) -> None:
    explorer.controls["b"].value = "y"
    row, image, status = explorer.widget.children
    assert list(row.children) == list(explorer.controls.values())
    assert isinstance(image, ipywidgets.Image) and image.format == "png"
    assert bytes(image.value) == explorer.png
    assert "a is 1, b is &lt;y&gt;" in status.value


def test_the_text_is_a_live_region_for_screen_readers(explorer: Explorer) -> None:
    assert 'role="status"' in explorer.widget.children[2].value


def test_the_picture_has_no_tooltip(explorer: Explorer) -> None:
    # The front end of ipywidgets 8.1 fails to show an Image with one ("Cannot read properties of undefined").
    assert getattr(explorer.widget.children[1], "tooltip", None) is None


def test_setting_several_controls_draws_once() -> None:
    calls = []
    explorer = Explorer(lambda **values: calls.append(values) or draw(**values), controls(), describe)
    explorer.set(a=3, b="y")
    assert calls == [{"a": 1, "b": "x"}, {"a": 3, "b": "y"}]


def test_setting_an_unknown_control_is_refused_with_those_that_exist(explorer: Explorer) -> None:
    with pytest.raises(ValueError, match=r"no controls \['c'\]; there are \['a', 'b'\]"):
        explorer.set(c=1)


def test_a_value_that_a_control_refuses_leaves_the_others_following(explorer: Explorer) -> None:
    with pytest.raises(Exception, match="selection"):
        explorer.set(b="z")
    explorer.controls["a"].value = 2
    assert explorer.text == "a is 2, b is <x>"


@pytest.mark.parametrize(
    ("value", "text"),
    [(9, "No picture: ArithmeticError: nine <is> too much"), (8, "No picture: LookupError: no words for eight")],
)
def test_an_error_is_said_in_text_and_picture_and_kept(explorer: Explorer, value: int, text: str) -> None:
    explorer.controls["a"].value = value
    assert explorer.text == text
    assert explorer.png == picture(text)
    assert explorer.error.__traceback__ is not None


def test_after_an_error_the_next_value_is_drawn(explorer: Explorer) -> None:
    explorer.controls["a"].value = 9
    explorer.controls["a"].value = 4
    assert (explorer.text, explorer.error) == ("a is 4, b is <x>", None)


@pytest.mark.parametrize(("value", "error"), [(9, ArithmeticError), (8, LookupError)])
def test_an_error_at_the_first_values_is_raised(value: int, error: type) -> None:
    first = controls()
    first["a"].value = value
    with pytest.raises(error):
        Explorer(draw, first, describe)


def test_a_drawing_that_moves_a_control_ends_with_the_value_it_moved_to() -> None:
    def corrected(a: int, b: str) -> Figure:
        if a == 5:
            explorer.controls["a"].value = 6
        return draw(a, b)

    explorer = Explorer(corrected, controls(), describe)
    explorer.controls["a"].value = 5
    assert explorer.png == picture("6 x")


def test_a_slow_drawing_does_not_replace_a_later_one() -> None:
    started, go_on = threading.Event(), threading.Event()
    drawn = []

    def slow(a: int, b: str) -> Figure:
        drawn.append(a)
        if a == 2:
            started.set()
            assert go_on.wait(10)
        return draw(a, b)

    explorer = Explorer(slow, controls(), describe)
    shown = []
    explorer.widget.children[1].observe(lambda change: shown.append(explorer.text), names="value")
    move = [threading.Thread(target=setattr, args=(explorer.controls["a"], "value", a)) for a in (2, 3)]
    move[0].start()
    assert started.wait(10)
    move[1].start()
    wait_until(lambda: explorer.controls["a"].value == 3 and explorer._changes == 2)
    go_on.set()
    for thread in move:
        thread.join(10)
    assert shown == ["a is 3, b is <x>"]
    assert explorer.png == picture("3 x")
    assert drawn == [1, 2, 3]


def test_changes_that_wait_are_drawn_only_for_the_last() -> None:
    started, go_on = threading.Event(), threading.Event()
    drawn = []

    def slow(a: int, b: str) -> Figure:
        drawn.append(a)
        if a == 2:
            started.set()
            assert go_on.wait(10)
        return draw(a, b)

    explorer = Explorer(slow, controls(), describe)
    threads = []
    for count, value in enumerate((2, 3, 4, 5), start=1):
        threads.append(threading.Thread(target=setattr, args=(explorer.controls["a"], "value", value)))
        threads[-1].start()
        assert started.wait(10)
        wait_until(lambda count=count: explorer._changes == count)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert drawn == [1, 2, 5]
    assert explorer.text == "a is 5, b is <x>"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "controls is empty"),
        ({"a": ipywidgets.IntSlider(continuous_update=False)}, "control 'a' needs a description"),
        ({"a": ipywidgets.IntSlider(description="A")}, "control 'a' needs continuous_update=False"),
    ],
)
def test_controls_that_not_everyone_can_use_are_refused(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Explorer(lambda **values: draw(1, "x"), bad, lambda **values: "")


# What a notebook keeps


def test_the_bundle_holds_png_text_and_the_widget(explorer: Explorer) -> None:
    explorer.controls["a"].value = 7
    data = explorer._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == explorer.png
    assert data["text/plain"] == "a is 7, b is <x>"
    assert data[VIEW] == {"version_major": 2, "version_minor": 0, "model_id": explorer.widget.model_id}
    json.dumps(data)


def test_without_a_front_end_for_widgets_the_bundle_holds_png_and_text(explorer: Explorer) -> None:
    explorer.widget.close()
    data = explorer._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png"}


def test_ipython_displays_all_of_the_bundle(explorer: Explorer) -> None:
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(explorer)
    assert {"text/plain", "image/png", VIEW} <= set(data)
    assert data["text/plain"] == explorer.text


def test_a_web_page_of_the_notebook_shows_the_picture(explorer: Explorer) -> None:
    nbconvert = pytest.importorskip("nbconvert")
    from nbformat import v4

    data = explorer._repr_mimebundle_()
    cell = v4.new_code_cell("explorer", outputs=[v4.new_output("execute_result", data)])
    page, _ = nbconvert.HTMLExporter().from_notebook_node(v4.new_notebook(cells=[cell]))
    assert f"data:image/png;base64,{data['image/png'][:60]}" in page


def test_show_displays_the_explorer(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    explorer.show()
    assert shown == [explorer]
