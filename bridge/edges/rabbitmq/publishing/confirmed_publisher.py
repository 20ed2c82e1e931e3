"""The publisher for those who wait for an answer: webhooks. It batches as the hot path does, and keeps nothing.

What flies when the connection goes is refused, not published again: its sender will send it again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import aio_pika

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import LOST, PublishRefusal, RefusalKind
from bridge.core.webhook.webhook import may_be_left_out
from bridge.edges.rabbitmq.generation import Generation
from bridge.edges.rabbitmq.properties import without_largest
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder, FrameTooLarge, Piece
from bridge.edges.rabbitmq.publishing.publisher_channel import PublisherChannel
from bridge.flow.ports.webhook import NotConfirmed

CONFIRM_S = 10.0
CHANNEL_INDEX = 900
"""Beyond those of the outbounds, which count from 0; RabbitMQ allows 2047 channels a connection."""
ALONE_INDEX = 901


class Waiter:
    """The receipt of one message: a future."""

    __slots__ = ("outcome",)

    def __init__(self, outcome: asyncio.Future[None]) -> None:
        self.outcome = outcome

    def confirmed(self, _: Sequence[OutboundMessage]) -> None:
        if not self.outcome.done():
            self.outcome.set_result(None)

    def refused(self, _: OutboundMessage, refusal: PublishRefusal) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(NotConfirmed(refusal.error, unrouted=refusal.kind is RefusalKind.UNROUTED))

    def lost(self, _: OutboundMessage) -> None:
        """Told by `refused` in the same moment."""


class WebhookEncoder(FrameEncoder):
    """Encodes webhooks; one whose headers are too much for a frame goes without the largest of its sender's."""

    def publish(self, message: OutboundMessage, pieces: list[Piece]) -> int:
        try:
            return super().publish(message, pieces)
        except FrameTooLarge as error:
            headers = message.own_headers
            kept, _ = without_largest(headers, may_be_left_out(headers), error.excess)
            return super().publish(replace(message, own_headers=kept), pieces)


class BrokerConfirmedPublisher(BatchingPublisher):
    """The entrance port, on a channel of its own; mandatory messages that no queue takes are refused."""

    new_encoder: ClassVar[type[FrameEncoder]] = WebhookEncoder

    def __init__(self, blocked: Callable[[], bool], confirm_s: float = CONFIRM_S) -> None:
        """`blocked` tells whether the broker has said that it takes nothing for now; `confirm_s` bounds each wait."""
        super().__init__(())
        self._publisher_channel = PublisherChannel(self, CHANNEL_INDEX)
        self._publisher_channels = [self._publisher_channel]
        self._alone = PublisherChannel(self, ALONE_INDEX, always_alone=True)
        self._is_blocked = blocked
        self._confirm_s = confirm_s
        self._attached = False
        self._expected: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on."""
        await super().attach(connection, generation)
        self._attached = True

    def detach(self) -> None:
        """The generation has ended, and with it all that was on its way."""
        self._attached = False
        super().detach()
        self.settled(self._publisher_channel.give_up(), LOST, set())

    async def enqueue(self, message: OutboundMessage) -> None:
        """See the port."""
        if not self._attached:
            raise NotConfirmed("there is no connection to the broker")
        if self._is_blocked():
            raise NotConfirmed("the broker blocks publishing (memory or disk alarm)")
        while self._expected and self._expected[0][1].done():
            self._expected.popleft()
        if self.full:
            raise NotConfirmed("too much is unconfirmed")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[None] = loop.create_future()
        self._expected.append((loop.time() + self._confirm_s, outcome))
        if self._timer is None:
            self._timer = loop.call_later(self._confirm_s, self._expire)
        size = len(message.body)
        self._publisher_channel.waiting.append((message, Waiter(outcome), size))  # whichever exchange it is for
        self._pending(1, size)
        await outcome

    def _expire(self) -> None:
        """Tell those who have waited long enough. One timer for all: confirms come nearly in order."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._expected:
            until_s, outcome = self._expected[0]
            if not outcome.done() and until_s > loop.time():
                self._timer = loop.call_at(until_s, self._expire)
                return
            self._expected.popleft()
            if not outcome.done():
                outcome.set_exception(NotConfirmed(f"no confirm within {self._confirm_s:g} s"))
