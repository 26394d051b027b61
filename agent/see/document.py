"""The parts of a document that was parsed from page images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.extraction.output import Box
from agent.see.results import Polygon


class PagePart(BaseModel):
    """A part of a page.

    Attributes:
        box: Left, top, right and bottom in pixels of the page; None where the model gave none.
        polygon: The outline where the model gave one; empty otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: Box | None = None
    polygon: Polygon = ()


class Heading(PagePart):
    """A heading; `level` is 1 to 6."""

    type: Literal["heading"] = "heading"
    level: int = Field(ge=1, le=6)
    text: str


class Paragraph(PagePart):
    """A paragraph; line breaks are part of its text."""

    type: Literal["paragraph"] = "paragraph"
    text: str


class ListItem(PagePart):
    """An item of a list.

    Attributes:
        text: The text without the items below it.
        level: 0 for an item of the list itself, 1 for an item of a list in it, and so on.
        number: The number of an ordered item; None for a bullet.
    """

    text: str
    level: int = Field(default=0, ge=0)
    number: int | None = Field(default=None, ge=0, le=999_999_999)


class ItemList(PagePart):
    """A list with the lists inside it, flattened in reading order."""

    type: Literal["list"] = "list"
    items: tuple[ListItem, ...]


class TableCell(PagePart):
    """A cell of a table; it spans `rows` rows and `columns` columns."""

    text: str
    is_header: bool = False
    rows: int = Field(default=1, ge=1)
    columns: int = Field(default=1, ge=1)


class DocumentTable(PagePart):
    """A table, row by row; a cell that spans several rows is in the first of them."""

    type: Literal["table"] = "table"
    rows: tuple[tuple[TableCell, ...], ...]
    caption: str = ""


class Chart(PagePart):
    """A chart with the data that it shows.

    Attributes:
        image_box: The drawing without its text.
        text: Text that belongs to the chart, beside its data.
        table: The data; None where the model gave none.
    """

    type: Literal["chart"] = "chart"
    image_box: Box | None = None
    text: str = ""
    table: DocumentTable | None = None


class Formula(PagePart):
    """A formula in LaTeX, as the model wrote it; `writing` is "" where the model does not say."""

    type: Literal["formula"] = "formula"
    image_box: Box | None = None
    writing: Literal["printed", "handwritten", ""] = ""
    latex: str


class MusicSheet(PagePart):
    """Music in ABC notation."""

    type: Literal["music"] = "music"
    image_box: Box | None = None
    abc: str


class ChemicalFormula(PagePart):
    """The structure of a molecule in SMILES."""

    type: Literal["chemistry"] = "chemistry"
    image_box: Box | None = None
    smiles: str


class DocumentImage(PagePart):
    """An image on the page; `content` says whether `text` is its caption or the text that it shows."""

    type: Literal["image"] = "image"
    image_box: Box | None = None
    content: Literal["caption", "text", ""] = ""
    text: str = ""


Block = Annotated[
    Heading | Paragraph | ItemList | DocumentTable | Chart | Formula | MusicSheet | ChemicalFormula | DocumentImage,
    Field(discriminator="type"),
]


class DocumentPage(BaseModel):
    """A page in reading order.

    Attributes:
        number: Its number in the file, from 1.
        width: Width in pixels; boxes are in these pixels.
        height: Height in pixels.
        blocks: Its parts.
        is_truncated: The model's reply was cut off; the page goes on after the last block.
        deviations: Where the replies deviate from QwenVL HTML, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    blocks: tuple[Block, ...] = ()
    is_truncated: bool = False
    deviations: tuple[str, ...] = ()


class Document(BaseModel):
    """The pages of a document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pages: tuple[DocumentPage, ...]

    @property
    def is_truncated(self) -> bool:
        """Whether the reply to any page was cut off."""
        return any(page.is_truncated for page in self.pages)

    @property
    def deviations(self) -> tuple[str, ...]:
        """The deviations of all pages, each with the number of its page."""
        return tuple(f"page {page.number}: {text}" for page in self.pages for text in page.deviations)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of all pages in order."""
        for page in self.pages:
            yield from page.blocks
