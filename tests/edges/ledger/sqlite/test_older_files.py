"""Files of older versions: nothing that they know is lost, and it goes in its time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.edges.ledger.inspect import look
from bridge.edges.ledger.sqlite.ledger import SqliteLedger
from bridge.edges.ledger.sqlite.schema import MIGRATIONS
from tests.support.logbook import Logbook
from tests.support.waiting import until

DIGEST = bytes(32)
KEEP_S = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def entry(event_id: str, state: State = State.OPEN) -> Entry:
    return Entry(event_id, state, DIGEST, ending=b"ending")


def older(path: Path, version: int, *entries: tuple[str, str, int]) -> None:
    """A file as an older version has left it: event ids, states, and when they were claimed and changed (ms)."""
    with closing(sqlite3.connect(path)) as old, old:
        for statement in (statement for migration in MIGRATIONS[:version] for statement in migration):
            old.execute(statement)
        names = "event_id, claimed_ms, changed_ms, state, digest, attempt, ending, "
        names += "replay" if version < 3 else "requeue"
        for event_id, state, at_ms in entries:
            row = (event_id, at_ms, at_ms, state, DIGEST, 0, b"ending", 0)
            old.execute(f"INSERT INTO events ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        old.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_what_an_older_version_has_left_is_known_and_goes_in_its_time(
    path: Path, log: Logbook, version: int
) -> None:
    now = [10_000.0]
    states = [("e1", "open"), ("e2", "complete"), ("e3", "requested"), ("ahead", "complete"), ("last", "failed")]
    times_ms = {"ahead": 90_000_000}
    older(path, version, *[(event_id, state, times_ms.get(event_id, 9_999_000)) for event_id, state in states])
    async with SqliteLedger(path, KEEP_S, log, clock=lambda: now[0], purge_every_s=0.02) as ledger:
        assert await ledger.find("e1") == entry("e1")
        assert await ledger.claim("e2", DIGEST) == Claim(Holder.EARLIER, entry("e2", State.COMPLETE))
        assert await ledger.claim("e3", DIGEST) == Claim(Holder.EARLIER, entry("e3", State.REQUESTED))
        await ledger.write(entry("e1", State.ANSWERED))
        assert await ledger.find("e1") == entry("e1", State.ANSWERED)

        async def gone(*event_ids: str) -> None:
            async def all_gone() -> bool:
                return [await ledger.find(event_id) for event_id in event_ids] == [None] * len(event_ids)

            await until(all_gone, f"{event_ids} are gone")

        now[0] += KEEP_S + 2
        await gone("e2", "ahead", "last")
        assert await ledger.find("e1") == entry("e1", State.ANSWERED)
        now[0] += 3 * KEEP_S
        await gone("e1", "e3")
    assert await look(f"sqlite:///{path}", "e1") is None
