"""Asking the broker whether something exists and may be published to, without leaving a trace.

A message in a transaction reaches nobody before the commit, and there is none: the broker checks the right, the
exchange and the key as the message comes in, and forgets it with the rollback.

A channel remembers for a minute what its user was permitted to do (RabbitMQ 3.10), so the next questions need another.
"""

from collections.abc import Callable, Coroutine

from aio_pika.abc import AbstractConnection
from aiormq import Channel as Underlay

from bridge.core.broker.topology import Destination
from bridge.edges.rabbitmq.generation import BrokerTrouble, TroubleKind, limited, patiently

LASTING = frozenset({TroubleKind.ACCESS, TroubleKind.NOT_FOUND, TroubleKind.OTHERWISE})


class Inquiry:
    """One generation's questions, on a channel of their own, which a refusal closes and nothing else with it.

    `excused` tells when the broker need not answer: while it takes nothing from this connection.
    """

    def __init__(self, connection: AbstractConnection, answer_s: float, excused: Callable[[], bool]) -> None:
        self._connection = connection
        self._answer_s = answer_s
        self._excused = excused
        self._channel: Underlay | None = None

    async def exchange(self, destination: Destination) -> BrokerTrouble | None:
        """The broker's refusal, where it would not take a message there. Raises BrokerTrouble where it does not say."""
        exchange, key = destination.exchange, destination.key
        if key is None:
            return await self._asked(self._looked_for(exchange), f"looking for exchange {exchange}")
        return await self._asked(self._published(exchange, key), f"publishing {key} to {exchange}")

    async def queue(self, name: str) -> BrokerTrouble | None:
        """The broker's refusal, where there is no such queue. Raises as `exchange` does."""
        return await self._asked(self._queue_looked_for(name), f"looking for queue {name}")

    async def close(self) -> None:
        """Be done with the channel; the next question opens another. Raises BrokerTrouble."""
        if self._channel is not None:
            closing, self._channel = self._closed(self._channel), None
            await patiently(closing, "closing the asking channel", self._answer_s, self._excused)

    async def _closed(self, channel: Underlay) -> None:
        await channel.close()

    async def _asked(self, question: Coroutine[None, None, None], what: str) -> BrokerTrouble | None:
        try:
            await patiently(question, what, self._answer_s, self._excused)
        except BrokerTrouble as trouble:
            if trouble.kind not in LASTING:
                raise
            self._channel = None
            return trouble
        return None

    async def _published(self, exchange: str, key: str) -> None:
        channel = await self._opened()
        await channel.basic_publish(b"", exchange=exchange, routing_key=key, wait=False)
        await channel.tx_rollback()

    async def _looked_for(self, exchange: str) -> None:
        await (await self._opened()).exchange_declare(exchange, passive=True)

    async def _queue_looked_for(self, queue: str) -> None:
        await (await self._opened()).queue_declare(queue, passive=True)

    async def _opened(self) -> Underlay:
        if self._channel is None:
            channel = self._connection.channel(publisher_confirms=False)
            await limited(channel.initialize(), "opening the asking channel")
            underlay = await channel.get_underlay_channel()
            if not isinstance(underlay, Underlay):
                raise BrokerTrouble(
                    f"the asking channel is of an unknown kind: {type(underlay).__name__}", permanent=True
                )
            await underlay.tx_select()
            self._channel = underlay
        return self._channel
