"""Tests in words on pages of a local server, in Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from helpers.answering_model import answering_policy

import pixelhand as ph
from agent.verification.judgment import judge_statement
from envs.chromium.executable import find_chrome
from pixelhand.screen_tests import FailedExpectationError, ScreenTestOptions, ScreenUnderTest

PAGE = """<!doctype html><title>Notes</title><h1>Notes</h1>
<button onclick="save()">Save</button><p>Draft</p>
<script>
async function save() {
  const response = await fetch('/save', {method: 'POST'})
  await response.text()
  document.querySelector('p').textContent = 'Saved'
}
</script>"""
CONFTEST = """
import pytest
from pixelhand.testing import ScriptPolicy

@pytest.fixture(scope="session")
def pixelhand_policy():
    policy = ScriptPolicy(['{"verb": "click", "x": 30, "y": 85}', '{"verb": "done"}'])
    return lambda: policy
"""
TESTS = """
def test_save(screen):
    screen.open("/")
    screen.expect('text "Draft"')
    screen.act("press Save", max_steps=2)
    screen.wait_for('text "Saved"')
    screen.expect("request POST /save")
    screen.expect("title Not*")

def test_not_saved(screen):
    screen.open("/")
    screen.expect('text "Saved"', timeout_s=0)
"""


@contextmanager
def serve_notes() -> Iterator[str]:
    """Serve the page on a free port of this machine, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def do_POST(self) -> None:
            self.send_response(201)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def notes() -> Iterator[str]:
    try:
        find_chrome()
    except ph.UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    with serve_notes() as address:
        yield address


def no_policy() -> ph.Policy:
    raise AssertionError("no model is needed")


def test_page_is_acted_on_and_checked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, notes: str) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    flags = ("--pixelhand-url", notes, "--pixelhand-policy", "sandbox")
    result = pytester.runpytest_inprocess("-p", "pixelhand.pytest_plugin", *flags)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*FailedExpectationError: expect('text \"Saved\"'): it does not hold*"])


def test_second_address_of_host_keeps_the_session(tmp_path: Path, notes: str) -> None:
    tested = ScreenUnderTest(ScreenTestOptions(url=notes, folder=tmp_path), no_policy)
    try:
        tested.open("/a")
        env = tested.env
        tested.open("/b")
        assert tested.env is env
        tested.expect("url */b")
        with serve_notes() as other:
            tested.open(f"{other}/c")
            assert tested.env is not env
            tested.expect("url */c")
    finally:
        tested.close()


def check_repetitions(notes: str, folder: Path, count: int) -> None:
    """Expect the same of an unchanged page many times, by evidence and in words, and check that the answer is one."""
    policy = answering_policy()
    tested = ScreenUnderTest(ScreenTestOptions(url=notes, folder=folder), lambda: policy)
    try:
        tested.open()
        outcomes, probabilities = set(), []
        for _ in range(count):
            outcomes.add(tested.expect('text "Draft"', timeout_s=0).outcome)
            with pytest.raises(FailedExpectationError):
                tested.expect('text "Saved"', timeout_s=0)
            judgment = judge_statement("a button is shown", tested._settled_screen(), policy)
            outcomes.add(f"in words: {judgment.outcome}")
            probabilities.append(judgment.probability or 0.0)
        assert len(outcomes) == 2
        assert max(probabilities) - min(probabilities) < 1e-4
    finally:
        tested.close()
        policy.close()


def test_unchanged_page_gives_one_answer(tmp_path: Path, notes: str) -> None:
    check_repetitions(notes, tmp_path, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thousand_repetitions_give_one_answer(tmp_path: Path, notes: str) -> None:
    check_repetitions(notes, tmp_path, 1000)
