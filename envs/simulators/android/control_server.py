"""The simulated phone's control port: one JSON line asks, one answers. Knows sockets; knows no screen.

It is for a task's set-up and verdict and for faults, never for a model; every action and picture goes through adb. The
property that names it is what a real phone has not. Loopback only, with a token of its own for each phone.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from actions import SurfaceError, UsageError

PROPERTY = "ro.pixelhand.control"  # "PORT:TOKEN"
LIMIT = 16 * 1024 * 1024
CONNECT_S, ANSWER_S = 3.0, 40.0


async def serve_control(answer: Callable[[dict[str, Any]], Awaitable[Any]], token: str) -> asyncio.Server:
    """Listen on a free port of 127.0.0.1."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _reply(line, answer, token)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # cut, or a line beyond the limit
            pass
        finally:
            writer.close()

    return await asyncio.start_server(accept, "127.0.0.1", 0, limit=LIMIT)


async def _reply(line: bytes, answer: Callable[[dict[str, Any]], Awaitable[Any]], token: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict) or not hmac.compare_digest(str(request.get("token", "")), token):
            return {"error": "the control port needs the phone's token"}
        return {"value": await answer(request)}
    except UsageError as error:
        return {"usage": str(error)}
    except Exception as error:  # a page's own error is an answer too; the phone goes on
        said = str(error).strip().splitlines()
        return {"error": said[0] if said else type(error).__name__}


class Control:
    """A client of the port. named: the property's value. SurfaceError when the phone does not answer."""

    def __init__(self, named: str) -> None:
        port, _, self._token = named.partition(":")
        self._address = ("127.0.0.1", int(port))

    def ask(self, do: str, **more: Any) -> Any:
        """One request and its value. UsageError for what the person asked and cannot have."""
        request = json.dumps({"token": self._token, "do": do, **more}).encode() + b"\n"
        try:
            with socket.create_connection(self._address, CONNECT_S) as line:
                line.settimeout(ANSWER_S)
                line.sendall(request)
                with line.makefile("rb") as answers:
                    reply = json.loads(answers.readline() or b"null")
        except (OSError, ValueError) as error:
            raise SurfaceError(
                f"the simulated phone's control at port {self._address[1]} did not answer ({error}); "
                "it must run on this machine"
            ) from None
        if not isinstance(reply, dict):
            raise SurfaceError("the simulated phone's control ended without an answer; is the phone still running?")
        if "usage" in reply:
            raise UsageError(reply["usage"])
        if "error" in reply:
            raise SurfaceError(f"the simulated phone: {reply['error']}")
        return reply.get("value")
