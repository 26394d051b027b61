"""Auxiliary losses on inner states of the decoder, and the heads that compute them.

They exist in training only: the checkpoint stays a plain Qwen2.5-VL. Answers of a few tokens are a weak signal for
where
to look, while a rendered page provides it for free. Each loss is described at its weight in `LossWeights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.qwen25vl import Qwen25VL
from training.attention_probe import AttentionProbe, Head, cell_accuracy, segment_scores
from training.config import LOSS_ALIASES
from training.feature_anchor import FeatureAnchor, encode_frames
from training.packed_attention import ForwardTrace, packed_forward
from training.packing import PackedBatch
from training.vision_pretraining import CELL, PLACES_DOWN, PLACES_WIDE, CellHeads, character_loss

ATTENTION_LOSSES = ("named", "target_attention", "read_attention", "recalled", "copied")  # on heads of the decoder
CONTRASTIVE_DIM = 256
POINT_BIN_PX = (10.0, 10.0)  # tens and hundreds of a coordinate follow from its bin
CHARACTER_BIN_PX = (CELL / PLACES_WIDE, CELL / PLACES_DOWN)  # the places in which the encoder predicts characters
# Names of submodules in run states written before 0.2.
STATE_ALIASES = {
    "known_across": "target_position_x",
    "known_down": "target_position_y",
    "following_across": "next_char_x",
    "following_down": "next_char_y",
    "across": "point_bins_x",
    "down": "point_bins_y",
    "wish": "token_projection",
    "thing": "cell_projection",
}


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss.

    "Heads" are attention heads of the decoder, "states" outputs of a decoder layer; which ones, `ProbeLayers` says.
    """

    token: float  # next token of the answer
    characters: float  # characters in each cell, from its vision embedding
    places: float  # row and column of each cell, from its state
    named: float  # heads at characters of the question attend to the cell where they are on the screen
    target_attention: float  # heads at the start of a coordinate or text attend to the cells of the element
    token_cell_contrastive: float  # states at tokens of the two losses above match the states at their cells
    read_attention: float  # heads before each character that is read attend to its cell
    recalled: float  # heads at a coordinate attend to the last character of what the question names
    copied: float  # heads at a typed text attend to its place in the question
    typed: float  # next token of typed texts, counted again
    point_bins: float  # the point in 10 px bins, from states at a coordinate and at the last named character
    next_char_position: float  # position of the next character that is read, from the state before it
    char_token: float  # next token of texts that are read, counted again, also from an earlier layer
    char_from_attention: float = 0.0  # the same from the output of the read_attention heads alone
    decision_token: float = 0.0  # next token of actions and points that the page's own goal requires, counted again
    encoder_anchor: float = 0.0  # distance of the vision embeddings from those of an earlier encoder


@dataclass(frozen=True)
class ProbeLayers:
    """The layers, and the attention heads as (layer, head), that the auxiliary losses apply to."""

    places: int
    token_cell_contrastive: Mapping[str, int]  # by "named" and "target_attention"
    point_bins: tuple[int, ...]
    target_position: int  # of point_bins at the last named character
    next_char_position: int
    char_token: int  # the earlier layer
    named: tuple[Head, ...]
    target_attention: tuple[Head, ...]
    read_attention: tuple[Head, ...]
    recalled: tuple[Head, ...]
    copied: tuple[Head, ...]

    @classmethod
    def from_recipe(cls, table: Mapping[str, Any]) -> ProbeLayers:
        """Return the layers in [losses.layers] of a recipe."""
        heads = {name: tuple(tuple(head) for head in table[name]) for name in ATTENTION_LOSSES}
        return cls(**{**table, **heads, "point_bins": tuple(table["point_bins"])})


class AuxiliaryHeads(nn.Module):
    """Linear heads on decoder states, for images of up to cells_w x cells_h cells; dropped after training."""

    def __init__(self, model: Qwen25VL, cells_w: int, cells_h: int, layers: ProbeLayers) -> None:
        super().__init__()
        width = model.config.text.hidden_size
        self.rows = nn.Linear(width, cells_h)
        self.columns = nn.Linear(width, cells_w)
        screen = cells_w * CELL, cells_h * CELL
        bins_x, bins_y = (int(pixels // size) + 1 for pixels, size in zip(screen, POINT_BIN_PX, strict=True))
        self.target_position_x, self.target_position_y = nn.Linear(width, bins_x), nn.Linear(width, bins_y)
        self.next_char_x = nn.Linear(width, cells_w * PLACES_WIDE)
        self.next_char_y = nn.Linear(width, cells_h * PLACES_DOWN)
        self.point_bins_x = nn.ModuleList(nn.Linear(width, bins_x) for _ in layers.point_bins)
        self.point_bins_y = nn.ModuleList(nn.Linear(width, bins_y) for _ in layers.point_bins)
        contrastive = layers.token_cell_contrastive
        self.token_projection = nn.ModuleDict({name: nn.Linear(width, CONTRASTIVE_DIM) for name in contrastive})
        self.cell_projection = nn.ModuleDict({name: nn.Linear(width, CONTRASTIVE_DIM) for name in contrastive})
        self.layers = layers
        self.register_load_state_dict_pre_hook(_rename_old_keys)


def _rename_old_keys(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Replace the submodule names from before 0.2 in a state that is about to be loaded."""
    for key in list(state):
        if not key.startswith(prefix):
            continue
        name, _dot, rest = key.removeprefix(prefix).partition(".")
        if name in STATE_ALIASES:
            child, _dot, parameter = rest.partition(".")
            rest = f"{LOSS_ALIASES.get(child, child)}.{parameter}" if parameter else rest
            state[f"{prefix}{STATE_ALIASES[name]}.{rest}"] = state.pop(key)


class LossComputation:
    """The forward pass over a batch, and the losses on it.

    Each method returns a loss, or a loss and its accuracy, as tensors without dimensions.
    """

    def __init__(
        self, model: Qwen25VL, cell_heads: CellHeads, helpers: AuxiliaryHeads, batch: PackedBatch, compiled: bool
    ) -> None:
        self.model, self.cell_heads, self.helpers, self.batch = model, cell_heads, helpers, batch
        self.packer, self.layers = batch.packer, helpers.layers
        self.cells = encode_frames(model.visual, batch.frames)  # [B, cells, C]
        self.trace = self._forward(compiled)
        self.probe = AttentionProbe(batch, self.trace)
        self._predicted = batch.targets != -100
        self.logits = model.logits(self.trace.output[self._predicted]).float()
        self.targets = batch.targets[self._predicted]
        self._index = (self._predicted.flatten().cumsum(0) - 1).view(self._predicted.shape)  # into logits and targets

    def _forward(self, compiled: bool) -> ForwardTrace:
        batch, first = self.batch, self.packer.first_cell
        embeddings = self.model.model.embed_tokens(batch.ids)
        last = first + self.packer.cells
        embeddings = torch.cat([embeddings[:, :first], self.cells, embeddings[:, last:]], dim=1)
        return packed_forward(self.model.model, embeddings, batch.positions, batch.own, batch.layout, compiled)

    def token(self) -> tuple[Tensor, Tensor]:
        return token_loss(self.logits, self.targets)

    def token_at(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss at some of the predicted tokens, (row, token) [n, 2]."""
        chosen = self._index[tokens[:, 0], tokens[:, 1]]
        return token_loss(self.logits[chosen], self.targets[chosen])

    def characters(self) -> tuple[Tensor, Tensor]:
        loss, accuracy, _ = character_loss(self.cell_heads, self.cells, self.batch.characters)
        return loss, accuracy

    def places(self) -> Tensor:
        states = self._cell_states(self.layers.places)
        width, height, count = self.packer.cells_w, self.packer.cells_h, len(self.batch.ids)
        rows = torch.arange(height, device=states.device).repeat_interleave(width).expand(count, -1)
        columns = torch.arange(width, device=states.device).repeat(height).expand(count, -1)
        return F.cross_entropy(self.helpers.rows(states).flatten(0, 1), rows.reshape(-1)) + F.cross_entropy(
            self.helpers.columns(states).flatten(0, 1), columns.reshape(-1)
        )

    def target_attention(self) -> tuple[Tensor, Tensor]:
        return self.probe.to_cells(self.layers.target_attention, self.batch.target_tokens, self.batch.target_cells)

    def named(self) -> tuple[Tensor, Tensor]:
        return self.probe.to_cells(self.layers.named, *self._split_cells(self.batch.named_cells))

    def read_attention(self) -> tuple[Tensor, Tensor]:
        return self.probe.to_cells(self.layers.read_attention, *self._split_cells(self.batch.read_cells))

    def copied(self) -> tuple[Tensor, Tensor]:
        return self.probe.to_tokens(self.layers.copied, self.batch.copied_tokens)

    def recalled(self) -> tuple[Tensor, Tensor]:
        return self.probe.to_tokens(self.layers.recalled, self.batch.recalled_tokens)

    def token_cell_contrastive(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and an accuracy for each kind of token."""
        loss = self.logits.new_zeros(())
        accuracies: dict[str, Tensor] = {}
        for name, (tokens, target_cells) in {
            "target_attention": (self.batch.target_tokens, self.batch.target_cells),
            "named": self._split_cells(self.batch.named_cells),
        }.items():
            if not len(tokens):
                continue
            layer = self.layers.token_cell_contrastive[name]
            states = self.trace.states[layer]
            query = self.helpers.token_projection[name](_rms_norm(states[tokens.unbind(1)]))
            key = self.helpers.cell_projection[name](_rms_norm(self._cell_states(layer)))
            similarity = (segment_scores(tokens[:, 0], query, key) / CONTRASTIVE_DIM**0.5).float().log_softmax(-1)
            loss = loss - (target_cells * similarity).sum(-1).mean()
            accuracies[f"{name}_cell_right"] = cell_accuracy(similarity, target_cells)
        return loss, accuracies

    def early_char_token(self) -> Tensor:
        """Return the loss of characters that are read, predicted from an earlier layer."""
        row, token = self.batch.read_tokens.unbind(1)
        states = self.trace.states[self.layers.char_token][row, token]
        logits = self.model.logits(self.model.model.norm(states)).float()
        loss, _ = token_loss(logits, self.batch.targets[row, token])
        return loss

    def char_from_attention(self) -> tuple[Tensor, Tensor]:
        row, token = self.batch.read_tokens.unbind(1)
        space = self.packer.tokenizer.encode(" ")[0]  # has no place of its own on the screen
        tokens = self.batch.read_tokens[self.batch.targets[row, token] != space]
        heads = self.layers.read_attention
        decoder = self.model.model
        projections = [decoder.get_parameter(f"layers.{layer}.self_attn.o_proj.weight") for layer, _ in heads]
        outputs = self.probe.head_outputs(heads, tokens, projections)
        logits = self.model.logits(decoder.norm(outputs)).float()
        return token_loss(logits, self.batch.targets[tokens.unbind(1)])

    def point_bins(self) -> Tensor:
        layers = self.layers.point_bins
        loss = self.logits.new_zeros(())
        for layer, x, y in zip(layers, self.helpers.point_bins_x, self.helpers.point_bins_y, strict=True):
            tokens, points = self.batch.coordinate_tokens, self.batch.coordinate_points
            loss = loss + _point_loss(x, y, self.trace.states[layer], tokens, points, POINT_BIN_PX) / len(layers)
        return loss

    def target_position(self) -> Tensor:
        """Return the loss of the point's bins at the last character of what the question names."""
        x, y = self.helpers.target_position_x, self.helpers.target_position_y
        states = self.trace.states[self.layers.target_position]
        return _point_loss(x, y, states, *_last_named_points(self.batch), POINT_BIN_PX)

    def next_char_position(self) -> Tensor:
        x, y = self.helpers.next_char_x, self.helpers.next_char_y
        states = self.trace.states[self.layers.next_char_position]
        return _point_loss(x, y, states, self.batch.read_tokens, self.batch.read_points, CHARACTER_BIN_PX)

    def _cell_states(self, layer: int) -> Tensor:
        first = self.packer.first_cell
        return self.trace.states[layer][:, first : first + self.packer.cells]

    def _split_cells(self, token_cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return (row, token) [n, 2] and one-hot cells [n, cells] of (row, token, cell) [n, 3]."""
        return token_cells[:, :2], F.one_hot(token_cells[:, 2], self.packer.cells).float()


def compute_losses(
    model: Qwen25VL,
    cell_heads: CellHeads,
    helpers: AuxiliaryHeads,
    batch: PackedBatch,
    weights: LossWeights,
    compiled: bool = False,
    anchor: FeatureAnchor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum of all losses, and each loss and accuracy by name."""
    parts = LossComputation(model, cell_heads, helpers, batch, compiled)
    token, token_right = parts.token()
    characters, characters_right = parts.characters()
    places = parts.places()
    target_attention, target_attention_right = parts.target_attention()
    named, named_right = parts.named()
    contrastive, cell_accuracies = parts.token_cell_contrastive()
    read_attention, read_attention_right = parts.read_attention()
    copied, copied_right = parts.copied()
    recalled, recalled_right = parts.recalled()
    typed, _ = parts.token_at(batch.copied_tokens)
    decision_token, decision_token_right = parts.token_at(batch.decision_tokens)
    char_token, char_token_right = parts.token_at(batch.read_tokens)
    char_token_early = parts.early_char_token()
    zero = token.new_zeros(())
    char_from_attention, char_from_attention_right = (
        parts.char_from_attention() if weights.char_from_attention else (zero, zero)
    )
    encoder_anchor = zero if anchor is None else anchor.distance(parts.cells, batch.frames)
    point_bins, target_position = parts.point_bins(), parts.target_position()
    next_char_position = parts.next_char_position()
    total = (
        weights.token * token
        + weights.characters * characters
        + weights.places * places
        + weights.named * named
        + weights.target_attention * target_attention
        + weights.token_cell_contrastive * contrastive
        + weights.read_attention * read_attention
        + weights.recalled * recalled
        + weights.copied * copied
        + weights.typed * typed
        + weights.point_bins * (point_bins + target_position)
        + weights.next_char_position * next_char_position
        + weights.char_token * (char_token + char_token_early) / 2
        + weights.char_from_attention * char_from_attention
        + weights.decision_token * decision_token
        + weights.encoder_anchor * encoder_anchor
    )
    metrics = {
        "loss": total,
        "token": token,
        "token_right": token_right,
        "characters_right": characters_right,
        "places": places,
        "point_bins": point_bins,
        "target_position": target_position,
        "target_attention": target_attention,
        "target_attention_right": target_attention_right,
        "named": named,
        "named_right": named_right,
        "token_cell_contrastive": contrastive,
        **cell_accuracies,
        "decision_token_right": decision_token_right,
        "read_attention": read_attention,
        "read_attention_right": read_attention_right,
        "recalled": recalled,
        "recalled_right": recalled_right,
        "copied": copied,
        "copied_right": copied_right,
        "typed": typed,
        "decision_token": decision_token,
        "next_char_position": next_char_position,
        "char_token": char_token,
        "char_token_early": char_token_early,
        "char_token_right": char_token_right,
    }
    if weights.char_from_attention:
        metrics |= {
            "char_from_attention": char_from_attention,
            "char_from_attention_right": char_from_attention_right,
        }
    if anchor is not None:
        metrics["encoder_anchor"] = encoder_anchor
    return total, {name: float(value.detach()) for name, value in metrics.items()}


def token_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of tokens and their accuracy; zeros if there are none."""
    if not len(targets):
        return logits.sum(), logits.new_zeros(())
    return F.cross_entropy(logits, targets), (logits.detach().argmax(-1) == targets).float().mean()


def _rms_norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])


def _point_loss(
    x_head: nn.Module, y_head: nn.Module, states: Tensor, tokens: Tensor, points: Tensor, bin_px: tuple[float, float]
) -> Tensor:
    """Return the cross-entropy of the bins of points [n, 2] (pixels) at tokens (row, token) [n, 2]."""
    if not len(tokens):
        return states.new_zeros(())
    at_tokens = _rms_norm(states[tokens.unbind(1)])
    x, y = ((points[:, axis] / bin_px[axis]).long() for axis in (0, 1))
    return F.cross_entropy(x_head(at_tokens), x) + F.cross_entropy(y_head(at_tokens), y)


def _last_named_points(batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Return the last named character (row, token) of each coordinate's question [n, 2], and the coordinate [n, 2]."""
    points = dict(
        zip(map(tuple, batch.coordinate_tokens.tolist()), batch.coordinate_points.tolist(), strict=True),
    )
    last_named = {(row, last): points[row, token] for row, token, last in batch.recalled_tokens.tolist()}
    device = batch.coordinate_tokens.device
    tokens = torch.tensor(list(last_named), dtype=torch.long, device=device).view(-1, 2)
    return tokens, torch.tensor(list(last_named.values()), dtype=torch.long, device=device).view(-1, 2)
