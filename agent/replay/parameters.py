"""Parameters of a program: the values of a goal, the forms in which they are used, and templates with them.

A template names a value as `${NAME}`, or a form of a date as `${NAME:%B}`; `$${` stands for the characters `${`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from actions import UsageError

ValueKind = Literal["quoted", "date", "number", "text", "typed", "hidden"]
PATTERNS: dict[str, str] = {  # of the values that a goal contains
    "quoted": r'[^"]*',
    "date": r"\d{1,2}/\d{1,2}/\d{4}",
    "number": r"-?\d+(?:\.\d+)?",
    "text": r".+",
}
IN_GOAL_KINDS: tuple[Literal["quoted", "date", "number"], ...] = ("quoted", "date", "number")
_IN_GOAL = re.compile(
    rf'"(?P<quoted>[^"]+)"|(?<![\w/])(?P<date>{PATTERNS["date"]})(?![\w/])|(?<![\w.])(?P<number>{PATTERNS["number"]})(?!\w)'
)
DATE_FORMS = ("%m/%d/%Y", "%m%d%Y", "%Y-%m-%d", "%B %Y", "%B", "%b", "%d", "%-d", "%m", "%-m", "%Y")
MIN_PART_CHARS = 3  # a shorter value is recognized only where it is the whole text
_REFERENCE = re.compile(r"\$(?:(?P<escape>\$\{)|\{(?P<name>[A-Za-z]\w*)(?::(?P<form>[^}]*))?\})")
NAME = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class Parameter:
    """A value of a program that may be another one in each replay.

    Args:
        name: Its name in templates and for `--set`.
        kind: What it is: a value in quotes, a date, a number or another text of the goal; a text that was typed and is
            not in the goal; or a typed text that the trace does not contain.
        recorded: Its value in the recorded run; "" for a hidden one.
    """

    name: str
    kind: ValueKind
    recorded: str

    @property
    def is_in_goal(self) -> bool:
        """Whether its value is a part of the goal."""
        return self.kind in PATTERNS


@dataclass(frozen=True)
class GoalValue:
    """A value in a goal: its kind, its text, and the place of its characters."""

    kind: ValueKind
    text: str
    start: int
    end: int


def find_goal_values(goal: str, texts: Sequence[str]) -> list[GoalValue]:
    """Return the values of a goal in their order: quoted texts, dates, numbers, and other texts that were used.

    Args:
        goal: The goal.
        texts: What was typed, and the labels of what was clicked.
    """
    values = []
    for match in _IN_GOAL.finditer(goal):
        for kind in IN_GOAL_KINDS:
            if match[kind] is not None:
                values.append(GoalValue(kind, match[kind], *match.span(kind)))
    for text in sorted({text.strip() for text in texts}, key=lambda item: (-len(item), item)):
        if len(text) < 3:
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", goal):
            if all(match.end() <= value.start or value.end <= match.start() for value in values):
                values.append(GoalValue("text", text, *match.span()))
    return sorted(values, key=lambda value: value.start)


def forms_of(kind: ValueKind, value: str) -> Iterator[tuple[str, str]]:
    """Yield (form, text) for each way in which a value may be written; the form "" is the value itself."""
    yield "", value
    if kind == "date":
        date = _parse_date(value)
        if date is not None:
            for form in DATE_FORMS:
                yield form, format_date(date, form)


def format_date(date: datetime, form: str) -> str:
    """Return a date in a form of DATE_FORMS."""
    plain = {"%-d": str(date.day), "%-m": str(date.month)}  # not every platform has these
    return plain.get(form) or date.strftime(form)


class ParameterTable:
    """The parameters of a recorded run, found while its texts are turned into templates.

    Args:
        goal: The goal of the run.
        texts: What was typed, and the labels of what was clicked.
    """

    def __init__(self, goal: str, texts: Sequence[str]) -> None:
        self._goal = goal
        counts: dict[str, int] = {}
        self._values: list[Parameter] = []
        self._places = find_goal_values(goal, texts)
        for kind, value in dict.fromkeys((place.kind, place.text) for place in self._places):
            prefix = {"quoted": "value", "date": "date", "number": "number"}.get(kind, "words")
            counts[prefix] = counts.get(prefix, 0) + 1
            self._values.append(Parameter(f"{prefix}{counts[prefix]}", kind, value))
        self._typed: list[Parameter] = []
        self._used: set[str] = set()

    @property
    def used(self) -> tuple[Parameter, ...]:
        """The parameters that the templates name, those of the goal first."""
        return tuple(item for item in self._values if item.name in self._used) + tuple(self._typed)

    def goal_template(self) -> str:
        """Return the goal with the used parameters in place of their values; call it after all other texts."""
        names = {(item.kind, item.recorded): item.name for item in self.used}
        template, position = "", 0
        for place in self._places:
            if name := names.get((place.kind, place.text)):
                template += escape(self._goal[position : place.start]) + _reference(name, "")
                position = place.end
        return template + escape(self._goal[position:])

    def typed(self, text: str, step: int) -> str:
        """Return the template of a typed text; a text that is not in the goal becomes a parameter of its own.

        Raises:
            UsageError: The text stands for several values of the goal.
        """
        template = self.label(text, step)
        if template != escape(text):
            return template
        for known in self._typed:
            if known.kind == "typed" and known.recorded == text:
                return f"${{{known.name}}}"
        return self._add_typed("typed", text)

    def hidden(self) -> str:
        """Return the template of a typed text that the trace does not contain."""
        return self._add_typed("hidden", "")

    def label(self, text: str, step: int) -> str:
        """Return the template of a label or a typed text.

        Raises:
            UsageError: The text stands for several values of the goal.
        """
        matches = {
            (parameter.name, _simplest(parameter, text))
            for parameter in self._values
            for _, value in forms_of(parameter.kind, parameter.recorded)
            if value == text
        }
        if len({name for name, _ in matches}) > 1 or any(len(forms) > 1 for _, forms in matches):
            raise UsageError(
                f"step {step} uses {text!r}, which stands for several values of the goal; record a run in which they "
                "differ"
            )
        if matches:
            ((name, forms),) = matches
            self._used.add(name)
            return _reference(name, forms[0])
        return self._replace_parts(text)

    def observed(self, text: str) -> str:
        """Return the template of a text that no action depends on; it makes no parameter a used one.

        Call it after `typed` and `label` for all actions.
        """
        for known in self._typed:
            if known.kind == "typed" and known.recorded == text:
                return _reference(known.name, "")
        if len(text) < MIN_PART_CHARS and all(text != parameter.recorded for parameter in self._values):
            return escape(text)  # a short form of a date is on many pages
        used = set(self._used)
        try:
            template = self.label(text, 0)
        except UsageError:
            template = escape(text)
        is_known = self._used == used
        self._used = used
        return template if is_known else escape(text)

    def appeared(self, text: str) -> str | None:
        """Return the template of a text that appeared if it is a value of the program, None for any other text.

        The rest of a longer text may be another one each time. Call it after `typed` and `label` for all actions.
        """
        template = self.observed(text)
        return template if template != escape(text) and _REFERENCE.fullmatch(template) else None

    def _replace_parts(self, text: str) -> str:
        template = escape(text)
        for parameter in sorted(self._values, key=lambda item: -len(item.recorded)):
            if len(parameter.recorded) >= MIN_PART_CHARS and parameter.recorded in text:
                pattern = rf"(?<!\w){re.escape(escape(parameter.recorded))}(?!\w)"
                replaced = re.sub(pattern, lambda _, name=parameter.name: f"${{{name}}}", template)  # type: ignore[misc]
                if replaced != template:
                    self._used.add(parameter.name)
                    template = replaced
        return template

    def _add_typed(self, kind: ValueKind, text: str) -> str:
        parameter = Parameter(f"text{len(self._typed) + 1}", kind, text)
        self._typed.append(parameter)
        return f"${{{parameter.name}}}"


def _simplest(parameter: Parameter, text: str) -> tuple[str, ...]:
    """Return the forms in which a value reads as a text, without those that differ only in leading zeros."""
    forms = [form for form, value in forms_of(parameter.kind, parameter.recorded) if value == text]
    if "" in forms:
        return ("",)
    for short, padded in (("%-d", "%d"), ("%-m", "%m")):
        if short in forms and padded in forms:  # 12 reads the same; a single digit tells them apart
            forms.remove(padded)
    return tuple(forms)


def _reference(name: str, form: str) -> str:
    return f"${{{name}:{form}}}" if form else f"${{{name}}}"


def _parse_date(value: str) -> datetime | None:
    try:
        return datetime.strptime(value, "%m/%d/%Y")
    except ValueError:
        return None


def escape(text: str) -> str:
    """Return the template that stands for a text itself."""
    return text.replace("${", "$${")


def references(template: str) -> Iterator[tuple[str, str]]:
    """Yield (name, form) for each parameter that a template names."""
    for match in _REFERENCE.finditer(template):
        if match["name"]:
            yield match["name"], match["form"] or ""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the text of a template.

    Raises:
        UsageError: A value is missing, or is no date where a form of a date is needed.
    """

    def text_of(match: re.Match[str]) -> str:
        if match["escape"]:
            return "${"
        name, form = match["name"], match["form"] or ""
        if name not in values:
            raise UsageError(f"the parameter '{name}' has no value; give it with --set {name}=VALUE")
        if not form:
            return values[name]
        date = _parse_date(values[name])
        if date is None:
            raise UsageError(f"the parameter '{name}' must be a date such as 03/12/2014, not {values[name]!r:.60}")
        return format_date(date, form)

    return _REFERENCE.sub(text_of, template)


def read_goal(template: str, goal: str, parameters: Sequence[Parameter]) -> dict[str, str] | None:
    """Return the values that a goal has in the places of a template's parameters.

    Args:
        template: The goal's template.
        goal: The goal of the replay.
        parameters: The parameters of the program.

    Returns:
        None if the goal does not fit, or fits in more than one way.
    """
    kinds = {parameter.name: parameter.kind for parameter in parameters}
    shortest = re.fullmatch(_goal_pattern(template, kinds, ".+?"), goal)
    longest = re.fullmatch(_goal_pattern(template, kinds, ".+"), goal)
    if shortest is None or longest is None or shortest.groupdict() != longest.groupdict():
        return None
    return dict(shortest.groupdict())


def _goal_pattern(template: str, kinds: Mapping[str, ValueKind], text_pattern: str) -> str:
    """Return the regular expression of the goals that fit a template; a parameter's second place repeats its value."""
    pattern, known, position = "", set(), 0
    for match in _REFERENCE.finditer(template):
        pattern += re.escape(template[position : match.start()])
        position, name = match.end(), match["name"]
        if match["escape"]:
            pattern += re.escape("${")
        elif name in known:
            pattern += f"(?P={name})"
        else:
            known.add(name)
            kind = kinds[name]
            pattern += f"(?P<{name}>{text_pattern if kind == 'text' else PATTERNS[kind]})"
    return pattern + re.escape(template[position:])
