"""Lanes: one at a time in order of arrival for a (user, service), side by side for different ones."""

import asyncio

import pytest

from bridge.core.errors import Lost, NotSent, Refused, SignInRefused
from tests.support.fakes import Gate, answered, complete, error, said
from tests.support.flow_bench import SERVICE, Bench

FORTY = [f"e{number:02}" for number in range(40)]


def heard(bench: Bench) -> list[str]:
    """The events in the order in which the agent has heard them."""
    return [
        message.text.removeprefix("Tell ")
        for talk in bench.agent.talks
        for message in talk.messages
        if message.message_type == "external-event"
    ]


def ended(bench: Bench) -> list[str]:
    """The events in the order of their endings."""
    return [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]


async def test_forty_events_of_one_user_go_strictly_one_by_one_in_order() -> None:
    async with Bench() as bench:
        bench.agent.default = answered(said("a"), 1.0, said("b"), complete())
        for event_id in FORTY:
            bench.deliver(event_id)
        await bench.quiet()
        assert heard(bench) == FORTY
        assert ended(bench) == FORTY
        told = [each.correlation_id for each in bench.publisher.confirmed]
        assert told == sorted(told), "no line of an event before the last line of the one before it"


async def test_forty_users_are_served_side_by_side() -> None:
    async with Bench() as bench:
        gates = [Gate() for _ in FORTY]
        for number, (event_id, api_breaker) in enumerate(zip(FORTY, gates, strict=True)):
            bench.agent.script_for(f"Tell {event_id}", answered(api_breaker, complete()))
            bench.deliver(event_id, user_id=f"user-{number}")
        await asyncio.gather(*(api_breaker.reached.wait() for api_breaker in gates))
        for api_breaker in gates:
            api_breaker.open()
        await bench.quiet()


async def test_two_services_of_one_user_are_two_lanes() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script_for("Tell slow", answered(api_breaker, complete()))
        bench.deliver("slow")
        bench.deliver("quick", service_id="5f0000000000000000000002")
        await bench.until(lambda: ended(bench) == ["quick"], "the other service is not held up")
        api_breaker.open()
        await bench.quiet()


async def test_forty_events_of_one_user_stay_in_order_when_one_is_tried_again() -> None:
    async with Bench() as bench:
        bench.agent.script_for("Tell e03", answered(said("Hel"), error(500)))
        for event_id in FORTY:
            bench.deliver(event_id)
        await bench.quiet()
        assert heard(bench) == FORTY
        assert ended(bench) == FORTY


async def test_an_event_in_the_way_is_dead_lettered_and_the_next_ones_go_on() -> None:
    async with Bench() as bench:
        bench.agent.script_for("Tell e01", answered(error(422)))
        for event_id in FORTY[:4]:
            bench.deliver(event_id)
        await bench.quiet()
        assert ended(bench) == ["e00", "e02", "e03"]


async def test_a_broken_handler_stops_no_other_lane() -> None:
    """Whatever breaks in one lane: the others go on, and its own later events are handled too."""
    async with Bench() as bench:
        bench.bugs_expected = True
        bench.agent.fail("create", ZeroDivisionError("a bug"))
        bench.deliver("e1")
        bench.deliver("e2")
        bench.deliver("e3", user_id="user-2")
        await bench.quiet()
        assert bench.dead() == ["internal-error"]
        assert sorted(ended(bench)) == ["e2", "e3"]


async def test_a_settlement_that_breaks_stops_neither_the_lane_nor_the_event_for_ever() -> None:
    """Nothing should raise there. If something does, a redelivery must find the event free, not held by nobody."""
    async with Bench() as bench:
        bench.bugs_expected = True
        bench.agent.fail("create", Refused("create-conversation", 422, "No."))
        bench.republisher.broken.append(ZeroDivisionError("a bug"))
        first = bench.deliver("e1")
        second = bench.deliver("e2")
        await bench.until(lambda: bench.log.at("critical"), "the bug is logged")
        bench.redeliver(first)
        bench.redeliver(second)
        await bench.until(lambda: not bench.event_intake.in_hand, "both are settled", 600)
        assert bench.types("e2")[-1] == "interaction-complete"


async def test_a_cancellation_that_nobody_asked_for_is_no_silent_end_of_a_lane() -> None:
    """Client libraries cancel the waiting task when a connection dies: that is "lost", and its events must go on."""
    async with Bench() as bench:
        bench.bugs_expected = True
        bench.agent.fail("create", asyncio.CancelledError())
        deliveries = [bench.deliver("e1"), bench.deliver("e2")]
        await bench.until(lambda: bench.agent.calls("create"), "the attempt")
        await bench.wait(1)
        for delivery in deliveries:
            bench.redeliver(delivery)
        await bench.quiet(600)
        assert sorted(ended(bench)) == ["e1", "e2"]


async def test_parking_that_breaks_leaves_the_event_free_for_its_redelivery() -> None:
    async with Bench() as bench:
        bench.bugs_expected = True
        bench.agent.script(answered(said("Hel"), error(500)))
        bench.republisher.broken.append(ZeroDivisionError("a bug"))
        deliveries = [bench.deliver("e1"), bench.deliver("e2")]
        await bench.until(lambda: bench.log.at("critical"), "the bug is logged")
        for delivery in deliveries:
            bench.redeliver(delivery)
        await bench.quiet(600)
        assert sorted(ended(bench)) == ["e1", "e2"]


async def test_an_event_holds_its_lane_until_its_last_confirm() -> None:
    async with Bench() as bench:
        bench.publisher.hold()
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.wait(60)
        assert [call.text for call in bench.agent.calls("create", "interact")] == ["Tell e1"]
        bench.publisher.release()
        await bench.quiet()
        assert ended(bench) == ["e1", "e2"]


async def test_while_the_gate_is_closed_nothing_is_asked_and_what_is_held_goes_on_when_it_opens() -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", SignInRefused("no such key"))
        bench.agent.fail("create", SignInRefused("no such key"))
        bench.deliver("e1")
        await bench.until(lambda: not bench.api_breaker.passing, "the gate closes")
        bench.deliver("e2", user_id="user-2")
        await bench.wait(30)
        assert bench.attempts() == 1
        assert bench.republisher.delayed == []
        bench.agent.mend("probe")
        await bench.quiet()
        assert sorted(ended(bench)) == ["e1", "e2"]


async def test_a_gate_that_stays_closed_parks_what_is_held() -> None:
    async with Bench(park_after_s=60.0) as bench:
        bench.agent.break_down("probe", NotSent("no connection"))
        bench.agent.break_down("create", NotSent("no connection"))
        for number in range(8):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
        await bench.until(lambda: not bench.api_breaker.passing, "the gate closes")
        await bench.until(lambda: not bench.event_intake.in_hand, "what is held is parked", 200)
        bench.agent.mend("create")
        bench.agent.mend("probe")
        await bench.quiet()
        assert len(ended(bench)) == 8
        assert {message.headers["attempt"] for message in bench.publisher.confirmed} == {1}


async def test_no_memory_is_kept_of_a_lane_that_has_ended() -> None:
    async with Bench() as bench:
        bench.agent.script_for("Tell e3", answered(Lost("cut")))
        for number in range(5):
            bench.deliver(f"e{number}", user_id=f"user-{number}", service_id=SERVICE)
        await bench.quiet()
        await bench.wait(700)
        held = {name: part for name, part in vars(bench.lanes).items() if isinstance(part, dict | set | list)}
        assert len(held) >= 3
        assert not any(held.values()), held


@pytest.mark.parametrize("redelivered", [False, True])
async def test_a_repeat_of_an_event_that_waits_in_its_lane_runs_it_once(redelivered: bool) -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, complete()))
        bench.deliver("e1")
        bench.deliver("e2")
        repeat = bench.deliver("e2", redelivered=redelivered)
        await api_breaker.reached.wait()
        api_breaker.open()
        await bench.quiet()
        assert ended(bench) == ["e1", "e2"]
        assert repeat.acked == 1
