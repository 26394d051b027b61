"""Bounds on what clients may hold in a server's memory, and for how long."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections.abc import Iterator
from contextlib import contextmanager

from uvicorn.protocols.http.h11_impl import H11Protocol

from model.serve.errors import ApiError
from model.serve.request import IMAGE_FORMATS

MAX_BODY_BYTES = 64 * 2**20
MAX_REQUEST_PIXELS = 50_000_000  # of all images of a request
MAX_REQUEST_IMAGES = 256
MAX_HELD_BYTES = 4 * MAX_BODY_BYTES  # of the bodies that are being read
MAX_HELD_PIXELS = 2 * MAX_REQUEST_PIXELS  # of all requests that wait or run
HEADER_S = 20.0
BODY_S = 60.0  # between two parts of a body


class Budget:
    """An amount that requests share; call it from the event loop's thread only.

    Args:
        limit: Its size.
        unit: What it counts, for the error.
    """

    def __init__(self, limit: int, unit: str) -> None:
        self.limit, self.unit = limit, unit
        self.used = 0

    def take(self, amount: int) -> None:
        """Reserve an amount.

        Raises:
            ApiError: The others hold too much (429).
        """
        if self.used + amount > self.limit:
            raise ApiError(
                429, f"other requests hold {self.used} of {self.limit} {self.unit}; try again later", code="server_busy"
            )
        self.used += amount

    def give_back(self, amount: int) -> None:
        """Release an amount that was reserved."""
        self.used -= amount

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Reserve an amount for the length of a block."""
        self.take(amount)
        try:
            yield
        finally:
            self.give_back(amount)


def count_pixels(data: object) -> int:
    """Return the pixels of all images of a chat request, from their headers: nothing is decoded.

    Images that cannot be read count as 0; `parse_request` reports them.

    Raises:
        ApiError: There are too many images or pixels (400).
    """
    pixels = images = 0
    for url in _image_urls(data):
        images += 1
        pixels += _image_pixels(url)
    if images > MAX_REQUEST_IMAGES:
        raise ApiError(400, f"a request may have {MAX_REQUEST_IMAGES} images at most, not {images}", param="messages")
    if pixels > MAX_REQUEST_PIXELS:
        raise ApiError(
            400,
            f"the images of a request may have {MAX_REQUEST_PIXELS} pixels together, not {pixels}; send fewer or "
            "smaller images",
            param="messages",
        )
    return pixels


def _image_urls(data: object) -> Iterator[str]:
    messages = data.get("messages") if isinstance(data, dict) else None
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            url = part.get("image_url") if isinstance(part, dict) else None
            url = url.get("url") if isinstance(url, dict) else url
            if isinstance(url, str) and url.startswith("data:"):
                yield url


def _image_pixels(url: str) -> int:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])), formats=IMAGE_FORMATS) as image:
            return image.width * image.height
    except (binascii.Error, OSError, ValueError, SyntaxError):
        return 0
    except Image.DecompressionBombError:
        return MAX_REQUEST_PIXELS + 1


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose next request's head does not arrive within HEADER_S."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request's head."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Take data of the client; the first of a further request starts its time limit."""
        if self._awaits_head() and self._head_timer is None:
            self._start_timer()
        super().data_received(data)
        if not self._awaits_head():
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of a connection that is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def _awaits_head(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEADER_S, self._close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = None

    def _close(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
