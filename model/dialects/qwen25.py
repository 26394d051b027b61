"""Qwen2.5-VL's own dialect: the functions computer_use and mobile_use, coordinates in pixels of the resized picture.

Knows how this family is asked and how it answers; what its actions mean, and the rule for coordinates, stand in
_qwen25_functions.py. Source: the authors' cookbook (computer_use and mobile_agent notebooks) and arXiv 2502.13923.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from actions import Call, InvalidActionError, Reply, Screen, Step, UsageError
from model.dialects._qwen25_examples import COMPUTER_EXAMPLES, MOBILE_EXAMPLES
from model.dialects._qwen25_functions import ACTS, Arguments, function_schema, show, sized, to_model, to_screen
from model.dialects._qwen_tools import arguments_for
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits
from model.wire.tool_call import ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN, RESPONSE_CLOSE, RESPONSE_OPEN

__all__ = ["EXAMPLES", "MOBILE_EXAMPLES", "Dialect", "to_model", "to_screen"]
EXAMPLES: list[Example] = COMPUTER_EXAMPLES  # of the default tool; MOBILE_EXAMPLES are of tool="mobile_use"

SYSTEM = {
    "computer_use": (
        "You carry out a person's task on their computer, by its screen alone. Each turn you are shown the screen and "
        "make one function call; then you see what became of it. When the task is done, or cannot be done, terminate."
    ),
    "mobile_use": (
        "You carry out a person's task on their phone, by its screen alone. Each turn you are shown the screen and "
        "make one function call; then you see what became of it. When the task is done, or cannot be done, terminate."
    ),
}
QUERY = "The user query: "  # the cookbook's words before the task
# Chat templates put the parts of a turn together as they are, so a part that follows words brings its line break.
LEFT_OUT = "\n(This picture is left out.)"
NEW_SIZE = "\nThe screen's resolution is now {width}x{height}."
FORGOTTEN = "\n(The first {count} steps are left out.)"


class Dialect:
    """Qwen2.5-VL as its authors' cookbook speaks with it.

    prompt: a text instead of our system sentences; {width} and {height} in it become the resized picture's size, and
    where it has its own <tools> block, our functions are not described a second time. history "turns": one turn for
    each step, append-only; "progress": the mobile cookbook's single turn, earlier pictures never shown.
    """

    def __init__(
        self,
        limits: ImageLimits,
        tool: str = "",
        prompt: str | None = None,
        history: Literal["", "turns", "progress"] = "",
    ) -> None:
        tool, history = tool or "computer_use", history or "turns"
        if tool not in ACTS:
            raise UsageError(f"tool must be one of {', '.join(ACTS)}, not {tool!r}")
        if history not in ("turns", "progress"):
            raise UsageError(f"history must be 'turns' or 'progress', not {history!r}")
        if prompt is not None and not prompt.strip():
            raise UsageError(
                "the prompt is empty; write the system text in it, or leave it out to use the built-in one"
            )
        self.limits, self.tool, self.history = limits, tool, history
        self.system = SYSTEM[tool] if prompt is None else prompt.strip()
        self.own_tools = prompt is None or "<tools>" not in prompt
        self.prompt_hash = self._fingerprint()

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        """What is said to the model; see the class for the two layouts."""
        layout = self._turns if self.history == "turns" else self._progress
        # later turns name a new size themselves, so that what was said before stays as it was
        first = steps[0].step.screen if steps and self.history == "turns" else screen
        size = self._size(first)
        system = {"role": "system", "content": [_text(sized(self.system, size))]}
        tools = (function_schema(self.tool, verbs, *size),) if self.own_tools else ()
        return Conversation((system, *layout(goal, steps, screen)), tools)

    def _turns(self, goal: str, steps: Sequence[HistoryStep], screen: Screen) -> list[dict[str, Any]]:
        said = [_text(_quoted(goal))]
        if steps and steps[0].step.index > 1:
            said.append(_text(FORGOTTEN.replace("{count}", str(steps[0].step.index - 1))))
        messages: list[dict[str, Any]] = []
        pictures = [(shown.step.screen, shown.picture) for shown in steps] + [(screen, True)]
        before = pictures[0][0]
        for (picture, visible), shown in zip(pictures, [*steps, None], strict=True):
            if self._size(picture) != self._size(before):
                said.append(_text(sized(NEW_SIZE, self._size(picture))))
            said.append({"type": "image", "image": picture} if visible else _text(LEFT_OUT))
            messages.append({"role": "user", "content": said})
            if shown is not None:
                reply = _quoted(shown.step.reply.text)
                messages.append({"role": "assistant", "content": [_text(reply)]})
                said = [_text(f"{RESPONSE_OPEN}\n{self._outcome(shown.step)}\n{RESPONSE_CLOSE}")]
                before = picture
        return messages

    def _progress(self, goal: str, steps: Sequence[HistoryStep], screen: Screen) -> list[dict[str, Any]]:
        done = "; ".join(f"Step {shown.step.index}: {self._did(shown.step)}" for shown in steps)
        task = f"{QUERY}{_quoted(goal)}" + (f" (Done so far: {done})" if done else "")
        return [{"role": "user", "content": [_text(task), {"type": "image", "image": screen}]}]

    def _did(self, step: Step) -> str:
        words = "no call" if step.call is None else _quoted(json.dumps(dict(step.call.arguments), ensure_ascii=False))
        return f"{words} ({self._outcome(step)})" if step.error or step.notice else words

    @staticmethod
    def _outcome(step: Step) -> str:
        parts = [f"Not done: {step.error}." if step.error else "Done.", step.notice]
        if step.reply.text.count(CALL_OPEN) > 1:
            parts.append("Only the first call of a reply is carried out.")
        return _quoted(" ".join(part for part in parts if part))

    def parse(self, text: str) -> Call:
        try:
            found = find_call(text)
        except ToolCallError as error:
            raise InvalidActionError(f"{error}; end the reply with {self._form()}") from None
        if found.name is not None and found.name != self.tool:
            inner = f", and {found.name} is an action of it" if found.name in {a.name for a in ACTS[self.tool]} else ""
            raise InvalidActionError(
                f"there is no function {show(found.name)}; the one function is {self.tool}{inner}: {self._form()}"
            )
        return Call(self.tool, found.arguments, found.thought)

    def to_action(self, call: Call, screen: Screen) -> Any:
        if call.name != self.tool:
            raise InvalidActionError(f"there is no function {show(call.name)}; the one function is {self.tool}")
        acts = {act.name: act for act in ACTS[self.tool]}
        name = call.arguments.get("action")
        if not isinstance(name, str) or name not in acts:
            near = difflib.get_close_matches(name[:40], acts, n=1) if isinstance(name, str) else []
            hint = f"did you mean '{near[0]}'?" if near else f"the actions are {', '.join(acts)}"
            raise InvalidActionError(f"{self.tool} has no action {show(name)}; {hint}")
        act = acts[name]
        for key, value in call.arguments.items():
            # an empty value says nothing; anything else may change what was meant, so it is not dropped in silence
            if key != "action" and key not in act.takes and value:
                takes = ", ".join(f"'{one}'" for one in act.takes)
                raise InvalidActionError(f"{name} takes {takes} only, not {show(key)}; do that in a call of its own")
        return act.means(Arguments(name, call.arguments, screen, self._size(screen)))

    def format_action(self, action: Any, screen: Screen) -> str:
        """The reply that means an Action; UsageError where the function has no words for it."""
        width, height = self._size(screen)
        said = arguments_for(
            self.tool, action, lambda x, y: [to_model(x, screen.width, width), to_model(y, screen.height, height)]
        )
        if said is None:
            raise UsageError(
                f"dialect qwen25 has no words for {action!r:.100}; {self.tool} has other verbs or other fields"
            )
        call = json.dumps({"name": self.tool, "arguments": said}, ensure_ascii=False)
        return f"{CALL_OPEN}\n{call}\n{CALL_CLOSE}"

    def _size(self, screen: Screen) -> tuple[int, int]:
        return self.limits.resized(screen.width, screen.height)

    def _form(self) -> str:
        """How a call is written; a form and no example, lest the model repeat it."""
        return f'{CALL_OPEN}{{"name": "{self.tool}", "arguments": {{"action": <action>, ...}}}}{CALL_CLOSE}'

    def _fingerprint(self) -> str:
        """sha256 of all that the model is told: system text, functions, and the layout shown on an invented run."""
        screen = Screen(np.zeros((56, 56, 3), np.uint8), timestamp=0.0)
        call = Call(self.tool, {"action": "wait"})
        steps = [
            HistoryStep(Step(2, screen, Reply("reply"), call, notice="note"), picture=True),
            HistoryStep(Step(3, screen, Reply(CALL_OPEN * 2), error="error")),
        ]
        sample = self._turns if self.history == "turns" else self._progress
        verbs = frozenset(verb for act in ACTS[self.tool] for verb in act.verbs)
        tools = [function_schema(self.tool, verbs, 0, 0)] if self.own_tools else []
        told = json.dumps([self.system, tools, NEW_SIZE, sample("goal", steps, screen)], default=lambda _: "picture")
        return hashlib.sha256(told.encode()).hexdigest()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _quoted(text: str) -> str:
    """Words of a person, a page or the model as plain words: the chat's marks and the response tag lose their form."""
    return (
        text.replace("<|", "< |")
        .replace(RESPONSE_OPEN, "< tool_response>")
        .replace(RESPONSE_CLOSE, "< /tool_response>")
    )
