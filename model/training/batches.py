"""Samples -> tensors. One picture is encoded once and asked several questions, each blind to the others.

A row is: the prompt's head with the picture, then the questions one after the other, each with its answer. A mask lets
a question see the head and itself; its positions begin where the head ends. So every question is exactly the prompt
that the agent will send, and the picture's cost is shared.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.config import Config
from model.rope import position_ids
from model.tokenizer import Tokenizer
from model.training.store import Box, Question

PAD = "<|image_pad|>"
COORDINATE = '", "coordinate": ['
TEXT = '", "text": "'
TOOLS = ({"type": "function", "function": {"name": "computer_use"}},)


def reply(question: Question) -> str:
    """The words that answer a question, as the dialect writes them, up to the end of the turn."""
    if "say" in question.answer:
        return f"{question.answer['say']}<|im_end|>"
    call = json.dumps({"name": "computer_use", "arguments": dict(question.answer)}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call><|im_end|>"


@dataclass(frozen=True)
class Batch:
    """B pictures and their questions.

    frames [B, H, W, 3] uint8; ids, positions, targets, mask of the packed rows; target -100 where nothing is asked.
    looks: rows of (picture, token) where a token stands that should look at the answer's box: the one that opens a
    coordinate, and each before a character that is read; wanted [looks, cells]: the share of that box in each cell.
    named: rows of (picture, token, cell): a character that the question names, or that was read, and its cell.
    recalled: rows of (picture, token, earlier token): the tokens of a coordinate, and the last character that its
    question names. copied: rows of (picture, token, earlier token): the token before one of a text that stands in the
    question, and where it stands there. read: rows of (picture, token): the token before a character that is read;
    stand [read, 2]: that character's middle, x and y in pixels; spelled: rows of (picture, token, cell): the same
    tokens, and its cell. points: rows of (picture, token) of coordinates; spots [points, 2]: the answer's point, x and
    y in pixels. characters [B, cells, places]: see visual.py.
    """

    frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    looks: Tensor
    wanted: Tensor
    spelled: Tensor
    named: Tensor
    recalled: Tensor
    copied: Tensor
    read: Tensor
    stand: Tensor
    points: Tensor
    spots: Tensor
    characters: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        tensors: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)


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
        self.coordinate, self.text = tokenizer.id(COORDINATE), tokenizer.id(TEXT)
        self.inside = {*(tokenizer.encode(digit)[0] for digit in "0123456789"), tokenizer.encode(", ")[0]}

    def prompt(self, goal: str) -> list[int]:
        """The ids after the head, up to where the answer begins."""
        return self.tokenizer.encode(goal + self.after)

    def pack(
        self,
        frames: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]],
        questions: Sequence[Sequence[Question]],
        characters: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
    ) -> Batch:
        """One batch of frames, the questions of each, and the classes of its characters."""
        rows: list[list[int]] = []
        targets: list[list[int]] = []
        segments: list[list[int]] = []
        places: list[list[int]] = []
        looks: list[tuple[int, int]] = []
        wanted: list[Tensor] = []
        spelled: list[tuple[int, int, int]] = []
        named: list[tuple[int, int, int]] = []
        recalled: list[tuple[int, int, int]] = []
        copied: list[tuple[int, int, int]] = []
        read: list[tuple[int, int]] = []
        stand: list[tuple[int, int]] = []
        points: list[tuple[int, int]] = []
        spots: list[Sequence[int]] = []
        for row, asked in enumerate(questions):
            ids, goal_of = list(self.head), [-100] * len(self.head)
            segment, place = [0] * len(ids), list(range(len(ids)))
            for number, question in enumerate(asked, start=1):
                prompt, said = self.prompt(question.goal), self.tokenizer.encode(reply(question))
                start = len(ids) + len(prompt)
                gaze = self._looking(said, start)
                if question.box is not None and gaze:
                    first = gaze[:1] if "coordinate" in question.answer else gaze  # behind it the rest is easy
                    looks += [(row, token) for token in first]
                    wanted += [self._share(question.box)] * len(first)
                if question.letters and len(question.letters) == len(gaze):
                    cells = [self._cell(x, y) for x, y in question.letters]
                    spelled += [(row, token, cell) for token, cell in zip(gaze, cells, strict=True)]
                    read += [(row, token) for token in gaze]
                    stand += [(int(x), int(y)) for x, y in question.letters]
                    named += [(row, token + 1, cell) for token, cell in zip(gaze, cells, strict=True)]
                found = [(row, len(ids) + token, cell) for token, cell in self._named(question, prompt)]
                named += found
                if found and "coordinate" in question.answer:
                    recalled += [(row, token, found[-1][1]) for token in gaze]
                copied += [(row, start + a, len(ids) + b) for a, b in self._copied(question, prompt, said)]
                if "coordinate" in question.answer:
                    points += [(row, token) for token in gaze]
                    spots += [question.answer["coordinate"]] * len(gaze)
                ids += prompt + said
                # each position predicts the next token; the first of the reply is predicted by the prompt's last
                goal_of += [-100] * (len(prompt) - 1) + said + [-100]
                segment += [number] * (len(prompt) + len(said))
                place += range(len(prompt) + len(said))
            rows.append(ids)
            targets.append(goal_of)
            segments.append(segment)
            places.append(place)
        length = max(len(row) for row in rows)
        pad = self.tokenizer.id("<|endoftext|>")
        ids_ = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
        segment_ = torch.tensor([row + [-1] * (length - len(row)) for row in segments])
        place_ = torch.tensor([row + [0] * (length - len(row)) for row in places])
        positions = (place_ + self.next_position).expand(3, -1, -1).clone()
        positions[:, :, : len(self.head)] = self.head_positions
        order = torch.arange(length)
        earlier = order[:, None] >= order[None, :]
        mask = earlier & ((segment_[:, None, :] == 0) | (segment_[:, None, :] == segment_[:, :, None]))
        return Batch(
            np.stack(frames),
            ids_,
            positions,
            mask[:, None],
            torch.tensor([row + [-100] * (length - len(row)) for row in targets]),
            torch.tensor(looks, dtype=torch.long).view(-1, 2),
            torch.stack(wanted) if wanted else torch.zeros(0, self.cells),
            torch.tensor(spelled, dtype=torch.long).view(-1, 3),
            torch.tensor(named, dtype=torch.long).view(-1, 3),
            torch.tensor(recalled, dtype=torch.long).view(-1, 3),
            torch.tensor(copied, dtype=torch.long).view(-1, 3),
            torch.tensor(read, dtype=torch.long).view(-1, 2),
            torch.tensor(stand, dtype=torch.long).view(-1, 2),
            torch.tensor(points, dtype=torch.long).view(-1, 2),
            torch.tensor(spots, dtype=torch.long).view(-1, 2),
            torch.from_numpy(np.stack(characters)),
        )

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

    def _named(self, question: Question, prompt: list[int]) -> list[tuple[int, int]]:
        """For a question that names a text of the screen: the token of each of its characters, and the cell where it
        stands."""
        if not question.named:
            return []
        start, end = question.named[0][0], question.named[-1][0] + 1
        first, tokens = (
            len(self.tokenizer.encode(question.goal[:start])),
            self.tokenizer.encode(question.goal[start:end]),
        )
        if len(tokens) != end - start or prompt[first : first + len(tokens)] != tokens:
            return []  # a phrase of the vocabulary reaches into the text
        return [(first + offset - start, self._cell(x, y)) for offset, x, y in question.named]

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
