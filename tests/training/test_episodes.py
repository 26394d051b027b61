"""Training on episodes: prompts equal those of an agent with that history window, and a run learns."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training_data import LETTERS, call_text, make_recipe, noise_png

from actions import ACTION_TYPES, Reply, Screen, Step, UsageError
from agent.history_window import HistoryWindow
from model.chat_model import ChatModel, load_chat
from model.checkpoints.weights import load_model
from model.dialects.qwen25 import Dialect
from training.config import TrainingConfig
from training.dataset import DatasetWriter, read_samples
from training.episodes import EpisodeStage, HistoryWindowSample
from training.packing import decode_png
from training.trainer import Trainer

GOAL = "Click the button."
STEPS = 4


def click_reply(x: int) -> str:
    return call_text(action="left_click", coordinate=[x, 100])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two episodes of one seed and one of another, of noise."""
    writer = DatasetWriter(tmp_path / "collected", "click-test")
    for seed, episodes in ((0, 2), (1, 1)):
        for state in range(STEPS * episodes):
            answer = {"action": "left_click", "coordinate": [30 + state, 100]}
            questions = [{"goal": GOAL, "answer": answer, "box": [20.0, 90.0, 30.0, 40.0]}]
            extra = {"said": click_reply(200 + state), "episode": state // STEPS}
            writer.add(seed, state, GOAL, noise_png(10 * seed + state), questions, LETTERS, extra)
        writer.finish(seed)
    writer.close()
    return tmp_path


def episode_recipe(**overrides: Any) -> TrainingConfig:
    defaults = {"history_steps": 3, "pictures": 2, "decision_token": 1.0, "data": [{"folder": "collected"}]}
    return make_recipe("episodes", **{**defaults, **overrides})


@pytest.fixture
def stage(data: Path, tmp_path: Path) -> EpisodeStage:
    return EpisodeStage(episode_recipe(), data, tmp_path / "run")


def test_episodes_of_one_seed_are_separate(stage: EpisodeStage) -> None:
    (episodes,) = stage.episodes.values()
    assert [[sample.state for sample in episode] for episode in episodes] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_held_back_seeds_are_left_out(data: Path, tmp_path: Path) -> None:
    recipe = episode_recipe(data=[{"folder": "collected", "held_back": 1}])
    episodes = EpisodeStage(recipe, data, tmp_path / "run").episodes["click-test"]
    assert [len(episode) for episode in episodes] == [STEPS]
    with pytest.raises(UsageError, match=r"no episodes in .*; run `python -m training collect` first"):
        EpisodeStage(episode_recipe(data=[{"folder": "collected", "held_back": 9}]), data, tmp_path / "none")


def test_checkpoint_contains_history_window(stage: EpisodeStage) -> None:
    settings = json.loads((stage.checkpoint / "pixelhand.json").read_text(encoding="utf-8"))
    assert (settings["history_steps"], settings["pictures"]) == (3, 2)


@pytest.mark.parametrize("window", [HistoryWindow(0, 0), HistoryWindow(3, 0), HistoryWindow(3, 2), HistoryWindow(2, 1)])
def test_prompt_equals_that_of_agent(stage: EpisodeStage, tmp_path: Path, window: HistoryWindow) -> None:
    stage.save(tmp_path / "run")
    chat = ChatModel(load_model(stage.checkpoint), stage.checkpoint, "run")
    episode = stage.episodes["click-test"][0]
    screens = [Screen(decode_png(sample.png)) for sample in episode]
    steps = [
        Step(number, screen, Reply(sample.reply_text))
        for number, (sample, screen) in enumerate(zip(episode, screens, strict=True), start=1)
    ]
    history = window.select(steps[:-1])
    dialect = Dialect(chat.limits, tool="computer_use")
    conversation = dialect.conversation(GOAL, history, screens[-1], frozenset(ACTION_TYPES))
    prompt = chat.render(conversation.messages, conversation.tools)
    dropped = len(steps) - 1 - len(history)
    images = sum(step.picture for step in history)
    batch = stage.pack([HistoryWindowSample(episode[dropped:], images, dropped)])
    assert batch.ids[0, : len(prompt.input_ids)].tolist() == prompt.input_ids
    assert [screen.digest for screen in prompt.screens] == [Screen(frame).digest for frame in batch.frames]
    answer = [token for token in batch.targets[0].tolist() if token != -100]
    assert stage.tokenizer.decode(answer) == click_reply(33)
    assert batch.targets[0, len(prompt.input_ids) - 1] == answer[0]


def test_batches_stay_within_history_window(data: Path, tmp_path: Path) -> None:
    stage = EpisodeStage(episode_recipe(batch=30), data, tmp_path / "run")
    batch = stage.sample_batch(random.Random(2))
    pad, turn = stage.tokenizer.id("<|image_pad|>"), stage.tokenizer.id("<|im_start|>")
    images = [int((row == pad).sum()) // stage.packer.cells for row in batch.ids]
    turns = [int((row == turn).sum()) for row in batch.ids]  # system, then user and assistant of each step
    assert set(images) == {1, 2, 3}
    assert sum(images) == len(batch.frames)
    assert set(turns) == {3, 5, 7, 9}


def test_padding_does_not_change_loss(stage: EpisodeStage) -> None:
    long, short = stage.episodes["click-test"][0], stage.episodes["click-test"][2]
    windows = [HistoryWindowSample(long, 2, 0), HistoryWindowSample(short[:1], 0, 0)]
    separate = [stage.loss(stage.pack([window]))[1] for window in windows]
    together = stage.loss(stage.pack(windows))[1]
    mean = sum(metrics["decision_token"] for metrics in separate) / 2  # each has as many decision tokens
    assert together["decision_token"] == pytest.approx(mean, rel=1e-4)


def test_run_learns_and_its_checkpoint_loads(data: Path, tmp_path: Path) -> None:
    recipe = episode_recipe(steps=12, learning_rate=1e-2, batch=4)
    stage = EpisodeStage(recipe, data, tmp_path / "run")
    batch = stage.sample_batch(random.Random(0))
    first_loss = stage.loss(batch)[1]["loss"]
    assert Trainer(recipe, stage, tmp_path / "run").train(minutes=5)
    assert stage.loss(batch)[1]["loss"] < 0.7 * first_loss
    next_stage = EpisodeStage(episode_recipe(seed=8), data, tmp_path / "next", [tmp_path / "run"])
    for key, value in stage.model.state_dict().items():
        assert torch.equal(value, next_stage.model.state_dict()[key])
    chat = load_chat(tmp_path / "run" / "checkpoint")
    assert (chat.settings.history_steps, chat.settings.pictures) == (3, 2)


def test_sample_without_episode_number_is_episode_0(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, "click-test")
    writer.add(3, 0, GOAL, noise_png(1), [], LETTERS, {"said": click_reply(1), "won": True})
    writer.finish(3)
    assert next(read_samples(tmp_path)).episode == 0
