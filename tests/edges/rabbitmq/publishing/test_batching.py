"""Publishing to the real broker, beyond the promise of the port: bytes on the wire, sizes, what cannot be written."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.edges.rabbitmq.publishing.batching import MAX_UNCONFIRMED
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, QUORUM
from tests.support.rig import PUBLISHERS, Receipts, Rig, outbound, outgoing
from tests.support.waiting import until

MIB = 1024 * 1024


@pytest.fixture(params=PUBLISHERS)
async def rig(request: pytest.FixtureRequest, build: Build) -> Rig:
    """A rig whose outbound exchange feeds the queue `tap`; the second outbound feeds none."""
    made: Rig = build(publisher=request.param, outbounds=(outbound(), outbound("deaf")))
    await made.rabbit.make_queue("tap", QUORUM, "#")
    return await made.start()


async def test_a_message_arrives_as_the_design_has_it(rig: Rig) -> None:
    receipts = Receipts()
    headers = {"event_id": "é✓", "attempt": 2, "sequence": 3, "recovered": True, "stream": "0123456789ab"}
    rig.publisher.publish([outgoing("e1:0123456789ab:3", b'{"a": "\xc3\xbc"}', headers=headers)], receipts)
    await receipts.all_told(1)
    (record,) = await rig.rabbit.take("tap")
    assert (record.exchange, record.routing_key, record.body) == (AGENT, "text.sms.new-message", b'{"a": "\xc3\xbc"}')
    found = {name: value for name, value in vars(record.properties).items() if value is not None}
    own = {name: value for name, value in found.pop("headers").items() if name != "x-delivery-count"}
    assert own == headers
    assert found == {
        "message_id": "e1:0123456789ab:3",
        "correlation_id": "event-1",
        "type": "new-message",
        "content_type": "application/json",
        "delivery_mode": 2,
        "timestamp": 1_700_000_000,
        "app_id": "amigo-bridge",
    }


@pytest.fixture
def large_messages(broker: Broker) -> Iterator[None]:
    """A broker that takes 64 MiB: RabbitMQ 4 takes 16 by itself, 3.10 eight times as much."""
    with broker.limited("max_message_size", 64 * MIB):
        yield


async def test_bodies_of_any_size_arrive_whole(large_messages: None, rig: Rig) -> None:
    receipts = Receipts()
    sizes = [0, 1, 131_064, 131_072, 4 * MIB, 20 * MIB]
    bodies = [bytes(range(256)) * (size // 256) + b"x" * (size % 256) for size in sizes]
    for number, body in enumerate(bodies):
        rig.publisher.publish([outgoing(f"m{number}", body)], receipts)
    await receipts.all_told(6)
    assert len(receipts.confirmations) == 6
    assert [record.body == body for record, body in zip(await rig.rabbit.take("tap"), bodies, strict=True)] == [
        True
    ] * 6


UNWRITABLE: dict[str, dict[str, Any]] = {
    "an id of 300 bytes": {"correlation_id": "i" * 300},
    "an id of 200 letters that are 600 bytes": {"correlation_id": "✓" * 200},
    "a type of 300 bytes": {"type": "t" * 300},
    "a key of 256 bytes": {"routing_key": "k" * 256},
    "a lone surrogate": {"type": "\ud800"},
    "a header of no type": {"headers": {"a": object()}},
    "a header beyond 64 bits": {"headers": {"a": 1 << 70}},
    "a time before the epoch": {"timestamp_s": -1},
}


async def test_what_cannot_be_written_is_refused_and_costs_nobody_else_anything(rig: Rig) -> None:
    bad, good = Receipts(), Receipts()
    for name, fields in UNWRITABLE.items():
        rig.publisher.publish([outgoing(name, **fields)], bad)
        rig.publisher.publish([outgoing(f"after {name}")], good)
    await until(lambda: rig.publisher.unconfirmed == 0, "every fate is told", 5)
    assert sorted(name for name, _ in bad.refusals) == sorted(UNWRITABLE)
    assert sorted(good.confirmations) == sorted(f"after {name}" for name in UNWRITABLE)
    assert rig.generation == 1


async def test_what_is_in_flight_is_bounded(rig: Rig) -> None:
    receipts = Receipts()
    for number in range(MAX_UNCONFIRMED + 1):
        rig.publisher.publish([outgoing(f"m{number}", mandatory=False)], receipts)
    full = asyncio.create_task(rig.publisher.room())
    await asyncio.sleep(0)
    assert not full.done()
    assert rig.publisher.unconfirmed > MAX_UNCONFIRMED
    await asyncio.wait_for(full, 30)
    await receipts.all_told(MAX_UNCONFIRMED + 1, 30)
    await asyncio.wait_for(rig.publisher.drained(), 60)
    assert (rig.publisher.unconfirmed, rig.publisher.oldest_s()) == (0, None)


async def test_an_ended_generation_publishes_nothing_more(rig: Rig) -> None:
    """docs/reliability.md, B5: from the end of the generation on, not only from its burial on."""
    first, second = Receipts(), Receipts()
    rig.publisher.publish([outgoing("before")], first)
    await first.all_told(1)
    queue_consumer = rig.consumer.queue_consumers[0]
    delivery_generation = queue_consumer.channel  # the consuming channel dies, the publishing connection is well
    await delivery_generation.close()
    await until(lambda: rig.supervisor.trouble is not None or rig.generation == 2, "the generation is over", 5)
    rig.publisher.publish([outgoing("after")], second)
    await rig.connected(2)
    await second.all_told(1)
    assert [record.message_id for record in await rig.rabbit.take("tap")] == ["before", "after"]


async def test_a_receipt_that_publishes_again_at_once_does_so_in_order(rig: Rig) -> None:
    """What the outbox does after a refusal, without its wait."""
    refused: list[str] = []

    class Again(Receipts):
        def refused(self, message: Any, refusal: Any) -> None:
            refused.append(message.message_id)
            if len(refused) < 3:
                rig.publisher.publish([message], self)
            else:
                rig.publisher.publish([outgoing(message.message_id)], self)

    receipts = Again()
    rig.publisher.publish([outgoing("m", outbound=1, exchange="deaf")], receipts)
    await receipts.all_told(1)
    assert (refused, receipts.confirmations) == (["m"] * 3, ["m"])
    assert rig.publisher.unconfirmed == 0
