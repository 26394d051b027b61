"""A local web site, and browsers to visit it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from helpers.eventually import eventually

from actions import UsageError
from envs.chromium.executable import find_chrome
from envs.network.rules import NetworkRules

LOCAL_SITES = NetworkRules(named=("127.0.0.1:*", "localhost:*"))  # the pages of `site`


@dataclass
class Site:
    """Pages by path."""

    port: int = 0
    pages: dict[str, tuple[bytes, dict[str, str], float, int]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def add(
        self, html: str, *, delay_s: float = 0.0, host: str = "127.0.0.1", status: int = 200, **headers: str
    ) -> str:
        """Add a page and return its address."""
        path = f"/{next(self.numbers)}"
        self.pages[path] = (f"<!doctype html><meta charset=utf-8>{html}".encode(), headers, delay_s, status)
        return f"http://{host}:{self.port}{path}"


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    pages = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, headers, delay_s, status = pages.pages.get(
                self.path.partition("?")[0], (b"nothing here", {}, 0.0, 200)
            )
            time.sleep(delay_s)
            self.send_response(status)
            for name, value in {"Content-Type": "text/html", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.do_GET()

        do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - names of http.server

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pages.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield pages
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def chrome() -> str:
    try:
        return str(find_chrome())
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")


@pytest.fixture(scope="module")
def browser(chrome: str) -> Iterator[Any]:
    from envs.surfaces.browser import Surface

    with Surface(width=400, height=300, executable=chrome, network=LOCAL_SITES) as surface:
        yield surface


@pytest.fixture(scope="module")
def quick(chrome: str) -> Iterator[Any]:
    """Return a browser in which a page counts as hung after 4 s."""
    from envs.surfaces.browser import Surface

    with Surface(width=400, height=300, executable=chrome, network=LOCAL_SITES, timeout_s=4.0) as surface:
        yield surface


@pytest.fixture
def until() -> Callable[..., Any]:
    """Return `eventually`; new tests import it from helpers.eventually."""
    return eventually
