"""A `conversation-finished` that the broker refuses: it holds no lane, and is said in the end, under its one id."""

from itertools import pairwise
from typing import Any

from bridge.core.answer.outbound_message import Outbound, OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.event.route import Defaults
from tests.support.flow_bench import AGENT_EVENTS, KEY, Bench

FORBIDDEN = PublishRefusal(RefusalKind.FORBIDDEN, "the broker refused it (403)")
TOO_LARGE = PublishRefusal(RefusalKind.IMPOSSIBLE, "the broker refused it (406)")
ALWAYS = 10_000


def is_finished(message: OutboundMessage) -> bool:
    return message.type == "conversation-finished"


def bench_of(**options: Any) -> Bench:
    return Bench(defaults=Defaults(finish_s=1.0), policy=RetryPolicy(longest_s=600.0), dice=0.0, **options)


def said(bench: Bench) -> list[str]:
    return [each.message_id for each in bench.publisher.confirmed if is_finished(each)]


async def test_a_refused_one_holds_up_no_event_of_the_user_and_its_row_stays() -> None:
    async with bench_of() as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, is_finished)
        bench.deliver("e1")
        await bench.until(lambda: bench.log.of("finish.unsaid"), "it is refused")
        began = bench.now_s()
        bench.deliver("e2")
        await bench.quiet()
        assert bench.now_s() - began < 3
        assert bench.types("e2")[-1] == "interaction-complete"
        assert bench.counters.finished == 0
        assert bench.ledger.dues


async def test_it_is_tried_again_later_and_later_up_to_the_longest_wait_and_said_under_its_id() -> None:
    async with bench_of() as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, is_finished)
        bench.deliver("e1")
        await bench.wait(4_000)
        times = [line["again_in_s"] for line in bench.log.of("finish.unsaid")]
        assert all(later >= sooner for sooner, later in pairwise(times))
        assert times[-1] == 600
        await bench.restart()
        bench.publisher.take_all()
        await bench.until(lambda: not bench.ledger.dues, "it is said", 700)
        assert said(bench) == [f"{bench.agent.talks[0].id}:conversation-finished"]
        assert len(bench.agent.calls("finish")) == 1
        assert bench.counters.finished == 1


async def test_one_that_the_broker_can_never_take_is_given_up_loudly_and_counted() -> None:
    async with bench_of() as bench:
        bench.publisher.refuse(1, TOO_LARGE, is_finished)
        bench.deliver("e1")
        await bench.until(lambda: not bench.ledger.dues and bench.counters.unsaid, "it is given up", 100)
        assert [line.event for line in bench.log.at("error")] == ["ending.refused"]
        assert said(bench) == []


async def test_no_patience_at_all_is_no_reason_to_give_it_up() -> None:
    async with Bench(
        defaults=Defaults(finish_s=1.0), policy=RetryPolicy(longest_s=600.0, publish_for_s=0.0), dice=0.0
    ) as bench:
        bench.publisher.refuse(3, FORBIDDEN, is_finished)
        bench.deliver("e1")
        await bench.until(lambda: bench.counters.finished, "it is said", 100)
        assert bench.counters.unsaid == 0


async def test_an_outbound_that_has_it_does_not_get_it_again_with_every_try_of_the_other() -> None:
    async with bench_of(outbounds=(AGENT_EVENTS, Outbound("audit", KEY))) as bench:
        bench.publisher.refuse(ALWAYS, FORBIDDEN, lambda each: is_finished(each) and each.to.outbound == 1)
        bench.deliver("e1")
        await bench.until(lambda: len(bench.log.of("finish.unsaid")) > 3, "it is refused again and again", 1_000)
        bench.publisher.take_all()
        await bench.until(lambda: not bench.ledger.dues, "it is said", 700)
        taken = [each.to.outbound for each in bench.publisher.confirmed if is_finished(each)]
        assert sorted(taken) == [0, 1]
