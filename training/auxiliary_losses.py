"""What is asked of the model besides the next token, in training only: the checkpoint stays a plain Qwen2.5-VL.

Answers of a few tokens teach slowly where to look; a page tells it for free. Helpers on inner states:
- characters: each cell's embedding names the letters in it; places: behind a layer each picture token names its own row
  and column.
- named: heads, at every character of a question that stands on the screen, look at the cell where it stands.
- gaze: heads, at the token that opens a coordinate and before every character that is read, look at the cells of the
  element; sought: what a layer leaves at the tokens of named and gaze is like what it leaves at the cells that belong
  to them.
- copied: heads, at every token of a text that stands in the question, look at its place there; typed: those few tokens
  once more by themselves; recalled: heads, at the tokens of a coordinate, look at the last character of what is named.
- spots: behind some layers, the tokens of a coordinate know the point to ten pixels; known: and behind an earlier one
  that last character does.
- spelled: heads, before every character that is read, look at its cell; following: behind a layer its place is known
  there, as fine as the encoder names characters; said: those characters once more by themselves, at the end and behind
  an earlier layer; taken: of strips, where a letter has a cell to itself, they are said by what those heads bring from
  where they look alone. One that was read counts for named as one of the question does.
- acted: what a page wants in its state, its action and its point, once more: few tokens among many decide.
- keep: what the encoder makes of the pages stays near what an earlier one made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.qwen25vl import Qwen25VL
from training.attention_probe import AttentionProbe, Head, by_row, hit
from training.feature_anchor import FeatureAnchor, encode
from training.packed_attention import decode
from training.packing import Batch
from training.vision_pretraining import ACROSS, CELL, DOWN, Heads, character_loss

HEADS = ("named", "gaze", "spelled", "recalled", "copied")  # helpers that are heads of the model's attention
SOUGHT = 256  # what is compared of tokens and cells
SPOT = (10.0, 10.0)  # pixels: tens and hundreds of a coordinate follow from it
PLACE = (CELL / ACROSS, CELL / DOWN)  # pixels: of the places in which the encoder names characters


@dataclass(frozen=True)
class Weights:
    """How much each loss counts."""

    token: float
    characters: float
    places: float
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
    taken: float = 0.0
    acted: float = 0.0
    keep: float = 0.0


@dataclass(frozen=True)
class ProbeLayers:
    """Which layers and which of their attention heads, as (layer, head), the helpers are asked of.

    sought: the layers for "named" and for "gaze". spots: the layers behind which the tokens of a coordinate know the
    point; known: that behind which the last character of what is named does; following: that behind which the token
    before a character that is read knows where it stands. said: that behind which it is said for the first time.
    """

    places: int
    sought: Mapping[str, int]
    spots: tuple[int, ...]
    known: int
    following: int
    said: int
    named: tuple[Head, ...]
    gaze: tuple[Head, ...]
    spelled: tuple[Head, ...]
    recalled: tuple[Head, ...]
    copied: tuple[Head, ...]

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> ProbeLayers:
        """From a recipe's [losses.where]."""
        heads = {name: tuple(tuple(head) for head in table[name]) for name in HEADS}
        return cls(**{**table, **heads, "spots": tuple(table["spots"])})


class AuxiliaryHeads(nn.Module):
    """The small heads that read inner states, for pictures of up to cells_w x cells_h cells; dropped after training."""

    def __init__(self, model: Qwen25VL, cells_w: int, cells_h: int, where: ProbeLayers) -> None:
        super().__init__()
        width = model.config.text.hidden_size
        self.rows = nn.Linear(width, cells_h)
        self.columns = nn.Linear(width, cells_w)
        screen = cells_w * CELL, cells_h * CELL
        wide, high = (int(pixels // step) + 1 for pixels, step in zip(screen, SPOT, strict=True))
        self.known_across, self.known_down = nn.Linear(width, wide), nn.Linear(width, high)
        self.following_across = nn.Linear(width, cells_w * ACROSS)
        self.following_down = nn.Linear(width, cells_h * DOWN)
        self.across = nn.ModuleList(nn.Linear(width, wide) for _ in where.spots)
        self.down = nn.ModuleList(nn.Linear(width, high) for _ in where.spots)
        self.wish = nn.ModuleDict({name: nn.Linear(width, SOUGHT) for name in where.sought})
        self.thing = nn.ModuleDict({name: nn.Linear(width, SOUGHT) for name in where.sought})
        self.where = where


def losses(
    model: Qwen25VL,
    heads: Heads,
    helpers: AuxiliaryHeads,
    batch: Batch,
    weights: Weights,
    compiled: bool = False,
    kept: FeatureAnchor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum, and each part by name with the shares that were right."""
    packer = batch.packer
    picture = encode(model.visual, batch.frames)  # [B, cells, C]
    embeddings = model.model.embed_tokens(batch.ids)
    first, count = packer.first_cell, packer.cells
    embeddings = torch.cat([embeddings[:, :first], picture, embeddings[:, first + count :]], dim=1)

    where = helpers.where
    trace = decode(model.model, embeddings, batch.positions, batch.own, batch.rows, compiled)
    left, eyes = trace.states, AttentionProbe(batch, trace)

    asked = batch.targets != -100
    logits, targets = model.logits(trace.out[asked]).float(), batch.targets[asked]
    token, tokens_right = _naming(logits, targets)
    among = (asked.flatten().cumsum(0) - 1).view(asked.shape)  # which of them a token is

    def once_more(looks: Tensor) -> tuple[Tensor, Tensor]:
        chosen = among[looks[:, 0], looks[:, 1]]
        return _naming(logits[chosen], targets[chosen])

    characters, right, _ = character_loss(heads, picture, batch.characters)

    at = left[where.places][:, first : first + count]
    rows = torch.arange(packer.cells_h, device=at.device).repeat_interleave(packer.cells_w).expand(len(batch.ids), -1)
    columns = torch.arange(packer.cells_w, device=at.device).repeat(packer.cells_h).expand(len(batch.ids), -1)
    places = F.cross_entropy(helpers.rows(at).flatten(0, 1), rows.reshape(-1)) + F.cross_entropy(
        helpers.columns(at).flatten(0, 1), columns.reshape(-1)
    )

    def cells(of: Tensor) -> Tensor:
        return F.one_hot(of[:, 2], count).float()

    gaze, gaze_right = eyes.at_cells(where.gaze, batch.looks, batch.wanted)
    named, named_right = eyes.at_cells(where.named, batch.named[:, :2], cells(batch.named))
    sought = token.new_zeros(())
    rights: dict[str, Tensor] = {}
    for name, looks, wanted in (
        ("gaze", batch.looks, batch.wanted),
        ("named", batch.named[:, :2], cells(batch.named)),
    ):
        if len(looks):
            behind = left[where.sought[name]]
            wish = helpers.wish[name](_level(behind[looks.unbind(1)]))
            thing = helpers.thing[name](_level(behind[:, first : first + count]))
            alike = (by_row(looks[:, 0], wish, thing) / SOUGHT**0.5).float().log_softmax(-1)
            sought = sought - (wanted * alike).sum(-1).mean()
            rights[f"{name}_sought"] = hit(alike, wanted)
    spelled, spelled_right = eyes.at_cells(where.spelled, batch.spelled[:, :2], cells(batch.spelled))
    copied, copied_right = eyes.back(where.copied, batch.copied)
    recalled, recalled_right = eyes.back(where.recalled, batch.recalled)
    typed, _ = once_more(batch.copied)
    acted, rights["acted_right"] = once_more(batch.acted)
    said, said_right = once_more(batch.read)
    row, place = batch.read.unbind(1)
    early = model.logits(model.model.norm(left[where.said][row, place])).float()
    said_early, _ = _naming(early, batch.targets[row, place])
    taken = token.new_zeros(())
    if weights.taken:
        blank = packer.tokenizer.encode(" ")[0]  # stands for the place of the next word
        letters = batch.read[batch.targets[row, place] != blank]
        projections = [
            model.model.get_parameter(f"layers.{layer}.self_attn.o_proj.weight") for layer, _ in where.spelled
        ]
        brought = model.logits(model.model.norm(eyes.taken(where.spelled, letters, projections))).float()
        taken, rights["taken_right"] = _naming(brought, batch.targets[letters.unbind(1)])
    moved = token.new_zeros(()) if kept is None else kept.moved(picture, batch.frames)
    spots = token.new_zeros(())
    for layer, across, down in zip(where.spots, helpers.across, helpers.down, strict=True):
        spots = spots + _point(across, down, left[layer], batch.points, batch.spots, SPOT) / len(where.spots)
    known = _point(helpers.known_across, helpers.known_down, left[where.known], *_ends(batch), SPOT)
    across, down = helpers.following_across, helpers.following_down
    following = _point(across, down, left[where.following], batch.read, batch.stand, PLACE)
    total = (
        weights.token * token
        + weights.characters * characters
        + weights.places * places
        + weights.named * named
        + weights.gaze * gaze
        + weights.sought * sought
        + weights.spelled * spelled
        + weights.recalled * recalled
        + weights.copied * copied
        + weights.typed * typed
        + weights.spots * (spots + known)
        + weights.following * following
        + weights.said * (said + said_early) / 2
        + weights.taken * taken
        + weights.acted * acted
        + weights.keep * moved
    )
    figures = {"loss": total, "token": token, "token_right": tokens_right, "characters_right": right}
    figures |= {"places": places, "spots": spots, "known": known, "gaze": gaze, "gaze_right": gaze_right}
    figures |= {"named": named, "named_right": named_right, "sought": sought, **rights}
    figures |= {"spelled": spelled, "spelled_right": spelled_right}
    figures |= {"recalled": recalled, "recalled_right": recalled_right}
    figures |= {"copied": copied, "copied_right": copied_right, "typed": typed, "acted": acted}
    figures |= {"following": following, "said": said, "said_early": said_early, "said_right": said_right}
    if weights.taken:
        figures["taken"] = taken
    if kept is not None:
        figures["moved"] = moved
    return total, {name: float(value.detach()) for name, value in figures.items()}


def _naming(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of tokens, and the share that is right; zeros where there are none."""
    if not len(targets):
        return logits.sum(), logits.new_zeros(())
    return F.cross_entropy(logits, targets), (logits.detach().argmax(-1) == targets).float().mean()


def _level(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])


def _point(
    across: nn.Module, down: nn.Module, behind: Tensor, looks: Tensor, points: Tensor, step: tuple[float, float]
) -> Tensor:
    """Cross-entropy of the points [looks, 2], x and y in pixels and counted in steps, at tokens (picture, token) of
    what a layer leaves."""
    if not len(looks):
        return behind.new_zeros(())
    at = _level(behind[looks.unbind(1)])
    x, y = ((points[:, axis] / step[axis]).long() for axis in (0, 1))
    return F.cross_entropy(across(at), x) + F.cross_entropy(down(at), y)


def _ends(batch: Batch) -> tuple[Tensor, Tensor]:
    """The last character of what each coordinate's question names [ends, 2], and that coordinate [ends, 2]."""
    points = dict(zip(map(tuple, batch.points.tolist()), batch.spots.tolist(), strict=True))
    ends = {(row, end): points[row, token] for row, token, end in batch.recalled.tolist()}
    device = batch.points.device
    places = torch.tensor(list(ends), dtype=torch.long, device=device).view(-1, 2)
    return places, torch.tensor(list(ends.values()), dtype=torch.long, device=device).view(-1, 2)
