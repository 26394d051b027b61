"""The loop, without a browser and without a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv

from actions import ActionDeniedError, Call, SurfaceError, UsageError, parse_action
from agent.loop import Episode, run
from agent.policies.scripted import JsonDialect, ScriptPolicy
from agent.termination import StopLimits


def act(**fields: Any) -> str:
    return json.dumps(fields)


def go(env: FakeEnv, *replies: str, max_steps: int = 10, **how: Any) -> Episode:
    return run("", env, ScriptPolicy(replies), max_steps=max_steps, **how)


def test_the_tasks_verdict_makes_success() -> None:
    env = FakeEnv()
    episode = go(env, MISS, CLICK, seed=7)
    assert (episode.status, episode.reward, episode.cause) == ("success", 1.0, "verdict")
    assert len(episode.steps) == 2 and env.seeds == [7]
    assert episode.steps[1].reward == 1.0 and episode.steps[1].call is not None
    assert episode.steps[1].call.thought == "the button"


@pytest.mark.parametrize("reward", [0.0, -1.0, 0.5, 0.999])
def test_less_than_the_full_reward_is_failure(reward: float) -> None:
    episode = go(FakeEnv(reward=reward), CLICK)
    assert (episode.status, episode.reward) == ("failure", reward)


def test_a_reward_that_misses_one_by_rounding_is_success() -> None:
    assert go(FakeEnv(reward=1 - 1e-12), CLICK).status == "success"


def test_done_does_not_overrule_a_task_that_is_not_finished() -> None:
    episode = go(FakeEnv(), DONE)
    assert (episode.status, episode.reward, episode.cause) == ("failure", None, "verdict")


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (DONE, "success", "the model says: success"),
        (act(verb="done", status="failure", message="no such page"), "failure", "no such page"),
        (act(verb="answer", text="42"), "success", "42"),
    ],
)
def test_without_a_task_the_models_own_word_counts(reply: str, status: str, message: str) -> None:
    episode = go(FakeEnv(task=False), reply)
    assert (episode.status, episode.message, episode.cause, episode.reward) == (status, message, "own word", None)


def test_the_given_goal_stands_and_an_empty_one_is_the_environments() -> None:
    goals = []

    class Listening(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            goals.append(goal)
            return super().decide(goal, steps, screen, verbs)

    run("mine", FakeEnv(), Listening([CLICK]), max_steps=1)
    run("", FakeEnv(goal="the page's"), Listening([CLICK]), max_steps=1)
    assert goals == ["mine", "the page's"]


def test_a_reply_that_means_nothing_is_told_to_the_model_and_nothing_is_done() -> None:
    env = FakeEnv()
    seen = []

    class Reading(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            seen.append([step.error for step in steps])
            return super().decide(goal, steps, screen, verbs)

    episode = run("", env, Reading(["I would click it", act(verb="click", x=900, y=3), CLICK]), max_steps=10)
    assert episode.status == "success" and len(env.surface.performed) == 1
    assert seen[0] == [] and "not JSON" in seen[1][0] and "x must be 0 to 279" in seen[2][1]
    assert episode.steps[0].call is None and episode.steps[0].action is None
    assert episode.steps[1].call is not None and episode.steps[1].action is None


def test_a_verb_that_the_surface_lacks_is_the_models_mistake() -> None:
    episode = go(FakeEnv(), act(verb="scroll", down=1), CLICK)
    assert episode.status == "success" and "cannot 'scroll'" in episode.steps[0].error


def test_bad_calls_in_a_row_end_the_run_and_a_good_one_between_starts_the_count_again() -> None:
    patience = StopLimits(bad_calls=3)
    episode = go(FakeEnv(), "?", "?", MISS, "?", "?", "?", stop_limits=patience)
    assert (episode.status, episode.cause, len(episode.steps)) == ("failure", "bad calls", 6)
    assert "not JSON" in episode.message


def test_three_denials_stop_the_run() -> None:
    def guard(action: Any, screen: Any) -> None:
        if action.verb == "open":
            raise ActionDeniedError(f"rule 'x': {action.target} may not be opened")

    env = FakeEnv(guard=guard)
    opening = act(verb="open", target="https://evil.test/")
    episode = go(env, opening, MISS, opening, MISS, opening, MISS)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "denied", 5)
    assert "evil.test" in episode.message
    assert [action.verb for action in env.surface.performed] == ["click", "click"]


def test_trouble_of_the_machine_is_an_error_and_never_the_models_failure() -> None:
    env = FakeEnv()
    env.surface.trouble = "the browser is gone"
    episode = go(env, CLICK)
    assert (episode.status, episode.cause, episode.message) == ("error", "machine", "the browser is gone")
    assert episode.steps[0].error == "the browser is gone"


def test_trouble_before_the_first_screen_is_an_error_without_steps() -> None:
    class Broken(FakeEnv):
        def reset(self, *, seed: int | None = None) -> Any:
            raise SurfaceError("no page")

    episode = go(Broken(), CLICK)
    assert (episode.status, episode.steps, episode.message) == ("error", (), "no page")


def test_the_step_budget_ends_a_run() -> None:
    typing = [act(verb="type", text=str(n)) for n in range(4)]
    episode = go(FakeEnv(), *typing, max_steps=4)
    assert (episode.status, episode.cause, len(episode.steps), episode.reward) == ("budget", "budget", 4, None)


def test_success_in_the_last_step_is_success() -> None:
    assert go(FakeEnv(), MISS, CLICK, max_steps=2).status == "success"


def test_a_run_needs_a_step() -> None:
    with pytest.raises(UsageError, match="at least 1 step, not 0"):
        go(FakeEnv(), CLICK, max_steps=0)


def test_the_same_action_on_the_same_screen_is_told_at_three_and_ended_at_five() -> None:
    episode = go(FakeEnv(), *[MISS] * 9)
    assert (episode.status, episode.cause, len(episode.steps)) == ("failure", "no progress", 5)
    notes = [step.notice for step in episode.steps]
    assert notes[:2] == ["", ""] and "3 times and nothing changed" in notes[2] and "4 times" in notes[3]


def test_other_actions_between_are_progress() -> None:
    episode = go(FakeEnv(), *[MISS, MISS, act(verb="click", x=6, y=6)] * 3, max_steps=9)
    assert episode.status == "budget" and not any(step.notice for step in episode.steps)


def test_the_same_action_that_changes_the_screen_is_progress() -> None:
    episode = go(FakeEnv(), *[act(verb="type", text="a")] * 8, max_steps=8)
    assert episode.status == "budget"
    assert all(step.notice == "typed 1 characters" for step in episode.steps)


def test_a_question_is_answered_by_the_person_and_the_screen_is_looked_at_again() -> None:
    env = FakeEnv()
    asked = []

    def person(question: str) -> str:
        asked.append(question)
        env.surface.pixels[300:] = 7  # the person did something meanwhile
        return "the blue one"

    episode = go(env, act(verb="ask", question="which?"), CLICK, ask=person)
    assert asked == ["which?"] and episode.status == "success"
    assert episode.steps[0].notice == "The person answers: the blue one"
    assert int(episode.steps[1].screen.pixels[350, 0, 0]) == 7


def test_without_a_person_the_model_reads_that_nobody_answers() -> None:
    def gone(question: str) -> str:
        raise EOFError

    for ask in (None, gone):
        episode = go(FakeEnv(), act(verb="ask", question="which?"), CLICK, ask=ask)
        assert episode.status == "success" and "nobody is there" in episode.steps[0].error


def test_ctrl_c_while_the_model_thinks_stops_the_run_with_what_was_done() -> None:
    class Interrupted(ScriptPolicy):
        def decide(self, goal: str, steps: Any, screen: Any, verbs: Any) -> Any:
            if steps:
                raise KeyboardInterrupt
            return super().decide(goal, steps, screen, verbs)

    episode = run("", FakeEnv(), Interrupted([MISS]), max_steps=9)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "interrupted", 1)


def test_each_event_is_told_before_the_next_thing_happens() -> None:
    env = FakeEnv()
    told: list[tuple[str, int]] = []
    go(env, MISS, CLICK, on_event=lambda event: told.append((event["event"], len(env.surface.performed))))
    assert told == [
        ("start", 0),
        ("reply", 0),
        ("act.intent", 0),
        ("act.result", 1),
        ("reply", 1),
        ("act.intent", 1),
        ("act.result", 2),
        ("end", 2),
    ]


def test_what_nobody_foresaw_is_told_and_raised() -> None:
    class Buggy(FakeEnv):
        def step(self, action: Any) -> Any:
            raise ZeroDivisionError("a bug")

    events: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        go(Buggy(), CLICK, on_event=events.append)
    assert events[-1]["event"] == "end" and events[-1]["status"] == "error"
    assert events[-1]["message"] == "ZeroDivisionError: a bug"


def test_a_script_that_is_too_short_says_so() -> None:
    with pytest.raises(UsageError, match="the script has 1 replies"):
        go(FakeEnv(), MISS)


def test_waiting_on_a_still_screen_is_no_lack_of_progress() -> None:
    replies = ['{"verb": "wait", "seconds": 0}'] * 7 + ['{"verb": "done"}']
    episode = run("goal", FakeEnv(), ScriptPolicy(replies), max_steps=9)
    assert len(episode.steps) == 8 and episode.cause != "no progress"


class Several(JsonDialect):
    """Plain, whose replies are lists of actions."""

    def parse(self, text: str) -> Call:
        return Call("several", {"list": json.loads(text)})

    def to_actions(self, call: Call, screen: Any) -> tuple[Any, ...]:
        return tuple(parse_action(one) for one in call.arguments["list"])


def several(*actions: str) -> str:
    plain = [json.loads(action) for action in actions]
    return json.dumps([{name: value for name, value in one.items() if name != "thought"} for one in plain])


def go_several(env: FakeEnv, *replies: str, **how: Any) -> tuple[Episode, list[Any]]:
    events: list[Any] = []
    episode = run("", env, ScriptPolicy(replies, Several()), max_steps=9, on_event=events.append, **how)
    return episode, [event for event in events if event["event"].startswith("act.")]


def test_several_actions_of_a_reply_are_done_in_order_with_two_events_each() -> None:
    env = FakeEnv(task=False)
    episode, events = go_several(env, several(MISS, act(verb="wait", seconds=0), CLICK), several(DONE))
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
    assert [action.verb for action in first.actions] == ["click", "wait", "click"] and first.action == first.actions[-1]
    assert episode.status == "success" and len(episode.steps) == 2 and last.actions == (last.action,)
    results = [event for event in events if event["event"] == "act.result"]
    assert first.seconds == pytest.approx(sum(event["seconds"] for event in results[:3]))
    assert "think" in results[0]["timings_s"] and "think" not in results[1]["timings_s"]


def test_a_mistake_among_several_ends_the_reply_and_says_which_it_was() -> None:
    env = FakeEnv(task=False)
    episode, _ = go_several(env, several(MISS, act(verb="click", x=900, y=3), CLICK), several(DONE))
    assert [action.verb for action in env.surface.performed] == ["click"]
    assert "action 2 of 3, click (900, 3), was not done: point (900, 3) is outside" in episode.steps[0].error
    assert len(episode.steps[0].actions) == 2


def test_word_from_the_machine_ends_the_reply() -> None:
    """A dialog that nobody has seen must not be answered by what was meant for the page before it."""
    env = FakeEnv(task=False)
    episode, _ = go_several(env, several(act(verb="type", text="hi"), CLICK, CLICK), several(DONE))
    assert [action.verb for action in env.surface.performed] == ["type"]
    assert episode.steps[0].notice == (
        "The screen is another now: the last 2 of the 3 actions were not done.\ntyped 2 characters"
    )


def test_a_screen_of_another_size_ends_the_reply() -> None:
    env = FakeEnv(task=False)
    perform = env.surface.perform

    def turning(action: Any) -> str:
        env.surface.pixels = env.surface.pixels.transpose(1, 0, 2)
        return perform(action)

    env.surface.perform = turning  # type: ignore[method-assign]
    episode, _ = go_several(env, several(MISS, CLICK), several(DONE))
    assert len(env.surface.performed) == 1 and "last 1 of the 2 actions were not done" in episode.steps[0].notice


def test_a_task_that_is_over_ends_the_reply_without_a_word() -> None:
    env = FakeEnv()
    episode, _ = go_several(env, several(CLICK, MISS))
    assert episode.status == "success" and len(env.surface.performed) == 1 and episode.steps[0].notice == ""


def test_a_reply_that_means_no_action_is_a_mistake() -> None:
    episode, events = go_several(FakeEnv(task=False), several(), several(DONE))
    assert "means no action" in episode.steps[0].error and episode.steps[0].actions == ()
    assert events[0]["event"] == "act.result" and events[0]["action"] is None


def test_the_same_several_that_change_nothing_are_no_progress() -> None:
    episode, _ = go_several(FakeEnv(), *[several(MISS, act(verb="click", x=6, y=6))] * 9)
    assert (episode.cause, len(episode.steps)) == ("no progress", 5)


def test_the_first_family_of_the_package_that_means_several_has_them_done() -> None:
    """Fara's type: click the place, empty it, type, press enter."""
    from actions import plugins
    from model.processing.image import ImageLimits

    fara = plugins.load_plugin("model.dialects", "fara").Dialect(ImageLimits())
    arguments = {"action": "type", "coordinate": [120, 110], "text": "hi", "press_enter": False}
    reply = f"<tool_call>\n{json.dumps({'name': 'computer_use', 'arguments': arguments})}\n</tool_call>"
    env = FakeEnv(task=False)
    episode = run("", env, ScriptPolicy([reply], fara), max_steps=1)
    assert [action.verb for action in env.surface.performed][:1] == ["click"] and env.surface.clicked
    assert len(episode.steps[0].actions) >= 2
