"""The same checkpoint in process and behind servers, ours and one that we did not write: the same actions."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("starlette", reason="the package starlette is missing (extra [serve])")
pytest.importorskip("uvicorn", reason="the package uvicorn is missing (extra [serve])")

from actions import VERBS, UsageError
from agent.launch import local_policy
from agent.loop import run
from agent.policy import Policy
from agent.remote import remote_policy
from agent.remote_check import GOAL, page
from envs.chromium.find import find_chrome
from envs.practice import HELD_OUT

ROOT = Path(__file__).parent.parent.parent
PLACES = ((0.30, 0.42), (0.72, 0.80), (0.50, 0.60), (0.75, 0.36))
TOKEN = "a-token-of-this-test"
START_S = 300.0  # of a server that imports all of transformers, on a machine that does other things too


@pytest.fixture(scope="module")
def local() -> Iterator[Policy]:
    policy = local_policy("embedded")
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """`agent serve` with the embedded model, as a process of its own; its address."""
    line = [sys.executable, "-m", "agent", "serve", "--port", "0"]
    environment = {**os.environ, "PIXELHAND_API_KEY": TOKEN}
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
    assert found is not None
    yield f"{found[0]}#embedded"
    process.terminate()
    process.wait(30)


@pytest.fixture
def remote(served: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("PIXELHAND_API_KEY", TOKEN)
    policy = remote_policy(served)
    yield policy
    policy.close()


def same(local: Any, remote: Any, places: Any = PLACES) -> None:
    for place in places:
        screen, target = page((280, 364), place)
        replies = [policy.decide(GOAL, (), screen, frozenset(VERBS)) for policy in (local, remote)]
        assert replies[0].text == replies[1].text
        actions = [
            policy.actions(policy.parse(one), screen) for policy, one in zip((local, remote), replies, strict=True)
        ]
        assert actions[0] == actions[1] and abs(actions[0][0].x - target[0]) <= 35


def test_our_server_is_asked_as_in_process_and_says_the_same(local: Any, remote: Any) -> None:
    same(local, remote)
    about, own = remote.about, local.about
    assert "sees pictures and keeps coordinates" in about["checked"]
    for key in ("fingerprint", "dialect", "tool", "history", "prompt_hash", "history_steps", "pictures"):
        assert about[key] == own[key], key


def test_a_wrong_token_is_the_persons_to_mend(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELHAND_API_KEY", "another")
    with pytest.raises(UsageError, match="PIXELHAND_API_KEY"):
        remote_policy(served)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["click-test", "click-dialog", "focus-text", "click-tab"])
def test_a_run_on_a_practice_page_takes_the_same_steps(local: Any, remote: Any, task: str) -> None:
    from envs.live import practice_env

    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    env = practice_env(task)
    try:
        for seed in range(HELD_OUT + 700, HELD_OUT + 704):
            runs = [run("", env, policy, max_steps=5, seed=seed) for policy in (local, remote)]
            told = [[(step.reply.text, step.action) for step in one.steps] for one in runs]
            assert told[0] == told[1] and runs[0].reward == runs[1].reward
    finally:
        env.close()


def without_video(folder: Path) -> None:
    """The embedded checkpoint with a processor of transformers' own that takes pictures and no videos.

    Qwen2.5-VL's processor needs torchvision for its videos; PaddleOCRVLProcessor lays out the same placeholders for the
    same picture processor, and needs nothing more. The server's code is as its authors wrote it.
    """
    source = ROOT / "model" / "embedded"
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        (folder / name).write_bytes((source / name).read_bytes())
    processor = {"processor_class": "PaddleOCRVLProcessor"}
    pictures = json.loads((source / "preprocessor_config.json").read_text()) | processor
    words = json.loads((source / "tokenizer_config.json").read_text()) | processor
    words["extra_special_tokens"] = {"image_token": "<|image_pad|>"}
    for name, data in (
        ("preprocessor_config.json", pictures),
        ("tokenizer_config.json", words),
        ("processor_config.json", {**processor, "image_processor": pictures}),
    ):
        (folder / name).write_text(json.dumps(data))


@pytest.fixture
def transformers_serve(tmp_path: Path) -> Iterator[str]:
    """`transformers serve`, as a process of its own, or the one that TRANSFORMERS_SERVE_URL names; its address."""
    named = os.environ.get("TRANSFORMERS_SERVE_URL", "")
    if named:
        yield named
        return
    for package in ("fastapi", "accelerate", "openai"):
        pytest.importorskip(package, reason=f"the package {package} is missing, which `transformers serve` needs")
    without_video(tmp_path)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(tmp_path), "--device", "cpu"]
    command += ["--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    log, cache = tmp_path / "log", tmp_path / "cache"
    cache.mkdir()  # its list of models is that of the hub's cache, which must be there
    own = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **own})
    try:
        end = time.monotonic() + START_S
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1?files={ROOT / 'model' / 'embedded'}&structured=off&check=off#{tmp_path}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_transformers_serve_says_the_same(local: Any, transformers_serve: str) -> None:
    """A server that we did not write, and whose reader of calls fails at one that is cut off, as our check does it.

    It holds replies to no form, so in process they are not held either."""
    held, local.chat.settings = local.chat.settings, replace(local.chat.settings, grammar=False)
    policy = remote_policy(transformers_serve)
    try:
        same(local, policy)
    finally:
        policy.close()
        local.chat.settings = held
