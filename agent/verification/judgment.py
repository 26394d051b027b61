"""Judge whether an expectation holds on the screen as it is now: by evidence where there is any, else by a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actions import Screen, Surface, UsageError
from actions.evidence import ScreenEvidence
from actions.surface import SupportsEvidence
from agent.policies.base import Policy, SupportsAnswers, SupportsJudgment
from agent.verification.expectations import FORMS, Expectation, matches, parse_expectation
from agent.verification.verifier import UNKNOWN, _content, _has_path, _holds

PASS_FROM, FAIL_TO = 0.8, 0.2  # probability from which a statement counts as true, and up to which as false
MIN_STATEMENT_WORDS = 2
QUESTION = "Is this statement true of the screenshot: {statement}\nAnswer with one word, Yes or No."
WORD_QUESTION = """Is this statement true of the screenshot: {statement}
Answer in JSON: {{"answer": "yes"}}, {{"answer": "no"}}, or {{"answer": "unsure"}}."""
WORD_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no", "unsure"]}},
    "required": ["answer"],
    "additionalProperties": False,
}

JudgmentOutcome = Literal["pass", "fail", "unsure"]
_OUTCOMES: dict[str, JudgmentOutcome] = {"yes": "pass", "no": "fail", "unsure": "unsure"}  # of words


@dataclass(frozen=True)
class Judgment:
    """Whether an expectation holds.

    Args:
        outcome: "pass", "fail", or "unsure" where neither is likely enough.
        probability: That it holds; None where the judge gives no probability.
        detail: What was looked at, in words.
    """

    outcome: JudgmentOutcome
    probability: float | None
    detail: str


def parse_statement(text: str) -> Expectation | str:
    """Return the expectation that a text describes in one of the forms of `--expect`, else the text: a statement.

    A text that begins with the name of a form is no statement.

    Raises:
        UsageError: The text is a form with a mistake, or one word.
    """
    words = text.split()
    if words and words[0] not in FORMS and len(words) >= MIN_STATEMENT_WORDS:
        return " ".join(words)
    try:
        return parse_expectation(text)
    except UsageError as error:
        raise UsageError(str(error).replace("--expect ", "the expectation ")) from None


def judge_expectation(expectation: Expectation, surface: Surface) -> Judgment:
    """Return whether an expectation holds now, by what the surface, or the disk for a file, tells.

    Raises:
        SurfaceError: The surface does not answer.
    """
    evidence = surface.evidence() if isinstance(surface, SupportsEvidence) else ScreenEvidence()
    holds: bool | None
    if expectation.kind == "file":
        holds, detail = _file_holds(expectation)
    elif expectation.kind == "request":
        holds, detail = _request_holds(expectation, evidence)
    else:
        holds = _holds(expectation, evidence)
        detail = UNKNOWN if holds is None else "it holds" if holds else "it does not hold"
    if holds is None:
        return Judgment("unsure", None, detail)
    return Judgment("pass", 1.0, detail) if holds else Judgment("fail", 0.0, detail)


def judge_statement(statement: str, screen: Screen, policy: Policy) -> Judgment:
    """Return whether a statement in words is true of a screenshot, in the judgment of a model.

    A server that returns no log probabilities is asked for a word instead.

    Raises:
        UsageError: The policy answers no questions.
        SurfaceError: Its server is unreachable.
    """
    name = policy.metadata["model"]
    if not isinstance(policy, SupportsJudgment):
        raise UsageError(f"{name} judges no statements about screenshots; use a model")
    try:
        probability = policy.judge(QUESTION.format(statement=statement), (screen,))
    except UsageError:
        if not isinstance(policy, SupportsAnswers):
            raise
        word = _answer_word(policy.answer(WORD_QUESTION.format(statement=statement), (screen,), WORD_SCHEMA).text)
        return Judgment(_OUTCOMES[word], None, f"{name} answers {word}, without a probability")
    detail = f"{name} gives it a probability of {probability:.2f}"
    if probability >= PASS_FROM:
        return Judgment("pass", probability, detail)
    return Judgment("fail" if probability <= FAIL_TO else "unsure", probability, detail)


def _answer_word(reply_text: str) -> str:
    """Return "yes", "no" or "unsure"; "unsure" for a reply that is none of the three."""
    try:
        value = json.loads(reply_text)
    except ValueError:
        value = reply_text.strip(" .\n").lower()
    word = value.get("answer") if isinstance(value, dict) else value
    return word if isinstance(word, str) and word in _OUTCOMES else "unsure"


def _file_holds(expectation: Expectation) -> tuple[bool, str]:
    if not Path(expectation.value).expanduser().is_file():
        return False, "there is no such file"
    if expectation.qualifier and expectation.qualifier.encode() not in _content(Path(expectation.value)):
        return False, "the file does not contain it"
    return True, "the file is there"


def _request_holds(expectation: Expectation, evidence: ScreenEvidence) -> tuple[bool | None, str]:
    if evidence.requests is None:
        return None, UNKNOWN
    sent = [
        record
        for record in evidence.requests
        if record.method == expectation.qualifier and _has_path(record, expectation.value)
    ]
    if not sent:
        return False, "no such request was sent"
    answer = f"it was answered with {sent[-1].status}" if sent[-1].status else "it got no answer"
    return matches(expectation.status.replace("x", "?"), str(sent[-1].status)), answer
