"""The Android surface: one phone's screenshots, touches and keys over adb.

The phone is pinned by its serial. The display's rotation is read before every screenshot and every touch, and maps the
screenshot's pixels to the phone's. A command that acts is sent once; if the connection breaks, a notice reports what is
known. Functions of a simulated phone (practice pages and their state) go through its control port.
"""

from __future__ import annotations

import time
from typing import Self

import numpy as np

from actions import (
    Action,
    Click,
    Drag,
    InvalidActionError,
    LongPress,
    Open,
    Point,
    PressKeys,
    Screen,
    Scroll,
    SurfaceError,
    TypeText,
    UsageError,
    Wait,
    usage_problems,
)
from actions.facts import ActionFacts
from actions.keys import to_platform_key
from actions.targets import ScreenTarget
from envs.android import apps, commands, display, failures, text_confirmation
from envs.android.adb import AdbServer, CommandInterruptedError, CommandResult, Phone, select_device
from envs.android.capture import read_display, take_screenshot
from envs.android.checks import check_ready, foreign_options, needs_simulator, option_problems, view_command
from envs.android.commands import Command
from envs.android.display import DisplayState, ScreenshotError
from envs.android.facts import FocusWatch
from envs.android.gestures import SWIPE_S, scroll_swipes
from envs.android.hierarchy import read_targets
from envs.android.keyboard import KeyboardManager, is_field_focused, restore_keyboard
from envs.android.text_input import needs_keyboard, split_text
from envs.chromium import clock
from envs.chromium.address import model_address, person_address
from envs.miniwob import pages
from envs.options import SurfaceOptions
from envs.simulators.android.control_server import PROPERTY, ControlClient

VERBS = frozenset({"click", "drag", "scroll", "long_press", "type", "press", "open", "back", "home", "wait"})
HELD_SWIPE_S, HOLD_S = 1.0, 0.7  # of a drag whose start is held; Android's long press takes 0.5 s
KEY_PAUSE_S = 0.1  # between an input method's text and a key event, which take different routes
SCREENSHOT_PAUSE_S = 0.2
TYPED_S = 1.0  # for a text to appear on the screen
BLACK_S = 5.0  # how long an unexplained black screenshot is repeated
MAX_BROKEN = 6  # broken screenshots in a row
MAX_TARGET, MAX_REPLY = 80, 120  # characters of an app's name and of a phone's reply in messages
NOT_TYPED = ", so the text may not have been typed; look again"
ALLOW_INPUT = "allow it in the phone's developer options: USB debugging (Security settings)"


class Surface:
    """A phone on the adb server."""

    name = "android"

    def __init__(
        self,
        serial: str = "",
        url: str = "",
        *,
        port: int | None = None,
        timeout_s: float = 10.0,
        reconnect_s: float = 15.0,
        reads_elements: bool = False,
    ) -> None:
        """Connect to a phone.

        Args:
            serial: of the phone; "" for the only one.
            url: where to start; "miniwob:TASK" on a simulated phone.
            port: of the adb server; the user's if None.
            timeout_s: time for one reply.
            reconnect_s: time for a lost phone to come back.
            reads_elements: whether `targets` reads the elements, which takes 1 to 10 s on a real phone.

        Raises:
            UsageError: if there is no such phone, or it is off or locked.
            SurfaceError: if it fails.
        """
        server = AdbServer(port)
        self._phone = Phone(server, select_device(server, serial), timeout_s, reconnect_s)
        self._keyboards = KeyboardManager(self._phone)
        self._closed, self._reads_elements = False, reads_elements
        self._targets: tuple[ScreenTarget, ...] | None = None  # since the last screenshot
        self._notices: list[str] = []
        self._state: DisplayState | None = None  # of the last screenshot, as is the size
        self._size = (0, 0)  # width and height
        self._focus_watch = FocusWatch(lambda: self._phone.query(commands.WINDOW).text)
        self._sent_parts = 0  # commands of the present action that were sent
        self._known_reconnects = self._phone.reconnect_count  # at the last screenshot
        self.serial = self._phone.serial
        if restore_keyboard(self._phone):
            self._add_notice("an earlier run had left its keyboard selected on the phone; the phone's own is restored")
        check_ready(self._phone)
        self._density = display.parse_density(self._phone.query(commands.DENSITY).text)
        endpoint = self._phone.query(commands.getprop(PROPERTY)).text
        self._control = ControlClient(endpoint) if endpoint else None
        self.is_user_owned = self._control is None
        if url:
            self.goto(url)

    def verbs(self) -> frozenset[str]:
        """Return what a finger and the phone's keys can do."""
        return VERBS

    def capture(self) -> Screen:
        """Return a screenshot in its own size.

        Raises:
            SurfaceError: if screenshots fail, or stay black for no known reason.
        """
        self._check_open()
        broken, black_since, self._targets = 0, 0.0, None
        while True:
            state = read_display(self._phone)  # first: if the phone is turned in between, touches are refused
            self._focus_watch.remember(state)
            try:
                pixels = take_screenshot(self._phone, state.physical_id)
            except ScreenshotError as error:
                broken += 1
                if broken >= MAX_BROKEN:
                    raise SurfaceError(
                        f"no screenshot from the phone after {broken} attempts ({error}); "
                        f"try: adb -s {self.serial} exec-out screencap -p > screenshot.png"
                    ) from None
                time.sleep(SCREENSHOT_PAUSE_S * broken)
                continue
            height, width = pixels.shape[:2]
            if (width > height) != (state.width > state.height):  # the phone was turned in between: take another one
                broken += 1
                if broken >= MAX_BROKEN:
                    raise SurfaceError(
                        f"the phone's screenshot is {width}x{height}, but its display {state.width}x{state.height}"
                    )
                continue
            if display.is_dark(pixels) and not self._is_darkness_explained(display.is_black(pixels)):
                black_since = black_since or time.monotonic()
                if time.monotonic() - black_since > BLACK_S:
                    raise SurfaceError(
                        f"the phone's screenshot has been black for {BLACK_S:.0f} s, though its screen is on and no "
                        "window is secure; look at the phone"
                    )
                time.sleep(SCREENSHOT_PAUSE_S)
                continue
            self._state, self._size = state, (width, height)
            self._report_reconnect()
            return Screen(pixels)

    def perform(self, action: Action) -> str:
        """Carry out one action and return notices.

        If the phone was turned, or its connection broke, since the last screenshot, the notice reports whether anything
        was done.

        Raises:
            InvalidActionError: if the action is not possible; nothing was done then.
        """
        self._check_open()
        if action.verb not in VERBS:
            raise InvalidActionError(f"a phone cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        self._sent_parts, self._targets = 0, None
        try:
            self._perform(action)
            self._advance(clock.SETTLE_JS)
        except _RotatedError:
            self._add_notice(
                f"the phone was turned since the last screenshot, and '{action.verb}' was not done; look again"
            )
        except CommandInterruptedError as error:
            self._known_reconnects = self._phone.reconnect_count
            outcome = "may or may not have been done" if error.sent else "was not done"
            if self._sent_parts > 1:
                outcome = f"stopped after {self._sent_parts - 1} of its parts" + (", or one more" if error.sent else "")
            self._add_notice(
                f"the connection to the phone broke and has been restored; '{action.verb}' {outcome}; look again"
            )
        return self.pop_notices()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the phone. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._keyboards.close()

    def facts(self, action: Action) -> ActionFacts:
        """Return which app and window an action would reach now, and how they differ from the last screenshot's."""
        self._check_open()
        return self._focus_watch.read(action, read_display(self._phone))

    def targets(self) -> tuple[ScreenTarget, ...] | None:
        """Return the elements of the active window; None where they are not read, or the phone does not tell them."""
        self._check_open()
        if self._reads_elements and self._targets is None and self._state is not None:
            self._targets = read_targets(self._phone, self._state, self._size)
        return self._targets

    def pop_notices(self) -> str:
        """Return what the pixels do not show, such as a secure screen or a lost connection; "" if nothing."""
        notices, self._notices = self._notices, []
        return "; ".join(notices)

    @property
    def url(self) -> str:
        """The address of the page that a simulated phone shows; "" on any other."""
        return str(self._control.request("url")) if self._control else ""

    def goto(self, url: str) -> None:
        """Open an address in the phone's browser, or a practice page as a simulated phone's home screen."""
        self._check_open()
        if not pages.is_miniwob_address(url):
            try:
                self._view(person_address(url), UsageError)
            except CommandInterruptedError:
                raise SurfaceError(f"the phone was lost while it opened {url[:200]}") from None
            return
        self._require_control("a practice page").request("goto", address=url)
        self._density = display.parse_density(self._phone.query(commands.DENSITY).text)
        self._state, self._size, self._notices = None, (0, 0), []

    def evaluate(self, js: str) -> object:
        """Return the JSON value of an expression evaluated in a simulated phone's page, for judging a task."""
        self._check_open()
        return self._require_control("reading a page's state").request("evaluate", js=js)

    def _perform(self, action: Action) -> None:
        match action:
            case Click():
                self._click(action)
            case LongPress():
                point = self._map_points(action.points())[0]
                self._execute(commands.swipe(point, point, action.seconds))
            case Drag():
                self._drag(action)
            case Scroll():
                self._scroll(action)
            case TypeText():
                self._type(action.text)
            case PressKeys():
                self._press(action.keys)
            case Open():
                self._open(action.target)
            case Wait():
                if not self._advance(clock.wait_js(action.seconds)):
                    time.sleep(action.seconds)
            case _:
                self._execute(commands.key_event("KEYCODE_BACK" if action.verb == "back" else "KEYCODE_HOME"))

    def _advance(self, js: str) -> bool:
        """Advance the clock of a simulated phone's practice page; return whether one is shown."""
        return self._control is not None and bool(self._control.request("advance", js=js))

    def _start_part(self) -> None:
        """Count a command that is about to be sent.

        Raises:
            CommandInterruptedError: if the connection was lost since the last screenshot, which may be outdated.
        """
        self._sent_parts += 1
        if self._phone.reconnect_count != self._known_reconnects:
            raise CommandInterruptedError(sent=False)

    def _send(self, command: Command) -> CommandResult:
        self._start_part()
        return self._phone.execute(command)

    def _execute(self, command: Command) -> CommandResult:
        """Send a command that acts.

        Raises:
            InvalidActionError: if this Android lacks it.
            SurfaceError: if the phone refuses it.
        """
        result = self._send(command)
        if failures.is_unknown_command(result):
            raise InvalidActionError(f"this Android is too old for '{command}', which was not done; use another action")
        if failures.has_failed(result):
            hint = f"; {ALLOW_INPUT}" if failures.is_forbidden(result) else ""
            reason = result.message or f"exit code {result.code}"
            raise SurfaceError(f"the phone refused '{command}': {reason}{hint}")
        if command.words[0] == "input" and failures.output_lines(result):  # `input` prints nothing when it works
            self._add_notice(
                f"the phone answered {result.message[:MAX_REPLY]!r} to '{command}', which may not have been done; "
                "look again"
            )
        return result

    def _click(self, action: Click) -> None:
        if action.button != "left":
            raise InvalidActionError(f"a touch screen has no {action.button} button; use long_press for a context menu")
        if action.modifiers:
            raise InvalidActionError("keys cannot be held during a tap on a phone; tap without modifiers")
        point = self._map_points(action.points())[0]
        for _ in range(action.count):
            self._execute(commands.tap(*point))

    def _drag(self, action: Drag) -> None:
        """Swipe along the points; a first point that is given twice is held until it can be dragged."""
        if action.modifiers:
            raise InvalidActionError("keys cannot be held during a drag on a phone; drag without modifiers")
        if len(action.path) == 1:
            raise InvalidActionError("a touch screen has no pointer; give the point where the drag starts as well")
        is_held = len(action.path) > 2 and action.path[0] == action.path[1]
        path = self._map_points(action.path[1:] if is_held else action.path)
        if len(path) == 2:
            self._execute(commands.swipe(path[0], path[1], HELD_SWIPE_S if is_held else SWIPE_S, long_press=is_held))
            return
        try:
            self._execute(commands.motion_event("DOWN", path[0]))
            time.sleep(HOLD_S if is_held else 0.0)
            for point in path[1:]:
                self._execute(commands.motion_event("MOVE", point))
        finally:  # a finger that stays down would turn every later touch into a drag
            self._phone.query(commands.motion_event("UP", path[-1]))

    def _scroll(self, action: Scroll) -> None:
        state = self._check_rotation()
        center = Point(self._size[0] // 2, self._size[1] // 2)
        position = display.map_points(state, self._size, action.points() or (center,))[0]
        size = (state.width, state.height)
        for command in scroll_swipes(position, action.down, action.right, size, self._density):
            self._execute(command)

    def _type(self, text: str) -> None:
        if needs_keyboard(text):
            self._type_with_keyboard(text)
        else:
            self._type_ascii(text)
            if text and not is_field_focused(self._phone):
                self._add_notice(f"no text field had the focus{NOT_TYPED}")
            elif text_confirmation.is_fragile(text):
                self._add_notice(text_confirmation.mismatch(self._phone, text) or "")

    def _type_ascii(self, text: str) -> None:
        for chunk in split_text(text):
            if chunk.kind == "key":
                self._execute(commands.key_event(chunk.text))
            else:
                self._execute(commands.input_text(chunk.text))

    def _type_with_keyboard(self, text: str) -> None:
        with self._keyboards.acquire() as method:
            before = None if method.confirms else self._read_pixels()
            for chunk in split_text(text):
                if chunk.kind == "key":
                    time.sleep(KEY_PAUSE_S)
                    self._execute(commands.key_event(chunk.text))
                else:
                    self._start_part()
                    self._keyboards.commit_text(method, chunk.text)
            time.sleep(KEY_PAUSE_S)
            notice = None if method.confirms else text_confirmation.mismatch(self._phone, text)
            if notice:
                self._add_notice(notice)
            elif notice is None and before is not None and not self._has_changed(before):
                self._add_notice(f"the screen did not change{NOT_TYPED}")

    def _read_pixels(self) -> display.Pixels | None:
        """Return a screenshot; None if it fails or is dark, as that of a secure window."""
        try:
            pixels = take_screenshot(self._phone, self._state.physical_id if self._state is not None else "")
        except ScreenshotError:
            return None
        return None if display.is_dark(pixels) else pixels

    def _has_changed(self, before: display.Pixels) -> bool:
        """Return whether the screen shows something else within TYPED_S; true if it cannot be compared."""
        deadline = time.monotonic() + TYPED_S
        while True:
            after = self._read_pixels()
            if after is None or not np.array_equal(before, after):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(KEY_PAUSE_S)

    def _press(self, keys: tuple[str, ...]) -> None:
        if len(keys) == 1 and len(keys[0]) == 1:
            character = keys[0]
            if needs_keyboard(character):
                self._type_with_keyboard(character)
            else:
                self._type_ascii(character)  # keeps its case, and works without a key code
            return
        self._execute(commands.key_event(*(to_platform_key(key, "android") for key in keys)))

    def _open(self, target: str) -> None:
        listing = self._phone.query(commands.LAUNCHABLE)
        components = apps.parse_components(listing.text)
        if apps.is_address(target, components):
            if pages.is_miniwob_address(target.strip()):
                raise InvalidActionError("practice pages are opened by a tap on their link in this phone's browser")
            self._view(model_address(target), InvalidActionError)
            return
        if not components:
            raise InvalidActionError(apps.describe_unreadable_list(listing.message))
        result = self._send(commands.start_app(apps.find_component(target, components)))
        if failures.has_failed(result):
            raise InvalidActionError(f"the phone did not open {target[:MAX_TARGET]!r}: {result.message}")

    def _view(self, url: str, error: type[InvalidActionError] | type[UsageError]) -> None:
        result = self._send(view_command(url, error))
        if failures.has_failed(result):
            raise error(f"the phone did not open {url[:200]}: {result.message}")

    def _check_rotation(self) -> DisplayState:
        """Return the display's state; _RotatedError if it differs from that of the last screenshot."""
        if self._state is None:
            self.capture()
        state = read_display(self._phone)
        if state != self._state:
            raise _RotatedError
        return state

    def _map_points(self, points: tuple[Point, ...]) -> list[tuple[int, int]]:
        return display.map_points(self._check_rotation(), self._size, points)

    def _is_darkness_explained(self, is_black: bool) -> bool:
        """Return whether a dark screenshot is correct.

        Raises:
            SurfaceError: if the phone's screen is off.
        """
        if package := display.secure_window(self._phone.query(commands.WINDOW).text):
            self._add_notice(
                f"{package} shows a secure screen, which Android leaves black in screenshots; go back, or leave it to "
                "the user"
            )
            return True
        if not is_black:
            return True
        if display.is_asleep(self._phone.query(commands.POWER).text):
            raise SurfaceError("the phone's screen is off; wake and unlock it, and start the run again")
        return False

    def _check_open(self) -> None:
        if self._closed:
            raise SurfaceError("the android surface is closed")

    def _require_control(self, feature: str) -> ControlClient:
        if self._control is None:
            raise UsageError(needs_simulator(feature, self.serial))
        return self._control

    def _add_notice(self, notice: str) -> None:
        if notice and notice not in self._notices:
            self._notices.append(notice)

    def _report_reconnect(self) -> None:
        if self._phone.reconnect_count != self._known_reconnects:
            self._known_reconnects = self._phone.reconnect_count
            self._add_notice(f"the phone was disconnected for {self._phone.away_s:.0f} s and is back")


class _RotatedError(Exception):
    """The phone was turned since the last screenshot, so that its points are no longer valid."""


def open_surface(opening: SurfaceOptions) -> Surface:
    """Open the phone whose serial is `opening.where`, the only one for "".

    Raises:
        UsageError: for options that do not apply to a phone.
    """
    if problems := foreign_options(opening):
        raise UsageError("\n".join(problems))
    return Surface(opening.where, opening.url, reads_elements=opening.read_elements)


def check_options(options: SurfaceOptions) -> list[str]:
    """Return every reason for which the phone could not be used now; see envs.options."""
    is_practice = pages.is_miniwob_address(options.url)
    page_problems = usage_problems(lambda: pages.page(pages.task_name(options.url))) if is_practice else []
    return option_problems(options, is_practice=is_practice) + page_problems
