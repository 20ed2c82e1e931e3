"""A publishing channel of aiormq that hands confirms and returns over as numbers, instead of futures one by one.

What is overridden are the handlers that aiormq's reader calls for `basic.ack`/`nack`, for `basic.return` and for
`channel.close`. All else stays aiormq's: opening, flow of frames, closing, errors. `number` is picked here, since
`Connection.channel` makes only channels of its own kind; RabbitMQ allows 2047 a connection, and the bridge opens few.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import aiormq
from aio_pika.abc import AbstractConnection
from aiormq import exceptions, spec
from aiormq.abc import ChannelFrame
from pamqp.header import ContentHeader

from bridge.core.broker.publish_refusal import PublishRefusal, of_reply_code
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, describe, limited, write

FIRST_NUMBER = 1000
FRAME_BUFFER = 100
NO_LIMIT = 131_072
"""Bytes of a frame where the broker says that there is no limit (0)."""

_CONNECTION_CODES: Mapping[type[BaseException], int] = {
    exceptions.ConnectionFrameError: 501,
    exceptions.ConnectionSyntaxError: 502,
    exceptions.ConnectionUnexpectedFrame: 505,
    exceptions.ConnectionNotImplemented: 540,
    exceptions.ConnectionInternalError: 541,
}
"""The reply codes of `connection.close` that may be about what was published; aiormq gives them as classes."""


class ConfirmListener(Protocol):
    """Whom a channel tells what the broker said."""

    def told(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        """A confirm: this tag, or all up to it."""

    def returned(self, message_id: str | None) -> None:
        """A mandatory message that no queue takes; its ack follows."""

    def closed(self, refusal: PublishRefusal | None, words: str) -> None:
        """The broker has closed the channel, and nothing may be written to it any more.

        `refusal` is what that says of a message that was on it alone; None where it is not about what was published.
        """

    def blamed(self, refusal: PublishRefusal) -> None:
        """The broker has closed the whole connection, for what was published on one of its channels."""


class PublishChannel(aiormq.Channel):
    """See the module. Publishing is `send`, which takes the bytes of whole frames."""

    def __init__(self, connection: Any, number: int, listener: ConfirmListener) -> None:
        super().__init__(connection, number, publisher_confirms=True, frame_buffer=FRAME_BUFFER)
        self._listener: ConfirmListener | None = listener
        self.is_told = False
        """True once the listener knows that it is closed."""

    @property
    def frame_max(self) -> int:
        """The negotiated size of a frame in bytes."""
        return int(self.connection.connection_tune.frame_max) or NO_LIMIT

    @property
    def behind(self) -> bool:
        """True where the connection's writer has so much to write that it takes nothing more just now."""
        return bool(self.write_queue.full())

    def send(self, payload: bytes) -> Any:
        """Write these frames; see `generation.write`."""
        return write(self, payload)

    def silence(self) -> None:
        """Tell nobody anything any more: what still comes belongs to a generation that is over."""
        self._listener = None

    def blame(self, error: BaseException | None) -> None:
        """Tell of a connection that the broker has closed, where that may be for what was published."""
        code = None if error is None else _CONNECTION_CODES.get(type(error))
        refusal = of_reply_code(code, describe(error))
        if refusal is not None and self._listener is not None:
            self._listener.blamed(refusal)

    async def _on_confirm_frame(self, frame: Any) -> None:
        if self._listener is not None:
            acked = isinstance(frame, spec.Basic.Ack)
            self._listener.told(int(frame.delivery_tag or 0), multiple=bool(frame.multiple), acked=acked)

    async def _on_return_frame(self, frame: spec.Basic.Return) -> None:
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise TypeError(f"{type(header).__name__} instead of the header of a returned message")
        await self._read_content(frame, header)
        if self._listener is not None:
            self._listener.returned(header.properties.message_id)

    async def _on_close_frame(self, frame: spec.Channel.Close) -> None:
        """Tell first, so that nothing is written behind the answer; and answer even where the writer is behind."""
        if self._listener is not None:
            self.is_told = True
            words = f"{frame.reply_code} {frame.reply_text}"
            self._listener.closed(of_reply_code(frame.reply_code, str(frame.reply_text)), words)
        answer = ChannelFrame.marshall(channel_number=self.number, frames=[spec.Channel.CloseOk()])
        await self.write_queue.put(answer)
        await self._on_close_ok_frame(spec.Channel.CloseOk())


async def open_publish_channel(
    connection: AbstractConnection, generation: Generation, index: int, listener: ConfirmListener
) -> PublishChannel:
    """Open publishing channel `index`. Once it closes, its listener is told, else it takes the generation with it."""
    transport = connection.transport
    if transport is None:
        raise BrokerTrouble("opening a publishing channel: there is no connection")
    underlay: Any = transport.connection
    number = FIRST_NUMBER + index
    channel = PublishChannel(underlay, number, listener)
    underlay.channels[number] = channel
    await limited(channel.open(), f"opening publishing channel {index}")
    closing = channel.closing

    def closed(_: object) -> None:
        if channel.is_told:
            return
        error = None if closing.cancelled() else closing.exception()
        channel.blame(error)
        generation.end(f"publishing channel {index} closed: {_reason(closing)}")

    closing.add_done_callback(closed)
    return channel


def _reason(closing: Any) -> str:
    if closing.cancelled():
        return "the connection was lost"
    error = closing.exception()
    return f"{type(error).__name__}: {error}" if error is not None else "closed"
