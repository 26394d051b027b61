"""What a reply of a dialect may be, as a grammar: from the dialect's own table of acts and the verbs of a surface.

Knows the wire form of calls (a JSON object in <tool_call>) and what each argument may hold; knows no tokens. A dialect
may say its own grammar by a method `form(verbs, screen) -> Form`; those of the Qwen2.5-VL functions are made here,
those of the other families in family_forms.py. What has none is decoded freely.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

from actions import CONTROL_ACTIONS, Screen
from actions.keys import ALIASES, KEYS
from model.dialects import _qwen25_functions as functions
from model.dialects._base import BaseDialect
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

MAX_KEYS = 8
OPTIONAL = {("scroll", "coordinate"), ("wait", "time"), ("long_press", "time")}


@dataclass(frozen=True)
class CallGrammar:
    """open and close: what stands around a call ("": nothing, and the reply is the call alone).

    body: rules in Lark for what stands between them, the first is `call`; @{<|name|>} in it is a tag that may be a
    token of its own. samples: calls as long as they get, their free texts empty; they tell how much room a call needs.
    before: a regular expression for one character of the words before `open`. closers: with what an open text, list or
    call ends, innermost first; where the room runs out they are said as soon as they may be. roomy: that begins as soon
    as a whole call would no longer fit. ends_itself: the reply ends with its call; else words may follow, and a stop
    token ends it.
    """

    open: str
    close: str
    body: str
    longest_calls: tuple[str, ...]
    before: str = r"(.|\n)"
    closing_strings: tuple[str, ...] = ('"', "]", "}")
    open_when_short: bool = False
    ends_itself: bool = True


def grammar_for(dialect: Any, verbs: frozenset[str], screen: Screen) -> CallGrammar | None:
    """The form of a dialect's replies on a screen; None where no grammar is known, and decoding stays free."""
    own = getattr(dialect, "form", None)
    if own is not None:
        made: CallGrammar = own(verbs, screen)
        return made
    if type(dialect).__module__ == "model.dialects.qwen25":
        return qwen25(dialect.tool, verbs, *dialect.limits.resized(screen.width, screen.height))
    if isinstance(dialect, BaseDialect):
        from model.engine.dialect_grammars import family_form

        return family_form(dialect, verbs, screen)
    return None


@lru_cache(maxsize=64)
def qwen25(tool: str, verbs: frozenset[str], width: int, height: int) -> CallGrammar:
    """Calls of computer_use or mobile_use for a picture of width x height pixels, and for what the verbs can do.

    No coordinate leaves the picture, every key has a name, and a text holds nothing that cannot be typed.
    """
    able = verbs | CONTROL_ACTIONS
    buttons = [name for name, (_, verb) in functions.BUTTONS.items() if verb in able]
    values = {
        "coordinate": ('"[" X ", " Y "]"', f"[{width - 1}, {height - 1}]"),
        "coordinate2": ('"[" X ", " Y "]"', f"[{width - 1}, {height - 1}]"),
        "text": (r'"\"" WORDS "\""', '""'),
        "keys": ("keys", '["printscreen"]'),
        "pixels": ("PIXELS", "-10000"),
        "time": ("SECONDS", "59.99"),
        "status": (_choice(("success", "failure")), '"failure"'),
        "button": (_choice(buttons), '"Enter"'),
    }
    special = {  # (action, argument): where an argument's name alone does not say what it may hold
        ("key", "text"): (r'"\"" ADB_KEY "\""', '"KEYCODE_DPAD_CENTER"'),
        ("open", "text"): (r'"\"" SOME_WORDS "\""', '""'),
    }
    head = f'\n{{"name": "{tool}", "arguments": {{"action": "'
    ways, samples = [], []
    for act in functions.ACTS[tool]:
        if not able.intersection(act.verbs):
            continue
        for order in _orders(act):
            rule, sample = [_quoted(f'{act.name}"')], f'{head}{act.name}"'
            for key in order:
                value, longest = special.get((act.name, key), values[key])
                rule += [_quoted(f', "{key}": '), value]
                sample += f', "{key}": {longest}'
            ways.append(" ".join(rule))
            samples.append(f"{CALL_OPEN}{sample}}}}}\n{CALL_CLOSE}")
    body = "\n".join(
        [
            f"call: {_quoted(head)} act {_quoted('}}' + chr(10))}",
            f"act: {' | '.join(ways)}",
            # one lexeme begins both ways: of "[" and "[\"" the lexer would take the longer and forget the other
            rf'keys: "[\"" (CHORD | KEY ("\", \"" KEY){{0,{MAX_KEYS - 1}}}) "\"]"',
            f"X: /{integer_below_regex(width)}/",
            f"Y: /{integer_below_regex(height)}/",
            f"PIXELS: /-?({integer_below_regex(functions.MAX_NOTCHES * functions.NOTCH_PIXELS + 1, least=1)})/",
            rf"SECONDS: /({integer_below_regex(functions.MAX_WAIT_S)})(\.[0-9]{{1,2}})?|{functions.MAX_WAIT_S}/",
            f"WORDS: /({_CHARACTER})*/",
            f"SOME_WORDS: /({_CHARACTER})+/",
            f"KEY: /{_KEY}/",
            rf"CHORD: /({_KEY})(\+({_KEY})){{1,3}}/",
            f"ADB_KEY: /{_adb_keys(able)}/",
        ]
    )
    return CallGrammar(CALL_OPEN, CALL_CLOSE, body, tuple(samples))


def integer_below_regex(limit: int, least: int = 0) -> str:
    """A regular expression for the whole numbers least (0 or 1) to limit - 1, without leading zeros."""
    if limit <= least:
        raise ValueError(f"no number from {least} to {limit - 1}")
    top = str(limit - 1)
    ways = ["0"] if least == 0 else []
    for length in range(1, len(top)):
        ways.append(f"[1-9][0-9]{{{length - 1}}}")
    for place, digit in enumerate(top):  # the same beginning as the largest, then a smaller digit
        low = 1 if place == 0 else 0
        if int(digit) > low:
            ways.append(f"{top[:place]}[{low}-{int(digit) - 1}][0-9]{{{len(top) - place - 1}}}")
    return "|".join([*ways, top] if top != "0" else ways)


def _orders(act: functions.Act) -> list[tuple[str, ...]]:
    """The orders in which an act's arguments may be said, with and without those that may be left out."""
    may = [key for key in act.takes if (act.name, key) in OPTIONAL]
    takes = [act.takes, tuple(key for key in act.takes if key not in may)] if may else [act.takes]
    return list(dict.fromkeys(order for keys in takes for order in permutations(keys)))


def _quoted(text: str) -> str:
    return json.dumps(text)


def _choice(options: Sequence[str]) -> str:
    return "(" + " | ".join(_quoted(f'"{one}"') for one in options) + ")" if options else '"\\"\\""'


# One character of a JSON string that a keyboard can type: no control character but tab and line break, no half of one.
_ESCAPED = r"\\u(0[1-9a-fA-F][0-9a-fA-F]{2}|00[2-7][0-9a-eA-E]|00[a-fA-F][0-9a-fA-F]|" + (
    r"[1-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})"
)
_CHARACTER = rf'[^"\\\x00-\x1f\x7f]|\\["\\\/nt]|{_ESCAPED}'


def _spelled(names: set[str]) -> str:
    """Names as they are usually written: enter, Enter, ENTER. (Letters of any case would let in the long s.)"""
    ways = {way for name in names - {" "} for way in (name, name.capitalize(), name.upper())}
    return "|".join(sorted(re.escape(way) for way in ways))


_KEY = rf"{_spelled({*KEYS, *ALIASES})}|[!#-*,-.0-\[\]-~]|\/"


def _adb_keys(able: frozenset[str]) -> str:
    """Names that mobile_use's action `key` takes, where only back and home are verbs of their own."""
    names = {*KEYS, *ALIASES, *functions._ADB_KEYS, "back"}
    names -= {verb for verb in ("back", "home") if verb not in able}
    return rf"(keycode_|KEYCODE_)?({_spelled(names)})|[!#-*,-.0-\[\]-~]|\/"
