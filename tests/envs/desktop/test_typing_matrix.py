"""25 strings, four times each, into a GTK program, a Tk program and Chromium, on one virtual desktop each: exact."""

from __future__ import annotations

import time

import pytest
from helpers.desktop_programs import TK_PAD, need, soon, tk_python
from helpers.typed_strings import STRINGS

from actions import Click, PressKeys, TypeText
from envs.surfaces.desktop import Surface

TIMES = 4
PAGE = (
    "data:text/html,<meta charset=utf-8><body style='margin:0'>"
    "<textarea id=t style='width:100vw;height:100vh'></textarea>"
    "<script>t.focus();t.addEventListener('keydown',e=>{if(e.key=='Tab'){e.preventDefault();"
    "t.setRangeText('\\t',t.selectionStart,t.selectionEnd,'end')}})</script>"
)


def in_tk(tmp_path):
    path = tmp_path / "text"
    surface = Surface("virtual", program=f"{tk_python()} {TK_PAD} {path}", width=600, height=400)
    surface.perform(Click(x=300, y=200))

    def clear():
        path.unlink(missing_ok=True)
        soon(lambda: path.exists() and path.read_bytes() == b"")

    return surface, clear, lambda: path.read_bytes().decode()


def in_gtk(tmp_path):
    need("mousepad")
    path = tmp_path / "text.txt"
    path.write_text("")
    surface = Surface("virtual", program=f"mousepad {path}", width=600, height=400)
    surface.perform(Click(x=300, y=250))

    def clear():
        surface.perform(PressKeys(keys=("ctrl", "a")))
        surface.perform(PressKeys(keys=("delete",)))

    def read():
        surface.perform(PressKeys(keys=("ctrl", "s")))
        time.sleep(0.1)
        return path.read_bytes().decode().removesuffix("\n")  # a file of text ends with a line's end

    return surface, clear, read


def in_chromium(tmp_path):
    surface = Surface("virtual", url=PAGE, width=600, height=500)
    surface.perform(Click(x=300, y=350))
    return surface, lambda: surface.evaluate("t.value = ''"), lambda: surface.evaluate("t.value")


def typed(surface, clear, read, text):
    """(what the program has, seconds that the typing took)."""
    clear()
    began = time.perf_counter()
    surface.perform(TypeText(text=text))
    seconds = time.perf_counter() - began
    end = time.monotonic() + 10
    while (found := read()) != text and time.monotonic() < end:
        time.sleep(0.05)
    return found, seconds


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("program", [in_gtk, in_tk, in_chromium])
def test_every_string_every_time(program, tmp_path, chrome):
    surface, clear, read = program(tmp_path)
    wrong, spent_s, characters = [], 0.0, 0
    with surface:
        for _ in range(TIMES):
            for text in STRINGS:
                found, seconds = typed(surface, clear, read, text)
                spent_s, characters = spent_s + seconds, characters + len(text)
                if found != text:
                    wrong.append((text, found))
    print(f"{program.__name__}: {TIMES * len(STRINGS) - len(wrong)} of {TIMES * len(STRINGS)} exact, ", end="")
    print(f"{characters / spent_s:.0f} characters per second")
    assert not wrong


@pytest.mark.parametrize("text", [STRINGS[2], STRINGS[12] + STRINGS[18], STRINGS[17]])
def test_a_gtk_program_has_exactly_the_text(tmp_path, text):
    surface, clear, read = in_gtk(tmp_path)
    with surface:
        assert typed(surface, clear, read, text)[0] == text


def test_chromium_has_exactly_the_text_and_the_keyboard_map_is_as_before(tmp_path, chrome):
    surface, clear, read = in_chromium(tmp_path)
    with surface:
        before = surface._machine._x_hands._keyboard._map
        text = STRINGS[9] + STRINGS[12] + STRINGS[18] + "<é&\t>\n."
        assert typed(surface, clear, read, text)[0] == text
        keyboard = surface._machine._x_hands._keyboard
        keyboard._read()
        assert keyboard._map == before
