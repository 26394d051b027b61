"""What a person and a program see of a run."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, HERE, MISS, FakeEnv

from actions import ACTION_TYPES, CONTROL_ACTIONS, Reply, make_action
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.ui import display as display_module
from agent.ui.display import Display, JsonDisplay, LiveDisplay, TextDisplay, display
from agent.ui.formatting import describe_action, format_duration, format_timings, sanitize

ROOT = HERE.parent.parent
EVIL = "\x1b[2J\x1b]0;title\x07 \u202emirrored \ud800 [red]markup[/red] \x9b31m"


def show(shown: Display, *replies: str, env: FakeEnv | None = None, **how: Any) -> None:
    env = env or FakeEnv()
    with shown:
        shown({"event": "begin", "run": "/runs/1", "model": "script", "where": "a fake, seed 3"})
        run("", env, ScriptPolicy(replies), max_steps=9, on_event=shown, **how)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def unstyled(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def last_panel(text: str) -> str:
    """The last box that was drawn, and what follows it."""
    text = unstyled(text)
    return text[text.rindex("╭") :]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (make_action("click", x=12, y=40), "click (12, 40)"),
        (
            make_action("click", x=1, y=2, button="right", count=2, modifiers=("ctrl",)),
            "ctrl+double-right-click (1, 2)",
        ),
        (make_action("move", x=1, y=2), "move to (1, 2)"),
        (make_action("drag", path=((1, 2), (5, 6))), "drag from (1, 2) to (5, 6)"),
        (
            make_action("drag", path=((1, 2), (3, 4), (5, 6)), modifiers=("ctrl",)),
            "ctrl+drag from (1, 2) through 1 more to (5, 6)",
        ),
        (make_action("drag", path=((5, 6),)), "drag from the pointer to (5, 6)"),
        (make_action("scroll", x=1, y=2, down=-3), "scroll up 3 at (1, 2)"),
        (make_action("scroll", down=3, right=-1), "scroll down 3 and left 1"),
        (make_action("scroll"), "scroll down 0"),
        (make_action("long_press", x=1, y=2, seconds=1.5), "press (1, 2) for 1.5 s"),
        (make_action("type", text="a\nb\t"), 'type "a⏎b⇥"'),
        (make_action("press", keys=("ctrl", "c")), "press ctrl+c"),
        (make_action("open", target="https://a.org"), "open https://a.org"),
        (make_action("wait", seconds=2), "wait 2 s"),
        (make_action("answer", text="42"), 'answer "42"'),
        (make_action("ask", question="which?"), 'ask "which?"'),
        (make_action("done", status="failure", message="no"), 'done: failure ("no")'),
        (make_action("back"), "back"),
        (make_action("home"), "home"),
        (None, "none"),
    ],
)
def test_actions_in_words(action: Any, words: str) -> None:
    assert describe_action(action) == words


def test_every_verb_has_words() -> None:
    assert ACTION_TYPES.keys() > CONTROL_ACTIONS
    needed = {"x": 1, "y": 2, "path": ((1, 2),), "text": "t", "keys": ("a",), "target": "t", "question": "q"}
    for verb, model in ACTION_TYPES.items():
        fields = {name: needed[name] for name, field in model.model_fields.items() if field.is_required()}
        assert len(describe_action(make_action(verb, **fields))) >= 4


def test_foreign_text_cannot_act_on_a_terminal() -> None:
    shown = sanitize(EVIL)
    assert "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown and "\x9b" not in shown
    assert shown.encode("utf-8") and "[red]markup[/red]" in shown
    assert sanitize("x" * 5000, 10) == "x" * 9 + "…" and sanitize("a\r\nb\tc") == "a  b c"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0321, "32 ms"), (0.9999, "1.0 s"), (1.44, "1.4 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_seconds(value: float, words: str) -> None:
    assert format_duration(value) == words


def test_breakdown_splits_what_a_model_took() -> None:
    times = {"think": 2.0, "preprocess": 0.1, "prefill": 0.4, "decode": 1.5, "act": 0.03, "settle": 0.2}
    assert format_timings(times) == "see 500 ms, think 1.5 s, act 30 ms, settle 200 ms"
    assert format_timings({"think": 0.00001, "act": 0.1}) == "act 100 ms"


def test_lines_tell_everything_and_have_no_escape_codes() -> None:
    out = io.StringIO()
    show(TextDisplay(out), "nonsense", '{"verb": "type", "text": "hi"}', CLICK)
    text = out.getvalue()
    assert "\x1b" not in text
    assert (
        "goal     press it" in text and 'step     2 of 9: type "hi"' in text and "machine  typed 2 characters" in text
    )
    assert "mistake  the reply is not JSON" in text and "thought  the button" in text
    tail = text.splitlines()[-3:]
    assert tail[0] == "end      success after 3 steps: the task is over: done"
    assert tail[1] == "verdict  the page's own reward is 1" and tail[2] == "trace    /runs/1"


def test_lines_survive_a_log_that_cannot_spell() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    show(TextDisplay(out), json.dumps({"verb": "type", "text": "żółw 😀"}), CLICK)
    assert b'type "????? ?"' in raw.getvalue() or b'type "???w ?"' in raw.getvalue()


def test_a_panel_shows_goal_step_thought_action_verdict_and_seconds() -> None:
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
    ):
        assert words in text
    for words in (
        "thought",
        "the button",
        "verdict",
        "own reward is 1",
        "a step; last: act 10 ms, settle 20 ms",
        "/runs/1",
    ):
        assert words in text


def test_a_panel_shows_foreign_text_as_text() -> None:
    out = Terminal()
    says = EVIL.replace("\ud800", "")
    show(
        LiveDisplay(out),
        json.dumps({"verb": "done", "message": says, "thought": EVIL}),
        env=FakeEnv(task=False, goal=EVIL),
    )
    text = out.getvalue()
    assert "\x1b[2J" not in text and "\x1b]0;" not in text and "\u202e" not in text
    assert "[red]markup[/red]" in last_panel(text)


def test_a_panel_is_taken_down_when_the_run_breaks() -> None:
    out = Terminal()
    shown = LiveDisplay(out)
    with pytest.raises(ZeroDivisionError), shown:
        shown({"event": "begin", "run": "/runs/1", "model": "m", "where": "w"})
        raise ZeroDivisionError
    assert shown.live is None and out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex(
        "\x1b[?25l"
    )  # the cursor is back


def test_a_panel_steps_aside_for_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    shown = LiveDisplay(out)
    during = []

    def answer(prompt: str) -> str:
        during.append(shown.live)
        return "blue"

    monkeypatch.setattr("builtins.input", answer)
    show(shown, '{"verb": "ask", "question": "which?"}', CLICK, ask=shown.ask)
    assert during == [None] and "asks     which?" in unstyled(out.getvalue())
    assert "The person answers: blue" in unstyled(out.getvalue())


def test_a_panel_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    show(LiveDisplay(out), MISS, CLICK)
    assert max(len(line) for line in last_panel(out.getvalue()).splitlines()[:6]) <= 30


class Kept(io.StringIO):
    def close(self) -> None:
        self.kept = self.getvalue()


def test_json_lines_hold_each_step() -> None:
    out = Kept()
    show(JsonDisplay(out), "nonsense", '{"verb": "type", "text": "\\ud800"}', CLICK)
    lines = [json.loads(line) for line in out.kept.splitlines()]
    assert [line["event"] for line in lines] == ["start", "step", "step", "step", "end"]
    assert lines[0]["goal"] == "press it" and lines[0]["run"] == "/runs/1"
    assert lines[1]["action"] is None and "not JSON" in lines[1]["error"]
    assert lines[3]["action"]["verb"] == "click" and lines[3]["verdict"] == {"done": True, "reward": 1.0}
    assert lines[3]["thought"] == "the button" and set(lines[3]["timings_s"]) == {"think", "act", "settle"}
    assert lines[-1] == {"event": "end", "status": "success", "reward": 1.0, "steps": 3, "run": "/runs/1"}


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "stopped"), (ValueError, "error")])
def test_json_lines_end_also_when_nothing_began(error: type[BaseException], status: str) -> None:
    out = Kept()
    with pytest.raises(error), JsonDisplay(out):
        raise error
    assert json.loads(out.kept) == {"event": "end", "status": status, "reward": None, "steps": 0, "run": ""}


def test_the_display_fits_where_it_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert type(display(None, Terminal())) is LiveDisplay and type(display(None, io.StringIO())) is TextDisplay
    assert type(display(io.StringIO(), Terminal())) is JsonDisplay
    monkeypatch.setenv("TERM", "dumb")
    assert type(display(None, Terminal())) is TextDisplay
    show(display(None, io.StringIO()), DONE)


@pytest.mark.parametrize(
    ("task", "words"), [(True, "none yet: the task is not finished"), (False, "none: no task judges this page")]
)
def test_a_run_without_a_verdict_says_why(task: bool, words: str) -> None:
    for kind, out in ((TextDisplay, io.StringIO()), (LiveDisplay, Terminal())):
        show(kind(out), DONE, env=FakeEnv(task=task))
        assert f"verdict  {words}" in unstyled(out.getvalue())


def test_a_panel_shows_the_models_words_as_they_come() -> None:
    out = Terminal()
    shown = LiveDisplay(out)

    class Talking(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            shown.text("half a sent")
            shown.live.refresh()
            return super().decide(goal, steps, screen, verbs)

    with shown:
        shown({"event": "begin", "run": "/runs/1", "model": "script", "where": "w"})
        run("", FakeEnv(), Talking([CLICK]), max_steps=9, on_event=shown)
    assert re.search(r"says +half a sent", unstyled(out.getvalue())) and "half a sent" not in last_panel(out.getvalue())


def test_a_program_that_stops_reading_ends_the_run_without_a_second_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = FakeEnv()
    with pytest.raises(BrokenPipeError):
        show(JsonDisplay(os.fdopen(writer, "w")), MISS, CLICK, env=env)
    assert env.surface.performed == []


def test_a_question_about_an_action_has_its_words_its_picture_and_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["y", "the other one", ""])
    monkeypatch.setattr(display_module, "_fresh_line", lambda prompt: next(answers))
    for make_one in (TextDisplay, LiveDisplay):
        answers = iter(["y", "the other one", ""])
        out = Terminal()
        with make_one(out) as shown:
            shown({"event": "begin", "run": "/runs/1", "model": "script", "where": "a fake"})
            assert shown.approve("click (1, 2)", Path("/runs/1/asked/0001.png")) == "y"
            shown({"event": "reply", "reply": Reply("words", uncertainty="a second look was unsure too")})
            assert shown.approve("type \x1b[2J", Path("/runs/1/asked/0002.png")) == "the other one"
            assert shown.paused("you moved the mouse") == ""
        text = unstyled(out.getvalue())
        assert "wants    click (1, 2)" in text and "picture  /runs/1/asked/0001.png" in text
        assert text.count("unsure   the model is not sure of the place: a second look was unsure too") == 1
        assert "y: do it; s: stop the run" in text and "paused   you moved the mouse; Enter goes on" in text


def test_a_pause_without_a_terminal_is_told() -> None:
    out = io.StringIO()
    TextDisplay(out)({"event": "paused", "why": "the person moved the mouse", "rests_s": 3.0})
    assert "goes on when the mouse has rested for 3 s" in out.getvalue()
    quiet = io.StringIO()
    TextDisplay(quiet)({"event": "paused", "why": "the person moved the mouse", "rests_s": None})
    assert quiet.getvalue() == ""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_what_was_typed_before_a_question_does_not_answer_it() -> None:
    """An agent that types "y" into the very terminal that it asks in must not approve itself."""
    import pty
    import select
    import subprocess
    import sys
    import time

    ours, theirs = pty.openpty()
    code = "import time; time.sleep(1); from agent.panel import _fresh_line; print('got', repr(_fresh_line('now? ')))"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    os.write(ours, b"y\n")
    seen, until = b"", time.monotonic() + 60
    asked = False
    while b"got" not in seen and time.monotonic() < until:
        if select.select([ours], [], [], 0.2)[0]:
            seen += os.read(ours, 1000)
        if b"now? " in seen and not asked:
            asked = True
            os.write(ours, b"no\n")
    while process.poll() is None and select.select([ours], [], [], 5)[0]:
        try:
            seen += os.read(ours, 1000)
        except OSError:
            break  # the other end is closed
    process.wait(10)
    os.close(ours)
    assert b"got 'no'" in seen, seen
