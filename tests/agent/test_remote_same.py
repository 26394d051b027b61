"""The same checkpoint in process and behind servers, ours and one that we did not write: the same actions."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("starlette", reason="the package starlette is missing (extra [serve])")
pytest.importorskip("uvicorn", reason="the package uvicorn is missing (extra [serve])")

from actions import ACTION_TYPES, UsageError
from agent.loop import run
from agent.policies.base import Policy
from agent.policies.factory import load_local_policy
from agent.policies.remote.factory import load_remote_policy
from agent.policies.remote.probe import GOAL, render_button_page
from envs.chromium.executable import find_chrome
from envs.miniwob.pages import EVAL_SEED_START
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

ROOT = Path(__file__).parent.parent.parent
PLACES = ((0.30, 0.42), (0.72, 0.80), (0.50, 0.60), (0.75, 0.36))
TOKEN = "a-token-of-this-test"
WHOLE_S = 3000.0  # of a proof with the start of that server in it
START_S = 600.0  # of a server that imports all of transformers, on a machine that does other things too


@pytest.fixture(scope="module")
def local() -> Iterator[Policy]:
    policy = load_local_policy("embedded")
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
    policy = load_remote_policy(served)
    yield policy
    policy.close()


def same(local: Any, remote: Any, *, reads: bool = False) -> None:
    """reads: the server reads calls, and fails on those that are no JSON: these are left out."""
    compared = set()
    for place in PLACES:
        screen, _ = render_button_page((280, 364), place)
        said = local.decide(GOAL, (), screen, frozenset(ACTION_TYPES))
        if reads and not is_json(said.text):
            continue
        other = remote.decide(GOAL, (), screen, frozenset(ACTION_TYPES))
        assert said.text == other.text and said.prompt_tokens == other.prompt_tokens
        assert local.actions(local.parse(said), screen) == remote.actions(remote.parse(other), screen)
        compared.add(said.text)
    assert len(compared) >= 2  # other pictures, other words


def test_our_server_is_asked_as_in_process_and_says_the_same(local: Any, remote: Any) -> None:
    same(local, remote)
    about, own = remote.metadata, local.metadata
    assert "sees pictures and keeps coordinates" in about["checked"]
    for key in ("fingerprint", "dialect", "tool", "history", "prompt_hash", "history_steps", "pictures"):
        assert about[key] == own[key], key


def test_a_wrong_token_is_the_persons_to_mend(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELHAND_API_KEY", "another")
    with pytest.raises(UsageError, match="PIXELHAND_API_KEY"):
        load_remote_policy(served)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["click-test", "click-dialog", "focus-text", "click-tab"])
def test_a_run_on_a_practice_page_takes_the_same_steps(local: Any, remote: Any, task: str) -> None:
    same_steps(local, remote, [task], 4)


def same_steps(local: Any, remote: Any, tasks: list[str], seeds: int, *, reads: bool = False) -> None:
    """reads: the server reads calls, and fails on those that are no JSON: then nothing is compared from there on."""
    from envs.live import practice_env

    require_chrome()
    for task in tasks:
        env = practice_env(task)
        try:
            for seed in range(EVAL_SEED_START + 700, EVAL_SEED_START + 700 + seeds):
                runs = [run("", env, policy, max_steps=5, seed=seed) for policy in (local, remote)]
                told = [[(step.reply.text, step.action) for step in one.steps] for one in runs]
                odd = [n for n, step in enumerate(runs[0].steps) if not is_json(step.reply.text)]
                if reads and odd:
                    told = [steps[: odd[0]] for steps in told]
                assert told[0] == told[1] and (told[0] or odd)
                assert (reads and odd) or runs[0].reward == runs[1].reward
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


# --- a server that we did not write ---


@pytest.fixture(scope="module")
def unheld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded checkpoint, held to no form in process either: that server holds replies to none."""
    folder = tmp_path_factory.mktemp("checkpoint") / "embedded"
    shutil.copytree(ROOT / "model" / "embedded", folder)
    settings = json.loads((folder / "pixelhand.json").read_text())
    (folder / "pixelhand.json").write_text(json.dumps(settings | {"grammar": False}))
    return folder


def can_import(python: Path, *packages: str) -> bool:
    done = subprocess.run([str(python), "-c", f"import {', '.join(packages)}"], capture_output=True, timeout=START_S)
    return done.returncode == 0


def without_video(folder: Path) -> None:
    """Give a checkpoint a processor of transformers' own that takes pictures and no videos.

    Qwen2.5-VL's processor needs torchvision for its videos; PaddleOCRVLProcessor lays out the same placeholders for the
    same picture processor, and needs nothing more. The server's code is as its authors wrote it.
    """
    processor = {"processor_class": "PaddleOCRVLProcessor"}
    pictures = json.loads((folder / "preprocessor_config.json").read_text()) | processor
    words = json.loads((folder / "tokenizer_config.json").read_text()) | processor
    words["extra_special_tokens"] = {"image_token": "<|image_pad|>"}
    for name, data in (
        ("preprocessor_config.json", pictures),
        ("tokenizer_config.json", words),
        ("processor_config.json", {**processor, "image_processor": pictures}),
    ):
        (folder / name).write_text(json.dumps(data))


@pytest.fixture(scope="module")
def transformers_serve(unheld: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve`, as a process of its own; its address. TRANSFORMERS_SERVE: that program elsewhere."""
    program = Path(os.environ.get("TRANSFORMERS_SERVE") or Path(sys.executable).parent / "transformers")
    python = program.parent / "python"
    if not can_import(python, "fastapi", "uvicorn", "openai", "accelerate"):
        pytest.skip(
            f"{python} lacks what `transformers serve` needs: pip install 'transformers[serving]' torchvision, there "
            "or in an environment of its own that TRANSFORMERS_SERVE names (docs/servers.md)"
        )
    folder, files = unheld, ""
    if not can_import(python, "torchvision"):
        folder, files = tmp_path_factory.mktemp("served") / "embedded", f"?files={unheld}"
        shutil.copytree(unheld, folder)
        without_video(folder)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [str(program), "serve", str(folder), "--device", "cpu"]
    command += ["--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    log, cache = tmp_path_factory.mktemp("log") / "log", tmp_path_factory.mktemp("cache")
    own = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}  # its list of models is that of this folder
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
        yield f"http://127.0.0.1:{port}/v1{files}#{folder}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def theirs(transformers_serve: str) -> Iterator[Any]:
    policy = load_remote_policy(transformers_serve)
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def free(unheld: Path) -> Iterator[Any]:
    policy = load_local_policy(str(unheld))
    yield policy
    policy.close()


@pytest.mark.slow
@pytest.mark.timeout(WHOLE_S)
def test_transformers_serve_says_the_same(free: Any, theirs: Any) -> None:
    same(free, theirs, reads=True)
    assert theirs.metadata["fingerprint"] == free.metadata["fingerprint"] and theirs.metadata["structured"] == "schema"
    assert theirs.metadata["checked"]


@pytest.mark.slow
@pytest.mark.timeout(WHOLE_S)
def test_a_run_through_transformers_serve_takes_the_same_steps(free: Any, theirs: Any) -> None:
    """What `agent run` does: the same loop on the same page, the model here or there."""
    same_steps(free, theirs, ["click-dialog", "focus-text"], 2, reads=True)


@pytest.mark.slow
@pytest.mark.timeout(WHOLE_S)
def test_an_evaluation_through_transformers_serve_comes_out_the_same(unheld: Path, transformers_serve: str) -> None:
    """`agent eval`, the command itself: the same seeds succeed, but for those on which the server fails."""
    require_chrome()
    reports = []
    for model in (str(unheld), transformers_serve):
        line = [sys.executable, "-m", "agent", "eval", "miniwob", "--tasks", "click-dialog,focus-text", "--json"]
        line += ["--seeds", f"{EVAL_SEED_START + 720}:{EVAL_SEED_START + 722}", "--max-steps", "5", "--model", model]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(done.stdout)
        reports.append(told)
    here, there = reports
    assert (here["fingerprint"], here["prompt"]) == (there["fingerprint"], there["prompt"])
    for task, score in here["tasks"].items():
        other = there["tasks"][task]
        assert not score["broken"] and other["total"] > 0
        assert set(score["failed"]) - set(other["broken"]) == set(other["failed"])
