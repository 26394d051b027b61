"""Tests of agent/loop.py without a browser and without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv

from actions import ActionDeniedError, Call, Reply, Screen, Step, SurfaceError, UsageError, parse_action
from agent.loop import Episode, run
from agent.policies.scripted import JsonDialect, ScriptPolicy
from agent.termination import StopLimits


def action_json(**fields: Any) -> str:
    return json.dumps(fields)


def run_script(env: FakeEnv, *replies: str, max_steps: int = 10, **options: Any) -> Episode:
    return run("", env, ScriptPolicy(replies), max_steps=max_steps, **options)


def test_task_verdict_decides_success() -> None:
    env = FakeEnv()
    episode = run_script(env, MISS, CLICK, seed=7)
    assert (episode.status, episode.reward, episode.cause) == ("success", 1.0, "verdict")
    assert len(episode.steps) == 2
    assert env.seeds == [7]
    assert episode.steps[1].reward == 1.0
    assert episode.steps[1].call is not None
    assert episode.steps[1].call.thought == "the button"


@pytest.mark.parametrize("reward", [0.0, -1.0, 0.5, 0.999])
def test_partial_reward_is_failure(reward: float) -> None:
    episode = run_script(FakeEnv(reward=reward), CLICK)
    assert (episode.status, episode.reward) == ("failure", reward)


def test_reward_within_rounding_is_success() -> None:
    assert run_script(FakeEnv(reward=1 - 1e-12), CLICK).status == "success"


def test_done_on_unfinished_task_is_failure() -> None:
    episode = run_script(FakeEnv(), DONE)
    assert (episode.status, episode.reward, episode.cause) == ("failure", None, "verdict")


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (DONE, "success", "the model reports success"),
        (action_json(verb="done", status="failure", message="no such page"), "failure", "no such page"),
        (action_json(verb="answer", text="42"), "success", "42"),
    ],
)
def test_own_judgment_counts_without_task(reply: str, status: str, message: str) -> None:
    episode = run_script(FakeEnv(task=False), reply)
    assert (episode.status, episode.message, episode.cause, episode.reward) == (status, message, "own word", None)


def test_empty_goal_is_replaced_by_environment_goal() -> None:
    goals = []

    class GoalRecorder(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            goals.append(goal)
            return super().decide(goal, steps, screen, verbs)

    run("mine", FakeEnv(), GoalRecorder([CLICK]), max_steps=1)
    run("", FakeEnv(goal="the page's"), GoalRecorder([CLICK]), max_steps=1)
    assert goals == ["mine", "the page's"]


def test_invalid_reply_is_reported_to_model() -> None:
    env = FakeEnv()
    errors = []

    class ErrorRecorder(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            errors.append([step.error for step in steps])
            return super().decide(goal, steps, screen, verbs)

    episode = run(
        "", env, ErrorRecorder(["I would click it", action_json(verb="click", x=900, y=3), CLICK]), max_steps=10
    )
    assert episode.status == "success"
    assert len(env.surface.performed) == 1
    assert errors[0] == []
    assert "not JSON" in errors[1][0]
    assert "x must be 0 to 279" in errors[2][1]
    assert episode.steps[0].call is None
    assert episode.steps[0].action is None
    assert episode.steps[1].call is not None
    assert episode.steps[1].action is None


def test_unsupported_verb_is_invalid_action() -> None:
    episode = run_script(FakeEnv(), action_json(verb="scroll", down=1), CLICK)
    assert episode.status == "success"
    assert "cannot 'scroll'" in episode.steps[0].error


def test_consecutive_bad_calls_end_the_run() -> None:
    limits = StopLimits(bad_calls=3)
    episode = run_script(FakeEnv(), "?", "?", MISS, "?", "?", "?", stop_limits=limits)
    assert (episode.status, episode.cause, len(episode.steps)) == ("failure", "bad calls", 6)
    assert "not JSON" in episode.message


def test_three_denials_stop_the_run() -> None:
    def guard(action: Any, screen: Any) -> None:
        if action.verb == "open":
            raise ActionDeniedError(f"rule 'x': {action.target} may not be opened")

    env = FakeEnv(guard=guard)
    open_reply = action_json(verb="open", target="https://evil.test/")
    episode = run_script(env, open_reply, MISS, open_reply, MISS, open_reply, MISS)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "denied", 5)
    assert "evil.test" in episode.message
    assert [action.verb for action in env.surface.performed] == ["click", "click"]


def test_surface_error_ends_run_as_error() -> None:
    env = FakeEnv()
    env.surface.failure = "the browser is gone"
    episode = run_script(env, CLICK)
    assert (episode.status, episode.cause, episode.message) == ("error", "machine", "the browser is gone")
    assert episode.steps[0].error == "the browser is gone"


def test_surface_error_on_reset_has_no_steps() -> None:
    class BrokenEnv(FakeEnv):
        def reset(self, *, seed: int | None = None) -> Any:
            raise SurfaceError("no page")

    episode = run_script(BrokenEnv(), CLICK)
    assert (episode.status, episode.steps, episode.message) == ("error", (), "no page")


def test_step_budget_ends_run() -> None:
    replies = [action_json(verb="type", text=str(n)) for n in range(4)]
    episode = run_script(FakeEnv(), *replies, max_steps=4)
    assert (episode.status, episode.cause, len(episode.steps), episode.reward) == ("budget", "budget", 4, None)


def test_success_in_last_step_counts() -> None:
    assert run_script(FakeEnv(), MISS, CLICK, max_steps=2).status == "success"


def test_zero_max_steps_raises_usage_error() -> None:
    with pytest.raises(UsageError, match="--max-steps must be at least 1, not 0"):
        run_script(FakeEnv(), CLICK, max_steps=0)


def test_repetition_gets_notice_then_ends_run() -> None:
    episode = run_script(FakeEnv(), *[MISS] * 9)
    assert (episode.status, episode.cause, len(episode.steps)) == ("failure", "no progress", 5)
    notes = [step.notice for step in episode.steps]
    assert notes[:2] == ["", ""]
    assert "3 times and nothing changed" in notes[2]
    assert "4 times" in notes[3]


def test_different_action_resets_repetition() -> None:
    others = [action_json(verb="click", x=60 + 20 * number, y=60) for number in range(3)]
    episode = run_script(FakeEnv(), *[reply for other in others for reply in (MISS, MISS, other)], max_steps=9)
    assert episode.status == "budget"
    assert not any(step.notice for step in episode.steps)


def test_same_action_with_effect_is_progress() -> None:
    episode = run_script(FakeEnv(), *[action_json(verb="type", text="a")] * 8, max_steps=8)
    assert episode.status == "budget"
    assert all(step.notice == "typed 1 characters" for step in episode.steps)


def test_question_is_answered_and_screen_recaptured() -> None:
    env = FakeEnv()
    questions = []

    def answer(question: str) -> str:
        questions.append(question)
        env.surface.pixels[300:] = 7  # the user changed the screen meanwhile
        return "the blue one"

    episode = run_script(env, action_json(verb="ask", question="which?"), CLICK, ask=answer)
    assert questions == ["which?"]
    assert episode.status == "success"
    assert episode.steps[0].notice == "The person answers: the blue one"
    assert int(episode.steps[1].screen.pixels[350, 0, 0]) == 7


def test_question_without_user_is_invalid_action() -> None:
    def no_answer(question: str) -> str:
        raise EOFError

    for ask in (None, no_answer):
        episode = run_script(FakeEnv(), action_json(verb="ask", question="which?"), CLICK, ask=ask)
        assert episode.status == "success"
        assert "nobody is there" in episode.steps[0].error


def test_interrupt_while_deciding_stops_run() -> None:
    class InterruptedScript(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            if steps:
                raise KeyboardInterrupt
            return super().decide(goal, steps, screen, verbs)

    episode = run("", FakeEnv(), InterruptedScript([MISS]), max_steps=9)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "interrupted", 1)


def test_events_precede_the_next_action() -> None:
    env = FakeEnv()
    events: list[tuple[str, int]] = []
    run_script(env, MISS, CLICK, on_event=lambda event: events.append((event["event"], len(env.surface.performed))))
    assert events == [
        ("start", 0),
        ("reply", 0),
        ("act.intent", 0),
        ("act.result", 1),
        ("reply", 1),
        ("act.intent", 1),
        ("act.result", 2),
        ("end", 2),
    ]


def test_unexpected_exception_is_recorded_and_raised() -> None:
    class BuggyEnv(FakeEnv):
        def step(self, action: Any) -> Any:
            raise ZeroDivisionError("a bug")

    events: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        run_script(BuggyEnv(), CLICK, on_event=events.append)
    assert events[-1]["event"] == "end"
    assert events[-1]["status"] == "error"
    assert events[-1]["message"] == "ZeroDivisionError: a bug"


def test_exhausted_script_raises_usage_error() -> None:
    with pytest.raises(UsageError, match="the script has only 1 replies"):
        run_script(FakeEnv(), MISS)


def test_few_waits_do_not_end_run() -> None:
    replies = ['{"verb": "wait", "seconds": 0}'] * 7 + ['{"verb": "done"}']
    episode = run("goal", FakeEnv(), ScriptPolicy(replies), max_steps=9)
    assert len(episode.steps) == 8
    assert episode.cause != "no progress"


class ActionListDialect(JsonDialect):
    """A JsonDialect whose replies are lists of actions."""

    def parse(self, text: str) -> Call:
        return Call("several", {"list": json.loads(text)})

    def to_actions(self, call: Call, screen: Any) -> tuple[Any, ...]:
        return tuple(parse_action(item) for item in call.arguments["list"])


def action_list(*actions: str) -> str:
    plain = [json.loads(action) for action in actions]
    return json.dumps([{name: value for name, value in item.items() if name != "thought"} for item in plain])


def run_lists(env: FakeEnv, *replies: str, **options: Any) -> tuple[Episode, list[Any]]:
    events: list[Any] = []
    episode = run("", env, ScriptPolicy(replies, ActionListDialect()), max_steps=9, on_event=events.append, **options)
    return episode, [event for event in events if event["event"].startswith("act.")]


def test_multiple_actions_have_two_events_each() -> None:
    env = FakeEnv(task=False)
    episode, events = run_lists(env, action_list(MISS, action_json(verb="wait", seconds=0), CLICK), action_list(DONE))
    assert [action.verb for action in env.surface.performed] == ["click", "wait", "click"]
    assert [(e["event"], e["step"], e.get("part"), e.get("parts")) for e in events] == [
        ("act.intent", 1, 1, 3),
        ("act.result", 1, 1, 3),
        ("act.intent", 1, 2, 3),
        ("act.result", 1, 2, 3),
        ("act.intent", 1, 3, 3),
        ("act.result", 1, 3, 3),
        ("act.intent", 2, None, None),
        ("act.result", 2, None, None),
    ]
    first, last = episode.steps
    assert [action.verb for action in first.actions] == ["click", "wait", "click"]
    assert first.action == first.actions[-1]
    assert episode.status == "success"
    assert len(episode.steps) == 2
    assert last.actions == (last.action,)
    results = [event for event in events if event["event"] == "act.result"]
    assert first.seconds == pytest.approx(sum(event["seconds"] for event in results[:3]))
    assert "think" in results[0]["timings_s"]
    assert "think" not in results[1]["timings_s"]


def test_invalid_action_skips_remaining_actions() -> None:
    env = FakeEnv(task=False)
    episode, _ = run_lists(env, action_list(MISS, action_json(verb="click", x=900, y=3), CLICK), action_list(DONE))
    assert [action.verb for action in env.surface.performed] == ["click"]
    assert "action 2 of 3, click (900, 3), was not done: point (900, 3) is outside" in episode.steps[0].error
    assert len(episode.steps[0].actions) == 2


def test_notice_skips_remaining_actions() -> None:
    """Actions meant for the page must not answer a dialog that the model has not seen."""
    env = FakeEnv(task=False)
    episode, _ = run_lists(env, action_list(action_json(verb="type", text="hi"), CLICK, CLICK), action_list(DONE))
    assert [action.verb for action in env.surface.performed] == ["type"]
    assert episode.steps[0].notice == (
        "The screen is another now: the last 2 of the 3 actions were not done.\ntyped 2 characters"
    )


def test_size_change_skips_remaining_actions() -> None:
    env = FakeEnv(task=False)
    perform = env.surface.perform

    def rotate(action: Any) -> str:
        env.surface.pixels = env.surface.pixels.transpose(1, 0, 2)
        return perform(action)

    env.surface.perform = rotate  # type: ignore[method-assign]
    episode, _ = run_lists(env, action_list(MISS, CLICK), action_list(DONE))
    assert len(env.surface.performed) == 1
    assert "last 1 of the 2 actions were not done" in episode.steps[0].notice


def test_finished_task_skips_remaining_actions_silently() -> None:
    env = FakeEnv()
    episode, _ = run_lists(env, action_list(CLICK, MISS))
    assert episode.status == "success"
    assert len(env.surface.performed) == 1
    assert episode.steps[0].notice == ""


def test_reply_without_action_is_invalid() -> None:
    episode, events = run_lists(FakeEnv(task=False), action_list(), action_list(DONE))
    assert "means no action" in episode.steps[0].error
    assert episode.steps[0].actions == ()
    assert events[0]["event"] == "act.result"
    assert events[0]["action"] is None


def test_repeated_multiple_actions_end_run() -> None:
    episode, _ = run_lists(FakeEnv(), *[action_list(MISS, action_json(verb="click", x=6, y=6))] * 9)
    assert (episode.cause, len(episode.steps)) == ("no progress", 5)


def test_fara_type_performs_all_its_actions() -> None:
    """Fara's type action clicks the field, clears it, types and presses enter."""
    from actions import plugins
    from model.processing.image import ImageLimits

    fara = plugins.load_plugin("model.dialects", "fara").Dialect(ImageLimits())
    arguments = {"action": "type", "coordinate": [120, 110], "text": "hi", "press_enter": False}
    reply = f"<tool_call>\n{json.dumps({'name': 'computer_use', 'arguments': arguments})}\n</tool_call>"
    env = FakeEnv(task=False)
    episode = run("", env, ScriptPolicy([reply], fara), max_steps=1)
    assert [action.verb for action in env.surface.performed][:1] == ["click"]
    assert env.surface.clicked
    assert len(episode.steps[0].actions) >= 2


class WaitingGuard:
    """A guard whose user takes an hour to approve an action."""

    waited_s = 0.0

    def __call__(self, action: Any, screen: Any) -> None:
        self.waited_s += 3600.0


def test_step_seconds_exclude_time_of_approval() -> None:
    episode = run_script(FakeEnv(guard=WaitingGuard()), CLICK)
    assert episode.steps[0].seconds == 0.0


TYPE = action_json(verb="type", text="a")


class CountedScript(ScriptPolicy):
    """A script whose replies have token counts."""

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        return replace(super().decide(goal, steps, screen, verbs), prompt_tokens=90, reply_tokens=10)


@pytest.mark.parametrize(("tokens", "count"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_token_budget_ends_run_unfinished(tokens: int, count: int) -> None:
    policy = CountedScript([MISS, TYPE, MISS, TYPE, MISS])
    episode = run("", FakeEnv(task=False), policy, max_steps=9, stop_limits=StopLimits(tokens=tokens))
    assert (episode.status, episode.cause, len(episode.steps)) == ("budget", "budget", count)
    assert f"of {tokens} tokens" in episode.message


def test_token_budget_without_counts_is_an_error() -> None:
    episode = run_script(FakeEnv(task=False), MISS, MISS, stop_limits=StopLimits(tokens=5))
    assert episode.status == "error"
    assert "--max-tokens" in episode.message


def test_minute_budget_ends_run_unfinished() -> None:
    env = FakeEnv(task=False)
    env.surface.delay_s = 0.06
    episode = run_script(env, MISS, TYPE, MISS, TYPE, MISS, stop_limits=StopLimits(minutes=0.1 / 60))
    assert episode.status == "budget"
    assert len(episode.steps) in (1, 2)  # a slow machine needs longer for the first one
    assert "minutes" in episode.message


def test_reported_end_comes_before_budget() -> None:
    episode = run("", FakeEnv(task=False), CountedScript([DONE]), max_steps=9, stop_limits=StopLimits(tokens=1))
    assert episode.status == "success"
