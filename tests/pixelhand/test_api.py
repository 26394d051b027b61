"""The public API with the embedded model: what a program of fifteen lines does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pixelhand as ph
from envs.chromium.executable import find_chrome

if TYPE_CHECKING:
    from envs.live import LiveEnv

ROOT = Path(__file__).parents[2]
PROGRAM = """
import pixelhand as ph

policy = ph.load_policy("embedded")
with ph.open_env("browser", url="miniwob:click-dialog") as env:
    episode = ph.run("", env, policy, max_steps=5, seed=900001, trace="runs/")
print(episode.status, episode.message)
for step in episode.steps:
    print(step.index, step.reply.text, step.actions)

screen = episode.steps[0].screen
screen.save("shot.png")
assert ph.Screen.open("shot.png").digest == screen.digest
click = policy.locate("Close the dialog box by clicking the x", screen)
print(click)
assert isinstance(click, ph.Click)
assert ph.Trace.open(episode.run).status == episode.status == "success"

import json, pathlib
pathlib.Path("data/annotations").mkdir(parents=True)
pathlib.Path("data/images").mkdir()
screen.save("data/images/shot.png")
record = {"img_filename": "shot.png", "bbox": [click.x - 4, click.y - 4, 8, 8], "data_type": "icon",
          "instruction": "Close the dialog box by clicking the x", "data_source": "web"}
pathlib.Path("data/annotations/screenspot_web.json").write_text(json.dumps([record]))
result = ph.evaluate("screenspot", policy, data="data")
print(f"{result.accuracy:.1%}", result.interval)
"""


@pytest.fixture
def chrome() -> None:
    try:
        find_chrome()
    except ph.UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")


def test_readme_program_runs_in_empty_folder(chrome: None, tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(ROOT)!r})\n{PROGRAM}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert completed.returncode == 0, completed.stderr
    lines = completed.stdout.splitlines()
    assert lines[0].startswith("success")
    assert any(line.startswith("verb='click'") or "Click(" in line for line in lines)
    assert lines[-1].startswith(("100.0%", "0.0%"))
    assert list((tmp_path / "runs").glob("*/steps.jsonl"))


def test_run_on_user_screen_needs_approver() -> None:
    from pixelhand.testing import FakeSurface, ScriptPolicy

    surface = FakeSurface()
    surface.is_user_owned = True
    env = fake_env(surface)
    policy = ScriptPolicy(['{"verb": "click", "x": 120, "y": 110}'])
    with pytest.raises(ph.UsageError, match="pass approver=, or approve='never'"):
        ph.run("press the button", env, policy, max_steps=1)
    assert surface.performed == []
    ph.run("press the button", env, policy, max_steps=1, approve="never")
    assert surface.clicked


def test_approver_is_asked_before_each_action(tmp_path: Path) -> None:
    from agent.safety.approval import ApprovalRequest
    from pixelhand.testing import FakeSurface, ScriptPolicy

    class Approver:
        descriptions: list[str] = []  # noqa: RUF012

        def approve(self, request: ApprovalRequest) -> str:
            assert request.screenshot.is_file()
            self.descriptions.append(request.description)
            return "n"

        def paused(self, reason: str) -> str:
            return "y"

    surface = FakeSurface()
    surface.is_user_owned = True
    policy = ScriptPolicy(['{"verb": "click", "x": 120, "y": 110}'])
    episode = ph.run("press", fake_env(surface), policy, max_steps=1, approver=Approver(), trace=tmp_path)
    assert Approver.descriptions == ["click (120, 110)"]
    assert not surface.clicked
    events = [json.loads(line) for line in (Path(episode.run) / "steps.jsonl").read_text().splitlines()]
    assert [event["answer"] for event in events if event["event"] == "approval"] == ["refused"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"surface": "browsr"}, "Did you mean 'browser'"),
        ({"surface": "browser", "url": "miniwob:click-tset"}, "Did you mean 'click-test'"),
        ({"surface": "browser", "url": "miniwob:click-test", "goal": "x"}, "a practice page has its own goal"),
    ],
)
def test_open_env_rejects_wrong_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(ph.UsageError, match=message):
        ph.open_env(**options)  # type: ignore[arg-type]


def test_contract_checks_pass_on_fakes() -> None:
    from model.dialects.qwen25 import Dialect
    from model.processing.image import ImageLimits
    from pixelhand.testing import FakeSurface, check_dialect, check_surface

    assert check_surface(FakeSurface()) == []
    assert check_dialect(Dialect(ImageLimits())) == []


def fake_env(surface: ph.Surface) -> LiveEnv:
    from envs.live import LiveEnv
    from envs.stability import SettleOptions

    return LiveEnv(surface, goal="press the button", settle=SettleOptions(0.0, 0.0, 0.0, 0.0))
