"""A person's work at the broker: publish an event, and watch what comes out. One connection, no supervisor."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypedDict
from uuid import uuid4

import aio_pika
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import DeliveryError, PublishError

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.event.inbound_message import Headers, InboundMessage
from bridge.edges.rabbitmq import lenient_decoding
from bridge.edges.rabbitmq._internals import on_consumer_cancel
from bridge.edges.rabbitmq.connection import connection_to
from bridge.edges.rabbitmq.generation import BrokerTrouble, limited
from bridge.edges.rabbitmq.properties import incoming, of_outbound

BUFFER = 1000
TAIL = "bridge.tail"
"""How the names of `tail`'s queues begin: so that no right on the broker's own `amq.gen-…` is needed."""
HEARTBEAT_S = 60
"""Long: whoever looks through what `tail` prints stops it."""


class Tailed(TypedDict, total=False):
    """A message as `tail` gives it: all but `listening`, which comes alone and first."""

    listening: str
    exchange: str
    routing_key: str
    type: object
    message_id: object
    correlation_id: object
    timestamp: object
    headers: Headers
    body: bytes


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    """A connection. Raises BrokerTrouble."""
    lenient_decoding.install()
    connection = await connection_to(url, "amigo-bridge cli", HEARTBEAT_S)
    try:
        yield connection
    finally:
        await connection.closed_in_order()


async def publish(
    url: str,
    exchange: str,
    routing_key: str,
    events: Sequence[tuple[str | None, bytes]],
    content_type: str,
    taken: Callable[[int], None] = lambda _: None,
) -> None:
    """Publish events (message id, body), persistent and mandatory, each confirmed. Raises BrokerTrouble.

    `taken` is told of each event, by its index, once the broker has confirmed it.
    """
    async with connected(url) as connection:
        channel = connection.channel(on_return_raises=True)
        await limited(channel.initialize(), "opening a channel")
        target = await channel.get_exchange(exchange, ensure=False)
        for index, (message_id, body) in enumerate(events):
            message = aio_pika.Message(
                body, content_type=content_type, message_id=message_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            )
            published = target.publish(message, routing_key, mandatory=True)
            await limited(_taken(published, exchange, routing_key), f"publishing to {exchange}")
            taken(index)


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
            await limited(_taken(published, message.exchange, message.routing_key), f"publishing to {message.exchange}")

        yield publish_one


async def _taken(published: Awaitable[object], exchange: str, routing_key: str) -> None:
    try:
        await published
    except PublishError:
        raise BrokerTrouble(
            f"the broker returned it: no queue bound to {exchange or 'the default exchange'} takes {routing_key!r}"
        ) from None
    except DeliveryError:
        raise BrokerTrouble(
            f"the broker refused it (nack): a queue behind {exchange or 'the default exchange'} takes no more"
        ) from None


async def tail(url: str, exchanges: Sequence[str], keys: Sequence[str]) -> AsyncGenerator[Tailed, None]:
    """Messages as they come, from a queue of our own that vanishes with us; gives `{"listening": queue}` first.

    Close it where it is left early (`contextlib.aclosing`): the connection is closed then, not when the loop ends.
    """
    async with connected(url) as connection:
        channel = connection.channel()
        await limited(channel.initialize(), "opening a channel")
        await limited(channel.set_qos(prefetch_count=BUFFER), "setting the prefetch")
        name = f"{TAIL}.{uuid4().hex[:12]}"
        queue = await limited(channel.declare_queue(name, exclusive=True, auto_delete=True), "declaring a queue")
        for exchange in exchanges:
            for key in keys:
                await limited(queue.bind(exchange, key), f"binding to {exchange}")
        underlay = await channel.get_underlay_channel()
        arrived: asyncio.Queue[tuple[int, InboundMessage] | str] = asyncio.Queue(2 * BUFFER)  # the prefetch bounds it

        async def take(message: DeliveredMessage) -> None:
            arrived.put_nowait((message.delivery_tag or 0, incoming(message, queue.name)))

        connection.close_callbacks.add(lambda *_: arrived.put_nowait("the connection to the broker was lost"))
        channel.close_callbacks.add(lambda *_: arrived.put_nowait("the broker closed the channel"))
        on_consumer_cancel(underlay, lambda _: arrived.put_nowait("the broker removed the queue"))
        await limited(underlay.basic_consume(queue.name, take), "consuming")
        yield {"listening": queue.name}
        while isinstance(arrival := await arrived.get(), tuple):
            tag, message = arrival
            yield _seen(message)
            await limited(underlay.basic_ack(tag), "acknowledging")
    raise BrokerTrouble(arrival)


def _seen(message: InboundMessage) -> Tailed:
    properties = message.properties
    timestamp = properties.get("timestamp")
    return {
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "type": properties.get("type"),
        "message_id": properties.get("message_id"),
        "correlation_id": properties.get("correlation_id"),
        "timestamp": timestamp.isoformat() if isinstance(timestamp, datetime) else timestamp,
        "headers": dict(message.headers),
        "body": message.body,
    }
