"""Frames are cut from what one read gives, wherever that ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiormq
import pytest
from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from bridge.edges.rabbitmq._internals import BufferedFrames

CHANNEL = 7
Basic = commands.Basic
DELIVERY = (Basic.Deliver("tag", 1, False, "x", "k"), ContentHeader(body_size=3), ContentBody(b"abc"))
DELIVERED = [(CHANNEL, Basic.Deliver), (CHANNEL, ContentHeader), (CHANNEL, ContentBody)]


def marshalled(*values: Frame | ContentHeader | ContentBody | Heartbeat, channel: int = CHANNEL) -> bytes:
    return b"".join(frame.marshal(value, channel) for value in values)


@asynccontextmanager
async def reading(*pieces: bytes) -> AsyncIterator[BufferedFrames]:
    """Frames of a broker that writes these pieces, each read by itself, and ends."""
    reader = asyncio.StreamReader()

    async def write() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        reader.feed_eof()

    writing = asyncio.create_task(write())
    yield BufferedFrames(reader)
    await writing


async def all_of(frames: BufferedFrames) -> list[tuple[int, type]]:
    """Whether the end is told by the one or the other depends on what is read when: aiormq takes both for the end."""
    received: list[tuple[int, type]] = []
    while True:
        try:
            _, number, value = await frames.get_frame()
        except (aiormq.exceptions.AMQPConnectionError, StopAsyncIteration):
            return received
        received.append((number, type(value)))


async def test_frames_are_whole_wherever_the_reads_cut_them() -> None:
    data = marshalled(*DELIVERY) + marshalled(Heartbeat(), channel=0)
    for cut in range(1, len(data)):
        async with reading(data[:cut], data[cut:]) as frames:
            assert await all_of(frames) == [*DELIVERED, (0, Heartbeat)]


async def test_many_frames_of_one_read_come_in_order() -> None:
    async with reading(marshalled(*DELIVERY * 50)) as frames:
        assert await all_of(frames) == DELIVERED * 50


async def test_a_frame_may_take_many_reads() -> None:
    body = ContentBody(b"x" * 131_000)
    data = marshalled(body, Basic.Ack(1))
    async with reading(*(data[at : at + 1_000] for at in range(0, len(data), 1_000))) as frames:
        _, __, value = await frames.get_frame()
        assert isinstance(value, ContentBody)
        assert value.value == body.value
        assert await all_of(frames) == [(CHANNEL, Basic.Ack)]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"AMQP\x00\x00\x09\x01", aiormq.exceptions.ProtocolSyntaxError),
        (marshalled(Heartbeat(), channel=0)[:5], aiormq.exceptions.AMQPConnectionError),
        (b"\x01\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff\xce", aiormq.exceptions.AMQPError),
    ],
    ids=["another protocol", "cut off", "no such method"],
)
async def test_what_is_no_frame_is_an_error_of_aiormqs(data: bytes, error: type[Exception]) -> None:
    async with reading(data) as frames:
        with pytest.raises(error):
            await frames.get_frame()


async def test_a_connection_that_has_ended_has_no_more_frames() -> None:
    async with reading() as frames:
        with pytest.raises(aiormq.exceptions.AMQPConnectionError):
            await frames.get_frame()
        with pytest.raises(StopAsyncIteration):
            await frames.get_frame()
