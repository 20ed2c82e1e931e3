"""Dead letters and delayed copies: published mandatory, on a channel of their own, and confirmed one by one."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aiormq import Channel as Underlay
from aiormq.exceptions import DeliveryError, PublishError

from bridge.core.dead_letter import Copy
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, describe, open_channel, patiently
from bridge.edges.rabbitmq.properties import of_copy
from bridge.flow.ports import CopyRefused

CONFIRM_S = 30.0
PROBE_KEY = "amigo-bridge.probe"


@dataclass(slots=True, eq=False)
class Turn:
    """Whose turn it is among the copies of one message id, and how many there are."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    copies: int = 0


class BrokerCopier:
    """The copier port. What a lost connection leaves open is published again: a copy may arrive twice, never not."""

    def __init__(self, blocked: Callable[[], bool]) -> None:
        """`blocked` tells whether the broker has said that it takes nothing for now."""
        self._blocked = blocked
        self._channel: Underlay | None = None
        self._generation: Generation | None = None
        self._attached = asyncio.Event()
        self._detached = asyncio.Event()
        self._turns: dict[str, Turn] = {}

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on."""
        _, self._channel, _ = await open_channel(connection, generation, "copying channel")
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
        async with self._turn(message_id):
            return await self._until_told(copy)

    @asynccontextmanager
    async def _turn(self, message_id: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(message_id, Turn())
        turn.copies += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.copies -= 1
            if not turn.copies:
                del self._turns[message_id]

    async def probe(self) -> None:
        """A publish that reaches no queue: it is confirmed if the broker still takes anything from this connection."""
        if self._channel is not None:
            await self._confirmed(self._channel.basic_publish(b"", routing_key=PROBE_KEY, mandatory=False), "probing")

    async def _confirmed(self, published: Coroutine[Any, Any, object], what: str) -> None:
        """Wait for a confirm, for CONFIRM_S at the most, not counting any time in which the broker is blocked."""
        await patiently(published, what, CONFIRM_S, self._blocked)

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
                while self._generation is generation:
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
            await self._confirmed(self._told(published), f"copying to {copy.exchange or copy.routing_key}")
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise CopyRefused(f"it cannot be written as AMQP: {error}") from None

    @staticmethod
    async def _told(published: Coroutine[Any, Any, object]) -> None:
        try:
            await published
        except PublishError as error:
            raise CopyRefused("no queue takes it") from error
        except DeliveryError as error:
            raise CopyRefused(f"the broker refused it: {describe(error)}") from error
