"""Compare a model in process with the same model behind a server, and start servers of other projects."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from actions import ACTION_TYPES, UsageError
from agent.loop import run
from agent.policies.remote.probe import GOAL, render_button_page
from envs.chromium.executable import find_chrome
from envs.miniwob.pages import EVAL_SEED_START
from helpers.eventually import eventually
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

EMBEDDED = Path(__file__).parents[2] / "model" / "embedded"
PLACES = ((0.30, 0.42), (0.72, 0.80), (0.50, 0.60), (0.75, 0.36))
START_TIMEOUT_S = 600.0  # of a server that imports all of transformers on a busy machine


def assert_same_replies(local: Any, remote: Any, *, parses_calls: bool = False) -> None:
    """Compare replies and actions on several pages.

    Args:
        local: The policy in process.
        remote: The policy of the server.
        parses_calls: The server parses tool calls and fails on malformed ones, which are skipped.
    """
    compared = set()
    for place in PLACES:
        screen, _ = render_button_page((280, 364), place)
        local_reply = local.decide(GOAL, (), screen, frozenset(ACTION_TYPES))
        if parses_calls and not is_json(local_reply.text):
            continue
        remote_reply = remote.decide(GOAL, (), screen, frozenset(ACTION_TYPES))
        assert local_reply.text == remote_reply.text
        assert local_reply.prompt_tokens == remote_reply.prompt_tokens
        assert local.to_actions(local.parse(local_reply), screen) == remote.to_actions(
            remote.parse(remote_reply), screen
        )
        compared.add(local_reply.text)
    assert len(compared) >= 2  # the replies depend on the images


def assert_same_steps(local: Any, remote: Any, tasks: list[str], seeds: int, *, parses_calls: bool = False) -> None:
    """Compare runs on practice pages step by step.

    Args:
        local: The policy in process.
        remote: The policy of the server.
        tasks: The practice tasks.
        seeds: The number of seeds.
        parses_calls: The server parses tool calls and fails on malformed ones; runs are compared up to the first.
    """
    from envs.miniwob.env import miniwob_env

    require_chrome()
    for task in tasks:
        env = miniwob_env(task)
        try:
            for seed in range(EVAL_SEED_START + 700, EVAL_SEED_START + 700 + seeds):
                runs = [run("", env, policy, max_steps=5, seed=seed) for policy in (local, remote)]
                traces = [[(step.reply.text, step.action) for step in episode.steps] for episode in runs]
                malformed = [n for n, step in enumerate(runs[0].steps) if not is_json(step.reply.text)]
                if parses_calls and malformed:
                    traces = [steps[: malformed[0]] for steps in traces]
                assert traces[0] == traces[1]
                assert traces[0] or malformed
                assert (parses_calls and malformed) or runs[0].reward == runs[1].reward
        finally:
            env.close()


def is_json(reply: str) -> bool:
    try:
        json.loads(reply.partition(CALL_OPEN)[2].partition(CALL_CLOSE)[0])
    except ValueError:
        return False
    return True


def require_chrome() -> None:
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")


def copy_unconstrained_checkpoint(folder: Path) -> Path:
    """Copy the embedded checkpoint with its grammar off, as these servers do not constrain replies."""
    shutil.copytree(EMBEDDED, folder)
    settings = json.loads((folder / "pixelhand.json").read_text())
    (folder / "pixelhand.json").write_text(json.dumps(settings | {"grammar": False}))
    return folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def serving(command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a server, wait until it is healthy, and yield its address; its output goes to a file in the folder."""
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **(environ or {})})
    try:

        def is_healthy() -> bool:
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_healthy, START_TIMEOUT_S, interval_s=0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)
