"""One message that the broker will not have: it is refused in the broker's words, and nobody else's waits for it."""

import asyncio
from collections.abc import Iterator

import pytest

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker import republished_copy
from bridge.core.broker.publish_refusal import RefusalKind
from bridge.core.broker.republished_copy import TRUNCATED, RepublishedCopy
from bridge.core.event.inbound_message import SOURCE, InboundMessage
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder
from bridge.flow.ports.broker import RepublishRefused
from bridge.flow.ports.webhook import NotConfirmed
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, DEAD, DELAY, EVENTS, QUORUM
from tests.support.rig import Receipts, Rig, outbound, outgoing
from tests.support.waiting import until

MIB = 1024 * 1024
LARGE = b"x" * (MIB + MIB // 2)


@pytest.fixture
def small_messages(broker: Broker) -> Iterator[None]:
    """A broker that takes messages of 1 MiB."""
    with broker.limited("max_message_size", MIB):
        yield


@pytest.fixture
def small_frames(broker: Broker) -> Iterator[None]:
    """A broker whose frames are as small as it allows."""
    with broker.limited("frame_max", broker.smallest_frame):
        yield


async def tapped(build: Build, *exchanges: str) -> Rig:
    """A rig with these outbounds, each of which feeds a queue of its name."""
    rig: Rig = build(outbounds=tuple(outbound(exchange) for exchange in exchanges))
    for exchange in exchanges:
        await rig.rabbit.make_queue(exchange, QUORUM, "#", exchange=exchange)
    return await rig.start()


def sent(rig: Rig, receipts: Receipts, count: int, culprit: OutboundMessage, at: int) -> None:
    for number in range(count):
        rig.publisher.publish([culprit if number == at else outgoing(f"m{number}")], receipts)


def in_order(receipts: Receipts) -> bool:
    numbers = [int(name[1:]) for name in receipts.confirmations]
    return numbers == sorted(numbers)


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("at", [0, 57, 99])
async def test_what_is_too_large_for_the_broker_is_found_among_many(build: Build, at: int) -> None:
    rig, receipts = await tapped(build, AGENT), Receipts()
    sent(rig, receipts, 100, outgoing("large", LARGE), at)
    await receipts.all_told(100)
    ((name, refusal),) = receipts.refusals
    assert (name, refusal.kind) == ("large", RefusalKind.IMPOSSIBLE)
    assert "406" in refusal.error
    assert "larger than" in refusal.error
    assert in_order(receipts)
    got = [record.message_id for record in await rig.rabbit.take(AGENT)]
    assert list(dict.fromkeys(got)) == receipts.confirmations, "all others arrive, in order once repeats are dropped"
    assert rig.generation == 1
    rig.publisher.publish([outgoing("next")], receipts)
    await receipts.all_told(101)


@pytest.mark.usefixtures("small_messages")
async def test_several_culprits_are_each_refused_and_the_others_go_on(build: Build) -> None:
    rig, receipts = await tapped(build, AGENT), Receipts()
    for number in range(40):
        rig.publisher.publish([outgoing(f"m{number}", LARGE if number % 10 == 3 else b"{}")], receipts)
    await receipts.all_told(40)
    assert sorted(name for name, _ in receipts.refusals) == ["m13", "m23", "m3", "m33"]
    assert in_order(receipts)
    assert rig.generation == 1


@pytest.mark.usefixtures("small_messages")
async def test_other_outbounds_do_not_notice(build: Build) -> None:
    rig, receipts, others = await tapped(build, AGENT, "audit"), Receipts(), Receipts()
    rig.publisher.publish([outgoing("large", LARGE)], receipts)
    for number in range(20):
        rig.publisher.publish([outgoing(f"m{number}", outbound=1, exchange="audit")], others)
    await others.all_told(20)
    await receipts.all_told(1)
    assert (others.losses, others.refusals) == ([], [])


async def test_a_key_that_the_user_may_not_write_is_refused_and_taken_once_it_may(build: Build, broker: Broker) -> None:
    rig = build()
    await rig.rabbit.make_queue("tap", QUORUM, "#")
    broker.permit_keys(rig.vhost, AGENT, r"^text\.")
    await rig.start()
    receipts = Receipts()
    forbidden = outgoing("forbidden", routing_key="voice.phone.new-message")
    sent(rig, receipts, 30, forbidden, 10)
    await receipts.all_told(30)
    ((name, refusal),) = receipts.refusals
    assert (name, refusal.kind) == ("forbidden", RefusalKind.FORBIDDEN)
    again, others = Receipts(), Receipts()
    rig.publisher.publish([forbidden], again, alone=True)
    for number in range(30):
        rig.publisher.publish([outgoing(f"n{number}")], others)
    await again.all_told(1)
    await others.all_told(30)
    assert (others.losses, others.refusals) == ([], []), "nobody waits for what is known to close the channel"
    assert [one.kind for _, one in again.refusals] == [RefusalKind.FORBIDDEN]
    broker.permit_keys(rig.vhost, AGENT, ".*")

    async def taken() -> bool:
        """For a second after a refusal others of the key are refused unsent."""
        late = Receipts()
        rig.publisher.publish([forbidden], late, alone=True)
        await late.all_told(1)
        return late.confirmations == ["forbidden"]

    await until(taken, "it is taken", 20, step_s=0.2)
    assert rig.generation == 1


async def test_an_exchange_that_is_gone_refuses_its_own_messages_only(build: Build) -> None:
    rig, receipts, others = await tapped(build, AGENT, "gone"), Receipts(), Receipts()
    await rig.rabbit.delete_exchange("gone")
    for number in range(10):
        rig.publisher.publish([outgoing(f"g{number}", outbound=1, exchange="gone")], receipts)
        rig.publisher.publish([outgoing(f"m{number}")], others)
    await receipts.all_told(10)
    await others.all_told(10)
    assert {refusal.kind for _, refusal in receipts.refusals} == {RefusalKind.MISSING}
    assert len(receipts.refusals) == 10
    assert len(others.confirmations) == 10
    assert rig.generation == 1


async def test_what_closes_the_whole_connection_is_found_on_the_next_ones(build: Build) -> None:
    """501: no check of ours lets it through, so the encoder is told of larger frames than were agreed."""

    class Careless(FrameEncoder):
        def __init__(self, channel: int, frame_max: int) -> None:
            super().__init__(channel, frame_max * 4)

    class CarelessPublisher(BatchingPublisher):
        new_encoder = Careless

    outbounds = (outbound(AGENT), outbound("audit"))
    rig, receipts, others = build(outbounds=outbounds, publisher=CarelessPublisher), Receipts(), Receipts()
    for exchange in (AGENT, "audit"):
        await rig.rabbit.make_queue(exchange, QUORUM, "#", exchange=exchange)
    await rig.start()
    for number in range(20):
        headers = {"event_id": "h" * 200_000} if number == 7 else {}
        rig.publisher.publish([outgoing(f"m{number}", headers=headers)], receipts)
        rig.publisher.publish([outgoing(f"a{number}", outbound=1, exchange="audit")], others)
    await receipts.all_told(20, 60)
    await others.all_told(20, 60)
    assert [(name, refusal.kind) for name, refusal in receipts.refusals] == [("m7", RefusalKind.IMPOSSIBLE)]
    assert len(others.confirmations) == 20
    assert 2 <= rig.generation <= 4


@pytest.mark.usefixtures("small_frames")
async def test_headers_beyond_a_frame_are_refused_before_anything_is_written(build: Build) -> None:
    rig, receipts = await tapped(build, AGENT), Receipts()
    sent(rig, receipts, 20, outgoing("headers", headers={"event_id": "é" * 5000}), 5)
    rig.publisher.publish([outgoing("body", b"y" * 100_000)], receipts)
    await receipts.all_told(21)
    assert [(name, refusal.kind) for name, refusal in receipts.refusals] == [("headers", RefusalKind.IMPOSSIBLE)]
    assert receipts.losses == []
    assert (rig.generation, len(receipts.confirmations)) == (1, 20)


@pytest.mark.usefixtures("small_messages")
async def test_a_webhook_that_is_too_large_for_the_broker_is_refused_alone(build: Build) -> None:
    rig = build()
    rig.inbox.pause("the test looks into the queue")
    rig.run()
    await until(lambda: rig.supervisor.trouble is None, "there is a generation", 30)
    hooks = [
        outgoing(f"h{number}", LARGE if number == 50 else b"{}", exchange=EVENTS, routing_key="webhook.s")
        for number in range(100)
    ]
    fates = await asyncio.gather(*(rig.confirmed_publisher.enqueue(hook) for hook in hooks), return_exceptions=True)
    assert isinstance(fates[50], NotConfirmed)
    assert [fate for fate in fates if fate is not None] == [fates[50]]
    assert rig.generation == 1


@pytest.mark.usefixtures("small_frames")
async def test_a_webhooks_headers_that_do_not_fit_are_left_out_largest_first(build: Build) -> None:
    rig = build()
    rig.inbox.pause("the test looks into the queue")
    rig.run()
    await until(lambda: rig.supervisor.trouble is None, "there is a generation", 30)
    foreign = {f"h{number}": "🔥" * (10 * number) for number in range(1, 60)}
    hook = outgoing("h", exchange=EVENTS, routing_key="webhook.s", headers={})
    hook.own_headers = {**foreign, SOURCE: "github"}
    await rig.confirmed_publisher.enqueue(hook)
    (record,) = await rig.rabbit.take(EVENTS)
    kept = [name for name in record.headers if name.startswith("h")]
    assert record.headers[SOURCE] == "github"
    assert set(kept) == {f"h{number}" for number in range(1, len(kept) + 1)}
    assert 5 < len(kept) < 30


def letter(body: bytes = b"{}", **headers: str) -> RepublishedCopy:
    return republished_copy.dead(
        InboundMessage(body, exchange=EVENTS, routing_key="k", properties={"message_id": "m"}, headers=headers),
        DEAD,
        reason="rejected",
        error="é" * 5000,
        attempts=1,
        failed_at="2026-01-01T00:00:00.000+00:00",
        conversation_id="6a0000000000000000000001",
    )


@pytest.mark.usefixtures("small_messages")
async def test_a_copy_that_is_too_large_for_the_broker_is_refused_alone(build: Build) -> None:
    rig = await build().start()
    copies = [rig.republisher.copy(letter(LARGE if number == 20 else b"%d" % number)) for number in range(40)]
    fates = await asyncio.gather(*copies, return_exceptions=True)
    refused = fates[20]
    assert isinstance(refused, RepublishRefused)
    assert refused.refusal.kind is RefusalKind.IMPOSSIBLE
    assert [fate for fate in fates if fate is not None] == [refused]
    assert {record.body for record in await rig.rabbit.take(DEAD)} == {b"%d" % n for n in range(40) if n != 20}
    assert rig.generation == 1


@pytest.mark.usefixtures("small_frames")
async def test_a_dead_letter_goes_without_the_headers_that_do_not_fit_and_says_so(build: Build) -> None:
    rig = await build().start()
    await rig.republisher.copy(letter(small="s", large="🔥" * 2100, larger="🔥" * 2500))
    (record,) = await rig.rabbit.take(DEAD)
    assert (record.headers[TRUNCATED], record.headers["small"], record.headers["x-bridge-reason"]) == (
        "headers",
        "s",
        "rejected",
    )
    assert set(record.headers["x-bridge-headers-left-out"].split(", ")) == {"large", "larger"}
    assert rig.generation == 1


@pytest.mark.usefixtures("small_frames")
async def test_a_dead_letter_with_properties_of_full_length_fits_into_the_smallest_frame(build: Build) -> None:
    rig = await build().start()
    long = {name: name[0] * 255 for name in ("content_type", "content_encoding", "correlation_id", "reply_to")}
    long |= {name: name[0] * 255 for name in ("message_id", "type", "app_id")}
    incoming = InboundMessage(
        b"{}", exchange="e" * 255, routing_key="k" * 255, properties=long, headers={"own": "h" * 3000}
    )
    full = republished_copy.dead(
        incoming,
        DEAD,
        reason="invalid-event",
        error="e" * 5000,
        attempts=1,
        failed_at="2026-01-01T00:00:00.000+00:00",
        conversation_id="6a0000000000000000000001",
    )
    await rig.republisher.copy(full)
    (record,) = await rig.rabbit.take(DEAD)
    assert record.headers["x-bridge-routing-key"] == "k" * 255


@pytest.mark.usefixtures("small_frames")
async def test_a_delayed_copy_is_never_cut(build: Build) -> None:
    rig = await build(lean=False).start()
    incoming = InboundMessage(b"{}", queue=EVENTS, headers={"own": "h" * 9000})
    with pytest.raises(RepublishRefused) as refused:
        await rig.republisher.copy(republished_copy.delayed(incoming, DELAY, 1, attempt=0, pauses=0, progress=None))
    assert refused.value.refusal.kind is RefusalKind.IMPOSSIBLE
    assert rig.generation == 1
