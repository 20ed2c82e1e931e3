"""The statements of what is laid aside in the ledger's file; see past.py."""
# ruff: noqa: S608 - all are made of names of columns, numbers and marks

from functools import cache

from bridge.edges.ledger.rows import COLUMNS, FINAL_STATES, LAID_ASIDE, OLD_COLUMNS

STORED = ", ".join(COLUMNS)
FINAL = f"state IN {FINAL_STATES}"
RANGE = "number > ? AND number <= ?"

ASIDE = f"CREATE TEMP TABLE IF NOT EXISTS aside (key BLOB PRIMARY KEY, {STORED}) WITHOUT ROWID"
ASIDE_KEYS = "SELECT key FROM temp.aside WHERE key > ? ORDER BY key LIMIT ?"
EMPTY_ASIDE = "DELETE FROM temp.aside"

AGES = f"SELECT number, claimed_ms, changed_ms, {FINAL} FROM known WHERE number > ? ORDER BY number LIMIT ?"
STEP_TO = "SELECT max(number) FROM (SELECT number FROM known WHERE number > ? ORDER BY number LIMIT ?)"
RESTAMP = f"UPDATE known SET claimed_ms = min(claimed_ms, ?), changed_ms = min(changed_ms, ?) WHERE {RANGE}"
COLLECT = f"""
INSERT OR REPLACE INTO temp.aside SELECT key, {", ".join(LAID_ASIDE[name] for name in COLUMNS)}
FROM known WHERE {RANGE} AND {FINAL} AND changed_ms < ?
"""
FORGET_UNFINISHED = f"DELETE FROM known WHERE {RANGE} AND NOT ({FINAL}) AND changed_ms < ?"
CLEAR = f"DELETE FROM known WHERE {RANGE} AND {FINAL} AND changed_ms < ?"

BEGIN_RUN = "INSERT INTO runs (run, ended_ms, entries) VALUES (?, ?, ?)"
FILE = f"INSERT INTO past (run, key, {STORED}) SELECT ?, key, {STORED} FROM temp.aside WHERE key > ? AND key <= ?" + (
    " ORDER BY key"
)
RUNS = "SELECT run, entries FROM runs ORDER BY run"
LAST_RUN = "SELECT max(run) FROM runs"
KEYS = "SELECT key FROM past WHERE run = ? AND key > ? ORDER BY key LIMIT ?"
FIND_UNREAD = f"""
SELECT {STORED} FROM past WHERE key = ? AND run IN (SELECT run FROM runs WHERE run >= ?) ORDER BY run DESC LIMIT 1
"""

RUNS_AHEAD = "SELECT run FROM runs WHERE ended_ms > ? LIMIT 1"
RESTAMP_RUNS = "UPDATE runs SET ended_ms = ? WHERE ended_ms > ?"
OLD_RUN = "SELECT run FROM runs WHERE ended_ms < ? ORDER BY run LIMIT 1"
KEY_AFTER = "SELECT key FROM past WHERE run = ? ORDER BY key LIMIT 1 OFFSET ?"
FORGET = "DELETE FROM past WHERE run = ? AND key < ?"
FORGET_REST = "DELETE FROM past WHERE run = ?"
END_RUN = "DELETE FROM runs WHERE run = ?"

HAS_OLD = "SELECT EXISTS (SELECT 1 FROM events)"
OLD_STORED = ", ".join(OLD_COLUMNS)
OLD_AGES = "SELECT number, claimed_ms, changed_ms FROM events WHERE number > ? ORDER BY number LIMIT ?"
OLD_RESTAMP = RESTAMP.replace("known", "events")
OLD_FORGET = (
    f"DELETE FROM events WHERE {RANGE} AND changed_ms < CASE WHEN state IN ('complete', 'failed') THEN ? ELSE ? END"
)


@cache
def find(count: int) -> str:
    """The latest entry with a key in so many runs; parameters are the key and the runs."""
    marks = ", ".join("?" * count)
    return f"SELECT {STORED} FROM past WHERE key = ? AND run IN ({marks}) ORDER BY run DESC LIMIT 1"


@cache
def old(count: int) -> str:
    """Finds so many events in the table of older versions; parameters are their keys as text. Owners are all gone."""
    stored = OLD_STORED.replace("deaths", "deaths + (owner IS NOT NULL AND state NOT IN ('complete', 'failed'))")
    return f"SELECT event_id, {stored} FROM events WHERE event_id IN ({', '.join('?' * count)})"


@cache
def drop_old(count: int) -> str:
    """Removes so many events from it."""
    return f"DELETE FROM events WHERE event_id IN ({', '.join('?' * count)})"
