"""Statements of due finishes in PostgreSQL. Who takes one holds it for a minute, by the database's clock."""

from collections.abc import Sequence

from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.due_rows import DUE_COLUMNS
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.rows import Row

TABLE = """
CREATE TABLE amigo_bridge.due_finishes (
    conversation_id text PRIMARY KEY,
    user_id text NOT NULL,
    service_id text NOT NULL,
    finish_s double precision NOT NULL,
    last_s double precision NOT NULL,
    event_id text NOT NULL,
    channel text NOT NULL,
    version_set text NOT NULL,
    route text,
    tags text NOT NULL,
    again_s double precision NOT NULL,
    requested boolean NOT NULL,
    ending bytea,
    owner text,
    held_until timestamptz
) WITH (fillfactor = 70);
CREATE INDEX due_finishes_at ON amigo_bridge.due_finishes (greatest(last_s + finish_s, again_s));
"""
COLUMNS = ", ".join(DUE_COLUMNS)
DUE_AT = "greatest(last_s + finish_s, again_s)"
FREE = "(owner IS NULL OR owner = $1 OR held_until < now())"
_INSERT = f"""
INSERT INTO amigo_bridge.due_finishes AS d ({COLUMNS})
VALUES ({", ".join(f"${number + 1}" for number in range(len(DUE_COLUMNS)))})
ON CONFLICT (conversation_id) DO UPDATE SET
"""  # noqa: S608 - of constants
SET = _INSERT + ", ".join(f"{name} = excluded.{name}" for name in DUE_COLUMNS[1:])
KEEP = SET.replace("finish_s = excluded.finish_s", "finish_s = greatest(d.finish_s, excluded.finish_s)")
DROP = "DELETE FROM amigo_bridge.due_finishes WHERE conversation_id = $1"
DUE = f"""
SELECT {COLUMNS} FROM amigo_bridge.due_finishes WHERE {DUE_AT} <= $2 AND {FREE} ORDER BY {DUE_AT} LIMIT $3
"""  # noqa: S608 - of constants
FIND = f"SELECT {COLUMNS} FROM amigo_bridge.due_finishes WHERE conversation_id = $1"  # noqa: S608 - of constants
TAKE = f"""
UPDATE amigo_bridge.due_finishes SET owner = $1, held_until = now() + interval '1 minute'
WHERE conversation_id = $2 AND {DUE_AT} <= $3 AND {FREE} RETURNING {COLUMNS}
"""  # noqa: S608 - of constants
PURGE = """
DELETE FROM amigo_bridge.due_finishes
WHERE finish_s = 'infinity' AND last_s < extract(epoch FROM now())::float8 - $1::float8
"""


async def keep(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Signs of life, in the order of their conversations."""
    last = {call.key: call.row for call in calls}
    await connection.executemany(KEEP, [last[key] for key in sorted(last)])
    return [None] * len(calls)


async def drop(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Conversations that are over."""
    await connection.executemany(DROP, [(key,) for key in sorted({call.key for call in calls})])
    return [None] * len(calls)


async def keep_as_it_is(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """How far the finishes of these have come."""
    last = {call.key: call.row for call in calls}
    await connection.executemany(SET, [last[key] for key in sorted(last)])
    return [None] * len(calls)


async def listed(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[list[Row]]:
    """Those that are due and that nobody else has."""
    return [[tuple(row) for row in await connection.fetch(DUE, owner, *call.row)] for call in calls]


async def taken(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[Row | None]:
    """Those that are still due, and this process's from now on."""
    answers: list[Row | None] = []
    for call in calls:
        rows = await connection.fetch(TAKE, owner, call.key, *call.row)
        answers.append(tuple(rows[0]) if rows else None)
    return answers


async def looked_up(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[Row | None]:
    """The rows of these conversations."""
    answers: list[Row | None] = []
    for call in calls:
        rows = await connection.fetch(FIND, call.key)
        answers.append(tuple(rows[0]) if rows else None)
    return answers
