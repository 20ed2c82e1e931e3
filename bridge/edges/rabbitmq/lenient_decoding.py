"""Reading what a publisher should not have sent: text that is not UTF-8, a time beyond all calendars, endless headers.

AMQP lets any bytes into a short string, and RabbitMQ passes them on. pamqp refuses them while it reads the frame, and
aiormq then gives up the whole connection, before anybody sees the message: every message in hand would be delivered
again and again, until the broker's delivery limit throws innocent ones away (docs/reliability.md, F4, F5). So what
cannot be read is replaced by a readable mark, and the message goes to the dead-letter queue like any other bad one.

This replaces three entries of the table in which pamqp looks up how to read a type; nothing else of pamqp changes, and
what can be read is read by its own functions. A test against the real broker fails when a new version no longer goes by
the table.
"""

import struct
from datetime import datetime

from pamqp import decode
from pamqp.common import FieldTable

from bridge.edges.rabbitmq._internals import replace_decoders

UNREADABLE_TABLE = "x-bridge-unreadable-headers"


class UnreadableTable(str):
    """Stands for a value that could not be read: its bytes with the odd ones escaped."""

    __slots__ = ()


def install() -> None:
    """Make pamqp tolerant in this process; doing so twice changes nothing."""
    replace_decoders({"shortstr": _short_string, "timestamp": _timestamp, "table": _table})


def _short_string(value: bytes) -> tuple[int, str]:
    try:
        return decode.short_str(value)
    except UnicodeDecodeError:
        end = 1 + value[0]
        return end, UnreadableTable(value[1:end].decode("utf-8", "backslashreplace"))


def _timestamp(value: bytes) -> tuple[int, datetime | str]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, UnreadableTable(value[:8].hex())


def _table(value: bytes) -> tuple[int, FieldTable]:
    try:
        return decode.field_table(value)
    except (ValueError, KeyError, OverflowError, OSError, RecursionError, struct.error) as error:
        (length,) = struct.unpack_from(">I", value)
        if len(value) < 4 + length:
            raise
        return 4 + length, {UNREADABLE_TABLE: UnreadableTable(f"{type(error).__name__}: {error}"[:200])}
