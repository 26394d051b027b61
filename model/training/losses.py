"""What is asked of the model besides the next token, in training only: the checkpoint stays a plain Qwen2.5-VL.

Answers of a few tokens teach slowly where to look; a page tells it for free. Six helpers on inner states:
characters (each cell's embedding names the letters in it), places (each picture token names its row and column), gaze
(one attention head of one layer, at every token of a coordinate or of a word that is read, looks at the cells of the
element), spelled (heads of a later layer, one for each of its heads of values, at every character that is read look at
the cell of that character), copied (one head of the gaze's layer, at every token of a text that stands in the
question, looks at its place there) and spots (behind the gaze's layer, the tokens of a coordinate know the point to
ten pixels). The few tokens of copied texts can count once more by themselves (typed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.qwen25vl import Qwen25VL
from model.rope import rotate, text_rotary
from model.text import Layer
from model.training.batches import Batch, Packer
from model.training.visual import Heads, character_loss, encode

SPOT = 10  # pixels: tens and hundreds of a coordinate follow from it


@dataclass(frozen=True)
class Weights:
    """How much each loss counts."""

    token: float
    characters: float
    places: float
    gaze: float
    spelled: float
    copied: float
    typed: float
    spots: float


class Helpers(nn.Module):
    """The small heads that read inner states; thrown away after training."""

    def __init__(self, model: Qwen25VL, packer: Packer, place_layer: int, gaze_layer: int, spelled_layer: int) -> None:
        super().__init__()
        width = model.config.text.hidden_size
        self.rows = nn.Linear(width, packer.cells_h)
        self.columns = nn.Linear(width, packer.cells_w)
        self.across = nn.Linear(width, packer.cells_w * 28 // SPOT + 1)
        self.down = nn.Linear(width, packer.cells_h * 28 // SPOT + 1)
        self.packer, self.place_layer = packer, place_layer
        self.gaze_layer, self.spelled_layer = gaze_layer, spelled_layer


def losses(
    model: Qwen25VL, heads: Heads, helpers: Helpers, batch: Batch, weights: Weights
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum, and each part by name with the shares that were right."""
    packer = helpers.packer
    picture = encode(model.visual, batch.frames)  # [B, cells, C]
    embeddings = model.model.embed_tokens(batch.ids)
    first, count = packer.first_cell, packer.cells
    embeddings = torch.cat([embeddings[:, :first], picture, embeddings[:, first + count :]], dim=1)

    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = inputs[0] if name in ("gaze", "spelled") else output

        return hook

    hooks = [
        _layer(model, helpers.place_layer).register_forward_hook(keep("places")),
        _layer(model, helpers.gaze_layer).self_attn.register_forward_hook(keep("gaze")),
        _layer(model, helpers.spelled_layer).self_attn.register_forward_hook(keep("spelled")),
        _layer(model, helpers.gaze_layer).register_forward_hook(keep("spots")),
    ]
    try:
        hidden = model.model(embeddings, batch.positions, batch.mask)
    finally:
        for hook in hooks:
            hook.remove()

    asked = batch.targets != -100
    logits = model.logits(hidden[asked])
    token = F.cross_entropy(logits.float(), batch.targets[asked])
    with torch.no_grad():
        tokens_right = (logits.argmax(-1) == batch.targets[asked]).float().mean()

    characters, right, _ = character_loss(heads, picture, batch.characters)

    at = seen["places"][:, first : first + count]
    rows = torch.arange(packer.cells_h, device=at.device).repeat_interleave(packer.cells_w).expand(len(batch.ids), -1)
    columns = torch.arange(packer.cells_w, device=at.device).repeat(packer.cells_h).expand(len(batch.ids), -1)
    places = F.cross_entropy(helpers.rows(at).flatten(0, 1), rows.reshape(-1)) + F.cross_entropy(
        helpers.columns(at).flatten(0, 1), columns.reshape(-1)
    )

    at_gaze = (helpers.gaze_layer, 0)
    gaze, gaze_right = _gaze(model, helpers, at_gaze, seen["gaze"], batch, batch.looks, batch.wanted)
    letters, cell = batch.spelled[:, :2], batch.spelled[:, 2]
    one_cell = F.one_hot(cell, packer.cells).float()
    text = model.config.text
    shared = text.num_attention_heads // text.num_key_value_heads
    spelled, spelled_right = token.new_zeros(()), token.new_zeros(())
    for head in range(0, text.num_attention_heads, shared):
        where = (helpers.spelled_layer, head)
        one, one_right = _gaze(model, helpers, where, seen["spelled"], batch, letters, one_cell)
        spelled = spelled + one / text.num_key_value_heads
        spelled_right = spelled_right + one_right / text.num_key_value_heads
    copied, copied_right, typed = token.new_zeros(()), token.new_zeros(()), token.new_zeros(())
    if len(batch.copied):
        from_row, from_token, _ = batch.copied.unbind(1)
        of_text = model.logits(hidden[from_row, from_token]).float()
        typed = F.cross_entropy(of_text, batch.targets[from_row, from_token])
        where = (helpers.gaze_layer, text.num_attention_heads - 1)
        spread = _attention(model, where, seen["gaze"], batch, batch.copied[:, :2])
        copied = F.nll_loss(spread, batch.copied[:, 2])
        copied_right = (spread.argmax(-1) == batch.copied[:, 2]).float().mean()
    row, place = batch.points.unbind(1)
    behind = seen["spots"][row, place]
    spots = token.new_zeros(())
    if len(behind):
        spots = F.cross_entropy(helpers.across(behind), batch.spots[:, 0] // SPOT) + F.cross_entropy(
            helpers.down(behind), batch.spots[:, 1] // SPOT
        )
    total = (
        weights.token * token
        + weights.characters * characters
        + weights.places * places
        + weights.gaze * gaze
        + weights.spelled * spelled
        + weights.copied * copied
        + weights.typed * typed
        + weights.spots * spots
    )
    figures = {"loss": total, "token": token, "token_right": tokens_right, "characters_right": right}
    figures |= {"places": places, "spots": spots, "gaze": gaze, "gaze_right": gaze_right}
    figures |= {"spelled": spelled, "spelled_right": spelled_right}
    figures |= {"copied": copied, "copied_right": copied_right, "typed": typed}
    return total, {name: float(value.detach()) for name, value in figures.items()}


def _layer(model: Qwen25VL, index: int) -> Layer:
    layer = model.model.layers[index]
    assert isinstance(layer, Layer)
    return layer


def _gaze(
    model: Qwen25VL, helpers: Helpers, where: tuple[int, int], x: Tensor, batch: Batch, looks: Tensor, wanted: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the attention of a layer's head with the wanted cells, and how often its strongest cell is one
    of them. where: layer and head; x: what the layer's attention reads."""
    if not len(looks):
        return x.new_zeros(()), x.new_zeros(())
    packer = helpers.packer
    spread = _attention(model, where, x, batch, looks)[:, packer.first_cell : packer.first_cell + packer.cells]
    loss = -(wanted * spread).sum(-1).mean()
    right = wanted.gather(1, spread.argmax(-1, keepdim=True)).gt(0).float().mean()
    return loss, right.detach()


def _attention(model: Qwen25VL, where: tuple[int, int], x: Tensor, batch: Batch, looks: Tensor) -> Tensor:
    """Logarithms of how much tokens (picture, token) look at each token of their row [looks, S], by a layer's head."""
    config = model.config.text
    layer, head = where
    attention = _layer(model, layer).self_attn
    size = config.head_dim
    group = head * config.num_key_value_heads // config.num_attention_heads
    cos, sin = text_rotary(batch.positions, size, config.mrope_section, config.rope_theta, x.dtype)
    of_q, of_k = slice(head * size, (head + 1) * size), slice(group * size, (group + 1) * size)
    weight_q, bias_q = attention.q_proj.weight[of_q], attention.q_proj.bias[of_q]
    weight_k, bias_k = attention.k_proj.weight[of_k], attention.k_proj.bias[of_k]
    row, token = looks.unbind(1)
    q = rotate(F.linear(x[row, token], weight_q, bias_q), cos[row, token], sin[row, token])  # [looks, D]
    k = rotate(F.linear(x, weight_k, bias_k), cos, sin)  # [B, S, D]
    scores = torch.einsum("ld,lsd->ls", q, k[row]) / size**0.5
    return scores.float().masked_fill(~batch.mask[row, 0, token], float("-inf")).log_softmax(-1)
