"""Chromium's debugging line over two pipes: no port that others on the machine could use. Knows JSON and one page.

It is for setting up and judging a task, never for acting: what an agent does goes through pointer and keys.
Source: Chrome DevTools Protocol, domains Target, Page and Runtime; --remote-debugging-pipe, messages end with a NUL.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

from actions import SurfaceError

LOAD_S = 60.0  # of a page or a script, on a machine that is busy with other things
FIRST_S = 10.0  # for the first page; a slow one is seen loading


class Devtools:
    """write and read: the ends of pipes whose other ends are the browser's descriptors 3 and 4. It closes them."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, SimpleQueue[dict[str, Any]]] = {}
        self._dead = False
        self.asking = False  # a JavaScript dialog is open in the page
        self._target = ""
        self._session = ""
        self._thread = threading.Thread(target=self._listen, name="pixelhand-devtools", daemon=True)
        self._thread.start()

    def attach(self, script: str, timeout_s: float) -> None:
        """Take hold of the first page, and have each of its documents run a script before its own."""
        end = time.monotonic() + timeout_s
        while not (pages := self._pages(max(end - time.monotonic(), 0.1))):
            if time.monotonic() > end:
                raise SurfaceError(f"Chromium opened no page within {timeout_s:.0f} s")
            time.sleep(0.05)
        self._target = pages[0]
        answer = self.send("Target.attachToTarget", {"targetId": self._target, "flatten": True}, "")
        self._session = answer["sessionId"]
        self.send("Page.enable")
        if script:
            self.send("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    @property
    def url(self) -> str:
        """The page's address."""
        return str(self.send("Target.getTargetInfo", {"targetId": self._target}, "")["targetInfo"]["url"])

    def goto(self, address: str) -> None:
        """Until the address is loaded. SurfaceError when it is not, or a dialog of the page holds it up."""
        answer = self.send("Page.navigate", {"url": address}, timeout_s=LOAD_S)
        if answer.get("errorText"):
            raise SurfaceError(f"{address} was not opened ({answer['errorText']})")
        end = time.monotonic() + LOAD_S
        while self.evaluate("document.readyState") != "complete":
            if time.monotonic() > end:
                raise SurfaceError(f"{address} was not loaded within {LOAD_S:.0f} s")
            time.sleep(0.02)

    def await_first(self, most_s: float = FIRST_S) -> None:
        """Until the page that the browser was started with is loaded, a dialog of it asks, or the time is over."""
        end = time.monotonic() + most_s
        while not self.asking and time.monotonic() < end:
            try:
                if self.evaluate("location.href != 'about:blank' && document.readyState == 'complete'"):
                    return
            except SurfaceError:
                if not self.asking:  # else its dialog came meanwhile
                    raise
            time.sleep(0.02)

    def evaluate(self, js: str, timeout_s: float = LOAD_S) -> Any:
        """The JSON value of an expression in the page, promises awaited."""
        if self.asking:
            raise SurfaceError("no script can run in the page while its dialog waits")
        fields = {"expression": js, "awaitPromise": True, "returnByValue": True}
        answer = self.send("Runtime.evaluate", fields, timeout_s=timeout_s)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            said = details.get("exception", {}).get("description") or details.get("text", "")
            raise SurfaceError(
                f"a script in the page failed: {str(said).splitlines()[0][:300] if said else 'no reason'}"
            )
        return answer["result"].get("value")

    def painted(self, timeout_s: float = 1.0) -> bool:
        """Whether the page has drawn what it is now, or has so within the time. Only for a page that is shown."""
        if self.asking:
            return True
        try:
            self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))", timeout_s)
        except SurfaceError as error:
            if self._dead or "within" not in str(error):
                raise
            return self.asking
        return True

    def send(
        self, method: str, fields: dict[str, Any] | None = None, session: str | None = None, timeout_s: float = 10.0
    ) -> dict[str, Any]:
        """One command's answer. SurfaceError when it fails, the browser has ended, or the time passed."""
        box: SimpleQueue[dict[str, Any]] = SimpleQueue()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = box
            message: dict[str, Any] = {"id": number, "method": method, "params": fields or {}}
            if (session := self._session if session is None else session) != "":
                message["sessionId"] = session
            try:
                if self._dead:
                    raise BrokenPipeError
                data = json.dumps(message).encode() + b"\0"
                while data:
                    data = data[os.write(self._write, data) :]
            except OSError:
                raise SurfaceError("Chromium has ended; start the run again") from None
        try:
            answer = box.get(timeout=timeout_s)
        except Empty:
            raise SurfaceError(f"Chromium did not answer {method} within {timeout_s:.0f} s") from None
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise SurfaceError(f"Chromium refused {method}: {answer['error'].get('message', '')}")
        return answer["result"]

    def close(self) -> None:
        """Close the pipes; a browser that still runs ends then, too."""
        with self._lock:
            self._dead = True
            with contextlib.suppress(OSError):
                os.close(self._write)
        self._thread.join(5.0)  # ends with the browser, which the closed pipe ends
        with contextlib.suppress(OSError):
            os.close(self._read)

    def _pages(self, timeout_s: float) -> list[str]:
        targets = self.send("Target.getTargets", {}, "", timeout_s)["targetInfos"]
        return [target["targetId"] for target in targets if target["type"] == "page"]

    def _listen(self) -> None:
        rest = b""
        while data := self._some():
            *messages, rest = (rest + data).split(b"\0")
            for message in messages:
                self._take(json.loads(message))
        self._dead = True
        for box in list(self._waiting.values()):
            box.put({"error": {"message": "it has ended"}})

    def _some(self) -> bytes:
        try:
            return os.read(self._read, 1 << 16)
        except OSError:
            return b""

    def _take(self, message: dict[str, Any]) -> None:
        if box := self._waiting.get(message.get("id", 0)):
            box.put(message)
        elif message.get("method") == "Page.javascriptDialogOpening":
            self.asking = True
        elif message.get("method") == "Page.javascriptDialogClosed":
            self.asking = False
