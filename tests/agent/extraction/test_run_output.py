"""Runs that end with an output: in Python, on the command line, in process and on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, FakeEnv
from helpers.answering_model import answering_policy
from helpers.command import PRACTICE, Agent, last_run
from helpers.page_reader import PageReader, draw_page
from helpers.server_fakes import FakeServer, serve_fake
from pydantic import BaseModel

import pixelhand as ph
from actions import UsageError
from agent.extraction.extractor import Extractor
from agent.extraction.output_schema import InvalidOutputError, OutputSchema
from agent.policies.base import SupportsAnswers
from agent.policies.factory import load_policy
from agent.policies.remote.factory import load_remote_policy
from agent.trace import read_trace
from agent.ui.display import JsonDisplay
from envs.live import LiveEnv
from envs.stability import SettleOptions
from model.json_file import JsonObject
from pixelhand.testing import FakeSurface

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"vendor": {"type": "string"}, "total": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
    "required": ["vendor", "total"],
}
VALUES = {"vendor": "ACME Ltd.", "total": 12.5}


class Invoice(BaseModel):
    vendor: str
    total: float | None


class InvoiceSurface(FakeSurface):
    """A screen that shows an invoice."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = draw_page(["ACME Ltd.", "12.50"]).pixels.copy()


def invoice_env() -> LiveEnv:
    return LiveEnv(InvoiceSurface(), goal="read the invoice", settle=SettleOptions(0.0, 0.0, 0.0, 0.0))


def reader(*answers: object, replies: tuple[str, ...] = (DONE,)) -> PageReader:
    return PageReader(replies, answers, {"ACME": 0, "12.5": 1}, {0: "ACME Ltd.", 1: 12.5})


def test_run_returns_instance_and_records_output(tmp_path: Path) -> None:
    episode = ph.run("", invoice_env(), reader(VALUES), output_model=Invoice, trace=tmp_path)
    assert episode.status == "success"
    assert episode.output == Invoice(vendor="ACME Ltd.", total=12.5)
    trace = read_trace(Path(episode.run))
    recorded = trace.first("end")["output"]
    assert recorded["value"] == VALUES
    assert recorded["confirmed"]
    assert all(trace.screen(field["screen"]) for field in recorded["fields"])
    assert [event["path"] for event in trace.events if event["event"] == "extract"] == ["", "/vendor", "/total"]


def test_run_without_valid_output_fails() -> None:
    episode = ph.run("", invoice_env(), reader("?", "?"), output_model=Invoice)
    assert (episode.status, episode.cause, episode.output) == ("failure", "no output", None)
    assert "not JSON" in episode.message


def test_failed_run_has_no_output() -> None:
    policy = reader(replies=('{"verb": "done", "status": "failure"}',))
    episode = ph.run("", invoice_env(), policy, output_model=Invoice)
    assert (episode.status, episode.output) == ("failure", None)
    assert policy.questions == []


def test_policy_without_answers_is_refused_before_the_run() -> None:
    class PointingPolicy:
        metadata = {"model": "pointer"}  # noqa: RUF012

    with pytest.raises(ph.UsageError, match="pointer"):
        ph.run("", invoice_env(), PointingPolicy(), output_model=Invoice)  # type: ignore[arg-type]


@pytest.fixture
def schema_file(tmp_path: Path) -> str:
    path = tmp_path / "invoice.json"
    path.write_text(json.dumps(SCHEMA))
    return str(path)


def run_command(agent: Agent, script: Any, schema: str, *flags: str) -> tuple[int, str, str]:
    """Run a script that presses the button, answers, and points beside any text."""
    replies = [json.loads(CLICK), VALUES, *[{"verb": "click", "x": 5, "y": 300}] * 4]
    return agent("run", "", *PRACTICE, "--output-schema", schema, "--script", script(replies), *flags)


def test_command_prints_unconfirmed_output(
    agent: Agent, env: FakeEnv, script: Any, schema_file: str, tmp_path: Path
) -> None:
    code, out, err = run_command(agent, script, schema_file)
    assert (code, err) == (6, "")
    assert 'output   {"vendor": "ACME Ltd.", "total": 12.5}' in out
    assert "/vendor: there is no text at (5, 300)" in out
    assert "not confirmed by a second look" in out
    code, summary, _ = agent("runs", "show", str(last_run(tmp_path)))
    assert code == 0
    assert '{"vendor": "ACME Ltd.", "total": 12.5}' in summary


def test_json_end_line_has_output(tmp_path: Path) -> None:
    events: list[Mapping[str, object]] = []
    ph.run("", invoice_env(), reader(VALUES), output_model=Invoice, on_event=events.append)
    with (tmp_path / "out").open("w") as stream, JsonDisplay(stream) as display:
        display(events[-1])
    line = json.loads((tmp_path / "out").read_text())
    assert line["event"] == "end"
    assert line["output"]["value"] == VALUES
    assert len(line["output"]["fields"][0]["box"]) == 4


def test_bad_schema_is_reported_before_weights_are_loaded(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from model import chat_model

    monkeypatch.setattr(chat_model, "load_chat", lambda *_: pytest.fail("weights were loaded"))
    path = tmp_path / "schema.json"
    path.write_text('{"type": "object", "properties": {}, "minProperties": 2}')
    code, _, err = agent("run", "x", "--url", "miniwob:click-test", "--output-schema", str(path))
    assert code == 2
    assert "minProperties" in err
    assert err.count("\n") == 1


def test_embedded_model_is_held_to_schema() -> None:
    reply = answering_policy().answer("Read the invoice.", (draw_page(["ACME Ltd.", "12.50"]),), SCHEMA)
    value = json.loads(reply.text)
    assert isinstance(value["vendor"], str)
    assert value["total"] is None or isinstance(value["total"], int | float)


def test_embedded_model_refuses_questions() -> None:
    policy = load_policy("embedded")
    assert isinstance(policy, SupportsAnswers)
    with pytest.raises(UsageError, match="trained on actions alone"):
        policy.answer("Read the invoice.", (draw_page(["ACME Ltd.", "12.50"]),), SCHEMA)


class AnsweringServer(FakeServer):
    """A server that answers questions without buttons with fixed texts."""

    answers: list[str] = []  # noqa: RUF012

    def reply(self, body: dict[str, Any]) -> str:
        question = body["messages"][-1]["content"][-1].get("text", "")
        return self.answers.pop(0) if "JSON schema" in question else super().reply(body)


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with serve_fake(AnsweringServer()) as fake:
        assert isinstance(fake, AnsweringServer)
        yield fake


@pytest.mark.usefixtures("fast_retries")
def test_server_gets_schema_and_is_asked_twice(server: AnsweringServer) -> None:
    policy = load_remote_policy(f"{server.base}?dialect=qwen25#tiny")
    server.answers = ["no JSON", "still none"]
    extractor = Extractor(OutputSchema(SCHEMA), policy)
    with pytest.raises(InvalidOutputError, match="not JSON"):
        extractor.extract("read", "done", (draw_page(["ACME Ltd."]),), lambda event, **facts: None)
    formats = [body.get("response_format") for body in server.requests[-2:]]
    assert [entry["json_schema"]["schema"] for entry in formats if entry] == [SCHEMA, SCHEMA]
    policy.close()
