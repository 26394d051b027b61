"""Nobody's screen is touched unasked: approvals, refusals with a reason, stops, pauses; and who is asked at all."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv
from PIL import Image

from actions import ActionDeniedError, Drag, Reply, Screen, TypeText, make_action
from agent.config import Settings
from agent.loop import Episode, run
from agent.policies.scripted import ScriptPolicy
from agent.safety import approval
from agent.safety.approval import ApprovalGuard, requires_approval
from agent.session import install_approval
from agent.trace import TraceWriter, new_folder, read_trace
from agent.ui.annotate import EDGE, LINE, draw_action
from agent.ui.display import TextDisplay

TYPE = '{"verb": "type", "text": "hello"}'


class Someone:
    """Answers from a list; EOFError after it. happens is called at each question, before the answer."""

    def __init__(self, *answers: str, happens: Any = None) -> None:
        self.answers, self.happens = list(answers), happens
        self.heard: list[tuple[str, Path | None]] = []

    def approve(self, words: str, picture: Path) -> str:
        return self._answer(words, picture)

    def paused(self, why: str) -> str:
        return self._answer(why, None)

    def _answer(self, words: str, picture: Path | None) -> str:
        self.heard.append((words, picture))
        if self.happens:
            self.happens()
        if not self.answers:
            raise EOFError
        answer = self.answers.pop(0)
        if answer == "^C":
            raise KeyboardInterrupt
        return answer


class Told(list[tuple[str, dict[str, Any]]]):
    def __call__(self, event: str, **facts: Any) -> None:
        self.append((event, facts))


def own_screen(**more: Any) -> FakeEnv:
    """An environment on somebody's own screen."""
    env = FakeEnv(task=False, **more)
    env.surface.is_user_owned = True
    return env


def touched(env: FakeEnv) -> list[str]:
    """The verbs that were performed; a look at the screen is a wait of 0 s."""
    return [action.verb for action in env.surface.performed if action.verb != "wait"]


def go(
    env: FakeEnv, person: Any, folder: Path, replies: Sequence[str], approve: str = "", max_steps: int = 9
) -> tuple[Episode, Told]:
    told = Told()
    each = install_approval(env, Settings(approve=approve), folder, told, person)
    return run("", env, ScriptPolicy(replies), max_steps=max_steps, approves_each=each), told


# approval


def test_an_approved_action_is_done_and_was_shown_in_words_and_on_a_picture(tmp_path: Path) -> None:
    env, person = own_screen(), Someone("y", "YES")
    episode, told = go(env, person, tmp_path, [CLICK, TYPE, DONE])
    assert episode.status == "success" and [action.verb for action in env.surface.performed] == ["click", "type"]
    assert [words for words, _ in person.heard] == ["click (120, 110)", 'type "hello"']
    assert [facts["answer"] for event, facts in told if event == "approval"] == ["approved", "approved"]
    first, second = (np.asarray(Image.open(path)) for _, path in person.heard)
    clean = episode.steps[0].screen.pixels
    changed = np.argwhere((first != clean).any(axis=2))
    middle = changed.mean(axis=0)
    assert abs(middle[0] - 110) < 1 and abs(middle[1] - 120) < 1 and len(changed) > 200
    assert (first[110, 120] == clean[110, 120]).all(), "the target itself stays visible"
    assert (second == episode.steps[1].screen.pixels).all()  # typing has no place to mark


class Unsure(ScriptPolicy):
    def decide(self, *given: Any) -> Reply:
        return replace(super().decide(*given), uncertainty="it is dark")


@pytest.mark.parametrize(("approve", "questions", "approvals"), [("each", 0, 1), ("never", 2, 0)])
def test_an_unsure_action_is_asked_about_once(tmp_path: Path, approve: str, questions: int, approvals: int) -> None:
    env, person, asked = own_screen(), Someone("y", "y"), list[str]()

    def ask(question: str) -> str:
        asked.append(question)
        return "y"

    each = install_approval(env, Settings(approve=approve), tmp_path, Told(), person)
    episode = run("", env, Unsure([CLICK, DONE]), max_steps=3, ask=ask, approves_each=each)
    assert episode.status == "success" and touched(env) == ["click"]
    assert (len(asked), len(person.heard)) == (questions, approvals)


def test_nothing_touches_the_machine_before_the_answer(tmp_path: Path) -> None:
    env = own_screen()
    person = Someone("y", happens=lambda: seen.append(len(env.surface.performed)))
    seen: list[int] = []
    go(env, person, tmp_path, [CLICK, DONE])
    assert seen == [0] and len(env.surface.performed) == 1


def test_the_model_reads_the_reason_of_a_refusal_and_it_counts_against_nobody(tmp_path: Path) -> None:
    env, person = own_screen(), Someone(*["not there, use the blue one"] * 6, "no", "y")
    episode, told = go(env, person, tmp_path, [MISS] * 7 + [CLICK, DONE], max_steps=12)
    assert episode.status == "success" and env.surface.clicked and touched(env) == ["click"]
    assert episode.steps[0].error.startswith("the person refused this: not there, use the blue one; do something else")
    assert "gave no reason" in episode.steps[6].error
    assert told[0][1]["reason"] == "not there, use the blue one"


def test_after_a_refusal_the_screen_is_looked_at_again(tmp_path: Path) -> None:
    env = own_screen()

    def use_it() -> None:
        env.surface.pixels[300:] = 9

    episode, _ = go(env, Someone("no", happens=use_it), tmp_path, [MISS, DONE])
    assert int(episode.steps[1].screen.pixels[350, 0, 0]) == 9


@pytest.mark.parametrize("answer", ["s", "STOP", "^C"])
def test_a_person_stops_the_run_and_nothing_is_done(answer: str, tmp_path: Path) -> None:
    env = own_screen()
    episode, _ = go(env, Someone(answer), tmp_path, [CLICK, DONE])
    assert (episode.status, episode.cause, env.surface.performed) == ("stopped", "interrupted", [])
    assert len(episode.steps) == 1 and "stopped" in episode.steps[0].error


def test_an_empty_line_is_no_answer(tmp_path: Path) -> None:
    env, person = own_screen(), Someone("", "  ", "y")
    go(env, person, tmp_path, [CLICK, DONE])
    assert len(person.heard) == 3 and env.surface.clicked


@pytest.mark.parametrize("person", [None, Someone()])
def test_without_anybody_to_ask_the_run_ends_as_denied(person: Any, tmp_path: Path) -> None:
    env = own_screen()
    episode, told = go(env, person, tmp_path, [CLICK, DONE])
    assert (episode.status, episode.cause, env.surface.performed) == ("stopped", "denied", [])
    assert "--approve never" in episode.message and told[0][1]["answer"] == "nobody"


def test_a_target_that_changed_while_the_person_was_asked_is_not_clicked(tmp_path: Path) -> None:
    env = own_screen()

    def cover() -> None:
        env.surface.pixels[90:150, 80:200] = (250, 250, 0)

    episode, told = go(env, Someone("y", happens=cover), tmp_path, [CLICK, DONE])
    assert touched(env) == [] and "screen changed at this place" in episode.steps[0].error
    assert (episode.steps[1].screen.pixels[110, 120] == (250, 250, 0)).all()
    assert told[-1][1]["reason"] == "but the target had changed"


def test_what_changes_elsewhere_or_a_little_does_not_hinder(tmp_path: Path) -> None:
    env = own_screen()

    def elsewhere() -> None:
        env.surface.pixels[300:] = 0
        env.surface.pixels[105:115, 120] = 0  # a caret

    go(env, Someone("y", happens=elsewhere), tmp_path, [CLICK, DONE])
    assert env.surface.clicked


def test_the_focus_is_given_back_before_an_approved_action_and_only_then(tmp_path: Path) -> None:
    env, order = own_screen(), []

    def keep_focus() -> Any:
        order.append("kept")
        return lambda: order.append("given back")

    env.surface.keep_focus = keep_focus  # type: ignore[attr-defined]
    perform = env.surface.perform
    env.surface.perform = lambda action: order.append("done") or perform(action)  # type: ignore[method-assign]
    go(env, Someone("y", "no"), tmp_path, [TYPE, TYPE, DONE])
    assert order[:4] == ["kept", "given back", "done", "kept"] and order.count("given back") == 1


def test_what_is_asked_for_is_shown_whole_and_its_enter_keys_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a person does not see they do not approve: the end of a long text, or the Enter that sends it off."""
    text = "a" * 9000 + "; rm -rf ~\n"
    person = Someone("no")
    go(own_screen(), person, tmp_path, [json.dumps({"verb": "type", "text": text}), DONE])
    words, picture = person.heard[0]
    assert words == f'type "{text[:-1]}⏎"'
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    TextDisplay(sys.stdout).approve(words, picture or tmp_path)
    assert "; rm -rf ~⏎" in capsys.readouterr().out


@pytest.mark.parametrize(("action", "done"), [(TYPE, []), (CLICK, ["click"])])
def test_nothing_is_typed_where_the_focus_did_not_come_back(action: str, done: list[str], tmp_path: Path) -> None:
    """It would go to the terminal in which the person said yes."""
    env = own_screen()
    env.surface.keep_focus = lambda: lambda: False  # type: ignore[attr-defined]
    episode, told = go(env, Someone("y"), tmp_path, [action, DONE])
    assert touched(env) == done
    assert ("focus" in episode.steps[0].error) == ("focus" in told[0][1]["reason"]) == (not done)


def test_a_disk_that_takes_no_picture_is_the_machines_trouble_and_nothing_is_done(tmp_path: Path) -> None:
    (tmp_path / approval.PICTURES).write_text("no folder")
    env = own_screen()
    episode, _ = go(env, Someone("y"), tmp_path, [CLICK, DONE])
    assert (episode.status, episode.cause, touched(env)) == ("error", "machine", [])
    assert "choose another folder with --runs" in episode.message


def test_the_rules_come_first_and_are_asked_for_nothing(tmp_path: Path) -> None:
    def rules(action: Any, screen: Any) -> None:
        if action.verb == "open":
            raise ActionDeniedError("rule 'x'")

    env, person = own_screen(guard=rules), Someone()
    episode, _ = go(env, person, tmp_path, ['{"verb": "open", "target": "https://a.org"}', DONE])
    assert person.heard == [] and episode.steps[0].error == "rule 'x'"


def test_waiting_and_ending_need_no_approval(tmp_path: Path) -> None:
    env, person = own_screen(), Someone()
    assert go(env, person, tmp_path, ['{"verb": "wait", "seconds": 0.01}', DONE])[0].status == "success"
    assert person.heard == []


def test_a_drag_is_marked_from_its_beginning_to_its_end() -> None:
    screen = Screen(np.full((100, 200, 3), 120, np.uint8))
    picture = np.asarray(draw_action(screen, Drag(path=((40, 50), (100, 20), (160, 50)))))
    assert tuple(picture[20, 100]) == LINE, "the line goes through the middle point"
    for x in (40 - 18, 160 + 18):
        ring = {tuple(colour) for colour in picture[50, x - 3 : x + 4]}
        assert {LINE, EDGE} <= ring
    assert (picture[90, :] == 120).all()
    assert (np.asarray(draw_action(screen, TypeText(text="x"))) == screen.pixels).all()


# who is asked


@pytest.mark.parametrize(
    ("personal", "approve", "asked"),
    [(True, "", 1), (True, "each", 1), (True, "never", 0), (False, "", 0), (False, "each", 1), (False, "never", 0)],
)
def test_who_is_asked(personal: bool, approve: str, asked: int, tmp_path: Path) -> None:
    env, person = own_screen(), Someone("y")
    env.surface.is_user_owned = personal
    go(env, person, tmp_path, [CLICK, DONE], approve)
    assert len(person.heard) == asked and env.surface.clicked


def test_a_surface_that_says_nothing_is_somebodys_own_unless_it_is_one_of_ours() -> None:
    class Silent:
        name = "thirdparty"

    assert requires_approval(Silent())
    for name in ("browser", "still"):
        Silent.name = name
        assert not requires_approval(Silent())


# pause


class Mouse:
    """A pointer that acts move, and that a person may move."""

    def __init__(self, env: FakeEnv) -> None:
        self.at = (3, 3)
        env.surface.pointer = lambda: self.at  # type: ignore[attr-defined]
        perform = env.surface.perform

        def moving(action: Any) -> str:
            if action.points():
                self.at = (action.points()[-1].x + 1, action.points()[-1].y)
            return perform(action)

        env.surface.perform = moving  # type: ignore[method-assign]


class Meddled(ScriptPolicy):
    """Somebody moves the mouse while the model thinks about reply number `when`."""

    def __init__(self, replies: Sequence[str], mouse: Mouse, when: int) -> None:
        super().__init__(replies)
        self.mouse, self.when = mouse, when

    def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
        if len(steps) == self.when:
            self.mouse.at = (77, 200)
        return super().decide(goal, steps, screen, verbs)


def meddled(folder: Path, person: Any, when: int, *replies: str) -> tuple[FakeEnv, Episode, Told]:
    env, told = own_screen(), Told()
    policy = Meddled(replies, Mouse(env), when)
    install_approval(env, Settings(approve="never"), folder, told, person)
    return env, run("", env, policy, max_steps=9), told


def test_our_own_moves_do_not_pause(tmp_path: Path) -> None:
    env, episode, told = meddled(tmp_path, Someone(), 99, MISS, TYPE, CLICK, TYPE, MISS, DONE)
    assert episode.status == "success" and len(env.surface.performed) == 5 and told == []


def test_a_moved_mouse_pauses_the_run_and_the_action_is_not_done(tmp_path: Path) -> None:
    person = Someone("")
    env, episode, told = meddled(tmp_path, person, 1, MISS, CLICK, CLICK, DONE)
    assert [event for event, _ in told] == ["paused"] and person.heard == [("you moved the mouse", None)]
    assert "used the mouse meanwhile" in episode.steps[1].error and episode.status == "success"
    assert touched(env) == ["click", "click"] and env.surface.clicked


def test_a_paused_run_can_be_stopped(tmp_path: Path) -> None:
    env, episode, _ = meddled(tmp_path, Someone("s"), 1, MISS, CLICK, DONE)
    assert (episode.status, episode.cause, len(env.surface.performed)) == ("stopped", "interrupted", 1)


def test_without_a_terminal_the_run_goes_on_when_the_mouse_has_rested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "STILL_S", 0.1)
    monkeypatch.setattr(approval, "POLL_S", 0.01)
    spots = iter([(0, 0), (40, 40), (80, 80)])
    guard = ApprovalGuard(None, env := own_screen().surface, tmp_path, told := Told(), each=False, person=None)
    env.pointer = lambda: next(spots, (90, 90))  # type: ignore[attr-defined]
    screen = env.capture()
    guard(make_action("type", text="a"), screen)
    with pytest.raises(approval.ActionRejectedError, match="look again"):
        guard(make_action("type", text="a"), screen)
    guard(make_action("type", text="a"), screen)
    assert [event for event, _ in told] == ["paused"]


def test_approvals_stand_in_the_trace_between_intent_and_result(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    writer = TraceWriter(folder, {"goal": "", "policy": {}})
    env = own_screen()
    install_approval(env, Settings(), folder, writer.write, Someone("the other one", "y"))
    run("", env, ScriptPolicy([MISS, CLICK, DONE]), max_steps=9, trace=writer)
    writer.close()
    back = read_trace(folder)
    assert [event["event"] for event in back.events][2:5] == ["act.intent", "approval", "act.result"]
    asked = [event for event in back.events if event["event"] == "approval"]
    assert [(e["answer"], e["reason"]) for e in asked] == [("refused", "the other one"), ("approved", "")]
    assert all((folder / event["picture"]).is_file() for event in asked) and back.steps()[1].error == ""
    assert json.loads(CLICK)["x"] == asked[1]["action"]["x"]
