"""AMQP properties and headers, in and out.

Incoming ones are kept by their AMQP names. On the way out only what pamqp can write as it is passes unchanged: it
writes floats in 32 bits, cuts long names, and knows no bytes; the rest becomes text rather than failing the message.
"""

import hashlib
import math
import struct
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp import encode
from pamqp.commands import Basic
from pamqp.common import FieldTable

from bridge.core.answer.outbound_message import APP_ID, JSON, OutboundMessage
from bridge.core.broker.republished_copy import TRUNCATED, RepublishedCopy
from bridge.core.event.inbound_message import Headers, InboundMessage
from bridge.edges.rabbitmq.lenient_decoding import UnreadableTable

PERSISTENT = 2
MAX_LEFT_OUT_BYTES = 200
"""Bytes of the header that names what was left out."""
MARKS_BYTES = 300
"""Bytes at the most of both headers that say that something was left out."""

_NAMES = {
    "content_type": "content_type",
    "content_encoding": "content_encoding",
    "priority": "priority",
    "correlation_id": "correlation_id",
    "reply_to": "reply_to",
    "expiration": "expiration",
    "message_id": "message_id",
    "timestamp": "timestamp",
    "type": "message_type",
    "user_id": "user_id",
    "app_id": "app_id",
    "delivery_mode": "delivery_mode",
}


def incoming(message: DeliveredMessage, queue: str) -> InboundMessage:
    """The inbound message in a delivery of aiormq."""
    raw = message.header.properties
    properties = {
        name: value for name, attribute in _NAMES.items() if (value := getattr(raw, attribute)) not in (None, "")
    }
    headers = raw.headers or {}
    seen = {**properties, "exchange": message.exchange, "routing_key": message.routing_key, **headers}
    unreadable = [name for name, value in seen.items() if isinstance(value, UnreadableTable)]
    return InboundMessage(
        body=message.body,
        queue=queue,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        redelivered=bool(message.redelivered),
        properties=properties,
        headers=headers,
        unreadable=tuple(sorted(unreadable)) if unreadable else (),
    )


def of_outbound(message: OutboundMessage) -> Basic.Properties:
    """The properties of an outbound message. No priority: the subscriber's queue decides about those without one."""
    return Basic.Properties(
        content_type=JSON,
        headers=dict(message.headers),
        delivery_mode=PERSISTENT,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        timestamp=datetime.fromtimestamp(message.timestamp_s, UTC),
        message_type=message.type,
        app_id=APP_ID,
    )


def of_copy(copy: RepublishedCopy) -> Basic.Properties:
    """The properties of a copy: the original's, persistent, with headers that can be written."""
    named = {_NAMES[name]: _text(value) for name, value in copy.properties.items() if name in _NAMES}
    if not isinstance(named.get("timestamp"), datetime):
        named.pop("timestamp", None)
    return Basic.Properties(**{**named, "headers": writable(copy.headers), "delivery_mode": PERSISTENT})


def writable(headers: Headers) -> FieldTable:
    """Headers that AMQP and pamqp can say: long names cut, odd values as text."""
    return {_name(name): _header(value) for name, value in headers.items()}


def lightened(copy: RepublishedCopy, excess: int) -> RepublishedCopy | None:
    """The copy without its largest foreign headers, `excess` bytes lighter where they are so much; they are named.

    None where it has none that may be left out.
    """
    if not copy.foreign:
        return None
    kept, left_out = without_largest(copy.headers, copy.foreign, excess + MARKS_BYTES)
    named = ", ".join(left_out).encode()[:MAX_LEFT_OUT_BYTES].decode("utf-8", "ignore")
    marks = {TRUNCATED: "headers", "x-bridge-headers-left-out": named}
    return replace(copy, headers={**kept, **marks}, foreign=copy.foreign & kept.keys())


def without_largest(headers: Headers, foreign: Collection[str], excess: int) -> tuple[dict[str, object], list[str]]:
    """Headers without the largest of the foreign ones, `excess` bytes of them at the least; and the names of those."""
    kept, left_out = dict(headers), []
    sizes = {name: len(encode.field_table(writable({name: headers[name]}))) - 4 for name in foreign}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if excess <= 0:
            break
        excess -= sizes[name]
        left_out.append(name)
        del kept[name]
    return kept, left_out


def _text(value: object) -> Any:
    """A property's value; a mark for unreadable bytes is longer than they were, so cut to a short string's length."""
    return value.encode()[:255].decode("utf-8", "ignore") if isinstance(value, UnreadableTable) else value


def _name(name: str) -> str:
    if len(name.encode()) <= 128:
        return name
    return name.encode()[:100].decode("utf-8", "ignore") + "~" + hashlib.sha256(name.encode()).hexdigest()[:8]


def _header(value: object) -> Any:
    try:
        writable_value = _value(value)
        encode.encode_table_value(writable_value)
    except RecursionError:
        return "nested too deep to be copied"
    return writable_value


def _value(value: object) -> Any:
    match value:
        case bytes():
            return bytearray(value)
        case dict():
            return {_name(str(name)): _value(part) for name, part in value.items()}
        case list() | tuple():
            return [_value(part) for part in value]
        case float() if not _fits_32_bits(value):
            return repr(value)
        case _:
            return value if _encodes(value) else str(value)


def _fits_32_bits(value: float) -> bool:
    try:
        narrowed: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return False
    return narrowed == value or math.isnan(value)


def _encodes(value: Any) -> bool:
    try:
        encode.encode_table_value(value)
    except (TypeError, ValueError, OverflowError, struct.error, ArithmeticError):
        return False
    return True
