"""Purging in PostgreSQL: final entries are laid aside after `keep_endings`, short, and go after `keep`.

    known ──copied──▸ past, and still known ──a minute later──▸ past alone ──`keep`──▸ gone

Each step is one statement for STEP entries. What is copied stays in `known` for `settle_s`, longer than any statement
runs: a claim whose snapshot is older than the move sees it all the same. It goes only where it was not changed since.

Times are the database's. The space is given back to these tables: `known` is small and autovacuum keeps it so, and in
`past`, which is written in the order of time, whole pages become free for what comes next.
"""
# ruff: noqa: S608 - all are made of constants

import time
from collections.abc import Callable
from datetime import UTC, datetime

from bridge.edges.ledger.postgresql import due, lanes, users
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.postgresql.short_tables import FORGET_OLD
from bridge.edges.ledger.rows import COLUMNS, FINAL_STATES, LAID_ASIDE, UNFINISHED_KEEPS

STEP = 250
LAPSED_OWNERS = "1 day"
FINAL = f"state IN {FINAL_STATES}"

BEGINNING = (datetime(1, 1, 2, tzinfo=UTC), b"")
"""Before the first claim and its key."""
LIMIT = "SELECT now() - $1::float8 * interval '1 second'"
COPY = f"""
WITH step AS MATERIALIZED (
    SELECT * FROM amigo_bridge.known e WHERE e.claimed_at < $1 AND (e.claimed_at, e.key) > ($2, $3)
    ORDER BY e.claimed_at, e.key LIMIT {STEP}
), copied AS (
    INSERT INTO amigo_bridge.past AS p (key, ended_at, {", ".join(COLUMNS)})
    SELECT key, changed_at, {", ".join(LAID_ASIDE[name] for name in COLUMNS)} FROM step e
    WHERE changed_at < $1 AND {FINAL}
    AND NOT EXISTS (SELECT FROM amigo_bridge.past p WHERE p.key = e.key AND p.ended_at = e.changed_at)
    ORDER BY claimed_at, key
    ON CONFLICT (key) DO UPDATE SET ended_at = excluded.ended_at,
        {", ".join(f"{name} = excluded.{name}" for name in COLUMNS)}
)
SELECT claimed_at, key FROM step ORDER BY claimed_at DESC, key DESC LIMIT 1
"""
CLEAR = f"""
WITH step AS MATERIALIZED (
    SELECT key, changed_at FROM amigo_bridge.known WHERE claimed_at < $1 AND changed_at < $1 AND {FINAL}
    ORDER BY claimed_at, key LIMIT {STEP} FOR UPDATE SKIP LOCKED
)
DELETE FROM amigo_bridge.known e USING step WHERE e.key = step.key AND e.changed_at = step.changed_at
AND EXISTS (SELECT FROM amigo_bridge.past p WHERE p.key = step.key AND p.ended_at = step.changed_at)
"""
FORGET_UNFINISHED = f"""
DELETE FROM amigo_bridge.known WHERE key IN (
    SELECT key FROM amigo_bridge.known WHERE NOT {FINAL}
    AND claimed_at < now() - $1::float8 * interval '1 second' AND changed_at < now() - $1::float8 * interval '1 second'
    ORDER BY key LIMIT {STEP} FOR UPDATE SKIP LOCKED
)
"""
FORGET = f"""
DELETE FROM amigo_bridge.past WHERE key IN (
    SELECT key FROM amigo_bridge.past WHERE ended_at < now() - $1::float8 * interval '1 second'
    ORDER BY ended_at LIMIT {STEP} FOR UPDATE SKIP LOCKED
)
"""
FORGET_OWNERS = f"DELETE FROM amigo_bridge.owners WHERE until < now() - interval '{LAPSED_OWNERS}'"


class Purging:
    """The steps of one process. `keep_s` and `keep_endings_s` are ages after an entry's end."""

    def __init__(
        self, keep_s: float, keep_endings_s: float, settle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._endings_s = max(settle_s, min(keep_s, keep_endings_s))
        self._settle_s = settle_s
        self._clock = clock
        self._limit: datetime | None = None
        """The time of which what ended before it is being copied, in the order of claims."""
        self._copied_to: tuple[object, ...] = BEGINNING
        self._all_copied = False
        self._copied: list[tuple[float, datetime]] = []
        """The moments at which all that ended before some time was copied, the latest last."""

    async def step(self, connection: DatabaseConnection) -> tuple[int, bool]:
        """Do a little: how many entries are forgotten, and whether there may be more to do."""
        if self._limit is None:
            self._limit = await connection.fetchval(LIMIT, self._endings_s)
        if not self._all_copied:
            rows = await connection.fetch(COPY, self._limit, *self._copied_to)
            self._copied_to = tuple(rows[0]) if rows else BEGINNING
            self._all_copied = not rows
            return 0, True
        if await self._cleared(connection):
            return 0, True
        removed = await _count(connection, FORGET, self._keep_s)
        removed += await _count(connection, FORGET_UNFINISHED, self._keep_s * UNFINISHED_KEEPS)
        removed += await _count(connection, FORGET_OLD, self._keep_s, UNFINISHED_KEEPS, STEP)
        if removed:
            return removed, True
        await connection.execute(FORGET_OWNERS)
        await connection.execute(due.PURGE, self._keep_s)
        await connection.execute(users.PURGE)
        await connection.execute(lanes.PURGE, self._keep_s * UNFINISHED_KEEPS)
        await connection.execute(lanes.PURGE_LANES, self._keep_s)
        if self._limit is not None:
            self._copied.append((self._clock(), self._limit))
        self._limit, self._all_copied = None, False
        return 0, False

    async def _cleared(self, connection: DatabaseConnection) -> bool:
        """Remove from `known` what was copied long enough ago; whether there was something."""
        settled = [limit for at_s, limit in self._copied if self._clock() - at_s >= self._settle_s]
        if not settled:
            return False
        self._copied = self._copied[len(settled) - 1 :]
        return await _count(connection, CLEAR, settled[-1]) > 0


async def _count(connection: DatabaseConnection, statement: str, *args: object) -> int:
    """How many rows a statement has written or removed."""
    done = await connection.execute(statement, *args)
    return int(done.rpartition(" ")[2])
