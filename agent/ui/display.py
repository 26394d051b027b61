"""What a person sees of a run: a live panel in a terminal, plain lines elsewhere, JSON lines for programs.

Knows the loop's events; knows no machine and no model. All three are called with an event, and answer `text` (the
model's words so far) and `ask` (a question for the person).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from actions import UsageError
from agent.trace import FRAMES
from agent.ui.formatting import NO_LIMIT, describe_action, format_duration, format_timings, sanitize, sanitize_lines

DONE_SHOWN = 8  # finished steps in the panel


class Display(Protocol):
    """Who watches a run."""

    def __enter__(self) -> Display: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def __call__(self, event: Mapping[str, Any]) -> None: ...

    def text(self, words: str) -> None: ...

    def say(self, words: str) -> None:
        """A sentence outside the run's events."""
        ...


class JsonDisplay:
    """Events as JSON lines on one stream, the last one the end; what is said beside them goes to standard error."""

    def __init__(self, out: TextIO, run: str = "") -> None:
        self.out, self.run, self.ended = out, run, False

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The last line is always the end, also of a run that never began."""
        try:
            if not self.ended:
                is_interrupt = isinstance(error, KeyboardInterrupt)
                cause = "interrupted" if is_interrupt else "usage" if isinstance(error, UsageError) else "machine"
                facts = {"cause": cause, "message": sanitize_lines(str(error or ""))}
                self.end("stopped" if is_interrupt else "error", None, 0, facts)
            self.out.close()
        except BrokenPipeError:
            pass  # nobody reads any more

    def __call__(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "begin":
                self.run = event["run"]
            case "start":
                facts = {key: event[key] for key in ("goal", "seed", "max_steps")}
                self._line({"event": "start", **facts, "run": self.run})
            case "act.result":
                action = event["action"].model_dump(mode="json") if event["action"] is not None else None
                facts = {key: event[key] for key in ("error", "note", "reward", "verdict")}
                times = {name: round(value, 4) for name, value in event["timings_s"].items()}
                thought = event["call"].thought if event["call"] is not None else ""
                which = {key: event[key] for key in ("step", "part", "parts") if key in event}
                said = {"event": "step", **which, "thought": thought, "action": action, **facts}
                facts = {"screenshot": self._screenshot(event)}
                self._line({**said, "seconds": round(event["seconds"], 4), "timings_s": times, **facts})
            case "end":
                keys = ("cause", "message", "duration_s", "prompt_tokens", "reply_tokens")
                facts = {key: event[key] for key in keys if key in event}
                if "screen" in event:
                    facts["screenshot"] = self._screenshot(event)
                self.end(event["status"], event["reward"], event["steps"], facts)

    def end(self, status: str, reward: float | None, steps: int, facts: Mapping[str, Any]) -> None:
        self.ended = True
        self._line({"event": "end", "status": status, "reward": reward, "steps": steps, "run": self.run, **facts})

    def _screenshot(self, event: Mapping[str, Any]) -> str:
        """Return the path of the event's screenshot in the trace; "" without a trace."""
        return str(Path(self.run) / FRAMES / f"{event['screen'].digest}.png") if self.run else ""

    def text(self, words: str) -> None:
        """Programs read whole steps."""

    def say(self, words: str) -> None:
        print(sanitize_lines(words), file=sys.stderr)

    def _line(self, data: Mapping[str, Any]) -> None:
        self.out.write(json.dumps(data) + "\n")
        self.out.flush()


class TextDisplay:
    """A line for each thing that happens: for logs, pipes and terminals that cannot move their cursor."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.max_steps, self.run = 0, ""
        self.doubt = ""  # of the place that the last reply points at
        self.judged = False  # by a task of the page

    def __enter__(self) -> TextDisplay:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "begin":
                self.run = event["run"]
                self.say(f"{'model':8} {sanitize(event['model'])} on {sanitize(event['where'])}")
            case "start":
                self.max_steps = event["max_steps"]
                self.say(f"{'goal':8} {sanitize(event['goal'])}")
            case "reply":
                self.doubt = event["reply"].uncertainty
            case "paused" if event["rests_s"] is not None:
                self.say(
                    f"{'paused':8} {event['why']}; it goes on when the mouse has rested for {event['rests_s']:g} s"
                )
            case "act.result":
                self.judged = event["verdict"] is not None
                for name, words in (("step", _step_line(event, self.max_steps)), *_asides(event)):
                    self.say(f"{name:8} {words}")
            case "end":
                self.say_end(event)

    def text(self, words: str) -> None:
        """Half words are no lines."""

    def say(self, words: str) -> None:
        encoding = self.out.encoding or "utf-8"  # a log in ASCII must not end a run
        print(sanitize_lines(words).encode(encoding, "replace").decode(encoding), file=self.out, flush=True)

    def say_end(self, event: Mapping[str, Any]) -> None:
        """How it ended, who says so, and where the trace lies."""
        count = f"{event['steps']} step" + ("" if event["steps"] == 1 else "s")
        self.say(f"{'end':8} {event['status']} after {count}: {sanitize(event['message'])}")
        none = "none yet: the task is not finished" if self.judged else "none: no task judges this page"
        self.say(f"{'verdict':8} {none if event['reward'] is None else _reward(event['reward'])}")
        self.say(f"{'trace':8} {self.run}")

    def ask(self, question: str) -> str:
        """The person's answer; EOFError when the input has ended."""
        self.say(f"{'asks':8} {sanitize(question)}")
        return _fresh_line("answer   ")

    def approve(self, words: str, picture: Path) -> str:
        """What the person says to an action that is not done yet; EOFError when the input has ended."""
        self.say(f"{'wants':8} {sanitize(words, NO_LIMIT)}")
        if self.doubt:
            self.say(f"{'unsure':8} the model is not sure of the place: {sanitize(self.doubt)}")
        self.say(f"{'picture':8} {picture}")
        self.say(f"{'':8} y: do it; s: stop the run; anything else: not done, and the model reads what you write")
        return _fresh_line("approve? ")

    def paused(self, why: str) -> str:
        """What the person types to go on; EOFError when the input has ended."""
        self.say(f"{'paused':8} {why}; Enter goes on, s stops the run")
        return _fresh_line("go on?   ")


class LiveDisplay(TextDisplay):
    """A rich panel that is drawn anew as the run goes on: goal, step, thought, action, verdict, seconds per step."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        super().__init__(out)
        self.console = Console(file=out, highlight=False)
        self.live: Any = None
        self.title = self.goal = self.words = self.phase = ""
        self.last: Mapping[str, Any] = {}
        self.done: list[tuple[int, str, str]] = []
        self.spent: dict[int, float] = {}  # seconds by step
        self.step, self.since = 0, time.monotonic()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "begin":
                self.run = event["run"]
                self.title = f"{sanitize(event['model'])} on {sanitize(event['where'])}"
                self._phase("opening")
                self._start()
            case "start":
                self.goal, self.max_steps, self.step = sanitize(event["goal"]), event["max_steps"], 1
                self._phase("thinking")
            case "reply":
                self.doubt = event["reply"].uncertainty
                self._phase("acting")
            case "act.result":
                self.last, self.judged = event, event["verdict"] is not None
                self.spent[event["step"]] = self.spent.get(event["step"], 0.0) + event["seconds"]
                self.done.append((event["step"], _did(event), format_duration(event["seconds"])))
                self.words, self.step = "", event["step"] + 1
                self._phase("thinking")
            case "end":
                self.step = min(self.step, event["steps"]) if event["steps"] else self.step
                self._phase(event["status"])
                self._stop()
                self.say_end(event)
        if self.live is not None:
            self.live.update(self, refresh=event["event"] == "act.result")  # a quick step is drawn too

    def text(self, words: str) -> None:
        self.words = sanitize(words, 600)

    def ask(self, question: str) -> str:
        with self._aside():
            return super().ask(question)

    def approve(self, words: str, picture: Path) -> str:
        with self._aside():
            return super().approve(words, picture)

    def paused(self, why: str) -> str:
        with self._aside():
            return super().paused(why)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """The panel gives way to plain lines for a while."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    def __rich__(self) -> Any:
        from rich.panel import Panel as Box
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(ratio=1, overflow="fold")
        if self.goal:
            rows.add_row("goal", Text(self.goal, style="bold"))
        elapsed = f" {time.monotonic() - self.since:.0f} s" if self.phase in ("opening", "thinking", "acting") else ""
        count = f"{self.step} of {self.max_steps}, " if self.step else ""
        rows.add_row("step", Text(f"{count}{self.phase}{elapsed}", style=_COLOURS.get(self.phase, "cyan")))
        for number, words, took in self.done[-DONE_SHOWN:]:
            rows.add_row(Text(f"{number:4}"), Text(f"{words}  ", style="").append(took, style="dim"))
        if self.words:
            rows.add_row("says", Text(self.words, style="italic dim"))
        elif self.last.get("call") and self.last["call"].thought:
            rows.add_row("thought", Text(sanitize(self.last["call"].thought, 600), style="italic"))
        if self.last:
            rows.add_row("action", Text(describe_action(self.last["action"])))
            for name, words in _asides(self.last, thought=False):
                rows.add_row(name, Text(words, style="yellow"))
            rows.add_row("verdict", Text(_verdict(self.last["verdict"])))
            mean = sum(self.spent.values()) / len(self.spent)
            rows.add_row(
                "time", Text(f"{format_duration(mean)} a step; last: {format_timings(self.last['timings_s'])}")
            )
        return Box(rows, title=Text(self.title), title_align="left", border_style=_COLOURS.get(self.phase, "cyan"))

    def _phase(self, name: str) -> None:
        self.phase, self.since = name, time.monotonic()

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


def _fresh_line(prompt: str) -> str:
    """A line typed after the prompt: what was typed before it, by whomever, is no answer to it."""
    if sys.stdin.isatty():
        if sys.platform == "win32":
            import msvcrt

            while msvcrt.kbhit():
                msvcrt.getwch()
        else:
            import termios

            termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return input(prompt)


_COLOURS = {"success": "green", "failure": "red", "error": "red", "budget": "yellow", "stopped": "yellow"}


def display(json_to: TextIO | None, out: TextIO) -> JsonDisplay | TextDisplay:
    """The display for where a run is watched: json_to for programs, else out, a terminal or not."""
    if json_to is not None:
        return JsonDisplay(json_to)
    return LiveDisplay(out) if out.isatty() and os.environ.get("TERM") != "dumb" else TextDisplay(out)


def _step_line(event: Mapping[str, Any], max_steps: int) -> str:
    times = format_timings(event["timings_s"])
    part = f", part {event['part']} of {event['parts']}" if "part" in event else ""
    return f"{event['step']} of {max_steps}{part}: {_did(event)}  [{format_duration(event['seconds'])}: {times}]"


def _did(event: Mapping[str, Any]) -> str:
    return describe_action(event["action"]) if event["action"] is not None else "no action"


def _asides(event: Mapping[str, Any], thought: bool = True) -> list[tuple[str, str]]:
    """What there is to say of a step beside its action: (name, words)."""
    words = [
        ("thought", event["call"].thought if thought and event["call"] is not None else ""),
        ("mistake", event["error"]),
        ("machine", event["note"]),
    ]
    return [(name, sanitize(text)) for name, text in words if text]


def _verdict(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None:
        return "none: nobody but the model says when it is done"
    return _reward(verdict["reward"]) if verdict["done"] else "not done yet"


def _reward(value: float | None) -> str:
    return "the page gives no reward" if value is None else f"the page's own reward is {value:g}"
