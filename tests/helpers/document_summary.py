"""Documents as short lines of text, to compare them in tests."""

from __future__ import annotations

from agent.see.document import (
    Block,
    Chart,
    ChemicalFormula,
    DocumentImage,
    DocumentTable,
    Formula,
    Heading,
    ItemList,
    MusicSheet,
    Paragraph,
)


def summary(block: Block) -> str:
    """Return the type and the text of a block on one line."""
    return _summary(block).replace("\n", "|")


def _summary(block: Block) -> str:
    match block:
        case Heading():
            return f"heading {block.level}: {block.text}"
        case Paragraph():
            return f"p: {block.text}"
        case ItemList():
            lines = [
                "  " * item.level + f"{'-' if item.number is None else item.number} {item.text}" for item in block.items
            ]
            return "list: " + "\n".join(lines)
        case DocumentTable():
            return f"{' '.join(filter(None, ['table', block.caption]))}: {_cells(block)}"
        case Chart():
            assert block.table is not None
            return f"{' '.join(filter(None, ['chart', block.text]))}: {_cells(block.table)}"
        case Formula():
            return f"{' '.join(filter(None, ['formula', block.writing]))}: {block.latex}"
        case MusicSheet():
            return f"music: {block.abc}"
        case ChemicalFormula():
            return f"chemistry: {block.smiles}"
        case DocumentImage():
            return f"{' '.join(filter(None, ['image', block.content]))}: {block.text}"


def _cells(table: DocumentTable) -> str:
    rows = []
    for row in table.rows:
        texts = []
        for cell in row:
            text = f"[{cell.text}]" if cell.is_header else cell.text
            texts.append(text + (f"{cell.rows}x{cell.columns}" if cell.rows * cell.columns > 1 else ""))
        rows.append(" ".join(texts))
    return " / ".join(rows)
