"""Write a document as Markdown, its boxes in comments."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from agent.see.document import (
    Block,
    Chart,
    ChemicalFormula,
    Document,
    DocumentImage,
    DocumentPage,
    DocumentTable,
    Formula,
    Heading,
    ItemList,
    ListItem,
    MusicSheet,
    PagePart,
    Paragraph,
)
from agent.see.document_writers import box_text, polygon_text, table_to_html

_BACKSLASH = re.compile(r"\\(?=[!-/:-@\[-`{-~]|\n|\Z)")
_SPECIAL = re.compile(r"[`*\[\]<~]|(?<![^\W_])_|_(?![^\W_])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_LINE_START = re.compile(r"^([#>+=|:-])", re.MULTILINE)
_NUMBER_START = re.compile(r"^(\d{1,9})([.)])", re.MULTILINE)


def to_markdown(document: Document, *, has_boxes: bool = True) -> str:
    """Return a document as Markdown (CommonMark with pipe tables).

    Formulas, music and molecules are fenced code blocks of the languages math, abc and smiles. A table that Markdown
    cannot express is written as HTML. All text is escaped.

    Args:
        document: The document.
        has_boxes: Write a comment before each block with its kind and its place; with them
            `agent.see.document_markdown_reader.from_markdown` reads the document back.
    """
    parts: list[str] = []
    for page in document.pages:
        if has_boxes:
            parts.append(_page_comment(page))
        parts += [_block(block, has_boxes) for block in page.blocks]
    return "\n\n".join(filter(None, parts)) + "\n"


def _page_comment(page: DocumentPage) -> str:
    is_truncated = ' truncated="yes"' if page.is_truncated else ""
    return f'<!-- page number="{page.number}" width="{page.width}" height="{page.height}"{is_truncated} -->'


def _block(block: Block, has_boxes: bool) -> str:
    content = _content(block, has_boxes)
    if not has_boxes:
        return content
    comment = f"<!-- {block.type}{_place(block)}{_facts(block)} -->"
    return f"{comment}\n{content}" if content else comment


def _facts(block: Block) -> str:
    """Return what is in the comment of a block beside its place."""
    image_box = getattr(block, "image_box", None)
    facts = "" if image_box is None else f' image-box="{box_text(image_box)}"'
    if isinstance(block, Formula) and block.writing:
        facts += f' writing="{block.writing}"'
    if isinstance(block, DocumentImage) and block.content:
        facts += f' content="{block.content}"'
    if isinstance(block, Chart) and block.table is not None:
        facts += ' table="yes"'
    return facts


def _content(block: Block, has_boxes: bool) -> str:
    match block:
        case Heading():
            text = _escape_inline(block.text).replace("#", "\\#").replace("\n", "<br>")
            return "#" * block.level + " " + text
        case Paragraph() | DocumentImage():
            return _lines(block.text)
        case ItemList():
            return _item_list(block.items, has_boxes)
        case DocumentTable():
            return _table(block, has_boxes)
        case Chart():
            table = "" if block.table is None else _table(block.table, has_boxes, is_part=True)
            return "\n\n".join(filter(None, [_lines(block.text), table]))
        case Formula():
            return _fence("math", block.latex)
        case MusicSheet():
            return _fence("abc", block.abc)
        case ChemicalFormula():
            return _fence("smiles", block.smiles)


def escape_markdown(text: str) -> str:
    """Return text in which nothing is Markdown; line breaks stay."""
    return _NUMBER_START.sub(r"\1\\\2", _LINE_START.sub(r"\\\1", _escape_inline(text)))


def _escape_inline(text: str) -> str:
    return _ENTITY.sub("&amp;", _SPECIAL.sub(r"\\\g<0>", _BACKSLASH.sub(r"\\\\", text)))


def _lines(text: str, indent: str = "") -> str:
    """Return text with its line breaks as hard breaks of a paragraph."""
    return escape_markdown(text).replace("\n", f"\\\n{indent}")


def _item_list(items: Sequence[ListItem], has_boxes: bool) -> str:
    """Return the items, each indented to the text of the item that it is in."""
    lines: list[str] = []
    indents: list[int] = []  # columns of the text of the last item of each level
    numbers: list[int | None] = []  # of the last item of each level
    signs: list[str] = []  # after the numbers of each level; another one begins another list
    for item in items:
        indent = indents[item.level - 1] if item.level else 0
        sign = "."
        if item.level < len(signs):
            last = numbers[item.level]
            goes_on = last is not None and item.number == last + 1
            sign = signs[item.level] if goes_on or item.number is None else ").".replace(signs[item.level], "")
        starts_list = item.level >= len(signs) or sign != signs[item.level]
        if lines and starts_list and item.number not in (None, 1):
            lines.append("")  # or it would go on with the paragraph before it
        marker = "- " if item.number is None else f"{item.number}{sign} "
        del indents[item.level :], numbers[item.level :], signs[item.level :]
        indents.append(indent + len(marker))
        numbers.append(item.number)
        signs.append(sign)
        place = _place(item)
        comment = f" <!--{place} -->" if place and has_boxes else ""
        lines.append(" " * indent + marker + _lines(item.text, " " * indents[-1]) + comment)
    return "\n".join(lines)


def _table(table: DocumentTable, has_boxes: bool, *, is_part: bool = False) -> str:
    """Return a pipe table, or HTML where the table has spans, a caption, boxes inside, or no row of headers."""
    cells = [cell for row in table.rows for cell in row]
    is_simple = (
        bool(cells)
        and not table.caption
        and len({len(row) for row in table.rows}) == 1
        and all(cell.rows == cell.columns == 1 for cell in cells)
        and all(cell.is_header == (row is table.rows[0]) for row in table.rows for cell in row)
        and not (has_boxes and any(part.box or part.polygon for part in (*cells, *([table] if is_part else []))))
    )
    if not is_simple:
        return table_to_html(table, has_boxes=has_boxes)
    rows = ["| " + " | ".join(_pipe_cell(cell.text) for cell in row) + " |" for row in table.rows]
    rows.insert(1, "|" + " --- |" * len(table.rows[0]))
    return "\n".join(rows)


def _pipe_cell(text: str) -> str:
    return "&#124;".join(map(_escape_inline, text.split("|"))).replace("\n", "<br>")


def _fence(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _place(part: PagePart) -> str:
    box = "" if part.box is None else f' box="{box_text(part.box)}"'
    return box + (f' polygon="{html.escape(polygon_text(part.polygon))}"' if part.polygon else "")
