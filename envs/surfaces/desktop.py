"""A desktop's picture, pointer and keys: the person's own, one of its windows, or a virtual one. Knows no goal.

Screen pixels are logical pixels of the chosen part. Every call from outside runs in one thread and is bounded in time.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import numpy as np

from actions import Drag, Error, InvalidActionError, Screen, Scroll, SurfaceError, SurfaceTimeout, UsageError, Wait
from envs.chromium.address import person_address
from envs.desktop.backend import X11Backend, open_machine, windows_of
from envs.desktop.geometry import Box, Monitor, Viewport, select_monitor
from envs.desktop.input import VERBS, ActionInterruptedError, act, own_time_s
from envs.desktop.x11.windows import Window, visible_box
from envs.loop_thread import LoopThread
from envs.miniwob import pages
from envs.options import SurfaceOptions

T = TypeVar("T")
VIRTUAL = "virtual"
CALL_S = 15.0
START_S = 120.0
CLOSE_S = 15.0
BLACK_S = 1.0  # a display that wakes up is black for a moment
RAISE_S = 0.1  # for a window to be drawn above the others
GREY = 128  # in place of what belongs to other programs
BLACK = (
    "the screen came back all black: it is locked or asleep, or this program may not record it "
    "(macOS: System Settings, Privacy & Security, Screen Recording); wake it, and start again"
)


class Surface:
    """One Screen of a desktop. SurfaceError when the machine fails, UsageError when it cannot start.

    where: "" for the primary monitor, "monitor:N", or "virtual". window: only the window of this title is seen and
    acted in. url, program, width, height: of a virtual desktop. scale: points of the pointer per pixel of Screen, as
    measured where it is None. display: of X11, DISPLAY where it is None.
    """

    name = "desktop"

    def __init__(
        self,
        where: str = "",
        *,
        window: str = "",
        url: str = "",
        program: str = "",
        width: int = 1288,
        height: int = 728,
        scale: float | None = None,
        display: str | None = None,
    ) -> None:
        if where == VIRTUAL and window:
            raise UsageError("a window of a virtual desktop is not to be chosen; it has nothing but what it opens")
        if where != VIRTUAL and (url or program):
            raise UsageError("only a virtual desktop opens an address or a program: --on desktop:virtual")
        self._where, self._title, self._scale = where, window, scale
        self.is_user_owned = where != VIRTUAL
        self._machine: Any = None
        self._virtual: Any = None
        self._window: Window | None = None
        self._box: Box
        self._points = 1.0
        self._monitors: list[Monitor] = []
        self._seen: Viewport | None = None  # what the last captured Screen showed
        self._news: list[str] = []
        self._stuck = ""
        self._closed = False
        self._thread = LoopThread("pixelhand-desktop")
        atexit.register(self.close)
        address = person_address(url) if url else ""
        try:
            self._call(lambda: self._open(display, address, program, width, height), START_S, "opening the desktop")
        except BaseException:
            self.close()
            raise

    # the contract of a surface

    def verbs(self) -> frozenset[str]:
        """What a mouse and a keyboard can do."""
        return VERBS

    def capture(self) -> Screen:
        """The monitor, the window or the virtual desktop as it is now."""
        return Screen(self._call(self._capture, CALL_S, "a picture of the screen"))

    def perform(self, action: Any) -> str:
        """Carry out one action. BadCall: nothing was done; a note may say so, too, when the window has changed."""
        own_s = action.seconds if isinstance(action, Wait) else own_time_s(action)
        return self._call(lambda: self._perform(action), CALL_S + own_s, f"'{action.verb}'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the display; end what was started. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        try:
            self._call(self._shut, CLOSE_S, "closing the desktop")
        except SurfaceError:
            if self._virtual:
                self._virtual.close()  # its thread is stuck, as with a server that hangs: end that from here
        self._closed = True
        self._thread.stop()

    # beyond it

    def pop_notices(self) -> str:
        """What happened since perform() returned: a closed program, a covered window; "" if nothing."""
        news, self._news = "; ".join(dict.fromkeys(self._news)), []
        return news

    def busy(self) -> bool:
        """Whether a practice page has yet to draw what it is: a picture of X11 shows what was drawn, no more."""
        there = self._virtual
        return bool(there and there.page and there.devtools and not there.check() and not there.devtools.painted())

    def pointer(self) -> tuple[int, int]:
        """Where the pointer is, in pixels of the last Screen; outside it where it is elsewhere."""
        x, y = self._call(self._machine.hands.pointer, CALL_S, "reading the pointer")
        view = self._seen or self._call(self._view, CALL_S, "reading where the screen is")
        return (x - view.box.left) * view.width // view.box.width, (y - view.box.top) * view.height // view.box.height

    def keep_focus(self) -> Callable[[], bool]:
        """A function that gives the keyboard back to the window that has it now, and says whether it has it again."""
        windows = self._machine.windows
        number = self._call(windows.active, CALL_S, "reading the focus") if windows else 0

        def give_back() -> bool:
            if not windows:
                return True  # whose windows cannot be told apart
            back = (lambda: windows.give_focus(number)) if number else (lambda: windows.active() == 0)
            return self._call(back, CALL_S, "giving the focus back")

        return give_back

    @property
    def monitors(self) -> list[Monitor]:
        """Those of this display, as measured at the start."""
        return list(self._monitors)

    # of a virtual desktop with Chromium, for a task that sets up and judges, never for a model

    @property
    def url(self) -> str:
        """The address of Chromium's page."""
        return self._devtools().url

    @property
    def asking(self) -> bool:
        """Whether a dialog of the page waits for its answer."""
        return self._devtools().asking

    def goto(self, url: str) -> None:
        """Start afresh at an address, the pointer out of the way."""
        devtools, address = self._devtools(), person_address(url)
        if pages.is_miniwob_address(address):
            page = pages.page(pages.task_name(address))
            if self._virtual is None or self._virtual.page is None:
                raise UsageError(f"this desktop has no practice screen; open desktop:virtual with {address}")
            address = page.url
        self._call(lambda: self._machine.hands.move(0, 0), CALL_S, "moving the pointer")
        devtools.goto(address)

    def evaluate(self, js: str) -> Any:
        """The JSON value of an expression in Chromium's page."""
        return self._devtools().evaluate(js)

    # inside

    def _call(self, work: Callable[[], T], timeout_s: float, what: str) -> T:
        if self._closed:
            raise SurfaceError(f"{what} is not possible: the desktop surface is closed")
        if self._stuck:
            raise SurfaceError(f"{what} is not possible: {self._stuck}")

        async def run() -> T:
            return work()

        try:
            return self._thread.call(run(), timeout_s, what)
        except SurfaceTimeout:
            self._stuck = "the display stopped answering; start the run again"
            raise
        except SurfaceError:
            if why := self._dead():
                raise SurfaceError(why) from None
            raise
        except Exception as error:
            if isinstance(error, Error) or not (self._machine and self._machine.failed(error)):
                raise
            raise SurfaceError(self._dead() or f"{what} failed: {_told(error)}; start the run again") from None

    def _dead(self) -> str:
        """The first process of the virtual desktop that ended says more than what its end did to others."""
        try:
            if self._virtual:
                time.sleep(0.1)
                self._virtual.check()
        except SurfaceError as error:
            return str(error)
        return ""

    def _open(self, display: str | None, address: str, program: str, width: int, height: int) -> None:
        if self._where == VIRTUAL:
            from envs.desktop.virtual_display import VirtualDesktop

            self._virtual = VirtualDesktop(address, program, width, height)
            there = self._virtual
            self._machine = X11Backend(there.display, there.environ, there.authority, there.keeper)
            if there.page and there.devtools:
                there.devtools.goto(there.page.url)
                self._machine.hands.move(0, 0)
            elif there.devtools and address and not address.startswith("about:"):
                there.devtools.await_first()
        else:
            self._machine = open_machine(display)
        self._monitors = self._machine.monitors()
        monitor = select_monitor(self._monitors, "" if self._where == VIRTUAL else self._where)
        if self._title:
            if self._where:
                raise UsageError("a window is found on whichever monitor it is; name a monitor or a window, not both")
            self._window = windows_of(self._machine).find(self._title)
            self._machine.windows.bring_front(self._window.id)
        else:
            self._box = monitor.box
        self._points = monitor.scale if self._scale is None else self._scale

    def _shut(self) -> None:
        try:
            if self._machine:
                with self._machine.ending():
                    self._machine.let_go()
                self._machine.close()
        finally:
            if self._virtual:
                self._virtual.close()

    def _view(self) -> Viewport:
        """The part that is shown, where it is now."""
        if self._window is None:
            return Viewport.of(self._box, self._points)
        return Viewport.of(visible_box(self._machine.windows, self._window), self._points)

    def _check(self) -> None:
        if self._virtual and (note := self._virtual.check()):
            self._news.append(note)

    def _capture(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        self._check()
        view = self._view()
        camera = self._machine.camera
        if self._window is not None:
            pixels = self._window_picture(self._window, view)
        else:
            pixels = camera.picture(view.box, view.width, view.height)
            if self._virtual is None and _is_black(pixels):
                pixels = self._waken(view)
        self._seen = view
        return pixels

    def _waken(self, view: Viewport) -> np.ndarray[Any, np.dtype[np.uint8]]:
        end = time.monotonic() + BLACK_S
        while time.monotonic() < end:
            time.sleep(0.1)
            pixels = self._machine.camera.picture(view.box, view.width, view.height)
            if not _is_black(pixels):
                return pixels
        raise SurfaceError(BLACK)

    def _window_picture(self, window: Window, view: Viewport) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The window alone: what lies over it or off the screen is grey."""
        windows, camera, box = self._machine.windows, self._machine.camera, view.box
        shown = box.intersection(windows.screen())
        if not shown.width or not shown.height:
            raise SurfaceError(f"the window '{window.title}' lies outside of the screen; move it back")
        covers = windows.covers(window.id, shown)
        if covers and windows.bring_front(window.id):
            covers = windows.covers(window.id, shown)
        pixels = np.full((box.height, box.width, 3), GREY, np.uint8)
        _part(pixels, box, shown)[:] = camera.picture(shown, shown.width, shown.height)
        for cover in covers:
            _part(pixels, box, cover)[:] = GREY
        if covers:
            self._news.append("another program lies over a part of the window, which is shown grey")
        return camera.sized(pixels, view.width, view.height)

    def _perform(self, action: Any) -> str:
        if action.verb not in VERBS:
            raise InvalidActionError(f"the desktop surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        self._check()
        if isinstance(action, Wait):
            time.sleep(action.seconds)
            return self.pop_notices()
        view = self._view()
        if self._seen is not None and (view.width, view.height) != (self._seen.width, self._seen.height):
            self._news.append(f"the window changed its size before '{action.verb}', which was not done; look again")
            return self.pop_notices()
        hands = self._machine.hands
        points = [view.point(*point) for point in action.points()]
        starts_at_pointer = (isinstance(action, Drag) and len(points) == 1) or (
            isinstance(action, Scroll) and not points
        )
        if starts_at_pointer:
            points = [hands.pointer(), *points]
            if not view.box.contains(*points[0]):
                raise InvalidActionError(
                    f"the pointer is not on this screen; give '{action.verb}' the point where it begins"
                )
        if self._window is not None and (why := self._unreachable(self._window, points)):
            self._news.append(f"{why}: '{action.verb}' was not done")
            return self.pop_notices()
        try:
            act(hands, action, lambda point: view.point(*point))
        except ActionInterruptedError as broke:
            self._news.append(f"{broke}; look again")
        except BaseException:
            with self._machine.ending():
                self._machine.let_go()
            raise
        self._check()
        return self.pop_notices()

    def _unreachable(self, window: Window, points: list[tuple[int, int]]) -> str:
        """Why an action would meet another program than the window's; "" when it would not."""
        windows, number = self._machine.windows, window.id
        if not points:
            return "" if windows.bring_front(number) else "the window does not take the keyboard"
        screen = windows.screen()
        if not all(screen.holds(x, y) for x, y in points):
            return "that part of the window is off the screen"
        for again in (False, True):
            missed = [(x, y) for x, y in points if not windows.at(number, x, y)]
            if not missed or again or not windows.bring_front(number):
                break
            time.sleep(RAISE_S)
        return "another program lies over that point of the window" if missed else ""

    def _devtools(self) -> Any:
        if self._closed:
            raise SurfaceError("the desktop surface is closed")
        if self._virtual is None or self._virtual.devtools is None:
            raise UsageError("only a virtual desktop with Chromium has a page: --on desktop:virtual with an address")
        return self._virtual.devtools


def open_surface(opening: SurfaceOptions) -> Surface:
    """--on desktop, desktop:monitor:N, desktop:virtual. UsageError for what a desktop cannot follow."""
    if opening.headed:
        raise UsageError("a desktop is always drawn where it is; leave --headed out")
    return Surface(
        opening.where,
        window=opening.window,
        url=opening.url,
        program=opening.program,
        width=opening.width,
        height=opening.height,
    )


def _part(pixels: np.ndarray[Any, np.dtype[np.uint8]], box: Box, part: Box) -> np.ndarray[Any, np.dtype[np.uint8]]:
    left, top = part.left - box.left, part.top - box.top
    return pixels[top : top + part.height, left : left + part.width]


def _is_black(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    return not pixels[::16, ::16].any() and not pixels.any()


def _told(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
