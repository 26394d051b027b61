"""ChatClient: HTTP client of one OpenAI-compatible server, with retries, streaming and redaction of the API key."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from actions import SurfaceError, UsageError
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

KEY = "PIXELHAND_API_KEY"
KEYRING = "pixelhand"
MAX_ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
CONNECT_TIMEOUT_S = 10.0
WireObject = Mapping[str, Any]  # an object of the API's JSON
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
TOKEN_LIMIT = "length"  # finish_reason of a reply that reached max_tokens
MAX_DETAIL_CHARS = 300  # of a server's message in an error


@dataclass(frozen=True)
class ChatCompletion:
    """A server's reply. Token counts are the server's own, 0 where it gives none."""

    text: str
    prompt_tokens: int = 0
    reply_tokens: int = 0
    attempts: int = 1
    first_tokens: Mapping[str, float] = field(default_factory=dict)  # log probabilities by text, where requested
    is_truncated: bool = False  # cut off by the token limit


def find_api_key(base: str) -> str:
    """Return the API key of a server: PIXELHAND_API_KEY, else the keyring's for its host and port, else ""."""
    key = os.environ.get(KEY, "").strip()
    if key or importlib.util.find_spec("keyring") is None:
        return key
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING, urlsplit(base).netloc) or ""
    except KeyringError:
        return ""  # no keyring service, as usual without a desktop


class ChatClient:
    """A client for one model on one server.

    Args:
        base: The base URL, like http://127.0.0.1:8000/v1.
        name: The model's name on the server.
        key: The API key; it is sent in one header and redacted from every error.
        timeout_s: Seconds to wait for a response.
        transport: Replaces the network in tests.
        sleep: Replaces time.sleep in tests.
    """

    def __init__(
        self,
        base: str,
        name: str,
        key: str = "",
        *,
        timeout_s: float = 300.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base, self.name, self._key, self._sleep = base.rstrip("/"), name, key, sleep
        is_loopback = urlsplit(base).hostname in ("127.0.0.1", "localhost", "::1")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=transport,
            trust_env=not is_loopback,  # no proxy for local servers
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def models(self) -> list[Mapping[str, object]]:
        """Return the entries of GET /models; empty when the server has no such endpoint."""
        response, _ = self._with_retries(lambda: self._client.get(f"{self.base}/models"))
        if isinstance(response, ChatCompletion) or response.status_code in (404, 405):
            return []
        data = self._json(response)
        entries = data.get("data") if isinstance(data, dict) else None
        return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []

    def complete(self, fields: Mapping[str, object], on_text: Callable[[str], None] | None = None) -> ChatCompletion:
        """Send POST /chat/completions.

        Args:
            fields: The request's fields, without the model's name.
            on_text: Called with the reply's text so far; requests a stream.

        Raises:
            UsageError: The server rejects the request.
            SurfaceError: The server is unreachable after several attempts, or its response is malformed.
        """
        body = {"model": self.name, **fields}
        url = f"{self.base}/chat/completions"
        if on_text is None:
            result, attempts = self._with_retries(lambda: self._client.post(url, json=body))
        else:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            result, attempts = self._with_retries(lambda: self._stream(url, body, on_text))
        if isinstance(result, ChatCompletion):
            return replace(result, attempts=attempts)
        data = self._json(result)
        try:
            choice = data["choices"][0]
            message = choice["message"]
            text = message_text(message.get("content"), message.get("tool_calls"))
            first_tokens = _first_tokens(choice)
            is_truncated = choice.get("finish_reason") == TOKEN_LIMIT
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise SurfaceError(f"{self.base} returned no message: {self._redact(data)}") from None
        return ChatCompletion(text, *_usage(data), attempts, first_tokens, is_truncated)

    def _stream(
        self, url: str, body: Mapping[str, object], on_text: Callable[[str], None]
    ) -> ChatCompletion | httpx.Response:
        """Return the completed stream, or the response when its status is not 200."""
        with self._client.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                response.read()
                return response
            text, usage, finish_reason = "", (0, 0), ""
            calls: dict[int, dict[str, Any]] = {}
            for data in _events(response.iter_lines()):
                if "error" in data:
                    raise SurfaceError(f"{self.base} aborted its reply: {self._redact(data)}")
                usage = _usage(data) if data.get("usage") else usage
                for choice in data.get("choices") or ():
                    finish_reason = choice.get("finish_reason") or finish_reason
                    delta = choice.get("delta") or {}
                    for call in delta.get("tool_calls") or ():
                        _append_delta(calls.setdefault(int(call.get("index") or 0), {}), call.get("function") or {})
                    if delta.get("content"):
                        text += _content_text(delta["content"])
                        on_text(text)
            if not finish_reason:
                raise httpx.RemoteProtocolError("the stream ended before the reply was complete")
            full_text = message_text(text, [{"function": calls[index]} for index in sorted(calls)])
            if full_text != text:
                on_text(full_text)
            return ChatCompletion(full_text, *usage, is_truncated=finish_reason == TOKEN_LIMIT)

    def _with_retries(
        self, send: Callable[[], ChatCompletion | httpx.Response]
    ) -> tuple[ChatCompletion | httpx.Response, int]:
        """Return the result of `send` and the number of attempts; retry transient failures with backoff."""
        reason = ""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            response: httpx.Response | None = None
            try:
                result = send()
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {self._redact(error)}"
            else:
                if isinstance(result, ChatCompletion):
                    return result, attempt
                response = result
                if response.status_code not in RETRY_STATUSES:
                    self._raise_for_status(response)
                    return response, attempt
                reason = f"status {response.status_code}: {self._problem(response)}"
            if attempt < MAX_ATTEMPTS:
                self._sleep(_backoff_s(attempt, response))
        raise SurfaceError(f"the server {self.base} is unreachable after {MAX_ATTEMPTS} attempts ({reason})")

    def _raise_for_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if 300 <= status < 400:
            raise UsageError(f"{self.base} redirects; use the final URL")
        if status < 400 or (response.request.method == "GET" and status in (404, 405)):
            return
        problem = self._problem(response)
        if status in (401, 403):
            raise UsageError(
                f"{self.base} refuses access ({status}: {problem}); set {KEY}, or store the key in the keyring: "
                f"keyring set {KEYRING} {urlsplit(self.base).netloc}"
            )
        raise UsageError(f"{self.base} rejects the request ({status}: {problem})")

    def _problem(self, response: httpx.Response) -> str:
        try:
            error = response.json().get("error")
            return self._redact(error.get("message") if isinstance(error, dict) else error or response.text)
        except (ValueError, AttributeError):
            return self._redact(response.text)

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise SurfaceError(f"{self.base} returned no JSON: {self._redact(response.text)}") from None

    def _redact(self, value: object) -> str:
        """Return a server's text for an error: shortened, without the key."""
        text = str(value)
        return " ".join((text.replace(self._key, "***") if self._key else text).split())[:MAX_DETAIL_CHARS]


def _backoff_s(attempt: int, response: httpx.Response | None) -> float:
    """Return the pause before the next attempt: Retry-After, else exponential, with jitter."""
    header = "" if response is None else response.headers.get("Retry-After", "")
    has_header = header.isascii() and header.isdigit()
    pause_s = float(header) if has_header else FIRST_PAUSE_S * 2 ** (attempt - 1)
    return min(MAX_PAUSE_S, pause_s * random.uniform(1.0 if header else 0.5, 1.5))


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream of server-sent events."""
    for line in lines:
        if not line.startswith("data:"):
            continue
        text = line.removeprefix("data:").strip()
        if text == "[DONE]":
            return
        try:
            data = json.loads(text)
        except ValueError:
            raise httpx.RemoteProtocolError("an event of the stream is not JSON") from None
        if isinstance(data, dict):
            yield data


def _append_delta(call: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Append a piece of a streamed tool call; arguments may also come at once, as an object."""
    for key in ("name", "arguments"):
        piece = delta.get(key)
        if isinstance(piece, Mapping):
            call[key] = {**call[key], **piece} if isinstance(call.get(key), Mapping) else dict(piece)
        elif piece and not isinstance(call.get(key), Mapping):
            call[key] = call.get(key, "") + str(piece)


def _first_tokens(choice: WireObject) -> dict[str, float]:
    """Return the log probabilities of a reply's first token and its alternatives; {} where there are none."""
    content = (choice.get("logprobs") or {}).get("content") or ()
    entries = [content[0], *(content[0].get("top_logprobs") or ())] if content else []
    return {str(entry["token"]): float(entry["logprob"]) for entry in entries}


def _usage(data: Mapping[str, Any]) -> tuple[int, int]:
    usage = data.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def message_text(content: object, calls: Sequence[WireObject] | None) -> str:
    """Return a message as the model generated it: tool calls that the server parsed are written back into the text.

    Args:
        content: The message's content: a string, a list of parts, or None.
        calls: The message's tool calls; arguments are JSON text or an object.
    """
    text = _content_text(content)
    for call in calls or ():
        function = call["function"]
        arguments = function.get("arguments")
        arguments_json = json.dumps(arguments) if isinstance(arguments, Mapping) else arguments or "{}"
        call_json = f'{{"name": {json.dumps(function.get("name"))}, "arguments": {arguments_json}}}'
        text += ("\n" if text else "") + f"{CALL_OPEN}\n{call_json}\n{CALL_CLOSE}"
    return text


def _content_text(content: object) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    texts = (part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | Mapping))
    return "".join(text for text in texts if isinstance(text, str))
