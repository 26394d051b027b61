"""Perception in Python: find, count, list and read what an image shows.

    import pixelhand as ph

    policy = ph.load_policy("http://localhost:8000/v1?dialect=qwen25")
    screen = ph.Screen.open("page.png")
    for item in ph.see.ground(screen, "all buttons", policy).items:
        print(item.label, item.box)

Boxes are (left, top, right, bottom) in pixels of the image, right and bottom outside; points are (x, y).
"""

from __future__ import annotations

from agent.extraction.output import Output, OutputField
from agent.see.document import Document
from agent.see.document_markdown import to_markdown
from agent.see.document_parsing import parse_document as parse
from agent.see.document_writers import to_html, to_json
from agent.see.elements import elements
from agent.see.extraction import extract
from agent.see.grounding import count, ground
from agent.see.overlay import overlay
from agent.see.questions import InvalidAnswerError
from agent.see.reading import read_text
from agent.see.results import GroundedObject, Perceived, ScreenElement, TextRegion

__all__ = [
    "Document",
    "GroundedObject",
    "InvalidAnswerError",
    "Output",
    "OutputField",
    "Perceived",
    "ScreenElement",
    "TextRegion",
    "count",
    "elements",
    "extract",
    "ground",
    "overlay",
    "parse",
    "read_text",
    "to_html",
    "to_json",
    "to_markdown",
]
