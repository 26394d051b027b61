"""Policies for worker processes in tests of evals.run: named to them as "helpers.eval_runs:NAME". No tests here."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import Call, InvalidActionError, Reply, Screen, Step, SurfaceError
from agent.policies.scripted import JsonDialect
from evals.workers.process import RunSpec


class Fickle:
    """Says what hangs on the words, the picture and all that it said before: right, wrong or unreadable."""

    def __init__(self, order: RunSpec) -> None:
        self.dialect = JsonDialect()
        self.metadata: Mapping[str, Any] = {
            "model": order.model,
            "fingerprint": order.fingerprint,
            "prompt_hash": "plain",
        }
        self.sleep_s = 0.0

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        past = "".join(step.reply.text + str(step.action) + step.error for step in steps)
        digest = hashlib.sha256(f"{goal}{screen.digest}{past}".encode("utf-8", "backslashreplace")).digest()
        time.sleep(self.sleep_s * digest[3] / 255)
        kind = digest[0] % 4
        if kind == 0:
            return Reply(f"no idea \udcff {digest[1]}")
        if kind == 1:
            return Reply('{"verb": "done", "status": "failure"}')
        x, y = (int(digest[1]) * screen.width // 256, int(digest[2]) * screen.height // 256)
        return Reply(json.dumps({"verb": "click", "x": x, "y": y, "thought": digest.hex()[:6]}))

    def parse(self, reply: Reply) -> Call:
        return self.dialect.parse(reply.text)

    def to_action(self, call: Call, screen: Screen) -> Any:
        return self.dialect.to_action(call, screen)

    def close(self) -> None:
        pass


def fickle(order: RunSpec) -> Fickle:
    return Fickle(order)


def slow(order: RunSpec) -> Fickle:
    policy = Fickle(order)
    policy.sleep_s = 0.06
    return policy


class Deadly(Fickle):
    """The word "poison" ends its process; "flaky" fails as long as the file of the model's name is there."""

    def __init__(self, order: RunSpec) -> None:
        super().__init__(order)
        self.flag = Path(order.model)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        if "poison" in goal:
            os._exit(9)
        if "flaky" in goal and self.flag.exists():
            raise SurfaceError("the card fell off the bus")
        return super().decide(goal, steps, screen, verbs)


def deadly(order: RunSpec) -> Deadly:
    return Deadly(order)


def nobody(order: RunSpec) -> Any:
    raise SurfaceError("no device is there")


def centre(order: RunSpec) -> Any:
    """Always clicks the middle."""

    class Centre(Fickle):
        def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
            return Reply(json.dumps({"verb": "click", "x": screen.width // 2, "y": screen.height // 2}))

    return Centre(order)


def stubborn(order: RunSpec) -> Any:
    """Ends every episode at once, or cannot be read: neither may cost the steps that follow."""

    class Strict(JsonDialect):
        def to_action(self, call: Call, screen: Screen) -> Any:
            if call.name == "click":
                raise InvalidActionError("not on this screen")
            return super().to_action(call, screen)

    policy = Fickle(order)
    policy.dialect = Strict()
    return policy
