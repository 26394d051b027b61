"""Checks of GPU, memory, checkpoints and disk on machines that lack something."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actions.doctor import Finding, Host
from model import doctor

BARE = Host(environ={}, platform="linux", which=lambda name: None)


def findings_of(check: Callable[[Host], Iterator[Finding]], host: Host) -> list[Finding]:
    return list(check(host))


@pytest.mark.parametrize(
    ("available", "total", "level"), [(0.5e9, 8e9, "error"), (4e9, 8e9, "warning"), (30e9, 64e9, "ok")]
)
def test_memory_levels(monkeypatch: pytest.MonkeyPatch, available: float, total: float, level: str) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=available, total=total))
    assert findings_of(doctor.check_memory, BARE)[0].level == level


def test_complete_checkpoints_are_listed(tmp_path: Path) -> None:
    host = replace(BARE, environ={"HF_HOME": str(tmp_path)})
    assert findings_of(doctor.check_models, host)[1].level == "warning"
    for name, is_complete in (("models--a--complete", True), ("models--b--half", False)):
        folder = tmp_path / "hub" / name / "snapshots" / "f00"
        folder.mkdir(parents=True)
        (folder / ("model.safetensors" if is_complete else "config.json")).write_bytes(b"")
    finding = findings_of(doctor.check_models, host)[1]
    assert finding.level == "ok"
    assert "a/complete" in finding.message
    assert "b/half" not in finding.message


def test_embedded_model_is_found() -> None:
    assert findings_of(doctor.check_models, BARE)[0] == Finding(
        "embedded", "ok", "the embedded model is installed; it solves practice pages"
    )


def test_sharded_checkpoint_needs_every_file(tmp_path: Path) -> None:
    host = replace(BARE, environ={"HF_HOME": str(tmp_path)})
    folder = tmp_path / "hub" / "models--a--complete" / "snapshots" / "f00"
    folder.mkdir(parents=True)
    index = folder / "model.safetensors.index.json"
    for content in (b"", b"[]", b'{"weight_map": {}}', b'{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}'):
        index.write_bytes(content)
        (folder / "1.safetensors").write_bytes(b"")
        assert findings_of(doctor.check_models, host)[1].level == "warning", content
    (folder / "2.safetensors").write_bytes(b"")
    assert "a/complete" in findings_of(doctor.check_models, host)[1].message


def test_forms_of_files_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    from model.checkpoints import file_forms

    for is_installed in (True, False):
        monkeypatch.setattr(file_forms, "has_gguf_package", lambda is_installed=is_installed: is_installed)
        finding = findings_of(doctor.check_files, BARE)[0]
        assert finding.level == "ok"
        assert "safetensors, AWQ, FP8" in finding.message
        assert ("pip install" in finding.message) == (not is_installed)


@pytest.mark.parametrize(("free", "level"), [(9e9, "warning"), (90e9, "ok")])
def test_disk_space_for_models(tmp_path: Path, free: float, level: str) -> None:
    environ = {"HF_HOME": str(tmp_path)}
    host = replace(BARE, environ=environ, disk=lambda path: types.SimpleNamespace(free=free, total=free))
    assert [finding.level for finding in findings_of(doctor.check_disk, host)] == [level]
