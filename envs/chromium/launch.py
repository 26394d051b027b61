"""Starts one Chromium for one surface. Knows its command line and Playwright; knows nothing of pages."""

from __future__ import annotations

import os
import sys

from playwright.async_api import Browser, Error, Playwright, async_playwright

from actions import SurfaceError, UsageError
from envs.chromium.executable import find_chrome
from envs.miniwob.pages import BROWSER_FLAGS

SANDBOX_VARIABLE = "PIXELHAND_CHROME_SANDBOX"  # "off" where the system forbids user namespaces
START_S = 60.0


def use_sandbox() -> bool:
    """Chromium's own sandbox, except where it cannot work (root on Linux) or was switched off by name."""
    setting = os.environ.get(SANDBOX_VARIABLE, "on")
    if setting not in ("on", "off"):
        raise UsageError(f"{SANDBOX_VARIABLE} is {setting!r}; it must be on or off")
    root = sys.platform.startswith("linux") and os.geteuid() == 0
    return setting == "on" and not root


async def launch(executable: str | None, headed: bool) -> tuple[Playwright, Browser]:
    """A running browser with its own temporary profile. UsageError without one, SurfaceError when it does not start."""
    path = find_chrome(executable)
    sandbox = use_sandbox()
    playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(
            executable_path=path,
            headless=not headed,
            args=list(BROWSER_FLAGS),
            ignore_default_args=["--hide-scrollbars"],  # a scroll bar tells that there is more
            chromium_sandbox=sandbox,
            handle_sigint=False,  # the loop ends a run, and it closes its surfaces
            handle_sigterm=False,
            handle_sighup=False,
            timeout=START_S * 1000,
        )
    except Error as error:
        await playwright.stop()
        raise SurfaceError(_why(str(path), error.message, headed)) from None
    except BaseException:  # given up from outside
        await playwright.stop()
        raise
    return playwright, browser


def _why(path: str, message: str, headed: bool) -> str:
    if "No usable sandbox" in message or "SUID sandbox" in message:
        return (
            f"{path} may not use its sandbox on this system; allow unprivileged user namespaces, "
            f"or accept the risk with {SANDBOX_VARIABLE}=off"
        )
    if headed and ("ozone" in message.lower() or "DISPLAY" in message or "X server" in message):
        return f"{path} found no display for a visible window; run it headless, or set DISPLAY"
    return f"{path} did not start: {message.strip().splitlines()[0]}"
