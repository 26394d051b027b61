"""Typed values of config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actions import UsageError


@dataclass(frozen=True)
class ConfigSection:
    """A part of config.json with typed getters that raise UsageError for a missing or invalid value."""

    data: Mapping[str, object]
    source: str
    prefix: str = ""  # of the keys in error messages

    def size(self, key: str, default: int | None = None, minimum: int = 1, maximum: int = 10**8) -> int:
        """Return a whole number; null counts as missing."""
        value = self.data.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise self._error(key, f"a whole number of {minimum} to {maximum}")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a positive, finite number."""
        value = self.data.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise self._error(key, "a positive number")
        return value

    def sizes(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return a list of non-negative whole numbers."""
        value = self.data.get(key)
        value = default if value is None else value
        if isinstance(value, list | tuple) and all(type(item) is int and 0 <= item < 10**8 for item in value):
            return tuple(value)
        raise self._error(key, "a list of whole numbers")

    def flag(self, key: str, default: bool) -> bool:
        """Return a boolean."""
        value = self.data.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self._error(key, "true or false")
        return value

    def one_of(self, key: str, *supported: str) -> None:
        """Raise UsageError unless the value is missing or one of the supported ones."""
        if self.data.get(key) not in (None, *supported):
            raise UsageError(
                f"{self.source}: {self.prefix}{key} is {self.data[key]!r:.60}; "
                f"only {' and '.join(supported)} can be run"
            )

    def _error(self, key: str, expected: str) -> UsageError:
        value = self.data.get(key)
        return UsageError(
            f"{self.source}: {self.prefix}{key} must be {expected}, not {value!r:.60}; download the checkpoint again"
        )
