"""Declaring or verifying what must exist at the broker, on channels that are thrown away afterwards."""

from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
from aio_pika.abc import UnderlayChannel

from bridge.core.topology import Queue, Topology
from bridge.edges.rabbitmq.generation import BrokerTrouble, Refusal, limited


async def declare(connection: aio_pika.abc.AbstractConnection, topology: Topology) -> list[str]:
    """Declare everything; the names of queues that have other arguments and may be used as they are.

    Raises BrokerTrouble, permanent where anything else has other arguments.
    """
    declaring = Declaring(connection)
    for exchange in topology.exchanges:
        await declaring.do(
            lambda channel, it=exchange: channel.exchange_declare(it.name, exchange_type=it.type, durable=True),
            f"declaring exchange {exchange.name}",
        )
    as_found = [queue.name for queue in topology.queues if not await _declared(declaring, queue)]
    for queue in topology.queues:
        for exchange_name, key in queue.bindings:
            await declaring.do(
                lambda channel, to=queue.name, by=exchange_name, key=key: channel.queue_bind(to, by, routing_key=key),
                f"binding queue {queue.name} to {exchange_name}",
            )
    await declaring.close()
    return as_found


async def _declared(declaring: "Declaring", queue: Queue) -> bool:
    """Whether the queue is as it should be now; False where it is another that may be used."""
    what = f"declaring queue {queue.name}"
    try:
        await declaring.do(
            lambda channel: channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments)), what
        )
    except BrokerTrouble as trouble:
        if trouble.refusal is not Refusal.OTHERWISE or not queue.as_found:
            raise
        if not await _exists(declaring.connection, queue=queue.name):
            raise  # a limit of queues, say
        return False
    return True


class Declaring:
    """One channel after the other: the broker closes the one on which it refuses something."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self.connection = connection
        self._channel: aio_pika.abc.AbstractChannel | None = None

    async def do(self, call: Callable[[UnderlayChannel], Awaitable[Any]], what: str) -> None:
        """Raises BrokerTrouble."""
        if self._channel is None:
            self._channel = self.connection.channel()
            await limited(self._channel.initialize(), "opening a channel to declare the topology")
        try:
            await limited(call(await self._channel.get_underlay_channel()), what)
        except BrokerTrouble:
            self._channel = None
            raise

    async def close(self) -> None:
        if self._channel is not None:
            await limited(self._channel.close(), "closing the channel that declared the topology")


async def verify(connection: aio_pika.abc.AbstractConnection, topology: Topology) -> list[str]:
    """Names of what is missing; nothing is created. Where the role may not even look, that counts as present."""
    exchanges = [exchange.name for exchange in topology.exchanges]
    missing = [f"exchange {name}" for name in exchanges if not await _exists(connection, exchange=name)]
    missing += [f"queue {queue.name}" for queue in topology.queues if not await _exists(connection, queue=queue.name)]
    return missing


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
        if trouble.refusal is None:
            raise
        return trouble.refusal is not Refusal.NOT_FOUND
    await limited(channel.close(), "closing the channel that verified the topology")
    return True
