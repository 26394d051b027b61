"""Runs that type a stored secret, and the search for it in everything that they wrote."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from actions import Surface
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.safety.approval import ApprovalRequest
from agent.safety.guard import ActionGuard
from agent.safety.policy import load_safety_policy
from agent.safety.secret_store import SecretStore
from agent.trace import Trace, TraceWriter, new_folder, read_trace
from envs.live import LiveEnv
from envs.stability import SettleOptions

AT_ONCE = SettleOptions(0.0, 0.0, 0.0, 0.0)


class ApprovingPerson:
    """A person who approves everything."""

    def approve(self, request: ApprovalRequest) -> str:
        return "y"

    def paused(self, reason: str) -> str:
        return ""


def spellings(secret: str) -> set[bytes]:
    """Return the forms in which a secret would stand in a file."""
    data = secret.encode()
    texts = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], data.hex()}
    texts |= {json.dumps(secret, ensure_ascii=False)[1:-1], base64.b64encode(data).decode().rstrip("=")}
    return {text.encode() for text in texts}


def leaks(folder: Path, output: str, *secrets: str) -> list[str]:
    """Return where one of the secrets stands in the files of a folder or in an output."""
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files["output"] = output.encode()
    needles = [(secret, needle) for secret in secrets for needle in spellings(secret)]
    return [
        f"{secret} as {needle!r} in {name}"
        for name, data in files.items()
        for secret, needle in needles
        if needle in data
    ]


def run_with_secrets(
    surface: Surface, root: Path, store: SecretStore, actions: Sequence[dict[str, Any]]
) -> tuple[Trace, list[dict[str, Any]]]:
    """Run actions under the preset sandbox, with a person who approves; return the trace and the events shown.

    Args:
        surface: The surface.
        root: The folder of the runs.
        store: The secrets.
        actions: The actions; "done" is added.
    """
    folder, events = new_folder(root), []
    writer = TraceWriter(folder, {"goal": "sign in", "policy": {}})
    env = LiveEnv(surface, settle=AT_ONCE)
    policy = load_safety_policy("sandbox")
    env.guard = ActionGuard(policy, surface, folder, writer.write, person=ApprovingPerson(), secrets=store)
    replies = [json.dumps(action) for action in (*actions, {"verb": "done"})]
    run("sign in", env, ScriptPolicy(replies), max_steps=len(replies), trace=writer, on_event=events.append)
    writer.close()
    return read_trace(folder), events


def is_gray(pixels: Any, areas: Iterable[tuple[int, int, int, int]]) -> bool:
    """Return whether the areas (left, top, width, height) of an image have one color."""
    return all(
        (pixels[top : top + height, left : left + width] == pixels[top, left]).all()
        for left, top, width, height in areas
    )
