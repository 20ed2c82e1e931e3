"""The connection to the broker, lost in every way there is: noticed in time, and made again.

See docs/reliability.md, B1 to B8.
"""

import asyncio
import gc
import os
from functools import partial
from itertools import repeat
from typing import Any

import pytest
from aio_pika.abc import AbstractConnection

from bridge.edges.rabbitmq import generation
from bridge.edges.rabbitmq.connection import HEARTBEAT_S, USUAL_CONNECT_LIMITS, ConnectLimits
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.watchdog import USUAL_LIMITS, WatchLimits
from bridge.flow.ports.broker import Delivery
from deploy.local.node import free_port
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.rabbit import EVENTS, Outgoing
from tests.support.rig import Receipts, Rig, outgoing
from tests.support.waiting import until

# A tenth of those that a broker which falls silent meets.
HASTY_CONNECT = ConnectLimits(connect_s=1.0, close_s=0.5)
HASTY: dict[str, Any] = {
    "watch": WatchLimits(every_s=0.4, answer_s=0.8, slowest_confirm_s=1.5),
    "connect": HASTY_CONNECT,
}


def test_a_broker_that_says_nothing_is_noticed_within_30_seconds() -> None:
    """The sum of the limits; that they work is shown below, with all of them divided by ten."""
    watch, connect = USUAL_LIMITS, USUAL_CONNECT_LIMITS
    assert watch.every_s + watch.answer_s < 30
    assert 1.0 + watch.slowest_confirm_s < 30
    assert 3 * (HEARTBEAT_S + 1) <= 33
    assert 2 * connect.close_s + connect.connect_s + generation.RPC_LIMIT_S <= 60


async def mended(rig: Rig, generation_: int, *, acking: bool = False) -> None:
    """It works again, in both directions."""
    await rig.connected(generation_)
    before, receipts = len(rig.deliveries), Receipts()
    await rig.rabbit.publish(Outgoing(b"again"))
    rig.publisher.publish([outgoing("again", mandatory=False)], receipts)
    await receipts.all_told(1)
    assert receipts.confirmations == ["again"]

    def delivered() -> bool:
        """After two quick losses it comes one at a time: each is acked, as the flow would."""
        for delivery in rig.deliveries:
            if acking and delivery.alive and id(delivery) not in acked:
                acked.add(id(delivery))
                delivery.ack()
        return b"again" in rig.bodies[before:]

    acked: set[int] = set()
    await until(delivered, "an event is delivered")


async def test_a_connection_closed_by_the_broker_is_noticed_without_the_watch(build: Build, broker: Broker) -> None:
    rig = await build(watch=WatchLimits(every_s=3600.0)).start()
    await rig.rabbit.publish(Outgoing(b"held"))
    (held,) = await rig.delivered(1)
    closing = asyncio.create_task(asyncio.to_thread(broker.cut_connections, rig.vhost))
    await until(lambda: rig.supervisor.trouble is not None, "the trouble is said", 10)
    await until(lambda: not held.alive, "the right to ack is gone")
    assert held.ack() is False
    await closing
    assert rig.log.of("broker.lost")[0]["permanent"] is False
    await mended(rig, 2)
    assert rig.deliveries[1].incoming.body == b"held"
    assert rig.deliveries[1].incoming.redelivered
    assert rig.deliveries[1].ack()


async def test_a_broker_that_restarts_or_is_killed_and_comes_back_is_found_again(build: Build, broker: Broker) -> None:
    """The kill comes second: RabbitMQ 3.10.8 never elects a leader for a quorum queue that had just been declared."""
    rig = await build().start()
    receipts = Receipts()
    for violently in (False, True):
        generation_, told, first = rig.generation, len(receipts.told), 400 * violently
        await rig.rabbit.publish(*(Outgoing(b"%d" % number) for number in range(first, first + 20)))
        for number in range(first, first + 200):
            rig.publisher.publish([outgoing(f"m{number}", mandatory=False)], receipts)
        restarting = asyncio.create_task(asyncio.to_thread(broker.restart, violently))
        await until(lambda: rig.supervisor.trouble is not None, "the trouble is said", 10)
        for number in range(first + 200, first + 400):
            rig.publisher.publish([outgoing(f"m{number}", mandatory=False)], receipts)
        await restarting
        await rig.connected(generation_ + 1)
        await receipts.all_told(told + 400)
    assert sorted(receipts.confirmations) == sorted(f"m{number}" for number in range(800))
    await until(lambda: len(set(rig.bodies)) == 40, "every event is delivered")
    await mended(rig, 3, acking=True)


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["little", "much"])
async def test_a_broker_that_freezes_is_noticed_and_nothing_hangs(build: Build, proxy: Proxy, size: int) -> None:
    """With much to write, more than the socket takes, the connection cannot even be closed in good order."""
    rig = build()
    rig = await build(urls=(proxy.url(rig.vhost),), **HASTY).start()
    await rig.rabbit.publish(Outgoing(b"held"))
    (held,) = await rig.delivered(1)
    receipts = Receipts()
    proxy.freeze()
    for number in range(30):
        rig.publisher.publish([outgoing(f"m{number}", b"x" * size, mandatory=False)], receipts)
    rig.inbox.pause("test")
    rig.inbox.resume("test")
    await until(lambda: rig.supervisor.trouble is not None, "the trouble is said", 5)
    assert not held.alive
    await rig.connected(2)
    proxy.bury()
    await mended(rig, 2)
    await receipts.all_told(30)
    assert [delivery.incoming.body for delivery in rig.deliveries].count(b"held") == rig.generation


async def test_a_process_of_the_broker_that_is_stopped_is_noticed(build: Build, broker: Broker) -> None:
    rig = await build(**HASTY).start()
    broker.node.pause()
    try:
        await until(lambda: rig.supervisor.trouble is not None, "the trouble is said", 5)
        sent = asyncio.create_task(rig.consumer.acks_sent())
        await until(sent.done, "nobody waits for what can no longer be sent")
        await sent
    finally:
        broker.node.resume()
    await mended(rig, 2)


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["little", "much"])
async def test_stopping_while_the_broker_is_frozen_takes_no_longer_than_the_limits(
    build: Build, proxy: Proxy, size: int
) -> None:
    rig = build()
    rig = await build(urls=(proxy.url(rig.vhost),), **HASTY).start()
    receipts = Receipts()
    proxy.freeze()
    for number in range(40):
        rig.publisher.publish([outgoing(f"m{number}", b"x" * size, mandatory=False)], receipts)
    await rig.stop(bound_s=2 * HASTY_CONNECT.close_s + 2)


async def test_a_listener_that_never_speaks_is_given_up_and_the_next_host_is_tried(build: Build) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    real = build()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hole = f"amqp://guest:guest@127.0.0.1:{port}/"
        rig = build(urls=(hole, f"amqp://guest:guest@127.0.0.1:{free_port()}/", real.rabbit.url, hole), **HASTY)
        await rig.start()
        assert all("guest:guest" not in str(fields) for _, _, fields in rig.log.lines)
        await rig.stop()


async def test_stopping_closes_both_connections_and_leaves_no_task(build: Build, broker: Broker) -> None:
    tasks = asyncio.all_tasks()
    rig = await build().start()
    names = broker.node.ctl("list_connections", "vhost", "client_properties")
    assert names.count(rig.vhost) >= 2
    assert "amigo-bridge publishing" in names
    assert "amigo-bridge consuming" in names
    await rig.stop()
    await until(lambda: asyncio.all_tasks() <= tasks, "no task is left")
    rows = broker.node.ctl("list_connections", "vhost").splitlines()
    assert rig.vhost not in rows


async def test_lost_connections_leave_no_socket_and_no_task_behind(build: Build, proxy: Proxy) -> None:
    rig = build()
    rig = await build(urls=(proxy.url(rig.vhost),)).start()
    receipts = Receipts()

    async def lose() -> None:
        number = rig.generation
        rig.publisher.publish([outgoing(f"m{number}", mandatory=False)], receipts)
        proxy.reset()
        await rig.connected(number + 1)

    await lose()
    before = (len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()))
    for _ in range(5):
        await lose()
    await until(
        lambda: (len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())) <= before,
        f"as many as before: {before}",
        5,
    )
    assert rig.log.at("critical") == []


async def test_the_heartbeat_of_the_url_holds_and_ten_seconds_otherwise(build: Build, broker: Broker) -> None:
    rig = build()
    await rig.start()
    other = await build(urls=(f"{rig.rabbit.url}?heartbeat=7",)).start()
    rows = broker.node.ctl("list_connections", "vhost", "timeout").splitlines()
    assert sorted(row.split("\t")[1] for row in rows if row.startswith(f"{other.vhost}\t")) == ["10", "10", "7", "7"]


def lost_twice(rig: Rig) -> bool:
    return len(rig.log.of("broker.lost")) >= 2


async def test_waits_between_attempts_grow_with_jitter_and_are_capped(build: Build) -> None:
    said: list[Any] = []
    for dice in (0.0, 1.0):
        rig = build(urls=(f"amqp://guest:guest@127.0.0.1:{free_port()}/",), dice=iter(repeat(dice)).__next__)
        rig.run()
        await until(partial(lost_twice, rig), "two attempts")
        said.append([fields["again_in_s"] for fields in rig.log.of("broker.lost")])
        await rig.stop()
        rig.log.lines.clear()
    low, high = said
    assert low[:2] == [0.2, 0.2]
    assert high[0] < high[1] <= 10.2


async def test_channels_stay_as_many_as_they_were_over_two_thousand_messages(build: Build, broker: Broker) -> None:
    """docs/reliability.md, B10: never a channel a message."""

    def receive(delivery: Delivery) -> None:
        delivery.ack()

    rig = await build(receive=receive, watch=WatchLimits(every_s=3600.0)).start()

    def channels() -> int:
        rows = broker.node.ctl("list_channels", "vhost", "name").splitlines()
        return sum(row.startswith(f"{rig.vhost}\t") for row in rows)

    receipts = Receipts()
    await until(lambda: channels() == 5, "the connection's own, and none that asks any more")
    before = channels()
    for number in range(2000):
        rig.publisher.publish([outgoing(f"m{number}", mandatory=False)], receipts)
        if number % 100 == 0:
            await rig.publisher.room()
    during = channels()
    await rig.rabbit.publish(*(Outgoing(b"{}") for _ in range(300)))
    await receipts.all_told(2000)
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "all events are taken")
    assert before == during == channels() <= 6


class Fleeting(BatchingPublisher):
    """Its first generations end as they begin."""

    async def attach(self, opened: AbstractConnection, living: generation.Generation) -> None:
        await super().attach(opened, living)
        if living.number < 4:
            living.end("over at once")


async def test_a_generation_that_ends_at_its_beginning_leaves_nothing_unawaited(build: Build) -> None:
    """Whatever it was to do has not begun then; Python's warning of it, an error here, would be its only trace."""
    rig = await build(publisher=Fleeting).start()
    gc.collect()
    assert [fields["error"] for fields in rig.log.of("broker.lost")] == ["over at once"] * 3
