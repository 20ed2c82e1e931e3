"""The demonstration's traffic: the sample backend that publishes, and the subscriber that watches all exchanges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from deploy.local.samples import Sample
from deploy.local.view import ENDINGS, View

INBOUND, OUTBOUND, DEAD = "bridge.events", "agent.events", "bridge.dead"
LIMIT_S = 10
AT_ONCE = 1000


class Traffic:
    """One connection: publishes the samples, shows everything that passes, and knows which events have ended."""

    def __init__(self, view: View, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.lost = asyncio.Event()
        self._view = view
        self._connection = connection
        self._channel = channel
        self._ended: set[str] = set()
        self._dead: set[str] = set()
        self._changed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: self.lost.set())

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, view: View) -> AsyncIterator[Self]:
        """Subscribed with a queue that vanishes with the connection."""
        connection = await aio_pika.connect(url, timeout=LIMIT_S)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=AT_ONCE)
            queue = await channel.declare_queue(exclusive=True, timeout=LIMIT_S)
            traffic = cls(view, connection, channel)
            await traffic._subscribe(queue)
            yield traffic

    async def publish(self, samples: Sequence[Sample], pause_s: float) -> None:
        """One after the other, each confirmed by the broker; a backend's pace where there is a pause."""
        exchange = await self._channel.get_exchange(INBOUND, ensure=False)
        for sample in samples:
            message = aio_pika.Message(
                sample.body,
                content_type=sample.content_type,
                headers=dict(sample.headers),
                message_id=sample.id,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await exchange.publish(message, sample.routing_key, timeout=LIMIT_S)
            await asyncio.sleep(pause_s)

    async def all_ended(self, samples: Sequence[Sample]) -> None:
        """Returns when every sample has had its ending and those that shall are among the dead letters."""
        while self.waiting_for(samples):
            self._changed.clear()
            await self._changed.wait()

    def waiting_for(self, samples: Sequence[Sample]) -> list[str]:
        """The samples that have not come to their end."""
        return [sample.id for sample in samples if sample.id not in (self._dead if sample.dead else self._ended)]

    async def dead_letters(self) -> int:
        """How many wait in the dead-letter queue."""
        queue = await self._channel.declare_queue(DEAD, passive=True, timeout=LIMIT_S)
        return queue.declaration_result.message_count or 0

    async def _subscribe(self, queue: AbstractQueue) -> None:
        for exchange in (INBOUND, OUTBOUND, DEAD):
            await queue.bind(exchange, "#", timeout=LIMIT_S)
        await queue.consume(self._seen, no_ack=True, timeout=LIMIT_S)

    async def _seen(self, message: AbstractIncomingMessage) -> None:
        key, event_id = message.routing_key or "", _event_id(message)
        if message.exchange == INBOUND:
            self._view.event_in(key, event_id, message.body)
        elif message.exchange == DEAD:
            self._view.dead_letter(key, event_id, str(message.headers.get("x-bridge-error", "")))
            self._dead.add(event_id)
        else:
            self._view.event_out(key, event_id, message.type or "", message.body)
            self._ended.update([event_id] if message.type in ENDINGS else [])
        self._changed.set()


def _event_id(message: AbstractIncomingMessage) -> str:
    if message.exchange == OUTBOUND:
        return str(message.correlation_id or "")
    try:
        said = json.loads(message.body)
    except ValueError:
        said = None
    own = said.get("id") if isinstance(said, dict) else None
    return own if isinstance(own, str) else str(message.message_id or "")
