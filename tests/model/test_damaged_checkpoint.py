"""A checkpoint that is damaged beside its weights: one sentence with the file, before anything is asked of it.

What can befall config.json and the weights is in test_loading.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from actions import Screen, UsageError
from model.chat_model import load_chat

Harm = Callable[[Path], object]


def changed(name: str, **values: Any) -> Harm:
    """Values put into a JSON file."""

    def harm(at: Path) -> None:
        data = json.loads((at / name).read_text())
        (at / name).write_text(json.dumps({**data, **values}))

    return harm


def written(name: str, text: str | bytes) -> Harm:
    return lambda at: (at / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def cut(name: str) -> Harm:
    return lambda at: (at / name).write_bytes((at / name).read_bytes()[: (at / name).stat().st_size // 2])


def in_a_list(at: Path) -> None:
    """The template as an older tokenizer_config.json has it, but of nothing."""
    (at / "chat_template.jinja").unlink()
    changed("tokenizer_config.json", chat_template=[3])(at)


def not_numbers(at: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(at / "model.safetensors").items()}
    tensors["model.norm.weight"][:] = torch.nan
    save_file(tensors, at / "model.safetensors", {"format": "pt"})


SETTINGS, BUDGET, STOPS, TEMPLATE = (
    "pixelhand.json",
    "preprocessor_config.json",
    "generation_config.json",
    "chat_template.jinja",
)
EMPTY = '{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {%s}, "unk_token": "?"}}'
DAMAGE: dict[str, tuple[Harm, str]] = {
    "a tokenizer cut off": (cut("tokenizer.json"), "tokenizer.json is missing or damaged"),
    "a tokenizer of nothing": (written("tokenizer.json", EMPTY % ""), "tokenizer.json is missing or damaged"),
    "another tokenizer": (written("tokenizer.json", EMPTY % '"?": 0'), "tokenizer.json has no token <|image_pad|>"),
    "another's config": (changed("config.json", image_token_id=5), "they are not of one checkpoint"),
    "settings cut off": (cut(SETTINGS), "pixelhand.json cannot be read"),
    "settings in a list": (written(SETTINGS, "[1]"), "pixelhand.json holds no JSON object"),
    "settings of bytes": (written(SETTINGS, b"\xff\xfe"), "pixelhand.json cannot be read"),
    "a number as text": (changed(SETTINGS, history_steps="many"), "history_steps must be a whole number, not 'many'"),
    "a fraction": (changed(SETTINGS, max_new_tokens=6.5), "max_new_tokens must be a whole number, not 6.5"),
    "null": (changed(SETTINGS, pictures=None), "pictures must be a whole number, not None"),
    "true for a number": (changed(SETTINGS, pictures=True), "pictures must be a whole number, not True"),
    "a negative number": (changed(SETTINGS, history_steps=-1), "history_steps must be 0 or more, not -1"),
    "no words at all": (changed(SETTINGS, max_new_tokens=0), "max_new_tokens must be 1 or more, not 0"),
    "a number for text": (changed(SETTINGS, dialect=3), "dialect must be a text, not 3"),
    "a budget cut off": (cut(BUDGET), "preprocessor_config.json cannot be read"),
    "a budget in words": (changed(BUDGET, min_pixels="many"), "min_pixels must be a whole number above 0, not 'many'"),
    "an endless budget": (
        written(BUDGET, '{"max_pixels": 1e999}'),
        "max_pixels must be a whole number above 0, not inf",
    ),
    "a budget upside down": (changed(BUDGET, min_pixels=10**9), "max_pixels must be at least min_pixels, 1000000000"),
    "sizes in a list": (changed(BUDGET, size=[1]), "size must be an object, not [1]"),
    "stops cut off": (cut(STOPS), "generation_config.json cannot be read"),
    "a stop in words": (changed(STOPS, eos_token_id="x"), "eos_token_id must be a whole number or a list of them"),
    "stops in an object": (changed(STOPS, eos_token_id={"a": 1}), "eos_token_id must be a whole number or a list"),
    "a template cut off": (cut(TEMPLATE), "is damaged or of another kind (TemplateSyntaxError"),
    "a template of bytes": (written(TEMPLATE, b"\xff\xfe\x00"), "chat_template.jinja cannot be read"),
    "a template that fails": (written(TEMPLATE, "{{ messages.a.b }}"), "damaged or of another kind (UndefinedError"),
    "a template that divides": (written(TEMPLATE, "{{ 1 / 0 }}"), "damaged or of another kind (ZeroDivisionError"),
    "a template without pictures": (written(TEMPLATE, ""), "showed 0 of 1 pictures"),
    "a template in a list": (in_a_list, "has no chat template"),
    "weights that are no numbers": (not_numbers, "not finite in float32"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_sentence(tiny_folder: Path, name: str) -> None:
    harm, words = DAMAGE[name]
    harm(tiny_folder)
    screen = Screen(np.zeros((56, 84, 3), np.uint8))
    with pytest.raises(UsageError) as caught:
        chat = load_chat(tiny_folder, "cpu")
        chat.reply([{"role": "user", "content": [{"type": "image", "image": screen}]}], max_new_tokens=1)
    said = str(caught.value)
    assert words in said and "\n" not in said and len(said) < 400


def test_the_whole_one_answers(tiny_folder: Path) -> None:
    screen = Screen(np.zeros((56, 84, 3), np.uint8))
    reply = load_chat(tiny_folder, "cpu").reply(
        [{"role": "user", "content": [{"type": "image", "image": screen}]}], max_new_tokens=1
    )
    assert reply.reply_tokens == 1


@pytest.mark.parametrize("stops", [{}, {"eos_token_id": None}, {"eos_token_id": []}])
def test_a_checkpoint_that_names_no_stop_has_the_end_of_the_turn(tiny_folder: Path, stops: dict[str, Any]) -> None:
    (tiny_folder / STOPS).write_text(json.dumps(stops))
    tokenizer = load_chat(tiny_folder, "cpu").tokenizer
    assert tokenizer.stop_ids == (tokenizer.id("<|im_end|>"),)
