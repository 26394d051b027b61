"""Programs of a virtual desktop see nothing of the user: environment, files, processes, sockets and displays."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from helpers.desktop_programs import require_programs, require_window_manager, tk_python, x_server
from helpers.eventually import eventually

from actions import UsageError
from agent.safety.guard import requires_approval
from envs.desktop import isolation
from envs.desktop.sandbox import browser_paths, check_shared, sandbox_problem
from envs.desktop.virtual_display import VirtualDesktop
from envs.surfaces.desktop import Surface

CANARY = "canary-7f3a"
SECRETS = {
    "PIXELHAND_API_KEY": CANARY,
    "OPENAI_API_KEY": CANARY,
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "SSH_AUTH_SOCK": f"/tmp/{CANARY}/agent",
    "GPG_AGENT_INFO": CANARY,
    "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/tmp/{CANARY}/bus",
    "XAUTHORITY": f"/tmp/{CANARY}/xauthority",
    "http_proxy": f"http://user:{CANARY}@proxy:3128",
    "LD_PRELOAD_NOTE": CANARY,
}
Probe = Callable[[str], str]


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    require_programs("Xvfb", "mousepad", "bwrap")
    require_window_manager()
    if problem := sandbox_problem():
        pytest.skip(problem)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of a user with keys, whose environment has secrets."""
    home = tmp_path_factory.mktemp("user")
    for name in (".ssh/id_ed25519", ".profile", ".config/pixelhand/secrets", ".local/share/keyrings/login", "notes"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def desktop(user: Path, shared: Path) -> Iterator[VirtualDesktop]:
    desktop = VirtualDesktop(program="mousepad", width=640, height=480, shared=[shared])
    yield desktop
    desktop.close()


def run_inside(desktop: VirtualDesktop, command: str) -> str:
    """Return what a shell command prints on the desktop."""
    path = Path(desktop.environ["HOME"]) / "output"
    with open(path, "wb") as log:
        process = desktop.isolation.start(["sh", "-c", command], desktop.environ, log)
        process.wait(60)
    return path.read_text()


@pytest.fixture(scope="module")
def probe(desktop: VirtualDesktop) -> Probe:
    return lambda command: run_inside(desktop, command)


def test_environment_of_descendants_has_no_secret(probe: Probe) -> None:
    output = probe("sh -c 'sh -c env'; cat /proc/*/environ /proc/1/cmdline | tr '\\0' '\\n'")
    assert "DISPLAY=" in output
    assert CANARY not in output


def test_environment_of_every_process_has_no_secret(desktop: VirtualDesktop) -> None:
    for pid in [*desktop.pids(), *desktop.isolation.pids()]:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            if process.status() != psutil.STATUS_ZOMBIE:
                assert CANARY not in str(process.environ())


def test_user_files_do_not_exist(probe: Probe, user: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").write_text(CANARY)
    paths = [user, user / ".ssh", user / ".profile", tmp_path / "temporary", Path.home(), Path(__file__)]
    output = probe(
        f"ls -a {' '.join(map(str, paths))}; cat {tmp_path}/temporary; grep -rs {CANARY} ~ /tmp /etc /run /var"
    )
    assert output.count("No such file") == len(paths) + 1
    assert CANARY not in output


def test_home_and_folders_are_the_desktops_own(probe: Probe, desktop: VirtualDesktop) -> None:
    output = probe("cd ~ && pwd && ls -d Desktop Downloads && echo $XDG_CONFIG_HOME && getent passwd $(id -u)")
    home = str(desktop.isolation.home.home)
    assert output.count(home) == 3
    assert "Downloads" in output
    names = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
    assert all(Path(desktop.environ[name]).is_relative_to(Path(home).parent) for name in names)


def test_system_secrets_and_system_bus_are_missing(probe: Probe) -> None:
    output = probe("cat /etc/shadow /etc/ssh/* /run/dbus/system_bus_socket /root/.bashrc; ls /run /home /sys /mnt")
    assert "root:" not in output
    assert output.count("No such file") >= 6


def test_processes_of_the_machine_are_invisible(probe: Probe) -> None:
    assert probe(f"ls -d /proc/{os.getpid()}; kill -0 {os.getpid()}; true").count("No such") == 2
    assert len(probe("ls -d /proc/[0-9]*").split()) <= 6


def test_no_program_starts_over_the_bus(probe: Probe, desktop: VirtualDesktop) -> None:
    require_programs("dbus-daemon", "dbus-send")
    call = "dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus."
    assert "org.freedesktop.DBus" in probe(f"{call}ListNames")
    services = ("org.freedesktop.secrets", "org.freedesktop.portal.Desktop", "org.freedesktop.systemd1", "org.a11y.Bus")
    for service in services:
        assert "ServiceUnknown" in probe(f"{call}StartServiceByName string:{service} uint32:0")


def test_other_displays_cannot_be_opened(desktop: VirtualDesktop) -> None:
    with x_server("200x200") as display:
        number = display.removeprefix(":")
        code = f"import tkinter; tkinter.Tk(screenName=':{number}'); print('opened')"
        listing = run_inside(desktop, f"ls /tmp/.X11-unix; cat /tmp/.X{number}-lock")
        assert listing.split("\n")[0] == f"X{desktop.display.removeprefix(':')}"
        assert "No such file" in listing
        assert "opened" not in run_inside_offline(code, desktop)


def run_inside_offline(code: str, desktop: VirtualDesktop) -> str:
    """Run Python code on the desktop without a network, in which abstract sockets of the machine lie."""
    path = Path(desktop.environ["HOME"]) / "output"
    with open(path, "wb") as log:
        command = [tk_python(sandboxed=True), "-c", code]
        desktop.isolation.start(command, desktop.environ, log, has_network=False).wait(60)
    return path.read_text()


def test_abstract_sockets_of_the_machine_are_unreachable(desktop: VirtualDesktop) -> None:
    name = f"\0{CANARY}"
    code = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + '" + CANARY + "'); print('connected')"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        assert "refused" in run_inside_offline(code, desktop)


def test_crash_leaves_no_core_dump(probe: Probe) -> None:
    assert probe("ulimit -c; sh -c 'kill -SEGV $$'; ls ~/core* /tmp/core*").count("No such file") == 2


def test_shared_folder_is_writable(probe: Probe, shared: Path) -> None:
    (shared / "in").write_text("from outside")
    assert probe(f"cat {shared}/in; echo from inside > {shared}/out") == "from outside"
    assert (shared / "out").read_text() == "from inside\n"


@pytest.mark.parametrize("name", ["", ".ssh", ".config/pixelhand"])
def test_home_and_hidden_folders_cannot_be_shared(user: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--share"):
        check_shared(user / name)
    with pytest.raises(UsageError, match="does not exist"):
        check_shared(user / "missing")


def test_named_file_is_read_only(user: Path) -> None:
    desktop = VirtualDesktop(program=f"mousepad {user}/notes", width=400, height=300)
    try:
        output = run_inside(desktop, f"cat {user}/notes; echo changed > {user}/notes; ls -A {user}")
    finally:
        desktop.close()
    assert output.startswith(CANARY)
    assert "Read-only" in output
    assert output.split()[-1] == "notes"
    assert (user / "notes").read_text() == CANARY


@pytest.mark.parametrize("link", [False, True])
def test_hidden_file_cannot_be_named(user: Path, tmp_path: Path, link: bool) -> None:
    key = user / ".ssh" / "id_ed25519"
    name = tmp_path / "harmless" if link else key
    if link:
        name.symlink_to(key)
    with pytest.raises(UsageError, match="is hidden"):
        VirtualDesktop(program=f"mousepad {name}")


def test_two_desktops_share_nothing(probe: Probe, desktop: VirtualDesktop) -> None:
    other = VirtualDesktop(program="mousepad", width=400, height=300)
    try:
        (other.isolation.home.home / "file").write_text(CANARY)
        assert probe(f"cat {other.isolation.home.home}/file; pgrep -c mousepad").count("No such file") == 1
        assert other.environ["HOME"] != desktop.environ["HOME"]
        assert other.environ["DBUS_SESSION_BUS_ADDRESS"] != desktop.environ["DBUS_SESSION_BUS_ADDRESS"] or not (
            shutil.which("dbus-daemon")
        )
    finally:
        other.close()


def test_close_ends_programs_that_hide(user: Path) -> None:
    """A program that leaves its session and clears its environment ends with the sandbox."""
    desktop = VirtualDesktop(program="mousepad", width=400, height=300)
    output = run_inside(desktop, "env -i setsid sleep 617 & sleep 1")
    assert output == ""
    sleepers = [
        process.pid for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "617"]
    ]
    assert len(sleepers) == 1
    desktop.close()
    eventually(lambda: not psutil.pid_exists(sleepers[0]))


def test_only_the_proxy_is_reached(user: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(connection.recv(100).upper())

        threading.Thread(target=answer, daemon=True).start()
        port, other_port = proxy.getsockname()[1], other.getsockname()[1]
        desktop = VirtualDesktop(program="mousepad", width=400, height=300, proxy_port=port)
        code = (
            "import socket\n"
            f"s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'hello'); print(s.recv(100))\n"
            f"for address in (('127.0.0.1', {other_port}), ('192.0.2.1', 80)):\n"
            "    try: socket.create_connection(address, 5); print('connected')\n"
            "    except OSError as error: print(error.strerror)\n"
        )
        try:
            output = run_inside(desktop, f'{tk_python(sandboxed=True)} -c "{code}"')
        finally:
            desktop.close()
    assert "b'HELLO'" in output
    assert "connected" not in output
    assert "Connection refused" in output
    assert "unreachable" in output


def test_missing_sandbox_makes_each_action_ask(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "sandbox_problem", lambda: "bubblewrap is not installed; as root: apt-get ...")
    with Surface("virtual", program="mousepad", width=400, height=300) as surface:
        assert requires_approval(surface)
        notice = surface.pop_notices()
        assert "not isolated" in notice
        assert "bubblewrap is not installed" in notice
        assert CANARY not in str(surface.environ)


def test_sandbox_makes_screen_the_agents_own(user: Path) -> None:
    with Surface("virtual", program="mousepad", width=400, height=300) as surface:
        assert not requires_approval(surface)
        assert surface.pop_notices() == ""


def test_browser_among_own_files_is_refused(user: Path) -> None:
    with pytest.raises(UsageError, match="is a snap"):
        list(browser_paths(Path("/snap/bin/chromium")))
    with pytest.raises(UsageError, match="among your own files"):
        list(browser_paths(user / "chrome"))
    assert list(browser_paths(user / "chrome-linux" / "chrome")) == [
        user / "chrome-linux" / "chrome",
        user / "chrome-linux",
    ]


def test_sandbox_problem_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install bubblewrap" in sandbox_problem()
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    assert "does not run here (exit code 1)" in sandbox_problem()


def test_signal_of_program_is_named() -> None:
    assert isolation.exit_reason(137) == "was killed (signal 9)"
    assert isolation.exit_reason(-15) == "was killed (signal 15)"
    assert isolation.exit_reason(3) == "exited with code 3"
