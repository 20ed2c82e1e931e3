"""What the commands `publish` and `tail` do at the broker, and how they fail."""

import asyncio
import struct
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from bridge.cli.screen import Screen
from bridge.edges.rabbitmq import cli_client
from bridge.edges.rabbitmq.generation import BrokerTrouble
from deploy.local.node import free_port
from tests.support import wire
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, EVENTS, QUORUM, Outgoing, Rabbit
from tests.support.waiting import until


@pytest.fixture
def rabbit(broker: Broker) -> Iterator[Rabbit]:
    vhost = broker.vhost()
    yield Rabbit(broker, vhost)
    broker.give_back(vhost)


async def test_events_are_published_persistent_and_confirmed(rabbit: Rabbit) -> None:
    await rabbit.make_queue(EVENTS, QUORUM, "#", exchange=EVENTS)
    events = [("m1", b'{"id": 1}'), (None, b"\xff")]
    await cli_client.publish(rabbit.url, EVENTS, "some.key", events, "application/json")
    first, second = await rabbit.take(EVENTS)
    assert (first.body, first.message_id, first.routing_key) == (b'{"id": 1}', "m1", "some.key")
    assert (first.properties.delivery_mode, first.properties.content_type) == (2, "application/json")
    assert second.body == b"\xff"


async def test_an_event_that_nobody_takes_is_a_trouble(rabbit: Rabbit) -> None:
    await rabbit.make_queue("other", QUORUM, "other.#", exchange=EVENTS)
    with pytest.raises(BrokerTrouble, match="queue bound"):
        await cli_client.publish(rabbit.url, EVENTS, "some.key", [(None, b"{}")], "application/json")
    with pytest.raises(BrokerTrouble, match="no-such-exchange"):
        await cli_client.publish(rabbit.url, "no-such-exchange", "key", [(None, b"{}")], "application/json")


@pytest.mark.parametrize("name", ["x" * 300, "half a pair \ud800"])
async def test_a_name_that_amqp_cannot_carry_is_a_trouble(rabbit: Rabbit, name: str) -> None:
    for exchange, key, content_type in ((name, "key", "a/b"), (EVENTS, name, "a/b"), (EVENTS, "key", name)):
        with pytest.raises(BrokerTrouble, match="cannot be sent"):
            await cli_client.publish(rabbit.url, exchange, key, [(None, b"{}")], content_type)
    with pytest.raises(BrokerTrouble, match="cannot be sent"):
        await anext(cli_client.tail(rabbit.url, [name], ["#"]))


@pytest.mark.parametrize("who", ["guest:wrong-canary", "guest:guest"])
async def test_no_broker_is_a_trouble_that_shows_no_password(broker: Broker, who: str) -> None:
    port = broker.node.port if "wrong" in who else free_port()
    with pytest.raises(BrokerTrouble) as trouble:
        await cli_client.publish(f"amqp://{who}@127.0.0.1:{port}/", EVENTS, "key", [(None, b"{}")], "application/json")
    assert who.partition(":")[2] not in str(trouble.value).replace("guest'", "")


async def test_tail_shows_what_comes_from_every_exchange_and_leaves_nothing(rabbit: Rabbit) -> None:
    for exchange in (AGENT, "audit"):
        await rabbit.make_queue(exchange, QUORUM, exchange=exchange)
    seen: list[Mapping[str, Any]] = []

    async def watch() -> None:
        async for message in cli_client.tail(rabbit.url, [AGENT, "audit"], ["text.#", "*.api.*"]):
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
        async for _ in cli_client.tail(rabbit.url, [AGENT], ["#"]):
            listening.set()

    watching = asyncio.create_task(watch())
    await listening.wait()
    await asyncio.to_thread(rabbit.broker.cut_connections, rabbit.vhost)
    with pytest.raises(BrokerTrouble, match="lost"):
        await asyncio.wait_for(watching, 60)


async def test_tail_that_is_left_early_has_closed_its_connection_by_then(rabbit: Rabbit) -> None:
    """Otherwise the loop's end cancels the library's tasks under it, and those say so with tracebacks."""
    await rabbit.make_queue(AGENT, QUORUM, "#")
    async with aclosing(cli_client.tail(rabbit.url, [AGENT], ["#"])) as messages:
        queue = (await anext(messages))["listening"]
        await rabbit.publish(*(Outgoing(b"{}", routing_key="a", exchange=AGENT) for _ in range(50)))
        assert (await anext(messages))["body"] == b"{}"
        library = {task for task in asyncio.all_tasks() if "aiormq" in repr(task)}
        assert library
    assert [task for task in library if not task.done()] == []
    assert await rabbit.depth(queue) is None


async def test_tail_ends_with_a_trouble_when_its_queue_is_deleted(rabbit: Rabbit) -> None:
    await rabbit.make_queue(AGENT, QUORUM)
    async with aclosing(cli_client.tail(rabbit.url, [AGENT], ["#"])) as messages:
        queue = (await anext(messages))["listening"]
        await asyncio.to_thread(rabbit.broker.node.ctl, "delete_queue", queue, "-p", rabbit.vhost)
        with pytest.raises(BrokerTrouble, match="removed the queue"):
            await asyncio.wait_for(anext(messages), 60)


async def test_tail_that_loses_its_broker_while_a_message_is_being_shown_is_a_trouble(rabbit: Rabbit) -> None:
    await rabbit.make_queue(AGENT, QUORUM, "#")
    async with aclosing(cli_client.tail(rabbit.url, [AGENT], ["#"])) as messages:
        await anext(messages)
        await rabbit.publish(*(Outgoing(body, routing_key="a", exchange=AGENT) for body in (b"1", b"2")))
        assert (await anext(messages))["body"] == b"1"
        await asyncio.to_thread(rabbit.broker.cut_connections, rabbit.vhost)
        seen: list[Any] = []

        async def rest() -> None:
            async for message in messages:
                seen.append(message)

        with pytest.raises(BrokerTrouble, match=r"(?i)lost|closed"):
            await asyncio.wait_for(rest(), 60)
        assert len(seen) <= 1


async def test_tail_shows_properties_that_are_no_text_and_no_time(rabbit: Rabbit) -> None:
    await rabbit.make_queue(AGENT, QUORUM, "#")
    async with aclosing(cli_client.tail(rabbit.url, [AGENT], ["#"])) as messages:
        await anext(messages)
        odd = wire.RawProperties(
            wire.CONTENT_TYPE | wire.HEADERS | wire.MESSAGE_ID | wire.TIMESTAMP,
            wire.short(b"\xff"),
            wire.table(*wire.every_type()),
            wire.short(b"\xfe\x1b"),
            struct.pack(">Q", 2**62),
        )
        await rabbit.publish(
            Outgoing(b"1", odd, routing_key="a", exchange=AGENT), Outgoing(b"2", routing_key="a", exchange=AGENT)
        )
        for body in (b"1", b"2"):
            seen = await anext(messages)
            assert seen["body"] == body
            for as_json in (False, True):
                Screen(as_json=as_json).message(seen)


async def test_what_the_broker_returns_and_what_it_refuses_are_told_apart(rabbit: Rabbit) -> None:
    await rabbit.make_queue("full", {**QUORUM, "x-max-length": 1, "x-overflow": "reject-publish"}, "#", exchange=EVENTS)
    taken: list[int] = []
    events = [(None, b"{}")] * 50
    with pytest.raises(BrokerTrouble, match="nack"):
        await cli_client.publish(rabbit.url, EVENTS, "some.key", events, "application/json", taken.append)
    assert taken == list(range(len(taken)))
    assert 1 <= len(taken) < 50


async def test_tail_of_an_exchange_that_does_not_exist_is_a_trouble(rabbit: Rabbit) -> None:
    with pytest.raises(BrokerTrouble, match="no-such"):
        async for _ in cli_client.tail(rabbit.url, ["no-such"], ["#"]):
            pass
