"""export_run: write a run as code for a target, and check the code."""

from __future__ import annotations

import ast
import os
from typing import Literal

from actions import UsageError
from agent.export.check import SCRIPT, TEST, check_code
from agent.export.desktop_code import write_pyautogui
from agent.export.phone_code import write_adb
from agent.export.playwright_code import CHROME_VARIABLE, write_playwright, write_pytest
from agent.export.run import ExportedRun, read_exported_run
from agent.export.source import SourceBuilder
from agent.trace import Trace
from envs.chromium.executable import find_chrome

Target = Literal["playwright", "pytest", "pyautogui", "adb"]
SURFACES: dict[Target, str] = {"playwright": "browser", "pytest": "browser", "pyautogui": "desktop", "adb": "android"}


def export_run(trace: Trace, target: Target, *, checks: bool, repeats_approved: bool = False) -> str:
    """Return a run as code.

    Args:
        trace: The run.
        target: What the code uses.
        checks: Run the code twice.
        repeats_approved: Check it although the run did what a person had to approve.

    Raises:
        UsageError: The run does not fit the target, or the check needs something.
        ExportError: The code does not do what the run did.
    """
    run = read_exported_run(trace)
    surface = run.surface.partition(":")[0]
    if surface != SURFACES[target]:
        fitting = " or ".join(f"--to {name}" for name, needed in SURFACES.items() if needed == surface)
        raise UsageError(
            f"--to {target} takes runs of the surface '{SURFACES[target]}', and {run.name} is one of '{surface}'"
            + (f"; use {fitting}" if fitting else "")
        )
    if checks:
        _require_checkable(run, repeats_approved)
    source = _write(run, target, checks=checks)
    ast.parse(source.text())
    if checks and target in ("playwright", "pytest"):
        name, launcher = ("test_export.py", TEST) if target == "pytest" else ("export.py", SCRIPT)
        check_code(source, name, launcher, run.variables, {CHROME_VARIABLE: str(find_chrome())})
    elif checks:
        from agent.export.screen_check import check_on_screen

        check_on_screen(source, run, trace)
    return source.text()


def _write(run: ExportedRun, target: Target, *, checks: bool) -> SourceBuilder:
    if target == "playwright":
        return write_playwright(run, checks=checks)
    if target == "pytest":
        return write_pytest(run, checks=checks)
    if run.task:
        raise UsageError(
            f"--to {target} cannot start the practice page of {run.name}, whose seed only a browser's script can set; "
            "record the run with --surface browser and use --to playwright"
        )
    return write_pyautogui(run, checks=checks) if target == "pyautogui" else write_adb(run, checks=checks)


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
