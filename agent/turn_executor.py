"""TurnExecutor: one turn, from the model's reply to the next screenshot.

A reply may contain several actions. They are performed in order, each with its own two events. Remaining actions are
skipped once the screen they were meant for has changed: after an error, a notice from the machine (a dialog, a new
tab), the end of the task, or a change of the screen's size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol, cast, runtime_checkable

from actions import (
    Action,
    ActionRejectedError,
    Ask,
    Call,
    InvalidActionError,
    Reply,
    Screen,
    Step,
    SurfaceError,
    Wait,
)
from actions.history import merge_parts
from agent.env import BaseEnv, Env
from agent.policies.base import Policy
from agent.repetition import WATCH_S
from agent.safety.approval import NO, YES
from agent.safety.freshness import region_unchanged
from agent.safety.signals import InterruptShield
from agent.safety.write_review import ReviewsWrites
from agent.target_recorder import TargetRecorder
from agent.termination import TerminationMonitor, TurnResult
from agent.ui.formatting import describe_action

AskUser = Callable[[str], str]  # question -> answer; raises EOFError without an answer


@runtime_checkable
class TracksUserWait(Protocol):
    """A guard that measures how long the user took to answer its questions."""

    waited_s: float  # in all


@runtime_checkable
class RedactsEvents(Protocol):
    """A guard that keeps texts for secret fields out of the events of a run."""

    def protect(self, actions: Sequence[Action]) -> None:
        """Find such texts among the actions of a reply."""
        ...

    def redact(self, facts: Mapping[str, object]) -> dict[str, object]:
        """Return the facts of an event without them."""
        ...


@runtime_checkable
class HidesSecrets(Protocol):
    """A guard that keeps stored secrets out of what the model reads."""

    def hide_secrets(self, text: str) -> str:
        """Return the text with the names of the secrets in their place."""
        ...


def hide_secrets(env: Env, text: str) -> str:
    """Return a text for the model or the caller without the secrets that the environment's guard knows."""
    guard = getattr(env.unwrapped, "guard", None)
    return guard.hide_secrets(text) if isinstance(guard, HidesSecrets) else text


def redact_event(env: Env, facts: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of an event without the texts that the environment's guard protects."""
    guard = getattr(env.unwrapped, "guard", None)
    return guard.redact(facts) if isinstance(guard, RedactsEvents) else dict(facts)


@dataclass
class TurnExecutor:
    """Performs the actions of a reply and records them."""

    env: Env
    policy: Policy
    monitor: TerminationMonitor
    record: Callable[..., None]  # record(event, **facts) is called before and after each action
    shield: InterruptShield
    ask: AskUser | None = None  # answers the model's questions; None without a terminal
    approves_each: bool = False  # the user sees every action anyway, so uncertain ones need no second question
    targets: TargetRecorder | None = None  # describes what actions touch; None for runs that are not recorded
    _asked_s: float = field(default=0.0, init=False)  # seconds that the user took to answer `ask`, in all

    def execute(
        self,
        index: int,
        reply: Reply,
        state: TurnResult,
        start: float,
        think_s: float,
        actions: tuple[Action, ...] | None = None,
    ) -> tuple[Step, TurnResult]:
        """Perform the actions of a reply; return the turn as a Step, and the state after it.

        Args:
            index: The number of the step.
            reply: The policy's reply to the last screen.
            state: The state before the turn.
            start: time.perf_counter() at the start of the turn.
            think_s: Seconds of the turn that the reply took.
            actions: What to perform in place of the reply's actions; None for those.
        """
        screen, part_start, user_s = state.screen, start, self._user_wait_s()
        call, parsed, state = self._parse(reply, state)
        if actions is None:
            actions = parsed
        else:
            state = replace(state, error=None)  # what is performed does not depend on the reply
        if reply.uncertainty and actions and not self.approves_each:
            state = self._confirm_uncertain(reply.uncertainty, actions[0], state)
            actions = () if state.error is not None else actions
        if self.monitor.repetition.needs_watch(actions):
            self._watch(screen)
        timings_s: Mapping[str, float] = {"think": think_s, **reply.timings_s}
        parts: list[Step] = []
        for number, action in enumerate(actions or (None,), 1):
            position = {"step": index, **({"part": number, "parts": len(actions)} if len(actions) > 1 else {})}
            if action is not None:
                described = self.targets.before(action, state.screen) if self.targets is not None else {}
                self.record("act.intent", **position, call=call, action=action, **described)
                state = self._perform(action, state)
            is_last = number >= len(actions) or _should_stop(state, screen)
            if is_last:
                state = self._finalize(state, screen, actions, number)
            elapsed_s = time.perf_counter() - part_start
            part_start += elapsed_s
            waited_s = self._user_wait_s() - user_s
            user_s += waited_s
            part = Step(
                index=index,
                screen=screen,
                reply=reply,
                call=call,
                action=action,
                error=_error_text(state, actions, number),
                notice=state.notice,
                reward=state.reward,
                seconds=max(0.0, elapsed_s - waited_s),  # the user's time is not the agent's
            )
            parts.append(part)
            self.record(
                "act.result",
                **position,
                call=call,
                action=action,
                error=part.error,
                reward=part.reward,
                seconds=part.seconds,
                note=part.notice,
                verdict=state.verdict,
                screen=state.screen,
                timings_s={**timings_s, **state.timings_s},
                **(self.targets.after(state.screen) if self.targets is not None and action is not None else {}),
            )
            timings_s = {}  # the model's time counts once, for the first action
            if is_last:
                break
        return merge_parts(parts), state

    def review_writes(self, step: Step, state: TurnResult) -> tuple[Step, TurnResult]:
        """Ask the person about requests that the step left waiting; return step and state as they are after it.

        Raises:
            RunStoppedError: The person stops the run.
            SurfaceError: The surface failed.
        """
        guard = getattr(self.env.unwrapped, "guard", None)
        if not isinstance(guard, ReviewsWrites) or state.is_over or isinstance(state.error, SurfaceError):
            return step, state
        asks_again = isinstance(step.action, Ask)
        while True:  # what was sent may lead to further requests
            note, is_decided = guard.writes.review(asks_again=asks_again)
            asks_again = False
            if not note:
                return step, state
            note = hide_secrets(self.env, note)
            if is_decided:  # the page goes on
                current = self.recapture(state)
                if isinstance(current.error, SurfaceError):
                    raise current.error
                note = "\n".join(filter(None, (note, current.notice)))
                refusals = state.refusals + current.refusals
                state = replace(current, error=state.error, notice=state.notice, refusals=refusals)
            self.record("writes.note", step=step.index, note=note, screen=state.screen)
            notice = "\n".join(filter(None, (step.notice, note)))
            step, state = replace(step, notice=notice), replace(state, notice=notice)
            if not is_decided:
                return step, state

    def finish_writes(self, *, asks: bool) -> None:
        """Let the person decide a last time about requests that wait, if `asks`, and drop the rest."""
        guard = getattr(self.env.unwrapped, "guard", None)
        if isinstance(guard, ReviewsWrites):
            guard.writes.finish(asks=asks)

    def protect(self, reply: Reply, screen: Screen) -> None:
        """Keep texts of a reply that go into fields for secrets out of all events; call it before recording one."""
        guard = getattr(self.env.unwrapped, "guard", None)
        if isinstance(guard, RedactsEvents):
            with suppress(InvalidActionError):  # an invalid reply is not performed
                guard.protect(self.policy.to_actions(self.policy.parse(reply), screen))

    def _parse(self, reply: Reply, state: TurnResult) -> tuple[Call | None, tuple[Action, ...], TurnResult]:
        """Return the call and the actions of a reply; for an invalid one no actions, and a state with the error."""
        call, state = None, TurnResult(state.screen, state.verdict)
        try:
            call = self.policy.parse(reply)
            actions = self.policy.to_actions(call, state.screen)
            if not actions:
                raise InvalidActionError("the reply means no action; say what to do next, or that it is done")
            return call, actions, state
        except InvalidActionError as error:  # the model reads it in the next turn
            return call, (), replace(state, error=error)

    def _confirm_uncertain(self, uncertainty: str, action: Action, state: TurnResult) -> TurnResult:
        """Ask the user about an uncertain action; return the state with the user's refusal as its error.

        Without a terminal the action is performed. A screenshot taken afterwards shows whether its target is
        still there.
        """
        if self.ask is None:
            return state
        question = (
            f"The model wants to {describe_action(action)}, but its position is uncertain: {uncertainty}. "
            "y: do it; anything else: do not, and the model reads what you write"
        )
        try:
            answer = self._ask_user(question).strip()
        except EOFError:
            return state
        current = self.recapture(state)
        if current.error is not None:
            return current
        if answer.lower() not in YES:
            detail = f": {answer}" if answer and answer.lower() not in NO else ""
            return replace(
                current, error=ActionRejectedError(f"you were unsure of the place, and the person said no{detail}")
            )
        if not all(region_unchanged(state.screen, current.screen, point.x, point.y) for point in action.points()):
            return replace(
                current, error=ActionRejectedError("this place changed while the person was asked; look again")
            )
        return current

    def _perform(self, action: Action, state: TurnResult) -> TurnResult:
        """Perform an action, or ask the user a question; the result has the model's or the machine's error."""
        try:
            if isinstance(action, Ask):
                answer = self._answer(action)
                result = self._step(Wait(seconds=0))  # the user may have changed the screen
                return result.with_notice(f"The person answers: {answer}")
            is_wait = isinstance(action, Wait)  # cutting a wait short is harmless
            with self.shield.allow_interrupts() if is_wait else nullcontext():
                return self._step(action)
        except ActionRejectedError as error:
            current = self.recapture(state)
            return current if current.error is not None else replace(current, error=error)
        except (InvalidActionError, SurfaceError) as error:
            return TurnResult(state.screen, state.verdict, error=error)

    def _step(self, action: Action) -> TurnResult:
        _, reward, terminated, truncated, info = self.env.step(action)
        info = {**info, "note": hide_secrets(self.env, info["note"])}
        return TurnResult.from_info(info, reward, terminated or truncated)

    def _answer(self, question: Ask) -> str:
        try:
            return self._ask_user(question.question)
        except EOFError:
            raise InvalidActionError(
                "nobody is there to answer; decide by yourself, or end the run with status failure and say why"
            ) from None

    def _ask_user(self, question: str) -> str:
        if self.ask is None:
            raise EOFError
        start = time.perf_counter()
        try:
            with self.shield.allow_interrupts():
                return self.ask(question)
        finally:
            self._asked_s += time.perf_counter() - start

    def _user_wait_s(self) -> float:
        """Return the seconds that the user took to answer so far, in this run."""
        guard = getattr(self.env.unwrapped, "guard", None)
        return self._asked_s + (guard.waited_s if isinstance(guard, TracksUserWait) else 0.0)

    def _watch(self, screen: Screen) -> None:
        """Look for pixels that move although nothing is done, such as a clock; the model's time counts as well."""
        surface = cast(BaseEnv, self.env.unwrapped).surface if hasattr(self.env.unwrapped, "surface") else None
        screens = [screen]
        if surface is not None:
            with suppress(SurfaceError), self.shield.allow_interrupts():  # the action itself meets the failure again
                for _ in range(2):
                    elapsed_s = time.time() - screens[-1].timestamp
                    time.sleep(min(max(0.0, WATCH_S - elapsed_s), WATCH_S))
                    screens.append(surface.capture())
                    if screens[-1].digest == screens[-2].digest:
                        break
        self.monitor.repetition.watch(screens)

    def recapture(self, state: TurnResult) -> TurnResult:
        """Return the current state after the user was asked; the old one where the environment cannot wait."""
        try:
            return self._step(Wait(seconds=0))
        except InvalidActionError:
            return TurnResult(state.screen, state.verdict)
        except SurfaceError as error:
            return TurnResult(state.screen, state.verdict, error=error)

    def _finalize(self, state: TurnResult, screen: Screen, actions: tuple[Action, ...], number: int) -> TurnResult:
        """Return the state after a turn's last action, with notices about skipped actions and lack of progress."""
        if state.error is not None:
            return self.monitor.check_progress(actions[:number], screen, state)
        if number < len(actions) and not state.is_over:
            rest = f"the last {len(actions) - number} of the {len(actions)} actions were not done"
            state = state.with_notice(f"The screen is another now: {rest}.")
        return self.monitor.check_progress(actions[:number], screen, state)


def _should_stop(state: TurnResult, screen: Screen) -> bool:
    """Return whether the remaining actions, meant for `screen`, are skipped."""
    is_same_size = (state.screen.width, state.screen.height) == (screen.width, screen.height)
    return state.error is not None or state.is_over or bool(state.notice) or not is_same_size


def _error_text(state: TurnResult, actions: tuple[Action, ...], number: int) -> str:
    """Return the error that the model reads; it names the action when there were several."""
    if state.error is None or len(actions) < 2:
        return str(state.error or "")
    return f"action {number} of {len(actions)}, {describe_action(actions[number - 1])}, was not done: {state.error}"
