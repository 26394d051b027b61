"""Holo3 and Holo3.1 (on Qwen3.5): a navigator that reasons and answers in JSON, and a localizer; points from 0 to 1000.

Tools: "navigate", the agent; "ground", the localizer, which does not reason.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

from actions import Action, Call, Drag, Screen, make_action
from model.dialects import holo
from model.dialects.base import Conversation, Detection, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import SCALE_1000, CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import FlagField, KeysField, TextField
from model.dialects.parts.history import Message, escape, message, outcome_text
from model.dialects.parts.schema import object_schema
from model.dialects.parts.table import ActionSpec, ActionTable, Result, constant_row
from model.processing.image import ImageLimits
from model.wire.tool_call import ToolCallError, find_call
from model.wire.xml_call import decode_values

LIMITS = ImageLimits(256 * 256, 4096 * 4096, factor=32)  # Qwen3.5's; the authors' page states none

OMITTED = "(This screenshot is left out.)"
THOUGHT_END = "</think>"
ENDS = ("start_x", "start_y", "end_x", "end_y")


def _drag(arguments: Arguments) -> Result:
    values = [arguments.values.get(key) for key in ENDS]  # `require` takes a 0 for missing here
    points = [arguments.mapper.to_screen(values[at : at + 2], ENDS[at]) for at in (0, 2)]
    return make_action("drag", path=tuple(points))


def _write_drag(action: Action, mapper: CoordinateMapper) -> Values | None:
    path = action.path if isinstance(action, Drag) and not action.modifiers else ()
    numbers = [number for point in path for number in mapper.to_model(*point)]
    return dict(zip(ENDS, numbers, strict=True)) if len(path) == 2 else None


ROWS, AT = holo.TABLE.rows, holo.WRITE[1:]
ENTER = FlagField("press_enter", attribute="enter")
TABLE = ActionTable(
    # of the authors' page
    ActionSpec("click", "click", AT),
    ActionSpec("write", "type", (TextField("content"), ENTER)),
    ROWS["answer"],
    # the rest of the toolbox is the integrator's; names of their earlier navigator where it has them
    ActionSpec("double_click", "click", AT, constants={"count": 2}),
    ActionSpec("triple_click", "click", AT, constants={"count": 3}),
    ActionSpec("right_click", "click", AT, constants={"button": "right"}),
    ActionSpec("hover", "move", AT),
    ActionSpec("long_press", "long_press", AT),
    ActionSpec("drag", "drag", tuple(map(holo.NumberField, ENDS)), parse=_drag, format=_write_drag),
    ROWS["scroll"],
    ActionSpec("hotkey", "press", (KeysField("keys"),)),
    ROWS["wait"],
    ROWS["go_back"],
    constant_row("go_home", "home"),
    ROWS["goto"],
)


class Dialect(holo.Dialect):
    """Holo3. navigate: a turn for each step, its screenshot in <observation>, its outcome in <tool_output>."""

    NAME = "holo3"
    DETECTION = Detection(markers=(("hub.hcompany.ai",),), model_types=("qwen3_5", "qwen3_5_moe"))
    HISTORIES = ("turns",)
    SPACE = SCALE_1000
    PICTURES = 2
    SYSTEM: ClassVar = {
        "navigate": load_prompt("holo3"),
        "ground": "Find a thing on the picture of a screen, and say where to click it.\n"
        " * Answer with JSON of this schema: {schema}\n The thing is:\n",
    }
    ACTIONS: ClassVar = {"navigate": TABLE, "ground": ActionTable(TABLE.rows["click"])}
    CALL_KEY, NAME_KEY = "tool_call", "tool_name"
    POINT_SCHEMA = object_schema({name: {"maximum": 1000, "minimum": 0, "type": "integer"} for name in "xy"})
    EMPTY_NOTE = None
    REPLY_TAGS = (f"{THOUGHT_END}\n\n", "")
    POINT_FORM: ClassVar = {"ground": '{"x": X, "y": Y}'}

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        if self.tool == "ground":
            return replace(super().conversation(goal, steps, screen, verbs), thinking=False)
        values = {"output_format": json.dumps(self.schema(verbs)), "goal": escape(goal)}
        messages = [message("system", self.render_prompt(self.built_in, **values))]
        for earlier in steps:
            step = earlier.step
            name = f' tool="{step.call.name}"' if step.call and step.call.name in self.table.rows else ""
            output = f"<tool_output{name}>\n{outcome_text(step) or 'Done.'}\n</tool_output>"
            reply = message("assistant", escape(_without_reasoning(step.reply.text)))
            messages += [_observation(step.screen if earlier.picture else OMITTED), reply, message("user", output)]
        return Conversation((*messages, _observation(screen)), thinking=True)

    def parse_call(self, text: str) -> Call:
        answer = _without_reasoning(text)
        if answer.lstrip()[:1] == "{":
            return super().parse_call(answer)
        try:
            call = find_call(answer)  # Holo3.1's native calls
        except ToolCallError:
            return super().parse_call(answer)
        fields = self.table.rows[call.name].fields if call.name in self.table.rows else ()
        types = {field.key: field.schema["type"] for field in fields}
        return Call(
            call.name or "", decode_values(call.arguments, types) if call.is_xml else call.arguments, call.thought
        )


def _observation(screen: Screen | str) -> Message:
    return message("user", "<observation>\n", screen, "\n</observation>")


def _without_reasoning(text: str) -> str:
    """Return what follows the reasoning in a reply, which servers and templates leave out of later prompts."""
    return text if text.lstrip()[:1] == "{" else text.partition(THOUGHT_END)[2] or text
