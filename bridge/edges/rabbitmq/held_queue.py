"""Passing on what a pause has kept back: from the held queue to the inbound queue, in order, confirmed, then acked.

as many as the queue has now ▸ a batch is delivered ▸ its copies are confirmed ▸ acked ▸ the next batch
                                                    └▸ refused for now  ▸ it stays, its neighbours are acked
                                                    └▸ refused for good ▸ a dead letter, whole or cut, then acked
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import aio_pika
from aiormq.abc import AbstractChannel, DeliveredMessage

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.broker.republished_copy import CopyExchanges, RepublishedCopy, dead, held_queue, passed_on, reduced
from bridge.core.delivery.ledger_entry import UNDELIVERABLE
from bridge.core.event.inbound_message import InboundMessage
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited
from bridge.edges.rabbitmq.properties import incoming
from bridge.flow.ports.broker import HeldQueueUnavailable, Republisher, RepublishRefused
from bridge.flow.ports.runtime import Log

BATCH = 250
IDLE_S = 2.0
"""The wait for the next message of a batch: somebody else may pass the queue on too, and have it."""


class BrokerHeldQueues:
    """The port, on a channel that is thrown away each time. No two queues are passed on at once."""

    def __init__(self, republisher: Republisher, exchanges: CopyExchanges, log: Log) -> None:
        self._republisher = republisher
        self._exchanges = exchanges
        self._log = log
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
            passing = [self._passed_on(incoming(message, queue)) for message in batch]
            refusals = await asyncio.gather(*passing)  # in this order
            await _acknowledged(channel, name, batch, refusals)
            if refused := [refusal for refusal in refusals if refusal is not None]:
                raise RepublishRefused(refused[0])
            passed += len(batch)
        return passed

    async def _passed_on(self, held: InboundMessage) -> PublishRefusal | None:
        """See the message to its queue, or, where the broker can never take it there, to the dead letters.

        Gives why neither takes it for now.
        """
        try:
            await self._republisher.copy(passed_on(held, self._exchanges.delay, held.queue))
        except RepublishRefused as error:
            if error.refusal.kind is not RefusalKind.IMPOSSIBLE:
                return error.refusal
            return await self._lettered(held, error.refusal)
        return None

    async def _lettered(self, held: InboundMessage, refusal: PublishRefusal) -> PublishRefusal | None:
        letter: RepublishedCopy | None = dead(
            held,
            self._exchanges.dead,
            reason=UNDELIVERABLE,
            error=f"a person had paused it, and {held.queue} does not take it any more: {refusal.error}",
            attempts=held.attempt,
            failed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            conversation_id=None,
        )
        while letter is not None and refusal.kind is RefusalKind.IMPOSSIBLE:
            try:
                await self._republisher.copy(letter)
            except RepublishRefused as error:
                letter, refusal = reduced(letter), error.refusal
            else:
                self._log.error("held.undeliverable", queue=held.queue, message_id=held.message_id, error=refusal.error)
                return None
        return refusal


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


async def _acknowledged(
    channel: AbstractChannel, name: str, batch: Sequence[DeliveredMessage], refusals: Sequence[PublishRefusal | None]
) -> None:
    """Acknowledge what was passed on of the batch, whatever became of the rest."""
    what = f"acknowledging what was passed on of {name}"
    if not any(refusals):
        await limited(channel.basic_ack(batch[-1].delivery_tag or 0, multiple=True), what)
        return
    for message, refusal in zip(batch, refusals, strict=True):
        if refusal is None:
            await limited(channel.basic_ack(message.delivery_tag or 0), what)


async def _closed(channel: aio_pika.abc.AbstractChannel) -> None:
    with suppress(BrokerTrouble):  # its connection has gone, and the channel with it
        await limited(channel.close(), "closing the channel that passed on what was held")
