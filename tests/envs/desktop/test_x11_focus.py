"""Keys and text reach the window that had the focus when the user was asked, and no program that takes it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.desktop_programs import TK_PAD, connect_to, require_window_manager, running, tk_python, x_server
from helpers.eventually import eventually

from actions import PressKeys, TypeText
from envs.desktop.x11.windows import Windows
from envs.surfaces.desktop import Surface


class Pads(NamedTuple):
    """A display with two editors: the user's own and another program's."""

    display: str
    own: Path
    other: Path
    windows: Windows

    def take_focus(self, title: str) -> None:
        """Focus a window as a program does for itself, without the window manager."""
        from Xlib import X

        connection = connect_to(self.display)
        window = connection.create_resource_object("window", self.windows.find(title).id)
        window.set_input_focus(X.RevertToParent, X.CurrentTime)
        connection.sync()
        connection.close()


@pytest.fixture(params=[True, False], ids=["managed", "unmanaged"])
def pads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pads]:
    own, other = tmp_path / "own", tmp_path / "other"
    with ExitStack() as stack:
        display = stack.enter_context(x_server("900x500"))
        connection = connect_to(display)
        stack.callback(connection.close)
        if request.param:
            require_window_manager()
            stack.enter_context(running([shutil.which("openbox") or "jwm"], display, HOME=str(tmp_path)))
            check = connection.intern_atom("_NET_SUPPORTING_WM_CHECK")
            eventually(lambda: connection.screen().root.get_full_property(check, 0) is not None)
        for path, left, title in ((other, 500, "Other"), (own, 50, "Own")):
            command = [tk_python(), str(TK_PAD), str(path), f"300x200+{left}+100", title]
            stack.enter_context(running(command, display))
            eventually(path.exists)
        windows = Windows(connection)
        eventually(lambda: {"Own", "Other"} <= {window.title for window in windows.all()})
        pads = Pads(display, own, other, windows)
        eventually(lambda: windows.box(windows.find("Own").id) is not None)
        windows.bring_to_front(windows.find("Own").id)
        yield pads


def test_active_is_the_input_focus(pads: Pads) -> None:
    own, other = pads.windows.find("Own").id, pads.windows.find("Other").id
    assert pads.windows.active() == own
    pads.take_focus("Other")
    assert pads.windows.active() == other


def test_focus_taken_during_question_reads_nothing(pads: Pads) -> None:
    with Surface(display=pads.display) as surface:
        restore_focus = surface.keep_focus()
        pads.take_focus("Other")
        if restore_focus():
            surface.perform(TypeText(text="hunter2"))
            eventually(lambda: pads.own.read_text() == "hunter2")
    assert pads.other.read_text() == ""


@pytest.mark.parametrize("action", [TypeText(text="hunter2"), PressKeys(keys=("h",))])
def test_focus_taken_after_answer_reads_nothing(pads: Pads, action: TypeText | PressKeys) -> None:
    with Surface(display=pads.display) as surface:
        assert surface.keep_focus()()
        pads.take_focus("Other")
        notice = surface.perform(action)
        assert "lost the keyboard focus" in notice
        pads.take_focus("Own")
        surface.perform(TypeText(text="x"))  # only the next action was bound to the window
        eventually(lambda: pads.own.read_text() == "x")
    assert pads.other.read_text() == ""


def test_focus_taken_while_typing_reads_no_further_batch(pads: Pads) -> None:
    text = "abcdefgh" * 500
    with Surface(display=pads.display) as surface:
        assert surface.keep_focus()()
        thief = threading.Timer(0.05, pads.take_focus, ["Other"])
        thief.start()
        notice = surface.perform(TypeText(text=text))
        thief.join()
        if "lost the keyboard focus" not in notice:  # everything was typed before the other program came
            eventually(lambda: pads.own.read_text() == text)
    assert pads.other.read_text() == ""
