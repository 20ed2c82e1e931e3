"""Ledgers of millions of events, made by the ledger's own code: written, laid aside, and later purged."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bridge.core.delivery.progress import Progress, Requested, RequestKind
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.factory import OpenLedger
from bridge.edges.ledger.postgresql import statements
from bridge.edges.ledger.postgresql.ledger import PostgresqlLedger, PostgresqlLimits
from bridge.edges.ledger.postgresql.purging import Purging
from bridge.edges.ledger.rows import row_of
from bridge.edges.ledger.sqlite.ledger import SqliteLedger
from tests.bench.machine import cpu_s
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer

KEEP_S, NEVER_S = 1_000_000.0, 1e9
BULK, BATCH = 50_000, 500
DIGEST = bytes(range(32))
BENCH_SETTINGS = {"fsync": "on", "shared_buffers": "128MB", "max_wal_size": "1GB"}


class LargeLedger(ABC):
    """A ledger, and what is done to it from outside of the port."""

    ledger: OpenLedger

    def __init__(self) -> None:
        self.commits_ms: list[float] = []
        self.steps_ms: list[float] = []
        self.steps_cpu_ms: list[float] = []
        self.aside_cpu_s = self.purge_cpu_s = 0.0

    @abstractmethod
    async def fill(self, rows: int) -> None:
        """Let it remember so many events whose endings it keeps no more."""

    @abstractmethod
    async def purge_all(self) -> None:
        """Let all of them be too old, and go."""

    @abstractmethod
    async def size_bytes(self) -> int:
        """What it takes on the disk."""

    @abstractmethod
    def server_s(self) -> float:
        """CPU seconds of the database's server, 0 without one."""


def _calls(count: int) -> list[LedgerCall]:
    calls = []
    for _ in range(count):
        event_id = os.urandom(12).hex()
        progress = Progress().after(Requested(RequestKind.CREATE, os.urandom(6).hex(), os.urandom(12).hex()))
        entry = Entry(event_id, State.COMPLETE, DIGEST, progress)
        calls.append(LedgerCall(CallKind.WRITE, event_id, row_of(entry), None))
    return calls


class LargeSqlite(LargeLedger):
    """A file. Its clock is set forward by hand."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._ahead_s = 0.0
        self.ledger = ledger = SqliteLedger(path, KEEP_S, Logbook(), clock=self._now_s, purge_every_s=NEVER_S)
        self._file, self._thread = ledger._file, ledger._thread
        carry_out = self._file.carry_out
        self._carry_out = carry_out

        def timed(*args: Any) -> Any:
            began_s = time.perf_counter()
            answers = carry_out(*args)
            self.commits_ms.append((time.perf_counter() - began_s) * 1000)
            return answers

        self._file.carry_out = timed  # type: ignore[method-assign,assignment]

    def _now_s(self) -> float:
        return time.time() + self._ahead_s

    async def fill(self, rows: int) -> None:
        left = rows
        while left:
            count = min(left, BULK)
            self._in_thread(partial(self._carry_out, _calls(count), self._now_s()))
            self._ahead_s += 4_000.0
            while self._in_thread(self._aside):
                pass
            left -= count

    def _in_thread(self, work: Any) -> Any:
        """In the ledger's own thread, which alone may use the connection."""
        return self._thread.submit(work).result()

    async def purge_all(self) -> None:
        self._ahead_s += 2 * KEEP_S
        loop, more = asyncio.get_running_loop(), True
        while more:
            more = await loop.run_in_executor(self._thread, self._step)

    def _aside(self) -> bool:
        began_s = time.thread_time()
        _, more = self._file.purge(self._now_s())
        self.aside_cpu_s += time.thread_time() - began_s
        return more

    def _step(self) -> bool:
        began_s, cpu_s = time.perf_counter(), time.thread_time()
        _, more = self._file.purge(self._now_s())
        self.steps_ms.append((time.perf_counter() - began_s) * 1000)
        self.steps_cpu_ms.append((time.thread_time() - cpu_s) * 1000)
        self.purge_cpu_s += time.thread_time() - cpu_s
        return more

    async def size_bytes(self) -> int:
        self._in_thread(lambda: self._file._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        return self._path.stat().st_size

    def server_s(self) -> float:
        return 0.0


class LargePostgresql(LargeLedger):
    """A server of its own, which syncs as a server does."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        super().__init__()
        self._server, self._database = server, database
        limits = PostgresqlLimits(purge_every_s=NEVER_S)
        self.ledger = PostgresqlLedger(server.url(database), KEEP_S, Logbook(), limits)
        carry_out = self.ledger._carry_out

        async def timed(connection: Any) -> None:
            began_s = time.perf_counter()
            await carry_out(connection)
            self.commits_ms.append((time.perf_counter() - began_s) * 1000)

        self.ledger._carry_out = timed  # type: ignore[method-assign]

    async def fill(self, rows: int) -> None:
        connection = await asyncpg.connect(self._server.url(self._database))
        left = rows
        while left:
            count = min(left, BULK)
            calls = _calls(count)
            for first in range(0, count, BATCH):
                await statements.write(connection, "bench", calls[first : first + BATCH])
            left -= count
            server_s, purging = self.server_s(), Purging(NEVER_S, 0.0, 0.0)
            for _ in range(2):
                while (await purging.step(connection))[1]:
                    pass
            self.aside_cpu_s += self.server_s() - server_s
        await connection.execute("VACUUM ANALYZE amigo_bridge.known")
        await connection.execute("VACUUM ANALYZE amigo_bridge.past")
        await connection.close()

    async def purge_all(self) -> None:
        connection = await asyncpg.connect(self._server.url(self._database))
        purging, more = Purging(0.0, 0.0, 0.0), True
        server_s = self.server_s()
        while more:
            began_s = time.perf_counter()
            _, more = await purging.step(connection)
            self.steps_ms.append((time.perf_counter() - began_s) * 1000)
        self.purge_cpu_s += self.server_s() - server_s
        await connection.execute("VACUUM amigo_bridge.past")
        await connection.close()

    async def size_bytes(self) -> int:
        rows = await self._server.fetch(
            "SELECT pg_total_relation_size('amigo_bridge.past') + pg_total_relation_size('amigo_bridge.known')",
            self._database,
        )
        return int(str(rows[0][0]))

    def server_s(self) -> float:
        return sum(cpu_s(pid) for pid in self._server.processes())


@asynccontextmanager
async def large_sqlite(folder: Path, name: str) -> AsyncIterator[LargeSqlite]:
    """A new file."""
    large = LargeSqlite(folder / f"{name}.db")
    async with large.ledger:
        yield large


@asynccontextmanager
async def large_postgresql(folder: Path, name: str) -> AsyncIterator[LargePostgresql]:
    """A new server."""
    place = folder / name
    place.mkdir()
    server = PostgresServer(place, BENCH_SETTINGS)
    server.start()
    try:
        large = LargePostgresql(server, await server.database())
        async with large.ledger:
            yield large
    finally:
        server.stop()
