"""What the broker says of a message that was delivered before: the same on every supported version of RabbitMQ.

Its counts are not: `nack` counts on some versions in `x-delivery-count`, on others in `x-acquired-count` beside it, and
what a publisher wrote there reaches a first consumer as it is. So nothing but the flag is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import aiormq
import pika
import pytest

from bridge.core.delivery.progress import RequestKind
from bridge.flow.work import past
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import EVENTS, Outgoing
from tests.support.rig import Rig, inbound
from tests.support.waiting import until

TIMEOUT_MS = 1_000
Return = Callable[[aiormq.abc.AbstractChannel, int], Awaitable[object]]


async def nack(channel: aiormq.abc.AbstractChannel, tag: int) -> None:
    await channel.basic_nack(tag, requeue=True)


async def reject(channel: aiormq.abc.AbstractChannel, tag: int) -> None:
    await channel.basic_reject(tag, requeue=True)


async def recover(channel: aiormq.abc.AbstractChannel, tag: int) -> None:
    await channel.basic_recover(requeue=True)


async def close(channel: aiormq.abc.AbstractChannel, tag: int) -> None:
    await channel.close()


RETURNS: dict[str, Return] = {"nack": nack, "reject": reject, "recover": recover, "close": close}


async def returned_by_another(rig: Rig, give_back: Return) -> None:
    """Somebody else takes the one message of the inbound queue, and gives it back."""
    connection = await aiormq.connect(rig.rabbit.url)
    try:
        channel = await connection.channel()

        async def taken() -> int | None:
            message = await channel.basic_get(EVENTS)
            return message.delivery_tag

        await give_back(channel, await until(taken, "the message is taken"))
    finally:
        await connection.close()


@pytest.mark.parametrize("way", RETURNS)
async def test_what_another_consumer_gave_back_is_marked(build: Build, way: str) -> None:
    rig = await build().start()
    rig.inbox.pause("test")
    await until(lambda: rig.log.of("consumer.paused"), "it is paused")
    await rig.rabbit.publish(Outgoing(b"{}"))
    for _ in range(2):
        await returned_by_another(rig, RETURNS[way])
    rig.inbox.resume("test")
    (delivery,) = await rig.delivered(1)
    assert delivery.incoming.redelivered
    assert past(delivery.incoming).request is RequestKind.UNKNOWN


async def test_what_a_lost_connection_held_is_marked_each_time(build: Build, broker: Broker) -> None:
    rig = await build().start()
    await rig.rabbit.publish(Outgoing(b"{}"))
    for generation in (2, 3, 4):
        await rig.delivered(generation - 1)
        await asyncio.to_thread(broker.cut_connections, rig.vhost)
        await rig.connected(generation)
    await rig.delivered(4)
    assert [delivery.incoming.redelivered for delivery in rig.deliveries] == [False, True, True, True]


@pytest.mark.parametrize("header", ["x-delivery-count", "x-acquired-count"])
async def test_a_count_that_the_publisher_wrote_makes_no_redelivery(build: Build, header: str) -> None:
    """A tool that moves dead letters copies them as they were delivered to it."""
    rig = await build().start()
    await rig.rabbit.publish(Outgoing(b"{}", pika.BasicProperties(headers={header: 50})))
    (delivery,) = await rig.delivered(1)
    assert not delivery.incoming.redelivered
    assert past(delivery.incoming).request is RequestKind.NONE


@pytest.fixture
def impatient(broker: Broker) -> Iterator[Broker]:
    """A broker that lets a delivery be held for a second only; it looks twice a second."""
    settings = {"consumer_timeout": TIMEOUT_MS, "channel_tick_interval": 500}
    before = {name: broker.evaluate(f"application:get_env(rabbit, {name}).") for name in settings}
    evaluated = [f"application:set_env(rabbit, {name}, {value})" for name, value in settings.items()]
    broker.evaluate(", ".join(evaluated) + ".")
    try:
        yield broker
    finally:
        restored = [
            f"application:set_env(rabbit, {name}, {said.removeprefix('{ok,').removesuffix('}')})"
            if said.startswith("{ok,")
            else f"application:unset_env(rabbit, {name})"
            for name, said in before.items()
        ]
        broker.evaluate(", ".join(restored) + ".")


@pytest.mark.usefixtures("impatient")
async def test_a_delivery_that_is_held_too_long_ends_the_generation_and_comes_again(build: Build) -> None:
    """Some versions close the channel, others cancel the consumer and keep it: the right to ack is gone on each."""
    rig = await build(inbounds=(inbound(prefetch=5),)).start()
    await rig.rabbit.publish(Outgoing(b"held"))
    (held,) = await rig.delivered(1)
    await until(lambda: not held.alive, "the broker has taken it back", 60)
    assert held.ack() is False
    await rig.connected(2)
    again = (await rig.delivered(2))[1]
    assert again.incoming.redelivered
    assert again.ack()
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "everything is acked")


@pytest.mark.usefixtures("impatient")
async def test_a_delivery_that_is_held_too_long_through_a_pause_is_in_the_end_acked(build: Build) -> None:
    """The consumer is cancelled already, so there may be nobody whom the broker tells."""
    rig = await build(inbounds=(inbound(prefetch=5),)).start()
    await rig.rabbit.publish(Outgoing(b"held"))
    (held,) = await rig.delivered(1)
    rig.inbox.pause("api")
    await until(lambda: rig.log.of("consumer.paused"), "it is paused")
    await until(lambda: rig.rabbit.ready_is(EVENTS, 1), "the broker has taken it back", 60)
    held.ack()
    rig.inbox.resume("api")
    for number in count(2):
        again = (await rig.delivered(number))[-1]
        assert again.incoming.redelivered
        if again.ack():
            break

    async def all_acked() -> bool:
        return await rig.rabbit.counts(EVENTS) == (0, 0)

    await until(all_acked, "everything is acked")
