"""Tests of agent/trace.py: exact reading, the hash chain, and crashes while writing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import CLICK, HERE, MISS, FakeEnv

from actions import Call, Reply, Screen, UsageError, parse_action
from agent import trace
from agent.loop import Episode, run
from agent.policies.scripted import JsonDialect, ScriptPolicy
from agent.trace import Trace, TraceWriter, find_run, list_runs, new_folder, read_trace
from agent.ui.run_report import format_run, format_runs

NAN = '{"verb": "click", "x": NaN, "y": 1}'
DEEP = '{"verb": "click", "x": ' + "[" * 600 + "]" * 600 + "}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_folder(tmp_path / "runs")


def run_traced(folder: Path, *replies: str, **options: Any) -> Episode:
    writer = TraceWriter(folder, {"goal": "", "seed": 3, "policy": {"model": "script"}})
    try:
        return run("", FakeEnv(), ScriptPolicy(replies), max_steps=20, trace=writer, seed=3, **options)
    finally:
        writer.close()


def test_steps_are_read_back_exactly(folder: Path) -> None:
    episode = run_traced(folder, "nonsense", MISS, '{"verb": "type", "text": "żółw 😀\\n\\ud800"}', CLICK)
    record = read_trace(folder)
    assert (record.status, record.truncated, record.pending_action, record.goal) == ("success", False, None, "press it")
    assert record.manifest["seed"] == 3
    assert record.first("end")["reward"] == 1.0
    assert len(record.steps()) == len(episode.steps) == 4
    for expected, actual in zip(episode.steps, record.steps(), strict=True):
        assert np.array_equal(expected.screen.pixels, actual.screen.pixels)
        assert (
            expected.index,
            expected.reply,
            expected.call,
            expected.action,
            expected.error,
            expected.notice,
            expected.reward,
        ) == ((actual.index, actual.reply, actual.call, actual.action, actual.error, actual.notice, actual.reward))
    assert record.steps()[0].reply.image_digests == (episode.steps[0].screen.digest,)
    assert record.check_frames() == len(list((folder / "frames").iterdir()))


def test_final_screen_is_stored(folder: Path) -> None:
    run_traced(folder, CLICK)
    last = read_trace(folder).finished[-1]
    assert read_trace(folder).screen(last["screen"]).pixels[0, 0].tolist() == [0, 200, 0]


def test_arguments_beyond_json_do_not_fail_run(folder: Path) -> None:
    episode = run_traced(folder, NAN, DEEP, CLICK)
    assert episode.status == "success"
    assert [step.reply.text for step in read_trace(folder).steps()] == [NAN, DEEP, CLICK]


@pytest.mark.parametrize("index", [0, 1, -2, -1])
def test_changed_line_breaks_hash_chain(folder: Path, index: int) -> None:
    run_traced(folder, MISS, CLICK)
    path = folder / "steps.jsonl"
    lines = path.read_bytes().splitlines()
    event = json.loads(lines[index])
    event["at"] += 1
    lines[index] = json.dumps(event).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    if index == -1:
        assert read_trace(folder).status == "success"  # no line follows that would hash the last one
    else:
        with pytest.raises(UsageError, match=r"line \d+ of .* does not follow"):
            read_trace(folder)


@pytest.mark.parametrize(
    "change", [lambda lines: lines[1:], lambda lines: [lines[0], *lines[2:]], lambda lines: [*lines, lines[-1]]]
)
def test_lost_or_added_line_breaks_hash_chain(folder: Path, change: Any) -> None:
    run_traced(folder, MISS, CLICK)
    path = folder / "steps.jsonl"
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")
    with pytest.raises(UsageError, match="does not follow"):
        read_trace(folder)


def test_changed_manifest_breaks_hash_chain(folder: Path) -> None:
    run_traced(folder, CLICK)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(UsageError, match="line 1 "):
        read_trace(folder)


def test_changed_or_missing_frame_raises_usage_error(folder: Path) -> None:
    episode = run_traced(folder, MISS, CLICK)
    frames = sorted((folder / "frames").iterdir())
    assert len(frames) == 2
    frames[0].write_bytes(frames[1].read_bytes())
    with pytest.raises(UsageError, match="was changed"):
        read_trace(folder).screen(frames[0].stem)
    frames[0].unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        read_trace(folder).screen(frames[0].stem)
    assert episode.status == "success"


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_truncated_last_line_is_ignored(folder: Path, cut: int) -> None:
    run_traced(folder, MISS, CLICK)
    path = folder / "steps.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    record = read_trace(folder)
    assert record.truncated
    assert record.status == "broken off"
    assert len(record.steps()) == 2


def test_intent_without_result_is_pending(folder: Path) -> None:
    writer = TraceWriter(folder, {"goal": "g", "policy": {}})
    action = {"verb": "click", "x": 1, "y": 2}
    writer.write("act.intent", step=1, call=Call("click", {"x": 1, "y": 2}), action=action)
    writer.close()
    intent = read_trace(folder).pending_action
    assert intent is not None
    assert intent["action"] == action


def test_event_is_readable_after_write(folder: Path) -> None:
    writer = TraceWriter(folder, {"goal": "g", "policy": {}})
    writer.write("start", goal="g", screen=Screen(np.zeros((2, 3, 3), np.uint8)))
    assert read_trace(folder).goal == "g"
    assert read_trace(folder).check_frames() == 1
    writer.close()
    writer.close()


def test_event_is_one_write_and_one_fsync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TraceWriter(folder, {"goal": "g", "policy": {}})
    calls: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *args: (calls.append("write"), write(*args))[1])
    monkeypatch.setattr(os, "fsync", lambda *args: (calls.append("fsync"), fsync(*args))[1])
    writer.write("reply", step=1, reply=Reply("words"))
    assert calls == ["write", "fsync"]
    writer.close()


def test_full_disk_ends_run_with_readable_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = os.write, 0

    def full(handle: int, data: bytes) -> int:
        nonlocal count
        count += 1
        if count == 6:
            return write(handle, data[: len(data) // 2])
        if count > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr(trace.os, "write", full)
    episode = run_traced(folder, MISS, MISS, CLICK)
    assert episode.status == "error"
    assert "free some space" in episode.message
    record = read_trace(folder)
    assert record.truncated
    assert len(record.events) == 5
    assert record.status == "broken off"


def test_run_ids_are_unique_and_sorted(tmp_path: Path) -> None:
    names = [new_folder(tmp_path).name for _ in range(20)]
    assert names == sorted(names)
    assert len(set(names)) == 20


def test_runs_root_that_is_file_raises_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another with --runs DIR"):
        new_folder(tmp_path / "file")


def test_find_run_accepts_id_prefix_path_and_last(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path / "runs") for _ in range(2)]
    for folder in folders:
        TraceWriter(folder, {"goal": "g", "policy": {}}).close()
    root = tmp_path / "runs"
    assert list_runs(root) == [folder.name for folder in folders]
    assert find_run(root, folders[0].name) == folders[0] == find_run(root, str(folders[0]))
    assert find_run(root, "last") == folders[1]
    with pytest.raises(UsageError, match="2 runs begin with"):
        find_run(root, folders[0].name[:8])
    with pytest.raises(UsageError, match="no run 'nine'"):
        find_run(root, "nine")
    with pytest.raises(UsageError, match="is not the folder of a run"):
        read_trace(tmp_path)


def start_program(folder: Path, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE.parent / "helpers" / "agent_fakes.py"), str(folder), mode],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )


def test_killed_run_leaves_readable_trace(tmp_path: Path) -> None:
    """Kill the process at random moments; no trace is unreadable and no screenshot is missing."""
    rng = random.Random(5)
    for attempt in range(4):
        folder = new_folder(tmp_path / str(attempt))
        process = start_program(folder, "fast")
        assert process.stdout is not None
        assert process.stdout.readline() == "acting\n"
        time.sleep(rng.uniform(0.0, 0.25))
        process.kill()
        started_count = 1 + sum(line == "acting\n" for line in process.stdout)
        process.wait()
        record = read_trace(folder)
        assert record.status == "broken off"
        assert record.check_frames() >= 1
        assert record.steps() is not None
        intents = sum(event["event"] == "act.intent" for event in record.events)
        assert intents >= started_count  # every started action is on disk
        assert len(record.finished) in (intents - 1, intents)


def test_interrupt_finishes_started_action_first(tmp_path: Path) -> None:
    import signal

    for mode, first, steps in (("think", "thinking", 1), ("act", "acting", 1)):
        folder = new_folder(tmp_path / mode)
        process = start_program(folder, mode)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == first:
                break
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        assert json.loads(out.splitlines()[-1]) == ["stopped", "interrupted", steps, False]
        record = read_trace(folder)
        assert record.status == "stopped"
        assert not record.truncated
        assert record.pending_action is None
        assert len(record.finished) == steps


def test_interrupt_before_fsync_keeps_hash_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = trace.TraceWriter(tmp_path, {"goal": "g"})
    writer.write("start", goal="g")
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        writer.write("reply", step=1)
    monkeypatch.setattr(os, "fsync", sync)
    writer.write("end", status="stopped")
    writer.close()
    lines = [json.loads(line) for line in (tmp_path / trace.EVENTS).read_bytes().splitlines()]
    assert [line["event"] for line in lines] == ["start", "reply", "end"]
    raw_lines = (tmp_path / trace.EVENTS).read_bytes().splitlines()
    assert lines[2]["prev"] == hashlib.sha256(raw_lines[1]).hexdigest()


def test_multiple_actions_are_one_step(folder: Path) -> None:
    class ActionListDialect(JsonDialect):
        def parse(self, text: str) -> Call:
            return Call("several", {"list": json.loads(text)})

        def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
            return tuple(parse_action(item) for item in call.arguments["list"])

    reply = json.dumps([{"verb": "click", "x": 5, "y": 5}, {"verb": "type", "text": "hi"}])
    writer = TraceWriter(folder, {"goal": "", "policy": {"model": "script"}})
    policy = ScriptPolicy([reply, json.dumps([{"verb": "click", "x": 120, "y": 110}])], ActionListDialect())
    episode = run("", FakeEnv(), policy, max_steps=9, trace=writer)
    writer.close()
    record = read_trace(folder)
    assert (len(record.finished), record.count, len(record.steps())) == (3, 2, 2)
    for expected, actual in zip(episode.steps, record.steps(), strict=True):
        assert (expected.actions, expected.action, expected.notice, expected.error) == (
            actual.actions,
            actual.action,
            actual.notice,
            actual.error,
        )
        assert expected.seconds == pytest.approx(actual.seconds)
    assert [action.verb for action in record.steps()[0].actions] == ["click", "type"]


def test_foreign_trace_cannot_emit_control_characters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A valid hash chain does not prove that the content is valid."""
    escape = "\x1b]0;owned\x07"
    policy = {"model": escape, "fingerprint": escape}
    writer = TraceWriter(folder, {"goal": escape, "surface": escape, "url": escape, "seed": escape, "policy": policy})
    writer.write("reply", step=escape, screen=escape, reply=Reply(escape))
    facts = {
        "call": None,
        "action": None,
        "error": escape,
        "note": escape,
        "reward": 0.0,
        "verdict": None,
        "screen": escape,
    }
    writer.write("act.result", step=escape, **facts, seconds=0.0, timings_s={})
    writer.write("act.intent", step=escape, call=None, action=parse_action({"verb": "wait"}))
    writer.write("end", status=escape, cause="", message=escape, reward=None, steps=1)
    writer.close()
    monkeypatch.setattr(Trace, "check_frames", lambda run: 0)
    report = format_run(folder.parent, str(folder)) + format_runs(folder.parent)
    assert "owned" in report
    assert not {"\x1b", "\x07"} & set(report)


@pytest.mark.parametrize("missing", ["manifest", "policy", "event", "reply", "reward"])
def test_malformed_trace_error_does_not_hide_others(folder: Path, missing: str) -> None:
    writer = TraceWriter(
        folder, {"goal": "", "surface": "", "url": "", "seed": 1, "policy": {"model": "", "fingerprint": ""}}
    )
    facts = {"call": None, "action": None, "error": "", "note": "", "verdict": None, "screen": "0" * 32}
    if missing == "reply":
        writer.write("act.result", step=1, **facts, reward=0.0, seconds=0.0, timings_s={})
    writer.write("end", status="success", cause="", message="", reward="much" if missing == "reward" else 1.0, steps=1)
    writer.close()
    manifest, events = folder / trace.MANIFEST, folder / trace.EVENTS
    if missing in ("manifest", "policy"):
        manifest.write_text("[]" if missing == "manifest" else '{"goal": "", "surface": "", "url": "", "seed": 1}')
        event = {"event": "end", "prev": hashlib.sha256(manifest.read_bytes()).hexdigest()}
        events.write_text(json.dumps(event) + "\n")
    if missing == "event":
        events.write_text(json.dumps({"prev": hashlib.sha256(manifest.read_bytes()).hexdigest()}) + "\n")
    with pytest.raises(UsageError, match=r"lacks what a run's trace holds|is not the folder of a run"):
        format_run(folder.parent, str(folder))
    other = new_folder(folder.parent)
    run_traced(other, CLICK)
    assert "success" in format_runs(folder.parent).splitlines()[1]
