"""A typed text that its field does not hold afterwards is reported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actions import Click, TypeText
from envs.surfaces.browser import Surface

PAGE = """<style>* {{margin: 0}} input, textarea, div {{position: absolute; left: 0; top: 0; width: 300px;
height: 60px}}</style>{body}"""
UPPER = "<input oninput='value = value.toUpperCase()'>"
CLOSER = """<textarea onkeydown="if (event.key == '(') setTimeout(() => {
    const at = selectionStart;
    value = value.slice(0, at) + ')' + value.slice(at); selectionStart = selectionEnd = at})">
</textarea>"""
INDENT = """<textarea onkeydown="if (event.key == 'Enter') setTimeout(() => {
    value += '    '; selectionStart = selectionEnd = value.length})"></textarea>"""
HIDDEN = """<div class="CodeMirror"><textarea style="width: 1px; height: 1px; opacity: 0" autofocus></textarea></div>
<script>document.querySelector('textarea').focus()</script>"""


@pytest.fixture(scope="module")
def browser(chrome: str) -> Iterator[Surface]:
    with Surface(width=400, height=200, executable=chrome) as surface:
        yield surface


def type_into(surface: Surface, body: str, text: str, *, click: bool = True) -> str:
    """Return the notice of a text that is typed into the field in the corner of a page."""
    surface.goto("data:text/html;charset=utf-8," + PAGE.format(body=body))
    surface.capture()
    if click:
        surface.perform(Click(x=20, y=20))
        surface.capture()
    return surface.perform(TypeText(text=text))


@pytest.mark.parametrize(
    ("body", "text", "words"),
    [
        ("<input maxlength=4>", "123456", "the typed text reads '1234'"),
        (UPPER, "abc", "reads 'ABC'"),
        ("<input type=number>", "1,5x", "the typed text reads"),
        ("<input type=password maxlength=3>", "secret", "holds 3 characters after the typing, not the 6"),
        (CLOSER, "f((x", "the typed text reads 'f((x))'"),
        (INDENT, "if a:\n    b\n    c", "the typed text reads 'if a:"),
    ],
)
def test_changed_text_is_reported(browser: Surface, body: str, text: str, words: str) -> None:
    assert words in type_into(browser, body, text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<input>", "plain text (with) [brackets] and 'quotes'"),
        ("<input value=before>", "é 😀"),
        ("<input type=email>", "a@example.org"),
        ("<input type=number>", "-12.5"),
        ("<input type=password>", "secret"),
        ("<input type=date>", "2026-03-04"),
        ("<textarea></textarea>", "one\n  two\n\nthree"),
        ("<div contenteditable></div>", "one\ntwo three"),
        ("<form action='about:blank'><input></form>", "query\n"),
        ("<textarea onkeydown=\"if (event.key == 'Enter') setTimeout(() => value = '')\"></textarea>", "a message\n"),
        ("<input><input style='top: 80px'>", "one\ttwo"),
        ("<p>no field</p>", "abc"),
    ],
)
def test_exact_text_is_not_reported(browser: Surface, body: str, text: str) -> None:
    assert type_into(browser, body, text) == ""


def test_password_is_never_read_out(browser: Surface) -> None:
    assert "sec" not in type_into(browser, "<input type=password maxlength=3>", "secret")


def test_code_in_unreadable_editor_is_reported(browser: Surface) -> None:
    assert "an editor that indents" in type_into(browser, HIDDEN, "if a:\n    b", click=False)
    assert type_into(browser, HIDDEN, "a word", click=False) == ""
