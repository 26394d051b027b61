"""The HTML report of runs: what it shows of whole, failed, torn and old traces."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path

import pytest
from helpers.command import Agent
from helpers.made_runs import CLICK, MadeStep, make_run, make_screen

from actions import Call, Reply, UsageError, parse_action
from agent.report.records import read_run
from agent.report.run_page import write_run_report
from agent.trace import EVENTS, FRAMES, TraceWriter, read_trace

DENIED = {"effect": "deny", "rule": "urls", "layer": "user", "source": "policy.toml", "reason": "not on the list"}
TYPE = {"verb": "type", "text": "shoes"}


def page_of(*folders: Path) -> str:
    output = folders[0].parent / "page.html"
    return write_run_report(folders, output).read_text(encoding="utf-8")


def start_of(page: str, number: int = 1) -> str:
    matches = re.findall(r'data-number="(\d+)" data-start="([^"]*)"', page)
    return dict(matches)[str(number)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_page_shows_each_step_in_words(root: Path) -> None:
    facts = {"url": "https://shop.example/", "elements": [{"role": "button", "label": "Pay"}], "focus": None}
    page = page_of(
        make_run(
            root,
            [
                MadeStep(
                    CLICK, thought="the button is blue", decision={"effect": "ask", "rule": "pay", "facts": facts}
                ),
                MadeStep(TYPE, notice="typed 5 characters"),
            ],
        )
    )
    for text in ("click (120, 110)", "type &#34;shoes&#34;", "the button is blue", "typed 5 characters", "a reply"):
        assert text in page
    for text in ("preset sandbox", "button &#34;Pay&#34;", "https://shop.example/", "see 300 ms", "think 400 ms"):
        assert text in page
    assert '<circle class="mark" cx="120" cy="110"' in page


def test_page_shows_proof_of_success(root: Path) -> None:
    finding = {"state": "unmet", "expectation": 'text "Saved"', "detail": "it does not hold on the last screen"}
    page = page_of(make_run(root, [MadeStep(CLICK)], proof={"outcome": "refuted", "findings": [finding, 7]}))
    assert "<span>proof</span> refuted" in page
    assert "unmet: text &#34;Saved&#34;: it does not hold" in page


def test_each_screenshot_is_embedded_once(root: Path) -> None:
    steps = [MadeStep(TYPE, is_changed=False)] * 5
    page = page_of(make_run(root, steps))
    assert page.count('<script type="text/plain"') == 1
    assert page.count('data-image="1"') == 11  # before and after of each, and the last one
    assert page.count("after, unchanged") == 10  # caption and alternative text


def test_page_opens_at_first_failure(root: Path) -> None:
    steps = [
        MadeStep(CLICK),
        MadeStep(CLICK, error="outside the page"),
        MadeStep(None, error="no call"),
        MadeStep(CLICK),
    ]
    page = page_of(make_run(root, steps, status="failure"))
    assert start_of(page) == "1-2"
    assert page.count('class="item failed" data-outcome="failed"') == 2
    assert "outside the page" in page


def test_successful_run_opens_at_first_step(root: Path) -> None:
    assert start_of(page_of(make_run(root, [MadeStep(CLICK), MadeStep(CLICK)]))) == "1-1"


def test_failed_run_opens_at_its_end(root: Path) -> None:
    page = page_of(make_run(root, [MadeStep(CLICK)], status="failure", message="out of stock"))
    assert start_of(page) == "1-2"
    assert "out of stock" in page


def test_refusals_have_their_own_outcome(root: Path) -> None:
    steps = [
        MadeStep(CLICK, error="refused by the policy", decision=DENIED),
        MadeStep(CLICK, error="no", decision={"effect": "ask"}, approval={"answer": "refused", "reason": "too dear"}),
        MadeStep(CLICK, decision={"effect": "ask"}, approval={"answer": "edited", "edited": {**CLICK, "x": 7}}),
    ]
    folder = make_run(root, steps)
    records = read_run(read_trace(folder)).records
    assert [record.outcome for record in records] == ["refused", "refused", "done"]
    assert [record.outcome_text for record in records] == ["denied", "refused", "done"]
    page = page_of(folder)
    for text in ("not on the list", "too dear", "click (7, 110)"):
        assert text in page


def test_crash_in_an_action_is_shown(root: Path) -> None:
    folder = make_run(root, [MadeStep(CLICK), MadeStep(TYPE, has_result=False)], status="")
    with (folder / EVENTS).open("ab") as file:
        file.write(b'{"event": "act.res')
    record = read_run(read_trace(folder))
    assert (record.status, record.is_truncated) == ("broken off", True)
    assert [action.outcome for action in record.records] == ["done", "interrupted"]
    page = page_of(folder)
    assert start_of(page) == "1-2"
    assert "may or may not have been carried out" in page
    assert "cut off by a crash" in page


def test_crash_before_first_step_is_shown(root: Path) -> None:
    page = page_of(make_run(root, [], status=""))
    assert "broken off" in page
    assert start_of(page) == "1-1"  # the end


def test_missing_and_changed_screenshots_are_reported(root: Path) -> None:
    folder = make_run(root, [MadeStep(CLICK), MadeStep(CLICK), MadeStep(CLICK)])
    first, second = make_screen(1), make_screen(2)
    (folder / FRAMES / f"{first.digest}.png").unlink()
    (folder / FRAMES / f"{second.digest}.png").write_bytes(b"\x89PNG no image")
    page = page_of(folder)
    assert page.count('class="missing"') == 4
    assert "the trace is incomplete" in page


def test_screenshots_outside_the_run_are_not_read(root: Path) -> None:
    folder = make_run(root, [])
    digest = make_screen(0).digest
    writer = TraceWriter(make_folder(root, "other"), {"goal": "read another run"})
    writer.write("reply", step=1, screen=f"../../{folder.name}/frames/{digest}", reply=Reply(""))
    writer.close()
    assert "names no valid screenshot" in page_of(writer.folder)


def make_folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


def test_trace_without_optional_keys_is_read(root: Path) -> None:
    """Check a trace as the first version wrote it: no decisions, no looks, no timings, no versions."""
    writer = TraceWriter(make_folder(root, "old"), {"goal": "press it"})
    screen = make_screen(0)
    writer.write("start", goal="press it", screen=screen)
    writer.write("reply", step=1, screen=screen, reply={"text": "click", "prompt": "", "pictures": []})
    writer.write("act.intent", step=1, call=None, action=parse_action(CLICK))
    writer.write("act.result", step=1, action={"verb": "teleport", "x": 3}, error="", screen=screen)
    writer.close()
    page = page_of(writer.folder)
    assert "unknown action: teleport 3" in page
    assert "broken off" in page


def test_several_actions_have_records_of_their_own(root: Path) -> None:
    writer = TraceWriter(make_folder(root, "parts"), {"goal": "press twice"})
    call, action = Call("computer_use", {}, ""), parse_action(CLICK)
    writer.write("reply", step=1, screen=make_screen(0), reply=Reply("two clicks"))
    for part in (1, 2):
        position = {"step": 1, "part": part, "parts": 2}
        writer.write("act.intent", **position, call=call, action=action)
        writer.write("act.result", **position, call=call, action=action, error="", note="", screen=make_screen(part))
    writer.close()
    records = read_run(read_trace(writer.folder)).records
    assert [record.label for record in records] == ["1.1", "1.2"]
    assert records[1].before == records[0].after == make_screen(1).digest


def test_several_runs_open_at_first_unsuccessful(root: Path) -> None:
    folders = [make_run(root, [MadeStep(CLICK)]), make_run(root, [MadeStep(CLICK)], status="failure")]
    damaged = make_run(root, [MadeStep(CLICK)])
    path = damaged / EVENTS
    path.write_bytes(path.read_bytes().replace(b'"error": ""', b'"error": "x"'))
    page = page_of(*folders, damaged)
    assert page.count('<tr data-run="') == 3
    assert re.search(r'data-number="2" data-start="2-2" data-first="1"', page)
    assert "the file was changed" in page
    with pytest.raises(UsageError, match="was changed"):
        write_run_report([damaged], root / "page.html")


def test_credentials_and_paths_stay_out(root: Path) -> None:
    manifest = {"url": "https://me:pass1234@shop.example/", "policy": {"model": "local", "path": "/home/me/model"}}
    step = MadeStep(
        {"verb": "open", "target": "https://me:pass1234@shop.example/"},
        notice="at https://me:pass1234@x/",
        decision={"facts": {"url": "file:///home/me/pages/shop.html"}},
    )
    page = page_of(make_run(root, [step], manifest=manifest))
    assert "pass1234" not in page
    assert "/home/me" not in page
    assert "https://shop.example/" in page
    assert "file:…/shop.html" in page


def test_page_loads_nothing_and_allows_own_script(root: Path) -> None:
    page = page_of(make_run(root, [MadeStep(CLICK)]))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"""(src|href)=["'](?![#])""", page.partition("<body>")[2].replace("data-", ""))
    assert " style=" not in page
    assert " on" not in "".join(re.findall(r"<\w+ [^>]*>", page)).replace(" one", "").replace(" or ", " ").replace(
        "content", ""
    )


def test_commands_write_beside_the_run(agent: Agent, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    folder = make_run(root, [MadeStep(CLICK)])
    code, out, _ = agent("runs", "report")
    assert (code, out.strip()) == (0, str(folder.resolve() / "report.html"))
    if sys.platform != "win32":
        assert stat.S_IMODE((folder / "report.html").stat().st_mode) == 0o600
    make_run(root, [MadeStep(CLICK)])
    code, out, _ = agent("runs", "report", "last", folder.name, "--output", str(tmp_path / "both.html"))
    assert code == 0
    assert "2 runs" in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_unwritable_output_names_the_flag(agent: Agent, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", [MadeStep(CLICK)])
    code, _, error = agent("runs", "report", "--output", str(tmp_path / "no" / "page.html"))
    assert code == 2
    assert "--output" in error


def test_hostile_texts_are_escaped(root: Path) -> None:
    text = "</script><script>alert(1)</script>\u202e\ud800"
    page = page_of(make_run(root, [MadeStep(CLICK, thought=text, reply=text, error=text)], goal=text, message=text))
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert json.dumps("&lt;/script&gt;")[1:-1] in page
