"""Fonts shipped with the package: glyphs differ between machines, and small models are sensitive to that."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

FONTS = Path(__file__).parent.parent / "fonts"
ARIAL_FACES = (("LiberationSans-Regular.ttf", "400"), ("LiberationSans-Bold.ttf", "700"))  # (file, CSS font-weight)


@cache
def arial_js() -> str:
    """Return JavaScript statements that register the shipped Liberation Sans under the name Arial."""
    statements = []
    for file, weight in ARIAL_FACES:
        data = base64.b64encode((FONTS / file).read_bytes()).decode()
        statements.append(
            f"document.fonts.add(new FontFace('Arial', 'url(data:font/ttf;base64,{data})', {{weight: '{weight}'}}));"
        )
    return "".join(statements)
