"""Parse QwenVL HTML, the form in which Qwen's vision models write what a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bs4 import BeautifulSoup
from bs4.element import PageElement, Tag

from agent.extraction.output import Box
from agent.see.document import (
    Block,
    Chart,
    ChemicalFormula,
    DocumentImage,
    Formula,
    Heading,
    ItemList,
    MusicSheet,
    Paragraph,
)
from agent.see.document_boxes import PageGeometry
from agent.see.document_markup import BLOCKS, HEADINGS, LISTS, ROOTS, TABLE_PARTS, TEXT_BLOCKS, quote, repair_html
from agent.see.document_tags import ListReader, TagReader, attribute, has_blocks, parse_table
from agent.see.document_text import inline_text, preformatted_text
from agent.see.results import Polygon

FORMULA_CLASSES: dict[str, Literal["printed", "handwritten", ""]] = {
    "formula": "",
    "formula machine printed": "printed",
    "machine printed formula": "printed",
    "machine printed": "printed",
    "formula handwritten": "handwritten",
    "handwritten formula": "handwritten",
    "handwritten": "handwritten",
}
IMAGE_CLASSES: dict[str, Literal["caption", "text"]] = {"image caption": "caption", "image ocr": "text"}
NOTATIONS = {"music sheet": "abc notation", "chemical formula": "smile"}  # class: format
IN_FLOW = BLOCKS | ROOTS | TABLE_PARTS


@dataclass(frozen=True)
class ParsedHtml:
    """The blocks of a reply, and where it deviates from the format."""

    blocks: tuple[Block, ...]
    is_truncated: bool
    deviations: tuple[str, ...]


def parse_qwenvl_html(reply_text: str, geometry: PageGeometry, *, is_truncated: bool = False) -> ParsedHtml:
    """Return the blocks in a reply. No reply is an error: what cannot be read is left out and is a deviation.

    Args:
        reply_text: The model's reply, with or without a code fence around the HTML.
        geometry: How its boxes map to the page.
        is_truncated: The reply reached the token limit. A reply that ends inside its HTML counts as truncated, too.
    """
    repaired = repair_html(reply_text)
    parser = _BlockParser(TagReader(geometry, list(repaired.deviations)))
    parser.parse_flow(BeautifulSoup(repaired.text, "html.parser"), None)
    is_truncated = is_truncated or repaired.is_open
    deviations = dict.fromkeys(parser.reader.deviations)
    if is_truncated:
        deviations["the reply is cut off"] = None
    return ParsedHtml(tuple(parser.blocks), is_truncated, tuple(deviations))


@dataclass
class _BlockParser:
    """Collects the blocks of a reply in reading order."""

    reader: TagReader
    blocks: list[Block] = field(default_factory=list)

    def parse_flow(self, container: Tag, owner: Tag | None) -> None:
        """Add the contents of a tag: runs of text as headings or paragraphs, and the blocks between them.

        Args:
            container: The tag.
            owner: The tag whose box the first run of text has; None where the format has no text.
        """
        run: list[PageElement] = []
        for child in container.contents:
            if not isinstance(child, Tag) or not (child.name in IN_FLOW or has_blocks(child)):
                run.append(child)
                continue
            if self._add_text(run, container, owner):
                owner = None
            run = []
            if container.name in TEXT_BLOCKS:
                self.reader.report(container, f"contains <{quote(child.name)}>")
            self._parse_block(child)
        self._add_text(run, container, owner)

    def _add_text(self, nodes: Sequence[PageElement], container: Tag, owner: Tag | None) -> bool:
        """Add nodes as one block if they have text, and return whether they do."""
        text = inline_text(nodes)
        if not text:
            return False
        if owner is None:
            self.reader.report(container, f"contains text outside of a block: '{quote(text)}'")
        box, polygon = (None, ()) if owner is None else self.reader.place(owner)
        level = HEADINGS.get(container.name)
        if level is None:
            self.blocks.append(Paragraph(box=box, polygon=polygon, text=text))
        else:
            self.blocks.append(Heading(box=box, polygon=polygon, level=level, text=text))
        return True

    def _parse_block(self, tag: Tag) -> None:
        """Add what a tag stands for."""
        count = len(self.blocks)
        if tag.name in TEXT_BLOCKS:
            self.parse_flow(tag, tag)
        elif tag.name in LISTS or tag.name == "li":
            self._parse_list(tag)
        elif tag.name == "table":
            self.blocks.append(parse_table(tag, self.reader))
        elif tag.name == "div":
            self._parse_div(tag)
        elif tag.name == "img":
            box, polygon = self.reader.place(tag)
            text = inline_text([BeautifulSoup(attribute(tag, "alt") or "", "html.parser")])
            self.blocks.append(DocumentImage(box=box, polygon=polygon, content="caption" if text else "", text=text))
        else:
            if tag.name in TABLE_PARTS:
                self.reader.report(tag, "is outside of a table")
            self.parse_flow(tag, None)
        if len(self.blocks) == count and tag.name not in ROOTS:
            self.reader.report(tag, "is empty")

    def _parse_list(self, tag: Tag) -> None:
        """Add a list, and after it the tables and images inside its items."""
        list_reader = ListReader(self.reader)
        box, polygon = self.reader.place(tag, is_required=False) if tag.name in LISTS else (None, ())
        if tag.name == "li":
            self.reader.report(tag, "is outside of a list")
            list_reader.read_item(tag, 0, None)
        else:
            list_reader.read_list(tag)
        for items in list_reader.lists():
            self.blocks.append(ItemList(box=box, polygon=polygon, items=items))
            box, polygon = None, ()
        for block in list_reader.blocks:
            self._parse_block(block)

    def _parse_div(self, tag: Tag) -> None:
        class_names = attribute(tag, "class") or ""
        kind = class_names.replace("_", " ").replace("-", " ").lower().strip()
        if kind == "chart":
            self._parse_chart(tag)
        elif kind in FORMULA_CLASSES:
            box, polygon, image_box = self._image_places(tag)
            if latex := preformatted_text(tag.contents):
                writing = FORMULA_CLASSES[kind]
                formula = Formula(box=box, polygon=polygon, image_box=image_box, writing=writing, latex=latex)
                self.blocks.append(formula)
        elif kind in IMAGE_CLASSES:
            box, polygon, image_box = self._image_places(tag)
            text, content = inline_text(tag.contents), IMAGE_CLASSES[kind]
            image = DocumentImage(box=box, polygon=polygon, image_box=image_box, content=content, text=text)
            self.blocks.append(image)
        elif kind in NOTATIONS:
            self._parse_notation(tag, kind)
        else:
            if kind:
                self.reader.report(tag, f"has the unknown class '{quote(class_names)}'")
            self.parse_flow(tag, tag if attribute(tag, "data-bbox") is not None else None)

    def _image_places(self, tag: Tag) -> tuple[Box | None, Polygon, Box | None]:
        """Return the box and the polygon of a div, and the box of the image in it."""
        box, polygon = self.reader.place(tag)
        image = tag.find("img")
        return box, polygon, self.reader.place(image)[0] if isinstance(image, Tag) else None

    def _parse_chart(self, tag: Tag) -> None:
        box, polygon, image_box = self._image_places(tag)
        text = inline_text(tag.contents, without=frozenset({"table"}))
        first = tag.find("table")
        table = parse_table(first, self.reader, has_box=False) if isinstance(first, Tag) else None
        if table is None:
            self.reader.report(tag, "has no table with the data of the chart")
        self.blocks.append(Chart(box=box, polygon=polygon, image_box=image_box, text=text, table=table))
        if isinstance(first, Tag):
            tables = (other for other in first.find_all_next("table") if tag in other.parents)
            self.blocks += [parse_table(other, self.reader) for other in tables if first not in other.parents]

    def _parse_notation(self, tag: Tag, kind: str) -> None:
        box, polygon, image_box = self._image_places(tag)
        notation = attribute(tag, "format")
        if notation != NOTATIONS[kind]:
            self.reader.report(tag, f"has the format '{quote(notation or '')}', not '{NOTATIONS[kind]}'")
        text = preformatted_text(tag.contents)
        if text and kind == "music sheet":
            self.blocks.append(MusicSheet(box=box, polygon=polygon, image_box=image_box, abc=text))
        elif text:
            self.blocks.append(ChemicalFormula(box=box, polygon=polygon, image_box=image_box, smiles=text))
