"""The gate: closed at first, while credentials are refused, and while the API is down too often in a row."""

import asyncio
from itertools import pairwise

import pytest

from bridge.core.errors import Lost, NotSent, Refused, SignInRefused, TooEarly, Unavailable
from tests.support.fakes import answered, error, said
from tests.support.flow_bench import Bench


def probes(bench: Bench) -> list[float]:
    return [call.at_s for call in bench.agent.calls("probe")]


def waits(times: list[float]) -> list[float]:
    return [later - sooner for sooner, later in pairwise(times)]


def downs(bench: Bench, count: int, down: Exception | None = None) -> None:
    """So many users in a row find the API down."""
    bench.agent.fail("create", *[down or NotSent("no connection")] * count)
    for number in range(count):
        bench.deliver(f"e{number}", user_id=f"user-{number}")


async def test_it_is_closed_at_first_and_nothing_is_consumed_until_a_probe_has_succeeded() -> None:
    bench = Bench()
    bench.agent.fail("probe", NotSent("no connection"), NotSent("no connection"))
    assert not bench.api_breaker.passing
    assert bench.inbox.reasons == {"api"}
    assert bench.api_breaker.why == {"api": "not asked yet"}
    bench.start()
    await bench.until(lambda: bench.api_breaker.why == {"api": "no connection"}, "the first probe fails")
    assert not bench.inbox.consuming
    await bench.until(lambda: bench.api_breaker.passing, "the third probe succeeds")
    assert bench.inbox.consuming
    assert bench.api_breaker.why == {}
    assert len(probes(bench)) == 3
    async with bench:
        bench.deliver()
        await bench.quiet()


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (Unavailable("503"), [1, 2, *[3] * 65]),
        (NotSent("no connection"), [1, 2, *[3] * 65]),
        (SignInRefused("no such key"), [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]),
    ],
)
async def test_while_it_is_closed_it_probes_with_growing_waits(trouble: Exception, told: list[float]) -> None:
    """Up to half a minute where the credentials are refused, up to three seconds where the API is down."""
    bench = Bench(dice=0.0)
    bench.agent.break_down("probe", trouble)
    bench.start()
    await bench.wait(200)
    assert waits(probes(bench)) == pytest.approx(told)
    bench.agent.mend("probe")
    async with bench:
        pass


async def test_a_closed_gate_is_opened_only_by_credentials_that_are_accepted() -> None:
    bench = Bench()
    bench.agent.fail("probe", SignInRefused("no such key"))
    bench.start()
    await bench.until(lambda: "credentials" in bench.api_breaker.why, "the credentials are refused")
    async with bench:
        assert all(call.text == "credentials" for call in bench.agent.calls("probe"))


async def test_refused_credentials_close_it_at_once() -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", SignInRefused("no such key"))
        downs(bench, 1, SignInRefused("no such key"))
        await bench.until(lambda: not bench.api_breaker.passing, "it closes", 1.0)
        assert bench.api_breaker.why == {"credentials": "no such key"}
        bench.agent.mend("probe")
        await bench.quiet()


@pytest.mark.parametrize(("down", "closed"), [(4, False), (5, True)])
async def test_five_in_a_row_that_find_the_api_down_close_it(down: int, closed: bool) -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", NotSent("no connection"))
        downs(bench, down)
        await bench.wait(0.5)
        assert bench.api_breaker.passing is not closed
        assert bench.inbox.consuming is not closed
        bench.agent.mend("probe")
        await bench.quiet()


async def test_an_answer_in_between_starts_the_count_anew() -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", NotSent("no connection"))
        downs(bench, 4)
        await bench.wait(0.5)
        bench.deliver("good", user_id="good")
        await bench.until(lambda: bench.types("good")[-1:] == ["interaction-complete"], "one gets through")
        bench.agent.fail("create", *[NotSent("no connection")] * 4)
        await bench.wait(1.5)
        assert len(bench.log.of("attempt.ended")) == 8
        assert bench.api_breaker.passing
        bench.agent.mend("probe")
        await bench.quiet()


@pytest.mark.parametrize("failure", [Lost("reset"), Refused("create-conversation", 500, ""), TooEarly("429", 2.0)])
async def test_what_does_not_say_that_the_api_is_down_leaves_it_open(failure: Exception) -> None:
    async with Bench() as bench:
        downs(bench, 12, failure)
        await bench.wait(1)
        assert bench.api_breaker.passing
        await bench.quiet()


async def test_after_a_probe_got_through_the_next_failure_closes_it_at_once() -> None:
    async with Bench() as bench:
        bench.agent.fail("probe", NotSent("no connection"))
        downs(bench, 5)
        await bench.until(lambda: not bench.api_breaker.passing, "it closes")
        bench.agent.break_down("create", NotSent("no connection"))
        asked = len(bench.agent.calls("create"))
        await bench.until(lambda: len(bench.log.of("api.available")) == 2, "a probe opens it")
        await bench.until(lambda: not bench.api_breaker.passing, "the next failure closes it", 0.5)
        assert len(bench.agent.calls("create")) == asked + 1
        bench.agent.mend("create")
        await bench.quiet()


@pytest.mark.parametrize("trouble", [NotSent("no connection"), SignInRefused("a fresh token was refused")])
async def test_a_gate_that_only_probes_get_through_stays_closed_longer_each_time(trouble: Exception) -> None:
    """The API answers the probe and refuses the work: not consuming, and the back-off of probes, hold for that too."""
    async with Bench() as bench:
        bench.agent.break_down("create", trouble)
        taken = 0
        for second in range(300):
            await bench.wait(1)
            if bench.inbox.consuming:
                bench.deliver(f"e{second}", user_id=f"user-{second}")
                taken += 1
        assert taken < 100
        bench.agent.mend("create")
        await bench.quiet()


async def test_while_nothing_else_is_heard_it_is_probed_now_and_then_without_signing_in() -> None:
    async with Bench() as bench:
        await bench.wait(100)
        assert waits(probes(bench)) == pytest.approx([15.0] * 6, abs=0.2)
        assert [call.text for call in bench.agent.calls("probe")][1:] == [None] * 6


async def test_work_that_is_done_saves_the_probes() -> None:
    async with Bench() as bench:
        for number in range(20):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
            await bench.wait(5)
        assert len(probes(bench)) == 1


async def test_a_probe_that_fails_while_it_is_open_closes_it() -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", NotSent("no connection"))
        await bench.until(lambda: not bench.api_breaker.passing, "the idle probe fails", 16)
        bench.agent.mend("probe")
        await bench.until(lambda: bench.api_breaker.passing, "it opens again")


async def test_a_rate_limit_on_the_probe_neither_closes_it_nor_is_probed_against_without_a_wait() -> None:
    async with Bench() as bench:
        bench.agent.break_down("probe", TooEarly("429", 60.0))
        await bench.wait(100)
        assert bench.api_breaker.passing
        assert len(probes(bench)) < 20
        bench.agent.mend("probe")


async def test_waiting_for_it_ends_when_it_opens_or_when_the_time_is_over() -> None:
    bench = Bench()
    bench.agent.break_down("probe", NotSent("no connection"))
    bench.start()
    began = bench.now_s()
    assert not await bench.api_breaker.wait(10.0)
    assert bench.now_s() - began == pytest.approx(10.0)
    waiting = asyncio.create_task(bench.api_breaker.wait(1_000.0))
    bench.agent.mend("probe")
    assert await waiting
    async with bench:
        pass


async def test_a_void_answer_is_an_answer() -> None:
    async with Bench() as bench:
        bench.agent.script(*[answered(said("Hel"), error(500))] * 6)
        for number in range(6):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
        await bench.quiet()
        assert bench.log.of("api.unavailable") == []
