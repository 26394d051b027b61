"""Middleware that checks the Host header, the Origin header and the bearer token before a request is read.

A page in the user's browser can send requests to the loopback address. The Host header exposes a name that was pointed
there (DNS rebinding), the Origin header exposes the page, and no page has the token. Starlette's
TrustedHostMiddleware does not replace the first check: it takes the first of several Host headers, and it answers
without OpenAI's error object. CORS response headers are left to Starlette's CORSMiddleware.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from model.serve.errors import ApiError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class AuthMiddleware:
    """ASGI middleware that rejects requests with an unknown Host, a foreign Origin or a wrong token.

    Args:
        app: The protected app.
        token: Bearer token; "" requires none.
        hosts: Accepted host names, without ports.
        origins: Accepted origins of pages.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str], origins: Collection[str] = ()) -> None:
        self.app, self.token = app, token
        self.hosts, self.origins = frozenset(host.lower() for host in hosts), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self.check(scope["method"], scope["headers"])
        except ApiError as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
            await JSONResponse(error.body(), error.status, headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def check(self, method: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Check the headers of a request.

        Raises:
            ApiError: The Host or Origin is not accepted (403), or the token is wrong (401).
        """
        hosts = _values(headers, b"host")
        if len(hosts) != 1 or _host_name(hosts[0]) not in self.hosts:
            raise ApiError(
                403,
                f"Host {', '.join(hosts)[:80] or 'is missing'}: this server answers to {', '.join(sorted(self.hosts))} "
                "only; to add a name, start it with --allow-host NAME",
                code="host_refused",
            )
        origins = _values(headers, b"origin")
        if any(origin not in self.origins for origin in origins):
            raise ApiError(
                403,
                f"requests from pages of {', '.join(origins)[:80]} are not allowed; "
                "to allow them, start the server with --allow-origin ORIGIN",
                code="origin_refused",
            )
        if method == "OPTIONS" and origins:
            return  # a CORS preflight request never has a token
        scheme, _, token = (_values(headers, b"authorization") or [""])[0].partition(" ")
        is_valid = scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())
        if self.token and not is_valid:
            raise ApiError(
                401, "the token is missing or wrong; send Authorization: Bearer TOKEN", code="invalid_api_key"
            )


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _host_name(host: str) -> str:
    try:
        return (urlsplit("//" + host).hostname or "").lower()
    except ValueError:
        return ""
