"""Damage to the small files of a checkpoint is reported in one sentence.

Damage to config.json and the weights is tested in test_loading.py.
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

Damage = Callable[[Path], object]


def json_change(name: str, **values: Any) -> Damage:
    """Return a damage that changes values in a JSON file."""

    def damage(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**data, **values}))

    return damage


def overwritten(name: str, text: str | bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def truncated(name: str) -> Damage:
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


def template_list(folder: Path) -> None:
    """Replace the template by a list in tokenizer_config.json, as in older checkpoints, without a template in it."""
    (folder / "chat_template.jinja").unlink()
    json_change("tokenizer_config.json", chat_template=[3])(folder)


def nan_weights(folder: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors["model.norm.weight"][:] = torch.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


SETTINGS, PREPROCESSOR, GENERATION, TEMPLATE = (
    "pixelhand.json",
    "preprocessor_config.json",
    "generation_config.json",
    "chat_template.jinja",
)
EMPTY = '{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {%s}, "unk_token": "?"}}'
DAMAGE: dict[str, tuple[Damage, str]] = {
    "a tokenizer cut off": (truncated("tokenizer.json"), "tokenizer.json is missing or damaged"),
    "a tokenizer of nothing": (overwritten("tokenizer.json", EMPTY % ""), "tokenizer.json is missing or damaged"),
    "another tokenizer": (overwritten("tokenizer.json", EMPTY % '"?": 0'), "tokenizer.json has no token <|image_pad|>"),
    "another's config": (json_change("config.json", image_token_id=5), "they are not of one checkpoint"),
    "settings cut off": (truncated(SETTINGS), "pixelhand.json cannot be read"),
    "settings in a list": (overwritten(SETTINGS, "[1]"), "pixelhand.json must be a JSON object"),
    "settings of bytes": (overwritten(SETTINGS, b"\xff\xfe"), "pixelhand.json cannot be read"),
    "a number as text": (
        json_change(SETTINGS, history_steps="many"),
        "history_steps must be a whole number, not 'many'",
    ),
    "a fraction": (json_change(SETTINGS, max_new_tokens=6.5), "max_new_tokens must be a whole number, not 6.5"),
    "null": (json_change(SETTINGS, pictures=None), "pictures must be a whole number, not None"),
    "true for a number": (json_change(SETTINGS, pictures=True), "pictures must be a whole number, not True"),
    "a negative number": (json_change(SETTINGS, history_steps=-1), "history_steps must be 0 or more, not -1"),
    "no words at all": (json_change(SETTINGS, max_new_tokens=0), "max_new_tokens must be 1 or more, not 0"),
    "a number for text": (json_change(SETTINGS, dialect=3), "dialect must be a string, not 3"),
    "a budget cut off": (truncated(PREPROCESSOR), "preprocessor_config.json cannot be read"),
    "a budget in words": (
        json_change(PREPROCESSOR, min_pixels="many"),
        "min_pixels must be a whole number above 0, not 'many'",
    ),
    "an endless budget": (
        overwritten(PREPROCESSOR, '{"max_pixels": 1e999}'),
        "max_pixels must be a whole number above 0, not inf",
    ),
    "a budget upside down": (
        json_change(PREPROCESSOR, min_pixels=10**9),
        "max_pixels must be at least min_pixels, 1000000000",
    ),
    "sizes in a list": (json_change(PREPROCESSOR, size=[1]), "size must be an object, not [1]"),
    "stops cut off": (truncated(GENERATION), "generation_config.json cannot be read"),
    "a stop in words": (
        json_change(GENERATION, eos_token_id="x"),
        "eos_token_id must be a whole number or a list of them",
    ),
    "stops in an object": (
        json_change(GENERATION, eos_token_id={"a": 1}),
        "eos_token_id must be a whole number or a list",
    ),
    "a template cut off": (truncated(TEMPLATE), "failed (TemplateSyntaxError"),
    "a template of bytes": (overwritten(TEMPLATE, b"\xff\xfe\x00"), "chat_template.jinja cannot be read"),
    "a template that fails": (overwritten(TEMPLATE, "{{ messages.a.b }}"), "failed (UndefinedError"),
    "a template that divides": (overwritten(TEMPLATE, "{{ 1 / 0 }}"), "failed (ZeroDivisionError"),
    "a template without pictures": (overwritten(TEMPLATE, ""), "rendered 0 of 1 images"),
    "a template in a list": (template_list, "has no chat template"),
    "weights that are no numbers": (nan_weights, "not finite in float32"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported(tiny_folder: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(tiny_folder)
    screen = Screen(np.zeros((56, 84, 3), np.uint8))
    with pytest.raises(UsageError) as caught:
        chat = load_chat(tiny_folder, "cpu")
        chat.reply([{"role": "user", "content": [{"type": "image", "image": screen}]}], max_new_tokens=1)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


def test_undamaged_checkpoint_replies(tiny_folder: Path) -> None:
    screen = Screen(np.zeros((56, 84, 3), np.uint8))
    reply = load_chat(tiny_folder, "cpu").reply(
        [{"role": "user", "content": [{"type": "image", "image": screen}]}], max_new_tokens=1
    )
    assert reply.reply_tokens == 1


@pytest.mark.parametrize("stops", [{}, {"eos_token_id": None}, {"eos_token_id": []}])
def test_default_stop_id_ends_turn(tiny_folder: Path, stops: dict[str, Any]) -> None:
    (tiny_folder / GENERATION).write_text(json.dumps(stops))
    tokenizer = load_chat(tiny_folder, "cpu").tokenizer
    assert tokenizer.stop_ids == (tokenizer.id("<|im_end|>"),)
