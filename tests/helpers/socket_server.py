"""A WebSocket server that answers each message after the seconds that the message names."""

from __future__ import annotations

import base64
import hashlib
import socketserver
import time

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        accepted = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + _GUID).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
        )
        while len(start := self.rfile.read(2)) == 2 and start[0] & 15 == 1:  # text frames of less than 126 bytes
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(start[1] & 127)))
            if text == b"never":
                continue
            time.sleep(float(text))
            self.wfile.write(b"\x81\x04done")


class SocketServer(socketserver.ThreadingTCPServer):
    """The server; `serve_forever()` runs it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        """The ws: address."""
        return f"ws://127.0.0.1:{self.server_address[1]}/"
