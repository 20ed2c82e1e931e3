"""The intake of events: repeats, the take-over of the right to ack, lost acks, and one log line a delivery."""

import pytest

from bridge.core.errors import Lost, Refused
from tests.support.fakes import Gate, Step, answered, complete, error, said
from tests.support.flow_bench import Bench


async def test_a_redelivered_copy_takes_over_the_ack_while_the_stream_goes_on() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(said("Hel"), api_breaker, said("lo"), complete()))
        first = bench.deliver()
        await api_breaker.reached.wait()
        second = bench.redeliver(first)
        api_breaker.open()
        await bench.quiet()
        assert (first.acked, second.acked) == (0, 1)
        assert bench.attempts() == 1
        assert bench.types() == ["conversation-created", "new-message", "new-message", "interaction-complete"]
        assert len({message.headers["stream"] for message in bench.out()}) == 1


async def test_take_overs_may_follow_one_another() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, complete()))
        deliveries = [bench.deliver()]
        await api_breaker.reached.wait()
        for _ in range(5):
            deliveries.append(bench.redeliver(deliveries[-1]))
        api_breaker.open()
        await bench.quiet()
        assert [delivery.acked for delivery in deliveries] == [0, 0, 0, 0, 0, 1]
        assert bench.counters.repeats == 5


async def test_a_repeat_that_was_published_twice_is_acked_with_the_first_after_its_ending() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, complete()))
        first, second = bench.deliver(), bench.deliver()
        await api_breaker.reached.wait()
        assert (first.asked, second.asked) == (0, 0)
        api_breaker.open()
        await bench.quiet()
        assert (first.acked, second.acked) == (1, 1)
        assert bench.order()[-3:] == ["interaction-complete", "ack", "ack"]


async def test_the_same_id_with_another_body_is_a_repeat_and_counted_as_a_conflict() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, complete()))
        bench.deliver("e1", "This")
        bench.deliver("e1", "That")
        bench.deliver("e1", "This")
        await api_breaker.reached.wait()
        api_breaker.open()
        await bench.quiet()
        assert (bench.counters.repeats, bench.counters.conflicts) == (2, 1)
        assert [line["conflict"] for line in bench.log.of("event.repeated")] == [True, False]
        assert bench.agent.heard("That") == 0


async def test_a_conflicting_repeat_never_stands_in_for_the_original() -> None:
    """The first delivery has died; the retry and the dead letter must have the original's body all the same."""
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, error(422)))
        first = bench.deliver("e1", "This")
        await api_breaker.reached.wait()
        first.die()
        bench.deliver("e1", "That")
        api_breaker.open()
        await bench.quiet()
        assert [copy.body for copy in bench.republisher.dead()] == [first.incoming.body]


@pytest.mark.parametrize("ends", ["complete", "dead-letter", "parked"])
async def test_a_message_whose_ack_was_lost_is_acked_at_its_next_delivery_and_nothing_is_asked(ends: str) -> None:
    async with Bench(copies_return=False) as bench:
        api_breaker = Gate()
        lasts: dict[str, Step] = {"complete": complete(), "dead-letter": error(422), "parked": Lost("cut")}
        bench.agent.script(answered(said("Hel"), api_breaker, lasts[ends]))
        first = bench.deliver()
        await api_breaker.reached.wait()
        first.die()
        if ends == "parked":
            bench.deliver("e1", redelivered=True).die()
        api_breaker.open()
        await bench.until(lambda: not bench.event_intake.in_hand or ends == "parked", "it ends")
        if ends == "parked":
            await bench.wait(5)
            bench.redeliver(first)
            await bench.quiet()
            return
        calls, told = len(bench.agent.calls("create", "conversations")), len(bench.publisher.sent)
        second = bench.redeliver(first)
        await bench.wait(10)
        assert second.acked == 1
        assert len(bench.agent.calls("create", "conversations")) == calls
        assert len(bench.publisher.sent) == told


async def test_only_that_one_message_is_acked_unseen() -> None:
    """A dead letter that somebody replays is a new message of the same id: it is handled, not swallowed."""
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, error(422)))
        first = bench.deliver()
        await api_breaker.reached.wait()
        first.die()
        api_breaker.open()
        await bench.until(lambda: not bench.event_intake.in_hand, "it is dead-lettered")
        fresh = bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        assert (fresh.acked, bench.attempts()) == (1, 2)
        bench.publisher.confirmed = [each for each in bench.publisher.confirmed if each.type != "bridge-failed"]


async def test_an_event_that_had_its_ending_is_acked_at_every_further_delivery_and_nothing_is_asked() -> None:
    async with Bench() as bench:
        bench.deliver()
        await bench.quiet()
        sent = len(bench.publisher.sent)
        for redelivered in (False, True, False):
            assert bench.deliver(redelivered=redelivered).acked == 1
        await bench.wait(5)
        assert bench.attempts() == 1
        assert len(bench.publisher.sent) == sent
        assert bench.counters.repeats == 3


async def test_another_body_under_the_id_of_an_event_that_had_its_ending_is_a_conflict_too() -> None:
    async with Bench() as bench:
        bench.deliver("e1", "This")
        await bench.quiet()
        bench.deliver("e1", "That")
        await bench.quiet()
        assert (bench.counters.repeats, bench.counters.conflicts) == (1, 1)


async def test_an_ack_that_is_lost_again_is_made_up_for_again() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(api_breaker, complete()))
        first = bench.deliver()
        await api_breaker.reached.wait()
        first.die()
        api_breaker.open()
        await bench.until(lambda: not bench.event_intake.in_hand, "it is complete")
        second = bench.redeliver(first)
        third = bench.redeliver(second)
        await bench.quiet()
        assert (second.acked, third.acked) in {(1, 0), (1, 1)}
        assert bench.agent.heard("Tell e1") == 1


async def test_a_refused_message_whose_ack_was_lost_is_not_dead_lettered_twice() -> None:
    async with Bench() as bench:
        bench.republisher.disconnect()
        first = bench.deliver(channel="fax")
        await bench.wait(1)
        first.die()
        bench.republisher.reconnect()
        await bench.quiet()
        second = bench.redeliver(first)
        await bench.quiet()
        assert second.acked == 1
        assert bench.dead() == ["invalid-event"]


async def test_what_is_in_hand_and_what_is_settled_is_counted() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script_for("Tell e1", answered(api_breaker, complete()))
        bench.agent.fail("interact", Refused("interact", 422, "No."))
        bench.deliver("e1")
        bench.deliver("e2")
        bench.deliver("e3", channel="fax")
        await api_breaker.reached.wait()
        await bench.until(lambda: bench.event_intake.in_hand == 2, "the invalid one is refused")
        assert bench.counters.streaming == 1
        api_breaker.open()
        await bench.quiet()
        assert (bench.counters.received, bench.counters.streaming) == (3, 0)
        assert dict(bench.counters.settled) == {"ack": 1, "rejected": 1, "invalid-event": 1}
        assert dict(bench.counters.outcomes) == {"complete": 1, "rejected": 1}


async def test_one_line_tells_the_whole_delivery_and_never_its_words() -> None:
    async with Bench() as bench:
        bench.deliver(text="My secret", channel="sms")
        await bench.quiet()
        (line,) = bench.log.of("delivery.settled")
        assert (line["settlement"], line["event_id"], line["channel"], line["attempt"]) == ("ack", "e1", "sms", 1)
        assert (line["lines"], line["published"], line["refused"], line["repeated"]) == (3, 3, 0, 0)
        assert "My secret" not in str(bench.log.lines)


async def test_one_line_tells_of_a_message_that_was_refused_too() -> None:
    async with Bench() as bench:
        bench.deliver(channel="fax")
        bench.deliver(body=b"\xff")
        await bench.quiet()
        lines = {line["event_id"]: line for line in bench.log.of("delivery.settled")}
        assert (lines["e1"]["settlement"], "channel" in lines["e1"]["error"]) == ("invalid-event", True)
        assert (lines[None]["settlement"], lines[None]["reason"]) == ("dead-letter", "invalid-event")
