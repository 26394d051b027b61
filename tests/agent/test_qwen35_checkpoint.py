"""A tiny Qwen3.5 from its folder to valid actions: dialect, prompt, grammar and reused contexts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import qwen35_parity
from helpers.growing_context import cold_logits

from actions import Screen
from agent.policies.factory import load_local_policy
from model.chat_model import load_chat
from model.checkpoints.detect_dialect import detect_dialect

VERBS = frozenset({"click", "type", "scroll"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint."""
    path = tmp_path_factory.mktemp("qwen35")
    qwen35_parity.write_chat_folder(path)
    return path


def screen(seed: int = 0, width: int = 320, height: int = 256) -> Screen:
    return Screen(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_default_dialect_calls_in_xml(folder: Path) -> None:
    assert detect_dialect(folder).require() == "qwen35"
    policy = load_local_policy(str(folder), device="cpu", dtype="float32")
    assert policy.metadata["dialect"] == "qwen35"
    assert "<function=computer_use>" in policy.decide("press the button", [], screen(), VERBS).text


@pytest.mark.parametrize("dtype", ["float32", "int8", "int4"])
def test_policy_replies_with_valid_actions(folder: Path, dtype: str) -> None:
    policy, image = load_local_policy(str(folder), device="cpu", dtype=dtype), screen()
    reply = policy.decide("press the button", [], image, VERBS)
    actions = policy.to_actions(policy.parse(reply), image)
    assert actions
    for point in (point for action in actions for point in action.points()):
        assert 0 <= point.x < image.width
        assert 0 <= point.y < image.height


def test_reused_context_equals_cold_pass(folder: Path) -> None:
    """Screens come and go over seven replies; the logits after each are those of a pass over the whole prompt."""
    chat = load_chat(folder, "cpu")
    content: list[dict[str, object]] = []
    reused: list[int] = []
    for step in range(7):
        content += [{"type": "image", "image": screen(step % 3)}, {"type": "text", "text": f"and {step}?"}]
        messages = [{"role": "user", "content": content[-6:]}]
        chat.reply(messages, max_new_tokens=1)
        assert chat.stats is not None
        reused.append(chat.stats.reused)
        assert chat.stats.encoded == (step < 3)  # else the vision cache has it
        prompt = chat.render(messages)
        warm = chat.model.logits(chat.session.append([step]))[0]
        cold = cold_logits(chat, replace(prompt, input_ids=[*prompt.input_ids, step]))
        assert float((warm - cold).abs().max()) < 1e-4
        assert float(cold.std()) > 0.2
    assert reused[0] == 0
    assert reused[3] < reused[1] < reused[2]  # the window has moved: only the text before its first screen is equal
    assert all(count == reused[3] > 0 for count in reused[3:])
