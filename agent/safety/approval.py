"""The person at the guard: each action is shown before it is done, and a hand on the mouse pauses the run.

It stands behind the rules, at the one place where an action meets a machine (actions/dispatch.py). What it asks of a
surface beyond its contract is optional: `personal` (whose screen it is), `pointer() -> (x, y)` in pixels of the last
Screen, `keep_focus()`, which gives a function that puts the keyboard's focus back to where it is now, and says False
where it could not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from actions import ActionRejectedError, RunStoppedError, Screen, Wait
from actions.dispatch import GuardFn as Check
from agent.safety.signals import defer_interrupts
from agent.trace import disk_errors
from agent.ui.annotate import draw_action
from agent.ui.formatting import NO_LIMIT, describe_action

PICTURES = "asked"  # folder within the run's
STEADY_PX = 5  # a pointer this near to where it was left was not moved by a person
STILL_S, POLL_S = 3.0, 0.1  # without a terminal: how long the mouse must rest before the run goes on
NEAR_PX, LEVELS, SHARE = 24, 48, 0.25  # the square around a target; how much of it may change, and by how much
YES, STOP, NO = ("y", "yes"), ("s", "stop"), ("n", "no")
OUR_OWN = ("browser", "still")  # surfaces that are nobody's own screen, where they do not say themselves


class Approver(Protocol):
    """Somebody at a terminal. Each method gives the line that was typed; EOFError when nobody is there any more."""

    def approve(self, words: str, picture: Path) -> str: ...

    def paused(self, why: str) -> str: ...


def requires_approval(surface: Any) -> bool:
    """Whether the surface is somebody's own screen or device: what does not say that it is not, is."""
    return bool(getattr(surface, "is_user_owned", surface.name not in OUR_OWN))


class ApprovalGuard:
    """A guard: the rules, then, on somebody's own screen, that person.

    each: every action that touches the machine is asked for; else only a moved mouse stops the run for a while.
    person: None where there is no terminal; then `each` ends the run at the first action. tell(event, **facts) writes.
    """

    def __init__(
        self,
        rules: Check | None,
        surface: Any,
        folder: Path,
        tell: Callable[..., None],
        *,
        each: bool,
        person: Approver | None,
    ) -> None:
        self.rules, self.surface, self.folder, self.tell = rules, surface, folder, tell
        self.each, self.person = each, person
        self._asked = 0
        self._left: tuple[int, int] | None = None  # where the pointer was at the last action's beginning
        self._sent: tuple[int, int] | None = None  # where that action sends it

    def __call__(self, action: Any, screen: Screen) -> None:
        """Raise Denied, Refused or Stopped when the action may not be done."""
        if self.rules is not None:
            self.rules(action, screen)
        if isinstance(action, Wait):  # touches nothing
            if action.seconds == 0:  # the loop looks again, after somebody was here
                self._left = self._pointer()
            return
        if self.each:
            self._approve(action, screen)
        else:
            self._pause_if_moved()
        self._left, points = self._pointer(), action.points()
        self._sent = (points[-1].x, points[-1].y) if points else None

    # approval

    def _approve(self, action: Any, screen: Screen) -> None:
        if self.person is None:
            raise self._nobody(action)
        self._asked += 1
        name = f"{PICTURES}/{self._asked:04}.png"
        with disk_errors(self.folder):
            (self.folder / PICTURES).mkdir(exist_ok=True)
            draw_action(screen, action).save(self.folder / name)
        words = describe_action(action, NO_LIMIT)
        keep = getattr(self.surface, "keep_focus", None)
        give_back = keep() if keep else None
        try:
            line = self._line(lambda person: person.approve(words, self.folder / name))
        except EOFError:
            raise self._nobody(action, name) from None
        if line.lower() in YES:
            if give_back is not None and give_back() is False and not action.points():
                self._record_not_done(action, name, "but the keyboard's focus did not come back")
                raise ActionRejectedError(
                    "the keyboard's focus went elsewhere while the person was asked, so it was not done; look"
                )
            self._check_target_unchanged(action, screen, name)
            self.tell("approval", action=action, picture=name, answer="approved", reason="")
            return
        if line.lower() in STOP:
            self.tell("approval", action=action, picture=name, answer="stopped", reason="")
            raise RunStoppedError("a person stopped the run", by_person=True)
        reason = "" if line.lower() in NO else line
        self.tell("approval", action=action, picture=name, answer="refused", reason=reason)
        why = f"the person refused this: {reason}" if reason else "the person refused this and gave no reason"
        raise ActionRejectedError(f"{why}; do something else, or ask them")

    def _nobody(self, action: Any, picture: str = "") -> RunStoppedError:
        self.tell("approval", action=action, picture=picture, answer="nobody", reason="")
        return RunStoppedError(
            f"'{describe_action(action)}' needs a person's approval on this screen, and nobody is at a terminal to give it; "
            "run it in a terminal, or let it act unasked with --approve never"
        )

    def _line(self, ask: Callable[[Approver], str]) -> str:
        """What the person types, once it is something; Ctrl-C is their word to stop. EOFError when they are gone."""
        assert self.person is not None
        try:
            with defer_interrupts() as hold, hold.allow_interrupts():
                while not (line := ask(self.person).strip()):
                    pass
        except KeyboardInterrupt:
            raise RunStoppedError("a person stopped the run", by_person=True) from None
        return line

    def _check_target_unchanged(self, action: Any, screen: Screen, picture: str) -> None:
        """Refused when the target is no more what was shown: a person takes their time, and a screen does not wait."""
        if not action.points():
            return
        now = self.surface.capture()
        if all(region_unchanged(screen, now, point.x, point.y) for point in action.points()):
            return
        self._record_not_done(action, picture, "but the target had changed")
        raise ActionRejectedError(
            "the screen changed at this place while the person was asked, so it was not done; look again"
        )

    def _record_not_done(self, action: Any, picture: str, why: str) -> None:
        """Write down that an approved action is not done after all."""
        self.tell("approval", action=action, picture=picture, answer="approved", reason=why)

    # pause

    def _pointer(self) -> tuple[int, int] | None:
        pointer = getattr(self.surface, "pointer", None)
        return None if pointer is None else tuple(pointer())

    def _pause_if_moved(self) -> None:
        at = self._pointer()
        if at is None or self._left is None or any(_near(at, spot) for spot in (self._left, self._sent) if spot):
            return
        self.tell("paused", why="the person moved the mouse", rests_s=STILL_S if self.person is None else None)
        try:
            if self.person is None:
                raise EOFError
            if self._line(lambda person: person.paused("you moved the mouse") or "go").lower() in STOP:
                raise RunStoppedError("a person stopped the run", by_person=True)
        except EOFError:
            self._wait_until_still()
        self._left = self._pointer()
        raise ActionRejectedError("the person used the mouse meanwhile, so this was not done; look again")

    def _wait_until_still(self) -> None:
        """Until the mouse has rested for a while."""
        at, since = self._pointer(), time.monotonic()
        try:
            with defer_interrupts() as hold, hold.allow_interrupts():
                while time.monotonic() - since < STILL_S:
                    time.sleep(POLL_S)
                    if (now := self._pointer()) != at:
                        at, since = now, time.monotonic()
        except KeyboardInterrupt:
            raise RunStoppedError("a person stopped the run", by_person=True) from None


def _near(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= STEADY_PX


def region_unchanged(before: Screen, now: Screen, x: int, y: int) -> bool:
    """Whether the square around a point shows much the same on both; a caret or a hovered edge is no change."""
    if before.pixels.shape != now.pixels.shape:
        return False
    rows, columns = slice(max(0, y - NEAR_PX), y + NEAR_PX + 1), slice(max(0, x - NEAR_PX), x + NEAR_PX + 1)
    old, new = before.pixels[rows, columns].astype(np.int16), now.pixels[rows, columns].astype(np.int16)
    return bool((np.abs(old - new).max(axis=2) > LEVELS).mean() < SHARE)
