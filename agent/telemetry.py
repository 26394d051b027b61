"""OpenTelemetry spans of a run, sent to the endpoint that the user names and nowhere else.

The spans are made of the run's events, in which the guard has replaced secrets: one for the run, below it one for each
step, and below a step those of the model's reply, of its actions, and of waits for the screen and for the user. Their
names and attributes follow the semantic conventions for generative AI. Goals, typed texts, replies, addresses and
messages are attributes only of a recorder with `has_content`; screenshots never are.

OpenTelemetry is imported when a run with an endpoint begins.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from actions import Action, Reply, UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

AGENT_NAME = "pixelhand"
TRACES_PATH = "/v1/traces"  # of OTLP over HTTP
EXPORT_S = 5.0  # after which an endpoint that does not answer is given up
WaitReason = Literal["screen", "user"]
SendEvent = Callable[[Mapping[str, Any]], None]  # receives {"event": name, **facts}


def normalize_endpoint(url: str) -> str:
    """Return the address of an OTLP/HTTP endpoint, with the path for traces where it has none; "" stays "".

    Raises:
        ValueError: It is not an address of http or https, or has a user name or password.
    """
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"it must be an address like http://localhost:4318{TRACES_PATH}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must not contain a user name or password; set OTEL_EXPORTER_OTLP_HEADERS")
    return parts._replace(path=TRACES_PATH).geturl() if parts.path in ("", "/") else url


def check_installed() -> None:
    """Raise UsageError where the packages of OpenTelemetry are missing."""
    for package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            is_installed = find_spec(package) is not None
        except ModuleNotFoundError:  # a package above it
            is_installed = False
        if not is_installed:
            raise UsageError(
                f"telemetry cannot be sent: the package {package} is not installed. "
                "Run pip install 'pixelhand[otel]', or remove telemetry."
            )


@contextmanager
def open_telemetry(
    endpoint: str, metadata: Mapping[str, object], surface: str, run_id: str, *, has_content: bool
) -> Iterator[SendEvent]:
    """Send the spans of a run to an endpoint; those that were not sent yet are sent at the end of the block.

    An endpoint that cannot be reached does not change the run: the exporter logs a warning.

    Args:
        endpoint: The address, as `normalize_endpoint` returns it.
        metadata: The metadata of the policy.
        surface: The name of the surface.
        run_id: The name of the run's trace; "" without one.
        has_content: Send goals, typed texts, replies and messages as well.

    Raises:
        UsageError: OpenTelemetry is not installed.
    """
    check_installed()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": AGENT_NAME, "service.version": version(AGENT_NAME)})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_S)))
    try:
        recorder = SpanRecorder(provider, metadata, surface, run_id, has_content=has_content)
        try:
            yield recorder
        finally:
            recorder.close()
    finally:
        provider.shutdown()


class SpanRecorder:
    """Makes spans of the events of one run.

    Args:
        provider: Where the spans go.
        metadata: The metadata of the policy.
        surface: The name of the surface.
        run_id: The name of the run's trace; "" without one.
        has_content: Whether goals, typed texts, replies and messages are attributes.
    """

    def __init__(
        self,
        provider: TracerProvider,
        metadata: Mapping[str, object],
        surface: str,
        run_id: str,
        *,
        has_content: bool = False,
    ) -> None:
        self._tracer = provider.get_tracer(AGENT_NAME, version(AGENT_NAME))
        self._has_content = has_content
        self._model_facts = _model_facts(metadata)
        self._is_server = "server" in metadata
        attributes = {**self._model_facts, "gen_ai.agent.name": AGENT_NAME, "pixelhand.surface": surface}
        if run_id:
            attributes["gen_ai.conversation.id"] = run_id
        self._last_ns = time.time_ns()  # of the last event
        self._run = self._start_span(None, "invoke_agent", AGENT_NAME, self._last_ns, attributes)
        self._step: Span | None = None
        self._step_end_ns = 0
        self._reply: tuple[int, Reply, int] | None = None  # step, reply, time; until the length of the call is known
        self._intent_ns = 0
        self._question_ns: int | None = None  # of an approval that was not answered yet
        self._waits: list[tuple[int, int, WaitReason]] = []  # begin and end of those of the action in progress

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Record an event of the run."""
        now_ns = time.time_ns()
        match event["event"]:
            case "start":
                self._set_content(self._run, {"gen_ai.input.messages": _messages("user", event["goal"])})
            case "reply":
                self._end_step()
                self._reply = event["step"], event["reply"], now_ns
            case "act.intent":
                self._intent_ns, self._waits, self._question_ns = now_ns, [], None
            case "decision":
                self._question_ns = now_ns if event["effect"] == "ask" else None
            case "approval" if self._question_ns is not None:
                self._waits.append((self._question_ns, now_ns, "user"))
                self._question_ns = None
            case "act.result":
                self._add_result(event, now_ns)
            case "continued" | "person.end":
                self._add_wait(self._run, now_ns - _nanoseconds(event["waited_s"]), now_ns, "user")
            case "writes.answer":
                self._step_end_ns = now_ns
                self._add_wait(self._step or self._run, now_ns - _nanoseconds(event["waited_s"]), now_ns, "user")
            case "extract":
                reply: Reply = event["reply"]
                self._add_model_call(self._run, reply, now_ns - _nanoseconds(sum(reply.timings_s.values())), now_ns)
            case "end":
                self._end_run(event, now_ns)
        self._last_ns = now_ns

    def close(self) -> None:
        """End the spans of a run that had no end."""
        if self._run.is_recording():
            self._end_step()
            self._mark_error(self._run, "unfinished")
            self._run.end()

    def _add_result(self, event: Mapping[str, Any], now_ns: int) -> None:
        """Add the spans of an action and, with the first one of a step, those of the step and of its reply."""
        self._begin_step(event["timings_s"].get("think"))
        step, action = self._step, event["action"]
        if step is None:
            raise ValueError("an act.result event came before a reply event")
        self._step_end_ns = now_ns
        if action is None:
            self._mark_error(step, "invalid_reply")
            self._set_content(step, {"pixelhand.error": event["error"]})
            return
        span = self._start_span(step, "execute_tool", action.verb, self._intent_ns, {"gen_ai.tool.name": action.verb})
        if event["error"]:
            self._mark_error(span, "action_not_done")
        arguments = json.dumps(_arguments(action))
        result = event["error"] or event["note"]
        self._set_content(span, {"gen_ai.tool.call.arguments": arguments, "gen_ai.tool.call.result": result})
        settle_ns = _nanoseconds(event["timings_s"].get("settle", 0.0))
        if settle_ns:
            self._waits.append((max(self._intent_ns, now_ns - settle_ns), now_ns, "screen"))
        for begin_ns, end_ns, reason in self._waits:
            self._add_wait(span, begin_ns, end_ns, reason)
        self._waits = []
        span.end(now_ns)

    def _begin_step(self, think_s: float | None) -> None:
        """Begin the span of the step whose reply is the last one, and add that of the model call.

        Args:
            think_s: Seconds that the model took; None where they are unknown, so that the last event counts.
        """
        if self._reply is None:
            return
        (index, reply, reply_ns), self._reply = self._reply, None
        begin_ns = self._last_ns if think_s is None else reply_ns - _nanoseconds(think_s)
        self._step = self._start_span(self._run, "", "step", begin_ns, {"pixelhand.step": index})
        self._step_end_ns = reply_ns
        self._add_model_call(self._step, reply, begin_ns, reply_ns)

    def _end_step(self) -> None:
        """End the span of the step in progress, if there is one, with its last action."""
        self._begin_step(None)  # a reply that no result followed
        if self._step is not None:
            self._step.end(self._step_end_ns)
            self._step = None

    def _end_run(self, event: Mapping[str, Any], now_ns: int) -> None:
        self._end_step()
        run = self._run
        attributes = {f"pixelhand.{name}": event[name] for name in ("status", "cause", "steps")}
        if event.get("reward") is not None:
            attributes["pixelhand.reward"] = event["reward"]
        if "proof" in event:
            attributes["pixelhand.outcome"] = event["proof"]["outcome"]
        attributes |= _usage(event.get("prompt_tokens", 0), event.get("reply_tokens", 0))
        run.set_attributes(attributes)
        self._set_content(run, {"pixelhand.message": event["message"]})
        if event["status"] == "error":
            self._mark_error(run, event["cause"])
        run.end(now_ns)

    def _add_model_call(self, parent: Span, reply: Reply, begin_ns: int, end_ns: int) -> None:
        attributes = {**self._model_facts, **_usage(reply.prompt_tokens, reply.reply_tokens)}
        model = str(self._model_facts["gen_ai.request.model"])
        span = self._start_span(parent, "chat", model, begin_ns, attributes)
        self._set_content(span, {"gen_ai.output.messages": _messages("assistant", reply.text)})
        span.end(end_ns)

    def _add_wait(self, parent: Span, begin_ns: int, end_ns: int, reason: WaitReason) -> None:
        self._start_span(parent, "", "wait", begin_ns, {"pixelhand.wait.for": reason}).end(end_ns)

    def _start_span(
        self, parent: Span | None, operation: str, name: str, begin_ns: int, attributes: Mapping[str, Any]
    ) -> Span:
        """Start a span below a parent, or below the caller's own span where it is None."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        kind = SpanKind.CLIENT if operation == "chat" and self._is_server else SpanKind.INTERNAL
        span = self._tracer.start_span(
            f"{operation} {name}".strip(),
            None if parent is None else set_span_in_context(parent),
            kind,
            start_time=begin_ns,
        )
        if operation:
            span.set_attribute("gen_ai.operation.name", operation)
        span.set_attributes(dict(attributes))
        return span

    def _set_content(self, span: Span, attributes: Mapping[str, str]) -> None:
        if self._has_content:
            span.set_attributes({name: _printable(text) for name, text in attributes.items() if text})

    def _mark_error(self, span: Span, error_type: str) -> None:
        from opentelemetry.trace import StatusCode

        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)


def _model_facts(metadata: Mapping[str, object]) -> dict[str, str | int | float]:
    """Return the attributes that describe the model, without the folders of this machine."""
    from model.checkpoints.gguf_settings import without_folders

    names = map(without_folders, str(metadata["model"]).split(" + "))
    facts: dict[str, str | int | float] = {"gen_ai.request.model": " + ".join(names)}
    temperature = metadata.get("temperature")
    if isinstance(temperature, int | float):
        facts["gen_ai.request.temperature"] = float(temperature)
    if "server" not in metadata:
        return facts | {"gen_ai.provider.name": AGENT_NAME}
    address = urlsplit(str(metadata["server"]))
    facts |= {"gen_ai.provider.name": "openai", "server.address": address.hostname or ""}  # whose API the server has
    return facts if address.port is None else facts | {"server.port": address.port}


def _usage(input_tokens: int, output_tokens: int) -> dict[str, int]:
    """Return the attributes for numbers of tokens; none where they were not counted."""
    if not input_tokens and not output_tokens:
        return {}
    return {"gen_ai.usage.input_tokens": input_tokens, "gen_ai.usage.output_tokens": output_tokens}


def _messages(role: str, text: str) -> str:
    """Return one message in the form of the conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _arguments(action: Action) -> dict[str, object]:
    return {name: value for name, value in action.model_dump(mode="json").items() if name != "verb"}


def _printable(text: str) -> str:
    """Return a text that can be encoded: a lone surrogate would drop the whole batch."""
    return text.encode("utf-8", "replace").decode()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
