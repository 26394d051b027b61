"""Create a model with random weights, of the sizes in a recipe."""

from __future__ import annotations

import math

import torch

from model.nn.config import Config, TextConfig, VisionConfig
from model.nn.qwen25vl import Qwen25VL
from training import vocabulary
from training.config import TrainingConfig


def config_of(recipe: TrainingConfig) -> Config:
    """Return the model configuration; vocabulary size and special tokens come from `training.vocabulary`."""
    ids = vocabulary.special_token_ids(vocabulary.build())
    text, vision = dict(recipe["text"]), dict(recipe["vision"])
    text["mrope_section"] = tuple(text["mrope_section"])
    vision["fullatt_block_indexes"] = tuple(vision["fullatt_block_indexes"])
    return Config(
        VisionConfig(**vision, out_hidden_size=text["hidden_size"]),
        TextConfig(**text, vocab_size=vocabulary.VOCAB_SIZE, tie_word_embeddings=True, max_position_embeddings=8192),
        ids["<|image_pad|>"],
        ids["<|video_pad|>"],
        ids["<|vision_start|>"],
        "float16",
    )


def init_model(recipe: TrainingConfig) -> Qwen25VL:
    """Return a model with normally distributed weights, drawn with the recipe's seed.

    Projections that write into the residual stream are scaled down by depth.
    """
    config = config_of(recipe)
    torch.manual_seed(recipe["seed"])
    model = Qwen25VL(config)
    depth = {"visual": config.vision.depth, "model": config.text.num_hidden_layers}
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            torch.nn.init.ones_(parameter) if "norm" in name or "ln_q" in name else torch.nn.init.zeros_(parameter)
            continue
        scale = 0.02 if "patch_embed" in name or "embed_tokens" in name else parameter.flatten(1).shape[1] ** -0.5
        if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
            scale /= math.sqrt(2 * depth[name.split(".")[0]])
        torch.nn.init.normal_(parameter, std=scale)
    return model
