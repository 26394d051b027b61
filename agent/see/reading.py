"""Read the text of an image with its places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from actions import Screen, UsageError
from agent.extraction.output import Box
from agent.policies.base import Policy
from agent.policies.local import LocalPolicy
from agent.see.coordinates import BOX_KEY, QUAD_KEY, QUAD_PROMPT, AnswerSpace
from agent.see.questions import ImageAnswerPolicy, ask_items, clean_text, require_answers
from agent.see.results import Perceived, TextRegion
from agent.see.text_lines import line_metrics, strip, text_lines, word_boxes
from agent.see.tile_joining import join_regions
from agent.see.tiling import policy_limits, tiles
from model.json_file import JsonObject

TEXT_KEY = "text_content"  # as Qwen2.5-VL was trained to write it
MAX_TEXT_CHARS = 1000
LARGE_SHARE = 2  # of the pixels that a model sees of an image; a larger one is read in tiles
STRIP_GOAL = "What does it say?"  # of training.text_strips; the checkpoint was trained on these words
MAX_STRIP_TOKENS = 48
Unit = Literal["line", "word"]


def read_text(
    screen: Screen, policy: Policy, *, unit: Unit = "line", language: str = "", polygons: bool = False
) -> Perceived[TextRegion]:
    """Read all text in an image.

    The embedded model reads strips of small text: the lines and their words are found by their pixels, and each word
    is read alone. Other models are asked for the text together with its boxes, of a tall or large image in tiles.

    Args:
        screen: The image.
        policy: A policy such as `load_policy` returns.
        unit: "line" or "word": what a region of the result is.
        language: The language of the text, such as "German"; "" leaves it open.
        polygons: Ask for four corners in place of boxes, for text in any orientation.

    Returns:
        The text in reading order, boxes in pixels of the image.

    Raises:
        UsageError: The model cannot read, or not in a language, or gives no corners.
        InvalidAnswerError: The reply is no list of objects, in two attempts.
        SurfaceError: The server is unreachable.
    """
    if unit not in ("line", "word"):
        raise UsageError(f"unit must be 'line' or 'word', not {unit!r}")
    if isinstance(policy, LocalPolicy) and policy.chat.settings.reads_strips:
        if language:
            raise UsageError(f"{policy.chat.name} reads English letters alone; remove --lang, or use another model")
        if polygons:
            raise UsageError(f"{policy.chat.name} reads upright text; remove --polygons, or use another model")
        return _read_strips(screen, policy, unit)
    in_language = f" It is written in {clean_text(language)}." if language else ""
    question = f"Read all text in the image, one item for each {unit}, in reading order.{in_language}"
    key = BOX_KEY
    if polygons:
        key, question = QUAD_KEY, f"{question} {QUAD_PROMPT}"

    def properties(space: AnswerSpace) -> Mapping[str, JsonObject]:
        return {key: space.schema(key), TEXT_KEY: {"type": "string", "maxLength": MAX_TEXT_CHARS}}

    return _read_tiles(screen, require_answers(policy, "read"), question, properties)


def _read_tiles(
    screen: Screen,
    policy: ImageAnswerPolicy,
    question: str,
    properties: Callable[[AnswerSpace], Mapping[str, JsonObject]],
) -> Perceived[TextRegion]:
    """Return the text of an image that is read in tiles, boxes in pixels of the whole image."""
    parts = tiles(screen.pixels, LARGE_SHARE * policy_limits(policy).max_pixels)
    regions: list[TextRegion] = []
    rejected: list[str] = []
    is_complete = True
    for number, tile in enumerate(parts, 1):
        part = screen if len(parts) == 1 else Screen(np.ascontiguousarray(screen.pixels[tile.top : tile.bottom]))
        result = ask_items(policy, part, question, properties, _region)
        regions = join_regions(regions, [_moved(region, tile.top) for region in result.items], tile)
        is_complete = is_complete and result.is_complete
        label = f"tile {number} of {len(parts)}: " if len(parts) > 1 else ""
        rejected += [label + reason for reason in result.rejected]
    size = screen.width, screen.height
    return Perceived(tuple(regions), size, str(policy.metadata["model"]), is_complete, tuple(rejected))


def _moved(region: TextRegion, rows: int) -> TextRegion:
    left, top, right, bottom = region.box
    polygon = tuple((x, y + rows) for x, y in region.polygon)
    return TextRegion(region.text, (left, top + rows, right, bottom + rows), polygon)


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


def _region(space: AnswerSpace, item: JsonObject) -> TextRegion:
    return TextRegion(clean_text(item[TEXT_KEY]), *space.place(item))
