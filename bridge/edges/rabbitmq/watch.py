"""Who notices that the broker is there and yet does not work: blocked, silent, or without our consumer.

Waiting is counted in ticks, not by the clock: a process that is busy itself must not take that for a silent broker.
"""

import asyncio

import aio_pika
import aiormq

from bridge.edges.rabbitmq.consumer import Consumer, Feed
from bridge.edges.rabbitmq.copier import BrokerCopier
from bridge.edges.rabbitmq.generation import TICK_S, BrokerPublisher, BrokerTrouble, Generation, limited, patiently
from bridge.flow.ports import Log

EVERY_S = 4.0
ANSWER_S = 8.0
STUCK_S = 8.0
"""How long a consumer with room may get nothing although messages are ready."""
SILENT_S = 12.0
"""After how long without any delivery the consumer is renewed, to be sure that it still is one."""
SLOWEST_CONFIRM_S = 15.0


class Watch:
    """Ends a generation that looks alive and is not. Uses a channel of its own: a time-out closes the channel."""

    def __init__(
        self, consumer: Consumer, publisher: BrokerPublisher, copier: BrokerCopier, generation: Generation, log: Log
    ) -> None:
        self._consumer = consumer
        self._publisher = publisher
        self._copier = copier
        self._generation = generation
        self._log = log

    async def blocked(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Keep `publisher.blocked` true to what the broker says of the publishing connection (a resource alarm)."""
        while connection.transport is not None:
            if not await self._ready(connection.transport):
                self._publisher.blocked = True
                self._log.warning("publisher.blocked")
                await connection.transport.ready()
                self._publisher.blocked = False
                self._log.warning("publisher.unblocked")
                self._publisher.resume()
            await asyncio.sleep(0.25)

    @staticmethod
    async def _ready(transport: aio_pika.abc.UnderlayConnection) -> bool:
        """Whether the broker lets this connection publish: `ready` returns at once then, and waits otherwise."""
        try:
            async with asyncio.timeout(0.05):
                await transport.ready()
        except TimeoutError:
            return False
        return True

    async def confirms(self) -> None:
        """End the generation where confirms stay away without the broker having said that it is blocked."""
        oldest_s, waited_s = None, 0.0
        while waited_s < SLOWEST_CONFIRM_S:
            await asyncio.sleep(TICK_S)
            both_s = (self._publisher.oldest_s(), self._copier.oldest_s())
            before_s, oldest_s = oldest_s, min([since_s for since_s in both_s if since_s is not None], default=None)
            still = oldest_s is not None and oldest_s == before_s and not self._publisher.blocked
            waited_s = waited_s + TICK_S if still else 0.0
        self._generation.end(f"no confirm for {SLOWEST_CONFIRM_S:g} s")

    async def publishing(self) -> None:
        """Publish into the void now and then: only a connection that publishes is told that it is blocked."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self._copier.probe()

    async def consuming(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Compare what the broker says of each queue with what arrives here."""
        channel = connection.channel()
        await limited(channel.initialize(), "opening the watching channel")
        underlay = await channel.get_underlay_channel()
        while True:
            await asyncio.sleep(EVERY_S)
            for feed in self._consumer.feeds:
                if not await self._looks_alive(underlay, feed):
                    return
                if _now() - feed.heard_s > SILENT_S:
                    await self._consumer.renew(connection, self._generation, feed)

    async def _looks_alive(self, channel: aiormq.abc.AbstractChannel, feed: Feed) -> bool:
        """False where the role may not look: then only the broker's own messages tell."""
        queue = feed.inbound.queue
        try:
            seen = await patiently(channel.queue_declare(queue, passive=True), f"looking at {queue}", ANSWER_S)
        except BrokerTrouble as trouble:
            if "ChannelAccessRefused" in str(trouble):
                self._log.warning("watch.refused", queue=queue, error=str(trouble))
                return False
            self._generation.end(str(trouble))
            return False
        if feed not in self._consumer.feeds:
            return True  # paused or renewed meanwhile
        if not seen.consumer_count:
            self._generation.end(f"{queue} has lost its consumer")
        idle_s = _now() - feed.heard_s
        if seen.message_count and feed.held < feed.prefetch and idle_s > STUCK_S:
            self._generation.end(f"{queue} has {seen.message_count} messages, none was delivered for {idle_s:.0f} s")
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
