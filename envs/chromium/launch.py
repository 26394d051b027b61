"""Start one Chromium for one surface."""

from __future__ import annotations

import os
import sys

from playwright.async_api import Browser, Error, Playwright, async_playwright

from actions import SurfaceError, UsageError
from envs.chromium.executable import find_chrome
from envs.chromium.flags import BROWSER_FLAGS, proxy_flags
from envs.network.proxy import NetworkProxy

SANDBOX_VARIABLE = "PIXELHAND_CHROME_SANDBOX"  # "off" where the system forbids user namespaces
START_S = 60.0


def use_sandbox() -> bool:
    """Return whether Chromium uses its sandbox: not as root on Linux, nor when PIXELHAND_CHROME_SANDBOX is "off"."""
    setting = os.environ.get(SANDBOX_VARIABLE, "on")
    if setting not in ("on", "off"):
        raise UsageError(f"{SANDBOX_VARIABLE} must be on or off, not {setting!r}")
    is_root = sys.platform.startswith("linux") and os.geteuid() == 0
    return setting == "on" and not is_root


async def launch(executable: str | None, headed: bool, proxy: NetworkProxy) -> tuple[Playwright, Browser]:
    """Start a browser with a temporary profile.

    Args:
        executable: Name or path of its program; None searches for one.
        headed: Show its window.
        proxy: Its only way to the network.

    Raises:
        UsageError: No browser is installed.
        SurfaceError: It does not start.
    """
    path = find_chrome(executable)
    sandbox = use_sandbox()
    playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(
            executable_path=path,
            headless=not headed,
            args=[*BROWSER_FLAGS, *proxy_flags(proxy.port)],
            ignore_default_args=["--hide-scrollbars"],  # a scroll bar shows the model that there is more
            chromium_sandbox=sandbox,
            handle_sigint=False,  # the loop handles signals and closes its surfaces
            handle_sigterm=False,
            handle_sighup=False,
            timeout=START_S * 1000,
        )
    except Error as error:
        await playwright.stop()
        raise SurfaceError(_explain(str(path), error.message, headed)) from None
    except BaseException:  # cancelled
        await playwright.stop()
        raise
    return playwright, browser


def _explain(path: str, message: str, headed: bool) -> str:
    """Return why the browser did not start, and what to do, from Playwright's message."""
    if "No usable sandbox" in message or "SUID sandbox" in message:
        return (
            f"{path} cannot use its sandbox on this system; allow unprivileged user namespaces, "
            f"or accept the risk with {SANDBOX_VARIABLE}=off"
        )
    if headed and ("ozone" in message.lower() or "DISPLAY" in message or "X server" in message):
        return f"{path} found no display for a visible window; run it headless, or set DISPLAY"
    return f"{path} did not start: {message.strip().splitlines()[0]}"
