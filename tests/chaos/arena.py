"""What all rounds share: one RabbitMQ node and, when it is first asked for, one PostgreSQL server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

from deploy.local.node import RabbitNode
from tests.support.broker import Broker
from tests.support.postgres import PostgresServer


class Arena:
    """`folder` holds, in a folder for each row, the logs of the processes."""

    def __init__(self, folder: Path, broker: Broker, postgres: Callable[[], PostgresServer]) -> None:
        """`postgres` gives the same running server at every call."""
        self.folder, self.broker = folder, broker
        self._postgres = postgres

    async def postgres(self) -> PostgresServer:
        return await asyncio.to_thread(self._postgres)

    def row(self, name: str) -> Path:
        """A folder that nothing has used."""
        number = 1
        while (folder := self.folder / f"{name}-{number}").exists():
            number += 1
        folder.mkdir(parents=True)
        return folder


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Arena]:
    """Servers of its own, until the block ends."""
    with ExitStack() as stack:
        broker = Broker(RabbitNode(folder / "rabbitmq"))
        await asyncio.to_thread(broker.start)
        stack.callback(broker.node.stop)

        @cache
        def postgres() -> PostgresServer:
            place = folder / "postgresql"
            place.mkdir(parents=True, exist_ok=True)
            server = PostgresServer(place)
            server.start()
            stack.callback(server.stop)
            return server

        yield Arena(folder, broker, postgres)
