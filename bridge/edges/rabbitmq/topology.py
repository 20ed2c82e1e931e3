"""Declaring or verifying what must exist at the broker, on channels that are thrown away afterwards."""

from collections.abc import Awaitable

import aio_pika
from aiormq.abc import AbstractChannel

from bridge.core.broker.topology import Exchange, Queue, Topology
from bridge.edges.rabbitmq.generation import BrokerTrouble, TroubleKind, limited


async def declare(connection: aio_pika.abc.AbstractConnection, topology: Topology) -> list[str]:
    """Declare everything; the names of queues that have other arguments and may be used as they are.

    Raises BrokerTrouble, permanent where anything else has other arguments.
    """
    declaring = Declaring(connection)
    for exchange in topology.exchanges:
        await declaring.exchange(exchange)
    as_found = [queue.name for queue in topology.queues if not await _declared(declaring, queue)]
    for queue in topology.queues:
        await declaring.bindings(queue)
    await declaring.close()
    return as_found


async def _declared(declaring: "Declaring", queue: Queue) -> bool:
    """True where the queue is as it should be now; False where it is another that may be used."""
    try:
        await declaring.queue(queue)
    except BrokerTrouble as trouble:
        if trouble.kind is not TroubleKind.OTHERWISE or not queue.as_found:
            raise
        if not await _exists(declaring.connection, queue=queue.name):
            raise  # a limit of queues, say
        return False
    return True


class Declaring:
    """One channel after the other: the broker closes the one on which it refuses something. Raises BrokerTrouble."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self.connection = connection
        self._channel: aio_pika.abc.AbstractChannel | None = None

    async def exchange(self, exchange: Exchange) -> None:
        channel = await self._open()
        made = channel.exchange_declare(exchange.name, exchange_type=exchange.type, durable=True)
        await self._done(made, f"declaring exchange {exchange.name}")

    async def queue(self, queue: Queue) -> None:
        channel = await self._open()
        made = channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        await self._done(made, f"declaring queue {queue.name}")

    async def bindings(self, queue: Queue) -> None:
        channel = await self._open()
        for exchange, key in queue.bindings:
            bound = channel.queue_bind(queue.name, exchange, routing_key=key)
            await self._done(bound, f"binding queue {queue.name} to {exchange}")

    async def close(self) -> None:
        if self._channel is not None:
            await limited(self._channel.close(), "closing the channel that declared the topology")

    async def _open(self) -> AbstractChannel:
        if self._channel is None:
            self._channel = self.connection.channel()
            await limited(self._channel.initialize(), "opening a channel to declare the topology")
        return await self._channel.get_underlay_channel()

    async def _done(self, call: Awaitable[object], what: str) -> None:
        try:
            await limited(call, what)
        except BrokerTrouble:
            self._channel = None
            raise


async def verify(connection: aio_pika.abc.AbstractConnection, topology: Topology) -> tuple[list[str], list[str]]:
    """Everything that is missing, by kind and name, and the names of the queues among it; nothing is created.

    Where the role may not even look, that counts as present.
    """
    names = [exchange.name for exchange in topology.exchanges]
    exchanges = [name for name in names if not await _exists(connection, exchange=name)]
    queues = [queue.name for queue in topology.queues if not await _exists(connection, queue=queue.name)]
    return [*(f"exchange {name}" for name in exchanges), *(f"queue {name}" for name in queues)], queues


async def _exists(
    connection: aio_pika.abc.AbstractConnection, *, exchange: str | None = None, queue: str | None = None
) -> bool:
    channel = connection.channel()
    await limited(channel.initialize(), "opening a channel to verify the topology")
    underlay = await channel.get_underlay_channel()
    try:
        if exchange is not None:
            await limited(underlay.exchange_declare(exchange, passive=True), f"looking for exchange {exchange}")
        if queue is not None:
            await limited(underlay.queue_declare(queue, passive=True), f"looking for queue {queue}")
    except BrokerTrouble as trouble:
        if trouble.kind is None:
            raise
        return trouble.kind is not TroubleKind.NOT_FOUND
    await limited(channel.close(), "closing the channel that verified the topology")
    return True
