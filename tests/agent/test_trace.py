"""The trace: whole after a kill, exact when read back, and honest about what was changed."""

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
from agent.trace import RunRecord, TraceWriter, find_run, list_runs, new_folder, read_trace
from agent.ui.run_report import format_run, format_runs

NAN = '{"verb": "click", "x": NaN, "y": 1}'
DEEP = '{"verb": "click", "x": ' + "[" * 600 + "]" * 600 + "}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_folder(tmp_path / "runs")


def traced(folder: Path, *replies: str, **how: Any) -> Episode:
    writer = TraceWriter(folder, {"goal": "", "seed": 3, "policy": {"model": "script"}})
    try:
        return run("", FakeEnv(), ScriptPolicy(replies), max_steps=20, trace=writer, seed=3, **how)
    finally:
        writer.close()


def test_every_step_can_be_rebuilt(folder: Path) -> None:
    episode = traced(folder, "nonsense", MISS, '{"verb": "type", "text": "żółw 😀\\n\\ud800"}', CLICK)
    back = read_trace(folder)
    assert (back.status, back.truncated, back.pending_action, back.goal) == ("success", False, None, "press it")
    assert back.manifest["seed"] == 3 and back.first("end")["reward"] == 1.0
    assert len(back.steps()) == len(episode.steps) == 4
    for old, new in zip(episode.steps, back.steps(), strict=True):
        assert np.array_equal(old.screen.pixels, new.screen.pixels)
        assert (old.index, old.reply, old.call, old.action, old.error, old.notice, old.reward) == (
            (new.index, new.reply, new.call, new.action, new.error, new.notice, new.reward)
        )
    assert back.steps()[0].reply.image_digests == (episode.steps[0].screen.digest,)
    assert back.check_frames() == len(list((folder / "frames").iterdir()))


def test_the_screen_after_the_last_act_is_kept_too(folder: Path) -> None:
    traced(folder, CLICK)
    last = read_trace(folder).finished[-1]
    assert read_trace(folder).screen(last["screen"]).pixels[0, 0].tolist() == [0, 200, 0]


def test_what_json_cannot_hold_does_not_end_a_run(folder: Path) -> None:
    episode = traced(folder, NAN, DEEP, CLICK)
    assert episode.status == "success"
    assert [step.reply.text for step in read_trace(folder).steps()] == [NAN, DEEP, CLICK]


@pytest.mark.parametrize("at", [0, 1, -2, -1])
def test_a_changed_line_is_seen(folder: Path, at: int) -> None:
    traced(folder, MISS, CLICK)
    path = folder / "steps.jsonl"
    lines = path.read_bytes().splitlines()
    event = json.loads(lines[at])
    event["at"] += 1
    lines[at] = json.dumps(event).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    if at == -1:
        assert read_trace(folder).status == "success"  # nothing follows the last line: its own text is not covered
    else:
        with pytest.raises(UsageError, match=r"line \d+ of .* does not follow"):
            read_trace(folder)


@pytest.mark.parametrize(
    "change", [lambda lines: lines[1:], lambda lines: [lines[0], *lines[2:]], lambda lines: [*lines, lines[-1]]]
)
def test_lost_and_added_lines_are_seen(folder: Path, change: Any) -> None:
    traced(folder, MISS, CLICK)
    path = folder / "steps.jsonl"
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")
    with pytest.raises(UsageError, match="does not follow"):
        read_trace(folder)


def test_a_changed_manifest_is_seen(folder: Path) -> None:
    traced(folder, CLICK)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(UsageError, match="line 1 "):
        read_trace(folder)


def test_a_changed_or_lost_frame_is_seen(folder: Path) -> None:
    episode = traced(folder, MISS, CLICK)
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
def test_a_torn_last_line_is_left_out(folder: Path, cut: int) -> None:
    traced(folder, MISS, CLICK)
    path = folder / "steps.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    back = read_trace(folder)
    assert back.truncated and back.status == "broken off" and len(back.steps()) == 2


def test_an_act_without_its_result_is_named(folder: Path) -> None:
    writer = TraceWriter(folder, {"goal": "g", "policy": {}})
    action = {"verb": "click", "x": 1, "y": 2}
    writer.write("act.intent", step=1, call=Call("click", {"x": 1, "y": 2}), action=action)
    writer.close()
    intent = read_trace(folder).pending_action
    assert intent is not None and intent["action"] == action


def test_an_event_is_on_the_disk_when_write_returns(folder: Path) -> None:
    writer = TraceWriter(folder, {"goal": "g", "policy": {}})
    writer.write("start", goal="g", screen=Screen(np.zeros((2, 3, 3), np.uint8)))
    assert read_trace(folder).goal == "g" and read_trace(folder).check_frames() == 1
    writer.close()
    writer.close()


def test_each_event_is_one_write_and_one_fsync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TraceWriter(folder, {"goal": "g", "policy": {}})
    calls: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *given: (calls.append("write"), write(*given))[1])
    monkeypatch.setattr(os, "fsync", lambda *given: (calls.append("fsync"), fsync(*given))[1])
    writer.write("reply", step=1, reply=Reply("words"))
    assert calls == ["write", "fsync"]
    writer.close()


def test_a_full_disk_ends_the_run_as_the_machines_trouble_and_the_rest_stays_readable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    episode = traced(folder, MISS, MISS, CLICK)
    assert episode.status == "error" and "free some space" in episode.message
    back = read_trace(folder)
    assert back.truncated and len(back.events) == 5 and back.status == "broken off"


def test_run_ids_sort_by_time_and_are_unique(tmp_path: Path) -> None:
    made = [new_folder(tmp_path).name for _ in range(20)]
    assert made == sorted(made) and len(set(made)) == 20


def test_a_place_that_cannot_hold_runs_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another with --runs DIR"):
        new_folder(tmp_path / "file")


def test_a_run_is_found_by_id_beginning_path_or_last(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path / "runs") for _ in range(2)]
    for folder in folders:
        TraceWriter(folder, {"goal": "g", "policy": {}}).close()
    root = tmp_path / "runs"
    assert list_runs(root) == [folder.name for folder in folders]
    assert find_run(root, folders[0].name) == folders[0] == find_run(root, str(folders[0]))
    assert find_run(root, "last") == folders[1]
    with pytest.raises(UsageError, match="begins 2 runs"):
        find_run(root, folders[0].name[:8])
    with pytest.raises(UsageError, match="no run 'nine'"):
        find_run(root, "nine")
    with pytest.raises(UsageError, match="is not the folder of a run"):
        read_trace(tmp_path)


def start(folder: Path, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE.parent / "helpers" / "agent_fakes.py"), str(folder), mode],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )


def test_a_killed_run_leaves_a_whole_trace(tmp_path: Path) -> None:
    """kill -9 at random moments, and never a trace that cannot be read or a picture that is missing."""
    moments = random.Random(5)
    for attempt in range(4):
        folder = new_folder(tmp_path / str(attempt))
        process = start(folder, "fast")
        assert process.stdout is not None and process.stdout.readline() == "acting\n"
        time.sleep(moments.uniform(0.0, 0.25))
        process.kill()
        acted = 1 + sum(line == "acting\n" for line in process.stdout)
        process.wait()
        back = read_trace(folder)
        assert back.status == "broken off"
        assert back.check_frames() >= 1 and back.steps() is not None
        intents = sum(event["event"] == "act.intent" for event in back.events)
        assert intents >= acted  # what was begun is on the disk
        assert len(back.finished) in (intents - 1, intents)


def test_ctrl_c_ends_a_run_and_the_act_that_has_begun_is_finished_first(tmp_path: Path) -> None:
    import signal

    for mode, first, steps in (("think", "thinking", 1), ("act", "acting", 1)):
        folder = new_folder(tmp_path / mode)
        process = start(folder, mode)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == first:
                break
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        assert json.loads(out.splitlines()[-1]) == ["stopped", "interrupted", steps, False]
        back = read_trace(folder)
        assert (
            back.status == "stopped"
            and not back.truncated
            and back.pending_action is None
            and len(back.finished) == steps
        )


def test_an_interrupt_between_writing_and_syncing_leaves_a_whole_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    raw = (tmp_path / trace.EVENTS).read_bytes().splitlines()
    assert lines[2]["prev"] == hashlib.sha256(raw[1]).hexdigest()


def test_a_reply_of_several_actions_is_one_step_with_an_entry_each(folder: Path) -> None:
    class Several(JsonDialect):
        def parse(self, text: str) -> Call:
            return Call("several", {"list": json.loads(text)})

        def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
            return tuple(parse_action(one) for one in call.arguments["list"])

    two = json.dumps([{"verb": "click", "x": 5, "y": 5}, {"verb": "type", "text": "hi"}])
    writer = TraceWriter(folder, {"goal": "", "policy": {"model": "script"}})
    policy = ScriptPolicy([two, json.dumps([{"verb": "click", "x": 120, "y": 110}])], Several())
    episode = run("", FakeEnv(), policy, max_steps=9, trace=writer)
    writer.close()
    back = read_trace(folder)
    assert (len(back.finished), back.count, len(back.steps())) == (3, 2, 2)
    for old, new in zip(episode.steps, back.steps(), strict=True):
        assert (old.actions, old.action, old.notice, old.error) == (new.actions, new.action, new.notice, new.error)
        assert old.seconds == pytest.approx(new.seconds)
    assert [action.verb for action in back.steps()[0].actions] == ["click", "type"]


def test_a_strangers_trace_writes_nothing_but_words_to_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chain may be whole: whoever made it chose what stands in it."""
    evil = "\x1b]0;owned\x07"
    policy = {"model": evil, "fingerprint": evil}
    writer = TraceWriter(folder, {"goal": evil, "surface": evil, "url": evil, "seed": evil, "policy": policy})
    writer.write("reply", step=evil, screen=evil, reply=Reply(evil))
    facts = {"call": None, "action": None, "error": evil, "note": evil, "reward": 0.0, "verdict": None, "screen": evil}
    writer.write("act.result", step=evil, **facts, seconds=0.0, timings_s={})
    writer.write("act.intent", step=evil, call=None, action=parse_action({"verb": "wait"}))
    writer.write("end", status=evil, cause="", message=evil, reward=None, steps=1)
    writer.close()
    monkeypatch.setattr(RunRecord, "check_frames", lambda run: 0)
    told = format_run(folder.parent, str(folder)) + format_runs(folder.parent)
    assert "owned" in told and not {"\x1b", "\x07"} & set(told)


@pytest.mark.parametrize("lacks", ["manifest", "policy", "event", "reply", "reward"])
def test_a_trace_that_is_not_one_of_ours_is_a_sentence_and_hides_no_other(folder: Path, lacks: str) -> None:
    writer = TraceWriter(
        folder, {"goal": "", "surface": "", "url": "", "seed": 1, "policy": {"model": "", "fingerprint": ""}}
    )
    facts = {"call": None, "action": None, "error": "", "note": "", "verdict": None, "screen": "0" * 32}
    if lacks == "reply":
        writer.write("act.result", step=1, **facts, reward=0.0, seconds=0.0, timings_s={})
    writer.write("end", status="success", cause="", message="", reward="much" if lacks == "reward" else 1.0, steps=1)
    writer.close()
    manifest, events = folder / trace.MANIFEST, folder / trace.EVENTS
    if lacks in ("manifest", "policy"):
        manifest.write_text("[]" if lacks == "manifest" else '{"goal": "", "surface": "", "url": "", "seed": 1}')
        event = {"event": "end", "prev": hashlib.sha256(manifest.read_bytes()).hexdigest()}
        events.write_text(json.dumps(event) + "\n")
    if lacks == "event":
        events.write_text(json.dumps({"prev": hashlib.sha256(manifest.read_bytes()).hexdigest()}) + "\n")
    with pytest.raises(UsageError, match=r"lacks what a run's trace holds|is not the folder of a run"):
        format_run(folder.parent, str(folder))
    other = new_folder(folder.parent)
    traced(other, CLICK)
    assert "success" in format_runs(folder.parent).splitlines()[1]
