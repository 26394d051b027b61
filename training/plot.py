"""The losses of training runs as one picture, an SVG. Knows the lines of losses.jsonl; knows no tensors.

A row is a run: its losses on a logarithmic scale, and beside them the shares that were right. What is of strips has
a row of its own. What one topic has in both (characters, token, gaze) has one colour. The ground is drawn too, so that
it reads on a dark page as on a light.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from actions import UsageError

LOG = "losses.jsonl"
NO_CURVE = {"step", "s", "loss", "strip_loss"}  # loss is the weighted sum of the others
SHARES = {"right": "characters", "quiet": "empty places", "strips_quiet": "strips, empty"}  # or what ends as below
SHARE_ENDS = ("_right", "_sought")
OF_STRIPS = "strip_"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b0568f", "#9a6b00", "#3d8fc4", "#7a5195", "#555555", "#b3261e")
POINTS = 160  # of one line, at most: of more, means are drawn
WIDE, HIGH = 280, 200  # of one panel, without what is written around it
LEFT, TOP, BETWEEN, BELOW = 52, 34, 176, 40  # BETWEEN: to the next panel, for the lines' names
NAME_PX = 13  # from one name to the next
INK, FAINT, GROUND = "#24292f", "#d8dee4", "#ffffff"

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve: its name as shown, its points (step, value), and what its colour goes by."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Scale:
    """Values to heights in a panel (0 at its foot, 1 at its top), and the ticks with their words."""

    at: Callable[[float], float]
    ticks: list[tuple[float, str]]


def draw(runs: Sequence[Path], out: Path) -> None:
    """Write the picture of the runs, from top to bottom in the order given. UsageError for a run without a log."""
    logs = [row for run in runs for row in _rows(run)]
    if not logs:
        raise UsageError("name at least one run folder to draw")
    names = list(dict.fromkeys(line.name for _, losses, shares in logs for line in (*losses, *shares)))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    height = TOP + HIGH + BELOW
    parts = []
    for number, (name, losses, shares) in enumerate(logs):
        last = max(1.0, *(step for line in (*losses, *shares) for step, _ in line.points))
        parts.append(f'<g transform="translate({LEFT} {number * height + TOP})">')
        parts += _panel(f"{name}: losses", losses, _logarithmic(losses), last, colours)
        parts.append("</g>")
        parts.append(f'<g transform="translate({2 * LEFT + WIDE + BETWEEN - 60} {number * height + TOP})">')
        parts += _panel(f"{name}: share that is right", shares, _percent(), last, colours)
        parts.append("</g>")
    width = 2 * (LEFT + WIDE + BETWEEN) - 100
    size = f'width="{width}" height="{height * len(logs)}" viewBox="0 0 {width} {height * len(logs)}"'
    style = f'font-family="system-ui, Arial, sans-serif" font-size="11" fill="{INK}"'
    ground = f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>'
    text = "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', ground, *parts, "</svg>"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n", encoding="utf-8")


def _rows(run: Path) -> list[tuple[str, list[Line], list[Line]]]:
    """A run's name, losses and shares; and those of strips, if it has any, but for what is asked of screens only."""
    screens, strips = [], []
    for lines in _lines(run):
        screens.append([one for one in lines if not one.name.startswith(OF_STRIPS)])
        of_strips = [one for one in lines if one.name.startswith(OF_STRIPS) and any(value for _, value in one.points)]
        strips.append([Line(one.name.removeprefix(OF_STRIPS), one.points) for one in of_strips])
    rows = [(run.name, screens[0], screens[1])]
    return [*rows, (f"{run.name}, strips", strips[0], strips[1])] if any(strips) else rows


def _lines(run: Path) -> tuple[list[Line], list[Line]]:
    """The losses and the shares of a run. A resumed run says some steps twice: the later one is what became of it."""
    path = run / LOG
    try:
        said = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); give the folder of a run that was trained") from None
    records: dict[int, dict[str, float]] = {}
    for number, text in enumerate(said, start=1):
        try:
            record = json.loads(text)
            step = int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(said):
                break  # a slice that was killed while it wrote
            raise UsageError(f"line {number} of {path} is no record of a step ({error})") from None
        figures = {key: float(value) for key, value in record.items() if isinstance(value, int | float)}
        records[step] = {key: value for key, value in figures.items() if key not in NO_CURVE and math.isfinite(value)}
    keys = list(dict.fromkeys(key for record in records.values() for key in record))
    losses, shares = [], []
    for key in keys:
        points = [(float(step), records[step][key]) for step in sorted(records) if key in records[step]]
        if key in SHARES or key.removeprefix(OF_STRIPS).endswith(SHARE_ENDS):
            shares.append(Line(SHARES.get(key) or key.removesuffix("_right"), _thinned(points)))
        else:
            losses.append(Line(key, _thinned(points)))
    if not losses and not shares:
        raise UsageError(f"{path} has no figure yet; train the run first")
    return losses, shares


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most POINTS points: means of neighbours, and the last one as it is."""
    size = math.ceil(len(points) / POINTS)
    if size == 1:
        return list(points)
    parts = [points[start : start + size] for start in range(0, len(points) - 1, size)]
    means = [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]
    return [*means, points[-1]]


def _logarithmic(lines: Sequence[Line]) -> Scale:
    """Decades with 2 and 5 between them, from below the least to above the greatest value."""
    values = [value for line in lines for _, value in line.points if value > 0] or [1.0]
    steps = [factor * 10.0**power for power in range(-6, 7) for factor in (1, 2, 5)]
    low = max((step for step in steps if step <= min(values)), default=steps[0])
    high = min((step for step in steps if step >= max(values) and step > low), default=steps[-1])
    span = math.log(high / low)

    def at(value: float) -> float:
        return min(1.0, max(0.0, math.log(max(value, low) / low) / span))

    shown = [step for step in steps if low <= step <= high]
    if len(shown) > 7:  # too close to be read
        shown = [step for step in shown if math.isclose(math.log10(step), round(math.log10(step)))]
    return Scale(at, [(at(step), f"{step:g}") for step in shown])


def _percent() -> Scale:
    return Scale(lambda value: min(1.0, max(0.0, value)), [(share / 100, f"{share} %") for share in range(0, 101, 25)])


def _panel(title: str, lines: Sequence[Line], scale: Scale, last: float, colours: dict[str, str]) -> list[str]:
    """A frame with its axes, and each line with its name and last value at its end."""
    parts = [f'<text y="-12" font-weight="600">{escape(title)}</text>']
    for at, words in scale.ticks:
        y = HIGH * (1 - at)
        parts.append(f'<path d="M0 {y:.1f}H{WIDE}" stroke="{FAINT}"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{words}</text>')
    for step in _steps(last):
        x = WIDE * step / last
        parts.append(f'<path d="M{x:.1f} {HIGH}v4" stroke="{INK}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HIGH + 16}" text-anchor="middle">{step:,.0f}</text>')
    parts.append(f'<path d="M0 {HIGH}H{WIDE}" stroke="{INK}"/>')
    parts.append(f'<text x="{WIDE}" y="{HIGH + 30}" text-anchor="end">step</text>')
    ends = []
    for line in lines:
        points = [(WIDE * step / last, HIGH * (1 - scale.at(value))) for step, value in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        colour = colours[line.name]
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>')
        value = line.points[-1][1]
        figure = f"{100 * value:.1f} %" if scale.ticks[-1][1] == "100 %" else f"{value:.2g}"
        ends.append((points[-1][1], f"{line.name} {figure}", colour))
    for y, words, colour in _apart(ends):
        parts.append(f'<text x="{WIDE + 8}" y="{y + 4:.1f}" fill="{colour}">{escape(words)}</text>')
    return parts


def _steps(last: float) -> list[float]:
    """Round numbers from 0 to the last step, three to six of them."""
    power = 10.0 ** math.floor(math.log10(max(last, 1.0)))
    width = next(width for width in (power / 5, power / 2, power, 2 * power) if last / width <= 5)
    return [width * number for number in range(int(last / width) + 1)]


def _apart(ends: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """(y, words, colour), moved down where two would touch, and all of them up where they would leave the panel."""
    placed: list[tuple[float, str, str]] = []
    for y, words, colour in sorted(ends):
        placed.append((max(y, placed[-1][0] + NAME_PX) if placed else y, words, colour))
    floor = float(HIGH)
    for number in range(len(placed) - 1, -1, -1):
        y, words, colour = placed[number]
        placed[number] = (min(y, floor), words, colour)
        floor = placed[number][0] - NAME_PX
    return placed
