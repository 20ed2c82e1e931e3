"""A publishing channel of aiormq that hands confirms and returns over as numbers, instead of futures one by one.

`number` is picked here (see `HookedChannel`); RabbitMQ allows 2047 a connection, and the bridge opens few.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aio_pika.abc import AbstractConnection
from aiormq import exceptions, spec
from aiormq.abc import AbstractConnection as AmqpConnection

from bridge.core.broker.publish_refusal import PublishRefusal, of_reply_code
from bridge.edges.rabbitmq._internals import HookedChannel, underlay_of, write
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, describe, limited

FIRST_NUMBER = 1000

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

    def confirmed(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        """A confirm: this tag, or all up to it."""

    def returned(self, message_id: str | None) -> None:
        """A mandatory message that no queue takes; its ack follows."""

    def closed(self, refusal: PublishRefusal | None, words: str) -> None:
        """The broker has closed the channel, and nothing may be written to it any more.

        `refusal` is what that says of a message that was on it alone; None where it is not about what was published.
        """

    def blamed(self, refusal: PublishRefusal) -> None:
        """The broker has closed the whole connection, for what was published on one of its channels."""


class PublishChannel(HookedChannel):
    """See the module. Publishing is `send`, which takes the bytes of whole frames."""

    def __init__(self, connection: AmqpConnection, number: int, listener: ConfirmListener) -> None:
        super().__init__(connection, number)
        self._listener: ConfirmListener | None = listener
        self.is_told = False
        """True once the listener knows that it is closed."""

    def send(self, payload: bytes) -> asyncio.Future[object]:
        """Write these frames; see `_internals.write`."""
        return write(self, payload)

    def silence(self) -> None:
        """Tell nobody anything any more: what still comes belongs to a generation that is over."""
        self._listener = None

    def retire(self) -> None:
        """Be about to be closed by us: nobody is told, and no generation ends with it."""
        self.silence()
        self.is_told = True

    def blame(self, error: BaseException | None) -> None:
        """Tell of a connection that the broker has closed, where that may be for what was published."""
        code = None if error is None else _CONNECTION_CODES.get(type(error))
        refusal = of_reply_code(code, describe(error))
        if refusal is not None and self._listener is not None:
            self._listener.blamed(refusal)

    def on_confirm(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        if self._listener is not None:
            self._listener.confirmed(delivery_tag, multiple=multiple, acked=acked)

    def on_return(self, message_id: str | None) -> None:
        if self._listener is not None:
            self._listener.returned(message_id)

    def on_close(self, frame: spec.Channel.Close) -> None:
        if self._listener is not None:
            self.is_told = True
            words = f"{frame.reply_code} {frame.reply_text}"
            self._listener.closed(of_reply_code(frame.reply_code, str(frame.reply_text)), words)


async def open_publish_channel(
    connection: AbstractConnection, generation: Generation, index: int, listener: ConfirmListener
) -> PublishChannel:
    """Open publishing channel `index`. Once it closes, its listener is told, else it takes the generation with it."""
    underlay = underlay_of(connection)
    if underlay is None:
        raise BrokerTrouble("opening a publishing channel: there is no connection")
    channel = PublishChannel(underlay, FIRST_NUMBER + index, listener)
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


def _reason(closing: asyncio.Future[object]) -> str:
    if closing.cancelled():
        return "the connection was lost"
    error = closing.exception()
    return f"{type(error).__name__}: {error}" if error is not None else "closed"
