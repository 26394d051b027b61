"""Keyboard shortcuts of a browser window: those that are carried out, and a notice for those that are not.

Keys sent through the DevTools protocol reach the page and not the browser around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from playwright.async_api import Error, Frame, Page

Command = Literal["", "back", "forward", "reload", "close_tab", "select_tab", "step_tab", "cycle_tab"]
MODIFIERS = ("ctrl", "alt", "shift", "meta")
LAST_TAB = 9  # ctrl+9 selects the last tab, however many there are
FRAME_TIMEOUT_S = 1.0
_WATCH_JS = """(type) => {
    const key = Symbol.for('pixelhand.event'), state = window[key] = { event: null };
    state.listener = event => { state.event = event };
    addEventListener(type, state.listener, true);
}"""
_UNWATCH_JS = """(type) => {
    const key = Symbol.for('pixelhand.event'), state = window[key];
    if (!state) return false;
    removeEventListener(type, state.listener, true);
    delete window[key];
    return state.event !== null && state.event.defaultPrevented;
}"""


@dataclass(frozen=True)
class Shortcut:
    """What a chord does in a browser.

    Args:
        command: What to do, "" for a shortcut that is not available.
        number: Of the tab to select, from 1; or the step from the shown tab, 1 to the right and -1 to the left.
        notice: The notice if the shortcut is not available.
        is_reserved: The browser handles it before the page does.
    """

    command: Command = ""
    number: int = 0
    notice: str = ""
    is_reserved: bool = False


NO_CONTEXT_MENU = "the browser's context menu is not available"
_NO_ADDRESS_BAR = Shortcut(notice="the browser shows no address bar; use open with an address")
_NO_NEW_TAB = Shortcut(notice="keys open no new tab or window; use open with an address", is_reserved=True)
_NO_SEARCH_BAR = Shortcut(notice="the browser has no search bar; scroll to find text in the page")
_NO_ZOOM = Shortcut(notice="the browser cannot zoom the page")
_NO_TOOLS = Shortcut(notice="the browser's developer tools are not available")
_NO_LISTS = Shortcut(notice="the browser's history, downloads and bookmarks are not available")
SHORTCUTS: dict[str, Shortcut] = {
    "alt+left": Shortcut("back"),
    "alt+right": Shortcut("forward"),
    **dict.fromkeys(("f5", "ctrl+r", "ctrl+f5", "ctrl+shift+r"), Shortcut("reload")),
    "ctrl+tab": Shortcut("cycle_tab", 1, is_reserved=True),
    "ctrl+shift+tab": Shortcut("cycle_tab", -1, is_reserved=True),
    "ctrl+pagedown": Shortcut("step_tab", 1, is_reserved=True),  # stops at the ends of the tab strip
    "ctrl+pageup": Shortcut("step_tab", -1, is_reserved=True),
    **dict.fromkeys(("ctrl+w", "ctrl+f4"), Shortcut("close_tab", is_reserved=True)),
    **{f"ctrl+{number}": Shortcut("select_tab", number) for number in range(1, LAST_TAB + 1)},
    **dict.fromkeys(("ctrl+l", "alt+d", "f6"), _NO_ADDRESS_BAR),
    **dict.fromkeys(("ctrl+t", "ctrl+n", "ctrl+shift+n"), _NO_NEW_TAB),
    **dict.fromkeys(("ctrl+f", "ctrl+g", "f3"), _NO_SEARCH_BAR),
    **dict.fromkeys(("ctrl++", "ctrl+=", "ctrl+-", "ctrl+0", "ctrl+shift++", "ctrl+shift+="), _NO_ZOOM),
    **dict.fromkeys(("f12", "ctrl+shift+i", "ctrl+u"), _NO_TOOLS),
    **dict.fromkeys(("ctrl+h", "ctrl+j", "ctrl+d", "ctrl+shift+t"), _NO_LISTS),
    "ctrl+p": Shortcut(notice="the browser cannot print"),
    "ctrl+s": Shortcut(notice="the browser cannot save the page"),
    "ctrl+o": Shortcut(notice="the browser cannot open files"),
    "f11": Shortcut(notice="the browser has no full screen"),
}


def find_shortcut(keys: Sequence[str]) -> Shortcut | None:
    """Return what a chord of normalized keys does in a browser, None if it is left to the page."""
    modifiers = [modifier for modifier in MODIFIERS if modifier in keys]
    others = [key.lower() for key in keys if key not in MODIFIERS]
    return SHORTCUTS.get("+".join([*modifiers, *others])) if len(others) == 1 else None


async def is_handled_by_page(page: Page, act: Callable[[], Awaitable[None]], event: str) -> bool:
    """Act and return whether the page prevented the browser's default action for this event type."""
    await asyncio.gather(*(_evaluate(frame, _WATCH_JS, event) for frame in page.frames))
    await act()
    results = await asyncio.gather(*(_evaluate(frame, _UNWATCH_JS, event) for frame in page.frames))
    return any(result is True for result in results)


async def _evaluate(frame: Frame, js: str, argument: str) -> object:
    """Evaluate in a frame; None if it navigates, is gone, or does not answer in time."""
    try:
        return await asyncio.wait_for(frame.evaluate(js, argument), FRAME_TIMEOUT_S)
    except (Error, TimeoutError):
        return None
