"""Drags over 50 to 1,000 pixels drop what they carry, in a web page and in two toolkits."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.desktop_programs import require_programs, require_window_manager, tk_python
from helpers.eventually import eventually

from actions import Drag
from envs.surfaces.desktop import Surface

PROGRAM = Path(__file__).parents[2] / "helpers" / "drag_targets.py"
COUNT, SHORTEST, LONGEST = 100, 50, 1000  # drags; pixels
PAGE = """data:text/html,<style>body{margin:0}div{position:absolute;width:40px;height:40px}</style>
<div id=card draggable=true style="background:skyblue"></div><div id=bin style="background:orange"></div>
<script>window.drops=0;card.ondragstart=e=>e.dataTransfer.setData('text/plain','card');
bin.ondragover=e=>e.preventDefault();bin.ondrop=e=>{e.preventDefault();drops++}
window.place=(x,y,u,v)=>{drops=0;card.style.left=x-20+'px';card.style.top=y-20+'px';
bin.style.left=u-20+'px';bin.style.top=v-20+'px'}</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(autouse=True)
def programs() -> None:
    require_programs("Xvfb")
    require_window_manager()


def drags() -> Iterator[tuple[int, int, int, int]]:
    """Yield starts and ends in an area of 1,100 x 500 pixels, in all directions and lengths."""
    for number in range(COUNT):
        length = SHORTEST + (LONGEST - SHORTEST) * number / (COUNT - 1)
        steepest = math.asin(min(1.0, 440 / length))
        angle = steepest * math.sin(number * 2.4)  # no two in a row have one direction
        dx, dy = round(length * math.cos(angle)), round(length * math.sin(angle))
        dx = -dx if number % 2 else dx
        x = 60 + (number * 37) % max(1, 1080 - abs(dx))
        y = 60 + (number * 23) % max(1, 480 - abs(dy))
        start = x if dx > 0 else x - dx, y if dy > 0 else y - dy
        yield *start, start[0] + dx, start[1] + dy


def test_drags_span_the_lengths() -> None:
    lengths = [math.dist(drag[:2], drag[2:]) for drag in drags()]
    assert len(lengths) == COUNT
    assert (round(min(lengths)), round(max(lengths))) == (SHORTEST, LONGEST)
    assert all(40 <= value <= 1160 for drag in drags() for value in drag[::2])
    assert all(40 <= value <= 600 for drag in drags() for value in drag[1::2])


def test_every_drag_drops_in_page(chrome: str) -> None:
    with Surface("virtual", url=PAGE) as surface:
        offset = surface.evaluate("[screenX + (outerWidth - innerWidth) / 2, screenY + outerHeight - innerHeight]")
        assert isinstance(offset, list)
        dx, dy = map(int, offset)
        missed = []
        for x, y, to_x, to_y in drags():
            surface.evaluate(f"place({x},{y},{to_x},{to_y})")
            surface.capture()
            surface.perform(Drag(path=((x + dx, y + dy), (to_x + dx, to_y + dy))))
            try:
                eventually(lambda: surface.evaluate("drops") == 1, timeout_s=60)
            except AssertionError:
                missed.append((x, y, to_x, to_y))
    assert missed == []


@pytest.mark.parametrize("toolkit", ["tk", "gtk"])
def test_every_drag_drops_in_toolkit(toolkit: str, tmp_path: Path) -> None:
    python = tk_python(sandboxed=True) if toolkit == "tk" else "/usr/bin/python3"
    if toolkit == "gtk" and subprocess.run([python, "-c", "import gi; gi.require_version('Gtk', '3.0')"]).returncode:
        pytest.skip("no GTK 3 for Python here")
    path, placing = tmp_path / "drops", tmp_path / "drops.in"
    with Surface(
        "virtual", program=f"{python} {PROGRAM} {toolkit} {path}", width=1288, height=728, shared=[tmp_path]
    ) as surface:
        windows = surface._backend.windows
        assert windows is not None
        box = surface._call(lambda: windows.box(windows.find("targets").id), 5, "locating the window")
        assert box is not None
        missed = []
        for drag in drags():
            line = " ".join(map(str, drag))
            placing.with_suffix(".part").write_text(line)
            placing.with_suffix(".part").replace(placing)
            eventually(lambda line=line: path.exists() and path.read_text() == f"0 {line}", timeout_s=60)
            x, y, to_x, to_y = drag
            surface.perform(Drag(path=((x + box.left, y + box.top), (to_x + box.left, to_y + box.top))))
            try:
                eventually(lambda line=line: path.read_text() == f"1 {line}", timeout_s=60)
            except AssertionError:
                missed.append(drag)
    assert missed == []
