"""A home folder and an environment of its own for the programs of a virtual desktop."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

USER = "agent"
SYSTEM_FOLDERS = tuple(
    Path(name)
    for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu")
)
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
USER_FOLDERS = {  # name in user-dirs.dirs: folder below the home
    "DESKTOP": "Desktop",
    "DOWNLOAD": "Downloads",
    "DOCUMENTS": "Documents",
    "MUSIC": "Music",
    "PICTURES": "Pictures",
    "VIDEOS": "Videos",
    "TEMPLATES": "Templates",
    "PUBLICSHARE": "Public",
}
INHERITED = frozenset({"LANG", "LANGUAGE", "TZ"})  # and LC_*; every other variable of the user stays outside
FONT_VARIABLES = ("FONTCONFIG_FILE", "FONTCONFIG_PATH")  # inherited where they point to a folder of the system


def is_system_path(path: Path) -> bool:
    """Return whether a path lies in a folder of the system that holds no data of a user."""
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder) for folder in SYSTEM_FOLDERS)


class PrivateHome:
    """The folders of one desktop: home, run-time files and temporary files.

    Args:
        folder: Folder of the desktop, in which they are created.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.runtime = folder / "runtime"
        self.temporary = folder / "tmp"
        self.system = folder / "etc"  # what programs see in /etc in place of the machine's own files
        for path in (self.home, self.runtime, self.temporary, self.system):
            path.mkdir(mode=0o700)
        for name in (*USER_FOLDERS.values(), ".config", ".cache", ".local/share", ".local/state"):
            (self.home / name).mkdir(parents=True)
        lines = [f'XDG_{name}_DIR="$HOME/{folder_name}"\n' for name, folder_name in USER_FOLDERS.items()]
        (self.home / ".config" / "user-dirs.dirs").write_text("".join(lines))
        self._write_accounts()

    @property
    def bus_address(self) -> str:
        """The address of the desktop's own D-Bus session."""
        return f"unix:path={self.runtime / 'bus'}"

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with the desktop's folders and the language, time zone and fonts of `environ`.

        Keys, tokens, agents and addresses of the user's session are not in it, since only named variables are.
        """
        inherited = {name: value for name, value in environ.items() if name in INHERITED or name.startswith("LC_")}
        for name in FONT_VARIABLES:
            if (value := environ.get(name)) and is_system_path(Path(value)):
                inherited[name] = value
        locale = inherited.get("LC_ALL") or inherited.get("LC_CTYPE") or inherited.get("LANG") or ""
        if "utf" not in locale.lower():  # otherwise older toolkits accept ASCII only from the keyboard
            inherited.pop("LC_ALL", None)
            inherited["LC_CTYPE"] = "C.UTF-8"
        return inherited | {
            "PATH": ":".join(_system_paths(environ)) or DEFAULT_PATH,
            "HOME": str(self.home),
            "USER": USER,
            "LOGNAME": USER,
            "SHELL": "/bin/sh",
            "TMPDIR": str(self.temporary),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "XDG_CONFIG_DIRS": "/etc/xdg",
            "XDG_DATA_DIRS": "/usr/local/share:/usr/share",
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def _write_accounts(self) -> None:
        """Write the account files and the machine id that programs see."""
        user, group = os.getuid(), os.getgid()
        accounts = [f"{USER}:x:{user}:{group}:{USER}:{self.home}:/bin/sh", "nobody:x:65534:65534:nobody:/:/bin/false"]
        groups = [f"{USER}:x:{group}:", "nogroup:x:65534:"]
        (self.system / "passwd").write_text("".join(f"{line}\n" for line in accounts))
        (self.system / "group").write_text("".join(f"{line}\n" for line in groups))
        (self.system / "machine-id").write_text(secrets.token_hex(16) + "\n")


def _system_paths(environ: Mapping[str, str]) -> Iterator[str]:
    for name in environ.get("PATH", "").split(os.pathsep):
        if name and Path(name).is_dir() and is_system_path(Path(name)):
            yield name
