"""Targets of the browser: the visible elements of the shown page, in pixels of its screenshots."""

from __future__ import annotations

from actions.targets import ScreenTarget
from envs.chromium.session import BrowserSession


async def read_targets(session: BrowserSession) -> tuple[ScreenTarget, ...] | None:
    """Return the visible elements of the shown page; None where no script runs in it, or it does not answer."""
    page, scale = session.scriptable_page, session.scale
    if page is None:
        return None
    records = await session.facts_reader.targets(page, await session.tabs.session(page))
    if records is None:
        return None
    elements = []
    for record in records:
        left, top, width, height = (value * scale for value in record["box"])
        area = (round(left), round(top), max(1, round(width)), max(1, round(height)))
        elements.append(ScreenTarget(record["role"], record["label"], record["field"], record["value"], area))
    return tuple(elements)
