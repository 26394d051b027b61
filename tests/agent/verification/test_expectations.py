"""Expectations of `--expect` and what evidence says about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actions import Action, Screen, SurfaceError, UsageError
from actions.evidence import RequestRecord, ScreenEvidence
from actions.facts import ElementFacts
from agent.command_result import exit_code
from agent.loop import Episode
from agent.termination import Termination
from agent.verification import verifier as verifier_module
from agent.verification.expectations import FORMS, matches, parse_expectation, parse_expectations
from agent.verification.proof import ExpectationFinding, Proof, prove
from agent.verification.verifier import Verifier

EMPTY = ScreenEvidence("https://shop.example/cart", ("Cart",), "Your cart", (), ())
ORDER = RequestRecord("POST", "https://shop.example/orders?id=1", 201)


class EvidenceSurface:
    """A screen that only tells evidence."""

    name = "fake"

    def __init__(self, evidence: ScreenEvidence = EMPTY) -> None:
        self.content = evidence
        self.failure = ""

    def evidence(self) -> ScreenEvidence:
        if self.failure:
            raise SurfaceError(self.failure)
        return self.content

    def capture(self) -> Screen:
        raise NotImplementedError

    def perform(self, action: Action) -> str:
        raise NotImplementedError

    def verbs(self) -> frozenset[str]:
        return frozenset()

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_module, "LATE_S", 0.0)


def outcome_of(source: str, after: ScreenEvidence, before: ScreenEvidence = EMPTY) -> tuple[str, str]:
    """Return the state and the detail of an expectation when the screen changes once."""
    surface = EvidenceSurface(before)
    verifier = Verifier([parse_expectation(source)], surface)
    verifier.start()
    surface.content = after
    verifier.observe()
    (finding,) = verifier.check().findings
    return finding.state, finding.detail


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('text "Order received"', ("text", "Order received", "", "")),
        ("no-text Draft", ("no-text", "Draft", "", "")),
        ("url https://shop.example/*", ("url", "https://shop.example/*", "", "")),
        ('element Button "Undo"', ("element", "Undo", "button", "")),
        ("file out.txt", ("file", "out.txt", "", "")),
        ('file out.txt contains "two words"', ("file", "out.txt", "two words", "")),
        ("request post /orders", ("request", "/orders", "POST", "2xx")),
        ("request DELETE /orders/* 204", ("request", "/orders/*", "DELETE", "204")),
    ],
)
def test_forms_are_parsed(source: str, expected: tuple[str, str, str, str]) -> None:
    expectation = parse_expectation(source)
    assert (expectation.kind, expectation.value, expectation.qualifier, expectation.status) == expected


@pytest.mark.parametrize(
    "source",
    [
        *("", "text", 'text ""', "text two words", 'text "open', "color red", "file", "file a holds b", "url"),
        *("request", "request BUY /x", "request POST /x ok", "request POST /x 600", "element button"),
    ],
)
def test_other_forms_are_refused(source: str) -> None:
    with pytest.raises(UsageError, match="--expect"):
        parse_expectation(source)


def test_all_faulty_expectations_are_reported() -> None:
    with pytest.raises(UsageError) as error:
        parse_expectations(["color red", "url *", "text"])
    assert len(str(error.value).splitlines()) == 2
    assert all(form in str(error.value) for form in FORMS.values())


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [("*/orders", "https://a/orders", True), ("/a?c", "/abc", True), ("/a[1]", "/a[1]", True), ("/a", "/a/b", False)],
)
def test_patterns_match_whole_texts(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) is is_match


def test_new_text_with_accepted_write_is_met() -> None:
    after = replace(EMPTY, text="ORDER\n received", requests=(ORDER,))
    assert outcome_of('text "order received"', after)[0] == "met"


@pytest.mark.parametrize(
    ("requests", "state"),
    [
        ((), "unproven"),
        ((replace(ORDER, method="GET", status=200),), "unproven"),
        ((replace(ORDER, status=500),), "unmet"),
        ((replace(ORDER, status=0),), "unmet"),
        ((replace(ORDER, status=500), ORDER), "met"),
        ((ORDER, replace(ORDER, status=500)), "unmet"),
        ((RequestRecord("GET", "https://shop.example/done", 200, is_document=True),), "met"),
        ((RequestRecord("GET", "https://shop.example/done", 404, is_document=True),), "unproven"),
    ],
)
@pytest.mark.parametrize("source", ['text "Thanks"', "title Thanks*", "url */done", 'element button "Undo"'])
def test_page_needs_word_of_server(source: str, requests: tuple[RequestRecord, ...], state: str) -> None:
    undo = ElementFacts(role="button", label="Undo")
    after = ScreenEvidence("https://shop.example/done", ("Thanks!",), "Thanks", (undo,), requests)
    assert outcome_of(source, after)[0] == state


def test_text_of_start_proves_nothing() -> None:
    before = replace(EMPTY, text="Saved")
    assert outcome_of("text Saved", replace(before, requests=(ORDER,)), before)[0] == "unproven"


def test_text_that_vanished_and_returned_is_met() -> None:
    surface = EvidenceSurface(replace(EMPTY, text="Saved"))
    verifier = Verifier([parse_expectation("text Saved")], surface)
    verifier.start()
    surface.content = EMPTY
    verifier.observe()
    surface.content = replace(EMPTY, text="Saved", requests=(ORDER,))
    assert verifier.check().outcome == "verified"


@pytest.mark.parametrize("status", [200, 0])
def test_writes_to_other_sites_prove_nothing(status: int) -> None:
    tracker = RequestRecord("POST", "https://tracker.example.net/t", status)
    assert outcome_of("text Saved", replace(EMPTY, text="Saved", requests=(tracker,)))[0] == "unproven"


def test_write_to_sister_host_counts() -> None:
    order = replace(ORDER, url="https://api.shop.example/orders")
    assert outcome_of("text Saved", replace(EMPTY, text="Saved", requests=(order,)))[0] == "met"


def test_missing_text_is_unmet() -> None:
    assert outcome_of("text Saved", EMPTY)[0] == "unmet"
    assert outcome_of("no-text cart", EMPTY)[0] == "unmet"


@pytest.mark.parametrize("source", ["text a", "url a", "title a", "element button a", "request POST /a"])
def test_unknown_evidence_is_unproven(source: str) -> None:
    nothing = ScreenEvidence()
    assert outcome_of(source, nothing, nothing)[0] == "unproven"


@pytest.mark.parametrize(
    ("source", "state"),
    [
        ("request POST /orders", "met"),
        ("request POST /orders?id=1 201", "met"),
        ("request POST https://shop.example/*", "met"),
        ("request POST /orders 200", "unmet"),
        ("request PUT /orders", "unmet"),
        ("request POST /order", "unmet"),
    ],
)
def test_requests_are_matched(source: str, state: str) -> None:
    assert outcome_of(source, replace(EMPTY, requests=(ORDER,)))[0] == state


def test_request_before_the_run_does_not_count() -> None:
    before = replace(EMPTY, requests=(ORDER,))
    assert outcome_of("request POST /orders", before, before)[0] == "unmet"


def test_file_must_be_written_during_run(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    source = f"file {path} contains total"
    surface = EvidenceSurface()

    def outcome(text: str) -> str:
        verifier = Verifier([parse_expectation(source)], surface)
        verifier.start()
        if text:
            path.write_text(text)
        return verifier.check().outcome

    assert outcome("") == "refuted"
    assert outcome("sum") == "refuted"
    assert outcome("total") == "verified"
    assert outcome("") == "claimed"


@pytest.mark.parametrize(
    ("status", "cause", "outcome"),
    [("success", "verdict", "verified"), ("failure", "verdict", "refuted"), ("success", "own word", "claimed")],
)
def test_endings_without_expectations_have_proofs(status: str, cause: str, outcome: str) -> None:
    ending = Termination(status, cause, "")  # type: ignore[arg-type]
    assert prove(ending, None) == (ending, Proof(outcome))  # type: ignore[arg-type]


def test_unfinished_runs_have_no_proof() -> None:
    ending = Termination("budget", "budget", "")
    assert prove(ending, None) == (ending, None)


def test_refuted_report_is_a_failure() -> None:
    surface = EvidenceSurface()
    verifier = Verifier([parse_expectation("text Saved")], surface)
    verifier.start()
    ending, proof = prove(Termination("success", "own word", "done"), verifier.check)
    assert (ending.status, ending.cause) == ("failure", "refuted")
    assert "text Saved" in ending.message
    assert proof is not None
    assert proof.outcome == "refuted"


def test_unreadable_screen_leaves_claim() -> None:
    surface = EvidenceSurface()
    verifier = Verifier([parse_expectation("text Saved")], surface)
    verifier.start()
    surface.failure = "the browser ended"
    ending, proof = prove(Termination("success", "own word", "done"), verifier.check)
    assert ending.status == "success"
    assert proof is not None
    assert (proof.outcome, proof.findings[0].state) == ("claimed", "unproven")


@pytest.mark.parametrize(("outcome", "code"), [("verified", 0), ("claimed", 6)])
def test_exit_code_follows_proof(outcome: str, code: int) -> None:
    proof = Proof(outcome, (ExpectationFinding("text Saved", "unproven", ""),))  # type: ignore[arg-type]
    assert exit_code(Episode("success", None, (), "", "", "own word", proof=proof)) == code
    assert exit_code(Episode("success", None, (), "", "", "own word", proof=Proof("claimed"))) == 0


@pytest.mark.parametrize(("text", "state"), [("Order received", "met"), ("Your cart", "unmet")])
def test_budget_end_has_partial_proof(text: str, state: str) -> None:
    surface = EvidenceSurface()
    verifier = Verifier([parse_expectation('text "Order received"')], surface)
    verifier.start()
    surface.content = replace(EMPTY, text=text, requests=(ORDER,))
    ending, proof = prove(Termination("budget", "budget", "not finished"), verifier.check)
    assert (ending.status, ending.message) == ("budget", "not finished")
    assert proof is not None
    assert (proof.outcome, [finding.state for finding in proof.findings]) == ("partial", [state])
