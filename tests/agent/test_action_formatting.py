"""Formatting of actions, durations and untrusted text for a terminal."""

from __future__ import annotations

import pytest

from actions import ACTION_TYPES, CONTROL_ACTIONS, Action, make_action
from agent.ui.formatting import describe_action, format_duration, format_timings, outcome_label, sanitize

UNTRUSTED = "\x1b[2J\x1b]0;title\x07 \u202emirrored \ud800 [red]markup[/red] \x9b31m"


@pytest.mark.parametrize(
    ("action", "description"),
    [
        (make_action("click", x=12, y=40), "click (12, 40)"),
        (
            make_action("click", x=1, y=2, button="right", count=2, modifiers=("ctrl",)),
            "ctrl+double-right-click (1, 2)",
        ),
        (make_action("move", x=1, y=2), "move to (1, 2)"),
        (make_action("drag", path=((1, 2), (5, 6))), "drag from (1, 2) to (5, 6)"),
        (
            make_action("drag", path=((1, 2), (3, 4), (5, 6)), modifiers=("ctrl",)),
            "ctrl+drag from (1, 2) through 1 more to (5, 6)",
        ),
        (make_action("drag", path=((5, 6),)), "drag from the pointer to (5, 6)"),
        (make_action("scroll", x=1, y=2, down=-3), "scroll up 3 at (1, 2)"),
        (make_action("scroll", down=3, right=-1), "scroll down 3 and left 1"),
        (make_action("scroll"), "scroll down 0"),
        (make_action("long_press", x=1, y=2, seconds=1.5), "press (1, 2) for 1.5 s"),
        (make_action("type", text="a\nb\t"), 'type "a⏎b⇥"'),
        (make_action("press", keys=("ctrl", "c")), "press ctrl+c"),
        (make_action("open", target="https://a.org"), "open https://a.org"),
        (make_action("wait", seconds=2), "wait 2 s"),
        (make_action("answer", text="42"), 'answer "42"'),
        (make_action("ask", question="which?"), 'ask "which?"'),
        (make_action("done", status="failure", message="no"), 'done: failure ("no")'),
        (make_action("back"), "back"),
        (make_action("home"), "home"),
        (None, "none"),
    ],
)
def test_describe_action(action: Action | None, description: str) -> None:
    assert describe_action(action) == description


def test_every_action_type_has_a_description() -> None:
    assert ACTION_TYPES.keys() > CONTROL_ACTIONS
    values = {"x": 1, "y": 2, "path": ((1, 2),), "text": "t", "keys": ("a",), "target": "t", "question": "q"}
    for verb, model in ACTION_TYPES.items():
        fields = {name: values[name] for name, field in model.model_fields.items() if field.is_required()}
        assert len(describe_action(make_action(verb, **fields))) >= 4


def test_sanitize_removes_control_characters() -> None:
    text = sanitize(UNTRUSTED)
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(text)
    assert text.encode("utf-8")
    assert "[red]markup[/red]" in text


def test_sanitize_cuts_and_joins_lines() -> None:
    assert sanitize("x" * 5000, 10) == "x" * 9 + "…"
    assert sanitize("a\r\nb\tc") == "a  b c"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0321, "32 ms"), (0.9999, "1.0 s"), (1.44, "1.4 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_format_timings_splits_thinking_by_phase() -> None:
    timings_s = {"think": 2.0, "preprocess": 0.1, "prefill": 0.4, "decode": 1.5, "act": 0.03, "settle": 0.2}
    assert format_timings(timings_s) == "see 500 ms, think 1.5 s, act 30 ms, settle 200 ms"
    assert format_timings({"think": 0.00001, "act": 0.1}) == "act 100 ms"


@pytest.mark.parametrize(
    ("error", "approval", "label"),
    [
        ("", "", "did"),
        ("", "approved", "did"),
        ("the person refused this", "refused", "refused"),
        ("a person stopped the run", "stopped", "not done"),
        ("no terminal", "nobody", "not done"),
        ("the target had changed", "approved", "failed"),
        ("outside the screen", "", "failed"),
    ],
)
def test_outcome_label(error: str, approval: str, label: str) -> None:
    assert outcome_label(error, approval) == label
