"""The configured ledger, by its URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.edges.ledger.postgresql.ledger import USUAL_LIMITS, PostgresqlLedger, PostgresqlLimits
from bridge.edges.ledger.rows import KEEP_ENDINGS_S
from bridge.edges.ledger.sqlite.ledger import SqliteLedger
from bridge.flow.ports.runtime import Log

OpenLedger = SqliteLedger | PostgresqlLedger
"""The port, with `trouble` (why it is unavailable, or None), and the counts `operations` and `commits`."""

SQLITE = "sqlite:///"


@asynccontextmanager
async def open_ledger(
    url: str,
    keep_s: float,
    log: Log,
    limits: PostgresqlLimits = USUAL_LIMITS,
    keep_endings_s: float = KEEP_ENDINGS_S,
) -> AsyncIterator[OpenLedger]:
    """The ledger at `sqlite:////absolute/path.db`, `sqlite:///relative.db` or `postgresql://…`, until the block ends.

    A ledger that cannot be opened is no error: its `trouble` says why, its methods raise LedgerUnavailable, and it is
    opened as soon as that is possible. `keep_s`: how long a final entry is kept; `keep_endings_s`: how long with an
    ending that the API's history has too. `limits` are those of a ledger in PostgreSQL.
    """
    ledger: OpenLedger
    if url.startswith(SQLITE):
        ledger = SqliteLedger(Path(url.removeprefix(SQLITE)), keep_s, log, keep_endings_s=keep_endings_s)
    else:
        ledger = PostgresqlLedger(url, keep_s, log, limits, keep_endings_s)
    async with ledger:
        yield ledger
