"""AgentNetBench: recorded desktop episodes, several actions a step, scored in parts. Knows its files and its scorer.

Official source: xlang-ai/OpenCUA, evaluation/agentnetbench/eval.py, which changed without a new name, so the commit is
the protocol: `opencua-1d70f20` (of the published numbers: keys as sets, any scroll is right), known to us from a
reader's description; `opencua-60da8b9` (keys in order, scrolls by side and amount, more actions than were recorded
cost), read. A step's score is the mean over its kinds of action; the best of the recorded actions and their
alternatives counts. "correct" are the steps that score 1; the published number is `average_step_score`.

A step's id is EPISODE/step_num. Our scroll at a point is a move and a scroll where the recording has both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions import Answer, Click, Done, Drag, InvalidActionError, Move, PressKeys, Scroll, TypeText, UsageError, Wait
from actions.keys import normalize_key
from evals.metrics import trajectory
from evals.scoring import (
    Benchmark,
    Dataset,
    Outcome,
    Prediction,
    Reference,
    Result,
    SampleScore,
    annotation_files,
    box_shape,
    mean,
    ratio,
    read_json,
    revision,
)

NAME = "agentnetbench"
SOURCE = "github.com/xlang-ai/OpenCUA, evaluation/agentnetbench/sample_data (0.1 MB, 5 episodes)"
PICTURES = "the same folder (54 pictures, 22 MB)"
CLICK_RADIUS, DECAY = (
    0.01 * 2**0.5,
    120.0,
)  # a click this near is right (of the screen); further away its score falls so fast
TEXT_SIMILARITY = 0.8  # texts this alike are the same
AT_POINT = ("click", "doubleclick", "rightclick", "tripleclick", "moveto", "dragto")
CLICKS = {("left", 1): "click", ("left", 2): "doubleclick", ("left", 3): "tripleclick", ("right", 1): "rightclick"}
OLD, NEW = "opencua-1d70f20", "opencua-60da8b9"


@dataclass(frozen=True)
class RecordedAction:
    """One action, recorded or said. value: a point of 0 to 1, a text, keys, an amount (up is positive), a status."""

    kind: str  # lower case
    value: Any = None
    boxes: tuple[tuple[float, ...], ...] = ()  # x, y, width, height of 0 to 1


@dataclass(frozen=True)
class Step:
    id: str
    episode: str
    picture: str
    size: tuple[int, int] | None  # None without the picture: then clicks cannot be scored
    goal: str
    instruction: str
    options: tuple[tuple[RecordedAction, ...], ...]  # the recorded actions, then the alternatives
    milestone: bool = False


def read(folder: Path) -> Dataset:
    files = annotation_files(folder, ("*.json",), SOURCE)
    steps: list[Step] = []
    for path in files:
        told = read_json(path)
        try:
            steps += [_step(told, one, folder / "images") for one in told["steps"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{path} is not in AgentNetBench's form ({what})") from None
    return Dataset(folder, revision(files), steps)


def _step(told: Mapping[str, Any], one: Mapping[str, Any], images: Path) -> Step:
    picture = str(one["image"])
    there = (images / picture).is_file()
    return Step(
        id=f"{told['task_id']}/{one['step_num']}",
        episode=str(told["task_id"]),
        picture=picture,
        size=trajectory.picture_size(images / picture) if there else None,
        goal=str(told["high_level_task_description"]),
        instruction=str(one.get("inner_monologue", {}).get("low_level_instruction", "")),
        options=tuple(
            tuple(_act(act) for act in option)
            for option in (one["ground_truth_actions"], *one.get("alternative_options", ()))
        ),
        milestone=bool(one.get("milestone")),
    )


def _act(told: Mapping[str, Any]) -> RecordedAction:
    kind, has = str(told["type"]).lower(), told["params"]
    boxes = tuple(tuple(box["rel_bbox"]) for box in told.get("metadata", {}).get("bboxes", ()))
    if kind in AT_POINT:
        return RecordedAction(kind, (has["position"]["x"], has["position"]["y"]), boxes)
    if kind == "write":
        return RecordedAction(kind, has.get("content") or has.get("text") or "")
    if kind in ("press", "hotkey"):
        return RecordedAction(kind, tuple(_key(key) for key in has["keys"]))
    if kind in ("scroll", "hscroll"):
        return RecordedAction(kind, has["amount"])
    return RecordedAction(kind, has.get("status") if kind == "terminate" else None)


def _key(name: str) -> str:
    """Names as our schema has them, so that "return" and "enter" are one key; letters without their case."""
    try:
        return normalize_key(name).lower()
    except InvalidActionError:
        return name.lower()


# ---- predictions


def alternatives(step: Step, actions: Sequence[Any]) -> Iterator[tuple[RecordedAction, ...]]:
    """Our verbs in the recording's words: a scroll at a point with the move that it implies, and without."""
    said = [_said(step, action) for action in actions]
    yield tuple(act for acts in said for act in acts)
    if any(isinstance(action, Scroll) for action in actions):
        pairs = zip(actions, said, strict=True)
        yield tuple(
            act for action, acts in pairs for act in acts if not (isinstance(action, Scroll) and act.kind == "moveto")
        )


def _said(step: Step, action: Any) -> list[RecordedAction]:
    at = [_relative(step, point) for point in action.points()]
    match action:
        case Click():
            return [RecordedAction(CLICKS.get((action.button, action.count), "other"), at[0])]
        case Move():
            return [RecordedAction("moveto", at[0])]
        case Drag():
            return [*(RecordedAction("moveto", one) for one in at[:1] if len(at) > 1), RecordedAction("dragto", at[-1])]
        case TypeText():
            return [RecordedAction("write", action.text)]
        case PressKeys(keys=keys):
            return [RecordedAction("press" if len(keys) == 1 else "hotkey", tuple(_key(key) for key in keys))]
        case Scroll():
            amounts = (("scroll", -action.down), ("hscroll", action.right))
            return [
                *(RecordedAction("moveto", one) for one in at),
                *(RecordedAction(kind, amount) for kind, amount in amounts if amount),
            ]
        case Wait():
            return [RecordedAction("wait")]
        case Done():
            return [RecordedAction("terminate", action.status)]
        case Answer():
            return [RecordedAction("terminate", "success")]
    return [RecordedAction("other")]


def _relative(step: Step, point: tuple[int, int]) -> tuple[float, float]:
    if step.size is None:
        raise UsageError(f"the picture images/{step.picture} is missing; its size is needed to score a click on it")
    return point[0] / step.size[0], point[1] / step.size[1]


def oracle(step: Step) -> Prediction:
    """The recorded actions in our schema."""
    actions: list[dict[str, Any]] = []
    for act in step.options[0]:
        if act.kind in AT_POINT:
            width, height = step.size or (1, 1)
            x, y = round(act.value[0] * width), round(act.value[1] * height)
            button, count = next((key for key, kind in CLICKS.items() if kind == act.kind), ("left", 1))
            actions.append(
                {"verb": "move", "x": x, "y": y}
                if act.kind == "moveto"
                else {"verb": "drag", "path": [[x, y]]}
                if act.kind == "dragto"
                else {"verb": "click", "x": x, "y": y, "button": button, "count": count}
            )
        elif act.kind == "write":
            actions.append({"verb": "type", "text": act.value})
        elif act.kind in ("press", "hotkey"):
            actions.append({"verb": "press", "keys": list(act.value)})
        elif act.kind in ("scroll", "hscroll"):
            actions.append(
                {"verb": "scroll", **({"down": -act.value} if act.kind == "scroll" else {"right": act.value})}
            )
        else:
            actions.append({"verb": "done", "status": act.value or "success"})
    return {"id": step.id, "actions": actions, "reply": "as recorded"}


def right(step: Step, size: tuple[int, int]) -> Reference:
    """The recorded boxes, a small one around a point without any, and the recorded actions in words."""
    shapes = []
    for act in step.options[0]:
        boxes = act.boxes
        if act.kind in AT_POINT and not boxes:
            boxes = ((act.value[0] - 0.01, act.value[1] - 0.01, 0.02, 0.02),)
        for x, y, width, height in boxes:
            shapes.append(box_shape((x * size[0], y * size[1], (x + width) * size[0], (y + height) * size[1])))
    words = "; ".join(
        act.kind if act.kind in AT_POINT or act.value is None else f"{act.kind} {act.value!r}"
        for act in step.options[0]
    )
    return Reference(tuple(shapes), words)


# ---- the official scorer


def step_score(step: Step, actions: Sequence[Any], protocol: str) -> tuple[float, dict[str, float]]:
    """(the step's score, {kind of action: its score}) of the best option and rendering."""
    tried = [against(option, said, protocol) for said in alternatives(step, actions) for option in step.options]
    return max(tried, key=lambda one: one[0])


def against(
    option: Sequence[RecordedAction], said: Sequence[RecordedAction], protocol: str
) -> tuple[float, dict[str, float]]:
    """One sequence against another, place by place. Nothing counts unless the first kind said was recorded at all."""
    true, said = _enter_with_text(option, ("press", "hotkey")), _enter_with_text(said, ("press",))
    if not true or not said:
        return 0.0, {act.kind: 0.0 for act in true}
    costs = len(true) / len(said) if protocol == NEW and len(said) > len(true) else 1.0
    if true[0].kind == "terminate":
        ended = costs * (said[0] == true[0])
        return ended, {"terminate": ended}
    if said[0].kind not in {act.kind for act in true}:
        return 0.0, {act.kind: 0.0 for act in true}
    kinds: dict[str, list[float]] = defaultdict(list)
    for place, act in enumerate(true):
        other = said[place] if place < len(said) else None
        kinds[act.kind].append(_alike(act, other, protocol) if other and other.kind == act.kind else 0.0)
    means = {kind: costs * mean(scores) for kind, scores in kinds.items()}
    return mean(means.values()), means


def _enter_with_text(acts: Sequence[RecordedAction], kinds: Sequence[str]) -> list[RecordedAction]:
    """A text and the enter after it are one action. (The official code adds a line's end, and strips it off again.)"""
    kept: list[RecordedAction] = []
    for act in acts:
        if kept and kept[-1].kind == "write" and act.kind in kinds and act.value == ("enter",):
            kept[-1] = RecordedAction("write", kept[-1].value + "\n")
        else:
            kept.append(act)
    return kept


def _alike(true: RecordedAction, said: RecordedAction, protocol: str) -> float:
    rules: dict[str, Callable[[], float]] = {
        "write": lambda: alike_texts(said.value, true.value),
        "press": lambda: float(_keys(true, protocol) == _keys(said, protocol)),
        "hotkey": lambda: float(_keys(true, protocol) == _keys(said, protocol)),
        "scroll": lambda: 1.0 if protocol == OLD else _scrolls(true.value, said.value),
    }
    if true.kind in AT_POINT:
        return _points(true, said.value)
    return rules[true.kind]() if true.kind in rules else 0.0


def _points(true: RecordedAction, point: tuple[float, float]) -> float:
    if any(x <= point[0] <= x + width and y <= point[1] <= y + height for x, y, width, height in true.boxes):
        return 1.0
    distance = math.dist(point, true.value)
    return 1.0 if distance <= CLICK_RADIUS else math.exp(-DECAY * (distance - CLICK_RADIUS))


def alike_texts(a: str, b: str) -> float:
    """1 - edits / length, without case and outer spaces; from ALIKE on it is 1, below it is stretched."""
    a, b = a.lower().strip(), b.lower().strip()
    alike = 1 - edits(a, b) / max(len(a), len(b)) if a or b else 1.0
    return 1.0 if alike >= TEXT_SIMILARITY else alike / TEXT_SIMILARITY


def edits(a: str, b: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def _keys(act: RecordedAction, protocol: str) -> Any:
    return frozenset(act.value) if protocol == OLD else act.value


def _scrolls(true: float, said: float) -> float:
    if true == 0 or said == 0 or (true > 0) != (said > 0):
        return float(true == said)
    return min(abs(true), abs(said)) / max(abs(true), abs(said))


def score(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    steps: Sequence[Step] = dataset.tasks
    verdicts: list[SampleScore] = []
    kinds: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        actions = trajectory.parse_actions(said[step.id]) if step.id in said else None
        if actions is None:
            outcome: Outcome = "wrong_format" if step.id in said else "missing"
            value, parts = 0.0, {act.kind: 0.0 for act in step.options[0]}
        else:
            value, parts = step_score(step, actions, protocol)
            outcome = "correct" if value > 1 - 1e-9 else "wrong"
        verdicts.append(SampleScore(step.id, outcome, step.episode, value))
        for kind, part in parts.items():
            kinds[kind].append(part)
    by_episode: dict[str, list[float]] = defaultdict(list)
    for one in verdicts:
        by_episode[one.cluster].append(one.score)
    average = mean(one.score for one in verdicts)
    stones = [one.score for one, step in zip(verdicts, steps, strict=True) if step.milestone]
    return Result(
        NAME,
        protocol,
        dataset.revision,
        tuple(verdicts),
        {
            "average_step_score": average,
            "milestone_step_score": mean(stones) if stones else None,
            "per_action": {kind: mean(parts) for kind, parts in sorted(kinds.items())},
            "episode_success": trajectory.episode_accuracy(verdicts, [step.episode for step in steps]),
        },
        {
            "micro (score over steps)": average,
            f"macro (score over {len(by_episode)} episodes)": mean(mean(held) for held in by_episode.values()),
        },
        "episode",
        cells={
            kind: {"correct": math.fsum(parts), "total": len(parts), "accuracy": mean(parts)}
            for kind, parts in sorted(kinds.items())
        },
        baselines=_baselines(steps, protocol),
        notes=dataset.notes,
    )


def _baselines(steps: Sequence[Step], protocol: str) -> dict[str, Any]:
    """Always a click in the middle: the part that it earns."""
    middle = [
        max(against(option, [RecordedAction("click", (0.5, 0.5))], protocol)[0] for option in step.options)
        for step in steps
    ]
    earned = math.fsum(middle)
    return {"centre click": {"correct": earned, "total": len(steps), "accuracy": ratio(earned, len(steps))}}


def examine(dataset: Dataset) -> list[tuple[str, list[str]]]:
    steps: Sequence[Step] = dataset.tasks
    ids = [step.id for step in steps]
    found = [
        ("id that comes twice", sorted({one for one in ids if ids.count(one) > 1})),
        ("no recorded action", [step.id for step in steps if not step.options[0]]),
        ("point or box outside its screen", [step.id for step in steps if any(map(_off, _acts(step)))]),
        ("box that does not hold its click", [step.id for step in steps if any(map(_is_adjacent, _acts(step)))]),
    ]
    return [(what, which) for what, which in found if which]


def _acts(step: Step) -> list[RecordedAction]:
    return [act for option in step.options for act in option]


def _off(act: RecordedAction) -> bool:
    corners = [n for x, y, width, height in act.boxes for n in (x, y, x + width, y + height)]
    return any(not -0.001 <= n <= 1.001 for n in (*(act.value if act.kind in AT_POINT else ()), *corners))


def _is_adjacent(act: RecordedAction) -> bool:
    """A box given as two corners, or one of another control: the recorded click is not in it."""
    return bool(act.boxes) and _points(RecordedAction(act.kind, (9.0, 9.0), act.boxes), act.value) < 1


VERBS = frozenset({"click", "move", "drag", "scroll", "type", "press", "wait"})
BENCHMARKS = {
    NAME: Benchmark(
        NAME, SOURCE, PICTURES, (OLD, NEW), read, score, oracle, examine, verbs=VERBS, episodes=True, right=right
    )
}
