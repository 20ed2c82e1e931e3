"""The broker restarts, dies, freezes, starves, loses a queue: nothing is lost or repeated, and /readyz says so."""

import asyncio

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Complete, Gate, Piece, Stream, answer
from tests.support.oracle import assert_in_order
from tests.support.rabbit import DEAD, EVENTS, EVENTS_ARGUMENTS
from tests.support.waiting import stays, until
from tests.support.world import World

NOTICE_S = 30


async def open_streams(world: World, ids: list[str]) -> tuple[Gate, Gate]:
    """Streams that stand in their middle, behind two gates."""
    first, second = Gate(), Gate()
    for one in ids:
        steps = (Piece("before "), first, Piece("during "), Piece("and "), second, Piece("after"), Complete())
        world.fake.script(text_of(one), Stream(steps))
    await world.publish(*[event(one, channel="sms") for one in ids])
    await world.streaming(*ids)
    return first, second


async def assert_whole(world: World, ids: list[str]) -> None:
    """Every line of the one interaction of each event, in order, once repeats are dropped."""
    for told in await world.endings(*ids, bound_s=60):
        (talk,) = world.fake.truth.talks_of(text_of(told.event_id))
        assert told.bodies == talk.sent
        assert told.voids == []
        assert not told.recovered
        assert_in_order(world.records, told.event_id)
        assert len(world.fake.truth.committed(text_of(told.event_id))) == 1
    await until(lambda: world.counts(EVENTS, (0, 0)), "everything is settled", 30)
    assert await world.rabbit.ready_count(DEAD) == 0


@pytest.mark.parametrize("violently", [False, True])
async def test_a_broker_restart_in_the_middle_of_streams_loses_nothing(rough_world: World, violently: bool) -> None:
    world = rough_world
    bridge = await world.launch()
    ids = [f"r{number}" for number in range(20)]
    first, second = await open_streams(world, ids)
    node = world.rabbit.broker.node
    await asyncio.to_thread(node.kill if violently else node.stop)
    body = await bridge.not_ready()
    assert any(not row["ok"] and row["reason"] for row in body["components"])
    first.open()
    assert (await bridge.get("/livez") or (0, ""))[0] == 200
    await asyncio.to_thread(world.rabbit.broker.start)
    await bridge.ready(40)
    second.open()
    await assert_whole(world, ids)


async def test_cut_connections_in_the_middle_of_streams_lose_nothing(rough_world: World) -> None:
    world = rough_world
    bridge = await world.launch()
    ids = [f"c{number}" for number in range(20)]
    first, second = await open_streams(world, ids)
    broker = world.rabbit.broker
    await asyncio.to_thread(broker.cut_connections, world.rabbit.vhost)
    first.open()
    await bridge.ready(30)
    await asyncio.to_thread(broker.cut_connections, world.rabbit.vhost)
    second.open()
    await assert_whole(world, ids)


async def test_a_frozen_broker_is_noticed_and_survived(rough_world: World) -> None:
    world = rough_world
    bridge = await world.launch()
    ids = [f"z{number}" for number in range(5)]
    first, second = await open_streams(world, ids)
    node = world.rabbit.broker.node
    node.pause()
    try:
        first.open()
        await bridge.not_ready(NOTICE_S)
        assert (await bridge.get("/livez") or (0, ""))[0] == 200
        second.open()
        await until(lambda: len(world.fake.truth.committed()) == 5, "the streams are read to their ends")
    finally:
        node.resume()
    await bridge.ready(60)
    await assert_whole(world, ids)


async def test_a_memory_alarm_is_not_ready_and_ends_well(rough_world: World) -> None:
    world = rough_world
    bridge = await world.launch()
    ids = [f"m{number}" for number in range(5)]
    first, second = await open_streams(world, ids)
    node = world.rabbit.broker.node
    await asyncio.to_thread(node.ctl, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        first.open()
        body = await bridge.not_ready(NOTICE_S)
        assert any(not row["ok"] for row in body["components"])
        second.open()
        await stays(lambda: not world.ended, "nothing ends while the broker takes nothing", 0.5)
    finally:
        await asyncio.to_thread(node.ctl, "set_vm_memory_high_watermark", "absolute", "4294967296")
    await bridge.ready(30)
    await assert_whole(world, ids)


@pytest.mark.parametrize("trouble", ["gone", "frozen", "starved"])
async def test_a_stop_while_the_broker_is_in_trouble_ends_in_time(rough_world: World, trouble: str) -> None:
    """Lines wait for a broker that does not take them: the grace is kept, the status is 0, nothing is lost."""
    world = rough_world
    bridge = await world.launch(shutdown={"grace": "2s"})
    ids = [f"s{number}" for number in range(5)]
    first, second = await open_streams(world, ids)
    node = world.rabbit.broker.node
    hurt, heal = {
        "gone": (node.kill, world.rabbit.broker.start),
        "frozen": (node.pause, node.resume),
        "starved": (
            lambda: node.ctl("set_vm_memory_high_watermark", "absolute", "1"),
            lambda: node.ctl("set_vm_memory_high_watermark", "absolute", "4294967296"),
        ),
    }[trouble]
    await asyncio.to_thread(hurt)
    try:
        first.open()
        second.open()
        await until(lambda: len(world.fake.truth.committed()) == 5, "the API has answered")
        assert await bridge.stop(20) == 0
    finally:
        await asyncio.to_thread(heal)
    bridge.start()
    await bridge.ready(60)
    for told in await world.endings(*ids, bound_s=60):
        assert len(world.fake.truth.committed(text_of(told.event_id))) == 1
        assert told.full_message() == "before during and after"
    assert await world.rabbit.ready_count(DEAD) == 0


async def test_a_deleted_queue_is_noticed_and_not_made_anew(world: World) -> None:
    bridge = await world.launch()
    await world.publish(event("before"))
    await world.ending("before")
    await world.rabbit.delete_queue(EVENTS)
    body = await bridge.not_ready(NOTICE_S)
    assert any(not row["ok"] for row in body["components"])
    await stays(lambda: not_there(world), "nobody declares it again", 3)
    await world.rabbit.declare()
    await bridge.ready(60)
    await world.publish(event("after"))
    await world.ending("after")


async def not_there(world: World) -> bool:
    return await world.rabbit.depth(EVENTS) is None


async def test_a_queue_that_is_replaced_at_once_does_not_leave_a_dead_consumer(world: World) -> None:
    """The broker sends no basic.cancel here: readiness falls or consuming goes on, and it does go on in the end."""
    bridge = await world.launch()
    await asyncio.to_thread(world.rabbit.replace_now, EVENTS, EVENTS_ARGUMENTS)
    await world.publish(event("anew"))

    async def told_or_consumed() -> bool:
        return bool(world.ended) or await bridge.is_not_ready()

    await until(told_or_consumed, "the consumer lives, or /readyz says that it does not", NOTICE_S, step_s=0.05)
    await world.ending("anew", bound_s=60)


async def test_a_subscribers_queue_that_refuses_holds_the_event_and_keeps_the_order(world: World) -> None:
    """A nacked line is published again with the same id; sorted by sequence nothing is missing."""
    await world.launch(retry={"attempts": 100, "first": "200ms", "longest": "500ms"})
    await world.rabbit.make_queue("full", {"x-max-length": 1, "x-overflow": "reject-publish"}, "#.new-message")
    await world.rabbit.put("full", b"fills it")
    world.fake.script(text_of("nacked"), answer("a", "b", "c"))
    await world.publish(event("nacked"))
    await until(lambda: len(world.records) >= 2, "lines are refused")
    await world.rabbit.delete_queue("full")
    told = await world.ending("nacked", bound_s=40)
    in_sequence = sorted(told.pieces, key=lambda record: record.headers["sequence"])
    assert [record.body for record in in_sequence] == world.fake.truth.talks_of(text_of("nacked"))[0].sent
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled", 30)
