"""A server that really looks at what it is sent, or pretends to: the wire of chat completions, without a model.

It knows the two kinds of pictures of the start-up check: one colour (which it names), and a page with a grey button
(which it clicks, in the words of qwen25, in pixels of the picture as it came).
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

GREY = (239, 239, 239)
ARGUMENTS = '{{"action": "left_click", "coordinate": [{}, {}]}}'
CALL = '<tool_call>\n{{"name": "computer_use", "arguments": ' + ARGUMENTS + "}}\n</tool_call>"


@dataclass
class Fake:
    """mode: sees, blind, half (points of a picture half as large), weak (other words to other pictures, no more)."""

    mode: str = "sees"
    key: str = ""
    names: tuple[str, ...] = ("tiny",)
    troubles: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # (status, headers) of the next answers
    apart: bool = False  # takes calls out of the words
    owner: str = ""  # of its models, as vLLM says of its own
    refuses: tuple[str, ...] = ()  # fields of a request that it knows nothing of
    fails_on: str = (
        ""  # words to which it answers 500, as a server whose reader of calls fails; "large": a large picture
    )
    cut: int = 0  # streams that break off in the middle
    listed: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    heard: list[dict[str, str]] = field(default_factory=list)  # headers
    base: str = ""

    def seen(self, body: dict[str, Any]) -> np.ndarray | None:
        """The pixels of the last picture."""
        pictures = [
            part["image_url"]["url"] for message in body["messages"] for part in message["content"]
            if part["type"] == "image_url"
        ]  # fmt: skip
        if not pictures:
            return None
        raw = base64.b64decode(pictures[-1].partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))

    def large(self, body: dict[str, Any]) -> bool:
        pixels = self.seen(body)
        return pixels is not None and pixels.shape[1] > 1000

    def answer(self, body: dict[str, Any]) -> str:
        pixels = self.seen(body)
        if pixels is None:
            return "."
        if self.mode == "blind":
            return CALL.format(100, 100)
        if self.mode == "weak":
            return CALL.format(int(pixels.sum()) % 97, 7)
        if (pixels == pixels[0, 0]).all():
            return ("Red", "Green", "Blue")[int(pixels[0, 0].argmax())] + "."
        rows, columns = np.nonzero((pixels == GREY).all(axis=2))
        if not len(rows):
            return CALL.format(0, 0)
        x, y = round((columns.min() + columns.max()) / 2), round((rows.min() + rows.max()) / 2)
        return CALL.format(x // 2, y // 2) if self.mode == "half" else CALL.format(x, y)


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.heard.append(dict(self.headers))
            if not fake.listed:
                self.send(404, {"error": {"message": "nothing here"}})
            else:
                self.send(200, {"data": [{"id": name, "owned_by": fake.owner} for name in fake.names]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.heard.append(dict(self.headers))
            if fake.key and self.headers.get("Authorization") != f"Bearer {fake.key}":
                said = self.headers.get("Authorization", "")
                return self.send(401, {"error": {"message": f"wrong key {said}"}})
            fake.asked.append(body)
            unknown = [key for key in fake.refuses if key in body]
            if unknown:
                return self.send(400, {"error": {"message": f"unknown field {unknown[0]}"}})
            if fake.troubles:
                status, headers = fake.troubles.pop(0)
                return self.send(status, {"error": {"message": "not now"}}, headers)
            if fake.fails_on and (fake.fails_on in json.dumps(body) or (fake.fails_on == "large" and fake.large(body))):
                return self.send(500, {"error": {"message": "could not parse region as JSON"}})
            text = fake.answer(body)
            if body.get("stream"):
                return self.stream(text)
            message: dict[str, Any] = {"role": "assistant", "content": text}
            if fake.apart and "<tool_call>" in text:
                call = json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))
                function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
                message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]}
            usage = {"prompt_tokens": 11, "completion_tokens": 5}
            return self.send(200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

        def stream(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in (text[:9], text[9:]):
                self.event({"choices": [{"delta": {"content": piece}}]})
                if fake.cut:
                    fake.cut -= 1
                    return
            self.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
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
