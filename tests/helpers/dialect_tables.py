"""Render the tables of docs/dialects.md from the dialects. `python -m helpers.dialect_tables` updates the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actions import Click, plugins
from helpers.model_families import screen_of
from model.checkpoints.model_zoo import load_family
from model.processing.image import ImageLimits

PAGE = Path(__file__).parent.parent.parent / "docs" / "dialects.md"


def dialects() -> Iterator[tuple[Any, ImageLimits | None]]:
    """Yield each dialect with each of its tools, and its authors' image budget."""
    for name in plugins.list_plugins("model.dialects"):
        module = plugins.load_plugin("model.dialects", name)
        limits = getattr(module, "LIMITS", None)
        for tool in module.Dialect.ACTIONS:
            yield module.Dialect(limits or ImageLimits(), tool), limits


def table(*rows: list[str]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def families() -> str:
    rows = [["dialect", "family", "tool", "a click at (644, 364) of 1288x728", "coordinates", "history", "most pixels"]]
    for dialect, limits in dialects():
        reply = " ".join(dialect.format_action(Click(x=644, y=364), screen_of(1288, 728)).split())
        reply = f"`` {reply} ``" if "`" in reply else f"`{reply}`"
        most = f"{limits.max_pixels:,}" if limits else "the checkpoint's"
        rows.append([f"`{dialect.NAME}`", load_family(dialect.NAME).name, dialect.tool, reply, dialect.SPACE.name,
                     " or ".join(dialect.HISTORIES), most])  # fmt: skip
    return table(*rows)


def calls() -> str:
    rows = [["dialect", "tool", "calls, by the action that they stand for (in parentheses: understood, never offered)"]]
    for dialect, _ in dialects():
        names: dict[str, list[str]] = {}
        for row in dialect.table.rows.values():
            for verb in row.verbs:
                if verb and dialect.supports(verb):
                    names.setdefault(verb, []).append(f"`{row.name}`" if row.offered else f"(`{row.name}`)")
        text = "; ".join(f"{verb}: {', '.join(calls)}" for verb, calls in names.items())
        rows.append([f"`{dialect.NAME}`", dialect.tool, text])
    return table(*rows)


def render(page: str) -> str:
    """Return the page with its generated tables replaced."""
    for name, content in (("families", families()), ("calls", calls())):
        pattern = rf"(<!-- generated: {name} -->\n).*?(\n<!-- end -->)"
        page = re.sub(pattern, lambda match: match.group(1) + content + match.group(2), page, flags=re.DOTALL)  # noqa: B023
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
