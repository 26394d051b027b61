"""Check the arguments of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actions import InvalidActionError
from actions.suggest import suggest
from actions.types import MAX_WAIT_S
from model.dialects.parts.coordinates import CoordinateMapper
from model.wire.points import Number, parse_number, show


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
        chosen = next((option for option in options if plain == option.lower()), None)
        if chosen is None:
            raise InvalidActionError(f"'{key}' must be one of {', '.join(options)}, not {show(value)}")
        return chosen


def check_seconds(value: object, key: str) -> float:
    """Return a duration, which may be written as text, or raise InvalidActionError."""
    value = parse_number(value) if isinstance(value, str) and parse_number(value) is not None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_WAIT_S:
        raise InvalidActionError(f"'{key}' must be 0 to {MAX_WAIT_S:g} seconds, not {show(value)}")
    return float(value)


def check_unknown(name: str, values: Mapping[str, object], known: Sequence[str], ignored: Sequence[str] = ()) -> None:
    """Raise InvalidActionError for an argument that a call does not take; empty values are ignored."""
    for key, value in values.items():
        if key not in known and key not in ignored and value:
            names = ", ".join(f"'{key}'" for key in known) or "nothing"
            raise InvalidActionError(f"{name} takes {names} only, not {show(key)}; do that in a call of its own")


def unknown_name(name: object, known: Sequence[str], kind: str = "action") -> InvalidActionError:
    """Return the error for a name that is not among the known ones, with the nearest."""
    hint = suggest(name[:40], known) if isinstance(name, str) else ""
    return InvalidActionError(
        f"there is no {kind} {show(name)}{f'.{hint}' if hint else '; the ' + kind + 's are ' + ', '.join(known)}"
    )
