"""Taking events: one channel an inbound, a callback that only hands over, and acks that die with their generation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import aio_pika
from aiormq import Channel as Underlay
from aiormq.abc import DeliveredMessage

from bridge.core.incoming import Incoming
from bridge.core.topology import Inbound
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited, open_channel
from bridge.edges.rabbitmq.properties import incoming
from bridge.flow.ports import Delivery, Log

TAG = "amigo-bridge"


@dataclass(slots=True, eq=False)
class Feed:
    """One inbound as it is being consumed. `held` counts unacked deliveries of this generation."""

    inbound: Inbound
    channel: Underlay
    tag: str | None = None
    held: int = 0
    heard_s: float = 0.0


@dataclass(slots=True, eq=False)
class BrokerDelivery:
    """A delivery of one generation; see the port."""

    incoming: Incoming
    feed: Feed
    generation: Generation
    tag: int
    consumer: "Consumer"
    acked: bool = False

    @property
    def alive(self) -> bool:
        return self.generation.alive

    def ack(self) -> bool:
        if self.acked or not self.generation.alive:
            return False
        self.acked = True
        self.feed.held -= 1
        self.consumer.send_ack(self)
        return True


@dataclass(slots=True)
class Desired:
    """Why consuming is held back; empty while it is not."""

    reasons: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Consumer:
    """Consumes every inbound while nothing holds it back. Pausing cancels the consumers and requeues nothing."""

    def __init__(self, inbounds: tuple[Inbound, ...], log: Log) -> None:
        self.receive: Callable[[Delivery], None] | None = None
        self._inbounds = inbounds
        self._log = log
        self._desired = Desired()
        self._feeds: list[Feed] = []
        self._acks: set[asyncio.Task[None]] = set()

    @property
    def held_back_by(self) -> list[str]:
        return sorted(self._desired.reasons)

    @property
    def feeds(self) -> list[Feed]:
        """What is being consumed in the present generation."""
        return self._feeds

    @property
    def consuming(self) -> bool:
        return bool(self._feeds) and all(feed.tag is not None for feed in self._feeds)

    def pause(self, reason: str) -> None:
        """Hold back; see the port."""
        self._desired.reasons.add(reason)
        self._desired.changed.set()

    def resume(self, reason: str) -> None:
        """Let go; see the port."""
        self._desired.reasons.discard(reason)
        self._desired.changed.set()

    async def run(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Consume in this generation, as far as wanted, until it ends. Raises BrokerTrouble."""
        feeds = []
        for inbound in self._inbounds:
            _, channel = await open_channel(connection, generation, f"consuming channel of {inbound.queue}")
            channel.on_consumer_cancel_callbacks.add(partial(_cancelled, generation, inbound.queue))
            await limited(
                channel.basic_qos(prefetch_count=inbound.prefetch), f"setting the prefetch of {inbound.queue}"
            )
            feeds.append(Feed(inbound, channel))
        self._feeds = feeds
        while True:
            self._desired.changed.clear()
            for feed in feeds:
                await self._apply(feed, generation)
            await self._desired.changed.wait()

    def detach(self) -> None:
        """The generation has ended: the broker will deliver again what it had delivered."""
        self._feeds = []

    async def acks_sent(self) -> None:
        """Return when every ack so far has been written to its connection, or can be written no more."""
        while self._acks:
            await asyncio.wait(set(self._acks))

    def send_ack(self, delivery: BrokerDelivery) -> None:
        """Write the ack in the background: whether the broker got it shows at the next delivery, never here."""
        task = asyncio.get_running_loop().create_task(self._ack(delivery))
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)

    async def _ack(self, delivery: BrokerDelivery) -> None:
        try:
            await limited(delivery.feed.channel.basic_ack(delivery.tag), "acknowledging")
        except BrokerTrouble as trouble:
            self._log.info("ack.lost", error=str(trouble), queue=delivery.feed.inbound.queue)

    async def _apply(self, feed: Feed, generation: Generation) -> None:
        queue = feed.inbound.queue
        if not self._desired.reasons and feed.tag is None:
            feed.heard_s = asyncio.get_running_loop().time()
            callback = partial(self._deliver, feed, generation)
            tag = f"{TAG}-{queue}-{generation.number}-{int(feed.heard_s * 1000)}"
            await limited(feed.channel.basic_consume(queue, callback, consumer_tag=tag), f"consuming {queue}")
            feed.tag = tag
            self._log.info("consumer.started", queue=queue, prefetch=feed.inbound.prefetch)
        elif self._desired.reasons and feed.tag is not None:
            tag, feed.tag = feed.tag, None
            await limited(feed.channel.basic_cancel(tag), f"pausing {queue}")
            self._log.info("consumer.paused", queue=queue, by=self.held_back_by)

    async def _deliver(self, feed: Feed, generation: Generation, message: DeliveredMessage) -> None:
        feed.heard_s = asyncio.get_running_loop().time()
        feed.held += 1
        if self.receive is None or message.delivery_tag is None:
            generation.end("a delivery came before anybody could take it")
            return
        self.receive(
            BrokerDelivery(incoming(message, feed.inbound.queue), feed, generation, message.delivery_tag, self)
        )


def _cancelled(generation: Generation, queue: str, frame: object) -> None:
    generation.end(f"the broker cancelled the consumer of {queue}")
