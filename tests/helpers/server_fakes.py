"""A fake chat completions server without a model, which looks at the images that it receives.

It handles the two kinds of images of the start-up check: one color (which it names), and a page with a gray button
(which it clicks, in the qwen25 dialect, in pixels of the image as received).
"""

from __future__ import annotations

import base64
import io
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

GRAY = (239, 239, 239)
ARGUMENTS = '{{"action": "left_click", "coordinate": [{}, {}]}}'
CALL = '<tool_call>\n{{"name": "computer_use", "arguments": ' + ARGUMENTS + "}}\n</tool_call>"


@dataclass
class FakeServer:
    """The behavior of a server, and the requests that it received.

    mode: "sees"; "blind"; "half" (points of an image half as large); "capped" (points of an image that was scaled down
    to `max_pixels`); "weak" (different replies to different images, no more).
    """

    mode: str = "sees"
    max_pixels: int = 1_003_520  # of an image in mode "capped"
    key: str = ""
    names: tuple[str, ...] = ("tiny",)
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # (status, headers) of the next responses
    splits_calls: bool = False  # returns parsed tool calls in place of their text
    object_arguments: bool = False  # of parsed calls: as an object instead of JSON text
    content_parts: bool = False  # returns the content as a list of parts
    owner: str = ""  # `owned_by` of its models; "vllm" for vLLM
    rejected_fields: tuple[str, ...] = ()  # request fields that give status 400
    fails_on: str = ""  # text in a request that gives status 500; "large": a large image
    finish_reason: str = "stop"
    truncated_streams: int = 0  # streams that break off
    lists_models: bool = True
    probability_of_yes: float | None = None  # of the first token of a reply; None returns no log probabilities
    requests: list[dict[str, Any]] = field(default_factory=list)
    request_headers: list[dict[str, str]] = field(default_factory=list)
    base: str = ""

    def last_image(self, body: dict[str, Any]) -> np.ndarray | None:
        """Return the pixels of the last image."""
        uris = [
            part["image_url"]["url"]
            for message in body["messages"]
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        if not uris:
            return None
        data = base64.b64decode(uris[-1].partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def has_large_image(self, body: dict[str, Any]) -> bool:
        """Return whether the last image is wider than 1000 pixels."""
        pixels = self.last_image(body)
        return pixels is not None and pixels.shape[1] > 1000

    def reply(self, body: dict[str, Any]) -> str:
        """Return the reply to a request."""
        pixels = self.last_image(body)
        if pixels is None:
            return "."
        if self.mode == "blind":
            return CALL.format(100, 100)
        if self.mode == "weak":
            return CALL.format(int(pixels.sum()) % 97, 7)
        if (pixels == pixels[0, 0]).all():
            return ("Red", "Green", "Blue")[int(pixels[0, 0].argmax())] + "."
        rows, columns = np.nonzero((pixels == GRAY).all(axis=2))
        if not len(rows):
            return CALL.format(0, 0)
        x, y = round((columns.min() + columns.max()) / 2), round((rows.min() + rows.max()) / 2)
        scale = 0.5 if self.mode == "half" else 1.0
        if self.mode == "capped":
            scale = min(1.0, (self.max_pixels / (pixels.shape[0] * pixels.shape[1])) ** 0.5)
        return CALL.format(int(x * scale), int(y * scale))


@contextmanager
def serve_fake(fake: FakeServer) -> Iterator[FakeServer]:
    """Serve on a free port of this machine, and set `fake.base`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.request_headers.append(dict(self.headers))
            if not fake.lists_models:
                self.send(404, {"error": {"message": "nothing here"}})
            else:
                self.send(200, {"data": [{"id": name, "owned_by": fake.owner} for name in fake.names]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.request_headers.append(dict(self.headers))
            authorization = self.headers.get("Authorization", "")
            if fake.key and authorization != f"Bearer {fake.key}":
                return self.send(401, {"error": {"message": f"wrong key {authorization}"}})
            fake.requests.append(body)
            unknown = [key for key in fake.rejected_fields if key in body]
            if unknown:
                return self.send(400, {"error": {"message": f"unknown field {unknown[0]}"}})
            if fake.failures:
                status, headers = fake.failures.pop(0)
                return self.send(status, {"error": {"message": "not now"}}, headers)
            if fake.fails_on and (
                fake.fails_on in json.dumps(body) or (fake.fails_on == "large" and fake.has_large_image(body))
            ):
                return self.send(500, {"error": {"message": "could not parse region as JSON"}})
            text = fake.reply(body)
            if body.get("stream"):
                return self.stream(text)
            usage = {"prompt_tokens": 11, "completion_tokens": 5}
            choice = {"message": self.message(text), "finish_reason": fake.finish_reason, **self.logprobs(body)}
            return self.send(200, {"choices": [choice], "usage": usage})

        def logprobs(self, body: dict[str, Any]) -> dict[str, Any]:
            if not body.get("logprobs") or fake.probability_of_yes is None:
                return {}
            values = {"Yes": fake.probability_of_yes * 0.9, "No": (1 - fake.probability_of_yes) * 0.9, "The": 0.1}
            tokens = [{"token": token, "logprob": math.log(value)} for token, value in values.items() if value]
            return {"logprobs": {"content": [{**tokens[0], "top_logprobs": tokens[1:]}]}}

        def message(self, text: str) -> dict[str, Any]:
            calls = self.calls(text)
            if calls:
                return {"role": "assistant", "content": None, "tool_calls": calls}
            content = [{"type": "text", "text": text}] if fake.content_parts else text
            return {"role": "assistant", "content": content}

        def calls(self, text: str) -> list[dict[str, Any]]:
            if not fake.splits_calls or "<tool_call>" not in text:
                return []
            call = json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))
            arguments = call["arguments"] if fake.object_arguments else json.dumps(call["arguments"])
            return [{"id": "1", "index": 0, "function": {"name": call["name"], "arguments": arguments}}]

        def stream(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            calls = self.calls(text)
            pieces = [{"tool_calls": calls}] if calls else [{"content": text[:9]}, {"content": text[9:]}]
            for delta in pieces:
                self.event({"choices": [{"delta": delta}]})
                if fake.truncated_streams:
                    fake.truncated_streams -= 1
                    return
            self.event({"choices": [{"delta": {}, "finish_reason": fake.finish_reason}]})
            self.event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}})
            self.wfile.write(b"data: [DONE]\n\n")

        def event(self, data: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())

        def send(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.base = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
