"""A fake ledger and the two real ones, with what can happen to each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from bridge.edges.ledger.factory import OpenLedger, open_ledger
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log
from tests.support.fakes import FakeLedger
from tests.support.postgres import PostgresServer

KEEP_S = 3600.0


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


class RealWorld:
    """What both real ledgers have in common: processes are opened by URL, and closed."""

    def __init__(self, url: str, log: Log) -> None:
        self._url = url
        self._log = log
        self._stacks: dict[OpenLedger, AsyncExitStack] = {}

    async def process(self) -> OpenLedger:
        stack = AsyncExitStack()
        ledger = await stack.enter_async_context(open_ledger(self._url, KEEP_S, self._log))
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
        super().__init__(f"sqlite:///{path}", log)
        self._path = path
        self._aside = path.with_name("aside")

    async def break_down(self) -> None:
        self._path.rename(self._aside)
        self._path.mkdir()

    async def mend(self) -> None:
        self._path.rmdir()
        self._aside.rename(self._path)


class PostgresqlWorld(RealWorld):
    def __init__(self, server: PostgresServer, database: str, log: Log) -> None:
        super().__init__(server.url(database), log)
        self._server = server
        self._database = database

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
