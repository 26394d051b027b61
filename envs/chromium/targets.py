"""Targets of the browser: the visible elements of the shown page, in pixels of its screenshots."""

from __future__ import annotations

from actions.targets import ScreenTarget
from envs.chromium.facts import FactsReader
from envs.chromium.tabs import Tabs


async def read_targets(tabs: Tabs, facts: FactsReader, scale: float) -> tuple[ScreenTarget, ...] | None:
    """Return the visible elements of the shown page; None where a dialog is open or the page does not answer.

    Args:
        tabs: The tabs.
        facts: Reads the page in an isolated world.
        scale: Screen pixels per CSS pixel.
    """
    page = tabs.shown
    if page is None or tabs.dialogs:
        return None
    records = await facts.targets(page, await tabs.session(page))
    if records is None:
        return None
    elements = []
    for record in records:
        left, top, width, height = (value * scale for value in record["box"])
        area = (round(left), round(top), max(1, round(width)), max(1, round(height)))
        elements.append(ScreenTarget(record["role"], record["label"], record["field"], record["value"], area))
    return tuple(elements)
