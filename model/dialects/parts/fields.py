"""The arguments of calls, each mapped to the attributes of an action in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actions import Action, InvalidActionError
from model.dialects.parts.arguments import Arguments, check_seconds
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.grammar import GrammarBuilder, Rule
from model.wire.points import show

NOTCH_PIXELS = 100  # scrolled by one notch of a wheel
MAX_NOTCHES = 100
DIRECTIONS = ("down", "up", "left", "right")
Values = dict[str, object]


@dataclass(frozen=True)
class Field:
    """An argument of a call. The base class is a text without a meaning of its own.

    Attributes:
        key: its name.
        aliases: other accepted names.
        optional: a call may omit it, in prompts and in the grammar.
        form: its value in generated prompts; "" leaves it out.
        in_grammar: whether a constrained reply may hold it.
        attribute: the action's attribute that it sets, if it is a single one.
    """

    ATTRIBUTES: ClassVar[tuple[str, ...]] = ()

    key: str
    aliases: tuple[str, ...] = ()
    optional: bool = False
    form: str = ""
    in_grammar: bool = True
    attribute: str = ""

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes of the action that this argument sets."""
        return (self.attribute,) if self.attribute else self.ATTRIBUTES

    def parse(self, arguments: Arguments) -> Values:
        """Return the attributes' values."""
        return {}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        """Return the call's arguments, or None if they cannot express the action."""
        return {self.key: getattr(action, self.attribute)} if self.attribute else {}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        """Return the grammar of the value."""
        return grammar.text()


@dataclass(frozen=True)
class PointField(Field):
    """The place of an action."""

    ATTRIBUTES: ClassVar[tuple[str, ...]] = ("x", "y")

    def parse(self, arguments: Arguments) -> Values:
        if self.optional and arguments.get(self.key, *self.aliases) is None:
            return {}
        return dict(zip("xy", arguments.point(self.key, *self.aliases), strict=True))

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        x, y = getattr(action, "x", None), getattr(action, "y", None)
        if x is None or y is None:
            return {} if self.optional else None
        return {self.key: list(mapper.to_model(x, y))}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.point()


@dataclass(frozen=True)
class XYField(Field):
    """A place as two arguments, x and y; a point or a box may stand in place of x."""

    ATTRIBUTES: ClassVar = ("x", "y")

    key: str = "x"
    aliases: tuple[str, ...] = ("y",)

    def parse(self, arguments: Arguments) -> Values:
        if self.optional and arguments.values.get("x") is None and arguments.values.get("y") is None:
            return {}
        return dict(zip("xy", self.place(arguments), strict=True))

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        x, y = getattr(action, "x", None), getattr(action, "y", None)
        if x is None or y is None:
            return {} if self.optional else None
        return dict(zip("xy", mapper.to_model(x, y), strict=True))

    @staticmethod
    def place(arguments: Arguments) -> tuple[int, int]:
        """Return the pixel of the screen."""
        x, y = arguments.values.get("x"), arguments.values.get("y")
        return arguments.mapper.to_screen(x if y is None else [x, y], "x, y")


@dataclass(frozen=True)
class PathField(PointField):
    """A point of a drag, counted from the end of its path; optional: a shorter path starts after it."""

    ATTRIBUTES: ClassVar = ("path",)

    from_end: int = 0
    length: int = 2

    def parse(self, arguments: Arguments) -> Values:
        if self.optional and arguments.get(self.key, *self.aliases) is None:
            return {}
        return {"path": (arguments.point(self.key, *self.aliases),)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        path = getattr(action, "path", ())
        if len(path) > self.length or (len(path) <= self.from_end and not self.optional):
            return None
        return {self.key: list(mapper.to_model(*path[-1 - self.from_end]))} if len(path) > self.from_end else {}


@dataclass(frozen=True)
class TextField(Field):
    """A text. default: its value where the call omits it; nonempty: a constrained reply may not leave it empty."""

    attribute: str = "text"
    default: str | None = None
    nonempty: bool = False

    def parse(self, arguments: Arguments) -> Values:
        return {self.attribute: arguments.text(self.key, *self.aliases, default=self.default)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.some_text() if self.nonempty else grammar.text()


@dataclass(frozen=True)
class KeysField(Field):
    """Key names; chords: a constrained reply may also write one string such as "ctrl+c"."""

    attribute: str = "keys"
    chords: bool = False

    def parse(self, arguments: Arguments) -> Values:
        return {"keys": arguments.keys(self.key)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        keys: tuple[str, ...] = getattr(action, "keys", ())
        return None if any("+" in key for key in keys if len(key) > 1) else {self.key: list(keys)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.keys(chords=self.chords)


@dataclass(frozen=True)
class SecondsField(Field):
    """A duration."""

    attribute: str = "seconds"

    def parse(self, arguments: Arguments) -> Values:
        key = next((key for key in (self.key, *self.aliases) if arguments.get(key) is not None), self.key)
        if self.optional and arguments.get(key) is None:
            return {}  # the action has its own default
        return {"seconds": check_seconds(arguments.require("a number of seconds", key), key)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.seconds()


@dataclass(frozen=True)
class ChoiceField(Field):
    """One of some words, which are the attribute's values."""

    attribute: str = "status"
    options: tuple[str, ...] = ("success", "failure")

    def parse(self, arguments: Arguments) -> Values:
        return {self.attribute: arguments.choice(self.key, self.options)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.choice(self.options)


@dataclass(frozen=True)
class AmountField(Field):
    """How far to scroll: `unit` of the model's numbers per notch, negative where they count the other way."""

    attribute: str = "down"
    unit: int = -NOTCH_PIXELS
    most: int = MAX_NOTCHES * NOTCH_PIXELS

    def parse(self, arguments: Arguments) -> Values:
        if abs(self.unit) == 1:
            return {self.attribute: self.unit * arguments.amount(self.key, self.most)}
        value = arguments.number(self.key, "a number of pixels, positive up and negative down")
        if value == 0 or abs(value) > self.most:
            raise InvalidActionError(f"'{self.key}' must be -{self.most} to {self.most} and not 0, not {show(value)}")
        notches = max(1, round(abs(value) / abs(self.unit)))
        return {self.attribute: notches if value * self.unit > 0 else -notches}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        value = self.unit * getattr(action, self.attribute)
        return {self.key: value} if value and abs(value) <= self.most else None

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.amount(self.most)


@dataclass(frozen=True)
class FlagField(Field):
    """A switch that the row's `parse` reads; `words` are how it is written."""

    words: tuple[str, ...] = ("true", "false")

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.literal_choice(self.words)
