"""End to end: the official client starts `agent mcp`, captures a page in a real browser and clicks on it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcp", reason="the package mcp is missing (extra [mcp])")

from helpers.mcp_tools import MCP_TOOLS
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from PIL import Image

from actions import UsageError
from agent.trace import Trace, list_runs
from envs.chromium.executable import find_chrome

ROOT = Path(__file__).parent.parent.parent
PAGE = b"""<!doctype html><style>* { position: absolute; margin: 0 }</style>
<button style="left: 20px; top: 20px; width: 200px; height: 60px"
 onclick="document.body.style.background = 'rgb(0, 128, 0)'">Go</button>"""


@pytest.fixture
def page_url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def image_of(result: Any) -> np.ndarray:
    (data,) = [part.data for part in result.content if part.type == "image"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_official_client_captures_page_and_clicks(page_url: str, tmp_path: Path) -> None:
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    arguments = ["-m", "agent", "mcp", "--url", page_url, "--runs", str(tmp_path / "runs"), "--allow-host", "127.0.0.1"]
    server = StdioServerParameters(command=sys.executable, args=arguments, cwd=ROOT, env=dict(os.environ))

    async def connect_and_call() -> Any:
        async with Client(server, read_timeout_seconds=90) as client:
            tools = await client.list_tools()
            before = await client.call_tool("screenshot", {})
            after = await client.call_tool("act", {"action": {"verb": "click", "x": 120, "y": 50}})
            denied = await client.call_tool("act", {"action": {"verb": "open", "target": "https://example.org/"}})
            return [tool.name for tool in tools.tools], before, after, denied

    tools, before, after, denied = asyncio.run(connect_and_call())
    assert set(tools) == MCP_TOOLS
    assert image_of(before).shape == (728, 1288, 3)
    assert (image_of(before)[400, 600] == 255).all()
    assert not after.is_error
    assert tuple(image_of(after)[400, 600]) == (0, 128, 0)
    assert denied.is_error
    assert "rule 'hosts'" in denied.content[0].text


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM")
def test_signal_ends_session_with_trace(page_url: str, tmp_path: Path) -> None:
    """The client keeps standard input open; the process ends all the same."""
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(str(error))
    arguments = ["mcp", "--url", page_url, "--runs", str(tmp_path / "runs"), "--policy", "sandbox"]
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    client = {"name": "test", "version": "1"}
    start = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    call = {"name": "act", "arguments": {"action": {"verb": "click", "x": 100, "y": 50}}}
    messages = [("initialize", start, 1), ("notifications/initialized", {}, None), ("tools/call", call, 2)]
    for method, parameters, number in messages:
        message = {"jsonrpc": "2.0", "method": method, "params": parameters} | ({"id": number} if number else {})
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        if number is not None:
            assert json.loads(process.stdout.readline())["id"] == number
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    process.stdin.close()
    process.stdout.close()
    (run_id,) = list_runs(tmp_path / "runs")
    end = Trace.open(tmp_path / "runs" / run_id).first("end")
    assert (end["status"], end["cause"], end["steps"]) == ("stopped", "signal", 1)
