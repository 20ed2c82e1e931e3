"""What all rounds share: one RabbitMQ node and, when it is first asked for, one PostgreSQL server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.node import RabbitNode
from tests.edges.postgres import PostgresServer
from tests.system.broker import Broker


class Arena:
    """`folder` holds their data and, in a folder for each row, the logs of the processes."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        self._postgres: PostgresServer | None = None

    async def postgres(self) -> PostgresServer:
        if self._postgres is None:
            server = PostgresServer(self._made("postgresql"))
            await asyncio.to_thread(server.start)
            self._postgres = server
        return self._postgres

    def row(self, name: str) -> Path:
        """A folder that nothing has used."""
        number = 1
        while (folder := self.folder / f"{name}-{number}").exists():
            number += 1
        folder.mkdir(parents=True)
        return folder

    def close(self) -> None:
        if self._postgres is not None:
            self._postgres.stop()

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Arena]:
    """A node of its own, until the block ends."""
    broker = Broker(RabbitNode(folder / "rabbitmq"))
    await asyncio.to_thread(broker.start)
    arena = Arena(folder, broker)
    try:
        yield arena
    finally:
        arena.close()
        await asyncio.to_thread(broker.node.stop)
