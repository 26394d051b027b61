"""A pair: a planner says what to do, a grounder says where. Knows two policies and points; knows no machine.

The planner is asked as ever, and still writes a point of its own. Where its reply clicks, moves to or presses at one
place, the grounder is shown the same screen and the planner's words for it, and its point takes the place of the
planner's. Drags and scrolls keep the planner's points (their words name two things, or none), and so does a reply that
points at several places. What was sent to the grounder, see target; what it said stands among the reply's looks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from actions import Call, InvalidActionError, Reply, Screen, Step, UsageError
from agent.policies.base import Policy
from agent.policies.zoom import POINT_ACTIONS

GROUNDED_KEY = (
    "grounded"  # among a call's arguments: [x, y] in pixels of the screen, or a sentence that says why there is none
)
DESCRIBE_TARGET_PROMPT = (
    "Before the call, name in one sentence what is to be pointed at: its kind, its text and its place."
)
GROUNDER_VERBS = frozenset({"click"})
_HEADING = re.compile(
    r"^(?=[ \t]*#|[ \t*]*\w+[ \t*]*[:：])[ \t#*]*(Observation|Thought|Action|Code)\b[ \t*]*[:：]?[ \t*]*", re.MULTILINE
)
_TAG, _WORD = re.compile(r"<[^<>]*>"), re.compile(r"[^\W\d_]")


def target(call: Call) -> str:
    """The planner's words for what it points at, on one line; "" where it has none.

    The call's own `element`, where that is words; else what stands under the heading Action before the call (as of
    OpenCUA); else all of its thought.
    """
    named = call.arguments.get("element")
    if isinstance(named, str) and _WORD.search(_TAG.sub("", named)):
        return " ".join(named.split())
    parts = _HEADING.split(call.thought)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    return " ".join((said.get("Action", "").strip() or call.thought).split())


class PlannerGrounderPolicy:
    """Two policies as one. UsageError where the grounder cannot point. It owns both: close closes both."""

    def __init__(self, planner: Policy, grounder: Policy) -> None:
        self.planner, self.grounder = planner, grounder
        dialect = getattr(grounder, "dialect", None)
        if dialect is None or not dialect.supports("click"):
            name = grounder.metadata.get("dialect") or type(dialect).__name__
            raise UsageError(
                f"the grounder {grounder.metadata['model']} cannot point: its dialect, {name}, has no words for a click; "
                "give a model that finds what is described, such as GTA1 or Jedi"
            )
        self._limits = getattr(dialect, "limits", None)
        self.chat = getattr(planner, "chat", None)  # who asks a policy for its picture sizes is told the planner's
        self.speech = getattr(planner, "speech", None)

    @property
    def on_text(self) -> Callable[[str], None] | None:
        """Who is told the planner's words while they come; the grounder's are told to nobody."""
        return getattr(self.planner, "on_text", None)

    @on_text.setter
    def on_text(self, heard: Callable[[str], None] | None) -> None:
        if hasattr(self.planner, "on_text"):
            self.planner.on_text = heard

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The planner's; but model, fingerprint and prompt_hash are of both; each one's own stand under its name."""
        planner = self.planner.metadata
        grounder = {key: value for key, value in self.grounder.metadata.items() if key != "path"}
        told = f"{planner['prompt_hash']}\0{DESCRIBE_TARGET_PROMPT}\0{grounder['prompt_hash']}"
        both = {key: f"{planner[key]} + {grounder[key]}" for key in ("model", "fingerprint")}
        both["prompt_hash"] = hashlib.sha256(told.encode()).hexdigest()
        if self._limits is not None:
            grounder |= {"min_pixels": self._limits.min_pixels, "max_pixels": self._limits.max_pixels}
        own = {key: planner[key] for key in ("model", "fingerprint", "prompt_hash")}
        return {**planner, **both, "planner": own, "grounder": grounder, "asks_for_words": DESCRIBE_TARGET_PROMPT}

    def prefetch(self, screen: Screen) -> None:
        """Make a screen ready for both, as far as they can; from any thread."""
        for one in (self.planner, self.grounder):
            if hasattr(one, "prefetch"):
                one.prefetch(screen)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """The planner's words, and among their looks the grounder's.

        A planner that points without a word is asked once more, for words; one that has none then either is taken at
        its first reply, and the grounder is sent the goal.
        """
        steps = [replace(step, call=step.call and _own(step.call)) for step in steps]
        reply = self.planner.decide(goal, steps, screen, verbs)
        words, places = self._meant(reply, screen)
        if places == 1 and not words:
            again = self.planner.decide(f"{goal}\n{DESCRIBE_TARGET_PROMPT}", steps, screen, verbs)
            words, others = self._meant(again, screen)
            words = words if others == 1 else ""
            reply, unused = (again, reply) if words else (reply, again)
            reply = _merge_reply(
                reply, unused, "ask_again", {"asked_again": DESCRIBE_TARGET_PROMPT, "unused": unused.text}
            )
        if places > 1:
            why = f"the reply points at {places} places, and keeps the planner's points"
            return replace(
                reply,
                localizations=(*reply.localizations, {"grounder": self.grounder.metadata["model"], "not_asked": why}),
            )
        return self._ground(reply, words, goal, screen) if places else reply

    def parse(self, reply: Reply) -> Call:
        call = self.planner.parse(reply)
        if GROUNDED_KEY in call.arguments:
            raise InvalidActionError(f"{call.name} takes no '{GROUNDED_KEY}'")
        found = next((look[GROUNDED_KEY] for look in reply.localizations if GROUNDED_KEY in look), None)
        return call if found is None else Call(call.name, {**call.arguments, GROUNDED_KEY: found}, call.thought)

    def to_action(self, call: Call, screen: Screen) -> Any:
        found = _grounded_point(call)
        meant = self.planner.to_action(_own(call), screen)
        return meant if found is None else _at(meant, *found)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
        found = _grounded_point(call)
        meant = self.planner.to_actions(_own(call), screen)
        return meant if found is None else tuple(_at(one, *found) for one in meant)

    def close(self) -> None:
        try:
            self.planner.close()
        finally:
            self.grounder.close()

    def _meant(self, reply: Reply, screen: Screen) -> tuple[str, int]:
        """The planner's words for what a reply points at, and at how many places; none where it cannot be read."""
        try:
            call = self.planner.parse(reply)
            meant = self.planner.to_actions(call, screen)
        except InvalidActionError:  # the loop will read it again, and say so
            return "", 0
        return target(call), len({point for one in meant if one.verb in POINT_ACTIONS for point in one.points()})

    def _ground(self, reply: Reply, words: str, goal: str, screen: Screen) -> Reply:
        """The planner's reply with what the grounder says of the words, or of the goal where there are none."""
        sent = words or goal
        answer = self.grounder.decide(sent, (), screen, GROUNDER_VERBS)
        found: list[int] | str
        try:
            meant = self.grounder.to_actions(self.grounder.parse(answer), screen)
            at = next((one.points()[0] for one in meant if one.verb in POINT_ACTIONS), None)
            found = f"it is not on the screen: {sent[:300]}" if at is None else list(at)
        except InvalidActionError as error:
            found = f"it could not be looked for ({error}): {sent[:300]}"
        if isinstance(found, str):
            found += ". Look again, and name the thing by its kind, its text and its place"
        look = {
            "grounder": self.grounder.metadata["model"],
            "sent": sent,
            "sent_is": "words" if words else "goal",
            "prompt": answer.prompt,
            "text": answer.text,
            GROUNDED_KEY: found,
        }
        where = ({"grounder": look["grounder"], **one} for one in answer.localizations)
        return _merge_reply(reply, answer, "ground", look, *where)


def _merge_reply(reply: Reply, other: Reply, phase: str, *looks: Mapping[str, Any]) -> Reply:
    """A reply that took another one to get: its tokens and seconds are counted, and the looks say what it was for."""
    return replace(
        reply,
        prompt_tokens=reply.prompt_tokens + other.prompt_tokens,
        reply_tokens=reply.reply_tokens + other.reply_tokens,
        timings_s={**reply.timings_s, phase: sum(other.timings_s.values())},
        localizations=(*reply.localizations, *looks),
    )


def _own(call: Call) -> Call:
    """The call as the planner said it."""
    return Call(call.name, {key: one for key, one in call.arguments.items() if key != GROUNDED_KEY}, call.thought)


def _grounded_point(call: Call) -> Sequence[int] | None:
    """The grounder's point, None where it was not asked; BadCall where it found nothing."""
    found = call.arguments.get(GROUNDED_KEY)
    if isinstance(found, str):
        raise InvalidActionError(found)
    return found


def _at(action: Any, x: int, y: int) -> Any:
    return action.model_copy(update={"x": x, "y": y}) if action.verb in POINT_ACTIONS else action
