"""The arguments of calls, each mapped to the attributes of an action in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from actions import Action, InvalidActionError, Screen
from model.dialects.base import Values
from model.dialects.parts.arguments import Arguments, check_seconds
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.grammar import GrammarBuilder, Rule
from model.dialects.parts.schema import Schema, value_schema
from model.wire.points import Number, show

NOTCH_PIXELS = 100  # scrolled by one notch of a wheel
MAX_NOTCHES = 100
DIRECTIONS = ("down", "up", "left", "right")


@dataclass(frozen=True)
class Field:
    """An argument of a call. The base class is a text without a meaning of its own."""

    ATTRIBUTES: ClassVar[tuple[str, ...]] = ()
    TYPE: ClassVar[str] = "string"  # of JSON
    key: str
    aliases: tuple[str, ...] = ()  # other accepted names
    optional: bool = False  # a call may omit it, in prompts and in the grammar
    form: str = ""  # its value in generated prompts; "" leaves it out
    in_grammar: bool = True  # whether a constrained reply may hold it
    attribute: str = ""  # the action's attribute that it sets, if it is a single one
    description: str = ""  # in JSON schemas
    options: tuple[str, ...] = ()  # the words that it may be; () for any text
    lark: Callable[[GrammarBuilder], Rule] | None = None  # replaces the grammar of the value

    @property
    def schema(self) -> Schema:
        """The JSON schema of the value."""
        enum = {"enum": list(self.options)} if self.options else {}
        return {**value_schema(self.description, self.TYPE), **enum}

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
        return grammar.choice(self.options) if self.options else grammar.text()

    def is_missing(self, arguments: Arguments) -> bool:
        return arguments.get(self.key, *self.aliases) is None


@dataclass(frozen=True)
class PointField(Field):
    """The place of an action."""

    ATTRIBUTES: ClassVar[tuple[str, ...]] = ("x", "y")
    TYPE: ClassVar = "array"
    description: str = "[x, y] in pixels: x from the screen's left edge, y from its top edge."

    def parse(self, arguments: Arguments) -> Values:
        is_omitted = self.optional and self.is_missing(arguments)
        return {} if is_omitted else dict(zip("xy", self.place(arguments), strict=True))

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        x, y = getattr(action, "x", None), getattr(action, "y", None)
        if x is None or y is None:
            return {} if self.optional else None
        return self.write(mapper.to_model(x, y))

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.point()

    def place(self, arguments: Arguments) -> tuple[int, int]:
        """Return the pixel of the screen."""
        return arguments.point(self.key, *self.aliases)

    def write(self, point: tuple[Number, Number]) -> Values:
        """Return the arguments for a point in the model's space."""
        return {self.key: list(point)}


@dataclass(frozen=True)
class XYField(PointField):
    """A place as two arguments, x and y; a point or a box may stand in place of x. In grammars y is another field."""

    key: str = "x"
    aliases: tuple[str, ...] = ("y",)

    def is_missing(self, arguments: Arguments) -> bool:
        return arguments.values.get("x") is None and arguments.values.get("y") is None

    def place(self, arguments: Arguments) -> tuple[int, int]:
        x, y = arguments.values.get("x"), arguments.values.get("y")
        return arguments.mapper.to_screen(x if y is None else [x, y], "x, y")

    def write(self, point: tuple[Number, Number]) -> Values:
        return dict(zip("xy", point, strict=True))

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return Rule(grammar.x(), grammar.digits)


@dataclass(frozen=True)
class PathField(PointField):
    """A point of a drag, counted from the end of its path; optional: a shorter path starts after it."""

    ATTRIBUTES: ClassVar[tuple[str, ...]] = ("path",)
    from_end: int = 0
    length: int = 2

    def parse(self, arguments: Arguments) -> Values:
        return {} if self.optional and self.is_missing(arguments) else {"path": (self.place(arguments),)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        path = getattr(action, "path", ())
        if len(path) > self.length or (len(path) <= self.from_end and not self.optional):
            return None
        return self.write(mapper.to_model(*path[-1 - self.from_end])) if len(path) > self.from_end else {}


@dataclass(frozen=True)
class TextField(Field):
    """A text."""

    attribute: str = "text"  # "" if the action has no place for it
    description: str = "What to type."
    default: str | None = None  # where the call omits it
    nonempty: bool = False  # a constrained reply may not leave it empty

    def parse(self, arguments: Arguments) -> Values:
        text = arguments.text(self.key, *self.aliases, default=self.default)
        return {self.attribute: text} if self.attribute else {}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.some_text() if self.nonempty else grammar.text()


@dataclass(frozen=True)
class KeysField(Field):
    """Key names; chords: a constrained reply may also write one string such as "ctrl+c"."""

    TYPE: ClassVar = "array"
    attribute: str = "keys"
    description: str = "Names of keys."
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
    """A duration. default: its value where the call omits it, if it is not the action's own."""

    TYPE: ClassVar = "number"
    attribute: str = "seconds"
    description: str = "Seconds."
    default: float | None = None

    def parse(self, arguments: Arguments) -> Values:
        if self.default is not None:
            return {"seconds": check_seconds(arguments.values.get(self.key, self.default), self.key)}
        if self.optional and self.is_missing(arguments):
            return {}  # the action has its own default
        key = next((key for key in (self.key, *self.aliases) if arguments.get(key) is not None), self.key)
        return {"seconds": check_seconds(arguments.require("a number of seconds", key), key)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.seconds()


@dataclass(frozen=True)
class ChoiceField(Field):
    """One of some words: the attribute's values, or what the family writes for them."""

    attribute: str = "status"
    description: str = "How the task ended."
    options: tuple[str, ...] = ("success", "failure")
    written: Mapping[str, str] = field(default_factory=dict)  # a value -> its word, if that is another

    def parse(self, arguments: Arguments) -> Values:
        values = {word: value for value, word in self.written.items()}
        word = arguments.choice(self.key, (*self.words, *self.written))
        return {self.attribute: values.get(word, word)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        value = getattr(action, self.attribute)
        return {self.key: self.written.get(value, value)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.choice(self.words)

    @property
    def words(self) -> tuple[str, ...]:
        """The words as the family writes them."""
        return tuple(self.written.get(value, value) for value in self.options)


STATUS = ChoiceField("status")


@dataclass(frozen=True)
class AmountField(Field):
    """How far to scroll."""

    TYPE: ClassVar = "number"
    attribute: str = "down"
    description: str = "How far to scroll: positive up, negative down."
    unit: int = -NOTCH_PIXELS  # of the model's numbers per notch, negative where they count the other way
    most: int = 0  # the greatest number; 0 for that of MAX_NOTCHES

    @property
    def limit(self) -> int:
        return self.most or MAX_NOTCHES * abs(self.unit)

    def parse(self, arguments: Arguments) -> Values:
        if abs(self.unit) == 1:
            return {self.attribute: self.unit * arguments.amount(self.key, self.limit)}
        value = arguments.number(self.key, "a number of pixels, positive up and negative down")
        if value == 0 or abs(value) > self.limit:
            raise InvalidActionError(f"'{self.key}' must be -{self.limit} to {self.limit} and not 0, not {show(value)}")
        notches = max(1, round(abs(value) / abs(self.unit)))
        return {self.attribute: notches if value * self.unit > 0 else -notches}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        value = self.unit * getattr(action, self.attribute)
        return {self.key: value} if value and abs(value) <= self.limit else None

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.amount(self.limit)


@dataclass(frozen=True)
class FlagField(Field):
    """A switch of `type_actions`; `words` are how it is written. A call for a text alone turns it off."""

    optional: bool = True
    default: bool = False
    words: tuple[str, ...] = ("true", "false")

    @property
    def schema(self) -> Schema:
        return value_schema(self.description, "boolean" if "true" in self.words else "number")

    def parse(self, arguments: Arguments) -> Values:
        return {self.attribute: arguments.flag(self.key, self.default)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: False} if self.default else {}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.literal_choice(self.words)


@dataclass(frozen=True)
class DirectionField(Field):
    """The direction of a scroll by `notches`, or by a page if 0. default: the direction where the call omits it."""

    ATTRIBUTES: ClassVar[tuple[str, ...]] = ("down", "right")
    options: tuple[str, ...] = DIRECTIONS
    notches: int = 0
    default: str = ""

    def parse(self, arguments: Arguments) -> Values:
        is_default = self.default and self.key not in arguments.values
        direction = self.default if is_default else arguments.choice(self.key, self.options)
        return {**self.scroll(direction, arguments.mapper.screen)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        amounts = {name: value for name in self.ATTRIBUTES if (value := getattr(action, name, 0))}
        direction = next((name for name in self.options if self.scroll(name, mapper.screen) == amounts), None)
        return None if direction is None else {self.key: direction}

    def scroll(self, direction: str, screen: Screen) -> dict[str, int]:
        """Return the attributes of a scroll in a direction."""
        return scroll_by(direction, self.notches or page_notches(direction, screen))


def scroll_by(direction: str, notches: int) -> dict[str, int]:
    """Return the attributes of a scroll."""
    return {"down" if direction in ("down", "up") else "right": notches if direction in ("down", "right") else -notches}


def page_notches(direction: str, screen: Screen) -> int:
    """Return the notches of about one screen, for families that give no amount."""
    pixels = screen.height if direction in ("down", "up") else screen.width
    return min(MAX_NOTCHES, max(1, round(pixels / NOTCH_PIXELS)))
