"""Repair the HTML of a reply: find it, close what is left open, and keep only tags that can be part of a document."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from html.parser import HTMLParser

from agent.see.document_text import clean_text

HEADINGS = {f"h{level}": level for level in range(1, 7)}
LISTS = frozenset({"ul", "ol"})
CELLS = frozenset({"td", "th"})
TEXT_BLOCKS = frozenset({*HEADINGS, "p"})
TABLE_PARTS = frozenset({"caption", "thead", "tbody", "tfoot", "tr", *CELLS})
BLOCKS = TEXT_BLOCKS | LISTS | {"li", "table", "div", "img"}
INLINE = frozenset(
    {"a", "abbr", "b", "cite", "code", "del", "em", "font", "i", "ins", "kbd", "label"}
    | {"mark", "q", "s", "small", "span", "strong", "sub", "sup", "u", "var"}
)
VOID = frozenset({"br", "img"})
ROOTS = frozenset({"html", "body"})
READ_AS_DIV = frozenset(
    {"address", "article", "aside", "blockquote", "center", "dd", "dl", "dt", "figcaption", "figure"}
    | {"footer", "header", "main", "nav", "pre", "section"}
)
REMOVED = frozenset({"script", "style", "template", "noscript", "iframe", "object", "embed", "head", "title"})
QUIETLY_REMOVED = frozenset({"style", "head", "title", "meta", "link"})  # part of pages; nothing in them is text
MAX_DEPTH = 60
MAX_QUOTED = 40  # characters of the reply in a deviation
_FENCE_START = re.compile(r"```[ \t]*(?:html)?[ \t]*\n", re.IGNORECASE)
_FENCE_END = re.compile(r"^[ \t]*```[ \t]*$", re.MULTILINE)
_DECLARATION = re.compile(r"<(?=!(?!--|doctype\b)|\?|!--(?!.*?-->))", re.DOTALL | re.IGNORECASE)
_PARTIAL_TAG = re.compile(r"<[a-zA-Z/][^<>]*\Z")


@dataclass(frozen=True)
class RepairedHtml:
    """The HTML of a reply, and what was wrong with it.

    Args:
        text: HTML in which each tag is closed; at most MAX_DEPTH tags are open at once.
        is_open: The reply ends before its HTML does.
        deviations: What was repaired, one sentence each.
    """

    text: str
    is_open: bool
    deviations: tuple[str, ...]


def repair_html(reply_text: str) -> RepairedHtml:
    """Return the HTML in a reply, repaired; text around it is not part of it."""
    reply_text = clean_text(reply_text.replace("\r\n", "\n"))
    deviations: list[str] = []
    markup, around, is_open = _extract(reply_text)
    around = re.sub(r"</?(?:html|body)>|```(?:html)?", "", around, flags=re.IGNORECASE)
    if around.strip():
        deviations.append(f"the reply has text outside of the HTML: '{quote(around)}'")
    partial_tag = _PARTIAL_TAG.search(markup)
    if partial_tag is not None:
        markup = markup[: partial_tag.start()]
        deviations.append(f"the last tag is incomplete: '{quote(partial_tag.group())}'")
    escaped = _DECLARATION.sub("&lt;", markup)
    if escaped != markup:
        deviations.append("the HTML contains a declaration or an open comment; it is read as text")
    repairer = _Repairer()
    repairer.feed(escaped)
    repairer.close()
    repairer.close_all()
    if not repairer.has_tags:
        deviations.append("the reply contains no HTML")
    is_open = is_open or repairer.is_root_open or partial_tag is not None
    if is_open:
        repairer.deviations = [text for text in repairer.deviations if text not in repairer.open_at_end]
    return RepairedHtml("".join(repairer.parts), is_open, (*deviations, *repairer.deviations))


def _extract(reply_text: str) -> tuple[str, str, bool]:
    """Return the HTML in a reply, the text around it, and whether its code fence is left open."""
    start = _FENCE_START.search(reply_text)
    if start is not None and "<" not in reply_text[: start.start()]:
        ends = list(_FENCE_END.finditer(reply_text, start.end()))
        first, last = start.end(), ends[-1].start() if ends else len(reply_text)
        after = reply_text[ends[-1].end() :] if ends else ""
        return reply_text[first:last], reply_text[: start.start()] + after, not ends
    root = re.search(r"<(?:!doctype|html|body)\b", reply_text, re.IGNORECASE)
    end = reply_text.lower().rfind("</html>")
    first = root.start() if root else 0
    last = end + len("</html>") if end > first else len(reply_text)
    return reply_text[first:last], reply_text[:first] + reply_text[last:], False


def quote(text: str) -> str:
    """Return a part of a reply for a deviation: one line, shortened."""
    line = " ".join(clean_text(text).split())
    return line if len(line) <= MAX_QUOTED else line[: MAX_QUOTED - 1] + "…"


class _Repairer(HTMLParser):
    """Writes the tags of a document in `parts`, with end tags where they are missing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.deviations: list[str] = []
        self.open_at_end: list[str] = []
        self.has_tags = False
        self._open: list[tuple[str, str]] = []  # name in the reply, name that was written
        self._removed = ""  # the open tag whose contents are left out
        self._has_root = self._has_ended = False

    @property
    def is_root_open(self) -> bool:
        """Whether `<html>` was not closed."""
        return self._has_root and not self._has_ended

    def set_cdata_mode(self, elem: str, **_: object) -> None:
        """Parse tags in scripts and styles, too: an unclosed one would take the rest of the document with it."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._removed and tag not in BLOCKS | ROOTS | TABLE_PARTS:
            return
        self.has_tags = True
        if self._removed:
            self._report(self._removed, "is not closed")
            self._removed = ""
        if tag in REMOVED:
            if tag not in QUIETLY_REMOVED:
                self._report(tag, "is not part of the format; it is removed")
            self._removed = tag
            return
        if tag in VOID:
            self.parts.append(self._start_tag(tag, tag))
            return
        if tag not in BLOCKS | INLINE | ROOTS | TABLE_PARTS:
            if tag not in QUIETLY_REMOVED:
                self._report(tag, "is not part of the format")
            if tag not in READ_AS_DIV:
                return
        self._has_root = self._has_root or tag == "html"
        self._close_implied(tag)
        if len(self._open) >= MAX_DEPTH:
            self._report(tag, "is nested too deeply; its text is read without it")
            return
        written = "div" if tag in READ_AS_DIV else tag
        self._open.append((tag, written))
        self.parts.append(self._start_tag(tag, written))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in REMOVED:
            return
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._removed:
            if tag == self._removed:
                self._removed = ""
            return
        if tag == "html":
            self._has_ended = True
        names = [name for name, _ in self._open]
        if tag not in names:
            if tag in BLOCKS | INLINE | TABLE_PARTS:
                self._report(tag, "is closed without being open")
            return
        while self._open[-1][0] != tag:
            self._close_last(is_reported=self._open[-1][0] not in ROOTS)
        self._close_last(is_reported=False)

    def handle_data(self, data: str) -> None:
        if not self._removed:
            is_preformatted = any(name == "pre" for name, _ in self._open)
            text = html.escape(data, quote=False)
            self.parts.append(text.replace("\n", "<br>") if is_preformatted else text)

    def close_all(self) -> None:
        """Close the tags that are open at the end of the reply."""
        count = len(self.deviations)
        while self._open:
            self._close_last(is_reported=self._open[-1][0] not in ROOTS)
        self.open_at_end = self.deviations[count:]

    def _close_implied(self, tag: str) -> None:
        """Close what a start tag implies to be over, as browsers do."""
        if tag in BLOCKS - {"img"} or tag in TABLE_PARTS:
            self._close_up_to(TEXT_BLOCKS, {*LISTS, *CELLS, "li", "table", "div", "caption"})
        if tag == "li":
            self._close_up_to({"li"}, {*LISTS, "table"})
        elif tag in CELLS:
            self._close_up_to(CELLS, {"tr", "table"})
        elif tag in TABLE_PARTS:
            self._close_up_to(TABLE_PARTS - ({"thead", "tbody", "tfoot"} if tag == "tr" else set()), {"table"})

    def _close_up_to(self, names: frozenset[str] | set[str], barriers: set[str]) -> None:
        """Close the outermost open tag of these names inside the innermost barrier, and all that is in it."""
        index: int | None = None
        for position in range(len(self._open) - 1, -1, -1):
            name = self._open[position][0]
            if name in names:
                index = position
            elif name in barriers:
                break
        while index is not None and len(self._open) > index:
            self._close_last()

    def _close_last(self, *, is_reported: bool = True) -> None:
        name, written = self._open.pop()
        if is_reported:
            self._report(name, "is not closed")
        self.parts.append(f"</{written}>")

    def _start_tag(self, tag: str, written: str) -> str:
        raw = self.get_starttag_text() or f"<{tag}>"
        return f"<{written}" + re.sub(r"/?\s*>\Z", ">", raw[1 + len(tag) :])

    def _report(self, tag: str, problem: str) -> None:
        self.deviations.append(f"line {self.getpos()[0]}: <{quote(tag)}> {problem}")
