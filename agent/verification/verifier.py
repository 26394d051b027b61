"""Verifier: compare what a run ends with to what its user expects.

What a page shows is the page's own word: it can paint "saved" without saving. An expectation about a page's text,
title, address or elements therefore proves something only if it did not hold before, and if a server accepted a write
or delivered the document between the last screen on which it did not hold and the one on which it does. Requests to
other sites (trackers) prove nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from actions import SurfaceError, TypeText
from actions.evidence import RequestRecord, ScreenEvidence
from actions.surface import SupportsEvidence, SupportsFacts, Surface
from agent.verification.expectations import Expectation, matches
from agent.verification.proof import ExpectationFinding, FindingState, Proof

LATE_S = 3.0  # an answer of a server, or a file, may come after the model's last step
PAUSE_S = 0.2
MAX_FILE_BYTES = 64 * 1024 * 1024
UNKNOWN = "this screen does not tell it"


class Verifier:
    """Watches a run for the evidence that its expectations need.

    Args:
        expectations: What the user expects; at least one.
        surface: The screen of the run.
    """

    def __init__(self, expectations: Sequence[Expectation], surface: Surface) -> None:
        self.expectations = tuple(expectations)
        self._surface = surface
        self._held_at_start: set[Expectation] = set()
        self._requests_at_start = 0
        self._requests_when_unmet: dict[Expectation, int] = {}  # requests known when it last did not hold
        self._files: dict[str, str] = {}  # fingerprint by path

    def start(self) -> None:
        """Remember what holds before the first action.

        Raises:
            SurfaceError: The screen does not answer.
        """
        evidence = self._read()
        self._requests_at_start = len(evidence.requests or ())
        for expectation in self.expectations:
            if expectation.kind == "file":
                self._files[expectation.value] = _fingerprint(Path(expectation.value))
            elif expectation.is_told_by_page and _holds(expectation, evidence):
                self._held_at_start.add(expectation)
            self._requests_when_unmet[expectation] = self._requests_at_start

    def observe(self) -> None:
        """Remember which expectations do not hold after a step."""
        try:
            evidence = self._read()
        except SurfaceError:  # the step reports it
            return
        for expectation in self.expectations:
            if expectation.is_told_by_page and _holds(expectation, evidence) is False:
                self._requests_when_unmet[expectation] = len(evidence.requests or ())
                self._held_at_start.discard(expectation)

    def check(self) -> Proof:
        """Return what the evidence says; wait up to `LATE_S` for what is not met yet.

        Raises:
            SurfaceError: The screen does not answer.
        """
        deadline = time.monotonic() + LATE_S
        while (proof := self._check_now()).outcome != "verified" and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
        return proof

    def _check_now(self) -> Proof:
        evidence = self._read()
        findings = tuple(self._check(expectation, evidence) for expectation in self.expectations)
        states = {finding.state for finding in findings}
        if "unmet" in states:
            return Proof("refuted", findings)
        return Proof("claimed" if "unproven" in states else "verified", findings)

    def _read(self) -> ScreenEvidence:
        if isinstance(self._surface, SupportsEvidence):
            return self._surface.evidence()
        if isinstance(self._surface, SupportsFacts):
            facts = self._surface.facts(TypeText(text="-"))  # asks what typing would reach, and types nothing
            return ScreenEvidence(titles=tuple(filter(None, (facts.window, facts.app))))
        return ScreenEvidence()

    def _check(self, expectation: Expectation, evidence: ScreenEvidence) -> ExpectationFinding:
        if expectation.kind == "file":
            state, detail = self._check_file(expectation)
        elif expectation.kind == "request":
            state, detail = self._check_request(expectation, evidence)
        else:
            state, detail = self._check_page(expectation, evidence)
        return ExpectationFinding(expectation.source, state, detail)

    def _check_file(self, expectation: Expectation) -> tuple[FindingState, str]:
        path = Path(expectation.value)
        fingerprint = _fingerprint(path)
        if not fingerprint:
            return "unmet", "there is no such file"
        if expectation.qualifier and expectation.qualifier.encode() not in _content(path):
            return "unmet", "the file does not contain it"
        if fingerprint == self._files.get(expectation.value, ""):
            return "unproven", "the file is as it was when the run began"
        return "met", "the file was written during the run"

    def _check_request(self, expectation: Expectation, evidence: ScreenEvidence) -> tuple[FindingState, str]:
        if evidence.requests is None:
            return "unproven", UNKNOWN
        sent = [
            record
            for record in evidence.requests[self._requests_at_start :]
            if record.method == expectation.qualifier and _has_path(record, expectation.value)
        ]
        if not sent:
            return "unmet", "no such request was sent"
        answer = f"it was answered with {sent[-1].status}" if sent[-1].status else "it got no answer"
        is_expected = matches(expectation.status.replace("x", "?"), str(sent[-1].status))
        return ("met" if is_expected else "unmet"), answer

    def _check_page(self, expectation: Expectation, evidence: ScreenEvidence) -> tuple[FindingState, str]:
        holds = _holds(expectation, evidence)
        if holds is None:
            return "unproven", UNKNOWN
        if not holds:
            return "unmet", "it does not hold on the last screen"
        if expectation in self._held_at_start:
            return "unproven", "it held already when the run began, so it proves nothing"
        if evidence.requests is None:
            return "met", "it holds on the last screen, and did not when the run began"
        recent = [
            record
            for record in evidence.requests[self._requests_when_unmet[expectation] :]
            if record.is_document or _is_same_site(record.url, evidence.url or "")
        ]
        writes = [record for record in recent if record.is_write]
        if writes and not writes[-1].is_accepted:
            answer = f"was answered with {writes[-1].status}" if writes[-1].status else "got no answer"
            return "unmet", f"the page shows it, but {writes[-1].method} {urlsplit(writes[-1].url).path} {answer}"
        if any(record.is_accepted and (record.is_write or record.is_document) for record in recent):
            return "met", "a server accepted the request that led to it"
        return "unproven", "the page shows it, but no server accepted anything before it appeared"


def _holds(expectation: Expectation, evidence: ScreenEvidence) -> bool | None:
    """Return whether a page-told expectation holds; None where the surface does not tell."""
    value = expectation.value
    if expectation.kind == "url":
        return None if evidence.url is None else matches(value, evidence.url)
    if expectation.kind == "title":
        return any(matches(value, title) for title in evidence.titles) if evidence.titles else None
    if expectation.kind == "element":
        if evidence.elements is None:
            return None
        return any(
            element.role == expectation.qualifier and _squeeze(value) == _squeeze(element.label)
            for element in evidence.elements
        )
    if evidence.text is None:
        return None
    return (_squeeze(value) in _squeeze(evidence.text)) == (expectation.kind == "text")


def _squeeze(text: str) -> str:
    return " ".join(text.split()).casefold()


def _has_path(record: RequestRecord, pattern: str) -> bool:
    """Return whether a request's address, or its path with or without the query, matches a pattern."""
    address = urlsplit(record.url)
    path = address.path or "/"
    return any(matches(pattern, text) for text in (record.url, path, f"{path}?{address.query}"))


def _is_same_site(url: str, page_url: str) -> bool:
    """Return whether two addresses belong to one site, by the last two labels of their hosts."""
    host, page_host = urlsplit(url).hostname or "", urlsplit(page_url).hostname or ""
    if host.replace(".", "").isdigit():
        return host == page_host
    return host.split(".")[-2:] == page_host.split(".")[-2:]


def _content(path: Path) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError:
        return b""


def _fingerprint(path: Path) -> str:
    """Return a text that changes when a file is written, "" if there is no such file."""
    try:
        stat = path.expanduser().stat()
    except OSError:
        return ""
    digest = hashlib.sha256(_content(path)).hexdigest()
    return f"{stat.st_mtime_ns} {stat.st_size} {stat.st_ino} {digest}"
