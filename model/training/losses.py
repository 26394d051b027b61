"""What is asked of the model besides the next token, in training only: the checkpoint stays a plain Qwen2.5-VL.

Answers of a few tokens teach slowly where to look; a page tells it for free. Helpers on inner states:
- characters: each cell's embedding names the letters in it; bag: behind a layer each picture token knows which letters
  and pairs of letters are in it, wherever; places: it names its own row and column.
- before: heads of early layers, at every character of a question that stands on the screen, look at the ones before it;
  named: heads, at the same characters, look at the cell where they stand.
- gaze: heads, at the token that opens a coordinate and before every character that is read, look at the cells of the
  element; spelled: heads, at every character that is read, look at its cell; sought: what a layer leaves at the tokens
  of named and gaze is like what it leaves at the cells that belong to them.
- copied: heads, at every token of a text that stands in the question, look at its place there; typed: those few tokens
  once more by themselves; recalled: heads, at the tokens of a coordinate, look at the last character of what is named.
- spots: behind some layers, the tokens of a coordinate know the point to ten pixels; known: and behind an earlier one
  that last character does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.qwen25vl import Qwen25VL
from model.rope import rotate, text_rotary
from model.text import Layer
from model.training.batches import Batch, Packer
from model.training.visual import ACROSS, CLASSES, DOWN, Heads, character_loss, encode

HEADS = ("named", "gaze", "spelled", "recalled", "copied")  # helpers that are heads of the model's attention
PAIRS = 512  # buckets that pairs of letters fall into
SOUGHT = 256  # what is compared of tokens and cells
SPOT = 10  # pixels: tens and hundreds of a coordinate follow from it


@dataclass(frozen=True)
class Weights:
    """How much each loss counts."""

    token: float
    characters: float
    bag: float
    places: float
    before: float
    named: float
    gaze: float
    sought: float
    spelled: float
    recalled: float
    copied: float
    typed: float
    spots: float


@dataclass(frozen=True)
class Where:
    """Which layers and which of their attention heads, as (layer, head), the helpers are asked of.

    sought: the layers for "named" and for "gaze". spots: the layers behind which the tokens of a coordinate know the
    point; known: that behind which the last character of what is named does. before: (layer, head, how many tokens
    it looks back).
    """

    bag: int
    places: int
    sought: Mapping[str, int]
    spots: tuple[int, ...]
    known: int
    before: tuple[tuple[int, int, int], ...]
    named: tuple[tuple[int, int], ...]
    gaze: tuple[tuple[int, int], ...]
    spelled: tuple[tuple[int, int], ...]
    recalled: tuple[tuple[int, int], ...]
    copied: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Where:
        """From a recipe's [losses.where]."""
        heads = {name: tuple(tuple(head) for head in table[name]) for name in (*HEADS, "before")}
        return cls(**{**table, **heads, "spots": tuple(table["spots"])})


class Helpers(nn.Module):
    """The small heads that read inner states; thrown away after training."""

    def __init__(self, model: Qwen25VL, packer: Packer, where: Where) -> None:
        super().__init__()
        width = model.config.text.hidden_size
        self.rows = nn.Linear(width, packer.cells_h)
        self.columns = nn.Linear(width, packer.cells_w)
        self.bag = nn.Linear(width, CLASSES + PAIRS)
        nn.init.constant_(self.bag.bias, -4.0)  # most are not there
        self.known_across = nn.Linear(width, packer.cells_w * 28 // SPOT + 1)
        self.known_down = nn.Linear(width, packer.cells_h * 28 // SPOT + 1)
        self.across = nn.ModuleList(nn.Linear(width, packer.cells_w * 28 // SPOT + 1) for _ in where.spots)
        self.down = nn.ModuleList(nn.Linear(width, packer.cells_h * 28 // SPOT + 1) for _ in where.spots)
        self.wish = nn.ModuleDict({name: nn.Linear(width, SOUGHT) for name in where.sought})
        self.thing = nn.ModuleDict({name: nn.Linear(width, SOUGHT) for name in where.sought})
        self.packer, self.where = packer, where


def losses(
    model: Qwen25VL, heads: Heads, helpers: Helpers, batch: Batch, weights: Weights
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum, and each part by name with the shares that were right."""
    packer = helpers.packer
    picture = encode(model.visual, batch.frames)  # [B, cells, C]
    embeddings = model.model.embed_tokens(batch.ids)
    first, count = packer.first_cell, packer.cells
    embeddings = torch.cat([embeddings[:, :first], picture, embeddings[:, first + count :]], dim=1)

    where = helpers.where
    left = {-1: embeddings}  # what each layer leaves behind

    def leaves(layer: int) -> Any:
        return lambda _module, _inputs, output: left.__setitem__(layer, output)

    hooks = [_layer(model, one).register_forward_hook(leaves(one)) for one in range(len(model.model.layers))]
    try:
        hidden = model.model(embeddings, batch.positions, batch.mask)
    finally:
        for hook in hooks:
            hook.remove()
    attended = {layer for name in (*HEADS, "before") for layer, *_ in getattr(where, name)}
    read = {layer: _layer(model, layer).input_layernorm(left[layer - 1]) for layer in attended}  # by its attention

    asked = batch.targets != -100
    logits = model.logits(hidden[asked])
    token = F.cross_entropy(logits.float(), batch.targets[asked])
    with torch.no_grad():
        tokens_right = (logits.argmax(-1) == batch.targets[asked]).float().mean()

    characters, right, _ = character_loss(heads, picture, batch.characters)

    bag = _bag(helpers.bag(F.rms_norm(left[where.bag], left[where.bag].shape[-1:])[:, first : first + count]), batch)

    at = left[where.places][:, first : first + count]
    rows = torch.arange(packer.cells_h, device=at.device).repeat_interleave(packer.cells_w).expand(len(batch.ids), -1)
    columns = torch.arange(packer.cells_w, device=at.device).repeat(packer.cells_h).expand(len(batch.ids), -1)
    places = F.cross_entropy(helpers.rows(at).flatten(0, 1), rows.reshape(-1)) + F.cross_entropy(
        helpers.columns(at).flatten(0, 1), columns.reshape(-1)
    )

    def look(heads_: Sequence[tuple[int, int]], looks: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return _looking(model, packer, heads_, read, batch, looks, wanted)

    def cells(of: Tensor) -> Tensor:
        return F.one_hot(of[:, 2], count).float()

    gaze, gaze_right = look(where.gaze, batch.looks, batch.wanted)
    named, named_right = look(where.named, batch.named[:, :2], cells(batch.named))
    sought = token.new_zeros(())
    rights: dict[str, Tensor] = {}
    for name, looks, wanted in (
        ("gaze", batch.looks, batch.wanted),
        ("named", batch.named[:, :2], cells(batch.named)),
    ):
        if len(looks):
            behind = left[where.sought[name]]
            behind = F.rms_norm(behind, behind.shape[-1:])
            wish, thing = (
                helpers.wish[name](behind[looks.unbind(1)]),
                helpers.thing[name](behind[:, first : first + count]),
            )
            alike = (_by_row(looks[:, 0], wish, thing) / SOUGHT**0.5).float().log_softmax(-1)
            sought = sought - (wanted * alike).sum(-1).mean()
            rights[f"{name}_sought"] = _hit(alike, wanted)
    spelled, spelled_right = look(where.spelled, batch.spelled[:, :2], cells(batch.spelled))
    copied, copied_right = _looking_back(model, where.copied, read, batch, batch.copied)
    recalled, recalled_right = _looking_back(model, where.recalled, read, batch, batch.recalled)
    before, before_right = token.new_zeros(()), token.new_zeros(())
    for layer, head, back in where.before:
        row, place, _ = batch.named.unbind(1)
        earlier = torch.stack([row, place, place - back], dim=1)[batch.mask[row, 0, place, place - back]]
        loss, right_here = _looking_back(model, [(layer, head)], read, batch, earlier)
        before = before + loss / len(where.before)
        before_right = before_right + right_here / len(where.before)
    typed = token.new_zeros(())
    if len(batch.copied):
        from_row, from_token, _ = batch.copied.unbind(1)
        of_text = model.logits(hidden[from_row, from_token]).float()
        typed = F.cross_entropy(of_text, batch.targets[from_row, from_token])
    spots = token.new_zeros(())
    if len(batch.points):
        row, place = batch.points.unbind(1)
        for layer, across, down in zip(where.spots, helpers.across, helpers.down, strict=True):
            behind = left[layer][row, place]
            behind = F.rms_norm(behind, behind.shape[-1:])
            spots = spots + F.cross_entropy(across(behind), batch.spots[:, 0] // SPOT) / len(where.spots)
            spots = spots + F.cross_entropy(down(behind), batch.spots[:, 1] // SPOT) / len(where.spots)
    known = _known(helpers, left[where.known], batch) if len(batch.recalled) else token.new_zeros(())
    total = (
        weights.token * token
        + weights.characters * characters
        + weights.bag * bag
        + weights.places * places
        + weights.before * before
        + weights.named * named
        + weights.gaze * gaze
        + weights.sought * sought
        + weights.spelled * spelled
        + weights.recalled * recalled
        + weights.copied * copied
        + weights.typed * typed
        + weights.spots * (spots + known)
    )
    figures = {"loss": total, "token": token, "token_right": tokens_right, "characters_right": right}
    figures |= {"bag": bag, "places": places, "spots": spots, "known": known, "gaze": gaze, "gaze_right": gaze_right}
    figures |= {"named": named, "named_right": named_right, "sought": sought, **rights}
    figures |= {"spelled": spelled, "spelled_right": spelled_right}
    figures |= {"before": before, "before_right": before_right}
    figures |= {"recalled": recalled, "recalled_right": recalled_right}
    figures |= {"copied": copied, "copied_right": copied_right, "typed": typed}
    return total, {name: float(value.detach()) for name, value in figures.items()}


def _known(helpers: Helpers, behind: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of the point, x and y, at the last character of what is named. behind: what a layer leaves."""
    points = dict(zip(map(tuple, batch.points.tolist()), batch.spots.tolist(), strict=True))
    ends = {(row, end): points[row, token] for row, token, end in batch.recalled.tolist()}
    at = F.rms_norm(behind, behind.shape[-1:])[torch.tensor(list(ends), device=behind.device).unbind(1)]
    x, y = torch.tensor(list(ends.values()), device=behind.device).unbind(1)
    return F.cross_entropy(helpers.known_across(at), x // SPOT) + F.cross_entropy(helpers.known_down(at), y // SPOT)


def _bag(logits: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy of which characters, and which buckets of neighbouring pairs, are in each cell [B, cells,
    CLASSES + PAIRS], for each that is there."""
    there = torch.zeros_like(logits, dtype=torch.float32).scatter_(2, batch.characters, 1.0)
    lines = batch.characters.unflatten(2, (DOWN, ACROSS))
    for apart in (1, 2):  # beside each other, or with an empty place between
        one, two = lines[..., :-apart], lines[..., apart:]
        bucket = CLASSES + (one * 31 + two) % PAIRS
        empty = (one == 0) | (two == 0) | ((lines[..., 1:-1] != 0) if apart == 2 else False)
        there.scatter_(2, bucket.masked_fill(empty, 0).flatten(2), 1.0)
    there[..., 0] = 0.0  # class 0 is no character
    return F.binary_cross_entropy_with_logits(logits.float(), there, reduction="sum") / there.sum().clamp(min=1)


def _layer(model: Qwen25VL, index: int) -> Layer:
    layer = model.model.layers[index]
    assert isinstance(layer, Layer)
    return layer


def _looking(
    model: Qwen25VL,
    packer: Packer,
    heads: Sequence[tuple[int, int]],
    read: Mapping[int, Tensor],
    batch: Batch,
    looks: Tensor,
    wanted: Tensor,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the attention of heads with the wanted cells, and how often the strongest cell is one of them,
    each a mean over the heads. read: what the attention of each layer reads."""
    loss = right = wanted.new_zeros(())
    if not len(looks):
        return loss, right
    for head in heads:
        spread = _attention(model, head, read[head[0]], batch, looks)
        spread = spread[:, packer.first_cell : packer.first_cell + packer.cells]
        loss = loss - (wanted * spread).sum(-1).mean() / len(heads)
        right = right + _hit(spread, wanted) / len(heads)
    return loss, right.detach()


def _looking_back(
    model: Qwen25VL, heads: Sequence[tuple[int, int]], read: Mapping[int, Tensor], batch: Batch, looks: Tensor
) -> tuple[Tensor, Tensor]:
    """The same for (picture, token, earlier token): the attention of heads with the earlier token."""
    loss = right = batch.wanted.new_zeros(())
    for head in heads if len(looks) else ():
        spread = _attention(model, head, read[head[0]], batch, looks[:, :2])
        loss = loss + F.nll_loss(spread, looks[:, 2]) / len(heads)
        right = right + (spread.argmax(-1) == looks[:, 2]).float().mean() / len(heads)
    return loss, right.detach()


def _hit(spread: Tensor, wanted: Tensor) -> Tensor:
    """How often the strongest cell is a wanted one."""
    return wanted.gather(1, spread.argmax(-1, keepdim=True)).gt(0).float().mean()


def _by_row(row: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """Products of each q [looks, D] with the k [B, S, D] of its row -> [looks, S]; looks lie row by row."""
    counts = torch.bincount(row, minlength=len(k))
    slot = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    padded = q.new_zeros(len(k), int(counts.max()), q.shape[-1]).index_put((row, slot), q)
    return (padded @ k.transpose(1, 2))[row, slot]


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
    scores = _by_row(row, q, k) / size**0.5  # [looks, S]
    return scores.float().masked_fill(~batch.mask[row, 0, token], float("-inf")).log_softmax(-1)
