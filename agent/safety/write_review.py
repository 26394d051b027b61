"""WriteReview: asks the person about held requests, has them sent or dropped, and records what became of them.

The person is asked after the step in which the page began to wait, when the model asks something, and at the end of the
run. Requests that no page waits for, such as beacons, raise no question of their own: they are part of the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Literal, Protocol, runtime_checkable

from actions import RunStoppedError, SurfaceError
from actions.held_writes import HeldWrite, SupportsHeldWrites, WriteOutcome
from actions.surface import Surface
from agent.safety.approval import ALWAYS, NO, STOP, YES, ApprovalPrompt, WriteRequest, refusal_reason
from agent.safety.redaction import EventRedactor

HOLD = ("h", "hold", "hold on")
MAX_NAMED = 5  # requests that one note to the model names

WriteAnswerKind = Literal["send", "send alike", "drop", "hold", "stop", "nobody"]


@runtime_checkable
class ReviewsWrites(Protocol):
    """A guard that asks the person about held requests."""

    writes: WriteReview


class WriteReview:
    """The questions about the held requests of one run.

    Args:
        surface: The surface; one that holds no requests raises no question.
        prompt: Asks the person.
        emit: Writes `writes.held`, `writes.answer` and `writes.result` events.
        redactor: Replaces secrets in what is shown and recorded.
    """

    def __init__(
        self, surface: Surface, prompt: ApprovalPrompt, emit: Callable[..., None], redactor: EventRedactor
    ) -> None:
        self._surface = surface if isinstance(surface, SupportsHeldWrites) and surface.holds_writes else None
        self._prompt, self._emit, self._redactor = prompt, emit, redactor
        self._recorded: set[int] = set()  # numbers of the requests with a `writes.held` event
        self._shown: set[int] = set()  # numbers of those that the person was asked about, or the model told about

    @property
    def is_active(self) -> bool:
        """Whether the surface holds requests."""
        return self._surface is not None

    def review(self, *, asks_again: bool = False) -> tuple[str, bool]:
        """Ask about requests that wait; return a note for the model, and whether some were sent or dropped.

        Args:
            asks_again: Also ask where all of them were shown before.

        Raises:
            RunStoppedError: The person stops the run; everything is dropped.
            SurfaceError: The surface failed.
        """
        surface, writes = self._surface, self._record_held()
        if surface is None:
            return "", False
        new = [write for write in writes if write.number not in self._shown]
        if not any(write.is_awaited for write in (writes if asks_again else new)):
            return "", False
        answer, reason = self._ask(writes, {write.number for write in new}, is_final=False)
        self._shown |= {write.number for write in writes}
        if answer == "stop":
            self._drop(writes)
            raise RunStoppedError("a person stopped the run", by_person=True)
        if answer == "nobody":
            return f"Nobody can be asked, so {_count(writes)} held and will not be sent: {_names(writes)}.", False
        if answer == "hold":
            return f"{_count(writes)} held until you ask for that to be sent: {_names(writes)}.", False
        numbers = [write.number for write in writes]
        if answer == "drop":
            because = f": {reason}" if reason else ""
            self._drop(writes)
            return f"The person did not let this be sent{because} ({_names(writes)}).", True
        outcomes = surface.send_writes(numbers, alike=answer == "send alike")
        self._record_outcomes(outcomes)
        return f"The person had this sent: {'; '.join(map(_describe_outcome, outcomes))}.", True

    def finish(self, *, asks: bool) -> None:
        """Ask a last time at the end of the run, if `asks`, and drop whatever is not sent then.

        Raises:
            SurfaceError: The surface failed.
        """
        writes = self._record_held()
        if self._surface is None or not writes:
            return
        answer: WriteAnswerKind = "drop"
        if asks:
            try:
                new_numbers = {write.number for write in writes} - self._shown
                answer, _ = self._ask(writes, new_numbers, is_final=True)
            except RunStoppedError:
                pass
        if answer in ("send", "send alike"):
            self._record_outcomes(self._surface.send_writes([write.number for write in writes]))
            writes = self._record_held()  # such as a redirect that repeats what was sent
        self._drop(writes)

    def _ask(
        self, writes: tuple[HeldWrite, ...], new_numbers: set[int], *, is_final: bool
    ) -> tuple[WriteAnswerKind, str]:
        """Return the person's answer and their reason, and record both."""
        masked = tuple(HeldWrite(**self._redactor.redact(asdict(write))) for write in writes)  # type: ignore[arg-type]
        answer: WriteAnswerKind = "nobody"
        reason, self._prompt.question_s = "", 0.0
        try:
            line = self._prompt.ask_writes(WriteRequest(masked, frozenset(new_numbers), is_final))
            answer, reason = parse_write_answer(line, is_final=is_final)
        except EOFError:
            pass
        except RunStoppedError:
            answer = "stop"
        waited_s, self._prompt.question_s = round(self._prompt.question_s, 3), 0.0
        numbers = [write.number for write in writes]
        self._emit("writes.answer", answer=answer, numbers=numbers, reason=reason, waited_s=waited_s)
        return answer, reason

    def _record_held(self) -> tuple[HeldWrite, ...]:
        """Return the requests that wait, and record those that are new and what was sent without a question."""
        if self._surface is None:
            return ()
        self._record_outcomes(self._surface.pop_write_outcomes())
        writes = self._surface.held_writes()
        if new := [write for write in writes if write.number not in self._recorded]:
            self._recorded |= {write.number for write in new}
            self._emit("writes.held", writes=[asdict(write) for write in new])
        return writes

    def _drop(self, writes: Sequence[HeldWrite]) -> None:
        if self._surface is not None and writes:
            numbers = [write.number for write in writes]
            try:
                outcomes = self._surface.drop_writes(numbers)
            except SurfaceError:  # the browser has ended, and what it held with it
                outcomes = tuple(WriteOutcome(write, "dropped") for write in writes)
            self._record_outcomes(outcomes)

    def _record_outcomes(self, outcomes: Sequence[WriteOutcome]) -> None:
        if new := [outcome.write for outcome in outcomes if outcome.write.number not in self._recorded]:
            self._recorded |= {write.number for write in new}
            self._emit("writes.held", writes=[asdict(write) for write in new])
        if outcomes:
            results = [
                {
                    "number": outcome.write.number,
                    "status": outcome.status,
                    "detail": outcome.detail,
                    "request": _describe(outcome.write),
                }
                for outcome in outcomes
            ]
            self._emit("writes.result", results=results)


def parse_write_answer(line: str, *, is_final: bool) -> tuple[WriteAnswerKind, str]:
    """Return what a typed line means, and the reason that it gives; at the end of a run nothing is held on."""
    text = line.strip()
    word = text.lower()
    if word in YES:
        return "send", ""
    if word in ALWAYS:
        return "send alike", ""
    if word in HOLD and not is_final:
        return "hold", ""
    if word in STOP and not is_final:
        return "stop", ""
    return "drop", "" if word in (*NO, *HOLD, *STOP) else refusal_reason(text)


def _describe(write: HeldWrite) -> str:
    return f"{write.method} {write.url}"


def _describe_outcome(outcome: WriteOutcome) -> str:
    result = {
        "sent": f"the server answered {outcome.detail}",
        "unanswered": outcome.detail,
        "failed": f"it failed ({outcome.detail})",
        "withdrawn": f"not sent, as {outcome.detail}",
        "dropped": "dropped",
    }[outcome.status]
    return f"{_describe(outcome.write)}: {result}"


def _names(writes: Iterable[HeldWrite]) -> str:
    names = [_describe(write) for write in writes]
    rest = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + rest


def _count(writes: Sequence[HeldWrite]) -> str:
    return "1 request is" if len(writes) == 1 else f"{len(writes)} requests are"
