"""Packages that a fresh interpreter loads for `agent --help` and for each light module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch",
    "matplotlib",
    "scipy",
    "pandas",
    "mcp",
    "starlette",
    "uvicorn",
    "openpyxl",
    "transformers",
    "playwright",
    "cv2",
    "gymnasium",
    "mss",
    "pyautogui",
    "adbutils",
    "huggingface_hub",
    "opentelemetry",
}
MEDIUM = {"numpy", "rich", "httpx", "PIL"}  # without pydantic, which typer imports for a command with arguments
REPORT = (
    "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
)


def imported_by(code: str) -> set[str]:
    """Return the top-level modules that an interpreter has imported after running `code`."""
    process = subprocess.run(
        [sys.executable, "-c", code + REPORT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(process.stderr.splitlines()[-1]))


def imported_by_agent(*arguments: str) -> set[str]:
    """Return the top-level modules that the `agent` command imports for `arguments`."""
    argv = ["agent", *arguments]
    return imported_by(f"import sys; sys.argv = {argv!r}\nfrom agent.cli import app\napp(standalone_mode=False)\n1")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["demo", "--help"], ["runs", "--help"]])
def test_help_loads_typer_and_nothing_else(arguments: list[str]) -> None:
    modules = imported_by_agent(*arguments)
    assert "typer" in modules
    assert not modules & (HEAVY | MEDIUM | {"actions", "model", "envs"})


def test_help_of_models_loads_no_heavy_package() -> None:
    assert not imported_by_agent("models", "--help") & HEAVY


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
def test_light_modules_load_no_heavy_package(module: str) -> None:
    assert not imported_by(f"import {module}") & HEAVY


def test_usage_error_of_run_loads_no_heavy_package(tmp_path: Path) -> None:
    """Check that the settings are validated before any heavy package but the browser surface's own is imported."""
    code = (
        f"import os, sys; os.environ['PIXELHAND_RUNS'] = {str(tmp_path)!r}; sys.argv = ['agent', 'run', 'x']\n"
        "from agent import cli\ntry:\n    cli.main()\nexcept SystemExit as error:\n    assert error.code == 2\n1"
    )
    assert imported_by(code) & HEAVY <= {"playwright"}
