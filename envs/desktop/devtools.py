"""Chrome DevTools Protocol over two pipes, for setting up and judging a task in one page.

Pipes have no port that other programs could use. The agent's own actions never go through this connection.
Source: Chrome DevTools Protocol, domains Target, Page and Runtime; --remote-debugging-pipe, messages end with NUL.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any

from actions import SurfaceError
from envs.chromium.clock import DRAW_JS

JsonObject = dict[str, Any]
LOAD_S = 60.0  # for a page or a script, on a busy machine
DIALOG_POLL_S = 0.05
FIRST_LOAD_S = 10.0  # for the first page; a slower one is shown while it loads


class DevtoolsTimeoutError(SurfaceError):
    """Chromium or the page did not answer in time; the display itself may still work."""


class RejectedError(SurfaceError):
    """Chromium rejected a command, such as one for a page that navigated, or ended before it answered."""


class DialogOpenedError(SurfaceError):
    """A dialog of the page opened, which runs no script until it is answered."""


class Devtools:
    """A connection to one page of Chromium."""

    def __init__(self, write: int, read: int) -> None:
        """Start listening.

        Args:
            write: file descriptor of the pipe whose other end is the browser's descriptor 3.
            read: file descriptor of the pipe whose other end is the browser's descriptor 4. close() closes both.
        """
        self._write, self._read = write, read
        self._lock = threading.Lock()
        self._last_id = 0
        self._pending: dict[int, SimpleQueue[JsonObject]] = {}
        self._is_closed = False
        self.has_dialog = False  # a JavaScript dialog is open in the page
        self._target = ""
        self._session = ""
        self._thread = threading.Thread(target=self._listen, name="pixelhand-devtools", daemon=True)
        self._thread.start()

    def attach(self, script: str, timeout_s: float) -> None:
        """Attach to the first page and run a script in each of its documents before the document's own."""
        deadline = time.monotonic() + timeout_s
        while not (pages := self._page_ids(max(deadline - time.monotonic(), 0.1))):
            if time.monotonic() > deadline:
                raise DevtoolsTimeoutError(f"Chromium opened no page within {timeout_s:.0f} s")
            time.sleep(0.05)
        self._target = pages[0]
        result = self.send("Target.attachToTarget", {"targetId": self._target, "flatten": True}, "")
        self._session = result["sessionId"]
        self.send("Page.enable")
        if script:
            self.send("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    @property
    def url(self) -> str:
        """The page's address."""
        return str(self.send("Target.getTargetInfo", {"targetId": self._target}, "")["targetInfo"]["url"])

    def tab_urls(self) -> list[str]:
        """Return the addresses of the browser's tabs."""
        targets = self.send("Target.getTargets", {}, "")["targetInfos"]
        return [str(target["url"]) for target in targets if target["type"] == "page"]

    def goto(self, url: str) -> None:
        """Open an address, wait until it is loaded, and give its page the keyboard focus.

        Raises:
            SurfaceError: if it does not load, or a dialog of the page blocks it.
        """
        result = self.send("Page.navigate", {"url": url}, timeout_s=LOAD_S)
        if result.get("errorText") == "net::ERR_ABORTED":  # by a navigation that the page began at the same time
            result = self.send("Page.navigate", {"url": url}, timeout_s=LOAD_S)
        if result.get("errorText"):
            raise SurfaceError(f"{url} could not be opened: {result['errorText']}")
        deadline = time.monotonic() + LOAD_S
        while self.evaluate("document.readyState") != "complete":
            if time.monotonic() > deadline:
                raise DevtoolsTimeoutError(f"{url} did not load within {LOAD_S:.0f} s")
            time.sleep(0.02)
        self.send("Page.bringToFront")  # the page gets the keyboard focus, as after a person opened it

    def wait_for_first_page(self, timeout_s: float = FIRST_LOAD_S) -> None:
        """Wait until the browser's first page is loaded or opens a dialog, at most for the given time."""
        deadline = time.monotonic() + timeout_s
        while not self.has_dialog and time.monotonic() < deadline:
            try:
                if self.evaluate("location.href != 'about:blank' && document.readyState == 'complete'"):
                    return
            except SurfaceError:
                if not self.has_dialog:  # otherwise the dialog opened during the call
                    raise
            time.sleep(0.02)

    def evaluate(self, js: str, timeout_s: float = LOAD_S, *, stops_at_dialog: bool = False) -> object:
        """Return the JSON value of an expression evaluated in the page; promises are awaited.

        Raises:
            DialogOpenedError: if a dialog opens before the value is there and `stops_at_dialog`.
            SurfaceError: if the script fails or cannot run.
        """
        if self.has_dialog:
            raise SurfaceError("no script can run in the page while it has a dialog open")
        parameters = {"expression": js, "awaitPromise": True, "returnByValue": True}
        result = self.send("Runtime.evaluate", parameters, timeout_s=timeout_s, stops_at_dialog=stops_at_dialog)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            message = str(details.get("exception", {}).get("description") or details.get("text", ""))
            raise SurfaceError(
                f"a script in the page failed: {message.splitlines()[0][:300] if message else 'no reason given'}"
            )
        return result["result"].get("value")

    def advance(self, js: str) -> object:
        """Return the value of an expression that advances the page's clock.

        It is None where the page ends or a dialog stops it meanwhile: nothing is left to be awaited then.
        """
        if self.has_dialog:
            return None
        try:
            return self.evaluate(js, stops_at_dialog=True)
        except (DialogOpenedError, RejectedError):
            return None

    def wait_until_drawn(self, timeout_s: float = 1.0) -> bool:
        """Return whether a visible practice page draws its present state within the time."""
        if self.has_dialog:
            return True
        try:
            self.evaluate(DRAW_JS, timeout_s)
        except DevtoolsTimeoutError:
            if self._is_closed:
                raise
            return self.has_dialog
        return True

    def send(
        self,
        method: str,
        parameters: Mapping[str, object] | None = None,
        session: str | None = None,
        timeout_s: float = 10.0,
        *,
        stops_at_dialog: bool = False,
    ) -> JsonObject:
        """Send one command and return its result.

        Args:
            method: name of the command.
            parameters: its parameters.
            session: the page's session if None, "" for the browser.
            timeout_s: time for the result.
            stops_at_dialog: do not wait for the result of a page that a dialog stops.

        Raises:
            DialogOpenedError: if a dialog opens first.
            SurfaceError: if the command fails or the browser has ended.
            DevtoolsTimeoutError: if no result arrives in time.
        """
        queue: SimpleQueue[JsonObject] = SimpleQueue()
        with self._lock:
            self._last_id += 1
            message_id = self._last_id
            self._pending[message_id] = queue
            message: dict[str, object] = {"id": message_id, "method": method, "params": parameters or {}}
            if (session := self._session if session is None else session) != "":
                message["sessionId"] = session
            try:
                if self._is_closed:
                    raise BrokenPipeError
                data = json.dumps(message).encode() + b"\0"
                while data:
                    data = data[os.write(self._write, data) :]
            except OSError:
                raise SurfaceError("Chromium has ended; start the run again") from None
        try:
            response = self._wait_for(queue, timeout_s) if stops_at_dialog else queue.get(timeout=timeout_s)
        except Empty:
            raise DevtoolsTimeoutError(f"Chromium did not answer {method} within {timeout_s:.0f} s") from None
        finally:
            del self._pending[message_id]
        if "error" in response:
            raise RejectedError(f"Chromium rejected {method}: {response['error'].get('message', '')}")
        result: JsonObject = response["result"]
        return result

    def _wait_for(self, queue: SimpleQueue[JsonObject], timeout_s: float) -> JsonObject:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return queue.get(timeout=DIALOG_POLL_S)
            except Empty:
                if self.has_dialog:
                    raise DialogOpenedError("a dialog of the page opened") from None
                if time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Close the pipes; a browser that still runs ends then."""
        with self._lock:
            self._is_closed = True
            with contextlib.suppress(OSError):
                os.close(self._write)
        self._thread.join(5.0)  # the browser ends with its pipe, and the thread with the browser
        with contextlib.suppress(OSError):
            os.close(self._read)

    def _page_ids(self, timeout_s: float) -> list[str]:
        targets = self.send("Target.getTargets", {}, "", timeout_s)["targetInfos"]
        return [target["targetId"] for target in targets if target["type"] == "page"]

    def _listen(self) -> None:
        remainder = b""
        while data := self._read_bytes():
            *messages, remainder = (remainder + data).split(b"\0")
            for message in messages:
                self._handle(json.loads(message))
        self._is_closed = True
        for queue in list(self._pending.values()):
            queue.put({"error": {"message": "the browser has ended"}})

    def _read_bytes(self) -> bytes:
        try:
            return os.read(self._read, 1 << 16)
        except OSError:
            return b""

    def _handle(self, message: Mapping[str, Any]) -> None:
        if queue := self._pending.get(message.get("id", 0)):
            queue.put(dict(message))
        elif message.get("method") == "Page.javascriptDialogOpening":
            self.has_dialog = True
        elif message.get("method") == "Page.javascriptDialogClosed":
            self.has_dialog = False
