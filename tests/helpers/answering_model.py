"""The embedded model as one that answers questions; its answers mean nothing, their form and stability do."""

from __future__ import annotations

from dataclasses import replace

from agent.policies.local import LocalPolicy
from pixelhand import load_policy


def answering_policy() -> LocalPolicy:
    """Return the embedded model, which refuses questions otherwise."""
    policy = load_policy("embedded")
    assert isinstance(policy, LocalPolicy)
    policy.chat.settings = replace(policy.chat.settings, answers_questions=True)
    return policy
