"""`python -m envs.chromium`: start the browser that would be used, once, and print its path.

Exit code 2, with what to install, when there is none or it does not start: a file alone is no browser, for its
libraries may be missing.
"""

import subprocess
import sys

from actions import SurfaceError, UsageError
from envs.chromium.executable import find_chrome, install_command
from envs.chromium.launch import use_sandbox
from envs.miniwob.pages import BROWSER_FLAGS


def start(path: str) -> None:
    """Have it print an empty page. SurfaceError with its first words when it does not."""
    flags = [*BROWSER_FLAGS, *([] if use_sandbox() else ["--no-sandbox"])]
    command = [path, "--headless", *flags, "--dump-dom", "about:blank"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SurfaceError(f"{path} does not start ({error})") from None
    if "<html" not in done.stdout:
        why = next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
        raise SurfaceError(f"{path} does not start ({why[:200]}); another can be had with: {install_command()}")


if __name__ == "__main__":
    try:
        found = str(find_chrome())
        start(found)
        print(found)
    except (SurfaceError, UsageError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
