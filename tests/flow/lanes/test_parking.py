"""Parking: what has to wait goes to the delay queues, and comes back in order."""

import pytest

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Limited, Lost, NotSent, Refused, TooEarly
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import Route
from bridge.core.lanes.expected_turn import Prospect
from bridge.core.ledger.attempt_log import WaitReason
from bridge.flow.lanes.lane_waits import Parking
from tests.flow.lanes.test_lanes import ended
from tests.support.fakes import DELAY, FakeRoutes, Fate, Gate, answered, complete, error, refused, said
from tests.support.flow_bench import SERVICE, USER, Bench

VOID = answered(said("Hel"), error(500))


def levels(bench: Bench) -> list[str]:
    return [copy.routing_key for copy in bench.republisher.delayed]


async def test_a_retry_of_a_second_or_more_waits_in_a_delay_queue_and_holds_nothing() -> None:
    async with Bench() as bench:
        bench.agent.script(VOID)
        delivery = bench.deliver()
        await bench.until(lambda: bench.republisher.delayed, "the event is parked")
        await bench.until(lambda: delivery.acked, "the original is acked after its copy")
        assert bench.event_intake.in_hand == 0
        await bench.quiet()
        assert levels(bench) == ["bridge.events.delay.2"]
        order = bench.order()
        assert order.index("copy:bridge.events.delay.2") < order.index("ack")


async def test_a_shorter_retry_stays_in_memory() -> None:
    async with Bench(policy=RetryPolicy(first_s=0.25)) as bench:
        bench.agent.script(VOID)
        bench.deliver()
        await bench.quiet()
        assert levels(bench) == []


async def test_each_retry_goes_to_the_shortest_queue_that_is_not_too_early() -> None:
    async with Bench(dice=0.0, policy=RetryPolicy(first_s=1.5)) as bench:
        bench.agent.script(VOID, VOID, VOID, VOID)
        bench.deliver()
        await bench.quiet()
        assert levels(bench) == [f"bridge.events.delay.{seconds}" for seconds in (2, 5, 10, 30)]


async def test_a_parked_event_brings_attempts_pauses_origin_and_record_and_leaves_out_what_acts() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut")))
        bench.deliver(headers={"mine": 1, "x-death": [], "x-delivery-count": 0, "CC": []})
        await bench.quiet()
        copy = bench.republisher.delayed[0]
        assert copy.exchange == DELAY
        headers = dict(copy.headers)
        assert headers.pop("x-bridge-progress").startswith('{"request":"create"')
        assert 1_700_000_000_000 <= headers.pop("x-bridge-first-seen") <= 1_700_000_000_000 + bench.now_s() * 1000
        assert headers == {
            "mine": 1,
            "x-bridge-attempt": 1,
            "x-bridge-pauses": 0,
            "x-bridge-copies": 1,
            "x-bridge-exchange": "bridge.events",
            "x-bridge-routing-key": "some.key",
            "x-bridge-waits-for": "retry",
        }


async def test_the_lane_goes_with_its_first_event_and_comes_back_in_order() -> None:
    async with Bench() as bench:
        bench.agent.script_for("Tell e0", VOID)
        for number in range(5):
            bench.deliver(f"e{number}")
        await bench.until(lambda: len(bench.republisher.delayed) == 5, "the lane is parked")
        await bench.quiet()
        assert ended(bench) == [f"e{number}" for number in range(5)]


async def test_a_pause_shorter_than_park_after_stays_in_memory() -> None:
    async with Bench(park_after_s=30.0) as bench:
        bench.agent.fail("create", TooEarly("429", 29.0))
        bench.deliver()
        await bench.quiet()
        assert levels(bench) == []


async def test_a_pause_longer_than_park_after_is_parked() -> None:
    async with Bench(park_after_s=30.0) as bench:
        bench.agent.fail("create", TooEarly("429", 45.0))
        bench.deliver()
        await bench.quiet()
        assert levels(bench) == ["bridge.events.delay.60"]
        assert bench.types()[-1] == "interaction-complete"


async def test_a_wait_for_a_limit_is_parked_until_before_its_moment_and_says_for_which() -> None:
    async with Bench(park_after_s=30.0) as bench:
        bench.agent.fail("create", Limited("the limit of user-1 for create-conversation until noon", 45.0))
        bench.deliver()
        await bench.until(lambda: bench.republisher.delayed, "it waits in a delay queue")
        entry = bench.ledger.entries["e1"]
        assert entry.log.wait is not None
        assert entry.log.wait.reason is WaitReason.LIMIT
        assert entry.log.wait.about == "the limit of user-1 for create-conversation until noon"
        assert entry.log.attempts == ()
        header = bench.republisher.delayed[0].headers["x-bridge-waits-for"]
        assert header == "limit: the limit of user-1 for create-conversation until noon"
        await bench.quiet()
        assert levels(bench) == ["bridge.events.delay.30"]
        assert bench.types()[-1] == "interaction-complete"


async def test_a_wait_for_a_limit_is_no_attempt_and_lasts_no_longer_than_it_says() -> None:
    async with Bench(park_after_s=30.0) as bench:
        bench.agent.fail("create", *[Limited("the limit of user-1", 0.5)] * 20)
        bench.deliver()
        await bench.quiet()
        assert levels(bench) == []
        assert bench.types()[-1] == "interaction-complete"


async def test_a_parked_event_whose_copy_is_refused_is_copied_again_and_acked_only_then() -> None:
    async with Bench() as bench:
        bench.agent.script(VOID)
        bench.republisher.refuse(3)
        delivery = bench.deliver()
        await bench.until(lambda: len(bench.republisher.refused) == 3, "three copies are refused")
        assert delivery.acked == 0
        await bench.quiet()
        assert bench.log.of("copy.refused")
        assert bench.types()[-1] == "interaction-complete"


async def test_a_copy_that_arrives_twice_while_the_first_runs_is_one_event() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(VOID, answered(api_breaker, complete()))
        bench.republisher.twice()
        bench.deliver()
        await api_breaker.reached.wait()
        await bench.wait(5)
        api_breaker.open()
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1


async def test_events_behind_a_long_answer_are_parked_and_keep_their_order() -> None:
    async with Bench(park_after_s=20.0) as bench:
        bench.agent.script_for("Tell e0", answered(said("wait"), 100.0, complete()))
        for number in range(6):
            bench.deliver(f"e{number}")
        await bench.until(lambda: len(bench.republisher.delayed) >= 5, "those behind it are parked", 25.0)
        assert bench.event_intake.in_hand == 1
        await bench.quiet()
        assert ended(bench) == [f"e{number}" for number in range(6)]


async def test_the_event_that_is_being_answered_is_never_parked() -> None:
    async with Bench(park_after_s=20.0) as bench:
        bench.agent.script_for("Tell e0", answered(said("wait"), 100.0, complete()))
        delivery = bench.deliver("e0")
        await bench.quiet()
        assert levels(bench) == []
        assert delivery.acked == 1


@pytest.mark.parametrize("every_s", [0.1, 0.4, 0.9, 1.7])
async def test_new_arrivals_while_the_lane_is_away_come_after_it_in_order(every_s: float) -> None:
    """An event fails, its lane waits in a delay queue, and the user's events go on arriving all the while."""
    async with Bench() as bench:
        bench.agent.script_for("Tell e00", VOID)
        names = [f"e{number:02}" for number in range(30)]
        for name in names:
            bench.deliver(name)
            await bench.wait(every_s)
        await bench.quiet()
        assert ended(bench) == names


@pytest.mark.parametrize("every_s", [0.5, 3.0])
async def test_new_arrivals_while_those_behind_a_long_answer_are_away_come_after_them_in_order(every_s: float) -> None:
    async with Bench(park_after_s=5.0) as bench:
        bench.agent.script_for("Tell e00", answered(said("wait"), 12.0, complete()))
        names = [f"e{number:02}" for number in range(20)]
        for name in names:
            bench.deliver(name)
            await bench.wait(every_s)
        await bench.quiet()
        assert ended(bench) == names


async def test_a_lane_stays_away_until_its_copies_are_confirmed_however_long_that_takes() -> None:
    """The delay begins with the copy, not with the decision: the broker may have been away in between."""
    async with Bench() as bench:
        bench.agent.script_for("Tell e0", VOID)
        bench.deliver("e0")
        await bench.until(lambda: bench.agent.calls("create"), "the first attempt")
        bench.republisher.disconnect()
        await bench.wait(10)
        bench.deliver("e1")
        await bench.wait(1)
        bench.republisher.reconnect()
        await bench.quiet()
        assert ended(bench) == ["e0", "e1"]


async def test_an_ack_of_a_parked_event_comes_after_the_confirm_of_what_it_has_published() -> None:
    """`bridge-voided` is forgotten with the process otherwise: the copy's record says that nothing is to be voided."""
    async with Bench() as bench:
        bench.agent.script(VOID)
        bench.publisher.hold()
        delivery = bench.deliver()
        await bench.wait(1)
        assert [message.type for message in bench.publisher.unconfirmed][-1] == "bridge-voided"
        await bench.wait(10)
        assert delivery.acked == 0
        bench.publisher.release()
        await bench.quiet()


async def test_no_delivery_is_held_much_longer_than_park_after_by_pauses_alone() -> None:
    """With the defaults: a pause is at most 60 s and so is park_after, yet the consumer time-out is 30 min."""
    async with Bench(routes=FakeRoutes(Route("r", on_busy=OnBusy.WAIT)), park_after_s=60.0) as bench:
        bench.agent.converse(bench.agent.open(USER, SERVICE), "Before")
        delivery = bench.deliver()
        await bench.wait(1_800)
        assert delivery.acked == 1
        bench.agent.talks[0].finished = True
        await bench.quiet()


async def test_a_retry_on_a_dead_connection_waits_for_the_redelivery_instead_of_copying() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(said("Hel"), api_breaker, Lost("cut"), fate=Fate.ROLLED_BACK))
        first = bench.deliver()
        await api_breaker.reached.wait()
        first.die()
        api_breaker.open()
        await bench.until(lambda: len(bench.agent.calls("create")) == 2, "the retry")
        bench.redeliver(first)
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1


async def test_pauses_in_a_row_are_longer_each_time_and_survive_parking() -> None:
    async with Bench(park_after_s=4.0) as bench:
        bench.agent.fail("create", *[NotSent("no connection")] * 4)
        bench.deliver()
        await bench.quiet()
        assert [copy.headers["x-bridge-pauses"] for copy in bench.republisher.delayed] == [3, 4]
        assert levels(bench) == ["bridge.events.delay.5", "bridge.events.delay.10"]


async def test_a_retry_after_a_refusal_waits_at_least_as_long_as_the_api_asks() -> None:
    async with Bench() as bench:
        bench.agent.script(refused(Refused("create-conversation", 500, "", retry_after_s=40.0)))
        bench.deliver()
        await bench.quiet()
        assert levels(bench) == ["bridge.events.delay.60"]


IMPOSSIBLE = PublishRefusal(RefusalKind.IMPOSSIBLE, "its properties and headers take 5000 bytes, a frame 4088")


async def test_an_event_of_which_no_copy_can_be_made_waits_in_hand_and_goes_on() -> None:
    async with Bench() as bench:
        bench.agent.script_for("Tell e0", VOID)
        bench.republisher.refuse(1, IMPOSSIBLE)
        first = bench.deliver("e0")
        for number in range(1, 4):
            bench.deliver(f"e{number}")
        await bench.until(lambda: bench.republisher.refused, "the copy is refused")
        assert (first.acked, bench.republisher.delayed) == (0, [])
        await bench.quiet()
        assert len(bench.republisher.refused) == 1, "it is not tried again"
        assert ended(bench) == [f"e{number}" for number in range(4)]


async def test_an_event_behind_that_cannot_be_parked_keeps_its_place() -> None:
    async with Bench() as bench:
        bench.agent.script_for("Tell e0", VOID)
        refusing = iter([None, IMPOSSIBLE])

        arrived = bench.republisher.arrived

        def concerns() -> None:
            refusal = next(refusing, None)
            if refusal is not None:
                bench.republisher.refuse(1, refusal)

        def noticed(copy: RepublishedCopy) -> None:
            arrived(copy)
            concerns()

        concerns()
        bench.republisher.arrived = noticed
        for number in range(4):
            bench.deliver(f"e{number}")
        await bench.quiet()
        assert ended(bench) == [f"e{number}" for number in range(4)]


FORBIDDEN = PublishRefusal(RefusalKind.FORBIDDEN, "the broker refused it (403)")
MISSING = PublishRefusal(RefusalKind.MISSING, "the broker refused it (404)")


@pytest.mark.parametrize("refusal", [FORBIDDEN, MISSING])
async def test_what_a_delay_queue_may_take_another_time_waits_in_hand_and_is_parked_then(
    refusal: PublishRefusal,
) -> None:
    async with Bench(park_after_s=5.0) as bench:
        bench.agent.fail("create", TooEarly("429", 20.0), TooEarly("429", 20.0))
        bench.republisher.refuse(1, refusal)
        delivery = bench.deliver()
        await bench.until(lambda: bench.republisher.refused, "the copy is refused")
        assert (delivery.acked, bench.republisher.delayed) == (0, [])
        await bench.quiet()
        assert len(bench.republisher.refused) == 1
        assert len(levels(bench)) == 1
        assert len(bench.log.of("delivery.unparkable")) == 1
        assert bench.log.of("copy.refused") == []
        assert bench.types()[-1] == "interaction-complete"


async def test_an_exchange_for_delays_that_refuses_is_asked_now_and_then_and_not_for_each_event() -> None:
    """Each refusal closes a channel, which others publish on too."""
    async with Bench(park_after_s=5.0) as bench:
        bench.agent.fail("create", *(TooEarly("429", 20.0) for _ in range(20)))
        bench.republisher.refuse(1, FORBIDDEN)
        for number in range(20):
            bench.deliver(f"e{number}", user_id=f"u{number}")
        await bench.until(lambda: bench.republisher.refused, "the copy is refused")
        await bench.quiet()
        assert len(bench.republisher.refused) == 1
        assert len(bench.log.of("delivery.unparkable")) == 1
        assert sorted(ended(bench)) == sorted(f"e{number}" for number in range(20))


async def test_an_event_that_would_be_held_too_long_is_undeliverable() -> None:
    async with Bench(park_after_s=30.0) as bench:
        bench.agent.fail("create", TooEarly("429", 3_000.0))
        bench.republisher.refuse(1, IMPOSSIBLE)
        bench.deliver()
        await bench.quiet()
        assert bench.order() == ["copy:undeliverable", "bridge-failed", "ack"]


async def test_an_event_whose_turn_comes_before_it_is_parked_stays() -> None:
    gate = Gate()
    async with Bench() as bench:
        bench.agent.script(answered(gate, complete()))
        bench.deliver("e0")
        await bench.until(lambda: bench.agent.journal and bench.agent.journal[-1].operation == "create", "it is asked")
        (lane,) = bench.lanes.open
        await bench.lanes._park_overdue(Parking(lane, dict.fromkeys(lane.works, 0), Prospect(60.0, 1.0)))
        assert levels(bench) == []
        gate.open()
        await bench.quiet()
        assert ended(bench) == ["e0"]
