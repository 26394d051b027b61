"""`agent phone`: run a simulated Android phone until Ctrl-C."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from envs.simulators.android.phone import SimulatedPhone

PORT = 6555  # outside the ports where adb looks for emulators, 5554 to 5585
SIZE = "360x720"

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def phone(
    page: Annotated[str, typer.Option(help="Show the practice page miniwob:TASK as the home screen.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for adb; 0 takes a free one.")] = PORT,
    size: Annotated[str, typer.Option(help="Width and height in dp (CSS pixels).", metavar="WxH")] = SIZE,
    scale: Annotated[float, typer.Option(min=0.25, max=4, help="Screen pixels per dp.")] = 1.5,
    fault: Annotated[
        list[str] | None, typer.Option(help="Simulate a fault from the start: black:2, slow:0.5, ...; repeatable.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host that its browser may connect to: HOST, HOST:PORT or *.SUFFIX; repeatable; default: public ones.",
        ),
    ] = None,
    headed: Annotated[bool, typer.Option("--headed", help="Show the phone's screen in a window.")] = False,
) -> None:
    """Start a simulated Android phone that the real adb accepts, and run it until Ctrl-C.

    Its screen is a Chromium page with a launcher, settings, notes, a bank app that blocks screenshots, and a browser
    with the practice pages. Lines typed here simulate faults (offline:5, rotate:1, ...); `help` lists them.
    """
    from envs.network.rules import NetworkRules
    from envs.simulators.android.faults import parse_fault
    from envs.simulators.android.phone import SimulatedPhone

    width, height = _parse_size(size)
    network = NetworkRules(tuple(allow_host) if allow_host else None)
    for text in fault or []:
        parse_fault(text)  # reject a wrong one before anything starts
    with SimulatedPhone(
        page, port=port, width=width, height=height, scale=scale, headed=headed, network=network
    ) as simulated_phone:
        for text in fault or []:
            simulated_phone.fault(text)
        print(f"the simulated phone is running; connect to it and use it:\n  adb connect {simulated_phone.address}")
        print(f'  agent run "..." --surface android:{simulated_phone.address}\nCtrl-C stops it.', flush=True)
        threading.Thread(target=_read_faults, args=(simulated_phone,), daemon=True).start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


def _read_faults(simulated_phone: SimulatedPhone) -> None:
    """Apply the faults named on standard input, one per line, until it ends."""
    from actions import Error
    from envs.simulators.android.faults import KINDS

    for line in sys.stdin:
        if not line.strip():
            continue
        if line.strip() in ("help", "?"):
            lines = [f"  {kind}:{default:g}  {description}" for kind, (default, description) in KINDS.items()]
            print("\n".join(lines), flush=True)
            continue
        try:
            simulated_phone.fault(line)
            print(f"done: {line.strip()}", flush=True)
        except Error as error:
            print(error, flush=True)


def _parse_size(text: str) -> tuple[int, int]:
    from actions import UsageError

    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 80 <= int(width) <= 4096 and 80 <= int(height) <= 4096):
        raise UsageError(f"--size must be like {SIZE}, each side 80 to 4096, not {text!r}")
    return int(width), int(height)
