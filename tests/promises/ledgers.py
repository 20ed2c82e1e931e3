"""A fake ledger and the two real ones, with what can happen to each."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from bridge.edges.ledger.factory import OpenLedger
from bridge.edges.ledger.postgresql.ledger import PostgresqlLedger, PostgresqlLimits
from bridge.edges.ledger.sqlite.ledger import SqliteLedger
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log
from tests.support.fakes import FakeLedger
from tests.support.postgres import PostgresServer

KEEP_S, KEEP_ENDINGS_S, OFTEN_S = 36_000.0, 600.0, 0.1


class Tellable(Ledger, Protocol):
    """A ledger that says how it is."""

    @property
    def trouble(self) -> str | None: ...


class World(Protocol):
    """One ledger, and the processes that use it."""

    async def process(self) -> Tellable:
        """What a process that has just started sees of it."""

    async def end(self, ledger: Any) -> None:
        """The process has ended in good order, without having released anything."""

    async def kill(self, ledger: Any) -> None:
        """The process is gone, and had no time to say that it ends."""

    async def break_down(self) -> None:
        """Nobody can use it."""

    async def mend(self) -> None:
        """It can be used again, with what it knew."""

    async def pass_endings(self) -> None:
        """So much time passes that endings are kept no more; not so much that events are forgotten."""


class FakeWorld:
    def __init__(self) -> None:
        self._all = [FakeLedger()]

    async def process(self) -> FakeLedger:
        self._all.append(FakeLedger(beside=self._all[0]))
        return self._all[-1]

    async def end(self, ledger: FakeLedger) -> None:
        ledger.gone(in_order=True)

    async def kill(self, ledger: FakeLedger) -> None:
        ledger.gone()

    async def break_down(self) -> None:
        for ledger in self._all:
            ledger.break_down()

    async def mend(self) -> None:
        for ledger in self._all:
            ledger.mend()

    async def pass_endings(self) -> None:
        self._all[0].pass_endings()


class RealWorld(ABC):
    """What both real ledgers have in common: processes are opened by URL, and closed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._stacks: dict[OpenLedger, AsyncExitStack] = {}

    @abstractmethod
    def _made(self) -> OpenLedger:
        """A ledger that is not open yet."""

    async def process(self) -> OpenLedger:
        stack = AsyncExitStack()
        ledger = self._made()
        await stack.enter_async_context(ledger)
        self._stacks[ledger] = stack
        return ledger

    async def end(self, ledger: OpenLedger) -> None:
        await self._stacks.pop(ledger).aclose()

    async def kill(self, ledger: OpenLedger) -> None:
        ledger._in_danger = False  # or it would say that it ends
        await self.end(ledger)

    async def end_all(self) -> None:
        for ledger in list(self._stacks):
            await self.end(ledger)


class SqliteWorld(RealWorld):
    def __init__(self, path: Path, log: Log) -> None:
        super().__init__(log)
        self._path = path
        self._ahead_s = 0.0
        self._aside = path.with_name("aside")

    def _made(self) -> SqliteLedger:
        return SqliteLedger(
            self._path, KEEP_S, self._log, self._now_s, purge_every_s=OFTEN_S, keep_endings_s=KEEP_ENDINGS_S
        )

    def _now_s(self) -> float:
        return time.time() + self._ahead_s

    async def pass_endings(self) -> None:
        self._ahead_s += 2 * KEEP_ENDINGS_S

    async def break_down(self) -> None:
        self._path.rename(self._aside)
        self._path.mkdir()

    async def mend(self) -> None:
        self._path.rmdir()
        self._aside.rename(self._path)


class PostgresqlWorld(RealWorld):
    def __init__(self, server: PostgresServer, database: str, log: Log) -> None:
        super().__init__(log)
        self.url = server.url(database)
        self._server = server
        self._database = database

    def _made(self) -> PostgresqlLedger:
        limits = PostgresqlLimits(purge_every_s=OFTEN_S, settle_s=OFTEN_S)
        return PostgresqlLedger(self.url, KEEP_S, self._log, limits, KEEP_ENDINGS_S)

    async def pass_endings(self) -> None:
        passed = f"{2 * KEEP_ENDINGS_S} * interval '1 second'"
        await self._server.execute(
            f"UPDATE amigo_bridge.known SET claimed_at = claimed_at - {passed}, changed_at = changed_at - {passed}",
            self._database,
        )

    async def kill(self, ledger: OpenLedger) -> None:
        ledger._task.cancel()  # or it would say that it goes
        await asyncio.wait((ledger._task,))
        await self.end(ledger)

    async def break_down(self) -> None:
        await self._server.execute(f"ALTER DATABASE {self._database} ALLOW_CONNECTIONS false")
        await self._server.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self._database}'"
        )

    async def mend(self) -> None:
        await self._server.execute(f"ALTER DATABASE {self._database} ALLOW_CONNECTIONS true")


@asynccontextmanager
async def sqlite_world(path: Path, log: Log) -> AsyncIterator[SqliteWorld]:
    """A ledger file; its processes end with the block."""
    world = SqliteWorld(path, log)
    try:
        yield world
    finally:
        await world.end_all()


@asynccontextmanager
async def postgresql_world(server: PostgresServer, log: Log) -> AsyncIterator[PostgresqlWorld]:
    """A fresh database; its processes end with the block."""
    world = PostgresqlWorld(server, await server.database(), log)
    try:
        yield world
    finally:
        await world.end_all()
