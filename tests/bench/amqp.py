"""AMQP on a bare socket, blocking: for the harness and for the raw publisher, who must cost next to nothing.

Methods are pamqp's; frames of deliveries and confirms are taken apart by hand, many at a time.
"""

import contextlib
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pamqp import body, commands, frame, header

HOST = "127.0.0.1"
CHANNEL = 1
FRAME_MAX = 131_072
METHOD, HEADER, BODY = 1, 2, 3
DELIVER = b"\x00\x3c\x00\x3c"
ACK = b"\x00\x3c\x00\x50"
CLOSES = (b"\x00\x0a\x00\x32", b"\x00\x14\x00\x28")
READ_BYTES = 1 << 20

_FRAME = struct.Struct(">BHI")
_LONG_LONG = struct.Struct(">Q")
_ACK = struct.Struct(">Q?")


class AmqpError(Exception):
    """The broker closed the connection or the channel, or did not answer."""


class Frames:
    """Cuts received bytes into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The complete frames so far, as (type, payload)."""
        received = self._rest + data if self._rest else data
        at, end, found = 0, len(received), []
        while end - at >= 8:
            kind, _, size = _FRAME.unpack_from(received, at)
            past = at + 8 + size
            if past > end:
                break
            found.append((kind, received[at + 7 : past - 1]))
            at = past
        self._rest = received[at:]
        return found


class Deliveries:
    """Puts deliveries together from frames."""

    def __init__(self) -> None:
        self._tag = 0
        self._left = 0
        self._parts: list[bytes] = []

    def feed(self, frames: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """The complete deliveries so far, as (delivery tag, body)."""
        found = []
        for kind, payload in frames:
            if kind == BODY:
                self._left -= len(payload)
                if self._left or self._parts:
                    self._parts.append(payload)
                    if self._left:
                        continue
                    payload, self._parts = b"".join(self._parts), []
                found.append((self._tag, payload))
            elif kind == HEADER:
                self._left = _LONG_LONG.unpack_from(payload, 4)[0]
                if not self._left:
                    found.append((self._tag, b""))
            elif payload.startswith(DELIVER):
                self._tag = _LONG_LONG.unpack_from(payload, 5 + payload[4])[0]
            else:
                check(payload)
        return found


class Confirms:
    """Counts confirms, which come in any order, one by one or many at once."""

    def __init__(self) -> None:
        self.upto = 0
        self._early: set[int] = set()

    def feed(self, frames: Iterable[tuple[int, bytes]]) -> None:
        """`upto` is then the tag up to which all is confirmed. Raises AmqpError for a close or a nack."""
        for kind, payload in frames:
            if kind == METHOD and payload.startswith(ACK):
                self._confirmed(*_ACK.unpack_from(payload, 4))
            elif kind == METHOD:
                check(payload)

    def _confirmed(self, tag: int, multiple: bool) -> None:
        if multiple:
            self.upto = max(self.upto, tag)
        else:
            self._early.add(tag)
        while self.upto + 1 in self._early:
            self.upto += 1
            self._early.remove(self.upto)


def check(payload: bytes) -> None:
    """Raises AmqpError where this method is the end of the channel or the connection, or refuses a message."""
    if payload[:4] in CLOSES or payload.startswith(b"\x00\x3c\x00\x78"):
        raise AmqpError(f"the broker said {payload!r}")


def encoded(exchange: str, routing_key: str, properties: commands.Basic.Properties, line: bytes) -> bytes:
    """The frames of one publish."""
    pieces = [line[at : at + FRAME_MAX - 8] for at in range(0, len(line), FRAME_MAX - 8)]
    return b"".join(
        [
            frame.marshal(commands.Basic.Publish(exchange=exchange, routing_key=routing_key), CHANNEL),
            frame.marshal(header.ContentHeader(body_size=len(line), properties=properties), CHANNEL),
            *(frame.marshal(body.ContentBody(piece), CHANNEL) for piece in pieces),
        ]
    )


class Link:
    """One connection with one channel. Use as a context manager."""

    def __init__(self, port: int, *, confirming: bool = False) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames = Frames()
        self._heard: list[tuple[int, bytes]] = []
        self._confirms = Confirms()
        self._published = 0
        self.socket.sendall(header.ProtocolHeader().marshal())
        self._await(commands.Connection.Start)
        self._send(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), 0)
        self._await(commands.Connection.Tune)
        self._send(commands.Connection.TuneOk(CHANNEL, FRAME_MAX, 0), 0)
        self._send(commands.Connection.Open("/"), 0)
        self._await(commands.Connection.OpenOk)
        self.call(commands.Channel.Open(), commands.Channel.OpenOk)
        if confirming:
            self.call(commands.Confirm.Select(), commands.Confirm.SelectOk)

    def call(self, method: Any, answer: type[Any]) -> Any:
        """Send a method and wait for its answer."""
        self._send(method, CHANNEL)
        return self._await(answer)

    def exchange(self, name: str, kind: str = "topic") -> None:
        """Declare a durable exchange."""
        self.call(
            commands.Exchange.Declare(exchange=name, exchange_type=kind, durable=True), commands.Exchange.DeclareOk
        )

    def queue(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Declare a durable queue."""
        self.call(commands.Queue.Declare(queue=name, durable=True, arguments=dict(arguments)), commands.Queue.DeclareOk)

    def bind(self, queue: str, exchange: str, key: str) -> None:
        self.call(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key), commands.Queue.BindOk)

    def delete(self, queue: str) -> None:
        self.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)

    def counts(self, queue: str) -> tuple[int, int]:
        """How many messages are ready, and how many consumers there are."""
        found = self.call(commands.Queue.Declare(queue=queue, passive=True), commands.Queue.DeclareOk)
        return found.message_count, found.consumer_count

    def consume(self, queue: str, *, prefetch: int = 0, no_ack: bool = False) -> None:
        """Start a consumer; deliveries are the reader's business from here on."""
        if prefetch:
            self.call(commands.Basic.Qos(prefetch_count=prefetch), commands.Basic.QosOk)
        self.call(commands.Basic.Consume(queue=queue, no_ack=no_ack), commands.Basic.ConsumeOk)

    def receive(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """The frames of one read, at once where some were read already; none after the time-out."""
        if self._heard:
            heard, self._heard = self._heard, []
            return heard
        self.socket.settimeout(max(timeout_s, 0.0001))
        try:
            data = self.socket.recv(READ_BYTES)
        except TimeoutError:
            return []
        if not data:
            raise AmqpError("the broker closed the socket")
        return self.frames.feed(data)

    def publish(self, messages: list[bytes], *, wait: bool) -> None:
        """Send encoded messages; with `wait`, return when all that this link ever sent is confirmed."""
        self.socket.settimeout(60)
        self.socket.sendall(b"".join(messages))
        self._published += len(messages)
        while wait and self._confirms.upto < self._published:
            frames = self.receive(60)
            if not frames:
                raise AmqpError("no confirm within 60 s")
            self._confirms.feed(frames)

    def purge(self, queue: str) -> None:
        self.call(commands.Queue.Purge(queue=queue), commands.Queue.PurgeOk)

    def acknowledge(self, tag: int) -> None:
        self._send(commands.Basic.Ack(delivery_tag=tag), CHANNEL)

    def _send(self, method: Any, channel: int) -> None:
        self.socket.settimeout(30)
        self.socket.sendall(frame.marshal(method, channel))

    def _await(self, answer: type[Any]) -> Any:
        """The answer; deliveries and confirms that come before it are kept for `receive`."""
        index = struct.pack(">I", answer.index)
        kept: list[tuple[int, bytes]] = []
        while True:
            frames = self.receive(30)
            if not frames:
                raise AmqpError(f"no {answer.name} within 30 s")
            for at, (kind, payload) in enumerate(frames):
                if kind == METHOD and payload.startswith(index):
                    self._heard = kept + frames[at + 1 :]
                    method = answer()
                    method.unmarshal(payload[4:])
                    return method
                if kind == METHOD:
                    check(payload)
                kept.append((kind, payload))

    def close(self) -> None:
        with contextlib.suppress(OSError, AmqpError):
            self._send(commands.Connection.Close(200, "", 0, 0), 0)
            self._await(commands.Connection.CloseOk)
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
