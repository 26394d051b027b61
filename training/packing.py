"""Samples -> tensors. One picture is encoded once and asked several questions, each blind to the others.

A row is: the prompt's head with the picture, then blocks of tokens with whole questions in them, each with its answer.
A question sees the head and itself; its positions begin where the head ends. So every question is exactly the prompt
that the agent will send, and the picture's cost is shared.
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

BLOCK = 128  # tokens; a longer question has no place
PAD = "<|image_pad|>"
COORDINATE = '", "coordinate": ['
TEXT = '", "text": "'
KEYS = '", "keys": ["'
ACTION = '\n{"name": "computer_use", "arguments": {"action": "'
TOOLS = ({"type": "function", "function": {"name": "computer_use"}},)


def reply(question: Question) -> str:
    """The words that answer a question, as the dialect writes them, up to the end of the turn."""
    if "say" in question.answer:
        return f"{question.answer['say']}<|im_end|>"
    call = json.dumps({"name": "computer_use", "arguments": dict(question.answer)}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call><|im_end|>"


@dataclass(frozen=True)
class Batch:
    """B pictures of one size and their questions, by the packer of that size.

    frames [B, H, W, 3] uint8; ids and targets [B, S], positions [3, B, S] of the packed rows, target -100 where nothing
    is asked; rows: how they are laid out; own [B, blocks, block, block]: where a token of a block may look in it.
    looks: rows of (picture, token) where a token stands that should look at the answer's box: the one that opens a
    coordinate, and each before a character that is read; wanted [looks, cells]: the share of that box in each cell.
    named: rows of (picture, token, cell): a character that the question names, or that was read, and its cell.
    recalled: rows of (picture, token, earlier token): the tokens of a coordinate, and the last character that its
    question names. copied: rows of (picture, token, earlier token): the token before one of a text that stands in the
    question, and where it stands there. acted: rows of (picture, token): of what a page wants in its state, the token
    before the name of the action, that before the first key, and those of the coordinate. read: rows of (picture,
    token): the token before a character that is read; stand [read, 2]: that character's middle, x and y in pixels;
    spelled: rows of (picture, token, cell): the same tokens, and its cell. points: rows of (picture, token) of
    coordinates; spots [points, 2]: the answer's point, x and y in pixels. characters [B, cells, places]: see visual.py.
    """

    packer: Packer
    frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    ids: Tensor
    positions: Tensor
    targets: Tensor
    rows: PackedLayout
    own: Tensor
    looks: Tensor
    wanted: Tensor
    spelled: Tensor
    named: Tensor
    recalled: Tensor
    copied: Tensor
    acted: Tensor
    read: Tensor
    stand: Tensor
    points: Tensor
    spots: Tensor
    characters: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        tensors: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)

    @property
    def mask(self) -> Tensor:
        """Where each token may look, bool [B, 1, S, S]: what the rows' own way of attending amounts to."""
        rows, count = self.rows, len(self.ids)
        mask = torch.ones(rows.length, rows.length, dtype=torch.bool, device=self.ids.device).tril()
        mask[rows.head :, rows.head :] = False
        mask = mask.repeat(count, 1, 1)
        for number in range(rows.blocks):
            start = rows.head + number * rows.block
            mask[:, start : start + rows.block, start : start + rows.block] = self.own[:, number]
        return mask[:, None]


Asked = tuple[Question, list[int], list[int]]  # and the tokens of its prompt and of its reply


@dataclass
class Marks:
    """What a batch says of single tokens, as it grows; see Batch."""

    looks: list[tuple[int, int]] = field(default_factory=list)
    wanted: list[Tensor] = field(default_factory=list)
    spelled: list[tuple[int, int, int]] = field(default_factory=list)
    named: list[tuple[int, int, int]] = field(default_factory=list)
    recalled: list[tuple[int, int, int]] = field(default_factory=list)
    copied: list[tuple[int, int, int]] = field(default_factory=list)
    acted: list[tuple[int, int]] = field(default_factory=list)
    read: list[tuple[int, int]] = field(default_factory=list)
    stand: list[tuple[int, int]] = field(default_factory=list)
    points: list[tuple[int, int]] = field(default_factory=list)
    spots: list[Sequence[int]] = field(default_factory=list)


class Packer:
    """Knows the head of the prompt, which is the same for every sample of one screen size."""

    def __init__(self, tokenizer: Tokenizer, config: Config, width: int, height: int) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.cells_w, self.cells_h = width // 28, height // 28
        self.cells = self.cells_w * self.cells_h
        marker = "\N{WHITE SQUARE}"
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": marker}]}
        before, self.after = tokenizer.render([message], TOOLS).split(marker)
        self.head = tokenizer.encode(before.replace(PAD, PAD * self.cells))
        self.first_cell = self.head.index(tokenizer.id(PAD))
        grid = [(1, self.cells_h * 2, self.cells_w * 2)]
        self.head_positions, offset = position_ids(torch.tensor([self.head]), config, None, grid)
        self.next_position = len(self.head) + int(offset)
        self.coordinate, self.text, self.keys, self.action = (
            tokenizer.id(one) for one in (COORDINATE, TEXT, KEYS, ACTION)
        )
        self.inside = {*(tokenizer.encode(digit)[0] for digit in "0123456789"), tokenizer.encode(", ")[0]}

    def prompt(self, goal: str) -> list[int]:
        """The ids after the head, up to where the answer begins."""
        return self.tokenizer.encode(goal + self.after)

    def pack(
        self,
        frames: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]],
        questions: Sequence[Sequence[Question]],
        characters: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
        blocks: int | None = None,
    ) -> Batch:
        """One batch of frames, the questions of each, and the classes of its characters.

        blocks: of each row; what does not fit into them is left out, from the end of the questions. None: as many as
        the fullest row needs.
        """
        filled = [self._fill(asked, blocks) for asked in questions]
        rows = PackedLayout(len(self.head), BLOCK, blocks or max(1, *(len(row) for row in filled)))
        ids = torch.full((len(filled), rows.length), self.tokenizer.id("<|endoftext|>"))
        ids[:, : rows.head] = torch.tensor(self.head)
        targets = torch.full_like(ids, -100)
        number, place = torch.zeros_like(ids), torch.zeros_like(ids)  # of the question, and in it
        marks = Marks()
        for row, parts in enumerate(filled):
            for part, asked in enumerate(parts):
                at = rows.head + part * rows.block
                for question, prompt, said in asked:
                    start = at + len(prompt)
                    end = start + len(said)
                    ids[row, at:end] = torch.tensor(prompt + said)
                    targets[row, start - 1 : end - 1] = torch.tensor(said)  # the prompt's last predicts the first
                    number[row, at:end] = at  # no two begin at one place
                    place[row, at:end] = torch.arange(end - at)
                    self._mark(marks, question, prompt, said, row, at)
                    at = end
        positions = (place + self.next_position).expand(3, -1, -1).clone()
        positions[:, :, : rows.head] = self.head_positions
        of = number[:, rows.head :].unflatten(1, (rows.blocks, rows.block))
        order = torch.arange(rows.block)
        own = (of[..., :, None] == of[..., None, :]) & (order[:, None] >= order[None, :])
        return Batch(
            self,
            np.stack(frames),
            ids,
            positions,
            targets,
            rows,
            own,
            torch.tensor(marks.looks, dtype=torch.long).view(-1, 2),
            torch.stack(marks.wanted) if marks.wanted else torch.zeros(0, self.cells),
            torch.tensor(marks.spelled, dtype=torch.long).view(-1, 3),
            torch.tensor(marks.named, dtype=torch.long).view(-1, 3),
            torch.tensor(marks.recalled, dtype=torch.long).view(-1, 3),
            torch.tensor(marks.copied, dtype=torch.long).view(-1, 3),
            torch.tensor(marks.acted, dtype=torch.long).view(-1, 2),
            torch.tensor(marks.read, dtype=torch.long).view(-1, 2),
            torch.tensor(marks.stand, dtype=torch.long).view(-1, 2),
            torch.tensor(marks.points, dtype=torch.long).view(-1, 2),
            torch.tensor(marks.spots, dtype=torch.long).view(-1, 2),
            torch.from_numpy(np.stack(characters)),
        )

    def _fill(self, asked: Sequence[Question], blocks: int | None) -> list[list[Asked]]:
        """Questions, in their order, into the first block that has room."""
        filled: list[list[Asked]] = []
        room: list[int] = []
        for question in asked:
            prompt, said = self.prompt(question.goal), self.tokenizer.encode(reply(question))
            length = len(prompt) + len(said)
            if length > BLOCK and blocks is None:
                raise UsageError(f"a question of {length} tokens is longer than a block of {BLOCK}: {question.goal!r}")
            place = next((n for n, left in enumerate(room) if left >= length), len(room))
            if place == len(room):
                if blocks is not None and (place >= blocks or length > BLOCK):
                    continue
                filled.append([])
                room.append(BLOCK)
            filled[place].append((question, prompt, said))
            room[place] -= length
        return filled

    def _mark(self, marks: Marks, question: Question, prompt: list[int], said: list[int], row: int, at: int) -> None:
        """What the helpers ask of a question whose first token stands at a place of a row."""
        start = at + len(prompt)
        gaze = self._looking(said, start)
        points = "coordinate" in question.answer
        if question.box is not None and gaze:
            first = gaze[:1] if points else gaze  # behind it the rest of a coordinate is easy
            marks.looks += [(row, token) for token in first]
            marks.wanted += [self._share(question.box)] * len(first)
        if question.letters and len(question.letters) == len(gaze):
            cells = [self._cell(x, y) for x, y in question.letters]
            marks.spelled += [(row, token, cell) for token, cell in zip(gaze, cells, strict=True)]
            marks.read += [(row, token) for token in gaze]
            marks.stand += [(int(x), int(y)) for x, y in question.letters]
            marks.named += [(row, token + 1, cell) for token, cell in zip(gaze, cells, strict=True)]
        found = [(row, at + token, cell) for token, cell in self._standing(question, prompt, question.named)]
        marks.named += found
        marks.named += [(row, at + token, cell) for token, cell in self._standing(question, prompt, question.mentioned)]
        if found and points:
            marks.recalled += [(row, token, found[-1][1]) for token in gaze]
        marks.copied += [(row, start + a, at + b) for a, b in self._copied(question, prompt, said)]
        if question.decides:
            marks.acted += [(row, start + token) for token in self.deciding(said)]
        if points:
            marks.points += [(row, token) for token in gaze]
            marks.spots += [question.answer["coordinate"]] * len(gaze)

    def deciding(self, said: list[int]) -> list[int]:
        """Of an answer: the places of the tokens before the name of the action, the first key, and the coordinate's."""
        if self.action not in said:
            return []
        first = [said.index(one) for one in (self.action, self.keys) if one in said]
        return [*first, *(self._looking(said, 0) if self.coordinate in said else ())]

    def _looking(self, said: list[int], start: int) -> range:
        """Tokens that should look at the target: of a coordinate, from the one that opens it to its last digit; of an
        answer in words, from the one before its first to the one before its end."""
        if self.coordinate not in said:
            return range(start - 1, start + len(said) - 2)
        first = said.index(self.coordinate)
        last = first
        while said[last + 1] in self.inside:
            last += 1
        return range(start + first, start + last)

    def _copied(self, question: Question, prompt: list[int], said: list[int]) -> list[tuple[int, int]]:
        """For a text to be typed that stands in the question: the token of the answer before each of its tokens and
        before its end (-1 is the prompt's last), and the place of that token in the prompt."""
        text = question.answer.get("text", "")
        if not text or text not in question.goal or self.text not in said:
            return []
        before = question.goal.partition(text)[0]
        first, tokens = len(self.tokenizer.encode(before)), self.tokenizer.encode(text)
        place = said.index(self.text) + 1
        if prompt[first : first + len(tokens)] != tokens or said[place : place + len(tokens)] != tokens:
            return []  # a phrase of the vocabulary reaches into the text
        return [(place - 1 + k, first + k) for k in range(len(tokens) + 1)]

    def _cell(self, x: float, y: float) -> int:
        return int(y // 28) * self.cells_w + int(x // 28)

    def _standing(
        self, question: Question, prompt: list[int], characters: Sequence[tuple[int, float, float]]
    ) -> list[tuple[int, int]]:
        """For characters of a goal (offset in it, x, y): the token of each, and the cell where it stands. Those that
        are no token by themselves, as in the vocabulary's phrases, are left out."""
        standing = []
        starts = self._starts(question.goal) if characters else {}
        for offset, x, y in characters:
            token = starts.get(offset)
            if token is not None and prompt[token] == self.tokenizer.encode(question.goal[offset])[0]:
                standing.append((token, self._cell(x, y)))
        return standing

    def _starts(self, goal: str) -> dict[int, int]:
        """Which token begins at which character of a goal; of a goal with letters of several bytes it is not known."""
        starts, offset = dict[int, int](), 0
        if not goal.isascii():
            return starts
        for number, token in enumerate(self.tokenizer.encode(goal)):
            starts[offset] = number
            offset += len(self.tokenizer.decode([token]))
        return starts

    def _share(self, box: Box) -> Tensor:
        """How much of a box (x, y, width, height in pixels) lies in each cell, summing to one."""
        x, y, w, h = box
        left = torch.arange(self.cells_w) * 28.0
        top = torch.arange(self.cells_h) * 28.0
        across = (torch.minimum(left + 28, torch.tensor(x + w)) - left.clamp(min=x)).clamp(min=0)
        down = (torch.minimum(top + 28, torch.tensor(y + h)) - top.clamp(min=y)).clamp(min=0)
        area = (down[:, None] * across[None, :]).reshape(-1)
        return area / area.sum().clamp(min=1e-6)


def decode(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """PNG bytes -> uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
