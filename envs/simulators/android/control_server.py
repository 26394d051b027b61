"""The simulated phone's control port: requests and responses of one JSON line each.

It sets up and judges tasks and injects faults; actions and screenshots of the agent always go through adb. A system
property, which no real phone has, names the port. It listens on loopback only and needs a token of its own per phone.
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
MAX_LINE = 16 * 1024 * 1024
CONNECT_S, RESPONSE_S = 3.0, 40.0

JsonObject = dict[str, Any]
Handler = Callable[[JsonObject], Awaitable[object]]


async def serve_control(handler: Handler, token: str) -> asyncio.Server:
    """Listen on a free port of 127.0.0.1 and answer requests with the handler's return value."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _respond(line, handler, token)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # closed, or a line beyond the limit
            pass
        finally:
            writer.close()

    return await asyncio.start_server(accept, "127.0.0.1", 0, limit=MAX_LINE)


async def _respond(line: bytes, handler: Handler, token: str) -> JsonObject:
    try:
        request = json.loads(line)
        if not isinstance(request, dict) or not hmac.compare_digest(str(request.get("token", "")), token):
            return {"error": "the control port needs the phone's token"}
        return {"value": await handler(request)}
    except UsageError as error:
        return {"usage": str(error)}
    except Exception as error:  # an error inside the page is a response, too; the phone keeps running
        lines = str(error).strip().splitlines()
        return {"error": lines[0] if lines else type(error).__name__}


class ControlClient:
    """A client of the control port."""

    def __init__(self, endpoint: str) -> None:
        """Use the endpoint in the value of PROPERTY."""
        port, _, self._token = endpoint.partition(":")
        self._address = ("127.0.0.1", int(port))

    def request(self, command: str, **arguments: object) -> object:
        """Send a request and return its value.

        Raises:
            UsageError: for a request with invalid arguments.
            SurfaceError: if the phone does not answer or fails.
        """
        request = json.dumps({"token": self._token, "do": command, **arguments}).encode() + b"\n"
        try:
            with socket.create_connection(self._address, CONNECT_S) as connection:
                connection.settimeout(RESPONSE_S)
                connection.sendall(request)
                with connection.makefile("rb") as lines:
                    response = json.loads(lines.readline() or b"null")
        except (OSError, ValueError) as error:
            raise SurfaceError(
                f"the simulated phone's control port {self._address[1]} did not answer ({error}); "
                "the phone must run on this machine"
            ) from None
        if not isinstance(response, dict):
            raise SurfaceError("the simulated phone closed its control port; check that it is still running")
        if "usage" in response:
            raise UsageError(response["usage"])
        if "error" in response:
            raise SurfaceError(f"the simulated phone failed: {response['error']}")
        return response.get("value")
