"""Passing on what a pause has kept back: from the held queue to the inbound queue, in order, confirmed, then acked.

as many as the queue has now ▸ a batch is delivered ▸ its copies are confirmed ▸ acked ▸ the next batch
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import aio_pika
from aiormq.abc import AbstractChannel, DeliveredMessage

from bridge.core.broker.republished_copy import held_queue, passed_on
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited
from bridge.edges.rabbitmq.properties import incoming
from bridge.flow.ports.broker import HeldQueueUnavailable, Republisher, RepublishRefused

BATCH = 250
IDLE_S = 2.0
"""The wait for the next message of a batch: somebody else may pass the queue on too, and have it."""


class BrokerHeldQueues:
    """The port, on a channel that is thrown away each time. No two queues are passed on at once."""

    def __init__(self, republisher: Republisher, delay_exchange: str) -> None:
        self._republisher = republisher
        self._exchange = delay_exchange
        self._connection: aio_pika.abc.AbstractConnection | None = None
        self._passing = asyncio.Lock()

    def attach(self, connection: aio_pika.abc.AbstractConnection, _: Generation) -> None:
        """Use this connection."""
        self._connection = connection

    def detach(self) -> None:
        """There is no connection."""
        self._connection = None

    async def pass_on(self, queue: str) -> int:
        """Pass on as many messages as there are; see the port."""
        async with self._passing:
            connection = self._connection
            if connection is None:
                raise HeldQueueUnavailable("there is no connection to the broker")
            channel = connection.channel(publisher_confirms=False)
            try:
                await limited(channel.initialize(), "opening a channel to pass on what was held")
                return await self._all(await channel.get_underlay_channel(), queue)
            except (BrokerTrouble, RepublishRefused) as error:
                raise HeldQueueUnavailable(str(error)) from None
            finally:
                await _closed(channel)

    async def _all(self, channel: AbstractChannel, queue: str) -> int:
        name, passed = held_queue(queue), 0
        looked = await limited(channel.queue_declare(name, passive=True), f"looking at {name}")
        while left := (looked.message_count or 0) - passed:
            batch = await _batch(channel, name, min(BATCH, left))
            if not batch:
                break
            copies = [passed_on(incoming(message, queue), self._exchange, queue) for message in batch]
            await asyncio.gather(*[self._republisher.copy(copy) for copy in copies])  # in this order
            acked = channel.basic_ack(batch[-1].delivery_tag or 0, multiple=True)
            await limited(acked, f"acknowledging what was passed on of {name}")
            passed += len(batch)
        return passed


async def _batch(channel: AbstractChannel, name: str, most: int) -> Sequence[DeliveredMessage]:
    """The next messages of the queue; fewer than `most` where there are no more. More are never delivered."""
    batch: list[DeliveredMessage] = []
    arrived = asyncio.Event()

    async def take(message: DeliveredMessage) -> None:
        batch.append(message)
        arrived.set()

    await limited(channel.basic_qos(prefetch_count=most), f"setting the prefetch of {name}")
    consuming = await limited(channel.basic_consume(name, take), f"consuming {name}")
    try:
        while len(batch) < most:
            arrived.clear()
            async with asyncio.timeout(IDLE_S):
                await arrived.wait()
    except TimeoutError:
        pass
    await limited(channel.basic_cancel(consuming.consumer_tag or ""), f"cancelling the consumer of {name}")
    return batch


async def _closed(channel: aio_pika.abc.AbstractChannel) -> None:
    with suppress(BrokerTrouble):  # its connection has gone, and the channel with it
        await limited(channel.close(), "closing the channel that passed on what was held")
