"""Tests of PlannerGrounderPolicy: which point is used, what the grounder is prompted with, and the trace of both."""

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
from agent.policies import factory
from agent.policies.factory import PolicyOptions
from agent.policies.planner_grounder import (
    DESCRIBE_TARGET_PROMPT,
    GROUNDED_KEY,
    PlannerGrounderPolicy,
    target_description,
)
from agent.policies.scripted import JsonDialect, ScriptPolicy
from model.dialects import fara, gta1, holo, opencua, qwen25, ui_tars
from model.processing.image import ImageLimits

SCREEN = Screen(np.zeros((364, 280, 3), np.uint8))  # a size that none of these dialects resizes
TOOL_CALL = 'The menu is open.\n<tool_call>\n{"name": "computer_use", "arguments": %s}\n</tool_call>'
CLICK = '{"action": "left_click", "coordinate": [5, 6]}'
HIT = "(120,110)"


def scripted(module: Any, *replies: str) -> ScriptPolicy:
    return ScriptPolicy(replies, module.Dialect(ImageLimits()))


def pair(planner: ScriptPolicy, *grounder_replies: str) -> PlannerGrounderPolicy:
    return PlannerGrounderPolicy(planner, scripted(gta1, *grounder_replies))


def decide(policy: PlannerGrounderPolicy, goal: str = "Go.") -> tuple[Reply, tuple[Any, ...]]:
    reply = policy.decide(goal, (), SCREEN, frozenset(ACTION_TYPES))
    return reply, policy.to_actions(policy.parse(reply), SCREEN)


@pytest.mark.parametrize(
    ("module", "reply_text", "description"),
    [
        (qwen25, TOOL_CALL % CLICK, "The menu is open."),
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
def test_grounder_point_replaces_planner_point(module: Any, reply_text: str, description: str) -> None:
    policy = pair(scripted(module, reply_text), HIT)
    reply, actions = decide(policy)
    assert actions == (Click(x=120, y=110),)
    assert policy.to_action(policy.parse(reply), SCREEN) == actions[0]
    (localization,) = reply.localizations
    assert reply.text == reply_text
    assert localization["text"] == HIT
    assert (localization["sent"], localization["prompt"], localization["sent_is"]) == (
        description,
        description,
        "words",
    )


def test_target_description_uses_heading_or_element() -> None:
    assert target_description(Call("c", {}, "Thought: Hm.\n**Action:** Click *Save*.")) == "Click *Save*."
    assert target_description(Call("c", {}, "Action movies are on the left.")) == "Action movies are on the left."
    assert target_description(Call("c", {"element": "<point>3 4</point>"}, "the tab")) == "the tab"
    assert target_description(Call("c", {"element": [3, 4]})) == ""


def test_only_pointing_action_of_call_is_grounded() -> None:
    type_call = '{"action": "type", "text": "a", "coordinate": [5, 6], "press_enter": false}'
    _, actions = decide(pair(scripted(fara, TOOL_CALL % type_call), HIT))
    assert [item.verb for item in actions] == ["click", "type"]
    assert (actions[0].x, actions[0].y) == (120, 110)


@pytest.mark.parametrize(
    ("module", "reply_text"),
    [
        (ui_tars, "Thought: On.\nAction: drag(start_box='(5,6)', end_box='(50,60)')"),
        (ui_tars, "Thought: On.\nAction: scroll(start_box='(5,6)', direction='down')"),
        (ui_tars, "Thought: On.\nAction: click(start_box='(5,6)')\n\nclick(start_box='(50,60)')"),
        (ui_tars, "Thought: On.\nAction: wait()"),
        (qwen25, TOOL_CALL % '{"action": "scroll", "pixels": -100, "coordinate": [5, 6]}'),
    ],
)
def test_drags_scrolls_and_multiple_points_stay_ungrounded(module: Any, reply_text: str) -> None:
    reply, actions = decide(pair(scripted(module, reply_text)))  # a grounder without replies
    assert actions == scripted(module).to_actions(scripted(module).parse(reply), SCREEN)
    assert [GROUNDED_KEY in localization for localization in reply.localizations] == (
        [False] if len(actions) > 1 else []
    )


def test_planner_without_description_is_prompted_again() -> None:
    undescribed = TOOL_CALL.removeprefix("The menu is open.\n") % CLICK
    policy = pair(scripted(qwen25, undescribed, TOOL_CALL % CLICK), HIT)
    reply, actions = decide(policy)
    assert reply.prompt == f"Go.\n{DESCRIBE_TARGET_PROMPT}"
    assert reply.text == TOOL_CALL % CLICK
    assert reply.localizations[0]["unused"] == undescribed
    assert reply.localizations[1]["sent"] == "The menu is open."
    assert actions == (Click(x=120, y=110),)

    reply, actions = decide(pair(scripted(qwen25, undescribed, "no call"), HIT), "Press the red button.")
    assert (reply.text, reply.localizations[0]["unused"]) == (undescribed, "no call")
    assert (reply.localizations[1]["sent"], reply.localizations[1]["sent_is"]) == ("Press the red button.", "goal")
    assert actions == (Click(x=120, y=110),)


def test_invalid_planner_reply_is_unchanged() -> None:
    policy = pair(scripted(qwen25, "no call"))
    reply = policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES))
    assert reply.localizations == ()
    with pytest.raises(InvalidActionError, match="no function call"):
        policy.parse(reply)


@pytest.mark.parametrize(
    ("grounder_reply", "reason"),
    [("(-1,-1)", "not on the screen: The menu"), ("where?", "no point"), ("(9999,9)", "outside the screenshot")],
)
def test_grounder_failure_becomes_invalid_action_error(grounder_reply: str, reason: str) -> None:
    policy = pair(scripted(qwen25, TOOL_CALL % CLICK), grounder_reply)
    reply = policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES))
    call = policy.parse(reply)
    for specs in (policy.to_action, policy.to_actions):
        with pytest.raises(InvalidActionError, match=reason):
            specs(call, SCREEN)


def test_planner_cannot_write_grounded_argument() -> None:
    planner_call = TOOL_CALL % '{"action": "left_click", "coordinate": [5, 6], "grounded": [7, 8]}'
    policy = pair(scripted(qwen25, planner_call))
    with pytest.raises(InvalidActionError, match="has no argument 'grounded'"):
        policy.parse(policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES)))


def test_planner_history_has_its_own_calls() -> None:
    calls: list[Any] = []

    class Watching(ScriptPolicy):
        def decide(self, goal: str, steps: Any, *args: Any) -> Reply:
            calls.extend(step.call for step in steps)
            return super().decide(goal, steps, *args)

    planner_call = Call("computer_use", {"action": "left_click", "coordinate": [5, 6]}, "There.")
    grounded_call = Call(planner_call.name, {**planner_call.arguments, GROUNDED_KEY: [120, 110]}, planner_call.thought)
    steps = [Step(1, SCREEN, Reply("x"), grounded_call), Step(2, SCREEN, Reply("y"))]
    pair(Watching(["no call"], qwen25.Dialect(ImageLimits()))).decide("Go.", steps, SCREEN, frozenset(ACTION_TYPES))
    assert calls == [planner_call, None]


def test_run_clicks_grounded_point_and_traces_both(tmp_path: Path) -> None:
    policy = pair(scripted(qwen25, TOOL_CALL % CLICK, TOOL_CALL % CLICK), "(-1,-1)", HIT)
    folder = trace.new_folder(tmp_path / "runs")
    writer = trace.TraceWriter(folder, {"goal": "", "seed": 3, "policy": dict(policy.metadata)})
    episode = run("", FakeEnv(), policy, max_steps=3, trace=writer, seed=3)
    writer.close()
    assert (episode.status, len(episode.steps)) == ("success", 2)
    record = trace.read_trace(folder)
    first, second = record.steps()
    assert "is not on the screen" in first.error
    assert second.action == Click(x=120, y=110)
    assert second.call is not None
    assert second.call.arguments[GROUNDED_KEY] == [120, 110]
    assert second.reply.text == TOOL_CALL % CLICK
    assert second.reply.localizations[0]["text"] == HIT
    metadata = record.manifest["policy"]
    assert metadata["model"] == "script + script"
    hashes = [policy.planner.metadata["prompt_hash"], policy.grounder.metadata["prompt_hash"]]
    assert [metadata[item]["prompt_hash"] for item in ("planner", "grounder")] == hashes
    assert metadata["prompt_hash"] not in hashes


def test_tokens_timings_and_localizations_are_merged() -> None:
    class Counting(ScriptPolicy):
        def decide(self, *args: Any) -> Reply:
            spent = {"prompt_tokens": 7, "reply_tokens": 2, "timings_s": {"a": 1.0, "b": 2.0}}
            return replace(super().decide(*args), **spent, localizations=({"x": 1, "x_px": 3.0},))

    planner = Counting([TOOL_CALL % CLICK], qwen25.Dialect(ImageLimits()))
    policy = PlannerGrounderPolicy(planner, Counting([HIT], gta1.Dialect(ImageLimits())))
    reply = policy.decide("Go.", (), SCREEN, frozenset(ACTION_TYPES))
    assert (reply.prompt_tokens, reply.reply_tokens) == (14, 4)
    assert reply.timings_s == {"a": 1.0, "b": 2.0, "ground": 3.0}
    assert [(item.get("grounder"), item.get("x_px")) for item in reply.localizations] == [
        (None, 3.0),
        ("script", None),
        ("script", 3.0),
    ]


class PointlessDialect(JsonDialect):
    """A dialect without a click."""

    def supports(self, verb: str) -> bool:
        return False


@pytest.mark.parametrize("dialect", [PointlessDialect()])
def test_grounder_without_click_raises_usage_error(dialect: Any) -> None:
    with pytest.raises(
        UsageError, match=f"grounder script cannot be used: its dialect '{type(dialect).__name__}' has no click"
    ):
        PlannerGrounderPolicy(scripted(qwen25), ScriptPolicy([], dialect))


@pytest.mark.parametrize("name", plugins.list_plugins("model.dialects"))
def test_every_dialect_can_point_with_every_tool(name: str) -> None:
    kind = plugins.load_plugin("model.dialects", name).Dialect
    for tool in kind.ACTIONS:
        assert kind(ImageLimits(), tool=tool).supports("click")


@pytest.fixture
def loaded_policies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace models: "a" loads a planner, "b" a grounder, "c" a policy that cannot point."""
    dialects = {"a": qwen25.Dialect(ImageLimits()), "b": gta1.Dialect(ImageLimits()), "c": PointlessDialect()}
    policies: list[Any] = []

    def load(model: str, options: PolicyOptions, **_: Any) -> Any:
        item: Any = ScriptPolicy([], dialects[model])
        item.options, item.closed = options, False
        item.close = lambda: setattr(item, "closed", True)
        policies.append(item)
        return item

    monkeypatch.setattr(factory, "load_local_policy", load)
    return policies


def test_prompt_goes_to_planner_zoom_to_grounder(loaded_policies: list[Any]) -> None:
    settings = Settings(model="a", grounder="b", prompt="file", zoom="on", temperature=0.5)
    policy = session.policy_from_settings(settings)
    assert isinstance(policy, PlannerGrounderPolicy)
    options = [(item.options.prompt, item.options.zoom, item.options.temperature) for item in loaded_policies]
    assert options == [("file", "off", 0.5), ("", "on", 0.0)]
    policy.close()
    assert [item.closed for item in loaded_policies] == [True, True]


def test_both_policies_close_when_pair_is_refused(loaded_policies: list[Any]) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        session.policy_from_settings(Settings(model="a", grounder="c"))
    assert [item.closed for item in loaded_policies] == [True, True]


def test_project_file_cannot_set_grounder(tmp_path: Path) -> None:
    project = tmp_path / "pixelhand.toml"
    project.write_text('grounder = "http://elsewhere/v1#x"\n')
    with pytest.raises(UsageError, match="'grounder' cannot be set in"):
        config.load({}, environment={}, user=tmp_path / "none.toml", project=project)


def test_embedded_model_grounds_itself() -> None:
    from agent.policies.remote.probe import GOAL, render_button_page

    screen, center = render_button_page((280, 364), (0.50, 0.60))
    policy = session.policy_from_settings(Settings(model="embedded", grounder="embedded"))
    reply = policy.decide(GOAL, (), screen, frozenset(ACTION_TYPES))
    (actions,) = policy.to_actions(policy.parse(reply), screen)
    policy.close()
    assert isinstance(actions, Click)
    assert abs(actions.x - center[0]) <= 35
    assert abs(actions.y - center[1]) <= 35
    grounder_replies = [localization for localization in reply.localizations if GROUNDED_KEY in localization]
    assert [item[GROUNDED_KEY] for item in grounder_replies] == [[actions.x, actions.y]]
    assert (grounder_replies[0]["sent"] == GOAL) == (grounder_replies[0]["sent_is"] == "goal")
    assert json.loads(grounder_replies[0]["text"].split("tool_call>")[1].removesuffix("</"))["name"] == "computer_use"


def test_on_text_is_forwarded_to_planner(monkeypatch: pytest.MonkeyPatch) -> None:
    """One policy serves several tasks in turn, each with its own receiver."""
    from model.dialects import qwen25

    policy = pair(scripted(qwen25, "x"))
    assert policy.on_text is None
    policy.planner.on_text = None  # type: ignore[attr-defined]
    texts: list[str] = []
    policy.on_text = texts.append
    assert policy.planner.on_text == texts.append  # type: ignore[attr-defined]
