"""ScriptPolicy: replays recorded replies, for tests and for runs without a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from actions import ACTION_TYPES, Action, Call, InvalidActionError, Reply, Screen, Step, UsageError, parse_action
from agent.policies.base import DialectPolicyMixin, load_dialect
from model.dialects.base import Conversation, Dialect, HistoryStep


class ScriptPolicy(DialectPolicyMixin):
    """Return the given replies one after the other, whatever the screen shows.

    Args:
        replies: The texts to replay.
        dialect: The dialect that they are written in; JsonDialect by default.
    """

    def __init__(self, replies: Sequence[str], dialect: Dialect | None = None) -> None:
        self.replies = tuple(replies)
        self.dialect: Dialect = dialect or JsonDialect()
        self._next = 0

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces; the fingerprint is a hash of the replies."""
        digest = hashlib.sha256("\0".join(self.replies).encode("utf-8", "backslashreplace")).hexdigest()
        return {"model": "script", "fingerprint": digest[:32], "prompt_hash": self.dialect.prompt_hash}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the next reply; raise UsageError after the last one."""
        if self._next >= len(self.replies):
            raise UsageError(
                f"the script has only {len(self.replies)} replies; "
                "end it with an action that ends the run, or lower --max-steps"
            )
        text = self.replies[self._next]
        self._next += 1
        return Reply(text, prompt=goal, image_digests=(screen.digest,))

    def answer(
        self,
        question: str,
        screens: Sequence[Screen],
        schema: Mapping[str, object] | None,
        *,
        max_new_tokens: int | None = None,
        is_question_first: bool = False,
    ) -> Reply:
        """Return the next reply, whatever the form; raise UsageError after the last one."""
        return self.decide(question, (), screens[-1], frozenset())

    def skip(self, count: int) -> None:
        """Leave out the next `count` replies, which an earlier run used."""
        self._next += count

    def close(self) -> None:
        """Do nothing."""


class JsonDialect(Dialect):
    """A dialect for scripts: a reply is one action as JSON, in screen pixels.

    Example: `{"verb": "click", "x": 3, "y": 4, "thought": "the button"}`. `thought` is optional.
    """

    prompt_hash = "plain"

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        """Return one user message with the screenshot and the goal."""
        content = ({"type": "image", "image": screen}, {"type": "text", "text": goal})
        return Conversation(({"role": "user", "content": list(content)},))

    def parse(self, text: str) -> Call:
        """Return the action in a reply as a call; raise InvalidActionError when it is not one JSON object."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidActionError(f"the reply is not JSON ({str(error)[:100]})") from None
        if not isinstance(data, dict) or not isinstance(data.get("verb"), str):
            raise InvalidActionError('the reply is not an action like {"verb": "click", "x": 3, "y": 4}')
        return Call(data.pop("verb"), data, thought=str(data.pop("thought", "")))

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the action of a call; raise InvalidActionError when a point is outside the screen."""
        action: Action = parse_action({**call.arguments, "verb": call.name})
        for point in action.points():
            screen.check_point(*point)
        return action

    def supports(self, verb: str) -> bool:
        """Return whether replies can contain `verb`."""
        return verb in ACTION_TYPES


def load_script(path: Path, prompt: str = "") -> ScriptPolicy:
    """Load a script: on each line a JSON string (a reply in the qwen25 dialect) or a JSON object (an action).

    Args:
        path: The file.
        prompt: Path of a text file that replaces the qwen25 dialect's prompt.

    Raises:
        UsageError: The file cannot be read, is empty, or mixes strings and objects.
    """
    from model.processing.image import ImageLimits

    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        replies = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise UsageError(f"the script {path} cannot be read ({error}); write one JSON string per line") from None
    if replies and all(isinstance(reply, str) for reply in replies):
        return ScriptPolicy(replies, load_dialect("qwen25", ImageLimits(), prompt))
    if replies and all(isinstance(reply, dict) for reply in replies):
        return ScriptPolicy(lines, JsonDialect())
    raise UsageError(
        f"the script {path} must contain one JSON string per line, or one action as a JSON object per line"
    )
