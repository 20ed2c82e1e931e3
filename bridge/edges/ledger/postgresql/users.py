"""The table of known users in PostgreSQL, and its statements. It is a cache: of two that write, the later one holds."""

from collections.abc import Sequence

from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.rows import Row
from bridge.edges.ledger.user_rows import USER_COLUMNS

TABLE = """
CREATE TABLE amigo_bridge.users (
    digest text PRIMARY KEY,
    user_id text NOT NULL,
    until_s double precision NOT NULL,
    created_s double precision NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX users_until ON amigo_bridge.users (until_s);
"""
COLUMNS = ", ".join(USER_COLUMNS)
KEEP = f"""
INSERT INTO amigo_bridge.users ({COLUMNS}) VALUES ($1, $2, $3, $4)
ON CONFLICT (digest) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in USER_COLUMNS[1:])}
"""  # noqa: S608 - of constants
DROP = "DELETE FROM amigo_bridge.users WHERE digest = $1 AND user_id = $2"
FIND = f"SELECT {COLUMNS} FROM amigo_bridge.users WHERE digest = ANY ($1::text[])"  # noqa: S608 - of constants
PURGE = "DELETE FROM amigo_bridge.users WHERE until_s < extract(epoch FROM now())::float8"


async def keep(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Keep what is known now, in the order of the digests."""
    last = {call.key: call.row for call in calls}
    await connection.executemany(KEEP, [last[key] for key in sorted(last)])
    return [None] * len(calls)


async def drop(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Drop what is true no more."""
    await connection.executemany(DROP, sorted({(call.key, *call.row) for call in calls}))
    return [None] * len(calls)


async def find(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[Row | None]:
    """The rows, None where there is none, or where it has run out. Answers in the order of the calls."""
    rows = {row[0]: tuple(row) for row in await connection.fetch(FIND, [call.key for call in calls])}
    asked = [(rows.get(call.key), call.row[0]) for call in calls]
    return [row if row is not None and row[2] > now_s else None for row, now_s in asked]
