"""What this machine has and lacks for looking at screens and acting on them. Changes nothing; knows no model's inside.

Each check gives findings: ok, warning (something will not work) or error (the agent will not work), and the line that
mends it. The self-test alone acts: it moves the pointer and types within a window of its own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from actions import Error, UsageError, make_action

Level = Literal["ok", "warning", "error"]
MIN_PYTHON = (3, 11)
ADB_PORT = 5037
GB = 1e9
TYPING_SAMPLE = "aZ 7 <>&|;$\"'\\ żółć 你好 Привет مرحبا é"  # of all that keyboards get wrong
BORROWED_KEYBOARDS = ("com.android.adbkeyboard/.AdbIME", "com.github.uiautomator/.AdbKeyboard")
WINDOW = (80, 80, 520, 360)  # left, top, width, height of the self-test's


@dataclass(frozen=True)
class Finding:
    """One line of the report. mend: what the person can do, "" where there is nothing to mend."""

    name: str
    level: Level
    message: str
    fix: str = ""


def bundled_adb() -> str:
    """The adb program that adbutils uses where none is on the path: on some systems it brings one. "" without."""
    from adbutils import adb_path

    with suppress(Exception):  # its AdbError, and whatever a program that cannot be started raises
        return str(adb_path())
    return ""


@dataclass(frozen=True)
class Host:
    """Where to look. For tests, every part can be another."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    platform: str = sys.platform
    version: tuple[int, ...] = sys.version_info[:3]
    which: Callable[[str], str | None] = shutil.which
    brought_adb: Callable[[], str] = bundled_adb
    disk: Callable[[Path], Any] = shutil.disk_usage
    act: bool = True  # whether the self-test may move the pointer and type

    @property
    def home(self) -> Path:
        return Path(self.environ.get("HOME") or self.environ.get("USERPROFILE") or Path.home())


def run_checks(machine: Host | None = None) -> Iterator[Finding]:
    """Every finding, in the order of the report. A check that fails by itself is a finding too."""
    machine = machine or Host()
    for check in CHECKS:
        try:
            yield from check(machine)
        except Error as error:
            yield Finding(check.__name__, "error", str(error))
        except Exception as error:
            yield Finding(check.__name__, "warning", f"could not be looked at ({type(error).__name__}: {error})")


def python(machine: Host) -> Iterator[Finding]:
    version = ".".join(map(str, machine.version))
    if machine.version[:2] < MIN_PYTHON:
        yield Finding("python", "error", f"{version} is too old", "install Python 3.11 or newer")
    else:
        yield Finding("python", "ok", f"{version} on {platform.system()} {platform.release()}")


def display(machine: Host) -> Iterator[Finding]:
    """The display server, its monitors, and the self-test on it."""
    instead = "use --on desktop:virtual or --on browser, which need no display"
    if machine.platform.startswith("linux"):
        session = machine.environ.get("XDG_SESSION_TYPE", "")
        if session == "wayland" or (machine.environ.get("WAYLAND_DISPLAY") and not machine.environ.get("DISPLAY")):
            says = "Wayland: programs can neither see this screen nor act on it"
            yield Finding("display", "warning", says, f"log in to an Xorg session, or {instead}")
            return
        if not machine.environ.get("DISPLAY"):
            yield Finding("display", "warning", "none (DISPLAY is not set), so no pointer or typing was tried", instead)
            return
    try:
        from envs.desktop.screen_capture import ScreenCapture

        camera = ScreenCapture()
    except (Error, ImportError, OSError) as error:
        yield Finding("display", "error", str(error), instead)
        return
    with closing(camera):
        monitors = camera.monitors()
    server = f"X11 at {machine.environ['DISPLAY']}" if machine.platform.startswith("linux") else machine.platform
    yield Finding("display", "ok", server)
    for monitor in monitors:
        box, primary = monitor.box, ", primary" if monitor.primary else ""
        says = f"{box.width}x{box.height} at ({box.left}, {box.top}){primary}"
        scale = f"scale {monitor.scale:g}, {monitor.picture_scale:g} picture pixels a point"
        yield Finding(f"monitor {monitor.number}", "ok", f"{says}; {scale}")
    if machine.act:
        yield from self_test()


def self_test() -> Iterator[Finding]:
    """Pointer and typing, through the desktop surface, in a window of our own on the primary monitor."""
    from envs.calibration.target import WindowTarget
    from envs.options import SurfaceOptions
    from envs.surfaces.desktop import open_surface

    try:
        easel = WindowTarget(WINDOW)
    except UsageError as error:
        yield Finding(
            "pointer", "warning", f"not tried: {error}", "install tkinter (Debian: apt-get install python3-tk)"
        )
        return
    with closing(easel), closing(open_surface(SurfaceOptions())) as surface:
        yield pointer_test(surface, easel)
        yield typing_test(surface, easel)


def pointer_test(surface: Any, easel: Any) -> Finding:
    """Whether a click lands on the pixel that the picture shows."""
    from envs.calibration.target import default_markers, shown

    painted = default_markers()
    easel.paint(painted)
    _, seen = shown(surface.capture, [square.colour for square in painted])
    if len(seen) < len(painted):
        missing = ", ".join(square.colour for square in painted if square.colour not in seen)
        mend = "nothing may cover the window; if nothing does, the screen's picture is not what is on it"
        return Finding("pointer", "error", f"our window's {missing} squares are not in the picture", mend)
    worst = 0.0
    for colour, spot in seen.items():
        surface.perform(make_action("click", x=spot.x, y=spot.y))
        touch = settled(easel.touched, lambda touch: touch is not None and touch.pressed)
        if touch is None or not touch.pressed or touch.colour != colour:
            says = f"a click on the {colour} square at ({spot.x}, {spot.y}) did not arrive there"
            return Finding("pointer", "error", says, "see `agent calibrate`; on macOS allow Accessibility")
        worst = max(worst, abs(touch.dx) * spot.scale, abs(touch.dy) * spot.scale)
    if worst > 1:
        return Finding("pointer", "error", f"clicks land up to {worst:.1f} pixels beside", "see `agent calibrate`")
    return Finding("pointer", "ok", f"{len(seen)} clicks landed within {worst:.1f} pixels of where they were sent")


def typing_test(surface: Any, easel: Any) -> Finding:
    """Whether a text arrives as it was sent."""
    easel.field()
    surface.perform(make_action("type", text=TYPING_SAMPLE))
    got = settled(easel.text, lambda text: text == TYPING_SAMPLE)
    if got != TYPING_SAMPLE:
        return Finding("typing", "error", f"{TYPING_SAMPLE!r} arrived as {got!r}", "please report it, with your layout")
    return Finding("typing", "ok", f"{len(TYPING_SAMPLE)} characters of six scripts arrived as they were sent")


def settled(ask: Callable[[], Any], enough: Callable[[Any], bool], within_s: float = 3.0) -> Any:
    """The answer once it is enough, or the last one: events take a moment to reach a window."""
    import time

    until = time.monotonic() + within_s
    while not enough(answer := ask()) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def virtual(machine: Host) -> Iterator[Finding]:
    """What desktop:virtual is made of."""
    if not machine.platform.startswith("linux"):
        return
    manager = next((name for name in ("openbox", "jwm") if machine.which(name)), "")
    missing = {} if machine.which("Xvfb") else {"Xvfb": "xvfb"}
    missing |= {} if manager else {"a window manager (openbox or jwm)": "jwm"}
    if missing:
        says, mend = f"{' and '.join(missing)} missing for --on desktop:virtual", " ".join(missing.values())
        yield Finding("virtual", "warning", says, f"apt-get install {mend}")
    else:
        yield Finding("virtual", "ok", f"Xvfb and {manager} are here for --on desktop:virtual")


def chromium(machine: Host) -> Iterator[Finding]:
    """The browser, and the shared memory that its pages need."""
    from envs.chromium.executable import find_chrome, install_command

    try:
        path = find_chrome(platform=machine.platform, environ=machine.environ)
    except UsageError as error:
        yield Finding("chromium", "error", str(error), install_command())
        return
    try:
        asked = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=30, check=True)
        yield Finding("chromium", "ok", f"{asked.stdout.strip()} ({path})")
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("chromium", "error", f"{path} does not start: {error}", install_command())
    shm = Path("/dev/shm")
    if machine.platform.startswith("linux") and shm.is_dir() and (total := machine.disk(shm).total) < 0.2 * GB:
        says = f"/dev/shm has {total / 1e6:.0f} MB; large pages may crash"
        yield Finding("shared memory", "warning", says, "start the container with --shm-size=1g or --ipc=host")


def adb(machine: Host) -> Iterator[Finding]:
    """adb, its server and its devices. The server is asked, never started or stopped."""
    path = machine.which("adb") or machine.brought_adb()
    if not path:
        mend = "Debian: apt-get install adb; else https://developer.android.com/tools/releases/platform-tools"
        yield Finding("adb", "warning", "not found, so no Android device can be used", mend)
        return
    port = int(machine.environ.get("ANDROID_ADB_SERVER_PORT") or ADB_PORT)
    version = _adb_ask(port, "host:version")
    if version is None:
        yield Finding("adb", "ok", f"{path}; its server is not running, and is started when a device is used")
        return
    yield Finding("adb", "ok", f"{path}; its server (protocol {int(version, 16)}) answers at port {port}")
    lines = [line.split("\t") for line in (_adb_ask(port, "host:devices") or "").splitlines() if "\t" in line]
    if not lines:
        yield Finding("devices", "ok", "none; `agent phone` starts a simulated one")
    for serial, state in lines:
        yield from _device(port, serial, state)


def _device(port: int, serial: str, state: str) -> Iterator[Finding]:
    from envs.android.display import parse_display_state

    name = f"device {serial}"
    if state != "device":
        mends = {
            "unauthorized": "unlock the phone and allow this computer there",
            "offline": f"adb -s {serial} reconnect",
            "no permissions": "apt-get install android-sdk-platform-tools-common, which has the udev rules",
        }
        yield Finding(name, "warning", state, mends.get(state, "plug it in again"))
        return
    host = serial.rpartition(":")[0]
    if host and host not in ("127.0.0.1", "localhost"):
        mend = f"adb disconnect {serial}; use USB, or wireless debugging with pairing"
        yield Finding(name, "warning", "reached over the network without encryption", mend)
    keyboard = _shell(port, serial, "settings get secure default_input_method")[:200]
    turned = parse_display_state(_shell(port, serial, "dumpsys display"), _shell(port, serial, "wm size"))
    model = _shell(port, serial, "getprop ro.product.model")[:200]
    ways = ("upright", "turned to the left", "upside down", "turned to the right")
    way = "rotation unknown" if turned is None else ways[turned.rotation % 4]
    yield Finding(name, "ok", f"{model or 'no model named'}, {way}")
    if keyboard in BORROWED_KEYBOARDS:
        says = f"an automation's keyboard is still set ({keyboard})"
        yield Finding(f"keyboard {serial}", "warning", says, f"adb -s {serial} shell ime reset")
    else:
        yield Finding(f"keyboard {serial}", "ok", keyboard or "not named")


def _shell(port: int, serial: str, command: str) -> str:
    """A fixed question to one device, "" where it gives no answer."""
    with suppress(OSError, ValueError), _adb(port) as line:
        for service in (f"host:transport:{serial}", f"shell:{command}"):
            if not _adb_send(line, service):
                return ""
        said = b""
        while part := line.recv(4096):
            said += part
        return said.decode("utf-8", "replace").strip()
    return ""


def _adb_ask(port: int, service: str) -> str | None:
    """The server's answer to a host service; None where no server listens. Source: AOSP, adb SERVICES.TXT."""
    try:
        with _adb(port) as line:
            if not _adb_send(line, service):
                return ""
            size = int(_exactly(line, 4), 16)
            return _exactly(line, size).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def _adb(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def _adb_send(line: socket.socket, service: str) -> bool:
    data = service.encode()
    line.sendall(b"%04x" % len(data) + data)
    return _exactly(line, 4) == b"OKAY"


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise OSError("the adb server closed the line")
        data += part
    return data


def gpu(machine: Host) -> Iterator[Finding]:
    if find_spec("torch") is None:
        yield Finding("gpu", "error", "torch is not installed, so no model can run", "pip install torch")
        return
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            free, total = (value / GB for value in torch.cuda.mem_get_info(number))
            yield Finding("gpu", "ok", f"{facts.name}, {free:.1f} of {total:.1f} GB free")
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "ok", "Apple's, through MPS")
    else:
        mend = "a server with one can be used: --model http://HOST:PORT/v1#NAME"
        yield Finding("gpu", "warning", f"none; torch {torch.__version__} runs on the processor, slowly", mend)


def memory(machine: Host) -> Iterator[Finding]:
    import psutil

    has = psutil.virtual_memory()
    says = f"{has.available / GB:.1f} of {has.total / GB:.1f} GB free"
    if has.available < 1 * GB:
        yield Finding("memory", "error", says, "end other programs; even the embedded model needs 1 GB")
    elif has.total < 16 * GB:
        yield Finding("memory", "warning", says, "a 3B model in half precision needs about 10 GB, a 7B one 20 GB")
    else:
        yield Finding("memory", "ok", says)


def models(machine: Host) -> Iterator[Finding]:
    """Which checkpoints lie on this disk, by their files alone."""
    package = find_spec("model")
    places = list(package.submodule_search_locations or []) if package else []
    if any(_has_weights(Path(place) / "embedded") for place in places):
        yield Finding("embedded", "ok", "the embedded model is here; it knows practice pages")
    else:
        yield Finding("embedded", "error", "the embedded model's weights are missing", "install the package again")
    cache = _hub_cache(machine)
    found = sorted(
        folder.name for folder in cache.glob("models--*") if any(map(_has_weights, folder.glob("snapshots/*")))
    )
    names = [name.removeprefix("models--").replace("--", "/") for name in found]
    if names:
        yield Finding("models", "ok", f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''} in {cache}")
    else:
        yield Finding("models", "warning", f"none in {cache} for your own screen", "agent models")


def _has_weights(folder: Path) -> bool:
    """Whether a checkpoint's weights lie here whole: one file, or every file that the index names."""
    try:
        named = json.loads((folder / "model.safetensors.index.json").read_bytes())["weight_map"].values()
    except FileNotFoundError:
        return (folder / "model.safetensors").is_file()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):  # cut off, or not what it is called
        return False
    files = {folder / str(name) for name in named}
    return bool(files) and all(file.is_file() for file in files)


def _hub_cache(machine: Host) -> Path:
    """Where huggingface_hub keeps what it fetched. Source: its page on environment variables."""
    environ = machine.environ
    if named := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named)
    home = environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or machine.home / ".cache") / "huggingface"
    return Path(home) / "hub"


def disk(machine: Host) -> Iterator[Finding]:
    """Room for traces and for a checkpoint, where each would go."""
    import platformdirs

    runs = machine.environ.get("PIXELHAND_RUNS") or platformdirs.user_data_path("pixelhand", appauthor=False) / "runs"
    for what, folder, least, enough in (
        ("runs", Path(runs), 1 * GB, 2 * GB),
        ("models", _hub_cache(machine), 0, 20 * GB),
    ):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = machine.disk(there).free
        says = f"{free / GB:.0f} GB free for {what} ({there})"
        if free < least:
            yield Finding("disk", "error", says, "make room, or choose another folder with --runs DIR")
        elif free < enough:
            mend = "a 7B checkpoint needs 17 GB; set HF_HOME to a folder on another disk" if what == "models" else ""
            yield Finding("disk", "warning", says, mend or "old runs can be deleted")
        else:
            yield Finding("disk", "ok", says)


CHECKS: tuple[Callable[[Host], Iterator[Finding]], ...] = (
    python,
    display,
    virtual,
    chromium,
    adb,
    gpu,
    memory,
    models,
    disk,
)
