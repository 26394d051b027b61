"""Show a run: a live panel in a terminal, plain lines elsewhere, JSON lines for programs.

Every display is called with the events of the loop. `on_text` receives the reply while it is generated, `message` a
sentence that is not an event.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from actions import UsageError
from agent.safety.signals import request_of_error
from agent.trace import FRAMES
from agent.ui.formatting import (
    NO_LIMIT,
    decision_outcome,
    describe_action,
    describe_resumption,
    format_duration,
    format_output,
    format_proof,
    format_timings,
    outcome_label,
    sanitize,
    sanitize_lines,
)
from agent.ui.write_formatting import format_write_request, format_write_results

if TYPE_CHECKING:
    from rich.live import Live
    from rich.panel import Panel

    from agent.safety.approval import ApprovalRequest, WriteRequest

MAX_FINISHED_ROWS = 8  # finished steps in the panel
COLORS = {"success": "green", "failure": "red", "error": "red", "budget": "yellow", "stopped": "yellow"}
APPROVAL_KEYS = "y: do it; a: do it, and all of its kind in this run; s: stop the run; ?: help"
APPROVAL_KEYS_ONCE = "y: do it; s: stop the run; ?: help"
APPROVAL_HELP = """\
y or yes     do this action
a or always  do it, and do not ask again in this run for actions of its kind: the same verb (click, type, press, ...)
             in the same app or on the same host, on elements of the same role; never for secrets and effects
e TEXT       change the action and ask again: e and the new text, keys (ctrl+s), address or point (120 80)
t            take over: act on the screen yourself, then let the run go on; the model looks again
n or no      do not do it; the model tries something else
n TEXT       do not do it; the model reads TEXT as the reason
s or stop    do not do it, and end the run
other text   do not do it; the model reads the text as the reason
The screenshot shows what the model saw: a ring is drawn around the target, and a caret where text most likely goes."""

Event = Mapping[str, Any]

_END_FACTS = ("cause", "message", "proof", "output", "duration_s", "prompt_tokens", "reply_tokens")
_CALL_START = re.compile(r"<tool_call|<\||```|\{|^\s*(?:Action|action)s?:|pyautogui\.|^\s*\w+\(", re.MULTILINE)
_LABEL = re.compile(r"^\s*(?:<think(?:ing)?>|Thought:|Action:)\s*", re.IGNORECASE)
_JSON_THOUGHT = re.compile(r'"(?:thought|thinking|reasoning)"\s*:\s*"((?:[^"\\]|\\.)*)')


class Display(Protocol):
    """An observer of a run."""

    def __enter__(self) -> Display: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def __call__(self, event: Event) -> None:
        """Show one event of the loop."""
        ...

    def on_text(self, text: str) -> None:
        """Show the reply generated so far."""
        ...

    def message(self, text: str) -> None:
        """Show a sentence that is not an event."""
        ...


class JsonDisplay:
    """Write events as JSON lines to one stream, the last one always `end`; messages go to standard error."""

    def __init__(self, out: TextIO, run: str = "") -> None:
        self.out, self.run, self.ended = out, run, False

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write the `end` line of a run that failed before it started, and close the stream."""
        try:
            if not self.ended:
                self._end_early(error)
            self.out.close()
        except BrokenPipeError:
            pass  # the reader is gone

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "begin":
                self.run = event["run"]
            case "start":
                facts = {key: event[key] for key in ("goal", "seed", "max_steps")}
                self._write_line({"event": "start", **facts, "run": self.run})
            case "act.result":
                self._write_line({**_json_step(event), "screenshot": self._screenshot_path(event)})
            case "writes.held" | "writes.answer" | "writes.result":
                self._write_line(event)
            case "end":
                facts = {key: event[key] for key in _END_FACTS if key in event}
                if "screen" in event:
                    facts["screenshot"] = self._screenshot_path(event)
                self.end(event["status"], event["reward"], event["steps"], facts)

    def end(self, status: str, reward: float | None, steps: int, facts: Mapping[str, object]) -> None:
        """Write the `end` line."""
        self.ended = True
        self._write_line({"event": "end", "status": status, "reward": reward, "steps": steps, "run": self.run, **facts})

    def _end_early(self, error: BaseException | None) -> None:
        """Write the `end` line of a run that failed before it started."""
        is_interrupt = isinstance(error, KeyboardInterrupt)
        cause = (
            request_of_error(error).cause if is_interrupt else "usage" if isinstance(error, UsageError) else "machine"
        )
        facts = {"cause": cause, "message": sanitize_lines(str(error or ""))}
        self.end("stopped" if is_interrupt else "error", None, 0, facts)

    def _screenshot_path(self, event: Event) -> str:
        """Return the path of the event's screenshot in the trace, "" without a trace."""
        return str(Path(self.run) / FRAMES / f"{event['screen'].digest}.png") if self.run else ""

    def on_text(self, text: str) -> None:
        """Ignore partial replies: programs read whole steps."""

    def message(self, text: str) -> None:
        print(sanitize_lines(text), file=sys.stderr)

    def _write_line(self, record: Mapping[str, object]) -> None:
        self.out.write(json.dumps(record) + "\n")
        self.out.flush()


class TextDisplay:
    """Print a line for each event: for logs, pipes and terminals without cursor control."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.max_steps, self.run = 0, ""
        self.uncertainty = ""  # of the point in the last reply
        self.approval = ""  # answer to the last question about the current action
        self.has_task = False  # whether a task of the page judges the run

    def __enter__(self) -> TextDisplay:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Do nothing: there is no terminal state to restore."""

    def __call__(self, event: Event) -> None:
        self._follow(event)
        match event["event"]:
            case "begin":
                self.message(f"{'model':8} {sanitize(event['model'])} on {sanitize(event['where'])}")
            case "start":
                self.message(f"{'goal':8} {sanitize(event['goal'])}")
            case "resume":
                self.message(f"{'resumed':8} step {event['step']}, {describe_resumption(event)}")
            case "paused" if event["rests_s"] is not None:
                rest = f"{event['rests_s']:g} s"
                self.message(f"{'paused':8} {event['why']}; the run goes on after the mouse has rested for {rest}")
            case "act.result":
                self.message(f"{'step':8} {_step_line(event, self.max_steps, self.approval)}")
                for name, text in _extra_rows(event):
                    self.message(f"{name:8} {text}")
            case "writes.result":
                for line in format_write_results(event["results"]):
                    self.message(line)
            case "end":
                self._print_end(event)

    def _follow(self, event: Event) -> None:
        """Update what later lines depend on."""
        match event["event"]:
            case "begin":
                self.run = event["run"]
            case "start":
                self.max_steps = event["max_steps"]
            case "reply":
                self.uncertainty = event["reply"].uncertainty
            case "act.intent":
                self.approval = ""
            case "decision":
                self.approval = decision_outcome(event)
            case "approval":
                self.approval = event["answer"]
            case "act.result":
                self.has_task = event["verdict"] is not None

    def on_text(self, text: str) -> None:
        """Ignore partial replies: a line is printed once the step is finished."""

    def message(self, text: str) -> None:
        encoding = self.out.encoding or "utf-8"  # an ASCII log must not end a run
        print(sanitize_lines(text).encode(encoding, "replace").decode(encoding), file=self.out, flush=True)

    def _print_end(self, event: Event) -> None:
        count = f"{event['steps']} step" + ("" if event["steps"] == 1 else "s")
        self.message(f"{'end':8} {event['status']} after {count}: {sanitize(event['message'])}")
        none = "none yet: the task is not finished" if self.has_task else "none: no task judges this page"
        self.message(f"{'verdict':8} {none if event['reward'] is None else _format_reward(event['reward'])}")
        for line in format_proof(event.get("proof")):
            self.message(line)
        for line in format_output(event.get("output")):
            self.message(line)
        self.message(f"{'trace':8} {self.run}")

    def ask(self, question: str) -> str:
        """Return the user's answer to a question of the model; raise EOFError at end of input."""
        self.message(f"{'asks':8} {sanitize(question)}")
        return _read_fresh_line("answer   ")

    def approve(self, request: ApprovalRequest) -> str:
        """Return the line the user types about a proposed action; raise EOFError at end of input."""
        if request.problem:
            self.message(f"{'':8} {sanitize(request.problem)}")
        self.message(f"{'wants':8} {sanitize(request.description, NO_LIMIT)}")
        if request.reason:
            self.message(f"{'why':8} {sanitize(request.reason)} ({sanitize(request.rule)})")
        if self.uncertainty:
            self.message(f"{'unsure':8} the model is not sure of the place: {sanitize(self.uncertainty)}")
        self.message(f"{'picture':8} {request.screenshot}")
        self.message(f"{'':8} {APPROVAL_KEYS if request.can_approve_kind else APPROVAL_KEYS_ONCE}")
        self.message(f"{'':8} anything else: not done, and the model reads what you write")
        while (line := _read_fresh_line("approve? ")).strip() == "?":
            self.message(APPROVAL_HELP)
        return line

    def review_writes(self, request: WriteRequest) -> str:
        """Return the line the user types about held requests; raise EOFError at end of input."""
        for line in format_write_request(request):
            self.message(line)
        return _read_fresh_line("send?    ")

    def paused(self, reason: str) -> str:
        """Return the line the user types to continue a paused run; raise EOFError at end of input."""
        self.message(f"{'paused':8} {reason}; Enter goes on, s stops the run")
        return _read_fresh_line("go on?   ")


class LiveDisplay(TextDisplay):
    """A rich panel that is redrawn during the run: goal, step, thought, action, verdict, seconds per step."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        super().__init__(out)
        self.console = Console(file=out, highlight=False)
        self.live: Live | None = None
        self.title = self.goal = self.phase = ""
        self.reply_text = ""  # generated so far
        self.proposal: Event = {}  # the `act.intent` that has no result yet
        self.result: Event = {}  # the last `act.result`
        self.finished: list[tuple[int, str, str]] = []  # step, action, duration
        self.step_seconds: dict[int, float] = {}
        self.step, self.phase_start = 0, time.monotonic()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        self._follow(event)
        match event["event"]:
            case "begin":
                self.title = f"{sanitize(event['model'])} on {sanitize(event['where'])}"
                self._set_phase("opening")
                self._start()
            case "start":
                self.goal, self.step = sanitize(event["goal"]), 1
                self._set_phase("thinking")
            case "reply":
                self._set_phase("acting")
            case "act.intent":
                self.proposal, self.reply_text = event, ""
            case "act.result":
                self._finish_action(event)
            case "writes.result":
                with self._suspended():
                    for line in format_write_results(event["results"]):
                        self.message(line)
            case "end":
                self.step = min(self.step, event["steps"]) if event["steps"] else self.step
                self._set_phase(event["status"])
                self._stop()
                self._print_end(event)
        if self.live is not None:
            self.live.update(self, refresh=event["event"] == "act.result")  # a quick step is drawn too

    def _finish_action(self, event: Event) -> None:
        self.result, self.proposal, self.reply_text = event, {}, ""
        self.step_seconds[event["step"]] = self.step_seconds.get(event["step"], 0.0) + event["seconds"]
        action = _describe_outcome(event, self.approval)
        self.finished.append((event["step"], action, format_duration(event["seconds"])))
        self.step = event["step"] + 1
        self._set_phase("thinking")

    def on_text(self, text: str) -> None:
        self.reply_text = text

    def ask(self, question: str) -> str:
        with self._suspended():
            return super().ask(question)

    def approve(self, request: ApprovalRequest) -> str:
        with self._suspended():
            return super().approve(request)

    def review_writes(self, request: WriteRequest) -> str:
        with self._suspended():
            return super().review_writes(request)

    def paused(self, reason: str) -> str:
        with self._suspended():
            return super().paused(reason)

    @contextmanager
    def _suspended(self) -> Iterator[None]:
        """Take the panel down, so that plain lines can be printed and read."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    def __rich__(self) -> Panel:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(ratio=1, overflow="fold")
        color = COLORS.get(self.phase, "cyan")
        if self.goal:
            rows.add_row("goal", Text(self.goal, style="bold"))
        rows.add_row("step", Text(self._step_status(), style=color))
        for number, action, duration in self.finished[-MAX_FINISHED_ROWS:]:
            rows.add_row(Text(f"{number:4}"), Text(f"{action}  ", style="").append(duration, style="dim"))
        for name, text, style in self._current_rows():
            rows.add_row(name, Text(text, style=style))
        return Panel(rows, title=Text(self.title), title_align="left", border_style=color)

    def _step_status(self) -> str:
        running = self.phase in ("opening", "thinking", "acting")
        elapsed = f" {time.monotonic() - self.phase_start:.0f} s" if running else ""
        count = f"{self.step} of {self.max_steps}, " if self.step else ""
        return f"{count}{self.phase}{elapsed}"

    def _current_rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (name, text, style) for the reply in progress and the last finished action."""
        current = self.proposal or self.result
        if self.reply_text:
            yield "thought", partial_thought(self.reply_text) or "writing an action …", "italic dim"
        elif current.get("call") and current["call"].thought:
            yield "thought", sanitize(current["call"].thought, 600), "italic"
        if self.proposal:
            yield "wants", describe_action(self.proposal["action"]), ""
        if not self.result:
            return
        if not self.proposal:
            yield "action", describe_action(self.result["action"]), ""
            yield from ((name, text, "yellow") for name, text in _extra_rows(self.result, with_thought=False))
        yield "verdict", _format_verdict(self.result["verdict"]), ""
        mean = sum(self.step_seconds.values()) / len(self.step_seconds)
        yield "time", f"{format_duration(mean)} a step; last: {format_timings(self.result['timings_s'])}", ""

    def _set_phase(self, name: str) -> None:
        self.phase, self.phase_start = name, time.monotonic()

    def _start(self) -> None:
        from rich.live import Live

        if self.live is None:
            self.live = Live(self, console=self.console, refresh_per_second=4, vertical_overflow="crop")
            self.live.start()

    def _stop(self) -> None:
        if self.live is not None:
            live, self.live = self.live, None
            live.update(self, refresh=True)
            live.stop()


def display(json_to: TextIO | None, out: TextIO) -> JsonDisplay | TextDisplay:
    """Return the display that fits: JSON lines on `json_to` if given, else a panel or plain lines on `out`."""
    if json_to is not None:
        return JsonDisplay(json_to)
    return LiveDisplay(out) if out.isatty() and os.environ.get("TERM") != "dumb" else TextDisplay(out)


def partial_thought(reply_text: str) -> str:
    """Return the prose of an unfinished reply without the action call that follows it; "" if there is none yet."""
    match = _JSON_THOUGHT.search(reply_text)
    if match:
        return sanitize(match.group(1).replace("\\n", " ").replace('\\"', '"'), 600)
    call = _CALL_START.search(reply_text)
    prose = reply_text[: call.start()] if call else reply_text
    return sanitize(_LABEL.sub("", prose).strip(), 600)


def _read_fresh_line(prompt: str) -> str:
    """Return a line typed after the prompt was printed; discard what was typed before."""
    if sys.stdin.isatty():
        if sys.platform == "win32":
            import msvcrt

            while msvcrt.kbhit():
                msvcrt.getwch()
        else:
            import termios

            termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return input(prompt)


def _json_step(event: Event) -> dict[str, object]:
    action = event["action"].model_dump(mode="json") if event["action"] is not None else None
    return {
        "event": "step",
        **{key: event[key] for key in ("step", "part", "parts") if key in event},
        "thought": event["call"].thought if event["call"] is not None else "",
        "action": action,
        **{key: event[key] for key in ("error", "note", "reward", "verdict")},
        "seconds": round(event["seconds"], 4),
        "timings_s": {name: round(value, 4) for name, value in event["timings_s"].items()},
    }


def _step_line(event: Event, max_steps: int, approval: str) -> str:
    timings = format_timings(event["timings_s"])
    part = f", part {event['part']} of {event['parts']}" if "part" in event else ""
    action = _describe_outcome(event, approval)
    return f"{event['step']} of {max_steps}{part}: {action}  [{format_duration(event['seconds'])}: {timings}]"


def _describe_outcome(event: Event, approval: str) -> str:
    """Return the action of a result in words, with what became of it if it was not carried out."""
    if event["action"] is None:
        return "no action"
    label = outcome_label(event["error"], approval)
    return describe_action(event["action"]) if label == "did" else f"{label}: {describe_action(event['action'])}"


def _extra_rows(event: Event, with_thought: bool = True) -> list[tuple[str, str]]:
    """Return (name, text) for what a result holds besides its action."""
    rows = [
        ("thought", event["call"].thought if with_thought and event["call"] is not None else ""),
        ("mistake", event["error"]),
        ("machine", event["note"]),
    ]
    return [(name, sanitize(text)) for name, text in rows if text]


def _format_verdict(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        return "none: only the model decides when it is done"
    return _format_reward(verdict["reward"]) if verdict["done"] else "not done yet"


def _format_reward(reward: float | None) -> str:
    return "the page gives no reward" if reward is None else f"the page's own reward is {reward:g}"
