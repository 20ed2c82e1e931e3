"""What a pause has kept back is passed on: as many as there are, in order, none twice and none lost."""

import asyncio
import json
from functools import partial

import pika.exceptions
import pytest
from pika import BasicProperties

from bridge.edges.rabbitmq.held_queue import BATCH
from bridge.flow.ports.broker import Delivery, HeldQueueUnavailable
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
    assert await held.pass_on(EVENTS, _unexpected) == messages
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
    assert await held.pass_on(EVENTS, _unexpected) == 0


async def test_the_first_message_is_taken_in_hand_and_acknowledged_once_it_is_settled(build: Build) -> None:
    rig = build()
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(str(number).encode(), routing_key=HELD, exchange=DELAY) for number in range(3)])
    taken: list[Delivery] = []
    for number in range(2):
        await until(partial(rig.held_queues.take, EVENTS, taken.append), "one is taken")
        assert (taken[number].incoming.body, taken[number].incoming.queue) == (str(number).encode(), EVENTS)
    assert await rig.rabbit.ready_count(HELD) == 1
    assert taken[0].ack()
    assert not taken[0].ack()
    assert await rig.held_queues.pass_on(EVENTS, _unexpected) == 1, "the others are passed on meanwhile"
    await rig.stop()
    await until(lambda: rig.rabbit.ready_is(HELD, 1), "what was not settled is there again")


async def test_of_an_empty_held_queue_nothing_is_taken(build: Build) -> None:
    rig = build()
    await rig.start()
    assert not await rig.held_queues.take(EVENTS, _unexpected)


async def test_without_a_connection_nothing_is_passed_on(build: Build) -> None:
    rig = build()
    with pytest.raises(HeldQueueUnavailable, match="no connection"):
        await rig.held_queues.take(EVENTS, _unexpected)
    with pytest.raises(HeldQueueUnavailable, match="no connection"):
        await rig.held_queues.pass_on(EVENTS, _unexpected)


async def test_two_that_pass_on_at_once_pass_each_message_on_once(build: Build) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(str(n).encode(), routing_key=HELD, exchange=DELAY) for n in range(600)])
    passed = await asyncio.gather(
        rig.held_queues.pass_on(EVENTS, _unexpected), rig.held_queues.pass_on(EVENTS, _unexpected)
    )
    assert sum(passed) == 600
    assert await rig.rabbit.ready_count(EVENTS) == 600


async def test_what_a_full_queue_does_not_take_stays_and_the_rest_is_passed_on_once(build: Build) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(str(n).encode(), routing_key=HELD, exchange=DELAY) for n in range(20)])
    ctl, full = rig.rabbit.broker.node.ctl, json.dumps({"max-length": 5, "overflow": "reject-publish"})
    ctl("set_policy", "-p", rig.vhost, "full", f"^{EVENTS}$", full, "--apply-to", "queues")
    await until(partial(_is_full, rig), "the limit holds, and is reached")
    for _ in range(3):
        await until(partial(_is_refused, rig), "the queue takes no more")
    ctl("clear_policy", "-p", rig.vhost, "full")
    await until(partial(_passes_on, rig), "all are passed on, though the channel met a full queue", 60)
    bodies = [message.body for message in await rig.rabbit.take(EVENTS)]
    assert sorted(int(body) for body in bodies if body.isdigit()) == list(range(20)), "none twice, and none lost"


async def test_one_that_cannot_be_passed_on_is_taken_in_hand_and_the_rest_is_passed_on_once(
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
        taken: list[Delivery] = []
        assert await rig.held_queues.pass_on(EVENTS, taken.append) == 4
        (delivery,) = taken
        assert delivery.alive
        incoming = delivery.incoming
        assert (incoming.body, incoming.queue, incoming.headers["own"]) == (b"3" * 2 * MIB, EVENTS, 1)
        assert await rig.held_queues.pass_on(EVENTS, taken.append) == 0, "it is in hand"
        assert await rig.rabbit.ready_count(HELD) == 0, "nobody else is given it"
        assert delivery.ack()
        assert not delivery.ack()
        await until(lambda: not delivery.alive, "its channel is closed once it is acknowledged")
        assert await rig.rabbit.ready_count(HELD) == 0
    assert [message.body for message in await rig.rabbit.take(EVENTS)] == [b"1", b"2", b"4"]
    assert await rig.rabbit.ready_count(DEAD) == 0


async def test_what_is_refused_beside_one_in_hand_goes_back_at_once(build: Build, broker: Broker) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    ctl, full = rig.rabbit.broker.node.ctl, json.dumps({"max-length": 1, "overflow": "reject-publish"})
    bodies = [b"3" * 2 * MIB, *[str(n).encode() for n in range(BATCH + 10)]]
    await rig.rabbit.publish(*[Outgoing(body, routing_key=HELD, exchange=DELAY) for body in bodies])
    ctl("set_policy", "-p", rig.vhost, "full", f"^{EVENTS}$", full, "--apply-to", "queues")
    await until(partial(_is_full, rig), "the limit holds, and is reached")
    await rig.stop()
    with broker.limited("max_message_size", MIB):
        rig = build()
        rig.inbox.pause_queues(frozenset({EVENTS}))
        await rig.start()
        taken: list[Delivery] = []
        with pytest.raises(HeldQueueUnavailable):
            await rig.held_queues.pass_on(EVENTS, taken.append)
        (delivery,) = taken
        assert delivery.alive
        await until(partial(rig.rabbit.ready_is, HELD, BATCH + 10), "all others are there for whoever comes next")


async def test_one_that_was_taken_in_hand_is_there_again_where_its_connection_goes(
    build: Build, broker: Broker
) -> None:
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(*[Outgoing(b"3" * 2 * MIB, routing_key=HELD, exchange=DELAY), Outgoing(b"4")])
    with broker.limited("max_message_size", MIB):
        await rig.stop()
        rig = build()
        rig.inbox.pause_queues(frozenset({EVENTS}))
        await rig.start()
        taken: list[Delivery] = []
        await rig.held_queues.pass_on(EVENTS, taken.append)
        await rig.stop()
    (delivery,) = taken
    assert not delivery.alive
    assert not delivery.ack()

    async def returned() -> bool:
        return await rig.rabbit.ready_count(HELD) == 1

    await until(returned, "it is there again")


async def test_who_comes_while_another_passes_the_queue_on_comes_again(build: Build) -> None:
    """What the other one has in hand does not count as ready; it may still be lost, and come back."""
    rig = build()
    rig.inbox.pause_queues(frozenset({EVENTS}))
    await rig.start()
    await rig.rabbit.publish(Outgoing(b"1", routing_key=HELD, exchange=DELAY))
    with rig.rabbit.channel() as other:
        other.basic_consume(HELD, lambda *_: None)
        with pytest.raises(HeldQueueUnavailable, match="another process"):
            await rig.held_queues.pass_on(EVENTS, _unexpected)
    await until(partial(_passes_on, rig), "the other one is gone")
    assert [message.body for message in await rig.rabbit.take(EVENTS)] == [b"1"]


def _unexpected(delivery: Delivery) -> None:
    raise AssertionError(f"nothing was to be taken in hand: {delivery.incoming.queue}")


async def _is_full(rig: Rig) -> bool:
    try:
        await rig.rabbit.publish(Outgoing(b"filler"))
    except pika.exceptions.NackError:
        return True
    return False


async def _passes_on(rig: Rig) -> bool:
    try:
        await rig.held_queues.pass_on(EVENTS, _unexpected)
    except HeldQueueUnavailable:
        return False
    return await rig.rabbit.counts(HELD) == (0, 0)


async def _is_refused(rig: Rig) -> bool:
    """False where the channel of the last try is not quite gone."""
    with pytest.raises(HeldQueueUnavailable) as raised:
        await rig.held_queues.pass_on(EVENTS, _unexpected)
    return "nack" in str(raised.value)
