"""Streams: bytes as they come, lines of any size, nothing lost that had come, nothing left open."""

import asyncio
import gc
import logging
from itertools import count

import pytest

from bridge.core.answer.ndjson import LineSplitter
from bridge.core.errors import LineTooLong, Lost
from bridge.edges.amigo._internals import StreamHandler
from bridge.flow.answering.read_ahead import ReadAhead
from tests.edges.conftest import Serve
from tests.support.amigo import CONVERSATION, IDLE_S, agent_at, read, routed
from tests.support.scripted import CHUNKED, LAST_CHUNK, Talk, chunk, head, signing_in, token
from tests.support.waiting import stays, until

KIB, MIB = 1024, 1024 * 1024
MAX_ENTRIES = 4 * MIB


async def test_a_stream_of_one_byte_a_chunk_arrives_whole(serve: Serve) -> None:
    line = '{"type":"new-message","message":"ü\u2028\u0085"}\n'.encode() * 40

    async def crumbs(talk: Talk) -> None:
        await talk.send(CHUNKED)
        for byte in line:
            await talk.send(chunk(bytes([byte])))
            await asyncio.sleep(0)
        await talk.send(LAST_CHUNK)

    server = await serve(signing_in(crumbs))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        assert await read(stream) == line


@pytest.mark.parametrize("first", ["read", "gathered"])
async def test_a_stream_that_was_too_much_for_a_while_arrives_whole(serve: Serve, first: str) -> None:
    """aiohttp stops reading and parsing beyond some 16,000 unread chunks, and must go on with what it has left over."""
    lines = [b"%05d\n" % number for number in range(60_000)]

    async def flood(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"first\n"))
        for start in range(0, len(lines), 10_000):
            await talk.send(b"".join(map(chunk, lines[start : start + 10_000])))
        await talk.send(LAST_CHUNK)

    server = await serve(signing_in(flood))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        pieces = [await anext(stream)]
        if first == "gathered":
            pieces.append(await stream.gathered(asyncio.sleep(0.01)))
        response = stream._response
        handler = response.connection and response.connection.protocol
        assert isinstance(handler, StreamHandler), "aiohttp makes its connections elsewhere: see connection.py"
        await until(lambda: handler._reading_paused, "it was too much")
        async with asyncio.timeout(30):
            pieces.append(await read(stream))
    assert b"".join(pieces) == b"first\n" + b"".join(lines)


class Wire(asyncio.Transport):
    """A connection that counts how often it is resumed."""

    resumed = 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None:
        self.resumed += 1


async def test_a_chunk_that_is_read_resumes_nothing_that_was_not_paused() -> None:
    handler, wire = StreamHandler(asyncio.get_running_loop()), Wire()
    handler.connection_made(wire)
    handler.set_response_params()
    handler.data_received(CHUNKED + chunk(b"1\n"))
    handler.resume_reading()
    assert wire.resumed == 0
    handler.pause_reading()
    for times in (1, 2):  # the parser may have something left over for as long as this answer lasts
        handler.resume_reading()
        assert wire.resumed == times
    handler.set_response_params()
    handler.resume_reading()
    assert wire.resumed == 2


@pytest.mark.parametrize("size", [600 * KIB, 3 * MIB, MAX_ENTRIES, MAX_ENTRIES + 1, 12 * MIB])
async def test_a_line_of_any_size_passes_and_only_the_splitter_limits_it(serve: Serve, size: int) -> None:
    line = b"x" * size

    async def long(talk: Talk) -> None:
        await talk.send(CHUNKED)
        for start in range(0, size, 300_000):
            await talk.send(chunk(line[start : start + 300_000]))
        await talk.send(chunk(b"\nafter\n") + LAST_CHUNK)

    server = await serve(signing_in(long))
    splitter, lines = LineSplitter(MAX_ENTRIES), []
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        try:
            async for piece in stream:
                lines += splitter.feed(piece)
        except LineTooLong:
            assert size > MAX_ENTRIES
        else:
            assert size <= MAX_ENTRIES
            assert lines == [line, b"after"]
    await until(lambda: not server.links, "the connection is closed")


async def test_a_piece_is_handed_on_before_the_next_one_is_written(serve: Serve) -> None:
    turn = asyncio.Semaphore(0)

    async def in_turn(talk: Talk) -> None:
        await talk.send(CHUNKED)
        for number in count():
            await talk.send(chunk(b"%d\n" % number))
            await turn.acquire()

    server = await serve(signing_in(in_turn))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        for number in range(50):
            assert await anext(stream) == b"%d\n" % number
            turn.release()


async def test_lines_that_had_come_are_given_though_the_connection_broke_meanwhile(serve: Serve) -> None:
    """docs/reliability.md, H6: a subscriber is told what was said, however slowly the broker takes it."""
    reading, come, cut = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def five_lines_and_a_reset(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"1\n"))
        await reading.wait()
        for number in b"2345":
            await talk.send(chunk(b"%c\n" % number))
        await come.wait()
        talk.reset()
        cut.set()

    server = await serve(signing_in(five_lines_and_a_reset))
    pieces: list[bytes] = []

    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:

        async def room() -> None:
            await until(lambda: stream._content.total_bytes == 10, "they have come")
            come.set()
            await cut.wait()
            await asyncio.sleep(0.05)  # the broker is slow

        ahead = ReadAhead(stream)
        pieces.append(await ahead.chunk() or b"")
        reading.set()
        await ahead.on_until(room())
        with pytest.raises(Lost):
            await all_of(ahead, pieces)
    assert b"".join(pieces) == b"1\n2\n3\n4\n5\n"


async def test_while_a_stream_is_held_nothing_is_taken_from_it_and_then_all_of_it(serve: Serve) -> None:
    held, said = asyncio.Event(), asyncio.Event()

    async def in_two_parts(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"1\n"))
        await held.wait()
        for number in b"2345":
            await talk.send(chunk(b"%c\n" % number))
        await talk.send(LAST_CHUNK)
        said.set()

    server = await serve(signing_in(in_two_parts))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        assert await anext(stream) == b"1\n"

        async def nothing_is_taken() -> None:
            held.set()
            await said.wait()
            # Longer than a server that is read from may be silent.
            await stays(lambda: stream._content.total_bytes == 2, "nothing is taken", 2 * IDLE_S)

        assert await stream.gathered(nothing_is_taken()) + await read(stream) == b"2\n3\n4\n5\n"
    held.clear()
    async with agent_at(server.base_url) as agent:
        async with agent.create(routed()) as stream:
            await anext(stream)
            with pytest.raises(RuntimeError):
                await stream.gathered(broken_off())
        held.set()
        async with agent.create(routed()) as stream:  # on a connection that reads
            assert await read(stream) == b"1\n2\n3\n4\n5\n"


async def broken_off() -> None:
    raise RuntimeError("whoever gathers goes away")


async def all_of(reading: ReadAhead, pieces: list[bytes]) -> None:
    while (piece := await reading.chunk()) is not None:
        pieces.append(piece)


async def test_a_reader_who_waits_holds_the_server_back(serve: Serve) -> None:
    """What is read ahead is bounded: the server stands still, instead of memory filling up."""
    sent = 0

    async def flood(talk: Talk) -> None:
        nonlocal sent
        await talk.send(CHUNKED)
        for _ in range(1024):
            await talk.send(chunk(b"x" * 65_535 + b"\n"))
            sent += 65_536
        await talk.send(LAST_CHUNK)

    server = await serve(signing_in(flood))
    async with agent_at(server.base_url, idle_s=5) as agent, agent.create(routed()) as stream:
        first = await anext(stream)
        seen = -1
        while seen != sent:  # until the server stands still
            seen = sent
            await asyncio.sleep(0.09)
        assert sent < 24 * MIB
        assert len(first) + len(await read(stream)) == 64 * MIB


async def test_a_reader_who_waits_longer_than_the_idle_limit_is_not_taken_for_a_silent_server(serve: Serve) -> None:
    async def flood(talk: Talk) -> None:
        await talk.send(CHUNKED)
        for _ in range(256):
            await talk.send(chunk(b"x" * 65_535 + b"\n"))
        await talk.send(LAST_CHUNK)

    server = await serve(signing_in(flood))
    async with agent_at(server.base_url, idle_s=IDLE_S) as agent, agent.create(routed()) as stream:
        first = await anext(stream)
        await asyncio.sleep(IDLE_S * 2)
        assert len(first) + len(await read(stream)) == 16 * MIB


async def test_words_now_and_then_keep_a_stream_alive_for_longer_than_the_idle_limit(serve: Serve) -> None:
    async def slowly(talk: Talk) -> None:
        await talk.send(CHUNKED)
        for _ in range(6):
            await talk.send(chunk(b"still here\n"))
            await asyncio.sleep(1.0)
        await talk.send(LAST_CHUNK)

    server = await serve(signing_in(slowly))
    async with agent_at(server.base_url, idle_s=5.0) as agent, agent.create(routed()) as stream:
        assert await read(stream) == b"still here\n" * 6


async def test_leaving_a_stream_before_its_end_closes_the_connection(serve: Serve) -> None:
    async def endless(talk: Talk) -> None:
        await talk.send(CHUNKED + chunk(b"1\n"))
        await talk.hang()

    server = await serve(signing_in(endless))
    async with agent_at(server.base_url, idle_s=30) as agent:
        async with agent.create(routed()) as stream:
            assert await anext(stream) == b"1\n"
        await until(lambda: not server.links, "the connection is closed")
        with pytest.raises(KeyError):
            async with agent.interact(routed(), CONVERSATION):
                raise KeyError
        await until(lambda: not server.links, "the connection is closed")


async def test_a_stream_for_each_of_200_users_does_not_delay_a_sign_in(serve: Serve) -> None:
    async def endless(talk: Talk) -> None:
        if talk.request.path != "/conversation/":
            await talk.answer(204)
        await talk.send(CHUNKED + chunk(b"1\n"))
        await talk.hang()

    server = await serve(signing_in(endless))
    opened = asyncio.Semaphore(0)

    async def listen(user_id: str) -> None:
        async with agent.create(routed(user_id=user_id)) as stream:
            await anext(stream)
            opened.release()
            await anext(stream)

    async with agent_at(server.base_url, idle_s=3600) as agent:
        listeners = [asyncio.create_task(listen(f"user-{number}")) for number in range(200)]
        for _ in listeners:
            await opened.acquire()
        assert len(server.links) >= 200
        await agent.finish("user-201", CONVERSATION)
        assert not any(listener.done() for listener in listeners), "it waited for none of them"
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def test_1000_cancels_leave_no_socket_open(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Cancelled in every phase: signing in, connecting, waiting for the answer, within the stream."""
    turn = count()

    async def by_turns(talk: Talk) -> None:
        match next(turn) % 3:
            case 0:
                await talk.hang()
            case 1:
                await talk.send(CHUNKED + chunk(b"1\n"))
                await talk.hang()
            case 2:
                await talk.send(head(201, Content_Length="9"))
                await talk.hang()

    server = await serve(signing_in(by_turns))
    caplog.set_level(logging.WARNING)

    async def listen(number: int) -> None:
        async with agent.create(routed(user_id=f"user-{number % 100}")) as stream:
            await read(stream)

    async with agent_at(server.base_url, idle_s=30) as agent:
        for start in range(0, 1000, 100):
            listeners = [asyncio.create_task(listen(start + number)) for number in range(100)]
            for turns in range(100):
                listeners[turns].cancel()
                if turns % 10 == 0:
                    await asyncio.sleep(0.002)
            ended = await asyncio.gather(*listeners, return_exceptions=True)
            assert all(isinstance(error, asyncio.CancelledError) for error in ended)
    own = asyncio.current_task()
    await until(lambda: not server.links and asyncio.all_tasks() - {own} == server.tasks, "every connection is closed")
    gc.collect()
    await asyncio.sleep(0)
    assert [record.message for record in caplog.records if "nclosed" in record.message] == []
    assert asyncio.all_tasks() - {own} == server.tasks


async def test_a_client_that_is_closed_sends_nothing(serve: Serve) -> None:
    async def unused(talk: Talk) -> None:
        await talk.answer(200, token())

    server = await serve(unused)
    async with agent_at(server.base_url) as agent:
        pass
    with pytest.raises(Exception, match="closed"):
        await agent.finish("user-1", CONVERSATION)
    assert server.requests == []
