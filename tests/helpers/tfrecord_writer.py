"""A writer of TFRecord files and protocol buffers, for tests of the reader."""

from __future__ import annotations

import struct
from typing import Any

from evals.datasets import tfrecord


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def part(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values: list[Any], packed: bool = True) -> bytes:
    if isinstance(values[0], float):
        floats = [struct.pack("<f", value) for value in values]
        body = part(1, b"".join(floats)) if packed else b"".join(varint(1 << 3 | 5) + value for value in floats)
        return part(2, body)
    if isinstance(values[0], int):
        body = part(1, b"".join(map(varint, values))) if packed else b"".join(part(1, value) for value in values)
        return part(3, body)
    return part(1, b"".join(part(1, value) for value in values))


def example(features: dict[str, list[Any]], packed: bool = True) -> bytes:
    entries = (part(1, part(1, name) + part(2, feature(values, packed))) for name, values in features.items() if values)
    return part(1, b"".join(entries))


def frame(data: bytes) -> bytes:
    def checksum(content: bytes) -> bytes:
        crc = tfrecord.crc32c(content)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)
