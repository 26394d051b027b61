"""One turn, from the model's words to the next screen: call, act, look again. Knows an environment and a policy.

A reply may mean several actions. They are done one after the other, each with its own two events, and the rest is left
undone where the screen that they were meant for is no more: after a mistake, after word from the machine (a dialog, a
new tab), when the task is over, when the screen's size changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from actions import ActionRejectedError, Ask, Call, InvalidActionError, Reply, Screen, Step, SurfaceError, Wait
from actions.history import merge_parts
from agent.policies.base import Policy
from agent.safety.approval import NO, YES, region_unchanged
from agent.safety.signals import InterruptShield
from agent.termination import TerminationMonitor, TurnResult
from agent.ui.formatting import describe_action

AskPerson = Callable[[str], str]  # a question -> the answer; EOFError when nobody is there


@dataclass(frozen=True)
class TurnExecutor:
    """What carries a turn out. tell(event, **facts) is told of each action before it meets the machine, and after.

    ask: answers the model's questions; None where nobody is there. approved: each action is shown to a person anyway
    before it is done, so that an unsure one is not asked about twice.
    """

    env: Any
    policy: Policy
    watch: TerminationMonitor
    tell: Callable[..., None]
    hold: InterruptShield
    ask: AskPerson | None = None
    approved: bool = False

    def execute(
        self, index: int, reply: Reply, came: TurnResult, began: float, thought_s: float
    ) -> tuple[Step, TurnResult]:
        """Do what the reply means on the screen that came last; the turn as a Step, and how things stand after it.

        began: time.perf_counter() at the turn's beginning; thought_s: how much of it the reply took.
        """
        screen, lap = came.screen, began
        call, meant, came = self._parse(reply, came)
        if reply.uncertainty and meant and not self.approved:
            came = self._confirm_uncertain(reply.uncertainty, meant[0], came)
            meant = () if came.error is not None else meant
        timings_s: Mapping[str, float] = {"think": thought_s, **reply.timings_s}
        parts: list[Step] = []
        for number, action in enumerate(meant or (None,), 1):
            which = {"step": index, **({"part": number, "parts": len(meant)} if len(meant) > 1 else {})}
            if action is not None:
                self.tell("act.intent", **which, call=call, action=action)
                came = self._perform(action, came)
            ends = number >= len(meant) or _should_stop(came, screen)
            if ends:
                came = self._last(came, screen, meant, number)
            error, spent_s = _error_text(came, meant, number), time.perf_counter() - lap
            lap += spent_s
            part = Step(index, screen, reply, call, action, error, came.note, came.reward, spent_s)
            parts.append(part)
            self.tell(
                "act.result",
                **which,
                **{name: getattr(part, name) for name in ("call", "action", "error", "reward", "seconds")},
                note=part.notice,
                verdict=came.verdict,
                screen=came.screen,
                timings_s={**timings_s, **came.timings_s},
            )
            timings_s = {}  # of the first part alone: the others cost no thought
            if ends:
                break
        return merge_parts(parts), came

    def _parse(self, reply: Reply, came: TurnResult) -> tuple[Call | None, tuple[Any, ...], TurnResult]:
        """The call in a reply, the actions that it means, and the state before them; none, and why, for a BadCall."""
        call, came = None, TurnResult(came.screen, came.verdict)
        try:
            call = self.policy.parse(reply)
            meant = self.policy.to_actions(call, came.screen)
            if not meant:
                raise InvalidActionError("the reply means no action; say what to do next, or that it is done")
            return call, meant, came
        except InvalidActionError as error:  # the model's mistake: it reads of it next turn
            return call, (), replace(came, error=error)

    def _confirm_uncertain(self, doubt: str, action: Any, came: TurnResult) -> TurnResult:
        """The state once a person who is there agreed to an unsure action; else with what they said as its error.

        Nobody there: it is done as the model said. A look afterwards shows whether its place is still what it was.
        """
        if self.ask is None:
            return came
        question = (
            f"The model wants to {describe_action(action)} and is not sure of the place: {doubt}. "
            "y: do it; anything else: not done, and the model reads what you write"
        )
        try:
            with self.hold.allow_interrupts():
                answer = self.ask(question).strip()
        except EOFError:
            return came
        now = self._recapture(came)
        if now.error is not None:
            return now
        if answer.lower() not in YES:
            said = f": {answer}" if answer and answer.lower() not in NO else ""
            return replace(
                now, error=ActionRejectedError(f"you were unsure of the place, and the person said no{said}")
            )
        if not all(region_unchanged(came.screen, now.screen, point.x, point.y) for point in action.points()):
            return replace(now, error=ActionRejectedError("this place changed while the person was asked; look again"))
        return now

    def _perform(self, action: Any, came: TurnResult) -> TurnResult:
        """env.step; but a question goes to the person. An error of the model's or the machine's is in the outcome."""
        try:
            if isinstance(action, Ask):
                answer = self._answer(action)
                return self._step(Wait(seconds=0)).with_notice(f"The person answers: {answer}")  # they may have used it
            with (
                self.hold.allow_interrupts() if isinstance(action, Wait) else nullcontext()
            ):  # to wait no longer does no harm
                return self._step(action)
        except ActionRejectedError as error:
            came = self._recapture(came)
            return came if came.error is not None else replace(came, error=error)
        except (InvalidActionError, SurfaceError) as error:
            return TurnResult(came.screen, came.verdict, error=error)

    def _step(self, action: Any) -> TurnResult:
        _, reward, terminated, truncated, info = self.env.step(action)
        return TurnResult.from_info(info, reward, terminated or truncated)

    def _answer(self, question: Ask) -> str:
        try:
            if self.ask is None:
                raise EOFError
            with self.hold.allow_interrupts():
                return self.ask(question.question)
        except EOFError:
            raise InvalidActionError(
                "nobody is there to answer; decide by yourself, or end the run with status failure and say why"
            ) from None

    def _recapture(self, came: TurnResult) -> TurnResult:
        """What is to be seen after a person was there; what it was before where the environment cannot just look."""
        try:
            return self._step(Wait(seconds=0))
        except InvalidActionError:
            return TurnResult(came.screen, came.verdict)
        except SurfaceError as error:
            return TurnResult(came.screen, came.verdict, error=error)

    def _last(self, came: TurnResult, screen: Screen, meant: tuple[Any, ...], number: int) -> TurnResult:
        """The outcome of a turn's last action, with a word on those after it, and on what changes nothing."""
        if came.error is not None:
            return came
        if number < len(meant) and not came.over:
            rest = f"the last {len(meant) - number} of the {len(meant)} actions were not done"
            came = came.with_notice(f"The screen is another now: {rest}.")
        return self.watch.check_progress(meant[:number], screen, came)


def _should_stop(came: TurnResult, meant_for: Screen) -> bool:
    """Whether what follows in the same reply is left undone: it was meant for a screen that is no more."""
    same_size = (came.screen.width, came.screen.height) == (meant_for.width, meant_for.height)
    return came.error is not None or came.over or bool(came.note) or not same_size


def _error_text(came: TurnResult, meant: tuple[Any, ...], number: int) -> str:
    """What the model reads of an error; of one among several actions, which one it was."""
    if came.error is None or len(meant) < 2:
        return str(came.error or "")
    return f"action {number} of {len(meant)}, {describe_action(meant[number - 1])}, was not done: {came.error}"
