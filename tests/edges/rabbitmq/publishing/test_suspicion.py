"""A routing key that the broker refuses again and again costs nobody else a channel, and not even itself many."""

import asyncio
import time
from typing import Any

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.edges.rabbitmq.publishing.batching import ALONES, BatchingPublisher
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder
from bridge.edges.rabbitmq.publishing.suspicion import (
    MANY,
    MAX_ASIDE,
    MAX_SUSPECTS,
    REFUSALS_A_SECOND,
    REFUSED_FOR_S,
    Suspicion,
)
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, QUORUM
from tests.support.rig import Receipts, Rig, outgoing
from tests.support.waiting import until

PHONE = "voice.phone.new-message"
SMS = "text.sms.new-message"


def counting(opened: list[int]) -> type[BatchingPublisher]:
    """The publisher, which notes the number of each channel that it opens."""

    class CountingEncoder(FrameEncoder):
        def __init__(self, channel: int, frame_max: int) -> None:
            opened.append(channel)
            super().__init__(channel, frame_max)

    class CountingPublisher(BatchingPublisher):
        new_encoder = CountingEncoder

    return CountingPublisher


async def narrow(build: Build, broker: Broker, **options: Any) -> Rig:
    """A rig that may write text only, and has found out so."""
    rig = build(**options)
    await rig.rabbit.make_queue("tap", QUORUM, "#")
    broker.permit_keys(rig.vhost, AGENT, r"^text\.")
    await rig.start()
    first = Receipts()
    rig.publisher.publish([outgoing("first", routing_key=PHONE)], first)
    await first.all_told(1)
    return rig


def allow(rig: Rig, broker: Broker) -> None:
    broker.permit_keys(rig.vhost, AGENT, ".*")


async def test_good_messages_among_refused_ones_are_never_sent_twice(build: Build, broker: Broker) -> None:
    rig = await narrow(build, broker)
    bad, good = Receipts(), Receipts()
    for number in range(200):
        if number % 5 == 0:
            rig.publisher.publish([outgoing(f"b{number}", routing_key=PHONE)], bad)
        rig.publisher.publish([outgoing(f"g{number}", routing_key=SMS)], good)
        await asyncio.sleep(0.005)
    await good.all_told(200)
    await bad.all_told(40)
    assert (good.losses, good.refusals) == ([], [])
    assert good.confirmations == [f"g{number}" for number in range(200)]
    assert {refusal.kind for _, refusal in bad.refusals} == {RefusalKind.FORBIDDEN}
    assert len(bad.refusals) == 40
    assert rig.publisher.unconfirmed == 0


async def test_keys_that_are_new_each_time_cost_the_others_nothing_either(build: Build, broker: Broker) -> None:
    rig = await narrow(build, broker)
    bad, good = Receipts(), Receipts()
    for number in range(200):
        if number % 5 == 0:
            rig.publisher.publish([outgoing(f"b{number}", routing_key=f"{PHONE}.{number}")], bad)
        rig.publisher.publish([outgoing(f"g{number}", routing_key=SMS, type="interaction-complete")], good)
        await asyncio.sleep(0.005)
    await good.all_told(200)
    await bad.all_told(40)
    assert (good.losses, good.refusals) == ([], [])
    assert len(bad.refusals) == 40


async def test_keys_that_are_new_each_time_cost_a_channel_each_once_and_not_with_every_try(
    build: Build, broker: Broker
) -> None:
    opened: list[int] = []
    rig = await narrow(build, broker, publisher=counting(opened))
    keys, rounds, began_s = 200, 6, time.monotonic()
    del opened[:]
    for turn in range(rounds):
        bad, good = [Receipts() for _ in range(keys)], Receipts()
        for number, receipt in enumerate(bad):
            message = outgoing(f"b{turn}.{number}", routing_key=f"{PHONE}.{number}")
            rig.publisher.publish([message], receipt, alone=turn > 0)
        rig.publisher.publish([outgoing(f"g{turn}", routing_key=SMS, type="interaction-complete")], good)
        for receipt in (*bad, good):
            await receipt.all_told(1)
        assert {refusal.kind for receipt in bad for _, refusal in receipt.refusals} == {RefusalKind.FORBIDDEN}
        assert good.losses == []
        await asyncio.sleep(REFUSED_FOR_S * 1.1)
    again = (time.monotonic() - began_s + 1) / REFUSED_FOR_S * (REFUSALS_A_SECOND + ALONES)
    assert len(opened) <= keys + 2 * ALONES + again
    allow(rig, broker)

    async def taken() -> bool:
        probe = Receipts()
        rig.publisher.publish([outgoing("probe", routing_key=f"{PHONE}.0")], probe, alone=True)
        await probe.all_told(1)
        return bool(probe.confirmations)

    await until(taken, "what may be written again is", step_s=0.2)
    receipts = Receipts()
    messages = [outgoing(f"m{number}", routing_key=f"{PHONE}.{number}") for number in range(keys)]
    await asyncio.sleep(REFUSED_FOR_S * 1.1)
    rig.publisher.publish(messages, receipts)
    await receipts.all_told(keys)
    assert receipts.confirmations == [message.message_id for message in messages]


async def test_many_of_one_refused_key_are_refused_together(build: Build, broker: Broker) -> None:
    rig = await narrow(build, broker)
    bad = Receipts()
    rig.publisher.publish([outgoing(f"b{number}", routing_key=PHONE) for number in range(2_000)], bad)
    await bad.all_told(2_000)
    assert len(bad.refusals) == 2_000
    assert rig.publisher.unconfirmed == 0
    assert rig.generation == 1


async def test_a_key_that_may_be_written_again_is_suspected_no_more_and_keeps_its_order(
    build: Build, broker: Broker
) -> None:
    rig = await narrow(build, broker)
    allow(rig, broker)

    async def taken() -> bool:
        probe = Receipts()
        rig.publisher.publish([outgoing("probe", routing_key=PHONE)], probe)
        await probe.all_told(1)
        return bool(probe.confirmations)

    await until(taken, "the key is written again", step_s=0.2)
    receipts = Receipts()
    for number in range(100):
        rig.publisher.publish([outgoing(f"m{number}", routing_key=(PHONE, SMS)[number % 2])], receipts)
    await receipts.all_told(100)
    assert receipts.confirmations == [f"m{number}" for number in range(100)]


async def test_what_an_event_says_after_a_line_under_suspicion_stays_behind_it(build: Build, broker: Broker) -> None:
    rig = await narrow(build, broker)
    allow(rig, broker)
    taken: list[str] = []

    async def said() -> bool:
        event = Receipts()
        rig.publisher.publish([outgoing("line", routing_key=PHONE)], event)
        rig.publisher.publish([outgoing("ending", routing_key=SMS)], event)
        await event.all_told(2)
        taken[:] = event.confirmations
        return "line" in taken

    await until(said, "the line is taken", step_s=0.2)
    assert taken == ["line", "ending"]


def test_suspects_are_forgotten_beyond_a_bound_and_then_nothing_is_suspected() -> None:
    suspicion, refusal = Suspicion(), PublishRefusal(RefusalKind.FORBIDDEN, "403")
    messages = [
        outgoing(f"b{number}", routing_key=f"voice.{number}.x", type=f"t{number}") for number in range(MAX_SUSPECTS + 1)
    ]
    for message in messages:
        assert suspicion.refused(message, refusal, 0.0)
    receipt = Receipts()
    assert not suspicion.is_aside(messages[0], receipt)
    assert all(suspicion.is_aside(message, receipt) for message in messages[1:])
    assert suspicion.refusal_of(messages[1], 0.5) == refusal
    assert suspicion.refusal_of(messages[1], 1.5) is None
    for _ in range(MANY):
        for message in messages:
            suspicion.taken(message)
    assert not suspicion.active


def test_once_some_alike_were_refused_only_new_keys_are_tried_until_the_second_is_over() -> None:
    suspicion, refusal = Suspicion(), PublishRefusal(RefusalKind.FORBIDDEN, "403")
    first, *others = [outgoing(f"b{number}", routing_key=f"voice.{number}") for number in range(REFUSALS_A_SECOND + 1)]
    assert suspicion.refused(first, refusal, 0.0)
    for other in others[:-1]:
        assert suspicion.refused(other, refusal, 1.5)
        assert suspicion.refusal_of(first, 1.5) is None, "it is tried again"
        assert not suspicion.falling(other, 1.5)(first)
    assert suspicion.refused(others[-1], refusal, 1.6)
    new = outgoing("new", routing_key="voice.new")
    unlike = outgoing("unlike", routing_key="voice.unlike", type="interaction-complete")
    assert suspicion.refusal_of(first, 1.6) == refusal
    assert suspicion.falling(others[-1], 1.6)(first)
    assert suspicion.refusal_of(first, 2.5) is None
    for each in (new, unlike):
        assert suspicion.refusal_of(each, 1.6, MAX_ASIDE - 1) is None
        assert not suspicion.falling(others[-1], 1.6)(each)
    assert suspicion.refusal_of(new, 1.6, MAX_ASIDE) == refusal
    assert suspicion.refusal_of(new, 2.5, MAX_ASIDE) is None
    assert suspicion.refusal_of(unlike, 1.6, MAX_ASIDE) is None


def test_what_is_like_a_refused_message_is_suspected_until_many_in_a_row_were_taken() -> None:
    suspicion, refusal, receipt = Suspicion(), PublishRefusal(RefusalKind.FORBIDDEN, "403"), Receipts()
    like, other = outgoing("a", routing_key="a"), outgoing("b", routing_key="b")
    unlike = outgoing("c", routing_key="c", type="interaction-complete")
    assert suspicion.refused(like, refusal, 0.0)
    for number in range(2 * MANY - 1):
        assert suspicion.is_aside(other, receipt)
        assert not suspicion.is_aside(unlike, receipt)
        if number == MANY - 2:
            suspicion.refused(like, refusal, 0.0)
        else:
            suspicion.taken(other)
    suspicion.taken(other)
    assert not suspicion.is_aside(other, receipt)
    assert suspicion.is_aside(like, receipt)
    suspicion.taken(like)
    assert not suspicion.active


def test_a_message_that_is_too_large_makes_nobody_suspect_its_key() -> None:
    suspicion = Suspicion()
    assert not suspicion.refused(outgoing("large"), PublishRefusal(RefusalKind.IMPOSSIBLE, "406"), 0.0)
    assert not suspicion.active
