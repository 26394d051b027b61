"""Plot the losses and accuracies of training runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from actions import UsageError
from training.config import LOSS_ALIASES
from training.trainer import LOG_FILE

NOT_PLOTTED = {"step", "s", "loss", "strip_loss"}  # the total loss is the weighted sum of the others
ACCURACIES = {"right", "quiet", "strips_quiet"}  # and what ends with _right
STRIP_PREFIX = "strip_"

Curve = dict[int, float]  # value by step


def plot_losses(runs: Sequence[Path], out: Path) -> None:
    """Write a figure with a row for each run: losses on the left, accuracies on the right."""
    try:
        import matplotlib
    except ImportError:
        raise UsageError("`curves` needs matplotlib; install it with: pip install 'pixelhand[train]'") from None
    from matplotlib.figure import Figure

    rows = [row for run in runs for row in _split_strips(run.name, read_log(run))]
    if not rows:
        raise UsageError("give at least one run folder")
    names = sorted({name.removesuffix("_right") for _, curves in rows for name in curves})
    colors = {name: matplotlib.colormaps["tab20"](number % 20) for number, name in enumerate(names)}
    figure = Figure(figsize=(11, 3.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False)
    for (title, curves), (loss_axes, accuracy_axes) in zip(rows, axes, strict=True):
        for name, curve in curves.items():
            target = accuracy_axes if is_accuracy(name) else loss_axes
            label = f"{name.removesuffix('_right')} {list(curve.values())[-1]:.3g}"
            target.plot(list(curve), list(curve.values()), label=label, color=colors[name.removesuffix("_right")])
        loss_axes.set(title=f"{title}: losses", xlabel="step", yscale="log")
        accuracy_axes.set(title=f"{title}: accuracy", xlabel="step", ylim=(0, 1))
        for panel in (loss_axes, accuracy_axes):
            if panel.lines:
                panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "pixelhand", "svg.fonttype": "none"}):
        figure.savefig(out, dpi=80, metadata={"Date": None} if out.suffix == ".svg" else None)


def read_log(run: Path) -> dict[str, Curve]:
    """Return the curves in a run's log. A resumed run logs some steps twice; the later record counts."""
    path = run / LOG_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error}); give the folder of a training run") from None
    records: dict[int, dict[str, float]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            step = int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # the process was killed while it wrote
            raise UsageError(f"line {number} of {path} is not the record of a step ({error})") from None
        values = {key: float(value) for key, value in record.items() if isinstance(value, int | float)}
        records[step] = {key: value for key, value in values.items() if key not in NOT_PLOTTED and math.isfinite(value)}
    curves: dict[str, Curve] = {}
    for step in sorted(records):
        for key, value in records[step].items():
            curves.setdefault(present_name(key), {})[step] = value
    if not curves:
        raise UsageError(f"{path} has no metrics yet; train the run first")
    return curves


def present_name(key: str) -> str:
    """Return the present name of a metric in a log, which may be from before 0.2."""
    prefix = STRIP_PREFIX if key.startswith(STRIP_PREFIX) else ""
    name = key.removeprefix(prefix)
    if name.endswith("_sought"):
        return f"{prefix}{present_name(name.removesuffix('_sought'))}_cell_right"
    if name.startswith("moved"):
        return prefix + name.replace("moved", LOSS_ALIASES["keep"], 1)
    for suffix in ("", "_right", "_early"):
        if name.endswith(suffix) and name.removesuffix(suffix) in LOSS_ALIASES:
            return f"{prefix}{LOSS_ALIASES[name.removesuffix(suffix)]}{suffix}"
    return key


def is_accuracy(name: str) -> bool:
    """Return whether a metric is an accuracy rather than a loss."""
    return name in ACCURACIES or name.endswith("_right")


def _split_strips(run: str, curves: dict[str, Curve]) -> Iterable[tuple[str, dict[str, Curve]]]:
    """Yield the (title, curves) of screens and, if there are any, of strips without losses that are always zero."""
    yield run, {name: curve for name, curve in curves.items() if not name.startswith(STRIP_PREFIX)}
    strips = {
        name.removeprefix(STRIP_PREFIX): curve
        for name, curve in curves.items()
        if name.startswith(STRIP_PREFIX) and any(curve.values())
    }
    if strips:
        yield f"{run}, strips", strips
