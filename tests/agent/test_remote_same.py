"""The same checkpoint in process and behind servers, ours and one that we did not write: the same actions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.mark.slow
def test_transformers_serve_says_the_same(local: Any) -> None:
    """A server that we did not write; it needs transformers[serving] and, for this family, torchvision."""
    address = os.environ.get("TRANSFORMERS_SERVE_URL", "")
    if not address:
        pytest.skip(
            "no `transformers serve` is named: start `transformers serve model/embedded --dtype float32` and set "
            "TRANSFORMERS_SERVE_URL to http://HOST:PORT/v1"
        )
    folder = ROOT / "model" / "embedded"
    policy = remote_policy(f"{address}?files={folder}#{folder}")
    try:
        same(local, policy)
    finally:
        policy.close()
