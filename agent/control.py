"""Control socket of a run: `agent stop` asks a running process for its state, or to stop.

Each run listens on a Unix socket <runtime folder>/<run id>.sock. The folder is readable by its user alone, the socket
too, and on Linux the user of each client is checked. A client sends one word, `status` or `stop`, and reads one line
of JSON; nothing else can be asked, so nothing can be approved or changed over it. Platforms without Unix sockets have
none.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from actions import UsageError

SUFFIX = ".sock"
TIMEOUT_S = 2.0  # of one request
MAX_REQUEST_BYTES = 64
MAX_CLIENTS = 32  # at a time
MAX_ANSWER_BYTES = 65_536
MAX_PATH_BYTES = 100  # of a socket; the kernels' limits are 104 and 108
HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX") and os.name == "posix"

StatusFn = Callable[[], Mapping[str, object]]  # JSON data about the run
StopFn = Callable[[], None]  # asks the run to stop, and returns at once


def runtime_folder() -> Path:
    """Return the folder of the control sockets, which only this user can read; create it if it is missing.

    Raises:
        UsageError: Another user owns it, or others can write to it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(runtime) / "pixelhand" if os.path.isabs(runtime) and _is_private(Path(runtime)) else None
    if folder is None or len(os.fsencode(folder)) > MAX_PATH_BYTES - 40:  # a run's id has 27 characters
        folder = Path("/tmp") / f"pixelhand-{os.getuid()}"  # TMPDIR may be too long for a socket
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_private(folder):
        raise UsageError(
            f"{folder} is not a folder that only you can use, so `agent stop` does not work; "
            "remove it, or set XDG_RUNTIME_DIR to a folder of your own"
        )
    return folder


def _is_private(folder: Path) -> bool:
    """Return whether a path is a folder of this user, not a link, that others can neither read nor write."""
    try:
        information = folder.lstat()
    except OSError:
        return False
    is_own = information.st_uid == os.getuid()
    return stat.S_ISDIR(information.st_mode) and is_own and not information.st_mode & 0o077


class ControlServer:
    """Answers `status` and `stop` for one run, each client in a thread of its own.

    Args:
        run_id: The run's id.
        status: Returns the state of the run.
        stop: Asks the run to stop.
    """

    def __init__(self, run_id: str, status: StatusFn, stop: StopFn) -> None:
        self._status, self._stop = status, stop
        self.path = runtime_folder() / f"{run_id}{SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous_mask = os.umask(0o177)
        try:
            self._socket.bind(str(self.path))
        except OSError as error:
            self._socket.close()
            raise UsageError(f"the control socket {self.path} cannot be made ({error.strerror})") from None
        finally:
            os.umask(previous_mask)
        self._socket.listen(8)
        self._slots = threading.BoundedSemaphore(MAX_CLIENTS)
        self._thread = threading.Thread(target=self._serve, name="pixelhand-control", daemon=True)

    def __enter__(self) -> ControlServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the socket and remove its file."""
        with suppress(OSError):
            self.path.unlink()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        self._thread.join(TIMEOUT_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            connection.settimeout(TIMEOUT_S)
            if not _is_same_user(connection) or not self._slots.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve_client, args=(connection,), daemon=True).start()

    def _serve_client(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                answer = self._answer(connection.recv(MAX_REQUEST_BYTES).strip())
                connection.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            self._slots.release()

    def _answer(self, request: bytes) -> Mapping[str, object]:
        if request == b"status":
            return self._status()
        if request == b"stop":
            self._stop()
            return {"stopping": True}
        return {"error": "a request is either status or stop"}


@contextmanager
def serve_control(run_id: str, status: StatusFn, stop: StopFn, warn: Callable[[str], None]) -> Iterator[None]:
    """Answer `agent stop` within the block; where no socket can be made, warn and go on without one."""
    if not HAS_UNIX_SOCKETS:
        yield
        return
    try:
        server = ControlServer(run_id, status, stop)
    except UsageError as error:
        warn(str(error))
        yield
        return
    with server:
        yield


def running_runs() -> list[str]:
    """Return the ids of the runs of this user that are running, oldest first; remove sockets that nobody serves.

    Raises:
        UsageError: The folder of the sockets is not safe, or the platform has no such sockets.
    """
    if not HAS_UNIX_SOCKETS:
        raise UsageError(
            "`agent stop` needs Unix sockets, which this platform lacks; press Ctrl-C in the run's terminal"
        )
    folder, running = runtime_folder(), []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            _connect(path).close()
        except ConnectionRefusedError:  # its process died
            with suppress(OSError):
                path.unlink()
            continue
        except OSError:  # ended meanwhile, or it is busy
            if not path.exists():
                continue
        running.append(path.name.removesuffix(SUFFIX))
    return running


def find_running(name: str) -> str:
    """Return the id of a running run that is named by its id, the beginning of it, its folder, or "last".

    Raises:
        UsageError: No running run, or several, have this name.
    """
    running = running_runs()
    if name == "last" and running:
        return running[-1]
    wanted = Path(name).name
    matches = [run_id for run_id in running if wanted and run_id.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{len(matches)} runs begin with '{name}': {', '.join(matches[:3])}; write more of the id")
    if not running:
        raise UsageError("no run is running; `agent runs list` lists the finished ones")
    raise UsageError(f"no running run is named '{name}'; running: {', '.join(running[:5])}")


def request(run_id: str, word: str) -> dict[str, object]:
    """Return the answer of a running run to `status` or `stop`.

    Raises:
        UsageError: The run has ended, or does not answer.
    """
    path = runtime_folder() / f"{run_id}{SUFFIX}"
    try:
        with _connect(path) as connection:
            connection.sendall(word.encode() + b"\n")
            data = b""
            while not data.endswith(b"\n") and len(data) < MAX_ANSWER_BYTES:
                part = connection.recv(4096)
                if not part:
                    break
                data += part
        answer = json.loads(data)
    except (FileNotFoundError, ConnectionError):
        raise UsageError(f"the run {run_id} has ended; `agent runs show {run_id}` shows how") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"the run {run_id} does not answer ({error}); end its process by a signal") from None
    return dict(answer) if isinstance(answer, dict) else {}


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_S)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _is_same_user(connection: socket.socket) -> bool:
    """Return whether the other end is a process of this user; where the system does not tell, the folder ensures it."""
    if not sys.platform.startswith("linux"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.getuid())
