"""Passing on what a pause has kept back: from the held queue to the inbound queue, in order, confirmed, then acked.

as many as the queue has now ▸ a batch has come ▸ its copies are confirmed ▸ acked ▸ the next batch
                                                └▸ refused for now  ▸ it stays, its neighbours are acked
                                                └▸ refused for good ▸ it is taken in hand from where it is
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import aio_pika
from aiormq.abc import AbstractChannel, DeliveredMessage

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.broker.republished_copy import held_queue, passed_on
from bridge.core.event.inbound_message import InboundMessage
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited
from bridge.edges.rabbitmq.properties import incoming
from bridge.flow.ports.broker import Delivery, HeldQueueUnavailable, Republisher, RepublishRefused
from bridge.flow.ports.runtime import Log

BATCH = 250
IDLE_S = 2.0
"""The wait for the next message: somebody else may pass the queue on too, and have it."""


class HeldDelivery:
    """A delivery from the held queue itself, of a message that its inbound never takes; see the port."""

    def __init__(self, held: InboundMessage, channel: AbstractChannel, tag: int) -> None:
        self.incoming = held
        self.tag = tag
        self.settled = asyncio.Event()
        self._channel = channel

    @property
    def alive(self) -> bool:
        return not self._channel.is_closed

    def ack(self) -> bool:
        if self.settled.is_set() or not self.alive:
            return False
        self.settled.set()
        return True


class BrokerHeldQueues:
    """The port, on a channel that is thrown away each time. No two queues are passed on at once."""

    def __init__(self, republisher: Republisher, delay_exchange: str, log: Log) -> None:
        self._republisher = republisher
        self._delay_exchange = delay_exchange
        self._log = log
        self._connection: aio_pika.abc.AbstractConnection | None = None
        self._passing = asyncio.Lock()
        self._in_hand: dict[asyncio.Task[None], str] = {}
        """Who waits for the last message that is in hand on a channel, and of which inbound queue they are."""

    def attach(self, connection: aio_pika.abc.AbstractConnection, _: Generation) -> None:
        """Use this connection."""
        self._connection = connection

    def detach(self) -> None:
        """There is no connection."""
        self._connection = None
        for task in self._in_hand:
            task.cancel()

    async def pass_on(self, queue: str, receive: Callable[[Delivery], None]) -> int:
        """Pass on as many messages as there are; see the port."""
        async with self._passing:
            connection = self._connection
            if connection is None:
                raise HeldQueueUnavailable("there is no connection to the broker")
            channel = connection.channel(publisher_confirms=False)
            in_hand: list[HeldDelivery] = []
            kept: Sequence[HeldDelivery] = ()
            try:
                await limited(channel.initialize(), "opening a channel to pass on what was held")
                passed = await self._all(await channel.get_underlay_channel(), queue, receive, in_hand)
                kept = in_hand
            except RepublishRefused as error:
                kept = in_hand
                raise HeldQueueUnavailable(str(error)) from None
            except BrokerTrouble as error:
                raise HeldQueueUnavailable(str(error)) from None
            finally:
                await self._leave(channel, queue, kept)
            return passed

    async def take(self, queue: str, receive: Callable[[Delivery], None]) -> bool:
        """Take the first message in hand; see the port.

        Until it is acknowledged, the broker counts whoever has got it from a quorum queue as a consumer.
        """
        async with self._passing:
            if self._connection is None:
                raise HeldQueueUnavailable("there is no connection to the broker")
            channel = self._connection.channel(publisher_confirms=False)
            taken: list[HeldDelivery] = []
            try:
                await limited(channel.initialize(), "opening a channel to take what was held")
                underlay = await channel.get_underlay_channel()
                name = held_queue(queue)
                message = await limited(underlay.basic_get(name), f"taking a message of {name}")
                if message.delivery_tag is not None:
                    taken.append(HeldDelivery(incoming(message, queue), underlay, message.delivery_tag))
            except BrokerTrouble as error:
                raise HeldQueueUnavailable(str(error)) from None
            finally:
                await self._leave(channel, queue, taken)
            for delivery in taken:
                receive(delivery)
            return bool(taken)

    async def _leave(self, channel: aio_pika.abc.AbstractChannel, queue: str, in_hand: Sequence[HeldDelivery]) -> None:
        """Close the channel, once these are settled."""
        if not in_hand:
            await _closed(channel)
            return
        task = asyncio.create_task(_acknowledge(in_hand, channel), name=f"in hand of {held_queue(queue)}")
        self._in_hand[task] = queue
        task.add_done_callback(self._in_hand.pop)

    async def _all(
        self, channel: AbstractChannel, queue: str, receive: Callable[[Delivery], None], in_hand: list[HeldDelivery]
    ) -> int:
        name, passed = held_queue(queue), 0
        looked = await limited(channel.queue_declare(name, passive=True), f"looking at {name}")
        messages = looked.message_count or 0
        consumers = (looked.consumer_count or 0) - Counter(self._in_hand.values())[queue]
        if messages:
            passed = await self._consumed(channel, queue, messages, receive, in_hand)
        if consumers > 0:  # what they have in hand was not counted, and may be there again
            raise HeldQueueUnavailable(f"{name} is being passed on by another process")
        return passed

    async def _consumed(
        self,
        channel: AbstractChannel,
        queue: str,
        messages: int,
        receive: Callable[[Delivery], None],
        in_hand: list[HeldDelivery],
    ) -> int:
        """Pass on so many messages."""
        name, passed = held_queue(queue), 0
        arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue(BATCH)
        await limited(channel.basic_qos(prefetch_count=BATCH), f"setting the prefetch of {name}")
        consuming = await limited(channel.basic_consume(name, arrived.put), f"consuming {name}")
        refused: list[PublishRefusal] = []
        back: list[DeliveredMessage] = []
        while not refused and passed < messages and (batch := await _batch(arrived, messages - passed)):
            held = [incoming(message, queue) for message in batch]
            refusals = await asyncio.gather(*map(self._refused, held))  # in this order
            taken = self._taken(channel, held, batch, refusals)
            in_hand += taken
            await _acknowledged(channel, name, batch, refusals, alone=not in_hand)
            for delivery in taken:
                receive(delivery)
            for message, refusal in zip(batch, refusals, strict=True):
                if refusal is not None and refusal.kind is not RefusalKind.IMPOSSIBLE:
                    refused.append(refusal)
                    back.append(message)
            passed += len(batch)
        if in_hand or not refused:  # else it is seen until all is there again
            await limited(channel.basic_cancel(consuming.consumer_tag or ""), f"cancelling the consumer of {name}")
        if in_hand:  # the channel stays open: all others go back
            back += [arrived.get_nowait() for _ in range(arrived.qsize())]
            for message in back:
                await limited(channel.basic_reject(message.delivery_tag or 0), f"returning a message to {name}")
        if refused:
            raise RepublishRefused(refused[0])
        return passed

    async def _refused(self, held: InboundMessage) -> PublishRefusal | None:
        """See the message to its queue; gives why the broker does not take it there."""
        try:
            await self._republisher.copy(passed_on(held, self._delay_exchange, held.queue))
        except RepublishRefused as error:
            return error.refusal
        return None

    def _taken(
        self,
        channel: AbstractChannel,
        held: Sequence[InboundMessage],
        batch: Sequence[DeliveredMessage],
        refusals: Sequence[PublishRefusal | None],
    ) -> list[HeldDelivery]:
        """Deliveries of those that can never be passed on."""
        taken = []
        for each, message, refusal in zip(held, batch, refusals, strict=True):
            if refusal is not None and refusal.kind is RefusalKind.IMPOSSIBLE:
                self._log.warning(
                    "held.taken", queue=each.queue, message_id=each.message_id, kind=refusal.kind, error=refusal.error
                )
                taken.append(HeldDelivery(each, channel, message.delivery_tag or 0))
        return taken


async def _batch(arrived: asyncio.Queue[DeliveredMessage], most: int) -> list[DeliveredMessage]:
    """Messages that have come, `most` at most; none where none comes any more."""
    try:
        async with asyncio.timeout(IDLE_S):
            batch = [await arrived.get()]
    except TimeoutError:
        return []
    while len(batch) < min(most, BATCH) and not arrived.empty():
        batch.append(arrived.get_nowait())
    return batch


async def _acknowledged(
    channel: AbstractChannel,
    name: str,
    batch: Sequence[DeliveredMessage],
    refusals: Sequence[PublishRefusal | None],
    *,
    alone: bool,
) -> None:
    """Acknowledge what was passed on of the batch, whatever became of the rest; `alone`: nothing else is in hand."""
    what = f"acknowledging what was passed on of {name}"
    if alone and not any(refusals):
        await limited(channel.basic_ack(batch[-1].delivery_tag or 0, multiple=True), what)
        return
    for message, refusal in zip(batch, refusals, strict=True):
        if refusal is None:
            await limited(channel.basic_ack(message.delivery_tag or 0), what)


async def _acknowledge(in_hand: Sequence[HeldDelivery], channel: aio_pika.abc.AbstractChannel) -> None:
    """Acknowledge each of these once it is settled, then close their channel."""
    try:
        underlay = await channel.get_underlay_channel()
        for delivery in in_hand:
            await delivery.settled.wait()
            await limited(underlay.basic_ack(delivery.tag), f"acknowledging a message of {delivery.incoming.queue}")
    except BrokerTrouble:
        pass  # they are delivered again
    finally:
        await _closed(channel)


async def _closed(channel: aio_pika.abc.AbstractChannel) -> None:
    with suppress(BrokerTrouble):  # its connection has gone, and the channel with it
        await limited(channel.close(), "closing the channel that passed on what was held")
