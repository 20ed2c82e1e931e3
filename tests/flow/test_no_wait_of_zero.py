"""An API that says "come back now" for ever is asked less and less often, uncounted, and says one line a wait."""

from itertools import cycle, islice

import pytest

from bridge.core.errors import Refused, TooEarly, UnknownUser, Unsendable
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import Route
from bridge.core.event.tags import own_tags
from tests.support.fakes import FakeRoutes
from tests.support.flow_bench import SERVICE, USER, Bench

NOW = TooEarly("429: come back now", 0.0)
LONG_S = 1200.0
DOUBLED = [1, 2, 4, 8, 16, 32]
"""The first waits of a back-off; after them it is a minute each."""
OF_BUSY = [30.0, 60.0, 120.0, 300.0, 600.0, 600.0]
"""The waits for a busy user that begin within LONG_S."""


def waits(bench: Bench) -> list[float]:
    return [line["after_s"] for line in bench.log.of("attempt.ended")]


def assert_patient(bench: Bench, asked: int) -> None:
    """At most one attempt a minute beside the first ones; one line for each, and none of them counted."""
    assert waits(bench)[:6] == DOUBLED
    assert set(waits(bench)[6:]) <= {60.0}
    assert len(waits(bench)) <= LONG_S / 60 + len(DOUBLED) + 1
    assert {line["attempt"] for line in bench.log.of("attempt.ended")} == {1}
    assert asked <= 2 * (len(waits(bench)) + 1)
    assert bench.dead() == []


@pytest.mark.parametrize("wait_s", [0.0, -1.0, 1e-9])
async def test_a_429_that_asks_for_no_wait_is_answered_with_one_that_doubles(wait_s: float) -> None:
    async with Bench(dice=0.0, park_after_s=1e6) as bench:
        bench.agent.break_down("create", TooEarly("429", wait_s))
        bench.deliver()
        await bench.wait(LONG_S)
        assert_patient(bench, len(bench.agent.calls("create")))
        bench.agent.mend("create")
        await bench.quiet()
        assert bench.types()[-1] == "interaction-complete"


@pytest.mark.parametrize("operation", ["conversations", "messages", "modify_tags", "interact"])
async def test_so_is_one_to_any_other_call_that_an_event_needs(operation: str) -> None:
    async with Bench(dice=0.0, park_after_s=1e6) as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"channel": "email"})
        bench.agent.converse(talk, "hello")
        bench.agent.break_down(operation, NOW)
        bench.deliver(channel="sms")
        await bench.wait(LONG_S)
        assert_patient(bench, len(bench.agent.calls(operation)))
        bench.agent.mend(operation)
        await bench.quiet()
        assert bench.types()[-1] == "interaction-complete"


async def test_a_429_that_changes_from_call_to_call_is_one_pause_after_another() -> None:
    """What is refused alternates, and no call is refused twice in a row; the event waits longer each time."""
    async with Bench(dice=0.0, park_after_s=1e6) as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"channel": "email"})
        bench.agent.converse(talk, "hello")
        for operation in ("conversations", "messages", "modify_tags", "interact"):
            bench.agent.fail(operation, *islice(cycle((NOW, None)), 400))
        bench.deliver(channel="sms")
        await bench.quiet()
        told = waits(bench)
        assert len(told) >= 4
        assert told == [*DOUBLED, *[60.0] * 10][: len(told)]


@pytest.mark.parametrize("park_after_s", [0.0, 60.0])
async def test_the_waits_go_on_doubling_through_the_delay_queues(park_after_s: float) -> None:
    async with Bench(dice=0.0, park_after_s=park_after_s) as bench:
        bench.agent.break_down("create", NOW)
        bench.deliver()
        await bench.wait(LONG_S)
        assert_patient(bench, len(bench.agent.calls("create")))
        bench.agent.mend("create")
        await bench.quiet()


@pytest.mark.parametrize("retry_after_s", [0.0, None])
async def test_a_busy_user_who_may_be_asked_again_now_is_waited_for_longer_each_time(
    retry_after_s: float | None,
) -> None:
    waiting = Route(name="r", on_busy=OnBusy.WAIT)
    async with Bench(dice=0.0, park_after_s=1e6, routes=FakeRoutes(waiting)) as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.agent.break_down("create", Refused("create-conversation", 409, "busy", retry_after_s))
        bench.deliver()
        await bench.wait(LONG_S)
        assert waits(bench) == OF_BUSY
        assert {line["attempt"] for line in bench.log.of("attempt.ended")} == {1}
        assert len(bench.agent.calls("create")) <= 2 * (len(OF_BUSY) + 1)
        talk.finished = True
        bench.agent.mend("create")
        await bench.quiet()


async def test_a_conversation_of_the_events_own_that_stays_in_the_way_is_no_loop() -> None:
    """The API refuses a second one, shows one of the event's as empty and unfinished, and refuses to go on in it."""
    async with Bench(dice=0.0, park_after_s=1e6) as bench:
        bench.agent.finish_of_empty = "refuses"
        own = bench.agent.open(USER, SERVICE, tags={**own_tags("e1", "api")})
        bench.agent.break_down(
            "create", Refused("create-conversation", 400, "other unfinished conversations exist", unfinished=True)
        )
        bench.agent.break_down("interact", Refused("interact", 409, "a related operation is in process", 0.0))
        bench.deliver()
        await bench.wait(LONG_S)
        assert waits(bench)[:6] == DOUBLED
        assert len(bench.agent.calls("conversations")) < 5 * len(waits(bench))
        bench.agent.mend("interact")
        await bench.quiet()
        assert [message.text for message in own.messages][:1] == ["Tell e1"]


async def test_many_users_are_not_asked_for_in_a_storm() -> None:
    async with Bench(dice=0.0, park_after_s=1e6) as bench:
        bench.agent.break_down("create", NOW)
        for number in range(50):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
        await bench.wait(60)
        assert len(bench.agent.calls("create")) == 50 * 6
        bench.agent.mend("create")
        await bench.quiet()


@pytest.mark.parametrize("park_after_s", [0.0, 0.001])
async def test_a_lane_that_waits_for_one_that_is_away_lets_time_pass(park_after_s: float) -> None:
    """A wait of nothing would keep this loop, whose time is virtual, busy for ever."""
    async with Bench(dice=0.0, park_after_s=park_after_s) as bench:
        bench.agent.fail("create", *[NOW] * 6)
        bench.deliver("e1")
        await bench.until(lambda: bench.republisher.delayed, "the first one is away")
        bench.deliver("e2")
        await bench.quiet()
        assert [bench.types(each)[-1] for each in ("e1", "e2")] == ["interaction-complete"] * 2


@pytest.mark.parametrize("error", [Unsendable("no header"), UnknownUser("who?")])
async def test_a_value_that_cannot_be_sent_fails_its_own_event_and_no_other(error: Exception) -> None:
    async with Bench() as bench:
        bench.agent.fail("create", error)
        bench.deliver("bad", user_id="user-1")
        await bench.quiet()
        bench.deliver("good", user_id="user-2")
        await bench.quiet()
        assert bench.dead() == ["rejected"]
        assert bench.types("good")[-1] == "interaction-complete"
        assert bench.api_breaker.passing


async def test_where_it_cannot_even_be_asked_what_became_of_an_event_nothing_is_guessed() -> None:
    async with Bench() as bench:
        bench.agent.break_down("conversations", Unsendable("no header"))
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
        assert bench.attempts() == 0
