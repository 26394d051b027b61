"""Samples -> tensors. One picture is encoded once and asked several questions, each blind to the others.

A row is: the prompt's head with the picture, then the questions one after the other, each with its answer. A mask lets
a question see the head and itself; its positions begin where the head ends. So every question is exactly the prompt
that the agent will send, and the picture's cost is shared.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.config import Config
from model.image import frames_to_patches
from model.rope import position_ids
from model.tokenizer import Tokenizer
from model.training.render import Question, Sample

PAD = "<|image_pad|>"
SLOTS = 6  # characters named in one merged cell: two lines of three
CHARACTERS = [chr(code) for code in range(33, 127)]  # class 0 is "none", the last "another"
CLASSES = len(CHARACTERS) + 2
COORDINATE = '", "coordinate": ['
TOOLS = ({"type": "function", "function": {"name": "computer_use"}},)


def answer(question: Question) -> str:
    """The call that solves a question, as the dialect writes it."""
    arguments = {"action": "left_click", "coordinate": [question.x, question.y]}
    call = json.dumps({"name": "computer_use", "arguments": arguments})
    return f"<tool_call>\n{call}\n</tool_call><|im_end|>"


@dataclass(frozen=True)
class Batch:
    """B pictures and their questions.

    patches [B * N, 1176]; grid (B, h, w) as if a video, for frames are encoded apart; ids, positions, targets, mask of
    the packed rows; target -100 where nothing is asked. looks: rows of (picture, token, question) where a token that
    begins or continues a coordinate stands; wanted [looks, cells]: the share of the answer's box in each cell; spots
    [looks, 2]: the answer's point, x and y in pixels.
    characters [B, cells, SLOTS]: classes.
    """

    patches: Tensor
    grid: tuple[int, int, int]
    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    looks: Tensor
    wanted: Tensor
    spots: Tensor
    characters: Tensor


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
        self.coordinate = tokenizer.id(COORDINATE)

    def pack(self, samples: Sequence[Sample], limit: int, rng: random.Random) -> Batch:
        """A batch with at most `limit` questions to a picture."""
        rows: list[list[int]] = []
        targets: list[list[int]] = []
        segments: list[list[int]] = []
        places: list[list[int]] = []
        looks: list[tuple[int, int]] = []
        wanted: list[Tensor] = []
        spots: list[tuple[int, int]] = []
        for row, sample in enumerate(samples):
            ids, goal_of = list(self.head), [-100] * len(self.head)
            segment, place = [0] * len(ids), list(range(len(ids)))
            asked = list(sample.questions)
            rng.shuffle(asked)
            for number, question in enumerate(asked[:limit], start=1):
                prompt = self.tokenizer.encode(question.goal + self.after)
                reply = self.tokenizer.encode(answer(question))
                start = len(ids) + len(prompt)
                coordinate = start + reply.index(self.coordinate)
                # from the token that opens the coordinate to the last digit, every token should look at the target
                digits = range(coordinate, start + len(reply) - 3)
                looks += [(row, token) for token in digits]
                wanted += [self._share(question.box)] * len(digits)
                spots += [(question.x, question.y)] * len(digits)
                ids += prompt + reply
                # each position predicts the next token; the first of the reply is predicted by the prompt's last
                goal_of += [-100] * (len(prompt) - 1) + reply + [-100]
                segment += [number] * (len(prompt) + len(reply))
                place += range(len(prompt) + len(reply))
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
        frames = np.stack([decode(sample.png) for sample in samples])
        # a still picture fills both time slices: each frame twice in a row
        patches, grid = frames_to_patches(np.repeat(frames, 2, axis=0))
        return Batch(
            patches,
            grid,
            ids_,
            positions,
            mask[:, None],
            torch.tensor([row + [-100] * (length - len(row)) for row in targets]),
            torch.tensor(looks, dtype=torch.long).view(-1, 2),
            torch.stack(wanted) if wanted else torch.zeros(0, self.cells),
            torch.tensor(spots, dtype=torch.long).view(-1, 2),
            torch.tensor(np.stack([self._characters(sample) for sample in samples])),
        )

    def _share(self, box: tuple[float, float, float, float]) -> Tensor:
        """How much of a box (x, y, width, height in pixels) lies in each cell, summing to one."""
        x, y, w, h = box
        left = torch.arange(self.cells_w) * 28.0
        top = torch.arange(self.cells_h) * 28.0
        across = (torch.minimum(left + 28, torch.tensor(x + w)) - left.clamp(min=x)).clamp(min=0)
        down = (torch.minimum(top + 28, torch.tensor(y + h)) - top.clamp(min=y)).clamp(min=0)
        area = (down[:, None] * across[None, :]).reshape(-1)
        return area / area.sum().clamp(min=1e-6)

    def _characters(self, sample: Sample) -> np.ndarray:
        """Classes [cells, SLOTS] of the characters whose middles lie in each cell, in reading order."""
        found = np.zeros((self.cells, SLOTS), dtype=np.int64)
        filled = np.zeros(self.cells, dtype=np.int64)
        for character, x, y in sample.characters:  # the page gives them line by line
            cell = int(y // 28) * self.cells_w + int(x // 28)
            if filled[cell] < SLOTS:
                code = ord(character) - 33
                found[cell, filled[cell]] = code + 1 if 0 <= code < len(CHARACTERS) else CLASSES - 1
                filled[cell] += 1
        return found


def decode(png: bytes) -> np.ndarray:
    """PNG bytes -> uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
