"""`python -m envs.chromium`: start the browser that would be used once, and print its path.

The exit code is 2, with what to install, when there is none or it does not start: the program may exist while its
libraries are missing.
"""

import subprocess
import sys

from actions import SurfaceError, UsageError
from envs.chromium.executable import find_chrome, install_command
from envs.chromium.flags import BROWSER_FLAGS, OFFLINE_FLAGS
from envs.chromium.launch import use_sandbox


def check_start(path: str) -> None:
    """Start the browser and let it print an empty page.

    Raises:
        SurfaceError: It does not start; the message quotes its first error line.
    """
    flags = [*BROWSER_FLAGS, *OFFLINE_FLAGS, *([] if use_sandbox() else ["--no-sandbox"])]
    command = [path, "--headless", *flags, "--dump-dom", "about:blank"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SurfaceError(f"{path} does not start: {error}") from None
    if "<html" not in result.stdout:
        reason = next((line for line in result.stderr.splitlines() if line.strip()), f"exit code {result.returncode}")
        raise SurfaceError(f"{path} does not start: {reason[:200]}. Install another one: {install_command()}")


if __name__ == "__main__":
    try:
        executable = str(find_chrome())
        check_start(executable)
        print(executable)
    except (SurfaceError, UsageError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
