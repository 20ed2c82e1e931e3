"""What has come of a stream while something else came first is given at once, and nothing of it is lost by that."""

import asyncio

import pytest

from bridge.core.errors import Lost
from bridge.flow.ports.api import Stream
from tests.edges.conftest import Serve
from tests.support.amigo import agent_at, read, routed
from tests.support.scripted import CHUNKED, LAST_CHUNK, Talk, chunk, signing_in
from tests.support.waiting import until


async def test_what_has_come_by_then_is_given_at_once(serve: Serve) -> None:
    said, more = asyncio.Event(), asyncio.Event()

    async def in_two_parts(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"1\n"))
        for line in (b"2\n", b"3\n", b"4\n"):
            await talk.send(chunk(line))
        said.set()
        await more.wait()
        await talk.send(chunk(b"5\n") + LAST_CHUNK)

    server = await serve(signing_in(in_two_parts))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        first = await anext(stream)
        assert first + await stream.gathered(until(said.is_set, "it is said")) == b"1\n2\n3\n4\n"
        assert await stream.gathered(asyncio.sleep(0)) == b""
        more.set()
        last = await stream.gathered(asyncio.sleep(0.01))
        assert last + await read(stream) == b"5\n"
        assert await stream.gathered(asyncio.sleep(0)) == b""


async def collect(stream: Stream, pieces: list[bytes]) -> None:
    async for piece in stream:
        pieces.append(piece)


@pytest.mark.parametrize("attempt", range(5))
async def test_what_came_before_the_server_closed_is_given_and_then_the_cut_is_told(serve: Serve, attempt: int) -> None:
    held = asyncio.Event()

    async def closed_early(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"1\n"))
        await held.wait()
        await talk.send(chunk(b"2\n") + chunk(b"3\n"))

    server = await serve(signing_in(closed_early))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        pieces = [await anext(stream)]
        held.set()
        pieces.append(await stream.gathered(until(lambda: not server.links, "the server has closed")))
        with pytest.raises(Lost):
            await collect(stream, pieces)
    assert b"".join(pieces) == b"1\n2\n3\n"


async def test_a_reset_meanwhile_is_told_where_the_next_chunk_is_asked_for(serve: Serve) -> None:
    held = asyncio.Event()

    async def reset(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"1\n"))
        await held.wait()
        talk.reset()

    server = await serve(signing_in(reset))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        assert await anext(stream) == b"1\n"
        held.set()
        assert await stream.gathered(until(lambda: not server.links, "the connection is gone")) == b""
        with pytest.raises(Lost):
            await anext(stream)
