"""`agent record` in a process of its own, and a person's clicks and texts in its viewer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.agent_fakes import HERE

ROOT = HERE.parent.parent


class RecordCommand:
    """`agent record` in a process of its own, with the address of its viewer."""

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        line = [sys.executable, "-u", "-m", "agent", "record", *arguments, "--runs", str(tmp_path / "runs")]
        self._errors = (tmp_path / "errors.txt").open("w+")
        self.process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        assert self.process.stdout is not None
        lines = (text.split()[1] for text in self.process.stdout if text.startswith("view "))
        self.url = next(lines, "")
        assert self.url, (tmp_path / "errors.txt").read_text()

    def wait(self) -> int:
        """Return the exit code."""
        self.process.communicate(timeout=120)
        return self.process.returncode

    def close(self) -> None:
        """End the process if a failed test left it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self._errors.close()


def click(page: Any, point: tuple[int, int], count: int, size: tuple[int, int] = (1288, 728)) -> None:
    """Click at a pixel of the run's screen of this size; `count` clicks are listed afterwards."""
    page.wait_for_selector("#frame.taken")
    box = page.locator("#screen").bounding_box()
    page.mouse.click(box["x"] + box["width"] * point[0] / size[0], box["y"] + box["height"] * point[1] / size[1])
    page.locator("#entries li.person", has_text="click (").nth(count - 1).wait_for()


def type_text(page: Any, text: str, count: int) -> None:
    """Type with the field below the screen; `count` texts are listed afterwards."""
    page.fill("#typed", text)
    page.click("#keyboard button[type=submit]")
    page.locator("#entries li.person", has_text="type").nth(count - 1).wait_for()
