"""A server of ours on a free port, with the real wire between it and its clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

for name in ("starlette", "uvicorn"):
    pytest.importorskip(name, reason=f"the package {name} is missing (extra [serve])")

TOKEN = "a-token"


@dataclass
class Served:
    """Where a server is, and what asks it."""

    base: str
    chat: Any

    def http(self, method: str, path: str, *, token: str = TOKEN, **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= how.pop("headers", {})
        return httpx.request(method, self.base + path, headers=headers, timeout=60, trust_env=False, **how)

    def openai(self, **how: Any) -> Any:
        openai = pytest.importorskip("openai", reason="the package openai is missing (a development dependency)")
        return openai.OpenAI(base_url=self.base + "/v1", api_key=TOKEN, timeout=120, **{"max_retries": 0, **how})

    def health(self) -> dict[str, Any]:
        return self.http("GET", "/health").json()

    def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the line stands so; what it says then."""
        end = time.monotonic() + seconds
        while not holds(now := self.health()):
            assert time.monotonic() < end, f"it did not come to be in time: {now}"
            time.sleep(0.05)
        return now


@contextmanager
def serving(chat: Any, name: str = "embedded", **how: Any) -> Iterator[Served]:
    import uvicorn

    from model.serve.app import make_app

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)  # who comes before the server runs waits for it
        app = make_app(chat, name, **{"token": TOKEN, "hosts": ["127.0.0.1"], **how})
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", chat)
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def embedded() -> Iterator[Served]:
    from model.chat_model import load_chat

    with serving(load_chat("embedded")) as served:
        yield served
