"""The browser surface: Chromium through Playwright.

Playwright runs in a thread of its own, and every call from outside is bounded in time. What a page does by itself (a
dialog, a new tab, a crash) shows in the next capture and in the notices. Screen pixels are CSS pixels times scale; a
point stands for the CSS pixel under the middle of its screen pixel.
"""

from __future__ import annotations

import atexit
from collections.abc import Coroutine, Sequence
from typing import Any, Self, TypeVar

from playwright.async_api import Error

from actions import (
    Action,
    Back,
    Home,
    InvalidActionError,
    Open,
    PressKeys,
    Screen,
    SurfaceError,
    UsageError,
    Wait,
    usage_problems,
)
from actions.evidence import ScreenEvidence
from actions.facts import ActionFacts
from actions.held_writes import HeldWrite, WriteOutcome
from actions.targets import ScreenTarget
from envs.chromium import input
from envs.chromium.address import check_reachable, hide_userinfo, model_address, person_address, split_credentials
from envs.chromium.evidence import read_evidence
from envs.chromium.executable import find_chrome
from envs.chromium.launch import START_S, require_display, use_sandbox
from envs.chromium.navigation import LOAD_S, first_line
from envs.chromium.session import CLOSE_S, NAVIGATION_S, BrowserSession
from envs.chromium.tabs import OPEN_S
from envs.chromium.targets import read_targets
from envs.chromium.write_holder import ANSWER_S, COMMAND_S, WriteHolder
from envs.display_filter import has_private_selections
from envs.loop_thread import LoopThread
from envs.miniwob import pages
from envs.network.rules import PUBLIC_HOSTS, NetworkRules
from envs.options import SurfaceOptions

T = TypeVar("T")
VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "open", "back", "home", "wait"})
HOLDS_WRITES = True  # SurfaceOptions.hold_writes applies
DEFAULT_SIZE, DEFAULT_SCALE = (1288, 728), 1.0
MAX_SIDE = 8192
GRACE_S = 5.0


class Surface:
    """A browser with a screen of fixed size.

    Args:
        url: Address to start from, and to return to by Home; `miniwob:TASK` brings its own size and scale. A user name
            and password in it are sent to its origin if that asks for them, and stand nowhere else.
        width: Width of the page, CSS pixels; 1288 by default.
        height: Height of the page, CSS pixels; 728 by default.
        scale: Device pixels per CSS pixel; 1 by default.
        headed: Show the browser's window.
        executable: Path of the browser's program; None searches for one.
        timeout_s: Seconds after which a page that does not answer counts as hung.
        network: What the browser may connect to, besides the start address and what `goto` opens.
        hold_writes: Hold requests that would change something until `send_writes` or `drop_writes`; those still held at
            the end are dropped. WebSockets are refused then.

    Raises:
        UsageError: There is no browser, or an argument is out of range.
        SurfaceError: The browser does not start, or the address does not open.
    """

    name = "browser"

    def __init__(
        self,
        url: str = "about:blank",
        *,
        width: int | None = None,
        height: int | None = None,
        scale: float | None = None,
        headed: bool = False,
        executable: str | None = None,
        timeout_s: float = 10.0,
        network: NetworkRules = PUBLIC_HOSTS,
        hold_writes: bool = False,
    ) -> None:
        address = person_address(url)
        self.home, _ = split_credentials(address)
        page = pages.page(pages.task_name(self.home)) if pages.is_miniwob_address(self.home) else None
        default_width, default_height = (page.width, page.height) if page else DEFAULT_SIZE
        width = default_width if width is None else width
        height = default_height if height is None else height
        scale = (page.scale if page else DEFAULT_SCALE) if scale is None else float(scale)
        _check_size(width, height, scale)
        network = network.with_address(self.home)
        self._timeout_s = timeout_s
        # A window of its own with an empty profile; where it cannot have a clipboard of its own, it is not isolated.
        self.is_user_owned = headed and not has_private_selections()
        self._closed = False
        self.holds_writes = hold_writes
        self._session = BrowserSession(address, (width, height), scale, timeout_s, network, hold_writes)
        self._thread = LoopThread("pixelhand-browser")
        atexit.register(self.close)
        try:
            limit_s = START_S + OPEN_S + timeout_s + LOAD_S
            self._call(self._session.start(executable, headed), limit_s, "starting the browser")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the contract of a surface

    def verbs(self) -> frozenset[str]:
        """Return every verb except the control actions."""
        return VERBS

    def capture(self) -> Screen:
        """Return the shown page, or the open dialog drawn over the page's last screenshot."""
        return Screen(self._call(self._session.capture(), self._limit_s(), "a screenshot of the page"))

    def perform(self, action: Action) -> str:
        """Perform one action and return the notices. A dialog that it opens ends the call.

        If something else is shown than at the last capture, nothing is done, and a notice reports it: a click must not
        land on what the model has not seen.

        Raises:
            InvalidActionError: Nothing was done.
            SurfaceError: The browser failed.
        """
        if action.verb not in VERBS:
            raise InvalidActionError(f"the browser surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")
        if isinstance(action, PressKeys):
            input.check_keys(action)
        address = model_address(action.target) if isinstance(action, Open) else self.home
        own_s = action.seconds if isinstance(action, Wait) else input.duration_s(action)
        if isinstance(action, Open | Home | Back):
            own_s += NAVIGATION_S
        work = self._session.perform(action, address, own_s)
        return self._call(work, self._limit_s() + own_s, f"'{action.verb}'")

    def close(self) -> None:
        """End the browser and its thread. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        try:
            self._thread.call(self._session.stop(), CLOSE_S + GRACE_S, "closing the browser")
        except SurfaceError:
            pass  # its driver ends the browser when this process ends and the pipe breaks
        self._thread.stop()

    # beyond the contract

    @property
    def url(self) -> str:
        """The address of the shown page."""
        page = self._session.tabs.shown
        return page.url if page else ""

    @property
    def asking(self) -> bool:
        """Whether a dialog is open."""
        return bool(self._session.tabs.dialogs)

    def busy(self) -> bool:
        """Return whether what the last action started has not ended: an unchanged screen may not be the last one."""
        return not self._closed and self._call(self._session.busy(), self._limit_s(), "the state of the page")

    def facts(self, action: Action) -> ActionFacts:
        """Return what an action would touch now, and how that differs from the last capture.

        Practice pages have no facts: they are files of the package, and only their address is returned.
        """
        return self._call(self._session.facts(action), self._limit_s(), "what an action would touch")

    def evidence(self) -> ScreenEvidence:
        """Return what the shown page contains, and how the requests of all pages were answered."""
        return self._call(read_evidence(self._session), self._limit_s(), "the content of the page")

    def targets(self) -> tuple[ScreenTarget, ...] | None:
        """Return the visible elements of the shown page with their places; None beneath a dialog."""
        return self._call(read_targets(self._session), self._limit_s(), "the elements of the page")

    def mask_field(self) -> bool:
        """Draw dots in place of what the field with the keyboard focus holds; return whether that worked."""
        return self._call(self._session.mask_field(), self._limit_s(), "hiding a field")

    def is_working(self) -> bool:
        """Return whether the shown page still loads, or has open requests that a step does not await any more."""
        page, tabs = self._session.tabs.shown, self._session.tabs
        if self.held_writes():
            return False
        return page is not None and (page in tabs.loading or tabs.activity.is_working(page))

    def is_frozen(self) -> bool:
        """Return whether the shown page is a practice page, which does not change before the next action."""
        return not self._closed and self._session.is_frozen()

    def pop_notices(self) -> str:
        """Return what happened since perform() returned (a late dialog, a new tab, a crash), "" if nothing."""
        return self._session.tabs.pop_notices()

    def pop_refusals(self) -> int:
        """Return how many pages the network rules refused since the last call."""
        tabs = self._session.tabs
        refusals, tabs.refusals = tabs.refusals, 0
        return refusals

    def held_writes(self) -> tuple[HeldWrite, ...]:
        """Return the requests that wait to be sent or dropped, the oldest first."""
        return self._session.writes.held if self._session.writes is not None else ()

    def send_writes(self, numbers: Sequence[int], *, alike: bool = False) -> tuple[WriteOutcome, ...]:
        """Send held requests unchanged, and wait for the answers.

        Args:
            numbers: Their numbers; those that wait no more are skipped.
            alike: Whether later requests with the method, host and path of one of these are sent at once.

        Raises:
            UsageError: The surface holds no writes.
        """
        limit_s = ANSWER_S + COMMAND_S * len(numbers) + GRACE_S
        return self._call(self._writes().send(numbers, alike), limit_s, "sending held requests")

    def drop_writes(self, numbers: Sequence[int]) -> tuple[WriteOutcome, ...]:
        """Let held requests fail; nothing of them is sent.

        Raises:
            UsageError: The surface holds no writes.
        """
        return self._call(self._writes().drop(numbers), COMMAND_S + GRACE_S, "dropping held requests")

    def pop_write_outcomes(self) -> tuple[WriteOutcome, ...]:
        """Return what became of requests that were sent as like others, since the last call."""
        return self._session.writes.pop_outcomes() if self._session.writes is not None else ()

    def _writes(self) -> WriteHolder:
        if self._session.writes is None:
            raise UsageError("this browser holds no writes; open it with hold_writes=True")
        return self._session.writes

    def goto(self, url: str) -> None:
        """Open an address in the only tab and dismiss open dialogs; for a user or a task, never for a model."""
        address = person_address(url)
        work = self._session.goto(address)
        self._call(work, 2 * (self._limit_s() + LOAD_S), f"opening {hide_userinfo(address)}")

    def evaluate(self, js: str) -> object:
        """Return the JSON value of an expression in the shown page, promises awaited; never for a model."""
        return self._call(self._session.evaluate(js), self._limit_s(), "a script in the page")

    def _call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float, description: str) -> T:
        if self._closed:
            coroutine.close()
            raise SurfaceError(f"{description} is not possible: the browser surface is closed")
        try:
            return self._thread.call(coroutine, timeout_s, description)
        except Error as error:
            failure = self._session.failure()
            raise SurfaceError(failure or f"{description} failed in the browser: {first_line(error)}") from None
        except TimeoutError:
            raise SurfaceError(f"{description} got no answer from the browser") from None

    def _limit_s(self) -> float:
        """Return the limit of one call, which may contain a hang, the replacement of the page and a second hang."""
        return 2 * self._timeout_s + OPEN_S + 2 * (self._timeout_s + LOAD_S) + GRACE_S


def open_surface(options: SurfaceOptions) -> Surface:
    """Open a browser at `options.url`.

    Raises:
        UsageError: An option belongs to other surfaces.
    """
    if problems := _foreign_options(options):
        raise UsageError("\n".join(problems))
    url = options.url or "about:blank"
    if pages.is_miniwob_address(url):
        return Surface(  # the page brings its own size
            url, headed=options.headed, network=options.network, hold_writes=options.hold_writes
        )
    return Surface(
        url,
        width=options.width,
        height=options.height,
        headed=options.headed,
        network=options.network,
        hold_writes=options.hold_writes,
    )


def check_options(options: SurfaceOptions) -> list[str]:
    """Return every reason for which the browser could not be opened now; see envs.options."""
    url, size = options.url or "about:blank", (options.width, options.height)
    is_task = pages.is_miniwob_address(url)
    checks = [
        (lambda: pages.page(pages.task_name(url))) if is_task else (lambda: check_reachable(person_address(url))),
        find_chrome,
        use_sandbox,
        lambda: require_display(options.headed),
    ]
    if not is_task:
        checks.append(lambda: _check_size(*size, DEFAULT_SCALE))
    return _foreign_options(options) + usage_problems(*checks)


def _foreign_options(options: SurfaceOptions) -> list[str]:
    """Return a sentence for each option of other surfaces."""
    flags = (
        ("--surface browser:", options.where),
        ("--window ", options.window),
        ("--program ", options.program),
        ("--share ", ", ".join(options.share)),
    )
    return [f"{flag}{value} does not apply to the browser surface; leave it out" for flag, value in flags if value]


def _check_size(width: int, height: int, scale: float) -> None:
    """Reject a screen whose sides are not whole pixels: a click could not be placed exactly."""
    size = width * scale, height * scale
    if not all(1 <= side <= MAX_SIDE and side == int(side) for side in size) or scale <= 0:
        raise UsageError(
            f"a browser of {width}x{height} CSS pixels at scale {scale} has a screen of {size[0]}x{size[1]} pixels; "
            f"both sides must be whole and 1 to {MAX_SIDE}"
        )
