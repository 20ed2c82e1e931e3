"""One arena for a module's rows; its tests share a field, and tell their events apart by their prefix."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos import arena, field
from tests.chaos.arena import Arena
from tests.chaos.field import Field
from tests.chaos.setup import Setup


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ring(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    folder = tmp_path_factory.mktemp("chaos")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)  # PostgreSQL runs as somebody else
    async with arena.opened(folder) as made:
        yield made


@pytest.fixture(scope="module")
def setup() -> Setup:
    """How the module's field is set up."""
    return Setup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(ring: Arena, setup: Setup) -> AsyncIterator[Field]:
    async with field.opened(ring, "row", setup) as made:
        yield made
