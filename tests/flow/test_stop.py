"""The stop: start nothing more, finish what streams, leave the rest to the next instance.

See docs/semantics.md, Stop, start, reconnect.
"""

import pytest

from bridge.core.errors import Lost, NotSent, Refused
from bridge.core.event.inbound_message import InboundMessage
from tests.flow.lanes.test_lanes import ended
from tests.support.fakes import Gate, answered, complete, error, said
from tests.support.flow_bench import QUEUE, Bench


async def test_what_streams_is_finished_within_the_grace_and_nothing_more_is_started() -> None:
    async with Bench() as bench:
        bench.agent.default = answered(said("a"), 10.0, complete())
        first, second = bench.deliver("e1"), bench.deliver("e2")
        await bench.wait(1)
        left = await bench.stop(30.0)
        assert left == 1
        assert (first.acked, second.acked) == (1, 0)
        assert ended(bench) == ["e1"]
        assert bench.attempts() == 1


async def test_the_stop_waits_no_longer_than_needed() -> None:
    async with Bench() as bench:
        bench.agent.default = answered(said("a"), 10.0, complete())
        bench.deliver("e1")
        await bench.wait(1)
        began = bench.now_s()
        assert await bench.stop(30.0) == 0
        assert bench.now_s() - began < 11.0


@pytest.mark.parametrize("grace_s", [0.0, 5.0])
async def test_a_stream_longer_than_the_grace_is_cut_and_left_unacked(grace_s: float) -> None:
    async with Bench() as bench:
        bench.agent.default = answered(said("a"), 100.0, complete())
        delivery = bench.deliver("e1")
        await bench.wait(1)
        began = bench.now_s()
        assert await bench.stop(grace_s) == 1
        assert bench.now_s() - began <= grace_s + 1.0
        assert delivery.asked == 0
        assert bench.republisher.copies == []


async def test_the_next_instance_asks_before_it_starts_anything() -> None:
    async with Bench() as bench:
        bench.agent.default = answered(said("a"), 100.0, complete())
        delivery = bench.deliver("e1")
        await bench.wait(1)
        await bench.stop(0.0)
        agent = bench.agent
    async with Bench() as following:
        following.agent.talks, following.agent._numbers = agent.talks, agent._numbers
        following.receive(InboundMessage(delivery.incoming.body, QUEUE, redelivered=True))
        await following.quiet()
        assert [call.operation for call in following.agent.journal][1] == "conversations"
        assert following.agent.heard("Tell e1") == 1
        voided = following.said("bridge-voided")[0]
        assert voided["stream"] is None
        assert voided["before"] == following.out()[-1].headers["stream"]


async def test_events_that_wait_for_their_turn_are_left_unacked() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, complete()))
        deliveries = [bench.deliver(f"e{number}") for number in range(5)]
        await api_breaker.reached.wait()
        assert await bench.stop(3.0) == 5
        assert [delivery.asked for delivery in deliveries] == [0] * 5
        assert bench.event_intake.in_hand == 5


async def test_a_lane_that_waits_in_memory_stops_at_once() -> None:
    async with Bench() as bench:
        bench.agent.break_down("create", NotSent("no connection"))
        delivery = bench.deliver()
        await bench.wait(10)
        began = bench.now_s()
        assert await bench.stop(30.0) == 1
        assert bench.now_s() - began < 1.0
        assert delivery.asked == 0


async def test_a_lane_that_waits_for_the_gate_stops_at_once() -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", NotSent("no connection"))
        await bench.until(lambda: not bench.api_breaker.passing, "the gate closes")
        bench.deliver()
        await bench.wait(1)
        began = bench.now_s()
        assert await bench.stop(30.0) == 1
        assert bench.now_s() - began < 1.0
        assert bench.attempts() == 0


async def test_a_delivery_that_comes_after_the_stop_is_left_unacked_and_starts_nothing() -> None:
    async with Bench() as bench:
        await bench.stop(0.0)
        delivery = bench.deliver()
        await bench.wait(5)
        assert bench.attempts() == 0
        assert delivery.asked == 0


async def test_an_ending_that_comes_within_the_grace_is_acked_after_its_confirm() -> None:
    async with Bench() as bench:
        bench.agent.default = answered(said("a"), 2.0, complete())
        bench.publisher.hold()
        delivery = bench.deliver("e1")
        await bench.wait(5)
        stopping = bench.stop(30.0)
        bench.publisher.release()
        assert await stopping == 0
        assert delivery.acked == 1


async def test_an_event_whose_confirms_do_not_come_within_the_grace_is_left_unacked() -> None:
    async with Bench() as bench:
        bench.publisher.hold()
        delivery = bench.deliver("e1")
        await bench.wait(5)
        assert await bench.stop(10.0) == 1
        assert delivery.asked == 0
        bench.publisher.release()
        await bench.wait(1)
        assert delivery.asked == 0


async def test_a_retry_during_the_stop_is_left_to_the_next_instance() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("a"), 5.0, Lost("cut")))
        delivery = bench.deliver()
        await bench.wait(1)
        assert await bench.stop(30.0) == 1
        assert delivery.asked == 0
        assert bench.republisher.copies == []


async def test_a_failure_during_the_stop_is_still_settled() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("a"), 5.0, error(422)))
        delivery = bench.deliver()
        await bench.wait(1)
        assert await bench.stop(30.0) == 0
        assert delivery.acked == 1
        assert bench.dead() == ["rejected"]


async def test_a_refusal_under_way_is_given_a_moment_and_then_left_unacked() -> None:
    async with Bench() as bench:
        bench.republisher.disconnect()
        delivery = bench.deliver(body=b"\xff")
        await bench.wait(1)
        began = bench.now_s()
        await bench.stop(30.0)
        assert bench.now_s() - began == pytest.approx(5.0, abs=0.5)
        bench.republisher.reconnect()
        await bench.wait(1)
        assert delivery.asked == 0


async def test_a_dead_letter_that_the_broker_will_not_take_does_not_hold_up_the_stop() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", Refused("create-conversation", 422, "No."))
        bench.republisher.refuse(1000)
        delivery = bench.deliver()
        await bench.wait(5)
        began = bench.now_s()
        assert await bench.stop(10.0) == 1
        assert bench.now_s() - began < 11.0
        assert delivery.asked == 0
