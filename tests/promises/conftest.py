"""Every promise is held to the fake and to the real thing alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.edges.conftest import broker, build, heartbeat, log, postgres
from tests.support.logbook import Logbook
from tests.support.loops import uvloop_with_time_out

from .ledgers import FakeWorld, Tellable, World, postgresql_world, sqlite_world

__all__ = ["broker", "build", "heartbeat", "log", "postgres"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop | Any]]:
    """As in production."""
    return {"uvloop": uvloop_with_time_out}


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path, log: Logbook) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "fake":
                yield FakeWorld()
            case "sqlite":
                yield await stack.enter_async_context(sqlite_world(tmp_path / "ledger.db", log))
            case "postgresql":
                server = request.getfixturevalue("postgres")
                yield await stack.enter_async_context(postgresql_world(server, log))


@pytest.fixture
async def ledger(world: World) -> Tellable:
    return await world.process()
