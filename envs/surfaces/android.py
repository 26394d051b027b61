"""One phone's picture, touches and keys over the real adb. Knows Android; knows no model, no goal.

The phone is pinned by its serial. Its display is asked how it is turned before every picture and again before every
touch; pixels of the picture become the phone's own by that. An act is sent once: when the line breaks on it, the note
says what is known. What only a simulated phone can do (show a practice page, judge it) goes through its control port.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Self

from actions import (
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
)
from actions.keys import to_platform_key
from envs.android import apps, commands, display
from envs.android.adb import AdbServer, CommandInterruptedError, CommandResult, Phone, select_device
from envs.android.commands import Command
from envs.android.display import DisplayState, ScreenshotError
from envs.android.keyboard import KeyboardManager, restore
from envs.android.text_input import needs_keyboard, split_text
from envs.chromium.address import model_address, person_address
from envs.miniwob import pages
from envs.simulators.android.control_server import PROPERTY, Control

if TYPE_CHECKING:
    from envs.options import SurfaceOptions

VERBS = frozenset({"click", "drag", "scroll", "long_press", "type", "press", "open", "back", "home", "wait"})
SWIPE_S = 0.3  # of a path's one part: slower than a fling, quicker than a long press
HOLD_S = 0.7  # longer than Android's long press, 0.5 s
NOTCH_DP = 100  # of one turn of a wheel, as in the browser: a dp is a CSS pixel
REACH = 0.5  # of the screen, for one swipe: its ends stay clear of the edges, where gestures of the system begin
SCROLL_S_PER_DP = 0.0015  # slow enough not to be a fling
KEY_PAUSE_S = 0.1  # between a keyboard's commit and a key event, which take different ways
PICTURE_PAUSE_S = 0.2
BLACK_S = 5.0  # a wholly black picture is looked at again for so long
MAX_BROKEN = 6  # pictures in a row


class Surface:
    """A phone on the adb server. UsageError when it cannot be used as it is, SurfaceError when it fails.

    serial: which one, "" for the only one; url: where to start ("practice:<task>" on a simulated phone); port: the adb
    server's, by default the user's. timeout_s: for one answer; patience_s: for a phone that is away to come back.
    """

    name = "android"

    def __init__(
        self,
        serial: str = "",
        url: str = "",
        *,
        port: int | None = None,
        timeout_s: float = 10.0,
        patience_s: float = 15.0,
    ) -> None:
        server = AdbServer(port)
        self._phone = Phone(server, select_device(server, serial), timeout_s, patience_s)
        self._keyboards = KeyboardManager(self._phone)
        self._closed = False
        self._news: list[str] = []
        self._frame: DisplayState | None = None  # of the last picture
        self._size = (0, 0)  # (width, height) of the last picture
        self._parts = 0  # of the action under way, sent so far
        self._mended = self._phone.reconnect_count
        self.serial = self._phone.serial
        if restore(self._phone):
            self._tell("an earlier run had left its own keyboard on the phone; the phone's is set again")
        self._require_ready()
        self._density = display.read_density(self._phone.query(commands.DENSITY).text)
        named = self._phone.query(commands.getprop(PROPERTY)).text
        self._control = Control(named) if named else None
        self.is_user_owned = self._control is None  # a simulated phone is nobody's own
        if url:
            self.goto(url)

    # the contract of a surface

    def verbs(self) -> frozenset[str]:
        """All but the pointer's own (a finger does not hover) and what only the loop does."""
        return VERBS

    def capture(self) -> Screen:
        """What the phone shows, in its picture's own size. A picture that is black for no reason is an error."""
        self._require_open()
        broken, black_since = 0, 0.0
        while True:
            frame = self._look_how_it_is_turned()  # before the picture: if it turns between them, no touch is done
            answer = self._phone.query(commands.SCREENCAP)
            try:
                if answer.code:
                    raise ScreenshotError(f"screencap failed: {answer.said}")
                pixels = display.decode(answer.out)
            except ScreenshotError as error:
                broken += 1
                if broken >= MAX_BROKEN:
                    raise SurfaceError(
                        f"the phone gave no picture, {broken} times in a row ({error}); "
                        f"try: adb -s {self.serial} exec-out screencap -p > picture.png"
                    ) from None
                time.sleep(PICTURE_PAUSE_S * broken)
                continue
            height, width = pixels.shape[:2]
            if (width > height) != (frame.width > frame.height):  # it turned between the two: look again
                broken += 1
                if broken >= MAX_BROKEN:
                    raise SurfaceError(
                        f"the phone's picture is {width}x{height} and its display {frame.width}x{frame.height}"
                    )
                continue
            if display.is_dark(pixels) and not self._explained(display.is_black(pixels)):
                black_since = black_since or time.monotonic()
                if time.monotonic() - black_since > BLACK_S:
                    raise SurfaceError(
                        f"the phone's picture has been black for {BLACK_S:.0f} s, though its screen is on and no "
                        "window is marked secure; look at the phone"
                    )
                time.sleep(PICTURE_PAUSE_S)
                continue
            self._frame, self._size = frame, (width, height)
            self._tell_if_mended()
            return Screen(pixels)

    def perform(self, action: Any) -> str:
        """Carry out one action. BadCall: nothing was done. When the phone was turned, or its line broke, since the
        last picture, the note says whether anything was done."""
        self._require_open()
        if action.verb not in VERBS:
            raise InvalidActionError(f"the android surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        self._parts = 0
        try:
            self._verb(action)
        except _RotatedError:
            self._tell(f"the phone was turned since the last picture, and '{action.verb}' was not done; look again")
        except CommandInterruptedError as broke:
            self._mended = self._phone.reconnect_count
            done = "may or may not have been done" if broke.sent else "was not done"
            if self._parts > 1:
                done = f"broke off after {self._parts - 1} of its parts" + (", or one more" if broke.sent else "")
            self._tell(f"the line to the phone broke and is whole again; '{action.verb}' {done}; look again")
        return self.pop_notices()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the phone. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._keyboards.close()

    # beyond it

    def pop_notices(self) -> str:
        """What happened beside the pixels: a secure screen, a phone that was away; "" if nothing."""
        news, self._news = self._news, []
        return "; ".join(news)

    @property
    def url(self) -> str:
        """The address of the page that a simulated phone shows; "" on any other."""
        return str(self._control.ask("url")) if self._control else ""

    def goto(self, url: str) -> None:
        """A practice page, afresh, as a simulated phone's home; any other address in the phone's browser."""
        self._require_open()
        if not pages.is_miniwob_address(url):
            try:
                self._view(person_address(url), UsageError)
            except CommandInterruptedError:
                raise SurfaceError(f"the phone was lost while it opened {url[:200]}") from None
            return
        self._simulated("a practice page can be shown").ask("goto", address=url)
        self._density = display.read_density(self._phone.query(commands.DENSITY).text)
        self._frame, self._size, self._news = None, (0, 0), []

    def evaluate(self, js: str) -> Any:
        """The JSON value of an expression in the page that a simulated phone shows; never for a model."""
        self._require_open()
        return self._simulated("a page's state can be read").ask("evaluate", js=js)

    # inside: verbs

    def _verb(self, action: Any) -> None:
        match action:
            case Click():
                self._click(action)
            case LongPress():
                at = self._points(action.points())[0]
                self._act(commands.swipe(at, at, action.seconds))
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
            case _ if action.verb == "back":
                self._act(commands.key("KEYCODE_BACK"))
            case _ if action.verb == "home":
                self._act(commands.key("KEYCODE_HOME"))
            case _:
                time.sleep(action.seconds)

    def _count(self) -> None:
        """One more part of an action is about to be sent. Interrupted when the line was lost since the last picture:
        who knows what the phone shows now."""
        self._parts += 1
        if self._phone.reconnect_count != self._mended:
            raise CommandInterruptedError(sent=False)

    def _send(self, command: Command) -> CommandResult:
        self._count()
        return self._phone.execute(command)

    def _act(self, command: Command) -> CommandResult:
        """Send one act. SurfaceError when the phone refused it."""
        answer = self._send(command)
        if answer.code and "nknown command" in answer.said:
            raise InvalidActionError(f"this Android is too old for '{command}', and it was not done; find another way")
        if answer.code or "SecurityException" in answer.said:
            hint = (
                "; allow it in the phone's developer options: USB debugging (Security settings)"
                if "INJECT_EVENTS" in answer.said or "SecurityException" in answer.said
                else ""
            )
            raise SurfaceError(f"the phone refused '{command}': {answer.said or f'exit code {answer.code}'}{hint}")
        return answer

    def _click(self, action: Click) -> None:
        if action.button != "left":
            raise InvalidActionError(f"a finger has no {action.button} button; use long_press for what lies behind one")
        if action.modifiers:
            raise InvalidActionError("keys cannot be held during a tap on a phone; tap without modifiers")
        points = self._points(action.points())
        for _ in range(action.count):
            self._act(commands.tap(*points[0]))

    def _drag(self, action: Drag) -> None:
        """Two points: a swipe. The first point twice: held there until it can be dragged. More: through all of them."""
        if action.modifiers:
            raise InvalidActionError("keys cannot be held during a drag on a phone; drag without modifiers")
        if len(action.path) == 1:
            raise InvalidActionError("a finger is nowhere before it touches; give the point where the drag starts, too")
        held = len(action.path) > 2 and action.path[0] == action.path[1]
        path = self._points(action.path[1:] if held else action.path)
        if len(path) == 2:
            self._act(commands.swipe(path[0], path[1], SWIPE_S if not held else 1.0, held=held))
            return
        try:
            self._act(commands.motion("DOWN", path[0]))
            time.sleep(HOLD_S if held else 0.0)
            for point in path[1:]:
                self._act(commands.motion("MOVE", point))
        finally:  # a finger that stays down would make a drag of every touch to come
            self._phone.query(commands.motion("UP", path[-1]))

    def _scroll(self, action: Scroll) -> None:
        frame = self._same_as_seen()
        centre = Point(self._size[0] // 2, self._size[1] // 2)
        x, y = self._map(frame, *(action.points() or (centre,)))[0]
        for notches, side, at, across in (
            (action.down, frame.height, y, False),
            (action.right, frame.width, x, True),
        ):
            whole = abs(notches) * NOTCH_DP * self._density / 160
            swipes = math.ceil(whole / (side * REACH))
            for _ in range(swipes):  # of one length: a short rest would be a tap
                length = whole / swipes
                low, high = side * (1 - REACH) / 2 * 0.5, side - side * (1 - REACH) / 2 * 0.5
                middle = min(max(at, low + length / 2), high - length / 2)
                way = length / 2 if notches > 0 else -length / 2  # the finger goes against what is wanted
                start, end = round(middle + way), round(middle - way)
                seconds = max(SWIPE_S, length * 160 / self._density * SCROLL_S_PER_DP)
                ends = ((start, y), (end, y)) if across else ((x, start), (x, end))
                self._act(commands.swipe(*ends, seconds))

    def _type(self, text: str) -> None:
        split = split_text(text)
        if not needs_keyboard(text):
            for piece in split:
                self._act(commands.key(piece.text) if piece.kind == "key" else commands.text(piece.text))
            return
        with self._keyboards.acquire() as keyboard:
            for piece in split:
                if piece.kind == "key":
                    time.sleep(KEY_PAUSE_S)
                    self._act(commands.key(piece.text))
                else:
                    self._count()
                    self._keyboards.commit(keyboard, piece.text)
            time.sleep(KEY_PAUSE_S)

    def _press(self, keys: tuple[str, ...]) -> None:
        if len(keys) == 1 and len(keys[0]) == 1:
            self._type(keys[0])  # with its case, and whether or not it has a key code
            return
        self._act(commands.key(*(to_platform_key(key, "android") for key in keys)))

    def _open(self, target: str) -> None:
        have = apps.components(self._phone.query(commands.LAUNCHABLE).text)
        packages = {component.partition("/")[0] for component in have}
        is_address = "://" in target or target.strip() == "about:blank" or ("." in target and " " not in target)
        if is_address and target.strip() not in packages | set(have):
            if pages.is_miniwob_address(target.strip()):
                raise InvalidActionError("practice pages are opened by a tap on their link in this phone's browser")
            self._view(model_address(target), InvalidActionError)
            return
        answer = self._act(commands.start_app(apps.find(target, have)))
        if "Error" in answer.said:
            raise InvalidActionError(f"the phone did not open {target[:80]!r}: {answer.said}")

    def _view(self, address: str, error: type[InvalidActionError] | type[UsageError]) -> None:
        try:
            command = commands.view(address)
        except ValueError:
            raise error(
                f"a phone's browser opens http and https addresses without spaces, not {address[:200]!r}"
            ) from None
        answer = self._send(command)
        if answer.code or "Error" in answer.said:
            raise error(f"the phone did not open {address[:200]}: {answer.said}")

    # inside: pixels

    def _look_how_it_is_turned(self) -> DisplayState:
        dump = self._phone.query(commands.DISPLAY).text
        frame = display.read_frame(dump) or display.read_frame(dump, self._phone.query(commands.SIZE).text)
        if frame is None:
            raise SurfaceError("the phone does not tell how its display is turned: `dumpsys display` names no viewport")
        return frame

    def _same_as_seen(self) -> DisplayState:
        """How the phone is turned now; _Turned when it was otherwise in the last picture."""
        if self._frame is None:
            self.capture()
        frame = self._look_how_it_is_turned()
        if frame != self._frame:
            raise _RotatedError
        return frame

    def _points(self, points: tuple[Point, ...]) -> list[tuple[int, int]]:
        return self._map(self._same_as_seen(), *points)

    def _map(self, frame: DisplayState, *points: Point) -> list[tuple[int, int]]:
        """The phone's own pixels under the middle of the picture's: the two differ where `wm size` was overridden."""
        width, height = self._size
        return [
            (int((point.x + 0.5) * frame.width / width), int((point.y + 0.5) * frame.height / height))
            for point in points
        ]

    def _explained(self, wholly_black: bool) -> bool:
        """Whether a black picture is what there is to see. SurfaceError where the screen is off."""
        if package := display.secure_window(self._phone.query(commands.WINDOW).text):
            self._tell(
                f"{package} shows a secure screen, of which Android gives a black picture: nothing on it can be seen; "
                "go back, or leave it to the person"
            )
            return True
        if not wholly_black:
            return True  # dark, but something is there
        if display.is_asleep(self._phone.query(commands.POWER).text):
            raise SurfaceError("the phone's screen is off; wake it, unlock it, and start the run again")
        return False

    # inside: the rest

    def _require_ready(self) -> None:
        if display.is_asleep(self._phone.query(commands.POWER).text):
            raise UsageError(f"the screen of the phone {self.serial} is off; wake and unlock it")
        if display.is_locked(self._phone.query(commands.WINDOW).text):
            raise UsageError(f"the phone {self.serial} is locked; unlock it")

    def _require_open(self) -> None:
        if self._closed:
            raise SurfaceError("the android surface is closed")

    def _simulated(self, what: str) -> Control:
        if self._control is None:
            raise UsageError(f"{what} on a simulated phone only, and {self.serial} is none; `agent phone` starts one")
        return self._control

    def _tell(self, note: str) -> None:
        if note not in self._news:
            self._news.append(note)

    def _tell_if_mended(self) -> None:
        if self._phone.reconnect_count != self._mended:
            self._mended = self._phone.reconnect_count
            self._tell(f"the phone was away for {self._phone.away_s:.0f} s and is back")


class _RotatedError(Exception):
    """The phone is turned otherwise than in the last picture: what was meant lies elsewhere now."""


def open_surface(opening: SurfaceOptions) -> Surface:
    """The phone whose serial stands in opening.where, "" for the only one."""
    if opening.window or opening.program or opening.headed:
        raise UsageError("a phone has no windows, programs or visible browser to choose; leave those options out")
    if (opening.width, opening.height) != (type(opening).width, type(opening).height):
        raise UsageError("a phone's screen has the size it has; leave width and height out")
    return Surface(opening.where, opening.url)
