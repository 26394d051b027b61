"""OraclePolicy: solve practice pages by the oracles of the training data, to record episodes without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from actions import Action, Click, Done, Reply, Screen, Step, TypeText
from actions.surface import SupportsPages
from agent.policies.base import DialectPolicyMixin
from agent.policies.scripted import JsonDialect
from envs.live import LiveEnv
from envs.miniwob import pages
from perf.repeat import oracle_actions

DATE_FIELD_JS = """(() => {
    const place = selector => { const box = document.querySelector(selector).getBoundingClientRect();
        return [box.left, box.top, box.width, box.height]; };
    return [place('#tt'), place('#subbtn')];
})()"""


class OraclePolicy(DialectPolicyMixin):
    """Solve a practice page by its oracle, to record an episode without a model.

    Args:
        env: The environment of the page.
        task: Its task.
    """

    def __init__(self, env: LiveEnv, task: str) -> None:
        self._env, self._task = env, task
        self._actions: Iterator[Action] | None = None
        self.dialect = JsonDialect()

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces."""
        return {"model": "oracle", "fingerprint": self._task, "prompt_hash": "plain"}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the next action of the solution; give up where there is none."""
        if self._actions is None:
            self._actions = self._solution(goal)
        action = next(self._actions, None) or Done(status="failure")
        return Reply(json.dumps(action.model_dump(mode="json")), prompt=goal, image_digests=(screen.digest,))

    def close(self) -> None:
        """Do nothing."""

    def _solution(self, goal: str) -> Iterator[Action]:
        return self._enter_date(goal) if self._task == "enter-date" else oracle_actions(self._env, self._task, goal)

    def _enter_date(self, goal: str) -> Iterator[Action]:
        """Yield the solution of a page whose oracle needs parts that only the DevTools protocol reaches."""
        surface, scale = self._env.surface, pages.page(self._task).scale
        assert isinstance(surface, SupportsPages)
        boxes = cast(list[tuple[float, float, float, float]], surface.evaluate(DATE_FIELD_JS))
        (left, top, _, height), button = boxes
        yield Click(x=round((left + 10) * scale), y=round((top + height / 2) * scale))  # the month
        yield TypeText(text=goal.split()[1])
        yield Click(x=round((button[0] + button[2] / 2) * scale), y=round((button[1] + button[3] / 2) * scale))
