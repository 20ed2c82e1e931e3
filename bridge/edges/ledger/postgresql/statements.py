"""The statements of the ledger in PostgreSQL. Each is one round trip, a transaction of its own, for many events.

**Whose an event is** stands in its row: `owner`, a name that a process draws at its start. **Until when** stands in the
owner's row: one update renews all that a process has. A claim takes an event that nobody owns, that is final, or whose
owner's lease is over by the database's clock; the row's lock lets one claimer through at a time. A write needs the row
still to be its process's, so who has lost an event cannot overwrite what its successor knows.

**No deadlocks**: every statement takes its row locks in the order of the keys. `claimed_at` never changes and nothing
else that changes is indexed, so that updates stay in the page (HOT).

**Known and past**: final entries are laid aside in a table of their own, see purging.py. In between an entry is in
both. A claim looks at the past first, with one snapshot for all: an entry is in the past for a minute at least before
it goes from what is known, so no snapshot sees it in neither.
"""

import socket
from collections.abc import Mapping, Sequence

from bridge.core.delivery.progress import RequestKind
from bridge.core.ledger.ledger_entry import Holder
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.lane_calls import FREE, Turn
from bridge.edges.ledger.postgresql import due, lanes, limit_rows, pauses, users
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.postgresql.short_tables import ASKED_FOR, SHORT_TABLES
from bridge.edges.ledger.rows import COLUMNS, COMPLETE_CODE, FINAL_STATES, UNSTARTED_STATES, Row, hash_of, is_cancelled
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable

ADVISORY_KEY = 0x616D_6967_6F2D_6272  # "amigo-br"
SHORTEST_WAIT_S = 1.0
"""Told where another process's lease has just ended."""

# amigo_bridge.version is how many of these a database has been through.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE amigo_bridge.owners (
        owner text PRIMARY KEY,
        until timestamptz NOT NULL
    );
    CREATE TABLE amigo_bridge.events (
        event_id text COLLATE "C" PRIMARY KEY,
        owner text,
        claims integer NOT NULL DEFAULT 1,
        claimed_at timestamptz NOT NULL DEFAULT now(),
        changed_at timestamptz NOT NULL DEFAULT now(),
        state text NOT NULL,
        digest bytea NOT NULL,
        attempt integer NOT NULL,
        replay integer NOT NULL,
        record text,
        letter text,
        ending bytea
    ) WITH (fillfactor = 70);
    CREATE INDEX events_claimed_at ON amigo_bridge.events (claimed_at);
    """,
    """
    ALTER TABLE amigo_bridge.events ADD COLUMN deaths integer NOT NULL DEFAULT 0;
    ALTER TABLE amigo_bridge.owners ADD COLUMN host text, ADD COLUMN begun boolean NOT NULL DEFAULT false,
        ADD COLUMN deaths integer NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE amigo_bridge.events RENAME COLUMN record TO progress;
    ALTER TABLE amigo_bridge.events RENAME COLUMN replay TO requeue;
    """,
    due.TABLE,
    users.TABLE,
    SHORT_TABLES,
    pauses.TABLES,
    lanes.TABLES,
    lanes.FUNCTIONS,
    limit_rows.TABLE,
    pauses.REFUSAL_COLUMNS,
)

STORED = ", ".join(f"e.{name}" for name in COLUMNS)
ASKED_COLUMNS = ", ".join(f"asked.{name}" for name in COLUMNS)
ASKED = f"""unnest($2::bytea[], $3::text[], $4::smallint[], $5::bytea[], $6::integer[], $7::integer[], $8::integer[],
$9::text[], $10::text[], $11::text[], $12::bytea[]) AS asked (key, event_id, {", ".join(COLUMNS)})"""
"""Entries to write, as one array for each column."""
FINAL = ", ".join(map(str, FINAL_STATES))
UNSTARTED = ", ".join(map(str, UNSTARTED_STATES))
LAPSED = "NOT EXISTS (SELECT FROM amigo_bridge.owners o WHERE o.owner = e.owner AND o.until > now())"
DIED = f"CASE WHEN e.owner <> $1 AND e.state NOT IN ({FINAL}) AND {LAPSED} THEN 1 ELSE 0 END"
"""1 where a process that is gone had the event in hand; $1 is who asks."""
LAID_ASIDE = "NOT EXISTS (SELECT FROM amigo_bridge.known k WHERE k.key = e.key AND k.changed_at <> e.ended_at)"
"""True of an entry `e` of the past unless its event has been changed since."""

# Read from the catalogue's tables: what `to_regclass` has not found it goes on not finding while waiting for the lock.
HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'amigo_bridge')"
HAS_VERSION = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'amigo_bridge' AND tablename = 'version')"
)

_CLAIM = f"""
past AS MATERIALIZED (SELECT e.* FROM amigo_bridge.past e JOIN asked ON asked.key = e.key WHERE {LAID_ASIDE}),
claimed AS (
    INSERT INTO amigo_bridge.known AS e (key, event_id, owner, {", ".join(COLUMNS)})
    SELECT asked.key, asked.event_id, $1, {ASKED_COLUMNS} FROM asked
    WHERE NOT EXISTS (SELECT FROM past WHERE past.key = asked.key) ORDER BY asked.key
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, claims = e.claims + 1, deaths = e.deaths + {DIED}
    WHERE e.owner IS NULL OR e.owner = excluded.owner OR e.state IN ({FINAL})
    OR {LAPSED}
    RETURNING e.event_id, e.claims, {STORED}
)
SELECT * FROM claimed
UNION ALL SELECT asked.event_id, 0, {STORED} FROM past e JOIN asked ON asked.key = e.key
"""  # noqa: S608 - of constants
CLAIM = f"WITH asked AS MATERIALIZED (SELECT * FROM {ASKED}), {_CLAIM}"  # noqa: S608 - of constants
CLAIM_IN_LINE = f"""
WITH turns AS MATERIALIZED (SELECT * FROM {lanes.IN_CLAIM}),
asked AS MATERIALIZED (
    SELECT * FROM {ASKED} WHERE NOT EXISTS (SELECT FROM turns WHERE turns.key = asked.key AND turns.before > 0)
), {_CLAIM}
UNION ALL SELECT encode(turns.key, 'hex'), -1, NULL, NULL, turns.before, NULL, NULL, turns.first_id, NULL, NULL, NULL
FROM turns
"""  # noqa: S608 - of constants
"""The same where some want the turn of their lane with it; its rows come last, with -1 claims."""

LEFT = """
SELECT e.event_id, extract(epoch FROM o.until - now())::float8 AS wait_s
FROM amigo_bridge.known e JOIN amigo_bridge.owners o ON o.owner = e.owner
WHERE e.key = ANY ($1::bytea[])
"""

WRITE = f"""
INSERT INTO amigo_bridge.known AS e (key, event_id, owner, {", ".join(COLUMNS)})
SELECT asked.key, asked.event_id, $1, {ASKED_COLUMNS} FROM {ASKED}
ON CONFLICT (key) DO UPDATE SET changed_at = now(), {", ".join(f"{name} = excluded.{name}" for name in COLUMNS)}
WHERE e.owner = excluded.owner
RETURNING e.event_id
"""  # noqa: S608 - of constants

COMPLETED = f"""
WITH held AS (
    SELECT e.key, asked.progress FROM amigo_bridge.known e
    JOIN unnest($2::bytea[], $3::text[]) AS asked (key, progress) ON asked.key = e.key
    WHERE e.owner = $1 ORDER BY e.key FOR UPDATE OF e
)
UPDATE amigo_bridge.known e SET changed_at = now(), state = {COMPLETE_CODE}, progress = held.progress, letter = NULL
FROM held WHERE e.key = held.key
"""  # noqa: S608 - of constants

CANCEL = f"""
INSERT INTO amigo_bridge.known AS e (key, event_id, {", ".join(COLUMNS)})
SELECT asked.key, asked.event_id, {ASKED_COLUMNS} FROM {ASKED}
WHERE NOT EXISTS (SELECT FROM amigo_bridge.past e WHERE e.key = asked.key AND {LAID_ASIDE})
ON CONFLICT (key) DO UPDATE SET changed_at = now(), owner = NULL, state = excluded.state, ending = excluded.ending
WHERE e.state IN ({UNSTARTED}) AND e.ending IS NULL
AND (e.progress IS NULL OR {ASKED_FOR} = '{RequestKind.NONE}') AND $1::text IS NOT NULL
RETURNING e.event_id
"""  # noqa: S608 - of constants

RELEASE = """
WITH held AS (
    SELECT key FROM amigo_bridge.known WHERE key = ANY ($2::bytea[]) AND owner = $1 ORDER BY key FOR UPDATE
)
UPDATE amigo_bridge.known e SET owner = NULL FROM held WHERE e.key = held.key
"""

FOUND = STORED.replace("e.deaths", f"e.deaths + {DIED}")
FIND = f"""
SELECT e.key, {FOUND} FROM amigo_bridge.known e WHERE e.key = ANY ($2::bytea[])
UNION ALL SELECT e.key, {STORED} FROM amigo_bridge.past e WHERE e.key = ANY ($2::bytea[])
AND NOT EXISTS (SELECT FROM amigo_bridge.known k WHERE k.key = e.key)
"""  # noqa: S608 - of constants

# Whose host is the same is the next one there: it begins when the one before it has ended, however that was.
BEGUN = """
UPDATE amigo_bridge.owners SET host = $2, begun = true, deaths = coalesce((
    SELECT CASE WHEN before.begun THEN before.deaths + 1 ELSE 0 END FROM amigo_bridge.owners before
    WHERE before.host = $2 AND before.owner <> $1 ORDER BY before.until DESC LIMIT 1
), 0)
WHERE owner = $1 RETURNING deaths
"""

LIVES_ON = "UPDATE amigo_bridge.owners SET begun = false, deaths = 0 WHERE host = $1"

RENEW = """
INSERT INTO amigo_bridge.owners (owner, until) VALUES ($1, now() + $2::float8 * interval '1 second')
ON CONFLICT (owner) DO UPDATE SET until = excluded.until
"""

GO = "DELETE FROM amigo_bridge.owners WHERE owner = $1"


Answer = tuple[Holder, Row | None, float]
"""The answer of a claim: who had the event, its row where it is this process's now, the other's lease in seconds."""


async def migrate(connection: DatabaseConnection) -> None:
    """Bring the schema up to date; of several that start at once, one does. LedgerUnavailable for a later version's."""
    if await _version(connection) == len(MIGRATIONS):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_KEY)
        version = await _version(connection)
        if version > len(MIGRATIONS):
            raise LedgerUnavailable(f"a later version of amigo-bridge has made its schema ({version})")
        if not version:
            if not await connection.fetchval(HAS_SCHEMA):
                await connection.execute("CREATE SCHEMA amigo_bridge")
            await connection.execute("CREATE TABLE amigo_bridge.version (version integer NOT NULL)")
            await connection.execute("INSERT INTO amigo_bridge.version VALUES (0)")
        for migration in MIGRATIONS[version:]:
            await connection.execute(migration)
        await connection.execute("UPDATE amigo_bridge.version SET version = $1", len(MIGRATIONS))


async def claim(
    connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]
) -> list[Answer | tuple[Answer, Turn]]:
    """Claim events, each once in `calls` or more often; answers in their order."""
    rows = {call.key: call.row for call in reversed(calls)}
    in_line = {call.key: call for call in calls if call.line is not None}
    parameters = [*_columns(rows), *lanes.columns(list(in_line.values()))]
    answered = await connection.fetch(CLAIM_IN_LINE if in_line else CLAIM, owner, *parameters)
    taken = {row[0]: row for row in answered if row[1] >= 0}
    turns = {row[0]: lanes.turn_of(row[4], row[7]) for row in answered if row[1] < 0}
    denied = [hash_of(key) for key in rows if key not in taken]
    waits = {row[0]: row[1] for row in await connection.fetch(LEFT, denied)} if denied else {}
    answers: list[Answer | tuple[Answer, Turn]] = []
    seen: set[str] = set()
    for call in calls:
        row = taken.get(call.key)
        answer: Answer
        if row is None:
            answer = (Holder.ANOTHER, None, max(SHORTEST_WAIT_S, waits.get(call.key, 0.0)))
        elif row[1] == 1 and call.key not in seen:
            answer = (Holder.NOBODY, None, 0.0)
        else:
            answer = (Holder.EARLIER, tuple(row)[2:], 0.0)
        seen.add(call.key)
        turn = None if call.line is None else turns.get(hash_of(call.key).hex(), FREE)
        answers.append(answer if turn is None else (answer, turn))
    return answers


async def write(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[LeaseLost | None]:
    """Write entries; of several for one event the last. Answers in their order."""
    rows = {call.key: call.row for call in calls}
    written = {row[0] for row in await connection.fetch(WRITE, owner, *_columns(rows))}
    return [None if call.key in written else LeaseLost(f"another process has {call.key!r} now") for call in calls]


async def complete(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Let answered events that are still this owner's be complete."""
    rows = {hash_of(call.key): call.row for call in calls}
    await connection.execute(COMPLETED, owner, list(rows), [progress for (progress,) in rows.values()])
    return [None] * len(calls)


async def cancel(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[bool]:
    """Give events that have not started their endings. Answers in their order: False where it was too late."""
    rows = {call.key: call.row for call in reversed(calls)}
    done = {row[0] for row in await connection.fetch(CANCEL, owner, *_columns(rows))}
    names = {hash_of(key): key for key in rows if key not in done}
    left = await connection.fetch(FIND, owner, list(names))
    done |= {names[row[0]] for row in left if is_cancelled(tuple(row)[1:])}
    for key in done:
        await connection.execute(lanes.CANCELLED, hash_of(key))
    return [call.key in done for call in calls]


async def release(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Let go of events."""
    await connection.execute(RELEASE, owner, [hash_of(call.key) for call in calls])
    return [None] * len(calls)


async def find(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[Row | None]:
    """The rows of events, None where there is none. Answers in their order."""
    keys = [hash_of(call.key) for call in calls]
    rows = {row[0]: tuple(row)[1:] for row in await connection.fetch(FIND, owner, keys)}
    return [rows.get(key) for key in keys]


async def begun(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[int]:
    """The owner begins; see the port."""
    deaths: int = await connection.fetchval(BEGUN, owner, socket.gethostname())
    return [deaths] * len(calls)


async def lives_on(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[None]:
    """The owner has outlived the beginning, or ends in good order."""
    await connection.execute(LIVES_ON, socket.gethostname())
    return [None] * len(calls)


async def renew(connection: DatabaseConnection, owner: str, lease_s: float) -> None:
    """Let the owner's lease run for `lease_s` seconds from now, by the database's clock."""
    await connection.execute(RENEW, owner, lease_s)


async def go(connection: DatabaseConnection, owner: str) -> None:
    """The owner ends: whatever it has may be claimed."""
    await connection.execute(GO, owner)


def _columns(rows: Mapping[str, Row]) -> list[list[object]]:
    """The parameters of ASKED, in the order of the hashes."""
    entries = sorted((hash_of(key), key, row) for key, row in rows.items())
    return [list(column) for column in zip(*((hash_, key, *row) for hash_, key, row in entries), strict=True)]


async def _version(connection: DatabaseConnection) -> int:
    if not await connection.fetchval(HAS_VERSION):
        return 0
    version: int = await connection.fetchval("SELECT version FROM amigo_bridge.version")
    return version
