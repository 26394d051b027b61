"""ViewerState: what the viewer shows of a run, from the events of the loop or of a trace."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import Action, Reply, Screen
from agent.run_control import RunControl
from agent.trace import FRAMES, encode_png
from agent.ui.display import partial_thought
from agent.ui.formatting import (
    NO_LIMIT,
    decision_outcome,
    describe_action,
    describe_edit,
    format_duration,
    format_proof,
    format_timings,
    outcome_label,
    sanitize,
    sanitize_lines,
)
from agent.ui.write_formatting import format_write_results
from agent.viewer.questions import ViewerPerson

MAX_REPLY_CHARS = 8000  # the end of a reply is shown
MAX_SCREENS = 6  # in memory; those of finished steps are read from the trace
MAX_MESSAGES = 5
DIGEST = re.compile(r"[0-9a-f]{8,128}")


class ViewerState:
    """Follows a run; its methods may be called from any thread.

    Args:
        control: What the person asks for; None for a run that is only shown.
        person: The questions to the person; None where they are asked elsewhere.
        note: A sentence on what can be done here, such as "read-only"; "" for none.
    """

    def __init__(self, control: RunControl | None = None, person: ViewerPerson | None = None, note: str = "") -> None:
        self._control, self._person = control, person
        self._lock = threading.Lock()
        self._entries: list[dict[str, object]] = []
        self._screens: OrderedDict[str, Screen] = OrderedDict()
        self._sizes: dict[str, tuple[int, int]] = {}
        self._folder: Path | None = None
        self._facts: dict[str, object] = {"note": note, "phase": "starting", "step": 0, "max_steps": 0}
        self._messages: list[str] = []
        self._reply_text = ""
        self._reply: Reply | None = None
        self._action: Action | None = None
        self._screen: dict[str, object] | None = None
        self._model_screen: dict[str, object] | None = None  # which the reply is about
        self._approval = ""
        self._edited: Action | None = None  # what the person wants in the place of the action
        self.is_closed = False

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Follow one event."""
        with self._lock:
            self._follow(event)

    def on_text(self, text: str) -> None:
        """Show the reply generated so far."""
        self._reply_text = text

    def message(self, text: str) -> None:
        """Show a sentence that is not an event."""
        with self._lock:
            self._messages = [*self._messages, sanitize_lines(text)][-MAX_MESSAGES:]

    def close(self) -> None:
        """Say that no event follows."""
        self.is_closed = True

    # what the page reads

    def snapshot(self) -> dict[str, object]:
        """Return the present state as JSON data."""
        reply_text = self._reply_text
        question = self._person.question if self._person is not None else None
        with self._lock:
            state: dict[str, object] = {
                **self._facts,
                "messages": self._messages,
                "reply": sanitize_lines(reply_text[-MAX_REPLY_CHARS:]),
                "thought": partial_thought(reply_text),
                "screen": self._screen,
                "mark": _mark(self._action),
                "action": describe_action(self._action, NO_LIMIT) if self._action is not None else "",
                "confidence": _confidence(self._reply),
                "mode": self._control.mode if self._control is not None else "running",
                "can_control": self._control is not None and not self.is_closed,
                "can_answer": self._person is not None,
                "is_closed": self.is_closed,
                "question": None,
            }
        if question is not None:
            state["question"] = {
                "number": question.number,
                "kind": question.kind,
                "text": question.text,
                "answers": list(question.answers),
                "edit": _edit_text(question.action),
                **question.details,
            }
            state["mark"] = _mark(question.action)
        return state

    def entries_from(self, index: int) -> list[dict[str, object]]:
        """Return the entries of the list of steps from an index on."""
        with self._lock:
            return self._entries[index:]

    def image(self, digest: str) -> bytes | None:
        """Return a screenshot as PNG, None if there is none."""
        with self._lock:
            screen, folder = self._screens.get(digest), self._folder
        if screen is not None:
            return encode_png(screen)
        if folder is None or not DIGEST.fullmatch(digest):
            return None
        try:
            return (folder / FRAMES / f"{digest}.png").read_bytes()
        except OSError:
            return None

    # events

    def _follow(self, event: Mapping[str, Any]) -> None:
        if "screen" in event:
            self._screen = self._describe_screen(event["screen"])
        match event["event"]:
            case "begin":
                self._folder = Path(event["run"])
                self._facts |= {"model": sanitize(event["model"]), "where": sanitize(event["where"])}
                self._facts |= {"run": self._folder.name, "phase": "opening"}
            case "start":
                self._facts |= {"goal": sanitize(event["goal"]), "max_steps": event["max_steps"], "step": 1}
                self._facts["phase"] = "thinking"
            case "reply":
                self._reply, self._reply_text, self._model_screen = event["reply"], event["reply"].text, self._screen
                self._facts["phase"] = "acting"
            case "act.intent":
                self._action, self._approval, self._edited = event["action"], "", None
            case "decision":
                self._approval = decision_outcome(event)
            case "approval":
                self._approval, self._edited = event["answer"], event.get("edited") or self._edited
            case "act.result":
                self._finish_step(event)
            case "steer":
                self._add("person", sanitize(event["note"]))
            case "paused":
                self._add("control", f"paused: {sanitize(event['why'])}")
                self._facts["phase"] = "paused"
            case "continued":
                self._add("control", f"went on after {format_duration(event['waited_s'])}")
                self._facts["phase"] = "thinking"
            case "person.begin":
                self._add("person", "the person took over")
                self._facts["phase"] = "taken over"
                self._action, self._reply = None, None
            case "person.act":
                error = f": not done, {sanitize(event['error'])}" if event["error"] else ""
                self._add("person", f"the person: {describe_action(event['action'])}{error}", mark=event["action"])
            case "person.end":
                self._add("person", "the person handed back")
                self._facts["phase"] = "thinking"
            case "writes.result":
                for line in format_write_results(event["results"]):
                    self._add("writes", line)
            case "end":
                self._finish_run(event)

    def _finish_step(self, event: Mapping[str, Any]) -> None:
        action, call = event["action"], event["call"]
        label = outcome_label(event["error"], self._approval) if action is not None else "no action"
        edited, self._edited = self._edited, None
        self._add(
            "step",
            describe_edit(action, edited) if action is not None else "no action",
            mark=edited or action,
            step=event["step"],
            part=f"{event['part']} of {event['parts']}" if "part" in event else "",
            outcome=label,
            thought=sanitize(call.thought) if call is not None else "",
            error=sanitize(event["error"]),
            notice=sanitize_lines(event["note"]),
            seconds=format_duration(event["seconds"]),
            timings=format_timings(event["timings_s"]),
            confidence=_confidence(self._reply),
            screen=self._model_screen,
        )
        self._facts |= {"step": event["step"] + 1, "phase": "thinking", "timings": format_timings(event["timings_s"])}
        self._action, self._reply, self._reply_text = None, None, ""

    def _finish_run(self, event: Mapping[str, Any]) -> None:
        reward = event["reward"]
        self._facts |= {
            "phase": sanitize(event["status"]),
            "step": event["steps"],
            "end": sanitize(event["message"]),
            "reward": f"the task's own reward is {reward:g}" if isinstance(reward, int | float) else "",
            "proof": format_proof(event.get("proof")),
        }
        self._action, self._reply_text = None, ""

    def _add(self, kind: str, text: str, mark: Action | None = None, **facts: object) -> None:
        entry = {"kind": kind, "text": text, "mark": _mark(mark), "screen": self._screen, **facts}
        self._entries.append(entry)

    def _describe_screen(self, screen: Screen | str) -> dict[str, object]:
        """Return the digest and the size of a screenshot, which a trace names by its digest alone."""
        if isinstance(screen, Screen):
            self._screens[screen.digest] = screen
            self._screens.move_to_end(screen.digest)
            while len(self._screens) > MAX_SCREENS:
                self._screens.popitem(last=False)
            return {"digest": screen.digest, "width": screen.width, "height": screen.height}
        if screen not in self._sizes:
            self._sizes[screen] = self._stored_size(screen)
        width, height = self._sizes[screen]
        return {"digest": screen, "width": width, "height": height}

    def _stored_size(self, digest: str) -> tuple[int, int]:
        """Return width and height of a stored screenshot; (0, 0) if it is missing."""
        from PIL import Image

        if self._folder is None or not DIGEST.fullmatch(digest):
            return 0, 0
        try:
            with Image.open(self._folder / FRAMES / f"{digest}.png") as image:
                width, height = image.size
                return width, height
        except OSError:
            return 0, 0


def _mark(action: Action | None) -> dict[str, object] | None:
    """Return where an action points, for drawing; None where it does not."""
    points = action.points() if action is not None else ()
    if action is None or not points:
        return None
    return {"verb": action.verb, "points": [[point.x, point.y] for point in points]}


def _edit_text(action: Action | None) -> str:
    """Return what the person can change in an action, as a start for their edit."""
    if action is None:
        return ""
    fields = action.model_dump()
    for name in ("text", "target"):
        if name in fields:
            return str(fields[name])
    if "keys" in fields:
        return "+".join(fields["keys"])
    return f"{fields['x']} {fields['y']}" if fields.get("x") is not None else action.model_dump_json()


def _confidence(reply: Reply | None) -> dict[str, object]:
    """Return how certain the predicted points of a reply are, and why they are not."""
    if reply is None:
        return {"probabilities": [], "uncertainty": ""}
    values = [localization.get("probability") for localization in reply.localizations]
    probabilities = [round(float(value), 3) for value in values if isinstance(value, int | float)]
    return {"probabilities": probabilities, "uncertainty": sanitize(reply.uncertainty)}
