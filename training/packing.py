"""Pack samples into tensors: one image with many questions in a row, each question blind to the others.

A row is the head of the prompt with the image, then blocks of tokens that hold whole questions with their answers. A
question attends to the head and to itself, and its positions start where the head ends: it is exactly the prompt that
the agent sends, while the image is encoded once.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from actions import UsageError
from model.nn.config import Config
from model.nn.rope import position_ids
from model.processing.tokenizer import Tokenizer
from training.dataset import Box, Question
from training.packed_attention import PackedLayout

BLOCK = 128  # tokens of a block, the longest question
PIXELS_PER_CELL = 28  # a cell is one merged image patch
IMAGE_PAD = "<|image_pad|>"
COORDINATE = '", "coordinate": ['
TEXT = '", "text": "'
KEYS = '", "keys": ["'
ACTION = '\n{"name": "computer_use", "arguments": {"action": "'
TOOLS = ({"type": "function", "function": {"name": "computer_use"}},)

Frame = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]  # [H, W, 3]
TokenizedQuestion = tuple[Question, list[int], list[int]]  # with the token ids of its prompt and its reply


def format_reply(question: Question) -> str:
    """Return the reply that answers a question, as the dialect writes it, up to the end of the turn."""
    if "say" in question.answer:
        return f"{question.answer['say']}<|im_end|>"
    call = json.dumps({"name": "computer_use", "arguments": dict(question.answer)}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call><|im_end|>"


def decode_png(png: bytes) -> Frame:
    """Return the pixels of a PNG, uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@dataclass(frozen=True)
class PackedBatch:
    """B images of one size with their questions.

    Fields named *_tokens hold one index tuple per row, [n, 2]: (row, token), or [n, 3] with an earlier token; fields
    named *_cells with three columns are (row, token, cell).
    """

    packer: Packer
    frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]  # [B, H, W, 3]
    ids: Tensor  # [B, S]
    positions: Tensor  # [3, B, S]
    targets: Tensor  # [B, S], -100 where nothing is predicted
    layout: PackedLayout
    own: Tensor  # bool [B, blocks, block, block], where a token of a block attends to another of it
    target_tokens: Tensor  # tokens that should attend to the box of the answer: before a coordinate, before characters
    target_cells: Tensor  # [n, cells]: the fraction of that box in each cell
    read_cells: Tensor  # the token before each character of a text that is read, and the character's cell
    named_cells: Tensor  # characters that the question names, or that were read, and their cells
    recalled_tokens: Tensor  # the tokens of a coordinate, and the last character of what the question names
    copied_tokens: Tensor  # the token before each token of a typed text, and that token in the question
    decision_tokens: Tensor  # before the action's name, the first key, and of the coordinate, of a page's own question
    read_tokens: Tensor  # as in read_cells
    read_points: Tensor  # [n, 2]: center of the character in pixels
    coordinate_tokens: Tensor  # the tokens of a coordinate
    coordinate_points: Tensor  # [n, 2]: the point in pixels
    characters: Tensor  # [B, cells, places], see training.vision_pretraining

    def to(self, device: torch.device) -> PackedBatch:
        """Return the batch with its tensors on a device."""
        tensors: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)

    @property
    def mask(self) -> Tensor:
        """The attention mask that the layout stands for, bool [B, 1, S, S]."""
        layout, count = self.layout, len(self.ids)
        mask = torch.ones(layout.length, layout.length, dtype=torch.bool, device=self.ids.device).tril()
        mask[layout.head :, layout.head :] = False
        mask = mask.repeat(count, 1, 1)
        for number in range(layout.blocks):
            start = layout.head + number * layout.block
            mask[:, start : start + layout.block, start : start + layout.block] = self.own[:, number]
        return mask[:, None]


@dataclass
class TokenMarks:
    """The token index lists of a PackedBatch while it is assembled."""

    target_tokens: list[tuple[int, int]] = field(default_factory=list)
    target_cells: list[Tensor] = field(default_factory=list)
    read_cells: list[tuple[int, int, int]] = field(default_factory=list)
    named_cells: list[tuple[int, int, int]] = field(default_factory=list)
    recalled_tokens: list[tuple[int, int, int]] = field(default_factory=list)
    copied_tokens: list[tuple[int, int, int]] = field(default_factory=list)
    decision_tokens: list[tuple[int, int]] = field(default_factory=list)
    read_tokens: list[tuple[int, int]] = field(default_factory=list)
    read_points: list[tuple[int, int]] = field(default_factory=list)
    coordinate_tokens: list[tuple[int, int]] = field(default_factory=list)
    coordinate_points: list[Sequence[int]] = field(default_factory=list)

    def as_tensors(self, cells: int) -> dict[str, Tensor]:
        """Return the lists as tensors, by field name; cells: number of cells of an image."""
        widths = {"read_cells": 3, "named_cells": 3, "recalled_tokens": 3, "copied_tokens": 3}
        tensors = {
            name: torch.tensor(rows, dtype=torch.long).view(-1, widths.get(name, 2))
            for name, rows in vars(self).items()
            if name != "target_cells"
        }
        shares = torch.stack(self.target_cells) if self.target_cells else torch.zeros(0, cells)
        return {**tensors, "target_cells": shares}


class Packer:
    """Packs samples of one image size, whose prompts all have the same head."""

    def __init__(self, tokenizer: Tokenizer, config: Config, width: int, height: int) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.cells_w, self.cells_h = width // PIXELS_PER_CELL, height // PIXELS_PER_CELL
        self.cells = self.cells_w * self.cells_h
        marker = "\N{WHITE SQUARE}"
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": marker}]}
        before, self.after = tokenizer.render([message], TOOLS).split(marker)
        self.head = tokenizer.encode(before.replace(IMAGE_PAD, IMAGE_PAD * self.cells))
        self.first_cell = self.head.index(tokenizer.id(IMAGE_PAD))
        grid = [(1, self.cells_h * 2, self.cells_w * 2)]
        self.head_positions, offset = position_ids(torch.tensor([self.head]), config, None, grid)
        self.next_position = len(self.head) + int(offset)
        self.coordinate, self.text, self.keys, self.action = (
            tokenizer.id(token) for token in (COORDINATE, TEXT, KEYS, ACTION)
        )
        self.inside_coordinate = {*(tokenizer.encode(digit)[0] for digit in "0123456789"), tokenizer.encode(", ")[0]}

    def prompt(self, goal: str) -> list[int]:
        """Return the token ids between the head and the answer."""
        return self.tokenizer.encode(goal + self.after)

    def pack(
        self,
        frames: Sequence[Frame],
        questions: Sequence[Sequence[Question]],
        characters: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
        blocks: int | None = None,
    ) -> PackedBatch:
        """Return a batch.

        Args:
            frames: The images.
            questions: The questions of each image.
            characters: The character classes of each image [cells, places].
            blocks: Number of blocks of a row, into which as many questions are packed as fit, from the first; None for
                as many as the fullest row needs.
        """
        rows = [self._fill_blocks(row_questions, blocks) for row_questions in questions]
        layout = PackedLayout(len(self.head), BLOCK, blocks or max(1, *(len(row) for row in rows)))
        ids = torch.full((len(rows), layout.length), self.tokenizer.id("<|endoftext|>"))
        ids[:, : layout.head] = torch.tensor(self.head)
        targets = torch.full_like(ids, -100)
        question_start, offset = torch.zeros_like(ids), torch.zeros_like(ids)  # of each token's question; within it
        marks = TokenMarks()
        for row, filled_blocks in enumerate(rows):
            for number, block in enumerate(filled_blocks):
                start = layout.head + number * layout.block
                for question, prompt, reply in block:
                    answer, end = start + len(prompt), start + len(prompt) + len(reply)
                    ids[row, start:end] = torch.tensor(prompt + reply)
                    targets[row, answer - 1 : end - 1] = torch.tensor(reply)  # the prompt's last predicts the first
                    question_start[row, start:end] = start
                    offset[row, start:end] = torch.arange(end - start)
                    self._mark(marks, question, prompt, reply, row, start)
                    start = end
        positions = (offset + self.next_position).expand(3, -1, -1).clone()
        positions[:, :, : layout.head] = self.head_positions
        of_block = question_start[:, layout.head :].unflatten(1, (layout.blocks, layout.block))
        order = torch.arange(layout.block)
        own = (of_block[..., :, None] == of_block[..., None, :]) & (order[:, None] >= order[None, :])
        return PackedBatch(
            packer=self,
            frames=np.stack(frames),
            ids=ids,
            positions=positions,
            targets=targets,
            layout=layout,
            own=own,
            characters=torch.from_numpy(np.stack(characters)),
            **marks.as_tensors(self.cells),
        )

    def decision_offsets(self, reply: list[int]) -> list[int]:
        """Return the offsets in a reply before the action's name and the first key, and of the coordinate."""
        if self.action not in reply:
            return []
        first = [reply.index(token) for token in (self.action, self.keys) if token in reply]
        return [*first, *(self._target_range(reply, 0) if self.coordinate in reply else ())]

    def _fill_blocks(self, questions: Sequence[Question], blocks: int | None) -> list[list[TokenizedQuestion]]:
        """Put each question, in order, into the first block with enough room."""
        filled: list[list[TokenizedQuestion]] = []
        room: list[int] = []
        for question in questions:
            prompt, reply = self.prompt(question.goal), self.tokenizer.encode(format_reply(question))
            length = len(prompt) + len(reply)
            if length > BLOCK and blocks is None:
                raise UsageError(f"a question of {length} tokens is longer than a block of {BLOCK}: {question.goal!r}")
            number = next((n for n, left in enumerate(room) if left >= length), len(room))
            if number == len(room):
                if blocks is not None and (number >= blocks or length > BLOCK):
                    continue
                filled.append([])
                room.append(BLOCK)
            filled[number].append((question, prompt, reply))
            room[number] -= length
        return filled

    def _mark(
        self, marks: TokenMarks, question: Question, prompt: list[int], reply: list[int], row: int, start: int
    ) -> None:
        """Mark the tokens of a question whose prompt starts at a token of a row."""
        answer = start + len(prompt)
        target_range = self._target_range(reply, answer)
        has_point = "coordinate" in question.answer
        if question.box is not None and target_range:
            tokens = target_range[:1] if has_point else target_range  # the other digits follow from the first
            marks.target_tokens += [(row, token) for token in tokens]
            marks.target_cells += [self._cell_shares(question.box)] * len(tokens)
        if question.letters and len(question.letters) == len(target_range):
            cells = [self._cell(x, y) for x, y in question.letters]
            marks.read_cells += [(row, token, cell) for token, cell in zip(target_range, cells, strict=True)]
            marks.read_tokens += [(row, token) for token in target_range]
            marks.read_points += [(int(x), int(y)) for x, y in question.letters]
            marks.named_cells += [(row, token + 1, cell) for token, cell in zip(target_range, cells, strict=True)]
        named = [(row, start + token, cell) for token, cell in self._goal_cells(question, prompt, question.named)]
        mentioned = self._goal_cells(question, prompt, question.mentioned)
        marks.named_cells += named
        marks.named_cells += [(row, start + token, cell) for token, cell in mentioned]
        if named and has_point:
            marks.recalled_tokens += [(row, token, named[-1][1]) for token in target_range]
        marks.copied_tokens += [(row, answer + a, start + b) for a, b in self._copied_offsets(question, prompt, reply)]
        if question.is_decision:
            marks.decision_tokens += [(row, answer + offset) for offset in self.decision_offsets(reply)]
        if has_point:
            marks.coordinate_tokens += [(row, token) for token in target_range]
            marks.coordinate_points += [question.answer["coordinate"]] * len(target_range)

    def _target_range(self, reply: list[int], start: int) -> range:
        """Return the tokens that should attend to the target, of a reply that starts at a token.

        Of a coordinate: from the token that opens it to its last digit. Of text: from the one before the first token to
        the one before the end.
        """
        if self.coordinate not in reply:
            return range(start - 1, start + len(reply) - 2)
        first = reply.index(self.coordinate)
        last = first
        while reply[last + 1] in self.inside_coordinate:
            last += 1
        return range(start + first, start + last)

    def _copied_offsets(self, question: Question, prompt: list[int], reply: list[int]) -> list[tuple[int, int]]:
        """Return pairs of offsets for a typed text that occurs in the question.

        Each pair is the offset in the reply before a token of the text or before its end (-1 is the prompt's last
        token), and the offset of that token in the prompt.
        """
        text = question.answer.get("text", "")
        if not text or text not in question.goal or self.text not in reply:
            return []
        before = question.goal.partition(text)[0]
        first, tokens = len(self.tokenizer.encode(before)), self.tokenizer.encode(text)
        start = reply.index(self.text) + 1
        if prompt[first : first + len(tokens)] != tokens or reply[start : start + len(tokens)] != tokens:
            return []  # a phrase token of the vocabulary reaches into the text
        return [(start - 1 + k, first + k) for k in range(len(tokens) + 1)]

    def _cell(self, x: float, y: float) -> int:
        return int(y // PIXELS_PER_CELL) * self.cells_w + int(x // PIXELS_PER_CELL)

    def _goal_cells(
        self, question: Question, prompt: list[int], characters: Sequence[tuple[int, float, float]]
    ) -> list[tuple[int, int]]:
        """Return (token, cell) of characters of a goal, each given as (offset in the goal, x, y).

        Characters that are not a token of their own, as in phrase tokens, are left out.
        """
        token_cells = []
        token_at = self._token_starts(question.goal) if characters else {}
        for offset, x, y in characters:
            token = token_at.get(offset)
            if token is not None and prompt[token] == self.tokenizer.encode(question.goal[offset])[0]:
                token_cells.append((token, self._cell(x, y)))
        return token_cells

    def _token_starts(self, goal: str) -> dict[int, int]:
        """Return the token that starts at each character of a goal; empty for a goal that is not ASCII."""
        starts, offset = dict[int, int](), 0
        if not goal.isascii():
            return starts
        for number, token in enumerate(self.tokenizer.encode(goal)):
            starts[offset] = number
            offset += len(self.tokenizer.decode([token]))
        return starts

    def _cell_shares(self, box: Box) -> Tensor:
        """Return the fraction of a box (x, y, width, height in pixels) in each cell."""
        x, y, w, h = box
        size = PIXELS_PER_CELL
        left = torch.arange(self.cells_w) * float(size)
        top = torch.arange(self.cells_h) * float(size)
        across = (torch.minimum(left + size, torch.tensor(x + w)) - left.clamp(min=x)).clamp(min=0)
        down = (torch.minimum(top + size, torch.tensor(y + h)) - top.clamp(min=y)).clamp(min=0)
        area = (down[:, None] * across[None, :]).reshape(-1)
        return area / area.sum().clamp(min=1e-6)
