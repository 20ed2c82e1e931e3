"""The broker that all tests share, another one for the tests that hurt it; a vhost, fake API and subscriber a world."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.node import RabbitNode, free_port
from tests.support.broker import Broker
from tests.support.fake_api import FakeApi
from tests.support.nodes import shared_broker
from tests.support.process import BridgeProcess
from tests.support.rabbit import Rabbit, Subscriber
from tests.support.world import API_KEY, API_KEY_ID, World


@pytest.fixture(scope="session")
def calm_broker(request: pytest.FixtureRequest) -> Broker:
    return shared_broker(request.config)


@pytest.fixture(scope="session")
def rough_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """For tests that stop, kill, freeze and starve it."""
    broker = Broker(RabbitNode(tmp_path_factory.mktemp("rough")))
    broker.start()
    yield broker
    broker.node.stop()


@asynccontextmanager
async def opened(broker: Broker, folder: Path) -> AsyncIterator[World]:
    vhost = broker.vhost()
    rabbit = Rabbit(broker, vhost)
    fake = FakeApi(API_KEY, API_KEY_ID, free_port())
    await fake.start()
    subscriber = Subscriber(rabbit.url)
    subscriber.start()
    world = World(folder, rabbit, fake, subscriber)
    try:
        yield world
        await world.close()
        assert fake.violations == []
    finally:
        await world.abort()
        broker.give_back(vhost)


@pytest.fixture
async def world(calm_broker: Broker, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(calm_broker, tmp_path) as made:
        yield made


@pytest.fixture
async def rough_world(rough_broker: Broker, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(rough_broker, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What a module of tests lays over the usual configuration of its shared bridge."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(calm_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world for all tests of a module, whose events and users have different names."""
    async with opened(calm_broker, tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bridge(shared: World, settings: dict[str, Any]) -> BridgeProcess:
    return await shared.launch(**settings)


@pytest.fixture(autouse=True)
def show_the_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the shared bridge logged during the test; pytest shows it where the test fails."""
    if "bridge" not in request.fixturenames:
        yield
        return
    process: BridgeProcess = request.getfixturevalue("bridge")
    before = len(process.log)
    yield
    print(f"--- log of {process.name} during this test\n{process.log[before:][-20000:]}")
