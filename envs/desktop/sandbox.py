"""A sandbox for the programs of a virtual desktop: bubblewrap with namespaces of its own.

Programs see the system's folders read-only, the desktop's own folders, and what the user named. They see no other file,
process, shared memory or, with a proxy, socket of this machine. Source: bwrap(1), namespaces(7).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actions import UsageError
from envs.desktop.private_home import SYSTEM_FOLDERS, PrivateHome, is_system_path

INSTALL = "apt-get install bubblewrap"
CHECK_S = 10.0
START_S = 20.0
NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
ETC = (  # what programs need of /etc; none of it is secret
    *("alternatives", "ca-certificates", "ca-certificates.conf", "pki", "crypto-policies"),
    *("chromium.d", "dbus-1", "dconf", "default/locale", "dictionaries-common", "fonts", "ghostscript", "glvnd"),
    *("gtk-2.0", "gtk-3.0", "gtk-4.0", "host.conf", "hosts", "inputrc", "ld.so.cache"),
    *("ld.so.conf", "ld.so.conf.d", "libreoffice", "locale.alias", "locale.conf", "localtime", "magic", "magic.mime"),
    *("mailcap", "mime.types", "nsswitch.conf", "os-release", "pango", "papersize", "protocols", "resolv.conf"),
    *("services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "vulkan", "X11", "xdg"),
)
LIMITS = ("/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh")  # runs a program that leaves no core dumps


def sandbox_problem() -> str:
    """Return why programs cannot be kept from the user's files on this machine; "" if they can."""
    program = shutil.which("bwrap")
    if program is None:
        return f"bubblewrap is not installed; as root: {INSTALL}"
    command = [program, *NAMESPACES, *_system_mounts(), "--proc", "/proc", "--dev", "/dev", "true"]
    try:
        result = subprocess.run(command, capture_output=True, timeout=CHECK_S, env={"PATH": os.defpath}, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run here ({error})"
    if result.returncode == 0:
        return ""
    lines = result.stderr.strip().splitlines()
    return f"bubblewrap does not run here ({lines[-1][:200] if lines else f'exit code {result.returncode}'})"


@dataclass
class Sandbox:
    """What the programs of one desktop see.

    Args:
        home: The desktop's own folders.
        read_only: Files and folders that are shown read-only, at their own paths.
        writable: Folders that programs may write to, at their own paths.
        replaced: Path in the sandbox: the file or folder that is shown there, read-only.
        is_offline: Have no network but the ports that are forwarded into the sandbox.
    """

    home: PrivateHome
    read_only: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    replaced: dict[str, Path] = field(default_factory=dict)
    is_offline: bool = False

    def command(self, program: Sequence[str], info: int, block: int) -> list[str]:
        """Return the command line that runs a program in the sandbox.

        Args:
            program: The program and its arguments.
            info: File descriptor that the process id is written to.
            block: File descriptor; the first byte that is read from it starts the program.
        """
        command = [shutil.which("bwrap") or "bwrap", *NAMESPACES, "--hostname", "desktop", "--cap-drop", "ALL"]
        if self.is_offline:
            command.append("--unshare-net")
        command += [*_system_mounts(), "--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/var/tmp"]
        command += ["--bind", str(self.home.temporary), "/tmp"]
        for path in (self.home.home, self.home.runtime, self.home.temporary, *self.writable):
            command += ["--bind", str(path), str(path)]
        for path in self.read_only:
            command += ["--ro-bind", str(path), str(path)]
        for name in ("passwd", "group", "machine-id"):
            command += ["--ro-bind", str(self.home.system / name), f"/etc/{name}"]
        for target, source in self.replaced.items():
            command += ["--ro-bind", str(source), target]
        command += ["--info-fd", str(info), "--block-fd", str(block)]
        return [*command, "--chdir", str(self.home.home), "--", *program]


def read_child_pid(descriptor: int) -> int:
    """Return the id of the first process of a sandbox, which the others end with; read from `--info-fd`.

    Returns:
        The id, 0 if the sandbox does not start.
    """
    data, deadline = b"", time.monotonic() + START_S
    while b"}" not in data:
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0.0))
        chunk = os.read(descriptor, 4096) if ready else b""
        if not chunk:
            return 0
        data += chunk
    return int(json.loads(data)["child-pid"])


def check_shared(folder: Path) -> Path:
    """Return the full path of a folder that the user shares with the desktop.

    Raises:
        UsageError: It is missing, or holds the user's home or a folder of the system.
    """
    path = folder.expanduser().absolute()
    if not path.is_dir():
        raise UsageError(f"the shared folder {folder} does not exist; create it, or name another with --share")
    resolved, home = path.resolve(), Path.home().resolve()
    if home.is_relative_to(resolved) or any(Path(root).is_relative_to(resolved) for root in ("/usr", "/etc", "/tmp")):
        raise UsageError(f"the folder {folder} holds your own files and keys; name a folder inside it with --share")
    if is_hidden(resolved):
        raise UsageError(f"the folder {folder} is hidden, as settings and keys are; name another with --share")
    return path


def is_hidden(path: Path) -> bool:
    """Return whether a path lies in the hidden part of the user's home, where settings and keys are."""
    home = Path.home().resolve()
    return path.is_relative_to(home) and any(part.startswith(".") for part in path.relative_to(home).parts)


def named_files(command: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return a command line with full paths, and the files outside of the system that it names.

    Args:
        command: The program, as found on PATH, and its arguments.

    Raises:
        UsageError: An argument names a hidden file of the user.
    """
    program = Path(shutil.which(command[0]) or command[0]).absolute()
    paths = list(program_paths(program))
    words = [str(program)]
    for word in command[1:]:
        path = Path(word).expanduser()
        if path.is_file():
            if is_hidden(path.resolve()):
                raise UsageError(
                    f"{path} is hidden, as settings and keys are, and a virtual desktop does not show it; "
                    "name a copy of it in --program"
                )
            paths += [] if is_system_path(path) else [path.absolute()]
            word = str(path.absolute())
        words.append(word)
    return words, list(dict.fromkeys(paths))


def program_paths(program: Path) -> Iterator[Path]:
    """Yield what has to be shown of the user's files so that a program runs.

    That is nothing for a program of the system, the environment of a Python of a virtual environment, and else the
    program's file and the one that it links to.
    """
    resolved = program.resolve()
    environment = program.parent.parent
    if (environment / "pyvenv.cfg").is_file():
        yield environment
        if not is_system_path(resolved):
            yield resolved.parent.parent
        return
    for path in dict.fromkeys((program, resolved)):
        if not is_system_path(path):
            yield path


def browser_paths(chrome: Path) -> Iterator[Path]:
    """Yield the folder of a browser outside of the system, such as Playwright's.

    Raises:
        UsageError: The browser is a snap, or its folder also holds the user's own files.
    """
    if chrome.is_relative_to("/snap"):
        raise UsageError(
            f"the browser {chrome} is a snap, which runs only in the user's own home; install another one, "
            "and set PIXELHAND_CHROME to its path"
        )
    if is_system_path(chrome):
        return
    folder = chrome.resolve().parent
    if Path.home().resolve().is_relative_to(folder):
        raise UsageError(f"the browser {chrome} lies among your own files; move it to a folder of its own")
    yield from dict.fromkeys((chrome, folder))


def _system_mounts() -> Iterator[str]:
    for folder in SYSTEM_FOLDERS:
        if folder.is_symlink():
            yield from ("--symlink", os.readlink(folder), str(folder))
        elif folder.is_dir():
            yield from ("--ro-bind", str(folder), str(folder))
    etc = Path("/etc")
    for path in (*(etc / name for name in ETC), *sorted(etc.glob("java-*"))):
        if path.exists():
            yield from ("--ro-bind", str(path.resolve()), str(path))
    fonts = Path("/var/cache/fontconfig")
    if fonts.is_dir():
        yield from ("--ro-bind", str(fonts), str(fonts))
