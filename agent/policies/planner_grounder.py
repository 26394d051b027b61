"""PlannerGrounderPolicy: a planner decides what to do, a grounder predicts where.

The planner is prompted as usual and still outputs a point. Where its reply has one action at one point, the grounder is
given the same screen and the planner's description of the target, and its point replaces the planner's. Drags, scrolls
and replies with several points keep the planner's points. The grounder's prompt and reply are among the reply's
localizations.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from actions import (
    Action,
    Call,
    Click,
    InvalidActionError,
    LongPress,
    Move,
    Reply,
    Screen,
    Step,
    UsageError,
)
from agent.policies.base import (
    LOCATE_VERBS,
    HasDialect,
    OnText,
    Policy,
    PredictionMixin,
    SupportsAnswers,
    SupportsJudgment,
    SupportsPrefetch,
    SupportsStreaming,
    first_click,
    predict_actions,
)
from agent.policies.zoom import POINT_ACTIONS

GROUNDED_KEY = "grounded"  # a call's argument: the point as [x, y], or the reason why there is none
DESCRIBE_TARGET_PROMPT = (
    "Before the call, name in one sentence what is to be pointed at: its kind, its text and its place."
)
_HEADING = re.compile(
    r"^(?=[ \t]*#|[ \t*]*\w+[ \t*]*[:：])[ \t#*]*(Observation|Thought|Action|Code)\b[ \t*]*[:：]?[ \t*]*", re.MULTILINE
)
_TAG, _WORD = re.compile(r"<[^<>]*>"), re.compile(r"[^\W\d_]")


def target_description(call: Call) -> str:
    """Return the planner's description of the target on one line; "" when there is none.

    It is the call's `element` argument where that is text; else the part of the thought under the heading `Action` (as
    OpenCUA writes it); else the whole thought.
    """
    element = call.arguments.get("element")
    if isinstance(element, str) and _WORD.search(_TAG.sub("", element)):
        return " ".join(element.split())
    parts = _HEADING.split(call.thought)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    return " ".join((sections.get("Action", "").strip() or call.thought).split())


class PlannerGrounderPolicy(PredictionMixin):
    """A policy of two policies. It owns both: `close` closes both.

    Raises:
        UsageError: The grounder's dialect has no click action.
    """

    def __init__(self, planner: Policy, grounder: Policy) -> None:
        self.planner, self.grounder = planner, grounder
        dialect = grounder.dialect if isinstance(grounder, HasDialect) else None
        if dialect is None or not dialect.supports("click"):
            name = grounder.metadata.get("dialect") or type(dialect).__name__
            raise UsageError(
                f"grounder {grounder.metadata['model']} cannot be used: its dialect '{name}' has no click action; "
                "choose a grounding model such as GTA1 or Jedi"
            )
        self._limits = getattr(dialect, "limits", None)
        self.chat = getattr(planner, "chat", None)  # the planner's, for callers that report image limits
        self.profile = getattr(planner, "profile", None)

    @property
    def on_text(self) -> OnText | None:
        """The receiver of the planner's text while it is generated; the grounder's text is not reported."""
        return self.planner.on_text if isinstance(self.planner, SupportsStreaming) else None

    @on_text.setter
    def on_text(self, receiver: OnText | None) -> None:
        if isinstance(self.planner, SupportsStreaming):
            self.planner.on_text = receiver

    @property
    def metadata(self) -> Mapping[str, object]:
        """The planner's metadata; model, fingerprint and prompt_hash combine both policies."""
        planner = self.planner.metadata
        grounder = {key: value for key, value in self.grounder.metadata.items() if key != "path"}
        prompts = f"{planner['prompt_hash']}\0{DESCRIBE_TARGET_PROMPT}\0{grounder['prompt_hash']}"
        combined = {key: f"{planner[key]} + {grounder[key]}" for key in ("model", "fingerprint")}
        combined["prompt_hash"] = hashlib.sha256(prompts.encode()).hexdigest()
        if self._limits is not None:
            grounder |= {"min_pixels": self._limits.min_pixels, "max_pixels": self._limits.max_pixels}
        planner_identity = {key: planner[key] for key in ("model", "fingerprint", "prompt_hash")}
        return {
            **planner,
            **combined,
            "planner": planner_identity,
            "grounder": grounder,
            "asks_for_words": DESCRIBE_TARGET_PROMPT,
        }

    def prefetch(self, screen: Screen) -> None:
        """Preprocess a screenshot for both policies, as far as they support it. Thread-safe."""
        for policy in (self.planner, self.grounder):
            if isinstance(policy, SupportsPrefetch):
                policy.prefetch(screen)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the planner's reply with the grounder's point among its localizations.

        A planner that points without a description is prompted once more for one; if that fails too, its first reply
        is used and the grounder is given the goal.
        """
        steps = [replace(step, call=step.call and _strip_grounding(step.call)) for step in steps]
        reply = self.planner.decide(goal, steps, screen, verbs)
        description, point_count = self._targets(reply, screen)
        if point_count == 1 and not description:
            second = self.planner.decide(f"{goal}\n{DESCRIBE_TARGET_PROMPT}", steps, screen, verbs)
            description, second_count = self._targets(second, screen)
            description = description if second_count == 1 else ""
            reply, unused = (second, reply) if description else (reply, second)
            reply = _merge_reply(
                reply, unused, "ask_again", {"asked_again": DESCRIBE_TARGET_PROMPT, "unused": unused.text}
            )
        if point_count > 1:
            reason = f"the reply has {point_count} points; the planner's are kept"
            localization = {"grounder": self.grounder.metadata["model"], "not_asked": reason}
            return replace(reply, localizations=(*reply.localizations, localization))
        return self._ground(reply, description, goal, screen) if point_count else reply

    def locate(self, text: str, screen: Screen) -> Click:
        """Return the grounder's click on the element that `text` describes, in screen pixels."""
        return first_click(predict_actions(self.grounder, text, screen, LOCATE_VERBS))

    def judge(self, question: str, screens: Sequence[Screen]) -> float:
        """Return the planner's probability of yes against no as the answer to a question about screenshots.

        Raises:
            UsageError: The planner cannot answer questions.
        """
        if not isinstance(self.planner, SupportsJudgment):
            raise UsageError(f"{self.planner.metadata['model']} cannot answer questions")
        return self.planner.judge(question, screens)

    def answer(
        self,
        question: str,
        screens: Sequence[Screen],
        schema: Mapping[str, object] | None,
        *,
        max_new_tokens: int | None = None,
        is_question_first: bool = False,
    ) -> Reply:
        """Return the planner's answer to a question about screenshots.

        Raises:
            UsageError: The planner answers no questions.
        """
        if not isinstance(self.planner, SupportsAnswers):
            raise UsageError(f"{self.planner.metadata['model']} answers no questions about screenshots; use a model")
        return self.planner.answer(
            question, screens, schema, max_new_tokens=max_new_tokens, is_question_first=is_question_first
        )

    def parse(self, reply: Reply) -> Call:
        """Return the planner's call, with the grounder's point as an argument."""
        call = self.planner.parse(reply)
        if GROUNDED_KEY in call.arguments:
            raise InvalidActionError(f"{call.name} has no argument '{GROUNDED_KEY}'")
        points = [entry[GROUNDED_KEY] for entry in reply.localizations if GROUNDED_KEY in entry]
        return Call(call.name, {**call.arguments, GROUNDED_KEY: points[0]}, call.thought) if points else call

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the one action of a call, at the grounder's point."""
        point = _grounded_point(call)
        action = self.planner.to_action(_strip_grounding(call), screen)
        return action if point is None else _at(action, *point)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return all actions of a call in order, at the grounder's point."""
        point = _grounded_point(call)
        actions = self.planner.to_actions(_strip_grounding(call), screen)
        return actions if point is None else tuple(_at(action, *point) for action in actions)

    def close(self) -> None:
        """Close both policies."""
        try:
            self.planner.close()
        finally:
            self.grounder.close()

    def _targets(self, reply: Reply, screen: Screen) -> tuple[str, int]:
        """Return the description of a reply's target and its number of points; ("", 0) when it is invalid."""
        try:
            call = self.planner.parse(reply)
            actions = self.planner.to_actions(call, screen)
        except InvalidActionError:  # the turn parses it again and reports the error
            return "", 0
        points = {point for action in actions if action.verb in POINT_ACTIONS for point in action.points()}
        return target_description(call), len(points)

    def _ground(self, reply: Reply, description: str, goal: str, screen: Screen) -> Reply:
        """Return the planner's reply with the grounder's point for the description, or for the goal without one."""
        prompt = description or goal
        grounding = self.grounder.decide(prompt, (), screen, LOCATE_VERBS)
        point: list[int] | str
        try:
            actions = self.grounder.to_actions(self.grounder.parse(grounding), screen)
            first = next((action.points()[0] for action in actions if action.verb in POINT_ACTIONS), None)
            point = f"it is not on the screen: {prompt[:300]}" if first is None else list(first)
        except InvalidActionError as error:
            point = f"it could not be looked for ({error}): {prompt[:300]}"
        if isinstance(point, str):
            point += ". Look again, and name the thing by its kind, its text and its place"
        localization = {
            "grounder": self.grounder.metadata["model"],
            "sent": prompt,
            "sent_is": "words" if description else "goal",
            "prompt": grounding.prompt,
            "text": grounding.text,
            GROUNDED_KEY: point,
        }
        own = ({"grounder": localization["grounder"], **entry} for entry in grounding.localizations)
        return _merge_reply(reply, grounding, "ground", localization, *own)


def _merge_reply(reply: Reply, other: Reply, phase: str, *localizations: Mapping[str, object]) -> Reply:
    """Merge the token counts, timings and localizations of a second reply into the first."""
    return replace(
        reply,
        prompt_tokens=reply.prompt_tokens + other.prompt_tokens,
        reply_tokens=reply.reply_tokens + other.reply_tokens,
        timings_s={**reply.timings_s, phase: sum(other.timings_s.values())},
        localizations=(*reply.localizations, *localizations),
    )


def _strip_grounding(call: Call) -> Call:
    """Return the call as the planner wrote it."""
    arguments = {key: value for key, value in call.arguments.items() if key != GROUNDED_KEY}
    return Call(call.name, arguments, call.thought)


def _grounded_point(call: Call) -> Sequence[int] | None:
    """Return the grounder's point, None without one; raise InvalidActionError when the grounder found nothing."""
    point = call.arguments.get(GROUNDED_KEY)
    if isinstance(point, str):
        raise InvalidActionError(point)
    return cast(Sequence[int] | None, point)


def _at(action: Action, x: int, y: int) -> Action:
    return action.model_copy(update={"x": x, "y": y}) if isinstance(action, Click | Move | LongPress) else action
