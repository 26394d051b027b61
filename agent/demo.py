"""Practice tasks for demonstrations, and how well the embedded model does them according to its card."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from envs.miniwob import pages

CARD = Path(__file__).parent.parent / "model" / "embedded" / "card.json"
FIRST_TASKS = ("login-user", "enter-date", "enter-password", "click-dialog-2")  # the visibly meaningful ones first
FIRST_TASK_RATE = 0.98  # success rate of the task that `agent demo` shows without a name
LINE_WIDTH = 100  # of a list of names


def default_task(card: Path | None = None) -> str:
    """Return the task of a demonstration without a name: the first of FIRST_TASKS that nearly always succeeds."""
    rates = success_rates(card)
    reliable = [task for task in FIRST_TASKS if _rate(rates.get(task, (0, 0))) >= FIRST_TASK_RATE]
    return reliable[0] if reliable else max(FIRST_TASKS, key=lambda task: _rate(rates.get(task, (0, 0))))


def _rate(figures: tuple[int, int]) -> float:
    successes, total = figures
    return successes / total if total else 0.0


def successful_seeds(task: str, card: Path | None = None) -> tuple[int, ...]:
    """Return the seeds that succeeded in the card's evaluation; () when the card does not list them."""
    entry, seeds = _read_card(card).get("tasks", {}).get(task, {}), _evaluated_seeds(card)
    if not seeds or "failed" not in entry:
        return ()
    failed = {*entry["failed"], *entry.get("broken", ())}
    return tuple(seed for seed in seeds if seed not in failed)


def format_tasks(card: Path | None = None) -> str:
    """Return a table of the evaluated tasks, the best first, and a list of the others."""
    rates = {task: figures for task, figures in success_rates(card).items() if figures[1]}
    by_rate = sorted(rates, key=lambda task: (-_rate(rates[task]), task))
    others = [task for task in pages.names() if task not in rates]
    lines = [_heading(card) if rates else "The embedded model's card has no figures."]
    lines += [f"  {task:28} {rates[task][0]} of {rates[task][1]}" for task in by_rate]
    lines += [
        "",
        f'{len(others)} other tasks were not evaluated; try one with: agent run "" --url miniwob:TASK --model MODEL',
    ]
    names = textwrap.wrap(", ".join(others), LINE_WIDTH, break_on_hyphens=False)
    return "\n".join([*lines, *(f"  {line}" for line in names)])


def success_rates(card: Path | None = None) -> dict[str, tuple[int, int]]:
    """Return (successes, evaluated seeds) by task, in the card's order; {} when it has no figures."""
    try:
        tasks = _read_card(card).get("tasks", {})
        return {task: (int(entry["success"]), int(entry["total"])) for task, entry in tasks.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _card_error(card, error) from None


def _heading(card: Path | None) -> str:
    """Return a line about the figures: the metric, the seeds, and the command that reproduces them."""
    seeds = _evaluated_seeds(card)
    seeds_text = f"seeds {seeds[0]} to {seeds[-1]}" if seeds else "seeds"
    command_option = f" --seeds {seeds.start}:{seeds.stop}" if seeds else ""
    return (
        f"Pages on which the embedded model reached the full reward, on {seeds_text} that it was not trained on "
        f"(agent eval miniwob{command_option}):"
    )


def _evaluated_seeds(card: Path | None) -> range:
    """Return the seeds of the card's figures; an empty range when it does not name them."""
    match = re.fullmatch(r"(\d+) to (\d+)", str(_read_card(card).get("seeds", "")))
    return range(int(match[1]), int(match[2]) + 1) if match else range(0)


def _read_card(card: Path | None) -> Mapping[str, Any]:
    card = card or CARD
    if not card.exists():
        return {}
    try:
        data = json.loads(card.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError) as error:
        raise _card_error(card, error) from None
    return data


def _card_error(card: Path | None, error: Exception) -> UsageError:
    return UsageError(f"the model card {card or CARD} cannot be read ({error}); install pixelhand again")
