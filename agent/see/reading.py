"""Read the text of an image with its places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from actions import Screen, UsageError
from agent.extraction.output import Box
from agent.policies.base import Policy
from agent.policies.local import LocalPolicy
from agent.see.coordinates import BOX_KEY, AnswerSpace
from agent.see.questions import ask_items, clean_text, require_answers
from agent.see.results import Perceived, TextRegion
from agent.see.text_lines import line_metrics, strip, text_lines, word_boxes
from model.json_file import JsonObject

TEXT_KEY = "text_content"  # as Qwen2.5-VL was trained to write it
MAX_TEXT_CHARS = 1000
STRIP_GOAL = "What does it say?"  # of training.text_strips; the checkpoint was trained on these words
MAX_STRIP_TOKENS = 48
Unit = Literal["line", "word"]


def read_text(screen: Screen, policy: Policy, *, unit: Unit = "line", language: str = "") -> Perceived[TextRegion]:
    """Read all text in an image.

    The embedded model reads strips of small text: the lines are found by their pixels, and each is read alone. Other
    models are asked for the text together with its boxes.

    Args:
        screen: The image.
        policy: A policy such as `load_policy` returns.
        unit: "line" or "word": what a region of the result is.
        language: The language of the text, such as "German"; "" leaves it open.

    Returns:
        The text in reading order, boxes in pixels of the image.

    Raises:
        UsageError: The model cannot read, or not in a language.
        InvalidAnswerError: The reply is no list of objects, in two attempts.
        SurfaceError: The server is unreachable.
    """
    if unit not in ("line", "word"):
        raise UsageError(f"unit must be 'line' or 'word', not {unit!r}")
    if isinstance(policy, LocalPolicy) and policy.chat.settings.reads_strips:
        if language:
            raise UsageError(f"{policy.chat.name} reads English letters alone; remove --lang, or use another model")
        return _read_strips(screen, policy, unit)
    in_language = f" It is written in {clean_text(language)}." if language else ""
    question = f"Read all text in the image, one item for each {unit}, in reading order.{in_language}"
    return ask_items(require_answers(policy, "read"), screen, question, _properties, _region)


def read_strip(screen: Screen, policy: LocalPolicy) -> str:
    """Return the text on a strip, as `agent.see.text_lines.strip` cuts it out.

    Args:
        screen: The strip.
        policy: A policy whose checkpoint reads strips.
    """
    conversation = policy.dialect.conversation(STRIP_GOAL, (), screen, frozenset({"click"}))
    reply = policy.chat.reply(conversation.messages, conversation.tools, max_new_tokens=MAX_STRIP_TOKENS)
    return clean_text(reply.text)


def _read_strips(screen: Screen, policy: LocalPolicy, unit: Unit) -> Perceived[TextRegion]:
    regions: list[TextRegion] = []
    rejected: list[str] = []
    for line in text_lines(screen):
        metrics, words = line_metrics(screen, line), word_boxes(screen, line)
        texts = [read_strip(strip(screen, word, metrics), policy) for word in words]
        places: list[tuple[str, Box]] = (
            list(zip(texts, words, strict=True)) if unit == "word" else [(" ".join(filter(None, texts)), line)]
        )
        for text, box in places:
            if text.strip():
                regions.append(TextRegion(text, box))
            else:
                rejected.append(f"the model read nothing at {list(box)}")
    size = screen.width, screen.height
    return Perceived(tuple(regions), size, str(policy.metadata["model"]), True, tuple(rejected))


def _properties(space: AnswerSpace) -> Mapping[str, JsonObject]:
    return {BOX_KEY: space.schema(BOX_KEY), TEXT_KEY: {"type": "string", "maxLength": MAX_TEXT_CHARS}}


def _region(space: AnswerSpace, item: JsonObject) -> TextRegion:
    return TextRegion(clean_text(item[TEXT_KEY]), space.box(item.get(BOX_KEY)))
