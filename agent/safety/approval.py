"""Ask the user before each action, and pause the run when the user moves the mouse.

The guard runs after the URL rules, in `actions.dispatch.dispatch`. It uses three optional capabilities of a surface,
declared in `actions.surface`: SupportsOwnership, SupportsPointer and SupportsFocus.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from actions import Action, ActionRejectedError, Click, PressKeys, RunStoppedError, Screen, TypeText, Wait
from actions.dispatch import GuardFn
from actions.surface import SupportsFocus, SupportsOwnership, SupportsPointer, Surface
from agent.safety.signals import defer_interrupts
from agent.trace import disk_errors
from agent.ui.annotate import draw_action
from agent.ui.formatting import NO_LIMIT, describe_action

SCREENSHOT_FOLDER = "approvals"  # within the run's folder
POINTER_TOLERANCE_PX = 5  # a pointer this near to where the run left it was not moved by the user
REST_S, POLL_S = 3.0, 0.1  # without a terminal: how long the mouse must rest before the run goes on
REGION_RADIUS_PX = 24  # half the side of the square around a target that is compared
LEVEL_TOLERANCE = 48  # a pixel has changed where a channel differs by more
CHANGED_FRACTION = 0.25  # a region has changed where this fraction of its pixels has
YES, ALWAYS, STOP, NO = ("y", "yes"), ("a", "always"), ("s", "stop"), ("n", "no")

EmitFn = Callable[..., None]  # emit(event, **facts) writes one event to the trace and the display


class Approver(Protocol):
    """The user at a terminal. Each method returns the line that was typed, and raises EOFError at end of input."""

    def approve(self, description: str, screenshot: Path) -> str:
        """Ask whether an action may be carried out."""
        ...

    def paused(self, reason: str) -> str:
        """Ask whether a paused run may go on."""
        ...


def requires_approval(surface: Surface) -> bool:
    """Return whether the surface is the user's own screen or device, which one that does not declare it counts as."""
    return surface.is_user_owned if isinstance(surface, SupportsOwnership) else True


class ApprovalGuard:
    """A guard that applies the rules and then, on the user's own screen, asks the user.

    Args:
        rules: Guard that runs first; None for none.
        surface: The surface the actions are carried out on.
        folder: The run's folder, where the screenshots shown to the user are stored.
        emit: Writes `approval` and `paused` events.
        each: Ask before every action; if False, a moved mouse pauses the run instead.
        person: The user; None without a terminal, in which case `each` ends the run at the first action.
    """

    def __init__(
        self,
        rules: GuardFn | None,
        surface: Surface,
        folder: Path,
        emit: EmitFn,
        *,
        each: bool,
        person: Approver | None,
    ) -> None:
        self.rules, self.surface, self.folder, self.emit = rules, surface, folder, emit
        self.each, self.person = each, person
        self.waited_s = 0.0  # total time the user took to answer
        self._question_s = 0.0  # the part of it that the next approval event reports
        self._approved_verbs: set[str] = set()
        self._screenshot_count = 0
        self._pointer_before: tuple[int, int] | None = None  # position when the last action started
        self._pointer_target: tuple[int, int] | None = None  # position the last action moves it to
        self._last_click: tuple[int, int] | None = None  # where typed text most likely goes

    def __call__(self, action: Action, screen: Screen) -> None:
        """Raise ActionDeniedError, ActionRejectedError or RunStoppedError if the action must not be carried out."""
        if self.rules is not None:
            self.rules(action, screen)
        if isinstance(action, Wait):  # does not touch the machine
            if action.seconds == 0:  # the loop captures the screen again after the user was asked
                self._pointer_before = self._pointer()
            return
        if self.each and action.verb not in self._approved_verbs:
            self._approve(action, screen)
        else:
            self._pause_if_moved()
            if self.each:
                self._record(action, "", "approved", "this kind of action was approved for the run")
        self._pointer_before, points = self._pointer(), action.points()
        self._pointer_target = (points[-1].x, points[-1].y) if points else None
        if isinstance(action, Click):
            self._last_click = self._pointer_target
        elif not isinstance(action, TypeText):  # a key, a scroll or a new page may move the focus elsewhere
            self._last_click = None

    def _approve(self, action: Action, screen: Screen) -> None:
        if self.person is None:
            raise self._no_approver(action)
        name = self._store_screenshot(action, screen)
        restore_focus = self.surface.keep_focus() if isinstance(self.surface, SupportsFocus) else None
        description = describe_action(action, NO_LIMIT) + self._focus_note(action)
        try:
            line = self._ask(lambda person: person.approve(description, self.folder / name))
        except EOFError:
            raise self._no_approver(action, name) from None
        if line.lower() in YES + ALWAYS:
            if restore_focus is not None and restore_focus() is False and not action.points():
                self._record_not_done(action, name, "but the keyboard focus did not come back")
                raise ActionRejectedError(
                    "not done: the keyboard focus moved elsewhere while the person was asked; look again"
                )
            self._check_target_unchanged(action, screen, name)
            if line.lower() in ALWAYS:
                self._approved_verbs.add(action.verb)
            self._record(action, name, "approved", "")
            return
        if line.lower() in STOP:
            self._record(action, name, "stopped", "")
            raise RunStoppedError("a person stopped the run", by_person=True)
        reason = "" if line.lower() in NO else line
        self._record(action, name, "refused", reason)
        sentence = f"the person refused this: {reason}" if reason else "the person refused this and gave no reason"
        raise ActionRejectedError(f"{sentence}; do something else, or ask them")

    def _store_screenshot(self, action: Action, screen: Screen) -> str:
        """Store the screen with the action drawn on it and return its path within the run's folder."""
        self._screenshot_count += 1
        name = f"{SCREENSHOT_FOLDER}/{self._screenshot_count:04}.png"
        focus = self._last_click if isinstance(action, TypeText | PressKeys) else None
        with disk_errors(self.folder):
            (self.folder / SCREENSHOT_FOLDER).mkdir(exist_ok=True)
            draw_action(screen, action, focus).save(self.folder / name)
        return name

    def _focus_note(self, action: Action) -> str:
        """Return where the keyboard input of an action most likely goes, "" for an action with a point."""
        if not isinstance(action, TypeText | PressKeys):
            return ""
        if self._last_click is None:
            return ", into whatever has the keyboard focus"
        return f", after the click at ({self._last_click[0]}, {self._last_click[1]})"

    def _no_approver(self, action: Action, screenshot: str = "") -> RunStoppedError:
        self._record(action, screenshot, "nobody", "")
        return RunStoppedError(
            f"'{describe_action(action)}' needs a person's approval on this screen, and there is no terminal to ask "
            "at; run the command in a terminal, or allow all actions with --approve never"
        )

    def _ask(self, prompt: Callable[[Approver], str]) -> str:
        """Return the first line that is not blank; Ctrl-C stops the run. Raise EOFError at end of input."""
        assert self.person is not None
        start = time.monotonic()
        try:
            with defer_interrupts() as shield, shield.allow_interrupts():
                while not (line := prompt(self.person).strip()):
                    pass
        except KeyboardInterrupt:
            raise RunStoppedError("a person stopped the run", by_person=True) from None
        finally:
            self._question_s = time.monotonic() - start
            self.waited_s += self._question_s
        return line

    def _check_target_unchanged(self, action: Action, screen: Screen, screenshot: str) -> None:
        """Raise ActionRejectedError if the screen around the target has changed since the model saw it."""
        if not action.points():
            return
        current = self.surface.capture()
        if all(region_unchanged(screen, current, point.x, point.y) for point in action.points()):
            return
        self._record_not_done(action, screenshot, "but the target had changed")
        raise ActionRejectedError(
            "the screen changed at this place while the person was asked, so it was not done; look again"
        )

    def _record(self, action: Action, screenshot: str, answer: str, reason: str) -> None:
        waited_s, self._question_s = round(self._question_s, 3), 0.0
        self.emit("approval", action=action, picture=screenshot, answer=answer, reason=reason, waited_s=waited_s)

    def _record_not_done(self, action: Action, screenshot: str, reason: str) -> None:
        """Record that an approved action was not carried out."""
        self._record(action, screenshot, "approved", reason)

    def _pointer(self) -> tuple[int, int] | None:
        if not isinstance(self.surface, SupportsPointer):
            return None
        x, y = self.surface.pointer()
        return x, y

    def _pause_if_moved(self) -> None:
        """Pause and raise ActionRejectedError if the pointer is not where the last action left it."""
        position = self._pointer()
        expected = [point for point in (self._pointer_before, self._pointer_target) if point is not None]
        if position is None or self._pointer_before is None or any(_is_near(position, point) for point in expected):
            return
        self.emit("paused", why="the user moved the mouse", rests_s=REST_S if self.person is None else None)
        try:
            if self.person is None:
                raise EOFError
            if self._ask(lambda person: person.paused("you moved the mouse") or "continue").lower() in STOP:
                raise RunStoppedError("a person stopped the run", by_person=True)
        except EOFError:
            self._wait_until_still()
        self._pointer_before = self._pointer()
        raise ActionRejectedError("the person used the mouse meanwhile, so this was not done; look again")

    def _wait_until_still(self) -> None:
        """Wait until the pointer has not moved for REST_S seconds."""
        position, since = self._pointer(), time.monotonic()
        try:
            with defer_interrupts() as shield, shield.allow_interrupts():
                while time.monotonic() - since < REST_S:
                    time.sleep(POLL_S)
                    if (current := self._pointer()) != position:
                        position, since = current, time.monotonic()
        except KeyboardInterrupt:
            raise RunStoppedError("a person stopped the run", by_person=True) from None


def _is_near(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= POINTER_TOLERANCE_PX


def region_unchanged(before: Screen, after: Screen, x: int, y: int) -> bool:
    """Return whether the square around a point looks much the same on both screens.

    A blinking caret or a hover border does not count as a change.
    """
    if before.pixels.shape != after.pixels.shape:
        return False
    rows = slice(max(0, y - REGION_RADIUS_PX), y + REGION_RADIUS_PX + 1)
    columns = slice(max(0, x - REGION_RADIUS_PX), x + REGION_RADIUS_PX + 1)
    old, new = before.pixels[rows, columns].astype(np.int16), after.pixels[rows, columns].astype(np.int16)
    return bool((np.abs(old - new).max(axis=2) > LEVEL_TOLERANCE).mean() < CHANGED_FRACTION)
