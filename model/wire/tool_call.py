"""Find the function call in a reply.

The call is the first <tool_call> with an object or, in a reply without the tag, the first object that starts like a
call; or the first <function=NAME>, if it comes before. Later calls of the same reply are ignored: they were meant for a
screen that has changed by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from model.wire.lenient_json import LenientJsonError, parse_json
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN
from model.wire.xml_call import CALL_START, XmlCallError, find_xml_call

_TAGGED = re.compile(re.escape(CALL_OPEN) + r"(?:[ \t\r\n]++|```[A-Za-z]*+)*+(?=\{)")
_BARE = re.compile(r"""\{(?=[ \t\r\n]*+(?:"(?:name|arguments|action)"|'(?:name|arguments|action)')[ \t\r\n]*+:)""")
_FENCE_BEFORE = re.compile(r"```[A-Za-z]*\Z")
_THINK = re.compile(r"</?think>")
_FENCE_AFTER = re.compile(r"[\s}]*+(?:```)?\s*+(?:" + re.escape(CALL_CLOSE) + r")?\s*+(?:```)?")


class ToolCallError(ValueError):
    """A reply has no readable call; the message is a clause."""


@dataclass(frozen=True)
class ParsedToolCall:
    """A function call.

    Attributes:
        name: None if the object holds arguments only.
        arguments: of the function; all are texts if `is_xml`, see model.wire.xml_call.decode_values.
        thought: the text around the call.
        several: whether another call follows.
        is_xml: whether the call is written as XML.
    """

    name: str | None
    arguments: Mapping[str, object]
    thought: str
    several: bool
    is_xml: bool = False


def find_call(text: str) -> ParsedToolCall:
    """Return the first call in a reply, in time linear in its length.

    Raises:
        ToolCallError: if there is none, or it is not readable.
    """
    tagged, xml = _TAGGED.search(text), CALL_START.search(text)
    bare = None if CALL_OPEN in text else _BARE.search(text)
    first = tagged or bare
    if xml is not None and (first is None or xml.start() < first.start()):
        return _find_xml_call(text)
    if first is None:
        has_tag = CALL_OPEN in text
        raise ToolCallError(f"no JSON object follows {CALL_OPEN}" if has_tag else "the reply has no function call")
    before, start = text[: first.start()], first.end() if tagged else first.start()
    try:
        value, end = parse_json(text, start, ends=CALL_CLOSE)
        name, arguments = _name_and_arguments(value)
    except LenientJsonError as error:
        raise ToolCallError(f"the call is not readable JSON: {error}") from None
    _reject_surrogates(text, arguments)
    return ParsedToolCall(name, arguments, *_thought(before, text[end:]))


def _find_xml_call(text: str) -> ParsedToolCall:
    try:
        call = find_xml_call(text)
    except XmlCallError as error:
        raise ToolCallError(f"the call cannot be read: {error}") from None
    if call is None or not call.arguments:
        raise ToolCallError("the call has no arguments")
    _reject_surrogates(text, call.arguments)
    return ParsedToolCall(call.name, call.arguments, *_thought(text[: call.start], text[call.end :]), is_xml=True)


def _thought(before: str, after: str) -> tuple[str, bool]:
    """Return the text around a call, and whether another call follows."""
    rest, another, _ = _FENCE_AFTER.sub("", after, count=1).partition(CALL_OPEN)
    parts = (_FENCE_BEFORE.sub("", _THINK.sub("", before).rstrip()).strip(), rest.strip())
    return "\n".join(part for part in parts if part), bool(another)


def _name_and_arguments(value: object) -> tuple[str | None, Mapping[str, object]]:
    if not isinstance(value, dict):
        raise ToolCallError("the call is no JSON object")
    name = value.get("name")
    if name is not None and not isinstance(name, str):
        raise ToolCallError("the call's name is no string")
    if "arguments" in value:
        arguments = decode_arguments(value["arguments"])
    else:
        arguments = {key: item for key, item in value.items() if key != "name"}
    if not isinstance(arguments, dict):
        raise ToolCallError("the call's arguments are no JSON object")
    if not arguments:
        raise ToolCallError("the call has no arguments")
    return name, arguments


def decode_arguments(arguments: object) -> object:
    """Return a call's arguments, which may be JSON within a string, as in the wire format of chat servers."""
    if not isinstance(arguments, str):
        return arguments
    value: object
    value, end = parse_json(arguments)
    if arguments[end:].strip():
        raise ToolCallError("the call's arguments are a string that is no JSON object")
    return value


def _reject_surrogates(text: str, arguments: Mapping[str, object]) -> None:
    """Raise ToolCallError for half a surrogate pair: it can be neither typed nor stored."""
    texts = [text] if not text.isascii() else []
    pending: list[object] = [arguments] if "\\u" in text else []
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            texts += node.keys()
            pending += node.values()
        elif isinstance(node, list):
            pending += node
        elif isinstance(node, str):
            texts.append(node)
    try:
        for part in texts:
            part.encode("utf-8")
    except UnicodeEncodeError:
        raise ToolCallError("the reply holds half a character (a lone surrogate)") from None
