"""Preference and rejection sampling: what a model said becomes pairs or answers, and the loss is DPO's."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from actions import UsageError
from model.processing.image import frames_to_patches
from tests.training.test_recipe import LETTERS, png, recipe
from training.dataset import Question, Writer, read
from training.dpo import DPOStage, likelihoods, rejected
from training.feature_anchor import encode
from training.packing import decode as pixels_of
from training.packing import reply
from training.sft import SFTStage, call_of
from training.trainer import Trainer, TrainingConfig

GOAL = "Click the button."
RIGHT = {"action": "left_click", "coordinate": [30, 100]}
BOX = [20.0, 90.0, 30.0, 40.0]


def words(**arguments: Any) -> str:
    return reply(Question("", arguments)).removesuffix("<|im_end|>")


WRONG = words(action="left_click", coordinate=[200, 300]), words(action="type", text="Zoë")


def fill(folder: Path, said: list[tuple[str, bool]], task: str = "click-test") -> None:
    """A folder as `collect` fills it, of noise: a seed for each of what was said and whether that won."""
    writer = Writer(folder, task)
    for seed, (text, won) in enumerate(said):
        other = {"goal": "Type a.", "answer": {"action": "type", "text": "a"}, "box": None}
        asked = [{"goal": GOAL, "answer": RIGHT, "box": BOX}, other]
        writer.add(seed, 0, GOAL, png(seed), asked, LETTERS, {"said": text, "won": won})
        writer.finish(seed)
    writer.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fill(tmp_path / "data" / "collected", [(text, False) for text in WRONG])
    return tmp_path / "data"


def dpo(**more: Any) -> TrainingConfig:
    entry = {"folder": "collected"}
    return recipe("preference", **{"beta": 0.5, "anchor": 0.0, "frozen": ["visual"], "data": [entry], **more})


def test_at_first_the_model_is_the_reference(data: Path, tmp_path: Path) -> None:
    stage = DPOStage(dpo(), data, tmp_path / "run")
    batch = stage.draw(random.Random(1))
    picture = encode(stage.model.visual, batch.frames)
    both = [likelihoods(model, picture, batch)[0] for model in (stage.model, stage.reference)]
    assert torch.equal(*both) and bool((both[0] < 0).all())
    loss, figures = stage.loss(batch)
    assert float(loss.detach()) == pytest.approx(math.log(2)) and figures["margin"] == 0
    anchored, found = DPOStage(dpo(anchor=0.25), data, tmp_path / "run").loss(batch)
    assert float(anchored.detach()) == pytest.approx(math.log(2) + 0.25 * found["token"]) and found["token"] > 0


def test_likelihoods_are_those_of_each_answer_alone(data: Path, tmp_path: Path) -> None:
    """As the model itself says them behind the prompt, without rows and blocks."""
    stage = DPOStage(dpo(), data, tmp_path / "run")
    pairs = stage.pairs["click-test"]
    batch = stage.packed(pairs)
    packer, model = stage.packer, stage.model
    with torch.no_grad():
        found, lengths = likelihoods(model, encode(model.visual, batch.frames), batch)
        for row, pair in enumerate(pairs):
            patches, _ = frames_to_patches(pixels_of(pair.sample.png)[None].repeat(2, axis=0))
            for which, text in enumerate((words(**RIGHT), pair.sample.said)):
                before = packer.head + packer.prompt(GOAL)
                said = packer.tokenizer.encode(text + "<|im_end|>")
                logits = model(torch.tensor([before + said]), None, patches, [(1, 26, 20)])[0, len(before) - 1 : -1]
                alone = logits.log_softmax(-1).gather(1, torch.tensor(said)[:, None]).sum()
                assert float(found[row, which]) == pytest.approx(float(alone), abs=1e-3)
                assert int(lengths[row, which]) == len(said)


def test_a_few_steps_make_the_oracles_answers_likelier(data: Path, tmp_path: Path) -> None:
    read = dpo(anchor=0.2, steps=8, learning_rate=3e-3, optimiser="adamw")
    stage = DPOStage(read, data, tmp_path / "run")
    batch = stage.packed(stage.pairs["click-test"])
    first, was = stage.loss(batch)
    encoder = {key: value.clone() for key, value in stage.model.visual.state_dict().items()}
    reference = {key: value.clone() for key, value in stage.reference.state_dict().items()}
    Trainer(read, stage, tmp_path / "run").train(minutes=5)
    last, became = stage.loss(batch)
    assert float(last.detach()) < float(first.detach()) and became["preference"] < math.log(2)
    assert became["margin"] > 0 and became["preferred_right"] == 1 and became["chosen"] > was["chosen"]
    for module, before in ((stage.model.visual, encoder), (stage.reference, reference)):
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_run_goes_on_with_the_reference_that_it_began_with(data: Path, tmp_path: Path) -> None:
    """Even without the checkpoint that it began from; which another seed's model would not be."""
    origin = DPOStage(dpo(seed=8), data, tmp_path / "origin")
    origin.save(tmp_path / "origin")
    begun = [DPOStage(dpo(), data, tmp_path / name, [origin.checkpoint]) for name in ("whole", "cut")]
    for key, value in origin.model.state_dict().items():
        assert torch.allclose(value, begun[0].reference.state_dict()[key], atol=1e-2), key  # stored in half precision
    whole = Trainer(dpo(), begun[0], tmp_path / "whole")
    assert whole.train(minutes=5)
    cut = Trainer(dpo(), begun[1], tmp_path / "cut")
    for step in range(2):
        cut._step(cut._draw(step))
        cut.step += 1
    cut.save()
    resumed = Trainer(dpo(), DPOStage(dpo(), data, tmp_path / "cut"), tmp_path / "cut")
    assert resumed.step == 2 and resumed.train(minutes=5)
    for part, module in whole.stage.modules().items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, resumed.stage.modules()[part].state_dict()[key]), (part, key)
    logs = [(tmp_path / name / "losses.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    last = [{key: value for key, value in json.loads(log[-1]).items() if key != "s"} for log in logs]
    assert last[0] == last[1] and last[0]["step"] == 4 and last[0]["margin"] != 0


def test_its_checkpoint_is_one_that_the_other_stages_take(data: Path, tmp_path: Path) -> None:
    stage = DPOStage(dpo(precision="bfloat16"), data, tmp_path / "one")
    Trainer(dpo(precision="bfloat16"), stage, tmp_path / "one").train(minutes=5)
    entry = {"folder": "collected", "share": 1.0, "questions": 2}
    after = SFTStage(recipe("answers", seed=9, data=[entry]), data, tmp_path / "two", [stage.checkpoint])
    for key, value in stage.model.state_dict().items():
        assert torch.allclose(value, after.model.state_dict()[key], atol=1e-2), key
    after = SFTStage(recipe("answers", seed=9, data=[entry]), data, tmp_path / "two", [tmp_path / "one"])
    for key, value in stage.model.state_dict().items():
        assert torch.equal(value, after.model.state_dict()[key]), key  # a run's state is whole
    Trainer(recipe("answers", data=[entry]), after, tmp_path / "two").save()
    again = DPOStage(dpo(), data, tmp_path / "three", [tmp_path / "two"])
    assert all(torch.equal(value, again.reference.state_dict()[key]) for key, value in after.model.state_dict().items())
    sizes = recipe("answers")["text"]
    with pytest.raises(UsageError, match="no model of the sizes that this recipe names"):
        DPOStage(dpo(text={**sizes, "num_hidden_layers": 3}), data, tmp_path / "four", [tmp_path / "two"])


NO_PAIRS = [
    (words(**RIGHT), False),  # right, and its episode went wrong elsewhere
    (words(action="left_click", coordinate=[21, 91]), False),  # right: in the box
    ("The button is green.", False),
    (words(action="left_click", coordinate=[2000, 10]), False),  # beside the screen
    (words(action="left_click"), False),
    (words(action="fly", coordinate=[200, 300]), False),
    (words(action="left_click", coordinate=["a", None]), False),
    ("<tool_call>\n{", False),
    ("", False),
]


def test_only_wrong_calls_become_pairs(tmp_path: Path) -> None:
    fill(
        tmp_path / "data" / "collected",
        [*NO_PAIRS, (WRONG[0], True), (WRONG[1], False), (words(action="type", text="a" * 130), False)],
    )
    stage = DPOStage(dpo(), tmp_path / "data", tmp_path / "run")
    pairs = stage.pairs["click-test"]
    assert [(one.sample.seed, one.rejected.answer["say"]) for one in pairs] == [(9, WRONG[0]), (10, WRONG[1])]
    assert all(one.chosen.answer == RIGHT and one.chosen.goal == one.rejected.goal == GOAL for one in pairs)
    lost = DPOStage(dpo(data=[{"folder": "collected", "won": False}]), tmp_path / "data", tmp_path / "run")
    assert [one.sample.seed for one in lost.pairs["click-test"]] == [10]
    long = list(read(tmp_path / "data" / "collected"))[-1]
    assert rejected(long) is not None  # left out since it does not fit into a block


def test_tasks_are_drawn_equally_often(data: Path, tmp_path: Path) -> None:
    fill(data / "collected", [(WRONG[0], False)] * 30, "click-checkboxes")
    stage = DPOStage(dpo(batch=60), data, tmp_path / "run")
    assert {name: len(pairs) for name, pairs in stage.pairs.items()} == {"click-checkboxes": 30, "click-test": 2}
    drawn = [stage.packer.tokenizer.decode(row) for row in stage.draw(random.Random(1)).ids.tolist()]
    assert 8 <= sum("Zoë" in one for one in drawn) <= 22  # a quarter, not one in 32


def test_without_a_pair_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path / "data" / "collected", NO_PAIRS)
    with pytest.raises(
        UsageError, match=r"call was wrong, and none of the 9 screens in .*collected is one; collect more"
    ):
        DPOStage(dpo(), tmp_path / "data", tmp_path / "run")
    with pytest.raises(UsageError, match=r"none of the 0 screens in .*elsewhere"):
        DPOStage(dpo(data=[{"folder": "elsewhere"}]), tmp_path / "data", tmp_path / "run")


def test_an_encoder_that_would_learn_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"freezes \['visual.blocks.0'\]; say frozen"):
        DPOStage(dpo(frozen=["visual.blocks.0"]), data, tmp_path / "run")


def test_a_won_episode_is_answered_by_the_models_own_words(tmp_path: Path) -> None:
    inside, beside = words(action="left_click", coordinate=[21, 91]), WRONG[0]
    scrolled = words(action="scroll", pixels=-100, coordinate=None)
    said = [(inside, True), (inside, False), ("Done.", True), (beside, True), (scrolled, True)]
    fill(tmp_path / "data" / "collected", said)
    entry = {"folder": "collected", "share": 1.0, "questions": 2, "won": True}
    stage = SFTStage(recipe("answers", batch=8, data=[entry]), tmp_path / "data", tmp_path / "run")
    (samples,) = stage.kinds[0].sources[0].samples.values()
    assert [(one.seed, dict(one.questions[0].answer), one.questions[0].box) for one in samples] == [
        (0, {"action": "left_click", "coordinate": [21, 91]}, tuple(BOX)),
        (3, {"action": "left_click", "coordinate": [200, 300]}, None),  # nobody knows what it clicked on there
        (4, {"action": "scroll", "pixels": -100}, None),
    ]
    assert all(one.questions[1].answer == {"action": "type", "text": "a"} for one in samples)
    batch = stage.draw(random.Random(3))
    asked = stage.tokenizer.decode(batch.ids.flatten().tolist())
    assert "[21, 91]" in asked and "[200, 300]" in asked and "[30, 100]" not in asked
    assert math.isfinite(stage.loss(batch)[1]["loss"])
    plain = SFTStage(recipe("answers", data=[{**entry, "won": False}]), tmp_path / "data", tmp_path / "run")
    (samples,) = plain.kinds[0].sources[0].samples.values()
    assert [one.questions[0].answer for one in samples] == [RIGHT] * 5


def test_without_a_won_episode_a_sentence_says_so(data: Path, tmp_path: Path) -> None:
    entry = {"folder": "collected", "share": 1.0, "questions": 2, "won": True}
    with pytest.raises(UsageError, match="no screens of won episodes of any source; collect more"):
        SFTStage(recipe("answers", data=[entry]), data, tmp_path / "run")


def test_a_call_is_what_the_agent_would_take() -> None:
    assert call_of(words(action="key", keys=["enter"])) == {"action": "key", "keys": ["enter"]}
    assert call_of(words(action="scroll", pixels=50, coordinate=None)) == {"action": "scroll", "pixels": 50}
    assert call_of(words(action="left_click", coordinate=[279, 363])) is not None
    assert call_of(words(action="left_click", coordinate=[280, 363])) is None
    assert call_of(words(action=["left_click"], coordinate=[1, 1])) is None
