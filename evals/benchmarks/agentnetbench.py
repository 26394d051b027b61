"""AgentNetBench: recorded desktop episodes with several actions per step and partial credit.

Source: xlang-ai/OpenCUA, evaluation/agentnetbench/eval.py. The script changed without a new version name, so the
commit is the protocol: `opencua-1d70f20` (of the published numbers; keys compare as sets and any scroll is correct;
implemented from a reader's description) and `opencua-60da8b9` (keys compare in order, scrolls by direction and amount,
more actions than recorded are penalized).

A step's score is the mean over its kinds of action, for the best of the recorded actions and their alternatives.
"correct" counts the steps that score 1; the published number is `average_step_score`. A step's id is EPISODE/step_num.
A Scroll at a point counts as a move and a scroll where the recording has both.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions import (
    Action,
    Answer,
    Click,
    Done,
    Drag,
    InvalidActionError,
    Move,
    PressKeys,
    Scroll,
    TypeText,
    UsageError,
    Wait,
)
from actions.keys import normalize_key
from actions.rewards import is_success
from evals.files import annotation_files, format_error, image_size, read_json, revision
from evals.metrics import trajectory
from evals.metrics.geometry import box_polygon
from evals.metrics.text_distance import levenshtein
from evals.stats import mean, ratio
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Outcome, Prediction, Reference, SampleScore

NAME = "agentnetbench"
SOURCE = "github.com/xlang-ai/OpenCUA, evaluation/agentnetbench/sample_data (0.1 MB, 5 episodes)"
IMAGE_SOURCE = "the same folder (54 images, 22 MB)"
CLICK_RADIUS = 0.01 * 2**0.5  # of the screen: a click within this distance scores 1
DECAY = 120.0  # beyond it the score is exp(-DECAY * (distance - CLICK_RADIUS))
TEXT_SIMILARITY = 0.8  # texts at least this similar score 1
AT_POINT = ("click", "doubleclick", "rightclick", "tripleclick", "moveto", "dragto")
CLICKS = {("left", 1): "click", ("left", 2): "doubleclick", ("left", 3): "tripleclick", ("right", 1): "rightclick"}
VERBS = frozenset({"click", "move", "drag", "scroll", "type", "press", "wait"})
OLD, NEW = "opencua-1d70f20", "opencua-60da8b9"


@dataclass(frozen=True)
class RecordedAction:
    """One action in the benchmark's vocabulary, recorded or predicted."""

    kind: str  # lower case
    value: Any = None  # a normalized point, a text, keys, a scroll amount (up is positive), or a status
    boxes: tuple[tuple[float, ...], ...] = ()  # x, y, width, height, normalized


@dataclass(frozen=True)
class RecordedDesktopStep:
    """One recorded step of a desktop episode."""

    id: str
    episode: str
    image: str  # file name below images/
    size: tuple[int, int] | None  # None without the image: clicks cannot be scored then
    goal: str
    instruction: str
    options: tuple[tuple[RecordedAction, ...], ...]  # the recorded actions, then the alternatives
    milestone: bool = False


def read_dataset(folder: Path) -> Dataset:
    """Read the annotations, one JSON file per episode."""
    files = annotation_files(folder, ("*.json",), SOURCE)
    steps: list[RecordedDesktopStep] = []
    for path in files:
        episode = read_json(path)
        try:
            steps += [_read_step(episode, record, folder / "images") for record in episode["steps"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path} is not in AgentNetBench's format ({format_error(error)})") from None
    return Dataset(folder, revision(files), steps)


def _read_step(episode: Mapping[str, Any], record: Mapping[str, Any], images: Path) -> RecordedDesktopStep:
    image = str(record["image"])
    return RecordedDesktopStep(
        id=f"{episode['task_id']}/{record['step_num']}",
        episode=str(episode["task_id"]),
        image=image,
        size=image_size(images / image) if (images / image).is_file() else None,
        goal=str(episode["high_level_task_description"]),
        instruction=str(record.get("inner_monologue", {}).get("low_level_instruction", "")),
        options=tuple(
            tuple(_read_action(action) for action in option)
            for option in (record["ground_truth_actions"], *record.get("alternative_options", ()))
        ),
        milestone=bool(record.get("milestone")),
    )


def _read_action(record: Mapping[str, Any]) -> RecordedAction:
    kind, params = str(record["type"]).lower(), record["params"]
    boxes = tuple(tuple(box["rel_bbox"]) for box in record.get("metadata", {}).get("bboxes", ()))
    if kind in AT_POINT:
        return RecordedAction(kind, (params["position"]["x"], params["position"]["y"]), boxes)
    if kind == "write":
        return RecordedAction(kind, params.get("content") or params.get("text") or "")
    if kind in ("press", "hotkey"):
        return RecordedAction(kind, tuple(_normalize_key(key) for key in params["keys"]))
    if kind in ("scroll", "hscroll"):
        return RecordedAction(kind, params["amount"])
    return RecordedAction(kind, params.get("status") if kind == "terminate" else None)


def _normalize_key(name: str) -> str:
    """Return the schema's name of a key in lower case, so that "return" and "enter" are equal."""
    try:
        return normalize_key(name).lower()
    except InvalidActionError:
        return name.lower()


# ---- predictions


def alternatives(step: RecordedDesktopStep, actions: Sequence[Action]) -> Iterator[tuple[RecordedAction, ...]]:
    """Yield the predicted actions in the benchmark's vocabulary: scrolls with the move that they imply, and without."""
    converted = [_convert(step, action) for action in actions]
    yield tuple(item for items in converted for item in items)
    if any(isinstance(action, Scroll) for action in actions):
        pairs = zip(actions, converted, strict=True)
        yield tuple(
            item
            for action, items in pairs
            for item in items
            if not (isinstance(action, Scroll) and item.kind == "moveto")
        )


def _convert(step: RecordedDesktopStep, action: Action) -> list[RecordedAction]:
    points = [_normalize(step, point) for point in action.points()]
    match action:
        case Click():
            return [RecordedAction(CLICKS.get((action.button, action.count), "other"), points[0])]
        case Move():
            return [RecordedAction("moveto", points[0])]
        case Drag():
            start = points[:1] if len(points) > 1 else []
            return [*(RecordedAction("moveto", point) for point in start), RecordedAction("dragto", points[-1])]
        case TypeText():
            return [RecordedAction("write", action.text)]
        case PressKeys(keys=keys):
            return [RecordedAction("press" if len(keys) == 1 else "hotkey", tuple(_normalize_key(key) for key in keys))]
        case Scroll():
            amounts = (("scroll", -action.down), ("hscroll", action.right))
            return [
                *(RecordedAction("moveto", point) for point in points),
                *(RecordedAction(kind, amount) for kind, amount in amounts if amount),
            ]
        case Wait():
            return [RecordedAction("wait")]
        case Done():
            return [RecordedAction("terminate", action.status)]
        case Answer():
            return [RecordedAction("terminate", "success")]
    return [RecordedAction("other")]


def _normalize(step: RecordedDesktopStep, point: tuple[int, int]) -> tuple[float, float]:
    if step.size is None:
        raise UsageError(f"image images/{step.image} is missing; its size is needed to score a click on it")
    return point[0] / step.size[0], point[1] / step.size[1]


def oracle(step: RecordedDesktopStep) -> Prediction:
    """Return the recorded actions as a prediction."""
    actions: list[dict[str, Any]] = []
    for recorded in step.options[0]:
        if recorded.kind in AT_POINT:
            width, height = step.size or (1, 1)
            x, y = round(recorded.value[0] * width), round(recorded.value[1] * height)
            button, count = next((key for key, kind in CLICKS.items() if kind == recorded.kind), ("left", 1))
            if recorded.kind == "moveto":
                actions.append({"verb": "move", "x": x, "y": y})
            elif recorded.kind == "dragto":
                actions.append({"verb": "drag", "path": [[x, y]]})
            else:
                actions.append({"verb": "click", "x": x, "y": y, "button": button, "count": count})
        elif recorded.kind == "write":
            actions.append({"verb": "type", "text": recorded.value})
        elif recorded.kind in ("press", "hotkey"):
            actions.append({"verb": "press", "keys": list(recorded.value)})
        elif recorded.kind == "scroll":
            actions.append({"verb": "scroll", "down": -recorded.value})
        elif recorded.kind == "hscroll":
            actions.append({"verb": "scroll", "right": recorded.value})
        else:
            actions.append({"verb": "done", "status": recorded.value or "success"})
    return {"id": step.id, "actions": actions, "reply": "as recorded"}


def reference(step: RecordedDesktopStep, size: tuple[int, int]) -> Reference:
    """Return the recorded boxes, a small one around each point that has none, and a description of the actions."""
    shapes = []
    for recorded in step.options[0]:
        boxes = recorded.boxes
        if recorded.kind in AT_POINT and not boxes:
            boxes = ((recorded.value[0] - 0.01, recorded.value[1] - 0.01, 0.02, 0.02),)
        for x, y, width, height in boxes:
            shapes.append(box_polygon((x * size[0], y * size[1], (x + width) * size[0], (y + height) * size[1])))
    text = "; ".join(
        recorded.kind if recorded.kind in AT_POINT or recorded.value is None else f"{recorded.kind} {recorded.value!r}"
        for recorded in step.options[0]
    )
    return Reference(tuple(shapes), text)


# ---- the official scorer


def score_actions(
    step: RecordedDesktopStep, actions: Sequence[Action], protocol: str
) -> tuple[float, dict[str, float]]:
    """Return (score, {kind of action: score}) of the best pair of a recorded option and a rendering of the actions."""
    results = [
        score_sequence(option, predicted, protocol)
        for predicted in alternatives(step, actions)
        for option in step.options
    ]
    return max(results, key=lambda result: result[0])


def score_sequence(
    recorded: Sequence[RecordedAction], predicted: Sequence[RecordedAction], protocol: str
) -> tuple[float, dict[str, float]]:
    """Compare two sequences action by action; the score is 0 unless the first predicted kind was recorded at all."""
    recorded, predicted = _merge_enter(recorded, ("press", "hotkey")), _merge_enter(predicted, ("press",))
    if not recorded or not predicted:
        return 0.0, {action.kind: 0.0 for action in recorded}
    penalty = len(recorded) / len(predicted) if protocol == NEW and len(predicted) > len(recorded) else 1.0
    if recorded[0].kind == "terminate":
        score = penalty * (predicted[0] == recorded[0])
        return score, {"terminate": score}
    if predicted[0].kind not in {action.kind for action in recorded}:
        return 0.0, {action.kind: 0.0 for action in recorded}
    scores_by_kind: dict[str, list[float]] = defaultdict(list)
    for place, action in enumerate(recorded):
        other = predicted[place] if place < len(predicted) else None
        scores_by_kind[action.kind].append(
            _similarity(action, other, protocol) if other and other.kind == action.kind else 0.0
        )
    means = {kind: penalty * mean(scores) for kind, scores in scores_by_kind.items()}
    return mean(means.values()), means


def _merge_enter(actions: Sequence[RecordedAction], kinds: Sequence[str]) -> list[RecordedAction]:
    """Merge a text and the enter key after it (the official script appends a newline and later strips it)."""
    merged: list[RecordedAction] = []
    for action in actions:
        if merged and merged[-1].kind == "write" and action.kind in kinds and action.value == ("enter",):
            merged[-1] = RecordedAction("write", merged[-1].value + "\n")
        else:
            merged.append(action)
    return merged


def _similarity(recorded: RecordedAction, predicted: RecordedAction, protocol: str) -> float:
    rules: dict[str, Callable[[], float]] = {
        "write": lambda: text_similarity(predicted.value, recorded.value),
        "press": lambda: float(_comparable_keys(recorded, protocol) == _comparable_keys(predicted, protocol)),
        "hotkey": lambda: float(_comparable_keys(recorded, protocol) == _comparable_keys(predicted, protocol)),
        "scroll": lambda: 1.0 if protocol == OLD else _scroll_similarity(recorded.value, predicted.value),
    }
    if recorded.kind in AT_POINT:
        return _point_similarity(recorded, predicted.value)
    return rules[recorded.kind]() if recorded.kind in rules else 0.0


def _point_similarity(recorded: RecordedAction, point: tuple[float, float]) -> float:
    if any(x <= point[0] <= x + width and y <= point[1] <= y + height for x, y, width, height in recorded.boxes):
        return 1.0
    distance = math.dist(point, recorded.value)
    return 1.0 if distance <= CLICK_RADIUS else math.exp(-DECAY * (distance - CLICK_RADIUS))


def text_similarity(a: str, b: str) -> float:
    """Return 1 - edits / length, ignoring case and surrounding whitespace, rescaled so that TEXT_SIMILARITY is 1."""
    a, b = a.lower().strip(), b.lower().strip()
    similarity = 1 - levenshtein(a, b) / max(len(a), len(b)) if a or b else 1.0
    return 1.0 if similarity >= TEXT_SIMILARITY else similarity / TEXT_SIMILARITY


def _comparable_keys(action: RecordedAction, protocol: str) -> object:
    return frozenset(action.value) if protocol == OLD else action.value


def _scroll_similarity(recorded: float, predicted: float) -> float:
    if recorded == 0 or predicted == 0 or (recorded > 0) != (predicted > 0):
        return float(recorded == predicted)
    return min(abs(recorded), abs(predicted)) / max(abs(recorded), abs(predicted))


def score_sample(task: RecordedDesktopStep, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the score of one prediction; its parts are the scores of each kind of action."""
    return _score_step(task, prediction, protocol)


def _score_step(step: RecordedDesktopStep, prediction: Prediction | None, protocol: str) -> SampleScore:
    actions = trajectory.parse_actions(prediction) if prediction is not None else None
    if actions is None:
        outcome: Outcome = "missing" if prediction is None else "wrong_format"
        return SampleScore(step.id, outcome, step.episode, 0.0, {action.kind: 0.0 for action in step.options[0]})
    value, parts = score_actions(step, actions, protocol)
    return SampleScore(step.id, "correct" if is_success(value) else "wrong", step.episode, value, parts)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the official averages of the predictions."""
    steps: Sequence[RecordedDesktopStep] = dataset.tasks
    scores: list[SampleScore] = []
    scores_by_kind: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        sample = (known or {}).get(step.id) or _score_step(step, predictions.get(step.id), protocol)
        scores.append(sample)
        for kind, part in sample.parts.items():
            scores_by_kind[kind].append(part)
    by_episode: dict[str, list[float]] = defaultdict(list)
    for sample in scores:
        by_episode[sample.cluster].append(sample.score)
    average = mean(sample.score for sample in scores)
    milestones = [sample.score for sample, step in zip(scores, steps, strict=True) if step.milestone]
    return EvaluationResult(
        NAME,
        protocol,
        dataset.revision,
        tuple(scores),
        {
            "average_step_score": average,
            "milestone_step_score": mean(milestones) if milestones else None,
            "per_action": {kind: mean(parts) for kind, parts in sorted(scores_by_kind.items())},
            "episode_success": trajectory.episode_accuracy(scores, [step.episode for step in steps]),
        },
        {
            "micro (score over steps)": average,
            f"macro (score over {len(by_episode)} episodes)": mean(mean(values) for values in by_episode.values()),
        },
        "episode",
        groups={
            kind: {"correct": math.fsum(parts), "total": len(parts), "accuracy": mean(parts)}
            for kind, parts in sorted(scores_by_kind.items())
        },
        baselines=_center_click_baseline(steps, protocol),
        notes=dataset.notes,
    )


def _center_click_baseline(steps: Sequence[RecordedDesktopStep], protocol: str) -> dict[str, Any]:
    click = [RecordedAction("click", (0.5, 0.5))]
    best = [max(score_sequence(option, click, protocol)[0] for option in step.options) for step in steps]
    total = math.fsum(best)
    return {"centre click": {"correct": total, "total": len(steps), "accuracy": ratio(total, len(steps))}}


# ---- checks of annotations


def check_annotations(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with the annotations."""
    steps: Sequence[RecordedDesktopStep] = dataset.tasks
    counts = Counter(step.id for step in steps)
    findings = [
        ("duplicate id", sorted(name for name, count in counts.items() if count > 1)),
        ("no recorded action", [step.id for step in steps if not step.options[0]]),
        ("point or box outside its screen", [step.id for step in steps if any(map(_is_outside, _all_actions(step)))]),
        (
            "box that does not contain its click",
            [step.id for step in steps if any(map(_misses_own_box, _all_actions(step)))],
        ),
    ]
    return [(what, ids) for what, ids in findings if ids]


def _all_actions(step: RecordedDesktopStep) -> list[RecordedAction]:
    return [action for option in step.options for action in option]


def _is_outside(action: RecordedAction) -> bool:
    corners = [side for x, y, width, height in action.boxes for side in (x, y, x + width, y + height)]
    point = action.value if action.kind in AT_POINT else ()
    return any(not -0.001 <= side <= 1.001 for side in (*point, *corners))


def _misses_own_box(action: RecordedAction) -> bool:
    """Return whether the recorded click is in none of its boxes: two corners, or the box of another element."""
    return (
        bool(action.boxes)
        and _point_similarity(RecordedAction(action.kind, (9.0, 9.0), action.boxes), action.value) < 1
    )


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        (OLD, NEW),
        read_dataset,
        score,
        score_sample,
        oracle,
        check_annotations,
        verbs=VERBS,
        has_episodes=True,
        reference=reference,
        env_id="pixelhand/AgentNetBench-v0",
    )
}
