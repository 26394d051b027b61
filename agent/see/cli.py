"""Command line of `agent see`: what a model finds, counts, lists and reads in an image, as JSON.

The commands `parse` and `video` are in modules of their own.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.see import parse_cli, video_cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from actions import Screen
    from agent.policies.base import Policy
    from agent.see.results import GroundedObject, Perceived, ScreenElement, TextRegion

    AnyResult = Perceived[GroundedObject] | Perceived[ScreenElement] | Perceived[TextRegion]

app = typer.Typer(
    help="Find, count, list and read what an image shows, as JSON in its pixels.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
)
Image = Annotated[Path, typer.Argument(help="An image file.", metavar="IMAGE")]
Model = Annotated[
    str | None,
    typer.Option(help="embedded (default), a folder, a Hub id (see `agent models`), or http://HOST:PORT/v1#NAME."),
]
Device = Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or mps.")]
Out = Annotated[
    Path | None, typer.Option(help="Image file to write, with what was found drawn onto it.", metavar="FILE")
]


@app.command()
def ground(
    image: Image,
    description: Annotated[str, typer.Argument(help='What to find, such as "all buttons".')],
    points: Annotated[bool, typer.Option("--points", help="Ask for points in place of boxes.")] = False,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="Attribute that each object is to have, such as color; repeatable.", metavar="NAME"),
    ] = None,
    model: Model = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Find all objects that fit DESCRIPTION, with boxes, points, labels and attributes."""
    from agent.see import grounding

    _perceive(
        image,
        model,
        device,
        out,
        lambda screen, policy: grounding.ground(
            screen, description, policy, points=points, attributes=tuple(attribute or ())
        ),
    )


@app.command("count")
def count_objects(
    image: Image,
    description: Annotated[str, typer.Argument(help='What to count, such as "people".')],
    model: Model = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Count the objects that fit DESCRIPTION, with a point on each."""
    from agent.see import grounding

    _perceive(image, model, device, out, lambda screen, policy: grounding.count(screen, description, policy))


@app.command("elements")
def list_elements(image: Image, model: Model = None, device: Device = None, out: Out = None) -> None:
    """List what can be operated on a screenshot, with kinds and boxes."""
    from agent.see.elements import elements

    _perceive(image, model, device, out, elements)


@app.command("read")
def read_image(
    image: Image,
    words: Annotated[bool, typer.Option("--words/--lines", help="Words or lines; default: lines.")] = False,
    lang: Annotated[str, typer.Option(help="Language of the text, such as German.", metavar="LANGUAGE")] = "",
    model: Model = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Read the text of an image, with a box for each line or word."""
    from agent.see.reading import read_text

    _perceive(
        image,
        model,
        device,
        out,
        lambda screen, policy: read_text(screen, policy, unit="word" if words else "line", language=lang),
    )


@app.command("extract")
def extract_values(
    image: Image,
    schema: Annotated[
        str, typer.Option(help="A file with a JSON schema, or a pydantic model as MODULE:CLASS.", metavar="SCHEMA")
    ],
    model: Model = None,
    device: Device = None,
) -> None:
    """Read the values of a schema from an image; each is read a second time in its own box.

    The exit code is 6 if a value is not confirmed and the schema does not permit null in its place.
    """
    from agent.command_result import CLAIMED_EXIT_CODE
    from agent.see.extraction import extract, load_schema

    target = load_schema(schema)
    screen = _open_image(image)
    with ExitStack() as stack:
        output = extract(screen, target, _load(model, device, stack))
    _print_json(output.as_dict())
    if not output.is_confirmed:
        raise typer.Exit(CLAIMED_EXIT_CODE)


def _perceive(
    image: Path,
    model: str | None,
    device: str | None,
    out: Path | None,
    call: Callable[[Screen, Policy], AnyResult],
) -> None:
    """Print what a function returns for an image, and write the image with it where a file is named."""
    from agent.see.overlay import overlay
    from agent.ui.formatting import sanitize

    screen = _open_image(image)
    with ExitStack() as stack:
        result = call(screen, _load(model, device, stack))
    _print_json(result.as_dict())
    for reason in result.rejected:
        print(f"left out: {sanitize(reason)}", file=sys.stderr)
    if not result.is_complete:
        print("the model's list was cut off at its limit of tokens: items are missing", file=sys.stderr)
    if out is not None:
        from actions import UsageError

        try:
            overlay(screen, result).save(out)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the image cannot be written to {out} ({error}); name another file with --out, such as out.png"
            ) from None


def _open_image(path: Path) -> Screen:
    from actions import Screen

    return Screen.open(path)


def _load(model: str | None, device: str | None, stack: ExitStack) -> Policy:
    """Load a model, to be closed with the stack."""
    from dataclasses import replace

    from actions import UsageError
    from agent import config
    from agent.preflight import model_problems
    from agent.session import policy_from_settings

    settings = config.load({"model": model, "device": device})
    settings = replace(settings, model=settings.model or "embedded")
    if problems := model_problems(settings):
        raise UsageError("\n".join(problems))
    policy = policy_from_settings(settings, on_status=lambda text: print(text, file=sys.stderr))
    stack.callback(policy.close)
    return policy


def _print_json(data: object) -> None:
    """Print JSON data, with every character escaped that acts on a terminal."""
    from json import dumps

    text = dumps(data, ensure_ascii=False, indent=2)
    print("".join(char if char.isprintable() or char == "\n" else dumps(char)[1:-1] for char in text))


app.command("parse")(parse_cli.parse)
app.command("video")(video_cli.video)
