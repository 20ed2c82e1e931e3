"""Lanes cost nothing where nobody waits, and what waits goes in its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.ledger.ledger_entry import Entry, Holder, State
from bridge.edges.ledger.factory import OpenLedger
from bridge.edges.ledger.postgresql.ledger import PostgresqlLedger, PostgresqlLimits
from bridge.edges.ledger.sqlite.ledger import SqliteLedger
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

DIGEST = bytes(32)
LANE = ("user-1", "5f" * 12)
KEEP_S = 0.2


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path, log: Logbook) -> AsyncIterator[OpenLedger]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield await stack.enter_async_context(SqliteLedger(tmp_path / "ledger.db", 3600, log))
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            url = server.url(await server.database())
            yield await stack.enter_async_context(PostgresqlLedger(url, 3600, log))


async def one_event(ledger: OpenLedger, event_id: str, line: LaneClaim | None) -> None:
    await ledger.claim(event_id, DIGEST, line=line)
    await ledger.write(Entry(event_id, State.ANSWERED, DIGEST, ending=b"{}"))
    ledger.write_soon(Entry(event_id, State.COMPLETE, DIGEST, ending=b"{}"))
    ledger.leave_lane(event_id)


async def test_an_event_that_starts_at_once_has_its_claim_and_no_call_more(ledger: OpenLedger) -> None:
    costs = []
    for line in (None, LaneClaim(LANE)):
        await ledger.find("what was to be written soon is written with this")
        before = ledger.operations, ledger.commits
        for number in range(10):
            await one_event(ledger, f"{line is None}-{number}", line)
        await ledger.find("and with this")
        costs.append((ledger.operations - before[0], ledger.commits - before[1]))
    without, within = costs
    assert within == without


async def test_an_event_that_enters_an_idle_lane_of_a_file_after_its_claim_costs_no_call(
    tmp_path: Path, log: Logbook
) -> None:
    async with SqliteLedger(tmp_path / "ledger.db", 3600, log) as ledger:
        await ledger.claim("e1", DIGEST)
        before = ledger.operations
        assert await ledger.take_turn("e1", LaneClaim(LANE)) is None
        assert ledger.operations == before


async def test_places_in_a_file_are_forgotten_like_events_that_never_end(tmp_path: Path, log: Logbook) -> None:
    now = [1_000_000.0]
    made = SqliteLedger(tmp_path / "ledger.db", 3600, log, lambda: now[0], purge_every_s=0.02)
    async with made as ledger:
        ledger.line_up(LANE, [InLine("lost", back_in_s=10.0)])
        assert (await ledger.claim("e1", DIGEST, line=LaneClaim(LANE))).holder is Holder.LANE
        now[0] += 5 * 3600

        await until(lambda: claimed(ledger), "it is forgotten")


async def claimed(ledger: OpenLedger) -> bool:
    return (await ledger.claim("e1", DIGEST, line=LaneClaim(LANE))).holder is Holder.NOBODY


async def test_lanes_and_places_in_a_database_are_forgotten(postgres: PostgresServer, log: Logbook) -> None:
    database = await postgres.database()
    limits = PostgresqlLimits(purge_every_s=0.05, settle_s=0.05)
    async with PostgresqlLedger(postgres.url(database), KEEP_S, log, limits) as ledger:
        ledger.line_up(LANE, [InLine("lost", back_in_s=0.01)])
        assert (await ledger.claim("e1", DIGEST, line=LaneClaim(LANE))).holder is Holder.LANE
        await until(lambda: claimed(ledger), "it is forgotten")
        await ledger.write(Entry("e1", State.COMPLETE, DIGEST, ending=b"{}"))
        ledger.leave_lane("e1")

        async def empty() -> bool:
            rows = await postgres.fetch(
                "SELECT 1 FROM amigo_bridge.lanes UNION ALL SELECT 1 FROM amigo_bridge.lane_places", database
            )
            return not rows

        await until(empty, "the lane is forgotten too")


async def test_what_was_not_carried_out_while_the_database_was_away_holds_up_nobody_who_has_ended(
    postgres: PostgresServer, log: Logbook
) -> None:
    """The process dies between the end of an event and its leaving the lane."""
    url = postgres.url(await postgres.database())
    async with PostgresqlLedger(url, 3600, log) as one, PostgresqlLedger(url, 3600, log) as two:
        one.line_up(LANE, [InLine("e1"), InLine("e2")])
        await one.claim("e1", DIGEST, line=LaneClaim(LANE))
        await one.write(Entry("e1", State.COMPLETE, DIGEST, ending=b"{}"))
        one._task.cancel()
        await asyncio.wait((one._task,))
        claim = await two.claim("e2", DIGEST, line=LaneClaim(LANE))
        assert claim.holder is Holder.NOBODY
