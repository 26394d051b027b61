"""RequestCheck: middleware that checks where a request to the viewer comes from, and its token.

A page of any site can send requests to the loopback address. The Host header exposes a name that was pointed there (DNS
rebinding), Origin and Sec-Fetch-Site expose the page, and no other page has the token.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
PAGE_PATHS = frozenset({"/", "/viewer.css", "/viewer.js", "/favicon.ico"})  # hold nothing of the run
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestCheck:
    """ASGI middleware that refuses requests of other hosts, origins and without the token.

    Args:
        app: The protected app.
        token: The token that every request but those of the page's own files must have.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        status, problem = self._problem(scope)
        if problem:
            await JSONResponse({"error": problem}, status)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _problem(self, scope: Scope) -> tuple[int, str]:
        """Return the status and the reason of a refusal; (200, "") for none."""
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or _host_name(hosts[0]) not in LOOPBACK_HOSTS:
            return 403, "the Host header is not that of this machine"
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            return 403, "requests of other pages are refused"
        if scope["path"] in PAGE_PATHS and scope["method"] in ("GET", "HEAD"):
            return 200, ""
        if any(site not in ("same-origin", "none") for site in _values(scope, b"sec-fetch-site")):
            return 403, "requests of other pages are refused"
        if scope["method"] not in ("GET", "HEAD") and not origins:
            return 403, "the Origin header is missing"
        scheme, _, token = (_values(scope, b"authorization") or [""])[0].partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token.encode()):
            return 401, "the token is missing or wrong; open the address that the terminal printed"
        return 200, ""


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
