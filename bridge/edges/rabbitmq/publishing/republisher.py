"""Dead letters and delayed copies: published mandatory, on a channel of their own, and each seen to its confirm."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bridge.core.answer.outbound_message import Address, Letterhead, OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.broker.republished_copy import Copy
from bridge.edges.rabbitmq.properties import lightened, of_copy
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder, FrameTooLarge, Piece
from bridge.edges.rabbitmq.publishing.publisher_channel import Pipe
from bridge.flow.ports.broker import CopyRefused

CHANNEL_INDEX = 850
"""Beyond those of the outbounds, which count from 0."""
ALONE_INDEX = 851
PROBE_KEY = "amigo-bridge.probe"
"""No queue is bound with it."""
NO_LETTERHEAD = Letterhead("")
NO_COPY = Copy("", "", b"", {}, {})


@dataclass(slots=True, eq=False)
class CopyMessage(OutboundMessage):
    """A copy, as the publisher takes it."""

    copy: Copy = NO_COPY

    @classmethod
    def of(cls, copy: Copy, *, mandatory: bool = True) -> "CopyMessage":
        to = Address(0, copy.exchange, copy.routing_key, "", mandatory=mandatory)
        message_id = str(copy.properties.get("message_id") or "")
        return cls(to, copy.body, message_id, 0, NO_LETTERHEAD, copy=copy)


class CopyEncoder(FrameEncoder):
    """Encodes copies; a dead letter whose headers are too much for a frame goes without the largest foreign ones."""

    def publish(self, message: OutboundMessage, pieces: list[Piece]) -> int:
        if not isinstance(message, CopyMessage):
            raise TypeError(f"{type(message).__name__} is no copy")
        try:
            return self.publish_with(message.to, of_copy(message.copy), message.body, pieces)
        except FrameTooLarge as error:
            lighter = lightened(message.copy, error.excess)
            if lighter is None:
                raise
            return self.publish_with(message.to, of_copy(lighter), message.body, pieces)


class Told:
    """The receipt of one copy: a future."""

    __slots__ = ("fate",)

    def __init__(self) -> None:
        self.fate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirmed(self, _: Sequence[OutboundMessage]) -> None:
        if not self.fate.done():
            self.fate.set_result(None)

    def refused(self, _: OutboundMessage, refusal: PublishRefusal) -> None:
        if not self.fate.done():
            self.fate.set_exception(CopyRefused(refusal))

    def lost(self, _: OutboundMessage) -> None:
        """Published again by the next generation."""


class BrokerCopier(BatchingPublisher):
    """The copier port. What a lost connection leaves open is published again: a copy may arrive twice, never not."""

    new_encoder: ClassVar[type[FrameEncoder]] = CopyEncoder

    def __init__(self) -> None:
        super().__init__(())
        self._pipe = Pipe(self, CHANNEL_INDEX)
        self._pipes = [self._pipe]
        self._alone = Pipe(self, ALONE_INDEX, always_alone=True)

    async def copy(self, copy: Copy, *, alone: bool = False) -> None:
        """Return when the copy is confirmed; see the port."""
        await self._confirmed(CopyMessage.of(copy), alone=alone)

    async def probe(self, exchange: str) -> PublishRefusal | None:
        """A publish that reaches no queue: confirmed if the broker still takes anything from this connection.

        Gives the broker's refusal, if it is one; None also where something is unconfirmed, which tells as much.
        """
        if self.unconfirmed:
            return None
        try:
            await self._confirmed(CopyMessage.of(Copy(exchange, PROBE_KEY, b"", {}, {}), mandatory=False))
        except CopyRefused as error:
            return error.refusal
        return None

    async def _confirmed(self, message: CopyMessage, *, alone: bool = False) -> None:
        told = Told()
        self.publish([message], told, alone=alone)
        try:
            await told.fate
        except asyncio.CancelledError:
            self.withdraw(message)
            raise
