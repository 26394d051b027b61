"""A web site whose log shows what reached it, for tests of held requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READS, WRITES = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "PATCH", "DELETE")
REDIRECTS = {"/see-other": (303, "/after"), "/repeat": (307, "/after"), "/repeat-elsewhere": (308, "OTHER/after")}
BUTTON = "style='position:fixed;inset:0;width:100%;height:100%;font-size:60px'"


@dataclass(frozen=True)
class LoggedRequest:
    """A request that reached the server."""

    method: str
    path: str
    body: bytes
    content_type: str


@dataclass
class WriteSite:
    """Pages by path, and the requests that arrived. ORIGIN and OTHER in a page stand for the site's two origins."""

    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    log: list[LoggedRequest] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """The origin that pages are opened from."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def other(self) -> str:
        """The same server as another site."""
        return f"http://localhost:{self.port}"

    @property
    def writes(self) -> list[LoggedRequest]:
        """The requests that are no reads."""
        return [request for request in self.log if request.method not in READS]

    def fill(self, text: str) -> str:
        """Return a text with the origins in it."""
        return text.replace("ORIGIN", self.origin).replace("OTHER", self.other)

    def add(self, path: str, html: str) -> str:
        """Add a page and return its address."""
        self.pages[path] = self.fill(html)
        return self.origin + path


@contextmanager
def serve_writes() -> Iterator[WriteSite]:
    """Serve a site within the block."""
    site = WriteSite()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, and used again

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            site.log.append(LoggedRequest(self.command, self.path, body, self.headers.get("Content-Type") or ""))
            status, location = REDIRECTS.get(path, (200, ""))
            content = site.pages.get(path, f"<title>{self.command}</title>ok").encode()
            self.send_response(status)
            if location:
                self.send_header("Location", site.fill(location))
            media_type = "text/javascript" if path.endswith(".js") else "text/html"
            self.send_header("Content-Type", f"{media_type}; charset=utf-8")
            for name in ("Origin", "Methods", "Headers"):
                self.send_header(f"Access-Control-Allow-{name}", "*")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    for method in (*READS, *WRITES):
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
