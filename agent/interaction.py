"""Interaction: where a run is shown, and where its questions are answered: a terminal or the viewer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

from actions import UsageError
from agent.run_control import RunControl
from agent.ui.display import Display, Event, TextDisplay

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config import Settings
    from agent.loop import Episode
    from agent.policies.base import Policy
    from agent.resume import Resumption
    from agent.safety.approval import Approver
    from agent.turn_executor import AskUser
    from agent.viewer.state import ViewerState

OWN_SCREEN_NOTE = (
    "this run acts on your own screen, where the model could use this page: questions are asked in the terminal"
)


@dataclass(frozen=True)
class Interaction:
    """What a run is given to reach its user.

    Args:
        display: Shows the run.
        ask: Answers the model's questions; None where nobody can.
        person: Approves actions; None where nobody can.
        control: What the person asks for between the steps; None without the viewer.
        blocked_ports: Ports that the browser of the run must not reach.
    """

    display: Display
    ask: AskUser | None = None
    person: Approver | None = None
    control: RunControl | None = None
    blocked_ports: frozenset[int] = field(default_factory=frozenset)


class ViewedDisplay:
    """A display whose events the viewer shows as well."""

    def __init__(self, display: Display, state: ViewerState) -> None:
        self._display, self._state = display, state

    def __enter__(self) -> ViewedDisplay:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Do nothing: both are closed by those who opened them."""

    def __call__(self, event: Event) -> None:
        self._state(event)
        self._display(event)

    def on_text(self, text: str) -> None:
        self._state.on_text(text)
        self._display.on_text(text)

    def message(self, text: str) -> None:
        self._state.message(text)
        self._display.message(text)


def require_viewer() -> None:
    """Raise UsageError if the packages of the viewer are missing."""
    missing = [package for package in ("starlette", "uvicorn") if find_spec(package) is None]
    if missing:
        raise UsageError(f"the viewer needs {' and '.join(missing)}: pip install 'pixelhand[serve]'")


@contextmanager
def open_interaction(display: Display, settings: Settings, *, view: bool) -> Iterator[Interaction]:
    """Return what a run is given to reach its user within the block.

    Args:
        display: Shows the run.
        settings: The settings of the run.
        view: Serve the viewer, where the person answers then.

    Raises:
        UsageError: The viewer cannot be served.
    """
    terminal = display if isinstance(display, TextDisplay) and sys.stdin.isatty() else None
    ask = terminal.ask if terminal is not None else None
    if not view:
        yield Interaction(display, ask, terminal)
        return
    require_viewer()
    from agent.viewer.commands import OWN_SCREEN_COMMANDS, CommandRunner
    from agent.viewer.questions import ViewerPerson
    from agent.viewer.server import ViewerServer
    from agent.viewer.state import ViewerState

    control = RunControl()
    name, _, where = settings.surface.partition(":")
    is_own_screen = name == "desktop" and where != "virtual"
    person = None if is_own_screen else ViewerPerson(control)
    state = ViewerState(control, person, OWN_SCREEN_NOTE if is_own_screen else "")
    commands = CommandRunner(control, person, OWN_SCREEN_COMMANDS if is_own_screen else None)
    with ViewerServer(state, commands) as server:
        display.message(f"{'view':8} {server.url}")
        viewed, ports = ViewedDisplay(display, state), frozenset({server.port})
        if person is None:
            yield Interaction(viewed, ask, terminal, control, ports)
        else:
            yield Interaction(viewed, person.ask, person, control, ports)


def run_interactively(
    goal: str,
    settings: Settings,
    display: Display,
    *,
    view: bool,
    script: Path | None,
    resumption: Resumption | None = None,
    policy: Policy | None = None,
    origin: Mapping[str, object] | None = None,
) -> Episode:
    """Run one goal for a user at a terminal or in the viewer; see agent.session.run_session.

    Args:
        goal: The task in plain language; "" for a practice page's own instruction.
        settings: The settings of the run.
        display: Shows the run.
        view: Serve the viewer, where the person answers then.
        script: A file of replies to replay instead of a model's.
        resumption: The earlier run that this one continues.
        policy: Decides in place of the model of the settings.
        origin: Further entries of the manifest.

    Raises:
        UsageError: The viewer cannot be served, or the settings cannot be used.
        Error: The run failed.
    """
    from agent.session import run_session

    with open_interaction(display, settings, view=view) as user:
        return run_session(
            goal,
            settings,
            user.display,
            ask=user.ask,
            person=user.person,
            script=script,
            resumption=resumption,
            control=user.control,
            blocked_ports=user.blocked_ports,
            policy=policy,
            origin=origin,
        )
