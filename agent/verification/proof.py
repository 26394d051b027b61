"""Proof: how far the outcome that a model reports is proven, and by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from actions import SurfaceError
from agent.termination import Termination

Outcome = Literal["verified", "claimed", "refuted", "partial"]
FindingState = Literal["met", "unproven", "unmet"]
SECOND_LOOK = "second look"  # in place of an expectation in the finding of agent.verification.second_look


@dataclass(frozen=True)
class ExpectationFinding:
    """What the evidence says about one expectation.

    Args:
        expectation: The expectation as the user wrote it; `SECOND_LOOK` without one.
        state: Whether it is met, not met, or neither is proven.
        detail: Why, in words.
    """

    expectation: str
    state: FindingState
    detail: str


@dataclass(frozen=True)
class Proof:
    """How far the outcome of a run is proven.

    Args:
        outcome: "verified" if each expectation is met, "refuted" if one is not met, else "claimed"; "partial" where the
            run ended before its model reported an outcome, as its budget was used up.
        findings: One for each expectation.
    """

    outcome: Outcome
    findings: tuple[ExpectationFinding, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the proof as JSON data."""
        findings = [
            {"expectation": finding.expectation, "state": finding.state, "detail": finding.detail}
            for finding in self.findings
        ]
        return {"outcome": self.outcome, "findings": findings}

    @property
    def has_unproven_expectation(self) -> bool:
        """Whether an expectation of the user is neither met nor refuted."""
        return self.outcome == "claimed" and any(item.expectation != SECOND_LOOK for item in self.findings)

    @property
    def reason(self) -> str:
        """The details of the findings that decided, in one line."""
        state = "unmet" if self.outcome == "refuted" else "unproven"
        return "; ".join(f"{item.expectation}: {item.detail}" for item in self.findings if item.state == state)


def prove(ending: Termination, check: Callable[[], Proof] | None) -> tuple[Termination, Proof | None]:
    """Return how a run ended after the check of what was reported, and the proof; None where nothing is to be proven.

    The reward of a task is a proof of its own. A refuted report of success becomes a failure. A run that used up its
    budget keeps that status, and its proof says which expectations hold.

    Args:
        ending: How the run ended by the model's report or the task's verdict.
        check: Returns what the evidence says now; None where nothing is to be looked at.
    """
    if ending.cause == "verdict" and check is None:
        return ending, Proof("verified" if ending.status == "success" else "refuted")
    if ending.status not in ("success", "budget"):
        return ending, None
    if check is None:
        return ending, Proof("claimed") if ending.status == "success" else None
    try:
        proof = check()
    except SurfaceError as error:
        proof = Proof("claimed", (ExpectationFinding("", "unproven", f"the screen could not be read: {error}"),))
    if ending.status == "budget":
        return ending, replace(proof, outcome="partial")
    if proof.outcome == "refuted":
        message = f"the model reports success, but {proof.reason}"
        return replace(ending, status="failure", cause="refuted", message=message), proof
    return ending, proof
