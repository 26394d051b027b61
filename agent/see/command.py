"""What the commands of `agent see` share: loading the model, and printing."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.config import Settings
    from agent.policies.base import Policy


@contextmanager
def open_policy(settings: Settings, default_model: str = "", other_problems: Sequence[str] = ()) -> Iterator[Policy]:
    """Load the model of the settings, and close it afterwards.

    Args:
        settings: The settings.
        default_model: The model where the settings name none; "" requires one.
        other_problems: What else is wrong with the command, reported together with the model's problems.

    Raises:
        UsageError: No model is named, it cannot be loaded, or there are other problems.
    """
    from actions import UsageError
    from agent.preflight import NO_MODEL, model_problems
    from agent.session import policy_from_settings

    settings = replace(settings, model=settings.model or default_model)
    problems = [*(model_problems(settings) if settings.model else [NO_MODEL]), *other_problems]
    if problems:
        raise UsageError("\n".join(problems))
    with closing(policy_from_settings(settings, on_status=print_note)) as policy:
        yield policy


def print_json(data: object) -> None:
    """Print JSON data, with every character escaped that acts on a terminal."""
    from json import dumps

    text = dumps(data, ensure_ascii=False, indent=2)
    print("".join(char if char.isprintable() or char == "\n" else dumps(char)[1:-1] for char in text))


def print_note(text: str) -> None:
    """Print one sentence on standard error."""
    from agent.ui.formatting import sanitize

    print(sanitize(text), file=sys.stderr)
