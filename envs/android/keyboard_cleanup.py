"""The program `envs.android.keeper SERIAL PORT RECORD`: waits until its input ends, then gives a keyboard back.

Run by envs.android.keyboard beside a run that borrows a phone's keyboard. The input ends when that run does, however it
does; by then the run has given the keyboard back and deleted the record, unless it was killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from actions import SurfaceError

PATIENCE_S = 120.0


def main(serial: str, port: str, record: str) -> int:
    sys.stdin.buffer.read()
    if not Path(record).exists():
        return 0
    from envs.android.adb import AdbServer, Phone
    from envs.android.keyboard import restore

    try:
        restore(Phone(AdbServer(int(port)), serial, patience_s=PATIENCE_S))
    except SurfaceError:
        return 1  # the record stays: the next run on this phone gives it back
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
