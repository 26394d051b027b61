"""One OpenAI-compatible server over HTTP: messages in, words out. Knows the wire, retries and the key; no dialect.

The key comes from the environment or the keyring, goes into one header, and is taken out of every text that comes back.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from actions import Screen, SurfaceError, UsageError
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

KEY = "PIXELHAND_API_KEY"
KEYRING = "pixelhand"
MAX_ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
MOST_PAUSE_S = 30.0
CONNECT_S = 10.0
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may be others the next time


@dataclass(frozen=True)
class ChatCompletion:
    """What the server said. The numbers of tokens are its own, 0 where it gave none."""

    text: str
    prompt_tokens: int = 0
    reply_tokens: int = 0
    tries: int = 1


def find_api_key(base: str) -> str:
    """The key for a server's address: PIXELHAND_API_KEY, else the keyring's for its host and port; "" for none."""
    named = os.environ.get(KEY, "").strip()
    if named or importlib.util.find_spec("keyring") is None:
        return named
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING, urlsplit(base).netloc) or ""
    except KeyringError:
        return ""  # no keyring runs here, which is usual without a desktop


class ChatClient:
    """A base address like http://127.0.0.1:8000/v1 and the name of a model there.

    UsageError when the server refuses what it is asked, SurfaceError when it cannot be had after several tries.
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
        loopback = urlsplit(base).hostname in ("127.0.0.1", "localhost", "::1")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
            transport=transport,
            trust_env=not loopback,  # a proxy has no business between us and ourselves
        )

    def close(self) -> None:
        self._client.close()

    def models(self) -> list[Mapping[str, Any]]:
        """The entries of GET /models; empty where the server has no such list."""
        response = self._with_retries(lambda: self._client.get(f"{self.base}/models"))[0]
        if response.status_code in (404, 405):
            return []
        data = self._json(response)
        found = data.get("data") if isinstance(data, dict) else None
        return [one for one in found or () if isinstance(one, dict)] if isinstance(found, list) else []

    def ask(self, fields: Mapping[str, Any], on_text: Callable[[str], None] | None = None) -> ChatCompletion:
        """POST /chat/completions with these fields. on_text: it is asked to stream, and gets the text so far."""
        body = {"model": self.name, **fields}
        if on_text is None:
            response, tries = self._with_retries(lambda: self._client.post(f"{self.base}/chat/completions", json=body))
            data = self._json(response)
            try:
                message = data["choices"][0]["message"]
                text = message_text(message.get("content"), message.get("tool_calls"))
            except (KeyError, IndexError, TypeError, AttributeError):
                raise SurfaceError(f"{self.base} gave an answer without a message: {self._shown(data)}") from None
            return ChatCompletion(text, *_usage(data), tries)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        answer, tries = self._with_retries(lambda: self._stream(body, on_text))
        return ChatCompletion(answer.text, answer.prompt_tokens, answer.reply_tokens, tries)

    def _stream(self, body: Mapping[str, Any], on_text: Callable[[str], None]) -> Any:
        """An Answer, or the response that refused."""
        with self._client.stream("POST", f"{self.base}/chat/completions", json=body) as response:
            if response.status_code != 200:
                response.read()
                return response
            text, usage, ended = "", (0, 0), False
            calls: dict[int, dict[str, str]] = {}
            for data in _events(response.iter_lines()):
                if "error" in data:
                    raise SurfaceError(f"{self.base} broke off: {self._shown(data)}")
                usage = _usage(data) if data.get("usage") else usage
                for choice in data.get("choices") or ():
                    ended = ended or bool(choice.get("finish_reason"))
                    delta = choice.get("delta") or {}
                    for call in delta.get("tool_calls") or ():
                        _append_delta(calls.setdefault(int(call.get("index") or 0), {}), call.get("function") or {})
                    if delta.get("content"):
                        text += delta["content"]
                        on_text(text)
            if not ended:
                raise httpx.RemoteProtocolError("the stream ended before the answer did")
            whole = message_text(text, [{"function": calls[n]} for n in sorted(calls)])
            if whole != text:
                on_text(whole)
            return ChatCompletion(whole, *usage)

    def _with_retries(self, send: Callable[[], Any]) -> tuple[Any, int]:
        """What send gives, and at which try; tried again, later and later, while that may help."""
        why = ""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                came = send()
            except httpx.TransportError as error:
                came, why = None, f"{type(error).__name__}: {self._shown(str(error))}"
            if not isinstance(came, httpx.Response):
                if came is not None:
                    return came, attempt
            elif came.status_code in RETRY_STATUSES:
                why = f"it answers {came.status_code}: {self._problem(came)}"
            elif 300 <= came.status_code < 400:
                raise UsageError(f"{self.base} sends us elsewhere; give the address where the server itself is")
            elif came.status_code >= 400 and not (came.request.method == "GET" and came.status_code in (404, 405)):
                raise UsageError(self._refusal(came))
            else:
                return came, attempt
            if attempt < MAX_ATTEMPTS:
                self._sleep(_backoff_s(attempt, came if isinstance(came, httpx.Response) else None))
        raise SurfaceError(f"the server {self.base} cannot be had after {MAX_ATTEMPTS} tries ({why})")

    def _refusal(self, response: httpx.Response) -> str:
        problem = self._problem(response)
        if response.status_code in (401, 403):
            return (
                f"{self.base} refuses us ({response.status_code}: {problem}); put its key into {KEY}, or into the "
                f"keyring: keyring set {KEYRING} {urlsplit(self.base).netloc}"
            )
        return f"{self.base} refuses what it is asked ({response.status_code}: {problem})"

    def _problem(self, response: httpx.Response) -> str:
        try:
            error = response.json().get("error")
            return self._shown(error.get("message") if isinstance(error, dict) else error or response.text)
        except (ValueError, AttributeError):
            return self._shown(response.text)

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise SurfaceError(f"{self.base} answered with no JSON: {self._shown(response.text)}") from None

    def _shown(self, value: Any) -> str:
        """A server's words for a person: short, and never with the key."""
        text = str(value)
        return " ".join((text.replace(self._key, "***") if self._key else text).split())[:300]


def _backoff_s(attempt: int, response: httpx.Response | None) -> float:
    """Seconds before the next try: as the server says, else twice as long each time, half to one and a half of it."""
    said = "" if response is None else response.headers.get("Retry-After", "")
    wanted = float(said) if said.isascii() and said.isdigit() else FIRST_PAUSE_S * 2 ** (attempt - 1)
    return min(MOST_PAUSE_S, wanted * random.uniform(0.5 if not said else 1.0, 1.5))


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.startswith("data:"):
            continue
        text = line.removeprefix("data:").strip()
        if text == "[DONE]":
            return
        try:
            data = json.loads(text)
        except ValueError:
            raise httpx.RemoteProtocolError("a piece of the stream is no JSON") from None
        if isinstance(data, dict):
            yield data


def _append_delta(call: dict[str, str], piece: Mapping[str, Any]) -> None:
    for key in ("name", "arguments"):
        call[key] = call.get(key, "") + (piece.get(key) or "")


def _usage(data: Mapping[str, Any]) -> tuple[int, int]:
    usage = data.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def message_text(content: Any, calls: Sequence[Mapping[str, Any]] | None) -> str:
    """A message as the model said it: a server that took the calls out of the words has them put back in."""
    text = content if isinstance(content, str) else ""
    for call in calls or ():
        function = call["function"]
        said = f'{{"name": {json.dumps(function.get("name"))}, "arguments": {function.get("arguments") or "{}"}}}'
        text += ("\n" if text else "") + f"{CALL_OPEN}\n{said}\n{CALL_CLOSE}"
    return text


def data_uri(screen: Screen, width: int, height: int) -> str:
    """The screen as a PNG of that size, resized as model.image does: the server then has nothing to resize."""
    from PIL import Image

    from model.processing.image import resize

    file = io.BytesIO()
    Image.fromarray(resize(screen.pixels, width, height)).save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
