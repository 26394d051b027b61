"""Points of a model that sees a resized screenshot land on targets of 8 pixels, on large and odd screens."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from envs.live import LiveEnv
from envs.surfaces.browser import Surface
from model.dialects import qwen25, ui_tars, ui_tars_v1
from model.processing.image import ImageLimits

CELL, SMALLEST, LARGEST = 28, 56 * 56, 16384 * 784  # pixels of a cell's side and of an image
QWEN = (
    '<tool_call>\n{{"name": "computer_use", "arguments": {{"action": "left_click", "coordinate": [{x}, {y}]}}}}\n'
    "</tool_call>"
)
UI_TARS = "Thought: there.\nAction: click(start_box='({x},{y})')"


def resized(width: int, height: int, largest: int) -> tuple[int, int]:
    """Return the size at which Qwen's processors show an image, written anew from their published rule."""
    columns, rows = round(width / CELL) * CELL, round(height / CELL) * CELL
    if columns * rows > largest:
        factor = math.sqrt(width * height / largest)
        return math.floor(width / factor / CELL) * CELL, math.floor(height / factor / CELL) * CELL
    return columns, rows


@pytest.mark.parametrize(
    "size",
    [
        (3840, 2160),
        (1366, 768),
        *(pytest.param(size, marks=pytest.mark.slow) for size in ((1920, 1080), (5120, 1440), (1080, 2400))),
    ],
    ids="{0[0]}x{0[1]}".format,
)
def test_resized_points_hit_small_targets(size: tuple[int, int], chromium: None, tmp_path: Path) -> None:
    width, height = size
    corners = [(3, 3), (width - 12, height - 12), (width // 3, height // 2), (width - 12, 3)]
    boxes = "".join(
        f"<div style='position:fixed;left:{x}px;top:{y}px;width:8px;height:8px;background:red' onclick='hits.add({n})'>"
        "</div>"
        for n, (x, y) in enumerate(corners)
    )
    path = tmp_path / "page.html"
    path.write_text(f"<style>body{{margin:0}}</style>{boxes}<script>window.hits = new Set()</script>")
    with Surface(path.as_uri(), width=width, height=height) as surface:
        for dialect, limits, template, model_size in (
            (qwen25.Dialect, ImageLimits(max_pixels=LARGEST), QWEN, resized(width, height, LARGEST)),
            (qwen25.Dialect, ImageLimits(max_pixels=1280 * 784), QWEN, resized(width, height, 1280 * 784)),
            (ui_tars.Dialect, ImageLimits(max_pixels=LARGEST), UI_TARS, resized(width, height, LARGEST)),
            (ui_tars_v1.Dialect, ImageLimits(max_pixels=LARGEST), UI_TARS, (1000, 1000)),
        ):
            surface.evaluate("hits.clear()")
            replies = [
                template.format(x=round((x + 4) * model_size[0] / width), y=round((y + 4) * model_size[1] / height))
                for x, y in corners
            ]
            run("hit them", LiveEnv(surface), ScriptPolicy(replies, dialect(limits)), max_steps=len(replies))
            assert surface.evaluate("[...hits].length") == len(corners)
