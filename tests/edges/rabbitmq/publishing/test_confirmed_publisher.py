"""The entrance at the real broker: confirmed or refused, and soon; nothing waits for the next connection."""

import asyncio
from typing import Any

import pytest

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.edges.rabbitmq.publishing.confirmed_publisher import BrokerConfirmedPublisher
from bridge.flow.ports.webhook import NotConfirmed
from deploy.local.node import RabbitNode
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.rabbit import EVENTS
from tests.support.rig import Rig, outgoing
from tests.support.waiting import until


def hook(number: int, **changes: Any) -> OutboundMessage:
    return outgoing(
        f"hook-{number}", b'{"n":%d}' % number, **{"exchange": EVENTS, "routing_key": "webhook.s", **changes}
    )


async def idle(build: Build, **options: Any) -> Rig:
    """A rig that leaves what it published in the queue."""
    rig = build(**options)
    rig.inbox.pause("the test looks into the queue")
    rig.run()
    await until(lambda: rig.supervisor.trouble is None, "there is a generation", 30)
    return rig


async def outcomes(
    confirmed_publisher: BrokerConfirmedPublisher, messages: list[OutboundMessage]
) -> list[BaseException | None]:
    return await asyncio.gather(*(confirmed_publisher.enqueue(message) for message in messages), return_exceptions=True)


async def test_what_is_confirmed_is_in_the_queue_as_it_was_sent(build: Build) -> None:
    rig = await idle(build)
    await asyncio.gather(*(rig.confirmed_publisher.enqueue(hook(number)) for number in range(1000)))
    taken = await rig.rabbit.take(EVENTS)
    assert {record.message_id for record in taken} == {f"hook-{number}" for number in range(1000)}
    first = taken[0]
    assert (first.properties.delivery_mode, first.properties.content_type) == (2, "application/json")
    assert (first.routing_key, first.headers["event_id"]) == ("webhook.s", "event-1")


async def test_what_no_queue_takes_is_told_to_its_own_sender(build: Build) -> None:
    rig = await idle(build)
    found = await outcomes(
        rig.confirmed_publisher, [hook(number, exchange="" if number % 3 == 0 else EVENTS) for number in range(300)]
    )
    for number, outcome in enumerate(found):
        if number % 3:
            assert outcome is None
        else:
            assert isinstance(outcome, NotConfirmed)
            assert outcome.unrouted
    assert await rig.rabbit.ready_count(EVENTS) == 200
    assert rig.generation == 1


async def test_an_exchange_that_is_not_there_is_told_to_its_own_sender(build: Build) -> None:
    rig = await idle(build)
    found = await outcomes(rig.confirmed_publisher, [hook(1), hook(2, exchange="nowhere"), hook(3)])
    assert [type(outcome) for outcome in found] == [type(None), NotConfirmed, type(None)]
    assert rig.generation == 1


async def test_without_a_connection_it_is_refused_at_once(build: Build) -> None:
    rig = build()
    with pytest.raises(NotConfirmed, match="no connection"):
        await asyncio.wait_for(rig.confirmed_publisher.enqueue(hook(1)), 60)
    await idle(build, vhost=rig.vhost)


async def test_while_the_broker_blocks_it_is_refused_at_once(build: Build) -> None:
    rig = await idle(build)
    rig.publisher.block()
    with pytest.raises(NotConfirmed, match="blocks"):
        await asyncio.wait_for(rig.confirmed_publisher.enqueue(hook(1)), 60)
    rig.publisher.unblock()


async def test_a_message_that_cannot_be_written_is_refused(build: Build) -> None:
    rig = await idle(build)
    with pytest.raises(NotConfirmed, match="AMQP"):
        await asyncio.wait_for(rig.confirmed_publisher.enqueue(hook(1, type="t" * 300)), 60)
    await rig.confirmed_publisher.enqueue(hook(2))


async def test_a_silent_broker_is_a_refusal_within_seconds(build: Build, broker: Broker) -> None:
    node: RabbitNode = broker.node
    async with Proxy(node.port) as proxy:
        vhost = broker.vhost()
        rig = await idle(build, vhost=vhost, urls=(proxy.url(vhost),), confirm_s=0.3)
        proxy.freeze()
        with pytest.raises(NotConfirmed, match="no confirm"):
            await asyncio.wait_for(rig.confirmed_publisher.enqueue(hook(1)), 60)
        await rig.stop()
        proxy.reset()


async def test_what_was_confirmed_is_there_and_what_was_not_is_told_when_connections_are_cut(
    build: Build, broker: Broker
) -> None:
    """Cut again and again under load: no confirmed one is missing, every other sender was told."""
    node: RabbitNode = broker.node
    async with Proxy(node.port) as proxy:
        vhost = broker.vhost()
        rig = await idle(build, vhost=vhost, urls=(proxy.url(vhost),))
        confirmed: set[str] = set()
        refused: set[str] = set()

        async def send(number: int) -> None:
            try:
                await rig.confirmed_publisher.enqueue(hook(number))
            except NotConfirmed:
                refused.add(f"hook-{number}")
            else:
                confirmed.add(f"hook-{number}")

        number = 0
        for cut in range(5):
            generation = rig.generation
            sending = []
            for _ in range(20):
                await send(number)
                number += 1
            for sent in range(1, 401):
                sending.append(asyncio.create_task(send(number)))
                number += 1
                if sent % 20 == 0:
                    await asyncio.sleep(0)
                if sent == 300 - cut * 20:
                    proxy.reset()
            await asyncio.wait_for(asyncio.gather(*sending), 60)
            await until(lambda: rig.generation > generation and rig.supervisor.trouble is None, "the next one", 20)  # noqa: B023
        await rig.confirmed_publisher.enqueue(hook(number))
        queued = {record.message_id for record in await rig.rabbit.take(EVENTS)}
        assert confirmed <= queued
        assert len(confirmed) + len(refused) == number
        assert confirmed
        assert refused
        await rig.stop()
