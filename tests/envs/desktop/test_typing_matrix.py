"""Typed strings arrive exactly in a GTK program, a Tk program and Chromium, each on a virtual desktop."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.desktop_programs import TK_PAD, require_programs, tk_python
from helpers.eventually import eventually
from helpers.typed_strings import STRINGS

from actions import Click, PressKeys, TypeText
from envs.surfaces.desktop import Surface

ROUNDS = 4
PAGE = (
    "data:text/html,<meta charset=utf-8><body style='margin:0'>"
    "<textarea id=t style='width:100vw;height:100vh'></textarea>"
    "<script>t.focus();t.addEventListener('keydown',e=>{if(e.key=='Tab'){e.preventDefault();"
    "t.setRangeText('\\t',t.selectionStart,t.selectionEnd,'end')}})</script>"
)


class Editor(NamedTuple):
    """A text field on a virtual desktop."""

    surface: Surface
    clear: Callable[[], object]
    read: Callable[[], object]

    def type(self, text: str) -> object:
        """Type a text into the empty field; return what the field has when it is right, or after 10 s."""
        self.clear()
        self.surface.perform(TypeText(text=text))
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.read() == text, timeout_s=60, interval_s=0.05)
        return self.read()


def open_tk(tmp_path: Path) -> Editor:
    path = tmp_path / "text"
    program = f"{tk_python(sandboxed=True)} {TK_PAD} {path}"
    surface = Surface("virtual", program=program, width=600, height=400, shared=[tmp_path])
    surface.perform(Click(x=300, y=200))

    def clear() -> None:
        path.unlink(missing_ok=True)
        eventually(lambda: path.exists() and path.read_bytes() == b"")

    return Editor(surface, clear, lambda: path.read_bytes().decode())


def open_gtk(tmp_path: Path) -> Editor:
    require_programs("mousepad")
    path = tmp_path / "text.txt"
    path.write_text("")
    surface = Surface("virtual", program=f"mousepad {path}", width=600, height=400, shared=[tmp_path])
    surface.perform(Click(x=300, y=250))

    def clear() -> None:
        surface.perform(PressKeys(keys=("ctrl", "a")))
        surface.perform(PressKeys(keys=("delete",)))

    def read() -> str:
        surface.perform(PressKeys(keys=("ctrl", "s")))
        time.sleep(0.1)
        return path.read_bytes().decode().removesuffix("\n")  # the editor ends the last line

    return Editor(surface, clear, read)


def open_chromium(tmp_path: Path) -> Editor:
    surface = Surface("virtual", url=PAGE, width=600, height=500)
    surface.perform(Click(x=300, y=350))
    return Editor(surface, lambda: surface.evaluate("t.value = ''"), lambda: surface.evaluate("t.value"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("open_editor", [open_gtk, open_tk, open_chromium])
def test_every_string_every_round(open_editor: Callable[[Path], Editor], tmp_path: Path, chrome: str) -> None:
    editor = open_editor(tmp_path)
    with editor.surface:
        pairs = [(text, editor.type(text)) for _ in range(ROUNDS) for text in STRINGS]
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


@pytest.mark.parametrize("text", [STRINGS[2], STRINGS[12] + STRINGS[18], STRINGS[17]])
def test_gtk_receives_exact_text(tmp_path: Path, text: str) -> None:
    editor = open_gtk(tmp_path)
    with editor.surface:
        assert editor.type(text) == text


def test_chromium_receives_text_and_keymap_is_restored(tmp_path: Path, chrome: str) -> None:
    editor = open_chromium(tmp_path)
    text = STRINGS[9] + STRINGS[12] + STRINGS[18] + "<é&\t>\n."
    with editor.surface:
        keymap = read_keymap(editor.surface)
        assert editor.type(text) == text
        assert read_keymap(editor.surface) == keymap


@pytest.mark.parametrize("layout", ["us", "de", "ru", "gr", "ru,us"])
@pytest.mark.parametrize("open_editor", [open_gtk, open_chromium])
def test_select_all_works_in_every_layout(
    open_editor: Callable[[Path], Editor], layout: str, tmp_path: Path, chrome: str
) -> None:
    require_programs("setxkbmap")
    editor = open_editor(tmp_path)
    with editor.surface:
        subprocess.run(["setxkbmap", "-layout", layout], env=dict(editor.surface.environ), check=True)
        assert editor.type("old text") == "old text"
        editor.surface.perform(PressKeys(keys=("ctrl", "a")))
        editor.surface.perform(TypeText(text="new"))
        eventually(lambda: editor.read() == "new", timeout_s=60, interval_s=0.05)


def read_keymap(surface: Surface) -> list[list[int]]:
    from envs.desktop.x11.connection import connect

    connection = connect(surface.environ["DISPLAY"], surface.environ)
    info = connection.display.info
    rows = connection.get_keyboard_mapping(info.min_keycode, info.max_keycode - info.min_keycode + 1)
    connection.close()
    return [list(row) for row in rows]
