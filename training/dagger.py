"""Screens that the model itself comes upon, with the oracle's answers. Knows a studio and a model's words.

The model acts, the oracle labels: what is stored are the states that the model's own mistakes lead to (DAgger). Source:
Ross et al. 2011, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning". With each
screen stand the words that the model said there and whether its episode was won: for rejection sampling and preference.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actions import InvalidActionError, UsageError
from envs.miniwob import pages
from training.dataset import Writer
from training.evaluate import call
from training.miniwob_renderer import QUESTIONS, MiniWobRenderer, RenderedState
from training.oracles import ORACLES

Answer = Callable[[bytes, str, int], str]  # a PNG, a goal, and a seed for what is left to chance -> the model's words


def collect(
    task: str, first: int, last: int, folder: Path, browser: Any, answer: Answer, tries: int = 1
) -> tuple[int, int, int]:
    """Let the model do seeds first to last - 1 of a task, each so many times; returns how many screens are new, and how
    many episodes there were and were won. A seed's screens are numbered through all its episodes."""
    if last > pages.EVAL_SEED_START:
        raise UsageError(
            f"seeds from {pages.EVAL_SEED_START} are held out for measuring; collect below it, not up to {last}"
        )
    store = Writer(folder, task)
    studio = MiniWobRenderer(task, browser)
    new = episodes = won = 0
    try:
        for seed in range(first, last):
            if store.has(seed):
                continue
            chance = random.Random(f"{task}-{seed}-own")
            state = 0
            for episode in range(tries):
                seen, success = _episode(studio, seed, answer, chance)
                for shot, words in seen:
                    more = {"said": words, "won": success, "episode": episode}
                    store.add(seed, state, shot.goal, shot.png, shot.questions, shot.characters, more)
                    state += 1
                episodes += 1
                won += success
            store.finish(seed)
            new += state
    finally:
        studio.close()
        store.close()
    return new, episodes, won


def _episode(
    studio: MiniWobRenderer, seed: int, answer: Answer, chance: random.Random
) -> tuple[list[tuple[RenderedState, str]], bool]:
    """The screens of one episode with what the model said there, and whether it was won."""
    goal = studio.start(seed)
    seen: list[tuple[RenderedState, str]] = []
    for _ in range(2 * ORACLES[studio.task]):
        png = studio.picture()
        questions = studio.questions(chance.getrandbits(31))
        if not any(one["goal"] == goal for one in questions):
            break  # what the goal asks for lies under something else
        kept = questions[:1] + chance.sample(questions[1:], min(len(questions) - 1, QUESTIONS - 1))
        characters = studio.characters()
        words = answer(png, goal, chance.getrandbits(31))
        seen.append((RenderedState(goal, png, kept, characters), words))
        if not _do(studio, call(words)):
            break  # words that mean nothing here lead nowhere else
        if studio.verdict()["done"]:
            return seen, studio.verdict()["reward"] == 1
    return seen, False


def _do(studio: MiniWobRenderer, arguments: dict[str, Any] | None) -> bool:
    """Carry out a call; False where it is none."""
    try:
        if arguments is None or "action" not in arguments or arguments["action"] in ("terminate", "answer", "wait"):
            return False
        studio.do(arguments)
        studio.late()
    except (InvalidActionError, StopIteration):
        return False
    return True
