"""Hundreds of streams at once, and the broker fails in the middle: every line once or again under its id, in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Complete, Gate, Piece, Stream
from tests.support.oracle import assert_in_order
from tests.support.process import BridgeProcess
from tests.support.proxy import Proxy
from tests.support.rabbit import AGENT, DEAD, EVENTS, QUORUM, ReceivedMessage
from tests.support.waiting import until
from tests.support.world import World

STREAMS = 200
STAGES = 50
STAGE_S = 0.03
LINES = STREAMS * (STAGES + 2)


async def begin(world: World) -> list[str]:
    """All streams speak in step, a piece a stage, for some seconds."""
    gates = [Gate() for _ in range(STAGES)]
    steps = [step for number, gate in enumerate(gates) for step in (gate, Piece(f"{number} "))]
    ids = [f"load{number}" for number in range(STREAMS)]
    for one in ids:
        world.fake.script(text_of(one), Stream((*steps, Complete())))
    await world.publish(*[event(one, user_id=f"user-{one}") for one in ids])
    await world.streaming(*ids, bound_s=40)

    async def speak() -> None:
        for gate in gates:
            gate.open()
            await asyncio.sleep(STAGE_S)

    world.background.append(asyncio.create_task(speak()))
    await until(lambda: len(world.records) > LINES / 10, "the streams are in their middle", 30)
    return ids


async def assert_nothing_missing(world: World, ids: list[str]) -> None:
    for told in await world.endings(*ids, bound_s=90):
        (talk,) = world.fake.truth.talks_of(text_of(told.event_id))
        assert (told.bodies, told.voids, told.recovered) == (talk.sent, [], False)
        assert_in_order(world.records, told.event_id)
    assert len(world.fake.truth.talks) == STREAMS
    await until(lambda: world.counts(EVENTS, (0, 0)), "everything is settled", 30)
    assert await world.rabbit.ready_count(DEAD) == 0


async def restart(world: World, _: BridgeProcess) -> None:
    await asyncio.to_thread(world.rabbit.broker.node.stop)
    await asyncio.to_thread(world.rabbit.broker.start)


async def close_all_connections(world: World, bridge: BridgeProcess) -> None:
    for _ in range(3):
        before = connections(bridge)
        await asyncio.to_thread(world.rabbit.broker.cut_connections, world.rabbit.vhost)
        await until(partial(connected_beyond, bridge, before), "it is connected again", 30)


def connected_beyond(bridge: BridgeProcess, before: int) -> bool:
    return connections(bridge) > before


def connections(bridge: BridgeProcess) -> int:
    """How often it has connected so far."""
    return bridge.log.count('"broker.connected"')


async def memory_alarm(world: World, bridge: BridgeProcess) -> None:
    """The broker takes nothing until the API has said everything."""
    node = world.rabbit.broker.node
    await asyncio.to_thread(node.ctl, "set_vm_memory_high_watermark", "0")
    body = await bridge.not_ready(30)
    assert "publisher" in [row["name"] for row in body["components"] if not row["ok"]]
    await until(lambda: all(task.done() for task in world.background), "all is said", 30)
    await asyncio.to_thread(node.ctl, "set_vm_memory_high_watermark", "0.4")


@pytest.mark.parametrize("fault", [restart, close_all_connections, memory_alarm])
async def test_a_broker_that_fails_under_load_costs_nothing(
    rough_world: World, fault: Callable[[World, BridgeProcess], Awaitable[None]]
) -> None:
    world = rough_world
    bridge = await world.launch(amqp={"inbound": {"prefetch": STREAMS}})
    ids = await begin(world)
    await fault(world, bridge)
    await bridge.ready(60)
    await assert_nothing_missing(world, ids)


@asynccontextmanager
async def slow_link(world: World) -> AsyncIterator[str]:
    async with Proxy(world.rabbit.broker.node.port, delay_s=0.05) as proxy:
        yield proxy.url(world.rabbit.vhost)


async def test_a_slow_broker_holds_the_streams_back_and_loses_nothing(world: World) -> None:
    """Each piece of the connection takes 50 ms: confirms come late, and many at a time."""
    async with slow_link(world) as url:
        bridge = await world.launch(amqp={"url": url, "inbound": {"prefetch": STREAMS}})
        await assert_nothing_missing(world, await begin(world))
        assert len(world.records) == LINES, "nothing was published twice"
        await bridge.stop()


async def test_a_queue_deleted_while_publishing_to_a_required_outbound_costs_repeats_and_nothing_else(
    world: World,
) -> None:
    """What is returned is published again with its id until somebody is bound."""
    await world.rabbit.make_queue("audit", QUORUM, "#", exchange="audit")
    outbounds = [{"exchange": AGENT}, {"exchange": "audit", "required": True}]
    bridge = await world.launch(
        amqp={"inbound": {"prefetch": STREAMS}, "outbound": outbounds},
        retry={"attempts": 100, "first": "200ms", "longest": "500ms"},
    )
    ids = await begin(world)
    await asyncio.to_thread(unbind, world)
    await until(lambda: '"publish.refused"' in bridge.log, "lines come back")
    before: list[ReceivedMessage] = []

    async def emptied() -> bool:
        before.extend(await world.rabbit.take("audit"))
        return await world.counts("audit", (0, 0))

    await until(emptied, "what was routed before is taken")
    await world.rabbit.delete_queue("audit")
    await world.rabbit.make_queue("audit", QUORUM, "#", exchange="audit")
    await assert_nothing_missing(world, ids)
    audited = [record.message_id for record in [*before, *await world.rabbit.take("audit")]]
    assert set(audited) == {record.message_id for record in world.records}
    assert len(set(audited)) == LINES


def unbind(world: World) -> None:
    """So that the queue holds all that was confirmed when it is emptied and deleted."""
    with world.rabbit.channel() as channel:
        channel.queue_unbind("audit", "audit", "#")
