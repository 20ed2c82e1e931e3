"""What the commands `publish` and `tail` do at the broker, and how they fail."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bridge.edges.rabbitmq import desk
from bridge.edges.rabbitmq.generation import BrokerTrouble
from deploy.local.node import free_port
from tests.system.broker import Broker
from tests.system.rabbit import AGENT, EVENTS, QUORUM, Outgoing, Rabbit
from tests.system.waiting import until


@pytest.fixture
def rabbit(broker: Broker) -> Iterator[Rabbit]:
    vhost = broker.vhost()
    yield Rabbit(broker, vhost)
    broker.give_back(vhost)


async def test_events_are_published_persistent_and_confirmed(rabbit: Rabbit) -> None:
    await rabbit.make_queue(EVENTS, QUORUM, "#", exchange=EVENTS)
    events = [("m1", b'{"id": 1}'), (None, b"\xff")]
    await desk.publish(rabbit.url, EVENTS, "some.key", events, "application/json")
    first, second = await rabbit.take(EVENTS)
    assert (first.body, first.message_id, first.routing_key) == (b'{"id": 1}', "m1", "some.key")
    assert (first.properties.delivery_mode, first.properties.content_type) == (2, "application/json")
    assert second.body == b"\xff"


async def test_an_event_that_nobody_takes_is_a_trouble(rabbit: Rabbit) -> None:
    await rabbit.make_queue("other", QUORUM, "other.#", exchange=EVENTS)
    with pytest.raises(BrokerTrouble, match="queue bound"):
        await desk.publish(rabbit.url, EVENTS, "some.key", [(None, b"{}")], "application/json")
    with pytest.raises(BrokerTrouble, match="no-such-exchange"):
        await desk.publish(rabbit.url, "no-such-exchange", "key", [(None, b"{}")], "application/json")


@pytest.mark.parametrize("name", ["x" * 300, "half a pair \ud800"])
async def test_a_name_that_amqp_cannot_carry_is_a_trouble(rabbit: Rabbit, name: str) -> None:
    for exchange, key, content_type in ((name, "key", "a/b"), (EVENTS, name, "a/b"), (EVENTS, "key", name)):
        with pytest.raises(BrokerTrouble, match="cannot be sent"):
            await desk.publish(rabbit.url, exchange, key, [(None, b"{}")], content_type)
    with pytest.raises(BrokerTrouble, match="cannot be sent"):
        await anext(desk.tail(rabbit.url, [name], ["#"]))


@pytest.mark.parametrize("who", ["guest:wrong-canary", "guest:guest"])
async def test_no_broker_is_a_trouble_that_shows_no_password(broker: Broker, who: str) -> None:
    port = broker.node.port if "wrong" in who else free_port()
    with pytest.raises(BrokerTrouble) as trouble:
        await desk.publish(f"amqp://{who}@127.0.0.1:{port}/", EVENTS, "key", [(None, b"{}")], "application/json")
    assert who.partition(":")[2] not in str(trouble.value).replace("guest'", "")


async def test_tail_shows_what_comes_from_every_exchange_and_leaves_nothing(rabbit: Rabbit) -> None:
    for exchange in (AGENT, "audit"):
        await rabbit.make_queue(exchange, QUORUM, exchange=exchange)
    seen: list[Mapping[str, Any]] = []

    async def watch() -> None:
        async for message in desk.tail(rabbit.url, [AGENT, "audit"], ["text.#", "*.api.*"]):
            seen.append(message)

    watching = asyncio.create_task(watch())
    await until(lambda: seen, "it listens")
    queue = seen[0]["listening"]
    for exchange, key in ((AGENT, "text.sms.new-message"), ("audit", "async.api.error")):
        await rabbit.publish(Outgoing(key.encode(), routing_key=key, exchange=exchange))
    await until(lambda: len(seen) == 3, "both are shown")
    assert [(one["exchange"], one["body"]) for one in seen[1:]] == [
        (AGENT, b"text.sms.new-message"),
        ("audit", b"async.api.error"),
    ]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    async def gone() -> bool:
        return await rabbit.depth(queue) is None

    await until(gone, "the queue is gone")


async def test_tail_ends_with_a_trouble_when_the_connection_does(rabbit: Rabbit) -> None:
    await rabbit.make_queue(AGENT, QUORUM)
    listening = asyncio.Event()

    async def watch() -> None:
        async for _ in desk.tail(rabbit.url, [AGENT], ["#"]):
            listening.set()

    watching = asyncio.create_task(watch())
    await listening.wait()
    await asyncio.to_thread(rabbit.broker.cut_connections, rabbit.vhost)
    with pytest.raises(BrokerTrouble, match="lost"):
        await asyncio.wait_for(watching, 10)


async def test_tail_of_an_exchange_that_does_not_exist_is_a_trouble(rabbit: Rabbit) -> None:
    with pytest.raises(BrokerTrouble, match="no-such"):
        async for _ in desk.tail(rabbit.url, ["no-such"], ["#"]):
            pass
