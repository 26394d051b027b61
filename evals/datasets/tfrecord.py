"""Read TFRecord files and the protocol buffers in AndroidControl's, without TensorFlow.

A record is its length (8 bytes), a checksum of the length, the data and a checksum of the data; checksums are masked
CRC-32C. The data is a tf.train.Example: names with lists of bytes, floats or integers. Sources: tensorflow
core/lib/io/record_writer.h, core/example/feature.proto; the field numbers of AndroidAccessibilityForest are those of
google-deepmind/android_env, proto/a11y.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from actions import UsageError

MAX_RECORD_BYTES = 1 << 31  # a longer record is a damaged length
FieldValue = int | bytes


@dataclass(frozen=True)
class AccessibilityNode:
    """One node of an accessibility tree."""

    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels of the screen
    text: str = ""
    description: str = ""
    hint: str = ""
    tooltip: str = ""
    view_class: str = ""
    package: str = ""
    is_clickable: bool = False
    is_visible: bool = False


def read_records(path: Path) -> Iterator[bytes]:
    """Yield each record of a file, gzipped or not.

    Raises:
        UsageError: A record is damaged or truncated; the message names it.
    """
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    stream = cast(IO[bytes], gzip.open(path, "rb")) if is_gzip else path.open("rb")  # noqa: SIM115
    with stream as file:
        number = 0
        while head := _read_bytes(file, 12, path, number, may_end=True):
            (length,) = struct.unpack("<Q", head[:8])
            if _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0] or length > MAX_RECORD_BYTES:
                raise UsageError(f"{path}, record {number}: its length is damaged; download the file again")
            data = _read_bytes(file, length, path, number)
            if _masked_crc(data) != struct.unpack("<I", _read_bytes(file, 4, path, number))[0]:
                raise UsageError(f"{path}, record {number}: its checksum is wrong; download the file again")
            yield data
            number += 1


def _read_bytes(file: IO[bytes], count: int, path: Path, number: int, *, may_end: bool = False) -> bytes:
    try:
        data = file.read(count)
    except (EOFError, OSError) as error:
        raise UsageError(f"{path}, record {number}: {error}; download the file again") from None
    if len(data) != count and not (may_end and not data):
        raise UsageError(f"{path}, record {number}: the file is truncated; download it again")
    return data


def parse_example(data: bytes) -> dict[str, list[Any]]:
    """Return a tf.train.Example as {name: [bytes | float | int, ...]}; raise ValueError where it is malformed."""
    features: dict[str, list[Any]] = {}
    for message in _submessages(data, 1):
        for entry in _submessages(message, 1):
            name, feature = _submessages(entry, 1), _submessages(entry, 2)
            features[name[0].decode()] = _parse_feature(feature[0]) if feature else []
    return features


def _parse_feature(data: bytes) -> list[Any]:
    for number, value in parse_fields(data):
        if not isinstance(value, bytes):
            raise ValueError("a feature is not a list")
        if number == 1:
            return _submessages(value, 1)
        if number == 2:
            return [item for chunk in _float_chunks(value) for item in struct.unpack(f"<{len(chunk) // 4}f", chunk)]
        if number == 3:
            return [
                to_signed(item)
                for _, part in parse_fields(value)
                for item in (_parse_varints(part) if isinstance(part, bytes) else [part])
            ]
    return []


def _float_chunks(data: bytes) -> list[bytes]:
    """Return the bytes of floats, packed or one per field."""
    return [value if isinstance(value, bytes) else struct.pack("<I", value) for _, value in parse_fields(data)]


def parse_nodes(forest: bytes) -> list[AccessibilityNode]:
    """Return all nodes of an AndroidAccessibilityForest by window; raise ValueError where it is malformed."""
    return [
        _parse_node(node)
        for window in _submessages(forest, 1)
        for tree in _submessages(window, 11)
        for node in _submessages(tree, 1)
    ]


def _parse_node(data: bytes) -> AccessibilityNode:
    values = dict(parse_fields(data))

    def text(number: int) -> str:
        value = values.get(number, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""

    rect = values.get(2, b"")
    sides = dict(parse_fields(rect)) if isinstance(rect, bytes) else {}
    left, top, right, bottom = (
        to_signed(side) if isinstance(side := sides.get(number, 0), int) else 0 for number in (1, 2, 3, 4)
    )
    return AccessibilityNode(
        (left, top, right, bottom),
        text(7),
        text(4),
        text(5),
        text(31),
        text(3),
        text(6),
        bool(values.get(14, 0)),
        bool(values.get(23, 0)),
    )


# ---- protocol buffers' wire format


def parse_fields(data: bytes) -> Iterator[tuple[int, FieldValue]]:
    """Yield (number, value) of each field of a message; integers are unsigned."""
    place = 0
    while place < len(data):
        tag, place = _parse_varint(data, place)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value: FieldValue
            value, place = _parse_varint(data, place)
            yield number, value
            continue
        if wire_type == 2:
            length, place = _parse_varint(data, place)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"field {number} has the unknown wire type {wire_type}")
        if place + length > len(data):
            raise ValueError(f"field {number} is truncated")
        part = data[place : place + length]
        place += length
        yield number, part if wire_type == 2 else int.from_bytes(part, "little")


def _parse_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a varint is truncated")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & (2**64 - 1), place


def _parse_varints(data: bytes) -> list[int]:
    values, place = [], 0
    while place < len(data):
        value, place = _parse_varint(data, place)
        values.append(value)
    return values


def to_signed(value: int) -> int:
    """Return an unsigned 64-bit value as int64."""
    return value - 2**64 if value >= 2**63 else value


def _submessages(data: bytes, number: int) -> list[bytes]:
    return [value for field, value in parse_fields(data) if field == number and isinstance(value, bytes)]


# ---- CRC-32C (Castagnoli), eight bytes at a time


def _crc_tables() -> list[list[int]]:
    first = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        first.append(crc)
    tables = [first]
    for _ in range(7):
        tables.append([(crc >> 8) ^ first[crc & 0xFF] for crc in tables[-1]])
    return tables


CRC_TABLES = _crc_tables()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C checksum."""
    crc = 0xFFFFFFFF
    t0, t1, t2, t3, t4, t5, t6, t7 = CRC_TABLES
    aligned = len(data) // 8 * 8
    for low, high in struct.iter_unpack("<II", data[:aligned]):
        low ^= crc
        crc = (
            t7[low & 0xFF]
            ^ t6[low >> 8 & 0xFF]
            ^ t5[low >> 16 & 0xFF]
            ^ t4[low >> 24]
            ^ t3[high & 0xFF]
            ^ t2[high >> 8 & 0xFF]
            ^ t1[high >> 16 & 0xFF]
            ^ t0[high >> 24]
        )
    for byte in data[aligned:]:
        crc = (crc >> 8) ^ t0[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked_crc(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
