"""Reading one entry while a service has the ledger: nothing is locked, nothing is written."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import asyncpg

from bridge.core.delivery.trace import TracedEntry
from bridge.edges.ledger.factory import SQLITE
from bridge.edges.ledger.rows import COLUMNS, OLD_COLUMNS, Row, entry_of, hash_of, key_of, row_of_old
from bridge.flow.ports.ledger import LedgerUnavailable

CONNECT_S = 5.0
STORED = ", ".join(COLUMNS)
IN_FILE = f"SELECT claimed_ms / 1000.0, changed_ms / 1000.0, {STORED} FROM known WHERE key = ?"  # noqa: S608
ASIDE_IN_FILE = f"""
SELECT NULL, ended_ms / 1000.0, {STORED} FROM past JOIN runs USING (run) WHERE key = ?
ORDER BY run DESC LIMIT 1
"""  # noqa: S608
OLD_TIMES = "claimed_ms / 1000.0, changed_ms / 1000.0"
OLD_IN_FILE = f"SELECT {OLD_TIMES}, {', '.join(OLD_COLUMNS)} FROM events WHERE event_id = ?"  # noqa: S608
CLAIMED = "extract(epoch FROM claimed_at)::float8"
CHANGED = "extract(epoch FROM changed_at)::float8"
IN_DATABASE = f"SELECT {CLAIMED}, {CHANGED}, {STORED} FROM amigo_bridge.known WHERE key = $1"  # noqa: S608
ASIDE_IN_DATABASE = f"""
SELECT NULL::float8, extract(epoch FROM ended_at)::float8, {STORED} FROM amigo_bridge.past WHERE key = $1
"""  # noqa: S608
OLD_IN_DATABASE = f"""
SELECT {CLAIMED}, {CHANGED}, {", ".join(OLD_COLUMNS)} FROM amigo_bridge.old_events WHERE event_id = $1
"""  # noqa: S608


async def look(url: str, event_id: str) -> TracedEntry | None:
    """The entry that the ledger at this URL has of the event, None without one. Raises LedgerUnavailable."""
    if url.startswith(SQLITE):
        row = await asyncio.to_thread(_in_file, Path(url.removeprefix(SQLITE)), event_id)
    else:
        row = await _in_database(url, event_id)
    if row is None:
        return None
    first_s, changed_s, *stored = row
    return TracedEntry(entry_of(event_id, stored), first_s, float(changed_s), laid_aside=first_s is None)


def _in_file(path: Path, event_id: str) -> Row | None:
    if not path.exists():
        raise LedgerUnavailable(f"{path.absolute()}: there is no such file")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return _in_tables(connection, key_of(event_id))
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"{path.absolute()}: {error}") from None


def _in_tables(connection: sqlite3.Connection, key: str) -> Row | None:
    row: Row | None = connection.execute(IN_FILE, (hash_of(key),)).fetchone()
    row = row or connection.execute(ASIDE_IN_FILE, (hash_of(key),)).fetchone()
    if row is not None:
        return row
    return _of_old(connection.execute(OLD_IN_FILE, (key,)).fetchone())


async def _in_database(url: str, event_id: str) -> Row | None:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
        try:
            key = key_of(event_id)
            record = await connection.fetchrow(IN_DATABASE, hash_of(key), timeout=CONNECT_S)
            record = record or await connection.fetchrow(ASIDE_IN_DATABASE, hash_of(key), timeout=CONNECT_S)
            old = None if record is not None else await connection.fetchrow(OLD_IN_DATABASE, key, timeout=CONNECT_S)
        finally:
            await connection.close(timeout=CONNECT_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise LedgerUnavailable(f"{type(error).__name__}: {error}") from None
    return tuple(record) if record is not None else _of_old(old)


def _of_old(row: Row | None) -> Row | None:
    """A row of an older version's table, with its times, as one of today's."""
    return None if row is None else (*tuple(row)[:2], *row_of_old(tuple(row)[2:]))
