"""Suggest the nearest valid name for a misspelled one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the option nearest to `name`, or "" when none is near."""
    matches = difflib.get_close_matches(name, list(options), n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""
