"""The checkpoint that ships: small, whole, what its card says, and able to do what it is shown with."""

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

PROMISED = ("click-test", "click-dialog", "click-dialog-2", "click-tab", "enter-password", "focus-text")
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


def test_it_is_small() -> None:
    sizes = [file.stat().st_size for file in EMBEDDED_FOLDER.iterdir()]
    assert sum(sizes) <= 40e6 and max(sizes) <= 16e6
    assert sum(one.numel() for one in load_model("embedded").parameters()) <= 30e6


def test_the_card_is_of_these_weights_and_of_seeds_never_trained_on() -> None:
    assert CARD["fingerprint"] == load_chat("embedded").fingerprint
    first, _, last = CARD["seeds"].partition(" to ")
    assert int(first) >= EVAL_SEED_START and int(last) - int(first) + 1 >= 50
    for task in PROMISED:
        assert CARD["tasks"][task]["success"] >= 0.9 * CARD["tasks"][task]["total"], task


def test_the_cards_sums_are_those_of_its_counts() -> None:
    first, _, last = CARD["seeds"].partition(" to ")
    shares = []
    for task, one in CARD["tasks"].items():
        assert one["total"] == int(last) - int(first) + 1 and one["broken"] == [], task
        assert len(one["failed"]) == one["total"] - one["success"], task
        shares.append(one["success"] / one["total"])
    assert CARD["mean"] == pytest.approx(sum(shares) / len(shares), abs=1e-4)


def test_the_card_for_people_has_the_same_figures() -> None:
    text = (EMBEDDED_FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (\d+) of (\d+) \| (\d+) to (\d+) % \|$", text, re.MULTILINE)
    expected = {}
    for task, one in CARD["tasks"].items():
        low, high = (round(100 * bound) for bound in wilson(one["success"], one["total"]))
        expected[task] = (one["success"], one["total"], low, high)
    assert {task: tuple(map(int, figures)) for task, *figures in rows} == expected


def test_make_demo_shows_what_works_nearly_always() -> None:
    makefile = (EMBEDDED_FOLDER.parent.parent / "Makefile").read_text(encoding="utf-8")
    ((task, seed),) = re.findall(r"agent demo (\S+) --seed (\d+)", makefile)
    assert CARD["tasks"][task]["success"] >= 0.8 * CARD["tasks"][task]["total"] and int(seed) >= EVAL_SEED_START
    assert int(seed) not in CARD["tasks"][task]["failed"]


def test_transformers_loads_it_and_agrees(tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    theirs = Qwen2_5_VLForConditionalGeneration.from_pretrained(EMBEDDED_FOLDER, dtype=torch.float32).eval()
    ours = load_model("embedded")
    config = ours.config
    cells = 6
    ids = [[5, 6, config.vision_start_token_id, *[config.image_token_id] * cells, 7, 8]]
    patches = torch.randn(cells * 4, 1176)
    kinds = torch.tensor(ids) == config.image_token_id
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(ids),
            pixel_values=patches,
            image_grid_thw=torch.tensor([[1, 4, 6]]),
            mm_token_type_ids=kinds.int(),
        ).logits
        got = ours(torch.tensor(ids), None, patches, [(1, 4, 6)])
    assert torch.allclose(got, expected, atol=2e-4)


@pytest.mark.parametrize("task", PROMISED)
def test_it_does_a_few_unseen_pages(policy: Policy, task: str) -> None:
    report = evaluate_live("miniwob", policy, [task], range(EVAL_SEED_START + 500, EVAL_SEED_START + 508))
    score = report.tasks[task]
    assert not score.broken
    assert score.success >= 6, f"failed on {score.failed}"


@pytest.mark.slow
@pytest.mark.parametrize("task", PROMISED)
def test_it_does_what_was_promised(policy: Policy, task: str) -> None:
    score = evaluate_live("miniwob", policy, [task], range(EVAL_SEED_START, EVAL_SEED_START + 50)).tasks[task]
    assert not score.broken
    assert score.success >= 45, f"failed on {score.failed}"


def test_bfloat16_sees_the_same_button(policy: Policy) -> None:
    half = load_local_policy("embedded")
    half.chat.model.to(torch.bfloat16)  # type: ignore[attr-defined]
    score = evaluate_live("miniwob", half, ["click-test"], range(EVAL_SEED_START + 600, EVAL_SEED_START + 604)).tasks[
        "click-test"
    ]
    assert score.success >= 3
