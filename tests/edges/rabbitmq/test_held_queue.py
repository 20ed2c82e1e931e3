"""What a pause has kept back is passed on: as many as there are, in order, none twice and none lost."""

import asyncio

import pytest

from bridge.edges.rabbitmq.held_queue import BATCH, BrokerHeldQueues
from bridge.flow.ports.broker import HeldQueueUnavailable
from tests.edges.conftest import Build
from tests.support.rabbit import DELAY, EVENTS, HELD, Outgoing
from tests.support.waiting import until


@pytest.mark.parametrize("messages", [1, BATCH, 2 * BATCH + 7])
async def test_all_messages_go_to_the_inbound_queue_in_order(build: Build, messages: int) -> None:
    rig = build()
    held = rig.held_queues
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(
        *[Outgoing(str(number).encode(), routing_key=HELD, exchange=DELAY) for number in range(messages)]
    )
    assert await held.pass_on(EVENTS) == messages
    assert await rig.rabbit.ready_count(HELD) == 0
    rig.inbox.pause_queues(frozenset())
    seen: list[int] = []

    def all_seen() -> bool:
        """As many at a time as the prefetch lets through."""
        for delivery in rig.deliveries[len(seen) :]:
            seen.append(int(delivery.incoming.body))
            delivery.ack()
        return len(seen) == messages

    await until(all_seen, "they arrive", 30)
    assert seen == list(range(messages))
    assert await held.pass_on(EVENTS) == 0


async def test_without_a_connection_nothing_is_passed_on(build: Build) -> None:
    rig = build()
    with pytest.raises(HeldQueueUnavailable, match="no connection"):
        await BrokerHeldQueues(rig.republisher, DELAY).pass_on(EVENTS)


async def test_two_that_pass_on_at_once_pass_each_message_on_once(build: Build) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(str(n).encode(), routing_key=HELD, exchange=DELAY) for n in range(600)])
    passed = await asyncio.gather(rig.held_queues.pass_on(EVENTS), rig.held_queues.pass_on(EVENTS))
    assert sum(passed) == 600
    assert await rig.rabbit.ready_count(EVENTS) == 600
