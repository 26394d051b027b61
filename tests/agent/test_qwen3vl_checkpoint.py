"""A tiny Qwen3-VL from its folder to a click: policy, prompt, grammar and `agent run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import qwen3_parity
from helpers.command import Agent, last_run
from helpers.growing_context import cold_logits

from actions import Click, Screen
from agent.policies.factory import load_local_policy
from agent.trace import read_trace
from model.chat_model import load_chat
from model.checkpoints.detect_dialect import detect_dialect

VERBS = frozenset({"click", "type", "scroll"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen3vl")
    qwen3_parity.write_chat_folder(path)
    return path


def screen(seed: int = 0, width: int = 320, height: int = 256) -> Screen:
    return Screen(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_dialect_is_detected_by_model_type(folder: Path) -> None:
    match = detect_dialect(folder)
    assert match.require() == "qwen3vl"
    assert "qwen3_vl" in match.reason
    assert not match.certain


@pytest.mark.parametrize("dtype", ["float32", "int8", "int4"])
def test_policy_replies_with_valid_actions(folder: Path, dtype: str) -> None:
    policy, image = load_local_policy(str(folder), device="cpu", dtype=dtype), screen()
    assert policy.metadata["dialect"] == "qwen3vl"
    reply = policy.decide("press the button", [], image, VERBS)
    for action in policy.to_actions(policy.parse(reply), image):
        assert action.verb in {*VERBS, "wait", "done", "move", "drag", "press", "answer"}
        for point in action.points():
            assert 0 <= point.x < image.width
            assert 0 <= point.y < image.height
    click = policy.locate("the button", image)
    assert isinstance(click, Click)
    assert 0 <= click.x < image.width


def test_unsupported_architecture_is_named_before_dialect(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "glm4v"}')
    (tmp_path / "model.safetensors").touch()
    code, _, err = agent("run", "x", "--url", "miniwob:click-test", "--model", str(tmp_path))
    assert code == 2
    assert "'glm4v' is not supported; supported are 'qwen2_5_vl' (Qwen2.5-VL)" in err
    assert "'qwen3_vl' (Qwen3-VL)" in err
    assert "Traceback" not in err


def test_images_have_patches_of_16_pixels(folder: Path) -> None:
    chat, image = load_chat(folder, "cpu"), screen(width=333, height=222)
    content = [{"type": "image", "image": image}, {"type": "text", "text": "what is it?"}]
    prompt = chat.render([{"role": "user", "content": content}])
    assert prompt.input_ids.count(chat.model.config.image_token_id) == 10 * 7  # of 320 x 224 pixels


def test_reused_context_equals_cold_pass(folder: Path) -> None:
    """Screens come and go over six replies; the logits after each are those of a pass over the whole prompt."""
    chat = load_chat(folder, "cpu")
    content: list[dict[str, object]] = []
    for step in range(6):
        content += [{"type": "image", "image": screen(step % 3)}, {"type": "text", "text": f"and {step}?"}]
        messages = [{"role": "user", "content": content[-6:]}]
        chat.reply(messages, max_new_tokens=1)
        assert chat.stats is not None
        assert (chat.stats.reused > 0) == (step > 0)
        assert chat.stats.encoded == (step < 3)  # else the vision cache has it
        prompt = chat.render(messages)
        warm = chat.model.logits(chat.session.append([step]))[0]
        cold = cold_logits(chat, replace(prompt, input_ids=[*prompt.input_ids, step]))
        assert float((warm - cold).abs().max()) < 1e-4
        assert float(cold.std()) > 0.2


@pytest.mark.usefixtures("chromium")
def test_agent_run_on_practice_page(folder: Path, agent: Agent, tmp_path: Path) -> None:
    code, _, err = agent(
        "run", "", "--url", "miniwob:click-test", "--model", str(folder), "--max-steps", "2", "--device", "cpu"
    )
    assert "Traceback" not in err
    assert code in (0, 1, 4), err  # the reward of random clicks, or the steps ran out
    trace = read_trace(last_run(tmp_path))
    assert trace.manifest["policy"]["dialect"] == "qwen3vl"
    results = [event for event in trace.events if event["event"] == "act.result"]
    assert results
    assert all(event["action"] for event in results)
    assert trace.events[-1]["prompt_tokens"] > 300
