"""Checks of displays, browsers and devices on machines that lack something, and self-tests that fail."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actions import Action, Screen, TypeText
from actions.doctor import Finding
from envs import doctor
from envs.calibration import target
from envs.calibration.target import COLORS, SIDE, Marker, PointerEvent, detect_marker
from envs.doctor import DeviceHost


@dataclass(frozen=True)
class FakeHost(DeviceHost):
    """A machine whose adbutils ships this adb program."""

    adb: str = field(default="")

    def bundled_adb(self) -> str:
        return self.adb


BARE = FakeHost(environ={}, platform="linux", which=lambda name: None, act=False)


def findings_of(check: Callable[[DeviceHost], Iterator[Finding]], host: DeviceHost) -> list[Finding]:
    return list(check(host))


def test_old_python_is_error() -> None:
    assert findings_of(doctor.check_python, replace(BARE, version=(3, 10, 2)))[0].level == "error"
    assert findings_of(doctor.check_python, replace(BARE, version=(3, 11, 0)))[0].level == "ok"


@pytest.mark.parametrize(
    ("environ", "level", "text"),
    [
        ({}, "warning", "DISPLAY is not set"),
        ({"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"}, "warning", "Wayland"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "warning", "Wayland"),
    ],
)
def test_unusable_display_names_alternative(environ: dict[str, str], level: str, text: str) -> None:
    (finding,) = findings_of(doctor.check_display, replace(BARE, environ=environ))
    assert finding.level == level
    assert text in finding.message
    assert "--surface desktop:virtual" in finding.fix


def test_unreachable_display_is_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9876")
    (finding,) = findings_of(doctor.check_display, replace(BARE, environ={"DISPLAY": ":9876"}))
    assert finding.level == "error"
    assert finding.fix


def test_missing_virtual_desktop_programs_are_named() -> None:
    (finding,) = findings_of(doctor.check_virtual, BARE)
    assert finding.level == "warning"
    assert finding.fix == "apt-get install xvfb jwm"
    for manager in ("openbox", "jwm"):  # one is enough, as for the desktop itself
        has = replace(BARE, which=lambda name, manager=manager: name if name in ("Xvfb", manager) else None)
        assert (
            findings_of(doctor.check_virtual, has)[0].level,
            manager in findings_of(doctor.check_virtual, has)[0].message,
        ) == ("ok", True)
    assert findings_of(doctor.check_virtual, replace(BARE, which=lambda name: "/usr/bin/" + name))[0].level == "ok"
    assert findings_of(doctor.check_virtual, replace(BARE, platform="darwin")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for a browser is a shell script")
def test_missing_or_broken_browser_is_error(tmp_path: Path) -> None:
    (finding,) = findings_of(doctor.check_chromium, replace(BARE, environ={"PIXELHAND_CHROME": str(tmp_path / "none")}))
    assert finding.level == "error"
    assert "playwright install chromium" in finding.fix
    program = tmp_path / "chrome"
    for body, level in (("exit 3", "error"), ("echo Chromium 9.8", "ok")):
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        finding = findings_of(doctor.check_chromium, replace(BARE, environ={"PIXELHAND_CHROME": str(program)}))[0]
        assert finding.level == level
    assert "Chromium 9.8" in finding.message


def test_small_shared_memory_is_warning(tmp_path: Path) -> None:
    program = tmp_path / "chrome"
    program.write_text("#!/bin/sh\necho Chromium\n")
    program.chmod(0o755)
    small = types.SimpleNamespace(total=64e6, free=64e6)
    host = replace(BARE, environ={"PIXELHAND_CHROME": str(program)}, disk=lambda path: small)
    if not Path("/dev/shm").is_dir():
        pytest.skip("this machine has no /dev/shm")
    assert [(finding.name, finding.level) for finding in findings_of(doctor.check_chromium, host)][1] == (
        "shared memory",
        "warning",
    )


# adb


@pytest.fixture
def adb_server() -> Iterator[Callable[..., DeviceHost]]:
    """Serve devices and the output of their shells; return a function that adds them and returns the host."""
    listener = socket.create_server(("127.0.0.1", 0))
    devices: dict[str, str] = {}
    shell: dict[str, str] = {}

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while head := connection.recv(4):
                    service = connection.recv(int(head, 16)).decode()
                    if service == "host:version":
                        connection.sendall(b"OKAY" + b"00040029")
                        break
                    if service == "host:devices":
                        text = "".join(f"{serial}\t{state}\n" for serial, state in devices.items()).encode()
                        connection.sendall(b"OKAY" + b"%04x" % len(text) + text)
                        break
                    connection.sendall(b"OKAY")
                    if service.startswith("shell:"):
                        output = next((text for part, text in shell.items() if part in service), "")
                        connection.sendall(output.encode() + b"\n")
                        break

    threading.Thread(target=serve, daemon=True).start()

    def add(states: dict[str, str], **outputs: str) -> DeviceHost:
        devices.update(states)
        shell.update(outputs)
        port = str(listener.getsockname()[1])
        return replace(BARE, environ={"ANDROID_ADB_SERVER_PORT": port}, which=lambda name: "/usr/bin/" + name)

    yield add
    listener.close()


def test_adb_without_server_is_ok() -> None:
    assert "apt-get install adb" in findings_of(doctor.check_adb, BARE)[0].fix
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    host = replace(BARE, environ={"ANDROID_ADB_SERVER_PORT": port}, which=lambda name: "/usr/bin/" + name)
    (finding,) = findings_of(doctor.check_adb, host)
    assert finding.level == "ok"
    assert "not running" in finding.message
    bundled = replace(host, which=lambda name: None, adb="/site/adb")
    assert findings_of(doctor.check_adb, bundled)[0].message.startswith("/site/adb; its server is not running")


def test_device_reports_rotation_and_keyboard(adb_server: Any) -> None:
    # The display's rotation counts: the setting user_rotation is a request, and absent on auto-rotating phones.
    dumpsys = "x" * 300 + "DisplayViewport{type=INTERNAL, orientation=1, logicalFrame=Rect(0, 0 - 2400, 1080)}"
    outputs = {
        "default_input_method": "com.x/.Ime",
        "dumpsys display": dumpsys,
        "user_rotation": "0",
        "model": "Pixel 9",
    }
    host = adb_server({"R5": "device"}, **outputs)
    server, device, keyboard = findings_of(doctor.check_adb, host)
    assert "protocol 41" in server.message
    assert (device.name, device.message) == ("device R5", "Pixel 9, turned to the left")
    assert (keyboard.level, keyboard.message) == ("ok", "com.x/.Ime")


def test_leftover_keyboard_has_fix(adb_server: Any) -> None:
    keyboard = findings_of(
        doctor.check_adb, adb_server({"R5": "device"}, default_input_method="com.android.adbkeyboard/.AdbIME")
    )[-1]
    assert keyboard.level == "warning"
    assert keyboard.fix == "adb -s R5 shell ime reset"


@pytest.mark.parametrize(
    ("serial", "state", "fix"),
    [
        ("R5", "unauthorized", "allow this computer"),
        ("R5", "offline", "adb -s R5 reconnect"),
        ("192.168.1.9:5555", "device", "adb disconnect 192.168.1.9:5555"),
    ],
)
def test_unusable_device_has_fix(adb_server: Any, serial: str, state: str, fix: str) -> None:
    findings = findings_of(doctor.check_adb, adb_server({serial: state}))
    assert findings[1].level == "warning"
    assert fix in findings[1].fix


def test_no_device_suggests_agent_phone(adb_server: Any) -> None:
    assert "agent phone" in findings_of(doctor.check_adb, adb_server({}))[-1].message


# the self-tests


class FakeTarget:
    """A target and its surface in one; clicks arrive `offset` pixels to the right."""

    name = "fake"

    def __init__(self, offset: int = 0, width: int = 400, height: int = 300) -> None:
        self.pixels = np.full((height, width, 3), 255, np.uint8)
        self.offset, self.typed, self.garble = offset, "", lambda text: text
        self.middles: dict[str, tuple[int, int]] = {}
        self.event: PointerEvent | None = None

    def paint(self, markers: Sequence[Marker], background: target.Rgb = (255, 255, 255), side: int = SIDE) -> None:
        height, width = self.pixels.shape[:2]
        for marker in markers:
            x, y = round(marker.x * width), round(marker.y * height)
            self.middles[marker.color] = x, y
            half = SIDE // 2
            self.pixels[y - half : y + half + 1, x - half : x + half + 1] = COLORS[marker.color]

    def last_pointer_event(self) -> PointerEvent | None:
        return self.event

    def field(self) -> None:
        self.typed = ""

    def text(self) -> str:
        return self.typed

    def capture(self) -> Screen:
        return Screen(self.pixels.copy())

    def perform(self, action: Action) -> str:
        if isinstance(action, TypeText):
            self.typed += self.garble(action.text)
            return ""
        point = action.points()[0]
        x, y = point.x + self.offset, point.y
        color = min(self.middles, key=lambda name: abs(self.middles[name][0] - x) + abs(self.middles[name][1] - y))
        self.event = PointerEvent(color, x - self.middles[color][0], y - self.middles[color][1], True)
        return ""


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "wait_for_markers", partial(target.wait_for_markers, timeout_s=0.0))
    monkeypatch.setattr(doctor, "wait_for", partial(target.wait_for, timeout_s=0.0))


@pytest.mark.parametrize(("offset", "level"), [(0, "ok"), (1, "ok"), (2, "error"), (-60, "error")])
def test_misplaced_clicks_are_error(offset: int, level: str, no_wait: None) -> None:
    fake = FakeTarget(offset)
    assert doctor.pointer_test(fake, fake).level == level


def test_missing_markers_are_error(no_wait: None) -> None:
    fake = FakeTarget()
    fake.paint = lambda markers: None  # type: ignore[method-assign]
    finding = doctor.pointer_test(fake, fake)
    assert finding.level == "error"
    assert "red, blue" in finding.message


def test_altered_text_is_error(no_wait: None) -> None:
    fake = FakeTarget()
    assert doctor.typing_test(fake, fake).level == "ok"
    fake.garble = lambda text: text.replace("<", ">")
    assert doctor.typing_test(fake, fake).level == "error"


def test_marker_is_detected_among_other_shapes() -> None:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[5:8, 5:200] = COLORS["red"]  # a line
    pixels[150:153, 20:23] = COLORS["red"]  # a dot
    pixels[60:75, 100:115] = COLORS["red"]
    marker = detect_marker(Screen(pixels), "red")
    assert marker is not None
    assert (marker.x, marker.y, marker.scale) == (107, 67, 1.0)
    pixels[60:75, 108] = 255
    assert detect_marker(Screen(pixels), "red") is None
    assert detect_marker(Screen(pixels), "blue") is None


@pytest.fixture
def xvfb(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a display without a window manager and return its name."""
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


def test_self_test_passes_on_real_display(xvfb: str) -> None:
    findings = {finding.name: finding for finding in doctor.check_display(DeviceHost())}
    assert list(findings) == ["display", "monitor 1", "pointer", "typing"]
    assert "900x600 at (0, 0), primary" in findings["monitor 1"].message
    assert all(finding.level == "ok" for finding in findings.values()), findings
    assert "within 0.0 pixels" in findings["pointer"].message


@pytest.mark.parametrize(("free", "level"), [(0.2e9, "error"), (1.5e9, "warning"), (9e9, "ok")])
def test_disk_space_for_runs(tmp_path: Path, free: float, level: str) -> None:
    environ = {"PIXELHAND_RUNS": str(tmp_path / "not" / "there")}
    host = replace(BARE, environ=environ, disk=lambda path: types.SimpleNamespace(free=free, total=free))
    assert [finding.level for finding in findings_of(doctor.check_disk, host)] == [level]
