"""All that the bridge uses of aiormq, aio-pika and pamqp beyond their documentation.

**Reading.** aiormq awaits each frame in three pieces. Here frames are cut from what one read gives. A confirm goes
straight to its channel instead of through two queues and a task, unless aiormq still has a frame of that channel.

**Opening a connection.** aiormq takes the broker's refusal for a frame that it does not know, and decodes the virtual
host in a URL twice; aio-pika begins to close a connection whenever it is collected.

**A channel for publishing.** aiormq's reader calls the handlers that are overridden here for `basic.ack`/`nack`, for
`basic.return` and for `channel.close`. All else stays aiormq's: opening, flow of frames, closing, errors.

**Writing.** Whole frames go into the queue of aiormq's writer.

**Decoding.** pamqp finds the functions for short strings, times and tables in one table.
"""

import asyncio
import struct
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module, metadata
from typing import Any

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection
from aiormq import spec
from pamqp import commands
from pamqp.base import Frame
from pamqp.common import FieldValue
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader
from yarl import URL

from bridge.core.library import Library, ensure

AIORMQ = Library(
    "aiormq",
    "7.2.4",
    {
        "aiormq.connection": ("FrameReceiver", "exception_by_code"),
        "aiormq.connection:FrameReceiver": ("get_frame", "reader"),
        "aiormq.connection:TransportFactory": ("create",),
        "aiormq:Connection": ("_rpc", "channels", "connection_tune", "vhost", "write_queue"),
        "aiormq:Channel": (
            "_get_frame",
            "_on_close_frame",
            "_on_close_ok_frame",
            "_on_confirm_frame",
            "_on_return_frame",
            "_read_content",
            "closing",
            "connection",
            "create_future",
            "number",
            "on_consumer_cancel_callbacks",
            "write_queue",
        ),
        "aiormq.abc:ChannelFrame": ("drain_future", "marshall", "payload", "should_close"),
    },
)
AIO_PIKA = Library(
    "aio-pika",
    "10.2.1",
    {
        "aio_pika:Connection": ("__del__", "_on_connected", "_on_connection_close", "kwargs", "transport", "url"),
        "aio_pika.abc:UnderlayConnection": ("connect", "connection", "make_connection"),
    },
)
PAMQP = Library(
    "pamqp",
    "4.0.1",
    {
        "pamqp.decode": ("METHODS", "field_table", "short_str", "timestamp"),
        "pamqp.exceptions": ("PAMQPException",),
        "pamqp.frame": ("unmarshal",),
    },
)
for library in (AIORMQ, AIO_PIKA, PAMQP):
    ensure(library, import_module, metadata.version)

# Once they are known to be there.
from aio_pika.abc import UnderlayConnection  # noqa: E402
from aiormq.abc import ChannelFrame  # noqa: E402
from aiormq.connection import FrameReceiver, ReceivedFrame, TransportFactory, exception_by_code  # noqa: E402
from pamqp import decode, exceptions, frame  # noqa: E402

__all__ = [
    "AIORMQ",
    "AIO_PIKA",
    "PAMQP",
    "BufferedFrames",
    "HookedChannel",
    "OpenedConnection",
    "TransportFactory",
    "on_consumer_cancel",
    "replace_decoders",
    "underlay_of",
    "write",
]

ACCESS_REFUSED = 403
FRAME_BUFFER = 100
NO_LIMIT = 131_072
"""Bytes of a frame where the broker says that there is no limit (0)."""


# --- reading


READ_BYTES = 65_536
HEAD = struct.Struct(">BHI")
END_BYTES = 1
CONFIRM = struct.Struct(">BHIHHQB")
"""The head of a frame, the numbers of class and method, the delivery tag, and bits of which the first is `multiple`."""
METHOD, BASIC, ACK, NACK = 1, 60, 80, 120
TELL_S = 0.5
"""aiormq takes a connection for dead from which it gets no frame for long: so often it gets a confirm too."""


class BufferedFrames(FrameReceiver):
    """The frames of a connection, as many as come with one read. Errors are aiormq's.

    `hooked` are the channels that are told of confirms here, by their numbers.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.hooked: Mapping[int, HookedChannel] = {}
        self._time = asyncio.get_running_loop().time
        self._told_s = 0.0
        self._read = b""
        self._at = 0

    async def get_frame(self) -> ReceivedFrame:
        """The next frame that is not dealt with here: its bytes, the number of its channel, its value."""
        while True:
            while (end := self._end()) is None:
                await self._read_more()
            start, self._at = self._at, end
            if end - start == CONFIRM.size + END_BYTES and self._confirmed(start):
                continue
            try:
                received = frame.unmarshal(self._read[start:end])
            except exceptions.PAMQPException as error:
                raise aiormq.exceptions.InvalidFrameError(str(error)) from error
            if (channel := self.hooked.get(received[1])) is not None:
                channel.in_hand = received[2]
            return received

    __anext__ = get_frame

    def _confirmed(self, start: int) -> bool:
        """Tell a channel of its confirm. False where the frame is none, or is aiormq's to deal with."""
        kind, number, _, class_, method, delivery_tag, bits = CONFIRM.unpack_from(self._read, start)
        channel = self.hooked.get(number)
        if channel is None or kind != METHOD or class_ != BASIC or method not in (ACK, NACK):
            return False
        now_s = self._time()
        if channel.in_hand is not None or now_s - self._told_s > TELL_S:
            self._told_s = now_s
            return False
        channel.on_confirm(delivery_tag, multiple=bool(bits & 1), acked=method == ACK)
        return True

    def _end(self) -> int | None:
        """The end of the next frame; None where it has not come yet."""
        start, come = self._at, len(self._read)
        if come - start < HEAD.size:
            return None
        _, __, length = HEAD.unpack_from(self._read, start)
        end: int = start + HEAD.size + length + END_BYTES
        return None if come < end else end

    async def _read_more(self) -> None:
        if self.reader.at_eof() and self._at == len(self._read):
            raise StopAsyncIteration
        try:
            more = await self.reader.read(READ_BYTES)
        except OSError as error:
            raise aiormq.exceptions.AMQPConnectionError(f"Server connection error: {error!r}") from error
        if not more:
            raise aiormq.exceptions.AMQPConnectionError("Server connection unexpectedly closed")
        self._read, self._at = self._read[self._at :] + more, 0
        if self._read.startswith(b"AMQP"):
            raise aiormq.exceptions.ProtocolSyntaxError("Unexpected AMQP protocol header")


aiormq.connection.FrameReceiver = BufferedFrames  # type: ignore[misc]  # by this name `connect` makes one


# --- opening a connection


class Answers(FrameReceiver):
    """The broker's answers while a connection is opened. `frame_max` is the most that the bridge wants in a frame."""

    def __init__(self, frames: FrameReceiver, frame_max: int) -> None:
        self._frames = frames
        self._frame_max = frame_max

    async def get_frame(self) -> ReceivedFrame:
        """The next frame. Raises AMQPError, with the broker's words, where it closes the connection instead."""
        received = await self._frames.get_frame()
        answer = received[2]
        if isinstance(answer, commands.Connection.Close):
            if answer.reply_code == ACCESS_REFUSED:
                raise aiormq.exceptions.ProbableAuthenticationError(answer.reply_text)
            raise exception_by_code(answer)
        if isinstance(answer, commands.Connection.Tune) and self._frame_max:
            answer.frame_max = min(answer.frame_max or self._frame_max, self._frame_max)
        return received


class Opening(aiormq.Connection):
    """aiormq's connection, which tells why the broker does not open it, and heeds `frame_max` in the URL.

    `hooked` are its channels for publishing, by their numbers.
    """

    @cached_property
    def hooked(self) -> "dict[int, HookedChannel]":
        return {}

    async def _rpc(  # type: ignore[override]  # a static method there, called on the connection
        self, request: Frame, writer: asyncio.StreamWriter, frame_receiver: FrameReceiver, wait_response: bool = True
    ) -> FrameTypes | None:
        if isinstance(frame_receiver, BufferedFrames):
            frame_receiver.hooked = self.hooked
        frame_max = int(self.url.query.get("frame_max", "0"))
        return await aiormq.Connection._rpc(request, writer, Answers(frame_receiver, frame_max), wait_response)


class Transport(UnderlayConnection):
    """The connection of aiormq that aio-pika builds on."""

    @classmethod
    async def make_connection(cls, url: URL, timeout: float | None = None, **kwargs: Any) -> Opening:
        """Connect to the virtual host given beside the URL: aiormq decodes what is in the URL twice (7.2.4)."""
        virtual_host = kwargs.pop("virtual_host")
        connection = Opening(url, **kwargs)
        connection.vhost = virtual_host
        async with asyncio.timeout(timeout):
            await connection.connect()
            await connection.ready()
        return connection


class OpenedConnection(aio_pika.Connection):
    """aio-pika's plain connection to a virtual host, over a socket that `factory` opens."""

    def __init__(self, url: URL, virtual_host: str, factory: TransportFactory) -> None:
        super().__init__(url)
        self.kwargs |= {"transport_factory": factory, "virtual_host": virtual_host}

    def __del__(self) -> None:
        """Leave a connection that was never opened alone.

        aio-pika would begin to close it whenever it is collected, which without a running loop is a coroutine that
        nobody awaits (10.2.1). Whoever opens one here closes it.
        """

    async def connect(self, timeout: float | None = None) -> None:
        """See aio-pika."""
        opened = await Transport.connect(self.url, self._on_connection_close, timeout=timeout, **self.kwargs)
        self.transport = opened
        await self._on_connected()


def underlay_of(connection: AbstractConnection) -> aiormq.abc.AbstractConnection | None:
    """The connection of aiormq below one of aio-pika; None where there is none just now."""
    return None if connection.transport is None else connection.transport.connection


# --- channels


class HookedChannel(aiormq.Channel):
    """A channel with confirms and a number that is picked here, for a class that has the hooks.

    `Connection.channel` makes only channels of aiormq's own kind, and numbers them from 1.
    """

    def __init__(self, connection: aiormq.abc.AbstractConnection, number: int) -> None:
        super().__init__(connection, number, publisher_confirms=True, frame_buffer=FRAME_BUFFER)
        connection.channels[number] = self
        self.in_hand: object | None = self
        """The last frame that aiormq has been given for the channel and has not dealt with: no confirm overtakes it.

        At first the channel itself: frames are aiormq's until it has dealt with a confirm.
        """
        if isinstance(connection, Opening):
            connection.hooked[number] = self

    @abstractmethod
    def on_confirm(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        """A confirm has come: of this tag, or of all up to it."""

    @abstractmethod
    def on_return(self, message_id: str | None) -> None:
        """A mandatory message has come back."""

    @abstractmethod
    def on_close(self, frame: spec.Channel.Close) -> None:
        """The broker closes the channel."""

    @property
    def frame_max(self) -> int:
        """The negotiated size of a frame in bytes."""
        return int(self.connection.connection_tune.frame_max) or NO_LIMIT

    @property
    def behind(self) -> bool:
        """True where the connection's writer has so much to write that it takes nothing more just now."""
        return bool(self.write_queue.full())

    async def _on_confirm_frame(self, frame: spec.Basic.Ack | spec.Basic.Nack | spec.Basic.Reject) -> None:
        multiple = not isinstance(frame, spec.Basic.Reject) and bool(frame.multiple)
        self.on_confirm(int(frame.delivery_tag or 0), multiple=multiple, acked=isinstance(frame, spec.Basic.Ack))
        if frame is self.in_hand:
            self.in_hand = None

    async def _on_return_frame(self, frame: spec.Basic.Return) -> None:
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise TypeError(f"{type(header).__name__} instead of the header of a returned message")
        await self._read_content(frame, header)
        self.on_return(header.properties.message_id)

    async def _on_close_frame(self, frame: spec.Channel.Close) -> None:
        """Tell first, so that nothing is written behind the answer; and answer even where the writer is behind."""
        self.on_close(frame)
        answer = ChannelFrame.marshall(channel_number=self.number, frames=[spec.Channel.CloseOk()])
        await self.write_queue.put(answer)
        await self._on_close_ok_frame(spec.Channel.CloseOk())


def write(channel: aiormq.Channel, payload: bytes) -> "asyncio.Future[object]":
    """Queue whole frames of this channel for its connection's writer.

    Gives a future that is done once they are written and drained. Raises asyncio.QueueFull where the writer is behind.
    """
    drained: asyncio.Future[object] = channel.create_future()
    channel.write_queue.put_nowait(ChannelFrame(payload=payload, should_close=False, drain_future=drained))
    return drained


def on_consumer_cancel(channel: aiormq.abc.AbstractChannel, cancelled: Callable[[object], None]) -> None:
    """Call `cancelled` when the broker cancels a consumer of this channel."""
    channel.on_consumer_cancel_callbacks.add(cancelled)


# --- decoding


def replace_decoders(decoders: Mapping[str, Callable[[bytes], tuple[int, FieldValue]]]) -> None:
    """Have pamqp read these types with these functions from now on, in this process."""
    decode.METHODS.update(decoders)
