"""Text of HTML elements: white space, line breaks, and the characters that a document may contain."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from bs4.element import NavigableString, PageElement, Tag

LINE_BREAK = "\0"  # while text is collected; no document contains it
SEPARATE_TAGS = frozenset(
    {"div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ol", "p", "ul"}
    | {"caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
)
SCRIPT_TAGS = {"sup": ("^{", "}"), "sub": ("_{", "}")}  # as in LaTeX: 10<sup>3</sup> must not become 103
_REMOVED = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"[ \t\r\n\f\v\u2028\u2029]+")


def clean_text(text: str) -> str:
    """Return text without control characters but line breaks and tabs, surrogates and controls of direction."""
    return _REMOVED.sub("", text)


def inline_text(nodes: Iterable[PageElement], *, without: frozenset[str] = frozenset()) -> str:
    """Return the text of nodes as a browser shows it: white space collapsed, `<br>` and blocks as line breaks.

    Args:
        nodes: Neighbors in the tree.
        without: Names of tags that are left out with all that is in them.
    """
    lines = (_SPACES.sub(" ", clean_text(line)).strip() for line in _raw_text(nodes, without).split(LINE_BREAK))
    return "\n".join(filter(None, lines))


def preformatted_text(nodes: Iterable[PageElement]) -> str:
    """Return the text of nodes with its line breaks, without common indentation and blank lines around it."""
    text = clean_text(_raw_text(nodes, frozenset()).replace(LINE_BREAK, "\n")).expandtabs(4)
    lines = [line.rstrip() for line in text.split("\n")]
    return textwrap.dedent("\n".join(lines)).strip()


def _raw_text(nodes: Iterable[PageElement], without: frozenset[str]) -> str:
    parts: list[str] = []
    for node in nodes:
        if isinstance(node, Tag):
            if node.name == "br":
                parts.append(LINE_BREAK)
            elif node.name not in without:
                start, end = SCRIPT_TAGS.get(node.name, ("", ""))
                if node.name in SEPARATE_TAGS:
                    start = end = LINE_BREAK
                parts += [start, _raw_text(node.contents, without), end]
        elif type(node) is NavigableString:  # its subclasses are comments, declarations and the like
            parts.append(str(node).replace(LINE_BREAK, ""))
    return "".join(parts)
