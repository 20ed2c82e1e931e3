"""Who notices that the broker is there and yet does not work: blocked, silent, or without our consumer.

Waiting is counted in ticks, not by the clock: a process that is busy itself must not take that for a silent broker.
"""

import asyncio
from dataclasses import dataclass, replace

import aio_pika
import aiormq

from bridge.core.broker.idleness import Verdict, verdict
from bridge.edges.rabbitmq._internals import underlay_of
from bridge.edges.rabbitmq.consuming.consumer import Consumer, QueueConsumer
from bridge.edges.rabbitmq.destinations import Destinations
from bridge.edges.rabbitmq.generation import (
    TICK_S,
    BrokerPublisher,
    BrokerTrouble,
    Generation,
    TroubleKind,
    limited,
    patiently,
)
from bridge.edges.rabbitmq.inquiry import Inquiry
from bridge.edges.rabbitmq.publishing.republisher import BrokerRepublisher
from bridge.flow.ports.runtime import Log, loop_time

BLINDING = frozenset({TroubleKind.ACCESS, TroubleKind.NOT_FOUND})
"""Answers to a look at one queue that say nothing of the others."""
NOWHERE = "outbound"
"""The reason for which the consumer is held back where no outbound exchange exists."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How often the watchdog looks, and how long it puts up with what it sees. All in seconds.

    A consumer with room that gets nothing for `stuck_s` although messages are ready ends the generation. One without
    any delivery for `silent_s` is renewed, to be sure that it still is one; for `single_silent_s` where the renewal
    may pass the queue on to the one that stands by.
    """

    every_s: float = 4.0
    answer_s: float = 8.0
    stuck_s: float = 8.0
    silent_s: float = 12.0
    single_silent_s: float = 40.0
    slowest_confirm_s: float = 15.0

    def times(self, factor: float) -> "WatchLimits":
        """With so much more patience for what connecting anew may not mend."""
        slowest_confirm_s = self.slowest_confirm_s * factor
        return replace(self, stuck_s=self.stuck_s * factor, slowest_confirm_s=slowest_confirm_s)


USUAL_LIMITS = WatchLimits()
BLIND_ROUNDS = 15
"""Rounds in which a queue is passed over that could not be looked at: each such look costs a channel."""


class Watchdog:
    """Ends a generation that looks alive and is not. Uses a channel of its own: a time-out closes the channel."""

    def __init__(
        self,
        consumer: Consumer,
        publisher: BrokerPublisher,
        republisher: BrokerRepublisher,
        destinations: Destinations,
        generation: Generation,
        limits: WatchLimits,
        log: Log,
    ) -> None:
        self._consumer = consumer
        self._publisher = publisher
        self._republisher = republisher
        self._destinations = destinations
        self._generation = generation
        self._limits = limits
        self._log = log
        self._looked = asyncio.Event()
        self._blind: dict[str, int] = {}
        self._blind_said: set[str] = set()

    async def blocked(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Tell the publisher what the broker says of the publishing connection (a resource alarm)."""
        while (underlay := underlay_of(connection)) is not None:
            if not await self._ready(underlay):
                self._publisher.block()
                self._looked.set()
                self._log.warning("publisher.blocked")
                await underlay.ready()
                self._log.warning("publisher.unblocked")
                self._publisher.unblock()
            await asyncio.sleep(0.25)

    @staticmethod
    async def _ready(underlay: aiormq.abc.AbstractConnection) -> bool:
        """True where the broker lets this connection publish: `ready` returns at once then, and waits otherwise."""
        try:
            async with asyncio.timeout(0.05):
                await underlay.ready()
        except TimeoutError:
            return False
        return True

    async def confirms(self) -> None:
        """End the generation where confirms stay away without the broker having said that it is blocked."""
        oldest_s, waited_s = None, 0.0
        while waited_s < self._limits.slowest_confirm_s:
            await asyncio.sleep(TICK_S)
            both_s = (self._publisher.oldest_s(), self._republisher.oldest_s())
            before_s, oldest_s = oldest_s, min([since_s for since_s in both_s if since_s is not None], default=None)
            still = oldest_s is not None and oldest_s == before_s and not self._publisher.blocked
            waited_s = waited_s + TICK_S if still else 0.0
        self._generation.end(f"no confirm for {self._limits.slowest_confirm_s:g} s", judged=True)

    async def publishing(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Publish into the void now and then: only a connection that publishes is told that it is blocked.

        What the broker refuses there closes the asking channel and ends nothing. Raises BrokerTrouble where it does not
        answer.
        """
        inquiry = Inquiry(connection, self._limits.answer_s, lambda: self._publisher.blocked)
        while True:
            await self._destinations.look(inquiry)
            await inquiry.close()
            if self._destinations.nowhere:
                self._consumer.inbox.pause(NOWHERE)
            else:
                self._consumer.inbox.resume(NOWHERE)
            self._looked.set()
            await asyncio.sleep(self._limits.every_s)

    async def looked(self) -> None:
        """Wait until the publishing connection has been found to work, or to be blocked: what may end it at once."""
        await self._looked.wait()

    async def consuming(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Compare what the broker says of each queue with what arrives here.

        A queue that cannot be looked at costs the channel, and only that: the others are watched on.
        """
        channel: aiormq.abc.AbstractChannel | None = await _watching_channel(connection)
        while True:
            await asyncio.sleep(self._limits.every_s)
            for queue_consumer in self._consumer.queue_consumers:
                queue = queue_consumer.inbound.queue
                if self._passed_over(queue):
                    continue
                channel = channel or await _watching_channel(connection)
                try:
                    seen = await self._look(channel, queue)
                except BrokerTrouble as trouble:
                    if trouble.kind not in BLINDING:
                        self._generation.end(str(trouble))
                        return
                    channel = None
                    await self._unseen(connection, queue_consumer, trouble)
                    continue
                if queue_consumer in self._consumer.queue_consumers:  # neither paused nor renewed meanwhile
                    await self._judge(connection, queue_consumer, *seen)

    def _passed_over(self, queue: str) -> bool:
        """True for a queue that could not be looked at lately; each call counts one round."""
        rounds = self._blind.get(queue, 0)
        self._blind[queue] = max(0, rounds - 1)
        return rounds > 0

    async def _look(self, channel: aiormq.abc.AbstractChannel, queue: str) -> tuple[int, int]:
        """Ready messages and consumers. Raises BrokerTrouble."""
        looking = channel.queue_declare(queue, passive=True)
        seen = await patiently(looking, f"looking at {queue}", self._limits.answer_s)
        return seen.message_count or 0, seen.consumer_count or 0

    async def _unseen(
        self, connection: aio_pika.abc.AbstractConnection, queue_consumer: QueueConsumer, trouble: BrokerTrouble
    ) -> None:
        """The role may not look, and only the broker's messages tell; or the queue is gone, and is consumed anew."""
        queue = queue_consumer.inbound.queue
        if trouble.kind is TroubleKind.NOT_FOUND:
            await self._consumer.renew(connection, self._generation, queue_consumer)
            return
        if queue not in self._blind_said:
            self._log.warning("watchdog.refused", queue=queue, error=str(trouble))
        self._blind_said.add(queue)
        self._blind[queue] = BLIND_ROUNDS

    async def _judge(
        self, connection: aio_pika.abc.AbstractConnection, queue_consumer: QueueConsumer, ready: int, consumers: int
    ) -> None:
        queue, single_active = queue_consumer.inbound.queue, queue_consumer.inbound.single_active
        idle_s = loop_time() - queue_consumer.heard_s
        limits = self._limits
        judgement = verdict(
            ready=ready,
            consumers=consumers,
            held=queue_consumer.held,
            prefetch=queue_consumer.prefetch,
            overdue=idle_s > limits.stuck_s,
            silent=idle_s > (limits.single_silent_s if single_active else limits.silent_s),
            single_active=single_active,
            served=queue_consumer.served,
        )
        if judgement is Verdict.LOST:
            self._generation.end(f"{queue} has lost its consumer", judged=True)
        elif judgement is Verdict.STUCK:
            reason = f"{queue} has {ready} messages, none was delivered for {idle_s:.0f} s"
            self._generation.end(reason, judged=True)
        elif judgement is Verdict.RENEW:
            await self._consumer.renew(connection, self._generation, queue_consumer)


async def _watching_channel(connection: aio_pika.abc.AbstractConnection) -> aiormq.abc.AbstractChannel:
    channel = connection.channel()
    await limited(channel.initialize(), "opening the watching channel")
    return await channel.get_underlay_channel()
