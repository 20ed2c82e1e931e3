"""Dead letters and delayed copies: published mandatory, on a channel of their own, and each seen to its confirm."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bridge.core.answer.outbound_message import Address, CommonHeaders, OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.edges.rabbitmq.properties import lightened, of_copy
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder, FrameTooLarge, Piece
from bridge.edges.rabbitmq.publishing.publisher_channel import PublisherChannel
from bridge.flow.ports.broker import RepublishRefused

CHANNEL_INDEX = 850
"""Beyond those of the outbounds, which count from 0."""
ALONE_INDEX = 851
NO_COMMON_HEADERS = CommonHeaders("")
NO_COPY = RepublishedCopy("", "", b"", {}, {})


@dataclass(slots=True, eq=False)
class RepublishedMessage(OutboundMessage):
    """A copy, as the publisher takes it."""

    copy: RepublishedCopy = NO_COPY

    @classmethod
    def of(cls, copy: RepublishedCopy) -> "RepublishedMessage":
        to = Address(0, copy.exchange, copy.routing_key, "", mandatory=True)
        message_id = str(copy.properties.get("message_id") or "")
        return cls(to, copy.body, message_id, 0, NO_COMMON_HEADERS, copy=copy)


class RepublishEncoder(FrameEncoder):
    """Encodes copies; a dead letter whose headers are too much for a frame goes without the largest foreign ones."""

    def publish(self, message: OutboundMessage, pieces: list[Piece]) -> int:
        if not isinstance(message, RepublishedMessage):
            raise TypeError(f"{type(message).__name__} is no copy")
        try:
            return self.publish_with(message.to, of_copy(message.copy), message.body, pieces)
        except FrameTooLarge as error:
            lighter = lightened(message.copy, error.excess)
            if lighter is None:
                raise
            return self.publish_with(message.to, of_copy(lighter), message.body, pieces)


class CopyReceipt:
    """The receipt of one copy: a future."""

    __slots__ = ("fate",)

    def __init__(self) -> None:
        self.fate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirmed(self, _: Sequence[OutboundMessage]) -> None:
        if not self.fate.done():
            self.fate.set_result(None)

    def refused(self, _: OutboundMessage, refusal: PublishRefusal) -> None:
        if not self.fate.done():
            self.fate.set_exception(RepublishRefused(refusal))

    def lost(self, _: OutboundMessage) -> None:
        """Published again by the next generation."""


class BrokerRepublisher(BatchingPublisher):
    """The port. What a lost connection leaves open is published again: a copy may arrive twice, never not at all."""

    new_encoder: ClassVar[type[FrameEncoder]] = RepublishEncoder

    def __init__(self) -> None:
        super().__init__(())
        self._publisher_channel = PublisherChannel(self, CHANNEL_INDEX)
        self._publisher_channels = [self._publisher_channel]
        self._alone = PublisherChannel(self, ALONE_INDEX, always_alone=True)

    async def copy(self, copy: RepublishedCopy, *, alone: bool = False) -> None:
        """Return when the copy is confirmed; see the port."""
        message, receipt = RepublishedMessage.of(copy), CopyReceipt()
        self.publish([message], receipt, alone=alone)
        try:
            await receipt.fate
        except asyncio.CancelledError:
            self.withdraw(message)
            raise
