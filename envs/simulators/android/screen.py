"""The simulated phone's screen: apps that are Chromium pages, one finger, and keys.

Every method runs in the event loop that called start(). Points are pixels of the screen in its present rotation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from playwright.async_api import Browser, BrowserContext, CDPSession, Error, Page, Playwright

from actions.keys import KEYS
from envs.chromium.clock import HAS_CLOCK_JS, clock_commands, clock_script
from envs.chromium.input import set_field_value
from envs.chromium.launch import launch
from envs.chromium.page_scripts import drawing_script
from envs.miniwob import pages
from envs.network.proxy import NetworkProxy
from envs.network.rules import PUBLIC_HOSTS, NetworkRules
from envs.simulators.android.hierarchy import NODES_JS, UiNode

PAGES = Path(__file__).parent / "pages"
# The script of practice pages runs in every file: page; the phone's own pages must not get it, since they scroll.
NOT_PRACTICE_JS = f"if (location.href.startsWith('{PAGES.as_uri()}/')) window.__pixelhandFonts = true;"
LONG_PRESS_S = 0.5  # ViewConfiguration.getLongPressTimeout()
LONG_PRESS_JS = """([x, y]) => (document.elementFromPoint(x, y) ?? document.documentElement).dispatchEvent(
    new PointerEvent('contextmenu', { bubbles: true, cancelable: true, composed: true, clientX: x, clientY: y,
                                      pointerType: 'touch' }))"""
MOVE_S = 0.012  # between two moves of a finger
MIN_MOVES = 8  # of a swipe
LOAD_S = 15.0
SCREENSHOT_S = 10.0
CLOSE_S = 10.0
Point = tuple[int, int]


@dataclass(frozen=True)
class App:
    """An app whose window is a page."""

    label: str
    package: str
    page: str
    secure: bool = False  # FLAG_SECURE: screenshots of it are black

    @property
    def component(self) -> str:
        """The component of the app's activity."""
        return f"{self.package}/.MainActivity"

    @property
    def url(self) -> str:
        """The address of the app's page."""
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
    """A phone's screen."""

    def __init__(
        self, on_page_request: Callable[[dict[str, str]], Awaitable[None]], rules: NetworkRules = PUBLIC_HOSTS
    ) -> None:
        """Make a screen that is not started yet.

        Args:
            on_page_request: called with the requests of the phone's own pages, {"open": package} or
                {"set": key, "to": value}.
            rules: what its Chromium may connect to.
        """
        self._rules = rules
        self._proxy: NetworkProxy | None = None
        self._on_page_request = on_page_request
        self.width, self.height = 0, 0  # in CSS pixels
        self.scale = 1.0  # pixels per CSS pixel
        self.rotation = 0  # in quarter turns
        self.home = LAUNCHER
        self._pages: dict[str, Page] = {}
        self._sessions: dict[Page, CDPSession] = {}
        self.stack: list[App] = []  # open apps, the current one last; empty: home is shown
        self._browser: Browser | None = None
        self._playwright: Playwright | None = None
        self._context: BrowserContext
        self._finger: tuple[float, float] | None = None  # CSS position while it touches
        self._front: Page | None = None  # the page that was brought to the front last

    async def start(self, executable: str | None, headed: bool) -> None:
        """Start Chromium."""
        self._proxy = NetworkProxy(self._rules)
        self._playwright, self._browser = await launch(executable, headed, self._proxy)

    async def stop(self) -> None:
        """End Chromium."""
        if self._browser is not None and self._playwright is not None:
            for close in (self._browser.close, self._playwright.stop):
                with contextlib.suppress(Error, TimeoutError):  # it may have ended already
                    await asyncio.wait_for(close(), CLOSE_S / 2)
        if self._proxy is not None:
            self._proxy.close()

    async def power_on(self, width: int, height: int, scale: float, home: App = LAUNCHER) -> None:
        """Start with a screen of this size (CSS pixels); every app is closed and loses its state."""
        assert self._browser is not None
        if self._pages:
            await self._context.close()
        self.width, self.height, self.scale, self.rotation, self.home = width, height, scale, 0, home
        self._pages, self._sessions, self.stack, self._finger, self._front = {}, {}, [], None, None
        self._context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            has_touch=True,
            accept_downloads=False,
            service_workers="block",
        )
        await self._context.add_init_script(drawing_script())
        await self._context.add_init_script(NOT_PRACTICE_JS)
        await self._context.add_init_script(pages.init_js())
        if home is LAUNCHER:
            await self._front_page()

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of a screenshot, in pixels, in the present rotation."""
        width, height = self._css_size()
        return int(width * self.scale), int(height * self.scale)

    @property
    def current_app(self) -> App:
        """The app that is shown."""
        return self.stack[-1] if self.stack else self.home

    async def screenshot(self) -> bytes:
        """Return a PNG of the current app."""
        page = await self._front_page()
        width, height = self._css_size()
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": self.scale}
        options = {"format": "png", "optimizeForSpeed": True, "clip": clip}
        response = await asyncio.wait_for(self._sessions[page].send("Page.captureScreenshot", options), SCREENSHOT_S)
        return base64.b64decode(response["data"])

    async def rotate(self, quarter_turns: int) -> None:
        """Turn the screen to this rotation."""
        self.rotation = quarter_turns % 4
        width, height = self._css_size()
        for page in self._pages.values():
            await page.set_viewport_size({"width": width, "height": height})

    async def open(self, app: App, url: str = "") -> None:
        """Bring an app to the front in the state in which it was left; with a URL, at that address."""
        if app is self.home:
            await self.go_home()
            return
        if url and app.package in self._pages:
            await self._navigate(self._pages[app.package], url)
        elif url:
            await self._create_page(app, url)
        self.stack = [entry for entry in self.stack if entry is not app] + [app]
        await self._front_page()

    async def go_home(self) -> None:
        """Show the launcher, or load the practice page again if that is the home screen."""
        if self.home is PRACTICE:
            await self._navigate(await self._front_page(), self._pages[PRACTICE.package].url)
        self.stack = []
        await self._front_page()

    async def go_back(self) -> None:
        """Go back in the browser's history or leave the app; at home, do nothing."""
        app = self.current_app
        if app is BROWSER:
            page = await self._front_page()
            history = await self._sessions[page].send("Page.getNavigationHistory")
            if history["currentIndex"] > 1 or (history["currentIndex"] == 1 and "about:" not in _first_url(history)):
                with contextlib.suppress(Error):  # if the page does not load, the old one stays
                    await page.go_back(wait_until="commit", timeout=LOAD_S * 1000)
                return
        if self.stack:
            self.stack.pop()
        await self._front_page()

    async def stop_app(self, app: App) -> None:
        """End an app, which loses its state."""
        self.stack = [entry for entry in self.stack if entry is not app]
        if page := self._pages.pop(app.package, None):
            self._sessions.pop(page, None)
            await page.close()
        await self._front_page()

    async def show_recents(self) -> None:
        """Show the list of open apps, the last used one first."""
        apps = [entry for entry in self.stack if entry is not RECENTS]
        if RECENTS.package in self._pages:
            await self.stop_app(RECENTS)
        await self.open(RECENTS)
        listed = json.dumps([{"label": app.label, "package": app.package} for app in reversed(apps)])
        await self._pages[RECENTS.package].evaluate(f"show({listed})")

    async def show_practice(self, task: str) -> None:
        """Load a practice page as the home screen, and give the screen the page's size."""
        page = pages.page(task)
        has_size = (self.width, self.height, self.scale) == (page.width, page.height, page.scale)
        if self.home is not PRACTICE or not has_size or self.rotation:
            await self.power_on(page.width, page.height, page.scale, PRACTICE)
        old = self._pages.pop(PRACTICE.package, None)
        self.stack = []
        await self._create_page(PRACTICE, page.url)
        await self._front_page()
        if old is not None:
            self._sessions.pop(old, None)
            await old.close()

    async def evaluate(self, js: str) -> object:
        """Return the JSON value of an expression evaluated in the current app's page; promises are awaited."""
        return await (await self._front_page()).evaluate(js)

    async def advance(self, js: str) -> bool:
        """Evaluate an expression that advances the current page's clock; return whether the page has one."""
        page = await self._front_page()
        try:
            if not await page.evaluate(HAS_CLOCK_JS):
                return False
            await page.evaluate(js)
        except Error as error:
            if "context was destroyed" not in error.message:  # else the next document takes its place
                raise
        return True

    async def ui_nodes(self) -> list[UiNode]:
        """Return the visible elements of the current app."""
        return cast(list[UiNode], await self.evaluate(NODES_JS))

    async def has_text_field(self) -> bool:
        """Return whether a text field has the focus."""
        return bool(
            await self.evaluate("Boolean(document.activeElement?.matches('input, textarea, [contenteditable]'))")
        )

    @property
    def url(self) -> str:
        """The address of the current app's page."""
        page = self._pages.get(self.current_app.package)
        return page.url if page else ""

    async def touch(self, start: Point, end: Point, seconds: float, hold_s: float = 0.0) -> None:
        """Touch, hold, move evenly to another point in the given time, and lift the finger.

        Moves follow the clock, as in Android's `input`: a page that answers slowly gets fewer of them. It gets at least
        MIN_MOVES, even if that takes longer, so that the distance that a list scrolls does not depend on the load.
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
            started_at, part, max_step = clock(), 0.0, 1.0 if start == end else 1 / MIN_MOVES
            while seconds > 0 and part < 1:
                await asyncio.sleep(max(min(MOVE_S, started_at + seconds - clock()), 0.0))
                part = min((clock() - started_at) / seconds, part + max_step, 1.0)
                await self.finger_move((round(x + (to_x - x) * part), round(y + (to_y - y) * part)))
        finally:
            await self.finger_up()

    async def finger_down(self, point: Point) -> None:
        """Touch the screen."""
        await self._send_touch("touchStart", self._css(point))

    async def finger_move(self, point: Point) -> None:
        """Move the finger; do nothing if it does not touch the screen or is there already."""
        position = self._css(point)
        if self._finger is not None and self._finger != position:
            await self._send_touch("touchMove", position)

    async def finger_up(self) -> None:
        """Lift the finger."""
        if self._finger is not None:
            await self._send_touch("touchEnd", None)

    async def _long_press(self, point: Point) -> None:
        """Open a context menu without a click, as Android's web view does.

        Chromium's own gesture recognizer behaves as on a desktop if touches arrive over its protocol.
        """
        x, y = self._css(point)
        page = await self._front_page()
        await page.evaluate(LONG_PRESS_JS, [x, y])
        await self._send_touch("touchCancel", None)

    async def _send_touch(self, kind: str, position: tuple[float, float] | None) -> None:
        page = await self._front_page()
        self._finger = position
        # With a wide finger Chromium may choose a target beside it; Android's injected touch is a point.
        points = [] if position is None else [{"x": position[0], "y": position[1], "radiusX": 0.5, "radiusY": 0.5}]
        await self._sessions[page].send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    async def press(self, keys: Sequence[str]) -> None:
        """Press keys by Android's names in order and release them in reverse; KeyError for one without a web key."""
        names = [KEY_NAMES[key] for key in keys]
        page = await self._front_page()
        pressed: list[str] = []
        try:
            for name in names:
                pressed.append(name)
                await page.keyboard.down(name)
        finally:
            for name in reversed(pressed):
                await page.keyboard.up(name)

    async def type(self, text: str) -> None:
        """Type a text key by key."""
        page = await self._front_page()
        await page.keyboard.type(await set_field_value(page, text))

    async def insert(self, text: str) -> None:
        """Insert a text at once, as an input method commits it."""
        page = await self._front_page()
        await page.keyboard.insert_text(await set_field_value(page, text))

    def _css_size(self) -> tuple[int, int]:
        return (self.height, self.width) if self.rotation % 2 else (self.width, self.height)

    def _css(self, point: Point) -> tuple[float, float]:
        """Return the CSS pixel under the middle of a screen pixel, as the browser surface does."""
        return float((point[0] + 0.5) // self.scale), float((point[1] + 0.5) // self.scale)

    async def _front_page(self) -> Page:
        app = self.current_app
        page = self._pages.get(app.package)
        if page is None or page.is_closed():
            page = await self._create_page(app, app.url)
        session = self._sessions.get(page)
        if session is None:
            session = self._sessions[page] = await self._context.new_cdp_session(page)
        if self._front is not page:
            await page.bring_to_front()
            self._front = page
        return page

    async def _create_page(self, app: App, url: str) -> Page:
        page = await self._context.new_page()
        width, height = self._css_size()
        await page.set_viewport_size({"width": width, "height": height})
        page.on("popup", lambda popup: asyncio.ensure_future(popup.close()))  # the phone's browser has one tab
        if app.page and app is not BROWSER:
            await page.expose_binding("phone", lambda _, request: self._on_page_request(request))
        if url == BROWSER.url:
            folder = pages.page(pages.names()[0]).path.parent.as_uri()
            url += f"#{quote(folder)}|{','.join(pages.names())}"
        self._pages[app.package] = page
        if app is PRACTICE:
            await page.add_init_script(clock_script())
            session = self._sessions[page] = await self._context.new_cdp_session(page)
            for method, parameters in clock_commands(is_practice=True):
                await session.send(method, parameters)
        await self._navigate(page, url)
        return page

    async def _navigate(self, page: Page, url: str) -> None:
        """Open an address; on failure the browser shows its error page."""
        with contextlib.suppress(Error):
            await page.goto(url, wait_until="load", timeout=LOAD_S * 1000)


def _first_url(history: Mapping[str, Any]) -> str:
    return str(history["entries"][0]["url"])
