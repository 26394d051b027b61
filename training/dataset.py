"""Store screens with questions and answers on disk, and read them back.

A data folder holds two files for each source: `SOURCE.frames` (PNG files end to end) and `SOURCE.jsonl` (one line for
each screen). A seed whose screens are incomplete, after the process was killed, is truncated and rendered again.
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
Character = tuple[str, float, float, float]  # the character, x and y of its center, and its width, in pixels


@dataclass(frozen=True)
class Question:
    """A goal and its correct answer."""

    goal: str
    answer: Mapping[str, Any]  # the arguments of a call, or {"say": text}
    box: Box | None = None  # of the element that the answer is about
    letters: tuple[tuple[float, float], ...] = ()  # center of each character of a text that is read, in pixels
    named: tuple[tuple[int, float, float], ...] = ()  # characters of the goal within `box`: offset in the goal, x, y
    mentioned: tuple[tuple[int, float, float], ...] = ()  # the same of other words of the goal found on the screen once
    is_decision: bool = False  # whether the answer is what the page's own goal requires in its present state


@dataclass(frozen=True)
class Sample:
    """A screen with its questions."""

    source: str
    seed: int
    state: int
    goal: str
    png: bytes
    questions: tuple[Question, ...]
    characters: tuple[Character, ...]
    elements: tuple[Mapping[str, Any], ...] = ()  # as screens.js returns them
    font_px: float = 0.0  # of synthetic screens: the text size in CSS px
    reply_text: str = ""  # of collected screens: the reply of the model
    won: bool = False  # of collected screens: whether the episode was successful
    episode: int = 0  # of collected screens: the number of the episode of this seed

    @property
    def own_question(self) -> Question | None:
        """The question whose goal is the page's own."""
        return next((question for question in self.questions if question.goal == self.goal), None)


class DatasetWriter:
    """Appends the screens of one source. The screens of a seed count once `finish(seed)` was called."""

    def __init__(self, folder: Path, source: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / f"{source}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"{folder / source} is locked: another process is writing it; wait for it, or stop it"
            ) from None
        self._index, self._frames = folder / f"{source}.jsonl", folder / f"{source}.frames"
        self._finished = truncate_incomplete(self._index, self._frames)
        self._lines: list[str] = []

    def close(self) -> None:
        """Release the lock of the source."""
        self._lock.close()

    def has(self, seed: int) -> bool:
        """Return whether all screens of a seed are stored."""
        return seed in self._finished

    def add(
        self,
        seed: int,
        state: int,
        goal: str,
        png: bytes,
        questions: Sequence[Mapping[str, object]],
        characters: Sequence[Sequence[object]],
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Add a screen.

        Args:
            seed: Seed of the page.
            state: Number of the screen within the seed.
            goal: The page's own goal, "" for a synthetic screen.
            png: The frame.
            questions: Each as {"goal", "answer", "box"}.
            characters: The visible characters, see Character.
            extra: Further fields of the record: `elements`, `font_px`, `said`, `won`, `episode`.
        """
        with self._frames.open("ab") as frames:
            offset = frames.tell()
            frames.write(png)
        record = {"seed": seed, "state": state, "goal": goal, "at": offset, "size": len(png), **(extra or {})}
        self._lines.append(json.dumps({**record, "questions": list(questions), "characters": list(characters)}) + "\n")

    def finish(self, seed: int) -> None:
        """Write the lines of a seed's screens, and a last one that marks the seed as complete."""
        with self._index.open("a", encoding="utf-8") as index:
            index.write("".join(self._lines) + json.dumps({"seed": seed, "done": True}) + "\n")
        self._lines = []
        self._finished.add(seed)


def truncate_incomplete(index: Path, frames: Path) -> set[int]:
    """Truncate both files after the last complete seed; return the complete seeds."""
    finished: set[int] = set()
    frames_end = finished_frames_end = index_end = finished_index_end = 0
    if index.exists():
        size = frames.stat().st_size if frames.exists() else 0
        with index.open("rb") as lines:
            for line in lines:
                index_end += len(line)
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if "done" in record:
                    finished.add(record["seed"])
                    finished_frames_end, finished_index_end = frames_end, index_end
                elif record["at"] + record["size"] > size:
                    break
                else:
                    frames_end = record["at"] + record["size"]
        os.truncate(index, finished_index_end)
    if frames.exists():
        os.truncate(frames, finished_frames_end)
    return finished


def read_samples(folder: Path, sources: Sequence[str] | None = None) -> Iterator[Sample]:
    """Yield the samples of all complete seeds in a data folder, source by source."""
    for index in sorted(folder.glob("*.jsonl")):
        if sources is not None and index.stem not in sources:
            continue
        lines = index.read_text(encoding="utf-8").splitlines()  # before the frames: a renderer may append to both
        frames = index.with_suffix(".frames").read_bytes()
        unfinished: list[dict[str, Any]] = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                break  # it is being written
            if "done" not in record:
                unfinished.append(record)
                continue
            for sample in unfinished:
                yield _to_sample(index.stem, sample, frames[sample["at"] : sample["at"] + sample["size"]])
            unfinished = []


def _to_sample(source: str, record: Mapping[str, Any], png: bytes) -> Sample:
    questions = tuple(
        Question(question["goal"], question["answer"], tuple(question["box"]) if question.get("box") else None)
        for question in record["questions"]
    )
    return Sample(
        source,
        record["seed"],
        record["state"],
        record["goal"],
        png,
        questions,
        tuple(tuple(character) for character in record["characters"]),
        tuple(record.get("elements", ())),
        float(record.get("font_px", 0.0)),
        record.get("said", ""),
        record.get("won", False),
        record.get("episode", 0),
    )
