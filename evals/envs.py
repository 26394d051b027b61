"""Recorded benchmarks as gymnasium environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from actions import Action, UsageError
from envs.grounding import GroundingEnv
from envs.recorded import Level, RecordedEpisode, RecordedEpisodeEnv, RecordedStep, RewardFn
from evals.predictor import recorded_step, to_prediction
from evals.registry import load_benchmark, load_dataset, resolve_protocol
from evals.types import Benchmark, Dataset

Item = TypeVar("Item", RecordedStep, RecordedEpisode)


def reward_function(bench: Benchmark, protocol: str) -> RewardFn:
    """Return the reward of a single action: the official score, 0 to 1, of a prediction with that action alone."""

    def reward(step: RecordedStep, action: Action) -> float:
        return bench.score_sample(step.facts, to_prediction(bench, step.id, [action], ""), protocol).score

    return reward


def to_episodes(dataset: Dataset, tasks: Sequence[Any]) -> list[RecordedEpisode]:
    """Return steps, in order, as episodes."""
    steps_by_episode: dict[str, list[Any]] = {}
    for task in tasks:
        steps_by_episode.setdefault(task.episode, []).append(task)
    return [
        RecordedEpisode(name, steps[0].goal, tuple(recorded_step(dataset, step) for step in steps))
        for name, steps in steps_by_episode.items()
    ]


def make_env(
    name: str,
    data: str | Path,
    *,
    protocol: str | None = None,
    level: Level = "high",
    ids: Sequence[str] | None = None,
    canvas: tuple[int, int] | None = None,
    render_mode: str | None = None,
) -> RecordedEpisodeEnv:
    """Return a benchmark's folder as an environment whose reward is the official score of each step, 0 to 1.

    Args:
        name: The benchmark.
        data: The benchmark's folder; samples without an image are left out.
        protocol: One of the benchmark's protocols; None for the default.
        level: "high" for the goal alone, "low" with each step's instruction.
        ids: Samples, or episodes of an episodic benchmark; None for all.
        canvas: (width, height) of the observations in pixels; None for the largest image's.
        render_mode: None or "rgb_array".

    Raises:
        UsageError: An id is unknown or no image is in the folder.
    """
    bench = load_benchmark(name)
    if bench.question is not None:
        raise UsageError(f"{name} asks for texts and has no environment; run `agent eval {name}`")
    dataset = load_dataset(bench, Path(data))
    chosen = resolve_protocol(bench, dataset, protocol)
    tasks = list(bench.scored_tasks(dataset, chosen))
    reward = reward_function(bench, chosen)
    if bench.has_episodes:
        episodes = _select(to_episodes(dataset, tasks), ids, name)
        complete = _with_images(episodes, lambda episode: episode.frames, bench, dataset)
        return RecordedEpisodeEnv(
            complete, reward, level=level, canvas=canvas, verbs=bench.verbs, render_mode=render_mode
        )
    steps = _select([recorded_step(dataset, task) for task in tasks], ids, name)
    available = _with_images(steps, lambda step: (step,), bench, dataset)
    return GroundingEnv(available, reward, canvas=canvas, render_mode=render_mode)


def _select(items: list[Item], ids: Sequence[str] | None, name: str) -> list[Item]:
    if ids is None:
        return items
    by_id = {item.id: item for item in items}
    unknown = [item_id for item_id in ids if item_id not in by_id]
    if unknown:
        raise UsageError(f"{name} has no id '{unknown[0]}'; its ids look like '{min(by_id, default='')}'")
    return [by_id[item_id] for item_id in ids]


def _with_images(
    items: list[Item], steps_of: Callable[[Item], Sequence[RecordedStep]], bench: Benchmark, dataset: Dataset
) -> list[Item]:
    complete = [item for item in items if all(step.picture.is_file() for step in steps_of(item))]
    if not complete:
        raise UsageError(
            f"none of the requested images is in {dataset.folder / 'images'}; get them from {bench.image_source}"
        )
    return complete
