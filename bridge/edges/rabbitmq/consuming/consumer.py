"""Taking events: one channel an inbound, a callback that only hands over, and acks that die with their generation."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import InitVar, dataclass, field
from functools import partial
from uuid import uuid4

import aio_pika
from aiormq import Channel as Underlay
from aiormq.abc import DeliveredMessage

from bridge.core.broker.topology import Inbound
from bridge.core.event.inbound_message import InboundMessage
from bridge.edges.rabbitmq._internals import on_consumer_cancel
from bridge.edges.rabbitmq.consuming.acks import Acks
from bridge.edges.rabbitmq.consuming.inbox import ConsumerInbox
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, TroubleKind, limited, open_channel
from bridge.edges.rabbitmq.properties import incoming
from bridge.flow.ports.broker import Delivery
from bridge.flow.ports.runtime import Log, loop_time

TAG = "amigo-bridge"
REFUSALS = frozenset({TroubleKind.ACCESS, TroubleKind.NOT_FOUND})
AGAIN_S = 5.0
"""The wait before a queue is asked for again that the broker has refused."""
SETTLE_S = 0.5
"""How long a channel stays open after its last ack: a quorum queue carries acks out in batches, and the broker forgets
those that wait for their turn when the channel closes."""


@dataclass(slots=True, eq=False)
class QueueConsumer:
    """One consumer of one inbound, on a channel of its own, from its start until it is cancelled; then it is retired.

    `held` counts its unacked deliveries, at most `prefetch`; `heard_s` is when the broker last could and did speak
    (event loop time), `served` whether there was any delivery. `unwatch` lets the channel close without ending the
    generation. Until `cancelled`, the broker may still deliver. `settled` is called when no ack is owed any more,
    `lost` with an error where acks were lost.
    """

    inbound: Inbound
    prefetch: int
    tag: str
    channel: Underlay
    unwatch: Callable[[], None]
    heard_s: float
    settled: InitVar[Callable[["QueueConsumer"], None]]
    lost: InitVar[Callable[["QueueConsumer", str], None]]
    acks: Acks = field(init=False)
    held: int = 0
    served: bool = False
    cancelled: bool = False

    def __post_init__(
        self, settled: Callable[["QueueConsumer"], None], lost: Callable[["QueueConsumer", str], None]
    ) -> None:
        self.acks = Acks(self.channel, partial(settled, self), partial(lost, self))

    def delivered(self) -> None:
        """One delivery more is in hand."""
        self.heard_s = loop_time()
        self.held += 1
        self.served = True

    def let_go(self) -> None:
        """One delivery less is in hand: only now can the broker send the next one."""
        self.heard_s = loop_time()
        self.held -= 1

    async def cancel(self) -> None:
        """Have the broker deliver no more. Raises BrokerTrouble."""
        await limited(self.channel.basic_cancel(self.tag), f"cancelling the consumer of {self.inbound.queue}")
        self.cancelled = True


@dataclass(slots=True, eq=False)
class BrokerDelivery:
    """A delivery of one generation; see the port."""

    incoming: InboundMessage
    queue_consumer: QueueConsumer
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
        self.queue_consumer.let_go()
        self.consumer.send_ack(self)
        return True


class Consumer:
    """Consumes every inbound while nothing holds it back. Pausing cancels the consumers and requeues nothing.

    A prefetch counts for each consumer, and what a cancelled one held is still in hand. So each start gets what is left
    of the inbound's prefetch, and the consumer is renewed as the rest comes back.
    """

    def __init__(
        self, inbounds: tuple[Inbound, ...], inbox: ConsumerInbox, receive: Callable[[Delivery], None], log: Log
    ) -> None:
        """`receive` is handed every delivery, and settles it sooner or later."""
        self._inbounds = inbounds
        self.inbox = inbox
        self._receive = receive
        self._log = log
        self._paused = asyncio.Event()
        """Set while nothing is being consumed."""
        self._paused.set()
        self._queue_consumers: dict[str, QueueConsumer] = {}
        self._retired: list[QueueConsumer] = []
        self._replacing: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._refused: dict[str, str] = {}

    @property
    def queue_consumers(self) -> list[QueueConsumer]:
        """The consumers at work, in the present generation."""
        return list(self._queue_consumers.values())

    @property
    def consuming(self) -> bool:
        """True where every inbound has its consumer, is just getting another, or has as much in hand as it may.

        One that a person has paused, or that the broker refuses, is left alone.
        """
        left_alone = self._refused.keys() | self.inbox.paused_queues
        served = self._queue_consumers.keys() | self._replacing | left_alone
        return not self.inbox.held_back_by and all(
            inbound.queue in served or self._free(inbound) <= 0 for inbound in self._inbounds
        )

    @property
    def troubles(self) -> dict[str, str]:
        """Why a queue is not consumed though others are, by kind and name."""
        return {f"queue {queue}": reason for queue, reason in self._refused.items()}

    async def run(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Consume in this generation, as far as wanted, until it ends.

        A queue that the broker refuses is asked for again, while others are consumed. Raises BrokerTrouble where there
        are none.
        """
        while True:
            self.inbox.changed.clear()
            refusals: list[BrokerTrouble] = []
            for inbound in self._inbounds:
                try:
                    async with self._changing:
                        await self._see_to(connection, generation, inbound)
                    if inbound.queue in self._queue_consumers:
                        self._admit(inbound.queue)
                except BrokerTrouble as trouble:
                    if trouble.kind not in REFUSALS:
                        raise
                    self._refuse(inbound.queue, str(trouble))
                    refusals.append(trouble)
            if len(refusals) == len(self._inbounds):
                raise refusals[0]
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S if refusals else None):
                    await self.inbox.changed.wait()

    def _refuse(self, queue: str, reason: str) -> None:
        if queue not in self._refused:
            self._log.error("consumer.refused", queue=queue, error=reason)
        self._refused[queue] = reason

    def _admit(self, queue: str) -> None:
        if self._refused.pop(queue, None) is not None:
            self._log.info("consumer.admitted", queue=queue)

    async def _see_to(
        self, connection: aio_pika.abc.AbstractConnection, generation: Generation, inbound: Inbound
    ) -> None:
        queue_consumer, free = self._queue_consumers.get(inbound.queue), self._free(inbound)
        if reasons := self.inbox.reasons_for(inbound.queue):
            if queue_consumer is not None:
                await self._retire(queue_consumer)
                self._log.info("consumer.paused", queue=inbound.queue, by=reasons)
        elif queue_consumer is None:
            if free > 0:
                await self._start(connection, generation, inbound)
                self._log.info("consumer.started", queue=inbound.queue, prefetch=free)
        elif free >= 2 * queue_consumer.prefetch or (free > queue_consumer.prefetch and not self._retired):
            await self._replace(connection, generation, queue_consumer)

    async def renew(
        self, connection: aio_pika.abc.AbstractConnection, generation: Generation, queue_consumer: QueueConsumer
    ) -> None:
        """Cancel this consumer and start another, unless it is cancelled already. Raises BrokerTrouble.

        A quorum queue that was deleted and declared again at once goes on counting our consumer, and delivers nothing
        to it: from here that looks just like silence, so after enough of it the consumer is renewed. Where the broker
        refuses that, as it does once a permission has been taken away, `run` asks again, and others are consumed on.
        """
        async with self._changing:
            if (
                self._queue_consumers.get(queue_consumer.inbound.queue) is queue_consumer
                and self._free(queue_consumer.inbound) > 0
            ):
                try:
                    await self._replace(connection, generation, queue_consumer)
                except BrokerTrouble as trouble:
                    if trouble.kind not in REFUSALS:
                        raise
                    self.inbox.changed.set()

    async def _replace(
        self, connection: aio_pika.abc.AbstractConnection, generation: Generation, queue_consumer: QueueConsumer
    ) -> None:
        """Cancel this consumer and start another; `consuming` does not fall for the milliseconds between them.

        The broker delivers until the cancel reaches it. If nothing is free after that, the next ack starts the other.
        """
        inbound = queue_consumer.inbound
        self._replacing.add(inbound.queue)
        try:
            await self._retire(queue_consumer)
            if self._free(inbound) > 0:  # a prefetch of 0 would be one without limit
                await self._start(connection, generation, inbound)
        finally:
            self._replacing.discard(inbound.queue)

    def detach(self) -> None:
        """The generation has ended: the broker will deliver again what it had delivered."""
        self._queue_consumers.clear()
        self._retired.clear()
        self._paused.set()

    async def acks_sent(self) -> None:
        """Return when every ack has reached the queue, or can no more, and what a pause has retired is closed."""
        if self.inbox.held_back_by:
            await self._paused.wait()
        for queue_consumer in (*self._queue_consumers.values(), *self._retired):
            await queue_consumer.acks.all_written()
            await asyncio.sleep(queue_consumer.acks.written_s + SETTLE_S - loop_time())
        while self._background:
            await asyncio.wait(set(self._background))

    def send_ack(self, delivery: BrokerDelivery) -> None:
        """Write the ack at the end of this turn of the loop."""
        delivery.queue_consumer.acks.put(delivery.tag)
        self.inbox.settled()
        if delivery.queue_consumer.prefetch < delivery.queue_consumer.inbound.prefetch or self._retired:
            self.inbox.changed.set()

    def _start_task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _ack_lost(self, queue_consumer: QueueConsumer, error: str) -> None:
        self._log.info("ack.lost", error=error, queue=queue_consumer.inbound.queue)

    def _free(self, inbound: Inbound) -> int:
        """How many more deliveries of this inbound may be in hand."""
        queue_consumers = (*self._queue_consumers.values(), *self._retired)
        most = 1 if self.inbox.cautious else inbound.prefetch
        return most - sum(
            queue_consumer.held for queue_consumer in queue_consumers if queue_consumer.inbound is inbound
        )

    async def _start(
        self, connection: aio_pika.abc.AbstractConnection, generation: Generation, inbound: Inbound
    ) -> None:
        """Start a consumer for as many as are free; at least one must be."""
        queue, prefetch = inbound.queue, self._free(inbound)
        name = f"consuming channel of {queue}"
        opened, channel, unwatch = await open_channel(connection, generation, name)
        on_consumer_cancel(channel, partial(_cancelled, generation, queue))
        await limited(channel.basic_qos(prefetch_count=prefetch), f"setting the prefetch of {queue}")
        tag = f"{TAG}-{queue}-{uuid4().hex[:12]}"
        queue_consumer = QueueConsumer(
            inbound, prefetch, tag, channel, unwatch, loop_time(), self._close_if_done, self._ack_lost
        )
        callback = partial(self._deliver, queue_consumer, generation)
        unwatch()  # a refusal closes the channel, and may leave other queues their consumers
        await limited(channel.basic_consume(queue, callback, consumer_tag=tag), f"consuming {queue}")
        queue_consumer.unwatch = generation.watch(opened, name)
        self._queue_consumers[queue] = queue_consumer
        self.inbox.started()
        self._paused.clear()

    async def _retire(self, queue_consumer: QueueConsumer) -> None:
        """Cancel the consumer. Its channel stays for the acks that are still owed."""
        del self._queue_consumers[queue_consumer.inbound.queue]
        self._retired.append(queue_consumer)
        await queue_consumer.cancel()
        self._close_if_done(queue_consumer)
        if not self._queue_consumers:
            self._paused.set()

    def _close_if_done(self, queue_consumer: QueueConsumer) -> None:
        if (
            queue_consumer in self._retired
            and queue_consumer.cancelled
            and not queue_consumer.held
            and not queue_consumer.acks.owed
        ):
            self._retired.remove(queue_consumer)
            queue_consumer.unwatch()
            self._start_task(self._close(queue_consumer))

    async def _close(self, queue_consumer: QueueConsumer) -> None:
        await asyncio.sleep(queue_consumer.acks.written_s + SETTLE_S - loop_time())
        try:
            await limited(queue_consumer.channel.close(), f"closing a channel of {queue_consumer.inbound.queue}")
        except BrokerTrouble as trouble:
            self._log.info("channel.unclosed", error=str(trouble), queue=queue_consumer.inbound.queue)

    async def _deliver(self, queue_consumer: QueueConsumer, generation: Generation, message: DeliveredMessage) -> None:
        queue_consumer.delivered()
        if message.delivery_tag is None:
            generation.end("a delivery came without a tag")
            return
        try:
            self._receive(
                BrokerDelivery(
                    incoming(message, queue_consumer.inbound.queue),
                    queue_consumer,
                    generation,
                    message.delivery_tag,
                    self,
                )
            )
        except Exception:  # aiormq would log it where nobody looks
            self._log.critical("delivery.unhandled", exc_info=True, queue=queue_consumer.inbound.queue)


def _cancelled(generation: Generation, queue: str, frame: object) -> None:
    generation.end(f"the broker cancelled the consumer of {queue}")
