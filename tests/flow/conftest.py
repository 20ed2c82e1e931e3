"""Every test of this folder runs on virtual time: back-offs and waits cost nothing."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.support.fakes import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualTimeLoop}
