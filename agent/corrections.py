"""Corrections: actions that a person moved to another place before they were carried out, as evaluation cases."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actions import Action, Call, Screen, UsageError
from actions.atomic_file import replace_file
from actions.screen import Area
from agent.policies.planner_grounder import target_description
from agent.replay.recording import PerformedAction, recorded_actions
from agent.trace import Trace, encode_png

REACH_PX = 14  # around a point on no known element; as `agent eval traces` takes it
ANNOTATIONS, IMAGES = "annotations", "images"
MAX_INSTRUCTION_CHARS = 300
InstructionSource = Literal["element", "model", "goal"]


@dataclass(frozen=True)
class Correction:
    """An action that was carried out where a person moved it to.

    Args:
        run: The run's folder.
        step: The step's number, with the action's within the step where it has several.
        goal: The run's goal.
        proposed: The action as the model proposed it.
        action: The action as it was carried out.
        screen: The screenshot that both are about.
        area: The element that the corrected point is on: left, top, width and height in pixels; None if unknown.
        instruction: What is pointed at, in words.
        source: Where the words are from: the element, the model's reply about it, or the goal.
        surface: The surface's name.
        url: The page that the run started from; "" without.
        seed: Seed of the practice page; None elsewhere.
    """

    run: Path
    step: str
    goal: str
    proposed: Action
    action: Action
    screen: Screen
    area: Area | None
    instruction: str
    source: InstructionSource
    surface: str
    url: str
    seed: int | None

    @property
    def id(self) -> str:
        """RUN/STEP."""
        return f"{self.run.name}/{self.step}"

    @property
    def moved_index(self) -> int:
        """Which of the action's points was moved, from 0; the first of several."""
        pairs = zip(self.proposed.points(), self.action.points(), strict=True)
        return next(index for index, (before, after) in enumerate(pairs) if before != after)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Where a prediction is right: first and last column and row of the element, or around the point."""
        if self.area is not None:
            left, top, width, height = self.area
            return left, top, left + width - 1, top + height - 1
        x, y = self.action.points()[self.moved_index]
        right, bottom = self.screen.width - 1, self.screen.height - 1
        return max(0, x - REACH_PX), max(0, y - REACH_PX), min(right, x + REACH_PX), min(bottom, y + REACH_PX)


def read_corrections(trace: Trace) -> tuple[list[Correction], Counter[str]]:
    """Return the corrections of a run, and how many edits are none, by their reason.

    Raises:
        UsageError: A screenshot of the trace is missing or was changed.
    """
    corrections: list[Correction] = []
    left_out: Counter[str] = Counter()
    left_out["whose action was not carried out"] = _count_edits_without_result(trace)
    for item in recorded_actions(trace):
        if item.proposed is None or item.proposed == item.action:
            continue
        if not _is_moved(item.proposed, item.action):
            left_out["of a text, keys or the kind of action"] += 1
        elif trace.reply(item.number).get("masked"):
            left_out["with a masked screenshot"] += 1
        else:
            corrections.append(_correction(trace, item, item.proposed))
    return corrections, +left_out


def write_cases(corrections: Sequence[Correction], folder: Path) -> Path:
    """Write corrections as annotations in ScreenSpot-Pro's format with their screenshots, and return their file.

    Args:
        corrections: The corrections.
        folder: Gets annotations/corrections.json and images/; cases that are there already are kept.

    Raises:
        UsageError: The folder cannot be written, or its annotations are not those of corrections.
    """
    path = folder / ANNOTATIONS / "corrections.json"
    try:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        records = {str(record["id"]): record for record in json.loads(path.read_text())} if path.exists() else {}
        for correction in corrections:
            name = f"{correction.screen.digest}.png"
            if not (folder / IMAGES / name).exists():
                replace_file(folder / IMAGES / name, encode_png(correction.screen))
            records[correction.id] = _record(correction, name)
        replace_file(path, (json.dumps(list(records.values()), indent=2, ensure_ascii=False) + "\n").encode())
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"{path} is not a file of corrections; name another folder with --to") from None
    except OSError as error:
        raise UsageError(
            f"the cases cannot be written to {folder} ({error.strerror}); name another folder with --to"
        ) from None
    return path


def _record(correction: Correction, image: str) -> dict[str, object]:
    point = correction.action.points()[correction.moved_index]
    return {
        "id": correction.id,
        "img_filename": image,
        "img_size": [correction.screen.width, correction.screen.height],
        "bbox": list(correction.box),
        "instruction": correction.instruction,
        "platform": correction.surface,
        "application": correction.surface,
        "group": "corrections",
        "ui_type": "text" if correction.source == "element" else "icon",
        "instruction_source": correction.source,
        "point": [point.x, point.y],
        "bbox_source": "element" if correction.area is not None else "point",
        "goal": correction.goal,
        "proposed": correction.proposed.model_dump(mode="json"),
        "action": correction.action.model_dump(mode="json"),
    }


def _correction(trace: Trace, item: PerformedAction, proposed: Action) -> Correction:
    pairs = zip(proposed.points(), item.action.points(), item.targets, strict=True)
    target = next(target for before, after, target in pairs if before != after)
    area: Area | None = None
    if target is not None and target.get("area"):
        left, top, width, height = target["area"]
        area = (left, top, width, height)
    words = f'{target["role"] or "text"} "{target["label"]}"' if target is not None and target["label"] else ""
    call = item.result.get("call")
    model_words = target_description(Call(**call)) if call else ""
    manifest = trace.manifest
    part = f".{item.result['part']}" if "part" in item.result else ""
    goal = str(trace.first("start").get("goal") or manifest.get("goal") or "")
    return Correction(
        trace.folder,
        f"{item.number}{part}",
        goal,
        proposed,
        item.action,
        trace.screen(item.before),
        area,
        (words or model_words or goal)[:MAX_INSTRUCTION_CHARS],
        "element" if words else "model" if model_words else "goal",
        str(manifest.get("surface") or "browser").partition(":")[0],
        str(manifest.get("url") or ""),
        manifest.get("seed"),
    )


def _is_moved(proposed: Action, action: Action) -> bool:
    """Return whether two actions differ in the places of their points alone."""
    places = {"x", "y", "path"}
    is_same = proposed.model_dump(exclude=places) == action.model_dump(exclude=places)
    return is_same and 0 < len(proposed.points()) == len(action.points())


def _count_edits_without_result(trace: Trace) -> int:
    """Return how many actions a person edited that were not carried out in the end."""
    is_edited, count = False, 0
    for event in trace.events:
        match event["event"]:
            case "act.intent":
                is_edited = False
            case "approval":
                is_edited = is_edited or event["answer"] == "edited"
            case "act.result":
                count += is_edited and bool(event["error"])
                is_edited = False
    return count + is_edited
