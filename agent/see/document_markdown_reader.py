"""Read Markdown back to a document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from bs4 import BeautifulSoup
from bs4.element import Tag
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from actions import UsageError
from agent.extraction.output import Box
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
    Paragraph,
    TableCell,
)
from agent.see.document_boxes import PageGeometry, parse_box, parse_polygon
from agent.see.document_markup import repair_html
from agent.see.document_tags import TagReader, parse_table
from agent.see.results import Polygon

MAX_SIDE = 1_000_000  # of a page whose size the Markdown does not give
_COMMENT = re.compile(r"<!--\s*([a-z]*)((?:\s+[a-z-]+=\"[^\"]*\")*)\s*-->")
_FACT = re.compile(r"([a-z-]+)=\"([^\"]*)\"")
TEXT_NODES = frozenset({"paragraph", "heading"})


def from_markdown(text: str) -> Document:
    """Return the document that `agent.see.document_markdown.to_markdown` wrote with boxes.

    Deviations are not part of the Markdown. Markdown without the comments is read as one page without boxes.

    Raises:
        UsageError: The Markdown contains blocks that a document does not have, such as block quotes, or a comment in it
            is damaged.
    """
    root = SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(text))
    reader = _MarkdownReader(list(root.children))
    try:
        return reader.document()
    except ValueError as error:  # of a number, or of a field of the document
        raise UsageError(f"the Markdown cannot be read as a document: a comment in it is damaged ({error})") from None


class _MarkdownReader:
    """Reads the blocks of Markdown one by one.

    Args:
        nodes: The blocks; an HTML block is a comment, or a table.
    """

    def __init__(self, nodes: Sequence[SyntaxTreeNode]) -> None:
        self.nodes = nodes
        self.index = 0
        self.pages: list[tuple[Mapping[str, str], list[Block]]] = []

    def document(self) -> Document:
        """Return the document that the blocks make up."""
        while self.index < len(self.nodes):
            kind, facts = self._comment()
            if kind == "page":
                self.pages.append((facts, []))
                continue
            if not self.pages:
                self.pages.append(({}, []))
            self.pages[-1][1].append(self._block(kind, facts))
        return Document(pages=tuple(_page(number, *page) for number, page in enumerate(self.pages, start=1)))

    def _comment(self) -> tuple[str, Mapping[str, str]]:
        """Return the kind and the facts in the comment that is next, and go on to what follows it."""
        node = self.nodes[self.index]
        match = _COMMENT.fullmatch(node.content.strip()) if node.type == "html_block" else None
        if match is None:
            return "", {}
        self.index += 1
        return match.group(1), dict(_FACT.findall(match.group(2)))

    def _next(self, *types: str) -> SyntaxTreeNode | None:
        """Return the next node if it is of one of these types, and go on to what follows it."""
        node = self.nodes[self.index] if self.index < len(self.nodes) else None
        if node is None or node.type not in types:
            return None
        self.index += 1
        return node

    def _block(self, kind: str, facts: Mapping[str, str]) -> Block:
        box, polygon = _place(facts)
        image_box = _box(facts.get("image-box", ""))
        if kind == "image":
            content = cast(Literal["caption", "text", ""], facts.get("content", ""))
            node = self._next("paragraph") if content else None
            text = "" if node is None else _inline_text(node)
            return DocumentImage(box=box, polygon=polygon, image_box=image_box, content=content, text=text)
        if kind == "chart":
            node = self._next("paragraph")
            text = "" if node is None else _inline_text(node)
            table_node = self._next("table", "html_block") if "table" in facts else None
            table = None if table_node is None else _table(table_node)
            return Chart(box=box, polygon=polygon, image_box=image_box, text=text, table=table)
        node = self._next("heading", "paragraph", "bullet_list", "ordered_list", "table", "html_block", "fence")
        if node is None:
            line = self.nodes[self.index].map if self.index < len(self.nodes) else None
            where = "at its end" if line is None else f"in line {line[0] + 1}"
            raise UsageError(f"the Markdown cannot be read as a document: {where} is a block that documents lack")
        if node.type == "heading":
            return Heading(box=box, polygon=polygon, level=int(node.tag[1:]), text=_inline_text(node))
        if node.type == "paragraph":
            return Paragraph(box=box, polygon=polygon, text=_inline_text(node))
        if node.type in ("table", "html_block"):
            return _table(node).model_copy(update={"box": box, "polygon": polygon})
        if node.type == "fence":
            text, language = node.content.removesuffix("\n"), node.info.strip()
            if language == "abc":
                return MusicSheet(box=box, polygon=polygon, image_box=image_box, abc=text)
            if language == "smiles":
                return ChemicalFormula(box=box, polygon=polygon, image_box=image_box, smiles=text)
            if language == "math":
                writing = cast(Literal["printed", "handwritten", ""], facts.get("writing", ""))
                return Formula(box=box, polygon=polygon, image_box=image_box, writing=writing, latex=text)
            return Paragraph(box=box, polygon=polygon, text=text)
        items: list[ListItem] = []
        _add_items(node, 0, items)
        while kind == "list" and (node := self._next("bullet_list", "ordered_list")) is not None:
            _add_items(node, 0, items)
        return ItemList(box=box, polygon=polygon, items=tuple(items))


def _page(number: int, facts: Mapping[str, str], blocks: Sequence[Block]) -> DocumentPage:
    return DocumentPage(
        number=int(facts.get("number", number)),
        width=int(facts.get("width", MAX_SIDE)),
        height=int(facts.get("height", MAX_SIDE)),
        blocks=tuple(blocks),
        is_truncated="truncated" in facts,
    )


def _add_items(node: SyntaxTreeNode, level: int, items: list[ListItem]) -> None:
    """Add the items of a list and of the lists inside it."""
    number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    for item in node.children:
        for child in item.children:
            if child.type in ("bullet_list", "ordered_list"):
                _add_items(child, level + 1, items)
            elif child.type in TEXT_NODES:
                box, polygon = _place(_item_facts(child))
                text = _inline_text(child)
                items.append(ListItem(box=box, polygon=polygon, text=text, level=level, number=number))
        if number is not None:
            number += 1


def _item_facts(node: SyntaxTreeNode) -> Mapping[str, str]:
    comments = (_COMMENT.fullmatch(part.content) for part in node.walk() if part.type == "html_inline")
    return {name: value for match in comments if match for name, value in _FACT.findall(match.group(2))}


def _inline_text(node: SyntaxTreeNode) -> str:
    """Return the text of a paragraph, a heading or a cell, with its hard breaks as line breaks."""
    parts: list[str] = []
    for part in node.walk():
        if part.type in ("text", "code_inline", "text_special"):
            parts.append(part.content)
        elif part.type == "softbreak":
            parts.append(" ")
        elif part.type == "hardbreak" or (part.type == "html_inline" and part.content == "<br>"):
            parts.append("\n")
    return "\n".join(line.strip() for line in "".join(parts).split("\n"))


def _table(node: SyntaxTreeNode) -> DocumentTable:
    if node.type == "html_block":
        tag = BeautifulSoup(repair_html(node.content).text, "html.parser").find("table")
        if not isinstance(tag, Tag):
            raise UsageError("the Markdown cannot be read as a document: it contains HTML that is no table")
        return parse_table(tag, TagReader(PageGeometry.of_page(MAX_SIDE, MAX_SIDE)))
    rows = (row for part in node.children for row in part.children)
    return DocumentTable(
        rows=tuple(
            tuple(TableCell(text=_inline_text(cell), is_header=cell.type == "th") for cell in row.children)
            for row in rows
        )
    )


def _place(facts: Mapping[str, str]) -> tuple[Box | None, Polygon]:
    geometry = PageGeometry.of_page(MAX_SIDE, MAX_SIDE)
    polygon = parse_polygon(facts["polygon"], geometry)[0] if "polygon" in facts else ()
    return _box(facts.get("box", "")), polygon


def _box(text: str) -> Box | None:
    return parse_box(text, PageGeometry.of_page(MAX_SIDE, MAX_SIDE))[0]
