"""Requests of pages that the browser asks a person about in windows of its own: refused, and said in a notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from playwright.async_api import BrowserContext, Error, Page

from envs.chromium.input import CssPoint

BINDING = "pixelhandNativeRequest"  # the script removes it before the page's own scripts run
REFUSALS = {
    "camera": "the page asked for the camera or the microphone, which was refused",
    "clipboard": "the page asked to read the clipboard, which was refused; paste with the keyboard",
    "color": "the page asked for a colour from the screen, which was refused; choose one in the page",
    "device": "the page asked for a device (USB, serial, Bluetooth, MIDI), which was refused",
    "files": "the page asks for a file; files cannot be given here",
    "fonts": "the page asked for the list of fonts, which was refused",
    "idle": "the page asked to know when the person is away, which was refused",
    "location": "the page asked for the location, which was refused; enter it in the page",
    "notifications": "the page asked to show notifications, which was refused",
    "passkey": "the page asked for a passkey or an account of another site, which was refused; sign in another way",
    "payment": "the page asked to pay through the browser, which was refused; choose another way to pay",
    "pointer": "the page asked to lock the pointer, which was refused",
    "print": "the page asked to print, which is not possible here",
    "program": "the link belongs to another program (as mail or telephone do) and was not opened",
    "screen": "the page asked to share the screen, which was refused",
    "screens": "the page asked for the list of screens, which was refused",
    "share": "the page asked to share through another program, which was refused",
    "window": "the page asked for a small window of its own, which was refused",
}
_TOOLTIP_JS = """([x, y]) => {
    let node = document.elementFromPoint(x, y);
    while (node?.shadowRoot) {
        const inner = node.shadowRoot.elementFromPoint(x, y);
        if (!inner || inner === node) break;
        node = inner;
    }
    for (; node; node = node.parentElement ?? node.getRootNode().host) {
        const text = node.getAttribute('title') ?? node.querySelector(':scope > title')?.textContent;
        if (text !== null && text !== undefined) return text.trim();
    }
    return '';
}"""


async def report_requests(context: BrowserContext, add_notice: Callable[[str], None]) -> None:
    """Call `add_notice` for each request that the script of the pages refuses; call it before that script is added."""

    def report(source: Mapping[str, Any], kind: object) -> None:
        if notice := REFUSALS.get(str(kind)):
            add_notice(notice)

    await context.expose_binding(BINDING, report)


async def tooltip_notice(page: Page, point: CssPoint) -> str:
    """Return a notice of the tooltip under a point, CSS pixels; "" if there is none.

    The browser draws tooltips in windows of their own, which no screenshot of the page shows.
    """
    try:
        text = await page.main_frame.evaluate(_TOOLTIP_JS, list(point))
    except Error:  # the page navigates
        return ""
    return f"the tooltip reads {text[:200]!r}" if text else ""
