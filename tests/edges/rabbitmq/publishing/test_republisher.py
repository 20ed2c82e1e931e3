"""Dead letters and delayed copies at the real broker: what is carried over, what must not act again, two at once."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest
from pika import BasicProperties

from bridge.core.broker import republished_copy
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.edges.rabbitmq.generation import Generation
from bridge.edges.rabbitmq.publishing.republisher import BrokerRepublisher
from bridge.flow.ports.broker import RepublishRefused
from deploy.local.node import RabbitNode
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.rabbit import DEAD, DELAY, EVENTS, Outgoing, ReceivedMessage
from tests.support.rig import Rig
from tests.support.waiting import until
from tests.support.wire import every_type, scalar, table, with_headers


def letter(rig: Rig, number: int = 0) -> RepublishedCopy:
    return republished_copy.dead(
        rig.deliveries[number].incoming,
        DEAD,
        reason="rejected",
        error="because",
        attempts=3,
        failed_at="2026-01-01T00:00:00Z",
        conversation_id="6a0000000000000000000001",
    )


async def copied(rig: Rig, *sent: Outgoing) -> list[ReceivedMessage]:
    await rig.rabbit.publish(*sent)
    await rig.delivered(len(sent))
    for number in range(len(sent)):
        await rig.republisher.copy(letter(rig, number))
    return await rig.rabbit.take(DEAD)


def headers_of(record: ReceivedMessage) -> dict[str, Any]:
    """Without the broker's own counts of this very delivery."""
    counts = ("x-delivery-count", "x-acquired-count")
    return {name: value for name, value in record.headers.items() if name not in counts}


async def test_a_dead_letter_has_the_originals_body_and_properties_and_the_reasons_headers(build: Build) -> None:
    rig = await build().start()
    properties = BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        priority=7,
        correlation_id="c",
        reply_to="r",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        app_id="a",
        delivery_mode=1,
        headers={"own": "header"},
    )
    (found,) = await copied(rig, Outgoing(b"\x00\xff not JSON", properties, "some.key"))
    assert (found.exchange, found.routing_key, found.body) == (DEAD, "rejected", b"\x00\xff not JSON")
    original = {**vars(properties), "delivery_mode": 2}
    assert {**vars(found.properties), "headers": None} == {**original, "headers": None}
    assert headers_of(found) == {
        "own": "header",
        "x-bridge-reason": "rejected",
        "x-bridge-error": "because",
        "x-bridge-attempts": 3,
        "x-bridge-failed-at": "2026-01-01T00:00:00Z",
        "x-bridge-exchange": EVENTS,
        "x-bridge-routing-key": "some.key",
        "x-bridge-conversation-id": "6a0000000000000000000001",
    }


async def test_headers_of_every_type_survive_a_copy(build: Build) -> None:
    """Read by pamqp again: pika takes floats for integers."""
    rig = await build().start()
    await rig.rabbit.publish(Outgoing(b"{}", with_headers(table(*every_type()), b"m")))
    (delivery,) = await rig.delivered(1)
    await rig.republisher.copy(letter(rig))
    async with await aio_pika.connect(rig.rabbit.url) as connection:
        channel = await connection.channel()
        copy = await (await channel.get_queue(DEAD)).get(no_ack=True)
    before = {name: value for name, value in delivery.incoming.headers.items() if name != "x-delivery-count"}
    after = {name: copy.headers[name] for name in before}
    assert after.pop("d") == repr(before.pop("d")), "pamqp writes floats in 32 bits: as text nothing of it is lost"
    assert after == before
    assert {type(after[name]) for name in ("t", "f", "S", "T", "F", "A", "V")} == {
        type(before[name]) for name in ("t", "f", "S", "T", "F", "A", "V")
    }


async def test_what_would_act_again_is_left_out(build: Build) -> None:
    rig = await build().start()
    await rig.rabbit.make_queue("carbon", {"x-queue-type": "classic"}, "carbon", exchange=DEAD)
    counted = {"x-delivery-count": 3, "x-acquired-count": 4, "x-first-death-queue": "q", "x-last-death-queue": "q"}
    headers = {"CC": ["carbon"], "BCC": ["carbon"], "x-death": [{"count": 5}], **counted, "fine": 1}
    properties = BasicProperties(headers=headers, expiration="60000", user_id="guest", message_id="m")
    (found,) = await copied(rig, Outgoing(b"{}", properties))
    assert set(headers_of(found)) & set(headers) == {"fine"}
    assert (found.properties.expiration, found.properties.user_id) == (None, None)
    assert await rig.rabbit.ready_count("carbon") == 0


async def test_a_delayed_copy_comes_back_where_it_was_taken_from(build: Build) -> None:
    rig = await build(lean=False).start()
    await rig.rabbit.publish(Outgoing(b"{}", BasicProperties(message_id="m", headers={"own": 1}), "some.key"))
    (first,) = await rig.delivered(1)
    await rig.republisher.copy(
        republished_copy.delayed(first.incoming, DELAY, 1, attempt=2, pauses=1, progress='{"a": 1}')
    )
    assert first.ack()
    _, second = await rig.delivered(2)
    again = second.incoming
    assert (again.attempt, again.pauses, again.copies, again.origin) == (2, 1, 1, (EVENTS, "some.key"))
    assert (again.headers["own"], again.headers["x-bridge-progress"], again.message_id) == (1, '{"a": 1}', "m")
    assert not again.redelivered


async def test_what_has_waited_brings_no_count_of_deaths_into_its_next_copy(build: Build) -> None:
    """The broker adds more of them in each version; the copies are looked at where they wait and where they end."""
    rig = await build(lean=False).start()
    await rig.rabbit.publish(Outgoing(b"{}", BasicProperties(message_id="m", headers={"own": 1}, priority=5)))
    (first,) = await rig.delivered(1)
    await rig.republisher.copy(republished_copy.delayed(first.incoming, DELAY, 1, attempt=1, pauses=0, progress=None))
    _, second = await rig.delivered(2)
    assert any("death" in name for name in second.incoming.headers)
    await rig.republisher.copy(letter(rig, 1))
    await rig.republisher.copy(
        republished_copy.delayed(second.incoming, DELAY, 600, attempt=1, pauses=0, progress=None)
    )
    (dead,), (waiting,) = await rig.rabbit.take(DEAD), await rig.rabbit.take(f"{EVENTS}.delay.600")
    for record in (dead, waiting):
        foreign = {name for name in headers_of(record) if not name.startswith("x-bridge-")}
        assert foreign == {"own"}
    assert (dead.properties.priority, waiting.properties.priority) == (5, None)


async def test_a_delayed_copy_of_high_priority_stands_in_front_of_nobody(build: Build) -> None:
    """Time to live counts at the head of a queue, so one that overtakes would hold up those behind it (RabbitMQ 4)."""
    rig = await build(lean=False).start()
    high = [BasicProperties(message_id=f"m{number}", priority=9 * (number % 2)) for number in range(6)]
    await rig.rabbit.publish(*[Outgoing(b"%d" % number, one) for number, one in enumerate(high)])
    for delivery in await rig.delivered(6):
        await rig.republisher.copy(
            republished_copy.delayed(delivery.incoming, DELAY, 600, attempt=1, pauses=0, progress=None)
        )
    order = [delivery.incoming.message_id for delivery in rig.deliveries]
    assert [record.message_id for record in await rig.rabbit.take(f"{EVENTS}.delay.600")] == order


async def test_many_and_large_headers_leave_the_copy_possible(build: Build) -> None:
    """A content header must fit into one frame: what is too much is left out and named, and that in a moment."""
    rig = await build().start()
    few = table(
        (b"large", b"S" + (65_400).to_bytes(4, "big") + b"x" * 65_400),
        (b"more", b"S" + (65_400).to_bytes(4, "big") + b"y" * 65_400),
        (b"small", scalar(b"t", ">B", 1)),
    )
    (found,) = await copied(rig, Outgoing(b"{}", with_headers(few, b"m")))
    assert found.headers["small"] is True
    assert found.headers["x-bridge-reason"] == "rejected"
    assert found.headers["x-bridge-headers-left-out"] in ("large", "more")


async def test_ten_thousand_small_headers_do_not_stop_the_loop(build: Build) -> None:
    rig = await build().start()
    many = table(*((b"%05d" % number, scalar(b"I", ">i", number)) for number in range(11_500)))  # 126 KB of 128
    await rig.rabbit.publish(Outgoing(b"{}", with_headers(many, b"m")))
    await rig.delivered(1)
    began_s = time.process_time()
    await rig.republisher.copy(letter(rig))
    assert time.process_time() - began_s < 2, "of this process's own work"


async def test_foreign_headers_named_like_the_bridges_own_do_not_make_a_copy_impossible(build: Build) -> None:
    rig = await build().start()
    large = table((b"x-bridge-mine", b"S" + (110_000).to_bytes(4, "big") + b"x" * 110_000))
    (found,) = await copied(rig, Outgoing(b"{}", with_headers(large, b"m")))
    assert found.headers["x-bridge-reason"] == "rejected"


async def test_a_return_is_told_to_the_copy_that_it_belongs_to_whenever_that_was_started(build: Build) -> None:
    """docs/reliability.md, P2: of one message id never two in flight, also where a third comes as the second begins."""
    rig = await build().start()
    good, bad = (
        RepublishedCopy(DEAD, "rejected", b"good", {"message_id": "m"}, {}),
        RepublishedCopy("", "nowhere", b"bad", {"message_id": "m"}, {}),
    )
    for _ in range(20):
        first = asyncio.create_task(rig.republisher.copy(good))
        second = asyncio.create_task(rig.republisher.copy(bad))
        await first
        third = await asyncio.gather(rig.republisher.copy(good), return_exceptions=True)
        with pytest.raises(RepublishRefused):
            await second
        assert list(third) == [None]


async def test_refused_copies_are_not_remembered(build: Build) -> None:
    rig = await build().start()
    before = _held(rig.republisher)
    for number in range(50):
        with pytest.raises(RepublishRefused):
            await rig.republisher.copy(RepublishedCopy("", "nowhere", b"", {"message_id": f"m{number}"}, {}))
    assert _held(rig.republisher) <= before + 1


def _held(republisher: BrokerRepublisher) -> int:
    """How many things it keeps in its collections, whatever they are called."""
    return sum(len(value) for value in vars(republisher).values() if isinstance(value, dict | list | set))


async def test_a_copy_that_cannot_be_written_is_refused(build: Build) -> None:
    rig = await build().start()
    for name, value in {
        "message_id": "m" * 300,
        "type": "\ud800",
        "timestamp": datetime(1900, 1, 1, tzinfo=UTC),
    }.items():
        with pytest.raises(RepublishRefused):
            await asyncio.wait_for(
                rig.republisher.copy(RepublishedCopy(DEAD, "rejected", b"{}", {name: value}, {})), 10
            )
    await rig.republisher.copy(RepublishedCopy(DEAD, "rejected", b"fine", {}, {}))
    assert rig.generation == 1


async def test_a_copy_whose_connection_died_in_silence_goes_out_through_the_next(build: Build, broker: Broker) -> None:
    rig = await build().start()
    republisher = BrokerRepublisher()
    node: RabbitNode = broker.node
    async with Proxy(node.port) as proxy, await aio_pika.connect(rig.rabbit.url) as well:
        silent = await aio_pika.connect(proxy.url(rig.vhost))
        old, new = Generation(1), Generation(2)
        await republisher.attach(silent, old)
        proxy.freeze()
        copying = asyncio.create_task(republisher.copy(RepublishedCopy(DEAD, "rejected", b"patient", {}, {})))
        await asyncio.sleep(0.05)
        old.end("noticed by somebody else")
        republisher.detach()
        await republisher.attach(well, new)
        await asyncio.wait_for(copying, 60)
        proxy.reset()
        await silent.close()
    assert [record.body for record in await rig.rabbit.take(DEAD)] == [b"patient"]
    await until(lambda: new.alive is False, "the second connection is closed", 5)
