"""Whether a typed text is what the field holds afterwards: pages reformat, limit and complete what is typed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from playwright.async_api import Error, Frame, Page

from actions import Action, TypeText
from envs.code_text import CODE_NOTICE, is_changed_by_editors

MAX_READING = 80
MAX_WAIT_S = 1.0
# Timers fire in the order of their due times: those that the page set while it handled the keys come first.
_AFTER_TIMERS_JS = "() => new Promise(resolve => setTimeout(resolve, 10))"
_FOCUSED_FRAME_JS = "() => document.activeElement instanceof HTMLIFrameElement ? document.activeElement : null"
_FIELD_JS = """
const field = (() => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element;
})();
const isInput = field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement;
const box = field?.getBoundingClientRect();
const isHidden = isInput && (box.width < 8 || box.height < 8 || getComputedStyle(field).opacity === '0');
const isSecret = !!field && (field.type === 'password' || getComputedStyle(field).webkitTextSecurity !== 'none');
const isEditor = isInput && (isHidden || field.closest('.CodeMirror, .monaco-editor, .ace_editor') !== null);
const flatten = text => text.replace(/[\\u00a0]/g, ' ').replace(/\\n+/g, '\\n').trimEnd();
"""
_BEFORE_JS = f"""() => {{ {_FIELD_JS}
    window[Symbol.for('pixelhand.typed')] = null;
    if (!field || !(isInput || field.isContentEditable)) return null;
    let start = null, end = null;
    try {{ [start, end] = [field.selectionStart, field.selectionEnd]; }} catch {{ }}
    window[Symbol.for('pixelhand.typed')] = {{field, value: isInput ? field.value : '', start: start ?? null, end}};
    return field instanceof HTMLInputElement ? 'input' : 'text';
}}"""
_AFTER_JS = f"""text => {{ {_FIELD_JS}
    const before = window[Symbol.for('pixelhand.typed')];
    if (!before || field !== before.field) return null;
    if (isEditor) return {{isEditor: true}};
    if (!isInput) {{
        const isSame = flatten(field.innerText).includes(flatten(text));
        const value = isSecret ? '' : field.innerText;
        return {{isSame, isSecret, value, length: field.innerText.length, expectedLength: text.length}};
    }}
    let value = field.value;
    try {{
        if (field.selectionEnd > field.selectionStart)  // a completion that the next key replaces
            value = value.slice(0, field.selectionStart) + value.slice(field.selectionEnd);
    }} catch {{ }}
    const expected = before.start === null
        ? null : before.value.slice(0, before.start) + text + before.value.slice(before.end);
    const isSame = expected === null ? value.includes(text.trim()) : value === expected;
    return {{isSame, isSecret, value: isSecret ? '' : value, length: value.length,
             expectedLength: (expected ?? text).length}};
}}"""


async def focused_frame(page: Page) -> Frame:
    """Return the frame whose element has the focus.

    Raises:
        playwright.async_api.Error: The page went away.
    """
    frame = page.main_frame
    while inner := (await frame.evaluate_handle(_FOCUSED_FRAME_JS)).as_element():
        content = await inner.content_frame()
        if content is None:
            break
        frame = content
    return frame


class TypedTextCheck:
    """Compares the focused field before and after a text is typed into it.

    Args:
        page: The page.
        action: The action; one that types nothing, or None, is not checked.
    """

    def __init__(self, page: Page, action: Action | None) -> None:
        self._page, self._text = page, action.text if isinstance(action, TypeText) else ""
        self._frame: Frame | None = None

    async def start(self) -> None:
        """Remember the field with the focus and its value."""
        if not self._text or "\t" in self._text:  # a tab leaves the field
            return
        try:
            frame = await focused_frame(self._page)
            kind = await frame.evaluate(_BEFORE_JS)
        except Error:  # the page navigates
            return
        if kind is not None and not (kind == "input" and "\n" in self._text):  # Enter submits a form
            self._frame = frame

    async def notice(self) -> str:
        """Return a notice if the field holds something else than what was typed, "" if it does not or is unknown."""
        if self._frame is None:
            return ""
        try:
            with suppress(TimeoutError):  # a page may replace setTimeout
                await asyncio.wait_for(self._frame.evaluate(_AFTER_TIMERS_JS), MAX_WAIT_S)
            result = await self._frame.evaluate(_AFTER_JS, self._text)
        except Error:
            return ""
        if result is None:
            return ""
        if result.get("isEditor"):
            return CODE_NOTICE if is_changed_by_editors(self._text) else ""
        if result["isSame"] or ("\n" in self._text and not result["value"].strip()):  # Enter sent a message
            return ""
        if result.get("isSecret"):
            return (
                f"the password field holds {result['length']} characters after the typing, not the "
                f"{result['expectedLength']} that were expected"
            )
        reading = result["value"]
        reading = reading if len(reading) <= MAX_READING else reading[:MAX_READING] + "…"
        return f"the typed text reads {reading!r} in its field: the page changed it"
