"""Command line of `agent see parse`: write what a page shows as Markdown, HTML or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.cli_options import Device, Model
from agent.see.command import open_policy, print_note

if TYPE_CHECKING:
    from agent.see.document import Document, DocumentPage

PACKAGES = {"beautifulsoup4": "bs4", "markdown-it-py": "markdown_it"}  # package: module


def parse(
    file: Annotated[Path, typer.Argument(help="An image, or a PDF file.", metavar="FILE")],
    model: Model = None,
    device: Device = None,
    form: Annotated[Literal["json", "md", "html"], typer.Option("--format", help="Form of the result.")] = "md",
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.", metavar="FILE")] = None,
    pages: Annotated[str, typer.Option(help="Pages of a PDF file, such as 1-3,7; default: all.")] = "",
    dpi: Annotated[int, typer.Option(min=36, max=600, help="Pixels per inch of PDF pages.")] = 150,
    boxes: Annotated[bool, typer.Option("--boxes/--no-boxes", help="Write the place of each block.")] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if the model deviates from QwenVL HTML, and list where.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply to a page.")] = 8192,
) -> None:
    """Read the pages of FILE as a document: headings, text, lists, tables, charts, formulas and images, with boxes.

    The model must have been trained on QwenVL HTML, as Qwen2.5-VL was. Tall pages are read in tiles.
    """
    import sys

    from actions import UsageError
    from agent import config

    _check_packages()
    from agent.see.document_pages import parse_page_numbers
    from agent.see.document_parsing import parse_document
    from agent.ui.formatting import sanitize_lines

    settings = config.load({"model": model, "device": device})
    numbers = parse_page_numbers(pages)
    problems = []
    if not file.is_file():
        problems.append(f"{file} is not a file; give an image or a PDF file")
    if out is not None and not out.parent.is_dir():
        problems.append(f"the folder of {out} does not exist; create it, or name another file with --out")
    if form == "json" and not boxes:
        problems.append("--no-boxes cannot be used with --format json: boxes are part of its schema; remove --no-boxes")
    with open_policy(settings, other_problems=problems) as policy:
        document = parse_document(
            file,
            policy,
            pages=numbers,
            dpi=dpi,
            max_new_tokens=max_tokens,
            is_strict=strict,
            on_page=_print_progress,
        )
    text = _format(document, form, boxes)
    if out is None:
        print(sanitize_lines(text) if sys.stdout.isatty() else text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the document cannot be written to {out} ({error.strerror}); name another file with --out"
        ) from None
    print_note(f"wrote {out}")


def _check_packages() -> None:
    """Raise UsageError if a package that parses HTML or Markdown is not installed."""
    from importlib.util import find_spec

    from actions import UsageError

    missing = [name for name, module in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"`agent see parse` needs {' and '.join(missing)}: pip install 'pixelhand[documents]'")


def _format(document: Document, form: str, has_boxes: bool) -> str:
    from agent.see.document_markdown import to_markdown
    from agent.see.document_writers import to_html, to_json

    if form == "json":
        return to_json(document)
    return to_html(document, has_boxes=has_boxes) if form == "html" else to_markdown(document, has_boxes=has_boxes)


def _print_progress(page: DocumentPage) -> None:
    """Print what was read from a page, and whether it is all."""
    note = f"page {page.number}: {len(page.blocks)} blocks"
    if page.deviations:
        note += f", {len(page.deviations)} deviations from the format (--strict lists them)"
    print_note(note)
    if page.is_truncated:
        print_note(f"page {page.number} is incomplete: a reply was cut off; raise --max-tokens")
