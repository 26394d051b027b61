"""Command-line flags with which every Chromium is started, so that equal pages give equal pixels."""

from __future__ import annotations

BROWSER_FLAGS = (
    "--disable-gpu",  # software rendering: the same pixels on every machine
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--disable-smooth-scrolling",  # a wheel notch scrolls at once, so screens become stable sooner
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def proxy_flags(port: int, socket_port: int = 0) -> tuple[str, ...]:
    """Return the flags with which Chromium reaches the network only through a SOCKS5 proxy on this machine.

    Args:
        port: The proxy's port on 127.0.0.1.
        socket_port: The port for WebSockets; 0 for the same.
    """
    server = f"socks5://127.0.0.1:{port}"
    if socket_port:  # WebSockets take the proxy of no scheme of their own, which Chromium names "socks"
        server = f"http={server};https={server};socks=socks5://127.0.0.1:{socket_port}"
    return (
        f"--proxy-server={server}",
        "--proxy-bypass-list=<-loopback>",  # otherwise loopback addresses are connected to directly
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # Chromium itself looks up no name
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",  # the same in other releases
    )


OFFLINE_FLAGS = proxy_flags(1)  # for pages from files: no proxy listens there, so Chromium has no network
