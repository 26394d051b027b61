"""A planner and a grounder as one policy: what is sent, whose point is taken, and what the trace tells of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import FakeEnv

from actions import ACTION_TYPES, Call, Click, InvalidActionError, Reply, Screen, Step, UsageError, plugins
from agent import config, session, trace
from agent.config import Settings
from agent.loop import run
from agent.policies.base import JsonDialect, ScriptPolicy
from agent.policies.planner_grounder import (
    DESCRIBE_TARGET_PROMPT,
    GROUNDED_KEY,
    PlannerGrounderPolicy,
    target,
)
from model.dialects import fara, gta1, holo, opencua, qwen25, ui_tars
from model.processing.image import ImageLimits

SCREEN = Screen(np.zeros((364, 280, 3), np.uint8))  # is shown to each of these families as it is
THINKS = 'The menu is open.\n<tool_call>\n{"name": "computer_use", "arguments": %s}\n</tool_call>'
CLICK = '{"action": "left_click", "coordinate": [5, 6]}'
HIT = "(120,110)"


def spoken(module: Any, *replies: str) -> ScriptPolicy:
    return ScriptPolicy(replies, module.Dialect(ImageLimits()))


def pair(planner: ScriptPolicy, *answers: str) -> PlannerGrounderPolicy:
    return PlannerGrounderPolicy(planner, spoken(gta1, *answers))


def decided(policy: PlannerGrounderPolicy, goal: str = "Go.") -> tuple[Reply, tuple[Any, ...]]:
    reply = policy.decide(goal, (), SCREEN, frozenset(ACTION_TYPES))
    return reply, policy.to_actions(policy.parse(reply), SCREEN)


@pytest.mark.parametrize(
    ("module", "said", "sent"),
    [
        (qwen25, THINKS % CLICK, "The menu is open."),
        (
            ui_tars,
            "Thought: I click\nthe blue button.\nAction: click(start_box='(5,6)')",
            "I click the blue button.",
        ),
        (
            opencua,
            "## Thought:\nIt is there.\n\n## Action:\nClick the Save button.\n\n## Code:\n"
            "```python\npyautogui.click(x=5, y=6)\n```",
            "Click the Save button.",
        ),
        (
            holo,
            '{"note": "", "thought": "Next.", '
            '"action": {"action": "click_element", "element": "blue button", "x": 5, "y": 6}}',
            "blue button",
        ),
    ],
)
def test_the_grounder_is_sent_the_planners_words_and_its_point_is_taken(module: Any, said: str, sent: str) -> None:
    policy = pair(spoken(module, said), HIT)
    reply, meant = decided(policy)
    assert meant == (Click(x=120, y=110),)
    assert policy.to_action(policy.parse(reply), SCREEN) == meant[0]
    (look,) = reply.localizations
    assert reply.text == said and look["text"] == HIT
    assert (look["sent"], look["prompt"], look["sent_is"]) == (sent, sent, "words")


def test_words_under_headings_and_elements_that_are_points() -> None:
    assert target(Call("c", {}, "Thought: Hm.\n**Action:** Click *Save*.")) == "Click *Save*."
    assert target(Call("c", {}, "Action movies are on the left.")) == "Action movies are on the left."
    assert target(Call("c", {"element": "<point>3 4</point>"}, "the tab")) == "the tab"
    assert target(Call("c", {"element": [3, 4]})) == ""


def test_of_a_call_that_means_several_actions_the_one_that_points_is_moved() -> None:
    typed = '{"action": "type", "text": "a", "coordinate": [5, 6], "press_enter": false}'
    _, meant = decided(pair(spoken(fara, THINKS % typed), HIT))
    assert [one.verb for one in meant] == ["click", "type"] and (meant[0].x, meant[0].y) == (120, 110)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (ui_tars, "Thought: On.\nAction: drag(start_box='(5,6)', end_box='(50,60)')"),
        (ui_tars, "Thought: On.\nAction: scroll(start_box='(5,6)', direction='down')"),
        (ui_tars, "Thought: On.\nAction: click(start_box='(5,6)')\n\nclick(start_box='(50,60)')"),
        (ui_tars, "Thought: On.\nAction: wait()"),
        (qwen25, THINKS % '{"action": "scroll", "pixels": -100, "coordinate": [5, 6]}'),
    ],
)
def test_drags_scrolls_and_several_places_are_left_to_the_planner(module: Any, said: str) -> None:
    reply, meant = decided(pair(spoken(module, said)))  # whose grounder has nothing to say
    assert meant == spoken(module).to_actions(spoken(module).parse(reply), SCREEN)
    assert [GROUNDED_KEY in look for look in reply.localizations] == ([False] if len(meant) > 1 else [])


def test_a_planner_that_points_without_a_word_is_asked_for_one() -> None:
    bare = THINKS.removeprefix("The menu is open.\n") % CLICK
    policy = pair(spoken(qwen25, bare, THINKS % CLICK), HIT)
    reply, meant = decided(policy)
    assert reply.prompt == f"Go.\n{DESCRIBE_TARGET_PROMPT}" and reply.text == THINKS % CLICK
    assert reply.localizations[0]["unused"] == bare and reply.localizations[1]["sent"] == "The menu is open."
    assert meant == (Click(x=120, y=110),)

    reply, meant = decided(pair(spoken(qwen25, bare, "no call"), HIT), "Press the red button.")
    assert (reply.text, reply.localizations[0]["unused"]) == (bare, "no call")
    assert (reply.localizations[1]["sent"], reply.localizations[1]["sent_is"]) == ("Press the red button.", "goal")
    assert meant == (Click(x=120, y=110),)


def test_a_reply_that_cannot_be_read_is_left_as_it_is() -> None:
    policy = pair(spoken(qwen25, "no call"))
    reply = policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES))
    assert reply.localizations == ()
    with pytest.raises(InvalidActionError, match="no function call"):
        policy.parse(reply)


@pytest.mark.parametrize(
    ("answer", "why"),
    [("(-1,-1)", "not on the screen: The menu"), ("where?", "no point"), ("(9999,9)", "outside the screenshot")],
)
def test_what_the_grounder_does_not_find_the_planner_reads_about(answer: str, why: str) -> None:
    policy = pair(spoken(qwen25, THINKS % CLICK), answer)
    reply = policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES))
    call = policy.parse(reply)
    for asked in (policy.to_action, policy.to_actions):
        with pytest.raises(InvalidActionError, match=why):
            asked(call, SCREEN)


def test_a_planner_that_writes_the_grounders_answer_itself_is_refused() -> None:
    own = THINKS % '{"action": "left_click", "coordinate": [5, 6], "grounded": [7, 8]}'
    policy = pair(spoken(qwen25, own))
    with pytest.raises(InvalidActionError, match="takes no 'grounded'"):
        policy.parse(policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES)))


def test_the_planner_is_shown_its_own_calls() -> None:
    seen: list[Any] = []

    class Watching(ScriptPolicy):
        def decide(self, goal: str, steps: Any, *given: Any) -> Reply:
            seen.extend(step.call for step in steps)
            return super().decide(goal, steps, *given)

    own = Call("computer_use", {"action": "left_click", "coordinate": [5, 6]}, "There.")
    given = Call(own.name, {**own.arguments, GROUNDED_KEY: [120, 110]}, own.thought)
    steps = [Step(1, SCREEN, Reply("x"), given), Step(2, SCREEN, Reply("y"))]
    pair(Watching(["no call"], qwen25.Dialect(ImageLimits()))).decide("Go.", steps, SCREEN, frozenset(ACTION_TYPES))
    assert seen == [own, None]


def test_a_run_clicks_where_the_grounder_says_and_its_trace_tells_of_both(tmp_path: Path) -> None:
    policy = pair(spoken(qwen25, THINKS % CLICK, THINKS % CLICK), "(-1,-1)", HIT)
    folder = trace.new_folder(tmp_path / "runs")
    writer = trace.TraceWriter(folder, {"goal": "", "seed": 3, "policy": dict(policy.metadata)})
    episode = run("", FakeEnv(), policy, max_steps=3, trace=writer, seed=3)
    writer.close()
    assert (episode.status, len(episode.steps)) == ("success", 2)
    told = trace.read_trace(folder)
    first, second = told.steps()
    assert "is not on the screen" in first.error and second.action == Click(x=120, y=110)
    assert second.call is not None and second.call.arguments[GROUNDED_KEY] == [120, 110]
    assert second.reply.text == THINKS % CLICK and second.reply.localizations[0]["text"] == HIT
    about = told.manifest["policy"]
    assert about["model"] == "script + script"
    hashes = [policy.planner.metadata["prompt_hash"], policy.grounder.metadata["prompt_hash"]]
    assert [about[one]["prompt_hash"] for one in ("planner", "grounder")] == hashes
    assert about["prompt_hash"] not in hashes


def test_tokens_seconds_and_looks_of_both_are_counted() -> None:
    class Counting(ScriptPolicy):
        def decide(self, *given: Any) -> Reply:
            spent = {"prompt_tokens": 7, "reply_tokens": 2, "timings_s": {"a": 1.0, "b": 2.0}}
            return replace(super().decide(*given), **spent, localizations=({"x": 1, "x_px": 3.0},))

    planner = Counting([THINKS % CLICK], qwen25.Dialect(ImageLimits()))
    policy = PlannerGrounderPolicy(planner, Counting([HIT], gta1.Dialect(ImageLimits())))
    reply = policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES))
    assert (reply.prompt_tokens, reply.reply_tokens) == (14, 4)
    assert reply.timings_s == {"a": 1.0, "b": 2.0, "ground": 3.0}
    assert [(one.get("grounder"), one.get("x_px")) for one in reply.localizations] == [
        (None, 3.0),
        ("script", None),
        ("script", 3.0),
    ]


def test_a_grounder_that_cannot_point_is_refused() -> None:
    dialect = JsonDialect()
    with pytest.raises(UsageError, match=f"script cannot point: its dialect, {type(dialect).__name__}, has no words"):
        PlannerGrounderPolicy(spoken(qwen25), ScriptPolicy([], dialect))


@pytest.mark.parametrize("name", plugins.list_plugins("model.dialects"))
def test_each_dialect_of_ours_can_point_with_each_of_its_tools(name: str) -> None:
    kind = plugins.load_plugin("model.dialects", name).Dialect
    for tool in getattr(kind, "TOOLS", ("computer_use", "mobile_use")):
        assert kind(ImageLimits(), tool=tool).supports("click")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What launch loads in place of models: a planner for "a", a grounder for "b", one that cannot point for "c"."""
    kinds = {"a": qwen25.Dialect(ImageLimits()), "b": gta1.Dialect(ImageLimits()), "c": JsonDialect()}
    loaded: list[Any] = []

    def load(model: str, *given: Any, **how: Any) -> Any:
        one: Any = ScriptPolicy([], kinds[model])
        one.how, one.closed = how, False
        one.close = lambda: setattr(one, "closed", True)
        loaded.append(one)
        return one

    monkeypatch.setattr(session, "load_local_policy", load)
    return loaded


def test_the_prompt_is_the_planners_and_who_points_looks_twice(opened: list[Any]) -> None:
    settings = Settings(model="a", grounder="b", prompt="file", zoom="on", temperature=0.5)
    policy = session.load_policy(settings)
    assert isinstance(policy, PlannerGrounderPolicy)
    told = [(one.how["prompt"], one.how["zoom"], one.how["temperature"]) for one in opened]
    assert told == [("file", "off", 0.5), ("", "on", 0.0)]
    policy.close()
    assert [one.closed for one in opened] == [True, True]


def test_both_are_let_go_where_the_pair_is_refused(opened: list[Any]) -> None:
    with pytest.raises(UsageError, match="cannot point"):
        session.load_policy(Settings(model="a", grounder="c"))
    assert [one.closed for one in opened] == [True, True]


def test_an_order_of_an_eval_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    from evals.cli import AND
    from evals.workers import process

    order = process.RunSpec("x", "", "", model=f"a{AND}b", prompt="file", maker="evals.cli:pair")
    made = process.make_policy
    asked: list[Any] = []

    def make(one: Any) -> Any:
        asked.append((one.model, one.prompt, one.maker))
        return spoken(gta1)

    monkeypatch.setattr(process, "make_policy", make)
    assert isinstance(made(order), PlannerGrounderPolicy)
    assert asked == [("a", "file", ""), ("b", "", "")]


def test_a_project_does_not_choose_the_grounder(tmp_path: Path) -> None:
    project = tmp_path / "pixelhand.toml"
    project.write_text('grounder = "http://elsewhere/v1#x"\n')
    with pytest.raises(UsageError, match="'grounder' may not stand in"):
        config.load({}, environment={}, user=tmp_path / "none.toml", project=project)


def test_the_embedded_model_grounds_for_itself() -> None:
    from agent.policies.remote.probe import GOAL, render_button_page

    screen, where = render_button_page((280, 364), (0.50, 0.60))
    policy = session.load_policy(Settings(model="embedded", grounder="embedded"))
    reply = policy.decide(GOAL, (), screen, frozenset(ACTION_TYPES))
    (meant,) = policy.to_actions(policy.parse(reply), screen)
    policy.close()
    assert isinstance(meant, Click) and abs(meant.x - where[0]) <= 35 and abs(meant.y - where[1]) <= 35
    answers = [look for look in reply.localizations if GROUNDED_KEY in look]
    assert [one[GROUNDED_KEY] for one in answers] == [[meant.x, meant.y]]
    assert (answers[0]["sent"] == GOAL) == (answers[0]["sent_is"] == "goal")  # its own words, if any, mean little
    assert json.loads(answers[0]["text"].split("tool_call>")[1].removesuffix("</"))["name"] == "computer_use"


def test_whoever_listens_later_hears_the_planner(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair serves one task after another; the word that stopped the first must not stop the second."""
    from model.dialects import qwen25

    both = pair(spoken(qwen25, "x"))
    assert both.on_text is None
    both.planner.on_text = None  # type: ignore[attr-defined]
    heard: list[str] = []
    both.on_text = heard.append
    assert both.planner.on_text == heard.append  # type: ignore[attr-defined]
