"""ReplayPolicy: perform a program step by step, without a model, and halt where the screen is not the recorded one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from actions import Click, InvalidActionError, Reply, Screen, Step, Surface, TypeText, UsageError
from actions.surface import SupportsFacts
from actions.targets import ScreenTarget
from agent.policies.base import DialectPolicyMixin, Policy
from agent.policies.scripted import JsonDialect
from agent.replay.anchors import AnchorError, agreeing_anchor, describe, find_anchor
from agent.replay.parameters import fill, read_goal
from agent.replay.program import Program, ProgramStep, format_program
from agent.target_recorder import field_contents, read_targets, shown_labels

MAX_WAITS = 3  # in a row, for what a step expects
WAIT_S = 1.0
STEPS_PER_ACTION = 1 + 2 * MAX_WAITS  # of a run, at most
MAX_SHOWN_CHARS = 80
FOCUS_PROBE = TypeText(text="-")  # asks what typing would reach; it is not typed


class HaltError(Exception):
    """The replay cannot go on."""


class ReplayPolicy(DialectPolicyMixin):
    """Return the actions of a program, each once the place that it needs is on the screen.

    A reply that ends the run with a failure says at which step and why. Every value of the goal that the program uses
    is read from the goal of the run, by the program's template.

    Args:
        program: The program.
        values: Values of the parameters that are not in the goal.
        fallback: A model that is asked for a place that is missing; None halts.

    Attributes:
        proposal: The program with the anchors that the model's answers led to; `program` itself without any.
        done: How many actions of the program were performed.
    """

    def __init__(self, program: Program, values: Mapping[str, str], fallback: Policy | None = None) -> None:
        self.program, self.proposal = program, program
        self.dialect = JsonDialect()
        self.done = 0
        self._values = dict(values)
        self._fallback = fallback
        self._surface: Surface | None = None
        self._pending: tuple[ProgramStep, str] | None = None  # the last action, and the digest of the screen before it
        self._waits = 0
        self._is_started = False

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces; the fingerprint is a hash of the program."""
        digest = hashlib.sha256(format_program(self.program).encode("utf-8", "replace")).hexdigest()
        facts: dict[str, object] = {"model": "replay", "fingerprint": digest[:32], "prompt_hash": "plain"}
        return {**facts, "fallback": dict(self._fallback.metadata)} if self._fallback is not None else facts

    def attach(self, surface: Surface) -> None:
        """Use the elements of this surface; call it before the first decision."""
        self._surface = surface

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the next action of the program, a wait for what it needs, or the end of the run."""
        try:
            self._start(goal)
            action = self._next(steps, screen)
        except (HaltError, UsageError) as error:
            number = min(self.done + 1, len(self.program.steps))
            action = {"verb": "done", "status": "failure", "message": f"the replay halted at step {number}: {error}"}
        return Reply(json.dumps(action), prompt=goal, image_digests=(screen.digest,))

    def close(self) -> None:
        """Close the model that is asked for missing places."""
        if self._fallback is not None:
            self._fallback.close()

    def _start(self, goal: str) -> None:
        if self._is_started:
            return
        values = read_goal(self.program.goal, goal, self.program.parameters)
        if values is None:
            raise HaltError(f"the goal {goal!r:.200} does not fit the recorded one, {self.program.goal!r:.200}")
        self._values |= values
        self._is_started = True

    def _next(self, steps: Sequence[Step], screen: Screen) -> dict[str, object]:
        targets = read_targets(self._surface) if self._surface is not None else None
        if self._pending is not None:
            step, before = self._pending
            self._check_result(steps[-1], step)
            if problem := self._unmet(step, before, screen, targets):
                return self._wait(problem)
            self._pending, self._waits = None, 0
            self.done += 1
        if self.done == len(self.program.steps):
            return {"verb": "done"}
        step = self.program.steps[self.done]
        points = []
        for index in range(len(step.anchors)):
            try:
                points.append(self._point(step, index, screen, targets))
            except AnchorError as error:
                if error.is_missing and self._waits < MAX_WAITS:
                    return self._wait(str(error))
                raise HaltError(f"{step.verb}: {error}") from None
        if problem := self._misplaced_focus(step):
            return self._wait(problem)
        self._pending, self._waits = (step, screen.digest), 0
        fields = {
            name: fill(value, self._values) if isinstance(value, str) else value for name, value in step.fields.items()
        }
        place: dict[str, object] = {}
        if step.verb == "drag":
            place = {"path": points}
        elif points:
            place = {"x": points[0][0], "y": points[0][1]}
        return {"verb": step.verb, **fields, **place}

    def _misplaced_focus(self, step: ProgramStep) -> str:
        """Return why keyboard input would not go where it went when recorded, "" if it would or that is unknown."""
        if not step.focus:
            return ""
        facts = self._surface.facts(FOCUS_PROBE) if isinstance(self._surface, SupportsFacts) else None
        expected = tuple(fill(template, self._values) for template in step.focus)
        focus = facts.focus if facts is not None else None
        if focus is not None and (focus.role, focus.label, focus.field) == expected:
            return ""
        actual = f"{focus.role or 'element'} {focus.label!r}" if focus is not None else "nothing that is known"
        return f"{step.verb} would go to {actual}, not to {expected[0] or 'element'} {expected[1]!r} as when recorded"

    def _wait(self, problem: str) -> dict[str, object]:
        if self._waits >= MAX_WAITS:
            raise HaltError(problem)
        self._waits += 1
        return {"verb": "wait", "seconds": WAIT_S}

    def _check_result(self, last: Step, step: ProgramStep) -> None:
        """Raise HaltError where the last step failed, or where the surface reported what it did not when recorded."""
        if last.error:
            raise HaltError(f"{step.verb} was not done: {last.error}")
        holds_writes = bool(getattr(self._surface, "holds_writes", False))  # the notice tells about them
        if last.notice and not step.notice and self._waits == 0 and not holds_writes:
            raise HaltError(f"after {step.verb} the screen reported what it did not when recorded: {last.notice}")

    def _unmet(self, step: ProgramStep, before: str, screen: Screen, targets: tuple[ScreenTarget, ...] | None) -> str:
        """Return which expectation of a performed step is not met, "" if all are."""
        if step.changes and screen.digest == before:
            return f"{step.verb} changed nothing on the screen, unlike when it was recorded"
        labels, contents = shown_labels(targets or ()), field_contents(targets or ())
        for templates, texts, what in ((step.appears, labels, "on the screen"), (step.holds, contents, "in a field")):
            for template in templates:
                text = fill(template, self._values)
                if text not in texts:
                    return f"{text[:MAX_SHOWN_CHARS]!r} is not {what} after {step.verb}, unlike when it was recorded"
        return ""

    def _point(
        self, step: ProgramStep, index: int, screen: Screen, targets: tuple[ScreenTarget, ...] | None
    ) -> tuple[int, int]:
        """Return the pixel of a point of a step; ask the model once for one that stays missing."""
        anchor = step.anchors[index]
        try:
            return find_anchor(anchor, self._values, screen, targets)
        except AnchorError as error:
            if not error.is_missing or self._fallback is None or self._waits < MAX_WAITS:
                raise
            missing = error
        words = describe(anchor, self._values)
        try:
            click: Click = self._fallback.locate(words, screen)
        except InvalidActionError as error:
            raise HaltError(f"{missing}; the model named no place for it: {error}") from None
        agreed = agreeing_anchor(anchor, self._values, screen, targets, click.x, click.y)
        if agreed is None:
            raise HaltError(
                f"{missing}; the model named ({click.x}, {click.y}), which does not agree with what was recorded"
            )
        self.proposal = self.proposal.with_anchor(self.done, index, agreed)
        return click.x, click.y
