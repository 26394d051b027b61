"""Pages that the network rules refuse, in a whole run: notices, the trace, and the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.safety.url_policy import UrlGuard
from agent.trace import TraceWriter, new_folder, read_trace
from envs.live import LiveEnv
from envs.network.rules import NetworkRules
from envs.surfaces.browser import Surface
from perf.guard_cases.sites import WebPage, canary_sites

pytestmark = pytest.mark.usefixtures("chromium")


def test_third_refused_page_ends_run(tmp_path: Path) -> None:
    with canary_sites() as sites:
        sites.pages["/blank"] = WebPage("ok")
        for number in range(3):
            target = {"Location": f"{sites.canary}/{number}"}
            sites.pages[f"/{number}"] = WebPage("", status=302, headers=target)
        start, folder = f"{sites.allowed}/blank", new_folder(tmp_path)
        writer = TraceWriter(folder, {"goal": "go", "policy": {}})
        replies = [f'{{"verb": "open", "target": "{sites.allowed}/{number}"}}' for number in range(3)]
        policy = ScriptPolicy([*replies, '{"verb": "answer", "text": "reached"}'])
        with Surface(start, width=400, height=300, network=NetworkRules(("127.0.0.1",))) as surface:
            env = LiveEnv(surface, guard=UrlGuard(hosts=("127.0.0.1",), start=start))
            episode = run("go", env, policy, max_steps=5, trace=writer)
        writer.close()
        assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "denied", 3)
        assert sites.hits == []
        notes = [event["note"] for event in read_trace(folder).finished]
        assert f"--allow-host localhost:{sites.canary_port}" in notes[0]
        assert all("refused by the network rules" in note for note in notes)
