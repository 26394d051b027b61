"""The picture of a run: every figure is in it, where it belongs, and what is no log is said."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from actions import UsageError
from training.plot import HIGH, POINTS, WIDE, draw

SVG = "{http://www.w3.org/2000/svg}"


def run(folder: Path, *records: dict[str, Any], torn: str = "") -> Path:
    folder.mkdir()
    (folder / "losses.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records) + torn)
    return folder


def drawn(*runs: Path) -> tuple[list[str], list[list[tuple[float, float]]]]:
    """The words of the picture, and its curves in pixels of their panels."""
    out = runs[0].parent / "pictures" / "curves.svg"
    draw(runs, out)
    tree = ElementTree.parse(out)
    curves = []
    for path in tree.iter(f"{SVG}path"):
        if path.get("fill") == "none":
            numbers = [float(number) for number in re.findall(r"[\d.]+", path.attrib["d"])]
            curves.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
    return [text.text or "" for text in tree.iter(f"{SVG}text")], curves


def test_losses_are_on_decades_and_shares_on_percent(tmp_path: Path) -> None:
    first = {"step": 20, "loss": 12.0, "token": 10.0, "token_right": 0.25, "s": 1.5}
    words, curves = drawn(run(tmp_path / "a", first, {**first, "step": 40, "token": 0.1, "token_right": 0.5}))
    assert curves == [[(WIDE / 2, 0.0), (WIDE, HIGH)], [(WIDE / 2, HIGH * 0.75), (WIDE, HIGH / 2)]]
    assert {"a: losses", "a: share that is right", "token 0.1", "token 50.0 %", "10", "0.1", "100 %", "step"} <= set(
        words
    )
    assert not any("loss " in word or word.startswith("s ") for word in words)


def test_a_resumed_run_has_each_step_once_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    records = [{"step": step, "token": value} for step, value in ((20, 4.0), (40, 3.0), (40, 2.0), (60, 1.0))]
    words, (curve,) = drawn(run(tmp_path / "a", *records, torn='{"step": 80, "to'))
    assert [x for x, _ in curve] == pytest.approx([WIDE / 3, WIDE * 2 / 3, WIDE], abs=0.06)
    _, (clean,) = drawn(run(tmp_path / "b", records[0], *records[2:]))
    assert clean == curve and "token 1" in words


def test_a_long_run_stays_light_and_ends_where_it_ended(tmp_path: Path) -> None:
    records = [{"step": step, "token": 8.0 - step / 1000, "gaze_right": step / 8000} for step in range(1, 7001)]
    words, curves = drawn(run(tmp_path / "a", *records), run(tmp_path / "b", *records[:9]))
    assert len(curves) == 4 and all(len(curve) <= POINTS + 1 for curve in curves)
    assert curves[0][-1] == (WIDE, HIGH) and "gaze 87.5 %" in words and "b: losses" in words
    assert (tmp_path / "pictures" / "curves.svg").stat().st_size < 20_000


def test_names_do_not_lie_on_each_other(tmp_path: Path) -> None:
    out = tmp_path / "c.svg"
    draw([run(tmp_path / "a", {"step": 20, **{f"part{n}": 1.0 + n / 1000 for n in range(9)}})], out)
    heights = [float(text.attrib["y"]) for text in ElementTree.parse(out).iter(f"{SVG}text") if text.get("fill")]
    assert len(heights) == 9 and min(b - a for a, b in zip(sorted(heights), sorted(heights)[1:], strict=False)) >= 13


def test_what_is_no_log_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read .* folder of a run that was trained"):
        draw([tmp_path], tmp_path / "c.svg")
    with pytest.raises(UsageError, match=r"line 1 of .*losses\.jsonl is no record"):
        draw([run(tmp_path / "a", {"token": 1.0}, {"step": 2, "token": 1.0})], tmp_path / "c.svg")
    with pytest.raises(UsageError, match="has no figure yet"):
        draw([run(tmp_path / "b", {"step": 1})], tmp_path / "c.svg")
    with pytest.raises(UsageError, match="at least one run"):
        draw([], tmp_path / "c.svg")
    assert not (tmp_path / "c.svg").exists()


def test_strips_have_a_row_of_their_own(tmp_path: Path) -> None:
    record = {
        "step": 20,
        "token": 1.0,
        "strip_loss": 9.0,
        "strip_token": 2.0,
        "strip_said_right": 0.5,
        "strip_sought": 4.0,
        "strip_spots": 0.0,
    }
    words, curves = drawn(run(tmp_path / "a", record, {**record, "step": 40}))
    assert {"a: losses", "a, strips: losses", "token 1", "token 2", "said 50.0 %"} <= set(words)
    assert (
        len(curves) == 4
        and "sought 4" in words
        and not any("strip_" in word or word.startswith("spots") for word in words)
    )
