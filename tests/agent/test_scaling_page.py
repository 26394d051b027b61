"""The serve command of each family whose weights can be had has the budget of its dialect."""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from agent.policies.remote.endpoint import parse_endpoint
from agent.policies.remote.profile import resolve_profile
from model.checkpoints.model_zoo import families, serve_commands

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "dialects.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| `(\S+/[^`]+)` \| `(\?dialect=[^`]+)` \|$", PAGE, re.MULTILINE)


def test_served_families_have_a_command() -> None:
    expected = {family.dialect for family in families() if family.checkpoints}
    assert expected == {parse_endpoint(f"http://h/v1{query}#x").options["dialect"] for _, _, query in ROWS}
    known = {checkpoint.hub_id: family.dialect for family in families() for checkpoint in family.checkpoints}
    for _, line, query in ROWS:
        assert known[shlex.split(line)[0]] == parse_endpoint(f"http://h/v1{query}#x").options["dialect"]


def test_page_has_the_commands_of_the_dialects() -> None:
    commands = [command for family in families() for command in serve_commands(family)]
    assert [(line, query) for _, line, query in ROWS] == [
        (f"{command.hub_id} {command.arguments}".strip(), command.query) for command in commands
    ]


@pytest.mark.parametrize(("line", "query"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_served_image_budgets_fit(line: str, query: str) -> None:
    words = shlex.split(line)
    address = parse_endpoint(f"http://h/v1{query}#{words[0]}")
    speech = resolve_profile("elsewhere", None, address.options)
    import_module(f"model.dialects.{speech.dialect}").Dialect(speech.limits, speech.tool)  # it has such a tool
    if "--mm-processor-kwargs" in words:
        budget = json.loads(words[words.index("--mm-processor-kwargs") + 1])
        assert budget["max_pixels"] >= speech.limits.max_pixels
        assert budget.get("min_pixels", 0) <= speech.limits.min_pixels
