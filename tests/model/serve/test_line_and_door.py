"""Who may come in, who waits, and which words are shown when: without a real model's time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actions import Reply
from model.chat_model import ChatModel, GenerationStats, load_chat
from model.serve.completion import Completion, StreamFilter, calls_in
from model.serve.errors import ApiError
from model.serve.queue import RequestQueue
from model.serve.request import read

ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}


class Slow:
    """A chat whose replies take as long as the test wants, a token every few milliseconds."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat
        self.release = threading.Event()
        self.tokens = 0
        self.entered = 0
        self.stats = GenerationStats(0, 1, 0, 1, 0, 1, True, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chat, name)

    def reply(self, messages: Any, tools: Any = (), *, on_text: Callable[[str], None], **how: Any) -> Reply:
        self.entered += 1
        text = ""
        while not self.release.is_set():
            text += "x"
            self.tokens += 1
            on_text(text)
            time.sleep(0.01)
        return Reply(text, reply_tokens=len(text))


@pytest.fixture
def tiny(tiny_folder: Path) -> ChatModel:
    return load_chat(tiny_folder)


# --- the door ---


@pytest.mark.parametrize(
    ("headers", "token", "status", "code"),
    [
        ({}, "a-token", 200, None),
        ({}, "", 401, "invalid_api_key"),
        ({}, "wrong", 401, "invalid_api_key"),
        ({"Authorization": "Basic a-token"}, "a-token", 401, "invalid_api_key"),
        ({"Host": "evil.example"}, "a-token", 403, "host_refused"),
        ({"Host": "127.0.0.1.evil.example"}, "a-token", 403, "host_refused"),
        ({"Host": "127.0.0.1:1@evil.example"}, "a-token", 403, "host_refused"),
        ({"Origin": "http://evil.example"}, "a-token", 403, "origin_refused"),
        ({"Origin": "null"}, "a-token", 403, "origin_refused"),
        ({"Origin": "http://127.0.0.1:3000"}, "a-token", 403, "origin_refused"),
        ({"Origin": "http://good.example"}, "a-token", 200, None),
    ],
)
def test_token_host_and_origin(serve: Any, tiny: ChatModel, headers: Any, token: str, status: int, code: str) -> None:
    with serve(tiny, "tiny", origins=["http://good.example"]) as served:
        for method, path, body in (("GET", "/v1/models", None), ("POST", "/v1/chat/completions", ASK)):
            answer = served.http(method, path, token=token, headers=headers, json=body)
            assert answer.status_code == status, answer.text
            assert code is None or answer.json()["error"]["code"] == code


def test_an_allowed_page_may_ask_beforehand_and_no_other(serve: Any, tiny: ChatModel) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with serve(tiny, "tiny", origins=["http://good.example"]) as served:
        good, evil = (
            served.http(
                "OPTIONS", "/v1/chat/completions", token="", headers=asks | {"Origin": f"http://{name}.example"}
            )
            for name in ("good", "evil")
        )
        assert good.status_code == 200 and good.headers["access-control-allow-origin"] == "http://good.example"
        assert evil.status_code == 403 and "access-control-allow-origin" not in evil.headers


def test_without_a_token_only_host_and_origin_count(serve: Any, tiny: ChatModel) -> None:
    with serve(tiny, "tiny", token="") as served:
        assert served.http("GET", "/v1/models", token="").status_code == 200
        assert served.http("GET", "/v1/models", token="", headers={"Host": "evil.example"}).status_code == 403


def test_odd_bodies_and_paths_are_one_sentence(serve: Any, tiny: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    import model.serve.app as app

    monkeypatch.setattr(app, "MOST_BODY_BYTES", 10_000)
    with serve(tiny, "tiny") as served:
        path = "/v1/chat/completions"
        for content, status in ((b"{", 400), (b"[1]", 400), (b"[" * 5000, 400), (b" " * 20_000, 413)):
            answer = served.http("POST", path, content=content)
            assert answer.status_code == status and answer.json()["error"]["message"]
        assert "POST /v1/chat/completions" in served.http("GET", "/nowhere").json()["error"]["message"]
        assert served.http("GET", path).status_code == 405


# --- the line ---


def test_the_line_is_bounded_and_the_last_is_told_to_come_again(serve: Any, tiny: ChatModel) -> None:
    slow = Slow(tiny)
    with serve(slow, "tiny", waiting=2) as served, ThreadPoolExecutor(3) as pool:
        answers = []
        for standing in ((1, 0), (1, 1), (1, 2)):
            answers.append(pool.submit(served.http, "POST", "/v1/chat/completions", json=ASK))
            served.until(lambda now, standing=standing: (now["running"], now["waiting"]) == standing)
        full = served.http("POST", "/v1/chat/completions", json=ASK)
        assert full.status_code == 429 and full.json()["error"]["code"] == "line_is_full"
        assert full.headers["retry-after"] == "1"
        slow.release.set()
        assert [one.result(20).status_code for one in answers] == [200, 200, 200]
        assert slow.entered == 3


def test_a_place_in_line_is_taken_on_entering_and_given_back_once() -> None:
    line = RequestQueue(1)
    served, waits = line.submit(lambda on_piece: Completion("x", (), "stop", 1, 1)), line.submit(never)
    with pytest.raises(ApiError, match="waiting already"):  # though neither has asked for anything yet
        line.submit(never)
    waits.leave()
    waits.leave()
    again = line.submit(never)
    with pytest.raises(ApiError, match="waiting already"):
        line.submit(never)

    async def listen() -> list[Any]:
        return [piece async for piece in served.pieces()]

    assert [said.content for said in asyncio.run(listen())] == ["x"]
    again.leave()
    served.leave()
    assert (line.running, line.waiting) == (False, 0)
    line.close()


def never(on_piece: Callable[[str], None]) -> Completion:
    raise AssertionError("one that left was served")


def test_one_that_leaves_the_line_is_never_served(serve: Any, tiny: ChatModel) -> None:
    import httpx

    slow = Slow(tiny)
    with serve(slow, "tiny", waiting=4) as served, ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.http, "POST", "/v1/chat/completions", json=ASK)
        served.until(lambda now: now["running"] == 1)
        with pytest.raises(httpx.ReadTimeout):
            headers = {"Authorization": "Bearer a-token"}
            httpx.post(served.base + "/v1/chat/completions", json=ASK, headers=headers, timeout=0.5, trust_env=False)
        served.until(lambda now: now["waiting"] == 0)
        slow.release.set()
        assert first.result(20).status_code == 200 and slow.entered == 1


def test_what_goes_wrong_inside_is_an_error_and_the_next_is_served(
    serve: Any, tiny: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actions import UsageError

    real, problems = tiny.reply, [UsageError("the numbers are not finite"), RuntimeError("oh")]

    def reply(*given: Any, **how: Any) -> Reply:
        if problems:
            raise problems.pop(0)
        return real(*given, **how)

    monkeypatch.setattr(tiny, "reply", reply)
    with serve(tiny, "tiny") as served:
        first, second, third = (served.http("POST", "/v1/chat/completions", json=ASK) for _ in range(3))
        assert first.status_code == 500 and "not finite" in first.json()["error"]["message"]
        assert second.status_code == 500 and "RuntimeError" in second.json()["error"]["message"]
        assert third.status_code == 200 and served.health()["running"] == 0


def test_a_stop_text_ends_the_reply_before_it(serve: Any, tiny: ChatModel) -> None:
    with serve(tiny, "tiny") as served:
        long = {**ASK, "max_tokens": 40}
        whole = served.http("POST", "/v1/chat/completions", json=long).json()["choices"][0]["message"]["content"]
        stop = whole[6:8]
        short = served.http("POST", "/v1/chat/completions", json={**long, "stop": [stop]}).json()["choices"][0]
        assert short["message"]["content"] == whole[: whole.find(stop)] and short["finish_reason"] == "stop"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_a_reply_that_ends_with_its_last_token_has_ended(
    serve: Any, tiny: ChatModel, monkeypatch: pytest.MonkeyPatch, temperature: float, top_p: float
) -> None:
    asked = {**ASK, "max_tokens": 1, "temperature": temperature, "top_p": top_p}
    finishes = []
    with serve(tiny, "tiny") as served:
        for stop_ids in ((), tuple(range(tiny.tokenizer.size))):
            monkeypatch.setattr(tiny.tokenizer, "stop_ids", stop_ids)
            answer = served.http("POST", "/v1/chat/completions", json=asked).json()
            assert answer["usage"]["completion_tokens"] == 1
            finishes.append(answer["choices"][0]["finish_reason"])
    assert finishes == ["length", "stop"]


# --- words ---


def shown(texts: list[str], flow: StreamFilter) -> list[str]:
    pieces = [flow.more(text) for text in texts]
    flow.end(texts[-1])
    return [*pieces, flow.rest()]


def test_no_half_of_a_character_a_stop_or_a_mark_is_shown() -> None:
    assert shown(["a", "a\ufffd", "aé"], StreamFilter()) == ["a", "", "é", ""]
    assert shown(["one #", "one ##", "one ##x"], StreamFilter(stops=["###"])) == ["one ", "", "##x", ""]
    flow = StreamFilter(stops=["###"])
    assert shown(["one ##", "one ### two"], flow) == ["one ", "", ""] and flow.text == "one " and flow.stopped
    assert shown(["so <tool", "so <tool_call>{"], StreamFilter(marks=["<tool_call>"]))[:2] == ["so ", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no call", None),
        ('so\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', ("so", [("f", "{}")])),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}', (None, [("f", '{"a": 1}')])),
        (
            '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n'
            '<tool_call>{"name": "g", "arguments": {"b": 2}}',
            (None, [("f", '{"a": 1}'), ("g", '{"b": 2}')]),
        ),
        ("<tool_call>{'name': 'f', 'arguments': {'a': 1,}}</tool_call>", (None, [("f", '{"a": 1}')])),
        ("<tool_call>oops</tool_call>", None),
        ('<tool_call>{"arguments": {"a": 1}}</tool_call>', None),
    ],
)
def test_calls_are_read_out_of_words(text: str, expected: Any) -> None:
    found = calls_in(text)
    plain = found and (found[0], [(call["name"], call["arguments"]) for call in found[1]])
    assert plain == expected


def test_messages_become_turns() -> None:
    call = {"function": {"name": "f", "arguments": '{"a": "é"}'}}
    talk = read(
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "assistant", "content": "so", "tool_calls": [call]},
                {"role": "tool", "content": "1"},
                {"role": "tool", "content": [{"type": "text", "text": "2"}]},
                {"role": "user", "content": "go on"},
            ],
        },
        "m",
    )
    turns = [(one["role"], "".join(part["text"] for part in one["content"])) for one in talk.messages]
    said = '<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>'
    result = "<tool_response>\n{}\n</tool_response>"
    assert turns == [
        ("system", "be brief"),
        ("assistant", "so\n" + said),
        ("user", result.format(1) + "\n" + result.format(2)),
        ("user", "go on"),
    ]
    with pytest.raises(ApiError, match="best_of: Extra"):
        read({"model": "m", "messages": [{"role": "user", "content": "x"}], "best_of": 3}, "m")


# --- the command ---


def test_the_command_listens_on_loopback_with_a_token(tmp_path: Path) -> None:
    import os
    import re
    import subprocess
    import sys

    import httpx

    root = Path(__file__).parent.parent.parent.parent
    line = [sys.executable, "-m", "agent", "serve", "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "PIXELHAND_API_KEY"}
    process = subprocess.Popen(
        line, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        where = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
        token = process.stdout.readline().partition("token: ")[2].strip()
        assert where and len(token) >= 24
        for given, status in ((token, 200), ("other", 401)):
            headers = {"Authorization": f"Bearer {given}"}
            assert httpx.get(f"{where[0]}/models", headers=headers, timeout=60).status_code == status
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("more", [["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--allow-host", "me", "--no-token"]])
def test_the_command_is_not_open_to_others_by_accident(more: list[str]) -> None:
    import typer

    from actions import UsageError
    from model.serve.cli import app

    with pytest.raises(UsageError, match="others can reach"):
        typer.main.get_command(app).main(more, standalone_mode=False)
