"""`python -m envs.chromium`: print the browser that would be used; without one, say what to install, exit code 2."""

import sys

from actions import UsageError
from envs.chromium.find import find_chrome

if __name__ == "__main__":
    try:
        print(find_chrome())
    except UsageError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
