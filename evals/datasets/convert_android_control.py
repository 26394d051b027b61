"""AndroidControl's own shards (GZIP TFRecord) into pictures and JSON lines that its benchmark reads. Once; 49.9 GB."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.benchmarks.android_control import PICTURES, UNPACKED
from evals.datasets import tfrecord
from evals.datasets.tfrecord import Node
from evals.scoring import read_json

SHARDS = "android_control-*-of-*"
BUTTONS = {"navigate_home": "Home", "navigate_back": "Back"}


def convert(folder: Path, split: str = "test", on_episode: Callable[[int], None] = lambda done: None) -> int:
    """Write images/EPISODE_STEP.png and the split's episodes, in the order of their ids; returns how many.

    Reads the shards and splits.json in the folder. Candidate boxes are the accessibility nodes that hold the true
    point; of an app's opening, those with its name. Episodes without an action are left out. UsageError where a file is
    missing or damaged, or an episode of the split is in no shard.
    """
    shards = sorted(path for path in folder.glob(SHARDS) if path.is_file())
    if not shards or not (folder / "splits.json").is_file():
        what = "splits.json" if shards else f"shards ({SHARDS})"
        raise UsageError(f"there are no {what} in {folder}; get them from {PICTURES}")
    splits = read_json(folder / "splits.json")
    if not isinstance(splits, dict) or split not in splits:
        raise UsageError(f"{folder / 'splits.json'} has no split '{split}'")
    wanted = {int(one) for one in splits[split]}
    (folder / "images").mkdir(exist_ok=True)
    lines: dict[int, str] = {}
    seen: set[int] = set()
    for shard in shards:
        for number, record in enumerate(tfrecord.records(shard)):
            try:
                held = tfrecord.example(record)
                episode = int(held["episode_id"][0])
                if episode in wanted:
                    seen.add(episode)
                    told = _episode(episode, held, folder / "images")
                    if told["steps"]:
                        lines[episode] = json.dumps(told, ensure_ascii=False)
                    on_episode(len(seen))
            except (KeyError, IndexError, TypeError, ValueError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise UsageError(f"{shard}, record {number}: not an episode of AndroidControl ({what})") from None
    if wanted - seen:
        raise UsageError(
            f"{len(wanted - seen):,} of {len(wanted):,} episodes are in none of the {len(shards)} shards, the first "
            f"{min(wanted - seen)}; get the missing shards from {PICTURES}"
        )
    new = folder / (UNPACKED + ".new")
    new.write_text("".join(lines[one] + "\n" for one in sorted(lines)), encoding="utf-8")
    os.replace(new, folder / UNPACKED)
    return len(lines)


def _episode(episode: int, held: Mapping[str, list[Any]], images: Path) -> dict[str, Any]:
    acts = [json.loads(one) for one in held["actions"]]
    for index, picture in enumerate(held["screenshots"]):
        (images / f"{episode}_{index}.png").write_bytes(picture)
    steps = [
        {
            "screenshot": f"{episode}_{index}.png",
            "step_instruction": held["step_instructions"][index].decode(),
            "check_options": _check_options(act, tfrecord.nodes(held["accessibility_trees"][index])),
        }
        for index, act in enumerate(acts)
    ]
    return {"episode_id": episode, "goal": held["goal"][0].decode(), "steps": steps}


def _check_options(act: Mapping[str, Any], nodes: list[Node]) -> dict[str, Any]:
    kind = str(act["action_type"])
    boxes = [node for node in nodes if node.box[2] > node.box[0] and node.box[3] > node.box[1]]
    if kind in ("click", "long_press"):
        x, y = int(act["x"]), int(act["y"])
        around = [list(node.box) for node in boxes if _holds(node, x, y)]
        return {"action": kind, "coordinate": [x, y], "candidate_bbox": around}
    if kind == "open_app":
        name = str(act["app_name"])
        icons = [list(node.box) for node in boxes if name.lower() in (node.text.lower(), node.description.lower())]
        return {"action": "open", "text": name, "candidate_bbox": icons}
    if kind == "scroll":
        return {"action": "swipe", "direction": str(act["direction"])}
    if kind in ("input_text", "type"):
        return {"action": "type", "text": str(act["text"])}
    if kind in BUTTONS:
        return {"action": "system_button", "button": BUTTONS[kind]}
    if kind == "wait":
        return {"action": "wait"}
    raise ValueError(f"action {kind!r}")


def _holds(node: Node, x: int, y: int) -> bool:
    left, top, right, bottom = node.box
    return left <= x <= right and top <= y <= bottom
