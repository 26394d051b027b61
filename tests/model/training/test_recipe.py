"""The training recipe: what is packed is what will be asked, runs repeat and resume, held-out seeds stay out."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from actions import VERBS, Screen, UsageError
from model.chat import load_chat
from model.dialects.qwen25 import Dialect
from model.training.render import _repair, read, render
from model.training.train import Recipe, Trainer

TASKS = ["click-test", "focus-text"]


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (364, 280, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as the renderer writes it, of noise."""
    folder = tmp_path / "data"
    folder.mkdir()
    for task in TASKS:
        with (folder / f"{task}.jsonl").open("w") as lines, (folder / f"{task}.frames").open("wb") as frames:
            for seed in range(4):
                picture = png(seed)
                questions = [
                    {
                        "goal": f"Click the {what}.",
                        "x": 30 + 50 * n,
                        "y": 100 + n,
                        "box": [20.0 + 50 * n, 90.0, 30.0, 40.0],
                    }
                    for n, what in enumerate(("button", "word", "other one"))
                ]
                record = {"seed": seed, "goal": questions[0]["goal"], "at": frames.tell(), "size": len(picture)}
                frames.write(picture)
                lines.write(json.dumps({**record, "questions": questions, "characters": [["a", 40.0, 99.0]]}) + "\n")
    return folder


@pytest.fixture
def recipe() -> Recipe:
    sizes = {"hidden_size": 32, "intermediate_size": 48}
    return Recipe(
        {
            "seed": 5,
            "tasks": TASKS,
            "held_back": 1,
            "batch": 2,
            "questions": 2,
            "steps": 4,
            "warmup": 1,
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-4,
            "weight_decay": 0.05,
            "vision": {**sizes, "depth": 2, "num_heads": 2, "fullatt_block_indexes": [1]},
            "text": {
                **sizes,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "mrope_section": [2, 1, 1],
            },
            "emphasis": {"click-test": 2.0},
            "losses": {
                "token": 2.0,
                "characters": 0.5,
                "places": 0.2,
                "gaze": 0.5,
                "spots": 0.5,
                "place_layer": 0,
                "gaze_layer": 1,
            },
        }
    )


def test_a_packed_question_is_the_prompt_that_the_agent_sends(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    trainer = Trainer(recipe, data, tmp_path / "run")
    trainer.save()
    sample = trainer.train_set[0]
    batch = trainer.packer.pack([sample], 3, random.Random(0))
    hidden = trainer.model.model(
        trainer.model.embed(batch.ids, batch.patches, [(1, 26, 20)]), batch.positions, batch.mask
    )
    packed = trainer.model.logits(hidden)[0]

    chat = load_chat(trainer.folder)
    chat.model.load_state_dict(trainer.model.state_dict())
    pixels = np.asarray(Image.open(io.BytesIO(sample.png)))
    dialect = Dialect(chat.limits, chat.settings.tool)
    ids = batch.ids[0].tolist()
    for question in sample.questions:
        talk = dialect.conversation(question.goal, [], Screen(pixels), frozenset(VERBS))
        prompt = chat.render(talk.messages, talk.tools)
        tail = prompt.input_ids[len(trainer.packer.head) :]
        start = next(n for n in range(len(ids)) if ids[n : n + len(tail)] == tail)
        alone = chat.model(torch.tensor([prompt.input_ids]), None, batch.patches, [(1, 26, 20)])[0, -1]
        assert torch.allclose(packed[start + len(tail) - 1], alone, atol=1e-4)


def test_a_run_repeats_with_its_seed_and_goes_on_where_it_stopped(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    whole = Trainer(recipe, data, tmp_path / "whole")
    assert whole.train(minutes=5)
    cut = Trainer(recipe, data, tmp_path / "cut")
    pack, packed = cut.packer.pack, []

    def killed(*given: Any) -> Any:
        if len(packed) == 2:
            raise KeyboardInterrupt
        packed.append(pack(*given))
        return packed[-1]

    cut.packer.pack = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cut.train(minutes=5)
    cut.save()
    resumed = Trainer(recipe, data, tmp_path / "cut")
    assert resumed.step == 2
    assert resumed.train(minutes=5)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_slice_ends_in_time_and_says_there_is_more(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    assert Trainer(recipe, data, tmp_path / "run").train(minutes=0) is False


def test_a_damaged_state_is_one_sentence(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    trainer = Trainer(recipe, data, tmp_path / "run")
    trainer.save()
    path = tmp_path / "run" / "state.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="is damaged"):
        Trainer(recipe, data, tmp_path / "run")


def test_a_run_does_not_go_on_with_another_recipe(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    Trainer(recipe, data, tmp_path / "run").save()
    with pytest.raises(UsageError, match="another recipe"):
        Trainer(Recipe({**recipe.data, "steps": 9}), data, tmp_path / "run")


def test_measuring_counts_each_task(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    assert set(Trainer(recipe, data, tmp_path / "run").measure()) == set(TASKS)


def test_a_task_without_screens_names_the_command(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no screens of click-link.*render"):
        Trainer(Recipe({**recipe.data, "tasks": [*TASKS, "click-link"]}), data, tmp_path / "run")


def test_held_out_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="held out"):
        render("click-test", 899_999, 900_001, tmp_path, browser=None)


def test_what_a_killed_renderer_left_is_cut_to_what_is_whole(data: Path) -> None:
    index, frames = data / "click-test.jsonl", data / "click-test.frames"
    frames.write_bytes(frames.read_bytes()[:-10])
    with index.open("a") as lines:
        lines.write('{"seed": 9, "go')
    assert _repair(index, frames) == {0, 1, 2}
    assert [sample.seed for sample in read(data, ["click-test"])] == [0, 1, 2]
