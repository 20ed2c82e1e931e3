"""A replica that has lost the broker for good: the other one gets its events, also the one whose answer it had read."""

import asyncio

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Gate, answer
from tests.support.nodes import shared_postgres
from tests.support.proxy import Proxy
from tests.support.rabbit import DEAD
from tests.support.world import World


async def test_a_replica_without_its_broker_leaves_its_events_to_the_other(
    world: World, request: pytest.FixtureRequest
) -> None:
    server = await asyncio.to_thread(shared_postgres, request.config)
    ledger = {"url": server.url(await server.database())}
    gate = Gate()
    world.fake.script(text_of("streams"), answer("some ", "words", before_end=(gate,)))
    async with Proxy(world.rabbit.broker.node.port) as proxy:
        first = await world.launch(amqp={"url": proxy.url(world.rabbit.vhost)}, ledger=ledger)
        await world.publish(event("streams", user_id="ann"), event("waits", user_id="ann"))
        await world.streaming("streams")
    await first.not_ready(20)
    await world.launch(ledger=ledger)
    gate.open()
    for told in await world.endings("streams", "waits", bound_s=90):
        assert told.ending.type == "interaction-complete"
    assert first.running
    for one in ("streams", "waits"):
        assert len(world.fake.truth.committed(text_of(one))) == 1
        assert len(world.fake.truth.talks_of(text_of(one))) == 1
    assert await world.rabbit.ready_is(DEAD, 0)
    let_go = [line["event_id"] for line in first.log_lines() if line["event"] == "event.let_go"]
    assert sorted(let_go) == ["streams", "waits"]
