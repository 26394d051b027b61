"""The filtering proxy, spoken to over SOCKS5 without a browser."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from helpers.eventually import eventually

from envs.network import proxy as proxy_module
from envs.network.proxy import NetworkProxy
from envs.network.rules import PUBLIC_HOSTS, NetworkRules

PUBLIC_ADDRESS = "93.184.216.34"
Serve = Callable[[socket.socket], None]


@contextmanager
def tcp_server(serve: Serve, family: socket.AddressFamily = socket.AF_INET) -> Iterator[int]:
    """Serve each connection in a thread of its own; yield the port on the loopback interface."""
    listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1 << 16):
            connection.sendall(data)


@pytest.fixture
def echo_port() -> Iterator[int]:
    with tcp_server(echo) as port:
        yield port


def names(table: dict[str, list[str]]) -> Callable[[str], Awaitable[list[str]]]:
    """Return a resolver that pops the first of several answers per name; the last one stays."""

    async def resolve(host: str) -> list[str]:
        if host not in table:
            raise OSError("unknown name")
        answers = table[host]
        return (answers.pop(0) if len(answers) > 1 else answers[0]).split()

    return resolve


@contextmanager
def open_proxy(rules: NetworkRules, **table: list[str]) -> Iterator[tuple[NetworkProxy, list[str]]]:
    refusals: list[str] = []
    resolve = names({name.replace("_", "."): answers for name, answers in table.items()})
    proxy = NetworkProxy(rules, resolve=resolve, on_refusal=refusals.append)
    with closing(proxy):
        yield proxy, refusals


def connect(proxy: NetworkProxy, host: str, port: int) -> tuple[socket.socket, int]:
    """Ask for a connection; return it with the status of the reply."""
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    client.sendall(b"\5\1\0" + b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack(">H", port))
    assert receive(client, 2) == b"\5\0"
    return client, receive(client, 10)[1]


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := client.recv(size - len(data))):
        data += part
    return data


def is_connected(proxy: NetworkProxy, host: str, port: int) -> bool:
    client, status = connect(proxy, host, port)
    with client:
        return status == 0


def test_named_address_is_connected(echo_port: int) -> None:
    with open_proxy(NetworkRules((f"127.0.0.1:{echo_port}",))) as (proxy, refusals):
        client, status = connect(proxy, "127.0.0.1", echo_port)
        assert status == 0
        data = bytes(range(256)) * 4096
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        assert receive(client, len(data)) == data
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.close()
        assert refusals == []


def test_ipv6_address_is_connected() -> None:
    try:
        with tcp_server(echo, socket.AF_INET6) as port, open_proxy(NetworkRules((f"[::1]:{port}",))) as (proxy, _):
            assert is_connected(proxy, "::1", port)
            assert is_connected(proxy, "[::1]", port)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")


def test_binary_addresses_of_request_are_checked(echo_port: int) -> None:
    with open_proxy(NetworkRules((f"127.0.0.1:{echo_port}",))) as (proxy, _):
        for address, expected in ((b"\1\x7f\0\0\1", 0), (b"\1\x7f\0\0\2", 4), (b"\4" + bytes(15) + b"\1", 4)):
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
                client.sendall(b"\5\1\0\5\1\0" + address + struct.pack(">H", echo_port))
                assert receive(client, 12)[3] == expected


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
    ],
)
def test_loopback_is_refused_in_every_spelling(host: str, echo_port: int) -> None:
    with open_proxy(PUBLIC_HOSTS) as (proxy, refusals):
        assert not is_connected(proxy, host, echo_port)
        assert len(refusals) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "64:ff9b::7f00:1",
        "fe80::1%eth0",
        "0.0.0.0",
    ],
)
def test_public_name_of_private_address_is_refused(answer: str, echo_port: int) -> None:
    with open_proxy(PUBLIC_HOSTS, evil_test=[answer]) as (proxy, refusals):
        assert not is_connected(proxy, "evil.test", echo_port)
        assert "rule 'private': evil.test" in refusals[0]


def test_wildcard_name_of_private_address_is_refused(echo_port: int) -> None:
    with open_proxy(NetworkRules(("*.evil.test:*",)), a_evil_test=["127.0.0.1"]) as (proxy, _):
        assert not is_connected(proxy, "a.evil.test", echo_port)


def test_named_host_may_be_private(echo_port: int) -> None:
    with open_proxy(NetworkRules((f"intranet.test:{echo_port}",)), intranet_test=["127.0.0.1"]) as (proxy, _):
        assert is_connected(proxy, "intranet.test", echo_port)


def test_rebinding_to_private_address_is_refused(echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "CONNECT_S", 0.05)  # nothing answers at the public address
    rules = NetworkRules((f"evil.test:{echo_port}",))
    with open_proxy(rules, evil_test=[PUBLIC_ADDRESS, "127.0.0.1"]) as (proxy, refusals):
        assert not is_connected(proxy, "evil.test", echo_port)
        assert refusals == []
        assert not is_connected(proxy, "evil.test", echo_port)
        assert "public name" in refusals[0]


def test_mixed_answers_leave_no_private_address(echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "CONNECT_S", 0.05)
    rules = NetworkRules((f"evil.test:{echo_port}",))
    with open_proxy(rules, evil_test=[f"127.0.0.1 {PUBLIC_ADDRESS}"]) as (proxy, _):
        assert not is_connected(proxy, "evil.test", echo_port)


def test_host_is_reported_once(echo_port: int) -> None:
    with open_proxy(NetworkRules(("a.org",))) as (proxy, refusals):
        for port in (echo_port, echo_port, 22):
            assert not is_connected(proxy, "127.0.0.1", port)
        assert not is_connected(proxy, "evil.test", 443)
        assert len(refusals) == 2
        assert f"--allow-host 127.0.0.1:{echo_port}" in refusals[0]
        assert "--allow-host evil.test" in refusals[1]


def test_reports_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "MAX_REPORTED", 3)
    with open_proxy(NetworkRules(())) as (proxy, refusals):
        for number in range(6):
            assert not is_connected(proxy, f"h{number}.test", 443)
        assert len(refusals) == 4
        assert "more than 3 hosts" in refusals[-1]


def test_services_of_browser_are_not_reported() -> None:
    with open_proxy(NetworkRules(())) as (proxy, refusals):
        assert not is_connected(proxy, "update.googleapis.com", 443)
        assert refusals == []


def test_failure_tells_its_reason(echo_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    rules = NetworkRules(("127.0.0.1:*", "nowhere.test"))
    with open_proxy(rules) as (proxy, _):
        assert not is_connected(proxy, "127.0.0.1", port)
        assert not is_connected(proxy, "nowhere.test", 80)
        assert not is_connected(proxy, "evil.test", 80)
        assert "net::X: " in proxy.explain(f"http://127.0.0.1:{port}/", "net::X")
        assert "refused" in proxy.explain(f"http://127.0.0.1:{port}/", "")
        assert "no such host name" in proxy.explain("http://nowhere.test/", "")
        assert proxy.explain("https://evil.test:80/", "net::X") == "refused by the network rules"
        assert proxy.explain(f"http://127.0.0.1:{echo_port}/", "net::X") == "net::X"


def test_failure_is_forgotten_after_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with open_proxy(NetworkRules(("127.0.0.1:*",))) as (proxy, _):
        assert not is_connected(proxy, "127.0.0.1", port)
        with socket.create_server(("127.0.0.1", port)):
            assert is_connected(proxy, "127.0.0.1", port)
        assert proxy.failure(f"http://127.0.0.1:{port}/") is None


def test_next_address_is_tried(echo_port: int) -> None:
    rules = NetworkRules((f"a.test:{echo_port}",))
    with open_proxy(rules, a_test=["127.0.0.2 127.0.0.1"]) as (proxy, _):
        assert is_connected(proxy, "a.test", echo_port)


def test_allowed_address_is_added(echo_port: int) -> None:
    with open_proxy(PUBLIC_HOSTS) as (proxy, _):
        assert not is_connected(proxy, "127.0.0.1", echo_port)
        proxy.allow_address(f"http://127.0.0.1:{echo_port}/x")
        assert is_connected(proxy, "127.0.0.1", echo_port)


@pytest.mark.parametrize(
    "data",
    [
        b"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n\r\n",
        b"\4\1\0\x50\x7f\0\0\1\0",  # SOCKS4
        b"\5\1\2",  # user name and password only
        b"\5\1\0\5\2\0\1\x7f\0\0\1\0\x50",  # BIND
        b"\5\1\0\5\3\0\1\x7f\0\0\1\0\x50",  # UDP ASSOCIATE
        b"\5\1\0\5\1\0\2\x7f\0\0\1\0\x50",  # unknown kind of address
        b"\5\1\0\5\1\1\1\x7f\0\0\1\0\x50",  # reserved byte
        b"\5\1\0\5\1\0\3\2\xff\xfe\0\x50",  # name outside of ASCII
        b"\5\1\0\5\1\0\3\0\0\x50",  # empty name
    ],
)
def test_other_protocols_are_closed(data: bytes, echo_port: int) -> None:
    with open_proxy(NetworkRules(("127.0.0.1:*",))) as (proxy, _):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert b"\5\0\0" not in client.makefile("rb").read()
        assert is_connected(proxy, "127.0.0.1", echo_port)


def test_silent_client_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "HANDSHAKE_S", 0.1)
    with (
        open_proxy(PUBLIC_HOSTS) as (proxy, _),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        client.sendall(b"\5")
        assert client.recv(1) == b""


def test_connections_are_limited(echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "MAX_CONNECTIONS", 1)
    with open_proxy(NetworkRules(("127.0.0.1:*",))) as (proxy, _):
        first, status = connect(proxy, "127.0.0.1", echo_port)
        assert status == 0
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as second:
            assert second.recv(1) == b""
        first.close()
        eventually(lambda: not proxy._tasks)
        assert is_connected(proxy, "127.0.0.1", echo_port)


def test_server_that_ends_ends_the_connection() -> None:
    def say_goodbye(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.close()

    with tcp_server(say_goodbye) as port, open_proxy(NetworkRules(("127.0.0.1:*",))) as (proxy, _):
        client, _status = connect(proxy, "127.0.0.1", port)
        with client:
            assert client.makefile("rb").read() == b"bye"


def test_close_ends_connections(echo_port: int) -> None:
    with open_proxy(NetworkRules(("127.0.0.1:*",))) as (proxy, _):
        client, _status = connect(proxy, "127.0.0.1", echo_port)
        proxy.close()
        with client:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=2)


def test_listens_on_loopback_only() -> None:
    with open_proxy(PUBLIC_HOSTS) as (proxy, _):
        assert proxy._servers[0].sockets[0].getsockname() == ("127.0.0.1", proxy.port)


def test_port_for_websockets_refuses_every_host() -> None:
    refusals: list[str] = []
    proxy = NetworkProxy(NetworkRules(("127.0.0.1:*",)), on_refusal=refusals.append, refuses_sockets=True)
    with closing(proxy):
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", proxy.socket_port), timeout=10) as client:
                client.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + struct.pack(">H", 80))
                assert receive(client, 12)[3] == 4
                assert client.recv(1) == b""
    assert len(refusals) == 1
    assert "WebSocket" in refusals[0]
    assert "127.0.0.1" in refusals[0]
