"""Each request is recorded once, with the status that its server answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from helpers.eventually import eventually

from envs.network.rules import NetworkRules
from envs.surfaces.browser import Surface

PAGE = """<p>0</p><script>
for (const path of ['/whole', '/cut', '/none']) fetch(path, {method: 'POST'}).catch(() => 0)
</script>"""


class Handler(BaseHTTPRequestHandler):
    """Answer writes whole, with a body that breaks off, or not at all."""

    def do_GET(self) -> None:
        self.answer(200, PAGE.encode(), len(PAGE))

    def do_POST(self) -> None:
        if self.path == "/none":
            self.close_connection = True
            return
        self.answer(201, b"", 0 if self.path == "/whole" else 99)

    def answer(self, status: int, body: bytes, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_each_write_is_recorded_once(chrome: str, address: str) -> None:
    with Surface(f"{address}/", executable=chrome, network=NetworkRules(named=("127.0.0.1:*",))) as surface:

        def writes() -> list[tuple[str, int]]:
            records = surface.evidence().requests or ()
            return sorted((record.url.removeprefix(address), record.status) for record in records if record.is_write)

        eventually(lambda: len(writes()) >= 3)
        surface.capture()
        eventually(lambda: not surface.busy())
        assert writes() == [("/cut", 201), ("/none", 0), ("/whole", 201)]
