"""RunControl: what a person asks of a running run from another thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from actions import Action, UsageError

MAX_WAITING = 100  # actions and notes that the loop has not read yet
MAX_NOTE_CHARS = 2000

ControlMode = Literal["running", "paused", "taken over"]


class RunControl:
    """Requests of a person, which the loop reads before each decision of the model.

    The methods of the person return at once and may be called from any thread. Those of the loop are called from its
    own.

    Attributes:
        mode: "running"; "paused" before the next decision; or "taken over", while the person acts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._mode: ControlMode = "running"
        self._may_step = False
        self._notes: deque[str] = deque()
        self._actions: deque[Action] = deque()
        self._stop: Callable[[], None] | None = None

    @property
    def mode(self) -> ControlMode:
        """What the person asked for last."""
        return self._mode

    # the person

    def pause(self) -> None:
        """Let the run wait before its next decision.

        Raises:
            UsageError: The person has taken over.
        """
        with self._lock:
            if self._mode == "taken over":
                raise UsageError("the run waits already, as you have taken over; hand back first")
            self._mode = "paused"
        self._changed.set()

    def resume(self) -> None:
        """Let a paused run go on.

        Raises:
            UsageError: The person has taken over.
        """
        with self._lock:
            if self._mode == "taken over":
                raise UsageError("you have taken over; hand back to let the run go on")
            self._mode, self._may_step = "running", False
        self._changed.set()

    def step(self) -> None:
        """Let a paused run make one step.

        Raises:
            UsageError: The run is not paused.
        """
        with self._lock:
            if self._mode != "paused":
                raise UsageError("the run is not paused; pause it first")
            self._may_step = True
        self._changed.set()

    def steer(self, text: str) -> None:
        """Give the model a note that it reads with the next screenshot.

        Raises:
            UsageError: The note is empty or too long, or too many wait.
        """
        text = text.strip()
        if not text:
            raise UsageError("the note is empty; write what the model should know")
        if len(text) > MAX_NOTE_CHARS:
            raise UsageError(f"the note has {len(text)} characters; write at most {MAX_NOTE_CHARS}")
        with self._lock:
            if len(self._notes) >= MAX_WAITING:
                raise UsageError(f"{MAX_WAITING} notes wait already; wait until the model has read them")
            self._notes.append(text)
        self._changed.set()

    def take_over(self) -> None:
        """Let the person act in place of the model, before its next decision."""
        with self._lock:
            self._mode, self._may_step = "taken over", False
        self._changed.set()

    def hand_back(self) -> None:
        """Let the model go on after the actions of the person.

        Raises:
            UsageError: The person has not taken over.
        """
        with self._lock:
            if self._mode != "taken over":
                raise UsageError("you have not taken over, so there is nothing to hand back")
            self._mode = "running"
        self._changed.set()

    def act(self, action: Action) -> None:
        """Have an action of the person carried out.

        Raises:
            UsageError: The person has not taken over, or too many actions wait.
        """
        with self._lock:
            if self._mode != "taken over":
                raise UsageError("this was not done, as the model has the screen; take over first")
            if len(self._actions) >= MAX_WAITING:
                raise UsageError(f"{MAX_WAITING} of your actions wait already; wait until they are carried out")
            self._actions.append(action)
        self._changed.set()

    def stop(self) -> None:
        """Stop the run after the action in progress.

        Raises:
            UsageError: It has not begun, or is over.
        """
        stop = self._stop
        if stop is None:
            raise UsageError("the run does not act now, so it cannot be stopped here; press Ctrl-C in its terminal")
        stop()

    # the loop

    def on_stop(self, stop: Callable[[], None] | None) -> None:
        """Name the function that stops the run; None once it is over."""
        self._stop = stop

    def pop_notes(self) -> list[str]:
        """Return the notes that were not read yet, and forget them."""
        with self._lock:
            notes = list(self._notes)
            self._notes.clear()
        return notes

    def pop_action(self) -> Action | None:
        """Return the next action of the person, None if none waits."""
        with self._lock:
            return self._actions.popleft() if self._actions else None

    @property
    def has_actions(self) -> bool:
        """Whether actions of the person wait, also after they handed back."""
        return bool(self._actions)

    def pop_step(self) -> bool:
        """Return whether a paused run may make one step, and use that up."""
        with self._lock:
            may_step, self._may_step = self._may_step, False
        return may_step

    @property
    def is_waiting(self) -> bool:
        """Whether the run is paused and may not make a step."""
        return self._mode == "paused" and not self._may_step

    def wait(self, timeout_s: float) -> None:
        """Wait until the person asks for something, at most `timeout_s`."""
        self._changed.wait(timeout_s)
        self._changed.clear()
