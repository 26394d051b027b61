"""`agent phone`: a simulated Android phone until Ctrl-C. Arguments and lines in, a phone out. Thin."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from envs.simulators.android.phone import SimulatedPhone

PORT = 6555  # beyond those where adb looks for emulators, 5554 to 5585
SIZE = "360x720"

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def phone(
    page: Annotated[str, typer.Option(help="practice:<task>: that page is the phone's home screen.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where adb connects; 0 takes a free one.")] = PORT,
    size: Annotated[str, typer.Option(help="Width and height in dp (CSS pixels).", metavar="WxH")] = SIZE,
    scale: Annotated[float, typer.Option(min=0.25, max=4, help="Pixels of the screen for each dp.")] = 1.5,
    fault: Annotated[
        list[str] | None, typer.Option(help="Misbehave from the start: black:2, slow:0.5, ...; may be repeated.")
    ] = None,
    headed: Annotated[bool, typer.Option("--headed", help="Show the phone's pages in a window.")] = False,
) -> None:
    """Start a simulated Android phone that the real adb accepts, and keep it until Ctrl-C.

    Its screen is a Chromium page: a launcher, settings, notes, a bank whose screen no picture shows, and a browser with
    the practice pages. Lines typed here make it misbehave (offline:5, rotate:1, ...); `help` names them all.
    """
    from envs.simulators.android.faults import parse_fault
    from envs.simulators.android.phone import SimulatedPhone

    width, height = _size(size)
    for text in fault or []:
        parse_fault(text)  # a wrong one is said before anything starts
    with SimulatedPhone(page, port=port, width=width, height=height, scale=scale, headed=headed) as started:
        for text in fault or []:
            started.fault(text)
        print(f"a simulated phone is on; connect it and use it:\n  adb connect {started.address}")
        print(f'  agent run "..." --on android:{started.address}\nCtrl-C ends it.', flush=True)
        threading.Thread(target=_listen, args=(started,), daemon=True).start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


def _listen(started: SimulatedPhone) -> None:
    """Faults, one a line, until standard input ends."""
    from actions import Error
    from envs.simulators.android.faults import KINDS

    for line in sys.stdin:
        if not line.strip():
            continue
        if line.strip() in ("help", "?"):
            print("\n".join(f"  {kind}:{usual:g}  {what}" for kind, (usual, what) in KINDS.items()), flush=True)
            continue
        try:
            started.fault(line)
            print(f"done: {line.strip()}", flush=True)
        except Error as error:
            print(error, flush=True)


def _size(text: str) -> tuple[int, int]:
    from actions import UsageError

    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 80 <= int(width) <= 4096 and 80 <= int(height) <= 4096):
        raise UsageError(f"--size is like {SIZE}, each side 80 to 4096, not {text!r}")
    return int(width), int(height)
