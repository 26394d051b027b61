"""What clients may hold in the server's memory, and for how long."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from helpers.eventually import eventually
from PIL import Image

from model.chat_model import ChatModel
from model.serve import app, limits
from model.serve.errors import ApiError
from model.serve.queue import RequestQueue

Serve = Callable[..., AbstractContextManager[Any]]


def image_url(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def body(*urls: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": parts}]}


def test_pixels_are_counted_from_headers() -> None:
    assert limits.count_pixels(body(image_url(300, 200), image_url(10, 10), "data:image/png;base64,AAAA")) == 60_100
    assert limits.count_pixels({"messages": "none"}) == 0


@pytest.mark.parametrize(
    "urls",
    [[image_url(5001, 5000)] * 2, [image_url(30_000, 30_000)], [image_url(1, 1)] * (limits.MAX_REQUEST_IMAGES + 1)],
)
def test_request_with_too_many_pixels_is_refused(urls: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        limits.count_pixels(body(*urls))
    assert caught.value.status == 400


def test_budget_refuses_what_exceeds_it() -> None:
    budget = limits.Budget(10, "bytes")
    with budget.hold(8), pytest.raises(ApiError) as caught:
        budget.take(3)
    assert (caught.value.status, budget.used) == (429, 0)


def test_slot_is_released_once() -> None:
    queue, released = RequestQueue(0), []
    slot = queue.reserve()
    slot.on_release(lambda: released.append(1))
    with pytest.raises(ApiError):
        queue.reserve()
    slot.release()
    slot.release()
    assert released == [1]
    queue.reserve().release()
    queue.close()


def test_pixels_are_given_back_after_reply(serve: Serve, tiny_chat: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_HELD_PIXELS", 50_000)
    with serve(tiny_chat, "tiny") as served:
        statuses = [
            served.request("POST", "/v1/chat/completions", json=body(image_url(200, 200))).status_code for _ in "123"
        ]
        busy = served.request("POST", "/v1/chat/completions", json=body(image_url(300, 200)))
    assert statuses == [200] * 3
    assert busy.status_code == 429


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_connection_without_request_is_closed(
    serve: Serve, tiny_chat: ChatModel, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(limits, "HEADER_S", 0.3)
    with serve(tiny_chat, "tiny") as served, socket.create_connection(("127.0.0.1", port(served)), 30) as client:
        client.sendall(sent)
        assert client.recv(1000) == b""
        assert served.request("GET", "/health").status_code == 200


def test_slow_body_is_refused(serve: Serve, tiny_chat: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_S", 0.3)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer a-token\r\nContent-Length: 99"
    )
    with serve(tiny_chat, "tiny") as served, socket.create_connection(("127.0.0.1", port(served)), 30) as client:
        client.sendall(f"{head}\r\n\r\n{{".encode())
        answer = bytearray()
        eventually(lambda: answer.extend(client.recv(1000)) or b"408" in answer)


def port(served: Any) -> int:
    return int(served.base_url.rpartition(":")[2])
