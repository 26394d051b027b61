"""Screens with questions and answers on disk. Knows files and records; knows no pages and no tensors.

A data folder holds, for each source, frames (PNG files end to end) and a line of JSON for each screen. A seed whose
screens are not all there, after a kill, is cut off and drawn again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions import UsageError

Box = tuple[float, float, float, float]  # x, y, width, height in pixels


@dataclass(frozen=True)
class Question:
    """The words of a turn and what answers them: arguments of a call, {"say": words}, and the element's box if any.

    letters: of a word that is read, the middle (x, y) of each of its characters in pixels. named: characters of the
    goal that stand in the box: (offset in the goal, x, y of its middle in pixels). mentioned: the same of other words
    of the goal that stand on the screen once. decides: what the page wants in the state that it is in.
    """

    goal: str
    answer: Mapping[str, Any]
    box: Box | None = None
    letters: tuple[tuple[float, float], ...] = ()
    named: tuple[tuple[int, float, float], ...] = ()
    mentioned: tuple[tuple[int, float, float], ...] = ()
    decides: bool = False


@dataclass(frozen=True)
class Sample:
    """One screen. png is the frame; characters: (character, x, y, width) in pixels, x and y of its middle; elements as
    screens.js has them. Of screens that a model came upon: what it said there, whether its episode was won, and
    which episode of that seed it was."""

    source: str
    seed: int
    state: int
    goal: str
    png: bytes
    questions: tuple[Question, ...]
    characters: tuple[tuple[Any, ...], ...]
    elements: tuple[Mapping[str, Any], ...] = ()
    font_px: float = 0.0  # of invented screens: the size of their text in CSS px
    said: str = ""
    won: bool = False
    episode: int = 0

    @property
    def own(self) -> Question | None:
        """The page's own question."""
        return next((one for one in self.questions if one.goal == self.goal), None)


class Writer:
    """Appends the screens of one source. Screens of a seed count once finish(seed) was called."""

    def __init__(self, folder: Path, source: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / f"{source}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{folder / source} is being drawn by another process; wait for it, or stop it") from None
        self._index, self._frames = folder / f"{source}.jsonl", folder / f"{source}.frames"
        self._done = _repair(self._index, self._frames)
        self._lines: list[str] = []

    def close(self) -> None:
        """Let others write to the source."""
        self._lock.close()

    def has(self, seed: int) -> bool:
        return seed in self._done

    def add(
        self,
        seed: int,
        state: int,
        goal: str,
        png: bytes,
        questions: Sequence[Mapping[str, Any]],
        characters: Sequence[Sequence[Any]],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """One screen; questions as {"goal", "answer", "box"}."""
        with self._frames.open("ab") as frames:
            at = frames.tell()
            frames.write(png)
        record = {"seed": seed, "state": state, "goal": goal, "at": at, "size": len(png), **(more or {})}
        self._lines.append(json.dumps({**record, "questions": list(questions), "characters": list(characters)}) + "\n")

    def finish(self, seed: int) -> None:
        """The seed's screens are whole: write their lines, the last of them marked."""
        with self._index.open("a", encoding="utf-8") as lines:
            lines.write("".join(self._lines) + json.dumps({"seed": seed, "done": True}) + "\n")
        self._lines = []
        self._done.add(seed)


def _repair(index: Path, frames: Path) -> set[int]:
    """Seeds that are whole; what a killed run left half-written is cut off."""
    done: set[int] = set()
    end, good, position, reach = 0, 0, 0, 0
    if index.exists():
        size = frames.stat().st_size if frames.exists() else 0
        with index.open("rb") as lines:
            for line in lines:
                position += len(line)
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if "done" in record:
                    done.add(record["seed"])
                    end, good = reach, position
                elif record["at"] + record["size"] > size:
                    break
                else:
                    reach = record["at"] + record["size"]
        os.truncate(index, good)
    if frames.exists():
        os.truncate(frames, end)
    return done


def sources(folder: Path) -> list[str]:
    """The names of what a data folder holds."""
    return sorted(index.stem for index in folder.glob("*.jsonl"))


def read(folder: Path, wanted: Sequence[str] | None = None) -> Iterator[Sample]:
    """Every whole sample of a data folder, source by source."""
    for index in sorted(folder.glob("*.jsonl")):
        if wanted is not None and index.stem not in wanted:
            continue
        lines = index.read_text(encoding="utf-8").splitlines()  # before the frames: a renderer may be adding to both
        frames = index.with_suffix(".frames").read_bytes()
        waiting: list[dict[str, Any]] = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                break  # it is being written
            if "done" not in record:
                waiting.append(record)
                continue
            for one in waiting:
                yield _sample(index.stem, one, frames[one["at"] : one["at"] + one["size"]])
            waiting = []


def _sample(source: str, record: Mapping[str, Any], png: bytes) -> Sample:
    questions = tuple(
        Question(one["goal"], one["answer"], tuple(one["box"]) if one.get("box") else None)
        for one in record["questions"]
    )
    return Sample(
        source,
        record["seed"],
        record["state"],
        record["goal"],
        png,
        questions,
        tuple(tuple(one) for one in record["characters"]),
        tuple(record.get("elements", ())),
        float(record.get("font_px", 0.0)),
        record.get("said", ""),
        record.get("won", False),
        record.get("episode", 0),
    )
