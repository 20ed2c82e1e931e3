"""Settling: copies that are refused, delays, and a memory that has its bounds."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from bridge.core.broker.publish_refusal import UNROUTED, PublishRefusal, RefusalKind
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.retry import Backoff
from bridge.core.errors import MAX_ERROR_BYTES, bounded
from bridge.core.event.inbound_message import InboundMessage
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.work import Work
from tests.flow.test_work import EVENT
from tests.support.fakes import FakeDelivery
from tests.support.flow_bench import QUEUE, Bench


def work(bench: Bench, event_id: str = "e1", **headers: Any) -> Work:
    delivery = FakeDelivery(
        InboundMessage(b"{}", QUEUE, "bridge.events", "some.key", headers=headers), trace=bench.trace
    )
    event = replace(EVENT, id=event_id)
    return Work.of(
        event,
        delivery,
        Outbox(bench.publisher, Backoff(bench.policy, lambda: 0.0), RefusalLog(bench.log)),
        bench.now_s(),
    )


async def test_a_copy_that_is_refused_is_tried_again_with_growing_waits_for_ever_and_loudly() -> None:
    bench = Bench(dice=0.0, copies_return=False)
    bench.republisher.refuse(12, UNROUTED)
    burying = bench.settler.bury(work(bench), DeadLetter("rejected", "No.", 1), parkable=False)
    settler = asyncio.create_task(burying)
    times: list[float] = []
    while not settler.done():
        if len(bench.republisher.refused) > len(times):
            times.append(bench.now_s())
        await asyncio.sleep(0.01)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60], abs=0.1)
    assert 3 <= len([line for line in bench.log.at("error") if line.event == "copy.refused"]) <= 12
    assert bench.order() == ["copy:rejected", "bridge-failed", "ack"]


@pytest.mark.parametrize(("wait_s", "level"), [(0.2, 1), (1.0, 1), (1.1, 2), (59.0, 60), (301.0, 600), (5_000.0, 3600)])
async def test_the_delay_queue_is_the_shortest_that_is_not_too_early_or_the_longest_there_is(
    wait_s: float, level: int
) -> None:
    bench = Bench(copies_return=False)
    await bench.settler.park(work(bench), wait_s)
    assert [copy.routing_key for copy in bench.republisher.copies] == [f"{QUEUE}.delay.{level}"]


async def test_a_parked_event_that_asked_for_nothing_yet_has_no_record() -> None:
    bench = Bench(copies_return=False)
    await bench.settler.park(work(bench), 1.0)
    assert "x-bridge-progress" not in bench.republisher.copies[0].headers


async def test_each_round_through_a_delay_queue_is_counted() -> None:
    bench = Bench(copies_return=False)
    counted: dict[str, Any] = {"x-bridge-copies": 6}
    await bench.settler.park(work(bench, **counted), 1.0)
    assert bench.republisher.copies[0].headers["x-bridge-copies"] == 7


async def test_what_is_remembered_of_settled_events_has_its_bounds() -> None:
    bench = Bench(copies_return=False)
    for number in range(20_500):
        each = work(bench, f"e{number}")
        assert isinstance(each.delivery, FakeDelivery)
        each.delivery.die()
        bench.settler.acknowledge(each)
    parts = {name: len(part) for name, part in vars(bench.settler).items() if isinstance(part, dict)}
    assert parts
    assert all(size <= 10_000 for size in parts.values()), parts


async def test_what_is_settled_is_counted_once_with_all_that_went_out() -> None:
    async with Bench() as bench:
        bench.publisher.refuse(1, concerns=lambda each: each.type == "new-message")
        bench.deliver()
        await bench.quiet()
        counters = bench.counters
        assert (counters.lines, counters.published, counters.refused, counters.lost) == (3, 3, 1, 0)
        assert dict(counters.settled) == {"ack": 1}


async def test_a_dead_letter_that_the_broker_never_takes_whole_is_reduced_step_by_step() -> None:
    bench = Bench(dice=0.0, copies_return=False)
    bench.republisher.refuse(2, PublishRefusal(RefusalKind.IMPOSSIBLE, "too large"))
    body = b"x" * 200_000
    incoming = InboundMessage(body, QUEUE, "bridge.events", "some.key", headers={"foreign": 1})
    event = work(bench)
    event.deliveries.first = FakeDelivery(incoming, trace=bench.trace)
    await bench.settler.bury(event, DeadLetter("rejected", "No.", 1))
    whole, bare = bench.republisher.refused
    (cut,) = bench.republisher.copies
    assert [len(copy.body) for copy in (whole, bare, cut)] == [200_000, 200_000, 65_536]
    assert [copy.headers.get("x-bridge-truncated") for copy in (whole, bare, cut)] == [None, "headers", "body"]
    assert [copy.headers.get("foreign") for copy in (whole, bare, cut)] == [1, None, None]
    assert cut.headers["x-bridge-reason"] == "rejected"


async def test_a_copy_whose_exchange_is_gone_waits_for_it_whole() -> None:
    bench = Bench(dice=0.0, copies_return=False)
    bench.republisher.refuse(3, PublishRefusal(RefusalKind.MISSING, "404"))
    await bench.settler.bury(work(bench, foreign=1), DeadLetter("rejected", "No.", 1))
    (copy,) = bench.republisher.copies
    assert (copy.headers["foreign"], copy.headers.get("x-bridge-truncated")) == (1, None)


async def test_dead_letter_ending_log_and_ledger_have_the_same_words_within_one_bound() -> None:
    bench = Bench(dice=0.0, copies_return=False)
    error = "Grüße " * 1_000
    letter = DeadLetter("rejected", error, 1)
    await bench.settler.bury(work(bench), letter)
    (copy,) = bench.republisher.copies
    (ending,) = [orjson.loads(message.body) for message in bench.publisher.confirmed]
    (line,) = [line.fields for line in bench.log.lines if line.event == "delivery.settled"]
    assert copy.headers["x-bridge-error"] == ending["error"] == line["error"] == letter.error == bounded(error)
    assert len(letter.error.encode()) <= MAX_ERROR_BYTES
