"""A server on a free port, with real HTTP between it and its clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.eventually import eventually

from actions import Reply
from model.chat_model import ChatModel, GenerationStats, load_chat

for package in ("starlette", "uvicorn"):
    pytest.importorskip(package, reason=f"the package {package} is missing (extra [serve])")

TOKEN = "a-token"


@dataclass
class ServedModel:
    """A running server and its chat model."""

    base_url: str
    chat: Any

    def request(self, method: str, path: str, *, token: str = TOKEN, **options: Any) -> httpx.Response:
        """Send a request with the bearer token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        return httpx.request(method, self.base_url + path, headers=headers, timeout=60, trust_env=False, **options)

    def openai(self, **options: Any) -> Any:
        """Return a client of the openai package."""
        openai = pytest.importorskip("openai", reason="the package openai is missing (a development dependency)")
        return openai.OpenAI(
            base_url=self.base_url + "/v1", api_key=TOKEN, timeout=120, **{"max_retries": 0, **options}
        )

    def health(self) -> dict[str, Any]:
        """Return the state of the queue."""
        return dict(self.request("GET", "/health").json())

    def wait_for_queue(self, *, running: int | None = None, waiting: int | None = None) -> None:
        """Wait until the queue has so many running and waiting requests."""
        expected = {key: value for key, value in (("running", running), ("waiting", waiting)) if value is not None}
        eventually(lambda: expected.items() <= self.health().items(), 60.0)


@contextmanager
def serve_model(chat: Any, name: str = "embedded", **options: Any) -> Iterator[ServedModel]:
    """Serve a chat model on a free port for the length of a `with` block."""
    import uvicorn

    from model.serve.app import make_app
    from model.serve.limits import TimedProtocol

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)  # connections wait here until the server runs
        app = make_app(chat, name, **{"token": TOKEN, "hosts": ["127.0.0.1"], **options})
        server = uvicorn.Server(
            uvicorn.Config(app, http=TimedProtocol, log_level="warning", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield ServedModel(f"http://127.0.0.1:{listener.getsockname()[1]}", chat)
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def serve() -> Callable[..., AbstractContextManager[ServedModel]]:
    """Return `serve_model`."""
    return serve_model


@pytest.fixture(scope="session")
def embedded() -> Iterator[ServedModel]:
    """Serve the embedded model."""
    with serve_model(load_chat("embedded")) as served:
        yield served


@pytest.fixture
def tiny_chat(tiny_folder: Path) -> ChatModel:
    """Load a chat model with random weights."""
    return load_chat(tiny_folder)


class SlowChat:
    """A chat model whose replies go on until `release` is set, a token every few milliseconds."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat
        self.release = threading.Event()
        self.reply_count = 0
        self.stats = GenerationStats(0, 1, 0, 1, 0, 1, True, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chat, name)

    def reply(self, messages: Any, tools: Any = (), *, on_text: Callable[[str], None], **options: Any) -> Reply:
        """Generate "x" until released."""
        self.reply_count += 1
        text = ""
        while not self.release.is_set():
            text += "x"
            on_text(text)
            time.sleep(0.01)
        return Reply(text, reply_tokens=len(text))


@pytest.fixture
def slow_chat(tiny_chat: ChatModel) -> SlowChat:
    """Return a chat model whose replies last as long as the test wants."""
    return SlowChat(tiny_chat)
