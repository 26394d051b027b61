"""The server's side of SOCKS5, and the copying of bytes. Source: RFC 1928, SOCKS Protocol Version 5."""

from __future__ import annotations

import asyncio
import ipaddress

VERSION, NO_AUTHENTICATION, CONNECT = 5, 0, 1
IPV4, DOMAIN, IPV6 = 1, 3, 4
SUCCEEDED, HOST_UNREACHABLE, NO_METHOD = 0, 4, 0xFF
LINGER_S = 10.0  # after one side has ended the connection
CHUNK = 1 << 16

Destination = tuple[str, int]  # host, port
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SocksError(Exception):
    """A client that does not follow RFC 1928."""


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Destination:
    """Read the greeting and the request; return the host as text, and the port."""
    version, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    if version != VERSION or NO_AUTHENTICATION not in methods:
        writer.write(bytes((VERSION, NO_METHOD)))
        raise SocksError
    writer.write(bytes((VERSION, NO_AUTHENTICATION)))
    await writer.drain()
    version, command, reserved, kind = await reader.readexactly(4)
    if (version, command, reserved) != (VERSION, CONNECT, 0):
        raise SocksError
    if kind == DOMAIN:
        name = await reader.readexactly((await reader.readexactly(1))[0])
        if not name.isascii():
            raise SocksError
        host = name.decode("ascii").strip("[]")
    elif kind in (IPV4, IPV6):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == IPV4 else 16)))
    else:
        raise SocksError
    return host, int.from_bytes(await reader.readexactly(2), "big")


async def send_reply(writer: asyncio.StreamWriter, status: int) -> None:
    """Answer a request with a status; the bound address is of no use to a browser."""
    writer.write(bytes((VERSION, status, 0, IPV4)) + bytes(6))
    await writer.drain()


async def relay(browser: Streams, server: Streams) -> None:
    """Copy in both directions until one side has ended and the other had `LINGER_S` for the rest."""
    copies = {
        asyncio.ensure_future(_copy(browser[0], server[1])),
        asyncio.ensure_future(_copy(server[0], browser[1])),
    }
    try:
        done, _ = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        if not any(copy.exception() for copy in done):
            await asyncio.wait(copies, timeout=LINGER_S)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
