"""The program `envs.android.keyboard_cleanup SERIAL PORT RECORD`: restore a phone's keyboard when its parent ends.

It runs beside a run that changes a phone's keyboard, and waits until its standard input ends with that run. By then the
run has restored the keyboard and deleted the record, unless it was killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from actions import SurfaceError

RECONNECT_S = 120.0


def main(serial: str, port: str, record: str) -> int:
    """Wait for the end of the input; restore the keyboard if the record still exists."""
    sys.stdin.buffer.read()
    if not Path(record).exists():
        return 0
    from envs.android.adb import AdbServer, Phone
    from envs.android.keyboard import restore_keyboard

    try:
        restore_keyboard(Phone(AdbServer(int(port)), serial, reconnect_s=RECONNECT_S))
    except SurfaceError:
        return 1  # the record stays: the next run on this phone restores the keyboard
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
