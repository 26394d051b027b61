"""Screens with questions and answers, rendered by Chromium from the practice pages. Knows pages; knows no tensors.

A data folder holds, for each task, frames (PNG files end to end) and a line of JSON for each screen. Rendering resumes:
seeds that are there are not drawn again.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs import practice
from model.training.oracles.clicks import CHARACTERS_JS, questions_js


@dataclass(frozen=True)
class Question:
    """A goal and the point that answers it, in pixels of the screen."""

    goal: str
    x: int
    y: int
    box: tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True)
class Sample:
    """One screen. png is the frame as captured; characters are (character, x, y) in pixels."""

    task: str
    seed: int
    goal: str
    png: bytes
    questions: tuple[Question, ...]
    characters: tuple[tuple[str, float, float], ...]


def render(task: str, first: int, last: int, folder: Path, browser: Any) -> int:
    """Draw seeds first to last - 1 of a task into the folder; returns how many were new. browser: Playwright's."""
    if last > practice.HELD_OUT:
        raise ValueError(f"seeds from {practice.HELD_OUT} are held out for measuring; draw below it, not up to {last}")
    folder.mkdir(parents=True, exist_ok=True)
    index, frames = folder / f"{task}.jsonl", folder / f"{task}.frames"
    done = _repair(index, frames)
    page = practice.page(task)
    context = browser.new_context(viewport={"width": page.width, "height": page.height}, device_scale_factor=page.scale)
    context.add_init_script(practice.init_js())
    tab = context.new_page()
    wire = context.new_cdp_session(tab)
    tab.goto(page.url)
    clip = {"x": 0, "y": 0, "width": page.width, "height": page.height, "scale": page.scale}  # else it is in CSS px
    new = 0
    with index.open("a", encoding="utf-8") as lines, frames.open("ab") as pictures:
        for seed in range(first, last):
            if seed in done:
                continue
            goal = tab.evaluate(practice.start_js(seed))
            shot = wire.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True, "clip": clip})
            png = base64.b64decode(shot["data"])
            scale = page.scale
            questions = [
                {
                    "goal": one["goal"],
                    "x": int(one["at"][0] * scale),
                    "y": int(one["at"][1] * scale),
                    "box": [round(value * scale, 1) for value in one["box"]],
                }
                for one in tab.evaluate(questions_js(task))
            ]
            characters = [[c, round(x * scale, 1), round(y * scale, 1)] for c, x, y in tab.evaluate(CHARACTERS_JS)]
            offset = pictures.tell()
            pictures.write(png)
            pictures.flush()
            record = {"seed": seed, "goal": goal, "at": offset, "size": len(png)}
            lines.write(json.dumps({**record, "questions": questions, "characters": characters}) + "\n")
            new += 1
    context.close()
    return new


def _repair(index: Path, frames: Path) -> set[int]:
    """Seeds whose line and frame are whole; what a killed run left half-written is cut off."""
    done: set[int] = set()
    end, good = 0, 0
    if index.exists():
        size = frames.stat().st_size
        with index.open("rb") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if record["at"] + record["size"] > size:
                    break
                done.add(record["seed"])
                end, good = record["at"] + record["size"], good + len(line)
        os.truncate(index, good)
        os.truncate(frames, end)
    return done


def read(folder: Path, tasks: list[str] | None = None) -> Iterator[Sample]:
    """Every sample of a data folder, task by task."""
    for index in sorted(folder.glob("*.jsonl")):
        if tasks is not None and index.stem not in tasks:
            continue
        frames = index.with_suffix(".frames").read_bytes()
        for line in index.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            yield Sample(
                index.stem,
                record["seed"],
                record["goal"],
                frames[record["at"] : record["at"] + record["size"]],
                tuple(Question(one["goal"], one["x"], one["y"], tuple(one["box"])) for one in record["questions"]),
                tuple((c, x, y) for c, x, y in record["characters"]),
            )
