"""The tables of docs/dialects.md are those of the code."""

from __future__ import annotations

from helpers.dialect_tables import PAGE, render


def test_dialects_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "<!-- generated: families -->" in page
    assert render(page) == page, "run: PYTHONPATH=.:tests python -m helpers.dialect_tables"
