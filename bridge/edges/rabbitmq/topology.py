"""Declaring or verifying what must exist at the broker, on a channel that is thrown away afterwards."""

import aio_pika

from bridge.core.topology import Topology
from bridge.edges.rabbitmq.generation import BrokerTrouble, limited


async def declare(connection: aio_pika.abc.AbstractConnection, topology: Topology) -> None:
    """Declare everything. Raises BrokerTrouble, permanent where something exists with other arguments."""
    channel = connection.channel()
    await limited(channel.initialize(), "opening a channel to declare the topology")
    underlay = await channel.get_underlay_channel()
    for name in topology.exchanges:
        declared = underlay.exchange_declare(name, exchange_type="topic", durable=True)
        await limited(declared, f"declaring exchange {name}")
    for queue in topology.queues:
        made = underlay.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        await limited(made, f"declaring queue {queue.name}")
        for exchange, key in queue.bindings:
            bound = underlay.queue_bind(queue.name, exchange, routing_key=key)
            await limited(bound, f"binding queue {queue.name} to {exchange}")
    await limited(channel.close(), "closing the channel that declared the topology")


async def verify(connection: aio_pika.abc.AbstractConnection, topology: Topology) -> list[str]:
    """Names of what is missing; nothing is created. Where the role may not even look, that counts as present."""
    missing = [f"exchange {name}" for name in topology.exchanges if not await _exists(connection, exchange=name)]
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
        if not trouble.permanent:
            raise
        return "ChannelNotFoundEntity" not in str(trouble)
    await limited(channel.close(), "closing the channel that verified the topology")
    return True
