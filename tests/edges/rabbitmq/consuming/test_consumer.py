"""Taking events: never more than the prefetch, nothing requeued by a pause, no right outliving its connection."""

import asyncio
from functools import partial
from typing import Any

from bridge.core.delivery.poison import SETTLED
from bridge.edges.rabbitmq.watchdog import WatchLimits
from bridge.flow.ports.broker import Delivery
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.rabbit import EVENTS, EVENTS_ARGUMENTS, Outgoing
from tests.support.rig import Rig, inbound, is_acked
from tests.support.waiting import stays, until
from tests.support.wire import RawProperties, every_type, short, table, with_headers


def numbered(count: int, start: int = 0) -> list[Outgoing]:
    return [Outgoing(b"%d" % number) for number in range(start, start + count)]


async def test_no_more_than_the_prefetch_is_ever_held_and_order_is_kept(build: Build) -> None:
    held: list[Delivery] = []
    most = 0

    def receive(delivery: Delivery) -> None:
        nonlocal most
        held.append(delivery)
        rig.deliveries.append(delivery)
        most = max(most, len(held))

    rig = build(inbounds=(inbound(prefetch=7),), receive=receive)
    await rig.start()
    await rig.rabbit.publish(*numbered(100))
    await until(lambda: len(held) == 7, "the prefetch is used")
    await stays(lambda: len(held) == 7, "no more than the prefetch", 0.2)
    assert rig.consumer.queue_consumers[0].held == 7
    while len(rig.deliveries) < 100 or held:
        await until(lambda: held, "the next one")
        assert held.pop(0).ack()
    assert most == 7
    assert rig.bodies == [b"%d" % number for number in range(100)]
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "everything is acked")


async def test_a_pause_cancels_the_consumer_and_requeues_nothing(build: Build) -> None:
    rig = await build(inbounds=(inbound(prefetch=5),)).start()
    await rig.rabbit.publish(*numbered(5))
    await rig.delivered(5)
    rig.inbox.pause("api")
    rig.inbox.pause("stopping")
    await until(lambda: rig.log.of("consumer.paused"), "it is paused")
    await rig.rabbit.publish(*numbered(5, start=5))
    assert await rig.rabbit.ready_count(EVENTS) == 5
    rig.inbox.resume("stopping")
    await stays(lambda: len(rig.deliveries) == 5, "one reason still stands", 0.2)
    assert rig.inbox.held_back_by == ["api"]
    rig.inbox.resume("api")
    await rig.connected()
    for delivery in rig.deliveries[:5]:
        assert delivery.ack(), "what was held through the pause can still be acked"
    await rig.delivered(10)
    assert rig.bodies == [b"%d" % number for number in range(10)]
    assert not any(delivery.incoming.redelivered for delivery in rig.deliveries)
    for delivery in rig.deliveries[5:]:
        assert delivery.incoming.headers.get("x-delivery-count", 0) == 0
        assert delivery.ack()
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "everything is acked")
    assert rig.generation == 1


async def test_no_more_than_the_prefetch_is_held_through_pauses(build: Build) -> None:
    """A prefetch counts for each consumer, and the deliveries of a cancelled one are still held."""
    rig = await build(inbounds=(inbound(prefetch=5),)).start()
    await rig.rabbit.publish(*numbered(40))
    await rig.delivered(5)
    for _ in range(3):
        rig.inbox.pause("api")
        await until(lambda: not rig.consumer.queue_consumers, "it is paused")
        rig.inbox.resume("api")
        await stays(lambda: len(rig.deliveries) == 5, "all slots are taken", 0.15)
    for number in range(40):
        await rig.delivered(number + 1)
        assert rig.deliveries[number].ack()
        assert len(rig.deliveries) - number <= 5


async def test_a_pause_right_after_many_acks_loses_none_of_them(build: Build) -> None:
    """The cancelled consumer's channel closes with its last ack, and not before that is written."""
    rig = await build(inbounds=(inbound(prefetch=200),)).start()
    await rig.rabbit.publish(*numbered(200))
    for delivery in list(await rig.delivered(200)):
        assert delivery.ack()
    rig.inbox.pause("api")
    await rig.consumer.acks_sent()
    assert rig.consumer.queue_consumers == []
    assert rig.log.of("ack.lost") == []
    await rig.stop()
    assert await rig.rabbit.depth(EVENTS) == (0, 0)
    assert rig.generation == 1


async def test_what_is_on_its_way_during_a_pause_can_be_acked(build: Build, proxy: Proxy) -> None:
    """The broker delivers until the cancel reaches it: the channel stays open for that, though all acks are written."""
    rig = await build(urls=(proxy.url(build().vhost),), inbounds=(inbound(prefetch=2),)).start()
    await rig.rabbit.publish(*numbered(1))
    await rig.delivered(1)
    proxy.hold()
    rig.inbox.pause("api")
    await until(lambda: not rig.consumer.queue_consumers, "the cancel is on its way")
    assert rig.deliveries[0].ack()
    await rig.rabbit.publish(*numbered(1, start=1))
    await rig.delivered(2)
    proxy.release()
    await rig.consumer.acks_sent()
    assert rig.deliveries[1].ack()
    await rig.consumer.acks_sent()
    assert rig.log.of("ack.lost") == []
    await rig.stop()
    assert await rig.rabbit.depth(EVENTS) == (0, 0)
    assert rig.generation == 1


async def test_pausing_and_resuming_in_a_hurry_settles_on_the_last_word(build: Build) -> None:
    rig = await build(inbounds=(inbound(prefetch=3),)).start()
    for _ in range(30):
        rig.inbox.pause("a")
        await asyncio.sleep(0.003)
        rig.inbox.resume("a")
        await asyncio.sleep(0.003)
    await until(lambda: rig.consumer.consuming, "it consumes")
    await rig.rabbit.publish(*numbered(3))
    await rig.delivered(3)
    rig.inbox.pause("a")
    rig.inbox.resume("a")
    rig.inbox.pause("a")
    started, stopped = "consumer.started", "consumer.paused"
    await until(lambda: len(rig.log.of(started)) == len(rig.log.of(stopped)), "it is paused")
    assert not rig.consumer.consuming
    assert [delivery.ack() for delivery in rig.deliveries] == [True] * 3
    await rig.rabbit.publish(*numbered(1))
    await stays(lambda: len(rig.deliveries) == 3, "nothing is taken", 0.2)
    assert rig.generation == 1


async def test_a_consumer_that_is_paused_before_it_connects_takes_nothing(build: Build) -> None:
    rig = build()
    rig.inbox.pause("api")
    rig.run()
    await until(lambda: rig.supervisor.trouble is None, "it is connected")
    await rig.rabbit.publish(*numbered(1))
    await stays(lambda: not rig.deliveries, "nothing is taken", 0.2)
    rig.inbox.resume("api")
    await rig.delivered(1)


def has_delivered(rig: Rig, number: int) -> bool:
    return len(rig.deliveries) == number


async def test_a_cautious_consumer_takes_one_at_a_time_until_ten_have_settled(build: Build) -> None:
    rig = build(inbounds=(inbound(prefetch=20),))
    rig.inbox.isolate(SETTLED)
    await rig.start()
    await rig.rabbit.publish(*numbered(40))
    for number in range(SETTLED):
        await rig.delivered(number + 1)
        await stays(partial(has_delivered, rig, number + 1), "one at a time", 0.03)
        assert rig.inbox.cautious
        assert rig.deliveries[number].ack()
    await rig.delivered(SETTLED + 20)
    assert not rig.inbox.cautious
    assert rig.bodies == [b"%d" % number for number in range(SETTLED + 20)]


async def test_two_connections_that_die_at_once_make_the_third_one_cautious(build: Build, proxy: Proxy) -> None:
    rig = await build(urls=(proxy.url(build().vhost),), inbounds=(inbound(prefetch=20),)).start()
    await rig.rabbit.publish(*numbered(20))
    for number in (1, 2):
        await rig.connected(number)
        await rig.delivered(20 * number)
        proxy.reset()
    await rig.connected(3)
    await rig.delivered(41)
    await stays(lambda: len(rig.deliveries) == 41, "one at a time", 0.2)
    assert rig.log.of("consumer.cautious")[0]["deaths"] == 2


async def test_two_processes_that_died_at_once_make_the_third_one_cautious(build: Build) -> None:
    """What is counted, and when, is in tests/flow/guards/test_quick_deaths.py."""
    rig = build(inbounds=(inbound(prefetch=20),), quick_s=3600.0)
    for deaths in range(2):
        assert await rig.ledger.begun() == deaths
    await rig.start()
    await rig.rabbit.publish(*numbered(20))
    await rig.delivered(1)
    await stays(lambda: len(rig.deliveries) == 1, "one at a time", 0.2)
    assert not rig.ledger.outlived


async def test_a_process_that_has_consumed_for_long_enough_has_outlived_the_danger(build: Build) -> None:
    rig = await build(quick_s=0.2).start()
    await until(lambda: rig.ledger.outlived, "the ledger is told")


async def test_an_ack_goes_out_once(build: Build) -> None:
    rig = await build().start()
    await rig.rabbit.publish(*numbered(2))
    first, _ = await rig.delivered(2)
    assert first.ack() is True
    assert first.ack() is False
    await rig.consumer.acks_sent()
    await stays(lambda: rig.generation == 1 and first.alive, "the channel lives on", 0.15)


async def test_what_an_old_generation_held_can_only_be_acked_by_the_next(build: Build, broker: Broker) -> None:
    rig = await build().start()
    await rig.rabbit.publish(*numbered(10))
    old = list(await rig.delivered(10))
    await asyncio.to_thread(broker.cut_connections, rig.vhost)
    await rig.connected(2)
    assert [delivery.alive for delivery in old] == [False] * 10
    assert [delivery.ack() for delivery in old] == [False] * 10
    new = (await rig.delivered(20))[10:]
    assert all(delivery.incoming.redelivered for delivery in new)
    assert [delivery.ack() for delivery in new] == [True] * 10
    await rig.consumer.acks_sent()
    await rig.stop()
    assert await rig.rabbit.depth(EVENTS) == (0, 0)


async def test_stopping_leaves_what_is_held_to_the_next_process(build: Build) -> None:
    rig = await build().start()
    await rig.rabbit.publish(*numbered(3))
    held = list(await rig.delivered(3))
    assert held[1].ack()
    await rig.consumer.acks_sent()
    await rig.stop()
    assert [delivery.alive for delivery in held] == [False] * 3
    await until(lambda: rig.rabbit.ready_is(EVENTS, 2), "the two others are ready again")


async def test_a_deleted_queue_ends_the_generation(build: Build) -> None:
    """docs/reliability.md, B13: the broker's cancel takes the right to ack and to publish with it."""
    rig = await build().start()
    await rig.rabbit.publish(*numbered(1))
    (held,) = await rig.delivered(1)
    await rig.rabbit.delete_queue(EVENTS)
    await until(lambda: not held.alive, "the right to ack is gone", 10)
    assert held.ack() is False


async def test_a_queue_deleted_and_declared_in_the_same_breath_is_consumed_again(build: Build) -> None:
    """docs/reliability.md, B12: a quorum queue tells its consumers nothing of it; the watch must find out."""
    rig = await build(watch=WatchLimits(every_s=0.4, stuck_s=0.8, silent_s=1.2)).start()
    await asyncio.to_thread(rig.rabbit.replace_now, EVENTS, EVENTS_ARGUMENTS)
    await rig.rabbit.publish(*numbered(1, start=1))
    await rig.delivered(1, bound_s=6)


async def test_a_renewal_is_no_gap_in_readiness(build: Build) -> None:
    """An idle consumer is renewed every few seconds: whoever asks just then must not be told that it is none."""
    rig = await build(watch=WatchLimits(every_s=0.02, silent_s=0.0)).start()
    consumers: set[str] = set()
    async with asyncio.timeout(20):
        while len(consumers) < 5:
            assert rig.consumer.consuming
            consumers |= {queue_consumer.tag for queue_consumer in rig.consumer.queue_consumers}
            await asyncio.sleep(0)  # every turn of the loop is looked at


async def test_what_comes_while_a_consumer_is_being_renewed_counts_for_the_prefetch(build: Build, proxy: Proxy) -> None:
    """The broker delivers until the cancel reaches it; a new consumer with nothing left would be one without limit."""
    watch = WatchLimits(every_s=0.02)
    rig = await build(urls=(proxy.url(build().vhost),), inbounds=(inbound(prefetch=1),), watch=watch).start()
    (queue_consumer,) = rig.consumer.queue_consumers
    proxy.delay_s = 0.3
    queue_consumer.heard_s -= watch.silent_s + 5
    await until(lambda: not rig.consumer.queue_consumers, "the cancel is on its way")
    await rig.rabbit.publish(*numbered(10))
    await rig.delivered(1)
    proxy.delay_s = 0.0
    await stays(lambda: len(rig.deliveries) == 1 and rig.consumer.consuming, "the prefetch is used", 0.6)
    for number in range(10):
        await rig.delivered(number + 1)
        assert sum(not is_acked(delivery) for delivery in rig.deliveries) == 1
        assert rig.deliveries[number].ack()
    assert rig.generation == 1


async def test_a_consumer_that_works_slowly_is_not_taken_for_a_stuck_one(build: Build) -> None:
    """All slots busy for longer than `stuck_s` and a backlog is a working day. The next delivery follows an ack: while
    it is under way nothing is stuck."""
    watch = WatchLimits(every_s=0.0)
    rig = await build(inbounds=(inbound(prefetch=1),), watch=watch).start()
    await rig.rabbit.publish(*numbered(40))
    for number in range(40):
        await rig.delivered(number + 1)
        assert rig.consumer.queue_consumers, rig.log.of("broker.lost")
        rig.consumer.queue_consumers[0].heard_s -= watch.stuck_s + 5  # so long did this event take
        await asyncio.sleep(0.005)
        assert rig.deliveries[-1].ack(), rig.log.of("broker.lost")
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "everything is acked")
    assert rig.log.of("broker.lost") == []


async def test_a_receiver_that_fails_is_said_and_stops_nothing(build: Build) -> None:
    """The flow settles what it cannot handle; were it to fail all the same, no slot may be lost in silence."""

    def receive(delivery: Delivery) -> None:
        rig.deliveries.append(delivery)
        if len(rig.deliveries) == 1:
            raise KeyError("a bug")

    rig = build(inbounds=(inbound(prefetch=1),), receive=receive)
    await rig.start()
    await rig.rabbit.publish(*numbered(1))
    await rig.delivered(1)
    await until(
        lambda: rig.log.at("critical") or rig.generation > 1, "the failure is said, or the event comes again", 5
    )


async def test_every_inbound_is_consumed_on_its_own_channel(build: Build) -> None:
    rig = await build(
        inbounds=(inbound(prefetch=2), inbound("second", exchange="second", prefetch=3)),
    ).start()
    await rig.rabbit.publish(*numbered(4))
    await rig.rabbit.publish(*(Outgoing(b"s%d" % number, exchange="second") for number in range(4)))
    await rig.delivered(5)
    assert sorted(rig.bodies) == [b"0", b"1", b"s0", b"s1", b"s2"]
    assert {delivery.incoming.queue for delivery in rig.deliveries} == {EVENTS, "second"}
    assert [queue_consumer.held for queue_consumer in rig.consumer.queue_consumers] == [2, 3]


POISON: dict[str, Any] = {
    "message id": RawProperties(1 << 7, short(b"\xff\xfe id")),
    "type": RawProperties(1 << 5, short(b"\xff")),
    "correlation id": RawProperties(1 << 10, short(b"\xc3")),
    "timestamp": RawProperties(1 << 6, b"\xff" * 8),
    "header name": with_headers(table((b"\xff\xfe", b"V"))),
    "header timestamp": with_headers(table((b"t", b"T" + b"\x7f" * 8))),
    "deep headers": None,
}


def deep() -> RawProperties:
    value = b"V"
    for _ in range(600):
        value = b"F" + table((b"n", value))
    return with_headers(table((b"deep", value)))


async def test_properties_that_cannot_be_read_do_not_cost_the_connection(build: Build) -> None:
    """Dossier, finding 4: one such message must not stop the others."""
    rig = await build().start()
    poison = {name: properties or deep() for name, properties in POISON.items()}
    for name, properties in poison.items():
        await rig.rabbit.publish(Outgoing(name.encode(), properties=properties), Outgoing(b"good"))
    await rig.delivered(2 * len(poison))
    assert rig.bodies == [body for name in poison for body in (name.encode(), b"good")]
    found = {delivery.incoming.body.decode(): bool(delivery.incoming.unreadable) for delivery in rig.deliveries}
    assert found == {**dict.fromkeys(poison, True), "good": False}
    assert [delivery.ack() for delivery in rig.deliveries] == [True] * len(rig.deliveries)
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "everything is acked")
    assert rig.generation == 1


async def test_headers_of_every_type_are_read(build: Build) -> None:
    rig = await build().start()
    await rig.rabbit.publish(Outgoing(b"{}", properties=with_headers(table(*every_type()), b"id-1")))
    (delivery,) = await rig.delivered(1)
    incoming = delivery.incoming
    assert set(incoming.headers) == {name.decode() for name, _ in every_type()} | {"x-delivery-count"} & set(
        incoming.headers
    )
    assert (incoming.message_id, incoming.content_type, incoming.unreadable) == ("id-1", "application/json", ())
    assert (incoming.exchange, incoming.routing_key, incoming.redelivered) == (EVENTS, "backend.event", False)
