"""A tiny GGUF file from the command line to actions: runs, benchmarks and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gguf", reason="the package gguf is missing (extra [gguf])")

import numpy as np
from helpers.command import Agent, last_run
from helpers.gguf_files import GgufPair
from PIL import Image

from actions import Screen
from agent.policies.factory import load_local_policy
from agent.trace import read_trace
from evals.run_folder import PREDICTIONS
from model.checkpoints.detect_dialect import detect_dialect
from model.checkpoints.files import resolve_checkpoint

VERBS = frozenset({"click", "type", "scroll"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> GgufPair:
    return GgufPair(tmp_path_factory.mktemp("gguf"), "qwen2_5_vl", "Q4_K", "F16", tied=True)


@pytest.mark.parametrize("dtype", ["auto", "float32", "int8", "int4"])
def test_policy_replies_with_valid_actions(pair: GgufPair, dtype: str) -> None:
    policy = load_local_policy(str(pair.model), device="cpu", dtype=dtype)
    image = Screen(np.random.default_rng(0).integers(0, 256, (256, 320, 3), dtype=np.uint8))
    assert policy.metadata["dialect"] == "qwen25"
    reply = policy.decide("press the button", [], image, VERBS)
    for action in policy.to_actions(policy.parse(reply), image):
        for point in action.points():
            assert 0 <= point.x < image.width


def test_dialect_is_that_of_the_base(pair: GgufPair) -> None:
    match = detect_dialect(resolve_checkpoint(str(pair.model)))
    assert match.require() == "qwen25"
    assert not match.certain


@pytest.mark.usefixtures("chromium")
def test_agent_run_on_practice_page(pair: GgufPair, agent: Agent, tmp_path: Path) -> None:
    code, _, err = agent(
        "run", "", "--url", "miniwob:click-test", "--model", str(pair.model), "--mmproj", str(pair.mmproj),
        "--max-steps", "2", "--device", "cpu",
    )  # fmt: skip
    assert "Traceback" not in err
    assert code in (0, 1, 4), err  # the reward of random clicks, or the steps ran out
    trace = read_trace(last_run(tmp_path))
    assert trace.manifest["policy"]["dialect"] == "qwen25"
    assert [event for event in trace.events if event["event"] == "act.result"]


def test_agent_eval_predicts_points(pair: GgufPair, agent: Agent, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "annotations").mkdir(parents=True)
    (data / "images").mkdir()
    Image.new("RGB", (280, 196)).save(data / "images" / "0.png")
    record = {"img_filename": "0.png", "bbox": [0, 0, 30, 40], "instruction": "press", "id": "a", "application": "word",
              "platform": "macos", "img_size": [280, 196], "ui_type": "text", "group": "Office"}  # fmt: skip
    (data / "annotations" / "word_macos.json").write_text(json.dumps([record]))
    out = tmp_path / "out"
    code, _, err = agent(
        "eval", "screenspot-pro", "--data", str(data), "--model", str(pair.model), "--device", "cpu", "--out", str(out)
    )
    assert "Traceback" not in err
    assert code == 0, err
    about, prediction = map(json.loads, (out / PREDICTIONS).read_text().splitlines())
    assert about["about"]["dialect"] == "qwen25"
    assert len(about["about"]["fingerprint"]) == 16
    assert prediction


@pytest.mark.parametrize("command", [["run", "x", "--url", "miniwob:click-test"], ["eval", "traces", "."], ["serve"]])
def test_mmproj_without_gguf_is_one_sentence(agent: Agent, command: list[str]) -> None:
    code, _, err = agent(*command, "--model", "embedded", "--mmproj", "mmproj.gguf")
    assert code == 2
    assert "--mmproj mmproj.gguf needs --model FILE.gguf" in err
    assert "Traceback" not in err


def test_bad_file_is_one_sentence(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    code, _, err = agent("run", "x", "--url", "miniwob:click-test", "--model", str(file))
    assert code == 2
    assert "Traceback" not in err
    assert str(file) in err
