"""A sandbox of its own for each test, on a real port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from tests.support.observed_sandbox import observed_sandbox

from .caller import Caller

Start = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a sandbox with these options and signs a user in."""
    async with AsyncExitStack() as stack:

        async def start_one(user_id: str = "user-1", **options: Any) -> Caller:
            sandbox = await stack.enter_async_context(observed_sandbox(**options))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            caller = Caller(session, sandbox.base_url, user_id)
            caller.state = sandbox.state
            return await caller.sign_in()

        yield start_one


@pytest.fixture
async def caller(start: Start) -> Caller:
    """A signed-in user of an ordinary sandbox."""
    return await start()
