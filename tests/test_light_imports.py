"""`agent --help` is quick, and what is light stays light: each file's imports, as a fresh interpreter sees them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "playwright", "cv2", "gymnasium", "mss", "pyautogui", "adbutils", "huggingface_hub"}
MIDDLING = {"numpy", "rich", "httpx", "PIL"}  # pydantic is typer's own choice, once a command has arguments
HELP_S = 0.3
REPORT = (
    "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
)


def loaded(code: str) -> set[str]:
    """The top-level modules that an interpreter holds after the code."""
    ran = subprocess.run([sys.executable, "-c", code + REPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(ran.stderr.splitlines()[-1]))


def helped(*arguments: str) -> set[str]:
    argv = ["agent", *arguments]
    return loaded(f"import sys; sys.argv = {argv!r}\nfrom agent.cli import app\napp(standalone_mode=False)\n1")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["demo", "--help"], ["runs", "--help"]])
def test_help_loads_typer_and_nothing_else(arguments: list[str]) -> None:
    modules = helped(*arguments)
    assert "typer" in modules
    assert not modules & (HEAVY | MIDDLING | {"actions", "model", "envs"})


def test_help_of_another_floor_loads_no_heavy_package() -> None:
    assert not helped("models", "--help") & HEAVY


def test_help_answers_in_under_300_ms() -> None:
    """The best of seven: another program that has the processor can only make it longer."""
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "agent", "--help"], cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    assert min(times) < HELP_S, f"{min(times) * 1000:.0f} ms"


@pytest.mark.parametrize(
    "module",
    [
        "actions",
        "actions.plugins",
        "model",
        "model.dialects.base",
        "model.processing.image",
        "envs.phone_cli",
        "model.checkpoints.hub",
        "envs",
        "envs.miniwob.pages",
        "agent",
        "agent.loop",
        "agent.policies.base",
        "agent.trace",
        "evals.scoring",
        "evals.score_cli",
        "evals.dataset_check",
        "agent.safety.url_policy",
        "agent.config",
        "agent.session",
        "agent.ui.display",
    ],
)
def test_what_is_light_stays_light(module: str) -> None:
    assert not loaded(f"import {module}") & HEAVY


def test_a_run_of_a_script_needs_no_torch(tmp_path: Path) -> None:
    """The arguments are understood, and what they lack is said, before anything heavy is loaded."""
    code = (
        f"import os, sys; os.environ['PIXELHAND_RUNS'] = {str(tmp_path)!r}; sys.argv = ['agent', 'run', 'x']\n"
        "from agent import cli\ntry:\n    cli.main()\nexcept SystemExit as left:\n    assert left.code == 2\n1"
    )
    assert not loaded(code) & HEAVY
