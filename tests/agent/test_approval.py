"""Approval of actions on the user's own screen: questions, refusals, stops, pauses, and which screens ask."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv
from PIL import Image

from actions import Action, ActionDeniedError, ActionRejectedError, Drag, Reply, Screen, Step, TypeText, make_action
from agent.config import Settings
from agent.loop import Episode, run
from agent.policies.scripted import ScriptPolicy
from agent.safety import guard as guard_module
from agent.safety import pointer_watch
from agent.safety.approval import ApprovalRequest
from agent.safety.guard import ActionGuard, requires_approval
from agent.safety.policy import load_safety_policy
from agent.session import install_guard, safety_policy
from agent.trace import TraceWriter, new_folder, read_trace
from agent.ui.annotate import EDGE, LINE, draw_action
from agent.ui.display import TextDisplay
from envs.surfaces.image import Surface as ImageSurface

TYPE = '{"verb": "type", "text": "hello"}'


class ScriptedApprover:
    """An approver that answers from a list and raises EOFError after it.

    `on_question` is called at each question, before the answer.
    """

    def __init__(self, *answers: str, on_question: Callable[[], object] | None = None) -> None:
        self.answers, self.on_question = list(answers), on_question
        self.questions: list[tuple[str, Path | None]] = []

    def approve(self, request: ApprovalRequest) -> str:
        return self._answer(request.description, request.screenshot)

    def paused(self, reason: str) -> str:
        return self._answer(reason, None)

    def _answer(self, question: str, screenshot: Path | None) -> str:
        self.questions.append((question, screenshot))
        if self.on_question:
            self.on_question()
        if not self.answers:
            raise EOFError
        answer = self.answers.pop(0)
        if answer == "^C":
            raise KeyboardInterrupt
        return answer


class EventLog(list[tuple[str, dict[str, Any]]]):
    """The events that a guard emits."""

    def __call__(self, event: str, **facts: Any) -> None:
        if event != "decision":
            self.append((event, facts))

    def approvals(self) -> list[dict[str, Any]]:
        return [facts for event, facts in self if event == "approval"]


def user_owned_env(**options: Any) -> FakeEnv:
    env = FakeEnv(task=False, **options)
    env.surface.is_user_owned = True
    return env


def performed_verbs(env: FakeEnv) -> list[str]:
    """Return the verbs that were performed, without the waits that only capture the screen."""
    return [action.verb for action in env.surface.performed if action.verb != "wait"]


def run_with_approval(
    env: FakeEnv,
    person: ScriptedApprover | None,
    folder: Path,
    replies: Sequence[str],
    approve: str = "",
    max_steps: int = 9,
) -> tuple[Episode, EventLog]:
    events = EventLog()
    each = install_guard(env, safety_policy(Settings(approve=approve)), folder, events, person)
    return run("", env, ScriptPolicy(replies), max_steps=max_steps, approves_each=each), events


def changed_pixels(image: np.ndarray, screen: Screen) -> np.ndarray:
    """Return the (row, column) of each pixel that differs from the screen."""
    return np.argwhere((image != screen.pixels).any(axis=2))


# approval


def test_approved_action_is_done(tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover("y", "YES")
    episode, events = run_with_approval(env, person, tmp_path, [CLICK, TYPE, DONE])
    assert episode.status == "success"
    assert [action.verb for action in env.surface.performed] == ["click", "type"]
    descriptions = [description for description, _ in person.questions]
    assert descriptions == ["click (120, 110)", 'type "hello", after the click at (120, 110)']
    assert [facts["answer"] for facts in events.approvals()] == ["approved", "approved"]


def test_screenshot_marks_target_of_click(tmp_path: Path) -> None:
    person = ScriptedApprover("y")
    episode, _ = run_with_approval(user_owned_env(), person, tmp_path, [CLICK, DONE])
    screen = episode.steps[0].screen
    image = np.asarray(Image.open(person.questions[0][1] or ""))
    changed = changed_pixels(image, screen)
    assert np.abs(changed.mean(axis=0) - (110, 120)).max() < 1
    assert len(changed) > 200
    assert (image[110, 120] == screen.pixels[110, 120]).all(), "the target itself stays visible"


def test_screenshot_marks_where_text_goes(tmp_path: Path) -> None:
    person = ScriptedApprover("y", "y", "y", "y")
    press = '{"verb": "wait", "seconds": 0.01}'
    episode, _ = run_with_approval(user_owned_env(), person, tmp_path, [TYPE, CLICK, press, TYPE, DONE])
    unmarked, _, marked = (np.asarray(Image.open(path or "")) for _, path in person.questions)
    assert len(changed_pixels(unmarked, episode.steps[0].screen)) == 0, "nothing was clicked before"
    changed = changed_pixels(marked, episode.steps[3].screen)
    assert np.abs(changed.mean(axis=0) - (110, 120)).max() < 1
    assert person.questions[0][0].endswith("into whatever has the keyboard focus")


class UncertainPolicy(ScriptPolicy):
    """A scripted policy that is uncertain about each of its replies."""

    def decide(self, *arguments: Any) -> Reply:
        return replace(super().decide(*arguments), uncertainty="it is dark")


@pytest.mark.parametrize(("approve", "questions", "approvals"), [("each", 0, 1), ("never", 2, 0)])
def test_uncertain_action_is_asked_about_once(tmp_path: Path, approve: str, questions: int, approvals: int) -> None:
    env, person, asked_questions = user_owned_env(), ScriptedApprover("y", "y"), list[str]()

    def ask(question: str) -> str:
        asked_questions.append(question)
        return "y"

    each = install_guard(env, safety_policy(Settings(approve=approve)), tmp_path, EventLog(), person)
    episode = run("", env, UncertainPolicy([CLICK, DONE]), max_steps=3, ask=ask, approves_each=each)
    assert episode.status == "success"
    assert performed_verbs(env) == ["click"]
    assert len(asked_questions) == questions
    assert len(person.questions) == approvals


def test_nothing_is_done_before_the_answer(tmp_path: Path) -> None:
    env = user_owned_env()
    performed_counts: list[int] = []
    person = ScriptedApprover("y", on_question=lambda: performed_counts.append(len(env.surface.performed)))
    run_with_approval(env, person, tmp_path, [CLICK, DONE])
    assert performed_counts == [0]
    assert len(env.surface.performed) == 1


def test_always_approves_one_kind_for_the_run(tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover("a", "y")
    episode, events = run_with_approval(env, person, tmp_path, [MISS, MISS, TYPE, CLICK, DONE])
    assert episode.status == "success"
    assert performed_verbs(env) == ["click", "click", "type", "click"]
    assert [description.split()[0] for description, _ in person.questions] == ["click", "type"]
    assert [facts["answer"] for facts in events.approvals()] == ["approved"] * 4
    assert "approved for the run" in events.approvals()[1]["reason"]


def test_moved_mouse_pauses_actions_approved_for_run(tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover("a", "", "y")
    mouse = Mouse(env)
    install_guard(env, safety_policy(Settings()), tmp_path, events := EventLog(), person)
    policy = PolicyWithMouseMove([MISS, CLICK, CLICK, DONE], mouse, 1)
    episode = run("", env, policy, max_steps=9, approves_each=True)
    assert [event for event, _ in events] == ["approval", "paused", "approval"]
    assert "used the mouse meanwhile" in episode.steps[1].error


def test_refusal_reason_reaches_model(tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover(*["not there, use the blue one"] * 6, "no", "y")
    episode, events = run_with_approval(env, person, tmp_path, [MISS] * 7 + [CLICK, DONE], max_steps=12)
    assert episode.status == "success"
    assert env.surface.clicked
    assert performed_verbs(env) == ["click"]
    assert episode.steps[0].error.startswith("the person refused this: not there, use the blue one; do something else")
    assert "gave no reason" in episode.steps[6].error
    assert events[0][1]["reason"] == "not there, use the blue one"


def test_screen_is_captured_again_after_refusal(tmp_path: Path) -> None:
    env = user_owned_env()

    def use_screen() -> None:
        env.surface.pixels[300:] = 9

    person = ScriptedApprover("no", on_question=use_screen)
    episode, _ = run_with_approval(env, person, tmp_path, [MISS, DONE])
    assert int(episode.steps[1].screen.pixels[350, 0, 0]) == 9


@pytest.mark.parametrize("answer", ["s", "STOP", "^C"])
def test_stop_ends_run_before_action(answer: str, tmp_path: Path) -> None:
    env = user_owned_env()
    episode, _ = run_with_approval(env, ScriptedApprover(answer), tmp_path, [CLICK, DONE])
    assert (episode.status, episode.cause, env.surface.performed) == ("stopped", "interrupted", [])
    assert len(episode.steps) == 1
    assert "stopped" in episode.steps[0].error


def test_blank_line_is_asked_again(tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover("", "  ", "y")
    run_with_approval(env, person, tmp_path, [CLICK, DONE])
    assert len(person.questions) == 3
    assert env.surface.clicked


@pytest.mark.parametrize("person", [None, ScriptedApprover()])
def test_run_without_approver_ends_as_denied(person: ScriptedApprover | None, tmp_path: Path) -> None:
    env = user_owned_env()
    episode, events = run_with_approval(env, person, tmp_path, [CLICK, DONE])
    assert (episode.status, episode.cause, env.surface.performed) == ("stopped", "denied", [])
    assert "--approve never" in episode.message
    assert events[0][1]["answer"] == "nobody"


def test_target_changed_during_question_is_not_clicked(tmp_path: Path) -> None:
    env = user_owned_env()

    def cover() -> None:
        env.surface.pixels[90:150, 80:200] = (250, 250, 0)

    episode, events = run_with_approval(env, ScriptedApprover("y", on_question=cover), tmp_path, [CLICK, DONE])
    assert performed_verbs(env) == []
    assert "screen changed at this place" in episode.steps[0].error
    assert (episode.steps[1].screen.pixels[110, 120] == (250, 250, 0)).all()
    assert events[-1][1]["reason"] == "but the screen changed at this place"


def test_small_or_distant_change_does_not_matter(tmp_path: Path) -> None:
    env = user_owned_env()

    def change() -> None:
        env.surface.pixels[300:] = 0
        env.surface.pixels[105:115, 120] = 0  # a caret

    run_with_approval(env, ScriptedApprover("y", on_question=change), tmp_path, [CLICK, DONE])
    assert env.surface.clicked


def test_focus_is_restored_before_approved_action_only(tmp_path: Path) -> None:
    env, order = user_owned_env(), list[str]()

    def keep_focus() -> Callable[[], object]:
        order.append("saved")
        return lambda: order.append("restored")

    perform = env.surface.perform

    def recorded_perform(action: Action) -> str:
        order.append("performed")
        return perform(action)

    env.surface.keep_focus = keep_focus  # type: ignore[attr-defined]
    env.surface.perform = recorded_perform  # type: ignore[method-assign]
    run_with_approval(env, ScriptedApprover("y", "no"), tmp_path, [TYPE, TYPE, DONE])
    assert order[:4] == ["saved", "restored", "performed", "saved"]
    assert order.count("restored") == 1


def test_question_shows_long_text_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user must see the end of a long text, and the Enter that would submit it."""
    text = "a" * 9000 + "; rm -rf ~\n"
    person = ScriptedApprover("no")
    replies = [json.dumps({"verb": "type", "text": text}), DONE]
    run_with_approval(user_owned_env(), person, tmp_path, replies)
    description, screenshot = person.questions[0]
    assert description.startswith(f'type "{text[:-1]}⏎"')
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    TextDisplay(sys.stdout).approve(ApprovalRequest(description, screenshot or tmp_path, TypeText(text=text)))
    assert "; rm -rf ~⏎" in capsys.readouterr().out


@pytest.mark.parametrize(("reply", "performed"), [(TYPE, []), (CLICK, ["click"])])
def test_nothing_is_typed_when_focus_is_lost(reply: str, performed: list[str], tmp_path: Path) -> None:
    """The text would go to the terminal in which the user answered."""
    env = user_owned_env()
    env.surface.keep_focus = lambda: lambda: False  # type: ignore[attr-defined]
    episode, events = run_with_approval(env, ScriptedApprover("y"), tmp_path, [reply, DONE])
    assert performed_verbs(env) == performed
    assert ("focus" in episode.steps[0].error) == (not performed)
    assert ("focus" in events[0][1]["reason"]) == (not performed)


def test_disk_error_stops_the_action(tmp_path: Path) -> None:
    (tmp_path / guard_module.SCREENSHOT_FOLDER).write_text("not a folder")
    env = user_owned_env()
    episode, _ = run_with_approval(env, ScriptedApprover("y"), tmp_path, [CLICK, DONE])
    assert (episode.status, episode.cause, performed_verbs(env)) == ("error", "machine", [])
    assert "choose another folder with --runs" in episode.message


def test_rules_run_before_the_question(tmp_path: Path) -> None:
    def rules(action: Action, screen: Screen) -> None:
        if action.verb == "open":
            raise ActionDeniedError("rule 'x'")

    env, person = user_owned_env(guard=rules), ScriptedApprover()
    episode, _ = run_with_approval(env, person, tmp_path, ['{"verb": "open", "target": "https://a.org"}', DONE])
    assert person.questions == []
    assert episode.steps[0].error == "rule 'x'"


def test_waiting_and_ending_need_no_approval(tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover()
    episode, _ = run_with_approval(env, person, tmp_path, ['{"verb": "wait", "seconds": 0.01}', DONE])
    assert episode.status == "success"
    assert person.questions == []


def test_waiting_time_of_user_is_recorded(tmp_path: Path) -> None:
    env, events = user_owned_env(), EventLog()
    guard = ActionGuard(load_safety_policy(), env.surface, tmp_path, events, person=ScriptedApprover("y"))
    guard(make_action("click", x=5, y=5), env.surface.capture())
    assert guard.waited_s > 0
    assert events[0][1]["waited_s"] == round(guard.waited_s, 3)


def test_drag_is_drawn_from_start_to_end() -> None:
    screen = Screen(np.full((100, 200, 3), 120, np.uint8))
    image = np.asarray(draw_action(screen, Drag(path=((40, 50), (100, 20), (160, 50)))))
    assert tuple(image[20, 100]) == LINE, "the line goes through the middle point"
    for x in (40 - 18, 160 + 18):
        ring = {tuple(color) for color in image[50, x - 3 : x + 4]}
        assert {LINE, EDGE} <= ring
    assert (image[90, :] == 120).all()
    assert (np.asarray(draw_action(screen, TypeText(text="x"))) == screen.pixels).all()


# which screens ask


@pytest.mark.parametrize(
    ("user_owned", "approve", "questions"),
    [(True, "", 1), (True, "each", 1), (True, "never", 0), (False, "", 0), (False, "each", 1), (False, "never", 0)],
)
def test_approval_depends_on_owner_and_setting(user_owned: bool, approve: str, questions: int, tmp_path: Path) -> None:
    env, person = user_owned_env(), ScriptedApprover("y")
    env.surface.is_user_owned = user_owned
    run_with_approval(env, person, tmp_path, [CLICK, DONE], approve)
    assert len(person.questions) == questions
    assert env.surface.clicked


def test_surface_without_declared_owner_requires_approval() -> None:
    surface = FakeEnv().surface
    surface.__class__ = type("Undeclared", (), {"name": "thirdparty"})
    assert requires_approval(surface)


def test_image_needs_no_approval() -> None:
    surface: Any = ImageSurface
    assert not requires_approval(surface)


# pause


class Mouse:
    """A pointer that actions move, and that a user may move too."""

    def __init__(self, env: FakeEnv) -> None:
        self.position = (3, 3)
        env.surface.pointer = lambda: self.position  # type: ignore[attr-defined]
        perform = env.surface.perform

        def perform_and_move(action: Action) -> str:
            if action.points():
                self.position = (action.points()[-1].x + 1, action.points()[-1].y)
            return perform(action)

        env.surface.perform = perform_and_move  # type: ignore[method-assign]


class PolicyWithMouseMove(ScriptPolicy):
    """A scripted policy during whose reply number `move_at` the user moves the mouse."""

    def __init__(self, replies: Sequence[str], mouse: Mouse, move_at: int) -> None:
        super().__init__(replies)
        self.mouse, self.move_at = mouse, move_at

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        if len(steps) == self.move_at:
            self.mouse.position = (77, 200)
        return super().decide(goal, steps, screen, verbs)


def run_with_mouse_move(
    folder: Path, person: ScriptedApprover, move_at: int, *replies: str
) -> tuple[FakeEnv, Episode, EventLog]:
    env, events = user_owned_env(), EventLog()
    policy = PolicyWithMouseMove(replies, Mouse(env), move_at)
    install_guard(env, safety_policy(Settings(approve="never")), folder, events, person)
    return env, run("", env, policy, max_steps=9), events


def test_own_pointer_moves_do_not_pause(tmp_path: Path) -> None:
    env, episode, events = run_with_mouse_move(tmp_path, ScriptedApprover(), 99, MISS, TYPE, CLICK, TYPE, MISS, DONE)
    assert episode.status == "success"
    assert len(env.surface.performed) == 5
    assert events == []


def test_moved_mouse_pauses_run_and_drops_action(tmp_path: Path) -> None:
    person = ScriptedApprover("")
    env, episode, events = run_with_mouse_move(tmp_path, person, 1, MISS, CLICK, CLICK, DONE)
    assert [event for event, _ in events] == ["paused"]
    assert person.questions == [("you moved the mouse", None)]
    assert "used the mouse meanwhile" in episode.steps[1].error
    assert episode.status == "success"
    assert performed_verbs(env) == ["click", "click"]
    assert env.surface.clicked


def test_paused_run_can_be_stopped(tmp_path: Path) -> None:
    env, episode, _ = run_with_mouse_move(tmp_path, ScriptedApprover("s"), 1, MISS, CLICK, DONE)
    assert (episode.status, episode.cause, len(env.surface.performed)) == ("stopped", "interrupted", 1)


def test_run_without_terminal_waits_for_resting_mouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointer_watch, "REST_S", 0.1)
    monkeypatch.setattr(pointer_watch, "POLL_S", 0.01)
    positions = iter([(0, 0), (40, 40), (80, 80)])
    surface, events = user_owned_env().surface, EventLog()
    guard = ActionGuard(load_safety_policy(approve="never"), surface, tmp_path, events)
    surface.pointer = lambda: next(positions, (90, 90))  # type: ignore[attr-defined]
    screen = surface.capture()
    guard(make_action("type", text="a"), screen)
    with pytest.raises(ActionRejectedError, match="look again"):
        guard(make_action("type", text="a"), screen)
    guard(make_action("type", text="a"), screen)
    assert [event for event, _ in events] == ["paused"]


def test_approvals_are_traced_between_intent_and_result(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    writer = TraceWriter(folder, {"goal": "", "policy": {}})
    env = user_owned_env()
    install_guard(env, safety_policy(Settings()), folder, writer.write, ScriptedApprover("the other one", "y"))
    run("", env, ScriptPolicy([MISS, CLICK, DONE]), max_steps=9, trace=writer)
    writer.close()
    record = read_trace(folder)
    assert [event["event"] for event in record.events][2:6] == ["act.intent", "decision", "approval", "act.result"]
    approvals = [event for event in record.events if event["event"] == "approval"]
    answers = [(event["answer"], event["reason"]) for event in approvals]
    assert answers == [("refused", "the other one"), ("approved", "")]
    assert all((folder / event["picture"]).is_file() for event in approvals)
    assert record.steps()[1].error == ""
    assert json.loads(CLICK)["x"] == approvals[1]["action"]["x"]
