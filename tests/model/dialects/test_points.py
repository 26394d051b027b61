"""Points in replies are located and replaced, in every dialect."""

from __future__ import annotations

import pytest
from helpers.model_families import CASES, QWEN25_CASES, DialectCase, actions_of, screen_of

from actions import Click
from model.engine.point_uncertainty import point_uncertainty


@pytest.mark.parametrize("case", [*QWEN25_CASES, *CASES], ids=str)
def test_point_of_a_click_is_replaced(case: DialectCase) -> None:
    dialect, screen = case.dialect(), screen_of(1288, 728)
    first, second = Click(x=20, y=30), Click(x=1200, y=700)
    text = dialect.format_action(first, screen)
    assert len(dialect.point_spans(text)) == 1
    replaced = dialect.with_point(text, second.x, second.y, screen)
    (expected,) = actions_of(dialect, dialect.format_action(second, screen))
    assert actions_of(dialect, replaced) == (expected,)


@pytest.mark.parametrize("case", [*QWEN25_CASES, *CASES], ids=str)
def test_point_uncertainty_follows_the_dialects_pattern(case: DialectCase) -> None:
    dialect = case.dialect()
    text = dialect.format_action(Click(x=20, y=30), screen_of(1288, 728))
    uncertainty = point_uncertainty(
        range(len(text)), {}, lambda ids: "".join(text[position] for position in ids), dialect.point_pattern
    )
    (span,) = dialect.point_spans(text)
    assert uncertainty is not None
    assert (uncertainty.x, uncertainty.y) == (int(text[slice(*span.x)]), int(text[slice(*span.y)]))
    assert uncertainty.px == 0
