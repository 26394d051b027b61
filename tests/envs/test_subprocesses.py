"""Modules run as processes are this package's, whatever the current directory holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envs.desktop.cleanup_process import CleanupProcess
from envs.subprocesses import command


def test_folder_of_same_name_is_ignored(tmp_path: Path) -> None:
    add_traps(tmp_path)
    line = command("envs.android.keyboard_cleanup", "serial", "5037", str(tmp_path / "no record"))
    result = subprocess.run(line, cwd=tmp_path, input=b"", capture_output=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, b"")
    assert not (tmp_path / "trapped").exists()


def test_arguments_reach_the_module(tmp_path: Path) -> None:
    line = command("envs.android.keyboard_cleanup", "only one argument")
    result = subprocess.run(line, cwd=tmp_path, input=b"", capture_output=True, timeout=60)
    assert result.returncode == 1
    assert b"missing 2 required positional arguments" in result.stderr


def test_cleanup_process_ignores_folder_keeps_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `-I` it would not see packages of `pip install --user` or PYTHONPATH."""
    add_traps(tmp_path)
    (tmp_path / "json.py").write_text("open('trapped', 'w')")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w')")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(tmp_path)
    CleanupProcess().close()
    assert (tmp_path / "seen").exists()
    assert not (tmp_path / "trapped").exists()


def add_traps(folder: Path) -> None:
    for name in ("envs", "actions"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("open('trapped', 'w')")
