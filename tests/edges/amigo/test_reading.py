"""A body read in one piece: the same bytes, waits, errors and end as with aiohttp's own `readany`."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import EMPTY_PAYLOAD

from bridge.edges.amigo._internals import read_available

LIMIT = 64
Read = Callable[[aiohttp.StreamReader], Coroutine[Any, Any, bytes]]
READS: dict[str, Read] = {"readany": lambda body: body.readany(), "read_available": read_available}


class Connection(BaseProtocol):
    """A connection that notes whether it is read from."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.connection_made(asyncio.Transport())
        self.is_paused = False
        self.resumed = 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        self.is_paused = False
        self.resumed += 1


@pytest.fixture(params=READS)
def read(request: pytest.FixtureRequest) -> Read:
    return READS[request.param]


def body() -> tuple[Connection, aiohttp.StreamReader]:
    connection = Connection()
    return connection, aiohttp.StreamReader(connection, LIMIT, loop=asyncio.get_running_loop())


def feed(content: aiohttp.StreamReader, *chunks: bytes) -> None:
    """As the parser does for a chunked body."""
    for chunk in chunks:
        content.begin_http_chunk_receiving()
        content.feed_data(chunk)
        content.end_http_chunk_receiving()


async def test_all_that_has_come_is_read_at_once_and_the_next_read_waits(read: Read) -> None:
    connection, content = body()
    feed(content, b"one\n", b"two\n", b"three\n")
    assert await read(content) == b"one\ntwo\nthree\n"
    assert connection.resumed
    waiting = asyncio.create_task(read(content))
    await asyncio.sleep(0)
    assert not waiting.done()
    feed(content, b"four\n")
    assert await waiting == b"four\n"


async def test_a_chunk_alone_and_the_rest_of_one(read: Read) -> None:
    _, content = body()
    feed(content, b"alone")
    assert await read(content) == b"alone"
    feed(content, b"in part", b"whole")
    assert await content.read(3) == b"in "
    assert await read(content) == b"partwhole"


async def test_a_chunk_of_which_the_beginning_has_come(read: Read) -> None:
    _, content = body()
    feed(content, b"one", b"two")
    content.begin_http_chunk_receiving()
    content.feed_data(b"thr")
    assert await read(content) == b"onetwothr"
    content.feed_data(b"ee")
    content.end_http_chunk_receiving()
    assert await content.readchunk() == (b"ee", True)


async def test_what_is_read_by_chunks_after_it_is_told_where_they_end(read: Read) -> None:
    _, content = body()
    feed(content, b"one", b"two")
    assert await read(content) == b"onetwo"
    feed(content, b"three", b"four")
    chunks = [await content.readchunk() for _ in range(3)]
    assert chunks == [(b"", True), (b"three", True), (b"four", True)]  # first the end of what was read


async def test_the_end_comes_after_all_of_it(read: Read) -> None:
    _, content = body()
    feed(content, b"one", b"two")
    content.feed_eof()
    assert await read(content) == b"onetwo"
    assert await read(content) == b""
    assert content.at_eof()


async def test_an_error_is_raised_before_and_while_somebody_waits(read: Read) -> None:
    _, content = body()
    feed(content, b"one", b"two")
    content.set_exception(aiohttp.ClientPayloadError("cut"))
    with pytest.raises(aiohttp.ClientPayloadError, match="cut"):
        await read(content)
    _, content = body()
    waiting = asyncio.create_task(read(content))
    await asyncio.sleep(0)
    content.set_exception(aiohttp.ClientPayloadError("cut meanwhile"))
    with pytest.raises(aiohttp.ClientPayloadError, match="cut meanwhile"):
        await waiting


async def test_an_answer_without_a_body(read: Read) -> None:
    assert await read(EMPTY_PAYLOAD) == b""


async def test_a_connection_that_was_held_back_goes_on(read: Read) -> None:
    connection, content = body()
    feed(content, *[b"x" * LIMIT] * 4)
    assert connection.is_paused
    assert await read(content) == b"x" * 4 * LIMIT
    assert not connection.is_paused
