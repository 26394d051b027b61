"""The contract of a dialect as a program, for the dialects of this package and of third parties."""

from __future__ import annotations

import numpy as np

from actions import ACTION_TYPES, Action, Call, InvalidActionError, Screen, UsageError, make_action
from model.dialects.base import Dialect

SCREEN_SIZES = ((1288, 728), (1080, 2400), (280, 364))  # width, height in pixels
SAMPLES: dict[str, dict[str, object]] = {  # verb: fields of an action that most dialects can express
    "click": {"x": 30, "y": 40},
    "move": {"x": 30, "y": 40},
    "drag": {"path": ((30, 40), (90, 80))},
    "scroll": {"x": 30, "y": 40, "down": 5},
    "long_press": {"x": 30, "y": 40},
    "type": {"text": 'a "quoted"\\path\nand ünïcode'},
    "press": {"keys": ("enter",)},
    "open": {"target": "https://example.org"},
    "back": {},
    "home": {},
    "wait": {},
    "answer": {"text": "42"},
    "ask": {"question": "Which one?"},
    "done": {},
}
HOSTILE_REPLIES = ("", "\x00", "{", "<tool_call>", "\ud800", "click", "null", "[" * 2000, "9" * 2000)
POINT_TOLERANCE = 0.005  # of the screen: dialects with 0 to 999 coordinates cannot name every pixel


def check_dialect(dialect: Dialect) -> list[str]:
    """Return how a dialect breaks its contract, one sentence each; an empty list when it keeps it.

    The checks: a prompt with the current screenshot; an action that is formatted, parsed and grounded again comes back
    the same, up to the resolution of the dialect's coordinates; replies without a call raise InvalidActionError;
    `supports` agrees with `format_action`; a located point can be replaced.
    """
    failures: list[str] = []
    for width, height in SCREEN_SIZES:
        screen = Screen(np.zeros((height, width, 3), np.uint8))
        _check_prompt(dialect, screen, failures)
        for verb, fields in SAMPLES.items():
            _check_round_trip(dialect, make_action(verb, **fields), screen, failures)
    for text in HOSTILE_REPLIES:
        _check_hostile(dialect, text, failures)
    if not isinstance(dialect.prompt_hash, str) or not dialect.prompt_hash:
        failures.append("prompt_hash must be a non-empty text that changes with the prompt")
    return list(dict.fromkeys(failures))


def _check_prompt(dialect: Dialect, screen: Screen, failures: list[str]) -> None:
    conversation = dialect.conversation("goal-7f3a", [], screen, frozenset(ACTION_TYPES))
    parts = [part for message in conversation.messages for part in message["content"]]
    if not any(part["type"] == "image" and part["image"] is screen for part in parts):
        failures.append("conversation() must contain the current screen as an image part")
    if not any(part["type"] == "text" and "goal-7f3a" in part["text"] for part in parts):
        failures.append("conversation() must contain the goal")


def _check_round_trip(dialect: Dialect, action: Action, screen: Screen, failures: list[str]) -> None:
    verb = action.verb
    try:
        text = dialect.format_action(action, screen)
    except UsageError:
        return
    if not dialect.supports(verb):
        failures.append(f"format_action() writes '{verb}', but supports('{verb}') is False")
    try:
        call = dialect.parse(text)
        parsed = dialect.to_actions(call, screen)
    except InvalidActionError as error:
        failures.append(f"the reply that format_action() writes for '{verb}' is rejected: {error}")
        return
    if not isinstance(call, Call):
        failures.append(f"parse() must return a Call, not {type(call).__name__}")
    if len(parsed) != 1 or not _is_close(parsed[0], action, screen):
        failures.append(f"{action!r} comes back as {parsed!r} after format_action(), parse() and to_actions()")
    spans = dialect.point_spans(text)
    if spans and verb == "click":
        moved = dialect.to_actions(dialect.parse(dialect.with_point(text, 60, 70, screen)), screen)
        if len(moved) != 1 or not _is_close(moved[0], make_action("click", x=60, y=70), screen):
            failures.append("with_point() must replace the point that point_spans() locates")


def _is_close(parsed: Action, action: Action, screen: Screen) -> bool:
    points, expected = parsed.points(), action.points()
    if parsed.verb != action.verb or len(points) != len(expected):
        return False
    for point, target in zip(points, expected, strict=True):
        if abs(point.x - target.x) > max(1, POINT_TOLERANCE * screen.width):
            return False
        if abs(point.y - target.y) > max(1, POINT_TOLERANCE * screen.height):
            return False
    coordinates = {"x", "y", "path"}
    return parsed.model_dump(exclude=coordinates) == action.model_dump(exclude=coordinates)


def _check_hostile(dialect: Dialect, text: str, failures: list[str]) -> None:
    screen = Screen(np.zeros((728, 1288, 3), np.uint8))
    try:
        dialect.to_actions(dialect.parse(text), screen)
    except InvalidActionError as error:
        if "\n" in str(error):
            failures.append(f"the error for the reply {text[:20]!r} must be one line")
    except Exception as error:  # a contract check reports every other exception
        failures.append(f"the reply {text[:20]!r} raises {type(error).__name__}, not InvalidActionError")
