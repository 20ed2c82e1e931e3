"""Reading one entry while a service has the ledger: nothing is locked, nothing is written."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import asyncpg

from bridge.core.delivery.ledger_entry import Entry
from bridge.edges.ledger.factory import SQLITE
from bridge.edges.ledger.postgresql.short_tables import FIND_OLD as OLD_IN_DATABASE
from bridge.edges.ledger.rows import COLUMNS, Row, entry_of, hash_of, key_of, row_of_old
from bridge.edges.ledger.sqlite.past_statements import FIND_ANYWHERE, FIND_OLD
from bridge.flow.ports.ledger import LedgerUnavailable

CONNECT_S = 5.0
STORED = ", ".join(COLUMNS)
IN_FILE = f"SELECT {STORED} FROM known WHERE key = ?"  # noqa: S608  # names of columns only
IN_DATABASE = f"""
SELECT {STORED} FROM amigo_bridge.known WHERE key = $1
UNION ALL SELECT {STORED} FROM amigo_bridge.past WHERE key = $1 LIMIT 1
"""  # noqa: S608


async def look(url: str, event_id: str) -> Entry | None:
    """The entry that the ledger at this URL has of the event, None without one. Raises LedgerUnavailable."""
    if url.startswith(SQLITE):
        row = await asyncio.to_thread(_in_file, Path(url.removeprefix(SQLITE)), event_id)
    else:
        row = await _in_database(url, event_id)
    return entry_of(event_id, row) if row is not None else None


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
    row = row or connection.execute(FIND_ANYWHERE, (hash_of(key),)).fetchone()
    if row is not None:
        return row
    old = connection.execute(FIND_OLD, (key,)).fetchone()
    return None if old is None else row_of_old(old)


async def _in_database(url: str, event_id: str) -> Row | None:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
        try:
            key = key_of(event_id)
            record = await connection.fetchrow(IN_DATABASE, hash_of(key), timeout=CONNECT_S)
            old = None if record is not None else await connection.fetchrow(OLD_IN_DATABASE, key, timeout=CONNECT_S)
        finally:
            await connection.close(timeout=CONNECT_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise LedgerUnavailable(f"{type(error).__name__}: {error}") from None
    if record is not None:
        return tuple(record)
    return None if old is None else row_of_old(tuple(old))
