"""Access to the server: Host, Origin and token."""

from __future__ import annotations

from typing import Any

import pytest

from model.chat_model import ChatModel

BODY: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}


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
def test_headers_decide_access(
    serve: Any, tiny_chat: ChatModel, headers: dict[str, str], token: str, status: int, code: str | None
) -> None:
    with serve(tiny_chat, "tiny", origins=["http://good.example"]) as served:
        for method, path, body in (("GET", "/v1/models", None), ("POST", "/v1/chat/completions", BODY)):
            response = served.request(method, path, token=token, headers=headers, json=body)
            assert response.status_code == status, response.text
            if code is not None:
                assert response.json()["error"]["code"] == code


def test_preflight_allows_listed_origin_only(serve: Any, tiny_chat: ChatModel) -> None:
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with serve(tiny_chat, "tiny", origins=["http://good.example"]) as served:
        good, evil = (
            served.request(
                "OPTIONS", "/v1/chat/completions", token="", headers=headers | {"Origin": f"http://{name}.example"}
            )
            for name in ("good", "evil")
        )
        assert good.status_code == 200
        assert good.headers["access-control-allow-origin"] == "http://good.example"
        assert evil.status_code == 403
        assert "access-control-allow-origin" not in evil.headers


def test_host_is_checked_without_token(serve: Any, tiny_chat: ChatModel) -> None:
    with serve(tiny_chat, "tiny", token="") as served:
        assert served.request("GET", "/v1/models", token="").status_code == 200
        assert served.request("GET", "/v1/models", token="", headers={"Host": "evil.example"}).status_code == 403


def test_invalid_bodies_and_paths_get_errors(serve: Any, tiny_chat: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.serve import app

    monkeypatch.setattr(app, "MAX_BODY_BYTES", 10_000)
    with serve(tiny_chat, "tiny") as served:
        path = "/v1/chat/completions"
        for content, status in ((b"{", 400), (b"[1]", 400), (b"[" * 5000, 400), (b" " * 20_000, 413)):
            response = served.request("POST", path, content=content)
            assert response.status_code == status
            assert response.json()["error"]["message"]
        assert "POST /v1/chat/completions" in served.request("GET", "/nowhere").json()["error"]["message"]
        assert served.request("GET", path).status_code == 405
