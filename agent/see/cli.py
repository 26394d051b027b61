"""Command line of `agent see`: what a model finds, counts, lists and reads in an image, as JSON.

The commands `parse` and `video` are in modules of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli_options import Device, Model, make_app
from agent.see import parse_cli, video_cli
from agent.see.command import open_policy, print_json, print_note

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image as PilImage

    from actions import Screen
    from agent.config import Settings
    from agent.policies.base import Policy
    from agent.see.results import GroundedObject, Perceived, ScreenElement, TextRegion

    AnyResult = Perceived[GroundedObject] | Perceived[ScreenElement] | Perceived[TextRegion]

DEFAULT_MODEL = "embedded"
app = make_app("Find, count, list and read what an image shows, as JSON in its pixels.")
Image = Annotated[Path, typer.Argument(help="An image file.", metavar="IMAGE")]
Polygons = Annotated[
    bool, typer.Option("--polygons", help="Ask for four corners in place of boxes, in any orientation.")
]
Out = Annotated[
    Path | None, typer.Option(help="Image file to write, with what was found drawn onto it.", metavar="FILE")
]


@app.command()
def ground(
    image: Image,
    description: Annotated[str, typer.Argument(help='What to find, such as "all buttons".')],
    points: Annotated[bool, typer.Option("--points", help="Ask for points in place of boxes.")] = False,
    polygons: Polygons = False,
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
            screen, description, policy, points=points, polygons=polygons, attributes=tuple(attribute or ())
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
    polygons: Polygons = False,
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
        lambda screen, policy: read_text(
            screen, policy, unit="word" if words else "line", language=lang, polygons=polygons
        ),
    )


@app.command("extract")
def extract_values(
    image: Image,
    schema: Annotated[
        str, typer.Option(help="A file with a JSON schema, or a pydantic model as MODULE:CLASS.", metavar="SCHEMA")
    ],
    model: Model = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Read the values of a schema from an image; each is read a second time in its own box.

    The exit code is 6 if a value is not confirmed and the schema does not permit null in its place.
    """
    from actions import Screen
    from agent.command_result import CLAIMED_EXIT_CODE
    from agent.see.extraction import extract, load_schema

    target = load_schema(schema)
    screen = Screen.open(image)
    with open_policy(_settings(model, device), DEFAULT_MODEL) as policy:
        output = extract(screen, target, policy)
        name = str(policy.metadata["model"])
    print_json(output.as_dict())
    if out is not None:
        from agent.see.overlay import overlay, value_regions

        _save(overlay(screen, value_regions(output, screen, name)), out)
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
    from actions import Screen
    from agent.see.overlay import overlay

    screen = Screen.open(image)
    with open_policy(_settings(model, device), DEFAULT_MODEL) as policy:
        result = call(screen, policy)
    print_json(result.as_dict())
    for reason in result.rejected:
        print_note(f"left out: {reason}")
    if not result.is_complete:
        print_note("the model's list was cut off at its limit of tokens: items are missing")
    if out is not None:
        _save(overlay(screen, result), out)


def _save(image: PilImage, out: Path) -> None:
    from actions import UsageError

    try:
        image.save(out)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the image cannot be written to {out} ({error}); name another file with --out, such as out.png"
        ) from None


def _settings(model: str | None, device: str | None) -> Settings:
    from agent import config

    return config.load({"model": model, "device": device})


app.command("parse")(parse_cli.parse)
app.command("video")(video_cli.video)
