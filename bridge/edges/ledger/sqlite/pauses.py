"""The tables of pauses and of what they keep back in a SQLite file, and their statements."""

import sqlite3

from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.pause_rows import PAUSE_COLUMNS, SETTLED_S

TABLES = (
    """
    CREATE TABLE pauses (
        key TEXT PRIMARY KEY,
        scope TEXT NOT NULL,
        name TEXT NOT NULL,
        reason TEXT NOT NULL,
        ordered_by TEXT NOT NULL,
        since_s REAL NOT NULL,
        until_s REAL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE held_events (
        event_id TEXT PRIMARY KEY,
        queue TEXT NOT NULL,
        held_by TEXT NOT NULL,
        since_s REAL NOT NULL,
        taken_s REAL NOT NULL DEFAULT 0
    ) WITHOUT ROWID
    """,
)
REFUSAL_COLUMNS = (
    "ALTER TABLE pauses ADD COLUMN configuration TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE pauses ADD COLUMN probed_s REAL NOT NULL DEFAULT 0",
)
COLUMNS = ", ".join(PAUSE_COLUMNS)
PAUSES = f"SELECT {COLUMNS} FROM pauses ORDER BY key"  # noqa: S608 - of constants
SET_PAUSE = f"INSERT OR REPLACE INTO pauses ({COLUMNS}) VALUES ({', '.join('?' * len(PAUSE_COLUMNS))})"  # noqa: S608
DROP_PAUSE = "DELETE FROM pauses WHERE key = ?1 AND (?2 IS NULL OR until_s <= ?2) RETURNING key"
TAKE_PROBE = "UPDATE pauses SET probed_s = ?2 WHERE key = ?1 AND probed_s <= ?3 RETURNING key"
HOLD = "INSERT OR REPLACE INTO held_events (event_id, queue, held_by, since_s) VALUES (?, ?, ?, ?)"
_UNHELD = "NOT EXISTS (SELECT 1 FROM pauses p WHERE p.key = held_by AND (p.until_s IS NULL OR p.until_s > :now_s))"
LIST_UNHELD = f"SELECT DISTINCT queue FROM held_events WHERE taken_s < :before_s AND {_UNHELD}"  # noqa: S608
TAKE_UNHELD = f"UPDATE held_events SET taken_s = :now_s WHERE taken_s < :before_s AND {_UNHELD}"  # noqa: S608
CLEAR_UNHELD = f"DELETE FROM held_events WHERE queue = :queue AND since_s < :before_s AND {_UNHELD}"  # noqa: S608

KINDS = frozenset(
    {
        CallKind.PAUSES,
        CallKind.SET_PAUSE,
        CallKind.DROP_PAUSE,
        CallKind.TAKE_PROBE,
        CallKind.TAKE_UNHELD,
        CallKind.CLEAR_UNHELD,
    }
)
"""Calls that are carried out here, each at once."""


def carried_out(connection: sqlite3.Connection, call: LedgerCall) -> object:
    """The answer of one of these calls."""
    match call.kind:
        case CallKind.PAUSES:
            return connection.execute(PAUSES).fetchall()
        case CallKind.SET_PAUSE:
            connection.execute(SET_PAUSE, call.row)
        case CallKind.DROP_PAUSE:
            return connection.execute(DROP_PAUSE, call.row).fetchone() is not None
        case CallKind.TAKE_PROBE:
            return connection.execute(TAKE_PROBE, call.row).fetchone() is not None
        case CallKind.TAKE_UNHELD:
            times = {"now_s": call.row[0], "before_s": call.row[0] - SETTLED_S}
            queues = [queue for (queue,) in connection.execute(LIST_UNHELD, times)]
            if queues:
                connection.execute(TAKE_UNHELD, times)
            return queues
        case CallKind.CLEAR_UNHELD:
            queue, now_s = call.row
            connection.execute(CLEAR_UNHELD, {"queue": queue, "now_s": now_s, "before_s": now_s - SETTLED_S})
    return None
