"""The phone's screen: Chromium pages as apps, a finger, and keys. Knows Playwright; knows no adb.

Every method runs in the event loop that started it. Points are pixels of the screen as it is rotated now.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.async_api import BrowserContext, CDPSession, Error, Page

from actions.keys import KEYS
from envs.chromium.launch import launch
from envs.miniwob import pages

PAGES = Path(__file__).parent / "pages"
PAGE_JS = Path(__file__).parents[2] / "chromium" / "page.js"
# What practice pages are given is for every file:; the phone's own pages scroll, and are none.
NOT_PRACTICE_JS = f"if (location.href.startsWith('{PAGES.as_uri()}/')) window.__pixelhandFonts = true;"
LONG_PRESS_S = 0.5  # ViewConfiguration.getLongPressTimeout()
LONG_PRESS_JS = """([x, y]) => (document.elementFromPoint(x, y) ?? document.documentElement).dispatchEvent(
    new PointerEvent('contextmenu', { bubbles: true, cancelable: true, composed: true, clientX: x, clientY: y,
                                      pointerType: 'touch' }))"""
MOVE_S = 0.012  # between two moves of a finger
MOVES = 8  # of a way, at least
LOAD_S = 15.0
PICTURE_S = 10.0
CLOSE_S = 10.0
Point = tuple[int, int]


@dataclass(frozen=True)
class App:
    """One app. secure: its window is FLAG_SECURE, so that no picture shows it."""

    label: str
    package: str
    page: str
    secure: bool = False

    @property
    def component(self) -> str:
        return f"{self.package}/.MainActivity"

    @property
    def url(self) -> str:
        return (PAGES / self.page).as_uri()


LAUNCHER = App("Home", "org.pixelhand.launcher", "launcher.html")
RECENTS = App("Recent apps", "org.pixelhand.recents", "recents.html")
PRACTICE = App("Practice", "org.pixelhand.practice", "")
APPS = (
    App("Settings", "org.pixelhand.settings", "settings.html"),
    App("Notes", "org.pixelhand.notes", "notes.html"),
    App("Browser", "org.pixelhand.browser", "browser.html"),
    App("Bank", "org.pixelhand.bank", "bank.html", secure=True),
)
BROWSER = APPS[2]
BY_PACKAGE = {app.package: app for app in (*APPS, LAUNCHER, RECENTS, PRACTICE)}
KEY_NAMES = {key.android: key.playwright for key in KEYS.values() if key.android and key.playwright} | {
    "KEYCODE_SHIFT_RIGHT": "Shift",
    "KEYCODE_CTRL_RIGHT": "Control",
    "KEYCODE_ALT_RIGHT": "Alt",
    **{f"KEYCODE_{letter.upper()}": letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"},
}


class PhoneScreen:
    """A phone's screen of width x height CSS pixels, times scale the pixels of its picture.

    told(what) hears what a page of the phone's own asks for: {"open": package} or {"set": key, "to": value}.
    """

    def __init__(self, told: Callable[[dict[str, str]], Awaitable[None]]) -> None:
        self._told = told
        self.width, self.height, self.scale = 0, 0, 1.0
        self.rotation = 0  # in quarter turns
        self.home = LAUNCHER
        self._pages: dict[str, Page] = {}
        self._sessions: dict[Page, CDPSession] = {}
        self.stack: list[App] = []  # open apps, the last one shown; none: home is shown
        self._browser: Any = None
        self._playwright: Any = None
        self._context: BrowserContext
        self._finger: tuple[float, float] | None = None
        self._last: Page | None = None  # brought to the front

    async def start(self, executable: str | None, headed: bool) -> None:
        self._playwright, self._browser = await launch(executable, headed)

    async def stop(self) -> None:
        if self._browser is not None:
            for close in (self._browser.close, self._playwright.stop):
                with contextlib.suppress(Error, TimeoutError):  # it may be gone already
                    await asyncio.wait_for(close(), CLOSE_S / 2)

    async def power_on(self, width: int, height: int, scale: float, home: App = LAUNCHER) -> None:
        """A fresh start with a screen of this size: every app is closed and has forgotten what it held."""
        if self._pages:
            await self._context.close()
        self.width, self.height, self.scale, self.rotation, self.home = width, height, scale, 0, home
        self._pages, self._sessions, self.stack, self._finger, self._last = {}, {}, [], None, None
        self._context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            has_touch=True,
            accept_downloads=False,
        )
        await self._context.add_init_script(path=PAGE_JS)
        await self._context.add_init_script(NOT_PRACTICE_JS)
        await self._context.add_init_script(pages.init_js())
        if home is LAUNCHER:
            await self._front()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture, in pixels of the screen as it is rotated now."""
        width, height = self._css_size()
        return int(width * self.scale), int(height * self.scale)

    @property
    def shown(self) -> App:
        return self.stack[-1] if self.stack else self.home

    async def picture(self) -> bytes:
        """PNG of what is shown."""
        page = await self._front()
        width, height = self._css_size()
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": self.scale}
        what = {"format": "png", "optimizeForSpeed": True, "clip": clip}
        shot = await asyncio.wait_for(self._sessions[page].send("Page.captureScreenshot", what), PICTURE_S)
        return base64.b64decode(shot["data"])

    async def rotate(self, quarter_turns: int) -> None:
        self.rotation = quarter_turns % 4
        width, height = self._css_size()
        for page in self._pages.values():
            await page.set_viewport_size({"width": width, "height": height})

    # apps

    async def open(self, app: App, url: str = "") -> None:
        """Bring an app to the front, as it was when it was left; with a url, at that address."""
        if app is self.home:
            await self.go_home()
            return
        if url and app.package in self._pages:
            await self._go(self._pages[app.package], url)
        elif url:
            await self._make(app, url)
        self.stack = [one for one in self.stack if one is not app] + [app]
        await self._front()

    async def go_home(self) -> None:
        """To the launcher; where a practice page is home, that page is loaded again."""
        if self.home is PRACTICE:
            await self._go(await self._front(), self._pages[PRACTICE.package].url)
        self.stack = []
        await self._front()

    async def go_back(self) -> None:
        """One step back in a browser's history, or out of the app. At home there is nothing behind."""
        app = self.shown
        if app is BROWSER:
            page = await self._front()
            history = await self._sessions[page].send("Page.getNavigationHistory")
            if history["currentIndex"] > 1 or (history["currentIndex"] == 1 and "about:" not in _first(history)):
                with contextlib.suppress(Error):  # a page that does not answer leaves the old one
                    await page.go_back(wait_until="commit", timeout=LOAD_S * 1000)
                return
        if self.stack:
            self.stack.pop()
        await self._front()

    async def stop_app(self, app: App) -> None:
        """End an app; it has forgotten what it held."""
        self.stack = [one for one in self.stack if one is not app]
        if page := self._pages.pop(app.package, None):
            self._sessions.pop(page, None)
            await page.close()
        await self._front()

    async def show_recents(self) -> None:
        """The list of open apps, the last used first."""
        apps = [one for one in self.stack if one is not RECENTS]
        if RECENTS.package in self._pages:
            await self.stop_app(RECENTS)
        await self.open(RECENTS)
        listed = json.dumps([{"label": one.label, "package": one.package} for one in reversed(apps)])
        await self._pages[RECENTS.package].evaluate(f"show({listed})")

    async def show_practice(self, task: str) -> None:
        """A practice page as the phone's home: a screen of the page's own size, the page loaded afresh."""
        page = pages.page(task)
        fits = (self.width, self.height, self.scale) == (page.width, page.height, page.scale)
        if self.home is not PRACTICE or not fits or self.rotation:
            await self.power_on(page.width, page.height, page.scale, PRACTICE)
        old = self._pages.pop(PRACTICE.package, None)
        self.stack = []
        await self._make(PRACTICE, page.url)
        await self._front()
        if old is not None:
            self._sessions.pop(old, None)
            await old.close()

    async def evaluate(self, js: str) -> Any:
        """The JSON value of an expression in the shown page, promises awaited."""
        return await (await self._front()).evaluate(js)

    async def has_text_field(self) -> bool:
        """Whether what is typed now would go into a text field."""
        return bool(
            await self.evaluate("Boolean(document.activeElement?.matches('input, textarea, [contenteditable]'))")
        )

    @property
    def url(self) -> str:
        page = self._pages.get(self.shown.package)
        return page.url if page else ""

    # fingers and keys

    async def touch(self, start: Point, end: Point, seconds: float, hold_s: float = 0.0) -> None:
        """Down, hold, evenly from point to point in the time given, up.

        By the clock, as Android's input does it: a page that answers slowly is sent fewer moves. It gets MOVES of them
        in any case, though the way then takes longer: how far a list is scrolled must not hang on the machine's load.
        """
        (x, y), (to_x, to_y) = start, end
        await self.finger_down(start)
        try:
            await asyncio.sleep(hold_s)
            if start == end and seconds >= LONG_PRESS_S:
                await asyncio.sleep(LONG_PRESS_S)
                await self._long_press(start)
                await asyncio.sleep(seconds - LONG_PRESS_S)
                return
            clock = asyncio.get_running_loop().time
            began, part, most = clock(), 0.0, 1.0 if start == end else 1 / MOVES
            while seconds > 0 and part < 1:
                await asyncio.sleep(max(min(MOVE_S, began + seconds - clock()), 0.0))
                part = min((clock() - began) / seconds, part + most, 1.0)
                await self.finger_move((round(x + (to_x - x) * part), round(y + (to_y - y) * part)))
        finally:
            await self.finger_up()

    async def finger_down(self, point: Point) -> None:
        await self._touch("touchStart", self._css(point))

    async def finger_move(self, point: Point) -> None:
        """Of a finger that is down and goes somewhere else; anything else is nothing."""
        at = self._css(point)
        if self._finger is not None and self._finger != at:
            await self._touch("touchMove", at)

    async def finger_up(self) -> None:
        if self._finger is not None:
            await self._touch("touchEnd", None)

    async def _long_press(self, point: Point) -> None:
        """What Android's web view makes of a finger that stays: a context menu is asked for, and no click follows.
        Chromium's own recognizer keeps to its desktop ways where touches come over its protocol."""
        x, y = self._css(point)
        page = await self._front()
        await page.evaluate(LONG_PRESS_JS, [x, y])
        await self._touch("touchCancel", None)

    async def _touch(self, kind: str, at: tuple[float, float] | None) -> None:
        page = await self._front()
        self._finger = at
        # Chromium takes what lies next to a broad finger for its target; Android's injected touch is a point.
        points = [] if at is None else [{"x": at[0], "y": at[1], "radiusX": 0.5, "radiusY": 0.5}]
        await self._sessions[page].send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    async def press(self, keys: Sequence[str]) -> None:
        """Keys by Android's names, all down and up again in reverse. KeyError for one that the page cannot have."""
        names = [KEY_NAMES[key] for key in keys]
        page = await self._front()
        down: list[str] = []
        try:
            for name in names:
                down.append(name)
                await page.keyboard.down(name)
        finally:
            for name in reversed(down):
                await page.keyboard.up(name)

    async def type(self, text: str) -> None:
        """Key strokes, one for each character."""
        await (await self._front()).keyboard.type(text)

    async def insert(self, text: str) -> None:
        """Text that a keyboard commits at once."""
        await (await self._front()).keyboard.insert_text(text)

    # inside

    def _css_size(self) -> tuple[int, int]:
        return (self.height, self.width) if self.rotation % 2 else (self.width, self.height)

    def _css(self, point: Point) -> tuple[float, float]:
        """The CSS pixel under the middle of a screen pixel, as the browser surface has it."""
        return float((point[0] + 0.5) // self.scale), float((point[1] + 0.5) // self.scale)

    async def _front(self) -> Page:
        app = self.shown
        page = self._pages.get(app.package)
        if page is None or page.is_closed():
            page = await self._make(app, app.url)
        session = self._sessions.get(page)
        if session is None:
            session = self._sessions[page] = await self._context.new_cdp_session(page)
        if self._last is not page:
            await page.bring_to_front()
            self._last = page
        return page

    async def _make(self, app: App, url: str) -> Page:
        page = await self._context.new_page()
        width, height = self._css_size()
        await page.set_viewport_size({"width": width, "height": height})
        page.on("popup", lambda popup: asyncio.ensure_future(popup.close()))  # this phone's browser has one tab
        if app.page and app is not BROWSER:
            await page.expose_binding("phone", lambda _, what: self._told(what))
        if url == BROWSER.url:
            folder = pages.page(pages.names()[0]).path.parent.as_uri()
            url += f"#{quote(folder)}|{','.join(pages.names())}"
        self._pages[app.package] = page
        await self._go(page, url)
        return page

    async def _go(self, page: Page, url: str) -> None:
        """As far as the address leads; what does not answer shows the browser's own page about it."""
        with contextlib.suppress(Error):
            await page.goto(url, wait_until="load", timeout=LOAD_S * 1000)


def _first(history: dict[str, Any]) -> str:
    return str(history["entries"][0]["url"])
