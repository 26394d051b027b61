"""compile_trace: make a program of a recorded run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from actions import Action, Drag, PressKeys, Screen, TypeText, UsageError
from actions.screen import Area
from agent.replay.anchors import make_crop, offset_in
from agent.replay.landmarks import make_landmarks
from agent.replay.parameters import ParameterTable
from agent.replay.program import Anchor, Program, ProgramStep
from agent.safety.pointer_watch import MOUSE_MOVED
from agent.safety.redaction import MASK
from agent.trace import JsonObject, Trace
from envs.miniwob import pages

MAX_POINTS = 2  # of a drag
PERSON_EVENT = "person.act"
PERSON = "person"  # the model of a demonstration's manifest
OWN_HANDS = "taken over"  # the answer of an approval after which the person acts on the screen
STOPS = frozenset({"interrupted", "signal"})  # causes with which a person ends a demonstration
NO_ELEMENTS = frozenset({"document", "window"})  # roles of what contains other elements, which the facts do not tell


class PerformedAction:
    """An action that was performed, with what was known before and after it.

    Attributes:
        number: Its step.
        action: The action as it was carried out.
        proposed: The action as the model proposed it; None for a person's.
        result: Its `act.result` event.
        targets: What each of its points is on; None where that is unknown.
        focus: What keyboard input goes to; None where that is unknown, and for other actions.
        before: Digest of the screenshot before it.
    """

    def __init__(
        self, number: int, action: Action, intent: JsonObject, decision: JsonObject, result: JsonObject
    ) -> None:
        self.number, self.action, self.result = number, action, result
        self.proposed: Action | None = None
        is_same = not decision or decision["action"] == intent["action"]
        self.targets: list[JsonObject | None] = [_known(item) for item in intent.get("targets", ())] if is_same else []
        if not self.targets:
            facts = decision.get("facts") or {}
            self.targets = [_known(item) for item in facts.get("elements", ())]
        count = len(action.points())
        self.targets = (self.targets + [None] * count)[:count]
        focus = (decision.get("facts") or {}).get("focus") if isinstance(action, TypeText | PressKeys) else None
        self.focus: JsonObject | None = focus
        self.before = ""  # digest of the screenshot

    def labels(self) -> list[str]:
        """Return what was typed, and the labels of what was touched."""
        texts = [self.action.text] if isinstance(self.action, TypeText) else []
        return texts + [str(item["label"]) for item in self.targets if item is not None and item["label"]]


def compile_trace(trace: Trace) -> Program:
    """Return the program of a run that succeeded.

    Raises:
        UsageError: The run did not succeed, or did something that cannot be replayed.
    """
    name = trace.folder.name
    require_complete(trace, "replayed")
    actions = performed_actions(trace)
    if not actions:
        raise UsageError(f"the run {name} did nothing on the screen; there is nothing to replay")
    table = ParameterTable(stated_goal(trace), [text for item in actions for text in item.labels()])
    fields = [_fields(item, table) for item in actions]
    labels = [
        [table.label(str(target["label"]), item.number) if target is not None else "" for target in item.targets]
        for item in actions
    ]
    steps = tuple(_step(*parts, trace, table) for parts in zip(actions, fields, labels, strict=True))
    settings: Mapping[str, Any] = trace.manifest.get("settings") or {}
    expect = tuple(table.observed(source) for source in settings.get("expect", ()))
    first = trace.screen(actions[0].before)
    url = str(trace.manifest.get("url") or "")
    return Program(
        goal=table.goal_template(),
        surface=str(trace.manifest.get("surface") or "browser"),
        url=url,
        seed=trace.manifest.get("seed") if pages.is_miniwob_address(url) else None,
        size=(first.width, first.height),
        page_size=(int(settings.get("width", 1288)), int(settings.get("height", 728))),
        parameters=table.used,
        steps=steps,
        expect=expect,
        window=str(settings.get("window") or ""),
        program=str(settings.get("program") or ""),
    )


def require_complete(trace: Trace, use: str) -> None:
    """Raise UsageError unless a run succeeded in one piece, or is a demonstration that the person ended.

    Args:
        trace: The run.
        use: What is to be done with it, such as "replayed".
    """
    name = trace.folder.name
    is_demonstration = (trace.manifest.get("policy") or {}).get("model") == PERSON
    is_ended_by_person = is_demonstration and trace.status == "stopped" and trace.first("end").get("cause") in STOPS
    if trace.status != "success" and not is_ended_by_person:
        raise UsageError(f"the run {name} ended with '{trace.status}'; only a run that succeeded can be {use}")
    if "resumes" in trace.manifest:
        raise UsageError(
            f"the run {name} went on from another one, so its trace has no beginning; record it in one run"
        )
    if _has_unrecorded_acts(trace):
        raise UsageError(
            f"a person used the screen of the run {name} outside the viewer, which its trace does not contain, so it "
            f"cannot be {use}; run it again untouched, or act in the viewer (agent run --view)"
        )


def _has_unrecorded_acts(trace: Trace) -> bool:
    """Return whether a person acted, or may have acted, without the viewer, which alone records actions."""
    waits = False  # for the viewer's record of what the person did instead of an action
    for event in trace.events:
        match event["event"]:
            case "approval":
                waits = event["answer"] == OWN_HANDS
            case "person.begin":
                waits = False
            case "paused" if event["why"] == MOUSE_MOVED:
                return True
            case "reply" | "end" if waits:
                return True
    return False


def stated_goal(trace: Trace) -> str:
    """Return the goal of a run, without the note about a person who took over before the first step."""
    start_goal = trace.first("start").get("goal")
    return str(start_goal) if start_goal and trace.first(PERSON_EVENT) else trace.goal


def performed_actions(trace: Trace) -> list[PerformedAction]:
    """Return the actions of a run that were carried out, a person's among them, without the one that ended it.

    Raises:
        UsageError: One of them is a question or an answer, or a person's in a trace that does not describe it.
    """
    name = trace.folder.name
    actions = list(recorded_actions(trace))
    for item in actions:
        if item.action.verb in ("ask", "answer"):
            raise UsageError(
                f"step {item.number} of the run {name} is '{item.action.verb}', which needs a model or a person; such "
                "a run cannot be replayed"
            )
        if not item.before:
            raise UsageError(
                f"a person acted in the run {name}, and an earlier version recorded it without screens and targets; "
                "record it again"
            )
    return actions


def recorded_actions(trace: Trace) -> Iterator[PerformedAction]:
    """Yield the actions of a run that were carried out; one of a person has `before` "" in a trace without screens."""
    count = 0
    screen, intent, decision = "", {}, {}  # type: str, JsonObject, JsonObject
    edit: JsonObject = {}  # the last approval that replaced the action
    for event in trace.events:
        if event["event"] == "act.intent":
            intent, decision, edit = event, {}, {}
        elif event["event"] == "decision":
            decision = event
        elif event["event"] == "approval" and event["answer"] == "edited":
            edit = event
        elif event["event"] == "act.result" and event["action"] and not event["error"]:
            action = trace.action(decision or event)
            if action is None or action.verb == "done":
                continue
            described = {**edit, "action": edit["edited"]} if edit else intent
            recorded = PerformedAction(event["step"], action, described, decision, event)
            recorded.before, recorded.proposed = screen, trace.action(event)
            count += 1
            yield recorded
        elif event["event"] == PERSON_EVENT and not event["error"]:
            action = trace.action(event)
            if action is None or action.verb == "wait":
                continue
            count += 1
            recorded = PerformedAction(count, action, event, event, event)
            recorded.before = event.get("before", "")
            yield recorded
        if event["event"] in ("start", "reply", "act.result", "writes.note", "person.act", "person.end") and event.get(
            "screen"
        ):
            screen = event["screen"]


def _fields(item: PerformedAction, table: ParameterTable) -> dict[str, Any]:
    """Return the fields of an action but its points, with templates in place of the texts."""
    action = item.action
    if isinstance(action, Drag) and len(action.path) > MAX_POINTS:
        raise UsageError(f"step {item.number} drags through {len(action.path)} points, which cannot be replayed")
    fields = action.model_dump(mode="json", exclude_defaults=True, exclude={"verb", "x", "y", "path"})
    for name in ("text", "target"):
        if name in fields and MASK in fields[name]:
            fields[name] = table.hidden()
        elif name in fields:
            convert = table.typed if isinstance(action, TypeText) else table.label
            fields[name] = convert(fields[name], item.number)
    return fields


def _step(
    item: PerformedAction, fields: dict[str, Any], labels: list[str], trace: Trace, table: ParameterTable
) -> ProgramStep:
    screen = trace.screen(item.before)
    places = zip(item.action.points(), item.targets, labels, strict=True)
    anchors = tuple(_anchor(screen, point.x, point.y, target, label, table) for point, target, label in places)
    appears, holds = (
        tuple(dict.fromkeys(filter(None, (table.appeared(str(text)) for text in item.result.get(name, ())))))
        for name in ("appeared", "filled")
    )
    return ProgramStep(
        verb=item.action.verb,
        fields=fields,
        anchors=anchors,
        focus=_focus(item.focus, table),
        changes=item.action.verb != "wait" and item.before != item.result["screen"],
        appears=appears,
        holds=holds,
        notice=str(item.result.get("note") or ""),
    )


def _anchor(screen: Screen, x: int, y: int, target: JsonObject | None, label: str, table: ParameterTable) -> Anchor:
    area: Area | None = None
    if target is not None and "area" in target:
        left, top, width, height = target["area"]
        area = (left, top, width, height)
    crop = make_crop(screen, x, y, area)
    anchor = Anchor(crop=crop.png, crop_point=crop.point, rival=crop.rival, place=(x, y))
    if target is None:
        landmarks, box = make_landmarks(screen.pixels, x, y)
        return replace(anchor, landmarks=landmarks, box=box)
    return replace(
        anchor,
        role=str(target["role"]),
        label=label,
        field=str(target["field"]),
        neighbors=tuple(table.observed(str(text)) for text in target.get("neighbors", ())),
        offset=offset_in(area, x, y) if area is not None else (0.5, 0.5),
    )


def _focus(focus: JsonObject | None, table: ParameterTable) -> tuple[str, ...]:
    if focus is None:
        return ()
    return str(focus["role"]), table.observed(str(focus["label"])), str(focus["field"])


def _known(target: JsonObject | None) -> JsonObject | None:
    """Return a target that its role or label identifies; None for another one."""
    if target is None or target["role"] in NO_ELEMENTS or not (target["role"] or target["label"]):
        return None
    return target
