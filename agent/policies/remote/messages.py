"""Rendering of conversations as messages of the chat completions API."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from typing import Any

from actions import Screen
from model.dialects.base import Conversation
from model.wire.tool_prompt import tools_block

SPECIAL_TOKEN = re.compile(r"<\|(?=[a-z_]+\|>)")  # as in model.processing.tokenizer

Message = dict[str, Any]  # role and content, as in model.dialects.base.Conversation
ToolSchema = dict[str, Any]  # a JSON function schema


def render_messages(conversation: Conversation, tools: str) -> tuple[list[Message], tuple[ToolSchema, ...]]:
    """Return the messages and tools to send, with special tokens in texts broken up.

    Args:
        conversation: The dialect's messages and function schemas.
        tools: "server" leaves the schemas to the server's chat template; "system" writes them at the end of the
            system message, as model.processing.tokenizer does for templates without tools.
    """
    messages = [
        {**message, "content": [_escape_special_tokens(part) for part in message["content"]]}
        for message in conversation.messages
    ]
    if not conversation.tools or tools == "server":
        return messages, conversation.tools
    block = tools_block(conversation.tools, conversation.syntax)
    if messages and messages[0]["role"] == "system":
        messages[0]["content"].append({"type": "text", "text": "\n\n" + block})
    else:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": block}]})
    return messages, ()


def text_only(message: Mapping[str, Any]) -> Message:
    """Return a message with images replaced by their digests, for traces."""
    parts = [f"<picture {part['image'].digest}>" if "image" in part else part["text"] for part in message["content"]]
    return {"role": message["role"], "content": "".join(parts)}


def data_uri(screen: Screen, width: int, height: int) -> str:
    """Return a screenshot as a PNG data URI of the given size.

    The filter is that of model.processing.image, so the server has nothing left to resize.
    """
    from PIL import Image

    from model.processing.image import resize

    file = io.BytesIO()
    Image.fromarray(resize(screen.pixels, width, height)).save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _escape_special_tokens(part: Mapping[str, Any]) -> Message:
    """Break up special tokens, so that text on a page cannot end a turn."""
    return {**part, "text": SPECIAL_TOKEN.sub("< |", part["text"])} if part["type"] == "text" else dict(part)
