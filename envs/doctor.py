"""Checks of what screens need: Python, a display, a browser, adb and disk space for runs.

The checks change nothing. Only the self-test acts: it moves the pointer and types within a window of its own.
"""

from __future__ import annotations

import platform
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actions import Surface, UsageError, doctor, make_action
from actions.doctor import Finding, Host
from actions.errors import Error
from envs.calibration.target import CalibrationTarget, default_markers, wait_for, wait_for_markers

MIN_PYTHON = (3, 11)
ADB_PORT = 5037
GB = 1e9
MAX_OFFSET_PX = 1.0  # between the pixel that was clicked and the pixel that was hit
TYPING_SAMPLE = "aZ 7 <>&|;$\"'\\ żółć 你好 Привет مرحبا é"  # characters that keyboard emulation gets wrong
AUTOMATION_KEYBOARDS = ("com.android.adbkeyboard/.AdbIME", "com.github.uiautomator/.AdbKeyboard")
WINDOW_GEOMETRY = (80, 80, 520, 360)  # left, top, width, height of the self-test's window
ROTATIONS = ("upright", "turned to the left", "upside down", "turned to the right")
DEVICE_FIXES = {  # of a device's state
    "unauthorized": "unlock the phone and allow this computer there",
    "no permissions": "apt-get install android-sdk-platform-tools-common, which has the udev rules",
}


@dataclass(frozen=True)
class DeviceHost(Host):
    """The machine to check. act: the self-test may move the pointer and type."""

    act: bool = True

    def bundled_adb(self) -> str:
        """Return the adb program that adbutils ships on some systems, "" if there is none."""
        from adbutils import adb_path

        with suppress(Exception):  # AdbError, and whatever a program that cannot be started raises
            return str(adb_path())
        return ""


class TypingTarget(Protocol):
    """A calibration target with a text field."""

    def field(self) -> None:
        """Show the text field and focus it."""
        ...

    def text(self) -> str:
        """Return the text in the field."""
        ...


def run_checks(host: DeviceHost | None = None) -> Iterator[Finding]:
    """Yield all findings in the order of the report."""
    return doctor.run_checks(CHECKS, host or DeviceHost())


def check_python(host: DeviceHost) -> Iterator[Finding]:
    """Check the version of Python."""
    version = ".".join(map(str, host.version))
    if host.version[:2] < MIN_PYTHON:
        yield Finding("python", "error", f"{version} is too old", "install Python 3.11 or newer")
    else:
        yield Finding("python", "ok", f"{version} on {platform.system()} {platform.release()}")


def check_display(host: DeviceHost) -> Iterator[Finding]:
    """Check the display server, its monitors, and pointer and typing on it."""
    alternative = "use --surface desktop:virtual or --surface browser, which need no display"
    is_linux = host.platform.startswith("linux")
    if is_linux:
        session = host.environ.get("XDG_SESSION_TYPE", "")
        if session == "wayland" or (host.environ.get("WAYLAND_DISPLAY") and not host.environ.get("DISPLAY")):
            message = "Wayland: programs can neither capture this screen nor act on it"
            yield Finding("display", "warning", message, f"log in to an Xorg session, or {alternative}")
            return
        if not host.environ.get("DISPLAY"):
            message = "none (DISPLAY is not set), so no pointer or typing was tried"
            yield Finding("display", "warning", message, alternative)
            return
    try:
        from envs.desktop.screen_capture import ScreenCapture

        screen_capture = ScreenCapture()
    except (Error, ImportError, OSError) as error:
        yield Finding("display", "error", str(error), alternative)
        return
    with closing(screen_capture):
        monitors = screen_capture.monitors()
    yield Finding("display", "ok", f"X11 at {host.environ['DISPLAY']}" if is_linux else host.platform)
    for monitor in monitors:
        box, primary = monitor.box, ", primary" if monitor.primary else ""
        position = f"{box.width}x{box.height} at ({box.left}, {box.top}){primary}"
        scale = f"scale {monitor.scale:g}, {monitor.picture_scale:g} image pixels per point"
        yield Finding(f"monitor {monitor.number}", "ok", f"{position}; {scale}")
    if host.act:
        yield from self_test()


def self_test() -> Iterator[Finding]:
    """Test pointer and typing through the desktop surface, in a window on the primary monitor."""
    from envs.calibration.target import WindowTarget
    from envs.options import SurfaceOptions
    from envs.surfaces.desktop import open_surface

    try:
        target = WindowTarget(WINDOW_GEOMETRY)
    except UsageError as error:
        fix = "install tkinter (Debian: apt-get install python3-tk)"
        yield Finding("pointer", "warning", f"not tried: {error}", fix)
        return
    with closing(target), closing(open_surface(SurfaceOptions())) as surface:
        yield pointer_test(surface, target)
        yield typing_test(surface, target)


def pointer_test(surface: Surface, target: CalibrationTarget) -> Finding:
    """Test whether clicks land on the pixels where the screenshot shows the markers."""
    markers = default_markers()
    target.paint(markers)
    _, detected = wait_for_markers(surface.capture, [marker.color for marker in markers])
    if len(detected) < len(markers):
        missing = ", ".join(marker.color for marker in markers if marker.color not in detected)
        fix = "uncover the window; if nothing covers it, the screenshot does not show the screen"
        return Finding("pointer", "error", f"the screenshot lacks the {missing} squares of the test window", fix)
    max_offset = 0.0
    for color, spot in detected.items():
        surface.perform(make_action("click", x=spot.x, y=spot.y))
        event = wait_for(target.last_pointer_event, lambda event: event is not None and event.pressed)
        if event is None or not event.pressed or event.color != color:
            message = f"a click on the {color} square at ({spot.x}, {spot.y}) did not arrive there"
            return Finding("pointer", "error", message, "see `agent calibrate`; on macOS allow Accessibility")
        max_offset = max(max_offset, abs(event.dx) * spot.scale, abs(event.dy) * spot.scale)
    if max_offset > MAX_OFFSET_PX:
        return Finding("pointer", "error", f"clicks land up to {max_offset:.1f} pixels off", "see `agent calibrate`")
    return Finding("pointer", "ok", f"{len(detected)} clicks landed within {max_offset:.1f} pixels of their targets")


def typing_test(surface: Surface, target: TypingTarget) -> Finding:
    """Test whether a text arrives as it was sent."""
    target.field()
    surface.perform(make_action("type", text=TYPING_SAMPLE))
    text = wait_for(target.text, lambda text: text == TYPING_SAMPLE)
    if text != TYPING_SAMPLE:
        message = f"{TYPING_SAMPLE!r} arrived as {text!r}"
        return Finding("typing", "error", message, "please report it, with your keyboard layout")
    return Finding("typing", "ok", f"{len(TYPING_SAMPLE)} characters of six scripts arrived as they were sent")


def check_virtual(host: DeviceHost) -> Iterator[Finding]:
    """Check the programs that desktop:virtual starts."""
    if not host.platform.startswith("linux"):
        return
    manager = next((name for name in ("openbox", "jwm") if host.which(name)), "")
    missing = {} if host.which("Xvfb") else {"Xvfb": "xvfb"}
    missing |= {} if manager else {"a window manager (openbox or jwm)": "jwm"}
    if missing:
        message = f"{' and '.join(missing)} missing for --surface desktop:virtual"
        yield Finding("virtual", "warning", message, f"apt-get install {' '.join(missing.values())}")
    else:
        yield Finding("virtual", "ok", f"Xvfb and {manager} are installed for --surface desktop:virtual")


def check_isolation(host: DeviceHost) -> Iterator[Finding]:
    """Check the sandbox that keeps the programs of desktop:virtual from the user's files."""
    from envs.desktop.sandbox import INSTALL, sandbox_problem

    if not host.platform.startswith("linux"):
        return
    if not host.which("bwrap"):
        message = "bubblewrap is missing: each action on desktop:virtual is asked for, since it is not isolated"
        yield Finding("isolation", "warning", message, INSTALL)
    elif problem := sandbox_problem():
        message = f"{problem}; each action on desktop:virtual is asked for, since it is not isolated"
        yield Finding("isolation", "warning", message, "allow unprivileged user namespaces")
    else:
        yield Finding("isolation", "ok", "programs of desktop:virtual are kept from your files")


def check_chromium(host: DeviceHost) -> Iterator[Finding]:
    """Check the browser, and the shared memory that its pages need."""
    from envs.chromium.executable import find_chrome, install_command

    try:
        path = find_chrome(platform=host.platform, environ=host.environ)
    except UsageError as error:
        yield Finding("chromium", "error", str(error), install_command())
        return
    try:
        result = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=30, check=True)
        yield Finding("chromium", "ok", f"{result.stdout.strip()} ({path})")
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("chromium", "error", f"{path} does not start: {error}", install_command())
    shm = Path("/dev/shm")
    if host.platform.startswith("linux") and shm.is_dir() and (total := host.disk(shm).total) < 0.2 * GB:
        message = f"/dev/shm has {total / 1e6:.0f} MB; large pages may crash"
        yield Finding("shared memory", "warning", message, "start the container with --shm-size=1g or --ipc=host")


def check_adb(host: DeviceHost) -> Iterator[Finding]:
    """Check adb, its server and its devices. The server is queried, never started or stopped."""
    path = host.which("adb") or host.bundled_adb()
    if not path:
        fix = "Debian: apt-get install adb; else https://developer.android.com/tools/releases/platform-tools"
        yield Finding("adb", "warning", "not found, so no Android device can be used", fix)
        return
    port = int(host.environ.get("ANDROID_ADB_SERVER_PORT") or ADB_PORT)
    version = _adb_query(port, "host:version")
    if version is None:
        yield Finding("adb", "ok", f"{path}; its server is not running, and is started when a device is used")
        return
    yield Finding("adb", "ok", f"{path}; its server (protocol {int(version, 16)}) answers at port {port}")
    devices = [line.split("\t") for line in (_adb_query(port, "host:devices") or "").splitlines() if "\t" in line]
    if not devices:
        yield Finding("devices", "ok", "none; `agent phone` starts a simulated one")
    for serial, state in devices:
        yield from _check_device(port, serial, state)


def _check_device(port: int, serial: str, state: str) -> Iterator[Finding]:
    from envs.android.display import parse_display_state

    name = f"device {serial}"
    if state != "device":
        fix = f"adb -s {serial} reconnect" if state == "offline" else DEVICE_FIXES.get(state, "plug it in again")
        yield Finding(name, "warning", state, fix)
        return
    host = serial.rpartition(":")[0]
    if host and host not in ("127.0.0.1", "localhost"):
        fix = f"adb disconnect {serial}; use USB, or wireless debugging with pairing"
        yield Finding(name, "warning", "reached over the network without encryption", fix)
    keyboard = _adb_shell(port, serial, "settings get secure default_input_method")[:200]
    display = parse_display_state(_adb_shell(port, serial, "dumpsys display"), _adb_shell(port, serial, "wm size"))
    model = _adb_shell(port, serial, "getprop ro.product.model")[:200]
    rotation = "rotation unknown" if display is None else ROTATIONS[display.rotation % 4]
    yield Finding(name, "ok", f"{model or 'model unknown'}, {rotation}")
    if keyboard in AUTOMATION_KEYBOARDS:
        message = f"an automation's keyboard is still set ({keyboard})"
        yield Finding(f"keyboard {serial}", "warning", message, f"adb -s {serial} shell ime reset")
    else:
        yield Finding(f"keyboard {serial}", "ok", keyboard or "unknown")


def check_disk(host: DeviceHost) -> Iterator[Finding]:
    """Check the disk space for runs."""
    import platformdirs

    runs = host.environ.get("PIXELHAND_RUNS") or platformdirs.user_data_path("pixelhand", appauthor=False) / "runs"
    folder = next(path for path in (Path(runs), *Path(runs).parents) if path.exists())
    free = host.disk(folder).free
    message = f"{free / GB:.0f} GB free for runs ({folder})"
    if free < 1 * GB:
        yield Finding("disk", "error", message, "free some space, or choose another folder with --runs DIR")
    elif free < 2 * GB:
        yield Finding("disk", "warning", message, "delete old runs")
    else:
        yield Finding("disk", "ok", message)


def _adb_shell(port: int, serial: str, command: str) -> str:
    """Return the output of a fixed command on one device, "" if there is no answer."""
    with suppress(OSError, ValueError), _adb_connect(port) as connection:
        for service in (f"host:transport:{serial}", f"shell:{command}"):
            if not _adb_request(connection, service):
                return ""
        output = b""
        while chunk := connection.recv(4096):
            output += chunk
        return output.decode("utf-8", "replace").strip()
    return ""


def _adb_query(port: int, service: str) -> str | None:
    """Return the answer to a host service, None if no server listens. Source: AOSP, adb SERVICES.TXT."""
    try:
        with _adb_connect(port) as connection:
            if not _adb_request(connection, service):
                return ""
            size = int(_receive(connection, 4), 16)
            return _receive(connection, size).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def _adb_connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def _adb_request(connection: socket.socket, service: str) -> bool:
    """Request a service and return whether the server accepted it."""
    data = service.encode()
    connection.sendall(b"%04x" % len(data) + data)
    return _receive(connection, 4) == b"OKAY"


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise OSError("the adb server closed the connection")
        data += chunk
    return data


CHECKS = (check_python, check_display, check_virtual, check_isolation, check_chromium, check_adb, check_disk)
