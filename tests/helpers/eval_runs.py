"""Policies for worker processes in tests of evals: factories that a RunSpec names as "helpers.eval_runs:NAME"."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from actions import Action, Call, InvalidActionError, Reply, Screen, Step, SurfaceError, UsageError
from agent.policies.base import DialectPolicyMixin
from agent.policies.scripted import JsonDialect
from evals.workers.spec import RunSpec


class HashPolicy(DialectPolicyMixin):
    """A policy whose reply depends on the goal, the image and the whole history: correct, wrong or unreadable."""

    def __init__(self, spec: RunSpec) -> None:
        self.dialect = JsonDialect()
        self.metadata: Mapping[str, object] = {
            "model": spec.model,
            "fingerprint": spec.fingerprint,
            "prompt_hash": "plain",
        }
        self.sleep_s = 0.0

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        history = "".join(step.reply.text + str(step.action) + step.error for step in steps)
        digest = hashlib.sha256(f"{goal}{screen.digest}{history}".encode("utf-8", "backslashreplace")).digest()
        time.sleep(self.sleep_s * digest[3] / 255)
        kind = digest[0] % 4
        if kind == 0:
            return Reply(f"no idea \udcff {digest[1]}")
        if kind == 1:
            return Reply('{"verb": "done", "status": "failure"}')
        x, y = (int(digest[1]) * screen.width // 256, int(digest[2]) * screen.height // 256)
        return Reply(json.dumps({"verb": "click", "x": x, "y": y, "thought": digest.hex()[:6]}))

    def close(self) -> None:
        pass


class CrashingPolicy(HashPolicy):
    """Exits on the word "poison"; fails on "flaky" as long as the file named by the model exists."""

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self.flag = Path(spec.model)

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        if "poison" in goal:
            os._exit(9)
        if "flaky" in goal and self.flag.exists():
            raise SurfaceError("the card fell off the bus")
        return super().decide(goal, steps, screen, verbs)


class CenterPolicy(HashPolicy):
    """Always clicks the center."""

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        return Reply(json.dumps({"verb": "click", "x": screen.width // 2, "y": screen.height // 2}))


class NoClickDialect(JsonDialect):
    """Rejects every click."""

    def to_action(self, call: Call, screen: Screen) -> Action:
        if call.name == "click":
            raise InvalidActionError("not on this screen")
        action: Action = super().to_action(call, screen)
        return action


def hashed(spec: RunSpec) -> HashPolicy:
    return HashPolicy(spec)


def slow(spec: RunSpec) -> HashPolicy:
    policy = HashPolicy(spec)
    policy.sleep_s = 0.06
    return policy


def crashing(spec: RunSpec) -> CrashingPolicy:
    return CrashingPolicy(spec)


def failing(spec: RunSpec) -> HashPolicy:
    raise SurfaceError("no device is there")


def unusable(spec: RunSpec) -> HashPolicy:
    raise UsageError("no such thing")


def center(spec: RunSpec) -> CenterPolicy:
    return CenterPolicy(spec)


def no_click(spec: RunSpec) -> HashPolicy:
    """End every episode at once, or be unreadable: neither may cost the steps that follow."""
    policy = HashPolicy(spec)
    policy.dialect = NoClickDialect()
    return policy
