"""Being cancelled at any moment of talking to the broker: the task ends, and leaves nothing behind that does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.edges.rabbitmq.connection import ConnectLimits, SeverableConnection, connection_to
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited, open_channel
from tests.support.broker import Broker
from tests.support.half_broker import HANDSHAKE, HalfBroker
from tests.support.waiting import until


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """Afterwards every task that the test has started has ended, without being told to."""
    before = asyncio.all_tasks()
    yield
    own = {*before, asyncio.current_task()}
    await until(lambda: not asyncio.all_tasks() - own, "every task of the connection has ended", 5)


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
@pytest.mark.parametrize("turns", range(1, 13))
async def test_a_closing_that_is_cancelled_still_closes(broker: Broker, turns: int) -> None:
    """After so many turns of the loop; aio-pika's own `close` would go on forever after most of them."""
    opened = await connection_to(broker.node.url, "a test")
    await open_channel(opened, Generation(1), "a channel")
    closing = asyncio.create_task(opened.closed_in_order())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(closing, 60)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("answers", range(len(HANDSHAKE)))
@pytest.mark.parametrize("late", [False, True], ids=["cancelled", "late"])
async def test_connecting_that_is_broken_off_ends_at_once_and_leaves_nothing(
    nothing_is_left: None, *, answers: int, secure: bool, late: bool
) -> None:
    """By a peer that falls silent after so many answers: aiormq itself would wait for its good-bye, with TLS 30 s."""
    limits = ConnectLimits(connect_s=0.5 if late else 600, close_s=600)
    async with HalfBroker(answers, secure=secure) as peer:
        connecting = asyncio.create_task(connection_to(peer.url, "a test", limits=limits))
        if not late:  # where it is late, a slow machine may be too late for an answer
            await peer.silent.wait()
            connecting.cancel()
        with pytest.raises(BrokerTrouble if late else asyncio.CancelledError):
            await asyncio.wait_for(connecting, 25)


@pytest.mark.parametrize("turns", range(0, 16, 3))
async def test_what_is_connected_as_it_is_cancelled_is_closed_all_the_same(nothing_is_left: None, turns: int) -> None:
    async with HalfBroker(len(HANDSHAKE)) as peer:
        connecting = asyncio.create_task(connection_to(peer.url, "a test"))
        await peer.silent.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        (made,) = await asyncio.gather(connecting, return_exceptions=True)
        if isinstance(made, SeverableConnection):
            made.cut()
        else:
            assert isinstance(made, asyncio.CancelledError)


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
        await asyncio.wait_for(asking, 60)


async def test_a_connection_that_dies_is_a_trouble_though_it_cancels_who_waits() -> None:
    dying: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(limited(dying, "asking"))
    await asyncio.sleep(0)
    dying.cancel()
    with pytest.raises(BrokerTrouble, match="asking: the connection was lost"):
        await asyncio.wait_for(asking, 60)
