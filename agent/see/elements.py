"""List what can be operated on a screen."""

from __future__ import annotations

from collections.abc import Mapping

from actions import Screen
from agent.policies.base import Policy
from agent.see.coordinates import BOX_KEY, AnswerSpace
from agent.see.grounding import LABEL_KEY
from agent.see.questions import ask_items, clean_text, label_schema, require_answers
from agent.see.results import Perceived, ScreenElement
from model.json_file import JsonObject

KIND_KEY = "kind"
KINDS = (
    "button",
    "link",
    "field",
    "checkbox",
    "radio",
    "switch",
    "tab",
    "menu",
    "list",
    "item",
    "slider",
    "icon",
    "other",
)
QUESTION = "List every element of this screen that can be clicked, typed into or dragged, with its text and its kind."


def elements(screen: Screen, policy: Policy) -> Perceived[ScreenElement]:
    """List the elements of a screen that can be operated.

    Args:
        screen: The screenshot.
        policy: A policy whose model answers questions.

    Returns:
        The elements with their kinds, boxes in pixels of the image.

    Raises:
        UsageError: The model answers no questions.
        InvalidAnswerError: The reply is no list of objects, in two attempts.
        SurfaceError: The server is unreachable.
    """
    return ask_items(require_answers(policy, "list elements"), screen, QUESTION, _properties, _element)


def _properties(space: AnswerSpace) -> Mapping[str, JsonObject]:
    kind: JsonObject = {"type": "string", "enum": list(KINDS)}
    return {BOX_KEY: space.schema(BOX_KEY), LABEL_KEY: label_schema(), KIND_KEY: kind}


def _element(space: AnswerSpace, item: JsonObject) -> ScreenElement:
    return ScreenElement(clean_text(item[LABEL_KEY]), str(item[KIND_KEY]), space.box(item.get(BOX_KEY)))
