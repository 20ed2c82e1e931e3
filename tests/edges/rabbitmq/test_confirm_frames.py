"""Confirms go straight to their channel, unless they would overtake what aiormq still has of it."""

import asyncio
from typing import cast

from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from bridge.edges.rabbitmq._internals import BufferedFrames, HookedChannel
from tests.edges.rabbitmq.test_buffered_frames import CHANNEL, all_of, marshalled, reading

HOOKED = 1000
Basic = commands.Basic
BEAT = marshalled(Heartbeat(), channel=0)
RETURNED = (Basic.Return(312, "NO_ROUTE", "x", "k"), ContentHeader(body_size=3), ContentBody(b"abc"))


class ConfirmedChannel:
    """A channel that is told of confirms. `in_hand` is the last frame that aiormq has of it."""

    def __init__(self, in_hand: object | None = None) -> None:
        self.in_hand = in_hand
        self.confirms: list[tuple[int, bool, bool]] = []

    def on_confirm(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        self.confirms.append((delivery_tag, multiple, acked))


def hook(frames: BufferedFrames, channel: ConfirmedChannel) -> None:
    """Let the channel be told."""
    frames.hooked = {HOOKED: cast(HookedChannel, channel)}


async def past_the_first(frames: BufferedFrames, channel: ConfirmedChannel) -> None:
    """Read the confirm that aiormq gets in any case, and have it dealt with."""
    _, number, value = await frames.get_frame()
    assert (number, type(value)) == (HOOKED, Basic.Ack)
    assert channel.in_hand is value
    channel.in_hand = None


async def test_confirms_go_straight_to_their_channel_wherever_the_reads_cut_them() -> None:
    confirms = (Basic.Ack(1), Basic.Ack(4, True), Basic.Nack(5, False, False), Basic.Nack(2**40, True, False))
    first, data = marshalled(Basic.Ack(0), channel=HOOKED), marshalled(*confirms, channel=HOOKED) + BEAT
    for cut in range(1, len(data)):
        channel = ConfirmedChannel()
        async with reading(first, data[:cut], data[cut:]) as frames:
            hook(frames, channel)
            await past_the_first(frames, channel)
            assert await all_of(frames) == [(0, Heartbeat)]
        assert channel.confirms == [(1, False, True), (4, True, True), (5, False, False), (2**40, True, False)]


async def test_aiormq_gets_one_now_and_then_lest_it_take_the_connection_for_dead() -> None:
    """The first one after a while without."""
    channel = ConfirmedChannel()
    async with reading(marshalled(Basic.Ack(1), Basic.Ack(2), channel=HOOKED)) as frames:
        hook(frames, channel)
        await past_the_first(frames, channel)
        assert await all_of(frames) == []
    assert channel.confirms == [(2, False, True)]


async def test_no_confirm_overtakes_what_its_channel_has_not_dealt_with() -> None:
    channel = ConfirmedChannel()
    returned = marshalled(*RETURNED, Basic.Ack(1), Basic.Ack(2), channel=HOOKED)
    async with reading(
        marshalled(Basic.Ack(0), channel=HOOKED), returned, marshalled(Basic.Ack(3), channel=HOOKED)
    ) as (frames):
        hook(frames, channel)
        await past_the_first(frames, channel)
        for kind in (Basic.Return, ContentHeader, ContentBody, Basic.Ack, Basic.Ack):
            _, number, value = await frames.get_frame()
            assert (number, type(value)) == (HOOKED, kind)
        assert channel.confirms == []
        channel.in_hand = None  # the task of the channel has dealt with all of it
        assert await all_of(frames) == []
    assert channel.confirms == [(3, False, True)]


async def test_a_new_channel_gets_its_frames_from_aiormq_until_that_has_dealt_with_a_confirm() -> None:
    channel = ConfirmedChannel(in_hand=object())
    async with reading(marshalled(Basic.Ack(0), Basic.Ack(1), channel=HOOKED)) as frames:
        hook(frames, channel)
        await asyncio.sleep(0)
        assert await all_of(frames) == [(HOOKED, Basic.Ack)] * 2
    assert channel.confirms == []


async def test_confirms_of_other_channels_and_frames_as_long_as_one_are_aiormqs() -> None:
    channel = ConfirmedChannel()
    alike = ContentBody(b"x" * 13)
    data = marshalled(Basic.Ack(1), alike, channel=CHANNEL) + marshalled(Basic.Ack(0), alike, channel=HOOKED)
    async with reading(data) as frames:
        hook(frames, channel)
        expected = [(CHANNEL, Basic.Ack), (CHANNEL, ContentBody), (HOOKED, Basic.Ack), (HOOKED, ContentBody)]
        assert await all_of(frames) == expected
    assert channel.confirms == []
