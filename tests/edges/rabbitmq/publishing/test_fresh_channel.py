"""RabbitMQ remembers for each channel that a queue was full; such a channel is replaced by a fresh one."""

from collections.abc import Awaitable, Callable

import pytest

from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.flow.ports.broker import RepublishRefused
from bridge.flow.ports.webhook import NotConfirmed
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, QUORUM
from tests.support.rig import Receipts, Rig, outgoing
from tests.support.waiting import until

FULL = '{"max-length":1,"overflow":"reject-publish"}'


async def by_outbound(rig: Rig) -> bool:
    """One more answer: True where it is taken."""
    receipts = Receipts()
    rig.publisher.publish([outgoing("one")], receipts)
    await receipts.all_told(1)
    return bool(receipts.confirmations)


async def by_outbound_alone(rig: Rig) -> bool:
    """One more try of an answer that was refused."""
    receipts = Receipts()
    rig.publisher.publish([outgoing("one")], receipts, alone=True)
    await receipts.all_told(1)
    return bool(receipts.confirmations)


async def by_copy(rig: Rig) -> bool:
    """One more dead letter or delayed copy."""
    try:
        await rig.republisher.copy(RepublishedCopy(AGENT, "key", b"{}", {}, {}))
    except RepublishRefused:
        return False
    return True


async def by_webhook(rig: Rig) -> bool:
    """One more webhook."""
    try:
        await rig.confirmed_publisher.enqueue(outgoing("one"))
    except NotConfirmed:
        return False
    return True


@pytest.mark.parametrize("is_taken", [by_outbound, by_outbound_alone, by_copy, by_webhook])
async def test_what_a_full_queue_refused_goes_through_once_its_limit_is_gone(
    build: Build, broker: Broker, is_taken: Callable[[Rig], Awaitable[bool]]
) -> None:
    rig = build()
    await rig.rabbit.make_queue("tap", QUORUM, "#")
    broker.node.ctl("set_policy", "-p", rig.vhost, "--apply-to", "queues", "full", "^tap$", FULL)
    await rig.start()

    async def is_refused() -> bool:
        return not await is_taken(rig)

    await until(is_refused, "the queue is full")
    broker.node.ctl("clear_policy", "-p", rig.vhost, "full")
    await until(lambda: is_taken(rig), "it goes through", 60, step_s=0.2)
    assert rig.generation == 1


async def test_a_fresh_channel_keeps_the_order(build: Build, broker: Broker) -> None:
    """Messages of one event are under way all the time; whatever is taken is taken in order."""
    rig = build()
    await rig.rabbit.make_queue("tap", QUORUM, "text.#")
    await rig.rabbit.make_queue("full", QUORUM, "voice.#")
    broker.node.ctl("set_policy", "-p", rig.vhost, "--apply-to", "queues", "full", "^full$", FULL)
    await rig.start()
    refused, others, sent = Receipts(), Receipts(), 0
    (channel,) = rig.publisher._publisher_channels
    opened_s: set[float] = set()

    async def replaced() -> bool:
        nonlocal sent
        for _ in range(20):
            rig.publisher.publish([outgoing(f"m{sent}")], others)
            sent += 1
        rig.publisher.publish([outgoing(f"r{sent}", routing_key="voice.phone.new-message")], refused)
        opened_s.add(channel.opened_s)
        return len(opened_s) > 2

    await until(replaced, "channels were replaced", 90, step_s=0.01)
    await others.all_told(sent)
    assert others.refusals == []
    got = [int(message.message_id[1:]) for message in await rig.rabbit.take("tap")]
    assert got == list(range(sent)), "in order, none twice"
    assert rig.generation == 1
