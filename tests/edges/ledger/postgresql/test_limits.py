"""The rate limits in PostgreSQL: alone without the database, and what dies with a process is not forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from bridge.core.delivery.call_log import Figure
from bridge.core.delivery.rate_limits import EVERYBODY, CallUnderWay, LimitFigures, LimitHeaders, LimitScope
from bridge.core.errors import Limited
from bridge.edges.ledger.postgresql.limit_rows import LOST_S
from bridge.edges.ledger.postgresql.limits import SharedLimits
from bridge.flow.ports.limits import CALLER
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


async def test_the_organizations_row_holds_no_users_call_up(postgres: PostgresServer, log: Logbook) -> None:
    async with limiters(postgres, log, scope=LimitScope.AUTO) as (world, one, _):
        for number in range(5):  # more than twice the limit: it is proved that users are counted
            assert await went(one, f"user-{number}") is not None
        await until(lambda: not one._notes and not one._reports, "all is known to the database")
        connection = await asyncpg.connect(world.url)
        try:
            async with connection.transaction():
                held = "SELECT FROM amigo_bridge.rate_limits WHERE scope = '' FOR UPDATE"
                assert await connection.execute(held) == "SELECT 1"
                assert await went(one, "another") is not None
        finally:
            await connection.close()


async def test_all_users_calls_are_in_the_organizations_row_before_long(postgres: PostgresServer, log: Logbook) -> None:
    async with limiters(postgres, log, scope=LimitScope.AUTO) as (world, one, two):
        for number in range(8):
            assert await went((one, two)[number % 2], f"user-{number}") is not None
        rows = "SELECT cardinality(answered) FROM amigo_bridge.rate_limits WHERE scope = ''"
        await until(lambda: not (one._notes or two._notes or one._reports or two._reports), "all is known")
        ((count,),) = await postgres.fetch(rows, world.url.rpartition("/")[2])
        assert isinstance(count, int)
        assert count >= 4, "twice the limit, which is all that matters"


async def test_the_scope_that_one_process_finds_out_the_other_knows(postgres: PostgresServer, log: Logbook) -> None:
    async with limiters(postgres, log, scope=LimitScope.AUTO) as (_, one, two):
        for number in range(2):
            assert await went(one, f"user-{number}") is not None
        for number in range(3):
            call = await one.admit(f"unlucky-{number}", "interact")
            one.answered(call, LimitHeaders(), refused_s=0.2)
        await until(lambda: not one._reports, "it is written")
        with pytest.raises(Limited) as limited:
            await two.admit("eve", "interact")
        assert str(limited.value).startswith("the limit of the organization for interact until")
        with pytest.raises(Limited):
            await two.admit("another", "interact")
        assert two.limits.scope_of("eve", "interact", asyncio.get_running_loop().time()) == EVERYBODY


async def test_in_the_organizations_scope_users_take_turns(postgres: PostgresServer, log: Logbook) -> None:
    async with limiters(postgres, log, scope=LimitScope.ORGANIZATION) as (_, one, __):
        called: list[str] = []

        async def ask(user: str, number: int) -> None:
            CALLER.set(f"{user}-{number}")
            try:
                one.answered(await one.admit(user, "interact"), LimitHeaders())
            except Limited:
                return
            called.append(user)

        for number in range(20):
            await ask("hot", number)
        await ask("few", 0)
        assert called == ["hot", "hot"]
        ahead = one.limits._log(EVERYBODY, "interact", Figure(2, 60.0), 0.0).before("few-0", one._monotonic())
        assert ahead < 4, "behind those of the first round, not behind all"
