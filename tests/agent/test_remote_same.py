"""Tests that a checkpoint replies the same in process, behind `agent serve` and behind `transformers serve`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the package starlette is missing (extra [serve])")
pytest.importorskip("uvicorn", reason="the package uvicorn is missing (extra [serve])")

from helpers.same_replies import (
    START_TIMEOUT_S,
    assert_same_replies,
    assert_same_steps,
    copy_unconstrained_checkpoint,
    free_port,
    require_chrome,
    serving,
)

from actions import UsageError
from agent.policies.base import Policy
from agent.policies.factory import load_local_policy
from agent.policies.remote.factory import load_remote_policy
from envs.miniwob.pages import EVAL_SEED_START

ROOT = Path(__file__).parent.parent.parent
TOKEN = "a-token-of-this-test"
TEST_TIMEOUT_S = 3000.0  # includes the start of that server


@pytest.fixture(scope="module")
def local() -> Iterator[Policy]:
    policy = load_local_policy("embedded")
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Start `agent serve` with the embedded model in its own process; yield its address."""
    line = [sys.executable, "-m", "agent", "serve", "--port", "0"]
    environment = {**os.environ, "PIXELHAND_API_KEY": TOKEN}
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    sock = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
    assert sock is not None
    yield f"{sock[0]}#embedded"
    process.terminate()
    process.wait(30)


@pytest.fixture
def remote(served: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("PIXELHAND_API_KEY", TOKEN)
    policy = load_remote_policy(served)
    yield policy
    policy.close()


def test_agent_serve_replies_as_in_process(local: Any, remote: Any) -> None:
    assert_same_replies(local, remote)
    remote_metadata, local_metadata = remote.metadata, local.metadata
    assert "sees images and keeps coordinates" in remote_metadata["checked"]
    for key in ("fingerprint", "dialect", "tool", "history", "prompt_hash", "history_steps", "pictures"):
        assert remote_metadata[key] == local_metadata[key], key


def test_wrong_token_raises_usage_error(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELHAND_API_KEY", "another")
    with pytest.raises(UsageError, match="PIXELHAND_API_KEY"):
        load_remote_policy(served)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["click-test", "click-dialog", "focus-text", "click-tab"])
def test_run_through_server_takes_same_steps(local: Any, remote: Any, task: str) -> None:
    assert_same_steps(local, remote, [task], 4)


# another implementation of the API


@pytest.fixture(scope="module")
def unconstrained_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_unconstrained_checkpoint(tmp_path_factory.mktemp("checkpoint") / "embedded")


def can_import(python: Path, *packages: str) -> bool:
    process_result = subprocess.run(
        [str(python), "-c", f"import {', '.join(packages)}"], capture_output=True, timeout=START_TIMEOUT_S
    )
    return process_result.returncode == 0


def use_image_processor_only(folder: Path) -> None:
    """Give a checkpoint a processor of transformers that takes images and no videos.

    Qwen2.5-VL's processor needs torchvision for its videos; PaddleOCRVLProcessor lays out the same placeholders for the
    same image processor, and needs nothing more. The server's code is unchanged.
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
def transformers_serve(unconstrained_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start `transformers serve` (or the program in TRANSFORMERS_SERVE) in its own process; yield its address."""
    program = Path(os.environ.get("TRANSFORMERS_SERVE") or Path(sys.executable).parent / "transformers")
    python = program.parent / "python"
    if not can_import(python, "fastapi", "uvicorn", "openai", "accelerate"):
        pytest.skip(
            f"{python} lacks what `transformers serve` needs: pip install 'transformers[serving]' torchvision, there "
            "or in an environment of its own that TRANSFORMERS_SERVE names (docs/servers.md)"
        )
    folder, files = unconstrained_checkpoint, ""
    if not can_import(python, "torchvision"):
        folder, files = tmp_path_factory.mktemp("served") / "embedded", f"?files={unconstrained_checkpoint}"
        shutil.copytree(unconstrained_checkpoint, folder)
        use_image_processor_only(folder)
    port = free_port()
    command = [str(program), "serve", str(folder), "--device", "cpu"]
    command += ["--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    cache = tmp_path_factory.mktemp("cache")
    environ = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}  # its list of models is that of this folder
    with serving(command, port, tmp_path_factory.mktemp("log"), environ) as address:
        yield f"{address}{files}#{folder}"


@pytest.fixture(scope="module")
def transformers_policy(transformers_serve: str) -> Iterator[Any]:
    policy = load_remote_policy(transformers_serve)
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def unconstrained(unconstrained_checkpoint: Path) -> Iterator[Any]:
    policy = load_local_policy(str(unconstrained_checkpoint))
    yield policy
    policy.close()


@pytest.mark.slow
@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_transformers_serve_replies_as_in_process(unconstrained: Any, transformers_policy: Any) -> None:
    assert_same_replies(unconstrained, transformers_policy, parses_calls=True)
    assert transformers_policy.metadata["fingerprint"] == unconstrained.metadata["fingerprint"]
    assert transformers_policy.metadata["structured"] == "schema"
    assert transformers_policy.metadata["checked"]


@pytest.mark.slow
@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_run_through_transformers_serve_takes_same_steps(unconstrained: Any, transformers_policy: Any) -> None:
    """The loop and the pages are those of `agent run`."""
    assert_same_steps(unconstrained, transformers_policy, ["click-dialog", "focus-text"], 2, parses_calls=True)


@pytest.mark.slow
@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_evaluation_through_transformers_serve_matches(unconstrained_checkpoint: Path, transformers_serve: str) -> None:
    """The same seeds succeed, except those on which the server fails."""
    require_chrome()
    reports = []
    for model in (str(unconstrained_checkpoint), transformers_serve):
        line = [sys.executable, "-m", "agent", "eval", "miniwob", "--tasks", "click-dialog,focus-text", "--json"]
        line += ["--seeds", f"{EVAL_SEED_START + 720}:{EVAL_SEED_START + 722}", "--max-steps", "5", "--model", model]
        process_result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=1200)
        assert process_result.returncode == 0, process_result.stderr[-2000:]
        traces = json.loads(process_result.stdout)
        reports.append(traces)
    here, there = reports
    assert (here["fingerprint"], here["prompt"]) == (there["fingerprint"], there["prompt"])
    for task, score in here["tasks"].items():
        remote_reply = there["tasks"][task]
        assert not score["broken"]
        assert remote_reply["total"] > 0
        assert set(score["failed"]) - set(remote_reply["broken"]) == set(remote_reply["failed"])
