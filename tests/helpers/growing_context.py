"""Episodes of random screens, and the cold forward pass that a warm one must equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actions import Call, Reply, Screen, Step
from agent.history_window import HistoryWindow
from model.chat_model import ChatModel, Prompt
from model.processing.image import patchify


@dataclass(frozen=True)
class Turn:
    """The prompt of one step."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]


def screens(seed: int, steps: int) -> list[Screen]:
    """Return screens that change a little, repeat, come back later, or change their size."""
    rng = np.random.default_rng(seed)
    sizes = [(84, 112), (84, 112), (56, 84), (90, 100)]
    result = [Screen(rng.integers(0, 256, (*sizes[0], 3), dtype=np.uint8))]
    while len(result) < steps:
        kind = rng.integers(0, 4)
        if kind == 0:
            result.append(result[-1])
        elif kind == 1:
            result.append(result[int(rng.integers(0, len(result)))])
        elif kind == 2:
            pixels = result[-1].pixels.copy()
            pixels[5:9, 5:9] = rng.integers(0, 256)
            result.append(Screen(pixels))
        else:
            result.append(Screen(rng.integers(0, 256, (*sizes[rng.integers(0, len(sizes))], 3), dtype=np.uint8)))
    return result


def episode(chat: ChatModel, seed: int, steps: int, window: HistoryWindow) -> Iterator[tuple[Turn, list[str]]]:
    """Yield the turns of an episode in the qwen25 dialect; the caller appends the reply to each turn's list."""
    from model.dialects.qwen25 import Dialect

    dialect = Dialect(chat.limits)
    past_steps: list[Step] = []
    for index, screen in enumerate(screens(seed, steps), start=1):
        conversation = dialect.conversation(
            "Book it.", window.select(past_steps), screen, frozenset({"click", "type", "scroll"})
        )
        reply_texts: list[str] = []
        yield Turn(conversation.messages, conversation.tools), reply_texts
        call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
        past_steps.append(
            Step(index, screen, Reply(reply_texts[0]), call, notice="Nothing moved." if index % 3 == 0 else "")
        )


def cold_logits(chat: ChatModel, prompt: Prompt) -> Tensor:
    """Return logits [V] after a prompt, from a forward pass over all of it, with both time slices of each image."""
    patchified = [patchify(screen.pixels, chat.limits) for screen in prompt.screens]
    with torch.inference_mode():
        logits = chat.model(
            torch.tensor([prompt.input_ids]),
            pixel_values=torch.cat([patches for patches, _ in patchified]),
            image_grid_thw=[grid for _, grid in patchified],
        )
    return logits[0, -1]
