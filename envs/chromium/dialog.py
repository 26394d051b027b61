"""JavaScript dialogs drawn as pages: headless Chromium never draws them, and a model acts on pixels alone."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, Dialog, Page

from actions import InvalidActionError

HTML = Path(__file__).with_name("dialog.html")
MAX_DRAWN_CHARS = 2000  # of a page's message
MAX_QUOTED_CHARS = 300  # of a page's message in a notice


@dataclass(frozen=True)
class DialogReply:
    """The button that was chosen, and the text in the field."""

    ok: bool
    text: str


def quoted(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Quote a page's text for a notice: one printable line, cut at `limit` characters. The text is untrusted."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return f'"{line if len(line) <= limit else line[:limit] + "…"}"'


def button_labels(dialog: Dialog) -> tuple[str, str | None]:
    """Return the labels of the accepting and of the dismissing button; an alert has no second one."""
    if dialog.type == "beforeunload":
        return "Leave", "Stay"
    return "OK", None if dialog.type == "alert" else "Cancel"


def describe(dialog: Dialog) -> str:
    """Return the notice of a dialog: its message and how to answer it."""
    if dialog.type == "beforeunload":
        return "the page asks whether to leave it, as what was entered may be lost; choose Leave or Stay (Escape)"
    if dialog.type == "alert":
        return f"the page says {quoted(dialog.message)} in a dialog; choose OK (Enter) to go on"
    field = ", with a text field" if dialog.type == "prompt" else ""
    return f"the page asks {quoted(dialog.message)} in a dialog{field}; choose OK (Enter) or Cancel (Escape)"


def check_text(text: str) -> None:
    """Reject text of several lines: its first Enter would close the dialog, and the rest would go to the page.

    Raises:
        InvalidActionError: The text has more than one line.
    """
    if "\n" in text.rstrip("\n") or text.count("\n") > 1:
        raise InvalidActionError("a dialog is open and takes one line only; type up to the first new line")


class DialogPage:
    """Draws one dialog at a time, in a browser context apart from the pages."""

    def __init__(self, browser: Browser, width: int, height: int, scale: float) -> None:
        self._browser = browser
        self._size = {"width": width, "height": height}
        self._scale = scale
        self._page: Page | None = None

    @property
    def page(self) -> Page:
        """The page that draws the dialog; `show()` opens it."""
        assert self._page is not None, "call show() first"
        return self._page

    async def show(self, dialog: Dialog, behind_png: bytes | None) -> None:
        """Draw the dialog over the last screenshot of its page, or over white if there is none."""
        if self._page is None or self._page.is_closed():
            context = await self._browser.new_context(
                viewport=self._size,  # type: ignore[arg-type]
                device_scale_factor=self._scale,
            )
            self._page = await context.new_page()
        await self._page.goto(HTML.as_uri())
        ok, cancel = button_labels(dialog)
        host = urlsplit(dialog.page.url).hostname if dialog.page else ""
        message = "Leave this page? What was entered may be lost." if dialog.type == "beforeunload" else dialog.message
        await self._page.evaluate(
            "async (what) => { await ask(what); }",
            {
                "who": f"{host or 'This page'} {'says' if dialog.type == 'alert' else 'asks'}",
                "words": message[:MAX_DRAWN_CHARS],
                "ok": ok,
                "cancel": cancel,
                "text": dialog.default_value[:MAX_DRAWN_CHARS] if dialog.type == "prompt" else None,
                "behind": base64.b64encode(behind_png).decode() if behind_png else None,
            },
        )

    async def reply(self) -> DialogReply | None:
        """Return the reply, or None while there is none."""
        answer = await self.page.evaluate("window.answer")
        return None if answer is None else DialogReply(bool(answer["ok"]), str(answer["text"]))
