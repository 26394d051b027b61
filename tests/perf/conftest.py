from __future__ import annotations

import pytest

from actions import UsageError
from envs.chromium.executable import find_chrome


@pytest.fixture(scope="session")
def chrome() -> str:
    """Return the path of Chromium; skip the test where there is none."""
    try:
        return str(find_chrome())
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
