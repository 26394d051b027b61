"""What is asked of the model besides the next token, in training only: the checkpoint stays a plain Qwen2.5-VL.

Answers of a few tokens teach slowly where to look; a page tells it for free. Helpers on inner states:
- characters: each cell's embedding names the letters in it; bag: behind a layer each picture token knows which letters
  and pairs of letters are in it, wherever; places: it names its own row and column.
- before: heads of early layers, at every character of a question that stands on the screen, look at the ones before it;
  named: heads, at the same characters, look at the cell where they stand.
- gaze: heads, at the token that opens a coordinate and before every character that is read, look at the cells of the
  element; sought: what a layer leaves at the tokens of named and gaze is like what it leaves at the cells that belong
  to them.
- copied: heads, at every token of a text that stands in the question, look at its place there; typed: those few tokens
  once more by themselves; recalled: heads, at the tokens of a coordinate, look at the last character of what is named.
- spots: behind some layers, the tokens of a coordinate know the point to ten pixels; known: and behind an earlier one
  that last character does.
- spelled: heads, before every character that is read, look at its cell; following: behind a layer its point is known
  there; said: those characters once more by themselves. One that was read counts for named as one of the question does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.qwen25vl import Qwen25VL
from model.training.batches import Batch, Packer
from model.training.looking import by_row, hit, layer_of, looking, looking_back
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
    following: float
    said: float


@dataclass(frozen=True)
class Where:
    """Which layers and which of their attention heads, as (layer, head), the helpers are asked of.

    sought: the layers for "named" and for "gaze". spots: the layers behind which the tokens of a coordinate know the
    point; known: that behind which the last character of what is named does; following: that behind which the token
    before a character that is read knows where it stands. before: (layer, head, how many tokens it looks back).
    """

    bag: int
    places: int
    sought: Mapping[str, int]
    spots: tuple[int, ...]
    known: int
    following: int
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
        wide, high = packer.cells_w * 28 // SPOT + 1, packer.cells_h * 28 // SPOT + 1
        self.known_across, self.known_down = nn.Linear(width, wide), nn.Linear(width, high)
        self.following_across, self.following_down = nn.Linear(width, wide), nn.Linear(width, high)
        self.across = nn.ModuleList(nn.Linear(width, wide) for _ in where.spots)
        self.down = nn.ModuleList(nn.Linear(width, high) for _ in where.spots)
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

    hooks = [layer_of(model, one).register_forward_hook(leaves(one)) for one in range(len(model.model.layers))]
    try:
        hidden = model.model(embeddings, batch.positions, batch.mask)
    finally:
        for hook in hooks:
            hook.remove()
    attended = {layer for name in (*HEADS, "before") for layer, *_ in getattr(where, name)}
    read = {layer: layer_of(model, layer).input_layernorm(left[layer - 1]) for layer in attended}  # by its attention

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
        return looking(model, packer, heads_, read, batch, looks, wanted)

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
            alike = (by_row(looks[:, 0], wish, thing) / SOUGHT**0.5).float().log_softmax(-1)
            sought = sought - (wanted * alike).sum(-1).mean()
            rights[f"{name}_sought"] = hit(alike, wanted)
    spelled, spelled_right = look(where.spelled, batch.spelled[:, :2], cells(batch.spelled))
    copied, copied_right = looking_back(model, where.copied, read, batch, batch.copied)
    recalled, recalled_right = looking_back(model, where.recalled, read, batch, batch.recalled)
    before, before_right = token.new_zeros(()), token.new_zeros(())
    for layer, head, back in where.before:
        row, place, _ = batch.named.unbind(1)
        earlier = torch.stack([row, place, place - back], dim=1)[batch.mask[row, 0, place, place - back]]
        loss, right_here = looking_back(model, [(layer, head)], read, batch, earlier)
        before = before + loss / len(where.before)
        before_right = before_right + right_here / len(where.before)
    typed, said = (_once_more(model, hidden, batch, looks) for looks in (batch.copied, batch.read))
    spots = token.new_zeros(())
    for layer, across, down in zip(where.spots, helpers.across, helpers.down, strict=True):
        spots = spots + _point(across, down, left[layer], batch.points, batch.spots) / len(where.spots)
    known = _point(helpers.known_across, helpers.known_down, left[where.known], *_ends(batch))
    across, down = helpers.following_across, helpers.following_down
    following = _point(across, down, left[where.following], batch.read, batch.stand)
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
        + weights.following * following
        + weights.said * said
    )
    figures = {"loss": total, "token": token, "token_right": tokens_right, "characters_right": right}
    figures |= {"bag": bag, "places": places, "spots": spots, "known": known, "gaze": gaze, "gaze_right": gaze_right}
    figures |= {"named": named, "named_right": named_right, "sought": sought, **rights}
    figures |= {"spelled": spelled, "spelled_right": spelled_right}
    figures |= {"before": before, "before_right": before_right}
    figures |= {"recalled": recalled, "recalled_right": recalled_right}
    figures |= {"copied": copied, "copied_right": copied_right, "typed": typed}
    figures |= {"following": following, "said": said}
    return total, {name: float(value.detach()) for name, value in figures.items()}


def _once_more(model: Qwen25VL, hidden: Tensor, batch: Batch, looks: Tensor) -> Tensor:
    """Cross-entropy of what follows some tokens (picture, token, ...), by itself; 0 where there are none."""
    if not len(looks):
        return batch.wanted.new_zeros(())
    row, token = looks[:, 0], looks[:, 1]
    return F.cross_entropy(model.logits(hidden[row, token]).float(), batch.targets[row, token])


def _point(across: nn.Module, down: nn.Module, behind: Tensor, looks: Tensor, points: Tensor) -> Tensor:
    """Cross-entropy of the points [looks, 2], x and y in pixels, at tokens (picture, token) of what a layer leaves."""
    if not len(looks):
        return behind.new_zeros(())
    at = behind[looks.unbind(1)]
    at = F.rms_norm(at, at.shape[-1:])
    return F.cross_entropy(across(at), points[:, 0] // SPOT) + F.cross_entropy(down(at), points[:, 1] // SPOT)


def _ends(batch: Batch) -> tuple[Tensor, Tensor]:
    """The last character of what each coordinate's question names [ends, 2], and that coordinate [ends, 2]."""
    points = dict(zip(map(tuple, batch.points.tolist()), batch.spots.tolist(), strict=True))
    ends = {(row, end): points[row, token] for row, token, end in batch.recalled.tolist()}
    device = batch.points.device
    places = torch.tensor(list(ends), dtype=torch.long, device=device).view(-1, 2)
    return places, torch.tensor(list(ends.values()), dtype=torch.long, device=device).view(-1, 2)


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
