"""The tables of the ledger's SQLite file, and its statements for many events at once."""

import sqlite3
from functools import cache

from bridge.core.errors import BridgeError
from bridge.edges.ledger.due_rows import DUE_COLUMNS
from bridge.edges.ledger.rows import COLUMNS, COMPLETE_CODE
from bridge.edges.ledger.sqlite import lane_places, pauses, users

# user_version is how many of these a file has been through.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE events (
            number INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL UNIQUE,
            claimed_ms INTEGER NOT NULL,
            changed_ms INTEGER NOT NULL,
            state TEXT NOT NULL,
            digest BLOB NOT NULL,
            attempt INTEGER NOT NULL,
            replay INTEGER NOT NULL,
            record TEXT,
            letter TEXT,
            ending BLOB
        )
        """,
        "CREATE TABLE room (filler BLOB)",
    ),
    (
        "ALTER TABLE events ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE events ADD COLUMN owner TEXT",
        "CREATE TABLE life (deaths INTEGER NOT NULL, begun INTEGER NOT NULL)",
        "INSERT INTO life VALUES (0, 0)",
    ),
    (
        "ALTER TABLE events RENAME COLUMN record TO progress",
        "ALTER TABLE events RENAME COLUMN replay TO requeue",
    ),
    (
        """
        CREATE TABLE due_finishes (
            conversation_id TEXT PRIMARY KEY,
            user_id TEXT NOT NULL,
            service_id TEXT NOT NULL,
            finish_s REAL NOT NULL,
            last_s REAL NOT NULL,
            event_id TEXT NOT NULL,
            channel TEXT NOT NULL,
            version_set TEXT NOT NULL,
            route TEXT,
            tags TEXT NOT NULL,
            again_s REAL NOT NULL,
            requested INTEGER NOT NULL,
            ending BLOB
        ) WITHOUT ROWID
        """,
        "CREATE INDEX due_at ON due_finishes (max(last_s + finish_s, again_s))",
    ),
    users.TABLE,
    (  # `events` stays as it is: what older versions have left in it is found there until it is too old
        """
        CREATE TABLE known (
            number INTEGER PRIMARY KEY,
            key BLOB NOT NULL UNIQUE,
            event_id TEXT NOT NULL,
            claimed_ms INTEGER NOT NULL,
            changed_ms INTEGER NOT NULL,
            owner TEXT,
            state INTEGER NOT NULL,
            digest BLOB NOT NULL,
            attempt INTEGER NOT NULL,
            requeue INTEGER NOT NULL,
            deaths INTEGER NOT NULL,
            progress TEXT,
            letter TEXT,
            sent TEXT,
            ending BLOB
        )
        """,
        """
        CREATE TABLE past (
            run INTEGER NOT NULL,
            key BLOB NOT NULL,
            state INTEGER NOT NULL,
            digest BLOB NOT NULL,
            attempt INTEGER NOT NULL,
            requeue INTEGER NOT NULL,
            deaths INTEGER NOT NULL,
            progress TEXT,
            letter TEXT,
            sent TEXT,
            ending BLOB,
            PRIMARY KEY (run, key)
        ) WITHOUT ROWID
        """,
        "CREATE TABLE runs (run INTEGER PRIMARY KEY, ended_ms INTEGER NOT NULL, entries INTEGER NOT NULL)",
    ),
    pauses.TABLES,
    lane_places.TABLE,
    pauses.REFUSAL_COLUMNS,
)
ROOM_BYTES = 64 * 1024


class NotALedger(BridgeError):
    """The file is a database, but none that may be used."""


def check(connection: sqlite3.Connection) -> None:
    """Raises NotALedger for a later version's file and for another program's, which are left as they are."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version > len(MIGRATIONS):
        raise NotALedger(f"a later version of amigo-bridge has made it ({version})")
    if tables and not version:
        raise NotALedger("it is a database of some other program")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, all or nothing."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in (statement for migration in MIGRATIONS[version:] for statement in migration):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def prove_room(connection: sqlite3.Connection) -> None:
    """Write something, so that a full disk is noticed before anybody relies on the file."""
    connection.execute("INSERT INTO room VALUES (zeroblob(?))", (ROOM_BYTES,))
    connection.execute("DELETE FROM room")


@cache
def select(count: int) -> str:
    """Finds so many events; parameters are the hashes of their keys."""
    marks = ", ".join("?" * count)
    return f"SELECT key, owner, {', '.join(COLUMNS)} FROM known WHERE key IN ({marks})"  # noqa: S608 - only marks


@cache
def upsert(count: int) -> str:
    """Writes so many events; parameters are, for each, hash and key, twice the time in ms, its owner, and its row."""
    columns = ("key", "event_id", "claimed_ms", "changed_ms", "owner", *COLUMNS)
    row = f"({', '.join('?' * len(columns))})"
    updates = ", ".join(f"{name} = excluded.{name}" for name in ("changed_ms", "owner", *COLUMNS))
    return (
        f"INSERT INTO known ({', '.join(columns)}) VALUES {', '.join([row] * count)}"  # noqa: S608 - only marks
        f" ON CONFLICT (key) DO UPDATE SET {updates}"
    )


COMPLETED = f"UPDATE known SET state = {COMPLETE_CODE}, changed_ms = ?, progress = ?, letter = NULL WHERE key = ?"  # noqa: S608
"""An answered event is complete: the rest of its row, with its ending, need not be written again."""
DUE_AT = "max(last_s + finish_s, again_s)"
DUE = f"SELECT {', '.join(DUE_COLUMNS)} FROM due_finishes WHERE {DUE_AT} <= ? ORDER BY {DUE_AT} LIMIT ?"  # noqa: S608
FIND_DUE = f"SELECT {', '.join(DUE_COLUMNS)} FROM due_finishes WHERE conversation_id = ?"  # noqa: S608 - of constants
TAKE_DUE = f"{FIND_DUE} AND {DUE_AT} <= ?"
_INSERT_DUE = f"""
INSERT INTO due_finishes ({", ".join(DUE_COLUMNS)}) VALUES ({", ".join("?" * len(DUE_COLUMNS))})
ON CONFLICT (conversation_id) DO UPDATE SET
"""  # noqa: S608 - of constants
SET_DUE = _INSERT_DUE + ", ".join(f"{name} = excluded.{name}" for name in DUE_COLUMNS[1:])
KEEP_DUE = SET_DUE.replace("finish_s = excluded.finish_s", "finish_s = max(finish_s, excluded.finish_s)")
DROP_DUE = "DELETE FROM due_finishes WHERE conversation_id = ?"
PURGE_DUE = "DELETE FROM due_finishes WHERE finish_s = 9e999 AND last_s < ?"
"""A conversation that is never finished is forgotten like an event."""
BEGUN = "UPDATE life SET deaths = deaths + begun, begun = 1 RETURNING deaths"
LIVES_ON = "UPDATE life SET deaths = 0, begun = 0"


@cache
def release(count: int) -> str:
    """Takes so many events out of an owner's hands; parameters are the owner and the hashes of their keys."""
    marks = ", ".join("?" * count)
    return f"UPDATE known SET owner = NULL WHERE owner = ? AND key IN ({marks})"  # noqa: S608 - only marks
