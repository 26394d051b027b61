"""Qwen3-VL: logits, greedy tokens, checkpoints and sizes equal those of transformers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity, qwen3_parity
from safetensors import safe_open

from actions import UsageError
from model import load_model
from model.checkpoints.weights import save_model
from model.nn.architectures import make_model
from model.nn.config import config_from_dict, read_config
from model.nn.official_sizes import OFFICIAL
from model.nn.qwen3vl import Qwen3VL
from model.nn.qwen25vl import Qwen25VL

ROWS: dict[str, list[list[Any]]] = {
    "text": [[40]],
    "the smallest image": [[5, (2, 2), 7]],
    "an image smaller than the position grid": [[5, (4, 6), 7]],
    "an image larger than the position grid": [[5, (18, 14), 7]],
    "a wide image": [[5, (2, 60), 7]],
    "a tall image": [[5, (44, 2), 7]],
    "several images": [[3, (8, 8), 6, (10, 14), 2, (8, 8), (4, 4), 9]],
    "left-padded rows": [[4, (10, 6), 5], [30], [2, (6, 6), 3, (12, 18), 4], [1]],
    "rows of one length": [[4, (8, 12), 5], [5, (12, 8), 4]],
    "a video": [[4, (3, 6, 8), 5]],
    "a video longer than wide": [[4, (7, 4, 2), 5]],
    "images and videos": [[4, (6, 8), 5, (2, 6, 4), 3, (4, 4), 2], [3, (3, 4, 6), 6]],
}
PARAMETERS = {  # (all, vision encoder); the totals are those of the safetensors files on the Hub
    "Qwen3-VL-2B": (2_127_532_032, 406_957_056),
    "Qwen3-VL-4B": (4_437_815_808, 415_347_712),
    "Qwen3-VL-8B": (8_767_123_696, 576_388_336),
    "Qwen3-VL-32B": (33_357_390_064, 595_266_800),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Qwen25VL]:
    """Return transformers' model, and ours loaded from what it saved."""
    reference_model = qwen3_parity.reference()
    folder = tmp_path_factory.mktemp("checkpoint")
    reference_model.save_pretrained(folder)
    return reference_model, load_model(folder)


def assert_equal_outputs(reference_model: Any, ours: Qwen25VL, inputs: parity.ModelInputs) -> None:
    expected = parity.reference_logits(reference_model, inputs)
    assert parity.distance(parity.our_logits(ours, inputs), expected, inputs) < parity.TOLERANCE
    assert expected.std() > 0.5
    assert torch.equal(parity.our_tokens(ours, inputs), parity.reference_tokens(reference_model, inputs))


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_outputs_equal_transformers(pair: tuple[Any, Qwen25VL], rows: list[list[Any]]) -> None:
    assert isinstance(pair[1], Qwen3VL)
    assert_equal_outputs(*pair, qwen3_parity.make_inputs(*rows))


@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 4, "kv_heads": 4},
        {"heads": 8, "kv_heads": 1, "head_dim": 16},
        {"deepstack": (1,)},
        {"deepstack": (3, 0, 1)},
    ],
    ids=str,
)
def test_other_sizes_equal_transformers(tmp_path: Path, sizes: dict[str, Any]) -> None:
    reference_model = qwen3_parity.reference(**sizes)
    reference_model.save_pretrained(tmp_path)
    assert_equal_outputs(reference_model, load_model(tmp_path), qwen3_parity.make_inputs([4, (10, 6), 5], [9]))


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("layout", ["nested", "flat", "sharded"])
def test_every_layout_matches_transformers(tmp_path: Path, layout: str, tied: bool) -> None:
    reference_model = qwen3_parity.reference(tied=tied)
    reference_model.save_pretrained(tmp_path, max_shard_size="100KB" if layout == "sharded" else "1GB")
    if layout == "flat":
        qwen3_parity.rewrite_flat(tmp_path)
    files = list(tmp_path.glob("*.safetensors"))
    names = [name for file in files for name in safe_open(file, "pt").keys()]  # noqa: SIM118
    assert any(name.startswith("model.visual.") for name in names) is (layout != "flat")
    assert ("lm_head.weight" in names) is not tied
    assert len(files) > 5 or layout != "sharded"
    assert_equal_outputs(reference_model, load_model(tmp_path), qwen3_parity.make_inputs([4, (10, 6), 5]))


def test_saved_checkpoint_loads_in_transformers(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    from transformers import Qwen3VLForConditionalGeneration

    reference_model, ours = pair
    reference_model.config.save_pretrained(tmp_path)
    save_model(ours, tmp_path, torch.float32)
    qwen3_parity.rewrite_nested(tmp_path)
    loaded, report = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for (name, weight), other in zip(reference_model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_bfloat16_is_close_to_float32(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    reference_model, exact = pair
    reference_model.save_pretrained(tmp_path)
    ours = load_model(tmp_path, dtype=torch.bfloat16)
    inputs = qwen3_parity.make_inputs([5, (18, 14), 7])
    expected = parity.our_logits(exact, inputs)
    gap = parity.our_logits(ours, inputs).float() - expected
    reference_gap = parity.reference_logits(qwen3_parity.reference().to(torch.bfloat16), inputs).float() - expected
    assert gap.std() < 1.5 * reference_gap.std()  # about the rounding error of transformers
    assert gap.std() < 0.1 * expected.std()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("vision", {"deepstack_indexes": (2, 0)}),
        ("vision", {"deepstack_indexes": (1, 2)}),
        ("text", {"mrope_section": (10, 1, 1)}),
        ("text", {"interleaved_rope": False}),
        ("text", {"rope_theta": 1e4}),
        ("text", {"rms_norm_eps": 1e-2}),
    ],
    ids=str,
)
def test_wrong_config_changes_logits(pair: tuple[Any, Qwen25VL], part: str, change: dict[str, Any]) -> None:
    reference_model, ours = pair
    config = dataclasses.replace(ours.config, **{part: dataclasses.replace(getattr(ours.config, part), **change)})
    wrong = Qwen3VL(config)
    wrong.load_state_dict(ours.state_dict())
    inputs = qwen3_parity.make_inputs([5, (18, 14), 7])
    gap = parity.distance(parity.our_logits(wrong, inputs), parity.reference_logits(reference_model, inputs), inputs)
    assert gap > 30 * parity.TOLERANCE


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("vision_config", {"deepstack_visual_indexes": [0, 4]}, "deepstack_visual_indexes .* different layers of 4"),
        ("vision_config", {"num_position_embeddings": 50}, "num_position_embeddings 50 must be a square"),
        ("vision_config", {"hidden_act": "silu"}, "hidden_act is 'silu'"),
        ("text_config", {"attention_bias": True}, "attention_bias is true"),
        ("text_config", {"num_hidden_layers": 1}, "deepstack_visual_indexes has 2 layers"),
        ("text_config", {"rope_parameters": {"mrope_interleaved": False, "mrope_section": [4, 4, 4]}}, "interleaved"),
        (None, {"model_type": "glm4v"}, "'glm4v' is not supported; supported are .*'qwen3_vl'"),
    ],
    ids=str,
)
def test_unsupported_config_is_rejected(part: str | None, change: dict[str, Any], message: str) -> None:
    data = json.loads(qwen3_parity.reference_config().to_json_string(use_diff=False))
    config_from_dict(data)
    (data if part is None else data[part]).update(change)
    with pytest.raises(UsageError, match=message):
        config_from_dict(data)


@pytest.mark.parametrize("value", [None, "x", "64", -1, 0, 1.5, True, [], {}, ["a"], [1, -1], float("nan"), 10**12])
def test_invalid_config_value_raises_usage_error(value: object) -> None:
    """Replace each value in turn by an invalid one: either a model can be made, or a UsageError is raised."""
    data = json.loads(qwen3_parity.reference_config().to_json_string(use_diff=False))
    errors = 0
    for part in (data["text_config"], data["vision_config"], data["text_config"]["rope_parameters"]):
        for key, original in list(part.items()):
            part[key] = value
            try:
                config = config_from_dict(data)
            except UsageError as error:
                errors += 1
                assert len(str(error)) < 300
            else:
                with torch.device("meta"):
                    make_model(config)
            part[key] = original
    assert errors > 5


def test_tensor_of_qwen25_is_reported(tmp_path: Path) -> None:
    qwen3_parity.reference().save_pretrained(tmp_path)
    parity.reference().save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="that Qwen3-VL does not; it is of another architecture"):
        load_model(tmp_path)


@pytest.mark.parametrize("size", PARAMETERS)
def test_official_sizes_match_transformers(size: str) -> None:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    config = OFFICIAL[size]
    text, vision = config.text, config.vision
    reference_config = Qwen3VLConfig(
        text_config={
            **{key: getattr(text, key) for key in ("vocab_size", "hidden_size", "intermediate_size", "head_dim")},
            **{key: getattr(text, key) for key in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads")},
        },
        vision_config={
            **{key: getattr(vision, key) for key in ("depth", "hidden_size", "intermediate_size", "out_hidden_size")},
            "deepstack_visual_indexes": list(vision.deepstack_indexes),
        },
        tie_word_embeddings=text.tie_word_embeddings,
    )
    with torch.device("meta"):
        reference_model = Qwen3VLForConditionalGeneration(reference_config)
        ours = make_model(config)
    shapes = {name: weight.shape for name, weight in ours.named_parameters()}
    assert sum(shape.numel() for shape in shapes.values()) == PARAMETERS[size][0]
    assert sum(weight.numel() for weight in ours.visual.parameters()) == PARAMETERS[size][1]
    for name, weight in reference_model.named_parameters():
        own = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        assert shapes.pop(own) == weight.shape, name
    assert not shapes


@pytest.mark.parametrize("size", PARAMETERS)
def test_official_sizes_equal_their_config_files(size: str, tmp_path: Path) -> None:
    """A config.json with the keys of the Hub's, which states no more than these."""
    text, vision = OFFICIAL[size].text, OFFICIAL[size].vision
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    data = {
        "model_type": "qwen3_vl",
        "text_config": {
            **{key: getattr(text, key) for key in (*keys, "head_dim", "vocab_size", "max_position_embeddings")},
            "rope_theta": 5000000,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
            "tie_word_embeddings": text.tie_word_embeddings,
        },
        "vision_config": {
            **{key: getattr(vision, key) for key in ("depth", "hidden_size", "intermediate_size", "out_hidden_size")},
            "num_heads": 16,
            "patch_size": 16,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": list(vision.deepstack_indexes),
            "hidden_act": "gelu_pytorch_tanh",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(data))
    assert read_config(tmp_path) == OFFICIAL[size]
