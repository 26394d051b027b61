"""Collecting: the model acts, its words and the verdict stand with the screens, and its luck repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actions import UsageError
from model.engine.decode import Sampling
from tests.training.test_preference import fill
from tests.training.test_recipe import png, recipe
from training.__main__ import app
from training.dagger import collect
from training.dataset import read, sources
from training.evaluate import generate_replies
from training.packing import reply
from training.sft import SFTStage

TASK, FIRST = "click-test", 800_000


def test_each_episode_says_what_the_model_said_and_whether_it_won(browser: Any, tmp_path: Path) -> None:
    """First a model that says nothing, whose screens tell what would have been right; then one that has learnt it."""
    mute = collect(TASK, FIRST, FIRST + 2, tmp_path / "mute", browser, lambda *_: "Hm.")
    assert mute == (2, 2, 0)
    learnt: dict[bytes, str] = {}
    for one in read(tmp_path / "mute"):
        assert one.own is not None and one.said == "Hm." and not one.won
        learnt[one.png] = reply(one.own).removesuffix("<|im_end|>")

    seeds: list[int] = []

    def second_time(picture: bytes, goal: str, seed: int) -> str:
        seeds.append(seed)
        return learnt[picture] if len(seeds) % 2 == 0 else "Hm."

    folder = tmp_path / "learnt"
    assert collect(TASK, FIRST, FIRST + 2, folder, browser, second_time, tries=2) == (4, 4, 2)
    found = [(one.seed, one.state, one.said == "Hm.", one.won) for one in read(folder)]
    assert found == [(seed, try_, not try_, bool(try_)) for seed in (FIRST, FIRST + 1) for try_ in (0, 1)]
    assert collect(TASK, FIRST, FIRST + 2, folder, browser, second_time, tries=2) == (0, 0, 0)  # all are there
    first, seeds[:] = list(seeds), []
    collect(TASK, FIRST, FIRST + 2, tmp_path / "again", browser, second_time, tries=2)
    assert seeds == first and len(set(seeds)) == 4  # chance repeats, and is another in each episode


def test_a_seed_that_was_cut_short_is_collected_anew(browser: Any, tmp_path: Path) -> None:
    def killed(picture: bytes, goal: str, seed: int) -> str:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(seed)
        return "Hm."

    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        collect(TASK, FIRST, FIRST + 2, tmp_path, browser, killed, tries=2)
    assert [(one.seed, one.state) for one in read(tmp_path)] == [(FIRST, 0), (FIRST, 1)]
    assert collect(TASK, FIRST, FIRST + 2, tmp_path, browser, lambda *_: "Hm.", tries=2) == (2, 2, 0)
    assert len(list(read(tmp_path))) == 4 and sources(tmp_path) == [TASK]


def test_held_out_seeds_are_not_collected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="held out"):
        collect(TASK, 899_999, 900_001, tmp_path, None, lambda *_: "")


def test_words_left_to_chance_repeat_with_their_seed(tmp_path: Path) -> None:
    fill(tmp_path / "collected", [("", False)])
    entry = {"folder": "collected", "share": 1.0, "questions": 2}
    stage = SFTStage(recipe("answers", data=[entry]), tmp_path, tmp_path / "run")

    def told(sampling: Sampling | None) -> str:
        return generate_replies(stage.model, stage.tokenizer, stage.packer, [(png(0), "Click.")], 16, sampling)[0]

    assert told(Sampling(1.0, seed=3)) == told(Sampling(1.0, seed=3)) != told(Sampling(1.0, seed=4))
    assert told(Sampling(0.0, seed=3)) == told(None) != told(Sampling(1.0, seed=3))


def test_tries_that_would_all_be_the_same_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["collect", str(tmp_path), "--out", str(tmp_path), "--tries", "3"])
    assert result.exit_code == 2 and "3 tries at temperature 0 are all the same" in " ".join(result.output.split())
