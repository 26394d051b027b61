"""Read the attributes of a document's tags, and its lists and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bs4.element import PageElement, Tag

from agent.extraction.output import Box
from agent.see.document import DocumentTable, ListItem, TableCell
from agent.see.document_boxes import PageGeometry, bounding_box, parse_box, parse_polygon
from agent.see.document_markup import BLOCKS, CELLS, LISTS, quote
from agent.see.document_text import inline_text
from agent.see.results import Polygon

MAX_SPAN = 1000  # rows or columns of a cell, as in browsers
MAX_NUMBER = 1_000_000  # of a list's first item
NESTED_BLOCKS = frozenset({"table", "img"})  # in an item of a list: blocks of their own, after the list


def attribute(tag: Tag, name: str) -> str | None:
    """Return an attribute of a tag as one text; None where the tag does not have it."""
    value = tag.get(name)
    return value if value is None or isinstance(value, str) else " ".join(value)


@dataclass
class TagReader:
    """Reads what tags of a reply have in common, and collects deviations from the format.

    Args:
        geometry: How the boxes of the reply map to the page.
    """

    geometry: PageGeometry
    deviations: list[str] = field(default_factory=list)

    def report(self, tag: Tag, problem: str) -> None:
        """Record a deviation of a tag."""
        line = f"line {tag.sourceline}: " if tag.sourceline else ""
        self.deviations.append(f"{line}<{quote(tag.name)}> {problem}")

    def place(self, tag: Tag, *, is_required: bool = True) -> tuple[Box | None, Polygon]:
        """Return the box and the polygon of a tag; a polygon without a box gives the box around it."""
        polygon: Polygon = ()
        box: Box | None = None
        outline, corners = attribute(tag, "data-polygon"), attribute(tag, "data-bbox")
        if outline is not None:
            polygon, problem = parse_polygon(outline, self.geometry)
            if problem:
                self.report(tag, f"has the data-polygon '{quote(outline)}', which {problem}")
        if corners is not None:
            box, problem = parse_box(corners, self.geometry)
            if problem:
                self.report(tag, f"has the data-bbox '{quote(corners)}', which {problem}")
        elif is_required and not polygon:
            self.report(tag, "has no data-bbox")
        if box is None and polygon:
            box = bounding_box(polygon)
        return box, polygon


def parse_table(table: Tag, reader: TagReader, *, has_box: bool = True) -> DocumentTable:
    """Return a table; a table in one of its cells becomes text.

    Args:
        table: The tag.
        reader: Reads boxes and collects deviations.
        has_box: The format gives this table a box; the data of a chart has none.
    """
    box, polygon = reader.place(table, is_required=has_box)
    rows: list[list[TableCell]] = []
    caption = ""
    for part in _table_parts(table, reader):
        if part.name == "caption":
            caption = inline_text(part.contents)
        elif part.name == "tr":
            rows.append([])
        else:
            if not rows:
                reader.report(part, "is outside of a row")
                rows.append([])
            rows[-1].append(_parse_cell(part, reader))
    if any(not row for row in rows):
        reader.report(table, "has rows without cells")
    if not any(rows):
        reader.report(table, "has no cells")
    return DocumentTable(box=box, polygon=polygon, rows=tuple(tuple(row) for row in rows if row), caption=caption)


def _table_parts(tag: Tag, reader: TagReader) -> Iterator[Tag]:
    """Yield the captions, rows and cells of a table in order, without those of tables inside it."""
    for child in tag.contents:
        if not isinstance(child, Tag):
            if inline_text([child]):
                reader.report(tag, f"contains text outside of a cell: '{quote(inline_text([child]))}'")
        elif child.name in CELLS or child.name == "caption":
            yield child
        elif child.name in ("tr", "thead", "tbody", "tfoot"):
            if child.name == "tr":
                yield child
            yield from _table_parts(child, reader)
        elif inline_text([child]):
            reader.report(tag, f"contains <{quote(child.name)}> outside of a cell: '{quote(inline_text([child]))}'")


def _parse_cell(cell: Tag, reader: TagReader) -> TableCell:
    if cell.find("table") is not None:
        reader.report(cell, "contains a table; it is read as text")
    box, polygon = reader.place(cell, is_required=False)
    return TableCell(
        box=box,
        polygon=polygon,
        text=inline_text(cell.contents),
        is_header=cell.name == "th",
        rows=_span(cell, "rowspan", reader),
        columns=_span(cell, "colspan", reader),
    )


def _span(cell: Tag, name: str, reader: TagReader) -> int:
    text = attribute(cell, name)
    if text is None:
        return 1
    number = _integer(text)
    if number is None or not 1 <= number <= MAX_SPAN:
        reader.report(cell, f"has the {name} '{quote(text)}', which is not 1 to {MAX_SPAN}")
        return 1
    return number


def _integer(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 7 else None


@dataclass
class ListReader:
    """Reads a list: its items, those of the lists inside it, and the blocks in them, which follow the list.

    Args:
        reader: Reads boxes and collects deviations.
    """

    reader: TagReader
    items: list[ListItem] = field(default_factory=list)
    blocks: list[Tag] = field(default_factory=list)

    def lists(self) -> Iterator[tuple[ListItem, ...]]:
        """Yield the items; those after a break in the numbers of the list itself are a list of their own."""
        start = 0
        number = self.items[0].number if self.items else None
        for index, item in enumerate(self.items):
            if item.level == 0:
                if item.number != number:
                    yield tuple(self.items[start:index])
                    start = index
                number = None if item.number is None else item.number + 1
        if self.items:
            yield tuple(self.items[start:])

    def read_list(self, tag: Tag, level: int = 0) -> None:
        """Add the items of a list."""
        number = self._first_number(tag) if tag.name == "ol" else None
        for child in tag.contents:
            if isinstance(child, Tag) and child.name == "li":
                is_added = self.read_item(child, level, number)
            elif isinstance(child, Tag) and child.name in LISTS:
                self.read_list(child, level + 1)
                is_added = False
            else:
                text = inline_text([child])
                if text:
                    self.reader.report(tag, f"contains text outside of an item: '{quote(text)}'")
                is_added = self._add_item(text, level, number)
            if is_added and number is not None:
                number += 1

    def read_item(self, tag: Tag, level: int, number: int | None) -> bool:
        """Add an item and the lists inside it, and return whether the item itself has text."""
        parts = list(_item_parts(tag))
        nested = [part for part in parts if isinstance(part, Tag) and _is_nested(part)]
        text = inline_text(part for part in parts if part not in nested)
        is_added = bool(text)
        if text:
            box, polygon = self.reader.place(tag)
            self.items.append(
                ListItem(box=box, polygon=polygon, text=text, level=self._next_level(level), number=number)
            )
        elif not nested:
            self.reader.report(tag, "is empty")
        for part in nested:
            if part.name in LISTS:
                self.read_list(part, level + 1)
            else:
                self.reader.report(tag, f"contains <{quote(part.name)}>; it follows the list")
                self.blocks.append(part)
        return is_added

    def _add_item(self, text: str, level: int, number: int | None) -> bool:
        if text:
            self.items.append(ListItem(text=text, level=self._next_level(level), number=number))
        return bool(text)

    def _next_level(self, level: int) -> int:
        """Return the level of the next item: at most one below the last item."""
        return min(level, self.items[-1].level + 1 if self.items else 0)

    def _first_number(self, tag: Tag) -> int:
        text = attribute(tag, "start")
        number = 1 if text is None else _integer(text)
        if number is None or number > MAX_NUMBER:
            self.reader.report(tag, f"has the start '{quote(text or '')}', which is no number")
            return 1
        return number


def _is_nested(tag: Tag) -> bool:
    return tag.name in LISTS | NESTED_BLOCKS or (tag.name == "div" and tag.get("class") is not None)


def _item_parts(tag: Tag) -> Iterator[PageElement]:
    """Yield the contents of an item; a tag around lists and blocks is replaced by its contents."""
    for child in tag.contents:
        is_wrapper = isinstance(child, Tag) and not _is_nested(child) and child.find(_is_nested) is not None
        if is_wrapper:
            assert isinstance(child, Tag)
            yield from _item_parts(child)
        else:
            yield child


def has_blocks(tag: Tag) -> bool:
    """Whether a tag that only formats text has blocks in it."""
    return tag.find(list(BLOCKS)) is not None
