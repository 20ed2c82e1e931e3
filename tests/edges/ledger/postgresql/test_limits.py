"""The rate limits in PostgreSQL: alone without the database, and what dies with a process is not forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bridge.core.delivery.rate_limits import CallUnderWay, LimitFigures, LimitHeaders, LimitScope
from bridge.core.errors import Limited
from bridge.edges.ledger.postgresql.limit_rows import LOST_S
from bridge.edges.ledger.postgresql.limits import SharedLimits
from tests.promises.ledgers import PostgresqlWorld
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

FIGURES = LimitFigures({"interact": 2}, 60.0, LimitScope.USER)


@asynccontextmanager
async def limiters(
    server: PostgresServer, log: Logbook, *, scope: LimitScope = LimitScope.USER
) -> AsyncIterator[tuple[PostgresqlWorld, SharedLimits, SharedLimits]]:
    database = await server.database()
    figures = LimitFigures(FIGURES.calls, FIGURES.window_s, scope)
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(SharedLimits(server.url(database), figures, log)) for _ in range(2)]
        await until(lambda: all(each.connected for each in both), "the database is asked")
        yield PostgresqlWorld(server, database, log), both[0], both[1]


async def went(limiter: SharedLimits, user: str = "ann") -> CallUnderWay | None:
    try:
        call = await limiter.admit(user, "interact")
    except Limited:
        return None
    limiter.answered(call, LimitHeaders())
    return call


async def test_without_the_database_each_counts_alone_and_with_it_again_together(
    postgres: PostgresServer, log: Logbook
) -> None:
    async with limiters(postgres, log) as (world, one, two):
        await world.break_down()
        await until(lambda: not one.connected and not two.connected, "it is missed")
        assert [await went(one) is not None for _ in range(3)] == [True, True, False]
        assert [await went(two) is not None for _ in range(3)] == [True, True, False]
        await world.mend()
        await until(lambda: one.connected and two.connected, "it is asked again", 30)
        assert await went(one, "bob") is not None
        assert await went(two, "bob") is not None
        assert await went(one, "bob") is None


async def test_a_call_whose_process_is_gone_counts_until_it_must_have_been_answered(
    postgres: PostgresServer, log: Logbook
) -> None:
    async with limiters(postgres, log) as (_, one, two):
        for _number in range(2):
            await one.admit("ann", "interact")  # and is never heard of again
        assert await went(two) is None
        await one.__aexit__()
        with pytest.raises(Limited) as limited:
            await two.admit("ann", "interact")
        assert limited.value.wait_s <= 60 * 1.01 + LOST_S


async def test_what_was_answered_is_told_by_itself_before_long(postgres: PostgresServer, log: Logbook) -> None:
    async with limiters(postgres, log) as (_, one, __):
        assert await went(one) is not None
        trips = one.round_trips
        await until(lambda: one.round_trips > trips, "it is told", 5)


async def test_a_call_costs_one_round_trip_at_most_and_many_at_once_share_it(
    postgres: PostgresServer, log: Logbook
) -> None:
    async with limiters(postgres, log, scope=LimitScope.AUTO) as (_, one, __):
        trips = one.round_trips
        for number in range(20):
            assert await went(one, f"user-{number}") is not None
        assert one.round_trips - trips <= 22  # an answer may have been told by itself
        trips = one.round_trips
        await asyncio.gather(*[went(one, f"more-{number}") for number in range(1000)])
        assert one.round_trips - trips < 100


async def test_in_the_organizations_scope_all_users_of_all_processes_count(
    postgres: PostgresServer, log: Logbook
) -> None:
    async with limiters(postgres, log, scope=LimitScope.ORGANIZATION) as (_, one, two):
        assert await went(one, "ann") is not None
        assert await went(two, "bob") is not None
        with pytest.raises(Limited) as limited:
            await one.admit("eve", "interact")
        assert str(limited.value).startswith("the limit of the organization for interact until")
