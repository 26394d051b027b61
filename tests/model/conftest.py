"""Tiny checkpoints for the model tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_models import tiny_config

from model.nn.config import Config, TextConfig
from model.nn.qwen25vl import Qwen25VL


@pytest.fixture
def tiny_model() -> Qwen25VL:
    """Return a model with random weights that are large enough for probabilities to differ."""
    torch.manual_seed(0)
    model = Qwen25VL(tiny_config()).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def tiny_folder(tmp_path: Path, tiny_model: Qwen25VL) -> Path:
    """Write a complete checkpoint folder: the embedded vocabulary and template with the tiny model."""
    from model.checkpoints.weights import save_model
    from training import vocabulary

    tokens = vocabulary.build()
    ids = [tokens.token_to_id(f"<|{name}|>") for name in ("image_pad", "video_pad", "vision_start")]
    config = tiny_model.config
    config = Config(
        config.vision,
        TextConfig(**{**config.text.__dict__, "tie_word_embeddings": True}),
        image_token_id=ids[0],
        video_token_id=ids[1],
        vision_start_token_id=ids[2],
    )
    torch.manual_seed(0)
    model = Qwen25VL(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    vocabulary.write(tmp_path, config, 28 * 28, 200 * 28 * 28, 16)
    save_model(model, tmp_path, torch.float32)
    return tmp_path
