"""`agent doctor`: what each check says of machines that lack something, and that the self-tests can fail."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actions import Screen, TypeText, UsageError
from envs import doctor
from envs.calibration.target import COLOURS, SIDE, Marker, PointerEvent, detect_marker
from envs.doctor import Finding, Host, run_checks

BARE = Host(environ={}, platform="linux", which=lambda name: None, brought_adb=lambda: "", act=False)


def of(check: Callable[[Host], Iterator[Finding]], machine: Host) -> list[Finding]:
    return list(check(machine))


def test_an_old_python_is_an_error() -> None:
    assert of(doctor.python, replace(BARE, version=(3, 10, 2)))[0].level == "error"
    assert of(doctor.python, replace(BARE, version=(3, 11, 0)))[0].level == "ok"


@pytest.mark.parametrize(
    ("environ", "level", "words"),
    [
        ({}, "warning", "DISPLAY is not set"),
        ({"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"}, "warning", "Wayland"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "warning", "Wayland"),
    ],
)
def test_a_display_that_cannot_be_used_is_told_with_what_works_instead(
    environ: dict[str, str], level: str, words: str
) -> None:
    (finding,) = of(doctor.display, replace(BARE, environ=environ))
    assert finding.level == level
    assert words in finding.message
    assert "--on desktop:virtual" in finding.fix


def test_a_display_that_lets_nobody_in_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9876")
    (finding,) = of(doctor.display, replace(BARE, environ={"DISPLAY": ":9876"}))
    assert finding.level == "error"
    assert finding.fix


def test_what_a_virtual_desktop_lacks_is_named() -> None:
    (finding,) = of(doctor.virtual, BARE)
    assert finding.level == "warning"
    assert finding.fix == "apt-get install xvfb jwm"
    for manager in ("openbox", "jwm"):  # one is enough, as for the desktop itself
        has = replace(BARE, which=lambda name, manager=manager: name if name in ("Xvfb", manager) else None)
        assert (of(doctor.virtual, has)[0].level, manager in of(doctor.virtual, has)[0].message) == ("ok", True)
    assert of(doctor.virtual, replace(BARE, which=lambda name: "/usr/bin/" + name))[0].level == "ok"
    assert of(doctor.virtual, replace(BARE, platform="darwin")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for a browser is a shell script")
def test_a_browser_that_is_missing_or_does_not_start_is_an_error(tmp_path: Path) -> None:
    (finding,) = of(doctor.chromium, replace(BARE, environ={"PIXELHAND_CHROME": str(tmp_path / "none")}))
    assert finding.level == "error"
    assert "playwright install chromium" in finding.fix
    program = tmp_path / "chrome"
    for body, level in (("exit 3", "error"), ("echo Chromium 9.8", "ok")):
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        finding = of(doctor.chromium, replace(BARE, environ={"PIXELHAND_CHROME": str(program)}))[0]
        assert finding.level == level
    assert "Chromium 9.8" in finding.message


def test_little_shared_memory_is_a_warning(tmp_path: Path) -> None:
    program = tmp_path / "chrome"
    program.write_text("#!/bin/sh\necho Chromium\n")
    program.chmod(0o755)
    small = types.SimpleNamespace(total=64e6, free=64e6)
    machine = replace(BARE, environ={"PIXELHAND_CHROME": str(program)}, disk=lambda path: small)
    if not Path("/dev/shm").is_dir():
        pytest.skip("this machine has no /dev/shm")
    assert [(one.name, one.level) for one in of(doctor.chromium, machine)][1] == ("shared memory", "warning")


# adb: a server that speaks the real protocol's few words


@pytest.fixture
def adb_server() -> Iterator[Callable[..., Host]]:
    """Start one with these devices and answers of their shells; gives the machine that has it."""
    listener = socket.create_server(("127.0.0.1", 0))
    devices: dict[str, str] = {}
    shell: dict[str, str] = {}

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                while head := line.recv(4):
                    service = line.recv(int(head, 16)).decode()
                    if service == "host:version":
                        line.sendall(b"OKAY" + b"00040029")
                        break
                    if service == "host:devices":
                        text = "".join(f"{serial}\t{state}\n" for serial, state in devices.items()).encode()
                        line.sendall(b"OKAY" + b"%04x" % len(text) + text)
                        break
                    line.sendall(b"OKAY")
                    if service.startswith("shell:"):
                        answer = next((said for part, said in shell.items() if part in service), "")
                        line.sendall(answer.encode() + b"\n")
                        break

    threading.Thread(target=serve, daemon=True).start()

    def machine(found: dict[str, str], **answers: str) -> Host:
        devices.update(found)
        shell.update(answers)
        port = str(listener.getsockname()[1])
        return replace(BARE, environ={"ANDROID_ADB_SERVER_PORT": port}, which=lambda name: "/usr/bin/" + name)

    yield machine
    listener.close()


def test_adb_and_its_server() -> None:
    assert "apt-get install adb" in of(doctor.adb, BARE)[0].fix
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    machine = replace(BARE, environ={"ANDROID_ADB_SERVER_PORT": port}, which=lambda name: "/usr/bin/" + name)
    (finding,) = of(doctor.adb, machine)
    assert finding.level == "ok"
    assert "not running" in finding.message
    brought = replace(machine, which=lambda name: None, brought_adb=lambda: "/site/adb")
    assert of(doctor.adb, brought)[0].message.startswith("/site/adb; its server is not running")


def test_devices_their_keyboard_and_rotation(adb_server: Any) -> None:
    # What the display says counts: the setting user_rotation is only a wish, and a phone that turns by itself has none.
    shown = "x" * 300 + "DisplayViewport{type=INTERNAL, orientation=1, logicalFrame=Rect(0, 0 - 2400, 1080)}"
    answers = {"default_input_method": "com.x/.Ime", "dumpsys display": shown, "user_rotation": "0", "model": "Pixel 9"}
    machine = adb_server({"R5": "device"}, **answers)
    server, device, keyboard = of(doctor.adb, machine)
    assert "protocol 41" in server.message
    assert (device.name, device.message) == ("device R5", "Pixel 9, turned to the left")
    assert (keyboard.level, keyboard.message) == ("ok", "com.x/.Ime")


def test_a_keyboard_that_was_left_switched_is_told_with_its_remedy(adb_server: Any) -> None:
    keyboard = of(doctor.adb, adb_server({"R5": "device"}, default_input_method="com.android.adbkeyboard/.AdbIME"))[-1]
    assert keyboard.level == "warning"
    assert keyboard.fix == "adb -s R5 shell ime reset"


@pytest.mark.parametrize(
    ("serial", "state", "mend"),
    [
        ("R5", "unauthorized", "allow this computer"),
        ("R5", "offline", "adb -s R5 reconnect"),
        ("192.168.1.9:5555", "device", "adb disconnect 192.168.1.9:5555"),
    ],
)
def test_devices_in_trouble(adb_server: Any, serial: str, state: str, mend: str) -> None:
    findings = of(doctor.adb, adb_server({serial: state}))
    assert findings[1].level == "warning"
    assert mend in findings[1].fix


def test_no_device_points_to_the_simulated_one(adb_server: Any) -> None:
    assert "agent phone" in of(doctor.adb, adb_server({}))[-1].message


# memory, models, disk


@pytest.mark.parametrize(
    ("available", "total", "level"), [(0.5e9, 8e9, "error"), (4e9, 8e9, "warning"), (30e9, 64e9, "ok")]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, available: float, total: float, level: str) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=available, total=total))
    assert of(doctor.memory, BARE)[0].level == level


def test_models_on_the_disk_are_named_by_their_files(tmp_path: Path) -> None:
    machine = replace(BARE, environ={"HF_HOME": str(tmp_path)})
    assert of(doctor.models, machine)[1].level == "warning"
    for name, whole in (("models--a--ours", True), ("models--b--half", False)):
        folder = tmp_path / "hub" / name / "snapshots" / "f00"
        folder.mkdir(parents=True)
        (folder / ("model.safetensors" if whole else "config.json")).write_bytes(b"")
    finding = of(doctor.models, machine)[1]
    assert finding.level == "ok"
    assert "a/ours" in finding.message
    assert "b/half" not in finding.message


def test_the_embedded_model_that_comes_with_this_package_is_found() -> None:
    assert of(doctor.models, BARE)[0] == Finding(
        "embedded", "ok", "the embedded model is here; it knows practice pages"
    )


def test_weights_in_several_files_count_only_when_all_are_there(tmp_path: Path) -> None:
    machine = replace(BARE, environ={"HF_HOME": str(tmp_path)})
    folder = tmp_path / "hub" / "models--a--ours" / "snapshots" / "f00"
    folder.mkdir(parents=True)
    index = folder / "model.safetensors.index.json"
    for content in (b"", b"[]", b'{"weight_map": {}}', b'{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}'):
        index.write_bytes(content)
        (folder / "1.safetensors").write_bytes(b"")
        assert of(doctor.models, machine)[1].level == "warning", content
    (folder / "2.safetensors").write_bytes(b"")
    assert "a/ours" in of(doctor.models, machine)[1].message


@pytest.mark.parametrize(
    ("free", "levels"), [(0.2e9, ["error", "warning"]), (9e9, ["ok", "warning"]), (90e9, ["ok", "ok"])]
)
def test_disk(tmp_path: Path, free: float, levels: list[str]) -> None:
    environ = {"PIXELHAND_RUNS": str(tmp_path / "not" / "there"), "HF_HOME": str(tmp_path)}
    machine = replace(BARE, environ=environ, disk=lambda path: types.SimpleNamespace(free=free, total=free))
    assert [finding.level for finding in of(doctor.disk, machine)] == levels


# the report


def test_a_check_that_fails_by_itself_does_not_end_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(machine: Host) -> Iterator[Finding]:
        yield Finding("first", "ok", "fine")
        raise ZeroDivisionError("a bug")

    def ours(machine: Host) -> Iterator[Finding]:
        raise UsageError("no way")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (bug, ours, doctor.python))
    assert [(one.name, one.level) for one in run_checks(BARE)] == [
        ("first", "ok"),
        ("bug", "warning"),
        ("ours", "error"),
        ("python", "ok"),
    ]


@pytest.mark.parametrize(
    ("levels", "code", "verdict"), [(["ok", "warning"], 0, "warning"), (["ok", "error", "warning"], 1, "error")]
)
def test_the_command_exits_with_1_on_an_error_alone(
    monkeypatch: pytest.MonkeyPatch, levels: list[str], code: int, verdict: str
) -> None:
    from typer.testing import CliRunner

    from envs.doctor_cli import app

    findings = [Finding(f"n{number}", level, "so", "do this") for number, level in enumerate(levels)]
    monkeypatch.setattr(doctor, "run_checks", lambda machine: iter(findings))
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == code
    report = json.loads(result.output)
    assert report["verdict"] == verdict
    assert [one["level"] for one in report["findings"]] == levels
    plain = CliRunner().invoke(app, [])
    assert plain.exit_code == code
    assert plain.output.count("mend: do this") == len(levels) - 1


# the self-tests


class Canvas:
    """An easel and the surface that shows it: what is clicked arrives `off` pixels to the right."""

    def __init__(self, off: int = 0, width: int = 400, height: int = 300) -> None:
        self.pixels = np.full((height, width, 3), 255, np.uint8)
        self.off, self.typed, self.garble = off, "", lambda text: text
        self.middles: dict[str, tuple[int, int]] = {}
        self.last: PointerEvent | None = None

    def paint(self, painted: list[Marker]) -> None:
        height, width = self.pixels.shape[:2]
        for one in painted:
            x, y = round(one.x * width), round(one.y * height)
            self.middles[one.colour] = x, y
            half = SIDE // 2
            self.pixels[y - half : y + half + 1, x - half : x + half + 1] = COLOURS[one.colour]

    def touched(self) -> PointerEvent | None:
        return self.last

    def field(self) -> None:
        self.typed = ""

    def text(self) -> str:
        return self.typed

    def capture(self) -> Screen:
        return Screen(self.pixels.copy())

    def perform(self, action: Any) -> str:
        if isinstance(action, TypeText):
            self.typed += self.garble(action.text)
            return ""
        x, y = action.x + self.off, action.y
        colour = min(self.middles, key=lambda one: abs(self.middles[one][0] - x) + abs(self.middles[one][1] - y))
        self.last = PointerEvent(colour, x - self.middles[colour][0], y - self.middles[colour][1], True)
        return ""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    import envs.calibration.target

    monkeypatch.setattr(envs.calibration.target, "shown", partial(envs.calibration.target.shown, within_s=0.0))
    real = doctor.settled
    monkeypatch.setattr(doctor, "settled", lambda ask, enough: real(ask, enough, 0.0))


@pytest.mark.parametrize(("off", "level"), [(0, "ok"), (1, "ok"), (2, "error"), (-60, "error")])
def test_clicks_beside_their_target_are_an_error(off: int, level: str, hasty: None) -> None:
    canvas = Canvas(off)
    assert doctor.pointer_test(canvas, canvas).level == level


def test_a_window_that_is_not_in_the_picture_is_an_error(hasty: None) -> None:
    canvas = Canvas()
    canvas.paint = lambda painted: None  # type: ignore[method-assign]
    finding = doctor.pointer_test(canvas, canvas)
    assert finding.level == "error"
    assert "red, blue" in finding.message


def test_a_text_that_arrives_otherwise_is_an_error(hasty: None) -> None:
    canvas = Canvas()
    assert doctor.typing_test(canvas, canvas).level == "ok"
    canvas.garble = lambda text: text.replace("<", ">")
    assert doctor.typing_test(canvas, canvas).level == "error"


def test_a_square_is_found_among_other_things_of_its_colour() -> None:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[5:8, 5:200] = COLOURS["red"]  # a line
    pixels[150:153, 20:23] = COLOURS["red"]  # a dot
    pixels[60:75, 100:115] = COLOURS["red"]
    seen = detect_marker(Screen(pixels), "red")
    assert seen is not None
    assert (seen.x, seen.y, seen.scale) == (107, 67, 1.0)
    pixels[60:75, 108] = 255
    assert detect_marker(Screen(pixels), "red") is None
    assert detect_marker(Screen(pixels), "blue") is None


@pytest.fixture
def xvfb(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A display of our own, without a window manager."""
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is missing: apt-get install xvfb")
    pytest.importorskip("tkinter", reason="tkinter is missing: apt-get install python3-tk")
    line = ["Xvfb", "-displayfd", "1", "-screen", "0", "900x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        number = server.stdout.readline().strip()
        assert number.isdigit(), "Xvfb did not start"
        monkeypatch.setenv("DISPLAY", f":{number}")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
        yield f":{number}"
    finally:
        server.kill()
        server.wait()


def test_on_a_real_display_pointer_and_typing_are_tried_in_a_window_of_its_own(xvfb: str) -> None:
    findings = {finding.name: finding for finding in doctor.display(Host())}
    assert list(findings) == ["display", "monitor 1", "pointer", "typing"]
    assert "900x600 at (0, 0), primary" in findings["monitor 1"].message
    assert all(finding.level == "ok" for finding in findings.values()), findings
    assert "within 0.0 pixels" in findings["pointer"].message
