"""Read what reports and videos show of a run out of its trace: a record for each action, and a summary.

Traces of older versions lack keys, and a trace that ends in a crash lacks events, so every key is optional here. The
hash chain was checked by `agent.trace.read_trace`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from actions import Action, Error, parse_action
from agent.safety.redaction import hide_credentials
from agent.trace import JsonObject, Trace
from agent.ui.formatting import (
    NO_LIMIT,
    decision_outcome,
    describe_action,
    describe_resumption,
    outcome_label,
    phase_seconds,
)

Outcome = Literal["done", "failed", "refused", "interrupted"]
_REFUSED_LABELS = ("refused", "denied", "not done")
NO_ACTION = "the reply stands for no action"
_FILE_FOLDERS = re.compile(r"file://[^\s\"'<>]*/(?=[^\s\"'<>/])")


@dataclass(frozen=True)
class ActionRecord:
    """One action of a run, or a reply that stands for none.

    Args:
        label: The step, with the part where a reply has several actions: "3", "3.2".
        outcome: What became of it.
        outcome_text: The same in the words of `agent runs show`.
        action: The action; None where there is none, or where this version does not know it.
        action_text: The action in words.
        before: Digest of the screenshot that the model saw, "" if unknown.
        after: Digest of the screenshot afterwards, "" if there is none.
        thought: The model's reasoning, "" without.
        reply: The model's whole reply.
        error: Why the action was not carried out, "" if it was.
        notice: What the surface reported.
        uncertainty: Why the predicted point is uncertain, "" if it is not.
        probability: Probability of the predicted point, None if unknown.
        decision: The `decision` event of the guard, {} without.
        approval: The last `approval` event, {} without.
        remarks: Pauses of the run and the outcome of an interrupted action, one sentence each.
        phases_s: Seconds by phase.
        seconds: Duration without the time that the user took to answer.
    """

    label: str
    outcome: Outcome
    outcome_text: str
    action: Action | None
    action_text: str
    before: str
    after: str
    thought: str
    reply: str
    error: str
    notice: str
    uncertainty: str
    probability: float | None
    decision: JsonObject
    approval: JsonObject
    remarks: tuple[str, ...]
    phases_s: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class RunRecord:
    """A run as reports and videos show it.

    Args:
        run_id: The name of its folder.
        goal: The task.
        status: How it ended; "broken off" when the process died before its end.
        message: Why it ended, "" if unknown.
        cause: The cause of the end, as in the trace; "" if unknown.
        reward: The task's reward, None without.
        proof: "verified", "claimed" or "refuted"; "" where no success was reported.
        findings: (state, expectation, detail) of each expectation of the user.
        duration_s: Seconds from the start to the end, or to the last event.
        facts: (name, value) of the model, the surface and the like.
        final_screen: Digest of the last screenshot, "" if there is none.
        is_truncated: Whether the last line of the trace was cut off by a crash.
        records: The actions.
    """

    run_id: str
    goal: str
    status: str
    message: str
    cause: str
    reward: float | None
    proof: str
    findings: tuple[tuple[str, str, str], ...]
    duration_s: float
    facts: tuple[tuple[str, str], ...]
    final_screen: str
    is_truncated: bool
    records: tuple[ActionRecord, ...]

    @property
    def is_success(self) -> bool:
        """Whether the run ended with success."""
        return self.status == "success"

    def digests(self) -> list[str]:
        """Return the digests of the screenshots, each once, in the order of the run."""
        names = [digest for record in self.records for digest in (record.before, record.after)]
        return list(dict.fromkeys(digest for digest in (*names, self.final_screen) if digest))


class _TraceReader:
    """Collects the events of one action until its result is read."""

    def __init__(self) -> None:
        self.reply: JsonObject = {}
        self.screen = ""  # the latest one
        self.start_next()

    def start_next(self) -> None:
        """Forget the events of the last action."""
        self.intent: JsonObject = {}
        self.decision: JsonObject = {}
        self.approval: JsonObject = {}
        self.remarks: list[str] = []

    def records(self, trace: Trace) -> Iterator[ActionRecord]:
        """Yield the record of each action, in order."""
        is_open = False  # there is a reply or an intent without a result
        for event in trace.events:
            match event.get("event"):
                case "start":
                    self.screen = _text(event, "screen")
                case "reply":
                    self.reply, self.screen, is_open = event, _text(event, "screen") or self.screen, True
                case "act.intent":
                    self.intent, is_open = event, True
                case "decision":
                    self.decision = event
                case "approval":
                    edited = event.get("edited") or self.approval.get("edited")
                    self.approval = {**event, "edited": edited} if edited else event
                case "paused":
                    self.remarks.append(f"the run was paused: {_text(event, 'why')}")
                case "resume":
                    self.remarks.append(_resumption_text(event))
                case "act.result":
                    yield self._record(event)
                    self.screen, is_open = _text(event, "screen") or self.screen, False
                    self.start_next()
        if is_open:
            yield self._open_record(has_ended=bool(_first(trace, "end")))

    def _record(self, result: JsonObject) -> ActionRecord:
        action, text = _action(result)
        if self.approval.get("edited"):  # the person had this done in the place of it
            action, edited_text = _action({"action": self.approval["edited"]})
            text = f"{edited_text}, not {text}"
        error = _text(result, "error")
        approval = _text(self.approval, "answer")
        decided = decision_outcome(self.decision) if {"effect", "layer"} <= self.decision.keys() else ""
        label = outcome_label(error, approval or decided)
        outcome: Outcome = "done" if not error else "refused" if label in _REFUSED_LABELS else "failed"
        return self._build(
            result,
            outcome=outcome,
            outcome_text="done" if not error else label,
            action=action,
            action_text=text,
            after=_text(result, "screen"),
            error=error,
        )

    def _open_record(self, *, has_ended: bool) -> ActionRecord:
        """Return the record of a reply or an action whose result is missing."""
        if self.intent:
            action, text = _action(self.intent)
            error = "the run was interrupted here: this may or may not have been carried out"
        else:
            action, text = None, "no action yet"
            error = "the run ended here, before an action" if has_ended else "the run was interrupted before an action"
        return self._build(
            self.intent or self.reply,
            outcome="interrupted",
            outcome_text="interrupted",
            action=action,
            action_text=text,
            after="",
            error=error,
        )

    def _build(
        self,
        event: JsonObject,
        *,
        outcome: Outcome,
        outcome_text: str,
        action: Action | None,
        action_text: str,
        after: str,
        error: str,
    ) -> ActionRecord:
        reply, call = _mapping(self.reply, "reply"), _mapping(event, "call")
        looks = reply.get("looks")
        look = looks[0] if isinstance(looks, list) and looks and isinstance(looks[0], Mapping) else {}
        timings_s = {name: _seconds(value) for name, value in _mapping(event, "timings_s").items()}
        parts = event.get("parts")
        return ActionRecord(
            label=_text(event, "step") + (f".{_text(event, 'part')}" if parts else ""),
            outcome=outcome,
            outcome_text=outcome_text,
            action=action,
            action_text=action_text,
            before=self.screen,
            after=after,
            thought=_text(call, "thought"),
            reply=_text(reply, "text"),
            error=shareable(error),
            notice=_text(event, "note"),
            uncertainty=_text(reply, "doubt"),
            probability=_number(look.get("probability")),
            decision=self.decision,
            approval=self.approval,
            remarks=tuple(self.remarks),
            phases_s=phase_seconds(timings_s),
            seconds=_seconds(event.get("seconds")),
        )


def read_run(trace: Trace) -> RunRecord:
    """Return what reports and videos show of a run."""
    start, end, manifest = _first(trace, "start"), _first(trace, "end"), _object(trace.manifest)
    records = tuple(_TraceReader().records(trace))
    times = [_seconds(event.get("at")) for event in trace.events if event.get("at")]
    screens = [_text(event, "screen") for event in trace.events if _text(event, "screen")]
    return RunRecord(
        run_id=trace.folder.resolve().name,
        goal=_text(start, "goal") or _text(manifest, "goal"),
        status=_text(end, "status") or "broken off",
        message=_text(end, "message"),
        cause=_text(end, "cause"),
        reward=_number(end.get("reward")),
        proof=_text(_mapping(end, "proof"), "outcome"),
        findings=tuple(_findings(end)),
        duration_s=_seconds(end.get("duration_s")) or (times[-1] - times[0] if times else 0.0),
        facts=tuple(_facts(manifest, start, end)),
        final_screen=screens[-1] if screens else "",
        is_truncated=trace.truncated,
        records=records,
    )


def _findings(end: JsonObject) -> Iterator[tuple[str, str, str]]:
    findings = _mapping(end, "proof").get("findings")
    for finding in findings if isinstance(findings, list) else []:
        if isinstance(finding, Mapping):
            yield _text(finding, "state"), _text(finding, "expectation"), _text(finding, "detail")


def _facts(manifest: JsonObject, start: JsonObject, end: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield (name, value); paths of this machine and settings are left out, because reports are passed on."""
    policy, versions = _mapping(manifest, "policy"), _mapping(manifest, "versions")
    layers = _mapping(manifest, "safety_policy").get("layers")
    sources = [_text(layer, "source") for layer in layers if isinstance(layer, Mapping)] if layers else []
    resumes, forks = _mapping(manifest, "resumes"), _mapping(manifest, "forks")
    yield "model", " ".join(filter(None, [_text(policy, "model"), _text(policy, "fingerprint")]))
    yield "dialect", _text(policy, "dialect")
    yield "surface", _text(manifest, "surface")
    yield "start page", _text(manifest, "url")
    yield "seed", _text(start, "seed") or _text(manifest, "seed")
    yield "guard", ", ".join(sources)
    yield "forks", f"{_text(forks, 'run')} after step {_text(forks, 'step')}" if forks else ""
    yield "resumes", f"{_text(resumes, 'run')} after {_text(resumes, 'steps')} steps" if resumes else ""
    yield "tokens", f"{_text(end, 'prompt_tokens')} read, {_text(end, 'reply_tokens')} written" if end else ""
    yield "pixelhand", _text(versions, "pixelhand")
    yield "platform", _text(manifest, "platform")


def _action(event: JsonObject) -> tuple[Action | None, str]:
    """Return the action of an event and its words; an action of another version has its values as words."""
    return _parse(event.get("action"))


def shareable(text: str) -> str:
    """Return a text without the credentials in its addresses and the folders of this machine in its file addresses."""
    return _FILE_FOLDERS.sub("file:…/", hide_credentials(text))


def describe_recorded_action(value: object) -> str:
    """Return an action of a trace in words."""
    return _parse(value)[1]


def _parse(value: object) -> tuple[Action | None, str]:
    if not isinstance(value, Mapping):
        return None, NO_ACTION
    try:
        action = parse_action(dict(value))
    except (Error, TypeError, ValueError):
        values = " ".join(str(item) for item in value.values() if item not in ("", None, []))
        return None, shareable(f"unknown action: {values}")
    return action, shareable(describe_action(action, NO_LIMIT))


def _resumption_text(event: JsonObject) -> str:
    action, text = _action(event)
    if action is None or "answer" not in event:
        return f"the run was resumed: {text}"
    return f"the run was resumed; {describe_resumption({**event, 'action': action})}"


def _first(trace: Trace, name: str) -> JsonObject:
    return next((event for event in trace.events if event.get("event") == name), {})


def _object(value: object) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _mapping(event: JsonObject, key: str) -> JsonObject:
    return _object(event.get(key))


def _text(event: JsonObject, key: str) -> str:
    """Return a value as text without credentials of addresses; "" where it is absent or null."""
    value = event.get(key)
    return "" if value is None else shareable(str(value))


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def _seconds(value: object) -> float:
    return max(0.0, _number(value) or 0.0)
