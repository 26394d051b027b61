"""Chat messages, and the layouts in which earlier steps are recent."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from actions import Screen, Step
from model.dialects.base import Steps
from model.wire.tool_prompt import RESPONSE_CLOSE, RESPONSE_OPEN

Message = dict[str, Any]


def text_part(text: str) -> Message:
    """Return the text as a part of a message."""
    return {"type": "text", "text": text}


def image_part(screen: Screen) -> Message:
    """Return the screenshot as a part of a message."""
    return {"type": "image", "image": screen}


def message(role: str, *parts: str | Screen | Message) -> Message:
    """Return one message of texts and screenshots; empty texts are left out."""
    texts = [text_part(part) if isinstance(part, str) else part for part in parts]
    content = [image_part(part) if isinstance(part, Screen) else part for part in texts]
    return {"role": role, "content": [part for part in content if part.get("text") != ""]}


def escape(text: str) -> str:
    """Break up chat and response tags in a text of a person, a page or the model, so that it cannot end a turn."""
    for tag in ("<|", RESPONSE_OPEN, RESPONSE_CLOSE, "</tool_output>", "</observation>"):
        text = text.replace(tag, f"< {tag[1:]}")
    return text


def join_texts(*texts: str, separator: str = " ") -> str:
    """Return the texts that are not empty, joined."""
    return separator.join(filter(None, texts))


def tagged_texts(text: str, *tags: str) -> dict[str, str]:
    """Return the text inside each of the tags that a reply has; the last tag may be left open."""
    pattern = rf"<({'|'.join(tags)})>\s*(.*?)\s*(?:</\1>|\Z)"
    return {match.group(1): match.group(2) for match in re.finditer(pattern, text, re.DOTALL)}


def outcome_text(step: Step, success: str = "") -> str:
    """Return what the next screenshot does not show of a step's outcome; `success` stands for no error."""
    return escape(join_texts(f"Not done: {step.error}." if step.error else success, step.notice))


def chat_turns(
    goal: str,
    steps: Steps,
    screen: Screen,
    next_text: Callable[[Step], str],
    *,
    image_first: bool = False,
    empty_reply: str = "",
) -> list[Message]:
    """Return one user turn and one assistant turn for each step, and the user turn with the current screenshot.

    Args:
        next_text: the user's text after a step.
        image_first: whether a screenshot precedes its text.
        empty_reply: stands for a reply without text.
    """

    def user(text: str, *image: Screen) -> Message:
        return message("user", *image, text) if image_first else message("user", text, *image)

    messages, text = [], goal
    for earlier in steps:
        image = [earlier.step.screen] if earlier.picture else []
        messages += [user(text, *image), message("assistant", escape(earlier.step.reply.text) or empty_reply)]
        text = next_text(earlier.step)
    return [*messages, user(text, screen)]


def window_turns(
    request: str, steps: Steps, screen: Screen, summary: Callable[[Step], str], *, image_first: bool = False
) -> list[Message]:
    """Return the screenshot and the reply of each step that has a screenshot as turns, and the current screenshot.

    Args:
        request: the text of the first turn; {previous} in it stands for the steps without a screenshot.
        summary: a line about such a step.
        image_first: whether a screenshot precedes its text.
    """
    recent = [earlier.step for earlier in steps if earlier.picture]
    lines = [summary(earlier.step) for earlier in steps if not earlier.picture]
    texts = [request.replace("{previous}", "\n".join(lines) or "None"), *map(outcome_text, recent)]
    messages = []
    for text, image in zip(texts, [*(step.screen for step in recent), screen], strict=True):
        messages.append(message("user", image, text) if image_first else message("user", text, image))
    replies = [message("assistant", escape(step.reply.text)) for step in recent]
    return [turn for pair in zip_longest(messages, replies) for turn in pair if turn is not None]


def image_turns(steps: Steps, summary: Callable[[Step], str]) -> list[Message]:
    """Return a user turn with the screenshot alone, an assistant turn and the outcome, if any, for each step."""
    messages = []
    for earlier in steps:
        step = earlier.step
        messages += [message("user", step.screen)] if earlier.picture else []
        messages += [message("assistant", summary(step)), message("user", outcome_text(step))]
    return [turn for turn in messages if turn["content"] or turn["role"] == "assistant"]
