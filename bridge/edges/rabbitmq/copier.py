"""Dead letters and delayed copies: published mandatory, on a channel of their own, and confirmed one by one."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import aio_pika
from aiormq import Channel as Underlay
from aiormq.exceptions import DeliveryError, PublishError

from bridge.core.dead_letter import Copy
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, describe, limited, open_channel
from bridge.edges.rabbitmq.properties import of_copy
from bridge.flow.ports import CopyRefused

CONFIRM_S = 30.0
PROBE_KEY = "amigo-bridge.probe"


class BrokerCopier:
    """The copier port. What a lost connection leaves open is published again: a copy may arrive twice, never not."""

    def __init__(self) -> None:
        self._channel: Underlay | None = None
        self._generation: Generation | None = None
        self._attached = asyncio.Event()
        self._detached = asyncio.Event()
        self._in_flight: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on."""
        _, self._channel = await open_channel(connection, generation, "copying channel")
        self._generation = generation
        self._detached.clear()
        self._attached.set()

    def detach(self) -> None:
        """The generation has ended."""
        self._attached.clear()
        self._detached.set()
        self._channel = self._generation = None

    async def copy(self, copy: Copy) -> None:
        """Return when the copy is confirmed; see the port. Copies of one message id go one after the other."""
        message_id = str(copy.properties.get("message_id") or "")
        if not message_id:
            return await self._until_told(copy)
        lock = self._in_flight[message_id]
        async with lock:
            await self._until_told(copy)
        if not lock.locked():
            self._in_flight.pop(message_id, None)
        return None

    async def probe(self) -> None:
        """A publish that reaches no queue: it is confirmed if the broker still takes anything from this connection."""
        if self._channel is not None:
            await limited(
                self._channel.basic_publish(b"", routing_key=PROBE_KEY, mandatory=False), "probing", CONFIRM_S
            )

    async def _until_told(self, copy: Copy) -> None:
        while True:
            await self._attached.wait()
            channel, generation = self._channel, self._generation
            if channel is None or generation is None:
                continue
            try:
                return await self._publish(channel, copy)
            except BrokerTrouble as trouble:
                generation.end(str(trouble))
                await self._detached.wait()

    async def _publish(self, channel: Underlay, copy: Copy) -> None:
        try:
            published = channel.basic_publish(
                copy.body,
                exchange=copy.exchange,
                routing_key=copy.routing_key,
                properties=of_copy(copy.properties, copy.headers),
                mandatory=True,
            )
            await limited(self._told(published), f"copying to {copy.exchange or copy.routing_key}", CONFIRM_S)
        except (TypeError, ValueError, OverflowError) as error:
            raise CopyRefused(f"it cannot be written as AMQP: {error}") from None

    @staticmethod
    async def _told(published: Coroutine[Any, Any, object]) -> None:
        try:
            await published
        except PublishError as error:
            raise CopyRefused("no queue takes it") from error
        except DeliveryError as error:
            raise CopyRefused(f"the broker refused it: {describe(error)}") from error
