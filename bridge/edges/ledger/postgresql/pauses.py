"""Pauses and what they keep back in PostgreSQL, with their statements."""

from collections.abc import Sequence

from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.pause_rows import PAUSE_COLUMNS, SETTLED_S
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.rows import Row

TABLES = """
CREATE TABLE amigo_bridge.pauses (
    key text PRIMARY KEY,
    scope text NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    ordered_by text NOT NULL,
    since_s double precision NOT NULL,
    until_s double precision
);
CREATE TABLE amigo_bridge.held_events (
    event_id text COLLATE "C" PRIMARY KEY,
    queue text NOT NULL,
    held_by text NOT NULL,
    since_s double precision NOT NULL,
    taken_s double precision NOT NULL DEFAULT 0
);
"""
REFUSAL_COLUMNS = """
ALTER TABLE amigo_bridge.pauses ADD COLUMN configuration text NOT NULL DEFAULT '',
    ADD COLUMN probed_s double precision NOT NULL DEFAULT 0
"""
COLUMNS = ", ".join(PAUSE_COLUMNS)
LIST = f"SELECT {COLUMNS} FROM amigo_bridge.pauses ORDER BY key"  # noqa: S608 - of constants
SET = f"""
INSERT INTO amigo_bridge.pauses ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (key) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in PAUSE_COLUMNS[1:])}
"""  # noqa: S608 - of constants
DROP = """
DELETE FROM amigo_bridge.pauses WHERE key = $1 AND ($2::float8 IS NULL OR until_s <= $2::float8) RETURNING key
"""
PROBE = "UPDATE amigo_bridge.pauses SET probed_s = $2 WHERE key = $1 AND probed_s <= $3::float8 RETURNING key"
HOLD = """
INSERT INTO amigo_bridge.held_events (event_id, queue, held_by, since_s) VALUES ($1, $2, $3, $4)
ON CONFLICT (event_id) DO UPDATE
SET queue = excluded.queue, held_by = excluded.held_by, since_s = excluded.since_s, taken_s = 0
"""
_UNHELD = """NOT EXISTS (
    SELECT FROM amigo_bridge.pauses p WHERE p.key = h.held_by AND (p.until_s IS NULL OR p.until_s > $1::float8)
)"""
TAKE = f"""
WITH unheld AS (
    SELECT event_id FROM amigo_bridge.held_events h WHERE taken_s < $1::float8 - {SETTLED_S} AND {_UNHELD}
    ORDER BY event_id FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE amigo_bridge.held_events h SET taken_s = $1::float8 FROM unheld WHERE h.event_id = unheld.event_id
    RETURNING h.queue
)
SELECT DISTINCT queue FROM taken ORDER BY queue
"""  # noqa: S608 - of constants
CLEAR = f"""
DELETE FROM amigo_bridge.held_events h WHERE queue = $2 AND since_s < $1::float8 - {SETTLED_S} AND {_UNHELD}
"""  # noqa: S608 - of constants


async def listed(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[list[Row]]:
    """All pauses."""
    rows: list[Row] = [tuple(row) for row in await connection.fetch(LIST)]
    return [rows for _ in calls]


async def put(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Pauses, of several of one name the last."""
    for call in calls:
        await connection.execute(SET, *call.row)
    return [None] * len(calls)


async def dropped(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[bool]:
    """Pauses that are lifted: for each, True where it was there until now."""
    return [bool(await connection.fetch(DROP, *call.row)) for call in calls]


async def probed(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[bool]:
    """Pauses over refusals that are looked at: for each, True for who is the one to do so."""
    return [bool(await connection.fetch(PROBE, *call.row)) for call in calls]


async def hold(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Events that are kept back, in the order of their ids."""
    last = {call.key: call.row for call in calls}
    await connection.executemany(HOLD, [(key, *last[key]) for key in sorted(last)])
    return [None] * len(calls)


async def taken(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[list[str]]:
    """Queues of events that nothing keeps back, and that no other process has seen to within a minute."""
    return [[row[0] for row in await connection.fetch(TAKE, *call.row)] for call in calls]


async def cleared(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Events that were passed on are forgotten."""
    for call in calls:
        queue, now_s = call.row
        await connection.execute(CLEAR, now_s, queue)
    return [None] * len(calls)
