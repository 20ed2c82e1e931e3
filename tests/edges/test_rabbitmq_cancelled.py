"""Being cancelled at any moment of talking to the broker: the task ends, and leaves nothing behind that does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.edges.rabbitmq.connection import connection_to
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited, open_channel
from tests.system.broker import Broker
from tests.system.waiting import until


@pytest.fixture
async def all_end_with_the_loop() -> AsyncIterator[None]:
    """Afterwards, whatever the test has started ends when it is cancelled, as a loop does with it that is to end."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await until(lambda: not left & asyncio.all_tasks(), "every task of the connection has ended", 5)


@pytest.mark.usefixtures("all_end_with_the_loop")
@pytest.mark.parametrize("turns", range(1, 9))
async def test_a_closing_that_is_cancelled_still_closes(broker: Broker, turns: int) -> None:
    """After any number of turns of the loop; aio-pika's own `close` would go on forever after most of them."""
    connection = await connection_to(broker.node.url, "a test")
    await open_channel(connection, Generation(1), "a channel")
    closing = asyncio.create_task(connection.closed_in_order())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(closing, 10)


@pytest.mark.usefixtures("all_end_with_the_loop")
@pytest.mark.parametrize("turns", [1, 2, 4, 8, 16, 32])
async def test_connecting_that_is_cancelled_leaves_no_connection(broker: Broker, turns: int) -> None:
    connecting = asyncio.create_task(connection_to(broker.node.url, "a test"))
    for _ in range(turns):
        await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(connecting, 10)


@pytest.mark.parametrize("instead", [None, RuntimeError("closed"), TimeoutError()], ids=["nothing", "error", "limit"])
async def test_who_is_cancelled_ends_whatever_the_library_makes_of_it(instead: Exception | None) -> None:
    """aiormq swallows a cancellation now and then (7.2.4): a session told to end would go on and connect."""

    async def deaf() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if instead is not None:
                raise instead from None
        return "opened"

    asking = asyncio.create_task(limited(deaf(), "asking"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 10)


async def test_a_connection_that_dies_is_a_trouble_though_it_cancels_who_waits() -> None:
    dying: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(limited(dying, "asking"))
    await asyncio.sleep(0)
    dying.cancel()
    with pytest.raises(BrokerTrouble, match="asking: the connection was lost"):
        await asyncio.wait_for(asking, 10)
