"""Facts of the windows that an action would reach on an X server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from actions import Click, PressKeys, TypeText
from envs.surfaces.desktop import Surface

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window

AT = Click(x=150, y=120)
OpenWindow = Callable[..., "Window"]


@pytest.fixture
def open_window(painted: Display) -> Iterator[OpenWindow]:
    """Return a function that shows a window of a program."""
    windows = []

    def show(title: str, left: int = 100, top: int = 100, width: int = 200, height: int = 100) -> Window:
        root = painted.screen().root
        window = root.create_window(left, top, width, height, 0, painted.screen().root_depth, background_pixel=0xFFFFFF)
        window.set_wm_name(title)
        window.set_wm_class(title.lower(), title)
        window.change_property(painted.intern_atom("_NET_WM_PID"), painted.intern_atom("CARDINAL"), 32, [4711])
        window.map()
        painted.sync()
        windows.append(window)
        return window

    yield show
    for window in windows:
        window.destroy()
    painted.sync()


@pytest.fixture
def surface(display: str, painted: Display) -> Iterator[Surface]:
    with Surface(display=display) as opened:
        yield opened


def focus(connection: Display, window: Window) -> None:
    from Xlib import X

    window.set_input_focus(X.RevertToParent, X.CurrentTime)
    connection.sync()


def test_window_under_point_is_described(surface: Surface, open_window: OpenWindow) -> None:
    open_window("Mail")
    surface.capture()
    facts = surface.facts(AT)
    assert (facts.app, facts.window, facts.pid, facts.changes) == ("Mail", "Mail", 4711, ())
    assert (facts.elements[0].role, facts.elements[0].label) == ("window", "Mail")
    assert surface.facts(Click(x=900, y=600)).elements[0].label == ""


@pytest.mark.parametrize("change", ["cover", "move", "close"])
def test_changed_window_is_reported(surface: Surface, open_window: OpenWindow, painted: Display, change: str) -> None:
    window = open_window("Mail")
    surface.capture()
    assert surface.facts(AT).changes == ()
    match change:
        case "cover":
            open_window("Trap", 140, 110, 20, 20)
        case "move":
            window.configure(x=130)
        case "close":
            window.unmap()
    painted.sync()
    assert surface.facts(AT).changes == ("another window is at (150, 120)",)
    assert surface.facts(Click(x=900, y=600)).changes == ()
    surface.capture()
    assert surface.facts(AT).changes == ()


@pytest.mark.parametrize("action", [TypeText(text="x"), PressKeys(keys=("enter",))])
def test_moved_focus_is_reported(
    surface: Surface, open_window: OpenWindow, painted: Display, action: TypeText | PressKeys
) -> None:
    own, other = open_window("Own"), open_window("Other", 400)
    focus(painted, own)
    surface.capture()
    facts = surface.facts(action)
    assert facts.focus is not None
    assert (facts.focus.label, facts.window, facts.changes) == ("Own", "Own", ())
    focus(painted, other)
    assert surface.facts(action).changes == ("another window has the keyboard focus",)
    assert surface.facts(AT).changes == ()


def test_unchanged_windows_have_equal_facts(surface: Surface, open_window: OpenWindow) -> None:
    open_window("Mail")
    surface.capture()
    assert surface.facts(AT) == surface.facts(AT)
