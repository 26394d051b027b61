"""A served model is evaluated by the same command, with the same predictions as in process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("starlette", reason="the package starlette is missing (extra [serve])")
pytest.importorskip("uvicorn", reason="the package uvicorn is missing (extra [serve])")

from agent.policies.remote.probe import GOAL, render_button_page
from evals.cli import app
from evals.run_folder import PREDICTIONS, VERDICTS

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-this-test"
PLACES = ((0.30, 0.42), (0.72, 0.80), (0.50, 0.60))


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Run `agent serve` with the embedded model and a worker's number of threads; return its address."""
    line = [sys.executable, "-m", "agent", "serve", "--port", "0"]
    environment = {**os.environ, "PIXELHAND_API_KEY": TOKEN, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    match = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
    assert match is not None
    yield f"{match[0]}#embedded"
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three images of a page with a button as a ScreenSpot-Pro; return its folder."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "annotations").mkdir()
    (folder / "images").mkdir()
    records = []
    for n, place in enumerate(PLACES):
        screen, (x, y) = render_button_page((280, 364), place)
        Image.fromarray(screen.pixels).save(folder / "images" / f"{n}.png")
        records.append(
            {
                "img_filename": f"{n}.png",
                "bbox": [x - 35, y - 20, x + 35, y + 20],
                "instruction": GOAL,
                "id": f"page_{n}",
                "application": "page",
                "platform": "web",
                "img_size": [280, 364],
                "ui_type": "text",
                "group": "Office",
            }
        )
    (folder / "annotations" / "page_web.json").write_text(json.dumps(records))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_served_model_predicts_like_local_model(
    served: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELHAND_API_KEY", TOKEN)
    summaries = {}
    for name, model in (("local", "embedded"), ("served", served)):
        line = ["screenspot-pro", "--data", str(data), "--model", model, "--out", str(tmp_path / name), "--json"]
        result = CliRunner().invoke(app, line)
        assert result.exit_code == 0, result.output
        summaries[name] = json.loads(result.stdout.strip().splitlines()[-1])
    lines = {name: (tmp_path / name / PREDICTIONS).read_bytes().splitlines() for name in summaries}
    assert lines["local"][1:] == lines["served"][1:]
    assert len(lines["local"]) == 4
    assert (tmp_path / "local" / VERDICTS).read_bytes() == (tmp_path / "served" / VERDICTS).read_bytes()
    assert summaries["local"]["correct"] == summaries["served"]["correct"] >= 2
    local, remote = summaries["local"]["about"], summaries["served"]["about"]
    for key in ("fingerprint", "prompt_hash", "resize", "dialect", "pictures"):
        assert local[key] == remote[key], key
    assert remote["server"].startswith("http://127.0.0.1:")


def test_unreachable_server_is_named(data: Path, tmp_path: Path) -> None:
    from actions import Error

    line = ["screenspot-pro", "--data", str(data), "--model", "http://127.0.0.1:9/v1#x", "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, line)
    assert isinstance(result.exception, Error)
    assert "127.0.0.1:9" in str(result.exception)
