"""What the broker refuses for now waits in a delay queue, not in hand: docs/semantics.md, Refused messages."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.core.answer.outbound_message import Outbound, OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, UNROUTED, PublishRefusal, RefusalKind
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Refused
from bridge.core.event.enrichment import EnrichmentKind, WantedEnrichment
from bridge.core.event.route import Rendered, Route
from bridge.core.ledger.ledger_entry import State
from tests.support.fakes import FakeLedger, FakeRoutes, answered, complete, said
from tests.support.fakes.broker import DELAY
from tests.support.flow_bench import AGENT_EVENTS, KEY, QUEUE, Bench

FORBIDDEN = PublishRefusal(RefusalKind.FORBIDDEN, "the broker refused it (403)")
ALWAYS = 10_000


def of_event(event_id: str, *types: str) -> Callable[[OutboundMessage], bool]:
    return lambda each: each.correlation_id == event_id and (not types or each.type in types)


def bench_of(**options: Any) -> Bench:
    return Bench(park_after_s=20.0, dice=0.0, **options)


def allow(bench: Bench) -> None:
    """The broker takes everything from now on."""
    bench.publisher.take_all()


async def test_a_refused_event_is_held_no_longer_than_park_after_and_then_comes_back_with_all_its_lines() -> None:
    async with bench_of() as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1"))
        bench.agent.script(answered(said("a"), said("b"), complete()))
        first = bench.deliver("e1")
        await bench.wait(15)
        assert not first.acked, "a short refusal costs no copy"
        await bench.wait(10)
        assert first.acked
        (copy,) = bench.republisher.delayed
        assert copy.headers["x-bridge-refused-since"]
        assert "x-bridge-dead-lettered" not in copy.headers
        allow(bench)
        await bench.quiet()
        assert bench.types() == ["conversation-created", "new-message", "new-message", "interaction-complete"]
        assert (bench.attempts(), bench.dead()) == (1, [])


async def test_a_short_refusal_costs_nothing() -> None:
    async with bench_of() as bench:
        bench.publisher.refuse(2, NACKED, of_event("e1", "new-message"))
        bench.deliver("e1")
        await bench.quiet()
        assert not bench.republisher.delayed
        assert "interaction-complete" in bench.types()


async def test_only_a_share_of_the_prefetch_is_held_and_what_is_beyond_is_parked_at_once() -> None:
    async with bench_of(share=3) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, lambda each: each.correlation_id.startswith("bad"))
        bad = [bench.deliver(f"bad{number}", user_id=f"user-{number}") for number in range(20)]
        await bench.wait(2)
        assert sum(not delivery.acked for delivery in bad) == 3
        good = bench.deliver("good", user_id="someone")
        await bench.wait(2)
        assert good.acked
        allow(bench)
        await bench.quiet()
        assert all("interaction-complete" in bench.types(f"bad{number}") for number in range(20))
        assert bench.dead() == []


async def test_patience_counts_from_the_first_refusal_through_copies_and_restarts_and_no_attempt_is_used_up() -> None:
    async with bench_of(policy=RetryPolicy(publish_for_s=300.0, attempts=2)) as bench:
        bench.publisher.refuse(ALWAYS, UNROUTED, of_event("e1"))
        bench.deliver("e1")
        began = bench.now_s()
        await bench.wait(100)
        await bench.restart()
        await bench.until(bench.dead, "it is given up", 1_000)
        assert bench.dead() == ["undeliverable"]
        assert 290 <= bench.now_s() - began <= 330
        assert bench.attempts() == 1
        assert len(bench.republisher.delayed) <= 8
        allow(bench)
        await bench.quiet()
        assert bench.types() == [], "what was answered is not said to have failed"


async def test_an_outbound_that_has_the_ending_does_not_get_it_again_with_every_try_of_the_other() -> None:
    async with bench_of(share=0, outbounds=(AGENT_EVENTS, Outbound("audit", KEY))) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, lambda each: each.to.outbound == 1)
        bench.deliver("e1")
        bench.deliver("e2", channel="fax", user_id="someone")
        await bench.wait(100)
        allow(bench)
        await bench.quiet()
        taken = [(each.to.outbound, each.message_id) for each in bench.publisher.confirmed]
        assert len(taken) == len(set(taken))
        assert {outbound for outbound, name in taken if name.endswith(":interaction-complete")} == {0, 1}
        assert {outbound for outbound, name in taken if name.endswith(":bridge-failed")} == {0, 1}


async def test_the_next_event_of_the_lane_comes_after_the_refused_one() -> None:
    async with bench_of() as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1"))
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.wait(60)
        allow(bench)
        await bench.quiet()
        endings = [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]
        assert endings == ["e1", "e2"]


async def test_a_stream_that_was_cut_is_reconciled_though_its_lines_are_refused() -> None:
    async with bench_of(policy=RetryPolicy(publish_for_s=60.0)) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1", "new-message"))
        bench.agent.script(answered(said("a")))
        bench.deliver("e1")
        await bench.until(lambda: bench.log.of("event.reconciled"), "the API is asked", 120)
        allow(bench)
        await bench.quiet()
        assert "interaction-complete" in bench.types()
        assert bench.dead() == []


@pytest.mark.parametrize("when_lost", ["hold", "ask"])
async def test_a_dead_letter_that_is_refused_holds_nobody_up_and_is_neither_lost_nor_doubled(when_lost: str) -> None:
    async with bench_of(share=0, when_lost=when_lost) as bench:
        bench.republisher.refuse(1)
        first = bench.deliver("e1", channel="fax")
        await bench.wait(1)
        assert first.acked
        (entry,) = [each for each in [await bench.ledger.find("e1")] if each is not None]
        assert entry.state is State.FAILED
        await bench.quiet()
        assert bench.dead() == ["invalid-event"]
        assert bench.types() == ["bridge-failed"]
        (letter,) = bench.republisher.dead()
        assert not [name for name in letter.headers if "refused-since" in name or "dead-lettered" in name]


async def test_a_message_without_an_id_whose_dead_letter_is_refused_waits_elsewhere() -> None:
    async with bench_of(share=0) as bench:
        bench.republisher.refuse(1)
        first = bench.deliver(body=b"no JSON")
        await bench.wait(0.5)
        assert first.acked
        await bench.quiet()
        assert bench.dead() == ["invalid-event"]


async def test_a_failure_of_which_nobody_may_be_told_is_parked_with_one_letter() -> None:
    async with bench_of(share=0) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1", "bridge-failed"))
        bench.deliver("e1", channel="fax")
        await bench.wait(100)
        assert bench.republisher.delayed[-1].headers["x-bridge-dead-lettered"] is True
        assert bench.dead() == ["invalid-event"]
        await bench.restart()
        allow(bench)
        await bench.quiet()
        assert bench.dead() == ["invalid-event"]
        assert bench.types() == ["bridge-failed"]


async def test_a_failure_that_can_never_be_told_is_counted() -> None:
    async with bench_of(policy=RetryPolicy(publish_for_s=30.0)) as bench:
        bench.publisher.refuse(ALWAYS, NACKED, of_event("e1", "bridge-failed"))
        bench.deliver("e1", channel="fax")
        await bench.quiet()
        assert bench.counters.unsaid == 1
        assert [line.event for line in bench.log.at("error")] == ["ending.refused"]


async def test_without_a_ledger_a_refused_answer_is_found_in_the_history() -> None:
    async with bench_of(share=0, when_lost="ask", ledger=FakeLedger()) as bench:
        bench.ledger.break_down()
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1"))
        bench.deliver("e1")
        await bench.wait(30)
        allow(bench)
        await bench.quiet()
        assert bench.attempts() == 1
        assert "interaction-complete" in bench.types()
        bench.ledger.mend()


async def test_where_the_delay_queue_refuses_it_too_it_is_tried_again_in_memory() -> None:
    async with bench_of(share=0) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1"))
        bench.republisher.refuse(ALWAYS)
        delivery = bench.deliver("e1")
        await bench.wait(100)
        assert not delivery.acked
        allow(bench)
        await bench.quiet()
        assert "interaction-complete" in bench.types()
        assert delivery.acked
        assert not bench.republisher.copies


async def test_without_a_delay_queue_a_message_without_an_id_is_held_until_its_letter_is_taken() -> None:
    async with bench_of(share=0) as bench:
        bench.republisher.refuse(7)
        delivery = bench.deliver(body=b"no JSON")
        await bench.wait(10)
        assert not delivery.acked
        await bench.quiet()
        assert bench.dead() == ["invalid-event"]


async def test_an_ending_of_the_bridges_own_is_parked_too() -> None:
    async with bench_of(share=0) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("c1"))
        bench.deliver("c1", kind="cancel", message=None, cancels="other")
        await bench.wait(30)
        assert bench.republisher.delayed
        allow(bench)
        await bench.quiet()
        assert bench.types("c1") == ["cancel-settled"]


async def test_lines_that_are_refused_again_and_again_are_logged_now_and_then() -> None:
    async with bench_of(share=0) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, lambda each: each.correlation_id != "good")
        for number in range(200):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
        await bench.wait(4)
        lines = bench.log.of("publish.refused")
        assert len(lines) <= 3, "one for each routing key"
        await bench.wait(5)
        assert sum(line.get("more", 0) for line in bench.log.of("publish.refused")) >= 200
        allow(bench)
        await bench.quiet()


async def test_an_enrichment_that_is_refused_holds_neither_lane_nor_delivery_and_comes_in_the_end() -> None:
    routes = FakeRoutes()
    routes.add(Route("rich"), Rendered(enrich=(WantedEnrichment(EnrichmentKind.INSIGHTS),)))
    async with bench_of(share=0, routes=routes) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1", "interaction-insights"))
        first = bench.deliver("e1")
        bench.deliver("e2")
        await bench.wait(5)
        assert first.acked
        assert "interaction-complete" in bench.types("e2")
        await bench.wait(100)
        await bench.restart()
        allow(bench)
        await bench.quiet()
        assert bench.types("e1")[-2:] == ["interaction-complete", "interaction-insights"]
        assert bench.attempts() == 2
        assert bench.dead() == []


async def test_an_enrichment_that_is_refused_for_too_long_is_given_up_and_counted() -> None:
    routes = FakeRoutes()
    routes.add(Route("rich"), Rendered(enrich=(WantedEnrichment(EnrichmentKind.INSIGHTS),)))
    async with bench_of(share=0, routes=routes, policy=RetryPolicy(publish_for_s=60.0)) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1", "interaction-insights"))
        bench.deliver("e1")
        await bench.quiet()
        assert bench.counters.enrichments["interaction-insights", "refused"] == 1
        assert [line.event for line in bench.log.at("error")] == ["enrichment.refused"]


@pytest.mark.parametrize("header", [{"x-bridge-dead-lettered": True}, {"x-bridge-refused-since": 1}])
async def test_a_publishers_word_on_earlier_handlings_is_not_believed(header: dict[str, object]) -> None:
    async with bench_of() as bench:
        bench.deliver("e1", service_id=None, headers=header)
        await bench.quiet()
        assert bench.dead() == ["no-route"]
        assert bench.types() == ["bridge-failed"]
        bench.publisher.refuse(2, FORBIDDEN, of_event("e2", "new-message"))
        bench.deliver("e2", headers=header)
        await bench.quiet()
        assert "interaction-complete" in bench.types("e2")
        assert bench.dead() == ["no-route"]


async def test_those_behind_a_refused_one_take_no_more_than_a_share_of_the_prefetch_either() -> None:
    """Whether the one that they wait for is in hand or in a delay queue."""
    async with bench_of(share=3) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, lambda each: each.correlation_id.startswith("bad"))
        for number in range(5):
            bench.deliver(f"bad{number}", user_id=f"user-{number}")
        await bench.wait(2)
        behind = [bench.deliver(f"next{number}", user_id=f"user-{number % 5}") for number in range(30)]
        await bench.wait(3)
        assert sum(not delivery.acked for delivery in behind) <= 3
        await bench.wait(100)
        allow(bench)
        await bench.quiet()
        assert bench.dead() == []
        for lane in range(5):
            said_of = [f"bad{lane}", *(f"next{number}" for number in range(lane, 30, 5))]
            endings = [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]
            assert [each for each in endings if each in said_of] == said_of, "in order"


async def test_a_few_behind_one_that_is_away_wait_in_hand() -> None:
    async with bench_of(share=3) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, of_event("e1"))
        bench.deliver("e1")
        await bench.wait(2)
        behind = bench.deliver("e2")
        await bench.wait(10)
        assert not behind.acked


async def test_without_a_ledger_what_is_invalid_and_whose_dead_letter_is_refused_waits_elsewhere() -> None:
    async with bench_of(share=0, when_lost="ask") as bench:
        bench.ledger.break_down()
        bench.republisher.refuse(1)
        first = bench.deliver("e1", channel="fax")
        await bench.wait(1)
        assert first.acked, "whoever gets it back sees that it is invalid"
        await bench.quiet()
        assert (bench.dead(), bench.types()) == (["invalid-event"], ["bridge-failed"])


async def test_without_a_ledger_what_has_failed_and_whose_dead_letter_is_refused_is_not_held_for_ever() -> None:
    """Nor is the API asked for it again and again: each of them comes back after ten minutes."""
    async with bench_of(share=3, when_lost="ask", ledger=FakeLedger()) as bench:
        bench.ledger.break_down()
        bench.republisher.refuse(ALWAYS, FORBIDDEN, concerns=lambda copy: copy.exchange != DELAY)
        bench.agent.fail("create", *[Refused("create-conversation", 422, "No.")] * ALWAYS)
        failed = [bench.deliver(f"e{number}", user_id=f"user-{number}") for number in range(10)]
        await bench.wait(5)
        assert sum(not delivery.acked for delivery in failed) == 3, "a share of the prefetch is tried again in hand"
        await bench.wait(30)
        assert all(delivery.acked for delivery in failed)
        assert {copy.routing_key for copy in bench.republisher.delayed} == {f"{QUEUE}.delay.600"}
        await bench.wait(500)
        assert bench.attempts() == 10
        assert (bench.dead(), bench.publisher.confirmed) == ([], [])
        bench.republisher.take_all()
        await bench.quiet()
        assert bench.attempts() == 20
        assert bench.dead() == ["rejected"] * 10
        assert [each.type for each in bench.publisher.confirmed] == ["bridge-failed"] * 10
        bench.ledger.mend()
