"""Missing, damaged, unsupported and too large checkpoints are reported; loading needs little memory."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from actions import UsageError
from model import load_model
from model.checkpoints import memory_check
from model.checkpoints.weights import INDEX, SINGLE, save_model
from model.nn.config import config_from_dict
from model.nn.qwen25vl import Qwen25VL

CONFIG: dict[str, Any] = {
    "model_type": "qwen2_5_vl",
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "image_token_id": 290,
    "video_token_id": 291,
    "vision_start_token_id": 292,
    "vision_config": {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 80,
        "num_heads": 4,
        "out_hidden_size": 64,
        "hidden_act": "silu",
        "patch_size": 14,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
        "in_chans": 3,
    },
}
REQUIRED = [
    *[(key,) for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")],
    *[(key,) for key in ("num_attention_heads", "num_key_value_heads", "vision_config")],
    *[("vision_config", key) for key in ("depth", "hidden_size", "intermediate_size", "num_heads", "out_hidden_size")],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a complete checkpoint in two files."""
    torch.manual_seed(0)
    save_model(Qwen25VL(config_from_dict(CONFIG)), tmp_path, torch.float32)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    tensors = load_file(tmp_path / SINGLE)
    (tmp_path / SINGLE).unlink()
    names = {
        name: f"model-0000{1 if name.startswith('visual') else 2}-of-00002.safetensors" for name in sorted(tensors)
    }
    for file in set(names.values()):
        save_file({name: tensors[name] for name in names if names[name] == file}, tmp_path / file, {"format": "pt"})
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return tmp_path


SHARD = "model-00002-of-00002.safetensors"


def load_error(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_model(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert 20 < len(text) < 500
    return text


def test_complete_checkpoint_loads(folder: Path) -> None:
    assert sum(weight.numel() for weight in load_model(folder).parameters()) > 100_000


def rewrite_shard(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / SHARD).items()}
    change(tensors)
    save_file(tensors, folder / SHARD, {"format": "pt"})


def truncate(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a missing shard": (lambda at: (at / SHARD).unlink(), [SHARD, "lacks 1 of 2 files", "download"]),
    "a truncated shard": (lambda at: truncate(at / SHARD, 100_000), [SHARD, "delete it and download"]),
    "a shard cut in its head": (lambda at: truncate(at / SHARD, 50), [SHARD, "delete it and download"]),
    "an empty shard": (lambda at: (at / SHARD).write_bytes(b""), [SHARD, "delete it and download"]),
    "a shard of something else": (lambda at: (at / SHARD).write_bytes(b"<html>" * 99), [SHARD, "delete it"]),
    "a shard with an endless head": (lambda at: (at / SHARD).write_bytes(b"\xff" * 99), [SHARD, "delete it"]),
    "a folder for a shard": (lambda at: ((at / SHARD).unlink(), (at / SHARD).mkdir()), [SHARD]),
    "no weights": (lambda at: (at / INDEX).unlink(), [SINGLE, INDEX, "safetensors"]),
    "a broken index": (lambda at: (at / INDEX).write_text("{"), [INDEX, "download"]),
    "an index without names": (lambda at: (at / INDEX).write_text("{}"), [INDEX, "download"]),
    "an index that is a list": (lambda at: (at / INDEX).write_text("[]"), [INDEX, "download"]),
    "an index of numbers": (lambda at: (at / INDEX).write_text('{"weight_map": {"a": 1}}'), [INDEX, "download"]),
    "an empty index": (lambda at: (at / INDEX).write_text('{"weight_map": {}}'), [INDEX, "download"]),
    "an index that leads elsewhere": (
        lambda at: (at / INDEX).write_text('{"weight_map": {"a": "../../x.safetensors"}}'),
        [INDEX, "files of this folder"],
    ),
    "a tensor too few": (
        lambda at: rewrite_shard(at, lambda all_: all_.pop("model.norm.weight")),
        ["'model.norm.weight'"],
    ),
    "a tensor too many": (
        lambda at: rewrite_shard(at, lambda all_: all_.update({"model.experts.0.weight": torch.zeros(2)})),
        ["'model.experts.0.weight'", "another architecture"],
    ),
    "a tensor of another size": (
        lambda at: rewrite_shard(at, lambda all_: all_.update({"model.norm.weight": torch.zeros(65)})),
        ["'model.norm.weight' is [65]", "[64]", "not of one checkpoint"],
    ),
    "no config": (lambda at: (at / "config.json").unlink(), ["config.json is missing"]),
    "a broken config": (lambda at: (at / "config.json").write_text("{"), ["config.json", "download"]),
    "a config that is a list": (lambda at: (at / "config.json").write_text("[]"), ["config.json", "download"]),
    "a config of bytes": (lambda at: (at / "config.json").write_bytes(b"\xff\xfe\x00"), ["config.json", "download"]),
    "another architecture": (
        lambda at: (at / "config.json").write_text(json.dumps({**CONFIG, "model_type": "llama"})),
        ["'llama'", "qwen2_5_vl"],
    ),
    "the family after": (
        lambda at: (at / "config.json").write_text(json.dumps({**CONFIG, "model_type": "glm4v"})),
        ["'glm4v'", "qwen2_5_vl", "qwen3_vl"],
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported_with_file_and_remedy(folder: Path, name: str) -> None:
    damage, messages = DAMAGE[name]
    damage(folder)
    text = load_error(folder)
    assert all(message in text for message in messages), text
    assert str(folder) in text


def test_other_path_is_reported(tmp_path: Path) -> None:
    assert "config.json is missing" in load_error(tmp_path)
    file = tmp_path / "weights.bin"
    file.write_bytes(b"x")
    assert "is a file; a checkpoint is a folder" in load_error(file)
    assert "neither a folder nor a Hub id" in load_error(Path("/nowhere/at/all"))


@pytest.mark.parametrize("with_config", [False, True])
def test_lora_adapter_is_reported_with_its_base(folder: Path, with_config: bool) -> None:
    (folder / INDEX).unlink()
    if not with_config:
        (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen2.5-VL-3B-Instruct"}')
    text = load_error(folder)
    assert "LoRA adapter for Qwen/Qwen2.5-VL-3B-Instruct" in text
    assert "merge_and_unload" in text


def test_adapter_beside_complete_checkpoint_is_ignored(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert load_model(folder).config.text.vocab_size == 300


@pytest.mark.parametrize("name", ["base_model.model.x.weight", "model.layers.0.self_attn.q_proj.lora_A.weight"])
def test_unmerged_lora_weights_are_reported(folder: Path, name: str) -> None:
    rewrite_shard(folder, lambda tensors: tensors.update({name: torch.zeros(2)}))
    text = load_error(folder)
    assert "LoRA weights were not merged" in text
    assert name in text


def test_missing_lm_head_is_reported(folder: Path) -> None:
    rewrite_shard(folder, lambda tensors: tensors.pop("lm_head.weight"))
    index = json.loads((folder / INDEX).read_text())
    del index["weight_map"]["lm_head.weight"]
    (folder / INDEX).write_text(json.dumps(index))
    text = load_error(folder)
    assert "no lm_head.weight" in text
    assert "tie_word_embeddings" in text


def test_folder_of_gguf_files_is_reported(tmp_path: Path) -> None:
    for name in ("model-q4.gguf", "mmproj-f16.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    assert f"--model {tmp_path / 'model-q4.gguf'}" in load_error(tmp_path)


def test_mlx_build_is_reported(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "quantization": {"group_size": 64, "bits": 4}}))
    assert "MLX" in load_error(folder)


@pytest.mark.parametrize("path", REQUIRED, ids=".".join)
def test_missing_config_key_is_reported(folder: Path, path: tuple[str, ...]) -> None:
    config = copy.deepcopy(CONFIG)
    part = config
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    (folder / "config.json").write_text(json.dumps(config))
    text = load_error(folder)
    assert path[-1] in text
    assert "config.json" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rope_scaling": {"type": "linear", "factor": 4, "mrope_section": [2, 3, 3]}},
            "rope_scaling.type is 'linear'",
        ),
        ({"rope_scaling": {"type": "yarn", "mrope_section": [2, 3, 3]}}, "rope_scaling.factor must be a positive"),
        ({"rope_scaling": {"type": "yarn", "factor": 0, "mrope_section": [2, 3, 3]}}, "rope_scaling.factor must be"),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 4]}}, "three numbers summing to 8"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 must be a multiple of 3"),
        ({"image_token_id": 300}, "image_token_id must be a whole number of 0 to 299"),
        ({"vision_config": {**CONFIG["vision_config"], "out_hidden_size": 32}}, "out_hidden_size 32 must equal"),
        (
            {"vision_config": {**CONFIG["vision_config"], "window_size": 100}},
            "window_size 100 must be a multiple of 28",
        ),
    ],
    ids=str,
)
def test_unsupported_config_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config_from_dict({**CONFIG, **change})


INVALID_VALUES = [
    None,
    "x",
    "64",
    -1,
    0,
    1.5,
    True,
    [],
    {},
    ["a"],
    [1, -1],
    {"a": 1},
    float("nan"),
    float("inf"),
    10**12,
]


def key_paths(data: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = [path for key, value in data.items() if isinstance(value, dict) for path in key_paths(value, (*above, key))]
    return [(*above, key) for key in data] + inner


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_invalid_config_value_raises_usage_error(layout: str) -> None:
    """Replace each value in turn by invalid ones: either a model can be made, or a UsageError is raised."""
    base = CONFIG
    if layout == "nested":
        text = {key: value for key, value in CONFIG.items() if key not in ("model_type", "vision_config")}
        base = {key: CONFIG[key] for key in ("model_type", "vision_config", "image_token_id", "video_token_id")}
        base = {**base, "vision_start_token_id": 292, "text_config": text}
    messages = []
    for path in key_paths(base):
        for value in INVALID_VALUES:
            config = copy.deepcopy(base)
            part = config
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = value
            try:
                parsed = config_from_dict(config)
            except UsageError as error:
                messages.append(str(error))
                continue
            with torch.device("meta"):
                Qwen25VL(parsed)
    assert len(messages) > 300
    assert max(map(len, messages)) < 300


def test_memory_is_checked_before_reading_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "available_bytes", lambda device: 100_000)
    (folder / SHARD).write_bytes(b"never read")
    text = load_error(folder)
    assert "GB on cpu" in text
    assert "are free" in text
    assert "smaller model" in text


@pytest.mark.parametrize(
    ("stored", "loaded"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("bfloat16", "float32")]
)
def test_peak_memory_is_near_weight_size(tmp_path: Path, stored: str, loaded: str) -> None:
    """The peak of a subprocess stays under 1.15 times the weights of a 300 MB checkpoint."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc, which only Linux has")
    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 12_000, "num_attention_heads": 8}
    rope = {"type": "mrope", "mrope_section": [16, 24, 24]}
    layers = {"float32": 3, "bfloat16": 7 if loaded == "bfloat16" else 3}[stored]
    vision = {**CONFIG["vision_config"], "out_hidden_size": 1024}
    config = {**CONFIG, **sizes, "rope_scaling": rope, "num_hidden_layers": layers, "vision_config": vision}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = Qwen25VL(config_from_dict(config))
    count = sum(weight.numel() for weight in model.parameters())
    save_model(model, tmp_path, getattr(torch, stored))
    del model
    # VmHWM, since ru_maxrss starts with the peak of the parent process
    script = """
import re, sys, torch
import model.checkpoints.weights
peak = lambda: int(re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1]) * 1024
before = peak()
loaded = model.checkpoints.weights.load_model(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
for weight in loaded.parameters():
    weight.view(-1)[::256].sum()  # touch every mapped page
print(peak() - before)
"""
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), loaded], capture_output=True, text=True, timeout=120, check=True
    )
    growth = int(process.stdout)
    weights = count * getattr(torch, loaded).itemsize
    assert 200e6 < weights < 400e6
    assert 0.9 * weights < growth < 1.15 * weights, f"{growth / weights:.3f} x the weights"


def test_sharded_weights_equal_saved_weights(tmp_path: Path) -> None:
    model = Qwen25VL(config_from_dict(CONFIG))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    largest = max(tensor.nbytes for tensor in model.state_dict().values())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    files = save_model(model, tmp_path, torch.float32, shard_bytes=largest)
    assert len(files) > 1
    assert not (tmp_path / "model.safetensors").exists()
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
