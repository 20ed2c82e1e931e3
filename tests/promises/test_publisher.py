"""The publisher port. Another implementation is one more line in PUBLISHERS (tests/support/rig.py)."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import groupby

import pytest

from bridge.core.answer.outbound_message import OutboundMessage
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.rig import PUBLISHERS, Receipts, outgoing
from tests.support.waiting import stays

from .publishing import AUDIT, DEAF, EXCHANGES, FULL, HEARD, FakeWorld, RealWorld, World


@pytest.fixture(params=["fake", *PUBLISHERS])
async def world(request: pytest.FixtureRequest, broker: Broker, build: Build) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakeWorld()
        yield fake
        await fake.stop()
        return
    async with Proxy(broker.node.port) as proxy:
        real = await RealWorld.made(broker, build, proxy, request.param)
        yield real
        await real.stop()


def message(name: str, outbound: int = HEARD, body: bytes = b"{}", *, mandatory: bool = True) -> OutboundMessage:
    return outgoing(name, body, outbound=outbound, exchange=EXCHANGES[outbound], mandatory=mandatory)


def without_repeats(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


async def test_each_message_is_confirmed_once_and_arrives(world: World) -> None:
    await world.start()
    receipts = Receipts()
    sent = [message(f"m{number}", body=b"%d" % number) for number in range(50)]
    for each in sent:
        world.publisher.publish([each], receipts)
    await receipts.all_told(50)
    assert set(receipts.told) == set(sent), "the very messages, so that the delivery knows its own"
    assert (receipts.refusals, receipts.losses) == ([], [])
    assert await world.arrived(HEARD) == [(f"m{number}", b"%d" % number) for number in range(50)]


async def test_handing_over_waits_for_nothing_and_tells_nothing_at_once(world: World) -> None:
    await world.start()
    receipts = Receipts()
    world.publisher.publish([message("m")], receipts)
    assert receipts.told == []
    await receipts.all_told(1)


async def test_what_is_handed_over_without_a_connection_goes_out_with_the_next(world: World) -> None:
    receipts = Receipts()
    for number in range(20):
        world.publisher.publish([message(f"m{number}")], receipts)
    await stays(lambda: receipts.told == [] and receipts.losses == [], "nothing is told", 0.05)
    await world.start()
    await receipts.all_told(20)
    assert [name for name, _ in await world.arrived(HEARD)] == [f"m{number}" for number in range(20)]


async def test_what_is_forgotten_before_there_is_a_connection_does_not_go_out(world: World) -> None:
    receipts, others = Receipts(), Receipts()
    for number in range(20):
        world.publisher.publish([message(f"m{number}")], others if number % 2 else receipts)
    world.publisher.forget(receipts)
    await world.start()
    await others.all_told(10)
    assert [name for name, _ in await world.arrived(HEARD)] == [f"m{number}" for number in range(1, 20, 2)]
    assert receipts.told == []


async def test_order_is_kept_for_each_outbound_whatever_the_sizes(world: World) -> None:
    await world.start()
    dice, receipts = random.Random(7), Receipts()
    for number in range(300):
        body = b"x" * dice.choice((1, 100, 20_000, 300_000))
        world.publisher.publish([message(f"m{number}", dice.choice((HEARD, AUDIT)), body)], receipts)
    await receipts.all_told(300)
    both = [[int(name[1:]) for name, _ in await world.arrived(outbound)] for outbound in (HEARD, AUDIT)]
    assert both == [sorted(numbers) for numbers in both]
    assert sorted(both[0] + both[1]) == list(range(300))


async def test_a_required_message_that_nobody_would_get_is_refused(world: World) -> None:
    await world.start()
    receipts, others = Receipts(), Receipts()
    world.publisher.publish([message("heard")], others)
    world.publisher.publish([message("required", DEAF)], receipts)
    world.publisher.publish([message("not required", DEAF, mandatory=False)], others)
    await receipts.all_told(1)
    await others.all_told(2)
    assert [name for name, _ in receipts.refusals] == ["required"]
    assert receipts.refusals[0][1]
    assert sorted(others.confirmations) == ["heard", "not required"]


async def test_a_nack_is_told_to_the_receipt_that_it_belongs_to(world: World) -> None:
    await world.start()
    good, bad = Receipts(), Receipts()
    for number in range(40):
        world.publisher.publish([message(f"m{number}")], good)
        world.publisher.publish([message(f"m{number}", FULL)], bad)
    await good.all_told(40)
    await bad.all_told(40)
    assert (len(good.confirmations), good.refusals) == (40, [])
    assert {name for name, _ in bad.refusals} == {f"m{number}" for number in range(40)}


async def test_messages_of_one_id_are_told_apart(world: World) -> None:
    """docs/reliability.md, P2: returns are matched by the id; the two must not be in flight at once."""
    await world.start()
    required, others = Receipts(), Receipts()
    for _ in range(10):
        world.publisher.publish([message("same", DEAF)], required)
        world.publisher.publish([message("same", DEAF, mandatory=False)], others)
        world.publisher.publish([message("same", HEARD)], others)
    await required.all_told(10)
    await others.all_told(20)
    assert len(required.refusals) == 10
    assert len(others.confirmations) == 20


async def test_a_lost_connection_costs_repeats_and_nothing_else(world: World) -> None:
    await world.start()
    dice, receipts = random.Random(11), Receipts()
    bodies = {f"m{number}": b"%d " % number * dice.choice((1, 5_000, 50_000)) for number in range(300)}
    for count, (name, body) in enumerate(bodies.items()):
        world.publisher.publish([message(name, body=body)], receipts)
        if count in (100, 200):
            await world.cut()
    await receipts.all_told(300)
    assert without_repeats(receipts.confirmations) == receipts.confirmations, "each is confirmed once"
    got = await world.arrived(HEARD)
    assert without_repeats([name for name, _ in got]) == list(bodies), "in order, once repeats are dropped"
    assert all(body == bodies[name] for name, body in got), "equal id, equal bytes"
    repeated = {name for name, times in groupby(sorted(name for name, _ in got)) if len(list(times)) > 1}
    assert repeated <= set(receipts.losses), "only what was told to be lost is published again"


async def test_there_is_room_until_too_much_is_unconfirmed(world: World) -> None:
    receipts = Receipts()
    await world.publisher.room()
    crowd = world.crowd()
    for each in crowd:
        world.publisher.publish([each], receipts)
    waiting = False

    async def wait() -> None:
        nonlocal waiting
        waiting = True
        await world.publisher.room()
        waiting = False

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await stays(lambda: waiting, "there is no room", 0.05)
    await world.start()
    await asyncio.wait_for(task, 30)
    await receipts.all_told(len(crowd))
