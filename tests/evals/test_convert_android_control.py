"""TFRecord files, protocol buffers, and the conversion of AndroidControl's shards."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.tfrecord_writer import example, frame, part
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from actions import UsageError
from evals.datasets import convert_android_control, tfrecord
from evals.registry import load_benchmark, load_dataset


def node(box: tuple[int, int, int, int], text: str = "", **more: Any) -> bytes:
    rect = b"".join(part(n, side) for n, side in enumerate(box, 1) if side)
    return part(2, rect) + part(7, text) + part(14, 1) + part(25, b"\x01\x02") + b"".join(more.values())


def forest(*nodes: bytes) -> bytes:
    tree = b"".join(part(1, item) for item in nodes)
    return part(1, part(5, "a window") + part(11, tree)) + part(1, part(6, 1))


def test_crc32c_known_values() -> None:
    """Check the standard value of CRC-32C and two of RFC 3720, appendix B.4."""
    assert tfrecord.crc32c(b"123456789") == 0xE3069283
    assert tfrecord.crc32c(bytes(32)) == 0x8A9136AA
    assert tfrecord.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert tfrecord.crc32c(bytes(range(32))) == 0x46DD794E
    assert tfrecord.crc32c(b"") == 0


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.lists(st.binary(), min_size=1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_example_round_trip(numbers: list[int], texts: list[bytes], packed: bool) -> None:
    values = {"numbers": numbers, "texts": texts, "shares": [0.5, -2.0]}
    assert tfrecord.parse_example(example(values, packed)) == values


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_raise_only_value_errors(data: bytes) -> None:
    for read in (tfrecord.parse_example, tfrecord.parse_nodes):
        try:
            read(data)
        except (ValueError, IndexError):
            pass


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_record_is_named(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "shard"

    def write(data: bytes) -> None:
        path.write_bytes(gzip.compress(data) if zipped else data)

    records = frame(b"first") + frame(b"second one")
    write(records)
    assert list(tfrecord.read_records(path)) == [b"first", b"second one"]
    for damaged, words in (
        (records[:-3], "record 1: the file is truncated"),
        (records[:-9] + b"?" + records[-8:], "record 1: its checksum is wrong"),
        (records[:4] + b"\x01" + records[5:], "record 0: its length is damaged"),
    ):
        write(damaged)
        with pytest.raises(UsageError, match=words):
            list(tfrecord.read_records(path))


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


ACTS = [
    {"action_type": "open_app", "app_name": "Clock"},
    {"action_type": "click", "x": 30, "y": 50},
    {"action_type": "scroll", "direction": "down"},
    {"action_type": "input_text", "text": "sieben ä"},
    {"action_type": "navigate_back"},
    {"action_type": "wait"},
    {"action_type": "long_press", "x": 30, "y": 50},
]
TREE = forest(
    node((0, 0, 100, 200)),
    node((20, 40, 60, 60), "Alarm"),
    node((-5, 100, 40, 140), "clock"),
    node((20, 40, 20, 60), "no area"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def episode(number: int, acts: list[dict[str, Any]]) -> bytes:
        return example(
            {
                "episode_id": [number],
                "goal": ["set an alarm ä".encode()],
                "screenshots": [png(100, 200)] * (len(acts) + 1),
                "accessibility_trees": [TREE] * (len(acts) + 1),
                "screenshot_widths": [100] * (len(acts) + 1),
                "actions": [json.dumps(item).encode() for item in acts],
                "step_instructions": [f"step {n}".encode() for n in range(len(acts))],
            }
        )

    for name, values in (("00000", [(7, ACTS), (8, ACTS[:1])]), ("00001", [(3, ACTS[1:3])])):
        data = b"".join(frame(episode(number, acts)) for number, acts in values)
        (tmp_path / f"android_control-{name}-of-00002").write_bytes(gzip.compress(data))
    (tmp_path / "splits.json").write_text(json.dumps({"train": [8], "test": [7, 3]}))
    return tmp_path


def test_shards_are_converted_and_scored(folder: Path) -> None:
    assert convert_android_control.convert(folder) == 2
    dataset = load_dataset(bench := load_benchmark("android-control"), folder)
    steps = dataset.tasks
    assert [item.id for item in steps] == ["3/0", "3/1", *(f"7/{n}" for n in range(7))]
    assert [item.action.verb for item in steps[2:]] == ["open", "click", "swipe", "type", "press", "wait", "long_press"]
    opened, click = steps[2], steps[3]
    assert opened.boxes == ((-5.0, 100.0, 40.0, 140.0),)
    assert opened.action.text == "Clock"
    assert click.boxes == ((0.0, 0.0, 100.0, 200.0), (20.0, 40.0, 60.0, 60.0))
    assert click.size == (100, 200)
    assert steps[5].action.text == "sieben ä"
    assert click.instruction == "step 1"
    assert (folder / "images" / "7_7.png").is_file()
    assert not (folder / "images" / "8_0.png").exists()
    summary = bench.score(dataset, {item.id: bench.oracle(item) for item in steps}, "strict").as_dict()
    assert (summary["correct"], summary["total"]) == (9, 9)
    assert any("accessibility nodes" in item for item in summary["notes"])


def test_missing_shards_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "android_control-00001-of-00002").unlink()
    with pytest.raises(UsageError, match=r"1 of 2 episodes are in none of the 1 shards, the first 3; .* gs://"):
        convert_android_control.convert(folder)
    assert not (folder / "android_control_unpacked.jsonl").exists()
    with pytest.raises(UsageError, match="has no split 'all'"):
        convert_android_control.convert(folder, "all")
    (folder / "splits.json").unlink()
    with pytest.raises(UsageError, match=r"there are no splits\.json .* get them from gs://gresearch"):
        convert_android_control.convert(folder)
