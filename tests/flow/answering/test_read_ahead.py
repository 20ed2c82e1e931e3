"""Reading on while publishing is held up: nothing that has come is lost, and no more than a bound is held."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.core.errors import Lost
from bridge.flow.answering.read_ahead import AHEAD_BYTES, ReadAhead
from tests.support.fakes.clock import stillness
from tests.support.fakes.stream import FakeStream

KIB = 1024


class Server:
    """A stream that gives what is said as soon as it is said."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = False
        self._said: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def say(self, *what: bytes | Exception | None) -> None:
        for each in what:
            self._said.put_nowait(each)

    def stream(self) -> FakeStream:
        return FakeStream(self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            while (said := await self._said.get()) is not None:
                if isinstance(said, Exception):
                    raise said
                self.taken += len(said)
                yield said
        finally:
            self.closed = True


async def all_of(reading: ReadAhead) -> list[bytes]:
    found = []
    while (chunk := await reading.chunk()) is not None:
        found.append(chunk)
    return found


async def test_chunks_come_in_order_until_the_clean_end() -> None:
    server = Server()
    server.say(b"a", b"b", b"c", None)
    assert await all_of(ReadAhead(server.stream())) == [b"a", b"b", b"c"]


async def test_what_comes_while_it_is_held_up_is_told_before_the_cut() -> None:
    server, room = Server(), asyncio.Event()
    reading = ReadAhead(server.stream())
    server.say(b"a")
    assert await reading.chunk() == b"a"
    server.say(b"b", b"c", Lost("reset"))
    held_up = asyncio.create_task(reading.on_until(room.wait()))
    await stillness()
    assert (server.taken, server.closed, held_up.done()) == (3, True, False)
    room.set()
    await held_up
    assert await reading.chunk() == b"b"
    assert await reading.chunk() == b"c"
    with pytest.raises(Lost, match="reset"):
        await reading.chunk()
    await reading.close()


async def test_a_chunk_that_is_under_way_when_the_hold_ends_is_the_next_one() -> None:
    server, room = Server(), asyncio.Event()
    reading = ReadAhead(server.stream())
    held_up = asyncio.create_task(reading.on_until(room.wait()))
    await stillness()
    room.set()
    await held_up
    server.say(b"a", b"b", None)
    assert await all_of(reading) == [b"a", b"b"]


async def test_an_end_during_a_hold_is_told_in_its_turn_and_through_a_second_hold() -> None:
    server = Server()
    server.say(b"a", None)
    reading = ReadAhead(server.stream())
    for _ in range(2):
        await reading.on_until(stillness())
    assert await all_of(reading) == [b"a"]


async def test_no_more_than_the_bound_is_held() -> None:
    server, room = Server(), asyncio.Event()
    server.say(*[b"x" * (64 * KIB)] * 100, None)
    reading = ReadAhead(server.stream())
    held_up = asyncio.create_task(reading.on_until(room.wait()))
    await stillness()
    assert AHEAD_BYTES <= server.taken < AHEAD_BYTES + 64 * KIB
    room.set()
    await held_up
    assert sum(map(len, await all_of(reading))) == 6400 * KIB


async def test_whoever_stops_in_the_middle_of_a_hold_leaves_nothing_behind() -> None:
    server = Server()
    stream = server.stream()
    reading = ReadAhead(stream)
    held_up = asyncio.create_task(reading.on_until(asyncio.Event().wait()))
    await stillness()
    held_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held_up
    await reading.close()
    assert server.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_comes_by_then_is_added_and_what_fails_is_told_in_its_turn() -> None:
    server, turn = Server(), asyncio.Event()
    stream = server.stream()
    reading = ReadAhead(stream)
    server.say(b"a")
    first = await reading.chunk()
    assert first is not None
    gathering = asyncio.create_task(reading.with_more(first, turn.wait()))
    server.say(b"b", b"c")
    await stillness()
    assert stream.holds == 1
    assert server.taken == 1
    turn.set()
    assert await gathering == b"abc"
    server.say(b"d", Lost("reset"))
    assert await reading.with_more(b"", stillness()) == b"d"
    with pytest.raises(Lost):
        await reading.chunk()


async def test_what_was_read_ahead_comes_before_what_comes_by_then() -> None:
    server, room, now = Server(), asyncio.Event(), asyncio.get_running_loop().create_future()
    now.set_result(None)
    stream = server.stream()
    reading = ReadAhead(stream)
    server.say(b"a", b"b", b"c")
    held_up = asyncio.create_task(reading.on_until(room.wait()))
    await stillness()
    room.set()
    await held_up
    for expected in (b"a", b"b", b"c"):
        chunk = await reading.chunk()
        assert chunk is not None
        server.say(b"later")
        assert await reading.with_more(chunk, now) == expected
    assert stream.holds == 0
