"""AMQP 0-9-1 properties byte by byte: what client libraries refuse to write, but a broker passes on."""

import random
import struct
from typing import Any

import pika

CONTENT_TYPE, HEADERS, DELIVERY_MODE, MESSAGE_ID, TIMESTAMP = 1 << 15, 1 << 13, 1 << 12, 1 << 7, 1 << 6


class RawProperties(pika.BasicProperties):
    """Properties whose encoding is given; the values must stand in the order of the protocol's flags."""

    def __init__(self, flags: int, *encoded: bytes) -> None:
        super().__init__()
        self._flags, self._encoded = flags, encoded

    def encode(self) -> list[bytes]:
        return [struct.pack(">H", self._flags), *self._encoded]


def short(value: bytes) -> bytes:
    return struct.pack(">B", len(value)) + value


def long(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def table(*entries: tuple[bytes, bytes]) -> bytes:
    return long(b"".join(short(key) + value for key, value in entries))


def scalar(kind: bytes, layout: str, *values: Any) -> bytes:
    return kind + struct.pack(layout, *values)


def every_type() -> list[tuple[bytes, bytes]]:
    """One header of each field type that RabbitMQ knows, at an odd place of its range."""
    return [
        (b"t", scalar(b"t", ">B", 1)),
        (b"b", scalar(b"b", ">b", -128)),
        (b"B", scalar(b"B", ">B", 255)),
        (b"s", scalar(b"s", ">h", -32768)),
        (b"u", scalar(b"u", ">H", 65535)),
        (b"I", scalar(b"I", ">i", -(2**31))),
        (b"i", scalar(b"i", ">I", 2**32 - 1)),
        (b"l", scalar(b"l", ">q", -(2**63))),
        (b"f", scalar(b"f", ">f", 1.5)),
        (b"d", scalar(b"d", ">d", -2.5e300)),
        (b"D", scalar(b"D", ">Bi", 2, -12345)),
        (b"S", b"S" + long("ü text".encode())),
        (b"octets", b"S" + long(b"\xff\xfe not text")),
        (b"x", b"x" + long(b"\x00\x01\xff")),
        (b"T", scalar(b"T", ">Q", 1_700_000_000)),
        (b"F", b"F" + table((b"in", scalar(b"t", ">B", 0)), (b"deep", b"F" + table()))),
        (b"A", b"A" + long(scalar(b"I", ">i", 7) + b"V" + b"S" + long(b"x"))),
        (b"V", b"V"),
    ]


def random_headers(dice: random.Random) -> bytes:
    """A table of random fields, some nested, with keys of every allowed length."""
    kinds = every_type()
    entries = []
    for number in range(dice.randrange(12)):
        key = f"{number}-{'k' * dice.choice((1, 8, 100))}".encode()
        _, value = dice.choice(kinds)
        for _ in range(dice.randrange(3)):
            value = b"F" + table((b"nested", value))
        entries.append((key, value))
    return table(*entries)


def with_headers(encoded: bytes, message_id: bytes | None = None) -> RawProperties:
    flags = CONTENT_TYPE | HEADERS | DELIVERY_MODE | (MESSAGE_ID if message_id is not None else 0)
    parts = [short(b"application/json"), encoded, struct.pack(">B", 2)]
    return RawProperties(flags, *parts, *([short(message_id)] if message_id is not None else []))
