"""Actions of quantized weights beside those of float32."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from actions import Action, Answer, Click, Drag, Point, TypeText
from perf import agreement
from perf.cli import app


@pytest.mark.parametrize(
    ("action", "reference", "is_near"),
    [
        (Click(x=10, y=10), Click(x=13, y=14), True),
        (Click(x=10, y=10), Click(x=14, y=14), False),
        (Click(x=10, y=10), Click(x=10, y=10, count=2), False),
        (TypeText(text="a"), TypeText(text="b"), False),
        (Drag(path=(Point(1, 1), Point(9, 9))), Drag(path=(Point(2, 1), Point(9, 8))), True),
        (Drag(path=(Point(1, 1),)), Drag(path=(Point(1, 1), Point(9, 8))), False),
        (None, Click(x=1, y=1), False),
        (None, None, True),
    ],
)
def test_near_actions(action: Action | None, reference: Action | None, is_near: bool) -> None:
    actions, expected = ([] if value is None else [value] for value in (action, reference))
    assert agreement.is_near(tuple(actions), tuple(expected)) is is_near


def test_shares_count_replies_and_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = {
        "float32": [("a", (Click(x=1, y=1),)), ("b", (Answer(text="no"),)), ("c", ())],
        "int8": [("a", (Click(x=1, y=1),)), ("B", (Answer(text="no"),)), ("c", ())],
        "int4": [("d", (Click(x=3, y=1),)), ("e", (Answer(text="yes"),)), ("f", (Click(x=1, y=1),))],
    }
    monkeypatch.setattr(agreement, "decide", lambda model, dtype, screens: replies[dtype])
    monkeypatch.setattr(agreement, "practice_screens", lambda count: [("goal", None)] * count)
    result = CliRunner().invoke(app, ["agreement", "--screens", "3", "--dtype", "int8,int4", "--json"])
    assert json.loads(result.stdout)["found"] == [
        {"dtype": "int8", "screens": 3, "replies": 2, "actions": 3, "near": 3},
        {"dtype": "int4", "screens": 3, "replies": 0, "actions": 0, "near": 1},
    ]


def test_unknown_dtype_is_refused() -> None:
    result = CliRunner().invoke(app, ["agreement", "--dtype", "int3"])
    assert result.exit_code != 0
    assert "int3" in str(result.exception)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_quantized_actions_follow_float32(chrome: str) -> None:
    screens = list(agreement.practice_screens(200))
    assert len(screens) == 200
    int8, int4 = agreement.compare_dtypes("embedded", ["int8", "int4"], screens)
    assert int8.near >= 0.95 * 200
    assert int4.near >= 0.9 * 200
