"""PersonTurn: what a person does between two decisions of the model: pause, steer, act themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from actions import Action, InvalidActionError, PressKeys, Screen, SurfaceError, TypeText
from actions.dispatch import Replacement
from actions.surface import SupportsFacts
from agent.env import BaseEnv, Env
from agent.run_control import RunControl
from agent.safety.signals import InterruptShield
from agent.target_recorder import TargetRecorder
from agent.termination import TurnResult
from agent.turn_executor import hide_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE_S = 0.5  # between two captures while the run waits
MAX_LABEL_CHARS = 500  # of the element that receives keyboard input
PAUSED = "the person paused the run"
PERSON_NOTE = "The person says: {text}"
HANDED_BACK = "The person took over, did {count} and handed back: look at the screen as it is now."


@runtime_checkable
class AdmitsPerson(Protocol):
    """A guard that knows actions of the person."""

    def admit(self, action: Action, screen: Screen) -> Replacement | None:
        """Raise ActionDeniedError if a rule denies an action of the person."""
        ...

    def recordable(self, action: Action) -> Action:
        """Return an action of the person as it may be recorded."""
        ...

    def add_wait(self, seconds: float) -> None:
        """Count seconds for which the run waited for the person."""
        ...


class PersonTurn:
    """Carries out what a person asks of a run.

    Args:
        env: The environment; its guard is told of the person's actions.
        control: What the person asks for.
        record: Records events in the trace.
        show: Shows events that are not recorded.
        recapture: Returns the state of the environment as it is now.
        shield: Defers requests to stop.
        targets: Describes what the person's actions touch; None for runs that are not recorded.
    """

    def __init__(
        self,
        env: Env,
        control: RunControl,
        record: Callable[..., None],
        show: Callable[..., None],
        recapture: Callable[[TurnResult], TurnResult],
        shield: InterruptShield,
        targets: TargetRecorder | None = None,
    ) -> None:
        self._targets = targets
        self._env, self._base = env, cast(BaseEnv, env.unwrapped)
        self._control, self._record, self._show = control, record, show
        self._recapture, self._shield = recapture, shield

    def before_decision(self, step: int, state: TurnResult) -> tuple[str, TurnResult]:
        """Do what the person asked for; return a note for the model ("" for none) and the state after it.

        Args:
            step: The number of finished steps.
            state: The state before it.

        Raises:
            SurfaceError: The machine failed.
            StopRequestedError: The person stopped the run meanwhile.
        """
        notes: list[str] = []
        while True:
            notes += self._read_notes(step)
            if self._control.mode == "taken over" or self._control.has_actions:
                added, state = self._take_over(step, state)
            elif self._control.mode == "paused" and not self._control.pop_step():
                added, state = self._pause(step, state)
            else:
                return "\n".join(notes), state
            notes += added

    def _read_notes(self, step: int) -> list[str]:
        """Return the person's notes that were not read yet, for the model, and record them."""
        notes = [PERSON_NOTE.format(text=text) for text in self._control.pop_notes()]
        for note in notes:
            self._record("steer", step=step, note=note)
        return notes

    def _pause(self, step: int, state: TurnResult) -> tuple[list[str], TurnResult]:
        """Wait until the run may go on; return notes for the model: the person's, and what the surface reports."""
        self._record("paused", why=PAUSED, rests_s=None)
        start = time.monotonic()
        notes: list[str] = []
        while self._control.is_waiting:
            notes += self._read_notes(step)
            self._wait()
        waited_s = self._count_wait(start)
        self._record("continued", step=step, waited_s=waited_s)
        state = self._look(state)
        return [*notes, *filter(None, [state.notice])], state

    def _take_over(self, step: int, state: TurnResult) -> tuple[list[str], TurnResult]:
        """Carry out the person's actions until they hand back; return notes for the model."""
        self._record("person.begin", step=step)
        start, count = time.monotonic(), 0
        notices: list[str] = []
        while True:
            action = self._control.pop_action()
            if action is not None:
                count += 1
                state = self._perform(step, action, state)
                notices += filter(None, [state.notice])
            elif self._control.mode != "taken over" or _is_over(state):
                break
            else:
                self._wait()
        if self._control.mode == "taken over":  # the task is done
            self._control.hand_back()
        waited_s = self._count_wait(start)
        if not _is_over(state):
            state = self._look(state)
            notices += filter(None, [state.notice])
        actions = "nothing" if count == 0 else "1 action" if count == 1 else f"{count} actions"
        note = "\n".join([HANDED_BACK.format(count=actions), *notices])
        self._record("person.end", step=step, actions=count, note=note, waited_s=waited_s, screen=state.screen)
        return [note], state

    def _perform(self, step: int, action: Action, state: TurnResult) -> TurnResult:
        """Carry out an action of the person, and record it; return the state after it."""
        guard = self._base.guard
        recorded = guard.recordable(action) if isinstance(guard, AdmitsPerson) else action
        error = note = ""
        before = self._base.screen
        described: dict[str, object] = {}
        if self._targets is not None and before is not None:
            described = {"before": before, **self._targets.before(action, before), **self._describe_focus(action)}
        try:
            with self._guard_of_person():
                _, reward, terminated, truncated, info = self._env.step(action)
            note = hide_secrets(self._env, info["note"])
            state = TurnResult.from_info({**info, "note": note}, reward, terminated or truncated)
        except (InvalidActionError, SurfaceError) as failure:
            error, state = str(failure), replace(state, notice="")
            if isinstance(failure, SurfaceError):
                raise
        finally:
            if described and not error:
                described["screen"] = state.screen
                appeared = self._targets.after(state.screen) if self._targets is not None else {}
                described |= appeared if recorded == action else {}  # a hidden text may be among the contents
            self._record("person.act", step=step, action=recorded, error=error, note=note, **described)
        self._show("screen", screen=state.screen)
        return state

    def _describe_focus(self, action: Action) -> dict[str, object]:
        """Return the element that receives keyboard input, as the facts of a decision; {} where it is unknown."""
        surface = self._base.surface
        if not isinstance(action, TypeText | PressKeys) or not isinstance(surface, SupportsFacts):
            return {}
        try:
            focus = surface.facts(action).focus
        except (SurfaceError, InvalidActionError):  # the action itself meets the failure again
            return {}
        if focus is None:
            return {}
        label = focus.label[:MAX_LABEL_CHARS]
        return {"facts": {"focus": {"role": focus.role, "label": label, "field": focus.field}}}

    @contextmanager
    def _guard_of_person(self) -> Iterator[None]:
        """Let the guard treat actions as the person's within the block."""
        guard = self._base.guard
        if isinstance(guard, AdmitsPerson):
            self._base.guard = guard.admit
        try:
            yield
        finally:
            self._base.guard = guard

    def _wait(self) -> None:
        """Wait for the person, and show the screen as it is now."""
        with self._shield.allow_interrupts():
            self._control.wait(LIVE_S)
        screen = self._base.surface.capture()
        self._base.screen = screen
        self._show("screen", screen=screen)

    def _look(self, state: TurnResult) -> TurnResult:
        """Return the state as it is now.

        Raises:
            SurfaceError: The machine failed.
        """
        current = self._recapture(state)
        if isinstance(current.error, SurfaceError):
            raise current.error
        return current

    def _count_wait(self, start: float) -> float:
        """Return the seconds since `start`, which count as waiting for the person."""
        waited_s = time.monotonic() - start
        if isinstance(self._base.guard, AdmitsPerson):
            self._base.guard.add_wait(waited_s)
        return round(waited_s, 3)


def _is_over(state: TurnResult) -> bool:
    """Return whether the task is done."""
    return bool(state.verdict and state.verdict["done"])
