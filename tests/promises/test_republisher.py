"""The republisher port: it returns when the broker has the copy, and raises where the broker will not have it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.flow.ports.broker import Republisher, RepublishRefused
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.fakes import FakeRepublisher
from tests.support.proxy import Proxy
from tests.support.rabbit import DEAD
from tests.support.rig import Rig
from tests.support.waiting import stays


class World(Protocol):
    @property
    def republisher(self) -> Republisher: ...

    async def start(self) -> None: ...

    async def cut(self) -> None: ...

    async def arrived(self) -> list[bytes]: ...


class FakeWorld:
    def __init__(self) -> None:
        self.republisher = FakeRepublisher()
        self.republisher.disconnect()

    async def start(self) -> None:
        self.republisher.reconnect()

    async def cut(self) -> None:
        self.republisher.disconnect()
        await asyncio.sleep(0)
        self.republisher.reconnect()

    async def arrived(self) -> list[bytes]:
        return [copy.body for copy in self.republisher.copies]


class RealWorld:
    def __init__(self, rig: Rig, proxy: Proxy) -> None:
        self.republisher = rig.republisher
        self._rig = rig
        self._proxy = proxy

    async def start(self) -> None:
        await self._rig.start()

    async def cut(self) -> None:
        number = self._rig.generation
        self._proxy.reset()
        await self._rig.connected(number + 1)

    async def arrived(self) -> list[bytes]:
        return [record.body for record in await self._rig.rabbit.take(DEAD)]


@pytest.fixture(params=["fake", "real"])
async def world(request: pytest.FixtureRequest, broker: Broker, build: Build) -> AsyncIterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    async with Proxy(broker.node.port) as proxy:
        vhost = broker.vhost()
        rig = build(vhost=vhost, urls=(proxy.url(vhost),))
        yield RealWorld(rig, proxy)
        await rig.stop()


def dead(body: bytes, exchange: str = DEAD, **properties: str) -> RepublishedCopy:
    return RepublishedCopy(exchange, "rejected", body, properties, {"x-bridge-reason": "rejected"})


async def test_a_copy_has_arrived_when_it_returns(world: World) -> None:
    await world.start()
    for number in range(5):
        await world.republisher.copy(dead(b"%d" % number))
        assert (await world.arrived())[-1] == b"%d" % number


async def test_many_copies_at_once_all_arrive_also_those_of_one_message(world: World) -> None:
    await world.start()
    await asyncio.gather(
        *(world.republisher.copy(dead(b"%d" % number, message_id=f"m{number % 3}")) for number in range(60))
    )
    assert sorted(await world.arrived()) == sorted(b"%d" % number for number in range(60))


async def test_a_copy_waits_for_a_connection(world: World) -> None:
    waiting = asyncio.create_task(world.republisher.copy(dead(b"early")))
    await stays(lambda: not waiting.done(), "it waits", 0.05)
    await world.start()
    await asyncio.wait_for(waiting, 30)
    assert await world.arrived() == [b"early"]


async def test_a_copy_that_cannot_be_delivered_is_refused_and_the_next_one_is_not(world: World) -> None:
    await world.start()
    if isinstance(world.republisher, FakeRepublisher):
        world.republisher.refuse()
    with pytest.raises(RepublishRefused):
        await world.republisher.copy(RepublishedCopy("", "no-such-queue", b"lost", {}, {}))
    await world.republisher.copy(dead(b"fine"))
    assert await world.arrived() == [b"fine"]


async def test_copies_survive_a_lost_connection(world: World) -> None:
    await world.start()
    copies = [asyncio.create_task(world.republisher.copy(dead(b"%d" % number * 50_000))) for number in range(30)]
    await asyncio.sleep(0)
    await world.cut()
    await asyncio.wait_for(asyncio.gather(*copies), 30)
    assert set(await world.arrived()) >= {b"%d" % number * 50_000 for number in range(30)}


async def test_a_copy_that_is_cancelled_leaves_the_others_alone(world: World) -> None:
    await world.start()
    copies = [asyncio.create_task(world.republisher.copy(dead(b"%d" % number, message_id="m"))) for number in range(20)]
    await asyncio.sleep(0)
    for copy in copies[::2]:
        copy.cancel()
    await asyncio.wait_for(asyncio.gather(*copies, return_exceptions=True), 30)
    await world.republisher.copy(dead(b"last", message_id="m"))
    arrived = await world.arrived()
    assert set(arrived) >= {b"%d" % number for number in range(1, 20, 2)} | {b"last"}
