"""Replies that are one point or box, of grounding models."""

from __future__ import annotations

from actions import Action, Screen
from model.dialects.parts.arguments import make
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import BaseDialect, click
from model.dialects.parts.fields import PointField
from model.dialects.parts.table import ActionSpec, ActionTable
from model.wire.points import parse_numbers

NOT_FOUND = "what was described is not on the screen"
POINT_TABLE = ActionTable(
    ActionSpec("click", "click", (PointField("point"),)),
    ActionSpec("absent", "done", constants={"status": "failure", "message": NOT_FOUND}),
)


def click_or_absent(place: object, key: str, mapper: CoordinateMapper) -> Action:
    """Return a click at a place; (-1,-1) and its box mean that the target is not on the screen."""
    if set(parse_numbers(place, key)) == {-1}:
        return make("done", status="failure", message=NOT_FOUND)
    return click(mapper.to_screen(place, key))


def format_place(dialect: BaseDialect, action: Action, screen: Screen, form: str, absent: str) -> str:
    """Return a reply for a click (`form` with X and Y for its numbers) or for a target that is not there."""
    call = POINT_TABLE.format(action, dialect.mapper(screen))
    if call is None:
        raise dialect.unsupported(action)
    point = call[1].get("point")
    return form.replace("X", str(point[0])).replace("Y", str(point[1])) if isinstance(point, list) else absent
