"""Qwen2-VL: logits, greedy tokens, checkpoints and sizes equal those of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import parity
from safetensors.torch import load_file

from model import load_model
from model.engine.session import ImageSegment, PrefixCachedSession, split_segments
from model.nn.architectures import make_model
from model.nn.config import config_from_dict
from model.nn.official_sizes import OFFICIAL
from model.nn.qwen2vl import Qwen2VL
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import position_ids

ROWS: dict[str, list[list[Any]]] = {
    "text": [[40]],
    "the smallest image": [[5, (2, 2), 7]],
    "a large image": [[5, (18, 14), 7]],
    "a wide image": [[5, (2, 60), 7]],
    "several images": [[3, (8, 8), 6, (10, 14), 2, (8, 8), (4, 4), 9]],
    "left-padded rows": [[4, (10, 6), 5], [30], [2, (6, 6), 3, (12, 18), 4], [1]],
    "a video": [[4, (3, 6, 8), 5]],
    "images and videos": [[4, (6, 8), 5, (2, 6, 4), 3], [3, (2, 4, 6), 6]],
}
PARAMETERS = {"Qwen2-VL-2B": 2_208_985_600, "Qwen2-VL-7B": 8_291_375_616, "Qwen2-VL-72B": 73_405_560_320}


def reference_config(tied: bool = False) -> Any:
    from transformers import Qwen2VLConfig

    return Qwen2VLConfig(
        text_config={
            "vocab_size": parity.VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 4096,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        vision_config={"depth": 3, "embed_dim": 80, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
        image_token_id=parity.IMAGE,
        video_token_id=parity.VIDEO,
        vision_start_token_id=parity.START,
        vision_end_token_id=parity.END,
        tie_word_embeddings=tied,
    )


def reference(tied: bool = False) -> Any:
    from transformers import Qwen2VLForConditionalGeneration

    return parity.randomize(Qwen2VLForConditionalGeneration(reference_config(tied)), tied=tied)


def make_inputs(*rows: list[Any]) -> parity.ModelInputs:
    """Return inputs without the seconds of videos, which Qwen2-VL does not take."""
    inputs = parity.make_inputs(*rows)
    inputs.second_per_grid_ts = None
    return inputs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Qwen25VL]:
    """Return transformers' model, and ours loaded from what it saved."""
    reference_model = reference()
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
    assert isinstance(pair[1], Qwen2VL)
    assert_equal_outputs(*pair, make_inputs(*rows))


@pytest.mark.parametrize("layout", ["saved", "nested", "sharded", "tied"])
def test_every_layout_matches_transformers(tmp_path: Path, layout: str) -> None:
    reference_model, folder = reference(layout == "tied"), tmp_path / "saved"
    reference_model.save_pretrained(folder, max_shard_size="50KB" if layout == "sharded" else "1GB")
    if layout == "nested":
        names = load_file(folder / "model.safetensors")
        assert "visual.merger.ln_q.bias" in names
        parity.rewrite_nested(folder, tmp_path / "nested")
        folder = tmp_path / "nested"
    assert len(list(folder.glob("*.safetensors"))) > 5 or layout != "sharded"
    assert_equal_outputs(reference_model, load_model(folder), make_inputs([4, (10, 6), 5]))


def test_video_positions_ignore_seconds(pair: tuple[Any, Qwen25VL]) -> None:
    config, inputs = pair[1].config, make_inputs([4, (3, 6, 8), 5])
    plain, _ = position_ids(inputs.input_ids, config, None, None, inputs.video_grid_thw)
    timed, _ = position_ids(inputs.input_ids, config, None, None, inputs.video_grid_thw, [7.5])
    assert torch.equal(plain, timed)
    times = plain[0, 0][inputs.input_ids[0] == parity.VIDEO]
    assert times.unique().tolist() == [5, 6, 7]


def test_logits_are_equal_after_reused_context(pair: tuple[Any, Qwen25VL]) -> None:
    ours = pair[1]
    inputs = make_inputs([3, (4, 6), 6])
    ids, image = inputs.input_ids[0].tolist(), ImageSegment("image", (1, 4, 6), 6)
    expected = parity.our_logits(ours, inputs)[0]
    with torch.inference_mode():
        embeddings = ours.visual(inputs.pixel_values, [image.grid])
    session = PrefixCachedSession(ours)
    for length in (len(ids) - 4, len(ids)):
        hidden = session.prefill(split_segments(ids[:length], parity.IMAGE, [image]), lambda _: embeddings)
        assert float((ours.logits(hidden)[0] - expected[length - 1]).abs().max()) < parity.TOLERANCE
    assert session.reused == len(ids) - 4


def test_quantized_logits_are_near(pair: tuple[Any, Qwen25VL], tmp_path: Path) -> None:
    pair[0].save_pretrained(tmp_path)
    inputs = make_inputs([5, (8, 6), 7])
    expected = parity.our_logits(pair[1], inputs)
    gap = parity.our_logits(load_model(tmp_path, bits=8), inputs).float() - expected
    assert float(gap.std()) < 0.1 * float(expected.std())


def test_old_config_equals_nested_config() -> None:
    """The files on the Hub have the decoder's sizes at the top, and in_chans."""
    data = json.loads(reference_config().to_json_string(use_diff=False))
    nested = config_from_dict(data)
    text, vision = data.pop("text_config"), data.pop("vision_config")
    rope = text.pop("rope_parameters")
    keys = {key: vision[key] for key in ("depth", "embed_dim", "mlp_ratio", "num_heads", "hidden_size", "patch_size")}
    flat = {
        **text,
        **data,
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "vision_config": {**keys, "in_chans": 3, "spatial_patch_size": 14},
    }
    assert config_from_dict(flat).vision == nested.vision
    assert config_from_dict(flat).text == nested.text


@pytest.mark.parametrize("size", PARAMETERS)
def test_official_sizes_match_transformers(size: str) -> None:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    text = OFFICIAL[size].text
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config = Qwen2VLConfig(
        text_config={key: getattr(text, key) for key in (*keys, "num_key_value_heads")},
        vision_config={"hidden_size": text.hidden_size},
        tie_word_embeddings=text.tie_word_embeddings,
    )
    with torch.device("meta"):
        reference_model = Qwen2VLForConditionalGeneration(config)
        ours = make_model(OFFICIAL[size])
    shapes = {name: weight.shape for name, weight in ours.named_parameters()}
    assert sum(shape.numel() for shape in shapes.values()) == PARAMETERS[size]
    for name, weight in reference_model.named_parameters():
        own = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        assert shapes.pop(own) == weight.shape, name
    assert not shapes
