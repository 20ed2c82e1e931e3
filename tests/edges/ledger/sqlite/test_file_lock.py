"""The lock of the SQLite ledger's file: who has it, under whatever name, and that its loss is noticed."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.edges.ledger.sqlite.test_ledger import delete, entry, opened, refused, well
from tests.support.logbook import Logbook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.mark.parametrize(
    ("said", "who"),
    [
        (b"", "another process"),
        (b"4711\n", "another process"),
        (b'{"pid": 7}', "another process"),
        (b'{"pid": [], "host": "h", "since": "s"}', "another process"),
        (b"[" * 100_000, "another process"),
        (b"\xff", "another process"),
        (b'{"pid": 7, "host": "h\\u001b[2J", "since": "long ago"}', r"the process 7 on 'h\x1b[2J' since long ago"),
    ],
)
async def test_who_has_the_lock_is_told_as_far_as_its_file_says(
    path: Path, log: Logbook, said: bytes, who: str
) -> None:
    with path.with_name("ledger.db-lock").open("wb") as lock:
        lock.write(said)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with opened(path, log) as ledger:
            assert ledger.trouble == f"the ledger {path}: it is in use by {who}, which locks {path}-lock"
            fcntl.flock(lock, fcntl.LOCK_UN)
            await well(ledger)
    assert b"since" in path.with_name("ledger.db-lock").read_bytes()


async def test_a_second_name_of_the_file_is_the_same_file(path: Path, log: Logbook) -> None:
    (path.parent / "folder").symlink_to(path.parent)
    path.with_name("link.db").symlink_to(path)
    for name in (path.with_name("link.db"), path.parent / "folder" / path.name):
        async with opened(path, log) as first, opened(name, log) as second:
            assert f"{name}: it is in use by the process {os.getpid()}" in str(second.trouble)
            assert first.trouble is None


async def test_who_loses_the_lock_to_another_process_notices_at_its_next_call(path: Path, log: Logbook) -> None:
    """Somebody deletes its file, and another process makes a new one."""
    async with opened(path, log) as first:
        await first.write(entry("e1"))
        delete(path, "-lock")
        await first.write(entry("e2"))
        assert log.of("ledger.replaced") == []
        delete(path, "-lock")
        async with opened(path, log) as second:
            assert second.trouble is None
            assert "it is in use by" in await refused(first)
            await second.write(entry("e3"))
        await well(first)
        assert await first.find("e2") == entry("e2")
        assert await first.find("e3") == entry("e3", deaths=1)
