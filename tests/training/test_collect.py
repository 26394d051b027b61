"""Collecting a model's screens: replies and results are stored, and sampling repeats with its seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.training_data import make_recipe, noise_png, write_collected
from typer.testing import CliRunner

from actions import UsageError
from model.engine.decode import Sampling
from training.__main__ import app
from training.dagger import CollectionCounts, collect
from training.dataset import read_samples
from training.evaluate import generate_replies
from training.packing import format_reply
from training.sft import SFTStage

TASK, FIRST = "click-test", 800_000


def no_call(png: bytes, goal: str, seed: int) -> str:
    """Reply without a call."""
    return "Hm."


def test_replies_and_results_are_stored(browser: Any, tmp_path: Path) -> None:
    """The first model never calls; the second one gives the right answer every other time."""
    counts = collect(TASK, FIRST, FIRST + 2, tmp_path / "first", browser, no_call)
    assert counts == CollectionCounts(screens=2, episodes=2, won=0)
    right_replies: dict[bytes, str] = {}
    for sample in read_samples(tmp_path / "first"):
        assert sample.own_question is not None
        assert sample.reply_text == "Hm."
        assert not sample.won
        right_replies[sample.png] = format_reply(sample.own_question).removesuffix("<|im_end|>")
    seeds: list[int] = []

    def reply_right_second_time(png: bytes, goal: str, seed: int) -> str:
        seeds.append(seed)
        return right_replies[png] if len(seeds) % 2 == 0 else "Hm."

    folder = tmp_path / "second"
    counts = collect(TASK, FIRST, FIRST + 2, folder, browser, reply_right_second_time, tries=2)
    assert counts == CollectionCounts(screens=4, episodes=4, won=2)
    stored = [(s.seed, s.state, s.reply_text == "Hm.", s.won) for s in read_samples(folder)]
    assert stored == [(seed, number, not number, bool(number)) for seed in (FIRST, FIRST + 1) for number in (0, 1)]
    counts = collect(TASK, FIRST, FIRST + 2, folder, browser, reply_right_second_time, tries=2)
    assert counts == CollectionCounts(0, 0, 0), "all seeds are stored"
    first_seeds, seeds[:] = list(seeds), []
    collect(TASK, FIRST, FIRST + 2, tmp_path / "again", browser, reply_right_second_time, tries=2)
    assert seeds == first_seeds
    assert len(set(seeds)) == 4, "each episode samples differently"


def test_interrupted_seed_is_collected_again(browser: Any, tmp_path: Path) -> None:
    calls: list[int] = []

    def reply_until_interrupt(png: bytes, goal: str, seed: int) -> str:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(seed)
        return "Hm."

    with pytest.raises(KeyboardInterrupt):
        collect(TASK, FIRST, FIRST + 2, tmp_path, browser, reply_until_interrupt, tries=2)
    assert [(sample.seed, sample.state) for sample in read_samples(tmp_path)] == [(FIRST, 0), (FIRST, 1)]
    counts = collect(TASK, FIRST, FIRST + 2, tmp_path, browser, no_call, tries=2)
    assert counts == CollectionCounts(screens=2, episodes=2, won=0)
    assert len(list(read_samples(tmp_path))) == 4
    assert [index.stem for index in tmp_path.glob("*.jsonl")] == [TASK]


def test_held_out_seeds_are_not_collected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="held out"):
        collect(TASK, 899_999, 900_001, tmp_path, None, no_call)


def test_sampled_replies_repeat_with_their_seed(tmp_path: Path) -> None:
    write_collected(tmp_path / "collected", [("", False)])
    entry = {"folder": "collected", "share": 1.0, "questions": 2}
    stage = SFTStage(make_recipe("sft", data=[entry]), tmp_path, tmp_path / "run")

    def reply(sampling: Sampling | None) -> str:
        prompts = [(noise_png(0), "Click.")]
        return generate_replies(stage.model, stage.tokenizer, stage.packer, prompts, 16, sampling)[0]

    sampled = reply(Sampling(1.0, seed=3))
    assert reply(Sampling(1.0, seed=3)) == sampled
    assert reply(Sampling(1.0, seed=4)) != sampled
    assert reply(Sampling(0.0, seed=3)) == reply(None)
    assert reply(None) != sampled


def test_equal_tries_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["collect", str(tmp_path), "--out", str(tmp_path), "--tries", "3"])
    assert result.exit_code == 2
    assert "at temperature 0 gives equal episodes" in " ".join(result.output.split())
