"""Episodes of invented screens, and the cold pass that every warm one must equal. No test in here."""

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
    """What the model is shown at one step."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]


def screens(seed: int, steps: int) -> list[Screen]:
    """Screens that change a little, stay as they are, come back, and sometimes change their size."""
    rng = np.random.default_rng(seed)
    sizes = [(84, 112), (84, 112), (56, 84), (90, 100)]
    shown = [Screen(rng.integers(0, 256, (*sizes[0], 3), dtype=np.uint8))]
    while len(shown) < steps:
        kind = rng.integers(0, 4)
        if kind == 0:
            shown.append(shown[-1])
        elif kind == 1:
            shown.append(shown[int(rng.integers(0, len(shown)))])
        elif kind == 2:
            pixels = shown[-1].pixels.copy()
            pixels[5:9, 5:9] = rng.integers(0, 256)
            shown.append(Screen(pixels))
        else:
            shown.append(Screen(rng.integers(0, 256, (*sizes[rng.integers(0, len(sizes))], 3), dtype=np.uint8)))
    return shown


def episode(chat: ChatModel, seed: int, steps: int, memory: HistoryWindow) -> Iterator[tuple[Turn, list[str]]]:
    """Turns of a whole episode in the qwen25 dialect. Whoever iterates puts the model's words into the list."""
    from model.dialects.qwen25 import Dialect

    dialect = Dialect(chat.limits)
    done: list[Step] = []
    for index, screen in enumerate(screens(seed, steps), start=1):
        talk = dialect.conversation("Book it.", memory.select(done), screen, frozenset({"click", "type", "scroll"}))
        words: list[str] = []
        yield Turn(talk.messages, talk.tools), words
        call = Call("computer_use", {"action": "left_click", "coordinate": [3, 4]})
        done.append(Step(index, screen, Reply(words[0]), call, notice="Nothing moved." if index % 3 == 0 else ""))


def cold_logits(chat: ChatModel, prompt: Prompt) -> Tensor:
    """[V] after a prompt, by the plain forward pass over all of it, pictures with both time slices."""
    shown = [patchify(screen.pixels, chat.limits) for screen in prompt.screens]
    with torch.inference_mode():
        whole = chat.model(
            torch.tensor([prompt.input_ids]),
            pixel_values=torch.cat([patches for patches, _ in shown]),
            image_grid_thw=[grid for _, grid in shown],
        )
    return whole[0, -1]
