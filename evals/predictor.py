"""Run a policy on recorded tasks, one prediction per task.

Each recorded step is one turn of the agent loop on the recorded screen, whatever was predicted before; the predictions
of earlier steps are the history that the policy sees. An unreadable reply, or an early "done", therefore costs its own
step and no other.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from actions import ACTION_ADAPTER, Action, Call, Click, Done, Error, InvalidActionError, Reply, Screen, Step
from agent.loop import raise_if_interrupted, run
from agent.policies.base import Policy, PredictionMixin
from agent.recorded_history import translate_steps
from envs.grounding import GroundingEnv
from envs.recorded import Level, RecordedEpisode, RecordedEpisodeEnv, RecordedStep
from envs.surfaces.image import load_screenshot
from evals.questions import answer_question, check_answers
from evals.types import Benchmark, Dataset, EvalTask, Prediction, SampleScore
from evals.workers.spec import describe_policy

MAX_PREFETCHED = 6  # images in memory before they are needed


def recorded_step(dataset: Dataset, task: EvalTask) -> RecordedStep:
    """Return a task as the recorded environment takes it."""
    return RecordedStep(task.id, dataset.folder / "images" / task.image, task.instruction, task)


def to_prediction(bench: Benchmark, name: str, actions: Sequence[Action], reply_text: str) -> Prediction:
    """Return a line of a predictions file.

    On a single image the first action is the answer: the point of a click, or "done" with status failure for a refusal.

    Args:
        bench: The benchmark.
        name: The task's id.
        actions: The actions of one reply; empty when it could not be parsed.
        reply_text: The reply.
    """
    if bench.has_episodes:
        dumped = [ACTION_ADAPTER.dump_python(action, mode="json") for action in actions]
        return {"id": name, "actions": dumped, "reply": reply_text}
    first = actions[0] if actions else None
    line: Prediction = {"id": name, "point": [first.x, first.y] if isinstance(first, Click) else None}
    if isinstance(first, Done) and first.status == "failure":
        line["refused"] = True
    return {**line, "reply": reply_text}


class ImagePrefetcher:
    """Loads screenshots in a background thread, and prepares them as the policy needs them.

    At most MAX_PREFETCHED images are held; the oldest is dropped first.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self._prefetch = getattr(policy, "prefetch", None)
        self._executor = ThreadPoolExecutor(1)
        self._futures: OrderedDict[Path, Future[Screen]] = OrderedDict()
        self._lock = Lock()

    def prefetch(self, path: Path) -> None:
        """Start loading an image that will be needed soon."""
        with self._lock:
            if path not in self._futures:
                self._futures[path] = self._executor.submit(self._load, path)
            while len(self._futures) > MAX_PREFETCHED:
                self._futures.popitem(last=False)[1].cancel()

    def load(self, path: Path) -> Screen:
        """Return an image, from the background thread where it was prefetched.

        Raises:
            SurfaceError: The image cannot be read.
        """
        with self._lock:
            future = self._futures.pop(path, None)
        return future.result() if future else load_screenshot(path)

    def _load(self, path: Path) -> Screen:
        screen = load_screenshot(path)
        screen.digest  # noqa: B018 - computed here once and cached
        if self._prefetch is not None:
            self._prefetch(screen)
        return screen

    def close(self) -> None:
        """Stop the thread and drop what is queued."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class EpisodeHistoryPolicy(PredictionMixin):
    """A policy with the history of an episode, for runs of a single step.

    `last_actions` are all actions of its last reply. Some dialects allow several; a recording continues after the
    first.
    """

    def __init__(self, policy: Policy, history: Sequence[Step]) -> None:
        self.policy, self.history = policy, list(history)
        self.last_actions: tuple[Action, ...] = ()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The wrapped policy's metadata."""
        return self.policy.metadata

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the policy's reply with the history before the given steps."""
        return self.policy.decide(goal, [*self.history, *steps], screen, verbs)

    def parse(self, reply: Reply) -> Call:
        """Return the call of a reply."""
        return self.policy.parse(reply)

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the one action of a call."""
        action: Action = self.policy.to_action(call, screen)
        return action

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return all actions of a call."""
        self.last_actions = self.policy.to_actions(call, screen)
        return self.last_actions

    def close(self) -> None:
        """Do nothing: the caller owns the policy."""


@dataclass(frozen=True)
class PredictionResult:
    """The prediction of one task with its score, or why the machine could not make one."""

    id: str
    line: Prediction | None  # None where the task is broken
    score: SampleScore | None = None
    seconds: float = 0.0
    broken: str = ""

    def to_message(self) -> dict[str, Any]:
        """Return the result as JSON data, as workers send it and journals hold it."""
        if self.line is None or self.score is None:
            return {"id": self.id, "broken": self.broken}
        sample = asdict(self.score)
        return {"id": self.id, "line": self.line, **sample, "seconds": self.seconds}


def parse_sample_score(message: Mapping[str, Any]) -> SampleScore | None:
    """Return the sample score of a message, or None in journals of version 0.1, which hold only its value."""
    if "outcome" not in message:
        return None
    return SampleScore(message["id"], message["outcome"], message["cluster"], float(message["score"]), message["parts"])


def _no_reward(step: RecordedStep, action: Action) -> float:
    """Return 0: the reply as a whole is scored, after the turn."""
    return 0.0


class Predictor:
    """Runs a policy on recorded tasks and scores each prediction once."""

    def __init__(self, bench: Benchmark, dataset: Dataset, protocol: str, level: Level, policy: Policy) -> None:
        self.bench, self.dataset, self.protocol, self.level, self.policy = bench, dataset, protocol, level, policy
        self.tasks = {task.id: task for task in bench.scored_tasks(dataset, protocol)}
        self.images = ImagePrefetcher(policy)
        if bench.question is not None:
            check_answers(bench, policy)

    def describe(self) -> dict[str, Any]:
        """Return what a score must carry about the policy."""
        return describe_policy(self.policy)

    def prefetch(self, ids: Sequence[str]) -> None:
        """Start loading the images of the first two tasks."""
        for name in () if self.bench.video_frames else ids[:2]:
            self.images.prefetch(recorded_step(self.dataset, self.tasks[name]).picture)

    def close(self) -> None:
        """Close the policy and stop loading images."""
        self.stop_prefetching()
        self.policy.close()

    def stop_prefetching(self) -> None:
        """Stop loading images; the policy stays open."""
        self.images.close()

    def run_job(self, ids: Sequence[str], known: Mapping[str, Prediction]) -> Iterator[Mapping[str, Any]]:
        """Yield the results of `predict` as messages."""
        for result in self.predict(ids, known):
            yield result.to_message()

    def predict(self, ids: Sequence[str], known: Mapping[str, Prediction]) -> Iterator[PredictionResult]:
        """Yield a result for each step of one episode in order, or for one image.

        Steps after a broken one are broken too, as their history would be another, unless the benchmark has recorded
        histories.

        Args:
            ids: The tasks' ids.
            known: Predictions of an earlier run, by id; these steps are history and yield nothing.
        """
        history: list[Step] = []
        broken = ""
        for place, name in enumerate(ids):
            self.prefetch(ids[place + 1 : place + 2])
            recorded = recorded_step(self.dataset, self.tasks[name])
            if broken:
                yield PredictionResult(name, None, broken=broken)
                continue
            try:
                if self.bench.question is not None:
                    if name not in known:
                        yield self._answer(recorded)
                    continue
                if self.bench.history is not None:
                    if name not in known:
                        earlier = translate_steps(self.bench.history(self.tasks[name]), self.policy)
                        yield self._predict_step(recorded, earlier)[0]
                    continue
                if name in known:
                    history.append(self._replay(recorded, known[name], len(history) + 1))
                    continue
                result, step = self._predict_step(recorded, history)
            except Exception as error:  # any failure here is the machine's, not the model's answer
                result, step = PredictionResult(name, None, broken=_error_text(error)), None
                if self.bench.history is not None or self.bench.question is not None:
                    yield result
                    continue
            if step is None:
                broken = f"the step {name} before it is broken"
            else:
                history.append(step)
            yield result

    def _answer(self, recorded: RecordedStep) -> PredictionResult:
        """Return the model's answer to the question of a task."""
        started_at = time.monotonic()
        task = self.tasks[recorded.id]
        line = answer_question(self.bench, task, recorded.picture, self.policy, self.images.load)
        score = self.bench.score_sample(task, line, self.protocol)
        return PredictionResult(recorded.id, line, score, time.monotonic() - started_at)

    def _predict_step(self, recorded: RecordedStep, history: Sequence[Step]) -> tuple[PredictionResult, Step | None]:
        policy = EpisodeHistoryPolicy(self.policy, history)
        task = self.tasks[recorded.id]
        env: RecordedEpisodeEnv
        if self.bench.has_episodes:
            episode = RecordedEpisode(task.episode, task.goal, (recorded,))
            env = RecordedEpisodeEnv(
                [episode],
                _no_reward,
                level=self.level,
                verbs=getattr(task, "verbs", self.bench.verbs),
                read=self.images.load,
            )
        else:
            env = GroundingEnv([recorded], _no_reward, read=self.images.load)
        outcome = run("", env, policy, max_steps=1, seed=0)
        raise_if_interrupted(outcome)
        if outcome.status == "error" or not outcome.steps:
            return PredictionResult(recorded.id, None, broken=outcome.message), None
        (step,) = outcome.steps
        actions = () if step.error else policy.last_actions
        line = to_prediction(self.bench, recorded.id, actions, step.reply.text)
        if step.error:
            line["error"] = step.error
        result = PredictionResult(recorded.id, line, self.bench.score_sample(task, line, self.protocol), step.seconds)
        return result, _history_step(len(history) + 1, step.screen, step.call, actions, line)

    def _replay(self, recorded: RecordedStep, line: Prediction, index: int) -> Step:
        """Return the history step of a prediction that an earlier run made."""
        screen = self.images.load(recorded.picture)
        call, actions = None, tuple[Action, ...]()
        try:
            call = self.policy.parse(Reply(str(line["reply"])))
            actions = self.policy.to_actions(call, screen)
        except InvalidActionError:
            pass
        return _history_step(index, screen, call, () if line.get("error") else actions, line)


def _history_step(index: int, screen: Screen, call: Call | None, actions: Sequence[Action], line: Prediction) -> Step:
    """Return a predicted step as history; the same whether it was predicted now or in an interrupted run."""
    reply, error = Reply(str(line["reply"])), str(line.get("error", ""))
    return Step(index, screen, reply, call, actions[0] if actions else None, error, actions=tuple(actions))


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
