"""Build the Lark grammar of a family's calls: values in one quoting style, and the terminals that they use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

from actions.keys import ALIASES, KEYS
from actions.types import MAX_WAIT_S
from model.dialects.parts.coordinates import CoordinateMapper
from model.engine.call_grammar import CallGrammar, integer_below_regex

MAX_KEYS = 8
LONGEST_KEY = "printscreen"


class Rule(NamedTuple):
    """The Lark rule of a value, and its longest text (free texts empty), from which the length of a call follows."""

    lark: str
    longest: str


# A character of a JSON string that a keyboard can type: no control character but tab and line break, no lone surrogate.
_ESCAPED = r"\\u(0[1-9a-fA-F][0-9a-fA-F]{2}|00[2-7][0-9a-eA-E]|00[a-fA-F][0-9a-fA-F]|" + (
    r"[1-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})"
)
CHARACTERS = {
    "json": rf'[^"\\\x00-\x1f\x7f]|\\["\\\/nt]|{_ESCAPED}',
    "single": r"[^'\\\x00-\x1f\x7f]|\\['\"\\nt]",
    "double": r"[^\"\\\x00-\x1f\x7f]|\\['\"\\nt]",
    "xml": r"[^<\x00-\x08\x0b-\x1f\x7f]|<[^\/<\x00-\x1f\x7f]",
}
VALUE_END = "</parameter>\n"  # of an argument written as XML; a free text holds neither "</" nor "<<"


def spelled(names: Iterable[str]) -> str:
    """Return a regex for names as they are usually written: enter, Enter, ENTER.

    A case-insensitive flag would also admit letters such as the long s.
    """
    spellings = {word for name in names if name != " " for word in (name, name.capitalize(), name.upper())}
    return "|".join(sorted(re.escape(word) for word in spellings))


_KEY_NAMES = spelled({*KEYS, *ALIASES})
_KEY = {
    "json": rf"{_KEY_NAMES}|[!#-*,-.0-\[\]-~]|\/",
    "single": rf"{_KEY_NAMES}|[!#-&(-*,-.0-\[\]-~]|\/",
}


class GrammarBuilder:
    """Collects the rules and terminals of one grammar.

    Args:
        verbs: that the surface has, with the control actions.
        mapper: whose space bounds the points.
        quotes: "json", "single" or "double" for strings as in Python, or "xml" for values between tags.
        point_form: how a point is written, with X and Y for its numbers; the characters around are literals.
    """

    def __init__(
        self, verbs: frozenset[str], mapper: CoordinateMapper, quotes: str = "json", point_form: str = "[X, Y]"
    ) -> None:
        self.verbs, self.quotes, self.point_form = verbs, quotes, point_form
        self.mark = {"single": "'", "xml": ""}.get(quotes, '"')
        self.limits = mapper.limits
        self.digits = "9" * max(len(str(limit)) for limit in self.limits)
        self.terminals: dict[str, str] = {}

    def terminal(self, name: str, regex: str) -> str:
        self.terminals[name] = f"{name}: /{regex}/"
        return name

    def rule(self, name: str, lark: str) -> str:
        self.terminals[name] = f"{name}: {lark}"
        return name

    def quoted(self, lark: str, longest: str = "") -> Rule:
        mark = f" {json.dumps(self.mark)} " if self.mark else ""
        return Rule(f"{mark}{lark}{mark}".strip(), f"{self.mark}{longest}{self.mark}")

    def text(self) -> Rule:
        return self._words("WORDS")

    def some_text(self) -> Rule:
        return self._words("SOME_WORDS")

    def _words(self, name: str) -> Rule:
        is_some, characters = name == "SOME_WORDS", f"({CHARACTERS[self.quotes]})"
        if self.quotes != "xml":
            return self.quoted(self.terminal(name, f"{characters}{'+' if is_some else '*'}"))
        first = r"[^<\s\x00-\x1f\x7f]" if is_some else ""  # a line break alone is no text
        return Rule(self.terminal(name, rf"{first}{characters}*<\/parameter>\n"), VALUE_END)

    def value(self, rule: Rule) -> Rule:
        """Return the rule of an argument with what ends it; in XML the terminal of a free text ends it itself."""
        if self.quotes != "xml" or rule.longest == VALUE_END:
            return rule
        return Rule(f"{rule.lark} {literal(chr(10) + VALUE_END)}", f"{rule.longest}\n{VALUE_END}")

    def x(self) -> str:
        return self.terminal("X", integer_below_regex(self.limits[0] + 1))

    def y(self) -> str:
        return self.terminal("Y", integer_below_regex(self.limits[1] + 1))

    def point(self) -> Rule:
        rules = {"X": self.x(), "Y": self.y(), ", ": '", "' if self.quotes in ("json", "xml") else '"," " "?'}
        parts = [part for part in re.split("([XY])", self.point_form) if part]
        longest = write_point(self.point_form, ["9" * len(str(limit)) for limit in self.limits])
        return Rule(" ".join(rules.get(part) or literal(part) for part in parts), longest)

    def keys(self, chords: bool = False) -> Rule:
        mark = "'" if self.quotes == "single" else '"'
        key = self.terminal("KEY", _KEY.get(self.quotes, _KEY["json"]))
        if chords:  # one lexeme starts both forms: of "[" and "[\"" the lexer would take the longer one only
            chord = self.terminal("CHORD", rf"({_KEY['json']})(\+({_KEY['json']})){{1,3}}")
            lark = rf'"[\"" ({chord} | {key} ("\", \"" {key}){{0,{MAX_KEYS - 1}}}) "\"]"'
        else:
            quoted = f"{json.dumps(mark)} {key} {json.dumps(mark)}"
            lark = f'"[" {quoted} (", " {quoted}){{0,{MAX_KEYS - 1}}} "]"'
        return Rule(self.rule("keys", lark), f"[{mark}{LONGEST_KEY}{mark}]")

    def key(self) -> str:
        """Return the terminal of one key name between single quotes."""
        return self.terminal("KEY", _KEY["single"])

    def adb_key(self, names: Iterable[str]) -> Rule:
        """Return the name of an adb key event; back and home only where they are verbs of the surface."""
        keys = {*KEYS, *ALIASES, *names, "back"} - {verb for verb in ("back", "home") if verb not in self.verbs}
        regex = rf"(keycode_|KEYCODE_)?({spelled(keys)})|[!#-*,-.0-\[\]-~]|\/"
        return self.quoted(self.terminal("ADB_KEY", regex), "KEYCODE_DPAD_CENTER")

    def seconds(self) -> Rule:
        most = int(MAX_WAIT_S)
        return Rule(
            self.terminal("SECONDS", rf"({integer_below_regex(most)})(\.[0-9]{{1,2}})?|{most}"), f"{most - 1}.99"
        )

    def amount(self, most: int) -> Rule:
        """Return a whole number from 1 to `most`, with or without a minus sign."""
        return Rule(self.terminal("AMOUNT", f"-?({integer_below_regex(most + 1, least=1)})"), f"-{most}")

    def choice(self, options: Sequence[str]) -> Rule:
        quoted = [f"{self.mark}{option}{self.mark}" for option in options]
        return self.literal_choice(quoted) if quoted else Rule(literal(self.mark * 2), self.mark * 2)

    def literal_choice(self, texts: Sequence[str]) -> Rule:
        return Rule("(" + " | ".join(literal(text) for text in texts) + ")", max(texts, key=len))

    def build(
        self,
        call: str,
        longest: Sequence[str],
        around: tuple[str, str] = ("", ""),
        **options: bool | str | tuple[str, ...],
    ) -> CallGrammar:
        """Return the grammar whose start rule is `call`, between the texts `around`."""
        body = "\n".join([f"call: {call}", *self.terminals.values()])
        options = {"open_when_short": True, **options}
        return CallGrammar(*around, body, tuple(longest), **options)  # type: ignore[arg-type]


def write_point(form: str, point: Sequence[object]) -> str:
    """Return a point in a form with X and Y for its numbers."""
    return form.replace("X", str(point[0])).replace("Y", str(point[1]))


def literal(text: str) -> str:
    """Return a text as a Lark literal."""
    return json.dumps(text)


def orders(keys: Sequence[str], optional: Sequence[str], *, permute: bool = True) -> Iterator[tuple[str, ...]]:
    """Yield the argument lists of a call: with and without optional ones, in every order or in the order given."""
    for count in range(len(optional) + 1):
        for chosen in combinations(optional, count):
            present = [key for key in keys if key not in optional or key in chosen]
            yield from permutations(present) if permute else [tuple(present)]
