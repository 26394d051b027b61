"""Tests of `agent models`."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent


def test_models_lists_supported_models(agent: Agent) -> None:
    code, out, _ = agent("models")
    assert code == 0
    assert "embedded" in out
    assert "Qwen/Qwen2.5-VL-72B-Instruct" in out
    assert "146.8 GB" in out
    for form in ("safetensors", "AWQ", "FP8", "GGUF", "Q4_K"):
        assert form in out.partition("Files that --model reads")[2]


def test_failed_download_is_one_sentence(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail_to_connect(*args: Any, **kwargs: Any) -> Any:
        raise OSError("We could not connect\nto the hub")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail_to_connect)
    code, out, err = agent("models", "pull", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert code == 2
    assert out == ""
    assert "Qwen Research License" in err
    assert "could not be fetched (We could not connect); check the name" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["not a name", "Qwen/", "../x", ""])
def test_invalid_hub_name_is_one_sentence(agent: Agent, name: str) -> None:
    code, _, err = agent("models", "pull", name)
    assert code == 2
    assert "could not be fetched" in err
    assert "Traceback" not in err


def test_unsupported_architecture_is_not_downloaded(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: types.SimpleNamespace(siblings=[]))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kwargs: str(tmp_path / "config.json"))
    code, _, err = agent("models", "pull", "some/llama")
    assert code == 2
    assert "is of another architecture than 'qwen2_5_vl'" in err


def test_pull_downloads_weights_and_config_only(agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    patterns: list[Any] = []
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    files = [types.SimpleNamespace(rfilename=f"model-{n}.safetensors", size=3_000_000_000) for n in (1, 2)]
    files.append(types.SimpleNamespace(rfilename="pytorch_model.bin", size=9_000_000_000))
    info = types.SimpleNamespace(siblings=files)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kwargs: str(tmp_path / "config.json"))

    def snapshot_download(hub_id: str, allow_patterns: list[str]) -> str:
        patterns.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    code, out, err = agent("models", "pull", "Qwen/Qwen2.5-VL-3B-Instruct")
    assert code == 0
    assert f"ready in {tmp_path}" in out
    assert "6.0 GB of weights" in err
    assert "*.safetensors" in patterns
    assert not {"*", "*.bin", "*.py", "*.pt"} & set(patterns)


def test_models_lists_hub_cache(agent: Agent, hub: Callable[..., None]) -> None:
    hub("a/ours")
    hub("a/theirs", "llama")
    hub("a/without", weights=False)
    out = agent("models")[1]
    assert "a/ours" in out
    assert "a/theirs" not in out
    assert "a/without" not in out
