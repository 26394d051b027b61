"""Android in the Wild's own shards (GZIP TFRecord, a step a record) into pictures and JSON lines for its benchmark.

Once. The folder holds a folder for each of the five sets, as in gs://gresearch/android-in-the-wild, and splits/ with
standard.json (or unseen_domain.json, ...): {"train": [episode ids], "validation": ..., "test": ...}. Pictures are raw
bytes, height x width x channels; they are written as PNG, whose pixels are the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.benchmarks.aitw import DUAL_POINT, SOURCE, SUBSETS, TYPE, UNPACKED
from evals.datasets import tfrecord
from evals.scoring import read_json


def convert(folder: Path, split: str = "test", on_episode: Callable[[int], None] = lambda done: None) -> int:
    """Write images/SET_EPISODE_STEP.png and the split's episodes; returns how many.

    split: "test" of splits/standard.json, or FILE/NAME, "unseen_verb/test". Episodes stand in the order of their sets
    and ids, steps in that of their numbers. UsageError where a file is missing or damaged, an episode of the split is
    in no shard of a set that has shards here, or steps of an episode are missing.
    """
    file, _, name = split.rpartition("/")
    path = folder / "splits" / f"{file or 'standard'}.json"
    sets = {one: sorted(path for path in (folder / one).glob("*") if path.is_file()) for one in SUBSETS}
    if not any(sets.values()) or not path.is_file():
        what = f"splits/{path.name}" if any(sets.values()) else f"shards in {', '.join(one + '/' for one in SUBSETS)}"
        raise UsageError(f"there is no {what} in {folder}; get it from {SOURCE}")
    splits = read_json(path)
    if not isinstance(splits, dict) or name not in splits:
        raise UsageError(f"{path} has no split '{name}'")
    wanted = {str(one) for one in splits[name]}
    (folder / "images").mkdir(exist_ok=True)
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for subset, shards in sets.items():
        for shard in shards:
            for number, record in enumerate(tfrecord.records(shard)):
                try:
                    found = tfrecord.example(record)
                    episode = found["episode_id"][0].decode()
                    if episode in wanted:
                        key = subset, episode
                        if key not in held:
                            on_episode(len(held) + 1)
                        _add(held, key, found, folder / "images")
                except (KeyError, IndexError, TypeError, ValueError) as error:
                    what = f"no {error}" if isinstance(error, KeyError) else str(error)
                    raise UsageError(f"{shard}, record {number}: not a step of Android in the Wild ({what})") from None
    _complete(held, folder)
    if not held:
        raise UsageError(f"no episode of the split '{name}' of {path} is in the shards; get more of them from {SOURCE}")
    new = folder / (UNPACKED + ".new")
    with new.open("w", encoding="utf-8") as lines:
        for key in sorted(held, key=lambda key: (SUBSETS.index(key[0]), key[1])):
            told = held[key]
            steps = [told["steps"][step] for step in sorted(told["steps"])]
            lines.write(json.dumps({**told, "steps": steps, "length": len(steps)}, ensure_ascii=False) + "\n")
    os.replace(new, folder / UNPACKED)
    return len(held)


def _add(
    held: dict[tuple[str, str], dict[str, Any]], key: tuple[str, str], found: Mapping[str, list[Any]], images: Path
) -> None:
    subset, episode = key
    step, length = int(found["step_id"][0]), int(found["episode_length"][0])
    told = held.setdefault(
        key,
        {
            "episode_id": episode,
            "subset": subset,
            "goal": found["goal_info"][0].decode(),
            "length": length,
            "steps": {},
        },
    )
    if step in told["steps"]:
        raise ValueError(f"step {step} of episode {episode} comes twice")
    picture = f"{subset}_{episode}_{step}.png".replace("/", "_")
    width, height = _write_picture(found, images / picture)
    kind = int(found["results/action_type"][0])
    flat = [float(one) for one in found.get("image/ui_annotations_positions", [])]
    if len(flat) % 4:
        raise ValueError(f"{len(flat)} numbers are no boxes of four")
    told["steps"][step] = {
        "step": step,
        "picture": picture,
        "size": [width, height],
        "action_type": kind,
        "text": found["results/type_action"][0].decode() if kind == TYPE else "",
        "touch": _point(found, "results/yx_touch", kind),
        "lift": _point(found, "results/yx_lift", kind),
        "positions": [flat[n : n + 4] for n in range(0, len(flat), 4)],
    }


def _point(found: Mapping[str, list[Any]], key: str, kind: int) -> list[float]:
    """y, x; of an action that is no gesture -1, -1, as the set itself has it."""
    given = [float(one) for one in found.get(key, [])]
    if kind != DUAL_POINT:
        return [-1.0, -1.0]
    if len(given) != 2:
        raise ValueError(f"{key} has {len(given)} numbers, not two")
    return given


def _write_picture(found: Mapping[str, list[Any]], path: Path) -> tuple[int, int]:
    """The picture as PNG; its width and height in pixels."""
    from PIL import Image

    width, height, channels = (int(found[f"image/{side}"][0]) for side in ("width", "height", "channels"))
    raw = found["image/encoded"][0]
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes or min(width, height) < 1 or len(raw) != width * height * channels:
        raise ValueError(f"{len(raw)} bytes are no picture of {width} x {height} x {channels}")
    Image.frombytes(modes[channels], (width, height), raw).convert("RGB").save(path, compress_level=1)
    return width, height


def _complete(held: Mapping[tuple[str, str], Mapping[str, Any]], folder: Path) -> None:
    for (subset, episode), told in held.items():
        if sorted(told["steps"]) != list(range(told["length"])):
            raise UsageError(
                f"episode {episode} of {subset} has {len(told['steps'])} of its {told['length']} steps in the shards "
                f"of {folder / subset}; get the missing shards from {SOURCE}"
            )
