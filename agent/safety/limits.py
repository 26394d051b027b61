"""LimitCounter: counts of the guard, and the limits of a policy after which it ends the run."""

from __future__ import annotations

import time
from collections.abc import Iterable

from actions import Action, RunStoppedError, Screen, TypeText
from agent.safety.policy import SafetyPolicy
from agent.safety.proposal import Proposal, host_of


class LimitCounter:
    """Counts what was done since the guard was installed, in a run, an MCP session or a replay.

    Args:
        policy: The policy with the limits.

    Attributes:
        paused_s: Time that the user took to answer, which does not count.
    """

    def __init__(self, policy: SafetyPolicy) -> None:
        self.policy, self.limits = policy, policy.limits
        self.paused_s = 0.0
        self._start: float | None = None
        self._steps = self._typed_chars = self._refusals = self._repeats = 0
        self._first_host: str | None = None
        self._new_hosts: set[str] = set()
        self._last: tuple[Action, str] | None = None

    def check_time(self) -> None:
        """Raise RunStoppedError once the minutes are over, or after too many refusals."""
        now = time.monotonic()
        self._start = now if self._start is None else self._start
        minutes = (now - self._start - self.paused_s) / 60
        if self.limits.minutes is not None and minutes >= self.limits.minutes:
            raise self._error("minutes", f"the run took {self.limits.minutes:g} minutes")
        self._check_refusals()

    def check(self, proposal: Proposal, screen: Screen) -> None:
        """Raise RunStoppedError if the action would exceed a limit."""
        limits, action = self.limits, proposal.action
        if limits.steps is not None and self._steps >= limits.steps:
            raise self._error("steps", f"{self._steps} actions were done")
        typed = self._typed_chars + (len(action.text) if isinstance(action, TypeText) else 0)
        if limits.typed_chars is not None and typed > limits.typed_chars:
            raise self._error("typed_chars", f"{typed} characters would be typed in all")
        hosts = self._new_hosts | self._hosts(proposal)
        if limits.new_hosts is not None and len(hosts) > limits.new_hosts:
            raise self._error("new_hosts", f"{len(hosts)} hosts beside the first page's would be used")
        repeats = self._repeats + 1 if self._last == (action, screen.digest) else 1
        if limits.repeats is not None and repeats > limits.repeats:
            raise self._error("repeats", f"the same action was done {self._repeats} times on the same screen")

    def check_cycle(self, count: int) -> None:
        """Raise RunStoppedError if actions that were done in turn `count` times without a change would go on."""
        if self.limits.repeats is not None and count >= self.limits.repeats:
            raise self._error("repeats", f"the same actions were done {count} times in turn without a change")

    def count(self, proposal: Proposal, screen: Screen) -> None:
        """Count an action that is about to be performed."""
        self._count(proposal, screen.digest)

    def restore(self, actions: Iterable[tuple[Proposal, str]], seconds: float) -> None:
        """Count what an earlier run did that this one goes on from.

        Args:
            actions: Its actions, each with the digest of the screen before it.
            seconds: How long it took, without the time that the user took to answer.
        """
        for proposal, digest in actions:
            self._count(proposal, digest)
        self._start = time.monotonic() - seconds

    def _count(self, proposal: Proposal, digest: str) -> None:
        action, current = proposal.action, (proposal.action, digest)
        self._steps += 1
        self._typed_chars += len(action.text) if isinstance(action, TypeText) else 0
        if self._first_host is None and proposal.url:
            host = host_of(proposal.url)
            self._first_host = str(host) if host is not None else ""
        self._new_hosts |= self._hosts(proposal)
        self._repeats = self._repeats + 1 if self._last == current else 1
        self._last = current
        self._refusals = 0

    def count_refusal(self) -> None:
        """Count an action that a rule refused; raise RunStoppedError at the limit."""
        self._refusals += 1
        self._check_refusals()

    def _check_refusals(self) -> None:
        if self.limits.refusals is not None and self._refusals >= self.limits.refusals:
            raise self._error("refusals", f"{self._refusals} actions in a row were refused by rules")

    def _hosts(self, proposal: Proposal) -> set[str]:
        """Return the hosts that an action uses or leads to, without the first page's."""
        first = self._first_host
        if first is None and proposal.url:
            page = host_of(proposal.url)
            first = str(page) if page is not None else ""
        hosts = {str(host) for host in (proposal.host, *(host_of(e.target) for e in proposal.targets)) if host}
        return hosts - {first}

    def _error(self, name: str, what: str) -> RunStoppedError:
        source = self.policy.limit_source(name)
        return RunStoppedError(f"limit '{name}': {what}, so the run ends; the user can raise limits.{name} of {source}")
