"""The watch over queues: one that cannot be looked at takes the others' watch with it neither way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Channel

from bridge.edges.rabbitmq.connection import connection_to
from bridge.edges.rabbitmq.consuming.consumer import Consumer, QueueConsumer
from bridge.edges.rabbitmq.generation import Generation
from bridge.edges.rabbitmq.watchdog import Watchdog, WatchLimits
from tests.edges.conftest import Build
from tests.support.rabbit import EVENTS
from tests.support.rig import Rig, inbound
from tests.support.waiting import until

ODD = "odd"
LIMITS = WatchLimits(every_s=0.01, silent_s=0.0, single_silent_s=0.0)


class WatchedConsumer:
    """Consumers of two queues, the odd one first; each that is silent is renewed, and that is counted."""

    def __init__(self, real: QueueConsumer) -> None:
        self.renewals: list[str] = []
        odd = QueueConsumer(
            inbound(ODD), 1, "odd", real.channel, lambda: None, real.heard_s, lambda _: None, lambda *_: None
        )
        self.queue_consumers = [odd, real]

    async def renew(self, _connection: object, _generation: Generation, queue_consumer: QueueConsumer) -> None:
        self.renewals.append(queue_consumer.inbound.queue)


class NarrowConnection:
    """A real connection whose user may not look at the odd queue: RabbitMQ before 4 lets everybody look."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.channels = 0

    def channel(self) -> Any:
        self.channels += 1
        return NarrowChannel(self.real.channel())


class NarrowChannel:
    def __init__(self, real: Any) -> None:
        self.real = real

    async def initialize(self) -> None:
        await self.real.initialize()

    async def get_underlay_channel(self) -> "NarrowChannel":
        self.underlay = await self.real.get_underlay_channel()
        return self

    async def queue_declare(self, queue: str, *, passive: bool) -> Any:
        if queue != ODD:
            return await self.underlay.queue_declare(queue, passive=passive)
        await self.underlay.close()
        raise ChannelAccessRefused("ACCESS_REFUSED", Channel.Close(403, "ACCESS_REFUSED", 50, 10))


@asynccontextmanager
async def watching(rig: Rig, *, narrow: bool) -> AsyncIterator[tuple[WatchedConsumer, Generation, NarrowConnection]]:
    """A watchdog of its own over the rig's queue and the odd one."""
    consumer, generation = WatchedConsumer(rig.consumer.queue_consumers[0]), Generation(1)
    connection = await connection_to(rig.rabbit.url, "the watched one")
    narrowed = NarrowConnection(connection)
    watchdog = Watchdog(
        cast(Consumer, consumer),
        rig.publisher,
        rig.republisher,
        rig.supervisor.destinations,
        generation,
        LIMITS,
        rig.log,
    )
    task = asyncio.create_task(watchdog.consuming(cast(Any, narrowed) if narrow else connection))
    try:
        yield consumer, generation, narrowed
    finally:
        task.cancel()
        await asyncio.wait([task])
        await connection.closed_in_order()


@pytest.mark.parametrize("narrow", [False, True], ids=["missing", "refused"])
async def test_a_queue_that_cannot_be_looked_at_leaves_the_others_watched(build: Build, *, narrow: bool) -> None:
    rig = await build(watch=WatchLimits(every_s=3600.0)).start()
    async with watching(rig, narrow=narrow) as (consumer, generation, _):
        await until(lambda: consumer.renewals.count(EVENTS) >= 5, "the other queue is watched on")
        assert generation.alive
        assert (ODD in consumer.renewals) is not narrow


async def test_a_refusal_is_said_once_and_costs_a_channel_now_and_then(build: Build) -> None:
    rig = await build(watch=WatchLimits(every_s=3600.0)).start()
    async with watching(rig, narrow=True) as (consumer, _, connection):
        await until(lambda: connection.channels >= 4, "it is asked again")
        assert consumer.renewals.count(EVENTS) >= 15
        assert [fields["queue"] for fields in rig.log.of("watchdog.refused")] == [ODD]
