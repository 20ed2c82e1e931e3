"""A route of which the API refuses event after event is held (docs/semantics.md, Refusals in a row)."""

from functools import partial
from itertools import pairwise

import pytest

from bridge.core.control.command import Command, Verb
from bridge.core.control.pause import PauseScope
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Refused
from bridge.core.event.route import Route
from bridge.flow.command_handler import CommandHandler
from bridge.flow.guards.refusal_holds import MAX_TAKEN, PROBE_EVERY_S
from tests.support.fakes import FakeLedger, FakeRoutes, answered, error
from tests.support.flow_bench import SERVICE, Bench

KEY = "refusals:payments"
LIMIT = 20


def refusal(status: int = 403, operation: str = "create-conversation") -> Refused:
    return Refused(operation, status, "not for you")


def bench_of(limit: int = LIMIT, ledger: FakeLedger | None = None) -> Bench:
    return Bench(policy=RetryPolicy(refusals=limit), routes=FakeRoutes(Route("payments")), ledger=ledger)


async def delivers(bench: Bench, count: int, name: str = "e") -> list[str]:
    """So many events of as many users, one after another."""
    names = [f"{name}{number:02}" for number in range(count)]
    for each in names:
        bench.deliver(each, user_id=f"user-{each}")
        await bench.until(partial(settled, bench), "it is settled")
    return names


def settled(bench: Bench) -> bool:
    return not bench.event_intake.in_hand


async def holds(bench: Bench, count: int = LIMIT) -> list[str]:
    """The route is held, since so many were refused."""
    bench.agent.break_down("create", refusal())
    names = await delivers(bench, count)
    assert bench.pauses.holding(KEY)
    return names


def asked(bench: Bench) -> list[str | None]:
    return [call.text for call in bench.agent.calls("create", "interact")]


def ended(bench: Bench) -> list[str]:
    return [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_twenty_different_events_that_are_refused_in_a_row_hold_their_route(status: int) -> None:
    async with bench_of() as bench:
        bench.agent.break_down("create", refusal(status))
        names = await delivers(bench, LIMIT - 1)
        assert not bench.pauses.holding(KEY)
        assert bench.dead() == ["rejected"] * (LIMIT - 1)
        names += await delivers(bench, 10, "f")
        assert bench.pauses.holding(KEY)
        assert bench.dead() == ["rejected"] * (LIMIT - 1)
        assert len(asked(bench)) == LIMIT, "what comes later waits without being asked"
        assert len(bench.held) == 10
        assert {row.key for row in bench.ledger.held.values()} == {KEY}
        (pause,) = bench.pauses.listed
        assert f"refused ({status})" in pause.words
        assert len(bench.log.of("route.held")) == 1


@pytest.mark.parametrize("status", [400, 410, 415])
async def test_other_refusals_do_not(status: int) -> None:
    async with bench_of(5) as bench:
        bench.agent.break_down("create", refusal(status))
        await delivers(bench, 12)
        assert bench.pauses.none


async def test_an_error_in_the_answer_is_a_refusal_too() -> None:
    async with bench_of(3) as bench:
        bench.agent.script(*[answered(error(422))] * 3)
        await delivers(bench, 3)
        assert bench.pauses.holding(KEY)
        assert len(bench.dead()) == 2


async def test_the_same_event_refused_twenty_times_does_not() -> None:
    async with bench_of(5) as bench:
        bench.agent.break_down("create", refusal())
        for number in range(20):
            headers = {"x-bridge-requeue": number} if number else {}
            bench.deliver("e", headers=headers)
            await bench.until(partial(settled, bench), "it is settled")
        assert len(asked(bench)) == 20
        assert bench.pauses.none


async def test_an_answer_between_begins_the_count_anew() -> None:
    async with bench_of(5) as bench:
        for round_ in range(4):
            bench.agent.break_down("create", refusal())
            await delivers(bench, 4, f"r{round_}-")
            bench.agent.mend("create")
            await delivers(bench, 1, f"a{round_}-")
        assert bench.pauses.none
        assert len(bench.dead()) == 16


@pytest.mark.parametrize(("status", "held"), [(403, True), (404, False), (422, False)])
async def test_of_interacts_only_403_speaks_of_the_route(status: int, held: bool) -> None:
    async with bench_of(5) as bench:
        bench.agent.break_down("interact", refusal(status, "interact"))
        bench.agent.break_down("create", refusal(400))
        for number in range(8):
            talk = bench.agent.open(f"user-e{number:02}", SERVICE)
            talk.tags["channel"] = "email"
            bench.agent.converse(talk, "hello")
            bench.deliver(f"e{number:02}", user_id=f"user-e{number:02}", conversation_id=talk.id)
            await bench.until(partial(settled, bench), "it is settled")
        assert bench.pauses.holding(KEY) is held
        assert len(bench.agent.calls("interact")) == (5 if held else 8)


async def test_one_event_a_minute_probes_each_time_another_and_goes_on_waiting() -> None:
    async with bench_of() as bench:
        await holds(bench)
        await delivers(bench, 4, "f")
        before = len(asked(bench))
        await bench.wait(PROBE_EVERY_S * 4 + 10)
        probes = bench.agent.calls("create")[before:]
        assert len(probes) == 4
        assert len({call.text for call in probes}) == 4
        gaps = [later.at_s - sooner.at_s for sooner, later in pairwise(probes)]
        assert all(PROBE_EVERY_S <= gap <= PROBE_EVERY_S + 3 for gap in gaps)
        assert bench.dead() == ["rejected"] * (LIMIT - 1)
        assert len(bench.held) == 5
        assert bench.pauses.holding(KEY)


async def test_a_new_event_probes_where_none_is_in_the_held_queue() -> None:
    async with bench_of() as bench:
        await holds(bench)
        bench.held.clear()
        bench.ledger.held.clear()
        bench.agent.mend("create")
        await bench.wait(PROBE_EVERY_S + 5)
        bench.deliver("new", user_id="new")
        await bench.until(lambda: ended(bench) == ["new"], "it is asked at once", 5)
        await bench.until(lambda: bench.pauses.none, "its answer lifts the hold", 5)


async def test_an_answer_lifts_it_and_all_go_on_in_the_order_of_their_lanes() -> None:
    async with bench_of() as bench:
        await holds(bench)
        for number in range(5):
            for lane in range(4):
                bench.deliver(f"lane{lane}-{number}", user_id=f"lane{lane}")
        await bench.until(partial(settled, bench), "all are held")
        bench.agent.mend("create")
        await bench.until(lambda: len(ended(bench)) == 21, "all are answered", PROBE_EVERY_S + 60)
        for lane in range(4):
            of_lane = [name for name in ended(bench) if name.startswith(f"lane{lane}-")]
            assert of_lane == [f"lane{lane}-{number}" for number in range(5)]
        assert bench.pauses.none
        assert len(bench.dead()) == LIMIT - 1
        assert {message.headers["attempt"] for message in bench.publisher.confirmed} == {1}
        assert "was answered" in bench.log.of("route.released")[0]["why"]


async def test_what_was_in_flight_when_it_began_goes_on_waiting() -> None:
    async with bench_of(5) as bench:
        bench.agent.break_down("create", refusal())
        for number in range(12):
            bench.deliver(f"e{number:02}", user_id=f"user-{number}")
        await bench.until(partial(settled, bench), "all are settled")
        assert len(asked(bench)) == 12
        assert len(bench.dead()) == 4
        assert len(bench.held) == 8


async def test_events_of_other_routes_and_other_kinds_of_trouble_are_not_held() -> None:
    async with bench_of(5) as bench:
        await holds(bench, 5)
        bench.agent.mend("create")
        bench.routes.entries.clear()
        bench.routes.add(Route("orders"))
        bench.deliver("other", user_id="other")
        await bench.until(lambda: ended(bench) == ["other"], "it is answered", 5)
        assert bench.pauses.holding(KEY), "another route's answer says nothing"


async def test_a_restart_keeps_it_and_its_probes() -> None:
    async with bench_of() as bench:
        await holds(bench)
        await delivers(bench, 2, "f")
        before = len(asked(bench))
        await bench.restart()
        await bench.pauses.read()
        assert bench.pauses.holding(KEY)
        await bench.wait(PROBE_EVERY_S * 2 + 10)
        assert len(asked(bench)) == before + 2
        bench.agent.mend("create")
        await bench.until(lambda: len(ended(bench)) == 3, "all are answered", PROBE_EVERY_S + 60)


async def test_another_configuration_lifts_it() -> None:
    async with bench_of() as bench:
        await holds(bench)
        bench.agent.mend("create")
        bench.configuration = "two"
        await bench.wait(1)
        await bench.restart()
        await bench.pauses.read()
        await bench.until(lambda: len(ended(bench)) == 1, "what was held is answered", 30)
        assert bench.pauses.none
        assert "configuration" in bench.log.of("route.released")[0]["why"]


async def test_resuming_the_route_lifts_both_kinds_of_pause_and_the_count_begins_anew() -> None:
    async with bench_of(5) as bench:
        await holds(bench, 5)
        log, clock = bench.log, bench.pauses._clock
        replica = CommandHandler("host/1", bench.pauses, lambda _: never(), dict, clock, log)
        await replica.obey(Command(Verb.PAUSE, PauseScope.ROUTE, "payments", "why"), "ops")
        assert len(bench.pauses.listed) == 2
        assert (await replica.obey(Command(Verb.RESUME, PauseScope.ROUTE, "payments"), "ops"))["lifted"] is True
        assert bench.pauses.none
        await bench.until(lambda: len(bench.dead()) == 5, "what was held is refused once more", 90)
        await delivers(bench, 3, "g")
        assert bench.pauses.none
        await delivers(bench, 1, "h")
        assert bench.pauses.holding(KEY)


async def never() -> bool:
    return False


async def test_replicas_share_it_and_one_of_them_probes() -> None:
    ledger = FakeLedger()
    async with bench_of(5, ledger) as one, bench_of(5, FakeLedger(beside=ledger)) as two:
        await holds(one, 5)
        two.agent.break_down("create", refusal())
        await delivers(two, 1, "flying")
        assert two.dead() == [], "it is in the ledger, so that it holds for the other too"
        await delivers(one, 3, "f")
        await delivers(two, 3, "g")
        before = len(asked(one)) + len(asked(two))
        await one.wait(PROBE_EVERY_S * 5 + 10)
        assert len(asked(one)) + len(asked(two)) == before + 5
        two.agent.mend("create")
        one.agent.mend("create")
        await one.until(lambda: one.pauses.none and two.pauses.none, "an answer lifts it for both", 200)
        for each in (one, two):  # each bench has a broker of its own, and whoever lifts it passes on there
            each._pass_on()
        await one.until(lambda: len(ended(one)) + len(ended(two)) == 8, "all are answered", 60)


async def test_what_no_route_takes_is_held_as_one() -> None:
    async with Bench(policy=RetryPolicy(refusals=5)) as bench:
        bench.agent.break_down("create", refusal())
        await delivers(bench, 8)
        assert bench.pauses.holding("refusals:(none)")
        assert len(bench.held) == 4


async def test_zero_is_never() -> None:
    async with bench_of(0) as bench:
        bench.agent.break_down("create", refusal())
        await delivers(bench, 60)
        assert bench.pauses.none
        assert len(bench.dead()) == 60


async def test_a_probe_that_has_to_wait_is_still_the_probe() -> None:
    async with bench_of(5) as bench:
        await holds(bench, 5)
        bench.agent.mend("create")
        bench.agent.fail("create", Refused("create-conversation", 503, ""))
        await bench.until(lambda: len(ended(bench)) == 1, "it is answered", PROBE_EVERY_S + 30)
        await bench.until(lambda: bench.pauses.none, "its answer lifts the hold", 5)


async def test_what_somebody_else_holds_too_does_not_probe() -> None:
    async with bench_of(5) as bench:
        await holds(bench, 5)
        for each in await delivers(bench, 3, "f"):
            pause = Command(Verb.PAUSE, PauseScope.USER, f"user-{each}").pause("ops", bench.pauses._clock())
            await bench.pauses.order(pause)
        before = len(asked(bench))
        await bench.wait(PROBE_EVERY_S * 3 + 10)
        assert {call.text for call in bench.agent.calls("create")[before:]} == {"Tell e04"}


async def test_a_probe_looks_at_so_many_held_events_and_no_more() -> None:
    """A person has paused the route too: none of them may go on, and each goes back to the end."""
    async with bench_of() as bench:
        await holds(bench)
        await bench.pauses.order(Command(Verb.PAUSE, PauseScope.ROUTE, "payments", "why").pause("ops", bench.now_s()))
        await delivers(bench, 2 * MAX_TAKEN, "f")
        before = len(bench.deliveries)
        await bench.wait(3 * PROBE_EVERY_S)
        assert 0 < len(bench.deliveries) - before <= 4 * MAX_TAKEN
