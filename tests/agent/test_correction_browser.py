"""A correction in the viewer of a run in Chromium: carried out where it was moved to, a case, and replayed there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent
from helpers.viewer_page import ViewedRun, open_page
from helpers.write_site import WriteSite, serve_writes

from agent.config import Settings
from agent.session import run_session
from agent.trace import read_trace

pytestmark = pytest.mark.usefixtures("chromium")
BOX = "position:fixed;left:100px;width:200px;height:60px;top:"
PAGE = f"""<title>Order</title><form action=/done method=post>
<button style="{BOX}100px" name=kind value=all>Empty</button>
<button style="{BOX}300px" name=kind value=one>Order</button></form>"""
EMPTY, ORDER, SIZE = (200, 130), (200, 330), (1288, 728)


@pytest.fixture
def site() -> Iterator[WriteSite]:
    with serve_writes() as served:
        served.add("/form", PAGE)
        served.add("/done", "<title>Thanks</title><h1>Ordered</h1>")
        yield served


def start_run(folder: Path, url: str) -> ViewedRun:
    """Start a scripted run that clicks on the wrong button, each action approved in the viewer."""
    script = folder / "script.jsonl"
    script.write_text('{"verb": "click", "x": 200, "y": 130}\n{"verb": "done"}\n')
    settings = Settings(url=url, approve="each", policy="sandbox", runs=str(folder / "runs"))

    def run(user: Any) -> Any:
        return run_session("order it", settings, user.display, person=user.person, script=script, control=user.control)

    return ViewedRun(settings, run)


def test_correction_is_done_evaluated_and_replayed(site: WriteSite, agent: Agent, tmp_path: Path) -> None:
    run = start_run(tmp_path, f"{site.origin}/form")
    with open_page(run.display.viewer_url) as page:
        page.locator("#question-text", has_text="Empty").wait_for()
        page.wait_for_timeout(600)  # until the ring can be moved
        box = page.locator("#screen").bounding_box()
        corners = [
            (box["x"] + box["width"] * x / SIZE[0], box["y"] + box["height"] * y / SIZE[1]) for x, y in (EMPTY, ORDER)
        ]
        page.mouse.move(*corners[0])
        page.mouse.down()
        page.mouse.move(*corners[1], steps=4)
        page.mouse.up()
        page.locator("#question-text", has_text='button "Order"').wait_for()
        page.wait_for_timeout(600)
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
    episode = run.wait()
    assert [write.body for write in site.writes] == [b"kind=one"]
    folder = Path(episode.run)
    approvals = [event for event in read_trace(folder).events if event["event"] == "approval"]
    assert [event["answer"] for event in approvals] == ["edited", "approved"]
    code, out, err = agent("runs", "corrections", str(folder), "--to", str(tmp_path / "cases"))
    assert code == 0, out + err
    (case,) = json.loads((tmp_path / "cases" / "annotations" / "corrections.json").read_text())
    assert case["instruction"] == 'button "Order"'
    assert case["bbox"] == [100, 300, 299, 359]
    code, out, err = agent("replay", str(folder), "--policy", "sandbox", "--runs", str(tmp_path / "runs"))
    assert code == 0, out + err
    assert [write.body for write in site.writes] == [b"kind=one"] * 2
