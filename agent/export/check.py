"""check_code: run exported code in processes of their own, and name the step that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.export.run import ExportError
from agent.export.source import SourceBuilder, error_reason

RUNS = 2
LIMIT_S = 300.0
KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "DISPLAY", "XAUTHORITY", "PLAYWRIGHT_BROWSERS_PATH", "SYSTEMROOT",
    "USERPROFILE", "LOCALAPPDATA", "PROGRAMFILES", "ANDROID_ADB_SERVER_PORT",
)  # fmt: skip
OWN_PACKAGES = ("pixelhand", "actions", "model", "envs", "agent", "training", "evals", "perf")
WITHOUT_PACKAGE = f"import sys; sys.modules.update(dict.fromkeys({OWN_PACKAGES!r})); "  # their import fails
SCRIPT = WITHOUT_PACKAGE + "import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"
PYTEST_FLAGS = ("-q", "--tb=native", "-p", "no:cacheprovider", "-p", "no:pixelhand")  # the last: this package's plugin
TEST = WITHOUT_PACKAGE + f"import pytest; sys.exit(pytest.main([*{PYTEST_FLAGS!r}, sys.argv[1]]))"


def check_code(
    source: SourceBuilder, name: str, launcher: str, variables: Sequence[str], extra: Mapping[str, str]
) -> None:
    """Run code twice, each time in a fresh process in an empty folder, where this package cannot be imported.

    Args:
        source: The code.
        name: The name of its file.
        launcher: What the process executes: SCRIPT or TEST.
        variables: Environment variables that the code reads, besides those of every process.
        extra: Further environment variables.

    Raises:
        ExportError: A run failed; the message names its step.
    """
    for number in range(1, RUNS + 1):
        run_code(source, name, launcher, variables, extra, number)


def run_code(
    source: SourceBuilder,
    name: str,
    launcher: str,
    variables: Sequence[str],
    extra: Mapping[str, str],
    number: int,
) -> None:
    """Run code once, in a fresh process in an empty folder, where this package cannot be imported.

    Args:
        source: The code.
        name: The name of its file.
        launcher: What the process executes: SCRIPT or TEST.
        variables: Environment variables that the code reads, besides those of every process.
        extra: Further environment variables.
        number: Which of the RUNS it is, for messages.

    Raises:
        ExportError: It failed; the message names its step.
    """
    with tempfile.TemporaryDirectory(prefix="pixelhand-export-") as folder:
        path = Path(folder) / name
        path.write_text(source.text(), encoding="utf-8")
        environ = {key: os.environ[key] for key in (*KEPT_VARIABLES, *variables) if key in os.environ}
        try:
            result = subprocess.run(
                [sys.executable, "-I", "-c", launcher, str(path)],
                cwd=folder,
                env={**environ, **extra},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ExportError(f"run {number} of {RUNS} of the code did not end within {LIMIT_S:.0f} s") from None
    if result.returncode:
        output = f"{result.stdout}\n{result.stderr}"
        raise ExportError(f"run {number} of {RUNS} of the code failed {_failure(source, name, output)}")


def _failure(source: SourceBuilder, name: str, output: str) -> str:
    """Return at which step a process failed, and why."""
    numbers = [int(number) for number in re.findall(rf'{re.escape(name)}", line (\d+)', output)]
    steps = [step for number in numbers if (step := source.step_at(number))]
    errors = [match.start() for match in re.finditer(r"^(?:[\w.]+\.)?\w*(?:Error|Exception)\b", output, re.MULTILINE)]
    reason = error_reason(output[errors[-1] :] if errors else output.strip().rpartition("\n")[2])
    return f"at {'step ' + steps[-1] if steps else 'its start'}: {reason}"
