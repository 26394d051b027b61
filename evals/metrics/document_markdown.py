"""Split a page in Markdown into paragraphs, formulas and tables as OmniDocBench's scorer does.

Source: the rules of opendatalab/OmniDocBench 1.0, as open-compass/VLMEvalKit, vlmeval/dataset/OmniDocBench/utils.py
(e8e78f0), applies them. Of its peculiarities these matter: formulas in a line are listed as formulas too, and stay in
their paragraph; in a Markdown table, cells with a colon or three hyphens are dropped, and so is the line above the
table. Tables in LaTeX, which the scorer converts with LaTeXML, are left out here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "formula", "table"]
IMAGE = re.compile(r"!\[.*?\]\(.*?\)")
FENCE_START, FENCE_END = re.compile(r"^```markdown\n?", re.MULTILINE), re.compile(r"```\n?$", re.MULTILINE)
REPEATED = [(re.compile(r"_{4,}"), "____"), (re.compile(r" {4,}"), "    ")]
REPEATED += [(re.compile(r"([^a-zA-Z0-9])\1{10,}"), r"\1\1\1\1")]
FORMULA = re.compile(r"\$\$(.*?)\$\$|\\\[(.*?)\\\]|\$(.*?)\$|\\\((.*?)\\\)", re.DOTALL)
DOLLARS = re.compile(r"\$\$(.*?)\$\$|\$(.*?)\$|\\\((.*?)\\\)", re.DOTALL)
LATEX_TABLE = re.compile(r"\\begin{table}.*?\\end{table}", re.DOTALL)
TABULAR = (re.compile(r"\\begin{tabular}"), re.compile(r"\\end{tabular}"))
HTML_TABLE = (re.compile(r"<table[^>]*>"), re.compile(r"</table>"))
SKIPPED_CHARS = 16  # after the start of a part that is left open
TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
TABLE_ROW = re.compile(r"\|\s*.*?\s*\|\n", re.DOTALL)
CODE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
HEADINGS = [
    (re.compile(r"\\title\{(.*?)\}"), r"\1"),
    (re.compile(r"\\title\s*\{\s*(.*?)\s*\}", re.DOTALL), r"\1"),
    (re.compile(r"\\text\s*\{\s*(.*?)\s*\}", re.DOTALL), r"\1"),
    (re.compile(r"\\section\*?\{(.*?)\}"), r"\1"),
    (re.compile(r"\\section\*?\{\s*(.*?)\s*\}", re.DOTALL), r"\1"),
]
Delimiters = tuple[re.Pattern[str], re.Pattern[str]]  # of the start and of the end


@dataclass(frozen=True)
class MarkdownPart:
    """A part of a page; `place` orders the parts of a kind."""

    kind: Kind
    text: str
    place: int


def split_markdown(content: str) -> list[MarkdownPart]:
    """Return the parts of a page, those of each kind in order."""
    content = FENCE_END.sub("", FENCE_START.sub("", IMAGE.sub("", content)))
    for pattern, replacement in REPEATED:
        content = pattern.sub(replacement, content)
    parts: list[MarkdownPart] = []
    content = LATEX_TABLE.sub(_blank, content)
    for start, end in _enclosed(content, TABULAR):
        content = _blanked(content, start, min(end + 1, len(content)))  # with the line break, as in the scorer
    for start, end in _enclosed(content, HTML_TABLE):
        parts.append(MarkdownPart("table", content[start:end], start))
        content = _blanked(content, start, end)
    content = _take_formulas(content, parts)
    content = _take_markdown_tables(content, parts)
    for match in CODE.finditer(content):
        parts.append(MarkdownPart("text", match[2].strip(), match.start()))
        content = _blanked(content, *match.span())
    for pattern, replacement in HEADINGS:
        content = pattern.sub(replacement, content)
    _take_paragraphs(content, parts)
    return sorted(parts, key=lambda part: part.place)


def _take_formulas(content: str, parts: list[MarkdownPart]) -> str:
    """Add the formulas, and return the text without those that stand alone."""
    for match in list(FORMULA.finditer(content)):
        line = "".join(match[0].split())
        inner = DOLLARS.search(line)
        text = line
        if inner is not None:
            groups = r"\\[\1\\]" if inner[1] else r"\\[\2\3\\]"
            text = DOLLARS.sub(groups, line)
        parts.append(MarkdownPart("formula", text, match.start()))
        if inner is None or inner[1]:
            content = _blanked(content, *match.span())
    return content


def _take_markdown_tables(content: str, parts: list[MarkdownPart]) -> str:
    """Add the tables that are written with pipes, and return the text without them."""
    if len(TABLE_ROW.findall(content + "\n")) < 2:
        return content
    converted = _with_html_tables(content.replace("\r", "") + "\n")
    for match in list(TABLE.finditer(converted)):
        parts.append(MarkdownPart("table", match[0].strip(), match.start()))
        converted = _blanked(converted, *match.span())
    return converted


def _with_html_tables(content: str) -> str:
    """Return a text with its rows between pipes as tables in HTML; rows of neighboring lines are one table."""
    pieces, rows, end = list[str](), list[str](), 0
    for match in TABLE_ROW.finditer(content):
        *lines, prefix = content[end : match.start()].split("\n")
        if lines:
            pieces += [_table_html(rows)] if end else []
            pieces.append("\n".join(lines[:-1]))
            rows = []
        if not _is_dropped(prefix):
            rows.append(_row_html(match[0]))
        end = match.end()
    text = "\n".join([*pieces, _table_html(rows), content[end:]])
    return text.replace("<table>", '<table border="1" >').replace("<td>", '<td colspan="1" rowspan="1">')


def _table_html(rows: list[str]) -> str:
    body = "\n".join(row for row in rows if row)
    return f"\n\n<table>\n{body}\n</table>\n\n"


def _row_html(source: str) -> str:
    """Return the rows of the text between a first pipe and a pipe at the end of a line, "" without cells."""
    first, *others = (line.strip() for line in source.strip().split("\n"))
    rows = [_cells(first), *(_cells(line) for line in others[1:])]
    if rows == [[]]:
        return ""
    return "\n".join(
        "\n".join(["    <tr>", *(f"      <td>{text}</td>" for text in texts), "    </tr>"]) for texts in rows
    )


def _cells(row: str) -> list[str]:
    texts = [cell.strip() for cell in row.split("|")[1:-1]]
    return [text for text in texts if not _is_dropped(text)]


def _is_dropped(text: str) -> bool:
    return ":" in text or "---" in text


def _take_paragraphs(content: str, parts: list[MarkdownPart]) -> None:
    blocks = content.split("\n\n")
    if len(blocks) == 1:
        blocks = content.split("\n")
    place = 0
    for block in blocks:
        text = "\n".join(line.strip() for line in block.strip().split("\n") if line.strip())
        if text.startswith("<table") and text.endswith("</table>"):
            parts.append(MarkdownPart("table", text, place))
        elif text.startswith("$") and text.endswith("$"):
            if text.replace("$", "").strip():
                parts.append(MarkdownPart("formula", text, place))
        elif text:
            parts.append(MarkdownPart("text", text, place))
        place += len(block)


def _enclosed(text: str, delimiters: Delimiters) -> list[tuple[int, int]]:
    """Return the start and end of each outermost part between delimiters; where one is open, of those after it."""
    begin, finish = delimiters
    spans: list[tuple[int, int]] = []
    starts: list[int] = []
    at = 0
    while at < len(text):
        first, last = begin.search(text, at), finish.search(text, at)
        if first and (not last or first.start() < last.start()):
            starts.append(first.start())
            at = first.end()
        elif last:
            if starts:
                start = starts.pop()
                if not starts:
                    spans.append((start, last.end()))
            at = last.end()
        else:
            break
    if starts:
        offset = starts[0] + SKIPPED_CHARS
        spans += [(start + offset, end + offset) for start, end in _enclosed(text[offset:], delimiters)]
    return spans


def _blanked(text: str, start: int, end: int) -> str:
    return text[:start] + " " * (end - start) + text[end:]


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])
