"""Real recorded benchmarks through gymnasium and the loop; what one reply is worth; garbage and half-missing files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from actions import Click, Done, Scroll, UsageError
from agent.loop import run
from agent.policies.scripted import JsonDialect, ScriptPolicy
from evals import scoring
from evals.predictor import Predictor, make_env, to_prediction

DATA = Path(__file__).parents[3] / "shared" / "data"
here = pytest.mark.skipif(not DATA.is_dir(), reason="the public data is not in ../shared/data")
FOLDERS = {
    "screenspot": "screenspot",
    "screenspot-v2": "screenspot_v2",
    "screenspot-pro": "screenspot_pro",
    "osworld-g": "osworld_g",
    "osworld-g-refined": "osworld_g",
    "android-control": "android_control",
    "agentnetbench": "agentnetbench",
}
GARBAGE: list[dict[str, Any]] = [
    {"point": None, "reply": ""},
    {"point": "%%%", "actions": "%%%", "reply": "%%%"},
    {"point": [float("nan"), 1], "actions": [{"verb": "click"}], "reply": "NaN"},
    {"point": [-1e9, 1e12], "actions": [{"verb": "move", "x": -(10**6), "y": -(10**6)}], "reply": "far away"},
    {"reply": "no field at all"},
]


@here
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda one: str(one["reply"])[:9] or "empty")
def test_garbage_scores_nothing_on_any_benchmark(name: str, garbage: dict[str, Any]) -> None:
    bench = scoring.benchmark(name)
    dataset = scoring.load(bench, DATA / FOLDERS[name])
    said = {task.id: {"id": task.id, **garbage} for task in dataset.tasks}
    told = bench.score(dataset, said, scoring.resolve_protocol(bench, dataset)).as_dict()
    assert told["correct"] == 0 and all(value == 0 for value in told["averages"].values())


@here
@pytest.mark.parametrize("name", FOLDERS)
def test_half_missing_scores_the_half(name: str) -> None:
    """Of recorded right answers every second one; the count is that of those alone, over the whole benchmark."""
    bench = scoring.benchmark(name)
    dataset = scoring.load(bench, DATA / FOLDERS[name])
    protocol = "polygons" if name.startswith("osworld") else scoring.resolve_protocol(bench, dataset)
    right = {task.id: bench.oracle(task) for task in dataset.tasks}
    whole = bench.score(dataset, right, protocol).as_dict()
    half = bench.score(dataset, dict(list(right.items())[::2]), protocol).as_dict()
    assert whole["accuracy"] == 1 and whole["missing"] == 0
    assert half["total"] == whole["total"] and half["missing"] == len(half["missing_ids"]) == whole["total"] // 2
    assert half["correct"] == whole["total"] - whole["total"] // 2


@here
@pytest.mark.parametrize(
    ("name", "folder", "samples", "size"),
    [
        ("ScreenSpot", "screenspot", 4, (1440, 2560, 3)),
        ("OSWorldG", "osworld_g", 18, (1080, 1920, 3)),
        ("AgentNetBench", "agentnetbench", 5, (956, 1468, 3)),
    ],
)
def test_real_screenshots_pass_gymnasiums_check(name: str, folder: str, samples: int, size: tuple[int, ...]) -> None:
    env = gymnasium.make(f"pixelhand/{name}-v0", data=DATA / folder)
    whole: Any = env.unwrapped
    assert len(whole.recordings) == samples and env.observation_space.shape == size
    check_env(whole, skip_render_check=True)
    env.close()


@here
def test_the_reward_is_the_official_scorers_word() -> None:
    """Every real desktop step with its recorded actions through the loop, and one click through the real targets."""
    env = gymnasium.make("pixelhand/AgentNetBench-v0", data=DATA / "agentnetbench")
    bench = scoring.benchmark("agentnetbench")
    tasks = {task.id: task for task in bench.read(DATA / "agentnetbench").tasks}
    rewards = []
    for number, recording in enumerate(env.unwrapped.recordings):  # type: ignore[attr-defined]
        first = [bench.oracle(tasks[frame.id])["actions"][0] for frame in recording.frames]
        script = [json.dumps(action) for action in first if action["verb"] != "done"]
        episode = run("", env, ScriptPolicy(script), max_steps=len(script), seed=number)
        assert len(episode.steps) == len(script), episode.message
        rewards += [
            (step.reward, len(bench.oracle(tasks[frame.id])["actions"]))
            for step, frame in zip(episode.steps, recording.frames, strict=False)
        ]
    assert all(reward == 1 for reward, actions in rewards if actions == 1) and len(rewards) > 40
    grounding = make_env("osworld-g", DATA / "osworld_g", protocol="polygons")
    for number, recording in enumerate(grounding.recordings):
        x, y = recording.frames[0].facts.target.middle
        grounding.reset(seed=number)
        assert grounding.step(Click(x=round(x), y=round(y)))[1:3] == (1.0, True)
        grounding.reset(seed=number)
        assert grounding.step(Done(status="failure"))[1] == 0.0


@here
def test_an_environment_may_have_some_samples_only() -> None:
    env = make_env("screenspot", DATA / "screenspot", ids=["screenspot_web_323"])
    assert env.reset(seed=5)[1]["id"] == "screenspot_web_323"
    with pytest.raises(UsageError, match="screenspot has no 'nobody'; its ids look like"):
        make_env("screenspot", DATA / "screenspot", ids=["nobody"])
    with pytest.raises(UsageError, match=r"none of the pictures asked for is in .*; get them from gs://gresearch"):
        gymnasium.make("pixelhand/AndroidControl-v0", data=DATA / "android_control")


def test_every_id_names_a_benchmark_that_there_is() -> None:
    assert set(envs.RECORDED.values()) <= set(scoring.names())
    made = {name for name in scoring.names() if scoring.benchmark(name).episodes or scoring.benchmark(name).verbs}
    assert made == set(envs.RECORDED.values())


def test_what_a_reply_is_as_a_prediction() -> None:
    point, steps = scoring.benchmark("screenspot-pro"), scoring.benchmark("android-control")
    assert to_prediction(point, "a", [Click(x=3, y=4)], "hm") == {"id": "a", "point": [3, 4], "reply": "hm"}
    assert to_prediction(point, "a", [Done(status="failure")], "no")["refused"] is True
    assert to_prediction(point, "a", [Done()], "yes") == {"id": "a", "point": None, "reply": "yes"}
    assert to_prediction(point, "a", [], "???") == {"id": "a", "point": None, "reply": "???"}
    line = to_prediction(steps, "1/0", [Click(x=3, y=4), Scroll(down=2)], "two")
    assert [one["verb"] for one in line["actions"]] == ["click", "scroll"]
    assert to_prediction(steps, "1/0", [], "???")["actions"] == []


@here
def test_all_actions_of_a_reply_are_scored_and_the_first_is_done() -> None:
    """A dialect that says several at once: the recorded move and scroll together are worth more than the move."""

    class Several(JsonDialect):
        def to_actions(self, call: Any, screen: Any) -> tuple[Any, ...]:
            return tuple(super(Several, self).to_action(type(call)(one.pop("verb"), one), screen) for one in self.all)

    bench = scoring.benchmark("agentnetbench")
    dataset = bench.read(DATA / "agentnetbench")
    task = next(one for one in dataset.tasks if len(bench.oracle(one)["actions"]) > 1)
    policy = ScriptPolicy(['{"verb": "wait"}'], Several())
    policy.dialect.all = [dict(one) for one in bench.oracle(task)["actions"]]  # type: ignore[attr-defined]
    answers = list(Predictor(bench, dataset, bench.protocols[0], "high", policy).ask([task.id], {}))
    assert [one.score for one in answers] == [1.0] and len((answers[0].line or {})["actions"]) > 1
