"""The command `agent serve`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]


def test_command_serves_loopback_with_token() -> None:
    command = [sys.executable, "-m", "agent", "serve", "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "PIXELHAND_API_KEY"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
        token = process.stdout.readline().partition("token: ")[2].strip()
        assert url is not None
        assert len(token) >= 24
        for bearer, status in ((token, 200), ("other", 401)):
            headers = {"Authorization": f"Bearer {bearer}"}
            assert httpx.get(f"{url[0]}/models", headers=headers, timeout=60).status_code == status
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("flags", [["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--allow-host", "me", "--no-token"]])
def test_public_address_needs_token_and_host(flags: list[str]) -> None:
    import typer

    from actions import UsageError
    from model.serve.cli import app

    with pytest.raises(UsageError, match="--allow-host"):
        typer.main.get_command(app).main(flags, standalone_mode=False)
