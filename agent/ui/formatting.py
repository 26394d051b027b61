"""Format actions, durations and untrusted text for a terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from actions import (
    Action,
    Answer,
    Ask,
    Back,
    Click,
    Done,
    Drag,
    Home,
    LongPress,
    Move,
    Open,
    PressKeys,
    Scroll,
    TypeText,
    Wait,
)

MAX_TEXT_CHARS = 200  # of a text within an action
NO_LIMIT = 100_000  # longer than any text within an action: an approval must not hide its end
_NOT_DONE_ANSWERS = {  # answer of an `approval` event, or outcome of a `decision` event
    "refused": "refused",
    "stopped": "not done",
    "nobody": "not done",
    "taken over": "not done",
    "denied": "denied",
    "changed": "not done",
}
_RESUMED = {  # answer of a `resume` event
    "done": "the person says that it was carried out",
    "not done": "the person says that it was not carried out",
    "repeat": "carried out again, as the person says",
    "changed": "not repeated, because the screen is another now",
    "nobody": "may or may not have been carried out; not repeated, the model is told",
    "stop": "the person stopped the run",
}
_KEYS = str.maketrans({"\n": "⏎", "\t": "⇥"})


def sanitize(text: object, limit: int = 2000) -> str:
    """Return untrusted text as one line of at most `limit` characters, safe to print.

    Control, format and escape characters are replaced, so that the text cannot act on the terminal.
    """
    line = "".join(
        " " if c in "\n\t\r" else c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else "�"
        for c in str(text)[: limit + 1]
    )
    return line if len(line) <= limit else line[: limit - 1] + "…"


def sanitize_lines(text: str) -> str:
    """Return text with each line sanitized and the line breaks kept."""
    return "\n".join(sanitize(line, NO_LIMIT) for line in text.split("\n"))


def describe_action(action: Action | None, limit: int = MAX_TEXT_CHARS) -> str:
    """Return a short description of an action: 'click (12, 40)', 'press ctrl+c'.

    A text within the action is cut to `limit` characters. Line breaks and tabs in typed text are shown as ⏎ and ⇥.
    """
    match action:
        case None:
            return "none"
        case Click(x=x, y=y, button=button, count=count, modifiers=modifiers):
            times = {1: "", 2: "double-", 3: "triple-"}[count]
            return f"{_with_modifiers(modifiers)}{times}{'' if button == 'left' else button + '-'}click ({x}, {y})"
        case Move(x=x, y=y):
            return f"move to ({x}, {y})"
        case Drag(path=path, modifiers=modifiers):
            start = "the pointer" if len(path) == 1 else f"({path[0].x}, {path[0].y})"
            between = f" through {len(path) - 2} more" if len(path) > 2 else ""
            return f"{_with_modifiers(modifiers)}drag from {start}{between} to ({path[-1].x}, {path[-1].y})"
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
        case Back() | Home():
            return action.verb
        case Answer(text=text):
            return f'answer "{sanitize(text, limit)}"'
        case Ask(question=question):
            return f'ask "{sanitize(question, limit)}"'
        case Done(status=status, message=message):
            return f"done: {status}" + (f' ("{sanitize(message, limit)}")' if message else "")


def describe_edit(action: Action, edited: Action | None) -> str:
    """Return a short description of what was done: the action, or what a person put in its place."""
    return describe_action(action) if edited is None else f"{describe_action(edited)}, not {describe_action(action)}"


def _with_modifiers(modifiers: tuple[str, ...]) -> str:
    return "".join(f"{key}+" for key in modifiers)


def decision_outcome(event: Mapping[str, object]) -> str:
    """Return the outcome of a `decision` event: "denied" by a rule, "changed" since the model looked, or ""."""
    if event["effect"] != "deny":
        return ""
    return "changed" if event["layer"] == "guard" else "denied"


def outcome_label(error: str, approval: str) -> str:
    """Return what became of a proposed action: "did", "refused", "denied", "not done" or "failed".

    Args:
        error: The error of its result, "" if it was carried out.
        approval: The answer of its last `approval` event, else what `decision_outcome` returns.
    """
    return "did" if not error else _NOT_DONE_ANSWERS.get(approval, "failed")


def format_proof(proof: Mapping[str, Any] | None) -> list[str]:
    """Return lines that tell how far a reported outcome is proven; none without a proof.

    Args:
        proof: The proof of an `end` event, as of agent.verification.proof.Proof.as_dict.
    """
    if not proof:
        return []
    lines = [f"{'proof':8} {sanitize(proof['outcome'], 20)}"]
    for finding in proof["findings"]:
        expectation = f"{sanitize(finding['expectation'], 200)}: " if finding["expectation"] else ""
        lines.append(f"{sanitize(finding['state'], 20):8} {expectation}{sanitize(finding['detail'], 300)}")
    return lines


def format_output(output: Mapping[str, Any] | None) -> list[str]:
    """Return lines that show the output of a run and what was not confirmed in it; none without an output.

    Args:
        output: The output of an `end` event, as of agent.extraction.output.Output.as_dict.
    """
    if not output:
        return []
    lines = [f"{'output':8} {sanitize(json.dumps(output['value'], ensure_ascii=False), NO_LIMIT)}"]
    for field in output["fields"]:
        if field["reason"]:
            lines.append(f"{'':8} {sanitize(field['path'], 100) or 'the value'}: {sanitize(field['reason'], 300)}")
    return [*lines, f"{'':8} {'confirmed' if output['confirmed'] else 'not confirmed'} by a second look"]


def describe_resumption(event: Mapping[str, Any]) -> str:
    """Return what a `resume` event says about an action whose outcome was not recorded."""
    answer = _RESUMED.get(event["answer"], sanitize(event["answer"], 40))
    return f"{describe_action(event['action'])}: {answer}"


def format_duration(value: float) -> str:
    """Return seconds with a fitting unit and precision: 32 ms, 1.4 s, 12 s, 2 min 05 s."""
    if value >= 59.5:
        return f"{round(value) // 60} min {round(value) % 60:02d} s"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"


def phase_seconds(timings_s: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of a step by phase: see (vision and prefill), think (decoding), act and settle."""
    see = timings_s.get("preprocess", 0.0) + timings_s.get("prefill", 0.0)
    think = max(0.0, timings_s.get("think", 0.0) - see)
    return {"see": see, "think": think, "act": timings_s.get("act", 0.0), "settle": timings_s.get("settle", 0.0)}


def format_timings(timings_s: Mapping[str, float]) -> str:
    """Return the timings of a step by phase, without those below a millisecond."""
    parts = phase_seconds(timings_s)
    return ", ".join(f"{name} {format_duration(value)}" for name, value in parts.items() if value >= 0.0005)
