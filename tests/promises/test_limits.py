"""The promises of the port `CallLimiter`: kept by one process in memory, and by several on a database."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from bridge.core.delivery.rate_limits import (
    LIMITS,
    NO_LIMIT,
    CallUnderWay,
    LimitFigures,
    LimitHeaders,
    LimitScope,
)
from bridge.core.errors import Limited
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.edges.ledger.postgresql.limits import SharedLimits
from bridge.flow.ports.limits import CALLER
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

WINDOW_S = 30.0
NOTHING = LimitHeaders()
CREATE = "create-conversation"
Limiter = OwnLimits | SharedLimits


class Processes(ABC):
    """Processes that share their limits. Their clocks can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_s(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s

    @abstractmethod
    async def process(self) -> Limiter:
        """Another process."""

    @abstractmethod
    async def pass_(self, seconds: float) -> None:
        """So much time passes."""


class InMemory(Processes):
    """One process is all there is."""

    def __init__(self, figures: LimitFigures) -> None:
        super().__init__()
        self._one = OwnLimits(figures, monotonic=self.now_s)

    async def process(self) -> OwnLimits:
        return self._one

    async def pass_(self, seconds: float) -> None:
        self.ahead_s += seconds


class InDatabase(Processes):
    def __init__(
        self, figures: LimitFigures, server: PostgresServer, database: str, stack: AsyncExitStack, log: Logbook
    ) -> None:
        super().__init__()
        self._figures, self._server, self._database, self._stack, self._log = figures, server, database, stack, log
        self.limiters: list[SharedLimits] = []

    async def process(self) -> SharedLimits:
        url = self._server.url(self._database)
        limiter = SharedLimits(url, self._figures, self._log, monotonic=self.now_s)
        await self._stack.enter_async_context(limiter)
        await until(lambda: limiter.connected, "the database is asked")
        self.limiters.append(limiter)
        return limiter

    async def pass_(self, seconds: float) -> None:
        """What is on its way to the database is told first, and then everything is that much older."""
        for limiter in self.limiters:
            await until(partial(_all_told, limiter), "all is told")
        older = """
            UPDATE amigo_bridge.rate_limits SET closed_until = closed_until - {0},
            answered = ARRAY(SELECT at - {0} FROM unnest(answered) AS at),
            asked = coalesce((SELECT jsonb_object_agg(key, value::float8 - {0}) FROM jsonb_each_text(asked)), '{{}}')
        """
        await self._server.execute(older.format(seconds), self._database)
        self.ahead_s += seconds


def _all_told(limiter: SharedLimits) -> bool:
    return not limiter._reports


@pytest.fixture(params=["memory", "postgresql"])
async def processes(request: pytest.FixtureRequest, log: Logbook) -> AsyncIterator[Processes]:
    figures = LimitFigures({**LIMITS, CREATE: 3}, WINDOW_S, LimitScope.USER)
    if request.param == "memory":
        yield InMemory(figures)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    async with AsyncExitStack() as stack:
        yield InDatabase(figures, server, await server.database(), stack, log)


async def called(limiter: Limiter, user: str = "u", caller: str = "c", **how: Any) -> CallUnderWay:
    call = await let_go(limiter, user, caller)
    limiter.answered(call, how.pop("headers", NOTHING), **how)
    return call


async def let_go(limiter: Limiter, user: str = "u", caller: str = "c", operation: str = CREATE) -> CallUnderWay:
    CALLER.set(caller)
    return await limiter.admit(user, operation)


async def wait_s(limiter: Limiter, user: str = "u", caller: str = "late", operation: str = CREATE) -> float:
    CALLER.set(caller)
    try:
        limiter.unmade(await limiter.admit(user, operation))
    except Limited as error:
        limited = error
    else:
        return 0.0
    assert str(limited).startswith(f"the limit of {user} for {operation} until 20")
    return limited.wait_s


async def test_as_many_go_as_the_limit_says_and_the_next_one_waits_a_window(processes: Processes) -> None:
    one = await processes.process()
    for _ in range(3):
        await called(one)
    assert WINDOW_S - 5 < await wait_s(one) < WINDOW_S * 1.01
    assert await wait_s(one, "other") == 0.0
    assert await wait_s(one, operation="interact") == 0.0


async def test_processes_count_together(processes: Processes) -> None:
    one, two = await processes.process(), await processes.process()
    await called(one)
    await called(two)
    await called(one)
    assert WINDOW_S - 5 < await wait_s(two) < WINDOW_S * 1.01
    assert WINDOW_S - 5 < await wait_s(one, caller="another") < WINDOW_S * 1.01


async def test_a_call_that_is_not_answered_counts(processes: Processes) -> None:
    one, two = await processes.process(), await processes.process()
    under_way = [await let_go(one) for _ in range(3)]
    await processes.pass_(20.0)
    assert await wait_s(two, caller="a") > WINDOW_S - 5
    one.answered(under_way.pop(), NOTHING)
    one.lost(under_way.pop())
    await processes.pass_(25.0)
    one.answered(under_way.pop(), NOTHING)
    assert 0 < await wait_s(two, caller="b") < 10, "it counts from its answer"


async def test_a_call_that_was_not_made_counts_no_more(processes: Processes) -> None:
    one, two = await processes.process(), await processes.process()
    under_way = [await let_go(one) for _ in range(3)]
    one.unmade(under_way[0])
    await processes.pass_(0.0)
    assert await wait_s(two, caller="x") == 0.0


async def test_the_moment_that_is_told_is_kept_for_the_caller(processes: Processes) -> None:
    one, two = await processes.process(), await processes.process()
    for _ in range(3):
        await called(one)
    told_s = await wait_s(one, caller="first")
    for number in range(2):
        assert await wait_s(two, caller=f"more {number}") > 0
    assert await wait_s(two, caller="one too many") > WINDOW_S
    await processes.pass_(told_s + 0.5)
    assert await wait_s(two, caller="one too many") > 0
    await called(one, caller="first")


async def test_a_429_closes_the_gate_for_all_processes(processes: Processes) -> None:
    one, two = await processes.process(), await processes.process()
    await called(one, refused_s=20.0)
    await processes.pass_(1.0)
    assert 10 < await wait_s(two, caller="x") < 20
    assert await wait_s(two, "other") == 0.0
    await processes.pass_(20.0)
    assert await wait_s(two, caller="x") == 0.0
    assert one.limits.refused == {CREATE: 1}


async def test_the_last_call_that_the_api_permits_is_known_to_all(processes: Processes) -> None:
    one, two = await processes.process(), await processes.process()
    await called(one, headers=LimitHeaders(left=0, reset_s=20.0))
    await processes.pass_(1.0)
    assert 10 < await wait_s(two, caller="x") < 20


async def test_a_thousand_callers_at_once_are_let_go_as_the_limit_says(processes: Processes) -> None:
    limiters = [await processes.process(), await processes.process()]

    async def ask(number: int) -> bool:
        try:
            await called(limiters[number % 2], f"user-{number % 100}", f"caller-{number}")
        except Limited:
            return False
        return True

    went = await asyncio.gather(*[ask(number) for number in range(1000)])
    assert sum(went) == 300


async def test_what_has_no_limit_is_let_go(processes: Processes) -> None:
    one = await processes.process()
    assert one.limits.limit_of("probe") == NO_LIMIT
    for _ in range(100):
        await let_go(one, "u", "c", "probe")
