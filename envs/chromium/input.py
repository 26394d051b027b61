"""Pointer and keyboard actions on one page, through Playwright, in CSS pixels."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from playwright.async_api import Error, Page

from actions import Action, Click, Drag, InvalidActionError, LongPress, Move, Point, PressKeys, Scroll, TypeText
from actions.keys import KEYS, to_platform_key
from envs.chromium.typed_text import focused_frame

NOTCH_PX = 100  # CSS pixels of one notch of the wheel
DRAG_STEPS = 8  # pointer moves between two points of a drag: pages react to moves
LONG_TEXT = 300  # characters: a longer text is inserted at once, as if pasted; key by key each takes 3 ms
CHORD_KEYS = ("ctrl", "alt", "meta")
FIELD_VALUE = re.compile(  # as a date, month, week, time, date and time, or color
    r"(?:\d{4}-\d\d(?:-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)?|\d{4}-W\d\d|\d\d:\d\d(?::\d\d)?|#[\da-fA-F]{6})(?=[\n\t]|$)"
)
_TYPE_VALUE_JS = "text => window[Symbol.for('pixelhand.typeValue')]?.(text) ?? false"  # of pickers.js
TEXT_RUNS = re.compile(r"\n|\t|[\x20-\x7e]+|[^\x20-\x7e\n\t]+")

CssPoint = tuple[float, float]


def duration_s(action: Action) -> float:
    """Return the seconds an action takes on the fastest page, to be added to a call's time limit."""
    if isinstance(action, LongPress):
        return action.seconds
    if isinstance(action, TypeText):
        return 0.02 * len(action.text)
    if isinstance(action, Drag):
        return 0.2 * len(action.path)
    return 0.0


def check_keys(action: PressKeys) -> list[str]:
    """Return the keys in Playwright's spelling.

    Raises:
        InvalidActionError: No keyboard could press them together; nothing was pressed.
    """
    is_chord = any(key in CHORD_KEYS for key in action.keys) and "shift" not in action.keys
    names = []
    for key in action.keys:
        if key not in KEYS and not key.isascii() and len(action.keys) > 1:
            raise InvalidActionError(f"'{key}' cannot be pressed together with other keys; press it alone, or type it")
        # ctrl+A is the a key: with a capital letter the page would see shift too.
        names.append(key.lower() if is_chord and len(key) == 1 else to_platform_key(key, "playwright"))
    return names


async def act(
    page: Page,
    action: Action,
    css: Callable[[Point], CssPoint],
    pointer: CssPoint,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Perform a pointer or keyboard action.

    Args:
        page: The page.
        action: The action.
        css: Converts a point of the screen to CSS pixels.
        pointer: Where the pointer was left.
        pause: Lets seconds of the page's time pass.

    Raises:
        InvalidActionError: A page cannot perform this action.
        playwright.async_api.Error: The page went away.
    """
    match action:
        case Click():
            point = css(action.points()[0])
            async with _keys_down(page, _modifiers(action.modifiers)):
                await page.mouse.click(*point, button=action.button, click_count=action.count)
        case Move():
            await page.mouse.move(*css(action.points()[0]))
        case LongPress():
            await page.mouse.move(*css(action.points()[0]))
            async with _button_down(page):
                await pause(action.seconds)
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
async def _keys_down(page: Page, keys: Sequence[str]) -> AsyncIterator[None]:
    """Hold keys in the block and release them in reverse order, whatever happens in it."""
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
async def _button_down(page: Page) -> AsyncIterator[None]:
    """Hold the left mouse button in the block."""
    try:
        await page.mouse.down()
        yield
    finally:
        await page.mouse.up()


async def _drag(page: Page, path: Sequence[CssPoint], modifiers: Sequence[str]) -> None:
    async with _keys_down(page, modifiers):
        await page.mouse.move(*path[0])
        async with _button_down(page):
            for point in path[1:]:
                await page.mouse.move(*point, steps=DRAG_STEPS)


async def _type(page: Page, text: str) -> None:
    r"""Type exactly `text`: ASCII as key strokes, other characters as inserted text, "\n" as Enter and "\t" as Tab.

    Each "\n" and "\t" is a stroke of its own in long texts too: pages act on them.
    """
    text = await set_field_value(page, text)
    for run in TEXT_RUNS.findall(text):
        if run == "\n":
            await page.keyboard.press("Enter")
        elif run == "\t":
            await page.keyboard.press("Tab")
        elif run.isascii() and len(text) <= LONG_TEXT:
            await page.keyboard.type(run)
        else:
            await page.keyboard.insert_text(run)


async def set_field_value(page: Page, text: str) -> str:
    """Give a focused date, time or color field the value that text begins with in HTML's form; return what is left."""
    typed = FIELD_VALUE.match(text)
    return text[typed.end() :] if typed and await _set_field(page, typed[0]) else text


async def _set_field(page: Page, text: str) -> bool:
    """Give the focused field a value in HTML's form if it is a date, time or color field; return whether it is."""
    try:
        frame = await focused_frame(page)
        return await frame.evaluate(_TYPE_VALUE_JS, text) is True
    except Error:  # the page navigates
        return False


async def _press(page: Page, keys: Sequence[str]) -> None:
    if len(keys) == 1 and len(keys[0]) == 1 and not keys[0].isascii():
        await page.keyboard.insert_text(keys[0])
        return
    async with _keys_down(page, keys):
        pass
