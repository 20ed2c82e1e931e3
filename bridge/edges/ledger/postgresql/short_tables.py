"""The tables of events in PostgreSQL, and those of older versions, whose entries move over when they are asked for."""
# ruff: noqa: S608 - all are made of constants

from collections.abc import Sequence

from bridge.core.ledger.ledger_entry import State
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.rows import CODES, OLD_COLUMNS, hash_of

VACUUM = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000"
_COLUMNS = """
    state smallint NOT NULL,
    digest bytea NOT NULL,
    attempt integer NOT NULL,
    requeue integer NOT NULL,
    deaths integer NOT NULL,
    progress text,
    letter text,
    sent text,
    ending bytea
"""
# `events` gets another name, so that a replica of an older version, which would not see what is new, goes no further.
SHORT_TABLES = f"""
ALTER TABLE amigo_bridge.events RENAME TO old_events;
CREATE TABLE amigo_bridge.known (
    key bytea PRIMARY KEY,
    event_id text NOT NULL,
    owner text,
    claims integer NOT NULL DEFAULT 1,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    {_COLUMNS}
) WITH (fillfactor = 70, {VACUUM});
CREATE INDEX known_claimed_at ON amigo_bridge.known (claimed_at);
CREATE TABLE amigo_bridge.past (
    key bytea PRIMARY KEY,
    ended_at timestamptz NOT NULL,
    {_COLUMNS}
) WITH ({VACUUM}, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX past_ended_at ON amigo_bridge.past (ended_at);
"""
ASKED_FOR = "CASE WHEN left(e.progress, 1) = '[' THEN e.progress::json ->> 0 ELSE e.progress::json ->> 'request' END"
"""The kind of request in a progress, however it is written."""

CODE = " ".join(f"WHEN '{state}' THEN {number}" for state, number in CODES.items())
_OLD = ", ".join(f"CASE state {CODE} ELSE 0 END" if name == "state" else name for name in OLD_COLUMNS)
HAS_OLD = "SELECT EXISTS (SELECT FROM amigo_bridge.old_events)"
MOVE_OVER = f"""
WITH asked AS (SELECT * FROM unnest($1::text[], $2::bytea[]) AS asked (event_id, key)),
gone AS (DELETE FROM amigo_bridge.old_events o USING asked WHERE o.event_id = asked.event_id RETURNING asked.key, o.*)
INSERT INTO amigo_bridge.known (key, event_id, owner, claims, claimed_at, changed_at, {", ".join(OLD_COLUMNS)})
SELECT key, event_id, owner, claims, claimed_at, changed_at, {_OLD} FROM gone ON CONFLICT DO NOTHING
"""
FORGET_OLD = f"""
DELETE FROM amigo_bridge.old_events WHERE event_id IN (
    SELECT event_id FROM amigo_bridge.old_events
    WHERE claimed_at < now() - $1::float8 * interval '1 second'
    AND changed_at < now() - $1::float8 * interval '1 second'
    * CASE WHEN state IN ('{State.COMPLETE}', '{State.FAILED}') THEN 1 ELSE $2::integer END
    ORDER BY claimed_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
"""


async def has_old(connection: DatabaseConnection) -> bool:
    """True while older versions' entries are left."""
    return bool(await connection.fetchval(HAS_OLD))


async def move_over(connection: DatabaseConnection, calls: Sequence[LedgerCall]) -> None:
    """Let the calls find what older versions know of their events, with its owner. Of two that try, one does it."""
    keys = sorted({call.key for call in calls})
    await connection.execute(MOVE_OVER, keys, [hash_of(key) for key in keys])
