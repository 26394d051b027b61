"""ExportedRun: what code needs of a finished run: its start, its actions with their targets, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from actions import Action, Error, TypeText, UsageError
from actions.screen import Area
from agent.replay.recording import performed_actions, require_complete, stated_goal
from agent.safety.redaction import MASK
from agent.safety.secret_typing import PLACEHOLDER
from agent.trace import JsonObject, Trace
from agent.verification.expectations import Expectation, parse_expectations
from envs.miniwob import pages

MAX_LABEL_CHARS = 80  # a longer text is no part of what a target or an end state is recognized by


class ExportError(Error):
    """Code for a run does not do what the run did."""


@dataclass(frozen=True)
class RecordedTarget:
    """The element that a point of an action was on.

    Args:
        role: Its role, "" for text.
        label: What it shows, or its accessible name; "" without one.
        field: Kind of field, "" if it takes no input.
        neighbors: The labels beside and above it.
        area: Left, top, width and height in screen pixels; None in older traces.
    """

    role: str
    label: str
    field: str
    neighbors: tuple[str, ...]
    area: Area | None

    def describe(self) -> str:
        """Return the target in words, such as `button "Login"`."""
        words = [self.role or "text"]
        if self.label:
            words.append(f'"{self.label}"')
        elif self.neighbors:
            words.append(f'beside "{self.neighbors[0]}"')
        return " ".join(words)


@dataclass(frozen=True)
class ExportedAction:
    """An action that the code performs.

    Args:
        number: Its step in the run.
        action: The action.
        targets: What its points are on, None where that is unknown.
        secrets: Names of the environment variables that give the secret parts of a typed text, in their order.
        texts: The other parts: a text before, between and after the secrets.
        appeared: Labels that were not there before it.
    """

    number: int
    action: Action
    targets: tuple[RecordedTarget | None, ...]
    secrets: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    appeared: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportedRun:
    """A finished run as code performs it.

    Args:
        name: The run's id.
        goal: The task.
        surface: The surface's name, as in `--surface`.
        url: The page that it started from; "" for none.
        program: The program of a virtual desktop; "" for none.
        seed: Seed of the practice page; None elsewhere.
        size: Width and height of the screenshots in pixels.
        page_size: Width and height of the browser's page in CSS pixels.
        scale: Screen pixels per CSS pixel.
        actions: The actions.
        reward: The reward of the practice page; None elsewhere.
        expectations: What the user expected, all of which held.
        appeared: Labels that the last action with a visible effect brought, and that code can look for.
        end_screen: Digest of the last screenshot.
        is_approved: Whether an action of it needed a person's approval.
    """

    name: str
    goal: str
    surface: str
    url: str
    program: str
    seed: int | None
    size: tuple[int, int]
    page_size: tuple[int, int]
    scale: float
    actions: tuple[ExportedAction, ...]
    reward: float | None
    expectations: tuple[Expectation, ...]
    appeared: tuple[str, ...]
    end_screen: str
    is_approved: bool

    @property
    def task(self) -> str:
        """The practice page's task, "" elsewhere."""
        return pages.task_name(self.url) if pages.is_miniwob_address(self.url) else ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that the code reads secrets from."""
        return tuple(dict.fromkeys(name for item in self.actions for name in item.secrets))


def read_exported_run(trace: Trace) -> ExportedRun:
    """Return what code needs of a run.

    Raises:
        UsageError: The run did not succeed, or did something that code cannot repeat.
    """
    name = trace.folder.name
    require_complete(trace, "exported")
    performed = performed_actions(trace)
    if not performed:
        raise UsageError(f"the run {name} did nothing on the screen; there is nothing to export")
    variables = _SecretNames()
    actions = []
    for item in performed:
        targets = tuple(_target(target) for target in item.targets)
        label = next((target.label or " ".join(target.neighbors[:1]) for target in targets if target), "")
        variables.label = str((item.focus or {}).get("label") or "") or label or variables.label
        texts, secrets = variables.split(item.action)
        appeared = tuple(str(text) for text in item.result.get("appeared", ()))
        actions.append(ExportedAction(item.number, item.action, targets, secrets, texts, appeared))
    settings: Mapping[str, object] = trace.manifest.get("settings") or {}
    url = str(trace.manifest.get("url") or "")
    is_practice = pages.is_miniwob_address(url)
    page = pages.page(pages.task_name(url)) if is_practice else None
    first = trace.screen(performed[0].before)
    end = trace.first("end")
    expect = settings.get("expect")
    return ExportedRun(
        name=name,
        goal=stated_goal(trace),
        surface=str(trace.manifest.get("surface") or "browser"),
        url=url,
        program=str(settings.get("program") or ""),
        seed=trace.first("start").get("seed") if is_practice else None,
        size=(first.width, first.height),
        page_size=(page.width, page.height) if page else (_int(settings, "width", 1288), _int(settings, "height", 728)),
        scale=page.scale if page else 1.0,
        actions=tuple(actions),
        reward=end.get("reward") if is_practice else None,
        expectations=parse_expectations(expect) if isinstance(expect, list | tuple) else (),
        appeared=_end_labels(actions),
        end_screen=str(end.get("screen") or ""),
        is_approved=any(event["event"] == "approval" and event["answer"] == "approved" for event in trace.events),
    )


class _SecretNames:
    """Names the environment variables of secrets by the fields that they were typed into."""

    def __init__(self) -> None:
        self.label = ""  # of the last field
        self._count = 0

    def split(self, action: Action) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the plain parts of a typed text, and the variables of the secrets between them."""
        if not isinstance(action, TypeText):
            return (), ()
        if MASK in action.text:
            self._count += 1
            word = re.sub(r"[^A-Z0-9]+", "_", self.label.upper()).strip("_")[:40]
            return ("", ""), (word if word[:1].isalpha() else f"SECRET_{self._count}",)
        parts = PLACEHOLDER.split(action.text)
        return tuple(parts[::2]), tuple(re.sub(r"\W", "_", name) for name in parts[1::2])


def _target(target: JsonObject | None) -> RecordedTarget | None:
    if target is None:
        return None
    area = target.get("area")
    left, top, width, height = area or (0, 0, 0, 0)
    return RecordedTarget(
        str(target["role"]),
        str(target["label"]),
        str(target["field"]),
        tuple(str(text) for text in target.get("neighbors", ())),
        (left, top, width, height) if area else None,
    )


def _end_labels(actions: list[ExportedAction]) -> tuple[str, ...]:
    """Return the labels that the last action with a visible effect brought."""
    for item in reversed(actions):
        labels = tuple(text for text in item.appeared if text and len(text) <= MAX_LABEL_CHARS and MASK not in text)
        if labels:
            return labels
    return ()


def _int(settings: Mapping[str, object], key: str, default: int) -> int:
    value = settings.get(key)
    return value if isinstance(value, int) else default
