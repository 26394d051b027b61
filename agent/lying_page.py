"""A page that reports a success which did not happen, for the demonstration of `--expect`."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GOAL = "save the note"
EXPECTATIONS = ('text "All changes saved"', "request POST /notes 2xx")
PAGE = b"""<!doctype html><meta charset=utf-8><title>Note</title>
<style>body { font: 20px sans-serif; margin: 40px } textarea, button { display: block; font: inherit; margin: 20px 0 }
textarea { width: 600px; height: 160px }
button { position: fixed; left: 40px; top: 330px; margin: 0; width: 200px; height: 60px }
h1, p { margin: 0 } p { position: fixed; top: 410px }</style>
<h1>Note</h1><textarea>Buy milk</textarea><button>Save</button><p role=status></p>
<script>
document.querySelector('button').onclick = () => {
  const done = () => { document.querySelector('p').textContent = 'All changes saved'; };
  fetch('/notes', {method: 'POST', body: document.querySelector('textarea').value}).finally(done);
};
</script>"""
SAVE_BUTTON = (140, 360)  # a point in it, in pixels of a page of 1288x728
ACTIONS = (
    {"verb": "click", "x": SAVE_BUTTON[0], "y": SAVE_BUTTON[1], "thought": "press Save"},
    {"verb": "done", "message": "the page says that all changes are saved"},
)


@dataclass(frozen=True)
class LyingPage:
    """A page that is being served.

    Args:
        url: Its address.
        script: A file with the actions of a model that believes it.
    """

    url: str
    script: Path


@contextmanager
def serve_lying_page() -> Iterator[LyingPage]:
    """Serve a form on a free port of this machine: it shows "All changes saved", and its server refuses to save."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "actions.jsonl"
            script.write_text("".join(f"{json.dumps(action)}\n" for action in ACTIONS), encoding="utf-8")
            yield LyingPage(f"http://127.0.0.1:{server.server_port}/", script)
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send(200, PAGE if self.path == "/" else b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(503, b"the disk is full")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""
