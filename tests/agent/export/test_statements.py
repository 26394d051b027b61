"""Statements of exported code are carried out by their syntax, and nothing else is."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from agent.export.statements import perform_statement


def perform(line: str, page: Any) -> None:
    perform_statement(line, page, lambda: page.started())


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ('page.goto("https://shop.example/")', "call.goto('https://shop.example/')"),
        ("page.mouse.wheel(0, -120)", "call.mouse.wheel(0, -120)"),
        ("page.mouse.click(4.5, 8.0, click_count=2)  # a place", "call.mouse.click(4.5, 8.0, click_count=2)"),
        ('page.keyboard.type("a" + os.environ["PIN"] + "b")', "call.keyboard.type('a1234b')"),
        ("open_start(page)", "call.started()"),
        (
            'page.get_by_role("row", name="A").nth(1).click(position={"x": 1.5, "y": 2}, modifiers=["Alt"])',
            "call.get_by_role().nth().click(position={'x': 1.5, 'y': 2}, modifiers=['Alt'])",
        ),
    ],
)
def test_statement_becomes_call(line: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIN", "1234")
    page = MagicMock()
    perform(line, page)
    assert str(page.mock_calls[-1]) == call


@pytest.mark.parametrize(
    "line",
    [
        "page",
        "page.url",
        "page.evaluate('1')",
        "page.screenshot(path='x')",
        "page.__class__()",
        "os.system('true')",
        "page.goto(os.environ)",
        "page.goto([1 for _ in 'ab'])",
        "page.goto(__import__('os').name)",
        "(lambda: page)()",
    ],
)
def test_other_code_is_refused(line: str) -> None:
    page = MagicMock()
    with pytest.raises(ValueError, match="not a statement of exported code"):
        perform(line, page)
    assert not page.mock_calls or "goto" not in str(page.mock_calls)
