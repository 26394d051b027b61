"""Questions to the person: what an answer means, what it covers, and how long it is valid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from actions import Action, InvalidActionError, PressKeys, RunStoppedError, TypeText, parse_action
from actions.facts import ActionFacts, ElementFacts
from actions.held_writes import HeldWrite
from agent.safety.policy import Decision
from agent.safety.proposal import SECRET_FIELDS, Proposal, submits
from agent.safety.signals import defer_interrupts
from agent.safety.words import EFFECT_SETS, has_word
from agent.ui.formatting import sanitize

YES, ALWAYS, STOP, NO = ("y", "yes"), ("a", "always"), ("s", "stop"), ("n", "no")
TAKE_OVER, EDIT = ("t", "take over"), ("e", "edit")
MAX_LABEL_CHARS = 120
CHORD_KEYS = frozenset({"ctrl", "alt", "meta", "delete"})  # with them a key does more than to move or to type

AnswerKind = Literal["once", "kind", "edit", "no", "take over", "stop"]


@dataclass(frozen=True)
class ApprovalRequest:
    """A question to the person, whether an action may be carried out.

    Args:
        description: The whole action and what it would touch, in words.
        screenshot: The screen that the model saw, with the action drawn on it.
        action: The action.
        facts: What it would touch; None where the surface does not know.
        rule: The rule that asks, and its source.
        reason: Why it asks; "" without.
        can_approve_kind: Whether "all of its kind" is a possible answer.
        problem: What was wrong with the last answer; "" for the first question.
    """

    description: str
    screenshot: Path
    action: Action
    facts: ActionFacts | None = None
    rule: str = ""
    reason: str = ""
    can_approve_kind: bool = True
    problem: str = ""


class Approver(Protocol):
    """The person who answers. Each method returns the line that was typed, and raises EOFError at end of input."""

    def approve(self, request: ApprovalRequest) -> str:
        """Ask whether an action may be carried out."""
        ...

    def paused(self, reason: str) -> str:
        """Ask whether a paused run may go on."""
        ...


@dataclass(frozen=True)
class WriteRequest:
    """A question to the person, whether held requests may be sent.

    Args:
        writes: All requests that wait, in their order.
        new_numbers: The numbers of those that were not shown before.
        is_final: Whether the run is over, so that they cannot be held any longer.
    """

    writes: tuple[HeldWrite, ...]
    new_numbers: frozenset[int]
    is_final: bool


@runtime_checkable
class WriteReviewer(Protocol):
    """A person who decides about held requests. The method returns a line, and raises EOFError at end of input."""

    def review_writes(self, request: WriteRequest) -> str:
        """Ask whether the held requests may be sent."""
        ...


@dataclass(frozen=True)
class ApprovalAnswer:
    """What the person decided.

    Args:
        kind: once, kind (this action and all of its kind in this run), edit, no, take over or stop.
        reason: Why not; "" without.
        action: The action of an edit.
    """

    kind: AnswerKind
    reason: str = ""
    action: Action | None = None


class ApprovalKind(NamedTuple):
    """What "all of its kind" covers: the same verb in the same app or on the same host, on elements of one role."""

    verb: str
    place: str
    role: str


def kind_of(proposal: Proposal) -> ApprovalKind:
    """Return the kind of an action; input that submits something and each chord are kinds of their own."""
    place = str(proposal.host) if proposal.host is not None else proposal.url or proposal.app
    roles = ",".join(element.role for element in proposal.touched)
    action = proposal.action
    verb = str(action.verb)
    if isinstance(action, PressKeys) and (submits(action) or CHORD_KEYS & {*action.keys}):
        verb = f"press {'+'.join(action.keys)}"
    elif isinstance(action, TypeText) and submits(action):
        verb = "type and submit"
    return ApprovalKind(verb, place, roles)


def covers_kind(proposal: Proposal, decision: Decision) -> bool:
    """Return whether an answer may cover later actions of the kind: never for secrets and effects."""
    return not (
        decision.each_time
        or proposal.field_kinds & SECRET_FIELDS
        or any(has_word(label, EFFECT_SETS) for label in proposal.labels)
    )


def parse_answer(line: str, action: Action) -> ApprovalAnswer:
    """Return what a typed line means.

    Raises:
        InvalidActionError: The line edits the action and is not a valid edit.
    """
    text = line.strip()
    word = text.lower()
    if word in YES:
        return ApprovalAnswer("once")
    if word in ALWAYS:
        return ApprovalAnswer("kind")
    if word in STOP:
        return ApprovalAnswer("stop")
    if word in TAKE_OVER:
        return ApprovalAnswer("take over")
    if word in NO:
        return ApprovalAnswer("no")
    first, _, rest = text.partition(" ")
    if first.lower() in EDIT:
        return ApprovalAnswer("edit", action=edit_action(action, rest.strip()))
    return ApprovalAnswer("no", reason=refusal_reason(text))


def refusal_reason(line: str) -> str:
    """Return the reason in a line that refuses: what follows "n", else the whole line."""
    first, _, rest = line.strip().partition(" ")
    return rest.strip() if first.lower() == NO[0] else line.strip()


def edit_action(action: Action, text: str) -> Action:
    """Return an action with what the person typed in place of its text, keys, target or point.

    Args:
        action: The proposed action.
        text: The new text, keys ("ctrl+s"), address, or point ("120 80"); or a whole action as a JSON object.

    Raises:
        InvalidActionError: The text does not fit the action.
    """
    if text.startswith("{"):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidActionError(f"the edit is not valid JSON: {error}") from None
        return parse_action(data)
    fields = action.model_dump()
    if not text:
        raise InvalidActionError("the edit is empty; type e and the new text or point, such as: e 120 80")
    if "text" in fields or "target" in fields:
        return parse_action({**fields, "text" if "text" in fields else "target": text})
    if "keys" in fields:
        return parse_action({**fields, "keys": tuple(text.split("+")) if text != "+" else ("+",)})
    numbers = text.replace(",", " ").split()
    if "x" in fields and len(numbers) == 2 and all(number.isascii() and number.isdecimal() for number in numbers):
        return parse_action({**fields, "x": int(numbers[0]), "y": int(numbers[1])})
    raise InvalidActionError(
        f"'{text[:60]}' does not fit {action.verb}; type e and a point (e 120 80), or a JSON action"
    )


def move_point(action: Action, index: int, x: int, y: int) -> Action:
    """Return an action with one of its points at another pixel.

    Args:
        action: The action.
        index: Which of its points, from 0.
        x: The pixel's column.
        y: The pixel's row.

    Raises:
        InvalidActionError: The action has no such point, or may not have it there.
    """
    count = len(action.points())
    if not 0 <= index < count:
        raise InvalidActionError(f"'{action.verb}' has {count} points, so point {index + 1} cannot be moved")
    fields = action.model_dump()
    if "path" not in fields:
        return parse_action({**fields, "x": x, "y": y})
    path = [*fields["path"]]
    path[index] = (x, y)
    return parse_action({**fields, "path": path})


def describe_target(proposal: Proposal) -> str:
    """Return what an action would touch, in words; "" where nothing is known."""
    if proposal.facts is None:
        return ""
    parts = [_describe_element(element) for element in proposal.touched]
    place = str(proposal.host) if proposal.host is not None else proposal.facts.window or proposal.app
    text = " and ".join(filter(None, parts))
    preposition = "on" if proposal.action.points() else "into"
    targets = {element.target for element in proposal.targets if not proposal.is_same_origin(element.target)}
    return (
        (f" {preposition} {text}" if text else "")
        + (f" at {sanitize(place, MAX_LABEL_CHARS)}" if place else "")
        + "".join(f", which leads to {sanitize(target, MAX_LABEL_CHARS)}" for target in sorted(targets))
    )


def _describe_element(element: ElementFacts) -> str:
    kind = f"{element.field} field" if element.field else element.role or ("control" if element.label else "")
    label = f' "{sanitize(element.label, MAX_LABEL_CHARS)}"' if element.label else ""
    return f"the {sanitize(kind, 40)}{label}" if kind else ""


class ApprovalPrompt:
    """Asks the person and measures how long the answers took.

    Args:
        person: The person; None where nobody can be asked.

    Attributes:
        waited_s: Total time of all answers.
        question_s: Time of the last answer.
    """

    def __init__(self, person: Approver | None) -> None:
        self.person = person
        self.waited_s = self.question_s = 0.0

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Return the answer to a request; ask again after a blank line and an invalid edit.

        Raises:
            EOFError: Nobody answers.
            RunStoppedError: Ctrl-C.
        """
        start = time.monotonic()
        try:
            while True:
                line = self._ask_once(request)
                try:
                    return parse_answer(line, request.action)
                except InvalidActionError as error:
                    request = replace(request, problem=str(error))
        finally:
            self.question_s = time.monotonic() - start
            self.waited_s += self.question_s

    def confirm_pause(self, reason: str) -> None:
        """Wait until the person lets a paused run go on; raise RunStoppedError if they stop it."""
        start = time.monotonic()
        try:
            line = self._read(lambda person: person.paused(reason) or "continue")
        finally:
            self.add_wait(time.monotonic() - start)
        if line.lower() in STOP:
            raise RunStoppedError("a person stopped the run", by_person=True)

    def add_wait(self, seconds: float) -> None:
        """Count seconds for which the run waited for the person."""
        self.waited_s += seconds

    def ask_writes(self, request: WriteRequest) -> str:
        """Return the line that answers a question about held requests.

        Raises:
            EOFError: Nobody answers.
            RunStoppedError: Ctrl-C.
        """
        person = self.person
        if not isinstance(person, WriteReviewer):
            raise EOFError
        start = time.monotonic()
        try:
            return self._read(lambda _: person.review_writes(request))
        finally:
            self.question_s = time.monotonic() - start
            self.waited_s += self.question_s

    def _ask_once(self, request: ApprovalRequest) -> str:
        return self._read(lambda person: person.approve(request))

    def _read(self, prompt: Callable[[Approver], str]) -> str:
        """Return the first line that is not blank."""
        if self.person is None:
            raise EOFError
        try:
            with defer_interrupts() as shield, shield.allow_interrupts():
                while not (line := prompt(self.person).strip()):
                    pass
        except KeyboardInterrupt:
            raise RunStoppedError("a person stopped the run", by_person=True) from None
        return line
