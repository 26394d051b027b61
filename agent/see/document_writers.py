"""Write a document as JSON or as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

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
    PagePart,
    Paragraph,
    TableCell,
)
from agent.see.results import Polygon

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = (
    "table{border-collapse:collapse}td,th{border:1px solid;padding:.2em .5em}.notation{white-space:pre-wrap}"
    'section[data-truncated]::after{content:"[cut off here]"}'
)


def to_json(document: Document) -> str:
    """Return a document as JSON; `Document.model_validate_json` reads it."""
    return document.model_dump_json(indent=2) + "\n"


def to_html(document: Document, *, has_boxes: bool = True) -> str:
    """Return a document as an HTML page in the vocabulary of QwenVL HTML.

    All text is escaped. The page has no scripts and no links, and loads nothing.

    Args:
        document: The document.
        has_boxes: Write the boxes, in pixels of the pages.
    """
    writer = _HtmlWriter(has_boxes)
    pages = "\n".join(writer.page(page) for page in document.pages)
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">\n'
        f"<title>Document</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{pages}\n</body>\n</html>\n"
    )


def table_to_html(table: DocumentTable, *, has_boxes: bool = True) -> str:
    """Return a table as HTML without a blank line, so that it is one block in Markdown, too."""
    return _HtmlWriter(has_boxes).table(table)


def box_text(box: Box) -> str:
    """Return a box as in an attribute."""
    return " ".join(str(number) for number in box)


def polygon_text(polygon: Polygon) -> str:
    """Return a polygon as in an attribute."""
    return " ".join(f"{x} {y}" for x, y in polygon)


class _HtmlWriter:
    def __init__(self, has_boxes: bool) -> None:
        self.has_boxes = has_boxes

    def page(self, page: DocumentPage) -> str:
        blocks = "\n".join(self.block(block) for block in page.blocks)
        size = f'data-width="{page.width}" data-height="{page.height}"'
        is_truncated = ' data-truncated="yes"' if page.is_truncated else ""
        return f'<section data-page="{page.number}" {size}{is_truncated}>\n{blocks}\n</section>'

    def block(self, block: Block) -> str:
        place = self.place(block)
        match block:
            case Heading():
                return f"<h{block.level}{place}>{_escape(block.text)}</h{block.level}>"
            case Paragraph():
                return f"<p{place}>{_escape(block.text)}</p>"
            case ItemList():
                return self.item_list(block, place)
            case DocumentTable():
                return self.table(block)
            case Chart():
                table = "" if block.table is None else self.table(block.table)
                text = f"<p>{_escape(block.text)}</p>" if block.text else ""
                return self.div("chart", place, block.image_box, text + table)
            case Formula():
                kind = {"printed": "formula machine_printed", "handwritten": "formula handwritten", "": "formula"}
                return self.div(kind[block.writing], place, block.image_box, _notation(block.latex))
            case MusicSheet():
                return self.div("music sheet", place, block.image_box, _notation(block.abc), "abc notation")
            case ChemicalFormula():
                return self.div("chemical formula", place, block.image_box, _notation(block.smiles), "smile")
            case DocumentImage():
                if not block.content:
                    return f"<img{place}>"
                kind_name = "image caption" if block.content == "caption" else "image ocr"
                text = f"<p>{_escape(block.text)}</p>" if block.text else ""
                return self.div(kind_name, place, block.image_box, text)

    def place(self, part: PagePart) -> str:
        """Return the attributes for the place of a part."""
        if not self.has_boxes:
            return ""
        box = "" if part.box is None else f' data-bbox="{box_text(part.box)}"'
        return box + (f' data-polygon="{polygon_text(part.polygon)}"' if part.polygon else "")

    def div(self, name: str, place: str, image_box: Box | None, content: str, notation: str = "") -> str:
        form = f' format="{notation}"' if notation else ""
        image = "" if image_box is None or not self.has_boxes else f'<img data-bbox="{box_text(image_box)}">'
        return f'<div class="{name}"{form}{place}>{image}{content}</div>'

    def item_list(self, block: ItemList, place: str) -> str:
        return "\n".join(self.lists(list(block.items), 0, place))

    def lists(self, items: Sequence[ListItem], level: int, place: str = "") -> Iterator[str]:
        """Yield the lists that items of a level and below it are in; a new one begins where the numbers do."""
        index = 0
        while index < len(items):
            first = items[index]
            end, number = index, first.number
            content: list[str] = []
            while end < len(items) and items[end].number == number:
                below = end + 1
                while below < len(items) and items[below].level > level:
                    below += 1
                nested = "".join(self.lists(items[end + 1 : below], level + 1))
                content.append(f"<li{self.place(items[end])}>{_escape(items[end].text)}{nested}</li>")
                end, number = below, None if number is None else number + 1
            tag = "ul" if first.number is None else "ol"
            start = "" if first.number in (None, 1) else f' start="{first.number}"'
            yield f"<{tag}{start}{place}>" + "".join(content) + f"</{tag}>"
            index = end

    def table(self, table: DocumentTable) -> str:
        caption = f"<caption>{_escape(table.caption)}</caption>" if table.caption else ""
        rows = ["<tr>" + "".join(self.cell(cell) for cell in row) + "</tr>" for row in table.rows]
        return "\n".join([f"<table{self.place(table)}>{caption}", *rows, "</table>"])

    def cell(self, cell: TableCell) -> str:
        tag = "th" if cell.is_header else "td"
        spans = (f' rowspan="{cell.rows}"' if cell.rows > 1 else "") + (
            f' colspan="{cell.columns}"' if cell.columns > 1 else ""
        )
        return f"<{tag}{spans}{self.place(cell)}>{_escape(cell.text)}</{tag}>"


def _escape(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _notation(text: str) -> str:
    return f'<div class="notation">{html.escape(text)}</div>'
