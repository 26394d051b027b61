"""Actions, times and foreign text as words for a person's terminal. Knows no terminal and no machine."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from actions import Answer, Ask, Click, Done, Drag, LongPress, Move, Open, PressKeys, Scroll, TypeText, Wait

MAX_TEXT_CHARS = 200  # characters of a text that an action carries
NO_LIMIT = 100_000  # more than any action carries: for who decides, nothing is left out
_KEYS = str.maketrans({"\n": "⏎", "\t": "⇥"})


def sanitize(text: object, limit: int = 2000) -> str:
    """Text of a page or a model on one line, safe for a terminal: no control, format or escape characters act there."""
    shown = "".join(
        " " if c in "\n\t\r" else c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else "�"
        for c in str(text)[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def sanitize_lines(text: str) -> str:
    """The same for a sentence of ours, which may have lines: what it quotes may be of a page, a model or a server."""
    return "\n".join(sanitize(line, NO_LIMIT) for line in text.split("\n"))


def describe_action(action: Any, limit: int = MAX_TEXT_CHARS) -> str:
    """What an action does, in a few words: 'click (12, 40)', 'press ctrl+c'. Of its texts, limit characters at most.

    A new line and a tab in what is typed are shown as the keys that they are: ⏎ and ⇥.
    """
    match action:
        case None:
            return "none"
        case Click(x=x, y=y, button=button, count=count, modifiers=modifiers):
            times = {1: "", 2: "double-", 3: "triple-"}[count]
            return f"{_held(modifiers)}{times}{'' if button == 'left' else button + '-'}click ({x}, {y})"
        case Move(x=x, y=y):
            return f"move to ({x}, {y})"
        case Drag(path=path, modifiers=modifiers):
            start = "the pointer" if len(path) == 1 else f"({path[0].x}, {path[0].y})"
            between = f" through {len(path) - 2} more" if len(path) > 2 else ""
            return f"{_held(modifiers)}drag from {start}{between} to ({path[-1].x}, {path[-1].y})"
        case Scroll(x=x, y=y, down=down, right=right):
            moves = [f"{'up' if down < 0 else 'down'} {abs(down)}"] if down or not right else []
            moves += [f"{'left' if right < 0 else 'right'} {abs(right)}"] if right else []
            return f"scroll {' and '.join(moves)}" + ("" if x is None else f" at ({x}, {y})")
        case LongPress(x=x, y=y, seconds=duration):
            return f"press ({x}, {y}) for {duration:g} s"
        case TypeText(text=text):
            return f'type "{sanitize(text.translate(_KEYS), limit)}"'
        case PressKeys(keys=keys):
            return f"press {'+'.join(keys)}"
        case Open(target=target):
            return f"open {sanitize(target, limit)}"
        case Wait(seconds=duration):
            return f"wait {duration:g} s"
        case Answer(text=text):
            return f'answer "{sanitize(text, limit)}"'
        case Ask(question=question):
            return f'ask "{sanitize(question, limit)}"'
        case Done(status=status, message=message):
            return f"done: {status}" + (f' ("{sanitize(message, limit)}")' if message else "")
        case _:
            return str(action.verb).replace("_", " ")


def _held(modifiers: tuple[str, ...]) -> str:
    return "".join(f"{key}+" for key in modifiers)


def format_duration(value: float) -> str:
    """Seconds with as many digits as matter: 32 ms, 1.4 s, 12 s, 2 min 05 s."""
    if value >= 59.5:
        return f"{round(value) // 60} min {round(value) % 60:02d} s"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"


def format_timings(timings_s: Mapping[str, float]) -> str:
    """A step's times by what they went to: see (a picture becomes embeddings), think (words), act, settle."""
    see = timings_s.get("preprocess", 0.0) + timings_s.get("prefill", 0.0)
    think = max(0.0, timings_s.get("think", 0.0) - see)
    parts = {"see": see, "think": think, "act": timings_s.get("act", 0.0), "settle": timings_s.get("settle", 0.0)}
    return ", ".join(f"{name} {format_duration(value)}" for name, value in parts.items() if value >= 0.0005)
