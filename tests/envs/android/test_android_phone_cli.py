"""`agent phone` as a process: it prints its address, reads faults from standard input, and ends on Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from helpers.adb_server import Adb
from typer.testing import CliRunner

from actions import UsageError
from envs.phone_cli import app
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces.android import Surface


def test_phone_starts_reads_faults_and_ends(adb: Adb, chrome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELHAND_CHROME", chrome)
    code = "from envs.phone_cli import app; app()"
    command = [sys.executable, "-c", code, "--port", "0", "--page", "practice:click-test-2", "--fault", "truncated:1"]
    # background jobs of a shell ignore Ctrl-C, and so do the processes that they start
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    if os.name == "posix":
        options["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, **options)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()
        address = process.stdout.readline().split()[-1]
        adb("connect", address)
        with Surface(address) as surface:
            assert surface.capture().width == 280
            process.stdin.write("rotate:1\nrotat:1\n")
            process.stdin.flush()
            lines = [process.stdout.readline() for _ in range(4)]
            assert "rotate:1" in lines[-2]
            assert "Did you mean 'rotate'?" in lines[-1]
            assert surface.capture().width == 364
        adb("disconnect", address)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "big"], "360x720"),
        (["--fault", "ofline"], "Did you mean 'offline'"),
        (["--page", "practice:click-tset"], "click-tset"),
        (["--page", "example.com"], "must be a miniwob:TASK page"),
        (["--size", "361x720"], "no whole number of screen pixels"),
    ],
)
def test_invalid_options_are_usage_errors(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["--port", "0", *arguments])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_used_port_is_a_usage_error(chrome: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(UsageError, match=r"cannot listen: .*choose another --port"):
            SimulatedPhone(port=listener.getsockname()[1], executable=chrome)
