"""The first sheet of an .xlsx file, or a .tsv file, as rows of texts by their headings. No dependency; no formulas.

An .xlsx is a zip of XML (ECMA-376, SpreadsheetML): cells hold numbers, texts of their own or numbers of shared texts.
"""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from actions import UsageError

LARGEST = 1 << 30  # bytes of one unpacked part; more is no sheet of predictions
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")  # a character that XML cannot hold
COLUMN = re.compile(r"[A-Z]+")


def rows(path: Path) -> list[dict[str, str]]:
    """Each row below the headings. UsageError where the file is damaged or has no headings."""
    try:
        table = _tsv(path) if path.suffix == ".tsv" else _xlsx(path)
    except (
        OSError,
        UnicodeDecodeError,
        zipfile.BadZipFile,
        ElementTree.ParseError,
        KeyError,
        ValueError,
        IndexError,
    ) as e:
        raise UsageError(f"cannot read {path} as a table ({getattr(e, 'strerror', None) or e})") from None
    if not table or not any(table[0]):
        raise UsageError(f"{path} has no headings")
    heads = table[0]
    return [dict(zip(heads, [*row, *[""] * (len(heads) - len(row))], strict=False)) for row in table[1:] if any(row)]


def _tsv(path: Path) -> list[list[str]]:
    csv.field_size_limit(LARGEST)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def _xlsx(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as book:
        names = book.namelist()
        sheets = sorted(one for one in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", one))
        if not sheets:
            raise ValueError("it has no sheet")
        first = "xl/worksheets/sheet1.xml" if "xl/worksheets/sheet1.xml" in sheets else sheets[0]
        shared = []
        if "xl/sharedStrings.xml" in names:
            shared = [_text(one) for one in _part(book, "xl/sharedStrings.xml").iter(f"{MAIN}si")]
        return [_row(row, shared) for row in _part(book, first).iter(f"{MAIN}row")]


def _part(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if book.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} is larger than {LARGEST >> 20} MiB")
    return ElementTree.fromstring(book.read(name))


def _row(row: ElementTree.Element, shared: list[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iter(f"{MAIN}c"):
        named = COLUMN.match(cell.get("r", ""))
        place = _column(named.group()) if named else len(cells)
        cells += [""] * (place - len(cells))  # empty cells are left out
        cells.append(_cell(cell, shared))
    return cells


def _cell(cell: ElementTree.Element, shared: list[str]) -> str:
    inline = cell.find(f"{MAIN}is")
    if inline is not None:
        return _text(inline)
    value = cell.findtext(f"{MAIN}v") or ""
    return shared[int(value)] if cell.get("t") == "s" else _unescaped(value)


def _text(item: ElementTree.Element) -> str:
    """A text, whole or in runs of one style each; how it is read aloud (rPh) is no part of it."""
    plain = item.findall(f"{MAIN}t") + item.findall(f"{MAIN}r/{MAIN}t")
    return _unescaped("".join(one.text or "" for one in plain))


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
