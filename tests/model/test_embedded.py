"""The embedded checkpoint: its size, its card, and its success on practice pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from actions import UsageError
from agent.policies.base import Policy
from agent.policies.factory import load_local_policy
from envs.chromium.executable import find_chrome
from envs.miniwob.pages import EVAL_SEED_START
from evals.live_runner import evaluate_live
from evals.stats import wilson
from model.chat_model import load_chat
from model.checkpoints.weights import EMBEDDED_FOLDER, load_model

CARD_TASKS = ("click-test", "click-dialog", "click-dialog-2", "click-tab", "enter-password", "focus-text")
CARD = json.loads((EMBEDDED_FOLDER / "card.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def policy() -> Iterator[Policy]:
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    policy = load_local_policy("embedded")
    yield policy
    policy.close()


def test_checkpoint_is_small() -> None:
    sizes = [file.stat().st_size for file in EMBEDDED_FOLDER.iterdir()]
    assert sum(sizes) <= 40e6
    assert max(sizes) <= 16e6
    assert sum(parameter.numel() for parameter in load_model("embedded").parameters()) <= 30e6


def test_card_matches_weights_and_held_out_seeds() -> None:
    assert CARD["fingerprint"] == load_chat("embedded").fingerprint
    first, _, last = CARD["seeds"].partition(" to ")
    assert int(first) >= EVAL_SEED_START
    assert int(last) - int(first) + 1 >= 50
    for task in CARD_TASKS:
        assert CARD["tasks"][task]["success"] >= 0.9 * CARD["tasks"][task]["total"], task


def test_card_mean_matches_counts() -> None:
    first, _, last = CARD["seeds"].partition(" to ")
    shares = []
    for task, result in CARD["tasks"].items():
        assert result["total"] == int(last) - int(first) + 1, task
        assert result["broken"] == [], task
        assert len(result["failed"]) == result["total"] - result["success"], task
        shares.append(result["success"] / result["total"])
    assert CARD["mean"] == pytest.approx(sum(shares) / len(shares), abs=1e-4)


def test_readme_has_figures_of_card() -> None:
    text = (EMBEDDED_FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (\d+) of (\d+) \| (\d+) to (\d+) % \|$", text, re.MULTILINE)
    expected = {}
    for task, result in CARD["tasks"].items():
        low, high = (round(100 * bound) for bound in wilson(result["success"], result["total"]))
        expected[task] = (result["success"], result["total"], low, high)
    assert {task: tuple(map(int, figures)) for task, *figures in rows} == expected


def test_make_demo_task_usually_succeeds() -> None:
    makefile = (EMBEDDED_FOLDER.parent.parent / "Makefile").read_text(encoding="utf-8")
    ((task, seed),) = re.findall(r"agent demo (\S+) --seed (\d+)", makefile)
    assert CARD["tasks"][task]["success"] >= 0.8 * CARD["tasks"][task]["total"]
    assert int(seed) >= EVAL_SEED_START
    assert int(seed) not in CARD["tasks"][task]["failed"]


def test_logits_match_transformers(tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(EMBEDDED_FOLDER, dtype=torch.float32).eval()
    model = load_model("embedded")
    config = model.config
    image_tokens = 6
    ids = [[5, 6, config.vision_start_token_id, *[config.image_token_id] * image_tokens, 7, 8]]
    patches = torch.randn(image_tokens * 4, 1176)
    is_image = torch.tensor(ids) == config.image_token_id
    with torch.no_grad():
        expected = reference(
            input_ids=torch.tensor(ids),
            pixel_values=patches,
            image_grid_thw=torch.tensor([[1, 4, 6]]),
            mm_token_type_ids=is_image.int(),
        ).logits
        logits = model(torch.tensor(ids), None, patches, [(1, 4, 6)])
    assert torch.allclose(logits, expected, atol=2e-4)


@pytest.mark.parametrize(
    "task", [CARD_TASKS[0], *(pytest.param(task, marks=pytest.mark.slow) for task in CARD_TASKS[1:])]
)
def test_unseen_pages_succeed(policy: Policy, task: str) -> None:
    report = evaluate_live("miniwob", policy, [task], range(EVAL_SEED_START + 500, EVAL_SEED_START + 508))
    score = report.tasks[task]
    assert not score.broken
    assert score.success >= 6, f"failed on {score.failed}"


@pytest.mark.slow
@pytest.mark.parametrize("task", CARD_TASKS)
def test_success_rate_matches_card(policy: Policy, task: str) -> None:
    score = evaluate_live("miniwob", policy, [task], range(EVAL_SEED_START, EVAL_SEED_START + 50)).tasks[task]
    assert not score.broken
    assert score.success >= 45, f"failed on {score.failed}"


@pytest.mark.slow
def test_bfloat16_clicks_button(policy: Policy) -> None:
    half = load_local_policy("embedded")
    half.chat.model.to(torch.bfloat16)  # type: ignore[attr-defined]
    score = evaluate_live("miniwob", half, ["click-test"], range(EVAL_SEED_START + 600, EVAL_SEED_START + 604)).tasks[
        "click-test"
    ]
    assert score.success >= 3
