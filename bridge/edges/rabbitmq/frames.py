"""AMQP 0-9-1 publish frames for outbound messages, encoded with little work each.

    method (exchange, routing key)  remembered for each pair
    header (properties)             what a stream's messages share is encoded once, by pamqp; the rest is appended
    body                            as it is, split where it is larger than a frame

pamqp's encoding is the reference: a property test decodes these frames with it and compares. (AMQP 0-9-1, 2.3.5, 4.2.6)
"""

import struct
from collections.abc import Mapping
from typing import Any

from pamqp import encode

from bridge.core.outbound import Letterhead, OutboundMessage

END = b"\xce"
PERSISTENT = b"\x02"
MOST_METHODS = 4096
# Presence bits of content_type, headers, delivery_mode, correlation_id, message_id, timestamp, type and app_id.
FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 10 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3
FRAME_OVERHEAD = 8
UNWRITABLE = (TypeError, ValueError, OverflowError, struct.error)
"""What comes of a value that AMQP cannot say."""

_METHOD = struct.Struct(">HHHB")
_FRAME = struct.Struct(">BHI")
_HEADER = struct.Struct(">BHIHHQH")
_LONG = struct.Struct(">I")
_INT32 = struct.Struct(">i")
_TIME = struct.Struct(">Q")


class FrameEncoder:
    """Encodes for one channel. `frame_max` is the negotiated size of a frame in bytes, framing included."""

    def __init__(self, channel: int, frame_max: int) -> None:
        self._channel = channel
        self._most_content = frame_max - FRAME_OVERHEAD
        self._methods: dict[tuple[str, str, bool], bytes] = {}

    def publish(self, message: OutboundMessage) -> bytes:
        """All frames of one publish. Raises one of UNWRITABLE."""
        body = message.body
        size = len(body)
        head = self._method(message.exchange, message.routing_key, message.mandatory) + self._header(message, size)
        if size <= self._most_content:
            return b"".join((head, _FRAME.pack(3, self._channel, size), body, END)) if size else head
        return head + self._split(body)

    def _split(self, body: bytes) -> bytes:
        view, most = memoryview(body), self._most_content
        parts: list[bytes | memoryview] = []
        for start in range(0, len(body), most):
            part = view[start : start + most]
            parts += (_FRAME.pack(3, self._channel, len(part)), part, END)
        return b"".join(parts)

    def _method(self, exchange: str, routing_key: str, mandatory: bool) -> bytes:
        key = (exchange, routing_key, mandatory)
        found = self._methods.get(key)
        if found is None:
            payload = b"".join(
                (_METHOD.pack(60, 40, 0, 0)[:6], encode.short_string(exchange), encode.short_string(routing_key))
            ) + (b"\x01" if mandatory else b"\x00")
            found = _FRAME.pack(1, self._channel, len(payload)) + payload + END
            if len(self._methods) >= MOST_METHODS:
                self._methods.clear()
            self._methods[key] = found
        return found

    def _header(self, message: OutboundMessage, size: int) -> bytes:
        before, shared, after = _shared(message.letterhead)
        own = _own(message.own_headers)
        message_id, type_ = message.message_id.encode(), message.type.encode()
        if len(message_id) > 255 or len(type_) > 255:
            raise ValueError("message_id or type is longer than 255 bytes")
        properties = b"".join(
            (
                before,
                _LONG.pack(len(shared) + len(own)),
                shared,
                own,
                PERSISTENT,
                after,
                bytes((len(message_id),)),
                message_id,
                _TIME.pack(message.timestamp_s),
                bytes((len(type_),)),
                type_,
                _APP_ID,
            )
        )
        return _HEADER.pack(2, self._channel, 14 + len(properties), 60, 0, size, FLAGS) + properties + END


def _shared(letterhead: Letterhead) -> tuple[bytes, bytes, bytes]:
    """Content type, the shared entries of the header table, and the correlation id: encoded once a letterhead."""
    found = letterhead.memo
    if found is None:
        shared = encode.field_table(dict(letterhead.headers))[4:]
        correlation_id = encode.short_string(letterhead.correlation_id)
        found = letterhead.memo = (_CONTENT_TYPE, shared, correlation_id)
    return found  # type: ignore[no-any-return]


def _own(headers: Mapping[str, Any]) -> bytes:
    parts = []
    for name, value in headers.items():
        if type(value) is int and -(2**31) <= value < 2**31:
            encoded = b"I" + _INT32.pack(value)
        elif type(value) is str:
            text = value.encode()
            encoded = b"S" + _LONG.pack(len(text)) + text
        else:
            encoded = encode.encode_table_value(value)
        parts.append(_NAMES.get(name) or encode.short_string(name))
        parts.append(encoded)
    return b"".join(parts)


_CONTENT_TYPE = encode.short_string("application/json")
_APP_ID = encode.short_string("amigo-bridge")
_NAMES = {name: encode.short_string(name) for name in ("stream", "sequence", "recovered")}
