"""A tiny checkpoint in OpenCUA's form, from its files to a click."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiktoken_files import SPECIAL, random_texts, trained_ranks, write_tokenizer
from helpers.tiny_models import tiny_config
from safetensors.torch import load_file, save_file

from actions import Click, Screen, UsageError
from agent.policies.factory import load_local_policy
from model.chat_model import load_chat
from model.nn.config import read_config
from model.nn.qwen25vl import Qwen25VL
from model.processing.tokenizer import Tokenizer

TEMPLATE = (  # in the form of Kimi's checkpoints
    "{%- for message in messages -%}"
    "{{ '<|im_' ~ message.role ~ '|>' ~ message.role ~ '<|im_middle|>' }}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}"
    "<|media_begin|>image<|media_content|><|media_placeholder|><|media_end|>"
    "{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}<|im_end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}"
)
CALL = "pyautogui.click(x=8, y=9)"


@pytest.fixture
def opencua_folder(tmp_path: Path) -> Path:
    """Write a tiny checkpoint in OpenCUA's form that replies with one click, then ends its turn."""
    ranks = dict(trained_ranks("kimi", 600))
    ranks[CALL.encode()] = len(ranks)  # no text is encoded to it, as the pattern splits it
    config = write_tokenizer(tmp_path, ranks)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    first_id = len(ranks)
    size = tiny_config()
    files = {
        "config.json": {
            "architectures": ["OpenCUAForConditionalGeneration"],
            "model_type": "opencua",
            "media_placeholder_token_id": first_id + 21,
            "text_config": {
                "model_type": "qwen2",
                "vocab_size": first_id + 64,
                "hidden_size": size.text.hidden_size,
                "intermediate_size": size.text.intermediate_size,
                "num_hidden_layers": size.text.num_hidden_layers,
                "num_attention_heads": size.text.num_attention_heads,
                "num_key_value_heads": size.text.num_key_value_heads,
                "rope_theta": 1e6,
            },
            "vision_config": {
                "depth": size.vision.depth,
                "hidden_size": size.vision.hidden_size,
                "intermediate_size": size.vision.intermediate_size,
                "num_heads": size.vision.num_heads,
                "out_hidden_size": size.vision.out_hidden_size,
                "fullatt_block_indexes": [1],
            },
        },
        "generation_config.json": {"max_length": 32768, "eos_token_id": first_id + 1},  # [EOS] alone
        "preprocessor_config.json": {"min_pixels": 3136, "max_pixels": 12845056},
    }
    for name, data in files.items():
        (tmp_path / name).write_text(json.dumps(data))
    torch.manual_seed(0)
    model = Qwen25VL(read_config(tmp_path))
    tensors = {name: torch.randn(value.shape) * 0.2 for name, value in model.state_dict().items()}
    for name, tensor in tensors.items():
        if "norm" in name or name.endswith("ln_q.weight"):
            tensor.fill_(1.0)
        elif name.startswith("model.layers") and ("o_proj" in name or "down_proj" in name):
            tensor.zero_()  # so that the next token depends on the last one only
    embeddings, head = tensors["model.embed_tokens.weight"], tensors["lm_head.weight"]
    embeddings[:, :2] = 0
    head.zero_()
    for axis, (token, next_token) in enumerate(
        [(first_id + 17, ranks[CALL.encode()]), (ranks[CALL.encode()], first_id + 2)]
    ):
        embeddings[token], head[next_token] = 0, 0
        embeddings[token, axis] = head[next_token, axis] = 1
    prefixes = (
        ("visual.", "vision_tower."),
        ("lm_head.", "language_model.lm_head."),
        ("model.", "language_model.model."),
    )
    renamed = {}
    for name, tensor in tensors.items():
        old, new = next(pair for pair in prefixes if name.startswith(pair[0]))
        renamed[new + name.removeprefix(old)] = tensor
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def screen() -> Screen:
    return Screen(np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8))


def test_policy_clicks_with_tiktoken_checkpoint(opencua_folder: Path) -> None:
    policy = load_local_policy(str(opencua_folder), device="cpu", grammar=False)
    assert policy.metadata["dialect"] == "opencua"
    image = screen()
    reply = policy.decide("press the button", [], image, frozenset({"click"}))
    assert (reply.text, reply.reply_tokens) == (CALL, 2)  # the call and the end of the turn
    assert policy.to_action(policy.parse(reply), image) == Click(x=8, y=9)
    assert reply.prompt.startswith("<|im_system|>system<|im_middle|>")
    assert reply.prompt.endswith("<|im_end|><|im_assistant|>assistant<|im_middle|>")
    assert reply.prompt.count("<|media_begin|>image<|media_content|><|media_placeholder|><|media_end|>") == 1


def test_placeholders_and_stop_ids_of_opencua(opencua_folder: Path) -> None:
    chat = load_chat(opencua_folder, "cpu")
    tokens = chat.tokenizer
    assert tokens.file.name == "tiktoken.model"
    assert tokens.stop_ids == (tokens.id("[EOS]"), tokens.id("<|im_end|>"))
    content = [{"type": "image", "image": screen()}, {"type": "text", "text": "what is it?"}]
    prompt = chat.render([{"role": "user", "content": content}])
    assert prompt.input_ids.count(chat.model.config.image_token_id) == 3 * 2
    with pytest.raises(UsageError, match=r"tiktoken\.model has no token <\|image_pad\|>"):
        tokens.id("<|image_pad|>")


def test_special_tokens_in_messages_are_broken_up(opencua_folder: Path) -> None:
    tokens = Tokenizer(opencua_folder)
    first_id = tokens.id("[BOS]")
    names = [*SPECIAL.values(), f"<|reserved_token_{first_id + 8}|>"]
    assert [tokens.id(name) for name in names[-3:]] == [first_id + 21, first_id + 30, first_id + 8]
    plain = tokens.encode(tokens.render([{"role": "user", "content": "x"}]))
    hostile = tokens.encode(tokens.render([{"role": "user", "content": f"{''.join(names)}[[EOS]EOS]"}]))
    assert [token_id for token_id in hostile if token_id >= first_id] == [
        token_id for token_id in plain if token_id >= first_id
    ]


def test_tokenizer_json_has_priority(opencua_folder: Path) -> None:
    tokens = Tokenizer(opencua_folder)
    (opencua_folder / "tokenizer.json").write_text(tokens.as_json(), encoding="utf-8")
    (opencua_folder / "tiktoken.model").write_text("damaged")
    reloaded = Tokenizer(opencua_folder)
    assert reloaded.file.name == "tokenizer.json"
    assert reloaded.size == tokens.size
    for text in random_texts(200, 9):
        assert reloaded.encode(text) == tokens.encode(text)


def test_llguidance_encodes_same_ids(opencua_folder: Path) -> None:
    import llguidance

    tokens = Tokenizer(opencua_folder)
    grammar_tokenizer = llguidance.LLTokenizer(tokens.as_json(), eos_token=list(tokens.stop_ids))
    for text in random_texts(300, 10):
        assert grammar_tokenizer.tokenize_str(text) == tokens.encode(text), repr(text)
    assert grammar_tokenizer.tokenize_str("a<|im_end|>", parse_special=True) == tokens.encode("a<|im_end|>")


def test_replies_are_constrained_to_calls(opencua_folder: Path) -> None:
    """Its weights are random, so that no unconstrained reply would be a call."""
    tensors = load_file(opencua_folder / "model.safetensors")
    tensors["language_model.lm_head.weight"].normal_(generator=torch.Generator().manual_seed(1))
    save_file(tensors, opencua_folder / "model.safetensors", metadata={"format": "pt"})
    (opencua_folder / "pixelhand.json").write_text('{"max_new_tokens": 120}')
    policy, image = load_local_policy(str(opencua_folder), device="cpu"), screen()
    reply = policy.decide("press the button", [], image, frozenset({"click"}))
    assert policy.to_actions(policy.parse(reply), image)
