"""The simulated phone as adb, adbutils and raw protocol messages see it."""

from __future__ import annotations

import io
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from adbutils import AdbClient, AdbDevice, AdbError
from helpers.adb_server import Adb
from helpers.eventually import eventually
from PIL import Image

from actions import UsageError
from envs.simulators.android.adb_protocol import (
    CLSE,
    CNXN,
    HEADER,
    MAX_PAYLOAD,
    OKAY,
    OPEN,
    VERSION,
    Message,
    pack_message,
)
from envs.simulators.android.faults import parse_fault
from envs.simulators.android.phone import SimulatedPhone


@pytest.fixture
def device(phone: SimulatedPhone, adb: Adb) -> AdbDevice:
    return AdbClient(port=adb.port).device(phone.address)


def test_adb_lists_the_phone(phone: SimulatedPhone, adb: Adb) -> None:
    listing = adb("devices", "-l")
    assert f"{phone.address}        device product:pixelhand_sim model:Simulated_phone" in listing


def test_adb_shell_runs_commands(phone: SimulatedPhone, adb: Adb) -> None:
    words = ("echo", "a", "'b  c'", "&&", "getprop ro.build.version.sdk")
    assert adb("-s", phone.address, "shell", *words) == "a b  c\n34\n"


def test_adb_shell_returns_exit_status(phone: SimulatedPhone, adb: Adb) -> None:
    command = ["adb", "-s", phone.address, "shell", "nosuch"]
    process = subprocess.run(command, env=adb.environ, capture_output=True)
    assert process.returncode == 127
    assert b"nosuch: inaccessible or not found" in process.stderr


def test_adb_pushes_and_pulls_files(phone: SimulatedPhone, adb: Adb, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "up").write_bytes(data)
    adb("-s", phone.address, "push", str(tmp_path / "up"), "/sdcard/a b.bin")
    adb("-s", phone.address, "pull", "/sdcard/a b.bin", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    assert adb("-s", phone.address, "shell", "ls", "/sdcard") == "a b.bin\n"


def test_adb_takes_a_screenshot(phone: SimulatedPhone, adb: Adb) -> None:
    command = ["adb", "-s", phone.address, "exec-out", "screencap", "-p"]
    png = subprocess.run(command, env=adb.environ, capture_output=True, timeout=60).stdout
    assert Image.open(io.BytesIO(png)).size == (540, 1080)


def test_adbutils_reads_screen_and_properties(device: AdbDevice) -> None:
    assert device.screenshot(error_ok=False).size == (540, 1080)
    assert tuple(device.window_size()) == (540, 1080)
    assert device.rotation() == 0
    assert device.getprop("ro.product.model") == "Simulated phone"


def test_adbutils_starts_apps(device: AdbDevice) -> None:
    assert "org.pixelhand.notes" in device.list_packages()
    device.app_start("org.pixelhand.notes", ".MainActivity")
    assert device.app_current().package == "org.pixelhand.notes"


def test_adbutils_runs_shell_commands(device: AdbDevice) -> None:
    assert device.shell2("false").returncode == 1
    assert device.shell2(["echo", "a'b; c"], v2=True).stdout == "a'b; c\n"


def test_adbutils_transfers_files(device: AdbDevice) -> None:
    device.sync.push(io.BytesIO(b"here"), "/data/local/tmp/x")
    assert device.sync.read_bytes("/data/local/tmp/x") == b"here"
    assert device.sync.exists("/data/local/tmp/x")
    assert not device.sync.exists("/data/local/tmp/y")


def test_truncated_screenshot_fails_in_adbutils(phone: SimulatedPhone, device: AdbDevice) -> None:
    phone.fault("truncated:-1")
    with pytest.raises((AdbError, OSError)):
        device.screenshot(error_ok=False).load()


def test_rotation_is_in_screenshot_and_dump(phone: SimulatedPhone, device: AdbDevice) -> None:
    phone.fault("rotate:1")
    assert device.rotation() == 1
    assert device.screenshot(error_ok=False).size == (1080, 540)


def test_switch_in_settings_app_changes_setting(phone: SimulatedPhone, device: AdbDevice) -> None:
    device.app_start("org.pixelhand.settings", ".MainActivity")
    position = phone.evaluate(
        "(() => { const r = document.getElementById('global airplane_mode_on').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    assert isinstance(position, list)
    x, y = position
    device.click(int(x * 1.5), int(y * 1.5))
    eventually(lambda: device.shell("settings get global airplane_mode_on") == "1")


@pytest.mark.parametrize(
    "line", ["echo $(id)", "echo `id`", "echo $HOME", "echo a | cat", "echo a > /sdcard/b", "echo 'a"]
)
def test_shell_refuses_substitutions(device: AdbDevice, line: str) -> None:
    assert device.shell2(line, v2=True).returncode == 2


def test_shell_supports_quotes_and_sequences(device: AdbDevice) -> None:
    line = "echo \"a  b\" 'c' d\\ e; false || echo $?"
    assert device.shell2(line, v2=True).stdout == "a  b c d e\n1\n"


def test_input_text_behaves_as_on_android(device: AdbDevice) -> None:
    assert "NullPointerException" in device.shell(["input", "text", "é"])
    assert device.shell(["input", "text", "a%sb"]) == ""
    assert "Unknown command" in device.shell(["input", "fly"])


def exchange(phone: SimulatedPhone, *messages: bytes) -> list[Message]:
    """Send raw bytes and return the phone's messages until it closes the stream or the connection."""
    connection = socket.create_connection(("127.0.0.1", phone.port), 5)
    connection.settimeout(5)
    for message in messages:
        connection.sendall(message)
    received: list[Message] = []
    with connection, connection.makefile("rb") as file:
        while header := file.read(HEADER.size):
            command, arg0, arg1, length, _, _ = HEADER.unpack(header)
            received.append(Message(command, arg0, arg1, file.read(length)))
            if command == CLSE:
                break
    return received


def test_unknown_service_is_closed(phone: SimulatedPhone) -> None:
    hello = pack_message(Message(CNXN, VERSION, MAX_PAYLOAD, b"host::"))
    replies = exchange(phone, hello, pack_message(Message(OPEN, 7, 0, b"reboot:\0")))
    assert [reply.command for reply in replies] == [CNXN, CLSE]
    assert replies[0].data.startswith(b"device::ro.product.name=pixelhand_sim;")
    assert replies[1].arg1 == 7


def test_invalid_message_closes_only_its_connection(phone: SimulatedPhone, device: AdbDevice) -> None:
    assert exchange(phone, b"GET / HTTP/1.1\r\nHost: phone\r\n\r\n") == []
    assert exchange(phone, struct.pack("<6I", OKAY, 0, 0, 2**31, 0, OKAY ^ 0xFFFFFFFF)) == []
    assert device.shell("echo here") == "here"


@pytest.mark.parametrize(
    ("text", "fault"), [("offline:5", ("offline", 5.0)), ("black", ("black", 1.0)), (" slow 0.5 ", ("slow", 0.5))]
)
def test_parse_fault(text: str, fault: tuple[str, float]) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["ofline", "black:many", ""])
def test_parse_fault_refuses_others(text: str) -> None:
    with pytest.raises(UsageError, match="fault"):
        parse_fault(text)
