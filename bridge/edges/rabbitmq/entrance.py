"""The publisher for those who wait for an answer: webhooks. It batches as the hot path does, and keeps nothing.

What flies when the connection goes is refused, not published again: its sender will send it again.
"""

import asyncio
from collections.abc import Callable

import aio_pika

from bridge.core.outbound import OutboundMessage
from bridge.edges.rabbitmq.batching import BatchingPublisher, Pipe
from bridge.edges.rabbitmq.generation import Generation
from bridge.flow.ports import NotTaken

CONFIRM_S = 10.0
CHANNEL_INDEX = 900
"""Beyond those of the outbounds, which count from 0; RabbitMQ allows 2047 channels a connection."""
UNROUTED = "no queue takes it"


class Waiter:
    """The receipt of one message: a future."""

    __slots__ = ("told",)

    def __init__(self, told: asyncio.Future[None]) -> None:
        self.told = told

    def confirmed(self, _: OutboundMessage) -> None:
        if not self.told.done():
            self.told.set_result(None)

    def refused(self, _: OutboundMessage, error: str) -> None:
        if not self.told.done():
            self.told.set_exception(NotTaken(error, unrouted=error == UNROUTED))

    def lost(self, _: OutboundMessage) -> None:
        """Told by `refused` in the same moment."""


class BrokerEntrance(BatchingPublisher):
    """The entrance port, on a channel of its own; mandatory messages that no queue takes are refused."""

    def __init__(self, blocked: Callable[[], bool]) -> None:
        """`blocked` tells whether the broker has said that it takes nothing for now."""
        super().__init__(())
        self._pipe = Pipe(self, CHANNEL_INDEX)
        self._pipes = [self._pipe]
        self._is_blocked = blocked
        self._attached = False

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on."""
        await super().attach(connection, generation)
        self._attached = True

    def detach(self) -> None:
        """The generation has ended, and with it all that was on its way."""
        self._attached = False
        super().detach()
        waiting = list(self._pipe.waiting)
        self._pipe.waiting.clear()
        for flying in waiting:
            self.settled(flying, "the connection to the broker was lost")

    async def enqueue(self, message: OutboundMessage) -> None:
        """See the port."""
        if not self._attached:
            raise NotTaken("there is no connection to the broker")
        if self._is_blocked():
            raise NotTaken("the broker blocks publishing (memory or disk alarm)")
        if self.full:
            raise NotTaken("too much is unconfirmed")
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.hand_over(message, Waiter(told))
        try:
            async with asyncio.timeout(CONFIRM_S):
                await told
        except TimeoutError:
            raise NotTaken(f"no confirm within {CONFIRM_S:g} s") from None

    def hand_over(self, message: OutboundMessage, receipt: Waiter) -> None:
        """As `publish`; every message goes through the one pipe, whichever exchange it is for."""
        message.outbound = 0
        self.publish(message, receipt)
