"""Carry out the browser's own key chords: back, forward, reload, and those of tabs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import Page

from envs.chromium.navigation import go_forward, reload
from envs.chromium.shortcuts import LAST_TAB, Shortcut
from envs.chromium.tabs import Tabs


async def run_shortcut(
    tabs: Tabs, page: Page, shortcut: Shortcut, timeout_s: float, go_back: Callable[[], Awaitable[None]]
) -> str:
    """Carry out a shortcut and return its notice, "" if there is none.

    Args:
        tabs: The browser's tabs.
        page: The page that is shown.
        shortcut: The shortcut.
        timeout_s: Seconds after which a page that does not answer counts as hung.
        go_back: Goes back in the history or to the tab before, and adds its own notice.
    """
    match shortcut.command:
        case "back":
            await go_back()
            return ""
        case "forward":
            notice = await go_forward(page, await tabs.session(page), timeout_s)
            return "there is no page to go forward to" if notice is None else notice
        case "reload":
            return await reload(page, await tabs.session(page), timeout_s)
        case "close_tab" if len(tabs.pages) > 1:
            await tabs.close_shown()
            return "the tab was closed; the one before it is shown"
        case "close_tab":
            return "the only tab cannot be closed"
        case "cycle_tab":
            return await _select_tab(tabs, (tabs.order.index(page) + shortcut.number) % len(tabs.order))
        case "step_tab":
            return await _select_tab(tabs, min(max(tabs.order.index(page) + shortcut.number, 0), len(tabs.order) - 1))
        case "select_tab":
            is_last = shortcut.number == LAST_TAB
            return await _select_tab(tabs, len(tabs.order) - 1 if is_last else shortcut.number - 1)
        case _:
            return shortcut.notice


async def _select_tab(tabs: Tabs, index: int) -> str:
    order = tabs.order
    if index >= len(order):
        return f"there is no tab {index + 1}; {len(order)} open"
    if order[index] is tabs.shown:
        return f"tab {index + 1} of {len(order)} is shown already"
    await tabs.show(order[index])
    return f"tab {index + 1} of {len(order)} is shown"
