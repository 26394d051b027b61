"""Who may come in: Host, Origin and token, checked before anything of a request is read. Knows ASGI only.

A page in the user's browser can send requests to loopback. The Host header shows a name that was made to point here
(DNS rebinding), Origin the page that sends; the token is what no page knows.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from model.serve.errors import ApiError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class AuthMiddleware:
    """An ASGI app in front of another. hosts: names, without ports; token "": none is asked for."""

    def __init__(self, app: Any, *, token: str, hosts: Collection[str], origins: Collection[str] = ()) -> None:
        self.app, self.token = app, token
        self.hosts, self.origins = frozenset(host.lower() for host in hosts), frozenset(origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from starlette.responses import JSONResponse

        try:
            self.check(scope["method"], scope["headers"])
        except ApiError as refused:
            headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
            await JSONResponse(refused.body(), refused.status, headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def check(self, method: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Raise Refused: 403 for a Host or an Origin that is not known, 401 for a token that is not right."""
        hosts = _all(headers, b"host")
        if len(hosts) != 1 or _name(hosts[0]) not in self.hosts:
            raise ApiError(
                403,
                f"Host {', '.join(hosts)[:80] or 'is missing'}: this server answers to {', '.join(sorted(self.hosts))} "
                "only (agent serve --allow-host NAME)",
                code="host_refused",
            )
        origins = _all(headers, b"origin")
        if any(origin not in self.origins for origin in origins):
            raise ApiError(
                403,
                f"pages of {', '.join(origins)[:80]} may not ask here (agent serve --allow-origin ORIGIN)",
                code="origin_refused",
            )
        if method == "OPTIONS" and origins:
            return  # a browser asks beforehand, and never with a token
        kind, _, given = (_all(headers, b"authorization") or [""])[0].partition(" ")
        right = kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())
        if self.token and not right:
            raise ApiError(
                401, "the token is missing or wrong; send Authorization: Bearer TOKEN", code="invalid_api_key"
            )


def _all(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _name(host: str) -> str:
    try:
        return (urlsplit("//" + host).hostname or "").lower()
    except ValueError:
        return ""
