"""export_run: write a run as code for a target, and check the code."""

from __future__ import annotations

import ast
import os
from typing import Literal

from actions import UsageError
from agent.export.check import SCRIPT, TEST, check_code
from agent.export.run import ExportedRun
from envs.chromium.executable import find_chrome

Target = Literal["playwright", "pytest", "pyautogui", "adb"]
SURFACES: dict[Target, str] = {"playwright": "browser", "pytest": "browser", "pyautogui": "desktop", "adb": "android"}


def export_run(run: ExportedRun, target: Target, *, checks: bool, repeats_approved: bool = False) -> str:
    """Return a run as code.

    Args:
        run: The run.
        target: What the code uses.
        checks: Run the code twice.
        repeats_approved: Check it although the run did what a person had to approve.

    Raises:
        UsageError: The run does not fit the target, or the check needs something.
        ExportError: The code does not do what the run did.
    """
    surface = run.surface.partition(":")[0]
    if surface != SURFACES[target]:
        fitting = " or ".join(f"--to {name}" for name, needed in SURFACES.items() if needed == surface)
        raise UsageError(
            f"--to {target} takes runs of the surface '{SURFACES[target]}', and {run.name} is one of '{surface}'"
            + (f"; use {fitting}" if fitting else "")
        )
    if checks:
        _require_checkable(run, repeats_approved)
    from agent.export.playwright_code import CHROME_VARIABLE, write_playwright, write_pytest

    write = write_pytest if target == "pytest" else write_playwright
    source = write(run, checks=checks)
    ast.parse(source.text())
    if checks:
        name, launcher = ("test_export.py", TEST) if target == "pytest" else ("export.py", SCRIPT)
        check_code(source, name, launcher, run.variables, {CHROME_VARIABLE: str(find_chrome())})
    return source.text()


def _require_checkable(run: ExportedRun, repeats_approved: bool) -> None:
    """Raise UsageError where the code cannot or should not be run."""
    if missing := [name for name in run.variables if name not in os.environ]:
        raise UsageError(
            f"the run typed what its trace does not contain; set {', '.join(missing)} in the environment for the "
            "check, or use --no-check"
        )
    if run.is_approved and not repeats_approved:
        raise UsageError(
            f"the run {run.name} did what you had to approve, and the check would do it again, without asking; "
            "use --repeat-approved, or --no-check"
        )
