"""AMQP 0-9-1 publish frames for outbound messages, encoded with little work each.

    method (exchange, routing key)  remembered for each address
    header (properties)             what a stream's messages share is encoded once; the rest is appended
    body                            as it is, split where it is larger than a frame

Method and header are one frame each, whatever the broker's `frame_max` (4096 bytes at the least): what does not fit is
not written at all, since the broker would close the whole connection over it (501).

pamqp's encoding is the reference: a property test decodes these frames with it and compares. (AMQP 0-9-1, 2.3.5, 4.2.6)
"""

import struct
from collections.abc import Iterator
from functools import lru_cache

from pamqp import encode
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from bridge.core.answer.outbound_message import APP_ID, Address, CommonHeaders, OutboundMessage
from bridge.core.errors import BridgeError
from bridge.core.event.inbound_message import Headers

END = b"\xce"
PERSISTENT = b"\x02"
MAX_REMEMBERED = 4096
# Presence bits of content_type, headers, delivery_mode, correlation_id, message_id, timestamp, type and app_id.
FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 10 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3
FRAME_OVERHEAD = 8
UNWRITABLE = (TypeError, ValueError, OverflowError, struct.error)
"""Errors over a value that AMQP cannot say."""

_ACK = struct.Struct(">BHIHHQBB")
_METHOD = struct.Struct(">HHH")
_FRAME = struct.Struct(">BHI")
_NEXT_FRAME = struct.Struct(">BBHI")
_CONTENT_TYPE = encode.short_string("application/json")
_HEADER = struct.Struct(f">BHIHHQH{len(_CONTENT_TYPE)}sI")
_LONG = struct.Struct(">I")
_INT32 = struct.Struct(">i")
_TIME = struct.Struct(">Q")
_SHORT = struct.Struct("B")

Piece = bytes | memoryview


class FrameTooLarge(BridgeError, ValueError):
    """The properties of a message do not fit into a frame; it is one of UNWRITABLE."""

    def __init__(self, length: int, most: int) -> None:
        super().__init__(f"its properties and headers take {length} bytes, a frame of this connection {most}")
        self.excess = length - most


class FrameEncoder:
    """Encodes for one channel. `frame_max` is the negotiated size of a frame in bytes, framing included."""

    def __init__(self, channel: int, frame_max: int) -> None:
        self._channel = channel
        self._most_content = frame_max - FRAME_OVERHEAD
        self._addresses: dict[Address, tuple[bytes, bytes, int]] = {}

    def publish(self, message: OutboundMessage, pieces: list[Piece]) -> int:
        """Append all frames of one publish; how many bytes they are, about. Raises one of UNWRITABLE, and appends none.

        In pieces, since what goes into one write is joined once.
        """
        body, channel = message.body, self._channel
        size = len(body)
        method, type_, length = self._addresses.get(message.to) or self._address(message.to)
        shared, after, table, shared_length = message.common_headers.memo or _shared(message.common_headers)
        own = _numbered(message.sequence) if message.sequence is not None else b""
        if message.own_headers:
            own += _entries(message.own_headers)
        message_id = message.message_id.encode()
        table += len(own)
        length += shared_length + len(own) + len(message_id)
        if length > self._most_content:
            raise FrameTooLarge(length, self._most_content)
        pieces += (
            method,
            _HEADER.pack(2, channel, length, 60, 0, size, FLAGS, _CONTENT_TYPE, table),
            shared,
            own,
            after,
            _SHORT.pack(len(message_id)),
            message_id,
            _TIME.pack(message.timestamp_s),
            type_,
            _NEXT_FRAME.pack(0xCE, 3, channel, size) if 0 < size <= self._most_content else END,
        )
        if 0 < size <= self._most_content:
            pieces += (body, END)
        elif size:
            pieces += self._split(body)
        return length + size

    def publish_with(self, to: Address, properties: Basic.Properties, body: bytes, pieces: list[Piece]) -> int:
        """The same for any properties, encoded by pamqp: for what is published seldom."""
        method, *_ = self._addresses.get(to) or self._address(to)
        header = ContentHeader(body_size=len(body), properties=properties).marshal()
        if len(header) > self._most_content:
            raise FrameTooLarge(len(header), self._most_content)
        pieces += (method, _FRAME.pack(2, self._channel, len(header)), header, END)
        pieces += self._split(body)
        return len(header) + len(body)

    def _split(self, body: bytes) -> Iterator[Piece]:
        view, most = memoryview(body), self._most_content
        for start in range(0, len(body), most):
            part = view[start : start + most]
            yield from (_FRAME.pack(3, self._channel, len(part)), part, END)

    def _address(self, to: Address) -> tuple[bytes, bytes, int]:
        """The method's frame; the end of the header, type and app id; and the header's length so far."""
        names = encode.short_string(to.exchange) + encode.short_string(to.routing_key)
        payload = _METHOD.pack(60, 40, 0) + names + (b"\x01" if to.mandatory else b"\x00")
        method = _FRAME.pack(1, self._channel, len(payload)) + payload + END
        type_ = encode.short_string(to.type) + _APP_ID
        made = method, type_, HEADER_BYTES + len(type_)
        if len(self._addresses) >= MAX_REMEMBERED:
            self._addresses.clear()
        self._addresses[to] = made
        return made


def ack(channel: int, delivery_tag: int) -> bytes:
    """The frame of `basic.ack` for one delivery."""
    return _ACK.pack(1, channel, 13, 60, 80, delivery_tag, 0, 0xCE)


def _shared(common_headers: CommonHeaders) -> tuple[bytes, bytes, int, int]:
    """The shared entries of the header table, what comes after it, and the lengths of table and of both.

    Encoded once for all messages that share them.
    """
    table, after = _entries(common_headers.headers), PERSISTENT + encode.short_string(common_headers.correlation_id)
    made = common_headers.memo = (table, after, len(table), len(table) + len(after))
    return made


@lru_cache(maxsize=MAX_REMEMBERED)
def _numbered(sequence: int) -> bytes:
    """The own header of nearly every line."""
    return _entries({"sequence": sequence})


def _entries(headers: Headers) -> bytes:
    """The entries of a field table, without its length. Text and small integers, nearly all, go past pamqp."""
    parts = []
    for name, value in headers.items():
        parts.append(_short_string(name))
        if type(value) is str:
            text = value.encode()
            parts += (b"S", _LONG.pack(len(text)), text)
        elif type(value) is int and -(2**31) <= value < 2**31:
            parts += (b"I", _INT32.pack(value))
        else:
            parts.append(encode.encode_table_value(value))
    return b"".join(parts)


@lru_cache(maxsize=MAX_REMEMBERED)
def _short_string(text: str) -> bytes:
    return encode.short_string(text)


# What a content header has beside its header table, message id and type: class, weight, body size, flags; content type,
# the table's length, the message id's length, the time.
HEADER_BYTES = 14 + len(_CONTENT_TYPE) + 4 + 1 + 8
_APP_ID = encode.short_string(APP_ID)
