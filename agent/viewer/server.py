"""ViewerServer: serves the viewer's page, its events and its commands on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from actions import Error, UsageError
from agent.viewer.request_check import RequestCheck
from agent.viewer.state import ViewerState

HERE = Path(__file__).parent
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
}
POLL_S = 0.05  # between two looks at the state
HEARTBEAT_S = 10.0  # after which a silent stream shows that it is alive
MAX_STREAMS = 8  # open pages
MAX_COMMAND_BYTES = 16_384
START_S, STOP_S = 10.0, 5.0
LINGER_S = 1.0  # after the end, in which an open page fetches the last screenshot


class ViewerServer:
    """A server on a free port of 127.0.0.1, in a thread of its own.

    Args:
        state: What is shown.
        run_command: Carries out a command of the page, given as JSON; None where none is accepted.

    Attributes:
        port: The port.
        url: The address of the page, with the token in its fragment, which browsers send to nobody.

    Raises:
        UsageError: No port can be opened.
    """

    def __init__(self, state: ViewerState, run_command: Callable[[bytes], None] | None = None) -> None:
        self._state, self._run_command = state, run_command
        self._streams = 0
        token = secrets.token_urlsafe(32)
        try:
            self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        except OSError as error:
            raise UsageError(f"the viewer cannot listen on 127.0.0.1 ({error.strerror}); leave out --view") from None
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/#{token}"
        routes = [
            *(Route(path, self._file) for path in FILES),
            Route("/favicon.ico", self._no_icon),
            Route("/events", self._events),
            Route("/screens/{digest}", self._screen),
            Route("/commands", self._command, methods=["POST"]),
        ]
        app = Starlette(routes=routes, middleware=[Middleware(RequestCheck, token=token)])
        config = uvicorn.Config(
            app, log_level="error", lifespan="off", timeout_graceful_shutdown=2, server_header=False, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="pixelhand-viewer", daemon=True)

    def __enter__(self) -> ViewerServer:
        self._thread.start()
        deadline = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise UsageError("the viewer did not start; leave out --view")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Show the end to open pages, and close the server."""
        has_pages = self._streams > 0
        self._state.close()
        if has_pages:
            time.sleep(LINGER_S)
        self._server.should_exit = True
        self._thread.join(STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    async def _file(self, request: Request) -> Response:
        name, kind = FILES[request.url.path]
        return Response((HERE / name).read_bytes(), media_type=kind)

    async def _no_icon(self, request: Request) -> Response:
        return Response(status_code=204)

    async def _screen(self, request: Request) -> Response:
        image = await asyncio.to_thread(self._state.image, request.path_params["digest"])
        if image is None:
            return JSONResponse({"error": "there is no such screenshot"}, 404)
        return Response(image, media_type="image/png")

    async def _command(self, request: Request) -> Response:
        if self._run_command is None:
            return JSONResponse({"error": "this run is only shown; nothing can be asked of it"}, 403)
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_COMMAND_BYTES:
                return JSONResponse({"error": "the command is too long"}, 413)
        try:
            self._run_command(data)
        except Error as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse({})

    async def _events(self, request: Request) -> Response:
        if self._streams >= MAX_STREAMS:
            return JSONResponse({"error": f"{MAX_STREAMS} pages show this run already; close one of them"}, 429)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        """Yield new entries and each new state; end with the state after the last event."""
        self._streams += 1
        try:
            count, last_state, sent_at = 0, "", time.monotonic()
            while True:
                is_closed = self._state.is_closed
                entries = self._state.entries_from(count)
                count += len(entries)
                for entry in entries:
                    yield f"event: entry\ndata: {json.dumps(entry)}\n\n"
                state = json.dumps(self._state.snapshot())
                if state != last_state:
                    yield f"event: state\ndata: {state}\n\n"
                    last_state, sent_at = state, time.monotonic()
                elif time.monotonic() - sent_at > HEARTBEAT_S:
                    yield ": alive\n\n"
                    sent_at = time.monotonic()
                if is_closed:
                    return
                await asyncio.sleep(POLL_S)
        finally:
            self._streams -= 1
