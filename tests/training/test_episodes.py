"""Long context: a prompt of an episode is the one that an agent with that memory sends, and a stage learns from it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from actions import ACTION_TYPES, Reply, Screen, Step, UsageError
from agent.history_window import HistoryWindow
from model.chat_model import ChatModel, load_chat
from model.checkpoints.weights import load_model
from model.dialects.qwen25 import Dialect
from tests.training.test_recipe import LETTERS, png, recipe
from training.dataset import Question, Writer, read
from training.episodes import EpisodeStage
from training.packing import decode, reply
from training.trainer import Trainer, TrainingConfig

GOAL = "Click the button."
STEPS = 4


def words(x: int) -> str:
    answer = {"action": "left_click", "coordinate": [x, 100]}
    return reply(Question("", answer)).removesuffix("<|im_end|>")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two episodes of one seed and one of another, of noise."""
    writer = Writer(tmp_path / "collected", "click-test")
    for seed, episodes in ((0, 2), (1, 1)):
        for state in range(STEPS * episodes):
            answer = {"action": "left_click", "coordinate": [30 + state, 100]}
            asked = [{"goal": GOAL, "answer": answer, "box": [20.0, 90.0, 30.0, 40.0]}]
            more = {"said": words(200 + state), "episode": state // STEPS}
            writer.add(seed, state, GOAL, png(10 * seed + state), asked, LETTERS, more)
        writer.finish(seed)
    writer.close()
    return tmp_path


def episodes(**more: Any) -> TrainingConfig:
    entry = {"folder": "collected"}
    return recipe("episodes", **{"history_steps": 3, "pictures": 2, "acted": 1.0, "data": [entry], **more})


def test_episodes_of_one_seed_are_told_apart(data: Path, tmp_path: Path) -> None:
    (found,) = EpisodeStage(episodes(), data, tmp_path / "run").episodes.values()
    assert [[one.state for one in episode] for episode in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    held = EpisodeStage(episodes(data=[{"folder": "collected", "held_back": 1}]), data, tmp_path / "other")
    assert [len(one) for one in held.episodes["click-test"]] == [STEPS]
    with pytest.raises(UsageError, match=r"no episodes in .*; let a checkpoint act first \(collect\)"):
        EpisodeStage(episodes(data=[{"folder": "collected", "held_back": 9}]), data, tmp_path / "none")


def test_the_checkpoint_says_how_much_it_remembers(data: Path, tmp_path: Path) -> None:
    stage = EpisodeStage(episodes(), data, tmp_path / "run")
    told = json.loads((stage.checkpoint / "pixelhand.json").read_text(encoding="utf-8"))
    assert (told["history_steps"], told["pictures"]) == (3, 2)


@pytest.mark.parametrize("memory", [HistoryWindow(0, 0), HistoryWindow(3, 0), HistoryWindow(3, 2), HistoryWindow(2, 1)])
def test_a_prompt_is_the_one_that_an_agent_with_that_memory_sends(
    data: Path, tmp_path: Path, memory: HistoryWindow
) -> None:
    stage = EpisodeStage(episodes(), data, tmp_path / "run")
    stage.save(tmp_path / "run")
    chat = ChatModel(load_model(stage.checkpoint), stage.checkpoint, "run")
    episode = stage.episodes["click-test"][0]
    screens = [Screen(decode(one.png)) for one in episode]
    steps = [Step(n + 1, screen, Reply(one.said)) for n, (one, screen) in enumerate(zip(episode, screens, strict=True))]
    shown = memory.select(steps[:-1])
    talk = Dialect(chat.limits, tool="computer_use").conversation(GOAL, shown, screens[-1], frozenset(ACTION_TYPES))
    sent = chat.render(talk.messages, talk.tools)
    gone = len(steps) - 1 - len(shown)
    batch = stage.packed([(episode[gone:], sum(one.picture for one in shown), gone)])
    assert batch.ids[0, : len(sent.input_ids)].tolist() == sent.input_ids
    assert [screen.digest for screen in sent.screens] == [Screen(frame).digest for frame in batch.frames]
    answer = [one for one in batch.targets[0].tolist() if one != -100]
    assert stage.tokenizer.decode(answer) == words(33)
    assert batch.targets[0, len(sent.input_ids) - 1] == answer[0]


def test_what_is_drawn_stays_within_the_memory(data: Path, tmp_path: Path) -> None:
    stage = EpisodeStage(episodes(batch=30), data, tmp_path / "run")
    batch = stage.draw(random.Random(2))
    pad, turn = stage.tokenizer.id("<|image_pad|>"), stage.tokenizer.id("<|im_start|>")
    pictures = [int((row == pad).sum()) // stage.packer.cells for row in batch.ids]
    turns = [int((row == turn).sum()) for row in batch.ids]  # system, then user and assistant of each step
    assert set(pictures) == {1, 2, 3} and sum(pictures) == len(batch.frames)
    assert set(turns) == {3, 5, 7, 9}


def test_what_stands_behind_a_shorter_prompt_changes_nothing(data: Path, tmp_path: Path) -> None:
    stage = EpisodeStage(episodes(), data, tmp_path / "run")
    long, short = stage.episodes["click-test"][0], stage.episodes["click-test"][2]
    both = [(long, 2, 0), (short[:1], 0, 0)]
    alone = [stage.loss(stage.packed([one]))[1] for one in both]
    together = stage.loss(stage.packed(both))[1]
    mean = sum(one["acted"] for one in alone) / 2  # as many tokens decide in each
    assert together["acted"] == pytest.approx(mean, rel=1e-4)


def test_a_run_learns_goes_on_and_can_be_talked_to(data: Path, tmp_path: Path) -> None:
    read_recipe = episodes(steps=12, learning_rate=1e-2, batch=4)
    run = Trainer(read_recipe, EpisodeStage(read_recipe, data, tmp_path / "run"), tmp_path / "run")
    batch = run.stage.draw(random.Random(0))
    before = run.stage.loss(batch)[1]["loss"]
    assert run.train(minutes=5) and run.stage.loss(batch)[1]["loss"] < 0.7 * before
    again = EpisodeStage(episodes(seed=8), data, tmp_path / "next", [tmp_path / "run"])
    for key, value in run.stage.modules()["model"].state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])
    chat = load_chat(tmp_path / "run" / "checkpoint")
    assert (chat.settings.history_steps, chat.settings.pictures) == (3, 2)


def test_what_was_collected_before_episodes_were_numbered_is_one_episode(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "click-test")
    writer.add(3, 0, GOAL, png(1), [], LETTERS, {"said": words(1), "won": True})
    writer.finish(3)
    assert next(read(tmp_path)).episode == 0
