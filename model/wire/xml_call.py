"""Parse calls written as XML, <function=NAME><parameter=KEY>value</parameter></function>, as Qwen3.5's template asks.

A value is a text; one line break after its opening tag and one before its closing tag are no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from model.wire.lenient_json import LenientJsonError, parse_json
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

CALL_START = re.compile(rf"(?:{CALL_OPEN}[ \t\r\n]*+)?<function=([\w.-]{{1,80}})>")
TAG = re.compile(r"<parameter=([\w.-]{1,80})>|</parameter>|</function>")


class XmlCallError(ValueError):
    """A call has no single reading; the message is a clause."""


@dataclass(frozen=True)
class XmlCall:
    """One call, written as text[start:end], with the texts of its arguments."""

    name: str
    start: int
    end: int
    arguments: dict[str, str] = field(default_factory=dict)


def find_xml_call(text: str) -> XmlCall | None:
    """Return the first call in a text, None without any; a value may lack its closing tag before the next tag.

    Raises:
        XmlCallError: an argument is given twice, or the last one is cut off.
    """
    opening = CALL_START.search(text)
    if opening is None:
        return None
    arguments: dict[str, str] = {}
    key, value_start, end = "", 0, opening.end()
    for tag in TAG.finditer(text, opening.end()):
        if key:
            _put(arguments, key, text[value_start : tag.start()])
        key, value_start, end = tag[1] or "", tag.end(), tag.end()
        if tag[0] == "</function>":
            break
    if key:  # no tag follows the last value
        end = text.find(CALL_CLOSE, value_start)
        if end < 0:
            raise XmlCallError(f"the value of '{key}' is cut off")
        _put(arguments, key, text[value_start:end])
    return XmlCall(opening[1], opening.start(), end, arguments)


def decode_values(texts: Mapping[str, object], types: Mapping[str, object]) -> dict[str, object]:
    """Return the values of arguments by their JSON types; a text stays one if its type is string or unknown.

    A text that is no JSON stays one as well, so that the error is about the argument.
    """
    return {
        key: _decode(text) if isinstance(text, str) and types.get(key, "string") != "string" else text
        for key, text in texts.items()
    }


def _decode(text: str) -> object:
    try:
        value, end = parse_json(text.strip())
    except LenientJsonError:
        return text
    return text if text.strip()[end:] else value


def _put(arguments: dict[str, str], key: str, text: str) -> None:
    value = text.removeprefix("\r").removeprefix("\n").removesuffix("\n").removesuffix("\r")
    if arguments.setdefault(key, value) != value:
        raise XmlCallError(f"'{key}' is given twice with different values")
