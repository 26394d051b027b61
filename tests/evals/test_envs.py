"""Recorded benchmarks as gymnasium environments, their ids, and the scores of replies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import evals
from actions import Action, Call, Click, Done, Screen, Scroll, UsageError
from agent.loop import run
from agent.policies.scripted import JsonDialect, ScriptPolicy
from evals.envs import make_env
from evals.predictor import Predictor, to_prediction
from evals.registry import list_benchmarks, load_benchmark, load_dataset, resolve_protocol

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public data is not in ../shared/data")
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


@pytest.fixture(scope="module", autouse=True)
def registered_ids() -> None:
    evals.register()


@needs_data
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda line: str(line["reply"])[:9] or "empty")
def test_garbage_scores_zero(name: str, garbage: dict[str, Any]) -> None:
    bench = load_benchmark(name)
    dataset = load_dataset(bench, DATA / FOLDERS[name])
    predictions = {task.id: {"id": task.id, **garbage} for task in dataset.tasks}
    summary = bench.score(dataset, predictions, resolve_protocol(bench, dataset)).as_dict()
    assert summary["correct"] == 0
    assert all(value == 0 for value in summary["averages"].values())


@needs_data
@pytest.mark.parametrize("name", FOLDERS)
def test_half_of_predictions_scores_half(name: str) -> None:
    """Every second reference answer: the count is that of those alone, over the whole benchmark."""
    bench = load_benchmark(name)
    dataset = load_dataset(bench, DATA / FOLDERS[name])
    protocol = "polygons" if name.startswith("osworld") else resolve_protocol(bench, dataset)
    predictions = {task.id: bench.oracle(task) for task in dataset.tasks}
    full = bench.score(dataset, predictions, protocol).as_dict()
    half = bench.score(dataset, dict(list(predictions.items())[::2]), protocol).as_dict()
    assert full["accuracy"] == 1
    assert full["missing"] == 0
    assert half["total"] == full["total"]
    assert half["missing"] == len(half["missing_ids"]) == full["total"] // 2
    assert half["correct"] == full["total"] - full["total"] // 2


@needs_data
@pytest.mark.parametrize("name", FOLDERS)
def test_known_scores_give_same_result(name: str) -> None:
    bench = load_benchmark(name)
    dataset = load_dataset(bench, DATA / FOLDERS[name])
    protocol = resolve_protocol(bench, dataset)
    tasks = list(bench.scored_tasks(dataset, protocol))
    predictions = {task.id: bench.oracle(tasks[n - n % 3]) | {"id": task.id} for n, task in enumerate(tasks)}
    known = {task.id: bench.score_sample(task, predictions[task.id], protocol) for task in tasks}
    result = bench.score(dataset, predictions, protocol, known)
    assert result.as_dict() == bench.score(dataset, predictions, protocol).as_dict()
    assert result.scores == tuple(known[task.id] for task in tasks)


@needs_data
@pytest.mark.parametrize(
    ("name", "folder", "samples", "shape"),
    [
        ("ScreenSpot", "screenspot", 4, (1440, 2560, 3)),
        ("OSWorldG", "osworld_g", 18, (1080, 1920, 3)),
        ("AgentNetBench", "agentnetbench", 5, (956, 1468, 3)),
    ],
)
def test_recorded_env_passes_gymnasium_check(name: str, folder: str, samples: int, shape: tuple[int, ...]) -> None:
    env = gymnasium.make(f"pixelhand/{name}-v0", data=DATA / folder)
    unwrapped: Any = env.unwrapped
    assert len(unwrapped.recordings) == samples
    assert env.observation_space.shape == shape
    check_env(unwrapped, skip_render_check=True)
    env.close()


@needs_data
def test_episode_reward_is_official_score() -> None:
    """Every recorded desktop step with its first recorded action, through the loop."""
    env: Any = gymnasium.make("pixelhand/AgentNetBench-v0", data=DATA / "agentnetbench")
    bench = load_benchmark("agentnetbench")
    tasks = {task.id: task for task in bench.read(DATA / "agentnetbench").tasks}
    rewards = []
    for number, recording in enumerate(env.unwrapped.recordings):
        actions = [bench.oracle(tasks[frame.id])["actions"] for frame in recording.frames]
        script = [json.dumps(step_actions[0]) for step_actions in actions if step_actions[0]["verb"] != "done"]
        episode = run("", env, ScriptPolicy(script), max_steps=len(script), seed=number)
        assert len(episode.steps) == len(script), episode.message
        rewards += [
            (step.reward, len(step_actions)) for step, step_actions in zip(episode.steps, actions, strict=False)
        ]
    assert len(rewards) > 40
    assert all(reward == 1 for reward, count in rewards if count == 1)


@needs_data
def test_grounding_reward_is_official_score() -> None:
    env: Any = make_env("osworld-g", DATA / "osworld_g", protocol="polygons")
    for number, recording in enumerate(env.recordings):
        x, y = recording.frames[0].facts.target.click_point
        env.reset(seed=number)
        assert env.step(Click(x=round(x), y=round(y)))[1:3] == (1.0, True)
        env.reset(seed=number)
        assert env.step(Done(status="failure"))[1] == 0.0


@needs_data
def test_ids_select_samples() -> None:
    env = make_env("screenspot", DATA / "screenspot", ids=["screenspot_web_323"])
    assert env.reset(seed=5)[1]["id"] == "screenspot_web_323"
    with pytest.raises(UsageError, match="no id 'nobody'"):
        make_env("screenspot", DATA / "screenspot", ids=["nobody"])


@needs_data
def test_env_without_images_names_source() -> None:
    with pytest.raises(UsageError, match="get them from gs://gresearch"):
        gymnasium.make("pixelhand/AndroidControl-v0", data=DATA / "android_control")


def test_every_benchmark_of_actions_has_a_registered_id() -> None:
    for name in list_benchmarks():
        bench = load_benchmark(name)
        assert (bench.env_id == "") == (bench.question is not None), name
        if bench.question is not None:
            continue
        spec = gymnasium.spec(bench.env_id)
        assert spec.kwargs["name"] == name
        assert isinstance(spec.entry_point, str)


@pytest.mark.parametrize(
    "script",
    [
        "import gymnasium, evals; gymnasium.spec('pixelhand/GUIOdyssey-v0')",
        "import evals, sys; assert 'gymnasium' not in sys.modules; evals.register(); "
        "import gymnasium; gymnasium.spec('pixelhand/AITW-v0')",
    ],
    ids=["gymnasium imported before", "register called"],
)
def test_ids_are_registered_in_new_process(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_long_id_imports_evals() -> None:
    script = (
        "import gymnasium\n"
        "try:\n    gymnasium.make('evals:pixelhand/ScreenSpotPro-v0', data='nowhere')\n"
        "except Exception as error:\n    assert 'get them from github.com' in str(error), error\n"
        "else:\n    raise AssertionError('no data, and no error')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_reply_becomes_point_prediction() -> None:
    bench = load_benchmark("screenspot-pro")
    assert to_prediction(bench, "a", [Click(x=3, y=4)], "hm") == {"id": "a", "point": [3, 4], "reply": "hm"}
    assert to_prediction(bench, "a", [Done(status="failure")], "no")["refused"] is True
    assert to_prediction(bench, "a", [Done()], "yes") == {"id": "a", "point": None, "reply": "yes"}
    assert to_prediction(bench, "a", [], "???") == {"id": "a", "point": None, "reply": "???"}


def test_reply_becomes_actions_prediction() -> None:
    bench = load_benchmark("android-control")
    line = to_prediction(bench, "1/0", [Click(x=3, y=4), Scroll(down=2)], "two")
    assert [action["verb"] for action in line["actions"]] == ["click", "scroll"]
    assert to_prediction(bench, "1/0", [], "???")["actions"] == []


class SeveralActionsDialect(JsonDialect):
    """A dialect whose replies mean several actions."""

    actions: tuple[dict[str, Any], ...] = ()

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        return tuple(self.to_action(Call(action["verb"], _without_verb(action)), screen) for action in self.actions)


def _without_verb(action: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in action.items() if key != "verb"}


@needs_data
def test_all_actions_of_a_reply_are_scored() -> None:
    """The recorded move and scroll together score more than the move alone."""
    bench = load_benchmark("agentnetbench")
    dataset = bench.read(DATA / "agentnetbench")
    task = next(task for task in dataset.tasks if len(bench.oracle(task)["actions"]) > 1)
    dialect: Any = SeveralActionsDialect()
    dialect.actions = tuple(bench.oracle(task)["actions"])
    policy = ScriptPolicy(['{"verb": "wait"}'], dialect)
    (result,) = Predictor(bench, dataset, bench.protocols[0], "high", policy).predict([task.id], {})
    assert result.score is not None
    assert result.score.score == 1.0
    assert len((result.line or {})["actions"]) > 1


@needs_data
def test_evaluate_scores_each_prediction_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from evals.benchmarks import agentnetbench

    scored: list[str] = []
    score_step = agentnetbench._score_step

    def count(step: Any, prediction: Any, protocol: str) -> Any:
        scored.append(step.id)
        return score_step(step, prediction, protocol)

    monkeypatch.setattr(agentnetbench, "_score_step", count)
    policy = ScriptPolicy(['{"verb": "wait"}'] * 60)
    result = evals.evaluate("agentnetbench", policy, data=DATA / "agentnetbench")
    assert len(result.scores) == 54
    assert sorted(scored) == sorted(sample.id for sample in result.scores)


@needs_data
def test_evaluate_equals_score_of_its_predictions() -> None:
    folder = DATA / "agentnetbench"
    click = '{"verb": "click", "x": 700, "y": 400}'
    result = evals.evaluate("agentnetbench", ScriptPolicy([click] * 60), data=folder, limit=2, seed=1)
    bench = load_benchmark("agentnetbench")
    dataset = bench.read(folder).only({sample.id for sample in result.scores})
    action = json.loads(click)
    lines = {task.id: {"id": task.id, "actions": [action], "reply": click} for task in dataset.tasks}
    expected = bench.score(dataset, lines, result.protocol)
    assert result.scores == expected.scores
    assert result.accuracy == expected.accuracy
    assert result.interval == expected.interval
    assert result.about["model"] == "script"
    assert "not comparable with published" in result.notes[-1]


def test_evaluate_refuses_unknown_level(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="level is one of high, low"):
        evals.evaluate("screenspot", ScriptPolicy([]), data=tmp_path, level="middle")  # type: ignore[arg-type]
