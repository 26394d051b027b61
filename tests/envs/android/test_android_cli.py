"""`agent phone` as a person has it: a process that prints where to connect, takes faults as lines, ends on Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest
from typer.testing import CliRunner

from actions import UsageError
from envs.phone_cli import app


def test_it_starts_takes_faults_and_ends(adb, chrome, monkeypatch):
    monkeypatch.setenv("PIXELHAND_CHROME", chrome)
    code = "from envs.phone_cli import app; app()"
    command = [sys.executable, "-c", code, "--port", "0", "--page", "practice:click-test-2", "--fault", "truncated:1"]
    # a shell's background jobs are born deaf to Ctrl-C, and with them what they start
    hears = {"preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    run = subprocess.Popen(command, **pipes, text=True, encoding="utf-8", **hears)
    assert run.stdin is not None and run.stdout is not None
    try:
        assert run.stdout.readline() == "the simulated phone is running; connect to it and use it:\n"
        address = run.stdout.readline().split()[-1]
        adb("connect", address)
        from envs.surfaces.android import Surface

        with Surface(address) as surface:
            assert surface.capture().width == 280
            run.stdin.write("rotate:1\nrotat:1\n")
            run.stdin.flush()
            said = [run.stdout.readline() for _ in range(4)]
            assert said[-2:] == ["done: rotate:1\n", "no fault 'rotat'; did you mean 'rotate'?\n"]
            assert surface.capture().width == 364
        adb("disconnect", address)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 0
    finally:
        run.kill()
        run.wait()
        run.stdin.close()
        run.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--size", "big"], "--size must be like 360x720"),
        (["--fault", "ofline"], "did you mean 'offline'"),
        (["--page", "practice:click-tset"], "no practice task 'click-tset'"),
        (["--page", "example.com"], "shows practice:<task> pages as its home"),
        (["--size", "361x720"], "no whole number of pixels"),
    ],
)
def test_a_persons_mistake_is_one_sentence(arguments, sentence):
    result = CliRunner().invoke(app, ["--port", "0", *arguments])
    assert isinstance(result.exception, UsageError) and sentence in str(result.exception)


def test_a_port_that_is_taken_is_said(chrome, monkeypatch):
    import socket

    from envs.simulators.android.phone import SimulatedPhone

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"cannot listen: .*give another port"):
            SimulatedPhone(port=taken.getsockname()[1], executable=chrome)
