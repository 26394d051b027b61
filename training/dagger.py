"""Collect screens that a model visits, with the oracle's answers (DAgger).

The model acts and the oracle labels, so that the states which the model's own mistakes lead to are in the data. Source:
Ross et al. 2011, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning". The
model's
reply and the success of the episode are stored too, for rejection sampling and preference optimization.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actions import InvalidActionError, UsageError
from envs.miniwob import pages
from training.dataset import DatasetWriter
from training.evaluate import parse_call
from training.miniwob_renderer import MAX_QUESTIONS, MiniWobRenderer, RenderedState
from training.oracles import ORACLES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ReplyFn = Callable[[bytes, str, int], str]  # (PNG, goal, sampling seed) -> reply


@dataclass(frozen=True)
class CollectionCounts:
    """What one call of `collect` added."""

    screens: int
    episodes: int
    won: int


def collect(
    task: str, first: int, last: int, folder: Path, browser: Browser, reply: ReplyFn, tries: int = 1
) -> CollectionCounts:
    """Run a model on seeds of a task, and store its screens; seeds that are stored already are skipped.

    Args:
        task: Name of the task.
        first: First seed.
        last: Seed after the last.
        folder: The data folder.
        browser: A Playwright browser.
        reply: Generates the model's reply.
        tries: Episodes of each seed. The screens of a seed are numbered through all its episodes.
    """
    if last > pages.EVAL_SEED_START:
        raise UsageError(f"seeds from {pages.EVAL_SEED_START} are held out for evaluation; use seeds below, not {last}")
    writer = DatasetWriter(folder, task)
    renderer = MiniWobRenderer(task, browser)
    new = episodes = won = 0
    try:
        for seed in range(first, last):
            if writer.has(seed):
                continue
            rng = random.Random(f"{task}-{seed}-own")
            number = 0
            for episode in range(tries):
                states, success = _run_episode(renderer, seed, reply, rng)
                for state, reply_text in states:
                    extra = {"said": reply_text, "won": success, "episode": episode}
                    writer.add(seed, number, state.goal, state.png, state.questions, state.characters, extra)
                    number += 1
                episodes += 1
                won += success
            writer.finish(seed)
            new += number
    finally:
        renderer.close()
        writer.close()
    return CollectionCounts(new, episodes, won)


def _run_episode(
    renderer: MiniWobRenderer, seed: int, reply: ReplyFn, rng: random.Random
) -> tuple[list[tuple[RenderedState, str]], bool]:
    """Return the screens of one episode with the model's replies, and whether it was won."""
    goal = renderer.start(seed)
    states: list[tuple[RenderedState, str]] = []
    for _ in range(2 * ORACLES[renderer.task]):
        png = renderer.screenshot()
        questions = renderer.questions(rng.getrandbits(31))
        if not any(question["goal"] == goal for question in questions):
            break  # the target of the goal is covered
        others = rng.sample(questions[1:], min(len(questions) - 1, MAX_QUESTIONS - 1))
        characters = renderer.characters()
        reply_text = reply(png, goal, rng.getrandbits(31))
        states.append((RenderedState(goal, png, questions[:1] + others, characters), reply_text))
        if not _perform(renderer, parse_call(reply_text)):
            break  # an invalid call does not change the page
        if renderer.task_status()["done"]:
            return states, renderer.task_status()["reward"] == 1
    return states, False


def _perform(renderer: MiniWobRenderer, arguments: Mapping[str, Any] | None) -> bool:
    """Carry out a call; return whether it was valid."""
    try:
        if arguments is None or "action" not in arguments or arguments["action"] in ("terminate", "answer", "wait"):
            return False
        renderer.perform(arguments)
        renderer.run_timers()
    except (InvalidActionError, StopIteration):
        return False
    return True
