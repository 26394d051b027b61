"""The simulated phone as others see it: the adb program, and adbutils' own calls."""

from __future__ import annotations

import io
import socket
import struct
import subprocess

import pytest
from adbutils import AdbClient, AdbError
from PIL import Image

from actions import UsageError
from envs.simulators.android.adb_protocol import CLSE, CNXN, HEADER, MAX_PAYLOAD, OKAY, OPEN, VERSION, Message, packed
from envs.simulators.android.faults import read_fault


@pytest.fixture
def device(fresh, adb):
    return AdbClient(port=adb.port).device(fresh.address)


def test_adb_lists_it_and_speaks_to_its_shell(fresh, adb):
    assert f"{fresh.address}        device product:pixelhand_sim model:Simulated_phone" in " ".join(
        adb("devices", "-l").split("\n")
    )
    assert (
        adb("-s", fresh.address, "shell", "echo", "a", "'b  c'", "&&", "getprop ro.build.version.sdk") == "a b  c\n34\n"
    )


def test_adb_knows_a_commands_status(fresh, adb):
    ran = subprocess.run(["adb", "-s", fresh.address, "shell", "nosuch"], env=adb.environ, capture_output=True)
    assert ran.returncode == 127 and b"nosuch: inaccessible or not found" in ran.stderr


def test_adb_pushes_and_pulls_files(fresh, adb, tmp_path):
    data = bytes(range(256)) * 1000
    (tmp_path / "up").write_bytes(data)
    adb("-s", fresh.address, "push", str(tmp_path / "up"), "/sdcard/a b.bin")
    adb("-s", fresh.address, "pull", "/sdcard/a b.bin", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    assert adb("-s", fresh.address, "shell", "ls", "/sdcard") == "a b.bin\n"


def test_adb_takes_a_picture(fresh, adb):
    png = subprocess.run(
        ["adb", "-s", fresh.address, "exec-out", "screencap", "-p"], env=adb.environ, capture_output=True, timeout=60
    ).stdout
    assert Image.open(io.BytesIO(png)).size == (540, 1080)


def test_adbutils_own_calls_work(fresh, device):
    assert device.screenshot(error_ok=False).size == (540, 1080)
    assert tuple(device.window_size()) == (540, 1080) and device.rotation() == 0
    assert device.getprop("ro.product.model") == "Simulated phone"
    assert "org.pixelhand.notes" in device.list_packages()
    device.app_start("org.pixelhand.notes", ".MainActivity")
    assert device.app_current().package == "org.pixelhand.notes"
    assert device.shell2("false").returncode == 1
    assert device.shell2(["echo", "a'b; c"], v2=True).stdout == "a'b; c\n"
    device.sync.push(io.BytesIO(b"here"), "/data/local/tmp/x")
    assert device.sync.read_bytes("/data/local/tmp/x") == b"here"
    assert device.sync.exists("/data/local/tmp/x") and not device.sync.exists("/data/local/tmp/y")


def test_adbutils_stands_in_a_black_picture_which_we_never_ask_for(fresh, device):
    fresh.fault("truncated:-1")
    with pytest.raises((AdbError, OSError)):
        device.screenshot(error_ok=False).load()


def test_its_rotation_shows_in_picture_and_dump(fresh, device):
    fresh.fault("rotate:1")
    assert device.rotation() == 1 and device.screenshot(error_ok=False).size == (1080, 540)


def test_a_switch_in_its_settings_is_a_setting_of_the_system(fresh, device):
    device.app_start("org.pixelhand.settings", ".MainActivity")
    x, y = fresh.evaluate(
        "(() => { const r = document.getElementById('global airplane_mode_on').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    device.click(int(x * 1.5), int(y * 1.5))
    for _ in range(100):
        if device.shell("settings get global airplane_mode_on") == "1":
            break
    assert device.shell("settings get global airplane_mode_on") == "1"


def test_its_shell_substitutes_nothing(fresh, device):
    for line in ("echo $(id)", "echo `id`", "echo $HOME", "echo a | cat", "echo a > /sdcard/b", "echo 'a"):
        assert device.shell2(line, v2=True).returncode == 2, line
    assert device.shell2("echo \"a  b\" 'c' d\\ e; false || echo $?", v2=True).stdout == "a  b c d e\n1\n"


def test_input_text_is_as_on_android(fresh, device):
    assert "NullPointerException" in device.shell(["input", "text", "é"])
    assert device.shell(["input", "text", "a%sb"]) == ""
    assert "Unknown command" in device.shell(["input", "fly"])


def _ask(fresh, *messages):
    line = socket.create_connection(("127.0.0.1", fresh.port), 5)
    line.settimeout(5)
    for message in messages:
        line.sendall(message)
    with line, line.makefile("rb") as answers:
        found = []
        while header := answers.read(HEADER.size):
            command, arg0, arg1, length, _, _ = HEADER.unpack(header)
            found.append(Message(command, arg0, arg1, answers.read(length)))
            if command == CLSE:
                break
        return found


def test_an_unknown_service_is_closed(fresh):
    hello = packed(Message(CNXN, VERSION, MAX_PAYLOAD, b"host::"))
    answers = _ask(fresh, hello, packed(Message(OPEN, 7, 0, b"reboot:\0")))
    assert [answer.command for answer in answers] == [CNXN, CLSE] and answers[1].arg1 == 7
    assert answers[0].data.startswith(b"device::ro.product.name=pixelhand_sim;")


def test_what_is_no_adb_message_ends_the_line_and_not_the_phone(fresh, device):
    assert _ask(fresh, b"GET / HTTP/1.1\r\nHost: phone\r\n\r\n") == []
    assert _ask(fresh, struct.pack("<6I", OKAY, 0, 0, 2**31, 0, OKAY ^ 0xFFFFFFFF)) == []
    assert device.shell("echo here") == "here"


@pytest.mark.parametrize(
    ("text", "fault"), [("offline:5", ("offline", 5.0)), ("black", ("black", 1.0)), (" slow 0.5 ", ("slow", 0.5))]
)
def test_faults_are_read(text, fault):
    assert read_fault(text) == fault


@pytest.mark.parametrize("text", ["ofline", "black:many", ""])
def test_what_is_no_fault_is_said(text):
    with pytest.raises(UsageError, match="fault"):
        read_fault(text)
