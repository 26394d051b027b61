"""The first sheet of an .xlsx file, or a .tsv file, as rows of strings by their headings."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from actions import UsageError

MAX_BYTES = 1 << 30  # of one field or one unpacked part; more is no table of predictions
ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")  # a character that XML cannot hold (ECMA-376, ST_Xstring)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return each row below the headings; empty rows are skipped and missing cells are "".

    Raises:
        UsageError: The file cannot be read as a table, has no headings, or openpyxl is not installed.
    """
    table = _read_tsv(path) if path.suffix == ".tsv" else _read_xlsx(path)
    if not table or not any(table[0]):
        raise UsageError(f"{path} has no headings")
    headings = table[0]
    return [
        dict(zip(headings, [*row, *[""] * (len(headings) - len(row))], strict=False)) for row in table[1:] if any(row)
    ]


def _read_tsv(path: Path) -> list[list[str]]:
    csv.field_size_limit(MAX_BYTES)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {path} as a table: {getattr(error, 'strerror', None) or error}") from None


def _read_xlsx(path: Path) -> list[list[str]]:
    try:
        import openpyxl
    except ImportError:
        raise UsageError(
            f"reading {path} requires openpyxl, which is not installed; run: pip install 'pixelhand[import]'"
        ) from None
    try:
        _check_part_sizes(path)
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            return [_cell_texts(row) for row in workbook.worksheets[0].iter_rows(values_only=True)]
        finally:
            workbook.close()
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, IndexError, TypeError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path} as a table: {reason}") from None


def _check_part_sizes(path: Path) -> None:
    """Raise ValueError for a zip archive that unpacks to an implausible size."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.file_size > MAX_BYTES:
                raise ValueError(f"{part.filename} is larger than {MAX_BYTES >> 20} MiB")


def _cell_texts(row: Iterable[object]) -> list[str]:
    cells = [_cell_text(value) for value in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    return ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), value) if isinstance(value, str) else str(value)
