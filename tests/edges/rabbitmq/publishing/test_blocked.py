"""A memory alarm: the broker takes nothing more from whoever publishes, and says so.

See docs/reliability.md, B4, B6, P4.
"""

import asyncio
from collections.abc import Iterator

import pytest

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.edges.rabbitmq.watchdog import USUAL_LIMITS, WatchLimits
from bridge.flow.ports.webhook import ConfirmedPublisher, NotConfirmed
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.hooks import GITHUB, Answered, Hooks
from tests.support.rabbit import DEAD, EVENTS, QUORUM, Outgoing
from tests.support.rig import PUBLISHERS, Receipts, outgoing
from tests.support.waiting import stays, until


class Alarm:
    """The broker's memory alarm."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._raised = False

    async def raised(self) -> None:
        self._raised = True
        await asyncio.to_thread(self._broker.node.ctl, "set_vm_memory_high_watermark", "absolute", "1MB")

    def clear_now(self) -> None:
        if self._raised:
            self._broker.node.ctl("set_vm_memory_high_watermark", "absolute", "4GB")
        self._raised = False

    async def cleared(self) -> None:
        await asyncio.to_thread(self.clear_now)


class Noting:
    """The publisher for webhooks, and its last refusal."""

    def __init__(self, publisher: ConfirmedPublisher) -> None:
        self.refusal = ""
        self._publisher = publisher

    async def enqueue(self, message: OutboundMessage) -> None:
        try:
            await self._publisher.enqueue(message)
        except NotConfirmed as error:
            self.refusal = str(error)
            raise


@pytest.fixture
def alarm(broker: Broker) -> Iterator[Alarm]:
    made = Alarm(broker)
    yield made
    made.clear_now()


@pytest.mark.parametrize("publisher", PUBLISHERS)
async def test_a_memory_alarm_holds_publishing_back_and_loses_nothing(
    build: Build, alarm: Alarm, publisher: str
) -> None:
    rig = build(publisher=publisher)
    await rig.rabbit.make_queue("tap", QUORUM, "#")
    await rig.start()
    await rig.rabbit.publish(*(Outgoing(b"%d" % number) for number in range(10)))
    held = await rig.delivered(10)
    await alarm.raised()
    receipts = Receipts()
    for number in range(600):
        rig.publisher.publish([outgoing(f"m{number}", b"x" * 1000)], receipts)
    copying = asyncio.create_task(rig.republisher.copy(RepublishedCopy(DEAD, "rejected", b"dead", {}, {})))
    await until(lambda: rig.publisher.blocked, "it is said that the broker blocks", 20)
    assert [delivery.ack() for delivery in held] == [True] * 10, "acks go over the other connection"
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "the broker takes the acks")
    await stays(lambda: rig.publisher.blocked and not copying.done() and not receipts.told, "nothing goes through", 0.3)
    assert rig.publisher.unconfirmed == 600
    await alarm.cleared()
    await until(lambda: not rig.publisher.blocked, "it is said that the broker takes messages again", 20)
    await receipts.all_told(600)
    await asyncio.wait_for(copying, 30)
    sent = [f"m{number}" for number in range(600)]
    assert (sorted(receipts.confirmations), receipts.losses) == (sorted(sent), [])
    assert [record.message_id for record in await rig.rabbit.take("tap")] == sent
    assert rig.generation == 1


async def test_an_alarm_that_lasts_ends_no_generation(build: Build, alarm: Alarm) -> None:
    """What is held would be delivered again with each new generation, and the broker counts: after 100 it is poison."""
    rig = await build(watch=WatchLimits(every_s=0.2, slowest_confirm_s=6.0)).start()
    await rig.rabbit.publish(Outgoing(b"held"))
    (held,) = await rig.delivered(1)
    await alarm.raised()
    receipts = Receipts()
    rig.publisher.publish([outgoing("m", mandatory=False)], receipts)
    copying = asyncio.create_task(rig.republisher.copy(RepublishedCopy(DEAD, "rejected", b"dead", {}, {})))
    await until(lambda: rig.publisher.blocked, "it is said that the broker blocks", 20)
    await stays(lambda: held.alive and rig.publisher.blocked, "the generation lives on, and it is said why", 7)
    await alarm.cleared()
    await receipts.all_told(1)
    await asyncio.wait_for(copying, 30)
    assert held.ack()
    assert (rig.generation, receipts.losses) == (1, [])


async def test_an_idle_bridge_learns_of_an_alarm_too_and_its_consumer_works_on(build: Build, alarm: Alarm) -> None:
    """Only a connection that publishes is told that it is blocked; the watch publishes now and then."""
    assert USUAL_LIMITS.every_s < 25
    rig = await build(watch=WatchLimits(every_s=0.2)).start()
    await alarm.raised()
    await until(lambda: rig.publisher.blocked, "it is said that the broker blocks", 20)
    assert rig.consumer.consuming
    rig.inbox.pause("test")
    await until(lambda: rig.log.of("consumer.paused"), "it can still be paused", 5)


async def test_during_an_alarm_webhooks_are_refused_and_none_that_was_taken_is_missing(
    build: Build, alarm: Alarm
) -> None:
    rig = build(watch=WatchLimits(every_s=0.2), confirm_s=1.0)
    rig.inbox.pause("the test looks into the queue")
    rig.run()
    await until(lambda: rig.supervisor.trouble is None, "there is a generation", 30)
    answers: dict[int, Answered] = {}

    publisher = Noting(rig.confirmed_publisher)
    async with Hooks(publisher, GITHUB) as hooks:

        async def send(*numbers: int) -> None:
            found = await asyncio.gather(*(hooks.good(id_=str(number)) for number in numbers))
            answers.update(zip(numbers, found, strict=True))

        await send(*range(100))
        await alarm.raised()
        await asyncio.wait_for(send(*range(100, 200)), 60)
        await until(lambda: rig.publisher.blocked, "it is said that the broker blocks", 20)
        await asyncio.wait_for(send(200), 60)
        assert "the broker blocks publishing" in publisher.refusal, "at once, not because no confirm came"
        await alarm.cleared()

        async def taken_again() -> bool:
            await send(201)
            return answers[201].status == 202

        await until(taken_again, "the broker takes messages again", 20)
    assert {answer.status for answer in answers.values()} == {202, 503}
    assert (answers[200].status, answers[200].headers["Retry-After"], answers[201].status) == (503, "5", 202)
    taken = {answer.json["id"] for answer in answers.values() if answer.status == 202}
    assert taken <= {record.message_id for record in await rig.rabbit.take(EVENTS)}
    assert rig.generation == 1
