"""Checks of a phone before it is used: that it is there, awake and unlocked, and that it can open an address."""

from __future__ import annotations

from collections.abc import Callable

from actions import InvalidActionError, UsageError, usage_problems
from envs.android import commands, display
from envs.android.adb import AdbServer, Phone, select_device
from envs.android.commands import Command
from envs.chromium.address import person_address
from envs.options import SurfaceOptions
from envs.simulators.android.control_server import PROPERTY


def check_phone(serial: str, *, is_practice: bool) -> None:
    """Check that a phone can be used now and, for a practice page, that it is a simulated one.

    Raises:
        UsageError: It is missing, off or locked, or cannot show the page.
        SurfaceError: The adb server or the phone fails.
    """
    server = AdbServer()
    phone = Phone(server, select_device(server, serial))
    check_ready(phone)
    if is_practice and not phone.query(commands.getprop(PROPERTY)).text:
        raise UsageError(needs_simulator("a practice page", phone.serial))


def check_ready(phone: Phone) -> None:
    """Raise UsageError for a phone whose screen is off or locked."""
    if display.is_asleep(phone.query(commands.POWER).text):
        raise UsageError(f"the screen of the phone {phone.serial} is off; wake and unlock it")
    if display.is_locked(phone.query(commands.WINDOW).text):
        raise UsageError(f"the phone {phone.serial} is locked; unlock it")


def needs_simulator(feature: str, serial: str) -> str:
    """Return the message for a feature that a real phone does not have."""
    return f"{feature} needs a simulated phone, and {serial} is none; start one with `agent phone`"


def view_command(url: str, error: type[InvalidActionError] | type[UsageError]) -> Command:
    """Return the command that opens an address; raise `error` for one that no phone's browser opens."""
    try:
        return commands.view_url(url)
    except ValueError:
        raise error(f"a phone's browser opens http and https addresses without spaces, not {url[:200]!r}") from None


def option_problems(options: SurfaceOptions, *, is_practice: bool) -> list[str]:
    """Return every reason for which the phone could not be used now, but those of a practice page itself."""
    checks: list[Callable[[], object]] = [lambda: check_phone(options.where, is_practice=is_practice)]
    if options.url and not is_practice:
        checks.append(lambda: view_command(person_address(options.url), UsageError))
    return foreign_options(options) + usage_problems(*checks)


def foreign_options(options: SurfaceOptions) -> list[str]:
    """Return a sentence for the options of other surfaces."""
    names = [f"--{name}" for name in ("window", "program", "headed", "share") if getattr(options, name)]
    names += [name for name in ("width", "height") if getattr(options, name) != getattr(SurfaceOptions, name)]
    return [f"{', '.join(names)} cannot be used with a phone; leave it out"] if names else []
