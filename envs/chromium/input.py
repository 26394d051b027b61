"""Verbs on one page: the mouse and the keys of Playwright. Knows CSS pixels; knows nothing of screens or dialogs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from playwright.async_api import Page

from actions import Click, Drag, InvalidActionError, LongPress, Move, Point, PressKeys, Scroll, TypeText
from actions.keys import KEYS, to_platform_key

NOTCH_PX = 100  # CSS pixels of one turn of the wheel
DRAG_STEPS = 8  # moves between two points: pages follow a pointer, they do not guess
LONG_TEXT = 300  # characters: beyond it a text goes in at once, as if pasted; key by key it takes 3 ms each
CHORD_KEYS = ("ctrl", "alt", "meta")
PIECES = re.compile(r"\n|\t|[\x20-\x7e]+|[^\x20-\x7e\n\t]+")

CssPoint = tuple[float, float]


def duration_s(action: Any) -> float:
    """Seconds that an action takes by itself, on the quickest of pages: a bound on a call must leave room for them."""
    if isinstance(action, LongPress):
        return action.seconds
    if isinstance(action, TypeText):
        return 0.02 * len(action.text)
    if isinstance(action, Drag):
        return 0.2 * len(action.path)
    return 0.0


def check_keys(action: PressKeys) -> list[str]:
    """The chord in Playwright's spelling; BadCall, before anything is pressed, for one that no keyboard could press."""
    chord = any(key in CHORD_KEYS for key in action.keys) and "shift" not in action.keys
    spelled = []
    for key in action.keys:
        if key not in KEYS and not key.isascii() and len(action.keys) > 1:
            raise InvalidActionError(f"'{key}' cannot be pressed together with other keys; press it alone, or type it")
        # ctrl+A is the a key: with a capital the page would see shift too
        spelled.append(key.lower() if chord and len(key) == 1 else to_platform_key(key, "playwright"))
    return spelled


async def act(page: Page, action: Any, css: Callable[[Point], CssPoint], pointer: CssPoint) -> None:
    """Carry out a pointer or key verb; pointer is where the mouse was left. Raises Playwright's Error and BadCall."""
    match action:
        case Click():
            at = css(action.points()[0])
            async with _held(page, _modifiers(action.modifiers)):
                await page.mouse.click(*at, button=action.button, click_count=action.count)
        case Move():
            await page.mouse.move(*css(action.points()[0]))
        case LongPress():
            await page.mouse.move(*css(action.points()[0]))
            async with _pressed(page):
                await asyncio.sleep(action.seconds)
        case Drag():
            path = [css(point) for point in action.path]
            await _drag(page, path if len(path) > 1 else [pointer, *path], _modifiers(action.modifiers))
        case Scroll():
            points = action.points()
            await page.mouse.move(*(css(points[0]) if points else pointer))
            await page.mouse.wheel(action.right * NOTCH_PX, action.down * NOTCH_PX)
        case TypeText():
            await _type(page, action.text)
        case PressKeys():
            await _press(page, check_keys(action))
        case _:
            raise InvalidActionError(f"a page cannot '{action.verb}'")


def _modifiers(names: Sequence[str]) -> list[str]:
    return [to_platform_key(name, "playwright") for name in dict.fromkeys(names)]


@contextlib.asynccontextmanager
async def _held(page: Page, keys: Sequence[str]) -> AsyncIterator[None]:
    """Keys down for the time of the block, and up again in reverse whatever happens in it."""
    down: list[str] = []
    try:
        for key in keys:
            down.append(key)
            await page.keyboard.down(key)
        yield
    finally:
        for key in reversed(down):
            await page.keyboard.up(key)


@contextlib.asynccontextmanager
async def _pressed(page: Page) -> AsyncIterator[None]:
    try:
        await page.mouse.down()
        yield
    finally:
        await page.mouse.up()


async def _drag(page: Page, path: Sequence[CssPoint], modifiers: Sequence[str]) -> None:
    async with _held(page, modifiers):
        await page.mouse.move(*path[0])
        async with _pressed(page):
            for point in path[1:]:
                await page.mouse.move(*point, steps=DRAG_STEPS)


async def _type(page: Page, text: str) -> None:
    """Exactly the text: ASCII as key strokes, all else as inserted text, a new line as Enter, a tab as Tab.

    Every new line and tab is a stroke of its own, in long texts too: pages act on them.
    """
    for piece in PIECES.findall(text):
        if piece == "\n":
            await page.keyboard.press("Enter")
        elif piece == "\t":
            await page.keyboard.press("Tab")
        elif piece.isascii() and len(text) <= LONG_TEXT:
            await page.keyboard.type(piece)
        else:
            await page.keyboard.insert_text(piece)


async def _press(page: Page, keys: Sequence[str]) -> None:
    if len(keys) == 1 and len(keys[0]) == 1 and not keys[0].isascii():
        await page.keyboard.insert_text(keys[0])
        return
    async with _held(page, keys):
        pass
