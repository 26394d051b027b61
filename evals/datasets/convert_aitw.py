"""Convert Android in the Wild's shards (GZIP TFRecord, one step per record) to images and JSON lines.

The folder holds one folder per set, as in gs://gresearch/android-in-the-wild, and splits/ with standard.json (or
unseen_domain.json, ...): {"train": [episode ids], "validation": ..., "test": ...}. Images are raw bytes, height x width
x channels, and are written as PNG without loss.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.benchmarks.aitw import DUAL_POINT, SOURCE, SUBSETS, TYPE, UNPACKED
from evals.datasets import tfrecord
from evals.files import format_error, read_json, replace_text

EpisodeKey = tuple[str, str]  # set, episode id


def convert(folder: Path, split: str = "test", on_episode: Callable[[int], None] = lambda done: None) -> int:
    """Write images/SET_EPISODE_STEP.png and the split's episodes, ordered by set and id; return their number.

    Args:
        folder: Folder with the sets' folders and splits/.
        split: A split of splits/standard.json, such as "test", or FILE/NAME, such as "unseen_verb/test".
        on_episode: Called with the number of episodes converted so far.

    Raises:
        UsageError: A file is missing or damaged, no episode of the split is in the shards, or an episode lacks steps.
    """
    file, _, name = split.rpartition("/")
    path = folder / "splits" / f"{file or 'standard'}.json"
    shards = {subset: sorted(path for path in (folder / subset).glob("*") if path.is_file()) for subset in SUBSETS}
    if not any(shards.values()) or not path.is_file():
        folders = ", ".join(subset + "/" for subset in SUBSETS)
        missing = f"splits/{path.name}" if any(shards.values()) else f"shards in {folders}"
        raise UsageError(f"there is no {missing} in {folder}; get it from {SOURCE}")
    splits = read_json(path)
    if not isinstance(splits, dict) or name not in splits:
        raise UsageError(f"{path} has no split '{name}'")
    wanted = {str(episode) for episode in splits[name]}
    (folder / "images").mkdir(exist_ok=True)
    episodes: dict[EpisodeKey, dict[str, Any]] = {}
    for subset, files in shards.items():
        for shard in files:
            for number, record in enumerate(tfrecord.read_records(shard)):
                try:
                    features = tfrecord.parse_example(record)
                    episode_id = features["episode_id"][0].decode()
                    if episode_id in wanted:
                        key = subset, episode_id
                        if key not in episodes:
                            on_episode(len(episodes) + 1)
                        _add_step(episodes, key, features, folder / "images")
                except (KeyError, IndexError, TypeError, ValueError) as error:
                    raise UsageError(
                        f"{shard}, record {number}: not a step of Android in the Wild ({format_error(error)})"
                    ) from None
    _check_complete(episodes, folder)
    if not episodes:
        raise UsageError(f"no episode of the split '{name}' of {path} is in the shards; get more of them from {SOURCE}")
    lines = []
    for key in sorted(episodes, key=lambda key: (SUBSETS.index(key[0]), key[1])):
        episode = episodes[key]
        steps = [episode["steps"][index] for index in sorted(episode["steps"])]
        lines.append(json.dumps({**episode, "steps": steps, "length": len(steps)}, ensure_ascii=False) + "\n")
    replace_text(folder / UNPACKED, "".join(lines))
    return len(episodes)


def _add_step(
    episodes: dict[EpisodeKey, dict[str, Any]], key: EpisodeKey, features: Mapping[str, list[Any]], images: Path
) -> None:
    subset, episode_id = key
    index, length = int(features["step_id"][0]), int(features["episode_length"][0])
    episode = episodes.setdefault(
        key,
        {
            "episode_id": episode_id,
            "subset": subset,
            "goal": features["goal_info"][0].decode(),
            "length": length,
            "steps": {},
        },
    )
    if index in episode["steps"]:
        raise ValueError(f"duplicate step {index} of episode {episode_id}")
    image = f"{subset}_{episode_id}_{index}.png".replace("/", "_")
    width, height = _write_image(features, images / image)
    kind = int(features["results/action_type"][0])
    flat = [float(side) for side in features.get("image/ui_annotations_positions", [])]
    if len(flat) % 4:
        raise ValueError(f"{len(flat)} numbers are not boxes of four")
    episode["steps"][index] = {
        "step": index,
        "picture": image,
        "size": [width, height],
        "action_type": kind,
        "text": features["results/type_action"][0].decode() if kind == TYPE else "",
        "touch": _read_point(features, "results/yx_touch", kind),
        "lift": _read_point(features, "results/yx_lift", kind),
        "positions": [flat[n : n + 4] for n in range(0, len(flat), 4)],
    }


def _read_point(features: Mapping[str, list[Any]], key: str, kind: int) -> list[float]:
    """Return y, x; -1, -1 for an action that is not a gesture, as in the data set itself."""
    values = [float(side) for side in features.get(key, [])]
    if kind != DUAL_POINT:
        return [-1.0, -1.0]
    if len(values) != 2:
        raise ValueError(f"{key} has {len(values)} numbers, not two")
    return values


def _write_image(features: Mapping[str, list[Any]], path: Path) -> tuple[int, int]:
    """Write a record's image as PNG; return its width and height in pixels."""
    from PIL import Image

    width, height, channels = (int(features[f"image/{side}"][0]) for side in ("width", "height", "channels"))
    pixels = features["image/encoded"][0]
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes or min(width, height) < 1 or len(pixels) != width * height * channels:
        raise ValueError(f"{len(pixels)} bytes are not an image of {width} x {height} x {channels}")
    Image.frombytes(modes[channels], (width, height), pixels).convert("RGB").save(path, compress_level=1)
    return width, height


def _check_complete(episodes: Mapping[EpisodeKey, Mapping[str, Any]], folder: Path) -> None:
    for (subset, episode_id), episode in episodes.items():
        if sorted(episode["steps"]) != list(range(episode["length"])):
            raise UsageError(
                f"episode {episode_id} of {subset} has {len(episode['steps'])} of its {episode['length']} steps in the "
                f"shards of {folder / subset}; get the missing shards from {SOURCE}"
            )
