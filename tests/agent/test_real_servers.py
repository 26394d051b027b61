"""The embedded model behind a real llama-server and a real vLLM replies and acts as in process.

The programs are those on PATH, or those that LLAMA_SERVER and VLLM name. docs/scaling.md says how to install them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.same_replies import (
    assert_same_replies,
    assert_same_steps,
    copy_unconstrained_checkpoint,
    free_port,
    require_chrome,
    serving,
)

from agent.policies.factory import load_local_policy
from agent.policies.remote.factory import load_remote_policy
from envs.miniwob.pages import EVAL_SEED_START

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

ROOT = Path(__file__).parent.parent.parent
TOOLS_BLOCK = """{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ (tool.function or tool).name }}{% endfor %}<|im_end|>
{% endif %}"""
SYSTEM_BLOCK = """{%- for message in messages %}{% if message.role == 'system' %}<|im_start|>system
{% set text = namespace(value='') %}
{%- for part in message.content %}{% set text.value = text.value ~ part.text %}{% endfor %}
{{- 'computer_use' if '"computer_use"' in text.value else text.value }}<|im_end|>
{% endif %}{% endfor %}"""
TEXTS = "{% if part.type == 'text' %}{{ part.text }}{% endif %}"
MARKED_TEXTS = """{% if part.type == 'text' %}{% if '<__media' in part.text %}
{%- set before = part.text.split('<__media')[0] %}{% set marked = part.text.split('<__media')[1] %}
{{- '<__media' ~ marked.split('__>')[0] ~ '__>' ~ before ~ marked.split('__>')[1] }}
{%- else %}{{ part.text }}{% endif %}{% endif %}"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_unconstrained_checkpoint(tmp_path_factory.mktemp("checkpoint") / "embedded")


@pytest.fixture(scope="module")
def local(checkpoint: Path) -> Iterator[Any]:
    policy = load_local_policy(str(checkpoint))
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def template(checkpoint: Path) -> Path:
    """Return a chat template that takes the tool from the system message, not from the request.

    These servers parse the replies to requests with tools, and llama-server refuses a system message where the template
    prints none. It also puts a marker in the text in place of an image, which this template moves to the front.
    """
    source = (checkpoint / "chat_template.jinja").read_text()
    assert TOOLS_BLOCK in source
    path = checkpoint.parent / "template.jinja"
    assert TEXTS in source
    path.write_text(source.replace(TOOLS_BLOCK, SYSTEM_BLOCK).replace(TEXTS, MARKED_TEXTS))
    return path


@pytest.fixture(scope="module")
def llama_server(checkpoint: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gguf", reason="the package gguf is missing (extra [gguf])")
    from perf.write_gguf import write_gguf

    program = find_program("LLAMA_SERVER", "llama-server")
    folder = tmp_path_factory.mktemp("gguf")
    model, mmproj = write_gguf(str(checkpoint), folder, "f32")
    port = free_port()
    command = [program, "-m", str(model), "--mmproj", str(mmproj), "--host", "127.0.0.1", "--port", str(port)]
    command += ["-c", "8192", "--jinja", "--chat-template-file", str(template), "--threads", "2"]
    with serving(command, port, folder) as address:
        yield f"{address}?files={checkpoint}&tools=system&structured=off"


@pytest.fixture(scope="module")
def vllm(checkpoint: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = find_program("VLLM", "vllm")
    port = free_port()
    command = [program, "serve", str(checkpoint), "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "8192", "--limit-mm-per-prompt", '{"image": 4, "video": 0}']
    command += ["--chat-template", str(template), "--enforce-eager"]
    command += ["--structured-outputs-config", '{"backend": "guidance"}']
    environ = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with serving(command, port, tmp_path_factory.mktemp("vllm"), environ) as address:
        yield f"{address}?files={checkpoint}&tools=system&structured=off"


def find_program(variable: str, name: str) -> str:
    program = os.environ.get(variable) or shutil.which(name)
    if not program:
        pytest.skip(f"{name} is missing: neither on PATH nor named by {variable} (docs/scaling.md)")
    return program


@pytest.fixture(params=["llama_server", "vllm"])
def server(request: pytest.FixtureRequest) -> str:
    address = request.getfixturevalue(request.param)
    assert isinstance(address, str)
    return address


def test_server_replies_as_in_process(local: Any, server: str) -> None:
    policy = load_remote_policy(server)
    try:
        assert_same_replies(local, policy)
        assert policy.metadata["fingerprint"] == local.metadata["fingerprint"]
        assert policy.metadata["checked"]
    finally:
        policy.close()


def test_vllm_constrains_replies(vllm: str) -> None:
    address, _, _ = vllm.partition("&structured=off")
    local, policy = load_local_policy("embedded"), load_remote_policy(address)
    try:
        assert policy.metadata["structured"] == "vllm"
        assert_same_replies(local, policy)
    finally:
        policy.close()
        local.close()


def test_run_through_server_takes_same_steps(local: Any, server: str) -> None:
    policy = load_remote_policy(server)
    try:
        assert_same_steps(local, policy, ["click-dialog", "focus-text", "click-tab"], 3)
    finally:
        policy.close()


def test_evaluation_through_server_matches(checkpoint: Path, server: str) -> None:
    require_chrome()
    reports = []
    for model in (str(checkpoint), server):
        command = [sys.executable, "-m", "agent", "eval", "miniwob", "--tasks", "click-dialog,focus-text", "--json"]
        command += ["--seeds", f"{EVAL_SEED_START + 720}:{EVAL_SEED_START + 724}", "--max-steps", "5", "--model", model]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
        assert result.returncode == 0, result.stderr[-2000:]
        reports.append(json.loads(result.stdout))
    here, there = reports
    for task, score in here["tasks"].items():
        assert score["failed"] == there["tasks"][task]["failed"]
        assert not there["tasks"][task]["broken"]
