"""Two local web servers: one with pages, and one that nothing may reach, which records whatever arrives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Headers = dict[str, str]


@dataclass(frozen=True)
class WebPage:
    """A page of the allowed server."""

    body: str
    content_type: str = "text/html"
    status: int = 200
    headers: Headers = field(default_factory=dict)


@dataclass
class CanarySites:
    """The servers' addresses, the requests that they received, and the pages of the allowed one by path."""

    allowed: str = ""  # http://127.0.0.1:PORT
    canary: str = ""  # http://localhost:PORT, TCP and UDP
    folder: Path = Path("/nonexistent")  # with the user's file that nothing may read
    pages: dict[str, WebPage] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)  # paths of the allowed server
    hits: list[str] = field(default_factory=list)  # "TCP" (a connection), "GET /path" and "UDP"

    @property
    def canary_port(self) -> int:
        """The canary's port."""
        return int(self.canary.rpartition(":")[2])


@contextmanager
def canary_sites() -> Iterator[CanarySites]:
    """Start both servers."""
    sites = CanarySites()
    with _serve(_allowed_handler(sites)) as allowed_port, _serve(_canary_handler(sites)) as canary_port:
        sites.allowed, sites.canary = f"http://127.0.0.1:{allowed_port}", f"http://localhost:{canary_port}"
        with _listen_udp(canary_port, lambda: sites.hits.append("UDP")):
            yield sites


def _allowed_handler(sites: CanarySites) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sites.served.append(self.path)
            page = sites.pages.get(self.path.partition("?")[0], WebPage("nothing here", status=404))
            data = page.body.encode()
            self.send_response(page.status)
            for name, value in {"Content-Type": f"{page.content_type}; charset=utf-8", **page.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _canary_handler(sites: CanarySites) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            is_http = super().parse_request()
            if is_http:
                sites.hits.append(f"{self.command} {self.path}")
            return is_http

        def setup(self) -> None:
            sites.hits.append("TCP")
            super().setup()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"canary")

        def do_POST(self) -> None:
            self.do_GET()

        def do_OPTIONS(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _listen_udp(port: int, on_packet: Callable[[], None]) -> Iterator[None]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", port))
    listener.settimeout(0.2)
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            with suppress(TimeoutError):
                listener.recvfrom(2048)
                on_packet()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        listener.close()
