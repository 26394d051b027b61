"""NetworkProxy: a SOCKS5 proxy on the loopback interface that connects only where the rules allow it.

The browser sends the host names, so the proxy looks them up and connects to the very addresses that it has checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from actions import ActionDeniedError, SurfaceError
from envs.loop_thread import LoopThread
from envs.network.addresses import address_kind
from envs.network.hosts import format_host, is_address, is_local_name, normalize_browser_host
from envs.network.rules import NetworkRules, url_port
from envs.network.socks import (
    CHUNK,
    HOST_UNREACHABLE,
    SUCCEEDED,
    Destination,
    SocksError,
    Streams,
    read_request,
    relay,
    send_reply,
)

Resolver = Callable[[str], Awaitable[list[str]]]  # name -> IP addresses; raises OSError if there are none
OnRefusal = Callable[[str], None]

START_S, STOP_S = 10.0, 5.0
HANDSHAKE_S = 10.0
RESOLVE_S = 15.0
CONNECT_S = 15.0  # of one address
NEXT_ADDRESS_S = 4.0  # the same where another address is left
MAX_CONNECTIONS = 512
MAX_LOOKUPS = 32  # at the same time
CACHED_S = 30.0  # as browsers keep names
MAX_REMEMBERED = 4096  # hosts
SOCKET_REFUSAL = "no WebSocket is opened while writes are held, as what it sends could not be (--hold-writes)"
MAX_REPORTED = 100  # refused hosts of one run that are reported one by one

K = TypeVar("K")
V = TypeVar("V")
BROWSER_SERVICES = frozenset(  # asked for by Chromium itself: refused without a notice
    {
        "accounts.google.com",
        "android.clients.google.com",
        "clients2.google.com",
        "clientservices.googleapis.com",
        "content-autofill.googleapis.com",
        "edgedl.me.gvt1.com",
        "mtalk.google.com",
        "optimizationguide-pa.googleapis.com",
        "redirector.gvt1.com",
        "safebrowsing.googleapis.com",
        "update.googleapis.com",
    }
)


@dataclass(frozen=True)
class ConnectionFailure:
    """Why a connection did not come about; `is_refusal` if the rules forbid it."""

    reason: str
    is_refusal: bool = False


class SystemResolver:
    """Looks names up as the system does, and remembers the answers for `CACHED_S`."""

    def __init__(self) -> None:
        self._cache: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def __call__(self, host: str) -> list[str]:
        """Return the IP addresses of a name.

        Raises:
            OSError: It has none.
        """
        loop = asyncio.get_running_loop()
        expires_s, addresses = self._cache.get(host, (0.0, []))
        if loop.time() < expires_s:
            return addresses
        results = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(result[4][0]) for result in results))
        _remember(self._cache, host, (loop.time() + CACHED_S, addresses))
        return addresses


class NetworkProxy:
    """A proxy for the browser of one surface, in a thread of its own.

    Args:
        rules: What is allowed.
        resolve: Looks names up; the system's resolver if None.
        on_refusal: Called with one sentence per refused host, in the proxy's thread.
        refuses_sockets: Whether WebSockets are refused, for which there is a port of their own then.

    Attributes:
        port: The port on 127.0.0.1.
        socket_port: The port at which every connection is refused; 0 without one.

    Raises:
        SurfaceError: It does not start.
    """

    def __init__(
        self,
        rules: NetworkRules,
        *,
        resolve: Resolver | None = None,
        on_refusal: OnRefusal | None = None,
        refuses_sockets: bool = False,
    ) -> None:
        self._rules = rules
        self._resolve = resolve or SystemResolver()
        self._on_refusal = on_refusal
        self._failures: OrderedDict[Destination, ConnectionFailure] = OrderedDict()
        self._reported: set[str] = set()  # hosts
        self._public: OrderedDict[str, bool] = OrderedDict()  # names that have led to a public address
        self._tasks: set[asyncio.Task[Any]] = set()  # one per connection
        self._lookups = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="pixelhand-lookup")
        self._thread = LoopThread("pixelhand-proxy")
        self._is_closed = False
        self._servers: list[asyncio.Server] = []
        try:
            self.port = self._thread.call(self._listen(self._serve), START_S, "starting the network proxy")
            self.socket_port = 0
            if refuses_sockets:
                refusing = self._listen(self._refuse_socket)
                self.socket_port = self._thread.call(refusing, START_S, "starting the network proxy")
        except BaseException:
            self.close()
            raise

    @property
    def rules(self) -> NetworkRules:
        """The present rules."""
        return self._rules

    @property
    def has_refused(self) -> bool:
        """Whether the rules have refused a host so far."""
        return bool(self._reported)

    def allow_address(self, url: str) -> None:
        """Allow the host and port of an address that the user or a task opens.

        Raises:
            UsageError: The host is invalid, or not on the list of the rules.
        """
        self._rules = self._rules.with_address(url)

    def failure(self, url: str) -> ConnectionFailure | None:
        """Return why the last connection to the host and port of a URL did not come about, None if it did."""
        try:
            host = normalize_browser_host(urlsplit(url).hostname or "")
            return self._failures.get((host, url_port(url)))
        except (ValueError, ActionDeniedError):
            return None

    def explain(self, url: str, error_code: str) -> str:
        """Return the text of Chromium's error for a URL, whose code for every failure of a proxy is the same."""
        failure = self.failure(url)
        if failure is None:
            return error_code
        return "refused by the network rules" if failure.is_refusal else f"{error_code}: {failure.reason}"

    def close(self) -> None:
        """End all connections and the thread. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(SurfaceError):  # the thread ended, or does not answer
            self._thread.call(self._stop(), STOP_S, "closing the network proxy")
        self._thread.stop()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _listen(self, serve: Callable[..., Awaitable[None]]) -> int:
        """Serve connections on a new port, and return it."""
        asyncio.get_running_loop().set_default_executor(self._lookups)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=CHUNK)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # in which the transports close their sockets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        remote: asyncio.StreamWriter | None = None
        try:
            if len(self._tasks) > MAX_CONNECTIONS:
                return
            async with asyncio.timeout(HANDSHAKE_S):
                host, port = await read_request(reader, writer)
            result = await self._connect(host, port)
            if isinstance(result, ConnectionFailure):
                await send_reply(writer, HOST_UNREACHABLE)
                return
            remote_reader, remote = result
            await send_reply(writer, SUCCEEDED)
            await relay((reader, writer), (remote_reader, remote))
        except (OSError, TimeoutError, EOFError, SocksError):  # the browser or the server ended the connection
            pass
        except asyncio.CancelledError:  # by _stop(); Python 3.11 prints the traceback of a connection that is cancelled
            pass
        finally:
            self._tasks.discard(task)
            for stream in filter(None, (writer, remote)):
                with contextlib.suppress(OSError, RuntimeError):
                    stream.close()

    async def _refuse_socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Refuse a WebSocket, and report its host."""
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                host, port = await read_request(reader, writer)
                await send_reply(writer, HOST_UNREACHABLE)
            self._report(f"{host} (WebSocket)", f"{SOCKET_REFUSAL}: {format_host(host, port)}")
        except (OSError, TimeoutError, EOFError, SocksError):  # the browser ended the connection
            pass
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _connect(self, host: str, port: int) -> Streams | ConnectionFailure:
        """Connect to a checked address of the host."""
        failure = ConnectionFailure("the host name is invalid", is_refusal=True)
        try:
            host = normalize_browser_host(host)
            addresses = await self._checked_addresses(host, port)
            for number, address in enumerate(addresses, 1):
                limit_s = CONNECT_S if number == len(addresses) else NEXT_ADDRESS_S
                try:
                    async with asyncio.timeout(limit_s):
                        streams = await asyncio.open_connection(address, port, limit=CHUNK)
                    self._failures.pop((host, port), None)
                    return streams
                except TimeoutError:
                    failure = ConnectionFailure(f"no answer within {limit_s:.0f} s")
                except OSError as error:
                    failure = ConnectionFailure(os.strerror(error.errno).lower() if error.errno else str(error))
        except ActionDeniedError as error:
            failure = ConnectionFailure(str(error), is_refusal=True)
            self._report(host, str(error))
        except TimeoutError:
            failure = ConnectionFailure(f"the name was not found within {RESOLVE_S:.0f} s")
        except (OSError, ValueError):
            failure = ConnectionFailure("there is no such host name")
        _remember(self._failures, (host, port), failure)
        return failure

    async def _checked_addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host to which the rules allow connections, those of IPv4 first.

        Raises:
            ActionDeniedError: There are none.
            OSError: The name is unknown.
        """
        rules = self._rules
        if reason := rules.refusal(host, port):
            raise ActionDeniedError(reason)
        if is_address(host):
            return [host]
        if is_local_name(host):
            return ["127.0.0.1", "::1"]
        async with asyncio.timeout(RESOLVE_S):
            answers = await self._resolve(host)
        answers = [str(ipaddress.ip_address(address.partition("%")[0])) for address in answers]
        kinds = {address: address_kind(address) for address in answers}
        if "public" in kinds.values():
            _remember(self._public, host, True)
        refusals = {address: rules.address_refusal(host, port, address) for address in answers}
        if host in self._public:  # a name that changes sides is the attack known as DNS rebinding
            changed = f"rule 'private': {host} is a public name that leads to a private address now"
            refusals |= {address: refusals[address] or changed for address, kind in kinds.items() if kind != "public"}
        allowed = [address for address in answers if not refusals[address]]
        if not allowed:
            raise ActionDeniedError(next(iter(refusals.values()))) if refusals else OSError(host)
        return sorted(allowed, key=lambda address: ":" in address)

    def _report(self, host: str, reason: str) -> None:
        if (
            host in BROWSER_SERVICES
            or host in self._reported
            or len(self._reported) > MAX_REPORTED
            or self._on_refusal is None
        ):
            return
        self._reported.add(host)
        if len(self._reported) > MAX_REPORTED:
            reason = f"more than {MAX_REPORTED} hosts; further ones are refused without a notice"
        self._on_refusal(f"the network refused a connection: {reason}")


def _remember(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
