"""One field for a module's tests, which tell their events apart by their prefix."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos import field
from tests.chaos.arena import Arena
from tests.chaos.field import Field
from tests.chaos.setup import Setup
from tests.support.nodes import shared_broker, shared_postgres


@pytest.fixture(scope="module")
def ring(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """Of the servers that all tests share."""
    folder = tmp_path_factory.mktemp("arena")
    return Arena(folder, shared_broker(request.config), lambda: shared_postgres(request.config))


@pytest.fixture(scope="module")
def setup() -> Setup:
    """How the module's field is set up."""
    return Setup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(ring: Arena, setup: Setup) -> AsyncIterator[Field]:
    async with field.opened(ring, "row", setup) as made:
        yield made
