"""Whatever a model writes becomes an Action or a BadCall, soon, and nothing else happens."""
# ruff: noqa: SIM905 - lists of words, split where they stand

from __future__ import annotations

import builtins
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.model_families import load_examples

from actions import ACTION_ADAPTER, ACTION_TYPES, CONTROL_ACTIONS, InvalidActionError, Screen
from actions.dispatch import validate
from model.dialects.qwen25 import Dialect
from model.processing.image import ImageLimits

COUNT = 4000
LIMIT_S = 10.0  # of processor time: a megabyte takes some hundredths, and what grows with the square minutes
SCREENS = [(1080, 2400), (280, 364), (1920, 1080)]
JUNK = [
    *"\x00 \x07 \x1b[31m \x7f \x85 \u2028 \u202e \ufeff \ufffd \U0001f600 é 東京 \ud800 \udfff ٣ ½ Ω ‘’ “” ⚗".split(
        " "
    ),
    *"<|im_end|> <|image_pad|> <tool_call> </tool_call> <tool_response> </think> ``` ```json".split(),
    *"{ } [ ] , : \" ' \\ \\u null true NaN Infinity -0 1e999 0x1F 007 --1 $(reboot) `id` ; rm -rf / %s {0}".split(),
    *"__import__('os').system('x') {{7*7}} ../../etc/passwd javascript:alert(1) <script> ' OR 1=1 --".split(),
]
NAMES = "computer_use mobile_use computer browser_use left_click bash python eval os.system Computer_Use".split()
ACTIONS = (
    "key type mouse_move left_click left_click_drag right_click middle_click double_click triple_click scroll hscroll "
    "wait terminate answer click long_press swipe system_button open screenshot drag exec LEFT_CLICK cursor_position"
).split()
KEYS = "coordinate coordinate2 keys text pixels time status button x y code command".split()


def number(rng: random.Random) -> Any:
    return rng.choice(
        [
            lambda: rng.randint(-5, 3000),
            lambda: rng.random() * rng.choice([1, 100, 5000]),
            lambda: rng.choice([-1, 0, 1]) * 10 ** rng.randint(0, 4200),
            lambda: rng.choice([1e308, -1e308, 5e-324, -0.0, 2**31, 2**63, -(2**64)]),
        ]
    )()


def anything(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: number(rng),
        lambda: [number(rng), number(rng)],
        lambda: [rng.randint(0, 300), rng.randint(0, 300)],
        lambda: rng.choice([None, True, False, "", [], {}]),
        lambda: "".join(rng.choices(JUNK, k=rng.randint(0, 6))),
        lambda: rng.choice(["success", "failure", "Back", "enter", ["ctrl", "c"], "ctrl+c", "hello"]),
    ]
    if depth < 4:
        kinds.append(lambda: [anything(rng, depth + 1) for _ in range(rng.randint(0, 4))])
        kinds.append(lambda: {rng.choice(KEYS + JUNK): anything(rng, depth + 1) for _ in range(rng.randint(0, 3))})
    return rng.choice(kinds)()


def a_call(rng: random.Random, tool: str) -> str:
    """A call of the right shape, most of it near what is right."""
    rows = Dialect.ACTIONS[tool].rows
    own = [*rows]
    arguments: Any = {"action": rng.choice(own) if rng.random() < 0.7 else rng.choice([*ACTIONS, anything(rng)])}
    row = rows.get(arguments["action"]) if isinstance(arguments["action"], str) else None
    takes = [*row.keys] if row else []
    for key in takes if rng.random() < 0.8 else rng.sample(KEYS, rng.randint(0, 3)):
        arguments[key] = plausible(rng, key) if rng.random() < 0.6 else anything(rng)
    if rng.random() < 0.1:
        arguments[rng.choice(KEYS)] = anything(rng)
    call: dict[str, Any] = {"name": tool if rng.random() < 0.95 else rng.choice(NAMES), "arguments": arguments}
    if rng.random() < 0.05:
        call[rng.choice(["name", "arguments"])] = anything(rng)
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=rng.random() < 0.5)}\n</tool_call>"


def plausible(rng: random.Random, key: str) -> Any:
    return {
        "coordinate": [rng.randint(-20, 1500), rng.choice([rng.randint(-20, 1500), rng.random() * 1500])],
        "coordinate2": [rng.randint(-20, 1500), rng.randint(-20, 1500)],
        "keys": rng.choice([["ctrl", "c"], "Enter", ["ctrl+c"], ["nokey"], ["+"], ["a"] * 9, [""]]),
        "text": rng.choice(["volume_up", "two\nlines", "", " ", "a" * 10_001, "é", "\x00", "Settings"]),
        "pixels": rng.choice([5, -5, 0, 100.5, 10_000, -10_001, 1e9]),
        "time": rng.choice([0, 1, 2.5, 60, 60.1, -1]),
        "status": rng.choice(["success", "failure", "Success", "done"]),
        "button": rng.choice(["Back", "Home", "Menu", "Enter", "back", "Power"]),
    }.get(key, "x")


def damaged(rng: random.Random, text: str) -> str:
    """Characters lost, doubled, put in or cut off, quotes of the other kind."""
    at, other = rng.randint(0, len(text)), rng.randint(0, len(text))
    start, end = min(at, other), max(at, other)
    ways: list[Callable[[], str]] = [
        lambda: text[:at] + text[at + 1 :],
        lambda: text[:at] + rng.choice(JUNK) + text[at:],
        lambda: text[:at],
        lambda: text[at:],
        lambda: text[:start] + text[start:end] * 2 + text[end:],
        lambda: text.replace('"', "'"),
        lambda: text.replace("}", "", 1),
        lambda: text.replace("]", ",]"),
        lambda: text.replace("<tool_call>", "", 1),
        lambda: text.replace(",", rng.choice([";", ",,", " "])),
        lambda: text[:at] + text[at:].replace(" ", rng.choice(["\n", "\t", "\u00a0", ""])),
    ]
    return rng.choice(ways)()


def broken(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 4)):
        text = damaged(rng, text)
    return text


def code(rng: random.Random) -> str:
    x, y = number(rng), number(rng)
    return rng.choice(
        [
            f"import os; os.system('touch {x}')",
            f"```python\npyautogui.click({x}, {y})\n```",
            f"Action: click(start_box='({x},{y})')",
            "<tool_call>__import__('os').system('id')</tool_call>",
            '<tool_call>{"name": "computer_use", "arguments": __import__("os").getpid()}</tool_call>',
            '<tool_call>{"name": "computer_use", "arguments": {"action": exec("x=1")}}</tool_call>',
            f'<tool_call>{{"name": "eval", "arguments": {{"action": "print({x})"}}}}</tool_call>',
            f"<answer>do(action='Tap', element=[{x},{y}])</answer>",
            "<tool_call><function=computer_use><parameter=action>wait</parameter></function></tool_call>",
        ]
    )


def duplicated(rng: random.Random) -> str:
    pairs = ", ".join(f'"{rng.choice(["action", "coordinate"])}": {json.dumps(anything(rng))}' for _ in range(3))
    return f'<tool_call>{{"name": "computer_use", "arguments": {{"action": "left_click", {pairs}}}}}</tool_call>'


def noise(rng: random.Random) -> str:
    return "".join(rng.choices([*JUNK, " ", "\n", "a", "0"], k=rng.randint(0, 300)))


def replies(tool: str) -> Iterator[str]:
    rng = random.Random(20250128)
    good = [example.text for example in load_examples("qwen25", tool)]
    for number_ in range(COUNT):
        kind = number_ % 8
        if kind < 3:
            yield a_call(rng, tool)
        elif kind < 5:
            yield broken(rng, rng.choice(good))
        elif kind == 5:
            yield broken(rng, a_call(rng, tool))
        elif kind == 6:
            yield rng.choice([code, duplicated])(rng)
        else:
            yield noise(rng)


MEGABYTE = 1_000_000


def typed(text: str) -> str:
    return f'<tool_call>{{"name": "computer_use", "arguments": {{"action": "type", "text": "{text}"}}}}</tool_call>'


def clicked(numbers: str) -> str:
    return f'{{"action": "left_click", "coordinate": [{numbers}]}}'


def pressed(keys: str) -> str:
    return f'{{"action": "key", "keys": [{keys}]}}'


HUGE = {
    "a long text to type": typed("a" * MEGABYTE),
    "a long text with brackets": typed("{[" * 500_000),
    "a long text with tags": typed("<tool_call>" * 90_000),
    "a long text in single quotes": typed("a" * MEGABYTE).replace('"', "'"),
    "escapes": typed("\\n" * 500_000),
    "escapes in single quotes": typed("\\n" * 500_000).replace('"', "'"),
    "combining marks": typed("a\u0301" * 500_000).replace('"', "'"),
    "half characters": typed("\ud800" * MEGABYTE),
    "half characters, escaped": typed("\\ud800" * 150_000),
    "a long action": f'{{"action": "{"a" * MEGABYTE}"}}',
    "a long name": f'<tool_call>{{"name": "{"a" * MEGABYTE}", "arguments": {{"action": "wait"}}}}</tool_call>',
    "a long argument's name": f'{{"action": "wait", "{"a" * MEGABYTE}": 1}}',
    "a long key": pressed(f'"{"a+" * 500_000}"'),
    "a long list of keys": pressed('"a",' * 250_000 + '"a"'),
    "a long coordinate": clicked("1," * 500_000 + "1"),
    "a long number": clicked("9" * MEGABYTE + ", 1"),
    "long numbers": clicked(("9" * 4000 + ",") * 250 + "1"),
    "a long fraction": clicked("1." + "9" * MEGABYTE + ", 1"),
    "a long exponent": clicked("1e" + "9" * MEGABYTE + ", 1"),
    "many arguments": '{"action": "wait", ' + "".join(f'"{n}": 1,' for n in range(80_000)) + '"x": 1}',
    "an unclosed string": '<tool_call>{"name": "' + "a" * MEGABYTE,
    "an unclosed string of escapes": "<tool_call>{'name': '" + "\\'" * 500_000,
    "backslashes": '{"action": "' + "\\" * MEGABYTE,
    "open tags": "<tool_call>" * 90_000,
    "open tags with objects": '<tool_call>{"' * 80_000,
    "closing tags": "</tool_call>" * 80_000,
    "tags and spaces": ("<tool_call>" + " " * 100) * 9_000,
    "a tag and spaces": "<tool_call>" + " " * MEGABYTE,
    "fences": "```" * 330_000,
    "a tag and fences": "<tool_call>" + "```json\n" * 125_000,
    "a fence and letters": "```" + "a" * MEGABYTE + '{"action": "wait"}',
    "braces": "{" * MEGABYTE,
    "closing braces": '{"action": "wait"' + "}" * MEGABYTE,
    "braces and spaces": ("{" + " " * 1000) * 1000,
    "starts of calls": '{"name":' * 125_000,
    "starts of calls in single quotes": "{'name':" * 125_000,
    "brackets": "<tool_call>{'action': " + "[" * MEGABYTE,
    "closed brackets": '<tool_call>{"action": ' + "[" * 400_000 + "]" * 400_000 + "}",
    "commas": '{"action": ' + "," * MEGABYTE,
    "line ends": '{"action": "wait"}' + "\n" * MEGABYTE,
    "line ends before": "\n" * MEGABYTE + '{"action": "wait"}',
    "thoughts": "I think. " * 110_000 + '<tool_call>{"action": "wait"}</tool_call>' + " And so on." * 90_000,
    "zero bytes": "\x00" * MEGABYTE,
}


class Anything:
    """A surface that can do every verb, for dispatch's check."""

    name = "anything"

    def capture(self) -> Screen:
        raise AssertionError("a reply is read without looking")

    def perform(self, action: Any) -> str:
        raise AssertionError("a reply is read without acting")

    def verbs(self) -> frozenset[str]:
        return frozenset(ACTION_TYPES) - CONTROL_ACTIONS

    def close(self) -> None: ...


def outcome(dialect: Dialect, text: str, screen: Screen) -> str:
    """The verb of the Action that a reply became, or "bad call"; anything else is raised."""
    try:
        call = dialect.parse(text)
        json.dumps(dict(call.arguments), allow_nan=False, ensure_ascii=False).encode()  # a trace can hold it
        action = dialect.to_action(call, screen)
    except InvalidActionError as error:
        assert 0 < len(str(error)) < 600, error
        assert str(error).isprintable(), error
        return "bad call"
    assert ACTION_ADAPTER.validate_python(action.model_dump()) == action
    ACTION_ADAPTER.dump_json(action)
    if action.verb not in CONTROL_ACTIONS:
        validate(action, Anything(), screen)  # what was grounded lies on the screen
    return action.verb


def screen_of(width: int, height: int) -> Screen:
    return Screen(np.broadcast_to(np.uint8(0), (height, width, 3)), timestamp=0.0)


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


@pytest.mark.usefixtures("nothing_happens")
@pytest.mark.parametrize("tool", ["computer_use", "mobile_use"])
def test_hostile_replies_parse_or_are_refused(tool: str) -> None:
    dialect = Dialect(ImageLimits(), tool)
    screens = [screen_of(*size) for size in SCREENS]
    counts: dict[str, int] = {}
    for index, text in enumerate(replies(tool)):
        started = time.process_time()
        verb = outcome(dialect, text, screens[index % len(screens)])
        assert time.process_time() - started < LIMIT_S, text[:200]
        counts[verb] = counts.get(verb, 0) + 1
    assert sum(counts.values()) == COUNT
    assert COUNT / 2 < counts["bad call"] < COUNT * 0.9, counts  # the generator also reaches what is valid
    assert len(counts) == {"computer_use": 10, "mobile_use": 12}[tool], counts  # each verb, and "bad call"


@pytest.mark.usefixtures("nothing_happens")
@pytest.mark.parametrize("name", HUGE)
def test_huge_replies_parse_in_bounded_time(name: str) -> None:
    dialect, screen = Dialect(ImageLimits()), screen_of(280, 364)
    started = time.process_time()
    outcome(dialect, HUGE[name], screen)
    assert time.process_time() - started < LIMIT_S


def test_reply_generator_is_deterministic() -> None:
    assert list(replies("computer_use")) == list(replies("computer_use"))
