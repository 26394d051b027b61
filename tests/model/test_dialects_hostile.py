"""Whatever a model writes, each family's dialect makes Actions or a BadCall of it, soon, and nothing else happens."""

from __future__ import annotations

import builtins
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.model_families import CASES, DialectCase, screen_of
from test_hostile_replies import JUNK, MEGABYTE, Anything, broken, noise, number

from actions import ACTION_ADAPTER, CONTROL_ACTIONS, InvalidActionError, Screen
from actions.dispatch import validate

COUNT = 2000
LIMIT_S = 10.0  # of processor time; what grows with the square would take minutes
SCREENS = [(1080, 2400), (280, 364), (1920, 1080)]
NAMES = sorted({case.name for case in CASES})
DIALECTS = {str(case): case.dialect() for case in CASES}  # imported before nothing may happen


@pytest.fixture
def nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a reply opens no file, starts no program, runs no code."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a reply made something happen: {args!r:.100}")

    for owner, names in (
        (builtins, ("eval", "exec", "open", "input")),
        (os, ("system", "popen", "remove", "mkdir")),
        (subprocess, ("Popen", "run")),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, refuse)


def swapped(rng: random.Random, text: str) -> str:
    """Its numbers changed, or its punctuation made wide."""
    if rng.random() < 0.3:
        return text.replace(*rng.choice([("(", "（"), (")", "）"), (",", "，"), ("=", "＝"), ("'", '"'), ('"', "“")]))
    parts = text.split(" ")
    at = rng.randrange(len(parts))
    parts[at] = str(number(rng))[:60] if rng.random() < 0.5 else rng.choice(JUNK)
    return " ".join(parts)


def replies(case: DialectCase, count: int, seed: int = 20260101) -> Iterator[str]:
    rng = random.Random(f"{case} {seed}")
    good = [example.text for example in case.examples()]
    others = [example.text for other in CASES for example in other.examples()[:3]]
    for index in range(count):
        kind = index % 8
        if kind < 4:
            yield broken(rng, rng.choice(good))
        elif kind == 4:
            yield swapped(rng, rng.choice(good))
        elif kind == 5:
            yield rng.choice(good) + rng.choice(["\n", " ", "", "\n\n"]) + broken(rng, rng.choice(good))
        elif kind == 6:
            yield rng.choice(others)
        else:
            yield noise(rng)


def outcome(dialect: Any, text: str, screen: Screen) -> bool:
    """Whether the reply became Actions; a BadCall when not, and anything else is raised."""
    try:
        call = dialect.parse(text)
        json.dumps(dict(call.arguments), allow_nan=False, ensure_ascii=False).encode()  # a trace can hold it
        call.thought.encode()
        actions = dialect.to_actions(call, screen)
        assert actions
    except InvalidActionError as error:
        assert 0 < len(str(error)) < 600, error
        assert str(error).isprintable(), error
        return False
    for action in actions:
        assert ACTION_ADAPTER.validate_python(action.model_dump()) == action
        ACTION_ADAPTER.dump_json(action)
        if action.verb not in CONTROL_ACTIONS:
            validate(action, Anything(), screen)  # what was meant lies on the screen
    try:
        dialect.to_action(call, screen)
    except InvalidActionError as error:
        assert str(error).isprintable()
        assert len(actions) > 1
    return True


def survives(name: str, count: int, seed: int) -> None:
    tools = [case for case in CASES if case.name == name]
    screens = [screen_of(*size) for size in SCREENS]
    for case in tools:
        dialect, good = DIALECTS[str(case)], 0
        for index, text in enumerate(replies(case, count // len(tools), seed)):
            started = time.process_time()
            good += outcome(dialect, text, screens[index % len(screens)])
            assert time.process_time() - started < LIMIT_S, text[:200]
        assert count // len(tools) * 0.03 < good < count // len(tools) * 0.9, (str(case), good)


@pytest.mark.usefixtures("nothing_happens")
@pytest.mark.parametrize("name", NAMES)
def test_mutated_replies_parse_or_are_refused(name: str) -> None:
    survives(name, COUNT, seed=1)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_happens")
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("name", NAMES)
def test_many_mutated_replies_parse_or_are_refused(name: str, seed: int) -> None:
    survives(name, 10 * COUNT, seed)


HUGE = {
    "quotes": "Action: type(content='" + "'" * MEGABYTE,
    "escaped quotes": "Action: type(content='" + "\\'" * (MEGABYTE // 2),
    "backslashes": "Action: type(content='" + "\\" * MEGABYTE + "'",
    "quotes and spaces": "Action: type(content='" + ("'" + " " * 50) * (MEGABYTE // 51),
    "calls": "click(start_box='(8,9)')\n" * (MEGABYTE // 25),
    "calls that start": "Action: " + "click(" * (MEGABYTE // 6),
    "nested lists": "Action: click(start_box=" + "[" * MEGABYTE,
    "numbers": "(" + "1" * MEGABYTE + "," + "2" * MEGABYTE + ")",
    "pairs that never end": "(1,2" * (MEGABYTE // 4),
    "brackets": "[" * MEGABYTE,
    "spaces": "[1" + " " * MEGABYTE + ",2]",
    "a text": "Action: type(content='" + "a" * MEGABYTE + "')",
    "code": "pyautogui.click(x=1, y=2)\n" * (MEGABYTE // 26),
    "fences": "```" * (MEGABYTE // 3),
    "a fence of code": "```python\n" + "pyautogui.press('a')\n" * (MEGABYTE // 21),
    "parentheses in code": "pyautogui.click(" + "(" * MEGABYTE,
    "tags": "<think>" * (MEGABYTE // 7),
    "tags that open": "<action>Click(box=" * (MEGABYTE // 18),
    "conclusions": "<conclusion>" * (MEGABYTE // 12) + '<tool_call>{"name": "x"',
    "answers": '<answer>do(action="Type", text="' * (MEGABYTE // 32),
    "objects": '{"thought":' * (MEGABYTE // 11),
    "glyphs": "⚗" * MEGABYTE,
    "functions": "<tool_call><function=computer_use>" * (MEGABYTE // 34),
    "parameters": "<function=computer_use>" + "<parameter=action>" * (MEGABYTE // 18),
    "a value of tags": "<function=computer_use><parameter=text>" + "<" * MEGABYTE + "</parameter></function>",
    "ends of reasoning": "</think>" * (MEGABYTE // 8) + '{"tool_call": {"tool_name": "x"}}',
    "headings": "## Thought:\n" * (MEGABYTE // 12),
    "words": "I think. " * (MEGABYTE // 9),
}


@pytest.mark.usefixtures("nothing_happens")
@pytest.mark.parametrize("name", HUGE)
def test_huge_replies_parse_in_bounded_time(name: str) -> None:
    screen = screen_of(280, 364)
    for case in CASES:
        started = time.process_time()
        outcome(DIALECTS[str(case)], HUGE[name], screen)
        assert time.process_time() - started < LIMIT_S, str(case)
