"""Two replicas at a queue with a single active consumer: the second stands by, is ready, and takes over."""

import asyncio
from typing import Any

import pytest

from bridge.edges.rabbitmq.watchdog import WatchLimits
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import EVENTS, EVENTS_ARGUMENTS, Outgoing
from tests.support.rig import Rig, inbound, is_acked
from tests.support.waiting import stays, until

ALONE = {**EVENTS_ARGUMENTS, "x-single-active-consumer": True}


# The watch looks ten times as often, and loses patience ten times as soon.
HASTY = WatchLimits(every_s=0.4, stuck_s=0.8, silent_s=1.2, single_silent_s=4.0)


def numbered(count: int, start: int = 0) -> list[Outgoing]:
    return [Outgoing(b"%d" % number) for number in range(start, start + count)]


async def both(build: Build, *, told: bool, prefetch: int = 2) -> tuple[Rig, Rig]:
    """The active one and the one that stands by; where they are not `told`, the queue is somebody else's doing."""
    options: dict[str, Any]
    if told:
        options = {"inbounds": (inbound(prefetch=prefetch, single_active=True),), "watch": HASTY}
        active = await build(**options).start()
    else:
        options = {"inbounds": (inbound(prefetch=prefetch),), "may_declare": False, "watch": HASTY}
        await build().rabbit.declare(ALONE)
        active = await build(**options).start()
    return active, await build(**options).start()


@pytest.mark.parametrize("told", [True, False], ids=["configured", "found"])
async def test_one_that_stands_by_is_ready_and_idle_and_takes_over(build: Build, told: bool) -> None:
    """The active one is full and messages are ready: whoever is only counted would look stuck."""
    active, standby = await both(build, told=told)
    await active.rabbit.publish(*numbered(20))
    await until(lambda: len(active.deliveries) + len(standby.deliveries) >= 2, "one of them is served")
    if standby.deliveries:
        active, standby = standby, active  # not told that it is single active, one is renewed and the other is next
    before = standby.generation
    tags = {queue_consumer.tag for queue_consumer in standby.consumer.queue_consumers}
    await until(
        lambda: {queue_consumer.tag for queue_consumer in standby.consumer.queue_consumers} - tags,
        "it is renewed at least once",
        20,
    )
    await stays(lambda: standby.supervisor.trouble is None and standby.consumer.consuming, "it is ready", 3)
    assert standby.generation == before
    assert standby.deliveries == []
    assert len(active.deliveries) == 2
    await active.stop()
    for number in range(20):
        await standby.delivered(number + 1)
        assert standby.deliveries[number].ack()
    assert {delivery.incoming.body for delivery in standby.deliveries} == {b"%d" % number for number in range(20)}
    assert standby.generation == before
    assert standby.log.of("broker.lost") == []


async def test_the_active_one_keeps_the_queue_while_it_holds_something(build: Build) -> None:
    """A renewal would pass the queue on, and what the other gets would overtake what this one still holds."""
    active, standby = await both(build, told=True, prefetch=10)
    await active.rabbit.publish(*numbered(1))
    await active.delivered(1)
    (queue_consumer,), tags = (
        active.consumer.queue_consumers,
        {queue_consumer.tag for queue_consumer in standby.consumer.queue_consumers},
    )
    await until(
        lambda: {queue_consumer.tag for queue_consumer in standby.consumer.queue_consumers} - tags,
        "so long that the other is renewed",
        20,
    )
    await stays(
        lambda: not standby.deliveries and active.consumer.queue_consumers == [queue_consumer], "it keeps the queue", 1
    )
    await active.rabbit.publish(*numbered(5, start=1))
    await active.delivered(6)
    assert standby.deliveries == []


async def test_a_consumer_that_is_really_dead_is_found_also_where_it_could_stand_by(build: Build) -> None:
    """docs/reliability.md, B12: the queue was declared again, knows neither of the two, and tells them nothing."""
    active, standby = await both(build, told=True)
    await active.rabbit.publish(*numbered(1))
    assert (await active.delivered(1))[0].ack()
    await asyncio.to_thread(active.rabbit.replace_now, EVENTS, ALONE)
    await active.rabbit.publish(*numbered(1, start=1))
    await until(lambda: b"1" in (*active.bodies, *standby.bodies), "one of them consumes again", 30)


async def test_the_one_that_was_cut_off_is_the_next_ones_standby(build: Build, broker: Broker) -> None:
    active, standby = await both(build, told=True)
    await active.rabbit.publish(*numbered(6))
    await active.delivered(2)
    await asyncio.to_thread(broker.cut_connections, active.vhost)
    await asyncio.gather(active.connected(2), standby.connected(2))

    def taken() -> set[bytes]:
        for delivery in (*active.deliveries, *standby.deliveries):
            if delivery.alive and not is_acked(delivery):
                delivery.ack()
        return {*active.bodies, *standby.bodies}

    await until(lambda: len(taken()) == 6, "every event is delivered", 30)
