"""Programs of our own: ours and no other of that name, whatever folder a person stands in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envs.desktop.cleanup_process import CleanupProcess
from envs.subprocesses import command


def test_a_folder_of_the_same_name_is_not_run_instead(tmp_path: Path) -> None:
    trap(tmp_path)
    line = command("envs.android.keyboard_cleanup", "serial", "5037", str(tmp_path / "no record"))
    ran = subprocess.run(line, cwd=tmp_path, input=b"", capture_output=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, b"") and not (tmp_path / "trapped").exists()


def test_it_is_given_its_words_and_its_own_name(tmp_path: Path) -> None:
    line = command("envs.android.keyboard_cleanup", "one word too few")
    ran = subprocess.run(line, cwd=tmp_path, input=b"", capture_output=True, timeout=60)
    assert ran.returncode == 1 and b"missing 2 required positional arguments" in ran.stderr


def test_the_desktops_keeper_sees_what_we_see_and_nothing_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `-I` it did not see packages of `pip install --user` or PYTHONPATH: no keyboard was put right."""
    trap(tmp_path)
    (tmp_path / "json.py").write_text("open('trapped', 'w')")
    more = tmp_path / "more"
    more.mkdir()
    (more / "sitecustomize.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w')")
    monkeypatch.setenv("PYTHONPATH", str(more))
    monkeypatch.chdir(tmp_path)
    CleanupProcess().close()
    assert (tmp_path / "seen").exists() and not (tmp_path / "trapped").exists()


def trap(folder: Path) -> None:
    for name in ("envs", "actions"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("open('trapped', 'w')")
