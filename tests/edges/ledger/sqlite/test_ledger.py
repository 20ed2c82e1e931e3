"""The SQLite ledger's file: locked, full, damaged, deleted, of another version, too old."""

import asyncio
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.event.user import KnownUser
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.edges.ledger.call_queue import CallQueue
from bridge.edges.ledger.factory import open_ledger
from bridge.edges.ledger.rows import CODES, hash_of
from bridge.edges.ledger.sqlite.ledger import SqliteLedger
from bridge.edges.ledger.sqlite.schema import MIGRATIONS
from bridge.flow.ports.ledger import LedgerUnavailable
from tests.support.logbook import Logbook
from tests.support.process import environment
from tests.support.waiting import stays, until

ROOT = Path(__file__).resolve().parents[4]
DIGEST = bytes(32)
KEEP_S = 1000.0
WHEN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"


@contextmanager
def database(path: Path | str, *, uri: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection of the test's own: what is done in it is committed, and it is closed."""
    with closing(sqlite3.connect(path, uri=uri)) as connection, connection:
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def opened(path: Path, log: Logbook) -> SqliteLedger:
    return SqliteLedger(path, KEEP_S, log)


def entry(event_id: str, state: State = State.OPEN, deaths: int = 0) -> Entry:
    return Entry(event_id, state, DIGEST, ending=b"ending", deaths=deaths)


def put_away(path: Path) -> Path:
    """Somebody moves the file; its new place."""
    return path.rename(path.with_name("moved away"))


def contents(path: Path) -> bytes:
    """All of the file."""
    return path.read_bytes()


def mode(path: Path) -> int:
    """Who may do what with it."""
    return path.stat().st_mode & 0o777


def damage(path: Path) -> None:
    """All but the first page is lost."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))


def delete(path: Path, *suffixes: str) -> None:
    """Somebody deletes the file, or more of what is beside it."""
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink()


async def refused(ledger: SqliteLedger) -> str:
    """What a call says that must fail."""
    with pytest.raises(LedgerUnavailable) as raised:
        await ledger.write(entry("refused"))
    return str(raised.value)


async def well(ledger: SqliteLedger) -> None:
    await until(lambda: ledger.trouble is None, "it is well")


async def test_only_its_owner_may_read_the_file_and_its_lock(path: Path, log: Logbook) -> None:
    async with open_ledger(f"sqlite:///{path}", KEEP_S, log) as ledger:
        await ledger.claim("e1", DIGEST)
    assert [mode(each) for each in (path, path.with_name("ledger.db-lock"))] == [0o600, 0o600]


async def test_a_second_process_is_told_which_file_is_in_use_and_takes_over_when_the_first_has_gone(
    path: Path, log: Logbook
) -> None:
    async with opened(path, log) as second_waits:
        async with opened(path, log) as second:
            reason = await refused(second)
            assert reason == second.trouble
            who = f"the process {os.getpid()} on {re.escape(socket.gethostname())} since {WHEN}"
            assert re.fullmatch(f"the ledger {path}: it is in use by {who}, which locks {path}-lock", reason), reason
            await second_waits.write(entry("e1"))
        assert second_waits.trouble is None
    async with opened(path, log) as first, opened(path, log) as second:
        await first.write(entry("e2"))
        await first.__aexit__()
        await well(second)
        assert await second.find("e1") == entry("e1", deaths=1)
        assert await second.find("e2") == entry("e2", deaths=1)


async def test_someone_may_read_the_file_while_it_is_in_use(path: Path, log: Logbook) -> None:
    async with opened(path, log) as ledger:
        await ledger.write(entry("e1"))
        with database(f"file:{path}?mode=ro", uri=True) as reader:
            assert reader.execute("SELECT event_id, state FROM known").fetchall() == [("e1", CODES[State.OPEN])]
        reader.close()
        await ledger.write(entry("e2"))


async def test_while_another_program_locks_the_file_it_is_unavailable(path: Path, log: Logbook) -> None:
    async with SqliteLedger(path, KEEP_S, log, busy_s=0.05) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await refused(ledger) == f"the ledger {path}: another program has locked it (SQLITE_BUSY)"
        other.execute("ROLLBACK")
        other.close()
        await well(ledger)
        await ledger.write(entry("e1"))


def test_where_no_file_may_grow_it_says_so_and_goes_on_when_there_is_room(path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.ledger_process", "narrow", f"sqlite:///{path}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    reason, recovered = done.stdout.splitlines()
    assert reason == f"the ledger {path}: disk I/O error (SQLITE_IOERR_WRITE)"
    assert recovered == "recovered"


async def test_a_folder_that_is_missing_is_named_and_waited_for(tmp_path: Path, log: Logbook) -> None:
    path = tmp_path / "volume" / "ledger.db"
    async with opened(path, log) as ledger:
        assert ledger.trouble == f"the ledger {path}: No such file or directory"
        path.parent.mkdir()
        await well(ledger)
        assert await ledger.claim("e1", DIGEST) == Claim(Holder.NOBODY)


@pytest.mark.parametrize("also", [(), ("-wal", "-shm"), ("-wal", "-shm", "-lock")])
async def test_a_file_that_is_deleted_is_made_anew_and_it_is_said(path: Path, log: Logbook, also: tuple[str]) -> None:
    async with opened(path, log) as ledger:
        await ledger.write(entry("e1"))
        delete(path, "", *also)
        await ledger.write(entry("e2"))
        assert [fields["file"] for fields in log.of("ledger.replaced")] == [str(path)]
        assert await ledger.find("e1") is None
    async with opened(path, log) as ledger:
        assert await ledger.find("e1") is None
        assert await ledger.find("e2") == entry("e2", deaths=1)


async def test_a_file_put_in_its_place_is_taken_as_it_is(path: Path, log: Logbook) -> None:
    async with opened(path.with_name("other.db"), log) as ledger:
        await ledger.write(entry("from the other"))
    async with opened(path, log) as ledger:
        for number in range(50):
            await ledger.write(entry(f"e{number}"))
        path.with_name("other.db").replace(path)
        assert await ledger.find("e49") is None
        assert await ledger.find("from the other") == entry("from the other", deaths=1)
        with database(path) as reader:
            assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        reader.close()


@pytest.fixture(params=[b"not a database", b"not a database at all " * 1000])
def content(request: pytest.FixtureRequest, path: Path) -> bytes:
    """What is in the ledger's file."""
    path.write_bytes(request.param)
    return bytes(request.param)


async def test_what_is_no_database_is_never_written_over(path: Path, log: Logbook, content: bytes) -> None:
    async with opened(path, log) as ledger:
        said = "it is not a SQLite database; move it away and a new one is made (SQLITE_NOTADB)"
        assert ledger.trouble == await refused(ledger) == f"the ledger {path}: {said}"
        await stays(lambda: path.read_bytes() == content and ledger.trouble, "it is left alone", 0.5)
        moved = put_away(path)
        await well(ledger)
        assert log.of("ledger.replaced") == []  # it had never been the ledger
        await ledger.write(entry("e1"))
    assert moved.read_bytes() == content


async def test_a_damaged_file_stays_unavailable_until_it_is_moved_away(path: Path, log: Logbook) -> None:
    async with opened(path, log) as ledger:
        await asyncio.gather(*(ledger.write(entry(f"e{number}")) for number in range(500)))
    damage(path)
    async with opened(path, log) as ledger:
        await until(lambda: ledger.trouble, "the damage is seen")
        reason = await refused(ledger)
        assert reason.startswith(f"the ledger {path}: it is damaged; move it away and a new one is made (")
        await stays(lambda: ledger.trouble, "it is not used", 0.5)
        put_away(path)
        await well(ledger)
        await ledger.write(entry("e1"))


async def test_another_programs_database_is_left_alone(path: Path, log: Logbook) -> None:
    with database(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = contents(path)
    async with opened(path, log) as ledger:
        assert ledger.trouble == f"the ledger {path}: it is a database of some other program"
    assert contents(path) == before


async def test_a_file_of_a_later_version_is_refused(path: Path, log: Logbook) -> None:
    async with opened(path, log) as ledger:
        await ledger.write(entry("e1"))
    later = len(MIGRATIONS) + 1
    with database(path) as newer:
        assert newer.execute("PRAGMA user_version").fetchone() == (later - 1,)
        newer.execute("ALTER TABLE known ADD COLUMN note TEXT")
        newer.execute(f"PRAGMA user_version = {later}")
    newer.close()
    async with opened(path, log) as ledger:
        assert ledger.trouble == f"the ledger {path}: a later version of amigo-bridge has made it ({later})"
    with database(path) as reader:
        assert reader.execute("SELECT event_id, note FROM known").fetchall() == [("e1", None)]
    reader.close()


async def test_an_entry_that_cannot_be_read_is_unavailable_and_the_others_are_not(path: Path, log: Logbook) -> None:
    async with opened(path, log) as ledger:
        await asyncio.gather(ledger.write(entry("e1")), ledger.write(entry("e2")))
        with database(path) as other:
            other.execute("UPDATE known SET state = 99 WHERE event_id = 'e1'")
        other.close()
        one, two = await asyncio.gather(ledger.find("e1"), ledger.find("e2"), return_exceptions=True)
        assert str(one) == "the ledger's entry of 'e1' cannot be read: no state has the number 99"
        assert two == entry("e2")
        assert ledger.trouble is None


async def test_calls_that_wait_together_share_a_commit(path: Path, log: Logbook) -> None:
    async with opened(path, log) as ledger:
        await asyncio.gather(*(ledger.claim(f"e{number}", DIGEST) for number in range(900)))
        await asyncio.gather(*(ledger.write(entry(f"e{number}")) for number in range(900)))
        assert ledger.operations == 1800
        assert ledger.commits <= 6


async def gathering(ledger: SqliteLedger) -> Awaitable[None]:
    """Its calls come so often that they are gathered. A pause that was missed is followed by the next one."""

    async def told() -> Awaitable[None] | None:
        await asyncio.gather(*(ledger.write(entry(f"e{number}")) for number in range(16)))
        await asyncio.sleep(0)
        waiting = ledger.gathering()
        return None if waiting is None else asyncio.ensure_future(waiting)

    return await until(told, "calls are gathered", step_s=0)


async def test_whoever_waits_while_calls_are_gathered_is_in_time_for_the_next_commit(path: Path, log: Logbook) -> None:
    async with opened(path, log) as ledger:
        assert ledger.gathering() is None
        told = await gathering(ledger)
        before = ledger.commits
        early = asyncio.create_task(ledger.write(entry("early", State.OPEN)))
        await told
        assert not early.done()
        await ledger.write(entry("late", State.OPEN))
        assert early.done()
        assert ledger.commits == before + 1


async def test_whoever_waits_while_calls_are_gathered_is_told_though_that_is_broken_off(log: Logbook) -> None:
    calls = CallQueue(log)
    pausing = asyncio.create_task(calls.pause(3600))
    await asyncio.sleep(0)
    told, gone = calls.gathering(), calls.gathering()
    assert told is not None
    assert gone is not None
    gone.cancel()
    pausing.cancel()
    await asyncio.wait((pausing, told), timeout=5)
    assert told.done()
    assert calls.gathering() is None


async def test_what_is_complete_is_written_after_a_while_for_many_at_once(path: Path, log: Logbook) -> None:
    ids = [f"e{number}" for number in range(100)]
    async with opened(path, log) as ledger:
        await asyncio.gather(*(ledger.claim(event_id, DIGEST) for event_id in ids))
        await asyncio.gather(*(ledger.write(entry(event_id, State.ANSWERED)) for event_id in ids))
        before = ledger.commits
        for event_id in ids:
            ledger.write_soon(entry(event_id, State.COMPLETE))
        with database(f"file:{path}?mode=ro", uri=True) as reader:
            count = f"SELECT count(*) FROM known WHERE state = {CODES[State.COMPLETE]}"
            assert reader.execute(count).fetchone() == (0,)
            await until(lambda: reader.execute(count).fetchone() == (100,), "all are complete")
        await until(lambda: ledger.commits > before, "the commit is counted")
        assert ledger.commits == before + 1


async def test_what_is_too_old_is_removed_and_what_is_unfinished_much_later(path: Path, log: Logbook) -> None:
    now, keep_endings_s = [10_000.0], 10.0
    names: set[str] = set()

    async def write(ledger: SqliteLedger, event_id: str, state: State) -> None:
        names.add(event_id)
        await ledger.write(entry(event_id, state))

    async with SqliteLedger(
        path, KEEP_S, log, clock=lambda: now[0], purge_every_s=0.02, keep_endings_s=keep_endings_s
    ) as ledger:

        async def left() -> set[str]:
            with database(f"file:{path}?mode=ro", uri=True) as reader:
                keys = {key for (key,) in reader.execute("SELECT key FROM known UNION SELECT key FROM past")}
            reader.close()
            return {name for name in names if hash_of(name) in keys}

        async def purged_to(expected: set[str]) -> None:
            async def reached() -> bool:
                return await left() == expected

            await until(reached, f"{len(expected)} entries are left")

        old = {f"e{number}" for number in range(1200)}
        await asyncio.gather(*(write(ledger, event_id, State.COMPLETE) for event_id in old))
        await write(ledger, "failed", State.FAILED)
        await write(ledger, "unfinished", State.REQUESTED)
        await write(ledger, "changed", State.OPEN)
        now[0] += KEEP_S - 5
        await ledger.write(entry("changed", State.COMPLETE))
        await write(ledger, "young", State.COMPLETE)
        await stays(lambda: len(log.of("ledger.purged")) == 0, "nothing is removed", 0.1)
        assert await left() == old | {"failed", "unfinished", "changed", "young"}
        now[0] += 10
        await purged_to({"unfinished", "changed", "young"})
        now[0] += KEEP_S
        await purged_to({"unfinished"})
        now[0] += 2 * KEEP_S
        await purged_to(set())


async def test_a_due_finish_that_cannot_be_read_is_said_and_holds_nothing_up(path: Path, log: Logbook) -> None:
    due = DueFinish("c1", "user-1", "5f" * 12, 0.0, 1.0, "e1", "sms", "release")
    async with opened(path, log) as ledger:
        ledger.keep_due(due)
        ledger.keep_due(replace(due, conversation_id="c2"))
        await ledger.write(entry("e1"))
        with database(path) as other:
            other.execute("UPDATE due_finishes SET tags = 'rubbish' WHERE conversation_id = 'c1'")
        other.close()
        assert [one.conversation_id for one in await ledger.due(2.0, 10)] == ["c2"]
        assert len(log.of("entry.unreadable")) == 1
        await ledger.write(entry("e1"))
        assert [one.conversation_id for one in await ledger.due(2.0, 10)] == ["c2"]
        assert len(log.of("entry.unreadable")) == 1


async def test_a_user_of_whom_nothing_is_known_any_more_is_cleared_away(path: Path, log: Logbook) -> None:
    old = KnownUser("ad" * 32, "user-1", 1.0)
    async with opened(path, log) as ledger:
        ledger.keep_user(old)
        await ledger.write(entry("e1"))
    async with opened(path, log) as ledger:

        async def gone() -> bool:
            return await ledger.find_user(old.digest, 0.0) is None

        await until(gone, "it is cleared away")
