"""What a pause has kept back is passed on: as many as there are, in order, none twice and none lost."""

import asyncio
import json
from functools import partial

import pika.exceptions
import pytest
from pika import BasicProperties

from bridge.edges.rabbitmq.held_queue import BATCH
from bridge.flow.ports.broker import HeldQueueUnavailable
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import DEAD, DELAY, EVENTS, HELD, Outgoing
from tests.support.rig import Rig
from tests.support.waiting import until

MIB = 1024 * 1024


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
        await rig.held_queues.pass_on(EVENTS)


async def test_two_that_pass_on_at_once_pass_each_message_on_once(build: Build) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(str(n).encode(), routing_key=HELD, exchange=DELAY) for n in range(600)])
    passed = await asyncio.gather(rig.held_queues.pass_on(EVENTS), rig.held_queues.pass_on(EVENTS))
    assert sum(passed) == 600
    assert await rig.rabbit.ready_count(EVENTS) == 600


async def test_what_a_full_queue_does_not_take_stays_and_the_rest_is_passed_on_once(build: Build) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(str(n).encode(), routing_key=HELD, exchange=DELAY) for n in range(20)])
    ctl, full = rig.rabbit.broker.node.ctl, json.dumps({"max-length": 5, "overflow": "reject-publish"})
    ctl("set_policy", "-p", rig.vhost, "full", f"^{EVENTS}$", full, "--apply-to", "queues")

    async def is_full() -> bool:
        try:
            await rig.rabbit.publish(Outgoing(b"filler"))
        except pika.exceptions.NackError:
            return True
        return False

    await until(is_full, "the limit holds, and is reached")
    for _ in range(3):
        with pytest.raises(HeldQueueUnavailable, match="nack"):
            await rig.held_queues.pass_on(EVENTS)
    ctl("clear_policy", "-p", rig.vhost, "full")
    await until(partial(_passes_on, rig), "all are passed on, though the channel met a full queue", 60)
    bodies = [message.body for message in await rig.rabbit.take(EVENTS)]
    assert sorted(int(body) for body in bodies if body.isdigit()) == list(range(20)), "none twice, and none lost"


async def test_one_that_cannot_be_passed_on_becomes_a_dead_letter_and_the_rest_is_passed_on_once(
    build: Build, broker: Broker
) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    bodies = [b"1", b"2", b"3" * 2 * MIB, b"4"]
    await rig.rabbit.publish(
        *[Outgoing(body, BasicProperties(headers={"own": 1}), HELD, exchange=DELAY) for body in bodies]
    )
    await rig.stop()
    with broker.limited("max_message_size", MIB):
        rig = build()
        rig.inbox.pause_queues(frozenset({EVENTS}))
        await rig.start()
        assert await rig.held_queues.pass_on(EVENTS) == 4
    assert await rig.rabbit.ready_count(HELD) == 0
    assert [message.body for message in await rig.rabbit.take(EVENTS)] == [b"1", b"2", b"4"]
    (letter,) = await rig.rabbit.take(DEAD)
    assert (letter.routing_key, letter.headers["x-bridge-truncated"]) == ("undeliverable", "body")
    assert "406" in letter.headers["x-bridge-error"]


async def _passes_on(rig: Rig) -> bool:
    try:
        await rig.held_queues.pass_on(EVENTS)
    except HeldQueueUnavailable:
        return False
    return await rig.rabbit.counts(HELD) == (0, 0)
