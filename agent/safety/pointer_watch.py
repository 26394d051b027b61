"""PointerWatch: pauses the run when the user moves the mouse between two actions."""

from __future__ import annotations

import time
from collections.abc import Callable

from actions import Action, ActionRejectedError, RunStoppedError
from actions.surface import SupportsPointer, Surface
from agent.safety.approval import ApprovalPrompt
from agent.safety.signals import defer_interrupts

POINTER_TOLERANCE_PX = 5  # a pointer this near to where the run left it was not moved by the user
MOUSE_MOVED = "the user moved the mouse"  # why the run paused
REST_S, POLL_S = 3.0, 0.1  # without a terminal: how long the mouse must rest before the run goes on


class PointerWatch:
    """Compares the pointer's position with where the last action left it.

    Args:
        surface: The surface; one without a pointer is not watched.
        prompt: Asks the person whether to go on.
        emit: Writes `paused` events.
    """

    def __init__(self, surface: Surface, prompt: ApprovalPrompt, emit: Callable[..., None]) -> None:
        self.surface, self.prompt, self.emit = surface, prompt, emit
        self._before: tuple[int, int] | None = None  # position when the last action started
        self._target: tuple[int, int] | None = None  # position the last action moves it to

    def pause_if_moved(self) -> None:
        """Pause and raise ActionRejectedError if the pointer is not where the last action left it."""
        position = self._position()
        expected = [point for point in (self._before, self._target) if point is not None]
        if position is None or self._before is None or any(_is_near(position, point) for point in expected):
            return
        self.emit("paused", why=MOUSE_MOVED, rests_s=REST_S if self.prompt.person is None else None)
        try:
            self.prompt.confirm_pause("you moved the mouse")
        except EOFError:
            self._wait_until_still()
        self.update()
        raise ActionRejectedError("the person used the mouse meanwhile, so this was not done; look again")

    def start(self, action: Action) -> None:
        """Remember where an action that is about to be performed takes the pointer."""
        points = action.points()
        self._before = self._position()
        self._target = (points[-1].x, points[-1].y) if points else None

    def update(self) -> None:
        """Take the present position as the one where the run left the pointer."""
        self._before = self._position()

    def _position(self) -> tuple[int, int] | None:
        if not isinstance(self.surface, SupportsPointer):
            return None
        x, y = self.surface.pointer()
        return x, y

    def _wait_until_still(self) -> None:
        """Wait until the pointer has not moved for REST_S seconds."""
        position, since = self._position(), time.monotonic()
        try:
            with defer_interrupts() as shield, shield.allow_interrupts():
                while time.monotonic() - since < REST_S:
                    time.sleep(POLL_S)
                    if (current := self._position()) != position:
                        position, since = current, time.monotonic()
        except KeyboardInterrupt:
            raise RunStoppedError("a person stopped the run", by_person=True) from None


def _is_near(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= POINTER_TOLERANCE_PX
