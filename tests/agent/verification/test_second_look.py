"""A second look at the screens of a run that nobody gave an expectation for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from helpers.agent_fakes import CLICK, DONE, FakeEnv
from helpers.server_fakes import FakeServer, serve_fake

from actions import Screen, UsageError
from agent.command_result import exit_code
from agent.loop import Episode, run
from agent.policies.factory import load_policy
from agent.policies.remote.factory import load_remote_policy
from agent.policies.scripted import ScriptPolicy
from agent.verification.second_look import SecondLook

ANSWER = '{"verb": "answer", "text": "four"}'


class Judge:
    """A model that returns one probability and keeps what it was asked."""

    def __init__(self, probability: float | Exception) -> None:
        self.probability = probability
        self.questions: list[tuple[str, list[Screen]]] = []

    def judge(self, question: str, screens: Sequence[Screen]) -> float:
        self.questions.append((question, list(screens)))
        if isinstance(self.probability, Exception):
            raise self.probability
        return self.probability


def screen(value: int) -> Screen:
    return Screen(np.full((56, 84, 3), value, np.uint8))


def episode(judge: Judge, *replies: str, task: bool = False) -> Episode:
    policy = ScriptPolicy(replies)
    return run("press it", FakeEnv(task=task), policy, max_steps=5, second_look=SecondLook(judge))


def test_denied_success_becomes_failure() -> None:
    result = episode(Judge(0.03), CLICK, DONE)
    assert (result.status, result.cause) == ("failure", "refuted")
    assert result.proof is not None
    assert result.proof.outcome == "refuted"
    assert "0.03" in result.message


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_look_never_verifies(probability: float) -> None:
    result = episode(Judge(probability), CLICK, DONE)
    assert result.status == "success"
    assert result.proof is not None
    assert result.proof.outcome == "claimed"
    assert f"{probability:.2f}" in result.proof.findings[0].detail
    assert exit_code(result) == 0


def test_failed_look_is_reported_as_unproven() -> None:
    result = episode(Judge(UsageError("it cannot answer")), CLICK, DONE)
    assert result.proof is not None
    assert result.proof.outcome == "claimed"
    assert result.proof.findings[0].detail == "it cannot answer"


def test_model_sees_goal_and_screens_only() -> None:
    judge = Judge(0.9)
    episode(judge, CLICK, '{"verb": "type", "text": "hidden words"}', ANSWER)
    (question, screens), *others = judge.questions
    assert others == []
    assert "press it" in question
    assert "Answer given: four" in question
    assert "hidden words" not in question
    assert len({item.digest for item in screens}) == len(screens) == 2  # the answer changed nothing


def test_verdict_of_task_needs_no_look() -> None:
    judge = Judge(0.0)
    result = episode(judge, CLICK, task=True)
    assert result.proof is not None
    assert (result.proof.outcome, judge.questions) == ("verified", [])


@pytest.mark.parametrize("replies", [('{"verb": "done", "status": "failure"}',), (CLICK,)])
def test_reported_failure_needs_no_look(replies: tuple[str, ...]) -> None:
    judge = Judge(0.0)
    result = run("press it", FakeEnv(task=False), ScriptPolicy(replies), max_steps=1, second_look=SecondLook(judge))
    assert result.status != "success"
    assert judge.questions == []


def test_server_probability_is_normalized() -> None:
    with serve_fake(FakeServer(probability_of_yes=0.25)) as fake:
        policy = load_remote_policy(f"{fake.base}?dialect=qwen25#tiny")
        assert policy.judge("Is it red?", [screen(0)]) == pytest.approx(0.25)
        request = fake.requests[-1]
    assert (request["max_tokens"], request["logprobs"]) == (1, True)
    assert [part["type"] for part in request["messages"][0]["content"]] == ["image_url", "text"]


def test_server_without_probabilities_raises_usage_error() -> None:
    with serve_fake(FakeServer()) as fake:
        policy = load_remote_policy(f"{fake.base}?dialect=qwen25#tiny")
        with pytest.raises(UsageError, match="log probabilities"):
            policy.judge("Is it red?", [screen(0)])


def test_embedded_model_cannot_answer() -> None:
    policy = load_policy("embedded")
    with pytest.raises(UsageError, match="actions alone"):
        policy.judge("Is it red?", [screen(0)])
