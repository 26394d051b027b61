"""Which practice pages there are, how well the embedded model does them, and which one a goal evidently means.

Knows the checkpoint's card; knows no model and no browser.
"""

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
BOOKING = "book-flight"
PLAIN = "click-dialog-2"  # shown as long as no flight was ever booked
WIDTH = 100  # of a line with names

# Goals, as words in lower case, that mean a practice page beyond doubt; the first that matches the whole goal.
PAGES: tuple[tuple[str, str], ...] = (
    (r"(.* )?(book|reserve)( \w+){0,3} flights?( .*)?", BOOKING),
    (r"(log|sign) ?in", "login-user"),
    (r"(enter|type)( a| the| my)? password", "enter-password"),
    (r"(enter|type)( a| the)? date", "enter-date"),
    (r"(enter|type)( a| the| some)? text", "enter-text"),
    (r"(pick|choose)( a| the)? date", "choose-date"),
    (r"close( a| the)? dialog", "click-dialog"),
    (r"(click|press)( a| the)? button", "click-button"),
    (r"(click|open|follow)( a| the)? link", "click-link"),
)


def default_task(card: Path | None = None) -> str:
    """The task of a demonstration that names none: the flight, once the card says that the model has booked one."""
    return BOOKING if has_success(BOOKING, card) else PLAIN


def has_success(task: str, card: Path | None = None) -> bool:
    """Whether the model brought a page of the task to its reward, on the card's seeds."""
    return success_rates(card).get(task, (0, 0))[0] > 0


def page_for(goal: str, card: Path | None = None) -> str:
    """The practice task that a goal evidently means; "" where it means none, or one that the model never managed."""
    words = " ".join(re.findall(r"\w+", goal.lower()))
    task = next((task for pattern, task in PAGES if re.fullmatch(pattern, words)), "")
    return task if has_success(task, card) else ""


def instead(task: str, card: Path | None = None) -> str:
    """What is done in place of a goal on the person's own screen, and how well."""
    won, total = success_rates(card)[task]
    figure = f"right on {won} of {total} unseen ones"
    return f"the embedded model does practice:{task} ({figure}), asked for that page's own goal and not for yours"


def successful_seeds(task: str, card: Path | None = None) -> tuple[int, ...]:
    """Seeds of the card's that the model did right; () where the card does not tell them."""
    figure, seeds = _read(card).get("tasks", {}).get(task, {}), _seeds(card)
    if not seeds or "failed" not in figure:
        return ()
    wrong = {*figure["failed"], *figure.get("broken", ())}
    return tuple(seed for seed in seeds if seed not in wrong)


def format_tasks(card: Path | None = None) -> str:
    """The practice tasks that the embedded model was measured on, the best first, then the others."""
    figures = {task: (won, total) for task, (won, total) in success_rates(card).items() if total}
    best = sorted(figures, key=lambda task: (-figures[task][0] / figures[task][1], task))
    others = [task for task in pages.names() if task not in figures]
    lines = [_what_they_are(card) if figures else "The embedded model's card has no figures."]
    lines += [f"  {task:28} {figures[task][0]} of {figures[task][1]}" for task in best]
    lines += [
        "",
        f'{len(others)} others untried; with a model that may do them: agent run "" --url practice:TASK --model M',
    ]
    names = textwrap.wrap(", ".join(others), WIDTH, break_on_hyphens=False)
    return "\n".join([*lines, *(f"  {line}" for line in names)])


def success_rates(card: Path | None = None) -> dict[str, tuple[int, int]]:
    """Task -> (successes, seeds tried), from the card and in its order; {} when it has no figures."""
    try:
        tasks = _read(card).get("tasks", {})
        return {task: (int(figure["success"]), int(figure["total"])) for task, figure in tasks.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(card, error) from None


def _what_they_are(card: Path | None) -> str:
    """A line about the figures: what counts, on which seeds, and the command that measures them again."""
    seeds = _seeds(card)
    which = f"on seeds {seeds[0]} to {seeds[-1]}" if seeds else "on seeds"
    again = f" --seeds {seeds.start}:{seeds.stop}" if seeds else ""
    return (
        f"How many pages the embedded model brought to their own reward of 1, {which} it was never trained on "
        f"(agent eval miniwob{again}):"
    )


def _seeds(card: Path | None) -> range:
    """Those that the card's figures are of; empty where it does not say."""
    found = re.fullmatch(r"(\d+) to (\d+)", str(_read(card).get("seeds", "")))
    return range(int(found[1]), int(found[2]) + 1) if found else range(0)


def _read(card: Path | None) -> Mapping[str, Any]:
    card = card or CARD
    if not card.exists():
        return {}
    try:
        data = json.loads(card.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError) as error:
        raise _damaged(card, error) from None
    return data


def _damaged(card: Path | None, error: Exception) -> UsageError:
    return UsageError(f"the card {card or CARD} cannot be read ({error}); install the package again")
