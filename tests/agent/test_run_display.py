"""The displays of a run: panel, plain lines, JSON lines, questions to the user, and the report of a recorded run."""

from __future__ import annotations

import io
import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, HERE, MISS, FakeEnv
from helpers.eventually import eventually

from actions import Click, Reply, Screen, Step, UsageError, make_action
from agent.config import Settings
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.safety.approval import ApprovalRequest
from agent.session import install_guard, safety_policy
from agent.trace import TraceWriter, new_folder
from agent.ui import display as display_module
from agent.ui.display import Display, JsonDisplay, LiveDisplay, TextDisplay, display, partial_thought
from agent.ui.run_report import format_run

ROOT = HERE.parent.parent
UNTRUSTED = "\x1b[2J\x1b]0;title\x07 \u202emirrored \ud800 [red]markup[/red] \x9b31m"
BEGIN = {"event": "begin", "run": "/runs/1", "model": "script", "where": "a fake, seed 3"}


def show(observer: Display, *replies: str, env: FakeEnv | None = None, **options: Any) -> None:
    """Run a script that the display observes."""
    with observer:
        observer(BEGIN)
        run("", env or FakeEnv(), ScriptPolicy(replies), max_steps=9, on_event=observer, **options)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class JsonStream(io.StringIO):
    """A stream whose text can be read after it was closed."""

    def close(self) -> None:
        self.text = self.getvalue()


def without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def last_panel(text: str) -> str:
    """Return the last panel that was drawn, and what follows it."""
    text = without_styles(text)
    return text[text.rindex("╭") :]


# plain lines


def test_text_display_shows_steps_without_escape_codes() -> None:
    out = io.StringIO()
    show(TextDisplay(out), "nonsense", '{"verb": "type", "text": "hi"}', CLICK)
    text = out.getvalue()
    assert "\x1b" not in text
    for line in (
        "goal     press it",
        'step     2 of 9: type "hi"',
        "machine  typed 2 characters",
        "mistake  the reply is not JSON",
        "thought  the button",
    ):
        assert line in text
    end, *last_lines = text.splitlines()[-4:]
    assert end.startswith("end      success after 3 steps: the task is")
    assert last_lines == ["verdict  the page's own reward is 1", "proof    verified", "trace    /runs/1"]


def test_text_display_survives_ascii_stream() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    show(TextDisplay(out), json.dumps({"verb": "type", "text": "żółw 😀"}), CLICK)
    assert b'type "???w ?"' in raw.getvalue()


@pytest.mark.parametrize(
    ("has_task", "verdict"), [(True, "none yet: the task is not finished"), (False, "none: no task judges this page")]
)
def test_missing_verdict_is_explained(has_task: bool, verdict: str) -> None:
    for display_type, out in ((TextDisplay, io.StringIO()), (LiveDisplay, Terminal())):
        show(display_type(out), DONE, env=FakeEnv(task=has_task))
        assert f"verdict  {verdict}" in without_styles(out.getvalue())


def test_refused_action_is_not_shown_as_done(tmp_path: Path) -> None:
    out, env = io.StringIO(), FakeEnv()
    observer = TextDisplay(out)

    class Refuser:
        def approve(self, request: ApprovalRequest) -> str:
            return "no"

        def paused(self, reason: str) -> str:
            return ""

    def emit(event: str, **facts: Any) -> None:
        observer({"event": event, **facts})

    install_guard(env, safety_policy(Settings(approve="each")), tmp_path, emit, Refuser())
    show(observer, MISS, DONE, env=env, approves_each=True)
    assert "step     1 of 9: refused: click (5, 5)" in out.getvalue()


def test_pause_without_terminal_is_shown() -> None:
    out = io.StringIO()
    TextDisplay(out)({"event": "paused", "why": "the user moved the mouse", "rests_s": 3.0})
    assert "the user moved the mouse; the run goes on after the mouse has rested for 3 s" in out.getvalue()


def test_pause_at_terminal_prints_no_second_line() -> None:
    out = io.StringIO()
    TextDisplay(out)({"event": "paused", "why": "the user moved the mouse", "rests_s": None})
    assert out.getvalue() == ""


# the panel


def test_panel_shows_state_of_run() -> None:
    out = Terminal()
    show(LiveDisplay(out), MISS, CLICK)
    text = last_panel(out.getvalue())
    for words in (
        "script on a fake, seed 3",
        "goal",
        "press it",
        "2 of 9, success",
        "click (5, 5)",
        "click (120, 110)",
        "thought",
        "the button",
        "verdict",
        "own reward is 1",
        "a step; last: act 10 ms, settle 20 ms",
        "/runs/1",
    ):
        assert words in text


def test_panel_shows_untrusted_text_as_text() -> None:
    out = Terminal()
    reply = json.dumps({"verb": "done", "message": UNTRUSTED.replace("\ud800", ""), "thought": UNTRUSTED})
    show(LiveDisplay(out), reply, env=FakeEnv(task=False, goal=UNTRUSTED))
    text = out.getvalue()
    for sequence in ("\x1b[2J", "\x1b]0;", "\u202e"):
        assert sequence not in text
    assert "[red]markup[/red]" in last_panel(text)


def test_panel_is_removed_when_run_raises() -> None:
    out = Terminal()
    observer = LiveDisplay(out)
    with pytest.raises(ZeroDivisionError), observer:
        observer(BEGIN)
        raise ZeroDivisionError
    assert observer.live is None
    text = out.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is visible again"


def test_panel_is_suspended_during_question(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    observer = LiveDisplay(out)
    panels = []

    def answer(prompt: str) -> str:
        panels.append(observer.live)
        return "blue"

    monkeypatch.setattr("builtins.input", answer)
    show(observer, '{"verb": "ask", "question": "which?"}', CLICK, ask=observer.ask)
    assert panels == [None]
    text = without_styles(out.getvalue())
    assert "asks     which?" in text
    assert "The person answers: blue" in text


def test_panel_fits_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    show(LiveDisplay(out), MISS, CLICK)
    assert max(len(line) for line in last_panel(out.getvalue()).splitlines()[:6]) <= 30


def test_panel_shows_partial_thought() -> None:
    out = Terminal()
    observer = LiveDisplay(out)

    class StreamingPolicy(ScriptPolicy):
        def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
            observer.on_text('The button is <tool_call>{"name": "computer_use"')
            assert observer.live is not None
            observer.live.refresh()
            return super().decide(goal, steps, screen, verbs)

    with observer:
        observer(BEGIN)
        run("", FakeEnv(), StreamingPolicy([CLICK]), max_steps=9, on_event=observer)
    text = without_styles(out.getvalue())
    assert re.search(r"thought +The button is", text)
    assert "computer_use" not in text
    assert "The button is" not in last_panel(text)


def test_panel_shows_proposed_action_in_words() -> None:
    observer = LiveDisplay(Terminal())
    observer({"event": "act.intent", "step": 1, "call": None, "action": make_action("click", x=1, y=2)})
    assert ("wants", "click (1, 2)", "") in list(observer._current_rows())


@pytest.mark.parametrize(
    ("reply_text", "thought"),
    [
        ('<tool_call>\n{"name": "computer_use", "arguments": {"act', ""),
        ("I click OK.\n<tool_call>", "I click OK."),
        ('{"verb": "click", "thought": "the \\"OK\\" butt', 'the "OK" butt'),
        ("Thought: I click OK (at the top).\nAction: click(start", "I click OK (at the top)."),
        ("<think>look first", "look first"),
    ],
)
def test_partial_thought_leaves_out_the_call(reply_text: str, thought: str) -> None:
    assert partial_thought(reply_text) == thought


# JSON lines


def test_json_display_writes_each_step() -> None:
    out = JsonStream()
    show(JsonDisplay(out), "nonsense", '{"verb": "type", "text": "\\ud800"}', CLICK)
    lines = [json.loads(line) for line in out.text.splitlines()]
    assert [line["event"] for line in lines] == ["start", "step", "step", "step", "end"]
    start, first, _, last, end = lines
    assert (start["goal"], start["run"]) == ("press it", "/runs/1")
    assert first["action"] is None
    assert "not JSON" in first["error"]
    assert last["action"]["verb"] == "click"
    assert last["verdict"] == {"done": True, "reward": 1.0}
    assert last["thought"] == "the button"
    assert set(last["timings_s"]) == {"think", "act", "settle"}
    assert end.items() >= {"event": "end", "status": "success", "reward": 1.0, "steps": 3, "run": "/runs/1"}.items()
    assert end["cause"] == "verdict"
    assert last["screenshot"].startswith("/runs/1/frames/")


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (ValueError("no"), "error", "machine"),
        (UsageError("no"), "error", "usage"),
    ],
)
def test_json_display_always_writes_end(error: BaseException, status: str, cause: str) -> None:
    out = JsonStream()
    with pytest.raises(type(error)), JsonDisplay(out):
        raise error
    end = json.loads(out.text)
    assert end.items() >= {"event": "end", "status": status, "reward": None, "steps": 0, "run": ""}.items()
    assert (end["cause"], end["message"]) == (cause, str(error))


def test_closed_reader_ends_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = FakeEnv()
    with pytest.raises(BrokenPipeError):
        show(JsonDisplay(os.fdopen(writer, "w")), MISS, CLICK, env=env)
    assert env.surface.performed == []


def test_display_type_depends_on_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert type(display(None, Terminal())) is LiveDisplay
    assert type(display(None, io.StringIO())) is TextDisplay
    assert type(display(io.StringIO(), Terminal())) is JsonDisplay
    monkeypatch.setenv("TERM", "dumb")
    assert type(display(None, Terminal())) is TextDisplay


# questions


def request(description: str, screenshot: str) -> ApprovalRequest:
    return ApprovalRequest(description, Path(screenshot), Click(x=1, y=2))


@pytest.mark.parametrize("display_type", [TextDisplay, LiveDisplay])
def test_approval_shows_action_screenshot_and_keys(
    display_type: type[TextDisplay], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["y", "the other one", ""])
    monkeypatch.setattr(display_module, "_read_fresh_line", lambda prompt: next(answers))
    out = Terminal()
    with display_type(out) as observer:
        observer(BEGIN)
        assert observer.approve(request("click (1, 2)", "/runs/1/approvals/0001.png")) == "y"
        observer({"event": "reply", "reply": Reply("words", uncertainty="a second look was unsure too")})
        assert observer.approve(request("type \x1b[2J", "/runs/1/approvals/0002.png")) == "the other one"
        assert observer.paused("you moved the mouse") == ""
    text = without_styles(out.getvalue())
    for words in (
        "wants    click (1, 2)",
        "picture  /runs/1/approvals/0001.png",
        "y: do it; a: do it, and all of its kind in this run; s: stop the run; ?: help",
        "paused   you moved the mouse; Enter goes on",
    ):
        assert words in text
    assert text.count("unsure   the model is not sure of the place: a second look was unsure too") == 1


def test_question_mark_prints_help(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["?", " ? ", "y"])
    monkeypatch.setattr(display_module, "_read_fresh_line", lambda prompt: next(answers))
    out = io.StringIO()
    assert TextDisplay(out).approve(request("click (1, 2)", "0001.png")) == "y"
    assert out.getvalue().count("do not ask again in this run for actions of its kind") == 2


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_input_typed_before_question_is_discarded() -> None:
    """An agent that types "y" into its own terminal must not approve its own action."""
    import pty

    controller, terminal = pty.openpty()
    code = (
        "import sys; from agent.ui.display import _read_fresh_line; print('ready', flush=True); "
        "sys.stdin.readline(); print('read', repr(_read_fresh_line('now? ')))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT)
    os.close(terminal)
    output = bytearray()

    def has_printed(text: bytes) -> bool:
        if select.select([controller], [], [], 0.1)[0]:
            try:
                output.extend(os.read(controller, 1000))
            except OSError:
                pass  # the process has closed its end
        return text in output

    try:
        eventually(lambda: has_printed(b"ready"))
        os.write(controller, b"go\ny\n")  # the second line is there before the question
        eventually(lambda: has_printed(b"now? "))
        os.write(controller, b"no\n")
        eventually(lambda: has_printed(b"read '"))
        eventually(lambda: has_printed(b"'no'"))
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    assert b"read 'no'" in output


# the report of a recorded run


def test_report_tells_refused_and_done_apart(tmp_path: Path) -> None:
    class ScriptedApprover:
        answers = iter(["not that one", "y"])

        def approve(self, request: ApprovalRequest) -> str:
            return next(self.answers)

        def paused(self, reason: str) -> str:
            return ""

    folder = new_folder(tmp_path)
    manifest = {"goal": "", "surface": "fake", "url": "", "seed": 0, "policy": {"model": "m", "fingerprint": "f"}}
    writer = TraceWriter(folder, manifest)
    env = FakeEnv()
    install_guard(env, safety_policy(Settings(approve="each")), folder, writer.write, ScriptedApprover())
    run("", env, ScriptPolicy(['{"verb": "click", "x": 999, "y": 1}', MISS, CLICK]), max_steps=9, trace=writer)
    writer.close()
    report = format_run(tmp_path, folder.name)
    assert "refused  click (5, 5)" in report
    assert "did      click (120, 110)" in report
    assert "did      click (5, 5)" not in report
