"""Replies that are one point or box, of grounding models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from actions import Call, make_action
from model.dialects.base import Values, Verbs
from model.dialects.parts.arguments import unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import BaseDialect
from model.dialects.parts.fields import PointField
from model.dialects.parts.grammar import GrammarBuilder, literal, write_point
from model.dialects.parts.table import Actions, ActionSpec, ActionTable, click
from model.engine.call_grammar import CallGrammar
from model.wire.points import find_point, parse_numbers

NOT_FOUND = "what was described is not on the screen"
POINT_TABLE = ActionTable(
    ActionSpec("click", "click", (PointField("point"),)),
    ActionSpec("absent", "done", constants={"status": "failure", "message": NOT_FOUND}),
)


class PointDialect(BaseDialect):
    """A family that answers with a place alone; all numbers -1: no target, where the table has `absent`."""

    POINT_TOOL: ClassVar[str] = "computer_use"  # the tool for which this holds
    ANSWER: ClassVar[str] = "(x,y)"  # for error messages
    POINT: ClassVar[str] = "(X,Y)"  # X and Y stand for the numbers
    ABSENT: ClassVar[str] = "(-1,-1)"
    POINT_TAGS: ClassVar[tuple[str, str]] = ("", "")  # around a place that follows free text
    CALL: ClassVar[tuple[str, str]] = ("click", "point")  # in a Call: its name, and the argument that holds the place

    def parse_call(self, text: str) -> Call:
        if self.tool != self.POINT_TOOL:
            return super().parse_call(text)
        return Call(self.CALL[0], {self.CALL[1]: find_point(text, self.ANSWER)})

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        if self.tool != self.POINT_TOOL:
            return super().actions_of(name, arguments, mapper, thought)
        if name != self.CALL[0]:
            raise unknown_name(name, self.CALL[:1])
        place = arguments.get(self.CALL[1])
        if "absent" in self.table.rows and set(parse_numbers(place, self.CALL[1])) == {-1}:
            return (make_action("done", status="failure", message=NOT_FOUND),)
        return (click(mapper.to_screen(place, self.CALL[1])),)

    def write_call(self, name: str, values: Values) -> str:
        if self.tool != self.POINT_TOOL:
            return super().write_call(name, values)
        point = values.get("point")
        return (write_point(self.POINT, point) if isinstance(point, list) else self.ABSENT).join(self.POINT_TAGS)

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        if self.tool != self.POINT_TOOL:
            return super().build_grammar(verbs, mapper)
        grammar = GrammarBuilder(verbs, mapper, "single", self.POINT)  # a space after the comma is optional
        point = grammar.point()
        call = f"{point.lark} | {literal(self.ABSENT)}" if "absent" in self.table.rows else point.lark
        return grammar.build(
            call, (point.longest.join(self.POINT_TAGS),), self.POINT_TAGS, closing_strings=(self.POINT[-1],)
        )
