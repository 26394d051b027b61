"""DPO and rejection sampling: pairs and answers from a model's own replies, and the DPO loss."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training_data import (
    CLICK_ANSWER,
    CLICK_BOX,
    CLICK_GOAL,
    call_text,
    make_recipe,
    write_collected,
)

from actions import UsageError
from model.processing.image import frames_to_patches
from tests.training.test_training_runs import logged_losses
from training.config import TrainingConfig
from training.dataset import read_samples
from training.dpo import DPOStage, answer_log_probs, rejected_answer
from training.feature_anchor import encode_frames
from training.packing import decode_png
from training.sft import SFTStage
from training.sft_data import valid_call
from training.trainer import Trainer

WRONG = call_text(action="left_click", coordinate=[200, 300]), call_text(action="type", text="Zoë")
RIGHT = call_text(**CLICK_ANSWER)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a folder with two wrong replies."""
    write_collected(tmp_path / "data" / "collected", [(reply, False) for reply in WRONG])
    return tmp_path / "data"


def dpo_recipe(**overrides: Any) -> TrainingConfig:
    defaults = {"beta": 0.5, "anchor": 0.0, "frozen": ["visual"], "data": [{"folder": "collected"}]}
    return make_recipe("dpo", **{**defaults, **overrides})


def sft_recipe(**overrides: Any) -> TrainingConfig:
    entry = {"folder": "collected", "share": 1.0, "questions": 2}
    return make_recipe("sft", **{"data": [entry], **overrides})


def test_model_starts_equal_to_reference(data: Path, tmp_path: Path) -> None:
    stage = DPOStage(dpo_recipe(), data, tmp_path / "run")
    batch = stage.sample_batch(random.Random(1))
    cells = encode_frames(stage.model.visual, batch.frames)
    log_probs = [answer_log_probs(model, cells, batch)[0] for model in (stage.model, stage.reference)]
    assert torch.equal(*log_probs)
    assert bool((log_probs[0] < 0).all())
    loss, metrics = stage.loss(batch)
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert metrics["margin"] == 0
    anchored, metrics = DPOStage(dpo_recipe(anchor=0.25), data, tmp_path / "run").loss(batch)
    assert metrics["token"] > 0
    assert float(anchored.detach()) == pytest.approx(math.log(2) + 0.25 * metrics["token"])


def test_log_probs_equal_those_of_separate_prompts(data: Path, tmp_path: Path) -> None:
    stage = DPOStage(dpo_recipe(), data, tmp_path / "run")
    pairs = stage.pairs["click-test"]
    batch = stage.pack(pairs)
    packer, model = stage.packer, stage.model
    with torch.no_grad():
        log_probs, lengths = answer_log_probs(model, encode_frames(model.visual, batch.frames), batch)
        for row, pair in enumerate(pairs):
            patches, _ = frames_to_patches(decode_png(pair.sample.png)[None].repeat(2, axis=0))
            for number, text in enumerate((RIGHT, pair.sample.reply_text)):
                prompt = packer.head + packer.prompt(CLICK_GOAL)
                reply = packer.tokenizer.encode(text + "<|im_end|>")
                logits = model(torch.tensor([prompt + reply]), None, patches, [(1, 26, 20)])[0, len(prompt) - 1 : -1]
                expected = logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum()
                assert float(log_probs[row, number]) == pytest.approx(float(expected), abs=1e-3)
                assert int(lengths[row, number]) == len(reply)


def test_training_prefers_chosen_answers(data: Path, tmp_path: Path) -> None:
    recipe = dpo_recipe(anchor=0.2, steps=8, learning_rate=3e-3, optimizer="adamw")
    stage = DPOStage(recipe, data, tmp_path / "run")
    batch = stage.pack(stage.pairs["click-test"])
    first_loss, first = stage.loss(batch)
    frozen = (stage.model.visual, stage.reference)
    states = [{key: value.clone() for key, value in module.state_dict().items()} for module in frozen]
    Trainer(recipe, stage, tmp_path / "run").train(minutes=5)
    last_loss, last = stage.loss(batch)
    assert float(last_loss.detach()) < float(first_loss.detach())
    assert last["preference"] < math.log(2)
    assert last["margin"] > 0
    assert last["preferred_right"] == 1
    assert last["chosen"] > first["chosen"]
    for module, state in zip(frozen, states, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_resumed_run_keeps_its_reference(data: Path, tmp_path: Path) -> None:
    """The checkpoint that the run started from is not needed to resume it."""
    origin = DPOStage(dpo_recipe(seed=8), data, tmp_path / "origin")
    origin.save(tmp_path / "origin")
    stages = [DPOStage(dpo_recipe(), data, tmp_path / name, [origin.checkpoint]) for name in ("whole", "cut")]
    for key, value in origin.model.state_dict().items():
        assert torch.allclose(value, stages[0].reference.state_dict()[key], atol=1e-2), key  # stored in half precision
    uninterrupted = Trainer(dpo_recipe(), stages[0], tmp_path / "whole")
    assert uninterrupted.train(minutes=5)
    interrupted = Trainer(dpo_recipe(), stages[1], tmp_path / "cut")
    for step in range(2):
        interrupted._train_step(interrupted._sample_batch(step))
        interrupted.step += 1
    interrupted.save()
    resumed = Trainer(dpo_recipe(), DPOStage(dpo_recipe(), data, tmp_path / "cut"), tmp_path / "cut")
    assert resumed.step == 2
    assert resumed.train(minutes=5)
    for part, module in uninterrupted.stage.modules().items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, resumed.stage.modules()[part].state_dict()[key]), (part, key)
    last = [logged_losses(tmp_path / name)[-1] for name in ("whole", "cut")]
    assert last[0] == last[1]
    assert last[0]["step"] == 4
    assert last[0]["margin"] != 0


def test_other_stages_start_from_dpo_checkpoint(data: Path, tmp_path: Path) -> None:
    stage = DPOStage(dpo_recipe(precision="bfloat16"), data, tmp_path / "one")
    Trainer(dpo_recipe(precision="bfloat16"), stage, tmp_path / "one").train(minutes=5)
    after = SFTStage(sft_recipe(seed=9), data, tmp_path / "two", [stage.checkpoint])
    for key, value in stage.model.state_dict().items():
        assert torch.allclose(value, after.model.state_dict()[key], atol=1e-2), key
    after = SFTStage(sft_recipe(seed=9), data, tmp_path / "two", [tmp_path / "one"])
    for key, value in stage.model.state_dict().items():
        assert torch.equal(value, after.model.state_dict()[key]), key  # the state of a run is exact
    Trainer(sft_recipe(), after, tmp_path / "two").save()
    again = DPOStage(dpo_recipe(), data, tmp_path / "three", [tmp_path / "two"])
    assert all(torch.equal(value, again.reference.state_dict()[key]) for key, value in after.model.state_dict().items())


def test_initial_weights_of_other_size_raise_usage_error(data: Path, tmp_path: Path) -> None:
    Trainer(dpo_recipe(), DPOStage(dpo_recipe(), data, tmp_path / "one"), tmp_path / "one").save()
    sizes = dpo_recipe()["text"]
    with pytest.raises(UsageError, match=r"no model with the sizes in \[vision\] and \[text\]"):
        DPOStage(dpo_recipe(text={**sizes, "num_hidden_layers": 3}), data, tmp_path / "two", [tmp_path / "one"])


NO_PAIR_REPLIES = [
    (RIGHT, False),  # right; the episode failed elsewhere
    (call_text(action="left_click", coordinate=[21, 91]), False),  # right: inside the box
    ("The button is green.", False),
    (call_text(action="left_click", coordinate=[2000, 10]), False),  # outside the screen
    (call_text(action="left_click"), False),
    (call_text(action="fly", coordinate=[200, 300]), False),
    (call_text(action="left_click", coordinate=["a", None]), False),
    ("<tool_call>\n{", False),
    ("", False),
]


def test_only_wrong_calls_become_pairs(tmp_path: Path) -> None:
    too_long = call_text(action="type", text="a" * 130)
    replies = [*NO_PAIR_REPLIES, (WRONG[0], True), (WRONG[1], False), (too_long, False)]
    write_collected(tmp_path / "data" / "collected", replies)
    pairs = DPOStage(dpo_recipe(), tmp_path / "data", tmp_path / "run").pairs["click-test"]
    assert [(pair.sample.seed, pair.rejected.answer["say"]) for pair in pairs] == [(9, WRONG[0]), (10, WRONG[1])]
    assert all(pair.chosen.answer == CLICK_ANSWER for pair in pairs)
    assert all(pair.chosen.goal == pair.rejected.goal == CLICK_GOAL for pair in pairs)
    longest = list(read_samples(tmp_path / "data" / "collected"))[-1]
    assert rejected_answer(longest) is not None, "left out since it does not fit into a block"


def test_pairs_of_lost_episodes_only(tmp_path: Path) -> None:
    write_collected(tmp_path / "data" / "collected", [(WRONG[0], True), (WRONG[1], False)])
    recipe = dpo_recipe(data=[{"folder": "collected", "won": False}])
    pairs = DPOStage(recipe, tmp_path / "data", tmp_path / "run").pairs["click-test"]
    assert [pair.sample.seed for pair in pairs] == [1]


def test_tasks_are_sampled_equally_often(data: Path, tmp_path: Path) -> None:
    write_collected(data / "collected", [(WRONG[0], False)] * 30, "click-checkboxes")
    stage = DPOStage(dpo_recipe(batch=60), data, tmp_path / "run")
    assert {name: len(pairs) for name, pairs in stage.pairs.items()} == {"click-checkboxes": 30, "click-test": 2}
    rows = [stage.packer.tokenizer.decode(row) for row in stage.sample_batch(random.Random(1)).ids.tolist()]
    assert 8 <= sum("Zoë" in row for row in rows) <= 22  # a quarter, not 1 of 32


@pytest.mark.parametrize(("folder", "count"), [("collected", 9), ("elsewhere", 0)])
def test_missing_pairs_raise_usage_error(folder: str, count: int, tmp_path: Path) -> None:
    write_collected(tmp_path / "data" / "collected", NO_PAIR_REPLIES)
    with pytest.raises(UsageError, match=rf"none of the {count} screens in .*{folder} is one; collect more"):
        DPOStage(dpo_recipe(data=[{"folder": folder}]), tmp_path / "data", tmp_path / "run")


def test_trainable_encoder_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"frozen = .*not \['visual.blocks.0'\]"):
        DPOStage(dpo_recipe(frozen=["visual.blocks.0"]), data, tmp_path / "run")


def test_won_episodes_teach_own_replies(tmp_path: Path) -> None:
    inside, outside = call_text(action="left_click", coordinate=[21, 91]), WRONG[0]
    scroll = call_text(action="scroll", pixels=-100, coordinate=None)
    replies = [(inside, True), (inside, False), ("Done.", True), (outside, True), (scroll, True)]
    write_collected(tmp_path / "data" / "collected", replies)
    entry = {"folder": "collected", "share": 1.0, "questions": 2, "won": True}
    stage = SFTStage(make_recipe("sft", batch=8, data=[entry]), tmp_path / "data", tmp_path / "run")
    (samples,) = stage.kinds[0].sources[0].samples.values()
    own = [(sample.seed, dict(sample.questions[0].answer), sample.questions[0].box) for sample in samples]
    assert own == [
        (0, {"action": "left_click", "coordinate": [21, 91]}, tuple(CLICK_BOX)),
        (3, {"action": "left_click", "coordinate": [200, 300]}, None),  # its target is unknown
        (4, {"action": "scroll", "pixels": -100}, None),
    ]
    assert all(sample.questions[1].answer == {"action": "type", "text": "a"} for sample in samples)
    batch = stage.sample_batch(random.Random(3))
    text = stage.tokenizer.decode(batch.ids.flatten().tolist())
    assert "[21, 91]" in text
    assert "[200, 300]" in text
    assert "[30, 100]" not in text
    assert math.isfinite(stage.loss(batch)[1]["loss"])


def test_without_won_oracle_answers_are_taught(data: Path, tmp_path: Path) -> None:
    (samples,) = SFTStage(sft_recipe(), data, tmp_path / "run").kinds[0].sources[0].samples.values()
    assert [sample.questions[0].answer for sample in samples] == [CLICK_ANSWER] * 2


def test_missing_won_episodes_raise_usage_error(data: Path, tmp_path: Path) -> None:
    entry = {"folder": "collected", "share": 1.0, "questions": 2, "won": True}
    with pytest.raises(UsageError, match="no screens of won episodes of any source; collect more"):
        SFTStage(make_recipe("sft", data=[entry]), data, tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"action": "key", "keys": ["enter"]}, {"action": "key", "keys": ["enter"]}),
        ({"action": "scroll", "pixels": 50, "coordinate": None}, {"action": "scroll", "pixels": 50}),
        (
            {"action": "left_click", "coordinate": [279, 363]},
            {"action": "left_click", "coordinate": [279, 363]},
        ),
        ({"action": "left_click", "coordinate": [280, 363]}, None),
        ({"action": ["left_click"], "coordinate": [1, 1]}, None),
    ],
)
def test_valid_call_is_what_agent_accepts(arguments: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert valid_call(call_text(**arguments)) == expected
