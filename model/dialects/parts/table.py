"""Two-way action tables: one row per call of a family, from which parsing, formatting, schema and grammar follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from actions import CONTROL_ACTIONS, Action, InvalidActionError, make_action
from actions.suggest import suggest
from actions.types import MAX_WAIT_S
from model.dialects.parts.coordinates import CoordinateMapper, Number, parse_number, show
from model.dialects.parts.grammar import GrammarBuilder, Rule

NOTCH_PIXELS = 100  # scrolled by one notch of a wheel
MAX_NOTCHES = 100
DIRECTIONS = ("down", "up", "left", "right")
Values = dict[str, object]


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call; each method returns a checked value or raises InvalidActionError.

    lenient: empty values count as missing and numbers as text, as in the families that write calls without JSON.
    """

    name: str
    values: Mapping[str, object]
    mapper: CoordinateMapper
    thought: str = ""
    lenient: bool = False

    def get(self, *keys: str) -> object:
        """Return the value under the first of the keys that is present, or None."""
        for key in keys:
            value = self.values.get(key)
            if value or (value is not None and not self.lenient):
                return value
        return None

    def require(self, description: str, *keys: str) -> object:
        value = self.get(*keys)
        if value is None:
            raise InvalidActionError(f"{self.name} needs '{keys[0]}': {description}")
        return value

    def point(self, *keys: str) -> tuple[int, int]:
        """Return a pixel of the screen."""
        present = next((key for key in keys if self.get(key) is not None), keys[0])
        return self.mapper.to_screen(self.require("a point [x, y]", present, *keys[1:]), present)

    def text(self, *keys: str, default: str | None = None) -> str:
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, str):
                return value
            if self.lenient and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
                return str(value)  # content=2024: an unquoted number
            if value is not None:
                raise InvalidActionError(f"'{key}' must be a string, not {show(value)}")
        if default is None:
            raise InvalidActionError(f"{self.name} needs '{keys[0]}': a string")
        return default

    def keys(self, key: str = "keys") -> tuple[str, ...]:
        """Return key names; a chord may also be one string such as "ctrl+c"."""
        value = self.require('a list of key names such as ["ctrl", "c"]', key)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise InvalidActionError(f"'{key}' must be a list of key names, not {show(value)}")
        return tuple(part for name in names[:9] for part in ([name] if len(name) < 2 else name[:400].split("+")))

    def number(self, key: str, description: str) -> Number:
        value = self.require(description, key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise InvalidActionError(f"'{key}' must be {description}, not {show(value)}")
        return value

    def amount(self, key: str, most: int) -> int:
        """Return a signed amount of at most `most`; less than 1 is an error."""
        value = self.number(key, "a number")
        if not 1 <= abs(value) <= most:
            raise InvalidActionError(f"'{key}' must be -{most} to {most} and not 0, not {show(value)}")
        return round(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean; 1 and 0 are accepted."""
        value = self.values.get(key, default)
        if value not in (0, 1):  # True and False are 1 and 0
            raise InvalidActionError(f"'{key}' must be true or false, not {show(value)}")
        return bool(value)

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        value = default if self.get(key) is None and default is not None else self.require(" or ".join(options), key)
        plain = value.strip().lower() if isinstance(value, str) else value
        found = next((option for option in options if plain == option.lower()), None)
        if found is None:
            raise InvalidActionError(f"'{key}' must be one of {', '.join(options)}, not {show(value)}")
        return found


def check_seconds(value: object, key: str) -> float:
    """Return a duration, which may be written as text, or raise InvalidActionError."""
    value = parse_number(value) if isinstance(value, str) and parse_number(value) is not None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_WAIT_S:
        raise InvalidActionError(f"'{key}' must be 0 to {MAX_WAIT_S:g} seconds, not {show(value)}")
    return float(value)


@dataclass(frozen=True)
class Field:
    """An argument of a call. The base class is an argument without a meaning of its own.

    optional: a call may omit it, in prompts and in the grammar; aliases: other accepted names; form: its value in
    generated prompts, "" to leave it out; in_grammar: whether a constrained reply may hold it.
    """

    key: str
    aliases: tuple[str, ...] = ()
    optional: bool = False
    form: str = ""
    in_grammar: bool = True

    @property
    def attributes(self) -> tuple[str, ...]:
        """The action's attributes that this argument sets."""
        return ()

    def parse(self, arguments: Arguments) -> Values:
        """Return the attributes' values."""
        return {}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        """Return the call's arguments, or None if they cannot express the action."""
        return {}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.text()


@dataclass(frozen=True)
class PointField(Field):
    """The place of an action."""

    @property
    def attributes(self) -> tuple[str, ...]:
        return ("x", "y")

    def parse(self, arguments: Arguments) -> Values:
        if self.optional and arguments.get(self.key, *self.aliases) is None:
            return {}
        x, y = arguments.point(self.key, *self.aliases)
        return {"x": x, "y": y}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        x, y = getattr(action, "x", None), getattr(action, "y", None)
        if x is None or y is None:
            return {} if self.optional else None
        return {self.key: list(mapper.to_model(x, y))}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.point()


@dataclass(frozen=True)
class PathField(PointField):
    """A point of a drag, counted from the end of its path; optional: a shorter path starts after it."""

    from_end: int = 0
    length: int = 2

    @property
    def attributes(self) -> tuple[str, ...]:
        return ("path",)

    def parse(self, arguments: Arguments) -> Values:
        if self.optional and arguments.get(self.key, *self.aliases) is None:
            return {}
        return {"path": (arguments.point(self.key, *self.aliases),)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        path = getattr(action, "path", ())
        if len(path) > self.length:
            return None
        if len(path) <= self.from_end:
            return {} if self.optional else None
        return {self.key: list(mapper.to_model(*path[-1 - self.from_end]))}


@dataclass(frozen=True)
class TextField(Field):
    """A text. default: its value where the call omits it; nonempty: a constrained reply may not leave it empty."""

    attribute: str = "text"
    default: str | None = None
    nonempty: bool = False

    @property
    def attributes(self) -> tuple[str, ...]:
        return (self.attribute,)

    def parse(self, arguments: Arguments) -> Values:
        return {self.attribute: arguments.text(self.key, *self.aliases, default=self.default)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: getattr(action, self.attribute)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.some_text() if self.nonempty else grammar.text()


@dataclass(frozen=True)
class KeysField(Field):
    """Key names; chords: a constrained reply may also write one string such as "ctrl+c"."""

    chords: bool = False

    @property
    def attributes(self) -> tuple[str, ...]:
        return ("keys",)

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

    @property
    def attributes(self) -> tuple[str, ...]:
        return ("seconds",)

    def parse(self, arguments: Arguments) -> Values:
        key = next((key for key in (self.key, *self.aliases) if arguments.get(key) is not None), None)
        if key is None and self.optional:
            return {}  # the action has its own default
        return {"seconds": check_seconds(arguments.require("a number of seconds", key or self.key), key or self.key)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: getattr(action, "seconds", None)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.seconds()


@dataclass(frozen=True)
class ChoiceField(Field):
    """One of some words, which are the attribute's values."""

    attribute: str = "status"
    options: tuple[str, ...] = ("success", "failure")

    @property
    def attributes(self) -> tuple[str, ...]:
        return (self.attribute,)

    def parse(self, arguments: Arguments) -> Values:
        return {self.attribute: arguments.choice(self.key, self.options)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: getattr(action, self.attribute)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.choice(self.options)


@dataclass(frozen=True)
class AmountField(Field):
    """How far to scroll: `unit` of the model's numbers per notch, negative where they count the other way."""

    attribute: str = "down"
    unit: int = -NOTCH_PIXELS
    most: int = MAX_NOTCHES * NOTCH_PIXELS

    @property
    def attributes(self) -> tuple[str, ...]:
        return (self.attribute,)

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
    """A switch that a `parse` hook reads; `words` are how it is written, the default last."""

    words: tuple[str, ...] = ("true", "false")

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.literal_choice(self.words)


Result = Action | tuple[Action, ...]


@dataclass(frozen=True)
class ActionSpec:
    """One row: a call by its name, the action it stands for, and how its arguments map to the action's attributes.

    Attributes:
        name: as the model writes it.
        verb: of the action.
        fields: the arguments, in the order in which they are written.
        description: for prompts.
        constants: attributes that the name alone determines.
        offered: listed in prompts and in the grammar where the surface has the verb; other rows are only understood.
        needs: verbs of which the surface must have one, if not the row's own.
        parse: replaces the mapping of fields, for calls that mean several actions or are computed.
        format: replaces the mapping of fields the other way.
        writes: whether format_action may use the row.
    """

    name: str
    verb: str
    fields: tuple[Field, ...] = ()
    description: str = ""
    constants: Mapping[str, object] = field(default_factory=dict)
    offered: bool = True
    needs: tuple[str, ...] = ()
    parse: Callable[[Arguments], Result] | None = None
    format: Callable[[Action, CoordinateMapper], Values | None] | None = None
    writes: bool = True

    @property
    def verbs(self) -> tuple[str, ...]:
        return self.needs or (self.verb,)

    @property
    def keys(self) -> tuple[str, ...]:
        """All accepted names of arguments."""
        return tuple(key for argument in self.fields for key in (argument.key, *argument.aliases))

    def to_actions(self, arguments: Arguments) -> Result:
        if self.parse is not None:
            return self.parse(arguments)
        attributes: Values = dict(self.constants)
        path: tuple[object, ...] = ()
        for argument in self.fields:
            values = argument.parse(arguments)
            points = values.pop("path", ())
            path += points if isinstance(points, tuple) else ()
            attributes |= values
        action: Action = make_action(self.verb, **attributes, **({"path": path} if path else {}))
        return action

    def arguments_for(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        """Return the call's arguments for an action, or None if this row cannot express it."""
        if not self.writes or action.verb not in (self.verb, *self.needs):
            return None
        if self.format is not None:
            return self.format(action, mapper)
        if action.verb != self.verb:
            return None
        names = [*self.constants, *(name for argument in self.fields for name in argument.attributes)]
        expressed = {**{name: getattr(action, name) for name in names}, **self.constants}
        if action != make_action(self.verb, **expressed):
            return None
        values: Values = {}
        for argument in self.fields:
            written = argument.format(action, mapper)
            if written is None:
                return None
            values |= written
        return values


class ActionTable:
    """The rows of one tool. Several rows may not share a name."""

    def __init__(self, *rows: ActionSpec) -> None:
        self.rows = {row.name: row for row in rows}

    def offered(self, verbs: frozenset[str]) -> list[ActionSpec]:
        """Return the rows to list in a prompt for a surface with these verbs."""
        available = verbs | CONTROL_ACTIONS
        return [row for row in self.rows.values() if row.offered and available.intersection(row.verbs)]

    def format(self, action: Action, mapper: CoordinateMapper) -> tuple[str, Values] | None:
        """Return the name and the arguments of the first row that can express an action."""
        for row in self.rows.values():
            values = row.arguments_for(action, mapper)
            if values is not None:
                return row.name, values
        return None

    def find(self, name: object, kind: str = "action") -> ActionSpec:
        row = self.rows.get(name) if isinstance(name, str) else None
        if row is None:
            raise unknown_name(name, [row.name for row in self.rows.values() if row.offered] or [*self.rows], kind)
        return row

    def to_actions(self, row: ActionSpec, arguments: Arguments, ignored: Sequence[str] = ()) -> Result:
        check_unknown(row.name, arguments.values, row.keys, ignored)
        return row.to_actions(arguments)


def check_unknown(name: str, values: Mapping[str, object], known: Sequence[str], ignored: Sequence[str] = ()) -> None:
    """Raise InvalidActionError for an argument that a call does not take; empty values are ignored."""
    for key, value in values.items():
        if key not in known and key not in ignored and value:
            names = ", ".join(f"'{key}'" for key in known) or "nothing"
            raise InvalidActionError(f"{name} takes {names} only, not {show(key)}; do that in a call of its own")


def unknown_name(name: object, known: Sequence[str], kind: str = "action") -> InvalidActionError:
    hint = suggest(name[:40], known) if isinstance(name, str) else ""
    return InvalidActionError(
        f"there is no {kind} {show(name)}{f'.{hint}' if hint else '; the ' + kind + 's are ' + ', '.join(known)}"
    )
