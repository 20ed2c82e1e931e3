"""Looking at one entry beside a service that has the ledger: the entry, and its times."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.answer.sent_ending import SentEnding
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.edges.ledger.inspect import look
from bridge.flow.ports.ledger import LedgerUnavailable
from tests.promises.ledgers import PostgresqlWorld, SqliteWorld, postgresql_world, sqlite_world
from tests.support.fakes import FakeLog
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

DIGEST = bytes(range(32))
ENDED = Entry("e1", State.COMPLETE, DIGEST, ending=b"{}", sent=SentEnding("interaction-complete", 1))
Place = tuple[SqliteWorld | PostgresqlWorld, str]


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        async with sqlite_world(tmp_path / "ledger.db", FakeLog()) as file:
            yield file, f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        async with postgresql_world(server, FakeLog()) as database:
            yield database, database.url


async def test_an_entry_is_seen_with_its_times_while_a_process_has_the_ledger(place: Place) -> None:
    world, url = place
    ledger = await world.process()
    began_s = time.time() - 5
    assert await look(url, "e1") is None
    await ledger.claim("e1", DIGEST)
    claimed = await look(url, "e1")
    assert claimed is not None
    assert claimed.entry == Entry("e1", State.CLAIMED, DIGEST)
    assert not claimed.laid_aside
    await ledger.write(replace(ENDED, state=State.ANSWERED))
    answered = await look(url, "e1")
    assert answered is not None
    assert answered.entry == replace(ENDED, state=State.ANSWERED)
    assert claimed.first_s is not None
    assert claimed.first_s == answered.first_s
    assert began_s < claimed.first_s <= claimed.changed_s <= answered.changed_s < time.time() + 5


async def test_of_what_was_laid_aside_the_end_is_seen(place: Place) -> None:
    world, url = place
    ledger = await world.process()
    await ledger.claim("e1", DIGEST)
    await ledger.write(ENDED)
    await ledger.release(["e1"])
    await world.pass_endings()

    async def aside() -> bool:
        traced = await look(url, "e1")
        return traced is not None and traced.laid_aside

    await until(aside, "it is laid aside")
    traced = await look(url, "e1")
    assert traced is not None
    assert traced.first_s is None
    assert (traced.entry.state, traced.entry.ending, traced.entry.sent) == (State.COMPLETE, None, None)


async def test_where_there_is_no_ledger_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="no such file"):
        await look(f"sqlite:///{tmp_path / 'nothing.db'}", "e1")
