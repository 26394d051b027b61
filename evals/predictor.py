"""Recorded benchmarks as environments, and one recorded step put to a policy. Knows tasks, envs and the loop.

Each recorded step is one run of agent.loop of one turn, on the recorded screen whatever was said before; what was said
on earlier steps of its episode is the history that the policy is shown. So a reply that cannot be read, or an early
"done", costs its own step and no other. A judge's word is the benchmark's official scorer's, on that one prediction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from actions import ACTION_ADAPTER, Call, Click, Done, Error, InvalidActionError, Reply, Screen, Step, UsageError
from agent.loop import run
from agent.policies.base import Policy
from envs.grounding import GroundingEnv
from envs.recorded import Level, RecordedEpisode, RecordedEpisodeEnv, RecordedStep, RewardFn
from envs.surfaces.image import load_screenshot
from evals import scoring
from evals.scoring import Benchmark, Dataset, Prediction

AHEAD = 6  # pictures that wait for their turn


def recorded_step(dataset: Dataset, task: Any) -> RecordedStep:
    """A task as the environment shows it: a step has its own instruction, a picture its only one."""
    return RecordedStep(task.id, dataset.folder / "images" / task.picture, task.instruction, task)


def recordings(dataset: Dataset, tasks: Sequence[Any]) -> list[RecordedEpisode]:
    """Steps, in their order, as episodes."""
    held: dict[str, list[Any]] = {}
    for task in tasks:
        held.setdefault(task.episode, []).append(task)
    return [
        RecordedEpisode(name, steps[0].goal, tuple(recorded_step(dataset, step) for step in steps))
        for name, steps in held.items()
    ]


def to_prediction(bench: Benchmark, name: str, said: Sequence[Any], reply: str) -> Prediction:
    """A line of a file of predictions. said: the Actions of one reply, none when it could not be read.

    On a picture the first action is the answer: a click its point, "done" with status failure a refusal.
    """
    if bench.episodes:
        return {"id": name, "actions": [ACTION_ADAPTER.dump_python(one, mode="json") for one in said], "reply": reply}
    first = said[0] if said else None
    line: Prediction = {"id": name, "point": [first.x, first.y] if isinstance(first, Click) else None}
    if isinstance(first, Done) and first.status == "failure":
        line["refused"] = True
    return {**line, "reply": reply}


def score_prediction(bench: Benchmark, dataset: Dataset, protocol: str, line: Prediction) -> float:
    """The official scorer's word on one prediction, 0 to 1."""
    verdicts = bench.score(dataset.only({line["id"]}), {line["id"]: line}, protocol).verdicts
    return verdicts[0].score if verdicts else 0.0


def judge(bench: Benchmark, dataset: Dataset, protocol: str) -> RewardFn:
    """What EpisodeEnv asks of each step."""

    def word(shown: RecordedStep, action: Any) -> float:
        return score_prediction(bench, dataset, protocol, to_prediction(bench, shown.id, [action], ""))

    return word


def make_env(
    name: str,
    data: str | Path,
    *,
    protocol: str | None = None,
    level: Level = "high",
    ids: Sequence[str] | None = None,
    canvas: tuple[int, int] | None = None,
    render_mode: str | None = None,
) -> RecordedEpisodeEnv:
    """A benchmark's folder as an environment; what gymnasium's ids of recorded benchmarks make.

    ids: samples or, of recorded episodes, episodes, in place of all. Those without their pictures are left out;
    UsageError, with the place to get them, when none is left.
    """
    bench = scoring.benchmark(name)
    dataset = scoring.load(bench, Path(data))
    chosen = scoring.resolve_protocol(bench, dataset, protocol)
    tasks = list(bench.judged(dataset, chosen))
    word = judge(bench, dataset, chosen)
    if bench.episodes:
        whole = _named(recordings(dataset, tasks), ids, name)
        there = [one for one in whole if all(shown.picture.is_file() for shown in one.frames)]
        _some(there, bench, dataset)
        return RecordedEpisodeEnv(there, word, level=level, canvas=canvas, verbs=bench.verbs, render_mode=render_mode)
    frames = _named([recorded_step(dataset, task) for task in tasks], ids, name)
    pictures = [shown for shown in frames if shown.picture.is_file()]
    _some(pictures, bench, dataset)
    return GroundingEnv(pictures, word, canvas=canvas, render_mode=render_mode)


def _named(held: list[Any], ids: Sequence[str] | None, name: str) -> list[Any]:
    if ids is None:
        return held
    by_id = {one.id: one for one in held}
    unknown = [one for one in ids if one not in by_id]
    if unknown:
        raise UsageError(f"{name} has no '{unknown[0]}'; its ids look like '{min(by_id, default='')}'")
    return [by_id[one] for one in ids]


def _some(held: Sequence[Any], bench: Benchmark, dataset: Dataset) -> None:
    if not held:
        raise UsageError(
            f"none of the pictures asked for is in {dataset.folder / 'images'}; get them from {bench.pictures}"
        )


class ImagePrefetcher:
    """Pictures made ready ahead of the model in a thread of their own: read, hashed, and, where the policy has
    `prepare(screen)`, resized and encoded as it needs them. At most AHEAD wait at a time, so memory stays bounded.
    """

    def __init__(self, policy: Any = None) -> None:
        self._prepare = getattr(policy, "prefetch", None)
        self._pool = ThreadPoolExecutor(1)
        self._coming: OrderedDict[Path, Future[Screen]] = OrderedDict()
        self._lock = Lock()

    def ahead(self, path: Path) -> None:
        """Begin to make ready a picture that will be asked for soon. The one that waited longest goes for it."""
        with self._lock:
            if path not in self._coming:
                self._coming[path] = self._pool.submit(self._ready, path)
            while len(self._coming) > AHEAD:
                self._coming.popitem(last=False)[1].cancel()

    def read(self, path: Path) -> Screen:
        """The picture; SurfaceError when it cannot be read."""
        with self._lock:
            coming = self._coming.pop(path, None)
        return coming.result() if coming else load_screenshot(path)

    def _ready(self, path: Path) -> Screen:
        screen = load_screenshot(path)
        screen.digest  # noqa: B018 - computed once, and kept
        if self._prepare is not None:
            self._prepare(screen)
        return screen

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class EpisodeHistoryPolicy:
    """A policy that remembers the earlier steps of an episode though each step is a run of its own.

    said: all Actions that its last reply meant. Some families say several at once; a recording ends with the first.
    """

    def __init__(self, policy: Policy, past: Sequence[Step]) -> None:
        self.policy, self.past = policy, list(past)
        self.said: tuple[Any, ...] = ()

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.policy.metadata

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        return self.policy.decide(goal, [*self.past, *steps], screen, verbs)

    def parse(self, reply: Reply) -> Call:
        return self.policy.parse(reply)

    def to_action(self, call: Call, screen: Screen) -> Any:
        return self.policy.to_action(call, screen)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
        policy: Any = self.policy  # one that never says several at once may have no such method
        several = getattr(policy, "to_actions", None)
        self.said = (policy.to_action(call, screen),) if several is None else tuple(several(call, screen))
        return self.said

    def close(self) -> None:
        """The policy is its owner's."""


@dataclass(frozen=True)
class PredictionResult:
    """What came of one task: its prediction, or why the machine could not ask it (broken)."""

    id: str
    line: Prediction | None
    score: float = 0.0
    seconds: float = 0.0
    broken: str = ""


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"


class Predictor:
    """Puts recorded tasks to a policy, one after the other. Owns the pictures that are made ready ahead, and closes
    the policy with itself."""

    def __init__(self, bench: Benchmark, dataset: Dataset, protocol: str, level: Level, policy: Policy) -> None:
        self.bench, self.dataset, self.protocol, self.level, self.policy = bench, dataset, protocol, level, policy
        self.tasks = {task.id: task for task in bench.judged(dataset, protocol)}
        self._more = {task.id for task in dataset.more}
        self.pictures = ImagePrefetcher(policy)

    def ahead(self, ids: Sequence[str]) -> None:
        """Begin to read what will be asked next."""
        for name in ids[:2]:
            self.pictures.ahead(recorded_step(self.dataset, self.tasks[name]).picture)

    def close(self) -> None:
        self.pictures.close()
        self.policy.close()

    def ask(self, ids: Sequence[str], known: Mapping[str, Prediction]) -> Iterator[PredictionResult]:
        """The steps of one episode in order (or one picture), each answer as it comes; those in known were answered
        before, and are history. Once a step is broken so are those after it: they would be asked with another history.
        """
        past: list[Step] = []
        broken = ""
        for place, name in enumerate(ids):
            self.ahead(ids[place + 1 : place + 2])
            shown = recorded_step(self.dataset, self.tasks[name])
            if broken:
                yield PredictionResult(name, None, broken=broken)
                continue
            try:
                if name in known:
                    past.append(self._as_before(shown, known[name], len(past) + 1))
                    continue
                answer, step = self._once(shown, past)
            except Exception as error:  # whatever it was, it was no answer of the model's
                answer, step = PredictionResult(name, None, broken=_why(error)), None
            if step is None:
                broken = f"the step {name} before it is broken"
            else:
                past.append(step)
            yield answer

    def _once(self, shown: RecordedStep, past: Sequence[Step]) -> tuple[PredictionResult, Step | None]:
        policy = EpisodeHistoryPolicy(self.policy, past)
        task = self.tasks[shown.id]
        one = self._alone(shown.id)
        word = judge(self.bench, one, self.protocol)
        if self.bench.episodes:
            alone = RecordedEpisode(task.episode, task.goal, (shown,))
            env = RecordedEpisodeEnv(
                [alone],
                word,
                level=self.level,
                verbs=self.bench.verbs,
                read=self.pictures.read,
            )
        else:
            env = GroundingEnv([shown], word, read=self.pictures.read)
        episode = run("", env, policy, max_steps=1, seed=0)
        if episode.cause == "interrupted":
            raise KeyboardInterrupt
        if episode.status == "error" or not episode.steps:
            return PredictionResult(shown.id, None, broken=episode.message), None
        (step,) = episode.steps
        said = () if step.error else policy.said
        line = to_prediction(self.bench, shown.id, said, step.reply.text)
        if step.error:
            line["error"] = step.error
        value = score_prediction(self.bench, one, self.protocol, line)
        answer = PredictionResult(shown.id, line, value, step.seconds)
        return answer, _history_step(len(past) + 1, step.screen, step.call, said, line)

    def _alone(self, name: str) -> Dataset:
        """The benchmark with this task only: what a judge looks through must not grow with the benchmark."""
        task = [self.tasks[name]]
        return replace(self.dataset, tasks=[] if name in self._more else task, more=task if name in self._more else [])

    def _as_before(self, shown: RecordedStep, line: Prediction, index: int) -> Step:
        """The step of an answer that was given in an earlier run."""
        screen = self.pictures.read(shown.picture)
        call, said = None, tuple[Any, ...]()
        try:
            call = self.policy.parse(Reply(str(line["reply"])))
            said = EpisodeHistoryPolicy(self.policy, ()).to_actions(call, screen)
        except InvalidActionError:
            pass
        return _history_step(index, screen, call, () if line.get("error") else said, line)


def _history_step(index: int, screen: Screen, call: Call | None, said: Sequence[Any], line: Prediction) -> Step:
    """An answered step as history: the same whether it was answered now or in a run that was killed."""
    reply, error = Reply(str(line["reply"])), str(line.get("error", ""))
    return Step(index, screen, reply, call, said[0] if said else None, error, actions=tuple(said))
