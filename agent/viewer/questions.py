"""Questions of a run to the person at the viewer, and the answers as lines that a terminal would read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from actions import Action, UsageError
from agent.run_control import RunControl
from agent.safety.approval import ApprovalRequest, WriteRequest, move_point
from agent.ui.formatting import NO_LIMIT, sanitize, sanitize_lines
from agent.ui.write_formatting import format_write_request

POLL_S = 0.2  # in which a signal takes effect

QuestionKind = Literal["approval", "writes", "ask", "paused"]
AnswerName = Literal["yes", "always", "no", "edit", "take over", "hold", "text"]
ANSWERS: Mapping[QuestionKind, tuple[AnswerName, ...]] = {
    "approval": ("yes", "always", "no", "edit", "take over"),
    "writes": ("yes", "always", "no", "hold"),
    "ask": ("text",),
    "paused": ("yes",),
}


@dataclass(frozen=True)
class PersonQuestion:
    """A question that waits for an answer.

    Args:
        number: Its number, which an answer must name: one to an earlier question does not count.
        kind: What it is about.
        text: The question.
        details: What else is shown, such as the rule that asks.
        action: The proposed action of an approval.
        answers: The names of the answers that are possible.
    """

    number: int
    kind: QuestionKind
    text: str
    details: Mapping[str, str] = field(default_factory=dict)
    action: Action | None = None
    answers: tuple[AnswerName, ...] = ()


class ViewerPerson:
    """The person at the viewer: an Approver and WriteReviewer whose answers come from another thread.

    Args:
        control: What the person asks for besides.
    """

    def __init__(self, control: RunControl) -> None:
        self._control = control
        self._condition = threading.Condition()
        self._question: PersonQuestion | None = None
        self._answer: str | None = None
        self._count = 0

    @property
    def question(self) -> PersonQuestion | None:
        """The question that waits for an answer; None without."""
        return self._question

    def approve(self, request: ApprovalRequest) -> str:
        """Ask whether an action may be carried out."""
        details = {
            "problem": sanitize(request.problem),
            "reason": sanitize(request.reason),
            "rule": sanitize(request.rule),
        }
        answers = tuple(name for name in ANSWERS["approval"] if name != "always" or request.can_approve_kind)
        return self._ask("approval", sanitize(request.description, NO_LIMIT), details, request.action, answers)

    def paused(self, reason: str) -> str:
        """Ask whether a paused run may go on; at once where the person has taken over in the viewer."""
        if self._control.mode == "taken over":
            return "continue"
        return self._ask("paused", sanitize(reason), {})

    def review_writes(self, request: WriteRequest) -> str:
        """Ask whether held requests may be sent."""
        lines = format_write_request(request)
        keys = 1 if request.is_final else 2  # the lines about keys of the terminal
        answers = tuple(name for name in ANSWERS["writes"] if not request.is_final or name in ("yes", "no"))
        return self._ask("writes", "\n".join(lines[:-keys]), {}, None, answers)

    def ask(self, question: str) -> str:
        """Return the answer to a question of the model."""
        return self._ask("ask", sanitize(question), {})

    def answer(self, number: int, name: AnswerName, text: str = "") -> None:
        """Answer the question that waits.

        Args:
            number: The number of the question.
            name: The answer.
            text: The reason of a "no", the new text of an "edit", or the answer to the model.

        Raises:
            UsageError: The question is not asked any more, or this is no answer to it.
        """
        text = sanitize_lines(text).strip()
        with self._condition:
            question = self._question
            if question is None or question.number != number or self._answer is not None:
                raise UsageError("this question is not asked any more, so the answer did not count")
            if name not in question.answers:
                raise UsageError(f"'{name}' is no answer to this question")
            if name in ("edit", "text") and not text:
                raise UsageError("the text is empty; write what to do instead")
            if name == "take over":
                self._control.take_over()
            self._answer = _to_line(name, text)
            self._condition.notify_all()

    def move_point(self, number: int, index: int, x: int, y: int) -> None:
        """Answer the question that waits with its action at another place; the guard decides about that as well.

        Args:
            number: The number of the question.
            index: Which of the action's points, from 0.
            x: The pixel's column.
            y: The pixel's row.

        Raises:
            UsageError: The question is not asked any more, or is not about an action.
            InvalidActionError: The action has no such point.
        """
        question = self._question
        if question is None or question.number != number or question.action is None:
            raise UsageError("this question is not asked any more, so nothing was moved")
        self.answer(number, "edit", move_point(question.action, index, x, y).model_dump_json())

    def _ask(
        self,
        kind: QuestionKind,
        text: str,
        details: Mapping[str, str],
        action: Action | None = None,
        answers: tuple[AnswerName, ...] = (),
    ) -> str:
        with self._condition:
            self._count += 1
            self._question = PersonQuestion(self._count, kind, text, details, action, answers or ANSWERS[kind])
            self._answer = None
            try:
                while self._answer is None:
                    self._condition.wait(POLL_S)
                return self._answer
            finally:
                self._question = None


def _to_line(name: AnswerName, text: str) -> str:
    """Return an answer as the line that a terminal would read."""
    match name:
        case "yes":
            return "y"
        case "always":
            return "a"
        case "no":
            return f"n {text}" if text else "n"
        case "edit":
            return f"e {text}"
        case "take over":
            return "t"
        case "hold":
            return "h"
        case "text":
            return text
