"""Every promise is held to the fake and to the real thing alike."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop

from tests.edges.conftest import broker, build, heartbeat, log, postgres

__all__ = ["broker", "build", "heartbeat", "log", "postgres"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop | Any]]:
    """As in production."""
    return {"uvloop": uvloop.new_event_loop}
