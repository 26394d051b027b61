"""JavaScript dialogs drawn as pages: headless Chromium never draws them, and a model acts on pixels alone."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, Dialog, Page

from actions import InvalidActionError

HTML = Path(__file__).with_name("dialog.html")
MAX_DRAWN_CHARS = 2000  # of a page's message
MAX_QUOTED_CHARS = 300  # of a page's message in a notice


@dataclass(frozen=True)
class DialogReply:
    """The button that was chosen, the text in the field, and a password."""

    ok: bool
    text: str
    password: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class SignIn:
    """A page's request for credentials.

    Args:
        page: The page, whose document failed to load.
        origin: Scheme, host and port that asked; the credentials are sent nowhere else.
        is_repeated: Whether credentials were entered already, and not accepted.
    """

    page: Page
    origin: str
    is_repeated: bool = False


def quoted(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Quote a page's text for a notice: one printable line, cut at `limit` characters. The text is untrusted."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return f'"{line if len(line) <= limit else line[:limit] + "…"}"'


def button_labels(dialog: Dialog | SignIn) -> tuple[str, str | None]:
    """Return the labels of the accepting and of the dismissing button; an alert has no second one."""
    if isinstance(dialog, SignIn):
        return "Sign in", "Cancel"
    if dialog.type == "beforeunload":
        return "Leave", "Stay"
    return "OK", None if dialog.type == "alert" else "Cancel"


def dialog_text(dialog: Dialog | SignIn) -> str:
    """Return the message of a dialog, or the origin of a sign-in."""
    return f"sign in to {dialog.origin}" if isinstance(dialog, SignIn) else dialog.message


def describe(dialog: Dialog | SignIn) -> str:
    """Return the notice of a dialog: its message and how to answer it."""
    if isinstance(dialog, SignIn):
        rejected = "the user name and password were not accepted; " if dialog.is_repeated else ""
        return (
            f"{rejected}{quoted(dialog.origin)} asks for a user name and password in a dialog; enter them (Tab moves "
            "to the password) and choose Sign in (Enter), or choose Cancel (Escape)"
        )
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

    async def show(self, dialog: Dialog | SignIn, behind_png: bytes | None) -> None:
        """Draw the dialog over the last screenshot of its page, or over white if there is none."""
        if self._page is None or self._page.is_closed():
            context = await self._browser.new_context(
                viewport=self._size,  # type: ignore[arg-type]
                device_scale_factor=self._scale,
            )
            self._page = await context.new_page()
        await self._page.goto(HTML.as_uri())
        behind = base64.b64encode(behind_png).decode() if behind_png else None
        await self._page.evaluate("async (what) => { await ask(what); }", {**_content(dialog), "behind": behind})

    async def reply(self) -> DialogReply | None:
        """Return the reply, or None while there is none."""
        answer = await self.page.evaluate("window.answer")
        return None if answer is None else DialogReply(bool(answer["ok"]), str(answer["text"]), str(answer["secret"]))


def _content(dialog: Dialog | SignIn) -> dict[str, str | bool | None]:
    """Return the arguments of the page's ask()."""
    ok, cancel = button_labels(dialog)
    if isinstance(dialog, SignIn):
        rejected = "The user name and password were not accepted. " if dialog.is_repeated else ""
        message = f"{rejected}Enter a user name and a password."
        text: str | None = ""
        who = f"{dialog.origin} asks you to sign in"
    else:
        host = urlsplit(dialog.page.url).hostname if dialog.page else ""
        who = f"{host or 'This page'} {'says' if dialog.type == 'alert' else 'asks'}"
        message = "Leave this page? What was entered may be lost." if dialog.type == "beforeunload" else dialog.message
        text = dialog.default_value[:MAX_DRAWN_CHARS] if dialog.type == "prompt" else None
    return {
        "who": who,
        "words": message[:MAX_DRAWN_CHARS],
        "ok": ok,
        "cancel": cancel,
        "text": text,
        "secret": isinstance(dialog, SignIn),
    }
