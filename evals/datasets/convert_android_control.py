"""Convert AndroidControl's shards (GZIP TFRecord, 49.9 GB) to images and JSON lines for its benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.benchmarks.android_control import IMAGE_SOURCE, UNPACKED
from evals.datasets import tfrecord
from evals.datasets.tfrecord import AccessibilityNode
from evals.files import format_error, read_json, replace_text

SHARDS = "android_control-*-of-*"
BUTTONS = {"navigate_home": "Home", "navigate_back": "Back"}


def convert(folder: Path, split: str = "test", on_episode: Callable[[int], None] = lambda done: None) -> int:
    """Write images/EPISODE_STEP.png and the split's episodes in the order of their ids; return their number.

    Candidate boxes are the accessibility nodes that contain the recorded point; of an app's opening, those with its
    name. Episodes without an action are left out.

    Args:
        folder: Folder with the shards and splits.json.
        split: Name of a split in splits.json.
        on_episode: Called with the number of episodes converted so far.

    Raises:
        UsageError: A file is missing or damaged, or an episode of the split is in no shard.
    """
    shards = sorted(path for path in folder.glob(SHARDS) if path.is_file())
    if not shards or not (folder / "splits.json").is_file():
        missing = "splits.json" if shards else f"shards ({SHARDS})"
        raise UsageError(f"there are no {missing} in {folder}; get them from {IMAGE_SOURCE}")
    splits = read_json(folder / "splits.json")
    if not isinstance(splits, dict) or split not in splits:
        raise UsageError(f"{folder / 'splits.json'} has no split '{split}'")
    wanted = {int(episode) for episode in splits[split]}
    (folder / "images").mkdir(exist_ok=True)
    lines: dict[int, str] = {}
    seen: set[int] = set()
    for shard in shards:
        for number, record in enumerate(tfrecord.read_records(shard)):
            try:
                features = tfrecord.parse_example(record)
                episode = int(features["episode_id"][0])
                if episode in wanted:
                    seen.add(episode)
                    content = _convert_episode(episode, features, folder / "images")
                    if content["steps"]:
                        lines[episode] = json.dumps(content, ensure_ascii=False)
                    on_episode(len(seen))
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{shard}, record {number}: not an episode of AndroidControl ({format_error(error)})"
                ) from None
    if wanted - seen:
        raise UsageError(
            f"{len(wanted - seen):,} of {len(wanted):,} episodes are in none of the {len(shards)} shards, the first "
            f"{min(wanted - seen)}; get the missing shards from {IMAGE_SOURCE}"
        )
    replace_text(folder / UNPACKED, "".join(lines[episode] + "\n" for episode in sorted(lines)))
    return len(lines)


def _convert_episode(episode: int, features: Mapping[str, list[Any]], images: Path) -> dict[str, Any]:
    actions = [json.loads(action) for action in features["actions"]]
    for index, screenshot in enumerate(features["screenshots"]):
        (images / f"{episode}_{index}.png").write_bytes(screenshot)
    steps = [
        {
            "screenshot": f"{episode}_{index}.png",
            "step_instruction": features["step_instructions"][index].decode(),
            "check_options": _check_options(action, tfrecord.parse_nodes(features["accessibility_trees"][index])),
        }
        for index, action in enumerate(actions)
    ]
    return {"episode_id": episode, "goal": features["goal"][0].decode(), "steps": steps}


def _check_options(action: Mapping[str, Any], nodes: list[AccessibilityNode]) -> dict[str, Any]:
    kind = str(action["action_type"])
    boxes = [node for node in nodes if node.box[2] > node.box[0] and node.box[3] > node.box[1]]
    if kind in ("click", "long_press"):
        x, y = int(action["x"]), int(action["y"])
        candidates = [list(node.box) for node in boxes if _contains(node, x, y)]
        return {"action": kind, "coordinate": [x, y], "candidate_bbox": candidates}
    if kind == "open_app":
        name = str(action["app_name"])
        icons = [list(node.box) for node in boxes if name.lower() in (node.text.lower(), node.description.lower())]
        return {"action": "open", "text": name, "candidate_bbox": icons}
    if kind == "scroll":
        return {"action": "swipe", "direction": str(action["direction"])}
    if kind in ("input_text", "type"):
        return {"action": "type", "text": str(action["text"])}
    if kind in BUTTONS:
        return {"action": "system_button", "button": BUTTONS[kind]}
    if kind == "wait":
        return {"action": "wait"}
    raise ValueError(f"action {kind!r}")


def _contains(node: AccessibilityNode, x: int, y: int) -> bool:
    left, top, right, bottom = node.box
    return left <= x <= right and top <= y <= bottom
