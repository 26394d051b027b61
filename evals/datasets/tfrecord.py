"""TFRecord files and the two protocol-buffer messages that AndroidControl keeps in them. Knows bytes; no benchmark.

A record is its length (8 bytes), a checksum of that, the data, a checksum of that: CRC-32C, masked. The data is a
tf.train.Example: names with lists of bytes, floats or integers. No TensorFlow, and no generated code: the wire format
is five kinds of field. Sources: tensorflow core/lib/io/record_writer.h, core/example/feature.proto; the numbers of
AndroidAccessibilityForest's fields are those of google-deepmind/android_env, proto/a11y.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from actions import UsageError

LARGEST = 1 << 31  # bytes of one record; more is a damaged length
Value = int | bytes


@dataclass(frozen=True)
class Node:
    """One node of an accessibility tree. box: left, top, right, bottom in pixels of the screen."""

    box: tuple[int, int, int, int]
    text: str = ""
    description: str = ""
    hint: str = ""
    tooltip: str = ""
    kind: str = ""  # the class of its view
    package: str = ""
    clickable: bool = False
    visible: bool = False


def records(path: Path) -> Iterator[bytes]:
    """Each record of a file, gzipped or not. UsageError, with the place, where one is damaged or cut off."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    opened: IO[bytes] = gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[assignment]  # noqa: SIM115
    with opened as file:
        number = 0
        while head := _read(file, 12, path, number, may_end=True):
            (length,) = struct.unpack("<Q", head[:8])
            if _masked(head[:8]) != struct.unpack("<I", head[8:])[0] or length > LARGEST:
                raise UsageError(f"{path}, record {number}: its length is damaged; get the file again")
            data = _read(file, length, path, number)
            if _masked(data) != struct.unpack("<I", _read(file, 4, path, number))[0]:
                raise UsageError(f"{path}, record {number}: its checksum is wrong; get the file again")
            yield data
            number += 1


def _read(file: IO[bytes], count: int, path: Path, number: int, *, may_end: bool = False) -> bytes:
    try:
        data = file.read(count)
    except (EOFError, OSError) as error:
        raise UsageError(f"{path}, record {number}: {error}; get the file again") from None
    if len(data) != count and not (may_end and not data):
        raise UsageError(f"{path}, record {number}: the file is cut off; get it again")
    return data


def example(data: bytes) -> dict[str, list[Any]]:
    """A tf.train.Example as {name: [bytes | float | int, ...]}. ValueError where it is none."""
    found: dict[str, list[Any]] = {}
    for features in _all(data, 1):
        for entry in _all(features, 1):
            name, feature = _all(entry, 1), _all(entry, 2)
            found[name[0].decode()] = _feature(feature[0]) if feature else []
    return found


def _feature(data: bytes) -> list[Any]:
    for number, value in fields(data):
        if not isinstance(value, bytes):
            raise ValueError("a feature is no list")
        if number == 1:
            return _all(value, 1)
        if number == 2:
            return [one for chunk in _chunks(value) for one in struct.unpack(f"<{len(chunk) // 4}f", chunk)]
        if number == 3:
            return [
                signed(one)
                for _, part in fields(value)
                for one in (_varints(part) if isinstance(part, bytes) else [part])
            ]
    return []


def _chunks(data: bytes) -> list[bytes]:
    """Floats, packed or one by one."""
    return [value if isinstance(value, bytes) else struct.pack("<I", value) for _, value in fields(data)]


def nodes(forest: bytes) -> list[Node]:
    """All nodes of an AndroidAccessibilityForest, window by window. ValueError where it is none."""
    return [_node(node) for window in _all(forest, 1) for tree in _all(window, 11) for node in _all(tree, 1)]


def _node(data: bytes) -> Node:
    held = dict(fields(data))

    def text(number: int) -> str:
        value = held.get(number, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""

    rect = held.get(2, b"")
    sides = dict(fields(rect)) if isinstance(rect, bytes) else {}
    box = tuple(signed(side) if isinstance(side := sides.get(n, 0), int) else 0 for n in (1, 2, 3, 4))
    return Node(
        (box[0], box[1], box[2], box[3]),
        text(7),
        text(4),
        text(5),
        text(31),
        text(3),
        text(6),
        bool(held.get(14, 0)),
        bool(held.get(23, 0)),
    )


# ---- the wire format


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field of a message; integers as they are written, without a sign."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value: Value
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field {number} is of kind {kind}, which is none")
        if place + length > len(data):
            raise ValueError(f"field {number} is cut off")
        part = data[place : place + length]
        place += length
        yield number, part if kind == 2 else int.from_bytes(part, "little")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a number is cut off")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & (2**64 - 1), place


def _varints(data: bytes) -> list[int]:
    found, place = [], 0
    while place < len(data):
        value, place = _varint(data, place)
        found.append(value)
    return found


def signed(value: int) -> int:
    """An int64 or int32 as it was meant: negative ones are written as 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _all(data: bytes, number: int) -> list[bytes]:
    return [value for found, value in fields(data) if found == number and isinstance(value, bytes)]


# ---- CRC-32C (Castagnoli), eight bytes at a time


def _tables() -> list[list[int]]:
    first = []
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = (rest >> 1) ^ (0x82F63B78 if rest & 1 else 0)
        first.append(rest)
    tables = [first]
    for _ in range(7):
        tables.append([(rest >> 8) ^ first[rest & 0xFF] for rest in tables[-1]])
    return tables


TABLES = _tables()


def crc32c(data: bytes) -> int:
    rest = 0xFFFFFFFF
    t0, t1, t2, t3, t4, t5, t6, t7 = TABLES
    whole = len(data) // 8 * 8
    for low, high in struct.iter_unpack("<II", data[:whole]):
        low ^= rest
        rest = (
            t7[low & 0xFF]
            ^ t6[low >> 8 & 0xFF]
            ^ t5[low >> 16 & 0xFF]
            ^ t4[low >> 24]
            ^ t3[high & 0xFF]
            ^ t2[high >> 8 & 0xFF]
            ^ t1[high >> 16 & 0xFF]
            ^ t0[high >> 24]
        )
    for byte in data[whole:]:
        rest = (rest >> 8) ^ t0[(rest ^ byte) & 0xFF]
    return rest ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
