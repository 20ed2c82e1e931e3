"""What a person does at the broker: publish an event, and watch what comes out. One connection, no supervisor."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import DeliveryError

from bridge.core.outbound import OutboundMessage
from bridge.edges.rabbitmq.connection import connection_to
from bridge.edges.rabbitmq.generation import BrokerTrouble, describe, limited
from bridge.edges.rabbitmq.properties import of_outbound

BUFFER = 1000
TAIL = "bridge.tail"
"""How the names of `tail`'s queues begin: so that no right on the broker's own `amq.gen-…` is needed."""
HEARTBEAT_S = 60
"""Long: whoever looks through what `tail` prints stops it."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    """A connection. Raises BrokerTrouble."""
    connection = await connection_to(url, "amigo-bridge at a desk", HEARTBEAT_S)
    try:
        yield connection
    finally:
        await connection.closed_in_order()


async def publish(
    url: str, exchange: str, routing_key: str, events: Sequence[tuple[str | None, bytes]], content_type: str
) -> None:
    """Publish events (message id, body), persistent and mandatory, each confirmed. Raises BrokerTrouble."""
    async with connected(url) as connection:
        channel = connection.channel(on_return_raises=True)
        await limited(channel.initialize(), "opening a channel")
        target = await channel.get_exchange(exchange, ensure=False)
        for message_id, body in events:
            message = aio_pika.Message(
                body, content_type=content_type, message_id=message_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            )
            await limited(
                _taken(target.publish(message, routing_key, mandatory=True), exchange), f"publishing to {exchange}"
            )


@asynccontextmanager
async def outbound(url: str) -> AsyncIterator[Callable[[OutboundMessage], Awaitable[None]]]:
    """Inside the context, a function that publishes a message as the bridge does and returns once it is confirmed."""
    async with connected(url) as connection:
        channel = connection.channel(on_return_raises=True)
        await limited(channel.initialize(), "opening a channel")
        underlay = await channel.get_underlay_channel()

        async def publish_one(message: OutboundMessage) -> None:
            published = underlay.basic_publish(
                message.body,
                exchange=message.exchange,
                routing_key=message.routing_key,
                properties=of_outbound(message),
                mandatory=message.mandatory,
            )
            await limited(_taken(published, message.exchange), f"publishing to {message.exchange}")

        yield publish_one


async def _taken(published: Awaitable[object], exchange: str) -> None:
    try:
        await published
    except DeliveryError as error:
        raise BrokerTrouble(f"{exchange} took nothing: is there a queue bound? {describe(error)}") from None


async def tail(url: str, exchanges: Sequence[str], keys: Sequence[str]) -> AsyncIterator[Mapping[str, Any]]:
    """Messages as they come, from a queue of our own that vanishes with us; gives `{"listening": queue}` first."""
    async with connected(url) as connection:
        channel = connection.channel()
        await limited(channel.initialize(), "opening a channel")
        await limited(channel.set_qos(prefetch_count=BUFFER), "setting the prefetch")
        name = f"{TAIL}.{uuid4().hex[:12]}"
        queue = await limited(channel.declare_queue(name, exclusive=True, auto_delete=True), "declaring a queue")
        for exchange in exchanges:
            for key in keys:
                await limited(queue.bind(exchange, key), f"binding to {exchange}")
        arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue(maxsize=BUFFER + 1)
        connection.close_callbacks.add(lambda *_: arrived.put_nowait(None))
        await limited(queue.consume(arrived.put, no_ack=False), "consuming")
        yield {"listening": queue.name}
        while (message := await arrived.get()) is not None:
            yield _seen(message)
            await message.ack()
    raise BrokerTrouble("the connection to the broker was lost")


def _seen(message: AbstractIncomingMessage) -> Mapping[str, Any]:
    return {
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "type": message.type,
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "timestamp": message.timestamp.isoformat() if message.timestamp else None,
        "headers": dict(message.headers),
        "body": message.body,
    }
