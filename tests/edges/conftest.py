"""The loops these tests run on: uvloop as in production, and for HTTP asyncio's own as well; one broker for all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.logbook import Logbook
from tests.support.loops import uvloop_with_time_out
from tests.support.nodes import shared_broker, shared_postgres
from tests.support.outcomes import OUTCOMES, Outcomes
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.rig import Rig
from tests.support.scripted import Script, ScriptedServer

Serve = Callable[[Script], Awaitable[ScriptedServer]]
Build = Callable[..., Rig]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """A socket that dies is told in other exceptions on each loop, so what cuts streams is tried on both."""
    if item.path.parent.name == "amigo" and item.path.stem in ("test_outcomes", "test_streams", "test_gathered"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop_with_time_out}
    return {"uvloop": uvloop_with_time_out}


@pytest.fixture(autouse=True)
async def heartbeat() -> None:
    """A loop that only waits for sockets runs no signal handlers: with a timer, a time-out of pytest can end it.

    It beats as long as the loop lives: a task that does not end when it is cancelled holds up the loop's own end.
    """
    loop = asyncio.get_running_loop()

    def beat() -> None:
        loop.call_later(1, beat)

    beat()


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """A private RabbitMQ node, the same for every test that asks."""
    return shared_broker(request.config)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """A private PostgreSQL server, the same for every test that asks."""
    return shared_postgres(request.config)


@pytest.fixture
def log() -> Logbook:
    """A log that remembers."""
    return Logbook()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts scripted HTTP servers, and closes them afterwards."""
    async with AsyncExitStack() as stack:

        async def start(script: Script) -> ScriptedServer:
            return await stack.enter_async_context(ScriptedServer(script))

        yield start


@pytest.fixture
async def build(broker: Broker, log: Logbook) -> AsyncIterator[Build]:
    """Makes the bridge's broker side in a vhost of its own; what still runs is stopped afterwards."""
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        options.setdefault("vhost", rigs[0].vhost if rigs else broker.vhost())
        rigs.append(Rig(broker, log=log, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        await rig.stop()
    for vhost in {rig.vhost for rig in rigs}:
        broker.give_back(vhost)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """Where a test says what became of an operation."""
    return request.config.stash[OUTCOMES]


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[Proxy]:
    async with Proxy(broker.node.port) as made:
        yield made
