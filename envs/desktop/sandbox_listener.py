"""A program that listens on a port in the network of another process and passes the socket back.

The socket stays in that network when it is passed on. Usage: sandbox_listener.py PID PORT DESCRIPTOR, where
DESCRIPTOR is a Unix socket. It starts with the standard library alone. Source: setns(2), ioctl_ns(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import sys

NS_GET_USERNS = 0xB701  # the user namespace that owns a namespace


def enter_network(pid: int) -> None:
    """Move this process into the network of another one.

    Raises:
        OSError: This process may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    owner = fcntl.ioctl(network, NS_GET_USERNS)  # to enter the network takes the rights of its owner
    for descriptor in (owner, network):
        if libc.setns(descriptor, 0):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        os.close(descriptor)


def _main() -> None:
    pid, port, descriptor = map(int, sys.argv[1:])
    enter_network(pid)
    with socket.create_server(("127.0.0.1", port)) as listener, socket.socket(fileno=descriptor) as channel:
        socket.send_fds(channel, [b"."], [listener.fileno()])


if __name__ == "__main__":
    _main()
