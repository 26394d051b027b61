"""Qwen2.5-VL: the functions computer_use and mobile_use, coordinates in pixels of the resized image.

Source: the authors' cookbook (computer_use and mobile_agent notebooks) and arXiv 2502.13923.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np

from actions import Call, Reply, Screen, Step
from model.dialects.base import Conversation, Detection, HistoryStep, Steps, Verbs
from model.dialects.parts.dialect import hash_prompt
from model.dialects.parts.fields import KeysField
from model.dialects.parts.history import Message, escape, image_part, join_texts, message, outcome_text, text_part
from model.dialects.parts.qwen_tools import BUTTONS, COMPUTER, KEY, MOBILE, QwenToolDialect
from model.dialects.parts.schema import Schema, value_schema
from model.dialects.parts.table import ActionTable
from model.wire.tool_prompt import CALL_OPEN, RESPONSE_CLOSE, RESPONSE_OPEN

KEY_OR_CHORD = replace(KEY, fields=(KeysField("keys", chords=True),))  # the embedded model writes ["ctrl+c"]
QUERY = "The user query: "  # the cookbook's words before the task
# Chat templates concatenate the parts of a turn, so a part after text starts with a line break.
IMAGE_OMITTED = "\n(This picture is left out.)"
NEW_SIZE = "\nThe screen's resolution is now {width}x{height}."
STEPS_OMITTED = "\n(The first {count} steps are left out.)"


class Dialect(QwenToolDialect):
    """Qwen2.5-VL as prompted in its authors' cookbook.

    history "turns": one turn for each step, append-only. "progress": the mobile cookbook's single turn, without
    earlier screenshots.
    """

    NAME = "qwen25"
    DETECTION = Detection(base_of=("qwen2_5_vl",))
    HISTORIES = ("turns", "progress")
    ACTIONS: ClassVar = {
        "computer_use": ActionTable(*{**COMPUTER.rows, "key": KEY_OR_CHORD}.values()),
        "mobile_use": MOBILE,
    }

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        # later turns name a new size themselves, so that earlier messages stay unchanged
        size = self.size(steps[0].step.screen if steps and self.history == "turns" else screen)
        system = message("system", self.render_prompt(self.built_in, width=size[0], height=size[1]))
        return Conversation((system, *self.turns(escape(goal), steps, screen)), self.tools(verbs, size))

    def schema(self, verbs: Verbs, size: tuple[int, int]) -> Schema:
        """Return the function as the cookbook renders it: with the buttons of the surface, and more keys."""
        schema = super().schema(verbs, size)
        function = schema["function"]
        properties = function["parameters"]["properties"]
        if "button" in properties:
            buttons = {name: text for name, (text, pressed) in BUTTONS.items() if pressed.verb in verbs}
            description = " ".join(f"{name}: {text}" for name, text in buttons.items())
            properties["button"] = value_schema(description, enum=list(buttons))
        arguments = "Write the arguments as a JSON object."
        return {**schema, "function": {"name_for_human": self.tool, **function, "args_format": arguments}}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> list[Message]:
        if self.history == "progress":
            done = "; ".join(f"Step {earlier.step.index}: {_summary(earlier.step)}" for earlier in steps)
            return [message("user", f"{QUERY}{goal}" + (f" (Done so far: {done})" if done else ""), screen)]
        parts = [text_part(goal)]
        if steps and steps[0].step.index > 1:
            parts.append(text_part(STEPS_OMITTED.replace("{count}", str(steps[0].step.index - 1))))
        messages: list[Message] = []
        screens = [(earlier.step.screen, earlier.picture) for earlier in steps] + [(screen, True)]
        size = self.size(screens[0][0])
        for (step_screen, has_image), earlier in zip(screens, [*steps, None], strict=True):
            if self.size(step_screen) != size:
                width, height = size = self.size(step_screen)
                parts.append(text_part(NEW_SIZE.replace("{width}", str(width)).replace("{height}", str(height))))
            parts.append(image_part(step_screen) if has_image else text_part(IMAGE_OMITTED))
            messages.append({"role": "user", "content": parts})
            if earlier is not None:
                reply = text_part(escape(earlier.step.reply.text))
                messages.append({"role": "assistant", "content": [reply]})
                parts = [text_part(f"{RESPONSE_OPEN}\n{_outcome(earlier.step)}\n{RESPONSE_CLOSE}")]
        return messages

    def _fingerprint(self) -> str:
        """Return the sha256 of the system text, the functions, and the layout of a sample run."""
        screen = Screen(np.zeros((56, 56, 3), np.uint8), timestamp=0.0)
        steps = [
            HistoryStep(Step(2, screen, Reply("reply"), Call(self.tool, {"action": "wait"}), notice="note"), True),
            HistoryStep(Step(3, screen, Reply(CALL_OPEN * 2), error="error")),
        ]
        verbs = frozenset(verb for row in self.table.rows.values() if row.offered for verb in row.verbs)
        system, tools = self.render_prompt(self.built_in), self.tools(verbs, (0, 0))
        return hash_prompt([system, tools, NEW_SIZE, self.turns("goal", steps, screen)])


def _summary(step: Step) -> str:
    text = "no call" if step.call is None else escape(json.dumps(dict(step.call.arguments), ensure_ascii=False))
    return f"{text} ({_outcome(step)})" if step.error or step.notice else text


def _outcome(step: Step) -> str:
    has_more = step.reply.text.count(CALL_OPEN) > 1
    return join_texts(outcome_text(step, "Done."), "Only the first call of a reply is carried out." if has_more else "")
