"""The request queue: bounds, cancellation and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from actions import Reply, UsageError
from model.chat_model import ChatModel
from model.serve.completion import Completion
from model.serve.errors import ApiError
from model.serve.queue import RequestQueue

BODY: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
PATH = "/v1/chat/completions"


def test_full_queue_returns_429(serve: Any, slow_chat: Any) -> None:
    with serve(slow_chat, "tiny", waiting=2) as served, ThreadPoolExecutor(3) as pool:
        responses = []
        for running, waiting in ((1, 0), (1, 1), (1, 2)):
            responses.append(pool.submit(served.request, "POST", PATH, json=BODY))
            served.wait_for_queue(running=running, waiting=waiting)
        rejected = served.request("POST", PATH, json=BODY)
        assert rejected.status_code == 429
        assert rejected.json()["error"]["code"] == "line_is_full"
        assert rejected.headers["retry-after"] == "1"
        slow_chat.release.set()
        assert [response.result(20).status_code for response in responses] == [200, 200, 200]
        assert slow_chat.reply_count == 3


def test_slot_is_taken_on_submit_and_released_once() -> None:
    queue = RequestQueue(1)
    served = queue.submit(lambda on_delta: Completion("x", (), "stop", 1, 1))
    waiting = queue.submit(never_served)
    with pytest.raises(ApiError, match="waiting already"):  # though neither has been started
        queue.submit(never_served)
    waiting.cancel()
    waiting.cancel()
    other = queue.submit(never_served)
    with pytest.raises(ApiError, match="waiting already"):
        queue.submit(never_served)

    async def collect() -> list[str | Completion]:
        return [item async for item in served.stream()]

    (completion,) = asyncio.run(collect())
    assert isinstance(completion, Completion)
    assert completion.content == "x"
    other.cancel()
    served.cancel()
    assert (queue.running, queue.waiting) == (False, 0)
    queue.close()


def never_served(on_delta: Callable[[str], None]) -> Completion:
    raise AssertionError("a canceled request was served")


def test_disconnected_waiting_client_is_not_served(serve: Any, slow_chat: Any) -> None:
    with serve(slow_chat, "tiny", waiting=4) as served, ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.request, "POST", PATH, json=BODY)
        served.wait_for_queue(running=1)
        with pytest.raises(httpx.ReadTimeout):
            headers = {"Authorization": "Bearer a-token"}
            httpx.post(served.base_url + PATH, json=BODY, headers=headers, timeout=0.5, trust_env=False)
        served.wait_for_queue(waiting=0)
        slow_chat.release.set()
        assert first.result(20).status_code == 200
        assert slow_chat.reply_count == 1


def test_failed_request_does_not_stop_server(serve: Any, tiny_chat: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    real_reply, errors = tiny_chat.reply, [UsageError("the logits are not finite"), RuntimeError("bug")]

    def reply(*args: Any, **options: Any) -> Reply:
        if errors:
            raise errors.pop(0)
        return real_reply(*args, **options)

    monkeypatch.setattr(tiny_chat, "reply", reply)
    with serve(tiny_chat, "tiny") as served:
        first, second, third = (served.request("POST", PATH, json=BODY) for _ in range(3))
        assert first.status_code == 500
        assert "not finite" in first.json()["error"]["message"]
        assert second.status_code == 500
        assert "RuntimeError" in second.json()["error"]["message"]
        assert third.status_code == 200
        assert served.health()["running"] == 0
