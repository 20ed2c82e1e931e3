"""An API that is away for a while, and how everything begins again (docs/semantics.md, Outage)."""

from functools import partial

import pytest

from bridge.core.errors import NotSent, Unavailable
from tests.support.flow_bench import Bench

LANES = 40
DOWN = {"503": Unavailable("503"), "no-connection": NotSent("no connection")}


def breaks(bench: Bench, trouble: Exception) -> None:
    for operation in ("create", "probe"):
        bench.agent.break_down(operation, trouble)


def mends(bench: Bench) -> float:
    for operation in ("create", "probe"):
        bench.agent.mend(operation)
    return bench.now_s()


def delivers(bench: Bench, count: int = LANES, events: int = 1) -> list[str]:
    names = [f"e{lane}-{number}" for number in range(events) for lane in range(count)]
    for name in names:
        bench.deliver(name, user_id=f"user-{name.split('-')[0]}")
    return names


def creates(bench: Bench, since_s: float) -> list[float]:
    """When, after that, conversations were begun."""
    return [call.at_s - since_s for call in bench.agent.calls("create") if call.at_s >= since_s]


def within(begun: list[float], seconds: float) -> int:
    """How many of them came so soon after the first."""
    return sum(at_s < begun[0] + seconds for at_s in begun)


def ended(bench: Bench) -> list[str]:
    return [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]


def assert_nothing_was_lost(bench: Bench, names: list[str]) -> None:
    assert sorted(ended(bench)) == sorted(names)
    assert bench.dead() == []
    assert {message.headers["attempt"] for message in bench.publisher.confirmed} == {1}


@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("outage_s", [7.0, 61.0, 62.0, 70.0, 900.0])
@pytest.mark.parametrize("dice", [0.0, 0.5, 1.0])
async def test_the_first_event_has_ended_soon_after_the_end_and_the_others_follow_in_a_ramp(
    down: str, outage_s: float, dice: float
) -> None:
    """Whether the events are in hand by then, in delay queues, or back in the inbound queue."""
    async with Bench(dice=dice) as bench:
        breaks(bench, DOWN[down])
        names = delivers(bench)
        await bench.wait(outage_s)
        over_s = mends(bench)
        await bench.until(lambda: ended(bench), "the first event has ended", 5.0)
        await bench.quiet()
        begun = creates(bench, over_s)
        assert len([at_s for at_s in begun if at_s < begun[0] + 1]) <= 8
        assert all(
            len([at_s for at_s in begun if at_s < begun[0] + second]) <= 2 ** (second + 1) for second in range(1, 5)
        )
        assert begun[-1] < begun[0] + 7
        assert_nothing_was_lost(bench, names)


async def test_while_it_lasts_next_to_nothing_is_asked_but_by_probes() -> None:
    async with Bench() as bench:
        breaks(bench, DOWN["503"])
        names = delivers(bench)
        await bench.wait(900)
        assert bench.attempts() <= LANES + 5
        probes = bench.agent.calls("probe")
        assert [call.text for call in probes[1:]] == [None] * (len(probes) - 1)  # none signs in
        assert len(probes) >= 300
        mends(bench)
        await bench.quiet()
        assert_nothing_was_lost(bench, names)


@pytest.mark.parametrize("lanes", [1, 3])
async def test_a_few_events_find_out_as_well_and_their_own_waits_end_with_the_outage(lanes: int) -> None:
    """Fewer than five in a row; the back-off of the event would by then be up to a minute."""
    async with Bench() as bench:

        def more_than(before: int) -> bool:
            return len(ended(bench)) > before

        for outage_s in (0.5, 2.0, 4.0, 8.0, 20.0, 50.0):
            before = len(ended(bench))
            breaks(bench, DOWN["no-connection"])
            for lane in range(lanes):
                bench.deliver(f"e{outage_s}-{lane}", user_id=f"user-{lane}")
            await bench.wait(outage_s)
            mends(bench)
            await bench.until(partial(more_than, before), "one has ended", 5.0)
            await bench.quiet()
            for talk in bench.agent.talks:
                talk.finished = True
        assert bench.dead() == []


async def test_an_api_that_answers_probes_alone_is_found_to_be_there_again_as_soon() -> None:
    async with Bench() as bench:
        bench.agent.break_down("create", DOWN["503"])
        names = delivers(bench)
        await bench.wait(300)
        asked = len(bench.agent.calls("create"))
        assert asked < LANES + 300  # less than one a second
        bench.agent.mend("create")
        await bench.until(lambda: ended(bench), "the first event has ended", 5.0)
        await bench.quiet()
        assert_nothing_was_lost(bench, names)


async def test_the_events_of_a_lane_keep_their_order() -> None:
    async with Bench(dice=1.0) as bench:
        breaks(bench, DOWN["503"])
        names = delivers(bench, 5, events=4)
        await bench.wait(65)
        mends(bench)
        await bench.quiet()
        for lane in range(5):
            assert [name for name in ended(bench) if name.startswith(f"e{lane}-")] == [
                name for name in names if name.startswith(f"e{lane}-")
            ]


async def test_a_ramp_that_meets_the_next_outage_begins_again() -> None:
    async with Bench() as bench:
        breaks(bench, DOWN["503"])
        names = delivers(bench)
        await bench.wait(20)
        mends(bench)
        await bench.until(lambda: len(ended(bench)) >= 3, "the ramp is on its way")
        breaks(bench, DOWN["503"])
        await bench.wait(20)
        over_s = mends(bench)
        await bench.quiet()
        begun = creates(bench, over_s)
        assert within(begun, 1) <= 2
        assert_nothing_was_lost(bench, names)


async def test_at_the_start_and_once_the_ramp_is_over_nothing_waits_for_a_turn() -> None:
    async with Bench() as bench:
        began_s = bench.now_s()
        delivers(bench)
        await bench.quiet()
        assert bench.api_breaker.ramp is None
        assert max(creates(bench, began_s)) < 0.1
        breaks(bench, DOWN["503"])
        await bench.until(lambda: not bench.api_breaker.passing, "a probe fails")
        mends(bench)
        await bench.until(lambda: bench.api_breaker.passing, "the outage is over")
        assert bench.api_breaker.ramp is not None
        await bench.wait(11)
        began_s = bench.now_s()
        for number in range(LANES):
            bench.deliver(f"later-{number}", user_id=f"later-{number}")
        await bench.quiet()
        assert bench.api_breaker.ramp is None
        assert max(creates(bench, began_s)) < 0.1


async def test_a_stop_does_not_wait_for_the_turns_of_a_ramp() -> None:
    async with Bench() as bench:
        breaks(bench, DOWN["no-connection"])
        delivers(bench)
        await bench.wait(20)
        mends(bench)
        await bench.until(lambda: bench.api_breaker.passing, "the outage is over")
        began_s = bench.now_s()
        await bench.stop(60.0)
        assert bench.now_s() - began_s < 1
