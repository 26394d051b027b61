"""OpenTelemetry spans of runs: their shape, what they leave out, and where they go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv
from helpers.command import Agent

import pixelhand as ph
from actions import Reply, SurfaceError, TypeText, UsageError
from agent import config
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.safety.redaction import EventRedactor
from agent.telemetry import SpanRecorder, check_installed, normalize_endpoint
from envs.live import LiveEnv
from envs.stability import SettleOptions
from pixelhand.testing import FakeSurface

URL = ("--url", "https://shop.example/")
MISS_ACTION, CLICK_ACTION = {"verb": "click", "x": 5, "y": 5}, {"verb": "click", "x": 120, "y": 110}
SERVER = {"model": "qwen2.5vl:7b", "server": "http://localhost:11434/v1", "temperature": 0.5}
TYPE = json.dumps({"verb": "type", "text": "my diary"})


class CountingScript(ScriptPolicy):
    """A ScriptPolicy whose replies have token counts."""

    def decide(self, *arguments: Any) -> Reply:
        reply = super().decide(*arguments)
        return Reply(reply.text, reply.prompt, prompt_tokens=900, reply_tokens=30)


@pytest.fixture
def exporter() -> Any:
    export = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="needs pixelhand[otel]"
    )
    return export.InMemorySpanExporter()


@pytest.fixture
def recorder(exporter: Any) -> Callable[..., SpanRecorder]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def make(metadata: Mapping[str, object] = SERVER, **options: Any) -> SpanRecorder:
        return SpanRecorder(provider, metadata, "browser", "20261201-1", **options)

    return make


def record_run(recorder: SpanRecorder, *replies: str, env: Any = None) -> None:
    policy = CountingScript(replies)
    run("find the diary", env or FakeEnv(task=False), policy, max_steps=len(replies), on_event=recorder)


def tree(spans: list[Any]) -> list[tuple[str, str]]:
    """Return the names of the spans, each with that of the span above it, in the order of their begins."""
    names = {span.context.span_id: span.name for span in spans}
    ordered = sorted(spans, key=lambda span: span.start_time)
    return [(span.name, names[span.parent.span_id] if span.parent else "") for span in ordered]


def named(exporter: Any, name: str) -> Any:
    return next(span for span in exporter.get_finished_spans() if span.name == name)


def all_texts(exporter: Any) -> str:
    return "\n".join(span.to_json() for span in exporter.get_finished_spans())


def test_spans_form_a_tree(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    record_run(recorder(), MISS, DONE)
    model = "chat qwen2.5vl:7b"
    assert sorted(tree(exporter.get_finished_spans())) == sorted(
        [
            ("invoke_agent pixelhand", ""),
            *[("step", "invoke_agent pixelhand")] * 2,
            *[(model, "step")] * 2,
            ("execute_tool click", "step"),
            ("wait", "execute_tool click"),
            ("execute_tool done", "step"),
            ("wait", "execute_tool done"),
        ]
    )


def test_spans_lie_within_their_parents(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    record_run(recorder(), MISS, TYPE, DONE)
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    children = [span for span in spans.values() if span.parent]
    assert children
    for span in children:
        parent = spans[span.parent.span_id]
        assert parent.start_time <= span.start_time <= span.end_time <= parent.end_time, span.name


def test_model_call_has_names_of_conventions(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    from opentelemetry.trace import SpanKind

    record_run(recorder(), DONE)
    call = named(exporter, "chat qwen2.5vl:7b")
    assert call.kind is SpanKind.CLIENT
    assert dict(call.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "qwen2.5vl:7b",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 30,
        "server.address": "localhost",
        "server.port": 11434,
    }


def test_run_has_status_and_total_tokens(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    record_run(recorder(), MISS, DONE)
    attributes = named(exporter, "invoke_agent pixelhand").attributes
    assert attributes["gen_ai.operation.name"] == "invoke_agent"
    assert attributes["gen_ai.conversation.id"] == "20261201-1"
    assert (attributes["pixelhand.status"], attributes["pixelhand.cause"]) == ("success", "own word")
    assert (attributes["gen_ai.usage.input_tokens"], attributes["pixelhand.steps"]) == (1800, 2)


def test_run_is_below_the_span_of_the_program(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider(shutdown_on_exit=False).get_tracer("program").start_as_current_span("program") as span:
        record_run(recorder(), DONE)
    assert named(exporter, "invoke_agent pixelhand").parent.span_id == span.get_span_context().span_id


def test_failed_machine_marks_run_and_action(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    env = FakeEnv(task=False)
    env.surface.failure = "the display is gone"
    record_run(recorder(), CLICK, env=env)
    for name, error_type in (("execute_tool click", "action_not_done"), ("invoke_agent pixelhand", "machine")):
        span = named(exporter, name)
        assert (span.status.status_code.name, span.attributes["error.type"]) == ("ERROR", error_type)
    assert "display is gone" not in all_texts(exporter)


def test_invalid_reply_marks_step(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    record_run(recorder(), "no call", DONE)
    steps = [span for span in exporter.get_finished_spans() if span.name == "step"]
    assert [step.attributes.get("error.type") for step in steps] == ["invalid_reply", None]


def test_failed_model_call_still_ends_run(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    class BrokenServer(CountingScript):
        def decide(self, *arguments: Any) -> Reply:
            raise SurfaceError("the server is gone")

    run("", FakeEnv(task=False), BrokenServer([]), max_steps=2, on_event=recorder())
    (span,) = exporter.get_finished_spans()
    assert span.attributes["error.type"] == "machine"


def test_reply_without_result_has_spans(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    class BuggyEnv(FakeEnv):
        def step(self, action: Any) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_run(recorder(), CLICK, env=BuggyEnv())
    assert {span.name for span in exporter.get_finished_spans()} == {
        "invoke_agent pixelhand",
        "step",
        "chat qwen2.5vl:7b",
    }


def test_close_ends_a_run_without_end(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    spans = recorder()
    spans({"event": "start", "goal": "", "screen": None})
    spans.close()
    spans.close()
    (span,) = exporter.get_finished_spans()
    assert span.attributes["error.type"] == "unfinished"


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([{"event": "decision", "effect": "ask"}, {"event": "approval", "answer": "approved"}], "user"),
        ([{"event": "continued", "step": 1, "waited_s": 2.0}], "user"),
        ([{"event": "person.end", "step": 1, "waited_s": 2.0}], "user"),
        ([{"event": "writes.answer", "waited_s": 2.0}], "user"),
    ],
)
def test_waits_for_the_user_are_spans(
    events: list[dict[str, Any]], reason: str, recorder: Callable[..., SpanRecorder], exporter: Any
) -> None:
    spans = recorder()
    spans({"event": "start", "goal": ""})
    spans({"event": "reply", "step": 1, "reply": Reply("")})
    action = TypeText(text="x")
    spans({"event": "act.intent", "step": 1, "action": action})
    for event in events:
        spans(event)
    spans({"event": "act.result", "step": 1, "action": action, "error": "", "note": "", "timings_s": {"think": 0.1}})
    spans.close()
    assert named(exporter, "wait").attributes["pixelhand.wait.for"] == reason


def test_spans_have_no_content_by_default(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    record_run(recorder(), TYPE, json.dumps({"verb": "answer", "text": "it is blue"}))
    texts = all_texts(exporter)
    assert "execute_tool type" in texts
    assert not [text for text in ("diary", "blue", "typed 8", '"x"') if text in texts]


def test_content_is_recorded_where_asked_for(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    record_run(recorder(has_content=True), TYPE, json.dumps({"verb": "answer", "text": "it is blue"}))
    run_span, action = named(exporter, "invoke_agent pixelhand"), named(exporter, "execute_tool type")
    (message,) = json.loads(run_span.attributes["gen_ai.input.messages"])
    assert message == {"role": "user", "parts": [{"type": "text", "content": "find the diary"}]}
    assert json.loads(action.attributes["gen_ai.tool.call.arguments"])["text"] == "my diary"
    assert run_span.attributes["pixelhand.message"] == "it is blue"


def test_screenshots_are_never_recorded(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    screens = []
    spans = recorder(has_content=True)

    def observe(event: Mapping[str, Any]) -> None:
        screens.append(event.get("screen"))
        spans(event)

    run("", FakeEnv(task=False), CountingScript([MISS, DONE]), max_steps=2, on_event=observe)
    digests = {screen.digest for screen in screens if screen is not None}
    assert digests
    assert not [digest for digest in digests if digest in all_texts(exporter)]


def test_lone_surrogate_is_replaced(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    spans = recorder(has_content=True)
    spans({"event": "end", "status": "failure", "cause": "own word", "steps": 0, "message": "\ud800 end"})
    assert named(exporter, "invoke_agent pixelhand").attributes["pixelhand.message"] == "? end"


def test_secrets_are_masked_in_content(recorder: Callable[..., SpanRecorder], exporter: Any) -> None:
    class SecretGuard:
        """A guard that treats each typed text as a secret."""

        redactor = EventRedactor()

        def __call__(self, action: Any, screen: Any) -> None: ...

        def protect(self, actions: Any) -> None:
            for action in actions:
                if isinstance(action, TypeText):
                    self.redactor.add(action.text)

        def redact(self, facts: Mapping[str, object]) -> dict[str, object]:
            return self.redactor.redact(facts)

    env = FakeEnv(task=False, guard=SecretGuard())  # type: ignore[arg-type]
    record_run(recorder(has_content=True), TYPE, json.dumps({"verb": "answer", "text": "my diary"}), env=env)
    texts = all_texts(exporter)
    assert "my diary" not in texts
    assert "\\u2022" in texts


def test_folder_of_checkpoint_is_not_recorded(
    recorder: Callable[..., SpanRecorder], exporter: Any, tmp_path: Path
) -> None:
    (tmp_path / "tuned").mkdir()
    gguf = f"{tmp_path}/model.gguf?mmproj={tmp_path}/mmproj.gguf"
    record_run(recorder({"model": f"{tmp_path / 'tuned'} + {gguf}"}), DONE)
    assert named(exporter, "chat tuned + model.gguf").attributes["gen_ai.provider.name"] == "pixelhand"
    assert str(tmp_path) not in all_texts(exporter)


class Collector(BaseHTTPRequestHandler):
    """An OTLP/HTTP endpoint that keeps what it receives, or answers with an error."""

    requests: list[tuple[str, bytes]]
    status = 200

    def do_POST(self) -> None:
        self.requests.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[tuple[str, type[Collector]]]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs pixelhand[otel]")

    class Handler(Collector):
        requests: list[tuple[str, bytes]] = []  # noqa: RUF012

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Handler
        server.shutdown()
        thread.join()


def run_fake(**options: Any) -> ph.Episode:
    env = LiveEnv(FakeSurface(), goal="press it", settle=SettleOptions(0.0, 0.0, 0.0, 0.0))
    return ph.run("press it", env, ScriptPolicy([MISS, DONE]), max_steps=2, **options)


def received_spans(requests: list[tuple[str, bytes]]) -> list[Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    messages = [ExportTraceServiceRequest.FromString(body) for _, body in requests]
    scopes = [scope for message in messages for group in message.resource_spans for scope in group.scope_spans]
    return [span for scope in scopes for span in scope.spans]


def test_endpoint_receives_spans_of_run(collector: tuple[str, type[Collector]], tmp_path: Path) -> None:
    endpoint, handler = collector
    episode = run_fake(telemetry=endpoint, trace=tmp_path)
    assert {path for path, _ in handler.requests} == {"/v1/traces"}
    spans = received_spans(handler.requests)
    assert sum(span.name == "step" for span in spans) == len(episode.steps) == 2
    run_span = next(span for span in spans if span.name == "invoke_agent pixelhand")
    texts = {attribute.key: attribute.value.string_value for attribute in run_span.attributes}
    assert texts["gen_ai.conversation.id"] == Path(episode.run).name


def test_run_without_endpoint_sends_nothing(
    collector: tuple[str, type[Collector]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, handler = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    run_fake()
    assert handler.requests == []


def test_refusing_endpoint_does_not_change_run(
    collector: tuple[str, type[Collector]], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, handler = collector
    handler.status = 400
    assert run_fake(telemetry=endpoint).status == "success"
    assert handler.requests
    assert "400" in caplog.text


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.telemetry.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pixelhand\[otel\]"):
        check_installed()
    with pytest.raises(UsageError, match=r"pixelhand\[otel\]"):
        run_fake(telemetry="http://localhost:4318")


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("", ""),
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://otel.example.org/", "https://otel.example.org/v1/traces"),
        ("https://example.org/api/otlp", "https://example.org/api/otlp"),
    ],
)
def test_endpoint_gets_path_of_traces(url: str, normalized: str) -> None:
    assert normalize_endpoint(url) == normalized


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://a.org", "http://", "http://me:pw@a.org", "http://[::1"])
def test_wrong_endpoint_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="telemetry"):
        config.load({}, environment={"PIXELHAND_TELEMETRY": url}, user=tmp_path / "u", project=tmp_path / "p")
    with pytest.raises(UsageError, match="telemetry"):
        run_fake(telemetry=url)


def test_telemetry_is_off_by_default(tmp_path: Path) -> None:
    settings = config.load({}, environment={}, user=tmp_path / "u", project=tmp_path / "p")
    assert settings.telemetry == ""
    assert settings.telemetry_content is False


def test_command_sends_spans_of_run(
    collector: tuple[str, type[Collector]],
    agent: Agent,
    env: FakeEnv,
    script: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint, handler = collector
    monkeypatch.setenv("PIXELHAND_TELEMETRY", endpoint)
    assert agent("run", "press it", *URL, "--script", script([MISS_ACTION, CLICK_ACTION]))[0] == 0
    spans = received_spans(handler.requests)
    assert [span.name for span in spans if span.name == "chat script"] == ["chat script"] * 2
    assert "press it" not in str(spans)


def test_screen_that_does_not_open_ends_run(
    collector: tuple[str, type[Collector]], agent: Agent, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent import session

    def fail(settings: object, guard: object) -> None:
        raise SurfaceError("no browser")

    monkeypatch.setattr(session, "make_env", fail)
    endpoint, handler = collector
    monkeypatch.setenv("PIXELHAND_TELEMETRY", endpoint)
    assert agent("run", "press it", *URL, "--script", script([MISS_ACTION]))[0] == 5
    (span,) = received_spans(handler.requests)
    assert {"pixelhand.status", "error.type"} <= {attribute.key for attribute in span.attributes}


def test_resumed_run_uses_present_telemetry(
    collector: tuple[str, type[Collector]],
    agent: Agent,
    env: FakeEnv,
    script: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint, handler = collector
    env.task = False
    monkeypatch.setenv("PIXELHAND_TELEMETRY", endpoint)
    replies = script([MISS_ACTION, CLICK_ACTION])
    assert agent("run", "press it", *URL, "--script", replies, "--max-steps", "1")[0] == 4
    (folder,) = (tmp_path / "runs").iterdir()
    assert ph.Trace.open(folder).manifest["settings"]["telemetry"].startswith(endpoint)
    monkeypatch.delenv("PIXELHAND_TELEMETRY")
    handler.requests.clear()
    code, _, err = agent("runs", "resume", "last", "--script", replies, "--max-steps", "2")
    assert code == 4, err
    assert handler.requests == []
