"""Tests of `agent demo` and of the hints that lead to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent, last_run

from actions import UsageError
from agent.trace import read_trace

CARD = {
    "tasks": {
        "click-test-2": {"success": 19, "total": 50},
        "focus-text": {"success": 50, "total": 50},
        "click-test": {"success": 49, "total": 50},
        "click-dialog": {"success": 0, "total": 50},
        "click-link": {"success": 9, "total": 10},
        "click-tab": {"success": 0, "total": 0},
    },
    "seeds": "900000 to 900049",
}


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the embedded checkpoint's card."""
    from agent import demo

    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD))
    monkeypatch.setattr(demo, "CARD", path)
    return path


def test_demo_list_sorts_tasks_by_success_rate(agent: Agent, card: Path) -> None:
    code, out, _ = agent("demo", "--list")
    lines = out.splitlines()
    assert code == 0
    assert "seeds 900000 to 900049" in lines[0]
    assert "agent eval miniwob --seeds 900000:900050" in lines[0]
    assert [line.split() for line in lines[1:6]] == [
        ["focus-text", "50", "of", "50"],
        ["click-test", "49", "of", "50"],
        ["click-link", "9", "of", "10"],
        ["click-test-2", "19", "of", "50"],
        ["click-dialog", "0", "of", "50"],
    ]
    from envs.miniwob.pages import names

    others = " ".join(lines[6:])
    assert f"{len(names()) - 5} other tasks were not evaluated" in others
    arguments = others.replace(",", "").split()
    assert "click-tab" in arguments
    assert "book-flight" in arguments
    assert "click-test" not in arguments


def test_damaged_card_raises_usage_error(card: Path) -> None:
    from agent.demo import format_tasks, success_rates

    assert success_rates()["click-link"] == (9, 10)
    for text in ('{"tasks": {"click-test": 3}}', '{"tasks": [1]}', "[]", "{", '{"tasks": {"a": {"success": 1}}}'):
        card.write_text(text)
        with pytest.raises(UsageError, match=r"card\.json cannot be read .*; install pixelhand again"):
            success_rates()
    card.write_text('{"tasks": {"click-test": {"success": 1, "total": 2}}}')
    assert "on seeds that it was not trained on (agent eval miniwob):" in format_tasks().splitlines()[0]
    card.unlink()
    assert success_rates() == {}
    assert "has no figures" in format_tasks()


def add_figures(card: Path, task: str, successes: int, total: int) -> None:
    """Add the figures of a task to a card."""
    data = json.loads(card.read_text())
    data["tasks"][task] = {"success": successes, "total": total}
    card.write_text(json.dumps(data))


def test_missing_model_error_names_practice_demo(agent: Agent, sessions: list[Any]) -> None:
    code, out, err = agent("run", "book a flight")
    assert (code, out, sessions) == (2, "", [])
    assert err.splitlines()[-1].endswith("agent demo book-flight")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "https://example.org"], "none was named (--model)"),
        (["--on", "browser"], "none was named (--model)"),
        (["--surface", "elsewhere"], "unknown surface 'elsewhere'"),
        (["--url", "practice:clik-test"], "Did you mean 'click-test'"),
        (["--model", "embedded"], "--url is missing"),
    ],
)
def test_run_reports_wrong_option_before_missing_one(
    agent: Agent, sessions: list[Any], arguments: list[str], message: str
) -> None:
    code, out, err = agent("run", "close the dialog", *arguments)
    assert (code, out, sessions) == (2, "", [])
    assert message in err


def test_missing_model_error_names_downloaded_models(
    agent: Agent, sessions: list[Any], hub: Callable[..., None]
) -> None:
    hub("a/ours", revisions=2)
    code, out, err = agent("run", "book a flight")
    assert (code, out, sessions) == (2, "", [])
    assert len(err.splitlines()) == 3
    assert err.startswith("--url is missing")
    assert "on this disk is a/ours;" in err
    assert "--model a/ours --url https://" in err
    hub("b/ours")
    assert "are a/ours, b/ours" in agent("run", "book a flight")[2]


@pytest.mark.parametrize(("failed", "notice"), [([900000, 900002], "one of the 2 of 4 pages"), ([], "")])
def test_demo_seed_is_one_that_succeeded(
    agent: Agent, sessions: list[Any], card: Path, failed: list[int], notice: str
) -> None:
    data = json.loads(card.read_text())
    data["seeds"] = "900000 to 900003"
    data["tasks"]["book-flight"] = {"success": 4 - len(failed), "total": 4, "failed": failed, "broken": []}
    card.write_text(json.dumps(data))
    successful = {900000, 900001, 900002, 900003} - set(failed)
    code, out, _ = agent("demo", "book-flight")
    assert code == 0
    assert sessions[-1][1].seed in successful
    assert ("in its last evaluation; --seed N shows another" in out) == bool(notice)
    assert notice in out
    agent("demo", "book-flight", "--seed", "900002")
    assert sessions[-1][1].seed == 900002
    agent("run", "", "--url", "practice:book-flight", "--model", "embedded")
    assert sessions[-1][1].seed is None


@pytest.mark.parametrize(
    ("successes", "task"),
    [
        ({"login-user": 50, "enter-date": 50}, "login-user"),
        ({"login-user": 48, "enter-date": 49}, "enter-date"),
        ({"login-user": 10, "click-dialog-2": 40}, "click-dialog-2"),
    ],
)
def test_demo_without_task_shows_reliable_one(
    agent: Agent, sessions: list[Any], card: Path, successes: dict[str, int], task: str
) -> None:
    for name, count in successes.items():
        add_figures(card, name, count, 50)
    agent("demo")
    ((goal, settings),) = sessions
    assert (goal, settings.url, settings.model) == ("", f"miniwob:{task}", "embedded")


def test_embedded_card_has_reliable_first_task() -> None:
    from agent.demo import FIRST_TASK_RATE, default_task, success_rates

    successes, total = success_rates()[default_task()]
    assert successes / total >= FIRST_TASK_RATE


def test_demo_accepts_surface(agent: Agent, sessions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("adbutils")
    monkeypatch.setattr("envs.android.checks.check_phone", lambda serial, *, is_practice: None)
    assert agent("demo", "click-dialog-2", "--on", "android:127.0.0.1:5555")[0] == 0
    assert sessions[0][1].surface == "android:127.0.0.1:5555"
    assert sessions[0][1].url == "miniwob:click-dialog-2"


def test_lie_is_refuted_by_refused_request(agent: Agent, chromium: None, tmp_path: Path) -> None:
    code, _, _ = agent("demo", "--lie")
    end = read_trace(last_run(tmp_path)).first("end")
    assert code == 1
    assert (end["status"], end["cause"]) == ("failure", "refuted")
    assert end["proof"]["outcome"] == "refuted"
    assert all("503" in finding["detail"] for finding in end["proof"]["findings"])


@pytest.mark.parametrize("flag", [("click-test",), ("--seed", "3"), ("--surface", "desktop:virtual")])
def test_lie_refuses_other_options(agent: Agent, flag: tuple[str, ...]) -> None:
    code, _, err = agent("demo", "--lie", *flag)
    assert code == 2
    assert "--lie" in err
