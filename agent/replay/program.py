"""Program: a recorded run as a readable file, whose steps name what they act on instead of where it was."""

from __future__ import annotations

import base64
import binascii
import difflib
import io
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from actions import ACTION_TYPES, UsageError
from actions.screen import Pixels
from agent.replay.landmarks import Landmark
from agent.replay.parameters import NAME, Parameter, ValueKind, references

FORMAT = 1
MAX_BYTES = 20_000_000
MAX_CROP_BYTES = 2_000_000
MAX_LANDMARKS = 4
_CLOSED = ConfigDict(extra="forbid")


@checked_dataclass(frozen=True, config=_CLOSED)
class Anchor:
    """What a point of an action is placed on.

    Args:
        role: The role of the element, "" for a text; None where the elements of the screen were unknown.
        label: Template of its label.
        field: Its kind of field.
        neighbors: Templates of the labels beside and above it.
        offset: The point as fractions of the element's width and height; of the crop where there is no element.
        crop: The recorded pixels as PNG in base64; "" where no part of the screen identifies the place.
        crop_point: The point in pixels of the crop.
        rival: How much the most similar other place of the recorded screen resembles the crop, at most 1.
        place: The point in pixels of the recorded screenshot; None where it is unknown.
        landmarks: Its own text and those beside it, which identify it in other colors; () where they do not.
        box: The rectangle of one color around it, relative to the point; None without one.
    """

    role: str | None = None
    label: str = ""
    field: str = ""
    neighbors: tuple[str, ...] = ()
    offset: tuple[float, float] = (0.5, 0.5)
    crop: str = Field(default="", max_length=MAX_CROP_BYTES)
    crop_point: tuple[int, int] = (0, 0)
    rival: float = 0.0
    place: tuple[int, int] | None = None
    landmarks: tuple[Landmark, ...] = Field(default=(), max_length=MAX_LANDMARKS)
    box: tuple[int, int, int, int] | None = None

    def crop_pixels(self) -> Pixels:
        """Return the crop, [height, width, 3]; call it only where there is one.

        Raises:
            UsageError: It is no PNG.
        """
        from PIL import Image

        try:
            with Image.open(io.BytesIO(base64.b64decode(self.crop, validate=True))) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, binascii.Error, Image.DecompressionBombError) as error:
            raise UsageError(
                f"the crop of an anchor is not a PNG in base64 ({error}); save the program again"
            ) from None


@checked_dataclass(frozen=True, config=_CLOSED)
class ProgramStep:
    """One action of a program.

    Args:
        verb: The verb of the action.
        fields: Its other fields but the points; texts are templates.
        anchors: What each point is placed on, in the order of the points.
        focus: Role, template of the label, and kind of field of what keyboard input goes to; () where it is unknown.
        changes: Whether pixels changed after it.
        appears: Templates of labels that appear after it.
        holds: Templates of what fields hold after it.
        notice: What the surface reported after it.
    """

    verb: str
    fields: dict[str, str | int | float | list[str]] = Field(default_factory=dict)
    anchors: tuple[Anchor, ...] = ()
    focus: tuple[str, ...] = Field(default=(), max_length=3)
    changes: bool = False
    appears: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    notice: str = ""


@checked_dataclass(frozen=True, config=_CLOSED)
class ProgramParameter:
    """A parameter as the file has it; see Parameter."""

    kind: ValueKind
    recorded: str = ""


@checked_dataclass(frozen=True, config=_CLOSED)
class _ProgramFile:
    format: int
    goal: str
    surface: str
    steps: tuple[ProgramStep, ...] = Field(min_length=1)
    url: str = ""
    window: str = ""
    program: str = ""
    seed: int | None = None
    size: tuple[int, int] = (0, 0)
    page_size: tuple[int, int] = (1288, 728)
    expect: tuple[str, ...] = ()
    parameters: dict[str, ProgramParameter] = Field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A recorded run that can be replayed.

    Args:
        goal: Template of the goal.
        surface: The surface's name, as in `--surface`.
        url: The page that it starts from.
        seed: Seed of the practice page that it was recorded on; None elsewhere.
        size: Width and height of the recorded screenshots in pixels.
        page_size: Width and height of the browser's page in CSS pixels.
        parameters: The values that may differ.
        steps: The actions.
        expect: Templates of what holds after the run, as for `--expect`.
        window: Title of the only desktop window that is seen; "" for all.
        program: Command line of the program that a virtual desktop starts; "" for none.
    """

    goal: str
    surface: str
    url: str
    seed: int | None
    size: tuple[int, int]
    page_size: tuple[int, int]
    parameters: tuple[Parameter, ...]
    steps: tuple[ProgramStep, ...]
    expect: tuple[str, ...] = ()
    window: str = ""
    program: str = ""

    @property
    def has_elements(self) -> bool:
        """Whether the elements of the screen were known when it was recorded."""
        return any(anchor.role is not None for step in self.steps for anchor in step.anchors)

    def with_anchor(self, step: int, point: int, anchor: Anchor) -> Program:
        """Return the program with another anchor of a point of a step; both count from 0."""
        anchors = list(self.steps[step].anchors)
        anchors[point] = anchor
        steps = list(self.steps)
        steps[step] = replace(steps[step], anchors=tuple(anchors))
        return replace(self, steps=tuple(steps))


def format_program(program: Program) -> str:
    """Return a program as the text of its file (TOML)."""
    return "".join(f"{line}\n" for line in _lines(program))


def write_program(program: Program, path: Path) -> None:
    """Write a program to a file.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        path.write_bytes(format_program(program).encode("utf-8", "replace"))  # a cut label may end in half a character
    except OSError as error:
        raise UsageError(
            f"the program cannot be written to {path} ({error.strerror}); name another file with --save"
        ) from None


def read_program(path: Path) -> Program:
    """Read a program from its file.

    Raises:
        UsageError: The file cannot be read, or is not a program; the message names the first key that is wrong.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES} bytes, so it is not a program")
        content = _ADAPTER.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"{path} is not a program: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read as a program ({error}); write one with agent replay RUN --save FILE"
        ) from None
    if content.format != FORMAT:
        raise UsageError(
            f"{path} has the format {content.format}, and this version reads {FORMAT}; record the run again"
        )
    if invalid := [name for name in content.parameters if not NAME.fullmatch(name)]:
        raise UsageError(f"{path} is not a program: parameters.{invalid[0]}: a name has letters, digits and _ only")
    parameters = tuple(Parameter(name, item.kind, item.recorded) for name, item in content.parameters.items())
    program = Program(
        content.goal,
        content.surface,
        content.url,
        content.seed,
        content.size,
        content.page_size,
        parameters,
        content.steps,
        content.expect,
        content.window,
        content.program,
    )
    _check(program, path)
    return program


def describe_changes(before: Program, after: Program) -> str:
    """Return what differs between two programs as a unified diff of their files, with the crops cut short."""
    old, new = (
        [line if not line.startswith(("crop = ", "landmarks = ")) else f"{line[:48]}…" for line in _lines(program)]
        for program in (before, after)
    )
    return "\n".join(difflib.unified_diff(old, new, "recorded", "proposed", lineterm="", n=2))


def templates(program: Program) -> Iterator[str]:
    """Yield all templates of a program."""
    yield program.goal
    yield from program.expect
    for step in program.steps:
        yield from (value for value in step.fields.values() if isinstance(value, str))
        yield from (*step.focus, *step.appears, *step.holds)
        for anchor in step.anchors:
            yield anchor.label
            yield from anchor.neighbors


def _check(program: Program, path: Path) -> None:
    kinds = {parameter.name: parameter.kind for parameter in program.parameters}
    for number, step in enumerate(program.steps, 1):
        if step.verb not in ACTION_TYPES:
            raise UsageError(f"{path} is not a program: step {number}: unknown verb {step.verb!r:.40}")
        if len(step.focus) not in (0, 3):
            raise UsageError(f"{path} is not a program: step {number}: focus has role, label and kind of field")
    for template in templates(program):
        for name, form in references(template):
            if name not in kinds:
                raise UsageError(f"{path} is not a program: {template!r:.60} names the unknown parameter '{name}'")
            if form and kinds[name] != "date":
                raise UsageError(f"{path} is not a program: {template!r:.60} needs a date, and '{name}' is none")
    in_goal = {name for name, _ in references(program.goal)}
    for parameter in program.parameters:
        if parameter.is_in_goal != (parameter.name in in_goal):
            raise UsageError(
                f"{path} is not a program: the kind of the parameter '{parameter.name}' and the goal disagree"
            )


def _lines(program: Program) -> Iterator[str]:
    yield from _assignments(
        {
            "format": FORMAT,
            "goal": program.goal,
            "surface": program.surface,
            "url": program.url,
            "window": program.window or None,
            "program": program.program or None,
            "seed": program.seed,
            "size": program.size,
            "page_size": program.page_size,
            "expect": program.expect,
        }
    )
    for parameter in program.parameters:
        yield from ("", f"[parameters.{parameter.name}]")
        yield from _assignments({"kind": parameter.kind, "recorded": parameter.recorded})
    for step in program.steps:
        yield from ("", "[[steps]]")
        yield from _assignments({"verb": step.verb, "fields": step.fields})
        yield from _assignments({"focus": step.focus}, leaves_out_empty=True)
        yield from _assignments({"changes": step.changes})
        yield from _assignments(
            {"appears": step.appears, "holds": step.holds, "notice": step.notice}, leaves_out_empty=True
        )
        for anchor in step.anchors:
            yield from ("", "[[steps.anchors]]")
            yield from _assignments({"role": anchor.role, "label": anchor.label})
            optional = {"field": anchor.field, "neighbors": anchor.neighbors}
            yield from _assignments(optional, leaves_out_empty=True)
            yield from _assignments({"offset": anchor.offset})
            yield from _assignments({"place": anchor.place})
            if anchor.crop:
                yield from _assignments({"rival": anchor.rival, "crop_point": anchor.crop_point, "crop": anchor.crop})
            if anchor.landmarks:
                yield from _assignments({"box": anchor.box, "landmarks": [asdict(item) for item in anchor.landmarks]})


def _assignments(values: Mapping[str, object], *, leaves_out_empty: bool = False) -> Iterator[str]:
    for name, value in values.items():
        if value is None or (leaves_out_empty and not value):
            continue
        yield f"{name} = {_toml(value)}"


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


_ADAPTER: TypeAdapter[_ProgramFile] = TypeAdapter(_ProgramFile)
