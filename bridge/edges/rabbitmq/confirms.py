"""A publishing channel of aiormq that hands confirms and returns over as numbers, instead of futures one by one.

What is overridden are the two handlers that aiormq's reader calls for `basic.ack`/`nack` and for `basic.return`. All
else stays aiormq's: opening, flow of frames, closing, errors. `number` is picked here, since `Connection.channel` makes
only channels of its own kind; RabbitMQ allows 2047 a connection, and the bridge opens one for each outbound.
"""

from typing import Any, Protocol

import aiormq
from aio_pika.abc import AbstractConnection
from aiormq import spec
from pamqp.header import ContentHeader

from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited, write

FIRST_NUMBER = 1000
FRAME_BUFFER = 100


class Teller(Protocol):
    """Whom a channel tells what the broker said."""

    def told(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        """A confirm: this tag, or all up to it."""

    def returned(self, message_id: str | None) -> None:
        """A mandatory message that no queue takes; its ack follows."""


class PublishChannel(aiormq.Channel):
    """See the module. Publishing is `send`, which takes the bytes of whole frames."""

    def __init__(self, connection: Any, number: int, teller: Teller) -> None:
        super().__init__(connection, number, publisher_confirms=True, frame_buffer=FRAME_BUFFER)
        self._teller: Teller | None = teller

    @property
    def frame_max(self) -> int:
        """The negotiated size of a frame in bytes."""
        return int(self.connection.connection_tune.frame_max)

    def send(self, payload: bytes) -> Any:
        """Write these frames; see `generation.write`."""
        return write(self, payload)

    def silence(self) -> None:
        """Tell nobody anything any more: what still comes belongs to a generation that is over."""
        self._teller = None

    async def _on_confirm_frame(self, frame: Any) -> None:
        if self._teller is not None:
            acked = isinstance(frame, spec.Basic.Ack)
            self._teller.told(int(frame.delivery_tag or 0), multiple=bool(frame.multiple), acked=acked)

    async def _on_return_frame(self, frame: spec.Basic.Return) -> None:
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise TypeError(f"{type(header).__name__} instead of the header of a returned message")
        await self._read_content(frame, header)
        if self._teller is not None:
            self._teller.returned(header.properties.message_id)


async def open_publish_channel(
    connection: AbstractConnection, generation: Generation, index: int, teller: Teller
) -> PublishChannel:
    """Open the publishing channel of an outbound; it takes the generation with it when it closes."""
    transport = connection.transport
    if transport is None:
        raise BrokerTrouble("opening a publishing channel: there is no connection")
    underlay: Any = transport.connection
    number = FIRST_NUMBER + index
    channel = PublishChannel(underlay, number, teller)
    underlay.channels[number] = channel
    await limited(channel.open(), f"opening publishing channel {index}")
    closing = channel.closing
    closing.add_done_callback(lambda _: generation.end(f"publishing channel {index} closed: {_reason(closing)}"))
    return channel


def _reason(closing: Any) -> str:
    if closing.cancelled():
        return "the connection was lost"
    error = closing.exception()
    return f"{type(error).__name__}: {error}" if error is not None else "closed"
