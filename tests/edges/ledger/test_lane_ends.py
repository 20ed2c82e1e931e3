"""The end of an event frees its lane, also where the process dies, or the database goes, before that is written."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.core.delivery.progress import Progress
from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.flow.ports.ledger import LedgerUnavailable
from tests.promises.ledgers import PostgresqlWorld, postgresql_world, sqlite_world
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

DIGEST = bytes(32)
LANE = ("user-1", "5f" * 12)
LINE = LaneClaim(LANE)
FREE = Claim(Holder.NOBODY)
BEHIND = Claim(Holder.LANE, before=Before("e1", 1))
ANSWERED = Entry("e1", State.ANSWERED, DIGEST, ending=b"{}")


@pytest.fixture
async def world(postgres: PostgresServer, log: Logbook) -> AsyncIterator[PostgresqlWorld]:
    async with postgresql_world(postgres, log) as made:
        yield made


async def lapse(postgres: PostgresServer, world: PostgresqlWorld, seconds: float) -> None:
    """As if so much time had passed since the leases of dead processes ended."""
    await postgres.execute(
        f"UPDATE amigo_bridge.owners SET until = now() - interval '{seconds} seconds'", world.url.rpartition("/")[2]
    )


@pytest.mark.parametrize("waited", [False, True])
async def test_an_event_acknowledged_just_before_its_process_died_holds_up_nobody(
    postgres: PostgresServer, world: PostgresqlWorld, *, waited: bool
) -> None:
    """The news that it is complete goes late, and is lost with the process; nobody will ever deliver it again."""
    dead = await world.process()
    if waited:
        dead.line_up(LANE, [InLine("e1")])
    await dead.claim("e1", DIGEST, line=LINE)
    await dead.write(ANSWERED)
    dead.complete_soon("e1", Progress())
    await world.kill(dead)
    await lapse(postgres, world, 1)
    left = await world.process()
    assert await left.claim("e2", DIGEST, line=LINE) == BEHIND, "it may be delivered anew"
    await lapse(postgres, world, 11)
    assert await left.claim("e2", DIGEST, line=LINE) == FREE


async def test_an_answered_event_that_is_away_is_waited_for(postgres: PostgresServer, world: PostgresqlWorld) -> None:
    dead = await world.process()
    await dead.claim("e1", DIGEST, line=LINE)
    await dead.write(ANSWERED)
    dead.line_up(LANE, [InLine("e1", back_in_s=3600.0)])
    await dead.release(["e1"])
    await world.kill(dead)
    await lapse(postgres, world, 11)
    left = await world.process()
    assert await left.claim("e2", DIGEST, line=LINE) == BEHIND


async def test_an_event_that_may_have_been_asked_for_is_waited_for_though_its_process_is_dead(
    postgres: PostgresServer, world: PostgresqlWorld
) -> None:
    dead = await world.process()
    await dead.claim("e1", DIGEST, line=LINE)
    await dead.write(Entry("e1", State.OPEN, DIGEST))
    await world.kill(dead)
    await lapse(postgres, world, 11)
    left = await world.process()
    assert await left.claim("e2", DIGEST, line=LINE) == BEHIND


async def test_an_answered_event_of_a_file_holds_up_nobody_after_a_restart(tmp_path: Path, log: Logbook) -> None:
    async with sqlite_world(tmp_path / "ledger.db", log) as world:
        dead = await world.process()
        dead.line_up(LANE, [InLine("e1"), InLine("e2")])
        await dead.claim("e1", DIGEST, line=LINE)
        await dead.write(ANSWERED)
        await world.kill(dead)
        left = await world.process()
        assert await left.claim("e2", DIGEST, line=LINE) == FREE


async def test_what_ends_while_the_database_is_away_frees_its_lane_once_it_is_back(world: PostgresqlWorld) -> None:
    one, two = await world.process(), await world.process()
    one.line_up(LANE, [InLine("e1"), InLine("e2")])
    await one.claim("e1", DIGEST, line=LINE)
    await one.write(ANSWERED)
    one.complete_soon("e1", Progress())
    await world.break_down()
    await until(lambda: one.trouble, "it is seen")
    one.leave_lane("e1")
    one.leave_lane("e2")
    await world.mend()
    await until(lambda: one.trouble is None and two.trouble is None, "they are well")

    async def complete() -> bool:
        entry = await two.find("e1")
        return entry is not None and entry.state is State.COMPLETE

    await until(complete, "e1 is complete")

    async def free() -> bool:
        return await two.claim("e3", DIGEST, line=LINE) == FREE

    await until(free, "e2, of which the ledger never had an entry, is waited for no more")


async def test_the_end_of_an_event_that_the_database_never_takes_is_given_up(
    postgres: PostgresServer, world: PostgresqlWorld
) -> None:
    one = await world.process()
    one.line_up(LANE, [InLine("e1")])
    await one.claim("e1", DIGEST, line=LINE)
    await postgres.execute(
        "DROP FUNCTION amigo_bridge.leave_lanes(text, bytea[], bytea[])", world.url.rpartition("/")[2]
    )
    one.leave_lane("e1")
    await until(lambda: one.trouble, "it fails")

    async def well() -> bool:
        try:
            return await one.find("e1") is not None
        except LedgerUnavailable:
            return False

    await until(well, "the others are carried out", 90)
