"""Find and count what is described in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions import Screen, UsageError
from agent.policies.base import Policy
from agent.see.coordinates import BOX_KEY, POINT_KEY, QUAD_KEY, QUAD_KEYS, QUAD_PROMPT, AnswerSpace
from agent.see.questions import ask_items, can_answer, clean_text, label_schema, require_answers
from agent.see.results import GroundedObject, Perceived, center
from model.json_file import JsonObject

LABEL_KEY = "label"


def ground(
    screen: Screen,
    description: str,
    policy: Policy,
    *,
    points: bool = False,
    polygons: bool = False,
    attributes: Sequence[str] = (),
) -> Perceived[GroundedObject]:
    """Find all objects that fit a description.

    A model that was trained to point alone, such as the embedded one, returns one point without a box.

    Args:
        screen: The image.
        description: What to find, such as "all buttons".
        policy: A policy such as `load_policy` returns.
        points: Ask for points in place of boxes.
        polygons: Ask for four corners in place of boxes, for objects in any orientation.
        attributes: Names of attributes that each object is to have, such as "color".

    Returns:
        The objects, boxes and points in pixels of the image.

    Raises:
        UsageError: The description is empty, points and polygons are asked for, or the model cannot name attributes or
            corners.
        InvalidActionError: A model that points alone gave no point.
        InvalidAnswerError: The reply is no list of objects, in two attempts.
        SurfaceError: The server is unreachable.
    """
    description = clean_text(description)
    if not description:
        raise UsageError("the description is empty: describe what to find")
    if points and polygons:
        raise UsageError(
            "--points and --polygons cannot be used together: an object has a point or corners; remove one"
        )
    if reserved := sorted({BOX_KEY, POINT_KEY, *QUAD_KEYS, LABEL_KEY, ""} & set(attributes)):
        raise UsageError(f"an attribute cannot be named {reserved[0]!r}: give it another name")
    if not can_answer(policy):
        if attributes or polygons:
            require_answers(policy, "name attributes" if attributes else "give corners")
        click = policy.locate(description, screen)
        target = GroundedObject(description, None, (click.x, click.y), {})
        return Perceived((target,), (screen.width, screen.height), str(policy.metadata["model"]))
    key = POINT_KEY if points else QUAD_KEY if polygons else BOX_KEY

    def properties(space: AnswerSpace) -> Mapping[str, JsonObject]:
        texts = {name: label_schema() for name in (LABEL_KEY, *attributes)}
        return {key: space.schema(key), **texts}

    def convert(space: AnswerSpace, item: JsonObject) -> GroundedObject:
        values = {name: clean_text(item[name]) for name in attributes}
        label = clean_text(item[LABEL_KEY])
        if points:
            return GroundedObject(label, None, space.point(item.get(key)), values)
        box, polygon = space.place(item)
        return GroundedObject(label, box, center(box), values, polygon)

    question = f"{'Point at' if points else 'Locate'} every object in the image that fits: {description}"
    if polygons:
        question += f"\n{QUAD_PROMPT}"
    return ask_items(require_answers(policy, "find objects"), screen, question, properties, convert)


def count(screen: Screen, description: str, policy: Policy) -> Perceived[GroundedObject]:
    """Count the objects that fit a description, by pointing at each.

    Args:
        screen: The image.
        description: What to count, such as "people".
        policy: A policy whose model answers questions.

    Returns:
        The objects with their points; `count` is their number, too small where `is_complete` is False.

    Raises:
        UsageError: The description is empty, or the model answers no questions.
        InvalidAnswerError: The reply is no list of objects, in two attempts.
        SurfaceError: The server is unreachable.
    """
    require_answers(policy, "count")
    return ground(screen, description, policy, points=True)
