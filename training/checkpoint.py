"""Load a checkpoint for evaluation."""

from __future__ import annotations

from pathlib import Path

import torch

from model import load_model
from model.nn.qwen25vl import Qwen25VL
from model.processing.tokenizer import Tokenizer
from training.packing import Packer


def load_for_evaluation(folder: Path, width: int = 280, height: int = 364) -> tuple[Qwen25VL, Tokenizer, Packer]:
    """Return the model in float32, its tokenizer, and a packer for screens of width x height pixels."""
    model = load_model(folder, dtype=torch.float32)
    tokenizer = Tokenizer(folder)
    return model, tokenizer, Packer(tokenizer, model.config, width, height)
