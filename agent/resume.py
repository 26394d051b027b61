"""Resumption: go on with a run from its trace, without repeating what may have been done.

The steps of the earlier run are the history of the new one. An action whose outcome is not recorded (the process died
between `act.intent` and `act.result`, or the machine failed during the action) may or may not have been done: the
person is asked, and where nobody can be asked, the model is told and the action is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from actions import CONTROL_ACTIONS, Action, InvalidActionError, Reply, Screen, Step, TypeText, UsageError
from actions.facts import ActionFacts
from actions.history import merge_parts
from agent.safety.approval import STOP, YES
from agent.safety.freshness import LEVEL_TOLERANCE, STRICT_FRACTION, regions_unchanged
from agent.safety.proposal import Proposal
from agent.safety.redaction import MASK
from agent.safety.signals import StopRequest, StopRequestedError
from agent.trace import FRAMES, MANIFEST, JsonObject, Trace, list_runs, read_trace
from agent.ui.formatting import describe_action

AGAIN, NOT_DONE = ("r", "repeat"), ("n", "no")
NEW_SCREENS = ("browser", "desktop:virtual")  # surfaces that start anew with each run
FINISHED = ("success", "failure")
PERSON_STOPPED = StopRequest("interrupted", "a person stopped the run", 130)
NOTE_RESUMED = "The run was interrupted here and goes on now: look at the screen."
NOTE_NEW_SCREEN = (
    "The run was interrupted here and goes on now, on a screen that was started anew: look at what is still there."
)
NOTE_DONE = "The run was interrupted during this action. The person says that it was carried out."
NOTE_NOT_DONE = "the run was interrupted before this was carried out, as the person says"
NOTE_CHANGED = "The person wanted it repeated, but the screen is another now, so it was not repeated."
NOTE_UNKNOWN = (
    "The run was interrupted during this action: it may or may not have been carried out. "
    "Look for its effect before you do it again."
)
NOTE_CUT = "The run was interrupted here: the rest of the {parts} actions of this reply was not done."

AskFn = Callable[[str], str]
RecordFn = Callable[..., None]


class RepeatedAction(NamedTuple):
    """An action of the earlier run that is carried out again, with the reply that it was in."""

    reply: Reply
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class UncertainAction:
    """An action that may or may not have been carried out.

    Args:
        step: The step that it belongs to, with the parts of the reply before it.
        action: The action.
        screenshot: The file of the screenshot that the model saw.
    """

    step: Step
    action: Action
    screenshot: Path

    def resolved(self, note: str, error: str = "") -> Step:
        """Return the step with what is known about the action."""
        notice = "\n".join(filter(None, (self.step.notice, note)))
        return replace(self.step, notice=notice, error=error)


@dataclass(frozen=True)
class Usage:
    """What a run has used of the limits of its policy.

    Args:
        actions: The actions that were or may have been carried out, each with the digest of the screen before it.
        seconds: Time since its start, without the person's answers.
    """

    actions: tuple[tuple[Proposal, str], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Resumption:
    """The state of an earlier run, from which a new one goes on.

    Args:
        trace: The trace of the earlier run.
        history: Its finished steps, and those of the runs that it resumed itself.
        uncertain: The action that may or may not have been carried out; None for none.
        usage: What it used of its policy's limits.
    """

    trace: Trace
    history: tuple[Step, ...]
    uncertain: UncertainAction | None
    usage: Usage

    @property
    def step_count(self) -> int:
        """The number of steps that count, including an uncertain one."""
        return len(self.history) + (self.uncertain is not None)

    def as_manifest(self) -> dict[str, object]:
        """Return which run is resumed, for the manifest of the new trace."""
        return {"run": self.trace.folder.name, "folder": str(self.trace.folder.absolute()), "steps": self.step_count}

    def resolve(self, screen: Screen, ask: AskFn | None, record: RecordFn) -> tuple[list[Step], RepeatedAction | None]:
        """Ask about an uncertain action; return the steps to add to the history, and what to carry out again.

        Args:
            screen: The screen as it is now.
            ask: Asks the person; None when nobody can be asked.
            record: Records the answer.

        Raises:
            StopRequestedError: The person stops the run.
        """
        uncertain = self.uncertain
        if uncertain is None:
            return [], None
        answer = "nobody" if ask is None else _ask(uncertain, ask)
        note, error = {
            "nobody": (NOTE_UNKNOWN, ""),
            "done": (NOTE_DONE, ""),
            "not done": ("", NOTE_NOT_DONE),
            "repeat": ("", ""),
            "stop": ("", ""),
        }[answer]
        if answer == "repeat" and (problem := _why_not_repeated(uncertain, screen)):
            answer, note = "changed", f"{NOTE_UNKNOWN} {problem}"
        record("resume", step=uncertain.step.index, action=uncertain.action, answer=answer, note=note, error=error)
        if answer == "stop":
            raise StopRequestedError(PERSON_STOPPED)
        if answer == "repeat":
            return [], RepeatedAction(uncertain.step.reply, (uncertain.action,))
        return [uncertain.resolved(note, error)], None


def _ask(uncertain: UncertainAction, ask: AskFn) -> str:
    """Return what the person says about an uncertain action; "nobody" at the end of input."""
    question = (
        f"step {uncertain.step.index} may or may not have been carried out: {describe_action(uncertain.action)} "
        f"(the screen before it: {uncertain.screenshot}). y: it was done; n: it was not, and the model decides; "
        "r: do it again; s: stop"
    )
    while True:
        try:
            answer = ask(question).strip().lower()
        except EOFError:
            return "nobody"
        for words, meaning in ((YES, "done"), (NOT_DONE, "not done"), (AGAIN, "repeat"), (STOP, "stop")):
            if answer in words:
                return meaning


def _why_not_repeated(uncertain: UncertainAction, screen: Screen) -> str:
    """Return why an action cannot be repeated on the present screen, "" if it can."""
    action, before = uncertain.action, uncertain.step.screen
    if isinstance(action, TypeText) and MASK in action.text:
        return "The person wanted it repeated, but its text is a secret that the trace does not hold."
    if points := action.points():
        return "" if regions_unchanged(before, screen, points, STRICT_FRACTION) else NOTE_CHANGED
    if action.verb not in ("type", "press"):
        return ""
    if before.pixels.shape != screen.pixels.shape:
        return NOTE_CHANGED
    difference = np.abs(before.pixels.astype(np.int16) - screen.pixels).max(axis=2)
    return "" if (difference > LEVEL_TOLERANCE).mean() < STRICT_FRACTION else NOTE_CHANGED


def load_resumption(folder: Path) -> Resumption:
    """Return the state of the run in a folder, to go on from it.

    Raises:
        UsageError: It is not the trace of a run, it is finished, or it cannot be resumed.
    """
    try:
        trace = read_trace(folder)
        if problem := _why_not_resumable(trace):
            raise UsageError(problem)
        resumption = _load(trace, frozenset())
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, InvalidActionError) as error:
        raise UsageError(
            f"{folder} lacks what a run's trace holds ({type(error).__name__}: {error}), so it cannot be resumed"
        ) from None
    surface = str(trace.manifest["surface"])
    note = NOTE_NEW_SCREEN if surface in NEW_SCREENS else NOTE_RESUMED
    if resumption.uncertain is not None:
        step = resumption.uncertain.step
        step = replace(step, notice="\n".join(filter(None, (step.notice, note))))
        return replace(resumption, uncertain=replace(resumption.uncertain, step=step))
    if resumption.history:
        last = resumption.history[-1]
        last = replace(last, notice="\n".join(filter(None, (last.notice, note))))
        return replace(resumption, history=(*resumption.history[:-1], last))
    return resumption


def _why_not_resumable(trace: Trace) -> str:
    name, end = trace.folder.name, trace.first("end")
    if trace.manifest["policy"].get("model") == "mcp client":
        return f"the run {name} is a session of `agent mcp`, which its client directed; only runs of `agent run` go on"
    if trace.status in FINISHED:
        return (
            f"the run {name} is finished ({trace.status}: {end.get('message', '')}); start a new one with `agent run`"
        )
    last = trace.finished[-1] if trace.finished else {}
    action = trace.action(last) if last else None
    is_over = bool(last and last["verdict"] and last["verdict"]["done"])
    if is_over or (action is not None and action.verb in ("done", "answer") and not last["error"]):
        return f"the run {name} is finished: its last step ended it; start a new one with `agent run`"
    return ""


def find_successor(trace: Trace) -> str:
    """Return the id of the run that resumed a run already, "" for none."""
    root, name = trace.folder.parent, trace.folder.name
    for run_id in reversed(list_runs(root)):
        if run_id == name:
            continue
        try:
            manifest = json.loads((root / run_id / MANIFEST).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        resumes = manifest.get("resumes") if isinstance(manifest, dict) else None
        if isinstance(resumes, dict) and resumes.get("run") == name:
            return run_id
    return ""


def _load(trace: Trace, visited: frozenset[Path]) -> Resumption:
    """Return the state of a run, together with that of the runs that it resumed."""
    base = Resumption(trace, (), None, Usage())
    resumes = trace.manifest.get("resumes")
    if resumes is not None:
        folder = _folder_of(trace, resumes)
        if folder in visited:
            raise UsageError(f"the runs in {folder.parent} resume each other; the traces were changed")
        base = _load(read_trace(folder), visited | {folder})
    uncertain, attempt = base.uncertain, _last_attempt(trace)
    history = [*base.history]
    answer = trace.first("resume")
    if uncertain is not None and answer and answer["answer"] not in ("repeat", "stop"):
        history.append(uncertain.resolved(answer["note"], answer["error"]))
        uncertain = None
    elif uncertain is not None and trace.finished:
        uncertain = None  # it was repeated
    own = trace.steps()
    if attempt is not None:
        own, uncertain = _split_uncertain(trace, own, attempt)
    elif own and not own[-1].notice and not own[-1].error and _is_cut(trace.finished[-1]):
        own[-1] = replace(own[-1], notice=NOTE_CUT.format(parts=trace.finished[-1]["parts"]))
    usage = _usage(trace, base.usage)
    return Resumption(trace, (*history, *own), uncertain, usage)


def _is_cut(result: JsonObject) -> bool:
    """Return whether further actions of the same reply were to follow a result."""
    return bool(result.get("part", 1) < result.get("parts", 1))


def _folder_of(trace: Trace, resumes: JsonObject) -> Path:
    """Return the folder of the run that a run resumed: beside it, or where it was then."""
    beside = trace.folder.parent / Path(str(resumes["run"])).name
    return beside if (beside / MANIFEST).is_file() else Path(str(resumes["folder"]))


def _last_attempt(trace: Trace) -> JsonObject | None:
    """Return the event of the last action if it may have been carried out without a recorded outcome, else None."""
    intent: JsonObject | None = None
    action: object = None
    may_be_done = False
    for event in trace.events:
        match event["event"]:
            case "act.intent":
                intent, action, may_be_done = event, event["action"], True
            case "decision":  # of an edited action, too
                action, may_be_done = event["action"], event["effect"] == "allow"
            case "approval":
                may_be_done = event["answer"] == "approved"
            case "paused":
                may_be_done = False
            case "act.result":
                intent = event if event["error"] and event["action"] else None
                action = event["action"]
            case "reply":
                intent = None
    if intent is None or not may_be_done:
        return None
    if intent["event"] == "act.result" and trace.first("end").get("cause") != "machine":
        return None  # a refusal, or a mistake of the model
    verb = str(intent["action"]["verb"])
    return None if verb in CONTROL_ACTIONS or verb == "wait" else {**intent, "action": action}


def _split_uncertain(
    trace: Trace, steps: Sequence[Step], attempt: JsonObject
) -> tuple[list[Step], UncertainAction | None]:
    """Return the steps without that of an uncertain action, and the uncertain action."""
    number = attempt["step"]
    results = [result for result in trace.finished if result["step"] == number]
    parts = [trace.to_step(result) for result in results]
    if attempt["event"] == "act.result":
        parts[-1] = replace(parts[-1], error="", notice=f"The machine failed during this action: {attempt['error']}")
    else:
        parts.append(trace.to_step({**attempt, "error": "", "note": "", "reward": 0.0, "seconds": 0.0}))
    step, before = merge_parts(parts), [step for step in steps if step.index != number]
    action = trace.action(attempt)
    assert action is not None
    screenshot = trace.folder / FRAMES / f"{step.screen.digest}.png"
    return before, UncertainAction(step, action, screenshot)


def _usage(trace: Trace, before: Usage) -> Usage:
    """Return what a run used of its policy's limits, added to what was used before it."""
    surface = str(trace.manifest["surface"]).partition(":")[0]
    actions = list(before.actions)
    proposal: Proposal | None = None
    is_allowed, digest, waited_s = False, "", 0.0

    def add_action() -> None:
        nonlocal proposal, is_allowed
        if is_allowed and proposal is not None:
            actions.append((proposal, digest))
        proposal, is_allowed = None, False

    for event in trace.events:
        match event["event"]:
            case "reply":
                digest = event["screen"]
            case "act.intent":
                proposal, is_allowed = None, False
            case "decision":
                proposal, is_allowed = _to_proposal(trace, event, surface), event["effect"] == "allow"
            case "approval":
                waited_s += float(event.get("waited_s", 0.0))
                is_allowed = event["answer"] == "approved"
            case "paused":
                is_allowed = False
            case "continued" | "person.end":
                waited_s += float(event.get("waited_s", 0.0))
            case "act.result":
                is_allowed = is_allowed and not event["error"]
                add_action()
    add_action()  # it may have been carried out
    times = [float(event["at"]) for event in trace.events]
    elapsed_s = max(0.0, times[-1] - times[0] - waited_s) if times else 0.0
    return Usage(tuple(actions), before.seconds + elapsed_s)


def _to_proposal(trace: Trace, event: JsonObject, surface: str) -> Proposal | None:
    """Return the action of a decision as a proposal; without facts where they are not those of this version."""
    action = trace.action(event)
    if action is None:
        return None
    try:
        facts = TypeAdapter(ActionFacts).validate_python(event["facts"]) if event["facts"] is not None else None
    except ValidationError:
        facts = None
    return Proposal(action, surface, event["screen_owner"] == "user", facts)
