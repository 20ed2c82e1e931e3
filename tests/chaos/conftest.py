"""One arena for a module's rows; its tests share a field, and tell their events apart by their prefix."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos import arena, field
from tests.chaos.arena import Arena
from tests.chaos.field import Field
from tests.chaos.setup import Setup


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A folder that another user may enter: PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="amigo-chaos-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ring(ground: Path) -> AsyncIterator[Arena]:
    async with arena.opened(ground) as made:
        yield made


@pytest.fixture(scope="module")
def setup() -> Setup:
    """How the module's field is set up."""
    return Setup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(ring: Arena, setup: Setup) -> AsyncIterator[Field]:
    async with field.opened(ring, "row", setup) as made:
        yield made
