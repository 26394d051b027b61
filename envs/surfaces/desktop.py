"""The desktop surface: the user's own screen, one of its windows, or a virtual desktop.

Screen pixels are logical pixels of the chosen part. Every call runs in one thread and has a time limit.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from actions import (
    Action,
    Drag,
    Error,
    InvalidActionError,
    PressKeys,
    Screen,
    Scroll,
    SurfaceError,
    SurfaceTimeout,
    TypeText,
    UsageError,
    Wait,
)
from actions.facts import ActionFacts
from actions.screen import Area
from envs.chromium.address import person_address
from envs.code_text import CODE_NOTICE, is_changed_by_editors
from envs.desktop.backend import DesktopBackend, X11Backend, open_backend, require_windows
from envs.desktop.checks import HEADED, VIRTUAL, combination_problems
from envs.desktop.checks import check_options as check_options
from envs.desktop.geometry import Box, Monitor, Viewport, check_monitor_name, select_monitor
from envs.desktop.input import VERBS, ActionInterruptedError, NativePoint, duration_s, perform
from envs.desktop.practice_page import PracticePage
from envs.desktop.screen_capture import BLACK, Pixels, is_black
from envs.desktop.window_capture import capture_window
from envs.desktop.x11.windows import Window, unreachable_reason, visible_box
from envs.loop_thread import LoopThread
from envs.miniwob import pages
from envs.network.rules import PUBLIC_HOSTS, NetworkRules
from envs.options import SurfaceOptions

if TYPE_CHECKING:
    from envs.desktop.devtools import Devtools
    from envs.desktop.virtual_display import VirtualDesktop

T = TypeVar("T")
CALL_S = 15.0
START_S = 120.0
CLOSE_S = 15.0
BLACK_S = 1.0  # a display that wakes up is black for a moment
NOT_ISOLATED = "this virtual desktop is not isolated: its programs can read the user's files"


class Surface:
    """One screen, window or virtual desktop."""

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
        shared: Sequence[str | Path] = (),
        network: NetworkRules = PUBLIC_HOSTS,
    ) -> None:
        """Open a desktop.

        Args:
            where: "" for the primary monitor, "monitor:N", or "virtual".
            window: title of the only window that is shown and controlled.
            url: what Chromium opens on a virtual desktop.
            program: command line of the program that a virtual desktop starts.
            width: of a virtual desktop, in pixels.
            height: of a virtual desktop, in pixels.
            scale: pointer points per Screen pixel; measured if None.
            display: name of an X11 display; DISPLAY if None.
            shared: folders that the programs of a virtual desktop may read and write.
            network: what Chromium on a virtual desktop may connect to, besides `url` and what `goto` opens.

        Raises:
            UsageError: if the desktop cannot be opened as asked.
            SurfaceError: if it fails.
        """
        if problems := combination_problems(where, window, url, program, shared):
            raise UsageError("\n".join(problems))
        self._where, self._title, self._scale = where, window, scale
        self.is_user_owned = where != VIRTUAL
        self._opened: DesktopBackend | None = None
        self._virtual: VirtualDesktop | None = None
        self._practice = PracticePage(None)
        self._window: Window | None = None
        self._box: Box
        self._points = 1.0  # pointer points per Screen pixel
        self._monitors: list[Monitor] = []
        self._last_viewport: Viewport | None = None  # of the last captured Screen
        self._notices: list[str] = []
        self._keyboard_target = 0  # the only window that may read the keys of the next action; 0 for any
        self._stuck = ""
        self._closed = False
        self._thread = LoopThread("pixelhand-desktop")
        atexit.register(self.close)
        address = person_address(url) if url else ""

        def start_virtual() -> VirtualDesktop:
            from envs.desktop.virtual_display import VirtualDesktop

            return VirtualDesktop(
                address, program, width, height, shared=[Path(path) for path in shared], network=network
            )

        try:
            self._call(lambda: self._open(display, start_virtual), START_S, "opening the desktop")
        except BaseException:
            self.close()
            raise

    def verbs(self) -> frozenset[str]:
        """Return what a mouse and a keyboard can do."""
        return VERBS

    def capture(self) -> Screen:
        """Return a screenshot of the monitor, window or virtual desktop."""
        pixels, areas = self._call(self._capture, CALL_S, "capturing the screen")
        return Screen(pixels, secret_areas=areas)

    def capture_region(self, left: int, top: int, width: int, height: int) -> Screen | None:
        """Return a part of the screen, None where the screen has another size than the last capture."""
        box = Box(left, top, width, height)
        pixels = self._call(lambda: self._capture_region(box), CALL_S, "capturing a part of the screen")
        return None if pixels is None else Screen(pixels)

    def add_secret_area(self) -> bool:
        """Name the box of the window with the keyboard focus in all later Screens; return whether it is known."""
        window_facts = self._backend.window_facts
        return window_facts is not None and self._call(window_facts.add_secret_window, CALL_S, "reading the focus")

    def perform(self, action: Action) -> str:
        """Carry out one action and return notices, such as that it was not done because the window changed.

        Raises:
            InvalidActionError: if the action is not possible; nothing was done then.
        """
        return self._call(lambda: self._perform(action), CALL_S + duration_s(action), f"'{action.verb}'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the display and end what was started. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        try:
            self._call(self._shut_down, CLOSE_S, "closing the desktop")
        except SurfaceError:
            if self._virtual:
                self._virtual.close()  # the surface's thread is stuck, as with a server that hangs
        self._closed = True
        self._thread.stop()

    def facts(self, action: Action) -> ActionFacts:
        """Return which windows an action would reach, and how they differ from the last capture.

        On platforms that do not identify windows all facts are empty.
        """
        return self._call(lambda: self._facts(action), CALL_S, "what an action would touch")

    def pop_notices(self) -> str:
        """Return what happened since the last call, such as a closed program or a covered window; "" if nothing."""
        notices, self._notices = "; ".join(dict.fromkeys(self._notices)), []
        return notices

    def pop_refusals(self) -> int:
        """Return how many pages of a virtual desktop's Chromium the network rules refused since the last call."""
        return self._virtual.pop_refusals() if self._virtual and not self._closed else 0

    def busy(self) -> bool:
        """Return whether a practice page has still to draw its present state, which a screenshot would not show yet."""
        return self._practice.is_busy()

    def pointer(self) -> tuple[int, int]:
        """Return the pointer's position in pixels of the last Screen; it may lie outside."""
        x, y = self._call(self._backend.input.pointer, CALL_S, "reading the pointer")
        viewport = self._last_viewport or self._call(self._viewport, CALL_S, "locating the screen")
        box = viewport.box
        return (x - box.left) * viewport.width // box.width, (y - box.top) * viewport.height // box.height

    def keep_focus(self) -> Callable[[], bool]:
        """Return a function that gives the focus back to the window that has it now, and returns whether it worked.

        Keys and text of the action that follows reach no other window then. On platforms that do not identify windows
        the function does nothing.
        """
        windows = self._backend.windows
        if windows is None:
            return lambda: True
        window_id = self._call(windows.active, CALL_S, "reading the focus")

        def has_focus() -> bool:
            if not window_id:
                return windows.active() == 0
            self._keyboard_target = window_id if windows.give_focus(window_id) else 0
            return self._keyboard_target != 0

        return lambda: self._call(has_focus, CALL_S, "giving the focus back")

    @property
    def monitors(self) -> list[Monitor]:
        """The monitors of this display, as measured at the start."""
        return list(self._monitors)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of a process on the virtual desktop."""
        if self._virtual is None:
            raise UsageError("only a virtual desktop has an environment of its own: --surface desktop:virtual")
        return self._virtual.environ

    # The page of a virtual desktop with Chromium: for setting up and judging a task, never for the agent.

    @property
    def url(self) -> str:
        """The address of Chromium's page."""
        return self._devtools().url

    @property
    def has_dialog(self) -> bool:
        """Whether a JavaScript dialog is open in Chromium's page."""
        return self._devtools().has_dialog

    def goto(self, url: str) -> None:
        """Open an address in Chromium and move the pointer out of the way."""
        devtools, address = self._devtools(), person_address(url)
        if pages.is_miniwob_address(address):
            page = pages.page(pages.task_name(address))
            if self._virtual is None or self._virtual.page is None:
                raise UsageError(
                    f"this desktop has no practice screen; use --surface desktop:virtual with --url {address}"
                )
            address = page.url
        if self._virtual:
            self._virtual.allow_address(address)
        self._call(lambda: self._backend.input.move(0, 0), CALL_S, "moving the pointer")
        devtools.goto(address)

    def evaluate(self, js: str) -> object:
        """Return the JSON value of an expression evaluated in Chromium's page."""
        return self._devtools().evaluate(js)

    @property
    def _backend(self) -> DesktopBackend:
        if self._opened is None:
            raise SurfaceError("the desktop surface is not open")
        return self._opened

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
            if reason := self._process_failure():
                raise SurfaceError(reason) from None
            raise
        except Exception as error:
            if isinstance(error, Error) or not (self._opened and self._opened.is_device_error(error)):
                raise
            reason = self._process_failure() or f"{what} failed: {_first_line(error)}; start the run again"
            raise SurfaceError(reason) from None

    def _process_failure(self) -> str:
        """Return which process of the virtual desktop ended, "" if none: the cause of errors elsewhere."""
        try:
            if self._virtual:
                time.sleep(0.1)
                self._virtual.check()
        except SurfaceError as error:
            return str(error)
        return ""

    def _open(self, display: str | None, start_virtual: Callable[[], VirtualDesktop]) -> None:
        if self._where == VIRTUAL:
            self._opened = backend = self._open_virtual(start_virtual)
        else:
            check_monitor_name(self._where)  # before a missing display is reported
            self._opened = backend = open_backend(display)
        self._monitors = backend.monitors()
        monitor = select_monitor(self._monitors, "" if self._where == VIRTUAL else self._where)
        if self._title:
            windows = require_windows(backend)
            self._window = windows.find(self._title)
            windows.bring_to_front(self._window.id)
        else:
            self._box = monitor.box
        self._points = monitor.scale if self._scale is None else self._scale

    def _open_virtual(self, start: Callable[[], VirtualDesktop]) -> DesktopBackend:
        self._virtual = desktop = start()
        self._practice = PracticePage(desktop)
        if desktop.isolation.problem:
            self.is_user_owned = True
            self._notices.append(f"{NOT_ISOLATED}: {desktop.isolation.problem}")
        backend = X11Backend(desktop.display, desktop.environ, desktop.authority, desktop.cleanup)
        self._opened = backend  # closed if the page does not load
        if desktop.page and desktop.devtools:
            desktop.devtools.goto(desktop.page.url)
            backend.input.move(0, 0)
        elif desktop.devtools and not desktop.url.startswith("about:"):
            desktop.devtools.wait_for_first_page()
        return backend

    def _shut_down(self) -> None:
        try:
            if self._opened:
                with self._opened.ignore_device_errors():
                    self._opened.release_all()
                self._opened.close()
        finally:
            if self._virtual:
                self._virtual.close()

    def _viewport(self) -> Viewport:
        """Return where the shown part is now."""
        if self._window is None:
            return Viewport.of(self._box, self._points)
        return Viewport.of(visible_box(require_windows(self._backend), self._window), self._points)

    def _check_processes(self) -> None:
        if self._virtual:
            notice = self._virtual.check()
            self._notices += [notice] * bool(notice) + self._virtual.pop_refusal_notices()

    def _capture(self) -> tuple[Pixels, list[Area]]:
        """Return a screenshot, and the parts of it that may show a secret."""
        self._check_processes()
        self._restore_minimized()
        viewport = self._viewport()
        areas = self._secret_areas(viewport)
        if self._window is not None:
            windows = require_windows(self._backend)
            pixels, notice = capture_window(windows, self._backend.screen_capture, self._window, viewport)
            self._notices += [notice] if notice else []
        else:
            pixels = self._backend.screen_capture.capture(viewport.box, viewport.width, viewport.height)
            if self._virtual is None and is_black(pixels):
                pixels = self._capture_after_wake(viewport)
        self._last_viewport = viewport
        if self._backend.window_facts is not None:
            self._backend.window_facts.remember()
        return pixels, [*areas, *self._secret_areas(viewport)]  # a window may have moved meanwhile

    def _secret_areas(self, viewport: Viewport) -> list[Area]:
        window_facts = self._backend.window_facts
        return [viewport.area(box) for box in window_facts.secret_boxes()] if window_facts is not None else []

    def _capture_region(self, region: Box) -> Pixels | None:
        viewport = self._viewport()
        if viewport != self._last_viewport:
            return None
        box, size = viewport.box, (viewport.width, viewport.height)
        if self._window is None and size == (box.width, box.height):
            part = Box(box.left + region.left, box.top + region.top, region.width, region.height)
            return self._backend.screen_capture.capture(part, region.width, region.height)
        pixels, _ = self._capture()
        return pixels[region.top : region.top + region.height, region.left : region.left + region.width]

    def _restore_minimized(self) -> None:
        """Show the minimized windows of a virtual desktop again, which has no task bar to do so."""
        windows = self._backend.windows
        if self._virtual is None or self._virtual.page is not None or windows is None:
            return
        for window in windows.minimized():
            windows.bring_to_front(window.id)
            self._notices.append(
                f"the window '{window.title}' was minimized; it is shown again, as there is no task bar"
            )

    def _capture_after_wake(self, viewport: Viewport) -> Pixels:
        deadline = time.monotonic() + BLACK_S
        while True:
            time.sleep(0.1)
            pixels = self._backend.screen_capture.capture(viewport.box, viewport.width, viewport.height)
            if not is_black(pixels):
                return pixels
            if time.monotonic() > deadline:
                break
        windows = self._backend.windows
        if windows is None or windows.has_visible(viewport.box):
            raise SurfaceError(BLACK)
        self._notices.append("the desktop is black and shows no window")
        return pixels

    def _facts(self, action: Action) -> ActionFacts:
        window_facts = self._backend.window_facts
        if window_facts is None:
            return ActionFacts()
        viewport = self._viewport()
        points = [viewport.point(*point) for point in action.points()]
        return window_facts.read(points, has_keys=isinstance(action, TypeText | PressKeys))

    def _perform(self, action: Action) -> str:
        if action.verb not in VERBS:
            raise InvalidActionError(f"the desktop surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        target, self._keyboard_target = self._keyboard_target, 0
        self._check_processes()
        if isinstance(action, Wait):
            self._practice.wait(action.seconds)
            return self.pop_notices()
        viewport, last = self._viewport(), self._last_viewport
        if last is not None and (viewport.width, viewport.height) != (last.width, last.height):
            self._notices.append(f"the window changed its size before '{action.verb}', which was not done; look again")
            return self.pop_notices()
        points = self._native_points(action, viewport)
        if self._window is not None and (
            reason := unreachable_reason(require_windows(self._backend), self._window, points)
        ):
            self._notices.append(f"{reason}: '{action.verb}' was not done")
            return self.pop_notices()
        try:
            only_window = 0 if points else target  # a click moves the focus itself
            with self._practice.settle_after(action), self._backend.keys_only_to(only_window):
                perform(self._backend.input, action, lambda point: viewport.point(*point))
        except ActionInterruptedError as error:
            self._notices.append(f"{error}; look again")
        except BaseException:
            with self._backend.ignore_device_errors():
                self._backend.release_all()
            raise
        if isinstance(action, TypeText) and is_changed_by_editors(action.text):
            self._notices.append(CODE_NOTICE)
        self._check_processes()
        return self.pop_notices()

    def _native_points(self, action: Action, viewport: Viewport) -> list[NativePoint]:
        """Return the action's points in pointer coordinates, the pointer's own first where the action starts there."""
        points = [viewport.point(*point) for point in action.points()]
        starts_at_pointer = (isinstance(action, Drag) and len(points) == 1) or (
            isinstance(action, Scroll) and not points
        )
        if starts_at_pointer:
            points = [self._backend.input.pointer(), *points]
            if not viewport.box.contains(*points[0]):
                raise InvalidActionError(
                    f"the pointer is not on this screen; give '{action.verb}' the point where it starts"
                )
        return points

    def _devtools(self) -> Devtools:
        if self._closed:
            raise SurfaceError("the desktop surface is closed")
        if self._virtual is None or self._virtual.devtools is None:
            raise UsageError("only a virtual desktop with Chromium has a page: --surface desktop:virtual with --url")
        return self._virtual.devtools


def open_surface(opening: SurfaceOptions) -> Surface:
    """Open `--surface desktop`, `desktop:monitor:N` or `desktop:virtual`.

    Raises:
        UsageError: for options that do not apply to a desktop.
    """
    if opening.headed:
        raise UsageError(HEADED)
    return Surface(
        opening.where,
        window=opening.window,
        url=opening.url,
        program=opening.program,
        shared=opening.share,
        network=opening.network,
        width=opening.width,
        height=opening.height,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
