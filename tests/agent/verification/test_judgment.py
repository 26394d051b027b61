"""Expectations are judged by evidence of the present screen, statements by a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import ButtonSurface
from helpers.page_reader import draw_page
from helpers.server_fakes import FakeServer, serve_fake

from actions import Screen, UsageError
from actions.evidence import RequestRecord, ScreenEvidence
from agent.policies.remote.factory import load_remote_policy
from agent.policies.scripted import ScriptPolicy
from agent.verification.expectations import Expectation, parse_expectation
from agent.verification.judgment import judge_expectation, judge_statement, parse_statement


class EvidenceSurface(ButtonSurface):
    """A surface with fixed evidence."""

    def __init__(self, evidence: ScreenEvidence) -> None:
        super().__init__()
        self._evidence = evidence

    def evidence(self) -> ScreenEvidence:
        return self._evidence


ORDERED = EvidenceSurface(
    ScreenEvidence(
        url="https://shop.example/done",
        titles=("Done",),
        text="Order  received",
        elements=(),
        requests=(
            RequestRecord("POST", "https://shop.example/orders", 500),
            RequestRecord("POST", "https://shop.example/orders", 201),
        ),
    )
)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('text "order received"', "pass"),
        ('no-text "order received"', "fail"),
        ("url *shop.example*", "pass"),
        ("title Cart", "fail"),
        ("request POST /orders", "pass"),
        ("request POST /orders 5xx", "fail"),
        ("request DELETE /orders", "fail"),
        ('element button "Undo"', "fail"),
    ],
)
def test_evidence_of_present_screen_decides(text: str, outcome: str) -> None:
    judgment = judge_expectation(parse_expectation(text), ORDERED)
    assert judgment.outcome == outcome
    assert judgment.probability == {"pass": 1.0, "fail": 0.0}[outcome]


@pytest.mark.parametrize(
    "text", ['text "x"', 'no-text "x"', "url *", "title *", "request GET /x", 'element button "x"']
)
def test_unknown_evidence_is_unsure(text: str) -> None:
    judgment = judge_expectation(parse_expectation(text), ButtonSurface())
    assert (judgment.outcome, judgment.probability) == ("unsure", None)


def test_file_is_judged_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    expectation = parse_expectation(f'file "{path}" contains "milk"')
    assert judge_expectation(expectation, ButtonSurface()).outcome == "fail"
    path.write_text("bread")
    assert judge_expectation(expectation, ButtonSurface()).outcome == "fail"
    path.write_text("bread, milk")
    assert judge_expectation(expectation, ButtonSurface()).outcome == "pass"


def test_text_is_a_form_or_a_statement() -> None:
    assert isinstance(parse_statement('text "Saved"'), Expectation)
    assert parse_statement("the button  is red") == "the button is red"
    for text in ("text Saved twice", "Saved", ""):
        with pytest.raises(UsageError, match="the expectation"):
            parse_statement(text)


class OpinionPolicy(ScriptPolicy):
    """A policy with a fixed opinion of every statement."""

    def __init__(self, probability: float) -> None:
        super().__init__([])
        self.probability = probability

    def judge(self, question: str, screens: Sequence[Screen]) -> float:
        return self.probability


@pytest.mark.parametrize(("probability", "outcome"), [(0.8, "pass"), (0.79, "unsure"), (0.21, "unsure"), (0.2, "fail")])
def test_probability_of_statement_decides(probability: float, outcome: str) -> None:
    judgment = judge_statement("the button is red", draw_page([]), OpinionPolicy(probability))
    assert (judgment.outcome, judgment.probability) == (outcome, probability)


def test_policy_without_judgment_is_refused() -> None:
    with pytest.raises(UsageError, match="script"):
        judge_statement("the button is red", draw_page([]), ScriptPolicy([]))


class OpinionServer(FakeServer):
    """A server that answers statements with a word."""

    word = '{"answer": "no"}'

    def reply(self, body: dict[str, Any]) -> str:
        question = body["messages"][-1]["content"][-1].get("text", "")
        return self.word if "statement" in question else super().reply(body)


@pytest.fixture
def server() -> Iterator[OpinionServer]:
    fake = OpinionServer()
    with serve_fake(fake):
        yield fake


@pytest.mark.usefixtures("fast_retries")
def test_log_probabilities_of_server_decide(server: OpinionServer) -> None:
    server.probability_of_yes = 0.9
    policy = load_remote_policy(f"{server.base}?dialect=qwen25#tiny")
    judgment = judge_statement("the button is red", draw_page([]), policy)
    assert judgment.outcome == "pass"
    assert judgment.probability == pytest.approx(0.9)
    policy.close()


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("rejected", [(), ("logprobs",)])
@pytest.mark.parametrize(
    ("word", "outcome"),
    [('{"answer": "no"}', "fail"), ("Yes.", "pass"), ('{"answer": "unsure"}', "unsure"), ("[1]", "unsure")],
)
def test_server_without_log_probabilities_gives_word(
    server: OpinionServer, rejected: tuple[str, ...], word: str, outcome: str
) -> None:
    policy = load_remote_policy(f"{server.base}?dialect=qwen25#tiny")
    server.rejected_fields, server.word = rejected, word
    judgment = judge_statement("the button is red", draw_page([]), policy)
    assert (judgment.outcome, judgment.probability) == (outcome, None)
    policy.close()
