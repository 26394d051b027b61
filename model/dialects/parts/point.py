"""Replies that are one point or box, of grounding models."""

from __future__ import annotations

import re

from actions import Action, InvalidActionError, Screen
from model.dialects.parts.arguments import make
from model.dialects.parts.coordinates import FULLWIDTH_TABLE, CoordinateMapper, Number, parse_number, parse_numbers
from model.dialects.parts.dialect import BaseDialect, click
from model.dialects.parts.fields import PointField
from model.dialects.parts.table import ActionSpec, ActionTable

NOT_FOUND = "what was described is not on the screen"
_DIGITS = r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?"
_PAIR = re.compile(
    rf"[(\[][ \t]*({_DIGITS})[ \t]*,[ \t]*({_DIGITS})(?:[ \t]*,[ \t]*({_DIGITS})[ \t]*,[ \t]*({_DIGITS}))?"
)
POINT_TABLE = ActionTable(
    ActionSpec("click", "click", (PointField("point"),)),
    ActionSpec("absent", "done", constants={"status": "failure", "message": NOT_FOUND}),
)


def find_place(text: str, form: str) -> list[Number]:
    """Return the numbers of the first point or box in a reply.

    Raises:
        InvalidActionError: if there is none, or it is cut off.
    """
    plain = text.translate(FULLWIDTH_TABLE)
    match = _PAIR.search(plain)
    if match is None:
        raise InvalidActionError(f"the reply has no point; answer with {form}")
    if plain[match.end() : match.end() + 40].lstrip()[:1] not in (")", "]"):
        raise InvalidActionError(
            f"the point is not closed, or has more or fewer numbers than it may; answer with {form}"
        )
    values = [parse_number(digits) for digits in match.groups() if digits is not None]
    numbers = [value for value in values if value is not None]
    if len(numbers) != len(values):
        raise InvalidActionError(f"a number of the point is too large; answer with {form}")
    return numbers


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
