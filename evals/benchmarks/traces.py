"""Recorded runs as a benchmark: whether a model does the same on the same screens, with the same history.

The folder is that of one run, or one of runs, of which those that succeeded count. Each step is asked for by itself,
with the recorded steps before it as history. The first action of a prediction is compared with that of the step:

`box`: the same verb; a point within the box of the element that was touched, where the trace has it, else within 14
    pixels or 0.04 of the screen's diagonal, whichever is more; the same button and count of a click; the same text,
    keys, address or status; the same direction of a scroll. The ends of a drag are each within the distance.
`distance`: the same without boxes.

Agreement is not correctness: another way to the same end counts as a difference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actions import (
    ACTION_ADAPTER,
    ACTION_TYPES,
    CONTROL_ACTIONS,
    Action,
    Answer,
    Click,
    Done,
    Drag,
    Open,
    PressKeys,
    Scroll,
    Step,
    TypeText,
    UsageError,
)
from agent.replay.recording import PerformedAction, recorded_actions
from agent.safety.redaction import MASK
from agent.trace import EVENTS, FRAMES, MANIFEST, JsonObject, Trace, list_runs, read_trace
from evals.files import revision
from evals.metrics import trajectory
from evals.metrics.geometry import Box, Point, box_contains, box_polygon
from evals.types import (
    Benchmark,
    Dataset,
    EvaluationResult,
    Finding,
    Outcome,
    Prediction,
    Reference,
    SampleScore,
    count_correct,
    count_outcomes,
)

NAME = "traces"
PROTOCOLS = ("box", "distance")
MIN_DISTANCE_PX, DIAGONAL_FRACTION = 14.0, 0.04
TYPE, TARGET, TEXT = "type", "target", "text"  # sub-scores of a step
MACHINE_VERBS = frozenset(ACTION_TYPES) - CONTROL_ACTIONS
VERBS_BY_SURFACE = {  # what a policy may do there
    "desktop": MACHINE_VERBS - {"open", "back", "home"},
    "android": MACHINE_VERBS - {"move"},
}


@dataclass(frozen=True)
class TraceStep:
    """One step of a recorded run.

    Args:
        id: RUN/STEP.
        episode: The run.
        goal: Its task.
        image: Path of the screenshot; absolute, so that it needs no folder images/.
        size: Width and height of the screenshot in pixels.
        action: The first action of the step.
        box: The element that the action was on; None where that is unknown.
        verbs: What a policy may do on the surface.
        history: The steps before it.
        instruction: Always "": runs have none for a step.
    """

    id: str
    episode: str
    goal: str
    image: str
    size: tuple[int, int]
    action: Action
    box: Box | None
    verbs: frozenset[str]
    history: tuple[Step, ...] = field(repr=False, compare=False)
    instruction: str = ""


# ---- reading


def read_dataset(folder: Path) -> Dataset:
    """Read a run, or the runs of a folder; what is left out is counted in a note.

    Raises:
        UsageError: There is no run, or no step that can be compared.
    """
    is_single = (folder / MANIFEST).is_file()
    folders = [folder] if is_single else [folder / name for name in list_runs(folder)]
    if not folders:
        raise UsageError(f"{folder} is neither a run nor a folder of runs; `agent runs list` prints where runs are")
    steps: list[TraceStep] = []
    left_out: Counter[str] = Counter()
    files = []
    for run in folders:
        try:
            trace = read_trace(run)
            if not is_single and trace.status != "success":
                left_out[f"of runs that ended with '{trace.status}'"] += trace.count
                continue
            read = list(_read_run(trace, left_out))
        except (UsageError, KeyError, TypeError, ValueError, AttributeError, StopIteration):
            left_out["damaged runs, counted as one step each"] += 1
            continue
        steps += read
        files.append(run / EVENTS)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()) if count)
    if not steps:
        raise UsageError(f"no step of {folder} can be compared" + (f"; left out: {reasons}" if reasons else ""))
    notes = (f"left out {left_out.total():,} steps: {reasons}",) if left_out.total() else ()
    return Dataset(folder, revision(files), steps, notes, extra={"left_out": dict(left_out)})


def _read_run(trace: Trace, left_out: Counter[str]) -> Iterator[TraceStep]:
    """Yield the steps of a run that can be compared; count the others by their reason."""
    surface = str(trace.manifest.get("surface") or "browser").partition(":")[0]
    verbs = VERBS_BY_SURFACE.get(surface, MACHINE_VERBS)
    goal = str(trace.first("start")["goal"])
    name = trace.folder.resolve().name
    earlier = _readable_steps(trace)
    results: dict[int, JsonObject] = {}
    performed: dict[int, PerformedAction] = {}
    for recorded in recorded_actions(trace):
        if recorded.proposed is not None:  # no person's own
            performed.setdefault(recorded.number, recorded)
    for result in trace.finished:
        results.setdefault(result["step"], result)
    if "resumes" in trace.manifest:
        left_out["of runs that went on from another one, whose first steps are elsewhere"] += len(results)
        return
    for number, result in results.items():
        step = next((step for step in earlier if step.index == number), None)
        problem = _why_left_out(trace, number, result)
        if problem or step is None:
            left_out[problem or "without their screenshot, or one of those before it"] += 1
            continue
        screen, size = step.screen.digest, (step.screen.width, step.screen.height)
        path = (trace.folder / FRAMES / f"{screen}.png").absolute()
        item = performed.get(number)  # what a person put in its place counts, where somebody did
        action = item.action if item is not None else ACTION_ADAPTER.validate_python(result["action"])
        box = _recorded_box(item) if item is not None else None
        history = tuple(step for step in earlier if step.index < number)
        yield TraceStep(f"{name}/{number}", name, goal, str(path), size, action, box, verbs, history)


def _why_left_out(trace: Trace, number: int, result: JsonObject) -> str:
    """Return why a step cannot be compared, "" if it can."""
    if not result["action"]:
        return "without an action"
    if result["error"]:
        return "whose action was not carried out"
    if MASK in str(result["action"].get("text", "")):
        return "that type a secret"
    reply = trace.reply(number)
    if reply.get("masked") or (not _tells_masks(trace) and _typed_secret_before(trace, number)):
        return "with a masked screenshot"
    return ""


def _readable_steps(trace: Trace) -> list[Step]:
    """Return the steps of a run, up to the first one whose screenshot cannot be read."""
    for index, event in enumerate(trace.events):
        if event["event"] == "reply":
            try:
                trace.screen(event["screen"])
            except UsageError:
                return replace(trace, events=trace.events[:index]).steps()
    return trace.steps()


def _tells_masks(trace: Trace) -> bool:
    """Return whether the trace says which screenshots are masked, as those of older versions do not."""
    return any(event.get("masked") for event in trace.events)


def _typed_secret_before(trace: Trace, number: int) -> bool:
    return any(
        result["step"] < number and result["action"] and MASK in str(result["action"].get("text", ""))
        for result in trace.finished
    )


def _recorded_box(item: PerformedAction) -> Box | None:
    """Return the box of the element that an action was on, in pixels with both edges; None where it is unknown."""
    target = item.targets[0] if item.targets else None
    if target is None or not target.get("area"):
        return None
    left, top, width, height = target["area"]
    return left, top, left + width - 1, top + height - 1


# ---- scoring


def score_sample(task: TraceStep, prediction: Prediction, protocol: str) -> SampleScore:
    """Return whether a prediction is the recorded action."""
    return _score(task, prediction, protocol)


def _score(task: TraceStep, prediction: Prediction | None, protocol: str) -> SampleScore:
    actions = trajectory.parse_actions(prediction) if prediction is not None else None
    if not actions:
        outcome: Outcome = "missing" if prediction is None else "wrong_format"
        return SampleScore(task.id, outcome, task.episode, 0.0, dict.fromkeys(_expected_parts(task.action), 0.0))
    parts = agreement(task, actions[0], protocol)
    agrees = all(parts.values())
    return SampleScore(
        task.id,
        "correct" if agrees else "wrong",
        task.episode,
        float(agrees),
        {name: float(value) for name, value in parts.items()},
    )


def _expected_parts(action: Action) -> tuple[str, ...]:
    """Return the names of the sub-scores of an action."""
    return (TYPE, *([TARGET] if action.points() else []), *([TEXT] if _text(action) is not None else []))


def agreement(task: TraceStep, predicted: Action, protocol: str) -> dict[str, bool]:
    """Return which parts of a predicted action are those of the recorded one: type, target and text, if it has them."""
    recorded = task.action
    is_same_type = _type(predicted) == _type(recorded)
    parts = {TYPE: is_same_type}
    if recorded.points():
        parts[TARGET] = is_same_type and _is_same_target(task, predicted, protocol)
    if _text(recorded) is not None:
        parts[TEXT] = is_same_type and _text(predicted) == _text(recorded)
    return parts


def _type(action: Action) -> tuple[object, ...]:
    """Return what makes the type of an action: its verb, and the kind of a click, direction of a scroll or status."""
    match action:
        case Click():
            return action.verb, action.button, action.count, frozenset(action.modifiers)
        case Scroll():
            return action.verb, trajectory.scroll_direction(action)
        case Done():
            return action.verb, action.status
    return (action.verb,)


def _text(action: Action) -> str | None:
    """Return the text, keys or address of an action, None for one without."""
    match action:
        case TypeText(text=text) | Answer(text=text):
            return text
        case PressKeys(keys=keys):
            return "+".join(keys)
        case Open(target=target):
            return target.strip().rstrip("/").casefold()
    return None


def _is_same_target(task: TraceStep, predicted: Action, protocol: str) -> bool:
    recorded_points, points = task.action.points(), predicted.points()
    if not points:
        return False
    if isinstance(task.action, Drag):
        ends = ((recorded_points[0], points[0]), (recorded_points[-1], points[-1]))
        return all(_is_near(task, recorded, point) for recorded, point in ends)
    if task.box is not None and protocol == "box":
        return box_contains(task.box, points[0])
    return _is_near(task, recorded_points[0], points[0])


def _is_near(task: TraceStep, recorded: Point, point: Point) -> bool:
    return math.dist(recorded, point) <= max(MIN_DISTANCE_PX, DIAGONAL_FRACTION * math.hypot(*task.size))


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return how far predictions agree with the recorded actions: of all steps, by kind of action, and by run."""
    known = known or {}
    tasks: Sequence[TraceStep] = dataset.tasks
    scores = [
        known[task.id] if task.id in known else _score(task, predictions.get(task.id), protocol) for task in tasks
    ]
    rows = list(zip(tasks, scores, strict=True))
    metrics: dict[str, Any] = {
        name: count_correct(bool(sample.parts[name]) for _, sample in rows if name in sample.parts)
        for name in (TYPE, TARGET, TEXT)
    }
    metrics["step"] = count_correct(sample.outcome == "correct" for sample in scores)
    metrics["run"] = trajectory.episode_accuracy(scores, [task.episode for task in tasks])
    groups = {f"same {name}": metrics[name] for name in (TYPE, TARGET, TEXT) if metrics[name]["total"]}
    groups["whole runs"] = {key: metrics["run"][key] for key in ("correct", "total", "accuracy")}
    for kind, key in (("action", lambda task: task.action.verb), ("run", lambda task: task.episode)):
        for name in dict.fromkeys(map(key, tasks)):
            groups[f"{kind} {name}"] = count_correct(
                sample.outcome == "correct" for task, sample in rows if key(task) == name
            )
    unboxed = sum(bool(task.action.points()) and task.box is None for task in tasks)
    notes = [f"{unboxed:,} points have no recorded element; a distance decides there"] if unboxed else []
    return EvaluationResult(
        NAME,
        protocol,
        dataset.revision,
        tuple(scores),
        metrics,
        {
            "agreement (of steps)": count_outcomes(scores)["accuracy"],
            "progress (mean of runs)": metrics["run"]["progress"],
        },
        "episode",
        groups=groups,
        notes=(*dataset.notes, *notes),
    )


def oracle(task: TraceStep) -> Prediction:
    """Return the recorded action as a prediction."""
    action = ACTION_ADAPTER.dump_python(task.action, mode="json")
    return {"id": task.id, "actions": [action], "reply": "as recorded"}


def reference(task: TraceStep, size: tuple[int, int]) -> Reference:
    """Return the box of the touched element, and the recorded action in words."""
    from agent.ui.formatting import describe_action

    return Reference((box_polygon(task.box),) if task.box is not None else (), describe_action(task.action))


def check_annotations(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the traces: a point beside the element that it was on."""
    outside = [
        task.id
        for task in dataset.tasks
        if task.box is not None and task.action.points() and not box_contains(task.box, task.action.points()[0])
    ]
    return [("point outside its recorded element", outside)] if outside else []


def _history(task: TraceStep) -> tuple[Step, ...]:
    return task.history


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        "agent run, which writes a trace of each run",
        "agent run; a run's screenshots are in its folder frames/",
        PROTOCOLS,
        read_dataset,
        score,
        score_sample,
        oracle,
        check_annotations,
        verbs=MACHINE_VERBS,
        has_episodes=True,
        reference=reference,
        history=_history,
        env_id="pixelhand/Traces-v0",
    )
}
