"""A JavaScript dialog as a page of its own: what headless Chromium never draws, a pixel agent can read and click.

Knows how a dialog looks and what was answered on it; giving the answer to the page that asked is the surface's part.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, Dialog, Page

from actions import InvalidActionError

HTML = Path(__file__).with_name("dialog.html")
MAX_WORDS = 2000  # characters of a page's message that are drawn
MAX_QUOTE = 300  # ... and that a note repeats


@dataclass(frozen=True)
class Reply:
    """The button that was chosen, and what stood in the field."""

    ok: bool
    text: str


def quoted(text: str, limit: int = MAX_QUOTE) -> str:
    """A page's words for a note: one line, printable, cut at the limit. They are a stranger's: data, no more."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return f'"{line if len(line) <= limit else line[:limit] + "…"}"'


def labels(dialog: Dialog) -> tuple[str, str | None]:
    """What its buttons say: (yes, no); an alert has no second."""
    if dialog.type == "beforeunload":
        return "Leave", "Stay"
    return "OK", None if dialog.type == "alert" else "Cancel"


def describe(dialog: Dialog) -> str:
    """The note that tells of a dialog and how to answer it."""
    if dialog.type == "beforeunload":
        return "the page asks whether to leave it, as what was entered may be lost; choose Leave or Stay (Escape)"
    if dialog.type == "alert":
        return f"the page says {quoted(dialog.message)} in a dialog; choose OK (Enter) to go on"
    field = ", with a text field" if dialog.type == "prompt" else ""
    return f"the page asks {quoted(dialog.message)} in a dialog{field}; choose OK (Enter) or Cancel (Escape)"


def check_text(text: str) -> None:
    """BadCall for a text of several lines: the first Enter would close the dialog and the rest go astray."""
    if "\n" in text.rstrip("\n") or text.count("\n") > 1:
        raise InvalidActionError("a dialog is open and takes one line only; type up to the first new line")


class DialogPage:
    """Draws one dialog at a time, in a context apart from the pages that ask."""

    def __init__(self, browser: Browser, width: int, height: int, scale: float) -> None:
        self._browser = browser
        self._size = {"width": width, "height": height}
        self._scale = scale
        self._page: Page | None = None

    @property
    def page(self) -> Page:
        assert self._page is not None, "show() comes first"
        return self._page

    async def show(self, dialog: Dialog, behind_png: bytes | None) -> None:
        """Draw the dialog over the last picture of the page; a page that never showed any is white."""
        if self._page is None or self._page.is_closed():
            context = await self._browser.new_context(
                viewport=self._size,  # type: ignore[arg-type]
                device_scale_factor=self._scale,
            )
            self._page = await context.new_page()
        await self._page.goto(HTML.as_uri())
        ok, cancel = labels(dialog)
        host = urlsplit(dialog.page.url).hostname if dialog.page else ""
        words = "Leave this page? What was entered may be lost." if dialog.type == "beforeunload" else dialog.message
        await self._page.evaluate(
            "async (what) => { await ask(what); }",
            {
                "who": f"{host or 'This page'} {'says' if dialog.type == 'alert' else 'asks'}",
                "words": words[:MAX_WORDS],
                "ok": ok,
                "cancel": cancel,
                "text": dialog.default_value[:MAX_WORDS] if dialog.type == "prompt" else None,
                "behind": base64.b64encode(behind_png).decode() if behind_png else None,
            },
        )

    async def reply(self) -> Reply | None:
        """What was chosen, None while it waits."""
        answer = await self.page.evaluate("window.answer")
        return None if answer is None else Reply(bool(answer["ok"]), str(answer["text"]))
