"""Which practice tasks there are, and how well the embedded model does them. Knows the checkpoint's card."""

from __future__ import annotations

import json
from pathlib import Path

from actions import UsageError
from envs import practice

CARD = Path(__file__).parent.parent / "model" / "embedded" / "card.json"


def listing(card: Path = CARD) -> str:
    """The practice tasks, those first that the embedded checkpoint was measured on, with its figures."""
    figures = measured(card)
    lines = [f"{task:24} {won} of {total} unseen seeds" for task, (won, total) in figures.items()]
    others = [task for task in practice.names() if task not in figures]
    head = "Measured with the embedded model:" if figures else "The embedded model's card has no figures."
    rest = 'Practice pages for larger models (agent run "" --url practice:TASK --model ...):'
    return "\n".join([head, *(f"  {line}" for line in lines), "", rest, *(f"  {task}" for task in others)])


def measured(card: Path = CARD) -> dict[str, tuple[int, int]]:
    """Task -> (successes, seeds tried), from the card; {} when it has no figures."""
    if not card.exists():
        return {}
    try:
        tasks = json.loads(card.read_text(encoding="utf-8")).get("tasks", {})
        return {task: (int(figure["success"]), int(figure["total"])) for task, figure in tasks.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the card {card} cannot be read ({error}); install the package again") from None
